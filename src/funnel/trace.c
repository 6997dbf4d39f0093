/* The trace of a request as JSON (docs/funnel.md explains every member). */

#include "funnel/stages.h"
#include "model/ranker.h"

#include <math.h>

enum { CANDIDATES_SHOWN = 200, TAKEN_APART = 20, FEATURES_SHOWN = 6, OBJECTIVE_FEATURES_SHOWN = 3 };

static void put_cstring(wn_json *json, const char *key, const char *value) {
  wn_json_key(json, key);
  wn_json_cstring(json, value);
}
static void put_int(wn_json *json, const char *key, size_t value) {
  wn_json_key(json, key);
  wn_json_int(json, (int64_t)value);
}
static void put_float(wn_json *json, const char *key, float value) {
  wn_json_key(json, key);
  wn_json_float(json, value);
}
/* Microseconds are as fine as these times are worth. */
static void put_ms(wn_json *json, const char *key, double ms) {
  wn_json_key(json, key);
  wn_json_double(json, (double)(int64_t)(ms * 1000.0 + 0.5) / 1000.0);
}
static void put_item(wn_json *json, const wn_catalog *catalog, wn_item_ix item) {
  wn_json_key(json, "item");
  wn_json_string(json, wn_catalog_id(catalog, item));
  wn_json_key(json, "title");
  wn_json_string(json, wn_catalog_title(catalog, item));
}

static void put_retrieve(wn_json *json, const wn_trace *trace) {
  wn_json_key(json, "retrieve");
  wn_json_object(json);
  wn_json_key(json, "generators");
  wn_json_array(json);
  for (size_t i = 0; i < trace->generators_len; i++) {
    const wn_generator_trace *g = &trace->generators[i];
    wn_json_object(json);
    put_cstring(json, "model", g->model);
    wn_json_key(json, "fallback");
    wn_json_bool(json, g->fallback);
    put_int(json, "quota", g->quota);
    put_float(json, "weight", g->weight);
    put_int(json, "proposed", g->proposed);
    put_int(json, "new", g->unique_here);
    put_ms(json, "ms", g->ms);
    if (g->note != NULL) put_cstring(json, "note", g->note);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  put_int(json, "candidates", trace->candidate_count);
  put_int(json, "duplicates", trace->merged_duplicates);
  put_ms(json, "ms", trace->stage_ms[WN_STAGE_RETRIEVE]);
  wn_json_end_object(json);
}

/* The drops of one stage. */
static void put_drops(wn_json *json, const wn_trace *trace, const wn_catalog *catalog,
                      const char *stage) {
  wn_json_key(json, "drops");
  wn_json_array(json);
  for (size_t i = 0; i < trace->drops_len; i++) {
    if (!wn_str_is(wn_str_of(stage), trace->drops[i].stage)) continue;
    wn_json_object(json);
    put_item(json, catalog, trace->drops[i].item);
    put_cstring(json, "reason", trace->drops[i].reason);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_filter(wn_json *json, const wn_trace *trace, const wn_catalog *catalog) {
  wn_json_key(json, "filter");
  wn_json_object(json);
  put_int(json, "allowed", trace->allowed_count);
  wn_json_key(json, "counts");
  wn_json_object(json);
  for (size_t i = 0; i < trace->filter_counts_len; i++) {
    put_int(json, trace->filter_counts[i].reason, trace->filter_counts[i].count);
  }
  wn_json_end_object(json);
  put_drops(json, trace, catalog, "filter");
  put_ms(json, "ms", trace->stage_ms[WN_STAGE_FILTER]);
  wn_json_end_object(json);
}

/* Trees' sum for one row, taken apart. */
typedef struct parts {
  const wn_model *ranker;
  const float *row;
  float contribution[WN_FEATURES_MAX];
  float base, sum;
  unsigned shown_max;
} parts;

/* The features that moved the sum most, and what each added. */
static void put_features(wn_json *json, parts *p) {
  char name[WN_FEATURE_NAME_MAX + 1];
  uint32_t features = wn_features_count(wn_ranker_features(p->ranker));
  float rest = p->sum;
  wn_json_key(json, "features");
  wn_json_array(json);
  for (unsigned shown = 0; shown < p->shown_max; shown++) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < features; i++)
      if (fabsf(p->contribution[i]) > fabsf(p->contribution[best])) best = i;
    if (p->contribution[best] == 0) break;
    wn_json_object(json);
    put_cstring(json, "name", wn_ranker_feature_name(p->ranker, best, name, sizeof name));
    if (!isnan(p->row[best])) put_float(json, "value", p->row[best]);
    put_float(json, "adds", p->contribution[best]);
    wn_json_end_object(json);
    rest -= p->contribution[best];
    p->contribution[best] = 0;
  }
  wn_json_end_array(json);
  put_float(json, "base", p->base);
  put_float(json, "others_add", rest - p->base);
}

/* Shapley values take half a millisecond for 100 trees: of what is shown, asked about by name or
 * among the best alone. */
static bool is_taken_apart(const wn_trace *trace, const wn_candidate *candidate) {
  if (candidate->rank_scored <= TAKEN_APART) return true;
  for (size_t i = 0; i < trace->moves_len; i++)
    if (trace->moves[i].item == candidate->item) return true;
  for (size_t i = 0; i < trace->whys_len; i++)
    if (trace->whys[i].item == candidate->item) return true;
  return false;
}

static void put_objective(wn_json *json, const wn_trace *trace, const wn_candidate *candidate,
                          size_t k) {
  const wn_objective_weight *weight = &trace->surface->objectives[k];
  const wn_objective_model *model = wn_ranker_objective(trace->ranker, weight->name);
  parts p = {.ranker = trace->ranker, .row = candidate->row, .shown_max = OBJECTIVE_FEATURES_SHOWN};
  wn_json_object(json);
  put_cstring(json, "name", weight->name);
  put_float(json, "weight", weight->weight);
  if (model != NULL) {
    put_float(json, "p", candidate->p[k]);
    put_float(json, "adds", weight->weight * candidate->p[k]);
    wn_forest_predict(&model->forest, candidate->row, 1, model->forest.features, &p.sum);
    put_float(json, "margin", p.sum);
    if (is_taken_apart(trace, candidate)) {
      p.base = wn_forest_contributions(&model->forest, candidate->row, p.contribution);
      put_features(json, &p);
    }
  }
  wn_json_end_object(json);
}

/* What the ranker said of a candidate, and why. */
static void put_heavy(wn_json *json, const wn_trace *trace, const wn_candidate *candidate) {
  parts p = {.ranker = trace->ranker,
             .row = candidate->row,
             .sum = candidate->margin,
             .shown_max = FEATURES_SHOWN};
  if (!trace->by_objectives) {
    put_float(json, "margin", candidate->margin);
    if (!is_taken_apart(trace, candidate)) return;
    p.base = wn_ranker_contributions(trace->ranker, trace->horizon, candidate->row, p.contribution);
    put_features(json, &p);
    return;
  }
  put_float(json, "value", candidate->margin);
  wn_json_key(json, "objectives");
  wn_json_array(json);
  for (size_t k = 0; k < trace->surface->objectives_len; k++)
    put_objective(json, trace, candidate, k);
  wn_json_end_array(json);
}

static void put_scored(wn_json *json, const wn_trace *trace, const wn_candidate *candidate) {
  put_int(json, "rank", candidate->rank_scored);
  put_float(json, "score", candidate->score);
  put_float(json, "boost", candidate->boost);
  if (candidate->fatigue < 1.0f) put_float(json, "fatigue", candidate->fatigue);
  put_float(json, "points", candidate->points);
  if (!isnan(candidate->light)) put_float(json, "light", candidate->light);
  wn_json_key(json, "proposals");
  wn_json_array(json);
  for (size_t g = 0; g < trace->generators_len; g++) {
    const wn_proposal *proposal = &candidate->proposals[g];
    if (proposal->rank == 0) continue;
    wn_json_object(json);
    put_cstring(json, "generator", trace->generators[g].model);
    put_int(json, "rank", proposal->rank);
    put_float(json, "score", proposal->score);
    put_float(json, "normalised", proposal->normalised);
    put_float(json, "weight", trace->generators[g].weight);
    put_float(json, "points", proposal->points);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  if (candidate->row != NULL) put_heavy(json, trace, candidate);
}

static void put_candidate(wn_json *json, const wn_trace *trace, const wn_candidate *candidate,
                          const wn_catalog *catalog) {
  wn_json_object(json);
  put_item(json, catalog, candidate->item);
  put_scored(json, trace, candidate);
  wn_json_end_object(json);
}

static void put_score(wn_json *json, const wn_trace *trace, const wn_catalog *catalog) {
  static const char *const names[] = {"rank", "minmax", "zscore", "none", "blend"};
  wn_json_key(json, "score");
  wn_json_object(json);
  put_cstring(json, "normalise", names[trace->normalise]);
  put_cstring(json, "by",
              trace->ranker == NULL  ? "generators"
              : trace->by_objectives ? "objectives"
                                     : "ranker");
  wn_json_key(json, "light");
  wn_json_bool(json, trace->light);
  wn_json_key(json, "candidates");
  wn_json_array(json);
  for (size_t i = 0; i < trace->candidates_len && i < CANDIDATES_SHOWN; i++) {
    put_candidate(json, trace, &trace->candidates[i], catalog);
  }
  wn_json_end_array(json);
  put_ms(json, "points_ms", trace->points_ms);
  put_ms(json, "light_ms", trace->stage_ms[WN_STAGE_LIGHT]);
  put_ms(json, "heavy_ms", trace->stage_ms[WN_STAGE_HEAVY]);
  put_ms(json, "ms", trace->stage_ms[WN_STAGE_SCORE]);
  wn_json_end_object(json);
}

static void put_rules(wn_json *json, const wn_surface *surface) {
  wn_json_key(json, "diversity");
  if (surface->diversity_by[0] == '\0' || surface->mmr_lambda >= 1.0f) {
    wn_json_null(json);
  } else {
    wn_json_object(json);
    put_cstring(json, "method", surface->diversity_method == WN_DIVERSITY_MMR ? "mmr" : "dpp");
    put_cstring(json, "by", surface->diversity_by);
    put_float(json, "lambda", surface->mmr_lambda);
    wn_json_end_object(json);
  }
  wn_json_key(json, "caps");
  wn_json_array(json);
  for (size_t i = 0; i < surface->caps_len; i++) {
    wn_json_object(json);
    put_cstring(json, "attribute", surface->caps[i].attribute);
    put_int(json, "max", surface->caps[i].max);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  wn_json_key(json, "pins");
  wn_json_array(json);
  for (size_t i = 0; i < surface->pins_len; i++) {
    wn_json_object(json);
    put_cstring(json, "item", surface->pins[i].item);
    put_int(json, "position", surface->pins[i].position);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_order(wn_json *json, const wn_trace *trace, const wn_catalog *catalog) {
  wn_json_key(json, "order");
  wn_json_object(json);
  put_rules(json, trace->surface);
  wn_json_key(json, "moves");
  wn_json_array(json);
  for (size_t i = 0; i < trace->moves_len; i++) {
    wn_json_object(json);
    put_item(json, catalog, trace->moves[i].item);
    wn_json_key(json, "from");
    if (trace->moves[i].from > 0)
      wn_json_int(json, trace->moves[i].from);
    else
      wn_json_null(json);
    put_int(json, "to", trace->moves[i].to);
    put_cstring(json, "why", trace->moves[i].why);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  put_drops(json, trace, catalog, "order");
  wn_json_key(json, "notes");
  wn_json_array(json);
  for (size_t i = 0; i < trace->notes_len; i++) wn_json_cstring(json, trace->notes[i]);
  wn_json_end_array(json);
  put_ms(json, "ms", trace->stage_ms[WN_STAGE_ORDER]);
  wn_json_end_object(json);
}

/* Where generators would have what was no candidate. */
static void put_beyond(wn_json *json, const wn_trace *trace, const wn_why *why) {
  wn_json_key(json, "beyond");
  wn_json_array(json);
  for (size_t g = 0; why->beyond != NULL && g < trace->generators_len; g++) {
    if (trace->generators[g].note != NULL) continue;
    wn_json_object(json);
    put_cstring(json, "generator", trace->generators[g].model);
    put_int(json, "quota", trace->generators[g].quota);
    wn_json_key(json, "rank");
    if (why->beyond[g].rank > 0) {
      wn_json_int(json, why->beyond[g].rank);
      put_float(json, "score", why->beyond[g].score);
    } else {
      wn_json_null(json);
    }
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_whys(wn_json *json, const wn_trace *trace, const wn_catalog *catalog) {
  wn_json_key(json, "why");
  wn_json_array(json);
  for (size_t i = 0; i < trace->whys_len; i++) {
    const wn_why *why = &trace->whys[i];
    wn_json_object(json);
    wn_json_key(json, "item");
    wn_json_string(json, why->id);
    wn_json_key(json, "title");
    wn_json_string(json, why->item != WN_NO_IX ? wn_catalog_title(catalog, why->item)
                                               : (wn_str){NULL, 0});
    put_cstring(json, "stage", why->stage);
    put_cstring(json, "reason", why->reason);
    wn_json_key(json, "position");
    if (why->position > 0)
      wn_json_int(json, why->position);
    else
      wn_json_null(json);
    if (why->candidate != NULL) put_scored(json, trace, why->candidate);
    if (why->beyond != NULL) put_beyond(json, trace, why);
    put_float(json, "last_score", trace->last_score);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

void wn_trace_to_json(const wn_trace *trace, const wn_catalog *catalog, wn_json *json) {
  wn_json_object(json);
  put_retrieve(json, trace);
  put_filter(json, trace, catalog);
  put_score(json, trace, catalog);
  put_order(json, trace, catalog);
  if (trace->whys_len > 0) put_whys(json, trace, catalog);
  wn_json_end_object(json);
}
