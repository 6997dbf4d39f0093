/* Fitting objectives on rows whose truth is known: probabilities, samples of failures, places. */
#include "fitting.h"

#include "model/objective_rows.h"

enum { SLATES = 2500, PLACES = 8, TRAITS = 3, WIDTH = TRAITS + 1 };

static double truth(const float *x) {
  return 1 / (1 + exp(1.0 - 1.5 * (double)x[0] + (double)x[1]));
}

/* Slates in the order of x0 and noise, or (one of four) of chance; looks 1 / place. */
static void draw(bool looks, wn_objective_rows *out) {
  size_t n = SLATES * PLACES;
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  *out = (wn_objective_rows){.feature = wn_calloc(n * WIDTH, sizeof(float)),
                             .weight = wn_calloc(n, sizeof(float)),
                             .success = wn_calloc(n, 1),
                             .unit = wn_calloc(n, sizeof(uint64_t)),
                             .place = wn_calloc(n, sizeof(uint16_t)),
                             .propensity = wn_calloc(n, sizeof(float)),
                             .rows = n,
                             .features = WIDTH,
                             .source = WN_OBJECTIVE_IMPRESSIONS};
  for (size_t i = 0; i < n; i++) {
    float *x = out->feature + i * WIDTH;
    size_t k = i % PLACES;
    bool drawn = i / PLACES % 4 == 0;
    for (size_t f = 0; f < TRAITS; f++) x[f] = (float)(4 * wn_rng_double(&rng) - 2);
    if (!drawn) x[0] = (float)fmin(2, fmax(-2, (double)x[0] + 1.5 - 0.4 * (double)k));
    x[TRAITS] = 1;
    out->weight[i] = 1;
    out->place[i] = (uint16_t)(k + 1);
    out->propensity[i] = drawn ? 0.1f : 1;
    out->unit[i] = wn_mix64(i / PLACES);
    out->success[i] = wn_rng_double(&rng) < truth(x) / (double)(looks ? k + 1 : 1);
  }
}

static void fit_objective(const wn_objective_rows *rows, uint32_t method, wn_objective_model *out) {
  wn_fit_env env = {.seed = 1};
  wn_boost_options o = {40, 3, 0.2, false, 1, "", TRAITS, NULL};
  memset(out, 0, sizeof *out);
  out->head.spec.position = method;
  assert_ok(wn_objective_fit(rows, 0, &o, &env, out, err));
}

/* The mean of P − truth, and of its absolute value, over items drawn alike, seen. */
static void judge(const wn_objective_model *m, double *bias, double *error) {
  wn_rng rng;
  wn_rng_seed(&rng, 9);
  *bias = *error = 0;
  for (int i = 0; i < 2000; i++) {
    float x[WIDTH] = {0, 0, 0, 1}, p;
    for (size_t f = 0; f < TRAITS; f++) x[f] = (float)(4 * wn_rng_double(&rng) - 2);
    wn_objective_predict(m, &(wn_feature_rows){.feature = x, .len = 1, .features = WIDTH}, &p);
    assert_true(p > 0 && p < 1);
    *bias += ((double)p - truth(x)) / 2000;
    *error += fabs((double)p - truth(x)) / 2000;
  }
}

static void test_places(void **state) {
  (void)state;
  double bias[WN_POSITION_METHODS], error[WN_POSITION_METHODS];
  for (unsigned method = 0; method < WN_POSITION_METHODS; method++) {
    wn_objective_rows rows;
    wn_objective_model m;
    draw(true, &rows);
    fit_objective(&rows, method, &m);
    assert_int_equal(m.head.source, WN_OBJECTIVE_IMPRESSIONS);
    judge(&m, &bias[method], &error[method]);
    bool factor = method == WN_POSITION_PAL || method == WN_POSITION_IPW;
    assert_int_equal(m.head.by_chance, factor);
    for (uint32_t k = 1; k <= PLACES; k++)
      assert_float_equal(m.head.seen[k], factor ? 1.0 / k : 1, factor ? 0.15 : 1e-9);
    wn_forest_clear(&m.forest);
    wn_objective_rows_clear(&rows);
  }
  assert_true(bias[WN_POSITION_NONE] < -0.15);
  for (unsigned method = WN_POSITION_FEATURE; method < WN_POSITION_METHODS; method++)
    assert_true(error[method] < 0.6 * error[WN_POSITION_NONE] && fabs(bias[method]) < 0.08);
}

/* Without draws by chance the factor is learnt from successes alone. */
static void test_places_without_chance(void **state) {
  (void)state;
  wn_objective_rows rows;
  wn_objective_model m;
  draw(true, &rows);
  for (size_t i = 0; i < rows.rows; i++) rows.propensity[i] = 1;
  for (unsigned method = WN_POSITION_PAL; method <= WN_POSITION_IPW; method++) {
    fit_objective(&rows, method, &m);
    assert_int_equal(m.head.by_chance, 0);
    assert_true(m.head.seen[1] == 1 && m.head.seen[0] == 1);
    for (uint32_t k = 2; k <= PLACES; k++) assert_float_equal(m.head.seen[k], 1.0 / k, 0.2);
    wn_forest_clear(&m.forest);
  }
  wn_objective_rows_clear(&rows);
}

/* One failure of ten, which weighs ten, gives the probabilities of all. */
static void test_sampled_failures(void **state) {
  (void)state;
  wn_objective_rows rows;
  wn_objective_model whole, sampled;
  double bias, error;
  size_t kept = 0;
  draw(false, &rows);
  fit_objective(&rows, WN_POSITION_NONE, &whole);
  judge(&whole, &bias, &error);
  assert_true(fabs(bias) < 0.02 && error < 0.05);
  for (size_t i = 0; i < rows.rows; i++) {
    if (!rows.success[i] && i % 10 != 0) continue;
    memcpy(rows.feature + kept * WIDTH, rows.feature + i * WIDTH, WIDTH * sizeof(float));
    rows.weight[kept] = rows.success[i] ? 1 : 10;
    rows.unit[kept] = rows.unit[i];
    rows.success[kept++] = rows.success[i];
  }
  rows.rows = kept;
  fit_objective(&rows, WN_POSITION_NONE, &sampled);
  judge(&sampled, &bias, &error);
  assert_true(fabs(bias) < 0.04 && error < 0.09);
  wn_forest_clear(&whole.forest);
  wn_forest_clear(&sampled.forest);
  wn_objective_rows_clear(&rows);
}

/* Labels that are not known count for nothing; too few, and there is no model. */
static void test_unknown(void **state) {
  (void)state;
  wn_objective_rows rows;
  wn_objective_model m;
  size_t known = 0;
  draw(false, &rows);
  rows.unknown = wn_calloc(rows.rows, 1);
  for (size_t i = 0; i < rows.rows; i++) {
    rows.unknown[i] = i % 2 == 0;
    if (i % 2 == 0) rows.success[i] = 1;
    known += i % 2;
  }
  fit_objective(&rows, WN_POSITION_NONE, &m);
  double bias, error;
  judge(&m, &bias, &error);
  assert_int_equal(m.head.rows, known);
  assert_true(fabs(bias) < 0.03);
  wn_forest_clear(&m.forest);
  for (size_t i = 0; i < rows.rows; i++) rows.unknown[i] = i > 60;
  fit_objective(&rows, WN_POSITION_NONE, &m);
  assert_true(m.head.source == WN_OBJECTIVE_UNLABELLED && m.forest.trees.count == 0);
  assert_false(wn_objective_rows_enough(&rows, 1));
  wn_objective_rows_clear(&rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_places), cmocka_unit_test(test_places_without_chance),
      cmocka_unit_test(test_sampled_failures), cmocka_unit_test(test_unknown)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
