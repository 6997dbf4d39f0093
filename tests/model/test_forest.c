/* Trees against XGBoost's own predictor, with every kernel and with absent values; through a
 * snapshot; and what a model file may get wrong. */
#include "fitting.h"

#include "base/simd/simd.h"
#include "model/boost.h"

#include <xgboost/c_api.h>

enum { ROWS = 700, FEATURES = 9 };

static float rows[ROWS * FEATURES], labels[ROWS];

static void make_rows(uint64_t seed) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  for (size_t i = 0; i < ROWS * FEATURES; i++)
    rows[i] = wn_rng_below(&rng, 5) == 0 ? NAN : (float)wn_rng_normal(&rng);
  for (size_t r = 0; r < ROWS; r++) {
    const float *x = rows + r * FEATURES;
    float a = isnan(x[0]) ? 0.7f : x[0], b = isnan(x[3]) ? -0.2f : x[3];
    labels[r] = a * b + 0.3f * (float)wn_rng_normal(&rng) > 0;
  }
}

typedef struct booster {
  DMatrixHandle matrix;
  BoosterHandle handle;
} booster;

static booster train(const char *objective, const char *depth, int trees) {
  booster b;
  unsigned groups[ROWS / 70];
  for (size_t g = 0; g < ROWS / 70; g++) groups[g] = 70;
  assert_int_equal(XGDMatrixCreateFromMat(rows, ROWS, FEATURES, NAN, &b.matrix), 0);
  assert_int_equal(XGDMatrixSetFloatInfo(b.matrix, "label", labels, ROWS), 0);
  if (strncmp(objective, "rank", 4) == 0)
    assert_int_equal(XGDMatrixSetUIntInfo(b.matrix, "group", groups, ROWS / 70), 0);
  assert_int_equal(XGBoosterCreate(&b.matrix, 1, &b.handle), 0);
  const char *params[][2] = {{"objective", objective},
                             {"max_depth", depth},
                             {"nthread", "1"},
                             {"verbosity", "0"},
                             {"eta", "0.3"}};
  for (size_t i = 0; i < 5; i++)
    assert_int_equal(XGBoosterSetParam(b.handle, params[i][0], params[i][1]), 0);
  for (int i = 0; i < trees; i++)
    assert_int_equal(XGBoosterUpdateOneIter(b.handle, i, b.matrix), 0);
  return b;
}

static void booster_free(booster *b) {
  XGBoosterFree(b->handle);
  XGDMatrixFree(b->matrix);
}

static wn_forest forest_of(const booster *b) {
  bst_ulong len;
  const char *json;
  wn_forest f;
  assert_int_equal(XGBoosterSaveModelToBuffer(b->handle, "{\"format\": \"json\"}", &len, &json), 0);
  assert_ok(wn_forest_parse((wn_str){json, len}, &f, err));
  return f;
}

/* By kernel k, from the base; false: this CPU has none. */
static bool sum_by(size_t k, const wn_forest *f, const wn_coded *coded, size_t n, float *out) {
  static const char *const kernels[] = {"scalar", "avx2", "avx512", "scalar", "avx512vbmi"};
  wn_trees_fn *sum = k < 3 ? wn_trees_sum_named(kernels[k]) : NULL;
  wn_coded_fn *by_code = k < 3 ? NULL : wn_coded_sum_named(kernels[k]);
  for (size_t i = 0; i < n; i++) out[i] = f->base;
  if (sum != NULL) sum(&f->trees, rows, n, FEATURES, out);
  if (by_code != NULL) by_code(coded, rows, n, FEATURES, out);
  return sum != NULL || by_code != NULL;
}

static void compare(const booster *b, const wn_forest *f, bool margin) {
  wn_coded *coded = wn_coded_of(&f->trees);
  bst_ulong len;
  const float *want;
  float got[ROWS];
  /* option 1: before the link */
  assert_int_equal(XGBoosterPredict(b->handle, b->matrix, margin ? 1 : 0, 0, 0, &len, &want), 0);
  assert_int_equal(len, ROWS);
  assert_non_null(coded);
  for (size_t k = 0; margin && k < 5; k++)
    for (size_t n = ROWS; n > 0; n = n > 20 ? n / 3 : n - 1) /* ends of blocks, too */
      if (sum_by(k, f, coded, n, got))
        assert_memory_equal(got, want, n * sizeof *got); /* bit for bit */
  wn_free(coded);
  wn_forest_predict(f, rows, ROWS, FEATURES, got);
  for (size_t i = 0; i < ROWS && !margin; i++) assert_true(fabsf(got[i] - want[i]) <= 1e-6f);
}

static void test_equals_xgboost(void **state) {
  (void)state;
  static const char *const objectives[] = {"binary:logistic", "rank:ndcg", "reg:squarederror"};
  static const char *const depths[] = {"1", "4", "6"};
  make_rows(1);
  for (size_t o = 0; o < 3; o++)
    for (size_t d = 0; d < 3; d++) {
      booster b = train(objectives[o], depths[d], 3 + 4 * (int)d);
      wn_forest f = forest_of(&b);
      assert_int_equal(f.link, o == 0 ? WN_FOREST_LOGISTIC : WN_FOREST_RAW);
      compare(&b, &f, true);
      compare(&b, &f, false);
      wn_forest_clear(&f);
      booster_free(&b);
    }
}

/* Contributions are XGBoost's (pred_contribs), and add up to the margin. */
static void test_contributions(void **state) {
  (void)state;
  make_rows(5);
  booster b = train("binary:logistic", "5", 20);
  wn_forest f = forest_of(&b);
  float margin[ROWS], contribution[FEATURES], gain = 0;
  const float *want;
  bst_ulong len;
  f.link = WN_FOREST_RAW;
  wn_forest_predict(&f, rows, ROWS, FEATURES, margin);
  assert_int_equal(XGBoosterPredict(b.handle, b.matrix, 4, 0, 0, &len, &want),
                   0); /* pred_contribs */
  assert_int_equal(len, ROWS * (FEATURES + 1));
  for (size_t i = 0; i < ROWS; i++) {
    float sum = wn_forest_contributions(&f, rows + i * FEATURES, contribution);
    assert_float_equal(sum, want[i * (FEATURES + 1) + FEATURES], 1e-4);
    for (size_t j = 0; j < FEATURES; j++) {
      sum += contribution[j];
      assert_float_equal(contribution[j], want[i * (FEATURES + 1) + j], 1e-4);
    }
    assert_float_equal(sum, margin[i], 1e-4);
  }
  for (size_t j = 0; j < FEATURES; j++) gain += f.gain[j];
  assert_float_equal(gain, 1, 1e-5);
  wn_forest_clear(&f);
  booster_free(&b);
}

/* Trees behind others, of another depth: their sums add up, and so do contributions. */
static void test_join(void **state) {
  (void)state;
  make_rows(7);
  booster a = train("binary:logistic", "5", 12), b = train("binary:logistic", "2", 7);
  wn_forest first = forest_of(&a), second = forest_of(&b), both;
  static float one[ROWS], two[ROWS], sum[ROWS];
  float contribution[FEATURES], gain = 0;
  first.link = second.link = WN_FOREST_RAW;
  assert_ok(wn_forest_join(&first, &second, &both, err));
  assert_ok(wn_forest_validate(&both, "joined", err));
  assert_int_equal(both.trees.count, 19);
  wn_forest_predict(&first, rows, ROWS, FEATURES, one);
  wn_forest_predict(&second, rows, ROWS, FEATURES, two);
  wn_forest_predict(&both, rows, ROWS, FEATURES, sum);
  for (size_t i = 0; i < ROWS; i++) {
    assert_float_equal(sum[i], one[i] + two[i] - second.base, 1e-4);
    float adds = wn_forest_contributions(&both, rows + i * FEATURES, contribution);
    for (size_t j = 0; j < FEATURES; j++) adds += contribution[j];
    assert_float_equal(adds, sum[i], 1e-4);
  }
  for (size_t j = 0; j < FEATURES; j++) gain += both.gain[j];
  assert_float_equal(gain, 1, 1e-5);
  wn_forest_clear(&both);
  second.features++;
  wn_error why = {0};
  assert_int_equal(wn_forest_join(&first, &second, &both, &why), WN_E_UNSUPPORTED);
  wn_forest_clear(&first);
  wn_forest_clear(&second);
  booster_free(&a);
  booster_free(&b);
}

static double loss_of(const wn_forest *f) {
  static float p[ROWS];
  double sum = 0;
  wn_forest_predict(f, rows, ROWS, FEATURES, p);
  for (size_t i = 0; i < ROWS; i++) sum -= log(labels[i] > 0 ? (double)p[i] : 1 - (double)p[i]);
  return sum / ROWS;
}

/* Boosting that goes on from ten trees is as good as twenty at once; the old ones stay. */
static void test_goes_on(void **state) {
  (void)state;
  wn_forest ten, more, twenty;
  make_rows(9);
  wn_boost_data data = {.feature = rows, .label = labels, .rows = ROWS, .features = FEATURES};
  wn_boost_options o = {.trees = 10, .depth = 3, .eta = 0.2, .seed = 1, .stage = ""};
  assert_ok(wn_boost_forest(&data, &o, NULL, NULL, &ten, err));
  o.warm = &ten;
  assert_ok(wn_boost_forest(&data, &o, NULL, NULL, &more, err));
  o.warm = NULL, o.trees = 20;
  assert_ok(wn_boost_forest(&data, &o, NULL, NULL, &twenty, err));
  assert_int_equal(more.trees.count, 20);
  size_t nodes = ((size_t)1 << ten.trees.depth) - 1;
  assert_memory_equal(more.trees.threshold, ten.trees.threshold, nodes * 10 * sizeof(float));
  assert_true(loss_of(&more) < loss_of(&ten) - 0.05);
  assert_float_equal(loss_of(&more), loss_of(&twenty), 0.02);
  wn_forest_clear(&ten);
  wn_forest_clear(&more);
  wn_forest_clear(&twenty);
}

static void test_snapshot(void **state) {
  (void)state;
  char path[] = "/tmp/winnow-forest-XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  make_rows(2);
  booster b = train("rank:ndcg", "5", 20);
  wn_forest f = forest_of(&b), again;
  wn_snapshot_writer *writer;
  wn_snapshot *snapshot;
  wn_snapshot_about about = {0};
  assert_ok(wn_snapshot_writer_create(path, &writer, err));
  assert_ok(wn_forest_save(&f, "t/forest", writer, err));
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
  assert_ok(wn_snapshot_open(path, &snapshot, err));
  assert_ok(wn_forest_map(snapshot, "t/forest", &again, err));
  compare(&b, &again, true);
  wn_forest_clear(&again);
  wn_snapshot_unref(snapshot);
  wn_forest_clear(&f);
  booster_free(&b);
  unlink(path);
}

#define LEARNER(objective, trees)                                                                  \
  "{\"learner\":{\"learner_model_param\":{\"base_score\":\"5E-1\",\"num_feature\":\"2\"},"         \
  "\"objective\":{\"name\":\"" objective                                                           \
  "\"},\"gradient_booster\":{\"name\":\"gbtree\",\"model\":{\"trees\":[" trees "]}}}}"
#define TREE(left, right, feature, value, missing)                                                 \
  "{\"left_children\":[" left "],\"right_children\":[" right "],\"split_indices\":[" feature       \
  "],\"split_conditions\":[" value "],\"default_left\":[" missing "]}"

static void test_by_hand(void **state) {
  (void)state;
  /* x1 < 2 ? −1 : 4, absent left; and a lone leaf */
  static const char json[] =
      LEARNER("rank:ndcg", TREE("1,-1,-1", "2,-1,-1", "1,0,0", "2,-1,4",
                                "1,0,0") "," TREE("-1", "-1", "0", "0.25", "0"));
  const float x[] = {9, 1, 9, 2, 9, NAN};
  float y[3];
  wn_forest f;
  assert_ok(wn_forest_parse(wn_str_of(json), &f, err));
  wn_forest_predict(&f, x, 3, 2, y);
  assert_true(y[0] == -0.25f && y[1] == 4.75f && y[2] == -0.25f);
  wn_forest_clear(&f);
}

static void test_refusals(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "[]",
      "{}",
      "{\"learner\":{}}",
      LEARNER("rank:ndcg", "{}"),
      LEARNER("rank:ndcg", TREE("1,-1,-1", "2,-1", "1,0,0", "2,-1,4", "1,0,0")),    /* lengths */
      LEARNER("rank:ndcg", TREE("1,-1,-1", "2,-1,-1", "7,0,0", "2,-1,4", "1,0,0")), /* feature */
      LEARNER("rank:ndcg", TREE("1,-1,-1", "3,-1,-1", "1,0,0", "2,-1,4", "1,0,0")), /* child */
      LEARNER("rank:ndcg", TREE("0,-1,-1", "0,-1,-1", "1,0,0", "2,-1,4", "1,0,0")), /* circle */
      LEARNER("rank:ndcg", TREE("-1", "-1", "0", "1e999", "0")),
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    wn_forest f;
    wn_error err = {0};
    assert_int_not_equal(wn_forest_parse(wn_str_of(bad[i]), &f, &err), WN_OK);
    assert_null(f.owned);
    assert_true(err.message[0] != '\0');
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equals_xgboost), cmocka_unit_test(test_contributions),
      cmocka_unit_test(test_join),           cmocka_unit_test(test_goes_on),
      cmocka_unit_test(test_snapshot),       cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
