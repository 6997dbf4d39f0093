/* The reference, and the path of machines without AVX2. Sixteen sums in a fixed order: a
 * compiler may keep them in vector registers without reordering anything. */
#include "base/simd/simd_tables.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define LANES 16

static float dot(const float *restrict a, const float *restrict b, size_t n) {
  float sums[LANES] = {0};
  size_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (size_t k = 0; k < LANES; k++) sums[k] += a[i + k] * b[i + k];
  }
  for (size_t k = 0; i < n; i++, k++) sums[k] += a[i] * b[i];
  for (size_t width = LANES / 2; width > 0; width /= 2) {
    for (size_t k = 0; k < width; k++) sums[k] += sums[k + width];
  }
  return sums[0];
}

static void axpy(float a, const float *restrict x, float *restrict y, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void scale(float a, float *x, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] *= a;
}

static void gemv(const float *rows, size_t count, size_t ld, const float *x, size_t n, float *out) {
  for (size_t r = 0; r < count; r++) out[r] = dot(rows + r * ld, x, n);
}

static void syr(float a, const float *x, size_t n, float *A, size_t ld) {
  for (size_t i = 0; i < n; i++) axpy(a * x[i], x, A + i * ld, i + 1);
}

static size_t above(const float *x, size_t n, float least, uint32_t *out) {
  size_t len = 0;
  for (size_t i = 0; i < n; i++) {
    out[len] = (uint32_t)i;
    len += x[i] >= least;
  }
  return len;
}

static void count(const float *x, size_t n, float at, uint32_t beside[2]) {
  uint32_t greater = 0, equal = 0;
  for (size_t i = 0; i < n; i++) greater += x[i] > at;
  for (size_t i = 0; i < n; i++) equal += x[i] == at;
  beside[0] += greater;
  beside[1] += equal;
}

static size_t panel_above(const wn_simd_panel *p, uint32_t *out) {
  size_t len = 0;
  for (size_t r = 0; r < p->count; r++) {
    float sums[WN_PANEL] = {0};
    for (size_t k = 0; k < p->n; k++) {
      float a = p->rows[r * p->ld + k];
      for (size_t c = 0; c < WN_PANEL; c++) sums[c] += a * p->x[k * WN_PANEL + c];
    }
    for (size_t c = 0; c < WN_PANEL; c++)
      if (sums[c] >= p->least[c]) out[len++] = (uint32_t)(r * WN_PANEL + c);
  }
  return len;
}

/* ---- dense kernels: four floats that any compiler can make a vector of, or not ---- */

#define W          4
#define TILE_ROWS  4
#define TILE_VECS  3
#define BATCH_ROWS 2
typedef float V __attribute__((vector_size(16)));

static inline V v_load(const float *p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void v_store(float *p, V v) {
  memcpy(p, &v, sizeof v);
}

static inline V v_set(float x) {
  return (V){x, x, x, x};
}

static inline V v_max(V a, V b) {
  for (int i = 0; i < W; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
  return a;
}

static inline V v_sqrt(V a) {
  for (int i = 0; i < W; i++) a[i] = sqrtf(a[i]);
  return a;
}

#define v_fma(a, b, c)  ((a) * (b) + (c))
#define v_fnma(a, b, c) ((c) - (a) * (b))
#define v_add(a, b)     ((a) + (b))
#define v_mul(a, b)     ((a) * (b))
#define v_div(a, b)     ((a) / (b))
#define v_lane(a, i)    v_set((a)[i])
#define v_first(a)      ((a)[0])

static inline void sums_of_four(const V t[4], float *out) {
  for (int i = 0; i < 4; i++) out[i] = (t[i][0] + t[i][1]) + (t[i][2] + t[i][3]);
}

static void gram4(const float *a, const float *b, size_t ld, size_t n, float *out) {
  for (size_t i = 0; i < 16; i++) out[i] = dot(a + i / 4 * ld, b + i % 4 * ld, n);
}

static inline void transpose_block(V t[W]) {
  for (int i = 0; i < W; i++) {
    for (int j = 0; j < i; j++) {
      float x = t[i][j];
      t[i][j] = t[j][i];
      t[j][i] = x;
    }
  }
}

#include "base/simd/simd_dense.h"

const wn_simd_table wn_simd_scalar = {.name = "scalar",
                                      .dot = dot,
                                      .axpy = axpy,
                                      .scale = scale,
                                      .gemv = gemv,
                                      .syr = syr,
                                      .above = above,
                                      .count = count,
                                      .panel_above = panel_above,
                                      DENSE_KERNELS};
