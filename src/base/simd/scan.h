#ifndef WN_BASE_SIMD_SCAN_H
#define WN_BASE_SIMD_SCAN_H
/* Kernels that scan many short vectors for one or a few queries.
 *
 * Codes lie in blocks of 16 vectors (lanes), four dimensions at a time: group g of a block is 64
 * bytes, lane l's dimensions 4g … 4g+3 at 4l, each an int8 code plus 128 so that it is unsigned, as
 * VNNI wants one side to be. A block is groups·64 bytes. The sums are integers, so every
 * instruction set finds the same ones; sixteen lanes are what AVX-512 holds. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WN_SCAN_LANES 16u

/* What the codes of a block stand for. */
typedef struct wn_scan_fit {
  float step; /* of all its codes */
  float rest; /* at most: the norm of what they leave out of a vector */
} wn_scan_fit;

/* `count` blocks in a row. */
typedef struct wn_scan_blocks {
  const uint8_t *codes;
  const wn_scan_fit *fit; /* [count] */
  const float *bias;      /* [16·count], or NULL: 0 */
  size_t count;
  size_t groups; /* 1 to 2^13 */
} wn_scan_blocks;

/* A lane's score: (Σ query·code + offset)·(scale·step) + bias + (rest·block's rest + shift). */
typedef struct wn_scan_query {
  const int8_t *codes; /* [4·groups], −127 … 127 */
  int32_t start;       /* −128·Σ codes: takes the 128 out again */
  float offset;
  float scale;
  float rest;
  float shift;
} wn_scan_query;

/* Where the hits of one query go, and how many there were. */
typedef struct wn_scan_found {
  uint32_t *at;
  float *score;
  size_t count;
} wn_scan_found;

#define WN_SCAN_MANY 16u

#define WN_SCAN_PANEL 48 /* queries side by side: as many as WN_PANEL */

/* `count` rows of 4·groups codes and WN_SCAN_PANEL queries, for sums alone. */
typedef struct wn_scan_panel {
  const int8_t *rows;   /* [count × 4·groups], −127 … 127 */
  const int32_t *start; /* [count] −128·Σ of the row's codes: takes the queries' 128 out again */
  size_t count, groups;
  const uint8_t *x;     /* code k of query c, plus 128, at x[(k/4·WN_SCAN_PANEL + c)·4 + k%4] */
  const int32_t *least; /* [WN_SCAN_PANEL] INT32_MAX: the query is not interested */
} wn_scan_panel;

typedef struct wn_scan_table {
  const char *name;
  /* The lanes with score ≥ least, ascending: their numbers from the first block's lane 0, and their
   * scores; returns how many. Both have room for 16·(count + 1). */
  size_t (*scan)(const wn_scan_blocks *blocks, const wn_scan_query *query, float least,
                 uint32_t *at, float *score);
  /* The same for 1 to WN_SCAN_MANY queries, which share the loads of codes; least[q] is of query q.
   */
  void (*scan_many)(const wn_scan_blocks *blocks, const wn_scan_query *queries, size_t query_count,
                    const float *least, wn_scan_found *found);
  /* out[q·ld + lane] = score, for 1 to 4 queries that share the pass over the codes. */
  void (*score)(const wn_scan_blocks *blocks, const wn_scan_query *queries, size_t query_count,
                float *out, size_t ld);
  /* Writes r·WN_SCAN_PANEL + c for every row r and query c with Σ codes·codes ≥ least[c], and
   * returns how many; `out` has room for count·WN_SCAN_PANEL. Integers: the same everywhere. */
  size_t (*panel_above)(const wn_scan_panel *panel, uint32_t *out);
  bool panel_pays; /* against products of floats (simd.h's panel_above) */
  /* out[lane] = ⟨x, lane⟩ for `count` blocks of 16 float vectors, dimension j of lane l at 16j + l
   */
  void (*dots)(const float *blocks, size_t count, const float *x, size_t dims, float *out);
  float (*distance2)(const float *a, const float *b, size_t n); /* ‖a − b‖² */
  size_t (*count_bits)(const uint64_t *words, size_t n);
  /* The i < n with a[i] & b[i] not 0, ascending; returns how many. `at` has room for n + 8. */
  size_t (*words_common)(const uint64_t *a, const uint64_t *b, size_t n, uint32_t *at);
  /* Bit l: bit ids[l] of `words` is set; ids at or beyond `bits` are not. 16 ids. */
  unsigned (*test_bits)(const uint64_t *words, size_t bits, const uint32_t *ids);
} wn_scan_table;

/* Chosen at the first call as wn_simd()'s table is, by the same WINNOW_SIMD. */
const wn_scan_table *wn_scan(void);
const wn_scan_table *wn_scan_named(const char *name); /* NULL: the CPU lacks it */

#endif
