#include "fitting.h"
#include "model/linalg.h"

static double *random_symmetric(wn_rng *rng, size_t n) {
  double *A = wn_calloc(n * n + 1, sizeof *A);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j <= i; j++) A[i * n + j] = A[j * n + i] = wn_rng_normal(rng);
  }
  return A;
}

/* ‖A v − λ v‖ and ‖V Vᵀ − 1‖, entry by entry */
static void check_eigen(const double *A, size_t n, double tolerance) {
  double *V = wn_calloc(n * n + 1, sizeof *V), *values = wn_calloc(n + 1, sizeof *values);
  double *work = wn_calloc(n + 1, sizeof *work), worst = 0;
  memcpy(V, A, n * n * sizeof *V);
  assert_true(wn_eigen_symmetric(V, n, values, work));
  for (size_t k = 0; k < n; k++) {
    const double *v = V + k * n;
    for (size_t i = 0; i < n; i++) {
      double s = 0, o = 0;
      for (size_t j = 0; j < n; j++) {
        s += A[i * n + j] * v[j];
        o += v[j] * V[i * n + j];
      }
      worst = fmax(worst, fabs(s - values[k] * v[i]));
      worst = fmax(worst, fabs(o - (i == k)));
    }
  }
  if (!(worst <= tolerance)) fail_msg("n %zu: off by %g", n, worst);
  wn_free(V);
  wn_free(values);
  wn_free(work);
}

static void test_eigen(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 1);
  size_t sizes[] = {0, 1, 2, 3, 4, 5, 17, 64, 130};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    double *A = random_symmetric(&rng, sizes[s]);
    check_eigen(A, sizes[s], 1e-11);
    wn_free(A);
  }
}

static void test_eigen_special(void **state) {
  (void)state;
  enum { N = 12 };
  double A[N * N] = {0};
  check_eigen(A, N, 1e-13); /* zero */
  for (size_t i = 0; i < N; i++) A[i * N + i] = i < 6 ? 2 : -1;
  check_eigen(A, N, 1e-13); /* diagonal, repeated values */
  for (size_t i = 0; i < N * N; i++) A[i] = 1;
  check_eigen(A, N, 1e-12); /* rank one */
  for (size_t i = 0; i < N; i++) {
    for (size_t j = 0; j < N; j++) A[i * N + j] = pow(10, -(double)(i + j)); /* graded */
  }
  check_eigen(A, N, 1e-13);
  for (size_t i = 0; i < N * N; i++) A[i] = 1e-300;
  check_eigen(A, N, 1e-13);
  double values[N], work[N];
  A[3] = NAN;
  assert_false(wn_eigen_symmetric(A, N, values, work));
}

/* A Gram of fewer rows than columns, decomposed and rotated again and again as ALS does it. */
static void test_eigen_rank_deficient(void **state) {
  (void)state;
  enum { D = 64, MOST = 3 };
  for (uint64_t seed = 0; seed < 20; seed++) {
    wn_rng rng;
    wn_rng_seed(&rng, seed);
    size_t rows = 1 + seed % MOST;
    float x[MOST][D], rotated[MOST][D];
    for (size_t r = 0; r < rows; r++)
      for (size_t k = 0; k < D; k++) x[r][k] = (float)wn_rng_normal(&rng);
    for (int round = 0; round < 8; round++) {
      static double A[D * D], values[D], work[D];
      for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < D; j++) {
          A[i * D + j] = 0;
          for (size_t r = 0; r < rows; r++) A[i * D + j] += (double)x[r][i] * (double)x[r][j];
        }
      assert_true(wn_eigen_symmetric(A, D, values, work));
      for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < D; k++) {
          double s = 0;
          for (size_t j = 0; j < D; j++) s += A[k * D + j] * (double)x[r][j];
          rotated[r][k] = (float)s;
        }
      memcpy(x, rotated, sizeof x);
    }
  }
}

static void test_cholesky(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 2);
  for (size_t n = 1; n <= 70; n += n < 20 ? 1 : 7) {
    size_t ld = n + 3;
    float *A = wn_calloc(n * ld, sizeof *A), *B = wn_calloc(n * n, sizeof *B);
    float *x = wn_calloc(n, sizeof *x), *b = wn_calloc(n, sizeof *b);
    float *work = wn_calloc(n, sizeof *work);
    for (size_t i = 0; i < n * n; i++) B[i] = (float)wn_rng_normal(&rng);
    for (size_t i = 0; i < n; i++) {
      for (size_t j = 0; j < ld; j++) A[i * ld + j] = 1e30f; /* the upper part is not touched */
      for (size_t j = 0; j <= i; j++) {
        double s = i == j;
        for (size_t k = 0; k < n; k++) s += (double)B[i * n + k] * (double)B[j * n + k];
        A[i * ld + j] = (float)s;
      }
      b[i] = x[i] = (float)wn_rng_normal(&rng);
    }
    wn_cholesky(A, n, ld, 1.0f, work);
    wn_cholesky_solve(A, n, ld, x);
    for (size_t i = 0; i < n; i++) { /* (1 + BBᵀ) x = b */
      double s = (double)x[i];
      for (size_t j = 0; j < n; j++) {
        double a = 0;
        for (size_t k = 0; k < n; k++) a += (double)B[i * n + k] * (double)B[j * n + k];
        s += a * (double)x[j];
      }
      assert_true(fabs(s - (double)b[i]) < 2e-3);
    }
    for (size_t i = 0; i < n; i++) {
      for (size_t j = i + 1; j < ld; j++) assert_true(A[i * ld + j] > 9e29f);
    }
    wn_free(A);
    wn_free(B);
    wn_free(x);
    wn_free(b);
    wn_free(work);
  }
}

static void test_cholesky_raises_pivots(void **state) {
  (void)state;
  float A[4] = {1, 0, 1, 1}, work[2]; /* singular */
  wn_cholesky(A, 2, 2, 0.25f, work);
  assert_true(A[0] == 1 && A[2] == 1 && A[3] == 0.5f);
}

static void test_gram(void **state) {
  (void)state;
  enum { ROWS = 5000, D = 19 };
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  float *H = wn_calloc(ROWS * D, sizeof *H);
  for (size_t i = 0; i < ROWS * D; i++) H[i] = (float)wn_rng_normal(&rng);
  double one[D * D], three[D * D];
  wn_pool *pools[2] = {wn_pool_create(1), wn_pool_create(3)};
  for (size_t rows = 0; rows <= ROWS; rows = rows * 7 + 1) {
    assert_ok(wn_gram(pools[0], H, rows, D, one, err));
    assert_ok(wn_gram(pools[1], H, rows, D, three, err));
    assert_memory_equal(one, three, sizeof one);
    for (size_t i = 0; i < D; i++) {
      for (size_t j = 0; j < D; j++) {
        double s = 0;
        for (size_t r = 0; r < rows; r++) s += (double)H[r * D + i] * (double)H[r * D + j];
        assert_true(fabs(s - one[i * D + j]) <= 1e-5 * (1 + (double)rows));
      }
    }
  }
  wn_pool_free(pools[0]);
  wn_pool_free(pools[1]);
  wn_free(H);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_eigen),
      cmocka_unit_test(test_eigen_special),
      cmocka_unit_test(test_eigen_rank_deficient),
      cmocka_unit_test(test_cholesky),
      cmocka_unit_test(test_cholesky_raises_pivots),
      cmocka_unit_test(test_gram),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
