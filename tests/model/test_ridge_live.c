/* Local ridge learnt event by event. */
#include "fitting.h"
#include "model/ridge_live.h"

#define USERS  80u
#define ITEMS  40u
#define STREAM 900u
#define FAR    500000 /* time between two events */

static wn_event event_of(uint32_t user, uint32_t item, int64_t time_ms) {
  return (wn_event){.user = user, .item = item, .value = NAN, .time_ms = time_ms};
}

/* Each user meets an item once; `basket` events in a row share a time. */
static size_t random_stream(uint64_t seed, uint32_t basket, wn_event *out) {
  static bool met[USERS][ITEMS];
  wn_rng rng;
  size_t n = 0;
  memset(met, 0, sizeof met);
  wn_rng_seed(&rng, seed);
  for (uint32_t k = 0; k < STREAM; k++) {
    uint32_t user = (uint32_t)wn_rng_below(&rng, USERS);
    for (uint32_t i = 0; i < basket; i++) {
      double x = wn_rng_double(&rng);
      uint32_t item = (uint32_t)(x * x * ITEMS);
      if (!met[user][item]) out[n++] = event_of(user, item, 1000 + (int64_t)k * FAR);
      met[user][item] = true;
    }
  }
  return n;
}

static void learn(wn_model *model, const wn_event *events, size_t n) {
  for (size_t i = 0; i < n; i++) model->cls->update(model, &events[i], 1);
}

static wn_model *fit_events(const wn_model_class *cls, const wn_event *events, size_t n,
                            const char *params) {
  wn_dataset data;
  wn_signals signals;
  wn_signals_defaults(&signals);
  wn_event *own = wn_calloc(n + 1, sizeof *own);
  for (size_t i = 0; i < n; i++) {
    own[i] = events[i];
    own[i].type = WN_NO_IX;
    own[i].seq = i + 1;
  }
  assert_ok(wn_dataset_build_events((wn_event_list){own, n}, &signals, 0, 0, &data, err));
  wn_model *model = fit(cls, &data, params);
  wn_dataset_clear(&data);
  wn_free(own);
  return model;
}

/* A model as a server has it: fitted, saved, mapped. */
typedef struct served {
  wn_snapshot *snapshot;
  wn_model *model;
} served;

static served serve(const wn_model_class *cls, const wn_event *events, size_t n,
                    const char *params) {
  char path[128];
  served s;
  wn_model *model = fit_events(cls, events, n, params);
  save_to(model, scratch_path("live.wns", path, sizeof path));
  model->cls->free(model);
  s.model = map_from(cls, path, &s.snapshot);
  unlink(path);
  return s;
}

static void served_clear(served *s) {
  s->model->cls->free(s->model);
  wn_snapshot_unref(s->snapshot);
}

static wn_ridge_live *live_of(wn_model *model) {
  return ((wn_ridge *)model)->live;
}

/* What item i's row says. */
static void row_of(const wn_model *model, uint32_t i, float *scores, uint32_t items) {
  wn_query query = {.anchor = i, .user = WN_NO_IX};
  assert_ok(model->cls->score_all(model, &query, scores, items, err));
}

static void check_same(const wn_model *got, const wn_model *want, float tolerance) {
  float a[ITEMS], b[ITEMS];
  size_t pairs = 0;
  for (uint32_t i = 0; i < ITEMS; i++) {
    row_of(got, i, a, ITEMS);
    row_of(want, i, b, ITEMS);
    for (uint32_t j = 0; j < ITEMS; j++) {
      float x = fmaxf(a[j], 0), y = fmaxf(b[j], 0);
      if (!(fabsf(x - y) <= tolerance))
        fail_msg("W[%u][%u] is %g, fitted %g", i, j, (double)x, (double)y);
      pairs += y > 0;
    }
  }
  assert_true(pairs > 3);
}

static const wn_model_class *const classes[] = {&wn_model_ridge, &wn_model_ridge_seq};
static const char *const settings[2][3] = {
    {"lambda=2", "lambda=1 k=6 user_exponent=0", "lambda=2 row_max=5"},
    {"lambda=2", "lambda=1 k=6 tau=1 hours=30 user_exponent=.25", "lambda=2 row_max=5"}};

/* From nothing, and from a snapshot of any part: once all are solved again, the fit of everything.
 */
static void test_equals_fit(void **state) {
  (void)state;
  static wn_event events[STREAM * 3];
  for (uint32_t basket = 1; basket <= 3; basket += 2) {
    size_t n = random_stream(50 + basket, basket, events);
    for (size_t c = 0; c < 2; c++) {
      for (size_t s = 0; s < 3; s++) {
        wn_model *whole = fit_events(classes[c], events, n, settings[c][s]);
        for (size_t part = 0; part < 4; part++) {
          size_t cut = n * part / 4;
          served half = serve(classes[c], events, cut, settings[c][s]);
          learn(half.model, events + cut, n - cut);
          wn_ridge_live_settle(live_of(half.model));
          check_same(half.model, whole, 2e-5f);
          served_clear(&half);
        }
        whole->cls->free(whole);
      }
    }
  }
}

static double distance(const wn_model *got, const wn_model *want) {
  float a[ITEMS], b[ITEMS];
  double sum = 0;
  for (uint32_t i = 0; i < ITEMS; i++) {
    row_of(got, i, a, ITEMS);
    row_of(want, i, b, ITEMS);
    for (uint32_t j = 0; j < ITEMS; j++) sum += fabs((double)(fmaxf(a[j], 0) - fmaxf(b[j], 0)));
  }
  return sum;
}

/* With enough effort nothing waits: close to the fit of everything without being settled. */
static void test_keeps_up(void **state) {
  (void)state;
  static wn_event events[STREAM];
  size_t n = random_stream(60, 1, events);
  for (size_t c = 0; c < 2; c++) {
    wn_model *whole = fit_events(classes[c], events, n, "lambda=2");
    served half = serve(classes[c], events, n / 2, "lambda=2 effort=1e9 refresh=.05");
    double stale = distance(half.model, whole);
    learn(half.model, events + n / 2, n - n / 2);
    assert_int_equal(wn_ridge_live_waiting(live_of(half.model)), 0);
    assert_true(distance(half.model, whole) < .25 * stale);
    served_clear(&half);
    whole->cls->free(whole);
  }
}

/* Of each user of a group the item that comes at the end, among the ten best. */
static double recall_of(const wn_model *model, const wn_event *events, size_t n,
                        const uint32_t *last, uint32_t users, uint32_t items) {
  double hits = 0;
  for (uint32_t u = 0; u < users; u++) {
    wn_history_entry history[32];
    wn_scored list[10];
    wn_bitset allowed;
    size_t len = 0, count = 0;
    assert_true(wn_bitset_init(&allowed, items));
    wn_bitset_fill(&allowed, true);
    for (size_t i = n; i-- > 0;) {
      if (events[i].user != u) continue;
      history[len++] = (wn_history_entry){events[i].item, 1, events[i].time_ms};
      wn_bitset_unset(&allowed, events[i].item);
    }
    wn_query query = {
        .history = history, .history_len = len, .user = u, .anchor = WN_NO_IX, .allowed = &allowed};
    assert_ok(model->cls->candidates(model, &query, 10, list, &count, err));
    for (size_t r = 0; r < count; r++) hits += list[r].ix == last[u];
    wn_bitset_clear(&allowed);
  }
  return hits / users;
}

/* Users of eight groups with a taste for an eighth of the items each. Learning half of the log on
 * top of the other half finds what a fit of all finds, within .02 of its recall, and more than the
 * half alone by .05. */
static void test_quality(void **state) {
  (void)state;
  enum { PEOPLE = 600, THINGS = 160, EACH = 12 };
  static wn_event events[PEOPLE * EACH];
  static uint32_t last[PEOPLE];
  static bool met[PEOPLE][THINGS];
  wn_rng rng;
  wn_rng_seed(&rng, 31);
  size_t n = 0;
  for (uint32_t k = 0; k <= EACH; k++) {
    for (uint32_t u = 0; u < PEOPLE; u++) {
      bool own = k == EACH || wn_rng_double(&rng) < .7;
      uint32_t item;
      do {
        double x = wn_rng_double(&rng);
        item = own ? u % 8 + 8 * (uint32_t)(x * x * THINGS / 8) : (uint32_t)(x * THINGS);
      } while (met[u][item]);
      met[u][item] = true;
      if (k == EACH) {
        last[u] = item;
      } else {
        events[n++] = event_of(u, item, 1000 + k * FAR);
      }
    }
  }
  for (size_t c = 0; c < 2; c++) {
    wn_model *whole = fit_events(classes[c], events, n, "lambda=5 k=40");
    served half = serve(classes[c], events, n / 2, "lambda=5 k=40 effort=32768");
    double all = recall_of(whole, events, n, last, PEOPLE, THINGS);
    double stale = recall_of(half.model, events, n, last, PEOPLE, THINGS);
    learn(half.model, events + n / 2, n - n / 2);
    double learnt = recall_of(half.model, events, n, last, PEOPLE, THINGS);
    if (!(learnt > all - .02 && learnt > stale + .05))
      fail_msg("recall %g, %g without learning, %g fitted", learnt, stale, all);
    served_clear(&half);
    whole->cls->free(whole);
  }
}

/* Events out of order and pairs that come again end where a fit ends. */
static void test_order_and_repeats(void **state) {
  (void)state;
  static wn_event events[STREAM * 2];
  wn_rng rng;
  wn_rng_seed(&rng, 8);
  size_t n = random_stream(61, 1, events);
  for (size_t i = 0; i < n; i++) {
    size_t other = wn_rng_below(&rng, n);
    wn_event e = events[i];
    events[i] = events[other];
    events[other] = e;
  }
  for (size_t i = 0; i < n / 4; i++) {
    events[n + i] = events[wn_rng_below(&rng, n)];
    events[n + i].time_ms += (int64_t)wn_rng_below(&rng, 100) * FAR;
  }
  n += n / 4;
  static wn_event sorted[STREAM * 2];
  memcpy(sorted, events, sizeof sorted);
  for (size_t i = 1; i < n; i++) {
    for (size_t k = i; k > 0 && sorted[k - 1].time_ms > sorted[k].time_ms; k--) {
      wn_event e = sorted[k];
      sorted[k] = sorted[k - 1];
      sorted[k - 1] = e;
    }
  }
  for (size_t c = 0; c < 2; c++) {
    const char *params = c == 0 ? "power=0 lambda=2" : "power=0 lambda=2 hours=50";
    wn_model *whole = fit_events(classes[c], sorted, n, params);
    served half = serve(classes[c], events, 0, params);
    learn(half.model, events, n);
    wn_ridge_live_settle(live_of(half.model));
    check_same(half.model, whole, 2e-5f);
    served_clear(&half);
    whole->cls->free(whole);
  }
}

/* Weights of a pair add up, and a pair that is taken back leaves nothing. */
static void test_weights(void **state) {
  (void)state;
  static wn_event events[STREAM];
  size_t n = random_stream(62, 1, events);
  uint32_t user[2], users = 0;
  for (uint32_t u = 0; u < USERS && users < 2; u++) {
    bool met = false;
    for (size_t i = 0; i < n; i++) met |= events[i].user == u && events[i].item == 7;
    if (!met) user[users++] = u;
  }
  for (size_t c = 0; c < 2; c++) {
    served a = serve(classes[c], events, n, "lambda=2"),
           b = serve(classes[c], events, n, "lambda=2");
    wn_event first = event_of(user[0], 7, 2000 * (int64_t)FAR),
             second = event_of(user[1], 7, first.time_ms + 1);
    const float parts[] = {2, 1, .5f, -3.5f};
    for (size_t i = 0; i < 4; i++) a.model->cls->update(a.model, &second, parts[i]);
    for (size_t i = 0; i < 2; i++) a.model->cls->update(a.model, &first, 1.5f);
    b.model->cls->update(b.model, &first, 3);
    wn_ridge_row row = wn_ridge_row_of(&live_of(a.model)->rows, second.user);
    assert_int_equal(wn_ridge_place(&row, 7), row.len);
    wn_ridge_live_settle(live_of(a.model));
    wn_event other = second;
    b.model->cls->update(b.model, &other, 1);
    b.model->cls->update(b.model, &other, -1);
    wn_ridge_live_settle(live_of(b.model));
    check_same(a.model, b.model, 1e-5f);
    served_clear(&a);
    served_clear(&b);
  }
}

/* The same log gives the same bits, whoever asks in between. */
static void test_replay(void **state) {
  (void)state;
  static wn_event events[STREAM];
  size_t n = random_stream(63, 1, events);
  float x[ITEMS], y[ITEMS];
  for (size_t c = 0; c < 2; c++) {
    served a = serve(classes[c], events, n / 2, "effort=3000"),
           b = serve(classes[c], events, n / 2, "effort=3000");
    learn(a.model, events + n / 2, n - n / 2);
    for (size_t i = n / 2; i < n; i++) {
      learn(b.model, events + i, 1);
      row_of(b.model, (uint32_t)(i % ITEMS), y, ITEMS);
    }
    assert_true(live_of(a.model)->solves > 10);
    assert_true(wn_ridge_live_waiting(live_of(a.model)) > 0); /* behind */
    for (uint32_t i = 0; i < ITEMS; i++) {
      row_of(a.model, i, x, ITEMS);
      row_of(b.model, i, y, ITEMS);
      assert_memory_equal(x, y, sizeof x);
    }
    served_clear(&a);
    served_clear(&b);
  }
}

/* A new item goes first: with effort for its solve it has a row at once, however much waits;
 * without effort nothing changes. */
static void test_new_item(void **state) {
  (void)state;
  static wn_event events[STREAM];
  size_t n = random_stream(64, 1, events);
  float scores[ITEMS + 5], before[ITEMS];
  for (size_t c = 0; c < 2; c++) {
    served s = serve(classes[c], events, n - 100, "lambda=2 effort=32768");
    uint32_t user = events[0].user;
    wn_history_entry history = {events[n - 101].item, 1, 1};
    learn(s.model, events + n - 100, 100);
    wn_event e = event_of(events[n - 101].user, ITEMS + 3, 3000 * (int64_t)FAR);
    learn(s.model, &e, 1);
    wn_query query = {.history = &history, .history_len = 1, .anchor = WN_NO_IX, .user = user};
    assert_ok(s.model->cls->score_all(s.model, &query, scores, ITEMS + 5, err));
    assert_true(scores[ITEMS + 3] > 0 && scores[ITEMS + 4] == -INFINITY);
    served_clear(&s);
    s = serve(classes[c], events, n - 100, "effort=0");
    row_of(s.model, 1, before, ITEMS);
    learn(s.model, events + n - 100, 100);
    row_of(s.model, 1, scores, ITEMS);
    assert_memory_equal(before, scores, sizeof before);
    served_clear(&s);
  }
}

/* No single event costs more than its effort and one indivisible step. */
static void test_bounded(void **state) {
  (void)state;
  static wn_event events[STREAM * 3];
  size_t n = random_stream(65, 3, events);
  for (size_t c = 0; c < 2; c++) {
    served s = serve(classes[c], events, n / 2, "effort=2000 refresh=0");
    for (size_t i = n / 2; i < n; i++) {
      learn(s.model, events + i, 1);
      const wn_ridge_live *v = live_of(s.model);
      assert_true(v->credit > -20000 && v->credit <= 2000);
      for (size_t q = 0; q < WN_RIDGE_QUEUES; q++) assert_true(v->queue[q].len <= v->rows.items);
    }
    served_clear(&s);
  }
}

/* A user who is forgotten leaves what the others give. */
/* Beyond its bound it learns nothing more, but forgets all the same. */
static void test_full(void **state) {
  (void)state;
  wn_event events[STREAM];
  size_t n = random_stream(31, 1, events);
  served s = serve(classes[0], events, n / 2, "lambda=2");
  s.model->cls->bound(s.model, NULL, 1);
  learn(s.model, events + n / 2, n - n / 2);
  size_t bytes = s.model->cls->bytes(s.model);
  float before[ITEMS], after[ITEMS];
  served as_fitted = serve(classes[0], events, n / 2, "lambda=2");
  for (uint32_t i = 0; i < ITEMS; i++) {
    row_of(s.model, i, before, ITEMS);
    row_of(as_fitted.model, i, after, ITEMS);
    assert_memory_equal(before, after, sizeof before);
  }
  learn(s.model, events, n / 2);
  assert_int_equal(s.model->cls->bytes(s.model), bytes);
  uint32_t user = events[0].user;
  assert_true(wn_ridge_row_of(&live_of(s.model)->rows, user).len > 0);
  s.model->cls->forget(s.model, user);
  assert_int_equal(wn_ridge_row_of(&live_of(s.model)->rows, user).len, 0);
  /* With room it would have learned. */
  learn(as_fitted.model, events + n / 2, n - n / 2);
  assert_true(as_fitted.model->cls->bytes(as_fitted.model) > bytes);
  served_clear(&as_fitted);
  served_clear(&s);
}

static void test_forget(void **state) {
  (void)state;
  static wn_event events[STREAM], others[STREAM];
  size_t n = random_stream(66, 1, events), m = 0;
  for (size_t i = 0; i < n; i++)
    if (events[i].user != 5 && events[i].user != 6) others[m++] = events[i];
  for (size_t c = 0; c < 2; c++) {
    wn_model *whole = fit_events(classes[c], others, m, "lambda=2");
    for (size_t part = 0; part < 3; part++) {
      size_t cut = n * part / 2;
      served s = serve(classes[c], events, cut, "lambda=2");
      learn(s.model, events + cut, n - cut);
      for (uint32_t u = 5; u < 7; u++) s.model->cls->forget(s.model, u);
      s.model->cls->forget(s.model, 5);
      s.model->cls->forget(s.model, 100000);
      wn_ridge_live_settle(live_of(s.model));
      check_same(s.model, whole, 2e-5f);
      served_clear(&s);
    }
    whole->cls->free(whole);
  }
}

/* Each allocation of an update may fail: it loses what it was to add, and nothing else. */
static void test_memory(void **state) {
  (void)state;
  static wn_event events[STREAM];
  size_t n = random_stream(67, 1, events);
  for (size_t c = 0; c < 2; c++) {
    for (long fail = 0; fail < 60; fail++) {
      served s = serve(classes[c], events, n / 2, "effort=1e6 refresh=0");
      for (size_t i = 0; i < 12; i++) {
        wn_mem_fail_after(fail % 12 + (long)i * (fail / 12));
        learn(s.model, events + n / 2 + i * 3, 3);
        if (i == 6) s.model->cls->forget(s.model, events[n / 2].user);
      }
      wn_mem_fail_after(-1);
      wn_query query = {.anchor = 1, .user = WN_NO_IX};
      assert_twins(s.model, &query, ITEMS);
      if (live_of(s.model) != NULL) wn_ridge_live_settle(live_of(s.model));
      served_clear(&s);
    }
  }
}

/* Odd events do no harm. */
static void test_odd(void **state) {
  (void)state;
  const float weights[] = {0, NAN, INFINITY, -INFINITY, -1, 3e38f, 1e-45f, 3e38f};
  for (size_t c = 0; c < 2; c++) {
    served s = serve(classes[c], NULL, 0, "");
    for (size_t i = 0; i < 64; i++) {
      wn_event e = event_of((uint32_t)(i % 3), (uint32_t)(i % 5), i % 2 ? INT64_MAX : INT64_MIN);
      s.model->cls->update(s.model, &e, weights[i % 8]);
    }
    wn_event none = event_of(WN_NO_IX, 1, 1);
    learn(s.model, &none, 1);
    none = event_of(1, WN_NO_IX, 1);
    learn(s.model, &none, 1);
    wn_query query = {.anchor = 1, .user = WN_NO_IX};
    assert_twins(s.model, &query, 5);
    served_clear(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equals_fit), cmocka_unit_test(test_keeps_up),
      cmocka_unit_test(test_quality),    cmocka_unit_test(test_order_and_repeats),
      cmocka_unit_test(test_weights),    cmocka_unit_test(test_replay),
      cmocka_unit_test(test_new_item),   cmocka_unit_test(test_bounded),
      cmocka_unit_test(test_forget),     cmocka_unit_test(test_memory),
      cmocka_unit_test(test_odd),        cmocka_unit_test(test_full),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
