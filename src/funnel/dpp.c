/* Greedy DPP with a sliding window. Departure from the paper: quality is not multiplied into the
 * kernel; the caller adds it to the gain, because ln det of diag(q) S diag(q) is Σ 2 ln q + ln det
 * S. When the window is full the factor is rebuilt from the kept rows instead of being downdated:
 * the same numbers as starting from the window's items, whatever came before. Deterministic,
 * single-threaded. */
#include "funnel/dpp.h"

#include "base/simd/simd.h"
#include <math.h>
#include <string.h>

#define LEAST 1e-6f

bool wn_dpp_init(wn_dpp *dpp, size_t len, size_t window, wn_arena *arena) {
  *dpp = (wn_dpp){.len = len, .window = window};
  dpp->chosen = wn_arena_alloc(arena, window * sizeof *dpp->chosen);
  dpp->rows = wn_arena_alloc(arena, window * len * sizeof *dpp->rows);
  dpp->basis = wn_arena_alloc(arena, window * len * sizeof *dpp->basis);
  dpp->variance = wn_arena_alloc(arena, len * sizeof *dpp->variance);
  if (dpp->chosen == NULL || dpp->rows == NULL || dpp->basis == NULL || dpp->variance == NULL)
    return false;
  for (size_t i = 0; i < len; i++) dpp->variance[i] = 1;
  return true;
}

/* The factor's next column: len at a time, for rows of it are short. */
static void extend(wn_dpp *dpp, size_t entry, const float *row) {
  size_t at = dpp->depth++, len = dpp->len;
  float *column = dpp->basis + at * len;
  float deviation = sqrtf(fmaxf(dpp->variance[entry], LEAST));
  memcpy(column, row, len * sizeof *column);
  for (size_t k = 0; k < at; k++) {
    const float *before = dpp->basis + k * len;
    wn_simd()->axpy(-before[entry], before, column, len);
  }
  for (size_t i = 0; i < len; i++) {
    column[i] /= deviation;
    dpp->variance[i] -= column[i] * column[i];
  }
}

static void slide(wn_dpp *dpp) {
  size_t kept = dpp->window - 1;
  memmove(dpp->chosen, dpp->chosen + 1, kept * sizeof *dpp->chosen);
  memmove(dpp->rows, dpp->rows + dpp->len, kept * dpp->len * sizeof *dpp->rows);
  for (size_t i = 0; i < dpp->len; i++) dpp->variance[i] = 1;
  dpp->depth = 0;
  while (dpp->depth < kept) extend(dpp, dpp->chosen[dpp->depth], dpp->rows + dpp->depth * dpp->len);
}

void wn_dpp_choose(wn_dpp *dpp, size_t entry, const float *row) {
  if (dpp->depth == dpp->window) slide(dpp);
  dpp->chosen[dpp->depth] = entry;
  memcpy(dpp->rows + dpp->depth * dpp->len, row, dpp->len * sizeof *row);
  extend(dpp, entry, row);
}

float wn_dpp_gain(const wn_dpp *dpp, size_t entry) {
  return logf(fmaxf(dpp->variance[entry], LEAST));
}
