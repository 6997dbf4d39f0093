#ifndef WN_STORE_ANSWERED_H
#define WN_STORE_ANSWERED_H
/* Slates with the events that answer them: what outcomes of experiments, labels of rankers and
 * off-policy estimates are counted from, so that all of them agree on which event belongs to which
 * impression. */

#include "store/store.h"

/* An event that answers a slate. */
typedef struct wn_answer {
  uint64_t seq;
  wn_item_ix item;
  uint32_t position; /* 1-based; 0: the event names the slate, but the item was not in it */
  uint32_t type;
  double value; /* NAN: none */
  int64_t time_ms;
} wn_answer;

typedef struct wn_answered_options {
  int64_t since_ms;  /* slates shown from then on */
  int64_t window_ms; /* see below; default 24 hours */
} wn_answered_options;
void wn_answered_options_defaults(wn_answered_options *options);

/* An event that names its slate answers that one, whenever it came. One that does not answers the
 * last slate that showed its item to its user, no more than `window_ms` before it. So each event
 * answers at most one slate; a slate's answers come by ascending seq. Slates ascending in time,
 * those without an answer too. Two scans of the slates and one of the log; memory: 48 bytes an
 * event since `since_ms`. */
WN_MUST_USE wn_status wn_store_scan_answered(wn_store *store, const wn_answered_options *options,
                                             wn_status (*each)(void *ctx, const wn_slate_log *slate,
                                                               const wn_answer *answers, size_t len,
                                                               wn_error *err),
                                             void *ctx, wn_error *err);

#endif
