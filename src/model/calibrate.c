/* Platt 1999 (two parameters, Newton's method) and isotonic regression by pooling adjacent
 * violators (Zadrozny and Elkan, KDD 2002).
 *
 * Departures: isotonic regression runs over at most 64 bins of equal weight instead of single
 * samples, each with one sample of the base rate added, and its steps are joined in the logit, with
 * slope 1 beyond the first and the last, because a step makes equals of items that the model could
 * tell apart. Where a place was seen with probability e (exposure), labels are e · P: a bin's P is
 * successes / Σ e.
 *
 * Cost: n log n. Deterministic. */
#include "model/calibrate.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS        WN_CALIBRATION_KNOTS
#define ECE_BINS    10
#define NEWTON_MAX  50
#define LOGIT_MAX   15.0
#define SLOPE_LEAST 1e-3f

static const char *const names[WN_CALIBRATION_METHODS] = {"none", "platt", "isotonic"};
const char *wn_calibration_method_name(unsigned method) {
  return method < WN_CALIBRATION_METHODS ? names[method] : NULL;
}

static double logistic(double x) {
  return 1 / (1 + exp(-x));
}
static double logit(double p) {
  return log(p) - log1p(-p);
}
static double clamp(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

void wn_calibration_init(wn_calibration *c) {
  memset(c, 0, sizeof *c);
  c->knots = 1;
  c->low = c->high = 1;
}

bool wn_calibration_good(const wn_calibration *c) {
  bool good = c->method < WN_CALIBRATION_METHODS && c->knots >= 1 &&
              c->knots <= WN_CALIBRATION_KNOTS && c->low > 0 && c->high > 0 && isfinite(c->low) &&
              isfinite(c->high);
  for (uint32_t i = 0; good && i < c->knots; i++)
    good = isfinite(c->x[i]) && isfinite(c->y[i]) &&
           (i == 0 || (c->x[i] > c->x[i - 1] && c->y[i] > c->y[i - 1]));
  return good;
}

float wn_calibrated(const wn_calibration *c, float margin) {
  uint32_t i = 0, last = c->knots - 1;
  double at;
  if (isnan(margin)) margin = 0;
  if (margin <= c->x[0]) {
    at = (double)c->y[0] + (double)c->low * ((double)margin - (double)c->x[0]);
  } else if (margin >= c->x[last]) {
    at = (double)c->y[last] + (double)c->high * ((double)margin - (double)c->x[last]);
  } else {
    while (margin > c->x[i + 1]) i++;
    double share = ((double)margin - (double)c->x[i]) / ((double)c->x[i + 1] - (double)c->x[i]);
    at = (double)c->y[i] + share * ((double)c->y[i + 1] - (double)c->y[i]);
  }
  return (float)logistic(clamp(at, -LOGIT_MAX, LOGIT_MAX));
}

static int by_margin(const void *left, const void *right) {
  const wn_calibration_sample *a = left, *b = right;
  if (a->margin != b->margin) return a->margin < b->margin ? -1 : 1;
  return (a->label > b->label) - (a->label < b->label);
}

/* --- Platt --- */

/* Fisher scoring of a, b in label ~ exposure · logistic(a · margin + b). */
static void fit_platt(const wn_calibration_sample *s, size_t len, wn_calibration *out) {
  double a = 1, b = 0;
  for (int step = 0; step < NEWTON_MAX; step++) {
    double ga = 1e-3 * (1 - a), gb = -1e-3 * b, haa = 1e-3, hab = 0, hbb = 1e-3;
    for (size_t i = 0; i < len; i++) {
      double x = (double)s[i].margin, q = clamp(logistic(a * x + b), 1e-9, 1 - 1e-9);
      double p = clamp((double)s[i].exposure * q, 1e-9, 1 - 1e-9), w = (double)s[i].weight;
      double g = w * (1 - q) * ((double)s[i].label - p) / (1 - p);
      double h = w * (1 - q) * (1 - q) * p / (1 - p);
      ga += g * x, gb += g;
      haa += h * x * x, hab += h * x, hbb += h;
    }
    double det = haa * hbb - hab * hab;
    if (!(det > 0)) break;
    double da = (ga * hbb - gb * hab) / det, db = (gb * haa - ga * hab) / det;
    a += clamp(da, -1, 1);
    b += clamp(db, -2, 2);
    if (fabs(da) + fabs(db) < 1e-9) break;
  }
  out->low = out->high = fmaxf((float)a, SLOPE_LEAST);
  out->knots = 1;
  out->y[0] = (float)b;
}

/* --- isotonic --- */

typedef struct block {
  double weight, margin, successes, exposure;
} block;

static double rate_of(const block *b) {
  return b->successes / b->exposure;
}

/* Bins of equal weight; samples of one margin share theirs. */
static size_t make_bins(const wn_calibration_sample *s, size_t len, block *bin) {
  double total = 0, done = 0, successes = 0, exposure = 0;
  size_t bins = 0;
  for (size_t i = 0; i < len; i++) {
    total += (double)s[i].weight;
    successes += (double)(s[i].weight * s[i].label);
    exposure += (double)(s[i].weight * s[i].exposure);
  }
  double base = clamp(successes / exposure, 1e-6, 1 - 1e-6);
  for (size_t i = 0; i < len; i++) {
    bool due = done * BINS >= (double)bins * total && bins < BINS;
    if (i == 0 || (due && s[i].margin > s[i - 1].margin))
      bin[bins++] = (block){.successes = base, .exposure = 1};
    block *b = &bin[bins - 1];
    b->weight += (double)s[i].weight;
    b->margin += (double)(s[i].weight * s[i].margin);
    b->successes += (double)(s[i].weight * s[i].label);
    b->exposure += (double)(s[i].weight * s[i].exposure);
    done += (double)s[i].weight;
  }
  return bins;
}

static size_t pool_violators(block *b, size_t len) {
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    b[n++] = b[i];
    while (n > 1 && rate_of(&b[n - 2]) >= rate_of(&b[n - 1])) {
      b[n - 2].weight += b[n - 1].weight;
      b[n - 2].margin += b[n - 1].margin;
      b[n - 2].successes += b[n - 1].successes;
      b[n - 2].exposure += b[n - 1].exposure;
      n--;
    }
  }
  return n;
}

static void fit_isotonic(const wn_calibration_sample *s, size_t len, wn_calibration *out) {
  block b[BINS];
  size_t n = pool_violators(b, make_bins(s, len, b));
  out->knots = 0;
  for (size_t i = 0; i < n; i++) {
    float x = (float)(b[i].margin / b[i].weight);
    float y = (float)logit(clamp(rate_of(&b[i]), 1e-6, 1 - 1e-6));
    uint32_t k = out->knots;
    if (k > 0 && (x <= out->x[k - 1] || y <= out->y[k - 1])) continue;
    out->x[k] = x;
    out->y[k] = y;
    out->knots++;
  }
}

wn_status wn_calibration_fit(wn_calibration_sample *samples, size_t len,
                             wn_calibration_method method, wn_calibration *out, wn_error *err) {
  wn_calibration_init(out);
  out->method = (uint32_t)method;
  if (len == 0 || method == WN_CALIBRATION_NONE) return WN_OK;
  qsort(samples, len, sizeof *samples, by_margin);
  if (method == WN_CALIBRATION_PLATT)
    fit_platt(samples, len, out);
  else
    fit_isotonic(samples, len, out);
  return wn_calibration_good(out) ? WN_OK : wn_fail(err, WN_E_INTERNAL, "calibration", "failed");
}

/* --- how good --- */

typedef struct predicted {
  double p;
  const wn_calibration_sample *of;
} predicted;

static int by_p(const void *left, const void *right) {
  const predicted *a = left, *b = right;
  if (a->p != b->p) return a->p < b->p ? -1 : 1;
  return (a->of > b->of) - (a->of < b->of);
}

static double ece_of(const predicted *all, size_t len, double total) {
  double sum = 0, done = 0, expected = 0, seen = 0;
  size_t bin = 1;
  for (size_t i = 0; i < len; i++) {
    expected += (double)all[i].of->weight * all[i].p;
    seen += (double)(all[i].of->weight * all[i].of->label);
    done += (double)all[i].of->weight;
    if (done * ECE_BINS < (double)bin * total && i + 1 < len) continue;
    sum += fabs(expected - seen);
    expected = seen = 0;
    while (done * ECE_BINS >= (double)bin * total && bin <= ECE_BINS) bin++;
  }
  return sum / total;
}

/* Ties count half. */
static double auc_of(const predicted *all, size_t len) {
  double below = 0, wins = 0, positives = 0;
  for (size_t i = 0, next; i < len; i = next) {
    double plus = 0, minus = 0;
    for (next = i; next < len && all[next].p == all[i].p; next++) {
      double w = (double)all[next].of->weight;
      if (all[next].of->label > 0)
        plus += w;
      else
        minus += w;
    }
    wins += plus * (below + minus / 2);
    below += minus;
    positives += plus;
  }
  return positives > 0 && below > 0 ? wins / (positives * below) : (double)NAN;
}

static wn_status measure(const wn_calibration_sample *s, size_t len, const wn_calibration *by[2],
                         wn_calibration_quality *out, wn_error *err) {
  predicted *all = wn_reallocarray(NULL, len + 1, sizeof *all);
  double total = 0;
  *out = (wn_calibration_quality){0};
  if (all == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) {
    double q = (double)wn_calibrated(by[s[i].fold & 1], s[i].margin);
    double p = clamp((double)s[i].exposure * q, 1e-9, 1 - 1e-9), y = (double)s[i].label;
    all[i] = (predicted){p, &s[i]};
    total += (double)s[i].weight;
    out->log_loss -= (double)s[i].weight * (y > 0 ? log(p) : log1p(-p));
    out->brier += (double)s[i].weight * (p - y) * (p - y);
  }
  if (len > 0) qsort(all, len, sizeof *all, by_p);
  if (total > 0) {
    out->log_loss /= total;
    out->brier /= total;
    out->ece = ece_of(all, len, total);
  }
  out->auc = auc_of(all, len);
  wn_free(all);
  return WN_OK;
}

/* Each fold by what the other one fitted. */
static wn_status cross_fit(wn_calibration_sample *s, size_t len, wn_calibration_method method,
                           wn_calibration_quality *out, wn_error *err) {
  wn_calibration of[2];
  wn_status status = WN_OK;
  wn_calibration_sample *half = wn_reallocarray(NULL, len + 1, sizeof *half);
  if (half == NULL) return wn_fail_memory(err);
  for (uint32_t fold = 0; fold < 2; fold++) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
      if ((s[i].fold & 1) != fold) half[n++] = s[i];
    WN_TRY(wn_calibration_fit(half, n, method, &of[fold], err));
  }
  WN_TRY(measure(s, len, (const wn_calibration *[2]){&of[0], &of[1]}, out, err));
cleanup:
  wn_free(half);
  return status;
}

wn_status wn_calibration_choose(wn_calibration_sample *samples, size_t len, wn_calibration *out,
                                wn_calibration_report *report, wn_error *err) {
  wn_status status = WN_OK;
  wn_calibration_method best = WN_CALIBRATION_NONE;
  WN_TRY(cross_fit(samples, len, best, &report->before, err));
  report->after = report->before;
  for (unsigned m = WN_CALIBRATION_PLATT; m < WN_CALIBRATION_METHODS; m++) {
    wn_calibration_quality q;
    WN_TRY(cross_fit(samples, len, (wn_calibration_method)m, &q, err));
    if (!(q.log_loss < report->after.log_loss)) continue;
    best = (wn_calibration_method)m;
    report->after = q;
  }
  WN_TRY(wn_calibration_fit(samples, len, best, out, err));
cleanup:
  return status;
}
