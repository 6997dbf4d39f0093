#include "harness.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdatomic.h>

#define ROWS 5000

typedef struct rows {
  uint64_t out[ROWS];
  atomic_int touched[ROWS];
  atomic_int wrong;
  atomic_int inside[64]; /* calls in progress, by worker */
  size_t n, grain;
  int threads;
} rows;

static void do_rows(void *ctx, size_t begin, size_t end, int worker) {
  rows *r = ctx;
  bool right = begin < end && end <= r->n && end - begin <= r->grain && begin % r->grain == 0 &&
               worker >= 0 && worker < r->threads;
  if (!right) {
    atomic_fetch_add(&r->wrong, 1);
    return;
  }
  /* a worker's scratch is its own: never two calls with one number at a time */
  if (atomic_fetch_add(&r->inside[worker], 1) != 0) atomic_fetch_add(&r->wrong, 1);
  for (size_t i = begin; i < end; i++) {
    r->out[i] = wn_mix64(i + 1);
    atomic_fetch_add(&r->touched[i], 1);
  }
  atomic_fetch_sub(&r->inside[worker], 1);
}

static void run_rows(wn_pool *pool, size_t n, size_t grain) {
  rows *r = wn_calloc(1, sizeof *r);
  assert_non_null(r);
  r->n = n;
  r->grain = grain > 0 ? grain : 1;
  r->threads = wn_pool_threads(pool);
  wn_pool_run(pool, n, grain, do_rows, r);
  assert_int_equal(atomic_load(&r->wrong), 0);
  for (size_t i = 0; i < ROWS; i++) {
    if (atomic_load(&r->touched[i]) != (i < n)) fail_msg("row %zu of %zu", i, n);
    if (i < n) assert_true(r->out[i] == wn_mix64(i + 1));
  }
  wn_free(r);
}

static void test_every_row_once(WN_UNUSED void **state) {
  static const size_t sizes[] = {0, 1, 2, 63, 64, 65, 999, ROWS};
  static const size_t grains[] = {0, 1, 7, 64, 10000};
  for (int threads = 1; threads <= 5; threads += 2) {
    wn_pool *pool = wn_pool_create(threads);
    assert_non_null(pool);
    assert_int_equal(wn_pool_threads(pool), threads);
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
      for (size_t g = 0; g < COUNT_OF(grains); g++) run_rows(pool, sizes[s], grains[g]);
    }
    wn_pool_free(pool);
  }
}

static void test_many_short_runs(WN_UNUSED void **state) {
  wn_pool *pool = wn_pool_create(4);
  rows *r = wn_calloc(1, sizeof *r);
  r->n = 40;
  r->grain = 3;
  r->threads = 4;
  for (int i = 0; i < 3000; i++) wn_pool_run(pool, r->n, r->grain, do_rows, r);
  assert_int_equal(atomic_load(&r->wrong), 0);
  for (size_t i = 0; i < 40; i++) assert_int_equal(atomic_load(&r->touched[i]), 3000);
  wn_free(r);
  wn_pool_free(pool);
}

typedef struct nest {
  wn_pool *pool;
  atomic_int inner_rows;
  atomic_int foreign; /* inner calls with another worker's number */
} nest;

typedef struct inner {
  nest *outer;
  int worker;
} inner;

static void do_inner(void *ctx, size_t begin, size_t end, int worker) {
  inner *in = ctx;
  atomic_fetch_add(&in->outer->inner_rows, (int)(end - begin));
  if (worker != in->worker) atomic_fetch_add(&in->outer->foreign, 1);
}

static void do_outer(void *ctx, size_t begin, size_t end, int worker) {
  nest *n = ctx;
  inner in = {n, worker};
  for (size_t i = begin; i < end; i++) wn_pool_run(n->pool, 10, 2, do_inner, &in);
}

static void test_nested_run(WN_UNUSED void **state) {
  nest n = {.pool = wn_pool_create(3)};
  wn_pool_run(n.pool, 100, 1, do_outer, &n);
  assert_int_equal(atomic_load(&n.inner_rows), 1000);
  assert_int_equal(atomic_load(&n.foreign), 0);
  wn_pool_free(n.pool);
}

static void *run_from_thread(void *arg) {
  nest *n = arg;
  for (int i = 0; i < 100; i++) wn_pool_run(n->pool, 64, 4, do_outer, n);
  return NULL;
}

static void test_two_callers(WN_UNUSED void **state) {
  nest n = {.pool = wn_pool_create(3)};
  pthread_t other;
  assert_int_equal(pthread_create(&other, NULL, run_from_thread, &n), 0);
  run_from_thread(&n);
  pthread_join(other, NULL);
  assert_int_equal(atomic_load(&n.inner_rows), 2 * 100 * 64 * 10);
  assert_int_equal(atomic_load(&n.foreign), 0);
  wn_pool_free(n.pool);
}

static void test_create(WN_UNUSED void **state) {
  assert_true(wn_cpu_count() >= 1);
  wn_pool *pool = wn_pool_create(0);
  assert_int_equal(wn_pool_threads(pool), wn_cpu_count());
  wn_pool_free(pool);
  wn_pool_free(NULL);
  wn_mem_fail_after(0);
  assert_null(wn_pool_create(2));
  wn_mem_fail_after(-1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_row_once), cmocka_unit_test(test_many_short_runs),
      cmocka_unit_test(test_nested_run),     cmocka_unit_test(test_two_callers),
      cmocka_unit_test(test_create),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
