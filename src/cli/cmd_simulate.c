/* winnow simulate: visits of made-up users to a running server, over its public API alone, and what
 * they were worth, which only the made-up world knows (lab/world.h). */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/simulate_client.h"
#include "lab/metrics.h"
#include "lab/svg.h"
#include "lab/world.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARMS_MAX    16
#define PERIODS_MAX 100
#define SLATE_MAX   100
#define BATCH       500
#define DAY_MS      INT64_C(86400000)

static struct {
  const char *url, *surface, *experiment, *key, *svg;
  uint64_t users, items, visits, periods, history, seed;
  double bait_pull, bait_cost;
  bool json;
} opt = {.url = "http://127.0.0.1:8088",
         .surface = "home",
         .users = 1000,
         .items = 500,
         .visits = 5000,
         .periods = 10,
         .seed = 1};
static const wn_option options[] = {
    {"url", WN_OPT_TEXT, &opt.url, "URL", "the server (default http://127.0.0.1:8088)"},
    {"key", WN_OPT_TEXT, &opt.key, "KEY", "API key that may read and write"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "which one is visited (default home)"},
    {"experiment", WN_OPT_TEXT, &opt.experiment, "NAME", "tell its arms apart"},
    {"users", WN_OPT_UINT, &opt.users, "N", "in the world (default 1000)"},
    {"items", WN_OPT_UINT, &opt.items, "N", "in the world; they are put first (default 500)"},
    {"history", WN_OPT_UINT, &opt.history, "N", "visits to random slates in the 30 days before"},
    {"visits", WN_OPT_UINT, &opt.visits, "N", "visits to the server (default 5000)"},
    {"periods", WN_OPT_UINT, &opt.periods, "N", "rows of the table (default 10)"},
    {"bait-pull", WN_OPT_REAL, &opt.bait_pull, "X", "how far bait pulls clicks (default 0)"},
    {"bait-cost", WN_OPT_REAL, &opt.bait_cost, "X", "how far it costs satisfaction (default 0)"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the world and the visits (default 1)"},
    {"svg", WN_OPT_TEXT, &opt.svg, "FILE", "a plot of the value by period and arm"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "simulate",
    "visits of made-up users, whose satisfaction is known",
    "[--url URL]",
    "Puts the world's items (sim-i0 …) and asks slates for its users (sim-u0 …): use a data "
    "directory "
    "of its own. `value` is the satisfied clicks that a visit brings on average, `best` what the "
    "best "
    "slate would have brought; nothing of that is told to the server.",
    options,
    sizeof options / sizeof options[0]};

/* What happened in one period to one arm. */
typedef struct sums {
  double visits, clicks, satisfied, value, best, topics;
} sums;

typedef struct run {
  wn_world world;
  wn_sim_client *client;
  wn_rng rng;
  char arms[ARMS_MAX][WN_NAME_MAX + 1];
  size_t arms_len;
  sums (*table)[ARMS_MAX]; /* [periods] */
  uint32_t *shown;         /* items: impressions of this period */
  double gini[PERIODS_MAX];
  double *scratch; /* items */
  wn_buf body;
} run;

/* ---- the world into the server ---- */

static wn_status put_items(run *r, wn_error *err) {
  wn_status status = WN_OK;
  for (uint32_t i = 0; i < opt.items;) {
    wn_json json;
    wn_buf_reset(&r->body);
    wn_json_init(&json, &r->body);
    wn_json_object(&json);
    wn_json_key(&json, "items");
    wn_json_array(&json);
    for (uint32_t end = i + BATCH; i < opt.items && i < end; i++) {
      char id[32], title[64], topic[8];
      snprintf(id, sizeof id, "sim-i%u", i);
      snprintf(title, sizeof title, "Item %u of topic %u", i, r->world.main_topic[i]);
      snprintf(topic, sizeof topic, "t%u", r->world.main_topic[i]);
      wn_json_object(&json);
      wn_json_key(&json, "id");
      wn_json_cstring(&json, id);
      wn_json_key(&json, "title");
      wn_json_cstring(&json, title);
      wn_json_key(&json, "attributes");
      wn_json_object(&json);
      wn_json_key(&json, "topic");
      wn_json_cstring(&json, topic);
      wn_json_end_object(&json);
      wn_json_end_object(&json);
    }
    wn_json_end_array(&json);
    wn_json_end_object(&json);
    WN_TRY(wn_sim_post(r->client, "/v1/items", &r->body, err));
  }
cleanup:
  return status;
}

/* slate NULL: of no slate. time_ms 0: now. */
static void write_event(wn_json *json, uint32_t user, uint32_t item, const char *type,
                        const char *slate, int64_t time_ms) {
  char id[32];
  wn_json_object(json);
  snprintf(id, sizeof id, "sim-u%u", user);
  wn_json_key(json, "user");
  wn_json_cstring(json, id);
  snprintf(id, sizeof id, "sim-i%u", item);
  wn_json_key(json, "item");
  wn_json_cstring(json, id);
  wn_json_key(json, "type");
  wn_json_cstring(json, type);
  if (slate != NULL) {
    wn_json_key(json, "slate");
    wn_json_cstring(json, slate);
  }
  if (time_ms > 0) {
    wn_json_key(json, "time");
    wn_json_double(json, (double)time_ms / 1000);
  }
  wn_json_end_object(json);
}

/* A user, what she was shown, and what she did. */
typedef struct trip {
  uint32_t user;
  uint32_t items[SLATE_MAX];
  wn_browsed browsed[SLATE_MAX];
  size_t len;
} trip;

static size_t write_trip(const trip *t, const char *slate, int64_t time_ms, wn_json *json) {
  size_t count = 0;
  for (size_t k = 0; k < t->len; k++) {
    if (!t->browsed[k].clicked) continue;
    write_event(json, t->user, t->items[k], "click", slate, time_ms);
    count++;
    if (!t->browsed[k].satisfied) continue;
    write_event(json, t->user, t->items[k], "finish", slate, time_ms);
    count++;
  }
  return count;
}

static void begin_events(run *r, wn_json *json) {
  wn_buf_reset(&r->body);
  wn_json_init(json, &r->body);
  wn_json_object(json);
  wn_json_key(json, "events");
  wn_json_array(json);
}

static wn_status send_events(run *r, wn_json *json, wn_error *err) {
  wn_json_end_array(json);
  wn_json_end_object(json);
  return wn_sim_post(r->client, "/v1/events", &r->body, err);
}

/* Before the server was there: random slates, so that models have something to learn from. */
static wn_status make_history(run *r, wn_error *err) {
  wn_status status = WN_OK;
  wn_json json;
  size_t count = 0;
  int64_t now = wn_now_ms();
  trip t = {.len = 10};
  begin_events(r, &json);
  for (uint64_t v = 0; v < opt.history; v++) {
    t.user = wn_world_visitor(&r->world, &r->rng);
    for (size_t k = 0; k < t.len; k++) t.items[k] = (uint32_t)wn_rng_below(&r->rng, opt.items);
    wn_world_browse(&r->world, t.user, t.items, t.len, &r->rng, t.browsed);
    double past = 30 * (double)DAY_MS * (1 - (double)v / (double)opt.history);
    count += write_trip(&t, NULL, now - (int64_t)past, &json);
    if (count < BATCH) continue;
    WN_TRY(send_events(r, &json, err));
    begin_events(r, &json);
    count = 0;
  }
  if (count > 0) WN_TRY(send_events(r, &json, err));
cleanup:
  return status;
}

/* ---- visits ---- */

static size_t arm_place(run *r, const char *arm) {
  size_t a = 0;
  while (a < r->arms_len && strcmp(r->arms[a], arm) != 0) a++;
  if (a == ARMS_MAX) return ARMS_MAX - 1;
  if (a == r->arms_len) snprintf(r->arms[r->arms_len++], sizeof r->arms[0], "%s", arm);
  return a;
}

/* The world's items of a slate; others of the catalogue are nothing to its users. */
static size_t known_items(const wn_sim_slate *slate, uint32_t *items, size_t room) {
  size_t len = 0;
  for (size_t k = 0; k < slate->len && len < room; k++)
    if (slate->items[k] < opt.items) items[len++] = slate->items[k];
  return len;
}

static double topics_of(const run *r, const uint32_t *items, size_t len) {
  uint32_t seen = 0;
  for (size_t k = 0; k < len; k++) seen |= 1u << r->world.main_topic[items[k]];
  return __builtin_popcount(seen);
}

static wn_status visit(run *r, size_t period, wn_error *err) {
  wn_status status = WN_OK;
  wn_sim_slate slate;
  wn_json json;
  uint32_t best[SLATE_MAX];
  trip t = {.user = wn_world_visitor(&r->world, &r->rng)};
  WN_TRY(wn_sim_slate_get(r->client, opt.surface, t.user, opt.experiment, &slate, err));
  t.len = known_items(&slate, t.items, SLATE_MAX);
  wn_world_browse(&r->world, t.user, t.items, t.len, &r->rng, t.browsed);
  wn_world_best(&r->world, t.user, best, t.len, r->scratch);
  sums *s = &r->table[period][arm_place(r, slate.arm)];
  s->visits++;
  s->value += wn_world_value(&r->world, t.user, t.items, t.len);
  s->best += wn_world_value(&r->world, t.user, best, t.len);
  s->topics += topics_of(r, t.items, t.len);
  for (size_t k = 0; k < t.len; k++) {
    s->clicks += t.browsed[k].clicked;
    s->satisfied += t.browsed[k].satisfied;
    r->shown[t.items[k]]++;
  }
  begin_events(r, &json);
  if (write_trip(&t, slate.id, 0, &json) > 0) WN_TRY(send_events(r, &json, err));
cleanup:
  return status;
}

static wn_status visit_all(run *r, const wn_progress *progress, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t p = 0; p < opt.periods; p++) {
    uint64_t from = opt.visits * p / opt.periods, to = opt.visits * (p + 1) / opt.periods;
    memset(r->shown, 0, opt.items * sizeof *r->shown);
    for (uint64_t v = from; v < to; v++) {
      if (v % 64 == 0 &&
          !wn_progress_at(progress, "visits", (double)v, (double)opt.visits, "visits"))
        return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
      WN_TRY(visit(r, p, err));
    }
    r->gini[p] = wn_gini(r->shown, opt.items);
  }
cleanup:
  return status;
}

/* ---- what came of it ---- */

static sums add(sums a, const sums *b) {
  return (sums){a.visits + b->visits, a.clicks + b->clicks, a.satisfied + b->satisfied,
                a.value + b->value,   a.best + b->best,     a.topics + b->topics};
}

static sums of_period(const run *r, size_t p) {
  sums all = {0};
  for (size_t a = 0; a < r->arms_len; a++) all = add(all, &r->table[p][a]);
  return all;
}

static sums of_arm(const run *r, size_t a) {
  sums all = {0};
  for (size_t p = 0; p < opt.periods; p++) all = add(all, &r->table[p][a]);
  return all;
}

static const char *const columns[] = {"visits", "clicks", "satisfied", "value",
                                      "best",   "share",  "topics"};

static double column(const sums *s, size_t c) {
  const double all[] = {
      s->visits,           s->clicks / s->visits, s->satisfied / s->visits, s->value / s->visits,
      s->best / s->visits, s->value / s->best,    s->topics / s->visits};
  return all[c];
}

static void row(wn_table *table, const char *name, const sums *s, double gini) {
  wn_table_cell(table, "%s", name);
  for (size_t c = 0; c < 7; c++) wn_table_cell(table, c == 0 ? "%.0f" : "%.4f", column(s, c));
  wn_table_cell(table, isnan(gini) ? "-" : "%.3f", gini);
}

static void print_table(const run *r, wn_buf *out) {
  wn_table table;
  char name[80];
  wn_table_init(&table, 9, 0x1FE);
  wn_table_cell(&table, "period");
  for (size_t c = 0; c < 7; c++) wn_table_cell(&table, "%s", columns[c]);
  wn_table_cell(&table, "Gini");
  for (size_t p = 0; p < opt.periods; p++) {
    sums s = of_period(r, p);
    snprintf(name, sizeof name, "%zu", p + 1);
    if (s.visits > 0) row(&table, name, &s, r->gini[p]);
  }
  for (size_t a = 0; a < r->arms_len; a++) {
    sums s = of_arm(r, a);
    snprintf(name, sizeof name, "arm %s", r->arms[a]);
    if (s.visits > 0 && opt.experiment != NULL) row(&table, name, &s, (double)NAN);
  }
  wn_table_print(&table, out);
  wn_buf_str(out,
             "\nclicks, satisfied: seen, a visit. value: satisfied clicks expected of the slates "
             "shown, best: of the best slates, share: value / best. Gini: of the items shown.");
}

static void sums_json(const sums *s, wn_json *json) {
  for (size_t c = 0; c < 7; c++) {
    wn_json_key(json, columns[c]);
    wn_json_double(json, column(s, c));
  }
}

static void print_json(const run *r, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "periods");
  wn_json_array(&json);
  for (size_t p = 0; p < opt.periods; p++) {
    sums s = of_period(r, p);
    wn_json_object(&json);
    sums_json(&s, &json);
    wn_json_key(&json, "gini");
    wn_json_double(&json, r->gini[p]);
    wn_json_end_object(&json);
  }
  wn_json_end_array(&json);
  wn_json_key(&json, "arms");
  wn_json_object(&json);
  for (size_t a = 0; a < r->arms_len; a++) {
    sums s = of_arm(r, a);
    wn_json_key(&json, r->arms[a]);
    wn_json_object(&json);
    sums_json(&s, &json);
    wn_json_end_object(&json);
  }
  wn_json_end_object(&json);
  wn_json_end_object(&json);
}

static const char svg_style[] =
    "<style>text{font:12px system-ui,sans-serif;fill:#444}.s0{stroke:#0b6e99;fill:#0b6e99}"
    ".s1{stroke:#b5541c;fill:#b5541c}.s2{stroke:#5a7d2a;fill:#5a7d2a}"
    ".s3{stroke:#7a4fa3;fill:#7a4fa3}polyline,path{fill:none;stroke-width:2}"
    "line{stroke:#bbb}</style>";

/* value / best by period, a line an arm. */
static wn_status plot(const run *r, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf out = {0};
  double x[PERIODS_MAX], y[PERIODS_MAX];
  char style[8];
  wn_chart chart = {.out = &out,
                    .x = {.low = 0, .high = (double)opt.periods + 1},
                    .y = {.low = 0, .high = 1},
                    .width = 640,
                    .height = 320,
                    .left = 56,
                    .top = 16,
                    .right = 120,
                    .bottom = 44,
                    .x_label = "period",
                    .y_label = "value / best"};
  wn_chart_begin(&chart, "Value of the slates shown, as a share of the best ones'");
  wn_buf_str(&out, svg_style);
  for (size_t a = 0; a < r->arms_len; a++) {
    for (size_t p = 0; p < opt.periods; p++) {
      x[p] = (double)p + 1;
      y[p] = column(&r->table[p][a], 5);
    }
    snprintf(style, sizeof style, "s%zu", a % 4);
    wn_chart_line(&chart, &(wn_points){.x = x, .y = y, .n = opt.periods}, style, r->arms[a]);
    wn_label at = {.x = (double)opt.periods,
                   .y = y[opt.periods - 1],
                   .dx = 8,
                   .dy = 4,
                   .anchor = "start",
                   .style = style};
    wn_chart_text(&chart, &at, r->arms[a]);
  }
  wn_chart_end(&chart);
  if (out.failed) WN_TRY(wn_fail_memory(err));
  status = wn_write_file_atomic(opt.svg, (wn_str){out.data, out.len}, err);
cleanup:
  wn_buf_clear(&out);
  return status;
}

static wn_status check_options(wn_error *err) {
  if (opt.users < 1 || opt.users > 10000000)
    return wn_fail(err, WN_E_ARGUMENT, "users", "must be 1 to 10000000");
  if (opt.items < 1 || opt.items > 1000000)
    return wn_fail(err, WN_E_ARGUMENT, "items", "must be 1 to 1000000");
  if (opt.periods < 1 || opt.periods > PERIODS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "periods", "must be 1 to %d", PERIODS_MAX);
  return WN_OK;
}

static wn_status simulate(wn_buf *out, const wn_progress *progress, wn_error *err) {
  wn_status status = WN_OK;
  run r = {0};
  wn_world_options world = {.users = (uint32_t)opt.users,
                            .items = (uint32_t)opt.items,
                            .bait_pull = opt.bait_pull,
                            .bait_cost = opt.bait_cost,
                            .seed = opt.seed};
  WN_TRY(check_options(err));
  WN_TRY(wn_world_create(&world, &r.world, err));
  wn_rng_seed(&r.rng, opt.seed + 1);
  r.table = wn_calloc(opt.periods, sizeof *r.table);
  r.shown = wn_calloc(opt.items, sizeof *r.shown);
  r.scratch = wn_calloc(opt.items, sizeof *r.scratch);
  if (r.table == NULL || r.shown == NULL || r.scratch == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_sim_client_create(opt.url, opt.key, &r.client, err));
  WN_TRY(put_items(&r, err));
  WN_TRY(make_history(&r, err));
  WN_TRY(visit_all(&r, progress, err));
  if (opt.svg != NULL) WN_TRY(plot(&r, err));
  if (opt.json)
    print_json(&r, out);
  else if (opt.visits > 0)
    print_table(&r, out);
cleanup:
  wn_sim_client_free(r.client);
  wn_buf_clear(&r.body);
  wn_free(r.table);
  wn_free(r.shown);
  wn_free(r.scratch);
  wn_world_clear(&r.world);
  return status;
}

int wn_cmd_simulate(int argc, char **argv) {
  static wn_text_list rest;
  wn_buf out = {0};
  wn_error err = {0};
  wn_meter meter;
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if (rest.len > 0) return wn_cli_usage(&command, "unexpected `%s`", rest.data[0]);
  wn_meter_init(&meter);
  wn_status done = simulate(&out, &meter.progress, &err);
  wn_meter_end(&meter);
  if (done != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  return wn_cli_print(&out);
}
