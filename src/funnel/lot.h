#ifndef WN_FUNNEL_LOT_H
#define WN_FUNNEL_LOT_H
/* What may stand at one place, and how likely: the same for drawing an item and for judging one
 * that was shown, so that a logged propensity is what was drawn by. */

#include "base/rng.h"
#include "funnel/stages.h"

typedef struct wn_lot {
  const double *p; /* [len] of each candidate, Σ = 1; NULL: nothing is drawn among candidates */
  size_t len;
  const wn_item_ix *who; /* not NULL: p is of these, which nobody need have proposed */
  size_t sure;           /* p NULL and no items: this candidate, surely; candidates_len: none */
  wn_bitset items;       /* words not NULL: any of these, all alike */
  size_t items_len;      /* how many */
  wn_explore explored;
  uint32_t below; /* drawn for want of so many impressions; 0: not for that */
  bool quota;     /* among those that a quota needs */
  const char *why;
} wn_lot;

bool wn_lot_holds(const wn_lot *lot, size_t candidates_len);
/* The probability of an item, which is that candidate (or none). */
double wn_lot_of(const wn_lot *lot, size_t candidate, wn_item_ix item);
/* A candidate, or *item of those that may be none (then SIZE_MAX). */
size_t wn_lot_draw(const wn_lot *lot, wn_rng *rng, wn_item_ix *item);

/* What may fill a place, each with its share of the slates. Begins as {.rest = 1}. */
typedef struct wn_lots {
  wn_lot lot[3];
  double share[3];
  size_t len;
  double rest; /* what is not shared out; it goes to all by their shares */
} wn_lots;
/* A lot takes `part` of what is left, if it holds anything. */
void wn_lots_add(wn_lots *lots, const wn_lot *lot, size_t candidates_len, double part);
const wn_lot *wn_lots_pick(const wn_lots *lots, wn_rng *rng); /* of one at least */
double wn_lots_of(const wn_lots *lots, size_t candidate, wn_item_ix item);

/* The items of the catalogue that may be shown, that `where` (NULL: none) allows, that the surface
 * has shown fewer than `below` times and that do not stand in the slate. */
WN_MUST_USE wn_status wn_lot_cold(wn_funnel *funnel, uint32_t below, const wn_bitset *where,
                                  wn_lot *out, wn_error *err);
/* Once nothing is taken out of them any more; the trace is told. */
void wn_lot_cold_count(wn_funnel *funnel, const wn_slot *slot, wn_lot *lot);

#endif
