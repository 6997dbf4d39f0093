#include "lab/world_fit.h"

#include "base/dict.h"
#include "base/mem.h"
#include "base/vec.h"
#include "data/reader.h"
#include "model/als.h"

#include <math.h>
#include <string.h>

#define FACTORS 16
#define PAIRS   100000 /* whose scores are looked at */
#define SHRINK  10.0

typedef struct rated {
  double count, sum; /* of values */
} rated;

typedef struct fit {
  wn_signals signals;
  wn_dict *users, *items;
  wn_dataset_builder *builder;
  WN_VEC(double) activity; /* users */
  WN_VEC(rated) values;    /* items */
  double count, sum;
} fit;

static wn_status take_event(void *ctx, const wn_event_record *event, wn_error *err) {
  fit *f = ctx;
  bool added;
  uint32_t type = wn_signals_add(&f->signals, event->type);
  wn_event e = {.type = type, .value = (float)event->value, .time_ms = event->time_ms};
  if (wn_dict_add(f->users, event->user, &e.user, &added) != WN_OK) return wn_fail_memory(err);
  if (added && !wn_vec_push(&f->activity, 0.0)) return wn_fail_memory(err);
  if (wn_dict_add(f->items, event->item, &e.item, &added) != WN_OK) return wn_fail_memory(err);
  if (added && !wn_vec_push(&f->values, ((rated){0}))) return wn_fail_memory(err);
  f->activity.data[e.user]++;
  if (!isnan(event->value)) {
    f->values.data[e.item].count++;
    f->values.data[e.item].sum += event->value;
    f->count++;
    f->sum += event->value;
  }
  return wn_dataset_builder_add(f->builder, &e, err);
}

static wn_status pass_item(void *ctx, const wn_item_record *item, wn_error *err) {
  (void)ctx, (void)item, (void)err;
  return WN_OK;
}
static wn_status pass_user(void *ctx, const wn_user_record *user, wn_error *err) {
  (void)ctx, (void)user, (void)err;
  return WN_OK;
}

static wn_status read_data(fit *f, const char *path, wn_error *err) {
  wn_status status = WN_OK;
  wn_read_options how;
  wn_read_report report = {0};
  const wn_sink sink = {f, take_event, pass_item, pass_user};
  wn_read_options_defaults(&how);
  wn_signals_defaults(&f->signals);
  f->users = wn_dict_create();
  f->items = wn_dict_create();
  f->builder = wn_dataset_builder_create(&f->signals);
  if (f->users == NULL || f->items == NULL || f->builder == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_read(path, &how, &sink, &report, err));
  if (report.events == 0)
    WN_TRY(wn_fail(err, WN_E_FORMAT, "like", "%s holds no events to fit tastes to", path));
cleanup:
  return status;
}

static wn_status fit_als(const wn_dataset *data, uint64_t seed, wn_model **out, wn_error *err) {
  wn_train_options train;
  wn_train_options_defaults(&train);
  wn_train_spec *spec = wn_train_options_want(&train, "als");
  wn_fit_env env = {.pool = wn_pool_create(1), .seed = seed};
  wn_status status = WN_OK;
  if (env.pool == NULL) return wn_fail_memory(err);
  WN_TRY(wn_train_options_set(&train, "als.factors=16", err));
  WN_TRY(wn_fit_one(data, spec, &env, out, err));
cleanup:
  wn_pool_free(env.pool);
  return status;
}

/* Without its length: an item's is mostly its popularity, which says who was shown it. */
static void take_direction(const float *from, float *to) {
  double squares = 0;
  for (size_t d = 0; d < FACTORS; d++) squares += (double)from[d] * (double)from[d];
  for (size_t d = 0; d < FACTORS && squares > 0; d++)
    to[d] = (float)((double)from[d] / sqrt(squares));
}

static void take_tastes(const wn_als *als, wn_world *w) {
  for (uint32_t u = 0; u < w->options.users; u++)
    take_direction(als->user + (size_t)u * FACTORS, w->user_taste + (size_t)u * FACTORS);
  for (uint32_t i = 0; i < w->options.items; i++) {
    const float *v = wn_als_vector(als, i);
    float *taste = w->item_taste + (size_t)i * FACTORS;
    if (v != NULL) take_direction(v, taste);
    for (uint8_t d = 1; d < FACTORS; d++)
      if (taste[d] > taste[w->main_topic[i]]) w->main_topic[i] = d;
  }
}

/* scale and offset: match = ½ + z/4. */
static void standardise(wn_world *w, wn_rng *rng) {
  double sum = 0, squares = 0;
  for (int p = 0; p < PAIRS; p++) {
    const float *u = w->user_taste + wn_rng_below(rng, w->options.users) * FACTORS;
    const float *v = w->item_taste + wn_rng_below(rng, w->options.items) * FACTORS;
    double score = 0;
    for (size_t d = 0; d < FACTORS; d++) score += (double)u[d] * (double)v[d];
    sum += score;
    squares += score * score;
  }
  double mean = sum / PAIRS, deviation = sqrt(fmax(squares / PAIRS - mean * mean, 1e-12));
  w->scale = (float)(0.25 / deviation);
  w->offset = (float)(0.5 - 0.25 * mean / deviation);
}

static wn_status take_quality(const fit *f, wn_world *w, wn_error *err) {
  double all = f->count > 0 ? f->sum / f->count : 0, squares = 0;
  if (f->count == 0) return WN_OK; /* made up, then */
  double *mean = wn_calloc(w->options.items, sizeof *mean);
  if (mean == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < w->options.items; i++) {
    const rated *r = &f->values.data[i];
    mean[i] = (r->sum + SHRINK * all) / (r->count + SHRINK) - all;
    squares += mean[i] * mean[i];
  }
  double deviation = sqrt(fmax(squares / w->options.items, 1e-12));
  for (size_t i = 0; i < w->options.items; i++)
    w->quality[i] = (float)(sqrt(0.5) * (mean[i] / deviation + (double)w->quality[i]));
  wn_free(mean);
  return WN_OK;
}

static void fit_clear(fit *f) {
  wn_dataset_builder_free(f->builder);
  wn_dict_free(f->users);
  wn_dict_free(f->items);
  wn_vec_clear(&f->activity);
  wn_vec_clear(&f->values);
  wn_free(f);
}

wn_status wn_world_fit(const wn_world_options *options, const char *path, wn_world *out,
                       wn_error *err) {
  wn_status status = WN_OK;
  wn_dataset data = {0};
  wn_model *model = NULL;
  wn_rng rng;
  wn_world_options sized = *options;
  *out = (wn_world){0};
  fit *f = wn_calloc(1, sizeof *f);
  if (f == NULL) return wn_fail_memory(err);
  WN_TRY(read_data(f, path, err));
  sized.users = wn_dict_count(f->users);
  sized.items = wn_dict_count(f->items);
  WN_TRY(wn_dataset_build(f->builder, sized.users, sized.items, 0, &data, err));
  WN_TRY(fit_als(&data, options->seed, &model, err));
  WN_TRY(wn_world_create_blank(&sized, FACTORS, out, err));
  take_tastes((const wn_als *)model, out);
  wn_rng_seed(&rng, options->seed);
  standardise(out, &rng);
  WN_TRY(take_quality(f, out, err));
  for (uint32_t u = 0; u < sized.users; u++)
    out->activity[u] = f->activity.data[u] / (double)wn_dataset_builder_count(f->builder);
cleanup:
  if (model != NULL) model->cls->free(model);
  wn_dataset_clear(&data);
  fit_clear(f);
  if (status != WN_OK) wn_world_clear(out);
  return status;
}
