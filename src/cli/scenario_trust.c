/* Can the statistics be trusted?
 *
 * aa: rounds of 200 experiments at once (as many as a server takes), each of two equal arms, on
 * servers and worlds of their own. Every experiment hashes the users with a salt of its own, so
 * those of one round see the same visits under independent assignments: a false positive of one
 * says nothing of the next (that is what a randomisation test rests on). Each is read over the API
 * at the end of every day of the world, and counts as false when any look ever called it better or
 * worse. Beside it what a fixed-horizon test of the same numbers would have said, looked at as
 * often.
 *
 * uplift: one policy against another that is really better. A pilot, on a server of its own with
 * users of its own, tells
 * the effect and how many units the plan asks for; then replicates run side by side as exclusive
 * experiments of one group, each with its own users, until all have their planned units. The power
 * that is to be expected is computed anew from the effect pooled over all replicates, since the
 * pilot has an error of its own. */
#include "cli/scenario.h"

#include "base/mem.h"
#include "base/special.h"
#include "lab/stats.h"
#include "lab/verdict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define EXPERIMENTS 200

static const char slim[] =
    "training: {every_hours: 0}\n"
    "surfaces: {home: {n: 10, retrieve: [{model: random, quota: 50}], score: {normalise: minmax}, "
    "order: {diversity: none}, filter: {seen: none}}}\n";

/* What one look at one experiment said, of the primary metric. */
typedef struct look {
  bool decided, better; /* by the always-valid interval */
  double units, control, treatment, n[2];
  bool hidden;
} look;

static const json_t *member(const json_t *arm, const char *key) {
  return json_object_get(json_array_get(json_object_get(arm, "metrics"), 0), key);
}

static wn_status look_at(wn_site *site, const char *name, look *out, wn_error *err) {
  char path[128];
  json_t *root = NULL;
  snprintf(path, sizeof path, "/v1/experiments/%.64s", name);
  wn_status status = wn_sim_get(site->client, path, &root, err);
  if (status != WN_OK) return status;
  const json_t *arms = json_object_get(root, "arms"), *second = json_array_get(arms, 1);
  const char *verdict = json_string_value(member(second, "verdict"));
  *out = (look){.hidden = json_is_true(json_object_get(root, "hidden"))};
  out->units = json_number_value(json_object_get(json_object_get(root, "plan"), "units"));
  out->control = json_number_value(member(second, "control"));
  out->treatment = json_number_value(member(second, "treatment"));
  for (size_t a = 0; a < 2; a++)
    out->n[a] = json_number_value(json_object_get(json_array_get(arms, a), "units"));
  out->better = verdict != NULL && strcmp(verdict, "better") == 0;
  out->decided = out->better || (verdict != NULL && strcmp(verdict, "worse") == 0);
  json_decref(root);
  return WN_OK;
}

/* z of two shares, as a fixed-horizon test would have it; 0 without a spread. */
static double z_of(const look *l) {
  double a = l->control, b = l->treatment;
  double variance = a * (1 - a) / l->n[0] + b * (1 - b) / l->n[1];
  return l->n[0] > 0 && l->n[1] > 0 && variance > 0 ? (b - a) / sqrt(variance) : 0;
}

/* ---- aa ---- */

typedef struct aa {
  size_t experiments, days, rounds;
  double false_by[WN_STAGE_POINTS_MAX], naive_by[WN_STAGE_POINTS_MAX]; /* ever so far, by day */
  double hidden;
} aa;

static wn_status declare(const aa *a, wn_buf *config, wn_error *err) {
  wn_buf_str(config, slim);
  wn_buf_str(config, "experiments:\n");
  for (size_t e = 0; e < a->experiments; e++)
    wn_buf_printf(config,
                  "  aa%zu: {surfaces: [home], arms: {control: {}, same: {}}, metrics: "
                  "[{kind: conversion, type: click}]}\n",
                  e);
  return config->failed ? wn_fail_memory(err) : WN_OK;
}

static wn_status look_at_all(aa *a, wn_site *site, size_t day, bool (*said)[2], wn_error *err) {
  for (size_t e = 0; e < a->experiments; e++) {
    char name[32];
    look l;
    snprintf(name, sizeof name, "aa%zu", e);
    wn_status status = look_at(site, name, &l, err);
    if (status != WN_OK) return status;
    said[e][0] |= l.decided;
    said[e][1] |= fabs(z_of(&l)) > 1.959964;
    a->hidden += l.hidden && day + 1 == a->days;
    a->false_by[day] += said[e][0];
    a->naive_by[day] += said[e][1];
  }
  return WN_OK;
}

static wn_status aa_round(wn_stage *stage, aa *a, size_t round, wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  wn_buf config = {0};
  wn_site_options how;
  bool said[EXPERIMENTS][2] = {{0}};
  wn_site_options_defaults(&how);
  how.world.users = stage->small ? 300 : 2000;
  how.world.items = 100;
  how.world.seed = stage->seed + 1000 * round;
  how.visits_a_day = stage->small ? 40 : 100;
  how.start_ms = WN_STAGE_START_MS;
  WN_TRY(declare(a, &config, err));
  WN_TRY(wn_stage_serve(stage, config.data, &server, err));
  how.url = server.url;
  WN_TRY(wn_site_create(&how, &site, err));
  for (size_t d = 0; d < a->days; d++) {
    WN_TRY(wn_stage_visits(stage, &site, (double)(d + 1), NULL, NULL, err));
    WN_TRY(look_at_all(a, &site, d, said, err));
  }
cleanup:
  wn_site_clear(&site);
  wn_stage_stop(&server);
  wn_buf_clear(&config);
  return status;
}

wn_status wn_scenario_aa(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  aa a = {.experiments = stage->small ? 10 : EXPERIMENTS,
          .days = stage->small ? 3 : 7,
          .rounds = stage->small ? 1 : 3};
  for (size_t r = 0; r < a.rounds; r++) WN_TRY(aa_round(stage, &a, r, err));
  double n = (double)(a.experiments * a.rounds);
  wn_series *ours = wn_stage_series(stage, "always-valid, as Winnow reads it");
  wn_series *naive = wn_stage_series(stage, "fixed-horizon test, looked at as often");
  for (size_t d = 0; d < a.days; d++) {
    wn_estimate e = wn_wilson(a.false_by[d], n, 0.05), f = wn_wilson(a.naive_by[d], n, 0.05);
    wn_series_add(ours, (double)d + 1, a.false_by[d] / n);
    wn_series_interval(ours, e.low, e.high);
    wn_series_add(naive, (double)d + 1, a.naive_by[d] / n);
    wn_series_interval(naive, f.low, f.high);
  }
  stage->title = "A/A experiments that ever said something";
  stage->x_label = "looks, one a day";
  stage->y_label = "share of experiments";
  stage->rule = 0.05;
  wn_stage_figure(stage, "experiments", n);
  wn_stage_figure(stage, "looks at each", (double)a.days);
  wn_stage_figure(stage, "hidden by the sample-ratio check", a.hidden / n);
  wn_stage_figure(stage, "fixed-horizon test, looked at as often", a.naive_by[a.days - 1] / n);
  wn_stage_at_most(stage, "false positives", a.false_by[a.days - 1] / n, 0.05);
cleanup:
  return status;
}

/* ---- uplift ---- */

static const char better_arm[] = "{surfaces: {home: {retrieve: [{model: popular, quota: 50}]}}}";

/* One server with these experiments: trained on the world's past, then visits until a day. */
typedef struct trial {
  wn_stage_server server;
  wn_site site;
} trial;

static wn_status begin_trial(wn_stage *stage, const char *config, uint64_t seed, uint32_t users,
                             trial *t, wn_error *err) {
  wn_status status = WN_OK;
  wn_site_options how;
  wn_site_options_defaults(&how);
  how.world.users = users;
  how.world.items = 100;
  how.world.bait_pull = 0.5;
  how.world.seed = seed;
  how.visits_a_day = (double)users / 10;
  how.start_ms = WN_STAGE_START_MS;
  WN_TRY(wn_stage_serve(stage, config, &t->server, err));
  how.url = t->server.url;
  WN_TRY(wn_site_create(&how, &t->site, err));
  WN_TRY(wn_site_history(&t->site, 2000, err));
  WN_TRY(wn_stage_train(&t->server, &t->site, err));
cleanup:
  return status;
}

static void end_trial(trial *t) {
  wn_site_clear(&t->site);
  wn_stage_stop(&t->server);
}

/* Units of both arms for 80% power, from the pilot's two shares. */
static wn_status pilot(wn_stage *stage, double *units, wn_error *err) {
  wn_status status = WN_OK;
  trial t = {0};
  wn_buf config = {0};
  look l;
  wn_buf_printf(&config,
                "%sexperiments: {pilot: {arms: {control: {}, better: %s}, metrics: "
                "[{kind: conversion, type: click}]}}\n",
                slim, better_arm);
  if (config.failed) WN_TRY(wn_fail_memory(err));
  WN_TRY(begin_trial(stage, config.data, stage->seed, stage->small ? 400 : 8000, &t, err));
  WN_TRY(wn_stage_visits(stage, &t.site, 10, NULL, NULL, err));
  WN_TRY(look_at(&t.site, "pilot", &l, err));
  const wn_ratio_sums control = {.n = l.n[0],
                                 .y = l.control * l.n[0],
                                 .yy = l.control * l.n[0],
                                 .x = l.n[0],
                                 .xx = l.n[0],
                                 .xy = l.control * l.n[0]};
  *units = 2 * ceil(wn_units_needed(&control, (l.treatment - l.control) / l.control, 0.05, 0.8));
  wn_stage_figure(stage, "pilot: conversion of the control", l.control);
  wn_stage_figure(stage, "pilot: relative uplift", (l.treatment - l.control) / l.control);
  wn_stage_figure(stage, "planned units of an experiment", *units);
cleanup:
  end_trial(&t);
  wn_buf_clear(&config);
  return status;
}

typedef struct replicates {
  size_t len;
  double found_by[WN_STAGE_POINTS_MAX]; /* by the always-valid interval, at each look */
  double fixed;                         /* by the test at the planned number of units */
  double control, treatment, n[2];      /* pooled */
  double units;                         /* of a replicate, on average */
} replicates;

static wn_status look_at_replicates(replicates *r, wn_site *site, size_t step, bool last,
                                    wn_error *err) {
  for (size_t e = 0; e < r->len; e++) {
    char name[32];
    look l;
    snprintf(name, sizeof name, "r%zu", e);
    wn_status status = look_at(site, name, &l, err);
    if (status != WN_OK) return status;
    r->found_by[step] += l.better;
    if (!last) continue;
    r->fixed += z_of(&l) > 1.959964;
    r->control += l.control * l.n[0];
    r->treatment += l.treatment * l.n[1];
    r->n[0] += l.n[0];
    r->n[1] += l.n[1];
    r->units += l.units / (double)r->len;
  }
  return WN_OK;
}

/* Of the two-sided 5% test, of a difference in shares with n units an arm. */
static double power_of(double a, double b, double n) {
  double se = sqrt((a * (1 - a) + b * (1 - b)) / n);
  return wn_normal_cdf((b - a) / se - 1.959964);
}

static wn_status declare_replicates(const replicates *r, double planned, wn_buf *config,
                                    wn_error *err) {
  wn_buf_printf(config, "%sexperiments:\n", slim);
  for (size_t e = 0; e < r->len; e++)
    wn_buf_printf(config,
                  "  r%zu: {group: {name: all, from: %.6f, to: %.6f}, planned_units: %.0f, arms: "
                  "{control: {}, better: %s}, metrics: [{kind: conversion, type: click}]}\n",
                  e, (double)e / (double)r->len, (double)(e + 1) / (double)r->len, planned,
                  better_arm);
  return config->failed ? wn_fail_memory(err) : WN_OK;
}

/* As many users as make the planned units in ten days for the average replicate: a user who comes
 * by her activity has a visit in that time with about this probability: an estimate. */
#define SEEN_SHARE 0.46

static wn_status run_replicates(wn_stage *stage, replicates *r, double planned, wn_error *err) {
  wn_status status = WN_OK;
  trial t = {0};
  wn_buf config = {0};
  uint32_t users = (uint32_t)(planned * (double)r->len / SEEN_SHARE);
  WN_TRY(declare_replicates(r, planned, &config, err));
  WN_TRY(begin_trial(stage, config.data, stage->seed, users, &t, err));
  for (size_t step = 0; step < 10; step++) {
    WN_TRY(wn_stage_visits(stage, &t.site, (double)(step + 1), NULL, NULL, err));
    WN_TRY(look_at_replicates(r, &t.site, step, step == 9, err));
  }
cleanup:
  end_trial(&t);
  wn_buf_clear(&config);
  return status;
}

wn_status wn_scenario_uplift(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  double planned = 0;
  replicates r = {.len = stage->small ? 4 : 100};
  WN_TRY(pilot(stage, &planned, err));
  WN_TRY(run_replicates(stage, &r, planned, err));
  double n = (double)r.len, a = r.control / r.n[0], b = r.treatment / r.n[1];
  double expected = power_of(a, b, (r.n[0] + r.n[1]) / n / 2);
  wn_estimate fixed = wn_wilson(r.fixed, n, 0.05);
  wn_series *found = wn_stage_series(stage, "found so far, always-valid");
  for (size_t step = 0; step < 10; step++) {
    wn_estimate e = wn_wilson(r.found_by[step], n, 0.05);
    wn_series_add(found, (double)step + 1, r.found_by[step] / n);
    wn_series_interval(found, e.low, e.high);
  }
  wn_series *end = wn_stage_series(stage, "found by the fixed-horizon test at the end");
  end->dots = true;
  wn_series_add(end, 10, r.fixed / n);
  wn_series_interval(end, fixed.low, fixed.high);
  stage->title = "Experiments that found a real uplift";
  stage->x_label = "day";
  stage->y_label = "share of experiments";
  stage->rule = expected;
  wn_stage_figure(stage, "experiments", n);
  wn_stage_figure(stage, "units of one, on average", r.units);
  wn_stage_figure(stage, "relative uplift, pooled", b / a - 1);
  wn_stage_figure(stage, "power to be expected of that effect and units", expected);
  wn_stage_figure(stage, "found at the end, fixed-horizon", r.fixed / n);
  wn_stage_figure(stage, "found at the end, always-valid", r.found_by[9] / n);
  wn_stage_at_least(stage, "found (upper end of its 95% interval) against the power expected",
                    fixed.high, expected);
  wn_stage_at_most(stage, "found (lower end of its 95% interval) against the power expected",
                   fixed.low, expected);
cleanup:
  return status;
}
