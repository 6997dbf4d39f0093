#ifndef WN_INDEX_CLUSTER_H
#define WN_INDEX_CLUSTER_H
/* k-means, on directions for ip and cosine, on points for l2; and the nearest centre of a row. */

#include "index/image.h"

/* Centres as codes, for assigning rows to them. */
typedef struct wn_coarse wn_coarse;

/* Row-major centres [lists · dims]; the axes must stay. */
WN_MUST_USE wn_status wn_coarse_create(const wn_axes *axes, const float *centres, uint32_t lists,
                                       wn_metric metric, wn_coarse **out, wn_error *err);
void wn_coarse_free(wn_coarse *coarse);
/* The centres as blocks for the kernels; for l2 a score by them is 2⟨q, c⟩ − ‖c‖². */
const wn_scan_blocks *wn_coarse_blocks(const wn_coarse *coarse);
/* list[i] = the centre nearest to row pick[i] (pick NULL: row i). False: out of memory. */
WN_MUST_USE bool wn_coarse_assign(const wn_coarse *coarse, const float *rows, const uint32_t *pick,
                                  size_t count, wn_pool *pool, uint32_t *list);

typedef struct wn_cluster_task {
  const float *rows;
  uint32_t ids, dims;
  const wn_axes *axes;
  const float *weights; /* NULL, or [ids]: rows of weight 0 take no part */
  wn_metric metric;
  uint32_t lists;
  uint64_t seed;
  wn_pool *pool; /* may be NULL */
  const wn_progress *progress;
} wn_cluster_task;
/* Fills centres [lists · dims]. Same task, same bytes, for any number of threads. */
WN_MUST_USE wn_status wn_cluster(const wn_cluster_task *task, float *centres, wn_error *err);

/* wn_pool_run, or this thread where there is no pool. */
void wn_for_all(wn_pool *pool, size_t n, size_t grain, wn_pool_fn *fn, void *ctx);

#endif
