#ifndef WN_DATA_TABULAR_H
#define WN_DATA_TABULAR_H
/* A CSV or TSV file (compressed or not) whose header says which column is which field of the
 * caller's list: by `--map field=column`, else by the names in use. Errors name file, line and
 * field. Internal to the data layer. */

#include "data/csv.h"

#define WN_TABULAR_FIELDS_MAX 16

typedef struct wn_tabular_field {
  const char *name;
  const char *columns; /* taken for it without a map, in order of preference; blanks between */
} wn_tabular_field;

typedef struct wn_tabular {
  wn_csv csv; /* the current row's cells */
  const char *path;
  const wn_tabular_field *fields;
  int fields_len;
  int of[WN_TABULAR_FIELDS_MAX]; /* column of each field; −1: no such column */
  size_t cells_min;              /* that a row must have */
  /* below: private */
  wn_reader reader;
  wn_read_options options;
  wn_read_report report;
  wn_sink sink;
} wn_tabular;

/* Opens the file and reads its header; `t` zeroed, and to be closed also after a failure. */
WN_MUST_USE wn_status wn_tabular_open(wn_tabular *t, const char *path,
                                      const wn_tabular_field *fields, int fields_len,
                                      wn_error *err);
WN_MUST_USE wn_status wn_tabular_map(wn_tabular *t, const wn_column_map *map, size_t len,
                                     wn_error *err);
/* An error unless the field has a column. */
WN_MUST_USE wn_status wn_tabular_need(const wn_tabular *t, int field, wn_error *err);
/* While the header is the current row. */
int wn_tabular_column(const wn_tabular *t, wn_str name);
/* The next row has all columns that fields stand in. */
WN_MUST_USE wn_status wn_tabular_next(wn_tabular *t, bool *end, wn_error *err);
wn_str wn_tabular_cell(const wn_tabular *t, int field); /* trimmed */
/* A number; NaN without the column. */
WN_MUST_USE wn_status wn_tabular_number(const wn_tabular *t, int field, double *out, wn_error *err);
WN_MUST_USE wn_status wn_tabular_bad(const wn_tabular *t, int field, wn_error *err,
                                     const char *expected);
WN_MUST_USE wn_status wn_tabular_close(wn_tabular *t, wn_status status, wn_error *err);

#endif
