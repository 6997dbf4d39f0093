/* cold: a new item is unknown to whatever learns from events, so nobody is shown it and it stays
 * so. Its exploration budget is the second place of the slates (`explore: cold`, for what was born
 * since): first so many impressions as tell a good item from the usual one, then, on trial, at most
 * so many as tell it from the last that finds room in a slate, both planned by power
 * (lab/cold.h) and not by trying; beyond that it stands by what it earned per look. Two sites over
 * the same worlds, with the budget and without. A good new item is among the twentieth that the
 * world's users like best on average; it is found when it is among the tenth that is shown most in
 * the last days, which is what fits into a slate. Items differ in appeal, else no budget of
 * hundreds could tell a good one from the last of the slate. */
#include "cli/scenario.h"

#include "base/mem.h"
#include "lab/cold.h"
#include "lab/stats.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define PAST      4.0 /* days of random slates */
#define BORN_DAYS 14.0
#define APPEAL    0.5 /* then the logits of items' click rates deviate by .44 */
#define ALPHA     0.05
#define POWER     0.8
#define PLACE     2
#define N         20
#define DAYS      24.0
#define LAST_DAYS 4.0
#define NAMES     2
#define SEEDS     4

static const char *const names[NAMES] = {"with a budget", "without"};

/* Impressions for a new item. */
typedef struct budget {
  uint32_t impressions, most; /* guaranteed; on trial */
} budget;

/* The past is drawn, too, at as many places as are served, so that it tells how far down people
 * look. */
static void write_config(size_t which, const budget *b, wn_buf *out) {
  wn_buf_str(out, "training: {every_hours: 0}\n"
                  "dataset: {exposure_power: 1}\n"
                  "models: {popular: {half_life_days: 0}}\n"
                  "surfaces:\n"
                  "  past: {n: 20, filter: {seen: none}, retrieve: [{model: random, quota: 1000}], "
                  "order: {slots: [");
  for (int k = 1; k <= N; k++)
    wn_buf_printf(out, "%s{position: %d, explore: true}", k > 1 ? ", " : "", k);
  wn_buf_str(out, "]}}\n"
                  "  home: {n: 20, filter: {seen: none}, score: {normalise: minmax}, retrieve: "
                  "[{model: popular, quota: 100}], order: {diversity: none");
  if (which == 0)
    wn_buf_printf(out,
                  ", slots: [{position: %d, explore: cold, impressions: %u, impressions_max: %u, "
                  "where: 'created >= \"2026-01-05\"'}]",
                  PLACE, b->impressions, b->most);
  wn_buf_str(out, "}}\n");
  wn_buf_char(out, '\0');
}

/* Impressions. */
typedef struct shown {
  const wn_world *world;
  double *all, *last; /* items: since the past; in the last days */
} shown;

static void count(void *ctx, const wn_visit *v) {
  shown *s = ctx;
  for (size_t k = 0; k < v->len; k++) {
    s->all[v->items[k]]++;
    if (v->visitor.day >= DAYS - LAST_DAYS) s->last[v->items[k]]++;
  }
}

static int ascending(const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* What an item is worth to the average visitor, when looked at, and how often it is clicked. */
static wn_status worths(const wn_world *w, double *out, double *clicks, double *good,
                        wn_error *err) {
  double *sorted = wn_calloc(w->options.items, sizeof *sorted);
  if (sorted == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < w->options.items; i++) {
    for (uint32_t u = 0; u < w->options.users; u++) {
      const wn_visitor v = {.user = u, .day = DAYS};
      double click = w->activity[u] * wn_world_click(w, &v, i);
      clicks[i] += click;
      out[i] += click * wn_world_satisfied(w, u, i);
    }
    sorted[i] = out[i];
  }
  qsort(sorted, w->options.items, sizeof *sorted, ascending);
  *good = sorted[w->options.items * 19 / 20];
  wn_free(sorted);
  return WN_OK;
}

/* By power: a good item's rate of clicks at the place against the usual item's, and against that of
 * the item which a tenth are clicked more often than. */
static void plan(const wn_world *w, const double *worth, const double *clicks, double good,
                 double *sorted, budget *out) {
  uint32_t items = w->options.items;
  double usual = 0, of_good = 0, good_len = 0;
  for (uint32_t i = 0; i < items; i++) {
    sorted[i] = clicks[i];
    usual += clicks[i] / items;
    if (worth[i] < good) continue;
    of_good += clicks[i];
    good_len++;
  }
  of_good /= good_len;
  qsort(sorted, items, sizeof *sorted, ascending);
  double last = sorted[items * 9 / 10 - 1], looks = pow(WN_WORLD_LOOK_ON, PLACE - 1);
  out->impressions =
      (uint32_t)ceil(wn_impressions_needed(looks * usual, of_good / usual, ALPHA, POWER));
  out->most = (uint32_t)ceil(wn_impressions_needed(looks * last, of_good / last, ALPHA, POWER));
}

/* What the world's items are worth, and what its new ones are to be given. */
static wn_status plan_world(const wn_world_options *options, budget *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_world w = {0};
  double good = 0, *room = NULL;
  WN_TRY(wn_world_create(options, &w, err));
  room = wn_calloc(3 * (size_t)options->items, sizeof *room);
  if (room == NULL) WN_TRY(wn_fail_memory(err));
  double *worth = room, *clicks = room + options->items, *sorted = clicks + options->items;
  WN_TRY(worths(&w, worth, clicks, &good, err));
  plan(&w, worth, clicks, good, sorted, out);
cleanup:
  wn_free(room);
  wn_world_clear(&w);
  return status;
}

typedef struct outcome {
  double good, found; /* new items */
  double least;       /* impressions of a new item in parts of its budget, the fewest */
  budget planned;
  double guaranteed, most;    /* of several worlds' budgets, means */
  double mean_good, mean_bad; /* impressions of new items in the last days, in parts of the average
                                 item's */
} outcome;

/* How often the item is shown that a tenth of the items are shown more than. */
static double busy(const double *last, uint32_t items, double *scratch) {
  for (uint32_t i = 0; i < items; i++) scratch[i] = last[i];
  qsort(scratch, items, sizeof *scratch, ascending);
  return scratch[items * 9 / 10 - 1];
}

static void conclude(const shown *s, const double *worth, double good, double limit, outcome *out) {
  const wn_world *w = s->world;
  double mean = 0, bad = 0;
  uint32_t items = w->options.items;
  out->least = INFINITY;
  for (uint32_t i = 0; i < items; i++) mean += s->last[i] / items;
  for (uint32_t i = 0; i < items; i++) {
    if (!((double)w->born[i] > PAST)) continue;
    out->least = fmin(out->least, s->all[i]);
    if (worth[i] >= good) {
      out->good++;
      out->found += s->last[i] > limit;
      out->mean_good += s->last[i] / mean;
    } else {
      bad++;
      out->mean_bad += s->last[i] / mean;
    }
  }
  out->least /= out->planned.impressions;
  out->mean_good /= fmax(1, out->good);
  out->mean_bad /= fmax(1, bad);
}

/* What is counted for one site. */
static wn_status make_room(uint32_t items, shown *s, double **worth, wn_error *err) {
  *worth = wn_calloc(2 * (size_t)items, sizeof **worth); /* and clicks */
  s->all = wn_calloc(items, sizeof *s->all);
  s->last = wn_calloc(items, sizeof *s->last);
  bool room = *worth != NULL && s->all != NULL && s->last != NULL;
  return room ? WN_OK : wn_fail_memory(err);
}

static void draw(wn_stage *stage, size_t which, const wn_world *w, const double *worth,
                 const double *last) {
  wn_series *series = wn_stage_series(stage, names[which]);
  series->dots = true;
  for (uint32_t i = 0; i < w->options.items; i++)
    if ((double)w->born[i] > PAST) wn_series_add(series, worth[i], last[i]);
}

/* Who begins where. */
typedef struct start {
  size_t which;
  uint64_t seed;
} start;

static wn_status begin(wn_stage *stage, start at, budget *planned, wn_stage_server *server,
                       wn_site *site, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf text = {0};
  wn_site_options how;
  wn_site_options_defaults(&how);
  how.world.users = stage->small ? 60 : 300;
  how.world.items = stage->small ? 60 : 200;
  how.world.days = BORN_DAYS;
  how.world.born_share = 0.4;
  how.world.seed = at.seed;
  how.world.bait_pull = APPEAL; /* and it costs nothing */
  how.visits_a_day = stage->small ? 12 : 800;
  how.start_ms = WN_STAGE_START_MS;
  WN_TRY(plan_world(&how.world, planned, err));
  if (stage->small) *planned = (budget){3, 6};
  write_config(at.which, planned, &text);
  if (text.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_stage_serve(stage, text.data, server, err));
  how.url = server->url;
  WN_TRY(wn_site_create(&how, site, err));
cleanup:
  wn_buf_clear(&text);
  return status;
}

static wn_status live(wn_stage *stage, size_t which, uint64_t seed, outcome *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  shown s = {.world = &site.world};
  double *worth = NULL, *scratch = NULL, good = 0, step = stage->small ? 10 : 2;
  *out = (outcome){0};
  WN_TRY(begin(stage, (start){which, seed}, &out->planned, &server, &site, err));
  uint32_t items = site.world.options.items;
  WN_TRY(make_room(items, &s, &worth, err));
  WN_TRY(worths(&site.world, worth, worth + items, &good, err));
  WN_TRY(wn_stage_past(stage, &server, &site, PAST, err));
  for (double day = PAST; day < DAYS; day += step) {
    WN_TRY(wn_stage_train(&server, &site, err));
    WN_TRY(wn_stage_visits(stage, &site, day + step, count, &s, err));
  }
  scratch = wn_calloc(items, sizeof *scratch);
  if (scratch == NULL) WN_TRY(wn_fail_memory(err));
  conclude(&s, worth, good, busy(s.last, items, scratch), out);
  if (seed == stage->seed) draw(stage, which, &site.world, worth, s.last);
cleanup:
  wn_free(worth);
  wn_free(scratch);
  wn_free(s.all);
  wn_free(s.last);
  wn_site_clear(&site);
  wn_stage_stop(&server);
  return status;
}

/* Over the seeds: sums of counts, the least of the least, means of the ratios. */
static wn_status live_all(wn_stage *stage, size_t which, size_t seeds, outcome *out,
                          wn_error *err) {
  wn_status status = WN_OK;
  *out = (outcome){.least = INFINITY};
  for (size_t k = 0; k < seeds; k++) {
    outcome o;
    WN_TRY(live(stage, which, stage->seed + k, &o, err));
    out->good += o.good;
    out->found += o.found;
    out->least = fmin(out->least, o.least);
    out->guaranteed += o.planned.impressions / (double)seeds;
    out->most += o.planned.most / (double)seeds;
    out->mean_good += o.mean_good / (double)seeds;
    out->mean_bad += o.mean_bad / (double)seeds;
  }
cleanup:
  return status;
}

wn_status wn_scenario_cold(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  outcome o[NAMES];
  char what[96];
  for (size_t i = 0; i < NAMES; i++) {
    WN_TRY(live_all(stage, i, stage->small ? 1 : SEEDS, &o[i], err));
    const struct {
      const char *what;
      double value;
    } figures[] = {
        {"impressions guaranteed, by plan", o[i].guaranteed},
        {"impressions at most on trial, by plan", o[i].most},
        {"impressions of the new item with the fewest, in parts of its plan", o[i].least},
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
    wn_stage_at_least(stage, "with a budget: a new item is shown", o[0].least, 0.3);
    return WN_OK;
  }
  wn_stage_at_least(stage, "with a budget: impressions of each new item, in parts of its plan",
                    o[0].least, 1);
  wn_estimate found = wn_wilson(o[0].found, o[0].good, 0.05);
  wn_estimate without = wn_wilson(o[1].found, o[1].good, 0.05);
  wn_stage_figure(stage, "with a budget: share of the good ones found", found.value);
  wn_stage_at_least(stage, "with a budget: share of the good ones found, low end (Wilson)",
                    found.low, 0.5);
  wn_stage_at_most(stage, "without: share of the good ones found, high end (Wilson)", without.high,
                   found.low);
  wn_stage_at_least(stage, "with a budget: good against other new items, impressions, ratio",
                    o[0].mean_good / fmax(1e-9, o[0].mean_bad), 2);
cleanup:
  return status;
}
