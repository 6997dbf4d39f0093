/* The linear bandit: its fit against elimination, and its regret in a world that is linear. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "funnel/linear.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define D WN_LINEAR

static void learn(wn_linear *sums, const wn_context_row *row, bool answered) {
  for (size_t i = 0; i < D; i++) {
    for (size_t j = 0; j <= i; j++) sums->a[i][j] += (double)row->x[i] * row->x[j];
    if (answered) sums->b[i] += row->x[i];
  }
  sums->shown++;
}

static void random_row(wn_context_row *row, wn_rng *rng) {
  row->x[0] = 1024;
  for (size_t i = 1; i < D; i++) row->x[i] = (int16_t)wn_rng_below(rng, 1025);
}

/* Solves (I + Σ x xᵀ) y = right by Gauss and Jordan. */
static void eliminate(const wn_linear *sums, const double *right, double *y) {
  double m[D][D + 1];
  for (size_t i = 0; i < D; i++) {
    for (size_t j = 0; j < D; j++)
      m[i][j] = (i >= j ? sums->a[i][j] : sums->a[j][i]) / 1048576 + (i == j);
    m[i][D] = right[i];
  }
  for (size_t k = 0; k < D; k++)
    for (size_t i = 0; i < D; i++) {
      double factor = m[i][k] / m[k][k];
      for (size_t j = k; i != k && j <= D; j++) m[i][j] -= factor * m[k][j];
    }
  for (size_t i = 0; i < D; i++) y[i] = m[i][D] / m[i][i];
}

static void test_fit(void **state) {
  (void)state;
  wn_linear sums = {.shown = 0};
  wn_linear_fit fit = {{{0}}, {0}};
  wn_context_row row;
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  random_row(&row, &rng);
  wn_linear_solve(&sums, &fit);
  double square = 0;
  for (size_t i = 0; i < D; i++) square += row.x[i] * row.x[i] / 1048576.0;
  wn_belief nothing = wn_linear_belief(&fit, &row, 0.5); /* A = I */
  assert_float_equal(nothing.a, 0, 1e-15);
  assert_float_equal(nothing.b, 0.5 * sqrt(square), 1e-12);
  for (int n = 0; n < 300; n++) {
    random_row(&row, &rng);
    learn(&sums, &row, n % 7 == 0);
    double x[D], b[D], y[D], w[D], mean = 0, variance = 0;
    for (size_t i = 0; i < D; i++) {
      x[i] = row.x[i] / 1024.0;
      b[i] = sums.b[i] / 1024;
    }
    eliminate(&sums, x, y);
    eliminate(&sums, b, w);
    for (size_t i = 0; i < D; i++) {
      mean += w[i] * x[i];
      variance += x[i] * y[i];
    }
    wn_linear_solve(&sums, &fit);
    wn_belief belief = wn_linear_belief(&fit, &row, 2);
    assert_float_equal(belief.a, mean, 1e-10);
    assert_float_equal(belief.b, 2 * sqrt(variance), 1e-10);
  }
}

/* Mean regret a step of `policy` (0 LinUCB, 1 linear Thompson, 2 random) among 10 items. */
static double regret(int policy, uint64_t seed, size_t steps) {
  enum { K = 10 };
  wn_linear sums = {.shown = 0};
  wn_linear_fit fit = {{{0}}, {0}};
  wn_rng rng;
  double truth[D], lost = 0;
  wn_arena arena;
  wn_arena_init(&arena, 16u << 20);
  wn_rng_seed(&rng, seed);
  for (size_t i = 0; i < D; i++) truth[i] = i == 0 ? 0.05 : 0.15 * wn_rng_double(&rng) - 0.05;
  for (size_t t = 0; t < steps; t++) {
    wn_context_row row[K];
    wn_belief belief[K];
    double rate[K], best = 0, p[K];
    size_t chosen = 0;
    wn_linear_solve(&sums, &fit);
    for (size_t k = 0; k < K; k++) {
      random_row(&row[k], &rng);
      rate[k] = 0;
      for (size_t i = 0; i < D; i++) rate[k] += truth[i] * row[k].x[i] / 1024.0;
      best = fmax(best, rate[k]);
      belief[k] = wn_linear_belief(&fit, &row[k], 0.5);
      if (belief[k].a + belief[k].b > belief[chosen].a + belief[chosen].b) chosen = k;
    }
    if (policy == 1) {
      wn_contest c;
      wn_arena_reset(&arena);
      assert_true(wn_contest_init(&c, WN_BELIEF_NORMAL, belief, K, 1, &arena));
      assert_float_equal(wn_contest_odds(&c, NULL, p), 1, 1e-8);
      double at = wn_rng_double(&rng);
      for (chosen = 0; chosen + 1 < K && at >= p[chosen]; chosen++) at -= p[chosen];
    }
    if (policy == 2) chosen = (size_t)wn_rng_below(&rng, K);
    learn(&sums, &row[chosen], wn_rng_double(&rng) < rate[chosen]);
    lost += best - rate[chosen];
  }
  wn_arena_clear(&arena);
  return lost / (double)steps;
}

/* Over many seeds both lose a part of what chance loses, and less the longer they learn.
 * WINNOW_REGRET_SEEDS, WINNOW_REGRET_STEPS. */
static void test_regret(void **state) {
  (void)state;
  const char *text = getenv("WINNOW_REGRET_SEEDS"), *more = getenv("WINNOW_REGRET_STEPS");
  size_t seeds = text != NULL ? (size_t)atol(text) : 12;
  size_t steps = more != NULL ? (size_t)atol(more) : 1500;
  double mean[3] = {0}, early[3] = {0};
  for (int policy = 0; policy < 3; policy++) {
    for (uint64_t seed = 0; seed < seeds; seed++) {
      mean[policy] += regret(policy, seed, steps) / (double)seeds;
      early[policy] += regret(policy, seed, steps / 5) / (double)seeds;
    }
    printf("%s: mean regret %.4f a step over %zu steps, %.4f over the first fifth\n",
           policy == 0   ? "LinUCB"
           : policy == 1 ? "linear Thompson"
                         : "random",
           mean[policy], steps, early[policy]);
  }
  assert_true(mean[0] < 0.7 * mean[2] && mean[1] < 0.8 * mean[2]);
  assert_true(mean[0] < early[0] && mean[1] < early[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_fit), cmocka_unit_test(test_regret)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
