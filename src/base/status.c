#include "base/status.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct status_row {
  const char *name;
  const char *text;
  int http;
  int exit;
} status_row;

static const status_row status_rows[WN_STATUS_COUNT] = {
#define X(name, text, http, exit) {#name, text, http, exit},
    WN_STATUS_TABLE(X)
#undef X
};

static const status_row *row_of(wn_status status) {
  bool known = (unsigned)status < (unsigned)WN_STATUS_COUNT;
  return &status_rows[known ? status : WN_E_INTERNAL];
}

const char *wn_status_text(wn_status status) {
  return row_of(status)->text;
}
const char *wn_status_name(wn_status status) {
  return row_of(status)->name;
}
int wn_status_http(wn_status status) {
  return row_of(status)->http;
}
int wn_status_exit(wn_status status) {
  return row_of(status)->exit;
}

/* Cuts a code point that the end of a buffer split, so that a long message stays valid UTF-8. */
static void drop_partial_utf8(char *text, size_t len) {
  size_t lead = len;
  while (lead > 0 && len - lead < 3 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80) lead--;
  if (lead == 0) return;
  unsigned char c = (unsigned char)text[lead - 1];
  size_t want = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
  if (len - (lead - 1) < want) text[lead - 1] = '\0';
}

/* A message often quotes input: what is not UTF-8 or a control character must not reach
 * terminals, logs and JSON answers. */
static void make_printable(char *text) {
  wn_str s = wn_str_of(text);
  for (size_t pos = 0; pos < s.len;) {
    size_t at = pos;
    uint32_t c = wn_utf8_next(s, &pos);
    bool invalid = c == 0xFFFD && pos == at + 1;
    if (invalid || (c < 0x20 && c != '\n') || c == 0x7F) text[at] = '?';
  }
}

static void copy_text(char *to, size_t size, const char *from) {
  if (from == NULL) from = "";
  size_t len = strnlen(from, size);
  bool cut = len == size;
  if (cut) len = size - 1;
  memmove(to, from, len);
  to[len] = '\0';
  if (cut) drop_partial_utf8(to, len);
}

static void fill(wn_error *err, wn_status status, const char *field) {
  err->status = status;
  err->line = 0;
  err->column = 0;
  err->file[0] = '\0';
  copy_text(err->field, sizeof err->field, field);
}

static WN_PRINTF(2, 0) void fill_message(wn_error *err, const char *format, va_list args) {
  char message[sizeof err->message]; /* an argument may point into *err */
  int len = vsnprintf(message, sizeof message, format, args);
  if (len < 0) message[0] = '\0';
  if (len >= (int)sizeof message) drop_partial_utf8(message, sizeof message - 1);
  make_printable(message);
  memcpy(err->message, message, strlen(message) + 1);
}

wn_status wn_fail(wn_error *err, wn_status status, const char *field, const char *format, ...) {
  if (err == NULL) return status;
  va_list args;
  va_start(args, format);
  fill_message(err, format, args);
  va_end(args);
  fill(err, status, field);
  return status;
}

wn_status wn_fail_errno(wn_error *err, const char *field, const char *format, ...) {
  int code = errno;
  wn_status status = code == ENOSPC || code == EDQUOT ? WN_E_FULL
                     : code == ENOMEM                 ? WN_E_MEMORY
                                                      : WN_E_IO;
  if (err == NULL) return status;
  va_list args;
  va_start(args, format);
  fill_message(err, format, args);
  va_end(args);
  fill(err, status, field);
  char reason[128];
  const char *text =
      strerror_r(code, reason, sizeof reason); /* GNU's: the text may lie elsewhere */
  size_t len = strlen(err->message);
  int added = snprintf(err->message + len, sizeof err->message - len, ": %s", text);
  if (added >= (int)(sizeof err->message - len)) {
    drop_partial_utf8(err->message, sizeof err->message - 1);
  }
  errno = code;
  return status;
}

wn_status wn_fail_memory(wn_error *err) {
  return wn_fail(err, WN_E_MEMORY, "", "out of memory");
}

wn_status wn_error_at(wn_error *err, const char *file, long line, long column) {
  if (err == NULL) return WN_E_INTERNAL;
  if (file != NULL) copy_text(err->file, sizeof err->file, file);
  if (line > 0) err->line = line;
  if (column > 0) err->column = column;
  return err->status;
}

const char *wn_error_format(const wn_error *err, char *buf, size_t size) {
  if (size == 0) return buf;
  char place[48] = "";
  if (err->line > 0 && err->column > 0) {
    snprintf(place, sizeof place, "%ld:%ld", err->line, err->column);
  } else if (err->line > 0) {
    snprintf(place, sizeof place, "%ld", err->line);
  }
  const char *message = err->message[0] != '\0' ? err->message : wn_status_text(err->status);
  bool file = err->file[0] != '\0', field = err->field[0] != '\0', at = place[0] != '\0';
  int len = snprintf(buf, size, "%s%s%s%s%s%s%s%s", err->file, file && at ? ":" : "",
                     !file && at ? "line " : "", place, file || at ? ": " : "", err->field,
                     field ? ": " : "", message);
  if (len >= 0 && (size_t)len >= size) drop_partial_utf8(buf, size - 1);
  return buf;
}
