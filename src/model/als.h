#ifndef WN_MODEL_ALS_H
#define WN_MODEL_ALS_H
/* Inside of the ALS model: the row solver (als_solve.c), the training (als_fit.c), vectors from
 * attributes (als_attr.c, als_users.c), learning from events (als_live.c), the class (als.c), its
 * part of a snapshot (als_snapshot.c) and many queries at once (als_batch.c). Every factor is kept
 * in the eigenbasis of the fixed side's Gram, so that the matrix α₀HᵀH + λᵤI of every row is a
 * diagonal.
 */

#include "base/map64.h"
#include "base/nearest.h"
#include "base/simd/simd.h"
#include "model/content.h"
#include "model/section.h"
#include "model/train.h"

#define WN_ALS_FACTORS_MAX    1024
#define WN_ALS_CONFIDENCE_MAX 100.0f

/* One side held fixed while rows of the other are solved. */
typedef struct wn_als_system {
  const float *factors; /* [rows × d] */
  const double *eigen;  /* [d] eigenvalues of factorsᵀ·factors, which is diagonal */
  size_t d;
  double count; /* rows that take part: non-zero ones */
  double alpha0, lambda, nu;
} wn_als_system;

#define WN_ALS_PANEL 64 /* rows gathered before they are added up: 32 KB at d 128 */

/* What one solve needs besides; memory of wn_als_scratch_floats() floats. */
typedef struct wn_als_scratch {
  size_t asked; /* entries whose rows are on their way */
  const uint32_t
      *after; /* [after_len] entries of the row that will be solved next; NULL: unknown */
  size_t after_len;
  size_t width;   /* d padded to whole vectors */
  size_t side;    /* padded unknowns of the largest dual system */
  float *z;       /* [panel × stride(width)] scaled rows, or twice as many in pairs */
  float *zt;      /* [width × stride(side)] the same, transposed: dual only */
  float *m;       /* the system's matrix */
  float *half;    /* [width] 1 / √(α₀·eigen + λᵤ) */
  float *target;  /* [panel] t */
  float *rhs;     /* [max(width, side)] */
  float *inverse; /* [max(width, side)] of the diagonal of the factor */
} wn_als_scratch;

/* For rows of up to n interactions; n ≥ d serves rows of any length. */
size_t wn_als_scratch_floats(size_t d, size_t n);
void wn_als_scratch_init(wn_als_scratch *scratch, size_t d, size_t n, float *memory);

typedef struct wn_als_row {
  double loss;    /* the row's part of the objective at its minimum, its own ridge included */
  double penalty; /* that ridge: λᵤ‖x‖² */
} wn_als_row;

/* x[d] = argmin Σ |c|(⟨h, x⟩ − t)² + α₀ Σ_all ⟨h, x⟩² + λᵤ‖x‖² over the n entries (col, c): t is 1
 * where c > 0 and 0 where c < 0 (disliked); entries with c = 0 are passed over. Without any c > 0,
 * x = 0. Exact; no allocation. */
wn_als_row wn_als_solve(const wn_als_system *system, const uint32_t *col, const float *c, size_t n,
                        wn_als_scratch *scratch, float *x);

struct wn_als_task;
/* The same of a task whose entries have been counted. */
wn_als_row wn_als_solve_task(const wn_als_system *system, const struct wn_als_task *task,
                             wn_als_scratch *scratch);

/* λᵤ of a row whose confidences add up to `sum`. */
double wn_als_ridge(const wn_als_system *system, double sum);
/* out[k] = 1 / √(α₀·eigen[k] + ridge), zero from d to the next multiple of WN_SIMD_PAD. */
void wn_als_half(const wn_als_system *system, double ridge, float *out);
/* x ← half ∘ x; returns ‖x‖². */
double wn_als_unscale(const float *half, size_t d, float *x);

/* ---- rows by half the products: als_refine.c ---- */

struct wn_als_task;
/* Where the CPU has them and it is worth it. */
bool wn_als_refines(const wn_als_system *system, const struct wn_als_task *task);
/* wn_als_solve_task of such a row; false: it did not come near enough, and task->x is
 * lost. */
bool wn_als_solve_refined(const wn_als_system *system, const struct wn_als_task *task, double ridge,
                          wn_als_scratch *scratch, wn_als_row *row);
/* Into `rows`: those of the task's next panel from `at` on, or after its last one those of the row
 * that is solved next. */
void wn_als_ask_for_panel(const wn_als_system *system, const struct wn_als_task *task, size_t at,
                          size_t count, const wn_als_scratch *scratch, wn_simd_rows *rows);

/* ---- many short rows at once: als_short.c ---- */

#define WN_ALS_SHORT_LANES 16 /* at most; wn_simd()->lanes is what runs */
#define WN_ALS_SHORT_N     80 /* interactions of a row at most */

/* One row's entries, none with c = 0, its result and where its factors go. */
typedef struct wn_als_task {
  const uint32_t *col;
  const float *c;
  size_t n;
  double sum;   /* of |c| */
  double liked; /* of the c > 0; at least one */
  size_t said;  /* entries with c ≠ 0: all, but for wn_als_solve_task */
  bool plain;   /* all c are 1 */
  float *x;     /* [d] */
  wn_als_row *row;
} wn_als_task;

size_t wn_als_short_floats(size_t d);
/* Up to wn_simd()->lanes rows of at most WN_ALS_SHORT_N entries; each comes out as wn_als_solve
 * would have it but for rounding. memory: wn_als_short_floats() floats. */
void wn_als_solve_short(const wn_als_system *system, const wn_als_task *tasks, size_t count,
                        float *memory);

/* ---- long rows in a few steps: als_pcg.c ---- */

size_t wn_als_pcg_floats(size_t d, size_t n);
/* Moves task->x, a solution of an earlier epoch or zero, towards the minimum and returns its own
 * objective; task->row is not written. memory: wn_als_pcg_floats() floats. */
wn_als_row wn_als_solve_pcg(const wn_als_system *system, const wn_als_task *task, int steps,
                            float *memory);

/* True where `steps` steps for a row of n entries cost less than half of the exact solution. */
bool wn_als_pcg_pays(size_t d, size_t n, int steps);

/* Initial factors of one row, N(0, sigma²): a function of seed and row alone. */
void wn_als_init_row(uint64_t seed, uint32_t row, size_t d, double sigma, float *out);

/* Snapshot section "als/head". */
typedef struct wn_als_head {
  uint32_t version;
  uint32_t d;
  uint32_t users, items;
  uint32_t active; /* items with a positive interaction */
  uint32_t rows;   /* items with a vector: those and cold ones known by their attributes */
  uint32_t epochs; /* run */
  uint32_t history_max;
  uint32_t attr_terms; /* of the content model that attr_row_of belongs to; 0: none */
  uint32_t attr_rows;
  uint32_t users_active; /* users with a positive interaction */
  uint32_t user_terms;   /* values of users' attributes that say something; 0: none */
  double alpha0, lambda, nu;
  double power, scale; /* confidence c = min(scale · weight^power, 100) */
  double negative;     /* of weights < 0: −negative · c(|weight|) */
  double cold_scale;   /* length that a vector from attributes keeps while there are no events */
  double objective;    /* after the last epoch */
} wn_als_head;

/* ---- what events and puts have changed since the fit: als_live.c ---- */

#define WN_ALS_LIVE_RECENT 64                 /* newest items of a user, for folding her in */
#define WN_ALS_LIVE_USERS  65536              /* remembered; then the longest known leave */
#define WN_ALS_LIVE_TAKERS 64                 /* newest users of an item that count */
#define WN_ALS_LIVE_BYTES  ((size_t)64 << 20) /* of items; then no more of them learn */

typedef struct wn_als_seen {
  wn_item_ix item;
  float weight;
} wn_als_seen;

typedef struct wn_als_live_user {
  wn_user_ix user;
  uint32_t len, cap;
  wn_als_seen *seen; /* oldest first */
} wn_als_live_user;

typedef struct wn_als_taker {
  wn_user_ix user; /* WN_NO_IX: deleted since */
  float weight;
} wn_als_taker;

typedef struct wn_als_live_item {
  uint32_t events; /* users who took it since the fit */
  uint32_t solved; /* how many of them `own` knows */
  float behind;    /* takers that `prior` weighs as much as; 0: there is none */
  float *prior;    /* [d] vector of the attributes */
  float *own;      /* [d] from the takers; NULL: none yet */
  uint32_t len, cap, next;
  wn_als_taker *taker; /* [cap] a ring of WN_ALS_LIVE_TAKERS at most */
  float *x;            /* [cap × d] their factors, in the eigenbasis of the users' Gram */
} wn_als_live_item;

typedef struct wn_als_live {
  size_t bytes; /* of items */
  uint32_t *at; /* [known] by item: its place below + 1; 0: as fitted */
  size_t known;
  uint32_t len, cap;       /* items put, or taken for the first time, since the fit */
  wn_als_live_item *item;  /* [cap] */
  wn_item_ix *item_of;     /* [cap] */
  float *vector;           /* [cap × d] */
  float *scale;            /* [cap] 1 / norm, 0: not to be proposed */
  wn_history_base history; /* users' items in the snapshot */
  wn_bitset forgotten;     /* users whose rows of it are void */
  wn_map64 user_of;        /* user → index into users */
  WN_VEC(wn_als_live_user) users;
  uint32_t user_next;               /* the longest known one, when there are as many as may be */
  const struct wn_content *content; /* of the set; NULL: none that attributes could come from */
  wn_arena arena;                   /* of one event */
} wn_als_live;

typedef struct wn_als {
  wn_model base;
  wn_als_head head;
  const double *eigen;         /* [d] of the item factors' Gram, which is diagonal */
  const uint32_t *item_of;     /* [rows] item indexes, by falling norm: a scan may stop early */
  const uint32_t *row_of;      /* [items] row in `item`, WN_NO_IX: no vector */
  const float *item;           /* [rows × d] */
  const float *item_scale;     /* [rows] 1 / norm, 0 for a zero vector */
  const uint32_t *item_events; /* [rows] users who took it; 0: known by its attributes alone */
  const float *user;           /* [users × d] */
  const float *user_scale;     /* [users] */
  const double *user_eigen;    /* [d] of the users' Gram */
  const float *user_basis;     /* [d × d] rows are its eigenvectors */
  const uint32_t *attr_row_of; /* [attr_terms] row in `attr`, WN_NO_IX: says nothing */
  const float *attr;           /* [attr_rows × d] what a term adds to the vector of an item */
  const uint64_t *user_term;   /* [user_terms] hashes of values, ascending */
  const float *user_attr;      /* [user_terms × d] what each adds to the vector of a user */
  void *owned[16];             /* heap of a fitted model; none in a mapped one */
  size_t owned_len;
  wn_als_live live;
  const wn_nearest *nearest; /* answers instead of a scan; NULL: none. Borrowed */
  struct wn_als_coded *coded;
} wn_als;

/* ---- item vectors as int8 codes, for many queries at once: als_codes.c ---- */

#define WN_ALS_CODED 64 /* rows of a block */

/* How codes stand for a query or a block of rows: greatest values, in units of `scale`. */
typedef struct wn_als_code {
  float scale;    /* 0: they say nothing */
  float error;    /* of a vector less its codes */
  float norm;     /* of a vector */
  float rounding; /* of a product of floats; queries only */
} wn_als_code;

typedef struct wn_als_codes {
  size_t groups;      /* of four codes a row */
  int8_t *rows;       /* [rows × 4·groups] */
  int32_t *start;     /* [rows] −128·Σ codes */
  wn_als_code *block; /* [rows / WN_ALS_CODED] */
} wn_als_codes;

typedef struct wn_als_coded wn_als_coded;
wn_als_coded *wn_als_coded_new(void); /* NULL: out of memory */
void wn_als_coded_free(wn_als_coded *coded);
static inline size_t wn_als_code_groups(size_t d) {
  return (d + 3) / 4;
}
/* Of the fitted items; NULL: out of memory. */
const wn_als_codes *wn_als_codes_of(const wn_als *als);
/* Codes of x[d] into column `column` of a panel (wn_scan_panel). */
wn_als_code wn_als_code_query(const float *x, size_t d, size_t column, uint8_t *panel);
/* A product of at least `least` has a sum of codes of at least this. */
int32_t wn_als_code_least(const wn_als_code *query, const wn_als_code *block, float least);

/* > 0: that much on target 1; < 0: that much on target 0; 0: says nothing. */
float wn_als_confidence(const wn_als_head *head, float weight);
wn_status wn_als_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                     wn_model **out, wn_error *err);
/* The user vector of the query's history, or, when no item of it is known and there is no anchor,
 * of the user's attributes; *x stays NULL when nothing is known of these either. */
wn_status wn_als_fold_in(const wn_als *als, const wn_query *query, wn_arena *arena, const float **x,
                         wn_error *err);
wn_status wn_als_candidates_batch(const wn_model *model, const wn_query_batch *batch,
                                  wn_error *err); /* als_batch.c */
/* Users with a positive interaction. */
uint32_t wn_als_item_events(const wn_csr *by_item, wn_item_ix item);
/* Fits `attr` to the items with events among factors[items × d] and fills in the others' rows; does
 * nothing without a catalogue, or with lambda 0. */
wn_status wn_als_attr_fit(const wn_dataset *data, const wn_fit_env *env, double lambda, wn_als *als,
                          float *factors, wn_error *err);
/* out[d] from a content vector; false: none of its terms says anything. */
bool wn_als_attr_vector(const wn_als *als, const wn_term_weight *terms, size_t len, float *out);
/* The same for users without a history: als_users.c. Values of `factors`: [users × d]. */
wn_status wn_als_users_fit(const wn_dataset *data, const wn_fit_env *env, double lambda,
                           wn_als *als, const float *factors, wn_error *err);
/* out[d]; false: nothing that is known says anything. */
bool wn_als_user_vector(const wn_als *als, const wn_attrs *attrs, float *out);
wn_status wn_als_users_validate(const wn_als *als, wn_error *err);
/* Once the user factors are fitted: the eigenbasis of their Gram, in which items are solved. */
wn_status wn_als_live_fit(wn_als *als, wn_pool *pool, wn_error *err);
void wn_als_live_init(wn_als *als); /* once everything else is set */
void wn_als_live_clear(wn_als_live *live);
size_t wn_als_live_bytes(const wn_model *model); /* that events have grown */
void wn_als_update(wn_model *model, const wn_event *event, float weight);
void wn_als_forget(wn_model *model, wn_user_ix user);
wn_status wn_als_update_item(wn_model *model, wn_item_ix ix, const wn_item_record *item,
                             wn_error *err);
wn_status wn_als_bind(wn_model *model, const struct wn_models *set, wn_error *err);

/* The item's place among the live ones + 1; 0: it is as fitted. */
static inline uint32_t wn_als_live_at(const wn_als *als, wn_item_ix ix) {
  return ix < als->live.known ? als->live.at[ix] : 0;
}
/* The row of the fit that still counts; WN_NO_IX: none, or replaced by a live one. */
static inline uint32_t wn_als_fitted_row(const wn_als *als, wn_item_ix ix) {
  return ix < als->head.items && wn_als_live_at(als, ix) == 0 ? als->row_of[ix] : WN_NO_IX;
}
/* Its vector now; NULL: none. */
const float *wn_als_vector(const wn_als *als, wn_item_ix ix);
/* Offers the live items that the query allows: scores by inner product with x. */
void wn_als_offer_live(const wn_als *als, const wn_query *query, const float *x, wn_topk *top);
/* From now on candidates and neighbours come from `nearest`, which knows the fit's vectors and gets
 * the live ones here and as they change; it must outlive the model. Exclusive access. */
void wn_als_attach(wn_als *als, const wn_nearest *nearest);
/* An item has changed: tells `nearest`, and goes back to scanning when that cannot note it. */
void wn_als_tell(wn_als *als, uint32_t at);
/* als_snapshot.c */
wn_status wn_als_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err);
wn_status wn_als_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err);
wn_status wn_als_validate(const wn_model *model, wn_error *err);
/* Calloc that the model owns; NULL: out of memory. */
void *wn_als_own(wn_als *als, size_t count, size_t size);
void wn_als_free(wn_model *model);

#endif
