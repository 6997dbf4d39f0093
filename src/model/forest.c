/* XGBoost's trees (Chen and Guestrin, KDD 2016) in the layout of base/simd/trees.h. A leaf above
 * the common depth is repeated below itself, under comparisons that go either way, so that every
 * row takes the same number of steps. Sums run in the order of the trees from the base score, in
 * single precision, as XGBoost's own predictor does: equal bits, not nearly equal.
 *
 * Contributions: forest_explain.c.
 *
 * Memory: 16 bytes × trees × 2^depth, and what base/simd/coded.h takes. */
#include "model/forest.h"

#include "base/mem.h"
#include "model/section.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREES_MAX    10000
#define FEATURES_MAX 65536

typedef struct forest_head {
  uint32_t version;
  uint32_t trees, depth, features;
  uint32_t link;
  float base;
} forest_head;

static size_t nodes_of(uint32_t depth) {
  return ((size_t)1 << depth) - 1;
}

/* --- reading --- */

/* One tree of the JSON. */
typedef struct source {
  const json_t *left, *right, *feature, *value, *missing_left, *kind, *cover, *gain;
  size_t len;
} source;

static double number_at(const json_t *array, size_t i) {
  const json_t *value = json_array_get(array, i);
  return json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
}

static wn_status open_tree(const json_t *tree, source *s, wn_error *err) {
  *s = (source){json_object_get(tree, "left_children"),
                json_object_get(tree, "right_children"),
                json_object_get(tree, "split_indices"),
                json_object_get(tree, "split_conditions"),
                json_object_get(tree, "default_left"),
                json_object_get(tree, "split_type"),
                json_object_get(tree, "sum_hessian"),
                json_object_get(tree, "loss_changes"),
                json_array_size(json_object_get(tree, "left_children"))};
  if (s->len == 0 || json_array_size(s->right) != s->len || json_array_size(s->feature) != s->len ||
      json_array_size(s->value) != s->len || json_array_size(s->missing_left) != s->len)
    return wn_fail(err, WN_E_FORMAT, "trees", "a tree's arrays differ in length");
  for (size_t i = 0; i < json_array_size(s->kind); i++)
    if (number_at(s->kind, i) != 0)
      return wn_fail(err, WN_E_UNSUPPORTED, "trees", "a categorical split");
  return WN_OK;
}

/* Depth below `node`; beyond the maximum when it is too deep, runs in a circle or leaves the tree.
 */
static uint32_t depth_below(const source *s, double node, uint32_t above) {
  if (!(node >= 0 && node < (double)s->len) || above > WN_TREES_DEPTH_MAX)
    return WN_TREES_DEPTH_MAX + 1;
  double left = number_at(s->left, (size_t)node), right = number_at(s->right, (size_t)node);
  if (left < 0) return 0;
  uint32_t a = depth_below(s, left, above + 1), b = depth_below(s, right, above + 1);
  return 1 + (a > b ? a : b);
}

typedef struct target {
  float *threshold;
  uint32_t *feature;
  float *leaf, *share;
  float *gain; /* of the whole forest */
  uint32_t depth, features;
} target;

/* The share of the training rows that go left, by their hessians; half where these are not known.
 */
static float share_of(const source *s, size_t left, size_t right) {
  double a = number_at(s->cover, left), b = number_at(s->cover, right);
  return a + b > 0 ? (float)(a / (a + b)) : 0.5f;
}

/* Writes `node` and what is below to place `at` of the padded tree; false: a feature out of range.
 */
static bool place(const source *s, size_t node, const target *t, size_t at) {
  double value = number_at(s->value, node), left = number_at(s->left, node);
  if (at >= nodes_of(t->depth)) {
    t->leaf[at - nodes_of(t->depth)] = (float)value;
    return isfinite((float)value);
  }
  if (left < 0) { /* the same leaf on both sides */
    t->threshold[at] = INFINITY;
    t->feature[at] = WN_TREES_LEFT;
    t->share[at] = 1;
    return place(s, node, t, 2 * at + 1) && place(s, node, t, 2 * at + 2);
  }
  double feature = number_at(s->feature, node);
  if (!(feature >= 0 && feature < (double)t->features) || !isfinite((float)value)) return false;
  t->threshold[at] = (float)value;
  t->feature[at] = (uint32_t)feature | (number_at(s->missing_left, node) != 0 ? WN_TREES_LEFT : 0);
  size_t right = (size_t)number_at(s->right, node);
  double gain = number_at(s->gain, node);
  if (gain > 0) t->gain[(size_t)feature] += (float)gain;
  if (!place(s, (size_t)left, t, 2 * at + 1) || !place(s, right, t, 2 * at + 2)) return false;
  t->share[at] = share_of(s, (size_t)left, right);
  return true;
}

static wn_status allocate(wn_forest *f, wn_error *err) {
  size_t nodes = nodes_of(f->trees.depth), count = f->trees.count;
  float *block = wn_calloc(count * (4 * nodes + 1) + f->features + 1, sizeof *block);
  if (block == NULL) return wn_fail_memory(err);
  f->owned = block;
  f->trees.threshold = block;
  f->trees.feature = (uint32_t *)(void *)(block + count * nodes);
  f->trees.leaf = block + 2 * count * nodes;
  f->share = f->trees.leaf + count * (nodes + 1);
  f->gain = f->share + count * nodes;
  return WN_OK;
}

static void share_gain(wn_forest *f) {
  float *gain = (float *)(uintptr_t)f->gain, total = 0;
  for (uint32_t i = 0; i < f->features; i++) total += gain[i];
  for (uint32_t i = 0; i < f->features && total > 0; i++) gain[i] /= total;
}

static wn_status read_trees(const json_t *trees, wn_forest *f, wn_error *err) {
  wn_status status;
  source s;
  f->trees.count = (uint32_t)json_array_size(trees);
  for (size_t i = 0; i < f->trees.count; i++) {
    WN_TRY(open_tree(json_array_get(trees, i), &s, err));
    uint32_t depth = depth_below(&s, 0, 0);
    if (depth > WN_TREES_DEPTH_MAX)
      WN_TRY(wn_fail(err, WN_E_UNSUPPORTED, "trees", "tree %zu is deeper than %d", i,
                     WN_TREES_DEPTH_MAX));
    if (depth > f->trees.depth) f->trees.depth = depth;
  }
  WN_TRY(allocate(f, err));
  size_t nodes = nodes_of(f->trees.depth);
  for (size_t i = 0; i < f->trees.count; i++) {
    WN_TRY(open_tree(json_array_get(trees, i), &s, err));
    target t = {.threshold = (float *)f->owned + i * nodes,
                .feature = (uint32_t *)(uintptr_t)f->trees.feature + i * nodes,
                .leaf = (float *)(uintptr_t)f->trees.leaf + i * (nodes + 1),
                .share = (float *)(uintptr_t)f->share + i * nodes,
                .gain = (float *)(uintptr_t)f->gain,
                .depth = f->trees.depth,
                .features = f->features};
    if (!place(&s, 0, &t, 0))
      WN_TRY(wn_fail(err, WN_E_FORMAT, "trees", "tree %zu has a number out of range", i));
  }
  share_gain(f);
cleanup:
  return status;
}

static wn_status read_learner(const json_t *learner, wn_forest *f, wn_error *err) {
  const json_t *param = json_object_get(learner, "learner_model_param");
  const char *base = json_string_value(json_object_get(param, "base_score"));
  const char *features = json_string_value(json_object_get(param, "num_feature"));
  const char *classes = json_string_value(json_object_get(param, "num_class"));
  const char *objective =
      json_string_value(json_object_get(json_object_get(learner, "objective"), "name"));
  const json_t *booster = json_object_get(learner, "gradient_booster");
  const char *name = json_string_value(json_object_get(booster, "name"));
  if (base == NULL || features == NULL || objective == NULL)
    return wn_fail(err, WN_E_FORMAT, "learner", "without base_score, num_feature or an objective");
  if (name == NULL || strcmp(name, "gbtree") != 0 || (classes != NULL && atoi(classes) > 1))
    return wn_fail(err, WN_E_UNSUPPORTED, "learner", "only a gbtree with one output");
  f->features = (uint32_t)strtoul(features, NULL, 10);
  f->link = strcmp(objective, "binary:logistic") == 0 || strcmp(objective, "reg:logistic") == 0
                ? WN_FOREST_LOGISTIC
                : WN_FOREST_RAW;
  f->base = strtof(base, NULL);
  if (f->link == WN_FOREST_LOGISTIC) f->base = -logf(1.0f / f->base - 1.0f); /* kept as a share */
  if (f->features == 0 || f->features > FEATURES_MAX || !isfinite(f->base))
    return wn_fail(err, WN_E_FORMAT, "learner", "%s features, base score %s", features, base);
  const json_t *trees = json_object_get(json_object_get(booster, "model"), "trees");
  if (!json_is_array(trees) || json_array_size(trees) > TREES_MAX)
    return wn_fail(err, WN_E_FORMAT, "trees", "must be an array of up to %d", TREES_MAX);
  return read_trees(trees, f, err);
}

/* --- answering --- */

static void code(wn_forest *f) {
  if (wn_coded_sum() != NULL) f->coded = wn_coded_of(&f->trees);
}

wn_status wn_forest_parse(wn_str json, wn_forest *out, wn_error *err) {
  json_error_t why;
  wn_status status;
  memset(out, 0, sizeof *out);
  json_t *root = json_loadb(json.ptr, json.len, 0, &why);
  if (root == NULL) return wn_fail(err, WN_E_FORMAT, "", "%s", why.text);
  status = read_learner(json_object_get(root, "learner"), out, err);
  json_decref(root);
  if (status == WN_OK)
    code(out);
  else
    wn_forest_clear(out);
  return status;
}

/* Tree `from` at place `to`, a leaf above the depth being repeated below itself. */
static void copy_tree(const wn_forest *from, size_t tree, wn_forest *out, size_t to) {
  size_t few = nodes_of(from->trees.depth), many = nodes_of(out->trees.depth);
  float *threshold = (float *)(uintptr_t)out->trees.threshold + to * many;
  float *share = (float *)(uintptr_t)out->share + to * many;
  float *leaf = (float *)(uintptr_t)out->trees.leaf + to * (many + 1);
  uint32_t *feature = (uint32_t *)(uintptr_t)out->trees.feature + to * many;
  memcpy(threshold, from->trees.threshold + tree * few, few * sizeof *threshold);
  memcpy(share, from->share + tree * few, few * sizeof *share);
  memcpy(feature, from->trees.feature + tree * few, few * sizeof *feature);
  for (size_t at = few; at < many; at++) {
    threshold[at] = INFINITY;
    share[at] = 1;
    feature[at] = WN_TREES_LEFT;
  }
  size_t below = (many + 1) / (few + 1);
  for (size_t l = 0; l <= many; l++) leaf[l] = from->trees.leaf[tree * (few + 1) + l / below];
}

wn_status wn_forest_join(const wn_forest *first, const wn_forest *second, wn_forest *out,
                         wn_error *err) {
  const wn_trees *a = &first->trees, *b = &second->trees;
  memset(out, 0, sizeof *out);
  if (first->features != second->features)
    return wn_fail(err, WN_E_UNSUPPORTED, "trees", "of %" PRIu32 " features and of %" PRIu32,
                   first->features, second->features);
  *out = (wn_forest){
      .trees = {.count = a->count + b->count, .depth = a->depth > b->depth ? a->depth : b->depth},
      .features = first->features,
      .link = first->link,
      .base = first->base};
  wn_status status = allocate(out, err);
  if (status != WN_OK) return status;
  float *gain = (float *)(uintptr_t)out->gain;
  for (size_t t = 0; t < a->count; t++) copy_tree(first, t, out, t);
  for (size_t t = 0; t < b->count; t++) copy_tree(second, t, out, a->count + t);
  for (uint32_t i = 0; i < out->features; i++)
    gain[i] = (first->gain[i] * (float)a->count + second->gain[i] * (float)b->count) /
              (float)(out->trees.count > 0 ? out->trees.count : 1);
  code(out);
  return WN_OK;
}

void wn_forest_predict(const wn_forest *forest, const float *rows, size_t count, size_t ld,
                       float *out) {
  for (size_t i = 0; i < count; i++) out[i] = forest->base;
  if (forest->coded != NULL)
    wn_coded_sum()(forest->coded, rows, count, ld, out);
  else if (forest->trees.count > 0)
    wn_trees_sum()(&forest->trees, rows, count, ld, out);
  for (size_t i = 0; forest->link == WN_FOREST_LOGISTIC && i < count; i++)
    out[i] = 1.0f / (1.0f + expf(-out[i]));
}

/* --- snapshots --- */

static const char *section(char *buf, size_t size, const char *prefix, const char *name) {
  snprintf(buf, size, "%s/%s", prefix, name);
  return buf;
}

wn_status wn_forest_save(const wn_forest *f, const char *prefix, wn_snapshot_writer *writer,
                         wn_error *err) {
  char name[64];
  uint64_t nodes = f->trees.count * (uint64_t)nodes_of(f->trees.depth);
  forest_head head = {3, f->trees.count, f->trees.depth, f->features, (uint32_t)f->link, f->base};
  wn_status status;
  WN_TRY(wn_snapshot_write(writer, section(name, sizeof name, prefix, "head"), &head, sizeof head,
                           err));
  WN_TRY(wn_snapshot_write(writer, section(name, sizeof name, prefix, "threshold"),
                           f->trees.threshold, nodes * sizeof(float), err));
  WN_TRY(wn_snapshot_write(writer, section(name, sizeof name, prefix, "feature"), f->trees.feature,
                           nodes * sizeof(uint32_t), err));
  WN_TRY(wn_snapshot_write(writer, section(name, sizeof name, prefix, "leaf"), f->trees.leaf,
                           (nodes + f->trees.count) * sizeof(float), err));
  WN_TRY(wn_snapshot_write(writer, section(name, sizeof name, prefix, "share"), f->share,
                           nodes * sizeof(float), err));
  WN_TRY(wn_snapshot_write(writer, section(name, sizeof name, prefix, "gain"), f->gain,
                           f->features * sizeof(float), err));
cleanup:
  return status;
}

static wn_status check_head(const forest_head *h, const char *name, wn_error *err) {
  if (h->version != 3 || h->trees > TREES_MAX || h->depth > WN_TREES_DEPTH_MAX ||
      (h->features == 0 && h->trees > 0) || h->features > FEATURES_MAX ||
      h->link > WN_FOREST_LOGISTIC || !isfinite(h->base))
    return wn_fail(err, WN_E_CORRUPT, name, "%" PRIu32 " trees of depth %" PRIu32, h->trees,
                   h->depth);
  return WN_OK;
}

wn_status wn_forest_validate(const wn_forest *forest, const char *prefix, wn_error *err) {
  const wn_trees *t = &forest->trees;
  char name[64];
  uint64_t nodes = t->count * (uint64_t)nodes_of(t->depth);
  wn_status status;
  section(name, sizeof name, prefix, "feature");
  for (uint64_t i = 0; i < nodes; i++)
    if ((t->feature[i] & ~WN_TREES_LEFT) >= forest->features)
      WN_TRY(wn_fail(err, WN_E_CORRUPT, name, "a feature is not below %" PRIu32, forest->features));
  WN_TRY(
      wn_check_finite(section(name, sizeof name, prefix, "leaf"), t->leaf, nodes + t->count, err));
  WN_TRY(wn_check_finite(section(name, sizeof name, prefix, "share"), forest->share, nodes, err));
  WN_TRY(wn_check_finite(section(name, sizeof name, prefix, "gain"), forest->gain, forest->features,
                         err));
cleanup:
  return status;
}

wn_status wn_forest_map(const wn_snapshot *snapshot, const char *prefix, wn_forest *out,
                        wn_error *err) {
  char name[64];
  const void *raw, *threshold;
  wn_status status;
  memset(out, 0, sizeof *out);
  WN_TRY(wn_section_array(snapshot, section(name, sizeof name, prefix, "head"), sizeof(forest_head),
                          1, &raw, err));
  const forest_head *h = raw;
  WN_TRY(check_head(h, name, err));
  *out = (wn_forest){.trees = {.count = h->trees, .depth = h->depth},
                     .features = h->features,
                     .link = (wn_forest_link)h->link,
                     .base = h->base};
  uint64_t nodes = h->trees * (uint64_t)nodes_of(h->depth);
  /* Thresholds may be infinite: padding. NaN compares as right, like any other. */
  WN_TRY(wn_section_array(snapshot, section(name, sizeof name, prefix, "threshold"), sizeof(float),
                          nodes, &threshold, err));
  out->trees.threshold = threshold;
  WN_TRY(wn_section_array(snapshot, section(name, sizeof name, prefix, "feature"), sizeof(uint32_t),
                          nodes, &raw, err));
  out->trees.feature = raw;
  WN_TRY(wn_section_numbers(snapshot, section(name, sizeof name, prefix, "leaf"), nodes + h->trees,
                            &out->trees.leaf, err));
  WN_TRY(wn_section_numbers(snapshot, section(name, sizeof name, prefix, "share"), nodes,
                            &out->share, err));
  WN_TRY(wn_section_numbers(snapshot, section(name, sizeof name, prefix, "gain"), h->features,
                            &out->gain, err));
  WN_TRY(wn_forest_validate(out, prefix, err));
  code(out);
cleanup:
  return status;
}

void wn_forest_clear(wn_forest *forest) {
  wn_free(forest->coded);
  wn_free(forest->owned);
  memset(forest, 0, sizeof *forest);
}
