/* Kinds whose expected values are means over simulations: each is run here with seeds of our own,
 * and must fall into a range around the reference. */
#include "lab/ab.h"
#include "funnel/bandit.h"
#include "lab/cases_internal.h"
#include "lab/ope.h"
#include "base/special.h"

#include <stdio.h>
#include <string.h>

#define SEED       20240607
#define BURN_IN    50
#define PEEK_TAU   0.1
#define OPE_REPS   2000
#define SD_SHARE   0.08 /* by which a simulated deviation may be off */
#define COVER_LOW  0.93
#define COVER_HIGH 0.965

static double expected_number(const wn_case *c, const char *object, const char *name) {
  const json_t *from = object != NULL ? json_object_get(c->expected, object) : c->expected;
  return json_number_value(json_object_get(from, name));
}

/* --- off-policy estimators over many logs --- */

typedef struct simulated_ope {
  const double *mu, *pi_b, *pi_e;
  size_t arms, n;
  wn_ope_row *rows;
} simulated_ope;

static size_t draw_arm(const double *p, size_t arms, wn_rng *rng) {
  double u = wn_rng_double(rng);
  size_t a = 0;
  while (a + 1 < arms && u >= p[a]) u -= p[a++];
  return a;
}

/* q: 0 nothing, 1 the true means, 2 a wrong constant. */
static void fill_model(simulated_ope *s, const size_t *arm, int q) {
  double value = 0, constant = 0.5;
  for (size_t a = 0; a < s->arms; a++) value += s->pi_e[a] * (q == 1 ? s->mu[a] : constant);
  for (size_t i = 0; i < s->n; i++) {
    s->rows[i].q = q == 1 ? s->mu[arm[i]] : constant;
    s->rows[i].value = value;
  }
}

static void ope_distributional(wn_case *c) {
  static const char *const names[] = {"ips", "snips", "dr_wrong_q", "dr_true_q"};
  simulated_ope s = {0};
  size_t m;
  wn_rng rng;
  s.mu = wn_case_numbers(c, "mu", &s.arms);
  s.pi_b = wn_case_numbers(c, "pi_b", &m);
  s.pi_e = wn_case_numbers(c, "pi_e", &m);
  s.n = wn_case_count(c, "n");
  s.rows = wn_case_alloc(c, s.n, sizeof *s.rows);
  size_t *arm = wn_case_alloc(c, s.n, sizeof *arm);
  if (!wn_case_ok(c)) return;
  double truth = 0, sum[4] = {0}, squares[4] = {0}, covered = 0;
  for (size_t a = 0; a < s.arms; a++) truth += s.pi_e[a] * s.mu[a];
  wn_rng_seed(&rng, SEED);
  for (int rep = 0; rep < OPE_REPS; rep++) {
    for (size_t i = 0; i < s.n; i++) {
      size_t a = arm[i] = draw_arm(s.pi_b, s.arms, &rng);
      s.rows[i] = (wn_ope_row){s.pi_e[a] / s.pi_b[a], wn_rng_double(&rng) < s.mu[a], 0, 0};
    }
    for (int k = 0; k < 4; k++) {
      if (k >= 2) fill_model(&s, arm, k == 3 ? 1 : 2);
      wn_ope_estimate e = wn_ope_estimate_of(k == 0   ? WN_OPE_IPS
                                             : k == 1 ? WN_OPE_SNIPS
                                                      : WN_OPE_DR,
                                             s.rows, s.n, 0);
      sum[k] += e.value / OPE_REPS;
      squares[k] += e.value * e.value / OPE_REPS;
      if (k == 0) covered += fabs(e.value - truth) <= 1.959963984540054 * e.se;
    }
  }
  wn_case_put(c->got, "truth", truth);
  for (int k = 0; k < 4; k++) {
    char name[32];
    double sd = sqrt(squares[k] - sum[k] * sum[k]);
    snprintf(name, sizeof name, "%s_mean", names[k]);
    wn_case_put(c->got, name, sum[k]);
    wn_case_range(c, name, truth - 4 * sd / sqrt(OPE_REPS), truth + 4 * sd / sqrt(OPE_REPS));
    snprintf(name, sizeof name, "%s_sd", names[k]);
    double said = expected_number(c, NULL, name);
    wn_case_put(c->got, name, sd);
    wn_case_range(c, name, said * (1 - SD_SHARE), said * (1 + SD_SHARE));
  }
  wn_case_put(c->got, "ips_ci_coverage", covered / OPE_REPS);
  wn_case_range(c, "ips_ci_coverage", COVER_LOW, COVER_HIGH);
}

/* --- peeking --- */

typedef struct peek {
  bool fixed, mixture, sequence; /* some look rejected */
} peek;

/* One A/A test of n pairs of N(0, 1), looked at `looks` times, or all the time. */
static peek one_test(size_t n, size_t looks, wn_rng *rng) {
  peek out = {false, false, false};
  double a = 0, b = 0, aa = 0, bb = 0;
  for (size_t i = 1; i <= n; i++) {
    double x = wn_rng_normal(rng), y = wn_rng_normal(rng), k = (double)i;
    a += x;
    b += y;
    aa += x * x;
    bb += y * y;
    double d = (b - a) / k;
    out.mixture |= wn_msprt_log(d, k, 1, PEEK_TAU) >= -log(0.05);
    if (i < 2) continue;
    double se = sqrt(((aa - a * a / k) + (bb - b * b / k)) / (k - 1) / k);
    if (i % (n / looks) == 0) out.fixed |= fabs(d / se) > 1.959963984540054;
    if (i >= BURN_IN && !out.sequence)
      out.sequence = wn_confidence_sequence(d, se, 2 * k, 2 * (double)n, 0.05).p <= 0.05;
  }
  return out;
}

static void distributional(wn_case *c) {
  double reps = (double)wn_case_count(c, "reps"), fixed = 0, mixture = 0, sequence = 0;
  size_t n = wn_case_count(c, "n"), looks = wn_case_count(c, "looks");
  wn_rng rng;
  if (looks == 0 || looks > n) c->wrong = "looks";
  if (!wn_case_ok(c)) return;
  wn_rng_seed(&rng, SEED);
  for (double r = 0; r < reps; r++) {
    peek one = one_test(n, looks, &rng);
    fixed += one.fixed / reps;
    mixture += one.mixture / reps;
    sequence += one.sequence / reps;
  }
  wn_case_put(c->got, "fixed_z_any_reject", fixed);
  wn_case_put(c->got, "msprt_any_reject", mixture);
  wn_case_put(c->got, "asympcs_any_reject", sequence);
  wn_case_range(c, "fixed_z_any_reject", 0.22, 0.28);
  wn_case_range(c, "msprt_any_reject", 0, 0.055);
  wn_case_range(c, "asympcs_any_reject", 0, 0.055);
}

/* --- regret --- */

/* Mean, deviation and 95th percentile of what the policy loses over the seeds. Deviation and
 * percentile of a policy that is stuck now and then vary much: within a factor of 2 and 1.5. */
static void put_regret(wn_case *c, const char *name, wn_bandit_policy policy, const double *mu,
                       size_t arms) {
  size_t steps = wn_case_count(c, "T"), seeds = wn_case_count(c, "seeds");
  double *regret = wn_case_alloc(c, seeds, sizeof *regret),
         *rank = wn_case_alloc(c, seeds, sizeof *rank);
  char path[64];
  json_t *object = json_object();
  json_object_set_new(c->got, name, object);
  if (!wn_case_ok(c) || seeds < 2) return;
  for (size_t s = 0; s < seeds; s++) {
    wn_rng rng;
    wn_rng_seed(&rng, SEED + s);
    regret[s] = wn_bandit_regret(policy, mu, arms, steps, &rng);
  }
  wn_moments m = wn_moments_of(regret, seeds);
  double said = expected_number(c, name, "mean"), sd = expected_number(c, name, "sd");
  double least = INFINITY;
  if (wn_mid_ranks(regret, seeds, rank))
    for (size_t s = 0; s < seeds; s++)
      if (rank[s] >= 0.95 * (double)seeds) least = fmin(least, regret[s]);
  wn_case_put(object, "mean", m.mean);
  wn_case_put(object, "sd", sqrt(m.var));
  wn_case_put(object, "p95", least);
  snprintf(path, sizeof path, "%s.mean", name);
  wn_case_range(c, path, said - 4 * sd / sqrt((double)seeds), said + 4 * sd / sqrt((double)seeds));
  snprintf(path, sizeof path, "%s.sd", name);
  wn_case_range(c, path, sd / 2, sd * 2);
  snprintf(path, sizeof path, "%s.p95", name);
  wn_case_range(c, path, expected_number(c, name, "p95") / 1.5,
                expected_number(c, name, "p95") * 1.5);
}

static void regret(wn_case *c) {
  static const struct {
    const char *name;
    wn_bandit_policy policy;
  } all[] = {{"random", WN_BANDIT_RANDOM},
             {"eps", WN_BANDIT_EPSILON},
             {"ucb1", WN_BANDIT_UCB1},
             {"ts", WN_BANDIT_THOMPSON}};
  size_t arms;
  double *mu = wn_case_numbers(c, "mu", &arms), best = 0, mean = 0, bound = 0;
  for (size_t i = 0; wn_case_ok(c) && i < arms; i++) {
    best = fmax(best, mu[i]);
    mean += mu[i] / (double)arms;
  }
  for (size_t i = 0; wn_case_ok(c) && i < arms; i++)
    if (mu[i] < best)
      bound += (best - mu[i]) /
               (mu[i] * log(mu[i] / best) + (1 - mu[i]) * log((1 - mu[i]) / (1 - best)));
  for (size_t i = 0; i < 4 && wn_case_ok(c); i++)
    put_regret(c, all[i].name, all[i].policy, mu, arms);
  double steps = (double)wn_case_count(c, "T");
  wn_case_put(c->got, "random_exact", steps * (best - mean));
  wn_case_put(c->got, "lai_robbins_constant_times_lnT", bound * log(steps));
}

const wn_case_kind wn_cases_simulated[] = {{"ope_distributional", ope_distributional},
                                           {"distributional", distributional},
                                           {"bandit_regret_distribution", regret},
                                           {NULL, NULL}};
