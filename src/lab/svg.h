#ifndef WN_LAB_SVG_H
#define WN_LAB_SVG_H
/* Charts as inline SVG: axes with units, tooltips by <title>, colours by class, so that the page's
 * style decides on light and dark. No script. */

#include "base/str.h"
#include <stddef.h>

/* Data to pixels, linearly. */
typedef struct wn_scale {
  double low, high; /* of the data */
  double from, to;  /* pixels */
} wn_scale;
double wn_scale_at(const wn_scale *scale, double value);
/* Widened to multiples of a step of 1, 2 or 5 times a power of ten. */
wn_scale wn_scale_nice(double low, double high);
/* At most `max`; *decimals is what telling them apart takes. */
size_t wn_scale_ticks(const wn_scale *scale, double *ticks, size_t max, int *decimals);

typedef struct wn_chart {
  wn_buf *out;
  wn_scale x, y; /* low and high are the caller's */
  double width, height;
  double left, top, right, bottom; /* margins */
  const char *x_label, *y_label;   /* NULL: none */
  bool x_times;                    /* x is Unix milliseconds */
  bool no_y_ticks;                 /* rows with names of their own */
  bool alone;                      /* a file of its own: brings its style */
} wn_chart;
/* Opens <svg> and draws the axes; fills the scales' pixels. */
void wn_chart_begin(wn_chart *chart, const char *title);
void wn_chart_end(wn_chart *chart);

/* In data coordinates; `style` is a class such as "s0" or "base". `title` NULL: none. NaN points
 * break a line. */
typedef struct wn_points {
  const double *x, *y, *low, *high; /* low and high: of a band; NULL: none */
  size_t n;
} wn_points;
void wn_chart_line(wn_chart *chart, const wn_points *points, const char *style, const char *title);
void wn_chart_dot(wn_chart *chart, double x, double y, const char *style, const char *title);
void wn_chart_interval(wn_chart *chart, const double at[3] /* low, mean, high */, double y,
                       const char *style, const char *title);
/* Error bars both ways and a dot; low, mean, high. */
void wn_chart_cross(wn_chart *chart, const double x[3], const double y[3], const char *style,
                    const char *title);
void wn_chart_bar(wn_chart *chart, const double corners[4] /* x y x y */, const char *style,
                  const char *title);
void wn_chart_rule(wn_chart *chart, double x, const char *style); /* vertical */
/* anchor: "start", "middle" or "end"; dx and dy in pixels */
typedef struct wn_label {
  double x, y, dx, dy;
  const char *anchor, *style;
} wn_label;
void wn_chart_text(wn_chart *chart, const wn_label *at, const char *text);

void wn_html_text(wn_buf *out, const char *text); /* escaped */

#endif
