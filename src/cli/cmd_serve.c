/* winnow serve: the engine behind HTTP until a signal says stop. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "serve/notify.h"
#include "serve/server.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static struct {
  const char *data, *config, *host, *port_file, *log_format, *clock;
  uint64_t port, grace;
  bool open, verbose, json;
} opt = {.port = UINT64_MAX, .grace = 10};

static const wn_option options[] = {
    {"data", WN_OPT_TEXT, &opt.data, "DIR", "the data directory; made when it is not there"},
    {"config", WN_OPT_TEXT, &opt.config, "FILE",
     "configuration; default DIR/winnow.yaml when it is there"},
    {"host", WN_OPT_TEXT, &opt.host, "ADDRESS", "default 127.0.0.1: this machine alone"},
    {"port", WN_OPT_UINT, &opt.port, "PORT", "default 8088; 0 takes a free one"},
    {"port-file", WN_OPT_TEXT, &opt.port_file, "FILE", "writes the port there when ready"},
    {"grace", WN_OPT_UINT, &opt.grace, "SECONDS", "for accepted requests at the end, default 10"},
    {"open", WN_OPT_FLAG, &opt.open, NULL, "listen beyond this machine although there are no keys"},
    {"log-format", WN_OPT_TEXT, &opt.log_format, "text|json", "of what it logs; default text"},
    {"virtual-clock", WN_OPT_TEXT, &opt.clock, "TIME",
     "live at this time, which requests move on by a header: for `winnow simulate`"},
    {"verbose", WN_OPT_FLAG, &opt.verbose, NULL, "log what it does"},
    {"json", WN_OPT_FLAG, &opt.json, NULL, "one JSON line on standard output when ready"},
};
static const wn_command command = {
    "serve",
    "answer HTTP requests",
    "--data DIR [--port PORT]",
    "SIGTERM and SIGINT finish what was accepted and stop. SIGHUP looks for a new snapshot at once "
    "(it is\n"
    "looked for each second anyway). The API: docs/api.md, GET /openapi.json.",
    options,
    sizeof options / sizeof options[0]};

static int announce(wn_engine *engine, uint16_t port, double seconds) {
  wn_engine_stats stats;
  wn_error err = {0};
  char text[16];
  const char *host = wn_engine_config(engine)->server.host;
  wn_engine_stats_get(engine, &stats);
  if (opt.json)
    printf("{\"host\":\"%s\",\"port\":%u,\"snapshot\":%" PRIu64 ",\"items\":%" PRIu32
           ",\"users\":%" PRIu32 ",\"ready_seconds\":%.3f}\n",
           host, port, stats.snapshot, stats.items, stats.users, seconds);
  else
    printf("Winnow %s serves %" PRIu32 " items and %" PRIu32 " users (snapshot %" PRIu64
           ") on http://%s:%u/ after %.2f s\n",
           WINNOW_VERSION, stats.items, stats.users, stats.snapshot, host, port, seconds);
  fflush(stdout);
  if (opt.port_file == NULL) return 0;
  int len = snprintf(text, sizeof text, "%u\n", port);
  if (wn_write_file_atomic(opt.port_file, (wn_str){text, (size_t)len}, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  return 0;
}

static void look_for_snapshot(wn_engine *engine) {
  bool swapped = false;
  wn_error err = {0};
  char text[1024];
  if (wn_engine_refresh(engine, &swapped, &err) != WN_OK)
    wn_log(WN_LOG_WARN, "refresh: %s", wn_error_format(&err, text, sizeof text));
}

/* The watchdog hears of us only after the engine's lock could be had: a server that is stuck behind
 * it would answer nobody. */
static void pet_watchdog(wn_engine *engine) {
  wn_engine_stats stats;
  wn_engine_stats_get(engine, &stats);
  (void)wn_notify("WATCHDOG=1");
}

/* Until SIGTERM or SIGINT. SIGHUP looks for a new snapshot; the server does so itself each second.
 */
static void wait_for_end(wn_engine *engine, const sigset_t *signals) {
  uint64_t watchdog_ms = wn_notify_watchdog_ms();
  const struct timespec period = {.tv_sec = (time_t)(watchdog_ms / 1000),
                                  .tv_nsec = (long)(watchdog_ms % 1000) * 1000000};
  for (;;) {
    int signal_number = sigtimedwait(signals, NULL, watchdog_ms > 0 ? &period : NULL);
    if (signal_number == SIGTERM || signal_number == SIGINT) return;
    if (signal_number < 0 && errno != EINTR && errno != EAGAIN) return;
    if (signal_number == SIGHUP) look_for_snapshot(engine);
    if (watchdog_ms > 0) pet_watchdog(engine);
  }
}

static int serve(wn_config *config, const sigset_t *signals) {
  wn_engine *engine = NULL;
  wn_server *server = NULL;
  wn_meter meter;
  wn_error err = {0};
  uint64_t start = wn_mono_ns();
  wn_status status;
  int exit_status = 0;
  wn_meter_init(&meter);
  WN_TRY(wn_engine_open(opt.data, WN_STORE_WRITE, config, &meter.progress, &engine, &err));
  wn_meter_end(&meter);
  WN_TRY(wn_server_start(engine, &server, &err));
  exit_status = announce(engine, wn_server_port(server), (double)(wn_mono_ns() - start) * 1e-9);
  (void)wn_notify("READY=1");
  if (exit_status == 0) wait_for_end(engine, signals);
  (void)wn_notify("STOPPING=1");
  wn_server_stop(server, (int64_t)opt.grace * 1000);
cleanup:
  wn_meter_end(&meter);
  if (engine != NULL) wn_engine_close(engine);
  return status == WN_OK ? exit_status : wn_cli_fail(&command, &err);
}

int wn_cmd_serve(int argc, char **argv) {
  wn_config config;
  wn_error err = {0};
  sigset_t signals;
  int status = wn_cli_parse(&command, argc, argv, NULL);
  if (status >= 0) return status;
  if (opt.data == NULL) return wn_cli_usage(&command, "--data is missing");
  if (opt.port != UINT64_MAX && opt.port > 65535)
    return wn_cli_usage(&command, "--port takes 0 to 65535");
  if (opt.grace > 3600) return wn_cli_usage(&command, "--grace takes 0 to 3600 seconds");
  bool json_log = opt.log_format != NULL && strcmp(opt.log_format, "json") == 0;
  if (opt.log_format != NULL && !json_log && strcmp(opt.log_format, "text") != 0)
    return wn_cli_usage(&command, "--log-format takes text or json");
  wn_log_set(json_log ? wn_log_json : wn_log_stderr, NULL, opt.verbose ? WN_LOG_INFO : WN_LOG_WARN);
  if (wn_cli_clock(opt.clock, &err) != WN_OK) return wn_cli_fail(&command, &err);
  if (wn_cli_config(opt.config, opt.data, &config, &err) != WN_OK)
    return wn_cli_fail(&command, &err);
  if (opt.port != UINT64_MAX) config.server.port = (uint16_t)opt.port;
  if (opt.open) config.server.open = true;
  if (opt.host != NULL) {
    if (strlen(opt.host) >= sizeof config.server.host)
      return wn_cli_usage(&command, "--host is too long");
    snprintf(config.server.host, sizeof config.server.host, "%s", opt.host);
  }
  /* Blocked before any thread starts, so that all of them inherit it and only wait_for_end() hears
   * signals. */
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, NULL);
  return serve(&config, &signals);
}
