/* Uniformly random items: each query's seed gives every item a hash, and the k highest win. The
 * same seed gives the same list, and a new item changes it by that item only.
 *
 * Score: the hash's upper 24 bits as a number in [0, 1), exact in a float; items that share
 * them (one pair in 17 million) rank by index. Exact and uniform over whatever is allowed; cost one
 * hash an allowed item, about 1 ms a million. Memory: none an item. */

#include "model/ranking.h"
#include "model/section.h"

#include "base/mem.h"
#include "base/rng.h"
#include <math.h>

typedef struct random_model {
  wn_model base;
  uint32_t items;
} random_model;

static float score_of(uint64_t seed, uint32_t ix) {
  return (float)(wn_mix64(seed + ix * UINT64_C(0x9e3779b97f4a7c15)) >> 40) * 0x1p-24f;
}

static wn_status create(uint32_t items, wn_model **out, wn_error *err) {
  random_model *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_random;
  m->items = items;
  *out = &m->base;
  return WN_OK;
}

static void random_free(wn_model *model) {
  wn_free(model);
}

static wn_status random_fit(const wn_dataset *data, const wn_params *values WN_UNUSED,
                            const wn_fit_env *env, wn_model **out, wn_error *err) {
  if (!wn_progress_at(env->progress, "random", data->items, data->items, "items"))
    return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
  return create(data->items, out, err);
}

static wn_status random_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  uint64_t items = ((const random_model *)model)->items;
  return wn_snapshot_write(writer, "random/items", &items, sizeof items, err);
}

static wn_status random_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *data;
  wn_status status = wn_section_array(snapshot, "random/items", sizeof(uint64_t), 1, &data, err);
  if (status != WN_OK) return status;
  uint64_t items = *(const uint64_t *)data;
  /* The one number that is not the length of anything: hold it against the snapshot's own. */
  if (items > wn_snapshot_about_of(snapshot)->items)
    return wn_fail(err, WN_E_CORRUPT, "random/items", "more items than the snapshot has");
  return create((uint32_t)items, out, err);
}

static wn_status random_candidates(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err WN_UNUSED) {
  const random_model *m = (const random_model *)model;
  uint64_t seed = wn_mix64(query->seed);
  wn_topk top;
  wn_topk_init(&top, out, k);
  for (uint32_t ix = wn_allowed_next(query->allowed, 0, m->items); ix < m->items;
       ix = wn_allowed_next(query->allowed, ix + 1, m->items))
    wn_topk_push(&top, ix, score_of(seed, ix));
  *count = wn_topk_sort(&top);
  return WN_OK;
}

static wn_status random_score_all(const wn_model *model, const wn_query *query, float *scores,
                                  uint32_t items, wn_error *err WN_UNUSED) {
  const random_model *m = (const random_model *)model;
  uint64_t seed = wn_mix64(query->seed);
  for (uint32_t ix = 0; ix < items; ix++) {
    bool known = ix < m->items && (query->allowed == NULL || wn_bitset_test(query->allowed, ix));
    scores[ix] = known ? score_of(seed, ix) : -INFINITY;
  }
  return WN_OK;
}

static void random_update(wn_model *model, const wn_event *event, float weight WN_UNUSED) {
  random_model *m = (random_model *)model;
  if (event->item != WN_NO_IX && event->item >= m->items) m->items = event->item + 1;
}

static wn_status random_update_item(wn_model *model, wn_item_ix ix,
                                    const wn_item_record *item WN_UNUSED, wn_error *err) {
  random_model *m = (random_model *)model;
  if (ix == WN_NO_IX) return wn_fail(err, WN_E_ARGUMENT, "item", "has no index");
  if (ix >= m->items) m->items = ix + 1;
  return WN_OK;
}

const wn_model_class wn_model_random = {
    .name = "random",
    .doc = "uniformly random items",
    .flags = WN_MODEL_LIVE,
    .fit = random_fit,
    .save = random_save,
    .map = random_map,
    .candidates = random_candidates,
    .score_all = random_score_all,
    .update = random_update,
    .update_item = random_update_item,
    .free = random_free,
};
