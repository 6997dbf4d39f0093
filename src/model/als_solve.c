/* One row of implicit-feedback ALS, exactly.
 *
 * Source: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), in
 * the form of Rendle et al., "Revisiting the Performance of iALS" (2021):
 *     (Σ |c|·h·hᵀ + α₀·HᵀH + λᵤ·I) x = Σ max(c, 0)·h,   λᵤ = λ(Σ|c| + α₀·rows)^ν.
 * With all c = 1, Σc = |Iᵤ| and this is the paper's; with weights Σ|c| is the natural count. An
 * entry with c < 0 was disliked: it costs |c|·(⟨h, x⟩ − 0)², as the unobserved ones do with α₀.
 *
 * Departure: HᵀH is diagonal here (als_fit.c rotates H), so D = α₀HᵀH + λᵤI is one, too. With
 * zᵢ = √|cᵢ|·D^(−½)hᵢ and tᵢ = √cᵢ (0 for c < 0) the solution is x = D^(−½)x' with
 *     primal, n > d:  (I + ZᵀZ) x' = Zᵀt          n·d²/2 + d³/6 multiply-adds
 *     dual,   n ≤ d:  x' = Zᵀa, (I + ZZᵀ) a = t   n²·d/2 + n³/6
 * Both matrices have pivots ≥ 1, so single precision is enough. With U the factor and y = U⁻ᵀ of
 * the right-hand side, the minimum itself is ⟨t, t⟩ − ‖y‖² or ‖y‖².
 *
 * Both are one kernel, a sum of outer products in registers: the primal adds panels of gathered
 * rows, the dual transposes what it gathers. Widths are padded with zeros, so that the padding's
 * unknowns are zero. Float throughout; deterministic. */
#include "model/als.h"
#include "base/rng.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define PLAIN_FLOATS                                                                               \
  6144            /* of rows that are added up where they lie: they stay in the nearest cache */
#define DEEP  256 /* the same for the dual's columns */
#define AHEAD 8   /* rows are scattered over memory: ask for them early */

static size_t padded(size_t n) {
  return (n + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD;
}

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

size_t wn_als_scratch_floats(size_t d, size_t n) {
  size_t width = padded(d), side = padded(n < d ? n : d), both = larger(width, side);
  size_t matrix = larger(n > d ? width * wn_simd_stride(width) : 0, side * wn_simd_stride(side));
  return WN_ALS_PANEL * wn_simd_stride(width) + width * wn_simd_stride(side) + matrix + width +
         WN_ALS_PANEL + 2 * both + WN_SIMD_PAD;
}

void wn_als_scratch_init(wn_als_scratch *scratch, size_t d, size_t n, float *memory) {
  size_t width = padded(d), side = padded(n < d ? n : d), both = larger(width, side);
  size_t lead = (size_t)(-(uintptr_t)memory / sizeof *memory) % WN_SIMD_PAD;
  scratch->after = NULL;
  scratch->after_len = 0;
  scratch->width = width;
  scratch->side = side;
  scratch->half = memory + lead;
  scratch->target = scratch->half + width;
  scratch->rhs = scratch->target + WN_ALS_PANEL;
  scratch->inverse = scratch->rhs + both;
  scratch->z = scratch->inverse + both;
  scratch->zt = scratch->z + WN_ALS_PANEL * wn_simd_stride(width);
  scratch->m = scratch->zt + width * wn_simd_stride(side);
}

static void prefetch(const wn_als_system *system, const wn_als_task *task, size_t at, size_t rows) {
  for (size_t i = at; i < at + rows && i < task->n; i++) {
    const float *row = system->factors + (size_t)task->col[i] * system->d;
    for (size_t k = 0; k < system->d; k += WN_SIMD_PAD) __builtin_prefetch(row + k);
  }
}

/* Scaled rows of the entries from *at on into z, and their targets t; up to `room` of them. Asks
 * for rows in time, those from `asked` on. */
static size_t gather(const wn_als_system *system, const wn_als_task *task, size_t *at, size_t room,
                     wn_als_scratch *s) {
  const wn_simd_table *simd = wn_simd();
  size_t d = system->d, stride = wn_simd_stride(s->width), n = 0;
  for (; *at < task->n && n < room; (*at)++) {
    if (*at + AHEAD >= s->asked) prefetch(system, task, *at + AHEAD, 1);
    float c = task->c[*at], root = sqrtf(fabsf(c));
    if (!(root > 0)) continue;
    s->target[n] = c > 0 ? root : 0;
    simd->scale_by(root, s->half, system->factors + (size_t)task->col[*at] * d, d,
                   s->z + n * stride);
    n++;
  }
  return n;
}

static double norm2(const float *x, size_t n) {
  double s = 0;
  for (size_t i = 0; i < n; i++) s += (double)x[i] * (double)x[i];
  return s;
}

static void add_to_diagonal(float *m, size_t n, size_t ld) {
  for (size_t i = 0; i < n; i++) m[i * ld + i] += 1.0f;
}

/* x' = Zᵀa into x; returns ⟨t, a⟩. */
static double solve_dual(const wn_als_system *system, const wn_als_task *task, wn_als_scratch *s) {
  const wn_simd_table *simd = wn_simd();
  size_t n = task->said, side = padded(n), ld = wn_simd_stride(side),
         stride = wn_simd_stride(s->width), at = 0;
  s->asked = 0;
  memset(s->rhs, 0, side * sizeof *s->rhs);
  memset(s->m, 0, side * ld * sizeof *s->m);
  for (size_t i = 0; i < side; i += WN_SIMD_PAD) {
    size_t got = gather(system, task, &at, WN_SIMD_PAD, s);
    memset(s->z + got * stride, 0, (WN_SIMD_PAD - got) * stride * sizeof *s->z);
    memcpy(s->rhs + i, s->target, got * sizeof *s->rhs);
    simd->transpose(s->z, stride, WN_SIMD_PAD, s->width, s->zt + i, ld);
  }
  for (size_t k = 0; k < system->d; k += DEEP) {
    size_t deep = system->d - k < DEEP ? system->d - k : DEEP;
    simd->syrk(&(wn_simd_rows){.data = s->zt + k * ld, .count = deep, .ld = ld}, side, s->m, ld);
  }
  add_to_diagonal(s->m, side, ld);
  simd->cholesky(s->m, side, ld, 1.0f, s->inverse);
  simd->upper_solve_transposed(s->m, side, ld, s->inverse, s->rhs);
  double least = norm2(s->rhs, n);
  simd->upper_solve(s->m, side, ld, s->inverse, s->rhs);
  simd->gemv(s->zt, system->d, ld, s->rhs, side, task->x);
  return least;
}

void wn_als_ask_for_panel(const wn_als_system *system, const wn_als_task *task, size_t at,
                          size_t count, const wn_als_scratch *s, wn_simd_rows *rows) {
  bool more = at < task->n;
  size_t left = more ? task->n - at : s->after_len;
  rows->next_of = system->factors;
  rows->next = more ? task->col + at : s->after;
  rows->next_count = left < count ? left : count;
  rows->next_width = system->d;
}

/* ZᵀZ into m, Zᵀt into rhs. */
static void add_scaled(const wn_als_system *system, const wn_als_task *task, wn_als_scratch *s) {
  const wn_simd_table *simd = wn_simd();
  size_t width = s->width, ld = wn_simd_stride(width);
  s->asked = 0;
  for (size_t at = 0; at < task->n;) {
    size_t got = gather(system, task, &at, WN_ALS_PANEL, s);
    wn_simd_rows rows = {.data = s->z, .count = got, .ld = ld};
    simd->combine(s->target, &rows, width, s->rhs);
    wn_als_ask_for_panel(system, task, at, WN_ALS_PANEL, s, &rows);
    s->asked = at + (at < task->n ? rows.next_count : 0);
    simd->syrk(&rows, width, s->m, ld);
  }
}

/* x of the system m, whose pivots are at least `least`, and of rhs; returns what the minimum is. */
static double solve_for(const wn_als_task *task, size_t d, float least, wn_als_scratch *s) {
  const wn_simd_table *simd = wn_simd();
  size_t width = s->width, ld = wn_simd_stride(width);
  simd->cholesky(s->m, width, ld, least, s->inverse);
  simd->upper_solve_transposed(s->m, width, ld, s->inverse, s->rhs);
  double minimum = task->liked - norm2(s->rhs, width);
  simd->upper_solve(s->m, width, ld, s->inverse, s->rhs);
  memcpy(task->x, s->rhs, d * sizeof *task->x);
  return minimum > 0 ? minimum : 0;
}

static void clear_system(wn_als_scratch *s) {
  memset(s->rhs, 0, s->width * sizeof *s->rhs);
  memset(s->m, 0, s->width * wn_simd_stride(s->width) * sizeof *s->m);
}

/* x' into x; returns ⟨t, t⟩ − ⟨Zᵀt, x'⟩. */
static double solve_primal(const wn_als_system *system, const wn_als_task *task,
                           wn_als_scratch *s) {
  clear_system(s);
  add_scaled(system, task, s);
  add_to_diagonal(s->m, s->width, wn_simd_stride(s->width));
  return solve_for(task, system->d, 1, s);
}

/* Where all c are 1 and rows are whole vectors they are added up where they lie, and the system is
 * not scaled: (Σ h·hᵀ + D) x = Σ h. Rounding of a Cholesky factor does not depend on scale. */
static double solve_plain(const wn_als_system *system, const wn_als_task *task, double ridge,
                          wn_als_scratch *s) {
  size_t d = system->d, ld = wn_simd_stride(d), count, panel = PLAIN_FLOATS / d;
  float least = INFINITY;
  clear_system(s);
  for (size_t at = 0; at < task->n; at += count) {
    count = task->n - at < panel ? task->n - at : panel;
    wn_simd_rows rows = {
        .data = system->factors, .count = count, .ld = d, .row = task->col + at, .sum = s->rhs};
    wn_als_ask_for_panel(system, task, at + count, panel, s, &rows);
    wn_simd()->syrk(&rows, d, s->m, ld);
  }
  for (size_t k = 0; k < d; k++) {
    float own = (float)(system->alpha0 * system->eigen[k] + ridge);
    s->m[k * ld + k] += own;
    least = own < least ? own : least;
  }
  return solve_for(task, d, least, s);
}

double wn_als_ridge(const wn_als_system *system, double sum) {
  return system->lambda * pow(sum + system->alpha0 * system->count, system->nu);
}

void wn_als_half(const wn_als_system *system, double ridge, float *out) {
  size_t d = system->d;
  for (size_t k = 0; k < d; k++) out[k] = (float)system->eigen[k];
  wn_simd()->rsqrt((float)system->alpha0, out, (float)ridge, d, out);
  for (size_t k = d; k < padded(d); k++) out[k] = 0;
}

double wn_als_unscale(const float *half, size_t d, float *x) {
  wn_simd()->scale_by(1, half, x, d / WN_SIMD_PAD * WN_SIMD_PAD, x);
  for (size_t k = d / WN_SIMD_PAD * WN_SIMD_PAD; k < d; k++) x[k] *= half[k];
  return (double)wn_simd()->dot(x, x, d);
}

wn_als_row wn_als_solve_task(const wn_als_system *system, const wn_als_task *task,
                             wn_als_scratch *scratch) {
  if (!(task->liked > 0)) {
    memset(task->x, 0, system->d * sizeof *task->x);
    return (wn_als_row){0, 0};
  }
  const size_t d = system->d;
  double ridge = wn_als_ridge(system, task->sum);
  wn_als_row row;
  if (wn_als_refines(system, task) && wn_als_solve_refined(system, task, ridge, scratch, &row))
    return row;
  if (task->plain && task->said > d && d == scratch->width) {
    row.loss = solve_plain(system, task, ridge, scratch);
    row.penalty = ridge * (double)wn_simd()->dot(task->x, task->x, d);
    return row;
  }
  wn_als_half(system, ridge, scratch->half);
  row.loss =
      task->said <= d ? solve_dual(system, task, scratch) : solve_primal(system, task, scratch);
  row.penalty = ridge * wn_als_unscale(scratch->half, d, task->x);
  return row;
}

wn_als_row wn_als_solve(const wn_als_system *system, const uint32_t *col, const float *c, size_t n,
                        wn_als_scratch *scratch, float *x) {
  wn_als_task task = {.col = col, .c = c, .n = n, .plain = true, .x = x};
  for (size_t i = 0; i < n; i++) {
    task.plain &= c[i] == 1.0f;
    task.said += fabsf(c[i]) > 0;
    task.sum += (double)fabsf(c[i]);
    task.liked += c[i] > 0 ? (double)c[i] : 0;
  }
  return wn_als_solve_task(system, &task, scratch);
}

void wn_als_init_row(uint64_t seed, uint32_t row, size_t d, double sigma, float *out) {
  wn_rng rng;
  wn_rng_seed(&rng, seed ^ wn_mix64(row + 1));
  for (size_t k = 0; k < d; k++) out[k] = (float)(sigma * wn_rng_normal(&rng));
}
