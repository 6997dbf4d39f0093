#ifndef WN_SERVE_ARCHIVE_H
#define WN_SERVE_ARCHIVE_H
/* Retention: old events leave the log for compressed segments,
 * DIR/archive/events-FIRST-LAST-BEFORE.jsonl.zst (positions in the log; those older than BEFORE, in
 * milliseconds).
 *
 * A segment holds JSON lines that `winnow import --format jsonl` reads; each event's id is
 * "wn-SEQ", so that importing one twice brings nothing twice. Written whole and fsynced before a
 * row is deleted: after a crash in between, the next run deletes what the newest segment holds.
 * Only what every kept snapshot has learned goes: a swap, a rollback or a restart never misses it.
 */

#include "store/store.h"

#define WN_ARCHIVE_SEGMENT_EVENTS 1000000

typedef struct wn_archive_options {
  int64_t before_ms;       /* events older than this, by their own time */
  uint32_t segment_events; /* 0: WN_ARCHIVE_SEGMENT_EVENTS */
  /* Commits: wn_store_commit, or through a server's committer. */
  wn_status (*commit)(void *ctx, wn_op *ops, size_t count, wn_error *err);
  void *ctx;
} wn_archive_options;

typedef struct wn_archive_report {
  uint64_t events, segments, bytes; /* moved, written, compressed */
  uint64_t erased;                  /* lines of deleted users taken out of older segments */
} wn_archive_report;

/* Memory: the compressed segment, some 20 MB. WN_E_FULL, WN_E_IO: what was moved until then is
 * whole. One run at a time in a data directory (the caller's business). */
WN_MUST_USE wn_status wn_archive_run(wn_store *store, const wn_archive_options *options,
                                     wn_archive_report *report, wn_error *err);
/* Takes users who were deleted since the last call out of the segments, by rewriting those that
 * hold them. */
WN_MUST_USE wn_status wn_archive_clean(wn_store *store, wn_archive_report *report, wn_error *err);
/* How many segments there are. */
WN_MUST_USE wn_status wn_archive_segments(const char *dir, size_t *count, wn_error *err);

#endif
