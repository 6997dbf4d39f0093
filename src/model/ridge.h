#ifndef WN_MODEL_RIDGE_H
#define WN_MODEL_RIDGE_H
/* Inside of the closed-form regressions of items on items: the users' rows and what pairs of their
 * entries weigh (ridge_rows.c), one target's local system (ridge_local.c), the fit of all of them
 * (ridge_fit.c), rows and weights under events (ridge_change.c, ridge_live.c), the classes ridge
 * and ridge-seq (ridge.c) and ease (ease.c). */

#include "base/vec.h"
#include "model/model.h"

#include <math.h>

/* ---- rows ---- */

/* An item and its value in a user's row; a user and that value in an item's list. */
typedef struct wn_ridge_cell {
  uint32_t ix;
  float value; /* > 0 */
} wn_ridge_cell;

/* Of an entry of an ordered row: it weighs exp(θ − θₜ) on each entry t of a later time, a target.
 */
typedef struct wn_ridge_clock {
  double at;     /* θ, 0 at the row's first entry */
  float rest;    /* Σ exp(2(θ − θₜ)) over its targets */
  uint32_t next; /* first target; the row's length: none */
} wn_ridge_clock;

#define WN_RIDGE_REACH 12.0 /* what fades to exp(−12) = 6e-6 is 0 */

/* A user's positive entries, oldest first. x of an entry is its value · √share. */
typedef struct wn_ridge_row {
  const wn_ridge_cell *cell;
  const wn_ridge_clock *clock; /* NULL: not ordered */
  uint32_t len;
  float share;
} wn_ridge_row;

/* An item's users, ascending. */
typedef struct wn_ridge_list {
  const wn_ridge_cell *cell;
  uint32_t len;
} wn_ridge_list;

typedef struct wn_ridge_rule {
  double power;         /* a value is the interaction's weight to this power */
  double user_exponent; /* share = (the row's length)^(−2 · this) */
  double tau, hours;    /* of the clock: steps and hours to 1/e; hours 0: steps alone */
  uint32_t row_max;     /* newest positive entries of a user that count */
  uint32_t ordered;     /* what comes next, rather than what is together */
} wn_ridge_rule;

/* A row or list that is no longer the fit's (ridge_change.c). */
typedef struct wn_ridge_user {
  wn_ridge_row row;
  const int64_t *time_ms;
  wn_ridge_cell *own_cell; /* NULL: the fit's, and so are the times */
  int64_t *own_time;
  wn_ridge_clock *own_clock;
  uint32_t cap, clock_cap;
} wn_ridge_user;

typedef struct wn_ridge_item {
  wn_ridge_list list;
  wn_ridge_cell *own; /* NULL: the fit's */
  uint32_t cap;
} wn_ridge_item;

typedef struct wn_ridge_rows {
  wn_ridge_rule rule;
  double scale; /* of values: their mean square is 1 at a fit */
  uint32_t users, items;
  /* The fit's, of fit_users and fit_items. */
  uint32_t fit_users, fit_items;
  const uint64_t *user_ptr;    /* [fit_users + 1] */
  const wn_ridge_cell *cell;   /* rows */
  const int64_t *time_ms;      /* of the same; NULL: not ordered */
  const wn_ridge_clock *clock; /* of the same; NULL: not ordered, or not known yet */
  const uint64_t *item_ptr;    /* [fit_items + 1] */
  const wn_ridge_cell *owner;  /* lists */
  const float *share;          /* [fit_users] */
  void *owned[7];
  /* Events'. */
  uint32_t *user_at, *item_at; /* [users], [items] place in the next two + 1; NULL: all the fit's */
  WN_VEC(wn_ridge_user) user;
  WN_VEC(wn_ridge_item) item;
} wn_ridge_rows;

/* Memory: 16 bytes an entry, 24 more when ordered, 12 a user, 8 an item. */
WN_MUST_USE wn_status wn_ridge_rows_build(const wn_dataset *data, const wn_ridge_rule *rule,
                                          wn_ridge_rows *out, wn_error *err);
void wn_ridge_rows_clear(wn_ridge_rows *rows);

float wn_ridge_share(const wn_ridge_rule *rule, uint32_t len);
/* Never 0, because sums tell by 0 what they have not met; never infinite. */
float wn_ridge_value(double x);

static inline wn_ridge_row wn_ridge_row_of(const wn_ridge_rows *rows, uint32_t user) {
  uint32_t at = rows->user_at != NULL ? rows->user_at[user] : 0;
  if (at != 0) return rows->user.data[at - 1].row;
  if (user >= rows->fit_users) return (wn_ridge_row){0};
  uint64_t begin = rows->user_ptr[user];
  return (wn_ridge_row){.cell = rows->cell + begin,
                        .clock = rows->clock != NULL ? rows->clock + begin : NULL,
                        .len = (uint32_t)(rows->user_ptr[user + 1] - begin),
                        .share = rows->share[user]};
}

static inline wn_ridge_list wn_ridge_list_of(const wn_ridge_rows *rows, uint32_t item) {
  uint32_t at = rows->item_at != NULL ? rows->item_at[item] : 0;
  if (at != 0) return rows->item.data[at - 1].list;
  if (item >= rows->fit_items) return (wn_ridge_list){0};
  uint64_t begin = rows->item_ptr[item];
  return (wn_ridge_list){rows->owner + begin, (uint32_t)(rows->item_ptr[item + 1] - begin)};
}

void wn_ridge_clock_set(const wn_ridge_rule *rule, const int64_t *time_ms, uint32_t n,
                        wn_ridge_clock *out);

/* The item's place in the row; the row's length when it is not there. */
static inline uint32_t wn_ridge_place(const wn_ridge_row *row, uint32_t item) {
  uint32_t at = 0;
  while (at < row->len && row->cell[at].ix != item) at++;
  return at;
}

/* What the entries at places p and q of an ordered row weigh together, before their x: the sum over
 * common targets. */
static inline float wn_ridge_together(const wn_ridge_row *row, uint32_t p, uint32_t q) {
  const wn_ridge_clock *old = &row->clock[p < q ? p : q], *young = &row->clock[p < q ? q : p];
  double gone = young->at - old->at;
  return gone < WN_RIDGE_REACH ? (float)exp(-gone) * young->rest : 0;
}

/* Some items, whose part of G is kept dense. */
typedef struct wn_ridge_head {
  uint32_t len;
  uint32_t *item;   /* [len] ascending */
  uint32_t *number; /* [items] place in `item`, WN_NO_IX: not in it */
} wn_ridge_head;

/* Items of more than `least` entries, at most `most` of them: those with the most (ties: the lower
 * index). */
WN_MUST_USE wn_status wn_ridge_head_choose(const wn_ridge_rows *rows, uint32_t least, uint32_t most,
                                           wn_ridge_head *out, wn_error *err);
void wn_ridge_head_clear(wn_ridge_head *head);
/* out[0 … r] += the r-th head item's row of G up to its diagonal. */
void wn_ridge_gram_row(const wn_ridge_rows *rows, const wn_ridge_head *head, uint32_t r,
                       float *out);
/* out[i] = G[i][i] for all items. */
void wn_ridge_diagonal(const wn_ridge_rows *rows, float *out);

/* ---- one target ---- */

#define WN_RIDGE_K_MAX 1024

/* A member of S in a user's row, in the chain of those that came before it. */
typedef struct wn_ridge_node {
  uint32_t user;
  uint32_t before; /* node + 1; 0: none */
  uint32_t member; /* of S */
  uint32_t at;     /* place in an ordered row */
  float value;
} wn_ridge_node;

/* What it takes to put up and solve (G_SS + λI) w = K_Sj for one target after the other. */
typedef struct wn_ridge_local {
  uint32_t k;
  float *sum;        /* [items] K's column j; 0 between targets */
  uint32_t *touched; /* [items] where it is not 0 */
  uint32_t touched_len;
  wn_scored
      *best; /* [k] S: its first `tail` members meet in users' rows, the others are head items */
  uint32_t len, tail;
  float *A;       /* [k × k] */
  float *x;       /* [k] */
  float *work;    /* [k] */
  uint32_t *last; /* [users] the newest node of the user's + 1; 0 between targets */
  WN_VEC(wn_ridge_node) nodes;
} wn_ridge_local;

WN_MUST_USE bool wn_ridge_local_init(wn_ridge_local *l, uint32_t users, uint32_t items, uint32_t k);
void wn_ridge_local_clear(wn_ridge_local *l);
/* Adds one entry of j's list to K's column j. */
void wn_ridge_local_source(wn_ridge_local *l, const wn_ridge_rows *rows, uint32_t j,
                           wn_ridge_cell owner);
/* The sum of K's column j. */
float wn_ridge_local_mass(const wn_ridge_local *l);
/* S = the k items i of the largest K[i][j]/√G[i][i]; those of `head` (may be NULL) come last. Sets
 * A to zero and x to K_Sj. */
void wn_ridge_local_choose(wn_ridge_local *l, const float *diagonal, const wn_ridge_head *head);
/* Notes one entry of member p's list; members go in order. False: out of memory. */
WN_MUST_USE bool wn_ridge_local_meet(wn_ridge_local *l, const wn_ridge_rows *rows, uint32_t p,
                                     wn_ridge_cell owner);
/* After all members: adds to A what they weigh together in the row of the n-th node's user, if the
 * node is her first one. How many of S she has; 0: it is not. */
uint32_t wn_ridge_local_join(wn_ridge_local *l, const wn_ridge_rows *rows, size_t n);
typedef struct wn_ridge_penalty {
  double lambda;
  double dropout; /* < 1 */
} wn_ridge_penalty;
/* x = (A + Λ)⁻¹ x */
void wn_ridge_local_solve(wn_ridge_local *l, const wn_ridge_penalty *penalty);
/* Ready for the next target. */
void wn_ridge_local_reset(wn_ridge_local *l);

/* ---- all targets ---- */

/* Weights by source item, targets ascending. */
typedef struct wn_ridge_weights {
  uint64_t *row_ptr; /* [items + 1] */
  uint32_t *col;
  float *weight;   /* finite, not 0 */
  float *diagonal; /* [items] of G */
  float *mass;     /* [items] the sum of K's column */
} wn_ridge_weights;

typedef struct wn_ridge_solve_options {
  const char *stage; /* of the progress */
  uint32_t k;        /* sources of a target at most */
  wn_ridge_penalty penalty;
} wn_ridge_solve_options;

WN_MUST_USE wn_status wn_ridge_solve(const wn_ridge_rows *rows,
                                     const wn_ridge_solve_options *options, const wn_fit_env *env,
                                     wn_ridge_weights *out, wn_error *err);
/* The most that a fit allocates, rows and result included; the formula is ridge_fit.c's. */
size_t wn_ridge_fit_bytes(const wn_ridge_rows *rows, uint32_t k, size_t threads);
void wn_ridge_weights_clear(wn_ridge_weights *weights);

#endif
