#ifndef WN_MODEL_RIDGE_H
#define WN_MODEL_RIDGE_H
/* Inside of the closed-form regressions of items on items: the users' rows and what pairs of their
 * entries weigh (ridge_rows.c), the Gram matrix and the local solves (ridge_fit.c), the classes
 * ridge and ridge-seq (ridge.c) and ease (ease.c). */

#include "model/model.h"

/* When an entry of a row is a source, and for which of the row's later entries. Places are relative
 * to the row. With θ the row's clock, a source p weighs max(exp(θₚ − θₜ), floor) on the target t.
 */
typedef struct wn_ridge_clock {
  double at;       /* θ */
  double one, two; /* Σ exp(θ − θₜ) and Σ exp(2(θ − θₜ)) over t from this entry on */
  double far;      /* Σ over this entry's targets, the partner being at the floor throughout */
  uint32_t next;   /* first target: the first entry with a later time; the row's length: none */
  uint32_t low;    /* first target on which it weighs no more than the floor, ≥ next */
} wn_ridge_clock;

typedef struct wn_ridge_place {
  uint32_t user;
  uint32_t at; /* within the user's row */
} wn_ridge_place;

typedef struct wn_ridge_rows_options {
  double power;         /* x = weight^power, scaled to a mean square of 1 */
  double user_exponent; /* each row times (its length)^−user_exponent */
  uint32_t row_max;     /* newest positive entries of a user that count */
  bool ordered;         /* what comes next, rather than what is together */
  double tau, hours;    /* of the clock: steps and hours to 1/e; hours 0: steps alone */
  double floor;
} wn_ridge_rows_options;

/* Positive entries, oldest first. Items are numbered by rising count (ties: by index), so that a
 * pair is found in the short row of its rarer item. */
typedef struct wn_ridge_rows {
  uint32_t users, items; /* items: those with an entry */
  uint64_t *user_ptr;    /* [users + 1] */
  uint32_t *item;        /* number, not index */
  float *value;          /* > 0 */
  wn_ridge_clock *clock; /* NULL: not ordered */
  double floor;
  uint64_t *item_ptr; /* [items + 1] where each item occurs, users ascending */
  wn_ridge_place *where;
  uint32_t *item_of; /* [items] number → index */
} wn_ridge_rows;

/* Memory: 16 bytes an entry, 40 more when ordered, 20 an item. */
WN_MUST_USE wn_status wn_ridge_rows_build(const wn_dataset *data,
                                          const wn_ridge_rows_options *options, wn_ridge_rows *out,
                                          wn_error *err);
void wn_ridge_rows_clear(wn_ridge_rows *rows);

/* Sums by item, as they are gathered. */
typedef struct wn_ridge_sums {
  float *sum;        /* [items], 0 between uses */
  uint32_t *touched; /* [items] */
  size_t len;
} wn_ridge_sums;

/* The entries of G's row i at and above the diagonal: sums of the items numbered ≥ i. */
void wn_ridge_gram_row(const wn_ridge_rows *rows, uint32_t i, wn_ridge_sums *out);
/* K's column j without its own entry: how much each source foretells j. */
void wn_ridge_target(const wn_ridge_rows *rows, uint32_t j, wn_ridge_sums *out);

/* Weights by source item, targets ascending. */
typedef struct wn_ridge_weights {
  uint64_t *row_ptr; /* [items + 1], items of the dataset */
  uint32_t *col;
  float *weight; /* finite, not 0 */
} wn_ridge_weights;

typedef struct wn_ridge_solve_options {
  const char *stage; /* of the progress */
  uint32_t k;        /* sources of a target at most */
  double lambda;
} wn_ridge_solve_options;

/* For each target its k best sources S and (G_SS + λI)⁻¹ K_Sj. `items`: of the dataset. Memory: 8
 * bytes a pair of items that a user has together, 8·k an item with entries, twice that for an
 * instant at the end; 12 an item and 4·k² a thread. */
WN_MUST_USE wn_status wn_ridge_solve(const wn_ridge_rows *rows, uint32_t items,
                                     const wn_ridge_solve_options *options, const wn_fit_env *env,
                                     wn_ridge_weights *out, wn_error *err);
void wn_ridge_weights_clear(wn_ridge_weights *weights);

#endif
