/* The charts of accuracy: differences, curves over the cutoff, users, slices, time. */
#include "lab/report_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURVES_MAX  8
#define SLICE_ROWS  3 /* models shown in each slice */
#define CUTOFFS_MAX 16

/* --- forest: paired differences --- */

typedef struct difference {
  const char *model, *style;
  double at[3]; /* low, mean, high */
  double p;
} difference;

static bool difference_of(const json_t *c, difference *d) {
  const json_t *x = json_object_get(c, "difference");
  d->at[0] = wn_page_number(x, "low");
  d->at[1] = wn_page_number(x, "mean");
  d->at[2] = wn_page_number(x, "high");
  d->p = wn_page_number(c, "flip_p");
  return !isnan(d->at[1]);
}

static void forest(wn_page *p, const difference *all, size_t n, const char *against) {
  char title[200], label[100];
  double low = 0, high = 0;
  for (size_t i = 0; i < n; i++) {
    low = fmin(low, all[i].at[0]);
    high = fmax(high, all[i].at[2]);
  }
  wn_chart c = {.out = p->out,
                .width = 480,
                .height = 46 + 24 * (double)n,
                .left = 118,
                .top = 6,
                .right = 16,
                .bottom = 38,
                .no_y_ticks = true,
                .x = wn_scale_nice(low, high),
                .y = {.low = -0.5, .high = (double)n - 0.5},
                .x_label = label};
  snprintf(label, sizeof label, "difference in %s", p->label);
  snprintf(title, sizeof title, "paired differences against %s", against);
  wn_buf_str(p->out, "<div><h3>over ");
  wn_html_text(p->out, against);
  wn_buf_str(p->out, "</h3>");
  wn_chart_begin(&c, title);
  wn_chart_rule(&c, 0, "zero");
  for (size_t i = 0; i < n; i++) {
    double y = (double)(n - 1 - i);
    snprintf(title, sizeof title, "%s: %+.4f%s%s", all[i].model, all[i].at[1],
             wn_page_span(all[i].at[0], all[i].at[2], true).text, wn_page_p("p", all[i].p).text);
    wn_chart_text(&c, &(wn_label){c.x.low, y, -8, 4, "end", "name"}, all[i].model);
    wn_chart_interval(&c, all[i].at, y, all[i].style, title);
  }
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
}

void wn_page_forest(wn_page *p) {
  difference over[2][WN_REPORT_ROWS];
  size_t n[2] = {0, 0};
  for (size_t i = 0; i < p->len; i++) {
    const json_t *row = wn_page_row(p, i);
    const char *name = wn_page_name(p, i);
    const json_t *both[] = {json_object_get(wn_page_extra(p, name), "over_incumbent"),
                            json_object_get(row, "over_popular")};
    for (int k = 0; k < 2; k++) {
      difference *d = &over[k][n[k]];
      *d = (difference){.model = name, .style = p->style[p->order[i]]};
      n[k] += difference_of(both[k], d);
    }
  }
  wn_page_section(p, "differences", "Who is better, on the same users",
                  "Difference of each user's number, averaged, with its 95% interval. An interval "
                  "that holds 0 is no difference that this data can show.");
  wn_buf_str(p->out, "<div class=\"grid2\">");
  if (n[0] > 0) forest(p, over[0], n[0], p->incumbent);
  if (n[1] > 0) forest(p, over[1], n[1], "popular");
  wn_buf_str(p->out, "</div>");
  wn_page_end(p);
}

/* --- curves --- */

static void curve_chart(wn_page *p, const char *metric, const char *label) {
  double x[CUTOFFS_MAX], y[CURVES_MAX][CUTOFFS_MAX], low[CURVES_MAX][CUTOFFS_MAX],
      high[CURVES_MAX][CUTOFFS_MAX], most = 0;
  size_t n = json_array_size(json_object_get(wn_page_row(p, 0), "at")), lines = 0;
  if (n > CUTOFFS_MAX) n = CUTOFFS_MAX;
  for (; lines < p->len && lines < CURVES_MAX; lines++)
    for (size_t c = 0; c < n; c++) {
      const json_t *row = wn_page_row(p, lines);
      x[c] = wn_page_number(json_array_get(json_object_get(row, "at"), c), "k");
      y[lines][c] = wn_page_metric(row, c, metric, &low[lines][c], &high[lines][c]);
      most = fmax(most, fmax(y[lines][c], isnan(high[lines][c]) ? 0 : high[lines][c]));
    }
  if (n == 0 || isnan(y[0][0])) return;
  wn_chart c = {.out = p->out,
                .width = 480,
                .height = 270,
                .left = 46,
                .top = 20,
                .right = 14,
                .bottom = 38,
                .x = wn_scale_nice(0, x[n - 1]),
                .y = wn_scale_nice(0, most),
                .x_label = "length of the list (k)",
                .y_label = label};
  wn_buf_str(p->out, "<div>");
  wn_chart_begin(&c, metric);
  for (size_t i = lines; i-- > 0;) {
    const char *style = p->style[p->order[i]], *name = wn_page_name(p, i);
    char title[200];
    bool interval = !isnan(low[i][0]);
    wn_points points = {x, y[i], interval ? low[i] : NULL, interval ? high[i] : NULL, n};
    wn_chart_line(&c, &points, style, name);
    for (size_t k = 0; k < n; k++) {
      snprintf(title, sizeof title, "%s: %s@%.0f %.4f%s", name, label, x[k], y[i][k],
               wn_page_span(low[i][k], high[i][k], false).text);
      wn_chart_dot(&c, x[k], y[i][k], style, title);
    }
  }
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
}

void wn_page_curves(wn_page *p) {
  wn_page_section(p, "curves", "By length of the list",
                  "Means over users; bands are 95% intervals by bootstrap over users.");
  wn_page_legend(p, CURVES_MAX);
  wn_buf_str(p->out, "<div class=\"grid2\">");
  curve_chart(p, "ndcg", "NDCG");
  curve_chart(p, "recall", "recall");
  wn_buf_str(p->out, "</div>");
  wn_page_end(p);
}

/* --- users --- */

static void histogram(wn_page *p, size_t i) {
  const char *name = wn_page_name(p, i);
  const json_t *bins = json_object_get(wn_page_extra(p, name), "histogram");
  size_t n = json_array_size(bins);
  double all = 0, most = 0;
  for (size_t b = 0; b < n; b++) all += json_number_value(json_array_get(bins, b));
  if (!(all > 0)) return;
  for (size_t b = 1; b < n; b++)
    most = fmax(most, json_number_value(json_array_get(bins, b)) / all);
  double zero = json_number_value(json_array_get(bins, 0)) / all, width = 1 / (double)(n - 1);
  wn_chart c = {.out = p->out,
                .width = 400,
                .height = 170,
                .left = 40,
                .top = 20,
                .right = 8,
                .bottom = 36,
                .x = {.low = 0, .high = 1},
                .y = wn_scale_nice(0, fmax(most, 0.01)),
                .x_label = p->label,
                .y_label = "share of users"};
  wn_buf_str(p->out, "<div><h3>");
  wn_html_text(p->out, name);
  wn_buf_printf(p->out, " <small>%.1f%% of users at 0</small></h3>", 100 * zero);
  wn_chart_begin(&c, name);
  for (size_t b = 1; b < n; b++) {
    char title[120];
    double share = json_number_value(json_array_get(bins, b)) / all, x = (double)(b - 1) * width;
    snprintf(title, sizeof title, "%.2f to %.2f: %.2f%% of users", x, x + width, 100 * share);
    if (share > 0)
      wn_chart_bar(&c, (const double[]){x + width * 0.08, 0, x + width * 0.92, share},
                   p->style[p->order[i]], title);
  }
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
}

static void win_row(wn_chart *c, const json_t *over, const char *name, double y) {
  const char *const parts[] = {"wins", "ties", "losses"}, *const styles[] = {"win", "tie", "loss"};
  double sum = 0, at = 0;
  for (int k = 0; k < 3; k++) sum += wn_page_number(over, parts[k]);
  if (!(sum > 0)) return;
  wn_chart_text(c, &(wn_label){0, y, -8, 4, "end", "name"}, name);
  for (int k = 0; k < 3; k++) {
    char title[160];
    double share = wn_page_number(over, parts[k]) / sum;
    snprintf(title, sizeof title, "%s: %.1f%% %s", name, 100 * share, parts[k]);
    wn_chart_bar(c, (const double[]){at, y - 0.34, at + share, y + 0.34}, styles[k], title);
    at += share;
  }
}

static void wins(wn_page *p) {
  const char *against = p->incumbent != NULL ? p->incumbent : "popular", *name[CURVES_MAX];
  const json_t *over[CURVES_MAX];
  size_t n = 0;
  for (size_t i = 0; i < p->len && n < CURVES_MAX; i++) {
    name[n] = wn_page_name(p, i);
    over[n] = p->incumbent != NULL ? json_object_get(wn_page_extra(p, name[n]), "over_incumbent")
                                   : json_object_get(wn_page_row(p, i), "over_popular");
    n += over[n] != NULL;
  }
  wn_chart c = {.out = p->out,
                .width = 980,
                .height = 42 + 22 * (double)n,
                .left = 130,
                .top = 4,
                .right = 12,
                .bottom = 36,
                .no_y_ticks = true,
                .x = {.low = 0, .high = 1},
                .y = {.low = -0.5, .high = (double)n - 0.5},
                .x_label = "share of users"};
  wn_buf_str(
      p->out,
      "<h3>Users who are better off (green), alike (grey) and worse off (orange) than with ");
  wn_html_text(p->out, against);
  wn_buf_str(p->out, "</h3>");
  wn_chart_begin(&c, "wins, ties and losses by user");
  for (size_t i = 0; i < n; i++) win_row(&c, over[i], name[i], (double)(n - 1 - i));
  wn_chart_end(&c);
}

void wn_page_users(wn_page *p) {
  if (json_array_size(json_object_get(wn_page_extra(p, wn_page_name(p, 0)), "histogram")) == 0)
    return;
  wn_page_section(p, "users", "User by user",
                  "A mean hides whom it is made of. Users for whom nothing relevant was found are "
                  "counted in the title and left out of the bars.");
  wn_buf_str(p->out, "<div class=\"grid3\">");
  for (size_t i = 0; i < p->len; i++)
    if (i == 0 || strcmp(wn_page_name(p, i), "popular") == 0 ||
        (p->incumbent != NULL && strcmp(wn_page_name(p, i), p->incumbent) == 0))
      histogram(p, i);
  wn_buf_str(p->out, "</div>");
  wins(p);
  wn_page_end(p);
}

/* --- slices --- */

/* One grouping (`of` and `by` of `first`) of the best models, group by group. */
static void slice_chart(wn_page *p, const json_t *first) {
  const char *of = wn_page_text(first, "of"), *by = wn_page_text(first, "by");
  const json_t *slice, *slices = json_object_get(wn_page_row(p, 0), "slices");
  size_t n = 0, s;
  double most = 0;
  json_array_foreach((json_t *)(uintptr_t)slices, s,
                     slice) if (strcmp(wn_page_text(slice, "by"), by) == 0 &&
                                strcmp(wn_page_text(slice, "of"), of) == 0) {
    for (size_t i = 0; i < SLICE_ROWS && i < p->len; i++)
      most = fmax(
          most, wn_page_number(
                    json_object_get(json_array_get(json_object_get(wn_page_row(p, i), "slices"), s),
                                    "value"),
                    "high"));
    n++;
  }
  wn_chart c = {.out = p->out,
                .width = 480,
                .height = 44 + 30 * (double)n,
                .left = 130,
                .top = 4,
                .right = 14,
                .bottom = 38,
                .no_y_ticks = true,
                .x = wn_scale_nice(0, most > 0 ? most : 1),
                .y = {.low = -0.5, .high = (double)n - 0.5},
                .x_label = strcmp(of, "items") == 0 ? "recall of the group's items" : p->label};
  wn_buf_printf(p->out, "<div><h3>%s by ", of);
  wn_html_text(p->out, by);
  wn_buf_str(p->out, "</h3>");
  wn_chart_begin(&c, by);
  size_t at = 0;
  json_array_foreach((json_t *)(uintptr_t)slices, s, slice) {
    if (strcmp(wn_page_text(slice, "by"), by) != 0 || strcmp(wn_page_text(slice, "of"), of) != 0)
      continue;
    double y = (double)(n - 1 - at++);
    wn_chart_text(&c, &(wn_label){0, y, -8, 4, "end", "name"}, wn_page_text(slice, "name"));
    for (size_t i = 0; i < SLICE_ROWS && i < p->len; i++) {
      const json_t *mine = json_array_get(json_object_get(wn_page_row(p, i), "slices"), s);
      const json_t *value = json_object_get(mine, "value");
      double low = wn_page_number(value, "low"), mean = wn_page_number(value, "mean");
      char title[240];
      snprintf(title, sizeof title, "%s, %s: %.4f%s, %.0f users%s", wn_page_name(p, i),
               wn_page_text(mine, "name"), mean,
               wn_page_span(low, wn_page_number(value, "high"), false).text,
               wn_page_number(mine, "users"),
               wn_page_p("adjusted p", wn_page_number(mine, "p_adjusted")).text);
      double high = wn_page_number(value, "high"), height = y + 0.26 * (1 - (double)i);
      wn_chart_interval(&c, (const double[]){fmax(0, low), mean, high}, height,
                        p->style[p->order[i]], title);
      if (wn_page_number(mine, "p_adjusted") < 0.05)
        wn_chart_text(&c, &(wn_label){isnan(high) ? mean : high, height, 4, 6, "start", "name"},
                      "*");
    }
  }
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
}

void wn_page_slices(wn_page *p) {
  const json_t *slices = json_object_get(wn_page_row(p, 0), "slices");
  const json_t *slice, *before = NULL;
  size_t s;
  if (json_array_size(slices) == 0) return;
  wn_page_section(
      p, "slices", "For whom, and for what",
      "The best three by group. * differs from the rest of its row: p &lt; .05, adjusted "
      "for the number of groups (Benjamini–Hochberg).");
  wn_page_legend(p, SLICE_ROWS);
  wn_buf_str(p->out, "<div class=\"grid2\">");
  json_array_foreach((json_t *)(uintptr_t)slices, s, slice) {
    if (before == NULL || strcmp(wn_page_text(slice, "by"), wn_page_text(before, "by")) != 0 ||
        strcmp(wn_page_text(slice, "of"), wn_page_text(before, "of")) != 0)
      slice_chart(p, slice);
    before = slice;
  }
  wn_buf_str(p->out, "</div>");
  wn_page_end(p);
}

/* --- time --- */

void wn_page_timeline(wn_page *p) {
  const json_t *t = json_object_get(p->in->evaluation, "timeline");
  const json_t *parts[] = {json_object_get(t, "train"), json_object_get(t, "test")};
  double first = wn_page_number(t, "first_ms"), last = wn_page_number(t, "last_ms"), most = 0;
  size_t n = json_array_size(parts[0]);
  if (n == 0 || !(last > first)) return;
  for (size_t i = 0; i < n; i++)
    most = fmax(most, json_number_value(json_array_get(parts[0], i)) +
                          json_number_value(json_array_get(parts[1], i)));
  wn_page_section(p, "timeline", "Train and test in time",
                  "Events of train (blue) and test (orange). What overlaps in time can leak.");
  wn_chart c = {.out = p->out,
                .width = 980,
                .height = 190,
                .left = 60,
                .top = 20,
                .right = 40,
                .bottom = 24,
                .x = {.low = first, .high = last},
                .y = wn_scale_nice(0, most),
                .x_times = true,
                .y_label = "events"};
  double cut = wn_page_number(p->in->evaluation, "cut_ms"), step = (last - first) / (double)n;
  wn_chart_begin(&c, "events in time");
  for (size_t i = 0; i < n; i++) {
    double below = 0, x = first + step * (double)i;
    for (int k = 0; k < 2; k++) {
      char title[80];
      double count = json_number_value(json_array_get(parts[k], i));
      snprintf(title, sizeof title, "%.0f events of %s", count, k == 0 ? "train" : "test");
      if (count > 0)
        wn_chart_bar(&c, (const double[]){x + step * 0.05, below, x + step * 0.95, below + count},
                     k == 0 ? "train" : "test", title);
      below += count;
    }
  }
  if (!isnan(cut)) wn_chart_rule(&c, cut, "cut");
  wn_chart_end(&c);
  wn_page_end(p);
}
