/* Charts as text. Coordinates carry one decimal: a tenth of a pixel is nothing to the eye, and a
 * page of charts stays small. */
#include "lab/svg.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TICKS_MAX 12

void wn_html_text(wn_buf *out, const char *text) {
  for (; *text != '\0'; text++) {
    switch (*text) {
    case '&': wn_buf_str(out, "&amp;"); break;
    case '<': wn_buf_str(out, "&lt;"); break;
    case '>': wn_buf_str(out, "&gt;"); break;
    case '"': wn_buf_str(out, "&quot;"); break;
    default: wn_buf_char(out, *text);
    }
  }
}

/* --- scales --- */

double wn_scale_at(const wn_scale *s, double value) {
  double span = s->high - s->low;
  return s->from + (span > 0 ? (value - s->low) / span : 0.5) * (s->to - s->from);
}

static double step_of(double span) {
  double rough = span / 5, power = pow(10, floor(log10(rough)));
  double times = rough / power;
  return power * (times <= 1 ? 1 : times <= 2 ? 2 : times <= 5 ? 5 : 10);
}

wn_scale wn_scale_nice(double low, double high) {
  if (!(high > low)) {
    double room = fmax(fabs(low) * 0.1, 1e-3);
    low -= room;
    high += room;
  }
  double step = step_of(high - low);
  return (wn_scale){.low = floor(low / step + 1e-9) * step,
                    .high = ceil(high / step - 1e-9) * step};
}

size_t wn_scale_ticks(const wn_scale *s, double *ticks, size_t max, int *decimals) {
  double step = step_of(s->high - s->low);
  size_t n = 0;
  *decimals = (int)fmax(0, ceil(-log10(step) - 1e-9));
  for (double i = ceil(s->low / step - 1e-6); n < max && i * step <= s->high + step * 1e-6; i++)
    ticks[n++] = i * step;
  return n;
}

/* --- frame --- */

static void time_label(double ms, char *buf, size_t size) {
  char text[40];
  wn_time_format((int64_t)ms, text, sizeof text);
  snprintf(buf, size, "%.10s", text);
}

static void x_axis(const wn_chart *c) {
  double ticks[TICKS_MAX], base = c->height - c->bottom;
  int decimals = 0;
  size_t n = wn_scale_ticks(&c->x, ticks, TICKS_MAX, &decimals);
  if (c->x_times) { /* the ends and the middle, as dates */
    n = 3;
    for (size_t i = 0; i < 3; i++) ticks[i] = c->x.low + (c->x.high - c->x.low) * (double)i / 2;
  }
  for (size_t i = 0; i < n; i++) {
    char label[40];
    double at = wn_scale_at(&c->x, ticks[i]);
    if (c->x_times)
      time_label(ticks[i], label, sizeof label);
    else
      snprintf(label, sizeof label, "%.*f", decimals, ticks[i] == 0 ? 0.0 : ticks[i]);
    wn_buf_printf(c->out,
                  "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                  "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>",
                  at, at, c->top, base, at, base + 15, label);
  }
}

static void y_axis(const wn_chart *c) {
  double ticks[TICKS_MAX];
  int decimals;
  size_t n = c->no_y_ticks ? 0 : wn_scale_ticks(&c->y, ticks, TICKS_MAX, &decimals);
  for (size_t i = 0; i < n; i++) {
    double at = wn_scale_at(&c->y, ticks[i]);
    wn_buf_printf(c->out,
                  "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
                  "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>",
                  c->left, c->width - c->right, at, at, c->left - 6, at + 4, decimals,
                  ticks[i] == 0 ? 0.0 : ticks[i]);
  }
}

/* On white, so that it can be read on a dark page as well. */
static void alone_style(wn_buf *out) {
  static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73",
                                        "#cc79a7", "#e69f00", "#56b4e9"};
  wn_buf_str(out, "<style>text{font:12px system-ui,sans-serif;fill:#333}.grid{stroke:#e4e4e4}"
                  ".line{fill:none;stroke-width:2}.band{opacity:.15}"
                  ".base{stroke:#777;stroke-dasharray:4 3}");
  for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
    wn_buf_printf(out,
                  ".line.s%zu,.s%zu .whisker{stroke:%s}.dot.s%zu,.s%zu .dot,.bar.s%zu,.band.s%zu,"
                  ".name.s%zu{fill:%s}",
                  i, i, colours[i], i, i, i, i, i, colours[i]);
  wn_buf_str(out, "</style><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>");
}

void wn_chart_begin(wn_chart *c, const char *title) {
  c->x.from = c->left;
  c->x.to = c->width - c->right;
  c->y.from = c->height - c->bottom;
  c->y.to = c->top;
  wn_buf_printf(
      c->out,
      "<svg viewBox=\"0 0 %.0f %.0f\" style=\"max-width:%.0fpx\" role=\"img\" aria-label=\"",
      c->width, c->height, c->width);
  wn_html_text(c->out, title);
  if (c->alone)
    wn_buf_printf(c->out, "\" xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f",
                  c->width, c->height);
  wn_buf_str(c->out, "\">");
  if (c->alone) alone_style(c->out);
  x_axis(c);
  y_axis(c);
  if (c->x_label != NULL) {
    wn_buf_printf(c->out, "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
                  c->width - c->right, c->height - 4);
    wn_html_text(c->out, c->x_label);
    wn_buf_str(c->out, "</text>");
  }
  if (c->y_label != NULL) {
    wn_buf_printf(c->out, "<text class=\"axis\" x=\"%.1f\" y=\"%.1f\">", 2.0, c->top - 9);
    wn_html_text(c->out, c->y_label);
    wn_buf_str(c->out, "</text>");
  }
}

void wn_chart_end(wn_chart *c) {
  wn_buf_str(c->out, "</svg>\n");
}

/* --- marks --- */

static void close_with_title(wn_chart *c, const char *element, const char *title) {
  if (title == NULL) {
    wn_buf_str(c->out, "/>");
    return;
  }
  wn_buf_str(c->out, "><title>");
  wn_html_text(c->out, title);
  wn_buf_printf(c->out, "</title></%s>", element);
}

static void band(wn_chart *c, const wn_points *p, const char *style) {
  wn_buf_printf(c->out, "<path class=\"band %s\" d=\"", style);
  for (size_t i = 0; i < 2 * p->n; i++) {
    size_t at = i < p->n ? i : 2 * p->n - 1 - i;
    const double *edge = i < p->n ? p->low : p->high;
    if (isnan(edge[at])) continue;
    wn_buf_printf(c->out, "%s%.1f,%.1f", i == 0 ? "M" : "L", wn_scale_at(&c->x, p->x[at]),
                  wn_scale_at(&c->y, edge[at]));
  }
  wn_buf_str(c->out, "Z\"/>");
}

void wn_chart_line(wn_chart *c, const wn_points *p, const char *style, const char *title) {
  bool open = false;
  if (p->low != NULL) band(c, p, style);
  wn_buf_printf(c->out, "<path class=\"line %s\" d=\"", style);
  for (size_t i = 0; i < p->n; i++) {
    if (isnan(p->y[i])) {
      open = false;
      continue;
    }
    wn_buf_printf(c->out, "%s%.1f,%.1f", open ? "L" : "M", wn_scale_at(&c->x, p->x[i]),
                  wn_scale_at(&c->y, p->y[i]));
    open = true;
  }
  wn_buf_char(c->out, '"');
  close_with_title(c, "path", title);
}

void wn_chart_dot(wn_chart *c, double x, double y, const char *style, const char *title) {
  if (isnan(x) || isnan(y)) return;
  wn_buf_printf(c->out, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"", style,
                wn_scale_at(&c->x, x), wn_scale_at(&c->y, y));
  close_with_title(c, "circle", title);
}

/* A bound that nobody knows draws nothing. */
static double bound(const double at[3], size_t i) {
  return isnan(at[i]) ? at[1] : at[i];
}

void wn_chart_interval(wn_chart *c, const double at[3], double y, const char *style,
                       const char *title) {
  double py = wn_scale_at(&c->y, y);
  if (isnan(at[1])) return;
  wn_buf_printf(
      c->out,
      "<g class=\"%s\"><line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
      style, wn_scale_at(&c->x, bound(at, 0)), wn_scale_at(&c->x, bound(at, 2)), py, py);
  wn_buf_printf(c->out,
                "<rect class=\"dot\" x=\"%.1f\" y=\"%.1f\" width=\"8\" height=\"8\" rx=\"1.5\"",
                wn_scale_at(&c->x, at[1]) - 4, py - 4);
  close_with_title(c, "rect", title);
  wn_buf_str(c->out, "</g>");
}

void wn_chart_cross(wn_chart *c, const double x[3], const double y[3], const char *style,
                    const char *title) {
  double px = wn_scale_at(&c->x, x[1]), py = wn_scale_at(&c->y, y[1]);
  if (isnan(x[1]) || isnan(y[1])) return;
  wn_buf_printf(
      c->out,
      "<g class=\"%s\"><line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>"
      "<line class=\"whisker\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/></g>",
      style, wn_scale_at(&c->x, bound(x, 0)), wn_scale_at(&c->x, bound(x, 2)), py, py, px, px,
      wn_scale_at(&c->y, bound(y, 0)), wn_scale_at(&c->y, bound(y, 2)));
  wn_chart_dot(c, x[1], y[1], style, title);
}

void wn_chart_bar(wn_chart *c, const double corners[4], const char *style, const char *title) {
  double x0 = wn_scale_at(&c->x, corners[0]), y0 = wn_scale_at(&c->y, corners[1]);
  double x1 = wn_scale_at(&c->x, corners[2]), y1 = wn_scale_at(&c->y, corners[3]);
  wn_buf_printf(c->out,
                "<rect class=\"bar %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"",
                style, fmin(x0, x1), fmin(y0, y1), fabs(x1 - x0), fabs(y1 - y0));
  close_with_title(c, "rect", title);
}

void wn_chart_rule(wn_chart *c, double x, const char *style) {
  double at = wn_scale_at(&c->x, x);
  wn_buf_printf(c->out, "<line class=\"rule %s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
                style, at, at, c->top, c->height - c->bottom);
}

void wn_chart_text(wn_chart *c, const wn_label *at, const char *text) {
  wn_buf_printf(c->out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", at->style,
                wn_scale_at(&c->x, at->x) + at->dx, wn_scale_at(&c->y, at->y) + at->dy, at->anchor);
  wn_html_text(c->out, text);
  wn_buf_str(c->out, "</text>");
}
