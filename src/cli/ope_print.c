/* An off-policy evaluation as a table. */
#include "cli/ope_print.h"

#include <math.h>

static void add_line(wn_table *table, const wn_ope_line *line) {
  wn_table_cell(table, "%s", line->name);
  if (line->refused || line->missing != NULL) {
    wn_table_cell(table, line->refused ? "refused" : "–");
    for (int i = 0; i < 3; i++) wn_table_cell(table, "%s", "");
    return;
  }
  wn_table_cell(table, "%.5f", line->value);
  if (isnan(line->se)) {
    wn_table_cell(table, "the model's bias is not known");
    wn_table_cell(table, "%s", "");
  } else {
    wn_table_cell(table, "%.5f–%.5f", line->low, line->high);
    wn_table_cell(table, "%.5f", line->se);
  }
  wn_table_cell(table, isnan(line->lambda) ? "%s" : "%s%g", "", line->lambda);
}

static void print_guard(const wn_ope_diagnostics *d, const char *of, wn_buf *out) {
  wn_buf_printf(
      out,
      "weights of %s: mean %.4g (z = %+.3g), largest %.4g (%.3g%% of all), effective sample "
      "%.1f, %.1f%% are 0, not covered %.3g%%\n",
      of, d->mean_weight, d->mean_weight_z, d->max_weight, 100 * d->max_share, d->ess,
      100 * d->zero_share, 100 * d->uncovered);
  if (d->refused) wn_buf_printf(out, "REFUSED: %s\n", d->why);
}

static void print_part(const wn_ope_line *logged, const wn_ope_line *lines, size_t n,
                       const char *unit, wn_buf *out) {
  wn_table table;
  const char *missing = NULL;
  wn_table_init(&table, 5, 0x1E);
  const char *head[] = {unit, "value", "95%", "se", "lambda"};
  for (size_t i = 0; i < 5; i++) wn_table_cell(&table, "%s", head[i]);
  add_line(&table, logged);
  for (size_t i = 0; i < n; i++) {
    add_line(&table, &lines[i]);
    if (lines[i].missing != NULL) missing = lines[i].missing;
  }
  wn_table_print(&table, out);
  if (missing != NULL) wn_buf_printf(out, "–: needs %s\n", missing);
}

void wn_ope_print(const wn_ope_result *r, const char *policy, wn_buf *out) {
  wn_buf_printf(out, "%zu impressions in %zu slates, %zu items; policy: %s\n\n", r->rows,
                r->decisions, r->items, policy);
  print_part(&r->logged, r->lines, r->lines_len, "a shown item", out);
  print_guard(&r->guard, "items", out);
  if (r->slates_len > 0) {
    wn_buf_char(out, '\n');
    print_part(&r->slate_logged, r->slates, r->slates_len, "a slate", out);
    print_guard(&r->slate_guard, "slates", out);
  }
  wn_buf_printf(out, "95%% intervals: %s",
                r->bootstrapped ? "percentile bootstrap over slates" : "normal, spread by slate");
}

int wn_ope_exit(const wn_ope_result *r) {
  return r->guard.refused && (r->slates_len == 0 || r->slate_guard.refused);
}
