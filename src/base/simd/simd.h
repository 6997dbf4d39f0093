#ifndef WN_BASE_SIMD_H
#define WN_BASE_SIMD_H
/* Kernels with run-time dispatch. The table is filled once, at the first call of wn_simd();
 * WINNOW_SIMD=scalar|avx2|avx512 overrides what the CPU offers (never beyond it). Vectors need
 * no alignment. Within one instruction set results are bit-identical from run to run. */

#include <stddef.h>
#include <stdint.h>

#define WN_PANEL 48 /* queries side by side */

/* `count` rows of n floats (leading dimension ld) and WN_PANEL queries of n. */
typedef struct wn_simd_panel {
  const float *rows;
  size_t count, ld, n;
  const float *x;     /* [n × WN_PANEL]: number k of query c is x[k·WN_PANEL + c] */
  const float *least; /* [WN_PANEL] infinity: the query is not interested */
} wn_simd_panel;

typedef struct wn_simd_table {
  const char *name;
  float (*dot)(const float *a, const float *b, size_t n);
  void (*axpy)(float a, const float *x, float *y, size_t n); /* y += a·x */
  void (*scale)(float a, float *x, size_t n);                /* x *= a */
  /* out[r] = ⟨rows[r], x⟩ for `rows` of n floats, leading dimension ld */
  void (*gemv)(const float *rows, size_t count, size_t ld, const float *x, size_t n, float *out);
  /* lower triangle of A[n × n] (leading dimension ld) += a·x·xᵀ */
  void (*syr)(float a, const float *x, size_t n, float *A, size_t ld);
  /* Writes the positions i with x[i] ≥ least, ascending, and returns how many; NaN never is. `out`
   * has room for n. The filter in front of a top-k: most of a stream falls to one comparison. */
  size_t (*above)(const float *x, size_t n, float least, uint32_t *out);
  /* Writes r·WN_PANEL + c for every inner product of row r and query c that is at least least[c],
   * and returns how many; `out` has room for count·WN_PANEL. The products' own rounding: two
   * kernels differ by at most 2·γₙ·‖row‖·‖query‖, γₙ = n·2⁻²⁴ / (1 − n·2⁻²⁴) (Higham 2002). */
  size_t (*panel_above)(const wn_simd_panel *panel, uint32_t *out);
} wn_simd_table;

const wn_simd_table *wn_simd(void);
/* A given table for tests and benchmarks: NULL when the CPU lacks it. */
const wn_simd_table *wn_simd_named(const char *name);

#endif
