#ifndef WN_MODEL_QUERY_H
#define WN_MODEL_QUERY_H
/* What the generators share when they answer a query: the positive part of a history, a sparse
 * sum of scores, and where scratch memory comes from. */

#include "model/model.h"

#define WN_QUERY_ARENA_MAX ((size_t)64 << 20) /* bytes, when the caller brings no arena */

/* A history entry that says something good. `step`: how many distinct times of such entries are
 * newer; items of one basket share a step, and so does a whole history without times. */
typedef struct wn_positive {
  wn_item_ix item;
  float weight;
  uint32_t step;
} wn_positive;

/* The newest positive entries (weight > 0, item < items, finite), newest first, at most `max`. */
size_t wn_query_positives(const wn_query *query, uint32_t items, size_t max, wn_positive *out);

static inline bool wn_query_allows(const wn_query *query, wn_item_ix ix) {
  return query->allowed == NULL || wn_bitset_test(query->allowed, ix);
}

/* The query's arena, or `local`, which this call then initialises; `local` is always to be cleared.
 */
wn_arena *wn_query_arena(const wn_query *query, wn_arena *local);

/* Sums of contributions by item, of which the positive ones are answers: dense when that is smaller
 * than a hash table of all additions, so memory is at most min(4 · items, 32 · adds_max) bytes
 * (least 64 KiB). */
typedef struct wn_accum {
  float *sum;    /* ≤ 0: no answer */
  uint32_t *key; /* NULL: dense */
  size_t slots;  /* a power of two, or the item count */
} wn_accum;

WN_MUST_USE bool wn_accum_init(wn_accum *accum, uint32_t items, size_t adds_max, wn_arena *arena);
/* At most adds_max calls. */
void wn_accum_add(wn_accum *accum, wn_item_ix ix, float x);
/* Offers every positive sum of an allowed item, except `without` (WN_NO_IX: none). */
void wn_accum_offer(const wn_accum *accum, const wn_query *query, wn_item_ix without, wn_topk *top);
/* The same into scores[items], which the caller has filled with −INFINITY. */
void wn_accum_spread(const wn_accum *accum, const wn_query *query, wn_item_ix without,
                     float *scores, uint32_t items);

/* scores[0 … items−1] = −INFINITY */
void wn_scores_clear(float *scores, uint32_t items);

#endif
