#include "harness.h"

#include "base/rng.h"

#include <math.h>

static void test_reference_vectors(WN_UNUSED void **state) {
  /* the published sequence for state 1, 2, 3, 4 */
  static const uint64_t want[] = {UINT64_C(11520),
                                  UINT64_C(0),
                                  UINT64_C(1509978240),
                                  UINT64_C(1215971899390074240),
                                  UINT64_C(1216172134540287360),
                                  UINT64_C(607988272756665600),
                                  UINT64_C(16172922978634559625),
                                  UINT64_C(8476171486693032832)};
  wn_rng rng = {{1, 2, 3, 4}};
  for (size_t i = 0; i < COUNT_OF(want); i++) assert_true(wn_rng_next(&rng) == want[i]);
  /* splitmix64's */
  wn_rng_seed(&rng, UINT64_C(1477776061723855037));
  assert_true(rng.s[0] == UINT64_C(1985237415132408290));
  assert_true(rng.s[1] == UINT64_C(2979275885539914483));
  assert_true(rng.s[2] == UINT64_C(13511426838097143398));
  assert_true(rng.s[3] == UINT64_C(8488337342461049707));
}

static void test_below_is_uniform(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 1);
  for (uint64_t n = 1; n <= 13; n++) {
    double counts[13] = {0}, chi2 = 0, draws = 13000;
    for (int i = 0; i < (int)draws; i++) {
      uint64_t x = wn_rng_below(&rng, n);
      assert_true(x < n);
      counts[x]++;
    }
    for (uint64_t k = 0; k < n; k++) {
      double expected = draws / (double)n;
      chi2 += (counts[k] - expected) * (counts[k] - expected) / expected;
    }
    assert_true(chi2 < 40); /* 12 degrees of freedom: beyond 40 once in 14,000 */
  }
  /* Of 3 · 2^62 values a third would come twice as often without the rejection: those divisible
   * by 3. */
  uint64_t n = UINT64_C(3) << 62;
  int thirds = 0;
  for (int i = 0; i < 6000; i++) thirds += wn_rng_below(&rng, n) % 3 == 0;
  assert_true(thirds > 1800 && thirds < 2200);
}

static void test_moments(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 2);
  double sum = 0, squares = 0, fourth = 0, uniform = 0;
  const int n = 200000;
  for (int i = 0; i < n; i++) {
    double x = wn_rng_normal(&rng), u = wn_rng_double(&rng);
    assert_true(u >= 0 && u < 1);
    uniform += u;
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  assert_true(fabs(uniform / n - 0.5) < 0.004);
  assert_true(fabs(sum / n) < 0.012);
  assert_true(fabs(squares / n - 1) < 0.02);
  assert_true(fabs(fourth / n - 3) < 0.15);
}

static void test_reproducible(WN_UNUSED void **state) {
  wn_rng a, b, c;
  wn_rng_seed(&a, 77);
  wn_rng_seed(&b, 77);
  wn_rng_seed(&c, 78);
  int equal = 0;
  for (int i = 0; i < 100; i++) {
    uint64_t x = wn_rng_next(&a);
    assert_true(x == wn_rng_next(&b));
    equal += x == wn_rng_next(&c);
  }
  assert_int_equal(equal, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reference_vectors),
      cmocka_unit_test(test_below_is_uniform),
      cmocka_unit_test(test_moments),
      cmocka_unit_test(test_reproducible),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
