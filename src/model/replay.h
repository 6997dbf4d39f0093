#ifndef WN_MODEL_REPLAY_H
#define WN_MODEL_REPLAY_H
/* Past moments to learn ranking from: what a user had then, what she took next, and data that say
 * nothing of it for the models to be fitted on. */

#include "data/holdout.h"
#include "model/model.h"

#define WN_REPLAY_ROUNDS_MAX 8

typedef struct wn_moment {
  uint32_t user;
  const wn_csr *rows; /* her history: entries begin … end − 1, oldest first */
  uint64_t begin, end;
  int64_t time_ms;              /* of what she took */
  uint64_t target, targets_end; /* of wn_replay.target */
} wn_moment;

typedef struct wn_replay {
  wn_dataset rest; /* what models may know */
  wn_moment *moment;
  size_t len;
  uint32_t *target; /* ascending within a moment */
  wn_holdout round[WN_REPLAY_ROUNDS_MAX];
  size_t rounds; /* 0: by time, so that what is known at a moment is what came before it */
} wn_replay;

typedef struct wn_replay_options {
  size_t len_max; /* moments, about */
  uint32_t ahead; /* with times: what she took next, up to so many (10 at most); 0: all of the next
                     time */
  uint64_t seed;
} wn_replay_options;

/* Data with times: those of the last tenth of the entries, each with the history up to it, the rest
 * ending where that tenth begins, as a server's models end before its requests. Without: each
 * user's last items, one round of holding out after the other. */
WN_MUST_USE wn_status wn_replay_make(const wn_dataset *data, const wn_replay_options *options,
                                     wn_replay *out, wn_error *err);
void wn_replay_clear(wn_replay *replay);
/* The moment as a query, but for `allowed`; memory from query->arena. False: out of memory. */
WN_MUST_USE bool wn_moment_query(const wn_moment *moment, wn_arena *arena, wn_query *query);

#endif
