#ifndef WN_SERVE_HTTP_BODY_H
#define WN_SERVE_HTTP_BODY_H
/* Request bodies: JSON or NDJSON text → store ops and slate requests. */

#include "serve/engine.h"
#include <jansson.h>

#define WN_HTTP_JSON_DEPTH_MAX 32
#define WN_HTTP_RECORDS_MAX    50000 /* a request; half of the commit queue */
/* A record, or a whole body that is one. jansson takes up to 500 bytes for a value of two (`{}`),
 * so that these bound its tree to about 40 MiB. The longest record that is allowed has 64 lists of
 * 1,024 strings. */
#define WN_HTTP_RECORD_VALUES_MAX 70000 /* keys count as well */
#define WN_HTTP_RECORD_BYTES_MAX  ((size_t)4 << 20)

typedef enum wn_body_form {
  WN_BODY_JSON,  /* one object, an array of objects, or {"<member>": [objects]} */
  WN_BODY_LINES, /* NDJSON: one object a line, blank lines are skipped */
} wn_body_form;

/* Cuts a body into its records without a tree of the whole, so that memory is bounded by one
 * record's. Strings and nesting are followed, the rest is left to the parser of each record. */
typedef struct wn_body {
  wn_str text;
  size_t pos;
  long line;       /* of `pos`, 1-based */
  size_t index;    /* records handed out */
  bool lines;      /* NDJSON */
  int depth;       /* brackets around each record: 0, 1 (array) or 2 (array in an object) */
  bool first, end; /* no record yet; all of them seen */
} wn_body;

/* `member`: the key that may wrap the array ("events"). WN_E_FORMAT: not JSON of that shape, with
 * line; nested deeper than WN_HTTP_JSON_DEPTH_MAX. WN_E_TOO_LARGE: a record beyond the limits. */
WN_MUST_USE wn_status wn_body_open(wn_body *body, wn_str text, wn_body_form form,
                                   const char *member, wn_error *err);
/* *record: absent at the end; *line: where it begins. */
WN_MUST_USE wn_status wn_body_next(wn_body *body, wn_str *record, long *line, wn_error *err);

/* One JSON value: depth and size checked before (WN_E_TOO_LARGE), duplicate keys and NUL refused,
 * error with line and column (counted from `line`). Free with json_decref. */
WN_MUST_USE wn_status wn_json_parse(wn_str text, long line, json_t **out, wn_error *err);

/* All records of a body as ops of `kind` (EVENT, ITEM_PUT or USER_PUT); memory from `arena`, the
 * text is no longer needed. index: the record (0-based) that an error means, or -1.
 * WN_E_TOO_LARGE: more than WN_HTTP_RECORDS_MAX records or the arena's maximum. */
typedef struct wn_body_ops {
  wn_op_kind kind;
  int64_t now_ms;
  int64_t time_ms_max; /* events later than this are refused; 0: than a day ahead of now_ms */
  wn_arena *arena;
  wn_op *ops;
  size_t count; /* in: what wn_body_count found, or 0 */
  long index;
} wn_body_ops;
/* Fills count and index: a pass over the text that makes nothing. */
WN_MUST_USE wn_status wn_body_count(wn_str text, wn_body_form form, wn_body_ops *out,
                                    wn_error *err);
WN_MUST_USE wn_status wn_body_to_ops(wn_str text, wn_body_form form, wn_body_ops *out,
                                     wn_error *err);

/* The record of PUT /v1/items/{id} and /v1/users/{id}: the body's id may be left out, but not
 * differ. */
WN_MUST_USE wn_status wn_body_to_put(wn_str text, wn_op_kind kind, wn_str id, wn_arena *arena,
                                     wn_op *out, wn_error *err);
/* A merge patch (RFC 7396): an object whose members are known for `kind`; out->patch is a copy. */
WN_MUST_USE wn_status wn_body_to_patch(wn_str text, wn_op_kind kind, wn_str id, wn_arena *arena,
                                       wn_op *out, wn_error *err);
#define WN_WHY_MAX 20
/* {"user","item","session","n","filter","exclude":[],"explain"} of a POSTed slate; when `out->look`
 * is set, "why":[] in place of "explain", which it is. `out->surface` is left alone. */
WN_MUST_USE wn_status wn_body_to_slate(wn_str text, wn_arena *arena, wn_slate_request *out,
                                       wn_error *err);

#endif
