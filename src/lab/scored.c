/* Sources in scored.h; ties after McSherry and Najork (ECIR 2008): within a group of equal scores
 * every order is as likely, so each position of it is relevant with the group's share, and sums
 * over positions have closed forms. Costs O(n log n). */
#include "lab/scored.h"

#include "base/mem.h"
#include "base/special.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLIP 1e-15

typedef struct scored {
  double score, gain;
} scored;

static int best_first(const void *a, const void *b) {
  const scored *x = a, *y = b;
  if (x->score != y->score) return x->score > y->score ? -1 : 1;
  return (x->gain < y->gain) - (x->gain > y->gain);
}

static double discount(size_t position) {
  return 1 / log2((double)position + 1);
}

/* --- ties --- */

/* P(none of m drawn from t, of which r are relevant, is relevant). */
static double none_of(size_t t, size_t r, size_t m) {
  double p = 1;
  for (size_t i = 0; i < m; i++) p *= t - r > i ? (double)(t - r - i) / (double)(t - i) : 0;
  return p;
}

/* E[1 / rank of the first relevant one] in a group that starts after `before` positions. */
static double first_hit(size_t before, size_t t, size_t r, size_t k) {
  double sum = 0, none = 1; /* none: the first x − 1 are irrelevant */
  for (size_t x = 1; x <= t && before + x <= k && none > 0; x++) {
    double left = (double)(t - x + 1);
    sum += none * (double)r / left / (double)(before + x);
    none *= (left - (double)r) / left;
  }
  return sum;
}

typedef struct group {
  size_t before, len, relevant; /* positions before it; its items */
  double gain, exp2_gain, hits_before;
} group;

static void add_group(const group *g, size_t k, double *precision_sum, wn_ranking_metrics *m) {
  size_t inside = g->before >= k ? 0 : g->len < k - g->before ? g->len : k - g->before;
  double len = (double)g->len, share = (double)g->relevant / len;
  if (g->hits_before == 0 && g->relevant > 0) {
    m->mrr = first_hit(g->before, g->len, g->relevant, k);
    m->hit = 1 - none_of(g->len, g->relevant, inside);
  }
  for (size_t x = 1; x <= inside; x++) {
    double others = g->len > 1 ? (double)(x - 1) * (double)(g->relevant - 1) / (len - 1) : 0;
    m->dcg += g->gain / len * discount(g->before + x);
    m->dcg_exp2 += g->exp2_gain / len * discount(g->before + x);
    if (g->relevant > 0)
      *precision_sum += share * (g->hits_before + 1 + others) / (double)(g->before + x);
  }
  m->precision += share * (double)inside; /* hits, for now */
}

typedef struct ideal_dcg {
  size_t relevant;
  double linear, exp2_gain;
} ideal_dcg;

/* All of them are linear in the hits and in the sums, so the same for expectations; F1 is
 * 2·hits / (k + relevant). */
static void from_sums(wn_ranking_metrics *m, double precision_sum, const ideal_dcg *ideal,
                      size_t k) {
  double hits = m->precision, relevant = (double)ideal->relevant, cap = fmin(relevant, (double)k);
  m->precision = hits / (double)k;
  m->recall = hits / relevant;
  m->recall_capped = hits / cap;
  m->f1 = 2 * hits / ((double)k + relevant);
  m->ap_over_R = precision_sum / relevant;
  m->ap_over_min = precision_sum / cap;
  m->ndcg = ideal->linear > 0 ? m->dcg / ideal->linear : 0;
  m->ndcg_exp2 = ideal->exp2_gain > 0 ? m->dcg_exp2 / ideal->exp2_gain : 0;
}

/* The metrics of the list as it is sorted now. */
static void in_order(const scored *list, size_t n, const ideal_dcg *ideal, size_t k,
                     wn_ranking_metrics *m) {
  double precision_sum = 0, hits = 0;
  memset(m, 0, sizeof *m);
  for (size_t i = 0; i < n && i < k; i++) {
    if (!(list[i].gain > 0)) continue;
    precision_sum += ++hits / (double)(i + 1);
    if (hits == 1) m->mrr = 1 / (double)(i + 1);
    m->dcg += list[i].gain * discount(i + 1);
    m->dcg_exp2 += (exp2(list[i].gain) - 1) * discount(i + 1);
  }
  m->hit = hits > 0;
  m->precision = hits;
  from_sums(m, precision_sum, ideal, k);
}

/* Greatest gains first, whatever the scores. */
static ideal_dcg ideal_of(const double *gain, size_t all, scored *room, size_t k) {
  ideal_dcg out = {0, 0, 0};
  for (size_t i = 0; i < all; i++) room[i] = (scored){0, gain[i]};
  qsort(room, all, sizeof *room, best_first);
  while (out.relevant < all && room[out.relevant].gain > 0) out.relevant++;
  for (size_t i = 0; i < k && i < out.relevant; i++) {
    out.linear += room[i].gain * discount(i + 1);
    out.exp2_gain += (exp2(room[i].gain) - 1) * discount(i + 1);
  }
  return out;
}

static void expectation(const scored *list, size_t n, const ideal_dcg *ideal, size_t k,
                        wn_ranking_metrics *m) {
  double precision_sum = 0, hits = 0;
  for (size_t i = 0, end; i < n; i = end) {
    group g = {.before = i, .hits_before = hits};
    for (end = i; end < n && list[end].score == list[i].score; end++) {
      if (!(list[end].gain > 0)) continue;
      g.relevant++;
      g.gain += list[end].gain;
      g.exp2_gain += exp2(list[end].gain) - 1;
    }
    g.len = end - i;
    add_group(&g, k, &precision_sum, m);
    hits += (double)g.relevant;
  }
  from_sums(m, precision_sum, ideal, k);
}

/* Each group of equal scores backwards. */
static void worst_first(scored *list, size_t n) {
  for (size_t i = 0, end; i < n; i = end) {
    for (end = i; end < n && list[end].score == list[i].score;) end++;
    for (size_t a = i, b = end; a + 1 < b; a++) {
      scored swap = list[a];
      list[a] = list[--b];
      list[b] = swap;
    }
  }
}

bool wn_tied_metrics_of(const double *score, const double *gain, size_t n, size_t all, size_t k,
                        wn_tied_metrics *out) {
  scored *list = wn_malloc((all + 1) * sizeof *list);
  memset(out, 0, sizeof *out);
  if (list == NULL) return false;
  const ideal_dcg ideal = ideal_of(gain, all, list, k);
  for (size_t i = 0; i < n; i++) list[i] = (scored){score[i], gain[i]};
  qsort(list, n, sizeof *list, best_first);
  if (k > 0 && ideal.relevant > 0) {
    expectation(list, n, &ideal, k, &out->expected);
    in_order(list, n, &ideal, k, &out->best);
    worst_first(list, n);
    in_order(list, n, &ideal, k, &out->worst);
  }
  wn_free(list);
  return true;
}

/* In the best order each group begins with its relevant items, in the worst it ends with them. */
static void in_extreme_order(const wn_tied_group *groups, size_t n, size_t k, bool best,
                             wn_ranking_metrics *m, double *precision_sum) {
  size_t before = 0;
  double hits = 0;
  for (size_t g = 0; g < n && before < k; before += groups[g++].len) {
    size_t first = before + 1 + (best ? 0 : groups[g].len - groups[g].relevant);
    for (size_t x = first; x < first + groups[g].relevant && x <= k; x++) {
      *precision_sum += ++hits / (double)x;
      if (hits == 1) m->mrr = 1 / (double)x;
      m->dcg += discount(x);
    }
  }
  m->dcg_exp2 = m->dcg; /* 2¹ − 1 = 1 */
  m->hit = hits > 0;
  m->precision = hits;
}

void wn_tied_metrics_of_groups(const wn_tied_group *groups, size_t n, size_t relevant, size_t k,
                               wn_tied_metrics *out) {
  double precision_sum = 0, hits = 0;
  ideal_dcg ideal = {relevant, 0, 0};
  size_t before = 0;
  memset(out, 0, sizeof *out);
  if (k == 0 || relevant == 0) return;
  for (size_t x = 1; x <= k && x <= relevant; x++) ideal.linear += discount(x);
  ideal.exp2_gain = ideal.linear;
  for (size_t i = 0; i < n && before < k; i++) {
    double relevant_here = (double)groups[i].relevant;
    group g = {before, groups[i].len, groups[i].relevant, relevant_here, relevant_here, hits};
    if (g.len > 0) add_group(&g, k, &precision_sum, &out->expected);
    hits += (double)g.relevant;
    before += g.len;
  }
  from_sums(&out->expected, precision_sum, &ideal, k);
  precision_sum = 0;
  in_extreme_order(groups, n, k, true, &out->best, &precision_sum);
  from_sums(&out->best, precision_sum, &ideal, k);
  precision_sum = 0;
  in_extreme_order(groups, n, k, false, &out->worst, &precision_sum);
  from_sums(&out->worst, precision_sum, &ideal, k);
}

/* --- areas --- */

bool wn_areas_of(const double *score, const uint8_t *label, size_t n, wn_areas *out) {
  scored *list = wn_malloc((n + 1) * sizeof *list);
  double wins = 0, positives = 0, negatives = 0;
  if (list == NULL) return false;
  for (size_t i = 0; i < n; i++) list[i] = (scored){score[i], label[i] != 0};
  qsort(list, n, sizeof *list, best_first);
  memset(out, 0, sizeof *out);
  for (size_t i = 0; i < n; i++) out->positives += list[i].gain;
  out->negatives = (double)n - out->positives;
  for (size_t i = 0, end; i < n; i = end) {
    double hits = 0;
    for (end = i; end < n && list[end].score == list[i].score; end++) hits += list[end].gain;
    double misses = (double)(end - i) - hits;
    wins += hits * (out->negatives - negatives - misses / 2);
    positives += hits;
    negatives += misses;
    if (out->positives > 0)
      out->average_precision += hits / out->positives * positives / (positives + negatives);
  }
  out->roc_auc =
      out->positives > 0 && out->negatives > 0 ? wins / (out->positives * out->negatives) : NAN;
  wn_free(list);
  return true;
}

/* --- probabilities --- */

bool wn_reliability_of(const double *p, const double *y, size_t n, size_t bins,
                       wn_reliability *out) {
  double *count = wn_calloc(3 * bins + 1, sizeof *count), sum_p = 0, sum_y = 0;
  memset(out, 0, sizeof *out);
  if (count == NULL || n == 0 || bins == 0) {
    wn_free(count);
    return false;
  }
  double *said = count + bins, *was = said + bins;
  for (size_t i = 0; i < n; i++) {
    /* An edge k / bins belongs to the cell above it, also where p · bins rounds below k. */
    size_t cell = (size_t)fmax(0, fmin((double)bins - 1, floor(p[i] * (double)bins + 1e-9)));
    double cut = fmin(1 - CLIP, fmax(CLIP, p[i]));
    count[cell]++;
    said[cell] += p[i];
    was[cell] += y[i];
    sum_p += p[i];
    sum_y += y[i];
    out->brier += (p[i] - y[i]) * (p[i] - y[i]) / (double)n;
    out->log_loss -= (y[i] * log(cut) + (1 - y[i]) * log1p(-cut)) / (double)n;
  }
  for (size_t b = 0; b < bins; b++) {
    if (!(count[b] > 0)) continue;
    double gap = fabs(said[b] - was[b]) / count[b];
    out->ece += gap * count[b] / (double)n;
    out->mce = fmax(out->mce, gap);
  }
  out->ratio = sum_y > 0 ? sum_p / sum_y : NAN;
  wn_free(count);
  return true;
}

/* --- sampled metrics --- */

wn_sampled_metrics wn_sampled_metrics_of(double rank, double n, size_t negatives, size_t k) {
  double above = (rank - 1) / (n - 1), m = (double)negatives;
  wn_sampled_metrics out = {1 - above, 0, 0, 0};
  if (negatives == 0) {
    out.ap = 1 / rank;
    out.ndcg = 1 / log2(rank + 1);
    out.recall = rank <= (double)k;
    return out;
  }
  /* The sampled rank is 1 + Binomial(m, above). */
  for (size_t j = 0; j <= negatives; j++) {
    double x = (double)j;
    double p = above <= 0   ? j == 0
               : above >= 1 ? j == negatives
                            : exp(wn_lgamma(m + 1) - wn_lgamma(x + 1) - wn_lgamma(m - x + 1) +
                                  x * log(above) + (m - x) * log1p(-above));
    out.ap += p / (x + 1);
    out.ndcg += p / log2(x + 2);
    out.recall += j < k ? p : 0;
  }
  return out;
}
