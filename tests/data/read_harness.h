#ifndef TESTS_DATA_READ_HARNESS_H
#define TESTS_DATA_READ_HARNESS_H
/* A sink that writes every record as a line of text, files in a temporary folder, and the real
 * data's paths. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "data/reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW_MS 1700000000000LL

/* What a run gave: records and bad lines as text, the report, the error. */
typedef struct outcome {
  wn_buf records;
  wn_buf bad;
  bool quiet; /* count only */
  wn_read_report report;
  wn_error err;
  wn_status status;
  long fail_after; /* the sink fails at this record; 0: never */
  long records_len;
} outcome;

static inline wn_status take(outcome *o, wn_error *err) {
  o->records_len++;
  if (o->fail_after > 0 && o->records_len == o->fail_after) {
    return wn_fail(err, WN_E_CONFLICT, "sink", "is full up");
  }
  return WN_OK;
}

static inline wn_status take_event(void *ctx, const wn_event_record *e, wn_error *err) {
  outcome *o = ctx;
  if (!o->quiet) {
    wn_buf_printf(&o->records, "E %.*s %.*s %.*s %lld", WN_STR_ARG(e->user), WN_STR_ARG(e->type),
                  WN_STR_ARG(e->item), (long long)e->time_ms);
    if (!isnan(e->value)) wn_buf_printf(&o->records, " value=%g", e->value);
    if (e->id.ptr != NULL) wn_buf_printf(&o->records, " id=%.*s", WN_STR_ARG(e->id));
    if (e->slate.ptr != NULL) wn_buf_printf(&o->records, " slate=%.*s", WN_STR_ARG(e->slate));
    wn_buf_char(&o->records, '\n');
  }
  return take(o, err);
}

static inline wn_status take_item(void *ctx, const wn_item_record *item, wn_error *err) {
  outcome *o = ctx;
  if (!o->quiet) {
    wn_buf_str(&o->records, "I ");
    wn_item_to_json(item, &o->records);
    wn_buf_char(&o->records, '\n');
  }
  return take(o, err);
}

static inline wn_status take_user(void *ctx, const wn_user_record *user, wn_error *err) {
  outcome *o = ctx;
  if (!o->quiet) {
    wn_buf_str(&o->records, "U ");
    wn_user_to_json(user, &o->records);
    wn_buf_char(&o->records, '\n');
  }
  return take(o, err);
}

static inline void take_bad(void *ctx, const wn_bad_line *bad) {
  outcome *o = ctx;
  const char *slash = strrchr(bad->file, '/');
  wn_buf_printf(&o->bad, "%s:%ld: %s: %s\n", slash != NULL ? slash + 1 : bad->file, bad->line,
                bad->field, bad->reason);
}

static inline wn_read_options options_for(const char *format) {
  wn_read_options options;
  wn_read_options_defaults(&options);
  options.format = format;
  options.now_ms = NOW_MS;
  return options;
}

/* Runs wn_read(); `o` is zeroed or was cleared before. */
static inline void run_read(outcome *o, const char *path, const wn_read_options *given) {
  wn_read_options options = *given;
  wn_sink sink = {o, take_event, take_item, take_user};
  options.on_bad = take_bad;
  options.on_bad_ctx = o;
  o->status = wn_read(path, &options, &sink, &o->report, &o->err);
}

static inline const char *records_of(outcome *o) {
  return o->records.len > 0 ? wn_buf_c(&o->records) : "";
}

static inline const char *bad_of(outcome *o) {
  return o->bad.len > 0 ? wn_buf_c(&o->bad) : "";
}

static inline void outcome_clear(outcome *o) {
  wn_buf_clear(&o->records);
  wn_buf_clear(&o->bad);
  *o = (outcome){0};
}

/* A temporary folder for the whole test program, removed at its end. */
static char scratch_dir[64];

static inline int make_scratch(WN_UNUSED void **state) {
  strcpy(scratch_dir, "/tmp/winnow_test_XXXXXX");
  return mkdtemp(scratch_dir) != NULL ? 0 : -1;
}

static inline int drop_scratch(WN_UNUSED void **state) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", scratch_dir);
  return system(command);
}

/* "scratch/name"; valid until the fourth call after. */
static inline const char *scratch_path(const char *name) {
  static char paths[4][512];
  static int at;
  char *path = paths[at++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", scratch_dir, name);
  return path;
}

/* Writes a file, with its folders, and returns its path. */
static inline const char *write_bytes(const char *name, const void *bytes, size_t len) {
  const char *path = scratch_path(name);
  char folder[512];
  snprintf(folder, sizeof folder, "%s", path);
  for (char *p = folder + 1; (p = strchr(p, '/')) != NULL; p++) {
    *p = '\0';
    mkdir(folder, 0755);
    *p = '/';
  }
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, len, f), len);
  assert_int_equal(fclose(f), 0);
  return path;
}

static inline const char *write_text(const char *name, const char *text) {
  return write_bytes(name, text, strlen(text));
}

/* A file of the real data; NULL when it is not there. */
static inline const char *real_data(const char *name) {
  static char path[1024];
  const char *root = getenv("WINNOW_TEST_DATA");
  if (root == NULL) return NULL;
  snprintf(path, sizeof path, "%s/%s", root, name);
  return access(path, R_OK) == 0 ? path : NULL;
}

#endif
