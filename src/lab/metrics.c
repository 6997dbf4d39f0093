/* Ranking metrics by their textbook definitions (Järvelin and Kekäläinen 2002 for DCG;
 * docs/evaluation.md says where other tools differ), percentile bootstrap over users (Efron and
 * Tibshirani 1993). */
#include "lab/metrics.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

ptrdiff_t wn_ascending_find(const uint32_t *list, size_t len, uint32_t item) {
  size_t low = 0, high = len;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (list[mid] < item)
      low = mid + 1;
    else
      high = mid;
  }
  return low < len && list[low] == item ? (ptrdiff_t)low : -1;
}

static bool repeated(const uint32_t *list, size_t at) {
  for (size_t i = 0; i < at; i++)
    if (list[i] == list[at]) return true;
  return false;
}

static int descending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

/* Ideal DCG over min(len, k) positions, linear and exponential gain. */
static void ideal(const double *gain, size_t len, size_t k, double *linear, double *exp2_gain) {
  size_t n = len < k ? len : k;
  double *sorted = gain != NULL ? wn_malloc(len * sizeof *sorted) : NULL;
  if (sorted != NULL) {
    memcpy(sorted, gain, len * sizeof *sorted);
    qsort(sorted, len, sizeof *sorted, descending);
  }
  *linear = *exp2_gain = 0;
  for (size_t i = 0; i < n; i++) {
    double g = sorted != NULL ? sorted[i] : 1;
    *linear += g / log2((double)i + 2);
    *exp2_gain += (exp2(g) - 1) / log2((double)i + 2);
  }
  wn_free(sorted);
}

/* A hit at `rank`, for every cutoff that reaches so far. precision, until the end: hits; ap_over_R:
 * Σ P@i. */
static void add_hit(double rank, double gain, const uint32_t *cutoffs, size_t n,
                    wn_ranking_metrics *out) {
  double discount = log2(rank + 1), exp2_gain = exp2(gain) - 1;
  for (size_t c = 0; c < n; c++) {
    wn_ranking_metrics *m = &out[c];
    if (rank > cutoffs[c]) continue;
    m->precision++;
    m->ap_over_R += m->precision / rank;
    if (m->precision == 1) m->mrr = 1 / rank;
    m->dcg += gain / discount;
    m->dcg_exp2 += exp2_gain / discount;
  }
}

static void from_hits(const wn_relevant *relevant, size_t k, wn_ranking_metrics *m) {
  double hits = m->precision, precision_sum = m->ap_over_R, ideal_dcg, ideal_dcg_exp2;
  if (k == 0 || relevant->len == 0) {
    m->precision = m->ap_over_R = m->mrr = 0;
    return;
  }
  double cap = (double)(relevant->len < k ? relevant->len : k);
  m->precision = hits / (double)k;
  m->recall = hits / (double)relevant->len;
  m->recall_capped = hits / cap;
  m->hit = hits > 0;
  m->ap_over_min = precision_sum / cap;
  m->ap_over_R = precision_sum / (double)relevant->len;
  m->f1 = hits > 0 ? 2 * m->precision * m->recall / (m->precision + m->recall) : 0;
  ideal(relevant->gain, relevant->len, k, &ideal_dcg, &ideal_dcg_exp2);
  m->ndcg = ideal_dcg > 0 ? m->dcg / ideal_dcg : 0;
  m->ndcg_exp2 = ideal_dcg_exp2 > 0 ? m->dcg_exp2 / ideal_dcg_exp2 : 0;
}

void wn_ranking_metrics_at(const wn_ranked *list, const wn_relevant *relevant,
                           const uint32_t *cutoffs, size_t n, wn_ranking_metrics *out) {
  const double *gain = relevant->gain;
  size_t rank = 0, most = 0; /* rank: 1-based among the distinct items */
  memset(out, 0, n * sizeof *out);
  for (size_t c = 0; c < n; c++) most = cutoffs[c] > most ? cutoffs[c] : most;
  for (size_t i = 0; i < list->len && rank < most; i++) {
    if (repeated(list->item, i)) continue;
    rank++;
    ptrdiff_t at = wn_ascending_find(relevant->items, relevant->len, list->item[i]);
    if (at >= 0) add_hit((double)rank, gain != NULL ? gain[at] : 1, cutoffs, n, out);
  }
  for (size_t c = 0; c < n; c++) from_hits(relevant, cutoffs[c], &out[c]);
}

void wn_ranking_metrics_of(const uint32_t *list, size_t list_len, const wn_relevant *relevant,
                           size_t k, wn_ranking_metrics *out) {
  const wn_ranked ranked = {list, list_len};
  uint32_t cutoff = (uint32_t)(k < UINT32_MAX ? k : UINT32_MAX);
  wn_ranking_metrics_at(&ranked, relevant, &cutoff, 1, out);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static wn_interval bootstrap(const double *a, const double *b, size_t n, uint32_t samples,
                             uint64_t seed) {
  wn_interval out = {0, 0, 0};
  wn_rng rng;
  for (size_t i = 0; i < n; i++) out.mean += b != NULL ? a[i] - b[i] : a[i];
  if (n > 0) out.mean /= (double)n;
  out.low = out.high = out.mean;
  double *means = n > 1 && samples > 1 ? wn_malloc(samples * sizeof *means) : NULL;
  if (means == NULL) return out;
  wn_rng_seed(&rng, seed);
  for (uint32_t s = 0; s < samples; s++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
      /* 32 bits are plenty for a row number; the bias of the multiplication is below n/2^32. */
      size_t at = (size_t)(((wn_rng_next(&rng) >> 32) * (uint64_t)n) >> 32);
      sum += b != NULL ? a[at] - b[at] : a[at];
    }
    means[s] = sum / (double)n;
  }
  qsort(means, samples, sizeof *means, ascending);
  out.low = means[(size_t)(0.025 * (samples - 1))];
  out.high = means[(size_t)ceil(0.975 * (samples - 1))];
  wn_free(means);
  return out;
}

wn_interval wn_bootstrap_mean(const double *values, size_t n, uint32_t samples, uint64_t seed) {
  return bootstrap(values, NULL, n, samples, seed);
}

wn_interval wn_bootstrap_difference(const double *a, const double *b, size_t n, uint32_t samples,
                                    uint64_t seed) {
  return bootstrap(a, b, n, samples, seed);
}

static int ascending_u32(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

double wn_gini(const uint32_t *counts, size_t n) {
  double sum = 0, weighted = 0;
  uint32_t *sorted = n > 0 ? wn_malloc(n * sizeof *sorted) : NULL;
  if (sorted == NULL) return 0;
  memcpy(sorted, counts, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, ascending_u32);
  for (size_t i = 0; i < n; i++) {
    sum += sorted[i];
    weighted += (2 * (double)(i + 1) - (double)n - 1) * sorted[i];
  }
  wn_free(sorted);
  return sum > 0 ? weighted / ((double)n * sum) : 0;
}
