/* JSON lines: an event, item or user a line, in the form of the HTTP API. A line's keys tell what
 * it is when nobody said: "user" and "item" an event, "user" alone a user, else an item (or a
 * user, in a file with "user" in its name).
 *
 * With a map the log is somebody else's: mapped keys are renamed, other keys of events are
 * passed over, and other keys of items and users become attributes. */
#include "data/columns.h"
#include "data/read.h"

#include <string.h>

#define LINE_ARENA_MAX ((size_t)64 << 20)

typedef struct lines {
  wn_reader *reader;
  wn_arena arena;
  bool named_user; /* the file's name */
} lines;

static wn_record_kind kind_of(const lines *l, const json_t *object) {
  if (l->reader->options->kind != WN_RECORD_AUTO) return l->reader->options->kind;
  bool user = json_object_get(object, "user") != NULL;
  bool item = json_object_get(object, "item") != NULL;
  if (user && item) return WN_RECORD_EVENTS;
  if (user) return WN_RECORD_USERS;
  return !item && l->named_user ? WN_RECORD_USERS : WN_RECORD_ITEMS;
}

static bool set_text(json_t *object, const char *key, wn_str text) {
  json_t *value = json_stringn(text.ptr, text.len);
  return value != NULL && json_object_set_new(object, key, value) == 0;
}

/* The value leaves `from`, if it is there. */
static bool move_key(json_t *from, wn_str key, json_t *to, const char *as) {
  char name[256];
  if (key.len == 0 || key.len >= sizeof name) return true;
  memcpy(name, key.ptr, key.len);
  name[key.len] = '\0';
  json_t *value = json_object_get(from, name);
  if (value == NULL) return true;
  if (json_object_set(to, as, value) != 0) return false;
  json_object_del(from, name);
  return true;
}

/* Renames by the map into `to`; what nobody named stays in `from`. */
static wn_status apply_map(const wn_read_options *options, json_t *from, json_t *to, json_t *attrs,
                           wn_error *err) {
  for (size_t i = 0; i < options->map_len; i++) {
    wn_str field = options->map[i].field, column = options->map[i].column;
    char name[WN_KEY_BYTES_MAX];
    bool attr = field.len > 5 && memcmp(field.ptr, "attr.", 5) == 0;
    wn_str as = attr ? (wn_str){field.ptr + 5, field.len - 5} : field;
    if (as.len >= sizeof name) return wn_fail(err, WN_E_ARGUMENT, "map", "the name is too long");
    memcpy(name, as.ptr, as.len);
    name[as.len] = '\0';
    bool constant = column.len > 0 && column.ptr[0] == '!';
    bool ok = constant ? set_text(to, name, (wn_str){column.ptr + 1, column.len - 1})
                       : move_key(from, column, attr ? attrs : to, name);
    if (!ok) return wn_fail_memory(err);
  }
  return WN_OK;
}

static wn_status keep(json_t *from, json_t *to, wn_field field, wn_error *err) {
  const char *name = wn_field_name(field);
  if (json_object_get(to, name) != NULL) return WN_OK;
  return move_key(from, wn_str_of(name), to, name) ? WN_OK : wn_fail_memory(err);
}

/* Keys of ours that nobody mapped keep their names; those of the keys tell the kind. */
static wn_status keep_own(const lines *l, json_t *from, json_t *to, wn_record_kind *kind,
                          wn_error *err) {
  wn_status status;
  WN_TRY(keep(from, to, WN_FIELD_USER, err));
  WN_TRY(keep(from, to, WN_FIELD_ITEM, err));
  *kind = kind_of(l, to);
  for (int i = 0; i < WN_FIELD_COUNT; i++) {
    if (wn_field_belongs((wn_field)i, *kind)) WN_TRY(keep(from, to, (wn_field)i, err));
  }
cleanup:
  return status;
}

/* Under their event's name ids are fine, too. */
static wn_status rename_id(json_t *object, wn_record_kind kind, wn_error *err) {
  const char *as = kind == WN_RECORD_ITEMS ? "item" : "user";
  if (kind == WN_RECORD_EVENTS || json_object_get(object, "id") != NULL) return WN_OK;
  return move_key(object, wn_str_of(as), object, "id") ? WN_OK : wn_fail_memory(err);
}

/* What is left becomes attributes of items and users; nested values are left out. */
static wn_status keep_attrs(json_t *from, json_t *to, json_t *attrs, wn_error *err) {
  const char *key;
  json_t *value;
  json_t *own = json_object_get(from, "attributes");
  bool ok = !json_is_object(own) || json_object_update_missing(attrs, own) == 0;
  if (own != NULL) json_object_del(from, "attributes");
  json_object_foreach(from, key, value) {
    if (!json_is_object(value)) ok = ok && json_object_set(attrs, key, value) == 0;
  }
  ok = ok && json_object_set(to, "attributes", attrs) == 0;
  return ok ? WN_OK : wn_fail_memory(err);
}

/* *object is replaced by the mapped one. */
static wn_status map_object(const lines *l, json_t **object, wn_record_kind *kind, wn_error *err) {
  wn_status status = WN_OK;
  json_t *to = json_object(), *attrs = json_object();
  if (to == NULL || attrs == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(apply_map(l->reader->options, *object, to, attrs, err));
  WN_TRY(keep_own(l, *object, to, kind, err));
  WN_TRY(rename_id(to, *kind, err));
  if (*kind != WN_RECORD_EVENTS) WN_TRY(keep_attrs(*object, to, attrs, err));
  json_decref(*object);
  *object = json_incref(to);
cleanup:
  json_decref(to);
  json_decref(attrs);
  return status;
}

/* Parses into one of the three records. */
typedef struct record {
  wn_record_kind kind;
  bool timed;
  wn_event_record event;
  wn_item_record item;
  wn_user_record user;
} record;

static wn_status convert(lines *l, const json_t *object, record *out, wn_error *why) {
  out->timed = json_object_get(object, "time") != NULL;
  switch (out->kind) {
  case WN_RECORD_ITEMS: return wn_item_from_json(object, &l->arena, &out->item, why);
  case WN_RECORD_USERS: return wn_user_from_json(object, &l->arena, &out->user, why);
  default: return wn_event_from_json(object, l->reader->now_ms, &l->arena, &out->event, why);
  }
}

static wn_status parse(lines *l, wn_str line, record *out, wn_error *why) {
  wn_status status;
  json_error_t at;
  json_t *object = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, &at);
  if (object == NULL) {
    status = wn_fail(why, WN_E_FORMAT, "", "%s", at.text);
    why->column = at.column;
    return status;
  }
  if (!json_is_object(object)) {
    WN_TRY(wn_fail(why, WN_E_FORMAT, "", "must be a JSON object"));
  }
  if (l->reader->options->map_len > 0) {
    WN_TRY(map_object(l, &object, &out->kind, why));
  } else {
    out->kind = kind_of(l, object);
    WN_TRY(rename_id(object, out->kind, why));
  }
  WN_TRY(convert(l, object, out, why));
cleanup:
  json_decref(object);
  return status;
}

static wn_status read_line(lines *l, wn_str line, wn_error *err) {
  record r;
  wn_error why;
  wn_reader *reader = l->reader;
  uint64_t hash = wn_reader_hash(reader, line);
  wn_arena_reset(&l->arena);
  if (parse(l, line, &r, &why) != WN_OK) return wn_reader_bad(reader, reader->line, &why, err);
  switch (r.kind) {
  case WN_RECORD_ITEMS: return wn_reader_item(reader, reader->line, &r.item, err);
  case WN_RECORD_USERS: return wn_reader_user(reader, reader->line, &r.user, err);
  default: return wn_reader_event(reader, reader->line, &r.event, r.timed ? hash : 0, err);
  }
}

wn_status wn_read_jsonl(wn_reader *reader, wn_error *err) {
  wn_status status;
  lines l = {.reader = reader};
  l.named_user = strcasestr(wn_base_name(reader->file), "user") != NULL;
  wn_arena_init(&l.arena, LINE_ARENA_MAX);
  for (;;) {
    wn_str line;
    WN_TRY(wn_reader_line(reader, &line, err));
    if (line.ptr == NULL) break;
    if (wn_str_trim(line).len > 0) WN_TRY(read_line(&l, line, err));
  }
cleanup:
  wn_arena_clear(&l.arena);
  return status;
}
