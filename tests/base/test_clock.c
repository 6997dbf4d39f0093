#include "harness.h"

#include "base/clock.h"
#include "base/rng.h"

#include <math.h>
#include <time.h>

static void test_parse(WN_UNUSED void **state) {
  static const struct {
    const char *text;
    int64_t ms; /* -1: refused */
  } cases[] = {
      {"1714557600", 1714557600000},
      {"1714557600.5", 1714557600500},
      {"1714557600123", 1714557600123},
      {"1714557600123456", 1714557600123},
      {"1714557600123456789", 1714557600123},
      {" 0 ", 0},
      {"2024-05-01", 1714521600000},
      {"2024-05-01T10:00:00Z", 1714557600000},
      {"2024-05-01t10:00:00z", 1714557600000},
      {"2024-05-01T10:00", 1714557600000},
      {"2024-05-01 10:00:00.5+02:00", 1714550400500},
      {"2024-05-01T10:00:00-0530", 1714577400000},
      {"2024-05-01T10:00:00+02", 1714550400000},
      {"2024-05-01T10:00:00.123456789Z", 1714557600123},
      {"2024-05-01T10:00:00,25Z", 1714557600250},
      {"2016-12-31T23:59:60Z", 1483228800000},
      {"2024-02-29", 1709164800000},
      {"1970-01-01", 0},
      {"2199-12-31T23:59:59.999Z", 7258118399999},
      {"2200-01-01", -1},
      {"1969-12-31T23:59:59Z", -1},
      {"-222222222222222222", -1},
      {"1970-01-01T00:00:00+01:00", -1},
      {"-5", -1},
      {"-0.5", -1},
      {"1e300", -1},
      {"99999999999", -1}, /* the year 5138 */
      {"9223372036854775807", -1},
      {"2023-02-29", -1},
      {"2100-02-29", -1},
      {"2000-02-29", 951782400000},
      {"2024-13-01", -1},
      {"2024-00-10", -1},
      {"2024-05-32", -1},
      {"2024-5-1", -1},
      {"2024-05-01T", -1},
      {"2024-05-01T24:00:00Z", -1},
      {"2024-05-01T10:60:00Z", -1},
      {"2024-05-01T10:00:61Z", -1},
      {"2024-05-01T10:00:00.Z", -1},
      {"2024-05-01T10:00:00Z ", 1714557600000},
      {"2024-05-01T10:00:00Zx", -1},
      {"2024-05-01T10:00:00+2", -1},
      {"2024-05-01Z", -1},
      {"yesterday", -1},
      {"", -1},
      {"nan", -1},
  };
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    int64_t ms = -1;
    wn_error err = {0};
    wn_status status = wn_time_parse(wn_str_of(cases[i].text), &ms, &err);
    if (ms != cases[i].ms || (status == WN_OK) != (cases[i].ms >= 0)) {
      fail_msg("\"%s\" gave %lld", cases[i].text, (long long)ms);
    }
    if (status != WN_OK) assert_string_equal(err.field, "time");
  }
}

static void test_numbers(WN_UNUSED void **state) {
  int64_t ms;
  wn_error err;
  assert_int_equal(wn_time_of_number(1714557600.25, &ms, &err), WN_OK);
  assert_true(ms == 1714557600250);
  assert_int_equal(wn_time_of_number(NAN, &ms, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_time_of_number(INFINITY, &ms, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_time_of_number(-1, &ms, &err), WN_E_ARGUMENT);
  assert_contains(err.message, "1970");
  assert_int_equal(wn_time_of_number(1e19, &ms, &err), WN_E_ARGUMENT);
  assert_contains(err.message, "2200");
}

static void test_check(WN_UNUSED void **state) {
  int64_t now = 1714557600000;
  wn_error err;
  assert_int_equal(wn_time_check(now, now, &err), WN_OK);
  assert_int_equal(wn_time_check(0, now, &err), WN_OK);
  assert_int_equal(wn_time_check(now + WN_FUTURE_MS_MAX, now, &err), WN_OK);
  assert_int_equal(wn_time_check(now + WN_FUTURE_MS_MAX + 1, now, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "time");
  assert_contains(err.message, "got 2024-05-02T10:00:00.001Z, now is 2024-05-01T10:00:00.000Z");
  assert_int_equal(wn_time_check(-1, now, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_time_check(INT64_MAX, now, &err), WN_E_ARGUMENT);
}

static void test_format_against_libc(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 4);
  for (int i = 0; i < 20000; i++) {
    int64_t ms = (int64_t)wn_rng_below(&rng, UINT64_C(7258118400000)), back;
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char got[32], want[64];
    gmtime_r(&seconds, &tm);
    size_t len = strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(want + len, sizeof want - len, ".%03dZ", (int)(ms % 1000));
    assert_string_equal(wn_time_format(ms, got, sizeof got), want);
    assert_int_equal(wn_time_parse(wn_str_of(got), &back, NULL), WN_OK);
    assert_true(back == ms);
  }
  char before[32];
  assert_string_equal(wn_time_format(-1, before, sizeof before), "1969-12-31T23:59:59.999Z");
}

static void test_clocks_run(WN_UNUSED void **state) {
  uint64_t a = wn_mono_ns(), b = wn_mono_ns();
  assert_true(b >= a);
  assert_true(wn_now_ms() > 1704067200000); /* 2024 */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parse),      cmocka_unit_test(test_numbers),
      cmocka_unit_test(test_check),      cmocka_unit_test(test_format_against_libc),
      cmocka_unit_test(test_clocks_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
