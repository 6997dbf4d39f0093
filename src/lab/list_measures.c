/* An item is the unit vector v over its train users, 1/√|U(i)| each, so that co-occurrence cosine
 * is vᵢ·vⱼ. The sum over all pairs of a list is then (‖Σv‖² − Σ‖v‖²)/2, and Σv grows an item at a
 * time: a list costs the length of its items' rows once instead of once a pair, and every prefix of
 * it, each cutoff, falls out on the way. Likewise the mean cosine to a history is Σv of the
 * history, dot v. Sums are doubles of numbers ≤ 1: relative error below 1e-12. */
#include "lab/list_measures.h"

#include "base/mem.h"
#include "lab/beyond.h"

#include <math.h>
#include <string.h>

bool wn_list_context_init(wn_list_context *c, const uint64_t *ptr, const uint32_t *item,
                          const uint32_t sizes[2]) {
  uint64_t nnz = ptr[sizes[0]];
  memset(c, 0, sizeof *c);
  c->users = sizes[0];
  c->items = sizes[1];
  c->pairs = (double)nnz;
  c->popularity = wn_calloc((size_t)c->items + 1, sizeof *c->popularity);
  c->ptr = wn_calloc((size_t)c->items + 2, sizeof *c->ptr);
  c->user = wn_reallocarray(NULL, (size_t)nnz + 1, sizeof *c->user);
  c->scale = wn_calloc((size_t)c->items + 1, sizeof *c->scale);
  if (c->popularity == NULL || c->ptr == NULL || c->user == NULL || c->scale == NULL) {
    wn_list_context_clear(c);
    return false;
  }
  for (uint64_t p = 0; p < nnz; p++) c->ptr[item[p] + 2]++;
  for (uint32_t i = 0; i < c->items; i++) {
    c->popularity[i] = (uint32_t)c->ptr[i + 2];
    c->scale[i] = c->popularity[i] > 0 ? 1 / sqrt(c->popularity[i]) : 0;
    if (i > 0) c->ptr[i + 1] += c->ptr[i];
  }
  c->ptr[c->items + 1] += c->ptr[c->items];
  for (uint32_t u = 0; u < c->users; u++)
    for (uint64_t p = ptr[u]; p < ptr[u + 1]; p++) c->user[c->ptr[item[p] + 1]++] = u;
  c->place = wn_popularity_places(c->popularity, c->items);
  if (c->place != NULL) return true;
  wn_list_context_clear(c);
  return false;
}

void wn_list_context_clear(wn_list_context *c) {
  wn_free(c->popularity);
  wn_free(c->place);
  wn_free(c->ptr);
  wn_free(c->user);
  wn_free(c->scale);
  memset(c, 0, sizeof *c);
}

/* Σ += v of the item; returns Σ·v before. */
static double add_item(const wn_list_context *c, uint32_t item, double *sums) {
  double dot = 0, scale = c->scale[item];
  for (uint64_t p = c->ptr[item]; p < c->ptr[item + 1]; p++) {
    dot += sums[c->user[p]];
    sums[c->user[p]] += scale;
  }
  return dot * scale;
}

static double dot_item(const wn_list_context *c, uint32_t item, const double *sums) {
  double dot = 0;
  for (uint64_t p = c->ptr[item]; p < c->ptr[item + 1]; p++) dot += sums[c->user[p]];
  return dot * c->scale[item];
}

static void forget_item(const wn_list_context *c, uint32_t item, double *sums) {
  for (uint64_t p = c->ptr[item]; p < c->ptr[item + 1]; p++) sums[c->user[p]] = 0;
}

typedef struct cut {
  const uint32_t *at;
  size_t n;
} cut;

static void add_unexpected(const wn_list_context *c, const wn_ranked *list,
                           const wn_list_user *user, cut cutoffs, wn_list_measures *out) {
  bool any = false;
  for (size_t i = 0; i < list->len; i++) {
    if (wn_ascending_find(user->relevant.items, user->relevant.len, list->item[i]) < 0) continue;
    for (size_t h = 0; !any && h < user->history_len; h++)
      add_item(c, user->history[h], user->sums);
    any = true;
    double alike = user->history_len > 0
                       ? dot_item(c, list->item[i], user->sums) / (double)user->history_len
                       : 0;
    for (size_t k = 0; k < cutoffs.n; k++) {
      size_t len = list->len < cutoffs.at[k] ? list->len : cutoffs.at[k];
      if (i < cutoffs.at[k]) out[k].unexpected += (1 - alike) / (double)len;
    }
  }
  for (size_t h = 0; any && h < user->history_len; h++)
    forget_item(c, user->history[h], user->sums);
}

static void add_diversity(const wn_list_context *c, const wn_ranked *list, double *sums,
                          cut cutoffs, wn_list_measures *out) {
  double alike = 0; /* over pairs */
  for (size_t i = 0; i < list->len; i++) {
    alike += add_item(c, list->item[i], sums);
    double pairs = (double)i * ((double)i + 1) / 2;
    for (size_t k = 0; i > 0 && k < cutoffs.n; k++)
      if (i < cutoffs.at[k]) out[k].ild = 1 - alike / pairs;
  }
  for (size_t i = 0; i < list->len; i++) forget_item(c, list->item[i], sums);
}

static void add_popularity(const wn_list_context *c, const wn_ranked *list,
                           const wn_relevant *relevant, cut cutoffs, wn_list_measures *out) {
  double users = c->users, items = c->items;
  double met_sum = 0, known_sum = 0, found = 0; /* Σ users, Σ log2 max(users, 1) */
  for (size_t i = 0; i < list->len; i++) {
    uint32_t item = list->item[i];
    met_sum += c->popularity[item];
    known_sum += log2(fmax(c->popularity[item], 1));
    if (wn_ascending_find(relevant->items, relevant->len, item) >= 0)
      found += fmax((items - (double)i) / items - c->place[item], 0);
    for (size_t k = 0; k < cutoffs.n; k++) {
      if (i >= cutoffs.at[k]) continue;
      double len = (double)i + 1; /* the last one below k stays */
      out[k].popularity = met_sum / len;
      out[k].novelty = log2(users) - known_sum / len;
      out[k].self_information = log2(c->pairs) - known_sum / len;
      out[k].epc = 1 - met_sum / len / users;
      out[k].serendipity = found / (double)cutoffs.at[k];
    }
  }
}

void wn_list_measures_at(const wn_list_context *c, const wn_ranked *list, const wn_list_user *user,
                         const uint32_t *cutoffs, size_t n, wn_list_measures *out) {
  const cut at = {cutoffs, n};
  for (size_t k = 0; k < n; k++) out[k] = (wn_list_measures){NAN, NAN, NAN, NAN, 0, NAN, NAN};
  if (list->len == 0) return;
  add_popularity(c, list, &user->relevant, at, out);
  if (user->sums == NULL) return;
  for (size_t k = 0; k < n; k++) out[k].unexpected = 0;
  add_unexpected(c, list, user, at, out);
  add_diversity(c, list, user->sums, at, out);
}
