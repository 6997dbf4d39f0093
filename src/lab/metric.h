#ifndef WN_LAB_METRIC_H
#define WN_LAB_METRIC_H
/* The metrics of an evaluation by name: what `--metrics` takes, what tables and JSON say. */

#include "base/str.h"
#include <stddef.h>
#include <stdint.h>

typedef enum wn_metric {
  /* of each user's list; the mean over users has an interval */
  WN_METRIC_NDCG,
  WN_METRIC_RECALL,
  WN_METRIC_PRECISION,
  WN_METRIC_HIT,
  WN_METRIC_MRR,
  WN_METRIC_MAP, /* over min(|R|, k) */
  WN_METRIC_RECALL_CAPPED,
  WN_METRIC_MAP_R, /* over |R| */
  WN_METRIC_F1,
  WN_METRIC_NDCG_LINEAR, /* gain: the weight of the test pair */
  WN_METRIC_NDCG_EXP,    /* gain 2^weight − 1 */
  WN_METRIC_POPULARITY,
  WN_METRIC_NOVELTY,
  WN_METRIC_SELF_INFORMATION,
  WN_METRIC_EPC,
  WN_METRIC_SERENDIPITY,
  WN_METRIC_UNEXPECTED, /* serendipity by distance to the history */
  WN_METRIC_ILD,
  WN_METRIC_CALIBRATION,
  /* of the scores of the whole catalogue, without a cutoff; a mean over users, too */
  WN_METRIC_AUC,
  WN_METRIC_GAUC, /* weighted by positives */
  WN_METRIC_PR_AUC,
  WN_METRICS_OF_USERS,
  /* of all lists together; no interval */
  WN_METRIC_COVERAGE = WN_METRICS_OF_USERS,
  WN_METRIC_USER_COVERAGE,
  WN_METRIC_GINI,
  WN_METRIC_ENTROPY,
  WN_METRIC_EFFECTIVE_ITEMS,
  WN_METRIC_POP_REO,
  WN_METRIC_POP_RSP,
  WN_METRIC_POP_OPPORTUNITY,
  WN_METRIC_PARITY, /* the least favoured item group's exposure over the most favoured one's */
  WN_METRIC_USER_PARITY,
  WN_METRICS
} wn_metric;

/* Metrics that a function fills only when asked for: bit m is wn_metric m. */
typedef uint64_t wn_metric_set;
#define WN_METRIC_BIT(m) ((wn_metric_set)1 << (m))
#define WN_METRICS_DEFAULT                                                                         \
  (WN_METRIC_BIT(WN_METRIC_NDCG) | WN_METRIC_BIT(WN_METRIC_RECALL) |                               \
   WN_METRIC_BIT(WN_METRIC_PRECISION) | WN_METRIC_BIT(WN_METRIC_HIT) |                             \
   WN_METRIC_BIT(WN_METRIC_MRR) | WN_METRIC_BIT(WN_METRIC_MAP) |                                   \
   WN_METRIC_BIT(WN_METRIC_COVERAGE) | WN_METRIC_BIT(WN_METRIC_GINI))
#define WN_METRICS_ALL (WN_METRIC_BIT(WN_METRICS) - 1)
#define WN_METRICS_OF_SCORES                                                                       \
  (WN_METRIC_BIT(WN_METRIC_AUC) | WN_METRIC_BIT(WN_METRIC_GAUC) | WN_METRIC_BIT(WN_METRIC_PR_AUC))

typedef struct wn_metric_info {
  const char *name;  /* --metrics and JSON */
  const char *label; /* tables */
  const char *doc;   /* one line */
} wn_metric_info;
const wn_metric_info *wn_metric_about(wn_metric metric);
/* By name ("hit" is hit_rate, for short); WN_METRICS when there is none. */
wn_metric wn_metric_find(wn_str name);
/* True: at each cutoff; else once (under the first cutoff). */
bool wn_metric_has_cutoff(wn_metric metric);

#endif
