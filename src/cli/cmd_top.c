/* winnow top: what a running server does, drawn again every few seconds from its /metrics. */
#include "cli/cli.h"
#include "cli/http_client.h"
#include "cli/scrape.h"

#include "base/clock.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
  const char *url, *key;
  double every;
  uint64_t count;
  bool json;
} opt = {.url = "http://127.0.0.1:8088", .every = 2};
static const wn_option options[] = {
    {"url", WN_OPT_TEXT, &opt.url, "URL", "the server (default http://127.0.0.1:8088)"},
    {"key", WN_OPT_TEXT, &opt.key, "KEY", "API key that may read (default: $WINNOW_KEY)"},
    {"every", WN_OPT_REAL, &opt.every, "SECONDS", "between two looks, at least 0.1 (default 2)"},
    {"count", WN_OPT_UINT, &opt.count, "N", "end after N looks (default: at Ctrl-C)"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "a JSON object a line"}};
static const wn_command command = {"top",
                                   "what a running server does, live",
                                   "[--url URL]",
                                   "Rates and percentiles are those between two looks. Where the "
                                   "output is no terminal, the frames follow each other.",
                                   options,
                                   5};

typedef struct look {
  wn_scrape scrape;
  uint64_t ns;
} look;

typedef struct span {
  const wn_scrape *before, *now;
  double seconds;
} span;

static volatile sig_atomic_t ended;
static void end(int signal WN_UNUSED) {
  ended = 1;
}

static double gauge(const span *s, const char *name) {
  return wn_scrape_sum(s->now, name, NULL, NULL);
}
static double delta(const span *s, const char *name, const char *key, const char *value) {
  return wn_scrape_sum(s->now, name, key, value) - wn_scrape_sum(s->before, name, key, value);
}
static double rate(const span *s, const char *name, const char *key, const char *value) {
  return delta(s, name, key, value) / s->seconds;
}

/* --- what is counted for each label's value: routes, stages, surfaces, parts of the memory --- */

/* The values of `key` in `name`'s samples, each once, in their order. */
static size_t values_of(const wn_scrape *scrape, const char *name, const char *key, wn_str *out,
                        size_t max) {
  size_t len = 0;
  for (size_t i = 0; i < scrape->samples.len && len < max; i++) {
    const wn_sample *s = &scrape->samples.data[i];
    if (!wn_str_is(s->name, name)) continue;
    wn_str value = wn_sample_label(s, key);
    size_t k = 0;
    while (k < len && !wn_str_equal(out[k], value)) k++;
    if (k == len && value.ptr != NULL) out[len++] = value;
  }
  return len;
}

static void cell_ms(wn_table *table, double seconds) {
  if (isnan(seconds))
    wn_table_cell(table, "-");
  else
    wn_table_cell(table, "%.2f", 1e3 * seconds);
}

static void text_of(wn_str value, char out[256]) {
  snprintf(out, 256, "%.*s", (int)(value.len < 255 ? value.len : 255), value.ptr);
}

#define ROWS_MAX 64

static void print_routes(const span *s, wn_buf *out) {
  wn_table table;
  wn_str routes[ROWS_MAX];
  char route[256];
  static const double quantiles[] = {0.5, 0.95, 0.99};
  const char *heads[] = {"", "requests/s", "p50 ms", "p95 ms", "p99 ms"};
  size_t len = values_of(s->now, "winnow_http_requests_total", "route", routes, ROWS_MAX);
  wn_table_init(&table, 5, 0x1e);
  for (size_t c = 0; c < 5; c++) wn_table_cell(&table, "%s", heads[c]);
  for (size_t i = 0; i < len; i++) {
    text_of(routes[i], route);
    double per_second = rate(s, "winnow_http_requests_total", "route", route);
    if (per_second <= 0) continue;
    wn_table_cell(&table, "%s", route);
    wn_table_cell(&table, "%.1f", per_second);
    for (size_t q = 0; q < 3; q++)
      cell_ms(&table, wn_scrape_quantile(s->before, s->now, "winnow_http_request_seconds", "route",
                                         route, quantiles[q]));
  }
  wn_table_print(&table, out);
}

static void print_stages(const span *s, wn_buf *out) {
  wn_table table;
  wn_str stages[ROWS_MAX];
  char stage[256];
  size_t len = values_of(s->now, "winnow_stage_seconds_count", "stage", stages, ROWS_MAX);
  double all = delta(s, "winnow_stage_seconds_sum", NULL, NULL);
  const char *heads[] = {"stage", "mean ms", "share", "left a slate"};
  wn_table_init(&table, 4, 0xe);
  for (size_t c = 0; c < 4; c++) wn_table_cell(&table, "%s", heads[c]);
  for (size_t i = 0; i < len; i++) {
    text_of(stages[i], stage);
    double count = delta(s, "winnow_stage_seconds_count", "stage", stage);
    double seconds = delta(s, "winnow_stage_seconds_sum", "stage", stage);
    if (count <= 0) continue;
    wn_table_cell(&table, "%s", stage);
    cell_ms(&table, seconds / count);
    wn_table_cell(&table, "%.0f%%", all > 0 ? 100 * seconds / all : 0);
    wn_table_cell(&table, "%.0f",
                  delta(s, "winnow_stage_candidates_total", "stage", stage) / count);
  }
  wn_table_print(&table, out);
}

static void print_surfaces(const span *s, wn_buf *out) {
  wn_table table;
  wn_str surfaces[ROWS_MAX];
  char surface[256];
  size_t len = values_of(s->now, "winnow_slates_shown_total", "surface", surfaces, ROWS_MAX);
  const char *heads[] = {"surface", "slates/s", "clicks/s", "click-through", "fell back"};
  wn_table_init(&table, 5, 0x1e);
  for (size_t c = 0; c < 5; c++) wn_table_cell(&table, "%s", heads[c]);
  for (size_t i = 0; i < len; i++) {
    text_of(surfaces[i], surface);
    double slates = delta(s, "winnow_slates_shown_total", "surface", surface);
    double impressions = wn_scrape_sum(s->now, "winnow_impressions_total", "surface", surface);
    double clicks = wn_scrape_sum(s->now, "winnow_clicks_total", "surface", surface);
    wn_table_cell(&table, "%s", surface);
    wn_table_cell(&table, "%.1f", slates / s->seconds);
    wn_table_cell(&table, "%.1f", rate(s, "winnow_clicks_total", "surface", surface));
    wn_table_cell(&table, "%.2f%%", impressions > 0 ? 100 * clicks / impressions : 0);
    wn_table_cell(&table, "%.0f%%",
                  slates > 0
                      ? 100 * delta(s, "winnow_slates_fell_back_total", "surface", surface) / slates
                      : 0);
  }
  wn_table_print(&table, out);
}

/* --- a frame --- */

static void print_alerts(const span *s, wn_buf *out) {
  bool any = false;
  for (size_t i = 0; i < s->now->samples.len; i++) {
    const wn_sample *sample = &s->now->samples.data[i];
    if (!wn_str_is(sample->name, "winnow_alert_firing") || sample->value == 0) continue;
    wn_buf_printf(out, "%s %.*s",
                  any ? "," : "  alerts:", WN_STR_ARG(wn_sample_label(sample, "rule")));
    any = true;
  }
  if (!any) wn_buf_str(out, "  no alerts");
}

static void print_head(const span *s, wn_buf *out) {
  char age[32], up[32], clock[40];
  double now_s = (double)wn_now_ms() / 1e3;
  wn_time_format(wn_now_ms(), clock, sizeof clock);
  wn_buf_printf(out, "%s  %s  up %s ", opt.url, clock,
                wn_human_age((int64_t)(1e3 * (now_s - gauge(s, "process_start_time_seconds"))), up,
                             sizeof up));
  print_alerts(s, out);
  if (gauge(s, "winnow_writable") == 0) wn_buf_str(out, "  READ-ONLY");
  wn_buf_printf(out, "\n%.0f items, %.0f users  ", gauge(s, "winnow_items_servable"),
                gauge(s, "winnow_users"));
  if (gauge(s, "winnow_snapshot") == 0)
    wn_buf_str(out, "no snapshot");
  else
    wn_buf_printf(
        out, "snapshot %.0f, %s old, %.0f events behind", gauge(s, "winnow_snapshot"),
        wn_human_age((int64_t)(1e3 * gauge(s, "winnow_snapshot_age_seconds")), age, sizeof age),
        gauge(s, "winnow_events_since_snapshot"));
  wn_buf_printf(out, "%s\n", gauge(s, "winnow_training_running") != 0 ? "  a training runs" : "");
}

static void print_machine(const span *s, wn_buf *out) {
  char bytes[32];
  wn_str parts[ROWS_MAX];
  char part[256];
  double commits = delta(s, "winnow_commit_seconds_count", NULL, NULL);
  wn_buf_printf(out, "events %.0f/s in %.1f commits/s",
                rate(s, "winnow_events_accepted_total", NULL, NULL), commits / s->seconds);
  if (commits > 0)
    wn_buf_printf(out, " of %.2f ms",
                  1e3 * delta(s, "winnow_commit_seconds_sum", NULL, NULL) / commits);
  wn_buf_printf(out, ", %.0f waiting\nprocessors %.2f  connections %.0f\n",
                gauge(s, "winnow_commit_queue_ops"),
                rate(s, "process_cpu_seconds_total", NULL, NULL), gauge(s, "winnow_connections"));
  wn_buf_printf(out, "memory %s:",
                wn_human_bytes(gauge(s, "process_resident_memory_bytes"), bytes, sizeof bytes));
  size_t len = values_of(s->now, "winnow_memory_bytes", "part", parts, ROWS_MAX);
  for (size_t i = 0; i < len; i++) {
    text_of(parts[i], part);
    wn_buf_printf(out, "%s %s %s", i > 0 ? "," : "", part,
                  wn_human_bytes(wn_scrape_sum(s->now, "winnow_memory_bytes", "part", part), bytes,
                                 sizeof bytes));
  }
  wn_buf_str(out, "\n");
}

static void print_text(const span *s, wn_buf *out) {
  print_head(s, out);
  wn_buf_str(out, "\n");
  print_routes(s, out);
  wn_buf_str(out, "\n");
  print_stages(s, out);
  wn_buf_str(out, "\n");
  print_surfaces(s, out);
  wn_buf_str(out, "\n");
  print_machine(s, out);
}

static void print_json(const span *s, wn_buf *out) {
  static const char slate[] = "/v1/surfaces/{surface}/slate";
  const struct {
    const char *key;
    double value;
  } rows[] = {
      {"seconds", s->seconds},
      {"requests_per_second", rate(s, "winnow_http_requests_total", NULL, NULL)},
      {"slates_per_second", rate(s, "winnow_slates_shown_total", NULL, NULL)},
      {"slate_p50_seconds",
       wn_scrape_quantile(s->before, s->now, "winnow_http_request_seconds", "route", slate, 0.5)},
      {"slate_p99_seconds",
       wn_scrape_quantile(s->before, s->now, "winnow_http_request_seconds", "route", slate, 0.99)},
      {"events_per_second", rate(s, "winnow_events_accepted_total", NULL, NULL)},
      {"clicks_per_second", rate(s, "winnow_clicks_total", NULL, NULL)},
      {"snapshot", gauge(s, "winnow_snapshot")},
      {"events_since_snapshot", gauge(s, "winnow_events_since_snapshot")},
      {"training_running", gauge(s, "winnow_training_running")},
      {"alerts_firing", gauge(s, "winnow_alert_firing")},
      {"processors", rate(s, "process_cpu_seconds_total", NULL, NULL)},
      {"memory_bytes", gauge(s, "process_resident_memory_bytes")}};
  wn_json j;
  wn_json_init(&j, out);
  wn_json_object(&j);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    wn_json_key(&j, rows[i].key);
    if (isnan(rows[i].value))
      wn_json_null(&j);
    else
      wn_json_double(&j, rows[i].value);
  }
  wn_json_end_object(&j);
  wn_buf_str(out, "\n");
}

/* --- the loop --- */

static wn_status take_look(wn_http_client *client, look *out, wn_error *err) {
  wn_str body;
  wn_status status;
  WN_TRY(wn_http_get(client, "/metrics", &body, err));
  out->ns = wn_mono_ns();
  status = wn_scrape_read(body, &out->scrape, err);
cleanup:
  return status;
}

static wn_status show(const look *before, const look *now, bool terminal, wn_error *err) {
  wn_buf out = {0};
  span s = {&before->scrape, &now->scrape, (double)(now->ns - before->ns) * 1e-9};
  if (terminal) wn_buf_str(&out, "\033[H\033[J"); /* from the upper left corner on, anew */
  if (opt.json)
    print_json(&s, &out);
  else
    print_text(&s, &out);
  bool good = !out.failed && fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
  wn_buf_clear(&out);
  return good ? WN_OK : wn_fail_errno(err, "", "cannot write to standard output");
}

static wn_status run(wn_error *err) {
  wn_http_client *client = NULL;
  look looks[2] = {0};
  bool terminal = !opt.json && isatty(STDOUT_FILENO) == 1;
  wn_status status;
  const struct timespec pause = {(time_t)opt.every, (long)(1e9 * (opt.every - floor(opt.every)))};
  WN_TRY(wn_http_client_create(opt.url, opt.key, &client, err));
  WN_TRY(take_look(client, &looks[0], err));
  for (uint64_t n = 1; ended == 0 && (opt.count == 0 || n <= opt.count); n++) {
    if (nanosleep(&pause, NULL) != 0) break; /* Ctrl-C */
    look *now = &looks[n % 2], *before = &looks[(n + 1) % 2];
    wn_scrape_clear(&now->scrape);
    WN_TRY(take_look(client, now, err));
    WN_TRY(show(before, now, terminal, err));
  }
cleanup:
  for (size_t i = 0; i < 2; i++) wn_scrape_clear(&looks[i].scrape);
  wn_http_client_free(client);
  return status;
}

int wn_cmd_top(int argc, char **argv) {
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  if (!(opt.every >= 0.1 && opt.every <= 86400))
    return wn_cli_usage(&command, "--every must be 0.1 to 86400 seconds, got %g", opt.every);
  if (opt.key == NULL) opt.key = getenv("WINNOW_KEY");
  signal(SIGINT, end);
  signal(SIGTERM, end);
  return run(&err) == WN_OK ? 0 : wn_cli_fail(&command, &err);
}
