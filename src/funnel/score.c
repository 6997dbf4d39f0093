/* Stage 3, score: one number a candidate out of many generators' opinions.
 *
 * Scores of different generators live on different scales, so each is normalised over its own list:
 *   rank    61 / (60 + rank): reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009),
 *           scaled so that a first place is 1
 *   minmax  0.01 + 0.99 · (s − min) / (max − min), so that the last of a list still has more than
 *           what is not in it; a list of equal scores is all 1
 *   zscore  logistic function of (s − mean) / deviation; a list of equal scores is all ½
 *   none    the score as it is, negative and not finite ones as 0
 *   blend   what the item is worth to the blend of the snapshot (model/blend.h), over what the
 *           list's first is worth, which then is the list's weight; generators that the blend does
 *           not know count by minmax, their weight being relative to the whole blend. The score is
 *           then the blend's own, scaled to at most 1
 * and the score is the mean of the normalised ones, weighted, over the generators that proposed
 * anything: 0 … 1 (but for "none"). Who did not propose an item gives it 0. Departure from a plain
 * weighted sum: what only fallbacks proposed is scaled below the worst candidate of the generators,
 * and the catalogue's below the fallbacks': they fill a slate up and never push anyone down.
 * Boosts multiply afterwards. Of what is then best the snapshot's rankers score some again
 * (score_light.c, score_heavy.c).
 *
 * Cost: O(candidates × sources + candidates log candidates). Deterministic: ties go to the lower
 * item index. */

#include "base/clock.h"
#include "base/sort.h"
#include "funnel/stages.h"
#include <math.h>

#define RANK_CONSTANT 60.0f
#define MINMAX_LEAST  0.01
#define HOUR_MS       3600000.0
#define SCORE_MAX     1e30f /* 32 boosts must not make an infinity of it */

/* Of one source's list. */
typedef struct spread {
  float min, max;
  double mean, deviation;
} spread;

static bool usable(float score) {
  return isfinite(score);
}

static spread spread_of(const wn_source *source) {
  spread s = {INFINITY, -INFINITY, 0.0, 0.0};
  size_t count = 0;
  for (size_t i = 0; i < source->whole.len; i++) {
    float score = source->whole.data[i].score;
    if (!usable(score)) continue;
    if (score < s.min) s.min = score;
    if (score > s.max) s.max = score;
    s.mean += score;
    count++;
  }
  if (count > 0) s.mean /= (double)count;
  for (size_t i = 0; i < source->whole.len; i++) {
    double d = source->whole.data[i].score - s.mean;
    if (usable(source->whole.data[i].score)) s.deviation += d * d;
  }
  if (count > 0) s.deviation = sqrt(s.deviation / (double)count);
  return s;
}

static float normalise(wn_normalise how, const wn_proposal *proposal, const spread *s) {
  float score = proposal->score;
  if (how == WN_NORM_RANK)
    return (RANK_CONSTANT + 1.0f) / (RANK_CONSTANT + 1.0f + (float)proposal->standing);
  if (!usable(score)) return 0.0f;
  switch (how) {
  case WN_NORM_MINMAX:
    if (!(s->max > s->min)) return 1.0f;
    return (float)fmax(MINMAX_LEAST, MINMAX_LEAST + (1.0 - MINMAX_LEAST) *
                                                        ((double)score - s->min) /
                                                        ((double)s->max - s->min));
  case WN_NORM_ZSCORE:
    if (!(s->deviation > 0)) return 0.5f;
    return (float)(1.0 / (1.0 + exp(-(score - s->mean) / s->deviation)));
  default: return score > 0.0f ? score : 0.0f;
  }
}

/* Weights are final before those that are relative to their sum are taken. */
static void weigh_by_blend(wn_funnel *funnel) {
  float whole = 0.0f;
  for (size_t s = 0; s < funnel->sources_len; s++) {
    wn_source *source = &funnel->sources[s];
    if (!source->member) continue;
    source->weight = 0.0f;
    if (source->list.len == 0) continue;
    wn_blend_list list = wn_blend_list_of(source->whole.data, source->whole.len);
    source->weight = wn_blend_points(&source->blend, &list, 0, source->whole.data[0].score);
    whole += source->weight;
  }
  for (size_t s = 0; s < funnel->sources_len && whole > 0.0f; s++) {
    wn_source *source = &funnel->sources[s];
    if (source->tier == 0 && !source->member && source->list.len > 0) source->weight *= whole;
  }
}

static void normalise_member(wn_funnel *funnel, size_t number) {
  const wn_source *source = &funnel->sources[number];
  wn_blend_list list = wn_blend_list_of(source->whole.data, source->whole.len);
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    wn_proposal *proposal = &funnel->candidates[i].proposals[number];
    if (proposal->rank == 0 || !(source->weight > 0.0f)) continue;
    float points = wn_blend_points(&source->blend, &list, proposal->standing, proposal->score);
    proposal->normalised = fmaxf(points, 0) / source->weight;
  }
}

static void normalise_source(wn_funnel *funnel, size_t number) {
  const wn_source *source = &funnel->sources[number];
  if (source->list.len == 0) return;
  if (source->member) {
    normalise_member(funnel, number);
    return;
  }
  wn_normalise how = source->spec != NULL ? funnel->normalise : WN_NORM_RANK;
  if (how == WN_NORM_BLEND) how = WN_NORM_MINMAX;
  spread s = how == WN_NORM_MINMAX || how == WN_NORM_ZSCORE ? spread_of(source) : (spread){0};
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    wn_proposal *proposal = &funnel->candidates[i].proposals[number];
    if (proposal->rank > 0) proposal->normalised = normalise(how, proposal, &s);
  }
}

/* The tier of the first source that proposed it. */
static unsigned tier_of(const wn_funnel *funnel, const wn_candidate *candidate) {
  return funnel->sources[__builtin_ctz(candidate->sources)].tier;
}

bool wn_score_by_generators(const wn_funnel *funnel, const wn_candidate *candidate) {
  return tier_of(funnel, candidate) == 0;
}

bool wn_score_no_fallback(const wn_funnel *funnel) {
  for (size_t i = 0; i < funnel->candidates_len; i++)
    if (tier_of(funnel, &funnel->candidates[i]) != 0) return false;
  return true;
}

/* Scores the candidates of one tier; returns the scale of the next: below its worst candidate. */
static float score_tier(wn_funnel *funnel, unsigned tier, float scale) {
  float total = 0.0f, least = INFINITY;
  for (size_t s = 0; s < funnel->sources_len; s++) {
    const wn_source *source = &funnel->sources[s];
    if (source->tier == tier && source->list.len > 0) total += source->weight;
  }
  for (size_t s = 0; s < funnel->sources_len; s++) {
    wn_source *source = &funnel->sources[s];
    if (source->tier != tier || source->list.len == 0 || !(total > 0.0f)) continue;
    source->share = scale * source->weight / total;
  }
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    wn_candidate *candidate = &funnel->candidates[i];
    if (tier_of(funnel, candidate) != tier) continue;
    for (size_t s = 0; s < funnel->sources_len; s++) {
      if (funnel->sources[s].tier != tier) continue;
      wn_proposal *proposal = &candidate->proposals[s];
      proposal->points = funnel->sources[s].share * proposal->normalised;
      candidate->score += proposal->points;
    }
    if (candidate->score > 0.0f && candidate->score < least) least = candidate->score;
  }
  return least < INFINITY ? 0.99f * least : scale;
}

static wn_status apply_boost(wn_funnel *funnel, const wn_boost *boost, wn_error *err) {
  wn_bitset where;
  if (!wn_bitset_init_arena(&where, funnel->items, funnel->arena)) return wn_fail_memory(err);
  wn_bitset_fill(&where, true);
  wn_status status = wn_expr_cache_and(funnel->request->filters, wn_str_of(boost->where), "boost",
                                       funnel->request->catalog, &where, err);
  for (size_t i = 0; status == WN_OK && i < funnel->candidates_len; i++) {
    wn_candidate *candidate = &funnel->candidates[i];
    if (!wn_bitset_test(&where, candidate->item)) continue;
    candidate->boost = fminf(candidate->boost * boost->factor, SCORE_MAX);
  }
  return status;
}

/* (1 − rate)^(impressions of the item that the user did not answer, each fading by its half-life):
 * what was shown in vain makes room, and comes back. */
static wn_status apply_fatigue(wn_funnel *funnel, wn_error *err) {
  const wn_surface *surface = funnel->surface;
  const wn_exposed *exposed = funnel->request->exposed;
  size_t len = funnel->candidates_len, tired = 0;
  for (size_t i = 0; i < len; i++) funnel->candidates[i].fatigue = 1.0f;
  if (surface->fatigue_rate <= 0 || exposed == NULL) return WN_OK;
  wn_item_ix *items = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *items);
  wn_before *before = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *before);
  const wn_before_ask ask = {funnel->query.now_ms, (double)surface->fatigue_hours * HOUR_MS, false};
  if (items == NULL || before == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) items[i] = funnel->candidates[i].item;
  exposed->before(exposed->ctx, &ask, items, len, before);
  for (size_t i = 0; i < len; i++) {
    wn_candidate *candidate = &funnel->candidates[i];
    if (before[i].times == 0) continue;
    candidate->fatigue = powf(1.0f - surface->fatigue_rate, before[i].faded);
    candidate->boost *= candidate->fatigue;
    tired++;
  }
  if (tired > 0) wn_funnel_note(funnel, "fatigue: %zu candidates were shown in vain", tired);
  return WN_OK;
}

/* Runs of equal scores by item. */
static void settle_ties(const wn_candidate *candidates, uint64_t *keys, size_t len) {
  for (size_t begin = 0, end; begin < len; begin = end) {
    for (end = begin + 1; end < len && keys[end] >> 32 == keys[begin] >> 32;) end++;
    if (end == begin + 1) continue;
    for (size_t i = begin; i < end; i++)
      keys[i] = (uint64_t)candidates[(uint32_t)keys[i]].item << 32 | (uint32_t)keys[i];
    wn_sort_u64(keys + begin, end - begin);
  }
}

/* Scores and places as one number each, better ones first. */
static uint64_t *score_keys(const wn_funnel *funnel) {
  uint64_t *keys = wn_arena_alloc(funnel->arena, (funnel->candidates_len + 1) * sizeof *keys);
  for (size_t i = 0; keys != NULL && i < funnel->candidates_len; i++)
    keys[i] = (uint64_t)wn_sort_falling(funnel->candidates[i].score) << 32 | i;
  return keys;
}

/* Each candidate is moved once. */
static wn_status arrange(wn_funnel *funnel, const uint64_t *keys, wn_error *err) {
  size_t len = funnel->candidates_len;
  wn_candidate *sorted = wn_arena_alloc(funnel->arena, (len + 1) * sizeof *sorted);
  if (sorted == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < len; i++) sorted[i] = funnel->candidates[(uint32_t)keys[i]];
  funnel->candidates = sorted;
  return WN_OK;
}

wn_status wn_score_sort(wn_funnel *funnel, wn_error *err) {
  uint64_t *keys = score_keys(funnel);
  if (keys == NULL) return wn_fail_memory(err);
  wn_sort_u64(keys, funnel->candidates_len);
  settle_ties(funnel->candidates, keys, funnel->candidates_len);
  return arrange(funnel, keys, err);
}

/* Whether the first n of selected keys are the best whatever their places say: no score is on both
 * sides. */
static bool parted(const uint64_t *keys, size_t len, size_t n) {
  uint64_t last = 0, next = UINT64_MAX;
  for (size_t i = 0; i < n; i++) last = keys[i] > last ? keys[i] : last;
  for (size_t i = n; i < len; i++) next = keys[i] < next ? keys[i] : next;
  return last >> 32 != next >> 32;
}

wn_status wn_score_first(wn_funnel *funnel, size_t n, wn_error *err) {
  size_t len = funnel->candidates_len;
  if (n >= len || !wn_score_no_fallback(funnel)) return wn_score_sort(funnel, err);
  uint64_t *keys = score_keys(funnel);
  if (keys == NULL) return wn_fail_memory(err);
  wn_select_u64(keys, len, n);
  return parted(keys, len, n) ? arrange(funnel, keys, err) : wn_score_sort(funnel, err);
}

static void trace_score(const wn_funnel *funnel) {
  wn_trace *trace = funnel->trace;
  if (trace == NULL) return;
  trace->normalise = funnel->normalise;
  trace->candidates = funnel->candidates;
  trace->candidates_len = funnel->candidates_len;
  for (size_t s = 0; s < funnel->sources_len; s++) {
    trace->generators[s].weight = funnel->sources[s].weight;
    trace->generators[s].share = funnel->sources[s].share;
  }
}

wn_status wn_score(wn_funnel *funnel, wn_error *err) {
  wn_status status = WN_OK;
  float scale = 1.0f;
  uint64_t start = wn_mono_ns();
  weigh_by_blend(funnel);
  for (size_t s = 0; s < funnel->sources_len; s++) normalise_source(funnel, s);
  for (unsigned tier = 0; tier < 3; tier++) scale = score_tier(funnel, tier, scale);
  for (size_t i = 0; i < funnel->surface->boosts_len; i++)
    WN_TRY(apply_boost(funnel, &funnel->surface->boosts[i], err));
  WN_TRY(apply_fatigue(funnel, err));
  for (size_t i = 0; i < funnel->candidates_len; i++) {
    wn_candidate *candidate = &funnel->candidates[i];
    candidate->points = candidate->early = candidate->score;
    candidate->light = candidate->margin = NAN;
    candidate->score = fminf(candidate->score * candidate->boost, SCORE_MAX);
  }
  if (funnel->trace != NULL) funnel->trace->points_ms = wn_ms_since(start);
  WN_TRY(wn_score_heavy(funnel, err));
  for (size_t i = 0; i < funnel->candidates_len; i++)
    funnel->candidates[i].rank_scored = (uint32_t)i + 1;
  trace_score(funnel);
cleanup:
  return status;
}
