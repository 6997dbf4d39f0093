/* Sixteen rows a step, four trees at once, so that one tree's gathers hide another's. */
#include "base/simd/trees_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 16
#define AHEAD 4

typedef struct lanes {
  const float *features;
  __m512i row; /* where each lane's features begin */
  __mmask16 used;
} lanes;

static inline __m512i step(const lanes *l, const float *threshold, const uint32_t *feature,
                           __m512i at) {
  __m512i f = _mm512_i32gather_epi32(at, feature, 4);
  __m512 t = _mm512_i32gather_ps(at, threshold, 4);
  __m512i place = _mm512_add_epi32(l->row, _mm512_and_epi32(f, _mm512_set1_epi32(0x7fffffff)));
  __m512 x = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), l->used, place, l->features, 4);
  __mmask16 absent = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q) & _mm512_movepi32_mask(f);
  __mmask16 left = _mm512_cmp_ps_mask(x, t, _CMP_LT_OQ) | absent;
  __m512i next = _mm512_add_epi32(_mm512_add_epi32(at, at), _mm512_set1_epi32(2));
  return _mm512_mask_sub_epi32(next, left, next, _mm512_set1_epi32(1));
}

static inline __m512 leaves(const wn_trees *t, size_t tree, __m512i at) {
  size_t nodes = ((size_t)1 << t->depth) - 1;
  __m512i leaf = _mm512_sub_epi32(at, _mm512_set1_epi32((int)nodes));
  return _mm512_i32gather_ps(leaf, t->leaf + tree * (nodes + 1), 4);
}

static __m512 sum_rows(const wn_trees *t, const lanes *l, __m512 sum) {
  size_t nodes = ((size_t)1 << t->depth) - 1, tree = 0;
  for (; tree + AHEAD <= t->count; tree += AHEAD) {
    const float *threshold = t->threshold + tree * nodes;
    const uint32_t *feature = t->feature + tree * nodes;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (uint32_t level = 0; level < t->depth; level++) {
      a = step(l, threshold, feature, a);
      b = step(l, threshold + nodes, feature + nodes, b);
      c = step(l, threshold + 2 * nodes, feature + 2 * nodes, c);
      d = step(l, threshold + 3 * nodes, feature + 3 * nodes, d);
    }
    sum = _mm512_add_ps(sum, leaves(t, tree, a));
    sum = _mm512_add_ps(sum, leaves(t, tree + 1, b));
    sum = _mm512_add_ps(sum, leaves(t, tree + 2, c));
    sum = _mm512_add_ps(sum, leaves(t, tree + 3, d));
  }
  for (; tree < t->count; tree++) {
    __m512i a = _mm512_setzero_si512();
    for (uint32_t level = 0; level < t->depth; level++)
      a = step(l, t->threshold + tree * nodes, t->feature + tree * nodes, a);
    sum = _mm512_add_ps(sum, leaves(t, tree, a));
  }
  return sum;
}

void wn_trees_avx512(const wn_trees *trees, const float *features, size_t rows, size_t ld,
                     float *out) {
  const __m512i count = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  lanes l = {features, _mm512_mullo_epi32(count, _mm512_set1_epi32((int)ld)), 0xffff};
  for (size_t r = 0; r < rows; r += LANES) {
    if (rows - r < LANES) l.used = (__mmask16)((1u << (rows - r)) - 1);
    l.features = features + r * ld;
    __m512 sum = sum_rows(trees, &l, _mm512_maskz_loadu_ps(l.used, out + r));
    _mm512_mask_storeu_ps(out + r, l.used, sum);
  }
}
#endif
