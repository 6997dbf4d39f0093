#include "harness.h"

#include "base/dict.h"
#include "base/mem.h"
#include "base/rng.h"

#include <pthread.h>
#include <stdatomic.h>

static wn_str number_key(char *buf, size_t size, uint64_t n) {
  int len = snprintf(buf, size, "key-%llu-%llx", (unsigned long long)n,
                     (unsigned long long)wn_mix64(n) >> (n % 48));
  return (wn_str){buf, (size_t)len};
}

static void add_new(wn_dict *dict, uint64_t n) {
  char buf[64];
  uint32_t ix, count = wn_dict_count(dict);
  bool added = false;
  assert_int_equal(wn_dict_add(dict, number_key(buf, sizeof buf, n), &ix, &added), WN_OK);
  assert_true(added);
  assert_int_equal(ix, count);
}

static void test_add_find_key(WN_UNUSED void **state) {
  wn_dict *dict = wn_dict_create();
  const uint32_t n = 50000;
  assert_int_equal(wn_dict_find(dict, WN_STR("x")), WN_NO_IX);
  assert_null(wn_dict_key(dict, 0).ptr);
  for (uint32_t i = 0; i < n; i++) add_new(dict, i);
  wn_str first = wn_dict_key(dict, 0);
  for (uint32_t i = 0; i < n; i++) {
    char buf[64];
    uint32_t ix;
    bool added = true;
    wn_str key = number_key(buf, sizeof buf, i);
    assert_int_equal(wn_dict_find(dict, key), i);
    assert_int_equal(wn_dict_add(dict, key, &ix, &added), WN_OK);
    assert_false(added);
    assert_int_equal(ix, i);
    assert_true(wn_str_equal(wn_dict_key(dict, i), key));
  }
  assert_ptr_equal(first.ptr, wn_dict_key(dict, 0).ptr); /* never moved */
  assert_int_equal(wn_dict_count(dict), n);
  assert_null(wn_dict_key(dict, n).ptr);
  assert_null(wn_dict_key(dict, WN_NO_IX).ptr);
  wn_dict_free(dict);
  wn_dict_free(NULL);
}

static void test_odd_keys(WN_UNUSED void **state) {
  wn_dict *dict = wn_dict_create();
  static char huge[3 << 20];
  memset(huge, 'h', sizeof huge);
  wn_str keys[] = {WN_STR("a\0b"),      WN_STR("a\0c"),          WN_STR(""),     WN_STR("a"),
                   {huge, sizeof huge}, {huge, sizeof huge - 1}, WN_STR("after")};
  for (uint32_t i = 0; i < COUNT_OF(keys); i++) {
    uint32_t ix;
    assert_int_equal(wn_dict_add(dict, keys[i], &ix, NULL), WN_OK);
    assert_int_equal(ix, i);
  }
  for (uint32_t i = 0; i < COUNT_OF(keys); i++) {
    assert_int_equal(wn_dict_find(dict, keys[i]), i);
    assert_true(wn_str_equal(wn_dict_key(dict, i), keys[i]));
  }
  wn_dict_free(dict);
}

/* The naive twin of a dictionary with truncation: the numbers in order of arrival. */
static void test_truncate_against_twin(WN_UNUSED void **state) {
  enum { RANGE = 4000 };
  static uint64_t order[RANGE];
  wn_dict *dict = wn_dict_create();
  wn_rng rng;
  wn_rng_seed(&rng, 21);
  uint32_t count = 0;
  for (int round = 0; round < 60; round++) {
    for (int i = 0; i < 300; i++) {
      uint64_t n = wn_rng_below(&rng, RANGE);
      uint32_t want = 0, ix;
      char buf[64];
      bool added;
      while (want < count && order[want] != n) want++;
      assert_int_equal(wn_dict_add(dict, number_key(buf, sizeof buf, n), &ix, &added), WN_OK);
      assert_int_equal(ix, want);
      assert_int_equal(added, want == count);
      if (added) order[count++] = n;
    }
    count -= (uint32_t)wn_rng_below(&rng, count / 2 + 1);
    wn_dict_truncate(dict, count);
    assert_int_equal(wn_dict_count(dict), count);
    for (uint64_t n = 0; n < RANGE; n++) {
      uint32_t want = 0;
      char buf[64];
      while (want < count && order[want] != n) want++;
      uint32_t found = wn_dict_find(dict, number_key(buf, sizeof buf, n));
      assert_int_equal(found, want == count ? WN_NO_IX : want);
    }
  }
  wn_dict_truncate(dict, count + 5); /* nothing */
  assert_int_equal(wn_dict_count(dict), count);
  wn_dict_truncate(dict, 0);
  assert_int_equal(wn_dict_count(dict), 0);
  add_new(dict, 1);
  wn_dict_free(dict);
}

static void test_bytes(WN_UNUSED void **state) {
  wn_dict *dict = wn_dict_create();
  size_t key_bytes = 0;
  const uint32_t n = 200000;
  for (uint32_t i = 0; i < n; i++) {
    add_new(dict, i);
    key_bytes += wn_dict_key(dict, i).len;
  }
  /* the header's formula, with one open block and one open chunk */
  size_t bytes = wn_dict_bytes(dict), slack = (1 << 20) + 65536;
  assert_true(bytes >= key_bytes + n * (12 + 10));
  assert_true(bytes <= key_bytes + n * (12 + 20) + slack);
  wn_dict_truncate(dict, 0);
  assert_true(wn_dict_bytes(dict) < bytes - key_bytes + slack);
  wn_dict_free(dict);
}

static void test_out_of_memory(WN_UNUSED void **state) {
  for (long n = 0; n < 80; n++) {
    wn_mem_fail_after(n);
    wn_dict *dict = wn_dict_create();
    if (dict == NULL) {
      wn_mem_fail_after(-1);
      assert_true(n < 3);
      continue;
    }
    uint32_t refused = 0, kept = 0;
    for (uint64_t i = 0; i < 12000; i++) {
      char buf[64];
      uint32_t ix;
      bool added = true;
      wn_str key = number_key(buf, sizeof buf, i);
      wn_status status = wn_dict_add(dict, key, &ix, &added);
      if (status != WN_OK) {
        assert_int_equal(status, WN_E_MEMORY);
        assert_false(added);
        assert_int_equal(wn_dict_find(dict, key), WN_NO_IX);
        refused++;
      } else {
        assert_int_equal(ix, kept++);
      }
    }
    long made = wn_mem_allocations();
    wn_mem_fail_after(-1);
    assert_int_equal(refused, made > n);
    assert_int_equal(wn_dict_count(dict), kept);
    wn_dict_free(dict);
    if (made <= n) return; /* every allocation had its turn */
  }
  fail_msg("more allocations than the loop tried");
}

/* One writer adds and takes back, readers look up and read keys all the while. */
typedef struct crowd {
  wn_dict *dict;
  atomic_uint stable; /* keys that will stay */
  atomic_bool stop;
  atomic_ulong looked_up;
  atomic_ulong wrong;
} crowd;

static void *reader(void *arg) {
  crowd *c = arg;
  wn_rng rng;
  wn_rng_seed(&rng, (uint64_t)(uintptr_t)&rng);
  while (!atomic_load(&c->stop)) {
    uint32_t stable = atomic_load(&c->stable);
    if (stable == 0) continue;
    char buf[64];
    uint32_t n = (uint32_t)wn_rng_below(&rng, stable);
    wn_str want = number_key(buf, sizeof buf, n);
    bool right = wn_dict_find(c->dict, want) == n && wn_str_equal(wn_dict_key(c->dict, n), want) &&
                 wn_dict_count(c->dict) >= stable && wn_dict_bytes(c->dict) > 0;
    /* may be just being added or taken back: any answer, but no torn one */
    uint32_t maybe = wn_dict_find(c->dict, number_key(buf, sizeof buf, stable + 3));
    right = right && (maybe == WN_NO_IX || maybe == stable + 3 || maybe >= stable);
    atomic_fetch_add(&c->looked_up, 1);
    if (!right) atomic_fetch_add(&c->wrong, 1);
  }
  return NULL;
}

static void test_readers_beside_writer(WN_UNUSED void **state) {
  crowd c = {.dict = wn_dict_create()};
  pthread_t threads[3];
  for (size_t i = 0; i < COUNT_OF(threads); i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, reader, &c), 0);
  }
  for (uint32_t n = 0; n < 20000; n += 10) {
    for (uint32_t i = 0; i < 20; i++) add_new(c.dict, n + i);
    wn_dict_truncate(c.dict, n + 10);
    atomic_store(&c.stable, n + 10);
  }
  while (atomic_load(&c.looked_up) < 1000) sched_yield();
  atomic_store(&c.stop, true);
  for (size_t i = 0; i < COUNT_OF(threads); i++) pthread_join(threads[i], NULL);
  assert_int_equal(atomic_load(&c.wrong), 0);
  wn_dict_free(c.dict);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_add_find_key),          cmocka_unit_test(test_odd_keys),
      cmocka_unit_test(test_truncate_against_twin), cmocka_unit_test(test_bytes),
      cmocka_unit_test(test_out_of_memory),         cmocka_unit_test(test_readers_beside_writer),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
