/* The table of metrics: names, labels, definitions in a line. docs/evaluation.md has them in full.
 */
#include "lab/metric.h"

static const wn_metric_info table[WN_METRICS] = {
    [WN_METRIC_NDCG] = {"ndcg", "NDCG", "gain 1, discount log2(rank + 1), ideal over min(|R|, k)"},
    [WN_METRIC_RECALL] = {"recall", "recall", "h / |R|"},
    [WN_METRIC_PRECISION] = {"precision", "precision", "h / k, also for shorter lists"},
    [WN_METRIC_HIT] = {"hit_rate", "hit rate", "h > 0"},
    [WN_METRIC_MRR] = {"mrr", "MRR", "1 / rank of the first hit within k"},
    [WN_METRIC_MAP] = {"map", "MAP", "sum of P@i at hits / min(|R|, k)"},
    [WN_METRIC_RECALL_CAPPED] = {"recall-capped", "capped recall", "h / min(k, |R|)"},
    [WN_METRIC_MAP_R] = {"map-r", "MAP /|R|", "sum of P@i at hits / |R|"},
    [WN_METRIC_F1] = {"f1", "F1", "harmonic mean of precision and recall"},
    [WN_METRIC_NDCG_LINEAR] = {"ndcg-linear", "NDCG linear", "gain: the weight of the test pair"},
    [WN_METRIC_NDCG_EXP] = {"ndcg-exp", "NDCG exp", "gain 2^weight - 1"},
    [WN_METRIC_POPULARITY] = {"popularity", "popularity", "mean train users of an item"},
    [WN_METRIC_NOVELTY] = {"novelty", "novelty", "mean -log2(users of the item / users), bits"},
    [WN_METRIC_SELF_INFORMATION] = {"self-information", "self-inf.",
                                    "mean -log2(pairs of the item / pairs), bits"},
    [WN_METRIC_EPC] = {"epc", "EPC", "mean 1 - users of the item / users"},
    [WN_METRIC_SERENDIPITY] =
        {"serendipity", "serendipity",
         "sum of max(place in the list - place by popularity, 0) at hits / k"},
    [WN_METRIC_UNEXPECTED] = {"unexpected", "unexpected",
                              "mean over the list of (1 - mean cosine to the history) at hits"},
    [WN_METRIC_ILD] = {"ild", "diversity", "1 - mean co-occurrence cosine of the list's pairs"},
    [WN_METRIC_CALIBRATION] = {"calibration", "miscalibr.",
                               "Steck: KL of the history's mix from the list's, nats; 0 is best"},
    [WN_METRIC_AUC] = {"auc", "ROC-AUC",
                       "(wins + ties/2) / (positives x negatives), mean of users"},
    [WN_METRIC_GAUC] = {"gauc", "GAUC", "the same, users weighted by their positives"},
    [WN_METRIC_PR_AUC] = {"pr-auc", "PR-AUC", "precision at each distinct score of a positive"},
    [WN_METRIC_COVERAGE] = {"coverage", "coverage", "share of the catalogue shown to somebody"},
    [WN_METRIC_USER_COVERAGE] = {"user-coverage", "users", "share of users with a list"},
    [WN_METRIC_GINI] = {"gini", "Gini", "of recommendations over the whole catalogue"},
    [WN_METRIC_ENTROPY] = {"entropy", "entropy", "of recommendations over items, bits"},
    [WN_METRIC_EFFECTIVE_ITEMS] = {"effective-items", "eff. items", "2^entropy"},
    [WN_METRIC_POP_REO] = {"pop-reo", "PopREO",
                           "deviation / mean over item groups of P(shown | relevant)"},
    [WN_METRIC_POP_RSP] = {"pop-rsp", "PopRSP",
                           "deviation / mean over item groups of P(shown | not in train)"},
    [WN_METRIC_POP_OPPORTUNITY] = {"pop-opportunity", "pop. opp.",
                                   "Spearman of an item's popularity and its true positive rate"},
    [WN_METRIC_PARITY] = {"parity", "parity",
                          "least over greatest exposure of item groups, each by its share of the "
                          "catalogue"},
    [WN_METRIC_USER_PARITY] = {"user-parity", "user parity",
                               "least over greatest NDCG of user groups"},
};

const wn_metric_info *wn_metric_about(wn_metric metric) {
  return &table[metric];
}

wn_metric wn_metric_find(wn_str name) {
  if (wn_str_is(name, "hit")) return WN_METRIC_HIT;
  for (int m = 0; m < WN_METRICS; m++)
    if (wn_str_is(name, table[m].name)) return (wn_metric)m;
  return WN_METRICS;
}

bool wn_metric_has_cutoff(wn_metric metric) {
  return metric != WN_METRIC_AUC && metric != WN_METRIC_GAUC && metric != WN_METRIC_PR_AUC;
}
