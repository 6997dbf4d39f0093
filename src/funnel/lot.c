/* Drawing what stands at a place (lot.h), and the lots of exploration.
 *
 * Cold items are drawn from the whole catalogue, since no generator proposes what nobody has met:
 * every item that filters allow and that its surface has shown less often than it is to be, all
 * alike. So each cold item has the same chance at each slate, 1 in as many as there are, until it
 * has had its impressions. Cost: a few operations for each 64 items of the catalogue. */
#include "funnel/lot.h"

bool wn_lot_holds(const wn_lot *lot, size_t candidates_len) {
  return lot->p != NULL ||
         (lot->items.words != NULL ? lot->items_len > 0 : lot->sure < candidates_len);
}

double wn_lot_of(const wn_lot *lot, size_t candidate, wn_item_ix item) {
  for (size_t i = 0; lot->who != NULL && i < lot->len; i++)
    if (lot->who[i] == item) return lot->p[i];
  if (lot->who != NULL) return 0;
  if (lot->p != NULL) return candidate < lot->len ? lot->p[candidate] : 0;
  if (lot->items.words != NULL)
    return wn_bitset_test(&lot->items, item) ? 1 / (double)lot->items_len : 0;
  return candidate == lot->sure;
}

static size_t draw_by(const double *p, size_t len, wn_rng *rng) {
  double at = wn_rng_double(rng);
  size_t last = 0;
  for (size_t i = 0; i < len; i++) {
    if (p[i] > 0) last = i;
    if (at < p[i]) return i;
    at -= p[i];
  }
  return last; /* rounding */
}

size_t wn_lot_draw(const wn_lot *lot, wn_rng *rng, wn_item_ix *item) {
  if (lot->items.words != NULL && lot->items_len > 0) {
    *item = (wn_item_ix)wn_bitset_nth(&lot->items, (size_t)wn_rng_below(rng, lot->items_len));
    return SIZE_MAX;
  }
  if (lot->p == NULL) return lot->sure;
  size_t chosen = draw_by(lot->p, lot->len, rng);
  if (lot->who == NULL) return chosen;
  *item = lot->who[chosen];
  return SIZE_MAX;
}

void wn_lots_add(wn_lots *lots, const wn_lot *lot, size_t candidates_len, double part) {
  if (!(part > 0) || !wn_lot_holds(lot, candidates_len)) return;
  lots->lot[lots->len] = *lot;
  lots->share[lots->len++] = lots->rest * part;
  lots->rest -= lots->rest * part;
}

const wn_lot *wn_lots_pick(const wn_lots *lots, wn_rng *rng) {
  double at = lots->len > 1 ? wn_rng_double(rng) * (1 - lots->rest) : 0;
  size_t k = 0;
  while (k + 1 < lots->len && at >= lots->share[k]) at -= lots->share[k++];
  return &lots->lot[k];
}

double wn_lots_of(const wn_lots *lots, size_t candidate, wn_item_ix item) {
  double p = 0;
  for (size_t k = 0; k < lots->len; k++)
    p += lots->share[k] * wn_lot_of(&lots->lot[k], candidate, item);
  return p / (1 - lots->rest);
}

wn_status wn_lot_cold(wn_funnel *funnel, uint32_t below, const wn_bitset *where, wn_lot *out,
                      wn_error *err) {
  const wn_exposed *exposed = funnel->request->exposed;
  *out = (wn_lot){
      .sure = funnel->candidates_len, .explored = WN_EXPLORE_COLD, .below = below, .why = "cold"};
  if (!wn_bitset_init_arena(&out->items, funnel->allowed.bits, funnel->arena))
    return wn_fail_memory(err);
  wn_bitset_copy(&out->items, &funnel->allowed);
  if (where != NULL) wn_bitset_and(&out->items, where);
  for (size_t i = 0; i < funnel->slate_len; i++)
    wn_bitset_unset(&out->items, funnel->slate[i].item);
  return exposed != NULL ? exposed->cold(exposed->ctx, below, &out->items, err) : WN_OK;
}

void wn_lot_cold_count(wn_funnel *funnel, const wn_slot *slot, wn_lot *lot) {
  lot->items_len = wn_bitset_count(&lot->items);
  wn_funnel_note(funnel, "cold slot at %u: %zu items were shown fewer than %u times",
                 slot->position, lot->items_len, slot->impressions);
}
