/* Newest items first, by the time they were created.
 *
 * A float cannot hold a time in milliseconds without merging neighbours, so the score is the item's
 * place in the order of creation: 0 for an unknown time, 1 for the oldest known one, one more for
 * each later distinct time. Items of the same time share a score (ties: the lower index first).
 * Exact up to 2^24 distinct times; of more than that, float rounds neighbours together.
 *
 * A new item that is the newest of all, the normal case, gets the next place. One with an older
 * time moves all later ones: the places are then recomputed by the next reader (one sort for
 * any number of such items). Deterministic, no threads. Memory: 16 bytes an item. */

#include "model/ranking.h"
#include "model/section.h"

#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

typedef struct newest {
  wn_model base;
  int64_t *created_ms; /* [items]; 0: unknown, older than all */
  uint32_t *order;     /* [items] scratch of fill() */
  size_t cap;
  uint32_t items;
  int64_t last_ms;  /* newest of created_ms */
  float last_place; /* its score */
  wn_ranking *ranking;
} newest;

static int older_first(const void *a, const void *b, void *ctx) {
  const int64_t *created = ctx;
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  if (created[x] != created[y]) return created[x] < created[y] ? -1 : 1;
  return x < y ? -1 : x > y ? 1 : 0;
}

static void fill(void *ctx, float *scores, uint32_t items) {
  newest *m = ctx;
  for (uint32_t i = 0; i < items; i++) m->order[i] = i;
  if (items > 1) qsort_r(m->order, items, sizeof *m->order, older_first, m->created_ms);
  int64_t last = 0;
  uint32_t place = 0;
  for (uint32_t i = 0; i < items; i++) {
    uint32_t ix = m->order[i];
    if (m->created_ms[ix] != last) place++;
    last = m->created_ms[ix];
    scores[ix] = (float)place;
  }
  m->last_ms = last;
  m->last_place = (float)place;
}

static bool grow(newest *m, uint32_t items) {
  if (items <= m->items) return true;
  if (items > m->cap) {
    size_t cap = m->cap + m->cap / 2 > items ? m->cap + m->cap / 2 : items;
    int64_t *created = wn_reallocarray(m->created_ms, cap, sizeof *created);
    if (created != NULL) m->created_ms = created;
    uint32_t *order = wn_reallocarray(m->order, cap, sizeof *order);
    if (order != NULL) m->order = order;
    if (created == NULL || order == NULL) return false;
    m->cap = cap;
  }
  if (!wn_ranking_grow(m->ranking, items, 0.0f)) return false;
  memset(m->created_ms + m->items, 0, (items - m->items) * sizeof *m->created_ms);
  m->items = items;
  return true;
}

static void newest_free(wn_model *model) {
  newest *m = (newest *)model;
  if (m == NULL) return;
  wn_free(m->created_ms);
  wn_free(m->order);
  wn_ranking_free(m->ranking);
  wn_free(m);
}

static newest *create(const int64_t *created_ms, uint32_t items) {
  newest *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return NULL;
  m->base.cls = &wn_model_newest;
  m->ranking = wn_ranking_create(fill, m);
  if (m->ranking == NULL || !grow(m, items)) {
    newest_free(&m->base);
    return NULL;
  }
  for (uint32_t i = 0; created_ms != NULL && i < items; i++) {
    m->created_ms[i] = created_ms[i] > 0 ? created_ms[i] : 0;
    if (created_ms[i] > m->last_ms) m->last_ms = created_ms[i];
  }
  wn_ranking_stale(m->ranking);
  return m;
}

static wn_status newest_fit(const wn_dataset *data, const wn_params *values WN_UNUSED,
                            const wn_fit_env *env, wn_model **out, wn_error *err) {
  newest *m = create(data->created_ms, data->items);
  if (m == NULL) return wn_fail_memory(err);
  *out = &m->base;
  if (!wn_progress_at(env->progress, "newest", data->items, data->items, "items")) {
    newest_free(&m->base);
    return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
  }
  return WN_OK;
}

static wn_status newest_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const newest *m = (const newest *)model;
  return wn_snapshot_write(writer, "newest/created_ms", m->created_ms,
                           m->items * sizeof *m->created_ms, err);
}

static wn_status newest_validate(const wn_model *model, wn_error *err) {
  const newest *m = (const newest *)model;
  for (uint32_t i = 0; i < m->items; i++)
    if (m->created_ms[i] < 0)
      return wn_fail(err, WN_E_CORRUPT, "newest/created_ms", "a time is negative");
  return WN_OK;
}

static wn_status newest_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *data;
  uint64_t count;
  wn_status status =
      wn_snapshot_section(snapshot, "newest/created_ms", sizeof(int64_t), &data, &count, err);
  if (status != WN_OK) return status;
  const int64_t *created_ms = data;
  if (count >= WN_NO_IX)
    return wn_fail(err, WN_E_CORRUPT, "newest/created_ms", "holds too many items");
  for (uint64_t i = 0; i < count; i++)
    if (created_ms[i] < 0)
      return wn_fail(err, WN_E_CORRUPT, "newest/created_ms", "a time is negative");
  newest *m = create(created_ms, (uint32_t)count);
  if (m == NULL) return wn_fail_memory(err);
  *out = &m->base;
  return WN_OK;
}

static wn_status newest_candidates(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err WN_UNUSED) {
  *count = wn_ranking_candidates(((const newest *)model)->ranking, query->allowed, k, out);
  return WN_OK;
}

static wn_status newest_score_all(const wn_model *model, const wn_query *query, float *scores,
                                  uint32_t items, wn_error *err WN_UNUSED) {
  wn_ranking_scores(((const newest *)model)->ranking, query->allowed, scores, items);
  return WN_OK;
}

/* ix < items, created > 0 */
static void set_created(newest *m, wn_item_ix ix, int64_t created_ms) {
  if (created_ms == m->created_ms[ix]) return;
  m->created_ms[ix] = created_ms;
  if (created_ms < m->last_ms) {
    wn_ranking_stale(m->ranking);
    return;
  }
  if (created_ms > m->last_ms) m->last_place += 1.0f;
  m->last_ms = created_ms;
  wn_ranking_set(m->ranking, ix, m->last_place);
}

/* An event may be the first that is heard of an item: like the store, date it by that event. */
static void newest_update(wn_model *model, const wn_event *event, float weight WN_UNUSED) {
  newest *m = (newest *)model;
  if (event->item == WN_NO_IX || event->item < m->items || !grow(m, event->item + 1)) return;
  if (event->time_ms > 0) set_created(m, event->item, event->time_ms);
}

static wn_status newest_update_item(wn_model *model, wn_item_ix ix, const wn_item_record *item,
                                    wn_error *err) {
  newest *m = (newest *)model;
  if (ix == WN_NO_IX) return wn_fail(err, WN_E_ARGUMENT, "item", "has no index");
  bool unheard = ix >= m->items;
  if (!grow(m, ix + 1)) return wn_fail_memory(err);
  if (item->created_ms > 0)
    set_created(m, ix, item->created_ms);
  else if (unheard) /* without a time it has just come; a known item keeps its own */
    set_created(m, ix, m->last_ms > 0 ? m->last_ms : 1);
  return WN_OK;
}

static size_t newest_bytes(const wn_model *model) {
  const newest *m = (const newest *)model;
  return m->cap * (sizeof *m->created_ms + sizeof *m->order) + wn_ranking_bytes(m->ranking);
}

const wn_model_class wn_model_newest = {
    .name = "newest",
    .doc = "latest items first",
    .flags = WN_MODEL_LIVE,
    .fit = newest_fit,
    .save = newest_save,
    .map = newest_map,
    .validate = newest_validate,
    .candidates = newest_candidates,
    .score_all = newest_score_all,
    .update = newest_update,
    .update_item = newest_update_item,
    .bytes = newest_bytes,
    .free = newest_free,
};
