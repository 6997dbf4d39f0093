/* One fit of one model: seconds and peak memory; of ALS also those of each epoch, and the
 * objective.
 *
 *   bench_fit MODEL FILE.csr THREADS FACTORS_OUT|- [KEY=VALUE …]
 *
 * FILE.csr is what synthetic.py and models_als.py write: the bytes "WNCSR1\0\0", users and items
 * (u32), nnz, row_ptr[users + 1] (u64), col[nnz] (u32), little-endian; all weights are 1, all times
 * the same. FACTORS_OUT gets the users' and the items' vectors (f32, row by row), of ALS alone. One
 * line of JSON on standard output: bench/models puts it beside the peers'. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/simd/simd.h"
#include "model/als.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void need(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "bench_fit: %s\n", what);
  exit(1);
}

static void check(wn_status status, const wn_error *err) {
  char text[768];
  need(status == WN_OK, wn_error_format(err, text, sizeof text));
}

static void read_or_die(FILE *file, void *out, size_t size, size_t count) {
  need(fread(out, size, count, file) == count, "the file is too short");
}

static void load(const char *path, wn_dataset *data) {
  FILE *file = fopen(path, "rb");
  char magic[8];
  uint32_t sizes[2];
  wn_csr *rows = &data->by_user;
  need(file != NULL, "cannot open the file");
  read_or_die(file, magic, 1, sizeof magic);
  need(memcmp(magic, "WNCSR1\0", 8) == 0, "not a .csr file");
  read_or_die(file, sizes, sizeof *sizes, 2);
  read_or_die(file, &rows->nnz, sizeof rows->nnz, 1);
  data->users = rows->rows = sizes[0];
  data->items = rows->cols = sizes[1];
  rows->row_ptr = wn_calloc((size_t)rows->rows + 1, sizeof *rows->row_ptr);
  rows->col = wn_calloc(rows->nnz + 1, sizeof *rows->col);
  need(rows->row_ptr != NULL && rows->col != NULL, "out of memory");
  read_or_die(file, rows->row_ptr, sizeof *rows->row_ptr, (size_t)rows->rows + 1);
  read_or_die(file, rows->col, sizeof *rows->col, rows->nnz);
  fclose(file);
  wn_error err = {0};
  check(wn_csr_validate(rows, &err), &err);
}

/* What ALS does without and the others read. */
static void add_weights(wn_csr *rows) {
  rows->weight = wn_calloc(rows->nnz + 1, sizeof *rows->weight);
  rows->time_ms = wn_calloc(rows->nnz + 1, sizeof *rows->time_ms);
  rows->type = wn_calloc(rows->nnz + 1, sizeof *rows->type);
  need(rows->weight != NULL && rows->time_ms != NULL && rows->type != NULL, "out of memory");
  for (uint64_t i = 0; i < rows->nnz; i++) {
    rows->weight[i] = 1;
    rows->time_ms[i] = 1;
    rows->type[i] = WN_SIGNALS_TOLD;
  }
}

/* KB; `name` VmRSS or VmHWM. */
static long memory_kb(const char *name) {
  char line[256];
  long kb = 0;
  FILE *file = fopen("/proc/self/status", "r");
  need(file != NULL, "no /proc/self/status");
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, name, strlen(name)) == 0) kb = atol(line + strlen(name) + 1);
  }
  fclose(file);
  return kb;
}

static double cpu_seconds(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

#define EPOCHS_MAX 1000
typedef struct epoch_times {
  double wall[EPOCHS_MAX + 2], cpu[EPOCHS_MAX + 2];
  size_t len;
} epoch_times;

/* Called before each epoch and after the last. */
static bool at_epoch(void *ctx, const char *stage, double done, double total, const char *unit) {
  epoch_times *t = ctx;
  (void)stage, (void)done, (void)total, (void)unit;
  if (t->len > EPOCHS_MAX) return true;
  t->wall[t->len] = (double)wn_mono_ns() * 1e-9;
  t->cpu[t->len++] = cpu_seconds();
  return true;
}

static void write_factors(const wn_als *als, const char *path) {
  size_t d = als->head.d;
  FILE *file = fopen(path, "wb");
  float *none = wn_calloc(d, sizeof *none);
  need(file != NULL && none != NULL, "cannot write the factors");
  need(fwrite(als->user, d * sizeof(float), als->head.users, file) == als->head.users, "disk full");
  for (uint32_t i = 0; i < als->head.items; i++) {
    uint32_t row = als->row_of[i];
    need(fwrite(row == WN_NO_IX ? none : als->item + row * d, sizeof(float), d, file) == d,
         "disk full");
  }
  wn_free(none);
  need(fclose(file) == 0, "disk full");
}

static void report_als(const wn_als *als, const epoch_times *t) {
  printf("\"factors\":%u,\"epochs\":%u,\"objective\":%.9g,\"alpha0\":%g,\"lambda\":%g,\"nu\":%g,",
         als->head.d, als->head.epochs, als->head.objective, als->head.alpha0, als->head.lambda,
         als->head.nu);
  for (int cpu = 0; cpu < 2; cpu++) {
    const double *at = cpu ? t->cpu : t->wall;
    printf("\"%s\":[", cpu ? "cpu_s" : "wall_s");
    for (size_t i = 1; i < t->len; i++) printf("%s%.4f", i > 1 ? "," : "", at[i] - at[i - 1]);
    printf("],");
  }
}

int main(int argc, char **argv) {
  wn_error err = {0};
  wn_dataset data = {0};
  wn_params params;
  epoch_times times = {0};
  wn_model *model = NULL;
  need(argc >= 5, "usage: bench_fit MODEL FILE.csr THREADS FACTORS_OUT|- [KEY=VALUE ...]");
  const wn_model_class *cls = wn_model_class_find(argv[1]);
  need(cls != NULL && cls->fit != NULL, "no such model");
  bool als = cls == &wn_model_als;
  wn_params_defaults(cls, &params);
  for (int i = 5; i < argc; i++) {
    char key[32] = "";
    const char *equals = strchr(argv[i], '=');
    if (equals != NULL) snprintf(key, sizeof key, "%.*s", (int)(equals - argv[i]), argv[i]);
    check(wn_params_set(cls, &params, key, equals != NULL ? equals + 1 : "", &err), &err);
  }
  load(argv[2], &data);
  if (!als) add_weights(&data.by_user);
  long input_kb = memory_kb("VmRSS:");
  check(wn_csr_transpose(&data.by_user, &data.by_item, &err), &err);
  wn_progress progress = {&times, at_epoch};
  wn_fit_env env = {.pool = wn_pool_create(atoi(argv[3])), .progress = &progress, .seed = 1};
  need(env.pool != NULL, "out of memory");
  double begin = (double)wn_mono_ns() * 1e-9, begin_cpu = cpu_seconds();
  check(cls->fit(&data, &params, &env, &model, &err), &err);
  printf("{\"model\":\"%s\",\"simd\":\"%s\",\"users\":%u,\"items\":%u,\"nnz\":%llu,", cls->name,
         wn_simd()->name, data.users, data.items, (unsigned long long)data.by_user.nnz);
  if (als) report_als((const wn_als *)model, &times);
  printf("\"fit_s\":%.4f,\"fit_cpu_s\":%.4f,\"input_mb\":%.1f,\"peak_mb\":%.1f}\n",
         (double)wn_mono_ns() * 1e-9 - begin, cpu_seconds() - begin_cpu, (double)input_kb / 1024,
         (double)memory_kb("VmHWM:") / 1024);
  if (als && strcmp(argv[4], "-") != 0) write_factors((const wn_als *)model, argv[4]);
  model->cls->free(model);
  wn_pool_free(env.pool);
  wn_csr_clear(&data.by_user);
  wn_csr_clear(&data.by_item);
  return 0;
}
