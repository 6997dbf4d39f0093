/* The page: verdict and guards, the table, what it rests on, and the charts in between. */
#include "lab/report_internal.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reading --- */

wn_page_note wn_page_span(double low, double high, bool sign) {
  wn_page_note out = {""};
  if (!isnan(low))
    snprintf(out.text, sizeof out.text, sign ? " (%+.4f to %+.4f)" : " (%.4f to %.4f)", low, high);
  return out;
}

wn_page_note wn_page_p(const char *name, double p) {
  wn_page_note out = {""};
  if (!isnan(p)) snprintf(out.text, sizeof out.text, ", %s %.2g", name, p);
  return out;
}

double wn_page_number(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *wn_page_text(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL ? text : "";
}

const json_t *wn_page_row(const wn_page *p, size_t i) {
  return json_array_get(p->rows, p->order[i]);
}

const char *wn_page_name(const wn_page *p, size_t i) {
  return wn_page_text(wn_page_row(p, i), "model");
}

bool wn_page_baseline(const char *model) {
  return strcmp(model, "random") == 0 || strcmp(model, "popular") == 0 ||
         strcmp(model, "recent-popular") == 0;
}

double wn_page_metric(const json_t *row, size_t c, const char *metric, double *low, double *high) {
  const json_t *value = json_object_get(json_array_get(json_object_get(row, "at"), c), metric);
  *low = wn_page_number(value, "low");
  *high = wn_page_number(value, "high");
  return json_is_object(value)   ? wn_page_number(value, "mean")
         : json_is_number(value) ? json_number_value(value)
                                 : NAN;
}

const json_t *wn_page_extra(const wn_page *p, const char *model) {
  size_t i;
  json_t *row;
  json_array_foreach(json_object_get(p->in->extras, "rows"), i,
                     row) if (strcmp(wn_page_text(row, "model"), model) == 0) return row;
  return NULL;
}

/* --- frame --- */

void wn_page_section(wn_page *p, const char *id, const char *title, const char *intro) {
  wn_buf_printf(p->out, "<section id=\"%s\"><h2>%s</h2><p>%s</p>\n", id, title, intro);
}

void wn_page_end(wn_page *p) {
  wn_buf_str(p->out, "</section>\n");
}

void wn_page_legend(wn_page *p, size_t most) {
  wn_buf_str(p->out, "<ul class=\"legend\">");
  for (size_t i = 0; i < p->len && i < most; i++) {
    wn_buf_printf(p->out, "<li class=\"%s\"><i></i>", p->style[p->order[i]]);
    wn_html_text(p->out, wn_page_name(p, i));
    wn_buf_str(p->out, "</li>");
  }
  wn_buf_str(p->out, "</ul>");
}

static void arrange(wn_page *p) {
  double value[WN_REPORT_ROWS], unused;
  size_t colours = 0;
  p->len = json_array_size(p->rows);
  if (p->len > WN_REPORT_ROWS) p->len = WN_REPORT_ROWS;
  for (size_t i = 0; i < p->len; i++) {
    value[i] = wn_page_metric(json_array_get(p->rows, i), 0, p->primary, &unused, &unused);
    if (isnan(value[i])) value[i] = -1;
    size_t at = i; /* insertion: rows are few, and equal ones keep their order */
    for (; at > 0 && value[p->order[at - 1]] < value[i]; at--) p->order[at] = p->order[at - 1];
    p->order[at] = i;
  }
  for (size_t i = 0; i < p->len; i++) {
    char *style = p->style[p->order[i]];
    if (wn_page_baseline(wn_page_name(p, i)))
      snprintf(style, sizeof p->style[0], "%s",
               strcmp(wn_page_name(p, i), "recent-popular") == 0 ? "base dots" : "base");
    else if (colours < WN_REPORT_STYLE)
      snprintf(style, sizeof p->style[0], "s%zu", colours++);
    else
      snprintf(style, sizeof p->style[0], "rest");
  }
}

/* --- verdict --- */

size_t wn_page_guards_in(const json_t *guards, const char *state) {
  size_t i, n = 0;
  json_t *guard;
  json_array_foreach((json_t *)(uintptr_t)guards, i, guard) n +=
      strcmp(wn_page_text(guard, "state"), state) == 0;
  return n;
}

/* One sentence: a row against another, by their difference. *sign: +1 better, −1 worse, 0 neither
 * can be said. False: they were not compared. */
static bool compare(wn_page *p, const json_t *comparison, const char *name, const char *against,
                    int *sign) {
  const json_t *d = json_object_get(comparison, "difference");
  double low = wn_page_number(d, "low"), high = wn_page_number(d, "high");
  if (isnan(low)) return false;
  *sign = low > 0 ? 1 : high < 0 ? -1 : 0;
  wn_html_text(p->out, name);
  wn_buf_str(p->out, *sign > 0   ? " is better than "
                     : *sign < 0 ? " is worse than "
                                 : " is not certainly better or worse than ");
  wn_html_text(p->out, against);
  wn_buf_printf(p->out, ": %s %+.4f <small>(%+.4f to %+.4f)</small>. ", p->label,
                wn_page_number(d, "mean"), low, high);
  return true;
}

/* What is served and what is best, against popularity; the best against what is served. */
static int verdict_text(wn_page *p) {
  const char *best = wn_page_name(p, 0);
  const json_t *served = NULL;
  int of_best = 0, of_served = 1, sign;
  bool any = false;
  for (size_t i = 0; i < p->len && p->incumbent != NULL; i++)
    if (strcmp(wn_page_name(p, i), p->incumbent) == 0) served = wn_page_row(p, i);
  if (served != NULL)
    any = compare(p, json_object_get(served, "over_popular"), p->incumbent, "popular", &of_served);
  if (served != wn_page_row(p, 0)) {
    if (any) wn_buf_str(p->out, "</strong><strong>");
    any =
        compare(p, json_object_get(wn_page_row(p, 0), "over_popular"), best, "popular", &of_best) ||
        any;
    any = compare(p, json_object_get(wn_page_extra(p, best), "over_incumbent"), best,
                  p->incumbent != NULL ? p->incumbent : "", &sign) ||
          any;
  } else {
    of_best = of_served;
  }
  if (!any) {
    wn_html_text(p->out, best);
    wn_buf_str(p->out, " has the best number, and nothing to be compared with.");
  }
  return of_served < of_best ? of_served : of_best;
}

void wn_page_guards(wn_page *p, const json_t *guards) {
  size_t i;
  json_t *guard;
  wn_buf_str(p->out, "<ul class=\"guards\">");
  json_array_foreach((json_t *)(uintptr_t)guards, i, guard) {
    wn_buf_printf(p->out, "<li class=\"%s\"><b>", wn_page_text(guard, "state"));
    wn_html_text(p->out, wn_page_text(guard, "name"));
    wn_buf_str(p->out, "</b> ");
    wn_html_text(p->out, wn_page_text(guard, "reason"));
    wn_buf_str(p->out, "</li>");
  }
  wn_buf_str(p->out, "</ul>");
}

static void verdict(wn_page *p) {
  wn_buf body = {0}, *out = p->out;
  const json_t *guards = json_object_get(p->in->evaluation, "guards");
  size_t fails = wn_page_guards_in(guards, "fail"), warns = wn_page_guards_in(guards, "warn");
  bool sampled = json_is_true(json_object_get(p->in->evaluation, "sampled"));
  p->out = &body;
  int sign = verdict_text(p);
  p->out = out;
  wn_buf_printf(out, "<div class=\"verdict %s\" role=\"status\"><strong>",
                fails > 0 || sampled || sign < 0 ? "bad"
                : warns > 0 || sign == 0         ? "warn"
                                                 : "good");
  wn_buf_append(out, body.data, body.len);
  wn_buf_str(out, "</strong>");
  wn_buf_clear(&body);
  if (sampled)
    wn_buf_str(out, "Sampled metrics: not comparable with full ranking or with other samples. ");
  if (fails > 0)
    wn_buf_printf(out, "%zu guard%s failed: these numbers are not to be trusted as they stand.",
                  fails, fails > 1 ? "s" : "");
  else if (warns > 0)
    wn_buf_printf(out, "%zu guard%s to be read before the numbers.", warns, warns > 1 ? "s" : "");
  wn_page_guards(p, guards);
  wn_buf_str(out, "</div>\n");
}

/* --- facts and table --- */

/* 438,885 */
static void count(wn_buf *out, double number) {
  char digits[32];
  int len = snprintf(digits, sizeof digits, "%.0f", number);
  for (int i = 0; i < len; i++) {
    if (i > 0 && (len - i) % 3 == 0) wn_buf_char(out, ',');
    wn_buf_char(out, digits[i]);
  }
}

static void facts(wn_page *p) {
  static const struct {
    const char *key, *label;
  } all[] = {{"users_evaluated", "users evaluated"},
             {"items", "items"},
             {"train_events", "train events"},
             {"test_pairs", "test pairs"},
             {"cold_test_pairs", "test pairs of items without a past"}};
  wn_buf_str(p->out, "<div class=\"facts\">");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    double number = wn_page_number(p->in->evaluation, all[i].key);
    if (isnan(number)) continue;
    wn_buf_str(p->out, "<div><b>");
    count(p->out, number);
    wn_buf_printf(p->out, "</b><span>%s</span></div>", all[i].label);
  }
  wn_buf_printf(p->out, "<div><b>%s</b><span>split</span></div></div>\n",
                wn_page_text(p->in->evaluation, "split"));
}

static const char *const columns[][2] = {
    {"ndcg", "NDCG"}, {"recall", "recall"}, {"precision", "precision"}, {"hit_rate", "hit rate"},
    {"mrr", "MRR"},   {"map", "MAP"},       {"coverage", "coverage"},   {"gini", "Gini"}};
#define COLUMNS (sizeof columns / sizeof *columns)

static void table_at(wn_page *p, size_t c) {
  double k = wn_page_number(json_array_get(json_object_get(wn_page_row(p, 0), "at"), c), "k");
  wn_buf_printf(p->out, "<div class=\"wide\"><table><tr><th>@%.0f</th>", k);
  for (size_t m = 0; m < COLUMNS; m++) wn_buf_printf(p->out, "<th>%s</th>", columns[m][1]);
  wn_buf_str(p->out, "<th>fit s</th></tr>\n");
  for (size_t i = 0; i < p->len; i++) {
    const json_t *row = wn_page_row(p, i);
    wn_buf_printf(p->out, "<tr class=\"%s\"><td>",
                  i == 0                                 ? "best"
                  : wn_page_baseline(wn_page_name(p, i)) ? "basel"
                                                         : "");
    wn_html_text(p->out, wn_page_name(p, i));
    wn_buf_str(p->out, "</td>");
    for (size_t m = 0; m < COLUMNS; m++) {
      double low, high, mean = wn_page_metric(row, c, columns[m][0], &low, &high);
      if (isnan(mean))
        wn_buf_str(p->out, "<td>–</td>");
      else if (isnan(low))
        wn_buf_printf(p->out, "<td>%.4f</td>", mean);
      else if (m > 1)
        wn_buf_printf(p->out, "<td title=\"%.4f to %.4f\">%.4f</td>", low, high, mean);
      else
        wn_buf_printf(p->out, "<td>%.4f <small>%.4f–%.4f</small></td>", mean, low, high);
    }
    double fit = wn_page_number(row, "fit_seconds");
    wn_buf_printf(p->out, fit > 0 ? "<td>%.1f</td></tr>\n" : "<td>–</td></tr>\n", fit);
  }
  wn_buf_str(p->out, "</table></div>\n");
}

/* The same models under another split: does it matter which one was asked? */
static void second_protocol(wn_page *p) {
  const json_t *second = json_object_get(p->in->evaluation, "second_protocol"), *value;
  const json_t *values = json_object_get(second, "values");
  const char *name, *best = NULL;
  double most = -INFINITY;
  json_object_foreach((json_t *)(uintptr_t)values, name, value) {
    if (!(json_number_value(value) > most)) continue;
    most = json_number_value(value);
    best = name;
  }
  if (best == NULL) return;
  wn_buf_printf(p->out, "<p>Under a second protocol, %s (%.0f users), the best is ",
                wn_page_text(second, "split"), wn_page_number(second, "users"));
  wn_html_text(p->out, best);
  wn_buf_printf(p->out,
                " (%s %.4f); the orders of the %zu models agree with Kendall's τ %.2f.</p>\n",
                p->label, most, json_object_size(values), wn_page_number(second, "kendall"));
}

static void tables(wn_page *p) {
  size_t n = json_array_size(json_object_get(wn_page_row(p, 0), "at"));
  wn_page_section(p, "table", "The table",
                  "Means over the evaluated users with 95% intervals; baselines in grey.");
  table_at(p, 0);
  if (n > 1) {
    wn_buf_str(p->out, "<details><summary>other list lengths</summary>");
    for (size_t c = 1; c < n; c++) table_at(p, c);
    wn_buf_str(p->out, "</details>");
  }
  second_protocol(p);
  wn_page_end(p);
}

/* --- what it rests on --- */

static void population(wn_page *p) {
  const json_t *e = p->in->evaluation;
  const struct {
    const char *key, *label, *style;
  } all[] = {{"users", "users of the data", "s0"},
             {NULL, "no events in the test part", "base"},
             {"users_without_relevant", "nothing relevant in test: left out", "base"},
             {"users_cold", "no past: a slice of their own", "base"},
             {"users_not_sampled", "not drawn into the sample", "base"},
             {"users_evaluated", "evaluated", "s2"}};
  const size_t n = sizeof all / sizeof *all;
  double absent = wn_page_number(e, "users");
  for (size_t i = 2; i < n; i++) absent -= wn_page_number(e, all[i].key);
  wn_chart c = {.out = p->out,
                .width = 980,
                .height = 40 + 26 * (double)n,
                .left = 230,
                .top = 4,
                .right = 70,
                .bottom = 22,
                .no_y_ticks = true,
                .x = {.low = 0, .high = fmax(1, wn_page_number(e, "users"))},
                .y = {.low = -0.5, .high = (double)n - 0.5}};
  wn_page_section(p, "population", "Who is counted, and who is not",
                  "From all users of the data to those whom the means are over.");
  wn_chart_begin(&c, "population");
  for (size_t i = 0; i < n; i++) {
    char label[40];
    double users = all[i].key != NULL ? wn_page_number(e, all[i].key) : absent;
    double y = (double)(n - 1 - i);
    if (isnan(users)) continue;
    snprintf(label, sizeof label, "%.0f", users);
    wn_chart_text(&c, &(wn_label){0, y, -8, 4, "end", "name"}, all[i].label);
    wn_chart_bar(&c, (const double[]){0, y - 0.32, users, y + 0.32}, all[i].style, label);
    wn_chart_text(&c, &(wn_label){users, y, 6, 4, "start", "tick"}, label);
  }
  wn_chart_end(&c);
  wn_page_end(p);
}

/* What there is of everything, and which of their variants the table's metrics are. */
static void counts_and_formulas(wn_page *p) {
  static const wn_metric shown[] = {WN_METRIC_NDCG, WN_METRIC_RECALL, WN_METRIC_PRECISION,
                                    WN_METRIC_HIT,  WN_METRIC_MRR,    WN_METRIC_MAP};
  const json_t *e = p->in->evaluation;
  wn_buf_printf(p->out,
                "<tr><td>counts</td><td class=\"wrap\">%.0f users, %.0f items; train: %.0f events, "
                "%.0f pairs; test: %.0f pairs; evaluated: %.0f users</td></tr>",
                wn_page_number(e, "users"), wn_page_number(e, "items"),
                wn_page_number(e, "train_events"), wn_page_number(e, "train_pairs"),
                wn_page_number(e, "test_pairs"), wn_page_number(e, "users_evaluated"));
  for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
    const wn_metric_info *about = wn_metric_about(shown[i]);
    wn_buf_printf(p->out, "<tr><td>%s</td><td class=\"wrap\">", about->label);
    wn_html_text(p->out, about->doc);
    wn_buf_str(p->out, "</td></tr>");
  }
  wn_buf_str(p->out, "<tr><td>ties</td><td class=\"wrap\">as served, by item number; what other "
                     "orders of equal scores give says the guard</td></tr>");
}

static void provenance(wn_page *p) {
  static const char *const keys[] = {"split",           "why",     "dataset_hash", "split_hash",
                                     "population_hash", "ranking", "interval"};
  const json_t *e = p->in->evaluation;
  wn_page_section(p, "provenance", "What this rests on",
                  "The same hashes are the same events, the same split, the same users: only then "
                  "do two reports compare.");
  wn_buf_str(p->out, "<div class=\"wide\"><table>");
  wn_buf_str(p->out, "<tr><td>subject</td><td class=\"l\"><code>");
  wn_html_text(p->out, p->in->subject);
  wn_buf_printf(p->out, "</code></td></tr><tr><td>Winnow</td><td class=\"l\">%s</td></tr>",
                WINNOW_VERSION);
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    wn_buf_printf(p->out, "<tr><td>%s</td><td class=\"l\"><code>", keys[i]);
    wn_html_text(p->out, wn_page_text(e, keys[i]));
    wn_buf_str(p->out, "</code></td></tr>");
  }
  wn_buf_printf(p->out, "<tr><td>seed</td><td class=\"l\">%.0f</td></tr>",
                wn_page_number(e, "seed"));
  counts_and_formulas(p);
  wn_buf_str(p->out, "</table></div>\n");
  wn_buf_str(p->out, "<details><summary>definitions of all metrics: h hits, R the relevant items, "
                     "k places</summary><table>");
  for (int m = 0; m < WN_METRICS; m++) {
    const wn_metric_info *about = wn_metric_about((wn_metric)m);
    wn_buf_printf(p->out, "<tr><td>%s</td><td class=\"wrap\">", about->name);
    wn_html_text(p->out, about->doc);
    wn_buf_str(p->out, "</td></tr>");
  }
  wn_buf_str(p->out, "</table></details>");
  wn_page_end(p);
}

/* Inside <script>, "</" would end the element. */
wn_status wn_page_numbers(wn_page *p, wn_error *err) {
  json_t *all = json_pack("{s:O*, s:O*, s:O*, s:O*, s:O*}", "evaluation", p->in->evaluation,
                          "extras", p->in->extras, "ope", p->in->ope, "check", p->in->check,
                          "predictions", p->in->predicted);
  char *text = all != NULL ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
  json_decref(all);
  if (text == NULL) return wn_fail_memory(err);
  wn_buf_str(p->out, "<script type=\"application/json\" id=\"winnow\">");
  for (const char *at = text; *at != '\0'; at++)
    if (*at == '<')
      wn_buf_str(p->out, "\\u003c");
    else
      wn_buf_char(p->out, *at);
  wn_buf_str(p->out, "</script>\n");
  free(text);
  return WN_OK;
}

void wn_page_head(wn_page *p, const char *title) {
  wn_buf_str(p->out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                     "<title>");
  wn_buf_printf(p->out, "%s of ", title);
  wn_html_text(p->out, p->in->subject);
  wn_buf_str(p->out, "</title><style>\n");
  wn_buf_str(p->out, wn_report_css);
  wn_buf_printf(p->out, "</style></head>\n<body><main><h1>%s</h1><p class=\"sub\"><code>", title);
  wn_html_text(p->out, p->in->subject);
  wn_buf_printf(p->out, "</code> · %s</p>\n", p->in->made);
}

void wn_page_foot(wn_page *p) {
  wn_buf_str(p->out, "<footer>Made by winnow evaluate; definitions in docs/evaluation.md.</footer>"
                     "</main></body></html>\n");
}

wn_status wn_report_html(const wn_report_input *input, wn_buf *out, wn_error *err) {
  wn_page *p = wn_calloc(1, sizeof *p);
  wn_status status = WN_OK;
  if (p == NULL) return wn_fail_memory(err);
  *p = (wn_page){.out = out, .in = input, .rows = json_object_get(input->evaluation, "rows")};
  p->primary = wn_page_text(input->evaluation, "primary");
  p->incumbent = json_string_value(json_object_get(input->extras, "incumbent"));
  if (json_array_size(p->rows) == 0 || p->primary[0] == '\0')
    WN_TRY(wn_fail(err, WN_E_FORMAT, "rows", "the evaluation holds no rows"));
  arrange(p);
  wn_metric primary = wn_metric_find(wn_str_of(p->primary));
  snprintf(p->label, sizeof p->label, "%s@%.0f",
           primary < WN_METRICS ? wn_metric_about(primary)->label : p->primary,
           wn_page_number(json_array_get(json_object_get(wn_page_row(p, 0), "at"), 0), "k"));
  wn_page_head(p, "Evaluation");
  verdict(p);
  facts(p);
  tables(p);
  wn_page_forest(p);
  wn_page_curves(p);
  wn_page_users(p);
  wn_page_slices(p);
  wn_page_popularity(p);
  wn_page_tradeoffs(p);
  wn_page_calibration(p);
  wn_page_predicted(p);
  wn_page_ope(p);
  wn_page_checks(p);
  wn_page_timeline(p);
  population(p);
  provenance(p);
  WN_TRY(wn_page_numbers(p, err));
  wn_page_foot(p);
  if (out->failed) WN_TRY(wn_fail_memory(err));
cleanup:
  wn_free(p);
  return status;
}
