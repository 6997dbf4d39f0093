/* The "about" section: a snapshot's description as JSON, so that `strings` and people can read it.
 */

#include "model/snapshot_format.h"

#include "base/json_write.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum field_kind { FIELD_U64, FIELD_U32, FIELD_I64, FIELD_DOUBLE, FIELD_TEXT } field_kind;

typedef struct field {
  const char *name;
  field_kind kind;
  size_t offset;
  size_t size; /* FIELD_TEXT: with the NUL */
  bool optional;
} field;

#define FIELD(kind, name)                                                                          \
  { #name, kind, offsetof(wn_snapshot_about, name), sizeof((wn_snapshot_about *)0)->name, false }
static const field fields[] = {
    FIELD(FIELD_U64, number),
    FIELD(FIELD_TEXT, store_uuid),
    FIELD(FIELD_U64, last_seq),
    FIELD(FIELD_U64, item_rev),
    FIELD(FIELD_U32, users),
    FIELD(FIELD_U32, items),
    FIELD(FIELD_U64, nnz),
    FIELD(FIELD_I64, created_ms),
    FIELD(FIELD_I64, data_ms),
    FIELD(FIELD_TEXT, models),
    FIELD(FIELD_DOUBLE, train_seconds),
    FIELD(FIELD_TEXT, version),
    {"config", FIELD_TEXT, offsetof(wn_snapshot_about, config),
     sizeof((wn_snapshot_about *)0)->config, true}, /* older snapshots lack it */
};
#define FIELDS (sizeof fields / sizeof *fields)

void wn_snapshot_about_write(const wn_snapshot_about *about, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  for (size_t i = 0; i < FIELDS; i++) {
    const void *at = (const char *)about + fields[i].offset;
    wn_json_key(&json, fields[i].name);
    switch (fields[i].kind) {
    case FIELD_U64:
    case FIELD_I64: wn_json_int(&json, *(const int64_t *)at); break;
    case FIELD_U32: wn_json_int(&json, *(const uint32_t *)at); break;
    case FIELD_DOUBLE: wn_json_double(&json, *(const double *)at); break;
    case FIELD_TEXT: wn_json_cstring(&json, at); break;
    }
  }
  wn_json_end_object(&json);
}

static wn_status read_integer(const field *f, const json_t *value, void *at, wn_error *err) {
  if (!json_is_integer(value)) return wn_fail(err, WN_E_CORRUPT, f->name, "must be an integer");
  json_int_t n = json_integer_value(value);
  json_int_t min = f->kind == FIELD_I64 ? INT64_MIN : 0;
  json_int_t max = f->kind == FIELD_U32 ? (json_int_t)UINT32_MAX : INT64_MAX;
  if (n < min || n > max)
    return wn_fail(err, WN_E_CORRUPT, f->name, "must be %lld to %lld, is %lld", (long long)min,
                   (long long)max, (long long)n);
  if (f->kind == FIELD_U32)
    *(uint32_t *)at = (uint32_t)n;
  else
    *(int64_t *)at = (int64_t)n;
  return WN_OK;
}

static wn_status read_field(const field *f, const json_t *value, void *at, wn_error *err) {
  if (value == NULL && f->optional) return WN_OK;
  if (value == NULL) return wn_fail(err, WN_E_CORRUPT, f->name, "is missing");
  if (f->kind == FIELD_DOUBLE) {
    if (!json_is_number(value)) return wn_fail(err, WN_E_CORRUPT, f->name, "must be a number");
    *(double *)at = json_number_value(value);
    return WN_OK;
  }
  if (f->kind != FIELD_TEXT) return read_integer(f, value, at, err);
  if (!json_is_string(value) || json_string_length(value) >= f->size)
    return wn_fail(err, WN_E_CORRUPT, f->name, "must be a text of at most %zu bytes", f->size - 1);
  memcpy(at, json_string_value(value), json_string_length(value) + 1);
  return WN_OK;
}

wn_status wn_snapshot_about_read(wn_str text, wn_snapshot_about *out, wn_error *err) {
  wn_status status = WN_OK;
  json_error_t why;
  memset(out, 0, sizeof *out);
  json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
  if (!json_is_object(json))
    WN_TRY(wn_fail(err, WN_E_CORRUPT, WN_SNAPSHOT_ABOUT, "must be a JSON object: %s",
                   json == NULL ? why.text : "it is something else"));
  for (size_t i = 0; i < FIELDS; i++)
    WN_TRY(read_field(&fields[i], json_object_get(json, fields[i].name),
                      (char *)out + fields[i].offset, err));
cleanup:
  json_decref(json);
  return status;
}
