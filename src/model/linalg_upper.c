/* Substitution with an upper triangular factor, by blocks of WN_SIMD_PAD rows: within a block one
 * by one, outside of it by the vector kernels along rows. n² multiply-adds for both. */
#include "base/simd/simd.h"
#include "model/linalg.h"

#define B WN_SIMD_PAD

void wn_upper_solve_transposed(const float *U, size_t n, size_t ld, const float *inverse,
                               float *x) {
  for (size_t p = 0; p < n; p += B) {
    const float *block = U + p * ld + p;
    float *y = x + p, minus[B];
    for (size_t r = 0; r < B; r++) {
      y[r] *= inverse[p + r];
      minus[r] = -y[r];
      for (size_t s = r + 1; s < B; s++) y[s] += minus[r] * block[r * ld + s];
    }
    if (n - p > B) wn_simd()->combine(minus, block + B, B, ld, n - p - B, y + B);
  }
}

void wn_upper_solve(const float *U, size_t n, size_t ld, const float *inverse, float *x) {
  for (size_t p = n; p > 0;) {
    p -= B;
    const float *block = U + p * ld + p;
    float *y = x + p, right[B];
    wn_simd()->gemv(block + B, B, ld, y + B, n - p - B, right);
    for (size_t r = B; r-- > 0;) {
      float s = y[r] - right[r];
      for (size_t c = r + 1; c < B; c++) s -= block[r * ld + c] * y[c];
      y[r] = s * inverse[p + r];
    }
  }
}
