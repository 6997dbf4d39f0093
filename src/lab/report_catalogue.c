/* The charts of the catalogue: who is shown, who is found, and what accuracy costs. */
#include "lab/report_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LINES_MAX  8
#define POINTS_MAX 64

/* Lines of an array of each row's. */
typedef struct spread {
  const char *key, *title, *x_label, *y_label;
  bool from_zero; /* x runs 0 … 1 over the points, else 1/n … 1 */
  bool diagonal;
} spread;

static void spread_chart(wn_page *p, const spread *s) {
  double x[POINTS_MAX], y[LINES_MAX][POINTS_MAX], most = 0;
  size_t n = json_array_size(json_object_get(wn_page_row(p, 0), s->key)), lines = 0;
  if (n < 2 || n > POINTS_MAX) return;
  for (size_t i = 0; i < n; i++)
    x[i] = s->from_zero ? (double)i / (double)(n - 1) : (double)(i + 1) / (double)n;
  for (; lines < p->len && lines < LINES_MAX; lines++)
    for (size_t i = 0; i < n; i++) {
      const json_t *value = json_array_get(json_object_get(wn_page_row(p, lines), s->key), i);
      y[lines][i] = json_is_number(value) ? json_number_value(value) : NAN;
      if (!isnan(y[lines][i])) most = fmax(most, y[lines][i]);
    }
  wn_chart c = {.out = p->out,
                .width = 370,
                .height = 250,
                .left = 44,
                .top = 20,
                .right = 14,
                .bottom = 38,
                .x = {.low = 0, .high = 1},
                .y = wn_scale_nice(0, most > 0 ? most : 1),
                .x_label = s->x_label,
                .y_label = s->y_label};
  wn_buf_printf(p->out, "<div><h3>%s</h3>", s->title);
  wn_chart_begin(&c, s->title);
  if (s->diagonal)
    wn_chart_line(&c, &(wn_points){(const double[]){0, 1}, (const double[]){0, 1}, NULL, NULL, 2},
                  "rest", "everything shown alike");
  for (size_t i = lines; i-- > 0;)
    wn_chart_line(&c, &(wn_points){x, y[i], NULL, NULL, n}, p->style[p->order[i]],
                  wn_page_name(p, i));
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
}

void wn_page_popularity(wn_page *p) {
  static const spread all[] = {{"lorenz", "Lorenz curve of recommendations",
                                "items, least shown first", "share shown", true, true},
                               {"unique_items", "Items behind the recommendations",
                                "share of recommendations", "items", false, false},
                               {"tpr_by_popularity", "Found, of what was relevant",
                                "tenths of train, most popular items first", "share found", false,
                                false}};
  if (json_array_size(json_object_get(wn_page_row(p, 0), "lorenz")) == 0) return;
  wn_page_section(p, "popularity", "Popularity",
                  "A model that only shows what everybody knows bends the first curve into the "
                  "corner and finds nothing at the right of the third.");
  wn_page_legend(p, LINES_MAX);
  wn_buf_str(p->out, "<div class=\"grid3\">");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) spread_chart(p, &all[i]);
  wn_buf_str(p->out, "</div>");
  wn_page_end(p);
}

/* --- accuracy against something else --- */

/* Boxes of dots and names, in pixels. */
typedef struct box {
  double left, top, right, bottom;
} box;

static bool collides(const box *a, const box *all, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (a->left < all[i].right && a->right > all[i].left && a->top < all[i].bottom &&
        a->bottom > all[i].top)
      return true;
  return false;
}

/* A name beside its dot where there is room; else none, and the tooltip has it. */
static void place_name(wn_chart *c, const double at[2], const char *name, box *taken, size_t *n) {
  static const struct {
    double dx, dy, left, right; /* of the text's width */
    const char *anchor;
  } places[] = {{7, 4, 0, 1, "start"},      {-7, 4, -1, 0, "end"},  {0, -8, -.5, .5, "middle"},
                {0, 16, -.5, .5, "middle"}, {6, 14, 0, 1, "start"}, {6, -7, 0, 1, "start"}};
  double width = 6.2 * (double)strlen(name), x = wn_scale_at(&c->x, at[0]),
         y = wn_scale_at(&c->y, at[1]);
  for (size_t k = 0; k < sizeof places / sizeof *places; k++) {
    double base = y + places[k].dy;
    box want = {x + places[k].dx + places[k].left * width, base - 10,
                x + places[k].dx + places[k].right * width, base + 2};
    if (want.left < c->left || want.right > c->width || collides(&want, taken, *n)) continue;
    wn_chart_text(
        c, &(wn_label){at[0], at[1], places[k].dx, places[k].dy, places[k].anchor, "tick"}, name);
    taken[(*n)++] = want;
    return;
  }
}

static bool tradeoff(wn_page *p, const char *metric, const char *label) {
  double x[WN_REPORT_ROWS], y[WN_REPORT_ROWS], low = INFINITY, high = -INFINITY, most = 0, unused;
  box taken[2 * WN_REPORT_ROWS];
  size_t known = 0, boxes = 0;
  for (size_t i = 0; i < p->len; i++) {
    x[i] = wn_page_metric(wn_page_row(p, i), 0, metric, &unused, &unused);
    y[i] = wn_page_metric(wn_page_row(p, i), 0, p->primary, &unused, &unused);
    if (isnan(x[i]) || isnan(y[i])) continue;
    known++;
    low = fmin(low, x[i]);
    high = fmax(high, x[i]);
    most = fmax(most, y[i]);
  }
  if (known < 2) return false;
  wn_chart c = {.out = p->out,
                .width = 480,
                .height = 260,
                .left = 50,
                .top = 20,
                .right = 70,
                .bottom = 38,
                .x = wn_scale_nice(low, high),
                .y = wn_scale_nice(0, most),
                .x_label = label,
                .y_label = p->label};
  wn_buf_str(p->out, "<div>");
  wn_chart_begin(&c, label);
  for (size_t i = p->len; i-- > 0;) {
    char title[200];
    if (isnan(x[i]) || isnan(y[i])) continue;
    snprintf(title, sizeof title, "%s: %s %.4f, %s %.4g", wn_page_name(p, i), p->primary, y[i],
             label, x[i]);
    wn_chart_dot(&c, x[i], y[i], p->style[p->order[i]], title);
    double px = wn_scale_at(&c.x, x[i]), py = wn_scale_at(&c.y, y[i]);
    taken[boxes++] = (box){px - 4, py - 4, px + 4, py + 4};
  }
  for (size_t i = 0; i < p->len; i++)
    if (!isnan(x[i]) && !isnan(y[i]))
      place_name(&c, (const double[]){x[i], y[i]}, wn_page_name(p, i), taken, &boxes);
  wn_chart_end(&c);
  wn_buf_str(p->out, "</div>");
  return true;
}

void wn_page_tradeoffs(wn_page *p) {
  wn_page_section(p, "tradeoffs", "What accuracy costs",
                  "Up is more accurate; to the right is more of the catalogue, more diverse lists, "
                  "less known items.");
  wn_buf_str(p->out, "<div class=\"grid2\">");
  tradeoff(p, "coverage", "share of the catalogue shown");
  tradeoff(p, "ild", "diversity within a list");
  tradeoff(p, "novelty", "novelty (bits)");
  tradeoff(p, "serendipity", "serendipity");
  wn_buf_str(p->out, "</div>");
  wn_page_end(p);
}

/* Steck's divergence of each model: 0 is a list that has the user's own mix. */
void wn_page_calibration(wn_page *p) {
  double at[WN_REPORT_ROWS][3], most = 0;
  size_t n = 0, of[WN_REPORT_ROWS];
  for (size_t i = 0; i < p->len; i++) {
    at[n][1] = wn_page_metric(wn_page_row(p, i), 0, "calibration", &at[n][0], &at[n][2]);
    if (isnan(at[n][1])) continue;
    most = fmax(most, at[n][2]);
    of[n++] = i;
  }
  if (n == 0) return;
  wn_page_section(p, "calibration", "The user's own mix",
                  "Divergence of a list's mix of groups from the user's history (Steck 2018): 0 is "
                  "the same mix, more is more one-sided.");
  wn_chart c = {.out = p->out,
                .width = 980,
                .height = 44 + 22 * (double)n,
                .left = 130,
                .top = 4,
                .right = 14,
                .bottom = 38,
                .no_y_ticks = true,
                .x = wn_scale_nice(0, most),
                .y = {.low = -0.5, .high = (double)n - 0.5},
                .x_label = "divergence (nats)"};
  wn_chart_begin(&c, "calibration");
  for (size_t i = 0; i < n; i++) {
    char title[160];
    const char *name = wn_page_name(p, of[i]);
    snprintf(title, sizeof title, "%s: %.4f%s", name, at[i][1],
             wn_page_span(at[i][0], at[i][2], false).text);
    wn_chart_text(&c, &(wn_label){0, (double)(n - 1 - i), -8, 4, "end", "name"}, name);
    wn_chart_interval(&c, at[i], (double)(n - 1 - i), p->style[p->order[of[i]]], title);
  }
  wn_chart_end(&c);
  wn_page_end(p);
}
