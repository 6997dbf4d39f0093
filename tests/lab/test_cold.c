/* Planning new items' impressions: the rate of a place, with and without chance; the numbers
 * against a simulation of the test that they are for. */
#include "lab/cold.h"
#include "base/rng.h"
#include "base/special.h"
#include "../store/store_testing.h"

#include <math.h>

enum { SLATES = 4000 };

/* Place 1 is put; place 2 is item 1 with .8, which is answered half the time, else item 2, which
 * never is. */
static void show(wn_store *store, bool drawn) {
  static wn_item_ix items[SLATES][2];
  static float p[SLATES][2];
  static char ids[SLATES][16];
  wn_error err;
  wn_rng rng;
  WN_VEC(wn_op) ops = {0};
  wn_rng_seed(&rng, 5);
  for (uint32_t s = 0; s < SLATES; s++) {
    bool one = wn_rng_double(&rng) < 0.8;
    snprintf(ids[s], sizeof ids[s], "%c%u", drawn ? 'd' : 's', s);
    items[s][0] = 0;
    items[s][1] = one ? 1 : 2;
    p[s][0] = 1;
    p[s][1] = !drawn ? 1 : one ? 0.8f : 0.2f;
    wn_op op = {.kind = WN_OP_SLATE,
                .u.slate = {.id = wn_str_of(ids[s]),
                            .surface = drawn ? WN_STR("drawn") : WN_STR("put"),
                            .user = 0,
                            .anchor = WN_NO_IX,
                            .time_ms = 1000 * s,
                            .items = items[s],
                            .propensities = p[s],
                            .len = 2}};
    assert_true(wn_vec_push(&ops, op));
    if (!one || wn_rng_double(&rng) < 0.5) continue;
    op = event_op(NULL, "ann", "i1", "click");
    op.u.event.time_ms = 1000 * s;
    op.u.event.slate = wn_str_of(ids[s]);
    assert_true(wn_vec_push(&ops, op));
  }
  assert_ok(wn_store_commit(store, ops.data, ops.len, &err));
  wn_vec_clear(&ops);
}

static void test_rate(WN_UNUSED void **state) {
  wn_error err;
  wn_place_rate rate;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_op first[] = {event_op(NULL, "ann", "i0", "view"), event_op(NULL, "ann", "i1", "view"),
                   event_op(NULL, "ann", "i2", "view")};
  assert_ok(wn_store_commit(store, first, 3, &err));
  show(store, true);
  show(store, false);
  wn_place place = {.surface = WN_STR("drawn"), .position = 2};
  assert_ok(wn_place_rate_count(store, NULL, &place, &rate, &err));
  assert_int_equal(rate.drawn, SLATES);
  assert_float_equal(rate.usual, 0.25, 0.02); /* of the two, whoever is shown more */
  place.surface = WN_STR("put");
  assert_ok(wn_place_rate_count(store, NULL, &place, &rate, &err));
  assert_true(rate.drawn == 0 && rate.slates == SLATES);
  assert_float_equal(rate.usual, 0.4, 0.02);
  place.position = 3;
  assert_ok(wn_place_rate_count(store, NULL, &place, &rate, &err));
  assert_true(rate.slates == 0 && rate.usual == 0);
  wn_store_close(store);
}

/* So often is a good item told from the usual one, and the usual one taken for good. */
static void test_power(void **state) {
  (void)state;
  enum { ROUNDS = 4000 };
  const double usual = 0.08, times = 2;
  double n = ceil(wn_impressions_needed(usual, times, 0.05, 0.8));
  double limit = usual + wn_normal_quantile(0.95) * sqrt(usual * (1 - usual) / n);
  int told[2] = {0, 0};
  wn_rng rng;
  wn_rng_seed(&rng, 7);
  for (int good = 0; good < 2; good++)
    for (int r = 0; r < ROUNDS; r++) {
      double answers = 0;
      for (double i = 0; i < n; i++) answers += wn_rng_double(&rng) < (good ? times : 1) * usual;
      told[good] += answers / n > limit;
    }
  assert_float_equal(told[1] / (double)ROUNDS, 0.8, 0.04);
  assert_true(told[0] < ROUNDS * 0.075);
  assert_true(isinf(wn_impressions_needed(usual, 1, 0.05, 0.8)));
  assert_true(isinf(wn_impressions_needed(0, 2, 0.05, 0.8)));
  assert_true(wn_impressions_needed(0.6, 3, 0.05, 0.8) ==
              wn_impressions_needed(0.6, 1 / 0.6, 0.05, 0.8)); /* 1 at most */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_rate, make_dir, drop_dir),
      cmocka_unit_test(test_power),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
