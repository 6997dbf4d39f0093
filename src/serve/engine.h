#ifndef WN_SERVE_ENGINE_H
#define WN_SERVE_ENGINE_H
/* The one engine of a process: store, catalogue, snapshot, online state and surfaces under one
 * lock. Requests hold it shared for the time of a funnel (about a millisecond), commits and
 * snapshot swaps alone and briefly. `winnow serve`, `recommend` and `similar` are thin shells
 * around it. */

#include "base/map64.h"
#include "funnel/funnel.h"
#include "online/online.h"
#include "serve/declared.h"
#include "serve/policy.h"
#include "store/commit.h"

typedef struct wn_engine wn_engine;

/* WN_STORE_READ: answers requests, takes no writes. Loads the catalogue, the current snapshot (or
 * the last good one, or none), replays the log's tail and the sessions of the last day. Takes over
 * `config` (copied; cleared by the engine). */
WN_MUST_USE wn_status wn_engine_open(const char *dir, wn_store_mode mode, wn_config *config,
                                     const wn_progress *progress, wn_engine **out, wn_error *err);
void wn_engine_close(wn_engine *engine); /* commits what was accepted first */
/* As at the start, without surfaces and experiments: those are the policy's. */
const wn_config *wn_engine_config(const wn_engine *engine);
/* What serves now; a reference of the caller's (wn_policy_unref). */
wn_policy *wn_engine_policy(wn_engine *engine);
/* From the next request on; takes the reference over, also on failure. Those under way end with the
 * policy that they began with. Snapshots that arms pin are opened first, which may take seconds;
 * WN_E_CONFIG: one cannot be. Under the change lock (wn_engine_change_begin). */
WN_MUST_USE wn_status wn_engine_policy_swap(wn_engine *engine, wn_policy *policy, wn_error *err);
/* One change of the policy at a time. */
void wn_engine_change_begin(wn_engine *engine);
void wn_engine_change_end(wn_engine *engine);
/* Durable when it returns, and in force for every request that begins then. WN_E_ARGUMENT: what
 * winnow.yaml would be refused for, with the same field and message. WN_E_CONFLICT: a name that is
 * taken, a running experiment that would become another one. WN_E_NOT_FOUND. Thread-safe. */
WN_MUST_USE wn_status wn_engine_change_experiment(wn_engine *engine,
                                                  const wn_experiment_change *change,
                                                  wn_error *err);
/* Everybody but the holdout gets that arm; its pinned snapshot becomes the current one. */
WN_MUST_USE wn_status wn_engine_promote(wn_engine *engine, const wn_experiment *experiment,
                                        size_t arm, wn_error *err);
/* It assigns nobody any more; a promoted arm is taken back. */
WN_MUST_USE wn_status wn_engine_stop_experiment(wn_engine *engine, wn_str name, wn_error *err);
wn_store *wn_engine_store(const wn_engine *engine);
const char *wn_engine_dir(const wn_engine *engine); /* the data directory */

typedef struct wn_slate_request {
  wn_str surface;
  wn_str user, item, session; /* absent: none */
  wn_str filter;
  wn_str context; /* what the client says of the request, {"device":"tv"}; absent: nothing */
  const wn_str *exclude;
  size_t exclude_len;
  uint32_t n; /* 0: the surface's */
  bool explain;
  bool look;         /* at what would be shown: no impression, and a feed's session is left alone */
  const wn_str *why; /* with explain: the ways of these items, too */
  size_t why_len;
  const wn_policy *policy; /* NULL: what serves now */
  uint64_t seed;           /* of what is random in the slate; 0: a fresh one */
  bool log;                /* write the impression log (serving does, the CLI does not) */
  bool hold;               /* see `unlogged` */
} wn_slate_request;

typedef struct wn_slate_answer_item {
  wn_str id, title;
  wn_item_ix ix;
  float score, propensity;
  uint32_t sources;
  bool pinned;
  const wn_context_row *context; /* what a linear bandit sees of it; NULL: none is asked */
  wn_explore explored;           /* by what its place was filled */
  uint32_t below;                /* COLD: for want of so many impressions */
} wn_slate_answer_item;

typedef struct wn_slate_answer {
  char slate_id[33];
  wn_str surface;
  wn_str user;
  wn_str arms;               /* "experiment=arm …"; absent: in none */
  bool user_known, personal; /* personal: the user's history was used */
  uint64_t snapshot;         /* 0: none trained yet */
  wn_slate_answer_item *items;
  size_t len;
  wn_str source_names[2 * WN_GENERATORS_MAX]; /* bit → generator */
  size_t source_count;
  uint32_t own_sources;  /* the first of these: generators, and no fallbacks */
  wn_str context;        /* of all items, as it is logged; absent: no linear bandit was asked */
  wn_str explain_json;   /* the trace; absent without explain */
  const char *relaxed;   /* the rule that was left out; NULL: none */
  const char *empty;     /* why there is no item; NULL: there are some */
  const char *scored_by; /* "objectives", "ranker", "blend" or "generators" */
  wn_stage_stats stages;
  double took_ms;
  /* A feed's slate, and any slate while commits fail, is stored before it is shown. With `hold` the
   * caller does that: commits this operation (in `arena`), then shows the slate if that went well,
   * else calls wn_engine_slate_withdraw. NULL: nothing is left to do. */
  wn_op *unlogged;
} wn_slate_answer;

/* Slates of feeds, and all while commits fail, wait for their commit unless `hold` is set; others
 * are handed to the writer thread. Thread-safe. Everything in the answer lives in `arena`.
 * WN_E_NOT_FOUND: unknown surface, unknown anchor item (field "item"); an unknown user is fine.
 * WN_E_ARGUMENT: n, filter, exclude, missing item or user where the flavour needs one; WN_E_BUSY:
 * the impression log cannot keep up; WN_E_FULL, WN_E_IO: it cannot be written. */
WN_MUST_USE wn_status wn_engine_slate(wn_engine *engine, const wn_slate_request *request,
                                      wn_arena *arena, wn_slate_answer *out, wn_error *err);

/* The slate of an `unlogged` that could not be stored was not shown: its feed may show the items.
 */
void wn_engine_slate_withdraw(wn_engine *engine, const wn_op *unlogged, wn_arena *arena);

typedef struct wn_neighbour {
  wn_str id, title;
  float score;
} wn_neighbour;
typedef struct wn_neighbour_list {
  wn_neighbour *data;
  size_t len;
} wn_neighbour_list;
/* Users with the nearest taste by folded-in factors. WN_E_NOT_FOUND: unknown user. */
WN_MUST_USE wn_status wn_engine_similar_users(wn_engine *engine, wn_str user, uint32_t n,
                                              wn_arena *arena, wn_neighbour_list *out,
                                              wn_error *err);

/* Writes: the ops' results are filled in when `done` is called (writer thread), and the state is
 * already changed. */
WN_MUST_USE wn_status wn_engine_submit(wn_engine *engine, wn_commit_batch *batch, wn_error *err);
/* Whether so many changes would be taken now (WN_E_BUSY: no); before the work of making them. */
WN_MUST_USE wn_status wn_engine_admit(wn_engine *engine, size_t count, wn_error *err);
WN_MUST_USE wn_status wn_engine_commit(wn_engine *engine, wn_op *ops, size_t count,
                                       wn_error *err); /* waits */

/* Looks whether CURRENT names another snapshot, and swaps to it: *swapped tells. Serving goes on
 * with the old one when the new one is bad (WN_E_CORRUPT). Thread-safe; called each second by the
 * server. */
WN_MUST_USE wn_status wn_engine_refresh(wn_engine *engine, bool *swapped, wn_error *err);
/* The engine is about to be closed: an index that is being built is given up, from any thread. */
void wn_engine_hurry(wn_engine *engine);

typedef struct wn_engine_stats {
  uint64_t applies, apply_ns; /* groups of changes brought into the state */
  int64_t last_event_ms;      /* its own time; 0: none since the start */
  uint64_t snapshot, snapshot_last_seq;
  int64_t snapshot_created_ms, snapshot_data_ms;
  uint32_t users, items, items_servable;
  uint64_t last_seq, replayed_events, delta_pairs, sessions;
  uint64_t swaps, swap_failures, slates_lost; /* shown, and then not logged */
  uint64_t slates_relaxed;                    /* without a rule that nothing satisfies */
  size_t catalog_bytes, online_bytes, session_bytes, dict_bytes, filter_bytes, deleted_bytes;
  size_t store_bytes, pinned_bytes, exposure_bytes;
  size_t snapshot_bytes; /* mapped */
  struct {
    const char *name;
    size_t bytes; /* grown by events */
  } models[WN_MODELS_MAX];
  size_t models_len;
  wn_shelf_stats shelves;              /* users' state; bytes: counted above, too */
  uint32_t index_items, index_changes; /* items that als finds through an index; 0: it scans */
  double index_recall;                 /* measured when it was built */
  size_t index_bytes;
  wn_commit_stats commits;
  bool writable; /* false after a fatal store error */
} wn_engine_stats;
void wn_engine_stats_get(wn_engine *engine, wn_engine_stats *out);
typedef struct wn_engine_digest {
  uint64_t last_seq, snapshot;
  uint32_t users;
  wn_hash128 digest;
  bool counts;          /* impressions are counted, because a surface asks */
  uint64_t impressions; /* a digest of them */
} wn_engine_digest;
/* Of users' histories and items' statuses (engine_digest.c): equal before and after a restart, and
 * in any process on the same data. O(events); WN_E_BUSY: events kept arriving. Thread-safe. */
WN_MUST_USE wn_status wn_engine_digest_get(wn_engine *engine, wn_engine_digest *out, wn_error *err);
/* A consistent copy of one item's or user's record plus its live state is the caller's via
 * wn_store_get_*. */
bool wn_engine_item_known(wn_engine *engine, wn_str id, wn_item_ix *ix, wn_item_status *status);

#endif
