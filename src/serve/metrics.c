/* Source: Prometheus text exposition format 0.0.4. A thread counts into a shard of its own with
 * relaxed atomics (measured: 20 ns a record, 100 ns on a shared line); shards are summed when
 * asked. More threads than shards share one: slower, still right. */
#include "serve/metrics.h"

#include "base/clock.h"
#include "base/mem.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SHARDS 16
/* Every surface that was served since the start, whether or not it is still declared. */
#define SURFACES (2 * WN_SURFACES_MAX)

static const int statuses[] = {200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408,
                               409, 411, 413, 414, 415, 429, 431, 500, 501, 503, 507, 0};
#define STATUSES (sizeof statuses / sizeof statuses[0])

/* Upper bounds of the latency buckets; the last one is +Inf. */
static const double bounds[] = {0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                0.025,   0.05,   0.1,     0.25,   0.5,   1,      2.5,   10};
#define BUCKETS (sizeof bounds / sizeof bounds[0] + 1)

typedef _Atomic uint64_t counter;

typedef struct shard {
  counter counters[WN_COUNTERS];
  counter requests[WN_METRIC_ROUTES_MAX][STATUSES];
  counter latency[WN_METRIC_ROUTES_MAX][BUCKETS];
  counter latency_ns[WN_METRIC_ROUTES_MAX];
  counter slates[SURFACES][2]; /* [personal] */
  counter slate_items[SURFACES];
  counter stage[WN_STAGES][BUCKETS];
  counter stage_ns[WN_STAGES], stage_out[WN_STAGES];
  char apart[64]; /* shards do not share a cache line */
} shard;

struct wn_metrics {
  const char *const *routes;
  size_t route_count;
  char surfaces[SURFACES][WN_NAME_MAX + 1]; /* what has been named stays; the last: all others */
  atomic_size_t surfaces_len;
  pthread_mutex_t naming;
  atomic_uint threads;
  shard shards[SHARDS];
};

static size_t find_surface(const wn_metrics *metrics, size_t len, wn_str name) {
  size_t i = 0;
  while (i < len && !wn_str_is(name, metrics->surfaces[i])) i++;
  return i;
}

/* Names are written once and then read without the lock. */
static size_t surface_slot(wn_metrics *metrics, wn_str name) {
  size_t len = atomic_load_explicit(&metrics->surfaces_len, memory_order_acquire);
  size_t at = find_surface(metrics, len, name);
  if (at < len || len == SURFACES) return at < len ? at : SURFACES - 1;
  pthread_mutex_lock(&metrics->naming);
  len = atomic_load_explicit(&metrics->surfaces_len, memory_order_relaxed);
  at = find_surface(metrics, len, name);
  if (at == len && len < SURFACES) {
    const char *text = len < SURFACES - 1 ? name.ptr : "other";
    int bytes = len < SURFACES - 1 ? (int)name.len : 5;
    snprintf(metrics->surfaces[len], sizeof metrics->surfaces[len], "%.*s", bytes, text);
    atomic_store_explicit(&metrics->surfaces_len, len + 1, memory_order_release);
  }
  pthread_mutex_unlock(&metrics->naming);
  return at < SURFACES ? at : SURFACES - 1;
}

wn_metrics *wn_metrics_create(const char *const *routes, size_t route_count,
                              const wn_surfaces *surfaces) {
  wn_metrics *metrics = wn_calloc(1, sizeof *metrics);
  if (metrics == NULL) return NULL;
  metrics->routes = routes;
  metrics->route_count = route_count < WN_METRIC_ROUTES_MAX ? route_count : WN_METRIC_ROUTES_MAX;
  pthread_mutex_init(&metrics->naming, NULL);
  for (size_t i = 0; i < surfaces->len; i++)
    (void)surface_slot(metrics, wn_str_of(surfaces->data[i].name));
  return metrics;
}

void wn_metrics_free(wn_metrics *metrics) {
  if (metrics == NULL) return;
  pthread_mutex_destroy(&metrics->naming);
  wn_free(metrics);
}

static shard *own_shard(wn_metrics *metrics) {
  static _Thread_local unsigned mine; /* 0: none yet */
  if (mine == 0) mine = 1 + atomic_fetch_add(&metrics->threads, 1) % SHARDS;
  return &metrics->shards[mine - 1];
}

static void add(counter *c, uint64_t by) {
  atomic_fetch_add_explicit(c, by, memory_order_relaxed);
}

static uint64_t get(const counter *c) {
  return atomic_load_explicit(c, memory_order_relaxed);
}

void wn_metrics_count(wn_metrics *metrics, wn_metric_counter which, uint64_t by) {
  add(&own_shard(metrics)->counters[which], by);
}

static size_t status_slot(int http) {
  size_t i = 0;
  while (i + 1 < STATUSES && statuses[i] != http) i++;
  return i;
}

static size_t bucket_of(uint64_t ns) {
  size_t bucket = 0;
  while (bucket + 1 < BUCKETS && (double)ns > bounds[bucket] * 1e9) bucket++;
  return bucket;
}

void wn_metrics_stages(wn_metrics *metrics, const wn_stage_stats *stages) {
  shard *s = own_shard(metrics);
  for (size_t i = 0; i < WN_STAGES; i++) {
    if (i > WN_STAGE_ORDER && stages->ns[i] == 0) continue; /* a part that was left out */
    add(&s->stage[i][bucket_of(stages->ns[i])], 1);
    add(&s->stage_ns[i], stages->ns[i]);
    add(&s->stage_out[i], stages->out[i]);
  }
}

void wn_metrics_request(wn_metrics *metrics, size_t route, int http, uint64_t ns) {
  if (route >= metrics->route_count) return;
  shard *s = own_shard(metrics);
  size_t bucket = bucket_of(ns);
  add(&s->requests[route][status_slot(http)], 1);
  add(&s->latency[route][bucket], 1);
  add(&s->latency_ns[route], ns);
}

void wn_metrics_slate(wn_metrics *metrics, wn_str surface, bool personal, size_t items) {
  size_t at = surface_slot(metrics, surface);
  shard *s = own_shard(metrics);
  add(&s->slates[at][personal], 1);
  add(&s->slate_items[at], items);
}

/* The sum over shards of the counter at this offset. */
static uint64_t sum_at(const wn_metrics *metrics, size_t offset) {
  uint64_t sum = 0;
  for (size_t i = 0; i < SHARDS; i++)
    sum += get((const counter *)(const void *)((const char *)&metrics->shards[i] + offset));
  return sum;
}

_Static_assert(BUCKETS == WN_METRIC_BUCKETS, "totals have the same buckets");

void wn_metrics_totals_get(const wn_metrics *metrics, wn_metrics_totals *out) {
  *out = (wn_metrics_totals){0};
  for (size_t r = 0; r < metrics->route_count; r++) {
    for (size_t b = 0; b < BUCKETS; b++) {
      uint64_t n = sum_at(metrics, offsetof(shard, latency) + (r * BUCKETS + b) * sizeof(counter));
      out->latency[b] += n;
      out->requests += n;
    }
    for (size_t s = 0; s < STATUSES; s++)
      if (statuses[s] >= 500)
        out->errors +=
            sum_at(metrics, offsetof(shard, requests) + (r * STATUSES + s) * sizeof(counter));
  }
}

double wn_metrics_quantile(const wn_metrics_totals *from, const wn_metrics_totals *to, double q) {
  double wanted = q * (double)(to->requests - from->requests), below = 0;
  if (wanted <= 0) return NAN;
  for (size_t b = 0; b + 1 < BUCKETS; b++) {
    below += (double)(to->latency[b] - from->latency[b]);
    if (below >= wanted) return bounds[b];
  }
  return INFINITY;
}

void wn_metrics_head(wn_buf *out, const char *name, const char *type, const char *help) {
  wn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void wn_metrics_single(wn_buf *out, const char *name, const char *type, const char *help,
                       double value) {
  wn_metrics_head(out, name, type, help);
  wn_buf_printf(out, "%s %.17g\n", name, value);
}

static void render_requests(const wn_metrics *metrics, wn_buf *out) {
  wn_metrics_head(out, "winnow_http_requests_total", "counter",
                  "Requests answered, by route and status.");
  for (size_t r = 0; r < metrics->route_count; r++) {
    for (size_t s = 0; s < STATUSES; s++) {
      uint64_t count =
          sum_at(metrics, offsetof(shard, requests) + (r * STATUSES + s) * sizeof(counter));
      if (count == 0) continue;
      wn_buf_printf(out, "winnow_http_requests_total{route=\"%s\",status=\"%d\"} %" PRIu64 "\n",
                    metrics->routes[r], statuses[s], count);
    }
  }
}

/* One label value of a histogram whose counts and sum lie at these offsets of the shards. */
static void render_histogram(const wn_metrics *metrics, const char *name, const char *label,
                             const size_t offsets[2], wn_buf *out) {
  uint64_t below = 0, counts[BUCKETS];
  for (size_t b = 0; b < BUCKETS; b++) {
    counts[b] = sum_at(metrics, offsets[0] + b * sizeof(counter));
    below += counts[b];
  }
  if (below == 0) return;
  below = 0;
  for (size_t b = 0; b + 1 < BUCKETS; b++) {
    below += counts[b];
    wn_buf_printf(out, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, label, bounds[b], below);
  }
  below += counts[BUCKETS - 1];
  wn_buf_printf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, label, below);
  wn_buf_printf(out, "%s_sum{%s} %.9g\n", name, label, (double)sum_at(metrics, offsets[1]) * 1e-9);
  wn_buf_printf(out, "%s_count{%s} %" PRIu64 "\n", name, label, below);
}

static void render_latency(const wn_metrics *metrics, wn_buf *out) {
  char label[200];
  wn_metrics_head(out, "winnow_http_request_seconds", "histogram",
                  "From the whole request received to its answer queued, commits included.");
  for (size_t r = 0; r < metrics->route_count; r++) {
    const size_t offsets[2] = {offsetof(shard, latency) + r * BUCKETS * sizeof(counter),
                               offsetof(shard, latency_ns) + r * sizeof(counter)};
    snprintf(label, sizeof label, "route=\"%s\"", metrics->routes[r]);
    render_histogram(metrics, "winnow_http_request_seconds", label, offsets, out);
  }
}

static void render_stages(const wn_metrics *metrics, wn_buf *out) {
  static const char *const names[WN_STAGES] = {"retrieve", "filter",      "score",
                                               "order",    "score.light", "score.heavy"};
  char label[40];
  wn_metrics_head(
      out, "winnow_stage_seconds", "histogram",
      "Time of each stage of the funnel; score.light and score.heavy are parts of score.");
  for (size_t i = 0; i < WN_STAGES; i++) {
    const size_t offsets[2] = {offsetof(shard, stage) + i * BUCKETS * sizeof(counter),
                               offsetof(shard, stage_ns) + i * sizeof(counter)};
    snprintf(label, sizeof label, "stage=\"%s\"", names[i]);
    render_histogram(metrics, "winnow_stage_seconds", label, offsets, out);
  }
  wn_metrics_head(out, "winnow_stage_candidates_total", "counter",
                  "Candidates that left each stage; what left one entered the next.");
  for (size_t i = 0; i < WN_STAGES; i++)
    wn_buf_printf(out, "winnow_stage_candidates_total{stage=\"%s\"} %" PRIu64 "\n", names[i],
                  sum_at(metrics, offsetof(shard, stage_out) + i * sizeof(counter)));
}

static void render_times(const wn_commit_times *times, const char *name, const char *help,
                         wn_buf *out) {
  uint64_t below = 0;
  wn_metrics_head(out, name, "histogram", help);
  for (size_t b = 0; b + 1 < WN_COMMIT_BUCKETS; b++) {
    below += times->buckets[b];
    wn_buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, wn_commit_bounds[b], below);
  }
  below += times->buckets[WN_COMMIT_BUCKETS - 1];
  wn_buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, below);
  wn_buf_printf(out, "%s_sum %.9g\n%s_count %" PRIu64 "\n", name, times->seconds, name, below);
}

static void render_commits(const wn_commit_stats *stats, wn_buf *out) {
  render_times(&stats->whole, "winnow_commit_seconds", "Group commits, write and fsync together.",
               out);
  render_times(&stats->disk, "winnow_fsync_seconds",
               "Of these, the end: pages to the log, its fsync, now and then a checkpoint.", out);
}

static void render_slates(const wn_metrics *metrics, wn_buf *out) {
  wn_metrics_head(out, "winnow_slates_total", "counter",
                  "Slates served, by surface and whether the user's history was used.");
  const size_t len = atomic_load_explicit(&metrics->surfaces_len, memory_order_acquire);
  for (size_t i = 0; i < len; i++) {
    for (size_t personal = 0; personal < 2; personal++) {
      uint64_t count =
          sum_at(metrics, offsetof(shard, slates) + (i * 2 + personal) * sizeof(counter));
      wn_buf_printf(out, "winnow_slates_total{surface=\"%s\",personal=\"%s\"} %" PRIu64 "\n",
                    metrics->surfaces[i], personal != 0 ? "true" : "false", count);
    }
  }
  wn_metrics_head(out, "winnow_slate_items_total", "counter", "Items shown, by surface.");
  for (size_t i = 0; i < len; i++) {
    uint64_t count = sum_at(metrics, offsetof(shard, slate_items) + i * sizeof(counter));
    wn_buf_printf(out, "winnow_slate_items_total{surface=\"%s\"} %" PRIu64 "\n",
                  metrics->surfaces[i], count);
  }
}

static void render_counters(const wn_metrics *metrics, wn_buf *out) {
  static const struct {
    const char *name, *help;
  } rows[WN_COUNTERS] = {
      [WN_COUNT_CONNECTIONS] = {"winnow_connections_total", "Connections accepted."},
      [WN_COUNT_CONNECTIONS_FULL] = {"winnow_connections_refused_total",
                                     "Connections turned away because too many were open."},
      [WN_COUNT_TIMEOUTS_IDLE] = {"winnow_connections_idle_closed_total",
                                  "Connections closed because nothing was asked for too long."},
      [WN_COUNT_TIMEOUTS_REQUEST] = {"winnow_connections_slow_closed_total",
                                     "Connections closed because header, body or reading of the "
                                     "answer took too long."},
      [WN_COUNT_EVENTS_ACCEPTED] = {"winnow_events_accepted_total", "Events stored."},
      [WN_COUNT_EVENTS_DUPLICATE] = {"winnow_events_duplicate_total",
                                     "Events acknowledged whose id was stored before."},
      [WN_COUNT_RECORDS_WRITTEN] = {"winnow_records_written_total",
                                    "Items and users put, patched or deleted."},
      [WN_COUNT_KEYS_REFUSED] = {"winnow_keys_refused_total",
                                 "Requests without a key, or with one that is not known."},
      [WN_COUNT_KEYS_LIMITED] = {"winnow_keys_limited_total", "Requests beyond their key's rate."},
      [WN_COUNT_BODY_BYTES] = {"winnow_http_body_bytes_total", "Bytes of request bodies."},
  };
  for (size_t i = 0; i < WN_COUNTERS; i++)
    wn_metrics_single(out, rows[i].name, "counter", rows[i].help,
                      (double)sum_at(metrics, offsetof(shard, counters) + i * sizeof(counter)));
}

static void render_engine(const wn_engine_stats *stats, wn_buf *out) {
  double now = (double)wn_now_ms();
  double age = stats->snapshot > 0 ? (now - (double)stats->snapshot_created_ms) / 1000 : 0;
  wn_metrics_single(out, "winnow_snapshot", "gauge", "Number of the snapshot that serves; 0: none.",
                    (double)stats->snapshot);
  wn_metrics_single(out, "winnow_snapshot_age_seconds", "gauge", "Since it was written.", age);
  wn_metrics_single(out, "winnow_snapshot_swaps_total", "counter", "Snapshots swapped in.",
                    (double)stats->swaps);
  wn_metrics_single(out, "winnow_snapshot_swap_failures_total", "counter", "New snapshots refused.",
                    (double)stats->swap_failures);
  wn_metrics_single(out, "winnow_users", "gauge", "Users known.", stats->users);
  wn_metrics_single(out, "winnow_items", "gauge", "Items known.", stats->items);
  wn_metrics_single(out, "winnow_items_servable", "gauge", "Items that may be shown.",
                    stats->items_servable);
  wn_metrics_single(out, "winnow_index_items", "gauge",
                    "Items that als finds through an index; 0: it scans them.", stats->index_items);
  wn_metrics_single(out, "winnow_index_recall", "gauge",
                    "Share of the exact lists that the index finds, measured when it was built.",
                    stats->index_recall);
  wn_metrics_single(out, "winnow_index_changes", "gauge",
                    "Changes of vectors that wait to be merged.", stats->index_changes);
  wn_metrics_single(out, "winnow_events_last_seq", "gauge",
                    "Position of the last event in the log.", (double)stats->last_seq);
  wn_metrics_single(out, "winnow_sessions", "gauge", "Feed sessions in memory.",
                    (double)stats->sessions);
  wn_metrics_single(out, "winnow_commits_total", "counter", "Group commits.",
                    (double)stats->commits.commits);
  wn_metrics_single(out, "winnow_commit_ops_total", "counter", "Changes committed.",
                    (double)stats->commits.ops);
  wn_metrics_single(out, "winnow_commit_failures_total", "counter", "Commits that failed.",
                    (double)stats->commits.failures);
  wn_metrics_single(out, "winnow_commit_refused_total", "counter", "Batches refused: queue full.",
                    (double)stats->commits.refused);
  render_commits(&stats->commits, out);
  wn_metrics_single(out, "winnow_apply_seconds_total", "counter",
                    "Time spent bringing committed changes into the state (fold-in).",
                    (double)stats->apply_ns * 1e-9);
  wn_metrics_single(out, "winnow_applies_total", "counter", "Groups of changes brought in.",
                    (double)stats->applies);
  if (stats->last_event_ms > 0)
    wn_metrics_single(out, "winnow_ingest_lag_seconds", "gauge",
                      "Between the time that the newest event carries and now.",
                      (now - (double)stats->last_event_ms) / 1000);
  wn_metrics_single(out, "winnow_events_since_snapshot", "gauge",
                    "Events in the log that the snapshot was not trained on.",
                    (double)(stats->last_seq > stats->snapshot_last_seq
                                 ? stats->last_seq - stats->snapshot_last_seq
                                 : 0));
  wn_metrics_single(out, "winnow_commit_queue_ops", "gauge", "Changes that wait for a commit.",
                    (double)stats->commits.queued_ops);
  wn_metrics_single(out, "winnow_slates_relaxed_total", "counter",
                    "Slates made without their surface's condition, which no item satisfies.",
                    (double)stats->slates_relaxed);
  wn_metrics_single(out, "winnow_slates_lost_total", "counter",
                    "Slates shown, and then not logged.", (double)stats->slates_lost);
  wn_metrics_single(out, "winnow_commit_failing", "gauge", "1: the last group commit failed.",
                    stats->commits.last != WN_OK);
  wn_metrics_single(out, "winnow_writable", "gauge", "1: the store takes writes.", stats->writable);
}

double wn_metrics_resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "re");
  long pages = 0;
  if (file == NULL) return 0;
  if (fscanf(file, "%*s %ld", &pages) != 1) pages = 0;
  fclose(file);
  return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_files(void) {
  DIR *dir = opendir("/proc/self/fd");
  double count = -3; /* ".", ".." and this very folder */
  if (dir == NULL) return 0;
  while (readdir(dir) != NULL) count++;
  closedir(dir);
  return count;
}

static void render_process(const wn_metrics_gauges *gauges, wn_buf *out) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) == 0)
    wn_metrics_single(out, "process_cpu_seconds_total", "counter", "User and system time.",
                      (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
  wn_metrics_single(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
                    wn_metrics_resident_bytes());
  wn_metrics_single(out, "process_open_fds", "gauge", "Open files.", open_files());
  wn_metrics_single(out, "process_start_time_seconds", "gauge",
                    "Start of the server, Unix seconds.", (double)gauges->started_ms / 1000);
  wn_metrics_single(out, "winnow_connections", "gauge", "Connections open.",
                    (double)gauges->connections);
  wn_metrics_single(out, "winnow_requests_running", "gauge",
                    "Requests between first byte and last.", (double)gauges->requests_running);
  wn_metrics_single(out, "winnow_request_memory_bytes", "gauge",
                    "Bodies and arenas of running requests.", (double)gauges->request_bytes);
  wn_metrics_single(out, "winnow_draining", "gauge", "1: stopping, takes no new connections.",
                    gauges->draining);
}

/* What events and requests grow; docs/configuration.md bounds each part. */
static void render_memory(const wn_engine_stats *stats, const wn_metrics_gauges *gauges,
                          wn_buf *out) {
  wn_metrics_head(out, "winnow_memory_bytes", "gauge", "Memory by part.");
  wn_buf_printf(out,
                "winnow_memory_bytes{part=\"catalogue\"} %zu\n"
                "winnow_memory_bytes{part=\"online\"} %zu\n"
                "winnow_memory_bytes{part=\"sessions\"} %zu\n"
                "winnow_memory_bytes{part=\"dictionaries\"} %zu\n"
                "winnow_memory_bytes{part=\"impressions\"} %zu\n"
                "winnow_memory_bytes{part=\"index\"} %zu\n"
                "winnow_memory_bytes{part=\"filters\"} %zu\n"
                "winnow_memory_bytes{part=\"deleted\"} %zu\n"
                "winnow_memory_bytes{part=\"pinned\"} %zu\n"
                "winnow_memory_bytes{part=\"store\"} %zu\n"
                "winnow_memory_bytes{part=\"requests\"} %zu\n",
                stats->catalog_bytes, stats->online_bytes, stats->session_bytes, stats->dict_bytes,
                stats->exposure_bytes, stats->index_bytes, stats->filter_bytes,
                stats->deleted_bytes, stats->pinned_bytes, stats->store_bytes,
                gauges->request_bytes);
  for (size_t i = 0; i < stats->models_len; i++)
    wn_buf_printf(out, "winnow_memory_bytes{part=\"%s\"} %zu\n", stats->models[i].name,
                  stats->models[i].bytes);
  wn_metrics_single(out, "winnow_snapshot_mapped_bytes", "gauge",
                    "Snapshots that are mapped; the system gives such memory back under pressure.",
                    (double)stats->snapshot_bytes);
  const wn_shelf_stats *shelves = &stats->shelves;
  wn_metrics_single(out, "winnow_user_rows_away", "gauge",
                    "Rows of users' state that lie in a file, beyond server.state_mb.",
                    (double)shelves->away);
  wn_metrics_single(out, "winnow_user_rows_file_bytes", "gauge", "Size of these files.",
                    (double)shelves->file_bytes);
  wn_metrics_single(out, "winnow_user_rows_returned_total", "counter",
                    "Rows that an event brought back since the last swap.",
                    (double)shelves->brought_back);
  wn_metrics_single(out, "winnow_user_rows_failures_total", "counter",
                    "Rows that stayed in memory because their file took nothing.",
                    (double)shelves->failures);
}

void wn_metrics_render(const wn_metrics *metrics, const wn_engine_stats *stats,
                       const wn_metrics_gauges *gauges, wn_buf *out) {
  wn_metrics_head(out, "winnow_info", "gauge", "Version of the server.");
  wn_buf_printf(out, "winnow_info{version=\"%s\"} 1\n", WINNOW_VERSION);
  render_requests(metrics, out);
  render_latency(metrics, out);
  render_stages(metrics, out);
  render_slates(metrics, out);
  if (gauges->shown != NULL) wn_shown_render(gauges->shown, stats->items_servable, out);
  if (gauges->alerts != NULL) wn_alerts_render(gauges->alerts, out);
  if (gauges->training != NULL) wn_metrics_render_training(gauges->training, out);
  render_counters(metrics, out);
  render_engine(stats, out);
  render_memory(stats, gauges, out);
  render_process(gauges, out);
}
