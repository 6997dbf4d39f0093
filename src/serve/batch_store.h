#ifndef WN_SERVE_BATCH_STORE_H
#define WN_SERVE_BATCH_STORE_H
/* A data directory as the subject of a batch job: its users, asked one model or one surface. What
 * is asked is a snapshot and the log up to one event, so that a job that was killed asks the same
 * again, whatever has been written meanwhile. (An item that was hidden or deleted since stays
 * out.) */

#include "lab/batch.h"
#include "serve/engine.h"

typedef struct wn_batch_ask {
  const char *model;   /* NULL: the surface */
  const char *surface; /* with its own filters; not a flat one */
  bool keep_seen;      /* with model: what the user has seen may be recommended again */
  uint32_t n;
  const char *users_file; /* an id a line; NULL: all users */
} wn_batch_ask;

/* A slate as the engine's state would serve it, outside of serving: nothing is logged. */
typedef struct wn_offline {
  const wn_surface *surface;
  uint32_t n;
  int64_t now_ms;
} wn_offline;
WN_MUST_USE wn_status wn_offline_slate(wn_engine *engine, const wn_offline *ask, wn_user_ix user,
                                       wn_arena *arena, wn_slate *slate, wn_error *err);

typedef struct wn_batch_store wn_batch_store;

/* A new job (state->users 0) fills in what it asks of; an unfinished one is given it, and fails
 * with WN_E_NOT_FOUND when its snapshot is gone. Takes over `engine`, opened for reading. */
WN_MUST_USE wn_status wn_batch_store_create(wn_engine *engine, const wn_batch_ask *ask, int threads,
                                            wn_batch_state *state, wn_batch_store **out,
                                            wn_error *err);
/* Of the users' file: lines that name nobody. */
uint64_t wn_batch_store_unknown(const wn_batch_store *store);
wn_batch_job wn_batch_store_job(wn_batch_store *store, const wn_batch_state *state);
void wn_batch_store_free(wn_batch_store *store);

#endif
