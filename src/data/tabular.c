/* Tables by their header (tabular.h). Cost: one pass; a row's cells are views of its line. */
#include "data/tabular.h"

#include <math.h>
#include <string.h>

int wn_tabular_column(const wn_tabular *t, wn_str name) {
  for (size_t c = 0; c < t->csv.cells_len; c++)
    if (wn_str_equal(wn_str_trim(t->csv.cells[c]), name)) return (int)c;
  return -1;
}

static int column_of(const wn_tabular *t, const char *names) {
  for (const char *at = names; *at != '\0';) {
    size_t len = strcspn(at, " ");
    int column = wn_tabular_column(t, (wn_str){at, len});
    if (column >= 0) return column;
    at += len + (at[len] == ' ');
  }
  return -1;
}

static wn_status no_field(const wn_tabular *t, wn_str name, wn_error *err) {
  char names[256] = "";
  size_t len = 0;
  for (int f = 0; f < t->fields_len && len < sizeof names; f++)
    len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", f > 0 ? ", " : "",
                            t->fields[f].name);
  return wn_fail(err, WN_E_ARGUMENT, "map", "there is no field `%.*s`; there are %s",
                 WN_STR_ARG(name), names);
}

wn_status wn_tabular_map(wn_tabular *t, const wn_column_map *map, size_t len, wn_error *err) {
  for (size_t i = 0; i < len; i++) {
    int f = 0;
    while (f < t->fields_len && !wn_str_is(map[i].field, t->fields[f].name)) f++;
    if (f == t->fields_len) return no_field(t, map[i].field, err);
    t->of[f] = wn_tabular_column(t, map[i].column);
    if (t->of[f] < 0)
      return wn_fail(err, WN_E_ARGUMENT, "map", "%s has no column `%.*s`", t->path,
                     WN_STR_ARG(map[i].column));
  }
  return WN_OK;
}

wn_status wn_tabular_open(wn_tabular *t, const char *path, const wn_tabular_field *fields,
                          int fields_len, wn_error *err) {
  wn_status status;
  bool end;
  t->path = path;
  t->fields = fields;
  t->fields_len = fields_len;
  wn_read_options_defaults(&t->options);
  t->options.bad_lines_max = 1;
  wn_reader_init(&t->reader, &t->options, &t->sink, &t->report);
  WN_TRY(wn_reader_open(&t->reader, path, err));
  WN_TRY(wn_csv_init(&t->csv, &t->reader, '\0', err));
  WN_TRY(wn_csv_next(&t->csv, &end, err));
  if (end) WN_TRY(wn_fail(err, WN_E_FORMAT, "", "%s is empty", path));
  for (int f = 0; f < fields_len; f++) t->of[f] = column_of(t, fields[f].columns);
cleanup:
  return status;
}

wn_status wn_tabular_need(const wn_tabular *t, int field, wn_error *err) {
  if (t->of[field] >= 0) return WN_OK;
  wn_fail(err, WN_E_FORMAT, t->fields[field].name,
          "no column for it (looked for: %s); name it with --map FIELD=COLUMN",
          t->fields[field].columns);
  return err != NULL ? wn_error_at(err, t->path, 1, 0) : WN_E_FORMAT;
}

wn_str wn_tabular_cell(const wn_tabular *t, int field) {
  return wn_str_trim(t->csv.cells[t->of[field]]);
}

wn_status wn_tabular_bad(const wn_tabular *t, int field, wn_error *err, const char *expected) {
  wn_str cell = t->csv.cells[t->of[field]];
  wn_fail(err, WN_E_FORMAT, t->fields[field].name, "must be %s, got `%.*s`", expected,
          cell.len < 40 ? (int)cell.len : 40, cell.len > 0 ? cell.ptr : "");
  return err != NULL ? wn_error_at(err, t->path, t->csv.line, 0) : WN_E_FORMAT;
}

wn_status wn_tabular_number(const wn_tabular *t, int field, double *out, wn_error *err) {
  *out = NAN;
  if (t->of[field] < 0) return WN_OK;
  if (wn_parse_double(wn_tabular_cell(t, field), out)) return WN_OK;
  return wn_tabular_bad(t, field, err, "a number");
}

wn_status wn_tabular_next(wn_tabular *t, bool *end, wn_error *err) {
  wn_status status = wn_csv_next(&t->csv, end, err);
  if (status != WN_OK || *end) return status;
  for (int f = 0; f < t->fields_len; f++)
    if (t->of[f] >= (int)t->cells_min) t->cells_min = (size_t)t->of[f] + 1;
  if (t->csv.cells_len >= t->cells_min) return WN_OK;
  wn_fail(err, WN_E_FORMAT, "", "has %zu cells, expected %zu at least", t->csv.cells_len,
          t->cells_min);
  return err != NULL ? wn_error_at(err, t->path, t->csv.line, 0) : WN_E_FORMAT;
}

wn_status wn_tabular_close(wn_tabular *t, wn_status status, wn_error *err) {
  wn_csv_clear(&t->csv);
  return wn_reader_finish(&t->reader, status, err);
}
