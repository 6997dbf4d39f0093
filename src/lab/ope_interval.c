/* Intervals of ratios of sums over units that are drawn whole: percentile bootstrap (Efron 1979),
 * se by the delta method. Every estimate of ope_run.c is one: a mean is Σx / Σ1, SNIPS Σwr / Σw,
 * SNDR the sum of two. Costs O(samples × n). Same seed: the same draws for every estimator, so that
 * lines of one table move together. */
#include "lab/ope_run.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

static double ratio(const double *sums, size_t pairs) {
  double value = 0;
  for (size_t k = 0; k < pairs; k++)
    value += sums[2 * k + 1] != 0 ? sums[2 * k] / sums[2 * k + 1] : 0;
  return value;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double delta_se(const wn_ratio_sums *s, const double *sums) {
  double spread = 0, n = (double)s->n;
  for (size_t i = 0; i < s->n; i++) {
    const double *t = s->terms + i * 2 * s->pairs;
    double influence = 0;
    for (size_t k = 0; k < s->pairs; k++)
      if (sums[2 * k + 1] != 0)
        influence +=
            (t[2 * k] - sums[2 * k] / sums[2 * k + 1] * t[2 * k + 1]) * n / sums[2 * k + 1];
    spread += influence * influence;
  }
  return s->n > 1 ? sqrt(spread / n / (n - 1)) : INFINITY;
}

bool wn_ratio_interval(const wn_ratio_sums *s, uint32_t samples, uint64_t seed,
                       wn_ratio_estimate *out) {
  double sums[2 * WN_RATIO_PAIRS_MAX] = {0};
  size_t width = 2 * s->pairs;
  wn_rng rng;
  for (size_t i = 0; i < s->n; i++)
    for (size_t k = 0; k < width; k++) sums[k] += s->terms[i * width + k];
  out->value = ratio(sums, s->pairs);
  out->se = delta_se(s, sums);
  out->low = out->value - 1.959963984540054 * out->se;
  out->high = out->value + 1.959963984540054 * out->se;
  if (samples == 0 || s->n < 2) return true;
  double *drawn = wn_reallocarray(NULL, samples, sizeof *drawn);
  if (drawn == NULL) return false;
  wn_rng_seed(&rng, seed);
  for (uint32_t b = 0; b < samples; b++) {
    double again[2 * WN_RATIO_PAIRS_MAX] = {0};
    for (size_t i = 0; i < s->n; i++) {
      const double *t = s->terms + wn_rng_below(&rng, s->n) * width;
      for (size_t k = 0; k < width; k++) again[k] += t[k];
    }
    drawn[b] = ratio(again, s->pairs);
  }
  qsort(drawn, samples, sizeof *drawn, ascending);
  out->low = drawn[(size_t)(0.025 * (samples - 1))];
  out->high = drawn[(size_t)ceil(0.975 * (samples - 1))];
  wn_free(drawn);
  return true;
}
