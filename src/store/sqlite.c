/* Opening and closing, errors, and what every row has in common. */
#include "store/sqlite.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define CACHE_PRAGMA    "PRAGMA cache_size = -16000" /* kB, the writer's */
#define BUSY_TIMEOUT_MS 5000
/* What the first stores of this version were made without. */
#define LATER_TABLES                                                                               \
  "CREATE TABLE IF NOT EXISTS erased(user INTEGER PRIMARY KEY, seq INTEGER NOT NULL)"
/* Users whose deletion waits for the end of its transaction; see wn_sqlite_erase_noted. */
#define ERASURES_TABLE                                                                             \
  "CREATE TEMP TABLE erasures("                                                                    \
  "  id TEXT PRIMARY KEY, user INTEGER, event_seq INTEGER, slate_seq INTEGER, number INTEGER) "    \
  "WITHOUT ROWID;"                                                                                 \
  "CREATE INDEX temp.erasures_user ON erasures(user)"
#define WAL_BYTES_KEPT "67108864" /* a longer log is cut back when it begins anew */

static wn_status status_of(sqlite3 *db, int code) {
  int error = sqlite3_system_errno(db);
  switch (code & 0xFF) {
  case SQLITE_OK: return WN_OK;
  case SQLITE_FULL: return WN_E_FULL;
  case SQLITE_NOMEM: return WN_E_MEMORY;
  case SQLITE_BUSY:
  case SQLITE_LOCKED: return WN_E_BUSY;
  case SQLITE_CORRUPT:
  case SQLITE_NOTADB: return WN_E_CORRUPT;
  case SQLITE_TOOBIG: return WN_E_TOO_LARGE;
  case SQLITE_IOERR:
    if (code == SQLITE_IOERR_NOMEM) return WN_E_MEMORY;
    return error == ENOSPC || error == EDQUOT ? WN_E_FULL : WN_E_IO;
  case SQLITE_CANTOPEN:
  case SQLITE_READONLY:
  case SQLITE_PERM:
  case SQLITE_AUTH: return WN_E_IO;
  default: return WN_E_INTERNAL;
  }
}

/* After a failed fsync the kernel may have dropped the pages and call the next one a success
 * (PostgreSQL's "fsyncgate"): there is nothing left to retry. */
static bool is_fatal(int code) {
  return code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC ||
         (code & 0xFF) == SQLITE_CORRUPT || (code & 0xFF) == SQLITE_NOTADB;
}

wn_status wn_sqlite_fail(wn_store *store, sqlite3 *db, bool writing, const char *what,
                         wn_error *err) {
  wn_error why;
  int code = db != NULL ? sqlite3_extended_errcode(db) : SQLITE_NOMEM;
  if (code == SQLITE_OK) code = SQLITE_INTERNAL;
  wn_status status = db != NULL ? status_of(db, code) : WN_E_MEMORY;
  int error = db != NULL ? sqlite3_system_errno(db) : 0;
  wn_fail(&why, status, "", "cannot %s \"%s/winnow.db\": %s (SQLite code %d%s%s)", what, store->dir,
          db != NULL ? sqlite3_errmsg(db) : "out of memory", code, error != 0 ? ", " : "",
          error != 0 ? strerror(error) : "");
  if (writing && is_fatal(code)) wn_store_set_fatal(store, &why);
  if (writing && status == WN_E_FULL) wn_sqlite_of(store)->full = true;
  if (err != NULL) *err = why;
  return status;
}

wn_status wn_sqlite_exec(wn_store *store, sqlite3 *db, const char *sql, wn_error *err) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK) return WN_OK;
  return wn_sqlite_fail(store, db, false, "open", err);
}

wn_status wn_sqlite_prepare(wn_store *store, sqlite3 *db, const char *sql, sqlite3_stmt **out,
                            wn_error *err) {
  if (sqlite3_prepare_v3(db, sql, -1, 0, out, NULL) == SQLITE_OK) return WN_OK;
  return wn_sqlite_fail(store, db, false, "read", err);
}

/* The one integer of a pragma or query. */
static wn_status ask_int(wn_store *store, sqlite3 *db, const char *sql, int64_t *out,
                         wn_error *err) {
  wn_status status;
  sqlite3_stmt *statement = NULL;
  WN_TRY(wn_sqlite_prepare(store, db, sql, &statement, err));
  if (sqlite3_step(statement) == SQLITE_ROW) {
    *out = sqlite3_column_int64(statement, 0);
  } else {
    status = wn_sqlite_fail(store, db, false, "read", err);
  }
cleanup:
  sqlite3_finalize(statement);
  return status;
}

/* Ours, and of a version that this program knows? *empty: no tables at all. Only a writer can bring
 * an older one up to date. */
static wn_status check_file(wn_store *store, sqlite3 *db, bool *empty, wn_error *err) {
  wn_status status;
  int64_t version = 0, application = 0, tables = 0;
  WN_TRY(ask_int(store, db, "SELECT count(*) FROM sqlite_schema", &tables, err));
  WN_TRY(ask_int(store, db, "PRAGMA user_version", &version, err));
  WN_TRY(ask_int(store, db, "PRAGMA application_id", &application, err));
  *empty = tables == 0 && version == 0;
  if (*empty) return WN_OK;
  if (application != WN_SQLITE_APPLICATION_ID) {
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "", "\"%s/winnow.db\" is a database, but not Winnow's",
                   store->dir));
  }
  if (version > WN_SQLITE_VERSION) {
    WN_TRY(wn_fail(err, WN_E_UNSUPPORTED, "",
                   "\"%s\" was written by a newer Winnow (schema %lld, this one knows %d): use "
                   "that version",
                   store->dir, (long long)version, WN_SQLITE_VERSION));
  }
  if (version < 1 || (version < WN_SQLITE_VERSION && store->mode == WN_STORE_READ)) {
    WN_TRY(wn_fail(
        err, WN_E_UNSUPPORTED, "",
        "\"%s\" was written by an older Winnow (schema %lld, this one knows %d): a "
        "command that writes, such as `winnow serve` or `winnow train`, brings it up to date",
        store->dir, (long long)version, WN_SQLITE_VERSION));
  }
cleanup:
  return status;
}

static void draw_uuid(char out[33]) {
  unsigned char bytes[16];
  if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
    sqlite3_randomness(sizeof bytes, bytes);
  }
  for (size_t i = 0; i < sizeof bytes; i++) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* All tables in one transaction: a crash leaves an empty file or a whole store. */
static wn_status create_tables(wn_store *store, sqlite3 *db, wn_error *err) {
  wn_status status;
  char marks[256];
  draw_uuid(store->uuid);
  snprintf(marks, sizeof marks,
           "PRAGMA application_id = %d; PRAGMA user_version = %d;"
           "INSERT INTO meta(key, value) VALUES('uuid', '%s'); COMMIT",
           WN_SQLITE_APPLICATION_ID, WN_SQLITE_VERSION, store->uuid);
  WN_TRY(wn_sqlite_exec(store, db, "BEGIN IMMEDIATE", err));
  WN_TRY(wn_sqlite_exec(store, db, wn_sqlite_schema, err));
  WN_TRY(wn_sqlite_exec(store, db, wn_sqlite_views, err));
  WN_TRY(wn_sqlite_exec(store, db, marks, err));
  WN_TRY(wn_sync_dir(store->dir, err));
cleanup:
  return status;
}

/* An older store, brought to this version in one transaction. */
static wn_status upgrade(wn_store *store, sqlite3 *db, wn_error *err) {
  wn_status status;
  int64_t version = 0;
  char mark[64];
  WN_TRY(ask_int(store, db, "PRAGMA user_version", &version, err));
  if (version >= WN_SQLITE_VERSION) return WN_OK;
  WN_TRY(wn_sqlite_exec(store, db, "BEGIN IMMEDIATE", err));
  for (int64_t v = version; v < WN_SQLITE_VERSION; v++)
    WN_TRY(wn_sqlite_exec(store, db, wn_sqlite_upgrades[v - 1], err));
  WN_TRY(wn_sqlite_exec(store, db, wn_sqlite_views, err));
  snprintf(mark, sizeof mark, "PRAGMA user_version = %d; COMMIT", WN_SQLITE_VERSION);
  WN_TRY(wn_sqlite_exec(store, db, mark, err));
cleanup:
  return status;
}

static int note_wal(void *ctx, WN_UNUSED sqlite3 *db, WN_UNUSED const char *name, int frames) {
  wn_sqlite *lite = ctx;
  lite->wal_frames = frames;
  return SQLITE_OK;
}

/* Checkpoints are run by hand after commits, since SQLite's own swallow their errors. */
static wn_status set_pragmas(wn_store *store, sqlite3 *db, wn_error *err) {
  wn_status status;
  int64_t full = 0;
  WN_TRY(wn_sqlite_exec(store, db,
                        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                        "PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
                        "PRAGMA journal_size_limit = " WAL_BYTES_KEPT ";" CACHE_PRAGMA,
                        err));
  WN_TRY(ask_int(store, db, "SELECT journal_mode = 'wal' FROM pragma_journal_mode", &full, err));
  if (full != 1) {
    WN_TRY(wn_fail(err, WN_E_UNSUPPORTED, "",
                   "\"%s\" lies on a file system that cannot hold a write-ahead log (shared "
                   "memory is missing): use a local one",
                   store->dir));
  }
  sqlite3_wal_autocheckpoint(db, 0);
  sqlite3_wal_hook(db, note_wal, wn_sqlite_of(store));
cleanup:
  return status;
}

static wn_status open_writer(wn_store *store, wn_error *err) {
  wn_status status = WN_OK;
  wn_sqlite *lite = wn_sqlite_of(store);
  bool empty = false;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(lite->path, &lite->db, flags, NULL) != SQLITE_OK) {
    WN_TRY(wn_sqlite_fail(store, lite->db, false, "open", err));
  }
  sqlite3_extended_result_codes(lite->db, 1);
  sqlite3_busy_timeout(lite->db, BUSY_TIMEOUT_MS);
  WN_TRY(check_file(store, lite->db, &empty, err));
  WN_TRY(set_pragmas(store, lite->db, err));
  if (empty) WN_TRY(create_tables(store, lite->db, err));
  if (!empty) WN_TRY(wn_sqlite_exec(store, lite->db, LATER_TABLES, err));
  if (!empty) WN_TRY(upgrade(store, lite->db, err));
  WN_TRY(wn_sqlite_exec(store, lite->db, ERASURES_TABLE, err));
  WN_TRY(wn_sqlite_prepare_writer(store, err));
cleanup:
  return status;
}

static bool has_log(const char *path) {
  struct stat st;
  char log[4200];
  snprintf(log, sizeof log, "%s-wal", path);
  return stat(log, &st) == 0 && st.st_size > 0;
}

/* A reader may need to create shared memory beside the log; says so where that cannot be. */
static wn_status explain_log(wn_store *store, wn_status status, wn_error *err) {
  bool stuck =
      status == WN_E_IO && access(store->dir, W_OK) != 0 && has_log(wn_sqlite_of(store)->path);
  if (!stuck) return status;
  return wn_fail(err, WN_E_IO, "",
                 "\"%s\" is read-only and its log (winnow.db-wal) holds changes that only a "
                 "writable folder lets SQLite read: close the store's writer properly, or copy the "
                 "folder to where it can be written",
                 store->dir);
}

/* Opens the first reader, which tells whether there is a store at all. */
static wn_status check_reader(wn_store *store, wn_error *err) {
  wn_status status;
  struct stat st;
  wn_reader *reader = NULL;
  bool empty = false;
  if (stat(wn_sqlite_of(store)->path, &st) != 0) {
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "", "\"%s\" holds no store (winnow.db is missing)",
                   store->dir));
  }
  WN_TRY(wn_reader_take(store, &reader, err));
  WN_TRY(check_file(store, reader->db, &empty, err));
  if (empty) {
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "", "\"%s\" holds an empty store", store->dir));
  }
cleanup:
  wn_reader_give(store, reader);
  return explain_log(store, status, err);
}

static wn_status load_uuid(wn_store *store, sqlite3 *db, wn_error *err) {
  wn_status status;
  sqlite3_stmt *statement = NULL;
  WN_TRY(
      wn_sqlite_prepare(store, db, "SELECT value FROM meta WHERE key = 'uuid'", &statement, err));
  int rc = sqlite3_step(statement);
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
    WN_TRY(wn_sqlite_fail(store, db, false, "read", err));
  }
  wn_str uuid = rc == SQLITE_ROW ? wn_sqlite_column(statement, 0) : (wn_str){0};
  if (uuid.len != sizeof store->uuid - 1) {
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "", "\"%s/winnow.db\" has lost its uuid", store->dir));
  }
  memcpy(store->uuid, uuid.ptr, uuid.len);
cleanup:
  sqlite3_finalize(statement);
  return status;
}

static wn_status add_erased(wn_store *store, sqlite3 *db, wn_error *err) {
  wn_status status;
  sqlite3_stmt *statement = NULL;
  int rc;
  WN_TRY(wn_sqlite_prepare(store, db, "SELECT ix FROM users WHERE deleted", &statement, err));
  while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
    uint64_t *mark = wn_map64_at(&store->erased, (uint64_t)sqlite3_column_int64(statement, 0));
    if (mark == NULL) WN_TRY(wn_fail_memory(err));
    *mark = 1;
  }
  if (rc != SQLITE_DONE) WN_TRY(wn_sqlite_fail(store, db, false, "read", err));
cleanup:
  sqlite3_finalize(statement);
  return status;
}

static wn_status load(wn_store *store, wn_error *err) {
  wn_status status;
  wn_reader *reader = NULL;
  WN_TRY(wn_reader_take(store, &reader, err));
  WN_TRY(load_uuid(store, reader->db, err));
  WN_TRY(wn_sqlite_load_counters(store, reader->db, &store->now, err));
  WN_TRY(wn_sqlite_load_dicts(store, reader->db, err));
  if (store->mode == WN_STORE_WRITE) WN_TRY(add_erased(store, reader->db, err));
cleanup:
  wn_reader_give(store, reader);
  return status;
}

/* The path as an URI, with everything but plain bytes escaped. */
static void append_uri_path(wn_buf *out, const char *path) {
  for (const char *c = path; *c != '\0'; c++) {
    bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                 strchr("/._-", *c) != NULL;
    if (plain) {
      wn_buf_char(out, *c);
    } else {
      wn_buf_printf(out, "%%%02X", (unsigned char)*c);
    }
  }
}

/* A folder that cannot be written and has no log to read: SQLite could not create its shared
 * memory there, and need not, since nothing can change. */
static bool is_immutable(const wn_store *store, const char *path) {
  return store->mode == WN_STORE_READ && access(store->dir, W_OK) != 0 && !has_log(path);
}

static wn_status set_paths(wn_store *store, wn_sqlite *lite, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf path = {0}, uri = {0};
  /* "./": a folder's name may begin with "file:", which SQLite would take for an URI. */
  wn_buf_printf(&path, "%s%s/winnow.db", store->dir[0] == '/' ? "" : "./", store->dir);
  if (wn_buf_c(&path) == NULL) WN_TRY(wn_fail_memory(err));
  if (path.len > 4096)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "", "the data directory's path is too long"));
  bool immutable = is_immutable(store, path.data);
  wn_buf_str(&uri, "file:");
  append_uri_path(&uri, path.data);
  wn_buf_str(&uri, immutable ? "?mode=ro&immutable=1" : "?mode=ro");
  if (wn_buf_c(&uri) == NULL) WN_TRY(wn_fail_memory(err));
  lite->path = path.data;
  lite->reader_uri = uri.data;
  return WN_OK;
cleanup:
  wn_buf_clear(&path);
  wn_buf_clear(&uri);
  return status;
}

static wn_status lite_open(wn_store *store, wn_error *err) {
  wn_status status;
  wn_sqlite *lite = wn_calloc(1, sizeof *lite);
  if (lite == NULL) return wn_fail_memory(err);
  pthread_mutex_init(&lite->pool_lock, NULL);
  pthread_mutex_init(&lite->refresh_lock, NULL);
  lite->checkpoint_frames = WN_CHECKPOINT_FRAMES;
  store->impl = lite;
  WN_TRY(set_paths(store, lite, err));
  WN_TRY(store->mode == WN_STORE_WRITE ? open_writer(store, err) : check_reader(store, err));
  WN_TRY(load(store, err));
cleanup:
  return status;
}

static bool is_store_fatal(wn_store *store) {
  pthread_mutex_lock(&store->state_lock);
  bool fatal = store->fatal.status != WN_OK;
  pthread_mutex_unlock(&store->state_lock);
  return fatal;
}

static void close_writer(wn_store *store) {
  wn_sqlite *lite = wn_sqlite_of(store);
  /* After a failed fsync the log may be all that is left: it stays for recovery to judge. */
  if (!is_store_fatal(store)) wn_sqlite_checkpoint(store, 1);
  if (is_store_fatal(store)) {
    sqlite3_db_config(lite->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  }
  for (int i = 0; i < WN_ST_COUNT; i++) sqlite3_finalize(lite->statements[i]);
  sqlite3_close(lite->db);
}

static void lite_close(wn_store *store) {
  wn_sqlite *lite = wn_sqlite_of(store);
  while (lite->idle != NULL) {
    wn_reader *reader = lite->idle;
    lite->idle = reader->next;
    wn_reader_free(reader);
  }
  if (lite->db != NULL) close_writer(store);
  pthread_mutex_destroy(&lite->pool_lock);
  pthread_mutex_destroy(&lite->refresh_lock);
  wn_free(lite->path);
  wn_free(lite->reader_uri);
  wn_free(lite);
  store->impl = NULL;
}

static size_t lite_memory_bytes(const wn_store *store WN_UNUSED) {
  return (size_t)sqlite3_memory_used();
}

const wn_store_backend wn_store_sqlite = {
    .name = "sqlite",
    .open = lite_open,
    .close = lite_close,
    .memory_bytes = lite_memory_bytes,
    .begin = wn_sqlite_begin,
    .commit = wn_sqlite_commit,
    .rollback = wn_sqlite_rollback,
    .put_type = wn_sqlite_put_type,
    .put_event_key = wn_sqlite_put_event_key,
    .put_event = wn_sqlite_put_event,
    .put_item = wn_sqlite_put_item,
    .put_user = wn_sqlite_put_user,
    .put_slate = wn_sqlite_put_slate,
    .erase_user = wn_sqlite_erase_user,
    .erase_noted = wn_sqlite_erase_noted,
    .expire = wn_sqlite_expire,
    .put_counters = wn_sqlite_put_counters,
    .put_meta = wn_sqlite_put_meta,
    .read_item = wn_sqlite_read_item,
    .read_user = wn_sqlite_read_user,
    .scan_events = wn_sqlite_scan_events,
    .scan_items = wn_sqlite_scan_items,
    .scan_users = wn_sqlite_scan_users,
    .scan_slates = wn_sqlite_scan_slates,
    .scan_erased = wn_sqlite_scan_erased,
    .get_item = wn_sqlite_get_item,
    .get_user = wn_sqlite_get_user,
    .get_counters = wn_sqlite_get_counters,
    .get_meta = wn_sqlite_get_meta,
};
