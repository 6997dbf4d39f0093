/* Fitting the blend: take part of the log away, fit each member on the rest, take its lists for
 * moments of the past (replay.c), then choose the weights that would have put first what users took
 * (blend_weights.c).
 *
 * Logs with times have two horizons with weights of their own: what a user takes next, and all that
 * she takes from a moment on. The longer she has been away, the more the second is what a list is
 * for; up to which gap the first set answers is chosen on the same moments. Data with an order
 * alone, or none, have the first.
 *
 * Cost: a second fit of each member, with times a third, moments · members lists, then the choice.
 * Memory: 16 bytes a moment, member and place. Deterministic for any number of threads: a moment's
 * lists do not depend on the others'.
 */

#include "model/blend.h"

#include "base/log.h"
#include "base/mem.h"
#include "model/blend_weights.h"
#include "model/replay.h"
#include "model/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY      1e-4f /* weight of a rank that is only to order what else is equal */
#define ARENA_MAX ((size_t)512 << 20)

_Static_assert(WN_BLEND_TARGETS_MAX == WN_REPLAY_LATER_MAX, "what a moment may hold");

typedef struct scratch {
  wn_arena arena;
  wn_bitset allowed;
  wn_scored *list; /* [depth] */
  uint32_t *items; /* [members × depth] */
  wn_error err;
} scratch;

typedef struct fit {
  const wn_dataset *data;
  wn_pool *pool;
  wn_blend_head *head;
  wn_blend_member *members;
  wn_replay replay[WN_BLEND_HORIZONS];
  unsigned horizon, view;
  size_t begin, end;     /* the horizon's moments */
  wn_blend_lists lists;  /* of the moments of both; a slot is an item before it is numbered */
  uint32_t *numbers;     /* [moments] 0, 1, … */
  scratch *scratch;      /* one a worker */
  const wn_model *model; /* being asked */
  uint32_t member;
} fit;

static const wn_moment *moment_of(const fit *f, size_t at) {
  size_t next = f->replay[WN_BLEND_NEXT].len;
  return at < next ? &f->replay[WN_BLEND_NEXT].moment[at]
                   : &f->replay[WN_BLEND_LATER].moment[at - next];
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
  wn_blend_entry *list = wn_blend_entries(&f->lists, f->member, at);
  wn_blend_list of = wn_blend_list_of(s->list, len);
  for (size_t p = 0; p < len; p++)
    list[p] = (wn_blend_entry){s->list[p].ix, wn_blend_standard(&of, s->list[p].score),
                               wn_blend_log(&of, s->list[p].score)};
  *wn_blend_len(&f->lists, f->member, at) = (uint16_t)len;
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
  f->end = horizon == WN_BLEND_NEXT ? f->replay[WN_BLEND_NEXT].len : f->lists.moments;
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
    const wn_blend_entry *list = wn_blend_entries(&f->lists, m, at);
    for (size_t p = 0; p < *wn_blend_len(&f->lists, m, at); p++) items[n++] = list[p].slot;
  }
  qsort(items, n, sizeof *items, ascending);
  uint32_t distinct = 0;
  for (size_t i = 0; i < n; i++)
    if (i == 0 || items[i] != items[i - 1]) items[distinct++] = items[i];
  return distinct;
}

static void number_user(fit *f, size_t at, scratch *s) {
  wn_blend_lists *l = &f->lists;
  const wn_replay *r = &f->replay[at >= f->replay[WN_BLEND_NEXT].len];
  const wn_moment *moment = moment_of(f, at);
  uint32_t *items = s->items, n = gather(f, at, items), found = 0;
  for (uint64_t i = moment->target; i < moment->targets_end; i++) {
    uint32_t slot = slot_of(items, n, r->target[i]);
    if (slot < n && items[slot] == r->target[i]) l->target[at][found++] = slot;
  }
  if (found < WN_BLEND_TARGETS_MAX) l->target[at][found] = WN_NO_IX;
  l->slots[at] = found > 0 ? n : 0;
  l->taken[at] = (uint32_t)(moment->targets_end - moment->target);
  l->user[at] = moment->user;
  for (uint32_t m = 0; m < f->head->members; m++) {
    wn_blend_entry *list = wn_blend_entries(l, m, at);
    for (size_t p = 0; p < *wn_blend_len(l, m, at); p++)
      list[p].slot = slot_of(items, n, list[p].slot);
  }
}

static void number_users(void *ctx, size_t begin, size_t end, int worker) {
  fit *f = ctx;
  for (size_t at = begin; at < end; at++) number_user(f, at, &f->scratch[worker]);
}

/* ---- the weights of a horizon ---- */

static wn_blend_part part_of(const fit *f, size_t begin, size_t end) {
  return (wn_blend_part){&f->lists, f->numbers + begin, end - begin, f->pool};
}

static void report(const fit *f, const wn_blend_choice *c) {
  char text[1024];
  size_t n = 0;
  for (uint32_t m = 0; m < f->head->members && n < sizeof text; m++) {
    const wn_blend_weight *w = &c->weight[m];
    n += (size_t)snprintf(text + n, sizeof text - n, " %s=%.4f(%.3g,%.3g,%.3g)", f->members[m].name,
                          (double)c->alone[m], (double)w->score, (double)w->rank, (double)w->log);
  }
  wn_log(WN_LOG_INFO,
         "blend, %s, %zu users: %s, ndcg@%u=%.4f (held out: alone %.4f, logit %.4f, points %.4f, "
         "standard error of their "
         "difference %.4f); "
         "alone (weight of score, rank, logarithm):%s",
         f->horizon == WN_BLEND_NEXT ? "next" : "later", f->end - f->begin,
         wn_blend_form_name[c->form], f->head->k, c->ndcg, c->held[WN_BLEND_ALONE],
         c->held[WN_BLEND_LOGIT], c->held[WN_BLEND_POINTS], c->sure, text);
}

static void finish(fit *f, const wn_blend_choice *c) {
  for (uint32_t m = 0; m < f->head->members; m++) {
    wn_blend_weight w = c->weight[m];
    bool backbone = strcmp(f->members[m].name, wn_model_popular.name) == 0;
    if ((backbone || wn_blend_asks(&w)) && w.rank < TINY) w.rank = TINY;
    f->members[m].weight[f->horizon] = w;
    f->members[m].alone[f->horizon] = c->alone[m];
  }
  f->head->users[f->horizon] = f->end - f->begin;
  f->head->ndcg[f->horizon] = c->ndcg;
}

static wn_status fit_horizon(fit *f, unsigned horizon, wn_error *err) {
  wn_blend_choice choice;
  turn_to(f, horizon);
  wn_blend_part part = part_of(f, f->begin, f->end);
  wn_status status = wn_blend_choose(&part, f->head->k, &choice, err);
  if (status != WN_OK) return status;
  finish(f, &choice);
  report(f, &choice);
  return WN_OK;
}

/* ---- where one horizon ends and the other begins ---- */

/* Gains of all moments under the weights of a horizon. */
static wn_status gains_under(const fit *f, unsigned horizon, double *gain, wn_error *err) {
  wn_blend_weight weight[WN_MODELS_MAX];
  wn_blend_part all = part_of(f, 0, f->lists.moments);
  for (uint32_t m = 0; m < f->head->members; m++) weight[m] = f->members[m].weight[horizon];
  return wn_blend_gains(&all, f->head->k, weight, gain, err);
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
  for (size_t at = 0; at < f->lists.moments; at++)
    sum[at >= f->replay[WN_BLEND_NEXT].len] += gap_of(f, at) <= bound_ms ? next[at] : later[at];
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++)
    sum[h] /= f->head->ndcg[h] * (double)f->head->users[h];
  return sum[0] + sum[1];
}

static wn_status fit_bound(fit *f, wn_error *err) {
  static const int64_t minutes[] = {5, 15, 30, 60, 180, 720, 1440, 4320, 10080, 43200, 129600};
  size_t moments = f->lists.moments;
  double best = 0, *next = wn_calloc(moments, sizeof *next),
         *later = wn_calloc(moments, sizeof *later);
  wn_status status = WN_OK;
  if (next == NULL || later == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(gains_under(f, WN_BLEND_NEXT, next, err));
  WN_TRY(gains_under(f, WN_BLEND_LATER, later, err));
  for (size_t i = 0; i < sizeof minutes / sizeof *minutes; i++) {
    double now = worth(f, next, later, minutes[i] * 60000);
    if (now <= best) continue;
    best = now;
    f->head->next_ms = minutes[i] * 60000;
  }
  wn_log(WN_LOG_INFO, "blend: next up to %.1f h after the newest event",
         (double)f->head->next_ms / 3.6e6);
cleanup:
  wn_free(next);
  wn_free(later);
  return status;
}

static wn_status fit_weights(fit *f, wn_error *err) {
  wn_status status;
  wn_pool_run(f->pool, f->lists.moments, 16, number_users, f);
  WN_TRY(fit_horizon(f, WN_BLEND_NEXT, err));
  f->head->next_ms = INT64_MAX;
  if (f->replay[WN_BLEND_LATER].len > 0) WN_TRY(fit_horizon(f, WN_BLEND_LATER, err));
  if (f->head->ndcg[WN_BLEND_NEXT] > 0 && f->head->ndcg[WN_BLEND_LATER] > 0)
    return fit_bound(f, err);
  for (uint32_t m = 0; m < f->head->members; m++)
    f->members[m].weight[WN_BLEND_LATER] = f->members[m].weight[WN_BLEND_NEXT];
cleanup:
  return status;
}

/* ---- the whole ---- */

static wn_status allocate(fit *f, wn_error *err) {
  wn_blend_lists *l = &f->lists;
  size_t n = l->moments, threads = (size_t)wn_pool_threads(f->pool), places;
  l->members = f->head->members;
  l->depth = f->head->depth;
  places = wn_blend_candidates_max(l);
  l->entry = wn_reallocarray(NULL, n * places + 1, sizeof *l->entry);
  l->len = wn_calloc(n * l->members + 1, sizeof *l->len);
  l->slots = wn_calloc(n + 1, sizeof *l->slots);
  l->target = wn_calloc(n + 1, sizeof *l->target);
  l->taken = wn_calloc(n + 1, sizeof *l->taken);
  l->user = wn_calloc(n + 1, sizeof *l->user);
  f->numbers = wn_calloc(n + 1, sizeof *f->numbers);
  f->scratch = wn_calloc(threads, sizeof *f->scratch);
  if (l->entry == NULL || l->len == NULL || l->slots == NULL || l->target == NULL ||
      l->taken == NULL || l->user == NULL || f->numbers == NULL || f->scratch == NULL)
    return wn_fail_memory(err);
  for (size_t i = 0; i < n; i++) f->numbers[i] = (uint32_t)i;
  for (size_t t = 0; t < threads; t++) {
    scratch *s = &f->scratch[t];
    wn_arena_init(&s->arena, ARENA_MAX);
    s->list = wn_reallocarray(NULL, f->head->depth, sizeof *s->list);
    s->items = wn_reallocarray(NULL, places + 1, sizeof *s->items);
    if (s->list == NULL || s->items == NULL || !wn_bitset_init(&s->allowed, f->data->items))
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
  }
  wn_free(f->scratch);
  wn_free(f->lists.entry);
  wn_free(f->lists.len);
  wn_free(f->lists.slots);
  wn_free(f->lists.target);
  wn_free(f->lists.taken);
  wn_free(f->lists.user);
  wn_free(f->numbers);
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
  f.lists.moments = f.replay[WN_BLEND_NEXT].len + f.replay[WN_BLEND_LATER].len;
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
