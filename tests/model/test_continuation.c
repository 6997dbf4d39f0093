#include "fitting.h"
#include "data/repeats.h"

#define DAY   86400000LL
#define ITEMS 8u
enum { NONE = WN_STANDING_NONE, OPEN = WN_STANDING_OPEN, DONE = WN_STANDING_DONE };

static const int64_t repeat_ms[ITEMS] = {0, 0, 10 * DAY, 10 * DAY, 10 * DAY, 2 * DAY, 0, 0};
static const wn_history_entry history[] = {
    {.item = 0, .weight = 2, .time_ms = 103 * DAY}, /* ahead of the clock */
    {.item = 1, .weight = 2, .time_ms = 93 * DAY},
    {.item = 2, .weight = 4, .time_ms = 99 * DAY}, /* bought yesterday */
    {.item = 3, .weight = 8, .time_ms = 95 * DAY},
    {.item = 4, .weight = 4, .time_ms = 80 * DAY}, /* overdue */
    {.item = 5, .weight = -2, .time_ms = 70 * DAY},
    {.item = 6,
     .weight = 16,
     .time_ms = 60 * DAY}, /* nobody does it again, but it counts as done */
    {.item = 7, .weight = 1, .time_ms = 50 * DAY},
    {.item = 900, .weight = 4, .time_ms = 40 * DAY},
    {.item = 901, .weight = 1, .time_ms = 100 * DAY - 14 * DAY},
};
static const uint8_t standings[] = {OPEN, OPEN, DONE, DONE, DONE, DONE, DONE, NONE, DONE, OPEN};
static const float wanted[ITEMS + 2] = {1, 0.5f, 0, 0.5f, 0.125f, 0, 0, 0, 0, 0};

static wn_model *fit_gaps(void) {
  wn_dataset data = {.items = ITEMS, .repeat_ms = repeat_ms};
  return fit(&wn_model_continuation, &data, "");
}

static wn_query asked(void) {
  return (wn_query){.history = history,
                    .history_len = sizeof history / sizeof *history,
                    .history_standing = standings,
                    .user = WN_NO_IX,
                    .anchor = WN_NO_IX,
                    .now_ms = 100 * DAY};
}

static void assert_wanted(const wn_model *model) {
  static float scores[1000];
  wn_query query = asked();
  assert_ok(model->cls->score_all(model, &query, scores, 1000, err));
  for (uint32_t i = 0; i < ITEMS + 2; i++) {
    if (wanted[i] > 0)
      assert_true(fabsf(scores[i] - wanted[i]) < 1e-6f);
    else
      assert_true(scores[i] == -INFINITY);
  }
  assert_true(scores[900] == -INFINITY && fabsf(scores[901] - 0.25f) < 1e-6f);
  assert_twins(model, &query, 1000);
}

static void test_scores(void **state) {
  (void)state;
  wn_model *model = fit_gaps();
  wn_query query = asked();
  wn_scored out[3];
  size_t count = 9;
  assert_wanted(model);
  assert_ok(model->cls->candidates(model, &query, 3, out, &count, err));
  assert_true(count == 3 && out[0].ix == 0 && out[1].ix == 1 && out[2].ix == 3);
  query.history_standing = NULL; /* an evaluation's histories do not tell */
  assert_ok(model->cls->candidates(model, &query, 3, out, &count, err));
  assert_int_equal(count, 0);
  query = (wn_query){.user = WN_NO_IX, .anchor = 3};
  assert_ok(model->cls->candidates(model, &query, 3, out, &count, err));
  assert_int_equal(count, 0);
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, 1000));
  wn_bitset_set(&allowed, 4);
  query = asked();
  query.allowed = &allowed;
  assert_twins(model, &query, 1000);
  wn_bitset_clear(&allowed);
  for (int64_t now = -5; now < 6; now++) { /* a clock that jumps, forth and back */
    query = asked();
    query.now_ms = now * 40 * DAY;
    assert_twins(model, &query, 1000);
  }
  model->cls->free(model);
}

static void test_snapshot(void **state) {
  (void)state;
  char path[128];
  wn_model *model = fit_gaps();
  save_to(model, scratch_path("continuation.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_continuation, path, &snapshot);
  assert_wanted(mapped);
  assert_same_model(model, mapped);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  model->cls->free(model);
  for (int bad = 0; bad < 5; bad++) {
    struct {
      uint32_t version, items;
      double half_life_ms, repeat_from;
    } head = {1, 2, 1e8, 0.5};
    int64_t gap_ms[2] = {0, 5};
    if (bad == 1) head.version = 2;
    if (bad == 2) head.items = 3;
    if (bad == 3) head.half_life_ms = (double)NAN;
    if (bad == 4) gap_ms[1] = -5;
    wn_snapshot_writer *writer;
    assert_ok(wn_snapshot_writer_create(path, &writer, err));
    assert_ok(wn_snapshot_write(writer, "continuation/head", &head, sizeof head, err));
    assert_ok(wn_snapshot_write(writer, "continuation/gap_ms", gap_ms, sizeof gap_ms, err));
    assert_ok(wn_snapshot_writer_finish(writer, &(wn_snapshot_about){.number = 1}, err));
    assert_ok(wn_snapshot_open(path, &snapshot, err));
    wn_status status = wn_model_continuation.map(snapshot, &model, NULL);
    assert_int_equal(status, bad == 0 ? WN_OK : WN_E_CORRUPT);
    if (bad == 0) model->cls->free(model);
    wn_snapshot_unref(snapshot);
  }
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scores),
      cmocka_unit_test(test_snapshot),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
