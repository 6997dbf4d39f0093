/* Co-occurrence learnt event by event. */
#include "fitting.h"
#include "model/covisit.h"

#define USERS  60u
#define ITEMS  50u
#define STREAM 900u
#define FAR    1000u /* time between two events */

static wn_signals signals;

static int setup(void **state) {
  (void)state;
  static const float weights[] = {1, 2.5f, -1, 4, 0};
  for (size_t t = 0; t < sizeof weights / sizeof *weights; t++) {
    char name[8];
    int n = snprintf(name, sizeof name, "t%zu", t);
    uint32_t at = wn_signals_add(&signals, (wn_str){name, (size_t)n});
    signals.data[at].weight = weights[t];
  }
  return 0;
}

static float weight_of(const wn_event *e) {
  return wn_signal_weight(&signals, e->type, (double)NAN, e->time_ms, e->time_ms);
}

static wn_event event_of(uint32_t user, uint32_t item, uint32_t type, int64_t time_ms) {
  return (wn_event){.user = user, .item = item, .type = type, .value = NAN, .time_ms = time_ms};
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
      uint32_t item = (uint32_t)(x * x * ITEMS), type = (uint32_t)wn_rng_below(&rng, 4);
      if (!met[user][item]) out[n++] = event_of(user, item, type, 1000 + (int64_t)(k * FAR));
      met[user][item] = true;
    }
  }
  for (size_t i = 0; i < n; i++) out[i].seq = i + 1;
  return n;
}

static void learn(wn_model *model, const wn_event *events, size_t n) {
  for (size_t i = 0; i < n; i++) model->cls->update(model, &events[i], weight_of(&events[i]));
}

static void dataset(const wn_event *events, size_t n, uint32_t items, wn_dataset *out) {
  assert_ok(wn_dataset_build_events((wn_event_list){events, n}, &signals, 0, items, out, err));
}

static wn_model *fit_events(const wn_event *events, size_t n, const char *params) {
  wn_dataset data;
  dataset(events, n, 0, &data);
  wn_model *model = fit(&wn_model_covisit, &data, params);
  wn_dataset_clear(&data);
  return model;
}

/* A model as a server has it: fitted, saved with its users' histories, mapped. */
typedef struct served {
  wn_snapshot *snapshot;
  wn_model *model;
} served;

static served serve(const wn_event *events, size_t n, const char *params) {
  char path[128];
  wn_dataset data;
  served s;
  wn_snapshot_writer *writer = NULL;
  dataset(events, n, 0, &data);
  wn_model *model = fit(&wn_model_covisit, &data, params);
  assert_ok(wn_snapshot_writer_create(scratch_path("live.wns", path, sizeof path), &writer, err));
  assert_ok(model->cls->save(model, writer, err));
  assert_ok(
      wn_history_write((wn_event_list){events, n}, &signals, data.users, data.now_ms, writer, err));
  wn_snapshot_about about = {.number = 1, .users = data.users, .items = data.items};
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
  model->cls->free(model);
  wn_dataset_clear(&data);
  s.model = map_from(&wn_model_covisit, path, &s.snapshot);
  unlink(path);
  return s;
}

static void served_clear(served *s) {
  s->model->cls->free(s->model);
  wn_snapshot_unref(s->snapshot);
}

/* What item i's row says. */
static void row_of(const wn_model *model, uint32_t i, float *scores, uint32_t items) {
  wn_query query = {.anchor = i, .user = WN_NO_IX};
  assert_ok(model->cls->score_all(model, &query, scores, items, err));
}

static bool about_equal(float x, float y) {
  if (x == y) return true;
  return fabsf(x - y) <= 1e-4f * fmaxf(fabsf(x), fabsf(y));
}

static void check_same(const wn_model *got, const wn_model *want) {
  float a[ITEMS], b[ITEMS];
  size_t pairs = 0;
  for (uint32_t i = 0; i < ITEMS; i++) {
    row_of(got, i, a, ITEMS);
    row_of(want, i, b, ITEMS);
    for (uint32_t j = 0; j < ITEMS; j++) {
      if (!about_equal(a[j], b[j]))
        fail_msg("S[%u][%u] is %g, fitted %g", i, j, (double)a[j], (double)b[j]);
      pairs += b[j] > 0;
    }
  }
  assert_true(pairs > 3);
}

static const char *const settings[] = {
    "", "rho=0 a=1 b=0", "window=3 tau=2 rho=1", "tau=1000 window=100",
    /* 35 half-lives from the first event to the last */
    "half_life_days=0.0003", "half_life_days=0.0003 rho=1", "cross=0.3 lift=2"};

/* What a history of three items of these types is answered with. */
static void check_same_personal(const wn_model *got, const wn_model *want) {
  for (uint32_t i = 0; i + 3 < ITEMS; i++) {
    wn_history_entry history[3] = {{i, 1, 90}, {i + 1, 2, 80}, {i + 2, 1, 70}};
    const uint8_t types[] = {(uint8_t)(signals.len - 5), (uint8_t)(signals.len - 4),
                             (uint8_t)(signals.len - 2)};
    wn_query query = {.history = history,
                      .history_type = types,
                      .history_len = 3,
                      .user = WN_NO_IX,
                      .anchor = WN_NO_IX};
    float a[ITEMS], b[ITEMS];
    assert_ok(got->cls->score_all(got, &query, a, ITEMS, err));
    assert_ok(want->cls->score_all(want, &query, b, ITEMS, err));
    for (uint32_t j = 0; j < ITEMS; j++) assert_true(about_equal(a[j], b[j]));
  }
}

/* From nothing, and from a snapshot of any part: the same as a fit of everything. */
static void check_equals_fit(void) {
  static wn_event events[STREAM * 3];
  for (uint32_t basket = 1; basket <= 3; basket++) {
    size_t n = random_stream(50 + basket, basket, events);
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
      wn_model *whole = fit_events(events, n, settings[s]);
      wn_model *live = fit_events(NULL, 0, settings[s]);
      learn(live, events, n);
      check_same(live, whole);
      live->cls->free(live);
      for (size_t part = 1; part < 4; part++) {
        size_t cut = n * part / 4;
        served half = serve(events, cut, settings[s]);
        learn(half.model, events + cut, n - cut);
        check_same(half.model, whole);
        check_same_personal(half.model, whole);
        served_clear(&half);
      }
      whole->cls->free(whole);
    }
  }
}

static void test_equals_fit(void **state) {
  (void)state;
  check_equals_fit();
}

/* Also where each pair of levels has sums of its own. */
static void test_levels(void **state) {
  (void)state;
  for (uint16_t most = 1; most <= WN_SIGNAL_LEVEL_MAX; most += 2) {
    signals.data[signals.len - 4].level = 1;
    signals.data[signals.len - 2].level = most;
    check_equals_fit();
  }
  signals.data[signals.len - 4].level = signals.data[signals.len - 2].level = 0;
}

/* Clocks that run ahead by years and come back: the rows that met them hold, all others go on, and
 * a fit over the same events says the same. */
static void test_jumping_clock(void **state) {
  (void)state;
  static wn_event events[STREAM];
  static const int64_t jumps[] = {(int64_t)1 << 30, (int64_t)1 << 40, INT64_MAX / 4,
                                  -((int64_t)1 << 50)};
  for (size_t j = 0; j < sizeof jumps / sizeof *jumps; j++) {
    size_t n = random_stream(70 + j, 1, events);
    for (size_t i = 100; i < 103; i++) events[i].time_ms += jumps[j];
    wn_model *whole = fit_events(events, n, "half_life_days=0.001");
    wn_model *live = fit_events(NULL, 0, "half_life_days=0.001");
    learn(live, events, n);
    check_same(live, whole);
    served half = serve(events, n / 2, "half_life_days=0.001");
    learn(half.model, events + n / 2, n - n / 2);
    check_same(half.model, whole);
    uint32_t full = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
      float scores[ITEMS];
      uint32_t more = 0;
      row_of(live, i, scores, ITEMS);
      for (uint32_t k = 0; k < ITEMS; k++) {
        assert_true(scores[k] == -INFINITY || (scores[k] > 0 && isfinite(scores[k])));
        more += scores[k] > 0;
      }
      full += more > 2;
    }
    assert_true(full > ITEMS / 4);
    served_clear(&half);
    live->cls->free(live);
    whole->cls->free(whole);
  }
}

/* Items that come again, late, in baskets, that are taken back. */
static void test_repeated(void **state) {
  (void)state;
  static const struct {
    uint32_t item, type;
    int64_t time_ms;
  } rows[][8] = {
      {{1, 0, 1}, {2, 0, 2}, {2, 1, 3}, {3, 0, 4}, {3, 3, 4}, {4, 0, 5}, {4, 0, 6}, {4, 0, 7}},
      {{1, 0, 1}, {2, 0, 2}, {3, 0, 3}, {1, 0, 4}, {2, 3, 5}, {3, 0, 6}, {1, 0, 7}, {4, 0, 8}},
      {{1, 0, 5}, {2, 0, 5}, {3, 0, 5}, {1, 0, 6}, {2, 0, 7}, {3, 0, 7}, {3, 1, 8}, {4, 0, 8}},
      {{4, 0, 9}, {3, 0, 8}, {2, 0, 7}, {1, 0, 6}, {5, 0, 5}, {5, 0, 4}, {6, 0, 4}, {7, 0, 3}},
      {{1, 3, 1}, {2, 3, 2}, {1, 2, 3}, {2, 2, 4}, {1, 2, 5}, {2, 0, 6}, {3, 0, 7}, {9, 2, 8}},
      {{1, 2, 1}, {2, 0, 2}, {1, 0, 3}, {1, 0, 4}, {3, 0, 5}, {1, 4, 6}, {1, 4, 6}, {8, 0, 7}},
  };
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    wn_event events[8];
    for (size_t k = 0; k < 8; k++) {
      events[k] = event_of(7, rows[r][k].item, rows[r][k].type, rows[r][k].time_ms);
      events[k].seq = k + 1;
    }
    /* What weighs nothing moves nothing here, but it is an item's last event for a fit. */
    size_t n = 8, kept = 0;
    wn_event said[8];
    for (size_t k = 0; k < n; k++)
      if (weight_of(&events[k]) != 0) said[kept++] = events[k];
    wn_model *whole = fit_events(said, kept, "power=.7");
    for (size_t cut = 0; cut < n; cut++) {
      served part = serve(said, cut < kept ? cut : kept, "power=.7");
      learn(part.model, events + cut, cut < kept && kept == n ? n - cut : 0);
      if (kept == n) check_same(part.model, whole);
      served_clear(&part);
    }
    wn_model *live = fit_events(NULL, 0, "power=.7");
    learn(live, events, n);
    check_same(live, whole);
    live->cls->free(live);
    whole->cls->free(whole);
  }
}

/* A history of one item: what wn_covisit_alone says is what the model does, to the bit. */
static void check_alone(const wn_model *model, uint32_t item, bool *answered) {
  wn_scored all[ITEMS], alone[ITEMS];
  wn_history_entry entry = {.item = item, .weight = 2.5f, .time_ms = 1};
  wn_query query = {.anchor = WN_NO_IX, .user = WN_NO_IX, .history = &entry, .history_len = 1};
  size_t count = 0, len = 0, found = 0;
  assert_ok(model->cls->candidates(model, &query, ITEMS, all, &count, err));
  if (!wn_covisit_alone((const wn_covisit *)model, &query, ITEMS, alone, &len)) return;
  *answered = true;
  assert_int_equal(len, count);
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < len; k++)
      found += all[i].ix == alone[k].ix && all[i].score == alone[k].score;
  assert_int_equal(found, count);
  assert_false(count > 1 && wn_covisit_alone((const wn_covisit *)model, &query, 1, alone, &len));
}

/* Any stream, long enough for rounding to add up: every entry within 1%, the sum within 0.1%. */
static void test_any_stream(void **state) {
  (void)state;
  enum { N = 4000 };
  static wn_event events[N];
  float a[ITEMS], b[ITEMS];
  double got = 0, want = 0;
  wn_rng rng;
  wn_rng_seed(&rng, 61);
  for (uint32_t k = 0; k < N; k++) {
    uint32_t item = (uint32_t)wn_rng_below(&rng, ITEMS), user = (uint32_t)wn_rng_below(&rng, USERS);
    int64_t late = wn_rng_below(&rng, 8) == 0 ? (int64_t)wn_rng_below(&rng, 400) : 0;
    events[k] = event_of(user, item, (uint32_t)wn_rng_below(&rng, 4), 1000 + (k / 2) - late);
    events[k].seq = k + 1;
  }
  wn_model *whole = fit_events(events, N, ""), *live = fit_events(NULL, 0, "");
  wn_model *again = fit_events(NULL, 0, "");
  learn(live, events, N);
  learn(again, events, N);
  for (uint32_t i = 0; i < ITEMS; i++) {
    row_of(live, i, a, ITEMS);
    row_of(again, i, b, ITEMS);
    assert_memory_equal(a, b, sizeof a);
    row_of(whole, i, b, ITEMS);
    for (uint32_t j = 0; j < ITEMS; j++) {
      float x = fmaxf(a[j], 0), y = fmaxf(b[j], 0);
      if (fabsf(x - y) > 0.01f * y + 1e-4f)
        fail_msg("S[%u][%u] is %g, fitted %g", i, j, (double)x, (double)y);
      got += (double)x;
      want += (double)y;
    }
  }
  assert_true(fabs(got - want) < 1e-3 * want);
  bool answered = false;
  for (uint32_t i = 0; i < ITEMS; i++) check_alone(live, i, &answered);
  for (uint32_t i = 0; i < ITEMS; i++) check_alone(whole, i, &answered);
  assert_true(answered);
  live->cls->free(live);
  again->cls->free(again);
  whole->cls->free(whole);
}

/* Rows that overflow stay bounded, and keep what is really frequent. */
static void test_full_rows(void **state) {
  (void)state;
  enum { N = 30000, MANY = 3000, OFTEN = 40 };
  wn_model *live = fit_events(NULL, 0, "neighbours=50 a=0 b=0 rho=0 power=1");
  wn_rng rng;
  wn_rng_seed(&rng, 62);
  for (uint32_t u = 0; u < N; u++) { /* 0 is followed by anything, by 1 … 3 one time in ten */
    uint32_t item = OFTEN + (uint32_t)wn_rng_below(&rng, MANY - OFTEN);
    if (u % 10 == 0) item = 1 + u / 10 % 3;
    wn_event first = event_of(u, 0, 0, 1), second = event_of(u, item, 0, 2);
    learn(live, &first, 1);
    learn(live, &second, 1);
  }
  wn_query query = {.anchor = 0, .user = WN_NO_IX};
  wn_scored top[200];
  size_t count = 0;
  assert_ok(live->cls->candidates(live, &query, 200, top, &count, err));
  assert_in_range(count, 50, 96);
  for (size_t k = 0; k < 3; k++) {
    assert_in_range(top[k].ix, 1, 3);
    assert_true(top[k].score <= N / 30 && top[k].score > N / 30 - 20);
  }
  assert_true(wn_covisit_live_bytes(live) <
              MANY * (16 * 2 + 24 * 2) + 128 * 12 + N * (4 * 24 + 2 * 16 + 4 * 17));
  live->cls->free(live);
}

/* Users' newest items in memory or in a file: the same rows to the bit. */
static void test_away(void **state) {
  (void)state;
  enum { MANY = 200, THINGS = 60 };
  wn_event events[2000];
  wn_rng rng;
  wn_rng_seed(&rng, 77);
  for (int64_t k = 0; k < 2000; k++)
    events[k] = event_of((uint32_t)wn_rng_below(&rng, MANY), (uint32_t)wn_rng_below(&rng, THINGS),
                         0, 1 + k / 2);
  served all = serve(events, 700, ""), few = serve(events, 700, "");
  wn_shelf_stats stats;
  few.model->cls->bound(few.model, "/tmp", 8000);
  for (size_t k = 700; k < 2000; k++) {
    learn(all.model, &events[k], 1);
    learn(few.model, &events[k], 1);
    if (k % 200 != 0) continue;
    all.model->cls->forget(all.model, events[k - 1].user);
    few.model->cls->forget(few.model, events[k - 1].user);
  }
  few.model->cls->shelf(few.model, &stats);
  assert_true(stats.away > MANY / 2 && stats.brought_back > 100 && stats.failures == 0);
  for (uint32_t i = 0; i < THINGS; i++) {
    float want[THINGS], got[THINGS];
    wn_query query = {.anchor = i, .user = WN_NO_IX};
    assert_ok(all.model->cls->score_all(all.model, &query, want, THINGS, err));
    assert_ok(few.model->cls->score_all(few.model, &query, got, THINGS, err));
    assert_memory_equal(got, want, sizeof got);
  }
  served_clear(&all);
  served_clear(&few);
}

/* 10⁵ events of one user: one by one, in one basket, the same item again and again. */
static void test_long_history(void **state) {
  (void)state;
  enum { MANY = 100000 };
  for (uint32_t kind = 0; kind < 3; kind++) {
    wn_model *live = fit_events(NULL, 0, "neighbours=20");
    for (uint32_t k = 0; k < MANY; k++) {
      wn_event e = event_of(3, kind == 2 ? k % 2 : k, 0, kind == 1 ? 1 : k);
      learn(live, &e, 1);
    }
    wn_query query = {.anchor = kind == 2 ? 1 : MANY - 1, .user = WN_NO_IX};
    wn_scored top[4];
    size_t count = 0;
    assert_ok(live->cls->candidates(live, &query, 4, top, &count, err));
    assert_int_equal(count, kind == 2 ? 1 : 4);
    assert_true(wn_covisit_live_bytes(live) < (size_t)MANY * (2 * 16 + 2 * 24 + 64 * 12) + 10000);
    live->cls->free(live);
  }
}

/* Items and users that training did not meet count at once, in every kind of answer. */
static void test_at_once(void **state) {
  (void)state;
  enum { MORE = 60000 }; /* past the snapshot's items; sums go through the hash table, too */
  static wn_event events[STREAM];
  float scores[ITEMS];
  size_t n = random_stream(63, 1, events);
  served s = serve(events, n, "");
  row_of(s.model, 5, scores, ITEMS);
  const wn_event news[] = {event_of(900, 5, 0, 1000), event_of(900, MORE - 1, 0, 2000),
                           event_of(901, MORE - 1, 0, 1000), event_of(901, 7, 0, 2000)};
  learn(s.model, news, 4);
  wn_query query = {.anchor = MORE - 1, .user = WN_NO_IX};
  wn_scored top[4];
  size_t count = 0;
  assert_ok(s.model->cls->candidates(s.model, &query, 4, top, &count, err));
  assert_int_equal(count, 2); /* 7 follows, 5 comes before */
  assert_int_equal(top[0].ix, 7);
  assert_int_equal(top[1].ix, 5);
  assert_twins(s.model, &query, MORE);
  wn_history_entry history[2] = {{5, 1, 90}, {MORE - 1, 1, 80}};
  query = (wn_query){.history = history, .history_len = 2, .user = WN_NO_IX, .anchor = WN_NO_IX};
  assert_twins(s.model, &query, MORE);
  float scores_of_few[ITEMS]; /* a caller that knows fewer items */
  assert_ok(s.model->cls->score_all(s.model, &query, scores_of_few, ITEMS, err));
  served_clear(&s);
}

/* What changes nothing. */
static void test_ignored(void **state) {
  (void)state;
  wn_model *live = fit_events(NULL, 0, "");
  size_t bytes = wn_covisit_live_bytes(live);
  wn_event e = event_of(1, 5, 0, 10);
  live->cls->update(live, &e, 0);
  live->cls->update(live, &e, NAN);
  live->cls->update(live, &e, INFINITY);
  e.user = WN_NO_IX;
  live->cls->update(live, &e, 1);
  e = event_of(1, WN_NO_IX, 0, 10);
  live->cls->update(live, &e, 1);
  assert_int_equal(wn_covisit_live_bytes(live), bytes);
  live->cls->free(live);
}

/* A deleted user comes back with nothing: neither the snapshot's items nor later ones pair. */
static void test_forget(void **state) {
  (void)state;
  static wn_event events[STREAM];
  size_t n = random_stream(64, 1, events), count = 0;
  served s = serve(events, n, "");
  wn_event before = event_of(4, ITEMS, 0, 1 << 28), after = event_of(4, ITEMS + 1, 0, 1 << 29);
  wn_event base = event_of(5, ITEMS + 2, 0, 1 << 29);
  wn_scored top[4];
  learn(s.model, &before, 1);
  s.model->cls->forget(s.model, 4);
  s.model->cls->forget(s.model, 5);
  s.model->cls->forget(s.model, 999);
  learn(s.model, &after, 1);
  learn(s.model, &base, 1);
  for (uint32_t i = 1; i <= 2; i++) {
    wn_query query = {.anchor = ITEMS + i, .user = WN_NO_IX};
    assert_ok(s.model->cls->candidates(s.model, &query, 4, top, &count, err));
    assert_int_equal(count, 0);
  }
  served_clear(&s);
  s = serve(events, n, ""); /* forgetting without memory forgets more, not less */
  wn_mem_fail_after(0);
  s.model->cls->forget(s.model, 5);
  wn_mem_fail_after(-1);
  learn(s.model, &base, 1);
  wn_query query = {.anchor = ITEMS + 2, .user = WN_NO_IX};
  assert_ok(s.model->cls->candidates(s.model, &query, 4, top, &count, err));
  assert_int_equal(count, 0);
  served_clear(&s);
}

/* Memory runs out at any place: the model answers and goes on learning. */
static void test_no_memory(void **state) {
  (void)state;
  static wn_event events[STREAM * 2];
  size_t n = random_stream(65, 2, events), half = n / 2;
  long allocations = 0;
  for (long fail = 0; fail <= allocations; fail += 1 + fail / 8) {
    served s = serve(events, half, "neighbours=4");
    wn_mem_fail_after(fail);
    learn(s.model, events + half, n - half);
    if (fail == 0) allocations = wn_mem_allocations();
    wn_mem_fail_after(-1);
    learn(s.model, events + half, n - half);
    wn_query query = {.anchor = 3, .user = WN_NO_IX};
    assert_twins(s.model, &query, ITEMS);
    served_clear(&s);
  }
  assert_true(allocations > 100);
}

/* A snapshot holds what was fitted, whatever was learnt since. */
static void test_save(void **state) {
  (void)state;
  static wn_event events[STREAM];
  size_t n = random_stream(66, 1, events);
  wn_model *model = fit_events(events, n / 2, ""), *plain = fit_events(events, n / 2, "");
  learn(model, events + n / 2, n - n / 2);
  assert_same_model(model, plain);
  model->cls->free(model);
  plain->cls->free(plain);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equals_fit),   cmocka_unit_test(test_jumping_clock),
      cmocka_unit_test(test_levels),       cmocka_unit_test(test_repeated),
      cmocka_unit_test(test_any_stream),   cmocka_unit_test(test_full_rows),
      cmocka_unit_test(test_long_history), cmocka_unit_test(test_at_once),
      cmocka_unit_test(test_ignored),      cmocka_unit_test(test_forget),
      cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_save),
      cmocka_unit_test(test_away),
  };
  return cmocka_run_group_tests(tests, setup, remove_scratch);
}
