/* Scans and look-ups: each takes a reader for its own time and sees one state of the store. */
#include "base/mem.h"
#include "base/vec.h"
#include "store/sqlite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

wn_item_row wn_sqlite_item_row(sqlite3_stmt *s, int first) {
  int status = sqlite3_column_int(s, first + 1);
  bool known = status >= WN_ITEM_ACTIVE && status <= WN_ITEM_DELETED;
  return (wn_item_row){.id = wn_sqlite_column(s, first),
                       .status = known ? (wn_item_status)status : WN_ITEM_HIDDEN,
                       .created_ms = sqlite3_column_int64(s, first + 2),
                       .updated_ms = sqlite3_column_int64(s, first + 3),
                       .rev = (uint64_t)sqlite3_column_int64(s, first + 4),
                       .title = wn_sqlite_column(s, first + 5),
                       .attributes = wn_sqlite_column(s, first + 6),
                       .text = wn_sqlite_column(s, first + 7)};
}

wn_user_row wn_sqlite_user_row(sqlite3_stmt *s, int first) {
  return (wn_user_row){.id = wn_sqlite_column(s, first),
                       .attributes = wn_sqlite_column(s, first + 1),
                       .updated_ms = sqlite3_column_int64(s, first + 2),
                       .deleted = sqlite3_column_int(s, first + 3) != 0};
}

static bool keep(wn_str *s, wn_arena *arena) {
  if (s->ptr == NULL) return true;
  *s = wn_arena_str(arena, *s);
  return s->ptr != NULL;
}

bool wn_item_row_keep(wn_item_row *row, wn_arena *arena) {
  return keep(&row->id, arena) && keep(&row->title, arena) && keep(&row->text, arena) &&
         keep(&row->attributes, arena);
}

bool wn_user_row_keep(wn_user_row *row, wn_arena *arena) {
  return keep(&row->id, arena) && keep(&row->attributes, arena);
}

/* One query over a reader of its own. */
typedef struct cursor {
  wn_store *store;
  wn_reader *reader;
  sqlite3_stmt *statement;
} cursor;

static wn_status cursor_open(cursor *c, wn_store *store, const char *sql, wn_error *err) {
  wn_status status;
  *c = (cursor){.store = store};
  WN_TRY(wn_reader_take(store, &c->reader, err));
  WN_TRY(wn_reader_begin(store, c->reader, err));
  WN_TRY(wn_sqlite_prepare(store, c->reader->db, sql, &c->statement, err));
cleanup:
  return status;
}

/* *more false: the end. */
static wn_status cursor_next(cursor *c, bool *more, wn_error *err) {
  int rc = sqlite3_step(c->statement);
  *more = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW || rc == SQLITE_DONE) return WN_OK;
  return wn_sqlite_fail(c->store, c->reader->db, false, "read", err);
}

static void cursor_close(cursor *c) {
  sqlite3_finalize(c->statement);
  wn_reader_end(c->reader);
  wn_reader_give(c->store, c->reader);
}

wn_status wn_sqlite_scan_events(wn_store *store, uint64_t after, uint64_t upto, wn_event_fn *each,
                                void *ctx, wn_error *err) {
  wn_status status;
  cursor c;
  bool more = true;
  const uint64_t most = INT64_MAX;
  WN_TRY(cursor_open(&c, store,
                     "SELECT seq, user, item, type, value, time_ms, slate FROM events "
                     "WHERE seq > ?1 AND seq <= ?2 ORDER BY seq",
                     err));
  sqlite3_bind_int64(c.statement, 1, (sqlite3_int64)(after > most ? most : after));
  sqlite3_bind_int64(c.statement, 2, (sqlite3_int64)(upto == 0 || upto > most ? most : upto));
  for (;;) {
    WN_TRY(cursor_next(&c, &more, err));
    if (!more) break;
    sqlite3_stmt *s = c.statement;
    wn_stored_event event = {
        .seq = (uint64_t)sqlite3_column_int64(s, 0),
        .user = (wn_user_ix)sqlite3_column_int64(s, 1),
        .item = (wn_item_ix)sqlite3_column_int64(s, 2),
        .type = (uint32_t)sqlite3_column_int64(s, 3),
        .value =
            sqlite3_column_type(s, 4) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(s, 4),
        .time_ms = sqlite3_column_int64(s, 5),
        .slate = wn_sqlite_column(s, 6),
    };
    WN_TRY(each(ctx, &event, err));
  }
cleanup:
  cursor_close(&c);
  return status;
}

static wn_status scan_all_items(wn_store *store, bool with_text, wn_item_row_fn *each, void *ctx,
                                wn_error *err) {
  wn_status status;
  cursor c;
  bool more = true;
  WN_TRY(cursor_open(&c, store,
                     with_text ? "SELECT ix, " WN_ITEM_COLUMNS ", text FROM items ORDER BY ix"
                               : "SELECT ix, " WN_ITEM_COLUMNS ", NULL FROM items ORDER BY ix",
                     err));
  for (;;) {
    WN_TRY(cursor_next(&c, &more, err));
    if (!more) break;
    wn_item_row row = wn_sqlite_item_row(c.statement, 1);
    WN_TRY(each(ctx, (wn_item_ix)sqlite3_column_int64(c.statement, 0), &row, err));
  }
cleanup:
  cursor_close(&c);
  return status;
}

typedef struct revision {
  uint64_t rev;
  wn_item_ix ix;
} revision;

static int by_rev(const void *a, const void *b) {
  uint64_t x = ((const revision *)a)->rev, y = ((const revision *)b)->rev;
  return x < y ? -1 : x > y;
}

typedef WN_VEC(revision) revisions;

/* What changed, in order of revision. There is no index on rev: a scan of the table's short
 * columns finds the changes, and each is then read by its key. */
static wn_status find_changed(cursor *c, revisions *out, wn_error *err) {
  wn_status status;
  bool more = true;
  for (;;) {
    WN_TRY(cursor_next(c, &more, err));
    if (!more) break;
    revision r = {(uint64_t)sqlite3_column_int64(c->statement, 1),
                  (wn_item_ix)sqlite3_column_int64(c->statement, 0)};
    if (!wn_vec_push(out, r)) WN_TRY(wn_fail_memory(err));
  }
  if (out->len > 1) qsort(out->data, out->len, sizeof *out->data, by_rev);
cleanup:
  return status;
}

static wn_status scan_changed_items(wn_store *store, uint64_t after_rev, wn_item_row_fn *each,
                                    void *ctx, wn_error *err) {
  wn_status status;
  cursor c;
  revisions changed = {0};
  bool more = true;
  WN_TRY(cursor_open(&c, store, "SELECT ix, rev FROM items WHERE rev > ?1", err));
  sqlite3_bind_int64(c.statement, 1,
                     (sqlite3_int64)(after_rev > INT64_MAX ? INT64_MAX : after_rev));
  WN_TRY(find_changed(&c, &changed, err));
  sqlite3_finalize(c.statement);
  c.statement = NULL;
  WN_TRY(wn_sqlite_prepare(store, c.reader->db,
                           "SELECT " WN_ITEM_COLUMNS ", text FROM items WHERE ix = ?1",
                           &c.statement, err));
  for (size_t i = 0; i < changed.len; i++) {
    sqlite3_reset(c.statement);
    sqlite3_bind_int64(c.statement, 1, changed.data[i].ix);
    WN_TRY(cursor_next(&c, &more, err));
    if (!more) continue;
    wn_item_row row = wn_sqlite_item_row(c.statement, 0);
    WN_TRY(each(ctx, changed.data[i].ix, &row, err));
  }
cleanup:
  wn_vec_clear(&changed);
  cursor_close(&c);
  return status;
}

wn_status wn_sqlite_scan_items(wn_store *store, uint64_t after_rev, bool with_text,
                               wn_item_row_fn *each, void *ctx, wn_error *err) {
  return after_rev > 0 ? scan_changed_items(store, after_rev, each, ctx, err)
                       : scan_all_items(store, with_text, each, ctx, err);
}

wn_status wn_sqlite_scan_users(wn_store *store, wn_user_row_fn *each, void *ctx, wn_error *err) {
  wn_status status;
  cursor c;
  bool more = true;
  WN_TRY(cursor_open(&c, store, "SELECT ix, " WN_USER_COLUMNS " FROM users ORDER BY ix", err));
  for (;;) {
    WN_TRY(cursor_next(&c, &more, err));
    if (!more) break;
    wn_user_row row = wn_sqlite_user_row(c.statement, 1);
    WN_TRY(each(ctx, (wn_user_ix)sqlite3_column_int64(c.statement, 0), &row, err));
  }
cleanup:
  cursor_close(&c);
  return status;
}

static uint32_t column_ix(sqlite3_stmt *s, int i) {
  if (sqlite3_column_type(s, i) == SQLITE_NULL) return WN_NO_IX;
  return (uint32_t)sqlite3_column_int64(s, i);
}

typedef struct shown_items {
  WN_VEC(wn_item_ix) items;
  WN_VEC(float) propensities;
  WN_VEC(wn_item_ix) excluded;
} shown_items;

/* Takes `c` off the front; false when it is not there. */
static bool take(wn_str *rest, char c) {
  if (rest->len == 0 || rest->ptr[0] != c) return false;
  rest->ptr++;
  rest->len--;
  return true;
}

/* Takes the text before `stop` and `stop` itself. */
static bool take_until(wn_str *rest, char stop, wn_str *out) {
  const char *end = rest->len > 0 ? memchr(rest->ptr, stop, rest->len) : NULL;
  if (end == NULL) return false;
  *out = (wn_str){rest->ptr, (size_t)(end - rest->ptr)};
  rest->len -= out->len + 1;
  rest->ptr = end + 1;
  return true;
}

static bool take_pair(wn_str *rest, int64_t *ix, double *propensity) {
  wn_str item, chance;
  return take(rest, '[') && take_until(rest, ',', &item) && take_until(rest, ']', &chance) &&
         wn_parse_int64(item, ix) && *ix >= 0 && *ix < WN_NO_IX &&
         wn_parse_double(chance, propensity);
}

/* "[[12,1],[7,0.25]]", as put_slate writes it and no other form. WN_E_FORMAT: damaged. */
static wn_status parse_shown(wn_str text, shown_items *out) {
  out->items.len = out->propensities.len = 0;
  if (!take(&text, '[')) return WN_E_FORMAT;
  if (text.len == 1 && take(&text, ']')) return WN_OK;
  do {
    int64_t ix = 0;
    double propensity = 0;
    if (!take_pair(&text, &ix, &propensity)) return WN_E_FORMAT;
    if (!wn_vec_push(&out->items, (wn_item_ix)ix) ||
        !wn_vec_push(&out->propensities, (float)propensity)) {
      return WN_E_MEMORY;
    }
  } while (take(&text, ','));
  return take(&text, ']') && text.len == 0 ? WN_OK : WN_E_FORMAT;
}

/* "[12,7]"; absent: nothing. */
static wn_status parse_excluded(wn_str text, shown_items *out) {
  out->excluded.len = 0;
  if (text.ptr == NULL) return WN_OK;
  if (!take(&text, '[') || text.len < 2 || text.ptr[text.len - 1] != ']') return WN_E_FORMAT;
  text.len--;
  while (text.len > 0) {
    const char *comma = memchr(text.ptr, ',', text.len);
    size_t len = comma != NULL ? (size_t)(comma - text.ptr) : text.len;
    int64_t ix;
    if (!wn_parse_int64((wn_str){text.ptr, len}, &ix) || ix < 0 || ix >= WN_NO_IX)
      return WN_E_FORMAT;
    if (!wn_vec_push(&out->excluded, (wn_item_ix)ix)) return WN_E_MEMORY;
    len += comma != NULL;
    text = (wn_str){text.ptr + len, text.len - len};
  }
  return WN_OK;
}

/* A blob is asked for as such: as a text it would be converted. */
static wn_str blob_of(sqlite3_stmt *s, int column) {
  if (sqlite3_column_type(s, column) != SQLITE_BLOB) return (wn_str){0};
  const char *bytes = sqlite3_column_blob(s, column);
  return (wn_str){bytes, (size_t)sqlite3_column_bytes(s, column)};
}

static wn_status slate_of_row(sqlite3_stmt *s, shown_items *shown, wn_slate_log *out,
                              wn_error *err) {
  wn_status parsed = parse_shown(wn_sqlite_column(s, 10), shown);
  if (parsed == WN_OK) parsed = parse_excluded(wn_sqlite_column(s, 15), shown);
  if (parsed == WN_E_MEMORY) return wn_fail_memory(err);
  if (parsed != WN_OK) {
    return wn_fail(err, WN_E_CORRUPT, "items", "row %lld of the table slates is damaged",
                   (long long)sqlite3_column_int64(s, 0));
  }
  *out = (wn_slate_log){.id = wn_sqlite_column(s, 1),
                        .time_ms = sqlite3_column_int64(s, 2),
                        .surface = wn_sqlite_column(s, 3),
                        .user = column_ix(s, 4),
                        .user_id = wn_sqlite_column(s, 5),
                        .session = wn_sqlite_column(s, 6),
                        .anchor = column_ix(s, 7),
                        .snapshot = (uint64_t)sqlite3_column_int64(s, 8),
                        .feed = sqlite3_column_int(s, 9) != 0,
                        .items = shown->items.data,
                        .propensities = shown->propensities.data,
                        .len = shown->items.len,
                        .policy = (uint64_t)sqlite3_column_int64(s, 11),
                        .arms = wn_sqlite_column(s, 12),
                        .filter = wn_sqlite_column(s, 14),
                        .exclude = shown->excluded.data,
                        .exclude_len = shown->excluded.len,
                        .features = blob_of(s, 13),
                        .context = blob_of(s, 16),
                        .request = wn_sqlite_column(s, 17),
                        .weights = wn_sqlite_column(s, 18)};
  return WN_OK;
}

#define SELECT_SLATES                                                                              \
  "SELECT seq, id, time_ms, surface, user, user_id, session, anchor, snapshot, feed, items, "      \
  "policy, arms, features, filter, excluded, context, request, weights FROM slates "

wn_status wn_sqlite_scan_slates(wn_store *store, int64_t since_ms, bool feeds_only,
                                wn_slate_fn *each, void *ctx, wn_error *err) {
  wn_status status;
  cursor c;
  shown_items shown = {0};
  bool more = true;
  WN_TRY(cursor_open(&c, store,
                     feeds_only ? SELECT_SLATES
                         "WHERE feed = 1 AND time_ms >= ?1 ORDER BY time_ms, seq"
                                : SELECT_SLATES "WHERE time_ms >= ?1 ORDER BY time_ms, seq",
                     err));
  sqlite3_bind_int64(c.statement, 1, since_ms);
  for (;;) {
    wn_slate_log slate;
    WN_TRY(cursor_next(&c, &more, err));
    if (!more) break;
    WN_TRY(slate_of_row(c.statement, &shown, &slate, err));
    WN_TRY(each(ctx, &slate, err));
  }
cleanup:
  wn_vec_clear(&shown.items);
  wn_vec_clear(&shown.propensities);
  wn_vec_clear(&shown.excluded);
  cursor_close(&c);
  return status;
}

wn_status wn_sqlite_scan_erased(wn_store *store, wn_erased_fn *each, void *ctx, wn_error *err) {
  wn_status status;
  cursor c;
  bool more = true;
  WN_TRY(cursor_open(&c, store,
                     "SELECT e.user, e.seq, u.deleted FROM erased e JOIN users u ON u.ix = e.user",
                     err));
  for (;;) {
    WN_TRY(cursor_next(&c, &more, err));
    if (!more) break;
    WN_TRY(each(ctx, (wn_user_ix)sqlite3_column_int64(c.statement, 0),
                (uint64_t)sqlite3_column_int64(c.statement, 1),
                sqlite3_column_int(c.statement, 2) != 0, err));
  }
cleanup:
  cursor_close(&c);
  return status;
}

/* A reader's own prepared look-up. */
static wn_status prepared(wn_store *store, wn_reader *reader, sqlite3_stmt **io, const char *sql,
                          wn_error *err) {
  if (*io != NULL) return WN_OK;
  return wn_sqlite_prepare(store, reader->db, sql, io, err);
}

/* Steps a look-up by key: WN_E_NOT_FOUND when there is no row. */
static wn_status look_up(wn_store *store, wn_reader *reader, sqlite3_stmt *s, uint32_t ix,
                         const char *what, wn_error *err) {
  sqlite3_bind_int64(s, 1, ix);
  int rc = sqlite3_step(s);
  if (rc == SQLITE_ROW) return WN_OK;
  if (rc == SQLITE_DONE) return wn_fail(err, WN_E_NOT_FOUND, what, "no %s %u", what, ix);
  return wn_sqlite_fail(store, reader->db, false, "read", err);
}

wn_status wn_sqlite_get_item(wn_store *store, wn_item_ix ix, wn_arena *arena, wn_item_row *out,
                             wn_error *err) {
  wn_status status;
  wn_reader *reader = NULL;
  WN_TRY(wn_reader_take(store, &reader, err));
  WN_TRY(prepared(store, reader, &reader->get_item,
                  "SELECT " WN_ITEM_COLUMNS ", text FROM items WHERE ix = ?1", err));
  WN_TRY(look_up(store, reader, reader->get_item, ix, "item", err));
  *out = wn_sqlite_item_row(reader->get_item, 0);
  if (!wn_item_row_keep(out, arena)) WN_TRY(wn_fail_memory(err));
cleanup:
  if (reader != NULL && reader->get_item != NULL) sqlite3_reset(reader->get_item);
  wn_reader_give(store, reader);
  return status;
}

wn_status wn_sqlite_get_user(wn_store *store, wn_user_ix ix, wn_arena *arena, wn_user_row *out,
                             wn_error *err) {
  wn_status status;
  wn_reader *reader = NULL;
  WN_TRY(wn_reader_take(store, &reader, err));
  WN_TRY(prepared(store, reader, &reader->get_user,
                  "SELECT " WN_USER_COLUMNS " FROM users WHERE ix = ?1", err));
  WN_TRY(look_up(store, reader, reader->get_user, ix, "user", err));
  *out = wn_sqlite_user_row(reader->get_user, 0);
  if (!wn_user_row_keep(out, arena)) WN_TRY(wn_fail_memory(err));
cleanup:
  if (reader != NULL && reader->get_user != NULL) sqlite3_reset(reader->get_user);
  wn_reader_give(store, reader);
  return status;
}

static uint64_t file_bytes(const char *path, const char *suffix) {
  struct stat st;
  wn_buf name = {0};
  wn_buf_printf(&name, "%s%s", path, suffix);
  const char *c = wn_buf_c(&name);
  uint64_t bytes = c != NULL && stat(c, &st) == 0 ? (uint64_t)st.st_size : 0;
  wn_buf_clear(&name);
  return bytes;
}

static wn_status counters_of_reader(wn_store *store, wn_counters *out, wn_error *err) {
  wn_status status;
  wn_reader *reader = NULL;
  WN_TRY(wn_reader_take(store, &reader, err));
  WN_TRY(wn_reader_begin(store, reader, err));
  WN_TRY(wn_sqlite_load_counters(store, reader->db, out, err));
cleanup:
  wn_reader_end(reader);
  wn_reader_give(store, reader);
  return status;
}

/* The writer knows them; a reader beside another process's writer must ask. */
wn_status wn_sqlite_get_counters(wn_store *store, wn_counters *out, uint64_t *bytes,
                                 wn_error *err) {
  wn_status status = WN_OK;
  const char *path = wn_sqlite_of(store)->path;
  if (store->mode == WN_STORE_WRITE) {
    pthread_mutex_lock(&store->state_lock);
    *out = store->committed;
    pthread_mutex_unlock(&store->state_lock);
  } else {
    WN_TRY(counters_of_reader(store, out, err));
  }
  *bytes = file_bytes(path, "") + file_bytes(path, "-wal");
cleanup:
  return status;
}

wn_status wn_sqlite_get_meta(wn_store *store, const char *key, wn_arena *arena, wn_str *value,
                             wn_error *err) {
  wn_status status;
  cursor c;
  bool more = false;
  WN_TRY(cursor_open(&c, store, "SELECT value FROM meta WHERE key = ?1", err));
  sqlite3_bind_text(c.statement, 1, key, -1, SQLITE_STATIC);
  WN_TRY(cursor_next(&c, &more, err));
  if (!more) goto cleanup;
  *value = wn_sqlite_column(c.statement, 0);
  if (!keep(value, arena)) WN_TRY(wn_fail_memory(err));
cleanup:
  cursor_close(&c);
  return status;
}
