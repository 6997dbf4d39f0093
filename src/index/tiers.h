#ifndef WN_INDEX_TIERS_H
#define WN_INDEX_TIERS_H
/* Which rows share lists: tiers by norm, and the centres of each. */

#include "index/cluster.h"
#include "index/codes.h"

#include <math.h>

/* Chooses tiers and lists from the rows and finds `centres` [lists · dims], the caller's to free.
 */
WN_MUST_USE wn_status wn_tiers_find(const wn_vectors *rows, const wn_axes *axes,
                                    const wn_index_options *options, wn_tiers *tiers,
                                    float **centres, wn_error *err);

static inline uint32_t wn_tier_of(const wn_tiers *tiers, const float *row, uint32_t dims) {
  if (tiers->count == 1) return 0;
  float norm = (float)sqrt(wn_norm2(row, dims));
  uint32_t t = 0;
  while (t + 1 < tiers->count && !(norm >= tiers->floor[t])) t++;
  return t;
}

#endif
