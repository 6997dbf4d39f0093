/* Batch jobs: cancelled anywhere and gone on with, the file is that of one run; what is damaged is
 * said, and not believed. */
#include "lab/harness.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "lab/batch.h"
#include "lab/batch_files.h"

#include <unistd.h>

enum { USERS = 203, N = 5 };

static char folder[] = "/tmp/winnow-batch-XXXXXX";
static wn_pool *pool;

static int setup(void **state) {
  (void)state;
  pool = wn_pool_create(2);
  return mkdtemp(folder) == NULL || pool == NULL;
}

static int teardown(void **state) {
  (void)state;
  wn_pool_free(pool);
  return rmdir(folder);
}

static const char *path_of(const char *name, char *room) {
  snprintf(room, 200, "%s/%s", folder, name);
  return room;
}

static wn_status rank(void *ctx, const wn_batch_tile *tile, wn_error *err) {
  (void)ctx;
  (void)err;
  for (size_t u = 0; u < tile->len; u++) {
    uint64_t at = tile->at + u;
    tile->count[u] = at % 7 == 3 ? 0 : 1 + at % N;
    for (size_t k = 0; k < tile->count[u]; k++)
      tile->out[u * N + k] =
          (wn_scored){(uint32_t)(wn_mix64(at * N + k) % 1000), 1 / (float)(k + 1)};
  }
  return WN_OK;
}

static wn_str user_id(void *ctx, uint64_t at, char room[WN_BATCH_ID_ROOM]) {
  (void)ctx;
  int len = snprintf(room, WN_BATCH_ID_ROOM, "u,\"%u", (unsigned)at);
  return (wn_str){room, (size_t)len};
}

static wn_str item_id(void *ctx, uint32_t ix, char room[WN_BATCH_ID_ROOM]) {
  (void)ctx;
  int len = snprintf(room, WN_BATCH_ID_ROOM, "i%u", ix);
  return (wn_str){room, (size_t)len};
}

static const wn_batch_job job = {USERS, N, NULL, rank, user_id, item_id};

/* Lets `left` chunks pass. */
static bool count_down(void *ctx, const char *stage, double done, double total, const char *unit) {
  int *left = ctx;
  (void)stage, (void)done, (void)total, (void)unit;
  return (*left)-- > 0;
}

/* One run of the job; `chunks` < 0: to its end. */
static wn_status run(const char *path, wn_batch_format format, int chunks, wn_error *err) {
  bool found;
  wn_batch_state state;
  wn_batch_report report;
  const wn_progress progress = {&chunks, count_down};
  const wn_batch_output output = {path, format, 10 + (uint64_t)format, pool,
                                  chunks < 0 ? NULL : &progress};
  wn_status status = wn_batch_state_load(path, &state, &found, err);
  if (status != WN_OK) return status;
  state.users = USERS;
  return wn_batch_run(&job, &output, &state, &report, err);
}

static wn_buf content(const char *path) {
  wn_buf bytes = {0};
  wn_error err = {0};
  assert_int_equal(wn_read_file(path, 1 << 24, &bytes, &err), WN_OK);
  return bytes;
}

static void pieces_make_the_whole(void **state) {
  (void)state;
  char a[200], b[200];
  wn_error err = {0};
  path_of("whole", a);
  path_of("pieces", b);
  for (int format = WN_BATCH_CSV; format <= WN_BATCH_SQLITE; format++) {
    assert_int_equal(run(a, format, -1, &err), WN_OK);
    for (int chunks = 0; chunks < 5; chunks++) {
      assert_int_equal(run(b, format, chunks, &err), WN_E_CANCELLED);
      assert_int_equal(access(b, F_OK), -1);
    }
    assert_int_equal(run(b, format, -1, &err), WN_OK);
    wn_buf one = content(a), other = content(b);
    if (format != WN_BATCH_SQLITE) { /* whose file says how often it was written */
      assert_int_equal(one.len, other.len);
      assert_memory_equal(one.data, other.data, one.len);
    }
    if (format == WN_BATCH_CSV)
      assert_int_equal(memcmp(one.data, "user,item,score,rank\n\"u,\"\"0\",i", 30), 0);
    wn_buf_clear(&one);
    wn_buf_clear(&other);
    unlink(a);
    unlink(b);
  }
}

static void damage_is_said(void **state) {
  (void)state;
  char path[200], part[220], side[220];
  wn_error err = {0};
  path_of("damaged", path);
  snprintf(part, sizeof part, "%s.partial", path);
  snprintf(side, sizeof side, "%s.state", path);
  for (int format = WN_BATCH_CSV; format <= WN_BATCH_SQLITE; format++) {
    assert_int_equal(run(path, format, 3, &err), WN_E_CANCELLED);
    assert_int_equal(truncate(part, format == WN_BATCH_SQLITE ? 0 : 30), 0);
    assert_int_equal(run(path, format, -1, &err), WN_E_CORRUPT);
    assert_non_null(strstr(err.message, "begin again"));
    wn_batch_discard(path);
  }
  const char *bad[] = {"", "winnow batch 2\n",
                       ("winnow batch 1\njob 1\nsnapshot 0\nseq 0\nusers 3\nnow_ms 0\ndone 4\n"
                        "bytes 0\n")};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(wn_write_file_atomic(side, wn_str_of(bad[i]), &err), WN_OK);
    assert_int_equal(run(path, WN_BATCH_CSV, -1, &err), WN_E_CORRUPT);
  }
  wn_batch_discard(path);
  assert_int_equal(run("/nonexistent/folder/x", WN_BATCH_CSV, -1, &err), WN_E_IO);
}

static void memory_may_end_anywhere(void **state) {
  (void)state;
  char path[200];
  path_of("starved", path);
  wn_status status = WN_E_MEMORY;
  for (long n = 0; status != WN_OK && n < 2000; n++) {
    wn_error err = {0};
    wn_mem_fail_after(n);
    status = run(path, WN_BATCH_CSV, -1, &err);
    wn_mem_fail_after(-1);
    if (status != WN_OK) assert_int_equal(status, WN_E_MEMORY);
  }
  assert_int_equal(status, WN_OK);
  unlink(path);
}

/* A file as the subject: what a user has stays out, and lists are those of the model alone. */
static void lists_of_a_file(void **state) {
  (void)state;
  enum { U = 60, I = 50 };
  static wn_event events[U * 8];
  static wn_signals signals;
  wn_train_options train;
  wn_batch_files *files = NULL;
  wn_error err = {0};
  wn_scored out[WN_BATCH_TILE * 10];
  size_t count[WN_BATCH_TILE];
  for (uint32_t n = 0; n < U * 8; n++)
    events[n] = (wn_event){n / 8, (uint32_t)(wn_mix64(n) % I), UINT32_MAX, NAN, 1, n + 1};
  wn_train_options_defaults(&train);
  for (size_t m = 0; m < train.models_len; m++)
    train.models[m].left_out = strcmp(train.models[m].cls->name, "popular") != 0;
  const wn_batch_files_ask ask = {
      .events = {events, U * 8}, .signals = &signals, .train = &train, .model = "popular", .n = 10};
  assert_int_equal(wn_batch_files_create(&ask, 2, NULL, &files, &err), WN_OK);
  assert_int_equal(wn_batch_files_users(files), U);
  const wn_batch_job of_file = wn_batch_files_job(files);
  const wn_batch_tile tile = {12, WN_BATCH_TILE, 1, out, count};
  assert_int_equal(of_file.rank(of_file.ctx, &tile, &err), WN_OK);
  for (uint32_t u = 0; u < WN_BATCH_TILE; u++) {
    assert_int_equal(count[u], 10);
    for (size_t k = 0; k < 10; k++)
      for (size_t e = 0; e < 8; e++)
        assert_int_not_equal(out[u * 10 + k].ix, events[(12 + u) * 8 + e].item);
  }
  wn_batch_files_free(files);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pieces_make_the_whole),
      cmocka_unit_test(damage_is_said),
      cmocka_unit_test(memory_may_end_anywhere),
      cmocka_unit_test(lists_of_a_file),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
