/* Training: options, fitting, histories, and from a store to a snapshot. */

#include "global_models.h"
#include "model/train.h"
#include <limits.h>

#define FITTED 7u /* by default: the first ones, and the blend; the rest when cheap or named */
#define BLEND  15u

static void test_options(void **state) {
  (void)state;
  wn_train_options o;
  wn_error err;
  wn_train_options_defaults(&o);
  assert_int_equal(o.models_len, wn_model_class_count());
  for (size_t i = 0; i < o.models_len; i++)
    assert_int_equal(o.models[i].left_out, i >= FITTED && i != BLEND);
  assert_int_equal(wn_train_options_set(&o, "ridge.lambda=5", &err), WN_OK);
  assert_false(o.models[FITTED].left_out);
  assert_ptr_equal(wn_train_options_want(&o, "ease"), &o.models[FITTED + 2]);
  assert_false(o.models[FITTED + 2].left_out);
  assert_true(o.models[FITTED + 1].left_out);
  assert_null(wn_train_options_want(&o, "nothing"));
  assert_int_equal(wn_train_options_set(&o, "popular.half_life_days=7", &err), WN_OK);
  assert_float_equal(wn_param(o.models[0].cls, &o.models[0].params, "half_life_days"), 7, 0);
  static const char *const bad[] = {"",
                                    "popular",
                                    "popular.half_life_days",
                                    "=1",
                                    ".x=1",
                                    "popular.=1",
                                    "popular=1.5",
                                    "nothing.x=1",
                                    "popular.x=1",
                                    "popular.half_life_days=",
                                    "popular.half_life_days=-2"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(wn_train_options_set(&o, bad[i], &err), WN_E_ARGUMENT);
  assert_int_equal(wn_train_options_set(&o, "nothing.x=1", &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "popular, trending"));
}

/* ---- histories ---- */

static wn_snapshot *history_snapshot(const wn_event *events, size_t count,
                                     const wn_signals *signals, uint32_t users, uint32_t items,
                                     int64_t now_ms) {
  char path[] = "/tmp/winnow-history-XXXXXX";
  wn_error err;
  wn_snapshot_writer *writer;
  wn_snapshot *snapshot = NULL;
  close(mkstemp(path));
  assert_int_equal(wn_snapshot_writer_create(path, &writer, &err), WN_OK);
  assert_int_equal(
      wn_history_write((wn_event_list){events, count}, signals, users, now_ms, writer, &err),
      WN_OK);
  assert_int_equal(
      wn_snapshot_writer_finish(writer, &(wn_snapshot_about){.users = users, .items = items}, &err),
      WN_OK);
  assert_int_equal(wn_snapshot_open(path, &snapshot, &err), WN_OK);
  unlink(path);
  return snapshot;
}

static void test_history(void **state) {
  (void)state;
  static wn_signals signals;
  wn_error err;
  wn_history_base base;
  wn_signals_defaults(&signals);
  uint32_t view = wn_signals_find(&signals, WN_STR("view"));
  uint32_t impression = wn_signals_find(&signals, WN_STR("impression"));
  signals.data[view].half_life_days = 1.0f;
  const wn_event events[] = {
      {.user = 1, .item = 3, .type = view, .value = NAN, .time_ms = DAY, .seq = 1},
      {.user = 1, .item = 2, .type = impression, .value = NAN, .time_ms = 2 * DAY, .seq = 2},
      {.user = 1, .item = 3, .type = impression, .value = NAN, .time_ms = 3 * DAY, .seq = 3},
      {.user = 0, .item = 0, .type = view, .value = NAN, .time_ms = 3 * DAY, .seq = 4},
  };
  wn_snapshot *s = history_snapshot(events, 4, &signals, 3, 4, 3 * DAY);
  assert_int_equal(wn_history_map(s, &base, &err), WN_OK);
  assert_int_equal(base.users, 3);
  assert_int_equal(base.row_ptr[3], 3);
  assert_int_equal(base.item[1], 2); /* weight 0, but there */
  assert_float_equal(base.weight[1], 0, 0);
  assert_true(base.mask[1] == (uint64_t)1 << impression);
  assert_int_equal(base.item[2], 3);
  assert_float_equal(base.weight[2], 0.25, 1e-6);
  assert_int_equal(base.time_ms[2], 3 * DAY);
  assert_true(base.mask[2] == (((uint64_t)1 << impression) | ((uint64_t)1 << view)));
  wn_snapshot_unref(s);
  s = history_snapshot(NULL, 0, &signals, 0, 0, 0);
  assert_int_equal(wn_history_map(s, &base, &err), WN_OK);
  assert_int_equal(base.users, 0);
  wn_snapshot_unref(s);
  s = history_snapshot(events, 4, &signals, 3, 3, 3 * DAY); /* about: 3 items, but item 3 is used */
  assert_int_equal(wn_history_map(s, &base, &err), WN_E_CORRUPT);
  assert_int_equal(base.users, 0);
  wn_snapshot_unref(s);
}

/* ---- fitting ---- */

static wn_dataset random_dataset(uint32_t users, uint32_t items, size_t n) {
  wn_rng rng;
  wn_dataset data;
  wn_error err;
  wn_rng_seed(&rng, 99);
  wn_event *events = wn_calloc(n, sizeof *events);
  for (size_t i = 0; i < n; i++)
    events[i] = (wn_event){.user = (uint32_t)wn_rng_below(&rng, users),
                           .item = (uint32_t)wn_rng_below(&rng, 1 + wn_rng_below(&rng, items)),
                           .value = NAN,
                           .time_ms = 1700000000000 + (int64_t)i * HOUR,
                           .seq = i + 1};
  assert_int_equal(
      wn_dataset_build_events((wn_event_list){events, n}, NULL, users, items, &data, &err), WN_OK);
  wn_free(events);
  return data;
}

static wn_buf saved(const wn_dataset *data, const wn_train_options *options) {
  char path[] = "/tmp/winnow-train-XXXXXX";
  wn_error err = {0};
  wn_models models;
  wn_snapshot_writer *writer;
  wn_buf bytes = {0};
  if (wn_train(data, options, NULL, &models, &err) != WN_OK) fail_msg("%s", err.message);
  close(mkstemp(path));
  assert_int_equal(wn_snapshot_writer_create(path, &writer, &err), WN_OK);
  assert_int_equal(wn_models_save(&models, writer, &err), WN_OK);
  assert_int_equal(wn_snapshot_writer_finish(writer, &(wn_snapshot_about){.number = 1}, &err),
                   WN_OK);
  wn_models_clear(&models);
  assert_int_equal(wn_read_file(path, 1 << 26, &bytes, &err), WN_OK);
  unlink(path);
  return bytes;
}

/* Same seed, same bytes, whatever the number of threads; another seed, another ALS. */
static void test_deterministic(void **state) {
  (void)state;
  wn_dataset data = random_dataset(200, 150, 6000);
  wn_train_options options;
  wn_train_options_defaults(&options);
  options.threads = 1;
  wn_buf one = saved(&data, &options);
  options.threads = 3;
  wn_buf three = saved(&data, &options);
  assert_int_equal(one.len, three.len);
  assert_memory_equal(one.data, three.data, one.len);
  options.seed = 2;
  wn_buf other = saved(&data, &options);
  assert_true(other.len != one.len || memcmp(other.data, one.data, one.len) != 0);
  wn_buf_clear(&one);
  wn_buf_clear(&three);
  wn_buf_clear(&other);
  wn_dataset_clear(&data);
}

/* Nothing to learn from is no reason to leave a model out. */
static void test_nothing_to_fit(void **state) {
  (void)state;
  wn_train_options options;
  wn_models models;
  wn_error err = {0};
  wn_train_options_defaults(&options);
  options.threads = 1;
  static const uint32_t shapes[][2] = {{0, 0}, {3, 0}, {0, 3}, {1, 1}};
  for (size_t i = 0; i < 4; i++) {
    wn_dataset data;
    assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, shapes[i][0],
                                             shapes[i][1], &data, &err),
                     WN_OK);
    if (wn_train(&data, &options, NULL, &models, &err) != WN_OK) fail_msg("%s", err.message);
    assert_int_equal(models.len, FITTED + 3); /* ridge, ease, blend; no order for ridge-seq */
    for (size_t m = 0; m < models.len; m++)
      if (models.data[m]->cls != &wn_model_als && models.data[m]->cls != &wn_model_covisit &&
          models.data[m]->cls != &wn_model_content && m < FITTED)
        check_twin_filtered(models.data[m], shapes[i][1], 1);
    wn_models_clear(&models);
    wn_dataset_clear(&data);
  }
}

static bool stop(void *ctx, const char *stage, double done, double total, const char *unit) {
  (void)stage, (void)done, (void)total, (void)unit;
  return --*(int *)ctx > 0;
}

static void test_cancelled(void **state) {
  (void)state;
  wn_dataset data = random_dataset(20, 15, 300);
  wn_train_options options;
  wn_models models;
  wn_error err;
  wn_train_options_defaults(&options);
  options.threads = 1;
  for (int calls = 1; calls < 8; calls++) {
    int left = calls;
    wn_progress progress = {&left, stop};
    assert_int_equal(wn_train(&data, &options, &progress, &models, &err), WN_E_CANCELLED);
    assert_int_equal(models.len, 0);
  }
  wn_dataset_clear(&data);
}

/* Every allocation of a whole training fails in turn: an error, no leak, no half set. */
static void test_out_of_memory(void **state) {
  (void)state;
  wn_dataset data = random_dataset(6, 5, 60);
  wn_train_options options;
  wn_models models;
  wn_error err;
  wn_train_options_defaults(&options);
  options.threads = 1;
  long n = 0;
  for (;; n++) {
    wn_mem_fail_after(n);
    wn_status status = wn_train(&data, &options, NULL, &models, &err);
    bool done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (status == WN_OK)
      wn_models_clear(&models);
    else
      assert_int_equal(status, WN_E_MEMORY);
    assert_int_equal(models.len, 0);
    if (done) break;
  }
  assert_true(n > 20);
  wn_dataset_clear(&data);
}

/* ---- from a store ---- */

static char dir[PATH_MAX];

static int setup(void **state) {
  (void)state;
  const char *tmp = getenv("TMPDIR");
  snprintf(dir, sizeof dir, "%s/winnow-train-XXXXXX", tmp != NULL ? tmp : "/tmp");
  return mkdtemp(dir) == NULL;
}

static int teardown(void **state) {
  (void)state;
  char command[PATH_MAX + 16];
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  return system(command);
}

static wn_op event_op(const char *user, const char *item, const char *type, int64_t time_ms) {
  return (wn_op){.kind = WN_OP_EVENT,
                 .u.event = {.user = wn_str_of(user),
                             .item = wn_str_of(item),
                             .type = wn_str_of(type),
                             .value = NAN,
                             .time_ms = time_ms}};
}

static wn_op item_op(const char *id, int64_t created_ms) {
  return (wn_op){.kind = WN_OP_ITEM_PUT,
                 .u.item = {.id = wn_str_of(id), .title = wn_str_of(id), .created_ms = created_ms}};
}

static uint32_t item_ix(wn_store *store, const char *id) {
  return wn_dict_find(wn_store_items(store), wn_str_of(id));
}

static uint32_t best(const wn_models *models, const char *name) {
  const wn_model *m = wn_models_find(models, name);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  wn_scored got[1];
  size_t count;
  wn_error err;
  assert_int_equal(m->cls->candidates(m, &query, 1, got, &count, &err), WN_OK);
  assert_int_equal(count, 1);
  return got[0].ix;
}

static void test_store_to_snapshot(void **state) {
  (void)state;
  static wn_signals signals;
  wn_store *store;
  wn_error err = {0};
  wn_train_options options;
  wn_snapshot_about about;
  wn_snapshot *snapshot = NULL;
  wn_models models;
  wn_history_base base;
  const int64_t t = 1700000000000;
  if (wn_store_open(dir, WN_STORE_WRITE, &store, &err) != WN_OK) fail_msg("%s", err.message);
  wn_op ops[] = {
      item_op("old", t - 9 * DAY),
      item_op("new", t),
      item_op("gone", t + DAY),
      event_op("ann", "old", "like", t),
      event_op("bob", "old", "zap", t + 1),
      event_op("bob", "new", "view", t + 2),
      event_op("bob", "ghost", "view", t + 3),
  };
  assert_int_equal(wn_store_commit(store, ops, sizeof ops / sizeof *ops, &err), WN_OK);
  wn_op gone = {.kind = WN_OP_ITEM_DELETE, .u.item = {.id = WN_STR("gone")}};
  assert_int_equal(wn_store_commit(store, &gone, 1, &err), WN_OK);
  wn_signals_defaults(&signals);
  wn_train_options_defaults(&options);
  options.threads = 1;
  if (wn_train_store(store, &signals, &options, NULL, &about, &err) != WN_OK)
    fail_msg("%s: %s", err.field, err.message);
  assert_int_equal(about.number, 1);
  assert_int_equal(about.users, 2);
  assert_int_equal(about.items, 4);
  assert_int_equal(about.last_seq, ops[6].seq);
  assert_int_equal(about.data_ms, t + 3);
  assert_true(about.train_seconds > 0 && about.created_ms > t);
  assert_string_equal(
      about.models,
      "popular,trending,newest,covisit,content,als,random,ridge,ridge-seq,ease,blend");
  /* signals have the store's numbers */
  const wn_dict *types = wn_store_types(store);
  for (uint32_t i = 0; i < wn_dict_count(types); i++)
    assert_true(wn_str_is(wn_dict_key(types, i), signals.data[i].name));
  assert_int_equal(wn_snapshot_open_current(dir, wn_store_uuid(store), &snapshot, &err), WN_OK);
  assert_non_null(snapshot);
  assert_int_equal(wn_models_map(snapshot, &models, &err), WN_OK);
  assert_int_equal(models.len, FITTED + 4);
  assert_int_equal(best(&models, "popular"), item_ix(store, "old"));
  /* not the deleted one, but the one that its first event dates */
  assert_int_equal(best(&models, "newest"), item_ix(store, "ghost"));
  assert_int_equal(wn_history_map(snapshot, &base, &err), WN_OK);
  assert_int_equal(base.users, 2);
  assert_int_equal(base.row_ptr[2], 4);
  wn_models_clear(&models);
  wn_snapshot_unref(snapshot);

  /* Not promoted: the next number, but the same current one. */
  options.promote = false;
  if (wn_train_store(store, &signals, &options, NULL, &about, &err) != WN_OK)
    fail_msg("%s", err.message);
  assert_int_equal(about.number, 2);
  assert_int_equal(wn_snapshot_open_current(dir, wn_store_uuid(store), &snapshot, &err), WN_OK);
  assert_int_equal(wn_snapshot_about_of(snapshot)->number, 1);
  wn_snapshot_unref(snapshot);

  char path[PATH_MAX + 32];
  int lock;
  snprintf(path, sizeof path, "%s/snapshots/train.lock", dir);
  assert_int_equal(wn_lock_file(path, &lock, &err), WN_OK);
  assert_int_equal(wn_train_store(store, &signals, &options, NULL, &about, &err), WN_E_BUSY);
  wn_unlock_file(lock);

  /* New types come after; those that have a number keep it. */
  wn_op more[] = {event_op("cat", "new", "buy", t + 4), event_op("cat", "new", "zip", t + 5)};
  assert_int_equal(wn_store_commit(store, more, 2, &err), WN_OK);
  wn_signals before = signals;
  assert_int_equal(wn_signals_bind(&signals, store, &err), WN_OK);
  for (uint32_t i = 0; i < 3; i++) assert_string_equal(signals.data[i].name, before.data[i].name);
  assert_string_equal(signals.data[3].name, "buy");
  assert_float_equal(signals.data[3].weight, 4.0f, 0);
  assert_string_equal(signals.data[4].name, "zip");
  assert_int_equal(signals.len, before.len + 1);
  for (size_t i = 0; i < signals.len; i++)
    assert_int_equal(wn_signals_find(&signals, wn_str_of(signals.data[i].name)), i);
  wn_store_close(store);
}

static void test_empty_store(void **state) {
  (void)state;
  static wn_signals signals;
  char sub[PATH_MAX + 16];
  wn_store *store;
  wn_error err = {0};
  wn_train_options options;
  wn_snapshot_about about;
  snprintf(sub, sizeof sub, "%s/empty", dir);
  assert_int_equal(wn_store_open(sub, WN_STORE_WRITE, &store, &err), WN_OK);
  wn_signals_defaults(&signals);
  wn_train_options_defaults(&options);
  if (wn_train_store(store, &signals, &options, NULL, &about, &err) != WN_OK)
    fail_msg("%s", err.message);
  assert_int_equal(about.number, 1);
  assert_int_equal(about.nnz, 0);
  wn_store_close(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_options),           cmocka_unit_test(test_history),
      cmocka_unit_test(test_deterministic),     cmocka_unit_test(test_nothing_to_fit),
      cmocka_unit_test(test_cancelled),         cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_store_to_snapshot), cmocka_unit_test(test_empty_store),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
