/* Local ridge: how fast it is fitted, how fast it learns event by event, what the dearest event
 * costs, and what both know.
 *
 *   bench_ridge FILE [adjacency|sequence] [THREADS] [seq] [KEY=VALUE …]      default: sequence 1
 *
 * With `seq` it is ridge-seq. The last item of each user is the question; all else is learnt, in
 * time order over all users: by a fit; and half by a fit and a snapshot, the rest one by one. "Not
 * learnt" is the half alone, "settled" the same with every item solved once more at the end. The
 * memory of the fit is compared with the formula in ridge_fit.c. */
#include "model/ridge_live.h"
#include "stream.h"

static size_t live_bytes(const wn_model *model) {
  const wn_ridge *m = (const wn_ridge *)model;
  return m->live != NULL ? wn_ridge_live_bytes(m->live) : 0;
}

static void settle(wn_model *model) {
  wn_ridge_live *v = ((wn_ridge *)model)->live;
  printf("  %llu solves, %u waiting\n", (unsigned long long)v->solves, wn_ridge_live_waiting(v));
  wn_ridge_live_settle(v);
}

/* Kilobytes of a line of /proc/self/status. */
static long status_kb(const char *key) {
  char line[256];
  long kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL)
    if (strncmp(line, key, strlen(key)) == 0) kb = atol(line + strlen(key) + 1);
  if (f != NULL) fclose(f);
  return kb;
}

static void memory(const bench *b) {
  wn_error err = {0};
  wn_ridge_rows rows;
  wn_ridge *m = (wn_ridge *)fit(b, &b->all);
  check(wn_ridge_rows_build(&b->all, &m->head.rule, &rows, &err), &err);
  double bound = (double)wn_ridge_fit_bytes(&rows, m->head.k, (size_t)wn_pool_threads(b->pool));
  wn_ridge_rows_clear(&rows);
  m->base.cls->free(&m->base);
  FILE *f = fopen("/proc/self/clear_refs", "w"); /* 5: the peak starts anew */
  if (f == NULL || fputs("5", f) < 0 || fclose(f) != 0) return;
  long before = status_kb("VmRSS");
  m = (wn_ridge *)fit(b, &b->all);
  double grown = (double)(status_kb("VmHWM") - before) / 1024;
  m->base.cls->free(&m->base);
  printf("memory of the fit: %.1f MiB, formula %.1f MiB: %s\n", grown, bound / 1048576,
         grown <= bound / 1048576 ? "within" : "BEYOND");
}

int main(int argc, char **argv) {
  bool seq = argc > 4 && strcmp(argv[4], "seq") == 0;
  bench b = {
      .cls = seq ? &wn_model_ridge_seq : &wn_model_ridge, .bytes = live_bytes, .settle = settle};
  for (int i = 4; seq && i < argc; i++) argv[i] = argv[i + 1];
  setup(&b, argc - seq, argv);
  batch(&b);
  memory(&b);
  printf("half fitted, the rest event by event\n");
  half_and_half(&b);
  teardown(&b);
  return 0;
}
