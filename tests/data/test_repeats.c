#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "data/repeats.h"

#include <math.h>
#include <stdlib.h>

#define ITEMS  12u
#define USERS  9u
#define EVENTS 700u

static int by_value(const void *a, const void *b) {
  const int64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* Every pair of a user's events of an item with none between them. */
static int64_t naive(const wn_event *events, const bool *counts, uint32_t item) {
  int64_t gaps[EVENTS];
  size_t n = 0;
  for (uint32_t i = 0; i < EVENTS; i++) {
    int64_t next = INT64_MAX;
    bool first = counts[i] && events[i].item == item;
    for (uint32_t j = 0; first && j < EVENTS; j++) {
      if (!counts[j] || events[j].item != item || events[j].user != events[i].user) continue;
      if (j < i && events[j].time_ms == events[i].time_ms) first = false; /* one of a moment */
      if (events[j].time_ms > events[i].time_ms && events[j].time_ms < next)
        next = events[j].time_ms;
    }
    if (first && next != INT64_MAX) gaps[n++] = next - events[i].time_ms;
  }
  if (n < WN_REPEATS_MIN) return 0;
  qsort(gaps, n, sizeof *gaps, by_value);
  return gaps[(n - 1) / 2];
}

static void test_gaps(void **state) {
  (void)state;
  static wn_signals signals;
  wn_event events[EVENTS];
  bool counts[EVENTS];
  wn_rng rng;
  wn_signals_defaults(&signals);
  uint32_t buy = wn_signals_find(&signals, WN_STR("buy"));
  uint32_t other[] = {wn_signals_find(&signals, WN_STR("view")),
                      wn_signals_find(&signals, WN_STR("dislike")),
                      wn_signals_find(&signals, WN_STR("cart")), 5000};
  wn_rng_seed(&rng, 3);
  for (uint32_t i = 0; i < EVENTS; i++) {
    counts[i] = wn_rng_below(&rng, 3) > 0;
    uint32_t item = (uint32_t)wn_rng_below(&rng, i % 2 ? ITEMS : 3);
    events[i] = (wn_event){.user = (uint32_t)wn_rng_below(&rng, USERS),
                           .item = item,
                           .type = counts[i] ? buy : other[wn_rng_below(&rng, 4)],
                           .value = NAN,
                           .time_ms = (int64_t)wn_rng_below(&rng, 400) * 1000};
  }
  int64_t *repeat_ms = NULL;
  wn_error err;
  assert_int_equal(
      wn_repeats_learn((wn_event_list){events, EVENTS}, &signals, ITEMS - 1, &repeat_ms, &err),
      WN_OK);
  for (uint32_t i = 0; i < ITEMS - 1; i++) assert_int_equal(repeat_ms[i], naive(events, counts, i));
  wn_free(repeat_ms);
  bool whole = false;
  for (long n = 0; !whole; n++) {
    repeat_ms = NULL;
    wn_mem_fail_after(n);
    wn_status status =
        wn_repeats_learn((wn_event_list){events, EVENTS}, &signals, ITEMS, &repeat_ms, &err);
    wn_mem_fail_after(-1);
    whole = status == WN_OK;
    assert_true(whole || status == WN_E_MEMORY);
  }
  wn_free(repeat_ms);
  assert_int_equal(wn_repeats_learn((wn_event_list){NULL, 0}, &signals, 0, &repeat_ms, &err),
                   WN_OK);
  wn_free(repeat_ms);
}

static wn_standing standing(const wn_signals *s, const char *a, const char *b, float weight) {
  uint64_t mask = (uint64_t)1 << wn_signals_find(s, wn_str_of(a));
  if (b != NULL) mask |= (uint64_t)1 << wn_signals_find(s, wn_str_of(b));
  return wn_signals_standing(s, mask, weight);
}

static void test_standing(void **state) {
  (void)state;
  static wn_signals s;
  wn_signals_defaults(&s);
  assert_int_equal(standing(&s, "view", NULL, 1), WN_STANDING_NONE);
  assert_int_equal(standing(&s, "view", "cart", 3), WN_STANDING_OPEN);
  assert_int_equal(standing(&s, "cart", "purchase", 6), WN_STANDING_DONE);
  assert_int_equal(standing(&s, "bookmark", "dislike", 1), WN_STANDING_DONE);
  assert_int_equal(standing(&s, "watch", NULL, 5), WN_STANDING_OPEN);
  s.data[wn_signals_find(&s, WN_STR("watch"))].use_value = true;
  assert_int_equal(standing(&s, "watch", NULL, 0.6f), WN_STANDING_OPEN);
  assert_int_equal(standing(&s, "watch", NULL, 0.95f), WN_STANDING_DONE);
  assert_int_equal(standing(&s, "watch", "view", 1.6f), WN_STANDING_OPEN); /* whose weight is it? */
  assert_int_equal(wn_signals_standing(&s, (uint64_t)1 << 63, 1), WN_STANDING_NONE);
  assert_int_equal(wn_signals_standing(&s, 0, 1), WN_STANDING_NONE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_gaps),
      cmocka_unit_test(test_standing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
