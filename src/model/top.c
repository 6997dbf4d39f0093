/* The plain rule: what is most used in the same category. Score of an item = its use, fading over
 * 28 days up to the newest event (where the data have times; else all of it), times the share of
 * the asked item's values of one attribute that it has. What nobody used for years goes by all its
 * use, below the others. Asked for an item (a flat surface), or for the newest one of a history.
 *
 * `attribute` says which; by default the text or list of texts that most items have (item_facts.c).
 * Counts follow events; which values an item has is as of training, and items put since join then.
 *
 * For small catalogues this is often as good as anything, which `winnow evaluate --model top` says.
 * Cost: the items that share a value. Memory: 8 bytes a value of an item, beside the facts.
 * Deterministic. */
#include "model/item_facts.h"

#include "base/mem.h"
#include "base/sort.h"
#include "model/query.h"

#include <string.h>

enum { FADING = WN_PULSE_WINDOWS - 1 };
#define LONG_AGO 1e-6f /* what use of any age counts */

typedef struct top {
  wn_model base;
  wn_item_facts facts;
  uint64_t *of_value; /* [pairs] value << 32 | item, ascending; NULL: no attribute */
  size_t pairs;
  int64_t newest_ms; /* event */
} top;

static void top_free(wn_model *model) {
  top *m = (top *)model;
  wn_facts_clear(&m->facts);
  wn_free(m->of_value);
  wn_free(m);
}

/* Items by value, and the newest event. */
static wn_status invert(top *m, wn_error *err) {
  const wn_item_facts *f = &m->facts;
  for (size_t i = 0; i < f->pulses; i++)
    if (f->pulse[i].time_ms > m->newest_ms) m->newest_ms = f->pulse[i].time_ms;
  if (f->head.attrs == 0) return WN_OK;
  m->pairs = (size_t)f->value_ptr[0][f->head.items];
  m->of_value = wn_reallocarray(NULL, m->pairs + 1, sizeof *m->of_value);
  if (m->of_value == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < f->head.items; i++)
    for (uint64_t v = f->value_ptr[0][i]; v < f->value_ptr[0][i + 1]; v++)
      m->of_value[v] = (uint64_t)f->value[0][v] << 32 | i;
  wn_sort_u64(m->of_value, m->pairs);
  return WN_OK;
}

static wn_status top_fit(const wn_dataset *data, const wn_params *params,
                         const wn_fit_env *env WN_UNUSED, wn_model **out, wn_error *err) {
  wn_status status;
  top *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_top;
  WN_TRY(wn_facts_fit(data, params->text, &m->facts, err));
  WN_TRY(wn_facts_replay(data, &m->facts, err));
  if (params->text[0] != '\0' && m->facts.head.attrs == 0)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "top.attribute",
                   "no item has a text or a list of texts `%s`", params->text));
  WN_TRY(invert(m, err));
  *out = &m->base;
cleanup:
  if (status != WN_OK) top_free(&m->base);
  return status;
}

static wn_status top_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  return wn_facts_save(&((const top *)model)->facts, "top/facts", writer, err);
}

static wn_status top_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_status status;
  top *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_top;
  WN_TRY(wn_facts_map(snapshot, "top/facts", &m->facts, err));
  WN_TRY(invert(m, err));
  *out = &m->base;
cleanup:
  if (status != WN_OK) top_free(&m->base);
  return status;
}

/* --- answering --- */

static wn_item_ix asked_item(const top *m, const wn_query *query) {
  wn_positive newest;
  if (query->anchor != WN_NO_IX) return query->anchor;
  size_t n = wn_query_positives(query, m->facts.head.items, 1, &newest);
  return n > 0 ? newest.item : WN_NO_IX;
}

/* The first pair that is not below. */
static size_t first_of(const top *m, uint64_t pair) {
  size_t low = 0, high = m->pairs;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (m->of_value[middle] < pair)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static float use_of(const top *m, uint32_t item) {
  const wn_pulse *p = &m->facts.pulse[item];
  if (!m->facts.head.timed) return (float)p->count;
  return wn_pulse_at(p, FADING, m->newest_ms) + LONG_AGO * (float)p->count;
}

static wn_status top_ask(wn_ask *ask, const wn_model *model, const wn_query *query, wn_arena *arena,
                         wn_error *err) {
  const top *m = (const top *)model;
  const wn_item_facts *f = &m->facts;
  wn_item_ix item = asked_item(m, query);
  if (m->of_value == NULL || item >= f->head.items) return WN_OK;
  uint64_t begin = f->value_ptr[0][item], end = f->value_ptr[0][item + 1];
  size_t adds = 0;
  for (uint64_t v = begin; v < end; v++) {
    uint64_t value = (uint64_t)f->value[0][v] << 32;
    adds += first_of(m, value | UINT32_MAX) - first_of(m, value);
  }
  if (adds == 0) return WN_OK;
  if (!wn_accum_init(&ask->accum, f->head.items, adds, arena)) return wn_fail_memory(err);
  for (uint64_t v = begin; v < end; v++) {
    uint64_t value = (uint64_t)f->value[0][v] << 32, last = value | UINT32_MAX;
    for (size_t i = first_of(m, value); i < m->pairs && m->of_value[i] < last; i++) {
      uint32_t other = (uint32_t)m->of_value[i];
      wn_accum_add(&ask->accum, other, use_of(m, other) / (float)(end - begin));
    }
  }
  ask->any = true;
  ask->without = item;
  return WN_OK;
}

static wn_status top_candidates(const wn_model *model, const wn_query *query, size_t k,
                                wn_scored *out, size_t *count, wn_error *err) {
  wn_topk best;
  wn_topk_init(&best, out, k);
  wn_status status = wn_ask_top(top_ask, model, query, &best, err);
  *count = wn_topk_sort(&best);
  return status;
}

static wn_status top_score_all(const wn_model *model, const wn_query *query, float *scores,
                               uint32_t items, wn_error *err) {
  return wn_ask_all(top_ask, model, query, scores, items, err);
}

static void top_update(wn_model *model, const wn_event *event, float weight) {
  top *m = (top *)model;
  if (!(weight > 0)) return;
  wn_facts_update(&m->facts, event);
  if (event->time_ms > m->newest_ms) m->newest_ms = event->time_ms;
}

static size_t top_bytes(const wn_model *model) {
  return wn_facts_bytes(&((const top *)model)->facts);
}

const wn_model_class wn_model_top = {
    .name = "top",
    .doc = "the plain rule: most used items of the same category",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_LIVE | WN_MODEL_BY_NAME,
    .text = "attribute",
    .fit = top_fit,
    .save = top_save,
    .map = top_map,
    .candidates = top_candidates,
    .similar = wn_anchor_similar,
    .score_all = top_score_all,
    .update = top_update,
    .bytes = top_bytes,
    .free = top_free,
};
