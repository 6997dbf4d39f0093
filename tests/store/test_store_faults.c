/* What the disk may do: each write and each fsync of a workload fails in turn (no space, I/O error,
 * a short write, a failed fsync), the power goes at any moment, the log's tail is damaged. Each
 * time, opening again shows whole transactions: all that were acknowledged and, unless the
 * acknowledgement itself was cut off, no other. */
#include "faulty_vfs.h"

#include "store/sqlite.h"

#define COMMITS 14

/* Transaction t holds t % 4 + 1 events of user "t<t>", and each third an item with a long text. */
typedef struct transaction {
  wn_op ops[8];
  char user[16], ids[8][48], item[24];
  size_t count, events;
} transaction;

static char long_text[20001];

static void make_transaction(transaction *t, int number) {
  memset(long_text, 'x', sizeof long_text - 1);
  t->count = 0;
  t->events = (size_t)number % 4 + 1;
  snprintf(t->user, sizeof t->user, "t%d", number);
  for (size_t i = 0; i < t->events; i++) {
    snprintf(t->ids[i], sizeof t->ids[i], "%d-%zu", number, i);
    t->ops[t->count++] = event_op(t->ids[i], t->user, t->ids[i], "view");
  }
  if (number % 3 != 0) return;
  snprintf(t->item, sizeof t->item, "item%d", number);
  wn_op op = item_op(t->item, "title");
  op.u.item.text = wn_str_of(long_text);
  t->ops[t->count++] = op;
}

typedef enum outcome { NOT_SENT, ACKNOWLEDGED, REFUSED, UNKNOWN } outcome;

static wn_status count_user(void *ctx, const wn_stored_event *event, WN_UNUSED wn_error *err) {
  if (event->user < 64) ((size_t *)ctx)[event->user]++;
  return WN_OK;
}

/* Opens the store and compares it with what was answered. */
static void check_outcomes(const outcome *outcomes) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  size_t by_user[64] = {0};
  assert_ok(wn_store_scan_events(store, 0, 0, count_user, by_user, &err));
  for (int i = 0; i < COMMITS; i++) {
    transaction t;
    make_transaction(&t, i);
    wn_user_ix ix = wn_dict_find(wn_store_users(store), wn_str_of(t.user));
    size_t stored = ix != WN_NO_IX ? by_user[ix] : 0;
    bool whole = stored == t.events, none = stored == 0 && ix == WN_NO_IX;
    bool good = outcomes[i] == ACKNOWLEDGED ? whole : outcomes[i] == UNKNOWN ? whole || none : none;
    if (!good) fail_msg("transaction %d (%d): %zu of %zu", i, (int)outcomes[i], stored, t.events);
  }
  check_counts(store);
  check_integrity();
  wn_store_close(store);
}

/* Small limits, so that a short workload meets checkpoints and spills. */
static void make_small(wn_store *store) {
  wn_sqlite_of(store)->checkpoint_frames = 12;
  sqlite3_exec(wn_sqlite_of(store)->db, "PRAGMA cache_size = 10", NULL, NULL, NULL);
}

static outcome send(wn_store *store, transaction *t, bool *fatal) {
  wn_error err;
  wn_status status = wn_store_commit(store, t->ops, t->count, &err);
  if (status == WN_OK) return ACKNOWLEDGED;
  assert_true(status == WN_E_FULL || status == WN_E_IO);
  if (!*fatal && !wn_store_writable(store)) {
    *fatal = true;
    return UNKNOWN; /* this one met the failed fsync */
  }
  return REFUSED;
}

/* One run with the n-th call failing; true when the fault was met. */
static bool run_with_fault(fault_kind kind, long nth, bool sticky) {
  outcome outcomes[COMMITS] = {NOT_SENT};
  wn_store *store = NULL;
  wn_error err;
  bool fatal = false, failed = false;
  fault_set(kind, nth, sticky);
  wn_status opened = wn_store_open(test_dir, WN_STORE_WRITE, &store, &err);
  if (opened != WN_OK) assert_true(opened == WN_E_FULL || opened == WN_E_IO);
  if (opened == WN_OK) make_small(store);
  for (int i = 0; opened == WN_OK && i < COMMITS; i++) {
    transaction t;
    make_transaction(&t, i);
    outcomes[i] = send(store, &t, &fatal);
    if (outcomes[i] == ACKNOWLEDGED) assert_false(fatal);
    if (outcomes[i] != ACKNOWLEDGED && !failed) {
      failed = true;
      if (!fatal) { /* there is space again: the same transaction must go through */
        fault_set(FAULT_NONE, 0, false);
        faulty.hits = 1;
        outcomes[i] = send(store, &t, &fatal);
        assert_int_equal(outcomes[i], ACKNOWLEDGED);
      }
    }
    if (failed && !fatal && i % 5 == 0) check_counts(store);
  }
  if (fatal) assert_false(wn_store_writable(store));
  wn_store_close(store);
  bool met = faulty.hits > 0;
  fault_set(FAULT_NONE, 0, false);
  check_outcomes(outcomes);
  return met;
}

/* Each call in its turn. Under a sanitizer, where a run takes long, the ways in which a write may
 * fail share the calls: each fails in one of the three. */
#ifdef __SANITIZE_ADDRESS__
#define WAYS 3
#else
#define WAYS 1
#endif

static void every_fault(fault_kind kind, bool sticky) {
  long step = kind == FAULT_SYNC ? 1 : WAYS, n = (long)kind % step;
  for (bool met = true; met; n += step) {
    met = run_with_fault(kind, n, sticky);
    drop_dir(NULL);
    assert_int_equal(make_dir(NULL), 0);
    assert_true(n < 2000);
  }
  print_message("%ld runs\n", n / step);
  assert_true(n > 10); /* the workload did meet the disk */
}

static void test_no_space(WN_UNUSED void **state) {
  every_fault(FAULT_FULL, true);
}
static void test_write_error(WN_UNUSED void **state) {
  every_fault(FAULT_WRITE, false);
}
static void test_short_write(WN_UNUSED void **state) {
  every_fault(FAULT_SHORT, true);
}
static void test_failed_fsync(WN_UNUSED void **state) {
  every_fault(FAULT_SYNC, false);
}

/* The writes after a failed fsync are refused with the reason, not tried. */
static void test_fatal_is_final(WN_UNUSED void **state) {
  wn_error err;
  wn_op op = event_op(NULL, "a", "x", "view");
  wn_store *store = open_store(WN_STORE_WRITE);
  commit_one(store, event_op(NULL, "a", "x", "view"));
  fault_set(FAULT_SYNC, 0, false);
  assert_int_equal(wn_store_commit(store, &op, 1, &err), WN_E_IO);
  assert_true(faulty.hits > 0);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(wn_store_commit(store, &op, 1, &err), WN_E_IO);
    assert_non_null(strstr(err.message, "no more writes"));
    assert_int_equal(wn_store_meta_set(store, "k", WN_STR("v"), &err), WN_E_IO);
  }
  assert_int_equal(counts_of(store).events, 1); /* reading goes on */
  wn_store_close(store);
}

/* A whole transaction of an import that meets a full disk is taken back, then fits. */
static void test_import_on_full_disk(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  transaction t;
  make_small(store);
  commit_one(store, event_op(NULL, "a", "x", "view"));
  for (int n = 0; n < 40; n++) {
    wn_status status = WN_OK;
    fault_set(FAULT_FULL, n, true);
    assert_ok(wn_store_begin(store, &err));
    for (int i = 0; i < COMMITS && status == WN_OK; i++) {
      make_transaction(&t, i);
      status = wn_store_append(store, t.ops, t.count, &err);
    }
    if (status == WN_OK) {
      status = wn_store_end(store, true, &err);
    } else {
      assert_int_equal(wn_store_append(store, t.ops, 1, &err), WN_E_CONFLICT);
      assert_int_equal(wn_store_end(store, true, &err), WN_E_CONFLICT);
    }
    bool met = faulty.hits > 0;
    fault_set(FAULT_NONE, 0, false);
    if (met) assert_int_equal(status, WN_E_FULL);
    assert_int_equal(counts_of(store).events, met ? 1 : 35);
    check_counts(store);
    assert_int_equal(wn_dict_count(wn_store_users(store)), query("SELECT count(*) FROM users"));
    if (!met) break;
  }
  wn_store_close(store);
}

/* At each commit the power may go: only what was synced is sure to be there. */
static void test_power_cut(WN_UNUSED void **state) {
  wn_error err;
  wn_rng rng;
  char first_dir[sizeof test_dir];
  wn_rng_seed(&rng, 77);
  for (int round = 0; round < 60; round++) {
    outcome outcomes[COMMITS] = {NOT_SENT};
    bool fatal = false;
    int cut_at = round % COMMITS;
    wn_store *store = NULL;
    track_forget();
    faulty.tracking = true; /* from the empty folder on */
    assert_ok(wn_store_open(test_dir, WN_STORE_WRITE, &store, &err));
    make_small(store);
    for (int i = 0; i <= cut_at; i++) {
      transaction t;
      make_transaction(&t, i);
      outcomes[i] = send(store, &t, &fatal);
      assert_int_equal(outcomes[i], ACKNOWLEDGED);
    }
    if (round % 2 == 1 && cut_at + 1 < COMMITS) { /* in the middle of the next one's fsync */
      transaction t;
      make_transaction(&t, cut_at + 1);
      fault_set(FAULT_SYNC, 0, false);
      send(store, &t, &fatal);
      fault_set(FAULT_NONE, 0, false);
      outcomes[cut_at + 1] = UNKNOWN;
    }
    memcpy(first_dir, test_dir, sizeof first_dir);
    assert_int_equal(make_dir(NULL), 0);
    power_cut(test_dir, &rng);
    faulty.tracking = false;
    check_outcomes(outcomes);
    drop_dir(NULL);
    memcpy(test_dir, first_dir, sizeof test_dir);
    wn_store_close(store);
    drop_dir(NULL);
    assert_int_equal(make_dir(NULL), 0);
  }
  track_forget();
}

static void copy_file(const char *suffix, const char *to_dir, wn_buf *content) {
  char path[600];
  snprintf(path, sizeof path, "%s/winnow.db%s", test_dir, suffix);
  FILE *in = fopen(path, "r");
  assert_non_null(in);
  char block[4096];
  size_t n;
  wn_buf_reset(content);
  while ((n = fread(block, 1, sizeof block, in)) > 0) wn_buf_append(content, block, n);
  fclose(in);
  snprintf(path, sizeof path, "%s/winnow.db%s", to_dir, suffix);
  FILE *out = fopen(path, "w");
  assert_non_null(out);
  if (content->len > 0) assert_int_equal(fwrite(content->data, 1, content->len, out), content->len);
  fclose(out);
}

/* Cuts, zeroes or garbles the log behind `from`. */
static void damage_log(const char *dir, int how, size_t from, size_t size, wn_rng *rng) {
  char path[600];
  snprintf(path, sizeof path, "%s/winnow.db-wal", dir);
  if (how == 0) {
    assert_int_equal(truncate(path, (off_t)from), 0);
    return;
  }
  FILE *f = fopen(path, "r+");
  assert_non_null(f);
  fseek(f, (long)from, SEEK_SET);
  for (size_t i = from; i < size; i++) fputc(how == 1 ? 0 : (int)wn_rng_below(rng, 256), f);
  fclose(f);
}

/* A log whose tail is damaged gives a prefix of the transactions, each of them whole. */
static void test_torn_log(WN_UNUSED void **state) {
  wn_rng rng;
  wn_buf content = {0};
  char first_dir[sizeof test_dir], second_dir[sizeof test_dir];
  size_t ends[COMMITS]; /* of the log, after each transaction */
  bool fatal = false;
  wn_rng_seed(&rng, 5);
  memcpy(first_dir, test_dir, sizeof first_dir);
  wn_store *store = open_store(WN_STORE_WRITE);
  for (int i = 0; i < COMMITS; i++) {
    transaction t;
    struct stat st;
    char path[600];
    make_transaction(&t, i);
    assert_int_equal(send(store, &t, &fatal), ACKNOWLEDGED);
    snprintf(path, sizeof path, "%s/winnow.db-wal", test_dir);
    assert_int_equal(stat(path, &st), 0);
    ends[i] = (size_t)st.st_size;
  }
  for (int round = 0; round < 90; round++) {
    outcome outcomes[COMMITS];
    assert_int_equal(make_dir(NULL), 0);
    memcpy(second_dir, test_dir, sizeof second_dir);
    memcpy(test_dir, first_dir, sizeof test_dir);
    copy_file("", second_dir, &content);
    copy_file("-wal", second_dir, &content);
    size_t from = ends[0] + wn_rng_below(&rng, content.len - ends[0]);
    damage_log(second_dir, round % 3, from, content.len, &rng);
    for (int i = 0; i < COMMITS; i++) outcomes[i] = ends[i] <= from ? ACKNOWLEDGED : UNKNOWN;
    memcpy(test_dir, second_dir, sizeof test_dir);
    check_outcomes(outcomes);
    drop_dir(NULL);
    memcpy(test_dir, first_dir, sizeof test_dir);
  }
  wn_buf_clear(&content);
  wn_store_close(store);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_DIR(test_no_space),     IN_DIR(test_write_error),    IN_DIR(test_short_write),
      IN_DIR(test_failed_fsync), IN_DIR(test_fatal_is_final), IN_DIR(test_import_on_full_disk),
      IN_DIR(test_power_cut),    IN_DIR(test_torn_log),
  };
  faulty_install();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
