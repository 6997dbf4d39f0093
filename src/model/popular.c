/* Popularity with time decay: score(i) = Σ w·2^((t − L)/h) over the item's positive events, L the
 * model's landmark (the end of the data it was fitted on), h the half-life; that is, "events of the
 * landmark's day". Forward decay keeps the order right without a clock (decay.c).
 *
 * h is chosen from the data unless it is given (half_life.c): news wants days, films a year.
 *
 * Fitting sees merged (user, item) pairs: a pair's summed weight at its last event's time. Live
 * updates see each event; none are made where the dataset's weights are per look, because answers
 * that came before their looks are counted would let what is shown rise by that. Negative totals
 * count as nothing: a disliked item is not unpopular.
 *
 * `segment` names attributes of users: those whose user is known get what is popular among users
 * alike (segment.c); all others what is popular.
 *
 * Items without events score 0 and end the list, lower index first, so that the list is full
 * whatever the filter leaves. Deterministic: one pass over the pairs in their order, no threads
 * (20 ns a pair). Memory: 12 bytes an item. */

#include "model/decay.h"
#include "model/half_life.h"
#include "model/query.h"
#include "model/ranking.h"
#include "model/section.h"
#include "model/segment.h"

#include "base/mem.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct popular {
  wn_model base;
  wn_decay decay;
  wn_ranking *ranking;
  wn_segments segments;
  bool per_look; /* wn_dataset.per_look */
} popular;

typedef struct popular_meta {
  double half_life_ms;
  double landmark_ms;
  uint64_t items;
} popular_meta;

static const wn_param_spec params[] = {
    {"half_life_days", -1.0, -1.0, 36500.0,
     "days after which an event counts half; 0: never fades; below 0: chosen from the data"},
    {"segment_prior", 0.0, 0.0, 1e9,
     "events of all users that a segment starts with; 0: as many as items have any"},
};

static float score_of(const popular *m, uint32_t ix) {
  return (float)fmin(m->decay.count[ix], (double)FLT_MAX);
}

static int by_ix(const void *left, const void *right) {
  const uint32_t *a = left, *b = right;
  return (*a > *b) - (*a < *b);
}

static void fill(void *ctx, float *scores, uint32_t items) {
  const popular *m = ctx;
  for (uint32_t ix = 0; ix < items; ix++) scores[ix] = score_of(m, ix);
}

static bool grow(popular *m, uint32_t items) {
  return wn_decay_grow(&m->decay, items) && wn_ranking_grow(m->ranking, items, 0.0f);
}

static void popular_free(wn_model *model) {
  popular *m = (popular *)model;
  if (m == NULL) return;
  wn_decay_clear(&m->decay);
  wn_ranking_free(m->ranking);
  wn_segments_clear(&m->segments);
  wn_free(m);
}

static popular *create(double half_life_ms, double landmark_ms, uint32_t items) {
  popular *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return NULL;
  m->base.cls = &wn_model_popular;
  m->ranking = wn_ranking_create(fill, m);
  wn_decay_init(&m->decay, half_life_ms, landmark_ms);
  if (m->ranking != NULL && grow(m, items)) return m;
  popular_free(&m->base);
  return NULL;
}

static wn_status popular_fit(const wn_dataset *data, const wn_params *values, const wn_fit_env *env,
                             wn_model **out, wn_error *err) {
  double days = wn_param(&wn_model_popular, values, "half_life_days");
  if (days < 0.0) {
    wn_status status = wn_half_life_choose(data, env->pool, &days, err);
    if (status != WN_OK) return status;
  }
  popular *m = create(days * 86400000.0, (double)data->now_ms, data->items);
  if (m == NULL) return wn_fail_memory(err);
  m->per_look = data->per_look;
  const wn_csr *pairs = &data->by_user;
  for (uint64_t i = 0; i < pairs->nnz; i++)
    if (pairs->weight[i] > 0.0f)
      wn_decay_add(&m->decay, pairs->col[i], pairs->weight[i], (double)pairs->time_ms[i]);
  wn_ranking_stale(m->ranking);
  wn_status status =
      wn_segments_fit(data, values->text, wn_param(&wn_model_popular, values, "segment_prior"),
                      &m->decay, &m->segments, err);
  if (status != WN_OK) {
    popular_free(&m->base);
    return status;
  }
  *out = &m->base;
  if (!wn_progress_at(env->progress, "popular", (double)pairs->nnz, (double)pairs->nnz, "pairs")) {
    popular_free(&m->base);
    return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
  }
  return WN_OK;
}

static wn_status popular_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  wn_status status;
  const popular *m = (const popular *)model;
  popular_meta meta = {m->decay.half_life_ms, m->decay.landmark_ms, m->decay.items};
  WN_TRY(wn_snapshot_write(writer, "popular/meta", &meta, sizeof meta, err));
  WN_TRY(wn_snapshot_write(writer, "popular/count", m->decay.count,
                           m->decay.items * sizeof *m->decay.count, err));
  if (m->per_look) WN_TRY(wn_snapshot_write(writer, "popular/per_look", "1", 1, err));
  WN_TRY(wn_segments_save(&m->segments, writer, err));
cleanup:
  return status;
}

static wn_status popular_validate(const wn_model *model, wn_error *err) {
  const popular *m = (const popular *)model;
  wn_status status;
  if (!wn_decay_sane(m->decay.half_life_ms, m->decay.landmark_ms))
    return wn_fail(err, WN_E_CORRUPT, "popular/meta", "values are out of range");
  if (m->segments.head.items > m->decay.items)
    return wn_fail(err, WN_E_CORRUPT, "popular/segments", "has more items than there are");
  WN_TRY(wn_decay_check(m->decay.count, m->decay.items, err));
  WN_TRY(wn_segments_validate(&m->segments, err));
cleanup:
  return status;
}

static wn_status popular_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_status status;
  const void *meta_data, *count;
  popular *m = NULL;
  WN_TRY(wn_section_array(snapshot, "popular/meta", sizeof(popular_meta), 1, &meta_data, err));
  const popular_meta *meta = meta_data;
  if (!wn_decay_sane(meta->half_life_ms, meta->landmark_ms) || meta->items >= WN_NO_IX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "popular/meta", "values are out of range"));
  WN_TRY(wn_section_array(snapshot, "popular/count", sizeof(double), meta->items, &count, err));
  m = create(meta->half_life_ms, meta->landmark_ms, (uint32_t)meta->items);
  if (m == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_decay_load(&m->decay, count, (uint32_t)meta->items, err));
  m->per_look = wn_snapshot_has(snapshot, "popular/per_look");
  WN_TRY(wn_segments_map(snapshot, &m->segments, err));
  if (m->segments.head.items > m->decay.items)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "popular/segments", "has more items than there are"));
  wn_ranking_stale(m->ranking);
  *out = &m->base;
  m = NULL;
cleanup:
  popular_free((wn_model *)m);
  return status;
}

/* Entry `at` of a segment: its item's score there. */
static float score_in_segment(const popular *m, uint64_t at) {
  const wn_segments *s = &m->segments;
  double moved = m->decay.half_life_ms > 0
                     ? exp2((s->head.landmark_ms - m->decay.landmark_ms) / m->decay.half_life_ms)
                     : 1;
  double score = m->decay.count[s->item[at]] + moved * s->head.lift * (double)s->count[at];
  return (float)fmin(score, (double)FLT_MAX);
}

/* The best of all, without those that score more in the segment, and then these: what nobody of the
 * segment took keeps its score, so k of each are enough. */
static wn_status segment_candidates(const popular *m, const wn_query *query, size_t k,
                                    wn_scored *out, size_t *count, wn_error *err) {
  uint32_t segment = wn_segment_of(&m->segments, query->user);
  const wn_segments *s = &m->segments;
  uint64_t begin = s->ptr[segment - 1], end = s->ptr[segment];
  wn_scored *all = wn_reallocarray(NULL, k + 1, sizeof *all);
  if (all == NULL) return wn_fail_memory(err);
  size_t n = wn_ranking_candidates(m->ranking, query->allowed, k, all);
  wn_topk top;
  wn_topk_init(&top, out, k);
  for (size_t i = 0; i < n; i++) {
    const uint32_t *found =
        bsearch(&all[i].ix, s->item + begin, end - begin, sizeof *s->item, by_ix);
    if (found == NULL) wn_topk_push(&top, all[i].ix, all[i].score);
  }
  for (uint64_t at = begin; at < end; at++)
    if (wn_query_allows(query, s->item[at]))
      wn_topk_push(&top, s->item[at], score_in_segment(m, at));
  *count = wn_topk_sort(&top);
  wn_free(all);
  return WN_OK;
}

static wn_status popular_candidates(const wn_model *model, const wn_query *query, size_t k,
                                    wn_scored *out, size_t *count, wn_error *err) {
  const popular *m = (const popular *)model;
  if (wn_segment_of(&m->segments, query->user) > 0)
    return segment_candidates(m, query, k, out, count, err);
  *count = wn_ranking_candidates(m->ranking, query->allowed, k, out);
  return WN_OK;
}

static wn_status popular_score_all(const wn_model *model, const wn_query *query, float *scores,
                                   uint32_t items, wn_error *err WN_UNUSED) {
  const popular *m = (const popular *)model;
  const wn_segments *s = &m->segments;
  uint32_t segment = wn_segment_of(s, query->user);
  wn_ranking_scores(m->ranking, query->allowed, scores, items);
  for (uint64_t at = segment > 0 ? s->ptr[segment - 1] : 0; segment > 0 && at < s->ptr[segment];
       at++)
    if (s->item[at] < items && wn_query_allows(query, s->item[at]))
      scores[s->item[at]] = score_in_segment(m, at);
  return WN_OK;
}

static void popular_update(wn_model *model, const wn_event *event, float weight) {
  popular *m = (popular *)model;
  if (event->item == WN_NO_IX || !grow(m, event->item + 1)) return;
  if (!(weight > 0.0f) || !isfinite(weight) || m->per_look) return;
  if (wn_decay_add(&m->decay, event->item, weight, (double)event->time_ms))
    wn_ranking_stale(m->ranking);
  else
    wn_ranking_set(m->ranking, event->item, score_of(m, event->item));
}

static wn_status popular_update_item(wn_model *model, wn_item_ix ix,
                                     const wn_item_record *item WN_UNUSED, wn_error *err) {
  if (ix == WN_NO_IX) return wn_fail(err, WN_E_ARGUMENT, "item", "has no index");
  return grow((popular *)model, ix + 1) ? WN_OK : wn_fail_memory(err);
}

static size_t popular_bytes(const wn_model *model) {
  const popular *m = (const popular *)model;
  return m->decay.cap * sizeof *m->decay.count + wn_ranking_bytes(m->ranking);
}

const wn_model_class wn_model_popular = {
    .name = "popular",
    .doc = "most used items, recent use counting more",
    .flags = WN_MODEL_LIVE,
    .params = params,
    .params_len = sizeof params / sizeof *params,
    .text = "segment",
    .fit = popular_fit,
    .save = popular_save,
    .map = popular_map,
    .validate = popular_validate,
    .candidates = popular_candidates,
    .score_all = popular_score_all,
    .update = popular_update,
    .update_item = popular_update_item,
    .bytes = popular_bytes,
    .free = popular_free,
};
