#include "base/record.h"
#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TYPE_BYTES_MAX        64
#define TITLE_BYTES_MAX       1024
#define ATTR_NAME_BYTES_MAX   64
#define ATTR_STRING_BYTES_MAX 4096
#define VALUE_MAX             1e12

const wn_attr *wn_attrs_find(const wn_attrs *attrs, const char *name) {
  for (size_t i = 0; i < attrs->len; i++) {
    if (wn_str_is(attrs->data[i].name, name)) return &attrs->data[i];
  }
  return NULL;
}

static bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters, digits and the bytes of `also`. */
static bool is_word(wn_str s, const char *also) {
  for (size_t i = 0; i < s.len; i++) {
    char c = s.ptr[i];
    if (!is_letter(c) && !(c >= '0' && c <= '9') && (c == '\0' || strchr(also, c) == NULL)) {
      return false;
    }
  }
  return true;
}

static wn_status type_check(wn_str type, wn_error *err) {
  if (type.ptr == NULL) return wn_fail(err, WN_E_ARGUMENT, "type", "is required");
  if (type.len == 0 || type.len > TYPE_BYTES_MAX) {
    return wn_fail(err, WN_E_ARGUMENT, "type", "must be 1 to %d bytes, got %zu", TYPE_BYTES_MAX,
                   type.len);
  }
  if (is_word(type, "_.:-")) return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, "type", "must consist of letters, digits and _ . : - only");
}

wn_status wn_event_check(const wn_event_record *event, int64_t now_ms, wn_error *err) {
  wn_status status;
  if (event->id.ptr != NULL) WN_TRY(wn_key_check(event->id, "id", err));
  WN_TRY(wn_key_check(event->user, "user", err));
  WN_TRY(wn_key_check(event->item, "item", err));
  WN_TRY(type_check(event->type, err));
  if (event->slate.ptr != NULL) WN_TRY(wn_key_check(event->slate, "slate", err));
  if (fabs(event->value) > VALUE_MAX) { /* NaN, "no value", compares false */
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "value", "must lie between -1e12 and 1e12, got %g",
                   event->value));
  }
  WN_TRY(wn_time_check(event->time_ms, now_ms, err));
cleanup:
  return status;
}

static wn_status text_check(wn_str text, size_t bytes_max, const char *field, wn_error *err) {
  if (text.len > bytes_max) {
    return wn_fail(err, WN_E_ARGUMENT, field, "must be at most %zu bytes, got %zu", bytes_max,
                   text.len);
  }
  if (!wn_utf8_valid(text)) return wn_fail(err, WN_E_ARGUMENT, field, "must be valid UTF-8");
  return WN_OK;
}

static wn_status attr_name_check(wn_str name, wn_error *err) {
  bool sized = name.len >= 1 && name.len <= ATTR_NAME_BYTES_MAX;
  if (sized && (is_letter(name.ptr[0]) || name.ptr[0] == '_') && is_word(name, "_.-")) return WN_OK;
  wn_str shown = wn_utf8_valid(name) ? name : WN_STR("?");
  if (shown.len > ATTR_NAME_BYTES_MAX) shown = WN_STR("?");
  return wn_fail(err, WN_E_ARGUMENT, "attributes",
                 "a name must begin with a letter or _, go on with letters, digits and _ . -, and "
                 "be 1 to 64 bytes long; got \"%.*s\" (%zu bytes)",
                 WN_STR_ARG(shown), name.len);
}

static wn_status attr_check(const wn_attr *attr, wn_error *err) {
  wn_status status;
  char field[ATTR_NAME_BYTES_MAX + 16];
  WN_TRY(attr_name_check(attr->name, err));
  snprintf(field, sizeof field, "attributes.%.*s", WN_STR_ARG(attr->name));
  switch (attr->kind) {
  case WN_ATTR_BOOL: break;
  case WN_ATTR_STRING: WN_TRY(text_check(attr->string, ATTR_STRING_BYTES_MAX, field, err)); break;
  case WN_ATTR_NUMBER:
    if (!isfinite(attr->number)) {
      WN_TRY(wn_fail(err, WN_E_ARGUMENT, field, "must be a finite number"));
    }
    break;
  case WN_ATTR_LIST:
    if (attr->list_len > WN_ATTR_LIST_MAX) {
      WN_TRY(wn_fail(err, WN_E_ARGUMENT, field, "must be at most 1,024 strings, got %zu",
                     attr->list_len));
    }
    for (size_t i = 0; i < attr->list_len; i++) {
      WN_TRY(text_check(attr->list[i], ATTR_STRING_BYTES_MAX, field, err));
    }
    break;
  }
cleanup:
  return status;
}

static wn_status attrs_check(const wn_attrs *attrs, wn_error *err) {
  wn_status status = WN_OK;
  if (attrs->len > WN_ATTRS_MAX) {
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "attributes", "must be at most %d, got %zu", WN_ATTRS_MAX,
                   attrs->len));
  }
  for (size_t i = 0; i < attrs->len; i++) {
    WN_TRY(attr_check(&attrs->data[i], err));
    for (size_t j = 0; j < i; j++) {
      if (!wn_str_equal(attrs->data[i].name, attrs->data[j].name)) continue;
      WN_TRY(wn_fail(err, WN_E_ARGUMENT, "attributes", "\"%.*s\" is given twice",
                     WN_STR_ARG(attrs->data[i].name)));
    }
  }
cleanup:
  return status;
}

wn_status wn_item_check(const wn_item_record *item, wn_error *err) {
  wn_status status;
  WN_TRY(wn_key_check(item->id, "id", err));
  WN_TRY(text_check(item->title, TITLE_BYTES_MAX, "title", err));
  WN_TRY(text_check(item->text, WN_TEXT_BYTES_MAX, "text", err));
  WN_TRY(attrs_check(&item->attrs, err));
  if ((unsigned)item->status > (unsigned)WN_ITEM_DELETED) {
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "status", "must be active, hidden or deleted"));
  }
  /* 0 is "unknown"; a release date may lie in the future, but not beyond the calendar. */
  if (item->created_ms != 0) {
    status = wn_time_check(item->created_ms, INT64_MAX - WN_FUTURE_MS_MAX, err);
    if (status != WN_OK && err != NULL) memcpy(err->field, "created", sizeof "created");
  }
cleanup:
  return status;
}

wn_status wn_user_check(const wn_user_record *user, wn_error *err) {
  wn_status status;
  WN_TRY(wn_key_check(user->id, "id", err));
  WN_TRY(attrs_check(&user->attrs, err));
cleanup:
  return status;
}
