#ifndef WN_BASE_SIMD_FACTOR_H
#define WN_BASE_SIMD_FACTOR_H
/* A = UᵀU and substitution with U, by blocks of W rows; part of simd_dense.h.
 *
 * Left-looking by panels of W rows of U, so that most of the work is the product's tiles. What is
 * left is a chain of W dependent steps a block, and its length is what small systems cost: the
 * block stays in registers, and rows are eliminated by the reciprocal of their pivot, so that no
 * square root is in the chain (rows are scaled to U at the end). What lies below the diagonal in a
 * block on it is lost, and read into lanes that nobody looks at. */

/* The W × W block at A becomes U, inverse[W] the reciprocals of its diagonal. */
INLINE void factor_block(float *A, size_t ld, float pivot_min, float *inverse) {
  V x[W], least = v_set(pivot_min);
  float pivots[W];
#pragma GCC unroll 16
  for (size_t r = 0; r < W; r++) x[r] = v_load(A + r * ld);
#pragma GCC unroll 16
  for (size_t r = 0; r < W; r++) {
    V pivot = v_max(v_lane(x[r], r), least);
    V share = v_mul(x[r], v_div(v_set(1), pivot));
    pivots[r] = v_first(pivot);
#pragma GCC unroll 16
    for (size_t s = r + 1; s < W; s++) x[s] = v_fnma(v_lane(share, s), x[r], x[s]);
  }
  v_store(inverse, v_div(v_set(1), v_sqrt(v_load(pivots))));
#pragma GCC unroll 16
  for (size_t r = 0; r < W; r++) {
    v_store(A + r * ld, v_mul(x[r], v_set(inverse[r])));
    A[r * ld + r] = pivots[r] * inverse[r];
  }
}

/* X ← U⁻ᵀX for the W × W blocks X right of U. */
INLINE void solve_block(const float *U, size_t ld, const float *inverse, float *X) {
  V x[W];
#pragma GCC unroll 16
  for (size_t r = 0; r < W; r++) x[r] = v_load(X + r * ld);
#pragma GCC unroll 16
  for (size_t r = 0; r < W; r++) {
    x[r] = v_mul(x[r], v_set(inverse[r]));
    v_store(X + r * ld, x[r]);
#pragma GCC unroll 16
    for (size_t s = r + 1; s < W; s++) x[s] = v_fnma(v_set(U[r * ld + s]), x[r], x[s]);
  }
}

static void cholesky(float *A, size_t n, size_t ld, float pivot_min, float *inverse) {
  for (size_t p = 0; p < n; p += W) {
    float *block = A + p * ld + p;
    const wn_simd_product before = {A + p, 1, ld, A + p, ld, block, ld, p};
    strips(&before, W, n - p, true);
    factor_block(block, ld, pivot_min, inverse + p);
    for (size_t j = W; j < n - p; j += W) solve_block(block, ld, inverse + p, block + j);
  }
}

static void upper_solve_transposed(const float *U, size_t n, size_t ld, const float *inverse,
                                   float *x) {
  for (size_t p = 0; p < n; p += W) {
    const float *block = U + p * ld + p;
    V y = v_load(x + p);
    float minus[W];
#pragma GCC unroll 16
    for (size_t r = 0; r < W; r++) {
      V found = v_mul(v_lane(y, r), v_set(inverse[p + r]));
      x[p + r] = v_first(found);
      minus[r] = -x[p + r];
      y = v_fnma(found, v_load(block + r * ld), y);
    }
    combine(minus, &(wn_simd_rows){.data = block + W, .count = W, .ld = ld}, n - p - W, x + p + W);
  }
}

static void upper_solve(const float *U, size_t n, size_t ld, const float *inverse, float *x) {
  for (size_t p = n; p > 0;) {
    p -= W;
    const float *block = U + p * ld + p;
    float right[W] = {0};
    V column[W];
    for (size_t r = 0; r < W && n - p > W; r++) {
      right[r] = dot(block + r * ld + W, x + p + W, n - p - W);
    }
    V y = v_fnma(v_set(1), v_load(right), v_load(x + p));
#pragma GCC unroll 16
    for (size_t r = 0; r < W; r++) column[r] = v_load(block + r * ld);
    transpose_block(column);
#pragma GCC unroll 16
    for (size_t r = W; r-- > 0;) {
      V found = v_mul(v_lane(y, r), v_set(inverse[p + r]));
      x[p + r] = v_first(found);
      y = v_fnma(found, column[r], y);
    }
  }
}

#endif
