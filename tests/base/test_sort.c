#include "harness.h"

#include "base/rng.h"
#include "base/sort.h"

#include <math.h>
#include <stdlib.h>

#define N 3000

static int ascending(const void *a, const void *b) {
  uint64_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

/* Random keys, few distinct ones, sorted, falling, organ pipes, all alike. */
static uint64_t key_of(int shape, size_t i, size_t n, wn_rng *rng) {
  switch (shape) {
  case 0: return wn_rng_next(rng);
  case 1: return wn_rng_below(rng, 5);
  case 2: return i;
  case 3: return n - i;
  case 4: return i < n / 2 ? i : n - i;
  default: return 7;
  }
}

static void test_against_qsort(WN_UNUSED void **state) {
  static uint64_t mine[N + 1], twin[N];
  wn_rng rng;
  wn_rng_seed(&rng, 4);
  for (int round = 0; round < 1200; round++) {
    size_t n = (size_t)wn_rng_below(&rng, round % 50 == 0 ? N : 200);
    char *odd = (char *)mine + (round & 1) * 4; /* any address */
    for (size_t i = 0; i < n; i++) twin[i] = key_of(round % 6, i, n, &rng);
    if (n > 0) memcpy(odd, twin, n * sizeof *twin);
    qsort(twin, n, sizeof *twin, ascending);
    wn_sort_u64(odd, n);
    if (memcmp(odd, twin, n * sizeof *twin) != 0) fail_msg("round %d, %zu keys", round, n);
  }
}

/* The k smallest, whatever their order; nothing lost. */
static void test_select(WN_UNUSED void **state) {
  static uint64_t mine[N], twin[N];
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (int round = 0; round < 1200; round++) {
    size_t n = (size_t)wn_rng_below(&rng, round % 50 == 0 ? N : 200);
    size_t k = (size_t)wn_rng_below(&rng, (uint64_t)n + 3);
    for (size_t i = 0; i < n; i++) twin[i] = mine[i] = key_of(round % 6, i, n, &rng);
    wn_select_u64(mine, n, k);
    if (k > n) k = n;
    qsort(mine, k, sizeof *mine, ascending);
    qsort(mine + k, n - k, sizeof *mine, ascending);
    qsort(twin, n, sizeof *twin, ascending);
    if (n > 0 && memcmp(mine, twin, n * sizeof *twin) != 0)
      fail_msg("round %d: %zu of %zu", round, k, n);
  }
}

/* A sequence against which the median of three is the worst choice each time (Musser): still done,
 * by the heap. */
static void test_adversary(WN_UNUSED void **state) {
  static uint64_t keys[N], again[N];
  size_t half = N / 2;
  for (size_t i = 0; i < half; i++) {
    keys[i] = i % 2 == 0 ? i + 1 : half + i + (half % 2);
    keys[half + i] = 2 * (i + 1);
  }
  memcpy(again, keys, sizeof again);
  wn_sort_u64(keys, N);
  for (size_t i = 1; i < N; i++) assert_true(keys[i - 1] <= keys[i]);
  wn_select_u64(again, N, half);
  for (size_t i = 0; i < half; i++) assert_true(again[i] <= keys[half - 1]);
}

static void test_falling(WN_UNUSED void **state) {
  static const float order[] = {INFINITY, 3e38f, 2, 1, 1e-45f, 0, -1e-45f, -1, -2, -INFINITY};
  for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
    assert_true(wn_sort_score(wn_sort_falling(order[i])) == order[i]);
    if (i > 0) assert_true(wn_sort_falling(order[i - 1]) < wn_sort_falling(order[i]));
  }
  assert_int_equal(wn_sort_falling(-0.0f), wn_sort_falling(0.0f));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_qsort),
      cmocka_unit_test(test_select),
      cmocka_unit_test(test_adversary),
      cmocka_unit_test(test_falling),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
