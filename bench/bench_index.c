/* The index on vectors from files: build, recall and rate at each level, filters, batches, updates.
 *
 *   bench_index ROWS QUERIES [KEY=VALUE …]
 *
 * Files are .npy (float32, two dimensions, C order) or .fvecs. Keys: metric (ip), k (100), lists
 * (auto), recall (.99), train (a file of queries to measure on; default: rows), threads of the
 * build (2), queries (1000), filters (0/1; share: one of them), batch (so many runs of 32 at once,
 * 0), repeat (more runs of the others, 0), upserts (a second, 0), copy (the rows into the index,
 * 1), save and open (a file). One thread searches; QPS is by its CPU time. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/scan.h"
#include "base/file.h"
#include "index/index.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

typedef struct settings {
  wn_metric metric;
  uint32_t k, lists, threads, queries, filters, batch, upserts, compact, copy;
  uint32_t repeat;
  double recall, only, share;
  const char *train, *save, *open;
} settings;

typedef struct bench {
  settings set;
  wn_vectors rows, queries;
  wn_index *index;
  wn_scored *truth; /* [queries · k] */
  wn_arena arena;
} bench;

static void check(wn_status status, const wn_error *err) {
  char text[768];
  if (status == WN_OK) return;
  fprintf(stderr, "bench_index: %s\n", wn_error_format(err, text, sizeof text));
  exit(1);
}

static void die(const char *path, const char *why) {
  fprintf(stderr, "bench_index: %s: %s\n", path, why);
  exit(1);
}

static void *need(size_t bytes) {
  void *p = wn_malloc(bytes);
  if (p == NULL) die("memory", "not enough");
  return p;
}

/* Of this thread: what else runs on the machine does not count. */
static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double process_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of the process, without files that it maps. */
static double own_megabytes(void) {
  char line[128];
  double kb = 0;
  FILE *f = fopen("/proc/self/status", "r");
  malloc_trim(0);
  while (f != NULL && fgets(line, sizeof line, f) != NULL) {
    if (sscanf(line, "RssAnon: %lf", &kb) == 1) break;
  }
  if (f != NULL) fclose(f);
  return kb * 1024 / 1e6;
}

static wn_vectors load_npy(const char *path, const wn_mapping *file) {
  char header[512] = "";
  if (file->size < 128 || memcmp(file->data, "\x93NUMPY\x01\x00", 8) != 0)
    die(path, "not .npy 1.0");
  size_t len = file->data[8] + 256u * file->data[9];
  if (len >= sizeof header || 10 + len > file->size) die(path, "header too long");
  memcpy(header, file->data + 10, len);
  const char *shape = strstr(header, "'shape': (");
  unsigned long count, dims;
  if (strstr(header, "'<f4'") == NULL || strstr(header, "False") == NULL || shape == NULL ||
      sscanf(shape, "'shape': (%lu, %lu)", &count, &dims) != 2 ||
      (file->size - 10 - len) / 4 < count * dims) {
    die(path, "not a float32 matrix");
  }
  return (wn_vectors){(const float *)(const void *)(file->data + 10 + len), (uint32_t)count,
                      (uint32_t)dims};
}

static wn_vectors load_fvecs(const char *path, const wn_mapping *file) {
  uint32_t dims;
  if (file->size < 4) die(path, "empty");
  memcpy(&dims, file->data, 4);
  if (dims == 0 || dims > WN_INDEX_DIMS_MAX) die(path, "not .fvecs");
  size_t step = 4 + 4 * (size_t)dims, count = file->size / step;
  float *data = need(count * dims * sizeof *data);
  for (size_t i = 0; i < count; i++) memcpy(data + i * dims, file->data + i * step + 4, step - 4);
  return (wn_vectors){data, (uint32_t)count, dims};
}

static wn_vectors load(const char *path) {
  wn_error err = {0};
  wn_mapping file;
  check(wn_map_file(path, &file, &err), &err);
  const char *end = strrchr(path, '.');
  return end != NULL && strcmp(end, ".fvecs") == 0 ? load_fvecs(path, &file)
                                                   : load_npy(path, &file);
}

static const float *query_at(const bench *b, uint32_t i) {
  return b->queries.data + (size_t)i * b->queries.dims;
}

static size_t search(bench *b, uint32_t i, double recall, const wn_bitset *allowed, wn_scored *out,
                     wn_index_trace *trace) {
  wn_error err = {0};
  wn_index_answer answer = {.items = out};
  wn_index_query query = {
      .vector = query_at(b, i), .k = b->set.k, .allowed = allowed, .recall = recall};
  wn_arena_reset(&b->arena);
  check(wn_index_search(b->index, &query, &b->arena, &answer, &err), &err);
  if (trace != NULL) *trace = answer.trace;
  return answer.count;
}

static int by_id(const void *x, const void *y) {
  uint32_t a = ((const wn_scored *)x)->ix, b = ((const wn_scored *)y)->ix;
  return a < b ? -1 : a > b;
}

static double share(const wn_scored *truth, wn_scored *got, size_t n, size_t k) {
  size_t hits = 0;
  qsort(got, n, sizeof *got, by_id);
  for (size_t i = 0; i < k; i++) hits += bsearch(&truth[i], got, n, sizeof *got, by_id) != NULL;
  return (double)hits / (double)k;
}

static int by_double(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return a < b ? -1 : a > b;
}

/* One line: recall, rate, latencies, work. */
static void measure(bench *b, const char *name, double recall, const wn_bitset *allowed,
                    const wn_scored *truth) {
  uint32_t n = b->set.queries, k = b->set.k;
  wn_scored *got = need((size_t)n * k * sizeof *got);
  double *took = need(n * sizeof *took), hits = 0, lanes = 0, rows = 0;
  size_t *counts = need(n * sizeof *counts);
  wn_index_trace trace = {0};
  double begin = cpu_seconds();
  for (uint32_t i = 0; i < n; i++) {
    uint64_t at = wn_mono_ns();
    counts[i] = search(b, i, recall, allowed, got + (size_t)i * k, &trace);
    took[i] = (double)(wn_mono_ns() - at) / 1e3;
    lanes += (double)trace.lanes_scanned / n;
    rows += (double)trace.rows_scored / n;
  }
  double spent = cpu_seconds() - begin;
  for (uint32_t i = 0; i < n; i++) {
    hits += share(truth + (size_t)i * k, got + (size_t)i * k, counts[i], k);
  }
  qsort(took, n, sizeof *took, by_double);
  printf("%-18s recall %.4f  QPS %8.0f  p50 %7.1f us  p99 %7.1f us  lanes %8.0f  rows %6.0f  plan "
         "%d\n",
         name, hits / n, n / spent, took[n / 2], took[n * 99 / 100], lanes, rows, (int)trace.plan);
  fflush(stdout);
  wn_free(got);
  wn_free(took);
  wn_free(counts);
}

/* By the exact twin where it is quick, else by exact search, which a test holds against it. */
static void find_truth(bench *b, const wn_bitset *allowed, wn_scored *truth) {
  uint32_t k = b->set.k;
  for (uint32_t i = 0; i < b->set.queries; i++) {
    size_t n = search(b, i, 1, allowed, truth + (size_t)i * k, NULL);
    if (n < k) die("filter", "leaves less than k");
    if (i < 20) {
      wn_error err = {0};
      wn_scored *twin = need(k * sizeof *twin);
      wn_index_answer answer = {.items = twin};
      wn_index_query query = {.vector = query_at(b, i), .k = k, .allowed = allowed};
      check(wn_index_search_twin(b->index, &query, &b->arena, &answer, &err), &err);
      if (answer.count != n || memcmp(twin, truth + (size_t)i * k, k * sizeof *twin) != 0) {
        die("exact search", "differs from its twin");
      }
      wn_free(twin);
    }
    qsort(truth + (size_t)i * k, k, sizeof *truth, by_id);
  }
}

static void bench_filters(bench *b) {
  static const double shares[] = {.5, .1, .01, .001};
  wn_rng rng;
  wn_rng_seed(&rng, 9);
  for (int correlated = 0; correlated < 2; correlated++) {
    for (size_t s = 0; s < 4; s++) {
      if (b->set.share > 0 && shares[s] != b->set.share) continue;
      char name[64];
      wn_bitset allowed;
      if (!wn_bitset_init(&allowed, b->rows.count)) die("memory", "not enough");
      if (correlated) { /* the rows on one side of a random plane */
        float *x = need(b->rows.dims * sizeof *x), *side = need(b->rows.count * sizeof *side);
        double *sorted = need(b->rows.count * sizeof *sorted);
        for (uint32_t j = 0; j < b->rows.dims; j++) x[j] = (float)wn_rng_normal(&rng);
        for (uint32_t i = 0; i < b->rows.count; i++) {
          double dot = 0, norm = 0;
          for (uint32_t j = 0; j < b->rows.dims; j++) {
            double v = (double)b->rows.data[(size_t)i * b->rows.dims + j];
            dot += v * (double)x[j];
            norm += v * v;
          }
          sorted[i] = side[i] = (float)(dot / sqrt(norm + 1e-30));
        }
        qsort(sorted, b->rows.count, sizeof *sorted, by_double);
        double least = sorted[(size_t)((1 - shares[s]) * b->rows.count)];
        for (uint32_t i = 0; i < b->rows.count; i++) {
          if ((double)side[i] >= least) wn_bitset_set(&allowed, i);
        }
        wn_free(x);
        wn_free(side);
        wn_free(sorted);
      } else {
        for (uint32_t i = 0; i < b->rows.count; i++) {
          if (wn_rng_double(&rng) < shares[s]) wn_bitset_set(&allowed, i);
        }
      }
      snprintf(name, sizeof name, "%g%% %s", shares[s] * 100, correlated ? "correlated" : "random");
      if (wn_bitset_count(&allowed) >= b->set.k) {
        find_truth(b, &allowed, b->truth);
        for (uint32_t r = 0; r <= b->set.repeat; r++) measure(b, name, 0, &allowed, b->truth);
      }
      wn_bitset_clear(&allowed);
    }
  }
}

static void bench_batch(bench *b, double recall, uint32_t size) {
  uint32_t n = b->set.queries / size * size, k = b->set.k;
  wn_error err = {0};
  wn_scored *out = need((size_t)n * k * sizeof *out);
  uint32_t *counts = need(n * sizeof *counts);
  double hits = 0, begin = cpu_seconds();
  for (uint32_t i = 0; i < n; i += size) {
    wn_index_batch batch = {query_at(b, i), size, {.k = k, .recall = recall}};
    wn_arena_reset(&b->arena);
    check(wn_index_search_many(b->index, &batch, &b->arena, out + (size_t)i * k, counts + i, &err),
          &err);
  }
  double spent = cpu_seconds() - begin;
  for (uint32_t i = 0; i < n; i++) {
    hits += share(b->truth + (size_t)i * k, out + (size_t)i * k, counts[i], k);
  }
  printf("batch of %-4u %.4g  recall %.4f  QPS %8.0f\n", size, recall, hits / n, n / spent);
  wn_free(out);
  wn_free(counts);
}

typedef struct writer {
  bench *b;
  atomic_bool stop;
  uint64_t done, merges;
  double worst_us;
} writer;

static void *write_rows(void *arg) {
  writer *w = arg;
  wn_rng rng;
  wn_error err = {0};
  wn_rng_seed(&rng, 11);
  uint64_t begin = wn_mono_ns();
  while (!atomic_load(&w->stop)) {
    uint64_t due = (wn_mono_ns() - begin) / 1000 * w->b->set.upserts / 1000000;
    for (; w->done < due; w->done++) {
      uint32_t id = (uint32_t)wn_rng_below(&rng, w->b->rows.count);
      uint64_t at = wn_mono_ns();
      check(wn_index_upsert(w->b->index, id, w->b->rows.data + (size_t)id * w->b->rows.dims, &err),
            &err);
      double us = (double)(wn_mono_ns() - at) / 1e3;
      if (us > w->worst_us) w->worst_us = us;
    }
    usleep(1000);
  }
  return NULL;
}

static void *merge_rows(void *arg) {
  writer *w = arg;
  wn_error err = {0};
  while (!atomic_load(&w->stop)) {
    if (wn_index_wants_compact(w->b->index)) {
      check(wn_index_compact(w->b->index, NULL, &err), &err);
      w->merges++;
    }
    usleep(20000);
  }
  return NULL;
}

static void bench_upserts(bench *b) {
  writer w = {.b = b};
  pthread_t writing, merging;
  uint64_t begin = wn_mono_ns();
  if (pthread_create(&writing, NULL, write_rows, &w) != 0 ||
      pthread_create(&merging, NULL, merge_rows, &w) != 0) {
    die("thread", "cannot start");
  }
  while (wn_mono_ns() - begin < UINT64_C(8000000000))
    measure(b, "under upserts", 0, NULL, b->truth);
  atomic_store(&w.stop, true);
  pthread_join(writing, NULL);
  pthread_join(merging, NULL);
  printf("%llu upserts, %llu merges, slowest upsert %.0f us\n", (unsigned long long)w.done,
         (unsigned long long)w.merges, w.worst_us);
}

static void bench_files(bench *b) {
  wn_error err = {0};
  wn_index *opened;
  check(wn_index_save(b->index, b->set.save, &err), &err);
  for (int i = 0; i < 3; i++) {
    uint64_t at = wn_mono_ns();
    check(wn_index_open(b->set.save, &opened, &err), &err);
    double open_ms = (double)(wn_mono_ns() - at) / 1e6;
    wn_index_free(opened);
    at = wn_mono_ns();
    check(wn_index_verify_file(b->set.save, &err), &err);
    printf("open %.2f ms, verify %.0f ms\n", open_ms, (double)(wn_mono_ns() - at) / 1e6);
  }
}

static void bandwidth(const bench *b) {
  size_t words = (size_t)b->rows.count * b->rows.dims / 8;
  const uint64_t *p = (const uint64_t *)(const void *)b->rows.data;
  double begin = cpu_seconds();
  volatile size_t sink = 0;
  for (int i = 0; i < 20; i++) sink += wn_scan()->count_bits(p, words);
  printf("reading %zu MB of the rows again and again: %.1f GB/s\n", words * 8 >> 20,
         20.0 * (double)words * 8 / (cpu_seconds() - begin) / 1e9);
}

static void parse(settings *set, const char *arg) {
  double value = strchr(arg, '=') != NULL ? atof(strchr(arg, '=') + 1) : 0;
  uint32_t n = (uint32_t)value;
  if (strncmp(arg, "metric=", 7) == 0) {
    if (!wn_metric_parse(arg + 7, &set->metric)) die(arg, "unknown metric");
  } else if (strncmp(arg, "k=", 2) == 0)
    set->k = n;
  else if (strncmp(arg, "lists=", 6) == 0)
    set->lists = n;
  else if (strncmp(arg, "recall=", 7) == 0)
    set->recall = value;
  else if (strncmp(arg, "train=", 6) == 0)
    set->train = arg + 6;
  else if (strncmp(arg, "save=", 5) == 0)
    set->save = arg + 5;
  else if (strncmp(arg, "only=", 5) == 0)
    set->only = value;
  else if (strncmp(arg, "share=", 6) == 0)
    set->share = value;
  else if (strncmp(arg, "compact=", 8) == 0)
    set->compact = n;
  else if (strncmp(arg, "copy=", 5) == 0)
    set->copy = n;
  else if (strncmp(arg, "repeat=", 7) == 0)
    set->repeat = n;
  else if (strncmp(arg, "open=", 5) == 0)
    set->open = arg + 5;
  else if (strncmp(arg, "threads=", 8) == 0)
    set->threads = n;
  else if (strncmp(arg, "queries=", 8) == 0)
    set->queries = n;
  else if (strncmp(arg, "filters=", 8) == 0)
    set->filters = n;
  else if (strncmp(arg, "batch=", 6) == 0)
    set->batch = n;
  else if (strncmp(arg, "upserts=", 8) == 0)
    set->upserts = n;
  else
    die(arg, "unknown setting");
}

static void build(bench *b) {
  wn_error err = {0};
  wn_index_options options;
  wn_index_about about;
  wn_index_options_defaults(&options);
  options.metric = b->set.metric;
  options.lists = b->set.lists;
  options.recall = b->set.recall;
  options.k = b->set.k;
  options.copy = b->set.copy > 0; /* into huge pages, as an index that is served has them */
  if (b->set.train != NULL) options.queries = load(b->set.train);
  double before = own_megabytes();
  options.pool = wn_pool_create((int)b->set.threads);
  uint64_t at = wn_mono_ns();
  double cpu = process_seconds();
  check(wn_index_build(&b->rows, &options, &b->index, &err), &err);
  wn_index_about_of(b->index, &about);
  printf("build %.2f s (%.2f s of CPU), %u lists, codes of %u, %.1f MB + %.1f MB of rows, kernels "
         "%s\n",
         (double)(wn_mono_ns() - at) / 1e9, process_seconds() - cpu, about.lists, about.coded,
         (double)about.bytes / 1e6, (double)about.row_bytes / 1e6, wn_scan()->name);
  wn_pool_free(options.pool);
  printf("process: %.1f MB more than before\n", own_megabytes() - before);
  for (int i = 0; i < WN_INDEX_LEVELS; i++) {
    printf("  level %.3f: achieved %.4f, %.0f lanes\n", about.levels[i].recall,
           about.levels[i].achieved, about.levels[i].lanes);
  }
}

int main(int argc, char **argv) {
  static const double levels[] = {.8, .9, .95, .98, .99, .999, .9999, 1};
  bench b = {.set = {.k = 100,
                     .lists = WN_INDEX_LISTS_AUTO,
                     .threads = 2,
                     .queries = 1000,
                     .copy = 1,
                     .recall = .99}};
  if (argc < 3) die("usage", "bench_index ROWS QUERIES [KEY=VALUE …]");
  for (int i = 3; i < argc; i++) parse(&b.set, argv[i]);
  b.rows = load(argv[1]);
  b.queries = load(argv[2]);
  if (b.queries.count < b.set.queries) b.set.queries = b.queries.count;
  wn_arena_init(&b.arena, SIZE_MAX / 2);
  b.truth = need((size_t)b.set.queries * b.set.k * sizeof *b.truth);
  printf("%s: %u x %u, %s, k %u\n", argv[1], b.rows.count, b.rows.dims,
         wn_metric_name(b.set.metric), b.set.k);
  if (b.set.open != NULL) {
    wn_error err = {0};
    check(wn_index_open(b.set.open, &b.index, &err), &err);
    if (b.set.compact > 0) {
      check(wn_index_upsert(b.index, 0, b.rows.data, &err), &err);
      check(wn_index_compact(b.index, NULL, &err), &err);
    }
  } else {
    build(&b);
  }
  bandwidth(&b);
  find_truth(&b, NULL, b.truth);
  for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
    if (b.set.only > 0 && levels[i] != b.set.only) continue;
    char name[32];
    snprintf(name, sizeof name, "%.4g", levels[i]);
    for (uint32_t r = 0; r <= b.set.repeat; r++) measure(&b, name, levels[i], NULL, b.truth);
  }
  for (uint32_t r = 0; r < b.set.batch; r++) {
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
      if (b.set.only > 0 ? levels[i] == b.set.only
                         : levels[i] >= .95 && (levels[i] < .999 || levels[i] == 1))
        bench_batch(&b, levels[i], 32);
    }
  }
  if (b.set.save != NULL) bench_files(&b);
  if (b.set.filters > 0) bench_filters(&b);
  if (b.set.upserts > 0) {
    find_truth(&b, NULL, b.truth);
    bench_upserts(&b);
  }
  wn_index_free(b.index);
  return 0;
}
