#ifndef WN_BASE_CLOCK_H
#define WN_BASE_CLOCK_H
/* Wall and monotonic time; parsing of the time formats that people really have. */

#include "base/str.h"

int64_t wn_now_ms(void);   /* wall clock, Unix milliseconds; or the virtual one */
uint64_t wn_mono_ns(void); /* monotonic, for durations */

/* A process of a simulation may live at another time: after the first call wn_now_ms() is that
 * time, and stands still until it is moved on. An earlier time changes nothing. Durations stay
 * real. */
void wn_clock_set(int64_t ms);
bool wn_clock_is_virtual(void);

/* A time as Unix milliseconds. Numbers are seconds, milliseconds, microseconds or
 * nanoseconds by their magnitude (below 1e11, 1e14, 1e17, above), which is unambiguous
 * for every time after March 1973; text is ISO 8601 / RFC 3339 ("2024-05-01",
 * "2024-05-01T10:00:00Z", "2024-05-01 10:00:00.5+02:00"; no zone means UTC).
 * Refuses times before 1970 and after the year 2200, and says so. */
WN_MUST_USE wn_status wn_time_parse(wn_str text, int64_t *time_ms, wn_error *err);
WN_MUST_USE wn_status wn_time_of_number(double number, int64_t *time_ms, wn_error *err);
/* An event may lie at most a day ahead of `now_ms` (clocks differ); field "time" otherwise. */
#define WN_FUTURE_MS_MAX (24 * 3600 * 1000LL)
WN_MUST_USE wn_status wn_time_check(int64_t time_ms, int64_t now_ms, wn_error *err);
/* "2024-05-01T10:00:00.000Z"; buf of at least 32 bytes. */
const char *wn_time_format(int64_t time_ms, char *buf, size_t size);

#endif
