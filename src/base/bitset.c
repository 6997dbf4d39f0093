/* Invariant: bits at and after `bits` in the last word are 0, so that counting and copying
 * work on whole words. */
#include "base/bitset.h"
#include "base/mem.h"

#include <string.h>

static size_t word_count(size_t bits) {
  return bits / 64 + (bits % 64 != 0);
}

static void mask_tail(wn_bitset *set) {
  if (set->bits % 64 != 0) set->words[set->bits / 64] &= ((uint64_t)1 << (set->bits % 64)) - 1;
}

bool wn_bitset_init(wn_bitset *set, size_t bits) {
  *set = (wn_bitset){0};
  set->words = wn_calloc(word_count(bits), sizeof *set->words);
  if (set->words == NULL) return false;
  set->bits = bits;
  return true;
}

bool wn_bitset_init_arena(wn_bitset *set, size_t bits, wn_arena *arena) {
  *set = (wn_bitset){0};
  set->words = wn_arena_calloc(arena, word_count(bits), sizeof *set->words);
  if (set->words == NULL) return false;
  set->bits = bits;
  return true;
}

bool wn_bitset_grow(wn_bitset *set, size_t bits) {
  if (bits <= set->bits) return true;
  size_t before = word_count(set->bits), after = word_count(bits);
  if (after > before || set->words == NULL) {
    uint64_t *words = wn_reallocarray(set->words, after, sizeof *words);
    if (words == NULL) return false;
    memset(words + before, 0, (after - before) * sizeof *words);
    set->words = words;
  }
  set->bits = bits;
  return true;
}

void wn_bitset_clear(wn_bitset *set) {
  wn_free(set->words);
  *set = (wn_bitset){0};
}

void wn_bitset_fill(wn_bitset *set, bool value) {
  if (set->bits == 0) return;
  memset(set->words, value ? 0xFF : 0, word_count(set->bits) * sizeof *set->words);
  mask_tail(set);
}

void wn_bitset_copy(wn_bitset *to, const wn_bitset *from) {
  size_t n = word_count(to->bits), have = word_count(from->bits);
  size_t common = n < have ? n : have;
  for (size_t i = 0; i < common; i++) to->words[i] = from->words[i];
  for (size_t i = common; i < n; i++) to->words[i] = 0;
  mask_tail(to);
}

void wn_bitset_and(wn_bitset *a, const wn_bitset *b) {
  size_t n = word_count(a->bits), have = word_count(b->bits);
  size_t common = n < have ? n : have;
  for (size_t i = 0; i < common; i++) a->words[i] &= b->words[i];
  for (size_t i = common; i < n; i++) a->words[i] = 0;
}

void wn_bitset_or(wn_bitset *a, const wn_bitset *b) {
  size_t n = word_count(a->bits), have = word_count(b->bits);
  size_t common = n < have ? n : have;
  for (size_t i = 0; i < common; i++) a->words[i] |= b->words[i];
  mask_tail(a);
}

void wn_bitset_not(wn_bitset *a) {
  size_t n = word_count(a->bits);
  for (size_t i = 0; i < n; i++) a->words[i] = ~a->words[i];
  mask_tail(a);
}

size_t wn_bitset_count(const wn_bitset *set) {
  size_t n = word_count(set->bits), count = 0;
  for (size_t i = 0; i < n; i++) count += (size_t)__builtin_popcountll(set->words[i]);
  return count;
}

size_t wn_bitset_nth(const wn_bitset *set, size_t n) {
  for (size_t w = 0; w < (set->bits + 63) / 64; w++) {
    uint64_t word = set->words[w];
    size_t count = (size_t)__builtin_popcountll(word);
    if (n >= count) {
      n -= count;
      continue;
    }
    while (n-- > 0) word &= word - 1;
    return w * 64 + (size_t)__builtin_ctzll(word);
  }
  return set->bits;
}
