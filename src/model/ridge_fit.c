/* Local ridge: EASE (Steck 2019) with each target's sources restricted to its nearest neighbours,
 * so that the weights are sparse and the targets independent.
 *
 * For target j: S = the k items i with the largest K[i][j]/√G[i][i], i ≠ j, and
 *     w = (G_SS + λI)⁻¹ K_Sj.
 * With k ≥ items and G = K this is EASE, whose column j is the regression of j on all others.
 *
 * G is kept as rows of pairs, each pair in the row of its rarer item, whose row is short (the
 * bound is √(2·pairs), as in counting triangles). G_SS is gathered by walking the rows of S with
 * a map from item to place in S. Costs: 3·Σ n² additions over users' rows of n entries, and k³/3 +
 * the rows of S a target. Targets are independent and sums go by users ascending: the same bits for
 * any number of threads. */
#include "model/ridge.h"

#include "base/mem.h"
#include "model/linalg.h"

#include <math.h>
#include <string.h>

#define BLOCK 1024 /* items between two reports of progress */

typedef struct gram {
  float *diagonal;   /* [items] */
  uint64_t *row_ptr; /* [items + 1] */
  uint32_t *col;     /* > the row's item */
  float *value;
} gram;

/* One thread's. */
typedef struct scratch {
  wn_ridge_sums sums;
  uint32_t *place; /* [items] where the item's row of A begins, 0: not in S */
  wn_scored *best; /* [k] */
  float *A;        /* [(k + 1) × k] the first row takes what belongs to no other */
  float *x, *work; /* [k] */
} scratch;

typedef struct solver {
  const wn_ridge_rows *rows;
  const wn_ridge_solve_options *options;
  const wn_fit_env *env;
  gram gram;
  scratch *scratch; /* [threads] */
  size_t threads;
  uint32_t *len;    /* [items] sources of each target */
  uint32_t *source; /* [items × k] */
  float *weight;    /* [items × k] */
  size_t k;
  uint32_t begin; /* of the block */
} solver;

static void solver_clear(solver *s) {
  for (size_t t = 0; s->scratch != NULL && t < s->threads; t++) {
    scratch *w = &s->scratch[t];
    void *all[] = {w->sums.sum, w->sums.touched, w->place, w->best, w->A, w->x, w->work};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
  }
  void *all[] = {s->gram.diagonal, s->gram.row_ptr, s->gram.col, s->gram.value,
                 s->scratch,       s->len,          s->source,   s->weight};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
}

static bool scratch_init(scratch *w, size_t items, size_t k) {
  w->sums.sum = wn_calloc(items, sizeof *w->sums.sum);
  w->sums.touched = wn_calloc(items, sizeof *w->sums.touched);
  w->place = wn_calloc(items, sizeof *w->place);
  w->best = wn_calloc(k, sizeof *w->best);
  w->A = wn_calloc((k + 1) * k, sizeof *w->A);
  w->x = wn_calloc(k, sizeof *w->x);
  w->work = wn_calloc(k, sizeof *w->work);
  return w->sums.sum && w->sums.touched && w->place && w->best && w->A && w->x && w->work;
}

static wn_status solver_init(solver *s, wn_error *err) {
  size_t items = s->rows->items;
  s->threads = (size_t)wn_pool_threads(s->env->pool);
  s->k = s->options->k < items ? s->options->k : items;
  s->gram.diagonal = wn_calloc(items, sizeof *s->gram.diagonal);
  s->gram.row_ptr = wn_calloc(items + 1, sizeof *s->gram.row_ptr);
  s->scratch = wn_calloc(s->threads, sizeof *s->scratch);
  s->len = wn_calloc(items, sizeof *s->len);
  bool good = s->gram.diagonal && s->gram.row_ptr && s->scratch && s->len;
  for (size_t t = 0; good && t < s->threads; t++) good = scratch_init(&s->scratch[t], items, s->k);
  return good ? WN_OK : wn_fail_memory(err);
}

/* ---- G ---- */

static void count_rows(void *ctx, size_t begin, size_t end, int worker) {
  solver *s = ctx;
  wn_ridge_sums *sums = &s->scratch[worker].sums;
  for (size_t r = begin; r < end; r++) {
    uint32_t i = s->begin + (uint32_t)r;
    wn_ridge_gram_row(s->rows, i, sums);
    s->gram.row_ptr[i + 1] = sums->len - (sums->sum[i] > 0);
    for (size_t t = 0; t < sums->len; t++) sums->sum[sums->touched[t]] = 0;
    sums->len = 0;
  }
}

static void fill_rows(void *ctx, size_t begin, size_t end, int worker) {
  solver *s = ctx;
  wn_ridge_sums *sums = &s->scratch[worker].sums;
  for (size_t r = begin; r < end; r++) {
    uint32_t i = s->begin + (uint32_t)r;
    uint64_t at = s->gram.row_ptr[i];
    wn_ridge_gram_row(s->rows, i, sums);
    s->gram.diagonal[i] = sums->sum[i];
    for (size_t t = 0; t < sums->len; t++) {
      uint32_t j = sums->touched[t];
      if (j != i) {
        s->gram.col[at] = j;
        s->gram.value[at++] = sums->sum[j];
      }
      sums->sum[j] = 0;
    }
    sums->len = 0;
  }
}

/* ---- solving ---- */

static size_t choose_sources(const solver *s, uint32_t j, scratch *w) {
  wn_topk top;
  wn_topk_init(&top, w->best, s->k);
  wn_ridge_target(s->rows, j, &w->sums);
  for (size_t t = 0; t < w->sums.len; t++) {
    uint32_t i = w->sums.touched[t];
    float diagonal = s->gram.diagonal[i];
    if (diagonal > 0) wn_topk_push(&top, i, w->sums.sum[i] / sqrtf(diagonal));
  }
  return wn_topk_sort(&top);
}

static void by_number(wn_scored *best, size_t n) {
  for (size_t gap = n / 2; gap > 0; gap /= 2) {
    for (size_t i = gap; i < n; i++) {
      wn_scored x = best[i];
      size_t j = i;
      for (; j >= gap && best[j - gap].ix > x.ix; j -= gap) best[j] = best[j - gap];
      best[j] = x;
    }
  }
}

/* The lower triangle of G_SS + λI from A's second row on; S ascends, so a partner's row is below.
 * Most entries of a row of G have no place in S: storing them where nobody looks is cheaper than
 * asking.
 */
static void gather(const solver *s, size_t n, scratch *w) {
  const gram *g = &s->gram;
  memset(w->A, 0, (n + 1) * n * sizeof *w->A);
  for (size_t p = 0; p < n; p++) w->place[w->best[p].ix] = (uint32_t)((p + 1) * n);
  for (size_t p = 0; p < n; p++) {
    uint32_t i = w->best[p].ix;
    float *column = w->A + p;
    column[(p + 1) * n] = g->diagonal[i] + (float)s->options->lambda;
    for (uint64_t e = g->row_ptr[i]; e < g->row_ptr[i + 1]; e++) {
      column[w->place[g->col[e]]] = g->value[e];
    }
  }
  for (size_t p = 0; p < n; p++) w->place[w->best[p].ix] = 0;
}

static void solve_targets(void *ctx, size_t begin, size_t end, int worker) {
  solver *s = ctx;
  scratch *w = &s->scratch[worker];
  for (size_t r = begin; r < end; r++) {
    uint32_t j = s->begin + (uint32_t)r;
    size_t n = choose_sources(s, j, w), at = j * s->k;
    by_number(w->best, n);
    gather(s, n, w);
    for (size_t p = 0; p < n; p++) w->x[p] = w->sums.sum[w->best[p].ix];
    wn_cholesky(w->A + n, n, n, (float)s->options->lambda, w->work);
    wn_cholesky_solve(w->A + n, n, n, w->x);
    for (size_t p = 0; p < n; p++) {
      if (!isfinite(w->x[p]) || w->x[p] == 0) continue;
      s->source[at + s->len[j]] = w->best[p].ix;
      s->weight[at + s->len[j]++] = w->x[p];
    }
    for (size_t t = 0; t < w->sums.len; t++) w->sums.sum[w->sums.touched[t]] = 0;
    w->sums.len = 0;
  }
}

/* All items in blocks; `done` of the progress runs over two rounds. */
static wn_status each_block(solver *s, wn_pool_fn *fn, double before, wn_error *err) {
  uint32_t items = s->rows->items;
  for (s->begin = 0; s->begin < items; s->begin += BLOCK) {
    uint32_t n = items - s->begin < BLOCK ? items - s->begin : BLOCK;
    if (!wn_progress_at(s->env->progress, s->options->stage, before + s->begin, 3.0 * items,
                        "items")) {
      return wn_fail(err, WN_E_CANCELLED, "", "training was cancelled");
    }
    wn_pool_run(s->env->pool, n, 4, fn, s);
  }
  return WN_OK;
}

/* ---- the result ---- */

static wn_status by_source(const solver *s, uint32_t items, wn_ridge_weights *out, wn_error *err) {
  const uint32_t *item_of = s->rows->item_of;
  uint64_t nnz = 0;
  uint32_t *number = wn_calloc((size_t)items + 1, sizeof *number);
  for (uint32_t j = 0; j < s->rows->items; j++) nnz += s->len[j];
  out->row_ptr = wn_calloc((size_t)items + 1, sizeof *out->row_ptr);
  out->col = wn_calloc(nnz + 1, sizeof *out->col);
  out->weight = wn_calloc(nnz + 1, sizeof *out->weight);
  if (!number || !out->row_ptr || !out->col || !out->weight) {
    wn_free(number);
    return wn_fail_memory(err);
  }
  for (uint32_t j = 0; j < s->rows->items; j++) {
    number[item_of[j]] = j + 1;
    for (uint32_t t = 0; t < s->len[j]; t++) out->row_ptr[item_of[s->source[j * s->k + t]] + 1]++;
  }
  for (uint32_t i = 0; i < items; i++) out->row_ptr[i + 1] += out->row_ptr[i];
  for (uint32_t target = 0; target < items; target++) {
    if (number[target] == 0) continue;
    size_t j = number[target] - 1;
    for (uint32_t t = 0; t < s->len[j]; t++) {
      uint64_t at = out->row_ptr[item_of[s->source[j * s->k + t]]]++;
      out->col[at] = target;
      out->weight[at] = s->weight[j * s->k + t];
    }
  }
  memmove(out->row_ptr + 1, out->row_ptr, items * sizeof *out->row_ptr);
  out->row_ptr[0] = 0;
  wn_free(number);
  return WN_OK;
}

void wn_ridge_weights_clear(wn_ridge_weights *weights) {
  wn_free(weights->row_ptr);
  wn_free(weights->col);
  wn_free(weights->weight);
  memset(weights, 0, sizeof *weights);
}

static wn_status make_gram(solver *s, wn_error *err) {
  gram *g = &s->gram;
  wn_status status = each_block(s, count_rows, 0, err);
  if (status != WN_OK) return status;
  for (uint32_t i = 0; i < s->rows->items; i++) g->row_ptr[i + 1] += g->row_ptr[i];
  uint64_t pairs = g->row_ptr[s->rows->items];
  g->col = wn_calloc(pairs + 1, sizeof *g->col);
  g->value = wn_calloc(pairs + 1, sizeof *g->value);
  if (g->col == NULL || g->value == NULL) return wn_fail_memory(err);
  return each_block(s, fill_rows, s->rows->items, err);
}

wn_status wn_ridge_solve(const wn_ridge_rows *rows, uint32_t items,
                         const wn_ridge_solve_options *options, const wn_fit_env *env,
                         wn_ridge_weights *out, wn_error *err) {
  solver s = {.rows = rows, .options = options, .env = env};
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  if (rows->items > 0) {
    WN_TRY(solver_init(&s, err));
    WN_TRY(make_gram(&s, err));
    s.source = wn_calloc(rows->items, s.k * sizeof *s.source);
    s.weight = wn_calloc(rows->items, s.k * sizeof *s.weight);
    if (s.source == NULL || s.weight == NULL) WN_TRY(wn_fail_memory(err));
    WN_TRY(each_block(&s, solve_targets, 2.0 * rows->items, err));
  }
  WN_TRY(by_source(&s, items, out, err));
cleanup:
  solver_clear(&s);
  if (status != WN_OK) wn_ridge_weights_clear(out);
  return status;
}
