/* Trending: what is used more now than it usually is.
 *
 * Each item has two fading counters (decay.c): S with a short half-life hs, L with a long one hl.
 * An item used at a constant rate r has S = r·hs/ln 2 and L = r·hl/ln 2, so that L·hs/hl is
 * the S to expect of it. With a prior of p events against small numbers:
 *
 *     score = (S + p) / (L·hs/hl + p)         1: as always, 2: twice as much as usual
 *
 * Items with S below `support` are not called trending: they score S/support − 1 < 0, which puts
 * them behind all others, the more active ones first, so that lists are full under any filter.
 *
 * Time. S and L are taken as of τ, the latest event of the log rounded up to a tick of hs/64, not
 * as of the clock: the same log gives the same list at any time of day, and an old log
 * still has its last trends. Within a tick an event changes its own item only; when τ moves, all
 * scores change and the first reader recomputes them (2 ns an item). An event stamped ahead of time
 * (at most a day is accepted) moves τ ahead with it.
 *
 * Fitting sees merged (user, item) pairs at their last event; negative totals count as
 * nothing. Deterministic, no threads. Memory: 20 bytes an item. */

#include "model/decay.h"
#include "model/ranking.h"
#include "model/section.h"

#include "base/mem.h"
#include <float.h>
#include <math.h>

#define HOUR_MS 3600000.0
#define TICKS   64.0

typedef struct trending {
  wn_model base;
  wn_decay recent; /* S */
  wn_decay usual;  /* L */
  double prior;
  double support;
  double tau_ms;
  double recent_factor; /* counts → S and expected S at τ */
  double usual_factor;
  wn_ranking *ranking;
} trending;

typedef struct trending_meta {
  double short_ms, long_ms;
  double short_landmark_ms, long_landmark_ms;
  double prior, support;
  double tau_ms;
  uint64_t items;
} trending_meta;

static const wn_param_spec params[] = {
    {"short_hours", 24.0, 0.1, 8760.0, "half-life of what counts as now, in hours"},
    {"long_hours", 336.0, 0.2, 87600.0, "half-life of what counts as usual, in hours"},
    {"prior", 5.0, 0.001, 1e6, "events at the usual rate that every item is granted"},
    {"support", 3.0, 0.001, 1e6, "recent events that an item needs"},
};

static float score_of(const trending *m, uint32_t ix) {
  double now = m->recent.count[ix] * m->recent_factor;
  if (now < m->support) return (float)(now / m->support - 1.0);
  double usual = m->usual.count[ix] * m->usual_factor;
  return (float)fmin((now + m->prior) / (usual + m->prior), (double)FLT_MAX);
}

static void fill(void *ctx, float *scores, uint32_t items) {
  const trending *m = ctx;
  for (uint32_t ix = 0; ix < items; ix++) scores[ix] = score_of(m, ix);
}

static bool grow(trending *m, uint32_t items) {
  return wn_decay_grow(&m->recent, items) && wn_decay_grow(&m->usual, items) &&
         wn_ranking_grow(m->ranking, items, -1.0f);
}

/* Factors after a move of τ or of a landmark. */
static void retime(trending *m) {
  m->recent_factor = wn_decay_factor(&m->recent, m->tau_ms);
  m->usual_factor =
      wn_decay_factor(&m->usual, m->tau_ms) * (m->recent.half_life_ms / m->usual.half_life_ms);
  wn_ranking_stale(m->ranking);
}

static double tick_above(double time_ms, double short_ms) {
  double tick = short_ms / TICKS;
  return fmax(ceil(time_ms / tick) * tick, time_ms); /* rounding never loses the event */
}

/* Adds one event; true when more than its own item's score has changed. */
static bool add(trending *m, uint32_t ix, double weight, double time_ms) {
  bool moved = wn_decay_add(&m->recent, ix, weight, time_ms);
  moved |= wn_decay_add(&m->usual, ix, weight, time_ms);
  if (time_ms <= m->tau_ms) return moved;
  m->tau_ms = tick_above(time_ms, m->recent.half_life_ms);
  return true;
}

static void trending_free(wn_model *model) {
  trending *m = (trending *)model;
  if (m == NULL) return;
  wn_decay_clear(&m->recent);
  wn_decay_clear(&m->usual);
  wn_ranking_free(m->ranking);
  wn_free(m);
}

static trending *create(const trending_meta *meta) {
  trending *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return NULL;
  m->base.cls = &wn_model_trending;
  m->prior = meta->prior;
  m->support = meta->support;
  m->tau_ms = meta->tau_ms;
  wn_decay_init(&m->recent, meta->short_ms, meta->short_landmark_ms);
  wn_decay_init(&m->usual, meta->long_ms, meta->long_landmark_ms);
  m->ranking = wn_ranking_create(fill, m);
  if (m->ranking != NULL && grow(m, (uint32_t)meta->items)) return m;
  trending_free(&m->base);
  return NULL;
}

static wn_status trending_fit(const wn_dataset *data, const wn_params *values,
                              const wn_fit_env *env, wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_trending;
  double now = (double)data->now_ms;
  trending_meta meta = {.short_ms = wn_param(cls, values, "short_hours") * HOUR_MS,
                        .long_ms = wn_param(cls, values, "long_hours") * HOUR_MS,
                        .short_landmark_ms = now,
                        .long_landmark_ms = now,
                        .prior = wn_param(cls, values, "prior"),
                        .support = wn_param(cls, values, "support"),
                        .items = data->items};
  if (meta.short_ms >= meta.long_ms)
    return wn_fail(err, WN_E_ARGUMENT, "short_hours", "must be below long_hours");
  meta.tau_ms = tick_above(now, meta.short_ms);
  trending *m = create(&meta);
  if (m == NULL) return wn_fail_memory(err);
  const wn_csr *pairs = &data->by_user;
  for (uint64_t i = 0; i < pairs->nnz; i++)
    if (pairs->weight[i] > 0.0f) add(m, pairs->col[i], pairs->weight[i], (double)pairs->time_ms[i]);
  retime(m);
  *out = &m->base;
  if (!wn_progress_at(env->progress, "trending", (double)pairs->nnz, (double)pairs->nnz, "pairs")) {
    trending_free(&m->base);
    return wn_fail(err, WN_E_CANCELLED, "", "cancelled");
  }
  return WN_OK;
}

static trending_meta meta_of(const trending *m) {
  return (trending_meta){m->recent.half_life_ms,
                         m->usual.half_life_ms,
                         m->recent.landmark_ms,
                         m->usual.landmark_ms,
                         m->prior,
                         m->support,
                         m->tau_ms,
                         m->recent.items};
}

static wn_status trending_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  wn_status status;
  const trending *m = (const trending *)model;
  trending_meta meta = meta_of(m);
  uint64_t bytes = m->recent.items * sizeof *m->recent.count;
  WN_TRY(wn_snapshot_write(writer, "trending/meta", &meta, sizeof meta, err));
  WN_TRY(wn_snapshot_write(writer, "trending/recent", m->recent.count, bytes, err));
  WN_TRY(wn_snapshot_write(writer, "trending/usual", m->usual.count, bytes, err));
cleanup:
  return status;
}

static bool sane(const trending_meta *meta) {
  return wn_decay_sane(meta->short_ms, meta->short_landmark_ms) &&
         wn_decay_sane(meta->long_ms, meta->long_landmark_ms) && meta->short_ms >= 1.0 &&
         meta->long_ms > meta->short_ms && meta->prior > 0.0 && meta->prior <= 1e6 &&
         meta->support > 0.0 && meta->support <= 1e6 && fabs(meta->tau_ms) <= 1e15 &&
         /* τ is not far behind the landmarks, or factors would overflow */
         meta->short_landmark_ms - meta->tau_ms <= 128.0 * meta->short_ms &&
         meta->long_landmark_ms - meta->tau_ms <= 128.0 * meta->long_ms && meta->items < WN_NO_IX;
}

static wn_status trending_validate(const wn_model *model, wn_error *err) {
  const trending *m = (const trending *)model;
  const trending_meta meta = meta_of(m);
  wn_status status;
  if (!sane(&meta)) return wn_fail(err, WN_E_CORRUPT, "trending/meta", "values are out of range");
  WN_TRY(wn_decay_check(m->recent.count, m->recent.items, err));
  WN_TRY(wn_decay_check(m->usual.count, m->usual.items, err));
cleanup:
  return status;
}

static wn_status trending_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_status status;
  const void *meta_data, *recent, *usual;
  trending *m = NULL;
  WN_TRY(wn_section_array(snapshot, "trending/meta", sizeof(trending_meta), 1, &meta_data, err));
  const trending_meta *meta = meta_data;
  if (!sane(meta)) WN_TRY(wn_fail(err, WN_E_CORRUPT, "trending/meta", "values are out of range"));
  WN_TRY(wn_section_array(snapshot, "trending/recent", sizeof(double), meta->items, &recent, err));
  WN_TRY(wn_section_array(snapshot, "trending/usual", sizeof(double), meta->items, &usual, err));
  m = create(meta);
  if (m == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_decay_load(&m->recent, recent, (uint32_t)meta->items, err));
  WN_TRY(wn_decay_load(&m->usual, usual, (uint32_t)meta->items, err));
  retime(m);
  *out = &m->base;
  m = NULL;
cleanup:
  trending_free((wn_model *)m);
  return status;
}

static wn_status trending_candidates(const wn_model *model, const wn_query *query, size_t k,
                                     wn_scored *out, size_t *count, wn_error *err WN_UNUSED) {
  *count = wn_ranking_candidates(((const trending *)model)->ranking, query->allowed, k, out);
  return WN_OK;
}

static wn_status trending_score_all(const wn_model *model, const wn_query *query, float *scores,
                                    uint32_t items, wn_error *err WN_UNUSED) {
  wn_ranking_scores(((const trending *)model)->ranking, query->allowed, scores, items);
  return WN_OK;
}

static void trending_update(wn_model *model, const wn_event *event, float weight) {
  trending *m = (trending *)model;
  if (event->item == WN_NO_IX || !grow(m, event->item + 1)) return;
  if (!(weight > 0.0f) || !isfinite(weight)) return;
  if (add(m, event->item, weight, (double)event->time_ms))
    retime(m);
  else
    wn_ranking_set(m->ranking, event->item, score_of(m, event->item));
}

static wn_status trending_update_item(wn_model *model, wn_item_ix ix,
                                      const wn_item_record *item WN_UNUSED, wn_error *err) {
  if (ix == WN_NO_IX) return wn_fail(err, WN_E_ARGUMENT, "item", "has no index");
  return grow((trending *)model, ix + 1) ? WN_OK : wn_fail_memory(err);
}

static size_t trending_bytes(const wn_model *model) {
  const trending *m = (const trending *)model;
  return (m->recent.cap + m->usual.cap) * sizeof *m->recent.count + wn_ranking_bytes(m->ranking);
}

const wn_model_class wn_model_trending = {
    .name = "trending",
    .doc = "items used more now than they usually are",
    .flags = WN_MODEL_LIVE,
    .params = params,
    .params_len = sizeof params / sizeof *params,
    .fit = trending_fit,
    .save = trending_save,
    .map = trending_map,
    .validate = trending_validate,
    .candidates = trending_candidates,
    .score_all = trending_score_all,
    .update = trending_update,
    .update_item = trending_update_item,
    .bytes = trending_bytes,
    .free = trending_free,
};
