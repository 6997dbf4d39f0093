/* Quicksort by the median of three, insertion below INSERTION, and heapsort where it went wrong
 * (Musser, "Introspective sorting", 1997). Lomuto's partition without branches (Alexandrescu,
 * "Lomuto's comeback", 2020). Keys are read and written as bytes, which compiles to plain moves:
 * they may lie in structs of any alignment. */
#include "base/sort.h"

enum { INSERTION = 24, KEY = sizeof(uint64_t) };
typedef unsigned char bytes;

static inline uint64_t get(const bytes *keys, size_t i) {
  uint64_t key;
  memcpy(&key, keys + i * KEY, KEY);
  return key;
}

static inline void put(bytes *keys, size_t i, uint64_t key) {
  memcpy(keys + i * KEY, &key, KEY);
}

static void insertion(bytes *keys, size_t len) {
  for (size_t i = 1; i < len; i++) {
    uint64_t moving = get(keys, i);
    size_t at = i;
    for (; at > 0 && get(keys, at - 1) > moving; at--) put(keys, at, get(keys, at - 1));
    put(keys, at, moving);
  }
}

static void sift(bytes *heap, size_t len, size_t at) {
  uint64_t moving = get(heap, at);
  for (size_t child; (child = 2 * at + 1) < len; at = child) {
    if (child + 1 < len && get(heap, child + 1) > get(heap, child)) child++;
    if (get(heap, child) <= moving) break;
    put(heap, at, get(heap, child));
  }
  put(heap, at, moving);
}

static void swap(bytes *keys, size_t i, size_t j) {
  uint64_t kept = get(keys, i);
  put(keys, i, get(keys, j));
  put(keys, j, kept);
}

static void by_heap(bytes *keys, size_t len) {
  for (size_t i = len / 2; i-- > 0;) sift(keys, len, i);
  for (size_t end = len; end-- > 1;) {
    swap(keys, 0, end);
    sift(keys, end, 0);
  }
}

static uint64_t median(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t low = a < b ? a : b, high = a < b ? b : a;
  return c <= low ? low : c >= high ? high : c;
}

/* Keys below `end` to the left, by moves alone: which side a key belongs to is what no processor
 * foresees. How many they are. */
static size_t below(bytes *keys, size_t len, uint64_t end) {
  size_t left = 0;
  for (size_t i = 0; i < len; i++) {
    uint64_t key = get(keys, i);
    put(keys, i, get(keys, left));
    put(keys, left, key);
    left += key < end;
  }
  return left;
}

/* How many are at the left: at least one and not all. Where none is less than the pivot, its equals
 * go there; where all are equal, any split is one. */
static size_t partition(bytes *keys, size_t len) {
  uint64_t pivot = median(get(keys, 0), get(keys, len / 2), get(keys, len - 1));
  size_t left = below(keys, len, pivot);
  if (left == 0 && pivot < UINT64_MAX) left = below(keys, len, pivot + 1);
  return left > 0 && left < len ? left : len / 2;
}

static void sort(bytes *keys, size_t len, unsigned depth) {
  while (len > INSERTION) {
    if (depth-- == 0) {
      by_heap(keys, len);
      return;
    }
    size_t left = partition(keys, len);
    sort(keys, left, depth);
    keys += left * KEY;
    len -= left;
  }
  insertion(keys, len);
}

static unsigned depth_for(size_t len) {
  unsigned depth = 2;
  for (; len > 1; len /= 2) depth += 2;
  return depth;
}

void wn_sort_u64(void *keys, size_t len) {
  sort(keys, len, depth_for(len));
}

void wn_select_u64(void *keys, size_t len, size_t k) {
  bytes *from = keys;
  unsigned depth = depth_for(len);
  while (len > INSERTION && k > 0 && k < len) {
    if (depth-- == 0) {
      by_heap(from, len);
      return;
    }
    size_t left = partition(from, len);
    if (k < left) {
      len = left;
    } else {
      from += left * KEY;
      len -= left;
      k -= left;
    }
  }
  if (k > 0 && k < len) insertion(from, len);
}
