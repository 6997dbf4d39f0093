/* The heavy ranker: gradient-boosted trees over what all other models of the set say of an item,
 * trained on what users did next (Burges 2010, LambdaMART; Chen and Guestrin, KDD 2016). A
 * generator like the others to whoever asks: it asks the models, makes the features (feature.h)
 * and sorts by the trees' sum. What only newer models could name than those that it was trained
 * with is left to the generators themselves.
 *
 * Without trees (nothing to learn from) it has nothing to say. Cost of a query: the opinions'
 * lists, then about .15 µs a candidate and 100 trees with AVX-512. Deterministic: opinions are
 * asked in their order; ties go to the lower index. */
#include "model/ranker.h"

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
    {"ahead", 0, 0, 10, "things taken after a moment with a time that count; 0: those of one time"},
    {"negatives", 30, 1, 1000, "candidates of a moment beside what was taken"},
    {"trees", 250, 1, 2000, "boosted"},
    {"tree_depth", 6, 1, WN_TREES_DEPTH_MAX, "comparisons from root to leaf"},
    {"eta", 0.1, 0.001, 1, "share of each tree that counts"},
    {"objective_trees", 100, 1, 2000, "boosted for each objective"},
    {"warm", 0, 0, 2000,
     "trees boosted behind those of the snapshot that serves, until there are twice as many as "
     "fitted anew; 0: always anew"},
    {"listwise", 1, 0, 1, "1: trees lift NDCG (rank:ndcg); 0: each item by itself (logistic)"},
};

#define RANKER_VERSION 3

typedef struct ranker {
  wn_model base;
  wn_ranker_head head;
  wn_feature_set set;
  wn_item_facts facts;
  wn_forest forest;
  wn_light light;
  wn_light_places places;
  wn_objective_model objective[WN_OBJECTIVES_MAX];
  size_t objectives;
  wn_feature_world world;
} ranker;

static void ranker_free(wn_model *model) {
  ranker *m = (ranker *)model;
  wn_forest_clear(&m->forest);
  wn_objective_models_clear(m->objective, m->objectives);
  wn_facts_clear(&m->facts);
  wn_light_places_clear(&m->places);
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

/* What trees look at most, by the share of gain. */
static void print_gain(const ranker *m, const wn_forest *forest, wn_buf *out) {
  char name[WN_FEATURE_NAME_MAX + 1];
  float last = INFINITY;
  for (size_t shown = 0; forest->trees.count > 0 && shown < 6; shown++) {
    uint32_t best = WN_NO_IX;
    for (uint32_t i = 0; i < forest->features; i++)
      if (forest->gain[i] < last && (best == WN_NO_IX || forest->gain[i] > forest->gain[best]))
        best = i;
    if (best == WN_NO_IX) break;
    last = forest->gain[best];
    wn_buf_printf(out, "%s %s %.0f%%", shown > 0 ? "," : "",
                  wn_feature_name(&m->set, &m->facts, best, name, sizeof name),
                  100.0 * (double)last);
  }
}

static void report(const ranker *m) {
  wn_buf text = {0};
  print_gain(m, &m->forest, &text);
  if (text.len > 0) wn_log(WN_LOG_INFO, "ranker by gain:%s", wn_buf_c(&text));
  wn_buf_clear(&text);
}

/* What objectives learn from: impressions once there are enough of them, else the replayed table.
 */
static wn_status objective_rows(const ranker *m, const wn_label_log *log, const wn_labels *labels,
                                wn_ranker_table *table, wn_objective_rows *out, wn_error *err) {
  uint32_t features = wn_features_count(&m->set);
  uint64_t set = wn_feature_set_hash(&m->set, &m->facts);
  wn_status status = wn_objective_rows_logged(log, labels, set, features, out, err);
  if (status != WN_OK || wn_objective_rows_enough(out, m->objectives)) return status;
  wn_objective_rows_clear(out);
  return wn_objective_rows_replayed(table, out, err);
}

/* Takes the table's features. */
static wn_status fit_objectives(ranker *m, const wn_labels *labels, wn_ranker_table *table,
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
static wn_status fit_forests(ranker *m, const wn_dataset *data, wn_ranker_fit_options *o,
                             const wn_boost_options *per_objective, const wn_fit_env *env,
                             wn_error *err) {
  const wn_train_options *run = env->run;
  bool any = run != NULL && run->label_log != NULL && run->objectives.len > 0;
  wn_labels *labels = NULL;
  wn_label_index *index = NULL;
  wn_ranker_table table = {0}, whole = {0};
  wn_status status = WN_OK;
  if (any) {
    WN_TRY(wn_labels_create(&run->objectives, run->label_log->signals, run->label_log->events, data,
                            &labels, err));
    WN_TRY(wn_label_index_create(labels, run->label_log->events, &index, err));
    o->labels = index;
  }
  WN_TRY(wn_ranker_table_make(data, o, env, &table, &whole, err));
  WN_TRY(wn_ranker_fit(&table, &whole, o, env, &(wn_ranker_learnt){&m->head, &m->forest, &m->light},
                       err));
  if (any) WN_TRY(fit_objectives(m, labels, &table, per_objective, env, err));
cleanup:
  wn_ranker_table_clear(&table);
  wn_ranker_table_clear(&whole);
  wn_label_index_free(index);
  wn_labels_free(labels);
  return status;
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
static const ranker *incumbent_of(const ranker *m, const wn_params *params, const wn_fit_env *env) {
  const ranker *old = (const ranker *)env->warm;
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

static wn_status ranker_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                            wn_model **out, wn_error *err) {
  const wn_model_class *cls = &wn_model_ranker;
  wn_train_options defaults;
  wn_status status;
  ranker *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = cls;
  wn_ranker_fit_options o = {.moments_max = (uint32_t)wn_param(cls, params, "moments"),
                             .ahead = (uint32_t)wn_param(cls, params, "ahead"),
                             .negatives = (uint32_t)wn_param(cls, params, "negatives"),
                             .trees = (uint32_t)wn_param(cls, params, "trees"),
                             .depth = (uint32_t)wn_param(cls, params, "tree_depth"),
                             .eta = wn_param(cls, params, "eta"),
                             .listwise = wn_param(cls, params, "listwise") >= 0.5,
                             .set = &m->set};
  wn_boost_options per_objective = {(uint32_t)wn_param(cls, params, "objective_trees"),
                                    o.depth,
                                    o.eta,
                                    false,
                                    env->seed,
                                    "objectives",
                                    WN_NO_IX,
                                    NULL};
  m->head.version = RANKER_VERSION;
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
  const ranker *old = incumbent_of(m, params, env);
  if (old != NULL) {
    o.warm_trees = (uint32_t)wn_param(cls, params, "warm");
    o.warm = go_on_from(&old->forest, o.trees, o.warm_trees);
    wn_log(WN_LOG_INFO, "ranker: %u trees %s", o.warm != NULL ? o.warm_trees : o.trees,
           o.warm != NULL ? "behind the incumbent's" : "anew, the incumbent has enough");
  }
  WN_TRY(fit_forests(m, data, &o, &per_objective, env, err));
  WN_TRY(wn_light_places_init(&m->light, &m->set, &m->places, err));
  report(m);
  *out = &m->base;
cleanup:
  if (status != WN_OK) ranker_free(&m->base);
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
  ranker *m = (ranker *)model;
  m->world.set = &m->set;
  m->world.facts = &m->facts;
  wn_ranker_find_opinions(&m->set, set, m->world.model);
  return WN_OK;
}

static void ranker_update(wn_model *model, const wn_event *event, float weight) {
  if (weight > 0) wn_facts_update(&((ranker *)model)->facts, event);
}

/* --- answering --- */

static wn_status score(const ranker *m, const wn_query *query, wn_arena *arena,
                       wn_feature_rows *rows, float **out, wn_error *err) {
  wn_query own = *query;
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_status status = WN_OK;
  own.arena = arena;
  *rows = (wn_feature_rows){0};
  if (m->forest.trees.count == 0) return WN_OK;
  WN_TRY(wn_feature_lists(&m->world, &own, NULL, lists, err));
  WN_TRY(wn_feature_rows_of(&m->world, &own, &(wn_feature_ask){.lists = lists}, rows, err));
  *out = wn_arena_alloc(arena, (rows->len + 1) * sizeof **out);
  if (*out == NULL) WN_TRY(wn_fail_memory(err));
  wn_forest_predict(&m->forest, rows->feature, rows->len, rows->features, *out);
cleanup:
  return status;
}

const wn_model *wn_ranker_of(const wn_models *models) {
  const wn_model *found = models != NULL ? wn_models_find(models, wn_model_ranker.name) : NULL;
  const ranker *m = (const ranker *)found;
  if (found == NULL || found->cls != &wn_model_ranker) return NULL;
  bool learnt = m->forest.trees.count > 0;
  for (size_t k = 0; k < m->objectives; k++) learnt |= m->objective[k].forest.trees.count > 0;
  return learnt ? found : NULL;
}

size_t wn_ranker_objectives(const wn_model *model, const wn_objective_model **out) {
  *out = ((const ranker *)model)->objective;
  return ((const ranker *)model)->objectives;
}

const wn_objective_model *wn_ranker_objective(const wn_model *model, const char *name) {
  const ranker *m = (const ranker *)model;
  for (size_t k = 0; k < m->objectives; k++)
    if (strcmp(m->objective[k].head.spec.name, name) == 0)
      return m->objective[k].forest.trees.count > 0 ? &m->objective[k] : NULL;
  return NULL;
}

bool wn_ranker_orders(const wn_model *model) {
  return ((const ranker *)model)->forest.trees.count > 0;
}

const wn_feature_set *wn_ranker_features(const wn_model *model) {
  return &((const ranker *)model)->set;
}

uint64_t wn_ranker_feature_set(const wn_model *model) {
  const ranker *m = (const ranker *)model;
  return wn_feature_set_hash(&m->set, &m->facts);
}

bool wn_ranker_light(const wn_model *model, wn_light_view *out) {
  const ranker *m = (const ranker *)model;
  *out = (wn_light_view){&m->light, &m->places, &m->facts};
  return m->light.version > 0;
}

wn_status wn_ranker_score(const wn_model *model, const wn_query *query, const wn_feature_ask *ask,
                          float *scores, wn_feature_rows *rows, wn_error *err) {
  const ranker *m = (const ranker *)model;
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_feature_ask all = *ask;
  wn_status status;
  WN_TRY(wn_feature_lists(&m->world, query, ask->lists, lists, err));
  all.lists = lists;
  WN_TRY(wn_feature_rows_of(&m->world, query, &all, rows, err));
  if (scores != NULL)
    wn_forest_predict(&m->forest, rows->feature, rows->len, rows->features, scores);
cleanup:
  return status;
}

float wn_ranker_contributions(const wn_model *model, const float *row, float *contribution) {
  return wn_forest_contributions(&((const ranker *)model)->forest, row, contribution);
}

const char *wn_ranker_feature_name(const wn_model *model, uint32_t at, char *buf, size_t size) {
  const ranker *m = (const ranker *)model;
  return wn_feature_name(&m->set, &m->facts, at, buf, size);
}

static wn_status ranker_candidates(const wn_model *model, const wn_query *query, size_t k,
                                   wn_scored *out, size_t *count, wn_error *err) {
  wn_arena local, *arena = wn_query_arena(query, &local);
  wn_feature_rows rows;
  float *scores = NULL;
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = score((const ranker *)model, query, arena, &rows, &scores, err);
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
  wn_scores_clear(scores, items);
  wn_status status = score((const ranker *)model, query, arena, &rows, &found, err);
  for (size_t r = 0; status == WN_OK && r < rows.len; r++)
    if (rows.item[r] < items) scores[rows.item[r]] = found[r];
  wn_arena_clear(&local);
  return status;
}

/* --- snapshots --- */

static wn_status ranker_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const ranker *m = (const ranker *)model;
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, "ranker/head", &m->head, sizeof m->head, err));
  WN_TRY(wn_snapshot_write(writer, "ranker/features", &m->set, sizeof m->set, err));
  WN_TRY(wn_facts_save(&m->facts, "ranker/facts", writer, err));
  WN_TRY(wn_forest_save(&m->forest, "ranker/forest", writer, err));
  WN_TRY(wn_snapshot_write(writer, "ranker/light", &m->light, sizeof m->light, err));
  WN_TRY(wn_objective_models_save(m->objective, m->objectives, writer, err));
cleanup:
  return status;
}

static wn_status ranker_validate(const wn_model *model, wn_error *err) {
  const ranker *m = (const ranker *)model;
  if (m->set.attrs != m->facts.head.attrs)
    return wn_fail(err, WN_E_CORRUPT, "ranker/features", "%u attributes, not %u", m->set.attrs,
                   m->facts.head.attrs);
  if (m->forest.trees.count > 0 && m->forest.features != wn_features_count(&m->set))
    return wn_fail(err, WN_E_CORRUPT, "ranker/forest", "%u features, not %u", m->forest.features,
                   wn_features_count(&m->set));
  wn_status status = wn_light_check(&m->light, "ranker/light", err);
  if (status == WN_OK) status = wn_forest_validate(&m->forest, "ranker/forest", err);
  for (size_t i = 0; status == WN_OK && i < m->objectives; i++)
    status = wn_forest_validate(&m->objective[i].forest, "ranker/objective", err);
  return status;
}

/* Snapshots from before it have no light ranker: all candidates are then the generators' order. */
static wn_status map_light(const wn_snapshot *snapshot, wn_light *out, wn_error *err) {
  const void *raw;
  if (!wn_snapshot_has(snapshot, "ranker/light")) return WN_OK;
  wn_status status = wn_section_array(snapshot, "ranker/light", sizeof *out, 1, &raw, err);
  if (status != WN_OK) return status;
  memcpy(out, raw, sizeof *out);
  return wn_light_check(out, "ranker/light", err);
}

/* Trees of other features than this build makes have nothing to say; the other models do. */
static bool of_another_version(const wn_snapshot *snapshot, const wn_ranker_head *head) {
  const void *raw;
  uint32_t features = WN_FEATURES_VERSION;
  if (head->version == RANKER_VERSION &&
      wn_section_array(snapshot, "ranker/features", sizeof(wn_feature_set), 1, &raw, NULL) == WN_OK)
    features = ((const wn_feature_set *)raw)->version;
  if (head->version == RANKER_VERSION && features == WN_FEATURES_VERSION) return false;
  wn_log(
      WN_LOG_WARN,
      "the snapshot's ranker is of version %u with features of version %u, this build's of %d and "
      "%d: it is left out until the next training",
      head->version, features, RANKER_VERSION, WN_FEATURES_VERSION);
  return true;
}

static wn_status ranker_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  const void *raw;
  wn_status status;
  ranker *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_ranker;
  WN_TRY(wn_section_array(snapshot, "ranker/head", sizeof m->head, 1, &raw, err));
  memcpy(&m->head, raw, sizeof m->head);
  if (of_another_version(snapshot, &m->head)) {
    m->head = (wn_ranker_head){.version = RANKER_VERSION};
    m->set = (wn_feature_set){.version = WN_FEATURES_VERSION, .depth = 1};
    *out = &m->base;
    goto cleanup;
  }
  WN_TRY(wn_section_array(snapshot, "ranker/features", sizeof m->set, 1, &raw, err));
  memcpy(&m->set, raw, sizeof m->set);
  WN_TRY(wn_feature_set_check(&m->set, "ranker/features", err));
  WN_TRY(wn_facts_map(snapshot, "ranker/facts", &m->facts, err));
  WN_TRY(wn_forest_map(snapshot, "ranker/forest", &m->forest, err));
  WN_TRY(map_light(snapshot, &m->light, err));
  WN_TRY(wn_light_places_init(&m->light, &m->set, &m->places, err));
  WN_TRY(wn_objective_models_map(snapshot, wn_features_count(&m->set), m->objective, &m->objectives,
                                 err));
  WN_TRY(ranker_validate(&m->base, err));
  *out = &m->base;
cleanup:
  if (status != WN_OK) ranker_free(&m->base);
  return status;
}

static size_t ranker_bytes(const wn_model *model) {
  return wn_facts_bytes(&((const ranker *)model)->facts);
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
    .save = ranker_save,
    .map = ranker_map,
    .validate = ranker_validate,
    .bind = ranker_bind,
    .candidates = ranker_candidates,
    .score_all = ranker_score_all,
    .update = ranker_update,
    .bytes = ranker_bytes,
    .free = ranker_free,
};

wn_status wn_ranker_importance(const wn_snapshot *snapshot, wn_buf *out, wn_error *err) {
  wn_model *model = NULL;
  if (!wn_snapshot_has(snapshot, "ranker/head")) return WN_OK;
  wn_status status = ranker_map(snapshot, &model, err);
  if (status != WN_OK) return status;
  const ranker *m = (const ranker *)model;
  if (m->forest.trees.count > 0) wn_buf_str(out, "\nranker looks at:");
  print_gain(m, &m->forest, out);
  for (size_t k = 0; k < m->objectives; k++) {
    if (m->objective[k].forest.trees.count == 0) continue;
    wn_buf_printf(out, "\n%s looks at:", m->objective[k].head.spec.name);
    print_gain(m, &m->objective[k].forest, out);
  }
  ranker_free(model);
  return WN_OK;
}
