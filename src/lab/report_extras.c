/* What a report needs of an evaluation that its JSON does not hold. */
#include "lab/report.h"

#include <math.h>
#include <string.h>

#define BINS 20 /* of users' numbers: 0 alone, then (0, .05], (.05, .1] … */

static json_t *histogram(const wn_model_result *row, uint64_t users) {
  uint64_t bins[BINS + 1] = {0};
  json_t *out = json_array();
  for (uint64_t u = 0; u < users && row->user_value != NULL; u++) {
    double x = row->user_value[u];
    if (isnan(x)) continue;
    int bin = x <= 0 ? 0 : (int)ceil(fmin(x, 1) * BINS - 1e-9);
    bins[bin < 1 && x > 0 ? 1 : bin]++;
  }
  for (size_t i = 0; i <= BINS; i++)
    (void)json_array_append_new(out, json_integer((json_int_t)bins[i]));
  return out;
}

static json_t *comparison(const wn_comparison *c) {
  return json_pack("{s:{s:f, s:f, s:f}, s:f, s:I, s:I, s:I}", "difference", "mean",
                   c->difference.mean, "low", c->difference.low, "high", c->difference.high,
                   "flip_p", isnan(c->flip_p) ? 1.0 : c->flip_p, "wins", (json_int_t)c->wins,
                   "ties", (json_int_t)c->ties, "losses", (json_int_t)c->losses);
}

static wn_status row_of(const wn_evaluation *e, size_t r, size_t incumbent, json_t *rows,
                        wn_error *err) {
  wn_comparison over;
  json_t *row = json_pack("{s:s, s:o}", "model", e->rows[r].name, "histogram",
                          histogram(&e->rows[r], e->users_evaluated));
  if (row == NULL || json_array_append_new(rows, row) != 0) return wn_fail_memory(err);
  if (incumbent == WN_ROWS_MAX || incumbent == r) return WN_OK;
  wn_status status = wn_evaluation_compare(e, r, e, incumbent, &over, err);
  if (status == WN_OK) (void)json_object_set_new(row, "over_incumbent", comparison(&over));
  return status;
}

wn_status wn_report_extras(const wn_evaluation *e, const char *incumbent, json_t **out,
                           wn_error *err) {
  size_t against = WN_ROWS_MAX;
  wn_status status = WN_OK;
  json_t *rows = json_array();
  *out = NULL;
  for (size_t r = 0; r < e->rows_len; r++)
    if (incumbent != NULL ? strcmp(e->rows[r].name, incumbent) == 0
                          : strncmp(e->rows[r].name, "funnel:", 7) == 0)
      against = r;
  if (incumbent != NULL && against == WN_ROWS_MAX)
    WN_TRY(
        wn_fail(err, WN_E_NOT_FOUND, "incumbent", "no row of the table is called `%s`", incumbent));
  for (size_t r = 0; r < e->rows_len; r++) WN_TRY(row_of(e, r, against, rows, err));
  *out = json_pack("{s:O, s:o}", "rows", rows, "incumbent",
                   against < WN_ROWS_MAX ? json_string(e->rows[against].name) : json_null());
  if (*out == NULL) WN_TRY(wn_fail_memory(err));
cleanup:
  json_decref(rows);
  return status;
}
