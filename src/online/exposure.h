#ifndef WN_ONLINE_EXPOSURE_H
#define WN_ONLINE_EXPOSURE_H
/* What was shown and what came of it, as of this moment: impressions and answers of each item on
 * each surface, and the newest slates of all, which tell to whom an item was shown in vain. What
 * exploration and fatigue go by.
 *
 * Counts are kept for every (surface, item) that was ever shown, 17 bytes a place of the hash
 * table; slates in a ring of at most `impressions_max` shown items, 5 bytes each (25 once there is
 * a context), and 48 a slate.
 * An event answers a slate of the ring by the rule of store/answered.h: the one that it names, else
 * the last that showed its item to its user in the window before it; an impression is answered
 * once. Thread-safe: one lock, held for a microsecond. */

#include "model/exposed.h"

typedef struct wn_exposure wn_exposure;

typedef struct wn_exposure_options {
  size_t impressions_max; /* in the ring; default 4,000,000 */
  int64_t window_ms;      /* default 24 h */
} wn_exposure_options;

typedef struct wn_exposed_slate {
  wn_str id;
  wn_str surface;
  wn_str user; /* known or not; absent: nobody in particular */
  int64_t time_ms;
  const wn_item_ix *items;
  size_t len;
  wn_str context; /* a wn_context_row of each item, zero of those without; absent, or of another
                     length: of none */
} wn_exposed_slate;

/* An item that was put for want of impressions; to be refused once it has as many as `below`. */
typedef struct wn_exposure_claim {
  wn_item_ix item;
  uint32_t below;
} wn_exposure_claim;

void wn_exposure_options_defaults(wn_exposure_options *options);
wn_exposure *wn_exposure_create(const wn_exposure_options *options); /* NULL: no memory */
void wn_exposure_free(wn_exposure *exposure);

/* Counts a slate. *refused (NULL: no claims): a claim came too late, and nothing was counted. A
 * slate that is in the ring already is not counted twice. */
WN_MUST_USE wn_status wn_exposure_add(wn_exposure *exposure, const wn_exposed_slate *slate,
                                      const wn_exposure_claim *claims, size_t claims_len,
                                      bool *refused, wn_error *err);
/* Takes back what was not shown after all. */
void wn_exposure_withdraw(wn_exposure *exposure, wn_str slate);
/* A positive event; `slate` absent: of its user, whose id `user` is. */
void wn_exposure_answer(wn_exposure *exposure, wn_str slate, wn_str user, wn_item_ix item,
                        int64_t time_ms);
/* After a user's deletion: nothing is known of what was shown to her. Counts stay. */
void wn_exposure_forget(wn_exposure *exposure, wn_str user);

/* Of items on a surface; *all: of all items there (NULL is fine). */
void wn_exposure_tally(wn_exposure *exposure, wn_str surface, const wn_item_ix *items, size_t len,
                       wn_tally *out, wn_tally *all);
/* Takes the items out of `set` that were shown `below` times or more on the surface. WN_E_MEMORY */
WN_MUST_USE wn_status wn_exposure_cold(wn_exposure *exposure, wn_str surface, uint32_t below,
                                       wn_bitset *set, wn_error *err);
/* The times that each item was shown to the user (there, or everywhere) since she last answered it.
 */
typedef struct wn_exposure_whom {
  wn_str surface, user;
  wn_before_ask ask;
} wn_exposure_whom;
void wn_exposure_before(wn_exposure *exposure, const wn_exposure_whom *whom,
                        const wn_item_ix *items, size_t len, wn_before *out);

/* What was learnt of slates with a context. */
void wn_exposure_linear(wn_exposure *exposure, wn_str surface, wn_linear *out);

/* Of counts and of what was learnt: the same in whatever order slates and answers came. */
uint64_t wn_exposure_digest(wn_exposure *exposure);
size_t wn_exposure_bytes(wn_exposure *exposure);

#endif
