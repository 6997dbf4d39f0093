/* winnow experiments: what runs, what it shows, and how long one would have to run. Reads only;
 * works beside a running server. */
#include "cli/cli.h"

#include "base/clock.h"
#include "lab/cold.h"
#include "lab/heads.h"
#include "lab/ledger.h"
#include "lab/verdict.h"
#include "serve/declared.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct {
  const char *data, *config, *surface, *kind, *type;
  double days;
  uint64_t place;
  bool json;
} opt = {.days = 28};
static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE", "default: DIR/winnow.yaml"},
    {"surface", WN_OPT_TEXT, &opt.surface, "NAME",
     "plan: where it would run; weights: whose (default home)"},
    {"kind", WN_OPT_TEXT, &opt.kind, "KIND", "plan: metric, as in `metrics:` (default conversion)"},
    {"type", WN_OPT_TEXT, &opt.type, "TYPE", "plan: event type of the metric (default any)"},
    {"place", WN_OPT_UINT, &opt.place, "N", "plan: impressions that tell a good new item there"},
    {"days", WN_OPT_REAL, &opt.days, "N",
     "plan, weights: from the slates of so many days (default 28)"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "as JSON"},
};
static const wn_command command = {
    "experiments",
    "what experiments show, or how long one would take",
    "--data DIR [NAME | plan | weights]",
    "Without a name: a line for each experiment. With one: its arms by all metrics. `plan`: units "
    "and "
    "days to see an effect, from the slates logged so far; with --place: impressions for `explore: "
    "cold`. `weights`: what each objective's weight does,\nfrom slates whose weights were "
    "perturbed "
    "(score.perturb, docs/objectives.md).\n"
    "Intervals are always valid: look as often as you like (docs/experiments.md).",
    options,
    sizeof options / sizeof options[0]};

typedef struct sight {
  wn_store *store;
  wn_config config;
  wn_ledger ledger;
} sight;

static void cell_percent(wn_table *table, double x) {
  if (isnan(x) || isinf(x))
    wn_table_cell(table, "-");
  else
    wn_table_cell(table, "%+.2f%%", 100 * x);
}

static void print_arm(wn_table *table, const wn_experiment *e, const wn_outcome *outcome,
                      const wn_experiment_verdict *all, size_t a, size_t m) {
  const wn_arm_verdict *v = &all->arms[a][m];
  wn_table_cell(table, "%s%s", e->metrics[m].name, m == 0 ? "" : " (guard)");
  wn_table_cell(table, "%s", e->arms[a].name);
  wn_table_cell(table, "%.0f", outcome->arms[a].metrics[m].n);
  if (a == 0) {
    const wn_ratio_sums *s = &outcome->arms[0].metrics[m];
    wn_table_cell(table, s->x > 0 ? "%.5g" : "-", s->y / s->x);
    for (int i = 0; i < 6; i++) wn_table_cell(table, "%s", i == 0 ? "control" : "");
    return;
  }
  wn_table_cell(table, isnan(v->treatment) ? "-" : "%.5g", v->treatment);
  cell_percent(table, v->relative);
  cell_percent(table, v->relative_low);
  cell_percent(table, v->relative_high);
  wn_table_cell(table, v->verdict == WN_VERDICT_NO_DATA ? "-" : "%.3g", v->absolute.p);
  wn_table_cell(table, v->verdict == WN_VERDICT_NO_DATA ? "-" : "%.3f", v->chance_to_win);
  wn_table_cell(table, "%s", wn_verdict_names[v->verdict]);
}

static void print_checks(const wn_experiment *e, const wn_outcome *outcome,
                         const wn_experiment_verdict *v, wn_buf *out) {
  wn_buf_printf(out, "\nunits     %.0f", v->units);
  if (e->planned_units > 0)
    wn_buf_printf(out, " of %" PRIu64 " planned (%.0f%%)", e->planned_units,
                  100 * v->units / (double)e->planned_units);
  wn_buf_printf(out, "\nsizes     p %.3g against the shares%s\n", v->srm.p,
                v->hidden ? ": MISMATCH" : "");
  if (v->worst.what[0] != '\0')
    wn_buf_printf(out, "          worst slice: %s, corrected p %.3g\n", v->worst.what,
                  v->worst.srm.p);
  wn_buf_printf(out,
                "left out  %" PRIu64 " units in two arms, %" PRIu64 " under an override, %" PRIu64
                " bots, %" PRIu64 " slates of erased users",
                outcome->crossed, outcome->overridden, outcome->bots, outcome->erased_slates);
  for (size_t m = 0; m < e->metrics_len; m++)
    if (outcome->without_events[m])
      wn_buf_printf(out, "\nmetric    %s: no event \"%s\" was ever stored", e->metrics[m].name,
                    e->metrics[m].type);
}

static void print_one(const wn_experiment *e, const wn_outcome *outcome,
                      const wn_experiment_verdict *v, wn_buf *out) {
  static const char *const head[] = {"metric", "arm",  "units",        "mean", "against control",
                                     "low",    "high", "p (any time)", "wins", "verdict"};
  wn_table table;
  if (v->hidden) {
    wn_buf_printf(out,
                  "%s: results are hidden: the sizes of the arms contradict their shares, so units "
                  "were lost or gained by what an arm did. Find the cause first.\n",
                  e->name);
  } else {
    wn_table_init(&table, 10, 0x1FC);
    for (size_t i = 0; i < 10; i++) wn_table_cell(&table, "%s", head[i]);
    for (size_t m = 0; m < e->metrics_len; m++)
      for (size_t a = 0; a < e->arms_len; a++) print_arm(&table, e, outcome, v, a, m);
    wn_table_print(&table, out);
  }
  print_checks(e, outcome, v, out);
}

static wn_status show(sight *s, const wn_experiment *e, wn_buf *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_outcome outcome;
  wn_experiment_verdict verdict;
  wn_json json;
  WN_TRY(wn_experiment_look(s->store, opt.data, e, &outcome, &verdict, err));
  if (opt.json) {
    wn_json_init(&json, out);
    wn_experiment_verdict_to_json(e, &outcome, &verdict, &json);
  } else {
    print_one(e, &outcome, &verdict, out);
  }
cleanup:
  wn_outcome_clear(&outcome);
  return status;
}

static void list_one(const sight *s, const wn_experiment *e, wn_table *table, wn_json *json) {
  const wn_ledger_entry *entry = wn_ledger_find(&s->ledger, e->name);
  const char *state = entry == NULL      ? "never ran"
                      : e->promoted != 0 ? "promoted"
                      : e->stopped       ? "stopped"
                                         : "running";
  char since[32] = "-";
  if (entry != NULL) wn_time_format(entry->started_ms, since, sizeof since);
  if (opt.json) {
    wn_json_object(json);
    wn_json_key(json, "name");
    wn_json_cstring(json, e->name);
    wn_json_key(json, "state");
    wn_json_cstring(json, state);
    wn_json_key(json, "traffic");
    wn_json_double(json, e->traffic);
    wn_json_key(json, "started_ms");
    wn_json_int(json, entry != NULL ? entry->started_ms : 0);
    wn_json_end_object(json);
    return;
  }
  wn_table_cell(table, "%s", e->name);
  wn_table_cell(table, "%s", state);
  wn_table_cell(table, "%.16s", since);
  wn_table_cell(table, "%g%%", 100 * e->traffic);
  wn_table_cell(table, "%zu", e->arms_len);
  wn_table_cell(table, "%s", e->metrics[0].name);
}

static void list(const sight *s, wn_buf *out) {
  static const char *const head[] = {"experiment", "state", "since", "traffic", "arms", "metric"};
  wn_table table;
  wn_json json;
  const wn_experiments *all = &s->config.experiments;
  if (all->len == 0 && !opt.json) {
    wn_buf_str(out, "no experiments are declared (docs/experiments.md)");
    return;
  }
  wn_json_init(&json, out);
  wn_table_init(&table, 6, 0x18);
  if (opt.json) wn_json_array(&json);
  for (size_t i = 0; i < 6; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t i = 0; i < all->len; i++) list_one(s, &all->data[i], &table, &json);
  if (opt.json)
    wn_json_end_array(&json);
  else
    wn_table_print(&table, out);
  wn_buf_clear(&table.cells);
}

/* A metric and a surface as they would be declared: an experiment that everybody is in. */
static wn_status plan_experiment(wn_experiment *e, char (*surface)[WN_NAME_MAX + 1],
                                 wn_error *err) {
  wn_metric_spec *spec = &e->metrics[0];
  size_t kind = 0;
  wn_experiment_defaults(e, "plan");
  const char *wanted = opt.kind != NULL ? opt.kind : "conversion";
  while (wn_metric_kind_names[kind] != NULL && strcmp(wn_metric_kind_names[kind], wanted) != 0)
    kind++;
  if (wn_metric_kind_names[kind] == NULL)
    return wn_fail(err, WN_E_ARGUMENT, "kind", "unknown metric \"%s\"", wanted);
  *spec = (wn_metric_spec){.kind = (wn_metric_kind)kind, .days = 7};
  snprintf(spec->name, sizeof spec->name, "%s", wanted);
  if (opt.type != NULL) snprintf(spec->type, sizeof spec->type, "%s", opt.type);
  snprintf(*surface, sizeof *surface, "%s", opt.surface != NULL ? opt.surface : "home");
  e->metrics_len = 1;
  e->arms_len = 2;
  e->surfaces = surface;
  e->surfaces_len = 1;
  return WN_OK;
}

static const double good_times[] = {1.25, 1.5, 2, 3};
enum { GOOD_TIMES = sizeof good_times / sizeof *good_times };

static void print_place(const wn_place *place, const wn_place_rate *rate, wn_buf *out) {
  wn_table table;
  double days = (double)(rate->last_ms - rate->first_ms) / 86400000.0;
  bool drawn = rate->drawn > 0;
  wn_buf_printf(out,
                "place %u of %.*s: the usual item is answered at %.4g of its impressions (%" PRIu64
                " %s)\n\n",
                place->position, WN_STR_ARG(place->surface), rate->usual,
                drawn ? rate->drawn : rate->slates,
                drawn ? "drawn by chance"
                      : "as the policy put them, nothing there was drawn: better than usual");
  wn_table_init(&table, 3, 0x7);
  wn_table_cell(&table, "a new item's answers");
  wn_table_cell(&table, "impressions");
  wn_table_cell(&table, "new items a day");
  for (size_t i = 0; i < GOOD_TIMES; i++) {
    double n = ceil(wn_impressions_needed(rate->usual, good_times[i], 0.05, 0.8));
    wn_table_cell(&table, "%g times as many", good_times[i]);
    wn_table_cell(&table, "%.0f", n);
    wn_table_cell(&table, days > 0 ? "%.1f" : "-", (double)rate->slates / days / n);
  }
  wn_table_print(&table, out);
  wn_buf_str(out, "\nOne-sided at .05, power .8, every slate's place given to new items.");
}

static void place_to_json(const wn_place_rate *rate, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "usual");
  wn_json_double(&json, rate->usual);
  wn_json_key(&json, "drawn");
  wn_json_int(&json, (int64_t)rate->drawn);
  wn_json_key(&json, "slates");
  wn_json_int(&json, (int64_t)rate->slates);
  wn_json_key(&json, "impressions");
  wn_json_array(&json);
  for (size_t i = 0; i < GOOD_TIMES; i++) {
    wn_json_object(&json);
    wn_json_key(&json, "times");
    wn_json_double(&json, good_times[i]);
    wn_json_key(&json, "needed");
    wn_json_double(&json, ceil(wn_impressions_needed(rate->usual, good_times[i], 0.05, 0.8)));
    wn_json_end_object(&json);
  }
  wn_json_end_array(&json);
  wn_json_end_object(&json);
}

static wn_status plan_place(sight *s, wn_buf *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_place_rate rate;
  if (opt.place > WN_SLATE_MAX)
    return wn_fail(err, WN_E_ARGUMENT, "place", "must be 1 to %d", WN_SLATE_MAX);
  const wn_place place = {wn_str_of(opt.surface != NULL ? opt.surface : "home"),
                          (uint32_t)opt.place, wn_now_ms() - (int64_t)(opt.days * 86400000.0)};
  WN_TRY(wn_place_rate_count(s->store, &s->config.signals, &place, &rate, err));
  if (!(rate.usual > 0))
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "place",
                   "nothing at place %u of %.*s was answered in the last %g days", place.position,
                   WN_STR_ARG(place.surface), opt.days));
  if (opt.json)
    place_to_json(&rate, out);
  else
    print_place(&place, &rate, out);
cleanup:
  return status;
}

static wn_status plan(sight *s, wn_buf *out, wn_error *err) {
  static char surface[1][WN_NAME_MAX + 1];
  wn_status status = WN_OK;
  wn_experiment e;
  wn_outcome outcome = {0};
  wn_outcome_options options_of;
  wn_table table;
  WN_TRY(plan_experiment(&e, surface, err));
  wn_outcome_options_defaults(&options_of);
  options_of.since_ms = wn_now_ms() - (int64_t)(opt.days * 86400000.0);
  options_of.everyone = true;
  WN_TRY(wn_outcome_collect(s->store, &e, &options_of, &outcome, err));
  const wn_ratio_sums *sums = &outcome.arms[0].metrics[0];
  if (outcome.without_events[0])
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "type", "no event \"%s\" was ever stored", opt.type));
  if (sums->n < 2 || !(sums->y > 0))
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "surface",
                   "no slate of %s in the last %g days was answered by such an event", surface[0],
                   opt.days));
  double days = (double)(outcome.last_ms - outcome.first_ms) / 86400000.0;
  wn_buf_printf(out, "%s on %s: %.5g over %.0f units in %.1f days\n\n", e.metrics[0].name,
                surface[0], sums->y / sums->x, sums->n, days);
  wn_table_init(&table, 3, 0x7);
  wn_table_cell(&table, "relative effect");
  wn_table_cell(&table, "units, two arms");
  wn_table_cell(&table, "days at full traffic");
  for (size_t i = 0; i < 4; i++) {
    double units = 2 * wn_units_needed(sums, wn_needed_effects[i], 0.05, 0.8);
    wn_table_cell(&table, "%g%%", 100 * wn_needed_effects[i]);
    wn_table_cell(&table, "%.0f", units);
    wn_table_cell(&table, days > 0 ? "%.1f" : "-", units / (sums->n / days));
  }
  wn_table_print(&table, out);
  wn_buf_str(out, "\nTwo-sided at .05, power .8, fixed horizon; with peeking allow a third more.");
cleanup:
  wn_outcome_clear(&outcome);
  return status;
}

/* What a tenth more of a weight does to each outcome, as a share of its mean. */
static void print_heads(const wn_heads *h, const char *surface, wn_buf *out) {
  const wn_objectives *all = &h->objectives;
  wn_table table;
  wn_buf_printf(out, "%s: %" PRIu64 " slates of %zu users with perturbed weights\n\n", surface,
                h->slates, h->users);
  wn_table_init(&table, 6, 0x3C);
  static const char *const head[] = {
      "10% more weight of", "outcome", "a slate", "change", "low", "high"};
  for (size_t i = 0; i < 6; i++) wn_table_cell(&table, "%s", head[i]);
  for (size_t k = 0; k < all->len; k++)
    for (size_t j = 0; j < all->len; j++) {
      const wn_head_effect *e = &h->effect[k][j];
      double scale = h->mean[j] > 0 ? log(1.1) / h->mean[j] : NAN;
      wn_table_cell(&table, "%s", all->data[k].name);
      wn_table_cell(&table, "%s", all->data[j].name);
      wn_table_cell(&table, "%.4f", h->mean[j]);
      cell_percent(&table, e->slope * scale);
      cell_percent(&table, (e->slope - 1.96 * e->se) * scale);
      cell_percent(&table, (e->slope + 1.96 * e->se) * scale);
    }
  wn_table_print(&table, out);
}

static void heads_to_json(const wn_heads *h, const char *surface, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "surface");
  wn_json_cstring(&json, surface);
  wn_json_key(&json, "slates");
  wn_json_int(&json, (int64_t)h->slates);
  wn_json_key(&json, "users");
  wn_json_int(&json, (int64_t)h->users);
  wn_json_key(&json, "effects");
  wn_json_array(&json);
  for (size_t k = 0; k < h->objectives.len; k++)
    for (size_t j = 0; j < h->objectives.len; j++) {
      wn_json_object(&json);
      wn_json_key(&json, "weight");
      wn_json_cstring(&json, h->objectives.data[k].name);
      wn_json_key(&json, "outcome");
      wn_json_cstring(&json, h->objectives.data[j].name);
      wn_json_key(&json, "a_slate");
      wn_json_double(&json, h->mean[j]);
      wn_json_key(&json, "slope");
      wn_json_double(&json, h->effect[k][j].slope);
      wn_json_key(&json, "se");
      wn_json_double(&json, h->effect[k][j].se);
      wn_json_end_object(&json);
    }
  wn_json_end_array(&json);
  wn_json_end_object(&json);
}

static wn_status weights(sight *s, wn_buf *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_heads heads = {.objectives = s->config.train.objectives};
  const char *surface = opt.surface != NULL ? opt.surface : "home";
  const wn_heads_ask ask = {wn_str_of(surface), wn_now_ms() - (int64_t)(opt.days * 86400000.0)};
  if (heads.objectives.len == 0)
    WN_TRY(wn_fail(err, WN_E_CONFIG, "objectives", "none are configured"));
  WN_TRY(wn_signals_bind(&s->config.signals, s->store, err));
  WN_TRY(wn_heads_read(s->store, &s->config.signals, &ask, &heads, err));
  if (heads.slates == 0)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "surface",
                   "no slate of %s in the last %g days was made with perturbed weights: set "
                   "score.perturb of that surface",
                   surface, opt.days));
  if (opt.json)
    heads_to_json(&heads, surface, out);
  else
    print_heads(&heads, surface, out);
cleanup:
  wn_heads_clear(&heads);
  return status;
}

static wn_status run(const char *name, wn_buf *out, wn_error *err) {
  wn_status status = WN_OK;
  sight s = {0};
  WN_TRY(wn_cli_config(opt.config, opt.data, &s.config, err));
  WN_TRY(wn_declared_load(opt.data, &s.config, err));
  WN_TRY(wn_store_open(opt.data, WN_STORE_READ, &s.store, err));
  WN_TRY(wn_ledger_read(opt.data, &s.ledger, err));
  if (name == NULL) {
    list(&s, out);
  } else if (strcmp(name, "plan") == 0) {
    WN_TRY(opt.place > 0 ? plan_place(&s, out, err) : plan(&s, out, err));
  } else if (strcmp(name, "weights") == 0) {
    WN_TRY(weights(&s, out, err));
  } else {
    const wn_experiment *e = wn_experiments_find(&s.config.experiments, wn_str_of(name));
    if (e == NULL)
      WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "", "no experiment \"%s\" is declared", name));
    WN_TRY(show(&s, e, out, err));
  }
cleanup:
  wn_ledger_clear(&s.ledger);
  wn_store_close(s.store);
  wn_config_clear(&s.config);
  return status;
}

int wn_cmd_experiments(int argc, char **argv) {
  static wn_text_list rest;
  wn_buf out = {0};
  wn_error err = {0};
  int status = wn_cli_parse(&command, argc, argv, &rest);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&command, "give --data DIR");
  if (rest.len > 1) return wn_cli_usage(&command, "give one experiment");
  if (run(rest.len == 1 ? rest.data[0] : NULL, &out, &err) != WN_OK) {
    wn_buf_clear(&out);
    return wn_cli_fail(&command, &err);
  }
  return wn_cli_print(&out);
}
