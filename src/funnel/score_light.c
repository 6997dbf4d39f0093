/* Stage 3, between the halves: of all candidates of the generators, which are worth the trees? The
 * snapshot's light ranker (model/light.h) puts them in order; its scores take the place of the
 * generators' points, above those of the fallbacks, and boosts multiply them. Left out where the
 * trees are asked about everything anyway, where the surface says `light: false`, and where the
 * snapshot has none: the generators' points choose then.
 *
 * It knows only lists that retrieval has made already and counts in memory: no model is asked.
 * Cost: about 6 ns a proposal and 20 ns a candidate. Deterministic. */
#include "funnel/stages.h"
#include "model/light.h"

#include <math.h>
#include <string.h>

#define FLOOR 0.01f

static bool by_generators(const wn_funnel *funnel, const wn_candidate *candidate) {
  return funnel->sources[__builtin_ctz(candidate->sources)].tier == 0;
}

/* Generators' candidates; more than the trees are asked about is what the light ranker is for. */
static size_t generators_candidates(const wn_funnel *funnel) {
  size_t len = 0;
  for (size_t i = 0; i < funnel->candidates_len; i++)
    len += by_generators(funnel, &funnel->candidates[i]);
  return len;
}

/* The opinion that a source's list is, made from the whole history; WN_NO_IX: none. */
static uint32_t opinion_of(const wn_feature_set *set, const wn_source *source) {
  if (source->spec == NULL || source->tier > 0 || source->list.len == 0) return WN_NO_IX;
  for (uint32_t o = 0; o < set->opinions; o++)
    if (set->opinion[o].newest == 0 && strcmp(set->opinion[o].model, source->spec->model) == 0)
      return o;
  return WN_NO_IX;
}

/* What every list says of every candidate. */
static void listen(const wn_funnel *funnel, const wn_feature_set *set, const wn_light_view *view,
                   wn_light_sum *sum) {
  for (size_t s = 0; s < funnel->sources_len; s++) {
    const wn_source *source = &funnel->sources[s];
    uint32_t opinion = opinion_of(set, source);
    if (opinion == WN_NO_IX) continue;
    wn_feature_list told = {source->list.data, source->list.len};
    if (told.len > set->depth) told.len = set->depth;
    wn_light_list list = wn_light_list_of(view, opinion, &told);
    for (size_t i = 0; i < funnel->candidates_len; i++) {
      const wn_proposal *proposal = &funnel->candidates[i].proposals[s];
      if (proposal->rank > 0 && proposal->rank <= told.len)
        wn_light_say(&sum[i], &list, proposal->rank - 1, proposal->score);
    }
  }
}

/* Its scores to `floor` … 1, so that fallbacks stay below; their order was by boosted points. */
static void rescale(wn_funnel *funnel) {
  float least = INFINITY, most = -INFINITY, floor = 0;
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    const wn_candidate *c = &funnel->candidates[i];
    if (!by_generators(funnel, c)) floor = fmaxf(floor, c->points);
    if (isnan(c->light)) continue;
    least = fminf(least, c->light);
    most = fmaxf(most, c->light);
  }
  floor = fminf(floor + FLOOR, 1);
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    wn_candidate *c = &funnel->candidates[i];
    if (isnan(c->light)) continue;
    float score = most > least ? (c->light - least) / (most - least) : 1.0f;
    c->early = floor + (1 - floor) * score;
    c->score = c->early * c->boost;
  }
}

wn_status wn_score_light(wn_funnel *funnel, const wn_model *ranker, wn_error *err) {
  wn_status status = WN_OK;
  wn_light_view view;
  const wn_surface *surface = funnel->surface;
  if (!surface->light || !wn_ranker_light(ranker, &view) ||
      generators_candidates(funnel) <= surface->heavy)
    return WN_OK;
  size_t len = funnel->candidates_len;
  float stage = wn_crowd_stage(funnel->query.history_len);
  wn_light_sum *sum = wn_arena_alloc(funnel->arena, len * sizeof *sum);
  if (sum == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) {
    sum[i] = WN_LIGHT_NOBODY;
    wn_light_expect(&view, funnel->candidates[i].item);
  }
  listen(funnel, wn_ranker_features(ranker), &view, sum);
  for (size_t i = 0; i < len; i++) {
    wn_candidate *c = &funnel->candidates[i];
    if (by_generators(funnel, c)) c->light = wn_light_score(&view, &sum[i], c->item, stage);
  }
  rescale(funnel);
  WN_TRY(wn_score_sort(funnel, err));
  funnel->stages.out[WN_STAGE_LIGHT] = (uint32_t)len;
  if (funnel->trace != NULL) funnel->trace->light = true;
cleanup:
  return status;
}
