/* Which event answers which slate: the rules one by one, and a naive twin over random logs. */
#include "store/answered.h"
#include "store_testing.h"

#define HOUR INT64_C(3600000)

static wn_op slate_op(const char *id, wn_user_ix user, int64_t time_ms, const wn_item_ix *items,
                      size_t len) {
  static const float chances[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  return (wn_op){.kind = WN_OP_SLATE,
                 .u.slate = {.id = wn_str_of(id),
                             .surface = WN_STR("home"),
                             .user = user,
                             .anchor = WN_NO_IX,
                             .time_ms = time_ms,
                             .items = items,
                             .propensities = chances,
                             .len = len}};
}

static void event_at(wn_store *store, const char *user, const char *item, int64_t time_ms,
                     const char *slate) {
  wn_op op = event_op(NULL, user, item, "click");
  op.u.event.time_ms = time_ms;
  op.u.event.slate = wn_str_of(slate);
  commit_one(store, op);
}

static wn_status print_answers(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                               size_t len, wn_error *err) {
  wn_buf *out = ctx;
  wn_buf_printf(out, "%.*s:", WN_STR_ARG(slate->id));
  for (size_t i = 0; i < len; i++)
    wn_buf_printf(out, " %llu@%u", (unsigned long long)answers[i].seq, answers[i].position);
  wn_buf_char(out, '\n');
  return out->failed ? wn_fail_memory(err) : WN_OK;
}

static void test_rules(WN_UNUSED void **state) {
  wn_error err;
  wn_buf seen = {0};
  wn_answered_options options;
  wn_store *store = open_store(WN_STORE_WRITE);
  const wn_item_ix both[2] = {1, 0};
  event_at(store, "ann", "x", T0 - HOUR, NULL); /* 1: before any slate */
  event_at(store, "bob", "y", T0 - HOUR, NULL); /* 2 */
  commit_one(store, slate_op("s1", 0, T0, both, 2));
  commit_one(store, slate_op("s2", 0, T0 + 2 * HOUR, both, 1));
  event_at(store, "ann", "x", T0 + 3 * HOUR, NULL);  /* 3: s1 alone showed x, at 2 */
  event_at(store, "ann", "y", T0 + 3 * HOUR, NULL);  /* 4: s2 was the last to show y */
  event_at(store, "ann", "y", T0 + HOUR, NULL);      /* 5: came late, but answers s1 */
  event_at(store, "bob", "x", T0 + 3 * HOUR, NULL);  /* 6: was not shown it */
  event_at(store, "ann", "x", T0 + 25 * HOUR, NULL); /* 7: too late */
  event_at(store, "ann", "y", T0 + 90 * HOUR, "s1"); /* 8: says so, however late */
  event_at(store, "ann", "z", T0 + HOUR, "s2");      /* 9: not in the slate */
  event_at(store, "ann", "z", T0 + HOUR, "never");   /* 10: no such slate */
  wn_op first = slate_op("s3", WN_NO_IX, T0 + 99 * HOUR, both, 2); /* nobody knows her yet */
  first.u.slate.user_id = WN_STR("eve");
  commit_one(store, first);
  event_at(store, "eve", "x", T0 + 100 * HOUR, NULL); /* 11 */
  wn_answered_options_defaults(&options);
  assert_ok(wn_store_scan_answered(store, &options, print_answers, &seen, &err));
  assert_string_equal(wn_buf_c(&seen), "s1: 3@2 5@1 8@1\ns2: 4@1 9@0\ns3: 11@2\n");
  wn_buf_reset(&seen);
  options.since_ms = T0 + 1;
  assert_ok(wn_store_scan_answered(store, &options, print_answers, &seen, &err));
  assert_string_equal(wn_buf_c(&seen), "s2: 4@1 9@0\ns3: 11@2\n");
  wn_buf_clear(&seen);
  wn_store_close(store);
}

enum { USERS = 3, ITEMS = 4, SLATES = 60, EVENTS = 300 };

/* The same by the words of the header: of the slates that showed it before, the last. */
static int owner_of(const wn_op *slates, int64_t time_ms, wn_user_ix user, wn_item_ix item,
                    int64_t window_ms) {
  int owner = -1;
  for (int s = 0; s < SLATES; s++) {
    const wn_slate_log *log = &slates[s].u.slate;
    bool shown = false;
    for (size_t i = 0; i < log->len; i++) shown = shown || log->items[i] == item;
    if (!shown || log->user != user || log->time_ms > time_ms) continue;
    if (owner < 0 || log->time_ms >= slates[owner].u.slate.time_ms) owner = s;
  }
  if (owner >= 0 && time_ms - slates[owner].u.slate.time_ms > window_ms) owner = -1;
  return owner;
}

static void test_twin(WN_UNUSED void **state) {
  static wn_item_ix shown[SLATES][ITEMS];
  static char ids[SLATES][8];
  static int owners[EVENTS + 1];
  wn_op slates[SLATES];
  wn_error err;
  wn_rng rng;
  wn_buf got = {0}, expected = {0};
  wn_answered_options options;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_rng_seed(&rng, 20);
  wn_answered_options_defaults(&options);
  options.window_ms = 40;
  for (int i = 0; i < ITEMS; i++) { /* names, long before */
    char user[8], item[8];
    snprintf(user, sizeof user, "u%d", i % USERS);
    snprintf(item, sizeof item, "i%d", i);
    event_at(store, user, item, 1, NULL);
  }
  for (int s = 0; s < SLATES; s++) {
    size_t len = 0;
    for (wn_item_ix i = 0; i < ITEMS; i++)
      if (wn_rng_below(&rng, 2) == 1) shown[s][len++] = i;
    snprintf(ids[s], sizeof ids[s], "s%d", s);
    slates[s] = slate_op(ids[s], (wn_user_ix)wn_rng_below(&rng, USERS), T0 + 5 * s, shown[s], len);
    commit_one(store, slates[s]);
  }
  for (int e = 1; e <= EVENTS; e++) {
    char user[8], item[8];
    wn_user_ix u = (wn_user_ix)wn_rng_below(&rng, USERS);
    wn_item_ix i = (wn_item_ix)wn_rng_below(&rng, ITEMS);
    int64_t time_ms = T0 + (int64_t)wn_rng_below(&rng, 5 * SLATES + 60);
    snprintf(user, sizeof user, "u%u", u);
    snprintf(item, sizeof item, "i%u", i);
    event_at(store, user, item, time_ms, NULL);
    owners[e] = owner_of(slates, time_ms, u, i, options.window_ms);
  }
  for (int s = 0; s < SLATES; s++) {
    wn_buf_printf(&expected, "s%d:", s);
    for (int e = 1; e <= EVENTS; e++)
      if (owners[e] == s) wn_buf_printf(&expected, " %d", e + ITEMS);
    wn_buf_char(&expected, '\n');
  }
  options.since_ms = T0;
  assert_ok(wn_store_scan_answered(store, &options, print_answers, &got, &err));
  /* without the positions, which test_rules looks at */
  wn_buf plain = {0};
  for (size_t i = 0; i < got.len; i++) {
    if (got.data[i] == '@')
      i++;
    else
      wn_buf_char(&plain, got.data[i]);
  }
  assert_string_equal(wn_buf_c(&plain), wn_buf_c(&expected));
  wn_buf_clear(&plain);
  wn_buf_clear(&got);
  wn_buf_clear(&expected);
  wn_store_close(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_rules, make_dir, drop_dir),
      cmocka_unit_test_setup_teardown(test_twin, make_dir, drop_dir),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
