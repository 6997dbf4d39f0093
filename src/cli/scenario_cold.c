/* cold: a new item is unknown to whatever learns from events, so nobody is shown it and it stays
 * so. Its exploration budget is one place of each slate for what is at most four days old
 * (`order.quotas`), drawn among these by the model `random`; then it stands by what it earned per
 * time it was shown. Two sites over the same world, with the budget and without. A good new item is
 * one that the world's users like better than nine of ten items on average; it is found when it is
 * shown more than the average item in the last days, when no budget is left to anybody. */
#include "cli/scenario.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PAST        4.0 /* days of random slates */
#define BORN_DAYS   14.0
#define BUDGET_DAYS 4
#define DAYS        24.0
#define LAST_DAYS   4.0
#define NAMES       2

static const char config[] =
    "training: {every_hours: 0}\n"
    "dataset: {exposure_power: 1}\n"
    "surfaces:\n" WN_STAGE_PAST
    "  home: {n: 10, filter: {seen: none}, score: {normalise: minmax}, retrieve: "
    "[{model: popular, quota: 100}, {model: random, quota: 100, weight: 0.001}], order: "
    "{diversity: "
    "none%s}}\n";
static const char budget[] = ", quotas: [{min: 1, newer_days: 4}]";
static const char *const names[NAMES] = {"with a budget", "without"};

/* Impressions. */
typedef struct shown {
  const wn_world *world;
  double *young, *last; /* items: while it had a budget; in the last days */
} shown;

static void count(void *ctx, const wn_visit *v) {
  shown *s = ctx;
  for (size_t k = 0; k < v->len; k++) {
    double age = v->visitor.day - (double)s->world->born[v->items[k]];
    if (age < BUDGET_DAYS) s->young[v->items[k]]++;
    if (v->visitor.day >= DAYS - LAST_DAYS) s->last[v->items[k]]++;
  }
}

static int ascending(const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* What an item is worth to the average visitor, when looked at. */
static wn_status worths(const wn_world *w, double *out, double *good, wn_error *err) {
  double *sorted = wn_calloc(w->options.items, sizeof *sorted);
  if (sorted == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < w->options.items; i++) {
    for (uint32_t u = 0; u < w->options.users; u++) {
      const wn_visitor v = {.user = u, .day = DAYS};
      out[i] += w->activity[u] * wn_world_click(w, &v, i) * wn_world_satisfied(w, u, i);
    }
    sorted[i] = out[i];
  }
  qsort(sorted, w->options.items, sizeof *sorted, ascending);
  *good = sorted[w->options.items * 9 / 10];
  wn_free(sorted);
  return WN_OK;
}

typedef struct outcome {
  double good, found; /* new items */
  double impressions; /* of a new item while it has a budget, on average */
  double mean_good,
      mean_bad; /* impressions of new items in the last days, in parts of the average item's */
} outcome;

static void conclude(const wn_world *w, const shown *s, const double *worth, double good,
                     outcome *out) {
  double all = 0, born = 0, bad = 0;
  for (uint32_t i = 0; i < w->options.items; i++) all += s->last[i] / w->options.items;
  for (uint32_t i = 0; i < w->options.items; i++) {
    if (!((double)w->born[i] > PAST)) continue;
    born++;
    out->impressions += s->young[i];
    if (worth[i] >= good) {
      out->good++;
      out->found += s->last[i] > all;
      out->mean_good += s->last[i] / all;
    } else {
      bad++;
      out->mean_bad += s->last[i] / all;
    }
  }
  out->impressions /= fmax(1, born);
  out->mean_good /= fmax(1, out->good);
  out->mean_bad /= fmax(1, bad);
}

static wn_status live(wn_stage *stage, size_t which, outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  wn_site_options how;
  wn_buf text = {0};
  shown s = {.world = &site.world};
  double *worth = NULL, good = 0;
  *out = (outcome){0};
  wn_site_options_defaults(&how);
  how.world.users = stage->small ? 60 : 300;
  how.world.items = stage->small ? 60 : 200;
  how.world.days = BORN_DAYS;
  how.world.born_share = 0.3;
  how.world.seed = stage->seed;
  how.visits_a_day = stage->small ? 12 : 200;
  how.start_ms = WN_STAGE_START_MS;
  wn_buf_printf(&text, config, which == 0 ? budget : "");
  if (text.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_stage_serve(stage, text.data, &server, err));
  how.url = server.url;
  WN_TRY(wn_site_create(&how, &site, err));
  size_t items = site.world.options.items;
  worth = wn_calloc(items, sizeof *worth);
  s.young = wn_calloc(items, sizeof *s.young);
  s.last = wn_calloc(items, sizeof *s.last);
  if (worth == NULL || s.young == NULL || s.last == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(worths(&site.world, worth, &good, err));
  WN_TRY(wn_stage_past(stage, &server, &site, PAST, err));
  for (double day = PAST; day < DAYS; day += stage->small ? 10 : 2) {
    WN_TRY(wn_stage_train(&server, &site, err));
    WN_TRY(wn_stage_visits(stage, &site, day + (stage->small ? 10 : 2), count, &s, err));
  }
  conclude(&site.world, &s, worth, good, out);
  wn_series *series = wn_stage_series(stage, names[which]);
  series->dots = true;
  for (uint32_t i = 0; i < items; i++)
    if ((double)site.world.born[i] > PAST) wn_series_add(series, worth[i], s.last[i]);
cleanup:
  wn_free(worth);
  wn_free(s.young);
  wn_free(s.last);
  wn_buf_clear(&text);
  wn_site_clear(&site);
  wn_stage_stop(&server);
  return status;
}

wn_status wn_scenario_cold(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  outcome o[NAMES];
  char what[96];
  for (size_t i = 0; i < NAMES; i++) {
    WN_TRY(live(stage, i, &o[i], err));
    const struct {
      const char *what;
      double value;
    } figures[] = {{"impressions of a new item in its first days", o[i].impressions},
                   {"good new items", o[i].good},
                   {"of them found", o[i].found},
                   {"impressions of good new items, in parts of the average", o[i].mean_good},
                   {"impressions of other new items, in parts of the average", o[i].mean_bad}};
    for (size_t f = 0; f < sizeof figures / sizeof *figures; f++) {
      snprintf(what, sizeof what, "%s: %s", names[i], figures[f].what);
      wn_stage_figure(stage, what, figures[f].value);
    }
  }
  stage->title = "New items: what they are worth, and how often they are shown in the end";
  stage->x_label = "worth to the average visitor";
  stage->y_label = "impressions in the last four days";
  if (stage->small) {
    wn_stage_at_least(stage, "impressions of a new item in its first days", o[0].impressions, 0.01);
    return WN_OK;
  }
  wn_stage_at_least(stage, "with a budget: share of the good new items found",
                    o[0].found / fmax(1, o[0].good), 0.8);
  wn_stage_at_least(stage, "with a budget: found more of them than without",
                    o[0].found - o[1].found, 1);
  wn_stage_at_least(stage, "with a budget: good against other new items, impressions, ratio",
                    o[0].mean_good / fmax(1e-9, o[0].mean_bad), 2);
cleanup:
  return status;
}
