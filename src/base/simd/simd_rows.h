#ifndef WN_BASE_SIMD_ROWS_H
#define WN_BASE_SIMD_ROWS_H
/* What AVX2 and AVX-512 do alike once each has its eight partial sums; compiled by either file for
 * its own instruction set. dot and gemv add in the same order, so that a row's score does not
 * depend on which of them made it. */

#include <immintrin.h>
#include <stddef.h>

/* Eight partial sums of ⟨a, b⟩: the including file's. */
static inline __m256 dot_lanes(const float *a, const float *b, size_t n);

/* The eight lanes of each of four vectors added up, always in the same tree. */
static inline __m128 reduce4(__m256 a, __m256 b, __m256 c, __m256 d) {
  __m256 t = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(t), _mm256_extractf128_ps(t, 1));
}

static float dot(const float *a, const float *b, size_t n) {
  __m256 s = dot_lanes(a, b, n);
  return _mm_cvtss_f32(reduce4(s, s, s, s));
}

static void gemv(const float *rows, size_t count, size_t ld, const float *x, size_t n, float *out) {
  size_t r = 0;
  for (; r + 4 <= count; r += 4) {
    const float *row = rows + r * ld;
    __m256 a = dot_lanes(row, x, n), b = dot_lanes(row + ld, x, n);
    __m256 c = dot_lanes(row + 2 * ld, x, n), d = dot_lanes(row + 3 * ld, x, n);
    _mm_storeu_ps(out + r, reduce4(a, b, c, d));
  }
  for (; r < count; r++) out[r] = dot(rows + r * ld, x, n);
}

#endif
