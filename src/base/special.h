#ifndef WN_BASE_SPECIAL_H
#define WN_BASE_SPECIAL_H
/* Distribution functions behind the tests and intervals, in double precision. Relative error about
 * 1e-14 for parameters up to 1e6; arguments outside the domain give NaN. */

#include <stddef.h>

double wn_normal_cdf(double x);
double wn_normal_pdf(double x);
double wn_normal_quantile(double p); /* 0 < p < 1 */

double wn_lgamma(double x); /* x > 0 */
double wn_lbeta(double a, double b);
/* Regularised incomplete beta I_x(a, b), 0 ≤ x ≤ 1. */
double wn_beta_cdf(double x, double a, double b);
double wn_beta_pdf(double x, double a, double b);
/* Regularised upper incomplete gamma Q(a, x). */
double wn_gamma_q(double a, double x);

/* Student's t with `dof` degrees of freedom, not necessarily whole. */
double wn_t_cdf(double t, double dof);
double wn_t_two_sided(double t, double dof); /* P(|T| ≥ |t|) */
double wn_t_quantile(double p, double dof);

double wn_chi2_sf(double x, double dof); /* P(X ≥ x) */
/* Two-sided exact binomial test of `successes` of n against p = ½. */
double wn_sign_test(double successes, double n);

/* The root of an increasing f on [low, high] by bisection to the last bit. */
double wn_root(double (*f)(double x, const void *ctx), const void *ctx, double low, double high);
/* ∫ f over [low, high] by composite Gauss–Legendre, `panels` × 16 points. */
double wn_integral(double (*f)(double x, const void *ctx), const void *ctx, double low, double high,
                   size_t panels);

#endif
