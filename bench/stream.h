/* What the benchmarks of models that learn from events share: a file's events in time order, the
 * last item of each user held out; a fit, event-by-event learning and both by halves, with the
 * quality of each (full ranking, the user's other items masked). One thread updates. */
#ifndef WN_BENCH_STREAM_H
#define WN_BENCH_STREAM_H

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/reader.h"
#include "model/train.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define LIST 10

typedef struct bench {
  const wn_model_class *cls;
  size_t (*bytes)(const wn_model *model); /* heap memory that events may grow */
  void (*settle)(wn_model *model);        /* makes good what learning left for later; may be NULL */
  wn_signals signals;
  wn_params params;
  wn_pool *pool;
  wn_event *train;
  size_t train_len;
  wn_item_ix *last; /* [users] the held-out item */
  wn_dataset all;   /* of `train` */
} bench;

static void check(wn_status status, const wn_error *err) {
  char text[768];
  if (status == WN_OK) return;
  fprintf(stderr, "%s: %s\n", program_invocation_short_name,
          wn_error_format(err, text, sizeof text));
  exit(1);
}

static void need(const void *p) {
  if (p != NULL) return;
  fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
  exit(1);
}

/* Of all threads: what else runs on the machine does not count. */
static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double seconds_since(uint64_t begin) {
  return (double)(wn_mono_ns() - begin) / 1e9;
}

static int by_time(const void *a, const void *b) {
  const wn_event *x = a, *y = b;
  if (x->time_ms != y->time_ms) return x->time_ms < y->time_ms ? -1 : 1;
  return x->user < y->user ? -1 : x->user > y->user;
}

/* Places within a row become times; a basket has one. */
static void load(bench *b, const char *path, const char *format) {
  bool baskets = strcmp(format, "baskets") == 0;
  bool adjacency = baskets || strcmp(format, "adjacency") == 0;
  wn_error err = {0};
  wn_dataset data;
  wn_dataset_builder *builder = wn_dataset_builder_create(&b->signals);
  need(builder);
  check(adjacency ? wn_read_adjacency(path, builder, &err) : wn_read_sequence(path, builder, &err),
        &err);
  check(wn_dataset_build(builder, 0, 0, 0, &data, &err), &err);
  wn_dataset_builder_free(builder);
  const wn_csr *rows = &data.by_user;
  need(b->train = wn_calloc((size_t)rows->nnz + 1, sizeof *b->train));
  need(b->last = wn_calloc((size_t)data.users + 1, sizeof *b->last));
  for (uint32_t u = 0; u < data.users; u++) {
    uint64_t begin = rows->row_ptr[u], end = rows->row_ptr[u + 1];
    b->last[u] = end - begin > 1 ? rows->col[end - 1] : WN_NO_IX;
    for (uint64_t i = begin; i + 1 < end; i++) {
      b->train[b->train_len++] = (wn_event){.user = u,
                                            .item = rows->col[i],
                                            .type = WN_NO_IX,
                                            .value = (float)NAN,
                                            .time_ms = baskets ? 1 : 1 + (int64_t)(i - begin)};
    }
  }
  qsort(b->train, b->train_len, sizeof *b->train, by_time);
  for (size_t i = 0; i < b->train_len; i++) b->train[i].seq = i + 1;
  check(wn_dataset_build_events((wn_event_list){b->train, b->train_len}, &b->signals, data.users,
                                data.items, &b->all, &err),
        &err);
  wn_dataset_clear(&data);
}

static wn_model *fit(const bench *b, const wn_dataset *data) {
  wn_error err = {0};
  wn_model *model = NULL;
  wn_fit_env env = {.pool = b->pool, .seed = 1};
  check(b->cls->fit(data, &b->params, &env, &model, &err), &err);
  return model;
}

static void learn(const bench *b, wn_model *model, size_t from) {
  double begin = cpu_seconds();
  for (size_t i = from; i < b->train_len; i++) model->cls->update(model, &b->train[i], 1);
  double seconds = cpu_seconds() - begin;
  size_t n = b->train_len - from;
  printf("  %zu updates in %.2f s of CPU: %.0f events/s on one core, %.2f us each; %.1f MiB\n", n,
         seconds, (double)n / seconds, seconds * 1e6 / (double)n,
         (double)b->bytes(model) / 1048576);
}

static void measure_with(const bench *b, const wn_model *model, const char *label) {
  wn_error err = {0};
  wn_arena arena;
  wn_bitset allowed;
  double hits = 0, dcg = 0, users = 0;
  const wn_csr *rows = &b->all.by_user;
  wn_arena_init(&arena, (size_t)64 << 20);
  if (!wn_bitset_init(&allowed, b->all.items)) need(NULL);
  uint64_t begin = wn_mono_ns();
  for (uint32_t u = 0; u < b->all.users; u++) {
    wn_history_entry history[WN_HISTORY_MAX];
    wn_scored list[LIST];
    size_t len = 0, count = 0;
    if (b->last[u] == WN_NO_IX) continue;
    wn_arena_reset(&arena);
    wn_bitset_fill(&allowed, true);
    for (uint64_t i = rows->row_ptr[u + 1]; i-- > rows->row_ptr[u];) {
      wn_bitset_unset(&allowed, rows->col[i]);
      if (len < WN_HISTORY_MAX)
        history[len++] = (wn_history_entry){rows->col[i], rows->weight[i], rows->time_ms[i]};
    }
    wn_query query = {.history = history,
                      .history_len = len,
                      .user = u,
                      .anchor = WN_NO_IX,
                      .allowed = &allowed,
                      .arena = &arena};
    check(model->cls->candidates(model, &query, LIST, list, &count, &err), &err);
    for (size_t r = 0; r < count; r++) {
      if (list[r].ix != b->last[u]) continue;
      hits++;
      dcg += 1 / log2((double)r + 2);
    }
    users++;
  }
  printf("  %srecall@%d %.4f ndcg@%d %.4f over %.0f users, %.0f us a query\n", label, LIST,
         hits / users, LIST, dcg / users, users, seconds_since(begin) * 1e6 / users);
  wn_arena_clear(&arena);
  wn_bitset_clear(&allowed);
}

static void measure(const bench *b, const wn_model *model) {
  measure_with(b, model, "");
}

/* Fitted on the first half, written with its users' histories, mapped, and the rest learnt. */
static void half_and_half(const bench *b) {
  wn_error err = {0};
  char path[64];
  size_t half = b->train_len / 2;
  wn_event_list first = {b->train, half};
  wn_dataset data;
  wn_snapshot_writer *writer = NULL;
  wn_snapshot *snapshot = NULL;
  snprintf(path, sizeof path, "/tmp/bench-%ld.wns", (long)getpid());
  check(wn_dataset_build_events(first, &b->signals, b->all.users, b->all.items, &data, &err), &err);
  wn_model *model = fit(b, &data);
  check(wn_snapshot_writer_create(path, &writer, &err), &err);
  check(model->cls->save(model, writer, &err), &err);
  check(wn_history_write(first, &b->signals, data.users, data.now_ms, writer, &err), &err);
  wn_snapshot_about about = {.number = 1, .users = data.users, .items = data.items};
  check(wn_snapshot_writer_finish(writer, &about, &err), &err);
  model->cls->free(model);
  check(wn_snapshot_open(path, &snapshot, &err), &err);
  unlink(path);
  check(b->cls->map(snapshot, &model, &err), &err);
  measure_with(b, model, "not learnt: ");
  learn(b, model, half);
  measure(b, model);
  if (b->settle != NULL) {
    b->settle(model);
    measure_with(b, model, "settled: ");
  }
  model->cls->free(model);
  wn_snapshot_unref(snapshot);
  wn_dataset_clear(&data);
}

/* ARGV: FILE [adjacency|sequence|baskets] [THREADS] [KEY=VALUE …] */
static void setup(bench *b, int argc, char **argv) {
  wn_error err = {0};
  struct utsname host;
  if (argc < 2 || (b->pool = wn_pool_create(argc > 3 ? atoi(argv[3]) : 1)) == NULL) {
    fprintf(stderr, "usage: %s FILE [adjacency|sequence|baskets] [THREADS] [KEY=VALUE ...]\n",
            program_invocation_short_name);
    exit(2);
  }
  wn_signals_defaults(&b->signals);
  wn_params_defaults(b->cls, &b->params);
  for (int i = 4; i < argc; i++) {
    char key[32] = "";
    const char *equals = strchr(argv[i], '=');
    if (equals != NULL) snprintf(key, sizeof key, "%.*s", (int)(equals - argv[i]), argv[i]);
    check(wn_params_set(b->cls, &b->params, key, equals != NULL ? equals + 1 : "", &err), &err);
  }
  uname(&host);
  printf("winnow " WINNOW_VERSION ", %s %s %s, %ld CPUs, compiler " __VERSION__ "\n", host.sysname,
         host.release, host.machine, sysconf(_SC_NPROCESSORS_ONLN));
  for (size_t i = 0; i < b->cls->params_len; i++)
    printf("%s=%g ", b->cls->params[i].name, b->params.value[i]);
  load(b, argv[1], argc > 2 ? argv[2] : "sequence");
  printf("\n%s: %zu events, %u users, %u items\n", argv[1], b->train_len, b->all.users,
         b->all.items);
}

static void batch(const bench *b) {
  double begin = cpu_seconds();
  wn_model *model = fit(b, &b->all);
  double seconds = cpu_seconds() - begin;
  printf("batch fit, %d thread(s): %.2f s of CPU, %.0f events/s on one core\n",
         wn_pool_threads(b->pool), seconds, (double)b->train_len / seconds);
  measure(b, model);
  model->cls->free(model);
}

static void teardown(bench *b) {
  wn_dataset_clear(&b->all);
  wn_free(b->train);
  wn_free(b->last);
  wn_pool_free(b->pool);
}

#endif
