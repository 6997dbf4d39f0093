/* Calibration: crooked margins become probabilities that mean what they say, without a change of
 * order; the measures against their definitions. */
#include "fitting.h"

#include "model/calibrate.h"

enum { N = 20000 };

static double logistic(double x) {
  return 1 / (1 + exp(-x));
}

/* The truth is logistic(crook(margin)). */
static double straight(double m) {
  return m;
}
static double shrunk(double m) {
  return 0.4 * m - 2;
}
static double bent(double m) {
  return m < 0 ? 0.2 * m - 1 : 3 * m - 1;
}

static void draw(double (*crook)(double), bool exposed, wn_calibration_sample *s) {
  wn_rng rng;
  wn_rng_seed(&rng, 11);
  for (size_t i = 0; i < N; i++) {
    double m = 6 * wn_rng_double(&rng) - 3;
    double exposure = exposed ? 1.0 / (double)(1 + i % 4) : 1;
    s[i] = (wn_calibration_sample){.margin = (float)m,
                                   .label = wn_rng_double(&rng) < exposure * logistic(crook(m)),
                                   .weight = 1,
                                   .exposure = (float)exposure,
                                   .fold = (uint32_t)i & 1};
  }
}

static double worst(const wn_calibration *c, double (*crook)(double)) {
  double most = 0;
  for (double m = -2.8; m < 2.8; m += 0.1)
    most = fmax(most, fabs((double)wn_calibrated(c, (float)m) - logistic(crook(m))));
  return most;
}

static void assert_sound(const wn_calibration *c, bool steep) {
  float last = 0;
  assert_true(wn_calibration_good(c));
  for (float m = -40; m < 40; m += 0.25f) {
    float p = wn_calibrated(c, m);
    assert_true(p > 0 && p < 1 && p >= last);
    if (steep && fabsf(m) < 4) assert_true(p > last);
    last = p;
  }
  assert_true(isfinite(wn_calibrated(c, NAN)) && wn_calibrated(c, INFINITY) < 1 &&
              wn_calibrated(c, -INFINITY) > 0);
}

static void test_methods(void **state) {
  (void)state;
  static wn_calibration_sample s[N];
  static const struct {
    double (*crook)(double);
    wn_calibration_method best;
  } cases[] = {{shrunk, WN_CALIBRATION_PLATT}, {bent, WN_CALIBRATION_ISOTONIC}};
  for (size_t c = 0; c < 2; c++)
    for (int exposed = 0; exposed < 2; exposed++) {
      wn_calibration of;
      wn_calibration_report report;
      draw(cases[c].crook, exposed != 0, s);
      assert_ok(wn_calibration_choose(s, N, &of, &report, err));
      assert_int_equal(of.method, cases[c].best);
      assert_sound(&of, true);
      assert_true(worst(&of, cases[c].crook) < 0.1);
      assert_true(report.after.ece < 0.02 && report.before.ece > 2 * report.after.ece);
      assert_true(report.after.brier < report.before.brier);
      assert_true(report.after.log_loss < report.before.log_loss);
    }
}

/* What is right stays as it is, about. */
static void test_straight(void **state) {
  (void)state;
  static wn_calibration_sample s[N];
  wn_calibration of;
  wn_calibration_report report;
  draw(straight, false, s);
  assert_ok(wn_calibration_choose(s, N, &of, &report, err));
  assert_true(worst(&of, straight) < 0.03);
  for (int m = 0; m < WN_CALIBRATION_METHODS; m++) {
    assert_ok(wn_calibration_fit(s, N, (wn_calibration_method)m, &of, err));
    assert_sound(&of, true);
    assert_true(worst(&of, straight) < 0.05);
  }
}

/* Margins without sense, all labels alike, one sample, none. */
static void test_odd(void **state) {
  (void)state;
  wn_calibration_sample s[200];
  wn_calibration of;
  wn_calibration_report report;
  for (int kind = 0; kind < 4; kind++) {
    size_t n = kind == 2 ? 1 : kind == 3 ? 0 : 200;
    for (size_t i = 0; i < 200; i++)
      s[i] = (wn_calibration_sample){.margin = kind == 0 ? (float)-(double)i : 0,
                                     .label = kind == 0 && i > 100,
                                     .weight = 1,
                                     .exposure = 1,
                                     .fold = (uint32_t)i & 1};
    assert_ok(wn_calibration_choose(s, n, &of, &report, err));
    assert_sound(&of, false);
    for (int m = 0; m < WN_CALIBRATION_METHODS; m++) {
      assert_ok(wn_calibration_fit(s, n, (wn_calibration_method)m, &of, err));
      assert_sound(&of, false);
    }
  }
}

/* Weights count like copies. */
static void test_weights(void **state) {
  (void)state;
  static wn_calibration_sample s[N], copies[N];
  wn_calibration a, b;
  size_t n = 0;
  draw(shrunk, false, s);
  for (size_t i = 0; i < N / 3; i++) {
    s[i].weight = 1 + i % 3;
    for (size_t k = 0; k < 1 + i % 3; k++) {
      copies[n] = s[i];
      copies[n++].weight = 1;
    }
  }
  assert_ok(wn_calibration_fit(s, N / 3, WN_CALIBRATION_PLATT, &a, err));
  assert_ok(wn_calibration_fit(copies, n, WN_CALIBRATION_PLATT, &b, err));
  assert_float_equal(a.low, b.low, 1e-4);
  assert_float_equal(a.y[0], b.y[0], 1e-4);
}

/* Four samples by hand. */
static void test_measures(void **state) {
  (void)state;
  wn_calibration of;
  wn_calibration_report r;
  float far = 2.1972246f; /* logistic: .9 */
  wn_calibration_sample s[] = {
      {far, 1, 1, 1, 0}, {-far, 0, 1, 1, 0}, {far, 0, 1, 1, 1}, {-far, 0, 1, 1, 1}};
  assert_ok(wn_calibration_choose(s, 4, &of, &r, err));
  assert_float_equal(r.before.brier, (0.01 + 0.01 + 0.81 + 0.01) / 4, 1e-5);
  assert_float_equal(r.before.log_loss, -(3 * log(0.9) + log(0.1)) / 4, 1e-5);
  assert_float_equal(r.before.auc, (2 + 0.5) / 3, 1e-9);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_methods), cmocka_unit_test(test_straight), cmocka_unit_test(test_odd),
      cmocka_unit_test(test_weights), cmocka_unit_test(test_measures)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
