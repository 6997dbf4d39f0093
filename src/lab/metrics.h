#ifndef WN_LAB_METRICS_H
#define WN_LAB_METRICS_H
/* Ranking metrics with their definitions pinned down (docs/evaluation.md). L: the list,
 * deduplicated, first occurrence kept, cut at k; R: the relevant set; h: hits. |R| = 0: the user is
 * excluded and counted; an empty list counts 0. */

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct wn_ranking_metrics {
  double precision;     /* h / k, also for short lists */
  double recall;        /* h / |R| */
  double recall_capped; /* h / min(k, |R|) */
  double hit;           /* h > 0 */
  double mrr;           /* 1 / rank of the first hit within k, else 0 */
  double ap_over_min;   /* MAP: Σ P@i·rel_i / min(|R|, k) */
  double ap_over_R;     /* Σ P@i·rel_i / |R| */
  double ndcg;          /* binary or linear gain, discount log2(rank + 1), ideal over min(|R|, k) */
  double ndcg_exp2;     /* gain 2^g − 1 */
  double dcg, dcg_exp2;
  double f1;
} wn_ranking_metrics;

/* The relevant items of one user, ascending; `gain` NULL: all 1. */
typedef struct wn_relevant {
  const uint32_t *items;
  const double *gain;
  size_t len;
} wn_relevant;
typedef struct wn_ranked {
  const uint32_t *item; /* best first */
  size_t len;
} wn_ranked;
/* `list`: item numbers, best first. */
void wn_ranking_metrics_of(const uint32_t *list, size_t list_len, const wn_relevant *relevant,
                           size_t k, wn_ranking_metrics *out);
/* At several cutoffs in one pass: the same digits. */
void wn_ranking_metrics_at(const wn_ranked *list, const wn_relevant *relevant,
                           const uint32_t *cutoffs, size_t cutoffs_len, wn_ranking_metrics *out);

/* Position in an ascending list, or −1. */
ptrdiff_t wn_ascending_find(const uint32_t *list, size_t len, uint32_t item);

/* Mean with a 95% interval by bootstrap over users (percentile, `samples` resamples, fixed seed);
 * of one user the bounds are NAN. */
typedef struct wn_interval {
  double mean, low, high;
} wn_interval;
wn_interval wn_bootstrap_mean(const double *values, size_t n, uint32_t samples, uint64_t seed);
/* Two lists over the same users: mean difference with interval. */
wn_interval wn_bootstrap_difference(const double *a, const double *b, size_t n, uint32_t samples,
                                    uint64_t seed);
/* Gini of recommendation counts over the whole catalogue, zeros included: Σ(2i − n − 1)xᵢ / (nΣx),
 * x ascending. */
double wn_gini(const uint32_t *counts, size_t n);

#endif
