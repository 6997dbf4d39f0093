/* Splits: nothing leaks, nothing is lost, what is left out is counted. */
#include "lab/harness.h"

#include "base/rng.h"
#include "lab/evaluate.h"

#define DAY 86400000LL

static wn_signals signals;

static int setup(void **state) {
  (void)state;
  wn_signals_defaults(&signals);
  return 0;
}

static uint32_t type(const char *name) {
  return wn_signals_find(&signals, wn_str_of(name));
}

static wn_split make(const wn_event *events, size_t n, wn_split_kind kind) {
  wn_split split;
  wn_error err = {0};
  wn_split_options how = {.kind = kind, .test_share = 0.2, .seed = 3};
  if (wn_split_make((wn_event_list){events, n}, &signals, &how, &split, &err) != WN_OK)
    fail_msg("%s", err.message);
  return split;
}

static size_t random_log(wn_event *events, size_t n, bool times) {
  wn_rng rng;
  wn_rng_seed(&rng, 11);
  for (size_t i = 0; i < n; i++)
    events[i] = (wn_event){.user = (uint32_t)wn_rng_below(&rng, 50),
                           .item = (uint32_t)wn_rng_below(&rng, 80),
                           .type = type("view"),
                           .value = NAN,
                           .time_ms = times ? (int64_t)wn_rng_below(&rng, 1000) * DAY : 7 * DAY,
                           .seq = i + 1};
  return n;
}

static bool in_row(const wn_user_items *rows, uint32_t user, uint32_t item) {
  for (uint64_t p = rows->ptr[user]; p < rows->ptr[user + 1]; p++)
    if (rows->item[p] == item) return true;
  return false;
}

static void time_split_never_sees_the_future(void **state) {
  (void)state;
  wn_event events[4000];
  size_t n = random_log(events, 4000, true);
  wn_split s = make(events, n, WN_SPLIT_TIME);
  assert_int_equal(s.kind, WN_SPLIT_TIME);
  for (size_t i = 0; i < s.train_len; i++) assert_true(s.train[i].time_ms < s.cut_ms);
  assert_true(s.train_len > 0.75 * (double)n && s.train_len < 0.85 * (double)n);
  size_t checked = 0;
  for (size_t i = 0; i < n; i++) { /* each event is on exactly the side it belongs to */
    bool seen = in_row(&s.seen, events[i].user, events[i].item);
    bool relevant = in_row(&s.test, events[i].user, events[i].item);
    assert_false(seen && relevant);
    if (events[i].time_ms < s.cut_ms)
      assert_true(seen);
    else
      assert_true(seen || relevant);
    checked += relevant;
  }
  assert_true(checked > 0);
  wn_split_clear(&s);
}

static void without_times_it_says_so(void **state) {
  (void)state;
  wn_event events[2000];
  size_t n = random_log(events, 2000, false);
  wn_split s = make(events, n, WN_SPLIT_TIME);
  assert_int_equal(s.kind, WN_SPLIT_RANDOM);
  assert_non_null(strstr(s.why, "share one time"));
  for (uint32_t u = 0; u < s.users; u++) /* a pair is on one side only */
    for (uint64_t p = s.test.ptr[u]; p < s.test.ptr[u + 1]; p++)
      assert_false(in_row(&s.seen, u, s.test.item[p]));
  wn_split again = make(events, n, WN_SPLIT_TIME);
  assert_int_equal(s.test.ptr[s.users], again.test.ptr[again.users]);
  assert_memory_equal(s.test.item, again.test.item, s.test.ptr[s.users] * sizeof(uint32_t));
  wn_split_clear(&s);
  wn_split_clear(&again);
}

static void leave_last_takes_the_last(void **state) {
  (void)state;
  const uint32_t view = type("view");
  const wn_event events[] = {{0, 5, view, NAN, 3 * DAY, 1}, {0, 6, view, NAN, 9 * DAY, 2},
                             {0, 7, view, NAN, 4 * DAY, 3}, {1, 7, view, NAN, 5 * DAY, 4},
                             {1, 2, view, NAN, 5 * DAY, 5}, {2, 1, view, NAN, DAY, 6}};
  wn_split s = make(events, 6, WN_SPLIT_LEAVE_LAST);
  assert_int_equal(s.test.item[s.test.ptr[0]], 6);
  assert_int_equal(s.test.item[s.test.ptr[1]], 2); /* same time: the log's order */
  assert_int_equal(s.train_len, 3);
  assert_int_equal(s.cold_users, 1);      /* user 2 had one event alone */
  assert_int_equal(s.cold_test_pairs, 3); /* nobody else met 6, 2 and 1 in train */
  wn_split_clear(&s);
}

static void negatives_are_not_relevant(void **state) {
  (void)state;
  const uint32_t view = type("view"), dislike = type("dislike");
  const wn_event train[] = {{0, 1, view, NAN, DAY, 1}, {1, 1, view, NAN, DAY, 2}};
  const wn_event test[] = {{0, 2, dislike, NAN, 2 * DAY, 3},
                           {1, 3, view, NAN, 2 * DAY, 4},
                           {1, 1, view, NAN, 2 * DAY, 5}};
  wn_split s;
  wn_error err = {0};
  assert_int_equal(
      wn_split_given((wn_event_list){train, 2}, (wn_event_list){test, 3}, &signals, &s, &err),
      WN_OK);
  assert_int_equal(s.test.ptr[s.users],
                   1); /* user 1's item 3: item 1 is masked, item 2 was disliked */
  assert_int_equal(s.users_without_relevant, 1);
  assert_int_equal(s.test_users, 1);
  wn_split_clear(&s);
}

static void cold_items_leave_with_all_their_events(void **state) {
  (void)state;
  wn_event events[4000];
  size_t n = random_log(events, 4000, false);
  wn_split s = make(events, n, WN_SPLIT_COLD_ITEMS);
  size_t held_out = wn_bitset_count(&s.held_out);
  assert_true(held_out > 5 && held_out < 30); /* a fifth of 80 */
  for (size_t i = 0; i < s.train_len; i++)
    assert_false(wn_bitset_test(&s.held_out, s.train[i].item));
  for (size_t i = 0; i < n; i++)
    assert_true(in_row(wn_bitset_test(&s.held_out, events[i].item) ? &s.test : &s.seen,
                       events[i].user, events[i].item));
  assert_int_equal(s.cold_test_pairs, s.test.ptr[s.users]);
  wn_split_clear(&s);
}

static void choices_hold_what_is_relevant(void **state) {
  (void)state;
  const uint32_t view = type("view");
  const wn_event train[] = {{0, 1, view, NAN, DAY, 1}, {1, 1, view, NAN, DAY, 2}};
  const wn_event test[] = {{0, 2, view, NAN, DAY, 3}, {1, 3, view, NAN, DAY, 4}};
  const wn_event choices[] = {{0, 2, view, NAN, 1, 1},
                              {0, 1, view, NAN, 1, 2},
                              {0, 9, view, NAN, 1, 3},
                              {7, 1, view, NAN, 1, 4},
                              {1, 2, view, NAN, 1, 5}};
  wn_split s;
  wn_error err = {0};
  assert_int_equal(
      wn_split_given((wn_event_list){train, 2}, (wn_event_list){test, 2}, &signals, &s, &err),
      WN_OK);
  assert_int_equal(wn_split_restrict(&s, (wn_event_list){choices, 4}, &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "user 1"));
  assert_int_equal(wn_split_restrict(&s, (wn_event_list){choices, 5}, &err), WN_OK);
  const uint32_t want[] = {2, 9, 2, 3}; /* item 1 is masked; the test item stands once */
  assert_int_equal(s.choices.ptr[1], 2);
  assert_int_equal(s.choices.ptr[2], 4);
  assert_memory_equal(s.choices.item, want, sizeof want);
  assert_int_equal(s.items, 10);
  wn_split_clear(&s);
}

static void bad_input(void **state) {
  (void)state;
  wn_split s;
  wn_error err = {0};
  const wn_event one = {0, 0, 0, NAN, DAY, 1};
  const double shares[] = {0, 1, -1, NAN, 2};
  for (size_t i = 0; i < 5; i++) {
    wn_split_options how = {.kind = WN_SPLIT_TIME, .test_share = shares[i]};
    assert_int_equal(wn_split_make((wn_event_list){&one, 1}, &signals, &how, &s, &err),
                     WN_E_ARGUMENT);
    assert_string_equal(err.field, "test-share");
  }
  wn_split_options how = {.kind = WN_SPLIT_TIME, .test_share = 0.5};
  assert_int_equal(wn_split_make((wn_event_list){NULL, 0}, &signals, &how, &s, &err),
                   WN_E_ARGUMENT);
  assert_int_equal(wn_split_make((wn_event_list){&one, 1}, &signals, &how, &s, &err), WN_OK);
  wn_split_clear(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(time_split_never_sees_the_future),
      cmocka_unit_test(without_times_it_says_so),
      cmocka_unit_test(leave_last_takes_the_last),
      cmocka_unit_test(negatives_are_not_relevant),
      cmocka_unit_test(cold_items_leave_with_all_their_events),
      cmocka_unit_test(choices_hold_what_is_relevant),
      cmocka_unit_test(bad_input),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
