/* Popularity: order, decay, live updates, filters; the list of the best under changes. */

#include "global_models.h"
#include "model/ranking.h"
#include <pthread.h>

static wn_event event_of(uint32_t user, uint32_t item, int64_t time_ms) {
  return (wn_event){.user = user, .item = item, .value = NAN, .time_ms = time_ms};
}

static wn_event *random_events(size_t n, uint32_t items, uint64_t seed) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  wn_event *events = wn_calloc(n, sizeof *events);
  for (size_t i = 0; i < n; i++) {
    double r = wn_rng_double(&rng);
    events[i] = event_of((uint32_t)i, (uint32_t)(r * r * items), 1000 * DAY + (int64_t)i * HOUR);
  }
  return events;
}

static void test_order_and_decay(void **state) {
  (void)state;
  const wn_event events[] = {
      event_of(0, 0, 0),        event_of(1, 0, 0), event_of(2, 0, 0), /* three long ago */
      event_of(0, 1, 60 * DAY),                                       /* one now */
      event_of(0, 2, 60 * DAY), event_of(1, 2, 0), event_of(3, 4, 30 * DAY),
  };
  wn_model *m = fit_events(&wn_model_popular, events, 7, 6, NULL);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  wn_scored got[6];
  float scores[8];
  size_t count;
  wn_error err;
  assert_int_equal(m->cls->candidates(m, &query, 6, got, &count, &err), WN_OK);
  assert_int_equal(count, 6);
  static const uint32_t order[] = {2, 1, 0, 4, 3, 5};
  static const float expected[] = {1.25f, 1.0f, 0.75f, 0.5f, 0, 0};
  for (int i = 0; i < 6; i++) {
    assert_int_equal(got[i].ix, order[i]);
    assert_float_equal(got[i].score, expected[i], 1e-6);
  }
  assert_int_equal(m->cls->score_all(m, &query, scores, 8, &err), WN_OK);
  assert_true(scores[6] == -INFINITY);
  m->cls->free(m);
  wn_params params;
  wn_params_defaults(&wn_model_popular, &params);
  assert_int_equal(wn_params_set(&wn_model_popular, &params, "half_life_days", "0", &err), WN_OK);
  m = fit_events(&wn_model_popular, events, 7, 6, &params);
  assert_int_equal(m->cls->candidates(m, &query, 6, got, &count, &err), WN_OK);
  assert_int_equal(got[0].ix, 0);
  assert_float_equal(got[0].score, 3.0f, 0);
  m->cls->free(m);
}

/* Days; what a fit with the defaults has chosen. */
static double chosen(const wn_event *events, size_t count, uint32_t items) {
  wn_model *m = fit_events(&wn_model_popular, events, count, items, NULL), *mapped;
  wn_snapshot *snapshot;
  const void *meta = NULL;
  uint64_t n;
  wn_error err;
  assert_int_equal(save_and_map(m, NULL, &snapshot, &mapped), WN_OK);
  assert_int_equal(wn_snapshot_section(snapshot, "popular/meta", sizeof(double), &meta, &n, &err),
                   WN_OK);
  double days = *(const double *)meta / (double)DAY;
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  m->cls->free(m);
  return days;
}

/* News die within a day, films stay; data without times, or few of them, cannot tell. */
static void test_half_life_chosen(void **state) {
  (void)state;
  enum { ITEMS = 600, EVENTS = 6000 }; /* one an hour: 250 days */
  wn_rng rng;
  wn_rng_seed(&rng, 4);
  wn_event *events = random_events(EVENTS, ITEMS, 9);
  double stays = chosen(events, EVENTS, ITEMS);
  assert_true(stays == 0 || stays >= 180);
  for (uint32_t i = 0; i < EVENTS; i++) /* two new items a day */
    events[i].item = i / 24 * 2 + (uint32_t)wn_rng_below(&rng, 3);
  assert_true(chosen(events, EVENTS, ITEMS) == 1);
  for (uint32_t i = 0; i < EVENTS; i++) events[i].time_ms = 5 * DAY;
  assert_true(chosen(events, EVENTS, ITEMS) == 30);
  assert_true(chosen(events, 10, ITEMS) == 30);
  assert_true(chosen(events, 0, 0) == 30);
  wn_free(events);
}

/* A twin that adds up every event anew. */
static void test_updates_against_twin(void **state) {
  (void)state;
  enum { ITEMS = 9000, EVENTS = 4000 };
  wn_event *events = random_events(EVENTS, ITEMS, 9);
  wn_params params;
  wn_params_defaults(&wn_model_popular, &params);
  params.value[0] = 30;
  wn_model *m = fit_events(&wn_model_popular, events, EVENTS / 2, 100, &params);
  double *twin = wn_calloc(ITEMS, sizeof *twin);
  for (size_t i = 0; i < EVENTS; i++) {
    if (i >= EVENTS / 2) m->cls->update(m, &events[i], 2.0f);
    double age = (double)(events[EVENTS / 2 - 1].time_ms - events[i].time_ms) / (double)(30 * DAY);
    twin[events[i].item] += (i >= EVENTS / 2 ? 2.0 : 1.0) * exp2(-age);
    if (i >= EVENTS / 2 && i % 397 == 0) check_twin_filtered(m, ITEMS, i);
  }
  float *scores = wn_calloc(ITEMS, sizeof *scores);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  wn_error err;
  assert_int_equal(m->cls->score_all(m, &query, scores, ITEMS, &err), WN_OK);
  for (int i = 0; i < ITEMS; i++)
    if (scores[i] > -INFINITY)
      assert_float_equal(scores[i], (float)twin[i], 1e-5 * twin[i] + 1e-9);
    else
      assert_float_equal(twin[i], 0, 0);
  wn_free(scores);
  wn_free(twin);
  m->cls->free(m);
  wn_free(events);
}

static void test_far_future_rebases(void **state) {
  (void)state;
  const wn_event events[] = {event_of(0, 0, 0), event_of(0, 1, DAY)};
  wn_model *m = fit_events(&wn_model_popular, events, 2, 3, NULL);
  wn_event later = event_of(1, 2, 30 * DAY * 70);
  m->cls->update(m, &later, 1.0f);
  check_twin_filtered(m, 3, 1);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  float scores[3];
  wn_error err;
  assert_int_equal(m->cls->score_all(m, &query, scores, 3, &err), WN_OK);
  assert_true(scores[2] > 0.5f && scores[1] > scores[0] && scores[1] < 1e-15f && scores[0] > 0);
  later.time_ms = INT64_MAX;
  m->cls->update(m, &later, 1.0f);
  later.time_ms = INT64_MIN;
  m->cls->update(m, &later, 1.0f);
  assert_int_equal(m->cls->score_all(m, &query, scores, 3, &err), WN_OK);
  assert_true(isfinite(scores[0]) && isfinite(scores[2]) && scores[2] > 0);
  m->cls->free(m);
}

/* What items earned per look does not rise by answers alone, nor in a copy from a snapshot. */
static void test_per_look(void **state) {
  (void)state;
  const wn_event events[] = {event_of(0, 0, DAY), event_of(1, 0, DAY), event_of(0, 1, DAY)};
  wn_dataset data;
  wn_snapshot *snapshot;
  wn_model *mapped;
  wn_event e = event_of(1, 1, DAY);
  wn_error error;
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, 3}, NULL, 2, 2, &data, &error),
                   WN_OK);
  data.per_look = true;
  wn_model *m = fit(&wn_model_popular, &data, NULL);
  assert_int_equal(save_and_map(m, NULL, &snapshot, &mapped), WN_OK);
  wn_model *both[] = {m, mapped};
  for (size_t i = 0; i < 2; i++) {
    wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
    float scores[2];
    wn_error err;
    for (int k = 0; k < 9; k++) both[i]->cls->update(both[i], &e, 1.0f);
    assert_int_equal(both[i]->cls->score_all(both[i], &query, scores, 2, &err), WN_OK);
    assert_true(scores[0] > scores[1]);
    both[i]->cls->free(both[i]);
  }
  wn_snapshot_unref(snapshot);
  wn_dataset_clear(&data);
}

static void test_ignored_weights(void **state) {
  (void)state;
  const wn_event events[] = {event_of(0, 0, DAY)};
  wn_model *m = fit_events(&wn_model_popular, events, 1, 2, NULL);
  wn_event e = event_of(1, 1, DAY);
  m->cls->update(m, &e, -2.0f);
  m->cls->update(m, &e, 0.0f);
  m->cls->update(m, &e, NAN);
  m->cls->update(m, &e, INFINITY);
  e.item = WN_NO_IX;
  m->cls->update(m, &e, 1.0f);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  float scores[2];
  wn_error err;
  assert_int_equal(m->cls->score_all(m, &query, scores, 2, &err), WN_OK);
  assert_float_equal(scores[1], 0, 0);
  wn_item_record record = {0};
  assert_int_equal(m->cls->update_item(m, 5, &record, &err), WN_OK);
  assert_int_equal(m->cls->update_item(m, WN_NO_IX, &record, &err), WN_E_ARGUMENT);
  check_twin_filtered(m, 6, 1);
  m->cls->free(m);
}

static void change(wn_model *m) {
  for (uint32_t i = 0; i < 300; i++) {
    wn_event e = event_of(9, i * 37 % 500, 1200 * DAY + i * DAY);
    m->cls->update(m, &e, 1.5f);
  }
}

static void test_snapshot(void **state) {
  (void)state;
  wn_event *events = random_events(2000, 400, 4);
  wn_model *m = fit_events(&wn_model_popular, events, 2000, 500, NULL);
  check_round_trip(m, 500, change);
  m->cls->free(m);
  wn_free(events);
  const wn_event two[] = {event_of(0, 0, DAY), event_of(0, 1, DAY)};
  m = fit_events(&wn_model_popular, two, 2, 2, NULL);
  const double meta[3] = {1.0, 0.0, 0.0};
  check_refused(m, "popular/meta", meta, 8);
  check_refused(m, "popular/meta", (const double[3]){NAN, 0, 0}, sizeof meta);
  check_refused(m, "popular/meta", (const double[3]){-1, 0, 0}, sizeof meta);
  check_refused(m, "popular/meta", (const double[3]){1, INFINITY, 0}, sizeof meta);
  check_refused(m, "popular/meta", (const double[3]){1, 0, 1e-310}, sizeof meta); /* items: huge */
  check_refused(m, "popular/meta", NULL, 0);
  check_refused(m, "popular/count", NULL, 0);
  check_refused(m, "popular/count", (const double[3]){1, 1, 1}, 24);
  check_refused(m, "popular/count", (const double[2]){1, NAN}, 16);
  check_refused(m, "popular/count", (const double[2]){1, -1}, 16);
  check_refused(m, "popular/count", (const double[2]){1, INFINITY}, 16);
  check_refused(m, "popular/count", (const double[2]){1, 1}, 15);
  m->cls->free(m);
}

static void test_empty(void **state) {
  (void)state;
  wn_model *m = fit_events(&wn_model_popular, NULL, 0, 0, NULL);
  check_twin_filtered(m, 0, 1);
  check_round_trip(m, 0, NULL);
  wn_event e = event_of(0, 3, 1700000000000);
  m->cls->update(m, &e, 1.0f);
  check_twin_filtered(m, 4, 1);
  m->cls->free(m);
}

static void test_out_of_memory(void **state) {
  (void)state;
  wn_dataset data;
  wn_error err;
  const wn_event events[] = {event_of(0, 0, DAY), event_of(0, 1, DAY)};
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, 2}, NULL, 0, 0, &data, &err),
                   WN_OK);
  check_out_of_memory(&wn_model_popular, &data);
  wn_dataset_clear(&data);
}

static void no_fill(void *ctx, float *scores, uint32_t items) {
  const float *truth = ctx;
  memcpy(scores, truth, items * sizeof *scores);
}

/* Scores that rise and fall by chance, against a sort of all of them. */
static void test_ranking_under_changes(void **state) {
  (void)state;
  enum { ITEMS = 12000 };
  float *truth = wn_calloc(ITEMS, sizeof *truth);
  wn_scored *all = wn_calloc(ITEMS, sizeof *all), *got = wn_calloc(ITEMS, sizeof *got);
  wn_ranking *r = wn_ranking_create(no_fill, truth);
  wn_rng rng;
  wn_rng_seed(&rng, 21);
  assert_true(wn_ranking_grow(r, 10, 0.0f));
  uint32_t items = 10;
  for (int step = 0; step < 60000; step++) {
    if (items < ITEMS && wn_rng_below(&rng, 4) == 0) {
      truth[items] = (float)wn_rng_below(&rng, 3);
      assert_true(wn_ranking_grow(r, items + 1, truth[items]));
      items++;
    }
    uint32_t ix = (uint32_t)wn_rng_below(&rng, items);
    truth[ix] = (float)wn_rng_below(&rng, 1000) * (wn_rng_below(&rng, 3) == 0 ? 1.0f : 0.01f);
    wn_ranking_set(r, ix, truth[ix]);
    if (step % 1999 != 0) continue;
    for (uint32_t i = 0; i < items; i++) all[i] = (wn_scored){i, truth[i]};
    qsort(all, items, sizeof *all, by_score);
    size_t k = step % 3 == 0 ? 5000 : 100;
    size_t n = wn_ranking_candidates(r, NULL, k, got);
    assert_int_equal(n, k < items ? k : items);
    assert_memory_equal(got, all, n * sizeof *got);
  }
  wn_ranking_free(r);
  wn_ranking_free(NULL);
  wn_free(truth);
  wn_free(all);
  wn_free(got);
}

static void *read_many(void *ctx) {
  wn_ranking *r = ctx;
  wn_scored got[50];
  for (int i = 0; i < 200; i++)
    if (wn_ranking_candidates(r, NULL, 50, got) != 50 || got[0].score != 999.0f) return r;
  return NULL;
}

/* Many readers meet a stale ranking: one of them recomputes, all see the result. */
static void test_stale_readers(void **state) {
  (void)state;
  enum { ITEMS = 5000 };
  float *truth = wn_calloc(ITEMS, sizeof *truth);
  for (int i = 0; i < ITEMS; i++) truth[i] = (float)(i % 1000);
  wn_ranking *r = wn_ranking_create(no_fill, truth);
  assert_true(wn_ranking_grow(r, ITEMS, 0.0f));
  for (int round = 0; round < 10; round++) {
    pthread_t threads[4];
    wn_ranking_stale(r);
    for (int i = 0; i < 4; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, read_many, r), 0);
    for (int i = 0; i < 4; i++) {
      void *wrong;
      pthread_join(threads[i], &wrong);
      assert_null(wrong);
    }
  }
  wn_ranking_free(r);
  wn_free(truth);
}

static void test_allowed_next(void **state) {
  (void)state;
  wn_bitset set;
  assert_true(wn_bitset_init(&set, 300));
  wn_bitset_set(&set, 0);
  wn_bitset_set(&set, 63);
  wn_bitset_set(&set, 64);
  wn_bitset_set(&set, 299);
  assert_int_equal(wn_allowed_next(&set, 0, 500), 0);
  assert_int_equal(wn_allowed_next(&set, 1, 500), 63);
  assert_int_equal(wn_allowed_next(&set, 64, 500), 64);
  assert_int_equal(wn_allowed_next(&set, 65, 500), 299);
  assert_int_equal(wn_allowed_next(&set, 65, 299), 299); /* the end */
  assert_int_equal(wn_allowed_next(&set, 300, 500), 500);
  assert_int_equal(wn_allowed_next(NULL, 7, 9), 7);
  assert_int_equal(wn_allowed_next(NULL, 9, 9), 9);
  assert_int_equal(wn_allowed_next(NULL, 0, 0), 0);
  wn_bitset_clear(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order_and_decay),
      cmocka_unit_test(test_half_life_chosen),
      cmocka_unit_test(test_updates_against_twin),
      cmocka_unit_test(test_far_future_rebases),
      cmocka_unit_test(test_per_look),
      cmocka_unit_test(test_ignored_weights),
      cmocka_unit_test(test_snapshot),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_ranking_under_changes),
      cmocka_unit_test(test_stale_readers),
      cmocka_unit_test(test_allowed_next),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
