/* A binary heap whose root is the worst of the k kept, so that most of a stream is refused
 * by one comparison; sorted as numbers at the end. O(n log k), deterministic by the total order of
 * (score, index). */
#include "base/topk.h"

#include "base/sort.h"
#include <math.h>
#include <string.h>

static void sift_down(wn_scored *heap, size_t len, size_t i) {
  wn_scored moving = heap[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= len) break;
    if (child + 1 < len && wn_scored_before(heap[child], heap[child + 1])) child++;
    if (!wn_scored_before(moving, heap[child])) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = moving;
}

static void sift_up(wn_scored *heap, size_t i) {
  wn_scored moving = heap[i];
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (!wn_scored_before(heap[parent], moving)) break;
    heap[i] = heap[parent];
    i = parent;
  }
  heap[i] = moving;
}

void wn_topk_init(wn_topk *top, wn_scored *storage, size_t k) {
  *top = (wn_topk){.heap = storage, .k = k};
}

void wn_topk_push_slow(wn_topk *top, uint32_t ix, float score) {
  if (top->k == 0 || isnan(score)) return;
  wn_scored scored = {ix, score};
  if (top->len < top->k) {
    top->heap[top->len] = scored;
    sift_up(top->heap, top->len++);
  } else if (wn_scored_before(scored, top->heap[0])) {
    top->heap[0] = scored;
    sift_down(top->heap, top->len, 0);
  }
}

/* An entry as a number: better ones first, then lower indexes. */
size_t wn_topk_sort(wn_topk *top) {
  size_t count = top->len;
  uint64_t key;
  _Static_assert(sizeof key == sizeof *top->heap, "sorted in place");
  for (size_t i = 0; i < count; i++) {
    key = (uint64_t)wn_sort_falling(top->heap[i].score) << 32 | top->heap[i].ix;
    memcpy(&top->heap[i], &key, sizeof key);
  }
  wn_sort_u64(top->heap, count);
  for (size_t i = 0; i < count; i++) {
    memcpy(&key, &top->heap[i], sizeof key);
    top->heap[i] = (wn_scored){(uint32_t)key, wn_sort_score((uint32_t)(key >> 32))};
  }
  top->len = 0;
  return count;
}
