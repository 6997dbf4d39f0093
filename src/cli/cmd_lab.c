/* winnow lab cases: recomputes worked cases and says where it differs. */
#include "cli/cli.h"

#include "base/file.h"
#include "lab/cases.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX ((size_t)256 << 20)

static struct { bool json, failures; } opt;
static const wn_option options[] = {
    {"failures", WN_OPT_FLAG, &opt.failures, NULL, "print only what fails or is skipped"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "one JSON object a value, then one of the counts"},
};
static const wn_command command = {
    "lab",
    "recompute worked cases of metrics and statistics, value by value",
    "cases FILE…",
    "A file is {\"cases\": [{\"id\", \"kind\", \"input\", \"expected\", \"tol\"}, …]}; "
    "docs/evaluation.md "
    "lists the kinds.\n"
    "Exit status 1 when a value differs or a kind is unknown.",
    options,
    sizeof options / sizeof options[0]};

typedef struct report {
  wn_buf *out;
  wn_table table;
} report;

static const char *const verdicts[] = {"pass", "FAIL", "skip"};

static void value_json(wn_buf *out, const wn_case_value *v) {
  wn_json j;
  const struct {
    const char *key, *text;
  } texts[] = {{"id", v->id},     {"kind", v->kind},
               {"path", v->path}, {"verdict", verdicts[v->verdict]},
               {"got", v->got},   {"expected", v->expected}};
  wn_json_init(&j, out);
  wn_json_object(&j);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    wn_json_key(&j, texts[i].key);
    wn_json_string(&j, wn_str_of(texts[i].text));
  }
  if (!isnan(v->tolerance)) {
    wn_json_key(&j, "tolerance");
    wn_json_double(&j, v->tolerance);
  }
  wn_json_end_object(&j);
  wn_buf_char(out, '\n');
}

static void each_value(void *ctx, const wn_case_value *v) {
  report *r = ctx;
  if (opt.failures && v->verdict == WN_CASE_PASSED) return;
  if (opt.json) {
    value_json(r->out, v);
    return;
  }
  wn_table_cell(&r->table, "%s", v->id);
  wn_table_cell(&r->table, "%s", v->path);
  wn_table_cell_str(&r->table, wn_str_of(v->expected), 44);
  wn_table_cell_str(&r->table, wn_str_of(v->got), 60);
  if (isnan(v->tolerance))
    wn_table_cell(&r->table, "range");
  else
    wn_table_cell(&r->table, "%g", v->tolerance);
  wn_table_cell(&r->table, "%s", verdicts[v->verdict]);
}

static void counts_json(wn_buf *out, const wn_case_counts *counts) {
  const struct {
    const char *key;
    size_t value;
  } all[] = {{"cases", counts->cases},
             {"skipped", counts->skipped},
             {"values", counts->values},
             {"failed", counts->failed}};
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  for (size_t i = 0; i < 4; i++) {
    wn_json_key(&j, all[i].key);
    wn_json_int(&j, (int64_t)all[i].value);
  }
  wn_json_end_object(&j);
}

static wn_status run(const wn_text_list *files, wn_buf *out, wn_case_counts *counts,
                     wn_error *err) {
  report r = {.out = out};
  wn_buf text = {0};
  wn_status status = WN_OK;
  const char *head[] = {"case", "value", "expected", "got", "tolerance", "verdict"};
  wn_table_init(&r.table, 6, 0x1C);
  for (size_t i = 0; i < 6; i++) wn_table_cell(&r.table, "%s", head[i]);
  for (size_t i = 0; i < files->len; i++) {
    text.len = 0;
    WN_TRY(wn_read_file(files->data[i], FILE_MAX, &text, err));
    WN_TRY(
        wn_cases_run((wn_str){text.data, text.len}, files->data[i], each_value, &r, counts, err));
  }
  if (opt.json) {
    counts_json(out, counts);
  } else {
    wn_table_print(&r.table, out);
    wn_buf_printf(out, "\n%zu cases (%zu skipped), %zu values: %zu passed, %zu failed",
                  counts->cases, counts->skipped, counts->values, counts->values - counts->failed,
                  counts->failed);
  }
cleanup:
  wn_buf_clear(&r.table.cells);
  wn_buf_clear(&text);
  return status;
}

int wn_cmd_lab(int argc, char **argv) {
  static wn_text_list rest;
  wn_case_counts counts = {0};
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if (rest.len < 2 || strcmp(rest.data[0], "cases") != 0)
    return wn_cli_usage(&command, "give `cases` and at least one file");
  wn_text_list files = rest;
  files.data++;
  files.len--;
  if (run(&files, &out, &counts, &err) != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  status = wn_cli_print(&out);
  return status != 0 ? status : counts.failed > 0;
}
