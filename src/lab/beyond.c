/* Sources in beyond.h. Costs: one pass over lists and train; co-occurrence merges the two items'
 * user rows, O(list² · users of an item) a user. */
#include "lab/beyond.h"

#include "base/mem.h"
#include "lab/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint32_t *counts_of(const wn_lists *lists, uint32_t items) {
  uint32_t *count = wn_calloc((size_t)items + 1, sizeof *count);
  for (uint64_t p = 0; count != NULL && p < lists->ptr[lists->users]; p++) count[lists->item[p]]++;
  return count;
}

typedef struct row {
  const uint32_t *item;
  uint64_t len;
} row;

static row row_of(const wn_lists *lists, size_t user) {
  if (user >= lists->users) return (row){NULL, 0};
  return (row){lists->item + lists->ptr[user], lists->ptr[user + 1] - lists->ptr[user]};
}

static bool in_row(const wn_lists *lists, size_t user, uint32_t item) {
  row r = row_of(lists, user);
  for (uint64_t p = 0; p < r.len; p++)
    if (r.item[p] == item) return true;
  return false;
}

static int descending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x < y) - (x > y);
}

bool wn_concentration_of(const wn_lists *recs, uint32_t items, wn_concentration *out) {
  uint32_t *count = counts_of(recs, items);
  double total = (double)recs->ptr[recs->users], served = 0;
  uint32_t shown = 0;
  memset(out, 0, sizeof *out);
  if (count == NULL) return false;
  for (size_t u = 0; u < recs->users; u++) served += recs->ptr[u + 1] > recs->ptr[u];
  qsort(count, items, sizeof *count, descending);
  while (shown < items && count[shown] > 0) {
    double share = count[shown++] / total;
    out->entropy_bits -= share * log2(share);
  }
  out->catalog_coverage = items > 0 ? shown / (double)items : 0;
  out->user_coverage = recs->users > 0 ? served / (double)recs->users : 0;
  out->gini = wn_gini(count, items);
  out->gini_recommended_only = wn_gini(count, shown);
  out->entropy_normalised = items > 1 ? out->entropy_bits / log2(items) : 0;
  out->effective_items = shown > 0 ? exp2(out->entropy_bits) : 0;
  wn_free(count);
  return true;
}

bool wn_unique_items_at(const wn_lists *recs, uint32_t items, const double *shares, size_t n,
                        uint32_t *unique) {
  uint32_t *count = counts_of(recs, items);
  double total = (double)recs->ptr[recs->users];
  if (count == NULL) return false;
  qsort(count, items, sizeof *count, descending);
  for (size_t i = 0; i < n; i++) {
    double sum = 0;
    for (unique[i] = 0; unique[i] < items && sum < shares[i] * total;) sum += count[unique[i]++];
  }
  wn_free(count);
  return true;
}

/* --- popularity --- */

/* By its place among the distinct popularities. */
double *wn_popularity_places(const uint32_t *popularity, uint32_t items) {
  uint32_t *distinct = wn_malloc(((size_t)items + 1) * sizeof *distinct), len = 0;
  double *place = wn_calloc((size_t)items + 1, sizeof *place);
  if (distinct == NULL || place == NULL) {
    wn_free(distinct);
    wn_free(place);
    return NULL;
  }
  memcpy(distinct, popularity, items * sizeof *distinct);
  qsort(distinct, items, sizeof *distinct, descending);
  for (uint32_t i = 0; i < items; i++)
    if (i == 0 || distinct[i] != distinct[len - 1]) distinct[len++] = distinct[i];
  for (uint32_t i = 0; i < items; i++) {
    uint32_t low = 0, high = len;
    if (popularity[i] == 0) continue;
    while (low < high) { /* the first that is not greater */
      uint32_t middle = (low + high) / 2;
      if (distinct[middle] > popularity[i])
        low = middle + 1;
      else
        high = middle;
    }
    place[i] = ((double)items - low) / (double)items;
  }
  wn_free(distinct);
  return place;
}

bool wn_novelty_of(const wn_lists *recs, const wn_lists *train, const wn_lists *test,
                   const uint32_t sizes[2], wn_novelty *out) {
  uint32_t items = sizes[0], *popularity = counts_of(train, items);
  double *place = popularity != NULL ? wn_popularity_places(popularity, items) : NULL;
  double users = (double)train->users, total = (double)train->ptr[train->users];
  for (size_t u = 0; place != NULL && u < recs->users; u++) {
    row list = row_of(recs, u);
    double len = (double)(list.len < sizes[1] ? list.len : sizes[1]);
    wn_novelty *n = &out[u];
    memset(n, 0, sizeof *n);
    for (uint32_t p = 0; p < len; p++) {
      double met = popularity[list.item[p]], known = fmax(met, 1);
      double rank = ((double)items - p) / (double)items;
      n->arp += met / len;
      n->miuf -= log2(known / users) / len;
      n->self_information -= log2(known / total) / len;
      n->epc += (1 - met / users) / len;
      if (in_row(test, u, list.item[p]))
        n->serendipity += fmax(rank - place[list.item[p]], 0) / (double)sizes[1];
    }
    if (!(len > 0)) n->arp = n->miuf = n->self_information = n->epc = NAN;
  }
  bool done = place != NULL;
  wn_free(popularity);
  wn_free(place);
  return done;
}

/* --- co-occurrence --- */

typedef struct by_item {
  uint64_t *ptr;
  uint32_t *user; /* ascending */
} by_item;

static bool transpose(const wn_lists *train, uint32_t items, by_item *out) {
  out->ptr = wn_calloc((size_t)items + 2, sizeof *out->ptr);
  out->user = wn_malloc((train->ptr[train->users] + 1) * sizeof *out->user);
  if (out->ptr == NULL || out->user == NULL) return false;
  for (uint64_t p = 0; p < train->ptr[train->users]; p++) out->ptr[train->item[p] + 2]++;
  for (uint32_t i = 2; i <= items + 1; i++) out->ptr[i] += out->ptr[i - 1];
  for (size_t u = 0; u < train->users; u++)
    for (uint64_t p = train->ptr[u]; p < train->ptr[u + 1]; p++)
      out->user[out->ptr[train->item[p] + 1]++] = (uint32_t)u;
  return true;
}

static double cosine(const by_item *m, uint32_t i, uint32_t j) {
  uint64_t a = m->ptr[i], a_end = m->ptr[i + 1], b = m->ptr[j], b_end = m->ptr[j + 1];
  double size = (double)(a_end - a) * (double)(b_end - b), both = 0;
  while (a < a_end && b < b_end) {
    both += m->user[a] == m->user[b];
    uint32_t x = m->user[a], y = m->user[b];
    a += x <= y;
    b += y <= x;
  }
  return size > 0 ? both / sqrt(size) : 0;
}

static void diversity_of(const wn_lists *recs, const wn_lists *train, const wn_lists *test,
                         const by_item *m, size_t u, wn_list_diversity *out) {
  row list = row_of(recs, u), history = row_of(train, u);
  double pairs = 0, alike = 0;
  *out = (wn_list_diversity){NAN, list.len > 0 ? 0 : NAN};
  for (uint64_t p = 0; p < list.len; p++) {
    double known = 0;
    for (uint64_t q = 0; q < p; q++, pairs++) alike += cosine(m, list.item[p], list.item[q]);
    if (!in_row(test, u, list.item[p])) continue;
    for (uint64_t q = 0; q < history.len; q++) known += cosine(m, list.item[p], history.item[q]);
    if (history.len > 0) known /= (double)history.len;
    out->serendipity += (1 - known) / (double)list.len;
  }
  if (pairs > 0) out->diversity = 1 - alike / pairs;
}

bool wn_list_diversity_of(const wn_lists *recs, const wn_lists *train, const wn_lists *test,
                          uint32_t items, wn_list_diversity *out) {
  by_item m;
  bool done = transpose(train, items, &m);
  for (size_t u = 0; done && u < recs->users; u++) diversity_of(recs, train, test, &m, u, &out[u]);
  wn_free(m.ptr);
  wn_free(m.user);
  return done;
}

/* --- groups --- */

static double variation(const double *p, uint32_t n) {
  double sum = 0, squares = 0, count = 0;
  for (uint32_t g = 0; g < n; g++) {
    if (isnan(p[g])) continue;
    sum += p[g];
    count++;
  }
  for (uint32_t g = 0; g < n; g++)
    if (!isnan(p[g])) squares += (p[g] - sum / count) * (p[g] - sum / count);
  return sum > 0 ? sqrt(squares / count) / (sum / count) : NAN;
}

bool wn_group_exposure_of(const wn_lists *recs, const wn_lists *train, const wn_lists *test,
                          const wn_item_groups *split, wn_group_exposure *out) {
  const uint32_t *group = split->of, groups = split->groups, items = split->items;
  double relevant[WN_GROUPS_MAX] = {0}, found[WN_GROUPS_MAX] = {0}, shown[WN_GROUPS_MAX] = {0};
  double unseen[WN_GROUPS_MAX] = {0}, size[WN_GROUPS_MAX] = {0};
  if (groups == 0 || groups > WN_GROUPS_MAX) return false;
  for (uint32_t i = 0; i < items; i++)
    if (group[i] < groups) size[group[i]]++;
  for (uint32_t g = 0; g < groups; g++) unseen[g] = size[g] * (double)recs->users;
  for (size_t u = 0; u < recs->users; u++) {
    row past = row_of(train, u), future = row_of(test, u), list = row_of(recs, u);
    for (uint64_t p = 0; p < past.len; p++)
      if (group[past.item[p]] < groups) unseen[group[past.item[p]]]--;
    for (uint64_t p = 0; p < future.len; p++) {
      uint32_t g = group[future.item[p]];
      if (g >= groups) continue;
      relevant[g]++;
      found[g] += in_row(recs, u, future.item[p]);
    }
    for (uint64_t p = 0; p < list.len; p++) {
      uint32_t g = group[list.item[p]];
      if (g < groups) shown[g] += !in_row(train, u, list.item[p]);
    }
  }
  for (uint32_t g = 0; g < groups; g++) {
    out->p_reo[g] = relevant[g] > 0 ? found[g] / relevant[g] : NAN;
    out->p_rsp[g] = unseen[g] > 0 ? shown[g] / unseen[g] : NAN;
  }
  out->pop_reo = variation(out->p_reo, groups);
  out->pop_rsp = variation(out->p_rsp, groups);
  return true;
}

double wn_steck_kl(const double *p, const double *q, size_t n, double alpha) {
  double sum = 0;
  for (size_t i = 0; i < n; i++)
    if (p[i] > 0) sum += p[i] * log(p[i] / ((1 - alpha) * q[i] + alpha * p[i]));
  return sum;
}
