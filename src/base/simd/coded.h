#ifndef WN_BASE_CODED_H
#define WN_BASE_CODED_H
/* Decision trees over bytes. All that a forest asks of a feature is which of its thresholds the
 * value reaches, so a row is coded once, a byte a feature, and a tree of up to 63 nodes then takes
 * one row with three instructions: look up the byte of each node (vpermb), compare all 64 at once,
 * keep the answers as one 64-bit word, from which the way down is read. It is the idea of
 * QuickScorer (Lucchese et al., SIGIR 2015), all nodes at once instead of a way down, with the tree
 * in a register instead of the thresholds of a forest in memory. Answers are those of
 * base/simd/trees.h, bit for bit. */

#include "base/simd/trees.h"

#define WN_CODED_DEPTH_MAX 6
#define WN_CODED_NODES     64  /* a tree's lanes */
#define WN_CODED_SLOTS     256 /* of a row: one for each feature and side that its absence takes */
#define WN_CODED_STEPS     256 /* thresholds of a feature, infinity after the last */
#define WN_CODED_NO_SLOT   UINT16_MAX

typedef struct wn_coded_feature {
  uint32_t number;      /* in a row */
  uint16_t steps;       /* thresholds, ≤ 255 */
  uint16_t left, right; /* slots: absent goes left (code 0), right (code 255); or NO_SLOT */
} wn_coded_feature;

typedef struct wn_coded {
  uint32_t count, depth;
  uint32_t features, slots;
  const wn_coded_feature *feature; /* [features] */
  const float *step;               /* [features × STEPS] ascending */
  const uint8_t *slot;             /* [count × NODES] which code a node looks at */
  const uint8_t *below;            /* [count × NODES] left when the code is less */
  const float *leaf;               /* [count × NODES] */
} wn_coded;

/* NULL when the trees do not fit (deeper, more slots, more thresholds of a feature) or there is no
 * memory: 384 bytes a tree, 1 KiB a feature. wn_free()d by its owner. Leaves are copied. */
wn_coded *wn_coded_of(const wn_trees *trees);

/* As wn_trees_fn. */
typedef void wn_coded_fn(const wn_coded *trees, const float *features, size_t rows, size_t ld,
                         float *out);
/* NULL where the CPU has nothing that beats wn_trees_sum(). */
wn_coded_fn *wn_coded_sum(void);
/* By name, "scalar" or "avx512vbmi"; NULL: not on this CPU. */
wn_coded_fn *wn_coded_sum_named(const char *name);

#endif
