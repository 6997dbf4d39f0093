/* Records from and to JSON objects: one form for HTTP bodies and JSON lines. Ids may be whole
 * numbers. Keys that are not ours are refused by name: a misspelt "itme" must not vanish. */
#include "data/reader.h"
#include "base/clock.h"
#include "base/json_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static wn_status not_an_object(const char *what, wn_error *err) {
  return wn_fail(err, WN_E_ARGUMENT, "", "%s must be a JSON object", what);
}

/* A key that is a word is the error's field; others are quoted only. */
static wn_status unknown_key(const char *key, const char *known, wn_error *err) {
  const char *field = key;
  for (const char *c = key; *c != '\0'; c++) {
    if ((unsigned char)*c <= ' ' || *c == 0x7F) field = "";
  }
  return wn_fail(err, WN_E_ARGUMENT, field, "\"%.64s\" is no known key; known are %s", key, known);
}

/* A string, or a whole number as its digits; null and absent are the absent string. */
static wn_status text_of(const json_t *value, const char *field, bool is_id, wn_arena *arena,
                         wn_str *out, wn_error *err) {
  char digits[32];
  wn_str s;
  *out = (wn_str){NULL, 0};
  if (value == NULL || json_is_null(value)) return WN_OK;
  if (json_is_string(value)) {
    s = (wn_str){json_string_value(value), json_string_length(value)};
  } else if (is_id && json_is_integer(value)) {
    int len = snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
    s = (wn_str){digits, (size_t)len};
  } else {
    return wn_fail(err, WN_E_ARGUMENT, field,
                   is_id ? "must be a string or a whole number" : "must be a string");
  }
  *out = wn_arena_str(arena, s);
  return out->ptr != NULL ? WN_OK : wn_fail_memory(err);
}

static wn_status value_of(const json_t *value, double *out, wn_error *err) {
  *out = NAN;
  if (value == NULL || json_is_null(value)) return WN_OK;
  if (!json_is_number(value)) return wn_fail(err, WN_E_ARGUMENT, "value", "must be a number");
  *out = json_number_value(value);
  return WN_OK;
}

static wn_status time_of(const json_t *value, const char *field, int64_t *out, wn_error *err) {
  wn_status status;
  char digits[32];
  wn_str text;
  if (value == NULL || json_is_null(value)) return WN_OK;
  if (json_is_real(value)) {
    status = wn_time_of_number(json_real_value(value), out, err);
  } else {
    if (json_is_integer(value)) {
      int len = snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
      text = (wn_str){digits, (size_t)len};
    } else if (json_is_string(value)) {
      text = (wn_str){json_string_value(value), json_string_length(value)};
    } else {
      return wn_fail(err, WN_E_ARGUMENT, field, "must be a number or text");
    }
    status = wn_time_parse(text, out, err);
  }
  if (status != WN_OK && err != NULL) wn_fail(err, status, field, "%s", err->message);
  return status;
}

typedef enum event_key { E_USER, E_ITEM, E_TYPE, E_VALUE, E_TIME, E_ID, E_SLATE, E_KEYS } event_key;
static const char *const event_keys[E_KEYS] = {"user", "item", "type", "value",
                                               "time", "id",   "slate"};

/* The members by number; every other key is an error. */
static wn_status members_of(const json_t *json, const char *const *keys, size_t n,
                            const json_t **out, wn_error *err) {
  for (size_t i = 0; i < n; i++) out[i] = json_object_get(json, keys[i]);
  size_t known = 0;
  for (size_t i = 0; i < n; i++) known += out[i] != NULL;
  if (known == json_object_size(json)) return WN_OK;
  char list[128] = "";
  for (size_t i = 0, len = 0; i < n; i++) {
    int added = snprintf(list + len, sizeof list - len, "%s%s", i > 0 ? ", " : "", keys[i]);
    len += (size_t)added;
    if (len >= sizeof list) break;
  }
  union {
    const json_t *from;
    json_t *to;
  } object = {.from = json}; /* iterating does not write */
  for (void *it = json_object_iter(object.to); it != NULL;
       it = json_object_iter_next(object.to, it)) {
    const char *key = json_object_iter_key(it);
    bool ours = false;
    for (size_t i = 0; i < n && !ours; i++) ours = strcmp(key, keys[i]) == 0;
    if (!ours) return unknown_key(key, list, err);
  }
  return WN_OK;
}

wn_status wn_event_from_json(const json_t *json, int64_t now_ms, wn_arena *arena,
                             wn_event_record *out, wn_error *err) {
  wn_status status;
  const json_t *m[E_KEYS];
  *out = (wn_event_record){.value = NAN, .time_ms = now_ms};
  if (!json_is_object(json)) return not_an_object("an event", err);
  WN_TRY(members_of(json, event_keys, E_KEYS, m, err));
  WN_TRY(text_of(m[E_USER], "user", true, arena, &out->user, err));
  WN_TRY(text_of(m[E_ITEM], "item", true, arena, &out->item, err));
  WN_TRY(text_of(m[E_TYPE], "type", false, arena, &out->type, err));
  WN_TRY(text_of(m[E_ID], "id", true, arena, &out->id, err));
  WN_TRY(text_of(m[E_SLATE], "slate", false, arena, &out->slate, err));
  WN_TRY(value_of(m[E_VALUE], &out->value, err));
  WN_TRY(time_of(m[E_TIME], "time", &out->time_ms, err));
  WN_TRY(wn_event_check(out, now_ms, err));
cleanup:
  return status;
}

/* The attributes travel as text once more: items are few beside events, and one function
 * decides what an attribute may be. */
static wn_status attrs_of(const json_t *json, wn_arena *arena, wn_attrs *out, wn_error *err) {
  *out = (wn_attrs){NULL, 0};
  if (json == NULL || json_is_null(json)) return WN_OK;
  if (!json_is_object(json)) {
    return wn_fail(err, WN_E_ARGUMENT, "attributes", "must be a JSON object");
  }
  size_t len = json_dumpb(json, NULL, 0, JSON_COMPACT);
  char *text = wn_arena_alloc(arena, len + 1);
  if (text == NULL) return wn_fail_memory(err);
  if (json_dumpb(json, text, len, JSON_COMPACT) != len) return wn_fail_memory(err);
  return wn_attrs_from_json((wn_str){text, len}, arena, out, err);
}

static wn_status status_of(const json_t *json, wn_item_status *out, wn_error *err) {
  const char *text = json_string_value(json);
  *out = WN_ITEM_ACTIVE;
  if (json == NULL || json_is_null(json)) return WN_OK;
  if (text != NULL && strcmp(text, "active") == 0) return WN_OK;
  *out = WN_ITEM_HIDDEN;
  if (text != NULL && strcmp(text, "hidden") == 0) return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, "status", "must be \"active\" or \"hidden\"");
}

typedef enum item_key { I_ID, I_TITLE, I_TEXT, I_STATUS, I_CREATED, I_ATTRS, I_KEYS } item_key;
static const char *const item_keys[I_KEYS] = {"id",     "title",   "text",
                                              "status", "created", "attributes"};

wn_status wn_item_from_json(const json_t *json, wn_arena *arena, wn_item_record *out,
                            wn_error *err) {
  wn_status status;
  const json_t *m[I_KEYS];
  *out = (wn_item_record){0};
  if (!json_is_object(json)) return not_an_object("an item", err);
  WN_TRY(members_of(json, item_keys, I_KEYS, m, err));
  WN_TRY(text_of(m[I_ID], "id", true, arena, &out->id, err));
  WN_TRY(text_of(m[I_TITLE], "title", false, arena, &out->title, err));
  WN_TRY(text_of(m[I_TEXT], "text", false, arena, &out->text, err));
  WN_TRY(status_of(m[I_STATUS], &out->status, err));
  WN_TRY(time_of(m[I_CREATED], "created", &out->created_ms, err));
  WN_TRY(attrs_of(m[I_ATTRS], arena, &out->attrs, err));
  WN_TRY(wn_item_check(out, err));
cleanup:
  return status;
}

static const char *const user_keys[2] = {"id", "attributes"};

wn_status wn_user_from_json(const json_t *json, wn_arena *arena, wn_user_record *out,
                            wn_error *err) {
  wn_status status;
  const json_t *m[2];
  *out = (wn_user_record){0};
  if (!json_is_object(json)) return not_an_object("a user", err);
  WN_TRY(members_of(json, user_keys, 2, m, err));
  WN_TRY(text_of(m[0], "id", true, arena, &out->id, err));
  WN_TRY(attrs_of(m[1], arena, &out->attrs, err));
  WN_TRY(wn_user_check(out, err));
cleanup:
  return status;
}

/* Writes the attributes behind their key by their own writer. */
static void write_attrs(wn_json *json, const wn_attrs *attrs, wn_buf *out) {
  wn_json_key(json, "attributes");
  wn_attrs_to_json(attrs, out);
  json->after_key = false;
}

void wn_item_to_json(const wn_item_record *item, wn_buf *out) {
  static const char *const names[] = {"active", "hidden", "deleted"};
  char time[32];
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "id");
  wn_json_string(&json, item->id);
  if (item->title.ptr != NULL) {
    wn_json_key(&json, "title");
    wn_json_string(&json, item->title);
  }
  if (item->text.ptr != NULL) {
    wn_json_key(&json, "text");
    wn_json_string(&json, item->text);
  }
  wn_json_key(&json, "status");
  wn_json_cstring(&json, names[item->status]);
  if (item->created_ms != 0) {
    wn_json_key(&json, "created");
    wn_json_cstring(&json, wn_time_format(item->created_ms, time, sizeof time));
  }
  write_attrs(&json, &item->attrs, out);
  wn_json_end_object(&json);
}

void wn_user_to_json(const wn_user_record *user, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "id");
  wn_json_string(&json, user->id);
  write_attrs(&json, &user->attrs, out);
  wn_json_end_object(&json);
}
