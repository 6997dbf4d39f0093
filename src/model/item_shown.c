/* What came of showing each item, as of training: features of how it does where it stands.
 *
 * Click-through is relative to what its places would have brought any item: answers over expected
 * answers, Σ over impressions of the place's own rate (clicks over expected clicks, Zhang and Jones
 * 2007), both with PRIOR expected answers added: the posterior mean under a gamma prior with mean
 * 1. Conversion is the share of answers that finished or bought, with the share of all items as a
 * beta prior of weight PRIOR_CONVERSIONS.
 *
 * Nothing is counted while the past is replayed (the counts of a moment long ago are not known), so
 * there they are absent; impressions have what was logged with them. */
#include "base/mem.h"
#include "model/ranker.h"
#include "model/train.h"
#include "store/answered.h"

#include <math.h>

#define PRIOR             5.0
#define PRIOR_CONVERSIONS 10.0

/* [items × (WN_PLACES + 1)] impressions by place, and answers of each item. */
typedef struct counting {
  const wn_label_log *log;
  uint32_t items;
  uint32_t *shown, *answered, *converted;
  double place_shown[WN_PLACES + 1], place_answered[WN_PLACES + 1];
} counting;

static bool is_conversion(const wn_signals *signals, uint32_t type) {
  const wn_signal *s = type < signals->len ? &signals->data[type] : NULL;
  return s != NULL && (s->level > 0 || (s->standing == WN_STANDING_DONE && s->weight > 0));
}

/* An item is answered once a slate, however many events answer it. */
static wn_status count_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                             size_t len, wn_error *err WN_UNUSED) {
  counting *c = ctx;
  const wn_label_log *log = c->log;
  if (log->upto_seq != 0 && slate->time_ms > log->until_ms) return WN_OK;
  for (size_t i = 0; i < slate->len; i++) {
    uint32_t item = slate->items[i], place = i < WN_PLACES ? (uint32_t)i + 1 : WN_PLACES;
    bool answered = false, converted = false;
    if (item >= c->items) continue;
    for (size_t a = 0; a < len; a++) {
      const wn_answer *of = &answers[a];
      if (of->position != i + 1 || (log->upto_seq != 0 && of->seq > log->upto_seq)) continue;
      answered |= wn_signal_weight(log->signals, of->type, of->value, of->time_ms, of->time_ms) > 0;
      converted |= is_conversion(log->signals, of->type);
    }
    c->shown[(size_t)item * (WN_PLACES + 1) + place]++;
    c->answered[item] += answered;
    c->converted[item] += answered && converted;
    c->place_shown[place]++;
    c->place_answered[place] += answered;
  }
  return WN_OK;
}

static void make_columns(const counting *c, float *out) {
  double answers = 0, conversions = 0;
  for (uint32_t i = 0; i < c->items; i++) answers += c->answered[i], conversions += c->converted[i];
  double usual = answers > 0 ? conversions / answers : 0;
  for (uint32_t i = 0; i < c->items; i++) {
    double expected = 0, shown = 0;
    for (uint32_t k = 1; k <= WN_PLACES; k++) {
      double n = (double)c->shown[(size_t)i * (WN_PLACES + 1) + k];
      shown += n;
      if (n > 0) expected += n * c->place_answered[k] / c->place_shown[k];
    }
    float *of = out + (size_t)i * WN_SHOWN_COLUMNS;
    of[0] = (float)((c->answered[i] + PRIOR) / (expected + PRIOR));
    of[1] = (float)((c->converted[i] + PRIOR_CONVERSIONS * usual) /
                    (c->answered[i] + PRIOR_CONVERSIONS));
    of[2] = (float)log1p(shown);
  }
}

wn_status wn_facts_count_shown(const wn_label_log *log, wn_item_facts *facts, wn_error *err) {
  wn_status status = WN_OK;
  wn_answered_options how;
  size_t items = facts->head.items;
  counting c = {.log = log,
                .items = facts->head.items,
                .shown = wn_calloc(items * (WN_PLACES + 1) + 1, sizeof *c.shown),
                .answered = wn_calloc(items + 1, sizeof *c.answered),
                .converted = wn_calloc(items + 1, sizeof *c.converted)};
  float *columns = wn_reallocarray(NULL, items * WN_SHOWN_COLUMNS + 1, sizeof *columns);
  if (c.shown == NULL || c.answered == NULL || c.converted == NULL || columns == NULL)
    WN_TRY(wn_fail_memory(err));
  wn_answered_options_defaults(&how);
  WN_TRY(wn_store_scan_answered(log->store, &how, count_slate, &c, err));
  double all = 0;
  for (uint32_t k = 1; k <= WN_PLACES; k++) all += c.place_shown[k];
  if (all == 0) goto cleanup;
  make_columns(&c, columns);
  facts->shown = facts->owned[WN_FACTS_OWNED - 1] = columns;
  columns = NULL;
cleanup:
  wn_free(columns);
  wn_free(c.shown);
  wn_free(c.answered);
  wn_free(c.converted);
  return status;
}
