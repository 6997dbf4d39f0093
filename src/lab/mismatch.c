/* Do the arms have as many units as their shares say? χ² goodness of fit over all, with its twin
 * that may be looked at at any time (ab.h), and over the days on which units came, the surfaces on
 * which they did and the values of their users' attributes, where a fault that touches a few is
 * seen first: an arm that fails on one browser loses units there alone (Fabijan et al., KDD 2019).
 * The parts are corrected for their number; those with few units are left out. */
#include "lab/ab.h"
#include "lab/verdict.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define SEGMENT_UNITS_MIN 50 /* expected in each arm, for the χ² approximation */

static void day_text(int64_t day, char *out, size_t size) {
  time_t seconds = (time_t)(day * 86400);
  struct tm tm;
  gmtime_r(&seconds, &tm);
  strftime(out, size, "day %Y-%m-%d", &tm);
}

/* Arms of share 0 get nobody but by an override: they are no part of the ratio. */
static size_t with_share(const wn_experiment *e, const double *all, double *units, double *shares) {
  size_t len = 0;
  for (size_t a = 0; a < e->arms_len; a++) {
    if (!(e->arms[a].share > 0)) continue;
    units[len] = all[a];
    shares[len++] = e->arms[a].share;
  }
  return len;
}

/* The arms that have a share, of a part of the units; 0: too few units for χ². */
static size_t large_enough(const wn_experiment *e, const double *all, double *units,
                           double *shares) {
  double sum = 0, least = INFINITY;
  size_t len = with_share(e, all, units, shares);
  for (size_t a = 0; a < len; a++) sum += units[a];
  for (size_t a = 0; a < len; a++) least = fmin(least, shares[a] * sum);
  return least < SEGMENT_UNITS_MIN ? 0 : len;
}

/* A part of the units: `what` NULL only counts it as one more test. */
static void look_at(const wn_experiment *e, const double *all, const char *what, double *tests,
                    wn_experiment_verdict *out) {
  double units[WN_ARMS_MAX], shares[WN_ARMS_MAX];
  size_t len = large_enough(e, all, units, shares);
  if (what == NULL) *tests += len > 0;
  if (what == NULL || len == 0) return;
  wn_srm srm = wn_srm_test(units, shares, len);
  srm.p = fmin(1, srm.p * *tests);
  srm.alarm = srm.p < 0.001;
  if (out->worst.what[0] != '\0' && srm.p >= out->worst.srm.p) return;
  out->worst.srm = srm;
  snprintf(out->worst.what, sizeof out->worst.what, "%s", what);
}

/* Days, surfaces and values of attributes; corrected (Bonferroni) for as many as are tested. */
static void test_parts(const wn_experiment *e, const wn_outcome *outcome, bool counting,
                       double *tests, wn_experiment_verdict *out) {
  char what[sizeof out->worst.what];
  for (size_t s = 0; s < outcome->segments_len; s++) {
    snprintf(what, sizeof what, "surface %s", outcome->segments[s].surface);
    look_at(e, outcome->segments[s].units, counting ? NULL : what, tests, out);
  }
  for (size_t g = 0; g < outcome->groups_len; g++)
    look_at(e, outcome->groups[g].units, counting ? NULL : outcome->groups[g].name, tests, out);
  for (size_t d = 0; d < outcome->days_len; d++) {
    day_text(outcome->days[d].day, what, sizeof what);
    look_at(e, outcome->days[d].new_units, counting ? NULL : what, tests, out);
  }
}

void wn_verdict_sizes(const wn_experiment *e, const wn_outcome *outcome,
                      wn_experiment_verdict *out) {
  double all[WN_ARMS_MAX], units[WN_ARMS_MAX], shares[WN_ARMS_MAX];
  double tests = 0;
  for (size_t a = 0; a < e->arms_len; a++) {
    all[a] = (double)outcome->arms[a].units;
    out->units += all[a];
  }
  size_t len = with_share(e, all, units, shares);
  out->srm_always_p = out->srm.p = 1;
  if (out->units < 1 || len < 2) return;
  out->srm = wn_srm_test(units, shares, len);
  out->srm_always_p = fmin(1, exp(-wn_srm_log_factor(units, shares, len)));
  test_parts(e, outcome, true, &tests, out);
  test_parts(e, outcome, false, &tests, out);
  /* The whole is looked at again and again: only the twin that allows that may hide it. */
  out->hidden = out->srm_always_p < 0.001 || (out->worst.what[0] != '\0' && out->worst.srm.alarm);
}
