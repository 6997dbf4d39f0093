/* An ensemble of the other models of the set. Late fusion of lists: reciprocal ranks (Cormack,
 * Clarke and Büttcher, SIGIR 2009) and z-scores (CombSUM over standardised scores: Fox and Shaw,
 * TREC-2 1994; Montague and Aslam, CIKM 2001), or a product of experts (Hinton, Neural Computation
 * 2002), combined with weights fitted on held-out items (blend_fit.c).
 *
 *   score(j) = Σₘ aₘ · (sₘ(j) − sₘ(last)) / σₘ + bₘ · 11 / (11 + placeₘ(j))
 *                 + dₘ · ln(1 + (sₘ(j) − sₘ(last)) / cₘ)
 *
 * with weights of one of two horizons: what a user takes next, and what she takes once she is back
 * after a while; the gap since her newest item decides (blend_fit.c).
 *
 * The sum is over the members that have j among their `depth` best allowed items; place 0 is the
 * first; last, σ and c, the mean of s − last, are of that list. Which weights are nonzero is chosen
 * at each fit (blend_weights.c). Departures: standard scores and places at once, because either
 * alone was worse on some data (README.md); each score is counted from the list's last, so that
 * what is not in a list is worth no more than its end. An item with a positive sum is an answer.
 * Popularity has a place in every blend, if a tiny one: it makes lists full up to `depth`.
 *
 * Members are asked when a query comes: the blend holds weights and names alone, and finds the
 * models in its set (bind). Who is missing there is left out; only the others' ratios matter.
 *
 * Cost of a query: its members' and 20 ns a list entry. Deterministic: members are added up in
 * class order. */

#include "model/blend.h"

#include "base/mem.h"
#include "model/query.h"
#include "model/section.h"

#include <math.h>
#include <string.h>

#define DEPTH_MAX  1000
#define WEIGHT_MAX 1e6f

#define BLEND_VERSION 3 /* of the sections */
#define BLEND_POINTS  2 /* the one before, which is still read: no logarithms */

/* Of BLEND_POINTS. */
typedef struct member_of_points {
  char name[WN_BLEND_NAME_MAX + 1];
  struct {
    float score, rank;
  } weight[WN_BLEND_HORIZONS];
  float alone[WN_BLEND_HORIZONS];
} member_of_points;

static const wn_param_spec blend_params[] = {
    {"depth", 200, 10, DEPTH_MAX, "items of each member's list"},
    {"users", 4000, 1, 1e6, "drawn to fit the weights of each horizon on, about"},
    {"k", 20, 1, 100, "length of the lists whose NDCG the weights are fitted for"},
};

typedef struct blend {
  wn_model base;
  wn_blend_head head;
  wn_blend_member member[WN_MODELS_MAX];
  const wn_model *asked[WN_MODELS_MAX]; /* found in the set; NULL: missing */
} blend;

wn_blend_list wn_blend_list_of(const wn_scored *list, size_t len) {
  wn_blend_list of = {0};
  double mean = 0, squares = 0;
  if (len == 0) return of;
  for (size_t i = 0; i < len; i++) mean += (double)list[i].score;
  mean /= (double)len;
  for (size_t i = 0; i < len; i++) {
    double d = (double)list[i].score - mean;
    squares += d * d;
  }
  double deviation = sqrt(squares / (double)len);
  of.last = list[len - 1].score;
  /* Not for infinite scores, nor for a spread that a float cannot hold. */
  if (deviation > 1e-30 && deviation < 1e30) {
    double rise = mean - (double)of.last;
    of.scale = (float)(1 / deviation);
    if (rise > 0) of.steep = (float)(deviation / rise);
  }
  return of;
}

bool wn_blend_takes(const wn_model_class *cls) {
  return cls != &wn_model_blend && cls != &wn_model_ranker &&
         (cls == &wn_model_popular || (cls->flags & WN_MODEL_HISTORY) != 0);
}

bool wn_blend_weight_of(const wn_models *set, const char *name, const wn_query *query,
                        wn_blend_weight *weight, uint32_t *depth) {
  const blend *m = (const blend *)wn_models_find(set, wn_model_blend.name);
  for (uint32_t i = 0; m != NULL && i < m->head.members; i++) {
    if (strcmp(m->member[i].name, name) != 0) continue;
    *weight = m->member[i].weight[wn_blend_horizon(&m->head, query)];
    *depth = m->head.depth;
    return true;
  }
  return false;
}

unsigned wn_blend_horizon_of(const wn_model *model, const wn_query *query) {
  return wn_blend_horizon(&((const blend *)model)->head, query);
}

bool wn_blend_has_later(const wn_model *model) {
  return ((const blend *)model)->head.next_ms != INT64_MAX;
}

static void blend_free(wn_model *model) {
  wn_free(model);
}

static wn_status blend_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                           wn_model **out, wn_error *err) {
  blend *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_blend;
  m->head = (wn_blend_head){.version = BLEND_VERSION,
                            .items = data->items,
                            .depth = (uint32_t)wn_param(&wn_model_blend, params, "depth"),
                            .k = (uint32_t)wn_param(&wn_model_blend, params, "k")};
  wn_status status = wn_blend_fit(data, (uint32_t)wn_param(&wn_model_blend, params, "users"), env,
                                  &m->head, m->member, err);
  if (status == WN_OK)
    *out = &m->base;
  else
    blend_free(&m->base);
  return status;
}

static wn_status blend_bind(wn_model *model, const wn_models *set, wn_error *err WN_UNUSED) {
  blend *m = (blend *)model;
  for (uint32_t i = 0; i < m->head.members; i++) {
    const wn_model *found = wn_models_find(set, m->member[i].name);
    m->asked[i] = found != NULL && wn_blend_takes(found->cls) ? found : NULL;
  }
  return WN_OK;
}

/* ---- answering ---- */

/* Items that a live member met after training count as well. */
static uint32_t items_of(const blend *m, const wn_query *query) {
  uint32_t known = query->allowed != NULL ? (uint32_t)query->allowed->bits : 0;
  return known > m->head.items ? known : m->head.items;
}

static bool is_asked(const blend *m, uint32_t i, unsigned horizon) {
  return m->asked[i] != NULL && wn_blend_asks(&m->member[i].weight[horizon]);
}

static wn_status blend_ask(wn_ask *ask, const wn_model *model, const wn_query *query,
                           wn_arena *arena, wn_error *err) {
  const blend *m = (const blend *)model;
  wn_query own = *query;
  wn_scored *list = wn_arena_alloc(arena, m->head.depth * sizeof *list);
  unsigned horizon = wn_blend_horizon(&m->head, query);
  size_t members = 0;
  for (uint32_t i = 0; i < m->head.members; i++) members += is_asked(m, i, horizon);
  if (members == 0) return WN_OK;
  uint32_t items = items_of(m, query);
  if (list == NULL || !wn_accum_init(&ask->accum, items, members * m->head.depth, arena))
    return wn_fail_memory(err);
  own.arena = arena;
  own.anchor = WN_NO_IX;
  for (uint32_t i = 0; i < m->head.members; i++) {
    size_t len = 0;
    if (!is_asked(m, i, horizon)) continue;
    wn_status status =
        m->asked[i]->cls->candidates(m->asked[i], &own, m->head.depth, list, &len, err);
    if (status != WN_OK) return status;
    wn_blend_list of = wn_blend_list_of(list, len);
    for (size_t p = 0; p < len; p++) {
      if (list[p].ix >= items) continue;
      wn_accum_add(&ask->accum, list[p].ix,
                   wn_blend_points(&m->member[i].weight[horizon], &of, p, list[p].score));
    }
    ask->any |= len > 0;
  }
  return WN_OK;
}

static wn_status blend_candidates(const wn_model *model, const wn_query *query, size_t k,
                                  wn_scored *out, size_t *count, wn_error *err) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = wn_ask_top(blend_ask, model, query, &top, err);
  *count = wn_topk_sort(&top);
  return status;
}

static wn_status blend_score_all(const wn_model *model, const wn_query *query, float *scores,
                                 uint32_t items, wn_error *err) {
  return wn_ask_all(blend_ask, model, query, scores, items, err);
}

/* ---- snapshots ---- */

static wn_status blend_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const blend *m = (const blend *)model;
  wn_status status = wn_snapshot_write(writer, "blend/head", &m->head, sizeof m->head, err);
  if (status != WN_OK) return status;
  return wn_snapshot_write(writer, "blend/members", m->member,
                           m->head.members * (uint64_t)sizeof *m->member, err);
}

static bool in_range(float weight) {
  return weight >= 0 && weight <= WEIGHT_MAX;
}

static bool usable(const wn_blend_weight *w) {
  return in_range(w->score) && in_range(w->rank) && in_range(w->log);
}

static wn_status blend_validate(const wn_model *model, wn_error *err) {
  const blend *m = (const blend *)model;
  const wn_blend_head *h = &m->head;
  for (uint32_t i = 0; i < h->members; i++) {
    const wn_blend_member *member = &m->member[i];
    if (memchr(member->name, '\0', sizeof member->name) == NULL)
      return wn_fail(err, WN_E_CORRUPT, "blend/members", "name %u has no end", i);
    for (unsigned z = 0; z < WN_BLEND_HORIZONS; z++)
      if (!usable(&member->weight[z]))
        return wn_fail(err, WN_E_CORRUPT, "blend/members", "weights of member %u are out of range",
                       i);
    for (uint32_t j = 0; j < i; j++)
      if (strcmp(m->member[j].name, member->name) == 0)
        return wn_fail(err, WN_E_CORRUPT, "blend/members", "\"%s\" is there twice", member->name);
  }
  return WN_OK;
}

static wn_status map_members(const wn_snapshot *snapshot, blend *m, wn_error *err) {
  const void *members;
  bool points = m->head.version == BLEND_POINTS;
  size_t size = points ? sizeof(member_of_points) : sizeof *m->member;
  wn_status status =
      wn_section_array(snapshot, "blend/members", size, m->head.members, &members, err);
  if (status != WN_OK) return status;
  if (!points) memcpy(m->member, members, m->head.members * sizeof *m->member);
  for (uint32_t i = 0; points && i < m->head.members; i++) {
    const member_of_points *of = (const member_of_points *)members + i;
    memcpy(m->member[i].name, of->name, sizeof of->name);
    memcpy(m->member[i].alone, of->alone, sizeof of->alone);
    for (unsigned z = 0; z < WN_BLEND_HORIZONS; z++)
      m->member[i].weight[z] = (wn_blend_weight){of->weight[z].score, of->weight[z].rank, 0};
  }
  m->head.version = BLEND_VERSION;
  return WN_OK;
}

static wn_status blend_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *head;
  wn_status status;
  blend *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_blend;
  WN_TRY(wn_section_array(snapshot, "blend/head", sizeof m->head, 1, &head, err));
  memcpy(&m->head, head, sizeof m->head);
  if (m->head.version != BLEND_VERSION && m->head.version != BLEND_POINTS)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "blend/head", "version %u, expected %d: train again",
                   m->head.version, BLEND_VERSION));
  if (m->head.members > WN_MODELS_MAX || m->head.depth < 1 || m->head.depth > DEPTH_MAX)
    WN_TRY(wn_fail(err, WN_E_CORRUPT, "blend/head", "%u members, lists of %u", m->head.members,
                   m->head.depth));
  WN_TRY(map_members(snapshot, m, err));
  WN_TRY(blend_validate(&m->base, err));
  *out = &m->base;
  m = NULL;
cleanup:
  wn_free(m);
  return status;
}

const wn_model_class wn_model_blend = {
    .name = "blend",
    .doc = "the set's other models together, with weights fitted on held-out items",
    .flags = WN_MODEL_HISTORY,
    .params = blend_params,
    .params_len = sizeof blend_params / sizeof *blend_params,
    .fit = blend_fit,
    .save = blend_save,
    .map = blend_map,
    .validate = blend_validate,
    .bind = blend_bind,
    .candidates = blend_candidates,
    .score_all = blend_score_all,
    .free = blend_free,
};
