#ifndef WN_MODEL_LINALG_H
#define WN_MODEL_LINALG_H
/* Small dense linear algebra for the solvers: row-major, symmetric matrices by their lower
 * triangle. Deterministic: the same input gives the same bits, whatever the thread count. */

#include "base/status.h"
#include "base/thread.h"

/* A = L·Lᵀ in place; A is n × n with leading dimension ld ≥ n, its upper triangle is neither read
 * nor written. Pivots below `pivot_min` (> 0) are raised to it, so that rounding cannot break a
 * matrix whose pivots are known to be larger. work: n floats. */
void wn_cholesky(float *A, size_t n, size_t ld, float pivot_min, float *work);
/* x ← (L·Lᵀ)⁻¹ x */
void wn_cholesky_solve(const float *L, size_t n, size_t ld, float *x);

/* A ← A⁻¹ for the symmetric positive definite A (n × n, dense, its lower triangle is read, both are
 * written), in place by `pool`'s threads; pivots as in wn_cholesky. About n³ multiplications. */
WN_MUST_USE wn_status wn_inverse(wn_pool *pool, float *A, size_t n, float pivot_min, wn_error *err);

/* Eigenvalues and eigenvectors of the symmetric A (n × n, dense, both triangles): on return row k
 * of A is the unit eigenvector of values[k], in no particular order. work: n doubles. False when
 * it does not converge (A holds NaN or infinities); A is lost then. Cost about 9·n³ flops. */
WN_MUST_USE bool wn_eigen_symmetric(double *A, size_t n, double *values, double *work);

/* gram[d × d] (both triangles) = rowsᵀ·rows for `count` rows of d floats. Memory while it runs:
 * 32·d² bytes and a little. */
WN_MUST_USE wn_status wn_gram(wn_pool *pool, const float *rows, size_t count, size_t d,
                              double *gram, wn_error *err);

#endif
