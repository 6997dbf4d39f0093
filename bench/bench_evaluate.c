/* What evaluation costs beside the scores that it is made of.
 *
 *   bench_evaluate [TRAIN TEST] [THREADS]
 *   bench_evaluate --memory
 *
 * als (64 factors, one epoch: what it learns does not matter here) on adjacency files, or on a
 * random set of gowalla's size (29,858 users, 40,981 items, 27 items each). First the scores of
 * every item for every user alone (score_all), then the whole evaluation of that row: lists, all
 * metrics at five cutoffs, without and with the areas, which need all scores; intervals of 1,000
 * resamples, slices, tests. Wall time, and memory at its most.
 *
 * --memory: what the evaluation of popularity takes beside data and models (its peak less that of
 * one evaluated user), for that random set and one of four times the users, when 8,000 and when
 * 24,000 users are evaluated. Each in a process of its own. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/reader.h"
#include "lab/evaluate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USERS = 29858, ITEMS = 40981, EACH = 27, TESTED = 7 };

static void check(wn_status status, const wn_error *err) {
  char text[768];
  if (status == WN_OK) return;
  fprintf(stderr, "bench_evaluate: %s\n", wn_error_format(err, text, sizeof text));
  exit(1);
}

static void random_events(wn_dataset_builder *out, uint32_t users, int each, uint64_t seed) {
  wn_rng rng;
  wn_error err = {0};
  wn_rng_seed(&rng, seed);
  for (uint32_t u = 0; u < users; u++)
    for (int i = 0; i < each; i++) {
      double x = wn_rng_double(&rng);
      wn_event e = {u, (uint32_t)(ITEMS * x * x * x), UINT32_MAX, __builtin_nanf(""), 1, 0};
      check(wn_dataset_builder_add(out, &e, &err), &err);
    }
}

typedef struct scoring {
  const wn_model *model;
  const wn_dataset *data;
  float *scores[64];
  double sum[64]; /* so that nobody leaves the work out */
} scoring;

static void score_users(void *ctx, size_t begin, size_t end, int worker) {
  scoring *s = ctx;
  const wn_csr *m = &s->data->by_user;
  wn_arena arena;
  wn_error err = {0};
  wn_arena_init(&arena, (size_t)512 << 20);
  for (size_t u = begin; u < end; u++) {
    wn_arena_reset(&arena);
    size_t n = (size_t)(m->row_ptr[u + 1] - m->row_ptr[u]);
    wn_history_entry *h = wn_arena_alloc(&arena, (n + 1) * sizeof *h);
    for (size_t i = 0; h != NULL && i < n; i++)
      h[i] = (wn_history_entry){m->col[m->row_ptr[u] + i], m->weight[m->row_ptr[u] + i], 1};
    wn_query query = {.user = (uint32_t)u,
                      .anchor = WN_NO_IX,
                      .history = h,
                      .history_len = n,
                      .now_ms = s->data->now_ms,
                      .arena = &arena};
    check(s->model->cls->score_all(s->model, &query, s->scores[worker], s->data->items, &err),
          &err);
    s->sum[worker] += (double)s->scores[worker][u % s->data->items];
  }
  wn_arena_clear(&arena);
}

static double seconds_since(uint64_t start) {
  return (double)(wn_mono_ns() - start) * 1e-9;
}

/* Fits as evaluation does, then scores alone. */
static double score_alone(const wn_split *split, const wn_train_spec *spec, int threads) {
  wn_pool *pool = wn_pool_create(threads);
  const wn_fit_env env = {.pool = pool, .seed = 1};
  scoring s = {0};
  wn_dataset data;
  wn_model *model = NULL;
  wn_error err = {0};
  check(wn_dataset_build_events((wn_event_list){split->train, split->train_len}, NULL, split->users,
                                split->items, &data, &err),
        &err);
  check(wn_fit_one(&data, spec, &env, &model, &err), &err);
  s.model = model;
  s.data = &data;
  for (int t = 0; t < wn_pool_threads(pool); t++)
    s.scores[t] = wn_malloc((data.items + (size_t)1) * sizeof(float));
  uint64_t start = wn_mono_ns();
  wn_pool_run(pool, data.users, 16, score_users, &s);
  double seconds = seconds_since(start);
  for (int t = 0; t < wn_pool_threads(pool); t++) wn_free(s.scores[t]);
  model->cls->free(model);
  wn_dataset_clear(&data);
  wn_pool_free(pool);
  return seconds;
}

static double memory_mb(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (double)usage.ru_maxrss / 1024;
}

static void five_cutoffs(wn_evaluate_options *o) {
  const uint32_t cutoffs[] = {5, 10, 20, 50, 100};
  wn_evaluate_options_defaults(o);
  memcpy(o->cutoffs, cutoffs, sizeof cutoffs);
  o->cutoffs_len = 5;
}

static wn_event_list events_of(const wn_dataset_builder *b) {
  return (wn_event_list){wn_dataset_builder_events(b), wn_dataset_builder_count(b)};
}

/* The peak of one evaluation, MB; in a child, whose peak nothing else has raised. */
static double peak_of(uint32_t users, uint32_t evaluated) {
  int ends[2];
  double mb = 0;
  pid_t child;
  fflush(stdout);
  if (pipe(ends) != 0 || (child = fork()) < 0) exit(1);
  if (child == 0) {
    static wn_evaluation evaluation;
    static wn_signals signals;
    wn_evaluate_options o;
    wn_split split;
    wn_error err = {0};
    wn_signals_defaults(&signals);
    wn_dataset_builder *train = wn_dataset_builder_create(&signals),
                       *test = wn_dataset_builder_create(&signals);
    random_events(train, users, EACH, 1);
    random_events(test, users, TESTED, 2);
    check(wn_split_given(events_of(train), events_of(test), &signals, &split, &err), &err);
    five_cutoffs(&o);
    o.metrics = WN_METRICS_ALL & ~WN_METRICS_OF_SCORES;
    o.bootstrap = 100;
    o.users_max = evaluated;
    o.train.threads = 2;
    o.train.models_len = 1;
    o.train.models[0] = (wn_train_spec){.cls = &wn_model_popular};
    wn_params_defaults(&wn_model_popular, &o.train.models[0].params);
    check(wn_evaluate(&split, &signals, &o, &evaluation, &err), &err);
    mb = memory_mb();
    _exit(write(ends[1], &mb, sizeof mb) != sizeof mb);
  }
  close(ends[1]);
  if (read(ends[0], &mb, sizeof mb) != sizeof mb) exit(1);
  close(ends[0]);
  waitpid(child, NULL, 0);
  return mb;
}

static int memory(void) {
  printf("    users  evaluated  data and models  evaluation\n");
  for (uint32_t users = USERS; users <= 4 * USERS; users *= 4) {
    double data = peak_of(users, 1);
    const uint32_t evaluated[] = {8000, 24000};
    for (int i = 0; i < 2; i++)
      printf("%9" PRIu32 "  %9" PRIu32 "  %12.0f MB  %7.0f MB\n", users, evaluated[i], data,
             peak_of(users, evaluated[i]) - data);
  }
  return 0;
}

int main(int argc, char **argv) {
  static wn_evaluation evaluation;
  static wn_signals signals;
  wn_dataset_builder *sides[2];
  wn_evaluate_options o;
  wn_split split;
  wn_error err = {0};
  bool files = argc > 2;
  if (argc == 2 && strcmp(argv[1], "--memory") == 0) return memory();
  int threads = argc == 2 || argc == 4 ? atoi(argv[argc - 1]) : 2;
  if (threads < 1 || threads > 64) threads = 2;
  wn_signals_defaults(&signals);
  for (int side = 0; side < 2; side++) {
    sides[side] = wn_dataset_builder_create(&signals);
    if (files)
      check(wn_read_adjacency(argv[1 + side], sides[side], &err), &err);
    else
      random_events(sides[side], USERS, side == 0 ? EACH : TESTED, 1 + (uint64_t)side);
  }
  check(wn_split_given(events_of(sides[0]), events_of(sides[1]), &signals, &split, &err), &err);
  five_cutoffs(&o);
  o.train.threads = threads;
  o.train.models_len = 1;
  o.train.models[0] = (wn_train_spec){.cls = &wn_model_als};
  wn_params_defaults(&wn_model_als, &o.train.models[0].params);
  check(wn_params_set(&wn_model_als, &o.train.models[0].params, "epochs", "1", &err), &err);
  check(wn_params_set(&wn_model_als, &o.train.models[0].params, "factors", "64", &err), &err);
  double alone = score_alone(&split, &o.train.models[0], threads), before = memory_mb();
  printf("%" PRIu32 " users, %" PRIu32 " items, %d threads\n", split.users, split.items, threads);
  printf("scores alone                    %5.2f s\n", alone);
  for (int areas = 0; areas < 2; areas++) {
    o.metrics = areas ? WN_METRICS_ALL : WN_METRICS_ALL & ~WN_METRICS_OF_SCORES;
    check(wn_evaluate(&split, &signals, &o, &evaluation, &err), &err);
    const wn_model_result *row = &evaluation.rows[evaluation.rows_len - 1];
    double whole = row->rank_seconds + row->metric_seconds;
    printf(
        "evaluation of the row, %-8s %5.2f s (lists and values %.2f, intervals and the rest %.2f): "
        "%.2f x\n",
        areas ? "all" : "no areas", whole, row->rank_seconds, row->metric_seconds, whole / alone);
    wn_evaluation_clear(&evaluation);
  }
  printf("memory at most        %6.0f MB, %.0f before the evaluation\n", memory_mb(), before);
  wn_split_clear(&split);
  wn_dataset_builder_free(sides[0]);
  wn_dataset_builder_free(sides[1]);
  return 0;
}
