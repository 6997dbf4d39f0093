/* Snapshots: what there is, and which one is served. */
#include "serve/answer_json.h"
#include "serve/server_internal.h"

#include "base/mem.h"
#include "model/snapshot.h"
#include <inttypes.h>
#include <stdio.h>

static void put_int(wn_json *json, const char *key, uint64_t value) {
  wn_json_key(json, key);
  wn_json_int(json, (int64_t)value);
}

static void put_entry(wn_json *json, const wn_snapshot_entry *entry,
                      const wn_config_history *history) {
  const wn_snapshot_about *about = &entry->about;
  wn_json_object(json);
  put_int(json, "number", entry->number);
  wn_json_key(json, "current");
  wn_json_bool(json, entry->current);
  wn_json_key(json, "good");
  wn_json_bool(json, entry->readable);
  wn_json_key(json, "reason");
  wn_json_string(json, entry->readable ? (wn_str){NULL, 0} : wn_str_of(entry->reason));
  put_int(json, "bytes", entry->bytes);
  put_int(json, "created_ms", (uint64_t)about->created_ms);
  put_int(json, "users", about->users);
  put_int(json, "items", about->items);
  put_int(json, "interactions", about->nnz);
  wn_json_key(json, "train_seconds");
  wn_json_double(json, about->train_seconds);
  const wn_config_version *config = wn_config_history_of(history, about->config);
  wn_json_key(json, "config");
  if (config != NULL)
    wn_json_int(json, (int64_t)config->number);
  else
    wn_json_null(json);
  wn_json_key(json, "models");
  wn_json_cstring(json, about->models);
  wn_json_end_object(json);
}

/* Synchronous, on the thread of slow requests. */
wn_status wn_route_archive(wn_http *http, wn_error *err) {
  static const char *const known[] = {"days", NULL};
  wn_archive_report r;
  int64_t days = 0;
  wn_json json;
  wn_status status;
  WN_TRY(wn_query_check(&http->query, known, NULL, err));
  WN_TRY(wn_query_int(&http->query, "days", 1, 36500, &days, err));
  WN_TRY(wn_retention_run(http->server->retention, (double)days, &r, err));
  const struct {
    const char *key;
    uint64_t value;
  } rows[] = {
      {"events", r.events}, {"segments", r.segments}, {"bytes", r.bytes}, {"erased", r.erased}};
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
    put_int(&json, rows[i].key, rows[i].value);
  wn_json_end_object(&json);
cleanup:
  return status;
}

wn_status wn_route_digest(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_engine_digest digest;
  wn_status status;
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  WN_TRY(wn_engine_digest_get(http->engine, &digest, err));
  wn_engine_digest_to_json(&digest, &http->out);
cleanup:
  return status;
}

static const char *store_dir(wn_http *http) {
  return wn_arena_strdup(&http->arena, wn_store_dir(wn_engine_store(http->engine)));
}

wn_status wn_route_snapshots(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"verify", NULL};
  wn_status status = WN_OK;
  wn_snapshot_entry *entries = NULL;
  wn_config_history history = {NULL, 0};
  size_t count = 0;
  bool verify = false;
  wn_json json;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(wn_query_bool(&http->query, "verify", &verify, err));
  const char *dir = store_dir(http);
  if (dir == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_snapshot_list(dir, verify, &entries, &count, err));
  WN_TRY(wn_config_history_read(dir, &history, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "verified");
  wn_json_bool(&json, verify);
  wn_json_key(&json, "snapshots");
  wn_json_array(&json);
  for (size_t i = 0; i < count; i++) put_entry(&json, &entries[i], &history);
  wn_json_end_array(&json);
  wn_json_end_object(&json);
cleanup:
  wn_config_history_clear(&history);
  wn_free(entries);
  return status;
}

/* The configuration that the snapshot was trained by serves again, as a new version. `must`: it is
 * an error that the history does not know it. */
static wn_status restore_config(wn_http *http, const char *dir, uint64_t number, bool must,
                                wn_error *err) {
  wn_status status = WN_OK;
  char path[4096], comment[64];
  wn_snapshot *snapshot = NULL;
  wn_config_history history = {NULL, 0};
  wn_live_state now = {.policy = NULL};
  wn_live_result result;
  wn_buf text = {0};
  WN_TRY(wn_snapshot_open(wn_snapshot_path(dir, number, path, sizeof path), &snapshot, err));
  WN_TRY(wn_config_history_read(dir, &history, err));
  const wn_config_version *version =
      wn_config_history_of(&history, wn_snapshot_about_of(snapshot)->config);
  if (version == NULL && !must) goto cleanup;
  if (version == NULL)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "config",
                   "the configuration that snapshot %" PRIu64
                   " was trained by is not in the history",
                   number));
  WN_TRY(wn_config_history_text(dir, version->number, &text, err));
  WN_TRY(wn_live_get(http->server->live, &now, err));
  snprintf(comment, sizeof comment, "with snapshot %" PRIu64, number);
  const wn_live_edit edit = {.text = {text.data, text.len},
                             .based_on = now.version.number,
                             .author = wn_http_actor(http),
                             .comment = comment,
                             .revert_of = version->number};
  WN_TRY(wn_live_put(http->server->live, &edit, &result, err));
cleanup:
  wn_snapshot_unref(snapshot);
  wn_config_history_clear(&history);
  wn_live_state_clear(&now);
  wn_buf_clear(&text);
  return status;
}

/* Names it in CURRENT, once every checksum is right; then the server looks, as by itself. */
wn_status wn_route_snapshot_serve(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"config", NULL};
  wn_status status = WN_OK;
  int64_t number = 0;
  bool config = false;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(wn_query_bool(&http->query, "config", &config, err));
  if (!wn_parse_int64(http->id, &number) || number < 1)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "number", "must be a snapshot's number"));
  const char *dir = store_dir(http);
  if (dir == NULL) WN_TRY(wn_fail_memory(err));
  bool asked = wn_query_get(&http->query, "config").ptr != NULL;
  if (config || !asked) WN_TRY(restore_config(http, dir, (uint64_t)number, asked, err));
  WN_TRY(wn_snapshot_set_current(dir, (uint64_t)number, err));
  http->refresh = true;
cleanup:
  return status;
}
