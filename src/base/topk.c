/* A binary heap whose root is the worst of the k kept, so that most of a stream is refused
 * by one comparison; heapsort at the end. O(n log k), deterministic by the total order of
 * (score, index). */
#include "base/topk.h"

#include <math.h>

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

size_t wn_topk_sort(wn_topk *top) {
  for (size_t end = top->len; end > 1; end--) {
    wn_scored worst = top->heap[0];
    top->heap[0] = top->heap[end - 1];
    top->heap[end - 1] = worst;
    sift_down(top->heap, end - 1, 0);
  }
  size_t count = top->len;
  top->len = 0;
  return count;
}
