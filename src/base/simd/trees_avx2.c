/* Eight rows a step, two trees at once; rows past the last multiple of eight go one by one through
 * a padded copy of their places. */
#include "base/simd/trees_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 8

static inline __m256i step(const float *features, __m256i row, const float *threshold,
                           const uint32_t *feature, __m256i at) {
  __m256i f = _mm256_i32gather_epi32((const int *)feature, at, 4);
  __m256 t = _mm256_i32gather_ps(threshold, at, 4);
  __m256i place = _mm256_add_epi32(row, _mm256_and_si256(f, _mm256_set1_epi32(0x7fffffff)));
  __m256 x = _mm256_i32gather_ps(features, place, 4);
  __m256i absent = _mm256_and_si256(_mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)),
                                    _mm256_srai_epi32(f, 31));
  __m256i left = _mm256_or_si256(_mm256_castps_si256(_mm256_cmp_ps(x, t, _CMP_LT_OQ)), absent);
  __m256i next = _mm256_add_epi32(_mm256_add_epi32(at, at), _mm256_set1_epi32(2));
  return _mm256_add_epi32(next, left); /* left is −1 */
}

static inline __m256 leaves(const wn_trees *t, size_t tree, __m256i at) {
  size_t nodes = ((size_t)1 << t->depth) - 1;
  __m256i leaf = _mm256_sub_epi32(at, _mm256_set1_epi32((int)nodes));
  return _mm256_i32gather_ps(t->leaf + tree * (nodes + 1), leaf, 4);
}

static __m256 sum_rows(const wn_trees *t, const float *features, __m256i row, __m256 sum) {
  size_t nodes = ((size_t)1 << t->depth) - 1, tree = 0;
  for (; tree + 2 <= t->count; tree += 2) {
    const float *threshold = t->threshold + tree * nodes;
    const uint32_t *feature = t->feature + tree * nodes;
    __m256i a = _mm256_setzero_si256(), b = a;
    for (uint32_t level = 0; level < t->depth; level++) {
      a = step(features, row, threshold, feature, a);
      b = step(features, row, threshold + nodes, feature + nodes, b);
    }
    sum = _mm256_add_ps(sum, leaves(t, tree, a));
    sum = _mm256_add_ps(sum, leaves(t, tree + 1, b));
  }
  for (; tree < t->count; tree++) {
    __m256i a = _mm256_setzero_si256();
    for (uint32_t level = 0; level < t->depth; level++)
      a = step(features, row, t->threshold + tree * nodes, t->feature + tree * nodes, a);
    sum = _mm256_add_ps(sum, leaves(t, tree, a));
  }
  return sum;
}

void wn_trees_avx2(const wn_trees *trees, const float *features, size_t rows, size_t ld,
                   float *out) {
  for (size_t r = 0; r < rows; r += LANES) {
    size_t n = rows - r < LANES ? rows - r : LANES;
    int place[LANES] = {0}; /* lanes past the last row read row r again */
    float sum[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
      place[i] = (int)(i * ld);
      sum[i] = out[r + i];
    }
    __m256i row = _mm256_loadu_si256((const __m256i *)place);
    _mm256_storeu_ps(sum, sum_rows(trees, features + r * ld, row, _mm256_loadu_ps(sum)));
    for (size_t i = 0; i < n; i++) out[r + i] = sum[i];
  }
}
#endif
