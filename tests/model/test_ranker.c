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

/* --- two horizons --- */

#define DAY 86400000LL

/* A hundred days, most users coming back until the end; odd users take odd items. */
static void log_of(wn_dataset *data) {
  static fact facts[USERS * 30];
  wn_rng rng;
  size_t n = 0;
  wn_rng_seed(&rng, 5);
  for (uint32_t u = 0; u < USERS; u++) {
    uint32_t day = (uint32_t)wn_rng_below(&rng, 60), item = (uint32_t)wn_rng_below(&rng, ITEMS / 2);
    for (uint32_t k = 0; k < 25 && day < 100; k++) {
      facts[n++] = (fact){u, (2 * (item + k) + u % 2) % ITEMS, 1, day * DAY + 1000 + k};
      day += (uint32_t)wn_rng_below(&rng, 9);
    }
  }
  dataset_of(facts, n, USERS, ITEMS, data);
  data->first_ms = 1000;
}

static void train_blended(const wn_dataset *data, const char *judge, wn_models *models,
                          wn_train_options *o) {
  const char *const sets[] = {"popular.half_life_days=30",
                              "covisit.window=20",
                              "blend.depth=20",
                              "ranker.depth=20",
                              "ranker.trees=12",
                              "ranker.later_trees=10",
                              judge};
  wn_train_options_defaults(o);
  for (size_t i = 0; i < o->models_len; i++)
    o->models[i].left_out = true, o->models[i].automatic = false;
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    assert_ok(wn_train_options_set(o, sets[i], err));
  o->threads = 2;
  assert_ok(wn_train(data, o, NULL, models, err));
}

/* When the user of a row took its item; INT64_MAX: never. */
static int64_t taken_at(const wn_dataset *data, uint32_t user, uint32_t item) {
  const wn_csr *m = &data->by_user;
  for (uint64_t p = m->row_ptr[user]; p < m->row_ptr[user + 1]; p++)
    if (m->col[p] == item) return m->time_ms[p];
  return INT64_MAX;
}

/* What comes later: labels are all that was taken after a view; those that trees to be judged by
 * learn from end at the last view, whose moments they do not see. */
static void test_later_tables(void **state) {
  (void)state;
  wn_dataset data;
  wn_models models;
  wn_train_options run;
  wn_ranker_table tables[WN_RANKER_TABLES];
  const wn_ranker_table *learn = &tables[WN_RANKER_LEARN], *judge = &tables[WN_RANKER_JUDGE];
  log_of(&data);
  train_blended(&data, "ranker.judge=1", &models, &run);
  const wn_ranker_verdict *v =
      &wn_ranker_order(wn_models_find(&models, "ranker"), WN_BLEND_LATER)->verdict;
  assert_true(v->moments > 30 && v->ndcg_trees > 0 && v->ndcg_blend > 0);
  wn_feature_set set = *wn_ranker_features(wn_models_find(&models, "ranker"));
  wn_fit_env env = {.pool = wn_pool_create(2), .seed = 1, .run = &run};
  wn_ranker_fit_options o = {.horizon = WN_BLEND_LATER,
                             .moments_max = 2000,
                             .negatives = 5,
                             .set = &set,
                             .blended = &models};
  assert_ok(wn_ranker_tables_make(&data, &o, &env, tables, err));
  assert_true(learn->early_groups > 100 && learn->early_groups < learn->groups);
  assert_true(judge->groups > 30 && judge->groups <= learn->groups);
  int64_t last_ms = judge->moment[0].time_ms;
  size_t early = 0, late = 0, row = 0, blended = 0;
  for (size_t g = 0; g < learn->groups; row += learn->size[g++]) {
    const wn_ranker_moment *m = &learn->moment[g];
    assert_int_equal(g < learn->early_groups, m->time_ms < last_ms);
    if (g == learn->early_groups) assert_int_equal(row, learn->early_rows);
    for (size_t r = row; r < row + learn->size[g]; r++) {
      int64_t at = taken_at(&data, m->user, learn->item[r]);
      assert_true(at >= m->time_ms); /* nobody is asked about what she had */
      assert_int_equal(learn->label[r] > 0, at < INT64_MAX);
      assert_int_equal(learn->early[r] > 0, at < last_ms);
      early += at < last_ms;
      late += at >= last_ms && at < INT64_MAX;
    }
  }
  assert_true(early > 100 && late > 100);
  for (size_t g = 0; g < judge->groups; g++) assert_int_equal(judge->moment[g].time_ms, last_ms);
  for (size_t r = 0; r < judge->rows; r++) blended += judge->blend[r] > 0;
  assert_int_equal(blended, judge->rows);
  wn_ranker_tables_clear(tables);
  wn_pool_free(env.pool);
  wn_models_clear(&models);
  wn_dataset_clear(&data);
}

/* The verdict decides who answers; what it is says the query's gap. */
static void test_horizons(void **state) {
  (void)state;
  char path[] = "/tmp/winnow-ranker-XXXXXX";
  close(mkstemp(path));
  wn_dataset data;
  wn_models models, mapped;
  wn_train_options run;
  wn_snapshot *snapshot;
  log_of(&data);
  train_blended(&data, "ranker.judge=0", &models, &run);
  save(&models, path);
  assert_ok(wn_snapshot_open(path, &snapshot, err));
  assert_ok(wn_models_map(snapshot, &mapped, err));
  const wn_model *ranker = wn_ranker_of(&mapped), *blend = wn_models_find(&mapped, "blend");
  assert_memory_equal(&wn_ranker_order(ranker, WN_BLEND_LATER)->verdict,
                      &wn_ranker_order(wn_ranker_of(&models), WN_BLEND_LATER)->verdict,
                      sizeof(wn_ranker_verdict));
  wn_history_entry history[] = {{.item = 4, .weight = 1, .time_ms = data.now_ms}};
  wn_query query = {.history = history, .history_len = 1, .user = 1, .anchor = WN_NO_IX};
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++)
    for (uint32_t by_blend = 0; by_blend < 2; by_blend++) {
      wn_scored mine[5], its[5];
      size_t n, k;
      query.now_ms = data.now_ms + (h == WN_BLEND_NEXT ? 0 : 4000 * DAY);
      assert_int_equal(wn_ranker_horizon(ranker, &query), h);
      ((wn_ranker_verdict *)(uintptr_t)&wn_ranker_order(ranker, h)->verdict)->blend = by_blend;
      assert_int_equal(wn_ranker_orders(ranker, h), by_blend == 0);
      assert_ok(ranker->cls->candidates(ranker, &query, 5, mine, &n, err));
      assert_ok(blend->cls->candidates(blend, &query, 5, its, &k, err));
      assert_true(n == 5 && k == 5);
      assert_int_equal(memcmp(mine, its, sizeof mine) == 0, by_blend == 1);
    }
  wn_models_clear(&mapped);
  wn_models_clear(&models);
  wn_snapshot_unref(snapshot);
  wn_dataset_clear(&data);
  unlink(path);
}

/* NDCG by sorting, of equal scores what was taken last. */
static double naive_ndcg(const float *score, const float *label, size_t len, uint32_t taken) {
  double gain = 0, ideal = 0;
  for (uint32_t i = 0; i < taken && i < 20; i++) ideal += 1 / log2(i + 2.0);
  bool used[64] = {false};
  for (size_t place = 0; place < len && place < 20; place++) {
    size_t best = len;
    for (size_t i = 0; i < len; i++)
      if (!used[i] && (best == len || score[i] > score[best] ||
                       (score[i] == score[best] && label[i] < label[best])))
        best = i;
    used[best] = true;
    if (label[best] > 0) gain += 1 / log2((double)place + 2);
  }
  return gain / ideal;
}

static void test_judgement(void **state) {
  (void)state;
  enum { GROUPS = 50, LEN = 30 };
  static float feature[GROUPS * LEN], label[GROUPS * LEN], blend[GROUPS * LEN],
      margin[GROUPS * LEN];
  static unsigned size[GROUPS];
  static wn_ranker_moment moment[GROUPS];
  wn_rng rng;
  wn_rng_seed(&rng, 8);
  for (size_t i = 0; i < GROUPS * LEN; i++) {
    feature[i] = (float)wn_rng_double(&rng);
    label[i] = feature[i] > 0.8f;
    blend[i] = (float)wn_rng_below(&rng, 8);
  }
  for (size_t g = 0; g < GROUPS; g++) size[g] = LEN, moment[g].taken = 1 + (uint32_t)g % 30;
  wn_ranker_table t = {.feature = feature,
                       .label = label,
                       .blend = blend,
                       .size = size,
                       .moment = moment,
                       .rows = GROUPS * LEN,
                       .groups = GROUPS,
                       .features = 1};
  wn_boost_data learn = {feature, label, size, GROUPS * LEN, 1, GROUPS};
  wn_boost_options boost = {.trees = 5,
                            .depth = 2,
                            .eta = .5,
                            .loss = WN_BOOST_PAIRWISE,
                            .seed = 1,
                            .stage = "test",
                            .place_column = WN_NO_IX};
  wn_forest forest = {0};
  wn_ranker_verdict v;
  assert_ok(wn_boost_forest(&learn, &boost, NULL, NULL, &forest, err));
  assert_ok(wn_ranker_judge(&t, &forest, &v, err));
  wn_forest_predict(&forest, feature, GROUPS * LEN, 1, margin);
  double trees = 0, blended = 0, squares = 0;
  for (size_t g = 0; g < GROUPS; g++) {
    double x = naive_ndcg(margin + g * LEN, label + g * LEN, LEN, moment[g].taken),
           y = naive_ndcg(blend + g * LEN, label + g * LEN, LEN, moment[g].taken);
    trees += x / GROUPS;
    blended += y / GROUPS;
    squares += (x - y) * (x - y) / GROUPS;
  }
  assert_true(v.moments == GROUPS && v.ndcg_trees > 1.5f * v.ndcg_blend);
  assert_float_equal(v.ndcg_trees, trees, 1e-5);
  assert_float_equal(v.ndcg_blend, blended, 1e-5);
  assert_float_equal(v.error, sqrt((squares - (trees - blended) * (trees - blended)) / GROUPS),
                     1e-4);
  wn_forest_clear(&forest);
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
      cmocka_unit_test(test_twins),           cmocka_unit_test(test_snapshot_and_threads),
      cmocka_unit_test(test_another_version), cmocka_unit_test(test_later_tables),
      cmocka_unit_test(test_horizons),        cmocka_unit_test(test_judgement),
      cmocka_unit_test(test_too_little)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
