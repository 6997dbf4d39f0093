#ifndef WN_LAB_BATCH_H
#define WN_LAB_BATCH_H
/* Top-N lists of many users into one file. A job is ranked in chunks by all threads; each chunk is
 * written and made durable before the place that it reached is, so that a job that was killed goes
 * on there and ends with the rows that an uninterrupted one would have written.
 *
 * OUT.partial grows, OUT.state says how far it is good and what the job was; at the end the one
 * becomes OUT and the other goes. So OUT is whole whenever it is there. */

#include "base/arena.h"
#include "model/model.h"

typedef enum wn_batch_format {
  WN_BATCH_CSV,    /* user,item,score,rank */
  WN_BATCH_JSONL,  /* the same as objects */
  WN_BATCH_SQLITE, /* the same as the table `recommendations`, with an index on user */
} wn_batch_format;

#define WN_BATCH_TILE    48 /* users that are ranked together */
#define WN_BATCH_ID_ROOM 16

/* Users at … at + len − 1 of a job, len ≤ WN_BATCH_TILE. */
typedef struct wn_batch_tile {
  uint64_t at;
  size_t len;
  int worker;     /* 0 … threads − 1 */
  wn_scored *out; /* [len × n] best first */
  size_t *count;  /* [len] */
} wn_batch_tile;

typedef struct wn_batch_job {
  uint64_t users;
  uint32_t n;
  void *ctx;
  wn_status (*rank)(void *ctx, const wn_batch_tile *tile, wn_error *err); /* in many threads */
  /* External ids, in `room` or in memory that stays. */
  wn_str (*user)(void *ctx, uint64_t at, char room[WN_BATCH_ID_ROOM]);
  wn_str (*item)(void *ctx, uint32_t ix, char room[WN_BATCH_ID_ROOM]);
} wn_batch_job;

/* OUT.state: what the job was, and how far it came. */
typedef struct wn_batch_state {
  uint64_t job;      /* hash of all that was asked for */
  uint64_t snapshot; /* and of all that it was asked of: the snapshot's number, … */
  uint64_t seq;      /* … the last event, … */
  uint64_t users;    /* … how many users there were, … */
  int64_t now_ms;    /* … and when */
  uint64_t done;     /* users written */
  uint64_t bytes;    /* of OUT.partial that are good; 0 for SQLite, which knows by itself */
} wn_batch_state;

typedef struct wn_batch_output {
  const char *path;
  wn_batch_format format;
  uint64_t chunk; /* users between two places to go on from */
  wn_pool *pool;
  const wn_progress *progress;
} wn_batch_output;

typedef struct wn_batch_report {
  uint64_t users, users_before; /* written in all, by earlier runs */
  uint64_t users_empty, rows;   /* by this run */
  double rank_seconds, format_seconds, write_seconds;
  double rank_cpu_seconds; /* of all threads: what counts on a busy machine */
} wn_batch_report;

/* *found false: no job was left unfinished there. */
WN_MUST_USE wn_status wn_batch_state_load(const char *path, wn_batch_state *state, bool *found,
                                          wn_error *err);
/* Removes what an unfinished job left. */
void wn_batch_discard(const char *path);
/* Goes on from state->done. WN_E_CANCELLED keeps what is done. */
WN_MUST_USE wn_status wn_batch_run(const wn_batch_job *job, const wn_batch_output *output,
                                   wn_batch_state *state, wn_batch_report *report, wn_error *err);

/* --- writing: batch_write.c --- */

typedef struct wn_batch_writer wn_batch_writer;
WN_MUST_USE wn_status wn_batch_writer_open(const wn_batch_output *output, wn_batch_state *state,
                                           wn_batch_writer **out, wn_error *err);
/* The rows of a chunk: users state->done … + len − 1; afterwards they are durable and state says
 * so. */
WN_MUST_USE wn_status wn_batch_writer_chunk(wn_batch_writer *writer, const wn_batch_job *job,
                                            const wn_batch_tile *chunk, wn_batch_state *state,
                                            wn_error *err);
/* OUT.partial becomes OUT. */
WN_MUST_USE wn_status wn_batch_writer_finish(wn_batch_writer *writer, wn_error *err);
double wn_batch_writer_format_seconds(const wn_batch_writer *writer);
void wn_batch_writer_close(wn_batch_writer *writer);

/* --- ranking with one model: batch_rank.c --- */

typedef struct wn_batch_user {
  wn_query query;         /* history, user, anchor, now, seed; the rest is filled in */
  const wn_item_ix *mask; /* items that stay out, in the tile's arena */
  size_t mask_len;
  bool nobody; /* gets no list */
} wn_batch_user;

typedef struct wn_batch_ranker wn_batch_ranker;
typedef wn_status wn_batch_user_fn(void *ctx, uint64_t at, wn_arena *arena, wn_batch_user *out,
                                   wn_error *err);
/* `allowed`: what may be recommended at all; copied for each user of a tile and thread. */
WN_MUST_USE wn_status wn_batch_ranker_create(const wn_bitset *allowed, int threads,
                                             wn_batch_ranker **out, wn_error *err);
void wn_batch_ranker_free(wn_batch_ranker *ranker);
/* `user` says who is asked for; `n` is the job's. */
typedef struct wn_batch_question {
  const wn_model *model;
  uint32_t n;
  wn_batch_user_fn *user;
  void *ctx;
} wn_batch_question;
WN_MUST_USE wn_status wn_batch_rank(wn_batch_ranker *ranker, const wn_batch_question *question,
                                    const wn_batch_tile *tile, wn_error *err);

#endif
