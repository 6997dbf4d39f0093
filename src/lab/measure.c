/* One row of an evaluation: every user's list, from the serving path itself (candidates of a
 * fold-in from the train history, under the bitmap of what is allowed), a tile of users at a time
 * where the model answers in batches; from the list come the user's numbers (measure_values.c).
 *
 * Where areas under curves are asked for, all scores are computed and the list is the best of them.
 *
 * Costs: a `candidates` (or `score_all`) call a user. Memory: 8 bytes × metrics × cutoffs a user,
 * 8 bytes × cutoffs an item and thread. Each user's numbers are independent, sums run in user order
 * or are exact: same seed, same digits, for any thread count.
 */
#include "lab/evaluate_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"
#include "lab/beyond.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 256 }; /* scores at a time */

typedef struct best_scores {
  const wn_scored *data;
  size_t len;
} best_scores;

/* --- what a list may hold --- */

/* The choices, or everything, without what she has seen. Between two users `allowed` is empty with
 * choices, else the universe. */
void wn_bench_open(const wn_bench *b, wn_bitset *allowed, uint32_t user) {
  const wn_user_items *choices = &b->split->choices, *seen = &b->split->seen;
  for (uint64_t p = choices->ptr != NULL ? choices->ptr[user] : 0;
       choices->ptr != NULL && p < choices->ptr[user + 1]; p++)
    if (wn_bitset_test(&b->universe, choices->item[p])) wn_bitset_set(allowed, choices->item[p]);
  for (uint64_t p = seen->ptr[user]; p < seen->ptr[user + 1]; p++)
    wn_bitset_unset(allowed, seen->item[p]);
}

void wn_bench_close(const wn_bench *b, wn_bitset *allowed, uint32_t user) {
  const wn_user_items *choices = &b->split->choices, *seen = &b->split->seen;
  if (choices->ptr != NULL) {
    for (uint64_t p = choices->ptr[user]; p < choices->ptr[user + 1]; p++)
      wn_bitset_unset(allowed, choices->item[p]);
    return;
  }
  for (uint64_t p = seen->ptr[user]; p < seen->ptr[user + 1]; p++)
    if (wn_bitset_test(&b->universe, seen->item[p])) wn_bitset_set(allowed, seen->item[p]);
}

/* --- queries --- */

static wn_status history_of(const wn_bench *b, uint32_t user, wn_query *query) {
  const wn_csr *m = &b->histories->by_user;
  uint64_t begin = m->row_ptr[user], end = m->row_ptr[user + 1];
  wn_history_entry *h = wn_arena_alloc(query->arena, (end - begin + 1) * sizeof *h);
  uint8_t *type = wn_arena_alloc(query->arena, end - begin + 1);
  if (h == NULL || type == NULL) return WN_E_MEMORY;
  for (uint64_t p = end; p-- > begin;) {
    type[query->history_len] = m->type[p];
    h[query->history_len++] = (wn_history_entry){m->col[p], m->weight[p], m->time_ms[p]};
  }
  query->history = h;
  query->history_type = type;
  return WN_OK;
}

static wn_status query_of(const wn_bench *b, wn_bench_worker *w, uint32_t user, wn_query *out) {
  const int64_t *asked = b->split->asked_ms;
  *out = (wn_query){.user = user,
                    .user_attrs = b->attrs != NULL ? b->attrs[user] : NULL,
                    .anchor = WN_NO_IX,
                    .now_ms = asked != NULL ? asked[user] : b->histories->now_ms,
                    .seed = b->options->seed ^ wn_mix64(user),
                    .arena = &w->arena};
  return history_of(b, user, out);
}

static wn_status rank_by_funnel(const wn_bench *b, const wn_query *query, wn_bench_list *list,
                                wn_error *err) {
  const wn_split *s = b->split;
  uint64_t begin = s->seen.ptr[query->user], n = s->seen.ptr[query->user + 1] - begin;
  wn_seen_entry *seen = wn_arena_alloc(query->arena, (n + 1) * sizeof *seen);
  list->item = wn_arena_alloc(query->arena, b->k_max * sizeof *list->item);
  if (seen == NULL || list->item == NULL) return wn_fail_memory(err);
  for (uint64_t i = 0; i < n; i++) seen[i] = (wn_seen_entry){s->seen.item[begin + i], UINT64_MAX};
  wn_request request = {.surface = b->surface,
                        .models = &b->models,
                        .catalog = b->options->catalog,
                        .filters = b->filters,
                        .signals = b->signals,
                        .query = *query,
                        .within = &b->universe,
                        .seen = seen,
                        .seen_len = (size_t)n,
                        .n = (uint32_t)b->k_max};
  wn_slate slate;
  wn_status status = wn_funnel_run(&request, &slate, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < slate.len; i++) list->item[i] = slate.items[i].item;
  list->len = slate.len;
  return WN_OK;
}

static wn_bench_list given_list(const wn_bench *b, uint32_t user) {
  const wn_user_items *lists = &b->given->lists;
  if (user >= b->given->users) return (wn_bench_list){0};
  uint64_t begin = lists->ptr[user];
  return (wn_bench_list){lists->item + begin, lists->weight != NULL ? lists->weight + begin : NULL,
                         (size_t)(lists->ptr[user + 1] - begin)};
}

/* --- from the scores of everything --- */

/* Areas under curves are asked of this user, so all her scores are computed and her list is the
 * best of them: what candidates() promises. */
static bool wants_scores(const wn_bench *b, size_t at) {
  return (b->options->metrics & WN_METRICS_OF_SCORES) != 0 && at < b->users_len;
}

/* The scores; NaN: not allowed. */
static wn_status score_allowed(const wn_bench *b, wn_bench_worker *w, const wn_query *query) {
  uint32_t items = b->split->items;
  wn_status status = b->model->cls->score_all(b->model, query, w->scores, items, &w->error);
  for (uint32_t i = 0; status == WN_OK && i < items; i += 64) {
    uint64_t closed = ~query->allowed->words[i / 64];
    for (uint32_t j = i; closed != 0 && j < items && j < i + 64; j++, closed >>= 1)
      if ((closed & 1) != 0) w->scores[j] = NAN;
  }
  return status;
}

static size_t best_of(const wn_bench *b, const wn_bench_worker *w, wn_scored *out) {
  wn_topk top;
  uint32_t items = b->split->items, at[BLOCK];
  wn_topk_init(&top, out, b->k_max);
  for (uint32_t i = 0; i < items; i += BLOCK) {
    float least = top.len < top.k ? -FLT_MAX : top.heap[0].score;
    size_t n = wn_simd()->above(w->scores + i, items - i < BLOCK ? items - i : BLOCK, least, at);
    for (size_t j = 0; j < n; j++) wn_topk_push(&top, i + at[j], w->scores[i + at[j]]);
  }
  return wn_topk_sort(&top);
}

/* --- a tile of users --- */

static wn_status record_scored(const wn_bench *b, wn_bench_worker *w, size_t at,
                               const wn_query *query, best_scores of) {
  uint32_t *item = wn_arena_alloc(&w->arena, (of.len + 1) * sizeof *item);
  float *score = wn_arena_alloc(&w->arena, (of.len + 1) * sizeof *score);
  if (item == NULL || score == NULL) return wn_fail_memory(&w->error);
  for (size_t j = 0; j < of.len; j++) {
    item[j] = of.data[j].ix;
    score[j] = of.data[j].score;
  }
  const wn_bench_list list = {item, score, of.len};
  return wn_bench_record(b, w, at, query, &list);
}

static wn_status rank_by_scores(const wn_bench *b, wn_bench_worker *w, size_t at,
                                const wn_query *query) {
  wn_scored *best = wn_arena_alloc(&w->arena, b->k_max * sizeof *best);
  wn_status status = best == NULL ? wn_fail_memory(&w->error) : score_allowed(b, w, query);
  if (status != WN_OK) return status;
  w->scored = true;
  status = record_scored(b, w, at, query, (best_scores){best, best_of(b, w, best)});
  w->scored = false;
  return status == WN_OK ? wn_bench_record_areas(b, w, at, query) : status;
}

static wn_status rank_tile(const wn_bench *b, wn_bench_worker *w, wn_query *queries, size_t begin,
                           size_t n) {
  size_t count[WN_EVALUATE_TILE], first = 0;
  wn_status status = WN_OK;
  for (; first < n && wants_scores(b, begin + first) && status == WN_OK; first++)
    status = rank_by_scores(b, w, begin + first, &queries[first]);
  if (status != WN_OK || first == n) return status;
  wn_scored *scored = wn_arena_alloc(&w->arena, (n - first) * b->k_max * sizeof *scored);
  wn_query_batch batch = {queries + first, n - first, b->k_max, scored, count};
  if (scored == NULL) return wn_fail_memory(&w->error);
  status = wn_model_candidates_batch(b->model, &batch, &w->error);
  for (size_t i = first; status == WN_OK && i < n; i++)
    status = record_scored(b, w, begin + i, &queries[i],
                           (best_scores){scored + (i - first) * b->k_max, count[i - first]});
  return status;
}

static wn_status rank_one(const wn_bench *b, wn_bench_worker *w, const wn_query *query, size_t at) {
  wn_bench_list list = {0};
  wn_status status = WN_OK;
  if (b->given != NULL)
    list = given_list(b, query->user);
  else
    status = rank_by_funnel(b, query, &list, &w->error);
  return status == WN_OK ? wn_bench_record(b, w, at, query, &list) : status;
}

static wn_status measure_tile(const wn_bench *b, wn_bench_worker *w, size_t begin, size_t end) {
  wn_query queries[WN_EVALUATE_TILE];
  wn_status status = WN_OK;
  wn_arena_reset(&w->arena);
  for (size_t at = begin; at < end; at++) {
    wn_query *query = &queries[at - begin];
    if (query_of(b, w, b->users[at], query) != WN_OK) return wn_fail_memory(&w->error);
    wn_bench_open(b, &w->allowed[at - begin], query->user);
    if (b->model != NULL) query->allowed = &w->allowed[at - begin];
  }
  if (b->model != NULL)
    status = rank_tile(b, w, queries, begin, end - begin);
  else
    status = rank_one(b, w, &queries[0], begin);
  for (size_t at = begin; at < end; at++) wn_bench_close(b, &w->allowed[at - begin], b->users[at]);
  return status;
}

static void measure_rows(void *ctx, size_t begin, size_t end, int worker) {
  const wn_bench *b = ctx;
  wn_bench_worker *w = &b->workers[worker];
  bool batches = b->model != NULL && b->model->cls->candidates_batch != NULL;
  size_t step = batches ? WN_EVALUATE_TILE : 1; /* the arena is one user's where that can be */
  for (size_t at = begin; at < end && w->error.status == WN_OK; at += step) {
    wn_status status = measure_tile(b, w, at, at + step < end ? at + step : end);
    if (status != WN_OK && w->error.status == WN_OK) w->error.status = WN_E_INTERNAL;
  }
}

/* --- the row --- */

void wn_bench_begin_row(wn_bench *b) {
  size_t cells = b->options->cutoffs_len * b->split->items;
  size_t all = b->slots * b->options->cutoffs_len * (b->users_len + b->cold_len);
  for (size_t i = 0; i < all; i++) b->values[i] = NAN;
  for (int t = 0; t < wn_pool_threads(b->pool); t++) {
    wn_bench_worker *w = &b->workers[t];
    memset(w->counts, 0, cells * sizeof *w->counts);
    memset(w->found, 0, cells * sizeof *w->found);
    memset(w->ties, 0, sizeof w->ties);
    memset(w->compat, 0, sizeof w->compat);
    w->compat_users = 0;
    w->error = (wn_error){0};
    for (size_t i = 0; i < WN_EVALUATE_TILE; i++) {
      wn_bitset_fill(&w->allowed[i], false);
      if (b->split->choices.ptr == NULL) wn_bitset_copy(&w->allowed[i], &b->universe);
    }
  }
}

wn_status wn_bench_measure(wn_bench *b, wn_model_result *row, wn_error *err) {
  uint64_t start = wn_mono_ns();
  wn_bench_begin_row(b);
  wn_pool_run(b->pool, b->users_len + b->cold_len, WN_EVALUATE_TILE, measure_rows, b);
  for (int t = 0; t < wn_pool_threads(b->pool); t++) {
    if (b->workers[t].error.status == WN_OK) continue;
    *err = b->workers[t].error;
    return err->status;
  }
  row->rank_seconds = (double)(wn_mono_ns() - start) * 1e-9;
  return WN_OK;
}
