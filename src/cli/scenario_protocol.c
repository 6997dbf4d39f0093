/* protocol: eight policies, ranked offline by two protocols and online by the truth. All models
 * learn from the same past (random slates). The site then logs clicks under its production policy,
 * most popular first, and from a slice of users whose slates are random. `winnow evaluate` ranks
 * the models by Recall@10 on either log: clicks of production (naive: what was not shown could not
 * be clicked) and of the random slice (unbiased: every item had the same chance; Recall@10 is then
 * proportional to the clicks that the ten would get). The truth: the same models with the same
 * parameters serve an arm each on a server of their own, and the world says how likely their slates
 * are to be clicked. Several worlds; the intervals are those across them. */
#include "cli/scenario.h"

#include "base/file.h"
#include "lab/stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define POLICIES 8
#define SEEDS    5
static const char *const policies[POLICIES] = {"random", "popular", "covisit",   "als",
                                               "ridge",  "ease",    "ridge-seq", "user-knn"};

/* The same offline and online. */
static const char *const params[] = {"user-knn.neighbours=100", "ease.lambda=300",
                                     "ridge-seq.lambda=200"};
#define PARAMS (sizeof params / sizeof *params)

static const char logging[] =
    "training: {every_hours: 0}\n"
    "surfaces: {home: {n: 10, retrieve: [{model: popular, quota: 100}], score: {normalise: "
    "minmax}, "
    "order: {diversity: none}}}\n"
    "experiments: {log: {arms: {production: {share: 0.25}, slice: {share: 0.75, surfaces: {home: "
    "{retrieve: [{model: random, quota: 100}]}}}}}}\n";

/* Files of `user item` lines, in order of time. */
typedef struct files {
  FILE *naive, *unbiased;
} files;

static void log_clicks(void *ctx, const wn_visit *v) {
  files *f = ctx;
  FILE *to = strcmp(v->arm, "slice") == 0 ? f->unbiased : f->naive;
  for (size_t k = 0; k < v->len; k++)
    if (v->browsed[k].clicked) fprintf(to, "%u %u\n", v->visitor.user, v->items[k]);
}

static void site_of(const wn_stage *stage, uint64_t seed, wn_site_options *how) {
  wn_site_options_defaults(how);
  how->world.users = stage->small ? 80 : 1000;
  how->world.items = stage->small ? 50 : 150;
  how->world.once = true;
  how->world.bait_pull = 0.7;
  how->world.seed = seed;
  how->visits_a_day = stage->small ? 60 : 1500;
  how->start_ms = WN_STAGE_START_MS;
}

/* A server of this world. The past is the same for each; its clicks are written unless `past` is
 * NULL. */
typedef struct opening {
  const char *config, *experiment;
  uint64_t seed;
  FILE *past;
} opening;

static wn_status begin(wn_stage *stage, const opening *how, wn_stage_server *server, wn_site *site,
                       wn_error *err) {
  wn_status status = WN_OK;
  wn_site_options options;
  site_of(stage, how->seed, &options);
  options.experiment = how->experiment;
  WN_TRY(wn_stage_serve(stage, how->config, server, err));
  options.url = server->url;
  WN_TRY(wn_site_create(&options, site, err));
  site->clicks = how->past;
  WN_TRY(wn_site_history(site, stage->small ? 400 : 8000, err));
  site->clicks = NULL;
  WN_TRY(wn_stage_train(server, site, err));
cleanup:
  return status;
}

static void path_of(const wn_stage *stage, const char *name, char path[600]) {
  snprintf(path, 600, "%.500s/%s", stage->scratch, name);
}

static wn_status write_logs(wn_stage *stage, uint64_t seed, wn_error *err) {
  static const char *const names[3] = {"train", "naive", "unbiased"};
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  FILE *file[3] = {NULL, NULL, NULL};
  char path[600];
  for (size_t i = 0; i < 3; i++) {
    path_of(stage, names[i], path);
    file[i] = fopen(path, "we");
    if (file[i] == NULL) WN_TRY(wn_fail_errno(err, "", "cannot write %s", path));
  }
  files f = {file[1], file[2]};
  opening how = {logging, "log", seed, file[0]};
  WN_TRY(begin(stage, &how, &server, &site, err));
  WN_TRY(wn_stage_visits(stage, &site, stage->small ? 3 : 12, log_clicks, &f, err));
cleanup:
  for (size_t i = 0; i < 3; i++)
    if (file[i] != NULL && fclose(file[i]) != 0 && status == WN_OK)
      status = wn_fail_errno(err, "", "cannot write the logs");
  wn_site_clear(&site);
  wn_stage_stop(&server);
  return status;
}

/* ---- offline ---- */

static void take_rows(const json_t *root, double out[POLICIES][3]) {
  static const char *const keys[3] = {"low", "mean", "high"};
  const json_t *rows = json_object_get(root, "rows");
  for (size_t r = 0; r < json_array_size(rows); r++) {
    const json_t *row = json_array_get(rows, r);
    const char *model = json_string_value(json_object_get(row, "model"));
    const json_t *recall = json_object_get(json_array_get(json_object_get(row, "at"), 0), "recall");
    for (size_t p = 0; model != NULL && p < POLICIES; p++)
      for (size_t k = 0; k < 3 && strcmp(policies[p], model) == 0; k++)
        out[p][k] = json_number_value(json_object_get(recall, keys[k]));
  }
}

static wn_status evaluate(wn_stage *stage, const char *test, double out[POLICIES][3],
                          wn_error *err) {
  wn_status status = WN_OK;
  wn_buf text = {0};
  char train[600], path[600];
  json_t *root = NULL;
  path_of(stage, "train", train);
  path_of(stage, test, path);
  const char *args[14 + 2 * POLICIES + 2 * PARAMS] = {
      "winnow",   "evaluate", "--train", train,    "--test",    path, "--format",
      "sequence", "--k",      "10",      "--json", "--threads", "1"};
  size_t n = 13;
  for (size_t p = 2; p < POLICIES; p++) args[n++] = "--model", args[n++] = policies[p];
  for (size_t p = 0; p < PARAMS; p++) args[n++] = "--set", args[n++] = params[p];
  args[n] = NULL;
  for (size_t p = 0; p < POLICIES; p++) out[p][0] = out[p][1] = out[p][2] = (double)NAN;
  WN_TRY(wn_stage_run(args, &text, err));
  root = json_loadb(text.data, text.len, 0, NULL);
  take_rows(root, out);
cleanup:
  json_decref(root);
  wn_buf_clear(&text);
  return status;
}

/* ---- the truth ---- */

typedef struct truth {
  double n[POLICIES], sum[POLICIES], squares[POLICIES];
} truth;

static void count(void *ctx, const wn_visit *v) {
  truth *t = ctx;
  for (size_t p = 0; p < POLICIES; p++) {
    if (strcmp(policies[p], v->arm) != 0) continue;
    t->n[p]++;
    t->sum[p] += v->any_click;
    t->squares[p] += v->any_click * v->any_click;
  }
}

static wn_status serve_all(wn_stage *stage, uint64_t seed, double out[POLICIES][3], wn_error *err) {
  wn_status status = WN_OK;
  wn_stage_server server = {0};
  wn_site site = {0};
  wn_buf config = {0};
  truth t = {.n = {0}};
  wn_buf_str(
      &config,
      "training: {every_hours: 0}\n"
      "models: {user-knn: {neighbours: 100}, ease: {lambda: 300}, ridge-seq: {lambda: 200}}\n"
      "surfaces: {home: {n: 10, score: {normalise: minmax}, order: {diversity: none}}}\n"
      "experiments:\n  truth:\n    arms:\n");
  for (size_t p = 0; p < POLICIES; p++)
    wn_buf_printf(&config, "      %s: {surfaces: {home: {retrieve: [{model: %s, quota: 100}]}}}\n",
                  policies[p], policies[p]);
  if (config.failed) WN_TRY(wn_fail_memory(err));
  opening how = {config.data, "truth", seed, NULL};
  WN_TRY(begin(stage, &how, &server, &site, err));
  WN_TRY(wn_stage_visits(stage, &site, stage->small ? 2 : 5, count, &t, err));
  for (size_t p = 0; p < POLICIES; p++) {
    double mean = t.sum[p] / t.n[p];
    double half = 1.96 * sqrt(fmax(0, t.squares[p] / t.n[p] - mean * mean) / t.n[p]);
    out[p][0] = mean - half;
    out[p][1] = mean;
    out[p][2] = mean + half;
  }
cleanup:
  wn_site_clear(&site);
  wn_stage_stop(&server);
  wn_buf_clear(&config);
  return status;
}

/* ---- both ---- */

enum { NAIVE, UNBIASED, PROTOCOLS };
static const char *const logs[PROTOCOLS] = {"naive", "unbiased"};
static const char *const names[PROTOCOLS] = {"clicks of production (naive)",
                                             "clicks of the random slice (unbiased)"};

static void draw(wn_stage *stage, const char *name, double offline[POLICIES][3],
                 double online[POLICIES][3]) {
  wn_series *series = wn_stage_series(stage, name);
  series->dots = true;
  for (size_t p = 0; p < POLICIES; p++) {
    wn_series_add(series, offline[p][1], online[p][1]);
    wn_series_interval(series, online[p][0], online[p][2]);
    snprintf(series->labels[p], sizeof series->labels[p], "%s", policies[p]);
  }
}

static double rank_correlation(double offline[POLICIES][3], double online[POLICIES][3]) {
  double x[POLICIES], y[POLICIES];
  for (size_t p = 0; p < POLICIES; p++) x[p] = offline[p][1], y[p] = online[p][1];
  return wn_spearman(x, y, POLICIES);
}

/* What is lost, in chances of a click, by taking the policy that is best offline. */
static double lost(double offline[POLICIES][3], double online[POLICIES][3]) {
  size_t chosen = 0;
  double best = 0;
  for (size_t p = 0; p < POLICIES; p++) {
    if (offline[p][1] > offline[chosen][1]) chosen = p;
    best = fmax(best, online[p][1]);
  }
  return best - online[chosen][1];
}

typedef struct results {
  double rank[PROTOCOLS][SEEDS], lost[PROTOCOLS][SEEDS];
  double gain[SEEDS], saved[SEEDS]; /* unbiased against naive */
} results;

static wn_status play_world(wn_stage *stage, size_t k, results *out, wn_error *err) {
  wn_status status = WN_OK;
  double offline[PROTOCOLS][POLICIES][3], online[POLICIES][3];
  uint64_t seed = stage->seed + k;
  WN_TRY(write_logs(stage, seed, err));
  for (size_t i = 0; i < PROTOCOLS; i++) WN_TRY(evaluate(stage, logs[i], offline[i], err));
  WN_TRY(serve_all(stage, seed, online, err));
  for (size_t i = 0; i < PROTOCOLS; i++) {
    if (k == 0) draw(stage, names[i], offline[i], online);
    out->rank[i][k] = rank_correlation(offline[i], online);
    out->lost[i][k] = lost(offline[i], online);
  }
  out->gain[k] = out->rank[UNBIASED][k] - out->rank[NAIVE][k];
  out->saved[k] = out->lost[NAIVE][k] - out->lost[UNBIASED][k];
cleanup:
  return status;
}

static void conclude(wn_stage *stage, const results *r, size_t seeds) {
  wn_spread rank[PROTOCOLS], waste[PROTOCOLS], gain = wn_spread_of(r->gain, seeds);
  wn_spread saved = wn_spread_of(r->saved, seeds);
  char what[96];
  for (size_t i = 0; i < PROTOCOLS; i++) {
    rank[i] = wn_spread_of(r->rank[i], seeds);
    waste[i] = wn_spread_of(r->lost[i], seeds);
    snprintf(what, sizeof what, "%s: rank correlation with the truth", names[i]);
    wn_stage_spread(stage, what, &rank[i]);
    snprintf(what, sizeof what, "%s: lost by taking its best", names[i]);
    wn_stage_spread(stage, what, &waste[i]);
  }
  if (stage->small) {
    wn_stage_at_most(stage, "what is lost is a chance", waste[UNBIASED].mean, 1);
    return;
  }
  wn_stage_at_least(stage, "unbiased: correlation with the truth, low end", rank[UNBIASED].low, 0);
  wn_stage_at_least(stage, "unbiased against naive: correlation, low end", gain.low, 0);
  wn_stage_at_least(stage, "naive: chances lost by taking its best, low end", waste[NAIVE].low, 0);
  wn_stage_at_least(stage, "unbiased against naive: of these saved, low end", saved.low, 0);
}

wn_status wn_scenario_protocol(wn_stage *stage, wn_error *err) {
  wn_status status = WN_OK;
  results r;
  size_t seeds = stage->small ? 1 : SEEDS;
  for (size_t k = 0; k < seeds; k++) WN_TRY(play_world(stage, k, &r, err));
  stage->title = "Policies offline, by two protocols, against the truth";
  stage->x_label = "Recall@10";
  stage->y_label = "chance of a click";
  conclude(stage, &r, seeds);
cleanup:
  return status;
}
