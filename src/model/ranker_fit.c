/* Training the ranker: hold items out (data/holdout.c), fit each model on the rest, make the
 * features of the users drawn, and boost trees that put what was held out first: LambdaMART (Burges
 * 2010) as XGBoost's rank:ndcg, one group a user, her held-out items against candidates drawn at
 * random.
 *
 * A user none of whose held-out items is among the candidates teaches nothing and is left out.
 * XGBoost runs on one thread, because its sums depend on their number; everything else is
 * deterministic whatever the threads.
 *
 * Cost: a second fit of each model; users · negatives rows, about .5 µs a row, feature and tree.
 * Memory: 4 bytes a row and feature, twice. */
#include "model/ranker.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/holdout.h"
#include "model/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xgboost/c_api.h>

#define TARGETS_MAX 10
#define GROUPS_MIN  30
#define ARENA_MAX   ((size_t)512 << 20)

/* One user's rows, chosen. */
typedef struct group {
  float *feature; /* [len × features], the relevant ones first */
  uint32_t len, relevant;
} group;

typedef struct scratch {
  wn_arena arena;
  wn_bitset allowed;
  wn_error err;
} scratch;

typedef struct fit {
  const wn_dataset *data;
  const wn_ranker_fit_options *options;
  const wn_fit_env *env;
  wn_holdout held;
  wn_ranker_world world;
  wn_model *fitted[WN_MODELS_MAX];
  size_t fitted_len;
  uint32_t *users_of;
  group *groups; /* [held.len] */
  scratch *scratch;
} fit;

/* --- the models on the rest --- */

static const wn_train_spec *spec_of(const wn_train_options *run, const char *name) {
  for (size_t i = 0; i < run->models_len; i++)
    if (strcmp(run->models[i].cls->name, name) == 0) return &run->models[i];
  return NULL;
}

static wn_status fit_models(fit *f, const wn_train_options *run, wn_error *err) {
  wn_fit_env own = *f->env;
  own.warm = NULL; /* it has seen what is held out */
  own.fitted = NULL;
  for (uint32_t o = 0; o < f->world.opinions; o++) {
    const char *name = f->world.opinion[o].model;
    for (uint32_t before = 0; before < o && f->world.model[o] == NULL; before++)
      if (strcmp(f->world.opinion[before].model, name) == 0)
        f->world.model[o] = f->world.model[before];
    const wn_train_spec *spec = spec_of(run, name);
    if (f->world.model[o] != NULL || spec == NULL) continue;
    if (!wn_progress_at(f->env->progress, "ranker: on a part", o, f->world.opinions, "models"))
      return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
    wn_status status = wn_fit_one(&f->held.rest, spec, &own, &f->fitted[f->fitted_len], err);
    if (status != WN_OK) return status;
    f->world.model[o] = f->fitted[f->fitted_len++];
  }
  return WN_OK;
}

/* --- rows --- */

static bool is_target(const wn_holdout *h, size_t at, uint32_t item) {
  for (uint64_t i = h->ptr[at]; i < h->ptr[at + 1]; i++)
    if (h->target[i] == item) return true;
  return false;
}

/* The relevant rows and a sample of the others. */
static wn_status choose_rows(const fit *f, size_t at, wn_ranker_rows *rows, group *out,
                             wn_error *err) {
  size_t features = rows->features, relevant = 0;
  uint32_t *order = wn_malloc((rows->len + 1) * sizeof *order);
  if (order == NULL) return wn_fail_memory(err);
  for (size_t r = 0; r < rows->len; r++) order[r] = (uint32_t)r;
  for (size_t r = 0; r < rows->len; r++) {
    if (!is_target(&f->held, at, rows->item[r])) continue;
    order[r] = order[relevant];
    order[relevant++] = (uint32_t)r;
  }
  size_t len = relevant + f->options->negatives;
  if (len > rows->len) len = rows->len;
  if (relevant > 0 && relevant < len) {
    wn_rng rng;
    wn_rng_seed(&rng, wn_mix64(f->env->seed ^ wn_mix64(f->held.user[at])));
    for (size_t i = relevant; i < len; i++) {
      size_t from = i + (size_t)wn_rng_below(&rng, rows->len - i);
      uint32_t swap = order[i];
      order[i] = order[from];
      order[from] = swap;
    }
    out->feature = wn_reallocarray(NULL, len * features, sizeof *out->feature);
    for (size_t i = 0; out->feature != NULL && i < len; i++)
      memcpy(out->feature + i * features, rows->feature + order[i] * features,
             features * sizeof(float));
    if (out->feature != NULL) *out = (group){out->feature, (uint32_t)len, (uint32_t)relevant};
  }
  wn_free(order);
  return relevant > 0 && relevant < len && out->feature == NULL ? wn_fail_memory(err) : WN_OK;
}

static wn_status one_user(fit *f, size_t at, scratch *s) {
  const wn_csr *m = &f->held.rest.by_user;
  uint32_t user = f->held.user[at];
  uint64_t begin = m->row_ptr[user], end = m->row_ptr[user + 1];
  wn_ranker_rows rows;
  wn_arena_reset(&s->arena);
  wn_history_entry *h = wn_arena_calloc(&s->arena, end - begin + 1, sizeof *h);
  if (h == NULL) return wn_fail_memory(&s->err);
  wn_query query = {.history = h,
                    .user = user,
                    .anchor = WN_NO_IX,
                    .allowed = &s->allowed,
                    .now_ms = f->data->now_ms,
                    .arena = &s->arena};
  for (uint64_t p = end; p-- > begin;) {
    wn_history_entry *entry = &h[query.history_len++];
    entry->item = m->col[p];
    entry->weight = m->weight[p];
    entry->time_ms = m->time_ms[p];
    wn_bitset_unset(&s->allowed, m->col[p]);
  }
  wn_status status = wn_ranker_rows_of(&f->world, &query, &rows, &s->err);
  for (uint64_t p = begin; p < end; p++) wn_bitset_set(&s->allowed, m->col[p]);
  return status == WN_OK ? choose_rows(f, at, &rows, &f->groups[at], &s->err) : status;
}

static void all_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  scratch *s = &f->scratch[worker];
  for (size_t at = begin; at < end && s->err.status == WN_OK; at++)
    s->err.status = one_user(f, at, s);
}

static wn_status make_groups(fit *f, wn_error *err) {
  size_t threads = (size_t)wn_pool_threads(f->env->pool);
  f->groups = wn_calloc(f->held.len + 1, sizeof *f->groups);
  f->scratch = wn_calloc(threads, sizeof *f->scratch);
  if (f->groups == NULL || f->scratch == NULL) return wn_fail_memory(err);
  for (size_t t = 0; t < threads; t++) {
    wn_arena_init(&f->scratch[t].arena, ARENA_MAX);
    if (!wn_bitset_init(&f->scratch[t].allowed, f->data->items)) return wn_fail_memory(err);
    wn_bitset_fill(&f->scratch[t].allowed, true);
  }
  wn_pool_run(f->env->pool, f->held.len, 8, all_users, f);
  for (size_t t = 0; t < threads; t++) {
    if (f->scratch[t].err.status == WN_OK) continue;
    *err = f->scratch[t].err;
    return err->status;
  }
  return WN_OK;
}

/* --- XGBoost --- */

static wn_status booster_fail(wn_error *err) {
  return wn_fail(err, WN_E_INTERNAL, "ranker", "XGBoost: %.300s", XGBGetLastError());
}

#define XGB(call)                                                                                  \
  do {                                                                                             \
    if ((call) != 0) WN_TRY(booster_fail(err));                                                    \
  } while (0)

typedef struct table {
  float *feature, *label;
  unsigned *size; /* rows of each group */
  size_t rows, groups;
} table;

static wn_status make_table(const fit *f, table *t, wn_error *err) {
  size_t features = wn_ranker_features(f->world.opinions);
  for (size_t at = 0; at < f->held.len; at++) {
    t->rows += f->groups[at].len;
    t->groups += f->groups[at].len > 0;
  }
  t->feature = wn_reallocarray(NULL, t->rows * features + 1, sizeof *t->feature);
  t->label = wn_calloc(t->rows + 1, sizeof *t->label);
  t->size = wn_calloc(t->groups + 1, sizeof *t->size);
  if (t->feature == NULL || t->label == NULL || t->size == NULL) return wn_fail_memory(err);
  size_t row = 0, n = 0;
  for (size_t at = 0; at < f->held.len; at++) {
    const group *g = &f->groups[at];
    if (g->len == 0) continue;
    memcpy(t->feature + row * features, g->feature, g->len * features * sizeof(float));
    for (uint32_t i = 0; i < g->relevant; i++) t->label[row + i] = 1;
    t->size[n++] = g->len;
    row += g->len;
  }
  return WN_OK;
}

static wn_status set_params(BoosterHandle booster, const wn_ranker_fit_options *o, uint64_t seed,
                            wn_error *err) {
  char eta[32], depth[16], seed_text[24];
  wn_status status = WN_OK;
  snprintf(eta, sizeof eta, "%.9g", o->eta);
  snprintf(depth, sizeof depth, "%u", o->depth);
  snprintf(seed_text, sizeof seed_text, "%u", (unsigned)(seed & 0x7fffffff));
  const char *const params[][2] = {
      {"objective", o->listwise ? "rank:ndcg" : "binary:logistic"},
      {"tree_method", "hist"},
      {"eta", eta},
      {"max_depth", depth},
      {"min_child_weight", "5"},
      {"subsample", "0.8"},
      {"nthread", "1"},
      {"seed", seed_text},
      {"verbosity", "0"},
  };
  for (size_t i = 0; i < sizeof params / sizeof *params; i++)
    XGB(XGBoosterSetParam(booster, params[i][0], params[i][1]));
cleanup:
  return status;
}

static wn_status boost(const fit *f, const table *t, wn_forest *out, wn_error *err) {
  DMatrixHandle matrix = NULL;
  BoosterHandle booster = NULL;
  bst_ulong bytes = 0;
  const char *json = NULL;
  size_t features = wn_ranker_features(f->world.opinions);
  wn_status status = WN_OK;
  XGB(XGDMatrixCreateFromMat(t->feature, t->rows, features, NAN, &matrix));
  XGB(XGDMatrixSetFloatInfo(matrix, "label", t->label, t->rows));
  XGB(XGDMatrixSetUIntInfo(matrix, "group", t->size, t->groups));
  XGB(XGBoosterCreate(&matrix, 1, &booster));
  WN_TRY(set_params(booster, f->options, f->env->seed, err));
  for (uint32_t i = 0; i < f->options->trees; i++) {
    if (!wn_progress_at(f->env->progress, "ranker", i, f->options->trees, "trees"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    XGB(XGBoosterUpdateOneIter(booster, (int)i, matrix));
  }
  XGB(XGBoosterSaveModelToBuffer(booster, "{\"format\": \"json\"}", &bytes, &json));
  WN_TRY(wn_forest_parse((wn_str){json, bytes}, out, err));
cleanup:
  if (booster != NULL) (void)XGBoosterFree(booster);
  if (matrix != NULL) (void)XGDMatrixFree(matrix);
  return status;
}

/* --- the whole --- */

static void clear(fit *f) {
  for (int t = 0; f->scratch != NULL && t < wn_pool_threads(f->env->pool); t++) {
    wn_arena_clear(&f->scratch[t].arena);
    wn_bitset_clear(&f->scratch[t].allowed);
  }
  for (size_t at = 0; f->groups != NULL && at < f->held.len; at++) wn_free(f->groups[at].feature);
  for (size_t i = 0; i < f->fitted_len; i++) f->fitted[i]->cls->free(f->fitted[i]);
  wn_free(f->scratch);
  wn_free(f->groups);
  wn_free(f->users_of);
  wn_holdout_clear(&f->held);
}

static wn_status count_users(fit *f, wn_error *err) {
  const wn_csr *m = &f->held.rest.by_item;
  f->users_of = wn_calloc((size_t)f->data->items + 1, sizeof *f->users_of);
  if (f->users_of == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < m->rows; i++)
    f->users_of[i] = (uint32_t)(m->row_ptr[i + 1] - m->row_ptr[i]);
  f->world.users_of = f->users_of;
  return WN_OK;
}

wn_status wn_ranker_fit(const wn_dataset *data, const wn_ranker_fit_options *options,
                        const wn_fit_env *env, wn_ranker_head *head, wn_forest *out,
                        wn_error *err) {
  fit f = {.data = data,
           .options = options,
           .env = env,
           .world = {.opinion = options->opinions,
                     .opinions = head->opinions,
                     .depth = head->depth,
                     .items = data->items}};
  wn_holdout_options how = {
      .users_max = options->users_max, .targets_max = TARGETS_MAX, .seed = env->seed};
  wn_train_options defaults;
  table t = {0};
  wn_status status;
  memset(out, 0, sizeof *out);
  wn_train_options_defaults(&defaults);
  WN_TRY(wn_holdout_make(data, &how, &f.held, err));
  if (f.held.len < GROUPS_MIN) goto cleanup;
  WN_TRY(count_users(&f, err));
  WN_TRY(fit_models(&f, env->run != NULL ? env->run : &defaults, err));
  WN_TRY(make_groups(&f, err));
  WN_TRY(make_table(&f, &t, err));
  head->rows = (uint32_t)t.rows;
  head->groups = (uint32_t)t.groups;
  if (t.groups >= GROUPS_MIN) WN_TRY(boost(&f, &t, out, err));
  wn_log(WN_LOG_INFO, "ranker of %zu users, %zu rows, %u features: %u trees", t.groups, t.rows,
         wn_ranker_features(head->opinions), out->trees.count);
cleanup:
  clear(&f);
  wn_free(t.feature);
  wn_free(t.label);
  wn_free(t.size);
  return status;
}
