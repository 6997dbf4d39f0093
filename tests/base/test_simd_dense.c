/* The dense kernels of every table that this CPU offers against plain sums in double. */
#include "harness.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"

#include <math.h>
#include <stdlib.h>

static const char *const names[] = {"scalar", "avx2", "avx512"};

/* an exact block, so that ASan sees one float too many */
static float *random_floats(wn_rng *rng, size_t n) {
  float *x = wn_malloc(n * sizeof *x);
  for (size_t i = 0; i < n; i++) x[i] = (float)wn_rng_normal(rng);
  return x;
}

static float *zeros(size_t n) {
  return wn_calloc(n, sizeof(float));
}

static void near(float got, double want, double tolerance) {
  if (!(fabs((double)got - want) <= tolerance)) fail_msg("got %.9g, want %.9g", (double)got, want);
}

static void check_product(const wn_simd_table *t, wn_rng *rng, size_t m, size_t n, size_t depth) {
  size_t a_row = depth + 3, ld = n + 5;
  float *a = random_floats(rng, m * a_row), *b = random_floats(rng, depth * ld + n);
  float *c = random_floats(rng, m * ld), *before = wn_malloc(m * ld * sizeof *c);
  memcpy(before, c, m * ld * sizeof *c);
  wn_simd_product p = {a, a_row, 1, b, ld, c, ld, depth};
  t->product(&p, m, n);
  for (size_t r = 0; r < m; r++) {
    for (size_t j = 0; j < ld; j++) {
      double want = (double)before[r * ld + j];
      for (size_t k = 0; k < depth && j < n; k++) {
        want += (double)a[r * a_row + k] * (double)b[k * ld + j];
      }
      near(c[r * ld + j], want, j < n ? 1e-5 * (double)(depth + 1) : 0);
    }
  }
  wn_free(a);
  wn_free(b);
  wn_free(c);
  wn_free(before);
}

/* combine and dots of rows in another order */
static void check_gathered(const wn_simd_table *t, const float *rows, size_t count, size_t ld,
                           size_t n) {
  uint32_t *row = wn_calloc(count, sizeof *row);
  float *sum = zeros(n), *dots = zeros(count);
  for (size_t k = 0; k < count; k++) row[k] = (uint32_t)((5 * k + 3) % count);
  t->combine(rows, &(wn_simd_rows){.data = rows, .count = count, .ld = ld, .row = row}, n, sum);
  t->dots(&(wn_simd_gather){.of = rows, .width = ld, .row = row, .count = count}, rows, dots);
  for (size_t i = 0; i < n; i++) {
    double want = 0;
    for (size_t k = 0; k < count; k++) want += (double)rows[k] * (double)rows[row[k] * ld + i];
    near(sum[i], want, 1e-5 * (double)(count + 1));
  }
  for (size_t k = 0; k < count; k++) {
    double want = 0;
    for (size_t i = 0; i < ld; i++) want += (double)rows[i] * (double)rows[row[k] * ld + i];
    near(dots[k], want, 1e-5 * (double)(n + 1));
  }
  wn_free(row);
  wn_free(sum);
  wn_free(dots);
}

static void check_syrk_combine(const wn_simd_table *t, wn_rng *rng, size_t count, size_t n) {
  size_t ld = n + 2, ldc = wn_simd_stride(n);
  float *rows = random_floats(rng, count * ld), *C = zeros(n * ldc), *a = random_floats(rng, count);
  float *sum = zeros(n);
  uint32_t next[3] = {2, 0, 1};
  wn_simd_rows all = {.data = rows,
                      .count = count,
                      .ld = ld,
                      .next_of = rows,
                      .next = next,
                      .next_count = count > 3 ? 3 : 0,
                      .next_width = n};
  t->syrk(&all, n, C, ldc);
  t->combine(a, &all, n, sum);
  check_gathered(t, rows, count, ld, n);
  for (size_t i = 0; i < n; i++) {
    double s = 0;
    for (size_t k = 0; k < count; k++) s += (double)a[k] * (double)rows[k * ld + i];
    near(sum[i], s, 1e-5 * (double)(count + 1));
    for (size_t j = i; j < n; j++) {
      double want = 0;
      for (size_t k = 0; k < count; k++)
        want += (double)rows[k * ld + i] * (double)rows[k * ld + j];
      near(C[i * ldc + j], want, 1e-5 * (double)(count + 1));
    }
  }
  wn_free(rows);
  wn_free(C);
  wn_free(a);
  wn_free(sum);
}

/* Rows named in another order, one of them twice: the same as a copy of them. */
static void check_named_rows(const wn_simd_table *t, wn_rng *rng, size_t count, size_t n) {
  size_t ldc = wn_simd_stride(n);
  float *of = random_floats(rng, count * n), *copy = zeros((count + 1) * n);
  float *C = zeros(n * ldc), *D = zeros(n * ldc), *sum = zeros(n), *want = zeros(n);
  uint32_t *row = wn_calloc(count + 1, sizeof *row);
  for (size_t k = 0; k <= count; k++) {
    row[k] = (uint32_t)(k * 7 % count);
    memcpy(copy + k * n, of + row[k] * n, n * sizeof *copy);
    for (size_t j = 0; j < n; j++) want[j] += copy[k * n + j];
  }
  wn_simd_rows named = {.data = of, .count = count + 1, .ld = n, .row = row};
  wn_simd_rows copied = {.data = copy, .count = count + 1, .ld = n};
  t->syrk(&named, n, C, ldc);
  t->syrk(&copied, n, D, ldc);
  assert_memory_equal(C, D, n * ldc * sizeof *C);
  memset(C, 0, n * ldc * sizeof *C);
  named.sum = sum;
  t->syrk(&named, n, C, ldc);
  assert_memory_equal(C, D, n * ldc * sizeof *C);
  assert_memory_equal(sum, want, n * sizeof *sum);
  wn_free(of);
  wn_free(copy);
  wn_free(C);
  wn_free(D);
  wn_free(sum);
  wn_free(want);
  wn_free(row);
}

/* Uᵀ·U is what was given. */
static void check_cholesky(const wn_simd_table *t, wn_rng *rng, size_t n) {
  size_t ld = wn_simd_stride(n);
  float *rows = random_floats(rng, n * n), *A = zeros(n * ld), *U = zeros(n * ld);
  float *inverse = zeros(n);
  t->syrk(&(wn_simd_rows){.data = rows, .count = n, .ld = n}, n, A, ld);
  for (size_t i = 0; i < n; i++) A[i * ld + i] += 1;
  memcpy(U, A, n * ld * sizeof *U);
  t->cholesky(U, n, ld, 1.0f, inverse);
  for (size_t i = 0; i < n; i++) {
    near(inverse[i] * U[i * ld + i], 1, 1e-6);
    for (size_t j = i; j < n; j++) {
      double s = 0;
      for (size_t k = 0; k <= i; k++) s += (double)U[k * ld + i] * (double)U[k * ld + j];
      near((float)s, (double)A[i * ld + j], 1e-5 * (double)n);
    }
  }
  float *x = random_floats(rng, n), *b = wn_malloc(n * sizeof *b);
  memcpy(b, x, n * sizeof *b);
  t->upper_solve_transposed(U, n, ld, inverse, x);
  t->upper_solve(U, n, ld, inverse, x);
  for (size_t i = 0; i < n; i++) { /* Ax is b again */
    double s = 0;
    for (size_t j = 0; j < n; j++) {
      s += (double)A[(i < j ? i : j) * ld + (i < j ? j : i)] * (double)x[j];
    }
    near((float)s, (double)b[i], 1e-4 * (double)n);
  }
  wn_free(x);
  wn_free(b);
  memset(U, 0, n * ld * sizeof *U); /* a pivot that rounding has lost */
  t->cholesky(U, n, ld, 0.25f, inverse);
  for (size_t i = 0; i < n; i++) assert_true(U[i * ld + i] == 0.5f);
  wn_free(rows);
  wn_free(A);
  wn_free(U);
  wn_free(inverse);
}

static void check_rows(const wn_simd_table *t, wn_rng *rng, size_t n) {
  size_t padded = (n + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD, ld = padded + 3;
  float *x = random_floats(rng, n), *y = random_floats(rng, n), *out = zeros(padded);
  t->scale_by(1.5f, x, y, n, out);
  for (size_t k = 0; k < padded; k++) {
    near(out[k], k < n ? 1.5 * (double)x[k] * (double)y[k] : 0, 1e-5);
  }
  for (size_t k = 0; k < n; k++) x[k] = fabsf(x[k]);
  t->rsqrt(0.3f, x, 0.01f, n, out);
  for (size_t k = 0; k < n; k++) {
    double want = 1 / sqrt((double)0.3f * (double)x[k] + (double)0.01f);
    near(out[k], want, 1e-6 * want);
  }
  float *a = random_floats(rng, 4 * ld), *b = random_floats(rng, 4 * ld), got[16];
  t->gram4(a, b, ld, padded, got);
  for (size_t i = 0; i < 16; i++) {
    double want = 0;
    for (size_t k = 0; k < padded; k++)
      want += (double)a[i / 4 * ld + k] * (double)b[i % 4 * ld + k];
    near(got[i], want, 1e-5 * (double)(n + 1));
  }
  t->gram4(a, a, ld, padded, got);
  for (size_t i = 0; i < 16; i++) {
    double want = 0;
    for (size_t k = 0; k < padded; k++)
      want += (double)a[i / 4 * ld + k] * (double)a[i % 4 * ld + k];
    if (i % 4 <= i / 4) near(got[i], want, 1e-5 * (double)(n + 1));
  }
  float *wide = random_floats(rng, 16 * ld), *turned = zeros((padded + 1) * 16);
  t->transpose(wide, ld, 16, padded, turned, 16);
  for (size_t i = 0; i < 16; i++) {
    for (size_t k = 0; k < padded; k++) assert_true(turned[k * 16 + i] == wide[i * ld + k]);
  }
  wn_free(x);
  wn_free(y);
  wn_free(out);
  wn_free(a);
  wn_free(b);
  wn_free(wide);
  wn_free(turned);
}

/* Each lane's system is solved: (I + G) a = t and ⟨t, a⟩. */
static void check_batch(const wn_simd_table *t, wn_rng *rng, size_t blocks) {
  size_t n = 4 * blocks, lanes = t->lanes, tiles = blocks * (blocks + 1) / 2;
  double *G = wn_calloc(lanes * n * n + 1, sizeof *G);
  float *rows = random_floats(rng, lanes * n * n), *right = random_floats(rng, n * lanes);
  wn_simd_batch b = {blocks, zeros(tiles * 16 * lanes), zeros(n * lanes)};
  float least[16];
  for (size_t s = 0; s < lanes; s++) {
    for (size_t i = 0; i < n; i++) {
      for (size_t j = 0; j < n; j++) {
        double sum = 0;
        for (size_t k = 0; k < n; k++) {
          sum += (double)rows[(s * n + i) * n + k] * (double)rows[(s * n + j) * n + k];
        }
        G[(s * n + i) * n + j] = sum / (double)n;
        if (j / 4 > i / 4) continue;
        size_t tile = i / 4 * (i / 4 + 1) / 2 + j / 4;
        b.matrix[(tile * 16 + i % 4 * 4 + j % 4) * lanes + s] = (float)(sum / (double)n);
      }
    }
  }
  memcpy(b.x, right, n * lanes * sizeof *right);
  t->batch(&b, least);
  for (size_t s = 0; s < lanes; s++) {
    double dot = 0;
    for (size_t i = 0; i < n; i++) {
      double sum = (double)b.x[i * lanes + s];
      dot += (double)right[i * lanes + s] * (double)b.x[i * lanes + s];
      for (size_t j = 0; j < n; j++) sum += G[(s * n + i) * n + j] * (double)b.x[j * lanes + s];
      near((float)sum, (double)right[i * lanes + s], 1e-4);
    }
    near(least[s], dot, 1e-4 * (double)n);
  }
  wn_free(G);
  wn_free(rows);
  wn_free(right);
  wn_free(b.matrix);
  wn_free(b.x);
}

static void test_dense(WN_UNUSED void **state) {
  for (size_t i = 0; i < COUNT_OF(names); i++) {
    const wn_simd_table *t = wn_simd_named(names[i]);
    if (t == NULL) continue;
    wn_rng rng;
    wn_rng_seed(&rng, 23);
    for (size_t n = 16; n <= 144; n += 16) {
      check_cholesky(t, &rng, n);
      for (size_t m = 1; m < 20; m += m < 10 ? 1 : 3) check_product(t, &rng, m, n, m * 3 % 17);
      for (size_t count = 0; count < 70; count += 23) check_syrk_combine(t, &rng, count, n);
      for (size_t count = 1; count < 70; count += 23) check_named_rows(t, &rng, count, n);
    }
    for (size_t n = 1; n < 70; n++) check_rows(t, &rng, n);
    for (size_t blocks = 1; blocks <= 12; blocks++) check_batch(t, &rng, blocks);
  }
}

/* To nearest even. */
static float rounded(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static void check_rounded(wn_syrk_rounded *syrk, wn_rng *rng, size_t count, size_t n) {
  enum { OF = 40 };
  size_t ldc = wn_simd_stride(n), pairs = (count + 1) / 2;
  float *of = random_floats(rng, OF * n), *C = zeros(n * ldc), *sum = zeros(n);
  uint32_t *packed = wn_malloc(pairs * ldc * sizeof *packed), *row = wn_calloc(count, sizeof *row);
  for (size_t k = 0; k < count; k++) row[k] = (uint32_t)wn_rng_below(rng, OF);
  const wn_simd_rows rows = {.data = of, .count = count, .ld = n, .row = row, .sum = sum};
  syrk(&rows, n, packed, C, ldc);
  for (size_t i = 0; i < n; i++) {
    float total = 0;
    for (size_t k = 0; k < count; k++) total += of[row[k] * n + i];
    assert_true(sum[i] == total);
    for (size_t j = i; j < n; j++) {
      double want = 0;
      for (size_t k = 0; k < count; k++)
        want += (double)rounded(of[row[k] * n + i]) * (double)rounded(of[row[k] * n + j]);
      near(C[i * ldc + j], want, 1e-5 * (double)(count + 1));
    }
  }
  wn_free(of);
  wn_free(C);
  wn_free(sum);
  wn_free(packed);
  wn_free(row);
}

/* Z·Zᵀ of `count` rows of n */
static void check_gram_rounded(wn_gram_rounded *gram, wn_rng *rng, size_t count, size_t n) {
  enum { OF = 40 };
  size_t side = (count + 15) / 16 * 16, ld = wn_simd_stride(side), depth = (n + 31) / 32 * 16;
  float *of = random_floats(rng, OF * n), *scale = random_floats(rng, n), *C = zeros(side * ld);
  uint32_t *packed = wn_malloc(depth * ld * sizeof *packed), *row = wn_calloc(count, sizeof *row);
  for (size_t k = 0; k < count; k++) row[k] = (uint32_t)wn_rng_below(rng, OF);
  gram(&(wn_simd_rows){.data = of, .count = count, .ld = n, .row = row}, scale, n, packed, C, ld);
  for (size_t i = 0; i < count; i++) {
    for (size_t j = i; j < side; j++) {
      double want = 0;
      for (size_t k = 0; k < n && j < count; k++)
        want += (double)rounded(scale[k] * of[row[i] * n + k]) *
                (double)rounded(scale[k] * of[row[j] * n + k]);
      near(C[i * ld + j], want, 1e-5 * (double)(n + 1));
    }
  }
  wn_free(of);
  wn_free(scale);
  wn_free(C);
  wn_free(packed);
  wn_free(row);
}

static void test_rounded(WN_UNUSED void **state) {
  wn_syrk_rounded *syrk = wn_simd_syrk_rounded();
  if (syrk == NULL) {
    print_message("bfloat16: not on this CPU, or not wanted\n");
    return;
  }
  wn_rng rng;
  wn_rng_seed(&rng, 29);
  for (size_t n = 16; n <= 144; n += 16)
    for (size_t count = 1; count < 70; count += 17) {
      check_rounded(syrk, &rng, count, n);
      check_gram_rounded(wn_simd_gram_rounded(), &rng, count, n);
    }
}

static void test_stride(WN_UNUSED void **state) {
  for (size_t n = 1; n < 300; n++) {
    size_t s = wn_simd_stride(n);
    assert_true(s >= n && s < n + 2 * WN_SIMD_PAD && s % (2 * WN_SIMD_PAD) == WN_SIMD_PAD);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_dense), cmocka_unit_test(test_rounded),
                                     cmocka_unit_test(test_stride)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
