#ifndef WN_LAB_COLD_H
#define WN_LAB_COLD_H
/* How many impressions a new item needs until what it is worth shows: what `explore: cold` is to be
 * given. */

#include "data/signals.h"
#include "store/store.h"

typedef struct wn_place {
  wn_str surface;
  uint32_t position; /* 1-based */
  int64_t since_ms;
} wn_place;

/* How often what stands at a place is answered by an event of positive weight. */
typedef struct wn_place_rate {
  double usual;    /* of the item drawn by chance where any was, else of all that stood there */
  uint64_t drawn;  /* impressions there with a propensity below 1 */
  uint64_t slates; /* that reached the place */
  int64_t first_ms, last_ms;
} wn_place_rate;
WN_MUST_USE wn_status wn_place_rate_count(wn_store *store, const wn_signals *signals,
                                          const wn_place *place, wn_place_rate *out, wn_error *err);

/* Impressions at a place until an item whose answers are `times` as frequent as the known rate
 * `usual` is told from it, one-sided at `alpha`, with this power. INFINITY where it never is; times
 * · usual counts as 1 at most. */
double wn_impressions_needed(double usual, double times, double alpha, double power);

#endif
