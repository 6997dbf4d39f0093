#ifndef WN_MODEL_FOREST_H
#define WN_MODEL_FOREST_H
/* Gradient-boosted trees as the heavy ranker serves them. Trained by XGBoost, read from its JSON
 * model, evaluated by kernels of our own (base/simd/trees.h): equal to XGBoost's margins bit for
 * bit. */

#include "base/simd/coded.h"
#include "model/snapshot.h"

typedef enum wn_forest_link {
  WN_FOREST_RAW,     /* the sum of leaves */
  WN_FOREST_LOGISTIC /* a probability: 1 / (1 + e^−sum) */
} wn_forest_link;

typedef struct wn_forest {
  wn_trees trees;
  uint32_t features; /* a row's length at least */
  wn_forest_link link;
  float base;         /* sum before the first tree */
  const float *share; /* [count × (2^depth − 1)] of a node's training rows, those that go left */
  const float *gain;  /* [features] what splits by it gained in training, all sums to 1 */
  wn_coded *coded;    /* the trees again, where the CPU is faster so; or NULL */
  void *owned;
} wn_forest;

/* Of XGBoost's JSON (XGBoosterSaveModelToBuffer with format json, versions 1.x and 2.x): one
 * output, numerical splits, gbtree, depth up to WN_TREES_DEPTH_MAX. WN_E_FORMAT, WN_E_UNSUPPORTED
 * say what is otherwise. */
WN_MUST_USE wn_status wn_forest_parse(wn_str json, wn_forest *out, wn_error *err);
/* The trees of `first`, then those of `second`, which were boosted behind them: the base and the
 * link are the first's, the gain is their mean by trees. WN_E_UNSUPPORTED: other features. */
WN_MUST_USE wn_status wn_forest_join(const wn_forest *first, const wn_forest *second,
                                     wn_forest *out, wn_error *err);
/* Scores of `rows` rows, ld ≥ features floats apart; NaN: absent. Many threads may. */
void wn_forest_predict(const wn_forest *forest, const float *rows, size_t count, size_t ld,
                       float *out);
/* What each feature adds to one row's sum, contribution[features]: its Shapley value. They add up
 * to the sum less the value returned, which is the mean of the training rows. More than
 * WN_FOREST_FEATURES_MAX features: all 0. */
#define WN_FOREST_FEATURES_MAX 1024
float wn_forest_contributions(const wn_forest *forest, const float *row, float *contribution);
/* Sections PREFIX/head, /feature, /threshold, /leaf, /share, /gain. */
WN_MUST_USE wn_status wn_forest_save(const wn_forest *forest, const char *prefix,
                                     wn_snapshot_writer *writer, wn_error *err);
/* Of trees fitted or mapped: features in range, leaves finite. */
WN_MUST_USE wn_status wn_forest_validate(const wn_forest *forest, const char *prefix,
                                         wn_error *err);
WN_MUST_USE wn_status wn_forest_map(const wn_snapshot *snapshot, const char *prefix, wn_forest *out,
                                    wn_error *err);
void wn_forest_clear(wn_forest *forest);

#endif
