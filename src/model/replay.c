/* Replaying the past. With times the cut is global: no model and no count knows anything of what
 * came after it, and a moment's own history is what its user had a moment before. Without times
 * there is only each user's order, so that others' later items are known, as they are in every
 * leave-last-out protocol.
 *
 * All that comes later (wn_replay_later) is asked from several views of the log's last fifth,
 * because one moment of a drifting log is a matter of luck.
 *
 * Cost: a copy of the interactions, and one more for each round. Deterministic. */
#include "model/replay.h"

#include "base/mem.h"
#include "base/rng.h"
#include "model/item_facts.h"

#include <stdlib.h>
#include <string.h>

#define TARGETS_MAX  10
#define FUTURE_SHARE 0.1
#define REST_MIN     0.5 /* of the entries must lie before the cut */
#define MOMENTS_MIN  300
#define LATER_SHARE  0.2   /* of the entries lie after the first view */
#define LATER_MIN    30    /* moments */
#define LATER_EVENTS 200e3 /* that live models learn between the views; else there is one view */

/* --- with times --- */

static int ascending(const void *left, const void *right) {
  int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

static wn_status find_cut(const wn_csr *m, double future, int64_t *cut_ms, wn_error *err) {
  int64_t *times = wn_reallocarray(NULL, (size_t)m->nnz + 1, sizeof *times);
  if (times == NULL) return wn_fail_memory(err);
  memcpy(times, m->time_ms, (size_t)m->nnz * sizeof *times);
  qsort(times, (size_t)m->nnz, sizeof *times, ascending);
  *cut_ms = m->nnz > 0 ? times[(size_t)((1 - future) * (double)m->nnz)] : 0;
  wn_free(times);
  return WN_OK;
}

/* Calls `each` for every moment after the cut: entries of one user and time that follow others. */
typedef void moment_fn(void *ctx, const wn_moment *moment);

static void each_moment(const wn_csr *m, int64_t cut_ms, moment_fn *each, void *ctx) {
  for (uint32_t u = 0; u < m->rows; u++) {
    uint64_t begin = m->row_ptr[u], end = m->row_ptr[u + 1], next;
    bool any = false;
    for (uint64_t p = begin; p < end; p = next) {
      bool good = false;
      for (next = p; next < end && m->time_ms[next] == m->time_ms[p]; next++)
        good |= m->weight[next] > 0;
      if (good && any && m->time_ms[p] >= cut_ms)
        each(ctx, &(wn_moment){u, m, begin, p, m->time_ms[p], p, next});
      any |= good;
    }
  }
}

typedef struct gathering {
  wn_replay *out;
  size_t all, cap;
  uint64_t seed, limit;
  size_t targets, targets_cap;
} gathering;

static void count_moment(void *ctx, const wn_moment *moment WN_UNUSED) {
  ((gathering *)ctx)->all++;
}

static int by_item(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

/* Its targets are entries of its rows; the first `most` of positive weight are taken. */
static void add_moment(gathering *g, const wn_moment *moment, size_t most) {
  wn_replay *r = g->out;
  wn_moment *m = &r->moment[r->len++];
  size_t first = g->targets;
  *m = *moment;
  for (uint64_t p = moment->target; p < moment->targets_end; p++)
    if (m->rows->weight[p] > 0 && g->targets - first < most)
      r->target[g->targets++] = m->rows->col[p];
  qsort(r->target + first, g->targets - first, sizeof *r->target, by_item);
  m->target = first;
  m->targets_end = g->targets;
}

/* Who is drawn is a hash of user and time. Room is for all that can come. */
static void take_moment(void *ctx, const wn_moment *moment) {
  gathering *g = ctx;
  wn_replay *r = g->out;
  if (wn_mix64(g->seed ^ wn_mix64(moment->user ^ wn_mix64((uint64_t)moment->time_ms))) > g->limit ||
      r->len == g->cap)
    return;
  add_moment(g, moment, TARGETS_MAX);
}

/* Of hashes, so that about `most` of `n` are drawn. */
static uint64_t limit_of(size_t most, size_t n) {
  return n > most ? (uint64_t)((double)most / (double)n * 18446744073709549568.0) : UINT64_MAX;
}

static wn_status make_timed(const wn_dataset *data, size_t len_max, uint64_t seed, wn_replay *out,
                            wn_error *err) {
  const wn_csr *m = &data->by_user;
  gathering g = {.out = out, .seed = seed, .cap = 2 * len_max};
  int64_t cut_ms = 0;
  wn_status status = WN_OK;
  WN_TRY(find_cut(m, FUTURE_SHARE, &cut_ms, err));
  each_moment(m, cut_ms, count_moment, &g);
  if (g.all < MOMENTS_MIN) goto cleanup;
  g.limit = limit_of(len_max, g.all);
  if (g.all < g.cap) g.cap = g.all;
  out->moment = wn_calloc(g.cap + 1, sizeof *out->moment);
  out->target = wn_reallocarray(NULL, TARGETS_MAX * g.cap + 1, sizeof *out->target);
  if (out->moment == NULL || out->target == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_dataset_before(data, cut_ms, &out->rest, err));
  if ((double)out->rest.by_user.nnz >= REST_MIN * (double)m->nnz)
    each_moment(m, cut_ms, take_moment, &g);
cleanup:
  return status;
}

/* --- without --- */

static wn_status gather_rounds(wn_replay *out, wn_error *err) {
  size_t moments = 0, targets = 0;
  for (size_t r = 0; r < out->rounds; r++) {
    moments += out->round[r].len;
    targets += (size_t)out->round[r].ptr[out->round[r].len];
  }
  out->moment = wn_calloc(moments + 1, sizeof *out->moment);
  out->target = wn_reallocarray(NULL, targets + 1, sizeof *out->target);
  if (out->moment == NULL || out->target == NULL) return wn_fail_memory(err);
  targets = 0;
  for (size_t r = 0; r < out->rounds; r++) {
    const wn_holdout *h = &out->round[r];
    const wn_csr *m = &h->rest.by_user;
    for (size_t i = 0; i < h->len; i++) {
      uint32_t u = h->user[i];
      size_t n = (size_t)(h->ptr[i + 1] - h->ptr[i]);
      memcpy(out->target + targets, h->target + h->ptr[i], n * sizeof *out->target);
      out->moment[out->len++] =
          (wn_moment){u, m, m->row_ptr[u], m->row_ptr[u + 1], h->rest.now_ms, targets, targets + n};
      targets += n;
    }
  }
  return WN_OK;
}

static wn_status make_rounds(const wn_dataset *data, size_t rounds, const wn_holdout_options *how,
                             wn_replay *out, wn_error *err) {
  wn_status status;
  const wn_dataset *from = data;
  size_t total = 0;
  for (size_t r = 0; r < rounds; r++) {
    wn_holdout *round = &out->round[r];
    WN_TRY(wn_holdout_make(from, how, round, err));
    out->rounds++;
    total += round->len;
    from = &round->rest;
    if (round->len == 0 || total + round->len > how->users_max) break;
  }
  out->rest = *from;
  WN_TRY(gather_rounds(out, err));
cleanup:
  return status;
}

wn_status wn_replay_make(const wn_dataset *data, size_t len_max, uint64_t seed, wn_replay *out,
                         wn_error *err) {
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  if (wn_dataset_timed(data)) WN_TRY(make_timed(data, len_max, seed, out, err));
  if (out->len < MOMENTS_MIN) {
    wn_replay_clear(out);
    wn_holdout_options how = {(uint32_t)len_max, TARGETS_MAX, seed};
    WN_TRY(make_rounds(data, WN_REPLAY_ROUNDS_MAX, &how, out, err));
  }
cleanup:
  if (status != WN_OK) wn_replay_clear(out);
  return status;
}

wn_status wn_replay_last(const wn_dataset *data, size_t len_max, uint64_t seed, wn_replay *out,
                         wn_error *err) {
  wn_holdout_options how = {(uint32_t)len_max, TARGETS_MAX, seed};
  wn_status status;
  memset(out, 0, sizeof *out);
  WN_TRY(make_rounds(data, 1, &how, out, err));
cleanup:
  if (status != WN_OK) wn_replay_clear(out);
  return status;
}

/* --- later --- */

/* Where a row is cut by a view, and whether something good lies before and after. */
typedef struct sides {
  uint64_t cut;
  bool past, future;
} sides;

static sides sides_of(const wn_csr *m, uint32_t user, int64_t view_ms) {
  uint64_t p = m->row_ptr[user], end = m->row_ptr[user + 1];
  sides s = {0};
  for (; p < end && m->time_ms[p] < view_ms; p++) s.past |= m->weight[p] > 0;
  for (s.cut = p; p < end; p++) s.future |= m->weight[p] > 0;
  return s;
}

/* Who is drawn is a hash of the user, another one for each view. */
static void later_moments(gathering *g, const wn_csr *m, int64_t view_ms) {
  for (uint32_t u = 0; u < m->rows && g->out->len < g->cap; u++) {
    if (wn_mix64(g->seed ^ wn_mix64(u)) > g->limit) continue;
    sides s = sides_of(m, u, view_ms);
    if (!s.past || !s.future) continue;
    wn_moment moment = {u, m, m->row_ptr[u], s.cut, view_ms, s.cut, m->row_ptr[u + 1]};
    add_moment(g, &moment, WN_REPLAY_LATER_MAX);
  }
}

static size_t count_later(const wn_csr *m, int64_t view_ms) {
  size_t n = 0;
  for (uint32_t u = 0; u < m->rows; u++) {
    sides s = sides_of(m, u, view_ms);
    n += s.past && s.future;
  }
  return n;
}

static int event_by_time(const void *left, const void *right) {
  const wn_event *a = left, *b = right;
  if (a->time_ms != b->time_ms) return a->time_ms < b->time_ms ? -1 : 1;
  if (a->user != b->user) return a->user < b->user ? -1 : 1;
  return (a->item > b->item) - (a->item < b->item);
}

/* What live models learn between the views. An event's value carries its weight. */
static wn_status gather_events(const wn_csr *m, wn_replay *out, wn_error *err) {
  int64_t begin = out->view_ms[0], end = out->view_ms[out->views - 1];
  size_t n = 0;
  for (uint64_t p = 0; p < m->nnz; p++) n += m->time_ms[p] >= begin && m->time_ms[p] < end;
  out->event = wn_reallocarray(NULL, n + 1, sizeof *out->event);
  if (out->event == NULL) return wn_fail_memory(err);
  for (uint32_t u = 0; u < m->rows; u++)
    for (uint64_t p = m->row_ptr[u]; p < m->row_ptr[u + 1]; p++)
      if (m->time_ms[p] >= begin && m->time_ms[p] < end)
        out->event[out->events++] = (wn_event){.user = u,
                                               .item = m->col[p],
                                               .type = m->type != NULL ? m->type[p] : 0,
                                               .value = m->weight[p],
                                               .time_ms = m->time_ms[p]};
  qsort(out->event, n, sizeof *out->event, event_by_time);
  return WN_OK;
}

static wn_status choose_views(const wn_csr *m, wn_replay *out, wn_error *err) {
  double span = LATER_SHARE * (WN_REPLAY_VIEWS - 1) / WN_REPLAY_VIEWS * (double)m->nnz;
  wn_status status = WN_OK;
  out->views = span <= LATER_EVENTS ? WN_REPLAY_VIEWS : 1;
  for (unsigned v = 0; v < out->views; v++)
    WN_TRY(find_cut(m, LATER_SHARE * (out->views - v) / out->views, &out->view_ms[v], err));
  WN_TRY(gather_events(m, out, err));
cleanup:
  return status;
}

static wn_status make_later(const wn_dataset *data, size_t len_max, uint64_t seed, wn_replay *out,
                            wn_error *err) {
  const wn_csr *m = &data->by_user;
  gathering g = {.out = out};
  wn_status status = WN_OK;
  size_t users = 0, most = 0;
  WN_TRY(choose_views(m, out, err));
  for (unsigned v = 0; v < out->views; v++) {
    size_t n = count_later(m, out->view_ms[v]);
    users += n;
    most = n > most ? n : most;
  }
  if (users < LATER_MIN) goto cleanup;
  WN_TRY(wn_dataset_before(data, out->view_ms[0], &out->rest, err));
  if ((double)out->rest.by_user.nnz < REST_MIN * (double)m->nnz) goto cleanup;
  g.limit = limit_of(len_max / out->views, most);
  g.cap = users < 2 * len_max ? users : 2 * len_max;
  out->moment = wn_calloc(g.cap + 1, sizeof *out->moment);
  out->target = wn_reallocarray(NULL, g.cap * WN_REPLAY_LATER_MAX + 1, sizeof *out->target);
  if (out->moment == NULL || out->target == NULL) WN_TRY(wn_fail_memory(err));
  for (unsigned v = 0; v < out->views; v++) {
    g.seed = seed + v;
    later_moments(&g, m, out->view_ms[v]);
  }
cleanup:
  return status;
}

wn_status wn_replay_later(const wn_dataset *data, size_t len_max, uint64_t seed, wn_replay *out,
                          wn_error *err) {
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  if (wn_dataset_timed(data)) WN_TRY(make_later(data, len_max, seed, out, err));
cleanup:
  if (status != WN_OK || out->len < LATER_MIN) wn_replay_clear(out);
  return status;
}

unsigned wn_replay_view(const wn_replay *replay, const wn_moment *moment) {
  unsigned view = 0;
  for (unsigned v = 1; v < replay->views; v++)
    if (replay->view_ms[v] <= moment->time_ms) view = v;
  return view;
}

void wn_replay_clear(wn_replay *replay) {
  if (replay->rounds == 0) wn_dataset_clear(&replay->rest);
  for (size_t r = 0; r < replay->rounds; r++) wn_holdout_clear(&replay->round[r]);
  wn_free(replay->moment);
  wn_free(replay->target);
  wn_free(replay->event);
  memset(replay, 0, sizeof *replay);
}

bool wn_moment_query(const wn_moment *m, wn_arena *arena, wn_query *query) {
  size_t len = (size_t)(m->end - m->begin);
  wn_history_entry *h = wn_arena_calloc(arena, len + 1, sizeof *h);
  uint8_t *type = wn_arena_alloc(arena, len + 1);
  *query = (wn_query){.history = h,
                      .history_type = m->rows->type != NULL ? type : NULL,
                      .user = m->user,
                      .anchor = WN_NO_IX,
                      .now_ms = m->time_ms,
                      .arena = arena};
  if (h == NULL || type == NULL) return false;
  for (uint64_t p = m->end; p-- > m->begin;) {
    if (m->rows->type != NULL) type[query->history_len] = m->rows->type[p];
    h[query->history_len].item = m->rows->col[p];
    h[query->history_len].weight = m->rows->weight[p];
    h[query->history_len++].time_ms = m->rows->time_ms[p];
  }
  return true;
}
