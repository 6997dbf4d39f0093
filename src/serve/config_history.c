/* The text goes first and the list after it: a crash in between leaves a file that nobody names,
 * and the next version writes over it. The list is written anew each time (some 200 bytes a
 * version), which keeps it whole. */
#include "serve/config_history.h"

#include "base/file.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "serve/config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_BYTES_MAX ((size_t)64 << 20)

static const char *list_path(const char *dir, char *buf, size_t size) {
  snprintf(buf, size, "%s/config/history.json", dir);
  return buf;
}

static const char *text_path(const char *dir, uint64_t number, char *buf, size_t size) {
  snprintf(buf, size, "%s/config/%06" PRIu64 ".yaml", dir, number);
  return buf;
}

void wn_config_history_clear(wn_config_history *history) {
  wn_free(history->data);
  *history = (wn_config_history){NULL, 0};
}

const wn_config_version *wn_config_history_find(const wn_config_history *history, uint64_t number) {
  for (size_t i = 0; i < history->len; i++)
    if (history->data[i].number == number) return &history->data[i];
  return NULL;
}

const wn_config_version *wn_config_history_of(const wn_config_history *history, const char *hash) {
  char text[17];
  for (size_t i = history->len; i-- > 0;) {
    snprintf(text, sizeof text, "%016" PRIx64, history->data[i].hash);
    if (strcmp(text, hash) == 0) return &history->data[i];
  }
  return NULL;
}

static bool read_text(const json_t *from, const char *key, char *out, size_t size) {
  const char *text = json_string_value(json_object_get(from, key));
  if (text == NULL || strlen(text) >= size) return false;
  snprintf(out, size, "%s", text);
  return true;
}

static bool read_number(const json_t *from, const char *key, uint64_t *out) {
  const json_t *value = json_object_get(from, key);
  *out = (uint64_t)json_integer_value(value);
  return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool read_version(const json_t *from, uint64_t number, wn_config_version *out) {
  char hash[17];
  uint64_t time_ms = 0;
  bool good = read_number(from, "number", &out->number) && out->number == number &&
              read_number(from, "time_ms", &time_ms) && read_number(from, "of", &out->of) &&
              read_number(from, "bytes", &out->bytes) &&
              read_text(from, "author", out->author, sizeof out->author) &&
              read_text(from, "kind", out->kind, sizeof out->kind) &&
              read_text(from, "comment", out->comment, sizeof out->comment) &&
              read_text(from, "hash", hash, sizeof hash);
  out->time_ms = (int64_t)time_ms;
  if (good) out->hash = strtoull(hash, NULL, 16);
  return good;
}

static wn_status parse(wn_str text, const char *path, wn_config_history *out, wn_error *err) {
  wn_status status = WN_OK;
  json_t *root = json_loadb(text.ptr, text.len, 0, NULL);
  size_t len = json_array_size(root);
  if (!json_is_array(root))
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "", "%s is no history of configurations", path));
  out->data = wn_calloc(len > 0 ? len : 1, sizeof *out->data);
  if (out->data == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t i = 0; i < len; i++)
    if (!read_version(json_array_get(root, i), i + 1, &out->data[out->len++]))
      WN_TRY(wn_fail(err, WN_E_CORRUPT, "", "%s is damaged at its entry %zu", path, i + 1));
cleanup:
  json_decref(root);
  return status;
}

wn_status wn_config_history_read(const char *dir, wn_config_history *out, wn_error *err) {
  char path[4200];
  wn_buf text = {0};
  *out = (wn_config_history){NULL, 0};
  wn_status status = wn_read_file(list_path(dir, path, sizeof path), HISTORY_BYTES_MAX, &text, err);
  if (status == WN_OK) status = parse((wn_str){text.data, text.len}, path, out, err);
  if (status == WN_E_NOT_FOUND) status = WN_OK;
  if (status != WN_OK) wn_config_history_clear(out);
  wn_buf_clear(&text);
  return status;
}

static void write_text(wn_json *json, const char *key, const char *value) {
  wn_json_key(json, key);
  wn_json_cstring(json, value);
}

static void write_number(wn_json *json, const char *key, uint64_t value) {
  wn_json_key(json, key);
  wn_json_int(json, (int64_t)value);
}

static void write_version(wn_json *json, const wn_config_version *version) {
  char hash[17];
  snprintf(hash, sizeof hash, "%016" PRIx64, version->hash);
  wn_json_object(json);
  write_number(json, "number", version->number);
  write_number(json, "time_ms", (uint64_t)version->time_ms);
  write_text(json, "author", version->author);
  write_text(json, "kind", version->kind);
  write_text(json, "comment", version->comment);
  write_text(json, "hash", hash);
  write_number(json, "of", version->of);
  write_number(json, "bytes", version->bytes);
  wn_json_end_object(json);
}

static wn_status write_list(const char *dir, const wn_config_history *history,
                            const wn_config_version *last, wn_error *err) {
  char path[4200];
  wn_buf text = {0};
  wn_json json;
  wn_json_init(&json, &text);
  wn_json_array(&json);
  for (size_t i = 0; i < history->len; i++) write_version(&json, &history->data[i]);
  write_version(&json, last);
  wn_json_end_array(&json);
  wn_status status = text.failed ? wn_fail_memory(err) : WN_OK;
  if (status == WN_OK)
    status =
        wn_write_file_atomic(list_path(dir, path, sizeof path), (wn_str){text.data, text.len}, err);
  wn_buf_clear(&text);
  return status;
}

wn_status wn_config_history_add(const char *dir, wn_config_version *version, wn_str text,
                                wn_error *err) {
  wn_status status = WN_OK;
  char path[4200];
  wn_config_history history;
  WN_TRY(wn_config_history_read(dir, &history, err));
  version->number = history.len + 1;
  version->bytes = text.len;
  snprintf(path, sizeof path, "%s/config", dir);
  WN_TRY(wn_make_dir(path, err));
  WN_TRY(wn_write_file_atomic(text_path(dir, version->number, path, sizeof path), text, err));
  WN_TRY(write_list(dir, &history, version, err));
cleanup:
  wn_config_history_clear(&history);
  return status;
}

wn_status wn_config_history_text(const char *dir, uint64_t number, wn_buf *out, wn_error *err) {
  char path[4200];
  wn_status status =
      wn_read_file(text_path(dir, number, path, sizeof path), WN_CONFIG_BYTES_MAX, out, err);
  if (status != WN_E_NOT_FOUND) return status;
  return wn_fail(err, WN_E_NOT_FOUND, "number", "there is no version %" PRIu64, number);
}

static wn_status read_noted(const char *path, wn_buf *out, wn_error *err) {
  wn_status status = wn_read_file(path, 4096, out, err);
  return status == WN_E_NOT_FOUND ? WN_OK : status;
}

wn_status wn_config_file_note(const char *dir, const char *file, wn_error *err) {
  wn_status status = WN_OK;
  char path[4096], *whole = realpath(file, NULL);
  wn_buf noted = {0};
  wn_str now = wn_str_of(whole != NULL ? whole : file);
  snprintf(path, sizeof path, "%s/config/file", dir);
  WN_TRY(read_noted(path, &noted, err));
  if (!wn_str_equal((wn_str){noted.data, noted.len}, now))
    WN_TRY(wn_write_file_atomic(path, now, err));
cleanup:
  free(whole);
  wn_buf_clear(&noted);
  return status;
}

wn_status wn_config_file_find(const char *dir, char *out, size_t size, wn_error *err) {
  wn_status status = WN_OK;
  char path[4096];
  wn_buf noted = {0};
  snprintf(path, sizeof path, "%s/config/file", dir);
  WN_TRY(read_noted(path, &noted, err));
  if (noted.len > 0 && noted.len < size)
    snprintf(out, size, "%.*s", (int)noted.len, noted.data);
  else
    snprintf(out, size, "%s/winnow.yaml", dir);
cleanup:
  wn_buf_clear(&noted);
  return status;
}
