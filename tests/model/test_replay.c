/* Moments of the past against what a moment may and must hold, read off the data naively. */
#include "fitting.h"

#include "model/replay.h"

#define USERS 200u
#define ITEMS 80u
#define DAY   86400000LL

/* A hundred days; some users stay away from some day on. */
static void log_of(wn_dataset *data, int64_t step_ms) {
  static fact facts[USERS * 30];
  wn_rng rng;
  size_t n = 0;
  wn_rng_seed(&rng, 5);
  for (uint32_t u = 0; u < USERS; u++) {
    uint32_t first = (uint32_t)wn_rng_below(&rng, 80), len = 2 + (uint32_t)wn_rng_below(&rng, 25);
    for (uint32_t k = 0; k < len && first < 100; k++) {
      float weight = wn_rng_below(&rng, 10) > 0 ? 1 : -1;
      facts[n++] = (fact){u, (u * 31 + k) % ITEMS, weight, (int64_t)first * step_ms + 1000};
      first += (uint32_t)wn_rng_below(&rng, 12);
    }
  }
  dataset_of(facts, n, USERS, ITEMS, data);
  data->first_ms = 1000;
}

static bool has_target(const wn_replay *r, const wn_moment *m, uint32_t item) {
  for (uint64_t i = m->target; i < m->targets_end; i++)
    if (r->target[i] == item) return true;
  return false;
}

/* All that is good after the view is a target: nobody has more than 50. */
static void check_later(const wn_dataset *data, const wn_replay *r, const wn_moment *m) {
  const wn_csr *csr = &data->by_user;
  uint64_t targets = 0;
  assert_true(m->end > m->begin && m->begin == csr->row_ptr[m->user]);
  assert_true(csr->time_ms[m->end - 1] < m->time_ms);
  assert_int_equal(m->time_ms, r->view_ms[wn_replay_view(r, m)]);
  for (uint64_t p = m->end; p < csr->row_ptr[m->user + 1]; p++) {
    assert_true(csr->time_ms[p] >= m->time_ms);
    assert_int_equal(has_target(r, m, csr->col[p]), csr->weight[p] > 0);
    targets += csr->weight[p] > 0;
  }
  assert_true(targets > 0 && targets == m->targets_end - m->target);
}

static void test_later(void **state) {
  (void)state;
  wn_dataset data;
  wn_replay r;
  log_of(&data, DAY);
  assert_ok(wn_replay_later(&data, 4000, 1, &r, err));
  assert_int_equal(r.views, WN_REPLAY_VIEWS);
  size_t want = 0;
  for (unsigned v = 0; v < r.views; v++)
    for (uint32_t u = 0; u < USERS; u++) {
      bool past = false, future = false;
      for (uint64_t p = data.by_user.row_ptr[u]; p < data.by_user.row_ptr[u + 1]; p++) {
        if (data.by_user.weight[p] <= 0) continue;
        past |= data.by_user.time_ms[p] < r.view_ms[v];
        future |= data.by_user.time_ms[p] >= r.view_ms[v];
      }
      want += past && future;
    }
  assert_int_equal(r.len, want);
  for (size_t at = 0; at < r.len; at++) check_later(&data, &r, &r.moment[at]);
  /* What is fitted on, the events of between and what comes after the last view are all there is.
   */
  uint64_t after = 0;
  for (uint64_t p = 0; p < data.by_user.nnz; p++)
    after += data.by_user.time_ms[p] >= r.view_ms[r.views - 1];
  assert_int_equal(r.rest.by_user.nnz + r.events + after, data.by_user.nnz);
  for (uint64_t p = 0; p < r.rest.by_user.nnz; p++)
    assert_true(r.rest.by_user.time_ms[p] < r.view_ms[0]);
  for (size_t i = 1; i < r.events; i++) assert_true(r.event[i - 1].time_ms <= r.event[i].time_ms);
  wn_replay_clear(&r);
  assert_ok(wn_replay_later(&data, 100, 1, &r, err)); /* a sample */
  assert_true(r.len > 50 && r.len < 200);
  wn_replay_clear(&r);
  wn_dataset_clear(&data);
}

/* An order is not a calendar. What comes next is known of it all the same. */
static void test_without_times(void **state) {
  (void)state;
  wn_dataset data;
  wn_replay r;
  log_of(&data, 1);
  assert_ok(wn_replay_later(&data, 1000, 1, &r, err));
  assert_true(r.views == 0 && r.events == 0 && r.len == 0);
  assert_ok(wn_replay_last(&data, 1000, 1, &r, err));
  assert_true(r.views == 0 && r.rounds == 1 && r.len > USERS / 2);
  for (size_t at = 0; at < r.len; at++) assert_int_equal(wn_replay_view(&r, &r.moment[at]), 0);
  wn_replay_clear(&r);
  wn_dataset_clear(&data);
}

static void test_out_of_memory(void **state) {
  (void)state;
  wn_dataset data;
  wn_replay r;
  wn_error err;
  log_of(&data, DAY);
  for (long n = 0;; n++) {
    wn_mem_fail_after(n);
    wn_status status = wn_replay_later(&data, 50, 1, &r, &err);
    wn_mem_fail_after(-1);
    if (status == WN_OK) wn_replay_clear(&r);
    if (status == WN_OK) break;
    assert_int_equal(status, WN_E_MEMORY);
  }
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_later),
      cmocka_unit_test(test_without_times),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
