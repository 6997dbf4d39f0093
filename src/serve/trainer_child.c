/* One training: the child's arguments, its two pipes, its deadline, its end.
 *
 * posix_spawn and not fork: forking a server with gigabytes of state would copy its page tables
 * while requests wait. What must happen between fork and exec the child does itself
 * (background.c). Its standard error brings progress lines and complaints, its standard output one
 * JSON report. Should the server be killed, the kernel kills the child.
 *
 * It begins with what nobody else wants of the processors, and is raised to nice 19 once that was
 * next to nothing: less than a twentieth of its threads' time in a hundredth of minutes_max. */
#include "serve/background.h"
#include "serve/trainer_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPORT_BYTES_MAX 65536
#define KILL_AFTER_NS    10000000000ull /* SIGTERM, then SIGKILL */
#define ARGS_MAX         20

extern char **environ;

typedef struct child {
  wn_trainer *trainer;
  pid_t pid;
  int out, err; /* pipes; −1: at their end */
  wn_buf report;
  char line[512]; /* of standard error, as far as it has come */
  size_t line_len;
  char complaint[400]; /* its last line that is not progress */
  uint64_t deadline_ns;
  uint32_t threads;
  bool idle; /* may be starved */
  struct {
    uint64_t at_ns, cpu_ns;
  } seen;            /* of its processor time */
  uint64_t asked_ns; /* when it was asked to end; 0: not yet */
  bool late;
} child;

typedef struct words {
  const char *argv[ARGS_MAX];
  char threads[16], memory[16], nice[16], clock[32], dir[4096], parent[64];
} words;

static uint32_t thread_count(const wn_training_config *config) {
  int cpus = wn_cpu_count();
  if (config->threads > 0) return config->threads;
  return cpus > 1 ? (uint32_t)cpus - 1 : 1;
}

static uint32_t nice_value(const wn_trainer *t) {
  return t->starved && t->config->nice == WN_BACKGROUND_IDLE ? WN_BACKGROUND_IDLE - 1
                                                             : t->config->nice;
}

static double minutes_ns(const wn_training_config *config) {
  return (double)config->minutes_max * 6e10;
}

static void make_words(const wn_trainer *t, wn_training_ask ask, words *w) {
  const wn_config *config = wn_engine_config(t->engine);
  size_t n = 0;
  wn_str dir = wn_store_dir(wn_engine_store(t->engine));
  snprintf(w->dir, sizeof w->dir, "%.*s", WN_STR_ARG(dir));
  snprintf(w->threads, sizeof w->threads, "%" PRIu32, thread_count(t->config));
  snprintf(w->memory, sizeof w->memory, "%" PRIu32, t->config->memory_mb);
  snprintf(w->nice, sizeof w->nice, "%" PRIu32, nice_value(t));
  snprintf(w->parent, sizeof w->parent, WN_BACKGROUND_PARENT "=%ld", (long)getpid());
  const char *always[] = {"winnow",    "train",    "--data",       w->dir, "--json",
                          "--threads", w->threads, "--background", w->nice};
  for (; n < sizeof always / sizeof always[0]; n++) w->argv[n] = always[n];
  if (config->file[0] != '\0') w->argv[n++] = "--config", w->argv[n++] = config->file;
  if (t->config->memory_mb > 0) w->argv[n++] = "--memory-mb", w->argv[n++] = w->memory;
  if (ask.cold) w->argv[n++] = "--cold";
  if (ask.force) w->argv[n++] = "--force";
  if (wn_clock_is_virtual()) {
    snprintf(w->clock, sizeof w->clock, "%" PRId64, wn_now_ms());
    w->argv[n++] = "--virtual-clock", w->argv[n++] = w->clock;
  }
  w->argv[n] = NULL;
}

/* The server's environment and one line more. */
static char **make_environment(const words *w) {
  size_t n = 0;
  while (environ[n] != NULL) n++;
  char **all = calloc(n + 2, sizeof *all);
  if (all == NULL) return NULL;
  memcpy(all, environ, n * sizeof *all);
  all[n] = (char *)(uintptr_t)w->parent;
  return all;
}

/* Signals as a fresh process has them: the server's threads block theirs. */
static int spawn(child *c, const words *w, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attr;
  sigset_t none, all;
  char **environment = make_environment(w);
  if (environment == NULL) return ENOMEM;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  posix_spawnattr_init(&attr);
  posix_spawnattr_setsigmask(&attr, &none);
  posix_spawnattr_setsigdefault(&attr, &all);
  posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  int code = posix_spawn(&c->pid, c->trainer->program, &actions, &attr,
                         (char *const *)(uintptr_t)w->argv, environment);
  posix_spawnattr_destroy(&attr);
  posix_spawn_file_actions_destroy(&actions);
  free(environment);
  return code;
}

static wn_status begin(child *c, wn_training_ask ask, wn_error *err) {
  words w;
  int out[2] = {-1, -1}, complaints[2] = {-1, -1};
  make_words(c->trainer, ask, &w);
  c->out = c->err = -1;
  if (pipe2(out, O_CLOEXEC) != 0) return wn_fail_errno(err, "", "cannot make a pipe");
  int code = pipe2(complaints, O_CLOEXEC) == 0 ? spawn(c, &w, out[1], complaints[1]) : errno;
  close(out[1]);
  if (complaints[1] >= 0) close(complaints[1]);
  if (code == 0) {
    c->out = out[0];
    c->err = complaints[0];
    return WN_OK;
  }
  close(out[0]);
  if (complaints[0] >= 0) close(complaints[0]);
  errno = code;
  return wn_fail_errno(err, "", "cannot start %s", c->trainer->program);
}

/* progress stage="als" percent=12.5 … */
static bool read_progress(child *c) {
  char stage[64];
  double percent = 0;
  if (sscanf(c->line, "progress stage=\"%63[^\"]\" percent=%lf", stage, &percent) != 2)
    return false;
  pthread_mutex_lock(&c->trainer->lock);
  snprintf(c->trainer->status.stage, sizeof c->trainer->status.stage, "%s", stage);
  c->trainer->status.percent = percent;
  pthread_mutex_unlock(&c->trainer->lock);
  return true;
}

static void take_complaints(child *c, const char *bytes, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (bytes[i] != '\n') {
      if (c->line_len < sizeof c->line - 1) c->line[c->line_len++] = bytes[i];
      continue;
    }
    c->line[c->line_len] = '\0';
    if (c->line_len > 0 && !read_progress(c))
      snprintf(c->complaint, sizeof c->complaint, "%.399s", c->line);
    c->line_len = 0;
  }
}

static void take(child *c, int *fd, bool complaints) {
  char bytes[4096];
  ssize_t len = read(*fd, bytes, sizeof bytes);
  if (len < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (len <= 0) {
    close(*fd);
    *fd = -1;
  } else if (complaints) {
    take_complaints(c, bytes, (size_t)len);
  } else if (c->report.len + (size_t)len <= REPORT_BYTES_MAX) {
    wn_buf_append(&c->report, bytes, (size_t)len);
  }
}

/* Too long, or not wanted any more: asked to end, then made to. */
static void hurry(child *c) {
  uint64_t now = wn_mono_ns();
  c->late |= now > c->deadline_ns;
  if (!c->late && !atomic_load(&c->trainer->cancel)) return;
  bool asked = c->asked_ns != 0;
  bool patient = asked && now - c->asked_ns < KILL_AFTER_NS && !atomic_load(&c->trainer->end);
  if (patient) return;
  if (!asked) c->asked_ns = now;
  (void)kill(c->pid, asked || atomic_load(&c->trainer->end) ? SIGKILL : SIGTERM);
}

static uint64_t cpu_ns(pid_t pid) {
  struct timespec used = {0};
  clockid_t clock;
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0) return 0;
  return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

static void raise_starved(child *c) {
  uint64_t now = wn_mono_ns(), used = cpu_ns(c->pid), passed = now - c->seen.at_ns;
  uint64_t got = used - c->seen.cpu_ns;
  if (!c->idle || (double)passed < minutes_ns(c->trainer->config) / 100) return;
  c->seen.at_ns = now;
  c->seen.cpu_ns = used;
  if (got >= passed / 20 * c->threads) return;
  int raised = wn_background_raise(c->pid);
  if (raised == 0) return; /* so far it only begins */
  c->idle = false;
  c->trainer->starved |= raised < 0;
  wn_log(WN_LOG_WARN, "training: starved seconds=%.1f processor-seconds=%.2f %s",
         (double)passed / 1e9, (double)got / 1e9,
         raised > 0 ? "now=nice-19"
                    : "now=idle next=nice-19 reason=\"may not raise it: RLIMIT_NICE is 0\"");
}

static int watch(child *c) {
  int status = 0;
  while (c->out >= 0 || c->err >= 0) {
    struct pollfd fds[2] = {{.fd = c->out, .events = POLLIN}, {.fd = c->err, .events = POLLIN}};
    if (poll(fds, 2, 100) < 0 && errno != EINTR) break;
    if (c->out >= 0 && fds[0].revents != 0) take(c, &c->out, false);
    if (c->err >= 0 && fds[1].revents != 0) take(c, &c->err, true);
    hurry(c);
    raise_starved(c);
  }
  while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

/* {"snapshot": 2, …, "promoted": true, "gate": {"reason": …}} */
static bool read_report(const child *c, wn_child_report *report) {
  json_error_t ignored;
  json_t *json = c->report.len > 0 ? json_loadb(c->report.data, c->report.len, 0, &ignored) : NULL;
  const json_t *gate = json_object_get(json, "gate");
  const char *reason = json_string_value(json_object_get(gate, "reason"));
  const char *verdict = json_string_value(json_object_get(gate, "verdict"));
  bool good = json_is_object(gate) && reason != NULL && verdict != NULL;
  if (good) {
    bool promoted = json_is_true(json_object_get(json, "promoted"));
    char *text = json_dumps(gate, JSON_COMPACT);
    report->result = promoted ? WN_TRAINING_PROMOTED : WN_TRAINING_KEPT;
    report->snapshot = (uint64_t)json_integer_value(json_object_get(json, "snapshot"));
    report->difference = json_number_value(json_object_get(gate, "difference"));
    snprintf(report->reason, sizeof report->reason, "%s", reason);
    snprintf(report->verdict, sizeof report->verdict, "%s", verdict);
    if (text != NULL && strlen(text) < sizeof report->gate)
      snprintf(report->gate, sizeof report->gate, "%s", text);
    free(text);
  }
  json_decref(json);
  return good;
}

static void conclude(const child *c, int status, wn_child_report *report) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && read_report(c, report)) return;
  bool cancelled = atomic_load(&c->trainer->cancel);
  report->result = cancelled ? WN_TRAINING_CANCELLED : WN_TRAINING_FAILED;
  if (cancelled)
    snprintf(report->reason, sizeof report->reason, "cancelled");
  else if (c->late)
    snprintf(report->reason, sizeof report->reason,
             "took more than training.minutes_max = %g minutes",
             (double)c->trainer->config->minutes_max);
  else if (WIFSIGNALED(status))
    snprintf(report->reason, sizeof report->reason, "was killed by signal %d (%s)%s%.200s",
             WTERMSIG(status), strsignal(WTERMSIG(status)), c->complaint[0] != '\0' ? "; " : "",
             c->complaint);
  else
    snprintf(report->reason, sizeof report->reason, "exit status %d: %.300s", WEXITSTATUS(status),
             c->complaint[0] != '\0' ? c->complaint : "without a report");
}

void wn_trainer_child(wn_trainer *trainer, wn_training_ask ask, wn_child_report *report) {
  child c = {.trainer = trainer, .threads = thread_count(trainer->config)};
  wn_error err = {0};
  c.seen.at_ns = wn_mono_ns();
  c.deadline_ns = c.seen.at_ns + (uint64_t)minutes_ns(trainer->config);
  c.idle = nice_value(trainer) == WN_BACKGROUND_IDLE;
  if (begin(&c, ask, &err) != WN_OK) {
    report->result = WN_TRAINING_FAILED;
    snprintf(report->reason, sizeof report->reason, "%.399s", err.message);
    return;
  }
  conclude(&c, watch(&c), report);
  wn_buf_clear(&c.report);
}
