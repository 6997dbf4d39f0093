#ifndef WN_LAB_OPE_H
#define WN_LAB_OPE_H
/* Off-policy evaluation: what would π_e have earned on the log of π_b? Every estimate comes with
 * the diagnostics that say whether the log can answer at all. */

#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One logged decision. */
typedef struct wn_ope_row {
  double weight; /* π_e(a|x) / π_b(a|x) of the action taken, ≥ 0 */
  double reward;
  double q;     /* a reward model's q̂(x, a) of the action taken; 0 without a model */
  double value; /* Σ_a π_e(a|x) q̂(x, a) */
} wn_ope_row;

typedef enum wn_ope_estimator {
  WN_OPE_IPS,          /* mean(w r) */
  WN_OPE_SNIPS,        /* Σ w r / Σ w */
  WN_OPE_CLIPPED,      /* mean(min(w, λ) r) */
  WN_OPE_SUBGAUSSIAN,  /* w / (1 − λ + λw) for w: Metelli et al. 2021 */
  WN_OPE_DM,           /* mean(value) */
  WN_OPE_DR,           /* DM + mean(w (r − q)): Dudík et al. 2011 */
  WN_OPE_SNDR,         /* the correction divided by mean(w) */
  WN_OPE_SWITCH_DR,    /* w where w ≤ λ, else 0: Wang et al. 2017 */
  WN_OPE_DROS,         /* λw / (w² + λ) for w: Su et al. 2020, optimistic shrinkage */
  WN_OPE_CRESSIE_READ, /* empirical likelihood, power −2: Karampatziakis et al. 2020 */
} wn_ope_estimator;

typedef struct wn_ope_estimate {
  double value, se; /* se by the spread of the rows; SNIPS and SNDR by the delta method */
} wn_ope_estimate;
/* f(w), of the estimators that are mean(b + f(w)(r − q)); whether they have b and q. */
double wn_ope_shrunk(wn_ope_estimator which, double w, double lambda);
bool wn_ope_uses_model(wn_ope_estimator which);
/* λ is ignored where it does not occur. n ≥ 1. */
wn_ope_estimate wn_ope_estimate_of(wn_ope_estimator which, const wn_ope_row *rows, size_t n,
                                   double lambda);

/* Weights of MRDR's regression (Farajtabar et al. 2018): π_e(a)(1 − π_b(a)) / π_b(a)². */
double wn_mrdr_weight(double p_eval, double p_log);

typedef struct wn_ope_diagnostics {
  double mean_weight, mean_weight_z; /* z of mean(w) = 1, at most ± 1000 */
  double max_weight, max_share;      /* of the sum */
  double ess;                        /* (Σw)² / Σw² */
  double zero_share;
  double uncovered; /* π_e's mass on actions that the log never plays; from the caller */
  double low, high; /* what uncovered mass can make of IPS, rewards in [reward_min, reward_max] */
  bool refused;
  char why[360]; /* and what data would do; empty when not refused */
} wn_ope_diagnostics;
void wn_ope_diagnose(const wn_ope_row *rows, size_t n, double uncovered, double reward_min,
                     double reward_max, wn_ope_diagnostics *out);

/* Mean reward over the rows on which the policy chose what a uniformly random log chose (Li et al.
 * 2011); NaN without a match. */
double wn_replay(const uint32_t *logged, const uint32_t *chosen, const double *reward, size_t n,
                 size_t *matches);

/* Slates: n rows × `slots`, row-major; propensities of each slot given the ones above it. */
typedef struct wn_slate_table {
  size_t n, slots;
  const double *p_log, *p_eval, *reward;
} wn_slate_table;
typedef struct wn_slate_ope {
  double sips, iips, rips;       /* joint, independent and cascade weights */
  double snsips, sniips, snrips; /* the same, normalised; NaN where all weights are 0 */
  double pi; /* pseudo-inverse under a product logging policy: Swaminathan et al. 2017 */
} wn_slate_ope;
WN_MUST_USE bool wn_slate_ope_of(const wn_slate_table *log, wn_slate_ope *out);
/* What one slate adds to each mean. */
typedef struct wn_slate_terms {
  double joint, reward, sips, iips, rips, pi;
} wn_slate_terms;
wn_slate_terms wn_slate_terms_of(const wn_slate_table *log, size_t row);
/* Kiyohara et al. 2022: prefix is the weight of slots 1 … l, q of the action taken, value its mean
 * under π_e; all n × slots. */
double wn_cascade_dr(const double *prefix, const double *reward, const double *q,
                     const double *value, const size_t shape[2]);

#endif
