#include "cli/stage.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/special.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SELF       "/proc/self/exe"
#define START_NS   UINT64_C(120000000000) /* a server must be ready within */
#define OUTPUT_MAX ((size_t)64 << 20)

extern char **environ;

/* ---- processes ---- */

/* Standard output to `out` (−1: nowhere). */
static wn_status spawn(const char *const *args, int out, pid_t *pid, wn_error *err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (out >= 0)
    posix_spawn_file_actions_adddup2(&actions, out, 1);
  else
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  errno = posix_spawn(pid, SELF, &actions, NULL, (char *const *)(uintptr_t)args, environ);
  posix_spawn_file_actions_destroy(&actions);
  return errno == 0 ? WN_OK : wn_fail_errno(err, "", "cannot start winnow %s", args[1]);
}

static wn_status read_all(int fd, wn_buf *out, wn_error *err) {
  char bytes[65536];
  for (;;) {
    ssize_t len = read(fd, bytes, sizeof bytes);
    if (len < 0 && errno == EINTR) continue;
    if (len < 0) return wn_fail_errno(err, "", "cannot read from a command");
    if (len == 0) return out->failed ? wn_fail_memory(err) : WN_OK;
    if (out->len + (size_t)len > OUTPUT_MAX)
      return wn_fail(err, WN_E_TOO_LARGE, "", "a command prints more than %zu bytes", OUTPUT_MAX);
    wn_buf_append(out, bytes, (size_t)len);
  }
}

wn_status wn_stage_run(const char *const *args, wn_buf *out, wn_error *err) {
  wn_status status = WN_OK;
  int pipes[2], end = 0;
  pid_t pid = 0;
  wn_buf_reset(out);
  if (pipe2(pipes, O_CLOEXEC) != 0) return wn_fail_errno(err, "", "cannot make a pipe");
  status = spawn(args, pipes[1], &pid, err);
  close(pipes[1]);
  if (status == WN_OK) status = read_all(pipes[0], out, err);
  close(pipes[0]);
  if (pid == 0) return status;
  while (waitpid(pid, &end, 0) < 0 && errno == EINTR) continue;
  if (status != WN_OK || (WIFEXITED(end) && WEXITSTATUS(end) == 0)) return status;
  return wn_fail(err, WN_E_IO, "", "winnow %s failed with status %d", args[1],
                 WIFEXITED(end) ? WEXITSTATUS(end) : -WTERMSIG(end));
}

static void wait_a_little(void) {
  const struct timespec pause = {.tv_nsec = 5000000};
  (void)nanosleep(&pause, NULL);
}

/* Until it has written its port, or ended. */
static wn_status await_port(wn_stage_server *s, wn_error *err) {
  uint64_t until = wn_mono_ns() + START_NS;
  wn_buf text = {0};
  unsigned port = 0;
  while (port == 0 && wn_mono_ns() < until) {
    wn_error ignored = {0};
    wn_buf_reset(&text);
    if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
      s->pid = 0;
      break;
    }
    if (wn_read_file(s->port_file, 64, &text, &ignored) == WN_OK && !text.failed && text.len > 0) {
      wn_buf_char(&text, '\0');
      port = (unsigned)strtoul(text.data, NULL, 10);
    } else {
      wait_a_little();
    }
  }
  wn_buf_clear(&text);
  snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", port);
  return port > 0 ? WN_OK
                  : wn_fail(err, WN_E_IO, "", "the server of %.300s did not start", s->data);
}

static wn_status start(wn_stage_server *s, const char *config, wn_error *err) {
  wn_status status = WN_OK;
  char clock[32];
  snprintf(clock, sizeof clock, "%" PRId64, WN_STAGE_START_MS);
  const char *args[] = {"winnow",          "serve",  "--data", s->data,       "--config",
                        s->config,         "--port", "0",      "--port-file", s->port_file,
                        "--virtual-clock", clock,    NULL};
  WN_TRY(wn_write_file_atomic(s->config, wn_str_of(config), err));
  (void)unlink(s->port_file);
  WN_TRY(spawn(args, -1, &s->pid, err));
  status = await_port(s, err);
  if (status != WN_OK) wn_stage_stop(s);
cleanup:
  return status;
}

wn_status wn_stage_serve(wn_stage *stage, const char *config, wn_stage_server *s, wn_error *err) {
  *s = (wn_stage_server){0};
  snprintf(s->dir, sizeof s->dir, "%.480s/%" PRIu64, stage->scratch, ++stage->servers);
  snprintf(s->data, sizeof s->data, "%s/data", s->dir);
  snprintf(s->config, sizeof s->config, "%s/winnow.yaml", s->dir);
  snprintf(s->port_file, sizeof s->port_file, "%s/port", s->dir);
  if (mkdir(s->dir, 0700) != 0) return wn_fail_errno(err, "", "cannot make %s", s->dir);
  return start(s, config, err);
}

wn_status wn_stage_again(wn_stage_server *s, const char *config, wn_error *err) {
  wn_stage_stop(s);
  return start(s, config, err);
}

void wn_stage_stop(wn_stage_server *s) {
  if (s->pid == 0) return;
  (void)kill(s->pid, SIGTERM);
  while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR) continue;
  s->pid = 0;
}

wn_status wn_stage_train(const wn_stage_server *s, wn_site *site, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf out = {0};
  char clock[32];
  snprintf(clock, sizeof clock, "%" PRId64, WN_STAGE_START_MS + (int64_t)(site->day * 86400000.0));
  const char *args[] = {"winnow",  "train",     "--data", s->data,           "--config",
                        s->config, "--threads", "1",      "--virtual-clock", clock,
                        "--force", "--json",    NULL};
  WN_TRY(wn_site_flush(site, err));
  WN_TRY(wn_stage_run(args, &out, err));
  wn_buf_reset(&out);
  WN_TRY(wn_sim_post(site->client, "/v1/admin/refresh", &out, err));
cleanup:
  wn_buf_clear(&out);
  return status;
}

wn_status wn_stage_visits(wn_stage *stage, wn_site *site, double until,
                          void (*each)(void *ctx, const wn_visit *visit), void *ctx,
                          wn_error *err) {
  wn_status status = WN_OK;
  wn_visit *visit = wn_calloc(1, sizeof *visit);
  if (visit == NULL) return wn_fail_memory(err);
  for (uint64_t v = 0;; v++) {
    bool came = wn_crowd_next(&site->crowd, &visit->visitor);
    if (!came || visit->visitor.day >= until) break;
    if (v % 64 == 0 &&
        !wn_progress_at(stage->progress, stage->name, visit->visitor.day, until, "days"))
      WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "cancelled"));
    WN_TRY(wn_site_visit(site, visit, &came, err));
    if (each != NULL) each(ctx, visit);
  }
  WN_TRY(wn_site_flush(site, err));
cleanup:
  wn_free(visit);
  return status;
}

wn_status wn_stage_past(wn_stage *stage, const wn_stage_server *server, wn_site *site, double days,
                        wn_error *err) {
  wn_status status = WN_OK;
  const char *surface = site->options.surface;
  WN_TRY(wn_stage_train(server, site, err));
  site->options.surface = "past";
  status = wn_stage_visits(stage, site, days, NULL, NULL, err);
  site->options.surface = surface;
  if (status == WN_OK) status = wn_stage_train(server, site, err);
cleanup:
  return status;
}

/* ---- the record ---- */

static void add_number(wn_buf *out, double value) {
  if (isfinite(value))
    wn_buf_printf(out, "%.6g", value);
  else
    wn_buf_str(out, "null");
}

void wn_stage_figure(wn_stage *t, const char *name, double value) {
  wn_buf_printf(&t->figures, "%s\"%s\":", t->figures.len > 0 ? "," : "", name);
  add_number(&t->figures, value);
  wn_buf_printf(&t->text, "  %-58s %.4g\n", name, value);
}

wn_spread wn_spread_of(const double *values, size_t len) {
  double sum = 0, squares = 0, n = (double)len;
  for (size_t i = 0; i < len; i++) sum += values[i];
  for (size_t i = 0; i < len; i++) squares += pow(values[i] - sum / n, 2);
  double half = len > 1 ? wn_t_quantile(0.975, n - 1) * sqrt(squares / (n - 1) / n) : 0;
  return (wn_spread){sum / n - half, sum / n, sum / n + half};
}

void wn_stage_spread(wn_stage *t, const char *name, const wn_spread *s) {
  char what[120];
  wn_stage_figure(t, name, s->mean);
  if (!(s->high > s->low)) return;
  snprintf(what, sizeof what, "%s, low", name);
  wn_stage_figure(t, what, s->low);
  snprintf(what, sizeof what, "%s, high", name);
  wn_stage_figure(t, what, s->high);
}

static void check(wn_stage *t, const char *what, double value, const char *sign, double bound) {
  bool holds = *sign == '<' ? value <= bound : value >= bound;
  t->failed |= !holds;
  wn_buf_printf(&t->checks, "%s{\"what\":\"%s\",\"value\":", t->checks.len > 0 ? "," : "", what);
  add_number(&t->checks, value);
  wn_buf_printf(&t->checks, ",\"%s\":", *sign == '<' ? "at_most" : "at_least");
  add_number(&t->checks, bound);
  wn_buf_printf(&t->checks, ",\"holds\":%s}", holds ? "true" : "false");
  wn_buf_printf(&t->text, "%s %-56s %.4g %s %.4g\n", holds ? "ok  " : "FAIL", what, value, sign,
                bound);
}

void wn_stage_at_least(wn_stage *t, const char *what, double value, double bound) {
  check(t, what, value, ">=", bound);
}
void wn_stage_at_most(wn_stage *t, const char *what, double value, double bound) {
  check(t, what, value, "<=", bound);
}

wn_series *wn_stage_series(wn_stage *t, const char *name) {
  wn_series *s =
      &t->series[t->series_len < WN_STAGE_SERIES_MAX - 1 ? t->series_len++ : t->series_len];
  *s = (wn_series){0};
  snprintf(s->name, sizeof s->name, "%s", name);
  return s;
}

void wn_series_add(wn_series *s, double x, double y) {
  if (s->len == WN_STAGE_POINTS_MAX) return;
  s->x[s->len] = x;
  s->y[s->len] = s->low[s->len] = s->high[s->len] = y;
  s->len++;
}

void wn_series_interval(wn_series *s, double low, double high) {
  s->low[s->len - 1] = low;
  s->high[s->len - 1] = high;
}

wn_status wn_stage_open(wn_stage *t, wn_error *err) {
  const char *tmp = getenv("TMPDIR");
  snprintf(t->scratch, sizeof t->scratch, "%.400s/winnow-simulate-XXXXXX",
           tmp != NULL ? tmp : "/tmp");
  t->rule = (double)NAN;
  t->series = wn_calloc(WN_STAGE_SERIES_MAX, sizeof *t->series);
  if (t->series == NULL) return wn_fail_memory(err);
  if (mkdtemp(t->scratch) != NULL) return WN_OK;
  t->scratch[0] = '\0';
  return wn_fail_errno(err, "", "cannot make a folder in %s", tmp != NULL ? tmp : "/tmp");
}

static int remove_one(const char *path, const struct stat *ignored, int kind, struct FTW *where) {
  (void)ignored, (void)kind, (void)where;
  (void)remove(path);
  return 0;
}

void wn_stage_close(wn_stage *t) {
  if (t->scratch[0] != '\0') (void)nftw(t->scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
  wn_buf_clear(&t->text);
  wn_buf_clear(&t->checks);
  wn_buf_clear(&t->figures);
  wn_free(t->series);
}
