/* What the ranker's trees learn from: replay past moments (replay.c), fit each model on what came
 * before them, and make the features as they were then: one group a moment, what was taken against
 * candidates drawn at random. Objectives learn from the same rows where nothing was shown yet: what
 * is a success of theirs is always kept, the drawn ones weigh what they stand for. The trees
 * themselves: ranker_trees.c.
 *
 * A moment none of whose items is among the candidates teaches nothing and is left out. Features
 * that follow the events met (feature.h) are filled by one pass over all events and moments in the
 * order of time. Deterministic whatever the threads.
 *
 * Cost: a second fit of each model; moments · negatives rows, about .5 ns a row, feature and tree.
 * Memory: 4 bytes a row and feature, and XGBoost's own copy of 8. */
#include "model/blend.h"
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
#define WHOLE      128  /* moments held out with all their candidates */
#define JUDGED     1500 /* moments to be judged by, at most about */
#define JUDGED_MIN 4000 /* moments of what is next, of which some are held out for it */
#define NEAR_TOP   40   /* places of a list whose items are judged */
#define ARENA_MAX  ((size_t)512 << 20)

/* One moment's rows for one table, chosen. */
typedef struct group {
  uint32_t *item;
  float *feature; /* [len × features], the relevant ones first */
  float *blend;   /* [len]; NULL: not to be judged by */
  uint32_t len, relevant;
  uint32_t kept; /* the rest are a sample, */
  float weight;  /* each of which stands for so many */
} group;

typedef struct scratch {
  wn_arena arena;
  wn_bitset allowed;
  float *points; /* [items] 0, or what the blend gives */
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
  group *groups;        /* [past.len × WN_RANKER_TABLES] */
  scratch *scratch;
  unsigned view;     /* whose moments are being asked for */
  size_t judge_from; /* of what comes later: the first moment to be judged by */
} fit;

static bool later(const fit *f) {
  return f->options->horizon == WN_BLEND_LATER;
}

static group *group_at(const fit *f, size_t at, wn_ranker_table_kind kind) {
  return &f->groups[at * WN_RANKER_TABLES + kind];
}

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

/* The first `len` rows of `order`, into memory of their own. */
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
  return !later(f) && f->past.len >= 8 * WHOLE && at % (f->past.len / WHOLE) == 0;
}

/* Of what comes later they teach in the end, too. */
static bool is_judged(const fit *f, size_t at) {
  if (f->options->blended == NULL) return false;
  size_t len = later(f) ? f->past.len - f->judge_from : f->past.len;
  size_t every = len / JUDGED + 1;
  if (later(f)) return at >= f->judge_from && at % every == 0;
  if (every < 20) every = 20;
  return f->past.len >= JUDGED_MIN && at % every == 1;
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

/* In a list of a whole history. */
static bool near_top(const wn_feature_set *set, const float *row) {
  const float *place = row + wn_features_begin(set, WN_FEATURES_PLACE);
  for (uint32_t o = 0; o < set->opinions; o++)
    if (set->opinion[o].newest == 0 && place[o] < NEAR_TOP) return true;
  return false;
}

/* Those near the top of some list, with what the blend gives them. */
static wn_status keep_judged(const fit *f, size_t at, const wn_feature_rows *rows, uint32_t *order,
                             const float *points, wn_error *err) {
  group *g = group_at(f, at, WN_RANKER_JUDGE);
  size_t len = 0;
  for (size_t i = 0; i < rows->len; i++) {
    uint32_t row = order[i];
    if (!near_top(f->world.set, rows->feature + row * rows->features)) continue;
    order[len++] = row;
    g->relevant += is_target(&f->past, &f->past.moment[at], rows->item[row]);
  }
  if (len == 0) return WN_OK;
  g->kept = (uint32_t)len;
  g->blend = wn_reallocarray(NULL, len, sizeof *g->blend);
  if (g->blend == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) g->blend[i] = points[rows->item[order[i]]];
  return keep_rows(rows, order, len, g, err);
}

/* The relevant ones first; how many they are. */
static size_t relevant_first(const fit *f, const wn_moment *m, const wn_feature_rows *rows,
                             uint32_t *order) {
  size_t relevant = 0;
  for (size_t r = 0; r < rows->len; r++) order[r] = (uint32_t)r;
  for (size_t r = 0; r < rows->len; r++) {
    if (!is_target(&f->past, m, rows->item[r])) continue;
    order[r] = order[relevant];
    order[relevant++] = (uint32_t)r;
  }
  return relevant;
}

/* The relevant rows and a sample of the others; of a whole moment all. */
static wn_status keep_sample(const fit *f, size_t at, const wn_feature_rows *rows, uint32_t *order,
                             size_t relevant, wn_error *err) {
  const wn_moment *m = &f->past.moment[at];
  bool whole = is_whole(f, at);
  group *g = group_at(f, at, whole ? WN_RANKER_WHOLE : WN_RANKER_LEARN);
  size_t kept = keep_labelled(f, m, rows, order, relevant);
  size_t len = kept + f->options->negatives * (later(f) ? 1 + relevant / 8 : 1);
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
  g->relevant = (uint32_t)relevant;
  g->kept = (uint32_t)kept;
  g->weight = len > kept ? (float)(rows->len - kept) / (float)(len - kept) : 1;
  return keep_rows(rows, order, len, g, err);
}

/* What the blend would give to what its members' lists name, added to or taken from points[].
 * False: the moment is of the other horizon. */
static bool add_points(const fit *f, const wn_query *query, const wn_feature_list *lists, bool add,
                       float *points) {
  const wn_feature_set *set = f->world.set;
  const wn_model *blend = wn_models_find(f->options->blended, wn_model_blend.name);
  if (wn_blend_horizon_of(blend, query) != f->options->horizon) return false;
  for (uint32_t o = 0; o < set->opinions; o++) {
    wn_blend_weight weight;
    uint32_t depth;
    if (set->opinion[o].newest > 0 ||
        !wn_blend_weight_of(f->options->blended, set->opinion[o].model, query, &weight, &depth))
      continue;
    size_t len = lists[o].len < depth ? lists[o].len : depth;
    wn_blend_list list = wn_blend_list_of(lists[o].data, len);
    for (size_t p = 0; p < len; p++) {
      float *at = &points[lists[o].data[p].ix];
      *at = add ? *at + wn_blend_points(&weight, &list, p, lists[o].data[p].score) : 0;
    }
  }
  return true;
}

static wn_status choose_rows(const fit *f, size_t at, const wn_feature_rows *rows,
                             const wn_query *query, const wn_feature_list *lists, scratch *s) {
  uint32_t *order = wn_arena_alloc(&s->arena, (rows->len + 1) * sizeof *order);
  wn_status status = WN_OK;
  if (order == NULL) return wn_fail_memory(&s->err);
  if (is_judged(f, at) && add_points(f, query, lists, true, s->points)) {
    (void)relevant_first(f, &f->past.moment[at], rows, order);
    status = keep_judged(f, at, rows, order, s->points, &s->err);
    (void)add_points(f, query, lists, false, s->points);
    if (status != WN_OK || !later(f)) return status;
  }
  size_t relevant = relevant_first(f, &f->past.moment[at], rows, order);
  return keep_sample(f, at, rows, order, relevant, &s->err);
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
  return status == WN_OK ? choose_rows(f, at, &rows, &query, lists, s) : status;
}

static void all_moments(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  scratch *s = &f->scratch[worker];
  for (size_t at = begin; at < end && s->err.status == WN_OK; at++)
    if (wn_replay_view(&f->past, &f->past.moment[at]) == f->view)
      s->err.status = one_moment(f, at, s);
}

/* Live models learn what came before the view, as they would while serving. */
static void catch_up(const fit *f, size_t *next) {
  const wn_replay *past = &f->past;
  for (; *next < past->events && past->event[*next].time_ms < past->view_ms[f->view]; (*next)++)
    for (size_t m = 0; m < f->fitted.len; m++) {
      wn_model *model = f->fitted.data[m];
      const wn_event *event = &past->event[*next];
      if (model->cls->update != NULL) model->cls->update(model, event, event->value);
    }
}

static wn_status make_groups(fit *f, wn_error *err) {
  size_t threads = (size_t)wn_pool_threads(f->env->pool);
  size_t next = 0;
  f->groups = wn_calloc(f->past.len * WN_RANKER_TABLES + 1, sizeof *f->groups);
  f->scratch = wn_calloc(threads, sizeof *f->scratch);
  if (f->groups == NULL || f->scratch == NULL) return wn_fail_memory(err);
  for (size_t t = 0; t < threads; t++) {
    wn_arena_init(&f->scratch[t].arena, ARENA_MAX);
    if (!wn_bitset_init(&f->scratch[t].allowed, f->data->items)) return wn_fail_memory(err);
    wn_bitset_fill(&f->scratch[t].allowed, true);
    if (f->options->blended == NULL) continue;
    f->scratch[t].points = wn_calloc((size_t)f->data->items + 1, sizeof(float));
    if (f->scratch[t].points == NULL) return wn_fail_memory(err);
  }
  for (f->view = 0; f->view == 0 || f->view < f->past.views; f->view++) {
    catch_up(f, &next);
    wn_pool_run(f->env->pool, f->past.len, 8, all_moments, f);
  }
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
  size_t at; /* of groups */
} moment_at;

static int by_time(const void *left, const void *right) {
  const moment_at *a = left, *b = right;
  if (a->time_ms != b->time_ms) return a->time_ms < b->time_ms ? -1 : 1;
  return (a->at > b->at) - (a->at < b->at);
}

static const wn_moment *moment_of(const fit *f, size_t at) {
  return &f->past.moment[at / WN_RANKER_TABLES];
}

static wn_status retime_one(fit *f, size_t at, wn_arena *arena, wn_error *err) {
  group *g = &f->groups[at];
  wn_query query;
  wn_arena_reset(arena);
  if (!wn_moment_query(moment_of(f, at), arena, &query)) return wn_fail_memory(err);
  wn_feature_rows rows = {g->item, g->feature, g->len, wn_features_count(f->world.set)};
  wn_feature_retime(&f->world, &query, &rows);
  return WN_OK;
}

/* Events before a moment count at it, those at its own time do not. Where items were held out
 * everything else counts always. */
static wn_status follow_time(fit *f, wn_error *err) {
  wn_taken_list events = {0};
  size_t len = 0, next = 0, groups = f->past.len * WN_RANKER_TABLES;
  wn_arena *arena = &f->scratch[0].arena;
  bool timed = f->past.rounds == 0;
  wn_status status = WN_OK;
  moment_at *order = wn_reallocarray(NULL, groups + 1, sizeof *order);
  if (order == NULL) return wn_fail_memory(err);
  for (size_t at = 0; at < groups; at++)
    if (f->groups[at].len > 0) order[len++] = (moment_at){moment_of(f, at)->time_ms, at};
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

/* --- tables --- */

static wn_status size_table(const fit *f, wn_ranker_table_kind kind, wn_ranker_table *t,
                            wn_error *err) {
  bool judge = kind == WN_RANKER_JUDGE, labels = f->options->labels != NULL;
  t->features = wn_features_count(f->world.set);
  for (size_t at = 0; at < f->past.len; at++) {
    t->rows += group_at(f, at, kind)->len;
    t->groups += group_at(f, at, kind)->len > 0;
  }
  t->feature = wn_reallocarray(NULL, t->rows * t->features + 1, sizeof *t->feature);
  t->label = wn_calloc(t->rows + 1, sizeof *t->label);
  t->item = wn_calloc(t->rows + 1, sizeof *t->item);
  t->weight = wn_calloc(t->rows + 1, sizeof *t->weight);
  t->size = wn_calloc(t->groups + 1, sizeof *t->size);
  t->moment = wn_calloc(t->groups + 1, sizeof *t->moment);
  if (labels) t->success = wn_calloc(t->rows + 1, 1);
  if (judge) t->blend = wn_calloc(t->rows + 1, sizeof *t->blend);
  if (f->past.views > 1) t->early = wn_calloc(t->rows + 1, sizeof *t->early);
  return t->feature != NULL && t->label != NULL && t->item != NULL && t->weight != NULL &&
                 t->size != NULL && t->moment != NULL && (t->success != NULL || !labels) &&
                 (t->blend != NULL || !judge) && (t->early != NULL || f->past.views <= 1)
             ? WN_OK
             : wn_fail_memory(err);
}

/* Of its items those that were taken before the last view. */
static void label_early(const fit *f, const wn_moment *m, const group *g, float *early) {
  for (uint64_t p = m->end; p < m->rows->row_ptr[m->user + 1]; p++)
    for (uint32_t i = 0;
         i < g->relevant && m->rows->time_ms[p] < f->past.view_ms[f->past.views - 1]; i++)
      if (g->item[i] == m->rows->col[p]) early[i] = 1;
}

/* One moment's rows, from `row` on. */
static void move_group(const fit *f, size_t at, group *g, wn_ranker_table *t, size_t row) {
  const wn_moment *m = &f->past.moment[at];
  memcpy(t->feature + row * t->features, g->feature, g->len * t->features * sizeof(float));
  memcpy(t->item + row, g->item, g->len * sizeof *g->item);
  if (t->blend != NULL) memcpy(t->blend + row, g->blend, g->len * sizeof *g->blend);
  for (uint32_t i = 0; i < g->relevant; i++) t->label[row + i] = 1;
  for (uint32_t i = 0; i < g->len; i++) t->weight[row + i] = i < g->kept ? 1 : g->weight;
  wn_free(g->feature);
  g->feature = NULL;
  for (uint32_t i = 0; t->success != NULL && i < g->len; i++)
    t->success[row + i] = successes_of(f, m, g->item[i]);
  if (t->early != NULL) label_early(f, m, g, t->early + row);
}

static wn_status make_table(const fit *f, wn_ranker_table_kind kind, wn_ranker_table *t,
                            wn_error *err) {
  wn_status status = size_table(f, kind, t, err);
  if (status != WN_OK) return status;
  size_t row = 0, n = 0;
  for (size_t at = 0; at < f->past.len; at++) {
    group *g = group_at(f, at, kind);
    const wn_moment *m = &f->past.moment[at];
    if (g->len == 0) continue;
    move_group(f, at, g, t, row);
    t->moment[n] = (wn_ranker_moment){m->user, (uint32_t)(m->targets_end - m->target), m->time_ms};
    t->size[n++] = g->len;
    row += g->len;
    if (at >= f->judge_from) continue;
    t->early_rows = row;
    t->early_groups = n;
  }
  t->moments = f->past.len;
  return WN_OK;
}

void wn_ranker_table_clear(wn_ranker_table *t) {
  wn_free(t->feature);
  wn_free(t->label);
  wn_free(t->item);
  wn_free(t->weight);
  wn_free(t->success);
  wn_free(t->early);
  wn_free(t->blend);
  wn_free(t->size);
  wn_free(t->moment);
  memset(t, 0, sizeof *t);
}

void wn_ranker_tables_clear(wn_ranker_table *tables) {
  for (unsigned kind = 0; kind < WN_RANKER_TABLES; kind++) wn_ranker_table_clear(&tables[kind]);
}

/* --- the whole --- */

static void clear(fit *f) {
  for (int t = 0; f->scratch != NULL && t < wn_pool_threads(f->env->pool); t++) {
    wn_arena_clear(&f->scratch[t].arena);
    wn_bitset_clear(&f->scratch[t].allowed);
    wn_free(f->scratch[t].points);
  }
  for (size_t at = 0; f->groups != NULL && at < f->past.len * WN_RANKER_TABLES; at++) {
    wn_free(f->groups[at].feature);
    wn_free(f->groups[at].item);
    wn_free(f->groups[at].blend);
  }
  for (size_t i = 0; i < f->fitted.len; i++) f->fitted.data[i]->cls->free(f->fitted.data[i]);
  wn_free(f->scratch);
  wn_free(f->groups);
  wn_facts_clear(&f->facts);
  wn_past_shown_free(f->shown);
  wn_replay_clear(&f->past);
}

/* Of several views the last is judged by; of one, half of the users. */
static wn_status find_moments(fit *f, wn_error *err) {
  const wn_ranker_fit_options *o = f->options;
  if (!later(f)) return wn_replay_make(f->data, o->moments_max, f->env->seed, &f->past, err);
  wn_status status = wn_replay_later(f->data, o->moments_max, f->env->seed, &f->past, err);
  f->judge_from = f->past.views == 1 ? f->past.len / 2 : 0;
  while (f->past.views > 1 && f->judge_from < f->past.len &&
         f->past.moment[f->judge_from].time_ms < f->past.view_ms[f->past.views - 1])
    f->judge_from++;
  return status;
}

wn_status wn_ranker_tables_make(const wn_dataset *data, const wn_ranker_fit_options *options,
                                const wn_fit_env *env, wn_ranker_table *out, wn_error *err) {
  fit f = {.data = data, .options = options, .env = env, .world = {.set = options->set}};
  wn_train_options defaults;
  wn_status status;
  memset(out, 0, WN_RANKER_TABLES * sizeof *out);
  wn_train_options_defaults(&defaults);
  WN_TRY(find_moments(&f, err));
  if (f.past.len < GROUPS_MIN) goto cleanup;
  WN_TRY(wn_facts_fit(data, "", &f.facts, err));
  f.world.facts = &f.facts;
  if (f.past.rounds == 0 && env->run != NULL && env->run->label_log != NULL &&
      (options->set->families >> WN_FEATURES_IMPRESSION & 1) != 0)
    WN_TRY(wn_past_shown_create(env->run->label_log, data->users, &f.shown, err));
  WN_TRY(fit_models(&f, env->run != NULL ? env->run : &defaults, err));
  WN_TRY(make_groups(&f, err));
  WN_TRY(follow_time(&f, err));
  for (wn_ranker_table_kind kind = 0; kind < WN_RANKER_TABLES; kind++)
    WN_TRY(make_table(&f, kind, &out[kind], err));
cleanup:
  clear(&f);
  if (status != WN_OK) wn_ranker_tables_clear(out);
  return status;
}
