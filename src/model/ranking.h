#ifndef WN_MODEL_RANKING_H
#define WN_MODEL_RANKING_H
/* Items ranked by one score that does not depend on the user: what popular, trending and newest
 * share. The best WN_RANKING_TOP items are kept in order, exactly, while scores change; a query
 * walks that list, and scans all items only when a filter leaves too few of it.
 *
 * Readers may be many at once; set, grow and stale need exclusive access (as wn_model's update).
 * A stale ranking is recomputed by the first reader that needs it. */

#include "model/model.h"

#define WN_RANKING_TOP 4096u

typedef struct wn_ranking wn_ranking;

/* Recomputes all scores (finite; `items` of them) from the model's own state. Must not fail. */
typedef void wn_ranking_fill(void *ctx, float *scores, uint32_t items);

/* `fill`, `ctx`: called by readers of a stale ranking, one at a time. NULL: out of memory. */
wn_ranking *wn_ranking_create(wn_ranking_fill *fill, void *ctx);
void wn_ranking_free(wn_ranking *ranking);
size_t wn_ranking_bytes(const wn_ranking *ranking);
uint32_t wn_ranking_items(const wn_ranking *ranking);
/* At least `items` items; new ones get `score`. False: out of memory, nothing changed. */
WN_MUST_USE bool wn_ranking_grow(wn_ranking *ranking, uint32_t items, float score);
/* One item's score; O(log TOP) and a move within the list. */
void wn_ranking_set(wn_ranking *ranking, uint32_t ix, float score);
/* All scores have changed. */
void wn_ranking_stale(wn_ranking *ranking);

/* The k best allowed items; ties to the lower index. Full when k items are allowed. */
size_t wn_ranking_candidates(wn_ranking *ranking, const wn_bitset *allowed, size_t k,
                             wn_scored *out);
/* Scores of 0 … items−1; −INFINITY for items that are unknown or not allowed. */
void wn_ranking_scores(wn_ranking *ranking, const wn_bitset *allowed, float *scores,
                       uint32_t items);

/* The first allowed index ≥ from, or `items`. */
uint32_t wn_allowed_next(const wn_bitset *allowed, uint32_t from, uint32_t items);

#endif
