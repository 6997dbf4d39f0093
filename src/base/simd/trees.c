/* Which kernel, and the scalar one: eight rows side by side, so that their loads overlap. */
#include "base/simd/trees_tables.h"

#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define LANES 8

static void sum_some(const wn_trees *t, const float *features, size_t rows, size_t ld, float *out) {
  size_t nodes = ((size_t)1 << t->depth) - 1;
  for (uint32_t tree = 0; tree < t->count; tree++) {
    const float *threshold = t->threshold + tree * nodes;
    const uint32_t *feature = t->feature + tree * nodes;
    size_t at[LANES] = {0};
    for (uint32_t level = 0; level < t->depth; level++)
      for (size_t r = 0; r < rows; r++) {
        uint32_t f = feature[at[r]];
        float x = features[r * ld + (f & ~WN_TREES_LEFT)];
        int left = (x < threshold[at[r]]) | (isnan(x) & (f >> 31));
        at[r] = 2 * at[r] + 2 - (size_t)left;
      }
    for (size_t r = 0; r < rows; r++) out[r] += t->leaf[tree * (nodes + 1) + at[r] - nodes];
  }
}

void wn_trees_scalar(const wn_trees *trees, const float *features, size_t rows, size_t ld,
                     float *out) {
  for (size_t r = 0; r < rows; r += LANES)
    sum_some(trees, features + r * ld, rows - r < LANES ? rows - r : LANES, ld, out + r);
}

wn_trees_fn *wn_trees_sum_named(const char *name) {
  if (wn_simd_named(name) == NULL) return NULL;
#if defined(__x86_64__)
  if (strcmp(name, "avx512") == 0) return wn_trees_avx512;
  if (strcmp(name, "avx2") == 0) return wn_trees_avx2;
#endif
  return wn_trees_scalar;
}

wn_trees_fn *wn_trees_sum(void) {
  return wn_trees_sum_named(wn_simd()->name);
}
