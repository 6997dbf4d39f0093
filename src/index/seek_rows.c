/* Search among few allowed rows: fp32 products with each, no codes, then the k best by a histogram
 * of the scores: one pass to count, one to take. Order by norm and the bound ‖q‖·‖x‖ excluded no
 * row where it was measured, and cost the norms' memory. */
#include "index/seek.h"
#include "base/simd/simd.h"

#include <math.h>

#define WORDS 512u
#define STEPS 1024u
#define AHEAD 12u

/* Appends the visible ones among `n` words from `first` on; counts all that are allowed. */
static void gather(wn_seek *seek, size_t first, size_t n) {
  const wn_base *base = seek->base;
  const uint64_t *mask = seek->allowed->words + first, *present = base->present + first;
  uint32_t at[WORDS + 8];
  if (base->head.rows == base->head.ids) present = mask; /* all are: half as much to read */
  size_t end = seek->allowed->bits < base->head.ids ? seek->allowed->bits : base->head.ids;
  size_t some = wn_scan()->words_common(mask, present, n, at);
  for (size_t i = 0; i < some; i++) {
    for (uint64_t bits = mask[at[i]] & present[at[i]]; bits != 0; bits &= bits - 1) {
      size_t id = (first + at[i]) * 64 + (size_t)__builtin_ctzll(bits);
      if (id >= end) return; /* what a last word has beyond */
      seek->allowed_count++;
      if (wn_base_sees(base, (uint32_t)id, seek->now)) seek->few[seek->few_count++] = (uint32_t)id;
    }
  }
}

bool wn_seek_gather(wn_seek *seek, size_t most) {
  size_t words = ((size_t)seek->base->head.ids + 63) / 64;
  size_t all = (seek->allowed->bits + 63) / 64, first = 0;
  if (words > all) words = all;
  seek->allowed_count = seek->few_count = 0;
  seek->few = wn_arena_alloc(seek->arena, (most + WORDS * 64) * sizeof *seek->few);
  if (seek->few == NULL) return false;
  for (; first < words && seek->allowed_count <= most; first += WORDS) {
    gather(seek, first, words - first < WORDS ? words - first : WORDS);
  }
  if (seek->allowed_count <= most) return true;
  seek->few = NULL;
  if (first < all) {
    seek->allowed_count += wn_scan()->count_bits(seek->allowed->words + first, all - first);
  }
  return true;
}

/* Where scores lie between the least and the greatest. */
typedef struct steps {
  float low, scale;
  uint32_t count[STEPS];
} steps;

static inline uint32_t step_of(const steps *s, float score) {
  float step = (score - s->low) * s->scale;
  return step < (float)(STEPS - 1) ? (uint32_t)step : STEPS - 1;
}

/* The step that the k-th greatest score lies in; 0, so that all are taken, where there is none or
 * steps mean nothing. */
static uint32_t find_step(steps *s, const float *score, size_t n, size_t k) {
  float low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < n; i++) {
    low = score[i] < low ? score[i] : low;
    high = score[i] > high ? score[i] : high;
  }
  *s = (steps){.low = low, .scale = (float)STEPS / (high - low)};
  if (n <= k || !(high > low) || !(high - low < 1e37f) || !(s->scale < 1e37f)) {
    s->scale = 0;
    return 0;
  }
  for (size_t i = 0; i < n; i++) s->count[step_of(s, score[i])]++;
  uint32_t step = STEPS - 1;
  for (size_t above = s->count[step]; above < k; above += s->count[step]) step--;
  return step;
}

bool wn_seek_rows(wn_seek *seek) {
  const wn_base *base = seek->base;
  size_t n = seek->few_count;
  steps s;
  float *score = wn_arena_alloc(seek->arena, (n + 1) * sizeof *score);
  if (score == NULL) return false;
  for (size_t i = 0; i < n; i++) {
    if (i + AHEAD < n) {
      const float *row = wn_base_row(base, seek->few[i + AHEAD]);
      for (uint32_t j = 0; j < base->head.dims; j += 16) __builtin_prefetch(row + j);
    }
    score[i] = wn_seek_row(seek, seek->few[i]);
  }
  uint32_t least = find_step(&s, score, n, seek->k);
  for (size_t i = 0; i < n; i++) {
    if (least == 0 || step_of(&s, score[i]) >= least) wn_seek_known(seek, seek->few[i], score[i]);
  }
  return true;
}
