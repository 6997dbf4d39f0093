/* Linear probing at a load of at most 0.85, grown by half: the table is what bounds the memory
 * of an import, so it is kept tight. A slot is found by multiplication (Lemire 2019, "Fast
 * random integer generation in an interval"), which needs no power of two. */
#include "data/line_set.h"
#include "base/mem.h"

#include <string.h>

#define CAP_MIN 1024

static size_t slot_of(uint64_t hash, size_t cap) {
  return (size_t)(((unsigned __int128)hash * cap) >> 64);
}

void wn_line_set_clear(wn_line_set *set) {
  wn_free(set->slots);
  *set = (wn_line_set){0};
}

void wn_line_set_reset(wn_line_set *set) {
  if (set->len > 0) memset(set->slots, 0, set->cap * sizeof *set->slots);
  set->len = 0;
}

/* The slot that holds `hash` or the free one where it belongs. */
static uint64_t *probe(uint64_t *slots, size_t cap, uint64_t hash) {
  size_t i = slot_of(hash, cap);
  while (slots[i] != 0 && slots[i] != hash) i = i + 1 < cap ? i + 1 : 0;
  return &slots[i];
}

static wn_status grow(wn_line_set *set, wn_error *err) {
  size_t cap = set->cap == 0 ? CAP_MIN : set->cap + set->cap / 2;
  uint64_t *slots = wn_calloc(cap, sizeof *slots);
  if (slots == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < set->cap; i++) {
    if (set->slots[i] != 0) *probe(slots, cap, set->slots[i]) = set->slots[i];
  }
  wn_free(set->slots);
  set->slots = slots;
  set->cap = cap;
  return WN_OK;
}

void wn_line_set_prefetch(const wn_line_set *set, uint64_t hash) {
  if (set->cap > 0) __builtin_prefetch(&set->slots[slot_of(hash, set->cap)], 1);
}

wn_status wn_line_set_add(wn_line_set *set, uint64_t hash, bool *added, wn_error *err) {
  if (set->len >= set->cap / 20 * 17) {
    wn_status status = grow(set, err);
    if (status != WN_OK) return status;
  }
  if (hash == 0) hash = 1;
  uint64_t *slot = probe(set->slots, set->cap, hash);
  *added = *slot == 0;
  if (*added) {
    *slot = hash;
    set->len++;
  }
  return WN_OK;
}
