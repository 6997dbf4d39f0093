/* A scatter as JSON and as a plot. */
#include "lab/scatter.h"

#include "lab/svg.h"

#include <math.h>
#include <stdio.h>

static void write_at(wn_json *json, const char *key, const double at[3]) {
  static const char *const keys[] = {"low", "mean", "high"};
  wn_json_key(json, key);
  if (isnan(at[1])) {
    wn_json_null(json);
    return;
  }
  wn_json_object(json);
  for (size_t i = 0; i < 3; i++) {
    wn_json_key(json, keys[i]);
    wn_json_double(json, at[i]);
  }
  wn_json_end_object(json);
}

static void write_number(wn_json *json, const char *key, double value) {
  wn_json_key(json, key);
  if (isnan(value))
    wn_json_null(json);
  else
    wn_json_double(json, value);
}

void wn_scatter_to_json(const wn_scatter *s, wn_json *json) {
  wn_json_object(json);
  wn_json_key(json, "offline");
  wn_json_cstring(json, s->offline);
  wn_json_key(json, "online");
  wn_json_cstring(json, s->online);
  wn_json_key(json, "points");
  wn_json_array(json);
  for (size_t i = 0; i < s->len; i++) {
    wn_json_object(json);
    wn_json_key(json, "policy");
    wn_json_cstring(json, s->points[i].name);
    write_at(json, "offline", s->points[i].offline);
    write_at(json, "online", s->points[i].online);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  wn_json_key(json, "policies");
  wn_json_int(json, (int64_t)s->both);
  write_number(json, "rank_correlation", s->rank);
  write_number(json, "low", s->low);
  write_number(json, "high", s->high);
  wn_json_key(json, "sentence");
  wn_json_cstring(json, s->sentence);
  wn_json_end_object(json);
}

static void reach(const double at[3], double *low, double *high) {
  if (isnan(at[1])) return;
  *low = fmin(*low, at[0]);
  *high = fmax(*high, at[2]);
}

/* Points without an online value stand on the axis, in grey. */
void wn_scatter_plot(const wn_scatter *s, wn_buf *svg) {
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  for (size_t i = 0; i < s->len; i++) {
    reach(s->points[i].offline, &low[0], &high[0]);
    reach(s->points[i].online, &low[1], &high[1]);
  }
  wn_chart chart = {
      .out = svg,
      .x = wn_scale_nice(low[0], high[0]),
      .y = wn_scale_nice(isfinite(low[1]) ? low[1] : 0, isfinite(high[1]) ? high[1] : 1),
      .width = 720,
      .height = 420,
      .left = 60,
      .top = 40,
      .right = 80,
      .bottom = 44,
      .x_label = s->offline,
      .y_label = s->online,
      .alone = true};
  wn_chart_begin(&chart, s->sentence);
  for (size_t i = 0; i < s->len; i++) {
    const wn_scatter_point *p = &s->points[i];
    bool both = !isnan(p->online[1]);
    const double axis[3] = {chart.y.low, chart.y.low, chart.y.low};
    const double *y = both ? p->online : axis;
    wn_chart_cross(&chart, p->offline, y, both ? "s0" : "s5", p->name);
    wn_label at = {p->offline[1], y[1], 7, -6, "start", both ? "name s0" : "name s5"};
    wn_chart_text(&chart, &at, p->name);
  }
  wn_label at = {chart.x.low, chart.y.high, 4, -22, "start", "name"};
  wn_chart_text(&chart, &at, s->sentence);
  wn_chart_end(&chart);
}
