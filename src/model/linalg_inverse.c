/* The inverse of a large symmetric positive definite matrix in its own place: A = L·Lᵀ, M = L⁻¹,
 * A⁻¹ = MᵀM (Golub and Van Loan, 4.2; LAPACK's potrf and potri). All three steps work on panels of
 * 32 rows: a panel stays in the cache while every other row meets it in one call of the gemv
 * kernel, rows in parallel. M is kept transposed in the upper triangle, so that all inner products
 * run along rows. About n³ multiplications; no memory but 8·n bytes. Each entry is one sum
 * in a fixed order: the same bits for any number of threads. */
#include "base/mem.h"
#include "base/simd/simd.h"
#include "model/linalg.h"

#include <math.h>

#define PANEL 32

typedef struct inverse {
  float *A;
  size_t n;
  float *root;      /* [n] the diagonal of L */
  float *diagonal;  /* [n] of A⁻¹ */
  size_t at, width; /* panel */
  size_t first;     /* row of the first one in parallel */
} inverse;

static size_t panel_width(const inverse *w) {
  return w->n - w->at < PANEL ? w->n - w->at : PANEL;
}

/* ---- A = L·Lᵀ ---- */

/* Row r's entries in the panel's columns, up to its diagonal, less what earlier columns explain. */
static void subtract_before(const inverse *w, size_t r) {
  float out[PANEL], *row = w->A + r * w->n;
  size_t count = r < w->at + w->width ? r - w->at + 1 : w->width;
  wn_simd()->gemv(w->A + w->at * w->n, count, w->n, row, w->at, out);
  for (size_t c = 0; c < count; c++) row[w->at + c] -= out[c];
}

static void factor_rows(void *ctx, size_t begin, size_t end, int worker) {
  const inverse *w = ctx;
  (void)worker;
  for (size_t r = w->first + begin; r < w->first + end; r++) {
    float *x = w->A + r * w->n + w->at;
    subtract_before(w, r);
    for (size_t c = 0; c < w->width; c++) {
      const float *L = w->A + (w->at + c) * w->n + w->at;
      x[c] = (x[c] - wn_simd()->dot(L, x, c)) / L[c];
    }
  }
}

/* ---- M = L⁻¹, its column c as the upper part of row c ---- */

static void invert_rows(void *ctx, size_t begin, size_t end, int worker) {
  const inverse *w = ctx;
  size_t n = w->n, stop = w->at + w->width;
  (void)worker;
  for (size_t c = begin; c < end; c++) {
    float out[PANEL] = {0}, *m = w->A + c * n;
    size_t from = c > w->at ? c : w->at;
    if (c < w->at) {
      wn_simd()->gemv(w->A + w->at * n + c, w->width, n, m + c, w->at - c, out);
    } else {
      m[c] = 1 / w->root[c];
    }
    for (size_t r = c < w->at ? w->at : c + 1; r < stop; r++) {
      const float *L = w->A + r * n;
      m[r] = -(out[r - w->at] + wn_simd()->dot(L + from, m + from, r - from)) / w->root[r];
    }
  }
}

/* ---- A⁻¹ = MᵀM ---- */

static void multiply_rows(void *ctx, size_t begin, size_t end, int worker) {
  const inverse *w = ctx;
  size_t n = w->n;
  (void)worker;
  for (size_t j = w->first + begin; j < w->first + end; j++) {
    float out[PANEL], *row = w->A + j * n;
    size_t count = j - w->at + 1 < w->width ? j - w->at + 1 : w->width;
    wn_simd()->gemv(w->A + w->at * n + j, count, n, row + j, n - j, out);
    for (size_t i = 0; i < count; i++) {
      if (w->at + i < j) {
        row[w->at + i] = out[i];
      } else {
        w->diagonal[j] = out[i];
      }
    }
  }
}

static void factor(inverse *w, wn_pool *pool, float pivot_min) {
  float work[PANEL];
  for (w->at = 0; w->at < w->n; w->at += PANEL) {
    w->width = panel_width(w);
    for (size_t r = w->at; r < w->at + w->width; r++) subtract_before(w, r);
    wn_cholesky(w->A + w->at * w->n + w->at, w->width, w->n, pivot_min, work);
    w->first = w->at + w->width;
    wn_pool_run(pool, w->n - w->first, 8, factor_rows, w);
  }
  for (size_t i = 0; i < w->n; i++) w->root[i] = w->A[i * w->n + i];
}

wn_status wn_inverse(wn_pool *pool, float *A, size_t n, float pivot_min, wn_error *err) {
  inverse w = {.A = A, .n = n};
  w.root = wn_calloc(n, sizeof *w.root);
  w.diagonal = wn_calloc(n, sizeof *w.diagonal);
  wn_status status = n > 0 && (!w.root || !w.diagonal) ? wn_fail_memory(err) : WN_OK;
  if (status == WN_OK) {
    factor(&w, pool, pivot_min);
    for (w.at = 0; w.at < n; w.at += PANEL) {
      w.width = panel_width(&w);
      wn_pool_run(pool, w.at + w.width, 8, invert_rows, &w);
    }
    for (w.at = 0; w.at < n; w.at += PANEL) {
      w.width = panel_width(&w);
      w.first = w.at;
      wn_pool_run(pool, n - w.at, 8, multiply_rows, &w);
    }
    for (size_t i = 0; i < n; i++) A[i * n + i] = w.diagonal[i];
    for (size_t i = 0; i < n; i++) {
      for (size_t j = 0; j < i; j++) A[j * n + i] = A[i * n + j];
    }
  }
  wn_free(w.root);
  wn_free(w.diagonal);
  return status;
}
