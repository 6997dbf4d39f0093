/* M = (XᵀPX + λI)⁻¹XᵀPV by conjugate gradients (Hestenes and Stiefel 1952; Golub and Van Loan,
 * Matrix Computations, 4th ed., 11.5), one step for a block of columns at a time with a step length
 * of each column's own, preconditioned by the diagonal, until every residual has fallen to 1% (or
 * ITERATIONS_MAX steps): held-out items are ranked no better by more of them. A step costs
 * 2·nnz(X)·d multiply-adds.
 *
 * Departures, all for systems that are worse than they look (one value for all items, the same term
 * under two names, factors that are noise because there are more of them than items):
 * - λ is at least 10⁻⁷ of the largest diagonal entry, which single precision cannot tell from 0.
 * - A column's targets are divided by a power of two above the largest of them, so that no square
 *   underflows; that changes no other bit.
 * - A column rests once its residual has fallen to 10⁻⁵, whatever the others of its block still
 *   need: what is left of it is rounding, and steps along rounding have any length.
 * - The squared length of the iterate in A's norm grows by α·rᵀz with each step and never exceeds
 *   Σ p·v² (the prediction is a contraction of the targets). A step beyond that, or one without a
 *   direction (pᵀAp ≤ 0), is not taken: rounding has won, and the column rests where it is.
 *
 * Shapes: see the header; memory while it runs: 16 · BLOCK bytes a term and thread, 4 a term.
 * Columns are solved in blocks, a block by one thread: the same bits for any number of threads. */
#include "model/attr_ridge.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define BLOCK          32u
#define ITERATIONS_MAX 100
#define RESIDUAL       1e-4  /* squared */
#define RESTS          1e-10 /* squared */
#define LAMBDA_LEAST   1e-7  /* of the diagonal */

typedef struct fit {
  const wn_attr_ridge *r;
  double lambda;
  float *diagonal; /* [terms] of XᵀPX + λI */
  float *m;        /* [terms × d] */
  float *work;     /* [threads × 4 × terms × BLOCK] */
  bool *lost;      /* [d] columns without a finite solution */
} fit;

/* One block's columns on their way. */
typedef struct columns {
  double scale[BLOCK]; /* targets are divided by it; 0: nothing to solve */
  double most[BLOCK];  /* Σ p·v² */
  double start[BLOCK], rz[BLOCK];
  double length[BLOCK]; /* of the iterate, squared, in A's norm */
  bool rests[BLOCK];
} columns;

/* q += Xᵀ·P·y for the block's columns; row i of y. */
static void add_transposed(const fit *f, uint32_t i, const float *y, float *q) {
  const wn_attr_ridge *r = f->r;
  for (uint64_t k = r->ptr[i]; k < r->ptr[i + 1]; k++)
    wn_simd()->axpy(r->weight[i] * r->x[k], y, q + (size_t)r->term[k] * BLOCK, BLOCK);
}

/* q = (XᵀPX + λI) s */
static void apply(const fit *f, const float *s, float *q) {
  const wn_attr_ridge *r = f->r;
  size_t n = (size_t)r->terms * BLOCK;
  for (size_t k = 0; k < n; k++) q[k] = (float)f->lambda * s[k];
  for (uint32_t i = 0; i < r->rows; i++) {
    float y[BLOCK] = {0};
    for (uint64_t k = r->ptr[i]; k < r->ptr[i + 1]; k++)
      wn_simd()->axpy(r->x[k], s + (size_t)r->term[k] * BLOCK, y, BLOCK);
    add_transposed(f, i, y, q);
  }
}

/* out[k] = Σ a[·][k]·b[·][k] (/ diagonal) */
static void products(const fit *f, const float *a, const float *b, bool divided, double *out) {
  for (size_t k = 0; k < BLOCK; k++) out[k] = 0;
  for (uint32_t t = 0; t < f->r->terms; t++) {
    double scale = divided ? 1 / (double)f->diagonal[t] : 1;
    const float *x = a + (size_t)t * BLOCK, *y = b + (size_t)t * BLOCK;
    for (size_t k = 0; k < BLOCK; k++) out[k] += scale * (double)x[k] * (double)y[k];
  }
}

/* Scales and Σ p·v² of the columns from `first` on. */
static void measure(const fit *f, size_t first, size_t count, columns *c) {
  const wn_attr_ridge *r = f->r;
  memset(c, 0, sizeof *c);
  for (size_t k = 0; k < count; k++) {
    float largest = 0;
    bool finite = true;
    for (uint32_t i = 0; i < r->rows; i++) {
      float v = fabsf(r->target[r->of[i] * r->d + first + k]);
      finite &= (bool)isfinite(v);
      largest = fmaxf(largest, v);
    }
    int exponent = 0;
    (void)frexpf(largest, &exponent);
    if (finite && largest > 0) c->scale[k] = ldexp(1, exponent);
    f->lost[first + k] = !finite;
  }
  for (uint32_t i = 0; i < r->rows; i++) {
    for (size_t k = 0; k < count; k++) {
      double v = c->scale[k] > 0 ? (double)r->target[r->of[i] * r->d + first + k] / c->scale[k] : 0;
      c->most[k] += (double)r->weight[i] * v * v;
    }
  }
}

static void right_side(const fit *f, size_t first, size_t count, const columns *c, float *out) {
  const wn_attr_ridge *r = f->r;
  for (uint32_t i = 0; i < r->rows; i++) {
    float v[BLOCK] = {0};
    const float *target = r->target + r->of[i] * r->d + first;
    for (size_t k = 0; k < count; k++)
      if (c->scale[k] > 0) v[k] = (float)((double)target[k] / c->scale[k]);
    add_transposed(f, i, v, out);
  }
}

/* What is over; false: nothing more to do. */
static bool look(columns *c) {
  bool more = false;
  for (size_t k = 0; k < BLOCK; k++) {
    c->rests[k] = c->rests[k] || !(c->rz[k] > RESTS * c->start[k]);
    more |= !c->rests[k] && c->rz[k] > RESIDUAL * c->start[k];
  }
  return more;
}

/* s += α·p and r −= α·q, then p = r/diagonal + β·p. */
static void step(const fit *f, columns *c, float *s, float *r, float *p, const float *q) {
  double pq[BLOCK], next[BLOCK];
  float alpha[BLOCK], beta[BLOCK];
  products(f, p, q, false, pq);
  for (size_t k = 0; k < BLOCK; k++) {
    double length = c->length[k] + c->rz[k] / pq[k] * c->rz[k];
    c->rests[k] = c->rests[k] || !(pq[k] > 0) || !(length <= 1.001 * c->most[k]);
    alpha[k] = c->rests[k] ? 0 : (float)(c->rz[k] / pq[k]);
    if (!c->rests[k]) c->length[k] = length;
  }
  for (uint32_t t = 0; t < f->r->terms; t++) {
    size_t at = (size_t)t * BLOCK;
    for (size_t k = 0; k < BLOCK; k++) s[at + k] += alpha[k] * p[at + k];
    for (size_t k = 0; k < BLOCK; k++) r[at + k] -= alpha[k] * q[at + k];
  }
  products(f, r, r, true, next);
  for (size_t k = 0; k < BLOCK; k++) {
    beta[k] = c->rests[k] ? 0 : (float)(next[k] / c->rz[k]);
    if (!c->rests[k]) c->rz[k] = next[k];
  }
  for (uint32_t t = 0; t < f->r->terms; t++) {
    size_t at = (size_t)t * BLOCK;
    for (size_t k = 0; k < BLOCK; k++)
      p[at + k] = c->rests[k] ? 0 : r[at + k] / f->diagonal[t] + beta[k] * p[at + k];
  }
}

/* Into m, the targets' scale again; a column that is not finite then is left out. */
static void keep(const fit *f, size_t first, size_t count, const columns *c, const float *s) {
  size_t d = f->r->d;
  for (size_t k = 0; k < count; k++) {
    bool lost = f->lost[first + k];
    for (uint32_t t = 0; t < f->r->terms; t++) {
      float v = (float)((double)s[(size_t)t * BLOCK + k] * c->scale[k]);
      f->m[t * d + first + k] = v;
      lost |= !isfinite(v);
    }
    for (uint32_t t = 0; lost && t < f->r->terms; t++) f->m[t * d + first + k] = 0;
    f->lost[first + k] = lost;
  }
}

static void solve_block(const fit *f, size_t first, float *work) {
  size_t n = (size_t)f->r->terms * BLOCK, d = f->r->d;
  size_t count = d - first < BLOCK ? d - first : BLOCK;
  float *s = work, *r = s + n, *p = r + n, *q = p + n;
  columns c;
  memset(work, 0, 2 * n * sizeof *work);
  measure(f, first, count, &c);
  right_side(f, first, count, &c, r);
  for (size_t k = 0; k < n; k++) p[k] = r[k] / f->diagonal[k / BLOCK];
  products(f, r, r, true, c.start);
  memcpy(c.rz, c.start, sizeof c.rz);
  for (int i = 0; i < ITERATIONS_MAX && look(&c); i++) {
    apply(f, p, q);
    step(f, &c, s, r, p, q);
  }
  keep(f, first, count, &c, s);
}

static void solve_blocks(void *ctx, size_t begin, size_t end, int worker) {
  const fit *f = ctx;
  float *work = f->work + (size_t)worker * 4 * f->r->terms * BLOCK;
  for (size_t b = begin; b < end; b++) solve_block(f, b * BLOCK, work);
}

static void weigh(fit *f) {
  const wn_attr_ridge *r = f->r;
  float largest = 0;
  for (uint32_t t = 0; t < r->terms; t++) f->diagonal[t] = (float)r->lambda;
  for (uint32_t i = 0; i < r->rows; i++)
    for (uint64_t k = r->ptr[i]; k < r->ptr[i + 1]; k++)
      f->diagonal[r->term[k]] += r->weight[i] * r->x[k] * r->x[k];
  for (uint32_t t = 0; t < r->terms; t++) largest = fmaxf(largest, f->diagonal[t]);
  f->lambda = fmax(r->lambda, fmax(LAMBDA_LEAST * (double)largest, 1e-20));
  for (uint32_t t = 0; f->lambda > r->lambda && t < r->terms; t++)
    f->diagonal[t] += (float)(f->lambda - r->lambda);
}

wn_status wn_attr_ridge_solve(const wn_attr_ridge *ridge, const char *what, wn_pool *pool, float *m,
                              wn_error *err) {
  fit f = {.r = ridge, .m = m};
  wn_status status = WN_OK;
  size_t threads = (size_t)wn_pool_threads(pool), lost = 0;
  f.diagonal = wn_calloc((size_t)ridge->terms + 1, sizeof *f.diagonal);
  f.work = wn_reallocarray(NULL, threads * 4 * BLOCK * ridge->terms + 1, sizeof *f.work);
  f.lost = wn_calloc(ridge->d + 1, sizeof *f.lost);
  if (f.diagonal == NULL || f.work == NULL || f.lost == NULL) WN_TRY(wn_fail_memory(err));
  weigh(&f);
  wn_pool_run(pool, (ridge->d + BLOCK - 1) / BLOCK, 1, solve_blocks, &f);
  for (size_t k = 0; k < ridge->d; k++) lost += f.lost[k];
  if (lost > 0)
    wn_log(WN_LOG_WARN, "%s say nothing in %zu of %zu dimensions: no finite solution", what, lost,
           ridge->d);
cleanup:
  wn_free(f.diagonal);
  wn_free(f.work);
  wn_free(f.lost);
  return status;
}
