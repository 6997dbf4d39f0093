/* Writing rows, on the one connection that writes and checkpoints. */
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/sqlite.h"

#include <math.h>

static const char *const statement_sql[WN_ST_COUNT] = {
    [WN_ST_BEGIN] = "BEGIN IMMEDIATE",
    [WN_ST_COMMIT] = "COMMIT",
    [WN_ST_ROLLBACK] = "ROLLBACK",
    [WN_ST_TYPE] = "INSERT INTO event_types(type, name) VALUES(?1, ?2)",
    [WN_ST_KEY] = "INSERT OR IGNORE INTO event_keys(key) VALUES(?1)",
    [WN_ST_EVENT] = "INSERT INTO events(seq, user, item, type, value, time_ms, slate) "
                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [WN_ST_ITEM] = "INSERT OR REPLACE INTO items(ix, " WN_ITEM_COLUMNS ", text) "
                   "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [WN_ST_USER] = "INSERT OR REPLACE INTO users(ix, " WN_USER_COLUMNS ") "
                   "VALUES(?1, ?2, ?3, ?4, ?5)",
    [WN_ST_SLATE] = "INSERT INTO slates(seq, id, time_ms, surface, user, user_id, session, anchor, "
                    "snapshot, feed, items, policy, arms, features, filter, excluded, context, "
                    "request, weights) "
                    "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, "
                    "?17, ?18, ?19)",
    /* No index on user: it would double the cost of every event for the sake of a rare scan. */
    [WN_ST_ERASED] = "INSERT OR REPLACE INTO erased(user, seq) VALUES(?1, ?2)",
    [WN_ST_NOTE_ERASURE] = "INSERT OR REPLACE INTO erasures(id, user, event_seq, slate_seq, "
                           "number) VALUES(?1, ?2, ?3, ?4, ?5)",
    [WN_ST_ERASE_EVENTS] = "DELETE FROM events WHERE seq <= "
                           "(SELECT event_seq FROM erasures e WHERE e.user = events.user) "
                           "RETURNING time_ms, "
                           "(SELECT number FROM erasures e WHERE e.user = events.user)",
    /* The slate's number, and by which deletion it goes. */
    [WN_ST_FIND_SLATES] = "SELECT s.seq, (SELECT e.number FROM erasures e "
                          "WHERE (e.user = s.user OR e.id = s.user_id) AND s.seq <= e.slate_seq "
                          "ORDER BY e.slate_seq DESC LIMIT 1) AS number FROM slates s "
                          "WHERE (s.user NOTNULL OR s.user_id NOTNULL) AND number NOTNULL",
    [WN_ST_ERASE_SLATE] = "UPDATE slates SET user = NULL, user_id = NULL, session = NULL, "
                          "features = NULL, filter = NULL, excluded = NULL, context = NULL, "
                          "request = NULL, weights = NULL "
                          "WHERE seq = ?1",
    [WN_ST_ERASURES_DONE] = "DELETE FROM erasures",
    [WN_ST_EXPIRE] = "DELETE FROM events WHERE seq >= ?1 AND seq <= ?2 AND time_ms < ?3",
    [WN_ST_EVENT_BOUNDS] = "SELECT count(*), coalesce(min(time_ms), 0), coalesce(max(time_ms), 0) "
                           "FROM events",
    [WN_ST_COUNTER] = "INSERT OR REPLACE INTO counters(name, value) VALUES(?1, ?2)",
    [WN_ST_META] = "INSERT OR REPLACE INTO meta(key, value) VALUES(?1, ?2)",
    [WN_ST_READ_ITEM] = "SELECT " WN_ITEM_COLUMNS ", text FROM items WHERE ix = ?1",
    [WN_ST_READ_USER] = "SELECT " WN_USER_COLUMNS " FROM users WHERE ix = ?1",
};

wn_status wn_sqlite_prepare_writer(wn_store *store, wn_error *err) {
  wn_sqlite *lite = wn_sqlite_of(store);
  for (int i = 0; i < WN_ST_COUNT; i++) {
    int rc = sqlite3_prepare_v3(lite->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &lite->statements[i], NULL);
    if (rc != SQLITE_OK) return wn_sqlite_fail(store, lite->db, true, "prepare", err);
  }
  return WN_OK;
}

/* Runs a statement that returns no row, and frees it for the next use. */
static wn_status run(wn_store *store, wn_sqlite_statement which, wn_error *err) {
  wn_sqlite *lite = wn_sqlite_of(store);
  sqlite3_stmt *statement = lite->statements[which];
  wn_status status = WN_OK;
  if (sqlite3_step(statement) != SQLITE_DONE) {
    status = wn_sqlite_fail(store, lite->db, true, "write", err);
  }
  sqlite3_reset(statement);
  return status;
}

static sqlite3_stmt *statement_of(const wn_store *store, wn_sqlite_statement which) {
  return wn_sqlite_of(store)->statements[which];
}

/* Bound values are borrowed until the statement has run; they cannot fail but for huge lengths,
 * which the step then reports as a missing value. */
static void bind_str(sqlite3_stmt *statement, int i, wn_str s) {
  if (s.ptr == NULL) {
    sqlite3_bind_null(statement, i);
  } else {
    sqlite3_bind_text64(statement, i, s.ptr, s.len, SQLITE_STATIC, SQLITE_UTF8);
  }
}

static void bind_blob(sqlite3_stmt *statement, int i, wn_str s) {
  if (s.ptr == NULL)
    sqlite3_bind_null(statement, i);
  else
    sqlite3_bind_blob64(statement, i, s.ptr, s.len, SQLITE_STATIC);
}

static void bind_ix(sqlite3_stmt *statement, int i, uint32_t ix) {
  if (ix == WN_NO_IX) {
    sqlite3_bind_null(statement, i);
  } else {
    sqlite3_bind_int64(statement, i, ix);
  }
}

wn_status wn_sqlite_begin(wn_store *store, wn_error *err) {
  return run(store, WN_ST_BEGIN, err);
}

void wn_sqlite_checkpoint(wn_store *store, int frames_min) {
  wn_sqlite *lite = wn_sqlite_of(store);
  if (lite->wal_frames < frames_min) return;
  int frames = 0, moved = 0;
  int rc = sqlite3_wal_checkpoint_v2(lite->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
  /* Readers may hold back a part: look again when the log has grown by as much once more. */
  lite->checkpoint_at = frames > moved ? lite->wal_frames + lite->checkpoint_frames : 0;
  if (rc == SQLITE_OK || rc == SQLITE_BUSY) return;
  wn_error why;
  char text[768];
  /* What was acknowledged is safe in the log. A full disk passes; a failed fsync is fatal. */
  if (wn_sqlite_fail(store, lite->db, true, "checkpoint", &why) != WN_OK) {
    wn_log(WN_LOG_WARN, "checkpoint failed: %s", wn_error_format(&why, text, sizeof text));
  }
}

wn_status wn_sqlite_commit(wn_store *store, wn_error *err) {
  wn_status status;
  wn_sqlite *lite = wn_sqlite_of(store);
  int frames_before = lite->wal_frames;
  WN_TRY(run(store, WN_ST_COMMIT, err));
  if (lite->wal_frames < frames_before) lite->checkpoint_at = 0; /* the log began anew */
  int at = lite->checkpoint_at > 0 ? lite->checkpoint_at : lite->checkpoint_frames;
  wn_sqlite_checkpoint(store, at);
cleanup:
  return status;
}

void wn_sqlite_rollback(wn_store *store) {
  wn_sqlite *lite = wn_sqlite_of(store);
  wn_error why;
  /* Some failures have rolled back already. */
  bool open = !sqlite3_get_autocommit(lite->db);
  wn_status status = open ? run(store, WN_ST_ROLLBACK, &why) : WN_OK;
  if (status != WN_OK && !sqlite3_get_autocommit(lite->db)) wn_store_set_fatal(store, &why);
  /* With its pages in the database, the log starts over in the space that it already has. */
  if (lite->full) wn_sqlite_checkpoint(store, 1);
  lite->full = false;
}

wn_status wn_sqlite_put_type(wn_store *store, uint32_t type, wn_str name, wn_error *err) {
  sqlite3_stmt *s = statement_of(store, WN_ST_TYPE);
  sqlite3_bind_int64(s, 1, type);
  bind_str(s, 2, name);
  return run(store, WN_ST_TYPE, err);
}

wn_status wn_sqlite_put_event_key(wn_store *store, wn_hash128 key, bool *fresh, wn_error *err) {
  wn_status status;
  sqlite3_stmt *s = statement_of(store, WN_ST_KEY);
  unsigned char bytes[16]; /* big-endian: the canonical form of XXH3-128 */
  for (int i = 0; i < 8; i++) {
    bytes[i] = (unsigned char)(key.high >> (56 - 8 * i));
    bytes[8 + i] = (unsigned char)(key.low >> (56 - 8 * i));
  }
  sqlite3_bind_blob(s, 1, bytes, sizeof bytes, SQLITE_STATIC);
  WN_TRY(run(store, WN_ST_KEY, err));
  *fresh = sqlite3_changes(wn_sqlite_of(store)->db) > 0;
cleanup:
  sqlite3_bind_null(s, 1);
  return status;
}

wn_status wn_sqlite_put_event(wn_store *store, const wn_stored_event *event, wn_error *err) {
  sqlite3_stmt *s = statement_of(store, WN_ST_EVENT);
  sqlite3_bind_int64(s, 1, (sqlite3_int64)event->seq);
  sqlite3_bind_int64(s, 2, event->user);
  sqlite3_bind_int64(s, 3, event->item);
  sqlite3_bind_int64(s, 4, event->type);
  sqlite3_bind_double(s, 5, event->value); /* NaN is bound as NULL */
  sqlite3_bind_int64(s, 6, event->time_ms);
  bind_str(s, 7, event->slate);
  return run(store, WN_ST_EVENT, err);
}

wn_status wn_sqlite_put_item(wn_store *store, wn_item_ix ix, const wn_item_row *row,
                             wn_error *err) {
  sqlite3_stmt *s = statement_of(store, WN_ST_ITEM);
  sqlite3_bind_int64(s, 1, ix);
  bind_str(s, 2, row->id);
  sqlite3_bind_int(s, 3, (int)row->status);
  sqlite3_bind_int64(s, 4, row->created_ms);
  sqlite3_bind_int64(s, 5, row->updated_ms);
  sqlite3_bind_int64(s, 6, (sqlite3_int64)row->rev);
  bind_str(s, 7, row->title);
  bind_str(s, 8, row->attributes);
  bind_str(s, 9, row->text);
  return run(store, WN_ST_ITEM, err);
}

wn_status wn_sqlite_put_user(wn_store *store, wn_user_ix ix, const wn_user_row *row,
                             wn_error *err) {
  sqlite3_stmt *s = statement_of(store, WN_ST_USER);
  sqlite3_bind_int64(s, 1, ix);
  bind_str(s, 2, row->id);
  bind_str(s, 3, row->attributes);
  sqlite3_bind_int64(s, 4, row->updated_ms);
  sqlite3_bind_int(s, 5, row->deleted);
  return run(store, WN_ST_USER, err);
}

/* [[item, propensity], …] */
static void slate_items_json(const wn_slate_log *slate, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_array(&json);
  for (size_t i = 0; i < slate->len; i++) {
    wn_json_array(&json);
    wn_json_int(&json, slate->items[i]);
    wn_json_float(&json, slate->propensities[i]);
    wn_json_end_array(&json);
  }
  wn_json_end_array(&json);
}

/* [item, …]; absent: none. */
static wn_str excluded_json(const wn_slate_log *slate, wn_buf *out) {
  size_t begin = out->len;
  wn_json json;
  if (slate->exclude_len == 0) return (wn_str){0};
  wn_json_init(&json, out);
  wn_json_array(&json);
  for (size_t i = 0; i < slate->exclude_len; i++) wn_json_int(&json, slate->exclude[i]);
  wn_json_end_array(&json);
  return (wn_str){out->data + begin, out->len - begin};
}

wn_status wn_sqlite_put_slate(wn_store *store, uint64_t seq, const wn_slate_log *slate,
                              wn_error *err) {
  sqlite3_stmt *s = statement_of(store, WN_ST_SLATE);
  wn_buf *json = &store->json;
  wn_buf_reset(json);
  slate_items_json(slate, json);
  size_t items_len = json->len;
  wn_str excluded = excluded_json(slate, json);
  if (json->failed) {
    wn_buf_clear(json);
    return wn_fail_memory(err);
  }
  sqlite3_bind_int64(s, 1, (sqlite3_int64)seq);
  bind_str(s, 2, slate->id);
  sqlite3_bind_int64(s, 3, slate->time_ms);
  bind_str(s, 4, slate->surface);
  bind_ix(s, 5, slate->user);
  bind_str(s, 6, slate->user_id);
  bind_str(s, 7, slate->session);
  bind_ix(s, 8, slate->anchor);
  sqlite3_bind_int64(s, 9, (sqlite3_int64)slate->snapshot);
  sqlite3_bind_int(s, 10, slate->feed);
  bind_str(s, 11, (wn_str){json->data, items_len});
  sqlite3_bind_int64(s, 12, (sqlite3_int64)slate->policy);
  bind_str(s, 13, slate->arms);
  bind_blob(s, 14, slate->features);
  bind_str(s, 15, slate->filter);
  bind_str(s, 16, excluded);
  bind_blob(s, 17, slate->context);
  bind_str(s, 18, slate->request);
  bind_str(s, 19, slate->weights);
  return run(store, WN_ST_SLATE, err);
}

static wn_status recount_events(wn_store *store, wn_error *err) {
  sqlite3_stmt *s = statement_of(store, WN_ST_EVENT_BOUNDS);
  wn_status status = WN_OK;
  if (sqlite3_step(s) == SQLITE_ROW) {
    store->now.v[WN_COUNT_EVENTS] = sqlite3_column_int64(s, 0);
    store->now.v[WN_COUNT_FIRST_MS] = sqlite3_column_int64(s, 1);
    store->now.v[WN_COUNT_LAST_MS] = sqlite3_column_int64(s, 2);
  } else {
    status = wn_sqlite_fail(store, wn_sqlite_of(store)->db, true, "count", err);
  }
  sqlite3_reset(s);
  return status;
}

wn_status wn_sqlite_erase_user(wn_store *store, wn_user_ix ix, wn_str id, uint32_t number,
                               wn_error *err) {
  wn_status status;
  const int64_t *now = store->now.v;
  sqlite3_stmt *erased = statement_of(store, WN_ST_ERASED);
  sqlite3_stmt *note = statement_of(store, WN_ST_NOTE_ERASURE);
  bind_str(note, 1, id);
  bind_ix(note, 2, ix);
  sqlite3_bind_int64(note, 3, now[WN_COUNT_LAST_SEQ]);
  sqlite3_bind_int64(note, 4, now[WN_COUNT_SLATES]);
  sqlite3_bind_int64(note, 5, number);
  WN_TRY(run(store, WN_ST_NOTE_ERASURE, err));
  if (ix == WN_NO_IX) return WN_OK;
  sqlite3_bind_int64(erased, 1, ix);
  sqlite3_bind_int64(erased, 2, now[WN_COUNT_LAST_SEQ]);
  WN_TRY(run(store, WN_ST_ERASED, err));
cleanup:
  return status;
}

/* Of a row whose second column is the deletion's number. */
static wn_erasure *erasure_of(wn_store *store, sqlite3_stmt *s) {
  return &store->erasures.data[(size_t)sqlite3_column_int64(s, 1)];
}

/* Counts the events out one by one; the bounds are looked for anew only when one of them went. */
static wn_status erase_events(wn_store *store, wn_error *err) {
  wn_status status = WN_OK;
  int64_t *now = store->now.v;
  sqlite3_stmt *s = statement_of(store, WN_ST_ERASE_EVENTS);
  bool bound = false;
  int rc;
  while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
    int64_t time_ms = sqlite3_column_int64(s, 0);
    now[WN_COUNT_EVENTS]--;
    erasure_of(store, s)->events++;
    bound = bound || time_ms <= now[WN_COUNT_FIRST_MS] || time_ms >= now[WN_COUNT_LAST_MS];
  }
  if (rc != SQLITE_DONE)
    status = wn_sqlite_fail(store, wn_sqlite_of(store)->db, true, "write", err);
  sqlite3_reset(s);
  return status == WN_OK && bound ? recount_events(store, err) : status;
}

static wn_status erase_slates(wn_store *store, wn_error *err) {
  wn_status status = WN_OK;
  sqlite3_stmt *find = statement_of(store, WN_ST_FIND_SLATES);
  WN_VEC(int64_t) found = {0};
  int rc;
  while (status == WN_OK && (rc = sqlite3_step(find)) != SQLITE_DONE) {
    if (rc != SQLITE_ROW)
      status = wn_sqlite_fail(store, wn_sqlite_of(store)->db, true, "read", err);
    else if (!wn_vec_push(&found, sqlite3_column_int64(find, 0)))
      status = wn_fail_memory(err);
    else
      erasure_of(store, find)->slates++;
  }
  sqlite3_reset(find);
  for (size_t i = 0; status == WN_OK && i < found.len; i++) {
    sqlite3_bind_int64(statement_of(store, WN_ST_ERASE_SLATE), 1, found.data[i]);
    status = run(store, WN_ST_ERASE_SLATE, err);
  }
  wn_vec_clear(&found);
  return status;
}

/* There is no index by user, so a deletion is a scan of the log: one for all of a transaction. What
 * came after the deletion belongs to a user who is back, and stays. */
wn_status wn_sqlite_erase_noted(wn_store *store, wn_error *err) {
  wn_status status;
  WN_TRY(erase_events(store, err));
  WN_TRY(erase_slates(store, err));
  WN_TRY(run(store, WN_ST_ERASURES_DONE, err));
cleanup:
  return status;
}

wn_status wn_sqlite_expire(wn_store *store, const wn_op *op, wn_error *err) {
  wn_status status;
  sqlite3_stmt *s = statement_of(store, WN_ST_EXPIRE);
  sqlite3_bind_int64(s, 1, (int64_t)op->u.expire.first);
  sqlite3_bind_int64(s, 2, (int64_t)op->u.expire.last);
  sqlite3_bind_int64(s, 3, op->u.expire.before_ms);
  WN_TRY(run(store, WN_ST_EXPIRE, err));
  store->now.v[WN_COUNT_EVENTS] -= sqlite3_changes(wn_sqlite_of(store)->db);
  if (op->u.expire.recount) WN_TRY(recount_events(store, err));
cleanup:
  return status;
}

wn_status wn_sqlite_put_counters(wn_store *store, const wn_counters *was, const wn_counters *now,
                                 wn_error *err) {
  wn_status status = WN_OK;
  sqlite3_stmt *s = statement_of(store, WN_ST_COUNTER);
  for (int i = 0; i < WN_COUNTER_COUNT; i++) {
    if (was->v[i] == now->v[i]) continue;
    bind_str(s, 1, wn_str_of(wn_counter_name((wn_counter)i)));
    sqlite3_bind_int64(s, 2, now->v[i]);
    WN_TRY(run(store, WN_ST_COUNTER, err));
  }
cleanup:
  return status;
}

wn_status wn_sqlite_put_meta(wn_store *store, const char *key, wn_str value, wn_error *err) {
  sqlite3_stmt *s = statement_of(store, WN_ST_META);
  bind_str(s, 1, wn_str_of(key));
  bind_str(s, 2, value);
  return run(store, WN_ST_META, err);
}

/* Steps a look-up of a row that must be there. */
static wn_status look_up(wn_store *store, sqlite3_stmt *s, uint32_t ix, const char *table,
                         wn_error *err) {
  sqlite3_bind_int64(s, 1, ix);
  int rc = sqlite3_step(s);
  if (rc == SQLITE_ROW) return WN_OK;
  if (rc == SQLITE_DONE)
    return wn_fail(err, WN_E_CORRUPT, "", "the table %s lacks its row %u", table, ix);
  return wn_sqlite_fail(store, wn_sqlite_of(store)->db, true, "read", err);
}

wn_status wn_sqlite_read_item(wn_store *store, wn_item_ix ix, wn_arena *arena, wn_item_row *out,
                              wn_error *err) {
  wn_status status;
  sqlite3_stmt *s = statement_of(store, WN_ST_READ_ITEM);
  WN_TRY(look_up(store, s, ix, "items", err));
  *out = wn_sqlite_item_row(s, 0);
  if (!wn_item_row_keep(out, arena)) WN_TRY(wn_fail_memory(err));
cleanup:
  sqlite3_reset(s);
  return status;
}

wn_status wn_sqlite_read_user(wn_store *store, wn_user_ix ix, wn_arena *arena, wn_user_row *out,
                              wn_error *err) {
  wn_status status;
  sqlite3_stmt *s = statement_of(store, WN_ST_READ_USER);
  WN_TRY(look_up(store, s, ix, "users", err));
  *out = wn_sqlite_user_row(s, 0);
  if (!wn_user_row_keep(out, arena)) WN_TRY(wn_fail_memory(err));
cleanup:
  sqlite3_reset(s);
  return status;
}
