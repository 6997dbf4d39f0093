#include "lab/ledger.h"
#include "base/file.h"
#include "base/json_write.h"
#include "base/mem.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEDGER_BYTES_MAX ((size_t)1 << 20)

static const char *path_of(const char *dir, char *buf, size_t size) {
  snprintf(buf, size, "%s/experiments.json", dir);
  return buf;
}

void wn_ledger_clear(wn_ledger *ledger) {
  wn_free(ledger->data);
  *ledger = (wn_ledger){0};
}

static wn_ledger_entry *find(const wn_ledger *ledger, const char *name) {
  for (size_t i = 0; i < ledger->len; i++)
    if (strcmp(ledger->data[i].name, name) == 0) return &ledger->data[i];
  return NULL;
}

const wn_ledger_entry *wn_ledger_find(const wn_ledger *ledger, const char *name) {
  return find(ledger, name);
}

static bool read_entry(const char *name, const json_t *value, wn_ledger_entry *out) {
  const json_t *digest = json_object_get(value, "digest");
  const json_t *traffic = json_object_get(value, "traffic");
  const json_t *started = json_object_get(value, "started_ms");
  const json_t *stopped = json_object_get(value, "stopped_ms");
  if (strlen(name) > WN_NAME_MAX || !json_is_string(digest) || !json_is_number(traffic) ||
      !json_is_integer(started) || !json_is_integer(stopped))
    return false;
  *out = (wn_ledger_entry){.digest = strtoull(json_string_value(digest), NULL, 16),
                           .traffic = json_number_value(traffic),
                           .started_ms = json_integer_value(started),
                           .stopped_ms = json_integer_value(stopped)};
  snprintf(out->name, sizeof out->name, "%s", name);
  return true;
}

static wn_status parse(wn_str text, const char *path, wn_ledger *out, wn_error *err) {
  wn_status status = WN_OK;
  const char *name;
  json_t *value;
  json_t *root = json_loadb(text.ptr, text.len, 0, NULL);
  size_t len = json_object_size(root);
  if (!json_is_object(root))
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "", "%s is no ledger of experiments", path));
  out->data = wn_calloc(len > 0 ? len : 1, sizeof *out->data);
  if (out->data == NULL) WN_TRY(wn_fail_memory(err));
  json_object_foreach(root, name, value) {
    if (!read_entry(name, value, &out->data[out->len++]))
      WN_TRY(wn_fail(err, WN_E_CORRUPT, name, "%s is damaged", path));
  }
cleanup:
  json_decref(root);
  return status;
}

wn_status wn_ledger_read(const char *dir, wn_ledger *out, wn_error *err) {
  char path[4200];
  wn_buf text = {0};
  *out = (wn_ledger){0};
  wn_status status = wn_read_file(path_of(dir, path, sizeof path), LEDGER_BYTES_MAX, &text, err);
  if (status == WN_OK) status = parse((wn_str){text.data, text.len}, path, out, err);
  if (status == WN_E_NOT_FOUND) status = WN_OK;
  if (status != WN_OK) wn_ledger_clear(out);
  wn_buf_clear(&text);
  return status;
}

static void write_entry(wn_json *json, const wn_ledger_entry *entry) {
  char digest[17];
  snprintf(digest, sizeof digest, "%016" PRIx64, entry->digest);
  wn_json_key(json, entry->name);
  wn_json_object(json);
  wn_json_key(json, "digest");
  wn_json_cstring(json, digest);
  wn_json_key(json, "traffic");
  wn_json_double(json, entry->traffic);
  wn_json_key(json, "started_ms");
  wn_json_int(json, entry->started_ms);
  wn_json_key(json, "stopped_ms");
  wn_json_int(json, entry->stopped_ms);
  wn_json_end_object(json);
}

static wn_status write_ledger(const char *dir, const wn_ledger *ledger, wn_error *err) {
  char path[4200];
  wn_buf text = {0};
  wn_json json;
  wn_json_init(&json, &text);
  wn_json_object(&json);
  for (size_t i = 0; i < ledger->len; i++) write_entry(&json, &ledger->data[i]);
  wn_json_end_object(&json);
  wn_status status = text.failed ? wn_fail_memory(err) : WN_OK;
  if (status == WN_OK)
    status =
        wn_write_file_atomic(path_of(dir, path, sizeof path), (wn_str){text.data, text.len}, err);
  wn_buf_clear(&text);
  return status;
}

/* What an experiment that runs may not become. */
static wn_status check(const wn_experiment *e, const wn_ledger_entry *entry, wn_error *err) {
  char field[160];
  if (entry == NULL || entry->stopped_ms != 0 || e->stopped) return WN_OK;
  snprintf(field, sizeof field, "experiments.%s", e->name);
  if (entry->digest != e->digest)
    return wn_fail(err, WN_E_CONFIG, field,
                   "was changed while it runs, which would mix two experiments: stop it first "
                   "(state: stopped), or give the new one another name");
  if (entry->traffic > e->traffic)
    return wn_fail(err, WN_E_CONFIG, field,
                   "its traffic was %g and would be %g: units would leave it under way; stop it "
                   "instead",
                   entry->traffic, e->traffic);
  return WN_OK;
}

static wn_status check_all(const wn_experiments *all, const wn_ledger *ledger, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t i = 0; i < all->len && status == WN_OK; i++)
    status = check(&all->data[i], find(ledger, all->data[i].name), err);
  return status;
}

wn_status wn_ledger_check(const char *dir, const wn_experiments *all, wn_error *err) {
  wn_ledger ledger = {0};
  wn_status status = wn_ledger_read(dir, &ledger, err);
  if (status == WN_OK) status = check_all(all, &ledger, err);
  wn_ledger_clear(&ledger);
  return status;
}

static void enter(const wn_experiment *e, int64_t now_ms, wn_ledger *ledger) {
  wn_ledger_entry *entry = find(ledger, e->name);
  if (entry == NULL && e->stopped) return; /* never ran */
  bool begins = entry == NULL || (entry->stopped_ms != 0 && !e->stopped);
  if (entry == NULL) entry = &ledger->data[ledger->len++];
  if (begins) {
    *entry = (wn_ledger_entry){.digest = e->digest, .started_ms = now_ms};
    snprintf(entry->name, sizeof entry->name, "%s", e->name);
  }
  entry->traffic = e->traffic;
  if (e->stopped && entry->stopped_ms == 0) entry->stopped_ms = now_ms;
}

wn_status wn_ledger_update(const char *dir, const wn_experiments *all, int64_t now_ms,
                           wn_error *err) {
  wn_status status = WN_OK;
  wn_ledger ledger = {0};
  WN_TRY(wn_ledger_read(dir, &ledger, err));
  if (all->len == 0 && ledger.len == 0) goto cleanup;
  wn_ledger_entry *data = wn_reallocarray(ledger.data, ledger.len + all->len, sizeof *ledger.data);
  if (data == NULL) WN_TRY(wn_fail_memory(err));
  ledger.data = data;
  WN_TRY(check_all(all, &ledger, err));
  for (size_t i = 0; i < ledger.len; i++)
    if (wn_experiments_find(all, wn_str_of(ledger.data[i].name)) == NULL &&
        ledger.data[i].stopped_ms == 0)
      ledger.data[i].stopped_ms = now_ms;
  for (size_t i = 0; i < all->len; i++) enter(&all->data[i], now_ms, &ledger);
  WN_TRY(write_ledger(dir, &ledger, err));
cleanup:
  wn_ledger_clear(&ledger);
  return status;
}
