#include "cli/tally.h"

#include "base/mem.h"
#include "cli/cli.h"
#include "lab/metrics.h"
#include "lab/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const wn_tally_columns[WN_TALLY_COLUMNS] = {"visits", "clicks", "satisfied", "value",
                                                        "best",   "share",  "topics"};

double wn_tally_column(const wn_tally_sums *s, size_t c) {
  const double all[WN_TALLY_COLUMNS] = {
      s->visits,           s->clicks / s->visits, s->satisfied / s->visits, s->value / s->visits,
      s->best / s->visits, s->value / s->best,    s->topics / s->visits};
  return all[c];
}

wn_status wn_tally_create(const wn_world *world, size_t periods, wn_tally *out, wn_error *err) {
  *out = (wn_tally){.world = world, .periods = periods};
  out->table = wn_calloc(periods, sizeof *out->table);
  out->shown = wn_calloc(world->options.items, sizeof *out->shown);
  out->topics = wn_calloc((size_t)world->options.users * world->topics, sizeof *out->topics);
  if (out->table != NULL && out->shown != NULL && out->topics != NULL) return WN_OK;
  wn_tally_clear(out);
  return wn_fail_memory(err);
}

void wn_tally_clear(wn_tally *t) {
  wn_free(t->table);
  wn_free(t->shown);
  wn_free(t->topics);
  *t = (wn_tally){0};
}

static size_t arm_place(wn_tally *t, const char *arm) {
  size_t a = 0;
  while (a < t->arms_len && strcmp(t->arms[a], arm) != 0) a++;
  if (a == WN_TALLY_ARMS_MAX) return WN_TALLY_ARMS_MAX - 1;
  if (a == t->arms_len) snprintf(t->arms[t->arms_len++], sizeof t->arms[0], "%s", arm);
  return a;
}

static double topics_of(const wn_world *w, const uint32_t *items, size_t len) {
  uint64_t seen = 0;
  for (size_t k = 0; k < len; k++) seen |= UINT64_C(1) << w->main_topic[items[k]];
  return __builtin_popcountll(seen);
}

/* Means over users of e^entropy; who was shown nothing is no user of the period. */
static void close_period(wn_tally *t) {
  double variety = 0, users = 0;
  uint32_t topics = t->world->topics;
  for (size_t u = 0; u < t->world->options.users; u++) {
    const uint32_t *count = t->topics + u * topics;
    double all = 0, entropy = 0;
    for (size_t d = 0; d < topics; d++) all += count[d];
    if (all == 0) continue;
    for (size_t d = 0; d < topics; d++)
      if (count[d] > 0) entropy -= count[d] / all * log(count[d] / all);
    users++;
    variety += exp(entropy);
  }
  t->users[t->at] = users;
  t->variety[t->at] = users > 0 ? variety / users : (double)NAN;
  t->gini[t->at] = wn_gini(t->shown, t->world->options.items);
  memset(t->shown, 0, t->world->options.items * sizeof *t->shown);
  memset(t->topics, 0, (size_t)t->world->options.users * topics * sizeof *t->topics);
}

void wn_tally_add(wn_tally *t, const wn_visit *v, size_t period) {
  while (t->at < period && t->at + 1 < t->periods) {
    close_period(t);
    t->at++;
    t->regret[t->at] = t->regret[t->at - 1];
  }
  wn_tally_sums *s = &t->table[t->at][arm_place(t, v->arm)];
  s->visits++;
  s->value += v->value;
  s->best += v->best;
  s->topics += topics_of(t->world, v->items, v->len);
  t->regret[t->at] += v->best - v->value;
  for (size_t k = 0; k < v->len; k++) {
    s->clicks += v->browsed[k].clicked;
    s->satisfied += v->browsed[k].satisfied;
    t->shown[v->items[k]]++;
    t->topics[(size_t)v->visitor.user * t->world->topics + t->world->main_topic[v->items[k]]]++;
  }
}

void wn_tally_end(wn_tally *t) {
  close_period(t);
}

static wn_tally_sums add(wn_tally_sums a, const wn_tally_sums *b) {
  return (wn_tally_sums){a.visits + b->visits, a.clicks + b->clicks, a.satisfied + b->satisfied,
                         a.value + b->value,   a.best + b->best,     a.topics + b->topics};
}

wn_tally_sums wn_tally_period(const wn_tally *t, size_t p) {
  wn_tally_sums all = {0};
  for (size_t a = 0; a < t->arms_len; a++) all = add(all, &t->table[p][a]);
  return all;
}

wn_tally_sums wn_tally_arm(const wn_tally *t, size_t a) {
  wn_tally_sums all = {0};
  for (size_t p = 0; p < t->periods; p++) all = add(all, &t->table[p][a]);
  return all;
}

wn_tally_sums wn_tally_all(const wn_tally *t) {
  wn_tally_sums all = {0};
  for (size_t p = 0; p < t->periods; p++)
    for (size_t a = 0; a < t->arms_len; a++) all = add(all, &t->table[p][a]);
  return all;
}

/* ---- as text, JSON and a plot ---- */

static void row(wn_table *table, const char *name, const wn_tally_sums *s) {
  wn_table_cell(table, "%s", name);
  for (size_t c = 0; c < WN_TALLY_COLUMNS; c++)
    wn_table_cell(table, c == 0 ? "%.0f" : "%.4f", wn_tally_column(s, c));
}

void wn_tally_print(const wn_tally *t, bool with_arms, wn_buf *out) {
  static const char *const more[] = {"Gini", "variety", "users", "regret"};
  wn_table table;
  char name[80];
  wn_table_init(&table, 12, 0xFFE);
  wn_table_cell(&table, "period");
  for (size_t c = 0; c < WN_TALLY_COLUMNS; c++) wn_table_cell(&table, "%s", wn_tally_columns[c]);
  for (size_t c = 0; c < 4; c++) wn_table_cell(&table, "%s", more[c]);
  for (size_t p = 0; p <= t->at; p++) {
    wn_tally_sums s = wn_tally_period(t, p);
    snprintf(name, sizeof name, "%zu", p + 1);
    if (s.visits == 0) continue;
    row(&table, name, &s);
    wn_table_cell(&table, "%.3f", t->gini[p]);
    wn_table_cell(&table, "%.2f", t->variety[p]);
    wn_table_cell(&table, "%.0f", t->users[p]);
    wn_table_cell(&table, "%.0f", t->regret[p]);
  }
  for (size_t a = 0; a < t->arms_len && with_arms; a++) {
    wn_tally_sums s = wn_tally_arm(t, a);
    snprintf(name, sizeof name, "arm %s", t->arms[a]);
    row(&table, name, &s);
    for (size_t c = 0; c < 4; c++) wn_table_cell(&table, "-");
  }
  wn_table_print(&table, out);
  wn_buf_str(
      out, "\nclicks, satisfied: seen, a visit. value: satisfied clicks expected of the slates "
           "shown, best: of the best slates, share: value / best. topics: in a slate. Gini: of the "
           "items shown. variety: topics that a user was shown (e^entropy). users: who came. "
           "regret: best − value, summed up.");
}

static void sums_json(const wn_tally_sums *s, wn_json *json) {
  for (size_t c = 0; c < WN_TALLY_COLUMNS; c++) {
    wn_json_key(json, wn_tally_columns[c]);
    wn_json_double(json, wn_tally_column(s, c));
  }
}

void wn_tally_to_json(const wn_tally *t, wn_json *json) {
  wn_json_key(json, "periods");
  wn_json_array(json);
  for (size_t p = 0; p <= t->at; p++) {
    wn_tally_sums s = wn_tally_period(t, p);
    const struct {
      const char *key;
      double value;
    } more[] = {{"gini", t->gini[p]},
                {"variety", t->variety[p]},
                {"users", t->users[p]},
                {"regret", t->regret[p]}};
    wn_json_object(json);
    sums_json(&s, json);
    for (size_t c = 0; c < 4; c++) {
      wn_json_key(json, more[c].key);
      wn_json_double(json, more[c].value);
    }
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  wn_json_key(json, "arms");
  wn_json_object(json);
  for (size_t a = 0; a < t->arms_len; a++) {
    wn_tally_sums s = wn_tally_arm(t, a);
    wn_json_key(json, t->arms[a]);
    wn_json_object(json);
    sums_json(&s, json);
    wn_json_end_object(json);
  }
  wn_json_end_object(json);
}

void wn_tally_plot(const wn_tally *t, wn_buf *svg) {
  double x[WN_TALLY_PERIODS_MAX], y[WN_TALLY_PERIODS_MAX];
  char style[8];
  wn_chart chart = {.out = svg,
                    .x = {.low = 0, .high = (double)t->periods + 1},
                    .y = {.low = 0, .high = 1},
                    .width = 640,
                    .height = 320,
                    .left = 56,
                    .top = 16,
                    .right = 120,
                    .bottom = 44,
                    .x_label = "period",
                    .y_label = "value / best",
                    .alone = true};
  wn_chart_begin(&chart, "Value of the slates shown, as a share of the best ones'");
  for (size_t a = 0; a < t->arms_len; a++) {
    for (size_t p = 0; p < t->periods; p++) {
      x[p] = (double)p + 1;
      y[p] = wn_tally_column(&t->table[p][a], WN_TALLY_SHARE);
    }
    snprintf(style, sizeof style, "s%zu", a % 6);
    wn_chart_line(&chart, &(wn_points){.x = x, .y = y, .n = t->periods}, style, t->arms[a]);
    wn_label at = {
        .x = (double)t->at + 1, .y = y[t->at], .dx = 8, .dy = 4, .anchor = "start", .style = style};
    wn_chart_text(&chart, &at, t->arms[a]);
  }
  wn_chart_end(&chart);
}
