/* What of a log is fitted on: against naive twins, one rule at a time and all at once. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/dataset_options.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY 86400000LL

enum { USERS = 60, ITEMS = 40, EVENTS = 900 };

static wn_signals signals;
static wn_event events[EVENTS];

static int setup(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  wn_signals_add(&signals, WN_STR("view"));
  wn_signals_add(&signals, WN_STR("dislike"));
  signals.data[1].weight = -1.0f;
  for (size_t i = 0; i < EVENTS; i++) {
    double skew = wn_rng_double(&rng);
    events[i] = (wn_event){.user = (uint32_t)(skew * skew * USERS),
                           .item = (uint32_t)(wn_rng_double(&rng) * wn_rng_double(&rng) * ITEMS),
                           .type = wn_rng_below(&rng, 10) == 0,
                           .value = NAN,
                           .time_ms = (int64_t)wn_rng_below(&rng, 100) * DAY,
                           .seq = i + 1};
  }
  return 0;
}

static wn_pairs_input input(void) {
  return (wn_pairs_input){
      .events = events, .count = EVENTS, .signals = &signals, .users = USERS, .items = ITEMS};
}

static wn_dataset prepare(const wn_dataset_options *options, wn_dataset_report *report) {
  wn_dataset d;
  wn_error err = {0};
  wn_pairs_input in = input();
  if (wn_dataset_prepare(&in, options, &d, report, &err) != WN_OK) fail_msg("%s", err.message);
  assert_int_equal(wn_csr_validate(&d.by_user, &err), WN_OK);
  assert_int_equal(wn_csr_validate(&d.by_item, &err), WN_OK);
  assert_int_equal(d.by_user.nnz, d.by_item.nnz);
  assert_int_equal(d.users, USERS);
  assert_int_equal(d.items, ITEMS);
  assert_int_equal(d.last_seq, EVENTS);
  assert_int_equal(d.now_ms, 99 * DAY);
  return d;
}

static void same_rows(const wn_csr *a, const wn_csr *b) {
  assert_int_equal(a->nnz, b->nnz);
  assert_memory_equal(a->row_ptr, b->row_ptr, (a->rows + 1) * sizeof *a->row_ptr);
  assert_memory_equal(a->col, b->col, a->nnz * sizeof *a->col);
  assert_memory_equal(a->weight, b->weight, a->nnz * sizeof *a->weight);
}

/* The dataset of the events for which `keep` is set. */
static wn_dataset built(const bool *keep) {
  static wn_event kept[EVENTS];
  size_t n = 0;
  wn_dataset d;
  wn_error err = {0};
  for (size_t i = 0; i < EVENTS; i++)
    if (keep[i]) kept[n++] = events[i];
  wn_pairs_input in = input();
  in.events = kept;
  in.count = n;
  in.now_ms = 99 * DAY;
  assert_int_equal(wn_dataset_from(&in, &d, &err), WN_OK);
  return d;
}

static void nothing_asked_changes_nothing(void **state) {
  (void)state;
  bool all[EVENTS];
  wn_dataset_options none = {.active_days = 5};
  wn_dataset_report report;
  memset(all, 1, sizeof all);
  assert_true(wn_dataset_options_none(&none));
  wn_dataset a = prepare(&none, &report), b = built(all);
  same_rows(&a.by_user, &b.by_user);
  same_rows(&a.by_item, &b.by_item);
  assert_int_equal(report.events, EVENTS);
  assert_int_equal(report.pairs, a.by_user.nnz);
  assert_int_equal(
      report.events_old + report.users_inactive + report.pairs_over + report.pairs_rare, 0);
  wn_dataset_clear(&a);
  wn_dataset_clear(&b);
}

static void window_and_active_users(void **state) {
  (void)state;
  wn_dataset_options options = {.window_days = 60, .active_events = 4, .active_days = 30};
  wn_dataset_report report;
  int positive[USERS] = {0}, met[USERS] = {0}, inactive = 0;
  bool keep[EVENTS];
  size_t old = 0, theirs = 0;
  for (size_t i = 0; i < EVENTS; i++) {
    const wn_event *e = &events[i];
    positive[e->user] += e->time_ms >= 69 * DAY && e->type == 0;
    met[e->user] |= e->time_ms >= 39 * DAY;
    old += e->time_ms < 39 * DAY;
  }
  for (size_t i = 0; i < EVENTS; i++) {
    bool recent = events[i].time_ms >= 39 * DAY;
    keep[i] = recent && positive[events[i].user] >= 4;
    theirs += recent && !keep[i];
  }
  for (size_t u = 0; u < USERS; u++) inactive += met[u] && positive[u] < 4;
  wn_dataset a = prepare(&options, &report), b = built(keep);
  same_rows(&a.by_user, &b.by_user);
  same_rows(&a.by_item, &b.by_item);
  assert_int_equal(report.events_old, old);
  assert_int_equal(report.users_inactive, inactive);
  assert_int_equal(report.events_inactive, theirs);
  assert_true(old > 0 && inactive > 0 && a.by_user.nnz > 0);
  wn_dataset_clear(&a);
  wn_dataset_clear(&b);
}

static void the_newest_items_count(void **state) {
  (void)state;
  wn_dataset_options none = {0}, options = {.user_items_max = 3};
  wn_dataset_report report;
  wn_dataset all = prepare(&none, NULL), capped = prepare(&options, &report);
  uint64_t over = 0;
  for (uint32_t u = 0; u < USERS; u++) {
    uint64_t end = all.by_user.row_ptr[u + 1], len = end - all.by_user.row_ptr[u];
    uint64_t want = len < 3 ? len : 3, at = capped.by_user.row_ptr[u];
    assert_int_equal(capped.by_user.row_ptr[u + 1] - at, want);
    assert_memory_equal(capped.by_user.col + at, all.by_user.col + end - want, want * 4);
    over += len - want;
  }
  assert_int_equal(report.pairs_over, over);
  wn_dataset_clear(&all);
  wn_dataset_clear(&capped);
}

/* Takes whatever is below away, again and again. */
static void naive_core(const wn_csr *m, int users_min, int items_min, bool *user, bool *item) {
  for (bool changed = true; changed;) {
    int by_user[USERS] = {0}, by_item[ITEMS] = {0};
    changed = false;
    for (uint32_t u = 0; u < USERS; u++)
      for (uint64_t p = m->row_ptr[u]; p < m->row_ptr[u + 1]; p++)
        if (user[u] && item[m->col[p]] && m->weight[p] > 0) by_user[u]++, by_item[m->col[p]]++;
    for (int u = 0; u < USERS; u++)
      if (user[u] && by_user[u] < users_min) user[u] = false, changed = true;
    for (int i = 0; i < ITEMS; i++)
      if (item[i] && by_item[i] < items_min) item[i] = false, changed = true;
  }
}

static void least_counts_hold_for_what_is_left(void **state) {
  (void)state;
  wn_dataset_options none = {0};
  wn_dataset all = prepare(&none, NULL);
  size_t emptied = 0;
  for (int least = 1; least < 14; least += 2) {
    wn_dataset_options options = {.user_items_min = least, .item_users_min = 2 * least};
    wn_dataset_report report;
    bool user[USERS], item[ITEMS];
    uint64_t pairs = 0;
    memset(user, 1, sizeof user);
    memset(item, 1, sizeof item);
    naive_core(&all.by_user, least, 2 * least, user, item);
    wn_dataset core = prepare(&options, &report);
    for (uint32_t u = 0; u < USERS; u++)
      for (uint64_t p = all.by_user.row_ptr[u]; p < all.by_user.row_ptr[u + 1]; p++)
        pairs += user[u] && item[all.by_user.col[p]];
    for (uint32_t u = 0; u < USERS; u++)
      for (uint64_t p = core.by_user.row_ptr[u]; p < core.by_user.row_ptr[u + 1]; p++)
        assert_true(user[u] && item[core.by_user.col[p]]);
    assert_int_equal(core.by_user.nnz, pairs);
    assert_int_equal(report.pairs_rare, all.by_user.nnz - pairs);
    emptied += pairs == 0;
    wn_dataset_clear(&core);
  }
  assert_true(emptied > 0 && emptied < 6);
  wn_dataset_clear(&all);
}

static void popularity_is_divided_away(void **state) {
  (void)state;
  wn_dataset_options none = {0}, options = {.popularity_alpha = 0.5};
  wn_dataset plain = prepare(&none, NULL), corrected = prepare(&options, NULL);
  double before = 0, after = 0, scale = 0;
  int popularity[ITEMS] = {0};
  for (uint64_t p = 0; p < plain.by_user.nnz; p++) {
    popularity[plain.by_user.col[p]] += plain.by_user.weight[p] > 0;
    before += fmax(0, (double)plain.by_user.weight[p]);
    after += fmax(0, (double)corrected.by_user.weight[p]);
  }
  assert_true(fabs(before - after) < 1e-3 * before);
  for (uint64_t p = 0; p < plain.by_user.nnz; p++) {
    double ratio = (double)(corrected.by_user.weight[p] / plain.by_user.weight[p]) *
                   sqrt(popularity[plain.by_user.col[p]]);
    if (popularity[plain.by_user.col[p]] == 0) continue;
    if (scale == 0) scale = ratio;
    assert_true(fabs(ratio - scale) < 1e-4 * scale);
  }
  wn_dataset_clear(&plain);
  wn_dataset_clear(&corrected);
}

/* Item i was shown 20 i times: its weights are divided by 20 i + 10, and all by one number. */
/* Rows keep their pairs and their order; what is drawn is new to the user, distinct and disliked.
 */
static void negatives_are_drawn(void **state) {
  (void)state;
  wn_dataset_options none = {0}, options = {.negatives = 1.5, .negatives_power = 1};
  wn_dataset_report report;
  wn_dataset all = prepare(&none, NULL), a = prepare(&options, &report),
             b = prepare(&options, NULL);
  same_rows(&a.by_user, &b.by_user);
  wn_error err = {0};
  assert_int_equal(wn_csr_validate(&a.by_user, &err), WN_OK);
  assert_int_equal(report.pairs, all.by_user.nnz);
  assert_int_equal(report.negatives, a.by_user.nnz - all.by_user.nnz);
  double mean = 0, positives = 0;
  for (uint64_t p = 0; p < all.by_user.nnz; p++)
    if (all.by_user.weight[p] > 0) mean += (double)all.by_user.weight[p], positives++;
  mean /= positives;
  assert_true((double)report.negatives > .5 * positives);
  for (uint32_t u = 0; u < USERS; u++) {
    const wn_csr *m = &a.by_user;
    uint64_t len = all.by_user.row_ptr[u + 1] - all.by_user.row_ptr[u];
    uint64_t begin = m->row_ptr[u], own = m->row_ptr[u + 1] - len, wanted = 0;
    assert_memory_equal(m->col + own, all.by_user.col + all.by_user.row_ptr[u], len * 4);
    for (uint64_t p = own; p < own + len; p++) wanted += m->weight[p] > 0;
    assert_true(own - begin <= (uint64_t)(1.5 * (double)wanted));
    for (uint64_t p = begin; p < own; p++) {
      assert_true(fabs((double)m->weight[p] + mean) < 1e-5 * mean);
      assert_true(m->time_ms[p] == m->time_ms[own]);
      for (uint64_t q = p + 1; q < own + len; q++) assert_int_not_equal(m->col[p], m->col[q]);
    }
  }
  wn_dataset_clear(&all);
  wn_dataset_clear(&a);
  wn_dataset_clear(&b);
}

static void exposure_is_divided_away(void **state) {
  (void)state;
  wn_dataset_options none = {0}, options = {.exposure_power = 1};
  float shown[ITEMS];
  double before = 0, after = 0, scale = 0;
  wn_error err = {0};
  wn_pairs_input in = input();
  wn_dataset plain = prepare(&none, NULL), corrected, unknown = prepare(&options, NULL);
  for (uint32_t i = 0; i < ITEMS; i++) shown[i] = 20 * (float)i;
  in.shown = shown;
  in.shown_len = ITEMS;
  assert_int_equal(wn_dataset_prepare(&in, &options, &corrected, NULL, &err), WN_OK);
  for (uint64_t p = 0; p < plain.by_user.nnz; p++) {
    double was = (double)plain.by_user.weight[p], is = (double)corrected.by_user.weight[p];
    assert_true(unknown.by_user.weight[p] == plain.by_user.weight[p]);
    before += fmax(0, was);
    after += fmax(0, is);
    double ratio = is / was * (20.0 * plain.by_user.col[p] + 10);
    if (scale == 0) scale = ratio;
    assert_true(fabs(ratio - scale) < 1e-4 * scale);
  }
  assert_true(fabs(before - after) < 1e-3 * before);
  wn_dataset_clear(&plain);
  wn_dataset_clear(&corrected);
  wn_dataset_clear(&unknown);
}

static void odd_logs(void **state) {
  (void)state;
  wn_dataset_options all = {.window_days = 1,
                            .active_events = 1,
                            .active_days = 1,
                            .user_items_max = 1,
                            .user_items_min = 1,
                            .item_users_min = 1,
                            .popularity_alpha = 2};
  wn_dataset d;
  wn_error err = {0};
  wn_pairs_input in = {.signals = &signals};
  assert_int_equal(wn_dataset_prepare(&in, &all, &d, NULL, &err), WN_OK);
  assert_int_equal(d.by_user.nnz, 0);
  wn_dataset_clear(&d);
  const wn_event far[] = {{0, 0, 0, NAN, INT64_MIN / 2, 1}, {1, 0, 0, NAN, INT64_MAX / 2, 2}};
  in.events = far;
  in.count = 2;
  assert_int_equal(wn_dataset_prepare(&in, &all, &d, NULL, &err), WN_OK);
  assert_int_equal(d.by_user.nnz, 1);
  wn_dataset_clear(&d);
  const wn_event nobody = {WN_NO_IX, 0, 0, NAN, 1, 1};
  in.events = &nobody;
  in.count = 1;
  assert_int_equal(wn_dataset_prepare(&in, &all, &d, NULL, &err), WN_E_ARGUMENT);
}

static void options_are_checked(void **state) {
  (void)state;
  wn_dataset_options o = {0};
  wn_error err = {0};
  assert_int_equal(wn_dataset_options_set(&o, "window_days=2.5", &err), WN_OK);
  assert_int_equal(wn_dataset_options_set(&o, "user_items_max=7", &err), WN_OK);
  assert_true(o.window_days == 2.5 && o.user_items_max == 7);
  const char *bad[] = {"window_days", "window_days=x",      "window_days=-1", "user_items_max=1.5",
                       "=3",          "popularity_alpha=3", "nonsense=1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(wn_dataset_options_set(&o, bad[i], &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "window_days, active_events"));
}

static void memory_may_end_anywhere(void **state) {
  (void)state;
  wn_dataset_options all = {.window_days = 80,
                            .active_events = 2,
                            .user_items_max = 8,
                            .user_items_min = 2,
                            .item_users_min = 2,
                            .popularity_alpha = 1};
  wn_status status = WN_E_MEMORY;
  for (long n = 0; status == WN_E_MEMORY && n < 100; n++) {
    wn_dataset d;
    wn_error err = {0};
    wn_pairs_input in = input();
    wn_mem_fail_after(n);
    status = wn_dataset_prepare(&in, &all, &d, NULL, &err);
    wn_mem_fail_after(-1);
    if (status == WN_OK) wn_dataset_clear(&d);
    assert_null(d.by_user.row_ptr);
  }
  assert_int_equal(status, WN_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nothing_asked_changes_nothing),
      cmocka_unit_test(window_and_active_users),
      cmocka_unit_test(the_newest_items_count),
      cmocka_unit_test(least_counts_hold_for_what_is_left),
      cmocka_unit_test(popularity_is_divided_away),
      cmocka_unit_test(exposure_is_divided_away),
      cmocka_unit_test(negatives_are_drawn),
      cmocka_unit_test(odd_logs),
      cmocka_unit_test(options_are_checked),
      cmocka_unit_test(memory_may_end_anywhere),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
