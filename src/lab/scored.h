#ifndef WN_LAB_SCORED_H
#define WN_LAB_SCORED_H
/* Metrics of scores rather than of lists: ties as the expectation over their orders, areas under
 * curves, and how far a probability may be believed. */

#include "lab/metrics.h"

typedef struct wn_tied_metrics {
  wn_ranking_metrics expected; /* over uniformly random orders of equal scores */
  wn_ranking_metrics best, worst;
} wn_tied_metrics;
/* n items with scores (no NaN); gains of `all` ≥ n items (0 or less: not relevant), first of those
 * that were scored, then of relevant ones that were not. */
WN_MUST_USE bool wn_tied_metrics_of(const double *score, const double *gain, size_t n, size_t all,
                                    size_t k, wn_tied_metrics *out);

/* The same for binary gains from groups of equal scores, best first, of which only so much is
 * known: how many items, how many of them relevant. `relevant`: in all, ≥ 1. */
typedef struct wn_tied_group {
  size_t len, relevant;
} wn_tied_group;
void wn_tied_metrics_of_groups(const wn_tied_group *groups, size_t n, size_t relevant, size_t k,
                               wn_tied_metrics *out);

typedef struct wn_areas {
  double roc_auc;           /* (wins + ½ ties) / (P·N); NaN for a single class */
  double average_precision; /* Σ (Rᵢ − Rᵢ₋₁) Pᵢ over distinct scores */
  double positives, negatives;
} wn_areas;
WN_MUST_USE bool wn_areas_of(const double *score, const uint8_t *label, size_t n, wn_areas *out);

/* The same of one user's scores of a catalogue (NaN: not ranked) in one pass over them; `relevant`
 * are indexes of it, `room` holds as many steps. */
typedef struct wn_area_step {
  float score;
  uint32_t relevant, at, over; /* at this score; items between it and the next step */
} wn_area_step;
void wn_areas_of_relevant(const float *score, size_t n, const wn_relevant *relevant,
                          wn_area_step *room, wn_areas *out);

typedef struct wn_reliability {
  double ece, mce; /* over `bins` cells [lo, hi) of equal width, the last one closed */
  double brier;
  double log_loss; /* nats, p cut to [1e-15, 1 − 1e-15] */
  double ratio;    /* Σp / Σy */
} wn_reliability;
WN_MUST_USE bool wn_reliability_of(const double *p, const double *y, size_t n, size_t bins,
                                   wn_reliability *out);

/* The expected metric of one relevant item of rank `rank` (from 1, ties broken) among n, when it is
 * ranked against `negatives` drawn uniformly with replacement from the other n − 1: Krichene and
 * Rendle 2020. negatives 0: the exact values. */
typedef struct wn_sampled_metrics {
  double auc, ap, ndcg, recall; /* recall at k; ap and ndcg without a cutoff */
} wn_sampled_metrics;
wn_sampled_metrics wn_sampled_metrics_of(double rank, double n, size_t negatives, size_t k);

#endif
