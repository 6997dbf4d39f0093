#ifndef WN_LAB_REPORT_H
#define WN_LAB_REPORT_H
/* An evaluation as one HTML page: no script, nothing fetched, charts inline, the numbers as JSON
 * inside. Built from the JSON that evaluations, ope and check give, so a page can be made again
 * from a run (lab/runs.h). */

#include "lab/evaluate.h"
#include <jansson.h>

typedef struct wn_report_input {
  const json_t *evaluation; /* wn_evaluation_to_json */
  const json_t *extras;     /* wn_report_extras */
  const json_t *ope;        /* a run of ope or replay; NULL: none */
  const json_t *check;      /* a run of check; NULL: none */
  const json_t *predicted;  /* what `evaluate --predictions` found; NULL: none */
  const char *subject;      /* what was evaluated: a data directory or a file */
  const char *made;         /* date */
} wn_report_input;
WN_MUST_USE wn_status wn_report_html(const wn_report_input *input, wn_buf *out, wn_error *err);

/* Of predictions alone: needs `predicted`, `subject` and `made`. */
WN_MUST_USE wn_status wn_report_predictions_html(const wn_report_input *input, wn_buf *out,
                                                 wn_error *err);

/* What the page needs beside the JSON: how users' numbers spread, and each row over the incumbent's
 * on the same users. `incumbent` NULL: the funnel's row, if there is one. WN_E_NOT_FOUND: no such
 * row. */
WN_MUST_USE wn_status wn_report_extras(const wn_evaluation *evaluation, const char *incumbent,
                                       json_t **out, wn_error *err);

#endif
