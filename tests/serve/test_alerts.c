/* Rules without a clock and without a network. */
#include "base/harness.h"

#include "serve/alerts.h"

#include <math.h>

static wn_alert_config config_with(float error_share, float disk_free_mb) {
  wn_alert_config config = {.every_seconds = 15, .repeat_hours = 1};
  config.thresholds[WN_ALERT_error_share] = error_share;
  config.thresholds[WN_ALERT_disk_free_mb] = disk_free_mb;
  return config;
}

static size_t look(wn_alert_state *state, const wn_alert_config *config, double share, double disk,
                   int64_t now_ms, wn_alert_message *first) {
  double values[WN_ALERT_COUNT];
  wn_alert_message messages[WN_ALERT_COUNT];
  for (int i = 0; i < WN_ALERT_COUNT; i++) values[i] = 1e9; /* thresholds of 0 are off */
  values[WN_ALERT_error_share] = share;
  values[WN_ALERT_disk_free_mb] = disk;
  size_t len = wn_alerts_look(state, config, values, now_ms, messages);
  if (len > 0) *first = messages[0];
  return len;
}

static void test_fires_and_recovers(void **state) {
  (void)state;
  wn_alert_config config = config_with(0.01f, 0);
  wn_alert_state s = {0};
  wn_alert_message m = {0};
  assert_int_equal(look(&s, &config, 0.5, 0, 0, &m), 0); /* once may be chance */
  assert_int_equal(look(&s, &config, 0.0, 0, 1, &m), 0);
  assert_int_equal(look(&s, &config, 0.5, 0, 2, &m), 0);
  assert_int_equal(look(&s, &config, 0.5, 0, 3, &m), 1);
  assert_int_equal(m.rule, WN_ALERT_error_share);
  assert_false(m.recovered);
  for (int i = 4; i < 20; i++) assert_int_equal(look(&s, &config, 0.5, 0, i, &m), 0);
  assert_int_equal(look(&s, &config, 0.0, 0, 20, &m), 0);
  assert_int_equal(look(&s, &config, NAN, 0, 21, &m), 0); /* unknown is neither */
  assert_int_equal(look(&s, &config, 0.0, 0, 22, &m), 1);
  assert_true(m.recovered);
  assert_int_equal(look(&s, &config, 0.0, 0, 23, &m), 0);
}

static void test_repeats(void **state) {
  (void)state;
  wn_alert_config config = config_with(0.01f, 0);
  wn_alert_state s = {0};
  wn_alert_message m = {0};
  (void)look(&s, &config, 0.5, 0, 0, &m);
  assert_int_equal(look(&s, &config, 0.5, 0, 1, &m), 1);
  assert_int_equal(look(&s, &config, 0.5, 0, 3600000, &m), 0);
  assert_int_equal(look(&s, &config, 0.5, 0, 3600001, &m), 1);
  assert_true(m.repeated);
  config.repeat_hours = 0;
  assert_int_equal(look(&s, &config, 0.5, 0, 1000000000, &m), 0);
}

static void test_below(void **state) {
  (void)state;
  wn_alert_config config = config_with(0, 100);
  wn_alert_state s = {0};
  wn_alert_message m = {0};
  for (int i = 0; i < 3; i++) assert_int_equal(look(&s, &config, 1, 101, i, &m), 0);
  (void)look(&s, &config, 1, 99, 4, &m);
  assert_int_equal(look(&s, &config, 1, 99, 5, &m), 1);
  assert_int_equal(m.rule, WN_ALERT_disk_free_mb);
}

static void test_payload(void **state) {
  (void)state;
  wn_buf out = {0};
  wn_alert_message m = {WN_ALERT_disk_free_mb, false, false, 12.5, 1024};
  wn_alert_payload(&m, "a\"b", &out);
  assert_contains(wn_buf_c(&out),
                  "{\"text\":\"[FIRING] winnow at a\\\"b: the disk is nearly full.");
  assert_contains(wn_buf_c(&out), "disk_free_mb is 12.5 MB, the threshold is 1024.");
  wn_buf_clear(&out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_fires_and_recovers),
                                     cmocka_unit_test(test_repeats), cmocka_unit_test(test_below),
                                     cmocka_unit_test(test_payload)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
