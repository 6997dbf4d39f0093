#ifndef WN_STORE_COMMIT_H
#define WN_STORE_COMMIT_H
/* Group commit: many small requests share one fsync. One writer thread takes every batch that
 * waits, commits them in one transaction, tells the engine (`on_commit`, so that the next
 * request sees the change), then tells each sender. */

#include "store/store.h"

typedef struct wn_committer wn_committer;

typedef struct wn_commit_batch wn_commit_batch;
struct wn_commit_batch {
  wn_op *ops; /* owned by the sender until `done` has been called */
  size_t count;
  /* Called once, on the writer thread, after the commit (status WN_OK) or its failure. */
  void (*done)(wn_commit_batch *batch, wn_status status, const wn_error *err);
  void *ctx;
  wn_commit_batch *next; /* the queue's */
};

typedef struct wn_committer_options {
  size_t queued_ops_max; /* default 100,000; more: WN_E_BUSY */
  size_t slates_reserve; /* default 10,000: places beyond that for slates alone, so that a bulk load
                            that fills the queue does not end serving */
  /* After each commit, before any `done`; on the writer thread. `batches` is the list of those
   * committed together. May be NULL. */
  void (*on_commit)(void *ctx, wn_commit_batch *batches);
  void *ctx;
} wn_committer_options;

void wn_committer_options_defaults(wn_committer_options *options);
WN_MUST_USE wn_status wn_committer_start(wn_store *store, const wn_committer_options *options,
                                         wn_committer **out, wn_error *err);
/* Any thread. WN_E_BUSY: queue full, nothing taken; WN_E_NOT_READY: stopping. */
WN_MUST_USE wn_status wn_committer_submit(wn_committer *committer, wn_commit_batch *batch,
                                          wn_error *err);
/* Whether submit would take a batch of so many changes (not slates) now: WN_OK, or its errors. For
 * asking before the batch is made; the place is not kept. */
WN_MUST_USE wn_status wn_committer_admit(wn_committer *committer, size_t count, wn_error *err);
/* How the last group ended; WN_OK before the first. Any thread, at no cost. */
wn_status wn_committer_last(const wn_committer *committer);
/* Submits and waits. */
WN_MUST_USE wn_status wn_committer_run(wn_committer *committer, wn_op *ops, size_t count,
                                       wn_error *err);
/* Commits what was accepted, then stops and frees. */
void wn_committer_stop(wn_committer *committer);

/* Upper bounds of the buckets of commit_buckets, seconds; the last is without bound. */
#define WN_COMMIT_BUCKETS 12
extern const double wn_commit_bounds[WN_COMMIT_BUCKETS - 1];

typedef struct wn_commit_times {
  uint64_t buckets[WN_COMMIT_BUCKETS]; /* commits by how long they took */
  double seconds;                      /* sum */
} wn_commit_times;

typedef struct wn_commit_stats {
  wn_commit_times whole, disk; /* disk: of it, what the end took: pages to the log, and fsync */
  uint64_t commits, ops, failures, refused;
  size_t queued_ops;
  wn_status last; /* how the last group ended */
} wn_commit_stats;
void wn_committer_stats(wn_committer *committer, wn_commit_stats *out);

#endif
