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

/* The opinion that a source's list is, made from the whole history; WN_NO_IX: none. */
static uint32_t opinion_of(const wn_feature_set *set, const wn_source *source) {
  if (source->spec == NULL || source->tier > 0 || source->list.len == 0) return WN_NO_IX;
  for (uint32_t o = 0; o < set->opinions; o++)
    if (set->opinion[o].newest == 0 && strcmp(set->opinion[o].model, source->spec->model) == 0)
      return o;
  return WN_NO_IX;
}

/* A source that has a say. */
typedef struct voice {
  size_t source;
  uint32_t len; /* places of its list that count */
  wn_light_list list;
} voice;

static size_t voices_of(const wn_funnel *funnel, const wn_feature_set *set,
                        const wn_light_view *view, voice *out) {
  size_t n = 0;
  for (size_t s = 0; s < funnel->sources_len; s++) {
    const wn_scored_list *list = &funnel->sources[s].list;
    uint32_t opinion = opinion_of(set, &funnel->sources[s]);
    if (opinion == WN_NO_IX) continue;
    wn_feature_list told = {list->data, list->len < set->depth ? list->len : set->depth};
    out[n++] = (voice){s, (uint32_t)told.len, wn_light_list_of(view, opinion, &told)};
  }
  return n;
}

static float light_of(const wn_light_view *view, const voice *voices, size_t len,
                      const wn_candidate *candidate, float stage) {
  wn_light_sum sum = WN_LIGHT_NOBODY;
  for (size_t v = 0; v < len; v++) {
    const wn_proposal *proposal = &candidate->proposals[voices[v].source];
    uint32_t place = proposal->rank - 1; /* of rank 0, not proposed: past every list */
    if (place < voices[v].len) wn_light_say(&sum, &voices[v].list, place, proposal->score);
  }
  return wn_light_score(view, &sum, candidate->item, stage);
}

/* Its scores to `floor` … 1, so that fallbacks stay below; their order was by boosted points. */
static void rescale(wn_funnel *funnel) {
  float least = INFINITY, most = -INFINITY, floor = 0;
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    const wn_candidate *c = &funnel->candidates[i];
    if (!wn_score_by_generators(funnel, c) && c->points > floor) floor = c->points;
    if (c->light < least) least = c->light; /* NaN: neither */
    if (c->light > most) most = c->light;
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

bool wn_score_light_wanted(const wn_funnel *funnel, const wn_model *ranker) {
  wn_light_view view;
  size_t len = 0;
  if (!funnel->surface->light || !wn_ranker_light(ranker, funnel->horizon, &view)) return false;
  for (size_t i = 0; i < funnel->candidates_len; i++)
    len += wn_score_by_generators(funnel, &funnel->candidates[i]);
  return len > funnel->surface->heavy;
}

wn_status wn_score_light(wn_funnel *funnel, const wn_model *ranker, wn_error *err) {
  wn_light_view view;
  voice voices[WN_SOURCES_MAX + 1];
  size_t len = funnel->candidates_len;
  float stage = wn_crowd_stage(funnel->query.history_len);
  if (!wn_ranker_light(ranker, funnel->horizon, &view)) return WN_OK;
  for (size_t i = 0; i < len; i++) wn_light_expect(&view, funnel->candidates[i].item);
  size_t heard = voices_of(funnel, wn_ranker_features(ranker), &view, voices);
  for (size_t i = 0; i < len; i++) {
    wn_candidate *c = &funnel->candidates[i];
    if (wn_score_by_generators(funnel, c)) c->light = light_of(&view, voices, heard, c, stage);
  }
  rescale(funnel);
  funnel->stages.out[WN_STAGE_LIGHT] = (uint32_t)len;
  if (funnel->trace != NULL) funnel->trace->light = true;
  return wn_score_first(funnel, funnel->surface->heavy, err);
}
