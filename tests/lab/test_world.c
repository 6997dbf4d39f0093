/* The simulated world: what it says of itself is what happens in it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lab/world.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* The exact value of a slate is the mean over many visits, within four standard errors. */
static void test_value_is_the_mean(void **state) {
  (void)state;
  enum { VISITS = 40000, N = 10 };
  wn_world w;
  wn_error err;
  wn_rng rng;
  uint32_t items[N];
  wn_browsed browsed[N];
  wn_world_options options;
  wn_world_options_defaults(&options);
  options.bait_pull = 1;
  options.bait_cost = 1;
  assert_int_equal(wn_world_create(&options, &w, &err), WN_OK);
  wn_rng_seed(&rng, 9);
  for (uint32_t user = 0; user < 3; user++) {
    double sum = 0, squares = 0;
    for (uint32_t k = 0; k < N; k++) items[k] = user * 50 + k;
    for (int v = 0; v < VISITS; v++) {
      double satisfied = 0;
      wn_world_browse(&w, user, items, N, &rng, browsed);
      for (size_t k = 0; k < N; k++) {
        assert_true(browsed[k].clicked || !browsed[k].satisfied);
        satisfied += browsed[k].satisfied;
      }
      sum += satisfied;
      squares += satisfied * satisfied;
    }
    double mean = sum / VISITS, se = sqrt((squares / VISITS - mean * mean) / VISITS);
    assert_true(fabs(mean - wn_world_value(&w, user, items, N)) < 4 * se);
  }
  wn_world_clear(&w);
}

static void test_best_is_best(void **state) {
  (void)state;
  enum { N = 5, ITEMS = 200 };
  wn_world w;
  wn_error err;
  wn_rng rng;
  uint32_t best[N], other[N];
  double scratch[ITEMS];
  wn_world_options options;
  wn_world_options_defaults(&options);
  options.items = ITEMS;
  assert_int_equal(wn_world_create(&options, &w, &err), WN_OK);
  wn_rng_seed(&rng, 10);
  for (uint32_t user = 0; user < 20; user++) {
    wn_world_best(&w, user, best, N, scratch);
    double most = wn_world_value(&w, user, best, N);
    for (int i = 0; i < 50; i++) {
      for (size_t k = 0; k < N; k++) other[k] = (uint32_t)wn_rng_below(&rng, ITEMS);
      assert_true(wn_world_value(&w, user, other, N) <= most);
    }
  }
  wn_world_clear(&w);
}

static void test_same_seed_same_world(void **state) {
  (void)state;
  wn_world a, b, c;
  wn_error err;
  wn_world_options options;
  wn_world_options_defaults(&options);
  assert_int_equal(wn_world_create(&options, &a, &err), WN_OK);
  assert_int_equal(wn_world_create(&options, &b, &err), WN_OK);
  options.seed = 2;
  assert_int_equal(wn_world_create(&options, &c, &err), WN_OK);
  size_t size = (size_t)options.items * WN_WORLD_TOPICS * sizeof(float);
  assert_memory_equal(a.item_taste, b.item_taste, size);
  assert_true(memcmp(a.item_taste, c.item_taste, size) != 0);
  assert_true(fabs(a.activity[options.users - 1] - 1) < 1e-9);
  wn_world_clear(&a);
  wn_world_clear(&b);
  wn_world_clear(&c);
  options.items = 0;
  assert_int_equal(wn_world_create(&options, &a, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "items");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_value_is_the_mean),
      cmocka_unit_test(test_best_is_best),
      cmocka_unit_test(test_same_seed_same_world),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
