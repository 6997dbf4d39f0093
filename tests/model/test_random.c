/* Random: the twin, uniformity, stability. */

#include "global_models.h"

static wn_model *model_of(uint32_t items) {
  return fit_events(&wn_model_random, NULL, 0, items, NULL);
}

static size_t draw(const wn_model *m, uint64_t seed, const wn_bitset *allowed, size_t k,
                   wn_scored *got) {
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .seed = seed, .allowed = allowed};
  size_t count;
  wn_error err;
  assert_int_equal(m->cls->candidates(m, &query, k, got, &count, &err), WN_OK);
  return count;
}

static void test_twin(void **state) {
  (void)state;
  wn_model *m = model_of(3000);
  for (uint64_t seed = 0; seed < 5; seed++) check_twin_filtered(m, 3000, seed);
  check_round_trip(m, 3000, NULL);
  check_refused(m, "random/items", (const uint64_t[1]){2000000}, 8); /* the snapshot: 1,000,000 */
  check_refused(m, "random/items", (const uint64_t[1]){UINT64_MAX}, 8);
  check_refused(m, "random/items", (const uint64_t[2]){1, 1}, 16);
  m->cls->free(m);
  m = model_of(0);
  check_twin_filtered(m, 0, 1);
  m->cls->free(m);
}

/* Each of 40 items is drawn about equally often, and each pair of first two. */
static void test_uniform(void **state) {
  (void)state;
  enum { ITEMS = 40, DRAWS = 40000, K = 10 };
  wn_model *m = model_of(ITEMS);
  int seen[ITEMS] = {0}, first[ITEMS] = {0};
  wn_scored got[K];
  for (uint64_t seed = 0; seed < DRAWS; seed++) {
    assert_int_equal(draw(m, seed, NULL, K, got), K);
    for (int i = 0; i < K; i++) seen[got[i].ix]++;
    first[got[0].ix]++;
  }
  double chi_seen = 0, chi_first = 0, e = (double)DRAWS * K / ITEMS, f = (double)DRAWS / ITEMS;
  for (int i = 0; i < ITEMS; i++) {
    chi_seen += (seen[i] - e) * (seen[i] - e) / (e * (1 - (double)K / ITEMS));
    chi_first += (first[i] - f) * (first[i] - f) / f;
  }
  assert_true(chi_seen < 77.0); /* 39 degrees: p = .0003 */
  assert_true(chi_first < 77.0);
  m->cls->free(m);
}

static void test_stable(void **state) {
  (void)state;
  wn_model *m = model_of(500);
  wn_scored a[500], b[501];
  wn_item_record record = {0};
  wn_error err;
  draw(m, 42, NULL, 500, a);
  draw(m, 43, NULL, 500, b);
  int same = 0;
  for (int i = 0; i < 500; i++) same += a[i].ix == b[i].ix;
  assert_true(same < 15);
  assert_int_equal(m->cls->update_item(m, 500, &record, &err), WN_OK);
  assert_int_equal(m->cls->update_item(m, 3, &record, &err), WN_OK);
  assert_int_equal(m->cls->update_item(m, WN_NO_IX, &record, &err), WN_E_ARGUMENT);
  assert_int_equal(draw(m, 42, NULL, 501, b), 501);
  for (int i = 0, j = 0; i < 501; i++) /* the new item is one more, nothing else has moved */
    if (b[i].ix != 500) assert_int_equal(b[i].ix, a[j++].ix);
  wn_event e = {.user = 0, .item = 600, .value = NAN};
  m->cls->update(m, &e, 1.0f);
  check_twin_filtered(m, 601, 9);
  m->cls->free(m);
  wn_dataset data;
  assert_int_equal(wn_dataset_build_events(NULL, 0, NULL, 3, 3, &data, &err), WN_OK);
  check_out_of_memory(&wn_model_random, &data);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twin),
      cmocka_unit_test(test_uniform),
      cmocka_unit_test(test_stable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
