#include "harness.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"

#define KEYS 3000

/* The naive twin: an array over a small range of keys, spread over 64 bits by `spread`. */
static uint64_t spread(uint64_t k, int how) {
  return how == 0 ? k : how == 1 ? k << 32 : how == 2 ? UINT64_MAX - k : wn_mix64(k);
}

static void compare_all(const wn_map64 *map, const uint64_t *want, int how) {
  size_t count = 0, seen = 0, i = 0;
  uint64_t key, value, key_sum = 0, want_sum = 0;
  for (uint64_t k = 0; k < KEYS; k++) {
    const uint64_t *found = wn_map64_find(map, spread(k, how));
    assert_int_equal(found != NULL, want[k] != 0);
    if (found != NULL) assert_int_equal(*found, want[k]);
    count += want[k] != 0;
    if (want[k] != 0) want_sum += spread(k, how) * want[k];
  }
  assert_int_equal(map->len, count);
  while (wn_map64_next(map, &i, &key, &value)) key_sum += key * value, seen++;
  assert_int_equal(seen, count);
  assert_true(key_sum == want_sum);
}

static void test_against_twin(WN_UNUSED void **state) {
  for (int how = 0; how < 4; how++) {
    static uint64_t want[KEYS];
    memset(want, 0, sizeof want);
    wn_map64 map;
    wn_map64_init(&map);
    assert_null(wn_map64_find(&map, 0));
    assert_false(wn_map64_remove(&map, 0));
    wn_rng rng;
    wn_rng_seed(&rng, 100 + (uint64_t)how);
    for (int step = 0; step < 60000; step++) {
      uint64_t k = wn_rng_below(&rng, KEYS);
      if (wn_rng_below(&rng, 2) == 0) {
        uint64_t *value = wn_map64_at(&map, spread(k, how));
        assert_non_null(value);
        assert_int_equal(*value, want[k]);
        *value = want[k] = wn_rng_below(&rng, 1000) + 1;
      } else {
        assert_int_equal(wn_map64_remove(&map, spread(k, how)), want[k] != 0);
        want[k] = 0;
      }
      if (step % 10000 == 0) compare_all(&map, want, how);
    }
    compare_all(&map, want, how);
    assert_true(map.cap <= 16384); /* tombstones are swept, not grown around */
    wn_map64_clear(&map);
  }
}

static void test_remove_while_iterating(WN_UNUSED void **state) {
  wn_map64 map;
  wn_map64_init(&map);
  for (uint64_t k = 0; k < 1000; k++) *wn_map64_at(&map, k) = k;
  size_t i = 0;
  uint64_t key, value;
  while (wn_map64_next(&map, &i, &key, &value)) {
    assert_int_equal(key, value);
    if (key % 2 == 0) assert_true(wn_map64_remove(&map, key));
  }
  assert_int_equal(map.len, 500);
  i = 0;
  while (wn_map64_next(&map, &i, &key, NULL)) assert_int_equal(key % 2, 1);
  wn_map64_clear(&map);
}

static void test_churn_allocates_nothing(WN_UNUSED void **state) {
  wn_map64 map;
  wn_map64_init(&map);
  assert_non_null(wn_map64_at(&map, 0));
  wn_mem_fail_after(-1);
  for (uint64_t k = 1; k < 10000; k++) {
    assert_non_null(wn_map64_at(&map, k));
    assert_true(wn_map64_remove(&map, k));
  }
  assert_true(wn_mem_allocations() < 300); /* a few sweeps of tombstones beside key 0 */
  wn_map64_clear(&map);
}

static void test_out_of_memory(WN_UNUSED void **state) {
  for (long n = 0; n < 30; n++) {
    wn_map64 map;
    wn_map64_init(&map);
    wn_mem_fail_after(n);
    size_t stored = 0;
    for (uint64_t k = 0; k < 500; k++) {
      uint64_t *value = wn_map64_at(&map, k);
      if (value == NULL) continue;
      *value = k + 1;
      stored++;
    }
    long made = wn_mem_allocations();
    wn_mem_fail_after(-1);
    assert_int_equal(map.len, stored);
    assert_int_equal(stored, made > n ? 499 : 500);
    for (size_t i = 0; i < map.cap; i++) {
      if (map.state[i] == 1) assert_int_equal(map.values[i], map.keys[i] + 1);
    }
    wn_map64_clear(&map);
  }
}

static void test_hashes(WN_UNUSED void **state) {
  /* XXH3's own vectors for the empty input */
  assert_true(wn_hash64(NULL, 0, 0) == UINT64_C(0x2D06800538D394C2));
  wn_hash128 h = wn_hash128_of("", 0);
  assert_true(h.low == UINT64_C(0x6001C324468D497F) && h.high == UINT64_C(0x99AA06D3014798D8));
  assert_true(wn_hash64("abc", 3, 0) != wn_hash64("abc", 3, 1));
  assert_true(wn_hash64("abc", 3, 0) != wn_hash64("abd", 3, 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_twin),
      cmocka_unit_test(test_remove_while_iterating),
      cmocka_unit_test(test_churn_allocates_nothing),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_hashes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
