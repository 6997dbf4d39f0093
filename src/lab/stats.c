/* Classical statistics: Student 1908; Wilcoxon 1945, exact by counting subsets of ranks; Fisher's
 * sign-flip randomisation; Wilson 1927; Kendall 1945 (τ_b); Hodges 1958 for the exact two-sample
 * Kolmogorov–Smirnov by counting lattice paths; Holm 1979; Benjamini and Hochberg 1995. */
#include "lab/stats.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/special.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_RANKS 50
#define EXACT_CELLS 1000000.0
#define FISHER_Z    1.96
#define PSI_LEAST   1e-6

wn_moments wn_moments_of(const double *x, size_t n) {
  wn_moments m = {n, 0, 0};
  for (size_t i = 0; i < n; i++) m.mean += x[i];
  if (n > 0) m.mean /= (double)n;
  for (size_t i = 0; i < n; i++) m.var += (x[i] - m.mean) * (x[i] - m.mean);
  m.var = n > 1 ? m.var / (double)(n - 1) : 0;
  return m;
}

double wn_covariance(const double *x, const double *y, size_t n) {
  double mx = wn_moments_of(x, n).mean, my = wn_moments_of(y, n).mean, sum = 0;
  for (size_t i = 0; i < n; i++) sum += (x[i] - mx) * (y[i] - my);
  return n > 1 ? sum / (double)(n - 1) : 0;
}

static wn_estimate by_t(double value, double se, double dof, double alpha) {
  if (!(dof > 0)) return (wn_estimate){value, INFINITY, -INFINITY, INFINITY, 1};
  double half = wn_t_quantile(1 - alpha / 2, dof) * se;
  double p = se > 0 ? wn_t_two_sided(value / se, dof) : value == 0 ? 1 : 0;
  return (wn_estimate){value, se, value - half, value + half, p};
}

wn_estimate wn_t_interval(const double *x, size_t n, double alpha) {
  wn_moments m = wn_moments_of(x, n);
  return by_t(m.mean, n > 0 ? sqrt(m.var / (double)n) : 0, (double)n - 1, alpha);
}

/* --- ranks --- */

typedef struct placed {
  double value;
  size_t at;
} placed;

static int by_value(const void *a, const void *b) {
  const placed *x = a, *y = b;
  if (x->value != y->value) return x->value < y->value ? -1 : 1;
  return x->at < y->at ? -1 : 1;
}

static placed *sorted_places(const double *x, size_t n) {
  placed *out = wn_malloc((n + 1) * sizeof *out);
  if (out == NULL) return NULL;
  for (size_t i = 0; i < n; i++) out[i] = (placed){x[i], i};
  qsort(out, n, sizeof *out, by_value);
  return out;
}

/* Also Σ (t³ − t) over groups of t equal values. */
static bool mid_ranks(const double *x, size_t n, double *ranks, double *ties) {
  placed *sorted = sorted_places(x, n);
  if (sorted == NULL) return false;
  *ties = 0;
  for (size_t i = 0, end; i < n; i = end) {
    for (end = i + 1; end < n && sorted[end].value == sorted[i].value;) end++;
    double t = (double)(end - i), rank = ((double)(i + 1) + (double)end) / 2;
    *ties += t * t * t - t;
    for (size_t j = i; j < end; j++) ranks[sorted[j].at] = rank;
  }
  wn_free(sorted);
  return true;
}

bool wn_mid_ranks(const double *x, size_t n, double *ranks) {
  double ties;
  return mid_ranks(x, n, ranks, &ties);
}

/* --- paired --- */

/* P(the sum of a random subset of 1 … n is ≤ w). */
static double subset_sum_cdf(size_t n, double w) {
  double ways[EXACT_RANKS * (EXACT_RANKS + 1) / 2 + 1] = {1}, below = 0;
  size_t top = 0;
  for (size_t rank = 1; rank <= n; rank++) {
    top += rank;
    for (size_t s = top; s >= rank; s--) ways[s] += ways[s - rank];
  }
  for (size_t s = 0; s <= top && (double)s <= w; s++) below += ways[s];
  return below / exp2((double)n);
}

static void wilcoxon(const double *difference, size_t n, wn_paired *out) {
  double *size = wn_malloc((2 * n + 1) * sizeof *size), *rank = size + n, ties;
  double positive = 0, negative = 0;
  size_t m = 0;
  out->wilcoxon_w = out->wilcoxon_p = NAN;
  for (size_t i = 0; size != NULL && i < n; i++)
    if (difference[i] != 0) size[m++] = fabs(difference[i]);
  if (size != NULL && mid_ranks(size, m, rank, &ties)) {
    for (size_t i = 0, at = 0; i < n; i++)
      if (difference[i] > 0)
        positive += rank[at++];
      else if (difference[i] < 0)
        negative += rank[at++];
    out->wilcoxon_w = fmin(positive, negative);
    double k = (double)m, centre = k * (k + 1) / 4;
    double deviation = sqrt((k * (k + 1) * (2 * k + 1) - ties / 2) / 24);
    if (m <= EXACT_RANKS && ties == 0 && m == n)
      out->wilcoxon_p = fmin(1, 2 * subset_sum_cdf(m, out->wilcoxon_w));
    else
      out->wilcoxon_p =
          deviation > 0 ? 2 * wn_normal_cdf((out->wilcoxon_w - centre) / deviation) : 1;
  }
  wn_free(size);
}

static double sign_flips(const double *difference, size_t n, uint32_t flips, uint64_t seed) {
  double observed = 0;
  uint32_t extreme = 0;
  wn_rng rng;
  for (size_t i = 0; i < n; i++) observed += difference[i];
  wn_rng_seed(&rng, seed);
  for (uint32_t f = 0; f < flips; f++) {
    double sum = 0;
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++, bits >>= 1) {
      if (i % 64 == 0) bits = wn_rng_next(&rng);
      sum += (bits & 1) != 0 ? difference[i] : -difference[i];
    }
    extreme += fabs(sum) >= fabs(observed) - 1e-12;
  }
  return (1 + (double)extreme) / (1 + (double)flips);
}

wn_paired wn_paired_tests(const double *a, const double *b, size_t n, uint32_t flips,
                          uint64_t seed) {
  wn_paired out = {{NAN, NAN, NAN, NAN, NAN}, NAN, NAN, NAN, NAN};
  double *difference = wn_malloc((n + 1) * sizeof *difference);
  if (difference == NULL) return out;
  for (size_t i = 0; i < n; i++) difference[i] = a[i] - b[i];
  out.difference = wn_t_interval(difference, n, 0.05);
  out.t = out.difference.se > 0 ? out.difference.value / out.difference.se : 0;
  wilcoxon(difference, n, &out);
  out.flip_p = sign_flips(difference, n, flips, seed);
  wn_free(difference);
  return out;
}

/* --- shares and correlations --- */

wn_estimate wn_wilson(double successes, double n, double alpha) {
  if (!(n > 0)) return (wn_estimate){NAN, NAN, 0, 1, 1};
  double z = -wn_normal_quantile(alpha / 2), p = successes / n, z2 = z * z;
  double centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  double half = z / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  return (wn_estimate){p, sqrt(p * (1 - p) / n), p > 0 ? fmax(0, centre - half) : 0,
                       p < 1 ? fmin(1, centre + half) : 1, NAN};
}

double wn_pearson(const double *x, const double *y, size_t n) {
  return wn_covariance(x, y, n) / sqrt(wn_moments_of(x, n).var * wn_moments_of(y, n).var);
}

void wn_pearson_interval(double r, size_t n, double *low, double *high) {
  double half = n > 3 ? FISHER_Z / sqrt((double)n - 3) : INFINITY;
  *low = tanh(atanh(r) - half);
  *high = tanh(atanh(r) + half);
}

double wn_spearman(const double *x, const double *y, size_t n) {
  double *ranks = wn_malloc((2 * n + 1) * sizeof *ranks), r = NAN;
  if (ranks != NULL && wn_mid_ranks(x, n, ranks) && wn_mid_ranks(y, n, ranks + n))
    r = wn_pearson(ranks, ranks + n, n);
  wn_free(ranks);
  return r;
}

double wn_kendall(const double *x, const double *y, size_t n) {
  double agree = 0, pairs_x = 0, pairs_y = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++) {
      int dx = (x[i] > x[j]) - (x[i] < x[j]), dy = (y[i] > y[j]) - (y[i] < y[j]);
      agree += dx * dy;
      pairs_x += dx != 0;
      pairs_y += dy != 0;
    }
  return agree / sqrt(pairs_x * pairs_y);
}

/* --- Kolmogorov–Smirnov --- */

/* Share of lattice paths from (0, 0) to (n, m) on which |i/n − j/m| stays below d. `row`: m + 1. */
static double inside(size_t n, size_t m, double d, double *row) {
  double bound = d - 1e-9; /* d is one of finitely many multiples of 1 / nm */
  for (size_t i = 0; i <= n; i++)
    for (size_t j = 0; j <= m; j++) {
      double gap = fabs((double)i / (double)n - (double)j / (double)m);
      /* Each path counts as the share of all paths to this point. */
      double from_left = i == 0 ? 0 : row[j] * (double)i,
             from_below = j == 0 ? 0 : row[j - 1] * (double)j;
      row[j] = i + j == 0 ? 1 : (from_left + from_below) / (double)(i + j);
      if (gap > bound) row[j] = 0;
    }
  return row[m];
}

wn_ks wn_kolmogorov_smirnov(const double *a, size_t n, const double *b, size_t m) {
  wn_ks out = {NAN, NAN};
  placed *x = sorted_places(a, n), *y = sorted_places(b, m);
  double *row = wn_malloc((m + 1) * sizeof *row);
  if (x != NULL && y != NULL && row != NULL && n > 0 && m > 0) {
    out.distance = 0;
    for (size_t i = 0, j = 0; i < n && j < m;) {
      double at = fmin(x[i].value, y[j].value);
      while (i < n && x[i].value <= at) i++;
      while (j < m && y[j].value <= at) j++;
      out.distance = fmax(out.distance, fabs((double)i / (double)n - (double)j / (double)m));
    }
    double scale = sqrt((double)n * (double)m / (double)(n + m)), sum = 0;
    for (int k = 1; k <= 100; k++)
      sum +=
          (k % 2 == 1 ? 2 : -2) * exp(-2.0 * k * k * scale * scale * out.distance * out.distance);
    out.p = (double)n * (double)m <= EXACT_CELLS ? 1 - inside(n, m, out.distance, row)
                                                 : fmax(0, fmin(1, sum));
    if (out.distance == 0) out.p = 1;
  }
  wn_free(x);
  wn_free(y);
  wn_free(row);
  return out;
}

/* --- many tests --- */

bool wn_adjust_p(wn_correction how, const double *p, size_t n, double *adjusted) {
  placed *sorted = sorted_places(p, n);
  double total = (double)n, carry = how == WN_BENJAMINI_HOCHBERG ? 1 : 0;
  if (sorted == NULL) return false;
  for (size_t i = 0; i < n; i++) {
    switch (how) {
    case WN_BONFERRONI: adjusted[i] = fmin(1, p[i] * total); break;
    case WN_HOLM:
      carry = fmax(carry, fmin(1, sorted[i].value * (total - (double)i)));
      adjusted[sorted[i].at] = carry;
      break;
    case WN_BENJAMINI_HOCHBERG: {
      size_t last = n - 1 - i;
      carry = fmin(carry, sorted[last].value * total / (double)(last + 1));
      adjusted[sorted[last].at] = carry;
    }
    }
  }
  wn_free(sorted);
  return true;
}

wn_slope wn_weighted_slope(const double *x, const double *y, const double *se, size_t n) {
  double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
  for (size_t i = 0; i < n; i++) {
    double weight = 1 / (se[i] * se[i]);
    w += weight;
    wx += weight * x[i];
    wy += weight * y[i];
  }
  for (size_t i = 0; i < n; i++) {
    double weight = 1 / (se[i] * se[i]), dx = x[i] - wx / w;
    wxx += weight * dx * dx;
    wxy += weight * dx * (y[i] - wy / w);
  }
  wn_slope out = {wxy / wxx, sqrt(1 / wxx), 0, 0};
  out.z = out.slope / out.se;
  out.p = 2 * wn_normal_cdf(-fabs(out.z));
  return out;
}

/* --- divergences --- */

double wn_psi(const double *p, const double *q, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    double a = fmax(p[i], PSI_LEAST), b = fmax(q[i], PSI_LEAST);
    sum += (b - a) * log(b / a);
  }
  return sum;
}

double wn_js(const double *p, const double *q, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    double middle = (p[i] + q[i]) / 2;
    if (p[i] > 0) sum += p[i] * log2(p[i] / middle) / 2;
    if (q[i] > 0) sum += q[i] * log2(q[i] / middle) / 2;
  }
  return sum;
}

double wn_hellinger(const double *p, const double *q, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (sqrt(p[i]) - sqrt(q[i])) * (sqrt(p[i]) - sqrt(q[i]));
  return sqrt(sum / 2);
}
