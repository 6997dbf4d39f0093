#ifndef WN_MODEL_SNAPSHOT_H
#define WN_MODEL_SNAPSHOT_H
/* Snapshots: everything that serving needs from training, in one immutable, checksummed,
 * memory-mapped file DIR/snapshots/NNNNNN.wns; DIR/snapshots/CURRENT names the one to serve.
 *
 * File: header (magic, version, section count, file size, checksum of header and table), section
 * table (name, offset, bytes, XXH3-64), sections, each 64-byte aligned. Little-endian. */

#include "base/file.h"
#include "base/record.h"

#define WN_SNAPSHOT_SECTIONS_MAX 256
#define WN_SECTION_NAME_MAX      47

typedef struct wn_snapshot wn_snapshot;
typedef struct wn_snapshot_writer wn_snapshot_writer;

/* About one snapshot; kept as JSON in its section "about". */
typedef struct wn_snapshot_about {
  uint64_t number;     /* file name */
  char store_uuid[33]; /* the store whose indexes it uses; "" = none (evaluation files) */
  uint64_t last_seq;   /* log position included: replay starts after it */
  uint64_t item_rev;   /* catalogue revision included */
  uint32_t users;
  uint32_t items;
  uint64_t nnz;
  int64_t created_ms; /* when it was trained */
  int64_t data_ms;    /* time of the last event in it */
  double train_seconds;
  char models[256]; /* comma-separated names */
  char version[32]; /* of Winnow */
  char config[17];  /* hash of the configuration that it was trained by; "": none, or not told */
} wn_snapshot_about;

/* Writing: create, add sections, finish. The file appears under its name only once it is whole
 * and on disk. */
WN_MUST_USE wn_status wn_snapshot_writer_create(const char *path, wn_snapshot_writer **out,
                                                wn_error *err);
/* Copies out `bytes` now; name unique, [a-z0-9_./-]+. */
WN_MUST_USE wn_status wn_snapshot_write(wn_snapshot_writer *writer, const char *name,
                                        const void *data, uint64_t bytes, wn_error *err);
WN_MUST_USE wn_status wn_snapshot_writer_finish(wn_snapshot_writer *writer,
                                                const wn_snapshot_about *about,
                                                wn_error *err); /* frees */
void wn_snapshot_writer_abandon(wn_snapshot_writer *writer); /* frees, removes the temporary file */

/* Opens and verifies every checksum (WN_E_CORRUPT says which part and why). Reference-counted:
 * starts at 1. */
WN_MUST_USE wn_status wn_snapshot_open(const char *path, wn_snapshot **out, wn_error *err);
WN_MUST_USE wn_status
wn_snapshot_open_memory(const void *bytes, size_t size, wn_snapshot **out,
                        wn_error *err); /* borrowed, 64-byte aligned; fuzzing */
wn_snapshot *wn_snapshot_ref(wn_snapshot *snapshot);
void wn_snapshot_unref(wn_snapshot *snapshot); /* NULL is fine */
const wn_snapshot_about *wn_snapshot_about_of(const wn_snapshot *snapshot);
/* A section's bytes, or WN_E_NOT_FOUND / WN_E_CORRUPT when it is missing or its size is not a
 * multiple of `element`; *count = bytes / element. Lives as long as the snapshot. */
WN_MUST_USE wn_status wn_snapshot_section(const wn_snapshot *snapshot, const char *name,
                                          size_t element, const void **data, uint64_t *count,
                                          wn_error *err);
bool wn_snapshot_has(const wn_snapshot *snapshot, const char *name);
size_t wn_snapshot_bytes(const wn_snapshot *snapshot); /* of the file */
size_t wn_snapshot_section_count(const wn_snapshot *snapshot);
void wn_snapshot_section_at(const wn_snapshot *snapshot, size_t i, const char **name,
                            uint64_t *bytes);

/* The folder of snapshots, DIR/snapshots. `dir` is the data directory DIR in all of these. Numbers
 * ascend and are never reused. */
typedef struct wn_snapshot_entry {
  uint64_t number;
  uint64_t bytes;
  bool current;
  bool readable; /* header and checksums are good (verify = true), or header alone */
  wn_snapshot_about about;
  char reason[200]; /* why it is not readable */
} wn_snapshot_entry;
/* Newest first; *entries is heap memory for wn_free. An absent folder is an empty list. */
WN_MUST_USE wn_status wn_snapshot_list(const char *dir, bool verify, wn_snapshot_entry **entries,
                                       size_t *count, wn_error *err);
/* Path of number `n`; buf of at least 4096. */
const char *wn_snapshot_path(const char *dir, uint64_t number, char *buf, size_t size);
WN_MUST_USE wn_status wn_snapshot_next_number(const char *dir, uint64_t *number, wn_error *err);
WN_MUST_USE wn_status wn_snapshot_set_current(const char *dir, uint64_t number,
                                              wn_error *err); /* verifies first */
/* What the gate said of number `n`, JSON in NNNNNN.verdict.json beside it; absent: nothing yet. */
WN_MUST_USE wn_status wn_snapshot_verdict_write(const char *dir, uint64_t number, wn_str json,
                                                wn_error *err);
WN_MUST_USE wn_status wn_snapshot_verdict_read(const char *dir, uint64_t number, wn_buf *json,
                                               wn_error *err);
/* Removes the oldest until `keep` are left; never the current one, the one before it, nor those
 * that are `wanted`. */
WN_MUST_USE wn_status wn_snapshot_prune(const char *dir, uint32_t keep,
                                        bool (*wanted)(const void *ctx, uint64_t number),
                                        const void *ctx, uint32_t *removed, wn_error *err);
/* Opens the current one; when it is damaged logs why and takes the newest good one older or newer;
 * *out NULL when there is none at all, or when none was ever made current (no CURRENT file).
 * store_uuid: snapshots of other stores are refused like damaged ones; NULL takes any. */
WN_MUST_USE wn_status wn_snapshot_open_current(const char *dir, const char *store_uuid,
                                               wn_snapshot **out, wn_error *err);

#endif
