#ifndef WN_BASE_TREES_H
#define WN_BASE_TREES_H
/* Sums of decision trees over rows: the inner loop of the heavy ranker. Trees are padded to one
 * depth so that a step has no branch: from node i to 2i + 1 (left) or 2i + 2. */

#include <stddef.h>
#include <stdint.h>

#define WN_TREES_DEPTH_MAX 10
#define WN_TREES_LEFT      0x80000000u /* in `feature`: an absent value (NaN) goes left */

typedef struct wn_trees {
  uint32_t count, depth;
  const float *threshold;  /* [count × (2^depth − 1)] left when value < threshold */
  const uint32_t *feature; /* likewise: its number below 2^31, and WN_TREES_LEFT */
  const float *leaf;       /* [count × 2^depth] */
} wn_trees;

/* out[r] += leaf of tree 0, then of tree 1, … in single precision, for `rows` rows of features, ld
 * floats apart: the same bits with every instruction set. rows · ld < 2^31. */
typedef void wn_trees_fn(const wn_trees *trees, const float *features, size_t rows, size_t ld,
                         float *out);
/* The fastest that the CPU has, WINNOW_SIMD permitting. */
wn_trees_fn *wn_trees_sum(void);
/* By name, "scalar", "avx2", "avx512"; NULL: not on this CPU. */
wn_trees_fn *wn_trees_sum_named(const char *name);

#endif
