/* Predictions on a page: the numbers beside those of the base rate, the reliability chart, slices.
 * A page of their own, and a panel of an evaluation's. */
#include "lab/report_internal.h"

#include "base/mem.h"
#include "lab/predicted.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SLICES_MAX 40

static void metric_table(wn_page *p, const json_t *result) {
  const json_t *metrics = json_object_get(result, "metrics");
  wn_buf_str(p->out, "<div><table><tr><th></th><th>value</th><th>95%</th><th>base rate</th></tr>");
  for (int m = 0; m < WN_PREDICTED_METRICS; m++) {
    const json_t *value = json_object_get(metrics, wn_predicted_key((wn_predicted_metric)m));
    double low = wn_page_number(value, "low");
    if (value == NULL) continue;
    wn_buf_printf(p->out, "<tr><td>%s</td><td>%.5f</td>",
                  wn_predicted_label((wn_predicted_metric)m), wn_page_number(value, "mean"));
    if (isnan(low))
      wn_buf_str(p->out, "<td>–</td>");
    else
      wn_buf_printf(p->out, "<td>%.5f – %.5f</td>", low, wn_page_number(value, "high"));
    wn_buf_printf(p->out, "<td>%.5f</td></tr>", wn_page_number(value, "constant"));
  }
  wn_buf_printf(p->out, "</table><p class=\"dim\">%.0f rows, %.0f of class 1",
                wn_page_number(result, "rows"), wn_page_number(result, "positives"));
  if (!isnan(wn_page_number(result, "users")))
    wn_buf_printf(p->out, "; %.0f users, %.0f with both classes", wn_page_number(result, "users"),
                  wn_page_number(result, "users_ranked"));
  wn_buf_str(p->out, ".</p></div>");
}

/* Said against was, a cell of equal mass each; calibrated: on the diagonal. */
static void reliability(wn_page *p, const json_t *cells) {
  double x[WN_PREDICTED_CELLS], y[WN_PREDICTED_CELLS], most = 0;
  size_t n = json_array_size(cells);
  if (n == 0 || n > WN_PREDICTED_CELLS) return;
  for (size_t i = 0; i < n; i++) {
    const json_t *cell = json_array_get(cells, n - 1 - i); /* ascending */
    x[i] = wn_page_number(cell, "said");
    y[i] = wn_page_number(cell, "was");
    most = fmax(most, fmax(x[i], wn_page_number(cell, "high")));
  }
  wn_chart c = {.out = p->out,
                .width = 480,
                .height = 360,
                .left = 52,
                .top = 20,
                .right = 16,
                .bottom = 38,
                .x = wn_scale_nice(0, most),
                .y = wn_scale_nice(0, most),
                .x_label = "said (mean of a cell)",
                .y_label = "was (share of class 1)"};
  wn_buf_str(p->out, "<div><h3>Reliability</h3>");
  wn_chart_begin(&c, "reliability");
  wn_chart_line(
      &c, &(wn_points){(const double[]){0, c.x.high}, (const double[]){0, c.y.high}, NULL, NULL, 2},
      "base", "calibrated");
  wn_chart_line(&c, &(wn_points){x, y, NULL, NULL, n}, "s0", "said against was");
  for (size_t i = 0; i < n; i++) {
    const json_t *cell = json_array_get(cells, n - 1 - i);
    double low = wn_page_number(cell, "low"), high = wn_page_number(cell, "high");
    char title[160];
    snprintf(title, sizeof title, "said %.4f, was %.4f (%.4f to %.4f), %.0f rows", x[i], y[i], low,
             high, wn_page_number(cell, "rows"));
    wn_chart_line(
        &c, &(wn_points){(const double[]){x[i], x[i]}, (const double[]){low, high}, NULL, NULL, 2},
        "s0", NULL);
    wn_chart_dot(&c, x[i], y[i], "s0", title);
  }
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
}

static void slice_chart(wn_page *p, const json_t *result, const char *key, const char *label) {
  const json_t *slices = json_object_get(result, "slices");
  const json_t *whole = json_object_get(json_object_get(result, "metrics"), key);
  double low = wn_page_number(whole, "mean"), high = low;
  size_t n = json_array_size(slices), s;
  json_t *slice;
  if (n > SLICES_MAX) n = SLICES_MAX;
  for (s = 0; s < n; s++) {
    const json_t *value =
        json_object_get(json_object_get(json_array_get(slices, s), "metrics"), key);
    low = fmin(low, wn_page_number(value, "low")); /* fmin and fmax pass NaN over */
    high = fmax(high, wn_page_number(value, "high"));
  }
  if (isnan(low) || n == 0) return;
  wn_chart c = {.out = p->out,
                .width = 480,
                .height = 46 + 22 * (double)n,
                .left = 150,
                .top = 6,
                .right = 16,
                .bottom = 38,
                .no_y_ticks = true,
                .x = wn_scale_nice(low, high),
                .y = {.low = -0.5, .high = (double)n - 0.5},
                .x_label = label};
  wn_buf_printf(p->out, "<div><h3>%s by slice</h3>", label);
  wn_chart_begin(&c, label);
  wn_chart_rule(&c, wn_page_number(whole, "mean"), "zero");
  json_array_foreach((json_t *)(uintptr_t)slices, s, slice) {
    const json_t *value = json_object_get(json_object_get(slice, "metrics"), key);
    const double at[] = {wn_page_number(value, "low"), wn_page_number(value, "mean"),
                         wn_page_number(value, "high")};
    double y = (double)(n - 1 - s);
    char name[96], title[240];
    if (s == n) break;
    snprintf(name, sizeof name, "%.40s %.50s", wn_page_text(slice, "by"),
             wn_page_text(slice, "name"));
    snprintf(title, sizeof title, "%s: %.5f (%.5f to %.5f), %.0f rows, adjusted p %.2g", name,
             at[1], at[0], at[2], wn_page_number(slice, "rows"),
             wn_page_number(slice, "p_adjusted"));
    wn_chart_text(&c, &(wn_label){c.x.low, y, -8, 4, "end", "name"}, name);
    if (!isnan(at[0])) wn_chart_interval(&c, at, y, "s0", title);
  }
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
}

void wn_page_predicted(wn_page *p) {
  const json_t *result = json_object_get(p->in->predicted, "predictions");
  bool probabilities = json_is_true(json_object_get(result, "probabilities"));
  if (result == NULL) return;
  wn_page_section(p, "predictions", "Predictions",
                  "Do they order, and may they be believed? Cells of the reliability chart have "
                  "equal mass and 95% intervals; on the dashed line what was said came true.");
  wn_buf_str(p->out, "<p class=\"dim\"><code>");
  wn_html_text(p->out, wn_page_text(p->in->predicted, "file"));
  wn_buf_str(p->out, "</code></p><div class=\"grid2\">");
  metric_table(p, result);
  reliability(p, json_object_get(result, "cells"));
  slice_chart(p, result, "auc", "ROC-AUC");
  if (probabilities) slice_chart(p, result, "ratio", "sum of p / sum of y");
  wn_buf_str(p->out, "</div>");
  wn_page_end(p);
}

static void verdict(wn_page *p) {
  const json_t *result = json_object_get(p->in->predicted, "predictions");
  const json_t *auc = json_object_get(json_object_get(result, "metrics"), "auc");
  const json_t *guards = json_object_get(result, "guards");
  size_t fails = wn_page_guards_in(guards, "fail"), warns = wn_page_guards_in(guards, "warn");
  wn_buf_printf(p->out, "<div class=\"verdict %s\" role=\"status\"><strong>ROC-AUC %.4f",
                fails > 0   ? "bad"
                : warns > 0 ? "warn"
                            : "good",
                wn_page_number(auc, "mean"));
  if (!isnan(wn_page_number(auc, "low")))
    wn_buf_printf(p->out, " <small>(%.4f to %.4f)</small>", wn_page_number(auc, "low"),
                  wn_page_number(auc, "high"));
  wn_buf_str(p->out, fails > 0   ? ": worse than saying the same of everybody."
                     : warns > 0 ? ": to be read with its guards."
                                 : ", and nothing speaks against the numbers.");
  wn_buf_str(p->out, "</strong>");
  wn_page_guards(p, guards);
  wn_buf_str(p->out, "</div>\n");
}

wn_status wn_report_predictions_html(const wn_report_input *input, wn_buf *out, wn_error *err) {
  wn_page *p = wn_calloc(1, sizeof *p);
  wn_status status = WN_OK;
  if (p == NULL) return wn_fail_memory(err);
  *p = (wn_page){.out = out, .in = input};
  wn_page_head(p, "Predictions");
  verdict(p);
  wn_page_predicted(p);
  WN_TRY(wn_page_numbers(p, err));
  wn_page_foot(p);
  if (out->failed) WN_TRY(wn_fail_memory(err));
cleanup:
  wn_free(p);
  return status;
}
