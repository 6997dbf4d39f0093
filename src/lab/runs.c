/* Runs as files. The id is the start's date and time, to the millisecond, with four hex digits of
 * chance, so that names sort by time. Metrics are taken out of the result by a walk over its known
 * shapes, so that lists, differences and exports need not know the commands. */
#include "lab/runs.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/map64.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_BYTES_MAX ((size_t)64 << 20)
#define RUNS_MAX      1000 /* beyond, the oldest trainings that nobody tagged go */
#define TAG_BYTES_MAX 250
#define NAME_ROOM     256

/* --- writing --- */

/* Options as parameters: `--set als.factors=8` becomes "set": "als.factors=8"; given again, with a
 * comma; flags are "true"; what is no option, "arguments". */
static bool put_param(json_t *params, const char *key, const char *value) {
  const char *before = json_string_value(json_object_get(params, key));
  if (before == NULL) return json_object_set_new(params, key, json_string(value)) == 0;
  size_t room = strlen(before) + strlen(value) + 2;
  char *both = wn_malloc(room);
  if (both == NULL) return false;
  snprintf(both, room, "%s,%s", before, value);
  bool done = json_object_set_new(params, key, json_string(both)) == 0;
  wn_free(both);
  return done;
}

static json_t *params_of(const wn_run_note *note) {
  json_t *params = json_object();
  bool done = params != NULL;
  for (size_t i = 0; done && i < note->arguments_len; i++) {
    const char *argument = note->arguments[i], *equals = strchr(argument, '=');
    char name[NAME_ROOM];
    if (strncmp(argument, "--", 2) != 0) {
      done = put_param(params, "arguments", argument);
      continue;
    }
    size_t len = equals != NULL ? (size_t)(equals - argument) - 2 : strlen(argument + 2);
    snprintf(name, sizeof name, "%.*s", (int)len, argument + 2);
    if (strcmp(name, "json") == 0 || strcmp(name, "data") == 0) {
      i += strcmp(name, "data") == 0 && equals == NULL;
      continue;
    }
    bool valued = equals == NULL && i + 1 < note->arguments_len &&
                  strncmp(note->arguments[i + 1], "--", 2) != 0;
    done = put_param(params, name,
                     equals != NULL ? equals + 1
                     : valued       ? note->arguments[i + 1]
                                    : "true");
    i += valued;
  }
  return params;
}

static void put_metric(json_t *metrics, const char *prefix, const char *name, const json_t *value) {
  char key[NAME_ROOM];
  if (json_is_object(value)) value = json_object_get(value, "mean");
  if (!json_is_number(value)) return;
  snprintf(key, sizeof key, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", name);
  (void)json_object_set_new(metrics, key, json_real(json_number_value(value)));
}

/* evaluate: rows → at → metric@k */
static void metrics_of_rows(const json_t *rows, json_t *metrics) {
  size_t r, c;
  json_t *row, *at, *value;
  const char *key;
  json_array_foreach(rows, r, row) {
    const char *model = json_string_value(json_object_get(row, "model"));
    json_array_foreach(json_object_get(row, "at"), c, at) {
      json_int_t k = json_integer_value(json_object_get(at, "k"));
      json_object_foreach(at, key, value) {
        char name[NAME_ROOM];
        snprintf(name, sizeof name, "%.180s@%lld", key, (long long)k);
        if (strcmp(key, "k") != 0) put_metric(metrics, model != NULL ? model : "", name, value);
      }
    }
    put_metric(metrics, model != NULL ? model : "", "fit_seconds",
               json_object_get(row, "fit_seconds"));
  }
}

static void metrics_of_ope(const json_t *ope, json_t *metrics) {
  static const char *const parts[][2] = {{"logged", "item"},
                                         {"estimates", "item"},
                                         {"slate_logged", "slate"},
                                         {"slate_estimates", "slate"}};
  size_t i;
  json_t *line;
  for (size_t p = 0; p < 4; p++) json_array_foreach(json_object_get(ope, parts[p][0]), i, line) {
      const char *name = json_string_value(json_object_get(line, "estimator"));
      if (name != NULL) put_metric(metrics, parts[p][1], name, json_object_get(line, "value"));
    }
  put_metric(metrics, "guard", "effective_sample",
             json_object_get(json_object_get(ope, "guard"), "effective_sample"));
  put_metric(metrics, "guard", "mean_weight",
             json_object_get(json_object_get(ope, "guard"), "mean_weight"));
}

static void metrics_of_checks(const json_t *checks, json_t *metrics) {
  size_t i;
  json_t *check;
  json_array_foreach(checks, i, check) {
    const char *name = json_string_value(json_object_get(check, "name"));
    if (name != NULL) put_metric(metrics, "check", name, json_object_get(check, "value"));
  }
}

static json_t *metrics_of(const json_t *result) {
  json_t *metrics = json_object(), *value, *first;
  const char *key;
  if (metrics == NULL) return NULL;
  json_object_foreach((json_t *)(uintptr_t)result, key, value) put_metric(metrics, "", key, value);
  const json_t *rows = json_object_get(result, "rows");
  first = json_array_get(json_object_get(json_array_get(rows, 0), "metric"), 0); /* of tune */
  if (first != NULL)
    put_metric(metrics, "best", "metric", first);
  else
    metrics_of_rows(rows, metrics);
  metrics_of_ope(json_object_get(result, "ope"), metrics);
  metrics_of_checks(json_object_get(result, "checks"), metrics);
  return metrics;
}

static json_t *hashes_of(const json_t *result) {
  static const char *const keys[] = {"dataset_hash", "fitted_hash", "split_hash", "population_hash",
                                     "data"};
  json_t *hashes = json_object();
  for (size_t i = 0; hashes != NULL && i < sizeof keys / sizeof *keys; i++) {
    const json_t *value = json_object_get(result, keys[i]);
    if (json_is_string(value))
      (void)json_object_set_new(hashes, keys[i], json_copy((json_t *)(uintptr_t)value));
  }
  return hashes;
}

static wn_status make_id(int64_t started_ms, char id[WN_RUN_ID_ROOM], wn_error *err) {
  char time[40];
  uint16_t chance;
  if (getrandom(&chance, sizeof chance, 0) != (ssize_t)sizeof chance)
    return wn_fail_errno(err, "", "no random numbers");
  wn_time_format(started_ms, time, sizeof time); /* 2026-11-22T10:20:30.123Z */
  snprintf(id, WN_RUN_ID_ROOM, "%.4s%.2s%.2s-%.2s%.2s%.2s%.3s-%04x", time, time + 5, time + 8,
           time + 11, time + 14, time + 17, time + 20, chance);
  return WN_OK;
}

/* DIR/runs/IDENDING; without an id the folder. */
static char *file_of(const char *dir, const char *id, const char *ending) {
  size_t room = strlen(dir) + strlen(id) + strlen(ending) + sizeof "/runs/";
  char *path = wn_malloc(room);
  if (path != NULL)
    snprintf(path, room, "%s/runs%s%s%s", dir, id[0] != '\0' ? "/" : "", id, ending);
  return path;
}

static char *path_of(const char *dir, const char *id) {
  return file_of(dir, id, id[0] != '\0' ? ".json" : "");
}

static wn_status write_run(const char *dir, const json_t *run, wn_error *err) {
  const char *id = json_string_value(json_object_get(run, "id"));
  char *folder = path_of(dir, ""), *path = path_of(dir, id);
  char *text = json_dumps(run, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
  wn_status status = WN_OK;
  if (folder == NULL || path == NULL || text == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_make_dir(folder, err));
  WN_TRY(wn_write_file_atomic(path, wn_str_of(text), err));
cleanup:
  wn_free(folder);
  wn_free(path);
  free(text);
  return status;
}

/* Takes over `value`. */
static bool put(json_t *run, const char *key, json_t *value) {
  return json_object_set_new(run, key, value) == 0;
}

static bool add_artifact(json_t *artifacts, const char *dir, const char *path) {
  char whole[8192];
  struct stat st;
  bool inside = strncmp(path, "snapshots/", 10) == 0;
  snprintf(whole, sizeof whole, "%s%s%s", inside ? dir : "", inside ? "/" : "", path);
  json_t *one = json_object();
  bool done = put(one, "path", json_string(path)) &&
              put(one, "bytes", stat(whole, &st) == 0 ? json_integer(st.st_size) : json_null());
  return json_array_append_new(artifacts, one) == 0 && done;
}

/* The files that the run has written: what its options name, and a training's snapshot (in the data
 * directory). */
static json_t *artifacts_of(const char *dir, const wn_run_note *note, const char *id,
                            const json_t *params, const json_t *result) {
  static const char *const options[] = {"report", "per-user", "out"};
  json_t *artifacts = json_array();
  bool done = artifacts != NULL;
  for (size_t i = 0; done && i < sizeof options / sizeof options[0]; i++) {
    const char *path = json_string_value(json_object_get(params, options[i]));
    if (path != NULL) done = add_artifact(artifacts, dir, path);
  }
  json_int_t snapshot = json_integer_value(json_object_get(result, "snapshot"));
  if (done && strcmp(note->kind, "train") == 0 && snapshot > 0) {
    char path[64];
    snprintf(path, sizeof path, "snapshots/%06lld.wns", (long long)snapshot);
    done = add_artifact(artifacts, dir, path);
  }
  if (done && note->page.len > 0) {
    char path[WN_RUN_ID_ROOM + 16];
    snprintf(path, sizeof path, "runs/%s.html", id);
    json_t *page = json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)note->page.len);
    done = json_array_append_new(artifacts, page) == 0;
  }
  if (done) return artifacts;
  json_decref(artifacts);
  return NULL;
}

static json_t *run_of(const char *dir, const wn_run_note *note, const char *id, json_t *result) {
  char config[20] = "";
  json_t *run = json_object();
  if (note->config.ptr != NULL)
    snprintf(config, sizeof config, "%016llx",
             (unsigned long long)wn_hash64(note->config.ptr, note->config.len, 0));
  json_t *seed = json_object_get(result, "seed");
  bool done =
      run != NULL && put(run, "id", json_string(id)) && put(run, "kind", json_string(note->kind)) &&
      put(run, "started_ms", json_integer(note->started_ms)) &&
      put(run, "seconds", json_real(note->seconds)) &&
      put(run, "cpu_seconds", json_real(note->cpu_seconds)) &&
      put(run, "peak_bytes", json_integer((json_int_t)note->peak_bytes)) &&
      put(run, "passed", json_boolean(note->passed)) &&
      put(run, "version", json_string(WINNOW_VERSION)) && put(run, "params", params_of(note)) &&
      put(run, "config_hash", json_string(config)) &&
      put(run, "config",
          note->config.ptr != NULL ? json_stringn(note->config.ptr, note->config.len)
                                   : json_null()) &&
      put(run, "metrics", metrics_of(result)) && put(run, "hashes", hashes_of(result)) &&
      put(run, "artifacts", artifacts_of(dir, note, id, json_object_get(run, "params"), result)) &&
      put(run, "seed", seed != NULL ? json_copy(seed) : json_null()) &&
      put(run, "tags", json_object()) && json_object_set(run, "result", result) == 0;
  if (done) return run;
  json_decref(run);
  return NULL;
}

/* --- reading --- */

static bool is_run(const json_t *run) {
  return json_is_string(json_object_get(run, "id")) &&
         json_is_string(json_object_get(run, "kind")) &&
         json_is_object(json_object_get(run, "params")) &&
         json_is_object(json_object_get(run, "metrics"));
}

static int newest_first(const struct dirent **a, const struct dirent **b) {
  return strcmp((*b)->d_name, (*a)->d_name);
}

static int names_a_run(const struct dirent *entry) {
  size_t len = strlen(entry->d_name);
  return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

static wn_status load_one(const char *dir, const char *name, json_t **out, wn_error *err) {
  char id[NAME_ROOM];
  wn_buf text = {0};
  snprintf(id, sizeof id, "%.*s", (int)(strlen(name) - 5), name);
  char *path = path_of(dir, id);
  *out = NULL;
  if (path == NULL) return wn_fail_memory(err);
  wn_status status = wn_read_file(path, RUN_BYTES_MAX, &text, err);
  if (status == WN_OK) *out = json_loadb(text.data != NULL ? text.data : "", text.len, 0, NULL);
  if (*out != NULL && !is_run(*out)) {
    json_decref(*out);
    *out = NULL;
  }
  wn_free(path);
  wn_buf_clear(&text);
  return status == WN_E_MEMORY ? status : WN_OK;
}

/* A server that trains every hour would else leave notes without end. What cannot be read or
 * removed stays. */
static void prune(const char *dir) {
  struct dirent **names = NULL;
  wn_error ignored;
  char *folder = path_of(dir, "");
  int n = folder != NULL ? scandir(folder, &names, names_a_run, newest_first) : 0, kept = n;
  for (int i = n; i-- > 0;) {
    json_t *run = NULL;
    if (kept > RUNS_MAX && load_one(dir, names[i]->d_name, &run, &ignored) == WN_OK &&
        run != NULL && strcmp(json_string_value(json_object_get(run, "kind")), "train") == 0 &&
        json_object_size(json_object_get(run, "tags")) == 0) {
      char *path = path_of(dir, json_string_value(json_object_get(run, "id")));
      if (path != NULL && unlink(path) == 0) kept--;
      wn_free(path);
    }
    json_decref(run);
    free(names[i]);
  }
  free(names);
  wn_free(folder);
}

static wn_status write_page(const char *dir, const char *id, wn_str page, wn_error *err) {
  wn_status status = WN_OK;
  if (page.len == 0) return WN_OK;
  char *folder = path_of(dir, ""), *path = file_of(dir, id, ".html");
  if (folder == NULL || path == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_make_dir(folder, err));
  WN_TRY(wn_write_file_atomic(path, page, err));
cleanup:
  wn_free(folder);
  wn_free(path);
  return status;
}

wn_status wn_run_write(const char *dir, const wn_run_note *note, char id[WN_RUN_ID_ROOM],
                       wn_error *err) {
  json_error_t why;
  json_t *run = NULL;
  json_t *result = json_loadb(note->result.ptr, note->result.len, 0, &why);
  wn_status status;
  if (result == NULL)
    WN_TRY(wn_fail(err, WN_E_INTERNAL, "result", "is no JSON object: %s", why.text));
  WN_TRY(make_id(note->started_ms, id, err));
  run = run_of(dir, note, id, result);
  if (run == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(write_page(dir, id, note->page, err)); /* first, so that what the run names is there */
  WN_TRY(write_run(dir, run, err));
  prune(dir);
cleanup:
  json_decref(result);
  json_decref(run);
  return status;
}

wn_status wn_runs_load(const char *dir, json_t **runs, size_t *unreadable, wn_error *err) {
  struct dirent **names = NULL;
  wn_status status = WN_OK;
  char *folder = path_of(dir, "");
  *unreadable = 0;
  *runs = json_array();
  if (folder == NULL || *runs == NULL) WN_TRY(wn_fail_memory(err));
  int n = scandir(folder, &names, names_a_run, newest_first);
  if (n < 0 && errno != ENOENT) WN_TRY(wn_fail_errno(err, "", "cannot read %s", folder));
  for (int i = 0; i < n; i++) {
    json_t *run = NULL;
    if (status == WN_OK) status = load_one(dir, names[i]->d_name, &run, err);
    *unreadable += run == NULL;
    if (run != NULL && json_array_append_new(*runs, run) != 0) status = wn_fail_memory(err);
    free(names[i]);
  }
  free(names);
cleanup:
  wn_free(folder);
  if (status != WN_OK) {
    json_decref(*runs);
    *runs = NULL;
  }
  return status;
}

wn_status wn_run_find(const json_t *runs, const char *id, json_t **run, wn_error *err) {
  size_t i, len = strlen(id);
  json_t *each;
  int64_t back = 0;
  *run = NULL;
  if (strncmp(id, "last", 4) == 0 &&
      (id[4] == '\0' || (id[4] == '~' && wn_parse_int64(wn_str_of(id + 5), &back)))) {
    if (back >= 0) *run = json_array_get(runs, (size_t)back);
    if (*run != NULL) return WN_OK;
    return wn_fail(err, WN_E_NOT_FOUND, "id", "there are only %zu runs", json_array_size(runs));
  }
  json_array_foreach(runs, i, each) {
    if (strncmp(json_string_value(json_object_get(each, "id")), id, len) != 0) continue;
    if (*run != NULL) return wn_fail(err, WN_E_ARGUMENT, "id", "several runs begin with `%s`", id);
    *run = each;
  }
  return *run != NULL ? WN_OK : wn_fail(err, WN_E_NOT_FOUND, "id", "there is no run `%s`", id);
}

/* The id is the file's own word: it must not lead out of the folder. */
wn_status wn_run_page(const char *dir, const json_t *run, wn_buf *out, wn_error *err) {
  const char *id = json_string_value(json_object_get(run, "id"));
  if (id[0] == '\0' || strspn(id, "0123456789abcdef-") != strlen(id))
    return wn_fail(err, WN_E_NOT_FOUND, "id", "this run keeps no report");
  char *path = file_of(dir, id, ".html");
  if (path == NULL) return wn_fail_memory(err);
  wn_status status = wn_read_file(path, RUN_BYTES_MAX, out, err);
  wn_free(path);
  return status == WN_E_NOT_FOUND
             ? wn_fail(err, WN_E_NOT_FOUND, "id", "the run %s keeps no report: evaluations do", id)
             : status;
}

wn_status wn_run_tag(const char *dir, json_t *run, const char *key, const char *value,
                     wn_error *err) {
  json_t *tags = json_object_get(run, "tags");
  if (key[0] == '\0' || strlen(key) > TAG_BYTES_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "tag", "takes KEY=VALUE, KEY of 1 to %d bytes",
                   TAG_BYTES_MAX);
  if (!json_is_object(tags)) {
    tags = json_object();
    if (tags == NULL || json_object_set_new(run, "tags", tags) != 0) return wn_fail_memory(err);
  }
  if (value == NULL)
    (void)json_object_del(tags, key);
  else if (json_object_set_new(tags, key, json_string(value)) != 0)
    return wn_fail(err, WN_E_ARGUMENT, "tag", "must be UTF-8");
  return write_run(dir, run, err);
}

/* --- CSV --- */

static void csv_cell(wn_buf *out, const char *text) {
  bool quoted = strpbrk(text, ",\"\r\n") != NULL;
  if (quoted) wn_buf_char(out, '"');
  for (; *text != '\0'; text++) {
    if (*text == '"') wn_buf_char(out, '"');
    wn_buf_char(out, *text);
  }
  if (quoted) wn_buf_char(out, '"');
}

static void csv_value(wn_buf *out, const json_t *value) {
  if (json_is_string(value)) csv_cell(out, json_string_value(value));
  if (json_is_integer(value)) wn_buf_printf(out, "%lld", (long long)json_integer_value(value));
  if (json_is_real(value)) wn_buf_printf(out, "%.12g", json_real_value(value));
  if (json_is_boolean(value)) wn_buf_str(out, json_is_true(value) ? "true" : "false");
}

static const char *const plain[] = {"id",         "kind",   "started_ms", "seconds", "cpu_seconds",
                                    "peak_bytes", "passed", "version",    "seed",    "config_hash"};
static const char *const nested[] = {"hashes", "params", "metrics", "tags"};

/* Every key that some run has under `part`, in order of appearance. */
static json_t *keys_of(const json_t *runs, const char *part) {
  json_t *keys = json_object(), *run, *value;
  const char *key;
  size_t i;
  json_array_foreach(runs, i, run) json_object_foreach(json_object_get(run, part), key, value)(void)
      json_object_set_new(keys, key, json_true());
  return keys;
}

wn_status wn_runs_csv(const json_t *runs, wn_buf *out, wn_error *err) {
  json_t *keys[4], *run, *unused;
  const char *key;
  size_t i;
  for (size_t p = 0; p < 4; p++) keys[p] = keys_of(runs, nested[p]);
  for (size_t p = 0; p < sizeof plain / sizeof *plain; p++)
    wn_buf_printf(out, "%s%s", p > 0 ? "," : "", plain[p]);
  for (size_t p = 0; p < 4; p++) json_object_foreach(keys[p], key, unused) {
      char name[NAME_ROOM + 16];
      snprintf(name, sizeof name, "%s.%.*s", nested[p], NAME_ROOM, key);
      wn_buf_char(out, ',');
      csv_cell(out, name);
    }
  json_array_foreach(runs, i, run) {
    wn_buf_char(out, '\n');
    for (size_t p = 0; p < sizeof plain / sizeof *plain; p++) {
      if (p > 0) wn_buf_char(out, ',');
      csv_value(out, json_object_get(run, plain[p]));
    }
    for (size_t p = 0; p < 4; p++) json_object_foreach(keys[p], key, unused) {
        wn_buf_char(out, ',');
        csv_value(out, json_object_get(json_object_get(run, nested[p]), key));
      }
  }
  for (size_t p = 0; p < 4; p++) json_decref(keys[p]);
  return out->failed ? wn_fail_memory(err) : WN_OK;
}
