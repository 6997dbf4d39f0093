#ifndef WN_INDEX_AXES_H
#define WN_INDEX_AXES_H
/* The directions that codes keep of a vector. */

#include "index/index.h"

#define WN_AXES_MAX 256u

/* `kept` orthonormal axes of `dims` dimensions; kept = dims: vectors are coded as they are. */
typedef struct wn_axes {
  uint32_t dims, kept;
  float spread;        /* two deviations of the cosine between what they leave of two vectors */
  const float *blocks; /* [⌈kept/16⌉][dims][16]: number j of axis 16b + l at [b][j][l]; or NULL */
} wn_axes;

static inline bool wn_axes_valid(uint32_t dims, uint32_t kept) {
  return kept == dims || (kept > 0 && kept < dims && kept <= WN_AXES_MAX);
}
static inline size_t wn_axes_bytes(uint32_t dims, uint32_t kept) {
  return kept == dims ? 0 : ((size_t)kept + 15) / 16 * 16 * dims * sizeof(float);
}
/* What the axes see of x: `room`, of WN_AXES_MAX floats, or x itself where there are none. */
const float *wn_axes_see(const wn_axes *axes, const float *x, float *room);

/* Measures on a sample of the rows what fewer dimensions would save and cost; *blocks is the
 * caller's, NULL where none pays. The same for any number of threads. */
WN_MUST_USE wn_status wn_axes_find(const wn_vectors *rows, const wn_index_options *options,
                                   wn_axes *axes, float **blocks, wn_error *err);

#endif
