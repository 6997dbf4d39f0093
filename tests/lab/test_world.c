/* The simulated world: what it says of itself is what happens in it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lab/crowd.h"
#include "lab/world_fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The exact value of a slate is the mean over many visits, within four standard errors. */
static void test_value_is_the_mean(void **state) {
  (void)state;
  enum { VISITS = 40000, N = 10 };
  wn_world w;
  wn_error err;
  wn_rng rng;
  uint32_t items[N];
  wn_browsed browsed[N];
  wn_visitor v = {0};
  wn_world_options options;
  wn_world_options_defaults(&options);
  options.bait_pull = 1;
  options.bait_cost = 1;
  assert_int_equal(wn_world_create(&options, &w, &err), WN_OK);
  wn_rng_seed(&rng, 9);
  for (uint32_t user = 0; user < 3; user++) {
    double sum = 0, squares = 0, any = 0;
    v.user = user;
    for (uint32_t k = 0; k < N; k++) items[k] = user * 50 + k;
    for (int i = 0; i < VISITS; i++) {
      double satisfied = 0;
      bool clicked = false;
      wn_world_browse(&w, &v, items, N, &rng, browsed);
      for (size_t k = 0; k < N; k++) {
        assert_true(browsed[k].clicked || !browsed[k].satisfied);
        satisfied += browsed[k].satisfied;
        clicked |= browsed[k].clicked;
      }
      sum += satisfied;
      any += clicked;
      squares += satisfied * satisfied;
    }
    double mean = sum / VISITS, se = sqrt((squares / VISITS - mean * mean) / VISITS);
    assert_true(fabs(mean - wn_world_value(&w, &v, items, N)) < 4 * se);
    double share = any / VISITS;
    assert_true(fabs(share - wn_world_any_click(&w, &v, items, N)) <
                4 * sqrt(share * (1 - share) / VISITS));
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
    const wn_visitor v = {.user = user};
    wn_world_best(&w, &v, best, N, scratch);
    double most = wn_world_value(&w, &v, best, N);
    for (int i = 0; i < 50; i++) {
      for (size_t k = 0; k < N; k++) other[k] = (uint32_t)wn_rng_below(&rng, ITEMS);
      assert_true(wn_world_value(&w, &v, other, N) <= most);
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
  double sum = 0;
  for (uint32_t u = 0; u < options.users; u++) sum += a.activity[u];
  assert_true(fabs(sum - 1) < 1e-9);
  wn_world_clear(&a);
  wn_world_clear(&b);
  wn_world_clear(&c);
  options.items = 0;
  assert_int_equal(wn_world_create(&options, &a, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "items");
}

/* Items are clicked after their birth alone, less as they age, and once where that is said. */
static void test_lives(void **state) {
  (void)state;
  wn_world w;
  wn_error err;
  wn_bitset taken;
  wn_world_options options;
  wn_world_options_defaults(&options);
  options.days = 10;
  options.born_share = 0.5;
  options.life_days = 5;
  options.ageing = 0.1;
  options.once = true;
  assert_int_equal(wn_world_create(&options, &w, &err), WN_OK);
  assert_true(wn_bitset_init(&taken, options.items));
  uint32_t late = 0, alive = 0;
  for (uint32_t i = 0; i < options.items; i++) {
    double born = (double)w.born[i];
    late += born > 0;
    alive += wn_world_alive(&w, i, 10);
    assert_false(wn_world_alive(&w, i, born - 0.01));
    assert_true(wn_world_alive(&w, i, born + 0.01));
    assert_false(wn_world_alive(&w, i, born + 5.01));
  }
  assert_in_range(late, 200, 300);
  assert_in_range(alive, 80, 170);
  wn_visitor young = {.user = 1, .day = (double)w.born[7], .taken = &taken}, old = young;
  old.day += 4;
  assert_true(wn_world_click(&w, &old, 7) < wn_world_click(&w, &young, 7));
  wn_bitset_set(&taken, 7);
  assert_true(wn_world_click(&w, &young, 7) == 0);
  wn_bitset_clear(&taken);
  wn_world_clear(&w);
}

/* With a trap, what is short is finished whether it satisfied or not. */
static void test_trap(void **state) {
  (void)state;
  wn_world w;
  wn_error err;
  wn_rng rng;
  wn_world_options options;
  wn_world_options_defaults(&options);
  options.trap = 2;
  options.likes = 0.5;
  assert_int_equal(wn_world_create(&options, &w, &err), WN_OK);
  wn_rng_seed(&rng, 4);
  uint32_t item = 0;
  double wrong[2] = {0}, liked = 0, satisfied = 0;
  for (int kind = 0; kind < 2; kind++) {
    const wn_visitor v = {.user = 0};
    w.length[item] = kind == 0 ? 2.0f : -2.0f;
    for (int i = 0; i < 20000; i++) {
      wn_browsed b;
      wn_world_browse(&w, &v, &item, 1, &rng, &b);
      wrong[kind] += b.finished && !b.satisfied;
      liked += b.liked;
      satisfied += b.satisfied;
      assert_true(!b.liked || b.satisfied);
    }
  }
  assert_true(wrong[1] > 5 * wrong[0]);
  assert_true(fabs(liked / satisfied - 0.5) < 0.05);
  wn_world_clear(&w);
}

/* The crowd comes in order, as often as it should, and leaves when it gets nothing. */
static void test_crowd(void **state) {
  (void)state;
  wn_world w;
  wn_crowd crowd;
  wn_visitor v;
  wn_error err;
  wn_browsed nothing = {.clicked = true}, fine = {.clicked = true, .satisfied = true};
  wn_world_options options;
  uint32_t item = 3;
  double last = 0;
  wn_world_options_defaults(&options);
  options.users = 50;
  options.churn = 1;
  options.drift = 0.5;
  options.once = true;
  assert_int_equal(wn_world_create(&options, &w, &err), WN_OK);
  assert_int_equal(wn_crowd_create(&w, 100, 5, &crowd, &err), WN_OK);
  for (int i = 0; i < 5000; i++) {
    assert_true(wn_crowd_next(&crowd, &v));
    assert_true(v.day >= last);
    last = v.day;
    wn_crowd_visited(&crowd, &item, &fine, 1);
    assert_true(wn_bitset_test(v.taken, item));
  }
  assert_true(fabs(last - 50) < 5);
  for (uint32_t u = 0; u < options.users; u++) { /* drift turns tastes and keeps their length */
    double norm = 0;
    for (size_t d = 0; d < w.topics; d++)
      norm += (double)w.user_taste[u * w.topics + d] * (double)w.user_taste[u * w.topics + d];
    assert_true(fabs(norm - 1) < 1e-4);
  }
  for (int i = 0; i < 50; i++) {
    assert_true(wn_crowd_next(&crowd, &v));
    wn_crowd_visited(&crowd, &item, &nothing, 1);
  }
  assert_false(wn_crowd_next(&crowd, &v));
  wn_crowd_clear(&crowd);
  wn_world_clear(&w);
}

/* A world fitted to two groups that take two halves of the items: so do its users. */
static void test_fit(void **state) {
  (void)state;
  wn_world w;
  wn_error err;
  wn_rng rng;
  wn_world_options options;
  char path[] = "/tmp/winnow-world-XXXXXX.csv";
  int file = mkstemps(path, 4);
  FILE *out = fdopen(file, "w");
  assert_non_null(out);
  fputs("user,item,type,value,time\n", out);
  for (int i = 0; i < 40; i++) /* so that item numbers are those of the world */
    fprintf(out, "u%d,i%d,rating,4,%d\n", i % 2, i, 1700000000 + i);
  wn_rng_seed(&rng, 1);
  for (int u = 2; u < 60; u++)
    for (int k = 0; k < 12; k++)
      fprintf(out, "u%d,i%d,rating,4,%d\n", u, 2 * (int)wn_rng_below(&rng, 20) + u % 2,
              1700001000 + k);
  fclose(out);
  wn_world_options_defaults(&options);
  assert_int_equal(wn_world_fit(&options, path, &w, &err), WN_OK);
  assert_int_equal(w.options.users, 60);
  assert_int_equal(w.options.items, 40);
  double own = 0, other = 0;
  for (uint32_t u = 0; u < 60; u++)
    for (uint32_t i = 0; i < 40; i++)
      *(u % 2 == i % 2 ? &own : &other) += wn_world_click(&w, &(wn_visitor){.user = u}, i);
  print_message("own %g, other %g\n", own, other);
  assert_true(own > 2 * other);
  wn_world_clear(&w);
  unlink(path);
  assert_int_not_equal(wn_world_fit(&options, path, &w, &err), WN_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_value_is_the_mean),
      cmocka_unit_test(test_best_is_best),
      cmocka_unit_test(test_same_seed_same_world),
      cmocka_unit_test(test_lives),
      cmocka_unit_test(test_trap),
      cmocka_unit_test(test_crowd),
      cmocka_unit_test(test_fit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
