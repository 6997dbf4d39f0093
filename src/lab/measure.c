/* One row of an evaluation: every user's list, from the serving path itself (candidates of a
 * fold-in from the train history, under the bitmap of what is allowed), a tile of users at a time
 * where the model answers in batches, and from the list the user's numbers.
 *
 * Ties: a list with two equal scores next to each other is one of several that the model might as
 * well have given. Its user's metrics are also taken as the expectation over the orders of equal
 * scores, and for the best and the worst order (scored.h). The last group may go on below the list:
 * then the scores of the whole catalogue say how far.
 *
 * Where areas under curves are asked for, all scores are computed and the list is the best of them.
 *
 * Costs: a `candidates` (or `score_all`) call a user; metrics of the list at all cutoffs in one
 * pass. Memory: 8 bytes × metrics × cutoffs a user, 8 bytes × cutoffs an item and thread. Each
 * user's numbers are independent, sums run in user order or are exact: same seed, same digits, for
 * any thread count.
 */
#include "lab/evaluate_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"
#include "lab/beyond.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 256 }; /* scores at a time */

typedef struct ranked {
  uint32_t *item;
  float *score; /* NULL: none */
  size_t len;
} ranked;
typedef struct best_scores {
  const wn_scored *data;
  size_t len;
} best_scores;

/* --- what a list may hold --- */

/* The choices, or everything, without what she has seen. Between two users `allowed` is empty with
 * choices, else the universe. */
void wn_bench_open(const wn_bench *b, wn_bitset *allowed, uint32_t user) {
  const wn_user_items *choices = &b->split->choices, *seen = &b->split->seen;
  for (uint64_t p = choices->ptr != NULL ? choices->ptr[user] : 0;
       choices->ptr != NULL && p < choices->ptr[user + 1]; p++)
    if (wn_bitset_test(&b->universe, choices->item[p])) wn_bitset_set(allowed, choices->item[p]);
  for (uint64_t p = seen->ptr[user]; p < seen->ptr[user + 1]; p++)
    wn_bitset_unset(allowed, seen->item[p]);
}

void wn_bench_close(const wn_bench *b, wn_bitset *allowed, uint32_t user) {
  const wn_user_items *choices = &b->split->choices, *seen = &b->split->seen;
  if (choices->ptr != NULL) {
    for (uint64_t p = choices->ptr[user]; p < choices->ptr[user + 1]; p++)
      wn_bitset_unset(allowed, choices->item[p]);
    return;
  }
  for (uint64_t p = seen->ptr[user]; p < seen->ptr[user + 1]; p++)
    if (wn_bitset_test(&b->universe, seen->item[p])) wn_bitset_set(allowed, seen->item[p]);
}

/* --- queries --- */

static wn_status history_of(const wn_bench *b, uint32_t user, wn_query *query) {
  const wn_csr *m = &b->histories->by_user;
  uint64_t begin = m->row_ptr[user], end = m->row_ptr[user + 1];
  wn_history_entry *h = wn_arena_alloc(query->arena, (end - begin + 1) * sizeof *h);
  uint8_t *type = wn_arena_alloc(query->arena, end - begin + 1);
  if (h == NULL || type == NULL) return WN_E_MEMORY;
  for (uint64_t p = end; p-- > begin;) {
    type[query->history_len] = m->type[p];
    h[query->history_len++] = (wn_history_entry){m->col[p], m->weight[p], m->time_ms[p]};
  }
  query->history = h;
  query->history_type = type;
  return WN_OK;
}

static wn_status query_of(const wn_bench *b, wn_bench_worker *w, uint32_t user, wn_query *out) {
  const int64_t *asked = b->split->asked_ms;
  *out = (wn_query){.user = user,
                    .anchor = WN_NO_IX,
                    .now_ms = asked != NULL ? asked[user] : b->histories->now_ms,
                    .seed = b->options->seed ^ wn_mix64(user),
                    .arena = &w->arena};
  return history_of(b, user, out);
}

static wn_status rank_by_funnel(const wn_bench *b, const wn_query *query, ranked *list,
                                wn_error *err) {
  const wn_split *s = b->split;
  uint64_t begin = s->seen.ptr[query->user], n = s->seen.ptr[query->user + 1] - begin;
  wn_seen_entry *seen = wn_arena_alloc(query->arena, (n + 1) * sizeof *seen);
  list->item = wn_arena_alloc(query->arena, b->k_max * sizeof *list->item);
  if (seen == NULL || list->item == NULL) return wn_fail_memory(err);
  for (uint64_t i = 0; i < n; i++) seen[i] = (wn_seen_entry){s->seen.item[begin + i], UINT64_MAX};
  wn_request request = {.surface = b->surface,
                        .models = &b->models,
                        .catalog = b->options->catalog,
                        .filters = b->filters,
                        .signals = b->signals,
                        .query = *query,
                        .within = &b->universe,
                        .seen = seen,
                        .seen_len = (size_t)n,
                        .n = (uint32_t)b->k_max};
  wn_slate slate;
  wn_status status = wn_funnel_run(&request, &slate, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < slate.len; i++) list->item[i] = slate.items[i].item;
  list->len = slate.len;
  return WN_OK;
}

static ranked given_list(const wn_bench *b, uint32_t user) {
  const wn_user_items *lists = &b->given->lists;
  if (user >= b->given->users) return (ranked){0};
  uint64_t begin = lists->ptr[user];
  return (ranked){lists->item + begin, lists->weight != NULL ? lists->weight + begin : NULL,
                  (size_t)(lists->ptr[user + 1] - begin)};
}

/* --- ties --- */

static bool has_ties(const ranked *list) {
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
                           const ranked *list, wn_tied_group *out, size_t *count) {
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

static void six_of(const wn_ranking_metrics *m, double out[WN_TIED_METRICS]) {
  const double six[WN_TIED_METRICS] = {m->ndcg, m->recall, m->precision,
                                       m->hit,  m->mrr,    m->ap_over_min};
  memcpy(out, six, sizeof six);
}

/* Adds a user to the row's tie sums; for given lists her values become the expected ones. */
static wn_status record_ties(const wn_bench *b, wn_bench_worker *w, size_t at,
                             const wn_query *query, const ranked *list,
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
      six_of(ways[way], six);
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

static wn_status record(const wn_bench *b, wn_bench_worker *w, size_t at, const wn_query *query,
                        const ranked *list) {
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

/* --- from the scores of everything --- */

/* Areas under curves are asked of this user, so all her scores are computed and her list is the
 * best of them: what candidates() promises. */
static bool wants_scores(const wn_bench *b, size_t at) {
  return (b->options->metrics & WN_METRICS_OF_SCORES) != 0 && at < b->users_len;
}

/* The scores; NaN: not allowed. */
static wn_status score_allowed(const wn_bench *b, wn_bench_worker *w, const wn_query *query) {
  uint32_t items = b->split->items;
  wn_status status = b->model->cls->score_all(b->model, query, w->scores, items, &w->error);
  for (uint32_t i = 0; status == WN_OK && i < items; i += 64) {
    uint64_t closed = ~query->allowed->words[i / 64];
    for (uint32_t j = i; closed != 0 && j < items && j < i + 64; j++, closed >>= 1)
      if ((closed & 1) != 0) w->scores[j] = NAN;
  }
  return status;
}

static size_t best_of(const wn_bench *b, const wn_bench_worker *w, wn_scored *out) {
  wn_topk top;
  uint32_t items = b->split->items, at[BLOCK];
  wn_topk_init(&top, out, b->k_max);
  for (uint32_t i = 0; i < items; i += BLOCK) {
    float least = top.len < top.k ? -FLT_MAX : top.heap[0].score;
    size_t n = wn_simd()->above(w->scores + i, items - i < BLOCK ? items - i : BLOCK, least, at);
    for (size_t j = 0; j < n; j++) wn_topk_push(&top, i + at[j], w->scores[i + at[j]]);
  }
  return wn_topk_sort(&top);
}

static wn_status record_areas(const wn_bench *b, wn_bench_worker *w, size_t at,
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

/* --- a tile of users --- */

static wn_status record_scored(const wn_bench *b, wn_bench_worker *w, size_t at,
                               const wn_query *query, best_scores of) {
  uint32_t *item = wn_arena_alloc(&w->arena, (of.len + 1) * sizeof *item);
  float *score = wn_arena_alloc(&w->arena, (of.len + 1) * sizeof *score);
  if (item == NULL || score == NULL) return wn_fail_memory(&w->error);
  for (size_t j = 0; j < of.len; j++) {
    item[j] = of.data[j].ix;
    score[j] = of.data[j].score;
  }
  const ranked list = {item, score, of.len};
  return record(b, w, at, query, &list);
}

static wn_status rank_by_scores(const wn_bench *b, wn_bench_worker *w, size_t at,
                                const wn_query *query) {
  wn_scored *best = wn_arena_alloc(&w->arena, b->k_max * sizeof *best);
  wn_status status = best == NULL ? wn_fail_memory(&w->error) : score_allowed(b, w, query);
  if (status != WN_OK) return status;
  w->scored = true;
  status = record_scored(b, w, at, query, (best_scores){best, best_of(b, w, best)});
  w->scored = false;
  return status == WN_OK ? record_areas(b, w, at, query) : status;
}

static wn_status rank_tile(const wn_bench *b, wn_bench_worker *w, wn_query *queries, size_t begin,
                           size_t n) {
  size_t count[WN_EVALUATE_TILE], first = 0;
  wn_status status = WN_OK;
  for (; first < n && wants_scores(b, begin + first) && status == WN_OK; first++)
    status = rank_by_scores(b, w, begin + first, &queries[first]);
  if (status != WN_OK || first == n) return status;
  wn_scored *scored = wn_arena_alloc(&w->arena, (n - first) * b->k_max * sizeof *scored);
  wn_query_batch batch = {queries + first, n - first, b->k_max, scored, count};
  if (scored == NULL) return wn_fail_memory(&w->error);
  status = wn_model_candidates_batch(b->model, &batch, &w->error);
  for (size_t i = first; status == WN_OK && i < n; i++)
    status = record_scored(b, w, begin + i, &queries[i],
                           (best_scores){scored + (i - first) * b->k_max, count[i - first]});
  return status;
}

static wn_status rank_one(const wn_bench *b, wn_bench_worker *w, const wn_query *query, size_t at) {
  ranked list = {0};
  wn_status status = WN_OK;
  if (b->given != NULL)
    list = given_list(b, query->user);
  else
    status = rank_by_funnel(b, query, &list, &w->error);
  return status == WN_OK ? record(b, w, at, query, &list) : status;
}

static wn_status measure_tile(const wn_bench *b, wn_bench_worker *w, size_t begin, size_t end) {
  wn_query queries[WN_EVALUATE_TILE];
  wn_status status = WN_OK;
  wn_arena_reset(&w->arena);
  for (size_t at = begin; at < end; at++) {
    wn_query *query = &queries[at - begin];
    if (query_of(b, w, b->users[at], query) != WN_OK) return wn_fail_memory(&w->error);
    wn_bench_open(b, &w->allowed[at - begin], query->user);
    if (b->model != NULL) query->allowed = &w->allowed[at - begin];
  }
  if (b->model != NULL)
    status = rank_tile(b, w, queries, begin, end - begin);
  else
    status = rank_one(b, w, &queries[0], begin);
  for (size_t at = begin; at < end; at++) wn_bench_close(b, &w->allowed[at - begin], b->users[at]);
  return status;
}

static void measure_rows(void *ctx, size_t begin, size_t end, int worker) {
  const wn_bench *b = ctx;
  wn_bench_worker *w = &b->workers[worker];
  bool batches = b->model != NULL && b->model->cls->candidates_batch != NULL;
  size_t step = batches ? WN_EVALUATE_TILE : 1; /* the arena is one user's where that can be */
  for (size_t at = begin; at < end && w->error.status == WN_OK; at += step) {
    wn_status status = measure_tile(b, w, at, at + step < end ? at + step : end);
    if (status != WN_OK && w->error.status == WN_OK) w->error.status = WN_E_INTERNAL;
  }
}

/* --- the row --- */

static void begin_row(wn_bench *b) {
  size_t cells = b->options->cutoffs_len * b->split->items;
  size_t all = b->slots * b->options->cutoffs_len * (b->users_len + b->cold_len);
  for (size_t i = 0; i < all; i++) b->values[i] = NAN;
  for (int t = 0; t < wn_pool_threads(b->pool); t++) {
    wn_bench_worker *w = &b->workers[t];
    memset(w->counts, 0, cells * sizeof *w->counts);
    memset(w->found, 0, cells * sizeof *w->found);
    memset(w->ties, 0, sizeof w->ties);
    memset(w->compat, 0, sizeof w->compat);
    w->compat_users = 0;
    w->error = (wn_error){0};
    for (size_t i = 0; i < WN_EVALUATE_TILE; i++) {
      wn_bitset_fill(&w->allowed[i], false);
      if (b->split->choices.ptr == NULL) wn_bitset_copy(&w->allowed[i], &b->universe);
    }
  }
}

wn_status wn_bench_measure(wn_bench *b, wn_model_result *row, wn_error *err) {
  uint64_t start = wn_mono_ns();
  begin_row(b);
  wn_pool_run(b->pool, b->users_len + b->cold_len, WN_EVALUATE_TILE, measure_rows, b);
  for (int t = 0; t < wn_pool_threads(b->pool); t++) {
    if (b->workers[t].error.status == WN_OK) continue;
    *err = b->workers[t].error;
    return err->status;
  }
  row->rank_seconds = (double)(wn_mono_ns() - start) * 1e-9;
  return WN_OK;
}

/* --- the constant scorer --- */

typedef struct constant_sums {
  const wn_bench *b;
  wn_exact (*sum)[2][WN_TIED_METRICS][WN_CUTOFFS_MAX]; /* [workers] expected, by number */
} constant_sums;

static void constant_user(const constant_sums *c, wn_bench_worker *w, uint32_t user, int worker) {
  const wn_bench *b = c->b;
  wn_bitset *allowed = &w->allowed[0];
  wn_relevant relevant = wn_bench_relevant(b, user);
  wn_ranking_metrics m[WN_CUTOFFS_MAX];
  wn_tied_group all = {0, 0};
  wn_ranked first = {NULL, 0};
  wn_arena_reset(&w->arena);
  uint32_t *list = wn_arena_alloc(&w->arena, b->k_max * sizeof *list);
  wn_bench_open(b, allowed, user);
  all.len = wn_bitset_count(allowed);
  for (size_t r = 0; r < relevant.len; r++)
    all.relevant += wn_bitset_test(allowed, relevant.items[r]);
  for (uint32_t i = 0; list != NULL && i < b->split->items && first.len < b->k_max; i++)
    if (wn_bitset_test(allowed, i)) list[first.len++] = i;
  first.item = list;
  wn_bench_close(b, allowed, user);
  if (list == NULL) wn_fail_memory(&w->error);
  if (list == NULL) return;
  wn_ranking_metrics_at(&first, &relevant, b->options->cutoffs, b->options->cutoffs_len, m);
  for (size_t k = 0; k < b->options->cutoffs_len; k++) {
    wn_tied_metrics tied;
    double six[2][WN_TIED_METRICS];
    wn_tied_metrics_of_groups(&all, 1, relevant.len, b->options->cutoffs[k], &tied);
    six_of(&tied.expected, six[0]);
    six_of(&m[k], six[1]);
    for (size_t i = 0; i < 2 * WN_TIED_METRICS; i++)
      c->sum[worker][i / WN_TIED_METRICS][i % WN_TIED_METRICS][k] +=
          wn_exact_of(six[i / WN_TIED_METRICS][i % WN_TIED_METRICS]);
  }
}

static void constant_rows(void *ctx, size_t begin, size_t end, int worker) {
  const constant_sums *c = ctx;
  for (size_t at = begin; at < end; at++)
    constant_user(c, &c->b->workers[worker], c->b->users[at], worker);
}

wn_status wn_bench_constant(wn_bench *b, wn_constant *out, wn_error *err) {
  int threads = wn_pool_threads(b->pool);
  constant_sums c = {b, wn_calloc((size_t)threads, sizeof *c.sum)};
  if (c.sum == NULL) return wn_fail_memory(err);
  begin_row(b);
  wn_pool_run(b->pool, b->users_len, WN_EVALUATE_TILE, constant_rows, &c);
  wn_status status = WN_OK;
  for (int t = 0; t < threads; t++) {
    if (b->workers[t].error.status != WN_OK) status = wn_fail_memory(err);
    for (size_t i = 0; t > 0 && i < sizeof *c.sum / sizeof(wn_exact); i++)
      ((wn_exact *)c.sum[0])[i] += ((wn_exact *)c.sum[t])[i];
  }
  for (size_t i = 0; i < WN_TIED_METRICS; i++)
    for (size_t k = 0; k < b->options->cutoffs_len; k++) {
      out->expected[i][k] = wn_exact_mean(c.sum[0][0][i][k], b->users_len);
      out->by_number[i][k] = wn_exact_mean(c.sum[0][1][i][k], b->users_len);
    }
  wn_free(c.sum);
  return status;
}
