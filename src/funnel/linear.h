#ifndef WN_FUNNEL_LINEAR_H
#define WN_FUNNEL_LINEAR_H
/* A linear model of a surface's answers, with its doubt: what LinUCB and linear Thompson sampling
 * go by. */

#include "funnel/contest.h"
#include "funnel/stages.h"
#include "model/exposed.h"

/* What it sees of the best `len` candidates, [len]; their scores are as they stand now. */
WN_MUST_USE wn_status wn_linear_rows(const wn_funnel *funnel, size_t len, wn_context_row **out,
                                     wn_error *err);

typedef struct wn_linear_fit {
  double lower[WN_LINEAR][WN_LINEAR]; /* Cholesky factor of A = I + Σ x xᵀ */
  double weight[WN_LINEAR];           /* A⁻¹ b */
} wn_linear_fit;
void wn_linear_solve(const wn_linear *sums, wn_linear_fit *out);
/* Mean and deviation `width` · √(xᵀ A⁻¹ x) of the answer to x. */
wn_belief wn_linear_belief(const wn_linear_fit *ridge, const wn_context_row *x, double width);

#endif
