/* The registry of model classes, and sets of models. Sections of a model's part of a snapshot
 * are named "<class>/…"; that is how a set knows which classes a snapshot holds. */

#include "model/model.h"

#include "base/mem.h"
#include <stdio.h>
#include <string.h>

static const wn_model_class *const classes[] = {
    /* the last two ask the others */
    &wn_model_popular,   &wn_model_trending,     &wn_model_newest,  &wn_model_covisit,
    &wn_model_content,   &wn_model_als,          &wn_model_random,  &wn_model_ridge,
    &wn_model_ridge_seq, &wn_model_ease,         &wn_model_vectors, &wn_model_vmis,
    &wn_model_user_knn,  &wn_model_continuation, &wn_model_top,     &wn_model_blend,
    &wn_model_ranker,
};
#define CLASSES (sizeof classes / sizeof *classes)
_Static_assert(CLASSES <= WN_MODELS_MAX, "a set holds one model of each class");

wn_status wn_model_candidates_batch(const wn_model *model, const wn_query_batch *batch,
                                    wn_error *err) {
  wn_status status = WN_OK;
  if (model->cls->candidates_batch != NULL) return model->cls->candidates_batch(model, batch, err);
  for (size_t i = 0; status == WN_OK && i < batch->len; i++)
    status = model->cls->candidates(model, &batch->query[i], batch->k, batch->out + i * batch->k,
                                    &batch->count[i], err);
  return status;
}

size_t wn_model_class_count(void) {
  return CLASSES;
}

const wn_model_class *wn_model_class_at(size_t i) {
  return i < CLASSES ? classes[i] : NULL;
}

const wn_model_class *wn_model_class_find(const char *name) {
  for (size_t i = 0; i < CLASSES; i++)
    if (strcmp(classes[i]->name, name) == 0) return classes[i];
  return NULL;
}

/* ---- sets ---- */

const wn_model *wn_models_find(const wn_models *models, const char *name) {
  for (size_t i = 0; i < models->len; i++)
    if (strcmp(models->data[i]->cls->name, name) == 0) return models->data[i];
  return NULL;
}

static bool snapshot_holds(const wn_snapshot *snapshot, const wn_model_class *cls) {
  size_t len = strlen(cls->name);
  for (size_t i = 0; i < wn_snapshot_section_count(snapshot); i++) {
    const char *name;
    uint64_t bytes;
    wn_snapshot_section_at(snapshot, i, &name, &bytes);
    if (strncmp(name, cls->name, len) == 0 && name[len] == '/') return true;
  }
  return false;
}

wn_status wn_models_map(wn_snapshot *snapshot, wn_models *out, wn_error *err) {
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  out->snapshot = wn_snapshot_ref(snapshot);
  for (size_t i = 0; i < CLASSES; i++) {
    if (!snapshot_holds(snapshot, classes[i])) continue;
    WN_TRY(classes[i]->map(snapshot, &out->data[out->len], err));
    out->len++;
  }
  WN_TRY(wn_models_bind(out, err));
cleanup:
  if (status != WN_OK) wn_models_clear(out);
  return status;
}

wn_status wn_models_empty(wn_models *out, wn_error *err) {
  static const wn_model_class *const live[] = {
      &wn_model_popular, &wn_model_trending, &wn_model_newest,      &wn_model_covisit,
      &wn_model_content, &wn_model_random,   &wn_model_continuation};
  wn_status status = WN_OK;
  wn_dataset data = {0};
  wn_pool *pool = wn_pool_create(1);
  memset(out, 0, sizeof *out);
  if (pool == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 0, 0, &data, err));
  for (size_t i = 0; i < sizeof live / sizeof *live; i++) {
    wn_params params;
    wn_fit_env env = {.pool = pool};
    wn_params_defaults(live[i], &params);
    WN_TRY(live[i]->fit(&data, &params, &env, &out->data[out->len], err));
    out->len++;
  }
  WN_TRY(wn_models_bind(out, err));
cleanup:
  wn_pool_free(pool);
  wn_dataset_clear(&data);
  if (status != WN_OK) wn_models_clear(out);
  return status;
}

wn_status wn_models_bind(wn_models *models, wn_error *err) {
  for (size_t i = 0; i < models->len; i++) {
    wn_model *model = models->data[i];
    if (model->cls->bind == NULL) continue;
    wn_status status = model->cls->bind(model, models, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

wn_status wn_models_save(const wn_models *models, wn_snapshot_writer *writer, wn_error *err) {
  for (size_t i = 0; i < models->len; i++) {
    wn_status status = models->data[i]->cls->save(models->data[i], writer, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

void wn_models_update(wn_models *models, const wn_event *event, float weight) {
  for (size_t i = 0; i < models->len; i++)
    if (models->data[i]->cls->update != NULL)
      models->data[i]->cls->update(models->data[i], event, weight);
}

void wn_models_forget(wn_models *models, wn_user_ix user) {
  for (size_t i = 0; i < models->len; i++)
    if (models->data[i]->cls->forget != NULL) models->data[i]->cls->forget(models->data[i], user);
}

void wn_models_bound(wn_models *models, const char *dir, size_t bytes_max) {
  for (size_t i = 0; i < models->len; i++)
    if (models->data[i]->cls->bound != NULL)
      models->data[i]->cls->bound(models->data[i], dir, bytes_max);
}

size_t wn_models_bytes(const wn_models *models, size_t *each, wn_shelf_stats *shelves) {
  size_t sum = 0;
  for (size_t i = 0; i < models->len; i++) {
    const wn_model_class *cls = models->data[i]->cls;
    wn_shelf_stats shelf = {0};
    size_t bytes = cls->bytes != NULL ? cls->bytes(models->data[i]) : 0;
    if (cls->shelf != NULL) cls->shelf(models->data[i], &shelf);
    wn_shelf_stats_add(shelves, &shelf);
    if (each != NULL) each[i] = bytes;
    sum += bytes;
  }
  return sum;
}

wn_status wn_models_update_item(wn_models *models, wn_item_ix ix, const wn_item_record *item,
                                wn_error *err) {
  for (size_t i = 0; i < models->len; i++) {
    if (models->data[i]->cls->update_item == NULL) continue;
    wn_status status = models->data[i]->cls->update_item(models->data[i], ix, item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

void wn_models_clear(wn_models *models) {
  for (size_t i = 0; i < models->len; i++) models->data[i]->cls->free(models->data[i]);
  wn_snapshot_unref(models->snapshot);
  memset(models, 0, sizeof *models);
}
