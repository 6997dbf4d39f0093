#ifndef WN_BASE_SIMD_H
#define WN_BASE_SIMD_H
/* Kernels with run-time dispatch. The table is filled once, at the first call of wn_simd();
 * WINNOW_SIMD=scalar|avx2|avx512|avx512bf16 overrides what the CPU offers (never beyond it).
 * Vectors need no alignment. Within one instruction set results are bit-identical from run to run.
 */

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

/* Operands of C += A·B: a by its strides (so that it may be a transpose), b and c by rows. */
typedef struct wn_simd_product {
  const float *a; /* A[r][k] = a[r·a_row + k·a_step] */
  size_t a_row, a_step;
  const float *b; /* B[k][j] = b[k·b_row + j] */
  size_t b_row;
  float *c; /* C[r][j] = c[r·c_row + j] */
  size_t c_row;
  size_t depth; /* k = 0 … depth − 1 */
} wn_simd_product;

/* Rows to be multiplied, and scattered ones that will be read next: they are asked for meanwhile.
 */
typedef struct wn_simd_rows {
  const float *data;
  size_t count, ld;
  const uint32_t *row;  /* [count] which rows of `data`; NULL: the first ones */
  float *sum;           /* syrk: [n] += the rows, where `row` is not NULL; NULL: not wanted */
  const float *next_of; /* matrix of next_width floats a row */
  const uint32_t *next; /* [next_count] rows of it; NULL: none */
  size_t next_count, next_width;
} wn_simd_rows;

/* Scattered rows hᵢ of a matrix and what each weighs. */
typedef struct wn_simd_gather {
  const float *of; /* matrix of `width` floats a row */
  size_t width;
  const uint32_t *row; /* [count] */
  const float *weight; /* [count] wᵢ */
  const float *target; /* [count] tᵢ; NULL: all 0 */
  size_t count;
} wn_simd_gather;

#define WN_SIMD_PAD 16 /* widths that must be padded are multiples of this */
/* n rounded up to whole vectors, an odd number of cache lines: columns of a matrix with such rows
 * do not fall into the same few sets of a cache. */
static inline size_t wn_simd_stride(size_t n) {
  size_t lines = (n + WN_SIMD_PAD - 1) / WN_SIMD_PAD;
  return (lines | 1) * WN_SIMD_PAD;
}

/* `lanes` small systems (I + G) a = t solved at once, one in each lane of a vector. */
typedef struct wn_simd_batch {
  size_t blocks; /* of four unknowns, of the largest system */
  float
      *matrix; /* [blocks·(blocks + 1)/2][16][lanes]: G, lower triangle in blocks of 4 × 4; lost */
  float *x;    /* [4·blocks][lanes]: t, becomes a */
} wn_simd_batch;

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
  /* beside[0] += how many x are greater than `at`, beside[1] += how many are equal; NaN is neither
   */
  void (*count)(const float *x, size_t n, float at, uint32_t beside[2]);
  /* Writes r·WN_PANEL + c for every inner product of row r and query c that is at least least[c],
   * and returns how many; `out` has room for count·WN_PANEL. The products' own rounding: two
   * kernels differ by at most 2·γₙ·‖row‖·‖query‖, γₙ = n·2⁻²⁴ / (1 − n·2⁻²⁴) (Higham 2002). */
  size_t (*panel_above)(const wn_simd_panel *panel, uint32_t *out);
  /* ---- dense kernels for the solvers: simd_dense.h ---- */
  size_t lanes; /* systems of a batch: 16, 8 or 4 */
  /* C[m × n] += A·B; n padded */
  void (*product)(const wn_simd_product *p, size_t m, size_t n);
  /* upper triangle of C[n × n] += rowsᵀ·rows; n padded; the blocks on the diagonal are written as a
   * whole */
  void (*syrk)(const wn_simd_rows *rows, size_t n, float *C, size_t ldc);
  /* A = Uᵀ·U in place, by and of its upper triangle; n padded; inverse[n] = 1 / diagonal. A's
   * pivots are known to be ≥ pivot_min; smaller ones are rounding and raised. */
  void (*cholesky)(float *A, size_t n, size_t ld, float pivot_min, float *inverse);
  /* x ← U⁻ᵀx and x ← U⁻¹x for the factor and the inverse of its diagonal that cholesky leaves */
  void (*upper_solve_transposed)(const float *U, size_t n, size_t ld, const float *inverse,
                                 float *x);
  void (*upper_solve)(const float *U, size_t n, size_t ld, const float *inverse, float *x);
  /* out[j] += Σ a[k]·rows[k][j]; n padded; nothing is asked for */
  void (*combine)(const float *a, const wn_simd_rows *rows, size_t n, float *out);
  /* out[k] = 1 / √(a·x[k] + b) */
  void (*rsqrt)(float a, const float *x, float b, size_t n, float *out);
  /* out = a·x∘y, zero from n to the next multiple of WN_SIMD_PAD */
  void (*scale_by)(float a, const float *x, const float *y, size_t n, float *out);
  /* out[4r + c] = ⟨a + r·ld, b + c·ld⟩, r, c < 4; n padded. Where a is b only c ≤ r is wanted. */
  void (*gram4)(const float *a, const float *b, size_t ld, size_t n, float *out);
  /* out[k][i] = in[i][k]: `in` has `rows` rows of `n`, both padded */
  void (*transpose)(const float *in, size_t ld, size_t rows, size_t n, float *out, size_t ldo);
  /* out[i] = ⟨hᵢ, x⟩ */
  void (*dots)(const wn_simd_gather *rows, const float *x, float *out);
  /* out += Σ (tᵢ − wᵢ·sᵢ)·hᵢ with sᵢ = ⟨hᵢ, x⟩; returns Σ sᵢ(wᵢ·sᵢ − 2tᵢ). square (or NULL) +=
   * Σ wᵢ·hᵢ∘hᵢ */
  double (*normal)(const wn_simd_gather *rows, const float *x, float *out, float *square);
  /* solves the batch; least[lanes] = ⟨t, a⟩ */
  void (*batch)(const wn_simd_batch *batch, float *least);
} wn_simd_table;

/* As syrk, of named rows rounded to bfloat16, in half the time; rows->sum is wanted and is not
 * rounded. packed: (count + 1) / 2 · wn_simd_stride(n) numbers of scratch. */
typedef void wn_syrk_rounded(const wn_simd_rows *rows, size_t n, uint32_t *packed, float *C,
                             size_t ldc);
/* upper triangle of C[count padded × …] += Z·Zᵀ, its rows scale∘row, of n numbers, rounded; the
 * blocks on the diagonal are written as a whole. n padded. packed: n padded to 32, half of that
 * times wn_simd_stride(count). */
typedef void wn_gram_rounded(const wn_simd_rows *rows, const float *scale, size_t n,
                             uint32_t *packed, float *C, size_t ldc);
/* NULL: the CPU has no such instruction, or WINNOW_SIMD names another set than avx512bf16. */
wn_syrk_rounded *wn_simd_syrk_rounded(void);
wn_gram_rounded *wn_simd_gram_rounded(void);

const wn_simd_table *wn_simd(void);
/* A given table for tests and benchmarks: NULL when the CPU lacks it. */
const wn_simd_table *wn_simd_named(const char *name);

#endif
