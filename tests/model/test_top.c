/* The plain rule against a naive one; live counts, snapshots, an attribute that is not there. */
#include "fitting.h"

#include "model/item_facts.h"

enum { ITEMS = 60, USERS = 200, SHELVES = 5 };

/* Item i is on shelf i % 5, and every third on another one, too; item 7 on none. */
static bool on_shelf(uint32_t item, uint32_t shelf) {
  return item != 7 && (item % SHELVES == shelf || (item % 3 == 0 && item / 3 % SHELVES == shelf));
}

static wn_status scan(void *ctx WN_UNUSED,
                      wn_status (*each)(void *, wn_item_ix, const wn_item_record *, wn_error *),
                      void *each_ctx, wn_error *error) {
  static const char *const names[SHELVES] = {"a", "b", "c", "d", "e"};
  wn_status status = WN_OK;
  for (uint32_t i = 0; i < ITEMS && status == WN_OK; i++) {
    wn_str shelves[SHELVES];
    size_t len = 0;
    for (uint32_t s = 0; s < SHELVES; s++)
      if (on_shelf(i, s)) shelves[len++] = wn_str_of(names[s]);
    wn_attr attrs[2] = {
        {.name = WN_STR("shelf"), .kind = WN_ATTR_LIST, .list = shelves, .list_len = len},
        {.name = WN_STR("all"), .kind = WN_ATTR_STRING, .string = WN_STR("same")}};
    wn_item_record record = {.attrs = {attrs, 2}};
    status = each(each_ctx, i, &record, error);
  }
  return status;
}

static void fit_top(wn_dataset *data, const char *attribute, wn_status expected, wn_model **out) {
  static fact facts[USERS * 12];
  wn_params params = {0};
  wn_error why;
  dataset_of(facts, random_facts(3, USERS, ITEMS, 12, facts), USERS, ITEMS, data);
  data->items_source.scan = scan;
  snprintf(params.text, sizeof params.text, "%s", attribute);
  wn_fit_env env = {.seed = 1};
  assert_int_equal(wn_model_top.fit(data, &params, &env, out, &why), expected);
  if (expected != WN_OK) assert_non_null(strstr(why.message, attribute));
}

/* Users who took it, times the share of the asked item's shelves that it is on. */
static void expect(const wn_dataset *data, uint32_t asked, const uint32_t *more, float *scores) {
  uint32_t shelves = 0;
  for (uint32_t s = 0; s < SHELVES; s++) shelves += on_shelf(asked, s);
  for (uint32_t i = 0; i < ITEMS; i++) {
    float used = (float)more[i], shared = 0;
    for (uint64_t p = 0; p < data->by_user.nnz; p++)
      used += data->by_user.col[p] == i && data->by_user.weight[p] > 0;
    for (uint32_t s = 0; s < SHELVES; s++) shared += on_shelf(asked, s) && on_shelf(i, s);
    scores[i] = i == asked || shared * used <= 0 ? -INFINITY : shared * used / (float)shelves;
  }
}

static void check(const wn_model *m, const wn_dataset *data, const uint32_t *more) {
  for (uint32_t asked = 0; asked < ITEMS; asked++) {
    wn_history_entry newest = {asked, 1, 0};
    wn_query query = {.anchor = asked, .user = WN_NO_IX};
    float want[ITEMS], got[ITEMS];
    wn_scored list[10];
    size_t count;
    expect(data, asked, more, want);
    for (int way = 0; way < 2; way++) {
      assert_ok(m->cls->score_all(m, &query, got, ITEMS, err));
      for (uint32_t i = 0; i < ITEMS; i++) {
        if (isinf(want[i]))
          assert_true(isinf(got[i]));
        else
          assert_float_equal(got[i], want[i], 1e-4);
      }
      assert_ok(m->cls->candidates(m, &query, 10, list, &count, err));
      for (size_t i = 0; i < count; i++) assert_true(list[i].score == got[list[i].ix]);
      assert_int_equal(count, asked == 7 ? 0 : 10);
      /* Asked with a history instead: its newest item. */
      query.anchor = WN_NO_IX;
      query.history = &newest;
      query.history_len = 1;
    }
    assert_twins(m, &query, ITEMS);
  }
}

static void test_against_naive(void **state) {
  (void)state;
  wn_dataset data;
  wn_model *m;
  uint32_t more[ITEMS] = {0};
  fit_top(&data, "shelf", WN_OK, &m);
  check(m, &data, more);
  for (uint32_t k = 0; k < 100; k++) {
    wn_event event = {.item = k * k % ITEMS, .user = 1, .time_ms = 5};
    m->cls->update(m, &event, k % 4 == 0 ? -1.0f : 1.0f);
    more[event.item] += k % 4 != 0;
  }
  check(m, &data, more);
  m->cls->free(m);
  wn_dataset_clear(&data);
}

/* By default the attribute that most items have and that tells them apart: "all" does not. */
static void test_default_and_unknown(void **state) {
  (void)state;
  wn_dataset data;
  wn_model *m;
  uint32_t none[ITEMS] = {0};
  fit_top(&data, "", WN_OK, &m);
  check(m, &data, none);
  m->cls->free(m);
  wn_dataset_clear(&data);
  fit_top(&data, "colour", WN_E_ARGUMENT, &m);
  wn_dataset_clear(&data);
}

/* Use fades up to the newest event, whenever one asks; what is years old still has an order. */
static void test_long_ago(void **state) {
  (void)state;
  static const int64_t year = 365 * 86400000ll;
  static const fact facts[] = {
      {0, 0, 1, 30 * year}, {1, 5, 1, 30 * year}, {2, 5, 1, 31 * year}, {3, 10, 1, 56 * year}};
  static const uint32_t want[] = {10, 5, 0};
  wn_dataset data;
  wn_model *m;
  wn_params params = {.text = "shelf"};
  wn_scored list[10];
  size_t count;
  dataset_of(facts, 4, 4, ITEMS, &data);
  data.items_source.scan = scan;
  wn_fit_env env = {.seed = 1};
  assert_ok(wn_model_top.fit(&data, &params, &env, &m, err));
  wn_query query = {.anchor = 15, .user = WN_NO_IX, .now_ms = 70 * year};
  assert_ok(m->cls->candidates(m, &query, 10, list, &count, err));
  assert_int_equal(count, 3);
  for (size_t i = 0; i < 3; i++) assert_int_equal(list[i].ix, want[i]);
  m->cls->free(m);
  wn_dataset_clear(&data);
}

static void test_snapshot(void **state) {
  (void)state;
  char path[] = "/tmp/winnow-top-XXXXXX";
  close(mkstemp(path));
  wn_dataset data;
  wn_model *m, *mapped;
  wn_snapshot_writer *writer;
  wn_snapshot *snapshot;
  wn_snapshot_about about = {0};
  uint32_t none[ITEMS] = {0};
  fit_top(&data, "shelf", WN_OK, &m);
  assert_ok(wn_snapshot_writer_create(path, &writer, err));
  assert_ok(m->cls->save(m, writer, err));
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
  assert_ok(wn_snapshot_open(path, &snapshot, err));
  assert_ok(wn_model_top.map(snapshot, &mapped, err));
  check(mapped, &data, none);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  m->cls->free(m);
  wn_dataset_clear(&data);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_against_naive),
      cmocka_unit_test(test_default_and_unknown),
      cmocka_unit_test(test_long_ago),
      cmocka_unit_test(test_snapshot),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
