#ifndef WN_LAB_BOOTSTRAP_H
#define WN_LAB_BOOTSTRAP_H
/* Percentile bootstrap over users of many means at once: one draw of users serves every column, so
 * that intervals of one evaluation are of the same resamples. */

#include "base/thread.h"
#include "lab/metrics.h"

/* Mean of x over users, or Σx / Σweight where a weight is given; NaN in x: the user is left out. */
typedef struct wn_bootstrap_column {
  const double *x;      /* [n] */
  const double *weight; /* [n] or NULL: 1 each; x counts weight times */
  wn_interval out;      /* of no users: NaN */
} wn_bootstrap_column;
WN_MUST_USE bool wn_bootstrap_columns(wn_pool *pool, wn_bootstrap_column *columns, size_t count,
                                      size_t n, const uint64_t samples_seed[2]);

#endif
