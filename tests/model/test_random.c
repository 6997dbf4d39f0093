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

/* Each item is drawn about equally often, at the first place, too; and so is each pair of first
 * two. Chi-square, four and a half deviations above its mean. */
static void check_uniform(uint32_t items, size_t k, uint64_t draws) {
  wn_model *m = model_of(items);
  double *seen = wn_calloc(items, sizeof *seen), *first = wn_calloc(items, sizeof *first);
  double *pair = wn_calloc((size_t)items * items, sizeof *pair);
  wn_scored got[10];
  for (uint64_t seed = 0; seed < draws; seed++) {
    assert_int_equal(draw(m, seed, NULL, k, got), k);
    for (size_t i = 0; i < k; i++) seen[got[i].ix]++;
    first[got[0].ix]++;
    pair[got[0].ix * items + got[1].ix]++;
  }
  double n = items, e = (double)draws * (double)k / n, f = (double)draws / n, g = f / (n - 1);
  double chi_seen = 0, chi_first = 0, chi_pair = 0;
  for (uint32_t i = 0; i < items; i++) {
    chi_seen += (seen[i] - e) * (seen[i] - e) / (e * (1 - (double)k / n));
    chi_first += (first[i] - f) * (first[i] - f) / f;
    for (uint32_t j = 0; j < items; j++)
      if (i != j) chi_pair += (pair[i * items + j] - g) * (pair[i * items + j] - g) / g;
  }
  double pairs = n * (n - 1) - 1;
  assert_true(chi_seen < n - 1 + 4.5 * sqrt(2 * (n - 1)));
  assert_true(chi_first < n - 1 + 4.5 * sqrt(2 * (n - 1)));
  assert_true(chi_pair < pairs + 4.5 * sqrt(2 * pairs));
  wn_free(seen);
  wn_free(first);
  wn_free(pair);
  m->cls->free(m);
}

static void test_uniform(void **state) {
  (void)state;
  check_uniform(12, 4, 40000);
  check_uniform(40, 10, 60000);
  check_uniform(300, 10, 40000);
}

/* More items than a float has places: ties by index, in both twins. */
static void test_shared_scores(void **state) {
  (void)state;
  wn_model *m = model_of((1u << 25) + 5);
  wn_scored got[200];
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .seed = 4};
  assert_int_equal(draw(m, 4, NULL, 200, got), 200);
  int shared = 0;
  for (int i = 1; i < 200; i++) {
    assert_true(wn_scored_before(got[i - 1], got[i]));
    shared += got[i].score == got[i - 1].score;
  }
  assert_true(shared > 20);
  wn_bitset allowed; /* the same items by the other path */
  wn_scored again[200];
  assert_true(wn_bitset_init(&allowed, (1u << 25) + 5));
  for (int i = 0; i < 200; i++) wn_bitset_set(&allowed, got[i].ix);
  query.allowed = &allowed;
  size_t count;
  wn_error err;
  assert_int_equal(m->cls->candidates(m, &query, 150, again, &count, &err), WN_OK);
  assert_int_equal(count, 150);
  assert_memory_equal(got, again, 150 * sizeof *got);
  wn_bitset_clear(&allowed);
  m->cls->free(m);
}

static void test_stable(void **state) {
  (void)state;
  wn_model *m = model_of(500); /* below 512: no new deal at 501 */
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
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 3, 3, &data, &err),
                   WN_OK);
  check_out_of_memory(&wn_model_random, &data);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twin),
      cmocka_unit_test(test_uniform),
      cmocka_unit_test(test_shared_scores),
      cmocka_unit_test(test_stable),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
