/* What weights do: known effects are found, intervals hold what they promise, factors are drawn as
 * they should be and come back from the log. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "funnel/perturb.h"
#include "lab/heads.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define HEADS  3
#define USERS  400
#define DAYS   3
#define WORLDS 150

static void name_heads(wn_objectives *all) {
  static const char *const names[HEADS] = {"click", "finish", "buy"};
  all->len = HEADS;
  for (size_t k = 0; k < HEADS; k++) strcpy(all->data[k].name, names[k]);
}

/* Users of different kinds; a slate's chance of a click rises with the weight of clicks and falls
 * with that of buying; finishing hangs on nothing. */
static void world(uint64_t seed, wn_heads *h) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  h->rows.len = 0;
  for (uint64_t user = 0; user < USERS; user++) {
    double kind = 0.1 * wn_rng_normal(&rng);
    for (int day = 0; day < DAYS; day++) {
      wn_head_row row = {.user = user, .slates = 1 + (double)wn_rng_below(&rng, 5)};
      for (size_t k = 0; k < HEADS; k++) row.x[k] = 0.3 * wn_rng_normal(&rng);
      for (int s = 0; s < (int)row.slates; s++) {
        row.y[0] += wn_rng_double(&rng) < 0.4 + kind + 0.2 * row.x[0] - 0.1 * row.x[2];
        row.y[1] += wn_rng_double(&rng) < 0.3;
        row.y[2] += wn_rng_double(&rng) < 0.2 + 0.15 * row.x[2];
      }
      assert_true(wn_vec_push(&h->rows, row));
    }
  }
  wn_heads_estimate(h);
}

static void test_known_effects(void **state) {
  (void)state;
  static const double truth[HEADS][HEADS] = {{0.2, 0, 0}, {0, 0, 0}, {-0.1, 0, 0.15}};
  wn_heads h = {0};
  size_t held = 0;
  double sum[HEADS][HEADS] = {{0}};
  name_heads(&h.objectives);
  for (uint64_t seed = 1; seed <= WORLDS; seed++) {
    world(seed, &h);
    assert_int_equal(h.users, USERS);
    for (size_t k = 0; k < HEADS; k++)
      for (size_t j = 0; j < HEADS; j++) {
        const wn_head_effect *e = &h.effect[k][j];
        held += fabs(e->slope - truth[k][j]) < 1.96 * e->se;
        sum[k][j] += e->slope / WORLDS;
      }
  }
  for (size_t k = 0; k < HEADS; k++)
    for (size_t j = 0; j < HEADS; j++) assert_float_equal(sum[k][j], truth[k][j], 0.015);
  double share = (double)held / (WORLDS * HEADS * HEADS);
  assert_true(share > 0.93 && share < 0.97); /* 1,350 intervals of 95% */
  wn_heads_clear(&h);
}

/* Too little, and weights that never differ: nothing is told. */
static void test_too_little(void **state) {
  (void)state;
  wn_heads h = {0};
  name_heads(&h.objectives);
  wn_heads_estimate(&h);
  assert_true(isnan(h.effect[0][0].slope));
  for (uint64_t user = 0; user < USERS; user++)
    assert_true(wn_vec_push(&h.rows, ((wn_head_row){.user = user, .slates = 2, .y = {1}})));
  wn_heads_estimate(&h);
  assert_true(isnan(h.effect[0][0].slope) && h.mean[0] == 0.5);
  wn_heads_clear(&h);
}

static void test_factors(void **state) {
  (void)state;
  static wn_surface s, own;
  const int64_t day = 86400000;
  double sum = 0, squares = 0, both = 0;
  strcpy(s.name, "home");
  s.perturb = 0.3f;
  s.objectives_len = 2;
  strcpy(s.objectives[0].name, "click");
  strcpy(s.objectives[1].name, "buy");
  s.objectives[0].weight = 0.1f;
  s.objectives[1].weight = -5;
  for (int u = 0; u < 2000; u++) {
    char user[16];
    wn_buf text = {0};
    wn_str rest, name;
    double factor, x[2];
    snprintf(user, sizeof user, "u%d", u);
    assert_true(wn_perturb(&s, wn_str_of(user), 5 * day + u, &own, &text));
    assert_true(wn_perturb_factor(&s, 0, wn_str_of(user), 5 * day) ==
                wn_perturb_factor(&s, 0, wn_str_of(user), 6 * day - 1)); /* the same all day */
    assert_true(wn_perturb_factor(&s, 0, wn_str_of(user), 5 * day) !=
                wn_perturb_factor(&s, 0, wn_str_of(user), 6 * day));
    rest = (wn_str){text.data, text.len};
    for (int k = 0; k < 2; k++) {
      assert_true(wn_perturb_next(&rest, &name, &factor));
      assert_true(wn_str_is(name, s.objectives[k].name));
      assert_float_equal(own.objectives[k].weight, s.objectives[k].weight * (float)factor, 1e-4);
      x[k] = log(factor) / 0.3;
      assert_true(fabs(x[k]) < 2.001);
    }
    assert_false(wn_perturb_next(&rest, &name, &factor));
    sum += x[0];
    squares += x[0] * x[0];
    both += x[0] * x[1];
    wn_buf_clear(&text);
  }
  assert_float_equal(sum / 2000, 0, 0.08);        /* .02 a standard error */
  assert_float_equal(squares / 2000, 0.774, 0.1); /* of a normal within ± 2 */
  assert_float_equal(both / 2000, 0, 0.08);
  wn_buf none = {0};
  assert_false(wn_perturb(&s, (wn_str){0}, day, &own, &none)); /* nobody */
  s.perturb = 0;
  assert_false(wn_perturb(&s, WN_STR("u1"), day, &own, &none));
  wn_str bad = WN_STR("click*"), name;
  double factor;
  assert_false(wn_perturb_next(&bad, &name, &factor));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_effects),
                                     cmocka_unit_test(test_too_little),
                                     cmocka_unit_test(test_factors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
