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
#define WORDS       512u

typedef struct allowed_row {
  uint32_t id;
  float norm; /* norms part's entry; 0 where there is none */
} allowed_row;

/* Allowed, present and visible. */
static allowed_row *gather(const wn_seek *seek, size_t *count) {
  const wn_base *base = seek->base;
  const uint64_t *mask = seek->allowed->words;
  size_t words = ((size_t)base->head.ids + 63) / 64, len = 0;
  size_t allowed = (seek->allowed->bits + 63) / 64;
  uint32_t at[WORDS + 8];
  if (words > allowed) words = allowed;
  allowed_row *rows = wn_arena_alloc(seek->arena, (seek->allowed_count + 1) * sizeof *rows);
  if (rows == NULL) return NULL;
  for (size_t first = 0; first < words; first += WORDS) {
    size_t n = words - first < WORDS ? words - first : WORDS;
    size_t some = wn_scan()->words_common(mask + first, base->present + first, n, at);
    for (size_t i = 0; i < some; i++) {
      size_t w = first + at[i];
      for (uint64_t bits = mask[w] & base->present[w]; bits != 0; bits &= bits - 1) {
        uint32_t id = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(bits));
        if (len == seek->allowed_count || !wn_base_sees(base, id, seek->now)) continue;
        rows[len++] = (allowed_row){id, base->norms != NULL ? base->norms[id] : 0};
      }
    }
  }
  *count = len;
  return rows;
}

static inline uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits >> CLASS_SHIFT;
}

/* Counting sort by falling class of norm. */
static allowed_row *by_norm(const wn_seek *seek, const allowed_row *rows, size_t count) {
  uint32_t begin[CLASSES + 1] = {0}, top = 0;
  allowed_row *sorted = wn_arena_alloc(seek->arena, (count + 1) * sizeof *sorted);
  uint8_t *class = wn_arena_alloc(seek->arena, count + 1);
  if (sorted == NULL || class == NULL) return NULL;
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = bits_of(rows[i].norm);
    top = bits > top ? bits : top;
  }
  for (size_t i = 0; i < count; i++) {
    uint32_t below = top - bits_of(rows[i].norm);
    class[i] = (uint8_t)(below < CLASSES ? below : CLASSES - 1);
    begin[class[i] + 1]++;
  }
  for (uint32_t c = 1; c <= CLASSES; c++) begin[c] += begin[c - 1];
  for (size_t i = 0; i < count; i++) sorted[begin[class[i]]++] = rows[i];
  return sorted;
}

bool wn_seek_rows(wn_seek *seek) {
  const wn_base *base = seek->base;
  bool ip = seek->probe.metric == WN_METRIC_IP;
  const size_t ahead = 8;
  size_t count = 0;
  allowed_row *rows = gather(seek, &count);
  if (rows != NULL && ip) rows = by_norm(seek, rows, count);
  if (rows == NULL) return false;
  float reach = (float)seek->probe.norm * (1 + 1e-5f);
  for (size_t i = 0; i < count; i++) {
    if (ip && reach * rows[i].norm < seek->least) {
      /* the rest of this class may reach it; a class further down, an eighth of it less, not */
      if (reach * rows[i].norm * 1.25f < seek->least) break;
      continue;
    }
    if (i + ahead < count) {
      const float *row = wn_base_row(base, rows[i + ahead].id);
      for (uint32_t j = 0; j < base->head.dims; j += 16) __builtin_prefetch(row + j);
    }
    wn_seek_known(seek, rows[i].id, wn_seek_row(seek, rows[i].id));
  }
  return true;
}
