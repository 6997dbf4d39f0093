/* Readers: a few read-only connections that threads borrow for one scan or look-up. A connection is
 * never shared: whoever finds none idle opens another (about 0.1 ms), and at most IDLE_MAX are
 * kept. In WAL mode a reader neither waits for the writer nor holds it up; a long scan only keeps
 * the log from starting over, so the log grows meanwhile. */
#include "base/mem.h"
#include "store/sqlite.h"

#include <stdio.h>

#define IDLE_MAX        8
#define BUSY_TIMEOUT_MS 5000

void wn_reader_free(wn_reader *reader) {
  if (reader == NULL) return;
  sqlite3_finalize(reader->get_item);
  sqlite3_finalize(reader->get_user);
  sqlite3_close(reader->db);
  wn_free(reader);
}

static wn_status open_reader(wn_store *store, wn_reader **out, wn_error *err) {
  wn_status status = WN_OK;
  wn_reader *reader = wn_calloc(1, sizeof *reader);
  *out = NULL;
  if (reader == NULL) return wn_fail_memory(err);
  int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI;
  if (sqlite3_open_v2(wn_sqlite_of(store)->reader_uri, &reader->db, flags, NULL) != SQLITE_OK) {
    WN_TRY(wn_sqlite_fail(store, reader->db, false, "open", err));
  }
  sqlite3_extended_result_codes(reader->db, 1);
  sqlite3_busy_timeout(reader->db, BUSY_TIMEOUT_MS);
  sqlite3_db_config(reader->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
  WN_TRY(
      wn_sqlite_exec(store, reader->db, "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY", err));
  *out = reader;
  reader = NULL;
cleanup:
  wn_reader_free(reader);
  return status;
}

wn_status wn_reader_take(wn_store *store, wn_reader **out, wn_error *err) {
  wn_sqlite *lite = wn_sqlite_of(store);
  pthread_mutex_lock(&lite->pool_lock);
  wn_reader *reader = lite->idle;
  if (reader != NULL) {
    lite->idle = reader->next;
    lite->idle_count--;
  }
  pthread_mutex_unlock(&lite->pool_lock);
  *out = reader;
  return reader != NULL ? WN_OK : open_reader(store, out, err);
}

void wn_reader_give(wn_store *store, wn_reader *reader) {
  wn_sqlite *lite = wn_sqlite_of(store);
  if (reader == NULL) return;
  pthread_mutex_lock(&lite->pool_lock);
  if (lite->idle_count < IDLE_MAX && sqlite3_get_autocommit(reader->db)) {
    reader->next = lite->idle;
    lite->idle = reader;
    lite->idle_count++;
    reader = NULL;
  }
  pthread_mutex_unlock(&lite->pool_lock);
  wn_reader_free(reader);
}

/* Another process may have added ids since: they come in before any row that names them. */
static wn_status refresh(wn_store *store, sqlite3 *db, wn_error *err) {
  wn_sqlite *lite = wn_sqlite_of(store);
  pthread_mutex_lock(&lite->refresh_lock);
  wn_status status = wn_sqlite_load_dicts(store, db, err);
  pthread_mutex_unlock(&lite->refresh_lock);
  return status;
}

wn_status wn_reader_begin(wn_store *store, wn_reader *reader, wn_error *err) {
  wn_status status;
  WN_TRY(wn_sqlite_exec(store, reader->db, "BEGIN", err));
  if (store->mode == WN_STORE_READ) WN_TRY(refresh(store, reader->db, err));
cleanup:
  if (status != WN_OK) wn_reader_end(reader);
  return status;
}

void wn_reader_end(wn_reader *reader) {
  if (reader == NULL || sqlite3_get_autocommit(reader->db)) return;
  /* Should this fail, wn_reader_give closes the connection: a read transaction that never ends
   * would keep the log from starting over. */
  sqlite3_exec(reader->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Rows of (ix, id) from a dictionary's end on, in order and without gaps. */
static wn_status load_dict(wn_store *store, sqlite3 *db, const char *sql, wn_dict *dict,
                           wn_error *err) {
  wn_status status;
  sqlite3_stmt *statement = NULL;
  int rc;
  WN_TRY(wn_sqlite_prepare(store, db, sql, &statement, err));
  uint32_t next = wn_dict_count(dict);
  sqlite3_bind_int64(statement, 1, next);
  while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
    uint32_t ix = 0;
    bool added = false;
    sqlite3_int64 row = sqlite3_column_int64(statement, 0);
    status = wn_dict_add(dict, wn_sqlite_column(statement, 1), &ix, &added);
    if (status != WN_OK) WN_TRY(wn_fail_memory(err));
    if (!added || ix != next || row != (sqlite3_int64)next) {
      WN_TRY(wn_fail(err, WN_E_CORRUPT, "", "\"%s/winnow.db\": row %lld of an id table is %s (%s)",
                     store->dir, (long long)row, added ? "out of sequence" : "a duplicate", sql));
    }
    next++;
  }
  if (rc != SQLITE_DONE) WN_TRY(wn_sqlite_fail(store, db, false, "read", err));
cleanup:
  sqlite3_finalize(statement);
  return status;
}

wn_status wn_sqlite_load_dicts(wn_store *store, sqlite3 *db, wn_error *err) {
  wn_status status;
  WN_TRY(load_dict(store, db, "SELECT ix, id FROM users WHERE ix >= ?1 ORDER BY ix", store->users,
                   err));
  WN_TRY(load_dict(store, db, "SELECT ix, id FROM items WHERE ix >= ?1 ORDER BY ix", store->items,
                   err));
  WN_TRY(load_dict(store, db, "SELECT type, name FROM event_types WHERE type >= ?1 ORDER BY type",
                   store->types, err));
cleanup:
  return status;
}

wn_status wn_sqlite_load_counters(wn_store *store, sqlite3 *db, wn_counters *out, wn_error *err) {
  wn_status status;
  sqlite3_stmt *statement = NULL;
  int rc;
  *out = (wn_counters){0};
  WN_TRY(wn_sqlite_prepare(store, db, "SELECT name, value FROM counters", &statement, err));
  while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
    wn_str name = wn_sqlite_column(statement, 0);
    for (int i = 0; i < WN_COUNTER_COUNT; i++) {
      if (!wn_str_is(name, wn_counter_name((wn_counter)i))) continue;
      out->v[i] = sqlite3_column_int64(statement, 1);
    }
  }
  if (rc != SQLITE_DONE) WN_TRY(wn_sqlite_fail(store, db, false, "read", err));
cleanup:
  sqlite3_finalize(statement);
  return status;
}
