/* Search among few allowed rows: fp32 products with each, no codes. For ip a row of norm n scores
 * at most ‖q‖n (Cauchy–Schwarz), so rows come in order of their norms, by classes an eighth of an
 * octave wide that are read off the floats' bits, and the search ends where a class cannot reach
 * the k-th best. Where norms follow popularity, that is after a small part of them. */
#include "index/seek.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define CLASSES     256u
#define CLASS_SHIFT 20 /* sign, exponent and three bits of a float's mantissa are left */

/* Allowed, present and visible. */
static uint32_t *gather(const wn_seek *seek, size_t *count) {
  const wn_base *base = seek->base;
  size_t words = ((size_t)base->head.ids + 63) / 64, len = 0;
  size_t allowed = (seek->allowed->bits + 63) / 64;
  if (words > allowed) words = allowed;
  const uint64_t *mask = seek->allowed->words;
  uint32_t *ids = wn_arena_alloc(seek->arena, (seek->allowed_count + 1) * sizeof *ids);
  if (ids == NULL) return NULL;
  for (size_t w = 0; w < words; w++) {
    if (w + 4 <= words && (mask[w] | mask[w + 1] | mask[w + 2] | mask[w + 3]) == 0) {
      w += 3;
      continue;
    }
    for (uint64_t bits = mask[w] & base->present[w]; bits != 0; bits &= bits - 1) {
      uint32_t id = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(bits));
      if (len < seek->allowed_count && wn_base_sees(base, id, seek->now)) ids[len++] = id;
    }
  }
  *count = len;
  return ids;
}

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits >> CLASS_SHIFT;
}

/* Counting sort by falling class of norm. */
static uint32_t *by_norm(const wn_seek *seek, const uint32_t *ids, size_t count) {
  const float *norms = seek->base->norms;
  uint32_t begin[CLASSES + 1] = {0}, top = 0;
  uint32_t *sorted = wn_arena_alloc(seek->arena, (count + 1) * sizeof *sorted);
  uint8_t *class = wn_arena_alloc(seek->arena, count + 1);
  if (sorted == NULL || class == NULL) return NULL;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = bits_of(norms[ids[i]]);
    top = bits > top ? bits : top;
  }
  for (size_t i = 0; i < count; i++) {
    uint32_t below = top - bits_of(norms[ids[i]]);
    class[i] = (uint8_t)(below < CLASSES ? below : CLASSES - 1);
    begin[class[i] + 1]++;
  }
  for (uint32_t c = 1; c <= CLASSES; c++) begin[c] += begin[c - 1];
  for (size_t i = 0; i < count; i++) sorted[begin[class[i]]++] = ids[i];
  return sorted;
}

bool wn_seek_rows(wn_seek *seek) {
  const wn_base *base = seek->base;
  bool ip = seek->probe.metric == WN_METRIC_IP;
  const size_t ahead = 8;
  size_t count = 0;
  uint32_t *ids = gather(seek, &count);
  if (ids != NULL && ip) ids = by_norm(seek, ids, count);
  if (ids == NULL) return false;
  float reach = (float)seek->probe.norm * (1 + 1e-5f);
  for (size_t i = 0; i < count; i++) {
    if (ip && reach * base->norms[ids[i]] < seek->least) {
      /* the rest of this class may reach it; a class further down, an eighth of it less, not */
      if (reach * base->norms[ids[i]] * 1.25f < seek->least) break;
      continue;
    }
    if (i + ahead < count) {
      const float *row = wn_base_row(base, ids[i + ahead]);
      for (uint32_t j = 0; j < base->head.dims; j += 16) __builtin_prefetch(row + j);
    }
    wn_seek_known(seek, ids[i], wn_seek_row(seek, ids[i]));
  }
  return true;
}
