#ifndef WN_BASE_SIMD_DENSE_H
#define WN_BASE_SIMD_DENSE_H
/* Dense kernels for the solvers, written once over vectors of W floats; each instruction set
 * includes this file after it has said what a vector is: the type V, W, TILE_ROWS, TILE_VECS,
 * BATCH_ROWS, v_load … v_sqrt, sums_of_four, transpose_block and gram4.
 *
 * All products are sums of outer products held in registers: TILE_ROWS × TILE_VECS vectors of C
 * meet a few loads of A (one float, broadcast) and B (vectors) a step. simd_factor.h has Cholesky,
 * whose work is the same product. The batch solver puts one system into each lane: no lane waits
 * for another, and square roots and divisions are shared by W systems. Every sum has a fixed order;
 * results do not depend on alignment or threads. */

#include "base/simd/simd_ahead.h"

#define INLINE static inline __attribute__((always_inline))

/* How tiles are made, constants where they are called. */
typedef struct manner {
  bool minus;         /* C −= A·B */
  const uint32_t *of; /* step k is number of[k] of A and B; NULL: k */
  float *sum;         /* of a strip's rows of B, made by its first tile; NULL: not wanted */
} manner;

/* C[rows × vecs·W] ± A·B; rows and vecs are constants where this is called. */
INLINE void tile(const wn_simd_product *p, size_t rows, size_t vecs, manner how) {
  V s[TILE_ROWS][TILE_VECS], sum[TILE_VECS];
  const size_t a_row = p->a_row, a_step = p->a_step, b_row = p->b_row, c_row = p->c_row;
  float *c = p->c;
#pragma GCC unroll 8
  for (size_t v = 0; v < vecs; v++) {
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) s[r][v] = v_load(c + r * c_row + v * W);
    if (how.sum != NULL) sum[v] = v_load(how.sum + v * W);
  }
  for (size_t k = 0; k < p->depth; k++) {
    size_t step = how.of != NULL ? how.of[k] : k;
    const float *a = p->a + step * a_step, *b = p->b + step * b_row;
    V bv[TILE_VECS];
#pragma GCC unroll 8
    for (size_t v = 0; v < vecs; v++) {
      bv[v] = v_load(b + v * W);
      if (how.sum != NULL) sum[v] = v_add(sum[v], bv[v]);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
      V ar = v_set(a[r * a_row]);
#pragma GCC unroll 8
      for (size_t v = 0; v < vecs; v++) {
        s[r][v] = how.minus ? v_fnma(ar, bv[v], s[r][v]) : v_fma(ar, bv[v], s[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (size_t v = 0; v < vecs; v++) {
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) v_store(c + r * c_row + v * W, s[r][v]);
    if (how.sum != NULL) v_store(how.sum + v * W, sum[v]);
  }
}

INLINE wn_simd_product part(const wn_simd_product *p, size_t row, size_t column) {
  wn_simd_product q = *p;
  q.a += row * p->a_row;
  q.b += column;
  q.c += row * p->c_row + column;
  return q;
}

/* One strip of C: `vecs` vectors wide from `column`, rows 0 … m − 1; with a sum, m ≥ TILE_ROWS. */
INLINE void strip(const wn_simd_product *p, size_t m, size_t column, size_t vecs, manner how) {
  size_t r = 0;
  if (how.sum != NULL) {
    wn_simd_product q = part(p, r, column);
    tile(&q, TILE_ROWS, vecs, how);
    how.sum = NULL;
    r = TILE_ROWS;
  }
  for (; r + TILE_ROWS <= m; r += TILE_ROWS) {
    wn_simd_product q = part(p, r, column);
    tile(&q, TILE_ROWS, vecs, how);
  }
  for (; r < m; r++) {
    wn_simd_product q = part(p, r, column);
    tile(&q, 1, vecs, how);
  }
}

INLINE void strips(const wn_simd_product *p, size_t m, size_t n, bool minus) {
  const manner how = {.minus = minus};
  size_t j = 0;
  for (; j + TILE_VECS * W <= n; j += TILE_VECS * W) strip(p, m, j, TILE_VECS, how);
  if (n - j >= 2 * W) {
    strip(p, m, j, 2, how);
    j += 2 * W;
  }
  if (j < n) strip(p, m, j, 1, how);
}

static void product(const wn_simd_product *p, size_t m, size_t n) {
  strips(p, m, n, false);
}

/* Rows row … row + W − 1 of C, `vecs` vectors from `column` on. */
INLINE void syrk_rows(const wn_simd_product *p, size_t row, size_t column, size_t vecs,
                      manner how) {
  wn_simd_product q = part(p, row, 0);
  if (vecs == 3) {
    strip(&q, W, column, 3, how);
  } else if (vecs == 2) {
    strip(&q, W, column, 2, how);
  } else {
    strip(&q, W, column, 1, how);
  }
}

/* Strips of columns, the rows above each, and on the diagonal ever fewer vectors. */
INLINE void syrk_of(const wn_simd_rows *rows, size_t n, float *C, size_t ldc, manner how) {
  const wn_simd_product p = {rows->data, 1, rows->ld, rows->data, rows->ld, C, ldc, rows->count};
  const manner plain = {.of = how.of};
  ahead a = ahead_of(rows, n / W);
  for (size_t j = 0, vecs; j < n; j += vecs * W) {
    vecs = n - j >= TILE_VECS * W ? TILE_VECS : (n - j) / W;
    for (size_t i = 0; i <= j; i += W) {
      ask(&a);
      if (i == 0 && how.sum != NULL) {
        syrk_rows(&p, i, j, vecs, (manner){.of = how.of, .sum = how.sum + j});
      } else {
        syrk_rows(&p, i, j, vecs, plain);
      }
    }
    for (size_t v = 1; v < vecs; v++) {
      ask(&a);
      syrk_rows(&p, j + v * W, j + v * W, vecs - v, plain);
    }
  }
}

static void syrk(const wn_simd_rows *rows, size_t n, float *C, size_t ldc) {
  if (rows->row != NULL && rows->sum != NULL) {
    syrk_of(rows, n, C, ldc, (manner){.of = rows->row, .sum = rows->sum});
  } else if (rows->row != NULL) {
    syrk_of(rows, n, C, ldc, (manner){.of = rows->row});
  } else {
    syrk_of(rows, n, C, ldc, (manner){.sum = NULL});
  }
}

INLINE void combine_vecs(const float *a, const wn_simd_rows *rows, size_t column, float *out,
                         size_t vecs) {
  V s[8];
  out += column;
#pragma GCC unroll 8
  for (size_t v = 0; v < vecs; v++) s[v] = v_load(out + v * W);
  for (size_t k = 0; k < rows->count; k++) {
    const float *row = rows->data + (rows->row != NULL ? rows->row[k] : k) * rows->ld + column;
    V ak = v_set(a[k]);
#pragma GCC unroll 8
    for (size_t v = 0; v < vecs; v++) s[v] = v_fma(ak, v_load(row + v * W), s[v]);
  }
#pragma GCC unroll 8
  for (size_t v = 0; v < vecs; v++) v_store(out + v * W, s[v]);
}

static void combine(const float *a, const wn_simd_rows *rows, size_t n, float *out) {
  size_t j = 0;
  for (; j + 8 * W <= n; j += 8 * W) combine_vecs(a, rows, j, out, 8);
  for (; j + 4 * W <= n; j += 4 * W) combine_vecs(a, rows, j, out, 4);
  for (; j < n; j += W) combine_vecs(a, rows, j, out, 1);
}

#include "base/simd/simd_factor.h"

static void rsqrt(float a, const float *x, float b, size_t n, float *out) {
  size_t k = 0;
  for (; k + W <= n; k += W) {
    V y = v_fma(v_set(a), v_load(x + k), v_set(b));
    v_store(out + k, v_div(v_set(1), v_sqrt(y)));
  }
  for (; k < n; k++) out[k] = 1.0f / sqrtf(a * x[k] + b);
}

static void scale_by(float a, const float *x, const float *y, size_t n, float *out) {
  size_t k = 0;
  V va = v_set(a);
  for (; k + W <= n; k += W) v_store(out + k, v_mul(v_mul(va, v_load(y + k)), v_load(x + k)));
  for (; k < n; k++) out[k] = a * y[k] * x[k];
  for (; k % WN_SIMD_PAD != 0; k++) out[k] = 0;
}

static void transpose(const float *in, size_t ld, size_t rows, size_t n, float *out, size_t ldo) {
  for (size_t i = 0; i < rows; i += W) {
    for (size_t k = 0; k < n; k += W) {
      V t[W];
#pragma GCC unroll 16
      for (size_t r = 0; r < W; r++) t[r] = v_load(in + (i + r) * ld + k);
      transpose_block(t);
#pragma GCC unroll 16
      for (size_t r = 0; r < W; r++) v_store(out + (k + r) * ldo + i, t[r]);
    }
  }
}

/* ---- the normal equations' matrix times a vector, never formed ---- */

#define FEW 4 /* rows that share the loads of x and out */

INLINE void few_dots(const float *const h[FEW], const float *x, size_t n, float s[FEW]) {
  V v[FEW];
  size_t k = 0;
#pragma GCC unroll 4
  for (size_t r = 0; r < FEW; r++) v[r] = v_set(0);
  for (; k + W <= n; k += W) {
    V vx = v_load(x + k);
#pragma GCC unroll 4
    for (size_t r = 0; r < FEW; r++) v[r] = v_fma(v_load(h[r] + k), vx, v[r]);
  }
  sums_of_four(v, s);
  for (; k < n; k++) {
    for (size_t r = 0; r < FEW; r++) s[r] += h[r][k] * x[k];
  }
}

INLINE void few_add(const float *const h[FEW], const float a[FEW], size_t n, float *out) {
  size_t k = 0;
  for (; k + W <= n; k += W) {
    V v = v_load(out + k);
#pragma GCC unroll 4
    for (size_t r = 0; r < FEW; r++) v = v_fma(v_set(a[r]), v_load(h[r] + k), v);
    v_store(out + k, v);
  }
  for (; k < n; k++) {
    for (size_t r = 0; r < FEW; r++) out[k] += a[r] * h[r][k];
  }
}

INLINE void few_squares(const float *const h[FEW], const float w[FEW], size_t n, float *out) {
  size_t k = 0;
  for (; k + W <= n; k += W) {
    V v = v_load(out + k);
#pragma GCC unroll 4
    for (size_t r = 0; r < FEW; r++) {
      V x = v_load(h[r] + k);
      v = v_fma(v_mul(v_set(w[r]), x), x, v);
    }
    v_store(out + k, v);
  }
  for (; k < n; k++) {
    for (size_t r = 0; r < FEW; r++) out[k] += w[r] * h[r][k] * h[r][k];
  }
}

/* Rows i … i + FEW − 1, the last one instead of those that are missing; asks for later ones. */
INLINE void few_rows(const wn_simd_gather *g, size_t i, const float *h[FEW]) {
  for (size_t r = 0; r < FEW; r++) {
    h[r] = g->of + g->row[i + r < g->count ? i + r : g->count - 1] * g->width;
    if (i + r + 2 * FEW >= g->count) continue;
    const float *next = g->of + g->row[i + r + 2 * FEW] * g->width;
    for (size_t k = 0; k < g->width; k += WN_SIMD_PAD) __builtin_prefetch(next + k);
  }
}

static void dots(const wn_simd_gather *g, const float *x, float *out) {
  for (size_t i = 0; i < g->count; i += FEW) {
    const float *h[FEW];
    float s[FEW];
    few_rows(g, i, h);
    few_dots(h, x, g->width, s);
    for (size_t r = 0; r < FEW && i + r < g->count; r++) out[i + r] = s[r];
  }
}

static double normal(const wn_simd_gather *g, const float *x, float *out, float *square) {
  double sum = 0;
  for (size_t i = 0; i < g->count; i += FEW) {
    const float *h[FEW];
    float s[FEW], w[FEW] = {0}, a[FEW] = {0};
    few_rows(g, i, h);
    for (size_t r = 0; r < FEW && i + r < g->count; r++) { /* missing ones weigh nothing */
      w[r] = g->weight[i + r];
      if (g->target != NULL) a[r] = g->target[i + r];
    }
    few_dots(h, x, g->width, s);
    for (size_t r = 0; r < FEW; r++) {
      sum += (double)(s[r] * (w[r] * s[r] - 2 * a[r]));
      a[r] -= w[r] * s[r];
    }
    few_add(h, a, g->width, out);
    if (square != NULL) few_squares(h, w, g->width, square);
  }
  return sum;
}

/* ---- the batch: blocks of 4 × 4 entries, each entry a vector of lanes ---- */

#define BLOCK_FLOATS (16 * W)

INLINE float *block_at(const wn_simd_batch *b, size_t i, size_t j) {
  return b->matrix + (i * (i + 1) / 2 + j) * BLOCK_FLOATS;
}

/* Rows row … row + BATCH_ROWS − 1 of C −= A·Bᵀ over `count` blocks that follow one another. */
INLINE void batch_update(const float *A, const float *B, size_t count, float *C, size_t row) {
  V s[BATCH_ROWS][4];
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH_ROWS; r++) {
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++) s[r][c] = v_load(C + ((row + r) * 4 + c) * W);
  }
  for (; count > 0; count--, A += BLOCK_FLOATS, B += BLOCK_FLOATS) {
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; k++) {
      V b[4];
#pragma GCC unroll 4
      for (size_t c = 0; c < 4; c++) b[c] = v_load(B + (c * 4 + k) * W);
#pragma GCC unroll 4
      for (size_t r = 0; r < BATCH_ROWS; r++) {
        V a = v_load(A + ((row + r) * 4 + k) * W);
#pragma GCC unroll 4
        for (size_t c = 0; c < 4; c++) s[r][c] = v_fnma(a, b[c], s[r][c]);
      }
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < BATCH_ROWS; r++) {
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++) v_store(C + ((row + r) * 4 + c) * W, s[r][c]);
  }
}

/* L of a diagonal block, the reciprocals of L's diagonal in its place. Pivots are ≥ 1 but for
 * rounding. */
INLINE void batch_factor(float *C) {
  for (size_t j = 0; j < 4; j++) {
    V pivot = v_max(v_load(C + (j * 4 + j) * W), v_set(1));
    V inverse = v_div(v_set(1), v_sqrt(pivot));
    v_store(C + (j * 4 + j) * W, inverse);
    for (size_t i = j + 1; i < 4; i++) {
      v_store(C + (i * 4 + j) * W, v_mul(v_load(C + (i * 4 + j) * W), inverse));
    }
    for (size_t i = j + 1; i < 4; i++) {
      for (size_t k = j + 1; k <= i; k++) {
        V a = v_load(C + (i * 4 + j) * W), b = v_load(C + (k * 4 + j) * W);
        v_store(C + (i * 4 + k) * W, v_fnma(a, b, v_load(C + (i * 4 + k) * W)));
      }
    }
  }
}

/* C ← C·L⁻ᵀ */
INLINE void batch_solve(const float *L, float *C) {
  for (size_t r = 0; r < 4; r++) {
    V x[4];
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
      x[j] = v_load(C + (r * 4 + j) * W);
#pragma GCC unroll 4
      for (size_t k = 0; k < j; k++) x[j] = v_fnma(x[k], v_load(L + (j * 4 + k) * W), x[j]);
      x[j] = v_mul(x[j], v_load(L + (j * 4 + j) * W));
      v_store(C + (r * 4 + j) * W, x[j]);
    }
  }
}

/* y −= block·x, or its transpose */
INLINE void batch_times(const float *block, bool transposed, const float *x, float *y) {
  for (size_t r = 0; r < 4; r++) {
    V s = v_load(y + r * W);
    for (size_t c = 0; c < 4; c++) {
      size_t at = transposed ? c * 4 + r : r * 4 + c;
      s = v_fnma(v_load(block + at * W), v_load(x + c * W), s);
    }
    v_store(y + r * W, s);
  }
}

INLINE void batch_substitute(const wn_simd_batch *b) {
  for (size_t i = 0; i < b->blocks; i++) {
    float *x = b->x + i * 4 * W;
    const float *L = block_at(b, i, i);
    for (size_t j = 0; j < i; j++) batch_times(block_at(b, i, j), false, b->x + j * 4 * W, x);
    for (size_t r = 0; r < 4; r++) {
      V s = v_load(x + r * W);
      for (size_t c = 0; c < r; c++) s = v_fnma(v_load(L + (r * 4 + c) * W), v_load(x + c * W), s);
      v_store(x + r * W, v_mul(s, v_load(L + (r * 4 + r) * W)));
    }
  }
}

INLINE void batch_substitute_back(const wn_simd_batch *b) {
  for (size_t i = b->blocks; i-- > 0;) {
    float *x = b->x + i * 4 * W;
    const float *L = block_at(b, i, i);
    for (size_t j = i + 1; j < b->blocks; j++) {
      batch_times(block_at(b, j, i), true, b->x + j * 4 * W, x);
    }
    for (size_t r = 4; r-- > 0;) {
      V s = v_load(x + r * W);
      for (size_t c = r + 1; c < 4; c++) {
        s = v_fnma(v_load(L + (c * 4 + r) * W), v_load(x + c * W), s);
      }
      v_store(x + r * W, v_mul(s, v_load(L + (r * 4 + r) * W)));
    }
  }
}

/* ⟨t, (I + G)⁻¹t⟩ = ‖L⁻¹t‖², which lies between the two substitutions. */
static void batch(const wn_simd_batch *b, float *least) {
  for (size_t i = 0; i < b->blocks; i++) {
    float *C = block_at(b, i, i);
    for (size_t r = 0; r < 4; r++) {
      v_store(C + r * 5 * W, v_add(v_load(C + r * 5 * W), v_set(1)));
    }
    for (size_t j = 0; j <= i; j++) {
      C = block_at(b, i, j);
      for (size_t row = 0; row < 4; row += BATCH_ROWS) {
        batch_update(block_at(b, i, 0), block_at(b, j, 0), j, C, row);
      }
      if (j < i) {
        batch_solve(block_at(b, j, j), C);
      } else {
        batch_factor(C);
      }
    }
  }
  batch_substitute(b);
  V s = v_set(0);
  for (size_t i = 0; i < 4 * b->blocks; i++)
    s = v_fma(v_load(b->x + i * W), v_load(b->x + i * W), s);
  v_store(least, s);
  batch_substitute_back(b);
}

#define DENSE_KERNELS                                                                              \
  .lanes = W, .product = product, .syrk = syrk, .cholesky = cholesky,                              \
  .upper_solve_transposed = upper_solve_transposed, .upper_solve = upper_solve,                    \
  .combine = combine, .rsqrt = rsqrt, .scale_by = scale_by, .gram4 = gram4,                        \
  .transpose = transpose, .batch = batch, .dots = dots, .normal = normal

#endif
