#include "harness.h"

#include "base/rng.h"
#include "base/topk.h"

#include <math.h>
#include <stdlib.h>

#define N 400

static int by_rank(const void *a, const void *b) {
  wn_scored x = *(const wn_scored *)a, y = *(const wn_scored *)b;
  return wn_scored_before(x, y) ? -1 : wn_scored_before(y, x);
}

static void test_against_sort(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 9);
  for (int round = 0; round < 2000; round++) {
    wn_scored all[N], storage[N];
    size_t n = (size_t)wn_rng_below(&rng, N), k = (size_t)wn_rng_below(&rng, N), kept = 0;
    wn_topk top;
    wn_topk_init(&top, storage, k);
    for (size_t i = 0; i < n; i++) {
      /* few distinct scores, so that ties are common; now and then NaN and infinities */
      float score = (float)wn_rng_below(&rng, 20) - 10;
      uint64_t odd = wn_rng_below(&rng, 60);
      if (odd < 3) score = odd == 0 ? NAN : odd == 1 ? INFINITY : -INFINITY;
      uint32_t ix = (uint32_t)(i * 7919 % 4099);
      wn_topk_push(&top, ix, score);
      if (!isnan(score)) all[kept++] = (wn_scored){ix, score};
    }
    qsort(all, kept, sizeof *all, by_rank);
    size_t got = wn_topk_sort(&top);
    assert_int_equal(got, kept < k ? kept : k);
    for (size_t i = 0; i < got; i++) {
      if (storage[i].ix != all[i].ix) fail_msg("round %d: place %zu", round, i);
    }
    assert_int_equal(top.len, 0);
  }
}

static void test_order_of_pushes_does_not_matter(WN_UNUSED void **state) {
  wn_scored forward[5], backward[5];
  wn_topk a, b;
  wn_topk_init(&a, forward, 5);
  wn_topk_init(&b, backward, 5);
  for (uint32_t i = 0; i < 100; i++) {
    wn_topk_push(&a, i, 1.0f);
    wn_topk_push(&b, 99 - i, 1.0f);
  }
  assert_int_equal(wn_topk_sort(&a), 5);
  assert_int_equal(wn_topk_sort(&b), 5);
  for (uint32_t i = 0; i < 5; i++) {
    assert_int_equal(forward[i].ix, i);
    assert_int_equal(backward[i].ix, i);
  }
}

static void test_none(WN_UNUSED void **state) {
  wn_topk top;
  wn_topk_init(&top, NULL, 0);
  wn_topk_push(&top, 1, 1.0f);
  assert_int_equal(wn_topk_sort(&top), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_sort),
      cmocka_unit_test(test_order_of_pushes_does_not_matter),
      cmocka_unit_test(test_none),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
