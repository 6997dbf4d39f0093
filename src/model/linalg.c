/* Sources: Cholesky, left-looking by columns (Golub and Van Loan, Matrix Computations, 4th ed.,
 * 4.2): column j needs ⟨Lᵢ, Lⱼ⟩ over the first j entries for all i ≥ j at once, which is one call
 * of the gemv kernel. Eigenvectors: Householder tridiagonalisation, then implicit QL with
 * Wilkinson's shift (8.3; EISPACK's tred2 and tql2). Departure: eigenvectors are rows, so that
 * each rotation works on contiguous memory. Everything is in double except Cholesky. */
#include "model/linalg.h"
#include "base/mem.h"
#include "base/simd/simd.h"

#include <float.h>
#include <math.h>
#include <string.h>

void wn_cholesky(float *A, size_t n, size_t ld, float pivot_min, float *work) {
  const wn_simd_table *simd = wn_simd();
  for (size_t j = 0; j < n; j++) {
    float *column = A + j * ld + j;
    simd->gemv(A + j * ld, n - j, ld, A + j * ld, j, work);
    float pivot = column[0] - work[0];
    if (!(pivot >= pivot_min)) pivot = pivot_min;
    float root = sqrtf(pivot), inverse = 1.0f / root;
    column[0] = root;
    for (size_t r = 1; r < n - j; r++) column[r * ld] = (column[r * ld] - work[r]) * inverse;
  }
}

void wn_cholesky_solve(const float *L, size_t n, size_t ld, float *x) {
  const wn_simd_table *simd = wn_simd();
  for (size_t i = 0; i < n; i++) {
    x[i] = (x[i] - simd->dot(L + i * ld, x, i)) / L[i * ld + i];
  }
  for (size_t i = n; i-- > 0;) {
    x[i] /= L[i * ld + i];
    simd->axpy(-x[i], L + i * ld, x, i);
  }
}

/* Four partial sums: the compiler must not reorder one. */
static double dot_double(const double *a, const double *b, size_t n) {
  double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
    s2 += a[i + 2] * b[i + 2];
    s3 += a[i + 3] * b[i + 3];
  }
  for (; i < n; i++) s0 += a[i] * b[i];
  return (s0 + s1) + (s2 + s3);
}

/* Makes x into the vector v of the reflection 1 − v·vᵀ (‖v‖² = 2) that maps x to (r, 0, …); returns
 * r. v = 0 when there is nothing to do. */
static double householder(double *x, size_t n) {
  double largest = 0;
  for (size_t i = 1; i < n; i++) largest = fmax(largest, fabs(x[i]));
  double r = x[0];
  if (largest == 0) {
    memset(x, 0, n * sizeof *x);
    return r;
  }
  largest = fmax(largest, fabs(r));
  for (size_t i = 0; i < n; i++) x[i] /= largest;
  double norm = sqrt(dot_double(x, x, n));
  if (x[0] > 0) norm = -norm;
  r = norm * largest;
  x[0] -= norm;
  double scale = sqrt(2.0 / dot_double(x, x, n));
  for (size_t i = 0; i < n; i++) x[i] *= scale;
  return r;
}

/* A ← H·A·H for the rows and columns from `first` on, v their reflection; p: scratch. */
static void reflect_both_sides(double *A, size_t n, size_t first, const double *v, double *p) {
  size_t m = n - first;
  memset(p, 0, m * sizeof *p);
  for (size_t i = 0; i < m; i++) {
    const double *row = A + (first + i) * n + first;
    for (size_t j = 0; j < m; j++) p[j] += v[i] * row[j];
  }
  double half = dot_double(v, p, m) / 2;
  for (size_t j = 0; j < m; j++) p[j] -= half * v[j];
  for (size_t i = 0; i < m; i++) {
    double *row = A + (first + i) * n + first;
    double vi = v[i], pi = p[i];
    for (size_t j = 0; j < m; j++) row[j] -= vi * p[j] + pi * v[j];
  }
}

/* A = Hᵀ·T·H: diagonal and off-diagonal (off[k] between k and k + 1) of T; A becomes H. */
static void tridiagonalise(double *A, size_t n, double *diagonal, double *off) {
  for (size_t k = 0; k + 1 < n; k++) {
    double *v = A + k * n + k + 1;
    size_t m = n - k - 1;
    diagonal[k] = A[k * n + k];
    off[k] = householder(v, m);
    /* diagonal[k + 1 …] is free until its turn: scratch. */
    reflect_both_sides(A, n, k + 1, v, diagonal + k + 1);
  }
  diagonal[n - 1] = A[n * n - 1];
  off[n - 1] = 0;
  /* H = H_{n−2}·…·H_0 from the last on: it is the identity outside what it has touched. */
  double *row_last = A + (n - 1) * n;
  memset(row_last, 0, n * sizeof *row_last);
  row_last[n - 1] = 1;
  for (size_t k = n - 1; k-- > 0;) {
    double *v = A + k * n + k + 1;
    size_t m = n - k - 1;
    for (size_t i = k + 1; i < n; i++) {
      double *row = A + i * n + k + 1;
      double s = dot_double(row, v, m);
      for (size_t j = 0; j < m; j++) row[j] -= s * v[j];
    }
    memset(A + k * n, 0, n * sizeof *A);
    A[k * n + k] = 1;
    for (size_t i = k + 1; i < n; i++) A[i * n + k] = 0;
  }
}

static void rotate_rows(double *a, double *b, size_t n, double c, double s) {
  for (size_t k = 0; k < n; k++) {
    double f = b[k];
    b[k] = s * a[k] + c * f;
    a[k] = c * a[k] - s * f;
  }
}

/* One implicit QL sweep over the unreduced block from `first` to `last`. */
static void ql_sweep(double *diagonal, double *off, double *vectors, size_t n, size_t first,
                     size_t last) {
  double g = (diagonal[first + 1] - diagonal[first]) / (2 * off[first]);
  double r = hypot(g, 1);
  g = diagonal[last] - diagonal[first] + off[first] / (g + copysign(r, g));
  double s = 1, c = 1, p = 0;
  for (size_t i = last; i-- > first;) {
    double f = s * off[i], b = c * off[i];
    r = hypot(f, g);
    off[i + 1] = r;
    if (r == 0) { /* underflow: the block has split */
      diagonal[i + 1] -= p;
      off[last] = 0;
      return;
    }
    s = f / r;
    c = g / r;
    g = diagonal[i + 1] - p;
    r = (diagonal[i] - g) * s + 2 * c * b;
    p = s * r;
    diagonal[i + 1] = g + p;
    g = c * r - b;
    rotate_rows(vectors + i * n, vectors + (i + 1) * n, n, c, s);
  }
  diagonal[first] -= p;
  off[first] = g;
  off[last] = 0;
}

/* An off-diagonal entry counts as zero beside the largest of the matrix, not beside its neighbours
 * alone: in the null space of a Gram of few rows these are noise themselves, and the sweeps would
 * never end. */
bool wn_eigen_symmetric(double *A, size_t n, double *values, double *work) {
  if (n == 0) return true;
  double *off = work, scale = 0;
  tridiagonalise(A, n, values, off);
  for (size_t k = 0; k < n; k++) scale = fmax(scale, fabs(values[k]) + fabs(off[k]));
  for (size_t first = 0; first < n; first++) {
    for (int sweep = 0;; sweep++) {
      size_t last = first;
      while (last + 1 < n && !(fabs(off[last]) <= DBL_EPSILON * (fabs(values[last]) +
                                                                 fabs(values[last + 1]) + scale))) {
        last++;
      }
      if (last == first) break;
      if (sweep == 60) return false;
      ql_sweep(values, off, A, n, first, last);
    }
  }
  for (size_t k = 0; k < n; k++) {
    if (!isfinite(values[k])) return false;
  }
  return true;
}
