/* One write of one line to a file opened for appending: lines of several processes do not mix, and
 * logrotate may move the file at any time. */
#include "serve/audit.h"

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void write_member(wn_json *json, const char *key, const char *value) {
  if (value == NULL || value[0] == '\0') return;
  wn_json_key(json, key);
  wn_json_cstring(json, value);
}

void wn_audit(const char *dir, const wn_audit_entry *entry) {
  char path[4096], time[32];
  wn_buf line = {0};
  wn_json json;
  wn_json_init(&json, &line);
  wn_json_object(&json);
  write_member(&json, "time", wn_time_format(wn_now_ms(), time, sizeof time));
  write_member(&json, "actor", entry->actor);
  write_member(&json, "address", entry->address);
  write_member(&json, "action", entry->action);
  wn_json_key(&json, "status");
  wn_json_int(&json, entry->status);
  write_member(&json, "request", entry->request);
  wn_json_end_object(&json);
  wn_buf_char(&line, '\n');
  snprintf(path, sizeof path, "%s/audit.log", dir);
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  bool good = fd >= 0 && !line.failed && write(fd, line.data, line.len) == (ssize_t)line.len;
  if (!good) wn_log(WN_LOG_ERROR, "audit log: cannot write %s: %s", path, strerror(errno));
  if (fd >= 0) close(fd);
  wn_buf_clear(&line);
}
