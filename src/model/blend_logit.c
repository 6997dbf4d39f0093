/* Conditional logit (McFadden 1974) with logarithms of the members' scores as features:
 *
 *   P(j taken at a moment) = exp(Σₘ wₘ·xₘ(j)) / Σᵢ exp(Σₘ wₘ·xₘ(i)),  wₘ ≥ 0,
 *
 * i and j in the union of the moment's lists: a product of experts (Hinton, Neural Computation
 * 2002), a logarithmic opinion pool. Minus the log-likelihood is convex, so there is one optimum
 * and it does not hang on rounding; several items taken at one moment share its vote. A normal
 * prior of unit variance keeps weights finite where a member is always right, and is worth nothing
 * beside thousands of moments.
 *
 * Newton's method: the quadratic model is minimised under wₘ ≥ 0 by coordinate descent, then the
 * step is halved until the likelihood grows as it should. Five to ten steps.
 *
 * Cost of a step: moments · (members² · depth / 2 + candidates). Memory: a Hessian for each
 * BLOCK moments and two rows of candidates a thread. Deterministic for any number of threads:
 * blocks are summed in their order. */
#include "model/blend_weights.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define BLOCK   16 /* moments whose sums are kept as one */
#define PRIOR   1.0
#define STEPS   30
#define SWEEPS  200
#define ENOUGH  1e-9 /* of the likelihood, for a step to be worth taking */
#define HALVING 20

/* Of some moments: minus the log-likelihood, its gradient, its Hessian's upper triangle by rows. */
typedef struct sums {
  double loss, *gradient, *hessian;
} sums;

typedef struct fit {
  const wn_blend_lists *lists;
  const wn_blend_part *part;
  size_t width, blocks;
  const float *weight;
  bool curved;   /* gradient and Hessian are wanted, too */
  double *block; /* [blocks × width] */
  float *room;   /* [threads × 2 × candidates] */
} fit;

static sums sums_at(double *at, size_t members) {
  return (sums){at[0], at + 1, at + 1 + members};
}

/* Σₘ weight[m] · log. */
static void add_up(const wn_blend_lists *l, const float *weight, size_t at, float *sum) {
  memset(sum, 0, l->slots[at] * sizeof *sum);
  for (uint32_t m = 0; m < l->members; m++) {
    const wn_blend_entry *list = wn_blend_entries(l, m, at);
    size_t len = weight[m] > 0 ? *wn_blend_len(l, m, at) : 0;
    for (size_t p = 0; p < len; p++) sum[list[p].slot] += weight[m] * list[p].log;
  }
}

/* sum becomes the chance of each candidate. Returns the logarithm of what they were divided by. */
static double normalise(float *sum, size_t n) {
  float most = sum[0];
  double all = 0;
  for (size_t i = 1; i < n; i++) most = fmaxf(most, sum[i]);
  for (size_t i = 0; i < n; i++) {
    sum[i] = expf(sum[i] - most);
    all += (double)sum[i];
  }
  for (size_t i = 0; i < n; i++) sum[i] = (float)((double)sum[i] / all);
  return (double)most + log(all);
}

/* What member m says of the candidates; of all others 0. */
static void scatter(const wn_blend_lists *l, uint32_t m, size_t at, float *says) {
  const wn_blend_entry *list = wn_blend_entries(l, m, at);
  memset(says, 0, l->slots[at] * sizeof *says);
  for (size_t p = 0; p < *wn_blend_len(l, m, at); p++) says[list[p].slot] = list[p].log;
}

static double expected(const wn_blend_lists *l, uint32_t m, size_t at, const float *of) {
  const wn_blend_entry *list = wn_blend_entries(l, m, at);
  double sum = 0;
  for (size_t p = 0; p < *wn_blend_len(l, m, at); p++)
    sum += (double)(list[p].log * of[list[p].slot]);
  return sum;
}

/* E[x] less the mean of what was taken; E[x xᵀ] − E[x] E[x]ᵀ. */
static void add_curve(const fit *f, size_t at, const float *chance, float *says, double *out) {
  const wn_blend_lists *l = f->lists;
  size_t targets = wn_blend_found(l, at), h = 0;
  sums of = sums_at(out, l->members);
  double mean[WN_MODELS_MAX];
  for (uint32_t m = 0; m < l->members; m++) mean[m] = expected(l, m, at, chance);
  for (uint32_t m = 0; m < l->members; m++) {
    scatter(l, m, at, says);
    of.gradient[m] += mean[m];
    for (size_t t = 0; t < targets; t++)
      of.gradient[m] -= (double)says[l->target[at][t]] / (double)targets;
    for (uint32_t i = 0; i < l->slots[at]; i++) says[i] *= chance[i];
    for (uint32_t n = m; n < l->members; n++)
      of.hessian[h++] += expected(l, n, at, says) - mean[m] * mean[n];
  }
}

static void add_moment(const fit *f, size_t at, float *room, double *out) {
  const wn_blend_lists *l = f->lists;
  size_t targets = wn_blend_found(l, at);
  float *sum = room, *says = room + wn_blend_candidates_max(l);
  if (l->slots[at] == 0 || targets == 0) return;
  add_up(l, f->weight, at, sum);
  double taken = 0;
  for (size_t t = 0; t < targets; t++) taken += (double)sum[l->target[at][t]];
  out[0] += normalise(sum, l->slots[at]) - taken / (double)targets;
  if (f->curved) add_curve(f, at, sum, says, out);
}

static void add_blocks(void *ctx, size_t begin, size_t end, int worker) {
  const fit *f = ctx;
  float *room = f->room + (size_t)worker * 2 * wn_blend_candidates_max(f->lists);
  for (size_t b = begin; b < end; b++) {
    double *out = f->block + b * f->width;
    size_t from = b * BLOCK, to = from + BLOCK < f->part->len ? from + BLOCK : f->part->len;
    memset(out, 0, f->width * sizeof *out);
    for (size_t i = from; i < to; i++) add_moment(f, f->part->at[i], room, out);
  }
}

/* All blocks and the prior, into the first block. Returns the loss. */
static double evaluate(fit *f, const float *weight, bool curved) {
  uint32_t members = f->lists->members;
  double *all = f->block;
  f->weight = weight;
  f->curved = curved;
  wn_pool_run(f->part->pool, f->blocks, 1, add_blocks, f);
  for (size_t b = 1; b < f->blocks; b++)
    for (size_t i = 0; i < f->width; i++) all[i] += f->block[b * f->width + i];
  sums of = sums_at(all, members);
  for (uint32_t m = 0, h = 0; m < members; h += members - m, m++) {
    all[0] += 0.5 * PRIOR * (double)weight[m] * (double)weight[m];
    of.gradient[m] += PRIOR * (double)weight[m];
    of.hessian[h] += PRIOR;
  }
  return all[0];
}

/* H[m][n] of the triangle. */
static double curve(const sums *of, uint32_t members, uint32_t m, uint32_t n) {
  uint32_t low = m < n ? m : n, high = m < n ? n : m;
  return of->hessian[low * members - low * (low + 1) / 2 + high];
}

/* The best step under weight + step ≥ 0; returns how much the loss falls for a step that is next to
 * nothing of it. */
static double choose_step(const sums *of, uint32_t members, const float *weight, const bool *in,
                          double *step) {
  double fall = 0;
  memset(step, 0, members * sizeof *step);
  for (int sweep = 0; sweep < SWEEPS; sweep++) {
    double moved = 0;
    for (uint32_t m = 0; m < members; m++) {
      double slope = of->gradient[m];
      for (uint32_t n = 0; n < members; n++) slope += curve(of, members, m, n) * step[n];
      double to = fmax(step[m] - slope / curve(of, members, m, m), -(double)weight[m]);
      if (!in[m]) to = 0;
      moved = fmax(moved, fabs(to - step[m]));
      step[m] = to;
    }
    if (moved < 1e-10) break;
  }
  for (uint32_t m = 0; m < members; m++) fall -= of->gradient[m] * step[m];
  return fall;
}

/* Halves the step until the loss falls by a share of what its slope promises. */
static bool take_step(fit *f, const double *step, double fall, float *weight) {
  float trial[WN_MODELS_MAX];
  double now = f->block[0], share = 1;
  for (int i = 0; i < HALVING; i++, share /= 2) {
    for (uint32_t m = 0; m < f->lists->members; m++)
      trial[m] = fmaxf((float)((double)weight[m] + share * step[m]), 0);
    if (evaluate(f, trial, false) > now - 1e-4 * share * fall) continue;
    memcpy(weight, trial, f->lists->members * sizeof *weight);
    return true;
  }
  return false;
}

wn_status wn_blend_logit(const wn_blend_part *part, float *weight, wn_error *err) {
  size_t members = part->lists->members, threads = (size_t)wn_pool_threads(part->pool);
  double step[WN_MODELS_MAX];
  bool in[WN_MODELS_MAX];
  wn_status status = WN_OK;
  fit f = {.lists = part->lists,
           .part = part,
           .width = 1 + members + members * (members + 1) / 2,
           .blocks = (part->len + BLOCK - 1) / BLOCK};
  if (members == 0 || f.blocks == 0) return WN_OK;
  f.block = wn_reallocarray(NULL, f.blocks * f.width, sizeof *f.block);
  f.room =
      wn_reallocarray(NULL, threads * 2 * wn_blend_candidates_max(part->lists), sizeof *f.room);
  if (f.block == NULL || f.room == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t m = 0; m < members; m++) in[m] = weight[m] > 0;
  for (int s = 0; s < STEPS; s++) {
    double loss = evaluate(&f, weight, true);
    sums of = sums_at(f.block, members);
    double fall = choose_step(&of, part->lists->members, weight, in, step);
    if (!(fall > ENOUGH * (1 + loss)) || !take_step(&f, step, fall, weight)) break;
  }
cleanup:
  wn_free(f.block);
  wn_free(f.room);
  return status;
}
