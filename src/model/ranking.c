/* An exact list of the best items under changing scores.
 *
 * Invariant (while fresh): `top` is sorted, and every item outside it ranks after its last entry.
 * A score that rises moves its item up or into the list; a score that falls below the last entry
 * takes its item out, and the list gets shorter, because which outsider is next is not known
 * without a scan. When it has lost half its length, it is rebuilt by the next reader.
 *
 * Costs: candidates O(k / share of the list that is allowed), at worst O(items); set O(TOP) bytes
 * moved at worst; rebuild O(items). Memory: 4 bytes an item + 32 KiB. */

#include "model/ranking.h"

#include "base/mem.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct wn_ranking {
  wn_ranking_fill *fill;
  void *ctx;
  float *score;
  size_t cap;
  uint32_t items;
  size_t top_len;
  atomic_bool fresh;
  pthread_mutex_t lock; /* for the rebuild */
  wn_scored top[WN_RANKING_TOP];
};

wn_ranking *wn_ranking_create(wn_ranking_fill *fill, void *ctx) {
  wn_ranking *r = wn_calloc(1, sizeof *r);
  if (r == NULL) return NULL;
  r->fill = fill;
  r->ctx = ctx;
  atomic_init(&r->fresh, true);
  if (pthread_mutex_init(&r->lock, NULL) == 0) return r;
  wn_free(r);
  return NULL;
}

void wn_ranking_free(wn_ranking *r) {
  if (r == NULL) return;
  pthread_mutex_destroy(&r->lock);
  wn_free(r->score);
  wn_free(r);
}

size_t wn_ranking_bytes(const wn_ranking *ranking) {
  return sizeof *ranking + ranking->cap * sizeof *ranking->score;
}

uint32_t wn_ranking_items(const wn_ranking *r) {
  return r->items;
}

void wn_ranking_stale(wn_ranking *r) {
  atomic_store_explicit(&r->fresh, false, memory_order_release);
}

/* ---- writers ---- */

/* Where `entry` is, or would be. */
static size_t place_of(const wn_ranking *r, wn_scored entry) {
  size_t lo = 0, hi = r->top_len;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    if (wn_scored_before(r->top[mid], entry))
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

/* An item that is not in the list; `complete`: the list holds every other item. */
static void enter(wn_ranking *r, wn_scored entry, bool complete) {
  size_t at = place_of(r, entry);
  if (at == r->top_len && (!complete || at == WN_RANKING_TOP)) return;
  size_t kept = r->top_len < WN_RANKING_TOP ? r->top_len : WN_RANKING_TOP - 1;
  memmove(&r->top[at + 1], &r->top[at], (kept - at) * sizeof *r->top);
  r->top[at] = entry;
  r->top_len = kept + 1;
}

bool wn_ranking_grow(wn_ranking *r, uint32_t items, float score) {
  if (items <= r->items) return true;
  if (items > r->cap) {
    size_t cap = r->cap + r->cap / 2 > items ? r->cap + r->cap / 2 : items;
    float *bigger = wn_reallocarray(r->score, cap, sizeof *bigger);
    if (bigger == NULL) return false;
    r->score = bigger;
    r->cap = cap;
  }
  for (uint32_t ix = r->items; ix < items; ix++) {
    r->score[ix] = score;
    if (atomic_load_explicit(&r->fresh, memory_order_relaxed))
      enter(r, (wn_scored){ix, score}, r->top_len == ix);
  }
  r->items = items;
  return true;
}

void wn_ranking_set(wn_ranking *r, uint32_t ix, float score) {
  wn_scored old = {ix, r->score[ix]};
  if (old.score == score) return;
  r->score[ix] = score;
  if (!atomic_load_explicit(&r->fresh, memory_order_relaxed)) return;
  size_t at = place_of(r, old);
  bool complete = r->top_len == r->items;
  if (at < r->top_len && r->top[at].ix == ix) {
    r->top_len--;
    memmove(&r->top[at], &r->top[at + 1], (r->top_len - at) * sizeof *r->top);
  }
  enter(r, (wn_scored){ix, score}, complete);
  if (r->top_len < WN_RANKING_TOP / 2 && r->top_len < r->items) wn_ranking_stale(r);
}

/* ---- readers ---- */

static void refresh(wn_ranking *r) {
  if (atomic_load_explicit(&r->fresh, memory_order_acquire)) return;
  pthread_mutex_lock(&r->lock);
  if (!atomic_load_explicit(&r->fresh, memory_order_relaxed)) {
    wn_topk top;
    r->fill(r->ctx, r->score, r->items);
    wn_topk_init(&top, r->top, WN_RANKING_TOP);
    for (uint32_t ix = 0; ix < r->items; ix++) wn_topk_push(&top, ix, r->score[ix]);
    r->top_len = wn_topk_sort(&top);
    atomic_store_explicit(&r->fresh, true, memory_order_release);
  }
  pthread_mutex_unlock(&r->lock);
}

uint32_t wn_allowed_next(const wn_bitset *allowed, uint32_t from, uint32_t items) {
  if (allowed == NULL) return from < items ? from : items;
  size_t end = allowed->bits < items ? allowed->bits : items;
  for (size_t at = from; at < end; at = (at | 63) + 1) {
    uint64_t word = allowed->words[at >> 6] >> (at & 63);
    if (word == 0) continue;
    at += (size_t)__builtin_ctzll(word);
    return at < end ? (uint32_t)at : items;
  }
  return items;
}

size_t wn_ranking_candidates(wn_ranking *r, const wn_bitset *allowed, size_t k, wn_scored *out) {
  refresh(r);
  size_t n = 0;
  for (size_t i = 0; i < r->top_len && n < k; i++)
    if (allowed == NULL || wn_bitset_test(allowed, r->top[i].ix)) out[n++] = r->top[i];
  if (n == k || r->top_len == r->items) return n;
  wn_topk top;
  wn_topk_init(&top, out, k);
  for (uint32_t ix = wn_allowed_next(allowed, 0, r->items); ix < r->items;
       ix = wn_allowed_next(allowed, ix + 1, r->items))
    wn_topk_push(&top, ix, r->score[ix]);
  return wn_topk_sort(&top);
}

void wn_ranking_scores(wn_ranking *r, const wn_bitset *allowed, float *scores, uint32_t items) {
  refresh(r);
  for (uint32_t ix = 0; ix < items; ix++) {
    bool known = ix < r->items && (allowed == NULL || wn_bitset_test(allowed, ix));
    scores[ix] = known ? r->score[ix] : -INFINITY;
  }
}
