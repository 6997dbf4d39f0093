#include "read_harness.h"

typedef wn_status read_fn(const char *path, wn_dataset_builder *builder, wn_error *err);

static wn_dataset_builder *new_builder(void) {
  static wn_signals signals;
  wn_signals_defaults(&signals);
  wn_dataset_builder *builder = wn_dataset_builder_create(&signals);
  assert_non_null(builder);
  return builder;
}

/* The events as "user:item " in the order of the builder. */
static void expect_events(read_fn *read, const char *text, const char *expected) {
  wn_error err;
  wn_buf got = {0};
  wn_dataset_builder *builder = new_builder();
  assert_int_equal(read(write_text("pairs.txt", text), builder, &err), WN_OK);
  wn_dataset_builder_sort(builder);
  const wn_event *events = wn_dataset_builder_events(builder);
  for (size_t i = 0; i < wn_dataset_builder_count(builder); i++) {
    wn_buf_printf(&got, "%u:%u ", events[i].user, events[i].item);
    if (i == 0) continue;
    if (read == wn_read_sequence)
      assert_true(events[i].time_ms > events[i - 1].time_ms);
    else
      assert_true(events[i].time_ms == events[i - 1].time_ms); /* a set has no order */
  }
  assert_string_equal(got.len > 0 ? wn_buf_c(&got) : "", expected);
  wn_buf_clear(&got);
  wn_dataset_builder_free(builder);
}

static void expect_failure(read_fn *read, const char *text, long line, const char *field) {
  wn_error err;
  wn_dataset_builder *builder = new_builder();
  const char *path = write_text("pairs.txt", text);
  assert_int_equal(read(path, builder, &err), WN_E_FORMAT);
  assert_int_equal(err.line, line);
  assert_string_equal(err.field, field);
  assert_string_equal(err.file, path);
  wn_dataset_builder_free(builder);
}

static void test_adjacency(WN_UNUSED void **state) {
  expect_events(wn_read_adjacency, "", "");
  expect_events(wn_read_adjacency, "0 5 3 4\n\n1\n2\t7 \r\n", "0:5 0:3 0:4 2:7 ");
  expect_events(wn_read_adjacency, "2147483647 2147483647", "2147483647:2147483647 ");
  expect_failure(wn_read_adjacency, "0 1\n0 x\n", 2, "item");
  expect_failure(wn_read_adjacency, "a 1\n", 1, "user");
  expect_failure(wn_read_adjacency, "0 2147483648\n", 1, "item");
  expect_failure(wn_read_adjacency, "0 -1\n", 1, "item");
  expect_failure(wn_read_adjacency, "0 1.0\n", 1, "item");
  expect_failure(wn_read_adjacency, "0 99999999999999999999\n", 1, "item");
}

static void test_pairs(WN_UNUSED void **state) {
  expect_events(wn_read_pairs, "1 9\n0\t4 5 978300000\n1 1\n", "1:9 0:4 1:1 ");
  expect_failure(wn_read_pairs, "1\n", 1, "item");
  expect_failure(wn_read_pairs, "x 1\n", 1, "user");
}

static void test_negatives(WN_UNUSED void **state) {
  expect_events(wn_read_negatives, "(0,25)\t7\t3\n(1,2)\n", "0:25 0:7 0:3 1:2 ");
  const char *bad[] = {"0 25 7", "(0 25)", "0,25)", "(0,25"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    expect_failure(wn_read_negatives, bad[i], 1, "");
  expect_failure(wn_read_negatives, "(0,1) 2\n(,1) 2\n", 2, "user");
  expect_failure(wn_read_negatives, "(0,)", 1, "item");
  expect_failure(wn_read_negatives, "(0,1) x", 1, "item");
}

static void test_sequence(WN_UNUSED void **state) {
  expect_events(wn_read_sequence, "1 9\n1 3\n0 4\n1 1\n", "1:9 1:3 0:4 1:1 ");
  expect_failure(wn_read_sequence, "1\n", 1, "item");
  expect_failure(wn_read_sequence, "1 2\n1 2 3\n", 2, "");
  wn_error err;
  wn_dataset_builder *builder = new_builder();
  assert_int_equal(wn_read_sequence(scratch_path("absent"), builder, &err), WN_E_NOT_FOUND);
  wn_dataset_builder_free(builder);
}

/* Every pair weighs 1, whatever the signals say, and a repeated one is merged. */
static void test_weights(WN_UNUSED void **state) {
  wn_error err;
  wn_dataset data;
  wn_dataset_builder *builder = new_builder();
  assert_int_equal(wn_read_adjacency(write_text("p.txt", "0 2 1\n1 2 2\n"), builder, &err), WN_OK);
  assert_int_equal(wn_dataset_build(builder, 0, 0, 0, &data, &err), WN_OK);
  assert_int_equal(data.by_user.nnz, 3);
  assert_int_equal(data.event_count, 4);
  assert_int_equal(data.duplicate_pair_count, 1);
  assert_int_equal(data.by_user.col[0], 2); /* the file's order */
  assert_int_equal(data.by_user.col[1], 1);
  assert_true(data.by_user.weight[0] == 1.0f && data.by_user.weight[1] == 1.0f);
  wn_dataset_clear(&data);
  wn_dataset_builder_free(builder);
}

static void expect_real(read_fn *read, const char *name, uint64_t nnz, uint32_t users,
                        uint32_t items) {
  wn_error err;
  wn_dataset data;
  const char *path = real_data(name);
  if (path == NULL) skip();
  wn_dataset_builder *builder = new_builder();
  assert_int_equal(read(path, builder, &err), WN_OK);
  assert_int_equal(wn_dataset_builder_count(builder), nnz);
  assert_int_equal(wn_dataset_build(builder, 0, 0, 0, &data, &err), WN_OK);
  assert_int_equal(data.by_user.nnz, nnz);
  assert_int_equal(data.users, users);
  assert_int_equal(data.items, items);
  wn_dataset_clear(&data);
  wn_dataset_builder_free(builder);
}

static void test_gowalla(WN_UNUSED void **state) {
  expect_real(wn_read_adjacency, "gowalla-lightgcn/train.txt.xz", 810128, 29858, 40981);
}

/* Ids begin at 1, so that row and column 0 are empty. */
static void test_ml_1m_sasrec(WN_UNUSED void **state) {
  expect_real(wn_read_sequence, "ml-1m-sasrec/ml-1m.txt.xz", 999611, 6041, 3417);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_adjacency),    cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_negatives),    cmocka_unit_test(test_sequence),
      cmocka_unit_test(test_weights),      cmocka_unit_test(test_gowalla),
      cmocka_unit_test(test_ml_1m_sasrec),
  };
  return cmocka_run_group_tests(tests, make_scratch, drop_scratch);
}
