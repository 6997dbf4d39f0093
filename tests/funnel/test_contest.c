/* Odds of the largest draw against plain integration, and against drawing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/special.h"
#include "funnel/bandit.h"
#include "funnel/contest.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARMS 60

typedef struct twin {
  wn_belief_kind kind;
  const wn_belief *b;
  const bool *in;
  size_t arms, winner;
} twin;

static double density(wn_belief_kind kind, const wn_belief *b, double u) {
  if (kind == WN_BELIEF_NORMAL) return wn_normal_pdf((u - b->a) / b->b) / b->b;
  double lx = u > 0 ? -log1p(exp(-u)) : u - log1p(exp(u)), rest = lx - u;
  return exp(b->a * lx + b->b * rest - wn_lbeta(b->a, b->b));
}

static double cdf(wn_belief_kind kind, const wn_belief *b, double u) {
  if (kind == WN_BELIEF_NORMAL) return wn_normal_cdf((u - b->a) / b->b);
  return u > 0 ? 1 - wn_beta_cdf(1 / (1 + exp(u)), b->b, b->a)
               : wn_beta_cdf(1 / (1 + exp(-u)), b->a, b->b);
}

static double wins_at(double u, const void *ctx) {
  const twin *t = ctx;
  double p = density(t->kind, &t->b[t->winner], u);
  for (size_t i = 0; i < t->arms && p > 0; i++)
    if (i != t->winner && (t->in == NULL || t->in[i])) p *= cdf(t->kind, &t->b[i], u);
  return p;
}

/* Every contest of a set, and of what is left after wins: the largest error. */
static double worst(wn_belief_kind kind, const wn_belief *b, size_t arms, size_t places, double low,
                    double high) {
  static double p[ARMS];
  bool in[ARMS];
  wn_arena arena;
  wn_contest c;
  double most = 0;
  wn_arena_init(&arena, 64u << 20);
  assert_true(wn_contest_init(&c, kind, b, arms, places, &arena));
  for (size_t i = 0; i < arms; i++) in[i] = true;
  for (size_t k = 0; k < places; k++) {
    size_t best = 0;
    double raw = wn_contest_odds(&c, in, p), sum = 0;
    most = fmax(most, fabs(raw - 1));
    for (size_t i = 0; i < arms; i++) {
      twin t = {kind, b, in, arms, i};
      double want = in[i] ? wn_integral(wins_at, &t, low, high, 600) : 0;
      most = fmax(most, fabs(p[i] - want));
      sum += p[i];
      if (p[i] > p[best]) best = i;
    }
    assert_float_equal(sum, 1, 1e-12);
    in[best] = false;
  }
  wn_arena_clear(&arena);
  return most;
}

static void test_betas(void **state) {
  (void)state;
  const wn_belief some[] = {{3, 10}, {5, 12}, {2, 4}, {0.05, 1}, {1, 1}, {0.4, 19.6}};
  assert_true(worst(WN_BELIEF_BETA, some, 6, 4, -60, 30) < 1e-8);
  const wn_belief unlike[] = {{1000, 30000}, {1, 1}, {1, 40}, {900, 30000}, {40, 3}};
  assert_true(worst(WN_BELIEF_BETA, unlike, 5, 3, -25, 25) < 1e-8);
  wn_belief many[ARMS];
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (size_t i = 0; i < ARMS; i++)
    many[i] = (wn_belief){1 + 30 * wn_rng_double(&rng), 20 + 900 * wn_rng_double(&rng)};
  assert_true(worst(WN_BELIEF_BETA, many, 12, 1, -8, 2) < 1e-8);
  wn_arena arena;
  wn_contest c;
  double odds[ARMS];
  wn_arena_init(&arena, 64u << 20);
  assert_true(wn_contest_init(&c, WN_BELIEF_BETA, many, ARMS, 20, &arena));
  assert_float_equal(wn_contest_odds(&c, NULL, odds), 1, 1e-8);
  wn_arena_clear(&arena);
  double alpha[] = {3, 5, 2}, beta[] = {10, 12, 4}, p[3];
  wn_thompson_propensity(alpha, beta, 3, p);
  assert_float_equal(p[0], 0.1716111007927859, 1e-9);
  assert_float_equal(p[1], 0.3468316792035088, 1e-9);
}

static void test_normals(void **state) {
  (void)state;
  const wn_belief some[] = {{0, 1}, {0.5, 0.01}, {-1, 3}, {0.4, 0.2}};
  assert_true(worst(WN_BELIEF_NORMAL, some, 4, 3, -30, 30) < 1e-8);
  const wn_belief even[] = {{2, 0.5}, {2, 0.5}};
  double p[2];
  wn_arena arena;
  wn_contest c;
  wn_arena_init(&arena, 1 << 20);
  assert_true(wn_contest_init(&c, WN_BELIEF_NORMAL, even, 2, 1, &arena));
  assert_float_equal(wn_contest_odds(&c, NULL, p), 1, 1e-9);
  assert_float_equal(p[0], 0.5, 1e-12);
  const bool one[] = {false, true}, none[] = {false, false};
  (void)wn_contest_odds(&c, one, p);
  assert_true(p[0] == 0 && p[1] == 1);
  assert_true(wn_contest_odds(&c, none, p) >= 0);
  wn_arena_clear(&arena);
}

/* The largest of drawn Betas falls as often on each arm as its odds say. */
static void test_drawn(void **state) {
  (void)state;
  enum { ROUNDS = 20000, K = 5 };
  const double alpha[K] = {1.2, 3, 8, 0.3, 20}, beta[K] = {20, 40, 90, 5, 400};
  double p[K], count[K] = {0}, chi2 = 0;
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  wn_thompson_propensity(alpha, beta, K, p);
  for (int i = 0; i < ROUNDS; i++) {
    size_t best = 0;
    double most = -1;
    for (size_t k = 0; k < K; k++) {
      double x = wn_beta_draw(alpha[k], beta[k], &rng);
      if (x > most) most = x, best = k;
    }
    count[best]++;
  }
  for (size_t k = 0; k < K; k++)
    chi2 += (count[k] - ROUNDS * p[k]) * (count[k] - ROUNDS * p[k]) / (ROUNDS * p[k]);
  assert_true(wn_chi2_sf(chi2, K - 1) > 1e-4);
}

/* Regret of the policy as it is served, winners drawn by their odds, against the one that draws
 * Betas: the same distribution. WINNOW_REGRET_SEEDS and _STEPS: 100 and 3,000 are the fixture's. */
static void test_regret(void **state) {
  (void)state;
  enum { K = 5 };
  const double mu[K] = {0.1, 0.12, 0.15, 0.2, 0.25};
  const char *text = getenv("WINNOW_REGRET_SEEDS"), *more = getenv("WINNOW_REGRET_STEPS");
  size_t seeds = text != NULL ? (size_t)atol(text) : 30,
         steps = more != NULL ? (size_t)atol(more) : 400;
  double sum[2] = {0, 0}, squares[2] = {0, 0};
  for (size_t seed = 0; seed < seeds; seed++) {
    wn_rng rng;
    double alpha[K], beta[K], p[K], regret[2] = {0, 0};
    wn_rng_seed(&rng, seed);
    regret[1] = wn_bandit_regret(WN_BANDIT_THOMPSON, mu, K, steps, &rng);
    for (size_t k = 0; k < K; k++) alpha[k] = beta[k] = 1;
    for (size_t t = 0; t < steps; t++) {
      wn_thompson_propensity(alpha, beta, K, p);
      double at = wn_rng_double(&rng);
      size_t arm = 0;
      while (arm + 1 < K && at >= p[arm]) at -= p[arm++];
      bool reward = wn_rng_double(&rng) < mu[arm];
      alpha[arm] += reward;
      beta[arm] += !reward;
      regret[0] += mu[K - 1] - mu[arm];
    }
    for (size_t w = 0; w < 2; w++) {
      sum[w] += regret[w];
      squares[w] += regret[w] * regret[w];
    }
  }
  double n = (double)seeds, variance = 0;
  for (size_t w = 0; w < 2; w++) {
    variance += (squares[w] - sum[w] * sum[w] / n) / (n - 1) / n;
    printf("%s: mean regret %.2f over %zu seeds of %zu steps\n", w == 0 ? "by odds" : "by draws",
           sum[w] / n, seeds, steps);
  }
  assert_true(fabs(sum[0] - sum[1]) / n < 4 * sqrt(variance));
  assert_true(sum[0] / n < 0.6 * (double)steps * (0.25 - 0.164)); /* of random choice */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_betas), cmocka_unit_test(test_normals),
                                     cmocka_unit_test(test_drawn), cmocka_unit_test(test_regret)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
