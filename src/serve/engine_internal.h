#ifndef WN_SERVE_ENGINE_INTERNAL_H
#define WN_SERVE_ENGINE_INTERNAL_H
/* Shared by serve/engine*.c.
 *
 * Two kinds of state stand behind the engine's lock: what the store mirrors for as long as the
 * process lives (catalogue, sessions), and what hangs on a snapshot and is replaced as a whole
 * (wn_serving). Order of locks: a session's stripe, then the engine's lock, then what lies inside
 * dictionaries, caches and the session table. */

#include "base/map64.h"
#include "base/vec.h"
#include "online/exposure.h"
#include "serve/engine.h"
#include "serve/policy.h"
#include "serve/retrieval.h"
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

/* Everything that a snapshot swap replaces. Its log position is its own: events up to last_seq are
 * in it, from the snapshot, by replay or by commits, each exactly once. */
typedef struct wn_serving {
  wn_snapshot *snapshot; /* NULL: none trained yet */
  wn_snapshot_about about;
  wn_signals signals; /* bound to the store's type numbers; a copy, since building is off-lock */
  uint32_t types_bound;
  wn_models models;
  wn_online *online;
  uint64_t last_seq;
  uint64_t replayed;
  wn_retrieval *retrieval; /* of the models; NULL: they scan */
  bool index_tried;        /* whether there should be one has been looked into */
} wn_serving;

#define WN_PINS_MAX 8

/* Which file CURRENT was when it was last looked at. */
typedef struct wn_current_mark {
  bool present;
  dev_t device;
  ino_t inode;
  off_t size;
  struct timespec changed;
} wn_current_mark;

struct wn_engine {
  wn_config config; /* as at the start; surfaces and experiments are the policy's */
  wn_store_mode mode;
  char *dir;
  wn_store *store;
  wn_committer *committer; /* NULL in READ mode */
  wn_expr_cache *filters;
  wn_sessions *sessions;
  _Atomic(wn_exposure *) exposure; /* NULL: no policy has asked for it yet */

  pthread_mutex_t change_lock; /* one change of the policy at a time; taken first */
  pthread_mutex_t policy_lock; /* of the pointer alone: held for nanoseconds */
  wn_policy *policy;           /* in READ mode never replaced */

  pthread_rwlock_t lock; /* guards what follows */
  wn_catalog *catalog;
  wn_serving *serving;
  wn_serving *pinned[WN_PINS_MAX]; /* by arms of experiments */
  size_t pinned_len;
  uint64_t applied_seq;  /* last event of the log that the state has seen */
  wn_map64 erased;       /* deleted user → last_seq when she was deleted */
  wn_map64 gone;         /* the keys are the deleted users who are not back */
  uint64_t erased_count; /* deletions since the start */
  bool building;         /* a state is: items that change are noted for it */
  WN_VEC(wn_item_ix) changed_items;
  bool changed_lost; /* one could not be noted: the state is built again */

  pthread_mutex_t refresh_lock; /* one refresh at a time; guards mark */
  wn_current_mark mark;
  atomic_uint_fast64_t swaps, swap_failures, slates_lost, slates_relaxed, applies, apply_ns;
  atomic_int_fast64_t last_event_ms;
  atomic_bool hurry;      /* see wn_engine_hurry */
  atomic_bool types_told; /* that there are more event types than signals can hold */
  wn_arena patch_arena;   /* writer thread: records read back */
};

/* Builds the state of `snapshot` (a reference that it takes over, also on failure; NULL: none),
 * without any event after it. */
WN_MUST_USE wn_status wn_serving_create(wn_engine *engine, wn_snapshot *snapshot, wn_serving **out,
                                        wn_error *err);
void wn_serving_free(wn_serving *serving);
/* Replays the events after last_seq and the items changed since the snapshot. */
WN_MUST_USE wn_status wn_serving_catch_up(wn_engine *engine, wn_serving *serving, wn_error *err);
/* The state of snapshot `number` (0: none) and the log up to `seq`, whatever the engine serves. */
WN_MUST_USE wn_status wn_serving_at(wn_engine *engine, uint64_t number, uint64_t seq,
                                    wn_serving **out, wn_error *err);
/* One event, unless the state has it already. */
WN_MUST_USE wn_status wn_serving_event(wn_engine *engine, wn_serving *serving,
                                       const wn_stored_event *event, wn_error *err);
/* Indexes for the models of a state, off the lock; *out stays NULL where scans are as good. */
void wn_serving_index(wn_engine *engine, wn_serving *serving, wn_retrieval **out);
/* Hands them to the models: exclusive, or before others see the state. */
void wn_serving_attach(wn_serving *serving, wn_retrieval *retrieval);
void wn_serving_index_stats(const wn_serving *serving, wn_engine_stats *out);
/* The refreshing thread: indexes a state that began without, merges what events have changed. */
void wn_engine_tend_index(wn_engine *engine);
/* Voids the base rows of users that were deleted after the snapshot was trained. */
void wn_serving_forget_erased(const wn_engine *engine, wn_serving *serving);

/* The newest pairs that say something become the query's history; of a user without any, her
 * attributes are asked for. (engine_past.c) */
WN_MUST_USE wn_status wn_engine_history(const wn_engine *engine, wn_query *query,
                                        wn_pair_list pairs, wn_arena *arena, wn_error *err);

/* Deleted users (engine_erased.c). Under the lock (exclusive where something changes), or before
 * serving starts. */
WN_MUST_USE wn_status wn_engine_erased_add(wn_engine *engine, wn_user_ix user, uint64_t seq,
                                           wn_error *err);
WN_MUST_USE wn_status wn_engine_erased_load(wn_engine *engine, wn_error *err);
void wn_engine_user_back(wn_engine *engine, wn_user_ix user);
bool wn_engine_user_gone(const wn_engine *engine, wn_user_ix user);

/* committer's hook */
void wn_engine_on_commit(void *ctx, wn_commit_batch *batches);
/* While commits fail: tries one, since a server that nobody writes to any more would else never
 * learn that there is space again. */
void wn_engine_probe(wn_engine *engine);
/* Under the exclusive lock: for the state that is being built, if one is. */
void wn_engine_note_item(wn_engine *engine, wn_item_ix ix);
/* `catalogue: strict`: nothing is known of it but its id. */
bool wn_engine_item_bare(const wn_item_record *item);

/* A swap in two steps; one at a time. build: a state of `snapshot` (a reference is taken), up to
 * date but for a remainder. swap: brings that in under the exclusive lock and makes it the
 * engine's; *swapped false: a user was deleted since build (or memory was short), build again. */
typedef struct wn_swap {
  wn_engine *engine;
  bool pin;            /* beside the engine's, in place of it */
  wn_serving *serving; /* the old state after swap */
  uint64_t erased_count;
  wn_arena arena;
} wn_swap;
WN_MUST_USE wn_status wn_swap_build(wn_swap *swap, wn_snapshot *snapshot, wn_error *err);
WN_MUST_USE wn_status wn_swap_finish(wn_swap *swap, bool *swapped, wn_error *err);
void wn_swap_clear(wn_swap *swap);

/* Pinned snapshots (engine_pinned.c): those that running experiments need. WN_E_CONFIG: one that is
 * not there. */
WN_MUST_USE wn_status wn_engine_pin(wn_engine *engine, const wn_experiments *experiments,
                                    wn_error *err);
/* Drops those that these do not need (NULL: all). */
void wn_engine_unpin(wn_engine *engine, const wn_experiments *experiments);
/* The state of that snapshot if it is pinned, else (0: in any case) the current one. */
const wn_serving *wn_engine_serving(const wn_engine *engine, uint64_t pin);
/* A snapshot of this store by its number. */
WN_MUST_USE wn_status wn_engine_open_snapshot(const wn_engine *engine, uint64_t number,
                                              wn_snapshot **out, wn_error *err);

wn_current_mark wn_engine_current_mark(const wn_engine *engine);

/* WN_E_CONFIG: what runs was changed under way, or begins with a metric of events that nobody
 * knows (engine_experiments.c). */
WN_MUST_USE wn_status wn_engine_check_experiments(const wn_engine *engine, wn_error *err);
/* What runs is entered into the ledger: once nothing speaks against serving it any more, or a
 * refused start would count as a beginning. */
WN_MUST_USE wn_status wn_engine_begin_experiments(wn_engine *engine, wn_error *err);

/* The session's name of a feed request: the session, else the user; absent when there is neither.
 */
WN_MUST_USE wn_status wn_engine_session_name(wn_str session, wn_str user, wn_arena *arena,
                                             wn_str *name, wn_error *err);

#endif
