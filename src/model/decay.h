#ifndef WN_MODEL_DECAY_H
#define WN_MODEL_DECAY_H
/* Counters that fade: one a item, each the sum of w·2^(−age/half-life) of its events. */

#include "base/record.h"

typedef struct wn_decay {
  double half_life_ms; /* 0: never fades */
  double landmark_ms;
  double *count; /* [items]: Σ w·2^((t − landmark)/half-life) */
  size_t cap;
  uint32_t items;
} wn_decay;

void wn_decay_init(wn_decay *decay, double half_life_ms, double landmark_ms);
void wn_decay_clear(wn_decay *decay);
/* At least `items`, new ones 0. False: out of memory, nothing changed. */
WN_MUST_USE bool wn_decay_grow(wn_decay *decay, uint32_t items);
/* ix < items, weight > 0. True when the landmark moved, which rescales every counter. */
bool wn_decay_add(wn_decay *decay, uint32_t ix, double weight, double time_ms);
/* What to multiply counts with to have them as of `time_ms`. */
double wn_decay_factor(const wn_decay *decay, double time_ms);
/* Every counter is finite and not negative, or WN_E_CORRUPT. */
WN_MUST_USE wn_status wn_decay_check(const double *count, uint32_t items, wn_error *err);
/* Replaces the counters with those of a snapshot: finite and ≥ 0, or WN_E_CORRUPT. */
WN_MUST_USE wn_status wn_decay_load(wn_decay *decay, const double *count, uint32_t items,
                                    wn_error *err);
/* Half-life and landmark as read from a file are believable. */
bool wn_decay_sane(double half_life_ms, double landmark_ms);

#endif
