/* Off-policy estimators, sources in ope.h. Each is a mean over rows of a shrunken weight times a
 * residual plus a baseline, so one loop serves all:  v = mean(b + f(w)(r − q)).
 * Costs O(n), no memory but for slates (3 doubles a slot). */
#include "lab/ope.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ESS_LEAST   100.0
#define SHARE_MOST  0.05
#define Z_MOST      3.29 /* two-sided p = .001 */
#define Z_END       1000 /* of weights that do not vary, too */
#define OFF_LEAST   1e-3 /* by which propensities are rounded */
#define SUPPORT_GAP 1e-9

double wn_ope_shrunk(wn_ope_estimator which, double w, double lambda) {
  switch (which) {
  case WN_OPE_CLIPPED: return fmin(w, lambda);
  case WN_OPE_SUBGAUSSIAN: return w / (1 - lambda + lambda * w);
  case WN_OPE_SWITCH_DR: return w <= lambda ? w : 0;
  case WN_OPE_DROS: return w > 0 ? lambda * w / (w * w + lambda) : 0;
  case WN_OPE_DM: return 0;
  default: return w;
  }
}

bool wn_ope_uses_model(wn_ope_estimator which) {
  return which == WN_OPE_DM || which == WN_OPE_DR || which == WN_OPE_SNDR ||
         which == WN_OPE_SWITCH_DR || which == WN_OPE_DROS;
}

/* The least favourable weight that was not seen is ∞ when the mean falls short of 1, else 0; mass
 * that stays missing earns the mean reward. */
static double cressie_read(const wn_ope_row *rows, size_t n) {
  double w = 0, ww = 0, wr = 0, wwr = 0, r = 0, count = (double)n, gamma, beta = 0;
  for (size_t i = 0; i < n; i++) {
    w += rows[i].weight;
    ww += rows[i].weight * rows[i].weight;
    wr += rows[i].weight * rows[i].reward;
    wwr += rows[i].weight * rows[i].weight * rows[i].reward;
    r += rows[i].reward;
  }
  gamma = -(1 + count) / count;
  if (w >= count) {
    double a = w / (1 + count), b = ww / (1 + count);
    gamma = (b - a) / (a * a - b);
    beta = (1 - a) / (a * a - b);
  }
  double covered = (-gamma * w - beta * ww) / (1 + count);
  return (-gamma * wr - beta * wwr) / (1 + count) + fmax(0, 1 - covered) * r / count;
}

wn_ope_estimate wn_ope_estimate_of(wn_ope_estimator which, const wn_ope_row *rows, size_t n,
                                   double lambda) {
  bool model = wn_ope_uses_model(which), normalised = which == WN_OPE_SNIPS || which == WN_OPE_SNDR;
  double sum_w = 0, baseline = 0, correction = 0, spread = 0, count = (double)n;
  for (size_t i = 0; i < n; i++) {
    double w = wn_ope_shrunk(which, rows[i].weight, lambda);
    sum_w += w;
    baseline += model ? rows[i].value : 0;
    correction += w * (rows[i].reward - (model ? rows[i].q : 0));
  }
  double divisor = normalised ? sum_w : count;
  correction = divisor > 0 ? correction / divisor : 0;
  baseline /= count;
  wn_ope_estimate out = {baseline + correction, 0};
  for (size_t i = 0; i < n; i++) {
    double w = wn_ope_shrunk(which, rows[i].weight, lambda);
    double residual = rows[i].reward - (model ? rows[i].q : 0);
    double term = normalised ? w * (residual - correction) * count / divisor +
                                   (model ? rows[i].value - baseline : 0)
                             : (model ? rows[i].value : 0) + w * residual - out.value;
    spread += term * term;
  }
  out.se = sqrt(spread / count / (normalised ? count : count - 1));
  if (n < 2) out.se = INFINITY;
  if (which == WN_OPE_CRESSIE_READ) out.value = cressie_read(rows, n);
  return out;
}

double wn_mrdr_weight(double p_eval, double p_log) {
  return p_eval * (1 - p_log) / (p_log * p_log);
}

/* The first reason that holds; also what would help. */
static void refuse(wn_ope_diagnostics *d, size_t n) {
  char *why = d->why;
  size_t size = sizeof d->why;
  if (d->uncovered > SUPPORT_GAP)
    snprintf(why, size,
             "the log never plays %.3g of the policy's choices: log slates in which they have a "
             "chance (a temperature, a slot that explores)",
             d->uncovered);
  else if (!(d->ess > 0))
    snprintf(why, size,
             "no logged choice could have been the policy's: log slates in which its choices have "
             "a chance");
  else if (d->max_share > SHARE_MOST && n > 1 / SHARE_MOST)
    snprintf(why, size,
             "one row carries %.1f%% of the weight: about %.0f rows, or a policy closer to the "
             "logged one, would do",
             100 * d->max_share, ceil(d->max_share / SHARE_MOST * (double)n));
  else if (d->ess < ESS_LEAST)
    snprintf(why, size, "effective sample %.1f is below %.0f: about %.0f rows are needed", d->ess,
             ESS_LEAST, ceil(ESS_LEAST / d->ess * (double)n));
  else if (fabs(d->mean_weight_z) > Z_MOST && fabs(d->mean_weight - 1) > OFF_LEAST)
    snprintf(why, size, "mean weight %.4g is not 1 (z = %.3g): the propensities are wrong%s",
             d->mean_weight, d->mean_weight_z,
             d->mean_weight < 1 ? ", or the log never plays part of the policy's choices: log "
                                  "each item's probability at its place, and slates in which "
                                  "those choices have a chance"
                                : ": log each item's probability at its place");
  d->refused = why[0] != '\0';
}

void wn_ope_diagnose(const wn_ope_row *rows, size_t n, double uncovered, double reward_min,
                     double reward_max, wn_ope_diagnostics *out) {
  double sum = 0, squares = 0, zero = 0, earned = 0, count = (double)n;
  memset(out, 0, sizeof *out);
  for (size_t i = 0; i < n; i++) {
    double w = rows[i].weight;
    sum += w;
    squares += w * w;
    zero += w == 0;
    earned += w * rows[i].reward;
    out->max_weight = fmax(out->max_weight, w);
  }
  out->uncovered = uncovered;
  out->mean_weight = n > 0 ? sum / count : 0;
  out->max_share = sum > 0 ? out->max_weight / sum : 0;
  out->ess = squares > 0 ? sum * sum / squares : 0;
  out->zero_share = n > 0 ? zero / count : 0;
  double variance = n > 1 ? fmax(0, (squares - sum * sum / count) / (count - 1)) : INFINITY;
  double off = fabs(out->mean_weight - 1) > 1e-9 ? out->mean_weight - 1 : 0;
  if (off != 0) out->mean_weight_z = fmin(Z_END, fmax(-Z_END, off / sqrt(variance / count)));
  double ips = n > 0 ? earned / count : 0;
  out->low = ips + uncovered * reward_min;
  out->high = ips + uncovered * reward_max;
  refuse(out, n);
}

double wn_replay(const uint32_t *logged, const uint32_t *chosen, const double *reward, size_t n,
                 size_t *matches) {
  double sum = 0;
  *matches = 0;
  for (size_t i = 0; i < n; i++)
    if (logged[i] == chosen[i]) {
      sum += reward[i];
      (*matches)++;
    }
  return *matches > 0 ? sum / (double)*matches : NAN;
}

/* --- slates --- */

wn_slate_terms wn_slate_terms_of(const wn_slate_table *log, size_t row) {
  wn_slate_terms t = {.joint = 1};
  double total = 0, sum = 0;
  for (size_t at = row * log->slots; at < (row + 1) * log->slots; at++) {
    double w = log->p_eval[at] / log->p_log[at], r = log->reward[at];
    t.joint *= w;
    sum += w;
    total += r;
    t.iips += w * r;
    t.rips += t.joint * r;
  }
  t.reward = total;
  t.sips = t.joint * total;
  t.pi = (sum - ((double)log->slots - 1)) * total;
  return t;
}

bool wn_slate_ope_of(const wn_slate_table *log, wn_slate_ope *out) {
  size_t slots = log->slots;
  double n = (double)log->n, joint_sum = 0;
  memset(out, 0, sizeof *out);
  /* of each slot: Σ of its own weights, of the cascade's, and of the weighted rewards */
  double *own = wn_calloc(4 * slots + 1, sizeof *own);
  if (own == NULL || log->n == 0) {
    wn_free(own);
    return false;
  }
  double *cascade = own + slots, *own_reward = cascade + slots,
         *cascade_reward = own_reward + slots;
  for (size_t i = 0; i < log->n; i++) {
    wn_slate_terms t = wn_slate_terms_of(log, i);
    double joint = 1;
    for (size_t l = 0; l < slots; l++) {
      double w = log->p_eval[i * slots + l] / log->p_log[i * slots + l];
      double r = log->reward[i * slots + l];
      joint *= w;
      own[l] += w;
      cascade[l] += joint;
      own_reward[l] += w * r;
      cascade_reward[l] += joint * r;
    }
    out->sips += t.sips / n;
    out->pi += t.pi / n;
    joint_sum += joint;
  }
  for (size_t l = 0; l < slots; l++) {
    out->iips += own_reward[l] / n;
    out->rips += cascade_reward[l] / n;
    out->sniips += own_reward[l] / own[l];
    out->snrips += cascade_reward[l] / cascade[l];
  }
  out->snsips = out->sips * n / joint_sum;
  wn_free(own);
  return true;
}

double wn_cascade_dr(const double *prefix, const double *reward, const double *q,
                     const double *value, const size_t shape[2]) {
  double sum = 0;
  for (size_t i = 0; i < shape[0]; i++) {
    double before = 1;
    for (size_t l = 0; l < shape[1]; l++) {
      size_t at = i * shape[1] + l;
      sum += prefix[at] * (reward[at] - q[at]) + before * value[at];
      before = prefix[at];
    }
  }
  return shape[0] > 0 ? sum / (double)shape[0] : NAN;
}
