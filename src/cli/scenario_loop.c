/* loop: what a recommender shows decides what it learns from, so what is shown grows. Items are
 * born, age and go, as many as come; every two days the models are trained on what came of the
 * slates so far. Three sites over the same world: the greedy one; one with 5% of its users on
 * slates drawn by chance; one that also counts what an item earned per look (`dataset:
 * exposure_power: 1`), an item's share of the looks being its propensity. The slice makes that
 * possible: what is never shown stays at nothing, and slots that are drawn tell how far down people
 * look. Each site begins with one day of random slates, so that no past is better than what the
 * slice goes on telling. Values are the truth, over all visits, those of the random slice included;
 * several worlds, and the intervals are those across them. */
#include "cli/scenario.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SITES     3
#define SEEDS_MAX 5
#define STEPS_MAX 15
#define PAST      1.0 /* days of random slates */

static const struct {
  const char *name;
  bool slice, weighted;
} sites[SITES] = {{"greedy", false, false},
                  {"5% random slice", true, false},
                  {"5% random slice, weighted", true, true}};

static const char policy[] =
    "training: {every_hours: 0}\n"
    "surfaces:\n"
    "  home: {n: 10, filter: {seen: none}, retrieve: [{model: popular, quota: 1000}], score: "
    "{normalise: minmax}, order: {diversity: none}}\n" WN_STAGE_PAST;

typedef struct step {
  const wn_world *world;
  double value, best;
  double *looks; /* items: at what was shown, in looks at the first place */
} step;

static void count(void *ctx, const wn_visit *v) {
  step *s = ctx;
  double look = 1;
  s->value += v->value;
  s->best += v->best;
  for (size_t k = 0; k < v->len; k++, look *= WN_WORLD_LOOK_ON) s->looks[v->items[k]] += look;
}

/* e^entropy of the looks: as many items share them evenly. */
static double sharing(const double *looks, uint32_t items) {
  double all = 0, entropy = 0;
  for (uint32_t i = 0; i < items; i++) all += looks[i];
  for (uint32_t i = 0; i < items; i++)
    if (looks[i] > 0) entropy -= looks[i] / all * log(looks[i] / all);
  return exp(entropy);
}

/* What one site came to, step by step. */
typedef struct life {
  double share[STEPS_MAX]; /* value / best */
  double items[3];         /* that share the looks of a third of the time */
} life;

static void write_config(size_t which, wn_buf *out) {
  wn_buf_str(out, policy);
  if (sites[which].weighted) wn_buf_str(out, "dataset: {exposure_power: 1}\n");
  if (!sites[which].slice) return;
  wn_buf_str(out, "experiments: {explore: {arms: {policy: {share: 0.95}, random: {share: 0.05, "
                  "surfaces: {home: {retrieve: [{model: random, quota: 1000}], order: {slots: [");
  for (int k = 1; k <= 10; k++)
    wn_buf_printf(out, "%s{position: %d, explore: true}", k > 1 ? ", " : "", k);
  wn_buf_str(out, "]}}}}}}}\n");
}

static void world_of(const wn_stage *stage, uint64_t seed, size_t steps, wn_site_options *out) {
  wn_site_options_defaults(out);
  out->world.users = stage->small ? 100 : 1000;
  out->world.items = stage->small ? 60 : 96;
  out->world.days = PAST + 2 * (double)steps;
  out->world.born_share = 0.375; /* with 60 days of life as many come as go in these days */
  out->world.life_days = 60;
  out->world.ageing = 0.02;
  out->world.seed = seed;
  out->visits_a_day = stage->small ? 20 : 1000;
  out->start_ms = WN_STAGE_START_MS;
}

static wn_status begin(wn_stage *stage, size_t which, const wn_site_options *world,
                       wn_stage_server *server, wn_site *site, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf config = {0};
  wn_site_options how = *world;
  write_config(which, &config);
  wn_buf_char(&config, '\0');
  if (config.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_stage_serve(stage, config.data, server, err));
  how.url = server->url;
  WN_TRY(wn_site_create(&how, site, err));
  WN_TRY(wn_stage_past(stage, server, site, PAST, err));
cleanup:
  wn_buf_clear(&config);
  return status;
}

static wn_status live(wn_stage *stage, size_t which, uint64_t seed, size_t steps, life *out,
                      wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  step now = {.world = &site.world};
  wn_site_options how;
  world_of(stage, seed, steps, &how);
  WN_TRY(begin(stage, which, &how, &server, &site, err));
  uint32_t items = site.world.options.items;
  now.looks = wn_calloc(items, sizeof *now.looks);
  if (now.looks == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t s = 0; s < steps; s++) {
    now.value = now.best = 0;
    if (s % (steps / 3) == 0) memset(now.looks, 0, items * sizeof *now.looks);
    WN_TRY(wn_stage_visits(stage, &site, PAST + 2 * (double)(s + 1), count, &now, err));
    out->share[s] = now.value / now.best;
    out->items[s / (steps / 3)] = sharing(now.looks, items);
    WN_TRY(wn_stage_train(&server, &site, err));
  }
cleanup:
  wn_free(now.looks);
  wn_site_clear(&site);
  wn_stage_stop(&server);
  return status;
}

/* ---- over the seeds ---- */

typedef struct thirds {
  double first[SEEDS_MAX], last[SEEDS_MAX], change[SEEDS_MAX];
  double items_first[SEEDS_MAX], items_last[SEEDS_MAX];
} thirds;

static double mean(const double *values, size_t len) {
  double sum = 0;
  for (size_t i = 0; i < len; i++) sum += values[i];
  return sum / (double)len;
}

static void take_thirds(const life *l, size_t steps, size_t seed, thirds *out) {
  size_t third = steps / 3, last = steps - third;
  out->first[seed] = mean(l->share, third);
  out->last[seed] = mean(l->share + last, third);
  out->change[seed] = out->last[seed] - out->first[seed];
  out->items_first[seed] = l->items[0];
  out->items_last[seed] = l->items[2];
}

static void draw(wn_stage *stage, const char *name, const life *lives, size_t seeds, size_t steps) {
  wn_series *series = wn_stage_series(stage, name);
  for (size_t s = 0; s < steps; s++) {
    double at[SEEDS_MAX];
    for (size_t k = 0; k < seeds; k++) at[k] = lives[k].share[s];
    wn_spread spread = wn_spread_of(at, seeds);
    wn_series_add(series, 2 * (double)(s + 1), spread.mean);
    wn_series_interval(series, spread.low, spread.high);
  }
}

static void tell(wn_stage *stage, const char *site, const thirds *t, size_t seeds) {
  char name[96];
  const struct {
    const char *what;
    const double *values;
  } figures[] = {{"value / best, first third", t->first},
                 {"value / best, last third", t->last},
                 {"its change", t->change},
                 {"items that share the looks, first third", t->items_first},
                 {"items that share the looks, last third", t->items_last}};
  for (size_t f = 0; f < sizeof figures / sizeof *figures; f++) {
    wn_spread spread = wn_spread_of(figures[f].values, seeds);
    snprintf(name, sizeof name, "%s: %s", site, figures[f].what);
    wn_stage_spread(stage, name, &spread);
  }
}

static wn_spread difference(const double *a, const double *b, size_t seeds) {
  double d[SEEDS_MAX];
  for (size_t k = 0; k < seeds; k++) d[k] = a[k] - b[k];
  return wn_spread_of(d, seeds);
}

static void conclude(wn_stage *stage, const thirds t[SITES], size_t seeds) {
  wn_spread greedy = wn_spread_of(t[0].change, seeds), weighted = wn_spread_of(t[2].change, seeds);
  wn_spread kept = difference(t[2].change, t[0].change, seeds);
  wn_spread better = difference(t[2].last, t[0].last, seeds);
  wn_spread wider = difference(t[2].items_last, t[0].items_last, seeds);
  wn_stage_at_most(stage, "greedy: quality falls (its change, high end)", greedy.high, 0);
  wn_stage_at_most(stage, "greedy: items that share the looks, ten being shown (last third)",
                   mean(t[0].items_last, seeds), 10);
  wn_stage_at_least(stage, "weighted: more items share them than greedy (low end)", wider.low, 1);
  wn_stage_at_least(stage, "weighted: quality does not surely fall (its change, high end)",
                    weighted.high, 0);
  wn_stage_at_least(stage, "weighted: it falls less than greedy (low end)", kept.low, 0);
  wn_stage_at_least(stage, "weighted against greedy, last third (low end)", better.low, 0.02);
}

wn_status wn_scenario_loop(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  static thirds all[SITES];
  static life lives[SEEDS_MAX];
  size_t seeds = stage->small ? 1 : SEEDS_MAX, steps = stage->small ? 3 : STEPS_MAX;
  for (size_t i = 0; i < SITES; i++) {
    for (size_t k = 0; k < seeds; k++) {
      WN_TRY(live(stage, i, stage->seed + k, steps, &lives[k], err));
      take_thirds(&lives[k], steps, k, &all[i]);
    }
    draw(stage, sites[i].name, lives, seeds, steps);
    tell(stage, sites[i].name, &all[i], seeds);
  }
  stage->title = "A feedback loop with and without exploration";
  stage->x_label = "day";
  stage->y_label = "value / best";
  if (stage->small)
    wn_stage_at_least(stage, "slates have a value", mean(all[0].first, seeds), 0.01);
  else
    conclude(stage, all, seeds);
cleanup:
  return status;
}
