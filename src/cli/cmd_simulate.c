/* winnow simulate: visits of made-up users to a running server, over its public API alone, and what
 * they were worth, which only the made-up world knows (lab/world.h). */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/scenario.h"
#include "cli/site.h"
#include "cli/tally.h"

static struct {
  const char *url, *surface, *experiment, *key, *svg, *like, *start, *scenario, *out;
  uint64_t users, items, visits, periods, history, seed, n;
  double bait_pull, bait_cost, trap, likes, trend, days, born, ageing, life, churn, drift;
  bool json, once, small;
} opt = {.url = "http://127.0.0.1:8088",
         .surface = "home",
         .users = 1000,
         .items = 500,
         .visits = 5000,
         .periods = 10,
         .out = "scenarios",
         .seed = 1};
static const wn_option options[] = {
    {"url", WN_OPT_TEXT, &opt.url, "URL", "the server (default http://127.0.0.1:8088)"},
    {"key", WN_OPT_TEXT, &opt.key, "KEY", "API key that may read and write"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME", "which one is visited (default home)"},
    {"n", WN_OPT_UINT, &opt.n, "N", "items of a slate; default: the surface's own"},
    {"experiment", WN_OPT_TEXT, &opt.experiment, "NAME", "tell its arms apart"},
    {"users", WN_OPT_UINT, &opt.users, "N", "in the world (default 1000)"},
    {"items", WN_OPT_UINT, &opt.items, "N", "in the world; they are put first (default 500)"},
    {"like", WN_OPT_TEXT, &opt.like, "PATH", "users, items and tastes fitted to this data set"},
    {"history", WN_OPT_UINT, &opt.history, "N", "visits to random slates in the 30 days before"},
    {"visits", WN_OPT_UINT, &opt.visits, "N", "visits to the server (default 5000)"},
    {"days", WN_OPT_REAL, &opt.days, "D",
     "on a virtual clock, so many days for them: the server runs with --virtual-clock"},
    {"start", WN_OPT_TEXT, &opt.start, "TIME", "of the virtual clock; default now"},
    {"periods", WN_OPT_UINT, &opt.periods, "N", "rows of the table (default 10)"},
    {"bait-pull", WN_OPT_REAL, &opt.bait_pull, "X", "how far bait pulls clicks (default 0)"},
    {"bait-cost", WN_OPT_REAL, &opt.bait_cost, "X", "how far it costs satisfaction (default 0)"},
    {"trap", WN_OPT_REAL, &opt.trap, "X", "how far short items are finished anyway (default 0)"},
    {"likes", WN_OPT_REAL, &opt.likes, "P", "share of satisfied clicks that are liked (default 0)"},
    {"trend", WN_OPT_REAL, &opt.trend, "X", "height of the topics' waves of 28 days (default 0)"},
    {"born", WN_OPT_REAL, &opt.born, "P", "share of the items that are born meanwhile (default 0)"},
    {"ageing", WN_OPT_REAL, &opt.ageing, "X", "what a day takes of an item's pull (default 0)"},
    {"life", WN_OPT_REAL, &opt.life, "DAYS", "after which items go (default 0: never)"},
    {"churn", WN_OPT_REAL, &opt.churn, "P", "that an unsatisfying visit is the last (default 0)"},
    {"drift", WN_OPT_REAL, &opt.drift, "X", "of tastes to what satisfied (default 0)"},
    {"once", WN_OPT_FLAG, &opt.once, NULL, "nobody clicks an item twice"},
    {"seed", WN_OPT_UINT, &opt.seed, "N", "of the world and the visits (default 1)"},
    {"scenario", WN_OPT_TEXT, &opt.scenario, "NAME",
     "plays one against servers of its own and checks its claim, or `all`, or `list`"},
    {"out", WN_OPT_TEXT, &opt.out, "DIR", "for a scenario's JSON and plot (default scenarios)"},
    {"small", WN_OPT_FLAG, &opt.small, NULL, "a scenario's version of seconds"},
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

/* Its period: by the number of visits or, on a virtual clock, by the day. */
static size_t period_of(const wn_visit *v, uint64_t done) {
  double at = opt.days > 0 ? v->visitor.day / opt.days : (double)done / (double)opt.visits;
  size_t p = (size_t)(at * (double)opt.periods);
  return p < opt.periods ? p : (size_t)opt.periods - 1;
}

/* Until so many visits were made, or the last day is over, or everybody has left. */
static wn_status visit_all(wn_site *site, wn_tally *tally, const wn_progress *progress,
                           wn_error *err) {
  wn_status status = WN_OK;
  wn_visit *visit = wn_calloc(1, sizeof *visit);
  bool came = true;
  if (visit == NULL) return wn_fail_memory(err);
  for (uint64_t v = 0; v < opt.visits; v++) {
    if (v % 64 == 0 && !wn_progress_at(progress, "visits", (double)v, (double)opt.visits, "visits"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    WN_TRY(wn_site_visit(site, visit, &came, err));
    if (!came || (opt.days > 0 && visit->visitor.day > opt.days)) break;
    wn_tally_add(tally, visit, period_of(visit, v));
  }
  wn_tally_end(tally);
  WN_TRY(wn_site_flush(site, err));
cleanup:
  wn_free(visit);
  return status;
}

static wn_status plot(const wn_tally *tally, wn_error *err) {
  wn_buf svg = {0};
  wn_tally_plot(tally, &svg);
  wn_status status = svg.failed ? wn_fail_memory(err)
                                : wn_write_file_atomic(opt.svg, (wn_str){svg.data, svg.len}, err);
  wn_buf_clear(&svg);
  return status;
}

static wn_status check_options(wn_error *err) {
  if (opt.users < 1 || opt.users > 10000000)
    return wn_fail(err, WN_E_ARGUMENT, "users", "must be 1 to 10000000");
  if (opt.items < 1 || opt.items > 1000000)
    return wn_fail(err, WN_E_ARGUMENT, "items", "must be 1 to 1000000");
  if (opt.periods < 1 || opt.periods > WN_TALLY_PERIODS_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "periods", "must be 1 to %d", WN_TALLY_PERIODS_MAX);
  if (opt.days < 0 || opt.days > 36500)
    return wn_fail(err, WN_E_ARGUMENT, "days", "must be 0 to 36500");
  const double shares[] = {opt.likes, opt.born, opt.churn};
  static const char *const names[] = {"likes", "born", "churn"};
  for (size_t i = 0; i < 3; i++)
    if (!(shares[i] >= 0 && shares[i] <= 1))
      return wn_fail(err, WN_E_ARGUMENT, names[i], "must be 0 to 1");
  return WN_OK;
}

static wn_status site_options(wn_site_options *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_site_options_defaults(out);
  out->world = (wn_world_options){.users = (uint32_t)opt.users,
                                  .items = (uint32_t)opt.items,
                                  .seed = opt.seed,
                                  .bait_pull = opt.bait_pull,
                                  .bait_cost = opt.bait_cost,
                                  .trap = opt.trap,
                                  .likes = opt.likes,
                                  .trend = opt.trend,
                                  .days = opt.days,
                                  .born_share = opt.born,
                                  .ageing = opt.ageing,
                                  .life_days = opt.life,
                                  .churn = opt.churn,
                                  .drift = opt.drift,
                                  .once = opt.once};
  out->url = opt.url;
  out->key = opt.key;
  out->surface = opt.surface;
  out->experiment = opt.experiment;
  out->like = opt.like;
  out->n = (uint32_t)opt.n;
  if (opt.days <= 0) return WN_OK;
  out->visits_a_day = (double)(opt.visits > 0 ? opt.visits : 1) / opt.days;
  out->start_ms = wn_now_ms();
  if (opt.start != NULL) WN_TRY(wn_time_parse(wn_str_of(opt.start), &out->start_ms, err));
cleanup:
  return status;
}

static void print_json(const wn_tally *tally, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_tally_to_json(tally, &json);
  wn_json_end_object(&json);
}

static wn_status simulate(wn_buf *out, const wn_progress *progress, wn_error *err) {
  wn_status status = WN_OK;
  wn_site site = {0};
  wn_tally tally = {0};
  wn_site_options how;
  WN_TRY(check_options(err));
  WN_TRY(site_options(&how, err));
  WN_TRY(wn_site_create(&how, &site, err));
  WN_TRY(wn_site_history(&site, opt.history, err));
  WN_TRY(wn_tally_create(&site.world, opt.periods, &tally, err));
  WN_TRY(visit_all(&site, &tally, progress, err));
  if (opt.svg != NULL) WN_TRY(plot(&tally, err));
  if (opt.json)
    print_json(&tally, out);
  else if (opt.visits > 0)
    wn_tally_print(&tally, opt.experiment != NULL, out);
cleanup:
  wn_tally_clear(&tally);
  wn_site_clear(&site);
  return status;
}

/* ---- scenarios ---- */

static wn_status play(const wn_scenario *scenario, const wn_progress *progress, wn_buf *out,
                      bool *holds, wn_error *err) {
  wn_status status = WN_OK;
  wn_stage stage = {.name = scenario->name,
                    .claim = scenario->claim,
                    .out = opt.out,
                    .small = opt.small,
                    .seed = opt.seed,
                    .progress = progress};
  uint64_t start = wn_mono_ns();
  WN_TRY(wn_stage_open(&stage, err));
  WN_TRY(scenario->play(&stage, err));
  double seconds = (double)(wn_mono_ns() - start) * 1e-9;
  WN_TRY(wn_stage_write(&stage, seconds, err));
  wn_buf_printf(out, "%s: %s\n%.*s%s, %.0f s\n", scenario->name, scenario->claim,
                (int)stage.text.len, stage.text.len > 0 ? stage.text.data : "",
                stage.failed ? "does not hold" : "holds", seconds);
  *holds &= !stage.failed;
cleanup:
  wn_stage_close(&stage);
  return status;
}

static wn_status play_all(const wn_progress *progress, wn_buf *out, bool *holds, wn_error *err) {
  wn_status status = WN_OK;
  bool met = false, list = strcmp(opt.scenario, "list") == 0;
  for (size_t i = 0; i < wn_scenarios_len; i++) {
    const wn_scenario *s = &wn_scenarios[i];
    if (list) wn_buf_printf(out, "%-12s %s\n", s->name, s->claim);
    if (list || (strcmp(opt.scenario, "all") != 0 && strcmp(opt.scenario, s->name) != 0)) continue;
    met = true;
    WN_TRY(play(s, progress, out, holds, err));
  }
  if (!met && !list)
    status = wn_fail(err, WN_E_ARGUMENT, "scenario", "there is none called %.40s (see `list`)",
                     opt.scenario);
cleanup:
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
  bool holds = true;
  wn_status done = opt.scenario != NULL ? play_all(&meter.progress, &out, &holds, &err)
                                        : simulate(&out, &meter.progress, &err);
  wn_meter_end(&meter);
  if (done != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  status = wn_cli_print(&out);
  return status == 0 && !holds ? 1 : status;
}
