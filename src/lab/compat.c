/* Where tools differ, with gain 1 (h hits among the first k, R the relevant items):
 *
 *            NDCG                      MAP divides by  recall       precision   MRR       no list
 *   ours     ideal over min(k, |R|)    min(|R|, k)     h/|R|        h/k         within k  counts 0
 *   trec_eval                          |R|                                      whole list  left
 * out ranx                               |R| RecBole  (as ours) LensKit  discount max(1, log2 r)
 * h/min(k,|R|) h/len RecTools ideal over k              |R|
 *
 * trec_eval also breaks ties of scores by descending document id; run files are read in that
 * order. */
#include "lab/compat.h"

#include <math.h>
#include <string.h>

static const struct {
  const char *name, *why;
} tools[WN_COMPAT_TOOLS] = {
    [WN_COMPAT_NONE] = {"", ""},
    [WN_COMPAT_TREC_EVAL] = {"trec_eval",
                             "MAP divides by |R|, reciprocal rank over the whole list, "
                             "ties by descending id, users without a list left out"},
    [WN_COMPAT_RANX] = {"ranx", "MAP divides by |R|"},
    [WN_COMPAT_RECBOLE] = {"recbole", "no difference"},
    [WN_COMPAT_LENSKIT] = {"lenskit", "NDCG discounts by max(1, log2 rank), recall divides by "
                                      "min(k, |R|), precision by the list's length"},
    [WN_COMPAT_RECTOOLS] = {"rectools", "NDCG's ideal is over k whatever |R|, MAP divides by |R|"},
};

const char *wn_compat_name(wn_compat tool) {
  return tools[tool].name;
}

wn_compat wn_compat_find(const char *name) {
  for (int t = WN_COMPAT_NONE + 1; t < WN_COMPAT_TOOLS; t++)
    if (strcmp(tools[t].name, name) == 0) return (wn_compat)t;
  return WN_COMPAT_TOOLS;
}

const char *wn_compat_why(wn_compat tool) {
  return tools[tool].why;
}

bool wn_compat_drops_empty(wn_compat tool) {
  return tool == WN_COMPAT_TREC_EVAL;
}

static double discount_of(wn_compat tool, size_t rank) {
  return tool == WN_COMPAT_LENSKIT ? fmax(1, log2((double)rank)) : log2((double)rank + 1);
}

static double ndcg_of(wn_compat tool, const wn_ranked *list, const wn_relevant *relevant,
                      size_t k) {
  double dcg = 0, ideal = 0;
  size_t best = relevant->len < k && tool != WN_COMPAT_RECTOOLS ? relevant->len : k;
  for (size_t i = 0; i < list->len && i < k; i++)
    if (wn_ascending_find(relevant->items, relevant->len, list->item[i]) >= 0)
      dcg += 1 / discount_of(tool, i + 1);
  for (size_t i = 0; i < best; i++) ideal += 1 / discount_of(tool, i + 1);
  return dcg / ideal;
}

void wn_compat_metrics(wn_compat tool, const wn_ranked *list, const wn_relevant *relevant, size_t k,
                       double out[WN_COMPAT_METRICS]) {
  wn_ranking_metrics m, whole;
  size_t len = list->len < k ? list->len : k;
  bool over_all =
      tool == WN_COMPAT_TREC_EVAL || tool == WN_COMPAT_RANX || tool == WN_COMPAT_RECTOOLS;
  wn_ranking_metrics_of(list->item, list->len, relevant, k, &m);
  wn_ranking_metrics_of(list->item, list->len, relevant, list->len, &whole);
  out[0] = ndcg_of(tool, list, relevant, k);
  out[1] = tool == WN_COMPAT_LENSKIT ? m.recall_capped : m.recall;
  out[2] =
      tool == WN_COMPAT_LENSKIT && len > 0 ? m.precision * (double)k / (double)len : m.precision;
  out[3] = m.hit;
  out[4] = tool == WN_COMPAT_TREC_EVAL ? whole.mrr : m.mrr;
  out[5] = over_all ? m.ap_over_R : m.ap_over_min;
}
