/* winnow lab: cases (recomputes worked cases and says where it differs), compare (two rows of
 * evaluations, user by user). */
#include "cli/cli.h"

#include "base/file.h"
#include "lab/cases.h"
#include "lab/per_user.h"
#include "lab/scatter.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t)256 << 20)

static struct {
  const char *data, *config, *experiment, *metric, *svg;
  bool json, failures;
} opt;
static const wn_option options[] = {
    {"failures", WN_OPT_FLAG, &opt.failures, NULL, "print only what fails or is skipped"},
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "scatter: the data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "scatter: configuration; default DIR/winnow.yaml when it is there"},
    {"experiment", WN_OPT_TEXT, &opt.experiment, "NAME", "scatter: its arms; default: of all"},
    {"metric", WN_OPT_TEXT, &opt.metric, "NAME@K",
     "scatter: of the evaluation; default: its first"},
    {"svg", WN_OPT_TEXT, &opt.svg, "FILE", "scatter: a plot"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "one JSON object a value, then one of the counts"},
};
static const wn_command command = {
    "lab",
    "recompute worked cases of metrics and statistics; compare two evaluations; offline against "
    "online",
    "cases FILE… | compare FILE:MODEL FILE:MODEL | scatter --data DIR",
    "A file is {\"cases\": [{\"id\", \"kind\", \"input\", \"expected\", \"tol\"}, …]}; "
    "docs/evaluation.md "
    "lists the kinds.\n"
    "Exit status 1 when a value differs or a kind is unknown.\n"
    "compare takes files of `winnow evaluate --per-user`; different users are refused.\n"
    "scatter sets what `winnow evaluate --experiment` measured of arms against what they did.",
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

/* --- compare --- */

/* FILE:MODEL: both may hold colons (`funnel:home`), so the longest FILE that is there counts. */
static wn_status read_side(const char *what, wn_per_user *out, wn_error *err) {
  size_t end = strlen(what);
  char path[4096], *colon;
  if (end >= sizeof path || strchr(what, ':') == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "", "expected FILE:MODEL, got `%s`", what);
  memcpy(path, what, end + 1);
  while ((colon = strrchr(path, ':')) != NULL) {
    *colon = '\0';
    end = (size_t)(colon - path);
    if (access(path, F_OK) == 0) break;
  }
  return wn_per_user_read(path, what + end + 1, out, err);
}

static void comparison_json(const wn_per_user *a, const wn_comparison *c, wn_buf *out) {
  const struct {
    const char *key;
    double value;
  } reals[] = {{"difference", c->difference.mean}, {"low", c->difference.low},
               {"high", c->difference.high},       {"t_p", c->t_p},
               {"wilcoxon_p", c->wilcoxon_p},      {"flip_p", c->flip_p},
               {"wins", (double)c->wins},          {"ties", (double)c->ties},
               {"losses", (double)c->losses},      {"users", (double)a->len}};
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  wn_json_key(&j, "metric");
  wn_json_cstring(&j, a->metric);
  for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
    wn_json_key(&j, reals[i].key);
    wn_json_double(&j, reals[i].value);
  }
  wn_json_end_object(&j);
}

static wn_status compare(const char *first, const char *second, wn_buf *out, wn_error *err) {
  wn_per_user a = {0}, b = {0};
  wn_comparison c;
  wn_status status;
  WN_TRY(read_side(first, &a, err));
  WN_TRY(read_side(second, &b, err));
  WN_TRY(wn_per_user_compare(&a, &b, &c, err));
  if (opt.json)
    comparison_json(&a, &c, out);
  else
    wn_buf_printf(out,
                  "%s over %s, %s, the same %zu users\n"
                  "difference %+.6f, 95%% %+.6f to %+.6f (bootstrap)\n"
                  "p: paired t %.3g, Wilcoxon %.3g, sign flips %.3g\n"
                  "better for %" PRIu64 " users, equal for %" PRIu64 ", worse for %" PRIu64,
                  first, second, a.metric, a.len, c.difference.mean, c.difference.low,
                  c.difference.high, c.t_p, c.wilcoxon_p, c.flip_p, c.wins, c.ties, c.losses);
cleanup:
  wn_per_user_clear(&a);
  wn_per_user_clear(&b);
  return status;
}

/* --- scatter --- */

static void scatter_text(const wn_scatter *s, wn_buf *out) {
  wn_table table;
  wn_table_init(&table, 7, 0x7E);
  const char *head[] = {"policy", s->offline, "low", "high", s->online, "low", "high"};
  for (size_t i = 0; i < 7; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < s->len; i++) {
    const double *sides[2] = {s->points[i].offline, s->points[i].online};
    wn_table_cell(&table, "%s", s->points[i].name);
    for (size_t a = 0; a < 2; a++)
      for (size_t k = 0; k < 3; k++) {
        double value = sides[a][k == 0 ? 1 : k == 1 ? 0 : 2];
        if (isnan(value))
          wn_table_cell(&table, "-");
        else
          wn_table_cell(&table, "%.4f", value);
      }
  }
  if (s->len > 0) wn_table_print(&table, out);
  wn_buf_printf(out, "%s%s", s->len > 0 ? "\n" : "", s->sentence);
}

static wn_status scatter(wn_buf *out, wn_error *err) {
  wn_status status;
  wn_config config = {0};
  wn_store *store = NULL;
  wn_buf svg = {0};
  static wn_scatter s;
  WN_TRY(wn_cli_config(opt.config, opt.data, &config, err));
  WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &store, err));
  const wn_scatter_ask ask = {&config.experiments, &config.surfaces, wn_str_of(opt.experiment),
                              opt.metric};
  WN_TRY(wn_scatter_of(store, opt.data, &ask, &s, err));
  if (opt.svg != NULL && s.len > 0) {
    wn_scatter_plot(&s, &svg);
    if (svg.failed) WN_TRY(wn_fail_memory(err));
    WN_TRY(wn_write_file_atomic(opt.svg, (wn_str){svg.data, svg.len}, err));
  }
  if (opt.json) {
    wn_json json;
    wn_json_init(&json, out);
    wn_scatter_to_json(&s, &json);
  } else {
    scatter_text(&s, out);
  }
cleanup:
  wn_buf_clear(&svg);
  if (store != NULL) wn_store_close(store);
  wn_config_clear(&config);
  return status;
}

int wn_cmd_lab(int argc, char **argv) {
  static wn_text_list rest;
  wn_case_counts counts = {0};
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if (rest.len == 1 && strcmp(rest.data[0], "scatter") == 0) {
    if (opt.data == NULL) return wn_cli_usage(&command, "scatter needs --data");
    if (scatter(&out, &err) == WN_OK) return wn_cli_print(&out);
    return wn_cli_fail(&command, &err);
  }
  if (rest.len == 3 && strcmp(rest.data[0], "compare") == 0) {
    if (compare(rest.data[1], rest.data[2], &out, &err) == WN_OK) return wn_cli_print(&out);
    return wn_cli_fail(&command, &err);
  }
  if (rest.len < 2 || strcmp(rest.data[0], "cases") != 0)
    return wn_cli_usage(&command, "give `cases` and at least one file, or `compare` and two of "
                                  "FILE:MODEL");
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
