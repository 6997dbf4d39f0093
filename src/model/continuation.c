/* What the user left off, and what is due again: her own items, for a surface that shows what was
 * seen (`filter: {seen: none}`).
 *
 * The events of a user and an item say whether she has begun it or is done with it (wn_standing;
 * the server knows, signals.h). Scores lie in (0, 1]: begun, weight > 0:     2^(−age/half_life)
 *     done, weight w > 0:    w/(largest such w) · min(1, gap/age), once age ≥ repeat_from · gap,
 * gap the item's median time between two times that a user was done with it, learned at the fit
 * (data/repeats.h); an item without one is not done again. A user's own frequency (w) is the better
 * part of that, see README.md.
 *
 * No state but the gaps: histories come with the query, so an event counts at once. Ages are of the
 * query's time; an event ahead of it has age 0. Cost: one pass over the history. */
#include "data/repeats.h"
#include "model/query.h"
#include "model/section.h"

#include "base/mem.h"
#include <math.h>
#include <string.h>

typedef struct continuation_head {
  uint32_t version;
  uint32_t items;
  double half_life_ms;
  double repeat_from;
} continuation_head;

typedef struct continuation {
  wn_model base;
  continuation_head head;
  const int64_t *gap_ms; /* [items]; 0: none */
  void *owned;
} continuation;

static const wn_param_spec params[] = {
    {"half_life_days", 7, 0.01, 36500, "days after which something begun counts half"},
    {"repeat_from", 0.25, 0, 10, "share of an item's usual interval after which it may come again"},
};

static void continuation_free(wn_model *model) {
  continuation *m = (continuation *)model;
  if (m == NULL) return;
  wn_free(m->owned);
  wn_free(m);
}

static wn_status continuation_fit(const wn_dataset *data, const wn_params *values,
                                  const wn_fit_env *env WN_UNUSED, wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_continuation;
  continuation *m = wn_calloc(1, sizeof *m);
  int64_t *gap_ms = wn_calloc((size_t)data->items + 1, sizeof *gap_ms);
  if (m == NULL || gap_ms == NULL) {
    wn_free(m);
    wn_free(gap_ms);
    return wn_fail_memory(err);
  }
  if (data->repeat_ms != NULL && data->items > 0)
    memcpy(gap_ms, data->repeat_ms, data->items * sizeof *gap_ms);
  m->base.cls = cls;
  m->head =
      (continuation_head){.version = 1,
                          .items = data->items,
                          .half_life_ms = wn_param(cls, values, "half_life_days") * 86400000.0,
                          .repeat_from = wn_param(cls, values, "repeat_from")};
  m->gap_ms = gap_ms;
  m->owned = gap_ms;
  *out = &m->base;
  return WN_OK;
}

static wn_status continuation_save(const wn_model *model, wn_snapshot_writer *writer,
                                   wn_error *err) {
  const continuation *m = (const continuation *)model;
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "continuation/head", &m->head, sizeof m->head, err));
  WN_TRY(wn_snapshot_write(writer, "continuation/gap_ms", m->gap_ms,
                           m->head.items * sizeof *m->gap_ms, err));
cleanup:
  return status;
}

static wn_status continuation_validate(const wn_model *model, wn_error *err) {
  const continuation *m = (const continuation *)model;
  const continuation_head *h = &m->head;
  if (h->version != 1 || !(h->half_life_ms > 0 && h->half_life_ms <= 1e15) ||
      !(h->repeat_from >= 0 && h->repeat_from <= 10))
    return wn_fail(err, WN_E_CORRUPT, "continuation/head", "values are out of range");
  for (uint32_t i = 0; i < h->items; i++)
    if (m->gap_ms[i] < 0)
      return wn_fail(err, WN_E_CORRUPT, "continuation/gap_ms", "must not be negative");
  return WN_OK;
}

static wn_status continuation_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *head, *gap_ms;
  wn_status status;
  continuation *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_continuation;
  WN_TRY(wn_section_array(snapshot, "continuation/head", sizeof m->head, 1, &head, err));
  memcpy(&m->head, head, sizeof m->head);
  WN_TRY(wn_section_array(snapshot, "continuation/gap_ms", sizeof *m->gap_ms, m->head.items,
                          &gap_ms, err));
  m->gap_ms = gap_ms;
  WN_TRY(continuation_validate(&m->base, err));
  *out = &m->base;
  m = NULL;
cleanup:
  continuation_free((wn_model *)m);
  return status;
}

/* ---- answering ---- */

static bool good(const wn_query *query, size_t i, wn_standing standing) {
  float weight = query->history[i].weight;
  return query->history_standing[i] == standing && weight > 0 && isfinite(weight);
}

/* The largest weight of what is done: what the others are measured by. */
static float largest_done(const wn_query *query) {
  float most = 0;
  for (size_t i = 0; i < query->history_len; i++)
    if (good(query, i, WN_STANDING_DONE)) most = fmaxf(most, query->history[i].weight);
  return most;
}

/* −INFINITY: not to be continued. `most`: largest_done. */
static float score_of(const continuation *m, const wn_query *query, size_t i, float most) {
  const wn_history_entry *h = &query->history[i];
  double age = fmax(0, (double)query->now_ms - (double)h->time_ms);
  if (!wn_query_allows(query, h->item)) return -INFINITY;
  if (good(query, i, WN_STANDING_OPEN)) return (float)exp2(-age / m->head.half_life_ms);
  if (!good(query, i, WN_STANDING_DONE) || h->item >= m->head.items) return -INFINITY;
  double gap = (double)m->gap_ms[h->item];
  if (gap <= 0 || age < m->head.repeat_from * gap) return -INFINITY;
  return h->weight / most * (float)(age > gap ? gap / age : 1);
}

static wn_status continuation_candidates(const wn_model *model, const wn_query *query, size_t k,
                                         wn_scored *out, size_t *count, wn_error *err WN_UNUSED) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  float most = query->history_standing != NULL ? largest_done(query) : 0;
  for (size_t i = 0; query->history_standing != NULL && i < query->history_len; i++) {
    float score = score_of((const continuation *)model, query, i, most);
    if (score > 0) wn_topk_push(&top, query->history[i].item, score);
  }
  *count = wn_topk_sort(&top);
  return WN_OK;
}

static wn_status continuation_score_all(const wn_model *model, const wn_query *query, float *scores,
                                        uint32_t items, wn_error *err WN_UNUSED) {
  wn_scores_clear(scores, items);
  float most = query->history_standing != NULL ? largest_done(query) : 0;
  for (size_t i = 0; query->history_standing != NULL && i < query->history_len; i++) {
    float score = score_of((const continuation *)model, query, i, most);
    if (score > 0 && query->history[i].item < items) scores[query->history[i].item] = score;
  }
  return WN_OK;
}

const wn_model_class wn_model_continuation = {
    .name = "continuation",
    .doc = "the user's own items: begun and not finished, or due again",
    .flags = WN_MODEL_HISTORY | WN_MODEL_BY_NAME,
    .params = params,
    .params_len = sizeof params / sizeof *params,
    .fit = continuation_fit,
    .save = continuation_save,
    .map = continuation_map,
    .validate = continuation_validate,
    .candidates = continuation_candidates,
    .score_all = continuation_score_all,
    .free = continuation_free,
};
