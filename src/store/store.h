#ifndef WN_STORE_STORE_H
#define WN_STORE_STORE_H
/* The durable truth: events, items, users, slates. A narrow interface, because PostgreSQL comes
 * later; today SQLite in the data directory (schema: docs/schema.md).
 *
 * Indexes (wn_user_ix, wn_item_ix, event type) are given by the store once and never change
 * or are reused. Threads: one writer at a time (the caller's business, see commit.h); scans, gets
 * and dictionary look-ups from any thread at any time. */

#include "base/dict.h"
#include "base/progress.h"
#include "base/record.h"

typedef struct wn_store wn_store;

typedef enum wn_op_kind {
  WN_OP_EVENT,
  WN_OP_ITEM_PUT,    /* whole record: replaces. created_ms 0 becomes what is stored: the known time,
                        or now for a new or deleted item */
  WN_OP_ITEM_PATCH,  /* `patch`: a JSON merge patch (RFC 7396) of {title,text,status,attributes} */
  WN_OP_ITEM_DELETE, /* tombstone: the id keeps its index; a later put brings it back */
  WN_OP_USER_PUT,
  WN_OP_USER_PATCH,
  WN_OP_USER_DELETE, /* attributes and events of this user are erased for good, logged slates lose
                        user and session (their ix stays); slates also of an unknown user, who is
                        WN_E_NOT_FOUND all the same. One scan of the log for all of a transaction:
                        seconds at 10⁷ events */
  WN_OP_SLATE,
  WN_OP_EXPIRE, /* deletes events from the log that are kept elsewhere (serve/archive.h); whoever is
                   named in them, and their clients' ids, stay known */
  WN_OP_PROBE, /* writes a mark of its own (meta "probed_ms"): does the disk take writes (again)? */
} wn_op_kind;

/* A slate as it was shown. Items best first. */
typedef struct wn_slate_log {
  wn_str id; /* slate id */
  wn_str surface;
  wn_str session;  /* absent: none */
  bool feed;       /* its session remembers it: what it showed is not shown again */
  wn_user_ix user; /* WN_NO_IX: none known; then user_id may still hold an unknown user's id */
  wn_str user_id;
  wn_item_ix anchor; /* WN_NO_IX: none */
  uint64_t snapshot;
  int64_t time_ms;
  const wn_item_ix *items;
  const float *propensities;
  size_t len;
  uint64_t policy; /* what decided: a hash of the configuration and the arms; 0: the defaults */
  wn_str arms;     /* "experiment=arm experiment=arm", by name; absent: in none */
  wn_str filter;   /* the request's own expression; absent: none */
  const wn_item_ix *exclude; /* what the request left out */
  size_t exclude_len;
  wn_str context; /* what a linear bandit saw of the items: rows of model/exposed.h; absent: none */
  wn_str request; /* what the request said of its context: a JSON object; absent: nothing */
  wn_str weights; /* of objectives, where they were perturbed: "click=0.11 buy=4.8"; absent: as
                     configured */
  wn_str features; /* what the ranker saw of the items (model/feature_log.h); absent: not logged */
} wn_slate_log;

/* One change. The caller fills the inputs, wn_store_commit the results. */
typedef struct wn_op {
  wn_op_kind kind;
  union {
    wn_event_record event;
    wn_item_record item; /* PATCH and DELETE: id alone */
    wn_user_record user;
    wn_slate_log slate;
    struct {
      uint64_t first,
          last;          /* positions of the log, inclusive: a transaction takes as long as these */
      int64_t before_ms; /* events older than this */
      bool recount;      /* look for the log's first and last time anew: a scan of it */
    } expire;
  } u;
  wn_str patch;
  /* results */
  wn_status status; /* WN_OK; WN_E_NOT_FOUND: patch or delete of an unknown or deleted id;
                       WN_E_FORMAT: the patch is no JSON object; WN_E_ARGUMENT: an invalid record,
                       or one that the patch would make. Such an op changes nothing; the others of
                       the batch stand. */
  bool duplicate;   /* an event whose client id is already stored: nothing was written */
  bool created;     /* put: the id was new */
  wn_user_ix user_ix;
  wn_item_ix item_ix;
  uint32_t type;    /* event type number */
  uint64_t seq;     /* event: position in the log, ascending in order of commit, never used twice;
                       items: revision; slates: number; a user's deletion: the last position
                       given so far */
  uint32_t erasure; /* the store's own: which deletion of the transaction this is */
  uint64_t erased_events, erased_slates; /* a user's deletion, after the commit: what it took away;
                                            0 where a later one of the same transaction did */
  char field[96];   /* the member of the record that status means; empty: none */
  char reason[160]; /* why status is not WN_OK, as of wn_error */
} wn_op;

typedef struct wn_store_counts {
  uint64_t events;
  uint64_t items; /* not deleted */
  uint64_t items_hidden;
  uint64_t users;
  uint64_t slates;
  uint64_t last_seq; /* of events; 0: none */
  uint64_t item_rev; /* last item change */
  int64_t first_ms;  /* first and last event time; 0 when there is none */
  int64_t last_ms;
  uint64_t bytes; /* on disk */
} wn_store_counts;

typedef enum wn_store_mode {
  WN_STORE_READ,  /* never writes; works beside a running server and on a read-only folder */
  WN_STORE_WRITE, /* exclusive (lock file): creates the folder and the tables when absent */
} wn_store_mode;

/* Opens the data directory `dir`. WN_E_NOT_FOUND: READ of a folder without a store; WN_E_BUSY:
 * another writer holds it (its process id is in the message); WN_E_IO: cannot write; WN_E_CORRUPT;
 * WN_E_UNSUPPORTED: written by a newer version; READ: also by an older one. */
WN_MUST_USE wn_status wn_store_open(const char *dir, wn_store_mode mode, wn_store **out,
                                    wn_error *err);
/* To read, after bringing a store of an older version up to date as a writer does (WN_E_BUSY: there
 * is one). */
WN_MUST_USE wn_status wn_store_open_upgraded(const char *dir, wn_store **out, wn_error *err);
void wn_store_close(wn_store *store);
/* 32 hex digits, drawn when the store was created; snapshots carry it. */
const char *wn_store_uuid(const wn_store *store);
/* False: opened for reading, or refusing writes after a failed fsync. */
bool wn_store_writable(wn_store *store);
/* Heap memory of the database's library: its page caches, mostly. */
size_t wn_store_memory_bytes(const wn_store *store);
wn_str wn_store_dir(const wn_store *store);

/* Dictionaries, complete from open on. An index may be visible shortly before its commit. */
const wn_dict *wn_store_users(const wn_store *store);
const wn_dict *wn_store_items(const wn_store *store);
const wn_dict *wn_store_types(const wn_store *store); /* event type names */
/* The user's index once it is committed, and so for good; else WN_NO_IX. */
wn_user_ix wn_store_find_user(const wn_store *store, wn_str id);

/* All ops in one transaction; returns after the fsync. On failure nothing of it is stored and the
 * dictionaries are as before. A failed fsync makes the store refuse all later writes (WN_E_IO). */
WN_MUST_USE wn_status wn_store_commit(wn_store *store, wn_op *ops, size_t count, wn_error *err);
/* After the end of a long transaction, before the next begins: fills in what its deletions erased.
 */
void wn_store_tell_erased(const wn_store *store, wn_op *ops, size_t count);

/* A long transaction for imports: begin, any number of appends, then commit or rollback. */
WN_MUST_USE wn_status wn_store_begin(wn_store *store, wn_error *err);
WN_MUST_USE wn_status wn_store_append(wn_store *store, wn_op *ops, size_t count, wn_error *err);
WN_MUST_USE wn_status wn_store_end(wn_store *store, bool commit, wn_error *err);

/* An event as scanned; ids are dense. */
typedef struct wn_stored_event {
  uint64_t seq;
  wn_user_ix user;
  wn_item_ix item;
  uint32_t type;
  double value; /* NAN: none */
  int64_t time_ms;
  wn_str slate; /* that it answers to; absent: not said. Valid in the callback. */
} wn_stored_event;

/* Events with seq > after (and ≤ upto unless 0), ascending. A consistent snapshot of the log. */
WN_MUST_USE wn_status wn_store_scan_events(wn_store *store, uint64_t after, uint64_t upto,
                                           wn_status (*each)(void *ctx,
                                                             const wn_stored_event *event,
                                                             wn_error *err),
                                           void *ctx, wn_error *err);
/* Items changed after revision `after_rev` (0: all), deleted ones too (status says so), ascending
 * rev unless 0 (then ascending ix). `rev`: revision of the record. */
WN_MUST_USE wn_status wn_store_scan_items(wn_store *store, uint64_t after_rev,
                                          wn_status (*each)(void *ctx, wn_item_ix ix, uint64_t rev,
                                                            const wn_item_record *item,
                                                            wn_error *err),
                                          void *ctx, wn_error *err);
WN_MUST_USE wn_status wn_store_scan_users(wn_store *store,
                                          wn_status (*each)(void *ctx, wn_user_ix ix,
                                                            const wn_user_record *user,
                                                            wn_error *err),
                                          void *ctx, wn_error *err);
/* Slates shown since `since_ms`, oldest first. `feeds_only` reads those of feeds by their index;
 * all slates are a scan of the table. */
WN_MUST_USE wn_status wn_store_scan_slates(wn_store *store, int64_t since_ms, bool feeds_only,
                                           wn_status (*each)(void *ctx, const wn_slate_log *slate,
                                                             wn_error *err),
                                           void *ctx, wn_error *err);
/* Users who were ever deleted. `seq`: the log's last position at the (last) deletion; `gone`: not
 * back since. */
WN_MUST_USE wn_status wn_store_scan_erased(wn_store *store,
                                           wn_status (*each)(void *ctx, wn_user_ix user,
                                                             uint64_t seq, bool gone,
                                                             wn_error *err),
                                           void *ctx, wn_error *err);
/* One record, strings in `arena`. WN_E_NOT_FOUND when unknown or deleted. */
WN_MUST_USE wn_status wn_store_get_item(wn_store *store, wn_item_ix ix, wn_arena *arena,
                                        wn_item_record *out, wn_error *err);
WN_MUST_USE wn_status wn_store_get_user(wn_store *store, wn_user_ix ix, wn_arena *arena,
                                        wn_user_record *out, wn_error *err);
WN_MUST_USE wn_status wn_store_counts_get(wn_store *store, wn_store_counts *out, wn_error *err);

/* Small named texts (import digests, notes); value absent: not set. Writers only may set; inside an
 * open transaction it is part of it. */
WN_MUST_USE wn_status wn_store_meta_get(wn_store *store, const char *key, wn_arena *arena,
                                        wn_str *value, wn_error *err);
WN_MUST_USE wn_status wn_store_meta_set(wn_store *store, const char *key, wn_str value,
                                        wn_error *err);

#endif
