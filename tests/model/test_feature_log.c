/* Logged features: bit for bit back, and what a damaged blob may say. */
#include "fitting.h"

#include "model/feature_log.h"

static void test_round_trip(void **state) {
  (void)state;
  enum { ITEMS = 20, FEATURES = 77 };
  static float rows[ITEMS][FEATURES];
  const float *row[ITEMS];
  wn_buf blob = {0};
  wn_arena arena;
  wn_logged_features back;
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  wn_arena_init(&arena, 1 << 24);
  for (size_t i = 0; i < ITEMS; i++) {
    row[i] = i == 7 ? NULL : rows[i];
    for (size_t f = 0; f < FEATURES; f++)
      rows[i][f] = wn_rng_below(&rng, 3) == 0 ? NAN : (float)wn_rng_normal(&rng);
  }
  rows[1][1] = -0.0f, rows[1][2] = INFINITY, rows[1][3] = 1e-42f;
  assert_ok(wn_feature_log_encode(99, row, ITEMS, FEATURES, &blob, err));
  assert_ok(wn_feature_log_decode((wn_str){blob.data, blob.len}, &arena, &back, err));
  assert_true(back.set == 99 && back.len == ITEMS && back.features == FEATURES);
  for (size_t i = 0; i < ITEMS; i++)
    for (size_t f = 0; f < FEATURES; f++) {
      float x = back.feature[i * FEATURES + f];
      assert_true(row[i] == NULL || isnan(row[i][f]) ? isnan(x)
                                                     : memcmp(&x, &row[i][f], sizeof x) == 0);
    }
  for (size_t cut = 0; cut < blob.len; cut += 37) {
    wn_error why;
    assert_int_equal(wn_feature_log_decode((wn_str){blob.data, cut}, &arena, &back, &why),
                     WN_E_CORRUPT);
  }
  wn_buf_clear(&blob);
  wn_arena_clear(&arena);
}

static void test_hashes(void **state) {
  (void)state;
  wn_item_facts facts = {0};
  wn_feature_set a = {.version = 1, .families = 7, .opinions = 2, .depth = 200, .attrs = 1}, b = a;
  facts.head.attrs = 1;
  snprintf(facts.head.attr[0], sizeof facts.head.attr[0], "genres");
  memset(&b.opinion[5], 'x', sizeof b.opinion[5]); /* past the last: says nothing */
  uint64_t hash = wn_feature_set_hash(&a, &facts);
  assert_true(hash == wn_feature_set_hash(&b, &facts));
  b.families = 3;
  assert_true(hash != wn_feature_set_hash(&b, &facts));
  snprintf(facts.head.attr[0], sizeof facts.head.attr[0], "brand");
  assert_true(hash != wn_feature_set_hash(&a, &facts));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_hashes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
