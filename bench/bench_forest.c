/* Trees of the heavy ranker: rows a second by each kernel beside XGBoost's own C API, one thread.
 *
 *   bench_forest [ROWS] [TREES] [DEPTH] [FEATURES]      default 200 100 6 30: one slate's
 *
 * XGBoost predicts in place from the same array (XGBoosterPredictFromDense), which is its fastest
 * way for few rows. The rates are medians of many calls, taken in turns. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/trees.h"
#include "model/forest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <xgboost/c_api.h>

#define TRAIN_ROWS 20000
#define CALLS      400
#define WAYS       5 /* XGBoost and four kernels */

typedef struct setting {
  unsigned rows, trees, depth, features;
} setting;

static void check(int code) {
  if (code == 0) return;
  fprintf(stderr, "bench_forest: %s\n", XGBGetLastError());
  exit(1);
}

static float *random_rows(unsigned rows, unsigned features, float *labels) {
  wn_rng rng;
  float *x = wn_reallocarray(NULL, (size_t)rows * features, sizeof *x);
  if (x == NULL) exit(1);
  wn_rng_seed(&rng, 1);
  for (size_t i = 0; i < (size_t)rows * features; i++)
    x[i] = wn_rng_below(&rng, 4) == 0 ? NAN : (float)wn_rng_normal(&rng);
  for (unsigned r = 0; r < rows; r++) {
    float sum = (float)wn_rng_normal(&rng);
    for (unsigned f = 0; f < features; f++) {
      float v = x[(size_t)r * features + f];
      sum += isnan(v) ? 0.1f : f % 3 == 0 ? v * v : f % 3 == 1 ? v : -sinf(2 * v);
    }
    labels[r] = sum > (float)features / 3;
  }
  return x;
}

static BoosterHandle train(const setting *s) {
  BoosterHandle booster;
  DMatrixHandle matrix;
  char depth[16];
  static float labels[TRAIN_ROWS];
  float *x = random_rows(TRAIN_ROWS, s->features, labels);
  snprintf(depth, sizeof depth, "%u", s->depth);
  check(XGDMatrixCreateFromMat(x, TRAIN_ROWS, s->features, NAN, &matrix));
  check(XGDMatrixSetFloatInfo(matrix, "label", labels, TRAIN_ROWS));
  check(XGBoosterCreate(&matrix, 1, &booster));
  const char *params[][2] = {{"objective", "binary:logistic"},
                             {"max_depth", depth},
                             {"tree_method", "hist"},
                             {"nthread", "1"},
                             {"verbosity", "0"},
                             {"min_child_weight", "1"}};
  for (size_t i = 0; i < sizeof params / sizeof *params; i++)
    check(XGBoosterSetParam(booster, params[i][0], params[i][1]));
  for (unsigned i = 0; i < s->trees; i++) check(XGBoosterUpdateOneIter(booster, (int)i, matrix));
  wn_free(x);
  return booster;
}

/* One call of XGBoost; its answer. */
static const float *theirs(BoosterHandle booster, const float *rows, const setting *s) {
  char values[256];
  const bst_ulong *shape;
  bst_ulong dim;
  const float *out;
  snprintf(values, sizeof values,
           "{\"data\": [%" PRIuPTR
           ", true], \"shape\": [%u, %u], \"typestr\": \"<f4\", \"version\": 3}",
           (uintptr_t)rows, s->rows, s->features);
  check(XGBoosterPredictFromDense(
      booster, values,
      "{\"type\": 1, \"cache_id\": 0, \"training\": false, \"iteration_begin\": 0, "
      "\"iteration_end\": 0, \"strict_shape\": false, \"missing\": NaN}",
      NULL, &shape, &dim, &out));
  return out;
}

static int rising(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  static const char *const names[WAYS] = {"XGBoost", "scalar", "avx2", "avx512", "bytes"};
  static double us[WAYS][CALLS];
  setting s = {argc > 1 ? (unsigned)atoi(argv[1]) : 200, argc > 2 ? (unsigned)atoi(argv[2]) : 100,
               argc > 3 ? (unsigned)atoi(argv[3]) : 6, argc > 4 ? (unsigned)atoi(argv[4]) : 30};
  float *labels = wn_calloc(s.rows + 1, sizeof *labels), *out = wn_calloc(s.rows + 1, sizeof *out);
  struct utsname machine;
  wn_forest forest;
  wn_error err = {0};
  bst_ulong len;
  const char *json;
  int major, minor, patch;
  uname(&machine);
  XGBoostVersion(&major, &minor, &patch);
  BoosterHandle booster = train(&s);
  check(XGBoosterSaveModelToBuffer(booster, "{\"format\": \"json\"}", &len, &json));
  if (wn_forest_parse((wn_str){json, len}, &forest, &err) != WN_OK) {
    fprintf(stderr, "bench_forest: %s\n", err.message);
    return 1;
  }
  float *rows = random_rows(s.rows, s.features, labels);
  const float *want = theirs(booster, rows, &s);
  wn_forest_predict(&forest, rows, s.rows, s.features, out);
  double gap = 0;
  for (unsigned r = 0; r < s.rows; r++) /* theirs is the margin */
    gap = fmax(gap, fabs((double)out[r] - 1 / (1 + exp(-(double)want[r]))));
  for (int call = 0; call < CALLS; call++)
    for (int way = 0; way < WAYS; way++) {
      wn_trees_fn *sum = way > 0 && way < 4 ? wn_trees_sum_named(names[way]) : NULL;
      if (way > 0 && sum == NULL && (way < 4 || forest.coded == NULL)) continue;
      uint64_t start = wn_mono_ns();
      if (way == 0)
        (void)theirs(booster, rows, &s);
      else if (way < 4)
        sum(&forest.trees, rows, s.rows, s.features, out);
      else
        wn_coded_sum()(forest.coded, rows, s.rows, s.features, out);
      us[way][call] = (double)(wn_mono_ns() - start) * 1e-3;
    }
  printf(
      "%s %s, Winnow %s, XGBoost %d.%d.%d, one thread\n%u rows, %u features, %u trees of depth %u; "
      "largest difference %.2g\n",
      machine.sysname, machine.machine, WINNOW_VERSION, major, minor, patch, s.rows, s.features,
      forest.trees.count, forest.trees.depth, gap);
  for (int way = 0; way < WAYS; way++) qsort(us[way], CALLS, sizeof **us, rising);
  for (int way = 0; way < WAYS; way++)
    if (us[way][CALLS / 2] > 0)
      printf("%-8s %9.1f us a call, %5.1f times XGBoost\n", names[way], us[way][CALLS / 2],
             us[0][CALLS / 2] / us[way][CALLS / 2]);
  float *contribution = wn_calloc(s.features + 1, sizeof *contribution);
  for (int call = 0; call < CALLS; call++) {
    uint64_t start = wn_mono_ns();
    (void)wn_forest_contributions(&forest, rows + (size_t)(call % (int)s.rows) * s.features,
                                  contribution);
    us[0][call] = (double)(wn_mono_ns() - start) * 1e-3;
  }
  qsort(us[0], CALLS, sizeof **us, rising);
  printf("%-8s %9.1f us a row\n", "Shapley", us[0][CALLS / 2]);
  return 0;
}
