#ifndef WN_STORE_BACKEND_H
#define WN_STORE_BACKEND_H
/* Between store.c, which knows what an operation means, and the database behind it, which only
 * keeps rows. A backend is one table of functions; SQLite is the first. Internal to src/store. */

#include "base/map64.h"
#include "base/vec.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

/* Running totals, kept in a table of their own: a count over millions of rows is too slow for a
 * status page, and the last event number must survive the deletion of the last event. X(name, key
 * in the table) */
#define WN_COUNTER_TABLE(X)                                                                        \
  X(EVENTS, "events")                                                                              \
  X(LAST_SEQ, "last_seq")                                                                          \
  X(FIRST_MS, "first_ms")                                                                          \
  X(LAST_MS, "last_ms")                                                                            \
  X(ITEMS, "items")                                                                                \
  X(ITEMS_HIDDEN, "items_hidden")                                                                  \
  X(ITEM_REV, "item_rev")                                                                          \
  X(USERS, "users")                                                                                \
  X(SLATES, "slates")

typedef enum wn_counter {
#define X(name, key) WN_COUNT_##name,
  WN_COUNTER_TABLE(X)
#undef X
      WN_COUNTER_COUNT
} wn_counter;

typedef struct wn_counters {
  int64_t v[WN_COUNTER_COUNT];
} wn_counters;
const char *wn_counter_name(wn_counter counter);

/* One row of `items`. Strings of a read row live in the arena given. */
typedef struct wn_item_row {
  wn_str id;
  wn_str title, text; /* absent: NULL */
  wn_str attributes;  /* JSON object; absent: none */
  wn_item_status status;
  int64_t created_ms, updated_ms;
  uint64_t rev;
} wn_item_row;

/* One row of `users`. */
typedef struct wn_user_row {
  wn_str id;
  wn_str attributes;
  int64_t updated_ms;
  bool deleted;
} wn_user_row;

typedef wn_status wn_event_fn(void *ctx, const wn_stored_event *event, wn_error *err);
typedef wn_status wn_item_row_fn(void *ctx, wn_item_ix ix, const wn_item_row *row, wn_error *err);
typedef wn_status wn_user_row_fn(void *ctx, wn_user_ix ix, const wn_user_row *row, wn_error *err);
typedef wn_status wn_erased_fn(void *ctx, wn_user_ix user, uint64_t seq, bool gone, wn_error *err);
typedef wn_status wn_slate_fn(void *ctx, const wn_slate_log *slate, wn_error *err);

/* Writes run on one thread at a time, inside begin … finish. Reads run on any thread beside them
 * and see committed rows only, each scan one consistent state; before a read answers, every id it
 * may name is in the dictionaries. */
/* What a user's deletion took away. */
typedef struct wn_erasure {
  uint64_t events, slates;
} wn_erasure;

typedef struct wn_store_backend {
  const char *name;
  /* Fills the dictionaries, `uuid`, `now` and `erased` of the store. */
  wn_status (*open)(wn_store *store, wn_error *err);
  void (*close)(wn_store *store);

  wn_status (*begin)(wn_store *store, wn_error *err);
  /* A failed commit leaves the transaction open: the caller then rolls back. */
  wn_status (*commit)(wn_store *store, wn_error *err);
  void (*rollback)(wn_store *store);

  size_t (*memory_bytes)(const wn_store *store);

  wn_status (*put_type)(wn_store *store, uint32_t type, wn_str name, wn_error *err);
  /* Remembers a client's event id; *fresh false when it was there. */
  wn_status (*put_event_key)(wn_store *store, wn_hash128 key, bool *fresh, wn_error *err);
  wn_status (*put_event)(wn_store *store, const wn_stored_event *event, wn_error *err);
  wn_status (*put_item)(wn_store *store, wn_item_ix ix, const wn_item_row *row, wn_error *err);
  wn_status (*put_user)(wn_store *store, wn_user_ix ix, const wn_user_row *row, wn_error *err);
  wn_status (*put_slate)(wn_store *store, uint64_t seq, const wn_slate_log *slate, wn_error *err);
  /* Notes that the user's events and name in slates go, as far as they are stored now; ix WN_NO_IX:
   * only slates know the id. */
  wn_status (*erase_user)(wn_store *store, wn_user_ix ix, wn_str id, uint32_t number,
                          wn_error *err);
  /* Before put_counters, if users were noted: does it, counts their events out, and into
   * store->erasures by number. */
  wn_status (*erase_noted)(wn_store *store, wn_error *err);
  wn_status (*expire)(wn_store *store, const wn_op *op, wn_error *err); /* counts them out */
  wn_status (*put_counters)(wn_store *store, const wn_counters *was, const wn_counters *now,
                            wn_error *err);
  wn_status (*put_meta)(wn_store *store, const char *key, wn_str value, wn_error *err);
  /* Inside the transaction, with its changes. */
  wn_status (*read_item)(wn_store *store, wn_item_ix ix, wn_arena *arena, wn_item_row *out,
                         wn_error *err);
  wn_status (*read_user)(wn_store *store, wn_user_ix ix, wn_arena *arena, wn_user_row *out,
                         wn_error *err);

  wn_status (*scan_events)(wn_store *store, uint64_t after, uint64_t upto, wn_event_fn *each,
                           void *ctx, wn_error *err);
  /* `with_text` false leaves titles and attributes, and reads far fewer pages. */
  wn_status (*scan_items)(wn_store *store, uint64_t after_rev, bool with_text, wn_item_row_fn *each,
                          void *ctx, wn_error *err);
  wn_status (*scan_users)(wn_store *store, wn_user_row_fn *each, void *ctx, wn_error *err);
  wn_status (*scan_slates)(wn_store *store, int64_t since_ms, bool feeds_only, wn_slate_fn *each,
                           void *ctx, wn_error *err);
  wn_status (*scan_erased)(wn_store *store, wn_erased_fn *each, void *ctx, wn_error *err);
  wn_status (*get_item)(wn_store *store, wn_item_ix ix, wn_arena *arena, wn_item_row *out,
                        wn_error *err);
  wn_status (*get_user)(wn_store *store, wn_user_ix ix, wn_arena *arena, wn_user_row *out,
                        wn_error *err);
  wn_status (*get_counters)(wn_store *store, wn_counters *out, uint64_t *bytes, wn_error *err);
  wn_status (*get_meta)(wn_store *store, const char *key, wn_arena *arena, wn_str *value,
                        wn_error *err);
} wn_store_backend;

struct wn_store {
  const wn_store_backend *backend;
  void *impl; /* the backend's */
  char *dir;
  wn_store_mode mode;
  int lock_fd;
  char uuid[33];
  wn_dict *users, *items, *types;

  pthread_mutex_t write_lock; /* one writing call at a time */
  bool in_transaction;
  bool failed;     /* a write of the open transaction failed: it can only be rolled back */
  wn_counters now; /* with the open transaction's changes */
  uint32_t users_before, items_before, types_before; /* dictionary sizes at begin */
  wn_map64 erased; /* user → 1: deleted, 0: deleted once and back; others never were */
  WN_VEC(uint32_t) erased_undo; /* users whose mark the open transaction turned over */
  WN_VEC(wn_erasure) erasures;  /* deletions of the open transaction, or of the last one */
  wn_arena scratch;             /* one operation's */
  wn_buf json;

  atomic_uint users_committed; /* indexes below it are for good; READ mode: all are */

  pthread_mutex_t state_lock; /* of what follows */
  wn_counters committed;
  wn_error fatal; /* status WN_OK: none */
};

extern const wn_store_backend wn_store_sqlite;

/* From now on every write fails with this error: what is on disk is no longer known. */
void wn_store_set_fatal(wn_store *store, const wn_error *why);

/* Applies one operation inside the transaction. A refusal is put into the operation; an error is
 * the whole transaction's. (ops.c) */
wn_status wn_store_apply(wn_store *store, wn_op *op, wn_error *err);
/* Merge patches (RFC 7396). Result strings live in `arena`; WN_E_FORMAT says what is wrong with the
 * patch or the record that it makes. (patch.c) */
wn_status wn_item_row_patch(wn_item_row *row, wn_str patch, wn_arena *arena, wn_error *err);
wn_status wn_user_row_patch(wn_user_row *row, wn_str patch, wn_arena *arena, wn_error *err);

/* Attributes as the store itself writes them, ten times faster than from any JSON; strings point
 * into `json`. False: another form (or out of memory), use wn_attrs_from_json. (canonical.c) */
bool wn_attrs_from_canonical(wn_str json, wn_arena *arena, wn_attrs *out);

/* Scan without texts, for the catalogue. (store_read.c) */
wn_status wn_store_scan_items_light(wn_store *store,
                                    wn_status (*each)(void *ctx, wn_item_ix ix, uint64_t rev,
                                                      const wn_item_record *item, wn_error *err),
                                    void *ctx, wn_error *err);

/* Bytes of arena that one record's strings and attributes may take. */
#define WN_RECORD_BYTES_MAX ((size_t)512 << 20)

#endif
