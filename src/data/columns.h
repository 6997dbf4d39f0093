#ifndef WN_DATA_COLUMNS_H
#define WN_DATA_COLUMNS_H
/* Which column of a table is which field of a record: by --map, else by the names that people
 * use. Internal to the data layer. */

#include "data/reader.h"

/* X(name, columns taken for it without a --map, in order of preference) */
#define WN_FIELDS(X)                                                                               \
  X(USER, user, "user userid visitorid personid customerid memberid reviewerid accountid uid")     \
  X(ITEM, item,                                                                                    \
    "item itemid movieid contentid productid articleid bookid trackid songid videoid newsid "      \
    "businessid anime animeid parentasin asin sku")                                                \
  X(TYPE, type, "type event eventtype action")                                                     \
  X(VALUE, value, "value rating score stars")                                                      \
  X(TIME, time, "time timestamp ts datetime date eventtime createdat unixtime")                    \
  X(ID, id, "id eventid")                                                                          \
  X(SLATE, slate, "slate slateid")                                                                 \
  X(TITLE, title, "title name")                                                                    \
  X(TEXT, text, "text description overview summary plot body content")                             \
  X(STATUS, status, "status")                                                                      \
  X(CREATED, created, "created createdat")

typedef enum wn_field {
#define X(upper, lower, names) WN_FIELD_##upper,
  WN_FIELDS(X)
#undef X
      WN_FIELD_COUNT
} wn_field;

typedef struct wn_attr_column {
  wn_str name;
  int column;
  bool list; /* always a list, even of one */
} wn_attr_column;

/* How to read the rows of one table. Strings live in the arena of wn_columns_plan(). */
typedef struct wn_columns {
  wn_record_kind kind;
  int of[WN_FIELD_COUNT];          /* −1: no column */
  wn_str constant[WN_FIELD_COUNT]; /* instead of a column; absent: none */
  wn_attr_column attrs[WN_ATTRS_MAX];
  size_t attrs_len;
  size_t cells; /* a row's */
} wn_columns;

typedef struct wn_header {
  const wn_str *cells;
  size_t len;
  const char *file; /* its name decides between items and users when the columns do not */
  bool lenient;     /* mapped columns that are absent are no error */
} wn_header;

const char *wn_field_name(wn_field field);
bool wn_field_belongs(wn_field field, wn_record_kind kind); /* AUTO: as events */
/* The kind that the columns tell; AUTO when they do not. */
wn_record_kind wn_columns_kind(const wn_header *header, const wn_read_options *options);
WN_MUST_USE wn_status wn_columns_plan(const wn_header *header, const wn_read_options *options,
                                      wn_arena *arena, wn_columns *out, wn_error *err);

#endif
