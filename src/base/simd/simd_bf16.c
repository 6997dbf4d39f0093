/* syrk of rows rounded to bfloat16 (8 bits of mantissa, to nearest even): an instruction multiplies
 * and adds two pairs of numbers a lane, twice as many as in float.
 *
 * Two rows at a time are packed into pairs, number j of both in lane j; the same pairs, one
 * broadcast, are the other operand. A Gram of rows with one another has pairs of columns instead.
 * Tiles, their order and the rows asked for are those of simd_dense.h. Sums are floats; denormal
 * ones are 0. */
#include "base/simd/simd_ahead.h"
#include "base/simd/simd_tables.h"

#if defined(__x86_64__)
#include "base/simd/simd_turn.h"

#define INLINE    static inline __attribute__((always_inline))
#define W         16
#define TILE_ROWS 8
#define TILE_VECS 3

/* Pairs of rows 2i, 2i + 1 at packed + i·stride, the last one with zeros where count is odd; and
 * the sum of rows, which is not rounded. */
static void pack(const wn_simd_rows *rows, size_t n, uint32_t *packed, size_t stride) {
  const __m512i pairs = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  for (size_t k = 0; k < rows->count; k += 2, packed += stride) {
    const float *a = rows->data + rows->row[k] * rows->ld;
    const float *b = k + 1 < rows->count ? rows->data + rows->row[k + 1] * rows->ld : NULL;
    for (size_t j = 0; j < n; j += W) {
      __m512 x = _mm512_loadu_ps(a + j), y = _mm512_setzero_ps();
      __m512 sum = _mm512_add_ps(_mm512_loadu_ps(rows->sum + j), x);
      if (b != NULL) {
        y = _mm512_loadu_ps(b + j);
        sum = _mm512_add_ps(sum, y);
      }
      _mm512_storeu_ps(rows->sum + j, sum);
      __m512i both = (__m512i)_mm512_cvtne2ps_pbh(y, x);
      _mm512_storeu_si512(packed + j, _mm512_permutexvar_epi16(pairs, both));
    }
  }
}

/* acc += the two products of each lane. In assembly because gcc 12 copies accumulators around such
 * intrinsics. */
INLINE __m512 products(__m512 acc, __m512i a, __m512i b) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}

typedef struct packed_rows {
  const uint32_t *data;
  size_t count, stride; /* pairs */
  float *C;
  size_t ldc;
} packed_rows;

/* TILE_ROWS rows of C from `row` on, `vecs` (a constant) vectors from `column` on. */
INLINE void tile(const packed_rows *p, size_t row, size_t column, size_t vecs) {
  __m512 s[TILE_ROWS][TILE_VECS];
  const uint32_t *a = p->data + row, *b = p->data + column;
  float *c = p->C + row * p->ldc + column;
#pragma GCC unroll 8
  for (size_t r = 0; r < TILE_ROWS; r++) {
#pragma GCC unroll 3
    for (size_t v = 0; v < vecs; v++) s[r][v] = _mm512_loadu_ps(c + r * p->ldc + v * W);
  }
  for (size_t k = 0; k < p->count; k++, a += p->stride, b += p->stride) {
    __m512i bv[TILE_VECS];
#pragma GCC unroll 3
    for (size_t v = 0; v < vecs; v++) bv[v] = _mm512_loadu_si512(b + v * W);
#pragma GCC unroll 8
    for (size_t r = 0; r < TILE_ROWS; r++) {
      __m512i ar = _mm512_set1_epi32((int)a[r]);
#pragma GCC unroll 3
      for (size_t v = 0; v < vecs; v++) s[r][v] = products(s[r][v], ar, bv[v]);
    }
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < TILE_ROWS; r++) {
#pragma GCC unroll 3
    for (size_t v = 0; v < vecs; v++) _mm512_storeu_ps(c + r * p->ldc + v * W, s[r][v]);
  }
}

static void block(const packed_rows *p, size_t row, size_t column, size_t vecs, ahead *a) {
  ask(a);
  for (size_t r = row; r < row + W; r += TILE_ROWS) {
    if (vecs == 3) {
      tile(p, r, column, 3);
    } else if (vecs == 2) {
      tile(p, r, column, 2);
    } else {
      tile(p, r, column, 1);
    }
  }
}

/* The upper triangle of C[n × n]. */
static void blocks(const packed_rows *p, size_t n, const wn_simd_rows *rows) {
  ahead a = ahead_of(rows, n / W);
  for (size_t j = 0, vecs; j < n; j += vecs * W) {
    vecs = n - j >= TILE_VECS * W ? TILE_VECS : (n - j) / W;
    for (size_t i = 0; i <= j; i += W) block(p, i, j, vecs, &a);
    for (size_t v = 1; v < vecs; v++) block(p, j + v * W, j + v * W, vecs - v, &a);
  }
}

void wn_syrk_rounded_avx512(const wn_simd_rows *rows, size_t n, uint32_t *packed, float *C,
                            size_t ldc) {
  const packed_rows p = {packed, (rows->count + 1) / 2, wn_simd_stride(n), C, ldc};
  pack(rows, n, packed, p.stride);
  blocks(&p, n, rows);
}

/* Neighbours of a row are a pair as they lie: lane i of vector r becomes pair r of row i, of the
 * 32 numbers from k on, of 16 rows from `first` on. */
static void turn(const wn_simd_rows *rows, const float *scale, size_t first, size_t k, size_t n,
                 __m512 t[W]) {
#pragma GCC unroll 16
  for (size_t i = 0; i < W; i++) {
    t[i] = _mm512_setzero_ps();
    if (first + i >= rows->count) continue;
    const float *row = rows->data + rows->row[first + i] * rows->ld + k;
    __m512 x = _mm512_mul_ps(_mm512_loadu_ps(row), _mm512_loadu_ps(scale + k));
    __m512 y = _mm512_setzero_ps();
    if (k + W < n) y = _mm512_mul_ps(_mm512_loadu_ps(row + W), _mm512_loadu_ps(scale + k + W));
    t[i] = _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(y, x));
  }
  transpose_block(t);
}

void wn_gram_rounded_avx512(const wn_simd_rows *rows, const float *scale, size_t n,
                            uint32_t *packed, float *C, size_t ldc) {
  const size_t side = (rows->count + W - 1) / W * W, pairs = (n + 2 * W - 1) / (2 * W) * W;
  const packed_rows p = {packed, pairs, wn_simd_stride(side), C, ldc};
  for (size_t i = 0; i < side; i += W) {
    for (size_t k = 0; k < pairs; k += W) {
      __m512 t[W];
      turn(rows, scale, i, 2 * k, n, t);
      for (size_t r = 0; r < W; r++) _mm512_storeu_ps(packed + (k + r) * p.stride + i, t[r]);
    }
  }
  blocks(&p, side, rows);
}
#endif
