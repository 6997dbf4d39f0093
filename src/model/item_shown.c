/* What came of showing each item, as of training: features of how it does where it stands.
 *
 * Click-through is relative to what its places would have brought any item: answers over expected
 * answers, Σ over impressions of the place's own rate (clicks over expected clicks, Zhang and Jones
 * 2007), both with WN_SHOWN_PRIOR expected answers added: the posterior mean under a gamma prior
 * with mean
 * 1. Conversion is the share of answers that finished or bought, with the share of all items as a
 * beta prior of weight PRIOR_CONVERSIONS.
 *
 * Nothing is counted while the past is replayed (the counts of a moment long ago are not known), so
 * there they are absent; impressions have what was logged with them. */
#include "model/item_shown.h"

#include "base/mem.h"

#include <math.h>

#define PRIOR_CONVERSIONS 10.0
#define ARENA_MAX         ((size_t)1 << 20)

/* [items × (WN_PLACES + 1)] impressions by place, and answers of each item. */
typedef struct counting {
  wn_shown_counts all;
  wn_context_names *names;
  wn_arena arena;
  uint32_t items;
  uint32_t *shown, *answered, *converted;
} counting;

static bool is_conversion(const wn_signals *signals, uint32_t type) {
  const wn_signal *s = type < signals->len ? &signals->data[type] : NULL;
  return s != NULL && (s->level > 0 || (s->standing == WN_STANDING_DONE && s->weight > 0));
}

static bool counts(const wn_label_log *log, const wn_answer *of, uint32_t position) {
  return of->position == position && (log->upto_seq == 0 || of->seq <= log->upto_seq);
}

bool wn_shown_answered(const wn_label_log *log, const wn_answer *answers, size_t len,
                       uint32_t position) {
  for (size_t a = 0; a < len; a++)
    if (counts(log, &answers[a], position) &&
        wn_signal_weight(log->signals, answers[a].type, answers[a].value, answers[a].time_ms,
                         answers[a].time_ms) > 0)
      return true;
  return false;
}

/* An item is answered once a slate, however many events answer it. */
static wn_status count_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                             size_t len, wn_error *err) {
  counting *c = ctx;
  const wn_label_log *log = c->all.log;
  if (wn_shown_too_late(log, slate)) return WN_OK;
  if (slate->request.len > 0) {
    wn_status status = wn_context_names_add(c->names, slate->request, &c->arena, err);
    if (status != WN_OK) return status;
  }
  for (size_t i = 0; i < slate->len; i++) {
    uint32_t item = slate->items[i], place = i < WN_PLACES ? (uint32_t)i + 1 : WN_PLACES;
    bool answered = wn_shown_answered(log, answers, len, (uint32_t)i + 1), converted = false;
    if (item >= c->items) continue;
    for (size_t a = 0; a < len; a++)
      converted |=
          counts(log, &answers[a], (uint32_t)i + 1) && is_conversion(log->signals, answers[a].type);
    c->shown[(size_t)item * (WN_PLACES + 1) + place]++;
    c->answered[item] += answered;
    c->converted[item] += answered && converted;
    c->all.place_shown[place]++;
    c->all.place_answered[place] += answered;
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
      if (n > 0) expected += n * c->all.place_answered[k] / c->all.place_shown[k];
    }
    float *of = out + (size_t)i * WN_SHOWN_COLUMNS;
    of[0] = (float)((c->answered[i] + WN_SHOWN_PRIOR) / (expected + WN_SHOWN_PRIOR));
    of[1] = (float)((c->converted[i] + PRIOR_CONVERSIONS * usual) /
                    (c->answered[i] + PRIOR_CONVERSIONS));
    of[2] = (float)log1p(shown);
  }
}

wn_status wn_facts_count_shown(const wn_label_log *log, wn_item_facts *facts, wn_error *err) {
  wn_status status = WN_OK;
  wn_answered_options how;
  size_t items = facts->head.items;
  counting c = {.all = {.log = log},
                .names = wn_calloc(1, sizeof *c.names),
                .items = facts->head.items,
                .shown = wn_calloc(items * (WN_PLACES + 1) + 1, sizeof *c.shown),
                .answered = wn_calloc(items + 1, sizeof *c.answered),
                .converted = wn_calloc(items + 1, sizeof *c.converted)};
  float *columns = wn_reallocarray(NULL, items * WN_SHOWN_COLUMNS + 1, sizeof *columns);
  wn_arena_init(&c.arena, ARENA_MAX);
  if (c.names == NULL || c.shown == NULL || c.answered == NULL || c.converted == NULL ||
      columns == NULL)
    WN_TRY(wn_fail_memory(err));
  wn_answered_options_defaults(&how);
  WN_TRY(wn_store_scan_answered(log->store, &how, count_slate, &c, err));
  double all = 0;
  for (uint32_t k = 1; k <= WN_PLACES; k++) all += c.all.place_shown[k];
  if (all == 0) goto cleanup;
  make_columns(&c, columns);
  facts->shown = facts->owned[WN_FACTS_OWNED - 1] = columns;
  columns = NULL;
  wn_context_names_choose(c.names, &facts->head);
  if (facts->head.contexts > 0) WN_TRY(wn_facts_count_contexts(&c.all, facts, err));
cleanup:
  wn_arena_clear(&c.arena);
  wn_free(c.names);
  wn_free(columns);
  wn_free(c.shown);
  wn_free(c.answered);
  wn_free(c.converted);
  return status;
}
