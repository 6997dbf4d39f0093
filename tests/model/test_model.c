/* The registry, parameters and sets of models. */

#include "global_models.h"

static void test_registry(void **state) {
  (void)state;
  static const char *const names[] = {"popular", "trending", "newest",   "covisit",      "content",
                                      "als",     "random",   "ridge",    "ridge-seq",    "ease",
                                      "vectors", "vmis",     "user-knn", "continuation", "top",
                                      "blend",   "ranker"};
  const size_t count = sizeof names / sizeof *names;
  assert_int_equal(wn_model_class_count(), count);
  for (size_t i = 0; i < count; i++) {
    const wn_model_class *cls = wn_model_class_at(i);
    assert_string_equal(cls->name, names[i]);
    assert_ptr_equal(wn_model_class_find(names[i]), cls);
    assert_true(cls->doc[0] != '\0' && cls->params_len <= WN_PARAMS_MAX);
    assert_true(cls->fit && cls->save && cls->map && cls->candidates && cls->score_all &&
                cls->free);
    /* a live model is told of events */
    assert_true((cls->flags & WN_MODEL_LIVE) == 0 || cls->update != NULL);
    for (size_t p = 0; p < cls->params_len; p++) {
      const wn_param_spec *spec = &cls->params[p];
      assert_true(spec->min <= spec->value && spec->value <= spec->max && spec->doc[0] != '\0');
    }
  }
  assert_null(wn_model_class_at(count));
  assert_null(wn_model_class_find("nothing"));
}

static void test_params(void **state) {
  (void)state;
  wn_params params;
  wn_error err;
  const wn_model_class *cls = &wn_model_trending;
  wn_params_defaults(cls, &params);
  assert_float_equal(wn_param(cls, &params, "short_hours"), 24, 0);
  assert_int_equal(wn_params_set(cls, &params, "short_hours", "1.5", &err), WN_OK);
  assert_float_equal(wn_param(cls, &params, "short_hours"), 1.5, 0);
  static const char *const bad[] = {"", "x", "1x", "nan", "inf", "-1", "1e9", "0"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(wn_params_set(cls, &params, "short_hours", bad[i], &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "short_hours");
  assert_non_null(strstr(err.message, "0.1 to 8760"));
  assert_float_equal(wn_param(cls, &params, "short_hours"), 1.5, 0);
  assert_int_equal(wn_params_set(cls, &params, "shorthours", "1", &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "short_hours, long_hours"));
  assert_int_equal(wn_params_set(&wn_model_random, &params, "x", "1", &err), WN_E_ARGUMENT);
  assert_float_equal(wn_param(cls, &params, "nothing"), 0, 0);
}

static wn_status save_set(const wn_models *models, const char *path, uint32_t items,
                          wn_snapshot **out) {
  wn_status status;
  wn_error err;
  wn_snapshot_writer *writer = NULL;
  wn_snapshot_about about = {.number = 1, .items = items};
  WN_TRY(wn_snapshot_writer_create(path, &writer, &err));
  WN_TRY(wn_models_save(models, writer, &err));
  WN_TRY(wn_snapshot_writer_finish(writer, &about, &err));
  WN_TRY(wn_snapshot_open(path, out, &err));
cleanup:
  unlink(path);
  return status;
}

static void test_empty_set_lives(void **state) {
  (void)state;
  wn_models models, mapped;
  wn_error err = {0};
  wn_snapshot *snapshot;
  assert_int_equal(wn_models_empty(&models, &err), WN_OK);
  assert_int_equal(models.len, 7);
  assert_null(models.snapshot);
  assert_non_null(wn_models_find(&models, "newest"));
  assert_null(wn_models_find(&models, "als"));
  const wn_item_record item = {
      .id = WN_STR("first"), .title = WN_STR("A small red boat"), .created_ms = 1700000000000};
  for (uint32_t ix = 0; ix < 3; ix++)
    assert_int_equal(wn_models_update_item(&models, ix, &item, &err), WN_OK);
  wn_event event = {.user = 0, .item = 1, .value = NAN, .time_ms = 1700000000000};
  wn_models_update(&models, &event, 1.0f);
  wn_query query = {.user = WN_NO_IX, .anchor = WN_NO_IX};
  wn_scored got[3];
  size_t count;
  for (size_t i = 0; i < models.len; i++) {
    if (models.data[i]->cls->flags & (WN_MODEL_ANCHOR | WN_MODEL_HISTORY))
      continue; /* asked nothing */
    assert_int_equal(models.data[i]->cls->candidates(models.data[i], &query, 3, got, &count, &err),
                     WN_OK);
    assert_int_equal(count, 3);
  }
  assert_int_equal(
      wn_models_find(&models, "popular")
          ->cls->candidates(wn_models_find(&models, "popular"), &query, 1, got, &count, &err),
      WN_OK);
  assert_int_equal(got[0].ix, 1);
  char path[] = "/tmp/winnow-set-XXXXXX";
  close(mkstemp(path));
  assert_int_equal(save_set(&models, path, 3, &snapshot), WN_OK);
  assert_int_equal(wn_models_map(snapshot, &mapped, &err), WN_OK);
  wn_snapshot_unref(snapshot); /* the set holds its own */
  assert_int_equal(mapped.len, 7);
  for (size_t i = 0; i < 7; i++) assert_ptr_equal(mapped.data[i]->cls, models.data[i]->cls);
  wn_models_update(&mapped, &event, 1.0f);
  wn_models_clear(&mapped);
  wn_models_clear(&models);
  assert_int_equal(models.len, 0);
}

/* No items at all, then events whose clocks jump: answers stay full, sorted and finite. */
static void test_cold_and_jumping(void **state) {
  (void)state;
  static const int64_t times[] = {1700000000000, 4102444800000, 0, 1700000000001, 1, 4102444799999};
  enum { ITEMS = 12 };
  wn_models models;
  wn_error err = {0};
  const wn_history_entry history[] = {{.item = 3, .weight = 1, .time_ms = 4102444800000},
                                      {.item = 7, .weight = 2, .time_ms = 5}};
  const uint8_t standing[] = {WN_STANDING_OPEN, WN_STANDING_DONE};
  wn_query query = {.history = history,
                    .history_len = 2,
                    .history_standing = standing,
                    .user = 1,
                    .anchor = WN_NO_IX,
                    .now_ms = 1700000000000};
  assert_int_equal(wn_models_empty(&models, &err), WN_OK);
  for (size_t i = 0; i < models.len; i++) {
    wn_scored got[5];
    size_t count = 9;
    query.history_len = 0;
    assert_int_equal(models.data[i]->cls->candidates(models.data[i], &query, 5, got, &count, &err),
                     WN_OK);
    assert_int_equal(count, 0);
  }
  query.history_len = 2;
  for (uint32_t e = 0; e < 60; e++) {
    wn_event event = {.user = e % 3,
                      .item = e * 7 % ITEMS,
                      .value = NAN,
                      .time_ms = times[e % (sizeof times / sizeof *times)],
                      .seq = e + 1};
    wn_models_update(&models, &event, 1.0f);
    for (size_t i = 0; i < models.len; i++) {
      float scores[ITEMS];
      check_twin(models.data[i], &query, ITEMS, ITEMS);
      assert_int_equal(models.data[i]->cls->score_all(models.data[i], &query, scores, ITEMS, &err),
                       WN_OK);
      for (int x = 0; x < ITEMS; x++) assert_true(scores[x] == -INFINITY || isfinite(scores[x]));
    }
  }
  wn_models_clear(&models);
}

/* One broken model refuses the whole set, and nothing leaks. */
static void test_broken_member(void **state) {
  (void)state;
  wn_error err;
  wn_snapshot *snapshot;
  wn_snapshot_writer *writer;
  wn_models models;
  char path[] = "/tmp/winnow-set-XXXXXX";
  const uint64_t items = 0;
  close(mkstemp(path));
  wn_model *popular = fit_events(&wn_model_popular, NULL, 0, 0, NULL);
  assert_int_equal(wn_snapshot_writer_create(path, &writer, &err), WN_OK);
  assert_int_equal(popular->cls->save(popular, writer, &err), WN_OK);
  popular->cls->free(popular);
  assert_int_equal(wn_snapshot_write(writer, "random/items", &items, 7, &err), WN_OK);
  assert_int_equal(wn_snapshot_write(writer, "popularity/count", &items, 8, &err), WN_OK);
  assert_int_equal(wn_snapshot_writer_finish(writer, &(wn_snapshot_about){.number = 1}, &err),
                   WN_OK);
  assert_int_equal(wn_snapshot_open(path, &snapshot, &err), WN_OK);
  unlink(path);
  assert_int_equal(wn_models_map(snapshot, &models, &err), WN_E_CORRUPT);
  assert_string_equal(err.field, "random/items");
  assert_int_equal(models.len, 0);
  wn_snapshot_unref(snapshot);
}

static void test_out_of_memory(void **state) {
  (void)state;
  wn_error err;
  for (long n = 0;; n++) {
    wn_models models;
    wn_mem_fail_after(n);
    wn_status status = wn_models_empty(&models, &err);
    bool done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    wn_models_clear(&models);
    if (done) {
      assert_int_equal(status, WN_OK);
      break;
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_registry),        cmocka_unit_test(test_params),
      cmocka_unit_test(test_empty_set_lives), cmocka_unit_test(test_cold_and_jumping),
      cmocka_unit_test(test_broken_member),   cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
