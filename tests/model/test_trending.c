/* Trending: the formula against a direct sum over events, support, time. */

#include "global_models.h"

static wn_event event_of(uint32_t user, uint32_t item, int64_t time_ms) {
  return (wn_event){.user = user, .item = item, .value = NAN, .time_ms = time_ms};
}

/* The score by its definition, at τ; events of distinct users, so that pairs are not merged. */
static double direct(const wn_event *events, size_t count, uint32_t item, double tau) {
  double recent = 0, usual = 0, hs = 24 * (double)HOUR, hl = 336 * (double)HOUR;
  for (size_t i = 0; i < count; i++) {
    if (events[i].item != item) continue;
    recent += exp2(-(tau - (double)events[i].time_ms) / hs);
    usual += exp2(-(tau - (double)events[i].time_ms) / hl);
  }
  if (recent < 3.0) return recent / 3.0 - 1.0;
  return (recent + 5.0) / (usual * hs / hl + 5.0);
}

static double tick_above(const wn_event *events, size_t count) {
  double last = 0, tick = 24 * (double)HOUR / 64;
  for (size_t i = 0; i < count; i++) last = fmax(last, (double)events[i].time_ms);
  return ceil(last / tick) * tick;
}

static void compare(wn_model *m, const wn_event *events, size_t count, uint32_t items) {
  float *scores = wn_calloc(items, sizeof *scores);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  wn_error err;
  double tau = tick_above(events, count);
  assert_int_equal(m->cls->score_all(m, &query, scores, items, &err), WN_OK);
  for (uint32_t ix = 0; ix < items; ix++)
    assert_float_equal(scores[ix], (float)direct(events, count, ix, tau), 2e-5);
  wn_free(scores);
}

static wn_event *random_events(size_t n, uint32_t items, uint64_t seed) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  wn_event *events = wn_calloc(n, sizeof *events);
  for (size_t i = 0; i < n; i++)
    events[i] = event_of((uint32_t)i, (uint32_t)wn_rng_below(&rng, 1 + wn_rng_below(&rng, items)),
                         19000 * DAY + (int64_t)i * 5 * (HOUR / 60));
  return events;
}

static void test_formula(void **state) {
  (void)state;
  wn_event *events = random_events(6000, 50, 31);
  wn_model *m = fit_events(&wn_model_trending, events, 3000, 50, NULL);
  compare(m, events, 3000, 50);
  for (size_t i = 3000; i < 6000; i++) {
    m->cls->update(m, &events[i], 1.0f);
    if (i % 401 == 0) compare(m, events, i + 1, 50);
    if (i % 601 == 0) check_twin_filtered(m, 50, i);
  }
  compare(m, events, 6000, 50);
  m->cls->free(m);
  wn_free(events);
}

static size_t put(wn_event *events, size_t n, uint32_t item, int64_t day, int count) {
  for (int i = 0; i < count; i++) /* all through the day */
    events[n + (size_t)i] = event_of((uint32_t)(n + (size_t)i), item, day * DAY + i * DAY / count);
  return n + (size_t)count;
}

/* A steady seller, a newcomer on the rise, a fallen star, and one with a single event. */
static void test_meaning(void **state) {
  (void)state;
  wn_event *events = wn_calloc(4000, sizeof *events);
  size_t n = 0;
  for (int64_t day = 0; day < 60; day++) {
    n = put(events, n, 0, 19000 + day, 20);
    n = put(events, n, 1, 19000 + day, day >= 58 ? 15 : 0);
    n = put(events, n, 2, 19000 + day, day < 55 ? 30 : 2);
  }
  n = put(events, n, 3, 19059, 1);
  wn_model *m = fit_events(&wn_model_trending, events, n, 5, NULL);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX, .now_ms = 25000 * DAY};
  wn_scored got[5];
  size_t count;
  wn_error err;
  assert_int_equal(m->cls->candidates(m, &query, 5, got, &count, &err), WN_OK);
  assert_int_equal(count, 5);
  static const uint32_t order[] = {1, 0, 2, 3, 4};
  for (int i = 0; i < 5; i++) assert_int_equal(got[i].ix, order[i]);
  assert_true(got[0].score > 2.0f);
  assert_float_equal(got[1].score, 1.0f, 0.2);
  assert_true(got[2].score < 0.8f && got[2].score > 0);
  assert_true(got[3].score > -1.0f && got[3].score < 0);
  assert_float_equal(got[4].score, -1.0f, 0);
  m->cls->free(m);
  wn_free(events);
}

static void change(wn_model *m) {
  for (uint32_t i = 0; i < 200; i++) {
    wn_event e = event_of(9, i * 37 % 70, 19050 * DAY + i * HOUR);
    m->cls->update(m, &e, 1.5f);
  }
}

static void test_snapshot(void **state) {
  (void)state;
  wn_event *events = random_events(2000, 60, 4);
  wn_model *m = fit_events(&wn_model_trending, events, 2000, 60, NULL);
  check_round_trip(m, 70, change);
  m->cls->free(m);
  wn_free(events);
  const wn_event two[] = {event_of(0, 0, DAY), event_of(0, 1, DAY)};
  m = fit_events(&wn_model_trending, two, 2, 2, NULL);
  double good[8] = {1e6, 1e7, 0, 0, 5, 3, 0, 0};
  const uint64_t items = 2;
  memcpy(&good[7], &items, sizeof items);
  wn_snapshot *snapshot;
  wn_model *mapped;
  assert_int_equal(
      save_and_map(m, &(edited){"trending/meta", good, sizeof good}, &snapshot, &mapped), WN_OK);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  static const struct {
    int at;
    double value;
  } bad[] = {{0, 0},    {0, NAN}, {0, 2e7}, {1, 1e5}, {1, INFINITY}, {2, NAN},      {2, 1e14},
             {3, 1e14}, {4, 0},   {4, NAN}, {5, -1},  {5, NAN},      {6, INFINITY}, {6, -1e15}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    double meta[8];
    memcpy(meta, good, sizeof meta);
    meta[bad[i].at] = bad[i].value;
    check_refused(m, "trending/meta", meta, sizeof meta);
  }
  check_refused(m, "trending/meta", good, 56);
  check_refused(m, "trending/recent", (const double[2]){1, NAN}, 16);
  check_refused(m, "trending/recent", (const double[2]){1, 1}, 8);
  check_refused(m, "trending/usual", (const double[2]){1, -1}, 16);
  check_refused(m, "trending/usual", NULL, 0);
  m->cls->free(m);
}

static void test_edges(void **state) {
  (void)state;
  wn_params params;
  wn_error err;
  wn_model *m = fit_events(&wn_model_trending, NULL, 0, 0, NULL);
  check_twin_filtered(m, 0, 1);
  check_round_trip(m, 0, NULL);
  wn_event e = event_of(0, 2, 1700000000000);
  m->cls->update(m, &e, 4.0f);
  m->cls->update(m, &e, -4.0f);
  m->cls->update(m, &e, NAN);
  check_twin_filtered(m, 3, 1);
  e.time_ms = INT64_MAX;
  m->cls->update(m, &e, 4.0f);
  e.time_ms = INT64_MIN;
  m->cls->update(m, &e, 4.0f);
  check_twin_filtered(m, 3, 1);
  e.item = WN_NO_IX;
  m->cls->update(m, &e, 4.0f);
  m->cls->free(m);
  wn_dataset data;
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 3, 3, &data, &err),
                   WN_OK);
  check_out_of_memory(&wn_model_trending, &data);
  wn_params_defaults(&wn_model_trending, &params);
  assert_int_equal(wn_params_set(&wn_model_trending, &params, "short_hours", "400", &err), WN_OK);
  wn_fit_env env = {0};
  assert_int_equal(wn_model_trending.fit(&data, &params, &env, &m, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "short_hours");
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_formula),
      cmocka_unit_test(test_meaning),
      cmocka_unit_test(test_snapshot),
      cmocka_unit_test(test_edges),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
