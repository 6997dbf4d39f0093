/* Predictions for people and as JSON. */
#include "cli/evaluate_predictions.h"

#include "cli/report.h"
#include "lab/predicted.h"

#include <inttypes.h>
#include <math.h>

#define MAPS_MAX 8

static void cell(wn_table *table, int digits, double value) {
  if (isnan(value))
    wn_table_cell(table, "–");
  else
    wn_table_cell(table, "%.*f", digits, value);
}

static void print_metrics(const wn_predicted_result *r, wn_buf *out) {
  const char *head[] = {"", "value", "95%", "base rate"};
  wn_table table;
  wn_table_init(&table, 4, 0xE);
  for (size_t i = 0; i < 4; i++) wn_table_cell(&table, "%s", head[i]);
  for (int m = 0; m < WN_PREDICTED_METRICS; m++) {
    const wn_interval *v = &r->value[m];
    if (isnan(v->mean)) continue;
    wn_table_cell(&table, "%s", wn_predicted_label((wn_predicted_metric)m));
    wn_table_cell(&table, "%.5f", v->mean);
    if (isnan(v->low))
      wn_table_cell(&table, "–");
    else
      wn_table_cell(&table, "%.5f–%.5f", v->low, v->high);
    wn_table_cell(&table, "%.5f", r->constant[m]);
  }
  wn_table_print(&table, out);
}

static void print_cells(const wn_predicted_result *r, wn_buf *out) {
  const char *head[] = {"rows", "said", "was", "95%"};
  wn_table table;
  if (r->cells_len == 0) return;
  wn_table_init(&table, 4, 0xF);
  for (size_t i = 0; i < 4; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t c = r->cells_len; c-- > 0;) {
    wn_table_cell(&table, "%" PRIu64, r->cells[c].rows);
    wn_table_cell(&table, "%.5f", r->cells[c].said);
    wn_table_cell(&table, "%.5f", r->cells[c].was);
    wn_table_cell(&table, "%.5f–%.5f", r->cells[c].low, r->cells[c].high);
  }
  wn_buf_char(out, '\n');
  wn_table_print(&table, out);
}

static void print_slices(const wn_predicted_result *r, wn_buf *out) {
  const char *head[] = {"by", "slice", "rows", "ROC-AUC", "95%", "log loss", "p/y", "p adj."};
  wn_table table;
  if (r->slices.len == 0) return;
  wn_table_init(&table, 8, 0xFC);
  for (size_t i = 0; i < 8; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t s = 0; s < r->slices.len; s++) {
    const wn_predicted_slice *slice = &r->slices.data[s];
    const wn_interval *auc = &slice->value[WN_PREDICTED_AUC];
    wn_table_cell(&table, "%s", slice->by);
    wn_table_cell_str(&table, slice->name, 30);
    wn_table_cell(&table, "%" PRIu64, slice->rows);
    cell(&table, 4, auc->mean);
    if (isnan(auc->low))
      wn_table_cell(&table, "–");
    else
      wn_table_cell(&table, "%.4f–%.4f", auc->low, auc->high);
    cell(&table, 5, slice->value[WN_PREDICTED_LOG_LOSS].mean);
    cell(&table, 3, slice->value[WN_PREDICTED_RATIO].mean);
    cell(&table, 4, slice->p_adjusted);
  }
  wn_buf_char(out, '\n');
  wn_table_print(&table, out);
}

static void print(const wn_predicted_result *r, wn_buf *out) {
  static const char *const states[] = {"ok", "WARN", "FAIL"};
  wn_buf_printf(out, "%" PRIu64 " rows, %" PRIu64 " of class 1", r->rows, r->positives);
  if (r->users > 0)
    wn_buf_printf(out, "; %" PRIu64 " users, %" PRIu64 " with both classes (those of GAUC)",
                  r->users, r->users_ranked);
  wn_buf_printf(out, "; intervals: %u resamples of %s\n\n", r->samples,
                r->users > 0 ? "users" : "rows");
  print_metrics(r, out);
  print_cells(r, out);
  print_slices(r, out);
  wn_buf_char(out, '\n');
  for (size_t g = 0; g < r->guards_len; g++)
    wn_buf_printf(out, "%-4s  %s: %s\n", states[r->guards[g].state], r->guards[g].name,
                  r->guards[g].reason);
  out->len--; /* wn_cli_print ends the line */
}

static void print_json(const char *path, const wn_predicted_result *r, wn_buf *out) {
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  wn_json_key(&j, "file");
  wn_json_cstring(&j, path);
  wn_json_key(&j, "predictions");
  wn_predicted_to_json(r, &j);
  wn_json_end_object(&j);
}

wn_status wn_cli_evaluate_predictions(const wn_cli_predictions *how, wn_buf *out, wn_error *err) {
  wn_column_map map[MAPS_MAX];
  wn_predictions predictions = {0};
  wn_predicted_result result = {0};
  wn_status status;
  WN_TRY(wn_cli_read_map(how->map, map, MAPS_MAX, err));
  WN_TRY(wn_predictions_read(
      how->path, &(wn_predictions_how){map, how->map->len, how->slices->data, how->slices->len},
      &predictions, err));
  WN_TRY(wn_predicted(
      &predictions, &(wn_predicted_options){(uint32_t)how->bootstrap, how->seed, (int)how->threads},
      &result, err));
  print_json(how->path, &result, out);
  if (out->failed) WN_TRY(wn_fail_memory(err));
  if (how->report != NULL) WN_TRY(wn_cli_report_predictions(how->report, how->path, out, err));
  wn_cli_record("predictions", &(wn_cli_run){how->data, NULL, out, true, NULL});
  if (how->json) goto cleanup;
  wn_buf_reset(out);
  print(&result, out);
cleanup:
  wn_predicted_clear(&result);
  wn_predictions_clear(&predictions);
  return status;
}
