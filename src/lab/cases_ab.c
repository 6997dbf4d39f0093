/* Kinds of ab.h and of many tests at once. */
#include "lab/ab.h"
#include "lab/cases_internal.h"
#include "base/special.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALPHA 0.05

/* Two arms' successes and sizes. */
static bool two_arms(wn_case *c, double x[2], double n[2]) {
  size_t lens[2];
  double *xs = wn_case_numbers(c, "x", &lens[0]), *ns = wn_case_numbers(c, "n", &lens[1]);
  if (lens[0] != 2 || lens[1] != 2) c->wrong = lens[0] != 2 ? "x" : "n";
  if (!wn_case_ok(c)) return false;
  memcpy(x, xs, 2 * sizeof *x);
  memcpy(n, ns, 2 * sizeof *n);
  return true;
}

static double alpha_of(const wn_case *c) {
  const json_t *alpha = json_object_get(c->input, "alpha");
  return json_is_number(alpha) ? json_number_value(alpha) : ALPHA;
}

static void welch_t(wn_case *c) {
  size_t n, m;
  double *control = wn_case_numbers(c, "control", &n),
         *treatment = wn_case_numbers(c, "treatment", &m);
  if (n < 2 || m < 2) c->wrong = "control";
  if (!wn_case_ok(c)) return;
  wn_difference d = wn_welch(wn_moments_of(control, n), wn_moments_of(treatment, m), alpha_of(c));
  wn_case_put(c->got, "diff", d.absolute.value);
  wn_case_put(c->got, "se", d.absolute.se);
  wn_case_put(c->got, "dof", d.dof);
  wn_case_put(c->got, "t", d.t);
  wn_case_put(c->got, "p", d.absolute.p);
  wn_case_put_pair(c->got, "ci95", d.absolute.low, d.absolute.high);
  wn_case_put(c->got, "rel_diff", d.relative.value);
  wn_case_put(c->got, "rel_se", d.relative.se);
  wn_case_put(c->got, "rel_p", d.relative.p);
  wn_case_put_pair(c->got, "rel_ci95", d.relative.low, d.relative.high);
}

static void proportion(wn_case *c) {
  double x[2], n[2];
  if (!two_arms(c, x, n)) return;
  wn_proportions p = wn_two_proportions(x, n, alpha_of(c));
  wn_case_put(c->got, "z_pooled", p.z_pooled);
  wn_case_put(c->got, "p_pooled", p.p_pooled);
  wn_case_put(c->got, "z_unpooled", p.z_unpooled);
  wn_case_put(c->got, "p_unpooled", p.p_unpooled);
  wn_case_put(c->got, "chi2", p.chi2);
  wn_case_put_pair(c->got, "ci95_wald", p.wald_low, p.wald_high);
  wn_case_put_pair(c->got, "newcombe_ci95", p.newcombe_low, p.newcombe_high);
}

static void cuped(wn_case *c) {
  size_t n[2], m[2];
  const double *y[2] = {wn_case_numbers(c, "y_control", &n[0]),
                        wn_case_numbers(c, "y_treatment", &n[1])};
  double *x[2] = {wn_case_numbers(c, "x_control", &m[0]), wn_case_numbers(c, "x_treatment", &m[1])};
  wn_cuped out;
  if (n[0] != m[0] || n[1] != m[1]) c->wrong = "x_control";
  if (!wn_case_ok(c) || !wn_cuped_of(y, x, n, &out)) return;
  wn_case_put(c->got, "theta", out.theta);
  wn_case_put(c->got, "diff_adj", out.diff_adjusted);
  wn_case_put(c->got, "se_adj", out.se_adjusted);
  wn_case_put(c->got, "diff_raw", out.diff_raw);
  wn_case_put(c->got, "se_raw", out.se_raw);
  wn_case_put(c->got, "variance_reduction", out.variance_reduction);
  wn_case_put(c->got, "rho2", out.rho2);
}

static void srm(wn_case *c) {
  size_t n, m;
  double *observed = wn_case_numbers(c, "observed", &n),
         *weights = wn_case_numbers(c, "weights", &m);
  if (n != m) c->wrong = "weights";
  if (!wn_case_ok(c)) return;
  wn_srm out = wn_srm_test(observed, weights, n);
  wn_case_put(c->got, "chi2", out.chi2);
  wn_case_put(c->got, "p", out.p);
  json_object_set_new(c->got, "alarm", json_boolean(out.alarm));
}

static void srm_sequential(wn_case *c) {
  const json_t *cases = wn_case_field(c, "cases");
  size_t looks = json_array_size(cases), arms, n;
  double *weights = wn_case_numbers(c, "weights", &arms);
  double *factor = wn_case_alloc(c, looks, sizeof *factor), *p = wn_case_alloc(c, looks, sizeof *p);
  for (size_t i = 0; wn_case_ok(c) && i < looks; i++) {
    double *observed = wn_case_numbers_of(c, json_array_get(cases, i), "cases", &n);
    if (n != arms) c->wrong = "cases";
    if (!wn_case_ok(c)) return;
    factor[i] = wn_srm_log_factor(observed, weights, arms);
    p[i] = fmin(1, exp(-factor[i]));
  }
  wn_case_put_array(c->got, "log_bf", factor, looks);
  wn_case_put_array(c->got, "p", p, looks);
}

static void msprt_normal(wn_case *c) {
  size_t n, m, reject = 0;
  double *x = wn_case_numbers(c, "x", &n), *y = wn_case_numbers(c, "y", &m);
  double sigma = wn_case_number(c, "sigma"), tau = wn_case_number(c, "tau"), sum = 0, p = 1;
  json_t *lambda_at = json_object(), *p_at = json_object();
  json_object_set_new(c->got, "lambda_at", lambda_at);
  json_object_set_new(c->got, "p_at", p_at);
  if (n != m) c->wrong = "y";
  if (!wn_case_ok(c)) return;
  for (size_t i = 0; i < n; i++) {
    char at[24];
    sum += y[i] - x[i];
    double lambda = exp(wn_msprt_log(sum / (double)(i + 1), (double)(i + 1), sigma, tau));
    p = fmin(p, 1 / lambda);
    if (p <= ALPHA && reject == 0) reject = i + 1;
    snprintf(at, sizeof at, "%zu", i + 1);
    wn_case_put(lambda_at, at, lambda);
    wn_case_put(p_at, at, p);
  }
  if (reject > 0)
    wn_case_put(c->got, "first_reject_05", (double)reject);
  else
    json_object_set_new(c->got, "first_reject_05", json_null());
}

static void confidence_sequence(wn_case *c) {
  double x[2], n[2], tuning = wn_case_number(c, "tuning");
  if (!two_arms(c, x, n)) return;
  double a = x[0] / n[0], b = x[1] / n[1], se = sqrt(a * (1 - a) / n[0] + b * (1 - b) / n[1]);
  wn_sequence s = wn_confidence_sequence(b - a, se, n[0] + n[1], tuning, alpha_of(c));
  wn_case_put(c->got, "rho", s.rho);
  wn_case_put(c->got, "diff", b - a);
  wn_case_put(c->got, "halfwidth", s.halfwidth);
  wn_case_put_pair(c->got, "ci", s.low, s.high);
  wn_case_put(c->got, "p", s.p);
}

static void beta_binomial(wn_case *c) {
  double x[2], n[2];
  size_t len;
  double *prior = wn_case_numbers(c, "prior", &len);
  if (len != 2) c->wrong = "prior";
  if (!two_arms(c, x, n)) return;
  wn_beta_pair out = wn_beta_compare(x, n, prior);
  wn_case_put(c->got, "p_b_better", out.p_b_better);
  wn_case_put(c->got, "expected_loss_b", out.expected_loss_b);
  wn_case_put_array(c->got, "post_mean", out.mean, 2);
}

static void gaussian_effect_prior(wn_case *c) {
  double x[2], n[2], mean = wn_case_number(c, "prior_mean"), sd = wn_case_number(c, "prior_sd");
  if (!two_arms(c, x, n)) return;
  double a = x[0] / n[0], b = x[1] / n[1], ratio = b / a;
  double se = sqrt(b * (1 - b) / n[1] + ratio * ratio * a * (1 - a) / n[0]) / a;
  for (int proper = 0; proper < 2; proper++) {
    wn_gaussian_effect e = wn_gaussian_posterior(ratio - 1, se, mean, proper ? sd : INFINITY);
    json_t *object = json_object();
    wn_case_put(object, "mean", e.mean);
    wn_case_put(object, "sd", e.sd);
    wn_case_put(object, "ctw", e.chance_to_win);
    wn_case_put(object, "risk_treatment", e.risk);
    json_object_set_new(c->got, proper ? "proper" : "flat", object);
  }
}

static void multiple_testing(wn_case *c) {
  static const struct {
    const char *name;
    wn_correction how;
  } all[] = {{"bh", WN_BENJAMINI_HOCHBERG}, {"holm", WN_HOLM}, {"bonferroni", WN_BONFERRONI}};
  size_t n;
  double *p = wn_case_numbers(c, "p", &n), *adjusted = wn_case_alloc(c, n, sizeof *adjusted);
  for (size_t i = 0; wn_case_ok(c) && i < 3; i++)
    if (wn_adjust_p(all[i].how, p, n, adjusted))
      wn_case_put_array(c->got, all[i].name, adjusted, n);
}

static void sample_size(wn_case *c) {
  double n = wn_sample_size(wn_case_number(c, "p1"), wn_case_number(c, "p2"),
                            wn_case_number(c, "alpha"), wn_case_number(c, "power"));
  wn_case_put(c->got, "n_exact", n);
  wn_case_put(c->got, "n_per_arm", ceil(n));
}

/* Also the hash of each name that is expected; "empty" is that of nothing. */
static void assignment_hash(wn_case *c) {
  const json_t *cases = wn_case_field(c, "cases");
  size_t n = json_array_size(cases);
  double *u = wn_case_alloc(c, n, sizeof *u);
  json_t *hashes = json_object(), *expected;
  const char *name;
  json_object_set_new(c->got, "fnv1a32", hashes);
  json_object_foreach(json_object_get(c->expected, "fnv1a32"), name, expected) {
    const char *text = strcmp(name, "empty") == 0 ? "" : name;
    json_object_set_new(hashes, name, json_integer(wn_fnv1a(text, strlen(text))));
  }
  for (size_t i = 0; wn_case_ok(c) && i < n; i++) {
    const json_t *one = json_array_get(cases, i);
    const char *seed = json_string_value(json_array_get(one, 0));
    const char *unit = json_string_value(json_array_get(one, 1));
    if (seed == NULL || unit == NULL) c->wrong = "cases";
    if (wn_case_ok(c))
      u[i] = wn_assignment(seed, unit, (int)json_number_value(json_array_get(one, 2)));
  }
  wn_case_put_array(c->got, "n", u, n);
}

static void novelty_trend(wn_case *c) {
  size_t n, m, k;
  double *day = wn_case_numbers(c, "day", &n), *effect = wn_case_numbers(c, "effect", &m);
  double *se = wn_case_numbers(c, "se", &k);
  if (n != m || n != k) c->wrong = "effect";
  if (!wn_case_ok(c)) return;
  wn_slope s = wn_weighted_slope(day, effect, se, n);
  wn_case_put(c->got, "slope", s.slope);
  wn_case_put(c->got, "se", s.se);
  wn_case_put(c->got, "z", s.z);
  wn_case_put(c->got, "p", s.p);
  json_object_set_new(c->got, "alarm", json_boolean(fabs(s.z) > 2.58));
}

const wn_case_kind wn_cases_ab[] = {{"welch_t", welch_t},
                                    {"proportion", proportion},
                                    {"cuped", cuped},
                                    {"srm", srm},
                                    {"srm_sequential", srm_sequential},
                                    {"msprt_normal", msprt_normal},
                                    {"asymptotic_confidence_sequence", confidence_sequence},
                                    {"beta_binomial", beta_binomial},
                                    {"gaussian_effect_prior", gaussian_effect_prior},
                                    {"multiple_testing", multiple_testing},
                                    {"sample_size", sample_size},
                                    {"assignment_hash", assignment_hash},
                                    {"novelty_trend", novelty_trend},
                                    {NULL, NULL}};
