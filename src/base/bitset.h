#ifndef WN_BASE_BITSET_H
#define WN_BASE_BITSET_H
/* Dense bitset over item indexes: 125 kB a million items, one AND a word. */

#include "base/arena.h"

typedef struct wn_bitset {
  uint64_t *words;
  size_t bits; /* bits past the end read as 0 */
} wn_bitset;

WN_MUST_USE bool wn_bitset_init(wn_bitset *set, size_t bits); /* all 0; heap */
WN_MUST_USE bool wn_bitset_init_arena(wn_bitset *set, size_t bits, wn_arena *arena);
WN_MUST_USE bool wn_bitset_grow(wn_bitset *set, size_t bits); /* heap only; new bits 0 */
void wn_bitset_clear(wn_bitset *set);                         /* frees a heap one */
void wn_bitset_fill(wn_bitset *set, bool value);
void wn_bitset_copy(wn_bitset *to, const wn_bitset *from); /* to's size; missing bits 0 */
void wn_bitset_and(wn_bitset *a, const wn_bitset *b);
void wn_bitset_or(wn_bitset *a, const wn_bitset *b);
void wn_bitset_not(wn_bitset *a);
size_t wn_bitset_count(const wn_bitset *set);
size_t wn_bitset_nth(const wn_bitset *set, size_t n); /* the n-th from 0; `bits`: there are fewer */

static inline bool wn_bitset_test(const wn_bitset *set, size_t i) {
  return i < set->bits && ((set->words[i >> 6] >> (i & 63)) & 1) != 0;
}
static inline void wn_bitset_set(wn_bitset *set, size_t i) {
  if (i < set->bits) set->words[i >> 6] |= (uint64_t)1 << (i & 63);
}
static inline void wn_bitset_unset(wn_bitset *set, size_t i) {
  if (i < set->bits) set->words[i >> 6] &= ~((uint64_t)1 << (i & 63));
}

#endif
