/* Distribution functions against closed forms, their inverses, and tables to 15 digits. */
#include "base/special.h"

#include "lab/harness.h"

#include <math.h>

static void near(double got, double expected, double relative) {
  double gap = fabs(got - expected);
  if (!(gap <= relative * fabs(expected) + 1e-300)) fail_msg("%.17g is not %.17g", got, expected);
}

static void test_normal(void **state) {
  (void)state;
  near(wn_normal_cdf(1.96), 0.97500210485177952, 1e-14);
  near(wn_normal_quantile(0.975), 1.9599639845400545, 1e-14);
  near(wn_normal_quantile(1e-10), -6.3613409024040557, 1e-13);
  for (double p = 1e-12; p < 1; p = p < 0.1 ? p * 3.7 : p + 0.07)
    near(wn_normal_cdf(wn_normal_quantile(p)), p, 1e-12);
  assert_true(isnan(wn_normal_quantile(0)) && isnan(wn_normal_quantile(1)));
}

static void test_gamma(void **state) {
  (void)state;
  double factorial = 1;
  for (int n = 1; n < 20; n++) {
    near(exp(wn_lgamma(n)), factorial, 1e-13);
    factorial *= n;
  }
  near(wn_lgamma(0.5), log(sqrt(3.14159265358979323846)), 1e-14);
  near(wn_lgamma(1e6), 12815504.569147611, 1e-14);
  for (double x = 0.1; x < 60; x *= 1.7) {
    near(wn_gamma_q(1, x), exp(-x), 1e-13); /* exponential */
    near(wn_chi2_sf(x, 4), exp(-x / 2) * (1 + x / 2), 1e-13);
  }
  assert_true(isnan(wn_lgamma(0)) && isnan(wn_gamma_q(-1, 1)));
}

static void test_beta_and_t(void **state) {
  (void)state;
  for (double x = 0.05; x < 1; x += 0.1) {
    near(wn_beta_cdf(x, 1, 1), x, 1e-14);
    near(wn_beta_cdf(x, 2, 1), x * x, 1e-13);
    near(wn_beta_cdf(x, 3, 7), 1 - wn_beta_cdf(1 - x, 7, 3), 1e-12);
  }
  for (double t = -4; t <= 4; t += 0.5) {
    near(wn_t_cdf(t, 1), 0.5 + atan(t) / 3.14159265358979323846, 1e-13); /* Cauchy */
    near(wn_t_cdf(t, 2), 0.5 + t / (2 * sqrt(2 + t * t)), 1e-13);
  }
  near(wn_t_quantile(0.975, 10), 2.228138851986274, 1e-12);
  near(wn_t_quantile(0.025, 29), -2.045229642132704, 1e-12);
  near(wn_sign_test(8, 10), 0.109375, 1e-13);
  near(wn_sign_test(5, 10), 1, 0);
}

static double cube(double x, const void *ctx) {
  return x * x * x - *(const double *)ctx;
}

static void test_root_and_integral(void **state) {
  (void)state;
  double two = 2, zero = 0;
  near(wn_root(cube, &two, 0, 10), cbrt(2), 1e-15);
  near(wn_integral(cube, &zero, 1, 3, 1), 20, 1e-13);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_normal), cmocka_unit_test(test_gamma),
                                     cmocka_unit_test(test_beta_and_t),
                                     cmocka_unit_test(test_root_and_integral)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
