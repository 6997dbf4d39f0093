#ifndef WN_LAB_VERDICT_H
#define WN_LAB_VERDICT_H
/* What an experiment shows so far, read so that looking every day costs nothing.
 *
 * The intervals are asymptotic confidence sequences (Waudby-Smith et al. 2021): they hold at all
 * times together, so stopping when one leaves 0 is allowed. The fixed-horizon test is shown at the
 * planned number of units only, because looking earlier breaks it. Ratios by the delta method over
 * units (Deng, Knoblich and Lu 2018); CUPED (Deng et al. 2013) where there is a value from before.
 * While the arms' sizes contradict their shares (SRM), nothing is shown. */

#include "lab/ab.h"
#include "base/json_write.h"
#include "lab/outcome.h"

typedef enum wn_verdict {
  WN_VERDICT_UNDECIDED,
  WN_VERDICT_BETTER,
  WN_VERDICT_WORSE,   /* of a guardrail: the loss is surely beyond its margin */
  WN_VERDICT_NO_DATA, /* no event of the type, or no units */
} wn_verdict;
extern const char *const wn_verdict_names[];

/* One arm against the control by one metric. Better is positive only where higher is better. */
typedef struct wn_arm_verdict {
  double control, treatment;                    /* the means */
  wn_sequence absolute;                         /* of the difference, always valid */
  double relative, relative_low, relative_high; /* in parts of the control's mean, always valid */
  double p_adjusted;       /* always valid, Benjamini–Hochberg over all metrics and arms */
  double variance_removed; /* by CUPED: 0 to 1 */
  wn_estimate fixed;       /* only when `fixed_shown` */
  bool fixed_shown;
  double group_low, group_high; /* group sequential, of the look that was reached; NAN: none */
  double chance_to_win, expected_loss; /* Bayesian: beta–binomial for conversions, else Gaussian
                                          with a flat prior; the loss in the metric's unit */
  wn_slope novelty;                    /* of the daily difference; p < .05: the effect is moving */
  wn_verdict verdict;
} wn_arm_verdict;

typedef struct wn_segment_alarm {
  char what[2 * WN_NAME_MAX + 16]; /* "surface home", "country=at", "day 2026-01-31" */
  wn_srm srm;
} wn_segment_alarm;

typedef struct wn_experiment_verdict {
  wn_srm srm;             /* all units */
  double srm_always_p;    /* its anytime-valid twin */
  wn_segment_alarm worst; /* of surfaces and days, Bonferroni-corrected p */
  bool hidden;            /* the arms' sizes are wrong: no result is to be trusted */
  wn_arm_verdict arms[WN_ARMS_MAX][WN_METRICS_MAX]; /* [0] is the control against itself: empty */
  uint32_t look;             /* the last that was reached, of e->looks; 0: none */
  double group_bound;        /* its z */
  double units, alpha_spent; /* of planned units: Lan–DeMets' O'Brien–Fleming share of alpha */
  /* To see a relative effect of 1, 2, 5, 10 % of the primary metric with a power of .8: units of
   * all arms, and days at the pace so far; 0: cannot be said. */
  double needed_units[4], needed_days[4];
} wn_experiment_verdict;
extern const double wn_needed_effects[4];

/* The units and what their sizes say: srm, worst, hidden (mismatch.c). */
void wn_verdict_sizes(const wn_experiment *experiment, const wn_outcome *outcome,
                      wn_experiment_verdict *out);

/* All of it for one experiment: since it began (WN_E_NOT_READY: it never ran), until now or until
 * it was stopped. */
WN_MUST_USE wn_status wn_experiment_look(wn_store *store, const char *dir,
                                         const wn_experiment *experiment, wn_outcome *outcome,
                                         wn_experiment_verdict *verdict, wn_error *err);
/* When it ran, for wn_outcome_collect. WN_E_NOT_READY: it never did. */
WN_MUST_USE wn_status wn_experiment_period(const char *dir, const wn_experiment *experiment,
                                           wn_outcome_options *options, wn_error *err);
void wn_experiment_verdict_of(const wn_experiment *experiment, const wn_outcome *outcome,
                              wn_experiment_verdict *out);
/* What a rule would do now. `arm`: to promote; `why`: one sentence. */
typedef enum wn_ruling { WN_RULING_WAIT, WN_RULING_PROMOTE, WN_RULING_ROLL_BACK } wn_ruling;
wn_ruling wn_experiment_ruling(const wn_experiment *experiment,
                               const wn_experiment_verdict *verdict, size_t *arm, char *why,
                               size_t size);
/* Whether the arm may become what everybody gets: its primary metric is better, no guardrail is
 * worse, and the sizes are right. `why`: one sentence when not. */
bool wn_experiment_won(const wn_experiment *experiment, const wn_experiment_verdict *verdict,
                       size_t arm, char *why, size_t size);
/* Units an arm for a two-sided test of a relative effect, from sums over units. */
double wn_units_needed(const wn_ratio_sums *sums, double relative, double alpha, double power);
/* One JSON object: the declaration, the counts, the verdicts. */
void wn_experiment_verdict_to_json(const wn_experiment *experiment, const wn_outcome *outcome,
                                   const wn_experiment_verdict *verdict, wn_json *json);

#endif
