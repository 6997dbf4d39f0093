#ifndef WN_FUNNEL_DPP_H
#define WN_FUNNEL_DPP_H
/* What a set still lacks: greedy maximisation of ln det of the similarities of what was chosen
 * (determinantal point process, MAP). Chen, Zhang and Zhou, "Fast Greedy MAP Inference for DPP",
 * NeurIPS 2018: each entry keeps its row of the chosen set's Cholesky factor, so that a step costs
 * one product with it; the window is their sliding variant. */

#include "base/arena.h"

typedef struct wn_dpp {
  size_t len;      /* entries */
  size_t window;   /* only the last `window` chosen ones count */
  size_t depth;    /* chosen ones that count now */
  size_t *chosen;  /* [window] oldest first */
  float *rows;     /* [window × len] their similarities */
  float *basis;    /* [window × len] columns of the factor */
  float *variance; /* [len] what the chosen ones leave unexplained of an entry, of 1 */
} wn_dpp;

/* Memory: 4·len·(2·window + 1) bytes of the arena. window ≥ 2. False: out of memory. */
WN_MUST_USE bool wn_dpp_init(wn_dpp *dpp, size_t len, size_t window, wn_arena *arena);
/* Chooses `entry`; row[len]: its similarities with all, −1 … 1, 1 with itself; the matrix is taken
 * to be positive semidefinite. O(len · depth); once the window is full O(len · window²). */
void wn_dpp_choose(wn_dpp *dpp, size_t entry, const float *row);
/* ln variance: what choosing the entry would add to ln det; ln 1e-6 … 0. */
float wn_dpp_gain(const wn_dpp *dpp, size_t entry);

#endif
