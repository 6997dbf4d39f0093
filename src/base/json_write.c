/* Numbers: a value v is printed as the integer i over 10^p with the smallest p for which the
 * division gives v again. i < 2^53 and 10^p, p ≤ 22, are exact doubles, so the division rounds
 * correctly, and what a correct reader makes of the text is this very quotient. Values outside
 * the range, or that need more digits, go through printf. */
#include "base/json_write.h"
#include "base/c_locale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wn_json_init(wn_json *json, wn_buf *out) {
  *json = (wn_json){.out = out};
  json->first[0] = true;
}

static void before_value(wn_json *json) {
  if (json->after_key) {
    json->after_key = false;
  } else if (json->depth > 0) {
    if (!json->first[json->depth]) wn_buf_char(json->out, ',');
    json->first[json->depth] = false;
  }
}

static void enter(wn_json *json, char bracket) {
  before_value(json);
  wn_buf_char(json->out, bracket);
  if (json->depth + 1 >= WN_JSON_DEPTH_MAX) {
    json->out->failed = true;
    return;
  }
  json->first[++json->depth] = true;
}

static void leave(wn_json *json, char bracket) {
  if (json->depth == 0 || json->after_key) {
    json->out->failed = true;
    return;
  }
  json->depth--;
  wn_buf_char(json->out, bracket);
}

void wn_json_object(wn_json *json) {
  enter(json, '{');
}
void wn_json_end_object(wn_json *json) {
  leave(json, '}');
}
void wn_json_array(wn_json *json) {
  enter(json, '[');
}
void wn_json_end_array(wn_json *json) {
  leave(json, ']');
}

static void append_escape(wn_buf *out, unsigned char c) {
  static const char hex[] = "0123456789abcdef";
  char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
  const char *letter = c == '"'    ? "\\\""
                       : c == '\\' ? "\\\\"
                       : c == '\n' ? "\\n"
                       : c == '\t' ? "\\t"
                       : c == '\r' ? "\\r"
                       : c == '\b' ? "\\b"
                       : c == '\f' ? "\\f"
                                   : NULL;
  if (letter != NULL) {
    wn_buf_append(out, letter, 2);
  } else {
    wn_buf_append(out, text, sizeof text);
  }
}

static void append_quoted(wn_buf *out, wn_str s) {
  wn_buf_char(out, '"');
  size_t done = 0, pos = 0;
  while (pos < s.len) {
    unsigned char c = (unsigned char)s.ptr[pos];
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      pos++;
      continue;
    }
    size_t at = pos;
    bool invalid = wn_utf8_next(s, &pos) == 0xFFFD && pos == at + 1;
    if (c >= 0x80 && !invalid) continue;
    wn_buf_append(out, s.ptr + done, at - done);
    if (invalid) {
      wn_buf_append(out, "\xEF\xBF\xBD", 3);
    } else {
      append_escape(out, c);
    }
    done = pos;
  }
  if (s.len > done) wn_buf_append(out, s.ptr + done, s.len - done);
  wn_buf_char(out, '"');
}

void wn_json_key_str(wn_json *json, wn_str key) {
  if (json->after_key) json->out->failed = true;
  before_value(json);
  append_quoted(json->out, key);
  wn_buf_char(json->out, ':');
  json->after_key = true;
}

void wn_json_key(wn_json *json, const char *key) {
  wn_json_key_str(json, wn_str_of(key));
}

void wn_json_string(wn_json *json, wn_str value) {
  if (value.ptr == NULL) {
    wn_json_null(json);
    return;
  }
  before_value(json);
  append_quoted(json->out, value);
}

void wn_json_cstring(wn_json *json, const char *value) {
  wn_json_string(json, wn_str_of(value));
}

/* Digits of n, at least `width` of them with leading zeros, ending just before `end`. */
static char *digits_before(char *end, uint64_t n, int width) {
  while (n > 0 || width > 0) {
    *--end = (char)('0' + n % 10);
    n /= 10;
    width--;
  }
  return end;
}

void wn_json_int(wn_json *json, int64_t value) {
  char text[24], *end = text + sizeof text;
  uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
  char *start = digits_before(end, magnitude, 1);
  if (value < 0) *--start = '-';
  before_value(json);
  wn_buf_append(json->out, start, (size_t)(end - start));
}

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9, 1e10,
                                1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20};
#define POWER_MAX 20

/* Writes ±i / 10^p, p ≥ 0. */
static void append_fixed(wn_buf *out, bool negative, uint64_t i, int p) {
  char text[64], *end = text + sizeof text, *start = end;
  if (p > 0) {
    uint64_t power = 1;
    uint64_t whole = 0, fraction = i;
    if (p < 19) {
      for (int k = 0; k < p; k++) power *= 10;
      whole = i / power;
      fraction = i % power;
    }
    start = digits_before(start, fraction, p);
    *--start = '.';
    i = whole;
  }
  start = digits_before(start, i, 1);
  if (negative) *--start = '-';
  wn_buf_append(out, start, (size_t)(end - start));
}

/* Whether the text of `decimal` reads back as `value`, as a double or, where `single`, as a
 * float. The text lies within half an ulp of the double `decimal`; it rounds to the same float
 * unless `decimal` is a midpoint of two floats, and then this says no. */
static bool reads_back(double decimal, double value, bool single) {
  if (!single) return decimal == value;
  uint64_t bits;
  memcpy(&bits, &decimal, sizeof bits);
  bool midpoint = (bits & 0x1FFFFFFF) == 0x10000000;
  return (float)decimal == (float)value && !midpoint;
}

static bool in_short_range(double magnitude) {
  return magnitude >= 1e-5 && magnitude < 1e15;
}

static bool append_short(wn_buf *out, double value, bool single) {
  double magnitude = fabs(value);
  if (!in_short_range(magnitude)) return false;
  for (int p = 0; p <= POWER_MAX; p++) {
    double scaled = magnitude * powers[p];
    if (scaled >= 1e15) return false;
    double i = (double)(int64_t)(scaled + 0.5);
    if (reads_back(i / powers[p], magnitude, single)) {
      append_fixed(out, value < 0, (uint64_t)i, p);
      return true;
    }
  }
  return false;
}

/* The C locale for the two conversions: a host program may have set one with a decimal comma. */
static void append_printed(wn_buf *out, double value, bool single) {
  char text[40] = "0";
  locale_t c = wn_c_locale();
  if (c == (locale_t)0) {
    out->failed = true;
    return;
  }
  locale_t before = uselocale(c);
  bool tried = !single && in_short_range(fabs(value)); /* up to 15 digits, by append_short */
  for (int digits = tried ? 16 : 1; digits <= (single ? 9 : 17); digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    bool equal = single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
    if (equal) break;
  }
  uselocale(before);
  wn_buf_str(out, text);
}

static void append_number(wn_json *json, double value, bool single) {
  if (!isfinite(value)) {
    wn_json_null(json);
    return;
  }
  before_value(json);
  if (value == 0) {
    wn_buf_str(json->out, signbit(value) ? "-0.0" : "0");
  } else if (fabs(value) < 0x1p53 && value == (double)(int64_t)value) {
    append_fixed(json->out, value < 0, (uint64_t)fabs(value), 0);
  } else if (!append_short(json->out, value, single)) {
    append_printed(json->out, value, single);
  }
}

void wn_json_double(wn_json *json, double value) {
  append_number(json, value, false);
}
void wn_json_float(wn_json *json, float value) {
  append_number(json, (double)value, true);
}

void wn_json_bool(wn_json *json, bool value) {
  before_value(json);
  wn_buf_str(json->out, value ? "true" : "false");
}

void wn_json_null(wn_json *json) {
  before_value(json);
  wn_buf_append(json->out, "null", 4);
}

void wn_json_raw(wn_json *json, wn_str value) {
  before_value(json);
  wn_buf_append(json->out, value.ptr, value.len);
}
