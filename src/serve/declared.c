#include "serve/declared.h"
#include "base/file.h"
#include <stdio.h>
#include <stdlib.h>

#define DECLARED_BYTES_MAX ((size_t)1 << 20)

static const char *path_of(const char *dir, char *buf, size_t size) {
  snprintf(buf, size, "%s/declared.json", dir);
  return buf;
}

wn_status wn_declared_read(const char *dir, wn_buf *out, wn_error *err) {
  char path[4200];
  wn_status status = wn_read_file(path_of(dir, path, sizeof path), DECLARED_BYTES_MAX, out, err);
  return status == WN_E_NOT_FOUND ? WN_OK : status;
}

wn_status wn_declared_write(const char *dir, wn_str text, wn_error *err) {
  char path[4200];
  if (text.len > DECLARED_BYTES_MAX)
    return wn_fail(err, WN_E_TOO_LARGE, "", "declared experiments may have at most %zu bytes",
                   DECLARED_BYTES_MAX);
  return wn_write_file_atomic(path_of(dir, path, sizeof path), text, err);
}

wn_status wn_declared_load(const char *dir, wn_config *config, wn_error *err) {
  char path[4200];
  wn_buf text = {0};
  wn_status status = wn_declared_read(dir, &text, err);
  if (status == WN_OK && text.len > 0)
    status = wn_config_declare(config, (wn_str){text.data, text.len},
                               path_of(dir, path, sizeof path), err);
  wn_buf_clear(&text);
  return status;
}

/* RFC 7396; false: out of memory. */
static bool merge(json_t *into, const json_t *patch) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)patch, key, value) {
    json_t *old = json_object_get(into, key);
    if (json_is_null(value)) {
      (void)json_object_del(into, key);
    } else if (json_is_object(value)) {
      json_t *fresh = json_is_object(old) ? json_incref(old) : json_object();
      bool good = fresh != NULL && merge(fresh, value) && json_object_set(into, key, fresh) == 0;
      json_decref(fresh);
      if (!good) return false;
    } else if (json_object_set_new(into, key, json_deep_copy(value)) != 0) {
      return false;
    }
  }
  return true;
}

static bool apply(json_t *root, const wn_experiment_change *change) {
  json_t *old = json_object_getn(root, change->name.ptr, change->name.len);
  json_t *fresh;
  switch (change->kind) {
  case WN_DECLARE_FORGET:
    if (old != NULL) (void)json_object_deln(root, change->name.ptr, change->name.len);
    return true;
  case WN_DECLARE_NEW:
    return json_object_setn_new(root, change->name.ptr, change->name.len,
                                json_deep_copy(change->body)) == 0;
  case WN_DECLARE_PATCH: break;
  }
  fresh = json_is_object(old) ? json_incref(old) : json_object();
  bool good = fresh != NULL && merge(fresh, change->body) &&
              json_object_setn(root, change->name.ptr, change->name.len, fresh) == 0;
  json_decref(fresh);
  return good;
}

wn_status wn_declared_edit(wn_str old, const wn_experiment_change *change, wn_buf *out,
                           wn_error *err) {
  wn_status status = WN_OK;
  char *text = NULL;
  json_t *root = old.len > 0 ? json_loadb(old.ptr, old.len, 0, NULL) : json_object();
  if (!json_is_object(root))
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "", "declared.json is no object of experiments"));
  if (!apply(root, change)) WN_TRY(wn_fail_memory(err));
  text = json_dumps(root, JSON_INDENT(1));
  if (text == NULL) WN_TRY(wn_fail_memory(err));
  wn_buf_str(out, text);
  wn_buf_char(out, '\n');
  if (out->failed) status = wn_fail_memory(err);
cleanup:
  free(text);
  json_decref(root);
  return status;
}
