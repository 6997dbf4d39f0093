/* From a user's list her numbers: all metrics at all cutoffs in one pass, what the list adds to the
 * row's counts of items, and what ties could have made of it.
 *
 * Ties: a list with two equal scores next to each other is one of several that the model might as
 * well have given. Its user's metrics are also taken as the expectation over the orders of equal
 * scores, and for the best and the worst order (scored.h). The last group may go on below the list:
 * then the scores of the whole catalogue say how far.
 */
#include "lab/evaluate_internal.h"

#include "lab/beyond.h"

#include <math.h>
#include <string.h>

/* --- ties --- */

static bool has_ties(const wn_bench_list *list) {
  for (size_t i = 0; list->score != NULL && i + 1 < list->len; i++)
    if (list->score[i] == list->score[i + 1]) return true;
  return false;
}

/* How many allowed items, and how many relevant ones, have exactly this score. */
static wn_status count_equal(const wn_bench *b, wn_bench_worker *w, const wn_query *query,
                             float score, wn_tied_group *out) {
  const wn_bitset *allowed = query->allowed;
  wn_relevant relevant = wn_bench_relevant(b, query->user);
  wn_status status = WN_OK;
  if (!w->scored)
    status = b->model->cls->score_all(b->model, query, w->scores, b->split->items, &w->error);
  if (status != WN_OK) return status;
  *out = (wn_tied_group){0, 0};
  for (uint32_t i = 0; i < b->split->items; i++)
    out->len += w->scores[i] == score && wn_bitset_test(allowed, i);
  for (size_t r = 0; r < relevant.len; r++)
    out->relevant +=
        w->scores[relevant.items[r]] == score && wn_bitset_test(allowed, relevant.items[r]);
  return WN_OK;
}

/* The list as groups of equal scores; `query` NULL: nothing is known beyond the list. */
static wn_status groups_of(const wn_bench *b, wn_bench_worker *w, const wn_query *query,
                           const wn_bench_list *list, wn_tied_group *out, size_t *count) {
  wn_relevant relevant = wn_bench_relevant(b, query->user);
  size_t n = 0;
  for (size_t i = 0; i < list->len; i++) {
    if (i == 0 || list->score[i] != list->score[i - 1]) out[n++] = (wn_tied_group){0, 0};
    out[n - 1].len++;
    out[n - 1].relevant += wn_ascending_find(relevant.items, relevant.len, list->item[i]) >= 0;
  }
  *count = n;
  if (b->model == NULL || list->len < b->k_max || n == 0) return WN_OK;
  wn_tied_group whole;
  wn_status status = count_equal(b, w, query, list->score[list->len - 1], &whole);
  if (status == WN_OK && whole.len >= out[n - 1].len && whole.relevant >= out[n - 1].relevant)
    out[n - 1] = whole;
  return status;
}

/* Adds a user to the row's tie sums; for given lists her values become the expected ones. */
static wn_status record_ties(const wn_bench *b, wn_bench_worker *w, size_t at,
                             const wn_query *query, const wn_bench_list *list,
                             wn_ranking_metrics *served) {
  size_t n = 0;
  bool tied = has_ties(list);
  wn_tied_group *groups = NULL;
  wn_status status = WN_OK;
  if (tied) {
    groups = wn_arena_alloc(&w->arena, list->len * sizeof *groups);
    status = groups == NULL ? wn_fail_memory(&w->error) : groups_of(b, w, query, list, groups, &n);
  }
  if (status != WN_OK) return status;
  if (tied) b->flags[at] |= WN_USER_TIED;
  for (size_t c = 0; c < b->options->cutoffs_len; c++) {
    wn_tied_metrics m = {served[c], served[c], served[c]};
    if (tied)
      wn_tied_metrics_of_groups(groups, n, wn_bench_relevant(b, query->user).len,
                                b->options->cutoffs[c], &m);
    const wn_ranking_metrics *ways[WN_TIE_WAYS] = {&m.expected, &m.best, &m.worst};
    for (int way = 0; way < WN_TIE_WAYS && at < b->users_len; way++) {
      double six[WN_TIED_METRICS];
      wn_tied_six(ways[way], six);
      for (size_t i = 0; i < WN_TIED_METRICS; i++) w->ties[way][i][c] += wn_exact_of(six[i]);
    }
    if (tied && b->given != NULL) {
      double exp2_dcg = served[c].ndcg_exp2;
      served[c] = m.expected;
      served[c].ndcg_exp2 = exp2_dcg;
    }
  }
  return WN_OK;
}

/* --- a user's numbers --- */

static void put(const wn_bench *b, wn_metric metric, size_t c, size_t at, double value) {
  if (b->slot[metric] >= 0) wn_bench_column(b, b->slot[metric], c)[at] = value;
}

static void put_list(const wn_bench *b, size_t c, size_t at, const wn_ranking_metrics *m) {
  put(b, WN_METRIC_NDCG, c, at, m->ndcg);
  put(b, WN_METRIC_RECALL, c, at, m->recall);
  put(b, WN_METRIC_PRECISION, c, at, m->precision);
  put(b, WN_METRIC_HIT, c, at, m->hit);
  put(b, WN_METRIC_MRR, c, at, m->mrr);
  put(b, WN_METRIC_MAP, c, at, m->ap_over_min);
  put(b, WN_METRIC_RECALL_CAPPED, c, at, m->recall_capped);
  put(b, WN_METRIC_MAP_R, c, at, m->ap_over_R);
  put(b, WN_METRIC_F1, c, at, m->f1);
}

static bool asks(const wn_bench *b, wn_metric first, wn_metric last) {
  for (int m = first; m <= (int)last; m++)
    if (b->slot[m] >= 0) return true;
  return false;
}

static wn_status put_graded(const wn_bench *b, wn_bench_worker *w, size_t at, const wn_ranked *list,
                            uint32_t user) {
  wn_ranking_metrics m[WN_CUTOFFS_MAX];
  wn_relevant graded = wn_bench_relevant(b, user);
  const float *weight = b->split->test.weight + b->split->test.ptr[user];
  if (!asks(b, WN_METRIC_NDCG_LINEAR, WN_METRIC_NDCG_EXP)) return WN_OK;
  double *gain = wn_arena_alloc(&w->arena, (graded.len + 1) * sizeof *gain);
  if (gain == NULL) return wn_fail_memory(&w->error);
  for (size_t r = 0; r < graded.len; r++) gain[r] = (double)weight[r];
  graded.gain = gain;
  wn_ranking_metrics_at(list, &graded, b->options->cutoffs, b->options->cutoffs_len, m);
  for (size_t c = 0; c < b->options->cutoffs_len; c++) {
    put(b, WN_METRIC_NDCG_LINEAR, c, at, m[c].ndcg);
    put(b, WN_METRIC_NDCG_EXP, c, at, m[c].ndcg_exp2);
  }
  return WN_OK;
}

static void put_measures(const wn_bench *b, const wn_bench_worker *w, size_t at,
                         const wn_ranked *list, uint32_t user) {
  const wn_user_items *seen = &b->split->seen;
  const wn_list_user of = {seen->item + seen->ptr[user],
                           (size_t)(seen->ptr[user + 1] - seen->ptr[user]),
                           wn_bench_relevant(b, user), w->sums};
  wn_list_measures m[WN_CUTOFFS_MAX];
  if (!asks(b, WN_METRIC_POPULARITY, WN_METRIC_ILD)) return;
  wn_list_measures_at(&b->context, list, &of, b->options->cutoffs, b->options->cutoffs_len, m);
  for (size_t c = 0; c < b->options->cutoffs_len; c++) {
    put(b, WN_METRIC_POPULARITY, c, at, m[c].popularity);
    put(b, WN_METRIC_NOVELTY, c, at, m[c].novelty);
    put(b, WN_METRIC_SELF_INFORMATION, c, at, m[c].self_information);
    put(b, WN_METRIC_EPC, c, at, m[c].epc);
    put(b, WN_METRIC_SERENDIPITY, c, at, m[c].serendipity);
    put(b, WN_METRIC_UNEXPECTED, c, at, m[c].unexpected);
    put(b, WN_METRIC_ILD, c, at, m[c].ild);
  }
}

/* Adds items to a distribution over groups: an item of several groups counts in parts. */
static double add_mix(const wn_labels *labels, const uint32_t *item, size_t n, double *mix) {
  double total = 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t begin = labels->ptr[item[i]], end = labels->ptr[item[i] + 1];
    for (uint64_t p = begin; p < end; p++) mix[labels->group[p]] += 1 / (double)(end - begin);
    total += end > begin;
  }
  return total;
}

static void put_calibration(const wn_bench *b, size_t at, const wn_ranked *list, uint32_t user) {
  const wn_labels *labels = b->item_groups;
  const wn_user_items *seen = &b->split->seen;
  double p[WN_LABELS_MAX] = {0}, q[WN_LABELS_MAX] = {0}, share[WN_LABELS_MAX];
  if (b->slot[WN_METRIC_CALIBRATION] < 0) return;
  double had = add_mix(labels, seen->item + seen->ptr[user],
                       (size_t)(seen->ptr[user + 1] - seen->ptr[user]), p);
  for (uint32_t g = 0; g < labels->groups; g++) p[g] /= had > 0 ? had : 1;
  for (size_t c = 0; c < b->options->cutoffs_len; c++) {
    size_t n = list->len < b->options->cutoffs[c] ? list->len : b->options->cutoffs[c];
    memset(q, 0, sizeof q);
    double shown = add_mix(labels, list->item, n, q);
    for (uint32_t g = 0; g < labels->groups; g++) share[g] = q[g] / (shown > 0 ? shown : 1);
    put(b, WN_METRIC_CALIBRATION, c, at,
        had > 0 && shown > 0 ? wn_steck_kl(p, share, labels->groups, 0.01) : NAN);
  }
}

static void put_item_recall(const wn_bench *b, size_t at, const wn_ranked *list, uint32_t user) {
  const wn_labels *labels[WN_ATTRIBUTES_MAX + 1];
  size_t count = wn_bench_item_labels(b, labels), base = 0;
  wn_relevant relevant = wn_bench_relevant(b, user);
  size_t k = b->options->cutoffs[0], len = list->len < k ? list->len : k;
  for (size_t l = 0; l < count; base += labels[l++]->groups) {
    float of[WN_LABELS_MAX] = {0}, found[WN_LABELS_MAX] = {0};
    for (size_t r = 0; r < relevant.len; r++) {
      bool hit = false;
      for (size_t i = 0; i < len && !hit; i++) hit = list->item[i] == relevant.items[r];
      for (uint64_t p = labels[l]->ptr[relevant.items[r]];
           p < labels[l]->ptr[relevant.items[r] + 1]; p++) {
        of[labels[l]->group[p]]++;
        found[labels[l]->group[p]] += hit;
      }
    }
    for (uint32_t g = 0; g < labels[l]->groups; g++)
      b->item_recall[(base + g) * b->users_len + at] = of[g] > 0 ? found[g] / of[g] : NAN;
  }
}

static void count_items(const wn_bench *b, wn_bench_worker *w, const wn_ranked *list,
                        uint32_t user) {
  const uint32_t *cutoffs = b->options->cutoffs, items = b->split->items;
  wn_relevant relevant = wn_bench_relevant(b, user);
  for (size_t i = 0; i < list->len; i++) {
    bool hit = wn_ascending_find(relevant.items, relevant.len, list->item[i]) >= 0;
    if (list->item[i] >= items) continue; /* nobody knows it: a place lost */
    for (size_t c = 0; c < b->options->cutoffs_len; c++) {
      if (i >= cutoffs[c]) continue;
      w->counts[c * items + list->item[i]]++;
      w->found[c * items + list->item[i]] += hit;
    }
  }
}

/* Given lists may hold items that the data lack: they say nothing of popularity or mix. */
static wn_status without_unknown(const wn_bench *b, wn_bench_worker *w, wn_ranked *list) {
  uint32_t *known = wn_arena_alloc(&w->arena, (list->len + 1) * sizeof *known);
  size_t n = 0;
  if (b->given == NULL) return WN_OK;
  if (known == NULL) return wn_fail_memory(&w->error);
  for (size_t i = 0; i < list->len; i++)
    if (list->item[i] < b->split->items) known[n++] = list->item[i];
  *list = (wn_ranked){known, n};
  return WN_OK;
}

static void record_compat(const wn_bench *b, wn_bench_worker *w, const wn_ranked *list,
                          uint32_t user) {
  wn_relevant relevant = wn_bench_relevant(b, user);
  wn_compat tool = b->options->compat;
  double six[WN_COMPAT_METRICS];
  if (tool == WN_COMPAT_NONE || (list->len == 0 && wn_compat_drops_empty(tool))) return;
  w->compat_users++;
  for (size_t c = 0; c < b->options->cutoffs_len; c++) {
    wn_compat_metrics(tool, list, &relevant, b->options->cutoffs[c], six);
    for (size_t m = 0; m < WN_COMPAT_METRICS; m++) w->compat[m][c] += wn_exact_of(six[m]);
  }
}

wn_status wn_bench_record(const wn_bench *b, wn_bench_worker *w, size_t at, const wn_query *query,
                          const wn_bench_list *list) {
  wn_ranked items = {list->item, list->len < b->k_max ? list->len : b->k_max};
  wn_relevant relevant = wn_bench_relevant(b, query->user);
  wn_ranking_metrics m[WN_CUTOFFS_MAX];
  b->flags[at] = list->len == 0 ? WN_USER_EMPTY : 0;
  wn_ranking_metrics_at(&items, &relevant, b->options->cutoffs, b->options->cutoffs_len, m);
  wn_status status = record_ties(b, w, at, query, list, m);
  for (size_t c = 0; c < b->options->cutoffs_len; c++) put_list(b, c, at, &m[c]);
  if (status != WN_OK || at >= b->users_len) return status;
  status = put_graded(b, w, at, &items, query->user);
  if (status != WN_OK) return status;
  record_compat(b, w, &(wn_ranked){list->item, list->len}, query->user);
  count_items(b, w, &items, query->user);
  put_item_recall(b, at, &items, query->user);
  status = without_unknown(b, w, &items);
  if (status != WN_OK) return status;
  put_measures(b, w, at, &items, query->user);
  put_calibration(b, at, &items, query->user);
  return WN_OK;
}

wn_status wn_bench_record_areas(const wn_bench *b, wn_bench_worker *w, size_t at,
                                const wn_query *query) {
  wn_relevant relevant = wn_bench_relevant(b, query->user);
  wn_area_step *room = wn_arena_alloc(&w->arena, (relevant.len + 1) * sizeof *room);
  wn_areas areas;
  if (room == NULL) return wn_fail_memory(&w->error);
  wn_areas_of_relevant(w->scores, b->split->items, &relevant, room, &areas);
  put(b, WN_METRIC_AUC, 0, at, areas.roc_auc);
  put(b, WN_METRIC_GAUC, 0, at, areas.roc_auc);
  put(b, WN_METRIC_PR_AUC, 0, at, isnan(areas.roc_auc) ? NAN : areas.average_precision);
  return WN_OK;
}
