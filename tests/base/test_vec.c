#include "harness.h"

#include "base/vec.h"

static void test_push(WN_UNUSED void **state) {
  WN_VEC(int) v = {0};
  for (int i = 0; i < 1000; i++) assert_true(wn_vec_push(&v, i * 3));
  assert_int_equal(v.len, 1000);
  assert_true(v.cap >= 1000 && v.cap <= 2048);
  for (int i = 0; i < 1000; i++) assert_int_equal(v.data[i], i * 3);
  wn_vec_clear(&v);
  assert_null(v.data);
  assert_int_equal(v.cap, 0);
}

static void test_reserve(WN_UNUSED void **state) {
  WN_VEC(double) v = {0};
  volatile size_t none = 0; /* a constant would make the macro compare size_t with 0 */
  assert_true(wn_vec_reserve(&v, none));
  assert_null(v.data);
  assert_true(wn_vec_reserve(&v, 77));
  assert_int_equal(v.cap, 77);
  assert_true(wn_vec_push(&v, 1.5));
  assert_false(wn_vec_reserve(&v, SIZE_MAX / 4)); /* 8 bytes each do not fit a size_t */
  assert_int_equal(v.cap, 77);
  assert_true(v.data[0] == 1.5);
  wn_vec_clear(&v);
}

static void test_out_of_memory_keeps_contents(WN_UNUSED void **state) {
  WN_VEC(int) v = {0};
  int refused = 0;
  for (long n = 0; n < 8; n++) {
    for (int i = 0; i < 40; i++) {
      if (i == 7) wn_mem_fail_after(0);
      size_t before = v.len;
      if (!wn_vec_push(&v, (int)before)) {
        assert_int_equal(v.len, before);
        refused++;
      }
    }
  }
  wn_mem_fail_after(-1);
  assert_true(refused > 0);
  for (size_t i = 0; i < v.len; i++) assert_int_equal(v.data[i], (int)i);
  wn_vec_clear(&v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_push),
      cmocka_unit_test(test_reserve),
      cmocka_unit_test(test_out_of_memory_keeps_contents),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
