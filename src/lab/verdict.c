/* Verdicts from sums; sources in verdict.h. Costs: O(arms × metrics × days). */

#include "lab/verdict.h"
#include "lab/ledger.h"
#include "base/special.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TUNED_FOR                                                                                  \
  5000 /* units for which a confidence sequence is tightest, when none are planned */
#define NOVELTY_DAYS_MIN 5

const char *const wn_verdict_names[] = {"undecided", "better", "worse", "no data"};
const double wn_needed_effects[4] = {0.01, 0.02, 0.05, 0.1};

/* A mean with the variance of its estimate. */
typedef struct moment {
  double mean, var;
} moment;

/* Σ (y − θz)(…) forms: sums of the adjusted y = y − θ(z − z̄), z̄ of both arms together. */
static wn_ratio_sums adjusted(const wn_ratio_sums *s, double theta, double centre) {
  wn_ratio_sums out = *s;
  double z = s->z - centre * s->n;
  double zz = s->zz - 2 * centre * s->z + centre * centre * s->n;
  double zy = s->zy - centre * s->y;
  out.y = s->y - theta * z;
  out.yy = s->yy - 2 * theta * zy + theta * theta * zz;
  out.xy = out.y; /* x = 1 wherever there is a z */
  return out;
}

/* Delta method: var(ȳ/x̄) = (s_yy − 2r·s_xy + r²·s_xx) / (n·x̄²). */
static moment ratio_of(const wn_ratio_sums *s) {
  if (s->n < 2 || !(s->x > 0)) return (moment){NAN, NAN};
  double n = s->n, r = s->y / s->x, xm = s->x / n, ym = s->y / n;
  double yy = (s->yy - n * ym * ym) / (n - 1), xx = (s->xx - n * xm * xm) / (n - 1);
  double xy = (s->xy - n * xm * ym) / (n - 1);
  double var = (yy - 2 * r * xy + r * r * xx) / (n * xm * xm);
  return (moment){r, var > 0 ? var : 0};
}

/* θ of CUPED over both arms, each around its own mean. */
static double theta_of(const wn_ratio_sums *a, const wn_ratio_sums *b) {
  double zz = a->zz - a->z * a->z / a->n + b->zz - b->z * b->z / b->n;
  double zy = a->zy - a->z * a->y / a->n + b->zy - b->z * b->y / b->n;
  return zz > 0 ? zy / zz : 0;
}

/* `planned`: units of these two arms; 0: none planned. */
static void compare(const wn_experiment *e, const wn_ratio_sums *control,
                    const wn_ratio_sums *treatment, double planned, bool with_before,
                    wn_arm_verdict *out) {
  wn_ratio_sums c = *control, t = *treatment;
  moment plain_c = ratio_of(&c), plain_t = ratio_of(&t);
  double units = c.n + t.n, tuned = planned > 0 ? planned : TUNED_FOR;
  *out = (wn_arm_verdict){.control = plain_c.mean, .treatment = plain_t.mean};
  if (with_before && c.n > 1 && t.n > 1) {
    double theta = theta_of(&c, &t), centre = (c.z + t.z) / units;
    c = adjusted(control, theta, centre);
    t = adjusted(treatment, theta, centre);
  }
  moment mc = ratio_of(&c), mt = ratio_of(&t);
  double difference = mt.mean - mc.mean, se = sqrt(mc.var + mt.var);
  if (!(se > 0)) {
    out->verdict = WN_VERDICT_NO_DATA;
    return;
  }
  out->variance_removed = 1 - (mc.var + mt.var) / (plain_c.var + plain_t.var);
  out->absolute = wn_confidence_sequence(difference, se, units, tuned, e->alpha);
  /* log(treatment / control) by the delta method keeps a relative interval above −1 */
  double log_se = sqrt(mt.var / (mt.mean * mt.mean) + mc.var / (mc.mean * mc.mean));
  wn_sequence log_ratio =
      wn_confidence_sequence(log(mt.mean / mc.mean), log_se, units, tuned, e->alpha);
  out->relative = mt.mean / mc.mean - 1;
  out->relative_low = exp(log_ratio.low) - 1;
  out->relative_high = exp(log_ratio.high) - 1;
  double z = -wn_normal_quantile(e->alpha / 2);
  out->fixed = (wn_estimate){difference, se, difference - z * se, difference + z * se,
                             2 * wn_normal_cdf(-fabs(difference / se))};
  out->fixed_shown = planned > 0 && units >= planned;
}

static void bayes(const wn_metric_spec *spec, const wn_ratio_sums *control,
                  const wn_ratio_sums *treatment, wn_arm_verdict *out) {
  double sign = spec->lower_is_better ? -1 : 1;
  if (spec->kind == WN_METRIC_CONVERSION && !spec->lower_is_better) {
    wn_beta_pair pair = wn_beta_compare((double[2]){control->y, treatment->y},
                                        (double[2]){control->n, treatment->n}, (double[2]){1, 1});
    out->chance_to_win = pair.p_b_better;
    out->expected_loss = pair.expected_loss_b;
    return;
  }
  wn_gaussian_effect effect =
      wn_gaussian_posterior(sign * out->fixed.value, out->fixed.se, 0, (double)INFINITY);
  out->chance_to_win = effect.chance_to_win;
  out->expected_loss = effect.risk;
}

static wn_slope novelty_of(const wn_outcome *outcome, size_t arm, bool ratio) {
  double x[366], y[366], se[366];
  size_t len = 0;
  for (size_t d = 0; d < outcome->days_len && len < 366; d++) {
    wn_ratio_sums c = outcome->days[d].primary[0], t = outcome->days[d].primary[arm];
    if (!ratio) {
      c.x = c.xx = c.n;
      c.xy = c.y;
      t.x = t.xx = t.n;
      t.xy = t.y;
    }
    moment mc = ratio_of(&c), mt = ratio_of(&t);
    if (!(mc.var + mt.var > 0)) continue;
    x[len] = (double)(outcome->days[d].day - outcome->days[0].day);
    y[len] = mt.mean - mc.mean;
    se[len++] = sqrt(mc.var + mt.var);
  }
  if (len < NOVELTY_DAYS_MIN) return (wn_slope){.p = NAN, .slope = NAN};
  return wn_weighted_slope(x, y, se, len);
}

/* The challenger's share of the events that credit an arm against the champion's: 2·share − 1. */
static void compare_credit(const wn_experiment *e, const wn_ratio_sums *s, wn_arm_verdict *out) {
  moment m = ratio_of(s);
  double tuned = e->planned_units > 0 ? (double)e->planned_units : TUNED_FOR;
  double sign = e->metrics[0].lower_is_better ? -1 : 1, z = -wn_normal_quantile(e->alpha / 2);
  double difference = 2 * m.mean - 1, se = 2 * sqrt(m.var);
  *out = (wn_arm_verdict){.control = 1 - m.mean, .treatment = m.mean};
  if (!(se > 0)) {
    out->verdict = WN_VERDICT_NO_DATA;
    return;
  }
  out->absolute = wn_confidence_sequence(difference, se, s->n, tuned, e->alpha);
  double low = fmax(-1, out->absolute.low), high = fmin(1, out->absolute.high);
  out->relative = (1 + difference) / (1 - difference) - 1;
  out->relative_low = (1 + low) / (1 - low) - 1;
  out->relative_high = (1 + high) / (1 - high) - 1;
  out->fixed = (wn_estimate){difference, se, difference - z * se, difference + z * se,
                             2 * wn_normal_cdf(-fabs(difference / se))};
  out->fixed_shown = e->planned_units > 0 && s->n >= (double)e->planned_units;
  wn_gaussian_effect effect = wn_gaussian_posterior(sign * difference, se, 0, (double)INFINITY);
  out->chance_to_win = effect.chance_to_win;
  out->expected_loss = effect.risk;
}

static bool is_ratio(const wn_metric_spec *spec) {
  return spec->kind == WN_METRIC_RATE || spec->kind == WN_METRIC_FINISH;
}

/* The primary metric: surely better or worse than nothing. A guardrail: surely worse than its
 * margin allows. */
static wn_verdict judge(const wn_metric_spec *spec, bool guard, const wn_arm_verdict *v) {
  double low = v->absolute.low, high = v->absolute.high;
  double margin = guard ? spec->margin * fabs(v->control) : 0;
  if (v->verdict == WN_VERDICT_NO_DATA) return v->verdict;
  if (spec->lower_is_better) {
    double swap = low;
    low = -high;
    high = -swap;
  }
  if (low > 0) return WN_VERDICT_BETTER;
  return high < -margin ? WN_VERDICT_WORSE : WN_VERDICT_UNDECIDED;
}

double wn_units_needed(const wn_ratio_sums *sums, double relative, double alpha, double power) {
  moment m = ratio_of(sums);
  double z = -wn_normal_quantile(alpha / 2) + wn_normal_quantile(power);
  double effect = relative * m.mean;
  if (!(m.var > 0) || !(fabs(effect) > 0)) return 0;
  return ceil(2 * m.var * sums->n * z * z / (effect * effect));
}

static void plan(const wn_experiment *e, const wn_outcome *outcome, wn_experiment_verdict *out) {
  double days = (double)(outcome->last_ms - outcome->first_ms) / 86400000.0;
  for (size_t i = 0; i < 4; i++) {
    out->needed_units[i] =
        (double)e->arms_len *
        wn_units_needed(&outcome->arms[0].metrics[0], wn_needed_effects[i], e->alpha, 0.8);
    if (days > 0 && out->units > 0)
      out->needed_days[i] = out->needed_units[i] / (out->units / days);
  }
}

/* What the look that was reached allows to say: the fixed interval with that look's bound. It is
 * one look only when it is read once. */
static void look_of_group(const wn_experiment *e, wn_experiment_verdict *out) {
  double shares[WN_LOOKS_MAX], z[WN_LOOKS_MAX];
  double part = e->planned_units > 0 ? out->units / (double)e->planned_units : 0;
  for (uint32_t k = 0; k < e->looks && k < WN_LOOKS_MAX; k++) {
    shares[k] = (double)(k + 1) / e->looks;
    if (part >= shares[k]) out->look = k + 1;
  }
  if (out->look > 0) {
    wn_group_bounds(shares, out->look, e->alpha, z);
    out->group_bound = z[out->look - 1];
  }
  for (size_t a = 1; a < e->arms_len; a++)
    for (size_t m = 0; m < e->metrics_len; m++) {
      wn_arm_verdict *v = &out->arms[a][m];
      bool known = out->look > 0 && v->fixed.se > 0;
      v->group_low = known ? v->fixed.value - out->group_bound * v->fixed.se : (double)NAN;
      v->group_high = known ? v->fixed.value + out->group_bound * v->fixed.se : (double)NAN;
    }
}

/* Over all metrics and arms at once. */
static void adjust(const wn_experiment *e, wn_experiment_verdict *out) {
  double p[WN_ARMS_MAX * WN_METRICS_MAX], q[WN_ARMS_MAX * WN_METRICS_MAX];
  size_t len = 0;
  for (size_t a = 1; a < e->arms_len; a++)
    for (size_t m = 0; m < e->metrics_len; m++)
      if (out->arms[a][m].verdict != WN_VERDICT_NO_DATA) p[len++] = out->arms[a][m].absolute.p;
  bool known = len > 0 && wn_adjust_p(WN_BENJAMINI_HOCHBERG, p, len, q);
  len = 0;
  for (size_t a = 1; a < e->arms_len; a++)
    for (size_t m = 0; m < e->metrics_len; m++)
      out->arms[a][m].p_adjusted =
          known && out->arms[a][m].verdict != WN_VERDICT_NO_DATA ? q[len++] : (double)NAN;
}

/* Units meet both arms: there are no sizes that could be wrong. */
static void verdict_of_duel(const wn_experiment *e, const wn_outcome *outcome,
                            wn_experiment_verdict *out) {
  wn_arm_verdict *v = &out->arms[1][0];
  out->units = (double)outcome->arms[0].units;
  out->srm.p = out->srm_always_p = 1;
  if (e->mode == WN_MODE_INTERLEAVE)
    compare_credit(e, &outcome->arms[0].metrics[0], v);
  else
    v->verdict = WN_VERDICT_NO_DATA;
  v->verdict = judge(&e->metrics[0], false, v);
  for (size_t m = 0; m < e->metrics_len; m++) {
    v[m].novelty = (wn_slope){.p = NAN, .slope = NAN};
    if (m > 0) v[m].verdict = WN_VERDICT_NO_DATA;
  }
  look_of_group(e, out);
  adjust(e, out);
}

void wn_experiment_verdict_of(const wn_experiment *e, const wn_outcome *outcome,
                              wn_experiment_verdict *out) {
  *out = (wn_experiment_verdict){0};
  if (e->mode != WN_MODE_SHARE) {
    verdict_of_duel(e, outcome, out);
    return;
  }
  wn_verdict_sizes(e, outcome, out);
  if (e->planned_units > 0)
    out->alpha_spent = wn_alpha_spent(fmin(1, out->units / (double)e->planned_units), e->alpha);
  for (size_t a = 1; a < e->arms_len; a++)
    for (size_t m = 0; m < e->metrics_len; m++) {
      wn_arm_verdict *v = &out->arms[a][m];
      const wn_ratio_sums *c = &outcome->arms[0].metrics[m], *t = &outcome->arms[a].metrics[m];
      double both = e->arms[0].share + e->arms[a].share;
      compare(e, c, t, (double)e->planned_units * both, outcome->with_before[m], v);
      if (outcome->without_events[m]) v->verdict = WN_VERDICT_NO_DATA;
      if (v->verdict != WN_VERDICT_NO_DATA) bayes(&e->metrics[m], c, t, v);
      v->novelty = m == 0 ? novelty_of(outcome, a, is_ratio(&e->metrics[0]))
                          : (wn_slope){.p = NAN, .slope = NAN};
      v->verdict = judge(&e->metrics[m], m > 0, v);
    }
  look_of_group(e, out);
  adjust(e, out);
  plan(e, outcome, out);
}

wn_status wn_experiment_period(const char *dir, const wn_experiment *e, wn_outcome_options *options,
                               wn_error *err) {
  wn_status status = WN_OK;
  wn_ledger ledger = {0};
  WN_TRY(wn_ledger_read(dir, &ledger, err));
  const wn_ledger_entry *entry = wn_ledger_find(&ledger, e->name);
  if (entry == NULL)
    WN_TRY(wn_fail(err, WN_E_NOT_READY, e->name,
                   "it never ran: start the server with this configuration"));
  wn_outcome_options_defaults(options);
  options->since_ms = entry->started_ms;
  if (entry->stopped_ms != 0) options->until_ms = entry->stopped_ms;
cleanup:
  wn_ledger_clear(&ledger);
  return status;
}

wn_status wn_experiment_look(wn_store *store, const char *dir, const wn_experiment *e,
                             wn_outcome *outcome, wn_experiment_verdict *verdict, wn_error *err) {
  wn_status status = WN_OK;
  wn_outcome_options options;
  *outcome = (wn_outcome){0};
  WN_TRY(wn_experiment_period(dir, e, &options, err));
  WN_TRY(wn_outcome_collect(store, e, &options, outcome, err));
  wn_experiment_verdict_of(e, outcome, verdict);
cleanup:
  return status;
}

bool wn_experiment_won(const wn_experiment *e, const wn_experiment_verdict *verdict, size_t arm,
                       char *why, size_t size) {
  const wn_arm_verdict *all = verdict->arms[arm];
  if (verdict->hidden) {
    snprintf(why, size, "the sizes of the arms contradict their shares");
    return false;
  }
  if (all[0].verdict != WN_VERDICT_BETTER) {
    snprintf(why, size, "%s %s %s by %s", e->arms[arm].name,
             all[0].verdict == WN_VERDICT_NO_DATA ? "has" : "is", wn_verdict_names[all[0].verdict],
             e->metrics[0].name);
    return false;
  }
  for (size_t m = 1; m < e->metrics_len; m++)
    if (all[m].verdict == WN_VERDICT_WORSE) {
      snprintf(why, size, "%s is worse by the guardrail %s", e->arms[arm].name, e->metrics[m].name);
      return false;
    }
  return true;
}

static bool is_worse(const wn_experiment *e, const wn_arm_verdict *all, const char **metric) {
  for (size_t m = 0; m < e->metrics_len; m++) {
    *metric = e->metrics[m].name;
    if (all[m].verdict == WN_VERDICT_WORSE) return true;
  }
  return false;
}

/* Looked at again and again, over several arms: intervals that hold at all times, p values
 * corrected for all arms and metrics. */
wn_ruling wn_experiment_ruling(const wn_experiment *e, const wn_experiment_verdict *verdict,
                               size_t *arm, char *why, size_t size) {
  char ignored[300];
  const char *metric = "";
  size_t worse = 0;
  *arm = 0;
  if (verdict->hidden && e->rule.roll_back) {
    snprintf(why, size, "the sizes of the arms contradict their shares");
    return WN_RULING_ROLL_BACK;
  }
  if (verdict->hidden || verdict->units < (double)e->rule.min_units) return WN_RULING_WAIT;
  for (size_t a = 1; a < e->arms_len; a++) {
    const wn_arm_verdict *v = verdict->arms[a];
    if (is_worse(e, v, &metric)) {
      worse++;
      snprintf(why, size, "%s is worse by %s", e->arms[a].name, metric);
    }
    if (e->rule.promote && wn_experiment_won(e, verdict, a, ignored, sizeof ignored) &&
        v->p_adjusted < e->alpha &&
        (*arm == 0 || v->chance_to_win > verdict->arms[*arm][0].chance_to_win))
      *arm = a;
  }
  if (*arm != 0) {
    snprintf(why, size, "%s is better by %s", e->arms[*arm].name, e->metrics[0].name);
    return WN_RULING_PROMOTE;
  }
  return e->rule.roll_back && worse + 1 == e->arms_len ? WN_RULING_ROLL_BACK : WN_RULING_WAIT;
}

/* ---- JSON ---- */

static void put(wn_json *json, const char *key, double value) {
  wn_json_key(json, key);
  wn_json_double(json, value);
}

static void put_text(wn_json *json, const char *key, const char *value) {
  wn_json_key(json, key);
  wn_json_cstring(json, value);
}

static void put_count(wn_json *json, const char *key, double value) {
  wn_json_key(json, key);
  wn_json_int(json, (int64_t)value);
}

static void verdict_json(const wn_arm_verdict *v, wn_json *json) {
  put_text(json, "verdict", wn_verdict_names[v->verdict]);
  if (v->verdict == WN_VERDICT_NO_DATA) return;
  put(json, "control", v->control);
  put(json, "treatment", v->treatment);
  put(json, "difference", v->fixed.value);
  put(json, "low", v->absolute.low);
  put(json, "high", v->absolute.high);
  put(json, "p_always_valid", v->absolute.p);
  put(json, "p_adjusted", v->p_adjusted);
  put(json, "relative", v->relative);
  put(json, "relative_low", v->relative_low);
  put(json, "relative_high", v->relative_high);
  put(json, "variance_removed", v->variance_removed);
  put(json, "chance_to_win", v->chance_to_win);
  put(json, "expected_loss", v->expected_loss);
  if (v->fixed_shown) {
    put(json, "fixed_low", v->fixed.low);
    put(json, "fixed_high", v->fixed.high);
    put(json, "fixed_p", v->fixed.p);
  }
  if (!isnan(v->group_low)) {
    put(json, "group_low", v->group_low);
    put(json, "group_high", v->group_high);
  }
  if (!isnan(v->novelty.p)) {
    put(json, "daily_slope", v->novelty.slope);
    put(json, "daily_slope_p", v->novelty.p);
  }
}

static void arm_json(const wn_experiment *e, const wn_outcome *outcome,
                     const wn_experiment_verdict *verdict, size_t a, wn_json *json) {
  wn_json_object(json);
  put_text(json, "name", e->arms[a].name);
  put(json, "share", e->arms[a].share);
  put_count(json, "units", (double)outcome->arms[a].units);
  put_count(json, "slates", (double)outcome->arms[a].slates);
  wn_json_key(json, "metrics");
  wn_json_array(json);
  for (size_t m = 0; m < e->metrics_len && !verdict->hidden; m++) {
    wn_json_object(json);
    put_text(json, "name", e->metrics[m].name);
    put_text(json, "kind", wn_metric_kind_names[e->metrics[m].kind]);
    put_text(json, "role", m == 0 ? "primary" : "guardrail");
    if (a == 0 && e->mode == WN_MODE_SHARE)
      put(json, "mean", ratio_of(&outcome->arms[0].metrics[m]).mean);
    else if (a > 0)
      verdict_json(&verdict->arms[a][m], json);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  wn_json_end_object(json);
}

static void checks_json(const wn_experiment_verdict *v, const wn_outcome *outcome, wn_json *json) {
  wn_json_key(json, "checks");
  wn_json_object(json);
  put(json, "srm_p", v->srm.p);
  put(json, "srm_p_always_valid", v->srm_always_p);
  if (v->worst.what[0] != '\0') {
    put_text(json, "srm_worst_slice", v->worst.what);
    put(json, "srm_worst_slice_p", v->worst.srm.p);
  }
  put_count(json, "units_in_two_arms", (double)outcome->crossed);
  put_count(json, "units_under_override", (double)outcome->overridden);
  put_count(json, "bots", (double)outcome->bots);
  put_count(json, "slates_of_erased_users", (double)outcome->erased_slates);
  wn_json_end_object(json);
}

/* The upper end of the bin in which the quantile lies. */
static double bin_quantile(const uint64_t *bins, double q) {
  double all = 0, below = 0;
  for (size_t i = 0; i < WN_SHADOW_BINS; i++) all += (double)bins[i];
  for (size_t i = 0; i < WN_SHADOW_BINS; i++) {
    below += (double)bins[i];
    if (below >= q * all) return exp2((double)(i + 1) / 4);
  }
  return 0;
}

static void shadow_json(const wn_shadow_outcome *s, wn_json *json) {
  static const char *const who[] = {"champion", "challenger"};
  moment m = ratio_of(&s->agreement);
  double z = -wn_normal_quantile(0.025), slates = s->slates > 0 ? (double)s->slates : 1;
  wn_json_key(json, "shadow");
  wn_json_object(json);
  put_count(json, "slates", (double)s->slates);
  put_count(json, "failed", (double)s->failed);
  put(json, "agreement", m.mean);
  put(json, "agreement_low", m.mean - z * sqrt(m.var));
  put(json, "agreement_high", m.mean + z * sqrt(m.var));
  put(json, "same_first", (double)s->same_first / slates);
  for (int i = 0; i < 2; i++) {
    wn_json_key(json, who[i]);
    wn_json_object(json);
    put(json, "mean_us", s->us[i] / slates);
    put(json, "p50_us", bin_quantile(s->bins[i], 0.5));
    put(json, "p99_us", bin_quantile(s->bins[i], 0.99));
    wn_json_end_object(json);
  }
  wn_json_end_object(json);
}

static void plan_json(const wn_experiment *e, const wn_experiment_verdict *v, wn_json *json) {
  wn_json_key(json, "plan");
  wn_json_object(json);
  put_count(json, "units", v->units);
  put_count(json, "planned_units", (double)e->planned_units);
  put(json, "alpha", e->alpha);
  put(json, "alpha_spent", v->alpha_spent);
  if (v->look > 0) {
    put_count(json, "look", v->look);
    put_count(json, "looks", e->looks);
    put(json, "group_bound", v->group_bound);
  }
  wn_json_key(json, "to_see");
  wn_json_array(json);
  for (size_t i = 0; i < 4; i++) {
    wn_json_object(json);
    put(json, "relative_effect", wn_needed_effects[i]);
    put_count(json, "units", v->needed_units[i]);
    put(json, "days", v->needed_days[i]);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  wn_json_end_object(json);
}

void wn_experiment_verdict_to_json(const wn_experiment *e, const wn_outcome *outcome,
                                   const wn_experiment_verdict *verdict, wn_json *json) {
  wn_json_object(json);
  put_text(json, "name", e->name);
  put_text(json, "state", e->promoted != 0 ? "promoted" : e->stopped ? "stopped" : "running");
  put_text(json, "unit", e->unit == WN_UNIT_USER ? "user" : "session");
  put(json, "traffic", e->traffic);
  wn_json_key(json, "hidden");
  wn_json_bool(json, verdict->hidden);
  if (verdict->hidden)
    put_text(
        json, "why_hidden",
        "the sizes of the arms contradict their shares (sample ratio mismatch): find the cause "
        "before reading any result");
  put_count(json, "first_ms", (double)outcome->first_ms);
  put_count(json, "last_ms", (double)outcome->last_ms);
  put_text(json, "mode", wn_mode_names[e->mode]);
  if (e->mode == WN_MODE_SHADOW) shadow_json(&outcome->shadow, json);
  checks_json(verdict, outcome, json);
  plan_json(e, verdict, json);
  wn_json_key(json, "arms");
  wn_json_array(json);
  for (size_t a = 0; a < e->arms_len; a++) arm_json(e, outcome, verdict, a, json);
  wn_json_end_array(json);
  wn_json_end_object(json);
}
