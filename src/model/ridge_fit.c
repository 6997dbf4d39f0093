/* Local ridge fitted on all targets at once (ridge_local.c has the system).
 *
 * The head are the items of the longest lists. Their part of G is kept, a dense triangle, because
 * a pair of them would be met by many users for each of many targets; all other pairs are met anew
 * in each system. With all items in the head this is the whole of G, with none no part of it; the
 * figures behind HEAD_LEAST are in README.md. Costs: Σ n² additions over users' rows of n entries
 * for K, as many for the triangle, and k³/6 + the lists of S a target.
 *
 * Memory, of k sources, I items (A of them with entries), U users, N entries and H items in the
 * head: rows 16·N (24·N more when ordered) + 12·U + 8·I; items 28·I; triangle 2·H²; weights 8·k·A,
 * twice that for an instant at the end; each thread 8·I + 4·U + 4·k² and 20 bytes (40 while they
 * are moved) an entry of S's lists, of users who have a member outside the head: at most min(N,
 * k²·L), L the longest such list, no more than HEAD_LEAST while H < HEAD_MAX. bench_ridge compares.
 *
 * Targets are independent and sums go by users ascending: the same bits for any number of threads.
 *
 * Left out: keeping an incumbent's weights of targets whose counts did not move (`env->warm`). The
 * same data and seed would no longer give the same bytes, and a fit is seconds. Between fits events
 * do exactly that (ridge_live.c). */
#include "model/ridge.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <string.h>

#define BLOCK      1024 /* items between two reports of progress */
#define HEAD_LEAST 64u
#define HEAD_MAX   8192u

typedef struct solver {
  const wn_ridge_rows *rows;
  const wn_ridge_solve_options *options;
  const wn_fit_env *env;
  wn_ridge_head head;
  float *triangle;       /* row r of the head's G begins at r(r + 1)/2 */
  float *diagonal;       /* [items] */
  float *mass;           /* [items] */
  wn_ridge_local *local; /* [threads] */
  size_t threads;
  uint32_t *active; /* [targets] items with entries */
  uint32_t targets;
  uint32_t *len;    /* [targets] sources */
  uint32_t *source; /* [targets × k] */
  float *weight;    /* [targets × k] */
  size_t k;
  uint32_t begin; /* of the block */
  atomic_bool no_memory;
} solver;

static void solver_clear(solver *s) {
  for (size_t t = 0; s->local != NULL && t < s->threads; t++) wn_ridge_local_clear(&s->local[t]);
  wn_ridge_head_clear(&s->head);
  void *all[] = {s->triangle, s->diagonal, s->mass,   s->local,
                 s->active,   s->len,      s->source, s->weight};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
}

static wn_status solver_init(solver *s, wn_error *err) {
  const wn_ridge_rows *rows = s->rows;
  wn_status status = wn_ridge_head_choose(rows, HEAD_LEAST, HEAD_MAX, &s->head, err);
  if (status != WN_OK) return status;
  s->active = wn_calloc((size_t)rows->items + 1, sizeof *s->active);
  if (s->active == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < rows->items; i++) {
    if (wn_ridge_list_of(rows, i).len > 0) s->active[s->targets++] = i;
  }
  s->threads = (size_t)wn_pool_threads(s->env->pool);
  s->k = s->options->k < s->targets ? s->options->k : s->targets;
  s->diagonal = wn_calloc((size_t)rows->items + 1, sizeof *s->diagonal);
  s->mass = wn_calloc((size_t)rows->items + 1, sizeof *s->mass);
  if (s->diagonal == NULL || s->mass == NULL) return wn_fail_memory(err);
  if (s->k == 0) return WN_OK;
  size_t head = s->head.len;
  s->triangle = wn_calloc(head * (head + 1) / 2 + 1, sizeof *s->triangle);
  s->len = wn_calloc((size_t)s->targets + 1, sizeof *s->len);
  s->source = wn_calloc(s->targets, s->k * sizeof *s->source);
  s->weight = wn_calloc(s->targets, s->k * sizeof *s->weight);
  s->local = wn_calloc(s->threads, sizeof *s->local);
  bool good = s->triangle && s->len && s->source && s->weight && s->local;
  for (size_t t = 0; good && t < s->threads; t++)
    good = wn_ridge_local_init(&s->local[t], rows->users, rows->items, (uint32_t)s->k);
  return good ? WN_OK : wn_fail_memory(err);
}

static void fill_triangle(void *ctx, size_t begin, size_t end, int worker) {
  solver *s = ctx;
  (void)worker;
  for (size_t b = begin; b < end; b++) {
    size_t r = s->begin + b;
    wn_ridge_gram_row(s->rows, &s->head, (uint32_t)r, s->triangle + r * (r + 1) / 2);
  }
}

static bool add_tail(const solver *s, wn_ridge_local *l) {
  for (uint32_t p = 0; p < l->len; p++) {
    wn_ridge_list list = wn_ridge_list_of(s->rows, l->best[p].ix);
    for (uint32_t o = 0; o < list.len; o++)
      if (!wn_ridge_local_meet(l, s->rows, p, list.cell[o])) return false;
  }
  for (size_t n = 0; n < l->nodes.len; n++) wn_ridge_local_join(l, s->rows, n);
  return true;
}

static void add_head(const solver *s, wn_ridge_local *l) {
  for (uint32_t p = l->tail; p < l->len; p++) {
    size_t r = s->head.number[l->best[p].ix];
    const float *row = s->triangle + r * (r + 1) / 2;
    float *A = l->A + (size_t)p * l->len;
    for (uint32_t q = l->tail; q <= p; q++) A[q] = row[s->head.number[l->best[q].ix]];
  }
}

static void keep(solver *s, const wn_ridge_local *l, size_t target) {
  size_t at = target * s->k;
  for (uint32_t p = 0; p < l->len; p++) {
    if (!isfinite(l->x[p]) || l->x[p] == 0) continue;
    s->source[at + s->len[target]] = l->best[p].ix;
    s->weight[at + s->len[target]++] = l->x[p];
  }
}

static void solve_targets(void *ctx, size_t begin, size_t end, int worker) {
  solver *s = ctx;
  wn_ridge_local *l = &s->local[worker];
  for (size_t b = begin; b < end; b++) {
    uint32_t j = s->active[s->begin + b];
    wn_ridge_list list = wn_ridge_list_of(s->rows, j);
    for (uint32_t o = 0; o < list.len; o++) wn_ridge_local_source(l, s->rows, j, list.cell[o]);
    s->mass[j] = wn_ridge_local_mass(l);
    wn_ridge_local_choose(l, s->diagonal, &s->head);
    if (l->tail > 0 && !add_tail(s, l)) atomic_store(&s->no_memory, true);
    add_head(s, l);
    wn_ridge_local_solve(l, &s->options->penalty);
    keep(s, l, s->begin + b);
    wn_ridge_local_reset(l);
  }
}

/* In blocks; the progress runs over the head's rows, then over the targets. */
static wn_status each_block(solver *s, wn_pool_fn *fn, uint32_t before, uint32_t count,
                            wn_error *err) {
  double all = (double)s->head.len + s->targets;
  for (s->begin = 0; s->begin < count; s->begin += BLOCK) {
    uint32_t n = count - s->begin < BLOCK ? count - s->begin : BLOCK;
    if (!wn_progress_at(s->env->progress, s->options->stage, (double)before + s->begin, all,
                        "items")) {
      return wn_fail(err, WN_E_CANCELLED, "", "training was cancelled");
    }
    wn_pool_run(s->env->pool, n, 4, fn, s);
  }
  return WN_OK;
}

/* ---- the result ---- */

static wn_status by_source(const solver *s, wn_ridge_weights *out, wn_error *err) {
  uint32_t items = s->rows->items;
  uint64_t nnz = 0;
  for (uint32_t t = 0; t < s->targets; t++) nnz += s->len[t];
  out->row_ptr = wn_calloc((size_t)items + 1, sizeof *out->row_ptr);
  out->col = wn_calloc(nnz + 1, sizeof *out->col);
  out->weight = wn_calloc(nnz + 1, sizeof *out->weight);
  if (!out->row_ptr || !out->col || !out->weight) return wn_fail_memory(err);
  for (uint32_t t = 0; t < s->targets; t++) {
    for (uint32_t e = 0; e < s->len[t]; e++) out->row_ptr[s->source[t * s->k + e] + 1]++;
  }
  for (uint32_t i = 0; i < items; i++) out->row_ptr[i + 1] += out->row_ptr[i];
  for (uint32_t t = 0; t < s->targets; t++) {
    for (uint32_t e = 0; e < s->len[t]; e++) {
      uint64_t at = out->row_ptr[s->source[t * s->k + e]]++;
      out->col[at] = s->active[t];
      out->weight[at] = s->weight[t * s->k + e];
    }
  }
  memmove(out->row_ptr + 1, out->row_ptr, items * sizeof *out->row_ptr);
  out->row_ptr[0] = 0;
  return WN_OK;
}

void wn_ridge_weights_clear(wn_ridge_weights *weights) {
  wn_free(weights->row_ptr);
  wn_free(weights->col);
  wn_free(weights->weight);
  wn_free(weights->diagonal);
  wn_free(weights->mass);
  memset(weights, 0, sizeof *weights);
}

wn_status wn_ridge_solve(const wn_ridge_rows *rows, const wn_ridge_solve_options *options,
                         const wn_fit_env *env, wn_ridge_weights *out, wn_error *err) {
  solver s = {.rows = rows, .options = options, .env = env};
  wn_status status;
  memset(out, 0, sizeof *out);
  WN_TRY(solver_init(&s, err));
  if (s.k > 0) {
    wn_ridge_diagonal(rows, s.diagonal);
    WN_TRY(each_block(&s, fill_triangle, 0, s.head.len, err));
    WN_TRY(each_block(&s, solve_targets, s.head.len, s.targets, err));
    if (atomic_load(&s.no_memory)) WN_TRY(wn_fail_memory(err));
  }
  WN_TRY(by_source(&s, out, err));
  out->diagonal = s.diagonal;
  out->mass = s.mass;
  s.diagonal = s.mass = NULL;
cleanup:
  solver_clear(&s);
  if (status != WN_OK) wn_ridge_weights_clear(out);
  return status;
}

size_t wn_ridge_fit_bytes(const wn_ridge_rows *rows, uint32_t k, size_t threads) {
  size_t users = rows->users, items = rows->items, entries = rows->user_ptr[users];
  size_t head = 0, active = 0, longest = 0;
  for (uint32_t i = 0; i < rows->items; i++) {
    size_t len = wn_ridge_list_of(rows, i).len;
    active += len > 0;
    head += len > HEAD_LEAST;
    if (len <= HEAD_LEAST && len > longest) longest = len;
  }
  if (head >
      HEAD_MAX) { /* the formula's L is not known without choosing the head: entries bound it */
    head = HEAD_MAX;
    longest = entries;
  }
  size_t most = k < active ? k : active, lists = most * most * longest;
  if (lists > entries) lists = entries;
  size_t weights = 8 * most * active;
  size_t fixed = entries * (rows->rule.ordered ? 40 : 16) + 12 * users + 36 * items +
                 2 * head * head + 2 * weights;
  return fixed + threads * (8 * items + 4 * users + 4 * most * most + 40 * lists);
}
