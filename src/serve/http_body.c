/* Bodies → ops. The scanner below follows strings and brackets only; whatever it lets through is
 * parsed by jansson, record by record, and checked by the readers of data/. jansson's own nesting
 * limit (2,048) is too deep for worker stacks shared with the funnel, hence the depth count here;
 * it has no limit of memory (8 MiB of `{},` became 1.4 GB), hence the count of values.
 * Costs: two passes over the text (count, then parse), one record's tree at a time. */
#include "serve/http_body.h"

#include "base/clock.h"
#include "data/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(wn_body *body) {
  while (body->pos < body->text.len && is_blank(body->text.ptr[body->pos]))
    body->line += body->text.ptr[body->pos++] == '\n';
}

static char peek(const wn_body *body) {
  return body->pos < body->text.len ? body->text.ptr[body->pos] : '\0';
}

static wn_status malformed(const wn_body *body, const char *expected, wn_error *err) {
  wn_status status = wn_fail(err, WN_E_FORMAT, "body", "not valid JSON: expected %s", expected);
  if (err != NULL) err->line = body->line;
  return status;
}

/* Past the string that begins at pos; false: it never ends. */
static bool skip_string(wn_body *body) {
  for (body->pos++; body->pos < body->text.len; body->pos++) {
    char c = body->text.ptr[body->pos];
    if (c == '"') {
      body->pos++;
      return true;
    }
    if (c == '\n') body->line++;
    if (c == '\\') body->pos++;
  }
  body->pos = body->text.len;
  return false;
}

static bool ends_scalar(char c) {
  return is_blank(c) || c == ',' || c == ']' || c == '}' || c == '[' || c == '{' || c == '"' ||
         c == ':';
}

static wn_status too_deep(const wn_body *body, wn_error *err) {
  wn_status status =
      wn_fail(err, WN_E_FORMAT, "body", "nested more than %d levels deep", WN_HTTP_JSON_DEPTH_MAX);
  if (err != NULL) err->line = body->line;
  return status;
}

/* Whether a record of this length, with so many strings, scalars and brackets, may be parsed. */
static wn_status check_size(const wn_body *body, size_t begin, size_t values, wn_error *err) {
  wn_status status = WN_OK;
  if (body->pos - begin > WN_HTTP_RECORD_BYTES_MAX) {
    status = wn_fail(err, WN_E_TOO_LARGE, "body", "a record may have at most %zu bytes",
                     WN_HTTP_RECORD_BYTES_MAX);
  } else if (values > WN_HTTP_RECORD_VALUES_MAX) {
    status = wn_fail(err, WN_E_TOO_LARGE, "body", "a record may have at most %d values",
                     WN_HTTP_RECORD_VALUES_MAX);
  }
  if (status != WN_OK && err != NULL) err->line = body->line;
  return status;
}

/* Past one string, bracket, separator or scalar at pos; *depth follows the brackets. */
static wn_status skip_token(wn_body *body, int *depth, wn_error *err) {
  char c = peek(body);
  if (body->pos == body->text.len) return malformed(body, "the end of a value", err);
  if (c == '"')
    return skip_string(body) ? WN_OK : malformed(body, "the closing quote of a string", err);
  if (c == '{' || c == '[') {
    ++*depth;
  } else if (c == '}' || c == ']' || c == ',' || c == ':') {
    if (*depth == 0) return malformed(body, "a value", err);
    *depth -= c == '}' || c == ']';
  } else {
    while (body->pos < body->text.len && !ends_scalar(peek(body))) body->pos++;
    return WN_OK;
  }
  body->pos++;
  return WN_OK;
}

/* Past the value that begins at pos: brackets are counted, not matched by kind. */
static wn_status skip_value(wn_body *body, int depth_max, wn_error *err) {
  wn_status status = WN_OK;
  int depth = 0;
  size_t begin = body->pos, values = 0;
  do {
    skip_blanks(body);
    char c = peek(body);
    values += c != '}' && c != ']' && c != ',' && c != ':';
    WN_TRY(skip_token(body, &depth, err));
    if (depth > depth_max) return too_deep(body, err);
    WN_TRY(check_size(body, begin, values, err));
  } while (depth > 0);
cleanup:
  return status;
}

/* Whether the object at pos is {"member": [ …; if so, goes past the bracket. */
static bool enter_member(wn_body *body, const char *member) {
  wn_body ahead = *body;
  ahead.pos++;
  skip_blanks(&ahead);
  size_t len = strlen(member), at = ahead.pos + 1;
  if (peek(&ahead) != '"' || ahead.text.len - ahead.pos < len + 2) return false;
  if (memcmp(ahead.text.ptr + at, member, len) != 0 || ahead.text.ptr[at + len] != '"')
    return false;
  ahead.pos = at + len + 1;
  skip_blanks(&ahead);
  if (peek(&ahead) != ':') return false;
  ahead.pos++;
  skip_blanks(&ahead);
  if (peek(&ahead) != '[') return false;
  ahead.pos++;
  *body = ahead;
  return true;
}

wn_status wn_body_open(wn_body *body, wn_str text, wn_body_form form, const char *member,
                       wn_error *err) {
  *body = (wn_body){.text = text, .line = 1, .first = true, .lines = form == WN_BODY_LINES};
  skip_blanks(body);
  if (body->pos == text.len) return wn_fail(err, WN_E_FORMAT, "body", "is empty");
  if (body->lines) return WN_OK;
  if (peek(body) == '[') {
    body->pos++;
    body->depth = 1;
  } else if (peek(body) == '{') {
    body->depth = enter_member(body, member) ? 2 : 0;
  } else {
    return malformed(body, "an object or an array of objects", err);
  }
  return WN_OK;
}

static wn_status take_value(wn_body *body, wn_str *record, long *line, wn_error *err) {
  wn_status status = WN_OK;
  size_t begin = body->pos;
  *line = body->line;
  WN_TRY(skip_value(body, WN_HTTP_JSON_DEPTH_MAX - body->depth, err));
  *record = (wn_str){body->text.ptr + begin, body->pos - begin};
  body->index++;
cleanup:
  return status;
}

/* After the last record: closing brackets, then nothing. */
static wn_status close_body(wn_body *body, wn_error *err) {
  body->end = true;
  if (body->depth > 0) body->pos++; /* ']' */
  if (body->depth == 2) {
    skip_blanks(body);
    if (peek(body) != '}') return malformed(body, "} after the array", err);
    body->pos++;
  }
  skip_blanks(body);
  return body->pos == body->text.len ? WN_OK : malformed(body, "the end of the body", err);
}

/* One line is one record; whatever else is on it the parser refuses. */
static wn_status next_line(wn_body *body, wn_str *record, long *line) {
  skip_blanks(body);
  if (body->pos == body->text.len) return WN_OK;
  const char *begin = body->text.ptr + body->pos;
  const char *end = memchr(begin, '\n', body->text.len - body->pos);
  size_t len = end != NULL ? (size_t)(end - begin) : body->text.len - body->pos;
  *record = (wn_str){begin, len};
  *line = body->line;
  body->pos += len;
  body->index++;
  return WN_OK;
}

wn_status wn_body_next(wn_body *body, wn_str *record, long *line, wn_error *err) {
  *record = (wn_str){NULL, 0};
  if (body->end) return WN_OK;
  if (body->lines) return next_line(body, record, line);
  bool first = body->first;
  body->first = false;
  skip_blanks(body);
  if (body->depth == 0) return first ? take_value(body, record, line, err) : close_body(body, err);
  if (peek(body) == ']') return close_body(body, err);
  if (first) return take_value(body, record, line, err);
  if (peek(body) != ',') return malformed(body, "a comma or ]", err);
  body->pos++;
  skip_blanks(body);
  return take_value(body, record, line, err);
}

/* What the parser must not be given: too deep, too long, too many values. */
static wn_status check_limits(wn_str text, long line, wn_error *err) {
  wn_body scan = {.text = text, .line = line};
  wn_status status = WN_OK;
  WN_TRY(skip_value(&scan, WN_HTTP_JSON_DEPTH_MAX, err));
cleanup:
  return status;
}

wn_status wn_json_parse(wn_str text, long line, json_t **out, wn_error *err) {
  wn_status status = WN_OK;
  json_error_t why;
  *out = NULL;
  WN_TRY(check_limits(text, line, err));
  *out = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
  if (*out != NULL) return WN_OK;
  if (json_error_code(&why) == json_error_out_of_memory) return wn_fail_memory(err);
  status = wn_fail(err, WN_E_FORMAT, "body", "not valid JSON: %s", why.text);
  if (err != NULL) {
    err->line = line + (why.line > 0 ? why.line - 1 : 0);
    err->column = why.column > 0 ? why.column : 0;
  }
cleanup:
  return status;
}

static const char *member_of(wn_op_kind kind) {
  return kind == WN_OP_EVENT ? "events" : kind == WN_OP_ITEM_PUT ? "items" : "users";
}

static wn_status event_of_json(const json_t *json, const wn_body_ops *in, wn_event_record *out,
                               wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(wn_event_from_json(json, in->now_ms, in->arena, out, err));
  if (in->time_ms_max != 0 && out->time_ms > in->time_ms_max)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "time",
                   "lies further ahead than this server takes (events_future_seconds_max)"));
cleanup:
  return status;
}

static wn_status record_of_json(const json_t *json, const wn_body_ops *in, wn_op *op,
                                wn_error *err) {
  if (!json_is_object(json)) return wn_fail(err, WN_E_FORMAT, "body", "expected an object");
  op->kind = in->kind;
  if (in->kind == WN_OP_EVENT) return event_of_json(json, in, &op->u.event, err);
  if (in->kind == WN_OP_ITEM_PUT) return wn_item_from_json(json, in->arena, &op->u.item, err);
  return wn_user_from_json(json, in->arena, &op->u.user, err);
}

/* An arena at its maximum says "out of memory", but here it is the request that is too big. */
static wn_status too_large_for_arena(const wn_arena *arena, wn_status status, wn_error *err) {
  size_t left = arena->used_bytes_max - arena->used_bytes;
  if (status != WN_E_MEMORY || left > arena->used_bytes_max / 8) return status;
  return wn_fail(err, WN_E_TOO_LARGE, "body",
                 "takes more than %zu MiB in memory; send it in smaller parts",
                 arena->used_bytes_max >> 20);
}

wn_status wn_body_count(wn_str text, wn_body_form form, wn_body_ops *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_body body;
  wn_str record;
  long line = 0;
  WN_TRY(wn_body_open(&body, text, form, member_of(out->kind), err));
  do {
    out->index = (long)body.index;
    WN_TRY(wn_body_next(&body, &record, &line, err));
    if (body.index > WN_HTTP_RECORDS_MAX) {
      out->index = -1;
      WN_TRY(
          wn_fail(err, WN_E_TOO_LARGE, "body", "holds more than %d records", WN_HTTP_RECORDS_MAX));
    }
  } while (record.ptr != NULL);
  out->count = body.index;
  out->index = -1;
cleanup:
  return status;
}

wn_status wn_body_to_ops(wn_str text, wn_body_form form, wn_body_ops *out, wn_error *err) {
  wn_status status = WN_OK;
  json_t *json = NULL;
  wn_body body;
  wn_str record;
  long line = 0;
  out->index = -1;
  if (out->count == 0) WN_TRY(wn_body_count(text, form, out, err));
  out->ops = wn_arena_calloc(out->arena, out->count, sizeof *out->ops);
  if (out->ops == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_body_open(&body, text, form, member_of(out->kind), err));
  for (size_t i = 0; i < out->count; i++) {
    out->index = (long)i;
    WN_TRY(wn_body_next(&body, &record, &line, err));
    WN_TRY(wn_json_parse(record, line, &json, err));
    status = record_of_json(json, out, &out->ops[i], err);
    if (status != WN_OK && err != NULL && err->line == 0) err->line = line;
    if (status != WN_OK) goto cleanup;
    json_decref(json);
    json = NULL;
  }
  out->index = -1;
cleanup:
  json_decref(json);
  return too_large_for_arena(out->arena, status, err);
}

/* An id may be a whole number, as in the records of data/: 7 is "7". Absent: neither. */
static wn_str id_text(const json_t *value, char digits[24]) {
  if (json_is_string(value)) return (wn_str){json_string_value(value), json_string_length(value)};
  if (!json_is_integer(value)) return (wn_str){NULL, 0};
  int len = snprintf(digits, 24, "%lld", (long long)json_integer_value(value));
  return (wn_str){digits, (size_t)len};
}

/* Gives the record the path's id, or checks that the body's is the same. */
static wn_status settle_id(json_t *json, wn_str id, wn_error *err) {
  const json_t *given = json_object_get(json, "id");
  if (given == NULL) {
    json_t *text = json_stringn(id.ptr, id.len);
    return json_object_set_new(json, "id", text) == 0 ? WN_OK : wn_fail_memory(err);
  }
  char digits[24];
  wn_str value = id_text(given, digits);
  if (value.ptr != NULL && wn_str_equal(value, id)) return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, "id", "must be the id in the path, or left out");
}

wn_status wn_body_to_put(wn_str text, wn_op_kind kind, wn_str id, wn_arena *arena, wn_op *out,
                         wn_error *err) {
  wn_status status = WN_OK;
  json_t *json = NULL;
  wn_body_ops in = {.kind = kind, .arena = arena};
  *out = (wn_op){.kind = kind};
  WN_TRY(wn_json_parse(text, 1, &json, err));
  if (!json_is_object(json)) WN_TRY(wn_fail(err, WN_E_FORMAT, "body", "expected an object"));
  WN_TRY(settle_id(json, id, err));
  WN_TRY(record_of_json(json, &in, out, err));
cleanup:
  json_decref(json);
  return too_large_for_arena(arena, status, err);
}

static wn_status check_members(const json_t *json, const char *const *allowed, wn_error *err) {
  for (void *at = json_object_iter((json_t *)(uintptr_t)json); at != NULL;
       at = json_object_iter_next((json_t *)(uintptr_t)json, at)) {
    const char *const *name = allowed;
    while (*name != NULL && strcmp(*name, json_object_iter_key(at)) != 0) name++;
    if (*name == NULL)
      return wn_fail(err, WN_E_ARGUMENT, json_object_iter_key(at), "is not a known field");
  }
  return WN_OK;
}

wn_status wn_body_to_patch(wn_str text, wn_op_kind kind, wn_str id, wn_arena *arena, wn_op *out,
                           wn_error *err) {
  static const char *const item_members[] = {"id", "title", "text", "status", "attributes", NULL};
  static const char *const user_members[] = {"id", "attributes", NULL};
  wn_status status = WN_OK;
  json_t *json = NULL;
  *out = (wn_op){.kind = kind};
  WN_TRY(wn_json_parse(text, 1, &json, err));
  if (!json_is_object(json)) WN_TRY(wn_fail(err, WN_E_FORMAT, "body", "expected an object"));
  WN_TRY(settle_id(json, id, err));
  WN_TRY(check_members(json, kind == WN_OP_ITEM_PATCH ? item_members : user_members, err));
  if (json_object_del(json, "id") != 0) WN_TRY(wn_fail_memory(err));
  char *patch = json_dumps(json, JSON_COMPACT);
  out->patch = patch != NULL ? wn_arena_str(arena, wn_str_of(patch)) : (wn_str){NULL, 0};
  free(patch);
  if (out->patch.ptr == NULL) WN_TRY(wn_fail_memory(err));
  if (kind == WN_OP_ITEM_PATCH) {
    out->u.item.id = id;
  } else {
    out->u.user.id = id;
  }
cleanup:
  json_decref(json);
  return status;
}

static wn_status copy_id(const json_t *value, const char *field, wn_arena *arena, wn_str *out,
                         wn_error *err) {
  char digits[24];
  wn_str text = id_text(value, digits);
  if (text.ptr == NULL) return wn_fail(err, WN_E_ARGUMENT, field, "must be a string");
  *out = wn_arena_str(arena, text);
  return out->ptr != NULL ? WN_OK : wn_fail_memory(err);
}

static wn_status text_member(const json_t *json, const char *name, wn_arena *arena, wn_str *out,
                             wn_error *err) {
  const json_t *value = json_object_get(json, name);
  return value == NULL || json_is_null(value) ? WN_OK : copy_id(value, name, arena, out, err);
}

/* An object, as text: the engine reads it. */
static wn_status context_member(const json_t *json, wn_arena *arena, wn_str *out, wn_error *err) {
  const json_t *value = json_object_get(json, "context");
  if (value == NULL || json_is_null(value)) return WN_OK;
  if (!json_is_object(value)) return wn_fail(err, WN_E_ARGUMENT, "context", "must be an object");
  char *text = json_dumps(value, JSON_COMPACT);
  if (text == NULL) return wn_fail_memory(err);
  *out = wn_arena_str(arena, wn_str_of(text));
  free(text);
  return out->ptr != NULL ? WN_OK : wn_fail_memory(err);
}

typedef struct id_list {
  const wn_str *ids;
  size_t len;
} id_list;

static wn_status ids_member(const json_t *json, const char *name, wn_arena *arena, id_list *out,
                            wn_error *err) {
  wn_status status = WN_OK;
  const json_t *list = json_object_get(json, name);
  if (list == NULL || json_is_null(list)) return WN_OK;
  if (!json_is_array(list)) return wn_fail(err, WN_E_ARGUMENT, name, "must be an array of ids");
  size_t len = json_array_size(list);
  wn_str *ids = wn_arena_calloc(arena, len, sizeof *ids);
  if (ids == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++)
    WN_TRY(copy_id(json_array_get(list, i), name, arena, &ids[i], err));
  *out = (id_list){.ids = ids, .len = len};
cleanup:
  return status;
}

static wn_status number_member(const json_t *json, wn_slate_request *out, wn_error *err) {
  const json_t *n = json_object_get(json, "n");
  const json_t *explain = json_object_get(json, "explain");
  if (n != NULL && !json_is_null(n)) {
    json_int_t value = json_integer_value(n);
    if (!json_is_integer(n) || value < 1 || value > WN_SLATE_MAX)
      return wn_fail(err, WN_E_ARGUMENT, "n", "must be a whole number from 1 to %d", WN_SLATE_MAX);
    out->n = (uint32_t)value;
  }
  if (explain != NULL && !json_is_boolean(explain))
    return wn_fail(err, WN_E_ARGUMENT, "explain", "must be true or false");
  out->explain = json_is_true(explain);
  return WN_OK;
}

wn_status wn_body_to_slate(wn_str text, wn_arena *arena, wn_slate_request *out, wn_error *err) {
  static const char *const members[] = {"user",    "item",    "session", "n", "filter",
                                        "exclude", "explain", "context", NULL};
  static const char *const look_members[] = {"user",    "item", "session", "n", "filter",
                                             "exclude", "why",  "context", NULL};
  wn_status status = WN_OK;
  json_t *json = NULL;
  id_list exclude = {NULL, 0}, why = {NULL, 0};
  WN_TRY(wn_json_parse(text, 1, &json, err));
  if (!json_is_object(json)) WN_TRY(wn_fail(err, WN_E_FORMAT, "body", "expected an object"));
  WN_TRY(check_members(json, out->look ? look_members : members, err));
  WN_TRY(text_member(json, "user", arena, &out->user, err));
  WN_TRY(text_member(json, "item", arena, &out->item, err));
  WN_TRY(text_member(json, "session", arena, &out->session, err));
  WN_TRY(text_member(json, "filter", arena, &out->filter, err));
  WN_TRY(context_member(json, arena, &out->context, err));
  WN_TRY(number_member(json, out, err));
  WN_TRY(ids_member(json, "exclude", arena, &exclude, err));
  WN_TRY(ids_member(json, "why", arena, &why, err));
  if (why.len > WN_WHY_MAX)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "why", "at most %d items at once", WN_WHY_MAX));
  out->exclude = exclude.ids;
  out->exclude_len = exclude.len;
  out->why = why.ids;
  out->why_len = why.len;
  out->explain = out->explain || out->look;
cleanup:
  json_decref(json);
  return status;
}
