/* Looking and sending. A message that could not be sent stays in the queue and is tried again at
 * each look; a rule's newer message replaces its older one, so that the queue is bounded. */
#include "serve/server_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SEND_SECONDS_MAX 10L

struct wn_alerts {
  wn_server *server;
  const wn_alert_config *config;
  pthread_t thread;
  char host[256];
  wn_metrics_totals before;
  uint64_t swap_failures;
  uint64_t drift_snapshot, drift_events; /* when the trainer was told last */
  pthread_mutex_t lock;                  /* of what follows */
  pthread_cond_t wake;
  bool end;
  wn_alert_state state;
  wn_alert_message waiting[WN_ALERT_COUNT]; /* by rule */
  bool has_waiting[WN_ALERT_COUNT];
  uint64_t looks, sent, failed;
};

static double disk_free_mb(const wn_server *server) {
  char dir[4096];
  struct statvfs fs;
  wn_str data = wn_store_dir(wn_engine_store(server->engine));
  snprintf(dir, sizeof dir, "%.*s", WN_STR_ARG(data));
  if (statvfs(dir, &fs) != 0) return NAN;
  return (double)fs.f_bavail * (double)fs.f_frsize / 1e6;
}

/* Since the last look: few requests say nothing about shares and percentiles. */
static void values_of_requests(wn_alerts *a, double values[WN_ALERT_COUNT]) {
  wn_metrics_totals now;
  wn_metrics_totals_get(a->server->metrics, &now);
  uint64_t requests = now.requests - a->before.requests;
  bool enough = requests >= 20;
  values[WN_ALERT_error_share] =
      enough ? (double)(now.errors - a->before.errors) / (double)requests : NAN;
  values[WN_ALERT_p99_ms] = enough ? 1e3 * wn_metrics_quantile(&a->before, &now, 0.99) : NAN;
  if (enough) a->before = now;
}

/* Tells the trainer, too; again for the same snapshot only when as many events as then have come.
 */
static double drift(wn_alerts *a) {
  wn_drift_report r;
  wn_error err = {0};
  float limit = wn_engine_config(a->server->engine)->training.drift;
  if (wn_drift_look(a->server->drift, a->server->engine, &err) != WN_OK)
    wn_log(WN_LOG_WARN, "drift: cannot be told: %s", err.message);
  wn_drift_report_get(a->server->drift, &r);
  if (r.snapshot != a->drift_snapshot) a->drift_events = 0;
  a->drift_snapshot = r.snapshot;
  if (limit > 0 && r.worst > (double)limit && r.events >= 2 * a->drift_events) {
    a->drift_events = r.events;
    wn_trainer_drifted(a->server->trainer);
  }
  return r.worst;
}

static void values_of(wn_alerts *a, double values[WN_ALERT_COUNT]) {
  wn_engine_stats stats;
  wn_trainer_status training;
  wn_engine_stats_get(a->server->engine, &stats);
  wn_trainer_status_get(a->server->trainer, &training);
  bool stale = stats.snapshot > 0 && stats.last_seq > stats.snapshot_last_seq;
  values_of_requests(a, values);
  values[WN_ALERT_commit_failing] = stats.commits.last != WN_OK || !stats.writable;
  values[WN_ALERT_training_failures] = training.failures;
  values[WN_ALERT_snapshot_age_hours] =
      stale ? (double)(wn_now_ms() - stats.snapshot_created_ms) / 3600e3 : 0;
  values[WN_ALERT_swap_failures] = (double)(stats.swap_failures - a->swap_failures);
  values[WN_ALERT_queue_share] = (double)stats.commits.queued_ops / 100000.0;
  values[WN_ALERT_disk_free_mb] = disk_free_mb(a->server);
  values[WN_ALERT_drift_psi] = drift(a);
  values[WN_ALERT_memory_mb] = wn_metrics_resident_bytes() / 1e6;
  a->swap_failures = stats.swap_failures;
}

static size_t drop_answer(char *bytes, size_t size, size_t count, void *ctx) {
  (void)bytes, (void)ctx;
  return size * count;
}

static bool post(const char *url, const wn_buf *body) {
  long status = 0;
  CURL *curl = curl_easy_init();
  struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
  if (curl == NULL || headers == NULL) return false;
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body->len);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, SEND_SECONDS_MAX);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop_answer);
  bool good = curl_easy_perform(curl) == CURLE_OK &&
              curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
              status >= 200 && status < 300;
  curl_slist_free_all(headers);
  curl_easy_cleanup(curl);
  return good;
}

static void send_one(wn_alerts *a, wn_alert_rule rule) {
  wn_buf body = {0};
  pthread_mutex_lock(&a->lock);
  wn_alert_message message = a->waiting[rule];
  bool any = a->has_waiting[rule];
  pthread_mutex_unlock(&a->lock);
  if (!any) return;
  wn_alert_payload(&message, a->host, &body);
  bool good = !body.failed && (a->config->webhook[0] == '\0' || post(a->config->webhook, &body));
  if (!good) wn_log(WN_LOG_WARN, "alert: cannot tell the webhook, tries again");
  wn_buf_clear(&body);
  pthread_mutex_lock(&a->lock);
  a->has_waiting[rule] = !good;
  a->sent += good;
  a->failed += !good;
  pthread_mutex_unlock(&a->lock);
}

static void look(wn_alerts *a) {
  double values[WN_ALERT_COUNT];
  wn_alert_message messages[WN_ALERT_COUNT];
  values_of(a, values);
  pthread_mutex_lock(&a->lock);
  a->looks++;
  size_t len = wn_alerts_look(&a->state, a->config, values, wn_now_ms(), messages);
  for (size_t i = 0; i < len; i++) {
    a->waiting[messages[i].rule] = messages[i];
    a->has_waiting[messages[i].rule] = true;
  }
  pthread_mutex_unlock(&a->lock);
  for (size_t i = 0; i < len; i++)
    wn_log(messages[i].recovered ? WN_LOG_WARN : WN_LOG_ERROR, "alert: %s rule=%s value=%g",
           messages[i].recovered ? "recovered" : "firing", wn_alert_rule_name(messages[i].rule),
           messages[i].value);
  for (int rule = 0; rule < WN_ALERT_COUNT; rule++) send_one(a, (wn_alert_rule)rule);
}

static void *watch(void *arg) {
  wn_alerts *a = arg;
  pthread_mutex_lock(&a->lock);
  while (!a->end) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += a->config->every_seconds;
    while (!a->end && pthread_cond_timedwait(&a->wake, &a->lock, &until) == 0) continue;
    if (a->end) break;
    pthread_mutex_unlock(&a->lock);
    look(a);
    pthread_mutex_lock(&a->lock);
  }
  pthread_mutex_unlock(&a->lock);
  return NULL;
}

wn_status wn_alerts_start(wn_server *server, wn_alerts **out, wn_error *err) {
  pthread_condattr_t attr;
  wn_alerts *a = wn_calloc(1, sizeof *a);
  *out = NULL;
  if (a == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    wn_free(a);
    return wn_fail_memory(err);
  }
  a->server = server;
  a->config = &wn_engine_config(server->engine)->alerts;
  if (gethostname(a->host, sizeof a->host - 1) != 0) snprintf(a->host, sizeof a->host, "?");
  pthread_mutex_init(&a->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&a->wake, &attr);
  pthread_condattr_destroy(&attr);
  if (pthread_create(&a->thread, NULL, watch, a) != 0) {
    wn_free(a);
    return wn_fail_errno(err, "threads", "cannot start a thread");
  }
  *out = a;
  return WN_OK;
}

void wn_alerts_stop(wn_alerts *a) {
  if (a == NULL) return;
  pthread_mutex_lock(&a->lock);
  a->end = true;
  pthread_cond_signal(&a->wake);
  pthread_mutex_unlock(&a->lock);
  pthread_join(a->thread, NULL);
  pthread_cond_destroy(&a->wake);
  pthread_mutex_destroy(&a->lock);
  wn_free(a);
}

void wn_alerts_render(wn_alerts *a, wn_buf *out) {
  wn_drift_render(a->server->drift, out);
  pthread_mutex_lock(&a->lock);
  wn_metrics_head(out, "winnow_alert_firing", "gauge", "1: the rule fires.");
  for (int i = 0; i < WN_ALERT_COUNT; i++)
    wn_buf_printf(out, "winnow_alert_firing{rule=\"%s\"} %d\n",
                  wn_alert_rule_name((wn_alert_rule)i), a->state.firing[i]);
  wn_metrics_single(out, "winnow_alerts_looks_total", "counter",
                    "Times that the rules were looked at.", (double)a->looks);
  wn_metrics_single(out, "winnow_alerts_sent_total", "counter", "Messages to the webhook.",
                    (double)a->sent);
  wn_metrics_single(out, "winnow_alerts_failed_total", "counter",
                    "Attempts that the webhook did not take.", (double)a->failed);
  pthread_mutex_unlock(&a->lock);
}
