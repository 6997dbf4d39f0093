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
  uint8_t type; /* WN_SIGNALS_TOLD: not known */
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
void wn_accum_add_hashed(wn_accum *accum, wn_item_ix ix, float x);
/* At most adds_max calls. */
static inline void wn_accum_add(wn_accum *accum, wn_item_ix ix, float x) {
  if (accum->key == NULL)
    accum->sum[ix] += x;
  else
    wn_accum_add_hashed(accum, ix, x);
}

/* A model's answer as sums by item: what the models that only add rows up have in common. */
typedef struct wn_ask {
  wn_accum accum;
  bool any;           /* false: nothing to say, `accum` is not set */
  wn_item_ix without; /* the anchor itself; WN_NO_IX: none */
} wn_ask;
/* Fills `ask`, which comes as {.without = WN_NO_IX}. */
typedef wn_status wn_ask_fn(wn_ask *ask, const wn_model *model, const wn_query *query,
                            wn_arena *arena, wn_error *err);
/* Offers every positive sum of an allowed item to `top`. False: no memory. */
WN_MUST_USE bool wn_ask_offer(const wn_ask *ask, const wn_query *query, wn_topk *top,
                              wn_arena *arena);
/* Both. */
WN_MUST_USE wn_status wn_ask_top(wn_ask_fn *fill, const wn_model *model, const wn_query *query,
                                 wn_topk *top, wn_error *err);
/* The same into scores[items], the others being −INFINITY. */
WN_MUST_USE wn_status wn_ask_all(wn_ask_fn *fill, const wn_model *model, const wn_query *query,
                                 float *scores, uint32_t items, wn_error *err);

/* `similar` of the classes whose candidates answer an anchor where there is no history. */
WN_MUST_USE wn_status wn_anchor_similar(const wn_model *model, const wn_query *query, size_t k,
                                        wn_scored *out, size_t *count, wn_error *err);

/* scores[0 … items−1] = −INFINITY */
void wn_scores_clear(float *scores, uint32_t items);

#endif
