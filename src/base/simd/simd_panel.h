#ifndef WN_BASE_SIMD_PANEL_H
#define WN_BASE_SIMD_PANEL_H
/* Products of many rows with many queries, of which only the large ones matter: the product of a
 * tile of rows and queries stays in registers, is compared there with what each query asks at
 * least, and is thrown away. Lanes are queries, so that rows are read as they lie. A step reads
 * TILE_VECS vectors of queries and broadcasts one number of each of TILE_ROWS rows.
 *
 * The next tile's rows are fetched beside it: short rows are no streams that the hardware sees (35
 * to 40 multiply-adds a nanosecond without, 50 to 56 with, AVX-512, rows of 64 to 256).
 *
 * The including file says what a vector is: V, W, TILE_ROWS, TILE_VECS, v_load, v_set, v_zero,
 * v_fma, v_mask_ge (bit per lane; false for NaN). */

#define INLINE static inline __attribute__((always_inline))

typedef struct panel_hits {
  uint32_t *out;
  size_t len;
} panel_hits;

/* Rows first … first + count − 1 with the TILE_VECS vectors of queries from `column`; count is a
 * constant where this is called. */
INLINE void panel_tile(const wn_simd_panel *p, size_t first, size_t count, size_t column,
                       panel_hits *hits) {
  V s[TILE_ROWS][TILE_VECS];
  const float *x = p->x + column, *row = p->rows + first * p->ld;
#pragma GCC unroll 8
  for (size_t r = 0; r < count; r++) {
#pragma GCC unroll 8
    for (size_t v = 0; v < TILE_VECS; v++) s[r][v] = v_zero();
  }
  for (size_t k = 0; k < p->n; k++, x += WN_PANEL) {
    if (k % 16 == 0 && column == 0) {
#pragma GCC unroll 8
      for (size_t r = 0; r < count; r++) __builtin_prefetch(row + (count + r) * p->ld + k);
    }
    V xv[TILE_VECS];
#pragma GCC unroll 8
    for (size_t v = 0; v < TILE_VECS; v++) xv[v] = v_load(x + v * W);
#pragma GCC unroll 8
    for (size_t r = 0; r < count; r++) {
      V a = v_set(row[r * p->ld + k]);
#pragma GCC unroll 8
      for (size_t v = 0; v < TILE_VECS; v++) s[r][v] = v_fma(a, xv[v], s[r][v]);
    }
  }
#pragma GCC unroll 8
  for (size_t v = 0; v < TILE_VECS; v++) {
    V least = v_load(p->least + column + v * W);
#pragma GCC unroll 8
    for (size_t r = 0; r < count; r++) {
      for (unsigned mask = v_mask_ge(s[r][v], least); mask != 0; mask &= mask - 1) {
        size_t c = column + v * W + (size_t)__builtin_ctz(mask);
        hits->out[hits->len++] = (uint32_t)((first + r) * WN_PANEL + c);
      }
    }
  }
}

static size_t panel_above(const wn_simd_panel *p, uint32_t *out) {
  panel_hits hits = {out, 0};
  size_t r = 0;
  for (; r + TILE_ROWS <= p->count; r += TILE_ROWS)
    for (size_t c = 0; c < WN_PANEL; c += TILE_VECS * W) panel_tile(p, r, TILE_ROWS, c, &hits);
  for (; r < p->count; r++)
    for (size_t c = 0; c < WN_PANEL; c += TILE_VECS * W) panel_tile(p, r, 1, c, &hits);
  return hits.len;
}

#endif
