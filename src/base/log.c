#include "base/log.h"
#include "base/clock.h"
#include "base/json_write.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SILENT ((int)WN_LOG_ERROR + 1)

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static wn_log_writer *log_writer;
static void *log_ctx;
static atomic_int log_least = SILENT;
static _Thread_local bool log_inside; /* a writer that logs must not wait for itself */

void wn_log_set(wn_log_writer *writer, void *ctx, wn_log_level least) {
  pthread_mutex_lock(&log_lock);
  log_writer = writer;
  log_ctx = ctx;
  atomic_store(&log_least, writer != NULL ? (int)least : SILENT);
  pthread_mutex_unlock(&log_lock);
}

void wn_log(wn_log_level level, const char *format, ...) {
  if ((int)level < atomic_load_explicit(&log_least, memory_order_relaxed) || log_inside) return;
  char line[2048];
  va_list args;
  va_start(args, format);
  int len = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (len < 0) return;
  /* One line a message, whatever a client put into an id. */
  for (char *c = line; *c != '\0'; c++) {
    if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = ' ';
  }
  log_inside = true;
  pthread_mutex_lock(&log_lock);
  if (log_writer != NULL) log_writer(log_ctx, level, line);
  pthread_mutex_unlock(&log_lock);
  log_inside = false;
}

const char *wn_log_level_name(wn_log_level level) {
  switch (level) {
  case WN_LOG_DEBUG: return "DEBUG";
  case WN_LOG_INFO: return "INFO";
  case WN_LOG_WARN: return "WARN";
  case WN_LOG_ERROR: return "ERROR";
  }
  return "ERROR";
}

void wn_log_stderr(WN_UNUSED void *ctx, wn_log_level level, const char *line) {
  char text[2200], time[32];
  int len =
      snprintf(text, sizeof text, "%s %s %s\n", wn_time_format(wn_now_ms(), time, sizeof time),
               wn_log_level_name(level), line);
  if (len < 0) return;
  if (len >= (int)sizeof text) len = (int)sizeof text - 1;
  text[len - 1] = '\n';
  /* One write keeps lines of several processes whole. */
  ssize_t written = write(STDERR_FILENO, text, (size_t)len);
  (void)written;
}

void wn_log_json(WN_UNUSED void *ctx, wn_log_level level, const char *line) {
  char time[32];
  wn_buf text = {0};
  wn_json json;
  wn_json_init(&json, &text);
  wn_json_object(&json);
  wn_json_key(&json, "time");
  wn_json_cstring(&json, wn_time_format(wn_now_ms(), time, sizeof time));
  wn_json_key(&json, "level");
  wn_json_cstring(&json, wn_log_level_name(level));
  wn_json_key(&json, "message");
  wn_json_cstring(&json, line);
  wn_json_end_object(&json);
  wn_buf_char(&text, '\n');
  ssize_t written = text.failed ? 0 : write(STDERR_FILENO, text.data, text.len);
  (void)written;
  wn_buf_clear(&text);
}
