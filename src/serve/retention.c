#include "serve/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>

#define FIRST_SECONDS 60

struct wn_retention {
  wn_engine *engine;
  const wn_retention_config *config;
  pthread_t thread;
  pthread_mutex_t work; /* one run at a time */
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t wake;
  bool end, clean;
  atomic_bool stopping;
};

static wn_status commit(void *ctx, wn_op *ops, size_t count, wn_error *err) {
  wn_retention *r = ctx;
  if (atomic_load(&r->stopping))
    return wn_fail(err, WN_E_CANCELLED, "", "the server ends; the rest is moved another time");
  return wn_engine_commit(r->engine, ops, count, err);
}

static wn_status work(wn_retention *r, double days, wn_archive_report *report, wn_error *err) {
  wn_store *store = wn_engine_store(r->engine);
  wn_archive_options options = {
      .before_ms = wn_now_ms() - (int64_t)(days * 86400e3), .commit = commit, .ctx = r};
  wn_status status = WN_OK;
  *report = (wn_archive_report){0};
  pthread_mutex_lock(&r->work);
  if (days > 0) status = wn_archive_run(store, &options, report, err);
  if (status == WN_OK) status = wn_archive_clean(store, report, err);
  pthread_mutex_unlock(&r->work);
  if (status == WN_OK && report->events + report->erased > 0)
    wn_log(WN_LOG_INFO,
           "retention: archived=%" PRIu64 " segments=%" PRIu64 " bytes=%" PRIu64
           " erased-from-archive=%" PRIu64,
           report->events, report->segments, report->bytes, report->erased);
  return status;
}

wn_status wn_retention_run(wn_retention *r, double days, wn_archive_report *report, wn_error *err) {
  if (days <= 0) days = (double)r->config->events_days;
  if (days <= 0)
    return wn_fail(err, WN_E_ARGUMENT, "days", "say how many, or set retention.events_days");
  return work(r, days, report, err);
}

void wn_retention_clean_soon(wn_retention *r) {
  pthread_mutex_lock(&r->lock);
  r->clean = true;
  pthread_cond_signal(&r->wake);
  pthread_mutex_unlock(&r->lock);
}

static void *run(void *arg) {
  wn_retention *r = arg;
  wn_archive_report report;
  wn_error err;
  double wait = FIRST_SECONDS;
  pthread_mutex_lock(&r->lock);
  while (!r->end) {
    struct timespec until;
    int rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)wait;
    while (!r->end && !r->clean && rc == 0) rc = pthread_cond_timedwait(&r->wake, &r->lock, &until);
    if (r->end) break;
    bool due = rc != 0;
    r->clean = false;
    pthread_mutex_unlock(&r->lock);
    if (work(r, due ? (double)r->config->events_days : 0, &report, &err) != WN_OK)
      wn_log(WN_LOG_ERROR, "retention: %s", err.message);
    if (due) wait = (double)r->config->every_hours * 3600;
    pthread_mutex_lock(&r->lock);
  }
  pthread_mutex_unlock(&r->lock);
  return NULL;
}

wn_status wn_retention_start(wn_engine *engine, wn_retention **out, wn_error *err) {
  pthread_condattr_t attr;
  wn_retention *r = wn_calloc(1, sizeof *r);
  *out = NULL;
  if (r == NULL) return wn_fail_memory(err);
  r->engine = engine;
  r->config = &wn_engine_config(engine)->retention;
  pthread_mutex_init(&r->work, NULL);
  pthread_mutex_init(&r->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&r->wake, &attr);
  pthread_condattr_destroy(&attr);
  if (pthread_create(&r->thread, NULL, run, r) != 0) {
    wn_free(r);
    return wn_fail_errno(err, "threads", "cannot start a thread");
  }
  *out = r;
  return WN_OK;
}

void wn_retention_stop(wn_retention *r) {
  if (r == NULL) return;
  atomic_store(&r->stopping, true);
  pthread_mutex_lock(&r->lock);
  r->end = true;
  pthread_cond_signal(&r->wake);
  pthread_mutex_unlock(&r->lock);
  pthread_join(r->thread, NULL);
  pthread_cond_destroy(&r->wake);
  pthread_mutex_destroy(&r->lock);
  pthread_mutex_destroy(&r->work);
  wn_free(r);
}
