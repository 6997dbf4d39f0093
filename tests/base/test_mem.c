#include "harness.h"

#include "base/mem.h"

static void test_sizes(WN_UNUSED void **state) {
  void *nothing = wn_malloc(0), *none = wn_calloc(0, 8);
  assert_non_null(nothing);
  assert_non_null(none);
  wn_free(nothing);
  wn_free(none);
  wn_free(NULL);
  volatile size_t half = SIZE_MAX / 2; /* volatile: the compiler would warn about the overflow */
  assert_null(wn_calloc(half, 3));
  char *kept = wn_malloc(4);
  assert_null(wn_reallocarray(kept, half, 3));
  memcpy(kept, "abc", 4); /* still ours */
  kept = wn_reallocarray(kept, 100, 10);
  assert_string_equal(kept, "abc");
  wn_free(kept);
}

static void test_strings(WN_UNUSED void **state) {
  char *a = wn_strdup("hello"), *b = wn_strndup("hello", 2), *c = wn_strndup(NULL, 0);
  assert_string_equal(a, "hello");
  assert_string_equal(b, "he");
  assert_string_equal(c, "");
  wn_free(a);
  wn_free(b);
  wn_free(c);
}

static void test_failure_injection(WN_UNUSED void **state) {
  wn_mem_fail_after(1);
  void *first = wn_malloc(8), *second = wn_malloc(8), *third = wn_malloc(8);
  assert_non_null(first);
  assert_null(second);
  assert_non_null(third); /* once */
  assert_int_equal(wn_mem_allocations(), 3);
  wn_free(first);
  wn_free(third);
  wn_mem_fail_after(-1);
  char *s = wn_strdup("x");
  assert_non_null(s);
  wn_free(s);
  assert_int_equal(wn_mem_allocations(), 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),
      cmocka_unit_test(test_strings),
      cmocka_unit_test(test_failure_injection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
