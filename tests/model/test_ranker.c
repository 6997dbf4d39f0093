/* The ranker: its lists against score_all, any number of threads, through a snapshot, too little to
 * learn from. Features: test_feature.c. */
#include "fitting.h"

#include "model/ranker.h"
#include "model/train.h"

#define USERS 400u
#define ITEMS 80u

static void dataset(wn_dataset *data) {
  static fact facts[USERS * 12];
  dataset_of(facts, random_facts(3, USERS, ITEMS, 12, facts), USERS, ITEMS, data);
}

static void train(const wn_dataset *data, int threads, wn_models *models) {
  static const char *const sets[] = {
      "popular.half_life_days=30", "covisit.window=20", "als.factors=4",
      "ranker.depth=20",           "ranker.trees=12",   "ranker.tree_depth=3"};
  wn_train_options o;
  wn_train_options_defaults(&o);
  for (size_t i = 0; i < o.models_len; i++)
    o.models[i].left_out = true, o.models[i].automatic = false;
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    assert_ok(wn_train_options_set(&o, sets[i], err));
  o.threads = threads;
  assert_ok(wn_train(data, &o, NULL, models, err));
}

static void test_twins(void **state) {
  (void)state;
  wn_dataset data;
  wn_models models;
  wn_bitset allowed;
  dataset(&data);
  train(&data, 2, &models);
  const wn_model *ranker = wn_models_find(&models, "ranker");
  assert_true(wn_bitset_init(&allowed, ITEMS));
  size_t answers = 0;
  for (uint32_t u = 0; u < USERS; u += 9) {
    wn_history_entry history[WN_HISTORY_MAX];
    wn_query query = {.history = history, .user = u, .anchor = WN_NO_IX, .now_ms = data.now_ms};
    wn_scored out[5];
    size_t count;
    query.history_len = history_of(&data, u, WN_HISTORY_MAX, history);
    assert_twins(ranker, &query, ITEMS);
    assert_ok(ranker->cls->candidates(ranker, &query, 5, out, &count, err));
    answers += count == 5;
    for (uint32_t i = 0; i < ITEMS; i++)
      if (wn_mix64(u * 1000 + i) % 3 == 0) wn_bitset_set(&allowed, i);
    query.allowed = &allowed;
    assert_twins(ranker, &query, ITEMS);
    wn_bitset_fill(&allowed, false);
    assert_twins(ranker, &query, ITEMS);
    query.allowed = NULL;
    query.history_len = 0;
    assert_twins(ranker, &query, ITEMS);
  }
  assert_int_equal(answers, (USERS + 8) / 9);
  wn_bitset_clear(&allowed);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

static void save(const wn_models *models, const char *path) {
  wn_snapshot_writer *writer;
  wn_snapshot_about about = {0};
  assert_ok(wn_snapshot_writer_create(path, &writer, err));
  assert_ok(wn_models_save(models, writer, err));
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
}

static void test_snapshot_and_threads(void **state) {
  (void)state;
  char one[] = "/tmp/winnow-ranker-XXXXXX", three[] = "/tmp/winnow-ranker-XXXXXX";
  close(mkstemp(one));
  close(mkstemp(three));
  wn_dataset data;
  wn_models a, b, mapped;
  wn_snapshot *snapshot;
  dataset(&data);
  train(&data, 1, &a);
  train(&data, 3, &b);
  save(&a, one);
  save(&b, three);
  char command[256];
  snprintf(command, sizeof command, "cmp -s %s %s", one, three);
  assert_int_equal(system(command), 0);
  assert_ok(wn_snapshot_open(one, &snapshot, err));
  assert_ok(wn_models_map(snapshot, &mapped, err));
  wn_buf told = {0};
  assert_ok(wn_ranker_importance(snapshot, &told, err));
  assert_true(strncmp(wn_buf_c(&told), "\nranker looks at: ", 18) == 0);
  assert_non_null(strchr(wn_buf_c(&told), '%'));
  wn_buf_clear(&told);
  for (uint32_t u = 0; u < USERS; u += 37) {
    wn_history_entry history[WN_HISTORY_MAX];
    wn_query query = {.history = history, .user = u, .anchor = WN_NO_IX, .now_ms = data.now_ms};
    float x[ITEMS], y[ITEMS];
    query.history_len = history_of(&data, u, WN_HISTORY_MAX, history);
    const wn_model *fitted = wn_models_find(&a, "ranker"),
                   *read = wn_models_find(&mapped, "ranker");
    assert_ok(fitted->cls->score_all(fitted, &query, x, ITEMS, err));
    assert_ok(read->cls->score_all(read, &query, y, ITEMS, err));
    assert_memory_equal(x, y, sizeof x);
  }
  wn_models_clear(&mapped);
  wn_snapshot_unref(snapshot);
  wn_models_clear(&a);
  wn_models_clear(&b);
  wn_dataset_clear(&data);
  unlink(one);
  unlink(three);
}

/* Trees of another version of features: the ranker is left out, the rest of the snapshot serves. */
static void test_another_version(void **state) {
  (void)state;
  char path[] = "/tmp/winnow-ranker-XXXXXX";
  close(mkstemp(path));
  for (int kind = 0; kind < 2; kind++) {
    wn_snapshot_writer *writer;
    wn_snapshot_about about = {0};
    wn_snapshot *snapshot;
    wn_models mapped;
    wn_dataset data;
    wn_scored out[3];
    size_t count = 9;
    dataset(&data);
    train(&data, 1, &mapped);
    wn_ranker_head head = {.version = kind == 0 ? 2 : 3};
    wn_feature_set set = *wn_ranker_features(wn_models_find(&mapped, "ranker"));
    set.version += 1;
    assert_ok(wn_snapshot_writer_create(path, &writer, err));
    assert_ok(mapped.data[0]->cls->save(mapped.data[0], writer, err));
    assert_ok(wn_snapshot_write(writer, "ranker/head", &head, sizeof head, err));
    assert_ok(wn_snapshot_write(writer, "ranker/features", &set, sizeof set, err));
    assert_ok(wn_snapshot_writer_finish(writer, &about, err));
    wn_models_clear(&mapped);
    assert_ok(wn_snapshot_open(path, &snapshot, err));
    assert_ok(wn_models_map(snapshot, &mapped, err));
    assert_int_equal(mapped.len, 2);
    assert_null(wn_ranker_of(&mapped));
    const wn_model *ranker = wn_models_find(&mapped, "ranker");
    wn_history_entry history[] = {{.item = 0, .weight = 1, .time_ms = 5}};
    wn_query query = {.history = history, .history_len = 1, .user = 1, .anchor = WN_NO_IX};
    assert_ok(ranker->cls->candidates(ranker, &query, 3, out, &count, err));
    assert_int_equal(count, 0);
    wn_models_clear(&mapped);
    wn_snapshot_unref(snapshot);
    wn_dataset_clear(&data);
  }
  unlink(path);
}

/* Nothing to learn from: nothing to say, and no failure. */
static void test_too_little(void **state) {
  (void)state;
  static const fact facts[] = {{0, 0, 1, 5}, {0, 1, 1, 6}, {1, 1, 1, 7}};
  wn_dataset data;
  wn_models models;
  wn_scored out[3];
  size_t count = 9;
  dataset_of(facts, 3, 2, 2, &data);
  train(&data, 1, &models);
  const wn_model *ranker = wn_models_find(&models, "ranker");
  wn_history_entry history[] = {{.item = 0, .weight = 1, .time_ms = 5}};
  wn_query query = {.history = history, .history_len = 1, .user = 1, .anchor = WN_NO_IX};
  assert_ok(ranker->cls->candidates(ranker, &query, 3, out, &count, err));
  assert_int_equal(count, 0);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twins), cmocka_unit_test(test_snapshot_and_threads),
      cmocka_unit_test(test_another_version), cmocka_unit_test(test_too_little)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
