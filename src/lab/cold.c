/* Planning the exploration of new items.
 *
 * One sample against a known rate: n = ((z_α √(p q) + z_β √(p′ q′)) / (p′ − p))² with p the usual
 * item's rate at the place and p′ the new one's (Fleiss, Levin and Paik 2003, 2.4, without the
 * correction for continuity). Rates are those at the place, so that what is lost because people do
 * not look is in them. The known rate is an average over very many impressions beside those of one
 * item; its own error is left out.
 *
 * The usual item's rate: where the place was drawn, each impression weighs 1 / propensity (at most
 * WEIGHT_MAX), which makes it the mean item's whatever the policy prefers; elsewhere it is the rate
 * of what the policy put there, which is better than a new item's. One scan of the slates with
 * their answers. */
#include "lab/cold.h"

#include "base/special.h"
#include "model/looks.h"

#include <math.h>

#define WEIGHT_MAX 100.0

typedef struct counting {
  const wn_signals *signals;
  const wn_place *place;
  wn_place_rate *out;
  double shown, answered; /* weighed, where drawn */
  uint64_t answers;       /* of all slates */
} counting;

static wn_status count_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                             size_t len, wn_error *err WN_UNUSED) {
  counting *c = ctx;
  size_t at = c->place->position - 1;
  if (!wn_str_equal(slate->surface, c->place->surface) || at >= slate->len) return WN_OK;
  bool answered = wn_looks_answered(c->signals, answers, len, c->place->position);
  double p = slate->propensities != NULL ? (double)slate->propensities[at] : 1;
  if (c->out->slates++ == 0) c->out->first_ms = slate->time_ms;
  c->out->last_ms = slate->time_ms;
  c->answers += answered;
  if (!(p > 0 && p < 1)) return WN_OK;
  double weight = fmin(1 / p, WEIGHT_MAX);
  c->out->drawn++;
  c->shown += weight;
  c->answered += answered ? weight : 0;
  return WN_OK;
}

wn_status wn_place_rate_count(wn_store *store, const wn_signals *signals, const wn_place *place,
                              wn_place_rate *out, wn_error *err) {
  wn_answered_options how;
  counting c = {.signals = signals, .place = place, .out = out};
  *out = (wn_place_rate){0};
  wn_answered_options_defaults(&how);
  how.since_ms = place->since_ms;
  wn_status status = wn_store_scan_answered(store, &how, count_slate, &c, err);
  if (out->drawn > 0)
    out->usual = c.answered / c.shown;
  else if (out->slates > 0)
    out->usual = (double)c.answers / (double)out->slates;
  return status;
}

double wn_impressions_needed(double usual, double times, double alpha, double power) {
  double good = fmin(times * usual, 1), apart = fabs(good - usual);
  if (!(usual > 0) || !(apart > 0)) return INFINITY;
  double root = wn_normal_quantile(1 - alpha) * sqrt(usual * (1 - usual)) +
                wn_normal_quantile(power) * sqrt(good * (1 - good));
  return root * root / (apart * apart);
}
