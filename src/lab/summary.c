/* From each user's numbers to a row: means with bootstrap intervals, what all lists do together,
 * the comparison with popularity, slices. Sources: bootstrap.h, stats.h, beyond.h. */
#include "lab/evaluate_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "lab/ab.h"
#include "lab/bootstrap.h"
#include "lab/per_user.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLIPS_WORK 20000000 /* sign flips × users at most … */
#define FLIPS_MIN  200      /* … but so many */
#define FLIPS_MAX  10000

/* --- means over users --- */

static const double *column(const wn_bench *b, int metric, size_t c) {
  return wn_bench_column(b, b->slot[metric], c);
}

static double *positives_of(const wn_bench *b) {
  double *n = wn_reallocarray(NULL, b->users_len + 1, sizeof *n);
  for (size_t at = 0; n != NULL && at < b->users_len; at++)
    n[at] = (double)wn_bench_relevant(b, b->users[at]).len;
  return n;
}

static wn_status user_means(const wn_bench *b, wn_model_result *row, wn_error *err) {
  size_t cutoffs = b->options->cutoffs_len, n = 0;
  const uint64_t samples_seed[2] = {b->options->bootstrap, b->options->seed};
  wn_bootstrap_column *columns = wn_calloc(b->slots * cutoffs + 1, sizeof *columns);
  wn_interval **out = wn_calloc(b->slots * cutoffs + 1, sizeof *out);
  double *positives = b->slot[WN_METRIC_GAUC] >= 0 ? positives_of(b) : NULL;
  bool done = columns != NULL && out != NULL && (b->slot[WN_METRIC_GAUC] < 0 || positives != NULL);
  for (int m = 0; done && m < WN_METRICS_OF_USERS; m++)
    for (size_t c = 0; b->slot[m] >= 0 && c < (wn_metric_has_cutoff((wn_metric)m) ? cutoffs : 1);
         c++) {
      columns[n].x = column(b, m, c);
      if (m == WN_METRIC_GAUC) columns[n].weight = positives;
      out[n++] = &row->at[c].of[m];
    }
  done = done && wn_bootstrap_columns(b->pool, columns, n, b->users_len, samples_seed);
  for (size_t i = 0; done && i < n; i++) *out[i] = columns[i].out;
  wn_free(columns);
  wn_free(out);
  wn_free(positives);
  return done ? WN_OK : wn_fail_memory(err);
}

static wn_status cold_means(const wn_bench *b, wn_model_result *row, wn_error *err) {
  size_t cutoffs = b->options->cutoffs_len;
  const uint64_t samples_seed[2] = {b->options->bootstrap, b->options->seed};
  wn_bootstrap_column columns[WN_TIED_METRICS * WN_CUTOFFS_MAX];
  memset(columns, 0, sizeof columns);
  for (size_t i = 0; i < WN_TIED_METRICS * cutoffs; i++)
    columns[i].x = column(b, (int)(i / cutoffs), i % cutoffs) + b->users_len;
  if (!wn_bootstrap_columns(b->pool, columns, WN_TIED_METRICS * cutoffs, b->cold_len, samples_seed))
    return wn_fail_memory(err);
  for (size_t i = 0; i < WN_TIED_METRICS * cutoffs; i++)
    row->cold[i % cutoffs].of[i / cutoffs] = columns[i].out;
  for (size_t c = 0; c < cutoffs; c++) row->cold[c].k = b->options->cutoffs[c];
  for (size_t at = b->users_len; at < b->users_len + b->cold_len; at++)
    row->cold_without_list += (b->flags[at] & WN_USER_EMPTY) != 0;
  return WN_OK;
}

static void tie_means(const wn_bench *b, wn_model_result *row) {
  for (size_t m = 0; m < WN_TIED_METRICS; m++)
    for (size_t c = 0; c < b->options->cutoffs_len; c++) {
      wn_exact sum[WN_TIE_WAYS] = {0};
      for (int t = 0; t < wn_pool_threads(b->pool); t++)
        for (int way = 0; way < WN_TIE_WAYS; way++) sum[way] += b->workers[t].ties[way][m][c];
      row->ties[m][c] = (wn_tie_result){wn_exact_mean(sum[WN_TIE_EXPECTED], b->users_len),
                                        wn_exact_mean(sum[WN_TIE_BEST], b->users_len),
                                        wn_exact_mean(sum[WN_TIE_WORST], b->users_len)};
    }
}

static void compat_means(const wn_bench *b, wn_model_result *row) {
  size_t users = 0;
  for (int t = 0; t < wn_pool_threads(b->pool); t++) users += b->workers[t].compat_users;
  for (size_t m = 0; m < WN_COMPAT_METRICS; m++)
    for (size_t c = 0; c < b->options->cutoffs_len; c++) {
      wn_exact sum = 0;
      for (int t = 0; t < wn_pool_threads(b->pool); t++) sum += b->workers[t].compat[m][c];
      row->compat[m][c] = wn_exact_mean(sum, users);
    }
}

/* --- all lists together --- */

static int descending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x < y) - (x > y);
}

static void set(wn_cutoff_result *at, wn_metric metric, double value) {
  at->of[metric] = (wn_interval){value, value, value};
}

/* `count` descending from here on. */
static void curves(const uint32_t *count, size_t items, double total, wn_model_result *row) {
  double sum = 0;
  size_t share = 0;
  for (size_t i = 0; i < items && share < WN_SHARES; i++) {
    sum += count[i];
    while (share < WN_SHARES && sum >= (double)(share + 1) / WN_SHARES * total - 1e-9)
      row->unique_items[share++] = (uint32_t)i + 1;
  }
  sum = 0;
  for (size_t i = items, step = 1; i-- > 0 && total > 0;) {
    sum += count[i];
    while (step <= WN_LORENZ_STEPS && (items - i) * WN_LORENZ_STEPS >= step * items)
      row->lorenz[step++] = sum / total;
  }
}

static void concentration(const wn_bench *b, size_t c, const uint32_t *counts, uint32_t *sorted,
                          wn_model_result *row) {
  size_t items = b->split->items, shown = 0;
  bool held_out = b->split->kind == WN_SPLIT_COLD_ITEMS && !b->options->rank_all;
  size_t catalogue = held_out ? wn_bitset_count(&b->universe) : items;
  double total = 0, entropy = 0;
  memcpy(sorted, counts, items * sizeof *sorted);
  qsort(sorted, items, sizeof *sorted, descending);
  for (size_t i = 0; i < items; i++) total += sorted[i];
  for (; shown < items && sorted[shown] > 0; shown++)
    entropy -= sorted[shown] / total * log2(sorted[shown] / total);
  wn_cutoff_result *at = &row->at[c];
  set(at, WN_METRIC_COVERAGE, catalogue > 0 ? (double)shown / (double)catalogue : 0);
  set(at, WN_METRIC_GINI, wn_gini(counts, items));
  set(at, WN_METRIC_ENTROPY, entropy);
  set(at, WN_METRIC_EFFECTIVE_ITEMS, shown > 0 ? exp2(entropy) : 0);
  set(at, WN_METRIC_USER_COVERAGE,
      1 - (double)row->users_without_list / (double)(b->users_len > 0 ? b->users_len : 1));
  if (c == 0) curves(sorted, items, total, row);
}

/* --- groups of items --- */

typedef struct group_sums {
  double size, relevant, found, shown, unseen;
} group_sums;

static void group_items(const wn_bench *b, const uint32_t *counts, const uint32_t *found,
                        group_sums *sums) {
  const wn_labels *labels = b->item_groups;
  for (uint32_t i = 0; i < b->split->items; i++)
    for (uint64_t p = labels->ptr[i]; p < labels->ptr[i + 1]; p++) {
      group_sums *g = &sums[labels->group[p]];
      g->size++;
      g->relevant += b->relevant_count[i];
      g->found += found[i];
      g->shown += counts[i];
    }
  for (uint32_t g = 0; g < labels->groups; g++)
    sums[g].unseen = sums[g].size * (double)b->users_len;
  for (size_t at = 0; at < b->users_len; at++) {
    const wn_user_items *seen = &b->split->seen;
    for (uint64_t s = seen->ptr[b->users[at]]; s < seen->ptr[b->users[at] + 1]; s++)
      for (uint64_t p = labels->ptr[seen->item[s]]; p < labels->ptr[seen->item[s] + 1]; p++)
        sums[labels->group[p]].unseen--;
  }
}

/* Population deviation over mean of part / whole, groups without a whole left out. */
static double variation(const double *part, const double *whole, size_t n) {
  double sum = 0, squares = 0, count = 0;
  for (size_t g = 0; g < n; g++) {
    if (!(whole[g] > 0)) continue;
    sum += part[g] / whole[g];
    squares += part[g] / whole[g] * (part[g] / whole[g]);
    count++;
  }
  double mean = sum / count;
  return sum > 0 ? sqrt(fmax(0, squares / count - mean * mean)) / mean : NAN;
}

static double least_over_greatest(const double *part, const double *whole, size_t n) {
  double least = INFINITY, greatest = 0;
  for (size_t g = 0; g < n; g++) {
    if (!(whole[g] > 0)) continue;
    least = fmin(least, part[g] / whole[g]);
    greatest = fmax(greatest, part[g] / whole[g]);
  }
  return greatest > 0 ? least / greatest : NAN;
}

static void parity(const wn_bench *b, size_t c, const uint32_t *counts, const uint32_t *found,
                   wn_model_result *row) {
  group_sums sums[WN_LABELS_MAX] = {{0}};
  double part[3][WN_LABELS_MAX], whole[3][WN_LABELS_MAX];
  size_t n = b->item_groups->groups;
  const wn_metric_set any = WN_METRIC_BIT(WN_METRIC_POP_REO) | WN_METRIC_BIT(WN_METRIC_POP_RSP) |
                            WN_METRIC_BIT(WN_METRIC_PARITY);
  if ((b->options->metrics & any) == 0) return;
  group_items(b, counts, found, sums);
  for (size_t g = 0; g < n; g++) {
    part[0][g] = sums[g].found, whole[0][g] = sums[g].relevant;
    part[1][g] = sums[g].shown, whole[1][g] = sums[g].unseen;
    part[2][g] = sums[g].shown, whole[2][g] = sums[g].size;
  }
  set(&row->at[c], WN_METRIC_POP_REO, variation(part[0], whole[0], n));
  set(&row->at[c], WN_METRIC_POP_RSP, variation(part[1], whole[1], n));
  set(&row->at[c], WN_METRIC_PARITY, least_over_greatest(part[2], whole[2], n));
}

/* Popularity opportunity (Zhu et al. 2021): is a relevant item found more often for being popular?
 */
static wn_status opportunity(const wn_bench *b, size_t c, const uint32_t *found,
                             wn_model_result *row, wn_error *err) {
  size_t items = b->split->items, n = 0;
  if ((b->options->metrics & WN_METRIC_BIT(WN_METRIC_POP_OPPORTUNITY)) == 0) return WN_OK;
  double *popularity = wn_reallocarray(NULL, 2 * items + 1, sizeof *popularity);
  if (popularity == NULL) return wn_fail_memory(err);
  double *rate = popularity + items;
  for (size_t i = 0; i < items; i++) {
    if (b->relevant_count[i] == 0) continue;
    popularity[n] = b->context.popularity[i];
    rate[n++] = (double)found[i] / b->relevant_count[i];
  }
  set(&row->at[c], WN_METRIC_POP_OPPORTUNITY, n > 1 ? wn_spearman(popularity, rate, n) : NAN);
  wn_free(popularity);
  return WN_OK;
}

typedef struct popular_item {
  uint32_t n, item;
} popular_item;

static int most_popular_first(const void *a, const void *b) {
  const popular_item *x = a, *y = b;
  if (x->n != y->n) return x->n > y->n ? -1 : 1;
  return (x->item > y->item) - (x->item < y->item);
}

static wn_status tpr_by_popularity(const wn_bench *b, const uint32_t *found, wn_model_result *row,
                                   wn_error *err) {
  uint32_t items = b->split->items;
  popular_item *order = wn_reallocarray(NULL, (size_t)items + 1, sizeof *order);
  double of[WN_TPR_BINS] = {0}, hits[WN_TPR_BINS] = {0}, before = 0;
  if (order == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < items; i++) order[i] = (popular_item){b->context.popularity[i], i};
  qsort(order, items, sizeof *order, most_popular_first);
  for (uint32_t i = 0; i < items; i++) {
    size_t bin = (size_t)(before / fmax(b->context.pairs, 1) * WN_TPR_BINS);
    bin = bin < WN_TPR_BINS ? bin : WN_TPR_BINS - 1;
    of[bin] += b->relevant_count[order[i].item];
    hits[bin] += found[order[i].item];
    before += order[i].n;
  }
  for (size_t bin = 0; bin < WN_TPR_BINS; bin++)
    row->tpr[bin] = of[bin] > 0 ? hits[bin] / of[bin] : NAN;
  wn_free(order);
  return WN_OK;
}

static wn_status together(const wn_bench *b, wn_model_result *row, wn_error *err) {
  size_t items = b->split->items, threads = (size_t)wn_pool_threads(b->pool);
  uint32_t *sorted = wn_reallocarray(NULL, items + 1, sizeof *sorted);
  wn_status status = sorted != NULL ? WN_OK : wn_fail_memory(err);
  for (size_t c = 0; status == WN_OK && c < b->options->cutoffs_len; c++) {
    uint32_t *counts = b->workers[0].counts + c * items, *found = b->workers[0].found + c * items;
    for (size_t t = 1; t < threads; t++)
      for (size_t i = 0; i < items; i++) {
        counts[i] += b->workers[t].counts[c * items + i];
        found[i] += b->workers[t].found[c * items + i];
      }
    concentration(b, c, counts, sorted, row);
    parity(b, c, counts, found, row);
    status = opportunity(b, c, found, row, err);
    if (status == WN_OK && c == 0) status = tpr_by_popularity(b, found, row, err);
  }
  wn_free(sorted);
  return status;
}

/* --- comparisons --- */

static wn_status compare(wn_pool *pool, const double *a, const double *b, size_t n,
                         const uint64_t samples_seed[2], wn_comparison *out) {
  double *difference = wn_reallocarray(NULL, n + 1, sizeof *difference);
  size_t flips = n > 0 ? FLIPS_WORK / n : 0;
  if (difference == NULL) return WN_E_MEMORY;
  *out = (wn_comparison){{NAN, NAN, NAN}, NAN, NAN, NAN, 0, 0, 0};
  for (size_t i = 0; i < n; i++) {
    difference[i] = a[i] - b[i];
    out->wins += difference[i] > 0;
    out->losses += difference[i] < 0;
    out->ties += difference[i] == 0;
  }
  wn_bootstrap_column one = {difference, NULL, {0, 0, 0}};
  bool done = wn_bootstrap_columns(pool, &one, 1, n, samples_seed);
  flips = flips < FLIPS_MIN ? FLIPS_MIN : flips > FLIPS_MAX ? FLIPS_MAX : flips;
  wn_paired p = wn_paired_tests(a, b, n, (uint32_t)flips, samples_seed[1]);
  out->difference = one.out;
  out->t_p = p.difference.p;
  out->wilcoxon_p = p.wilcoxon_p;
  out->flip_p = p.flip_p;
  wn_free(difference);
  return done ? WN_OK : WN_E_MEMORY;
}

static wn_status over_popular(wn_bench *b, wn_model_result *row, wn_error *err) {
  const double *value = column(b, b->options->primary, 0);
  const uint64_t samples_seed[2] = {b->options->bootstrap, b->options->seed};
  row->user_value = wn_reallocarray(NULL, b->users_len + 1, sizeof *value);
  if (row->user_value == NULL) return wn_fail_memory(err);
  memcpy(row->user_value, value, b->users_len * sizeof *value);
  if (b->popular_value == NULL && b->model != NULL && strcmp(row->name, "popular") == 0) {
    b->popular_value = wn_reallocarray(NULL, b->users_len + 1, sizeof *value);
    if (b->popular_value == NULL) return wn_fail_memory(err);
    memcpy(b->popular_value, value, b->users_len * sizeof *value);
  } else if (b->popular_value != NULL) {
    if (compare(b->pool, value, b->popular_value, b->users_len, samples_seed, &row->over_popular) !=
        WN_OK)
      return wn_fail_memory(err);
    return WN_OK;
  }
  row->over_popular = (wn_comparison){{NAN, NAN, NAN}, NAN, NAN, NAN, 0, 0, 0};
  return WN_OK;
}

static wn_status compare_alone(const double *a, const double *b, size_t n, uint64_t seed,
                               wn_comparison *out, wn_error *err) {
  wn_pool *pool = wn_pool_create(1);
  const uint64_t samples_seed[2] = {1000, seed};
  if (pool == NULL) return wn_fail_memory(err);
  wn_status status = compare(pool, a, b, n, samples_seed, out);
  wn_pool_free(pool);
  return status == WN_OK ? WN_OK : wn_fail_memory(err);
}

wn_status wn_evaluation_compare(const wn_evaluation *a, size_t row_a, const wn_evaluation *b,
                                size_t row_b, wn_comparison *out, wn_error *err) {
  if (row_a >= a->rows_len || row_b >= b->rows_len)
    return wn_fail(err, WN_E_ARGUMENT, "model", "there is no such row");
  if (a->users_evaluated != b->users_evaluated || a->population_hash != b->population_hash)
    return wn_fail(err, WN_E_ARGUMENT, "users",
                   "%s and %s were not measured on the same users and relevant items: such means "
                   "are not comparable",
                   a->rows[row_a].name, b->rows[row_b].name);
  if (a->primary != b->primary || a->rows[row_a].at[0].k != b->rows[row_b].at[0].k)
    return wn_fail(err, WN_E_ARGUMENT, "metrics", "the two were not measured by the same metric");
  return compare_alone(a->rows[row_a].user_value, b->rows[row_b].user_value,
                       (size_t)a->users_evaluated, a->seed, out, err);
}

wn_status wn_per_user_compare(const wn_per_user *a, const wn_per_user *b, wn_comparison *out,
                              wn_error *err) {
  if (strcmp(a->population, b->population) != 0 || a->users_hash != b->users_hash ||
      a->len != b->len)
    return wn_fail(err, WN_E_ARGUMENT, "users",
                   "the two were not measured on the same users and relevant items (%zu and %zu "
                   "users): such means are not comparable",
                   a->len, b->len);
  if (strcmp(a->metric, b->metric) != 0)
    return wn_fail(err, WN_E_ARGUMENT, "metrics", "one was measured by %s, the other by %s",
                   a->metric, b->metric);
  return compare_alone(a->value, b->value, a->len, 1, out, err);
}

/* --- slices --- */

static wn_slice *open_slice(wn_model_result *row, const wn_labels *labels, uint32_t g,
                            bool of_items) {
  if (row->slices_len == WN_SLICES_MAX) return NULL;
  wn_slice *s = &row->slices[row->slices_len++];
  memset(s, 0, sizeof *s);
  s->of_items = of_items;
  snprintf(s->by, sizeof s->by, "%s", labels->by);
  snprintf(s->name, sizeof s->name, "%s", labels->name[g]);
  return s;
}

static bool is_in(const wn_labels *labels, uint32_t row, uint32_t group) {
  for (uint64_t p = labels->ptr[row]; p < labels->ptr[row + 1]; p++)
    if (labels->group[p] == group) return true;
  return false;
}

/* No metric of a user is below 0, and no recall above 1: nor is what its mean may be. */
static wn_estimate slice_mean(const double *value, size_t n, double most) {
  wn_estimate e = wn_t_interval(value, n, 0.05);
  if (isfinite(e.low)) e.low = fmax(e.low, 0);
  if (isfinite(e.high)) e.high = fmin(e.high, most);
  return e;
}

/* `inside` and `outside`: room for every user. */
static void slice_users(const wn_bench *b, const wn_labels *labels, double *inside, double *outside,
                        wn_model_result *row) {
  const double *value = column(b, b->options->primary, 0);
  double mean[WN_LABELS_MAX], one[WN_LABELS_MAX];
  size_t groups = 0;
  for (uint32_t g = 0; g < labels->groups; g++) {
    size_t in = 0, out = 0;
    for (size_t at = 0; at < b->users_len; at++) {
      if (isnan(value[at])) continue;
      if (b->users[at] < labels->rows && is_in(labels, b->users[at], g))
        inside[in++] = value[at];
      else
        outside[out++] = value[at];
    }
    wn_slice *s = in > 0 ? open_slice(row, labels, g, false) : NULL;
    if (s == NULL) continue;
    s->users = in;
    s->value = slice_mean(inside, in, INFINITY);
    s->p = in > 1 && out > 1
               ? wn_welch(wn_moments_of(outside, out), wn_moments_of(inside, in), 0.05).absolute.p
               : NAN;
    mean[groups] = s->value.value;
    one[groups++] = 1;
  }
  bool asked = (b->options->metrics & WN_METRIC_BIT(WN_METRIC_USER_PARITY)) != 0;
  bool own = b->options->user_labels_len > 0 ? labels == &b->options->user_labels[0]
                                             : labels == &b->history;
  if (asked && own) set(&row->at[0], WN_METRIC_USER_PARITY, least_over_greatest(mean, one, groups));
}

/* Recall of a group's items against that of the others, of users who have both. */
static void slice_items(const wn_bench *b, const wn_labels *labels, size_t base, double *scratch[2],
                        wn_model_result *row) {
  const double *recall = column(b, WN_METRIC_RECALL, 0);
  for (uint32_t g = 0; g < labels->groups; g++) {
    const float *of_group = b->item_recall + (base + g) * b->users_len;
    size_t n = 0;
    for (size_t at = 0; at < b->users_len; at++) {
      if (isnan(of_group[at])) continue;
      scratch[0][n] = (double)of_group[at];
      scratch[1][n++] = (double)of_group[at] - recall[at];
    }
    wn_slice *s = n > 0 ? open_slice(row, labels, g, true) : NULL;
    if (s == NULL) continue;
    s->users = n;
    s->value = slice_mean(scratch[0], n, 1);
    s->p = n > 1 ? wn_t_interval(scratch[1], n, 0.05).p : NAN;
  }
}

static bool adjust(wn_model_result *row) {
  double p[WN_SLICES_MAX], adjusted[WN_SLICES_MAX];
  size_t n = 0;
  for (size_t i = 0; i < row->slices_len; i++)
    if (!isnan(row->slices[i].p)) p[n++] = row->slices[i].p;
  if (!wn_adjust_p(WN_BENJAMINI_HOCHBERG, p, n, adjusted)) return false;
  n = 0;
  for (size_t i = 0; i < row->slices_len; i++)
    row->slices[i].p_adjusted = isnan(row->slices[i].p) ? NAN : adjusted[n++];
  return true;
}

static wn_status slices(const wn_bench *b, wn_model_result *row, wn_error *err) {
  const wn_labels *labels[WN_ATTRIBUTES_MAX + 1];
  double *scratch[2] = {wn_reallocarray(NULL, b->users_len + 1, sizeof(double)),
                        wn_reallocarray(NULL, b->users_len + 1, sizeof(double))};
  bool done = scratch[0] != NULL && scratch[1] != NULL;
  size_t count = wn_bench_item_labels(b, labels), base = 0;
  if (done) slice_users(b, &b->history, scratch[0], scratch[1], row);
  for (size_t l = 0; done && l < b->options->user_labels_len; l++)
    slice_users(b, &b->options->user_labels[l], scratch[0], scratch[1], row);
  for (size_t l = 0; done && l < count; base += labels[l++]->groups)
    slice_items(b, labels[l], base, scratch, row);
  done = done && adjust(row);
  wn_free(scratch[0]);
  wn_free(scratch[1]);
  return done ? WN_OK : wn_fail_memory(err);
}

/* --- the row --- */

static void count_users(const wn_bench *b, wn_model_result *row) {
  for (size_t at = 0; at < b->users_len; at++) {
    row->users_without_list += (b->flags[at] & WN_USER_EMPTY) != 0;
    row->users_tied += (b->flags[at] & WN_USER_TIED) != 0;
  }
  if (b->given == NULL) return;
  for (size_t at = 0; at < b->users_len; at++) {
    uint32_t user = b->users[at];
    const wn_user_items *lists = &b->given->lists, *seen = &b->split->seen;
    for (uint64_t p = user < b->given->users ? lists->ptr[user] : 0;
         user < b->given->users && p < lists->ptr[user + 1]; p++)
      row->seen_items +=
          wn_ascending_find(seen->item + seen->ptr[user],
                            (size_t)(seen->ptr[user + 1] - seen->ptr[user]), lists->item[p]) >= 0;
  }
}

wn_status wn_bench_summarise(wn_bench *b, wn_model_result *row, wn_error *err) {
  uint64_t start = wn_mono_ns();
  wn_status status;
  for (size_t c = 0; c < WN_CUTOFFS_MAX; c++)
    for (size_t m = 0; m < WN_METRICS; m++)
      row->at[c].of[m] = row->cold[c].of[m] = (wn_interval){NAN, NAN, NAN};
  for (size_t c = 0; c < b->options->cutoffs_len; c++) row->at[c].k = b->options->cutoffs[c];
  count_users(b, row);
  tie_means(b, row);
  compat_means(b, row);
  WN_TRY(user_means(b, row, err));
  WN_TRY(cold_means(b, row, err));
  WN_TRY(together(b, row, err));
  WN_TRY(over_popular(b, row, err));
  WN_TRY(slices(b, row, err));
  row->metric_seconds = (double)(wn_mono_ns() - start) * 1e-9;
cleanup:
  return status;
}
