/* winnow runs: what was trained and measured in a data directory. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/mlflow.h"
#include "lab/runs.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 30

static struct {
  const char *data, *kind, *tag, *csv, *mlflow, *experiment;
  uint64_t limit;
  bool json, again;
} opt = {.limit = SHOWN, .experiment = "winnow"};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"kind", WN_OPT_TEXT, &opt.kind, "KIND",
     "only these: train, evaluate, tune, ope, replay, check"},
    {"tag", WN_OPT_TEXT, &opt.tag, "KEY[=VALUE]", "only those with this tag"},
    {"limit", WN_OPT_UINT, &opt.limit, "N", "of list: at most so many; default 30, 0: all"},
    {"csv", WN_OPT_TEXT, &opt.csv, "FILE", "of export: a row a run; - is standard output"},
    {"mlflow", WN_OPT_TEXT, &opt.mlflow, "URL",
     "of export: an MLflow tracking server; default: the environment's MLFLOW_TRACKING_URI"},
    {"experiment", WN_OPT_TEXT, &opt.experiment, "NAME", "of MLflow; default winnow"},
    {"again", WN_OPT_FLAG, &opt.again, NULL,
     "export to MLflow also what was exported there before"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "runs",
    "list, show, compare, tag or export what was trained and measured",
    "list|show|diff|tag|export --data DIR [ID …]",
    "show ID            parameters, metrics, hashes, time and memory of one run\n"
    "diff ID ID         what differs between two\n"
    "tag ID KEY=VALUE   sets a tag; an empty VALUE removes it\n"
    "export [ID …]      to --csv FILE or --mlflow URL\n"
    "An ID may be cut as long as it is clear; `last` is the newest run, `last~1` the one before. "
    "See docs/runs.md.",
    options,
    sizeof options / sizeof options[0]};

static const char *text_of(const json_t *run, const char *key) {
  const char *text = json_string_value(json_object_get(run, key));
  return text != NULL ? text : "";
}

/* A value of any kind as text. */
static const char *value_text(const json_t *value, char *buf, size_t size) {
  if (json_is_string(value)) return json_string_value(value);
  if (json_is_integer(value))
    snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
  else if (json_is_real(value))
    snprintf(buf, size, "%.6g", json_real_value(value));
  else
    snprintf(buf, size, "%s", json_is_true(value) ? "yes" : json_is_false(value) ? "no" : "–");
  return buf;
}

/* --- which --- */

static bool has_tag(const json_t *run, const char *tag) {
  char key[256];
  const char *equals = strchr(tag, '=');
  snprintf(key, sizeof key, "%.*s", equals != NULL ? (int)(equals - tag) : 255, tag);
  const char *value = json_string_value(json_object_get(json_object_get(run, "tags"), key));
  return value != NULL && (equals == NULL || strcmp(value, equals + 1) == 0);
}

static json_t *filtered(const json_t *runs) {
  json_t *out = json_array(), *run;
  size_t i;
  json_array_foreach(runs, i, run) {
    if (opt.kind != NULL && strcmp(text_of(run, "kind"), opt.kind) != 0) continue;
    if (opt.tag == NULL || has_tag(run, opt.tag)) (void)json_array_append(out, run);
  }
  return out;
}

/* --- list --- */

/* What a run is remembered by: of a table of models the best one's first NDCG. */
static void headline(const json_t *run, char *out, size_t size) {
  const json_t *metrics = json_object_get(run, "metrics");
  static const char *const keys[] = {"best.metric", "item.SNIPS", "interactions", "failed"};
  const char *key, *best = NULL;
  json_t *value;
  double most = -INFINITY;
  json_object_foreach((json_t *)(uintptr_t)metrics, key, value) {
    const char *ndcg = strstr(key, ".ndcg@");
    if (ndcg == NULL || json_real_value(value) <= most) continue;
    if (best != NULL && strcmp(strstr(best, ".ndcg@"), ndcg) != 0) continue;
    best = key;
    most = json_real_value(value);
  }
  for (size_t i = 0; i < sizeof keys / sizeof *keys && best == NULL; i++)
    if (json_object_get(metrics, keys[i]) != NULL) best = keys[i];
  out[0] = '\0';
  if (best != NULL)
    snprintf(out, size, "%s %.5g", best, json_number_value(json_object_get(metrics, best)));
}

static void tags_text(const json_t *run, char *out, size_t size) {
  const char *key;
  json_t *value;
  size_t len = 0;
  out[0] = '\0';
  json_object_foreach(json_object_get(run, "tags"), key,
                      value) if (len < size && strncmp(key, "mlflow:", 7) != 0) len +=
      (size_t)snprintf(out + len, size - len, "%s%s=%s", len > 0 ? " " : "", key,
                       json_is_string(value) ? json_string_value(value) : "");
}

static void print_list(const json_t *runs, wn_buf *out) {
  wn_table table;
  size_t i;
  json_t *run;
  const char *head[] = {"run", "kind", "seconds", "memory", "ok", "result", "tags"};
  wn_table_init(&table, 7, 0xC);
  for (i = 0; i < 7; i++) wn_table_cell(&table, "%s", head[i]);
  json_array_foreach(runs, i, run) {
    char line[160], memory[32], tags[200];
    if (opt.limit > 0 && i >= opt.limit) break;
    headline(run, line, sizeof line);
    tags_text(run, tags, sizeof tags);
    wn_table_cell(&table, "%s", text_of(run, "id"));
    wn_table_cell(&table, "%s", text_of(run, "kind"));
    wn_table_cell(&table, "%.1f", json_number_value(json_object_get(run, "seconds")));
    wn_table_cell(&table, "%s",
                  wn_human_bytes(json_number_value(json_object_get(run, "peak_bytes")), memory,
                                 sizeof memory));
    wn_table_cell(&table, "%s", json_is_true(json_object_get(run, "passed")) ? "yes" : "no");
    wn_table_cell_str(&table, wn_str_of(line), 40);
    wn_table_cell_str(&table, wn_str_of(tags), 40);
  }
  wn_table_print(&table, out);
  if (opt.limit > 0 && json_array_size(runs) > opt.limit)
    wn_buf_printf(out, "%zu older ones: --limit 0 lists all", json_array_size(runs) - opt.limit);
}

/* --- show, diff --- */

static const char *const plain[] = {"kind",   "started", "seconds", "cpu_seconds", "peak_bytes",
                                    "passed", "version", "seed",    "config_hash"};
static const char *const nested[] = {"hashes", "params", "metrics", "tags"};

static const json_t *plain_value(const json_t *run, const char *key, char *room, size_t size,
                                 const char **text) {
  const json_t *value = json_object_get(run, strcmp(key, "started") == 0 ? "started_ms" : key);
  *text = strcmp(key, "started") == 0 ? wn_time_format(json_integer_value(value), room, size)
                                      : value_text(value, room, size);
  return value;
}

static void print_run(const json_t *run, wn_buf *out) {
  char room[64];
  const char *key, *text;
  json_t *value;
  wn_buf_printf(out, "run %s\n", text_of(run, "id"));
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    plain_value(run, plain[i], room, sizeof room, &text);
    wn_buf_printf(out, "  %-32s %s\n", plain[i], text);
  }
  for (size_t p = 0; p < 4; p++) {
    if (json_object_size(json_object_get(run, nested[p])) == 0) continue;
    wn_buf_printf(out, "%s\n", nested[p]);
    json_object_foreach(json_object_get(run, nested[p]), key, value)
        wn_buf_printf(out, "  %-32s %s\n", key, value_text(value, room, sizeof room));
  }
  const json_t *artifacts = json_object_get(run, "artifacts");
  if (json_array_size(artifacts) > 0) wn_buf_str(out, "artifacts\n");
  for (size_t i = 0; i < json_array_size(artifacts); i++) {
    const json_t *one = json_array_get(artifacts, i);
    wn_buf_printf(out, "  %-32s %.0f bytes\n", text_of(one, "path"),
                  json_number_value(json_object_get(one, "bytes")));
  }
}

static void diff_row(wn_table *table, const char *part, const char *key, const json_t *values[2]) {
  char room[2][64];
  const char *text[2];
  for (int s = 0; s < 2; s++) text[s] = value_text(values[s], room[s], sizeof room[s]);
  if (strcmp(text[0], text[1]) == 0) return;
  wn_table_cell(table, "%s%s%s", part, part[0] != '\0' ? "." : "", key);
  for (int s = 0; s < 2; s++) wn_table_cell_str(table, wn_str_of(text[s]), 40);
  if (json_is_number(values[0]) && json_is_number(values[1]))
    wn_table_cell(table, "%+.6g", json_number_value(values[1]) - json_number_value(values[0]));
  else
    wn_table_cell(table, "%s", "");
}

/* Numbers over other users or another split do not compare. */
static const char *incomparable(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"split_hash", "population_hash"};
  for (size_t i = 0; i < 2; i++) {
    const json_t *x = json_object_get(json_object_get(a, "hashes"), keys[i]);
    const json_t *y = json_object_get(json_object_get(b, "hashes"), keys[i]);
    if (x != NULL && y != NULL && !json_equal(x, y)) return keys[i];
  }
  return NULL;
}

static void print_diff(const json_t *a, const json_t *b, wn_buf *out) {
  wn_table table;
  const char *key, *why = incomparable(a, b);
  json_t *unused;
  const char *head[] = {"what", text_of(a, "id"), text_of(b, "id"), "difference"};
  wn_table_init(&table, 4, 0x8);
  for (size_t i = 0; i < 4; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
    const json_t *values[] = {json_object_get(a, plain[i]), json_object_get(b, plain[i])};
    if (strcmp(plain[i], "started") != 0) diff_row(&table, "", plain[i], values);
  }
  for (size_t p = 0; p < 4; p++) {
    const json_t *parts[] = {json_object_get(a, nested[p]), json_object_get(b, nested[p])};
    json_t *keys = json_object();
    (void)json_object_update(keys, (json_t *)(uintptr_t)parts[0]);
    (void)json_object_update(keys, (json_t *)(uintptr_t)parts[1]);
    json_object_foreach(keys, key, unused) {
      const json_t *values[] = {json_object_get(parts[0], key), json_object_get(parts[1], key)};
      diff_row(&table, nested[p], key, values);
    }
    json_decref(keys);
  }
  wn_table_print(&table, out);
  if (why != NULL) wn_buf_printf(out, "The metrics do not compare: the runs differ in %s.", why);
}

/* --- export --- */

static wn_status export_csv(const json_t *runs, wn_buf *out, wn_error *err) {
  wn_status status = wn_runs_csv(runs, out, err);
  if (status != WN_OK || strcmp(opt.csv, "-") == 0) return status;
  wn_buf_char(out, '\n');
  status = wn_write_file_atomic(opt.csv, (wn_str){out->data, out->len}, err);
  wn_buf_reset(out);
  wn_buf_printf(out, "%zu runs written to %s", json_array_size(runs), opt.csv);
  return status;
}

static wn_status export_mlflow(json_t *runs, wn_buf *out, wn_error *err) {
  wn_mlflow *server = NULL;
  wn_status status;
  char tag[300], id[65];
  size_t sent = 0, known = 0;
  WN_TRY(wn_mlflow_open(opt.mlflow, opt.experiment, &server, err));
  snprintf(tag, sizeof tag, "mlflow:%.200s", opt.mlflow);
  for (size_t i = json_array_size(runs); i-- > 0;) { /* the oldest first */
    json_t *run = json_array_get(runs, i);
    if (!opt.again && json_object_get(json_object_get(run, "tags"), tag) != NULL) {
      known++;
      continue;
    }
    WN_TRY(wn_mlflow_send(server, run, id, err));
    WN_TRY(wn_run_tag(opt.data, run, tag, id, err));
    sent++;
  }
  wn_buf_printf(out, "%zu runs sent to the experiment %s, %zu were there already", sent,
                opt.experiment, known);
cleanup:
  wn_mlflow_close(server);
  return status;
}

static wn_status export(json_t *runs, wn_buf *out, wn_error *err) {
  if (opt.mlflow == NULL && opt.csv == NULL) opt.mlflow = getenv("MLFLOW_TRACKING_URI");
  if (opt.csv != NULL) return export_csv(runs, out, err);
  if (opt.mlflow != NULL) return export_mlflow(runs, out, err);
  return wn_fail(err, WN_E_ARGUMENT, "csv", "give --csv FILE or --mlflow URL");
}

/* --- the command --- */

static wn_status tag(json_t *run, const char *text, wn_buf *out, wn_error *err) {
  char key[260];
  const char *equals = strchr(text, '=');
  if (equals == NULL || (size_t)(equals - text) >= sizeof key)
    return wn_fail(err, WN_E_ARGUMENT, "tag", "takes KEY=VALUE, got `%.100s`", text);
  snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
  wn_buf_printf(out, "%s: %s", text_of(run, "id"), text);
  return wn_run_tag(opt.data, run, key, equals[1] != '\0' ? equals + 1 : NULL, err);
}

static void put_json(const json_t *value, wn_buf *out) {
  char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17));
  wn_buf_str(out, text != NULL ? text : "null");
  free(text);
}

static wn_status one_or_two(const char *what, json_t **chosen, size_t n, const wn_text_list *rest,
                            wn_buf *out, wn_error *err) {
  bool is_diff = strcmp(what, "diff") == 0, is_tag = strcmp(what, "tag") == 0;
  if (n != (is_diff ? 2u : 1u))
    return wn_fail(err, WN_E_ARGUMENT, "id",
                   is_diff  ? "diff takes two runs"
                   : is_tag ? "tag takes a run and KEY=VALUE"
                            : "show takes one run");
  if (is_tag) return tag(chosen[0], rest->data[2], out, err);
  if (is_diff)
    print_diff(chosen[0], chosen[1], out);
  else if (opt.json)
    put_json(chosen[0], out);
  else
    print_run(chosen[0], out);
  return WN_OK;
}

static wn_status run(const wn_text_list *rest, wn_buf *out, wn_error *err) {
  const char *what = rest->data[0];
  json_t *all = NULL, *runs = NULL, *chosen[2] = {NULL, NULL}, *named = json_array();
  size_t unreadable = 0, ids = strcmp(what, "tag") == 0 && rest->len == 3 ? 1 : rest->len - 1;
  wn_status status;
  WN_TRY(wn_runs_load(opt.data, &all, &unreadable, err));
  runs = filtered(all);
  for (size_t i = 0; i < ids; i++) {
    json_t *found;
    WN_TRY(wn_run_find(all, rest->data[1 + i], &found, err));
    if (i < 2) chosen[i] = found;
    (void)json_array_append(named, found);
  }
  if (unreadable > 0)
    fprintf(stderr, "winnow runs: %zu files of %s/runs are no runs\n", unreadable, opt.data);
  if (strcmp(what, "list") == 0) {
    if (opt.json)
      put_json(runs, out);
    else
      print_list(runs, out);
  } else if (strcmp(what, "export") == 0) {
    WN_TRY(export(ids > 0 ? named : runs, out, err));
  } else if (strcmp(what, "tag") == 0 && rest->len != 3) {
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "id", "tag takes a run and KEY=VALUE"));
  } else {
    WN_TRY(one_or_two(what, chosen, ids, rest, out, err));
  }
cleanup:
  json_decref(named);
  json_decref(runs);
  json_decref(all);
  return status;
}

int wn_cmd_runs(int argc, char **argv) {
  static const char *const known[] = {"list", "show", "diff", "tag", "export"};
  static wn_text_list rest;
  wn_buf out = {0};
  wn_error err = {0};
  bool is_known = false;
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  for (size_t i = 0; i < 5 && rest.len > 0; i++)
    is_known = is_known || strcmp(rest.data[0], known[i]) == 0;
  if (!is_known) return wn_cli_usage(&command, "say list, show, diff, tag or export");
  if (run(&rest, &out, &err) == WN_OK) return wn_cli_print(&out);
  wn_buf_clear(&out);
  return wn_cli_fail(&command, &err);
}
