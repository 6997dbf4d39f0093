/* When to train, and what became of it. One thread: it looks once a second whether something is
 * due, and while a child runs (trainer_child.c) it is that child's keeper.
 *
 * Counted from the last attempt and not from the snapshot alone: a challenger that the gate kept
 * out would else be trained again at once, and for ever. A failure is tried again after
 * retry_seconds, twice that, four times that …; after `retries` in a row the next one waits for its
 * schedule. */
#include "serve/trainer_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RETRY_SECONDS_MAX 21600
#define SETTLE_MS         60000 /* after the start of the server: first let it warm up */

static const char *const result_names[] = {"none", "promoted", "kept", "failed", "cancelled"};

const char *wn_training_result_name(wn_training_result result) {
  return result_names[result];
}

/* --- when --- */

static int64_t hours_ms(float hours) {
  return (int64_t)((double)hours * 3600e3);
}

static uint64_t events_since(const wn_trainer *t, const wn_engine_stats *stats) {
  uint64_t from =
      stats->snapshot_last_seq > t->attempt_seq ? stats->snapshot_last_seq : t->attempt_seq;
  return stats->last_seq > from ? stats->last_seq - from : 0;
}

/* When the schedule is next due; 0: never. */
static int64_t scheduled_ms(const wn_trainer *t, const wn_engine_stats *stats) {
  float hours = t->config->every_hours;
  if (hours <= 0) return 0;
  int64_t from = stats->snapshot > 0 ? stats->snapshot_created_ms : t->born_ms;
  if (t->attempt_ms > from) from = t->attempt_ms;
  int64_t due = from + hours_ms(hours), settled = t->born_ms + SETTLE_MS;
  return due > settled || hours_ms(hours) < SETTLE_MS ? due : settled;
}

/* NULL: nothing is due. Under the lock. */
static const char *due(const wn_trainer *t, const wn_engine_stats *stats, int64_t now_ms) {
  uint64_t events = events_since(t, stats);
  int64_t scheduled = scheduled_ms(t, stats);
  if (t->asked) return "request";
  if (stats->last_seq == 0) return NULL;
  if (t->status.failures > 0 && !t->status.given_up) return now_ms >= t->retry_ms ? "retry" : NULL;
  if (t->config->events > 0 && events >= t->config->events) return "events";
  if (t->drifted && events > 0) return "drift";
  return scheduled > 0 && now_ms >= scheduled && events > 0 ? "schedule" : NULL;
}

/* --- what became of it --- */

static void note_failure(wn_trainer *t) {
  wn_trainer_status *s = &t->status;
  uint64_t wait = t->config->retry_seconds;
  for (uint32_t i = 0; i < s->failures && wait < RETRY_SECONDS_MAX; i++) wait *= 2;
  if (wait > RETRY_SECONDS_MAX) wait = RETRY_SECONDS_MAX;
  s->failures++;
  s->given_up = s->failures > t->config->retries;
  t->retry_ms = wn_now_ms() + (int64_t)wait * 1000;
  if (s->given_up)
    wn_log(WN_LOG_ERROR, "training: failures=%" PRIu32 " gives-up-until=schedule reason=\"%s\"",
           s->failures, s->last.reason);
  else
    wn_log(WN_LOG_WARN,
           "training: failed failures=%" PRIu32 " next-try-seconds=%" PRIu64 " reason=\"%s\"",
           s->failures, wait, s->last.reason);
}

/* Under the lock. */
static void conclude(wn_trainer *t, const wn_child_report *report) {
  wn_trainer_status *s = &t->status;
  s->running = false;
  s->runs[report->result]++;
  s->last.result = report->result;
  s->last.trigger = s->trigger;
  s->last.ended_ms = wn_now_ms();
  s->last.seconds = (double)(s->last.ended_ms - s->started_ms) / 1000;
  s->last.snapshot = report->snapshot;
  s->last.difference = report->difference;
  snprintf(s->last.reason, sizeof s->last.reason, "%s", report->reason);
  snprintf(s->last.gate, sizeof s->last.gate, "%s", report->gate);
  snprintf(s->last.verdict, sizeof s->last.verdict, "%s", report->verdict);
  if (report->result == WN_TRAINING_FAILED) {
    note_failure(t);
    return;
  }
  s->failures = 0;
  s->given_up = false;
  wn_log(report->result == WN_TRAINING_KEPT ? WN_LOG_WARN : WN_LOG_INFO,
         "training: %s snapshot=%" PRIu64 " seconds=%.1f trigger=%s reason=\"%s\"",
         wn_training_result_name(report->result), report->snapshot, s->last.seconds, s->trigger,
         s->last.reason);
}

static void run_one(wn_trainer *t, const char *trigger, uint64_t last_seq) {
  wn_child_report report = {0};
  wn_training_ask ask = t->ask;
  t->asked = t->drifted = false;
  t->ask = (wn_training_ask){0};
  t->attempt_seq = last_seq;
  t->attempt_ms = t->status.started_ms = wn_now_ms();
  t->status.running = true;
  t->status.trigger = trigger;
  t->status.stage[0] = '\0';
  t->status.percent = 0;
  atomic_store(&t->cancel, false);
  pthread_mutex_unlock(&t->lock);
  wn_log(WN_LOG_INFO, "training: starts trigger=%s last_seq=%" PRIu64, trigger, last_seq);
  wn_trainer_child(t, ask, &report);
  if (report.result == WN_TRAINING_PROMOTED) {
    bool swapped = false;
    wn_error ignored = {0};
    (void)!wn_engine_refresh(t->engine, &swapped,
                             &ignored); /* the server looks again each second */
  }
  pthread_mutex_lock(&t->lock);
  conclude(t, &report);
}

static void *run(void *arg) {
  wn_trainer *t = arg;
  pthread_mutex_lock(&t->lock);
  while (!atomic_load(&t->end)) {
    wn_engine_stats stats;
    struct timespec until;
    pthread_mutex_unlock(&t->lock);
    wn_engine_stats_get(t->engine, &stats);
    pthread_mutex_lock(&t->lock);
    const char *trigger = due(t, &stats, wn_now_ms());
    if (trigger != NULL && !atomic_load(&t->end)) {
      run_one(t, trigger, stats.last_seq);
      continue;
    }
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    if (!t->asked && !atomic_load(&t->end)) pthread_cond_timedwait(&t->wake, &t->lock, &until);
  }
  pthread_mutex_unlock(&t->lock);
  return NULL;
}

/* --- the interface --- */

wn_status wn_trainer_start(wn_engine *engine, const char *program, wn_trainer **out,
                           wn_error *err) {
  pthread_condattr_t attr;
  *out = NULL;
  wn_trainer *t = wn_calloc(1, sizeof *t);
  if (t == NULL) return wn_fail_memory(err);
  t->engine = engine;
  t->program = program != NULL ? program : "/proc/self/exe";
  t->config = &wn_engine_config(engine)->training;
  t->born_ms = wn_now_ms();
  pthread_mutex_init(&t->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&t->wake, &attr);
  pthread_condattr_destroy(&attr);
  if (pthread_create(&t->thread, NULL, run, t) != 0) {
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    wn_free(t);
    return wn_fail_errno(err, "threads", "cannot start a thread");
  }
  *out = t;
  return WN_OK;
}

void wn_trainer_stop(wn_trainer *t) {
  if (t == NULL) return;
  atomic_store(&t->end, true);
  atomic_store(&t->cancel, true);
  pthread_mutex_lock(&t->lock);
  pthread_cond_signal(&t->wake);
  pthread_mutex_unlock(&t->lock);
  pthread_join(t->thread, NULL);
  pthread_cond_destroy(&t->wake);
  pthread_mutex_destroy(&t->lock);
  wn_free(t);
}

wn_status wn_trainer_ask(wn_trainer *t, wn_training_ask ask, wn_error *err) {
  pthread_mutex_lock(&t->lock);
  bool busy = t->status.running || t->asked;
  if (!busy) {
    t->asked = true;
    t->ask = ask;
    pthread_cond_signal(&t->wake);
  }
  pthread_mutex_unlock(&t->lock);
  return busy ? wn_fail(err, WN_E_CONFLICT, "", "a training is running already") : WN_OK;
}

void wn_trainer_drifted(wn_trainer *t) {
  pthread_mutex_lock(&t->lock);
  t->drifted = !t->status.running;
  pthread_mutex_unlock(&t->lock);
}

wn_status wn_trainer_cancel(wn_trainer *t, wn_error *err) {
  pthread_mutex_lock(&t->lock);
  bool running = t->status.running || t->asked;
  t->asked = false;
  if (t->status.running) atomic_store(&t->cancel, true);
  pthread_mutex_unlock(&t->lock);
  return running ? WN_OK : wn_fail(err, WN_E_CONFLICT, "", "no training is running");
}

void wn_trainer_status_get(wn_trainer *t, wn_trainer_status *out) {
  wn_engine_stats stats;
  wn_engine_stats_get(t->engine, &stats);
  pthread_mutex_lock(&t->lock);
  *out = t->status;
  out->events = events_since(t, &stats);
  out->next_ms = scheduled_ms(t, &stats);
  if (out->failures > 0 && !out->given_up) out->next_ms = t->retry_ms;
  pthread_mutex_unlock(&t->lock);
}

static void write_time(wn_json *json, const char *key, int64_t ms) {
  char text[32];
  wn_json_key(json, key);
  if (ms > 0)
    wn_json_cstring(json, wn_time_format(ms, text, sizeof text));
  else
    wn_json_null(json);
}

static void write_last(const wn_trainer_status *s, wn_json *json) {
  wn_json_key(json, "last");
  if (s->last.result == WN_TRAINING_NONE) {
    wn_json_null(json);
    return;
  }
  wn_json_object(json);
  wn_json_key(json, "result");
  wn_json_cstring(json, wn_training_result_name(s->last.result));
  wn_json_key(json, "trigger");
  wn_json_cstring(json, s->last.trigger);
  write_time(json, "ended", s->last.ended_ms);
  wn_json_key(json, "seconds");
  wn_json_double(json, s->last.seconds);
  wn_json_key(json, "snapshot");
  if (s->last.snapshot > 0)
    wn_json_int(json, (int64_t)s->last.snapshot);
  else
    wn_json_null(json);
  wn_json_key(json, "reason");
  wn_json_cstring(json, s->last.reason);
  wn_json_key(json, "gate");
  if (s->last.gate[0] != '\0')
    wn_json_raw(json, wn_str_of(s->last.gate));
  else
    wn_json_null(json);
  wn_json_end_object(json);
}

void wn_trainer_status_json(const wn_trainer_status *s, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "running");
  wn_json_bool(&json, s->running);
  if (s->running) {
    wn_json_key(&json, "trigger");
    wn_json_cstring(&json, s->trigger);
    wn_json_key(&json, "stage");
    wn_json_cstring(&json, s->stage);
    wn_json_key(&json, "percent");
    wn_json_double(&json, s->percent);
    write_time(&json, "started", s->started_ms);
  }
  wn_json_key(&json, "events");
  wn_json_int(&json, (int64_t)s->events);
  write_time(&json, "next", s->next_ms);
  wn_json_key(&json, "failures");
  wn_json_int(&json, s->failures);
  wn_json_key(&json, "given_up");
  wn_json_bool(&json, s->given_up);
  wn_json_key(&json, "runs");
  wn_json_object(&json);
  for (int r = WN_TRAINING_PROMOTED; r < WN_TRAINING_RESULTS; r++) {
    wn_json_key(&json, result_names[r]);
    wn_json_int(&json, (int64_t)s->runs[r]);
  }
  wn_json_end_object(&json);
  write_last(s, &json);
  wn_json_end_object(&json);
}
