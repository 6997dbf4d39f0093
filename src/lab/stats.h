#ifndef WN_LAB_STATS_H
#define WN_LAB_STATS_H
/* Tests and intervals over samples: paired comparisons, correlations, two-sample distances,
 * corrections for many tests. All two-sided. Allocation failures give NaN in every field. */

#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct wn_moments {
  size_t n;
  double mean;
  double var; /* divided by n − 1; 0 for n < 2 */
} wn_moments;
wn_moments wn_moments_of(const double *x, size_t n);
double wn_covariance(const double *x, const double *y, size_t n); /* divided by n − 1 */

/* Mean with its t interval; n < 2: the interval is infinite. */
typedef struct wn_estimate {
  double value, se, low, high, p; /* p against 0 */
} wn_estimate;
wn_estimate wn_t_interval(const double *x, size_t n, double alpha);

typedef struct wn_paired {
  wn_estimate difference; /* mean of a − b, by t */
  double t;
  double wilcoxon_w; /* the smaller sum of ranks, zero differences left out */
  double wilcoxon_p; /* exact for n ≤ 50 without ties and zeros, else normal with tie correction */
  double flip_p;     /* sign-flip randomisation */
} wn_paired;
/* The same n units under a and under b. `flips`: random sign assignments, of `seed`. */
wn_paired wn_paired_tests(const double *a, const double *b, size_t n, uint32_t flips,
                          uint64_t seed);

/* Wilson's score interval of a share. */
wn_estimate wn_wilson(double successes, double n, double alpha);

double wn_pearson(const double *x, const double *y, size_t n);
/* Fisher's z interval of a correlation r over n pairs, n > 3. */
void wn_pearson_interval(double r, size_t n, double *low, double *high);
double wn_spearman(const double *x, const double *y, size_t n);
double wn_kendall(const double *x, const double *y, size_t n); /* τ_b */
/* Ranks from 1, ties sharing their mean. */
WN_MUST_USE bool wn_mid_ranks(const double *x, size_t n, double *ranks);

/* Two-sample Kolmogorov–Smirnov; p exact for n·m ≤ 10⁶, else asymptotic. */
typedef struct wn_ks {
  double distance, p;
} wn_ks;
wn_ks wn_kolmogorov_smirnov(const double *a, size_t n, const double *b, size_t m);

/* p adjusted for n tests, in the order given. */
typedef enum wn_correction { WN_BONFERRONI, WN_HOLM, WN_BENJAMINI_HOCHBERG } wn_correction;
WN_MUST_USE bool wn_adjust_p(wn_correction how, const double *p, size_t n, double *adjusted);

/* y = intercept + slope·x weighted by 1/se²; z and p of the slope with known se. */
typedef struct wn_slope {
  double slope, se, z, p;
} wn_slope;
wn_slope wn_weighted_slope(const double *x, const double *y, const double *se, size_t n);

/* Divergences of two distributions over the same n cells, each summing to 1. */
double wn_psi(const double *p, const double *q, size_t n); /* Σ (q − p) ln(q / p), cells ≥ 1e-6 */
double wn_js(const double *p, const double *q, size_t n); /* Jensen–Shannon divergence, bits */
double wn_hellinger(const double *p, const double *q, size_t n);

#endif
