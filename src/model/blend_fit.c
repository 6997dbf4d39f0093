/* Fitting the blend: take part of the log away, fit each member on the rest, take its lists for
 * moments of the past (replay.c), then choose weights that lift NDCG@k on what users took.
 *
 * Logs with times have two horizons with weights of their own: what a user takes next, and all that
 * she takes from a moment on. The longer she has been away, the more the second is what a list is
 * for; up to which gap the first set answers is chosen on the same moments. Data with an order
 * alone, or none, have the first.
 *
 * The weights come from coordinate ascent on NDCG itself (Metzler and Croft, Information Retrieval
 * 2007), started where each member weighs by how good it is alone. Departures: multiplicative steps
 * that shrink, and at the end members that nobody misses are dropped, because each one asked costs
 * a query time. A convex start (softmax over the lists) was tried and gave no more (README.md).
 *
 * Cost: a second fit of each member, with times a third, moments · members lists, then about 20
 * trials a weight of a microsecond a moment. Memory: 12 bytes a moment, member and place.
 * Deterministic for any number of threads: a moment's gain does not depend on the others', and
 * gains are summed in their order.
 */

#include "model/blend.h"

#include "base/log.h"
#include "base/mem.h"
#include "model/replay.h"
#include "model/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TARGETS_MAX WN_REPLAY_LATER_MAX
#define USERS_MIN   30    /* fewer say nothing: equal ranks */
#define LEAST_GAIN  2e-4  /* relative, for a step to be taken */
#define NOT_MISSED  1e-3  /* relative, for a member to be dropped */
#define TINY        1e-4f /* weight of a rank that is only to order what else is equal */
#define ARENA_MAX   ((size_t)512 << 20)

/* A place of a list: the item, later its slot among the user's candidates. */
typedef struct entry {
  uint32_t at;
  float standard; /* score */
} entry;

typedef struct scratch {
  wn_arena arena;
  wn_bitset allowed;
  wn_scored *list; /* [depth] */
  uint32_t *items; /* [members × depth] */
  float *sum;      /* [members × depth] */
  wn_error err;
} scratch;

typedef struct fit {
  const wn_dataset *data;
  wn_pool *pool;
  wn_blend_head *head;
  wn_blend_member *members;
  wn_replay replay[WN_BLEND_HORIZONS];
  size_t moments; /* of both */
  unsigned horizon, view;
  size_t begin, end;                     /* the horizon's moments */
  wn_blend_weight weight[WN_MODELS_MAX]; /* present, of the members */
  entry *entries;                        /* [members × users × depth] */
  uint16_t *len;                         /* [members × users] of each list */
  uint32_t *slots;                       /* [users] distinct candidates; 0: no target among them */
  uint32_t (*target)[TARGETS_MAX]; /* [users] slots of the targets found; WN_NO_IX after the last */
  float *sum;                      /* [users × members × depth] under the present weights */
  double *gain;                    /* [users] */
  scratch *scratch;                /* one a worker */
  const wn_model *model;           /* being asked */
  uint32_t member;
  /* the trial: one weight changes by `change` */
  float change;
  bool of_rank;
} fit;

static const wn_moment *moment_of(const fit *f, size_t at) {
  size_t next = f->replay[WN_BLEND_NEXT].len;
  return at < next ? &f->replay[WN_BLEND_NEXT].moment[at]
                   : &f->replay[WN_BLEND_LATER].moment[at - next];
}

static entry *list_of(const fit *f, uint32_t member, size_t user) {
  return f->entries + (member * f->moments + user) * f->head->depth;
}

static uint16_t *len_of(const fit *f, uint32_t member, size_t user) {
  return f->len + member * f->moments + user;
}

static size_t width(const fit *f) {
  return (size_t)f->head->members * f->head->depth;
}

/* ---- the members' lists ---- */

static wn_status list_for(const fit *f, const wn_moment *m, scratch *s, size_t *len) {
  wn_query query;
  wn_arena_reset(&s->arena);
  if (!wn_moment_query(m, &s->arena, &query)) return wn_fail_memory(&s->err);
  query.allowed = &s->allowed;
  for (uint64_t p = m->begin; p < m->end; p++) wn_bitset_unset(&s->allowed, m->rows->col[p]);
  wn_status status =
      f->model->cls->candidates(f->model, &query, f->head->depth, s->list, len, &s->err);
  for (uint64_t p = m->begin; p < m->end; p++) wn_bitset_set(&s->allowed, m->rows->col[p]);
  return status;
}

static void ask_user(fit *f, size_t at, scratch *s) {
  size_t len = 0;
  s->err.status = list_for(f, moment_of(f, at), s, &len);
  entry *list = list_of(f, f->member, at);
  wn_blend_list of = wn_blend_list_of(s->list, len);
  for (size_t p = 0; p < len; p++)
    list[p] = (entry){s->list[p].ix, wn_blend_standard(&of, s->list[p].score)};
  *len_of(f, f->member, at) = (uint16_t)len;
}

static void ask_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  scratch *s = &f->scratch[worker];
  const wn_replay *r = &f->replay[f->horizon];
  for (size_t at = begin; at < end && s->err.status == WN_OK; at++)
    if (wn_replay_view(r, &r->moment[at]) == f->view) ask_user(f, f->begin + at, s);
}

static void on_horizon(fit *f, wn_pool_fn *fn) {
  wn_pool_run(f->pool, f->end - f->begin, 16, fn, f);
}

static void turn_to(fit *f, unsigned horizon) {
  f->horizon = horizon;
  f->begin = horizon == WN_BLEND_NEXT ? 0 : f->replay[WN_BLEND_NEXT].len;
  f->end = horizon == WN_BLEND_NEXT ? f->replay[WN_BLEND_NEXT].len : f->moments;
}

static wn_status ask_all(fit *f, wn_error *err) {
  on_horizon(f, ask_users);
  for (int t = 0; t < wn_pool_threads(f->pool); t++) {
    if (f->scratch[t].err.status == WN_OK) continue;
    *err = f->scratch[t].err;
    return err->status;
  }
  return WN_OK;
}

/* A live model learns what came before the view, as it would while serving. */
static void catch_up(const wn_replay *r, unsigned view, wn_model *model, size_t *at) {
  for (; *at < r->events && r->event[*at].time_ms < r->view_ms[view]; (*at)++)
    if (model->cls->update != NULL) model->cls->update(model, &r->event[*at], r->event[*at].value);
}

/* The lists of one member for one horizon. */
static wn_status fit_and_ask(fit *f, const wn_train_spec *spec, const wn_fit_env *env,
                             wn_error *err) {
  const wn_replay *r = &f->replay[f->horizon];
  wn_model *model = NULL;
  wn_fit_env own = *env;
  own.warm = NULL; /* it has seen what is held out */
  own.fitted = NULL;
  size_t event = 0;
  wn_status status = wn_fit_one(&r->rest, spec, &own, &model, err);
  if (status == WN_E_CORRUPT) wn_fit_left_out(spec, err);
  if (status != WN_OK) return status == WN_E_CORRUPT ? WN_OK : status; /* says nothing then */
  f->model = model;
  for (f->view = 0; status == WN_OK && (f->view == 0 || f->view < r->views); f->view++) {
    catch_up(r, f->view, model, &event);
    status = ask_all(f, err);
  }
  model->cls->free(model);
  return status;
}

/* ---- candidates of a user ---- */

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static uint32_t slot_of(const uint32_t *items, uint32_t len, uint32_t item) {
  uint32_t low = 0;
  while (low < len) {
    uint32_t mid = low + (len - low) / 2;
    if (items[mid] < item)
      low = mid + 1;
    else
      len = mid;
  }
  return low;
}

/* The distinct items of all lists, ascending. */
static uint32_t gather(const fit *f, size_t at, uint32_t *items) {
  size_t n = 0;
  for (uint32_t m = 0; m < f->head->members; m++) {
    const entry *list = list_of(f, m, at);
    for (size_t p = 0; p < *len_of(f, m, at); p++) items[n++] = list[p].at;
  }
  qsort(items, n, sizeof *items, ascending);
  uint32_t distinct = 0;
  for (size_t i = 0; i < n; i++)
    if (i == 0 || items[i] != items[i - 1]) items[distinct++] = items[i];
  return distinct;
}

static void number_user(fit *f, size_t at, scratch *s) {
  const wn_replay *r = &f->replay[at >= f->replay[WN_BLEND_NEXT].len];
  const wn_moment *moment = moment_of(f, at);
  uint32_t *items = s->items, n = gather(f, at, items), found = 0;
  for (uint64_t i = moment->target; i < moment->targets_end; i++) {
    uint32_t slot = slot_of(items, n, r->target[i]);
    if (slot < n && items[slot] == r->target[i]) f->target[at][found++] = slot;
  }
  if (found < TARGETS_MAX) f->target[at][found] = WN_NO_IX;
  f->slots[at] = found > 0 ? n : 0;
  for (uint32_t m = 0; m < f->head->members; m++) {
    entry *list = list_of(f, m, at);
    for (size_t p = 0; p < *len_of(f, m, at); p++) list[p].at = slot_of(items, n, list[p].at);
  }
}

static void number_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  for (size_t at = begin; at < end; at++) number_user(f, at, &f->scratch[worker]);
}

/* ---- NDCG of weights ---- */

static void add_list(const fit *f, uint32_t member, size_t at, wn_blend_weight w, float *sum) {
  const entry *list = list_of(f, member, at);
  for (size_t p = 0; p < *len_of(f, member, at); p++)
    sum[list[p].at] += w.score * list[p].standard + w.rank * wn_blend_place(p);
}

static double gain_of(const fit *f, size_t at, const float *sum) {
  const wn_moment *m = moment_of(f, at);
  uint64_t relevant = m->targets_end - m->target;
  double gain = 0, ideal = 0;
  for (uint64_t i = 0; i < relevant && i < f->head->k; i++) ideal += 1 / log2((double)i + 2);
  for (size_t i = 0; i < TARGETS_MAX && f->target[at][i] != WN_NO_IX; i++) {
    uint32_t t = f->target[at][i], place = 0;
    for (uint32_t s = 0; s < t; s++) place += sum[s] >= sum[t];
    for (uint32_t s = t + 1; s < f->slots[at]; s++) place += sum[s] > sum[t];
    if (place < f->head->k) gain += 1 / log2((double)place + 2);
  }
  return gain / ideal;
}

static void sum_users(void *ctx, size_t begin, size_t end, int worker WN_UNUSED) {
  fit *f = ctx;
  for (size_t at = f->begin + begin; at < f->begin + end; at++) {
    float *sum = f->sum + at * width(f);
    memset(sum, 0, f->slots[at] * sizeof *sum);
    if (f->slots[at] == 0) continue;
    for (uint32_t m = 0; m < f->head->members; m++) add_list(f, m, at, f->weight[m], sum);
    f->gain[at] = gain_of(f, at, sum);
  }
}

static void try_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  float *sum = f->scratch[worker].sum;
  wn_blend_weight w = {f->of_rank ? 0 : f->change, f->of_rank ? f->change : 0};
  for (size_t at = f->begin + begin; at < f->begin + end; at++) {
    if (f->slots[at] == 0) continue;
    memcpy(sum, f->sum + at * width(f), f->slots[at] * sizeof *sum);
    add_list(f, f->member, at, w, sum);
    f->gain[at] = gain_of(f, at, sum);
  }
}

static double mean_gain(const fit *f) {
  double total = 0;
  for (size_t at = f->begin; at < f->end; at++) total += f->gain[at];
  return total / (double)(f->end - f->begin);
}

/* Of the members' present weights; their sums are what trials start from. */
static double measure(fit *f) {
  on_horizon(f, sum_users);
  return mean_gain(f);
}

/* ---- ascent ---- */

static float *weight_at(fit *f, uint32_t member, bool of_rank) {
  wn_blend_weight *w = &f->weight[member];
  return of_rank ? &w->rank : &w->score;
}

/* One weight: larger, smaller or none; from none a little or some. True when it changed. */
static bool ascend_one(fit *f, uint32_t member, bool of_rank, float step, double *best) {
  float *weight = weight_at(f, member, of_rank), chosen = *weight;
  const float trial[] = {*weight > 0 ? *weight * step : 0.05f, *weight > 0 ? *weight / step : 0.2f,
                         0};
  double bar = *best * (1 + LEAST_GAIN);
  for (size_t i = 0; i < 3; i++) {
    f->member = member;
    f->of_rank = of_rank;
    f->change = trial[i] - *weight;
    if (trial[i] == *weight) continue;
    on_horizon(f, try_users);
    double now = mean_gain(f);
    if (now <= bar) continue;
    bar = now;
    chosen = trial[i];
  }
  if (chosen == *weight) return false;
  *weight = chosen;
  *best = measure(f);
  return true;
}

static void scale_largest_to_1(fit *f) {
  float most = 0;
  for (uint32_t m = 0; m < f->head->members; m++)
    most = fmaxf(most, fmaxf(f->weight[m].score, f->weight[m].rank));
  for (uint32_t m = 0; m < f->head->members && most > 0; m++) {
    f->weight[m].score /= most;
    f->weight[m].rank /= most;
  }
}

static void ascend(fit *f, double *best) {
  static const float steps[] = {2, 2, 1.4f, 1.4f, 1.15f};
  for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
    bool moved = false;
    for (uint32_t m = 0; m < f->head->members; m++) {
      moved |= ascend_one(f, m, false, steps[s], best);
      moved |= ascend_one(f, m, true, steps[s], best);
    }
    scale_largest_to_1(f);
    *best = measure(f);
    if (!moved && s + 1 < sizeof steps / sizeof *steps && steps[s + 1] == steps[s]) s++;
  }
}

/* Asking costs time: who changes next to nothing is dropped. */
static void drop_the_needless(fit *f, double *best) {
  for (uint32_t m = f->head->members; m-- > 0;) {
    wn_blend_weight kept = f->weight[m];
    if (kept.score == 0 && kept.rank == 0) continue;
    f->weight[m] = (wn_blend_weight){0, 0};
    double without = measure(f);
    if (without >= *best * (1 - NOT_MISSED))
      *best = without;
    else
      f->weight[m] = kept;
  }
  *best = measure(f);
}

/* Alone each, then together by how good they are. */
static void start(fit *f) {
  uint32_t members = f->head->members;
  float best = 0;
  for (uint32_t m = 0; m < members; m++) f->weight[m] = (wn_blend_weight){0, 0};
  for (uint32_t m = 0; m < members; m++) {
    f->weight[m].rank = 1;
    f->members[m].alone[f->horizon] = (float)measure(f);
    f->weight[m].rank = 0;
    best = fmaxf(best, f->members[m].alone[f->horizon]);
  }
  for (uint32_t m = 0; m < members && best > 0; m++) {
    float share = f->members[m].alone[f->horizon] / best;
    f->weight[m] = (wn_blend_weight){0.25f * share * share, share * share};
  }
}

static void report(const fit *f) {
  char text[768];
  size_t n = 0;
  for (uint32_t m = 0; m < f->head->members && n < sizeof text; m++)
    n += (size_t)snprintf(text + n, sizeof text - n, " %s=%.4f(%.3g,%.3g)", f->members[m].name,
                          (double)f->members[m].alone[f->horizon], (double)f->weight[m].score,
                          (double)f->weight[m].rank);
  wn_log(WN_LOG_INFO, "blend, %s, %zu users: ndcg@%u=%.4f; alone (score weight, rank weight):%s",
         f->horizon == WN_BLEND_NEXT ? "next" : "later", f->end - f->begin, f->head->k,
         f->head->ndcg[f->horizon], text);
}

static void finish(fit *f) {
  for (uint32_t m = 0; m < f->head->members; m++) {
    wn_blend_weight *w = &f->weight[m];
    bool backbone = strcmp(f->members[m].name, wn_model_popular.name) == 0;
    if ((backbone || w->score > 0) && w->rank < TINY) w->rank = TINY;
    f->members[m].weight[f->horizon] = *w;
  }
}

static void fit_horizon(fit *f, unsigned horizon) {
  double *ndcg = &f->head->ndcg[horizon];
  turn_to(f, horizon);
  f->head->users[horizon] = f->end - f->begin;
  start(f);
  *ndcg = measure(f);
  if (*ndcg > 0 && f->end - f->begin >= USERS_MIN) {
    ascend(f, ndcg);
    drop_the_needless(f, ndcg);
  } else {
    for (uint32_t m = 0; m < f->head->members; m++) f->weight[m] = (wn_blend_weight){0, 1};
  }
  finish(f);
  report(f);
}

/* ---- where one horizon ends and the other begins ---- */

/* Gains of all moments under the weights of a horizon. */
static void gains_under(fit *f, unsigned horizon, double *gain) {
  for (uint32_t m = 0; m < f->head->members; m++) f->weight[m] = f->members[m].weight[horizon];
  f->begin = 0;
  f->end = f->moments;
  on_horizon(f, sum_users);
  memcpy(gain, f->gain, f->moments * sizeof *gain);
}

/* From the newest item that is known to the view, or to the first of the next ones. */
static int64_t gap_of(const fit *f, size_t at) {
  const wn_moment *m = moment_of(f, at);
  const wn_csr *all = &f->data->by_user;
  bool next = at < f->replay[WN_BLEND_NEXT].len;
  int64_t asked_ms = next ? all->time_ms[all->row_ptr[m->user + 1] - 1] : m->time_ms;
  return asked_ms - m->rows->time_ms[m->end - 1];
}

/* Each horizon's gains count by what its own weights reach, so that neither's size decides. */
static double worth(const fit *f, const double *next, const double *later, int64_t bound_ms) {
  double sum[WN_BLEND_HORIZONS] = {0, 0};
  for (size_t at = 0; at < f->moments; at++)
    sum[at >= f->replay[WN_BLEND_NEXT].len] += gap_of(f, at) <= bound_ms ? next[at] : later[at];
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++)
    sum[h] /= f->head->ndcg[h] * (double)f->head->users[h];
  return sum[0] + sum[1];
}

static wn_status fit_bound(fit *f, wn_error *err) {
  static const int64_t minutes[] = {5, 15, 30, 60, 180, 720, 1440, 4320, 10080, 43200, 129600};
  double best = 0, *next = wn_calloc(f->moments + 1, sizeof *next),
         *later = wn_calloc(f->moments + 1, sizeof *later);
  if (next != NULL && later != NULL) {
    gains_under(f, WN_BLEND_NEXT, next);
    gains_under(f, WN_BLEND_LATER, later);
  }
  for (size_t i = 0; next != NULL && later != NULL && i < sizeof minutes / sizeof *minutes; i++) {
    double now = worth(f, next, later, minutes[i] * 60000);
    if (now <= best) continue;
    best = now;
    f->head->next_ms = minutes[i] * 60000;
  }
  wn_log(WN_LOG_INFO, "blend: next up to %.1f h after the newest event",
         (double)f->head->next_ms / 3.6e6);
  bool room = next != NULL && later != NULL;
  wn_free(next);
  wn_free(later);
  return room ? WN_OK : wn_fail_memory(err);
}

static wn_status fit_weights(fit *f, wn_error *err) {
  wn_pool_run(f->pool, f->moments, 16, number_users, f);
  fit_horizon(f, WN_BLEND_NEXT);
  f->head->next_ms = INT64_MAX;
  if (f->replay[WN_BLEND_LATER].len > 0) fit_horizon(f, WN_BLEND_LATER);
  if (f->head->ndcg[WN_BLEND_NEXT] > 0 && f->head->ndcg[WN_BLEND_LATER] > 0)
    return fit_bound(f, err);
  for (uint32_t m = 0; m < f->head->members; m++)
    f->members[m].weight[WN_BLEND_LATER] = f->members[m].weight[WN_BLEND_NEXT];
  return WN_OK;
}

/* ---- the whole ---- */

static wn_status allocate(fit *f, wn_error *err) {
  size_t users = f->moments, threads = (size_t)wn_pool_threads(f->pool), places = width(f);
  f->entries = wn_reallocarray(NULL, users * places + 1, sizeof *f->entries);
  f->len = wn_calloc(users * f->head->members + 1, sizeof *f->len);
  f->slots = wn_calloc(users + 1, sizeof *f->slots);
  f->target = wn_calloc(users + 1, sizeof *f->target);
  f->sum = wn_reallocarray(NULL, users * places + 1, sizeof *f->sum);
  f->gain = wn_calloc(users + 1, sizeof *f->gain);
  f->scratch = wn_calloc(threads, sizeof *f->scratch);
  if (f->entries == NULL || f->len == NULL || f->slots == NULL || f->target == NULL ||
      f->sum == NULL || f->gain == NULL || f->scratch == NULL)
    return wn_fail_memory(err);
  for (size_t t = 0; t < threads; t++) {
    scratch *s = &f->scratch[t];
    wn_arena_init(&s->arena, ARENA_MAX);
    s->list = wn_reallocarray(NULL, f->head->depth, sizeof *s->list);
    s->items = wn_reallocarray(NULL, places + 1, sizeof *s->items);
    s->sum = wn_reallocarray(NULL, places + 1, sizeof *s->sum);
    if (s->list == NULL || s->items == NULL || s->sum == NULL ||
        !wn_bitset_init(&s->allowed, f->data->items))
      return wn_fail_memory(err);
    wn_bitset_fill(&s->allowed, true);
  }
  return WN_OK;
}

static void clear(fit *f) {
  for (int t = 0; f->scratch != NULL && t < wn_pool_threads(f->pool); t++) {
    wn_arena_clear(&f->scratch[t].arena);
    wn_bitset_clear(&f->scratch[t].allowed);
    wn_free(f->scratch[t].list);
    wn_free(f->scratch[t].items);
    wn_free(f->scratch[t].sum);
  }
  wn_free(f->scratch);
  wn_free(f->entries);
  wn_free(f->len);
  wn_free(f->slots);
  wn_free(f->target);
  wn_free(f->sum);
  wn_free(f->gain);
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++) wn_replay_clear(&f->replay[h]);
}

/* The members in class order whatever the order of the options: sums of floats depend on it. */
static uint32_t choose_members(const wn_train_options *run, const wn_train_spec **specs) {
  uint32_t n = 0;
  for (size_t c = 0; c < wn_model_class_count(); c++) {
    const wn_model_class *cls = wn_model_class_at(c);
    for (size_t i = 0; i < run->models_len && wn_blend_takes(cls); i++)
      if (run->models[i].cls == cls && !run->models[i].left_out) specs[n++] = &run->models[i];
  }
  return n;
}

wn_status wn_blend_fit(const wn_dataset *data, uint32_t users_max, const wn_fit_env *env,
                       wn_blend_head *head, wn_blend_member *members, wn_error *err) {
  wn_train_options defaults;
  const wn_train_spec *specs[WN_MODELS_MAX];
  fit f = {.data = data, .pool = env->pool, .head = head, .members = members};
  wn_status status;
  wn_train_options_defaults(&defaults);
  head->members = choose_members(env->run != NULL ? env->run : &defaults, specs);
  WN_TRY(wn_replay_last(data, users_max, env->seed, &f.replay[WN_BLEND_NEXT], err));
  WN_TRY(wn_replay_later(data, users_max, env->seed, &f.replay[WN_BLEND_LATER], err));
  f.moments = f.replay[WN_BLEND_NEXT].len + f.replay[WN_BLEND_LATER].len;
  WN_TRY(allocate(&f, err));
  for (uint32_t m = 0; m < head->members; m++) {
    snprintf(members[m].name, sizeof members[m].name, "%s", specs[m]->cls->name);
    f.member = m;
    for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++) {
      if (!wn_progress_at(env->progress, "blend: on a part", m, head->members, "models"))
        WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
      turn_to(&f, h);
      if (f.end > f.begin) WN_TRY(fit_and_ask(&f, specs[m], env, err));
    }
  }
  WN_TRY(fit_weights(&f, err));
cleanup:
  clear(&f);
  return status;
}
