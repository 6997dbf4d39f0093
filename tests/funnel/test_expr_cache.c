/* The cache of compiled filters: after any change of the catalogue its bitmap is the one a fresh
 * compilation gives; old filters leave; many readers at once. */
#include "fixture.h"
#include <pthread.h>

static const char *const texts[] = {
    "section == 's1'",
    "price < 2 and not ('red' in tags)",
    "has(mixed) or free == true",
    "id != 'i3'",
    "created > 86400",
    "title == 'Title 4' or section in ['s0', 's2']",
    "true",
    "mixed == 'red'",
};
enum { TEXTS = sizeof texts / sizeof *texts };

/* What the cache gives must be what a fresh parse and the item-by-item twin give. */
static void check_text(const fx_world *w, const char *text) {
  wn_error err = {0};
  wn_bitset io;
  wn_expr *expr;
  uint32_t count = wn_catalog_count(w->catalog);
  assert_true(wn_bitset_init(&io, count));
  wn_bitset_fill(&io, true);
  if (count > 5) wn_bitset_unset(&io, 5);
  assert_int_equal(wn_expr_cache_and(w->filters, wn_str_of(text), "f", w->catalog, &io, &err),
                   WN_OK);
  assert_int_equal(wn_expr_parse(wn_str_of(text), "f", &expr, &err), WN_OK);
  for (wn_item_ix i = 0; i < count; i++) {
    bool expected = i != 5 && wn_expr_test(expr, w->catalog, i);
    if (wn_bitset_test(&io, i) != expected) fail_msg("%s: item %u of %u", text, i, count);
  }
  wn_expr_free(expr);
  wn_bitset_clear(&io);
}

static void change(fx_world *w, wn_rng *rng) {
  wn_error err;
  switch (wn_rng_below(rng, 6)) {
  case 0:
    wn_catalog_set_status(w->catalog, (wn_item_ix)wn_rng_below(rng, w->items),
                          (wn_item_status)wn_rng_below(rng, 3));
    break;
  case 1: /* an item met in an event */
    fx_id(w, w->items);
    assert_int_equal(wn_catalog_touch(w->catalog, w->items++, 1234567, &err), WN_OK);
    break;
  case 2: /* a put that leaves a gap */
    for (int i = 0; i < 3; i++) fx_id(w, w->items + (uint32_t)i);
    w->items += 3;
    fx_put_random(w, w->items - 1, rng);
    break;
  default: fx_put_random(w, (wn_item_ix)wn_rng_below(rng, w->items), rng);
  }
}

static void test_changes(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 4; seed++) {
    fx_world w;
    wn_rng rng;
    fx_init(&w, seed == 1 ? 0 : 150, seed);
    if (seed == 1) {
      w.items = 1;
      fx_id(&w, 0);
    }
    wn_rng_seed(&rng, seed);
    for (int round = 0; round < 150; round++) {
      uint64_t changes = wn_rng_below(&rng, round % 10 == 0 ? 120 : 4);
      for (uint64_t i = 0; i < changes; i++) change(&w, &rng);
      check_text(&w, texts[wn_rng_below(&rng, TEXTS)]);
      check_text(&w, texts[wn_rng_below(&rng, TEXTS)]);
    }
    fx_clear(&w);
  }
}

static void test_many_texts(void **state) {
  (void)state;
  fx_world w;
  fx_init(&w, 80, 7);
  wn_expr_cache_free(w.filters);
  w.filters = wn_expr_cache_create(3);
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (int i = 0; i < 400; i++) {
    if (i % 7 == 0) change(&w, &rng);
    check_text(&w, texts[wn_rng_below(&rng, TEXTS)]);
  }
  fx_clear(&w);
}

/* One cache asked about two catalogues in turn must not mix them up. */
static void test_two_catalogues(void **state) {
  (void)state;
  fx_world a, b;
  fx_init(&a, 60, 1);
  fx_init(&b, 60, 2);
  wn_expr_cache *own = b.filters;
  b.filters = a.filters;
  for (int i = 0; i < 6; i++) check_text(i % 2 == 0 ? &a : &b, texts[1]);
  b.filters = own;
  fx_clear(&a);
  fx_clear(&b);
}

static void test_errors(void **state) {
  (void)state;
  fx_world w;
  wn_error err = {0};
  wn_bitset io;
  fx_init(&w, 40, 1);
  assert_true(wn_bitset_init(&io, 40));
  assert_int_equal(wn_expr_cache_and(w.filters, WN_STR("a =="), "filter", w.catalog, &io, &err),
                   WN_E_ARGUMENT);
  assert_string_equal(err.field, "filter");
  assert_int_equal(err.column, 5);
  bool done = false;
  for (long n = 0; !done; n++) {
    wn_expr_cache *cache = wn_expr_cache_create(2);
    wn_bitset_fill(&io, true);
    wn_mem_fail_after(n);
    wn_status status = wn_expr_cache_and(cache,
                                         WN_STR("section == 's1' and free"
                                                " == true"),
                                         "f", w.catalog, &io, &err);
    done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    assert_int_equal(status, done ? WN_OK : WN_E_MEMORY);
    wn_expr_cache_free(cache);
  }
  wn_bitset_clear(&io);
  fx_clear(&w);
}

typedef struct reader {
  fx_world *world;
  pthread_rwlock_t *lock;
  uint64_t seed;
  long wrong;
} reader;

/* Readers share the lock, as requests do; each compares with the twin under the same lock. */
static void *read_loop(void *arg) {
  reader *r = arg;
  wn_rng rng;
  wn_rng_seed(&rng, r->seed);
  for (int i = 0; i < 120; i++) {
    const char *text = texts[wn_rng_below(&rng, TEXTS)];
    wn_bitset io;
    wn_expr *expr = NULL;
    pthread_rwlock_rdlock(r->lock);
    uint32_t count = wn_catalog_count(r->world->catalog);
    if (!wn_bitset_init(&io, count)) abort();
    wn_bitset_fill(&io, true);
    wn_status status =
        wn_expr_cache_and(r->world->filters, wn_str_of(text), "f", r->world->catalog, &io, NULL);
    if (status != WN_OK || wn_expr_parse(wn_str_of(text), "f", &expr, NULL) != WN_OK) abort();
    for (wn_item_ix item = 0; item < count; item++) {
      r->wrong += wn_bitset_test(&io, item) != wn_expr_test(expr, r->world->catalog, item);
    }
    pthread_rwlock_unlock(r->lock);
    wn_expr_free(expr);
    wn_bitset_clear(&io);
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  enum { READERS = 4 };
  fx_world w;
  pthread_t threads[READERS];
  reader readers[READERS];
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  wn_rng rng;
  fx_init(&w, 100, 11);
  wn_expr_cache_free(w.filters);
  w.filters = wn_expr_cache_create(4); /* fewer than texts: entries leave while others read */
  wn_rng_seed(&rng, 3);
  for (size_t t = 0; t < READERS; t++) {
    readers[t] = (reader){&w, &lock, t + 1, 0};
    assert_int_equal(pthread_create(&threads[t], NULL, read_loop, &readers[t]), 0);
  }
  for (int i = 0; i < 60; i++) {
    pthread_rwlock_wrlock(&lock);
    change(&w, &rng);
    pthread_rwlock_unlock(&lock);
  }
  for (size_t t = 0; t < READERS; t++) {
    pthread_join(threads[t], NULL);
    assert_int_equal(readers[t].wrong, 0);
  }
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_changes),        cmocka_unit_test(test_many_texts),
      cmocka_unit_test(test_two_catalogues), cmocka_unit_test(test_errors),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
