/* Tuning: points, a search on small data, its journal, and that a search that stops goes on as if
 * it had not. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lab/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { USERS = 150, ITEMS = 60, LEN = 10 };

/* Walks along the items with jumps: what was last matters, what was long ago does not. */
static void dataset(wn_dataset *data) {
  static wn_event events[USERS * LEN];
  wn_rng rng;
  wn_error err;
  size_t n = 0;
  wn_rng_seed(&rng, 4);
  for (uint32_t u = 0; u < USERS; u++) {
    uint32_t item = (uint32_t)wn_rng_below(&rng, ITEMS);
    for (uint32_t k = 0; k < LEN; k++) {
      item = wn_rng_below(&rng, 4) == 0 ? (uint32_t)wn_rng_below(&rng, ITEMS) : (item + 1) % ITEMS;
      events[n] = (wn_event){
          .user = u, .item = item, .value = NAN, .time_ms = 1000 + (int64_t)k * 1000, .seq = n + 1};
      n++;
    }
  }
  assert_int_equal(
      wn_dataset_build_events((wn_event_list){events, n}, NULL, USERS, ITEMS, data, &err), WN_OK);
}

static wn_tune_options options_of(const char *model) {
  wn_tune_options o;
  wn_tune_options_defaults(&o);
  o.space.cls = wn_model_class_find(model);
  wn_params_defaults(o.space.cls, &o.space.start);
  o.k = 10;
  o.trials = 14;
  o.tpe = true;
  o.bootstrap = 50;
  o.threads = 2;
  return o;
}

/* Every range is one of its class's parameters and lies within what that allows. */
static void test_ranges(void **state) {
  (void)state;
  for (size_t i = 0; i < wn_tune_ranges_len; i++) {
    const wn_tune_range *r = &wn_tune_ranges[i];
    const wn_model_class *cls = wn_model_class_find(r->model);
    assert_non_null(cls);
    const wn_param_spec *spec = NULL;
    for (size_t p = 0; p < cls->params_len; p++)
      if (strcmp(cls->params[p].name, r->param) == 0) spec = &cls->params[p];
    if (spec == NULL) fail_msg("%s has no %s", r->model, r->param);
    assert_true(spec->min <= r->low && r->low < r->high && r->high <= spec->max);
    assert_true(r->scale == WN_TUNE_LINEAR || r->low > 0);
  }
}

static void test_points(void **state) {
  (void)state;
  wn_tune_options o = options_of("ridge");
  wn_error err;
  wn_params p, q;
  wn_tune_point(&o.space, 1, 0, &p);
  assert_memory_equal(&p, &o.space.start, sizeof p);
  double least = INFINITY, most = 0;
  for (uint32_t t = 1; t < 200; t++) {
    wn_tune_point(&o.space, 1, t, &p);
    wn_tune_point(&o.space, 1, t, &q);
    assert_memory_equal(&p, &q, sizeof p);
    double lambda = wn_param(o.space.cls, &p, "lambda");
    assert_true(lambda >= 1 && lambda <= 300);
    assert_true(wn_param(o.space.cls, &p, "k") == 128);
    least = fmin(least, lambda), most = fmax(most, lambda);
  }
  assert_true(least < 2 && most > 150); /* both decades */
  /* a fixed one stays, the others keep their points */
  assert_int_equal(wn_tune_searched(&o.space), 3);
  wn_tune_point(&o.space, 1, 5, &p);
  assert_int_equal(wn_tune_fix(&o.space, "ridge.lambda=7", &err), WN_OK);
  wn_tune_point(&o.space, 1, 5, &q);
  assert_true(wn_param(o.space.cls, &q, "lambda") == 7);
  assert_true(wn_param(o.space.cls, &q, "user_exponent") ==
              wn_param(o.space.cls, &p, "user_exponent"));
  assert_int_equal(wn_tune_searched(&o.space), 2);
  assert_int_equal(wn_tune_fix(&o.space, "lambda", &err), WN_E_ARGUMENT);
  assert_int_equal(wn_tune_fix(&o.space, "nothing=1", &err), WN_E_ARGUMENT);
}

/* On a made-up landscape the estimator finds the hill that random points only come near to. */
static double hill(const wn_tune_space *space, const wn_params *p) {
  double x = log(wn_param(space->cls, p, "lambda") / 40);
  double y = wn_param(space->cls, p, "user_exponent") - 0.3, z = wn_param(space->cls, p, "power");
  return -x * x - 20 * y * y - z * z;
}

static double best_of(const wn_tune_space *space, uint64_t seed, bool tpe) {
  enum { TRIALS = 60 };
  static wn_params points[TRIALS];
  static wn_tune_seen seen[TRIALS];
  double values[TRIALS], best = -INFINITY;
  wn_error err;
  for (uint32_t t = 0; t < TRIALS; t++) {
    for (uint32_t i = 0; i < t; i++) seen[i] = (wn_tune_seen){&points[i], values[i]};
    if (!tpe || t < WN_TUNE_TPE_FROM) {
      wn_tune_point(space, seed, t + 1, &points[t]);
    } else {
      assert_int_equal(wn_tune_tpe(space, seed, t + 1, (wn_tune_past){seen, t}, &points[t], &err),
                       WN_OK);
    }
    double lambda = wn_param(space->cls, &points[t], "lambda");
    assert_true(lambda >= 1 && lambda <= 300);
    assert_true(wn_param(space->cls, &points[t], "k") == 128);
    values[t] = hill(space, &points[t]);
    best = fmax(best, values[t]);
  }
  return best;
}

static void test_tpe(void **state) {
  (void)state;
  wn_tune_options o = options_of("ridge");
  double random = 0, tpe = 0;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    random += best_of(&o.space, seed, false);
    tpe += best_of(&o.space, seed, true);
  }
  if (!(tpe > random / 2))
    fail_msg("tpe %g, random %g below the top, mean of 20", tpe / 20, random / 20);
}

static void same_result(const wn_tune_result *a, const wn_tune_result *b) {
  assert_int_equal(a->rows_len, b->rows_len);
  assert_int_equal(a->users, b->users);
  for (size_t i = 0; i < a->rows_len; i++) {
    assert_int_equal(a->rows[i].trial, b->rows[i].trial);
    assert_memory_equal(&a->rows[i].metric, &b->rows[i].metric, sizeof a->rows[i].metric);
    assert_memory_equal(&a->rows[i].difference, &b->rows[i].difference,
                        sizeof a->rows[i].difference);
  }
}

static void test_search(void **state) {
  (void)state;
  static wn_tune_result result, other;
  wn_dataset data;
  wn_error err;
  dataset(&data);
  wn_tune_options o = options_of("covisit");
  if (wn_tune_run(&data, &o, &result, &err) != WN_OK) fail_msg("%s", err.message);
  assert_true(result.users > 100 && result.by_time && result.plan.rungs == 1);
  assert_int_equal(result.rows_len, 15);
  bool start = false;
  for (size_t i = 0; i < result.rows_len; i++) {
    const wn_tune_row *row = &result.rows[i];
    assert_true(i == 0 || row->metric.mean <= result.rows[i - 1].metric.mean);
    start |= row->trial == 0;
    if (row->trial == 0) assert_true(row->difference.mean == 0 && row->difference.high == 0);
  }
  assert_true(start && result.rows[0].metric.mean > 0.3);
  o.threads = 1;
  assert_int_equal(wn_tune_run(&data, &o, &other, &err), WN_OK);
  same_result(&result, &other);
  wn_dataset_clear(&data);
}

static bool stop(void *ctx, const char *stage, double done, double total, const char *unit) {
  (void)stage, (void)done, (void)total, (void)unit;
  int *left = ctx;
  return (*left)-- > 0;
}

static void test_resumed(void **state) {
  (void)state;
  static wn_tune_result whole, resumed;
  char path[] = "/tmp/winnow-tune-XXXXXX";
  int fd = mkstemp(path);
  wn_dataset data;
  wn_error err;
  assert_true(fd >= 0);
  close(fd);
  dataset(&data);
  wn_tune_options o = options_of("ridge-seq");
  assert_int_equal(wn_tune_run(&data, &o, &whole, &err), WN_OK);
  o.journal = path;
  for (int n = 1;; n++) {
    int left = n; /* cut off further and further on, and once in the middle of a line */
    wn_progress progress = {&left, stop};
    o.progress = &progress;
    wn_status status = wn_tune_run(&data, &o, &resumed, &err);
    if (status == WN_OK) break;
    assert_int_equal(status, WN_E_CANCELLED);
    if (n != 4) continue;
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    fputs("{\"trial\":7,\"rung\":0,\"val", f);
    fclose(f);
  }
  same_result(&whole, &resumed);
  /* Another search does not take this journal; garbage is refused with its line. */
  o.seed = 2;
  assert_int_equal(wn_tune_run(&data, &o, &resumed, &err), WN_E_CONFLICT);
  o.seed = 1;
  FILE *f = fopen(path, "ab");
  assert_non_null(f);
  fputs("{\"trial\":\"x\"}\n", f);
  fclose(f);
  assert_int_equal(wn_tune_run(&data, &o, &resumed, &err), WN_E_FORMAT);
  assert_true(err.line > 2);
  unlink(path);
  wn_dataset_clear(&data);
}

static void test_refusals(void **state) {
  (void)state;
  static wn_tune_result result;
  wn_dataset data;
  wn_error err;
  wn_tune_options o = options_of("random");
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 3, 3, &data, &err),
                   WN_OK);
  assert_int_equal(wn_tune_run(&data, &o, &result, &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "nothing to tune"));
  o = options_of("covisit");
  assert_int_equal(wn_tune_run(&data, &o, &result, &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "no user"));
  o.k = 0;
  assert_int_equal(wn_tune_run(&data, &o, &result, &err), WN_E_ARGUMENT);
  o.k = 10;
  o.trials = WN_TUNE_TRIALS_MAX;
  assert_int_equal(wn_tune_run(&data, &o, &result, &err), WN_E_ARGUMENT);
  wn_dataset_clear(&data);
}

static void test_memory(void **state) {
  (void)state;
  static wn_tune_result result;
  wn_dataset data;
  wn_error err;
  dataset(&data);
  wn_tune_options o = options_of("popular");
  o.trials = 3;
  o.threads = 1;
  wn_mem_fail_after(-1);
  assert_int_equal(wn_tune_run(&data, &o, &result, &err), WN_OK);
  long total = wn_mem_allocations();
  for (long n = 0; n < total; n += 1 + n / 8) {
    wn_mem_fail_after(n);
    wn_status status = wn_tune_run(&data, &o, &result, &err);
    wn_mem_fail_after(-1);
    assert_true(status == WN_E_MEMORY || status == WN_OK);
  }
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ranges),  cmocka_unit_test(test_points),
      cmocka_unit_test(test_tpe),     cmocka_unit_test(test_search),
      cmocka_unit_test(test_resumed), cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
