/* Operations and what remains of them: events, items, users, slates, rollback, scans. */
#include "store_testing.h"

#include "store/backend.h"

static void test_events(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  event_list seen = {0};
  wn_op ops[3] = {event_op(NULL, "ann", "x", "view"), event_op(NULL, "bob", "x", "buy"),
                  event_op(NULL, "ann", "y", "view")};
  ops[1].u.event.value = 9.5;
  ops[1].u.event.time_ms = T0 - 5;
  ops[2].u.event.slate = WN_STR("s1");
  assert_ok(wn_store_commit(store, ops, 3, &err));
  for (int i = 0; i < 3; i++) assert_int_equal(ops[i].seq, i + 1);
  assert_int_equal(ops[2].user_ix, 0);
  assert_int_equal(ops[2].item_ix, 1);
  assert_int_equal(ops[1].type, 1);
  assert_ok(wn_store_scan_events(store, 0, 0, keep_event, &seen, &err));
  assert_int_equal(seen.len, 3);
  assert_true(isnan(seen.data[0].value));
  assert_true(seen.data[1].value == 9.5);
  assert_int_equal(seen.data[1].time_ms, T0 - 5);
  seen.len = 0;
  assert_ok(wn_store_scan_events(store, 1, 2, keep_event, &seen, &err));
  assert_int_equal(seen.len, 1);
  assert_int_equal(seen.data[0].user, 1);
  wn_store_counts c = counts_of(store);
  assert_int_equal(c.first_ms, T0 - 5);
  assert_int_equal(c.last_seq, 3);
  assert_true(c.bytes > 4096);
  check_counts(store);
  assert_int_equal(query("SELECT count(*) FROM events_readable WHERE user = 'bob' AND item = 'x' "
                         "AND type = 'buy' AND value = 9.5 AND time = '2023-11-14T22:13:19.995Z'"),
                   1);
  assert_int_equal(query("SELECT count(*) FROM events_readable WHERE slate = 's1'"), 1);
  wn_vec_clear(&seen);
  wn_store_close(store);
}

static wn_status stop_at_two(void *ctx, WN_UNUSED const wn_stored_event *event, wn_error *err) {
  return ++*(int *)ctx == 2 ? wn_fail(err, WN_E_CANCELLED, "", "enough") : WN_OK;
}

/* Types are few: masks, signals and reports go by their number. */
static void test_types_are_limited(WN_UNUSED void **state) {
  wn_store *store = open_store(WN_STORE_WRITE);
  char name[16];
  for (int i = 0; i < WN_EVENT_TYPES_MAX; i++) {
    snprintf(name, sizeof name, "type%d", i);
    commit_one(store, event_op(NULL, "ann", "x", name));
  }
  assert_int_equal(refused(store, event_op(NULL, "bob", "y", "another"), "at most 200 event types"),
                   WN_E_ARGUMENT);
  assert_int_equal(wn_dict_find(wn_store_users(store), WN_STR("bob")), WN_NO_IX);
  commit_one(store, event_op(NULL, "bob", "y", "type7"));
  wn_store_close(store);
}

static void test_scan_stops(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  int calls = 0;
  for (int i = 0; i < 5; i++) commit_one(store, event_op(NULL, "a", "b", "c"));
  assert_int_equal(wn_store_scan_events(store, 0, 0, stop_at_two, &calls, &err), WN_E_CANCELLED);
  assert_string_equal(err.message, "enough");
  assert_int_equal(calls, 2);
  wn_store_close(store);
}

static void test_event_ids(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_op ops[3] = {event_op("e1", "a", "x", "view"), event_op("e1", "zoe", "new", "buy"),
                  event_op("e2", "a", "x", "view")};
  assert_ok(wn_store_commit(store, ops, 3, &err));
  assert_false(ops[0].duplicate);
  assert_true(ops[1].duplicate); /* within a batch; and nothing of it is stored */
  assert_int_equal(wn_dict_find(wn_store_users(store), WN_STR("zoe")), WN_NO_IX);
  assert_int_equal(ops[2].seq, 2);
  assert_true(commit_one(store, event_op("e2", "a", "x", "view")).duplicate);
  wn_store_close(store);
  store = open_store(WN_STORE_WRITE);
  assert_true(commit_one(store, event_op("e1", "a", "x", "view")).duplicate);
  assert_false(commit_one(store, event_op("e3", "a", "x", "view")).duplicate);
  assert_int_equal(counts_of(store).events, 3);
  check_counts(store);
  wn_store_close(store);
}

/* An event id of a transaction that failed is not taken. */
static void test_event_id_after_rollback(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_op op = event_op("e1", "a", "x", "view");
  assert_ok(wn_store_begin(store, &err));
  assert_ok(wn_store_append(store, &op, 1, &err));
  assert_ok(wn_store_end(store, false, &err));
  op = commit_one(store, event_op("e1", "a", "x", "view"));
  assert_false(op.duplicate);
  assert_int_equal(op.seq, 1);
  wn_store_close(store);
}

static void test_items(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_arena arena;
  wn_item_record item;
  wn_str tags[2] = {WN_STR("a"), WN_STR("b\"c")};
  wn_attr attrs[3] = {{.name = WN_STR("tags"), .kind = WN_ATTR_LIST, .list = tags, .list_len = 2},
                      {.name = WN_STR("price"), .kind = WN_ATTR_NUMBER, .number = 0.1},
                      {.name = WN_STR("new"), .kind = WN_ATTR_BOOL, .boolean = true}};
  wn_arena_init(&arena, 1 << 20);
  wn_op op = item_op("x", "Title");
  op.u.item.text = WN_STR("Some text");
  op.u.item.attrs = (wn_attrs){attrs, 3};
  op.u.item.created_ms = T0;
  op = commit_one(store, op);
  assert_true(op.created);
  assert_int_equal(op.seq, 1);
  assert_ok(wn_store_get_item(store, op.item_ix, &arena, &item, &err));
  assert_str(item.id, "x");
  assert_str(item.title, "Title");
  assert_str(item.text, "Some text");
  assert_int_equal(item.created_ms, T0);
  assert_int_equal(item.attrs.len, 3);
  assert_true(wn_attrs_find(&item.attrs, "price")->number == 0.1);
  assert_str(wn_attrs_find(&item.attrs, "tags")->list[1], "b\"c");
  assert_true(wn_attrs_find(&item.attrs, "new")->boolean);
  op = commit_one(store, item_op("x", NULL)); /* replaces all but the time */
  assert_false(op.created);
  assert_int_equal(op.u.item.created_ms, T0);
  assert_ok(wn_store_get_item(store, op.item_ix, &arena, &item, &err));
  assert_null(item.title.ptr);
  assert_null(item.text.ptr);
  assert_int_equal(item.attrs.len, 0);
  assert_int_equal(item.created_ms, T0);
  assert_int_equal(wn_store_get_item(store, 99, &arena, &item, &err), WN_E_NOT_FOUND);
  assert_int_equal(counts_of(store).item_rev, 2);
  check_counts(store);
  wn_arena_clear(&arena);
  wn_store_close(store);
}

static void test_delete_keeps_ix(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_arena arena;
  wn_item_record item;
  wn_arena_init(&arena, 1 << 20);
  wn_item_ix ix = commit_one(store, item_op("x", "one")).item_ix;
  commit_one(store, item_op("y", "two"));
  assert_int_equal(commit_one(store, delete_op("x")).item_ix, ix);
  assert_int_equal(wn_store_get_item(store, ix, &arena, &item, &err), WN_E_NOT_FOUND);
  assert_int_equal(refused(store, delete_op("x"), "no item \"x\""), WN_E_NOT_FOUND);
  assert_int_equal(refused(store, patch_op("x", "{}"), "no item"), WN_E_NOT_FOUND);
  assert_int_equal(refused(store, delete_op("nobody"), "no item"), WN_E_NOT_FOUND);
  assert_int_equal(query("SELECT title IS NULL AND attributes IS NULL AND text IS NULL FROM items "
                         "WHERE id = 'x'"),
                   1);
  assert_int_equal(counts_of(store).items, 1);
  commit_one(store, event_op(NULL, "u", "x", "view")); /* does not bring it back */
  assert_int_equal(wn_store_get_item(store, ix, &arena, &item, &err), WN_E_NOT_FOUND);
  wn_store_close(store);
  store = open_store(WN_STORE_WRITE);
  wn_op op = commit_one(store, item_op("x", "again"));
  assert_int_equal(op.item_ix, ix);
  assert_false(op.created);
  assert_ok(wn_store_get_item(store, ix, &arena, &item, &err));
  assert_str(item.title, "again");
  check_counts(store);
  wn_arena_clear(&arena);
  wn_store_close(store);
}

/* The examples of RFC 7396, appendix A, that are records, and the checks around them. */
static void test_patch(WN_UNUSED void **state) {
  static const struct {
    const char *before, *patch, *after;
  } cases[] = {
      {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
      {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
      {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
      {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
      {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
      {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
      {"{\"e\":1}", "{\"a\":1}", "{\"a\":1,\"e\":1}"},
      {"{\"a\":1}", "{\"a\":null,\"b\":null}", "{}"},
  };
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_arena arena;
  wn_item_record item;
  wn_arena_init(&arena, 1 << 20);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char patch[256];
    wn_buf json = {0};
    wn_op op = item_op("p", "t");
    assert_ok(wn_attrs_from_json(wn_str_of(cases[i].before), &arena, &op.u.item.attrs, &err));
    commit_one(store, op);
    snprintf(patch, sizeof patch, "{\"attributes\":%s}", cases[i].patch);
    op = commit_one(store, patch_op("p", patch));
    assert_ok(wn_store_get_item(store, op.item_ix, &arena, &item, &err));
    wn_attrs_to_json(&item.attrs, &json);
    assert_string_equal(wn_buf_c(&json), cases[i].after);
    assert_str(item.title, "t");
    wn_buf_clear(&json);
  }
  wn_arena_clear(&arena);
  wn_store_close(store);
}

static void test_patch_members(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_arena arena;
  wn_item_record item;
  wn_arena_init(&arena, 1 << 20);
  wn_item_ix ix = commit_one(store, item_op("p", "t")).item_ix;
  commit_one(store, patch_op("p", "{\"text\":\"new\",\"status\":\"hidden\","
                                  "\"attributes\":{\"n\":1.5}}"));
  assert_ok(wn_store_get_item(store, ix, &arena, &item, &err));
  assert_str(item.title, "t");
  assert_str(item.text, "new");
  assert_int_equal(item.status, WN_ITEM_HIDDEN);
  assert_int_equal(counts_of(store).items_hidden, 1);
  uint64_t rev = counts_of(store).item_rev;
  static const struct {
    const char *patch, *field, *reason;
  } bad[] = {
      {"[]", "", "object"},
      {"{", "", "merge patch"},
      {"", "", "merge patch"},
      {"{\"title\":\"a\",\"title\":\"b\"}", "", "duplicate"},
      {"{\"color\":1}", "color", "not a member"},
      {"{\"title\":1}", "title", "string"},
      {"{\"status\":\"deleted\"}", "status", "active"},
      {"{\"status\":7}", "status", "active"},
      {"{\"attributes\":[1]}", "attributes", "object"},
      {"{\"attributes\":{\"a\":{\"b\":1}}}", "attributes", "\"a\""},
      {"{\"attributes\":{\"9 no name\":1}}", "attributes", "name"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    wn_op op = patch_op("p", bad[i].patch);
    assert_ok(wn_store_commit(store, &op, 1, &err));
    assert_int_equal(op.status, bad[i].field[0] != '\0' ? WN_E_ARGUMENT : WN_E_FORMAT);
    assert_string_equal(op.field, bad[i].field);
    assert_non_null(strstr(op.reason, bad[i].reason));
  }
  assert_int_equal(counts_of(store).item_rev, rev);
  commit_one(store, patch_op("p", "{\"title\":null,\"status\":null,\"attributes\":null}"));
  assert_ok(wn_store_get_item(store, ix, &arena, &item, &err));
  assert_null(item.title.ptr);
  assert_str(item.text, "new");
  assert_int_equal(item.status, WN_ITEM_ACTIVE);
  assert_int_equal(item.attrs.len, 0);
  check_counts(store);
  wn_arena_clear(&arena);
  wn_store_close(store);
}

static void test_users(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_arena arena;
  wn_user_record user;
  wn_attr plan = {.name = WN_STR("plan"), .kind = WN_ATTR_STRING, .string = WN_STR("pro")};
  wn_arena_init(&arena, 1 << 20);
  commit_one(store, event_op("k1", "ann", "x", "view"));
  wn_op op = user_op(WN_OP_USER_PUT, "ann");
  op.u.user.attrs = (wn_attrs){&plan, 1};
  op = commit_one(store, op);
  assert_false(op.created);
  assert_int_equal(op.user_ix, 0);
  op = user_op(WN_OP_USER_PATCH, "ann");
  op.patch = WN_STR("{\"attributes\":{\"age\":30}}");
  commit_one(store, op);
  assert_ok(wn_store_get_user(store, 0, &arena, &user, &err));
  assert_int_equal(user.attrs.len, 2);
  commit_one(store, event_op(NULL, "bob", "x", "view"));
  op = event_op(NULL, "ann", "x", "view");
  op.u.event.time_ms = T0 + 9;
  commit_one(store, op);
  commit_one(store, user_op(WN_OP_USER_DELETE, "ann"));
  assert_int_equal(wn_store_get_user(store, 0, &arena, &user, &err), WN_E_NOT_FOUND);
  assert_int_equal(refused(store, user_op(WN_OP_USER_DELETE, "ann"), "ann"), WN_E_NOT_FOUND);
  op = user_op(WN_OP_USER_PATCH, "ann");
  op.patch = WN_STR("{}");
  assert_int_equal(refused(store, op, "ann"), WN_E_NOT_FOUND);
  assert_int_equal(counts_of(store).events, 1);
  assert_int_equal(counts_of(store).last_ms, T0);
  check_counts(store);
  wn_store_close(store);
  store = open_store(WN_STORE_WRITE); /* the deletion lasts, and no number is given twice */
  assert_int_equal(wn_store_get_user(store, 0, &arena, &user, &err), WN_E_NOT_FOUND);
  assert_true(commit_one(store, event_op("k1", "ann", "x", "view")).duplicate);
  op = commit_one(store, event_op(NULL, "ann", "x", "view"));
  assert_int_equal(op.user_ix, 0);
  assert_int_equal(op.seq, 4);
  assert_ok(wn_store_get_user(store, 0, &arena, &user, &err));
  assert_int_equal(user.attrs.len, 0);
  check_counts(store);
  wn_arena_clear(&arena);
  wn_store_close(store);
}

static wn_status keep_slate(void *ctx, const wn_slate_log *slate, wn_error *err) {
  wn_buf *out = ctx;
  wn_buf_printf(out, "%.*s/%.*s/%.*s/%d/%d:", WN_STR_ARG(slate->id), WN_STR_ARG(slate->session),
                WN_STR_ARG(slate->user_id), (int)slate->user, (int)slate->anchor);
  for (size_t i = 0; i < slate->len; i++) {
    wn_buf_printf(out, "%u@%a,", slate->items[i], (double)slate->propensities[i]);
  }
  if (slate->arms.ptr != NULL)
    wn_buf_printf(out, "%.*s@%llx", WN_STR_ARG(slate->arms), (unsigned long long)slate->policy);
  wn_buf_char(out, ' ');
  return out->failed ? wn_fail_memory(err) : WN_OK;
}

static wn_op slate_op(const char *id, int64_t time_ms, const wn_item_ix *items,
                      const float *propensities, size_t len) {
  return (wn_op){.kind = WN_OP_SLATE,
                 .u.slate = {.id = wn_str_of(id),
                             .surface = WN_STR("home"),
                             .user = WN_NO_IX,
                             .anchor = WN_NO_IX,
                             .snapshot = 7,
                             .time_ms = time_ms,
                             .items = items,
                             .propensities = propensities,
                             .len = len}};
}

static void test_slates(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_buf seen = {0};
  char expected[256];
  wn_item_ix items[2] = {1, 0};
  float chances[2] = {1.0F, 0.1F}, wrong[2] = {1.0F, (float)INFINITY};
  commit_one(store, event_op(NULL, "ann", "x", "view"));
  commit_one(store, item_op("y", "t"));
  wn_op op = slate_op("s1", T0 + 10, items, chances, 2);
  op.u.slate.user = 0;
  op.u.slate.user_id = WN_STR("ann");
  op.u.slate.session = WN_STR("sess");
  op.u.slate.feed = true;
  op.u.slate.anchor = 1;
  op.u.slate.policy = 0xfedcba9876543210ULL;
  op.u.slate.arms = WN_STR("colour=blue");
  assert_int_equal(commit_one(store, op).seq, 1);
  commit_one(store, slate_op("s0", T0, items, chances, 0));
  assert_int_equal(refused(store, slate_op("s", T0, items, wrong, 2), "items[1]"), WN_E_ARGUMENT);
  items[0] = 2;
  assert_int_equal(refused(store, slate_op("s", T0, items, chances, 2), "items[0]"), WN_E_ARGUMENT);
  assert_ok(wn_store_scan_slates(store, 0, false, keep_slate, &seen, &err));
  snprintf(expected, sizeof expected,
           "s0///-1/-1: s1/sess/ann/0/1:1@%a,0@%a,colour=blue@fedcba9876543210 ", 1.0,
           (double)0.1F);
  assert_string_equal(wn_buf_c(&seen), expected);
  wn_buf_reset(&seen);
  assert_ok(wn_store_scan_slates(store, T0 + 1, false, keep_slate, &seen, &err));
  assert_memory_equal(seen.data, "s1", 2);
  wn_buf_reset(&seen);
  assert_ok(wn_store_scan_slates(store, 0, true, keep_slate, &seen, &err));
  assert_memory_equal(seen.data, "s1", 2); /* s0 is no feed's */
  assert_int_equal(query("SELECT count(*) FROM impressions WHERE slate = 's1' AND user = 'ann' AND "
                         "anchor = 'y' AND snapshot = 7 AND arms = 'colour=blue' AND "
                         "policy = 'fedcba9876543210' AND ((position = 1 AND item = 'y' AND "
                         "propensity = 1) OR (position = 2 AND item = 'x' AND propensity = 0.1))"),
                   2);
  commit_one(store, user_op(WN_OP_USER_DELETE, "ann")); /* takes the name out of what was shown */
  assert_int_equal(query("SELECT count(*) FROM impressions WHERE user IS NULL AND session IS NULL"),
                   2);
  check_counts(store);
  wn_buf_clear(&seen);
  wn_store_close(store);
}

static void test_deletions_together(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_op ops[8];
  for (int i = 0; i < 5; i++) {
    static const char *const users[] = {"ann", "bob", "ann", "cid", "bob"};
    wn_op op = event_op(NULL, users[i], "x", "view");
    op.u.event.time_ms = T0 + (i == 3 ? 2 : i); /* the last one is bob's */
    commit_one(store, op);
  }
  wn_op known = slate_op("s1", T0, NULL, NULL, 0), unknown = slate_op("s2", T0, NULL, NULL, 0);
  known.u.slate.user = 0;
  unknown.u.slate.user_id = WN_STR("dan");
  unknown.u.slate.session = WN_STR("sess");
  commit_one(store, known);
  commit_one(store, unknown);
  ops[0] = user_op(WN_OP_USER_DELETE, "ann");
  ops[1] = event_op(NULL, "ann", "x", "view"); /* back in the same transaction */
  ops[2] = user_op(WN_OP_USER_DELETE, "dan");
  ops[3] = unknown;
  ops[3].u.slate.id = WN_STR("s3");
  ops[4] = user_op(WN_OP_USER_DELETE, "bob");
  assert_ok(wn_store_commit(store, ops, 5, &err));
  assert_int_equal(ops[0].seq, 5); /* the position that the deletion voids up to */
  assert_int_equal(ops[2].status, WN_E_NOT_FOUND);
  static const struct {
    int op;
    uint64_t events, slates;
  } told[] = {{0, 2, 1}, {2, 0, 1}, {4, 2, 0}};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(ops[told[i].op].erased_events, told[i].events);
    assert_int_equal(ops[told[i].op].erased_slates, told[i].slates);
  }
  assert_int_equal(query("SELECT sum(seq) FROM events"), 4 + 6); /* cid's, and ann's new one */
  assert_int_equal(query("SELECT count(*) FROM slates WHERE user NOTNULL OR user_id NOTNULL OR "
                         "session NOTNULL"),
                   1);
  assert_int_equal(query("SELECT id = 's3' FROM slates WHERE user_id = 'dan'"), 1);
  assert_int_equal(query("SELECT group_concat(user || ':' || seq, ' ') = '0:5 1:6' FROM erased"),
                   1);
  check_counts(store);
  commit_one(store, user_op(WN_OP_USER_DELETE, "ann")); /* nothing is left of the last one */
  assert_int_equal(query("SELECT count(*) FROM events"), 1);
  check_counts(store);
  wn_store_close(store);
}

static double seconds_to_delete(wn_store *store, int first, int count) {
  static wn_op ops[200];
  static char users[200][16];
  wn_error err;
  for (int i = 0; i < count; i++) {
    snprintf(users[i], sizeof users[i], "u%d", first + i);
    ops[i] = user_op(WN_OP_USER_DELETE, users[i]);
  }
  uint64_t start = wn_mono_ns();
  assert_ok(wn_store_commit(store, ops, (size_t)count, &err));
  return (double)(wn_mono_ns() - start) * 1e-9;
}

/* Many deletions are one pass over the log, not one each. */
static void test_deletions_cost(WN_UNUSED void **state) {
  static wn_op ops[1000];
  static char users[1000][16];
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  for (int i = 0; i < 1000; i++) {
    snprintf(users[i], sizeof users[i], "u%d", i);
    ops[i] = event_op(NULL, users[i], "x", "view");
  }
  assert_ok(wn_store_begin(store, &err));
  for (int i = 0; i < 40; i++) assert_ok(wn_store_append(store, ops, 1000, &err));
  assert_ok(wn_store_end(store, true, &err));
  double one = seconds_to_delete(store, 0, 1), many = seconds_to_delete(store, 1, 200);
  print_message("1 deletion %.4f s, 200 deletions %.4f s\n", one, many);
  assert_true(many < 60 * one);
  check_counts(store);
  wn_store_close(store);
}

/* An index that a rollback may still give to another is not told. */
static void test_find_user(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_op ann = event_op(NULL, "ann", "x", "view"), bob = event_op(NULL, "bob", "x", "view");
  assert_ok(wn_store_begin(store, &err));
  assert_ok(wn_store_append(store, &ann, 1, &err));
  assert_int_equal(wn_dict_find(wn_store_users(store), WN_STR("ann")), 0);
  assert_int_equal(wn_store_find_user(store, WN_STR("ann")), WN_NO_IX);
  assert_ok(wn_store_end(store, false, &err));
  commit_one(store, bob);
  assert_int_equal(wn_store_find_user(store, WN_STR("bob")), 0);
  assert_int_equal(wn_store_find_user(store, WN_STR("ann")), WN_NO_IX);
  wn_store_close(store);
  store = open_store(WN_STORE_READ);
  assert_int_equal(wn_store_find_user(store, WN_STR("bob")), 0);
  wn_store_close(store);
}

static void test_damaged_slate(WN_UNUSED void **state) {
  static const char *const bad[] = {"",         "[",
                                    "[]]",      "[[1,1]",
                                    "[[1]]",    "[[1,1],]",
                                    "[[-1,1]]", "[[4294967295,1]]",
                                    "[[1,x]]",  "[[1,1][2,1]]",
                                    "{}"};
  wn_error err;
  wn_buf seen = {0};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    wn_store *store = open_store(WN_STORE_WRITE);
    if (i == 0) commit_one(store, slate_op("s", T0, NULL, NULL, 0));
    wn_store_close(store);
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/winnow.db", test_dir);
    char *sql = sqlite3_mprintf("UPDATE slates SET items = %Q", bad[i]);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    sqlite3_free(sql);
    store = open_store(WN_STORE_READ);
    if (wn_store_scan_slates(store, 0, false, keep_slate, &seen, &err) != WN_E_CORRUPT) {
      fail_msg("\"%s\" was taken", bad[i]);
    }
    wn_store_close(store);
  }
  wn_buf_clear(&seen);
}

/* Everything that a transaction touched is as before once it is rolled back. */
static void test_rollback(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  commit_one(store, event_op(NULL, "ann", "x", "view"));
  commit_one(store, event_op(NULL, "bob", "x", "view"));
  commit_one(store, user_op(WN_OP_USER_DELETE, "bob"));
  wn_store_counts before = counts_of(store);
  wn_op ops[] = {event_op("k", "eve", "new", "buy"), item_op("z", "t"),
                 user_op(WN_OP_USER_PUT, "zed"),     user_op(WN_OP_USER_DELETE, "ann"),
                 event_op(NULL, "bob", "x", "view"), delete_op("x"),
                 event_op(NULL, "ann", "x", "view")};
  assert_ok(wn_store_begin(store, &err));
  assert_ok(wn_store_append(store, ops, sizeof ops / sizeof *ops, &err));
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) assert_int_equal(ops[i].status, WN_OK);
  assert_int_equal(counts_of(store).events, before.events); /* not yet */
  assert_ok(wn_store_end(store, false, &err));
  wn_store_counts after = counts_of(store);
  before.bytes = after.bytes;
  assert_memory_equal(&before, &after, sizeof before);
  assert_int_equal(wn_dict_count(wn_store_users(store)), 2);
  assert_int_equal(wn_dict_count(wn_store_items(store)), 1);
  assert_int_equal(wn_dict_count(wn_store_types(store)), 1);
  assert_int_equal(wn_dict_find(wn_store_users(store), WN_STR("eve")), WN_NO_IX);
  check_counts(store);
  wn_op op = commit_one(store, event_op(NULL, "kim", "w", "like"));
  assert_int_equal(op.user_ix, 2);
  assert_int_equal(op.item_ix, 1);
  assert_int_equal(op.type, 1);
  /* bob is still deleted, ann is not */
  assert_int_equal(refused(store, user_op(WN_OP_USER_DELETE, "bob"), "bob"), WN_E_NOT_FOUND);
  commit_one(store, user_op(WN_OP_USER_DELETE, "ann"));
  check_counts(store);
  wn_store_close(store);
}

static void test_transactions(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_op op = event_op(NULL, "a", "x", "view");
  assert_int_equal(wn_store_append(store, &op, 1, &err), WN_E_CONFLICT);
  assert_int_equal(wn_store_end(store, true, &err), WN_E_CONFLICT);
  assert_ok(wn_store_begin(store, &err));
  assert_int_equal(wn_store_begin(store, &err), WN_E_CONFLICT);
  assert_int_equal(wn_store_commit(store, &op, 1, &err), WN_E_CONFLICT);
  assert_ok(wn_store_append(store, &op, 1, &err));
  assert_ok(wn_store_meta_set(store, "import", WN_STR("digest"), &err));
  assert_ok(wn_store_end(store, false, &err));
  wn_arena arena;
  wn_str value;
  wn_arena_init(&arena, 1 << 16);
  assert_ok(wn_store_meta_get(store, "import", &arena, &value, &err));
  assert_null(value.ptr);
  assert_ok(wn_store_meta_set(store, "import", WN_STR("digest"), &err));
  assert_ok(wn_store_meta_set(store, "import", WN_STR("digest 2"), &err));
  assert_ok(wn_store_meta_get(store, "import", &arena, &value, &err));
  assert_str(value, "digest 2");
  assert_ok(wn_store_begin(store, &err)); /* left open: closing takes it back */
  assert_ok(wn_store_append(store, &op, 1, &err));
  wn_store_close(store);
  store = open_store(WN_STORE_READ);
  assert_int_equal(counts_of(store).events, 0);
  wn_arena_clear(&arena);
  wn_store_close(store);
}

/* A refused operation changes nothing; the others of its batch stand. */
static void test_refusals(WN_UNUSED void **state) {
  wn_error err;
  char long_key[1200];
  memset(long_key, 'k', sizeof long_key);
  long_key[1025] = '\0';
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_op ops[] = {event_op(NULL, "", "x", "view"),
                 event_op(NULL, "u", "bad\nid", "view"),
                 event_op(NULL, "u", "\xff", "view"),
                 event_op(NULL, long_key, "x", "view"),
                 event_op(NULL, "u", "x", ""),
                 event_op(NULL, "u", "x", "view"),
                 item_op("", "t"),
                 user_op(WN_OP_USER_PUT, "a\tb"),
                 event_op(NULL, "u", "x", "view")};
  ops[5].u.event.value = (double)INFINITY;
  size_t n = sizeof ops / sizeof *ops;
  assert_ok(wn_store_commit(store, ops, n, &err));
  for (size_t i = 0; i + 1 < n; i++) {
    assert_int_equal(ops[i].status, WN_E_ARGUMENT);
    assert_true(ops[i].reason[0] != '\0');
  }
  assert_int_equal(ops[n - 1].status, WN_OK);
  assert_int_equal(counts_of(store).events, 1);
  assert_int_equal(wn_dict_count(wn_store_users(store)), 1);
  check_counts(store);
  wn_store_close(store);
}

static void test_strange_ids(WN_UNUSED void **state) {
  char long_key[1025];
  memset(long_key, 'k', sizeof long_key);
  long_key[1024] = '\0';
  const char *ids[] = {"a",          long_key,    "naïve café ☕",
                       "with space", "a/b/../c",  "'; DROP TABLE x",
                       "%s%n",       "{\"a\":1}", "\xF0\x9F\x8E\xB8"};
  wn_store *store = open_store(WN_STORE_WRITE);
  size_t n = sizeof ids / sizeof *ids;
  for (size_t i = 0; i < n; i++) {
    wn_op op = commit_one(store, event_op(ids[i], ids[i], ids[i], "view"));
    assert_int_equal(op.user_ix, i);
    assert_int_equal(op.item_ix, i);
  }
  wn_store_close(store);
  store = open_store(WN_STORE_READ);
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(wn_dict_find(wn_store_users(store), wn_str_of(ids[i])), i);
    assert_int_equal(wn_dict_find(wn_store_items(store), wn_str_of(ids[i])), i);
  }
  wn_store_close(store);
}

static wn_status note_rev(void *ctx, wn_item_ix ix, uint64_t rev, const wn_item_record *item,
                          wn_error *err) {
  wn_buf *out = ctx;
  wn_buf_printf(out, "%u:%llu:%.*s:%d ", ix, (unsigned long long)rev, WN_STR_ARG(item->id),
                (int)item->status);
  return out->failed ? wn_fail_memory(err) : WN_OK;
}

static wn_status note_user(void *ctx, wn_user_ix ix, const wn_user_record *user, wn_error *err) {
  wn_buf *out = ctx;
  wn_buf_printf(out, "%u:%.*s:%zu ", ix, WN_STR_ARG(user->id), user->attrs.len);
  return out->failed ? wn_fail_memory(err) : WN_OK;
}

static void test_scans(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_buf seen = {0};
  commit_one(store, item_op("a", "1"));
  commit_one(store, item_op("b", "2"));
  commit_one(store, event_op(NULL, "u", "c", "view"));
  commit_one(store, item_op("a", "3"));
  commit_one(store, delete_op("b"));
  assert_ok(wn_store_scan_items(store, 0, note_rev, &seen, &err));
  assert_string_equal(wn_buf_c(&seen), "0:4:a:0 1:5:b:2 2:3:c:0 ");
  wn_buf_reset(&seen);
  assert_ok(wn_store_scan_items(store, 2, note_rev, &seen, &err));
  assert_string_equal(wn_buf_c(&seen), "2:3:c:0 0:4:a:0 1:5:b:2 ");
  wn_buf_reset(&seen);
  assert_ok(wn_store_scan_items(store, 5, note_rev, &seen, &err));
  assert_int_equal(seen.len, 0);
  commit_one(store, event_op(NULL, "v", "c", "view"));
  commit_one(store, user_op(WN_OP_USER_DELETE, "u"));
  assert_ok(wn_store_scan_users(store, note_user, &seen, &err));
  assert_string_equal(wn_buf_c(&seen), "1:v:0 ");
  wn_buf_clear(&seen);
  wn_store_close(store);
}

/* Any operations in any order: totals, dictionaries and rows agree, also after opening again. */
static void test_random_workload(WN_UNUSED void **state) {
  wn_error err;
  wn_rng rng;
  wn_rng_seed(&rng, 20240501);
  wn_store *store = open_store(WN_STORE_WRITE);
  for (int round = 0; round < 60; round++) {
    wn_op ops[24];
    char ids[24][3][16];
    size_t n = 1 + wn_rng_below(&rng, 24);
    for (size_t i = 0; i < n; i++) {
      snprintf(ids[i][0], 16, "u%d", (int)wn_rng_below(&rng, 20));
      snprintf(ids[i][1], 16, "i%d", (int)wn_rng_below(&rng, 20));
      snprintf(ids[i][2], 16, "e%d", (int)wn_rng_below(&rng, 300));
      switch (wn_rng_below(&rng, 9)) {
      case 0: ops[i] = item_op(ids[i][1], "t"); break;
      case 1: ops[i] = delete_op(ids[i][1]); break;
      case 2: ops[i] = patch_op(ids[i][1], "{\"status\":\"hidden\"}"); break;
      case 3: ops[i] = user_op(WN_OP_USER_PUT, ids[i][0]); break;
      case 4: ops[i] = user_op(WN_OP_USER_DELETE, ids[i][0]); break;
      default: ops[i] = event_op(ids[i][2], ids[i][0], ids[i][1], "view"); break;
      }
    }
    assert_ok(wn_store_begin(store, &err));
    assert_ok(wn_store_append(store, ops, n, &err));
    assert_ok(wn_store_end(store, wn_rng_below(&rng, 3) != 0, &err));
    check_counts(store);
    assert_int_equal(wn_dict_count(wn_store_users(store)), query("SELECT count(*) FROM users"));
    assert_int_equal(wn_dict_count(wn_store_items(store)), query("SELECT count(*) FROM items"));
    if (round % 20 == 19) {
      wn_store_close(store);
      store = open_store(WN_STORE_WRITE);
      check_counts(store);
    }
  }
  check_integrity();
  wn_store_close(store);
}

/* Each allocation in turn fails: an error or success, never half a transaction. */
static void test_memory(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  commit_one(store, item_op("p", "t"));
  wn_attr attr = {.name = WN_STR("a"), .kind = WN_ATTR_STRING, .string = WN_STR("b")};
  bool done = false;
  for (long n = 0; !done; n++) {
    wn_store_counts before = counts_of(store);
    uint32_t users = wn_dict_count(wn_store_users(store));
    char user[32], item[32];
    snprintf(user, sizeof user, "user%ld", n);
    snprintf(item, sizeof item, "item%ld", n);
    wn_op ops[] = {event_op(user, user, item, "view"), item_op(item, "t"),
                   patch_op("p", "{\"attributes\":{\"x\":\"y\"}}"), user_op(WN_OP_USER_PUT, user),
                   user_op(WN_OP_USER_DELETE, user)};
    ops[1].u.item.attrs = ops[3].u.user.attrs = (wn_attrs){&attr, 1};
    wn_mem_fail_after(n);
    wn_status status = wn_store_commit(store, ops, 5, &err);
    done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (status != WN_OK) {
      assert_int_equal(status, WN_E_MEMORY);
      wn_store_counts after = counts_of(store);
      assert_int_equal(after.events, before.events);
      assert_int_equal(after.item_rev, before.item_rev);
      assert_int_equal(wn_dict_count(wn_store_users(store)), users);
    }
    check_counts(store);
    assert_true(n < 1000);
  }
  wn_store_close(store);
}

static void test_memory_reading(WN_UNUSED void **state) {
  wn_error err;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_attr attr = {.name = WN_STR("a"), .kind = WN_ATTR_STRING, .string = WN_STR("b")};
  wn_op op = item_op("p", "t");
  op.u.item.attrs = (wn_attrs){&attr, 1};
  commit_one(store, op);
  wn_store_close(store);
  bool done = false;
  for (long n = 0; !done; n++) {
    wn_buf seen = {0};
    wn_arena arena;
    wn_item_record item;
    wn_arena_init(&arena, 1 << 20);
    wn_mem_fail_after(n);
    wn_status status = wn_store_open(test_dir, WN_STORE_WRITE, &store, &err);
    if (status == WN_OK) status = wn_store_scan_items(store, 0, note_rev, &seen, &err);
    if (status == WN_OK) status = wn_store_get_item(store, 0, &arena, &item, &err);
    done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    if (status != WN_OK) assert_int_equal(status, WN_E_MEMORY);
    if (done) assert_int_equal(status, WN_OK);
    wn_store_close(store);
    wn_arena_clear(&arena);
    wn_buf_clear(&seen);
    assert_true(n < 1000);
  }
}

static void same_attrs(const wn_attrs *a, const wn_attrs *b) {
  assert_int_equal(a->len, b->len);
  for (size_t i = 0; i < a->len; i++) {
    char name[65];
    snprintf(name, sizeof name, "%.*s", WN_STR_ARG(a->data[i].name));
    const wn_attr *x = &a->data[i], *y = wn_attrs_find(b, name);
    assert_non_null(y);
    assert_int_equal(x->kind, y->kind);
    assert_int_equal(x->boolean, y->boolean);
    assert_memory_equal(&x->number, &y->number, sizeof x->number);
    assert_true(wn_str_equal(x->string, y->string));
    assert_int_equal(x->list_len, y->list_len);
    for (size_t j = 0; j < x->list_len; j++) assert_true(wn_str_equal(x->list[j], y->list[j]));
  }
}

/* The quick reader takes what the store writes (but for escapes), and reads it like the general. */
static void test_canonical_attributes(WN_UNUSED void **state) {
  wn_error err;
  wn_rng rng;
  wn_arena arena;
  wn_buf json = {0};
  wn_attrs quick, general;
  wn_rng_seed(&rng, 6);
  wn_arena_init(&arena, 1 << 20);
  for (int turn = 0; turn < 5000; turn++) {
    wn_str words[3] = {WN_STR("naïve ☕"), WN_STR(""), WN_STR("b,]}:")};
    wn_attr attrs[5];
    char names[5][24];
    size_t n = wn_rng_below(&rng, 6);
    for (size_t i = 0; i < n; i++) {
      snprintf(names[i], 24, "a%zu", i);
      attrs[i] =
          (wn_attr){.name = wn_str_of(names[i]), .kind = (wn_attr_kind)wn_rng_below(&rng, 4)};
      if (attrs[i].kind == WN_ATTR_STRING) attrs[i].string = words[wn_rng_below(&rng, 3)];
      if (attrs[i].kind == WN_ATTR_BOOL) attrs[i].boolean = wn_rng_below(&rng, 2) == 0;
      if (attrs[i].kind == WN_ATTR_NUMBER) {
        attrs[i].number = ldexp(wn_rng_normal(&rng), (int)wn_rng_below(&rng, 120) - 60);
        if (wn_rng_below(&rng, 2) == 0) attrs[i].number = round(attrs[i].number) + 0.0;
      }
      if (attrs[i].kind == WN_ATTR_LIST) {
        attrs[i].list = words;
        attrs[i].list_len = wn_rng_below(&rng, 4);
      }
    }
    wn_buf_reset(&json);
    wn_arena_reset(&arena);
    wn_attrs_to_json(&(wn_attrs){attrs, n}, &json);
    bool taken = wn_attrs_from_canonical((wn_str){json.data, json.len}, &arena, &quick);
    assert_ok(wn_attrs_from_json((wn_str){json.data, json.len}, &arena, &general, &err));
    if (!taken && strstr(wn_buf_c(&json), "-0") == NULL) fail_msg("%s", wn_buf_c(&json));
    if (taken) same_attrs(&quick, &general);
  }
  wn_buf_clear(&json);
  wn_arena_clear(&arena);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_DIR(test_events),
      IN_DIR(test_types_are_limited),
      IN_DIR(test_scan_stops),
      IN_DIR(test_event_ids),
      IN_DIR(test_event_id_after_rollback),
      IN_DIR(test_items),
      IN_DIR(test_delete_keeps_ix),
      IN_DIR(test_patch),
      IN_DIR(test_patch_members),
      IN_DIR(test_users),
      IN_DIR(test_slates),
      IN_DIR(test_deletions_together),
      IN_DIR(test_deletions_cost),
      IN_DIR(test_find_user),
      IN_DIR(test_damaged_slate),
      IN_DIR(test_rollback),
      IN_DIR(test_transactions),
      IN_DIR(test_refusals),
      IN_DIR(test_strange_ids),
      IN_DIR(test_scans),
      IN_DIR(test_random_workload),
      IN_DIR(test_memory),
      IN_DIR(test_memory_reading),
      cmocka_unit_test(test_canonical_attributes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
