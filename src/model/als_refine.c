/* Rows of ALS by a system whose Gram is made of rounded factors, and refinement.
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
 * A row with n ≤ d interactions has the dual's system instead (als_solve.c), K̂ = I + ẐẐᵀ for
 * rounded z = D^(−½)h, and a step is
 *     δ = K̂⁻¹ρ,   a ← a + δ,   x ← x + D⁻¹Σ δᵢhᵢ,   ρ = 1 − a − Hx
 * from a = 0, x = 0: three passes over the row's vectors in all, and nothing is transposed but
 * pairs of rounded numbers.
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

static size_t padded(size_t n) {
  return (n + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD;
}

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

/* x ← Â⁻¹x, or by K̂, of n unknowns */
static void solve_system(const wn_als_scratch *s, size_t n, float *x) {
  const wn_simd_table *simd = wn_simd();
  simd->upper_solve_transposed(s->m, n, wn_simd_stride(n), s->inverse, x);
  simd->upper_solve(s->m, n, wn_simd_stride(n), s->inverse, x);
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
    solve_system(s, d, r);
    wn_simd()->axpy(1, r, x, d);
    double now = length(r, d);
    if (now * now <= ENOUGH * last * length(x, d)) return true;
    last = now;
  }
  return false;
}

/* K̂ into m, factored. */
static void make_dual(const wn_als_system *system, const wn_als_task *task, wn_als_scratch *s) {
  const size_t d = system->d, side = padded(task->n), ld = wn_simd_stride(side);
  const size_t most = 2 * PACKED / ld / (2 * WN_SIMD_PAD) * 2 * WN_SIMD_PAD;
  const size_t panel = most > 2 * WN_SIMD_PAD ? most : 2 * WN_SIMD_PAD;
  memset(s->m, 0, side * ld * sizeof *s->m);
  wn_simd_rows rows = {.count = task->n, .ld = d, .row = task->col};
  wn_als_ask_for_panel(system, task, task->n, task->n, s, &rows);
  for (size_t k = 0; k < d; k += panel) {
    rows.data = system->factors + k;
    wn_simd_gram_rounded()(&rows, s->half + k, d - k < panel ? d - k : panel,
                           (uint32_t *)(void *)s->zt, s->m, ld);
    rows.next_count = 0;
  }
  for (size_t i = 0; i < side; i++) s->m[i * ld + i] += 1;
  wn_simd()->cholesky(s->m, side, ld, 1, s->inverse);
}

/* x and a, which is left in s->z; D⁻¹ lies in s->half. */
static bool refine_dual(const wn_als_system *system, const wn_als_task *task, wn_als_scratch *s) {
  const size_t d = system->d, n = task->n, side = padded(n);
  const wn_simd_rows rows = {.data = system->factors, .count = n, .ld = d, .row = task->col};
  const wn_simd_gather all = {.of = system->factors, .width = d, .row = task->col, .count = n};
  float *x = task->x, *a = s->z, *rest = s->rhs, *moved = s->zt;
  double last = 0;
  memset(a, 0, n * sizeof *a);
  memset(x, 0, d * sizeof *x);
  for (size_t i = 0; i < side; i++) rest[i] = i < n ? 1 : 0;
  for (int step = 0; step <= STEPS; step++) {
    solve_system(s, side, rest);
    wn_simd()->axpy(1, rest, a, n);
    memset(moved, 0, d * sizeof *moved);
    wn_simd()->combine(rest, &rows, d, moved);
    for (size_t k = 0; k < d; k++) x[k] += s->half[k] * moved[k];
    double now = length(rest, n);
    if (step > 0 && now * now <= ENOUGH * last * length(a, n)) return true;
    last = now;
    wn_simd()->dots(&all, x, rest);
    for (size_t i = 0; i < n; i++) rest[i] = 1 - a[i] - rest[i];
  }
  return false;
}

static bool solve_dual(const wn_als_system *system, const wn_als_task *task, double ridge,
                       wn_als_scratch *s, wn_als_row *row) {
  wn_als_half(system, ridge, s->half);
  make_dual(system, task, s);
  for (size_t k = 0; k < system->d; k++) s->half[k] *= s->half[k];
  if (!refine_dual(system, task, s)) return false;
  row->loss = 0;
  for (size_t i = 0; i < task->n; i++) row->loss += (double)s->z[i];
  row->penalty = ridge * (double)wn_simd()->dot(task->x, task->x, system->d);
  return true;
}

bool wn_als_solve_refined(const wn_als_system *system, const wn_als_task *task, double ridge,
                          wn_als_scratch *s, wn_als_row *row) {
  const size_t d = system->d, ld = wn_simd_stride(d);
  if (task->n <= d) return solve_dual(system, task, ridge, s, row);
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
  solve_system(s, d, task->x);
  if (!refine(system, task, s)) return false;
  double loss = task->liked - (double)wn_simd()->dot(s->rhs, task->x, d);
  row->loss = loss > 0 ? loss : 0;
  row->penalty = ridge * (double)wn_simd()->dot(task->x, task->x, d);
  return true;
}
