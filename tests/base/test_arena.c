#include "harness.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/rng.h"

static void test_alignment_and_separation(WN_UNUSED void **state) {
  wn_arena arena;
  wn_arena_init(&arena, 64 << 20);
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  unsigned char *blocks[500];
  size_t sizes[500];
  for (size_t i = 0; i < COUNT_OF(blocks); i++) {
    sizes[i] = (size_t)wn_rng_below(&rng, i % 50 == 49 ? 300000 : 500);
    blocks[i] = wn_arena_alloc(&arena, sizes[i]);
    assert_non_null(blocks[i]);
    assert_int_equal((uintptr_t)blocks[i] % 64, 0);
    memset(blocks[i], (int)(i & 0xFF), sizes[i]);
    char *s = wn_arena_strdup(&arena, WN_STR("between"));
    assert_string_equal(s, "between");
  }
  for (size_t i = 0; i < COUNT_OF(blocks); i++) {
    for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(blocks[i][k], i & 0xFF);
  }
  wn_arena_clear(&arena);
}

static void test_limit(WN_UNUSED void **state) {
  wn_arena arena;
  wn_arena_init(&arena, 4096);
  assert_null(wn_arena_alloc(&arena, 4097));
  assert_non_null(wn_arena_alloc(&arena, 4000));
  assert_int_equal(arena.used_bytes, 4032);
  assert_null(wn_arena_alloc(&arena, 65));
  assert_non_null(wn_arena_alloc(&arena, 64));
  assert_null(wn_arena_alloc(&arena, 0)); /* even nothing has an address of its own */
  assert_null(wn_arena_alloc(&arena, SIZE_MAX));
  assert_null(wn_arena_calloc(&arena, SIZE_MAX / 2, 3));
  wn_arena_reset(&arena);
  assert_int_equal(arena.used_bytes, 0);
  unsigned char *zero = wn_arena_calloc(&arena, 1024, 4);
  assert_non_null(zero);
  for (size_t i = 0; i < 4096; i++) assert_int_equal(zero[i], 0);
  wn_arena_clear(&arena);
}

static void test_reset_allocates_nothing(WN_UNUSED void **state) {
  wn_arena arena;
  wn_arena_init(&arena, 1 << 20);
  assert_non_null(wn_arena_alloc(&arena, 1000));
  wn_mem_fail_after(-1);
  for (int i = 0; i < 100; i++) {
    wn_arena_reset(&arena);
    assert_non_null(wn_arena_alloc(&arena, 30000));
  }
  assert_int_equal(wn_mem_allocations(), 0);
  wn_arena_clear(&arena);
  wn_arena_reset(&arena); /* of an empty one */
  wn_arena_clear(&arena);
}

static void test_strings(WN_UNUSED void **state) {
  wn_arena arena;
  wn_arena_init(&arena, 1024);
  wn_str copy = wn_arena_str(&arena, WN_STR("a\0b"));
  assert_int_equal(copy.len, 3);
  assert_memory_equal(copy.ptr, "a\0b", 4);
  wn_str empty = wn_arena_str(&arena, WN_STR(""));
  assert_non_null(empty.ptr);
  assert_null(wn_arena_str(&arena, (wn_str){0}).ptr);
  assert_string_equal(wn_arena_strdup(&arena, (wn_str){0}), "");
  static char big[2048];
  assert_null(wn_arena_str(&arena, (wn_str){big, sizeof big}).ptr);
  wn_arena_clear(&arena);
}

static void test_out_of_memory(WN_UNUSED void **state) {
  for (long n = 0; n < 6; n++) {
    wn_arena arena;
    wn_arena_init(&arena, 16 << 20);
    wn_mem_fail_after(n);
    int refused = 0;
    for (int i = 0; i < 100; i++) refused += wn_arena_alloc(&arena, 10000) == NULL;
    wn_mem_fail_after(-1);
    if (n == 0) assert_int_equal(refused, 1); /* the next one succeeds */
    assert_true(refused <= 1);
    wn_arena_clear(&arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alignment_and_separation),
      cmocka_unit_test(test_limit),
      cmocka_unit_test(test_reset_allocates_nothing),
      cmocka_unit_test(test_strings),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
