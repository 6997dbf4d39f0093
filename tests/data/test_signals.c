/* Event types: defaults, weights, adding and finding. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/signals.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DAY 86400000LL

static float weight_of(const wn_signals *s, const char *name, double value) {
  uint32_t type = wn_signals_find(s, wn_str_of(name));
  assert_int_not_equal(type, WN_NO_IX);
  return wn_signal_weight(s, type, value, 0, 0);
}

static void test_defaults(void **state) {
  (void)state;
  static wn_signals s;
  wn_signals_defaults(&s);
  assert_float_equal(weight_of(&s, "view", NAN), 1.0f, 0);
  assert_float_equal(weight_of(&s, "like", NAN), 3.0f, 0);
  assert_float_equal(weight_of(&s, "dislike", NAN), -2.0f, 0);
  assert_float_equal(weight_of(&s, "buy", NAN), 4.0f, 0);
  assert_float_equal(weight_of(&s, "purchase", 17.0), 4.0f, 0); /* a price is no weight */
  assert_float_equal(weight_of(&s, "rating", 5.0), 1.0f, 0);
  assert_float_equal(weight_of(&s, "rating", 3.0), 1.0f, 0);
  assert_float_equal(weight_of(&s, "rating", 2.5), 0.0f, 0);
  assert_float_equal(weight_of(&s, "rating", NAN), 1.0f, 0);
  assert_float_equal(weight_of(&s, "depends", NAN), 1.0f, 0);
  assert_float_equal(weight_of(&s, "suggests", NAN), 0.4f, 0);
  assert_true(s.data[wn_signals_find(&s, WN_STR("rating"))].seen);
  assert_false(s.data[wn_signals_find(&s, WN_STR("impression"))].seen);
  assert_false(s.data[wn_signals_find(&s, WN_STR("skip"))].seen);
  for (size_t i = 0; i < s.len; i++) {
    assert_true(s.data[i].declared);
    assert_float_equal(s.data[i].half_life_days, 0, 0);
    assert_int_equal(wn_signals_find(&s, wn_str_of(s.data[i].name)), i); /* no name twice */
  }
}

static void test_weight(void **state) {
  (void)state;
  static wn_signals s;
  memset(&s, 0, sizeof s);
  uint32_t type = wn_signals_add(&s, WN_STR("watch"));
  wn_signal *w = &s.data[type];
  w->weight = 2.0f;
  w->half_life_days = 10.0f;
  assert_float_equal(wn_signal_weight(&s, type, NAN, 0, 0), 2.0f, 0);
  assert_float_equal(wn_signal_weight(&s, type, NAN, 0, 10 * DAY), 1.0f, 1e-6);
  assert_float_equal(wn_signal_weight(&s, type, NAN, 0, 30 * DAY), 0.25f, 1e-6);
  assert_float_equal(wn_signal_weight(&s, type, NAN, 5 * DAY, 0), 2.0f, 0); /* ahead of now */
  w->use_value = true;
  assert_float_equal(wn_signal_weight(&s, type, 0.5, 0, 0), 1.0f, 0);
  assert_float_equal(wn_signal_weight(&s, type, NAN, 0, 0), 2.0f, 0);
  assert_true(isfinite(wn_signal_weight(&s, type, 1e300, 0, 0)));
  assert_true(isfinite(wn_signal_weight(&s, type, -1e300, 0, INT64_MAX)));
  w->value_min = 0.1f;
  w->below = -1.0f;
  assert_float_equal(wn_signal_weight(&s, type, 0.05, 0, 0), -1.0f, 0);
  assert_float_equal(wn_signal_weight(&s, type, 0.05, 0, 10 * DAY), -0.5f, 1e-6);
  assert_float_equal(wn_signal_weight(&s, type, 0.5, 0, 0), 1.0f, 0);
  assert_float_equal(wn_signal_weight(&s, 99, 7.0, 0, 0), 1.0f, 0);
  assert_float_equal(wn_signal_weight(NULL, 0, 7.0, 0, 0), 1.0f, 0);
}

static void test_add(void **state) {
  (void)state;
  static wn_signals s;
  wn_signals_defaults(&s);
  size_t known = s.len;
  assert_int_equal(wn_signals_add(&s, WN_STR("view")), wn_signals_find(&s, WN_STR("view")));
  assert_int_equal(s.len, known);
  assert_int_equal(wn_signals_add(&s, WN_STR("zap")), known);
  assert_false(s.data[known].declared);
  assert_true(s.data[known].seen);
  assert_float_equal(wn_signal_weight(&s, (uint32_t)known, 12.0, 0, DAY), 1.0f, 0);
  char name[80];
  memset(name, 'x', sizeof name);
  assert_int_equal(wn_signals_add(&s, (wn_str){name, 65}), WN_NO_IX);
  assert_int_equal(wn_signals_add(&s, (wn_str){name, 0}), WN_NO_IX);
  assert_int_equal(wn_signals_add(&s, (wn_str){name, 64}), known + 1);
  for (int i = 0; s.len < WN_SIGNALS_MAX; i++) {
    int len = snprintf(name, sizeof name, "type %d", i);
    assert_int_not_equal(wn_signals_add(&s, (wn_str){name, (size_t)len}), WN_NO_IX);
  }
  assert_int_equal(wn_signals_add(&s, WN_STR("one too many")), WN_NO_IX);
  assert_int_equal(wn_signals_find(&s, WN_STR("one too many")), WN_NO_IX);
  assert_int_equal(wn_signals_add(&s, WN_STR("zap")), known);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_weight),
      cmocka_unit_test(test_add),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
