#ifndef WN_TESTS_STORE_TESTING_H
#define WN_TESTS_STORE_TESTING_H
/* Shared by the store's tests: temporary folders, operations in one line, a look at the rows. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "store/commit.h"
#include "store/store.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define T0 INT64_C(1700000000000)

#define assert_ok(call)                                                                            \
  do {                                                                                             \
    wn_status status_ = (call);                                                                    \
    if (status_ != WN_OK) fail_msg("%s: %s: %s", #call, wn_status_name(status_), err.message);     \
  } while (0)
#define assert_str(s, text)                                                                        \
  do {                                                                                             \
    wn_str s_ = (s);                                                                               \
    if (!wn_str_is(s_, text)) fail_msg("\"%.*s\" is not \"%s\"", WN_STR_ARG(s_), text);            \
  } while (0)

static WN_UNUSED char test_dir[64];

/* In memory where the system offers it: the tests are about what is written, not how fast. */
static WN_UNUSED int make_dir(WN_UNUSED void **state) {
  bool memory = access("/dev/shm", W_OK) == 0;
  snprintf(test_dir, sizeof test_dir, "%s/winnow-store-XXXXXX", memory ? "/dev/shm" : "/tmp");
  return mkdtemp(test_dir) == NULL;
}

static WN_UNUSED int drop_dir(WN_UNUSED void **state) {
  static const char *const names[] = {"winnow.db", "winnow.db-wal", "winnow.db-shm",
                                      "winnow.db-journal", "winnow.lock"};
  char path[128], command[256];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s/%s", test_dir, names[i]);
    unlink(path);
  }
  if (rmdir(test_dir) == 0) return 0;
  snprintf(command, sizeof command, "chmod -R u+w '%s' && rm -rf '%s'", test_dir, test_dir);
  return system(command);
}

static WN_UNUSED wn_store *open_store(wn_store_mode mode) {
  wn_store *store = NULL;
  wn_error err;
  assert_ok(wn_store_open(test_dir, mode, &store, &err));
  return store;
}

static WN_UNUSED wn_op event_op(const char *id, const char *user, const char *item,
                                const char *type) {
  return (wn_op){.kind = WN_OP_EVENT,
                 .u.event = {.id = wn_str_of(id),
                             .user = wn_str_of(user),
                             .item = wn_str_of(item),
                             .type = wn_str_of(type),
                             .value = (double)NAN,
                             .time_ms = T0}};
}

static WN_UNUSED wn_op item_op(const char *id, const char *title) {
  return (wn_op){.kind = WN_OP_ITEM_PUT,
                 .u.item = {.id = wn_str_of(id), .title = wn_str_of(title)}};
}

static WN_UNUSED wn_op delete_op(const char *id) {
  return (wn_op){.kind = WN_OP_ITEM_DELETE, .u.item = {.id = wn_str_of(id)}};
}

static WN_UNUSED wn_op patch_op(const char *id, const char *patch) {
  return (wn_op){
      .kind = WN_OP_ITEM_PATCH, .u.item = {.id = wn_str_of(id)}, .patch = wn_str_of(patch)};
}

static WN_UNUSED wn_op user_op(wn_op_kind kind, const char *id) {
  return (wn_op){.kind = kind, .u.user = {.id = wn_str_of(id)}};
}

/* Commits one operation that must be accepted. */
static WN_UNUSED wn_op commit_one(wn_store *store, wn_op op) {
  wn_error err;
  assert_ok(wn_store_commit(store, &op, 1, &err));
  if (op.status != WN_OK) fail_msg("refused: %s", op.reason);
  return op;
}

/* Commits one operation that must be refused, and gives its status. `reason`: its field or part of
 * its reason. */
static WN_UNUSED wn_status refused(wn_store *store, wn_op op, const char *reason) {
  wn_error err;
  assert_ok(wn_store_commit(store, &op, 1, &err));
  assert_int_not_equal(op.status, WN_OK);
  if (strcmp(op.field, reason) != 0 && strstr(op.reason, reason) == NULL)
    fail_msg("\"%s\", \"%s\" lacks \"%s\"", op.field, op.reason, reason);
  return op.status;
}

static WN_UNUSED wn_store_counts counts_of(wn_store *store) {
  wn_error err;
  wn_store_counts counts;
  assert_ok(wn_store_counts_get(store, &counts, &err));
  return counts;
}

/* The first column of the first row, as a person with the sqlite3 shell would see it. */
static WN_UNUSED int64_t query(const char *sql) {
  char path[128];
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  snprintf(path, sizeof path, "%s/winnow.db", test_dir);
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
  sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) {
    fail_msg("%s: %s", sql, sqlite3_errmsg(db));
  }
  assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
  int64_t value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  sqlite3_close(db);
  return value;
}

static WN_UNUSED void check_integrity(void) {
  assert_int_equal(query("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
}

/* The totals equal what the tables hold. */
static WN_UNUSED void check_counts(wn_store *store) {
  wn_store_counts c = counts_of(store);
  assert_int_equal(c.events, query("SELECT count(*) FROM events"));
  assert_int_equal(c.items, query("SELECT count(*) FROM items WHERE status < 2"));
  assert_int_equal(c.items_hidden, query("SELECT count(*) FROM items WHERE status = 1"));
  assert_int_equal(c.users, query("SELECT count(*) FROM users WHERE NOT deleted"));
  assert_int_equal(c.slates, query("SELECT count(*) FROM slates"));
  assert_int_equal(c.item_rev, query("SELECT coalesce(max(rev), 0) FROM items"));
  assert_int_equal(c.first_ms, query("SELECT coalesce(min(time_ms), 0) FROM events"));
  assert_int_equal(c.last_ms, query("SELECT coalesce(max(time_ms), 0) FROM events"));
  assert_true((int64_t)c.last_seq >= query("SELECT coalesce(max(seq), 0) FROM events"));
}

typedef WN_VEC(wn_stored_event) event_list;

static WN_UNUSED wn_status keep_event(void *ctx, const wn_stored_event *event,
                                      WN_UNUSED wn_error *err) {
  event_list *list = ctx;
  return wn_vec_push(list, *event) ? WN_OK : WN_E_MEMORY;
}

#endif
