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
 * Both matrices have pivots ≥ 1, so single precision is enough. The minimum itself is
 * ⟨t, t⟩ − ⟨Zᵀt, x'⟩ = ⟨t, a⟩. Float throughout; deterministic. */
#include "model/als.h"
#include "model/linalg.h"
#include "base/rng.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

size_t wn_als_scratch_floats(size_t d, size_t n) {
  size_t side = n < d ? n : d;
  return side * d + side * side + 3 * d;
}

void wn_als_scratch_init(wn_als_scratch *scratch, size_t d, size_t n, float *memory) {
  size_t side = n < d ? n : d;
  scratch->z = memory;
  scratch->m = scratch->z + side * d;
  scratch->half = scratch->m + side * side;
  scratch->rhs = scratch->half + d;
  scratch->work = scratch->rhs + d;
}

/* out = root · half ∘ h */
static void scale_row(const float *h, const float *half, float root, size_t d, float *out) {
  for (size_t k = 0; k < d; k++) out[k] = root * half[k] * h[k];
}

#define AHEAD 4 /* rows are scattered over memory: ask for them early */

static void prefetch_row(const wn_als_system *system, const uint32_t *col, size_t i, size_t n) {
  if (i + AHEAD >= n) return;
  const float *row = system->factors + (size_t)col[i + AHEAD] * system->d;
  for (size_t k = 0; k < system->d; k += 16) __builtin_prefetch(row + k);
}

/* x' = Zᵀa into x; returns ⟨t, a⟩. */
static double solve_dual(const wn_als_system *system, const uint32_t *col, const float *c,
                         size_t entries, wn_als_scratch *s, float *x) {
  const wn_simd_table *simd = wn_simd();
  size_t d = system->d, n = 0;
  for (size_t i = 0; i < entries; i++) {
    prefetch_row(system, col, i, entries);
    if (!(fabsf(c[i]) > 0)) continue;
    float root = sqrtf(fabsf(c[i]));
    s->rhs[n] = c[i] > 0 ? root : 0;
    scale_row(system->factors + (size_t)col[i] * d, s->half, root, d, s->z + n * d);
    n++;
  }
  for (size_t i = 0; i < n; i++) {
    float *row = s->m + i * n;
    simd->gemv(s->z, i + 1, d, s->z + i * d, d, row);
    row[i] += 1.0f;
  }
  wn_cholesky(s->m, n, n, 1.0f, s->work);
  memcpy(s->work, s->rhs, n * sizeof *s->work);
  wn_cholesky_solve(s->m, n, n, s->work);
  double least = 0;
  memset(x, 0, d * sizeof *x);
  for (size_t i = 0; i < n; i++) {
    simd->axpy(s->work[i], s->z + i * d, x, d);
    least += (double)s->rhs[i] * (double)s->work[i];
  }
  return least;
}

/* x' into x; returns ⟨t, t⟩ − ⟨Zᵀt, x'⟩. */
static double solve_primal(const wn_als_system *system, const uint32_t *col, const float *c,
                           size_t entries, wn_als_scratch *s, float *x) {
  const wn_simd_table *simd = wn_simd();
  size_t d = system->d;
  double least = 0;
  memset(s->m, 0, d * d * sizeof *s->m);
  for (size_t k = 0; k < d; k++) s->m[k * d + k] = 1.0f;
  memset(x, 0, d * sizeof *x);
  for (size_t i = 0; i < entries; i++) {
    prefetch_row(system, col, i, entries);
    if (!(fabsf(c[i]) > 0)) continue;
    float root = sqrtf(fabsf(c[i]));
    scale_row(system->factors + (size_t)col[i] * d, s->half, root, d, s->z);
    simd->syr(1.0f, s->z, d, s->m, d);
    if (!(c[i] > 0)) continue;
    simd->axpy(root, s->z, x, d);
    least += (double)c[i];
  }
  memcpy(s->rhs, x, d * sizeof *x);
  wn_cholesky(s->m, d, d, 1.0f, s->work);
  wn_cholesky_solve(s->m, d, d, x);
  for (size_t k = 0; k < d; k++) least -= (double)s->rhs[k] * (double)x[k];
  return least > 0 ? least : 0;
}

wn_als_row wn_als_solve(const wn_als_system *system, const uint32_t *col, const float *c, size_t n,
                        wn_als_scratch *scratch, float *x) {
  size_t d = system->d, entries = 0;
  bool positive = false;
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    entries += fabsf(c[i]) > 0;
    positive |= c[i] > 0;
    sum += (double)fabsf(c[i]);
  }
  if (!positive) {
    memset(x, 0, d * sizeof *x);
    return (wn_als_row){0, 0};
  }
  double ridge = system->lambda * pow(sum + system->alpha0 * system->count, system->nu);
  for (size_t k = 0; k < d; k++) {
    scratch->half[k] = (float)(1.0 / sqrt(system->alpha0 * system->eigen[k] + ridge));
  }
  wn_als_row row;
  row.loss = entries <= d ? solve_dual(system, col, c, n, scratch, x)
                          : solve_primal(system, col, c, n, scratch, x);
  double norm = 0;
  for (size_t k = 0; k < d; k++) {
    x[k] *= scratch->half[k];
    norm += (double)x[k] * (double)x[k];
  }
  row.penalty = ridge * norm;
  return row;
}

void wn_als_init_row(uint64_t seed, uint32_t row, size_t d, double sigma, float *out) {
  wn_rng rng;
  wn_rng_seed(&rng, seed ^ wn_mix64(row + 1));
  for (size_t k = 0; k < d; k++) out[k] = (float)(sigma * wn_rng_normal(&rng));
}
