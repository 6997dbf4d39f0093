/* AVX2 + FMA. Four sums of eight lanes hide the latency of the multiply-add. */
#include "base/simd/simd_tables.h"

#include <math.h>
#include <stdbool.h>

#if defined(__x86_64__)
#include "base/simd/simd_rows.h"

/* Lanes 0 … left−1 of eight. */
static inline __m256i tail_mask(size_t left) {
  static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  return _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - left));
}

static inline __m256 sum4(__m256 a, __m256 b, __m256 c, __m256 d) {
  return _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d));
}

/* Eight partial sums of ⟨a, b⟩. */
static inline __m256 dot_lanes(const float *a, const float *b, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
    s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
    s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
    s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
  }
  for (; i + 8 <= n; i += 8) {
    s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
  }
  if (i < n) {
    __m256i mask = tail_mask(n - i);
    s1 = _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask), s1);
  }
  return sum4(s0, s1, s2, s3);
}

static void axpy(float a, const float *x, float *y, size_t n) {
  __m256 va = _mm256_set1_ps(a);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    _mm256_storeu_ps(y + i, _mm256_fmadd_ps(va, _mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  }
  if (i + 4 <= n) {
    __m128 low = _mm256_castps256_ps128(va);
    _mm_storeu_ps(y + i, _mm_fmadd_ps(low, _mm_loadu_ps(x + i), _mm_loadu_ps(y + i)));
    i += 4;
  }
  for (; i < n; i++) y[i] = __builtin_fmaf(a, x[i], y[i]);
}

static void scale(float a, float *x, size_t n) {
  __m256 va = _mm256_set1_ps(a);
  size_t i = 0;
  for (; i + 8 <= n; i += 8) _mm256_storeu_ps(x + i, _mm256_mul_ps(va, _mm256_loadu_ps(x + i)));
  for (; i < n; i++) x[i] *= a;
}

/* The vector that holds the diagonal: lanes above it keep their values. */
static inline void diagonal(__m256 a, const float *x, float *A, size_t lanes) {
  __m256 old = _mm256_loadu_ps(A), sum = _mm256_fmadd_ps(a, _mm256_loadu_ps(x), old);
  _mm256_storeu_ps(A, _mm256_blendv_ps(old, sum, _mm256_castsi256_ps(tail_mask(lanes))));
}

/* Rows i … i+3, i divisible by 4: they share the vectors of x and the place of the diagonal. */
static inline void syr_rows4(float scale_by, const float *x, size_t i, size_t n, float *A,
                             size_t ld) {
  __m256 a[4];
  for (size_t r = 0; r < 4; r++) a[r] = _mm256_set1_ps(scale_by * x[i + r]);
  A += i * ld;
  size_t j = 0;
  for (; j + 8 <= i; j += 8) {
    __m256 vx = _mm256_loadu_ps(x + j);
    for (size_t r = 0; r < 4; r++) {
      float *at = A + r * ld + j;
      _mm256_storeu_ps(at, _mm256_fmadd_ps(a[r], vx, _mm256_loadu_ps(at)));
    }
  }
  for (size_t r = 0; r < 4; r++) {
    if (j + 8 <= n) {
      diagonal(a[r], x + j, A + r * ld + j, i + r + 1 - j);
    } else {
      axpy(_mm256_cvtss_f32(a[r]), x + j, A + r * ld + j, i + r + 1 - j);
    }
  }
}

static void syr(float a, const float *x, size_t n, float *A, size_t ld) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) syr_rows4(a, x, i, n, A, ld);
  for (; i < n; i++) axpy(a * x[i], x, A + i * ld, i + 1);
}

static size_t above(const float *x, size_t n, float least, uint32_t *out) {
  const __m256 floor = _mm256_set1_ps(least);
  size_t i = 0, len = 0;
  for (; i + 8 <= n; i += 8) {
    unsigned hits =
        (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), floor, _CMP_GE_OQ));
    for (; hits != 0; hits &= hits - 1) out[len++] = (uint32_t)(i + (size_t)__builtin_ctz(hits));
  }
  for (; i < n; i++)
    if (x[i] >= least) out[len++] = (uint32_t)i;
  return len;
}

static uint32_t lanes_sum(__m256i v) {
  uint32_t lane[8], sum = 0;
  _mm256_storeu_si256((__m256i *)lane, v);
  for (int i = 0; i < 8; i++) sum += lane[i];
  return sum;
}

/* A comparison is −1 where it holds. */
static void count(const float *x, size_t n, float at, uint32_t beside[2]) {
  const __m256 bar = _mm256_set1_ps(at);
  __m256i greater = _mm256_setzero_si256(), equal = greater;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 v = _mm256_loadu_ps(x + i);
    greater = _mm256_sub_epi32(greater, _mm256_castps_si256(_mm256_cmp_ps(v, bar, _CMP_GT_OQ)));
    equal = _mm256_sub_epi32(equal, _mm256_castps_si256(_mm256_cmp_ps(v, bar, _CMP_EQ_OQ)));
  }
  beside[0] += lanes_sum(greater);
  beside[1] += lanes_sum(equal);
  for (; i < n; i++) {
    beside[0] += x[i] > at;
    beside[1] += x[i] == at;
  }
}

/* ---- dense kernels ---- */

#define W          8
#define TILE_ROWS  4
#define TILE_VECS  3
#define BATCH_ROWS 2
typedef __m256 V;
#define v_load       _mm256_loadu_ps
#define v_store      _mm256_storeu_ps
#define v_set        _mm256_set1_ps
#define v_fma        _mm256_fmadd_ps
#define v_fnma       _mm256_fnmadd_ps
#define v_add        _mm256_add_ps
#define v_mul        _mm256_mul_ps
#define v_div        _mm256_div_ps
#define v_max(a, b)  _mm256_max_ps(a, b)
#define v_sqrt(a)    _mm256_sqrt_ps(a)
#define v_lane(a, i) _mm256_permutevar8x32_ps(a, _mm256_set1_epi32((int)(i)))
#define v_first      _mm256_cvtss_f32

static inline void sums_of_four(const V t[4], float *out) {
  _mm_storeu_ps(out, reduce4(t[0], t[1], t[2], t[3]));
}

/* Two rows at a time: sixteen sums and their operands would not fit into sixteen registers. */
static void gram4(const float *a, const float *b, size_t ld, size_t n, float *out) {
  for (size_t half = 0; half < 4; half += 2, a += 2 * ld) {
    V s[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) s[i] = _mm256_setzero_ps();
    for (size_t k = 0; k < n; k += 8) {
      V x0 = v_load(a + k), x1 = v_load(a + ld + k);
#pragma GCC unroll 4
      for (size_t c = 0; c < 4; c++) {
        V y = v_load(b + c * ld + k);
        s[c] = v_fma(x0, y, s[c]);
        s[4 + c] = v_fma(x1, y, s[4 + c]);
      }
    }
    _mm_storeu_ps(out + 4 * half, reduce4(s[0], s[1], s[2], s[3]));
    _mm_storeu_ps(out + 4 * half + 4, reduce4(s[4], s[5], s[6], s[7]));
  }
}

/* 8 × 8: within halves of the vectors first, then halves among vectors. */
static inline void transpose_block(V t[8]) {
  V u[8];
#pragma GCC unroll 2
  for (size_t i = 0; i < 8; i += 4) {
    V a = _mm256_unpacklo_ps(t[i], t[i + 1]), b = _mm256_unpackhi_ps(t[i], t[i + 1]);
    V c = _mm256_unpacklo_ps(t[i + 2], t[i + 3]), d = _mm256_unpackhi_ps(t[i + 2], t[i + 3]);
    u[i] = _mm256_shuffle_ps(a, c, 0x44);
    u[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
    u[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
    u[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

#include "base/simd/simd_dense.h"

const wn_simd_table wn_simd_avx2 = {.name = "avx2",
                                    .dot = dot,
                                    .axpy = axpy,
                                    .scale = scale,
                                    .gemv = gemv,
                                    .syr = syr,
                                    .above = above,
                                    .count = count,
                                    .panel_above = wn_panel_above_avx2,
                                    DENSE_KERNELS};
#endif
