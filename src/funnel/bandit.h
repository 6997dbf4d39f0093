#ifndef WN_FUNNEL_BANDIT_H
#define WN_FUNNEL_BANDIT_H
/* Bandits over arms with rewards in [0, 1]: choices, and the exact propensities that are logged. */

#include "base/rng.h"
#include <stdbool.h>
#include <stddef.h>

/* Probability that each arm's Beta(α, β) draw is the largest (contest.h, as it is served); NaN: no
 * memory. */
void wn_thompson_propensity(const double *alpha, const double *beta, size_t arms, double *p);
/* ε / arms each, 1 − ε more for the greedy one. */
void wn_epsilon_propensity(double epsilon, size_t arms, size_t greedy, double *p);
/* mean + scale·√(2 ln N / n), Auer et al. 2002; an arm never played: infinite. */
double wn_ucb1_index(double plays, double reward, double total, double scale);

typedef enum wn_bandit_policy {
  WN_BANDIT_RANDOM,
  WN_BANDIT_EPSILON,  /* ε = .1; ties of the greedy choice at random */
  WN_BANDIT_UCB1,     /* scale 1 */
  WN_BANDIT_THOMPSON, /* Beta(1, 1) */
} wn_bandit_policy;
typedef struct wn_arm {
  double plays, reward;
} wn_arm;
size_t wn_bandit_choose(wn_bandit_policy policy, const wn_arm *arms, size_t len, wn_rng *rng);
/* Pseudo-regret Σ (max μ − μ of the chosen) of `steps` plays of Bernoulli arms, at most 64. */
double wn_bandit_regret(wn_bandit_policy policy, const double *mu, size_t arms, size_t steps,
                        wn_rng *rng);
/* A draw of Beta(a, b) by two gamma draws (Marsaglia and Tsang 2000). */
double wn_beta_draw(double a, double b, wn_rng *rng);

#endif
