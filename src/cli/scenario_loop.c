/* loop: what a recommender shows decides what it learns from, so what is shown grows. Items are
 * born and age; every two days the models are trained on what came of the slates so far. Three
 * sites over the same world: the greedy one; one with 5% of its users on random slates; one that
 * also counts what an item earned per time it was shown (`dataset: exposure_power: 1`), which the
 * random slice makes possible: without it what was never shown stays at nothing. Values are the
 * truth, over all visits, those of the random slice included. */
#include "cli/scenario.h"

#include "base/mem.h"
#include "lab/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SITES 3
#define PAST  6.0 /* days of random slates */

static const struct {
  const char *name;
  bool slice, weighted;
} sites[SITES] = {{"greedy", false, false},
                  {"5% random slice", true, false},
                  {"5% random slice, weighted by exposure", true, true}};

static const char policy[] =
    "training: {every_hours: 0}\n"
    "surfaces:\n"
    "  home: {n: 10, retrieve: [{model: popular, quota: 100}], score: {normalise: minmax}, order: "
    "{diversity: none}}\n" WN_STAGE_PAST;
static const char slice[] =
    "experiments: {explore: {arms: {policy: {share: 0.95}, random: {share: 0.05, surfaces: {home: "
    "{retrieve: [{model: random, quota: 100}]}}}}}}\n";

/* Between two trainings; impressions over a third of the time. */
typedef struct step {
  double value, best;
  uint32_t *shown; /* items */
} step;

static void count(void *ctx, const wn_visit *v) {
  step *s = ctx;
  s->value += v->value;
  s->best += v->best;
  for (size_t k = 0; k < v->len; k++) s->shown[v->items[k]]++;
}

static int falling(const void *a, const void *b) {
  const uint32_t *x = a, *y = b;
  return (*x < *y) - (*x > *y);
}

/* Share of the impressions that the most shown tenth of the items has. */
static double top_share(uint32_t *shown, uint32_t items) {
  double top = 0, all = 0;
  qsort(shown, items, sizeof *shown, falling);
  for (uint32_t i = 0; i < items; i++) {
    all += shown[i];
    if (i < items / 10) top += shown[i];
  }
  return all > 0 ? top / all : 0;
}

typedef struct outcome {
  double first, last; /* value / best: means over the first and the last third of the time */
  double top_first, top_last; /* likewise */
} outcome;

static wn_status begin(wn_stage *stage, size_t which, wn_stage_server *server, wn_site *site,
                       double days, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf config = {0};
  wn_site_options how;
  wn_site_options_defaults(&how);
  how.world.users = stage->small ? 100 : 400;
  how.world.items = stage->small ? 60 : 200;
  how.world.days = days;
  how.world.born_share = 0.6;
  how.world.ageing = 0.02;
  how.world.once = true;
  how.world.seed = stage->seed;
  how.visits_a_day = stage->small ? 20 : 160;
  how.start_ms = WN_STAGE_START_MS;
  wn_buf_printf(&config, "%s%s%s", policy, sites[which].slice ? slice : "",
                sites[which].weighted ? "dataset: {exposure_power: 1}\n" : "");
  if (config.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_stage_serve(stage, config.data, server, err));
  how.url = server->url;
  WN_TRY(wn_site_create(&how, site, err));
  WN_TRY(wn_stage_past(stage, server, site, PAST, err));
cleanup:
  wn_buf_clear(&config);
  return status;
}

static wn_status live(wn_stage *stage, size_t which, outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  step now = {0};
  size_t steps = stage->small ? 3 : 15, third = steps / 3;
  wn_series *series = wn_stage_series(stage, sites[which].name);
  *out = (outcome){0};
  WN_TRY(begin(stage, which, &server, &site, PAST + 2 * (double)steps, err));
  size_t bytes = site.world.options.items * sizeof *now.shown;
  now.shown = wn_calloc(1, bytes);
  if (now.shown == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t s = 0; s < steps; s++) {
    now.value = now.best = 0;
    WN_TRY(wn_stage_visits(stage, &site, PAST + 2 * (double)(s + 1), count, &now, err));
    double share = now.value / now.best;
    wn_series_add(series, 2 * (double)(s + 1), share);
    if (s < third) out->first += share / (double)third;
    if (s >= steps - third) out->last += share / (double)third;
    if (s + 1 == third) out->top_first = top_share(now.shown, site.world.options.items);
    if ((s + 1) % third == 0 && s + 1 < steps) memset(now.shown, 0, bytes);
    WN_TRY(wn_stage_train(&server, &site, err));
  }
  out->top_last = top_share(now.shown, site.world.options.items);
cleanup:
  wn_free(now.shown);
  wn_site_clear(&site);
  wn_stage_stop(&server);
  return status;
}

wn_status wn_scenario_loop(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  outcome o[SITES];
  for (size_t i = 0; i < SITES; i++) {
    char name[96];
    WN_TRY(live(stage, i, &o[i], err));
    const struct {
      const char *what;
      double value;
    } figures[] = {{"value / best, first third", o[i].first},
                   {"value / best, last third", o[i].last},
                   {"impressions of the top tenth of items, first third", o[i].top_first},
                   {"impressions of the top tenth of items, last third", o[i].top_last}};
    for (size_t f = 0; f < 4; f++) {
      snprintf(name, sizeof name, "%s: %s", sites[i].name, figures[f].what);
      wn_stage_figure(stage, name, figures[f].value);
    }
  }
  stage->title = "A feedback loop with and without exploration";
  stage->x_label = "day";
  stage->y_label = "value / best";
  if (stage->small) {
    wn_stage_at_least(stage, "slates have a value", o[0].first, 0.01);
    return WN_OK;
  }
  wn_stage_at_most(stage, "greedy: quality falls (last third − first third)",
                   o[0].last - o[0].first, -0.01);
  wn_stage_at_least(stage, "greedy: popularity concentrates (top tenth, against weighted)",
                    o[0].top_last - o[2].top_last, 0.02);
  wn_stage_at_least(stage, "explored and weighted: quality does not fall", o[2].last - o[2].first,
                    0);
  wn_stage_at_least(stage, "explored and weighted against greedy, last third",
                    o[2].last - o[0].last, 0.01);
cleanup:
  return status;
}
