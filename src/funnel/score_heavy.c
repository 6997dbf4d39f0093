/* Stage 3, second half: the best candidates again, by the snapshot's ranker (model/ranker.h), which
 * knows more than the generators' lists and has learnt from what users took next.
 *
 * Where the surface weighs objectives and the ranker has a model of one at least, a score is the
 * item's value Σ weight · P(objective), P being calibrated (model/calibrate.h); an objective
 * without a model adds nothing, and the trace says so. Otherwise a score is the ranker's own: of
 * the trees for what is taken next, or of those for all that comes later (model/ranker_trees.c);
 * where the blend was judged to order better, the generators' scores stay.
 *
 * Scores have no scale of their own; they are moved to FLOOR … 1 over what was
 * scored, in proportion, and multiplied by the boosts. What was not scored (too far down, newer
 * than training, proposed by fallbacks alone) stays below, in its old order. Where there is no
 * ranker, or no history to ask it about, everything stays as the generators' scores have it, and
 * the trace says so. Where there are more candidates than it is asked about, the light ranker
 * (score_light.c) says which.
 *
 * Lists that retrieval has already made are handed on; others are asked for. Cost: those lists, and
 * .2 to .5 µs a candidate. Deterministic. */
#include "base/clock.h"
#include "funnel/stages.h"
#include "model/ranker.h"

#include <math.h>
#include <string.h>

#define FLOOR 0.01f

/* How many of the first candidates the ranker is asked about: those of the generators. */
static size_t asked_of(const wn_funnel *funnel) {
  size_t len = 0;
  while (len < funnel->candidates_len && len < funnel->surface->heavy &&
         wn_score_by_generators(funnel, &funnel->candidates[len]))
    len++;
  return len;
}

/* The opinions' lists that are there already: as long as the ranker wants them, or all there is. */
static void known_lists(const wn_funnel *funnel, const wn_feature_set *set, wn_feature_list *out) {
  memset(out, 0, WN_OPINIONS_MAX * sizeof *out);
  for (uint32_t o = 0; o < set->opinions; o++) {
    for (size_t s = 0; s < funnel->sources_len && set->opinion[o].newest == 0; s++) {
      const wn_source *source = &funnel->sources[s];
      if (source->spec == NULL || source->quota < set->depth || source->note != NULL ||
          strcmp(source->spec->model, set->opinion[o].model) != 0)
        continue;
      out[o].data = source->list.data;
      out[o].len = source->list.len < set->depth ? source->list.len : set->depth;
    }
  }
}

/* Margins to FLOOR … 1, everybody else below FLOOR. */
static void rescale(wn_funnel *funnel, size_t len) {
  wn_candidate *c = funnel->candidates;
  float least = INFINITY, most = -INFINITY, top = 0;
  for (size_t i = 0; i < len; i++) {
    least = fminf(least, c[i].margin);
    most = fmaxf(most, c[i].margin);
  }
  for (size_t i = len; i < funnel->candidates_len; i++) top = fmaxf(top, c[i].early);
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    float score = most > least ? (c[i].margin - least) / (most - least) : 1.0f;
    if (i >= len)
      score = top > 0 ? 0.99f * FLOOR * c[i].early / top : 0;
    else
      score = FLOOR + (1.0f - FLOOR) * score;
    c[i].score = score * c[i].boost;
  }
}

/* The surface's objectives that the ranker can predict; how many. */
static size_t find_objectives(const wn_funnel *funnel, const wn_model *ranker,
                              const wn_objective_model *model[WN_OBJECTIVES_MAX]) {
  size_t found = 0;
  for (size_t k = 0; k < funnel->surface->objectives_len; k++) {
    const char *name = funnel->surface->objectives[k].name;
    model[k] = wn_ranker_objective(ranker, name);
    found += model[k] != NULL;
    if (model[k] == NULL)
      wn_funnel_note(funnel, "objective %s has no model: it counts nothing", name);
  }
  return found;
}

/* Σ weight · P of each candidate. */
static wn_status value_by_objectives(wn_funnel *funnel,
                                     const wn_objective_model *const model[WN_OBJECTIVES_MAX],
                                     const wn_feature_rows *rows, wn_error *err) {
  size_t objectives = funnel->surface->objectives_len;
  float *p = wn_arena_alloc(funnel->arena, (objectives * rows->len + 1) * sizeof *p);
  float *of = wn_arena_alloc(funnel->arena, (rows->len + 1) * sizeof *of);
  if (p == NULL || of == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < rows->len; i++) {
    funnel->candidates[i].margin = 0;
    funnel->candidates[i].p = p + i * objectives;
  }
  for (size_t k = 0; k < objectives; k++) {
    if (model[k] != NULL) wn_objective_predict(model[k], rows, of);
    for (size_t i = 0; i < rows->len; i++) {
      p[i * objectives + k] = model[k] != NULL ? of[i] : NAN;
      if (model[k] != NULL)
        funnel->candidates[i].margin += funnel->surface->objectives[k].weight * of[i];
    }
  }
  return WN_OK;
}

/* model: of the surface's objectives; by_objectives: there is one at least. */
static wn_status ask(wn_funnel *funnel, const wn_model *ranker, size_t len,
                     const wn_objective_model *const model[WN_OBJECTIVES_MAX], wn_error *err) {
  wn_feature_list known[WN_OPINIONS_MAX];
  bool by_objectives = funnel->by_objectives;
  wn_feature_rows rows;
  wn_arena *arena = funnel->arena;
  uint32_t *item = wn_arena_alloc(arena, (len + 1) * sizeof *item);
  float *margin = wn_arena_alloc(arena, (len + 1) * sizeof *margin);
  if (item == NULL || margin == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) item[i] = funnel->candidates[i].item;
  known_lists(funnel, wn_ranker_features(ranker), known);
  const wn_feature_ask about = {known, item, len, funnel->request->exposed};
  wn_status status = wn_ranker_rows(ranker, &funnel->query, &about, &rows, err);
  if (status != WN_OK) return status;
  if (!by_objectives) wn_ranker_predict(ranker, funnel->horizon, &rows, margin);
  for (size_t i = 0; i < len; i++) {
    if (!by_objectives) funnel->candidates[i].margin = margin[i];
    funnel->candidates[i].row = rows.feature + i * rows.features;
  }
  if (!by_objectives) return WN_OK;
  return value_by_objectives(funnel, model, &rows, err);
}

/* Why nothing is scored again; NULL: something is. */
static const char *reason_against(const wn_funnel *funnel, const wn_model *ranker) {
  if (ranker == NULL) return "no ranker in this snapshot: scored by the generators";
  if (funnel->surface->flavour == WN_FLAVOUR_FLAT || funnel->query.history_len == 0)
    return "no history for the ranker: scored by the generators";
  if (asked_of(funnel) < 2) return "too little for the ranker: scored by the generators";
  return NULL;
}

/* Which trees. A surface that weighs objectives asks those of what is next until it has models of
 * them, even against a verdict: what they see is logged, and objectives learn from it. */
static unsigned horizon_of(const wn_funnel *funnel, const wn_model *ranker) {
  if (funnel->surface->objectives_len > 0) return WN_BLEND_NEXT;
  return wn_ranker_horizon(ranker, &funnel->query);
}

/* Why the ranker's own order is not wanted; NULL: it is. */
static const char *no_order(const wn_funnel *funnel, const wn_model *ranker) {
  const wn_ranker_learnt *order = wn_ranker_order(ranker, funnel->horizon);
  bool trees = order->forest.trees.count > 0;
  if (trees && (funnel->surface->objectives_len > 0 || wn_ranker_orders(ranker, funnel->horizon)))
    return NULL;
  if (order->verdict.blend == 0)
    return "the ranker has no order of its own: scored by the generators";
  return funnel->horizon == WN_BLEND_NEXT
             ? "the blend orders what is next better than the ranker: scored by the generators"
             : "the blend orders what comes later at least as well as the ranker: scored by the "
               "generators";
}

wn_status wn_score_heavy(wn_funnel *funnel, wn_error *err) {
  wn_status status = WN_OK;
  const wn_objective_model *model[WN_OBJECTIVES_MAX] = {0};
  const wn_model *ranker = wn_ranker_of(funnel->request->models);
  if (funnel->surface->heavy == 0) return wn_score_sort(funnel, err);
  if (ranker != NULL) funnel->horizon = horizon_of(funnel, ranker);
  bool light = ranker != NULL && wn_score_light_wanted(funnel, ranker);
  bool sorted = !light || !wn_score_no_fallback(funnel); /* else the light ranker does it */
  if (sorted) WN_TRY(wn_score_sort(funnel, err));
  const char *note = reason_against(funnel, ranker);
  if (note == NULL && !(funnel->by_objectives = find_objectives(funnel, ranker, model) > 0))
    note = no_order(funnel, ranker);
  if (note != NULL) {
    wn_trace_note(funnel->trace, note);
    return sorted ? WN_OK : wn_score_sort(funnel, err);
  }
  uint64_t since = wn_mono_ns();
  if (light) WN_TRY(wn_score_light(funnel, ranker, err));
  wn_funnel_lap(funnel, &since, WN_STAGE_LIGHT);
  size_t len = asked_of(funnel);
  WN_TRY(ask(funnel, ranker, len, model, err));
  funnel->ranker = ranker;
  rescale(funnel, len);
  WN_TRY(wn_score_sort(funnel, err));
  wn_funnel_lap(funnel, &since, WN_STAGE_HEAVY);
  funnel->stages.out[WN_STAGE_HEAVY] = (uint32_t)len;
  if (funnel->trace != NULL) {
    funnel->trace->ranker = ranker;
    funnel->trace->horizon = funnel->horizon;
    funnel->trace->by_objectives = funnel->by_objectives;
  }
cleanup:
  return status;
}
