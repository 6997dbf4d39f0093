/* Opening: two writers, readers beside a writer, versions, foreign files, read-only folders. */
#include "store_testing.h"

#include "base/file.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

static wn_status open_status(wn_store_mode mode, wn_error *err) {
  wn_store *store = NULL;
  wn_status status = wn_store_open(test_dir, mode, &store, err);
  wn_store_close(store);
  return status;
}

static void set_pragma(const char *sql) {
  char path[128];
  sqlite3 *db;
  snprintf(path, sizeof path, "%s/winnow.db", test_dir);
  assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
  assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
  sqlite3_close(db);
}

static void write_file(const char *name, const char *content) {
  char path[128];
  snprintf(path, sizeof path, "%s/%s", test_dir, name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  fputs(content, f);
  fclose(f);
}

static void test_create(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = NULL;
  char deep[128], uuid[33];
  assert_int_equal(wn_store_open("", WN_STORE_WRITE, &store, &err), WN_E_ARGUMENT);
  assert_int_equal(open_status(WN_STORE_READ, &err), WN_E_NOT_FOUND);
  snprintf(deep, sizeof deep, "%s/a %%41 ?#/b", test_dir);
  assert_int_equal(wn_store_open(deep, WN_STORE_READ, &store, &err), WN_E_NOT_FOUND);
  assert_ok(wn_store_open(deep, WN_STORE_WRITE, &store, &err));
  assert_true(wn_store_writable(store));
  assert_str(wn_store_dir(store), deep);
  assert_int_equal(strlen(wn_store_uuid(store)), 32);
  memcpy(uuid, wn_store_uuid(store), sizeof uuid);
  commit_one(store, event_op(NULL, "a", "x", "view"));
  wn_store_close(store);
  assert_ok(wn_store_open(deep, WN_STORE_READ, &store, &err));
  assert_string_equal(wn_store_uuid(store), uuid);
  assert_false(wn_store_writable(store));
  assert_int_equal(counts_of(store).events, 1);
  wn_store_close(store);
}

static void test_two_writers(WN_UNUSED void **state) {
  wn_error err;
  char pid[32];
  wn_store *store = open_store(WN_STORE_WRITE);
  assert_int_equal(open_status(WN_STORE_WRITE, &err), WN_E_BUSY);
  snprintf(pid, sizeof pid, "%ld", (long)getpid());
  assert_non_null(strstr(err.message, pid));
  wn_store_close(store);
  wn_store_close(open_store(WN_STORE_WRITE));
}

static void test_reader_refuses_writes(WN_UNUSED void **state) {
  wn_error err;
  wn_store_close(open_store(WN_STORE_WRITE));
  wn_store *store = open_store(WN_STORE_READ);
  wn_op op = event_op(NULL, "a", "x", "view");
  assert_int_equal(wn_store_commit(store, &op, 1, &err), WN_E_UNSUPPORTED);
  assert_int_equal(wn_store_begin(store, &err), WN_E_UNSUPPORTED);
  assert_int_equal(wn_store_meta_set(store, "k", WN_STR("v"), &err), WN_E_UNSUPPORTED);
  wn_store_close(store);
}

/* A reader follows a running writer: rows, totals and the ids that they name. */
static void test_reader_beside_writer(WN_UNUSED void **state) {
  wn_error err;
  event_list seen = {0};
  wn_store *writer = open_store(WN_STORE_WRITE);
  commit_one(writer, event_op(NULL, "ann", "x", "view"));
  wn_store *reader = open_store(WN_STORE_READ);
  assert_int_equal(wn_dict_count(wn_store_users(reader)), 1);
  commit_one(writer, event_op(NULL, "bob", "y", "buy"));
  assert_ok(wn_store_scan_events(reader, 0, 0, keep_event, &seen, &err));
  assert_int_equal(seen.len, 2);
  assert_str(wn_dict_key(wn_store_users(reader), seen.data[1].user), "bob");
  assert_str(wn_dict_key(wn_store_items(reader), seen.data[1].item), "y");
  assert_str(wn_dict_key(wn_store_types(reader), seen.data[1].type), "buy");
  commit_one(writer, event_op(NULL, "kim", "z", "buy"));
  assert_int_equal(counts_of(reader).last_seq, 3);
  assert_int_equal(wn_dict_count(wn_store_users(reader)), 3);
  wn_store_close(writer);
  assert_int_equal(counts_of(reader).events, 3);
  wn_store_close(reader);
  wn_vec_clear(&seen);
}

typedef struct slow_scan {
  wn_store *store;
  size_t seen;
  uint64_t last;
} slow_scan;

/* In the middle of a scan the writer commits: not blocked, not seen. */
static wn_status commit_inside(void *ctx, const wn_stored_event *event, WN_UNUSED wn_error *err) {
  slow_scan *scan = ctx;
  assert_true(event->seq > scan->last);
  scan->last = event->seq;
  if (scan->seen++ < 50) commit_one(scan->store, event_op(NULL, "late", "x", "view"));
  return WN_OK;
}

static void test_scan_does_not_block(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  for (int i = 0; i < 100; i++) commit_one(store, event_op(NULL, "a", "x", "view"));
  slow_scan scan = {.store = store};
  assert_ok(wn_store_scan_events(store, 0, 0, commit_inside, &scan, &err));
  assert_int_equal(scan.seen, 100);
  assert_int_equal(counts_of(store).events, 150);
  wn_store_close(store);
}

typedef struct reading {
  wn_store *store;
  volatile bool stop;
  bool bad;
} reading;

static wn_status in_order(void *ctx, const wn_stored_event *event, WN_UNUSED wn_error *err) {
  return event->seq == ++*(uint64_t *)ctx ? WN_OK : WN_E_INTERNAL;
}

static void *read_all(void *arg) {
  reading *r = arg;
  wn_error err;
  wn_arena arena;
  wn_arena_init(&arena, 1 << 20);
  while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED) && !r->bad) {
    uint64_t seen = 0;
    wn_item_record item;
    wn_store_counts counts;
    wn_arena_reset(&arena);
    r->bad = wn_store_counts_get(r->store, &counts, &err) != WN_OK ||
             wn_store_scan_events(r->store, 0, 0, in_order, &seen, &err) != WN_OK ||
             seen < counts.last_seq ||
             (counts.items > 0 && wn_store_get_item(r->store, 0, &arena, &item, &err) != WN_OK);
    if (!r->bad && counts.items > 0) r->bad = !wn_str_is(item.id, "x");
  }
  wn_arena_clear(&arena);
  return NULL;
}

static void test_readers_in_threads(WN_UNUSED void **state) {
  pthread_t threads[4];
  wn_store *store = open_store(WN_STORE_WRITE), *other = NULL;
  other = open_store(WN_STORE_READ);
  reading readings[4] = {{.store = store}, {.store = store}, {.store = other}, {.store = other}};
  for (int i = 0; i < 4; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readings[i]), 0);
  }
  for (int i = 0; i < 300; i++) {
    char user[16];
    snprintf(user, sizeof user, "u%d", i);
    commit_one(store, event_op(user, user, "x", "view"));
  }
  for (int i = 0; i < 4; i++) {
    __atomic_store_n(&readings[i].stop, true, __ATOMIC_RELAXED);
    pthread_join(threads[i], NULL);
    assert_false(readings[i].bad);
  }
  wn_store_close(other);
  wn_store_close(store);
}

static void test_versions(WN_UNUSED void **state) {
  wn_error err;
  wn_store_close(open_store(WN_STORE_WRITE));
  set_pragma("PRAGMA user_version = 1000");
  assert_int_equal(open_status(WN_STORE_WRITE, &err), WN_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "newer"));
  assert_int_equal(open_status(WN_STORE_READ, &err), WN_E_UNSUPPORTED);
  set_pragma("PRAGMA user_version = 1; PRAGMA application_id = 1");
  assert_int_equal(open_status(WN_STORE_WRITE, &err), WN_E_CORRUPT);
  assert_int_equal(open_status(WN_STORE_READ, &err), WN_E_CORRUPT);
}

/* A store of version 1 with an event and a slate. */
static void make_old(void) {
  wn_store *store = open_store(WN_STORE_WRITE);
  commit_one(store, event_op(NULL, "ann", "x", "view"));
  wn_store_close(store);
  set_pragma(
      "INSERT INTO slates VALUES(1, 's1', 5, 'home', 0, NULL, NULL, NULL, 3, 0, '[[0,1]]', 0, "
      "NULL, NULL, NULL, NULL, NULL, NULL, NULL); UPDATE counters SET value = 1 WHERE name = "
      "'slates';"
      "DROP VIEW impressions; ALTER TABLE slates DROP COLUMN policy;"
      "ALTER TABLE slates DROP COLUMN arms; ALTER TABLE slates DROP COLUMN features;"
      "ALTER TABLE slates DROP COLUMN filter; ALTER TABLE slates DROP COLUMN excluded;"
      "ALTER TABLE slates DROP COLUMN context; ALTER TABLE slates DROP COLUMN request;"
      "ALTER TABLE slates DROP COLUMN weights;"
      "PRAGMA user_version = 1");
}

static void check_upgraded(void) {
  wn_error err;
  assert_ok(open_status(WN_STORE_READ, &err));
  assert_int_equal(query("SELECT count(*) FROM impressions WHERE slate = 's1' AND arms IS NULL"),
                   1);
  assert_int_equal(query("SELECT count(*) FROM events"), 1);
  assert_int_equal(query("SELECT user_version FROM pragma_user_version"), 6);
}

/* What a reader says of it, and that a writer brings it up to date. */
static void test_upgrade(WN_UNUSED void **state) {
  wn_error err;
  make_old();
  assert_int_equal(open_status(WN_STORE_READ, &err), WN_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "older"));
  assert_ok(open_status(WN_STORE_WRITE, &err));
  check_upgraded();
}

/* So does a reader that may: with the writers' lock, which it does not keep. */
static void test_upgrade_to_read(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = NULL;
  char path[600];
  int lock = -1;
  make_old();
  snprintf(path, sizeof path, "%s/winnow.lock", test_dir);
  assert_ok(wn_lock_file(path, &lock, &err));
  assert_int_equal(wn_store_open_upgraded(test_dir, &store, &err), WN_E_BUSY);
  assert_int_equal(query("SELECT user_version FROM pragma_user_version"), 1);
  wn_unlock_file(lock);
  assert_ok(wn_store_open_upgraded(test_dir, &store, &err));
  assert_int_equal(counts_of(store).events, 1);
  assert_ok(open_status(WN_STORE_WRITE, &err));
  wn_store_close(store);
  check_upgraded();
  set_pragma("PRAGMA user_version = 1000");
  assert_int_equal(wn_store_open_upgraded(test_dir, &store, &err), WN_E_UNSUPPORTED);
  assert_non_null(strstr(err.message, "newer"));
}

static void test_foreign_files(WN_UNUSED void **state) {
  wn_error err;
  write_file("winnow.db", "This is no database, but it is long enough to be looked at by one.\n"
                          "This is no database, but it is long enough to be looked at by one.\n");
  assert_int_equal(open_status(WN_STORE_READ, &err), WN_E_CORRUPT);
  assert_int_equal(open_status(WN_STORE_WRITE, &err), WN_E_CORRUPT);
  write_file("winnow.db", ""); /* what a crash at the very first moment leaves */
  assert_int_equal(open_status(WN_STORE_READ, &err), WN_E_NOT_FOUND);
  assert_ok(open_status(WN_STORE_WRITE, &err));
  assert_ok(open_status(WN_STORE_READ, &err));
}

/* Gaps and duplicates in the tables of ids would shift every index behind them. */
static void test_damaged_ids(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  for (int i = 0; i < 3; i++) commit_one(store, item_op(i == 0 ? "a" : i == 1 ? "b" : "c", "t"));
  wn_store_close(store);
  set_pragma("UPDATE items SET id = 'a' WHERE id = 'c'");
  assert_int_equal(open_status(WN_STORE_READ, &err), WN_E_CORRUPT);
  assert_non_null(strstr(err.message, "duplicate"));
  set_pragma("UPDATE items SET id = 'c' WHERE ix = 2; DELETE FROM items WHERE ix = 1");
  assert_int_equal(open_status(WN_STORE_WRITE, &err), WN_E_CORRUPT);
  assert_non_null(strstr(err.message, "sequence"));
}

static int as_nobody(int (*check)(void)) {
  int result = 0;
  pid_t pid = fork();
  if (pid == 0) {
    if (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(77);
    _exit(check());
  }
  waitpid(pid, &result, 0);
  return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

static int read_one_event(void) {
  wn_error err;
  wn_store *store = NULL;
  event_list seen = {0};
  if (access(test_dir, W_OK) == 0) return 10;
  if (wn_store_open(test_dir, WN_STORE_WRITE, &store, &err) != WN_E_IO) return 11;
  if (wn_store_open(test_dir, WN_STORE_READ, &store, &err) != WN_OK) return 12;
  if (wn_store_scan_events(store, 0, 0, keep_event, &seen, &err) != WN_OK) return 13;
  wn_store_close(store);
  wn_vec_clear(&seen);
  return seen.len == 0 ? 0 : 14;
}

/* A folder that may not be written: a closed store is read; one that has a log with data and no
 * shared memory beside it is refused with a reason rather than read without its newest rows. */
static void test_read_only_folder(WN_UNUSED void **state) {
  char command[512];
  wn_store *store = open_store(WN_STORE_WRITE);
  commit_one(store, event_op(NULL, "a", "x", "view"));
  wn_store_close(store);
  snprintf(command, sizeof command, "chmod 0444 %s/* && chmod 0555 %s", test_dir, test_dir);
  assert_int_equal(system(command), 0);
  int result = as_nobody(read_one_event);
  if (result == 77) skip();
  assert_int_equal(result, 0);
}

static int read_log_without_memory(void) {
  wn_error err;
  wn_store *store = NULL;
  wn_status status = wn_store_open(test_dir, WN_STORE_READ, &store, &err);
  wn_store_close(store);
  return status == WN_E_IO && strstr(err.message, "log") != NULL ? 0 : 20;
}

static void test_read_only_folder_with_log(WN_UNUSED void **state) {
  char command[1024];
  wn_store *store = open_store(WN_STORE_WRITE);
  commit_one(store, event_op(NULL, "a", "x", "view"));
  snprintf(command, sizeof command,
           "mkdir %s/copy && cp %s/winnow.db %s/winnow.db-wal %s/copy/ && chmod 0555 %s/copy && "
           "chmod 0755 %s",
           test_dir, test_dir, test_dir, test_dir, test_dir, test_dir);
  assert_int_equal(system(command), 0);
  wn_store_close(store);
  char outer[sizeof test_dir];
  memcpy(outer, test_dir, sizeof outer);
  memcpy(test_dir + strlen(test_dir), "/copy", 6);
  int result = as_nobody(read_log_without_memory);
  memcpy(test_dir, outer, sizeof outer);
  if (result == 77) skip();
  assert_int_equal(result, 0);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_DIR(test_create),
      IN_DIR(test_two_writers),
      IN_DIR(test_reader_refuses_writes),
      IN_DIR(test_reader_beside_writer),
      IN_DIR(test_scan_does_not_block),
      IN_DIR(test_readers_in_threads),
      IN_DIR(test_versions),
      IN_DIR(test_upgrade),
      IN_DIR(test_upgrade_to_read),
      IN_DIR(test_foreign_files),
      IN_DIR(test_damaged_ids),
      IN_DIR(test_read_only_folder),
      IN_DIR(test_read_only_folder_with_log),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
