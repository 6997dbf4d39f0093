/* Looks: impressions alone where nothing was drawn; where slots were, the chances that the clicks
 * were made with; since a moment. */
#include "model/looks.h"
#include "../store/store_testing.h"

enum { ITEMS = 30, PLACES = 5, SLATES = 8000 };

static const double looks[PLACES] = {1, 0.7, 0.5, 0.35, 0.25};

static int names; /* of this test's slates */

/* Random slates at one moment, clicked with half the chance that the place is looked at. */
static void show(wn_store *store, float propensity, int64_t time_ms, uint32_t slates) {
  static wn_item_ix items[SLATES][PLACES];
  static char ids[SLATES][16], item[ITEMS][8];
  static float chances[PLACES];
  wn_error err;
  wn_rng rng;
  WN_VEC(wn_op) ops = {0};
  wn_rng_seed(&rng, 3);
  for (uint32_t i = 0; i < ITEMS; i++) snprintf(item[i], sizeof item[i], "i%u", i);
  for (size_t k = 0; k < PLACES; k++) chances[k] = propensity;
  for (uint32_t s = 0; s < slates; s++) {
    snprintf(ids[s], sizeof ids[s], "s%d", names++);
    wn_op op = {.kind = WN_OP_SLATE,
                .u.slate = {.id = wn_str_of(ids[s]),
                            .surface = WN_STR("home"),
                            .user = 0,
                            .anchor = WN_NO_IX,
                            .time_ms = time_ms,
                            .items = items[s],
                            .propensities = chances,
                            .len = PLACES}};
    for (uint32_t k = 0; k < PLACES; k++)
      items[s][k] = (wn_item_ix)wn_rng_below(&rng, ITEMS / PLACES) * PLACES + k;
    assert_true(wn_vec_push(&ops, op));
    for (size_t k = 0; k < PLACES; k++) {
      if (wn_rng_double(&rng) >= looks[k] / 2) continue;
      op = event_op(NULL, "ann", item[items[s][k]], "click");
      op.u.event.time_ms = time_ms;
      op.u.event.slate = wn_str_of(ids[s]);
      assert_true(wn_vec_push(&ops, op));
    }
  }
  assert_ok(wn_store_commit(store, ops.data, ops.len, &err));
  wn_vec_clear(&ops);
}

static wn_store *begin(void) {
  wn_store *store = open_store(WN_STORE_WRITE);
  char item[8];
  for (uint32_t i = 0; i < ITEMS; i++) { /* each gets its number */
    snprintf(item, sizeof item, "i%u", i);
    commit_one(store, event_op(NULL, "ann", item, "click"));
  }
  return store;
}

static void count(wn_store *store, int64_t since_ms, float *out, float *seen) {
  wn_error err;
  wn_looks_log log = {.store = store, .since_ms = since_ms, .items = ITEMS};
  assert_ok(wn_looks_count(&log, out, seen, &err));
}

static double sum_of(const float *values) {
  double sum = 0;
  for (size_t i = 0; i < ITEMS; i++) sum += (double)values[i];
  return sum;
}

/* Item i stands at place i mod PLACES: what it was looked at is known. */
static void test_places_by_chance(WN_UNUSED void **state) {
  wn_store *store = begin();
  float out[ITEMS], seen[WN_PLACES + 1];
  show(store, 0.2f, T0, SLATES);
  count(store, INT64_MIN, out, seen);
  double all = 0;
  for (size_t k = 0; k < PLACES; k++) {
    assert_float_equal(seen[k + 1], looks[k], 0.06); /* 4 standard errors of a ratio */
    all += SLATES * (double)seen[k + 1];
  }
  assert_float_equal(seen[WN_PLACES], seen[PLACES], 0); /* nobody saw what stands below */
  assert_float_equal(sum_of(out), all, 1e-3 * all);
  assert_true(out[4] < 0.4f * out[0]);
  wn_store_close(store);
}

static void test_nothing_drawn(WN_UNUSED void **state) {
  wn_store *store = begin();
  float out[ITEMS], seen[WN_PLACES + 1];
  show(store, 1, T0, 500);
  count(store, INT64_MIN, out, seen);
  for (size_t k = 1; k <= WN_PLACES; k++) assert_float_equal(seen[k], 1, 0);
  assert_float_equal(sum_of(out), 500 * PLACES, 0);
  wn_store_close(store);
}

static void test_since(WN_UNUSED void **state) {
  wn_store *store = begin();
  float out[ITEMS], seen[WN_PLACES + 1];
  show(store, 1, T0, 500);
  show(store, 1, T0 + 1000, 300);
  count(store, T0 + 1, out, seen);
  assert_float_equal(sum_of(out), 300 * PLACES, 0);
  count(store, T0 + 1001, out, seen);
  assert_float_equal(sum_of(out), 0, 0);
  wn_store_close(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_places_by_chance, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_nothing_drawn, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_since, make_dir, drop_dir),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
