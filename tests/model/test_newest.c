/* Newest: the exact order of creation times, in fitting and as items come. */

#include "global_models.h"

typedef struct dated {
  uint32_t ix;
  int64_t created_ms;
} dated;

static int newer_first(const void *a, const void *b) {
  const dated *x = a, *y = b;
  if (x->created_ms != y->created_ms) return x->created_ms > y->created_ms ? -1 : 1;
  return x->ix < y->ix ? -1 : x->ix > y->ix;
}

static wn_model *fit_created(const int64_t *created_ms, uint32_t items) {
  wn_dataset data;
  wn_error err;
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 0, items, &data, &err),
                   WN_OK);
  data.created_ms = created_ms;
  wn_model *m = fit(&wn_model_newest, &data, NULL);
  wn_dataset_clear(&data);
  return m;
}

static void check_order(const wn_model *m, const int64_t *created_ms, uint32_t items) {
  dated *all = wn_calloc((size_t)items + 1, sizeof *all);
  wn_scored *got = wn_calloc((size_t)items + 1, sizeof *got);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  size_t count;
  wn_error err;
  for (uint32_t i = 0; i < items; i++) all[i] = (dated){i, created_ms[i]};
  qsort(all, items, sizeof *all, newer_first);
  assert_int_equal(m->cls->candidates(m, &query, items, got, &count, &err), WN_OK);
  assert_int_equal(count, items);
  for (uint32_t i = 0; i < items; i++) assert_int_equal(got[i].ix, all[i].ix);
  wn_free(all);
  wn_free(got);
}

/* Times a millisecond apart, which no float could tell apart. */
static void test_exact_order(void **state) {
  (void)state;
  enum { ITEMS = 6000 };
  static int64_t created[ITEMS];
  wn_rng rng;
  wn_rng_seed(&rng, 8);
  for (int i = 0; i < ITEMS; i++)
    created[i] = 1700000000000 + (int64_t)wn_rng_below(&rng, ITEMS * 2);
  created[17] = 0;
  wn_model *m = fit_created(created, ITEMS);
  check_order(m, created, ITEMS);
  check_twin_filtered(m, ITEMS, 2);
  check_round_trip(m, ITEMS, NULL);
  m->cls->free(m);
}

static void test_items_come(void **state) {
  (void)state;
  enum { ITEMS = 3000 };
  static int64_t created[ITEMS];
  wn_rng rng;
  wn_error err;
  wn_rng_seed(&rng, 12);
  wn_model *m = fit_created(created, 10);
  int64_t now = 1700000000000;
  for (uint32_t step = 0; step < 2 * ITEMS; step++) {
    uint32_t ix = step < ITEMS ? step : (uint32_t)wn_rng_below(&rng, ITEMS);
    bool old = wn_rng_below(&rng, 10) == 0;
    now += (int64_t)wn_rng_below(&rng, 3); /* several in one millisecond */
    created[ix] = old ? 1600000000000 + (int64_t)wn_rng_below(&rng, 1000) : now;
    wn_item_record item = {.created_ms = created[ix]};
    assert_int_equal(m->cls->update_item(m, ix, &item, &err), WN_OK);
    if (step % 499 == 0 || step < 20) {
      uint32_t items = step < ITEMS ? (step < 10 ? 10 : step + 1) : ITEMS;
      check_order(m, created, items);
      check_twin_filtered(m, items, step);
    }
  }
  check_order(m, created, ITEMS);
  m->cls->free(m);
}

static void test_unknown_times(void **state) {
  (void)state;
  wn_error err;
  static const int64_t created[] = {5000, 0, 7000, -5};
  wn_model *m = fit_created(created, 4);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  wn_scored got[8];
  size_t count;
  wn_item_record item = {.created_ms = 0};
  assert_int_equal(m->cls->update_item(m, 0, &item, &err), WN_OK); /* keeps its time */
  assert_int_equal(m->cls->update_item(m, 4, &item, &err), WN_OK); /* has just come */
  wn_event e = {.user = 0, .item = 5, .value = NAN, .time_ms = 6000};
  m->cls->update(m, &e, 1.0f); /* dated by its first event */
  e.time_ms = 20000;
  m->cls->update(m, &e, 1.0f); /* not by later ones */
  e.item = WN_NO_IX;
  m->cls->update(m, &e, 1.0f);
  assert_int_equal(m->cls->update_item(m, WN_NO_IX, &item, &err), WN_E_ARGUMENT);
  assert_int_equal(m->cls->candidates(m, &query, 8, got, &count, &err), WN_OK);
  static const uint32_t order[] = {2, 4, 5, 0, 1, 3};
  assert_int_equal(count, 6);
  for (int i = 0; i < 6; i++) assert_int_equal(got[i].ix, order[i]);
  check_twin_filtered(m, 6, 3);
  m->cls->free(m);
  m = fit_created(NULL, 3); /* no catalogue: all tie */
  assert_int_equal(m->cls->candidates(m, &query, 8, got, &count, &err), WN_OK);
  assert_int_equal(count, 3);
  assert_int_equal(got[0].ix, 0);
  check_refused(m, "newest/created_ms", (const int64_t[3]){1, 2, -3}, 24);
  check_refused(m, "newest/created_ms", (const int64_t[3]){1, 2, 3}, 23);
  m->cls->free(m);
  m = fit_created(NULL, 0);
  assert_int_equal(m->cls->update_item(m, 0, &item, &err), WN_OK);
  check_round_trip(m, 1, NULL);
  m->cls->free(m);
}

static void test_out_of_memory(void **state) {
  (void)state;
  wn_dataset data;
  wn_error err;
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 3, 3, &data, &err),
                   WN_OK);
  check_out_of_memory(&wn_model_newest, &data);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact_order),
      cmocka_unit_test(test_items_come),
      cmocka_unit_test(test_unknown_times),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
