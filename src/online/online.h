#ifndef WN_ONLINE_ONLINE_H
#define WN_ONLINE_ONLINE_H
/* What the server knows of users right now: history, seen items, sessions. The state is a
 * snapshot's base (mapped, immutable) plus what the log's tail added.
 *
 * Not locked inside: the engine's lock is shared for reads, exclusive for apply. Sessions have a
 * lock of their own. Memory: base 24 bytes a (user, item) pair, mapped; delta 32 bytes a pair, up
 * to twice that while a row grows, at most WN_USER_PAIRS_MAX a user (the oldest leaves), and all
 * rows at most what wn_online_bound says; sessions 4 bytes a served item, at most sessions_max ×
 * served_max. */

#include "base/shelf.h"
#include "data/signals.h"
#include "model/model.h"
#include "model/train.h"

#define WN_USER_PAIRS_MAX 20000

typedef struct wn_online wn_online;

/* One (user, item) pair, all signals merged. */
typedef struct wn_pair {
  wn_item_ix item;
  float weight;
  int64_t time_ms;
  uint64_t mask;
} wn_pair;
typedef struct wn_pair_list {
  const wn_pair *data;
  size_t len;
} wn_pair_list;

/* Borrows signals, which may grow, and what `base` (NULL: none) points to. data_ms: the moment that
 * the base's weights hold for. */
wn_online *wn_online_create(const wn_signals *signals, const wn_history_base *base,
                            int64_t data_ms);
void wn_online_free(wn_online *online);
/* Beyond so many bytes the least recently active users' rows lie in a file in `dir` (borrowed). */
void wn_online_bound(wn_online *online, const char *dir, size_t bytes_max);
/* One event of the log, in order. */
WN_MUST_USE wn_status wn_online_apply(wn_online *online, const wn_event *event, wn_error *err);
void wn_online_forget(wn_online *online, wn_user_ix user); /* after a user's deletion */
/* Everything of a user, base and delta merged: distinct items, newest first. Arena memory. Weights
 * decayed to now_ms. */
WN_MUST_USE wn_status wn_online_user(const wn_online *online, wn_user_ix user, int64_t now_ms,
                                     wn_arena *arena, wn_pair_list *out, wn_error *err);
void wn_online_shelf(const wn_online *online, wn_shelf_stats *out);
uint64_t wn_online_delta_pairs(const wn_online *online);

/* Feeds: what a session has been served. Sessions end `ttl_ms` after their last slate; when there
 * are too many, the one that was idle longest leaves. Thread-safe. */
typedef struct wn_sessions wn_sessions;
typedef struct wn_sessions_options {
  size_t sessions_max; /* default 100,000 */
  size_t served_max;   /* items a session, default 10,000: the oldest leave */
  int64_t ttl_ms;      /* default 24 h */
} wn_sessions_options;
void wn_sessions_options_defaults(wn_sessions_options *options);
wn_sessions *wn_sessions_create(const wn_sessions_options *options);
void wn_sessions_free(wn_sessions *sessions);
typedef struct wn_item_list {
  const wn_item_ix *data;
  size_t len;
} wn_item_list;
/* What the session has been served, the oldest first: a copy in `arena`. */
WN_MUST_USE wn_status wn_sessions_served(wn_sessions *sessions, wn_str session, int64_t now_ms,
                                         wn_arena *arena, wn_item_list *out, wn_error *err);
WN_MUST_USE wn_status wn_sessions_add(wn_sessions *sessions, wn_str session, int64_t now_ms,
                                      const wn_item_ix *items, size_t len, wn_error *err);
/* Takes back what was not shown after all. */
void wn_sessions_remove(wn_sessions *sessions, wn_str session, const wn_item_ix *items, size_t len);
void wn_sessions_end(wn_sessions *sessions, wn_str session);
/* Serialises requests of one session, so that two pages asked at once do not show the same item:
 * lock, run, add, unlock. */
void wn_sessions_lock(wn_sessions *sessions, wn_str session);
void wn_sessions_unlock(wn_sessions *sessions, wn_str session);
size_t wn_sessions_count(wn_sessions *sessions);
size_t wn_sessions_bytes(wn_sessions *sessions);

#endif
