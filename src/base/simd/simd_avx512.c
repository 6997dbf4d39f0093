/* AVX-512 (F, DQ, BW, VL): as simd_avx2.c with sixteen lanes and masked tails. */
#include "base/simd/simd_tables.h"

#include <math.h>
#include <stdbool.h>

#if defined(__x86_64__)
#include "base/simd/simd_rows.h"
#include "base/simd/simd_turn.h"

static inline __mmask16 tail_mask(size_t left) {
  return (__mmask16)((1u << left) - 1);
}

/* Sixteen partial sums of ⟨a, b⟩, folded to eight. */
static inline __m256 dot_lanes(const float *a, const float *b, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 64 <= n; i += 64) {
    s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
    s1 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16), s1);
    s2 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 32), _mm512_loadu_ps(b + i + 32), s2);
    s3 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 48), _mm512_loadu_ps(b + i + 48), s3);
  }
  for (; i + 16 <= n; i += 16) {
    s0 = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), s0);
  }
  if (i < n) {
    __mmask16 mask = tail_mask(n - i);
    __m512 va = _mm512_maskz_loadu_ps(mask, a + i), vb = _mm512_maskz_loadu_ps(mask, b + i);
    s1 = _mm512_fmadd_ps(va, vb, s1);
  }
  __m512 s = _mm512_add_ps(_mm512_add_ps(s0, s1), _mm512_add_ps(s2, s3));
  return _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
}

static void axpy(float a, const float *x, float *y, size_t n) {
  __m512 va = _mm512_set1_ps(a);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    _mm512_storeu_ps(y + i, _mm512_fmadd_ps(va, _mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i)));
  }
  if (i < n) {
    __mmask16 mask = tail_mask(n - i);
    __m512 vx = _mm512_maskz_loadu_ps(mask, x + i), vy = _mm512_maskz_loadu_ps(mask, y + i);
    _mm512_mask_storeu_ps(y + i, mask, _mm512_fmadd_ps(va, vx, vy));
  }
}

static void scale(float a, float *x, size_t n) {
  __m512 va = _mm512_set1_ps(a);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) _mm512_storeu_ps(x + i, _mm512_mul_ps(va, _mm512_loadu_ps(x + i)));
  if (i < n) {
    __mmask16 mask = tail_mask(n - i);
    _mm512_mask_storeu_ps(x + i, mask, _mm512_mul_ps(va, _mm512_maskz_loadu_ps(mask, x + i)));
  }
}

/* The vector that holds the diagonal: lanes above it are not touched. */
static inline void diagonal(__m512 a, const float *x, float *A, size_t lanes) {
  __mmask16 mask = tail_mask(lanes);
  __m512 old = _mm512_maskz_loadu_ps(mask, A), vx = _mm512_maskz_loadu_ps(mask, x);
  _mm512_mask_storeu_ps(A, mask, _mm512_fmadd_ps(a, vx, old));
}

/* Rows i … i+3, i divisible by 4: they share the vectors of x and the place of the diagonal. */
static inline void syr_rows4(float scale_by, const float *x, size_t i, float *A, size_t ld) {
  __m512 a[4];
  for (size_t r = 0; r < 4; r++) a[r] = _mm512_set1_ps(scale_by * x[i + r]);
  A += i * ld;
  size_t j = 0;
  for (; j + 16 <= i; j += 16) {
    __m512 vx = _mm512_loadu_ps(x + j);
    for (size_t r = 0; r < 4; r++) {
      float *at = A + r * ld + j;
      _mm512_storeu_ps(at, _mm512_fmadd_ps(a[r], vx, _mm512_loadu_ps(at)));
    }
  }
  for (size_t r = 0; r < 4; r++) {
    diagonal(a[r], x + j, A + r * ld + j, i + r + 1 - j);
  }
}

static void syr(float a, const float *x, size_t n, float *A, size_t ld) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) syr_rows4(a, x, i, A, ld);
  for (; i < n; i++) axpy(a * x[i], x, A + i * ld, i + 1);
}

static size_t above(const float *x, size_t n, float least, uint32_t *out) {
  const __m512 floor = _mm512_set1_ps(least);
  size_t i = 0, len = 0;
  for (; i < n; i += 16) {
    __mmask16 here = n - i >= 16 ? (__mmask16)0xffff : tail_mask(n - i);
    unsigned hits =
        _mm512_mask_cmp_ps_mask(here, _mm512_maskz_loadu_ps(here, x + i), floor, _CMP_GE_OQ);
    for (; hits != 0; hits &= hits - 1) out[len++] = (uint32_t)(i + (size_t)__builtin_ctz(hits));
  }
  return len;
}

static void count(const float *x, size_t n, float at, uint32_t beside[2]) {
  const __m512 bar = _mm512_set1_ps(at);
  const __m512i one = _mm512_set1_epi32(1);
  __m512i greater = _mm512_setzero_si512(), equal = greater;
  for (size_t i = 0; i < n; i += 16) {
    __mmask16 here = n - i >= 16 ? (__mmask16)0xffff : tail_mask(n - i);
    __m512 v = _mm512_maskz_loadu_ps(here, x + i);
    greater = _mm512_mask_add_epi32(greater, _mm512_mask_cmp_ps_mask(here, v, bar, _CMP_GT_OQ),
                                    greater, one);
    equal =
        _mm512_mask_add_epi32(equal, _mm512_mask_cmp_ps_mask(here, v, bar, _CMP_EQ_OQ), equal, one);
  }
  beside[0] += (uint32_t)_mm512_reduce_add_epi32(greater);
  beside[1] += (uint32_t)_mm512_reduce_add_epi32(equal);
}

/* ---- dense kernels ---- */

#define W          16
#define TILE_ROWS  8
#define TILE_VECS  3
#define BATCH_ROWS 4
typedef __m512 V;
#define v_load       _mm512_loadu_ps
#define v_store      _mm512_storeu_ps
#define v_set        _mm512_set1_ps
#define v_fma        _mm512_fmadd_ps
#define v_fnma       _mm512_fnmadd_ps
#define v_add        _mm512_add_ps
#define v_mul        _mm512_mul_ps
#define v_div        _mm512_div_ps
#define v_max(a, b)  _mm512_max_ps(a, b)
#define v_sqrt(a)    _mm512_sqrt_ps(a)
#define v_lane(a, i) _mm512_permutexvar_ps(_mm512_set1_epi32((int)(i)), a)
#define v_first      _mm512_cvtss_f32

#define PAIR(a, b) _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b))
#define PAIR_2(a, b)                                                                               \
  _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b))),                  \
      _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)))

/* Each of sixteen vectors added up: lane i is the sum of t[i]. */
static inline V sums_of(const V t[16]) {
  V q[4];
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; i++) {
    V a = PAIR(t[4 * i], t[4 * i + 1]), b = PAIR(t[4 * i + 2], t[4 * i + 3]);
    q[i] = _mm512_add_ps(PAIR_2(a, b));
  }
  V a =
      _mm512_add_ps(_mm512_shuffle_f32x4(q[0], q[1], 0x88), _mm512_shuffle_f32x4(q[0], q[1], 0xdd));
  V b =
      _mm512_add_ps(_mm512_shuffle_f32x4(q[2], q[3], 0x88), _mm512_shuffle_f32x4(q[2], q[3], 0xdd));
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

static inline void sums_of_four(const V t[4], float *out) {
  __m256 half[4];
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; i++)
    half[i] = _mm256_add_ps(_mm512_castps512_ps256(t[i]), _mm512_extractf32x8_ps(t[i], 1));
  _mm_storeu_ps(out, reduce4(half[0], half[1], half[2], half[3]));
}

/* `own` (a constant): of a with itself, and only c ≤ r. */
static inline __attribute__((always_inline)) void gram(const float *a, const float *b, size_t ld,
                                                       size_t n, float *out, bool own) {
  V s[16];
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; i++) s[i] = _mm512_setzero_ps();
  for (size_t k = 0; k < n; k += 16) {
    V x[4];
#pragma GCC unroll 4
    for (size_t r = 0; r < 4; r++) x[r] = v_load(a + r * ld + k);
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; c++) {
      V y = own ? x[c] : v_load(b + c * ld + k);
#pragma GCC unroll 4
      for (size_t r = own ? c : 0; r < 4; r++) s[4 * r + c] = v_fma(x[r], y, s[4 * r + c]);
    }
  }
  v_store(out, sums_of(s));
}

static void gram4(const float *a, const float *b, size_t ld, size_t n, float *out) {
  if (a == b) {
    gram(a, a, ld, n, out, true);
  } else {
    gram(a, b, ld, n, out, false);
  }
}

#include "base/simd/simd_dense.h"

const wn_simd_table wn_simd_avx512 = {.name = "avx512",
                                      .dot = dot,
                                      .axpy = axpy,
                                      .scale = scale,
                                      .gemv = gemv,
                                      .syr = syr,
                                      .above = above,
                                      .count = count,
                                      .panel_above = wn_panel_above_avx512,
                                      DENSE_KERNELS};
#endif
