/* Points near what was good and far from what was not.
 *
 * Source: Bergstra, Bardenet, Bengio, Kégl, "Algorithms for Hyper-Parameter Optimization" (NIPS
 * 2011), section 4, the tree-structured Parzen estimator: the best share γ of the points seen makes
 * a density l(x), the others a density g(x), and of some draws from l that with the largest l/g is
 * tried; this is where the expected improvement is largest. Each parameter by itself, on its range
 * stretched to 0 … 1. A density is the mean of the uniform one and of a normal one around each
 * point, cut off at 0 and 1, as wide as the larger distance to its neighbours.
 *
 * Departures: γ = .15 of the paper at 10 points would be one or two, so it is at least 3; points
 * are those of the least rung, which have all been measured on the same users. Cost: draws · points
 * · parameters, microseconds. Deterministic; no threads. */

#include "lab/tune.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

#define GAMMA    0.15
#define GOOD_MIN 3
#define DRAWS    24

typedef struct parzen {
  double *at, *width; /* [len] ascending */
  size_t len;
} parzen;

static int best_first(const void *left, const void *right) {
  const wn_tune_seen *a = left, *b = right;
  if (a->value != b->value) return a->value > b->value ? -1 : 1;
  return (a->params > b->params) - (a->params < b->params); /* the earlier one of an array */
}

static int ascending(const void *left, const void *right) {
  const double *a = left, *b = right;
  return (*a > *b) - (*a < *b);
}

/* The ends of the range count as neighbours. */
static void set_widths(parzen *p) {
  double least = 1 / fmin(100, (double)p->len + 1);
  qsort(p->at, p->len, sizeof *p->at, ascending);
  for (size_t i = 0; i < p->len; i++) {
    double left = p->at[i] - (i > 0 ? p->at[i - 1] : 0);
    double right = (i + 1 < p->len ? p->at[i + 1] : 1) - p->at[i];
    p->width[i] = fmin(fmax(fmax(left, right), least), 1);
  }
}

/* Share of a normal distribution below x. */
static double below(double x) {
  return 0.5 * erfc(-x * M_SQRT1_2);
}

static double density(const parzen *p, double x) {
  double sum = 1;
  for (size_t i = 0; i < p->len; i++) {
    double w = p->width[i], z = (x - p->at[i]) / w;
    double inside = below((1 - p->at[i]) / w) - below(-p->at[i] / w);
    sum += exp(-z * z / 2) / (w * sqrt(2 * M_PI) * inside);
  }
  return sum / (double)(p->len + 1);
}

static double draw(const parzen *p, wn_rng *rng) {
  size_t i = (size_t)wn_rng_below(rng, p->len + 1);
  if (i == p->len) return wn_rng_double(rng);
  for (;;) {
    double x = p->at[i] + p->width[i] * wn_rng_normal(rng);
    if (x >= 0 && x <= 1) return x; /* at least a third of the draws: at[i] is inside */
  }
}

static double choose(const parzen *good, const parzen *other, wn_rng *rng) {
  double best = 0, most = -1;
  for (int k = 0; k < DRAWS; k++) {
    double x = draw(good, rng), ratio = density(good, x) / density(other, x);
    if (ratio > most) most = ratio, best = x;
  }
  return best;
}

wn_status wn_tune_tpe(const wn_tune_space *space, uint64_t seed, uint32_t trial, wn_tune_past past,
                      wn_params *out, wn_error *err) {
  size_t len = past.len;
  wn_rng rng;
  size_t good = (size_t)ceil(GAMMA * (double)len);
  if (good < GOOD_MIN) good = GOOD_MIN < len ? GOOD_MIN : len;
  double *memory = wn_reallocarray(NULL, 2 * len + 1, sizeof *memory);
  if (memory == NULL) return wn_fail_memory(err);
  parzen l = {memory, memory + len, good}, g = {memory + good, memory + len + good, len - good};
  *out = space->start;
  wn_rng_seed(&rng, wn_mix64(seed ^ 0x747065) ^ trial);
  qsort(past.seen, len, sizeof *past.seen, best_first);
  for (size_t i = 0; i < wn_tune_ranges_len; i++) {
    const wn_tune_range *r = &wn_tune_ranges[i];
    size_t at = wn_tune_at(space, r);
    if (at == WN_PARAMS_MAX) continue;
    for (size_t k = 0; k < len; k++) memory[k] = wn_tune_unit(r, past.seen[k].params->value[at]);
    set_widths(&l);
    set_widths(&g);
    out->value[at] = wn_tune_value(r, choose(&l, &g, &rng));
  }
  wn_free(memory);
  return WN_OK;
}
