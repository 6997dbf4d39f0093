#ifndef WN_MODEL_ATTR_RIDGE_H
#define WN_MODEL_ATTR_RIDGE_H
/* From what things say about themselves to their vectors: the ridge regression behind als's items
 * and users without events. */

#include "base/thread.h"

/* M = argmin Σᵢ pᵢ·‖xᵢM − vᵢ‖² + λ·‖M‖², one sparse row xᵢ an example. */
typedef struct wn_attr_ridge {
  uint32_t rows, terms;
  const uint64_t *ptr;  /* [rows + 1] */
  const uint32_t *term; /* [nnz] below `terms` */
  const float *x;       /* [nnz] */
  const float *weight;  /* [rows] p */
  const uint32_t *of;   /* [rows] row of `target` */
  const float *target;  /* [· × d] v */
  size_t d;
  double lambda; /* > 0 */
} wn_attr_ridge;

/* m[terms × d], always finite: a column that has no finite solution is 0, and the log says so.
 * `what` names it there. */
WN_MUST_USE wn_status wn_attr_ridge_solve(const wn_attr_ridge *ridge, const char *what,
                                          wn_pool *pool, float *m, wn_error *err);

#endif
