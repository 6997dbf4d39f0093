/* The shelf against plain arrays: random takes, reads and erasures under bounds that put nearly
 * everything away; a folder that takes no file; a device that is full; memory that runs out. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/shelf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 200, LEN_MAX = 90 };

typedef struct element {
  uint32_t a, b, c;
} element;

typedef struct twin {
  element data[LEN_MAX];
  uint32_t len;
} twin;

static void check_row(const wn_shelf *shelf, uint32_t number, const twin *want, wn_arena *arena) {
  wn_error err = {0};
  const void *data;
  uint32_t len;
  wn_arena_reset(arena);
  assert_int_equal(wn_shelf_read(shelf, number, arena, &data, &len, &err), WN_OK);
  assert_int_equal(len, want->len);
  if (len > 0) assert_memory_equal(data, want->data, len * sizeof(element));
}

static void append(wn_shelf *shelf, uint32_t number, twin *t, uint32_t count, wn_rng *rng) {
  wn_error err = {0};
  wn_shelf_row *row;
  assert_int_equal(wn_shelf_take(shelf, number, &row, &err), WN_OK);
  assert_int_equal(row->len, t->len);
  for (uint32_t i = 0; i < count && t->len < LEN_MAX; i++) {
    element e = {number, t->len, (uint32_t)wn_rng_next(rng)};
    if (row->len == row->cap)
      assert_true(wn_shelf_reserve(shelf, row, row->cap > 0 ? row->cap * 2 : 1));
    ((element *)row->at.data)[row->len++] = e;
    t->data[t->len++] = e;
  }
  wn_shelf_settle(shelf);
}

static void test_twin(void **state) {
  (void)state;
  static twin twins[ROWS];
  wn_arena arena;
  wn_arena_init(&arena, 1 << 20);
  for (uint64_t round = 0; round < 6; round++) {
    static const size_t bounds[] = {1, 500, 5000, 20000, 1 << 20};
    wn_rng rng;
    wn_rng_seed(&rng, 7 + round);
    wn_shelf *shelf = wn_shelf_create(sizeof(element));
    memset(twins, 0, sizeof twins);
    if (round > 0) wn_shelf_bound(shelf, "/tmp", bounds[round - 1]);
    for (int i = 0; i < 4000; i++) {
      uint32_t number = (uint32_t)wn_rng_below(&rng, ROWS), at = number * 1000;
      if (wn_rng_below(&rng, 50) == 0) {
        assert_int_equal(wn_shelf_empty(shelf, at), twins[number].len);
        twins[number].len = 0;
      } else if (wn_rng_below(&rng, 3) == 0) {
        append(shelf, at, &twins[number], 1 + (uint32_t)wn_rng_below(&rng, 12), &rng);
      }
      check_row(shelf, at, &twins[number], &arena);
    }
    for (uint32_t n = 0; n < ROWS; n++) check_row(shelf, n * 1000, &twins[n], &arena);
    wn_shelf_stats stats;
    wn_shelf_stats_get(shelf, &stats);
    assert_int_equal(stats.failures, 0);
    assert_true((stats.away > 0) == (round > 0 && round < 5));
    if (round == 1) assert_true(stats.away > ROWS - 20 && stats.brought_back > 1000);
    wn_shelf_free(shelf);
  }
  wn_arena_clear(&arena);
}

/* Who is asked for stays, by readers alone; who is not goes. */
static void test_least_recent(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  wn_arena arena;
  wn_arena_init(&arena, 1 << 20);
  static twin twins[ROWS];
  wn_shelf_stats before, after;
  memset(twins, 0, sizeof twins);
  wn_shelf *shelf = wn_shelf_create(sizeof(element));
  wn_shelf_bound(shelf, "/tmp", 20 * 16 * sizeof(element));
  for (uint32_t n = 0; n < ROWS; n++) {
    append(shelf, n, &twins[n], 16, &rng);
    if (n == 40) append(shelf, 7, &twins[7], 0, &rng); /* first all were new: one had to go */
    check_row(shelf, 7, &twins[7], &arena);
  }
  wn_shelf_stats_get(shelf, &before);
  assert_int_equal(before.away, ROWS - 20);
  append(shelf, 7, &twins[7], 0, &rng);
  append(shelf, ROWS - 1, &twins[ROWS - 1], 0, &rng);
  wn_shelf_stats_get(shelf, &after);
  assert_int_equal(after.brought_back, before.brought_back);
  append(shelf, 8, &twins[8], 0, &rng);
  wn_shelf_stats_get(shelf, &after);
  assert_int_equal(after.brought_back, before.brought_back + 1);
  wn_shelf_free(shelf);
  wn_arena_clear(&arena);
}

/* What nothing points to any more is not in the file, either. */
static void test_wiped(void **state) {
  (void)state;
  wn_error err = {0};
  wn_shelf_row *row;
  wn_shelf *shelf = wn_shelf_create(8);
  char path[64], bytes[4096];
  wn_shelf_bound(shelf, "/tmp", 1);
  for (uint32_t n = 0; n < 2; n++) {
    assert_int_equal(wn_shelf_take(shelf, n, &row, &err), WN_OK);
    assert_true(wn_shelf_reserve(shelf, row, 8));
    memcpy(row->at.data, n == 0 ? "secret-0" : "secret-1", 8);
    row->len = 1;
    wn_shelf_settle(shelf);
  }
  assert_int_equal(wn_shelf_empty(shelf, 0), 1);
  assert_int_equal(wn_shelf_take(shelf, 1, &row, &err), WN_OK); /* back in memory */
  assert_memory_equal(row->at.data, "secret-1", 8);
  bool found = false;
  for (int fd = 3; fd < 64 && !found; fd++) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    FILE *file = fopen(path, "rb");
    if (file == NULL) continue;
    size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    if (n != 72) continue; /* 64 and the 8 of the second */
    found = true;
    for (size_t i = 0; i < n; i++) assert_int_equal(bytes[i], 0);
  }
  assert_true(found);
  wn_shelf_free(shelf);
}

/* Without a file, or with a full one, rows stay and answers are right. */
static void test_no_file(void **state) {
  (void)state;
  static twin twins[ROWS];
  wn_arena arena;
  wn_rng rng;
  wn_shelf_stats stats;
  wn_rng_seed(&rng, 11);
  wn_arena_init(&arena, 1 << 20);
  wn_shelf *shelf = wn_shelf_create(sizeof(element));
  memset(twins, 0, sizeof twins);
  wn_shelf_bound(shelf, "/nowhere/at/all", 1);
  for (uint32_t n = 0; n < ROWS; n++) append(shelf, n, &twins[n], 9, &rng);
  for (uint32_t n = 0; n < ROWS; n++) check_row(shelf, n, &twins[n], &arena);
  wn_shelf_stats_get(shelf, &stats);
  assert_true(stats.away == 0 && stats.failures > 0);
  assert_true(stats.bytes > (size_t)ROWS * 9 * sizeof(element));
  wn_shelf_free(shelf);
  wn_arena_clear(&arena);
}

static void test_memory(void **state) {
  (void)state;
  for (long fail = 0; fail < 60; fail++) {
    wn_error err = {0};
    wn_shelf_row *row;
    uint32_t lens[50] = {0};
    wn_mem_fail_after(fail);
    wn_shelf *shelf = wn_shelf_create(4);
    if (shelf == NULL) continue;
    wn_shelf_bound(shelf, "/tmp", 40);
    for (uint32_t i = 0; i < 150; i++) {
      uint32_t n = i % 50, number = n * 64;
      if (wn_shelf_take(shelf, number, &row, &err) != WN_OK) continue;
      if (row->len == row->cap && !wn_shelf_reserve(shelf, row, row->cap + 4)) continue;
      ((uint32_t *)row->at.data)[row->len++] = n + lens[n]++;
      wn_shelf_settle(shelf);
    }
    wn_mem_fail_after(-1);
    for (uint32_t n = 0; n < 50; n++) {
      assert_int_equal(wn_shelf_take(shelf, n * 64, &row, &err), WN_OK);
      assert_int_equal(row->len, lens[n]);
      for (uint32_t k = 0; k < row->len; k++)
        assert_int_equal(((uint32_t *)row->at.data)[k], n + k);
      assert_int_equal(wn_shelf_empty(shelf, n * 64), lens[n]);
    }
    wn_shelf_drop(shelf, 0);
    assert_false(wn_shelf_knows(shelf, 0));
    assert_true(wn_shelf_knows(shelf, 64));
    wn_shelf_free(shelf);
  }
  wn_mem_fail_after(-1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twin),   cmocka_unit_test(test_least_recent),
      cmocka_unit_test(test_wiped),  cmocka_unit_test(test_no_file),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
