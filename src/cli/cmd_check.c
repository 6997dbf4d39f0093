/* winnow check model: behaviour tests of what is served. */
#include "cli/cli.h"

#include "lab/runs.h"
#include "serve/behaviour.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static struct {
  const char *data, *config, *surface;
  uint64_t users, seed;
  bool json;
} opt = {.surface = "home", .users = 200, .seed = 1};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "the surface to ask, default home"},
    {"users", WN_OPT_UINT, &opt.users, "N", "sampled, default 200"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the sample; default 1"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {"check",
                                   "behaviour tests of the current snapshot, the log and the split",
                                   "model --data DIR",
                                   "Each passes, fails or is inconclusive, with a 95% interval and "
                                   "its worst examples; exit status "
                                   "1 when\none fails. docs/evaluation.md lists them.",
                                   options,
                                   sizeof options / sizeof options[0]};

/* The newest run of evaluate; borrowed of `runs`. */
static const json_t *newest_evaluation(const json_t *runs) {
  size_t i;
  json_t *run;
  json_array_foreach(runs, i, run) if (strcmp(json_string_value(json_object_get(run, "kind")),
                                              "evaluate") == 0) return run;
  return NULL;
}

static void print_check(const wn_check *c, wn_table *table) {
  wn_table_cell(table, "%s", wn_check_state_name(c->state));
  wn_table_cell(table, "%s", c->name);
  if (isnan(c->value)) {
    wn_table_cell(table, "–");
    wn_table_cell(table, "%s", "");
  } else {
    wn_table_cell(table, "%.4g", c->value);
    wn_table_cell(table, "%.4g–%.4g", c->low, c->high);
  }
}

static void print(const wn_check_report *r, wn_buf *out) {
  wn_table table;
  const char *head[] = {"", "test", "value", "95%"};
  wn_buf_printf(out, "snapshot %" PRIu64 ", surface %s, %" PRIu64 " users\n\n", r->snapshot,
                r->surface, r->users);
  wn_table_init(&table, 4, 0xC);
  for (size_t i = 0; i < 4; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < r->len; i++) print_check(&r->checks[i], &table);
  wn_table_print(&table, out);
  for (size_t i = 0; i < r->len; i++) {
    const wn_check *c = &r->checks[i];
    if (c->state == WN_CHECK_PASS) continue;
    wn_buf_printf(out, "\n%s: %s: %s\n", wn_check_state_name(c->state), c->name, c->reason);
    for (size_t w = 0; w < c->worst_len; w++) wn_buf_printf(out, "  %s\n", c->worst[w]);
  }
  wn_buf_printf(out, "\n%zu passed, %zu failed, %zu inconclusive",
                r->len - r->failed - r->inconclusive, r->failed, r->inconclusive);
}

static wn_status run(wn_check_report *report, wn_buf *out, wn_error *err) {
  wn_config config = {0};
  wn_engine *engine = NULL;
  json_t *runs = NULL;
  size_t unreadable;
  wn_check_options how;
  wn_meter meter;
  wn_status status;
  wn_meter_init(&meter);
  wn_check_options_defaults(&how);
  how.surface = opt.surface;
  how.users = (uint32_t)opt.users;
  how.seed = opt.seed;
  WN_TRY(wn_cli_config(opt.config, opt.data, &config, err));
  WN_TRY(wn_engine_open(opt.data, WN_STORE_READ, &config, &meter.progress, &engine, err));
  WN_TRY(wn_runs_load(opt.data, &runs, &unreadable, err));
  how.evaluation = newest_evaluation(runs);
  WN_TRY(wn_check_model(engine, &how, report, err));
  wn_meter_end(&meter);
  wn_check_report_to_json(report, out);
  wn_cli_record("check", &(wn_cli_run){opt.data, opt.config, out, report->failed == 0, NULL});
  if (opt.json) goto cleanup;
  wn_buf_reset(out);
  print(report, out);
cleanup:
  wn_meter_end(&meter);
  json_decref(runs);
  wn_engine_close(engine);
  wn_config_clear(&config);
  return status;
}

int wn_cmd_check(int argc, char **argv) {
  static wn_text_list rest;
  static wn_check_report report;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if (rest.len != 1 || strcmp(rest.data[0], "model") != 0)
    return wn_cli_usage(&command, "say what to check: model");
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (opt.users < 1 || opt.users > 1000000)
    return wn_cli_usage(&command, "--users takes 1 to 1000000");
  if (run(&report, &out, &err) != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  status = wn_cli_print(&out);
  return status != 0 ? status : report.failed > 0;
}
