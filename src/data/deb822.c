#include "data/deb822.h"

#include <string.h>
#include <strings.h>

#define STANZA_BYTES_MAX (4u << 20)

void wn_deb822_init(wn_deb822 *stanza, wn_reader *reader) {
  stanza->reader = reader;
  stanza->text = (wn_buf){0};
  stanza->len = 0;
  stanza->line = 0;
}

void wn_deb822_clear(wn_deb822 *stanza) {
  wn_buf_clear(&stanza->text);
}

static wn_status bad_line(wn_deb822 *stanza, const char *reason, wn_error *err) {
  wn_error why;
  wn_fail(&why, WN_E_FORMAT, "", "%s", reason);
  return wn_reader_bad(stanza->reader, stanza->reader->line, &why, err);
}

static wn_status continue_field(wn_deb822 *stanza, wn_str line, wn_error *err) {
  if (stanza->len == 0) {
    return bad_line(stanza, "a continuation line without a field before it", err);
  }
  wn_deb822_field *field = &stanza->fields[stanza->len - 1];
  wn_buf_char(&stanza->text, '\n');
  wn_buf_append(&stanza->text, line.ptr, line.len);
  field->value_len = stanza->text.len - field->value;
  return WN_OK;
}

static wn_status add_field(wn_deb822 *stanza, wn_str line, wn_error *err) {
  const char *colon = memchr(line.ptr, ':', line.len);
  if (colon == NULL || colon == line.ptr) {
    return bad_line(stanza, "expected \"Field: value\"", err);
  }
  if (stanza->len == WN_DEB822_FIELDS_MAX) return bad_line(stanza, "more than 128 fields", err);
  if (stanza->len == 0) stanza->line = stanza->reader->line;
  wn_str name = {line.ptr, (size_t)(colon - line.ptr)};
  wn_str value = wn_str_trim((wn_str){colon + 1, line.len - name.len - 1});
  wn_deb822_field *field = &stanza->fields[stanza->len++];
  *field = (wn_deb822_field){.name = stanza->text.len, .name_len = name.len};
  wn_buf_append(&stanza->text, name.ptr, name.len);
  field->value = stanza->text.len;
  field->value_len = value.len;
  wn_buf_append(&stanza->text, value.ptr, value.len);
  return WN_OK;
}

static wn_status add_line(wn_deb822 *stanza, wn_str line, wn_error *err) {
  if (line.ptr[0] == '#') return WN_OK;
  if (stanza->text.len + line.len > STANZA_BYTES_MAX) {
    return bad_line(stanza, "the stanza is longer than 4 MiB", err);
  }
  bool more = line.ptr[0] == ' ' || line.ptr[0] == '\t';
  wn_status status = more ? continue_field(stanza, line, err) : add_field(stanza, line, err);
  return status == WN_OK && stanza->text.failed ? wn_fail_memory(err) : status;
}

wn_status wn_deb822_next(wn_deb822 *stanza, bool *end, wn_error *err) {
  wn_status status;
  wn_buf_reset(&stanza->text);
  stanza->len = 0;
  for (;;) {
    wn_str line;
    WN_TRY(wn_reader_line(stanza->reader, &line, err));
    bool blank = line.ptr != NULL && wn_str_trim(line).len == 0;
    if (line.ptr == NULL || (blank && stanza->len > 0)) break;
    if (!blank) WN_TRY(add_line(stanza, line, err));
  }
cleanup:
  *end = stanza->len == 0;
  return status;
}

wn_str wn_deb822_get(const wn_deb822 *stanza, const char *name) {
  size_t len = strlen(name);
  for (size_t i = 0; i < stanza->len; i++) {
    const wn_deb822_field *f = &stanza->fields[i];
    if (f->name_len != len) continue;
    if (strncasecmp(stanza->text.data + f->name, name, len) != 0) continue;
    return (wn_str){stanza->text.data + f->value, f->value_len};
  }
  return (wn_str){NULL, 0};
}
