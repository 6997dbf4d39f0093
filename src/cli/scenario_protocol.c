/* protocol: eight policies, ranked offline by two protocols and online by the truth. All models
 * learn from the same past (random slates). The site then logs clicks under its production policy,
 * most popular first, and from a slice of users whose slates are random. `winnow evaluate` ranks
 * the models by Recall@10 on either log: clicks of production (naive: what was not shown could not
 * be clicked) and of the random slice (unbiased: every item had the same chance; Recall@10 is then
 * proportional to the clicks that the ten would get). The truth: the same models serve an arm each
 * on a server of their own, and the world says how likely their slates are to be clicked. */
#include "cli/scenario.h"

#include "base/file.h"
#include "lab/scatter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define POLICIES 8
static const char *const policies[POLICIES] = {"random", "popular", "covisit",   "als",
                                               "ridge",  "ease",    "ridge-seq", "user-knn"};

static const char logging[] =
    "training: {every_hours: 0}\n"
    "surfaces: {home: {n: 10, retrieve: [{model: popular, quota: 100}], score: {normalise: "
    "minmax}, "
    "order: {diversity: none}}}\n"
    "experiments: {log: {arms: {production: {share: 0.5}, slice: {share: 0.5, surfaces: {home: "
    "{retrieve: [{model: random, quota: 100}]}}}}}}\n";

/* Files of `user item` lines. */
typedef struct files {
  FILE *train, *naive, *unbiased;
} files;

static void log_clicks(void *ctx, const wn_visit *v) {
  files *f = ctx;
  FILE *to = strcmp(v->arm, "slice") == 0 ? f->unbiased : f->naive;
  for (size_t k = 0; k < v->len; k++)
    if (v->browsed[k].clicked) fprintf(to, "%u %u\n", v->visitor.user, v->items[k]);
}

static void site_of(const wn_stage *stage, wn_site_options *how) {
  wn_site_options_defaults(how);
  how->world.users = stage->small ? 80 : 1000;
  how->world.items = stage->small ? 50 : 150;
  how->world.once = true;
  how->world.bait_pull = 0.7;
  how->world.seed = stage->seed;
  how->visits_a_day = stage->small ? 60 : 1500;
  how->start_ms = WN_STAGE_START_MS;
}

/* The past, as every server of this world gets it. */
static wn_status begin(wn_stage *stage, const char *config, const char *experiment,
                       wn_stage_server *server, wn_site *site, wn_error *err) {
  wn_status status = WN_OK;
  wn_site_options how;
  site_of(stage, &how);
  how.experiment = experiment;
  WN_TRY(wn_stage_serve(stage, config, server, err));
  how.url = server->url;
  WN_TRY(wn_site_create(&how, site, err));
  WN_TRY(wn_site_history(site, stage->small ? 400 : 8000, err));
  WN_TRY(wn_stage_train(server, site, err));
cleanup:
  return status;
}

static void path_of(const wn_stage *stage, const char *name, char path[600]) {
  snprintf(path, 600, "%.500s/%s", stage->scratch, name);
}

/* What each user had taken when the servers began: the train part. */
static void write_past(const wn_site *site, FILE *to) {
  for (uint32_t u = 0; u < site->world.options.users; u++)
    for (uint32_t i = 0; i < site->world.options.items; i++)
      if (wn_bitset_test(&site->crowd.taken[u], i)) fprintf(to, "%u %u\n", u, i);
}

static wn_status write_logs(wn_stage *stage, wn_error *err) {
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
  files f = {file[0], file[1], file[2]};
  WN_TRY(begin(stage, logging, "log", &server, &site, err));
  write_past(&site, f.train);
  WN_TRY(wn_stage_visits(stage, &site, stage->small ? 3 : 6, log_clicks, &f, err));
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
  const char *args[14 + 2 * POLICIES] = {"winnow", "evaluate",  "--train", train, "--test",
                                         path,     "--format",  "pairs",   "--k", "10",
                                         "--json", "--threads", "1"};
  size_t n = 13;
  for (size_t p = 2; p < POLICIES; p++) args[n++] = "--model", args[n++] = policies[p];
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

static wn_status serve_all(wn_stage *stage, double out[POLICIES][3], wn_error *err) {
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
  WN_TRY(begin(stage, config.data, "truth", &server, &site, err));
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

static wn_status correlate(wn_stage *stage, const char *name, double offline[POLICIES][3],
                           double online[POLICIES][3], wn_scatter *s, wn_error *err) {
  wn_status status = WN_OK;
  char what[96];
  wn_series *series = wn_stage_series(stage, name);
  *s = (wn_scatter){.offline = "recall@10", .online = "chance of a click"};
  series->dots = true;
  for (size_t p = 0; p < POLICIES; p++) {
    (void)wn_scatter_add(s, policies[p], offline[p], online[p]);
    wn_series_add(series, offline[p][1], online[p][1]);
    wn_series_interval(series, online[p][0], online[p][2]);
    snprintf(series->labels[p], sizeof series->labels[p], "%s", policies[p]);
  }
  WN_TRY(wn_scatter_conclude(s, stage->seed, err));
  const struct {
    const char *what;
    double value;
  } figures[] = {{"rank correlation with the truth", s->rank}, {"low", s->low}, {"high", s->high}};
  for (size_t f = 0; f < 3; f++) {
    snprintf(what, sizeof what, "%s: %s", name, figures[f].what);
    wn_stage_figure(stage, what, figures[f].value);
  }
cleanup:
  return status;
}

wn_status wn_scenario_protocol(wn_stage *stage, wn_error *err) {
  static wn_scatter naive, unbiased;
  wn_status status = WN_OK;
  double by_naive[POLICIES][3], by_unbiased[POLICIES][3], online[POLICIES][3];
  WN_TRY(write_logs(stage, err));
  WN_TRY(evaluate(stage, "naive", by_naive, err));
  WN_TRY(evaluate(stage, "unbiased", by_unbiased, err));
  WN_TRY(serve_all(stage, online, err));
  WN_TRY(correlate(stage, "clicks of the random slice (unbiased)", by_unbiased, online, &unbiased,
                   err));
  WN_TRY(correlate(stage, "clicks of production (naive)", by_naive, online, &naive, err));
  stage->title = "Policies offline, by two protocols, against the truth";
  stage->x_label = "Recall@10";
  stage->y_label = "chance of a click";
  if (stage->small) {
    wn_stage_at_least(stage, "policies with both", (double)unbiased.both, POLICIES);
    return WN_OK;
  }
  wn_stage_at_least(stage, "unbiased: lower end of the correlation's interval", unbiased.low, 0);
  wn_stage_at_most(stage, "naive: lower end of the correlation's interval", naive.low, 0);
  wn_stage_at_least(stage, "unbiased against naive, correlation", unbiased.rank - naive.rank, 0.1);
cleanup:
  return status;
}
