/* Popularity per segment of users: against a sum over all pairs, beside its exact twin, through a
 * snapshot, under events, and for users of no segment. */

#include "global_models.h"
#include "model/segment.h"

enum { USERS = 60, ITEMS = 40, EVENTS = 900, SEGMENTS = 3 };

/* User u is of segment u % 4: 0 … 2 by `group` and `old`; 3 lacks `old`. */
static wn_status scan(void *ctx,
                      wn_status (*each)(void *each_ctx, wn_user_ix ix, const wn_user_record *user,
                                        wn_error *err),
                      void *each_ctx, wn_error *err) {
  (void)ctx;
  static const char *const groups[] = {"a", "b", "b", "c"};
  for (uint32_t u = 0; u < USERS + 3; u++) { /* some came after the data */
    wn_attr attrs[] = {
        {.name = WN_STR("old"), .kind = WN_ATTR_BOOL, .boolean = u % 4 == 2},
        {.name = WN_STR("group"), .kind = WN_ATTR_STRING, .string = wn_str_of(groups[u % 4])}};
    bool lacks = u % 4 == 3;
    wn_user_record user = {.attrs = {attrs + lacks, lacks ? 1 : 2}};
    wn_status status = each(each_ctx, u, &user, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static void dataset(wn_dataset *data) {
  static wn_event events[EVENTS];
  wn_rng rng;
  wn_error err;
  wn_rng_seed(&rng, 8);
  for (size_t i = 0; i < EVENTS; i++) {
    double x = wn_rng_double(&rng);
    uint32_t user = (uint32_t)wn_rng_below(&rng, USERS);
    uint32_t item = ((uint32_t)(x * x * 20) + 7 * (user % 4)) % ITEMS;
    events[i] = (wn_event){.user = user, .item = item, .value = NAN, .time_ms = (int64_t)i * HOUR};
  }
  assert_int_equal(
      wn_dataset_build_events((wn_event_list){events, EVENTS}, NULL, USERS, ITEMS, data, &err),
      WN_OK);
  data->users_source = (wn_user_source){NULL, scan};
}

static wn_params params_of(const char *segment, const char *prior) {
  wn_params params;
  wn_error err;
  wn_params_defaults(&wn_model_popular, &params);
  assert_int_equal(wn_params_set(&wn_model_popular, &params, "half_life_days", "10", &err), WN_OK);
  assert_int_equal(wn_params_set(&wn_model_popular, &params, "segment", segment, &err), WN_OK);
  assert_int_equal(wn_params_set(&wn_model_popular, &params, "segment_prior", prior, &err), WN_OK);
  return params;
}

static void scores_of(const wn_model *m, uint32_t user, float *out) {
  wn_query query = {.user = user, .anchor = WN_NO_IX};
  wn_error err;
  assert_int_equal(m->cls->score_all(m, &query, out, ITEMS, &err), WN_OK);
}

static double weight_at(const wn_dataset *data, uint64_t p) {
  const wn_csr *m = &data->by_user;
  return (double)m->weight[p] * exp2((double)(m->time_ms[p] - data->now_ms) / (10.0 * (double)DAY));
}

static void test_naive(void **state) {
  (void)state;
  wn_dataset data;
  dataset(&data);
  wn_params params = params_of(" group, old", "5");
  wn_model *m = fit(&wn_model_popular, &data, &params);
  for (uint32_t user = 0; user < USERS + 10; user++) {
    double own[ITEMS] = {0}, all[ITEMS] = {0}, total = 0;
    float got[ITEMS];
    for (uint32_t u = 0; u < USERS; u++)
      for (uint64_t p = data.by_user.row_ptr[u]; p < data.by_user.row_ptr[u + 1]; p++) {
        double w = weight_at(&data, p);
        all[data.by_user.col[p]] += w, total += w;
        if (user < USERS && user % 4 < SEGMENTS && u % 4 == user % 4) own[data.by_user.col[p]] += w;
      }
    scores_of(m, user, got);
    for (uint32_t i = 0; i < ITEMS; i++)
      assert_float_equal(got[i], all[i] + own[i] * total / 5, 1e-5 * total * own[i] + 1e-5);
  }
  m->cls->free(m);
  wn_dataset_clear(&data);
}

static void check_twins(const wn_model *m) {
  wn_bitset allowed;
  wn_rng rng;
  wn_rng_seed(&rng, 2);
  assert_true(wn_bitset_init(&allowed, ITEMS));
  for (uint32_t user = 0; user < 5; user++) {
    wn_bitset_fill(&allowed, false);
    for (uint32_t i = 0; i < ITEMS; i++)
      if (wn_rng_below(&rng, 2) == 0) wn_bitset_set(&allowed, i);
    wn_query query = {.user = user, .anchor = WN_NO_IX};
    for (size_t k = 0; k < ITEMS + 3; k += 7) check_twin(m, &query, ITEMS + 2, k);
    query.allowed = &allowed;
    for (size_t k = 0; k < ITEMS + 3; k += 7) check_twin(m, &query, ITEMS, k);
  }
  wn_bitset_clear(&allowed);
}

/* Time goes on, which moves the landmark: what a segment holds fades with the rest. */
static void test_events_and_snapshot(void **state) {
  (void)state;
  wn_dataset data;
  wn_snapshot *snapshot;
  wn_model *mapped;
  float before[ITEMS], after[ITEMS], again[ITEMS];
  dataset(&data);
  wn_params params = params_of("group", "20");
  wn_model *m = fit(&wn_model_popular, &data, &params);
  check_twins(m);
  scores_of(m, 0, before);
  wn_event event = {
      .user = 1, .item = 39, .value = NAN, .time_ms = data.now_ms + (int64_t)10000 * DAY};
  m->cls->update(m, &event, 1);
  check_twins(m);
  scores_of(m, 0, after);
  assert_float_equal(after[39], 1, 1e-3); /* a thousand half-lives on, nothing else counts */
  assert_true(after[0] < before[0] * 1e-6f);
  assert_int_equal(save_and_map(m, NULL, &snapshot, &mapped), WN_OK);
  scores_of(mapped, 0, again);
  assert_memory_equal(after, again, sizeof after);
  check_twins(mapped);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  m->cls->free(m);
  wn_dataset_clear(&data);
}

static void test_damaged(void **state) {
  (void)state;
  wn_dataset data;
  dataset(&data);
  wn_params params = params_of("group", "20");
  wn_model *m = fit(&wn_model_popular, &data, &params);
  uint16_t high[USERS];
  for (size_t u = 0; u < USERS; u++) high[u] = 9;
  check_refused(m, "popular/segment_of", high, sizeof high);
  check_refused(m, "popular/segment_of", NULL, 0);
  check_refused(m, "popular/segments", high, sizeof(wn_segments_head));
  check_refused(m, "popular/segment_count", high, 8);
  m->cls->free(m);
  wn_dataset_clear(&data);
}

static void test_nobody(void **state) {
  (void)state;
  wn_dataset data;
  float plain[ITEMS], got[ITEMS];
  dataset(&data);
  wn_params none = params_of("", "20"), other = params_of("height", "20");
  wn_model *a = fit(&wn_model_popular, &data, &none), *b = fit(&wn_model_popular, &data, &other);
  data.users_source.scan = NULL;
  wn_params group = params_of("group", "20");
  wn_model *c = fit(&wn_model_popular, &data, &group);
  scores_of(a, 1, plain);
  scores_of(b, 1, got);
  assert_memory_equal(plain, got, sizeof got);
  scores_of(c, 1, got);
  assert_memory_equal(plain, got, sizeof got);
  a->cls->free(a);
  b->cls->free(b);
  c->cls->free(c);
  wn_dataset_clear(&data);
}

static void test_bad_names(void **state) {
  (void)state;
  static const char *const bad[] = {",", "a,,b", "a,b,c,d,e", " "};
  wn_dataset data;
  wn_error err;
  dataset(&data);
  wn_pool *pool = wn_pool_create(1);
  wn_fit_env env = {.pool = pool, .seed = 1};
  for (size_t i = 0; i < 4; i++) {
    wn_params params = params_of(bad[i], "20");
    wn_model *m = NULL;
    assert_int_equal(wn_model_popular.fit(&data, &params, &env, &m, &err), WN_E_ARGUMENT);
    assert_string_equal(err.field, "segment");
    assert_null(m);
  }
  wn_params params = params_of("group", "20");
  char long_one[200];
  memset(long_one, 'x', sizeof long_one - 1);
  long_one[sizeof long_one - 1] = '\0';
  assert_int_equal(wn_params_set(&wn_model_popular, &params, "segment", long_one, &err),
                   WN_E_ARGUMENT);
  for (long n = 0;; n++) { /* every allocation fails once */
    wn_model *m = NULL;
    wn_mem_fail_after(n);
    wn_status status = wn_model_popular.fit(&data, &params, &env, &m, &err);
    bool done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (status == WN_OK) m->cls->free(m);
    assert_true(status == WN_OK || status == WN_E_MEMORY);
    if (done) break;
  }
  wn_pool_free(pool);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_naive),     cmocka_unit_test(test_events_and_snapshot),
      cmocka_unit_test(test_damaged),   cmocka_unit_test(test_nobody),
      cmocka_unit_test(test_bad_names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
