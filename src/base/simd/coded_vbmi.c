/* Sixteen rows are coded, then pass through all trees, four trees at a time: their answers first,
 * the ways down after, so that the words have left the store queue when they are read. */
#include "base/simd/trees_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define ROWS  16
#define TREES 4
#define ALL   ((__mmask16)0xffff)

typedef struct block {
  _Alignas(64) uint8_t code[ROWS][WN_CODED_SLOTS];
  _Alignas(64) uint64_t left[TREES][ROWS]; /* bit i: node i sends the row left */
} block;

/* Thresholds ≤ x, by the last of each sixteen and then among sixteen. */
static inline unsigned code_of(const float *step, __m512 last, unsigned steps, float x) {
  __m512 value = _mm512_set1_ps(x);
  unsigned whole = (unsigned)_mm_popcnt_u32(_mm512_cmp_ps_mask(last, value, _CMP_LE_OQ));
  if (whole == WN_CODED_STEPS / 16) return steps; /* +infinity reaches the padding, too */
  __m512 some = _mm512_loadu_ps(step + 16 * (size_t)whole);
  unsigned n = 16 * whole + (unsigned)_mm_popcnt_u32(_mm512_cmp_ps_mask(some, value, _CMP_LE_OQ));
  return n < steps ? n : steps;
}

static void code_rows(const wn_coded *c, const float *features, size_t rows, size_t ld, block *b) {
  const __m512i sixteenth =
      _mm512_setr_epi32(15, 31, 47, 63, 79, 95, 111, 127, 143, 159, 175, 191, 207, 223, 239, 255);
  for (size_t k = 0; k < c->features; k++) {
    const wn_coded_feature *f = &c->feature[k];
    const float *step = c->step + k * WN_CODED_STEPS;
    __m512 last = _mm512_i32gather_ps(sixteenth, step, 4);
    float before = NAN;
    unsigned code = 0;
    for (size_t r = 0; r < rows; r++) { /* what a user is, or hour it is, is the same in all */
      float x = features[r * ld + f->number];
      if (x != before) code = x == x ? code_of(step, last, f->steps, x) : 0;
      before = x;
      if (f->left != WN_CODED_NO_SLOT) b->code[r][f->left] = (uint8_t)code;
      if (f->right != WN_CODED_NO_SLOT) b->code[r][f->right] = x != x ? UINT8_MAX : (uint8_t)code;
    }
  }
}

/* The code of each node; `width` registers hold a row. */
static inline __m512i look_up(const uint8_t *code, __m512i slot, int width) {
  const __m512i *row = (const __m512i *)(const void *)code;
  if (width == 1) return _mm512_permutexvar_epi8(slot, row[0]);
  __m512i low = _mm512_permutex2var_epi8(row[0], slot, row[1]);
  if (width == 2) return low;
  __m512i high = _mm512_permutex2var_epi8(row[2], slot, row[3]);
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(slot), low, high);
}

static inline void ask(const wn_coded *c, size_t tree, block *b, uint64_t *left, int width) {
  __m512i slot = _mm512_loadu_si512(c->slot + tree * WN_CODED_NODES);
  __m512i below = _mm512_loadu_si512(c->below + tree * WN_CODED_NODES);
  for (size_t r = 0; r < ROWS; r++)
    left[r] = _mm512_cmplt_epu8_mask(look_up(b->code[r], slot, width), below);
}

/* Eight rows from the root to a leaf. */
static inline __m256i descend(const uint64_t *left, uint32_t depth) {
  __m512i word = _mm512_load_si512(left), at = _mm512_setzero_si512();
  const __m512i one = _mm512_set1_epi64(1), two = _mm512_set1_epi64(2);
  for (uint32_t level = 0; level < depth; level++) {
    __m512i bit = _mm512_and_si512(_mm512_srlv_epi64(word, at), one);
    at = _mm512_sub_epi64(_mm512_add_epi64(_mm512_add_epi64(at, at), two), bit);
  }
  return _mm512_cvtepi64_epi32(at);
}

static inline __m512 leaves(const wn_coded *c, size_t tree, const uint64_t *left) {
  __m512i at = _mm512_inserti64x4(_mm512_castsi256_si512(descend(left, c->depth)),
                                  descend(left + 8, c->depth), 1);
  at = _mm512_sub_epi32(at, _mm512_set1_epi32((1 << c->depth) - 1));
  const float *leaf = c->leaf + tree * WN_CODED_NODES;
  __m512 low = _mm512_permutex2var_ps(_mm512_loadu_ps(leaf), at, _mm512_loadu_ps(leaf + 16));
  __m512 high = _mm512_permutex2var_ps(_mm512_loadu_ps(leaf + 32), at, _mm512_loadu_ps(leaf + 48));
  return _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, _mm512_set1_epi32(32)), low, high);
}

static inline __m512 sum_block(const wn_coded *c, block *b, __m512 sum, int width) {
  for (size_t tree = 0; tree < c->count; tree += TREES) {
    size_t some = c->count - tree < TREES ? c->count - tree : TREES;
    for (size_t t = 0; t < some; t++) ask(c, tree + t, b, b->left[t], width);
    for (size_t t = 0; t < some; t++) sum = _mm512_add_ps(sum, leaves(c, tree + t, b->left[t]));
  }
  return sum;
}

void wn_coded_vbmi(const wn_coded *c, const float *features, size_t rows, size_t ld, float *out) {
  block b;
  memset(b.code, 0, sizeof b.code);
  for (size_t r = 0; r < rows; r += ROWS) {
    size_t some = rows - r < ROWS ? rows - r : ROWS;
    __mmask16 used = (__mmask16)(ALL >> (ROWS - some));
    code_rows(c, features + r * ld, some, ld, &b);
    __m512 sum = _mm512_maskz_loadu_ps(used, out + r);
    if (c->slots <= 64)
      sum = sum_block(c, &b, sum, 1);
    else
      sum = c->slots <= 128 ? sum_block(c, &b, sum, 2) : sum_block(c, &b, sum, 4);
    _mm512_mask_storeu_ps(out + r, used, sum);
  }
}
#endif
