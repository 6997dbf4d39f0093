/* Half an epoch of ALS: one side is diagonalised, the other solved.
 *
 * Rows are taken by falling length: the longest alone, so that threads end together; then sixteen a
 * chunk; the short ones among these by als_short.c. Which rows meet in a batch depends on the
 * lengths alone, so the model has the same bits for any number of threads.
 *
 * Cost: the Gram and the rotation rows·d² multiply-adds each, 18·d³ flops for the eigenproblem,
 * then als_solve.c's. Confidences are computed from the weights as rows come up: no copy of the
 * data. */
#include "model/als_fit.h"
#include "model/linalg.h"
#include "base/mem.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define ALONE    256 /* entries from which a row is a chunk of its own */
#define TOGETHER 16  /* rows of other chunks */
#define ROTATED  64  /* rows of a rotation's chunk */

static size_t padded(size_t n) {
  return (n + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD;
}

/* Entries that say something, of a row with at least one liked item; else 0. */
static uint32_t entries(const wn_csr *csr, uint32_t row, bool negative) {
  uint32_t n = 0;
  bool liked = false;
  for (uint64_t i = csr->row_ptr[row]; i < csr->row_ptr[row + 1]; i++) {
    float weight = wn_csr_weight(csr, i);
    liked |= weight > 0;
    n += weight > 0 || (negative && weight < 0);
  }
  return liked ? n : 0;
}

/* begin[k] becomes the number of rows longer than k. */
static void place_rows(als_side *side, const uint32_t *n, uint32_t *begin) {
  uint32_t rows = side->csr->rows;
  for (uint32_t r = 0; r < rows; r++) {
    if (n[r] > 0) begin[n[r] - 1]++;
  }
  for (uint32_t k = side->longest; k-- > 0;) begin[k] += begin[k + 1];
  for (uint32_t r = 0; r < rows; r++) {
    if (n[r] > 0) side->order[begin[n[r]]++] = r;
  }
}

wn_status als_order_rows(als_side *side, bool negative, wn_error *err) {
  uint32_t rows = side->csr->rows, *begin = NULL;
  uint32_t *n = wn_calloc((size_t)rows + 1, sizeof *n); /* lengths */
  if (n == NULL) return wn_fail_memory(err);
  for (uint32_t r = 0; r < rows; r++) {
    n[r] = entries(side->csr, r, negative);
    side->longest = n[r] > side->longest ? n[r] : side->longest;
    side->active += n[r] > 0;
    side->crowded += n[r] > ALONE;
  }
  begin = wn_calloc((size_t)side->longest + 1, sizeof *begin);
  side->order = wn_calloc((size_t)side->active + 1, sizeof *side->order);
  wn_status status = begin == NULL || side->order == NULL ? wn_fail_memory(err) : WN_OK;
  if (status == WN_OK) place_rows(side, n, begin);
  wn_free(n);
  wn_free(begin);
  return status;
}

/* A thread's memory. */
typedef struct worker {
  wn_als_scratch one;
  float *batch;
  float *pcg;
  float *c;      /* [longest] of a long row, or [lanes × N] of a batch */
  uint32_t *col; /* the same */
  wn_als_task task[WN_ALS_SHORT_LANES];
} worker;

static size_t entries_of(size_t longest) {
  size_t together = (size_t)WN_ALS_SHORT_LANES * WN_ALS_SHORT_N;
  return longest > together ? longest : together;
}

size_t als_worker_floats(size_t d, size_t longest) {
  size_t rotation = ROTATED * padded(d) + WN_SIMD_PAD;
  size_t solving = wn_als_scratch_floats(d, longest) + wn_als_short_floats(d) +
                   wn_als_pcg_floats(d, longest) + 2 * entries_of(longest);
  return rotation > solving ? rotation : solving;
}

static void worker_init(worker *w, const als_fit *f, int number) {
  float *memory = f->scratch + (size_t)number * f->scratch_floats;
  wn_als_scratch_init(&w->one, f->d, f->free->longest, memory);
  w->batch = memory + wn_als_scratch_floats(f->d, f->free->longest);
  w->pcg = w->batch + wn_als_short_floats(f->d);
  w->c = w->pcg + wn_als_pcg_floats(f->d, f->free->longest);
  w->col = (uint32_t *)(void *)(w->c + entries_of(f->free->longest));
}

/* The row's entries: the data as they are where all confidences are 1, else from place `at` of the
 * worker's buffers. */
static wn_als_task task_of(const als_fit *f, const worker *w, uint32_t row, size_t at) {
  const wn_csr *csr = f->free->csr;
  float *c = w->c + at;
  uint32_t *col = w->col + at;
  wn_als_task task = {
      .col = col, .c = c, .x = f->free->factors + row * f->d, .row = &f->free->solved[row]};
  if (f->uniform) {
    task.col = csr->col + csr->row_ptr[row];
    task.c = f->ones;
    task.n = task.said = (size_t)(csr->row_ptr[row + 1] - csr->row_ptr[row]);
    task.sum = task.liked = (double)task.n;
    task.plain = true;
    return task;
  }
  for (uint64_t i = csr->row_ptr[row]; i < csr->row_ptr[row + 1]; i++) {
    float ci = wn_als_confidence(f->head, wn_csr_weight(csr, i));
    if (!(fabsf(ci) > 0)) continue;
    c[task.n] = ci;
    col[task.n++] = csr->col[i];
    task.sum += (double)fabsf(ci);
    task.liked += ci > 0 ? (double)ci : 0;
  }
  task.said = task.n;
  return task;
}

static void look_ahead(const als_side *side, size_t at, size_t end, wn_als_scratch *scratch) {
  const uint64_t *begin = &side->csr->row_ptr[at < end ? side->order[at] : 0];
  scratch->after = side->csr->col + begin[0];
  scratch->after_len = at < end ? (size_t)(begin[1] - begin[0]) : 0;
}

static void solve_chunk(const als_fit *f, worker *w, const wn_als_system *system, size_t chunk) {
  const als_side *side = f->free;
  size_t at = chunk < side->crowded ? chunk : side->crowded + (chunk - side->crowded) * TOGETHER;
  size_t end = chunk < side->crowded ? at + 1 : at + TOGETHER, tasks = 0;
  size_t lanes = wn_simd()->lanes, limit = padded(f->d);
  if (limit > WN_ALS_SHORT_N) limit = WN_ALS_SHORT_N;
  if (end > side->active) end = side->active;
  for (; at < end; at++) {
    look_ahead(side, at + 1, end, &w->one);
    wn_als_task task = task_of(f, w, side->order[at], tasks * WN_ALS_SHORT_N);
    if (task.n <= limit && task.liked > 0) {
      w->task[tasks++] = task;
    } else if (f->steps > 0 && task.liked > 0 &&
               (!f->counted || wn_als_pcg_pays(f->d, task.n, f->steps))) {
      *task.row = wn_als_solve_pcg(system, &task, f->steps, w->pcg);
    } else {
      *task.row = wn_als_solve_task(system, &task, &w->one);
    }
    if (tasks == lanes) {
      wn_als_solve_short(system, w->task, tasks, w->batch);
      tasks = 0;
    }
  }
  if (tasks > 0) wn_als_solve_short(system, w->task, tasks, w->batch);
}

static void solve_chunks(void *ctx, size_t begin, size_t end, int number) {
  als_fit *f = ctx;
  wn_als_system system = {.factors = f->fixed->factors,
                          .eigen = f->eigen,
                          .d = f->d,
                          .count = f->fixed->active,
                          .alpha0 = f->head->alpha0,
                          .lambda = f->head->lambda,
                          .nu = f->head->nu};
  worker w;
  worker_init(&w, f, number);
  for (size_t chunk = begin; chunk < end; chunk++) solve_chunk(f, &w, &system, chunk);
}

/* Rows of f->turned. */
static void rotate_rows(void *ctx, size_t begin, size_t end, int number) {
  als_fit *f = ctx;
  size_t width = padded(f->d);
  float *out = f->scratch + (size_t)number * f->scratch_floats, *rows = f->turned->factors;
  memset(out, 0, (end - begin) * width * sizeof *out);
  wn_simd_product p = {.a = rows + begin * f->d,
                       .a_row = f->d,
                       .a_step = 1,
                       .b = f->basis,
                       .b_row = width,
                       .c = out,
                       .c_row = width,
                       .depth = f->d};
  wn_simd()->product(&p, end - begin, width);
  for (size_t r = begin; r < end; r++) {
    memcpy(rows + r * f->d, out + (r - begin) * width, f->d * sizeof *rows);
  }
}

static void rotate(als_fit *f, als_side *side) {
  f->turned = side;
  wn_pool_run(f->env->pool, side->csr->rows, ROTATED, rotate_rows, f);
}

wn_status als_half_epoch(als_fit *f, als_side *fixed, als_side *free_side, wn_error *err) {
  size_t d = f->d, width = padded(d);
  f->fixed = fixed;
  f->free = free_side;
  wn_status status = wn_gram(f->env->pool, fixed->factors, fixed->csr->rows, d, f->gram, err);
  if (status != WN_OK) return status;
  if (!wn_eigen_symmetric(f->gram, d, f->eigen, f->work)) {
    return wn_fail(err, WN_E_INTERNAL, "als", "factors have grown beyond all bounds");
  }
  for (size_t k = 0; k < d; k++) {
    f->eigen[k] = fmax(f->eigen[k], 0);
    for (size_t i = 0; i < d; i++) f->basis[i * width + k] = (float)f->gram[k * d + i];
  }
  rotate(f, fixed);
  if (f->steps > 0) rotate(f, free_side); /* where its rows start from */
  size_t rest = free_side->active - free_side->crowded;
  size_t chunks = free_side->crowded + (rest + TOGETHER - 1) / TOGETHER;
  wn_pool_run(f->env->pool, chunks, 1, solve_chunks, f);
  return WN_OK;
}
