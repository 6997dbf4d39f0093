/* Calendar arithmetic: Howard Hinnant, "chrono-compatible low-level date algorithms" (2013);
 * proleptic Gregorian, exact over the accepted range. */
#include "base/clock.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TIME_MS_END INT64_C(7258118400000) /* 2200-01-01T00:00:00Z */

static _Atomic int64_t virtual_ms; /* 0: none */

void wn_clock_set(int64_t ms) {
  int64_t before = atomic_load(&virtual_ms);
  while (ms > before && !atomic_compare_exchange_weak(&virtual_ms, &before, ms)) continue;
}

bool wn_clock_is_virtual(void) {
  return atomic_load_explicit(&virtual_ms, memory_order_relaxed) > 0;
}

int64_t wn_now_ms(void) {
  int64_t set = atomic_load_explicit(&virtual_ms, memory_order_relaxed);
  if (set > 0) return set;
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t wn_mono_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static wn_status accept_range(int64_t ms, int64_t *time_ms, wn_error *err) {
  if (ms < 0) return wn_fail(err, WN_E_ARGUMENT, "time", "must not lie before 1970-01-01");
  if (ms >= TIME_MS_END) return wn_fail(err, WN_E_ARGUMENT, "time", "must lie before 2200-01-01");
  if (time_ms != NULL) *time_ms = ms;
  return WN_OK;
}

wn_status wn_time_of_number(double number, int64_t *time_ms, wn_error *err) {
  if (!isfinite(number)) return wn_fail(err, WN_E_ARGUMENT, "time", "must be a finite number");
  double ms = number < 1e11   ? number * 1e3
              : number < 1e14 ? number
              : number < 1e17 ? number / 1e3
                              : number / 1e6;
  ms = floor(ms);
  if (ms < 0) return accept_range(-1, NULL, err);
  if (ms >= (double)TIME_MS_END) return accept_range(TIME_MS_END, NULL, err);
  return accept_range((int64_t)ms, time_ms, err);
}

/* Whole numbers go without floating point: nanoseconds do not fit a double. */
static wn_status time_of_integer(int64_t number, int64_t *time_ms, wn_error *err) {
  if (number < 0) return accept_range(-1, NULL, err);
  int64_t ms = number < INT64_C(100000000000)         ? number * 1000
               : number < INT64_C(100000000000000)    ? number
               : number < INT64_C(100000000000000000) ? number / 1000
                                                      : number / 1000000;
  return accept_range(ms, time_ms, err);
}

static int64_t days_from_civil(int64_t y, int m, int d) {
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400;
  int64_t yoe = y - era * 400;
  int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}

static int days_in_month(int y, int m) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
  return days[m - 1] + (m == 2 && leap);
}

/* Reads exactly `width` digits. */
static bool take_number(wn_str *s, size_t width, int *out) {
  if (s->len < width) return false;
  int value = 0;
  for (size_t i = 0; i < width; i++) {
    if (s->ptr[i] < '0' || s->ptr[i] > '9') return false;
    value = value * 10 + (s->ptr[i] - '0');
  }
  s->ptr += width;
  s->len -= width;
  *out = value;
  return true;
}

static bool take_char(wn_str *s, const char *any_of) {
  if (s->len == 0 || s->ptr[0] == '\0' || strchr(any_of, s->ptr[0]) == NULL) return false;
  s->ptr++;
  s->len--;
  return true;
}

static bool take_date(wn_str *s, int64_t *days) {
  int y, m, d;
  if (!take_number(s, 4, &y) || !take_char(s, "-") || !take_number(s, 2, &m) ||
      !take_char(s, "-") || !take_number(s, 2, &d)) {
    return false;
  }
  if (m < 1 || m > 12 || d < 1 || d > days_in_month(y, m)) return false;
  *days = days_from_civil(y, m, d);
  return true;
}

/* Fraction of a second, any number of digits; those past the millisecond are cut. */
static bool take_fraction(wn_str *s, int *ms) {
  int weight = 100, digit;
  if (!take_number(s, 1, &digit)) return false;
  do {
    *ms += digit * weight;
    weight /= 10;
  } while (take_number(s, 1, &digit));
  return true;
}

/* HH:MM[:SS[.fraction]]; second 60 is a leap second and counts as the next minute. */
static bool take_clock(wn_str *s, int64_t *ms) {
  int hour, minute, second = 0, fraction = 0;
  if (!take_number(s, 2, &hour) || !take_char(s, ":") || !take_number(s, 2, &minute)) return false;
  if (take_char(s, ":")) {
    if (!take_number(s, 2, &second)) return false;
    if (take_char(s, ".,") && !take_fraction(s, &fraction)) return false;
  }
  if (hour > 23 || minute > 59 || second > 60) return false;
  *ms = ((int64_t)hour * 60 + minute) * 60000 + (int64_t)second * 1000 + fraction;
  return true;
}

/* Z, ±HH:MM, ±HHMM, ±HH or nothing (UTC). */
static bool take_zone(wn_str *s, int64_t *ms) {
  *ms = 0;
  if (s->len == 0 || take_char(s, "Zz")) return true;
  bool west = s->ptr[0] == '-';
  int hour, minute = 0;
  if (!take_char(s, "+-") || !take_number(s, 2, &hour)) return false;
  if (s->len > 0) {
    take_char(s, ":");
    if (!take_number(s, 2, &minute)) return false;
  }
  if (hour > 23 || minute > 59) return false;
  *ms = ((int64_t)hour * 60 + minute) * (west ? -60000 : 60000);
  return true;
}

static bool parse_iso(wn_str s, int64_t *ms) {
  int64_t days, clock = 0, zone = 0;
  if (!take_date(&s, &days)) return false;
  if (s.len > 0 && (!take_char(&s, "Tt ") || !take_clock(&s, &clock) || !take_zone(&s, &zone))) {
    return false;
  }
  *ms = days * INT64_C(86400000) + clock - zone;
  return s.len == 0;
}

wn_status wn_time_parse(wn_str text, int64_t *time_ms, wn_error *err) {
  wn_str s = wn_str_trim(text);
  int64_t integer;
  double number;
  if (wn_parse_int64(s, &integer)) return time_of_integer(integer, time_ms, err);
  if (wn_parse_double(s, &number)) return wn_time_of_number(number, time_ms, err);
  if (parse_iso(s, &integer)) return accept_range(integer, time_ms, err);
  wn_str shown = {s.ptr, s.len < 40 ? s.len : 40};
  return wn_fail(err, WN_E_ARGUMENT, "time",
                 "must be a Unix time or like 2024-05-01T10:00:00Z, got \"%.*s\"",
                 WN_STR_ARG(shown));
}

wn_status wn_time_check(int64_t time_ms, int64_t now_ms, wn_error *err) {
  wn_status status = accept_range(time_ms, NULL, err);
  if (status != WN_OK || time_ms - WN_FUTURE_MS_MAX <= now_ms) return status;
  char given[32], now[32];
  return wn_fail(
      err, WN_E_ARGUMENT, "time", "must not lie more than a day in the future: got %s, now is %s",
      wn_time_format(time_ms, given, sizeof given), wn_time_format(now_ms, now, sizeof now));
}

const char *wn_time_format(int64_t time_ms, char *buf, size_t size) {
  int64_t days = time_ms / 86400000, ms = time_ms % 86400000;
  if (ms < 0) ms += 86400000, days--;
  int64_t z = days + 719468;
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  int64_t doe = z - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  int64_t mp = (5 * doy + 2) / 153;
  int day = (int)(doy - (153 * mp + 2) / 5 + 1), month = (int)(mp < 10 ? mp + 3 : mp - 9);
  int64_t year = yoe + era * 400 + (month <= 2);
  snprintf(buf, size, "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", (long long)year, month, day,
           (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
  return buf;
}
