/* Runs: what was trained and measured in the data directory (lab/runs.h), read only: they are
 * written by the commands that make them. And the end of the audit log. */
#include "serve/server_internal.h"

#include "base/file.h"
#include "lab/runs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_DEFAULT 50
#define RUNS_MAX     1000

static wn_status dump(const json_t *value, wn_buf *out, wn_error *err) {
  char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
  if (text == NULL) return wn_fail_memory(err);
  wn_buf_str(out, text);
  free(text);
  return out->failed ? wn_fail_memory(err) : WN_OK;
}

/* Whether its report is kept beside it. */
static bool has_page(const json_t *run) {
  size_t i;
  json_t *artifact;
  json_array_foreach(json_object_get(run, "artifacts"), i, artifact) {
    const char *path = json_string_value(json_object_get(artifact, "path"));
    wn_str id = wn_str_of(json_string_value(json_object_get(run, "id")));
    if (path != NULL && strncmp(path, "runs/", 5) == 0 && strncmp(path + 5, id.ptr, id.len) == 0)
      return true;
  }
  return false;
}

/* Without what is long: the configuration's text, the result, its numbers. */
static wn_status put_row(json_t *list, const json_t *run, wn_error *err) {
  static const char *const keys[] = {"id",         "kind",   "started_ms", "seconds", "cpu_seconds",
                                     "peak_bytes", "passed", "version",    "params",  "config_hash",
                                     "hashes",     "seed",   "tags"};
  json_t *row = json_object();
  bool good = row != NULL && json_array_append_new(list, row) == 0;
  for (size_t i = 0; good && i < sizeof keys / sizeof *keys; i++) {
    json_t *value = json_object_get(run, keys[i]);
    good = json_object_set_new(row, keys[i], value != NULL ? json_incref(value) : json_null()) == 0;
  }
  good = good && json_object_set_new(row, "report", json_boolean(has_page(run))) == 0;
  return good ? WN_OK : wn_fail_memory(err);
}

static wn_status write_list(wn_http *http, const json_t *runs, wn_str kind, int64_t limit,
                            wn_error *err) {
  wn_status status = WN_OK;
  size_t i;
  json_t *run, *out = json_object(), *list = json_array();
  int64_t total = 0;
  if (list == NULL || json_object_set_new(out, "runs", list) != 0) WN_TRY(wn_fail_memory(err));
  json_array_foreach(runs, i, run) {
    const char *its = json_string_value(json_object_get(run, "kind"));
    if (kind.len > 0 && (its == NULL || !wn_str_is(kind, its))) continue;
    if (++total <= limit) WN_TRY(put_row(list, run, err));
  }
  if (json_object_set_new(out, "total", json_integer(total)) != 0) WN_TRY(wn_fail_memory(err));
  WN_TRY(dump(out, &http->out, err));
cleanup:
  json_decref(out);
  return status;
}

static wn_status read_limit(const wn_http *http, int64_t *limit, wn_error *err) {
  wn_str n = wn_query_get(&http->query, "n");
  if (n.ptr == NULL || (wn_parse_int64(n, limit) && *limit >= 1 && *limit <= RUNS_MAX))
    return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, "n", "must be 1 to %d", RUNS_MAX);
}

wn_status wn_route_runs(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"kind", "n", NULL};
  wn_status status = WN_OK;
  json_t *runs = NULL;
  size_t unreadable = 0;
  int64_t limit = RUNS_DEFAULT;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(read_limit(http, &limit, err));
  WN_TRY(wn_runs_load(wn_engine_dir(http->engine), &runs, &unreadable, err));
  WN_TRY(write_list(http, runs, wn_query_get(&http->query, "kind"), limit, err));
cleanup:
  json_decref(runs);
  return status;
}

wn_status wn_route_run(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  json_t *runs = NULL, *run = NULL;
  size_t unreadable = 0;
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  const char *id = wn_arena_strdup(&http->arena, http->id);
  if (id == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_runs_load(wn_engine_dir(http->engine), &runs, &unreadable, err));
  WN_TRY(wn_run_find(runs, id, &run, err));
  WN_TRY(dump(run, &http->out, err));
cleanup:
  json_decref(runs);
  return status;
}

/* A page without scripts that any process may have written into the data directory: it gets an
 * origin of its own (sandbox), may fetch nothing, and is framed by the console alone. */
#define REPORT_CSP                                                                                 \
  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; "       \
  "form-action 'none'; sandbox"

wn_status wn_route_run_report(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  json_t *runs = NULL, *run = NULL;
  size_t unreadable = 0;
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  const char *id = wn_arena_strdup(&http->arena, http->id);
  if (id == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_runs_load(wn_engine_dir(http->engine), &runs, &unreadable, err));
  WN_TRY(wn_run_find(runs, id, &run, err));
  WN_TRY(wn_run_page(wn_engine_dir(http->engine), run, &http->out, err));
  http->content_type = "text/html; charset=utf-8";
  http->csp = REPORT_CSP;
cleanup:
  json_decref(runs);
  return status;
}

/* ---- the audit log ---- */

#define AUDIT_BYTES ((size_t)1 << 18) /* of the end that are looked at */

/* The end of the file, from the beginning of a line; nothing where there is none yet. */
static wn_status read_tail(const char *dir, wn_buf *out, wn_error *err) {
  char path[4200];
  wn_mapping map;
  snprintf(path, sizeof path, "%s/audit.log", dir);
  wn_status status = wn_map_file(path, &map, err);
  if (status != WN_OK) return status == WN_E_NOT_FOUND ? WN_OK : status;
  size_t from = map.size > AUDIT_BYTES ? map.size - AUDIT_BYTES : 0;
  while (from > 0 && from < map.size && map.data[from - 1] != '\n') from++;
  if (map.size > from) wn_buf_append(out, map.data + from, map.size - from);
  wn_unmap_file(&map);
  return out->failed ? wn_fail_memory(err) : WN_OK;
}

/* Lines from the last to the first. What is no JSON (cut by a full disk) is left out. */
static wn_status collect_lines(const wn_buf *text, int64_t limit, json_t *list, wn_error *err) {
  size_t end = text->len;
  while (end > 0 && (int64_t)json_array_size(list) < limit) {
    size_t from = end - 1;
    while (from > 0 && text->data[from - 1] != '\n') from--;
    json_t *line = json_loadb(text->data + from, end - from, 0, NULL);
    if (json_is_object(line) && json_array_append(list, line) != 0) {
      json_decref(line);
      return wn_fail_memory(err);
    }
    json_decref(line);
    end = from;
  }
  return WN_OK;
}

wn_status wn_route_audit(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"n", NULL};
  wn_status status = WN_OK;
  wn_buf text = {0};
  int64_t limit = RUNS_DEFAULT;
  json_t *out = json_object(), *list = json_array();
  if (list == NULL || json_object_set_new(out, "entries", list) != 0) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(read_limit(http, &limit, err));
  WN_TRY(read_tail(wn_engine_dir(http->engine), &text, err));
  WN_TRY(collect_lines(&text, limit, list, err));
  WN_TRY(dump(out, &http->out, err));
cleanup:
  json_decref(out);
  wn_buf_clear(&text);
  return status;
}
