#ifndef WN_BASE_RECORD_H
#define WN_BASE_RECORD_H
/* The three facts that everything is made of (events, items, users), as they travel
 * between readers, stores and the server. Strings are borrowed: valid for the call only. */

#include "base/str.h"
#include "base/dict.h"
#include "base/arena.h"

typedef uint32_t wn_user_ix; /* dense, assigned by the store for good; WN_NO_IX = none */
typedef uint32_t wn_item_ix;

typedef enum wn_attr_kind {
  WN_ATTR_STRING,
  WN_ATTR_NUMBER,
  WN_ATTR_BOOL,
  WN_ATTR_LIST
} wn_attr_kind;

/* One attribute: a string, a finite number, a bool or a list of strings. */
typedef struct wn_attr {
  wn_str name;
  wn_attr_kind kind;
  bool boolean;
  double number;
  wn_str string;
  const wn_str *list;
  size_t list_len;
} wn_attr;

#define WN_ATTRS_MAX      64   /* attributes a record */
#define WN_ATTR_LIST_MAX  1024 /* strings a list */
#define WN_TEXT_BYTES_MAX (64 * 1024)

typedef struct wn_attrs {
  const wn_attr *data;
  size_t len;
} wn_attrs;

#define WN_EVENT_TYPES_MAX 200 /* distinct event types in one store */

typedef enum wn_item_status {
  WN_ITEM_ACTIVE = 0,
  WN_ITEM_HIDDEN = 1,
  WN_ITEM_DELETED = 2
} wn_item_status;

typedef struct wn_event_record {
  wn_str id; /* client's id for idempotent retries; absent: none */
  wn_str user;
  wn_str item;
  wn_str type;
  wn_str slate; /* the slate it answers to; absent: none */
  double value; /* NAN: none */
  int64_t time_ms;
} wn_event_record;

typedef struct wn_item_record {
  wn_str id;
  wn_str title; /* absent: none */
  wn_str text;  /* description for content models; absent: none */
  wn_attrs attrs;
  wn_item_status status;
  int64_t created_ms; /* 0: unknown; the store takes the time of arrival */
} wn_item_record;

typedef struct wn_user_record {
  wn_str id;
  wn_attrs attrs;
} wn_user_record;

/* Where readers put what they read. A callback's failure stops the reader, which adds file
 * and line and passes it on. */
typedef struct wn_sink {
  void *ctx;
  wn_status (*event)(void *ctx, const wn_event_record *event, wn_error *err);
  wn_status (*item)(void *ctx, const wn_item_record *item, wn_error *err);
  wn_status (*user)(void *ctx, const wn_user_record *user, wn_error *err);
} wn_sink;

/* Attributes as a JSON object: strings, numbers, bools, arrays of strings (numbers and bools
 * in arrays become strings); null members are left out; nested objects are refused with their
 * name. Memory from `arena`. */
WN_MUST_USE wn_status wn_attrs_from_json(wn_str json, wn_arena *arena, wn_attrs *out,
                                         wn_error *err);
void wn_attrs_to_json(const wn_attrs *attrs, wn_buf *out); /* keys sorted by byte order */
const wn_attr *wn_attrs_find(const wn_attrs *attrs, const char *name); /* NULL: absent */

/* Every record is checked once, where it enters: keys, finite value, time, sizes. */
WN_MUST_USE wn_status wn_event_check(const wn_event_record *event, int64_t now_ms, wn_error *err);
WN_MUST_USE wn_status wn_item_check(const wn_item_record *item, wn_error *err);
WN_MUST_USE wn_status wn_user_check(const wn_user_record *user, wn_error *err);

#endif
