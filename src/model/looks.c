/* Impressions as looks. What stands further down is looked at less, so that ten impressions at the
 * last place are no ten chances to please.
 *
 * How likely a place is looked at is told by what was drawn by chance: where the item of a place
 * had a known probability p < 1, each impression weighed by 1 / p (at most WEIGHT_MAX), the same
 * items stand everywhere on average, and the places' rates of answers differ by the looks alone
 * (Joachims, Swaminathan and Schnabel, WSDM 2017). Departure: the rates are pooled over slates
 * whatever the slate's other items are, so that a cascade's end counts as position. Places with
 * fewer than ANSWERS_MIN answers drawn are like those before them, a rate above the place before
 * is noise and counts as equal, and where two places are not known all impressions count alike.
 *
 * One scan of the slates with their answers. Memory 4·(WN_PLACES + 1) bytes an item. Deterministic;
 * one thread. */
#include "model/looks.h"

#include "base/mem.h"

#include <math.h>

#define WEIGHT_MAX  100.0
#define ANSWERS_MIN 10.0 /* drawn, at a place */

typedef struct counting {
  const wn_looks_log *log;
  uint32_t *shown; /* items × (WN_PLACES + 1) */
  double drawn[WN_PLACES + 1], answered[WN_PLACES + 1], answers[WN_PLACES + 1];
} counting;

bool wn_looks_answered(const wn_signals *signals, const wn_answer *answers, size_t len,
                       size_t position) {
  for (size_t a = 0; a < len; a++)
    if (answers[a].position == position &&
        wn_signal_weight(signals, answers[a].type, answers[a].value, answers[a].time_ms,
                         answers[a].time_ms) > 0)
      return true;
  return false;
}

static wn_status count_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                             size_t len, wn_error *err WN_UNUSED) {
  counting *c = ctx;
  for (size_t i = 0; i < slate->len; i++) {
    size_t item = slate->items[i], place = i < WN_PLACES ? i + 1 : WN_PLACES;
    double p = slate->propensities != NULL ? (double)slate->propensities[i] : 1;
    if (item < c->log->items && c->shown[item * (WN_PLACES + 1) + place] < UINT32_MAX)
      c->shown[item * (WN_PLACES + 1) + place]++;
    if (!(p > 0 && p < 1)) continue;
    double weight = fmin(1 / p, WEIGHT_MAX);
    bool answer = wn_looks_answered(c->log->signals, answers, len, i + 1);
    c->drawn[place] += weight;
    c->answered[place] += answer ? weight : 0;
    c->answers[place] += answer;
  }
  return WN_OK;
}

static void find_looks(const counting *c, float seen[WN_PLACES + 1]) {
  size_t known = 0;
  for (size_t k = 1; k <= WN_PLACES; k++) known += c->answers[k] >= ANSWERS_MIN;
  bool told = known >= 2 && c->answers[1] >= ANSWERS_MIN;
  double first = told ? c->answered[1] / c->drawn[1] : 1;
  seen[0] = seen[1] = 1;
  for (size_t k = 2; k <= WN_PLACES; k++) {
    bool here = told && c->answers[k] >= ANSWERS_MIN;
    float rate = here ? (float)(c->answered[k] / c->drawn[k] / first) : 1;
    seen[k] = fminf(rate, seen[k - 1]);
  }
}

wn_status wn_looks_count(const wn_looks_log *log, float *out, float seen[WN_PLACES + 1],
                         wn_error *err) {
  wn_status status = WN_OK;
  wn_answered_options how;
  size_t places = WN_PLACES + 1;
  counting c = {.log = log, .shown = wn_calloc(log->items * places + 1, sizeof *c.shown)};
  if (c.shown == NULL) return wn_fail_memory(err);
  wn_answered_options_defaults(&how);
  how.since_ms = log->since_ms;
  WN_TRY(wn_store_scan_answered(log->store, &how, count_slate, &c, err));
  find_looks(&c, seen);
  for (size_t i = 0; i < log->items; i++) {
    double looks = 0;
    for (size_t k = 1; k < places; k++) looks += (double)c.shown[i * places + k] * (double)seen[k];
    out[i] = (float)looks;
  }
cleanup:
  wn_free(c.shown);
  return status;
}
