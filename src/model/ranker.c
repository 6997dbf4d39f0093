/* The heavy ranker: gradient-boosted trees over what all other models of the set say of an item,
 * trained on what users did next (Burges 2010, LambdaMART; Chen and Guestrin, KDD 2016). A
 * generator like the others to whoever asks: it asks the models, makes the features (feature.h)
 * and sorts by the trees' sum. What only newer models could name than those that it was trained
 * with is left to the generators themselves.
 *
 * Without trees (nothing to learn from) it has nothing to say. Cost of a query: the opinions'
 * lists, then about .15 µs a candidate and 100 trees with AVX-512. Deterministic: opinions are
 * asked in their order; ties go to the lower index. */
#include "model/ranker_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "model/blend.h"
#include "model/feature_log.h"
#include "model/light.h"
#include "model/query.h"
#include "model/section.h"
#include "model/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const wn_param_spec ranker_params[] = {
    {"depth", 200, 10, 1000, "items of each model's list"},
    {"moments", 45000, 1, 1e6, "of the past replayed to train on, about"},
    {"negatives", 30, 1, 1000, "candidates of a moment beside what was taken"},
    {"trees", 250, 1, 2000, "boosted"},
    {"later_trees", 75, 0, 2000,
     "boosted for all that users take once they are back after a while; 0: none, the blend orders"},
    {"judge", 1, 0, 1,
     "1: where held-out moments say that the blend orders better, it does; 0: trees"},
    {"tree_depth", 6, 1, WN_TREES_DEPTH_MAX, "comparisons from root to leaf"},
    {"eta", 0.1, 0.001, 1, "share of each tree that counts"},
    {"objective_trees", 100, 1, 2000, "boosted for each objective"},
    {"warm", 0, 0, 2000,
     "trees boosted behind those of the snapshot that serves, until there are twice as many as "
     "fitted anew; 0: always anew"},
    {"listwise", 1, 0, 1, "1: trees lift NDCG (rank:ndcg); 0: each item by itself (logistic)"},
};

#define LATER_MOMENTS 8000 /* at most */

void wn_ranker_free(wn_model *model) {
  wn_ranker *m = (wn_ranker *)model;
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++) {
    wn_forest_clear(&m->order[h].forest);
    wn_light_places_clear(&m->places[h]);
  }
  wn_objective_models_clear(m->objective, m->objectives);
  wn_facts_clear(&m->facts);
  wn_free(m);
}

/* --- fitting --- */

static void add_opinion(wn_feature_set *set, const wn_model_class *cls, uint32_t newest,
                        uint32_t flags) {
  if (set->opinions == WN_OPINIONS_MAX) return;
  wn_opinion *o = &set->opinion[set->opinions++];
  snprintf(o->model, sizeof o->model, "%s", cls->name);
  o->newest = newest;
  o->flags = flags;
}

void wn_ranker_choose_opinions(const wn_train_options *run, wn_feature_set *set) {
  for (size_t c = 0; c < wn_model_class_count(); c++) {
    const wn_model_class *cls = wn_model_class_at(c);
    bool close = cls == &wn_model_covisit || cls == &wn_model_ridge_seq;
    for (size_t i = 0; i < run->models_len && wn_blend_takes(cls); i++) {
      if (run->models[i].cls != cls || run->models[i].left_out) continue;
      add_opinion(set, cls, 0,
                  (close ? WN_OPINION_ECHO : 0) | (cls->item_vector != NULL ? WN_OPINION_NEAR : 0));
      if (!close) continue;
      add_opinion(set, cls, 1, 0);
      add_opinion(set, cls, 3, 0);
    }
  }
}

void wn_ranker_find_opinions(const wn_feature_set *set, const wn_models *models,
                             const wn_model **out) {
  for (uint32_t o = 0; o < set->opinions; o++) {
    const wn_model *found = wn_models_find(models, set->opinion[o].model);
    out[o] = found != NULL && wn_blend_takes(found->cls) ? found : NULL;
  }
}

static const char *const horizon_names[WN_BLEND_HORIZONS] = {"next", "later"};

static void report(const wn_ranker *m) {
  for (unsigned h = 0; h < WN_BLEND_HORIZONS; h++) {
    wn_buf text = {0};
    wn_ranker_print_gain(m, &m->order[h].forest, &text);
    if (text.len > 0)
      wn_log(WN_LOG_INFO, "ranker, %s, by gain:%s", horizon_names[h], wn_buf_c(&text));
    wn_buf_clear(&text);
  }
}

/* What objectives learn from: impressions once there are enough of them, else the replayed table.
 */
static wn_status objective_rows(const wn_ranker *m, const wn_label_log *log,
                                const wn_labels *labels, wn_ranker_table *table,
                                wn_objective_rows *out, wn_error *err) {
  uint32_t features = wn_features_count(&m->set);
  uint64_t set = wn_feature_set_hash(&m->set, &m->facts);
  wn_status status = wn_objective_rows_logged(log, labels, set, features, out, err);
  if (status != WN_OK || wn_objective_rows_enough(out, m->objectives)) return status;
  wn_objective_rows_clear(out);
  return wn_objective_rows_replayed(table, out, err);
}

/* Takes the table's features. */
static wn_status fit_objectives(wn_ranker *m, const wn_labels *labels, wn_ranker_table *table,
                                const wn_boost_options *options, const wn_fit_env *env,
                                wn_error *err) {
  const wn_objectives *all = &env->run->objectives;
  wn_objective_rows rows = {0};
  wn_status status = WN_OK;
  for (; m->objectives < all->len; m->objectives++)
    m->objective[m->objectives].head.spec = all->data[m->objectives];
  WN_TRY(objective_rows(m, env->run->label_log, labels, table, &rows, err));
  for (size_t k = 0; k < m->objectives; k++)
    WN_TRY(wn_objective_fit(&rows, k, options, env, &m->objective[k], err));
cleanup:
  wn_objective_rows_clear(&rows);
  return status;
}

/* The order's trees and those of the objectives from one table. */
static wn_status fit_forests(wn_ranker *m, const wn_dataset *data, wn_ranker_fit_options *o,
                             const wn_boost_options *per_objective, const wn_fit_env *env,
                             wn_error *err) {
  const wn_train_options *run = env->run;
  bool any = run != NULL && run->label_log != NULL && run->objectives.len > 0;
  wn_labels *labels = NULL;
  wn_label_index *index = NULL;
  wn_ranker_table tables[WN_RANKER_TABLES] = {{0}};
  wn_status status = WN_OK;
  if (any) {
    WN_TRY(wn_labels_create(&run->objectives, run->label_log->signals, run->label_log->events, data,
                            &labels, err));
    WN_TRY(wn_label_index_create(labels, run->label_log->events, &index, err));
    o->labels = index;
  }
  WN_TRY(wn_ranker_tables_make(data, o, env, tables, err));
  m->head.rows = (uint32_t)tables[WN_RANKER_LEARN].rows;
  m->head.groups = (uint32_t)tables[WN_RANKER_LEARN].groups;
  WN_TRY(wn_ranker_fit(tables, o, env, &m->order[WN_BLEND_NEXT], err));
  if (any) WN_TRY(fit_objectives(m, labels, &tables[WN_RANKER_LEARN], per_objective, env, err));
cleanup:
  wn_ranker_tables_clear(tables);
  wn_label_index_free(index);
  wn_labels_free(labels);
  return status;
}

/* Trees for what comes later, where the blend tells it from what is next. */
static wn_status fit_later(wn_ranker *m, const wn_dataset *data, const wn_ranker_fit_options *next,
                           const wn_params *params, const wn_fit_env *env, wn_error *err) {
  wn_ranker_table tables[WN_RANKER_TABLES] = {{0}};
  wn_ranker_fit_options o = *next;
  wn_status status = WN_OK;
  o.horizon = WN_BLEND_LATER;
  o.trees = (uint32_t)wn_param(&wn_model_ranker, params, "later_trees");
  o.labels = NULL;
  o.warm = NULL;
  if (o.moments_max > LATER_MOMENTS) o.moments_max = LATER_MOMENTS;
  m->order[WN_BLEND_LATER].verdict.blend = 1;
  if (o.trees == 0) return WN_OK;
  WN_TRY(wn_ranker_tables_make(data, &o, env, tables, err));
  WN_TRY(wn_ranker_fit(tables, &o, env, &m->order[WN_BLEND_LATER], err));
cleanup:
  wn_ranker_tables_clear(tables);
  return status;
}

/* The blend of the run; NULL: none. */
static const wn_model *blend_of(const wn_fit_env *env) {
  return env->fitted != NULL ? wn_models_find(env->fitted, wn_model_blend.name) : NULL;
}

/* Kinds of facts of the data; 0: one alone. */
static uint16_t levels_of(const wn_dataset *data) {
  uint16_t most = 0, levels = 1;
  for (size_t t = 0; t < sizeof data->level_of; t++)
    if (data->level_of[t] > most) most = data->level_of[t];
  while (levels <= most) levels = (uint16_t)(2 * levels);
  return levels > 1 ? levels : 0;
}

/* The incumbent's ranker, if its trees look at the same features and are not too many yet. */
static const wn_ranker *incumbent_of(const wn_ranker *m, const wn_params *params,
                                     const wn_fit_env *env) {
  const wn_ranker *old = (const wn_ranker *)env->warm;
  if (old == NULL || old->base.cls != &wn_model_ranker ||
      wn_param(&wn_model_ranker, params, "warm") < 1)
    return NULL;
  if (wn_feature_set_hash(&old->set, &old->facts) != wn_feature_set_hash(&m->set, &m->facts)) {
    wn_log(WN_LOG_INFO, "ranker: the incumbent looks at other features, trees anew");
    return NULL;
  }
  return old;
}

/* NULL: from nothing. */
static const wn_forest *go_on_from(const wn_forest *old, uint32_t trees, uint32_t warm) {
  return old->trees.count > 0 && old->trees.count + warm <= 2 * trees ? old : NULL;
}

wn_status wn_ranker_init_places(wn_ranker *m, wn_error *err) {
  wn_status status = WN_OK;
  for (unsigned h = 0; h < WN_BLEND_HORIZONS && status == WN_OK; h++)
    status = wn_light_places_init(&m->order[h].light, &m->set, &m->places[h], err);
  return status;
}

static wn_status ranker_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                            wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_ranker;
  wn_train_options defaults;
  wn_status status;
  wn_ranker *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  wn_ranker_fit_options o = {.moments_max = (uint32_t)wn_param(cls, params, "moments"),
                             .negatives = (uint32_t)wn_param(cls, params, "negatives"),
                             .trees = (uint32_t)wn_param(cls, params, "trees"),
                             .depth = (uint32_t)wn_param(cls, params, "tree_depth"),
                             .eta = wn_param(cls, params, "eta"),
                             .listwise = wn_param(cls, params, "listwise") >= 0.5,
                             .set = &m->set};
  wn_boost_options per_objective = {.trees = (uint32_t)wn_param(cls, params, "objective_trees"),
                                    .depth = o.depth,
                                    .eta = o.eta,
                                    .seed = env->seed,
                                    .stage = "objectives",
                                    .place_column = WN_NO_IX};
  const wn_model *blend = blend_of(env);
  if (blend != NULL && wn_param(cls, params, "judge") >= 0.5) o.blended = env->fitted;
  m->head.version = WN_RANKER_VERSION;
  wn_train_options_defaults(&defaults);
  WN_TRY(wn_facts_fit(data, "", &m->facts, err));
  WN_TRY(wn_facts_replay(data, &m->facts, err));
  if (env->run != NULL && env->run->label_log != NULL)
    WN_TRY(wn_facts_count_shown(env->run->label_log, &m->facts, err));
  m->set = (wn_feature_set){.version = WN_FEATURES_VERSION,
                            .depth = (uint32_t)wn_param(cls, params, "depth"),
                            .attrs = m->facts.head.attrs,
                            .levels = levels_of(data),
                            .contexts = (uint16_t)m->facts.head.contexts};
  const wn_train_options *run = env->run != NULL ? env->run : &defaults;
  WN_TRY(wn_feature_families_parse(params->text, &m->set.families, err));
  for (size_t k = 0; k < run->objectives.len; k++)
    if (run->objectives.data[k].position == WN_POSITION_FEATURE)
      m->set.families |= 1u << WN_FEATURES_POSITION;
  wn_ranker_choose_opinions(run, &m->set);
  per_objective.place_column = (m->set.families >> WN_FEATURES_POSITION & 1) != 0
                                   ? wn_features_begin(&m->set, WN_FEATURES_POSITION)
                                   : WN_NO_IX;
  const wn_ranker *old = incumbent_of(m, params, env);
  if (old != NULL) {
    o.warm_trees = (uint32_t)wn_param(cls, params, "warm");
    o.warm = go_on_from(&old->order[WN_BLEND_NEXT].forest, o.trees, o.warm_trees);
    wn_log(WN_LOG_INFO, "ranker: %u trees %s", o.warm != NULL ? o.warm_trees : o.trees,
           o.warm != NULL ? "behind the incumbent's" : "anew, the incumbent has enough");
  }
  WN_TRY(fit_forests(m, data, &o, &per_objective, env, err));
  if (blend != NULL && wn_blend_has_later(blend)) WN_TRY(fit_later(m, data, &o, params, env, err));
  WN_TRY(wn_ranker_init_places(m, err));
  report(m);
  *out = &m->base;
cleanup:
  if (status != WN_OK) wn_ranker_free(&m->base);
  return status;
}

bool wn_ranker_wants(const wn_train_options *run, unsigned family) {
  wn_error why;
  for (size_t i = 0; i < run->models_len; i++) {
    uint32_t families;
    if (run->models[i].cls == &wn_model_ranker && !run->models[i].left_out &&
        wn_feature_families_parse(run->models[i].params.text, &families, &why) == WN_OK)
      return (families >> family & 1) != 0;
  }
  return false;
}

static wn_status check_features(const char *text, wn_error *err) {
  uint32_t families;
  return wn_feature_families_parse(text, &families, err);
}

static wn_status ranker_bind(wn_model *model, const wn_models *set, wn_error *err WN_UNUSED) {
  wn_ranker *m = (wn_ranker *)model;
  m->world.set = &m->set;
  m->world.facts = &m->facts;
  m->blend = wn_models_find(set, wn_model_blend.name);
  wn_ranker_find_opinions(&m->set, set, m->world.model);
  return WN_OK;
}

static void ranker_update(wn_model *model, const wn_event *event, float weight) {
  if (weight > 0) wn_facts_update(&((wn_ranker *)model)->facts, event);
}

/* --- answering --- */

unsigned wn_ranker_horizon(const wn_model *model, const wn_query *query) {
  const wn_ranker *m = (const wn_ranker *)model;
  const wn_ranker_learnt *later = &m->order[WN_BLEND_LATER];
  if (m->blend == NULL || (later->forest.trees.count == 0 && later->verdict.blend == 0))
    return WN_BLEND_NEXT;
  return wn_blend_horizon_of(m->blend, query);
}

bool wn_ranker_orders(const wn_model *model, unsigned horizon) {
  const wn_ranker *m = (const wn_ranker *)model;
  const wn_ranker_learnt *order = &m->order[horizon];
  return order->forest.trees.count > 0 && (order->verdict.blend == 0 || m->blend == NULL);
}

const wn_ranker_learnt *wn_ranker_order(const wn_model *model, unsigned horizon) {
  return &((const wn_ranker *)model)->order[horizon];
}

/* Who answers in its stead; NULL: it does itself. */
static const wn_model *deputy_of(const wn_ranker *m, const wn_query *query) {
  unsigned horizon = wn_ranker_horizon(&m->base, query);
  bool blend = m->blend != NULL && m->order[horizon].verdict.blend != 0;
  return blend ? m->blend : NULL;
}

static wn_status score(const wn_ranker *m, const wn_query *query, wn_arena *arena,
                       wn_feature_rows *rows, float **out, wn_error *err) {
  wn_query own = *query;
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_status status = WN_OK;
  own.arena = arena;
  *rows = (wn_feature_rows){0};
  const wn_forest *forest = &m->order[wn_ranker_horizon(&m->base, query)].forest;
  if (forest->trees.count == 0) return WN_OK;
  WN_TRY(wn_feature_lists(&m->world, &own, NULL, lists, err));
  WN_TRY(wn_feature_rows_of(&m->world, &own, &(wn_feature_ask){.lists = lists}, rows, err));
  *out = wn_arena_alloc(arena, (rows->len + 1) * sizeof **out);
  if (*out == NULL) WN_TRY(wn_fail_memory(err));
  wn_forest_predict(forest, rows->feature, rows->len, rows->features, *out);
cleanup:
  return status;
}

const wn_model *wn_ranker_of(const wn_models *models) {
  const wn_model *found = models != NULL ? wn_models_find(models, wn_model_ranker.name) : NULL;
  const wn_ranker *m = (const wn_ranker *)found;
  if (found == NULL || found->cls != &wn_model_ranker) return NULL;
  bool learnt = m->order[WN_BLEND_NEXT].forest.trees.count > 0 ||
                m->order[WN_BLEND_LATER].forest.trees.count > 0;
  for (size_t k = 0; k < m->objectives; k++) learnt |= m->objective[k].forest.trees.count > 0;
  return learnt ? found : NULL;
}

size_t wn_ranker_objectives(const wn_model *model, const wn_objective_model **out) {
  *out = ((const wn_ranker *)model)->objective;
  return ((const wn_ranker *)model)->objectives;
}

const wn_objective_model *wn_ranker_objective(const wn_model *model, const char *name) {
  const wn_ranker *m = (const wn_ranker *)model;
  for (size_t k = 0; k < m->objectives; k++)
    if (strcmp(m->objective[k].head.spec.name, name) == 0)
      return m->objective[k].forest.trees.count > 0 ? &m->objective[k] : NULL;
  return NULL;
}

const wn_feature_set *wn_ranker_features(const wn_model *model) {
  return &((const wn_ranker *)model)->set;
}

uint64_t wn_ranker_feature_set(const wn_model *model) {
  const wn_ranker *m = (const wn_ranker *)model;
  return wn_feature_set_hash(&m->set, &m->facts);
}

bool wn_ranker_light(const wn_model *model, unsigned horizon, wn_light_view *out) {
  const wn_ranker *m = (const wn_ranker *)model;
  if (m->order[horizon].light.version == 0) horizon = WN_BLEND_NEXT;
  *out = (wn_light_view){&m->order[horizon].light, &m->places[horizon], &m->facts};
  return m->order[horizon].light.version > 0;
}

wn_status wn_ranker_rows(const wn_model *model, const wn_query *query, const wn_feature_ask *ask,
                         wn_feature_rows *rows, wn_error *err) {
  const wn_ranker *m = (const wn_ranker *)model;
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_feature_ask all = *ask;
  wn_status status;
  WN_TRY(wn_feature_lists(&m->world, query, ask->lists, lists, err));
  all.lists = lists;
  WN_TRY(wn_feature_rows_of(&m->world, query, &all, rows, err));
cleanup:
  return status;
}

void wn_ranker_predict(const wn_model *model, unsigned horizon, const wn_feature_rows *rows,
                       float *scores) {
  const wn_forest *forest = &((const wn_ranker *)model)->order[horizon].forest;
  wn_forest_predict(forest, rows->feature, rows->len, rows->features, scores);
}

float wn_ranker_contributions(const wn_model *model, unsigned horizon, const float *row,
                              float *contribution) {
  return wn_forest_contributions(&((const wn_ranker *)model)->order[horizon].forest, row,
                                 contribution);
}

const char *wn_ranker_feature_name(const wn_model *model, uint32_t at, char *buf, size_t size) {
  const wn_ranker *m = (const wn_ranker *)model;
  return wn_feature_name(&m->set, &m->facts, at, buf, size);
}

static wn_status ranker_candidates(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_feature_rows rows;
  float *scores = NULL;
  const wn_model *deputy = deputy_of((const wn_ranker *)model, query);
  if (deputy != NULL) return deputy->cls->candidates(deputy, query, k, out, count, err);
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = score((const wn_ranker *)model, query, arena, &rows, &scores, err);
  for (size_t r = 0; status == WN_OK && r < rows.len; r++)
    if (wn_query_allows(query, rows.item[r])) wn_topk_push(&top, rows.item[r], scores[r]);
  *count = wn_topk_sort(&top);
  wn_arena_clear(&local);
  return status;
}

static wn_status ranker_score_all(const wn_model *model, const wn_query *query, float *scores,
                                  uint32_t items, wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_feature_rows rows;
  float *found = NULL;
  const wn_model *deputy = deputy_of((const wn_ranker *)model, query);
  if (deputy != NULL) return deputy->cls->score_all(deputy, query, scores, items, err);
  wn_scores_clear(scores, items);
  wn_status status = score((const wn_ranker *)model, query, arena, &rows, &found, err);
  for (size_t r = 0; status == WN_OK && r < rows.len; r++)
    if (rows.item[r] < items) scores[rows.item[r]] = found[r];
  wn_arena_clear(&local);
  return status;
}

static size_t ranker_bytes(const wn_model *model) {
  return wn_facts_bytes(&((const wn_ranker *)model)->facts);
}

const wn_model_class wn_model_ranker = {
    .name = "ranker",
    .doc = "boosted trees over what all other models say, trained on what users did next",
    .flags = WN_MODEL_HISTORY | WN_MODEL_BY_NAME | WN_MODEL_LIVE,
    .params = ranker_params,
    .params_len = sizeof ranker_params / sizeof *ranker_params,
    .text = "features",
    .check_text = check_features,
    .fit = ranker_fit,
    .save = wn_ranker_save,
    .map = wn_ranker_map,
    .validate = wn_ranker_validate,
    .bind = ranker_bind,
    .candidates = ranker_candidates,
    .score_all = ranker_score_all,
    .update = ranker_update,
    .bytes = ranker_bytes,
    .free = wn_ranker_free,
};
