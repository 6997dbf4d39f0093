/* Uniformly random items: each query's seed gives a permutation of the items, and its first k
 * allowed ones are the answer. The same seed gives the same list, and a new item changes it by that
 * item only (until the number of items passes a power of two, which deals all anew).
 *
 * The permutation: ROUNDS of x ← (x ⊕ key)·odd mod 2^b, x ← x ⊕ (x ≫ ⌈b/2⌉), keys and odd
 * multipliers from the seed; each step is invertible. So the list is read off place by place, in
 * O(k) whatever the number of items, and an item's place, its score, is one inverse away. A hash
 * of each item with the k least would be as random, but O(items) a query (0.6 ms for 60,000).
 *
 * Score: (2^b − place)/2^b, exact and distinct for up to 2^24 items; beyond, neighbouring places
 * share a score and rank by index. Memory: none an item. */

#include "model/ranking.h"
#include "model/section.h"

#include "base/mem.h"
#include "base/rng.h"
#include <math.h>

#define ROUNDS     5
#define BITS_MIN   8u  /* fewer do not mix */
#define FLOAT_BITS 24u /* places that a float tells apart */

typedef struct random_model {
  wn_model base;
  uint32_t items;
} random_model;

typedef struct permutation {
  unsigned bits;
  unsigned half;
  uint64_t mask;
  uint64_t key[ROUNDS];
  uint64_t odd[ROUNDS];
  uint64_t inverse[ROUNDS]; /* odd·inverse = 1 mod 2^64 */
} permutation;

static permutation permutation_of(uint64_t seed, uint32_t items) {
  permutation p = {.bits = BITS_MIN};
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  while (p.bits < 32 && ((uint64_t)1 << p.bits) < items) p.bits++;
  p.half = (p.bits + 1) / 2;
  p.mask = ((uint64_t)1 << p.bits) - 1;
  for (int r = 0; r < ROUNDS; r++) {
    p.key[r] = wn_rng_next(&rng) & p.mask;
    p.odd[r] = wn_rng_next(&rng) | 1;
    uint64_t x = p.odd[r]; /* right in the lowest 3 bits; each step doubles that (Newton) */
    for (int step = 0; step < 5; step++) x *= 2 - p.odd[r] * x;
    p.inverse[r] = x;
  }
  return p;
}

static uint64_t item_at(const permutation *p, uint64_t place) {
  for (int r = 0; r < ROUNDS; r++) {
    place = ((place ^ p->key[r]) * p->odd[r]) & p->mask;
    place ^= place >> p->half;
  }
  return place;
}

static uint64_t place_of(const permutation *p, uint64_t item) {
  for (int r = ROUNDS - 1; r >= 0; r--) {
    item ^= item >> p->half;
    item = ((item * p->inverse[r]) & p->mask) ^ p->key[r];
  }
  return item;
}

static float score_of_place(const permutation *p, uint64_t place) {
  unsigned shift = p->bits > FLOAT_BITS ? p->bits - FLOAT_BITS : 0;
  return ldexpf((float)((p->mask + 1 - place + (((uint64_t)1 << shift) - 1)) >> shift),
                (int)shift - (int)p->bits);
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

static bool is_item(const random_model *m, const wn_query *query, uint64_t ix) {
  return ix < m->items && (query->allowed == NULL || wn_bitset_test(query->allowed, ix));
}

/* Reads the list off place by place. False: a strict filter; too few within `steps` places. */
static bool walk(const random_model *m, const wn_query *query, const permutation *p, uint64_t steps,
                 wn_topk *top) {
  size_t found = 0;
  float last = 0;
  for (uint64_t place = 0; place <= p->mask; place++) {
    float score = score_of_place(p, place);
    if (found >= top->k && score != last) return true; /* all that share the last score are in */
    if (place >= steps) return false;
    uint64_t ix = item_at(p, place);
    if (!is_item(m, query, ix)) continue;
    wn_topk_push(top, (uint32_t)ix, score);
    found++;
    last = score;
  }
  return true;
}

static wn_status random_candidates(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err WN_UNUSED) {
  const random_model *m = (const random_model *)model;
  permutation p = permutation_of(query->seed, m->items);
  wn_topk top;
  wn_topk_init(&top, out, k);
  if (!walk(m, query, &p, (p.mask >> 4) + 4 * k, &top)) {
    wn_topk_init(&top, out, k);
    for (uint32_t ix = wn_allowed_next(query->allowed, 0, m->items); ix < m->items;
         ix = wn_allowed_next(query->allowed, ix + 1, m->items))
      wn_topk_push(&top, ix, score_of_place(&p, place_of(&p, ix)));
  }
  *count = wn_topk_sort(&top);
  return WN_OK;
}

static wn_status random_score_all(const wn_model *model, const wn_query *query, float *scores,
                                  uint32_t items, wn_error *err WN_UNUSED) {
  const random_model *m = (const random_model *)model;
  permutation p = permutation_of(query->seed, m->items);
  for (uint32_t ix = 0; ix < items; ix++)
    scores[ix] = is_item(m, query, ix) ? score_of_place(&p, place_of(&p, ix)) : -INFINITY;
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
