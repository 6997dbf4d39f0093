/* Bandits; sources in bandit.h. */
#include "funnel/bandit.h"

#include "funnel/contest.h"

#include <math.h>

#define ARMS_MAX          64
#define EPSILON           0.1
#define CONTEST_BYTES_MAX ((size_t)64 << 20)

void wn_thompson_propensity(const double *alpha, const double *beta, size_t arms, double *p) {
  wn_arena arena;
  wn_contest contest;
  wn_arena_init(&arena, CONTEST_BYTES_MAX);
  wn_belief *beliefs = wn_arena_alloc(&arena, (arms + 1) * sizeof *beliefs);
  for (size_t i = 0; beliefs != NULL && i < arms; i++) beliefs[i] = (wn_belief){alpha[i], beta[i]};
  if (beliefs != NULL && wn_contest_init(&contest, WN_BELIEF_BETA, beliefs, arms, 1, &arena))
    (void)wn_contest_odds(&contest, NULL, p);
  else
    for (size_t i = 0; i < arms; i++) p[i] = NAN;
  wn_arena_clear(&arena);
}

void wn_epsilon_propensity(double epsilon, size_t arms, size_t greedy, double *p) {
  for (size_t i = 0; i < arms; i++) p[i] = epsilon / (double)arms + (i == greedy ? 1 - epsilon : 0);
}

double wn_ucb1_index(double plays, double reward, double total, double scale) {
  return plays > 0 ? reward / plays + scale * sqrt(2 * log(total) / plays) : INFINITY;
}

static double gamma_draw(double shape, wn_rng *rng) {
  if (shape < 1) return gamma_draw(shape + 1, rng) * pow(1 - wn_rng_double(rng), 1 / shape);
  double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
  for (;;) {
    double x = wn_rng_normal(rng), v = 1 + c * x;
    if (v <= 0) continue;
    v = v * v * v;
    if (log(1 - wn_rng_double(rng)) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
  }
}

double wn_beta_draw(double a, double b, wn_rng *rng) {
  double x = gamma_draw(a, rng), y = gamma_draw(b, rng);
  return x + y > 0 ? x / (x + y) : 0.5;
}

static double index_of(wn_bandit_policy policy, const wn_arm *arm, double total, wn_rng *rng) {
  if (policy == WN_BANDIT_UCB1) return wn_ucb1_index(arm->plays, arm->reward, total, 1);
  if (policy == WN_BANDIT_THOMPSON)
    return wn_beta_draw(1 + arm->reward, 1 + arm->plays - arm->reward, rng);
  return arm->plays > 0 ? arm->reward / arm->plays : 0;
}

size_t wn_bandit_choose(wn_bandit_policy policy, const wn_arm *arms, size_t len, wn_rng *rng) {
  size_t best = 0, ties = 0;
  double most = -INFINITY, total = 0;
  if (policy == WN_BANDIT_RANDOM || (policy == WN_BANDIT_EPSILON && wn_rng_double(rng) < EPSILON))
    return (size_t)wn_rng_below(rng, len);
  for (size_t i = 0; i < len; i++) total += arms[i].plays;
  for (size_t i = 0; i < len; i++) {
    double index = index_of(policy, &arms[i], total, rng);
    if (index < most) continue;
    ties = index > most ? 1 : ties + 1;
    if (ties == 1 || wn_rng_below(rng, ties) == 0) best = i;
    most = index;
  }
  return best;
}

double wn_bandit_regret(wn_bandit_policy policy, const double *mu, size_t arms, size_t steps,
                        wn_rng *rng) {
  wn_arm state[ARMS_MAX] = {{0, 0}};
  double best = 0, regret = 0;
  if (arms == 0 || arms > ARMS_MAX) return NAN;
  for (size_t i = 0; i < arms; i++) best = fmax(best, mu[i]);
  for (size_t t = 0; t < steps; t++) {
    size_t arm = wn_bandit_choose(policy, state, arms, rng);
    state[arm].plays++;
    state[arm].reward += wn_rng_double(rng) < mu[arm];
    regret += best - mu[arm];
  }
  return regret;
}
