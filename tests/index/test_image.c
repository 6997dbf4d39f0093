/* Images and files: what is written maps and verifies; every flipped bit is refused with a reason;
 * a truncated one does not map. */
#include "sets.h"

#include <unistd.h>

typedef struct image {
  unsigned char *bytes;
  size_t len;
} image;

static wn_status take(void *ctx, const void *data, size_t bytes, WN_UNUSED wn_error *err) {
  image *to = ctx;
  memcpy(to->bytes + to->len, data, bytes);
  to->len += bytes;
  return WN_OK;
}

static image make_image(wn_metric metric, bool with_rows) {
  wn_error err = {0};
  wn_index *index;
  wn_index_options options;
  float *rows = make_rows(100, 5, 1);
  wn_vectors vectors = {rows, 100, 5};
  image to = {0};
  wn_index_options_defaults(&options);
  options.metric = metric;
  options.lists = 3;
  ok(wn_index_build(&vectors, &options, &index, &err), &err);
  assert_int_equal(posix_memalign((void **)&to.bytes, 64, 1 << 20), 0);
  wn_index_sink sink = {&to, take};
  ok(wn_index_write(index, with_rows, &sink, &err), &err);
  wn_index_free(index);
  wn_free(rows);
  return to;
}

static void test_flipped_bits(WN_UNUSED void **state) {
  for (int metric = 0; metric < 3; metric++) {
    wn_error err = {0};
    image sample = make_image((wn_metric)metric, metric != 1);
    ok(wn_index_verify(sample.bytes, sample.len, &err), &err);
    for (size_t i = 0; i < sample.len; i++) {
      sample.bytes[i] ^= (unsigned char)(1u << (i % 8));
      memset(&err, 0, sizeof err);
      assert_int_not_equal(wn_index_verify(sample.bytes, sample.len, &err), WN_OK);
      assert_true(err.message[0] != '\0');
      sample.bytes[i] ^= (unsigned char)(1u << (i % 8));
    }
    free(sample.bytes);
  }
}

static void test_truncated(WN_UNUSED void **state) {
  image sample = make_image(WN_METRIC_IP, true);
  for (size_t len = 0; len < sample.len; len++) {
    wn_error err = {0};
    wn_index *index;
    assert_int_equal(wn_index_map(sample.bytes, len, NULL, &index, &err), WN_E_CORRUPT);
    assert_null(index);
    if (len % 97 == 0) assert_int_not_equal(wn_index_verify(sample.bytes, len, &err), WN_OK);
  }
  free(sample.bytes);
}

static void test_rows_elsewhere(WN_UNUSED void **state) {
  wn_error err = {0};
  wn_index *index;
  image sample = make_image(WN_METRIC_IP, false);
  float *rows = make_rows(100, 5, 1), got[5];
  assert_int_equal(wn_index_map(sample.bytes, sample.len, NULL, &index, &err), WN_E_ARGUMENT);
  wn_vectors vectors = {rows, 99, 5};
  assert_int_equal(wn_index_map(sample.bytes, sample.len, &vectors, &index, &err), WN_E_ARGUMENT);
  vectors.count = 100;
  ok(wn_index_map(sample.bytes, sample.len, &vectors, &index, &err), &err);
  ok(wn_index_get(index, 42, got, &err), &err);
  assert_memory_equal(got, rows + 210, sizeof got);
  wn_index_free(index);
  assert_int_equal(wn_index_map(sample.bytes + 8, sample.len - 8, NULL, &index, &err),
                   WN_E_ARGUMENT); /* not aligned */
  wn_free(rows);
  free(sample.bytes);
}

static void test_files(WN_UNUSED void **state) {
  wn_error err = {0};
  wn_index *index, *opened;
  wn_index_options options;
  wn_index_about about;
  char path[64];
  float *rows = make_rows(300, 7, 1), got[7];
  wn_vectors vectors = {rows, 300, 7};
  snprintf(path, sizeof path, "/tmp/wn-index-test-%ld", (long)getpid());
  wn_index_options_defaults(&options);
  ok(wn_index_build(&vectors, &options, &index, &err), &err);
  ok(wn_index_remove(index, 9, &err), &err);
  ok(wn_index_upsert(index, 301, rows, &err), &err);
  ok(wn_index_save(index, path, &err), &err); /* changes merged in */
  ok(wn_index_verify_file(path, &err), &err);
  ok(wn_index_open(path, &opened, &err), &err);
  wn_index_about_of(opened, &about);
  assert_int_equal(about.rows, 300);
  assert_int_equal(about.ids, 302);
  assert_int_equal(about.changes, 0);
  assert_int_equal(wn_index_get(opened, 9, got, &err), WN_E_NOT_FOUND);
  assert_int_equal(wn_index_get(opened, 300, got, &err), WN_E_NOT_FOUND);
  ok(wn_index_get(opened, 301, got, &err), &err);
  ok(wn_index_upsert(opened, 9, rows, &err), &err); /* a mapped index takes changes, too */
  ok(wn_index_compact(opened, NULL, &err), &err);
  ok(wn_index_get(opened, 9, got, &err), &err);
  wn_index_free(opened);
  wn_index_free(index);
  unlink(path);
  assert_int_equal(wn_index_open(path, &opened, &err), WN_E_NOT_FOUND);
  wn_free(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_flipped_bits),
      cmocka_unit_test(test_truncated),
      cmocka_unit_test(test_rows_elsewhere),
      cmocka_unit_test(test_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
