#ifndef WN_LAB_COMPAT_H
#define WN_LAB_COMPAT_H
/* The numbers that other tools print for the same lists, so that people can check us against what
 * they have. Definitions as of trec_eval 9, ranx 0.3, RecBole 1.2, LensKit 2025 and RecTools 0.13,
 * pinned by tests/lab/test_compat.c on lists those tools were run on. */

#include "lab/metrics.h"

#include <stdbool.h>

typedef enum wn_compat {
  WN_COMPAT_NONE,
  WN_COMPAT_TREC_EVAL,
  WN_COMPAT_RANX,
  WN_COMPAT_RECBOLE,
  WN_COMPAT_LENSKIT,
  WN_COMPAT_RECTOOLS,
  WN_COMPAT_TOOLS
} wn_compat;

const char *wn_compat_name(wn_compat tool); /* "trec_eval" */
wn_compat wn_compat_find(const char *name); /* WN_COMPAT_TOOLS: unknown */
const char *wn_compat_why(wn_compat tool);  /* in which ways it differs, one line */
bool wn_compat_drops_empty(wn_compat tool); /* users without a list are not averaged over */
/* ndcg, recall, precision, hit, mrr, map of one user with |R| > 0, by the tool's defaults. */
#define WN_COMPAT_METRICS 6
void wn_compat_metrics(wn_compat tool, const wn_ranked *list, const wn_relevant *relevant, size_t k,
                       double out[WN_COMPAT_METRICS]);

#endif
