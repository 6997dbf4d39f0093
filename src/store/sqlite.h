#ifndef WN_STORE_SQLITE_H
#define WN_STORE_SQLITE_H
/* What the sqlite_*.c files share. Internal to src/store.
 *
 * One connection writes and checkpoints; the readers' connections are opened read-only and never
 * checkpoint. That is no matter of taste: SQLite 3.7.0 to 3.51.2 can corrupt a database when two
 * connections write or checkpoint at the same moment (the "WAL-reset" bug), and Debian 12 ships
 * 3.40.1. */

#include "store/backend.h"

#include <sqlite3.h>

#define WN_SQLITE_VERSION        6          /* PRAGMA user_version: of the schema */
#define WN_SQLITE_APPLICATION_ID 0x57696E6E /* "Winn" */

/* The log's pages are moved into the database when there are so many (of 4 KiB). */
#define WN_CHECKPOINT_FRAMES 4000

extern const char wn_sqlite_schema[], wn_sqlite_views[];
/* [v − 1]: the changes from version v to v + 1. */
extern const char *const wn_sqlite_upgrades[WN_SQLITE_VERSION - 1];

typedef enum wn_sqlite_statement {
  WN_ST_BEGIN,
  WN_ST_COMMIT,
  WN_ST_ROLLBACK,
  WN_ST_TYPE,
  WN_ST_KEY,
  WN_ST_EVENT,
  WN_ST_ITEM,
  WN_ST_USER,
  WN_ST_SLATE,
  WN_ST_ERASED,
  WN_ST_NOTE_ERASURE,
  WN_ST_ERASE_EVENTS,
  WN_ST_FIND_SLATES,
  WN_ST_ERASE_SLATE,
  WN_ST_ERASURES_DONE,
  WN_ST_EXPIRE,
  WN_ST_EVENT_BOUNDS,
  WN_ST_COUNTER,
  WN_ST_META,
  WN_ST_READ_ITEM,
  WN_ST_READ_USER,
  WN_ST_COUNT,
} wn_sqlite_statement;

/* A read-only connection; idle ones wait in a list. */
typedef struct wn_reader wn_reader;
struct wn_reader {
  sqlite3 *db;
  sqlite3_stmt *get_item, *get_user; /* prepared at first use */
  wn_reader *next;
};

typedef struct wn_sqlite {
  char *path;       /* DIR/winnow.db */
  char *reader_uri; /* what readers open: the path, or an immutable URI on a read-only folder */
  sqlite3 *db;      /* the writer; NULL in read mode */
  sqlite3_stmt *statements[WN_ST_COUNT];
  int wal_frames;        /* after the last commit */
  int checkpoint_frames; /* WN_CHECKPOINT_FRAMES; tests make it small */
  int checkpoint_at;     /* the next one; 0: as soon as there are checkpoint_frames */
  bool full;             /* a write of this transaction found no space */
  pthread_mutex_t pool_lock;
  wn_reader *idle;
  size_t idle_count;
  pthread_mutex_t refresh_lock; /* read mode: who may add to the dictionaries */
} wn_sqlite;

static inline wn_sqlite *wn_sqlite_of(const wn_store *store) {
  return store->impl;
}

/* An SQLite result as a status with a message. `writing`: the writer's connection; what leaves the
 * disk's content unknown (a failed fsync, corruption) then ends all writing. */
wn_status wn_sqlite_fail(wn_store *store, sqlite3 *db, bool writing, const char *what,
                         wn_error *err);
wn_status wn_sqlite_exec(wn_store *store, sqlite3 *db, const char *sql, wn_error *err);
wn_status wn_sqlite_prepare(wn_store *store, sqlite3 *db, const char *sql, sqlite3_stmt **out,
                            wn_error *err);
wn_status wn_sqlite_prepare_writer(wn_store *store, wn_error *err);
/* Moves the log's pages into the database when there are `frames_min` of them. */
void wn_sqlite_checkpoint(wn_store *store, int frames_min);

wn_status wn_reader_take(wn_store *store, wn_reader **out, wn_error *err);
void wn_reader_give(wn_store *store, wn_reader *reader);
void wn_reader_free(wn_reader *reader);
/* A read transaction; in read mode the dictionaries are brought up to its state. */
wn_status wn_reader_begin(wn_store *store, wn_reader *reader, wn_error *err);
void wn_reader_end(wn_reader *reader);

/* Adds the ids that `db` has beyond the dictionaries' ends. */
wn_status wn_sqlite_load_dicts(wn_store *store, sqlite3 *db, wn_error *err);
wn_status wn_sqlite_load_counters(wn_store *store, sqlite3 *db, wn_counters *out, wn_error *err);

/* Column `i` as a string; absent for NULL; valid until the next step. */
static inline wn_str wn_sqlite_column(sqlite3_stmt *statement, int i) {
  if (sqlite3_column_type(statement, i) == SQLITE_NULL) return (wn_str){0};
  const char *text = (const char *)sqlite3_column_text(statement, i);
  return (wn_str){text, text != NULL ? (size_t)sqlite3_column_bytes(statement, i) : 0};
}

#define WN_ITEM_COLUMNS "id, status, created_ms, updated_ms, rev, title, attributes"
/* A row of WN_ITEM_COLUMNS and, as the last one, text, from column `first` on. */
wn_item_row wn_sqlite_item_row(sqlite3_stmt *statement, int first);
#define WN_USER_COLUMNS "id, attributes, updated_ms, deleted"
wn_user_row wn_sqlite_user_row(sqlite3_stmt *statement, int first);
/* Copies a row's strings; false: out of memory. */
bool wn_item_row_keep(wn_item_row *row, wn_arena *arena);
bool wn_user_row_keep(wn_user_row *row, wn_arena *arena);

/* sqlite_write.c */
wn_status wn_sqlite_begin(wn_store *store, wn_error *err);
wn_status wn_sqlite_commit(wn_store *store, wn_error *err);
void wn_sqlite_rollback(wn_store *store);
wn_status wn_sqlite_put_type(wn_store *store, uint32_t type, wn_str name, wn_error *err);
wn_status wn_sqlite_put_event_key(wn_store *store, wn_hash128 key, bool *fresh, wn_error *err);
wn_status wn_sqlite_put_event(wn_store *store, const wn_stored_event *event, wn_error *err);
wn_status wn_sqlite_put_item(wn_store *store, wn_item_ix ix, const wn_item_row *row, wn_error *err);
wn_status wn_sqlite_put_user(wn_store *store, wn_user_ix ix, const wn_user_row *row, wn_error *err);
wn_status wn_sqlite_put_slate(wn_store *store, uint64_t seq, const wn_slate_log *slate,
                              wn_error *err);
wn_status wn_sqlite_erase_user(wn_store *store, wn_user_ix ix, wn_str id, uint32_t number,
                               wn_error *err);
wn_status wn_sqlite_expire(wn_store *store, const wn_op *op, wn_error *err);
wn_status wn_sqlite_erase_noted(wn_store *store, wn_error *err);
wn_status wn_sqlite_put_counters(wn_store *store, const wn_counters *was, const wn_counters *now,
                                 wn_error *err);
wn_status wn_sqlite_put_meta(wn_store *store, const char *key, wn_str value, wn_error *err);
wn_status wn_sqlite_read_item(wn_store *store, wn_item_ix ix, wn_arena *arena, wn_item_row *out,
                              wn_error *err);
wn_status wn_sqlite_read_user(wn_store *store, wn_user_ix ix, wn_arena *arena, wn_user_row *out,
                              wn_error *err);

/* sqlite_read.c */
wn_status wn_sqlite_scan_events(wn_store *store, uint64_t after, uint64_t upto, wn_event_fn *each,
                                void *ctx, wn_error *err);
wn_status wn_sqlite_scan_items(wn_store *store, uint64_t after_rev, bool with_text,
                               wn_item_row_fn *each, void *ctx, wn_error *err);
wn_status wn_sqlite_scan_users(wn_store *store, wn_user_row_fn *each, void *ctx, wn_error *err);
wn_status wn_sqlite_scan_slates(wn_store *store, int64_t since_ms, bool feeds_only,
                                wn_slate_fn *each, void *ctx, wn_error *err);
wn_status wn_sqlite_scan_erased(wn_store *store, wn_erased_fn *each, void *ctx, wn_error *err);
wn_status wn_sqlite_get_item(wn_store *store, wn_item_ix ix, wn_arena *arena, wn_item_row *out,
                             wn_error *err);
wn_status wn_sqlite_get_user(wn_store *store, wn_user_ix ix, wn_arena *arena, wn_user_row *out,
                             wn_error *err);
wn_status wn_sqlite_get_counters(wn_store *store, wn_counters *out, uint64_t *bytes, wn_error *err);
wn_status wn_sqlite_get_meta(wn_store *store, const char *key, wn_arena *arena, wn_str *value,
                             wn_error *err);

#endif
