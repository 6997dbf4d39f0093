/* Long rows of ALS by a few steps of preconditioned conjugate gradients.
 *
 * Source: Takács, Pilászy, Tikk, "Applications of the Conjugate Gradient Method for Implicit
 * Feedback Collaborative Filtering" (2011). Departures: HᵀH is diagonal here (als_fit.c), so that a
 * step costs 2·n·d multiply-adds and no d²; the preconditioner is the whole diagonal, D + Σ|c|·h∘h,
 * which with a diagonal D is most of the matrix; the start is the row's last solution, in today's
 * basis.
 *
 * By counted cost (wn_als_pcg_pays) two steps are worth it from about d 256 for rows of more than d
 * entries, and from some 350 entries where there are fewer than d.
 *
 * Each step lowers the row's objective, so an epoch lowers the whole. Float, sums in double;
 * deterministic. Costs steps + 1 passes over the row's n·d numbers. */
#include "model/als.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

static size_t padded(size_t n) {
  return (n + WN_SIMD_PAD - 1) / WN_SIMD_PAD * WN_SIMD_PAD;
}

/* Multiply-adds count as many units as they take longer than those of the product kernels. A pass
 * over a row's vectors waits for memory: 6.4 and 6.8 of them a nanosecond at d 64 and 128 where
 * products do 43 and 45 (AVX-512, 20 million interactions). */
#define PASS_UNITS 7.0

bool wn_als_pcg_pays(size_t d, size_t n, int steps) {
  double wide = (double)d, rows = (double)n;
  double exact = n <= d ? rows * rows * wide / 2 + rows * rows * rows / 6
                        : rows * wide * wide / 2 + wide * wide * wide / 6;
  double passes = 2 * steps + 3; /* two products a step; the start and the preconditioner: three */
  return 2 * PASS_UNITS * passes * rows * wide < exact;
}

/* Vectors of d floats. */
typedef struct pcg {
  float *diagonal; /* D */
  float *inverse;  /* of the preconditioner */
  float *r, *p, *q;
} pcg;

size_t wn_als_pcg_floats(size_t d, size_t n) {
  return 5 * padded(d) + 2 * n;
}

static double dot(const float *a, const float *b, size_t d) {
  return (double)wn_simd()->dot(a, b, d);
}

/* z = M⁻¹r into q; returns ⟨r, z⟩. */
static double precondition(const pcg *s, size_t d) {
  for (size_t k = 0; k < d; k++) s->q[k] = s->inverse[k] * s->r[k];
  return dot(s->r, s->q, d);
}

/* r = b − Ax and the preconditioner; returns the row's objective at x. */
static double begin(const wn_als_system *system, const wn_simd_gather *rows, double liked,
                    double ridge, const float *x, pcg *s) {
  size_t d = system->d;
  double sum = liked;
  for (size_t k = 0; k < d; k++) {
    s->diagonal[k] = (float)(system->alpha0 * system->eigen[k] + ridge);
    s->inverse[k] = s->diagonal[k];
    s->r[k] = -s->diagonal[k] * x[k];
    sum -= (double)s->r[k] * (double)x[k];
  }
  sum += wn_simd()->normal(rows, x, s->r, s->inverse);
  for (size_t k = 0; k < d; k++) s->inverse[k] = 1.0f / s->inverse[k];
  return sum;
}

/* q = Ap */
static void multiply(const wn_simd_gather *rows, size_t d, pcg *s) {
  memset(s->q, 0, d * sizeof *s->q);
  wn_simd()->normal(rows, s->p, s->q, NULL);
  for (size_t k = 0; k < d; k++) s->q[k] = s->diagonal[k] * s->p[k] - s->q[k];
}

wn_als_row wn_als_solve_pcg(const wn_als_system *system, const wn_als_task *task, int steps,
                            float *memory) {
  const wn_simd_table *simd = wn_simd();
  size_t d = system->d, width = padded(d);
  pcg s = {memory, memory + width, memory + 2 * width, memory + 3 * width, memory + 4 * width};
  float *weight = memory + 5 * width, *target = weight + task->n, *x = task->x;
  wn_simd_gather rows = {system->factors, d, task->col, weight, target, task->n};
  for (size_t i = 0; i < task->n; i++) {
    weight[i] = fabsf(task->c[i]);
    target[i] = fmaxf(task->c[i], 0);
  }
  double ridge = wn_als_ridge(system, task->sum);
  double loss = begin(system, &rows, task->liked, ridge, x, &s), rz = precondition(&s, d);
  rows.target = NULL;
  memcpy(s.p, s.q, d * sizeof *s.p);
  for (int step = 0; step < steps && rz > 0; step++) {
    multiply(&rows, d, &s);
    double curve = dot(s.p, s.q, d);
    if (!(curve > 0)) break;
    float alpha = (float)(rz / curve);
    simd->axpy(alpha, s.p, x, d);
    loss -= (double)alpha * rz;
    if (step + 1 == steps) break;
    simd->axpy(-alpha, s.q, s.r, d);
    double before = rz;
    rz = precondition(&s, d);
    simd->scale((float)(rz / before), s.p, d);
    simd->axpy(1, s.q, s.p, d);
  }
  return (wn_als_row){loss > 0 ? loss : 0, ridge * dot(x, x, d)};
}
