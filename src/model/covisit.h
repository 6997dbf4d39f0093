#ifndef WN_MODEL_COVISIT_H
#define WN_MODEL_COVISIT_H
/* The parts of the co-occurrence model: what a snapshot holds (covisit_fit.c computes it), and what
 * events change over it (covisit_live.c). See covisit.c for the formula. */

#include "base/shelf.h"
#include "base/vec.h"
#include "model/train.h"

#include <math.h>

#define WN_COVISIT_NEIGHBOURS_MAX 1000
#define WN_COVISIT_WINDOW_MAX     1000
#define WN_COVISIT_RECENT         64 /* items of a user that an event is paired with, at most */

/* Snapshot section "covisit/head". */
typedef struct wn_covisit_head {
  uint32_t version;
  uint32_t items;
  uint32_t history_max;
  uint32_t neighbours;
  uint32_t window;
  uint32_t row_max;
  double tau_query;
  double tau;
  double rho;
  double a, b;
  double half_life_ms; /* 0: nothing fades */
  double now_ms;       /* time of the newest entry */
  double cross, lift, power;
  uint32_t level_bits; /* an item of level l is row and column item << level_bits | l */
  uint32_t reserved;
  uint8_t level_of[WN_SIGNALS_TOLD + 1]; /* of each type, see wn_signal_told */
} wn_covisit_head;

/* When a pair came about, as forward decay needs it: fade · 2^(WN_COVISIT_EPOCH · epoch) is
 * 2^(time/half-life), fade in [1, 2^WN_COVISIT_EPOCH). */
typedef struct wn_covisit_stamp {
  float fade;
  int32_t epoch;
} wn_covisit_stamp;

#define WN_COVISIT_EPOCH      32         /* half-lives */
#define WN_COVISIT_EPOCHS_MAX 1000000000 /* ± */

/* One entry of a changed row. */
typedef struct wn_covisit_cell {
  uint32_t col; /* WN_NO_IX: free */
  float weight; /* 0: taken back */
} wn_covisit_cell;

/* A changed row: an open-addressing table. */
typedef struct wn_covisit_row {
  wn_covisit_cell *cell; /* [slots] */
  float *granted;        /* [slots] behind the cells: to newcomers, see covisit_live.c */
  uint32_t slots;
  uint32_t len;
  float floor;   /* weight · target scale of what was left out, at most */
  int32_t epoch; /* all of these are in units of 2^(WN_COVISIT_EPOCH · epoch) */
} wn_covisit_row;

typedef struct wn_covisit_visit {
  wn_item_ix item;
  float weight; /* the pair's; ≤ 0: is remembered, does not count */
  float mass;   /* with which its pairs are in the rows now */
  uint8_t level;
  int64_t time_ms;
  wn_covisit_stamp stamp;
} wn_covisit_visit;

/* A user's newest items, oldest first. */
typedef struct wn_covisit_user {
  wn_covisit_visit *data;
  uint32_t len;
} wn_covisit_user;

typedef struct wn_covisit_live {
  uint32_t items;         /* known ones: those of training and those of events since */
  size_t cap;             /* of the next four */
  uint32_t *count;        /* how many users have the item */
  float *source, *target; /* count^−a, count^−b */
  uint32_t *row_of;       /* by row; index into rows + 1; 0: the snapshot's row counts */
  WN_VEC(wn_covisit_row) rows;
  wn_history_base history;   /* users' items in the snapshot */
  wn_shelf *users;           /* of wn_covisit_visit, by user */
  float *forward, *backward; /* [window + 1] a pair's weight by gap */
  double now_ms;             /* time of the newest event met */
  size_t block_bytes;        /* of all rows' blocks */
} wn_covisit_live;

typedef struct wn_covisit {
  wn_model base;
  wn_covisit_head head;
  const uint64_t *row_ptr; /* [rows + 1], rows = items << level_bits */
  const uint32_t *col;
  const float *weight;   /* W > 0, not yet divided by popularity */
  const uint32_t *count; /* [items] users who have it */
  const int32_t *epoch;  /* [rows] their units; NULL: nothing fades */
  void *owned[5];        /* of a fitted model */
  wn_covisit_live live;
} wn_covisit;

WN_MUST_USE wn_status wn_covisit_fit(const wn_dataset *data, const wn_params *params,
                                     const wn_fit_env *env, wn_model **out, wn_error *err);

/* Levels that the model tells apart: 1 or 2 or 4. */
static inline uint32_t wn_covisit_levels(const wn_covisit *m) {
  return 1u << m->head.level_bits;
}
/* Soon to be asked about these items, one by one: their rows are asked for all at once. */
struct wn_positive;
void wn_covisit_expect(const wn_covisit *m, const struct wn_positive *history, size_t len);
/* A history of one item with one row of at most k: its candidates as the model's own would be, but
 * in no order. False: ask the model. */
bool wn_covisit_alone(const wn_covisit *m, const wn_query *query, size_t k, wn_scored *out,
                      size_t *count);
/* Calls `each` with what an item of level `from` says of each item of its row, and the level that
 * it says it of; neither `cross` nor `lift` count. */
typedef void wn_covisit_pair_fn(void *ctx, wn_item_ix item, uint32_t to, float strength);
void wn_covisit_pairs(const wn_covisit *m, wn_item_ix item, uint32_t from, wn_covisit_pair_fn *each,
                      void *ctx);

static inline uint32_t wn_covisit_rows(const wn_covisit_head *head) {
  return head->items << head->level_bits;
}

/* Once head, rows and counts are set. */
WN_MUST_USE wn_status wn_covisit_live_init(wn_covisit *m, wn_error *err);
void wn_covisit_live_clear(wn_covisit_live *live);
void wn_covisit_update(wn_model *model, const wn_event *event, float weight);
void wn_covisit_forget(wn_model *model, wn_user_ix user);
/* Beyond so many bytes users' newest items lie in a file in `dir` (borrowed). */
void wn_covisit_bound(wn_model *model, const char *dir, size_t bytes_max);
void wn_covisit_shelf(const wn_model *model, wn_shelf_stats *out);
/* Heap memory that events may grow, users' newest items with it. */
size_t wn_covisit_live_bytes(const wn_model *model);

/* What is kept of n keys: those above `floor`, and of those that equal it the first `equal`. */
typedef struct wn_cut {
  float floor;
  uint32_t equal;
} wn_cut;

/* The `keep` greatest; all when there are no more. Reorders the keys. */
wn_cut wn_covisit_cut(float *key, size_t n, uint32_t keep);

static inline bool wn_covisit_keeps(wn_cut *cut, float key) {
  return key > cut->floor || (key == cut->floor && cut->equal > 0 && cut->equal--);
}

static inline void wn_covisit_decays(const wn_covisit_head *head, float *forward, float *backward) {
  forward[0] = backward[0] = 1;
  for (uint32_t g = 1; g <= head->window; g++) {
    forward[g] = (float)exp(-(double)(g - 1) / head->tau);
    backward[g] = (float)(head->rho * (double)forward[g]);
  }
}

static inline wn_covisit_stamp wn_covisit_stamp_of(const wn_covisit_head *head, int64_t time_ms) {
  if (!(head->half_life_ms > 0)) return (wn_covisit_stamp){1, 0};
  double age = (double)time_ms / head->half_life_ms;
  double epoch = floor(age / WN_COVISIT_EPOCH);
  epoch = fmin(fmax(epoch, -WN_COVISIT_EPOCHS_MAX), WN_COVISIT_EPOCHS_MAX);
  double rest = fmin(fmax(age - WN_COVISIT_EPOCH * epoch, 0), WN_COVISIT_EPOCH);
  return (wn_covisit_stamp){(float)exp2(rest), (int32_t)epoch};
}

/* 2^−(WN_COVISIT_EPOCH · epochs), epochs ≥ 0: a power of two, so that scaling by it is exact. */
static inline float wn_covisit_fade(int32_t epochs) {
  static const float fade[] = {1, 0x1p-32f, 0x1p-64f, 0x1p-96f};
  return epochs < 4 ? fade[epochs] : 0;
}

static inline float wn_covisit_scale(uint32_t count, double exponent) {
  return (float)pow(fmax(1, (double)count), -exponent);
}

#endif
