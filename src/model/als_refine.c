/* Long rows of ALS by a system whose Gram is made of rounded factors, and refinement.
 *
 * Source: Langou et al., "Exploiting the Performance of 32 Bit Floating Point Arithmetic in
 * Obtaining 64 Bit Accuracy" (2006); Higham, Mary, "Mixed Precision Algorithms in Numerical Linear
 * Algebra" (2022), section 5. Here the lower precision is bfloat16, the higher one float. The Gram
 * is nearly all of a row's work, n·d²/2 multiply-adds, and bfloat16 has twice as many an
 * instruction. With Â = Σ ĥ·ĥᵀ + D for rounded ĥ, which is as definite as the true A, a step is
 *     r = Σ h·(1 − ⟨h, x⟩) − Dx,   x ← x + Â⁻¹r
 * with r by the factors as they are: 2·n·d multiply-adds. The error shrinks by a constant each
 * step, about the size of the first correction against x (some 10⁻³), so one is nearly always
 * enough for what floats can say. Where three are not, the row is solved without rounding.
 *
 * Departure: the stopping rule estimates that constant by the last two corrections. Float, the
 * objective by double sums; deterministic. */
#include "model/als.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define STEPS  3    /* of refinement, then it is given up */
#define ENOUGH 1e-6 /* error of x against its length */
#define WIDE   96   /* factors from which half a Gram saves more than a pass over the rows costs */
#define PACKED 8192 /* pairs of a panel: 32 KB */

bool wn_als_refines(const wn_als_system *system, const wn_als_task *task) {
  return task->plain && system->d >= WIDE && system->d % WN_SIMD_PAD == 0 &&
         wn_simd_syrk_rounded() != NULL;
}

/* Σ ĥ·ĥᵀ into m, Σ h into rhs. */
static void add_up(const wn_als_system *system, const wn_als_task *task, wn_als_scratch *s) {
  const size_t d = system->d, most = 2 * PACKED / d;
  const size_t panel = most < 2 * WN_ALS_PANEL ? most : 2 * WN_ALS_PANEL;
  for (size_t at = 0, count; at < task->n; at += count) {
    count = task->n - at < panel ? task->n - at : panel;
    wn_simd_rows rows = {
        .data = system->factors, .count = count, .ld = d, .row = task->col + at, .sum = s->rhs};
    wn_als_ask_for_panel(system, task, at + count, panel, s, &rows);
    wn_simd_syrk_rounded()(&rows, d, (uint32_t *)(void *)s->z, s->m, wn_simd_stride(d));
  }
}

/* x ← Â⁻¹x */
static void solve(const wn_als_scratch *s, size_t d, float *x) {
  const wn_simd_table *simd = wn_simd();
  simd->upper_solve_transposed(s->m, d, wn_simd_stride(d), s->inverse, x);
  simd->upper_solve(s->m, d, wn_simd_stride(d), s->inverse, x);
}

static double length(const float *x, size_t d) {
  return sqrt((double)wn_simd()->dot(x, x, d));
}

/* x ← x + Â⁻¹(Σ h − Ax) until that is nothing; D lies in s->half. */
static bool refine(const wn_als_system *system, const wn_als_task *task, wn_als_scratch *s) {
  const size_t d = system->d;
  const wn_simd_gather rows = {system->factors, d, task->col, task->c, task->c, task->n};
  float *x = task->x, *r = s->zt;
  double last = length(x, d);
  for (int step = 0; step < STEPS; step++) {
    for (size_t k = 0; k < d; k++) r[k] = -s->half[k] * x[k];
    wn_simd()->normal(&rows, x, r, NULL);
    solve(s, d, r);
    wn_simd()->axpy(1, r, x, d);
    double now = length(r, d);
    if (now * now <= ENOUGH * last * length(x, d)) return true;
    last = now;
  }
  return false;
}

bool wn_als_solve_refined(const wn_als_system *system, const wn_als_task *task, double ridge,
                          wn_als_scratch *s, wn_als_row *row) {
  const size_t d = system->d, ld = wn_simd_stride(d);
  float least = INFINITY;
  memset(s->rhs, 0, d * sizeof *s->rhs);
  memset(s->m, 0, d * ld * sizeof *s->m);
  add_up(system, task, s);
  for (size_t k = 0; k < d; k++) {
    s->half[k] = (float)(system->alpha0 * system->eigen[k] + ridge);
    s->m[k * ld + k] += s->half[k];
    least = s->half[k] < least ? s->half[k] : least;
  }
  wn_simd()->cholesky(s->m, d, ld, least, s->inverse);
  memcpy(task->x, s->rhs, d * sizeof *task->x);
  solve(s, d, task->x);
  if (!refine(system, task, s)) return false;
  double loss = task->liked - (double)wn_simd()->dot(s->rhs, task->x, d);
  row->loss = loss > 0 ? loss : 0;
  row->penalty = ridge * (double)wn_simd()->dot(task->x, task->x, d);
  return true;
}
