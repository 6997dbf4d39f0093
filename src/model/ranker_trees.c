/* Boosting the ranker's trees, and a judgement whether they or the blend are to order.
 *
 * What is next (blend.h): LambdaMART (Burges 2010) as XGBoost's rank:ndcg. All that comes later:
 * fewer and flatter trees by pairs (RankNet, Burges et al. 2005, as rank:pairwise), because there
 * are few moments and many things taken in each, of which the first of a list is not the only one
 * that counts (README.md).
 *
 * The judgement: both orders' NDCG@20 on moments that these trees did not learn from. Of what is
 * next some moments were held out, and the trees stay unless the blend is better by more than one
 * standard error of the difference. Of what comes later the newest view is judged by trees of the
 * views before, taught by what was taken before it (of a log with one view: half of the users by
 * trees of the other half), and the blend stays unless the trees are better. That is no even match:
 * the blend's weights were fitted on these very moments, and it stays, too, where there are few.
 *
 * Deterministic: one thread. Cost: about .5 ns a row, feature and tree. */
#include "model/blend.h"
#include "model/light.h"

#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GROUPS_MIN  30
#define JUDGED_LIST 20
#define LATER_DEPTH 4

/* --- the judgement --- */

/* Of equal scores what was taken comes last. */
static double gain_of(const float *score, const float *label, size_t len, uint32_t taken) {
  double gain = 0, ideal = 0;
  for (uint32_t i = 0; i < taken && i < JUDGED_LIST; i++) ideal += 1 / log2((double)i + 2);
  for (size_t t = 0; t < len; t++) {
    size_t place = 0;
    if (label[t] <= 0) continue;
    for (size_t i = 0; i < len; i++)
      place += score[i] > score[t] || (score[i] == score[t] && (label[i] <= 0 || i < t));
    if (place < JUDGED_LIST) gain += 1 / log2((double)place + 2);
  }
  return ideal > 0 ? gain / ideal : 0;
}

wn_status wn_ranker_judge(const wn_ranker_table *t, const wn_forest *forest, wn_ranker_verdict *out,
                          wn_error *err) {
  double trees = 0, blend = 0, squares = 0, n = (double)t->groups;
  *out = (wn_ranker_verdict){.moments = (uint32_t)t->groups};
  if (t->groups == 0) return WN_OK;
  float *margin = wn_reallocarray(NULL, t->rows, sizeof *margin);
  if (margin == NULL) return wn_fail_memory(err);
  wn_forest_predict(forest, t->feature, t->rows, t->features, margin);
  for (size_t g = 0, at = 0; g < t->groups; at += t->size[g++]) {
    uint32_t taken = t->moment[g].taken;
    double of_trees = gain_of(margin + at, t->label + at, t->size[g], taken);
    double of_blend = gain_of(t->blend + at, t->label + at, t->size[g], taken);
    trees += of_trees / n;
    blend += of_blend / n;
    squares += (of_trees - of_blend) * (of_trees - of_blend) / n;
  }
  out->ndcg_trees = (float)trees;
  out->ndcg_blend = (float)blend;
  out->error = (float)sqrt(fmax(0, squares - (trees - blend) * (trees - blend)) / n);
  wn_free(margin);
  return WN_OK;
}

static void report(const wn_ranker_verdict *v, unsigned horizon) {
  if (v->moments > 0)
    wn_log(WN_LOG_INFO,
           "ranker, %s, %u moments held out: ndcg@%d of the trees %.4f, of the blend "
           "%.4f (+- %.4f): %s order",
           horizon == WN_BLEND_NEXT ? "next" : "later", v->moments, JUDGED_LIST,
           (double)v->ndcg_trees, (double)v->ndcg_blend, (double)v->error,
           v->blend != 0 ? "the blend's" : "the trees'");
}

/* --- trees --- */

static wn_boost_options boost_options(const wn_ranker_fit_options *o, uint64_t seed) {
  bool later = o->horizon == WN_BLEND_LATER;
  wn_boost_options boost = {.trees = o->trees,
                            .depth = later && o->depth > LATER_DEPTH ? LATER_DEPTH : o->depth,
                            .eta = o->eta,
                            .loss = o->listwise ? WN_BOOST_NDCG : WN_BOOST_LOGISTIC,
                            .seed = seed,
                            .stage = later ? "ranker, later" : "ranker",
                            .place_column = WN_NO_IX,
                            .warm = o->warm};
  if (later) boost.loss = WN_BOOST_PAIRWISE;
  if (o->warm != NULL) boost.trees = o->warm_trees;
  return boost;
}

/* Judged by trees that know nothing of the newest view; then it teaches, too. */
static wn_status fit_later(const wn_ranker_table *tables, const wn_boost_options *boost,
                           bool judged, const wn_fit_env *env, wn_ranker_learnt *out,
                           wn_error *err) {
  const wn_ranker_table *t = &tables[WN_RANKER_LEARN], *judge = &tables[WN_RANKER_JUDGE];
  wn_boost_data data = {t->feature,  t->early != NULL ? t->early : t->label,
                        t->size,     t->early_rows,
                        t->features, t->early_groups};
  wn_ranker_verdict *v = &out->verdict;
  wn_forest early = {0};
  wn_status status = WN_OK;
  v->blend = judged || t->groups < GROUPS_MIN;
  if (judged && t->early_groups >= GROUPS_MIN && judge->groups >= GROUPS_MIN) {
    WN_TRY(wn_boost_forest(&data, boost, NULL, env->progress, &early, err));
    WN_TRY(wn_ranker_judge(judge, &early, v, err));
    v->blend = v->ndcg_trees <= v->ndcg_blend;
  }
  if (v->blend != 0) goto cleanup;
  data = (wn_boost_data){t->feature, t->label, t->size, t->rows, t->features, t->groups};
  WN_TRY(wn_boost_forest(&data, boost, NULL, env->progress, &out->forest, err));
cleanup:
  wn_forest_clear(&early);
  return status;
}

static wn_status fit_next(const wn_ranker_table *tables, const wn_boost_options *boost,
                          const wn_fit_env *env, wn_ranker_learnt *out, wn_error *err) {
  const wn_ranker_table *t = &tables[WN_RANKER_LEARN];
  wn_boost_data data = {t->feature, t->label, t->size, t->rows, t->features, t->groups};
  wn_ranker_verdict *v = &out->verdict;
  wn_status status = WN_OK;
  if (t->groups < GROUPS_MIN) return WN_OK;
  WN_TRY(wn_boost_forest(&data, boost, NULL, env->progress, &out->forest, err));
  WN_TRY(wn_ranker_judge(&tables[WN_RANKER_JUDGE], &out->forest, v, err));
  v->blend = v->moments > 0 && v->ndcg_trees + v->error < v->ndcg_blend;
cleanup:
  return status;
}

/* The light ranker, from what the trees say. */
static wn_status distil(const wn_ranker_table *tables, const wn_feature_set *set,
                        wn_ranker_learnt *out, wn_error *err) {
  wn_light *light = &out->light;
  wn_status status;
  WN_TRY(wn_light_fit(set, &tables[WN_RANKER_LEARN], &out->forest, light, err));
  WN_TRY(wn_light_measure(set, &tables[WN_RANKER_WHOLE], &out->forest, light, err));
  if (light->moments > 0)
    wn_log(WN_LOG_INFO,
           "light ranker: %.1f%% of the trees' best %d among its best %d (%u moments held out)",
           100.0 * (double)light->kept, WN_LIGHT_TOP, WN_LIGHT_CUT, light->moments);
cleanup:
  return status;
}

wn_status wn_ranker_fit(const wn_ranker_table *tables, const wn_ranker_fit_options *options,
                        const wn_fit_env *env, wn_ranker_learnt *out, wn_error *err) {
  const wn_ranker_table *t = &tables[WN_RANKER_LEARN];
  bool later = options->horizon == WN_BLEND_LATER;
  wn_boost_options boost = boost_options(options, env->seed);
  wn_status status;
  memset(out, 0, sizeof *out);
  if (later)
    WN_TRY(fit_later(tables, &boost, options->blended != NULL, env, out, err));
  else
    WN_TRY(fit_next(tables, &boost, env, out, err));
  wn_log(WN_LOG_INFO, "ranker, %s, of %zu of %zu moments, %zu rows, %u features: %u trees",
         later ? "later" : "next", t->groups, t->moments, t->rows, wn_features_count(options->set),
         out->forest.trees.count);
  report(&out->verdict, options->horizon);
  WN_TRY(distil(tables, options->set, out, err));
cleanup:
  return status;
}
