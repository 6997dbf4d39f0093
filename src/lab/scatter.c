#include "lab/scatter.h"

#include "base/mem.h"
#include "base/rng.h"
#include "lab/runs.h"
#include "lab/stats.h"
#include "lab/svg.h"
#include "lab/verdict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAWS      2000
#define POLICIES   4 /* at least, for a correlation */
#define DEVIATIONS 1.959964

static const double none[3] = {(double)NAN, (double)NAN, (double)NAN};

bool wn_scatter_add(wn_scatter *s, const char *name, const double offline[3],
                    const double online[3]) {
  if (s->len == WN_SCATTER_MAX) return false;
  wn_scatter_point *p = &s->points[s->len++];
  *p = (wn_scatter_point){.name = ""};
  snprintf(p->name, sizeof p->name, "%s", name);
  memcpy(p->offline, offline, sizeof p->offline);
  memcpy(p->online, online, sizeof p->online);
  return true;
}

/* ---- correlation ---- */

static double drawn(const double at[3], wn_rng *rng) {
  return at[1] + (at[2] - at[0]) / (2 * DEVIATIONS) * wn_rng_normal(rng);
}

static int ascending(const void *a, const void *b) {
  const double *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

static double draw_one(const wn_scatter *s, double n, wn_rng *rng) {
  double x[WN_SCATTER_MAX], y[WN_SCATTER_MAX];
  size_t len = 0;
  for (size_t i = 0; i < s->len; i++) {
    const wn_scatter_point *p = &s->points[i];
    if (isnan(p->offline[1]) || isnan(p->online[1])) continue;
    x[len] = drawn(p->offline, rng);
    y[len++] = drawn(p->online, rng);
  }
  double swap = 1 - 12 / (n * (n * n - 1)), r = wn_spearman(x, y, len);
  r = isnan(r) ? 0 : fmax(-swap, fmin(swap, r));
  return tanh(atanh(r) + sqrt((1 + r * r / 2) / (n - 3)) * wn_rng_normal(rng));
}

static void say(wn_scatter *s) {
  if (s->both < POLICIES) {
    snprintf(s->sentence, sizeof s->sentence,
             "Whether %s predicts %s here cannot be said: %zu %s both, and it takes %d.",
             s->offline, s->online, s->both, s->both == 1 ? "policy has" : "policies have",
             POLICIES);
    return;
  }
  const char *verb = s->low > 0    ? "predicts"
                     : s->high < 0 ? "predicts the opposite of"
                                   : "is not shown to predict";
  snprintf(s->sentence, sizeof s->sentence,
           "%s %s %s here: rank correlation %.2f, 95%% %.2f to %.2f, n = %zu policies.", s->offline,
           verb, s->online, s->rank, s->low, s->high, s->both);
}

wn_status wn_scatter_conclude(wn_scatter *s, uint64_t seed, wn_error *err) {
  double x[WN_SCATTER_MAX], y[WN_SCATTER_MAX];
  wn_rng rng;
  s->both = 0;
  s->rank = s->low = s->high = (double)NAN;
  for (size_t i = 0; i < s->len; i++) {
    if (isnan(s->points[i].offline[1]) || isnan(s->points[i].online[1])) continue;
    x[s->both] = s->points[i].offline[1];
    y[s->both++] = s->points[i].online[1];
  }
  if (s->both >= POLICIES) {
    double *draws = wn_calloc(DRAWS, sizeof *draws);
    if (draws == NULL) return wn_fail_memory(err);
    wn_rng_seed(&rng, seed);
    for (size_t d = 0; d < DRAWS; d++) draws[d] = draw_one(s, (double)s->both, &rng);
    qsort(draws, DRAWS, sizeof *draws, ascending);
    s->rank = wn_spearman(x, y, s->both);
    s->low = draws[DRAWS / 40];
    s->high = draws[DRAWS - 1 - DRAWS / 40];
    wn_free(draws);
    if (isnan(s->rank)) s->rank = 0; /* all alike on an axis */
  }
  say(s);
  return WN_OK;
}

/* ---- offline: the newest evaluation of an experiment ---- */

static const json_t *row_of(const json_t *result, const char *name) {
  const json_t *rows = json_object_get(result, "rows");
  for (size_t i = 0; i < json_array_size(rows); i++) {
    const json_t *row = json_array_get(rows, i);
    const char *model = json_string_value(json_object_get(row, "model"));
    if (model != NULL && strcmp(model, name) == 0) return row;
  }
  return NULL;
}

static const json_t *newest(const json_t *runs, const char *experiment) {
  for (size_t i = 0; i < json_array_size(runs); i++) {
    const json_t *run = json_array_get(runs, i), *params = json_object_get(run, "params");
    const char *kind = json_string_value(json_object_get(run, "kind"));
    const char *of = json_string_value(json_object_get(params, "experiment"));
    if (kind != NULL && strcmp(kind, "evaluate") == 0 && of != NULL && strcmp(of, experiment) == 0)
      return json_object_get(run, "result");
  }
  return NULL;
}

/* "ndcg@20" of a row; false: it has none. */
static bool value_of(const json_t *row, const char *metric, double out[3]) {
  static const char *const keys[] = {"low", "mean", "high"};
  const char *at = strchr(metric, '@');
  char name[65];
  const json_t *cuts = json_object_get(row, "at");
  if (at == NULL || (size_t)(at - metric) >= sizeof name) return false;
  snprintf(name, sizeof name, "%.*s", (int)(at - metric), metric);
  for (size_t i = 0; i < json_array_size(cuts); i++) {
    const json_t *cut = json_array_get(cuts, i), *value = json_object_get(cut, name);
    if (json_integer_value(json_object_get(cut, "k")) != atoll(at + 1)) continue;
    for (size_t k = 0; k < 3; k++) {
      const json_t *number = json_object_get(value, keys[k]);
      if (!json_is_number(number)) return false;
      out[k] = json_number_value(number);
    }
    return true;
  }
  return false;
}

static void default_metric(const json_t *result, char out[65]) {
  const char *primary = json_string_value(json_object_get(result, "primary"));
  const json_t *row = json_array_get(json_object_get(result, "rows"), 0);
  const json_t *cut = json_array_get(json_object_get(row, "at"), 0);
  snprintf(out, 65, "%.40s@%lld", primary != NULL ? primary : "ndcg",
           (long long)json_integer_value(json_object_get(cut, "k")));
}

/* ---- online ---- */

/* Σy / Σx and its interval by the delta method over units. */
static void online_of(const wn_ratio_sums *s, double out[3]) {
  double n = s->n, mean = s->x > 0 ? s->y / s->x : (double)NAN;
  double squares = s->yy - 2 * mean * s->xy + mean * mean * s->xx;
  double half = n > 1 ? DEVIATIONS * sqrt(fmax(0, squares) * n / (n - 1)) / s->x : (double)NAN;
  out[0] = mean - half;
  out[1] = mean;
  out[2] = mean + half;
  if (isnan(half)) memcpy(out, none, sizeof none);
}

/* ---- all of it ---- */

/* What is put together from. */
typedef struct gather {
  wn_store *store;
  const char *dir;
  const wn_scatter_ask *ask;
  json_t *runs;
  const wn_metric_spec *metric; /* of the first experiment */
  bool met[2];                  /* an arm serves random, popular alone */
  const json_t *baselines;      /* the evaluation that they are taken from */
} gather;

static const char *const plain[2] = {"random", "popular"};

/* Which of `plain` the arm shows on the experiment's first surface and nothing else; 2: neither. */
static wn_status plain_of(const gather *g, const wn_experiment *e, const wn_arm_spec *arm,
                          size_t *out, wn_error *err) {
  const wn_surface *base =
      e->surfaces_len > 0 ? wn_surfaces_find(g->ask->surfaces, wn_str_of(e->surfaces[0])) : NULL;
  *out = 2;
  if (base == NULL) return WN_OK;
  wn_surface *surface = wn_malloc(sizeof *surface);
  if (surface == NULL) return wn_fail_memory(err);
  *surface = *base;
  for (size_t v = 0; v < arm->variants_len; v++)
    if (strcmp(arm->variants[v].surface, base->name) == 0)
      wn_surface_patch_apply(&arm->variants[v].patch, surface);
  for (size_t b = 0; b < 2; b++)
    if (surface->generators_len == 1 && strcmp(surface->generators[0].model, plain[b]) == 0)
      *out = b;
  wn_free(surface);
  return WN_OK;
}

static bool same_metric(const wn_metric_spec *a, const wn_metric_spec *b) {
  return a->kind == b->kind && strcmp(a->type, b->type) == 0 && a->value_min == b->value_min &&
         a->days == b->days;
}

static wn_status add_arms(gather *g, const wn_experiment *e, const wn_outcome *outcome,
                          const json_t *result, wn_scatter *out, wn_error *err) {
  bool several = g->ask->experiment.ptr == NULL;
  for (size_t a = 0; a < e->arms_len; a++) {
    char row[64], name[136];
    double offline[3], online[3];
    snprintf(row, sizeof row, "arm:%.59s", e->arms[a].name);
    if (!value_of(row_of(result, row), out->offline, offline)) continue;
    online_of(&outcome->arms[a].metrics[0], online);
    snprintf(name, sizeof name, "%s%s%s", several ? e->name : "", several ? "/" : "",
             e->arms[a].name);
    size_t baseline;
    wn_status status = plain_of(g, e, &e->arms[a], &baseline, err);
    if (status != WN_OK) return status;
    if (baseline < 2) {
      g->met[baseline] |= !isnan(online[1]);
      if (strcmp(e->arms[a].name, plain[baseline]) != 0) {
        size_t len = strlen(name);
        snprintf(name + len, sizeof name - len, " (%s)", plain[baseline]);
      }
    }
    (void)wn_scatter_add(out, name, offline, online);
  }
  return WN_OK;
}

static wn_status take_experiment(gather *g, const wn_experiment *e, wn_scatter *out,
                                 wn_error *err) {
  wn_outcome outcome = {0};
  wn_experiment_verdict *verdict = NULL;
  const json_t *result = newest(g->runs, e->name);
  wn_status status = WN_OK;
  if (result == NULL || e->metrics_len == 0) return WN_OK;
  if (g->metric != NULL && !same_metric(g->metric, &e->metrics[0])) return WN_OK;
  verdict = wn_calloc(1, sizeof *verdict);
  if (verdict == NULL) return wn_fail_memory(err);
  status = wn_experiment_look(g->store, g->dir, e, &outcome, verdict, err);
  if (status == WN_E_NOT_READY)
    status = WN_OK; /* it never ran */
  else if (status == WN_OK && !verdict->hidden) {
    if (out->offline[0] == '\0') {
      if (g->ask->metric != NULL)
        snprintf(out->offline, sizeof out->offline, "%s", g->ask->metric);
      else
        default_metric(result, out->offline);
    }
    if (g->metric == NULL) snprintf(out->online, sizeof out->online, "%s", e->metrics[0].name);
    g->metric = &e->metrics[0];
    g->baselines = result;
    status = add_arms(g, e, &outcome, result, out, err);
  }
  wn_outcome_clear(&outcome);
  wn_free(verdict);
  return status;
}

static void add_baselines(const gather *g, wn_scatter *out) {
  for (size_t b = 0; b < 2; b++) {
    double offline[3];
    if (!g->met[b] && value_of(row_of(g->baselines, plain[b]), out->offline, offline))
      (void)wn_scatter_add(out, plain[b], offline, none);
  }
}

wn_status wn_scatter_of(wn_store *store, const char *dir, const wn_scatter_ask *ask,
                        wn_scatter *out, wn_error *err) {
  wn_status status = WN_OK;
  gather g = {.store = store, .dir = dir, .ask = ask};
  size_t unreadable = 0;
  *out = (wn_scatter){.len = 0};
  if (ask->experiment.ptr != NULL && wn_experiments_find(ask->experiments, ask->experiment) == NULL)
    return wn_fail(err, WN_E_NOT_FOUND, "experiment", "no experiment \"%.*s\" is declared",
                   ask->experiment.len > 64 ? 64 : WN_STR_ARG(ask->experiment));
  WN_TRY(wn_runs_load(dir, &g.runs, &unreadable, err));
  for (size_t i = 0; i < ask->experiments->len; i++) {
    const wn_experiment *e = &ask->experiments->data[i];
    if (ask->experiment.ptr == NULL || wn_str_is(ask->experiment, e->name))
      WN_TRY(take_experiment(&g, e, out, err));
  }
  if (g.baselines == NULL) {
    out->rank = out->low = out->high = (double)NAN;
    snprintf(out->sentence, sizeof out->sentence,
             "There is nothing to compare yet: let an experiment run, and measure its arms by "
             "`winnow evaluate --data DIR --experiment NAME`.");
    goto cleanup;
  }
  if (out->len == 0)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "metric", "the evaluation has no `%s`", out->offline));
  add_baselines(&g, out);
  WN_TRY(wn_scatter_conclude(out, 1, err));
cleanup:
  json_decref(g.runs);
  return status;
}
