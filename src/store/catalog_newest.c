/* The newest items. A list of the best 4,096 active ones is kept sorted, with a floor: every active
 * item that ranks at or before the floor is in the list, so a walk along it is exact until it ends.
 * Removals shorten the list; when it has lost half it is made again (one scan of all items, paid
 * for by 2,048 removals). A filter that exhausts the list makes the request scan everything. */
#include "store/catalog_internal.h"

/* The key is (created, ix), the larger first. */
static bool before(const wn_catalog *c, wn_item_ix a, wn_item_ix b) {
  return c->created[a] > c->created[b] || (c->created[a] == c->created[b] && a > b);
}

static bool under_floor(const wn_catalog *c, wn_item_ix ix) {
  const wn_newest_list *n = &c->newest;
  if (n->complete) return false;
  return c->created[ix] < n->floor_ms || (c->created[ix] == n->floor_ms && ix < n->floor_ix);
}

static void set_floor(wn_catalog *c) {
  wn_newest_list *n = &c->newest;
  wn_item_ix last = n->items[n->len - 1];
  n->complete = false;
  n->floor_ms = c->created[last];
  n->floor_ix = last;
}

/* First position whose item does not rank before ix. */
static size_t position(const wn_catalog *c, wn_item_ix ix) {
  size_t low = 0, high = c->newest.len;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (before(c, c->newest.items[mid], ix)) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

void wn_newest_insert(wn_catalog *c, wn_item_ix ix) {
  wn_newest_list *n = &c->newest;
  if (c->loading || c->status[ix] != WN_ITEM_ACTIVE || under_floor(c, ix)) return;
  size_t at = position(c, ix);
  bool full = n->len == WN_NEWEST_MAX;
  if (at < WN_NEWEST_MAX) {
    if (full) n->len--;
    memmove(n->items + at + 1, n->items + at, (n->len - at) * sizeof *n->items);
    n->items[at] = ix;
    n->len++;
  }
  if (full) set_floor(c); /* one was left out */
}

void wn_newest_remove(wn_catalog *c, wn_item_ix ix) {
  wn_newest_list *n = &c->newest;
  if (c->loading || c->status[ix] != WN_ITEM_ACTIVE || under_floor(c, ix)) return;
  size_t at = position(c, ix);
  if (at == n->len || n->items[at] != ix) return;
  n->len--;
  memmove(n->items + at, n->items + at + 1, (n->len - at) * sizeof *n->items);
}

/* A heap of the newest so far, the oldest of them at the root. */
static void sift_down(const wn_catalog *c, wn_item_ix *heap, size_t len, size_t i) {
  wn_item_ix moving = heap[i];
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= len) break;
    if (child + 1 < len && before(c, heap[child], heap[child + 1])) child++;
    if (!before(c, moving, heap[child])) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = moving;
}

static void sift_up(const wn_catalog *c, wn_item_ix *heap, size_t i) {
  wn_item_ix moving = heap[i];
  while (i > 0 && before(c, heap[(i - 1) / 2], moving)) {
    heap[i] = heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  heap[i] = moving;
}

static void push(const wn_catalog *c, wn_item_ix *heap, size_t *len, size_t k, wn_item_ix ix) {
  if (*len < k) {
    heap[*len] = ix;
    sift_up(c, heap, (*len)++);
  } else if (before(c, ix, heap[0])) {
    heap[0] = ix;
    sift_down(c, heap, *len, 0);
  }
}

/* The k newest active items (of `allowed`) by looking at all; *seen counts those that qualify. */
static size_t select_newest(const wn_catalog *c, const wn_bitset *allowed, size_t k,
                            wn_item_ix *out, size_t *seen) {
  size_t len = 0;
  *seen = 0;
  if (k == 0) return 0;
  size_t words = ((size_t)c->count + 63) / 64;
  for (size_t w = 0; w < words; w++) {
    uint64_t bits = c->servable.words[w];
    if (allowed != NULL) bits &= w < (allowed->bits + 63) / 64 ? allowed->words[w] : 0;
    for (; bits != 0; bits &= bits - 1) {
      push(c, out, &len, k, (wn_item_ix)(w * 64 + (size_t)__builtin_ctzll(bits)));
      ++*seen;
    }
  }
  for (size_t end = len; end > 1; end--) { /* heap sort: the oldest goes to the end */
    wn_item_ix oldest = out[0];
    out[0] = out[end - 1];
    out[end - 1] = oldest;
    sift_down(c, out, end - 1, 0);
  }
  return len;
}

static void rebuild(wn_catalog *c) {
  wn_newest_list *n = &c->newest;
  size_t active = 0;
  n->len = select_newest(c, NULL, WN_NEWEST_MAX, n->items, &active);
  n->complete = true;
  if (active > n->len) set_floor(c);
}

void wn_newest_settle(wn_catalog *c, bool always) {
  if (c->loading) return;
  if (always || (!c->newest.complete && c->newest.len < WN_NEWEST_MAX / 2)) rebuild(c);
}

size_t wn_catalog_newest(const wn_catalog *c, const wn_bitset *allowed, size_t k, wn_item_ix *out) {
  const wn_newest_list *n = &c->newest;
  size_t found = 0, seen = 0;
  for (size_t i = 0; i < n->len && found < k; i++) {
    if (allowed == NULL || wn_bitset_test(allowed, n->items[i])) out[found++] = n->items[i];
  }
  if (found == k || n->complete) return found;
  return select_newest(c, allowed, k, out, &seen);
}
