/* An evaluation's report and its note among the runs. */
#include "cli/report.h"

#include "base/clock.h"
#include "base/file.h"
#include "lab/report.h"
#include "lab/runs.h"

#include <stdio.h>
#include <string.h>

/* The newest run that is one of `kinds` (of two); borrowed. */
static const json_t *newest(const json_t *runs, const char *a, const char *b) {
  size_t i;
  json_t *run;
  json_array_foreach(runs, i, run) {
    const char *kind = json_string_value(json_object_get(run, "kind"));
    if (strcmp(kind, a) == 0 || strcmp(kind, b) == 0) return run;
  }
  return NULL;
}

static wn_status make_report(const wn_cli_report *report, const wn_buf *json, wn_buf *page,
                             wn_error *err) {
  wn_status status = WN_OK;
  json_t *evaluation = NULL, *extras = NULL, *runs = NULL;
  size_t unreadable;
  char made[40];
  evaluation = json_loadb(json->data, json->len, 0, NULL);
  if (evaluation == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_report_extras(report->evaluation, report->incumbent, &extras, err));
  if (report->data != NULL) WN_TRY(wn_runs_load(report->data, &runs, &unreadable, err));
  wn_time_format(wn_now_ms(), made, sizeof made);
  made[10] = '\0';
  WN_TRY(wn_report_html(
      &(wn_report_input){.evaluation = evaluation,
                         .extras = extras,
                         .ope = newest(runs, "ope", "replay"),
                         .check = newest(runs, "check", "check"),
                         .predicted =
                             json_object_get(newest(runs, "predictions", "predictions"), "result"),
                         .subject = report->subject,
                         .made = made},
      page, err));
cleanup:
  json_decref(evaluation);
  json_decref(extras);
  json_decref(runs);
  return status;
}

wn_status wn_cli_report_evaluation(const wn_cli_report *report, wn_error *err) {
  wn_buf json = {0}, page = {0};
  wn_status status = WN_OK;
  wn_evaluation_to_json(report->evaluation, &json);
  if (json.failed) WN_TRY(wn_fail_memory(err));
  if (report->path != NULL || report->data != NULL) WN_TRY(make_report(report, &json, &page, err));
  if (report->path != NULL)
    WN_TRY(wn_write_file_atomic(report->path, (wn_str){page.data, page.len}, err));
  wn_cli_record("evaluate", &(wn_cli_run){report->data, report->config, &json, true, &page});
cleanup:
  wn_buf_clear(&page);
  wn_buf_clear(&json);
  return status;
}

wn_status wn_cli_report_predictions(const char *path, const char *subject, const wn_buf *json,
                                    wn_error *err) {
  wn_buf page = {0};
  wn_status status;
  char made[40];
  json_t *predicted = json_loadb(json->data, json->len, 0, NULL);
  if (predicted == NULL) return wn_fail_memory(err);
  wn_time_format(wn_now_ms(), made, sizeof made);
  made[10] = '\0';
  WN_TRY(wn_report_predictions_html(
      &(wn_report_input){.predicted = predicted, .subject = subject, .made = made}, &page, err));
  WN_TRY(wn_write_file_atomic(path, (wn_str){page.data, page.len}, err));
cleanup:
  json_decref(predicted);
  wn_buf_clear(&page);
  return status;
}
