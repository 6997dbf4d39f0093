#ifndef WN_BASE_STR_H
#define WN_BASE_STR_H
/* String views, a growable byte buffer, UTF-8 and number parsing without surprises. */

#include "base/status.h"

/* A borrowed view of bytes; not NUL-terminated. {NULL, 0} means "absent". */
typedef struct wn_str {
  const char *ptr;
  size_t len;
} wn_str;

#define WN_STR(literal) ((wn_str){(literal), sizeof(literal) - 1})
#define WN_STR_ARG(s)   (int)(s).len, (s).len > 0 ? (s).ptr : "" /* for "%.*s" */

wn_str wn_str_of(const char *c_string); /* NULL gives the absent string */
bool wn_str_equal(wn_str a, wn_str b);
bool wn_str_is(wn_str a, const char *c_string);
int wn_str_compare(wn_str a, wn_str b); /* byte order */
wn_str wn_str_trim(wn_str s);           /* ASCII blanks off both ends */

bool wn_utf8_valid(wn_str s);
/* Decodes one code point at *pos and moves on; invalid bytes give U+FFFD and one step. */
uint32_t wn_utf8_next(wn_str s, size_t *pos);

/* External ids (keys): 1 to 1,024 bytes of valid UTF-8 without control characters
 * (so without NUL, newline and tab). WN_E_ARGUMENT names `field` otherwise. */
#define WN_KEY_BYTES_MAX 1024
WN_MUST_USE wn_status wn_key_check(wn_str key, const char *field, wn_error *err);

/* The whole of `s` as a number in the C locale; false for empty, trailing bytes, overflow. */
bool wn_parse_double(wn_str s, double *out); /* NaN and infinities are refused */
bool wn_parse_int64(wn_str s, int64_t *out);

/* Growable byte buffer. After a failed append `failed` stays set and later appends
 * do nothing, so that a writer checks once, at its end. */
typedef struct wn_buf {
  char *data;
  size_t len;
  size_t cap;
  bool failed;
} wn_buf;

void wn_buf_clear(wn_buf *buf); /* frees */
void wn_buf_reset(wn_buf *buf); /* keeps the memory */
void wn_buf_append(wn_buf *buf, const void *bytes, size_t len);
void wn_buf_str(wn_buf *buf, const char *c_string);
void wn_buf_char(wn_buf *buf, char c);
void wn_buf_printf(wn_buf *buf, const char *format, ...) WN_PRINTF(2, 3);
/* NUL-terminates (not counted in len); NULL when an append failed. */
const char *wn_buf_c(wn_buf *buf);

#endif
