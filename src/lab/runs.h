#ifndef WN_LAB_RUNS_H
#define WN_LAB_RUNS_H
/* Runs: what was trained or measured, with what, on what, and what came out. One JSON file each,
 * DIR/runs/ID.json (docs/runs.md). Files and not a table: runs are written by processes beside a
 * server that alone may write the store; a file is whole or absent without a lock, and is searched,
 * copied and deleted with the tools at hand. */

#include "base/str.h"
#include <jansson.h>

#define WN_RUN_ID_ROOM 40

/* What a command knows of its run. */
typedef struct wn_run_note {
  const char *kind; /* "train", "evaluate", "tune", "ope", "replay", "check" */
  int64_t started_ms;
  double seconds, cpu_seconds;
  uint64_t peak_bytes;
  bool passed; /* false: the answer was no (a refusal, a failed check); failures are not noted */
  const char *const *arguments; /* as given, without the command's name */
  size_t arguments_len;
  wn_str config; /* text of the configuration file; absent: the defaults */
  wn_str result; /* JSON object: the command's --json */
  wn_str page;   /* its report, kept beside it as DIR/runs/ID.html; absent: none */
} wn_run_note;

/* Writes the run and says its id. Metrics and hashes are found in the result. */
WN_MUST_USE wn_status wn_run_write(const char *dir, const wn_run_note *note,
                                   char id[WN_RUN_ID_ROOM], wn_error *err);

/* All runs of `dir`, newest first, as an array; *unreadable counts files that are no runs. */
WN_MUST_USE wn_status wn_runs_load(const char *dir, json_t **runs, size_t *unreadable,
                                   wn_error *err);
/* By id or the beginning of one; WN_E_NOT_FOUND, WN_E_ARGUMENT: several begin like it. `last`,
 * `last~1` …: the newest, the one before. */
WN_MUST_USE wn_status wn_run_find(const json_t *runs, const char *id, json_t **run /* borrowed */,
                                  wn_error *err);
/* The report that is kept with a run. WN_E_NOT_FOUND: none is. */
WN_MUST_USE wn_status wn_run_page(const char *dir, const json_t *run, wn_buf *out, wn_error *err);
/* Sets a tag (value NULL: removes it) and writes the file. */
WN_MUST_USE wn_status wn_run_tag(const char *dir, json_t *run, const char *key, const char *value,
                                 wn_error *err);
/* A row a run; columns are all params, metrics, hashes and tags that any of them has. */
WN_MUST_USE wn_status wn_runs_csv(const json_t *runs, wn_buf *out, wn_error *err);

#endif
