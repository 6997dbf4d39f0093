/* Column names are compared without case, blanks, '_', '-' and '.': user_id = userId = USER ID. */
#include "data/columns.h"
#include "data/read.h"

#include <string.h>

#define NAME_MAX_BYTES 64

typedef struct field_row {
  const char *name;
  const char *columns;
} field_row;

static const field_row fields[WN_FIELD_COUNT] = {
#define X(upper, lower, names) {#lower, names},
    WN_FIELDS(X)
#undef X
};

static const wn_field event_fields[] = {WN_FIELD_USER, WN_FIELD_ITEM, WN_FIELD_TYPE, WN_FIELD_VALUE,
                                        WN_FIELD_TIME, WN_FIELD_ID,   WN_FIELD_SLATE};
static const wn_field item_fields[] = {WN_FIELD_ID, WN_FIELD_TITLE, WN_FIELD_TEXT, WN_FIELD_STATUS,
                                       WN_FIELD_CREATED};
static const wn_field user_fields[] = {WN_FIELD_ID};

typedef struct field_list {
  const wn_field *data;
  size_t len;
} field_list;

static field_list fields_of(wn_record_kind kind) {
  switch (kind) {
  case WN_RECORD_ITEMS: return (field_list){item_fields, sizeof item_fields / sizeof *item_fields};
  case WN_RECORD_USERS: return (field_list){user_fields, sizeof user_fields / sizeof *user_fields};
  default: return (field_list){event_fields, sizeof event_fields / sizeof *event_fields};
  }
}

const char *wn_field_name(wn_field field) {
  return fields[field].name;
}

bool wn_field_belongs(wn_field field, wn_record_kind kind) {
  field_list list = fields_of(kind);
  for (size_t i = 0; i < list.len; i++) {
    if (list.data[i] == field) return true;
  }
  return false;
}

/* Lower case without filling; "" when too long to be one of ours. */
static wn_str normal(wn_str name, char buf[NAME_MAX_BYTES]) {
  size_t n = 0;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.ptr[i];
    if (c == ' ' || c == '_' || c == '-' || c == '.') continue;
    if (n == NAME_MAX_BYTES) return (wn_str){buf, 0};
    buf[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
  }
  return (wn_str){buf, n};
}

/* The next word of a blank-separated list. */
static wn_str next_word(const char **list) {
  const char *from = *list + strspn(*list, " ");
  size_t len = strcspn(from, " ");
  *list = from + len;
  return (wn_str){from, len};
}

static int find_column(const wn_header *header, wn_str name) {
  for (size_t i = 0; i < header->len; i++) {
    if (wn_str_equal(header->cells[i], name)) return (int)i;
  }
  return -1;
}

static int find_usual(const wn_header *header, const char *names) {
  for (wn_str word = next_word(&names); word.len > 0; word = next_word(&names)) {
    for (size_t i = 0; i < header->len; i++) {
      char buf[NAME_MAX_BYTES];
      if (wn_str_equal(normal(header->cells[i], buf), word)) return (int)i;
    }
  }
  return -1;
}

static const wn_column_map *find_map(const wn_read_options *options, const char *field) {
  for (size_t i = 0; i < options->map_len; i++) {
    if (wn_str_is(options->map[i].field, field)) return &options->map[i];
  }
  return NULL;
}

/* The field's column by map or by name, −1 when there is none. */
static int column_of(const wn_header *header, const wn_read_options *options, wn_field field) {
  const wn_column_map *map = find_map(options, fields[field].name);
  if (map != NULL) return find_column(header, map->column);
  return find_usual(header, fields[field].columns);
}

static bool name_says_users(const char *file) {
  return strcasestr(wn_base_name(file), "user") != NULL;
}

/* Whoever maps a field says that the file has it, even when the column is misspelt. */
static bool has_field(const wn_header *header, const wn_read_options *options, wn_field field) {
  const wn_column_map *map = find_map(options, fields[field].name);
  if (map != NULL && map->column.len > 0 && !header->lenient) return true;
  return column_of(header, options, field) >= 0;
}

wn_record_kind wn_columns_kind(const wn_header *header, const wn_read_options *options) {
  if (options->kind != WN_RECORD_AUTO) return options->kind;
  bool user = has_field(header, options, WN_FIELD_USER);
  bool item = has_field(header, options, WN_FIELD_ITEM);
  if (user && item) return WN_RECORD_EVENTS;
  /* A user and a time: events whose item we do not recognise, which is better said. */
  if (user && column_of(header, options, WN_FIELD_TIME) >= 0) return WN_RECORD_EVENTS;
  if (user) return WN_RECORD_USERS;
  if (item) return WN_RECORD_ITEMS;
  if (column_of(header, options, WN_FIELD_ID) < 0) return WN_RECORD_AUTO;
  if (column_of(header, options, WN_FIELD_TITLE) < 0 && name_says_users(header->file)) {
    return WN_RECORD_USERS;
  }
  return WN_RECORD_ITEMS;
}

wn_record_kind wn_csv_kind(const wn_read_options *options, const char *file, const wn_str *header,
                           size_t header_len) {
  wn_header h = {header, header_len, file, true};
  return wn_columns_kind(&h, options);
}

/* "a, b, c" of the header, cut to what a message holds. */
static const char *list_names(const wn_header *header, char *buf, size_t size) {
  size_t n = 0;
  for (size_t i = 0; i < header->len && n + 8 < size; i++) {
    wn_str cell = header->cells[i];
    size_t room = size - n - 8, len = cell.len < room ? cell.len : room;
    if (i > 0) buf[n++] = ',', buf[n++] = ' ';
    if (len > 0) memcpy(buf + n, cell.ptr, len);
    n += len;
  }
  buf[n] = '\0';
  return buf;
}

static wn_status no_column(const wn_header *header, const char *field, wn_error *err) {
  char names[256];
  return wn_fail(err, WN_E_FORMAT, field,
                 "no column for '%s'; name it with --map %s=COLUMN (the header has: %s)", field,
                 field, list_names(header, names, sizeof names));
}

static wn_status plan_field(const wn_header *header, const wn_read_options *options, wn_field field,
                            wn_columns *out, wn_error *err) {
  const wn_column_map *map = find_map(options, fields[field].name);
  if (map != NULL && map->column.len > 0 && map->column.ptr[0] == '!') {
    if (field != WN_FIELD_TYPE) {
      return wn_fail(err, WN_E_ARGUMENT, "map", "only 'type' may be a constant, not '%s'",
                     fields[field].name);
    }
    out->constant[field] = (wn_str){map->column.ptr + 1, map->column.len - 1};
    return WN_OK;
  }
  /* "value=" says that no column is the value. */
  if (map != NULL && map->column.len == 0) return WN_OK;
  out->of[field] = column_of(header, options, field);
  if (map == NULL || out->of[field] >= 0 || header->lenient) return WN_OK;
  char names[256];
  return wn_fail(err, WN_E_FORMAT, fields[field].name,
                 "no column '%.*s' to map '%s' to (the header has: %s)", WN_STR_ARG(map->column),
                 fields[field].name, list_names(header, names, sizeof names));
}

static bool is_taken(const wn_columns *columns, int column) {
  for (size_t i = 0; i < WN_FIELD_COUNT; i++) {
    if (columns->of[i] == column) return true;
  }
  for (size_t i = 0; i < columns->attrs_len; i++) {
    if (columns->attrs[i].column == column) return true;
  }
  return false;
}

/* Two fields never share a column that neither was mapped to. */
static void free_shared(const wn_read_options *options, field_list list, wn_columns *out) {
  for (size_t i = 0; i < list.len; i++) {
    for (size_t j = i + 1; j < list.len; j++) {
      wn_field a = list.data[i], b = list.data[j];
      if (out->of[a] < 0 || out->of[a] != out->of[b]) continue;
      bool keep_b =
          find_map(options, fields[b].name) != NULL && find_map(options, fields[a].name) == NULL;
      if (find_map(options, fields[keep_b ? a : b].name) == NULL) out->of[keep_b ? a : b] = -1;
    }
  }
}

/* The key of an item or user file may be called by the event's name for it. */
static void plan_key(const wn_header *header, const wn_read_options *options, wn_columns *out) {
  if (out->kind == WN_RECORD_EVENTS || find_map(options, "id") != NULL) return;
  wn_field as = out->kind == WN_RECORD_ITEMS ? WN_FIELD_ITEM : WN_FIELD_USER;
  int column = column_of(header, options, as);
  if (column >= 0) out->of[WN_FIELD_ID] = column;
}

/* A file of ratings seldom has a column of types. */
static void plan_type(const wn_header *header, wn_columns *out) {
  if (out->of[WN_FIELD_TYPE] >= 0 || out->constant[WN_FIELD_TYPE].ptr != NULL) return;
  char buf[NAME_MAX_BYTES];
  int value = out->of[WN_FIELD_VALUE];
  bool rating = value >= 0 && wn_str_is(normal(header->cells[value], buf), "rating");
  out->constant[WN_FIELD_TYPE] = rating ? WN_STR("rating") : WN_STR("view");
}

/* Attribute names are words: "Release date" becomes Release_date. */
static wn_str attr_name(wn_str column, wn_arena *arena) {
  char buf[NAME_MAX_BYTES];
  size_t n = 0;
  bool digit = column.len > 0 && column.ptr[0] >= '0' && column.ptr[0] <= '9';
  if (column.len == 0 || digit) buf[n++] = '_';
  for (size_t i = 0; i < column.len && n < sizeof buf; i++) {
    char c = column.ptr[i];
    bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    buf[n++] = word || c == '.' || c == '-' ? c : '_';
  }
  if (buf[0] == '.' || buf[0] == '-') buf[0] = '_';
  return wn_arena_str(arena, (wn_str){buf, n});
}

static wn_status add_attr(wn_columns *out, wn_str name, int column, bool list, wn_error *err) {
  if (out->attrs_len == WN_ATTRS_MAX) {
    return wn_fail(err, WN_E_FORMAT, "", "has more than %d columns of attributes", WN_ATTRS_MAX);
  }
  if (name.ptr == NULL) return wn_fail_memory(err);
  out->attrs[out->attrs_len++] = (wn_attr_column){name, column, list};
  return WN_OK;
}

static wn_status plan_mapped_attrs(const wn_header *header, const wn_read_options *options,
                                   wn_columns *out, wn_error *err) {
  for (size_t i = 0; i < options->map_len; i++) {
    wn_str name = options->map[i].field;
    if (name.len <= 5 || memcmp(name.ptr, "attr.", 5) != 0) continue;
    name = (wn_str){name.ptr + 5, name.len - 5};
    bool list = name.len > 2 && memcmp(name.ptr + name.len - 2, "[]", 2) == 0;
    if (list) name.len -= 2;
    int column = find_column(header, options->map[i].column);
    if (column < 0 && header->lenient) continue;
    if (column < 0) {
      return wn_fail(err, WN_E_FORMAT, "map", "no column '%.*s' for attribute '%.*s'",
                     WN_STR_ARG(options->map[i].column), WN_STR_ARG(name));
    }
    wn_status status = add_attr(out, name, column, list, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static wn_status plan_attrs(const wn_header *header, const wn_read_options *options,
                            wn_arena *arena, wn_columns *out, wn_error *err) {
  wn_status status = WN_OK;
  if (out->kind == WN_RECORD_EVENTS) return WN_OK;
  WN_TRY(plan_mapped_attrs(header, options, out, err));
  for (size_t i = 0; i < header->len; i++) {
    if (is_taken(out, (int)i)) continue;
    WN_TRY(add_attr(out, attr_name(header->cells[i], arena), (int)i, false, err));
  }
cleanup:
  return status;
}

static const char *const kind_names[] = {"events", "items", "users"};

/* The field that a map's target names; WN_FIELD_COUNT: none. */
static wn_field target_of(wn_str name) {
  int i = 0;
  while (i < WN_FIELD_COUNT && !wn_str_is(name, fields[i].name)) i++;
  return (wn_field)i;
}

static wn_status check_map(const wn_header *header, const wn_read_options *options,
                           wn_record_kind kind, wn_error *err) {
  for (size_t i = 0; i < options->map_len; i++) {
    wn_str name = options->map[i].field;
    wn_field field = target_of(name);
    bool attr = name.len > 5 && memcmp(name.ptr, "attr.", 5) == 0;
    if (field == WN_FIELD_COUNT && !attr) {
      return wn_fail(err, WN_E_ARGUMENT, "map",
                     "'%.*s' is no field; fields are user item type value time id slate (events), "
                     "id title text status created attr.NAME (items, users)",
                     WN_STR_ARG(name));
    }
    bool fits = attr ? kind != WN_RECORD_EVENTS : wn_field_belongs(field, kind);
    if (!fits && !header->lenient) {
      return wn_fail(err, WN_E_ARGUMENT, "map", "'%.*s' is no field of %s, which the file holds",
                     WN_STR_ARG(name), kind_names[kind]);
    }
  }
  return WN_OK;
}

static wn_status check_required(const wn_header *header, const wn_columns *out, wn_error *err) {
  if (out->kind != WN_RECORD_EVENTS) {
    return out->of[WN_FIELD_ID] >= 0 ? WN_OK : no_column(header, "id", err);
  }
  if (out->of[WN_FIELD_USER] < 0) return no_column(header, "user", err);
  return out->of[WN_FIELD_ITEM] >= 0 ? WN_OK : no_column(header, "item", err);
}

wn_status wn_columns_plan(const wn_header *header, const wn_read_options *options, wn_arena *arena,
                          wn_columns *out, wn_error *err) {
  wn_status status;
  *out = (wn_columns){.kind = wn_columns_kind(header, options), .cells = header->len};
  for (size_t i = 0; i < WN_FIELD_COUNT; i++) out->of[i] = -1;
  /* Without anything recognised, events are what is missed. */
  if (out->kind == WN_RECORD_AUTO) out->kind = WN_RECORD_EVENTS;
  WN_TRY(check_map(header, options, out->kind, err));
  field_list list = fields_of(out->kind);
  for (size_t i = 0; i < list.len; i++) {
    WN_TRY(plan_field(header, options, list.data[i], out, err));
  }
  plan_key(header, options, out);
  free_shared(options, list, out);
  if (out->kind == WN_RECORD_EVENTS) plan_type(header, out);
  WN_TRY(check_required(header, out, err));
  WN_TRY(plan_attrs(header, options, arena, out, err));
cleanup:
  return status;
}
