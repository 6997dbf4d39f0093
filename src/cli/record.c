/* Notes finished runs in their data directory. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "lab/runs.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CONFIG_BYTES_MAX ((size_t)1 << 20)

static struct {
  int64_t started_ms;
  uint64_t start_ns;
  const char *const *arguments;
  size_t arguments_len;
} now;

void wn_cli_record_begin(int argc, char **argv) {
  now.started_ms = wn_now_ms();
  now.start_ns = wn_mono_ns();
  now.arguments = (const char *const *)argv;
  now.arguments_len = argc > 0 ? (size_t)argc : 0;
}

static double seconds_of(struct timeval t) {
  return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

/* The file that wn_cli_config() read, as text; empty: none. */
static void read_config(const char *path, const char *dir, wn_buf *out) {
  char beside[4096];
  wn_error ignored;
  snprintf(beside, sizeof beside, "%s/winnow.yaml", dir);
  if (wn_read_file(path != NULL ? path : beside, CONFIG_BYTES_MAX, out, &ignored) != WN_OK)
    wn_buf_reset(out);
}

void wn_cli_record(const char *kind, const wn_cli_run *run) {
  struct rusage used;
  wn_error err = {0};
  wn_buf config = {0};
  char id[WN_RUN_ID_ROOM], text[900];
  if (run->data == NULL || run->result->failed) return;
  getrusage(RUSAGE_SELF, &used);
  read_config(run->config, run->data, &config);
  wn_run_note note = {.kind = kind,
                      .started_ms = now.started_ms,
                      .seconds = (double)(wn_mono_ns() - now.start_ns) * 1e-9,
                      .cpu_seconds = seconds_of(used.ru_utime) + seconds_of(used.ru_stime),
                      .peak_bytes = (uint64_t)used.ru_maxrss * 1024,
                      .passed = run->passed,
                      .arguments = now.arguments,
                      .arguments_len = now.arguments_len,
                      .config = {config.data, config.len},
                      .result = {run->result->data, run->result->len}};
  if (run->page != NULL) note.page = (wn_str){run->page->data, run->page->len};
  if (wn_run_write(run->data, &note, id, &err) != WN_OK)
    wn_log(WN_LOG_WARN, "this run is not noted in %s/runs: %s", run->data,
           wn_error_format(&err, text, sizeof text));
  wn_buf_clear(&config);
}
