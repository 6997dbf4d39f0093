/* The funnel alone: slates of a data directory's users in this process, one after the other,
 * without HTTP and without a log.
 *
 *   bench_funnel DATA USERS_FILE [SECONDS (10)] [SURFACE (bench)]
 *
 * Before it counts, every user is asked once, and the hash of all answers (items and scores)
 * printed: builds that give the same answers print the same, for the clock stands still. Then wall
 * time of a slate (p50, p99), CPU time and page faults of the thread, and each stage's mean.
 * Compare alternating runs. */
#include "base/clock.h"
#include "base/file.h"
#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"
#include "serve/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define NOW_MS INT64_C(1800000000000)

typedef struct bench {
  wn_engine *engine;
  wn_str surface;
  wn_buf text;
  WN_VEC(wn_str) users;
  WN_VEC(uint32_t) took_ns;
  wn_arena arena;
  uint64_t hash, ns[WN_STAGES];
  double candidates;
} bench;

static wn_status read_users(bench *b, const char *path, wn_error *err) {
  wn_status status = wn_read_file(path, (size_t)64 << 20, &b->text, err);
  for (size_t at = 0, end; status == WN_OK && at < b->text.len; at = end + 1) {
    for (end = at; end < b->text.len && b->text.data[end] != '\n';) end++;
    wn_str user = {b->text.data + at, end - at};
    if (user.len > 0 && !wn_vec_push(&b->users, user)) return wn_fail_memory(err);
  }
  return status;
}

static wn_status ask(bench *b, wn_str user, wn_error *err) {
  wn_slate_request request = {.surface = b->surface, .user = user};
  wn_slate_answer answer;
  uint64_t start = wn_mono_ns();
  wn_status status = wn_engine_slate(b->engine, &request, &b->arena, &answer, err);
  if (status != WN_OK) return status;
  if (!wn_vec_push(&b->took_ns, (uint32_t)(wn_mono_ns() - start))) return wn_fail_memory(err);
  for (size_t i = 0; i < answer.len; i++) {
    b->hash = wn_hash64(&answer.items[i].ix, sizeof answer.items[i].ix, b->hash);
    b->hash = wn_hash64(&answer.items[i].score, sizeof answer.items[i].score, b->hash);
  }
  for (int s = 0; s < WN_STAGES; s++) b->ns[s] += answer.stages.ns[s];
  b->candidates += answer.stages.out[WN_STAGE_RETRIEVE];
  wn_arena_reset(&b->arena);
  return WN_OK;
}

static double cpu_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static long faults(void) {
  struct rusage usage;
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

static int ascending(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return (a > b) - (a < b);
}

static void report(bench *b, double cpu, long faulted) {
  static const char *const names[WN_STAGES] = {"retrieve", "filter", "score",
                                               "order",    "light",  "heavy"};
  size_t n = b->took_ns.len;
  double slates = (double)n;
  qsort(b->took_ns.data, n, sizeof *b->took_ns.data, ascending);
  printf("%zu slates: p50 %.0f us, p99 %.0f us, cpu %.1f us, %.1f faults, %.0f candidates;", n,
         b->took_ns.data[n / 2] / 1e3, b->took_ns.data[n - 1 - n / 100] / 1e3, 1e6 * cpu / slates,
         (double)faulted / slates, b->candidates / slates);
  for (int s = 0; s < WN_STAGES; s++) printf(" %s %.1f", names[s], (double)b->ns[s] / 1e3 / slates);
  printf("\n");
}

static wn_status run(bench *b, double seconds, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t i = 0; i < b->users.len; i++) WN_TRY(ask(b, b->users.data[i], err));
  printf("answers %016llx\n", (unsigned long long)b->hash);
  b->took_ns.len = 0;
  b->candidates = 0;
  memset(b->ns, 0, sizeof b->ns);
  uint64_t start = wn_mono_ns();
  double cpu = cpu_s();
  long faulted = faults();
  for (size_t i = 0; (double)(wn_mono_ns() - start) < seconds * 1e9; i++)
    WN_TRY(ask(b, b->users.data[i % b->users.len], err));
  report(b, cpu_s() - cpu, faults() - faulted);
cleanup:
  return status;
}

int main(int argc, char **argv) {
  bench b = {.surface = wn_str_of(argc > 4 ? argv[4] : "bench")};
  wn_config config;
  wn_error err = {0};
  wn_status status;
  char path[4096], text[900];
  bool swapped;
  if (argc < 3) {
    fprintf(stderr, "bench_funnel DATA USERS_FILE [SECONDS] [SURFACE]\n");
    return 2;
  }
  wn_arena_init(&b.arena, (size_t)256 << 20);
  wn_clock_set(NOW_MS);
  snprintf(path, sizeof path, "%s/winnow.yaml", argv[1]);
  WN_TRY(read_users(&b, argv[2], &err));
  WN_TRY(wn_config_load(path, &config, &err));
  WN_TRY(wn_engine_open(argv[1], WN_STORE_WRITE, &config, NULL, &b.engine, &err));
  WN_TRY(wn_engine_refresh(b.engine, &swapped, &err)); /* opens the index */
  WN_TRY(run(&b, argc > 3 ? atof(argv[3]) : 10, &err));
cleanup:
  if (status != WN_OK)
    fprintf(stderr, "bench_funnel: %s\n", wn_error_format(&err, text, sizeof text));
  if (b.engine != NULL) wn_engine_close(b.engine);
  wn_arena_clear(&b.arena);
  wn_vec_clear(&b.users);
  wn_vec_clear(&b.took_ns);
  wn_buf_clear(&b.text);
  return status == WN_OK ? 0 : 1;
}
