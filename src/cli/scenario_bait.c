/* bait: what pulls clicks costs satisfaction, and short items are finished whether they please or
 * not. One site, one snapshot for all, three arms that weigh its objectives differently
 * (docs/objectives.md): by clicks, by finishes, and by likes with a little of both. Two rounds of
 * visits: the first is served by objectives learnt from replayed history, then they are learnt from
 * what the first showed. The value is what no event tells: satisfied clicks, as the world knows
 * them. */
#include "cli/scenario.h"

#include "lab/stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ARMS   3
#define ROUNDS 3

static const char config[] =
    "training: {every_hours: 0}\n"
    "surfaces: {home: {n: 10, filter: {seen: none}}}\n"
    "signals: {finish: {seen: false}, click: {seen: false}, like: {seen: false}}\n"
    "objectives: {click: {weight: 1}, finish: {weight: 0}, like: {weight: 0}}\n"
    "experiments:\n"
    "  worth:\n"
    "    arms:\n"
    "      clicks: {surfaces: {home: {score: {objectives: {click: 1}}}}}\n"
    "      finishes: {surfaces: {home: {score: {objectives: {finish: 1}}}}}\n"
    "      weighted: {surfaces: {home: {score: {objectives: {click: 0.05, finish: 0.05, like: "
    "1}}}}}\n";
static const char *const names[ARMS] = {"clicks", "finishes", "weighted"};

typedef struct sums {
  double n, clicks, share, shares; /* share: value / best of a visit; shares: its squares */
} sums;

static void count(void *ctx, const wn_visit *v) {
  sums *s = ctx;
  size_t a = 0;
  while (a < ARMS && strcmp(names[a], v->arm) != 0) a++;
  if (a == ARMS || !(v->best > 0)) return;
  s[a].n++;
  s[a].share += v->value / v->best;
  s[a].shares += v->value / v->best * (v->value / v->best);
  for (size_t k = 0; k < v->len; k++) s[a].clicks += v->browsed[k].clicked;
}

static void note(wn_stage *stage, const sums s[ARMS], double round) {
  for (size_t a = 0; a < ARMS; a++) {
    double mean = s[a].share / s[a].n;
    double se = sqrt(fmax(0, s[a].shares / s[a].n - mean * mean) / s[a].n);
    wn_series_add(&stage->series[a], round, mean);
    wn_series_interval(&stage->series[a], mean - 1.96 * se, mean + 1.96 * se);
  }
}

static void conclude(wn_stage *stage, const sums s[ARMS]) {
  char name[64];
  for (size_t a = 0; a < ARMS; a++) {
    snprintf(name, sizeof name, "by %s: clicks a visit", names[a]);
    wn_stage_figure(stage, name, s[a].clicks / s[a].n);
    snprintf(name, sizeof name, "by %s: value / best", names[a]);
    wn_stage_figure(stage, name, s[a].share / s[a].n);
  }
  stage->title = "What is shown, weighed by clicks, finishes and likes";
  stage->x_label = "round of visits";
  stage->y_label = "value / best";
  if (stage->small) {
    wn_stage_at_least(stage, "slates have a value", s[0].share / s[0].n, 0.01);
    return;
  }
  wn_stage_at_least(stage, "clicks: by clicks against weighted, ratio",
                    s[0].clicks / s[0].n / (s[2].clicks / s[2].n), 1);
  wn_stage_at_least(stage, "value: weighted against by clicks, ratio",
                    s[2].share / s[2].n / (s[0].share / s[0].n), 1.1);
}

wn_status wn_scenario_bait(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  wn_site_options how;
  wn_site_options_defaults(&how);
  how.world.users = stage->small ? 60 : 400;
  how.world.items = stage->small ? 40 : 100;
  how.world.bait_pull = 1.5;
  how.world.bait_cost = 3;
  how.world.trap = 3;
  how.world.likes = 0.7;
  how.world.seed = stage->seed;
  how.visits_a_day = stage->small ? 30 : 450;
  how.start_ms = WN_STAGE_START_MS;
  how.experiment = "worth";
  for (size_t a = 0; a < ARMS; a++) (void)wn_stage_series(stage, names[a]);
  WN_TRY(wn_stage_serve(stage, config, &server, err));
  how.url = server.url;
  WN_TRY(wn_site_create(&how, &site, err));
  WN_TRY(wn_site_history(&site, stage->small ? 300 : 5000, err));
  for (size_t round = 0; round < ROUNDS; round++) {
    sums s[ARMS] = {{0}};
    WN_TRY(wn_stage_train(&server, &site, err));
    WN_TRY(wn_stage_visits(stage, &site, 2 * (double)(round + 1), count, s, err));
    note(stage, s, (double)round + 1);
    if (round + 1 == ROUNDS) conclude(stage, s);
  }
cleanup:
  wn_site_clear(&site);
  wn_stage_stop(&server);
  return status;
}
