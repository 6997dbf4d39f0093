/* Import speed of the durable store beside what the disk alone would allow.
 *
 *   bench_store [EVENTS] [DIR]        default 1,000,000 events in a temporary folder
 *
 * One thread appends events without client ids in batches of 10,000 inside one transaction, which
 * ends with an fsync; then the same with client ids. The yardstick is a plain file that takes the
 * same number of bytes in the same run, by write() and one fdatasync(). Users and items are drawn
 * from skewed distributions (ids repeat, as they do in logs). */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/commit.h"
#include "store/store.h"

#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define BATCH 10000
#define USERS 20000
#define ITEMS 60000

typedef struct batch {
  wn_op ops[BATCH];
  char ids[BATCH][3][24];
} batch;

static uint32_t skewed(wn_rng *rng, uint32_t n) {
  double u = wn_rng_double(rng);
  return (uint32_t)(u * u * u * n);
}

static void fill(batch *b, wn_rng *rng, size_t first, bool keyed) {
  for (size_t i = 0; i < BATCH; i++) {
    wn_op *op = &b->ops[i];
    wn_event_record *e = &op->u.event;
    op->kind = WN_OP_EVENT;
    snprintf(b->ids[i][0], 24, "user-%u", skewed(rng, USERS));
    snprintf(b->ids[i][1], 24, "item-%u", skewed(rng, ITEMS));
    snprintf(b->ids[i][2], 24, "%zu", first + i);
    *e = (wn_event_record){.user = wn_str_of(b->ids[i][0]),
                           .item = wn_str_of(b->ids[i][1]),
                           .type = WN_STR("view"),
                           .value = (double)NAN,
                           .time_ms = 1700000000000 + (int64_t)(first + i) * 1000};
    if (keyed) e->id = wn_str_of(b->ids[i][2]);
  }
}

static void die(const wn_error *err) {
  char text[768];
  fprintf(stderr, "bench_store: %s\n", wn_error_format(err, text, sizeof text));
  exit(1);
}

/* Wall and CPU time spent in the store. On a machine that others use, only the second repeats. */
typedef struct spent {
  double wall, cpu;
} spent;

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static spent now(void) {
  return (spent){(double)wn_mono_ns() * 1e-9, cpu_seconds()};
}

static void add_since(spent *sum, spent start) {
  spent end = now();
  sum->wall += end.wall - start.wall;
  sum->cpu += end.cpu - start.cpu;
}

static spent import(wn_store *store, batch *b, size_t events, bool keyed) {
  wn_error err;
  wn_rng rng;
  spent sum = {0}, start = now();
  wn_rng_seed(&rng, keyed ? 2 : 1);
  if (wn_store_begin(store, &err) != WN_OK) die(&err);
  add_since(&sum, start);
  for (size_t done = 0; done < events; done += BATCH) {
    fill(b, &rng, done, keyed);
    start = now();
    if (wn_store_append(store, b->ops, BATCH, &err) != WN_OK) die(&err);
    add_since(&sum, start);
  }
  start = now();
  if (wn_store_end(store, true, &err) != WN_OK) die(&err);
  add_since(&sum, start);
  return sum;
}

static double raw_file(const char *dir, uint64_t bytes) {
  char path[600];
  static char block[1 << 16];
  snprintf(path, sizeof path, "%s/raw", dir);
  memset(block, 0x5A, sizeof block);
  uint64_t start = wn_mono_ns();
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  for (uint64_t done = 0; fd >= 0 && done < bytes; done += sizeof block) {
    if (write(fd, block, sizeof block) != (ssize_t)sizeof block) break;
  }
  if (fd < 0 || fdatasync(fd) != 0) perror("raw file");
  double seconds = (double)(wn_mono_ns() - start) * 1e-9;
  if (fd >= 0) close(fd);
  unlink(path);
  return seconds;
}

static wn_status count_event(void *ctx, WN_UNUSED const wn_stored_event *event,
                             WN_UNUSED wn_error *err) {
  ++*(size_t *)ctx;
  return WN_OK;
}

static void report(const char *what, size_t events, spent t, double raw_seconds) {
  printf("%-24s %9.0f events/s  %6.2f s, %.2f s of CPU (%.0f events/CPU s)", what,
         (double)events / t.wall, t.wall, t.cpu, (double)events / t.cpu);
  if (raw_seconds > 0) {
    printf("; raw file of the same bytes %.3f s, ratio %.3f", raw_seconds, raw_seconds / t.wall);
  }
  printf("\n");
}

static uint64_t bytes_of(wn_store *store) {
  wn_error err;
  wn_store_counts counts;
  if (wn_store_counts_get(store, &counts, &err) != WN_OK) die(&err);
  return counts.bytes;
}

static void print_machine(size_t events) {
  struct utsname u;
  uname(&u);
  printf("Winnow %s, SQLite %s, %s %s, %ld CPUs, %zu events\n", WINNOW_VERSION,
         sqlite3_libversion(), u.sysname, u.release, sysconf(_SC_NPROCESSORS_ONLN), events);
}

int main(int argc, char **argv) {
  char dir[512] = "/tmp/bench-store-XXXXXX";
  size_t events = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000, seen = 0;
  wn_store *store = NULL;
  wn_error err;
  batch *b = wn_malloc(sizeof *b);
  if (argc > 2) snprintf(dir, sizeof dir, "%s/bench-store-XXXXXX", argv[2]);
  if (b == NULL || mkdtemp(dir) == NULL) return 1;
  events = (events + BATCH - 1) / BATCH * BATCH;
  print_machine(events);
  if (wn_store_open(dir, WN_STORE_WRITE, &store, &err) != WN_OK) die(&err);
  spent plain = import(store, b, events, false);
  wn_store_close(store); /* moves the log into the database: sizes without it */
  if (wn_store_open(dir, WN_STORE_WRITE, &store, &err) != WN_OK) die(&err);
  uint64_t plain_bytes = bytes_of(store);
  report("import, no client ids", events, plain, raw_file(dir, plain_bytes));
  spent keyed = import(store, b, events, true);
  report("import, client ids", events, keyed, raw_file(dir, bytes_of(store) - plain_bytes));
  spent scan = {0}, start = now();
  if (wn_store_scan_events(store, 0, 0, count_event, &seen, &err) != WN_OK) die(&err);
  add_since(&scan, start);
  report("scan", seen, scan, 0);
  wn_store_close(store);
  uint64_t opening = wn_mono_ns();
  if (wn_store_open(dir, WN_STORE_WRITE, &store, &err) != WN_OK) die(&err);
  printf("open: %.3f s; on disk %.1f bytes an event, %.1f with client ids\n",
         (double)(wn_mono_ns() - opening) * 1e-9, (double)plain_bytes / (double)events,
         (double)(bytes_of(store) - plain_bytes) / (double)events);
  wn_store_close(store);
  wn_free(b);
  char command[600];
  snprintf(command, sizeof command, "rm -rf '%s'", dir);
  return system(command) == 0 ? 0 : 1;
}
