#ifndef WN_MODEL_RIDGE_LIVE_H
#define WN_MODEL_RIDGE_LIVE_H
/* Local ridge as a model (ridge.c, ridge_snapshot.c) and under events: ridge_change.c keeps rows,
 * lists and counts as a fit would find them, ridge_live.c solves again the targets whose counts
 * moved, and holds their weights. */

#include "model/ridge.h"

/* Of each item. */
typedef struct wn_ridge_count {
  float mass;    /* the sum of K's column when it was last solved */
  float moved;   /* by how much its entries have changed since, in all */
  uint8_t level; /* of the queue it waits in, from 1; 0: it does not */
  uint8_t in;    /* bit n: the queue of level n has it, maybe left behind */
} wn_ridge_count;

#define WN_RIDGE_QUEUES 3

/* First in, first out; a ring of at most `cap` items, each in it once. Who has risen to another
 * queue stays here until its turn, and is then passed over. */
typedef struct wn_ridge_queue {
  uint32_t *item;
  uint32_t cap, first, len;
} wn_ridge_queue;

/* An item's weights on targets solved since the fit, ascending; and, if it is one itself, its
 * sources. */
typedef struct wn_ridge_solved {
  wn_ridge_cell *weight;
  uint32_t len, cap;
  uint32_t *source; /* ascending */
  uint32_t sources;
  bool is;
} wn_ridge_solved;

typedef enum wn_ridge_phase {
  WN_RIDGE_IDLE,
  WN_RIDGE_SOURCES, /* K's column: over the target's list */
  WN_RIDGE_MEMBERS, /* over the lists of S */
  WN_RIDGE_PAIRS,   /* over the users who were in them */
  WN_RIDGE_SOLVE
} wn_ridge_phase;

/* A target on its way. Lists change meanwhile, so the place in one is a user. */
typedef struct wn_ridge_job {
  wn_ridge_phase phase;
  uint32_t target;
  uint32_t member; /* of S */
  uint32_t user;   /* the next one is this one or above */
  size_t node;
} wn_ridge_job;

typedef struct wn_ridge_live {
  wn_ridge_rows rows;
  uint32_t k;
  wn_ridge_penalty penalty;
  double threshold; /* a target is solved again when this part of its counts has moved */
  int64_t effort;   /* additions an event may cost for that */
  int64_t credit;   /* < 0: events have to do without until it is earned again */
  size_t user_cap, item_cap;
  wn_ridge_count *count; /* [items] */
  float *diagonal;       /* [items] of G */
  uint32_t *solved_at;   /* [items] place in `solved` + 1 */
  WN_VEC(wn_ridge_solved) solved;
  wn_ridge_queue queue[WN_RIDGE_QUEUES]; /* by how much moved, the last one first */
  wn_ridge_local local;
  wn_ridge_job job;
  uint64_t solves;
  size_t block_bytes; /* of rows, lists, weights and sources */
} wn_ridge_live;

/* ridge_change.c: makes the model know of them. False: out of memory. */
WN_MUST_USE bool wn_ridge_live_know(wn_ridge_live *v, uint32_t users, uint32_t items);
/* The event in rows, lists, diagonals and `moved`; queues what moved enough. */
void wn_ridge_live_change(wn_ridge_live *v, const wn_event *event, float weight);
void wn_ridge_live_forget(wn_ridge_live *v, uint32_t user);
/* An ordered row's clock is set. False: out of memory. */
WN_MUST_USE bool wn_ridge_live_clock(wn_ridge_live *v, uint32_t user);

/* Cells ascending by ix: the first one not below; insertion and removal at a place. */
uint32_t wn_ridge_lower(const wn_ridge_cell *cell, uint32_t len, uint32_t ix);
void wn_ridge_cells_put(wn_ridge_cell *cell, uint32_t *len, uint32_t at, wn_ridge_cell x);
void wn_ridge_cells_remove(wn_ridge_cell *cell, uint32_t *len, uint32_t at);

/* ridge_live.c. Takes over `rows` as a fit left them. */
typedef struct wn_ridge_live_options {
  uint32_t k;
  wn_ridge_penalty penalty;
  double threshold;
  int64_t effort;
  const float *diagonal, *mass; /* [rows.fit_items] */
} wn_ridge_live_options;
WN_MUST_USE wn_ridge_live *wn_ridge_live_create(const wn_ridge_rows *rows,
                                                const wn_ridge_live_options *options);
void wn_ridge_live_free(wn_ridge_live *v);
/* Into the queue that its counts call for, if that is above the one it is in. */
void wn_ridge_live_queue(wn_ridge_live *v, uint32_t item);
uint32_t wn_ridge_live_waiting(const wn_ridge_live *v);
/* One event's share of the waiting work. */
void wn_ridge_live_work(wn_ridge_live *v);
/* Solves every item again, whatever has moved. */
void wn_ridge_live_settle(wn_ridge_live *v);
size_t wn_ridge_live_bytes(const wn_ridge_live *v);
static inline const wn_ridge_solved *wn_ridge_live_solved(const wn_ridge_live *v, uint32_t item) {
  uint32_t at = v->solved_at[item];
  return at != 0 ? &v->solved.data[at - 1] : NULL;
}

/* ---- the model ---- */

/* Snapshot section "<class>/head". */
typedef struct wn_ridge_head_section {
  uint32_t version;
  uint32_t users, items;
  uint32_t history_max;
  uint32_t k;
  uint32_t reserved;
  wn_ridge_rule rule;
  double scale;
  wn_ridge_penalty penalty;
  double tau_query; /* 0: order does not matter */
  double refresh, effort;
} wn_ridge_head_section;

typedef struct wn_ridge {
  wn_model base;
  wn_ridge_head_section head;
  const uint64_t *row_ptr; /* [items + 1] by source */
  const uint32_t *col;     /* targets */
  const float *weight;
  const float *diagonal, *mass; /* [items] */
  wn_ridge_rows rows;
  wn_ridge_weights owned; /* of a fitted model */
  wn_ridge_live *live;    /* NULL: no event yet */
  bool stopped;           /* learns no more: memory was out when a user was to be forgotten */
  size_t bytes_max;       /* of `live`: beyond it nothing is learned; 0: no bound */
} wn_ridge;

#define WN_RIDGE_HISTORY_MAX 1000000

void wn_ridge_free(wn_model *model);
wn_status wn_ridge_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err);
wn_status wn_ridge_validate(const wn_model *model, wn_error *err);
wn_status wn_ridge_map(const wn_model_class *cls, const wn_snapshot *snapshot, wn_model **out,
                       wn_error *err);

#endif
