/* A second's beat, in which nothing happens but where a rule is due. When it last looked is kept in
 * memory alone: after a restart it looks at once. */
#include "serve/referee.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lab/verdict.h"
#include "serve/audit.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct last_look {
  char name[WN_NAME_MAX + 1];
  uint64_t ns;
} last_look;

struct wn_referee {
  wn_engine *engine;
  pthread_t thread;
  pthread_mutex_t lock; /* of `end` */
  pthread_cond_t wake;
  bool running, end;
  last_look looks[WN_EXPERIMENTS_MAX]; /* the thread's own */
  size_t looks_len;
};

static void tell(wn_engine *engine, const wn_experiment *e, const char *act, const char *why) {
  char action[500];
  snprintf(action, sizeof action, "rule: %s %s: %s", act, e->name, why);
  wn_audit(wn_engine_dir(engine),
           &(wn_audit_entry){
               .actor = "rule", .address = "", .action = action, .status = 200, .request = ""});
  wn_log(WN_LOG_WARN, "%s", action);
}

wn_status wn_referee_look(wn_engine *engine, const wn_experiment *e, bool *acted, wn_error *err) {
  wn_status status = WN_OK;
  wn_outcome outcome = {0};
  wn_experiment_verdict verdict;
  size_t arm = 0;
  char why[300] = "", act[100];
  *acted = false;
  WN_TRY(wn_experiment_look(wn_engine_store(engine), wn_engine_dir(engine), e, &outcome, &verdict,
                            err));
  switch (wn_experiment_ruling(e, &verdict, &arm, why, sizeof why)) {
  case WN_RULING_WAIT: break;
  case WN_RULING_PROMOTE:
    WN_TRY(wn_engine_promote(engine, e, arm, err));
    snprintf(act, sizeof act, "promote %s of", e->arms[arm].name);
    *acted = true;
    break;
  case WN_RULING_ROLL_BACK:
    WN_TRY(wn_engine_stop_experiment(engine, wn_str_of(e->name), err));
    snprintf(act, sizeof act, "roll back");
    *acted = true;
    break;
  }
  if (*acted) tell(engine, e, act, why);
cleanup:
  wn_outcome_clear(&outcome);
  return status;
}

/* Whether a look is due; then it is noted. */
static bool due(wn_referee *r, const wn_experiment *e, uint64_t now_ns) {
  size_t i = 0;
  if (e->stopped || (!e->rule.promote && !e->rule.roll_back)) return false;
  while (i < r->looks_len && strcmp(r->looks[i].name, e->name) != 0) i++;
  if (i < r->looks_len && (double)(now_ns - r->looks[i].ns) < e->rule.every_minutes * 60e9)
    return false;
  if (i == WN_EXPERIMENTS_MAX) i = r->looks_len = 0; /* names come and go */
  if (i == r->looks_len) r->looks_len++;
  snprintf(r->looks[i].name, sizeof r->looks[i].name, "%s", e->name);
  r->looks[i].ns = now_ns;
  return true;
}

static void look_at_all(wn_referee *r) {
  wn_error err = {0};
  char text[900];
  wn_policy *policy = wn_engine_policy(r->engine);
  for (size_t i = 0; i < policy->experiments.len; i++) {
    bool acted = false;
    const wn_experiment *e = &policy->experiments.data[i];
    if (due(r, e, wn_mono_ns()) && wn_referee_look(r->engine, e, &acted, &err) != WN_OK)
      wn_log(WN_LOG_ERROR, "rule of %s: %s", e->name, wn_error_format(&err, text, sizeof text));
  }
  wn_policy_unref(policy);
}

static void *run(void *arg) {
  wn_referee *r = arg;
  pthread_mutex_lock(&r->lock);
  while (!r->end) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    pthread_cond_timedwait(&r->wake, &r->lock, &until);
    if (r->end) break;
    pthread_mutex_unlock(&r->lock);
    look_at_all(r);
    pthread_mutex_lock(&r->lock);
  }
  pthread_mutex_unlock(&r->lock);
  return NULL;
}

wn_status wn_referee_start(wn_engine *engine, wn_referee **out, wn_error *err) {
  pthread_condattr_t attr;
  wn_referee *r = *out = wn_calloc(1, sizeof *r);
  if (r == NULL) return wn_fail_memory(err);
  r->engine = engine;
  pthread_mutex_init(&r->lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&r->wake, &attr);
  pthread_condattr_destroy(&attr);
  r->running = pthread_create(&r->thread, NULL, run, r) == 0;
  return r->running ? WN_OK : wn_fail_errno(err, "threads", "cannot start a thread");
}

void wn_referee_stop(wn_referee *r) {
  if (r == NULL) return;
  pthread_mutex_lock(&r->lock);
  r->end = true;
  pthread_cond_signal(&r->wake);
  pthread_mutex_unlock(&r->lock);
  if (r->running) pthread_join(r->thread, NULL);
  pthread_mutex_destroy(&r->lock);
  pthread_cond_destroy(&r->wake);
  wn_free(r);
}
