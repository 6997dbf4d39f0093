#ifndef WN_SERVE_FIND_H
#define WN_SERVE_FIND_H
/* Looking for items and users by what a person types: no index, one pass over ids and titles that
 * are in memory anyway (some 10 ns a record), in steps, so that nobody waits for the whole of it.
 */

#include "serve/engine.h"

#define WN_FIND_MAX 100

/* How well `id` and `title` (may be absent) answer the words of `q`; every word must be part of one
 * of them, ASCII letters without case. An empty `q` fits everything equally. */
typedef enum wn_fit {
  WN_FIT_ID,     /* is the id */
  WN_FIT_PREFIX, /* begins it */
  WN_FIT_WORD,   /* begins a word of it or of the title */
  WN_FIT_PART,
  WN_FIT_NONE,
} wn_fit;
wn_fit wn_find_fit(wn_str q, wn_str id, wn_str title);

typedef struct wn_find {
  wn_str q;
  wn_str filter;   /* items: an expression; absent: none */
  bool hidden_too; /* items that are not served */
  uint64_t from;   /* where the page before ended; 0: from the beginning */
  uint32_t n;      /* 1 … WN_FIND_MAX */
} wn_find;

/* Best fit first, then in order of arrival. */
typedef struct wn_found {
  uint32_t *ix;
  size_t len;
  uint64_t next; /* the next page's `from`; 0: this was the last */
} wn_found;

WN_MUST_USE wn_status wn_engine_find_items(wn_engine *engine, const wn_find *find, wn_arena *arena,
                                           wn_found *out, wn_error *err);
WN_MUST_USE wn_status wn_engine_find_users(wn_engine *engine, const wn_find *find, wn_arena *arena,
                                           wn_found *out, wn_error *err);
/* A user who is there, each alike; WN_NO_IX: there is none. */
wn_user_ix wn_engine_random_user(wn_engine *engine);

/* What a user has met: the newest first, each item once. */
typedef struct wn_met {
  wn_str id, title;
  wn_item_status status;
  float weight; /* of all signals, faded to now */
  int64_t time_ms;
  const char **types;
  size_t types_len;
} wn_met;
typedef struct wn_met_list {
  wn_met *data;
  size_t len, total; /* total: distinct items */
} wn_met_list;
typedef struct wn_page {
  size_t from, n;
} wn_page;
/* WN_E_NOT_FOUND: unknown user. */
WN_MUST_USE wn_status wn_engine_user_history(wn_engine *engine, wn_str user, wn_page page,
                                             wn_arena *arena, wn_met_list *out, wn_error *err);
/* How many items a user has met. */
size_t wn_engine_user_items(wn_engine *engine, wn_user_ix user);

#endif
