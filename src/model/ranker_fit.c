/* Training the ranker: replay past moments (replay.c), fit each model on what came before them,
 * make the features as they were then, and boost trees that put what was taken next first:
 * LambdaMART (Burges 2010) as XGBoost's rank:ndcg, one group a moment, what was taken against
 * candidates drawn at random. Objectives learn from the same rows where nothing was shown yet: what
 * is a success of theirs is always kept, the drawn ones weigh what they stand for.
 *
 * A moment none of whose items is among the candidates teaches nothing and is left out. Features
 * that follow the events met (feature.h) are filled by one pass over all events and moments in the
 * order of time. Deterministic whatever the threads.
 *
 * Cost: a second fit of each model; moments · negatives rows, about .5 ns a row, feature and tree.
 * Memory: 4 bytes a row and feature, and XGBoost's own copy of 8. */
#include "model/light.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/past_shown.h"
#include "model/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_MIN 30
#define WHOLE      128 /* moments held out with all their candidates */
#define ARENA_MAX  ((size_t)512 << 20)

/* One moment's rows, chosen. */
typedef struct group {
  uint32_t *item;
  float *feature; /* [len × features], the relevant ones first */
  uint32_t len, relevant;
  bool whole;    /* held out: no tree sees it */
  uint32_t kept; /* the rest are a sample, */
  float weight;  /* each of which stands for so many */
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
  wn_replay past;
  wn_item_facts facts;
  wn_feature_world world;
  wn_models fitted;
  wn_past_shown *shown; /* NULL: no feature asks for it, or nothing is known */
  group *groups;        /* [past.len] */
  scratch *scratch;
} fit;

/* --- the models on the rest --- */

static const wn_train_spec *spec_of(const wn_train_options *run, const char *name) {
  for (size_t i = 0; i < run->models_len; i++)
    if (strcmp(run->models[i].cls->name, name) == 0) return &run->models[i];
  return NULL;
}

static wn_status fit_models(fit *f, const wn_train_options *run, wn_error *err) {
  const wn_feature_set *set = f->world.set;
  wn_fit_env own = *f->env;
  own.warm = NULL; /* it has seen what is to be predicted */
  own.fitted = NULL;
  for (uint32_t o = 0; o < set->opinions; o++) {
    const char *name = set->opinion[o].model;
    const wn_train_spec *spec = spec_of(run, name);
    if (spec == NULL || wn_models_find(&f->fitted, name) != NULL) continue;
    if (!wn_progress_at(f->env->progress, "ranker: on a part", o, set->opinions, "models"))
      return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
    wn_status status = wn_fit_one(&f->past.rest, spec, &own, &f->fitted.data[f->fitted.len], err);
    if (status == WN_E_CORRUPT) wn_fit_left_out(spec, err);
    if (status != WN_OK && status != WN_E_CORRUPT) return status;
    f->fitted.len += status == WN_OK;
  }
  wn_ranker_find_opinions(set, &f->fitted, f->world.model);
  return WN_OK;
}

/* --- rows --- */

static bool is_target(const wn_replay *past, const wn_moment *m, uint32_t item) {
  for (uint64_t i = m->target; i < m->targets_end; i++)
    if (past->target[i] == item) return true;
  return false;
}

/* The rows of `order` that are kept, into memory of their own. */
static wn_status keep_rows(const wn_feature_rows *rows, const uint32_t *order, size_t len,
                           group *out, wn_error *err) {
  size_t features = rows->features;
  out->feature = wn_reallocarray(NULL, len * features, sizeof *out->feature);
  out->item = wn_reallocarray(NULL, len, sizeof *out->item);
  if (out->feature == NULL || out->item == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) {
    memcpy(out->feature + i * features, rows->feature + order[i] * features,
           features * sizeof(float));
    out->item[i] = rows->item[order[i]];
  }
  out->len = (uint32_t)len;
  return WN_OK;
}

/* Few enough to be kept with all their rows, to measure the light ranker on. */
static bool is_whole(const fit *f, size_t at) {
  return f->past.len >= 8 * WHOLE && at % (f->past.len / WHOLE) == 0;
}

/* Where items were held out, a moment has no time of its own. */
static uint8_t successes_of(const fit *f, const wn_moment *m, uint32_t item) {
  return wn_label_index_at(f->options->labels, m->user, item,
                           f->past.rounds == 0 ? m->time_ms : WN_ANY_TIME);
}

/* After the relevant rows those that an objective has a success in; how many that makes. */
static size_t keep_labelled(const fit *f, const wn_moment *m, const wn_feature_rows *rows,
                            uint32_t *order, size_t relevant) {
  size_t kept = relevant;
  for (size_t i = relevant; f->options->labels != NULL && i < rows->len; i++) {
    uint32_t row = order[i];
    if (successes_of(f, m, rows->item[row]) == 0) continue;
    order[i] = order[kept];
    order[kept++] = row;
  }
  return kept;
}

/* The relevant rows and a sample of the others. */
static wn_status choose_rows(const fit *f, size_t at, wn_feature_rows *rows, wn_arena *arena,
                             wn_error *err) {
  const wn_moment *m = &f->past.moment[at];
  size_t relevant = 0;
  uint32_t *order = wn_arena_alloc(arena, (rows->len + 1) * sizeof *order);
  if (order == NULL) return wn_fail_memory(err);
  for (size_t r = 0; r < rows->len; r++) order[r] = (uint32_t)r;
  for (size_t r = 0; r < rows->len; r++) {
    if (!is_target(&f->past, m, rows->item[r])) continue;
    order[r] = order[relevant];
    order[relevant++] = (uint32_t)r;
  }
  bool whole = f->groups[at].whole = is_whole(f, at);
  size_t kept = keep_labelled(f, m, rows, order, relevant);
  size_t len = kept + f->options->negatives;
  if (len > rows->len || whole) len = rows->len;
  if (whole ? len == 0 : relevant == 0 || relevant == len) return WN_OK;
  wn_rng rng;
  wn_rng_seed(&rng, wn_mix64(f->env->seed ^ wn_mix64(m->user ^ wn_mix64(m->end))));
  for (size_t i = kept; i < len; i++) {
    size_t from = i + (size_t)wn_rng_below(&rng, rows->len - i);
    uint32_t swap = order[i];
    order[i] = order[from];
    order[from] = swap;
  }
  f->groups[at].relevant = (uint32_t)relevant;
  f->groups[at].kept = (uint32_t)kept;
  f->groups[at].weight = len > kept ? (float)(rows->len - kept) / (float)(len - kept) : 1;
  return keep_rows(rows, order, len, &f->groups[at], err);
}

static wn_status one_moment(fit *f, size_t at, scratch *s) {
  const wn_moment *m = &f->past.moment[at];
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_feature_rows rows;
  wn_query query;
  wn_past_view view;
  wn_arena_reset(&s->arena);
  if (!wn_moment_query(m, &s->arena, &query)) return wn_fail_memory(&s->err);
  query.allowed = &s->allowed;
  for (uint64_t p = m->begin; p < m->end; p++) wn_bitset_unset(&s->allowed, m->rows->col[p]);
  const wn_feature_ask ask = {.lists = lists,
                              .exposed = wn_past_shown_at(f->shown, m->user, m->time_ms, &view)};
  wn_status status = wn_feature_lists(&f->world, &query, NULL, lists, &s->err);
  if (status == WN_OK) status = wn_feature_rows_of(&f->world, &query, &ask, &rows, &s->err);
  for (uint64_t p = m->begin; p < m->end; p++) wn_bitset_set(&s->allowed, m->rows->col[p]);
  return status == WN_OK ? choose_rows(f, at, &rows, &s->arena, &s->err) : status;
}

static void all_moments(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  scratch *s = &f->scratch[worker];
  for (size_t at = begin; at < end && s->err.status == WN_OK; at++)
    s->err.status = one_moment(f, at, s);
}

static wn_status make_groups(fit *f, wn_error *err) {
  size_t threads = (size_t)wn_pool_threads(f->env->pool);
  f->groups = wn_calloc(f->past.len + 1, sizeof *f->groups);
  f->scratch = wn_calloc(threads, sizeof *f->scratch);
  if (f->groups == NULL || f->scratch == NULL) return wn_fail_memory(err);
  for (size_t t = 0; t < threads; t++) {
    wn_arena_init(&f->scratch[t].arena, ARENA_MAX);
    if (!wn_bitset_init(&f->scratch[t].allowed, f->data->items)) return wn_fail_memory(err);
    wn_bitset_fill(&f->scratch[t].allowed, true);
  }
  wn_pool_run(f->env->pool, f->past.len, 8, all_moments, f);
  for (size_t t = 0; t < threads; t++) {
    if (f->scratch[t].err.status == WN_OK) continue;
    *err = f->scratch[t].err;
    return err->status;
  }
  return WN_OK;
}

/* --- what follows time --- */

typedef struct moment_at {
  int64_t time_ms;
  size_t at;
} moment_at;

static int by_time(const void *left, const void *right) {
  const moment_at *a = left, *b = right;
  if (a->time_ms != b->time_ms) return a->time_ms < b->time_ms ? -1 : 1;
  return (a->at > b->at) - (a->at < b->at);
}

static wn_status retime_one(fit *f, size_t at, wn_arena *arena, wn_error *err) {
  group *g = &f->groups[at];
  wn_query query;
  wn_arena_reset(arena);
  if (!wn_moment_query(&f->past.moment[at], arena, &query)) return wn_fail_memory(err);
  wn_feature_rows rows = {g->item, g->feature, g->len, wn_features_count(f->world.set)};
  wn_feature_retime(&f->world, &query, &rows);
  return WN_OK;
}

/* Events before a moment count at it, those at its own time do not. Where items were held out
 * everything else counts always. */
static wn_status follow_time(fit *f, wn_error *err) {
  wn_taken_list events = {0};
  size_t len = 0, next = 0;
  wn_arena *arena = &f->scratch[0].arena;
  bool timed = f->past.rounds == 0;
  wn_status status = WN_OK;
  moment_at *order = wn_reallocarray(NULL, f->past.len + 1, sizeof *order);
  if (order == NULL) return wn_fail_memory(err);
  for (size_t at = 0; at < f->past.len; at++)
    if (f->groups[at].len > 0) order[len++] = (moment_at){f->past.moment[at].time_ms, at};
  if (len > 0) qsort(order, len, sizeof *order, by_time);
  WN_TRY(wn_taken_list_of(timed ? f->data : &f->past.rest, &events, err));
  for (size_t i = 0; i < len; i++) {
    for (; next < events.len && (!timed || events.data[next].time_ms < order[i].time_ms); next++)
      wn_pulse_add(&f->facts.pulse[events.data[next].item], events.data[next].time_ms,
                   events.data[next].place);
    WN_TRY(retime_one(f, order[i].at, arena, err));
  }
cleanup:
  wn_free(events.data);
  wn_free(order);
  return status;
}

/* --- one table --- */

static wn_status size_table(const fit *f, bool whole, wn_ranker_table *t, wn_error *err) {
  t->features = wn_features_count(f->world.set);
  for (size_t at = 0; at < f->past.len; at++) {
    if (f->groups[at].whole != whole) continue;
    t->rows += f->groups[at].len;
    t->groups += f->groups[at].len > 0;
  }
  t->feature = wn_reallocarray(NULL, t->rows * t->features + 1, sizeof *t->feature);
  t->label = wn_calloc(t->rows + 1, sizeof *t->label);
  t->item = wn_calloc(t->rows + 1, sizeof *t->item);
  t->weight = wn_calloc(t->rows + 1, sizeof *t->weight);
  if (f->options->labels != NULL) t->success = wn_calloc(t->rows + 1, 1);
  t->size = wn_calloc(t->groups + 1, sizeof *t->size);
  t->moment = wn_calloc(t->groups + 1, sizeof *t->moment);
  return t->feature != NULL && t->label != NULL && t->item != NULL && t->weight != NULL &&
                 (t->success != NULL || f->options->labels == NULL) && t->size != NULL &&
                 t->moment != NULL
             ? WN_OK
             : wn_fail_memory(err);
}

/* Moves the groups into one table: those to learn from, or those held out. */
static wn_status make_table(const fit *f, bool whole, wn_ranker_table *t, wn_error *err) {
  wn_status status = size_table(f, whole, t, err);
  if (status != WN_OK) return status;
  size_t row = 0, n = 0;
  for (size_t at = 0; at < f->past.len; at++) {
    group *g = &f->groups[at];
    if (g->len == 0 || g->whole != whole) continue;
    memcpy(t->feature + row * t->features, g->feature, g->len * t->features * sizeof(float));
    memcpy(t->item + row, g->item, g->len * sizeof *g->item);
    for (uint32_t i = 0; i < g->relevant; i++) t->label[row + i] = 1;
    for (uint32_t i = 0; i < g->len; i++) t->weight[row + i] = i < g->kept ? 1 : g->weight;
    wn_free(g->feature);
    g->feature = NULL;
    const wn_moment *m = &f->past.moment[at];
    for (uint32_t i = 0; t->success != NULL && i < g->len; i++)
      t->success[row + i] = successes_of(f, m, g->item[i]);
    t->moment[n] = (wn_ranker_moment){m->user, m->time_ms};
    t->size[n++] = g->len;
    row += g->len;
  }
  return WN_OK;
}

void wn_ranker_table_clear(wn_ranker_table *t) {
  wn_free(t->feature);
  wn_free(t->label);
  wn_free(t->item);
  wn_free(t->weight);
  wn_free(t->success);
  wn_free(t->size);
  wn_free(t->moment);
  memset(t, 0, sizeof *t);
}

/* --- the whole --- */

static void clear(fit *f) {
  for (int t = 0; f->scratch != NULL && t < wn_pool_threads(f->env->pool); t++) {
    wn_arena_clear(&f->scratch[t].arena);
    wn_bitset_clear(&f->scratch[t].allowed);
  }
  for (size_t at = 0; f->groups != NULL && at < f->past.len; at++) {
    wn_free(f->groups[at].feature);
    wn_free(f->groups[at].item);
  }
  for (size_t i = 0; i < f->fitted.len; i++) f->fitted.data[i]->cls->free(f->fitted.data[i]);
  wn_free(f->scratch);
  wn_free(f->groups);
  wn_facts_clear(&f->facts);
  wn_past_shown_free(f->shown);
  wn_replay_clear(&f->past);
}

wn_status wn_ranker_table_make(const wn_dataset *data, const wn_ranker_fit_options *options,
                               const wn_fit_env *env, wn_ranker_table *out, wn_ranker_table *whole,
                               wn_error *err) {
  fit f = {.data = data, .options = options, .env = env, .world = {.set = options->set}};
  wn_train_options defaults;
  wn_status status;
  memset(out, 0, sizeof *out);
  memset(whole, 0, sizeof *whole);
  wn_train_options_defaults(&defaults);
  WN_TRY(wn_replay_make(data, &(wn_replay_options){options->moments_max, options->ahead, env->seed},
                        &f.past, err));
  out->moments = f.past.len;
  if (f.past.len < GROUPS_MIN) goto cleanup;
  WN_TRY(wn_facts_fit(data, "", &f.facts, err));
  f.world.facts = &f.facts;
  if (f.past.rounds == 0 && env->run != NULL && env->run->label_log != NULL &&
      (options->set->families >> WN_FEATURES_IMPRESSION & 1) != 0)
    WN_TRY(wn_past_shown_create(env->run->label_log, data->users, &f.shown, err));
  WN_TRY(fit_models(&f, env->run != NULL ? env->run : &defaults, err));
  WN_TRY(make_groups(&f, err));
  WN_TRY(follow_time(&f, err));
  WN_TRY(make_table(&f, false, out, err));
  WN_TRY(make_table(&f, true, whole, err));
cleanup:
  clear(&f);
  if (status != WN_OK) wn_ranker_table_clear(out);
  if (status != WN_OK) wn_ranker_table_clear(whole);
  return status;
}

/* The light ranker, from what the trees say. */
static wn_status distil(const wn_feature_set *set, const wn_ranker_table *t,
                        const wn_ranker_table *whole, wn_ranker_learnt *out, wn_error *err) {
  wn_status status;
  WN_TRY(wn_light_fit(set, t, out->forest, out->light, err));
  WN_TRY(wn_light_measure(set, whole, out->forest, out->light, err));
  if (out->light->moments > 0)
    wn_log(WN_LOG_INFO,
           "light ranker: %.1f%% of the trees' best %d among its best %d (%u moments held out)",
           100.0 * (double)out->light->kept, WN_LIGHT_TOP, WN_LIGHT_CUT, out->light->moments);
cleanup:
  return status;
}

wn_status wn_ranker_fit(const wn_ranker_table *t, const wn_ranker_table *whole,
                        const wn_ranker_fit_options *options, const wn_fit_env *env,
                        wn_ranker_learnt *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_boost_data data = {t->feature, t->label, t->size, t->rows, t->features, t->groups};
  wn_boost_options boost = {options->trees, options->depth, options->eta, options->listwise,
                            env->seed,      "ranker",       WN_NO_IX,     options->warm};
  if (options->warm != NULL) boost.trees = options->warm_trees;
  memset(out->forest, 0, sizeof *out->forest);
  out->head->rows = (uint32_t)t->rows;
  out->head->groups = (uint32_t)t->groups;
  if (t->groups >= GROUPS_MIN)
    status = wn_boost_forest(&data, &boost, NULL, env->progress, out->forest, err);
  if (status == WN_OK)
    wn_log(WN_LOG_INFO, "ranker of %zu of %zu moments, %zu rows, %u features: %u trees", t->groups,
           t->moments, t->rows, wn_features_count(options->set), out->forest->trees.count);
  if (status == WN_OK) status = distil(options->set, t, whole, out, err);
  return status;
}
