#ifndef WN_LAB_OPE_RUN_H
#define WN_LAB_OPE_RUN_H
/* Off-policy evaluation of one policy on one log: every estimator of ope.h with its interval, the
 * diagnostics, and the refusal where they say that the log cannot answer. */

#include "base/json_write.h"
#include "data/logged.h"
#include "lab/ope.h"

typedef enum wn_policy_kind {
  WN_POLICY_LOGGED,  /* the one that made the log: its mean reward */
  WN_POLICY_UNIFORM, /* over the items of the log, at each position */
  WN_POLICY_TABLE,
  WN_POLICY_GIVEN, /* p_eval of each row */
} wn_policy_kind;

typedef struct wn_ope_options {
  wn_policy_kind policy;
  const wn_policy_table *table;
  uint32_t bootstrap; /* resamples of whole decisions; default 1,000 */
  double lambda;      /* of clipped, switch and DRos; 0: chosen on the log */
  uint64_t seed;
  int threads;
} wn_ope_options;
void wn_ope_options_defaults(wn_ope_options *options);

typedef struct wn_ope_line {
  const char *name;
  double value, se, low, high; /* 95% */
  double lambda;               /* NaN: has none */
  const char *missing; /* what the log lacks for it; NULL: nothing. Then the numbers are NaN */
  bool refused;
} wn_ope_line;

#define WN_OPE_LINES_MAX  10
#define WN_OPE_SLATES_MAX 6
typedef struct wn_ope_result {
  size_t rows, decisions, positions, items;
  bool deterministic; /* every propensity of the log is 1 */
  bool bootstrapped;  /* else the intervals are normal, of se by decision */
  wn_ope_line logged; /* the log's own mean reward of a row */
  wn_ope_diagnostics guard;
  wn_ope_line lines[WN_OPE_LINES_MAX]; /* value of a row */
  size_t lines_len;
  /* value of a decision, where decisions have several rows */
  wn_ope_line slate_logged;
  wn_ope_diagnostics slate_guard; /* of the weights of whole slates */
  wn_ope_line slates[WN_OPE_SLATES_MAX];
  size_t slates_len;
} wn_ope_result;

/* Fills p_eval, q and value of the rows where the policy or the log's own model says them.
 * WN_E_ARGUMENT: GIVEN without p_eval. */
WN_MUST_USE wn_status wn_ope_run(wn_logged *log, const wn_ope_options *options, wn_ope_result *out,
                                 wn_error *err);
void wn_ope_result_to_json(const wn_ope_result *result, wn_json *json); /* a value */

/* Probabilities of the policy for what was shown, and a reward model for it: q̂ of an item at a
 * position is the mean reward of that cell in the other folds of the log, drawn towards the
 * position's mean with the weight of 100 rows. `mrdr`: rows count by wn_mrdr_weight. Needs p_eval
 * for that; returns the policy's mass on what the log never shows. */
WN_MUST_USE wn_status wn_ope_probabilities(wn_logged *log, const wn_ope_options *options,
                                           double *uncovered, wn_error *err);
/* *known false: value needs the policy's probabilities of what was not shown, which nobody gave. */
WN_MUST_USE wn_status wn_ope_model(const wn_logged *log, const wn_ope_options *options, bool mrdr,
                                   wn_ope_row *rows, bool *known, wn_error *err);

/* Bootstrap over units of Σ_k Σ a_k / Σ b_k; `terms`: n × 2·pairs, a_0 b_0 a_1 b_1 …. */
typedef struct wn_ratio_sums {
  const double *terms;
  size_t n, pairs;
} wn_ratio_sums;
#define WN_RATIO_PAIRS_MAX 2
typedef struct wn_ratio_estimate {
  double value, se, low, high; /* se by the delta method */
} wn_ratio_estimate;
/* samples 0: normal interval. */
WN_MUST_USE bool wn_ratio_interval(const wn_ratio_sums *sums, uint32_t samples, uint64_t seed,
                                   wn_ratio_estimate *out);

#endif
