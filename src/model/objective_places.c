/* How likely a place is looked at.
 *
 * By chance: where the item of a place was drawn with a known probability p, each weighed by 1 / p
 * (100 at most), what stands there is the same on average at every place, and the rates of success
 * differ by the looks alone (Joachims, Swaminathan and Schnabel, WSDM 2017, intervention harvesting
 * by propensities). By margins: expectation maximisation of P = seen(place) · P(success if seen),
 * where seen = the mean of P(seen | what happened) (Wang et al., WSDM 2018, regression EM; as the
 * position factor of PAL, Guo et al., RecSys 2019, trees in place of networks). Relative to the
 * first place, never above 1. */
#include "model/objective_rows.h"

#include <math.h>
#include <string.h>

#define WEIGHT_MAX    100.0
#define SUCCESSES_MIN 10 /* drawn, at a place */
#define LEAST         0.02f

/* The first place is 1; places of which nothing is known are like those before them. */
static void make_relative(const bool *known, float seen[WN_PLACES + 1]) {
  float first = seen[1];
  seen[0] = 1;
  for (uint32_t k = 1; k <= WN_PLACES; k++) {
    float share = known[k] && first > 0 ? seen[k] / first : seen[k - 1];
    seen[k] = share < LEAST ? LEAST : share > 1 ? 1 : share;
  }
}

bool wn_places_by_chance(const wn_objective_view *v, float seen[WN_PLACES + 1]) {
  double shown[WN_PLACES + 1] = {0}, good[WN_PLACES + 1] = {0};
  size_t successes[WN_PLACES + 1] = {0}, places = 0;
  bool known[WN_PLACES + 1] = {false};
  for (size_t i = 0; v->rows->propensity != NULL && i < v->rows->rows; i++) {
    double p = (double)v->rows->propensity[i];
    uint32_t k = wn_view_place(v, i);
    if (k == 0 || !(p > 0 && p < 1) || !wn_view_known(v, i)) continue;
    double w = (double)v->rows->weight[i] * fmin(1 / p, WEIGHT_MAX);
    shown[k] += w;
    if (!wn_view_success(v, i)) continue;
    good[k] += w;
    successes[k]++;
  }
  for (uint32_t k = 1; k <= WN_PLACES; k++) {
    known[k] = successes[k] >= SUCCESSES_MIN;
    places += known[k];
    seen[k] = known[k] ? (float)(good[k] / shown[k]) : 0;
  }
  if (!known[1] || places < 2) return false;
  make_relative(known, seen);
  return true;
}

void wn_places_by_successes(const wn_objective_view *v, float seen[WN_PLACES + 1]) {
  double shown[WN_PLACES + 1] = {0}, good[WN_PLACES + 1] = {0};
  bool known[WN_PLACES + 1] = {false};
  for (size_t i = 0; i < v->rows->rows; i++) {
    if (!wn_view_known(v, i)) continue;
    uint32_t k = wn_view_place(v, i);
    shown[k] += (double)v->rows->weight[i];
    if (wn_view_success(v, i)) good[k] += (double)v->rows->weight[i];
  }
  for (uint32_t k = 1; k <= WN_PLACES; k++) {
    known[k] = shown[k] > 0;
    seen[k] = known[k] ? (float)((good[k] + 0.5) / (shown[k] + 1)) : 0;
  }
  make_relative(known, seen);
}

void wn_places_improve(const wn_objective_view *v, const float *margin, float seen[WN_PLACES + 1]) {
  double weight[WN_PLACES + 1] = {0}, looks[WN_PLACES + 1] = {0};
  bool known[WN_PLACES + 1] = {false};
  for (size_t i = 0; i < v->rows->rows; i++) {
    uint32_t k = wn_view_place(v, i);
    if (k == 0 || !wn_view_known(v, i) || wn_view_held_out(v, i)) continue;
    double e = (double)seen[k], q = 1 / (1 + exp(-(double)margin[i]));
    double look = wn_view_success(v, i) ? 1 : e * (1 - q) / fmax(1 - e * q, 1e-9);
    weight[k] += (double)v->rows->weight[i];
    looks[k] += (double)v->rows->weight[i] * look;
  }
  for (uint32_t k = 1; k <= WN_PLACES; k++) {
    known[k] = weight[k] > 0;
    if (known[k]) seen[k] = (float)(looks[k] / weight[k]);
  }
  make_relative(known, seen);
}
