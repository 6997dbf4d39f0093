/* What came of showing items in a context ("device": "tv"), as of training: target statistics of
 * the values that requests give for the members that most slates have, four of them at most.
 *
 * Rates are relative, as item_shown.c's are: answers over those that the places would have brought.
 * A value's is smoothed towards 1; an item's under a value towards the item's own, so that it says
 * more than the item's only where there is evidence. Numbers have no rates: trees split them.
 *
 * Cost: two more scans of the slates and one of the log, where any request had a context; 40 bytes
 * for each item and value that met. */
#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"
#include "model/item_shown.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_MAX ((size_t)1 << 20)
#define PAIRS_MAX 4000000

typedef struct meeting {
  uint64_t key; /* wn_context_key */
  double expected, answered;
} meeting;

typedef struct contexts {
  const wn_shown_counts *counts;
  wn_item_facts *facts;
  wn_map64 at; /* key → meeting + 1 */
  WN_VEC(meeting) met;
  wn_arena arena;
} contexts;

/* Without a row, because there are too many: it is not counted. */
static wn_status meet(contexts *c, uint64_t key, double expected, bool answered, wn_error *err) {
  uint64_t *at = c->met.len < PAIRS_MAX ? wn_map64_at(&c->at, key) : wn_map64_find(&c->at, key);
  if (at == NULL) return c->met.len < PAIRS_MAX ? wn_fail_memory(err) : WN_OK;
  if (*at == 0) {
    if (!wn_vec_push(&c->met, (meeting){.key = key})) return wn_fail_memory(err);
    *at = c->met.len;
  }
  c->met.data[*at - 1].expected += expected;
  c->met.data[*at - 1].answered += answered;
  return WN_OK;
}

static wn_status count_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                             size_t len, wn_error *err) {
  contexts *c = ctx;
  const wn_facts_head *head = &c->facts->head;
  wn_attrs attrs;
  wn_status status = WN_OK;
  if (slate->request.len == 0 || wn_shown_too_late(c->counts->log, slate)) return WN_OK;
  wn_arena_reset(&c->arena);
  WN_TRY(wn_attrs_from_json(slate->request, &c->arena, &attrs, err));
  for (uint32_t k = 0; k < head->contexts; k++) {
    const wn_attr *attr = wn_attrs_find(&attrs, head->context[k]);
    uint32_t value = attr != NULL ? wn_context_value(attr) : 0;
    for (size_t i = 0; value != 0 && i < slate->len; i++) {
      uint32_t place = i < WN_PLACES ? (uint32_t)i + 1 : WN_PLACES;
      double expected = c->counts->place_answered[place] / c->counts->place_shown[place];
      bool answered = wn_shown_answered(c->counts->log, answers, len, (uint32_t)i + 1);
      WN_TRY(meet(c, wn_context_key(WN_NO_IX, k, value), expected, answered, err));
      if (slate->items[i] < head->items)
        WN_TRY(meet(c, wn_context_key(slate->items[i], k, value), expected, answered, err));
    }
  }
cleanup:
  return status;
}

static int by_key(const void *left, const void *right) {
  const meeting *a = left, *b = right;
  return (a->key > b->key) - (a->key < b->key);
}

static wn_status make_rates(contexts *c, wn_error *err) {
  wn_item_facts *f = c->facts;
  uint64_t *key = wn_reallocarray(NULL, c->met.len + 1, sizeof *key);
  float *rate = wn_reallocarray(NULL, c->met.len + 1, sizeof *rate);
  f->context_key = f->owned[WN_FACTS_OWNED - 2] = key;
  f->context_rate = f->owned[WN_FACTS_OWNED - 3] = rate;
  if (key == NULL || rate == NULL) return wn_fail_memory(err);
  f->context_rates = c->met.len;
  if (c->met.len > 0) qsort(c->met.data, c->met.len, sizeof *c->met.data, by_key);
  for (size_t i = 0; i < c->met.len; i++) {
    const meeting *m = &c->met.data[i];
    uint32_t item = (uint32_t)(m->key >> 32);
    double prior = item < f->head.items ? (double)f->shown[(size_t)item * WN_SHOWN_COLUMNS] : 1;
    key[i] = m->key;
    rate[i] = (float)((m->answered + WN_SHOWN_PRIOR * prior) / (m->expected + WN_SHOWN_PRIOR));
  }
  return WN_OK;
}

wn_status wn_facts_count_contexts(const wn_shown_counts *counts, wn_item_facts *facts,
                                  wn_error *err) {
  wn_answered_options how;
  wn_status status;
  contexts c = {.counts = counts, .facts = facts};
  wn_arena_init(&c.arena, ARENA_MAX);
  wn_answered_options_defaults(&how);
  WN_TRY(wn_store_scan_answered(counts->log->store, &how, count_slate, &c, err));
  WN_TRY(make_rates(&c, err));
cleanup:
  wn_arena_clear(&c.arena);
  wn_map64_clear(&c.at);
  wn_vec_clear(&c.met);
  return status;
}

/* --- which members --- */

static int by_slates(const void *left, const void *right) {
  const wn_context_name *a = left, *b = right;
  if (a->slates != b->slates) return a->slates > b->slates ? -1 : 1;
  return strcmp(a->name, b->name);
}

static int by_name(const void *left, const void *right) {
  return strcmp(left, right);
}

wn_status wn_context_names_add(wn_context_names *names, wn_str request, wn_arena *arena,
                               wn_error *err) {
  wn_attrs attrs;
  wn_arena_reset(arena);
  wn_status status = wn_attrs_from_json(request, arena, &attrs, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < attrs.len; i++) {
    wn_str name = attrs.data[i].name;
    size_t at = 0;
    while (at < names->len && !wn_str_is(name, names->data[at].name)) at++;
    if (at == WN_CONTEXT_NAMES_MAX || name.len > WN_FACTS_NAME_MAX) continue;
    if (at == names->len) memcpy(names->data[names->len++].name, name.ptr, name.len);
    names->data[at].slates++;
  }
  return WN_OK;
}

/* By name, so that the set of features is the same while the members are. */
void wn_context_names_choose(wn_context_names *names, wn_facts_head *head) {
  qsort(names->data, names->len, sizeof *names->data, by_slates);
  for (size_t i = 0; i < names->len && head->contexts < WN_FACTS_CONTEXTS; i++)
    memcpy(head->context[head->contexts++], names->data[i].name, sizeof head->context[0]);
  qsort(head->context, head->contexts, sizeof head->context[0], by_name);
}
