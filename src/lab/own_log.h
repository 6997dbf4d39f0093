#ifndef WN_LAB_OWN_LOG_H
#define WN_LAB_OWN_LOG_H
/* The store's own impressions as logged decisions, with the reward that events gave them. */

#include "data/logged.h"
#include "data/signals.h"
#include "store/store.h"

typedef struct wn_own_log_options {
  const char *surface; /* NULL: all */
  int64_t since_ms, until_ms;
  int64_t window_ms; /* events that name no slate count for the same user's latest slate that showed
                        the item, if it is no older; default a day */
  const char *const *rewards; /* event types that count 1; none: those of positive weight */
  size_t rewards_len;
} wn_own_log_options;
void wn_own_log_options_defaults(wn_own_log_options *options);

/* A slate as it was shown; its rows are `rows` from `first` on. Strings in the log's arena. */
typedef struct wn_own_slate {
  wn_str id, surface, session, user_id, arms;
  wn_user_ix user;
  wn_item_ix anchor;
  uint64_t snapshot, policy;
  int64_t time_ms;
  size_t first, len;
  wn_str filter;                    /* the request's own; absent: none */
  wn_str context, request, weights; /* as of wn_slate_log */
  const wn_item_ix *exclude;
  size_t exclude_len;
} wn_own_slate;

typedef struct wn_own_log {
  wn_logged log; /* decision d is slates.data[d], by time */
  WN_VEC(wn_own_slate) slates;
  uint64_t bad_propensities; /* impressions outside (0, 1], whose slates are left out */
  uint64_t by_slate, by_window,
      elsewhere; /* rewarding events: named the slate; by window; neither */
  wn_arena arena;
} wn_own_log;
/* WN_E_NOT_FOUND: no impressions; a type of `rewards` that the store never met. */
WN_MUST_USE wn_status wn_own_log_read(wn_store *store, const wn_signals *signals,
                                      const wn_own_log_options *options, wn_own_log *out,
                                      wn_error *err);
void wn_own_log_clear(wn_own_log *log);

#endif
