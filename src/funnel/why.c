/* Why an item is, or is not, in the slate: its way through the stages that the funnel just ran
 * (explain only).
 *
 * What a filter keeps out, or what no generator proposed, left no mark on the way; so each
 * generator is asked once more for many more items than its quota, without the filters that stood
 * against it, to say at which rank it has the item. Cost: a deep question to each generator and
 * asked item; nothing for items that were candidates. */

#include "funnel/stages.h"

enum { DEPTH = 2000 }; /* what ranks lower is not found */

static const wn_candidate *find_candidate(const wn_funnel *funnel, wn_item_ix item) {
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    if (funnel->candidates[i].item == item) return &funnel->candidates[i];
  }
  return NULL;
}

static uint32_t position_of(const wn_funnel *funnel, wn_item_ix item) {
  for (size_t i = 0; i < funnel->slate_len; i++) {
    if (funnel->slate[i].item == item) return (uint32_t)i + 1;
  }
  return 0;
}

/* The ranks that a source would give them, of those that a filter keeps out (`kept_out`: asked
 * without filters) or of the others. */
static void note_ranks(wn_trace *trace, size_t number, bool kept_out, wn_scored_list list) {
  for (size_t i = 0; i < list.len; i++) {
    for (size_t w = 0; w < trace->whys_len; w++) {
      wn_why *why = &trace->whys[w];
      if (why->beyond == NULL || why->item != list.data[i].ix) continue;
      if (wn_str_is(wn_str_of(why->stage), "filter") != kept_out) continue;
      why->beyond[number] = (wn_proposal){.score = list.data[i].score, .rank = (uint32_t)i + 1};
      if (!kept_out) why->reason = "beyond the quotas";
    }
  }
}

static wn_status ask_deeper(wn_funnel *funnel, bool kept_out, wn_error *err) {
  const wn_bitset *allowed = kept_out ? NULL : &funnel->allowed;
  for (size_t s = 0; s < funnel->sources_len; s++) {
    wn_source *source = &funnel->sources[s];
    wn_scored_list list;
    if (source->spec == NULL || source->note != NULL) continue;
    wn_status status = wn_source_ask(funnel, source, allowed, DEPTH, &list, err);
    if (status != WN_OK) return status;
    note_ranks(funnel->trace, s, kept_out, list);
  }
  return WN_OK;
}

static const char *order_reason(const wn_funnel *funnel, const wn_why *why) {
  for (size_t i = 0; i < funnel->trace->drops_len; i++) {
    const wn_drop_trace *drop = &funnel->trace->drops[i];
    if (drop->item == why->item && wn_str_is(wn_str_of("order"), drop->stage)) return drop->reason;
  }
  return why->candidate->rank_scored <= funnel->slate_len ? "diversity" : "score";
}

/* How far it came; what left no mark gets room for ranks. */
static wn_status look_at(const wn_funnel *funnel, wn_why *why, wn_error *err) {
  if (why->item == WN_NO_IX || why->item >= funnel->items) {
    why->stage = "unknown";
    why->reason = "no such item";
    return WN_OK;
  }
  why->position = position_of(funnel, why->item);
  why->candidate = find_candidate(funnel, why->item);
  if (why->position > 0) {
    why->stage = "shown";
    why->reason = why->candidate == NULL ? "pin" : "";
  } else if (why->candidate != NULL) {
    why->stage = "order";
    why->reason = order_reason(funnel, why);
  } else {
    const char *kept_out = wn_filter_reason(funnel, why->item, true);
    why->stage = kept_out != NULL ? "filter" : "retrieve";
    why->reason = kept_out != NULL ? kept_out : "no generator knows it";
    why->beyond = wn_arena_calloc(funnel->arena, funnel->sources_len, sizeof *why->beyond);
    if (why->beyond == NULL) return wn_fail_memory(err);
  }
  return WN_OK;
}

wn_status wn_why_explain(wn_funnel *funnel, wn_error *err) {
  const wn_request *request = funnel->request;
  wn_trace *trace = funnel->trace;
  wn_status status = WN_OK;
  bool deeper[2] = {false, false}; /* for items that no filter keeps out, and for others */
  if (trace == NULL || request->why_len == 0) return WN_OK;
  trace->whys = wn_arena_calloc(funnel->arena, request->why_len, sizeof *trace->whys);
  if (trace->whys == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < request->why_len; i++) {
    wn_why *why = &trace->whys[trace->whys_len++];
    *why = (wn_why){.id = request->why[i].id, .item = request->why[i].item};
    WN_TRY(look_at(funnel, why, err));
    if (why->beyond != NULL) deeper[wn_str_is(wn_str_of(why->stage), "filter")] = true;
  }
  if (deeper[0]) WN_TRY(ask_deeper(funnel, false, err));
  if (deeper[1]) WN_TRY(ask_deeper(funnel, true, err));
  if (funnel->slate_len > 0) trace->last_score = funnel->slate[funnel->slate_len - 1].score;
cleanup:
  return status;
}
