/* Group sequential bounds: what is spent at each look, against paths that are drawn. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "lab/ab.h"

#include <math.h>
#include <stdio.h>

enum { PATHS = 60000 };

static void one_look(void **state) {
  (void)state;
  double z;
  wn_group_bounds((const double[]){1}, 1, 0.05, &z);
  assert_true(fabs(z - 1.959963984540054) < 1e-9);
}

/* At each look as many paths leave for the first time as it may spend. */
static void spending(void **state) {
  (void)state;
  static const double equal[] = {0.2, 0.4, 0.6, 0.8, 1}, uneven[] = {0.5, 0.55, 1};
  static const struct {
    const double *shares;
    size_t looks;
    double alpha;
  } cases[] = {{equal, 5, 0.05}, {equal, 5, 0.2}, {uneven, 3, 0.1}};
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  for (size_t c = 0; c < 3; c++) {
    double z[WN_LOOKS_MAX], left[WN_LOOKS_MAX] = {0}, spent = 0;
    size_t looks = cases[c].looks;
    wn_group_bounds(cases[c].shares, looks, cases[c].alpha, z);
    for (int n = 0; n < PATHS; n++) {
      double b = 0, t = 0;
      for (size_t k = 0; k < looks; k++) {
        b += sqrt(cases[c].shares[k] - t) * wn_rng_normal(&rng);
        t = cases[c].shares[k];
        if (fabs(b) < z[k] * sqrt(t)) continue;
        left[k]++;
        break;
      }
    }
    for (size_t k = 0; k < looks; k++) {
      double due = wn_alpha_spent(cases[c].shares[k], cases[c].alpha) - spent;
      spent += due;
      print_message("look %zu: z %.4f, spends %.5f, left %.5f\n", k + 1, z[k], due,
                    left[k] / PATHS);
      assert_true(fabs(left[k] / PATHS - due) < 5 * sqrt(due / PATHS) + 1e-12);
      assert_true(k == 0 || cases[c].shares == uneven || z[k] < z[k - 1]);
    }
    assert_true(fabs(spent - cases[c].alpha) < 1e-12);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_look), cmocka_unit_test(spending)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
