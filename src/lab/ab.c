/* Experiment statistics; sources in ab.h. Costs: O(n) or O(arms), but for the exact beta
 * comparison, a quadrature of 64 × 16 points. */
#include "lab/ab.h"

#include "base/special.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SRM_ALARM 0.001
#define PANELS    64

static double square(double x) {
  return x * x;
}

static wn_estimate t_estimate(double value, double se, double dof, double alpha) {
  double half = wn_t_quantile(1 - alpha / 2, dof) * se;
  return (wn_estimate){value, se, value - half, value + half, wn_t_two_sided(value / se, dof)};
}

wn_difference wn_welch(wn_moments control, wn_moments treatment, double alpha) {
  double vc = control.var / (double)control.n, vt = treatment.var / (double)treatment.n;
  double dof = square(vc + vt) /
               (square(vc) / ((double)control.n - 1) + square(vt) / ((double)treatment.n - 1));
  double ratio = treatment.mean / control.mean;
  double relative_se = sqrt(vt + ratio * ratio * vc) / fabs(control.mean);
  wn_difference out = {.dof = dof};
  out.absolute = t_estimate(treatment.mean - control.mean, sqrt(vc + vt), dof, alpha);
  out.relative = t_estimate(ratio - 1, relative_se, dof, alpha);
  out.t = out.absolute.value / out.absolute.se;
  return out;
}

wn_proportions wn_two_proportions(const double x[2], const double n[2], double alpha) {
  double p0 = x[0] / n[0], p1 = x[1] / n[1], d = p1 - p0;
  double pooled = (x[0] + x[1]) / (n[0] + n[1]);
  double unpooled_se = sqrt(p0 * (1 - p0) / n[0] + p1 * (1 - p1) / n[1]);
  double z = -wn_normal_quantile(alpha / 2);
  wn_estimate a = wn_wilson(x[0], n[0], alpha), b = wn_wilson(x[1], n[1], alpha);
  wn_proportions out = {.z_pooled = d / sqrt(pooled * (1 - pooled) * (1 / n[0] + 1 / n[1])),
                        .z_unpooled = d / unpooled_se,
                        .wald_low = d - z * unpooled_se,
                        .wald_high = d + z * unpooled_se};
  out.chi2 = square(out.z_pooled);
  out.p_pooled = 2 * wn_normal_cdf(-fabs(out.z_pooled));
  out.p_unpooled = 2 * wn_normal_cdf(-fabs(out.z_unpooled));
  out.newcombe_low = d - sqrt(square(p1 - b.low) + square(a.high - p0));
  out.newcombe_high = d + sqrt(square(b.high - p1) + square(p0 - a.low));
  return out;
}

/* --- CUPED --- */

static void impute(double *x[2], const size_t n[2]) {
  double sum = 0, known = 0;
  for (int arm = 0; arm < 2; arm++)
    for (size_t i = 0; i < n[arm]; i++)
      if (!isnan(x[arm][i])) {
        sum += x[arm][i];
        known++;
      }
  for (int arm = 0; arm < 2; arm++)
    for (size_t i = 0; i < n[arm]; i++)
      if (isnan(x[arm][i])) x[arm][i] = known > 0 ? sum / known : 0;
}

static double mean_of(const double *a, size_t n, const double *b, size_t m) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += a[i];
  for (size_t i = 0; i < m; i++) sum += b[i];
  return sum / (double)(n + m);
}

bool wn_cuped_of(const double *y[2], double *x[2], const size_t n[2], wn_cuped *out) {
  if (n[0] < 2 || n[1] < 2) return false;
  impute(x, n);
  double my = mean_of(y[0], n[0], y[1], n[1]), mx = mean_of(x[0], n[0], x[1], n[1]);
  double yy = 0, xx = 0, xy = 0, raw = 0, adjusted = 0, mean[2] = {0, 0}, mean_raw[2] = {0, 0};
  for (int arm = 0; arm < 2; arm++)
    for (size_t i = 0; i < n[arm]; i++) {
      yy += square(y[arm][i] - my);
      xx += square(x[arm][i] - mx);
      xy += (y[arm][i] - my) * (x[arm][i] - mx);
    }
  out->theta = xx > 0 ? xy / xx : 0;
  out->rho2 = xx > 0 && yy > 0 ? xy * xy / (xx * yy) : 0;
  for (int arm = 0; arm < 2; arm++) {
    wn_moments ym = wn_moments_of(y[arm], n[arm]), xm = wn_moments_of(x[arm], n[arm]);
    double covariance = wn_covariance(y[arm], x[arm], n[arm]);
    mean_raw[arm] = ym.mean;
    mean[arm] = ym.mean - out->theta * xm.mean;
    raw += ym.var / (double)n[arm];
    adjusted +=
        (ym.var - 2 * out->theta * covariance + square(out->theta) * xm.var) / (double)n[arm];
  }
  out->diff_raw = mean_raw[1] - mean_raw[0];
  out->diff_adjusted = mean[1] - mean[0];
  out->se_raw = sqrt(raw);
  out->se_adjusted = sqrt(adjusted);
  out->variance_reduction = raw > 0 ? 1 - adjusted / raw : 0;
  return true;
}

/* --- sample ratio --- */

static double total_of(const double *x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i];
  return sum;
}

wn_srm wn_srm_test(const double *observed, const double *weights, size_t arms) {
  double n = total_of(observed, arms), w = total_of(weights, arms);
  wn_srm out = {0, 1, false};
  for (size_t a = 0; a < arms; a++)
    out.chi2 += square(observed[a] - n * weights[a] / w) / (n * weights[a] / w);
  out.p = wn_chi2_sf(out.chi2, (double)arms - 1);
  out.alarm = out.p < SRM_ALARM;
  return out;
}

double wn_srm_log_factor(const double *observed, const double *weights, size_t arms) {
  double n = total_of(observed, arms), w = total_of(weights, arms);
  double out = wn_lgamma((double)arms) - wn_lgamma((double)arms + n);
  for (size_t a = 0; a < arms; a++)
    out += wn_lgamma(1 + observed[a]) - observed[a] * log(weights[a] / w);
  return out;
}

/* --- sequential --- */

double wn_msprt_log(double difference, double n, double sigma, double tau) {
  double v = 2 * sigma * sigma / n, t = tau * tau;
  return 0.5 * log(v / (v + t)) + t * square(difference) / (2 * v * (v + t));
}

wn_sequence wn_confidence_sequence(double difference, double se, double n, double tuned_for,
                                   double alpha) {
  double l = -2 * log(alpha), rho = sqrt((l + log(l + 1)) / tuned_for), r = n * rho * rho;
  double sigma = se * sqrt(n);
  wn_sequence out = {.rho = rho};
  out.halfwidth = sigma * sqrt(2 * (r + 1) / (n * r) * log(sqrt(r + 1) / alpha));
  out.low = difference - out.halfwidth;
  out.high = difference + out.halfwidth;
  double t2 = square(difference / sigma) * n;
  out.p = fmin(1, sqrt(r + 1) * exp(-t2 * r / (2 * (r + 1))));
  return out;
}

double wn_alpha_spent(double t, double alpha) {
  if (!(t > 0)) return 0;
  return 2 * wn_normal_cdf(wn_normal_quantile(alpha / 2) / sqrt(t));
}

/* The density of Z·√t at a look, over paths that left no bound before: GRID points in ± b. */
enum { GROUP_GRID = 401 };
typedef struct group_path {
  double b, g[GROUP_GRID];
} group_path;

static double grid_x(const group_path *path, size_t i) {
  return path->b * (2.0 * (double)i / (GROUP_GRID - 1) - 1);
}

/* Simpson's rule over ± b. */
static double grid_weight(const group_path *path, size_t i) {
  double h = 2 * path->b / (GROUP_GRID - 1);
  return h / 3 * (i == 0 || i == GROUP_GRID - 1 ? 1 : i % 2 == 1 ? 4 : 2);
}

/* The chance to leave ± b at the next look, whose increment has the deviation s. */
static double leaving(const group_path *path, double b, double s) {
  double sum = 0;
  for (size_t i = 0; i < GROUP_GRID; i++) {
    double x = grid_x(path, i);
    sum += grid_weight(path, i) * path->g[i] *
           (wn_normal_cdf((x - b) / s) + wn_normal_cdf((-b - x) / s));
  }
  return sum;
}

static void move_on(const group_path *from, double b, double s, group_path *to) {
  to->b = b;
  for (size_t j = 0; j < GROUP_GRID; j++) {
    double y = grid_x(to, j), sum = 0;
    for (size_t i = 0; i < GROUP_GRID; i++) {
      double d = (y - grid_x(from, i)) / s;
      sum += grid_weight(from, i) * from->g[i] * exp(-d * d / 2);
    }
    to->g[j] = sum / (s * sqrt(2 * M_PI));
  }
}

void wn_group_bounds(const double *shares, size_t looks, double alpha, double *z) {
  group_path path = {.b = 0}, next;
  for (size_t k = 0; k < looks; k++) {
    double t = shares[k], spent = wn_alpha_spent(t, alpha);
    if (k == 0) {
      z[0] = -wn_normal_quantile(spent / 2);
      path.b = z[0] * sqrt(t);
      for (size_t i = 0; i < GROUP_GRID; i++)
        path.g[i] = exp(-grid_x(&path, i) * grid_x(&path, i) / (2 * t)) / sqrt(2 * M_PI * t);
      continue;
    }
    double s = sqrt(t - shares[k - 1]), low = 0, high = 10 * sqrt(t);
    spent -= wn_alpha_spent(shares[k - 1], alpha);
    for (int i = 0; i < 60; i++) {
      double b = (low + high) / 2;
      *(leaving(&path, b, s) > spent ? &low : &high) = b;
    }
    z[k] = high / sqrt(t);
    move_on(&path, high, s, &next);
    path = next;
  }
}

/* --- Bayesian --- */

typedef struct beta_pair {
  double a[2], b[2];
} beta_pair;

/* P(a's share < x) · density of b's at x */
static double better_at(double x, const void *ctx) {
  const beta_pair *pair = ctx;
  return wn_beta_cdf(x, pair->a[0], pair->b[0]) * wn_beta_pdf(x, pair->a[1], pair->b[1]);
}

/* E[max(pa − pb, 0)] = ∫ P(pa > x) P(pb < x) dx */
static double loss_at(double x, const void *ctx) {
  const beta_pair *pair = ctx;
  return wn_beta_cdf(1 - x, pair->b[0], pair->a[0]) * wn_beta_cdf(x, pair->a[1], pair->b[1]);
}

wn_beta_pair wn_beta_compare(const double x[2], const double n[2], const double prior[2]) {
  beta_pair pair;
  wn_beta_pair out;
  double low = 1, high = 0;
  for (int i = 0; i < 2; i++) {
    double a = pair.a[i] = prior[0] + x[i], b = pair.b[i] = prior[1] + n[i] - x[i];
    out.mean[i] = a / (a + b);
    double sd = sqrt(a * b / (square(a + b) * (a + b + 1)));
    low = fmin(low, fmax(0, out.mean[i] - 40 * sd));
    high = fmax(high, fmin(1, out.mean[i] + 40 * sd));
  }
  out.p_b_better = wn_integral(better_at, &pair, low, high, PANELS);
  out.expected_loss_b = wn_integral(loss_at, &pair, low, high, PANELS);
  return out;
}

wn_gaussian_effect wn_gaussian_posterior(double effect, double se, double prior_mean,
                                         double prior_sd) {
  wn_gaussian_effect out = {effect, se, 0, 0};
  if (isfinite(prior_sd)) {
    double precision = 1 / square(se) + 1 / square(prior_sd);
    out.mean = (effect / square(se) + prior_mean / square(prior_sd)) / precision;
    out.sd = sqrt(1 / precision);
  }
  double z = out.mean / out.sd;
  out.chance_to_win = wn_normal_cdf(z);
  out.risk = out.sd * wn_normal_pdf(z) - out.mean * wn_normal_cdf(-z);
  return out;
}

double wn_sample_size(double p1, double p2, double alpha, double power) {
  double z = wn_normal_quantile(1 - alpha / 2) + wn_normal_quantile(power);
  return square(z) * (p1 * (1 - p1) + p2 * (1 - p2)) / square(p1 - p2);
}

/* --- assignment --- */

uint32_t wn_fnv1a(const char *text, size_t len) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < len; i++) hash = (hash ^ (uint8_t)text[i]) * 16777619u;
  return hash;
}

static uint32_t fnv_more(uint32_t hash, const char *text) {
  for (; *text != '\0'; text++) hash = (hash ^ (uint8_t)*text) * 16777619u;
  return hash;
}

double wn_assignment(const char *seed, const char *unit, int version) {
  char digits[16];
  if (version == 1) return fnv_more(fnv_more(2166136261u, unit), seed) % 1000 / 1000.0;
  uint32_t once = fnv_more(fnv_more(2166136261u, seed), unit);
  int len = snprintf(digits, sizeof digits, "%u", once);
  return wn_fnv1a(digits, (size_t)len) % 10000 / 10000.0;
}
