#ifndef WN_LAB_AB_H
#define WN_LAB_AB_H
/* Statistics of online experiments. Control first, treatment second; differences are treatment −
 * control. Two-sided throughout. */

#include "lab/stats.h"

/* Difference of two arms' means with unequal variances, absolute and relative to control's. */
typedef struct wn_difference {
  wn_estimate absolute, relative; /* relative by the delta method, same degrees of freedom */
  double t, dof;
} wn_difference;
wn_difference wn_welch(wn_moments control, wn_moments treatment, double alpha);

typedef struct wn_proportions {
  double z_pooled, p_pooled, z_unpooled, p_unpooled, chi2;
  double wald_low, wald_high;         /* of the difference */
  double newcombe_low, newcombe_high; /* Newcombe 1998, method 10 */
} wn_proportions;
wn_proportions wn_two_proportions(const double x[2], const double n[2], double alpha);

/* CUPED (Deng et al. 2013): y − θx, θ = cov(y, x) / var(x) over both arms together. A pre-period
 * value that is missing (NaN) counts as the mean. x is changed accordingly. */
typedef struct wn_cuped {
  double theta, diff_adjusted, se_adjusted, diff_raw, se_raw;
  double variance_reduction, rho2;
} wn_cuped;
WN_MUST_USE bool wn_cuped_of(const double *y[2], double *x[2], const size_t n[2], wn_cuped *out);

/* Sample ratio mismatch: χ² goodness of fit of the arms' counts; alarm at p < .001. */
typedef struct wn_srm {
  double chi2, p;
  bool alarm;
} wn_srm;
wn_srm wn_srm_test(const double *observed, const double *weights, size_t arms);
/* Its anytime-valid twin (Lindon and Malek 2022): ln of the Bayes factor of a flat Dirichlet
 * against the weights. p = min(1, 1 / factor); over looks keep the least. */
double wn_srm_log_factor(const double *observed, const double *weights, size_t arms);

/* Mixture sequential test (Johari et al. 2017), N(0, tau²) mixture over paired arrivals with known
 * sigma: ln Λ after n pairs with mean difference d. */
double wn_msprt_log(double difference, double n, double sigma, double tau);

/* Asymptotic confidence sequence (Waudby-Smith et al. 2021) of a difference with standard error se
 * after n units in all; rho from the sample size it is tuned for. */
typedef struct wn_sequence {
  double rho, halfwidth, low, high, p;
} wn_sequence;
wn_sequence wn_confidence_sequence(double difference, double se, double n, double tuned_for,
                                   double alpha);

/* Beta posteriors of two arms: P(b > a) and E[max(pa − pb, 0)], the expected loss of shipping b. */
typedef struct wn_beta_pair {
  double p_b_better, expected_loss_b, mean[2];
} wn_beta_pair;
wn_beta_pair wn_beta_compare(const double x[2], const double n[2], const double prior[2]);

/* A Gaussian effect under a Gaussian prior; prior_sd INFINITY: flat. */
typedef struct wn_gaussian_effect {
  double mean, sd, chance_to_win;
  double risk; /* of shipping the treatment: E[max(−effect, 0)] */
} wn_gaussian_effect;
wn_gaussian_effect wn_gaussian_posterior(double effect, double se, double prior_mean,
                                         double prior_sd);

/* Units per arm for a two-sided test of p1 against p2, unpooled variances. */
double wn_sample_size(double p1, double p2, double alpha, double power);

/* Group sequential bound: Lan–DeMets' O'Brien–Fleming spending 2(1 − Φ(z_{α/2} / √t)), 0 < t ≤ 1.
 */
double wn_alpha_spent(double t, double alpha);

/* Two-sided bounds of z for looks at the given shares of the planned information (ascending, the
 * last at most 1), which spend alpha as above: at each look the chance, under no effect, of leaving
 * the bounds for the first time there is what has come to be spent since the look before (Armitage,
 * McPherson and Rowe 1969; Jennison and Turnbull 2000, 19). */
#define WN_LOOKS_MAX 20
void wn_group_bounds(const double *shares, size_t looks, double alpha, double *z);

/* FNV-1a, 32 bits, and the two ways of drawing [0, 1) from it. Version 2 hashes twice; version 1 is
 * for reading old assignments: its buckets of concurrent experiments correlate. */
uint32_t wn_fnv1a(const char *text, size_t len);
double wn_assignment(const char *seed, const char *unit, int version);

#endif
