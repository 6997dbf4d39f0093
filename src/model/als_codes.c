/* Item vectors as int8 codes, so that one instruction multiplies 64 pairs of numbers.
 *
 * Symmetric linear quantisation as in index/codes.c, but with one scale for a block of rows: items
 * lie by falling norm, so the rows of a block are about as long, and what a query asks of a block
 * is then one integer. With q = s(q̂ + δ) and y = t(ŷ + ε)
 *     |⟨q, y⟩ − s·t·⟨q̂, ŷ⟩| ≤ s·t·(‖q̂‖·‖ε‖ + ‖δ‖·‖y‖/t),
 * so a sum of codes below wn_als_code_least excludes the product, whatever its rounding.
 *
 * Built when first asked for and kept as long as the model: d + 4 bytes an item. Cost: a pass over
 * the vectors. Threads that ask at the same time each build it, and one result stays. */
#include "model/als.h"
#include "base/mem.h"
#include "base/simd/scan.h"
#include "base/simd/simd.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

struct wn_als_coded {
  _Atomic(wn_als_codes *) ready; /* NULL: nobody asked yet */
};

wn_als_coded *wn_als_coded_new(void) {
  return wn_calloc(1, sizeof(wn_als_coded));
}

static void codes_free(wn_als_codes *codes) {
  if (codes == NULL) return;
  wn_free(codes->rows);
  wn_free(codes->start);
  wn_free(codes->block);
  wn_free(codes);
}

void wn_als_coded_free(wn_als_coded *coded) {
  if (coded == NULL) return;
  codes_free(atomic_load(&coded->ready));
  wn_free(coded);
}

/* Codes of x, zeros up to whole groups; returns their sum. */
static int32_t quantise(const float *x, size_t d, float scale, int8_t *codes, wn_als_code *fit) {
  float unit[WN_ALS_FACTORS_MAX], miss[WN_ALS_FACTORS_MAX], inverse = 1 / scale;
  int32_t sum = 0;
  for (size_t k = 0; k < d; k++) {
    unit[k] = x[k] * inverse;
    int code = (int)(unit[k] + (unit[k] < 0 ? -.5f : .5f));
    miss[k] = unit[k] - (float)code;
    codes[k] = (int8_t)code;
    sum += code;
  }
  memset(codes + d, 0, wn_als_code_groups(d) * 4 - d);
  *fit = (wn_als_code){.scale = scale,
                       .error = sqrtf(wn_simd()->dot(miss, miss, d)) * 1.0001f,
                       .norm = sqrtf(wn_simd()->dot(unit, unit, d)) * 1.0001f};
  return sum;
}

/* Of the largest of n numbers; 0 where there is none that codes can say. */
static float scale_of(const float *x, size_t n) {
  float most = 0;
  for (size_t k = 0; k < n; k++) most = fabsf(x[k]) > most ? fabsf(x[k]) : most;
  return most > 1e-30f && most < 1e30f ? most / 127 : 0;
}

static void code_block(const wn_als *als, wn_als_codes *codes, size_t begin, size_t count) {
  const size_t d = als->head.d, ld = 4 * codes->groups;
  const float *rows = als->item + begin * d;
  wn_als_code *block = &codes->block[begin / WN_ALS_CODED];
  float scale = scale_of(rows, count * d);
  *block = (wn_als_code){.scale = scale};
  for (size_t r = 0; r < count && scale > 0; r++) {
    wn_als_code row;
    int32_t sum = quantise(rows + r * d, d, scale, codes->rows + (begin + r) * ld, &row);
    codes->start[begin + r] = -128 * sum;
    block->error = fmaxf(block->error, row.error);
    block->norm = fmaxf(block->norm, row.norm);
  }
}

static wn_als_codes *build(const wn_als *als) {
  const size_t rows = als->head.rows, blocks = (rows + WN_ALS_CODED - 1) / WN_ALS_CODED;
  wn_als_codes *codes = wn_calloc(1, sizeof *codes);
  if (codes == NULL) return NULL;
  codes->groups = wn_als_code_groups(als->head.d);
  codes->rows = wn_calloc(rows + 1, 4 * codes->groups);
  codes->start = wn_calloc(rows + 1, sizeof *codes->start);
  codes->block = wn_calloc(blocks + 1, sizeof *codes->block);
  if (codes->rows == NULL || codes->start == NULL || codes->block == NULL) {
    codes_free(codes);
    return NULL;
  }
  for (size_t b = 0; b < blocks; b++) {
    size_t begin = b * WN_ALS_CODED, left = rows - begin;
    code_block(als, codes, begin, left < WN_ALS_CODED ? left : WN_ALS_CODED);
  }
  return codes;
}

const wn_als_codes *wn_als_codes_of(const wn_als *als) {
  wn_als_codes *codes = atomic_load_explicit(&als->coded->ready, memory_order_acquire),
               *first = NULL;
  if (codes != NULL) return codes;
  codes = build(als);
  if (codes == NULL || atomic_compare_exchange_strong(&als->coded->ready, &first, codes))
    return codes;
  codes_free(codes);
  return first;
}

wn_als_code wn_als_code_query(const float *x, size_t d, size_t column, uint8_t *panel) {
  int8_t codes[WN_ALS_FACTORS_MAX];
  wn_als_code q = {.scale = scale_of(x, d)};
  if (!(q.scale > 0)) return q;
  (void)quantise(x, d, q.scale, codes, &q);
  for (size_t k = 0; k < 4 * wn_als_code_groups(d); k++) {
    panel[(k / 4 * WN_SCAN_PANEL + column) * 4 + k % 4] = (uint8_t)(codes[k] + 128);
  }
  /* the true product is rounded, too: γ = d·2⁻²⁴ of ‖q‖·‖y‖ (Higham 2002) and something */
  q.rounding = 1.1f * (float)(d + 4) * 0x1p-24f * q.norm;
  return q;
}

int32_t wn_als_code_least(const wn_als_code *q, const wn_als_code *block, float least) {
  double unit = (double)q->scale * (double)block->scale;
  if (!(unit > 0)) return INT32_MIN;
  double length = (double)q->norm + (double)q->error; /* ≥ ‖q̂‖ */
  double error =
      length * (double)block->error + (double)(q->error + q->rounding) * (double)block->norm;
  double sum = floor((double)least / unit - error * 1.001);
  return sum > INT32_MIN ? sum < INT32_MAX ? (int32_t)sum : INT32_MAX : INT32_MIN;
}
