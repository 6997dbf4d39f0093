/* What is held out, counted by hand and by properties. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/holdout.h"

#include <math.h>
#include <string.h>

enum { USERS = 50, ITEMS = 40 };

/* `tick` 0: every event at one time. */
static void dataset(int64_t tick, wn_dataset *out) {
  enum { EVENTS = 900 };
  static wn_event events[EVENTS];
  wn_error err;
  wn_rng rng;
  wn_signals signals;
  wn_rng_seed(&rng, 11);
  memset(&signals, 0, sizeof signals);
  wn_signals_add(&signals, WN_STR("like"));
  wn_signals_add(&signals, WN_STR("dislike"));
  signals.data[1].weight = -5;
  for (size_t i = 0; i < EVENTS; i++)
    events[i] = (wn_event){.user = (uint32_t)wn_rng_below(&rng, USERS),
                           .item = (uint32_t)wn_rng_below(&rng, ITEMS),
                           .type = wn_rng_below(&rng, 4) == 0,
                           .value = NAN,
                           .time_ms = 1000 + (int64_t)(i / 3) * tick};
  /* One positive item is nothing to hold out from; a user without any is not asked either. */
  for (size_t i = 0; i < EVENTS; i++)
    if (events[i].user == 7) events[i].item = 3, events[i].type = 0;
  assert_int_equal(wn_dataset_build_events((wn_event_list){events, EVENTS}, &signals, USERS + 1,
                                           ITEMS, out, &err),
                   WN_OK);
}

static bool has(const wn_csr *m, uint32_t user, uint32_t item) {
  for (uint64_t p = m->row_ptr[user]; p < m->row_ptr[user + 1]; p++)
    if (m->col[p] == item) return true;
  return false;
}

static void check(const wn_dataset *data, const wn_holdout *h, bool ordered) {
  const wn_csr *whole = &data->by_user, *rest = &h->rest.by_user;
  wn_error err;
  assert_int_equal(wn_csr_validate(rest, &err), WN_OK);
  assert_int_equal(rest->nnz + h->ptr[h->len], whole->nnz);
  assert_int_equal(h->rest.by_item.nnz, rest->nnz);
  for (size_t i = 0; i < h->len; i++) {
    uint32_t u = h->user[i];
    size_t positive = 0;
    int64_t newest = 0;
    assert_true(u != 7 && u < USERS);
    assert_true(i == 0 || h->user[i - 1] < u);
    assert_true(h->ptr[i + 1] > h->ptr[i] && h->ptr[i + 1] - h->ptr[i] <= 3);
    for (uint64_t p = rest->row_ptr[u]; p < rest->row_ptr[u + 1]; p++)
      positive += rest->weight[p] > 0;
    assert_true(positive > 0);
    for (uint64_t p = whole->row_ptr[u]; p < whole->row_ptr[u + 1]; p++)
      if (whole->weight[p] > 0) newest = whole->time_ms[p];
    for (uint64_t t = h->ptr[i]; t < h->ptr[i + 1]; t++) {
      assert_true(t == h->ptr[i] || h->target[t - 1] < h->target[t]);
      assert_false(has(rest, u, h->target[t]));
      for (uint64_t p = whole->row_ptr[u]; p < whole->row_ptr[u + 1]; p++)
        if (whole->col[p] == h->target[t])
          assert_true(whole->weight[p] > 0 && whole->time_ms[p] == newest);
    }
    if (ordered) assert_int_equal(h->ptr[i + 1] - h->ptr[i], 1);
    for (uint64_t p = rest->row_ptr[u]; p < rest->row_ptr[u + 1]; p++)
      for (uint64_t q = whole->row_ptr[u]; q < whole->row_ptr[u + 1]; q++)
        if (whole->col[q] == rest->col[p]) assert_int_equal(rest->type[p], whole->type[q]);
  }
  size_t at = 0;
  for (uint32_t u = 0; u < USERS; u++) {
    bool drawn = at < h->len && h->user[at] == u;
    if (!drawn)
      assert_int_equal(rest->row_ptr[u + 1] - rest->row_ptr[u],
                       whole->row_ptr[u + 1] - whole->row_ptr[u]);
    at += drawn;
  }
}

static void test_what_is_taken(void **state) {
  (void)state;
  for (int64_t tick = 0; tick <= 1000; tick += 1000) {
    wn_dataset data;
    wn_holdout all, again, few;
    wn_error err;
    wn_holdout_options o = {.targets_max = 3, .seed = 5};
    dataset(tick, &data);
    assert_int_equal(wn_holdout_make(&data, &o, &all, &err), WN_OK);
    assert_int_equal(wn_holdout_make(&data, &o, &again, &err), WN_OK);
    check(&data, &all, tick > 0);
    assert_true(all.len > 40);
    assert_memory_equal(all.target, again.target, all.ptr[all.len] * sizeof *all.target);
    if (tick == 0) assert_true(all.ptr[all.len] > all.len); /* some users give two */
    o.users_max = 10;
    assert_int_equal(wn_holdout_make(&data, &o, &few, &err), WN_OK);
    assert_int_equal(few.len, 10);
    check(&data, &few, tick > 0);
    wn_holdout_clear(&all);
    wn_holdout_clear(&again);
    wn_holdout_clear(&few);
    wn_dataset_clear(&data);
  }
}

/* By time: rest is before the cut, targets are positive and after it, of users with a past. */
static void test_later(void **state) {
  (void)state;
  wn_dataset data;
  wn_holdout h, again, few;
  wn_error err;
  wn_holdout_options o = {.targets_max = 100, .seed = 5};
  dataset(1000, &data);
  assert_int_equal(wn_holdout_later(&data, .2, &o, &h, &err), WN_OK);
  assert_int_equal(wn_holdout_later(&data, .2, &o, &again, &err), WN_OK);
  assert_memory_equal(h.target, again.target, h.ptr[h.len] * sizeof *h.target);
  int64_t last = INT64_MIN;
  for (uint64_t p = 0; p < h.rest.by_user.nnz; p++)
    if (h.rest.by_user.time_ms[p] > last) last = h.rest.by_user.time_ms[p];
  size_t at = 0, drawn = 0;
  for (uint32_t u = 0; u < data.users; u++) {
    const wn_csr *m = &data.by_user, *r = &h.rest.by_user;
    size_t later = 0, past = 0;
    for (uint64_t p = r->row_ptr[u]; p < r->row_ptr[u + 1]; p++) past += r->weight[p] > 0;
    for (uint64_t p = m->row_ptr[u]; p < m->row_ptr[u + 1]; p++)
      later += m->time_ms[p] > last && m->weight[p] > 0;
    bool is_drawn = at < h.len && h.user[at] == u;
    assert_true(is_drawn == (later > 0 && past > 0));
    if (is_drawn) assert_int_equal(h.ptr[at + 1] - h.ptr[at], later);
    at += is_drawn;
    drawn += is_drawn;
  }
  assert_int_equal(drawn, h.len);
  assert_true(drawn > 5 && h.rest.by_user.nnz < data.by_user.nnz);
  o.targets_max = 1;
  o.users_max = 3;
  assert_int_equal(wn_holdout_later(&data, .2, &o, &few, &err), WN_OK);
  assert_int_equal(few.len, 3);
  assert_int_equal(few.ptr[3], 3);
  wn_holdout_clear(&h);
  wn_holdout_clear(&again);
  wn_holdout_clear(&few);
  wn_dataset_clear(&data);
}

static void test_nobody(void **state) {
  (void)state;
  wn_dataset data;
  wn_holdout h;
  wn_error err;
  wn_holdout_options o = {.targets_max = 1};
  assert_int_equal(wn_dataset_build_events((wn_event_list){NULL, 0}, NULL, 3, 2, &data, &err),
                   WN_OK);
  assert_int_equal(wn_holdout_make(&data, &o, &h, &err), WN_OK);
  assert_int_equal(h.len, 0);
  assert_int_equal(h.rest.by_user.rows, 3);
  wn_holdout_clear(&h);
  wn_dataset_clear(&data);
}

static void test_memory(void **state) {
  (void)state;
  wn_dataset data;
  wn_holdout h;
  wn_error err;
  wn_holdout_options o = {.targets_max = 3, .seed = 5};
  dataset(1000, &data);
  wn_mem_fail_after(-1);
  assert_int_equal(wn_holdout_make(&data, &o, &h, &err), WN_OK);
  long total = wn_mem_allocations();
  wn_holdout_clear(&h);
  for (long n = 0; n < total; n++) {
    wn_mem_fail_after(n);
    assert_int_equal(wn_holdout_make(&data, &o, &h, &err), WN_E_MEMORY);
  }
  wn_mem_fail_after(-1);
  assert_int_equal(wn_holdout_later(&data, .2, &o, &h, &err), WN_OK);
  total = wn_mem_allocations();
  wn_holdout_clear(&h);
  for (long n = 0; n < total; n++) {
    wn_mem_fail_after(n);
    assert_int_equal(wn_holdout_later(&data, .2, &o, &h, &err), WN_E_MEMORY);
  }
  wn_mem_fail_after(-1);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_taken),
      cmocka_unit_test(test_later),
      cmocka_unit_test(test_nobody),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
