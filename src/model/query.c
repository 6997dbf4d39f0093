#include "model/query.h"

#include "base/simd/simd.h"
#include "base/sort.h"

#include <float.h>
#include <math.h>
#include <string.h>

size_t wn_query_positives(const wn_query *query, uint32_t items, size_t max, wn_positive *out) {
  size_t n = 0;
  uint32_t step = 0;
  int64_t last = 0;
  for (size_t i = 0; i < query->history_len && n < max; i++) {
    const wn_history_entry *h = &query->history[i];
    if (h->item >= items || !(h->weight > 0) || !isfinite(h->weight)) continue;
    if (n > 0 && h->time_ms != last) step++;
    last = h->time_ms;
    uint8_t type = query->history_type != NULL ? query->history_type[i] : WN_SIGNALS_TOLD;
    out[n++] = (wn_positive){h->item, h->weight, step, type};
  }
  return n;
}

wn_arena *wn_query_arena(const wn_query *query, wn_arena *local) {
  wn_arena_init(local, WN_QUERY_ARENA_MAX);
  return query->arena != NULL ? query->arena : local;
}

#define OFFER_BLOCK ((size_t)256)   /* the bar rises between blocks */
#define DENSE_ITEMS ((size_t)16384) /* always dense up to here */

bool wn_accum_init(wn_accum *accum, uint32_t items, size_t adds_max, wn_arena *arena) {
  memset(accum, 0, sizeof *accum);
  if (items <= DENSE_ITEMS || items / 8 <= adds_max) {
    accum->slots = items;
  } else {
    accum->slots = 64;
    while (accum->slots < 2 * adds_max) accum->slots *= 2;
    accum->key = wn_arena_alloc(arena, accum->slots * sizeof *accum->key);
    if (accum->key == NULL) return false;
    memset(accum->key, 0xff, accum->slots * sizeof *accum->key); /* WN_NO_IX: free */
  }
  accum->sum = wn_arena_calloc(arena, accum->slots > 0 ? accum->slots : 1, sizeof *accum->sum);
  return accum->sum != NULL;
}

void wn_accum_add_hashed(wn_accum *accum, wn_item_ix ix, float x) {
  size_t slot = (ix * (uint64_t)0x9e3779b97f4a7c15u >> 32) & (accum->slots - 1);
  while (accum->key[slot] != ix && accum->key[slot] != WN_NO_IX) {
    slot = (slot + 1) & (accum->slots - 1);
  }
  accum->key[slot] = ix;
  accum->sum[slot] += x;
}

/* The best of what is positive are kept as sortable keys, four times as many as are wanted before
 * the worst are dropped: a heap's work for each was a third of a search. */
typedef struct offers {
  uint64_t *key; /* [4·k + OFFER_BLOCK] */
  size_t len, k;
  float least; /* no smaller score is among the k best */
} offers;

static void drop_worst(offers *o) {
  if (o->len <= o->k) return;
  wn_select_u64(o->key, o->len, o->k);
  uint64_t last = 0;
  for (size_t i = 0; i < o->k; i++) last = o->key[i] > last ? o->key[i] : last;
  o->len = o->k;
  o->least = wn_sort_score((uint32_t)(last >> 32));
}

bool wn_ask_offer(const wn_ask *ask, const wn_query *query, wn_topk *top, wn_arena *arena) {
  const wn_accum *accum = &ask->accum;
  size_t k = top->k < accum->slots ? top->k : accum->slots;
  uint32_t at[OFFER_BLOCK];
  offers o = {.k = k, .least = FLT_TRUE_MIN};
  if (k == 0) return true;
  o.key = wn_arena_alloc(arena, (4 * k + OFFER_BLOCK) * sizeof *o.key);
  if (o.key == NULL) return false;
  if (top->len == top->k && top->heap[0].score > o.least) o.least = top->heap[0].score;
  for (size_t begin = 0; begin < accum->slots; begin += OFFER_BLOCK) {
    size_t n = accum->slots - begin < OFFER_BLOCK ? accum->slots - begin : OFFER_BLOCK;
    size_t hits = wn_simd()->above(accum->sum + begin, n, o.least, at);
    for (size_t h = 0; h < hits; h++) {
      size_t slot = begin + at[h];
      wn_item_ix ix = accum->key != NULL ? accum->key[slot] : (wn_item_ix)slot;
      if (ix == ask->without || !wn_query_allows(query, ix)) continue;
      o.key[o.len++] = (uint64_t)wn_sort_falling(accum->sum[slot]) << 32 | ix;
    }
    if (o.len > 4 * k) drop_worst(&o);
  }
  drop_worst(&o);
  for (size_t i = 0; i < o.len; i++)
    wn_topk_push(top, (wn_item_ix)o.key[i], wn_sort_score((uint32_t)(o.key[i] >> 32)));
  return true;
}

static void spread(const wn_ask *ask, const wn_query *query, float *scores, uint32_t items) {
  const wn_accum *accum = &ask->accum;
  for (size_t slot = 0; slot < accum->slots; slot++) {
    if (!(accum->sum[slot] > 0)) continue;
    wn_item_ix ix = accum->key != NULL ? accum->key[slot] : (wn_item_ix)slot;
    if (ix < items && ix != ask->without && wn_query_allows(query, ix))
      scores[ix] = accum->sum[slot];
  }
}

wn_status wn_anchor_similar(const wn_model *model, const wn_query *query, size_t k, wn_scored *out,
                            size_t *count, wn_error *err) {
  wn_query alone = *query;
  alone.history = NULL;
  alone.history_len = 0;
  alone.user = WN_NO_IX;
  alone.user_attrs = NULL;
  return model->cls->candidates(model, &alone, k, out, count, err);
}

void wn_scores_clear(float *scores, uint32_t items) {
  for (uint32_t i = 0; i < items; i++) scores[i] = -INFINITY;
}

wn_status wn_ask_top(wn_ask_fn *fill, const wn_model *model, const wn_query *query, wn_topk *top,
                     wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_ask ask = {.without = WN_NO_IX};
  wn_status status = fill(&ask, model, query, arena, err);
  if (status == WN_OK && ask.any && !wn_ask_offer(&ask, query, top, arena))
    status = wn_fail_memory(err);
  wn_arena_clear(&local);
  return status;
}

wn_status wn_ask_all(wn_ask_fn *fill, const wn_model *model, const wn_query *query, float *scores,
                     uint32_t items, wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_ask ask = {.without = WN_NO_IX};
  wn_scores_clear(scores, items);
  wn_status status = fill(&ask, model, query, arena, err);
  if (status == WN_OK && ask.any) spread(&ask, query, scores, items);
  wn_arena_clear(&local);
  return status;
}
