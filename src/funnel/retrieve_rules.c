/* Retrieve, for the rules of ordering: a quota or a sponsored slot can place only what was
 * proposed. Where the proposals hold too few items for one, the surface's sources are asked for as
 * many more as are missing, among these items alone: the generators in their order, then the
 * fallbacks, then the catalogue. What comes is put behind each source's list, so it moves no other
 * score.
 *
 * Cost: a compiled condition a rule, and a query for each rule that lacks something. */

#include "base/clock.h"
#include "funnel/order_rules.h"

#include <string.h>

/* `list` with `more` behind it, standing below everything that was proposed. */
static wn_status append(wn_funnel *funnel, wn_source *source, wn_scored_list more, wn_error *err) {
  size_t len = source->list.len, all = len + more.len;
  wn_scored *data = wn_arena_alloc(funnel->arena, all * sizeof *data);
  uint32_t *standing = wn_arena_alloc(funnel->arena, all * sizeof *standing);
  if (data == NULL || standing == NULL) return wn_fail_memory(err);
  if (len > 0) memcpy(data, source->list.data, len * sizeof *data);
  memcpy(data + len, more.data, more.len * sizeof *data);
  for (size_t i = 0; i < all; i++)
    standing[i] = i >= len                   ? (uint32_t)(source->whole.len + i - len)
                  : source->standing != NULL ? source->standing[i]
                                             : (uint32_t)i;
  if (source->whole.len == 0) source->whole = more; /* it was not asked before */
  source->list = (wn_scored_list){data, all};
  source->standing = standing;
  return WN_OK;
}

/* Takes what it proposes out of `lacking`. */
static wn_status ask_more(wn_funnel *funnel, size_t number, wn_bitset *lacking, size_t *missing,
                          wn_error *err) {
  wn_source *source = &funnel->sources[number];
  wn_scored_list more;
  uint64_t start = wn_mono_ns();
  size_t before = source->list.len;
  wn_status status = wn_source_ask(funnel, source, lacking, *missing, &more, err);
  if (status != WN_OK || more.len == 0) return status;
  WN_TRY(append(funnel, source, more, err));
  WN_TRY(wn_retrieve_merge(funnel, number, before, err));
  for (size_t i = 0; i < more.len; i++) wn_bitset_unset(lacking, more.data[i].ix);
  *missing -= more.len < *missing ? more.len : *missing;
  source->note = NULL;
  source->ms += wn_ms_since(start);
cleanup:
  return status;
}

/* At least `wanted` candidates that satisfy a rule, as far as there are such items. */
static wn_status provide(wn_funnel *funnel, const wn_bitset *items, size_t wanted, wn_error *err) {
  wn_bitset lacking;
  wn_status status = WN_OK;
  size_t missing = wanted < funnel->n ? wanted : funnel->n;
  for (size_t i = 0; i < funnel->candidates_len && missing > 0; i++)
    missing -= wn_bitset_test(items, funnel->candidates[i].item);
  if (missing == 0) return WN_OK;
  if (!wn_bitset_init_arena(&lacking, funnel->items, funnel->arena)) return wn_fail_memory(err);
  wn_bitset_copy(&lacking, &funnel->allowed);
  wn_bitset_and(&lacking, items);
  for (size_t i = 0; i < funnel->candidates_len; i++)
    wn_bitset_unset(&lacking, funnel->candidates[i].item);
  for (size_t s = 0; s < funnel->sources_len && missing > 0; s++) {
    if (funnel->sources[s].tier == 2 && funnel->surface->short_slates) break;
    WN_TRY(ask_more(funnel, s, &lacking, &missing, err));
  }
cleanup:
  return status;
}

/* Slots of the slate up to this one that say the same. */
static size_t alike(const wn_funnel *funnel, size_t slot) {
  const wn_slot *slots = funnel->surface->slots;
  size_t n = 0;
  for (size_t s = 0; s <= slot; s++)
    n += slots[s].position <= funnel->n && strcmp(slots[s].where, slots[slot].where) == 0;
  return n;
}

wn_status wn_retrieve_for_rules(wn_funnel *funnel, wn_error *err) {
  const wn_surface *surface = funnel->surface;
  wn_status status = WN_OK;
  wn_bitset items;
  for (size_t q = 0; q < surface->quotas_len; q++) {
    WN_TRY(wn_rules_quota_items(funnel, &surface->quotas[q], &items, err));
    WN_TRY(provide(funnel, &items, surface->quotas[q].min, err));
  }
  for (size_t s = 0; s < surface->slots_len; s++) {
    const wn_slot *slot = &surface->slots[s];
    if (slot->explore != WN_EXPLORE_NONE || slot->position > funnel->n) continue;
    WN_TRY(wn_rules_items(funnel, slot->where, "slot", &items, err));
    WN_TRY(provide(funnel, &items, alike(funnel, s), err));
  }
cleanup:
  return status;
}
