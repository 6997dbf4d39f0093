#ifndef WN_MODEL_REPLAY_H
#define WN_MODEL_REPLAY_H
/* Past moments to learn ranking from: what a user had then, what she took next, and data that say
 * nothing of it for the models to be fitted on. */

#include "data/holdout.h"
#include "model/model.h"

#define WN_REPLAY_ROUNDS_MAX 8
#define WN_REPLAY_LATER_MAX  50
#define WN_REPLAY_VIEWS      4

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
  /* Of wn_replay_later: */
  int64_t view_ms[WN_REPLAY_VIEWS];
  unsigned views;
  wn_event *event; /* between the first view and the last, in order of time; value: the weight */
  size_t events;
  uint32_t *target; /* ascending within a moment */
  wn_holdout round[WN_REPLAY_ROUNDS_MAX];
  size_t rounds; /* 0: by time, so that what is known at a moment is what came before it */
} wn_replay;

/* About len_max moments. Data with times: those of the last tenth of the entries, each with the
 * history up to it, the rest ending where that tenth begins, as a server's models end before its
 * requests. Without: each user's last items, one round of holding out after the other. */
WN_MUST_USE wn_status wn_replay_make(const wn_dataset *data, size_t len_max, uint64_t seed,
                                     wn_replay *out, wn_error *err);
/* What comes next: of about len_max users the last items, whatever the data's times say. */
WN_MUST_USE wn_status wn_replay_last(const wn_dataset *data, size_t len_max, uint64_t seed,
                                     wn_replay *out, wn_error *err);
/* All that comes later, about len_max moments. The log's end is seen from several views: `rest`
 * ends at the first, `event` is what live models learn until the last, and a moment is a user with
 * a past who took something after a view, seen from there, with all that she took (the first
 * WN_REPLAY_LATER_MAX items). No moments: the data have no times, or too few come back. */
WN_MUST_USE wn_status wn_replay_later(const wn_dataset *data, size_t len_max, uint64_t seed,
                                      wn_replay *out, wn_error *err);
/* The last view that is not after the moment; 0 without views. */
unsigned wn_replay_view(const wn_replay *replay, const wn_moment *moment);
void wn_replay_clear(wn_replay *replay);
/* The moment as a query, but for `allowed`; memory from query->arena. False: out of memory. */
WN_MUST_USE bool wn_moment_query(const wn_moment *moment, wn_arena *arena, wn_query *query);

#endif
