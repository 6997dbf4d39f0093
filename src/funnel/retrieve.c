/* Stage 1, retrieve: ask each source for its best allowed items, merge by item.
 *
 * Generators come first, all of them. Fallbacks are asked one after the other while there are fewer
 * than 2n candidates; the newest items of the catalogue fill what is then still missing to n, so
 * that (unless the surface says `fill: false`) a slate is full whenever enough items are allowed,
 * with or without models.
 *
 * Cost: the models' own scans, then O(candidates). Deterministic: sources in their declared order,
 * candidates in order of first proposal. */

#include "base/clock.h"
#include "base/rng.h"
#include "funnel/stages.h"
#include "model/ranker.h"
#include <string.h>

enum { ROWS_A_BLOCK = 64, CANDIDATES_MIN = 512, SERVED_MAX = 2000 };

static void add_source(wn_funnel *funnel, const wn_generator_spec *spec, unsigned tier) {
  wn_source *source = &funnel->sources[funnel->sources_len++];
  memset(source, 0, sizeof *source);
  source->tier = tier;
  source->spec = spec;
  source->weight = spec != NULL ? spec->weight : 1.0f;
  source->quota = spec != NULL ? spec->quota : 0;
  if (spec != NULL && funnel->request->models != NULL) {
    source->model = wn_models_find(funnel->request->models, spec->model);
    uint32_t depth;
    source->member = tier == 0 && funnel->normalise == WN_NORM_BLEND &&
                     wn_blend_weight_of(funnel->request->models, spec->model, &funnel->query,
                                        &source->blend, &depth);
  }
}

/* The same numbers as wn_surface_source. */
static wn_status list_sources(wn_funnel *funnel, wn_error *err) {
  const wn_surface *surface = funnel->surface;
  if (surface->generators_len + surface->fallback_len > WN_SOURCES_MAX) {
    return wn_fail(err, WN_E_INTERNAL, "surface", "more than %d sources", WN_SOURCES_MAX);
  }
  const wn_models *models = funnel->request->models;
  funnel->normalise = surface->normalise;
  if (surface->normalise == WN_NORM_BLEND &&
      (models == NULL || wn_models_find(models, wn_model_blend.name) == NULL)) {
    funnel->normalise = WN_NORM_MINMAX;
    wn_trace_note(funnel->trace, "no blend in this snapshot: minmax and the surface's own weights");
  }
  for (size_t i = 0; i < surface->generators_len; i++) {
    add_source(funnel, &surface->generators[i], 0);
  }
  for (size_t i = 0; i < surface->fallback_len; i++) add_source(funnel, &surface->fallback[i], 1);
  add_source(funnel, NULL, 2);
  return WN_OK;
}

/* Room for `more` candidates; the table of slots stays at most half full. */
static wn_status reserve(wn_funnel *funnel, size_t more, wn_error *err) {
  size_t need = funnel->candidates_len + more, cap = 2 * funnel->candidates_cap;
  if (need <= funnel->candidates_cap) return WN_OK;
  if (cap < CANDIDATES_MIN) cap = CANDIDATES_MIN;
  while (cap < need) cap *= 2;
  wn_candidate *candidates = wn_arena_alloc(funnel->arena, cap * sizeof *candidates);
  uint32_t *slots = wn_arena_calloc(funnel->arena, 2 * cap, sizeof *slots);
  if (candidates == NULL || slots == NULL) return wn_fail_memory(err);
  if (funnel->candidates_len > 0) {
    memcpy(candidates, funnel->candidates, funnel->candidates_len * sizeof *candidates);
  }
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    size_t at = wn_mix64(candidates[i].item) & (2 * cap - 1);
    while (slots[at] != 0) at = (at + 1) & (2 * cap - 1);
    slots[at] = (uint32_t)i + 1;
  }
  funnel->candidates = candidates;
  funnel->candidates_cap = cap;
  funnel->slots = slots;
  funnel->slots_cap = 2 * cap;
  return WN_OK;
}

static wn_proposal *new_row(wn_funnel *funnel) {
  if (funnel->proposals_left == 0) {
    funnel->proposals =
        wn_arena_calloc(funnel->arena, ROWS_A_BLOCK * funnel->sources_len, sizeof(wn_proposal));
    if (funnel->proposals == NULL) return NULL;
    funnel->proposals_left = ROWS_A_BLOCK;
  }
  wn_proposal *row = funnel->proposals;
  funnel->proposals += funnel->sources_len;
  funnel->proposals_left--;
  return row;
}

/* The candidate of an item, new or known; there is room. NULL: out of memory. */
static wn_candidate *candidate_at(wn_funnel *funnel, wn_item_ix item) {
  size_t mask = funnel->slots_cap - 1, at = wn_mix64(item) & mask;
  for (; funnel->slots[at] != 0; at = (at + 1) & mask) {
    wn_candidate *known = &funnel->candidates[funnel->slots[at] - 1];
    if (known->item == item) return known;
  }
  wn_candidate *fresh = &funnel->candidates[funnel->candidates_len];
  *fresh = (wn_candidate){.item = item, .boost = 1.0f, .proposals = new_row(funnel)};
  if (fresh->proposals == NULL) return NULL;
  funnel->slots[at] = (uint32_t)++funnel->candidates_len;
  if (funnel->light.facts != NULL) wn_light_expect(&funnel->light, item);
  return fresh;
}

wn_status wn_retrieve_merge(wn_funnel *funnel, size_t number, size_t from, wn_error *err) {
  const wn_source *source = &funnel->sources[number];
  size_t before = funnel->candidates_len;
  wn_status status = reserve(funnel, source->list.len - from, err);
  if (status != WN_OK) return status;
  for (size_t i = from; i < source->list.len; i++) {
    wn_candidate *candidate = candidate_at(funnel, source->list.data[i].ix);
    if (candidate == NULL) return wn_fail_memory(err);
    candidate->sources |= (uint32_t)1 << number;
    wn_proposal *proposal = &candidate->proposals[number];
    proposal->score = source->list.data[i].score;
    proposal->rank = (uint32_t)i + 1;
    proposal->standing = source->standing != NULL ? source->standing[i] : (uint32_t)i;
  }
  if (funnel->trace != NULL) {
    wn_generator_trace *trace = &funnel->trace->generators[number];
    uint32_t fresh = (uint32_t)(funnel->candidates_len - before);
    trace->unique_here += fresh;
    funnel->trace->merged_duplicates += source->list.len - from - fresh;
  }
  return WN_OK;
}

/* The request's query as this model may see it; false: it lacks what the model needs. */
static bool fit_query(const wn_funnel *funnel, wn_source *source, wn_query *query) {
  unsigned flags = source->model->cls->flags;
  bool flat = funnel->surface->flavour == WN_FLAVOUR_FLAT;
  if (flat || (flags & WN_MODEL_HISTORY) == 0) {
    query->history = NULL;
    query->history_len = 0;
  }
  if ((flags & (WN_MODEL_HISTORY | WN_MODEL_ANCHOR)) == 0) return true;
  if (query->history_len > 0) return true;
  if ((flags & WN_MODEL_ANCHOR) != 0 && query->anchor != WN_NO_IX) return true;
  if ((flags & WN_MODEL_ATTRS) != 0 && query->user_attrs != NULL && query->anchor == WN_NO_IX)
    return true;
  source->note = flat ? "no anchor item" : "no history";
  return false;
}

/* Newest items; their rank is all there is to their score. */
static wn_status ask_catalogue(const wn_funnel *funnel, const wn_bitset *allowed, size_t k,
                               wn_scored_list *out, wn_error *err) {
  wn_item_ix *items = wn_arena_alloc(funnel->arena, k * sizeof *items);
  if (items == NULL) return wn_fail_memory(err);
  out->len = wn_catalog_newest(funnel->request->catalog, allowed, k, items);
  for (size_t i = 0; i < out->len; i++) out->data[i] = (wn_scored){items[i], 0.0f};
  return WN_OK;
}

wn_status wn_source_ask(const wn_funnel *funnel, wn_source *source, const wn_bitset *allowed,
                        size_t k, wn_scored_list *out, wn_error *err) {
  *out = (wn_scored_list){NULL, 0};
  wn_query query = funnel->query;
  query.allowed = allowed;
  if (source->spec != NULL) {
    if (source->model == NULL) source->note = "no model in this snapshot";
    if (source->model == NULL || !fit_query(funnel, source, &query)) return WN_OK;
    if (source->member && !wn_blend_asks(&source->blend)) {
      source->note = "no weight in the blend";
      return WN_OK;
    }
  }
  if (k > funnel->items) k = funnel->items;
  if (k == 0) return WN_OK;
  out->data = wn_arena_alloc(funnel->arena, k * sizeof *out->data);
  if (out->data == NULL) return wn_fail_memory(err);
  if (source->spec == NULL) return ask_catalogue(funnel, allowed, k, out, err);
  const wn_model_class *cls = source->model->cls;
  bool alike = query.history_len == 0 && query.anchor != WN_NO_IX && cls->similar != NULL;
  return (alike ? cls->similar : cls->candidates)(source->model, &query, k, out->data, &out->len,
                                                  err);
}

/* `list` of what may be shown, `whole` of that and of what the session was served. A list that
 * began anew on each page would put the first of every generator on top again, however far down it
 * is in all: pages 2 to 5 of a feed had a third fewer hits than the same places of one long list
 * (README.md). */
static wn_status ask(wn_funnel *funnel, wn_source *source, wn_error *err) {
  bool served = source->tier == 0 && funnel->askable.words != NULL;
  size_t more = served ? funnel->request->served_len : 0;
  if (more > SERVED_MAX) more = SERVED_MAX;
  wn_status status = wn_source_ask(funnel, source, served ? &funnel->askable : &funnel->allowed,
                                   source->quota + more, &source->whole, err);
  source->list = source->whole;
  if (status != WN_OK || !served || source->whole.len == 0) return status;
  source->list.len = 0;
  source->list.data = wn_arena_alloc(funnel->arena, source->whole.len * sizeof *source->list.data);
  source->standing = wn_arena_alloc(funnel->arena, source->whole.len * sizeof *source->standing);
  if (source->list.data == NULL || source->standing == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < source->whole.len && source->list.len < source->quota; i++) {
    if (!wn_bitset_test(&funnel->allowed, source->whole.data[i].ix)) continue;
    source->standing[source->list.len] = (uint32_t)i;
    source->list.data[source->list.len++] = source->whole.data[i];
  }
  return WN_OK;
}

static wn_status ask_and_merge(wn_funnel *funnel, size_t number, wn_error *err) {
  wn_source *source = &funnel->sources[number];
  uint64_t start = wn_mono_ns();
  wn_status status = ask(funnel, source, err);
  if (status == WN_OK) status = wn_retrieve_merge(funnel, number, 0, err);
  source->ms = wn_ms_since(start);
  return status;
}

static void trace_sources(wn_funnel *funnel) {
  for (size_t i = 0; funnel->trace != NULL && i < funnel->sources_len; i++) {
    const wn_source *source = &funnel->sources[i];
    wn_generator_trace *trace = &funnel->trace->generators[i];
    trace->model = wn_surface_source(funnel->surface, (unsigned)i);
    trace->quota = source->quota;
    trace->proposed = (uint32_t)source->list.len;
    trace->weight = source->weight;
    trace->fallback = source->tier > 0;
    trace->ms = source->ms;
    trace->note = source->note;
    funnel->trace->generators_len = i + 1;
  }
}

/* What the light ranker will read of each candidate is asked for as soon as that is known: a
 * million items' facts are in no cache. */
static void find_light(wn_funnel *funnel) {
  const wn_model *ranker = funnel->request->models != NULL && funnel->surface->heavy > 0
                               ? wn_ranker_of(funnel->request->models)
                               : NULL;
  if (ranker == NULL || !funnel->surface->light ||
      !wn_ranker_light(ranker, funnel->horizon, &funnel->light))
    funnel->light.facts = NULL;
}

wn_status wn_retrieve(wn_funnel *funnel, wn_error *err) {
  wn_status status = list_sources(funnel, err);
  find_light(funnel);
  for (size_t i = 0; status == WN_OK && i < funnel->sources_len; i++) {
    wn_source *source = &funnel->sources[i];
    size_t have = funnel->candidates_len, n = funnel->n;
    if ((source->tier == 1 && have >= 2 * n) || (source->tier == 2 && have >= n)) {
      source->note = "not needed";
      continue;
    }
    if (source->tier == 2 && funnel->surface->short_slates) {
      source->note = "not wanted";
      continue;
    }
    /* What is known already may come again: ask for enough to reach n all the same. */
    if (source->tier == 2) source->quota = (uint32_t)(have + n);
    status = ask_and_merge(funnel, i, err);
  }
  if (status == WN_OK) status = wn_retrieve_for_rules(funnel, err);
  trace_sources(funnel);
  return status;
}
