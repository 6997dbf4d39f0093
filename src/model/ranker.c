/* The heavy ranker: gradient-boosted trees over what all other models of the set say of an item,
 * trained on what users did next (Burges 2010, LambdaMART; Chen and Guestrin, KDD 2016). A
 * generator like the others to whoever asks: it asks the models, makes the features (ranker_rows.c)
 * and sorts by the trees' sum. What only newer models could name than those that it was trained
 * with is left to the generators themselves.
 *
 * Without trees (nothing to learn from) it has nothing to say. Cost of a query: the opinions'
 * lists, then about .15 µs a candidate and 100 trees with AVX-512. Deterministic: opinions are
 * asked in their order; ties go to the lower index. */
#include "model/ranker.h"

#include "base/mem.h"
#include "model/blend.h"
#include "model/query.h"
#include "model/section.h"
#include "model/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 1000

static const wn_param_spec ranker_params[] = {
    {"depth", 200, 10, DEPTH_MAX, "items of each model's list"},
    {"users", 20000, 1, 1e6, "drawn to train on, at most"},
    {"negatives", 100, 1, 1000, "candidates of a user beside what she took"},
    {"trees", 150, 1, 2000, "boosted"},
    {"tree_depth", 6, 1, WN_TREES_DEPTH_MAX, "comparisons from root to leaf"},
    {"eta", 0.1, 0.001, 1, "share of each tree that counts"},
    {"listwise", 1, 0, 1, "1: trees lift NDCG (rank:ndcg); 0: each item by itself (logistic)"},
};

typedef struct ranker {
  wn_model base;
  wn_ranker_head head;
  wn_ranker_opinion opinion[WN_RANKER_OPINIONS_MAX];
  wn_forest forest;
  wn_ranker_world world;
  uint32_t *owned; /* of a fitted one: users_of */
} ranker;

static void ranker_free(wn_model *model) {
  ranker *m = (ranker *)model;
  wn_forest_clear(&m->forest);
  wn_free(m->owned);
  wn_free(m);
}

/* --- fitting --- */

static void add_opinion(ranker *m, const char *model, uint32_t newest) {
  if (m->head.opinions == WN_RANKER_OPINIONS_MAX) return;
  wn_ranker_opinion *o = &m->opinion[m->head.opinions++];
  snprintf(o->model, sizeof o->model, "%s", model);
  o->newest = newest;
}

/* Every model that starts from a history, in class order; those that follow it closely also by its
 * newest item and its newest three. */
static void choose_opinions(ranker *m, const wn_train_options *run) {
  static const char *const close[] = {"covisit", "ridge-seq"};
  for (size_t c = 0; c < wn_model_class_count(); c++) {
    const wn_model_class *cls = wn_model_class_at(c);
    for (size_t i = 0; i < run->models_len && wn_blend_takes(cls); i++) {
      if (run->models[i].cls != cls || run->models[i].left_out) continue;
      add_opinion(m, cls->name, 0);
      for (size_t k = 0; k < sizeof close / sizeof *close; k++) {
        if (strcmp(close[k], cls->name) != 0) continue;
        add_opinion(m, cls->name, 1);
        add_opinion(m, cls->name, 3);
      }
    }
  }
}

static wn_status keep_counts(ranker *m, const wn_dataset *data, wn_error *err) {
  m->owned = wn_calloc((size_t)data->items + 1, sizeof *m->owned);
  if (m->owned == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < data->by_item.rows; i++)
    m->owned[i] = (uint32_t)(data->by_item.row_ptr[i + 1] - data->by_item.row_ptr[i]);
  m->world.users_of = m->owned;
  return WN_OK;
}

static wn_status ranker_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                            wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_ranker;
  wn_train_options defaults;
  wn_status status;
  ranker *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  wn_ranker_fit_options o = {.users_max = (uint32_t)wn_param(cls, params, "users"),
                             .negatives = (uint32_t)wn_param(cls, params, "negatives"),
                             .trees = (uint32_t)wn_param(cls, params, "trees"),
                             .depth = (uint32_t)wn_param(cls, params, "tree_depth"),
                             .eta = wn_param(cls, params, "eta"),
                             .listwise = wn_param(cls, params, "listwise") >= 0.5,
                             .opinions = m->opinion};
  m->head = (wn_ranker_head){
      .version = 1, .depth = (uint32_t)wn_param(cls, params, "depth"), .items = data->items};
  wn_train_options_defaults(&defaults);
  choose_opinions(m, env->run != NULL ? env->run : &defaults);
  WN_TRY(keep_counts(m, data, err));
  WN_TRY(wn_ranker_fit(data, &o, env, &m->head, &m->forest, err));
  *out = &m->base;
cleanup:
  if (status != WN_OK) ranker_free(&m->base);
  return status;
}

static wn_status ranker_bind(wn_model *model, const wn_models *set, wn_error *err WN_UNUSED) {
  ranker *m = (ranker *)model;
  m->world.opinion = m->opinion;
  m->world.opinions = m->head.opinions;
  m->world.depth = m->head.depth;
  m->world.items = m->head.items;
  for (uint32_t o = 0; o < m->head.opinions; o++) {
    const wn_model *found = wn_models_find(set, m->opinion[o].model);
    m->world.model[o] = found != NULL && wn_blend_takes(found->cls) ? found : NULL;
  }
  return WN_OK;
}

/* --- answering --- */

static wn_status score(const ranker *m, const wn_query *query, wn_arena *arena,
                       wn_ranker_rows *rows, float **out, wn_error *err) {
  wn_query own = *query;
  own.arena = arena;
  *rows = (wn_ranker_rows){0};
  if (m->forest.trees.count == 0) return WN_OK;
  wn_status status = wn_ranker_rows_of(&m->world, &own, rows, err);
  if (status != WN_OK) return status;
  *out = wn_arena_alloc(arena, (rows->len + 1) * sizeof **out);
  if (*out == NULL) return wn_fail_memory(err);
  wn_forest_predict(&m->forest, rows->feature, rows->len, rows->features, *out);
  return WN_OK;
}

static wn_status ranker_candidates(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_ranker_rows rows;
  float *scores = NULL;
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = score((const ranker *)model, query, arena, &rows, &scores, err);
  for (size_t r = 0; status == WN_OK && r < rows.len; r++)
    if (wn_query_allows(query, rows.item[r])) wn_topk_push(&top, rows.item[r], scores[r]);
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

static wn_status ranker_score_all(const wn_model *model, const wn_query *query, float *scores,
                                  uint32_t items, wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_ranker_rows rows;
  float *found = NULL;
  wn_scores_clear(scores, items);
  wn_status status = score((const ranker *)model, query, arena, &rows, &found, err);
  for (size_t r = 0; status == WN_OK && r < rows.len; r++)
    if (rows.item[r] < items) scores[rows.item[r]] = found[r];
  wn_arena_clear(&local);
  return status;
}

/* --- snapshots --- */

static wn_status ranker_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const ranker *m = (const ranker *)model;
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "ranker/head", &m->head, sizeof m->head, err));
  WN_TRY(wn_snapshot_write(writer, "ranker/opinions", m->opinion,
                           m->head.opinions * (uint64_t)sizeof *m->opinion, err));
  WN_TRY(wn_snapshot_write(writer, "ranker/users_of", m->world.users_of,
                           m->head.items * (uint64_t)sizeof(uint32_t), err));
  WN_TRY(wn_forest_save(&m->forest, "ranker/forest", writer, err));
cleanup:
  return status;
}

static wn_status check(const ranker *m, wn_error *err) {
  for (uint32_t o = 0; o < m->head.opinions; o++)
    if (memchr(m->opinion[o].model, '\0', sizeof m->opinion[o].model) == NULL)
      return wn_fail(err, WN_E_CORRUPT, "ranker/opinions", "name %u has no end", o);
  if (m->forest.trees.count > 0 && m->forest.features != wn_ranker_features(m->head.opinions))
    return wn_fail(err, WN_E_CORRUPT, "ranker/forest", "%u features, not %u", m->forest.features,
                   wn_ranker_features(m->head.opinions));
  return WN_OK;
}

static wn_status ranker_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *raw;
  wn_status status;
  ranker *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_ranker;
  WN_TRY(wn_section_array(snapshot, "ranker/head", sizeof m->head, 1, &raw, err));
  memcpy(&m->head, raw, sizeof m->head);
  if (m->head.version != 1 || m->head.opinions > WN_RANKER_OPINIONS_MAX || m->head.depth < 1 ||
      m->head.depth > DEPTH_MAX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "ranker/head", "version %u, %u opinions, lists of %u",
                   m->head.version, m->head.opinions, m->head.depth));
  WN_TRY(wn_section_array(snapshot, "ranker/opinions", sizeof *m->opinion, m->head.opinions, &raw,
                          err));
  memcpy(m->opinion, raw, m->head.opinions * sizeof *m->opinion);
  WN_TRY(wn_section_array(snapshot, "ranker/users_of", sizeof(uint32_t), m->head.items, &raw, err));
  m->world.users_of = raw;
  WN_TRY(wn_forest_map(snapshot, "ranker/forest", &m->forest, err));
  WN_TRY(check(m, err));
  *out = &m->base;
cleanup:
  if (status != WN_OK) ranker_free(&m->base);
  return status;
}

const wn_model_class wn_model_ranker = {
    .name = "ranker",
    .doc = "boosted trees over what all other models say, trained on what users did next",
    .flags = WN_MODEL_HISTORY | WN_MODEL_BY_NAME,
    .params = ranker_params,
    .params_len = sizeof ranker_params / sizeof *ranker_params,
    .fit = ranker_fit,
    .save = ranker_save,
    .map = ranker_map,
    .bind = ranker_bind,
    .candidates = ranker_candidates,
    .score_all = ranker_score_all,
    .free = ranker_free,
};
