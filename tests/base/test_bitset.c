#include "harness.h"

#include "base/bitset.h"
#include "base/mem.h"
#include "base/rng.h"

#define BITS_MAX 300

typedef struct twin {
  bool bit[BITS_MAX];
  size_t bits;
} twin;

static void check(const wn_bitset *set, const twin *t) {
  size_t count = 0;
  assert_int_equal(set->bits, t->bits);
  for (size_t i = 0; i < BITS_MAX + 80; i++) {
    bool want = i < t->bits && t->bit[i];
    count += want;
    if (wn_bitset_test(set, i) != want) fail_msg("bit %zu of %zu", i, t->bits);
  }
  assert_int_equal(wn_bitset_count(set), count);
}

static void fill_random(wn_rng *rng, wn_bitset *set, twin *t, size_t bits) {
  assert_true(wn_bitset_init(set, bits));
  *t = (twin){.bits = bits};
  for (size_t n = wn_rng_below(rng, BITS_MAX); n > 0; n--) {
    size_t i = (size_t)wn_rng_below(rng, BITS_MAX + 20);
    if (wn_rng_below(rng, 4) == 0) {
      wn_bitset_unset(set, i);
      if (i < bits) t->bit[i] = false;
    } else {
      wn_bitset_set(set, i); /* past the end: nothing */
      if (i < bits) t->bit[i] = true;
    }
  }
}

static void combine(wn_rng *rng, wn_bitset *a, twin *ta, const wn_bitset *b, const twin *tb) {
  uint64_t what = wn_rng_below(rng, 6);
  bool value = what == 4;
  for (size_t i = 0; i < ta->bits; i++) {
    bool other = i < tb->bits && tb->bit[i];
    ta->bit[i] = what == 0   ? ta->bit[i] && other
                 : what == 1 ? ta->bit[i] || other
                 : what == 2 ? !ta->bit[i]
                 : what == 3 ? other
                             : value;
  }
  if (what == 0) wn_bitset_and(a, b);
  if (what == 1) wn_bitset_or(a, b);
  if (what == 2) wn_bitset_not(a);
  if (what == 3) wn_bitset_copy(a, b);
  if (what >= 4) wn_bitset_fill(a, value);
}

static void test_against_twin(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (int round = 0; round < 2000; round++) {
    wn_bitset a, b;
    twin ta, tb;
    fill_random(&rng, &a, &ta, (size_t)wn_rng_below(&rng, BITS_MAX + 1));
    fill_random(&rng, &b, &tb, (size_t)wn_rng_below(&rng, BITS_MAX + 1));
    combine(&rng, &a, &ta, &b, &tb);
    check(&a, &ta);
    size_t grown = (size_t)wn_rng_below(&rng, BITS_MAX + 1);
    assert_true(wn_bitset_grow(&a, grown));
    if (grown > ta.bits) ta.bits = grown;
    check(&a, &ta);
    wn_bitset_clear(&a);
    wn_bitset_clear(&b);
  }
}

static void test_arena_and_empty(WN_UNUSED void **state) {
  wn_arena arena;
  wn_arena_init(&arena, 4096);
  wn_bitset set;
  assert_true(wn_bitset_init_arena(&set, 1000, &arena));
  assert_int_equal(wn_bitset_count(&set), 0);
  wn_bitset_fill(&set, true);
  assert_int_equal(wn_bitset_count(&set), 1000);
  assert_false(wn_bitset_init_arena(&set, (size_t)1 << 30, &arena));
  assert_int_equal(set.bits, 0);
  wn_arena_clear(&arena);
  wn_bitset zero = {0}; /* a zeroed one is an empty one */
  assert_false(wn_bitset_test(&zero, 0));
  wn_bitset_fill(&zero, true);
  wn_bitset_not(&zero);
  assert_int_equal(wn_bitset_count(&zero), 0);
  assert_true(wn_bitset_grow(&zero, 3));
  wn_bitset_set(&zero, 2);
  assert_int_equal(wn_bitset_count(&zero), 1);
  wn_bitset_clear(&zero);
}

static void test_out_of_memory(WN_UNUSED void **state) {
  wn_bitset set;
  wn_mem_fail_after(0);
  assert_false(wn_bitset_init(&set, 100));
  assert_true(wn_bitset_init(&set, 100));
  wn_bitset_set(&set, 99);
  wn_mem_fail_after(0);
  assert_false(wn_bitset_grow(&set, 1000));
  wn_mem_fail_after(-1);
  assert_int_equal(set.bits, 100);
  assert_true(wn_bitset_test(&set, 99));
  wn_bitset_clear(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_twin),
      cmocka_unit_test(test_arena_and_empty),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
