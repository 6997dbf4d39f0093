/* Every table that this CPU offers against sums in double precision; one that it lacks is
 * reported as such by wn_simd_named() and left out. */
#include "harness.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"

#include <math.h>
#include <stdlib.h>

static const char *const names[] = {"scalar", "avx2", "avx512"};

#define N_MAX 133

static float *random_floats(wn_rng *rng, size_t n) {
  /* an exact block, so that ASan sees one float too many */
  float *x = wn_malloc(n * sizeof *x);
  for (size_t i = 0; i < n; i++) x[i] = (float)wn_rng_normal(rng);
  return x;
}

static double dot_twin(const float *a, const float *b, size_t n, double *magnitude) {
  double sum = 0;
  *magnitude = 0;
  for (size_t i = 0; i < n; i++) {
    sum += (double)a[i] * (double)b[i];
    *magnitude += fabs((double)a[i] * (double)b[i]);
  }
  return sum;
}

static void near(float got, double want, double magnitude) {
  if (!(fabs((double)got - want) <= 1e-6 * magnitude + 1e-30)) {
    fail_msg("got %.9g, want %.9g", (double)got, want);
  }
}

static void check_dot_axpy_scale(const wn_simd_table *t, wn_rng *rng, size_t n) {
  float *a = random_floats(rng, n), *b = random_floats(rng, n), *y = random_floats(rng, n);
  float *z = wn_malloc(n * sizeof *z);
  double magnitude;
  double want = dot_twin(a, b, n, &magnitude);
  near(t->dot(a, b, n), want, magnitude);
  if (n > 0) memcpy(z, y, n * sizeof *z);
  t->axpy(0.7f, a, z, n);
  for (size_t i = 0; i < n; i++) {
    double product = (double)0.7f * (double)a[i];
    near(z[i], (double)y[i] + product, fabs((double)y[i]) + fabs(product));
  }
  t->scale(-3.5f, z, n);
  if (n > 0) memcpy(z, y, n * sizeof *z);
  t->scale(-3.5f, z, n);
  for (size_t i = 0; i < n; i++) assert_true(z[i] == -3.5f * y[i]);
  wn_free(a);
  wn_free(b);
  wn_free(y);
  wn_free(z);
}

static void check_above(const wn_simd_table *t, wn_rng *rng, size_t n) {
  float *x = random_floats(rng, n), least = (float)wn_rng_normal(rng);
  uint32_t *out = wn_malloc((n + 1) * sizeof *out);
  if (n > 3) x[n / 2] = NAN, x[n - 1] = INFINITY, x[1] = least;
  size_t len = t->above(x, n, least, out), want = 0;
  for (size_t i = 0; i < n; i++) {
    if (!(x[i] >= least)) continue;
    assert_true(want < len);
    assert_int_equal(out[want++], i);
  }
  assert_int_equal(len, want);
  wn_free(x);
  wn_free(out);
}

static void check_count(const wn_simd_table *t, wn_rng *rng, size_t n) {
  float x[300], at = (float)wn_rng_below(rng, 5);
  uint32_t got[2] = {7, 9}, want[2] = {7, 9};
  for (size_t i = 0; i < n; i++) {
    x[i] = (float)wn_rng_below(rng, 5);
    if (wn_rng_below(rng, 9) == 0) x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : -INFINITY;
    want[0] += x[i] > at;
    want[1] += x[i] == at;
  }
  t->count(x, n, at, got);
  assert_int_equal(got[0], want[0]);
  assert_int_equal(got[1], want[1]);
}

/* Everything clearly at or above comes out, nothing that is clearly below, in any order; once. */
static void check_panel(const wn_simd_table *t, wn_rng *rng, size_t n) {
  size_t count = (size_t)wn_rng_below(rng, 19), ld = n + (size_t)wn_rng_below(rng, 5);
  float *rows = random_floats(rng, count > 0 ? (count - 1) * ld + n : 0);
  float *x = random_floats(rng, n * WN_PANEL), least[WN_PANEL], column[N_MAX];
  uint32_t *out = wn_malloc((count * WN_PANEL + 1) * sizeof *out);
  uint8_t *met = wn_calloc(count * WN_PANEL + 1, 1);
  for (size_t c = 0; c < WN_PANEL; c++)
    least[c] = c % 7 == 3 ? INFINITY : c % 7 == 5 ? -INFINITY : (float)wn_rng_normal(rng);
  const wn_simd_panel panel = {rows, count, ld, n, x, least};
  size_t len = t->panel_above(&panel, out);
  for (size_t i = 0; i < len; i++) {
    assert_true(out[i] < count * WN_PANEL);
    assert_int_equal(met[out[i]]++, 0);
  }
  for (size_t at = 0; at < count * WN_PANEL; at++) {
    size_t c = at % WN_PANEL;
    double magnitude, want;
    for (size_t k = 0; k < n; k++) column[k] = x[k * WN_PANEL + c];
    want = dot_twin(rows + at / WN_PANEL * ld, column, n, &magnitude);
    if (want > (double)least[c] + 1e-5 * magnitude) assert_int_equal(met[at], 1);
    if (want < (double)least[c] - 1e-5 * magnitude) assert_int_equal(met[at], 0);
  }
  wn_free(rows);
  wn_free(x);
  wn_free(out);
  wn_free(met);
}

static void check_gemv(const wn_simd_table *t, wn_rng *rng, size_t n) {
  size_t count = (size_t)wn_rng_below(rng, 11), ld = n + (size_t)wn_rng_below(rng, 5);
  size_t total = count > 0 ? (count - 1) * ld + n : 0;
  float *rows = random_floats(rng, total), *x = random_floats(rng, n);
  float *out = wn_malloc(count * sizeof *out);
  t->gemv(rows, count, ld, x, n, out);
  for (size_t r = 0; r < count; r++) {
    double magnitude, want = dot_twin(rows + r * ld, x, n, &magnitude);
    near(out[r], want, magnitude);
    assert_true(out[r] == t->dot(rows + r * ld, x, n)); /* the same bits, whoever computes it */
  }
  wn_free(rows);
  wn_free(x);
  wn_free(out);
}

static void check_syr(const wn_simd_table *t, wn_rng *rng, size_t n) {
  size_t ld = n + (size_t)wn_rng_below(rng, 4);
  size_t total = n > 0 ? (n - 1) * ld + n : 0;
  float *A = random_floats(rng, total), *x = random_floats(rng, n);
  float *before = wn_malloc(total * sizeof *before);
  if (total > 0) memcpy(before, A, total * sizeof *A);
  t->syr(1.5f, x, n, A, ld);
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < (i + 1 < n ? ld : n); j++) {
      double old = (double)before[i * ld + j];
      if (j > i) { /* above the diagonal and in the padding: untouched */
        assert_true(A[i * ld + j] == before[i * ld + j]);
        continue;
      }
      double added = 1.5 * (double)x[i] * (double)x[j];
      near(A[i * ld + j], old + added, fabs(old) + fabs(added));
    }
  }
  wn_free(A);
  wn_free(x);
  wn_free(before);
}

static void test_against_double(WN_UNUSED void **state) {
  for (size_t k = 0; k < COUNT_OF(names); k++) {
    const wn_simd_table *t = wn_simd_named(names[k]);
    if (t == NULL) {
      print_message("%s: not on this CPU\n", names[k]);
      continue;
    }
    assert_string_equal(t->name, names[k]);
    wn_rng rng;
    wn_rng_seed(&rng, 17);
    for (size_t n = 0; n <= N_MAX; n++) {
      check_dot_axpy_scale(t, &rng, n);
      check_above(t, &rng, n);
      check_count(t, &rng, n);
      check_gemv(t, &rng, n);
      check_panel(t, &rng, n);
      check_syr(t, &rng, n);
    }
  }
}

static void test_unaligned_gives_the_same_bits(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 18);
  float *a = random_floats(&rng, 200), *b = random_floats(&rng, 200);
  for (size_t k = 0; k < COUNT_OF(names); k++) {
    const wn_simd_table *t = wn_simd_named(names[k]);
    if (t == NULL) continue;
    float want = t->dot(a, b, 150);
    for (size_t shift = 1; shift < 20; shift++) {
      float moved[200], other[200];
      memcpy(moved + shift, a, 150 * sizeof *a);
      memcpy(other + 20 - shift, b, 150 * sizeof *b);
      assert_true(t->dot(moved + shift, other + 20 - shift, 150) == want);
    }
  }
  wn_free(a);
  wn_free(b);
}

static void test_nan_and_infinity_pass_through(WN_UNUSED void **state) {
  for (size_t k = 0; k < COUNT_OF(names); k++) {
    const wn_simd_table *t = wn_simd_named(names[k]);
    if (t == NULL) continue;
    for (size_t at = 0; at < 77; at++) {
      float a[77], b[77];
      for (size_t i = 0; i < 77; i++) a[i] = b[i] = 1;
      a[at] = NAN;
      assert_true(isnan(t->dot(a, b, 77)));
      a[at] = INFINITY;
      assert_true(isinf(t->dot(a, b, 77)));
      assert_true(t->dot(a, b, at) == (float)at); /* what lies past the end plays no part */
    }
  }
}

static void test_choice(WN_UNUSED void **state) {
  assert_null(wn_simd_named("sse9"));
  assert_non_null(wn_simd_named("scalar"));
  const wn_simd_table *chosen = wn_simd();
  assert_ptr_equal(chosen, wn_simd());
  const char *wanted = getenv("WINNOW_SIMD");
  const wn_simd_table *named = wanted != NULL ? wn_simd_named(wanted) : NULL;
  if (named != NULL) {
    assert_ptr_equal(chosen, named);
  } else if (wanted == NULL) { /* the best there is */
    const wn_simd_table *best = wn_simd_named("scalar");
    for (size_t k = 0; k < COUNT_OF(names); k++) {
      if (wn_simd_named(names[k]) != NULL) best = wn_simd_named(names[k]);
    }
    assert_ptr_equal(chosen, best);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_double),
      cmocka_unit_test(test_unaligned_gives_the_same_bits),
      cmocka_unit_test(test_nan_and_infinity_pass_through),
      cmocka_unit_test(test_choice),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
