/* A scenario's record as JSON and as a plot. */
#include "cli/stage.h"

#include "base/file.h"
#include "lab/svg.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void write_points(const wn_series *s, wn_json *json) {
  wn_json_array(json);
  for (size_t i = 0; i < s->len; i++) {
    wn_json_object(json);
    if (s->labels[i][0] != '\0') {
      wn_json_key(json, "label");
      wn_json_cstring(json, s->labels[i]);
    }
    const struct {
      const char *key;
      double value;
    } numbers[] = {{"x", s->x[i]}, {"y", s->y[i]}, {"low", s->low[i]}, {"high", s->high[i]}};
    bool interval = s->low[i] < s->high[i];
    for (size_t n = 0; n < (interval ? 4 : 2); n++) {
      wn_json_key(json, numbers[n].key);
      wn_json_double(json, numbers[n].value);
    }
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void write_json(const wn_stage *t, double seconds, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "scenario");
  wn_json_cstring(&json, t->name);
  wn_json_key(&json, "claim");
  wn_json_cstring(&json, t->claim);
  wn_json_key(&json, "holds");
  wn_json_bool(&json, !t->failed);
  wn_json_key(&json, "small");
  wn_json_bool(&json, t->small);
  wn_json_key(&json, "seed");
  wn_json_int(&json, (int64_t)t->seed);
  wn_json_key(&json, "seconds");
  wn_json_double(&json, round(seconds));
  wn_json_key(&json, "x");
  wn_json_cstring(&json, t->x_label);
  wn_json_key(&json, "y");
  wn_json_cstring(&json, t->y_label);
  wn_json_key(&json, "series");
  wn_json_object(&json);
  for (size_t s = 0; s < t->series_len; s++) {
    wn_json_key(&json, t->series[s].name);
    write_points(&t->series[s], &json);
  }
  wn_json_end_object(&json);
  wn_buf_printf(out, ",\"figures\":{%.*s},\"checks\":[%.*s]", (int)t->figures.len,
                t->figures.len > 0 ? t->figures.data : "", (int)t->checks.len,
                t->checks.len > 0 ? t->checks.data : "");
  wn_json_end_object(&json);
}

static void draw_series(wn_chart *chart, const wn_series *s, size_t number) {
  char style[8];
  snprintf(style, sizeof style, "s%zu", number % 6);
  const wn_points points = {.x = s->x, .y = s->y, .n = s->len};
  if (!s->dots) wn_chart_line(chart, &points, style, s->name);
  for (size_t i = 0; i < s->len; i++) {
    const double x[3] = {s->x[i], s->x[i], s->x[i]}, y[3] = {s->low[i], s->y[i], s->high[i]};
    if (s->dots || s->low[i] < s->high[i]) wn_chart_cross(chart, x, y, style, s->name);
    wn_label at = {s->x[i], s->y[i], 7, -5, "start", style};
    if (s->labels[i][0] != '\0') wn_chart_text(chart, &at, s->labels[i]);
  }
}

static void legend(wn_chart *chart, const wn_stage *t) {
  for (size_t s = 0; s < t->series_len; s++) {
    char style[16];
    snprintf(style, sizeof style, "name s%zu", s % 6);
    wn_label at = {chart->x.low, chart->y.high, 8, 14 + 15 * (double)s, "start", style};
    wn_chart_text(chart, &at, t->series[s].name);
  }
}

static void plot(const wn_stage *t, wn_buf *out) {
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  for (size_t s = 0; s < t->series_len; s++)
    for (size_t i = 0; i < t->series[s].len; i++) {
      low[0] = fmin(low[0], t->series[s].x[i]);
      high[0] = fmax(high[0], t->series[s].x[i]);
      low[1] = fmin(low[1], t->series[s].low[i]);
      high[1] = fmax(high[1], t->series[s].high[i]);
    }
  if (!isnan(t->rule)) {
    low[1] = fmin(low[1], t->rule);
    high[1] = fmax(high[1], t->rule);
  }
  high[1] += 0.15 * (high[1] - low[1]); /* the legend's room */
  wn_chart chart = {.out = out,
                    .x = wn_scale_nice(low[0], high[0]),
                    .y = wn_scale_nice(low[1], high[1]),
                    .width = 720,
                    .height = 380,
                    .left = 60,
                    .top = 24,
                    .right = 40,
                    .bottom = 44,
                    .x_label = t->x_label,
                    .y_label = t->y_label,
                    .alone = true};
  wn_chart_begin(&chart, t->title);
  if (!isnan(t->rule)) {
    const double x[2] = {chart.x.low, chart.x.high}, y[2] = {t->rule, t->rule};
    wn_chart_line(&chart, &(wn_points){.x = x, .y = y, .n = 2}, "base", NULL);
  }
  for (size_t s = 0; s < t->series_len; s++) draw_series(&chart, &t->series[s], s);
  legend(&chart, t);
  wn_chart_end(&chart);
}

static wn_status write_file(const wn_stage *t, const char *ending, const wn_buf *text,
                            wn_error *err) {
  char path[1024];
  if (text->failed) return wn_fail_memory(err);
  snprintf(path, sizeof path, "%.900s/%.60s.%s", t->out, t->name, ending);
  return wn_write_file_atomic(path, (wn_str){text->data, text->len}, err);
}

wn_status wn_stage_write(wn_stage *t, double seconds, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf json = {0}, svg = {0};
  if (mkdir(t->out, 0777) != 0 && errno != EEXIST)
    WN_TRY(wn_fail_errno(err, "out", "cannot make %s", t->out));
  write_json(t, seconds, &json);
  plot(t, &svg);
  WN_TRY(write_file(t, "json", &json, err));
  WN_TRY(write_file(t, "svg", &svg, err));
cleanup:
  wn_buf_clear(&json);
  wn_buf_clear(&svg);
  return status;
}
