#ifndef WN_BASE_TOPK_H
#define WN_BASE_TOPK_H
/* The k best of a stream of (score, index). Ties go to the lower index, so that the same
 * input gives the same list whatever the order of pushes. NaN never enters. */

#include "base/arena.h"

typedef struct wn_scored {
  uint32_t ix;
  float score;
} wn_scored;

typedef struct wn_topk {
  wn_scored *heap; /* k entries, owned by the caller */
  size_t k;
  size_t len;
} wn_topk;

void wn_topk_init(wn_topk *top, wn_scored *storage, size_t k);
void wn_topk_push_slow(wn_topk *top, uint32_t ix, float score);
/* Best first; returns the count. The heap is used up. */
size_t wn_topk_sort(wn_topk *top);

/* a ranks before b */
static inline bool wn_scored_before(wn_scored a, wn_scored b) {
  return a.score > b.score || (a.score == b.score && a.ix < b.ix);
}
static inline void wn_topk_push(wn_topk *top, uint32_t ix, float score) {
  if (top->len == top->k && !(top->k > 0 && score >= top->heap[0].score)) return;
  wn_topk_push_slow(top, ix, score);
}

#endif
