/* Forward decay (Cormode, Shkapenyuk, Srivastava, Xu 2009): instead of fading every counter as
 * time passes, each event is stored with the weight 2^((t − landmark)/half-life), which grows with
 * its time t. All counters share the factor that brings them to the present, so their order
 * needs no clock, and adding an event touches one counter only.
 *
 * When the exponent passes REBASE, the landmark moves forward by a whole number of
 * half-lives: every counter is then multiplied by a power of two, which is exact. */

#include "model/decay.h"

#include "base/mem.h"
#include <math.h>
#include <string.h>

#define REBASE    64.0
#define COUNT_MAX 1e200 /* of a file: far above what events add up to, far below overflow */

void wn_decay_init(wn_decay *decay, double half_life_ms, double landmark_ms) {
  *decay = (wn_decay){.half_life_ms = half_life_ms, .landmark_ms = landmark_ms};
}

void wn_decay_clear(wn_decay *decay) {
  wn_free(decay->count);
  memset(decay, 0, sizeof *decay);
}

bool wn_decay_grow(wn_decay *decay, uint32_t items) {
  if (items <= decay->items) return true;
  if (items > decay->cap) {
    size_t cap = decay->cap + decay->cap / 2 > items ? decay->cap + decay->cap / 2 : items;
    double *bigger = wn_reallocarray(decay->count, cap, sizeof *bigger);
    if (bigger == NULL) return false;
    decay->count = bigger;
    decay->cap = cap;
  }
  memset(decay->count + decay->items, 0, (items - decay->items) * sizeof *decay->count);
  decay->items = items;
  return true;
}

static void rebase(wn_decay *decay, double half_lives) {
  int shift = (int)fmin(half_lives, 4096.0); /* beyond 2^−1074 all are zero anyway */
  for (uint32_t i = 0; i < decay->items; i++) decay->count[i] = ldexp(decay->count[i], -shift);
  decay->landmark_ms += half_lives * decay->half_life_ms;
}

bool wn_decay_add(wn_decay *decay, uint32_t ix, double weight, double time_ms) {
  if (decay->half_life_ms <= 0.0) {
    decay->count[ix] += weight;
    return false;
  }
  double exponent = (time_ms - decay->landmark_ms) / decay->half_life_ms;
  bool moved = exponent > REBASE;
  if (moved) {
    rebase(decay, floor(exponent));
    exponent = (time_ms - decay->landmark_ms) / decay->half_life_ms;
  }
  decay->count[ix] += weight * exp2(exponent);
  return moved;
}

double wn_decay_factor(const wn_decay *decay, double time_ms) {
  if (decay->half_life_ms <= 0.0) return 1.0;
  return exp2((decay->landmark_ms - time_ms) / decay->half_life_ms);
}

wn_status wn_decay_check(const double *count, uint32_t items, wn_error *err) {
  for (uint32_t i = 0; i < items; i++)
    if (!(count[i] >= 0.0 && count[i] <= COUNT_MAX))
      return wn_fail(err, WN_E_CORRUPT, "count", "must be finite and not negative, item %u", i);
  return WN_OK;
}

wn_status wn_decay_load(wn_decay *decay, const double *count, uint32_t items, wn_error *err) {
  wn_status status = wn_decay_check(count, items, err);
  if (status != WN_OK) return status;
  decay->items = 0;
  if (!wn_decay_grow(decay, items)) return wn_fail_memory(err);
  if (items > 0) memcpy(decay->count, count, items * sizeof *count);
  return WN_OK;
}

bool wn_decay_sane(double half_life_ms, double landmark_ms) {
  return half_life_ms >= 0.0 && half_life_ms <= 1e15 && fabs(landmark_ms) <= 1e15;
}
