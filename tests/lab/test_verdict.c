/* Verdicts: against naive twins over the units, and what they promise under simulation. Seeds are
 * fixed; the figures of the simulations are printed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "lab/verdict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static wn_experiment two_arms(wn_metric_kind kind) {
  wn_experiment e;
  wn_experiment_defaults(&e, "x");
  e.arms_len = 2;
  e.arms[0] = (wn_arm_spec){.name = "control", .share = 0.5};
  e.arms[1] = (wn_arm_spec){.name = "treated", .share = 0.5};
  e.metrics_len = 1;
  e.metrics[0] = (wn_metric_spec){.name = "m", .kind = kind};
  return e;
}

static void add_unit(wn_outcome *o, size_t arm, double y, double x, double z) {
  wn_ratio_sums *s = &o->arms[arm].metrics[0];
  o->arms[arm].units++;
  s->n++;
  s->y += y;
  s->x += x;
  s->yy += y * y;
  s->xx += x * x;
  s->xy += x * y;
  s->z += z;
  s->zz += z * z;
  s->zy += z * y;
}

/* A mean per unit is Welch's comparison, but for the normal instead of the t quantile. */
static void test_means_are_welch(void **state) {
  (void)state;
  enum { N = 400 };
  double y[2][N];
  wn_rng rng;
  wn_outcome o = {0};
  wn_experiment_verdict v;
  wn_experiment e = two_arms(WN_METRIC_COUNT);
  e.planned_units = 2 * N;
  wn_rng_seed(&rng, 3);
  for (size_t a = 0; a < 2; a++)
    for (size_t i = 0; i < N; i++) {
      y[a][i] = 2 + 0.3 * (double)a + wn_rng_normal(&rng);
      add_unit(&o, a, y[a][i], 1, 0);
    }
  wn_experiment_verdict_of(&e, &o, &v);
  wn_difference d = wn_welch(wn_moments_of(y[0], N), wn_moments_of(y[1], N), 0.05);
  assert_true(v.arms[1][0].fixed_shown);
  assert_true(fabs(v.arms[1][0].fixed.value - d.absolute.value) < 1e-12);
  assert_true(fabs(v.arms[1][0].fixed.se - d.absolute.se) < 1e-12);
  assert_true(v.arms[1][0].absolute.low < v.arms[1][0].fixed.low); /* looking at any time costs */
  assert_int_equal(v.arms[1][0].verdict, WN_VERDICT_BETTER);
}

/* The delta method's deviation of a ratio is that over many repetitions. */
static void test_ratio_deviation(void **state) {
  (void)state;
  enum { N = 300, RUNS = 400 };
  double sum = 0, squares = 0, claimed = 0;
  wn_rng rng;
  wn_experiment e = two_arms(WN_METRIC_RATE);
  wn_rng_seed(&rng, 4);
  for (int run = 0; run < RUNS; run++) {
    wn_outcome o = {0};
    wn_experiment_verdict v;
    for (size_t i = 0; i < 2 * N; i++) {
      double slates = 1 + (double)wn_rng_below(&rng, 20), taste = 0.05 + 0.3 * wn_rng_double(&rng);
      double clicks = 0;
      for (int s = 0; s < (int)slates; s++) clicks += wn_rng_double(&rng) < taste;
      add_unit(&o, i % 2, clicks, slates, 0);
    }
    wn_experiment_verdict_of(&e, &o, &v);
    sum += v.arms[1][0].fixed.value;
    squares += v.arms[1][0].fixed.value * v.arms[1][0].fixed.value;
    claimed += v.arms[1][0].fixed.se;
  }
  double true_se = sqrt(squares / RUNS - sum * sum / RUNS / RUNS);
  printf("ratio: deviation over %d runs %.5f, claimed %.5f\n", RUNS, true_se, claimed / RUNS);
  assert_true(fabs(claimed / RUNS / true_se - 1) < 0.1);
}

/* CUPED leaves the effect and takes the variance that the past explains. */
static void test_cuped(void **state) {
  (void)state;
  enum { N = 20000 };
  wn_rng rng;
  wn_outcome o = {.with_before = {true}};
  wn_experiment_verdict v;
  wn_experiment e = two_arms(WN_METRIC_VALUE);
  wn_rng_seed(&rng, 5);
  for (size_t i = 0; i < N; i++) {
    double before = wn_rng_normal(&rng);
    double now = 5 + 0.8 * before + 0.6 * wn_rng_normal(&rng) + (i % 2 == 1 ? 0.05 : 0);
    add_unit(&o, i % 2, now, 1, before);
  }
  wn_experiment_verdict_of(&e, &o, &v);
  const wn_arm_verdict *a = &v.arms[1][0];
  printf("CUPED: %.3f of the variance removed, effect %.4f ± %.4f\n", a->variance_removed,
         a->fixed.value, a->fixed.se);
  assert_true(fabs(a->variance_removed - 0.64) < 0.02);
  assert_true(fabs(a->fixed.value - 0.05) < 3 * a->fixed.se);
  assert_true(a->fixed.se < 0.01);
}

/* A/A: looked at after every 50 units up to 5,000, in 600 experiments: at most 5 % ever say
 * something. The fixed test, looked at as often, says something in a third. */
static void test_peeking(void **state) {
  (void)state;
  enum { RUNS = 600, UNITS = 5000, STEP = 50 };
  int always = 0, fixed = 0, hidden = 0;
  wn_rng rng;
  wn_experiment e = two_arms(WN_METRIC_COUNT); /* of 0 or 1: no beta quadrature at each look */
  wn_rng_seed(&rng, 6);
  for (int run = 0; run < RUNS; run++) {
    wn_outcome o = {0};
    wn_experiment_verdict v;
    bool wrong = false, fixed_wrong = false, mismatch = false;
    for (int i = 1; i <= UNITS; i++) {
      add_unit(&o, wn_rng_below(&rng, 2), wn_rng_double(&rng) < 0.15, 1, 0);
      if (i % STEP != 0) continue;
      wn_experiment_verdict_of(&e, &o, &v);
      wrong = wrong || v.arms[1][0].verdict == WN_VERDICT_BETTER ||
              v.arms[1][0].verdict == WN_VERDICT_WORSE;
      fixed_wrong = fixed_wrong || v.arms[1][0].fixed.p < 0.05;
      mismatch = mismatch || v.hidden;
    }
    always += wrong;
    fixed += fixed_wrong;
    hidden += mismatch;
  }
  printf("A/A, %d looks: always valid %.3f, fixed horizon %.3f, hidden %.4f of %d\n", UNITS / STEP,
         (double)always / RUNS, (double)fixed / RUNS, (double)hidden / RUNS, RUNS);
  assert_true(always <= RUNS * 0.05);
  assert_true(fixed > RUNS * 0.2);
  assert_true(hidden <= 3);
}

/* A planned experiment finds what it was planned for. */
static void test_power(void **state) {
  (void)state;
  enum { RUNS = 300 };
  int found = 0;
  wn_rng rng;
  wn_experiment e = two_arms(WN_METRIC_COUNT);
  wn_ratio_sums base = {.n = 1000, .y = 200, .x = 1000, .yy = 200, .xx = 1000, .xy = 200};
  double arm = wn_units_needed(&base, 0.2, 0.05, 0.8);
  assert_true(fabs(arm - wn_sample_size(0.2, 0.24, 0.05, 0.8)) < 0.1 * arm);
  e.planned_units = (uint64_t)(2 * arm);
  wn_rng_seed(&rng, 7);
  for (int run = 0; run < RUNS; run++) {
    wn_outcome o = {0};
    wn_experiment_verdict v;
    for (double i = 0; i < arm; i++) {
      add_unit(&o, 0, wn_rng_double(&rng) < 0.2, 1, 0);
      add_unit(&o, 1, wn_rng_double(&rng) < 0.24, 1, 0);
    }
    wn_experiment_verdict_of(&e, &o, &v);
    assert_true(v.arms[1][0].fixed_shown);
    found += v.arms[1][0].fixed.p < 0.05;
  }
  printf("power at the planned %.0f units: %.3f of %d\n", 2 * arm, (double)found / RUNS, RUNS);
  assert_true(found > RUNS * 0.72 && found < RUNS * 0.88);
}

/* The plan is for all arms together: two of three have reached their part of it. */
static void test_plan_of_three_arms(void **state) {
  (void)state;
  wn_rng rng;
  wn_outcome o = {0};
  wn_experiment_verdict v;
  wn_experiment e = two_arms(WN_METRIC_COUNT);
  static const double shares[3] = {0.5, 0.3, 0.2};
  e.arms_len = 3;
  for (size_t a = 0; a < 3; a++) e.arms[a].share = shares[a];
  wn_rng_seed(&rng, 9);
  for (size_t i = 0; i < 300; i++)
    add_unit(&o, i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 2, wn_rng_double(&rng) < 0.5, 1, 0);
  for (e.planned_units = 300; e.planned_units < 320; e.planned_units += 10) {
    wn_experiment_verdict_of(&e, &o, &v);
    assert_true(v.arms[1][0].fixed_shown == (e.planned_units == 300));
    assert_true(v.arms[2][0].fixed_shown == (e.planned_units == 300));
  }
}

static void test_mismatch_hides(void **state) {
  (void)state;
  wn_rng rng;
  wn_outcome o = {0};
  wn_experiment_verdict v;
  wn_buf text = {0};
  wn_json json;
  wn_experiment e = two_arms(WN_METRIC_CONVERSION);
  wn_rng_seed(&rng, 8);
  for (int i = 0; i < 14000; i++) { /* a tenth of the treated are lost */
    size_t arm = wn_rng_below(&rng, 2);
    if (arm == 1 && wn_rng_below(&rng, 10) == 0) continue;
    add_unit(&o, arm, wn_rng_double(&rng) < 0.2, 1, 0);
  }
  wn_experiment_verdict_of(&e, &o, &v);
  assert_true(v.hidden);
  wn_json_init(&json, &text);
  wn_experiment_verdict_to_json(&e, &o, &v, &json);
  assert_non_null(strstr(wn_buf_c(&text), "\"hidden\":true"));
  assert_non_null(strstr(wn_buf_c(&text), "\"metrics\":[]"));
  assert_null(strstr(wn_buf_c(&text), "\"verdict\""));
  wn_buf_clear(&text);
}

/* Sizes are right over all; the users of one value are not. */
static void test_mismatch_of_a_part_hides(void **state) {
  (void)state;
  wn_rng rng;
  wn_outcome o = {0};
  wn_experiment_verdict v;
  wn_group_outcome groups[3] = {
      {"country=at", {300, 300}}, {"country=fr", {700, 690}}, {"rare=yes", {20, 0}}};
  wn_experiment e = two_arms(WN_METRIC_CONVERSION);
  wn_rng_seed(&rng, 8);
  for (size_t i = 0; i < 2000; i++) add_unit(&o, i % 2, wn_rng_double(&rng) < 0.2, 1, 0);
  o.groups = groups;
  o.groups_len = 3;
  wn_experiment_verdict_of(&e, &o, &v);
  assert_false(v.hidden);
  assert_float_equal(v.worst.srm.p, 1, 0); /* too few of the rare ones to tell */
  groups[0] = (wn_group_outcome){"country=at", {300, 200}};
  wn_experiment_verdict_of(&e, &o, &v);
  assert_true(v.hidden);
  assert_string_equal(v.worst.what, "country=at");
  assert_float_equal(v.worst.srm.p, 2 * 7.744e-6, 1e-8); /* χ² 20, two tests */
}

/* An effect that wears off shows a slope, by the day; a lasting one does not, nor does a week. */
static void test_novelty(void **state) {
  (void)state;
  enum { DAYS = 14, A_DAY = 1000 };
  static wn_day_outcome days[DAYS];
  wn_experiment e = two_arms(WN_METRIC_COUNT);
  for (int fading = 0; fading < 2; fading++) {
    wn_rng rng;
    wn_outcome o = {.days = days, .days_len = DAYS};
    wn_experiment_verdict v;
    memset(days, 0, sizeof days);
    wn_rng_seed(&rng, 6);
    for (int d = 0; d < DAYS; d++) {
      wn_outcome one = {0};
      for (size_t i = 0; i < 2 * A_DAY; i++) {
        double effect = i % 2 == 0 ? 0 : fading ? 0.4 - 0.03 * d : 0.2;
        double y = 1 + effect + wn_rng_normal(&rng);
        add_unit(&one, i % 2, y, 1, 0);
        add_unit(&o, i % 2, y, 1, 0);
      }
      days[d].day = 20000 + d;
      for (size_t a = 0; a < 2; a++) days[d].primary[a] = one.arms[a].metrics[0];
    }
    wn_experiment_verdict_of(&e, &o, &v);
    wn_slope seen = v.arms[1][0].novelty;
    assert_int_equal(seen.p < 0.01, fading);
    if (fading) assert_true(fabs(seen.slope + 0.03) < 0.01);
    o.days_len = 3;
    wn_experiment_verdict_of(&e, &o, &v);
    assert_true(isnan(v.arms[1][0].novelty.slope));
  }
}

static void test_guardrail_and_nothing(void **state) {
  (void)state;
  wn_outcome o = {0};
  wn_experiment_verdict v;
  wn_experiment e = two_arms(WN_METRIC_COUNT);
  wn_experiment_verdict_of(&e, &o, &v); /* nobody came */
  assert_int_equal(v.arms[1][0].verdict, WN_VERDICT_NO_DATA);
  assert_false(v.hidden);
  e.metrics_len = 2;
  e.metrics[1] = (wn_metric_spec){.name = "skips", .lower_is_better = true, .margin = 0.5};
  for (int i = 0; i < 4000; i++) {
    for (size_t m = 0; m < 2; m++) { /* skips: 1.0 and 1.3 a unit: worse, within the margin */
      double y = (i % 2 == 1 ? 1.3 : 1.0) + (i % 4 < 2 ? 0.1 : -0.1);
      wn_ratio_sums *s = &o.arms[i % 2].metrics[m];
      s->n++;
      s->y += y;
      s->x++;
      s->yy += y * y;
      s->xx++;
      s->xy += y;
    }
    o.arms[i % 2].units++;
  }
  wn_experiment_verdict_of(&e, &o, &v);
  assert_int_equal(v.arms[1][0].verdict, WN_VERDICT_BETTER);
  assert_int_equal(v.arms[1][1].verdict, WN_VERDICT_UNDECIDED);
  e.metrics[1].margin = 0.1;
  wn_experiment_verdict_of(&e, &o, &v);
  assert_int_equal(v.arms[1][1].verdict, WN_VERDICT_WORSE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_means_are_welch), cmocka_unit_test(test_ratio_deviation),
      cmocka_unit_test(test_cuped),           cmocka_unit_test(test_peeking),
      cmocka_unit_test(test_power),           cmocka_unit_test(test_plan_of_three_arms),
      cmocka_unit_test(test_mismatch_hides),  cmocka_unit_test(test_mismatch_of_a_part_hides),
      cmocka_unit_test(test_novelty),         cmocka_unit_test(test_guardrail_and_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
