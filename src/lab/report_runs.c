/* What other runs say: off-policy evaluation and behaviour tests. */
#include "lab/report_internal.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void from_run(wn_page *p, const json_t *run) {
  char time[40];
  wn_time_format((int64_t)wn_page_number(run, "started_ms"), time, sizeof time);
  wn_buf_printf(p->out, "<p class=\"dim\">Run <code>%s</code> (%s), %.10s %.5s UTC.</p>",
                wn_page_text(run, "id"), wn_page_text(run, "kind"), time, time + 11);
}

/* --- off-policy evaluation --- */

static void estimate_row(wn_page *p, const json_t *line) {
  double value = wn_page_number(line, "value"), low = wn_page_number(line, "low");
  wn_buf_str(p->out, "<tr><td>");
  wn_html_text(p->out, wn_page_text(line, "estimator"));
  if (json_is_true(json_object_get(line, "refused")))
    wn_buf_str(p->out, "</td><td>refused</td><td></td></tr>");
  else if (isnan(value))
    wn_buf_str(p->out, "</td><td>–</td><td></td></tr>");
  else if (isnan(low))
    wn_buf_printf(p->out, "</td><td>%.5f</td><td>bias unknown</td></tr>", value);
  else
    wn_buf_printf(p->out, "</td><td>%.5f</td><td>%.5f – %.5f</td></tr>", value, low,
                  wn_page_number(line, "high"));
}

static void estimates(wn_page *p, const json_t *ope, const char *logged, const char *lines,
                      const char *guard) {
  const json_t *d = json_object_get(ope, guard), *all = json_object_get(ope, lines);
  size_t i;
  json_t *line;
  if (json_array_size(all) == 0) return;
  wn_buf_printf(p->out,
                "<div><h3>%s</h3><table><tr><th>estimator</th><th>value</th><th>95%%</th></tr>",
                strcmp(guard, "guard") == 0 ? "value of a shown item" : "value of a slate");
  estimate_row(p, json_array_get(json_object_get(ope, logged), 0));
  json_array_foreach(all, i, line) estimate_row(p, line);
  wn_buf_printf(
      p->out,
      "</table><p class=\"dim\">mean weight %.4g (z %+.3g), largest share %.2g%%, effective "
      "sample %.0f, not covered %.2g%%</p>",
      wn_page_number(d, "mean_weight"), wn_page_number(d, "mean_weight_z"),
      100 * wn_page_number(d, "max_share"), wn_page_number(d, "effective_sample"),
      100 * wn_page_number(d, "uncovered"));
  if (json_is_true(json_object_get(d, "refused"))) {
    wn_buf_str(p->out, "<p><b>Refused:</b> ");
    wn_html_text(p->out, wn_page_text(d, "why"));
    wn_buf_str(p->out, "</p>");
  }
  wn_buf_str(p->out, "</div>");
}

void wn_page_ope(wn_page *p) {
  const json_t *result = json_object_get(p->in->ope, "result");
  const json_t *ope = json_object_get(result, "ope");
  if (ope == NULL) return;
  wn_page_section(p, "ope", "What the log says of another policy",
                  "Off-policy estimates; where the log cannot carry one, it is refused.");
  from_run(p, p->in->ope);
  wn_buf_str(p->out, "<p>Policy: ");
  wn_html_text(p->out, wn_page_text(result, "policy"));
  wn_buf_str(p->out, "</p><div class=\"grid2\">");
  estimates(p, ope, "logged", "estimates", "guard");
  estimates(p, ope, "slate_logged", "slate_estimates", "slate_guard");
  wn_buf_str(p->out, "</div>");
  wn_page_end(p);
}

/* --- behaviour tests --- */

static void check_row(wn_page *p, const json_t *check) {
  const json_t *worst = json_object_get(check, "worst");
  double value = wn_page_number(check, "value");
  size_t i;
  json_t *text;
  wn_buf_str(p->out, "<tr><td class=\"l\"><ul class=\"guards\" style=\"margin:0\"><li class=\"");
  wn_html_text(p->out, wn_page_text(check, "state"));
  wn_buf_str(p->out, "\">");
  wn_html_text(p->out, wn_page_text(check, "name"));
  wn_buf_str(p->out, "</li></ul></td>");
  if (isnan(value))
    wn_buf_str(p->out, "<td>–</td><td></td>");
  else
    wn_buf_printf(p->out, "<td>%.4g</td><td>%.4g – %.4g</td>", value, wn_page_number(check, "low"),
                  wn_page_number(check, "high"));
  wn_buf_str(p->out, "<td class=\"wrap\">");
  wn_html_text(p->out, wn_page_text(check, "reason"));
  json_array_foreach(worst, i, text) {
    wn_buf_str(p->out, i == 0 ? "<br><span class=\"dim\">worst: " : "; ");
    wn_html_text(p->out, json_is_string(text) ? json_string_value(text) : "");
  }
  wn_buf_str(p->out, json_array_size(worst) > 0 ? "</span></td></tr>" : "</td></tr>");
}

void wn_page_checks(wn_page *p) {
  const json_t *checks = json_object_get(json_object_get(p->in->check, "result"), "checks");
  size_t i;
  json_t *check;
  if (json_array_size(checks) == 0) return;
  wn_page_section(p, "checks", "Behaviour tests",
                  "What a good mean does not promise: each with its interval and its worst "
                  "examples.");
  from_run(p, p->in->check);
  wn_buf_str(p->out, "<div class=\"wide\"><table><tr><th>test</th><th>value</th><th>95%</th>"
                     "<th class=\"l\">says</th></tr>");
  json_array_foreach(checks, i, check) check_row(p, check);
  wn_buf_str(p->out, "</table></div>");
  wn_page_end(p);
}
