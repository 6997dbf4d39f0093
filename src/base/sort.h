#ifndef WN_BASE_SORT_H
#define WN_BASE_SORT_H
/* Sorting on hot paths: whole numbers, inlined comparisons, nothing allocated. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* `len` numbers of eight bytes at any address, ascending, in place. O(n log n) whatever the input.
 */
void wn_sort_u64(void *keys, size_t len);
/* The k smallest first, in any order (Hoare's "Find", 1961). O(n) as a rule, O(n log n) at worst.
 */
void wn_select_u64(void *keys, size_t len, size_t k);

/* A number whose ascending order is the scores' descending one: 0 for +∞, larger for smaller
 * scores; −0 counts as 0. The score must not be NaN. */
static inline uint32_t wn_sort_falling(float score) {
  uint32_t bits;
  score += 0.0f; /* −0 + 0 is 0 */
  memcpy(&bits, &score, sizeof bits);
  return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}
/* Back again. */
static inline float wn_sort_score(uint32_t falling) {
  uint32_t bits = falling >> 31 ? falling : ~falling & 0x7fffffffu;
  float score;
  memcpy(&score, &bits, sizeof score);
  return score;
}

#endif
