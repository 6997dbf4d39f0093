/* Feed sessions: rings, lifetime, eviction, and many threads at once. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "online/online.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SEED 7u

static wn_sessions *make(size_t sessions_max, size_t served_max, int64_t ttl_ms) {
  wn_sessions_options options;
  wn_sessions_options_defaults(&options);
  options.sessions_max = sessions_max;
  options.served_max = served_max;
  options.ttl_ms = ttl_ms;
  wn_sessions *s = wn_sessions_create(&options);
  assert_non_null(s);
  return s;
}

static void add(wn_sessions *s, const char *name, int64_t now_ms, wn_item_ix first, size_t len) {
  wn_error err = {0};
  wn_item_ix items[512];
  for (size_t i = 0; i < len; i++) items[i] = first + (wn_item_ix)i;
  assert_int_equal(wn_sessions_add(s, wn_str_of(name), now_ms, items, len, &err), WN_OK);
}

/* Count of served items; *first the oldest of them. */
static size_t served(wn_sessions *s, const char *name, int64_t now_ms, wn_item_ix *first,
                     wn_item_ix *last) {
  wn_error err = {0};
  wn_arena arena;
  wn_item_list got;
  wn_arena_init(&arena, 1 << 20);
  assert_int_equal(wn_sessions_served(s, wn_str_of(name), now_ms, &arena, &got, &err), WN_OK);
  if (first != NULL) *first = got.len > 0 ? got.data[0] : WN_NO_IX;
  if (last != NULL) *last = got.len > 0 ? got.data[got.len - 1] : WN_NO_IX;
  for (size_t i = 1; i < got.len; i++) assert_int_equal(got.data[i], got.data[i - 1] + 1);
  wn_arena_clear(&arena);
  return got.len;
}

static void test_ring(void **state) {
  (void)state;
  wn_item_ix first, last;
  wn_sessions *s = make(10, 100, 1000);
  assert_int_equal(served(s, "a", 0, NULL, NULL), 0);
  wn_item_ix next = 0;
  for (int i = 0; i < 40; i++, next += 7) add(s, "a", i, next, 7);
  assert_int_equal(served(s, "a", 40, &first, &last), 100);
  assert_int_equal(last, next - 1);
  assert_int_equal(first, next - 100);
  add(s, "a", 41, next, 300); /* more at once than it holds */
  assert_int_equal(served(s, "a", 41, &first, &last), 100);
  assert_int_equal(last, next + 299);
  assert_int_equal(served(s, "b", 41, NULL, NULL), 0);
  assert_int_equal(wn_sessions_count(s), 1);
  wn_sessions_free(s);
}

static void test_lifetime(void **state) {
  (void)state;
  wn_sessions *s = make(10, 100, 1000);
  size_t empty = wn_sessions_bytes(s);
  add(s, "a", 1000, 0, 3);
  add(s, "b", 1500, 0, 4);
  assert_int_equal(served(s, "a", 2000, NULL, NULL), 3); /* still its last millisecond */
  assert_int_equal(served(s, "a", 2001, NULL, NULL), 0);
  assert_int_equal(wn_sessions_count(s), 1);
  add(s, "b", 2400, 4, 1); /* a slate keeps it alive */
  assert_int_equal(served(s, "b", 3400, NULL, NULL), 5);
  assert_int_equal(served(s, "c", 9000, NULL, NULL), 0); /* any call sweeps */
  assert_int_equal(wn_sessions_count(s), 0);
  /* A clock that jumps back ends nothing early. */
  add(s, "d", 9000, 0, 2);
  assert_int_equal(served(s, "d", 100, NULL, NULL), 2);
  add(s, "d", 200, 2, 1);
  assert_int_equal(served(s, "d", 1200, NULL, NULL), 3);
  assert_int_equal(served(s, "d", 1201, NULL, NULL), 0);
  assert_true(wn_sessions_bytes(s) < empty + 8192);
  wn_sessions_free(s);
}

static void test_eviction(void **state) {
  (void)state;
  char name[32];
  wn_sessions *s = make(50, 10, 1000000);
  for (int i = 0; i < 50; i++) {
    snprintf(name, sizeof name, "s%d", i);
    add(s, name, i, 0, 1);
  }
  add(s, "s0", 60, 1, 1); /* s1 is now idle longest */
  add(s, "new", 61, 0, 1);
  assert_int_equal(wn_sessions_count(s), 50);
  assert_int_equal(served(s, "s1", 62, NULL, NULL), 0);
  assert_int_equal(served(s, "s0", 62, NULL, NULL), 2);
  assert_int_equal(served(s, "s2", 62, NULL, NULL), 1);
  size_t bytes = wn_sessions_bytes(s);
  for (int i = 0; i < 5000; i++) {
    snprintf(name, sizeof name, "t%d", i);
    add(s, name, 100 + i, 0, 1);
  }
  assert_int_equal(wn_sessions_count(s), 50);
  assert_true(wn_sessions_bytes(s) < 2 * bytes);
  wn_sessions_free(s);
}

/* Random calls against arrays that do the same by scanning. */
enum { TWINS = 12, TWIN_MAX = 6, TWIN_RING = 20 };
typedef struct twin {
  char name[8];
  int64_t last_ms;
  wn_item_ix items[TWIN_RING];
  size_t len;
} twin;

static void twin_add(twin *all, size_t *count, const char *name, int64_t now, wn_item_ix item) {
  size_t at = 0;
  for (size_t i = 0; i < *count;) {
    if (now - all[i].last_ms > 500)
      memmove(&all[i], &all[i + 1], (--*count - i) * sizeof *all);
    else
      i++;
  }
  while (at < *count && strcmp(all[at].name, name) != 0) at++;
  twin t = {0};
  if (at < *count) {
    t = all[at];
    memmove(&all[at], &all[at + 1], (--*count - at) * sizeof *all);
  } else {
    snprintf(t.name, sizeof t.name, "%s", name);
    if (*count == TWIN_MAX) memmove(&all[0], &all[1], --*count * sizeof *all);
  }
  if (t.len == TWIN_RING) memmove(&t.items[0], &t.items[1], --t.len * sizeof *t.items);
  t.items[t.len++] = item;
  t.last_ms = now;
  all[(*count)++] = t;
}

static void test_twin(void **state) {
  (void)state;
  wn_rng rng;
  wn_error err = {0};
  twin all[TWIN_MAX + 1];
  size_t count = 0;
  int64_t now = 0;
  wn_rng_seed(&rng, SEED);
  wn_sessions *s = make(TWIN_MAX, TWIN_RING, 500);
  for (wn_item_ix i = 0; i < 20000; i++) {
    char name[8];
    wn_arena arena;
    wn_item_list got;
    now += (int64_t)wn_rng_below(&rng, 40);
    snprintf(name, sizeof name, "n%d", (int)wn_rng_below(&rng, TWINS));
    assert_int_equal(wn_sessions_add(s, wn_str_of(name), now, &i, 1, &err), WN_OK);
    twin_add(all, &count, name, now, i);
    assert_int_equal(wn_sessions_count(s), count);
    const twin *t = &all[wn_rng_below(&rng, count)];
    wn_arena_init(&arena, 1 << 16);
    assert_int_equal(wn_sessions_served(s, wn_str_of(t->name), now, &arena, &got, &err), WN_OK);
    assert_int_equal(got.len, t->len);
    assert_memory_equal(got.data, t->items, got.len * sizeof *got.data);
    wn_arena_clear(&arena);
  }
  wn_sessions_free(s);
}

static void test_memory(void **state) {
  (void)state;
  for (long fail = 0; fail < 30; fail++) {
    wn_error err = {0};
    wn_sessions *s = make(10, 100, 1000);
    wn_item_ix items[40] = {0};
    size_t failed = 0;
    wn_mem_fail_after(fail);
    for (int i = 0; i < 8; i++) {
      char name[8];
      snprintf(name, sizeof name, "m%d", i % 4);
      wn_status status = wn_sessions_add(s, wn_str_of(name), i, items, 40, &err);
      assert_true(status == WN_OK || status == WN_E_MEMORY);
      failed += status != WN_OK;
    }
    wn_mem_fail_after(-1);
    assert_true(failed <= 1);
    add(s, "after", 9, 0, 5);
    assert_int_equal(served(s, "after", 9, NULL, NULL), 5);
    wn_sessions_free(s);
  }
}

/* Threads page through a few sessions; under the session's lock no number is given twice. */
enum { THREADS = 4, PAGES = 400, NAMES = 3 };
static wn_sessions *shared;

static void *pager(void *arg) {
  wn_rng rng;
  wn_rng_seed(&rng, SEED + *(const unsigned *)arg);
  for (int i = 0; i < PAGES; i++) {
    char name[8];
    wn_arena arena;
    wn_error err = {0};
    wn_item_list got;
    snprintf(name, sizeof name, "p%d", (int)wn_rng_below(&rng, NAMES));
    wn_arena_init(&arena, 1 << 16);
    wn_sessions_lock(shared, wn_str_of(name));
    wn_status status = wn_sessions_served(shared, wn_str_of(name), 0, &arena, &got, &err);
    wn_item_ix next = got.len > 0 ? got.data[got.len - 1] + 1 : 0;
    if (status == WN_OK) status = wn_sessions_add(shared, wn_str_of(name), 0, &next, 1, &err);
    wn_sessions_unlock(shared, wn_str_of(name));
    wn_arena_clear(&arena);
    if (status != WN_OK) return arg;
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  unsigned numbers[THREADS];
  shared = make(NAMES, THREADS * PAGES, 1000);
  for (unsigned i = 0; i < THREADS; i++) {
    numbers[i] = i;
    assert_int_equal(pthread_create(&threads[i], NULL, pager, &numbers[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    void *failed = NULL;
    pthread_join(threads[i], &failed);
    assert_null(failed);
  }
  size_t sum = 0;
  for (int i = 0; i < NAMES; i++) {
    char name[8];
    wn_item_ix first, last;
    snprintf(name, sizeof name, "p%d", i);
    size_t len = served(shared, name, 0, &first, &last); /* asserts 0, 1, 2 … without a gap */
    assert_int_equal(first, 0);
    assert_int_equal(last + 1, len);
    sum += len;
  }
  assert_int_equal(sum, THREADS * PAGES);
  wn_sessions_free(shared);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_ring), cmocka_unit_test(test_lifetime), cmocka_unit_test(test_eviction),
      cmocka_unit_test(test_twin), cmocka_unit_test(test_memory),   cmocka_unit_test(test_threads),
  };
  printf("seed %u\n", SEED);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
