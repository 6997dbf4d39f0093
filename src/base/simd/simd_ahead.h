#ifndef WN_BASE_SIMD_AHEAD_H
#define WN_BASE_SIMD_AHEAD_H
/* The rows that will be read next are asked for a few at a time, between tiles: the CPU takes a few
 * dozen requests and then waits. */
#include "base/simd/simd.h"

/* What is left of the rows to ask for. */
typedef struct ahead {
  const wn_simd_rows *of;
  size_t at, each; /* rows a call */
} ahead;

/* `blocks` vectors a side: of syrk's calls. */
static inline __attribute__((always_inline)) ahead ahead_of(const wn_simd_rows *rows,
                                                            size_t blocks) {
  return (ahead){rows, 0, rows->next_count * 5 / (blocks * (blocks + 5)) + 1};
}

static inline __attribute__((always_inline)) void ask(ahead *a) {
  const wn_simd_rows *r = a->of;
  for (size_t i = a->each; i > 0 && a->at < r->next_count; i--) {
    const float *row = r->next_of + r->next[a->at++] * r->next_width;
    for (size_t k = 0; k < r->next_width; k += WN_SIMD_PAD) __builtin_prefetch(row + k, 0, 2);
  }
}

#endif
