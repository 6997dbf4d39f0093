/* Stage 2, filter: what must not be shown. Everything that forbids an item is compiled into one
 * bitmap first and pushed down into retrieval, so that a strict filter still fills the slate; after
 * retrieval the candidates are held against it once more, in case a generator ignored it.
 *
 * What is never relaxed: hidden and deleted items, the request's own filter, exclusions, what was
 * seen or served. The surface's `where` is left out when no servable item of the whole catalogue
 * satisfies it (a rule about an attribute that nobody fills in any more, mostly): the slate says
 * so, and whoever would rather show nothing says `required`. One that merely leaves nothing for
 * this request holds.
 *
 * Cost: a few passes over items / 64 words, plus the user's seen items. */

#include "base/clock.h"
#include "funnel/stages.h"
#include <string.h>

enum { DROPS_A_SOURCE = 50 };

/* Event types share bit 63 from 63 on (wn_seen_entry). */
static uint64_t type_bit(uint32_t type) {
  return (uint64_t)1 << (type < 63 ? type : 63);
}

static uint64_t seen_mask_of(const wn_surface *surface, const wn_signals *signals) {
  uint64_t mask = 0;
  if (signals == NULL) return 0;
  for (uint32_t t = 0; surface->seen_all && t < signals->len; t++) {
    if (signals->data[t].seen) mask |= type_bit(t);
  }
  for (size_t i = 0; i < surface->seen_len; i++) {
    uint32_t type = wn_signals_find(signals, wn_str_of(surface->seen[i]));
    if (type != WN_NO_IX) mask |= type_bit(type);
  }
  return mask;
}

/* What counts how many items each rule took from those that were left. */
typedef struct tally {
  size_t left;
  bool blame; /* only who took the last */
  const char *emptied;
} tally;

static void count_rule(wn_funnel *funnel, const char *reason, tally *t) {
  wn_trace *trace = funnel->trace;
  if (t->blame && t->emptied == NULL && wn_bitset_count(&funnel->allowed) == 0) t->emptied = reason;
  if (t->blame || trace == NULL || trace->filter_counts_len == WN_RULES_MAX) return;
  size_t now = wn_bitset_count(&funnel->allowed), *left = &t->left;
  trace->filter_counts[trace->filter_counts_len].reason = reason;
  trace->filter_counts[trace->filter_counts_len++].count = (uint32_t)(*left - now);
  *left = now;
}

/* An expression's own bitmap, kept for wn_filter_reason, and its AND into `allowed`. */
static wn_status apply_expression(wn_funnel *funnel, wn_str text, const char *field, wn_bitset *own,
                                  wn_error *err) {
  if (!wn_bitset_init_arena(own, funnel->items, funnel->arena)) return wn_fail_memory(err);
  wn_bitset_fill(own, true);
  wn_status status =
      wn_expr_cache_and(funnel->request->filters, text, field, funnel->request->catalog, own, err);
  if (status == WN_OK) wn_bitset_and(&funnel->allowed, own);
  return status;
}

static void forbid(wn_funnel *funnel, const wn_item_ix *items, size_t len) {
  for (size_t i = 0; i < len; i++) wn_bitset_unset(&funnel->allowed, items[i]);
}

/* What was served is not shown again, but generators are asked as if it might be: an item's
 * standing in their lists is then the same on every page (retrieve.c). */
static wn_status forbid_served(wn_funnel *funnel, const tally *t, wn_error *err) {
  const wn_request *request = funnel->request;
  if (request->served_len > 0 && !t->blame) {
    if (!wn_bitset_init_arena(&funnel->askable, funnel->items, funnel->arena))
      return wn_fail_memory(err);
    wn_bitset_copy(&funnel->askable, &funnel->allowed);
    if (request->query.anchor < funnel->items)
      wn_bitset_unset(&funnel->askable, request->query.anchor);
  }
  forbid(funnel, request->served, request->served_len);
  return WN_OK;
}

static wn_status apply_where(wn_funnel *funnel, tally *t, wn_error *err) {
  const wn_surface *surface = funnel->surface;
  wn_status status = WN_OK;
  bool any = wn_bitset_count(&funnel->allowed) > 0;
  WN_TRY(apply_expression(funnel, wn_str_of(surface->where), "where", &funnel->where, err));
  if (any && !surface->where_required && wn_bitset_count(&funnel->allowed) == 0) {
    funnel->where.words = NULL;
    funnel->relaxed = "where";
    wn_bitset_copy(&funnel->allowed, wn_catalog_servable(funnel->request->catalog));
    if (!t->blame)
      wn_trace_note(funnel->trace, "where not kept: no item of the catalogue satisfies it");
  }
  count_rule(funnel, "where", t);
cleanup:
  return status;
}

static wn_status compile(wn_funnel *funnel, tally *t, wn_error *err) {
  const wn_request *request = funnel->request;
  wn_status status = WN_OK;
  wn_bitset_copy(&funnel->allowed, wn_catalog_servable(request->catalog));
  count_rule(funnel, "hidden", t);
  if (funnel->surface->where[0] != '\0') WN_TRY(apply_where(funnel, t, err));
  if (request->within != NULL) {
    wn_bitset_and(&funnel->allowed, request->within);
    count_rule(funnel, "outside", t);
  }
  if (request->filter.len > 0) {
    WN_TRY(apply_expression(funnel, request->filter, "filter", &funnel->filter, err));
    count_rule(funnel, "request filter", t);
  }
  funnel->seen_mask = seen_mask_of(funnel->surface, request->signals);
  for (size_t i = 0; i < request->seen_len; i++) {
    const wn_seen_entry *entry = &request->seen[i];
    if ((entry->mask & funnel->seen_mask) != 0) wn_bitset_unset(&funnel->allowed, entry->item);
  }
  count_rule(funnel, "seen", t);
  forbid(funnel, request->exclude, request->exclude_len);
  count_rule(funnel, "excluded", t);
  WN_TRY(forbid_served(funnel, t, err));
  count_rule(funnel, "served", t);
  forbid(funnel, &request->query.anchor, 1);
  count_rule(funnel, "anchor", t);
cleanup:
  return status;
}

wn_status wn_filter_compile(wn_funnel *funnel, wn_error *err) {
  tally t = {.left = funnel->items};
  if (!wn_bitset_init_arena(&funnel->allowed, funnel->items, funnel->arena))
    return wn_fail_memory(err);
  wn_status status = compile(funnel, &t, err);
  if (status == WN_OK && funnel->trace != NULL) funnel->trace->allowed_count = t.left;
  return status;
}

wn_status wn_filter_blame(wn_funnel *funnel, const char **reason, wn_error *err) {
  tally t = {.blame = true};
  wn_funnel again = *funnel;
  if (!wn_bitset_init_arena(&again.allowed, funnel->items, funnel->arena))
    return wn_fail_memory(err);
  wn_status status = compile(&again, &t, err);
  *reason = t.emptied;
  return status;
}

static bool holds(const wn_item_ix *items, size_t len, wn_item_ix item) {
  for (size_t i = 0; i < len; i++) {
    if (items[i] == item) return true;
  }
  return false;
}

static const char *seen_reason(const wn_funnel *funnel, wn_item_ix item) {
  const wn_request *request = funnel->request;
  for (size_t i = 0; i < request->seen_len; i++) {
    uint64_t types = request->seen[i].mask & funnel->seen_mask;
    if (request->seen[i].item != item || types == 0) continue;
    unsigned type = (unsigned)__builtin_ctzll(types);
    return type < 63 ? wn_funnel_format(funnel, "seen:%s", request->signals->data[type].name)
                     : "seen";
  }
  return NULL;
}

const char *wn_filter_reason(const wn_funnel *funnel, wn_item_ix item, bool seen_too) {
  const wn_request *request = funnel->request;
  if (!wn_bitset_test(wn_catalog_servable(request->catalog), item)) {
    return wn_catalog_status(request->catalog, item) == WN_ITEM_DELETED ? "deleted" : "hidden";
  }
  if (request->within != NULL && !wn_bitset_test(request->within, item)) return "outside";
  if (funnel->where.words != NULL && !wn_bitset_test(&funnel->where, item)) return "where";
  if (funnel->filter.words != NULL && !wn_bitset_test(&funnel->filter, item)) {
    return "request filter";
  }
  if (holds(request->exclude, request->exclude_len, item)) return "excluded";
  if (holds(request->served, request->served_len, item)) return "served";
  if (item == request->query.anchor) return "anchor";
  return seen_too ? seen_reason(funnel, item) : NULL;
}

/* What the generators would have proposed but for the filters: each is asked once more without. */
static wn_status trace_drops(wn_funnel *funnel, wn_error *err) {
  wn_bitset told;
  if (!wn_bitset_init_arena(&told, funnel->items, funnel->arena)) return wn_fail_memory(err);
  for (size_t s = 0; s < funnel->sources_len; s++) {
    wn_source *source = &funnel->sources[s];
    wn_scored_list list;
    size_t k = source->quota < DROPS_A_SOURCE ? source->quota : DROPS_A_SOURCE;
    if (source->spec == NULL || source->note != NULL) continue;
    wn_status status = wn_source_ask(funnel, source, NULL, k, &list, err);
    if (status != WN_OK) return status;
    for (size_t i = 0; i < list.len; i++) {
      wn_item_ix item = list.data[i].ix;
      if (item >= funnel->items || wn_bitset_test(&funnel->allowed, item)) continue;
      if (wn_bitset_test(&told, item)) continue;
      wn_bitset_set(&told, item);
      wn_trace_drop(funnel->trace, item, "filter", wn_filter_reason(funnel, item, true));
    }
  }
  return WN_OK;
}

wn_status wn_filter_check(wn_funnel *funnel, wn_error *err) {
  size_t kept = 0;
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    if (!wn_bitset_test(&funnel->allowed, funnel->candidates[i].item)) continue;
    funnel->candidates[kept++] = funnel->candidates[i];
  }
  size_t ignored = funnel->candidates_len - kept;
  funnel->candidates_len = kept;
  if (funnel->trace == NULL) return WN_OK;
  if (ignored > 0) {
    wn_funnel_note(funnel,
                   "%zu candidates that no filter allows came out of retrieval and were dropped",
                   ignored);
  }
  return trace_drops(funnel, err);
}
