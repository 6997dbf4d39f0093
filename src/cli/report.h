#ifndef WN_CLI_REPORT_H
#define WN_CLI_REPORT_H
/* What `evaluate` leaves behind: a page when asked for, a note among the runs. */

#include "cli/cli.h"
#include "lab/evaluate.h"

typedef struct wn_cli_report {
  const char *path;      /* of the page; NULL: none */
  const char *incumbent; /* row to compare with; NULL: the funnel's */
  const char *data, *config, *subject;
  const wn_evaluation *evaluation;
} wn_cli_report;
WN_MUST_USE wn_status wn_cli_report_evaluation(const wn_cli_report *report, wn_error *err);
/* A page of predictions alone, from what the command prints as JSON. */
WN_MUST_USE wn_status wn_cli_report_predictions(const char *path, const char *subject,
                                                const wn_buf *json, wn_error *err);

#endif
