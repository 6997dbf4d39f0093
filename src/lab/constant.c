/* The constant scorer of an evaluation: to whom all items are equal, so its lists are one group of
 * ties. What it expects must be what the random row gets; its items in the order of their numbers
 * show what that order gives away. */
#include "lab/evaluate_internal.h"

#include "base/mem.h"

typedef struct constant_sums {
  const wn_bench *b;
  wn_exact (*sum)[2][WN_TIED_METRICS][WN_CUTOFFS_MAX]; /* [workers] expected, by number */
} constant_sums;

static void constant_user(const constant_sums *c, wn_bench_worker *w, uint32_t user, int worker) {
  const wn_bench *b = c->b;
  wn_bitset *allowed = &w->allowed[0];
  wn_relevant relevant = wn_bench_relevant(b, user);
  wn_ranking_metrics m[WN_CUTOFFS_MAX];
  wn_tied_group all = {0, 0};
  wn_ranked first = {NULL, 0};
  wn_arena_reset(&w->arena);
  uint32_t *list = wn_arena_alloc(&w->arena, b->k_max * sizeof *list);
  wn_bench_open(b, allowed, user);
  all.len = wn_bitset_count(allowed);
  for (size_t r = 0; r < relevant.len; r++)
    all.relevant += wn_bitset_test(allowed, relevant.items[r]);
  for (uint32_t i = 0; list != NULL && i < b->split->items && first.len < b->k_max; i++)
    if (wn_bitset_test(allowed, i)) list[first.len++] = i;
  first.item = list;
  wn_bench_close(b, allowed, user);
  if (list == NULL) wn_fail_memory(&w->error);
  if (list == NULL) return;
  wn_ranking_metrics_at(&first, &relevant, b->options->cutoffs, b->options->cutoffs_len, m);
  for (size_t k = 0; k < b->options->cutoffs_len; k++) {
    wn_tied_metrics tied;
    double six[2][WN_TIED_METRICS];
    wn_tied_metrics_of_groups(&all, 1, relevant.len, b->options->cutoffs[k], &tied);
    wn_tied_six(&tied.expected, six[0]);
    wn_tied_six(&m[k], six[1]);
    for (size_t i = 0; i < 2 * WN_TIED_METRICS; i++)
      c->sum[worker][i / WN_TIED_METRICS][i % WN_TIED_METRICS][k] +=
          wn_exact_of(six[i / WN_TIED_METRICS][i % WN_TIED_METRICS]);
  }
}

static void constant_rows(void *ctx, size_t begin, size_t end, int worker) {
  const constant_sums *c = ctx;
  for (size_t at = begin; at < end; at++)
    constant_user(c, &c->b->workers[worker], c->b->users[at], worker);
}

wn_status wn_bench_constant(wn_bench *b, wn_constant *out, wn_error *err) {
  int threads = wn_pool_threads(b->pool);
  constant_sums c = {b, wn_calloc((size_t)threads, sizeof *c.sum)};
  if (c.sum == NULL) return wn_fail_memory(err);
  wn_bench_begin_row(b);
  wn_pool_run(b->pool, b->users_len, WN_EVALUATE_TILE, constant_rows, &c);
  wn_status status = WN_OK;
  for (int t = 0; t < threads; t++) {
    if (b->workers[t].error.status != WN_OK) status = wn_fail_memory(err);
    for (size_t i = 0; t > 0 && i < sizeof *c.sum / sizeof(wn_exact); i++)
      ((wn_exact *)c.sum[0])[i] += ((wn_exact *)c.sum[t])[i];
  }
  for (size_t i = 0; i < WN_TIED_METRICS; i++)
    for (size_t k = 0; k < b->options->cutoffs_len; k++) {
      out->expected[i][k] = wn_exact_mean(c.sum[0][0][i][k], b->users_len);
      out->by_number[i][k] = wn_exact_mean(c.sum[0][1][i][k], b->users_len);
    }
  wn_free(c.sum);
  return status;
}
