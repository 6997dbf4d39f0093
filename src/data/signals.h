#ifndef WN_DATA_SIGNALS_H
#define WN_DATA_SIGNALS_H
/* What each event type means: the weight of the fact, how it fades, whether it marks an item as
 * seen. Declared under `signals:` in winnow.yaml; types that nobody declared get the
 * defaults of wn_signals_defaults() or, unknown there too, weight 1. */

#include "base/record.h"

#define WN_SIGNALS_DECLARED_MAX 256 /* built in and in the configuration */
#define WN_SIGNALS_MAX          (WN_SIGNALS_DECLARED_MAX + WN_EVENT_TYPES_MAX)
#define WN_SIGNAL_NAME_MAX      64
#define WN_SIGNAL_LEVEL_MAX     3
#define WN_SIGNALS_TOLD         63 /* types from here on are not told apart in a pair: one number */

/* Where a user stands with an item. */
typedef enum wn_standing {
  WN_STANDING_NONE,
  WN_STANDING_OPEN, /* begun: in the cart, half watched, kept for later */
  WN_STANDING_DONE, /* finished, bought, or not wanted */
} wn_standing;

typedef struct wn_signal {
  char name[WN_SIGNAL_NAME_MAX + 1];
  float weight;         /* may be negative (dislike); 0: seen, but says nothing */
  float half_life_days; /* 0: never fades */
  float value_min;      /* events with a value below it weigh `below`; NAN: value is ignored */
  float below;          /* weight of an event under value_min */
  bool use_value;       /* multiply the weight by the value (a count, a watch fraction) */
  wn_standing standing; /* what such an event makes of it */
  bool seen;            /* such an event marks the item as seen by the user */
  uint16_t level; /* 0 … WN_SIGNAL_LEVEL_MAX: how strong a fact; models may tell levels apart */
  bool declared;  /* by config or defaults; false: met in the log only */
} wn_signal;

/* Index = event type number, the same numbers as the store's event_types table. */
typedef struct wn_signals {
  wn_signal data[WN_SIGNALS_MAX];
  size_t len;
} wn_signals;

/* view 1, click 1, like 3, dislike −2, rating 1 (value_min 3, below 0), cart 2, buy and purchase 4,
 * … see signals.c for the table. */
void wn_signals_defaults(wn_signals *signals);
/* Finds by name or appends with weight 1; WN_NO_IX when full. */
uint32_t wn_signals_add(wn_signals *signals, wn_str name);
uint32_t wn_signals_find(const wn_signals *signals, wn_str name); /* WN_NO_IX: absent */
/* By the types that occurred (bit t: type t, bit 63: it and all beyond) and the sum of their
 * weights: done when one of them does it, or when the shares of an open type alone (use_value) add
 * up to nine tenths; else open when one of them opens. */
wn_standing wn_signals_standing(const wn_signals *signals, uint64_t mask, float weight);
/* A type of a pair that had several: that of the highest level, of these the weightiest, of these
 * the first. Both below WN_SIGNALS_TOLD, or WN_SIGNALS_TOLD itself. `signals` may be NULL. */
uint8_t wn_signal_stronger(const wn_signals *signals, uint8_t a, uint8_t b);
uint8_t wn_signal_strongest(const wn_signals *signals, uint64_t mask); /* bit t: type t */
static inline uint8_t wn_signal_told(uint32_t type) {
  return (uint8_t)(type < WN_SIGNALS_TOLD ? type : WN_SIGNALS_TOLD);
}
/* Of a type as above; 0 for WN_SIGNALS_TOLD. */
uint8_t wn_signal_level(const wn_signals *signals, uint8_t type);
/* Weight of one event at time `now_ms`: signal weight × value rule × 2^(−age/half-life).
 * `type` out of range gives 1. */
float wn_signal_weight(const wn_signals *signals, uint32_t type, double value, int64_t time_ms,
                       int64_t now_ms);

#endif
