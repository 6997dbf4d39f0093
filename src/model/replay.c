/* Replaying the past. With times the cut is global: no model and no count knows anything of what
 * came after it, and a moment's own history is what its user had a moment before. Without times
 * there is only each user's order, so that others' later items are known, as they are in every
 * leave-last-out protocol.
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

/* --- with times --- */

static int ascending(const void *left, const void *right) {
  int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

static wn_status find_cut(const wn_csr *m, int64_t *cut_ms, wn_error *err) {
  int64_t *times = wn_reallocarray(NULL, (size_t)m->nnz + 1, sizeof *times);
  if (times == NULL) return wn_fail_memory(err);
  memcpy(times, m->time_ms, (size_t)m->nnz * sizeof *times);
  qsort(times, (size_t)m->nnz, sizeof *times, ascending);
  *cut_ms = m->nnz > 0 ? times[(size_t)((1 - FUTURE_SHARE) * (double)m->nnz)] : 0;
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
  uint32_t ahead;
  size_t targets, targets_cap;
} gathering;

static void count_moment(void *ctx, const wn_moment *moment WN_UNUSED) {
  ((gathering *)ctx)->all++;
}

static int by_item(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

/* Who is drawn is a hash of user and time. Room is for all that can come. */
static void take_moment(void *ctx, const wn_moment *moment) {
  gathering *g = ctx;
  wn_replay *r = g->out;
  if (wn_mix64(g->seed ^ wn_mix64(moment->user ^ wn_mix64((uint64_t)moment->time_ms))) > g->limit ||
      r->len == g->cap)
    return;
  wn_moment *m = &r->moment[r->len++];
  size_t first = g->targets;
  *m = *moment;
  uint64_t end = g->ahead > 0 ? m->rows->row_ptr[m->user + 1] : moment->targets_end;
  size_t most = g->ahead > 0 ? g->ahead : TARGETS_MAX;
  for (uint64_t p = moment->target; p < end; p++)
    if (m->rows->weight[p] > 0 && g->targets - first < most)
      r->target[g->targets++] = m->rows->col[p];
  qsort(r->target + first, g->targets - first, sizeof *r->target, by_item);
  m->target = first;
  m->targets_end = g->targets;
}

static wn_status make_timed(const wn_dataset *data, const wn_replay_options *o, wn_replay *out,
                            wn_error *err) {
  size_t len_max = o->len_max;
  const wn_csr *m = &data->by_user;
  gathering g = {
      .out = out, .seed = o->seed, .ahead = o->ahead, .limit = UINT64_MAX, .cap = 2 * len_max};
  int64_t cut_ms = 0;
  wn_status status = WN_OK;
  WN_TRY(find_cut(m, &cut_ms, err));
  each_moment(m, cut_ms, count_moment, &g);
  if (g.all < MOMENTS_MIN) goto cleanup;
  if (g.all > len_max)
    g.limit = (uint64_t)((double)len_max / (double)g.all * 18446744073709549568.0);
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

static wn_status make_rounds(const wn_dataset *data, size_t len_max, uint64_t seed, wn_replay *out,
                             wn_error *err) {
  wn_status status = WN_OK;
  wn_holdout_options how = {
      .users_max = (uint32_t)len_max, .targets_max = TARGETS_MAX, .seed = seed};
  const wn_dataset *from = data;
  size_t total = 0;
  for (size_t r = 0; r < WN_REPLAY_ROUNDS_MAX; r++) {
    wn_holdout *round = &out->round[r];
    WN_TRY(wn_holdout_make(from, &how, round, err));
    out->rounds++;
    total += round->len;
    from = &round->rest;
    if (round->len == 0 || total + round->len > len_max) break;
  }
  out->rest = *from;
  WN_TRY(gather_rounds(out, err));
cleanup:
  return status;
}

wn_status wn_replay_make(const wn_dataset *data, const wn_replay_options *o, wn_replay *out,
                         wn_error *err) {
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  if (wn_dataset_timed(data)) WN_TRY(make_timed(data, o, out, err));
  if (out->len < MOMENTS_MIN) {
    wn_replay_clear(out);
    WN_TRY(make_rounds(data, o->len_max, o->seed, out, err));
  }
cleanup:
  if (status != WN_OK) wn_replay_clear(out);
  return status;
}

void wn_replay_clear(wn_replay *replay) {
  if (replay->rounds == 0) wn_dataset_clear(&replay->rest);
  for (size_t r = 0; r < replay->rounds; r++) wn_holdout_clear(&replay->round[r]);
  wn_free(replay->moment);
  wn_free(replay->target);
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
