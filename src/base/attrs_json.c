#include "base/json_write.h"
#include "base/record.h"

#include <jansson.h>
#include <string.h>

static wn_str str_of_json(const json_t *value) {
  return (wn_str){json_string_value(value), json_string_length(value)};
}

/* A string as it is, a number or bool as its text; false: out of memory. */
static bool scalar_text(const json_t *value, wn_arena *arena, wn_str *out) {
  wn_buf text = {0};
  wn_json json;
  wn_json_init(&json, &text);
  wn_str s;
  if (json_is_string(value)) {
    s = str_of_json(value);
  } else {
    if (json_is_integer(value)) wn_json_int(&json, json_integer_value(value));
    if (json_is_real(value)) wn_json_double(&json, json_real_value(value));
    if (json_is_boolean(value)) wn_json_bool(&json, json_is_true(value));
    s = (wn_str){text.data, text.len};
  }
  *out = wn_arena_str(arena, s);
  bool ok = !text.failed && out->ptr != NULL;
  wn_buf_clear(&text);
  return ok;
}

static wn_status list_from(const json_t *array, wn_arena *arena, wn_attr *out, wn_error *err) {
  size_t n = json_array_size(array);
  if (n > WN_ATTR_LIST_MAX) {
    return wn_fail(err, WN_E_ARGUMENT, "attributes", "\"%.*s\" must be at most %d strings, got %zu",
                   WN_STR_ARG(out->name), WN_ATTR_LIST_MAX, n);
  }
  wn_str *list = wn_arena_calloc(arena, n, sizeof *list);
  if (list == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < n; i++) {
    const json_t *value = json_array_get(array, i);
    if (json_is_null(value)) continue;
    if (json_is_object(value) || json_is_array(value)) {
      return wn_fail(err, WN_E_ARGUMENT, "attributes",
                     "\"%.*s\" must hold strings only, got an %s inside it", WN_STR_ARG(out->name),
                     json_is_object(value) ? "object" : "array");
    }
    if (!scalar_text(value, arena, &list[out->list_len++])) return wn_fail_memory(err);
  }
  out->kind = WN_ATTR_LIST;
  out->list = list;
  return WN_OK;
}

static wn_status attr_from(const json_t *value, wn_arena *arena, wn_attr *out, wn_error *err) {
  if (json_is_array(value)) return list_from(value, arena, out, err);
  if (json_is_object(value)) {
    return wn_fail(err, WN_E_ARGUMENT, "attributes",
                   "\"%.*s\" must be a string, number, bool or array of strings, got an object",
                   WN_STR_ARG(out->name));
  }
  if (json_is_string(value)) {
    out->kind = WN_ATTR_STRING;
    out->string = wn_arena_str(arena, str_of_json(value));
    return out->string.ptr != NULL ? WN_OK : wn_fail_memory(err);
  }
  out->kind = json_is_boolean(value) ? WN_ATTR_BOOL : WN_ATTR_NUMBER;
  out->boolean = json_is_true(value);
  out->number = json_number_value(value);
  return WN_OK;
}

static wn_status attrs_from(json_t *root, wn_arena *arena, wn_attrs *out, wn_error *err) {
  size_t n = json_object_size(root), len = 0;
  if (n > WN_ATTRS_MAX) {
    return wn_fail(err, WN_E_ARGUMENT, "attributes", "must be at most %d, got %zu", WN_ATTRS_MAX,
                   n);
  }
  wn_attr *attrs = wn_arena_calloc(arena, n, sizeof *attrs);
  if (attrs == NULL) return wn_fail_memory(err);
  const char *name;
  json_t *value;
  json_object_foreach(root, name, value) {
    if (json_is_null(value)) continue;
    wn_attr *attr = &attrs[len++];
    attr->name = wn_arena_str(arena, wn_str_of(name));
    if (attr->name.ptr == NULL) return wn_fail_memory(err);
    wn_status status = attr_from(value, arena, attr, err);
    if (status != WN_OK) return status;
  }
  *out = (wn_attrs){attrs, len};
  return WN_OK;
}

wn_status wn_attrs_from_json(wn_str json, wn_arena *arena, wn_attrs *out, wn_error *err) {
  wn_status status = WN_OK;
  json_t *root = NULL;
  json_error_t why;
  *out = (wn_attrs){0};
  if (json.ptr == NULL) return WN_OK;
  root = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, &why);
  if (root == NULL) {
    WN_TRY(wn_fail(err, WN_E_FORMAT, "attributes", "must be a JSON object: %s (column %d)",
                   why.text, why.column));
  }
  if (!json_is_object(root)) {
    WN_TRY(wn_fail(err, WN_E_FORMAT, "attributes", "must be a JSON object"));
  }
  WN_TRY(attrs_from(root, arena, out, err));
cleanup:
  json_decref(root);
  return status;
}

/* Insertion sort: at most WN_ATTRS_MAX of them, mostly in order already. */
static void sort_by_name(const wn_attrs *attrs, const wn_attr **sorted) {
  for (size_t i = 0; i < attrs->len; i++) {
    size_t j = i;
    for (; j > 0 && wn_str_compare(sorted[j - 1]->name, attrs->data[i].name) > 0; j--) {
      sorted[j] = sorted[j - 1];
    }
    sorted[j] = &attrs->data[i];
  }
}

static void write_text(wn_json *json, wn_str s) {
  wn_json_string(json, s.ptr != NULL ? s : WN_STR(""));
}

static void write_attr(wn_json *json, const wn_attr *attr) {
  wn_json_key_str(json, attr->name);
  switch (attr->kind) {
  case WN_ATTR_STRING: write_text(json, attr->string); break;
  case WN_ATTR_NUMBER: wn_json_double(json, attr->number); break;
  case WN_ATTR_BOOL: wn_json_bool(json, attr->boolean); break;
  case WN_ATTR_LIST:
    wn_json_array(json);
    for (size_t i = 0; i < attr->list_len; i++) write_text(json, attr->list[i]);
    wn_json_end_array(json);
    break;
  }
}

void wn_attrs_to_json(const wn_attrs *attrs, wn_buf *out) {
  const wn_attr *sorted[WN_ATTRS_MAX];
  if (attrs->len > WN_ATTRS_MAX) {
    out->failed = true; /* no checked record has so many */
    return;
  }
  sort_by_name(attrs, sorted);
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  for (size_t i = 0; i < attrs->len; i++) write_attr(&json, sorted[i]);
  wn_json_end_object(&json);
}
