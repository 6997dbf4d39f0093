/* CSV and TSV with a header: one plan for the columns, then row by row without allocations.
 * Event types are written in lower case with '_' for blanks ("COMMENT CREATED" becomes
 * comment_created), since tables come from systems with types of their own. Attributes: a whole
 * cell that is a number is a number (but "007" stays text), a cell with the list separator is a
 * list, an empty one is left out. */
#include "data/columns.h"
#include "base/clock.h"
#include "data/csv.h"

#include <math.h>
#include <string.h>

#define HEADER_BYTES_MAX (1u << 20)
#define ROW_BYTES_MAX    (16u << 20)
#define TYPE_BYTES_MAX   64

typedef struct table {
  wn_reader *reader;
  wn_csv csv;
  wn_columns columns;
  wn_arena header; /* names, for the whole file */
  wn_arena row;    /* lists of the current row */
} table;

static wn_str cell_of(const table *t, wn_field field) {
  int column = t->columns.of[field];
  if (column < 0) return t->columns.constant[field];
  return t->csv.cells[column];
}

/* The absent string for an empty cell. */
static wn_str optional(wn_str cell) {
  return cell.len > 0 ? cell : (wn_str){NULL, 0};
}

static wn_str event_type(wn_str cell, char buf[TYPE_BYTES_MAX]) {
  cell = wn_str_trim(cell);
  if (cell.len > TYPE_BYTES_MAX) return cell; /* the check refuses it */
  for (size_t i = 0; i < cell.len; i++) {
    char c = cell.ptr[i];
    buf[i] = c == ' ' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
  }
  return (wn_str){buf, cell.len};
}

static wn_status parse_value(wn_str cell, double *value, wn_error *why) {
  *value = NAN;
  cell = wn_str_trim(cell);
  if (cell.len == 0 || wn_parse_double(cell, value)) return WN_OK;
  return wn_fail(why, WN_E_FORMAT, "value", "must be a number, got \"%.*s\"",
                 cell.len < 40 ? (int)cell.len : 40, cell.ptr);
}

/* A time under the field's own name: the parser knows it as "time" only. */
static wn_status parse_time(wn_str cell, const char *field, int64_t *time_ms, wn_error *why) {
  if (cell.len == 0) return wn_fail(why, WN_E_FORMAT, field, "is empty");
  wn_status status = wn_time_parse(cell, time_ms, why);
  return status == WN_OK ? WN_OK : wn_fail(why, status, field, "%s", why->message);
}

static wn_status read_event(table *t, wn_error *err) {
  wn_error why;
  char type[TYPE_BYTES_MAX];
  bool timed = t->columns.of[WN_FIELD_TIME] >= 0;
  uint64_t hash = timed ? wn_reader_hash(t->reader, t->csv.raw) : 0;
  wn_event_record event = {.user = cell_of(t, WN_FIELD_USER),
                           .item = cell_of(t, WN_FIELD_ITEM),
                           .type = event_type(cell_of(t, WN_FIELD_TYPE), type),
                           .id = optional(cell_of(t, WN_FIELD_ID)),
                           .slate = optional(cell_of(t, WN_FIELD_SLATE)),
                           .time_ms = t->reader->now_ms};
  wn_status status = parse_value(cell_of(t, WN_FIELD_VALUE), &event.value, &why);
  if (status == WN_OK && timed) {
    status = parse_time(cell_of(t, WN_FIELD_TIME), "time", &event.time_ms, &why);
  }
  if (status != WN_OK) return wn_reader_bad(t->reader, t->csv.line, &why, err);
  return wn_reader_event(t->reader, t->csv.line, &event, hash, err);
}

/* Numbers with leading zeros are codes (zip codes, article numbers). */
static bool is_number(wn_str cell, double *number) {
  char c = cell.ptr[0];
  if (!((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.')) return false;
  if (c == '0' && cell.len > 1 && cell.ptr[1] >= '0' && cell.ptr[1] <= '9') return false;
  return wn_parse_double(cell, number);
}

static bool split_list(wn_str cell, wn_str separator, wn_arena *arena, wn_attr *attr) {
  const char *end = cell.ptr + cell.len;
  size_t n = 1;
  for (const char *p = cell.ptr; separator.len > 0; n++, p += separator.len) {
    p = memmem(p, (size_t)(end - p), separator.ptr, separator.len);
    if (p == NULL) break;
  }
  wn_str *list = wn_arena_calloc(arena, n, sizeof *list);
  if (list == NULL) return false;
  const char *from = cell.ptr;
  for (size_t i = 0; i < n; i++) {
    const char *to =
        i + 1 < n ? memmem(from, (size_t)(end - from), separator.ptr, separator.len) : end;
    wn_str part = wn_str_trim((wn_str){from, (size_t)(to - from)});
    if (part.len > 0) list[attr->list_len++] = part;
    from = to + separator.len;
    if (i + 1 == n) break;
  }
  attr->kind = WN_ATTR_LIST;
  attr->list = list;
  return true;
}

static bool read_attr(table *t, const wn_attr_column *column, wn_str cell, wn_attr *attr) {
  wn_str separator = wn_str_of(t->reader->options->list_separator);
  *attr = (wn_attr){.name = column->name, .kind = WN_ATTR_STRING, .string = cell};
  bool several =
      separator.len > 0 && memmem(cell.ptr, cell.len, separator.ptr, separator.len) != NULL;
  if (column->list || several) return split_list(cell, separator, &t->row, attr);
  if (is_number(cell, &attr->number)) attr->kind = WN_ATTR_NUMBER;
  return true;
}

static wn_status read_attrs(table *t, wn_attr *attrs, wn_attrs *out, wn_error *err) {
  size_t n = 0;
  wn_arena_reset(&t->row);
  for (size_t i = 0; i < t->columns.attrs_len; i++) {
    const wn_attr_column *column = &t->columns.attrs[i];
    wn_str cell = wn_str_trim(t->csv.cells[column->column]);
    if (cell.len == 0) continue;
    if (!read_attr(t, column, cell, &attrs[n++])) return wn_fail_memory(err);
  }
  *out = (wn_attrs){attrs, n};
  return WN_OK;
}

static wn_status parse_status(wn_str cell, wn_item_status *out, wn_error *why) {
  *out = WN_ITEM_ACTIVE;
  if (cell.len == 0 || wn_str_is(cell, "active")) return WN_OK;
  *out = WN_ITEM_HIDDEN;
  if (wn_str_is(cell, "hidden")) return WN_OK;
  return wn_fail(why, WN_E_FORMAT, "status", "must be active or hidden, got \"%.*s\"",
                 cell.len < 40 ? (int)cell.len : 40, cell.ptr);
}

static wn_status read_item(table *t, wn_error *err) {
  wn_error why;
  wn_attr attrs[WN_ATTRS_MAX];
  wn_item_record item = {.id = cell_of(t, WN_FIELD_ID),
                         .title = optional(cell_of(t, WN_FIELD_TITLE)),
                         .text = optional(cell_of(t, WN_FIELD_TEXT))};
  wn_str created = cell_of(t, WN_FIELD_CREATED);
  wn_status status = parse_status(cell_of(t, WN_FIELD_STATUS), &item.status, &why);
  if (status == WN_OK && created.len > 0) {
    status = parse_time(created, "created", &item.created_ms, &why);
  }
  if (status != WN_OK) return wn_reader_bad(t->reader, t->csv.line, &why, err);
  status = read_attrs(t, attrs, &item.attrs, err);
  return status != WN_OK ? status : wn_reader_item(t->reader, t->csv.line, &item, err);
}

static wn_status read_user(table *t, wn_error *err) {
  wn_attr attrs[WN_ATTRS_MAX];
  wn_user_record user = {.id = cell_of(t, WN_FIELD_ID)};
  wn_status status = read_attrs(t, attrs, &user.attrs, err);
  return status != WN_OK ? status : wn_reader_user(t->reader, t->csv.line, &user, err);
}

static wn_status read_row(table *t, wn_error *err) {
  if (t->csv.cells_len != t->columns.cells) {
    wn_error why;
    wn_fail(&why, WN_E_FORMAT, "", "has %zu columns, the header has %zu", t->csv.cells_len,
            t->columns.cells);
    return wn_csv_reject(&t->csv, &why, err);
  }
  switch (t->columns.kind) {
  case WN_RECORD_ITEMS: return read_item(t, err);
  case WN_RECORD_USERS: return read_user(t, err);
  default: return read_event(t, err);
  }
}

static wn_status read_header(table *t, bool lenient, bool *end, wn_error *err) {
  wn_status status;
  wn_str *names = NULL;
  WN_TRY(wn_csv_next(&t->csv, end, err));
  if (*end) goto cleanup;
  names = wn_arena_calloc(&t->header, t->csv.cells_len, sizeof *names);
  if (names == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t i = 0; i < t->csv.cells_len; i++) {
    names[i] = wn_arena_str(&t->header, wn_str_trim(t->csv.cells[i]));
    if (names[i].ptr == NULL) WN_TRY(wn_fail_memory(err));
  }
  wn_header header = {names, t->csv.cells_len, t->reader->file, lenient};
  status = wn_columns_plan(&header, t->reader->options, &t->header, &t->columns, err);
  if (status != WN_OK && err != NULL) wn_error_at(err, t->reader->file, t->csv.line, 0);
cleanup:
  return status;
}

wn_status wn_read_csv(wn_reader *reader, char separator, bool lenient, wn_error *err) {
  wn_status status;
  bool end = false;
  table t = {.reader = reader};
  wn_arena_init(&t.header, HEADER_BYTES_MAX);
  wn_arena_init(&t.row, ROW_BYTES_MAX);
  WN_TRY(wn_csv_init(&t.csv, reader, separator, err));
  WN_TRY(read_header(&t, lenient, &end, err));
  while (!end) {
    WN_TRY(wn_csv_next(&t.csv, &end, err));
    if (!end) WN_TRY(read_row(&t, err));
  }
cleanup:
  wn_csv_clear(&t.csv);
  wn_arena_clear(&t.header);
  wn_arena_clear(&t.row);
  return status;
}
