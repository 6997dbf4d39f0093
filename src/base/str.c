#include "base/str.h"
#include "base/c_locale.h"
#include "base/mem.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_str wn_str_of(const char *c_string) {
  return (wn_str){c_string, c_string != NULL ? strlen(c_string) : 0};
}

bool wn_str_equal(wn_str a, wn_str b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool wn_str_is(wn_str a, const char *c_string) {
  return wn_str_equal(a, wn_str_of(c_string));
}

int wn_str_compare(wn_str a, wn_str b) {
  size_t len = a.len < b.len ? a.len : b.len;
  int order = len > 0 ? memcmp(a.ptr, b.ptr, len) : 0;
  return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

wn_str wn_str_trim(wn_str s) {
  while (s.len > 0 && is_blank(s.ptr[0])) s.ptr++, s.len--;
  while (s.len > 0 && is_blank(s.ptr[s.len - 1])) s.len--;
  return s;
}

/* UTF-8 ------------------------------------------------------------------------- */

/* Length of the well-formed sequence at p (Unicode 15, table 3-7), 0 when it is not one. */
static size_t sequence_len(const unsigned char *p, size_t left) {
  unsigned char c = p[0];
  if (c < 0x80) return 1;
  if (c < 0xC2 || c > 0xF4) return 0;
  size_t len = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  if (left < len) return 0;
  /* The second byte alone decides overlong forms, surrogates and the upper end. */
  unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
  unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
  if (p[1] < low || p[1] > high) return 0;
  for (size_t i = 2; i < len; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  return len;
}

bool wn_utf8_valid(wn_str s) {
  const unsigned char *p = (const unsigned char *)s.ptr;
  size_t i = 0;
  while (i < s.len) {
    uint64_t word;
    if (s.len - i >= sizeof word) {
      memcpy(&word, p + i, sizeof word);
      if ((word & UINT64_C(0x8080808080808080)) == 0) {
        i += sizeof word;
        continue;
      }
    }
    size_t len = sequence_len(p + i, s.len - i);
    if (len == 0) return false;
    i += len;
  }
  return true;
}

uint32_t wn_utf8_next(wn_str s, size_t *pos) {
  if (*pos >= s.len) return 0;
  const unsigned char *p = (const unsigned char *)s.ptr + *pos;
  size_t len = sequence_len(p, s.len - *pos);
  *pos += len > 0 ? len : 1;
  switch (len) {
  case 1: return p[0];
  case 2: return (uint32_t)(p[0] & 0x1F) << 6 | (p[1] & 0x3F);
  case 3: return (uint32_t)(p[0] & 0x0F) << 12 | (uint32_t)(p[1] & 0x3F) << 6 | (p[2] & 0x3F);
  case 4:
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3F) << 12 |
           (uint32_t)(p[2] & 0x3F) << 6 | (p[3] & 0x3F);
  default: return 0xFFFD;
  }
}

wn_status wn_key_check(wn_str key, const char *field, wn_error *err) {
  if (key.len == 0 || key.len > WN_KEY_BYTES_MAX) {
    return key.ptr == NULL
               ? wn_fail(err, WN_E_ARGUMENT, field, "is required")
               : wn_fail(err, WN_E_ARGUMENT, field, "must be 1 to 1,024 bytes, got %zu", key.len);
  }
  for (size_t pos = 0; pos < key.len;) {
    size_t at = pos;
    uint32_t c = wn_utf8_next(key, &pos);
    if (c == 0xFFFD && pos == at + 1) { /* a real U+FFFD takes three bytes */
      return wn_fail(err, WN_E_ARGUMENT, field, "must be valid UTF-8; byte %zu (0x%02X) is not",
                     at + 1, (unsigned char)key.ptr[at]);
    }
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) {
      return wn_fail(err, WN_E_ARGUMENT, field,
                     "must not contain control characters; byte %zu begins U+%04X", at + 1,
                     (unsigned)c);
    }
  }
  return WN_OK;
}

/* Numbers ----------------------------------------------------------------------- */

static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;

static void make_c_locale(void) {
  c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

locale_t wn_c_locale(void) {
  pthread_once(&c_locale_once, make_c_locale);
  return c_locale;
}

/* A decimal number taken apart: ±mantissa · 10^exponent when `exact`. */
typedef struct decimal {
  uint64_t mantissa;
  long exponent;
  bool negative;
  bool exact; /* every significant digit is in the mantissa */
} decimal;

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static void take_digit(decimal *d, char c, bool fraction) {
  if (d->mantissa < UINT64_C(100000000000000000)) {
    d->mantissa = d->mantissa * 10 + (uint64_t)(c - '0');
    if (fraction) d->exponent--;
  } else {
    d->exact = d->exact && c == '0';
    if (!fraction) d->exponent++;
  }
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent. */
static bool scan_decimal(wn_str s, decimal *d) {
  size_t i = 0;
  *d = (decimal){.exact = true};
  if (i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-')) d->negative = s.ptr[i++] == '-';
  size_t digits = 0;
  for (; i < s.len && is_digit(s.ptr[i]); i++, digits++) take_digit(d, s.ptr[i], false);
  if (i < s.len && s.ptr[i] == '.') {
    for (i++; i < s.len && is_digit(s.ptr[i]); i++, digits++) take_digit(d, s.ptr[i], true);
  }
  if (digits == 0) return false;
  if (i < s.len && (s.ptr[i] == 'e' || s.ptr[i] == 'E')) {
    bool negative = false;
    long exponent = 0;
    if (++i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-')) negative = s.ptr[i++] == '-';
    if (i >= s.len) return false;
    for (; i < s.len && is_digit(s.ptr[i]); i++) {
      if (exponent < 100000) exponent = exponent * 10 + (s.ptr[i] - '0');
    }
    d->exponent += negative ? -exponent : exponent;
  }
  return i == s.len;
}

/* Clinger 1990: an integer below 2^53 and a power of ten up to 10^22 are both exact doubles,
 * so that one multiplication or division rounds correctly. */
static bool decimal_fast(const decimal *d, double *out) {
  static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (!d->exact || d->mantissa > (UINT64_C(1) << 53) || d->exponent < -22 || d->exponent > 22) {
    return false;
  }
  double value = (double)d->mantissa;
  value = d->exponent < 0 ? value / powers[-d->exponent] : value * powers[d->exponent];
  *out = d->negative ? -value : value;
  return true;
}

bool wn_parse_double(wn_str s, double *out) {
  decimal d;
  if (!scan_decimal(s, &d)) return false;
  if (decimal_fast(&d, out)) return true;
  char copy[512];
  if (s.len >= sizeof copy || wn_c_locale() == (locale_t)0) return false;
  memcpy(copy, s.ptr, s.len);
  copy[s.len] = '\0';
  double value = strtod_l(copy, NULL, wn_c_locale());
  if (!isfinite(value)) return false;
  *out = value;
  return true;
}

bool wn_parse_int64(wn_str s, int64_t *out) {
  size_t i = 0;
  bool negative = false;
  if (i < s.len && (s.ptr[i] == '+' || s.ptr[i] == '-')) negative = s.ptr[i++] == '-';
  if (i == s.len) return false;
  int64_t value = 0;
  for (; i < s.len; i++) {
    if (!is_digit(s.ptr[i])) return false;
    int64_t digit = s.ptr[i] - '0';
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, negative ? -digit : digit, &value)) {
      return false;
    }
  }
  *out = value;
  return true;
}

/* Buffer ------------------------------------------------------------------------ */

void wn_buf_clear(wn_buf *buf) {
  wn_free(buf->data);
  *buf = (wn_buf){0};
}

void wn_buf_reset(wn_buf *buf) {
  buf->len = 0;
  buf->failed = false;
}

static bool make_room(wn_buf *buf, size_t more) {
  if (buf->failed) return false;
  if (more <= buf->cap - buf->len) return true;
  size_t need, cap = buf->cap < 64 ? 64 : buf->cap;
  if (__builtin_add_overflow(buf->len, more, &need)) {
    buf->failed = true;
    return false;
  }
  while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
  char *data = wn_realloc(buf->data, cap);
  if (data == NULL) {
    buf->failed = true;
    return false;
  }
  buf->data = data;
  buf->cap = cap;
  return true;
}

void wn_buf_append(wn_buf *buf, const void *bytes, size_t len) {
  if (len == 0 || !make_room(buf, len)) return;
  memcpy(buf->data + buf->len, bytes, len);
  buf->len += len;
}

void wn_buf_str(wn_buf *buf, const char *c_string) {
  wn_buf_append(buf, c_string, strlen(c_string));
}

void wn_buf_char(wn_buf *buf, char c) {
  if (make_room(buf, 1)) buf->data[buf->len++] = c;
}

void wn_buf_printf(wn_buf *buf, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (len < 0) buf->failed = true;
  if (len >= 0 && make_room(buf, (size_t)len + 1)) {
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
    buf->len += (size_t)len;
  }
  va_end(again);
}

const char *wn_buf_c(wn_buf *buf) {
  if (!make_room(buf, 1)) return NULL;
  buf->data[buf->len] = '\0';
  return buf->data;
}
