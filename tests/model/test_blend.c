/* The blend: its lists against a naive sum over its members', its weights on data where one member
 * is right, and what happens when members are missing. */
#include "fitting.h"

#include "base/progress.h"
#include "model/blend.h"
#include "model/train.h"

#define USERS 120u
#define ITEMS 60u

static void dataset(wn_dataset *data) {
  static fact facts[USERS * 12];
  dataset_of(facts, random_facts(3, USERS, ITEMS, 12, facts), USERS, ITEMS, data);
}

/* Popular, co-visitation, als and ridge, with the blend over them. */
static void options_of(wn_train_options *o, int threads) {
  wn_train_options_defaults(o);
  for (size_t i = 0; i < o->models_len; i++)
    o->models[i].left_out = true, o->models[i].automatic = false;
  static const char *const sets[] = {"popular.half_life_days=30", "covisit.window=20",
                                     "als.factors=4", "ridge.k=8", "blend.depth=12"};
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    assert_ok(wn_train_options_set(o, sets[i], err));
  o->threads = threads;
}

static void train(const wn_dataset *data, int threads, wn_models *models) {
  wn_train_options o;
  options_of(&o, threads);
  assert_ok(wn_train(data, &o, NULL, models, err));
}

static void test_twins(void **state) {
  (void)state;
  wn_dataset data;
  wn_models models;
  wn_bitset allowed;
  dataset(&data);
  train(&data, 2, &models);
  const wn_model *blend = wn_models_find(&models, "blend");
  assert_true(wn_bitset_init(&allowed, ITEMS));
  for (uint32_t u = 0; u < USERS; u += 7) {
    wn_history_entry history[WN_HISTORY_MAX];
    wn_query query = {.history = history, .user = u, .anchor = WN_NO_IX, .now_ms = data.now_ms};
    query.history_len = history_of(&data, u, WN_HISTORY_MAX, history);
    assert_twins(blend, &query, ITEMS);
    for (uint32_t i = 0; i < ITEMS; i++)
      if (wn_mix64(u * 1000 + i) % 3 == 0) wn_bitset_set(&allowed, i);
    query.allowed = &allowed;
    assert_twins(blend, &query, ITEMS);
    wn_bitset_fill(&allowed, false);
    assert_twins(blend, &query, ITEMS);
    query.allowed = NULL;
    query.history_len = 0; /* popularity is still there */
    assert_twins(blend, &query, ITEMS);
    wn_scored out[3];
    size_t count;
    assert_ok(blend->cls->candidates(blend, &query, 3, out, &count, err));
    assert_int_equal(count, 3);
  }
  wn_bitset_clear(&allowed);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

/* Scores follow the formula in blend.c, with the weights that wn_blend_weight_of gives. */
static void test_formula(void **state) {
  (void)state;
  wn_dataset data;
  wn_models models;
  dataset(&data);
  train(&data, 2, &models);
  wn_history_entry history[WN_HISTORY_MAX];
  wn_query query = {.history = history, .user = 5, .anchor = WN_NO_IX, .now_ms = data.now_ms};
  query.history_len = history_of(&data, 5, WN_HISTORY_MAX, history);
  double want[ITEMS] = {0};
  for (size_t m = 0; m < models.len; m++) {
    wn_blend_weight w = {0};
    uint32_t depth = 0;
    bool known = wn_blend_weight_of(&models, models.data[m]->cls->name, &query, &w, &depth);
    assert_int_equal(known, models.data[m]->cls != &wn_model_blend);
    if (!known || !wn_blend_asks(&w)) continue;
    assert_int_equal(depth, 12);
    wn_scored list[12];
    size_t n = 0;
    assert_ok(models.data[m]->cls->candidates(models.data[m], &query, depth, list, &n, err));
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += (double)list[i].score / (double)n;
    for (size_t i = 0; i < n; i++) square += pow((double)list[i].score - mean, 2) / (double)n;
    double rise = n > 0 ? mean - (double)list[n - 1].score : 0;
    for (size_t i = 0; i < n; i++) {
      double over = rise > 0 ? ((double)list[i].score - (double)list[n - 1].score) / rise : 0;
      double z =
          square > 0 ? ((double)list[i].score - (double)list[n - 1].score) / sqrt(square) : 0;
      want[list[i].ix] += (double)w.score * z + (double)w.rank * 11 / (11 + (double)i) +
                          (double)w.log * log1p(over);
    }
  }
  float scores[ITEMS];
  const wn_model *blend = wn_models_find(&models, "blend");
  assert_ok(blend->cls->score_all(blend, &query, scores, ITEMS, err));
  for (uint32_t i = 0; i < ITEMS; i++)
    assert_true(want[i] > 0 ? fabs((double)scores[i] - want[i]) < 1e-4 * (1 + want[i])
                            : scores[i] == -INFINITY);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

/* Each user walks along the items: what comes next is the neighbour of the last, which no count of
 * popularity knows. */
static void walks(wn_dataset *data) {
  static fact facts[USERS * 8];
  size_t n = 0;
  for (uint32_t u = 0; u < USERS; u++)
    for (uint32_t k = 0; k < 8; k++)
      facts[n++] = (fact){u, (u * 7 + k) % ITEMS, 1, 1000 + (int64_t)k * 1000};
  dataset_of(facts, n, USERS, ITEMS, data);
}

static void test_weights_follow_what_is_right(void **state) {
  (void)state;
  wn_dataset data;
  wn_models models;
  walks(&data);
  train(&data, 2, &models);
  wn_blend_weight covisit, popular;
  uint32_t depth;
  assert_true(wn_blend_weight_of(&models, "covisit", &(wn_query){0}, &covisit, &depth));
  assert_true(wn_blend_weight_of(&models, "popular", &(wn_query){0}, &popular, &depth));
  assert_true(covisit.rank + covisit.score + covisit.log > 0.5f);
  assert_true(popular.score + popular.log == 0 && popular.rank > 0 && popular.rank < 0.01f);
  /* and the right item is first */
  const wn_model *blend = wn_models_find(&models, "blend");
  uint32_t right = 0;
  for (uint32_t u = 0; u < USERS; u++) {
    wn_history_entry history[8];
    wn_bitset allowed;
    assert_true(wn_bitset_init(&allowed, ITEMS));
    wn_bitset_fill(&allowed, true);
    wn_query query = {.history = history, .anchor = WN_NO_IX, .allowed = &allowed};
    query.history_len = history_of(&data, u, 8, history);
    for (size_t i = 0; i < query.history_len; i++) wn_bitset_unset(&allowed, history[i].item);
    wn_scored first;
    size_t count;
    assert_ok(blend->cls->candidates(blend, &query, 1, &first, &count, err));
    right += first.ix == (u * 7 + 8) % ITEMS;
    wn_bitset_clear(&allowed);
  }
  assert_true(right > USERS * 9 / 10);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

static wn_models reopened(const wn_models *models, bool without_covisit) {
  char path[128];
  wn_snapshot_writer *writer = NULL;
  wn_snapshot *snapshot = NULL;
  wn_models out;
  wn_snapshot_about about = {.number = 1};
  scratch_path("set.wns", path, sizeof path);
  assert_ok(wn_snapshot_writer_create(path, &writer, err));
  for (size_t i = 0; i < models->len; i++)
    if (!without_covisit || models->data[i]->cls != &wn_model_covisit)
      assert_ok(models->data[i]->cls->save(models->data[i], writer, err));
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
  assert_ok(wn_snapshot_open(path, &snapshot, err));
  assert_ok(wn_models_map(snapshot, &out, err));
  wn_snapshot_unref(snapshot);
  unlink(path);
  return out;
}

/* Sittings days apart, of four minutes each: one of the items that all take sooner or later, then a
 * walk that starts anywhere. */
static void sittings(wn_dataset *data) {
  static fact facts[USERS * 24];
  const int64_t minute = 60000, day = 1440 * minute;
  size_t n = 0;
  for (uint32_t u = 0; u < USERS; u++)
    for (uint32_t s = 0; s < 6; s++) {
      int64_t at = (s * 10 + u % 9) * day + u * minute;
      facts[n++] = (fact){u, (u + s) % 6, 1, at};
      for (uint32_t k = 0; k < 3; k++)
        facts[n++] = (fact){u, 6 + (u * 5 + s * 9 + k) % 54, 1, at + (1 + k) * minute};
    }
  dataset_of(facts, n, USERS, ITEMS, data);
}

static float weight_after(const wn_models *models, const char *name, int64_t gap_ms) {
  const wn_history_entry history[] = {{7, 1, 1000}};
  wn_query query = {.history = history, .history_len = 1, .now_ms = 1000 + gap_ms};
  wn_blend_weight w;
  uint32_t depth;
  assert_true(wn_blend_weight_of(models, name, &query, &w, &depth));
  return w.score + w.rank + w.log;
}

/* Within a sitting the neighbour is right; days later what is left of the user's items is. */
static void test_horizons(void **state) {
  (void)state;
  const int64_t minute = 60000, month = 30 * 1440 * minute;
  wn_dataset data;
  wn_models models;
  sittings(&data);
  train(&data, 2, &models);
  assert_true(weight_after(&models, "covisit", minute) > 0.9f);
  assert_true(weight_after(&models, "als", minute) < 0.5f);
  assert_true(weight_after(&models, "covisit", month) < 0.5f);
  assert_true(weight_after(&models, "als", month) + weight_after(&models, "ridge", month) > 0.9f);
  assert_true(weight_after(&models, "popular", minute) < 0.3f);
  wn_models mapped = reopened(&models, false);
  assert_true(weight_after(&mapped, "als", month) == weight_after(&models, "als", month));
  const wn_model *blend = wn_models_find(&mapped, "blend");
  for (int later = 0; later < 2; later++) {
    wn_history_entry history[24];
    wn_query query = {.history = history, .user = 3, .anchor = WN_NO_IX};
    query.history_len = history_of(&data, 3, 24, history);
    query.now_ms = history[0].time_ms + (later ? month : minute);
    assert_twins(blend, &query, ITEMS);
  }
  /* Who has no history has been away for ever. */
  wn_query stranger = {.anchor = WN_NO_IX};
  wn_blend_weight w;
  uint32_t depth;
  assert_true(wn_blend_weight_of(&mapped, "als", &stranger, &w, &depth));
  assert_true(w.score + w.rank + w.log == weight_after(&mapped, "als", month));
  wn_models_clear(&mapped);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

static void test_deterministic(void **state) {
  (void)state;
  wn_dataset data;
  wn_models one, three;
  for (int timed = 0; timed < 2; timed++) {
    timed ? sittings(&data) : dataset(&data);
    train(&data, 1, &one);
    train(&data, 3, &three);
    assert_same_model(wn_models_find(&one, "blend"), wn_models_find(&three, "blend"));
    wn_models_clear(&one);
    wn_models_clear(&three);
    wn_dataset_clear(&data);
  }
}

static void test_snapshot(void **state) {
  (void)state;
  wn_dataset data;
  wn_models models;
  walks(&data);
  train(&data, 2, &models);
  wn_history_entry history[8];
  wn_query query = {.history = history, .anchor = WN_NO_IX};
  query.history_len = history_of(&data, 1, 8, history);
  wn_scored a[10], b[10];
  size_t n = 0, m = 0;
  const wn_model *blend = wn_models_find(&models, "blend");
  assert_ok(blend->cls->candidates(blend, &query, 10, a, &n, err));
  wn_models mapped = reopened(&models, false);
  const wn_model *again = wn_models_find(&mapped, "blend");
  assert_ok(again->cls->candidates(again, &query, 10, b, &m, err));
  assert_true(n == 10 && m == 10);
  assert_memory_equal(a, b, sizeof a);
  wn_models_clear(&mapped);
  /* A member that is not there says nothing; the others go on. */
  mapped = reopened(&models, true);
  again = wn_models_find(&mapped, "blend");
  assert_ok(again->cls->candidates(again, &query, 10, b, &m, err));
  assert_int_equal(m, 10);
  assert_twins(again, &query, ITEMS);
  wn_models_clear(&mapped);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

/* Snapshots of before logarithms, which had two weights a member, are read; older ones are refused.
 */
static void test_older_snapshots(void **state) {
  (void)state;
  static const struct {
    char name[WN_BLEND_NAME_MAX + 1];
    float weight[WN_BLEND_HORIZONS][2], alone[WN_BLEND_HORIZONS];
  } members[] = {{"popular", {{.5f, .25f}, {0, 1}}, {.1f, .2f}},
                 {"als", {{1, 0}, {.5f, 2}}, {0, 0}}};
  for (uint32_t version = 1; version <= 2; version++) {
    wn_blend_head head = {.version = version, .members = 2, .items = ITEMS, .depth = 10, .k = 20};
    char path[128];
    wn_snapshot_writer *writer = NULL;
    wn_snapshot *snapshot = NULL;
    wn_snapshot_about about = {.number = 1};
    wn_models models = {0};
    wn_blend_weight w;
    uint32_t depth;
    scratch_path("older.wns", path, sizeof path);
    assert_ok(wn_snapshot_writer_create(path, &writer, err));
    assert_ok(wn_snapshot_write(writer, "blend/head", &head, sizeof head, err));
    assert_ok(wn_snapshot_write(writer, "blend/members", members, sizeof members, err));
    assert_ok(wn_snapshot_writer_finish(writer, &about, err));
    assert_ok(wn_snapshot_open(path, &snapshot, err));
    wn_error why;
    wn_status status = wn_models_map(snapshot, &models, &why);
    assert_int_equal(status, version == 2 ? WN_OK : WN_E_CORRUPT);
    if (status == WN_OK) {
      assert_true(wn_blend_weight_of(&models, "als", &(wn_query){0}, &w, &depth));
      assert_true(w.score == .5f && w.rank == 2 && w.log == 0 && depth == 10);
      wn_models_clear(&models);
    }
    wn_snapshot_unref(snapshot);
    unlink(path);
  }
}

/* Two users are too few to learn from: equal ranks. No data at all: no members' lists. */
static void test_too_little(void **state) {
  (void)state;
  static const fact facts[] = {
      {0, 0, 1, 10}, {0, 1, 1, 20}, {0, 2, 1, 30}, {1, 1, 1, 10}, {1, 2, 1, 20}};
  for (size_t len = 0; len <= 5; len += 5) {
    wn_dataset data;
    wn_models models;
    wn_blend_weight w;
    uint32_t depth;
    dataset_of(facts, len, 2, 4, &data);
    train(&data, 1, &models);
    assert_true(wn_blend_weight_of(&models, "als", &(wn_query){0}, &w, &depth));
    assert_true(w.score + w.log == 0 && w.rank == 1);
    wn_history_entry history[] = {{1, 1, 10}};
    wn_query query = {.history = history, .history_len = 1, .anchor = WN_NO_IX};
    assert_twins(wn_models_find(&models, "blend"), &query, 4);
    wn_models_clear(&models);
    wn_dataset_clear(&data);
  }
}

static bool cancel(void *ctx, const char *stage, double done, double total, const char *unit) {
  (void)stage, (void)done, (void)total, (void)unit;
  int *left = ctx;
  return (*left)-- > 0;
}

/* Each report of progress may cancel; each allocation may fail. */
static void stops(void (*make)(wn_dataset *)) {
  wn_dataset data;
  wn_train_options o;
  make(&data);
  options_of(&o, 1);
  wn_train_options_want(&o, "als")->left_out = true;
  wn_pool *pool = wn_pool_create(1);
  wn_params params = params_of(&wn_model_blend, "users=35");
  for (int n = 0;; n++) {
    int left = n;
    wn_progress progress = {&left, cancel};
    wn_fit_env env = {.pool = pool, .seed = 7, .run = &o, .progress = &progress};
    wn_model *model = NULL;
    wn_error err;
    wn_status status = wn_model_blend.fit(&data, &params, &env, &model, &err);
    if (status == WN_OK) wn_model_blend.free(model);
    if (status == WN_OK) break;
    assert_int_equal(status, WN_E_CANCELLED);
  }
  wn_fit_env env = {.pool = pool, .seed = 7, .run = &o};
  wn_model *model = NULL;
  wn_error err;
  wn_mem_fail_after(-1);
  assert_int_equal(wn_model_blend.fit(&data, &params, &env, &model, &err), WN_OK);
  long total = wn_mem_allocations();
  wn_model_blend.free(model);
  for (long n = 0; n < total; n += 1 + n / 16) {
    wn_mem_fail_after(n);
    wn_status status = wn_model_blend.fit(&data, &params, &env, &model, &err);
    wn_mem_fail_after(-1);
    if (status == WN_OK)
      wn_model_blend.free(model); /* one that can do with less */
    else
      assert_int_equal(status, WN_E_MEMORY);
  }
  wn_pool_free(pool);
  wn_dataset_clear(&data);
}

static void test_stops(void **state) {
  (void)state;
  stops(walks);
  stops(sittings);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twins),
      cmocka_unit_test(test_formula),
      cmocka_unit_test(test_weights_follow_what_is_right),
      cmocka_unit_test(test_horizons),
      cmocka_unit_test(test_deterministic),
      cmocka_unit_test(test_snapshot),
      cmocka_unit_test(test_older_snapshots),
      cmocka_unit_test(test_too_little),
      cmocka_unit_test(test_stops),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
