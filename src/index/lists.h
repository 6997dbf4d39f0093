#ifndef WN_INDEX_LISTS_H
#define WN_INDEX_LISTS_H
/* Rows laid out in lists and blocks, and what a block's scores can be at most.
 *
 * ip, cosine: a row x of a list with unit direction c is a·c + e with e ⊥ c; a query likewise is
 * (q·c)·c + q⊥. So q·x = a(q·c) + q⊥·e ≤ a(q·c) + ‖q⊥‖‖e‖. A block knows its greatest and least a
 * (high, low) and its greatest ‖e‖ (rest). l2: with D = ‖q − c‖ and ρ = ‖x − c‖,
 * −‖q − x‖² ≤ −(D − ρ)², and a block knows its greatest and least ρ (high, low).
 *
 * These are bounds. In many dimensions q⊥·e is far below its bound, by √dims where directions are
 * random: with a factor kappa < 1 before that product the bound becomes an estimate, and kappa says
 * how careful a search is. kappa = 1 is exact; what recall asks for is measured at build (tune.c).
 */

#include "index/codes.h"

typedef struct wn_base_task {
  const float *rows; /* [ids · dims] */
  uint32_t ids, dims;
  const wn_axes *axes;
  const uint64_t *present; /* bits; NULL: all */
  wn_metric metric;
  const wn_tiers *tiers;
  uint32_t lists;        /* of all tiers */
  const float *centres;  /* [lists · dims] row-major; 0 for a flat index */
  const uint32_t *known; /* [ids] a row's list where it is known, else WN_NO_ID; may be NULL */
  wn_pool *pool;
} wn_base_task;
/* The base without its rows: `rows` and `own_rows` are the caller's to set. What tuning finds stays
 * 0. */
WN_MUST_USE wn_status wn_base_build(const wn_base_task *task, wn_base **out, wn_error *err);

/* What a list is to a query. */
typedef struct wn_list_view {
  float along;  /* q·c; l2: D */
  float across; /* ‖q⊥‖; l2: D² */
} wn_list_view;

/* Rounding in these sums is below this share of ‖q‖‖x‖. */
#define WN_BOUND_SLACK 4e-5f

/* Of an l2 bound, in the probe's slacks. */
#define WN_L2_SLACK 40

/* The most that a row of the block may score, kappa of the way; `slack` is 0 but for l2. */
static inline float wn_block_bound(const wn_bound *block, bool l2, wn_list_view view, float kappa,
                                   float slack) {
  if (!l2) {
    float a = view.along > 0 ? block->high : block->low;
    return a * view.along + kappa * block->rest * view.across;
  }
  float peak = kappa * view.along;
  float rho = peak > block->high ? block->high : peak < block->low ? block->low : peak;
  return 2 * peak * rho - rho * rho - view.across + slack;
}

#endif
