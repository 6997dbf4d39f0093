/* What each feature adds to a row's sum: Shapley values of the trees, exactly (Lundberg, Erion and
 * Lee 2018, "Consistent individualized feature attribution for tree ensembles"), as XGBoost's
 * pred_contribs gives them. What is not known of a row goes both ways at a split, in the shares of
 * the training rows.
 *
 * Written leaf by leaf instead of path by path. A leaf is reached through m distinct features; let
 * z be the share of training rows that pass all splits of one feature, and o whether this row does
 * (1 or 0). The leaf's value v counts v · Π(known: o, else z), and the Shapley value of feature i
 * is v · (o_i − z_i) · Σ_k k! (m − 1 − k)! / m! · [x^k] Π_{j ≠ i} (z_j + o_j x). Features that the
 * row does not pass are a common factor of all these products, so one polynomial over those that it
 * passes is enough, and that without one of them is a division by (z + x), which is stable since z
 * ≤ 1.
 *
 * Cost: about 64 leaves · 40 multiplications a tree of depth 6. Double precision within. */
#include "base/simd/trees.h"
#include "model/forest.h"

#include <math.h>
#include <string.h>

#define DEPTH WN_TREES_DEPTH_MAX

/* One of the features on the way to a leaf. */
typedef struct gate {
  uint32_t feature;
  bool passed;
  double share; /* of training rows that pass */
} gate;

typedef struct walk {
  const wn_forest *forest;
  const float *row;
  const float *share; /* of this tree; likewise */
  const uint32_t *feature;
  const float *threshold, *leaf;
  size_t nodes;
  gate gate[DEPTH];
  size_t gates;
  double weight[DEPTH + 1][DEPTH]; /* [m][k]: k! (m − 1 − k)! / m! */
  double *sum;                     /* [features] */
} walk;

static void fill_weights(walk *w) {
  for (size_t m = 1; m <= DEPTH; m++) {
    w->weight[m][0] = 1.0 / (double)m;
    for (size_t k = 1; k < m; k++)
      w->weight[m][k] = w->weight[m][k - 1] * (double)k / (double)(m - k);
  }
}

/* Σ q_k · weight */
static double weigh(const walk *w, const double *q, size_t len) {
  double sum = 0;
  for (size_t k = 0; k < len; k++) sum += q[k] * w->weight[w->gates][k];
  return sum;
}

static void at_leaf(const walk *w, double value) {
  double q[DEPTH + 1] = {1}, rest[DEPTH];
  size_t passed = 0;
  for (size_t i = 0; i < w->gates; i++) {
    if (!w->gate[i].passed) {
      value *= w->gate[i].share;
      continue;
    }
    for (size_t k = ++passed; k > 0; k--) q[k] = q[k - 1] + w->gate[i].share * q[k];
    q[0] *= w->gate[i].share;
  }
  double missed = passed < w->gates ? value * weigh(w, q, passed + 1) : 0;
  for (size_t i = 0; i < w->gates; i++) {
    const gate *g = &w->gate[i];
    if (!g->passed) {
      w->sum[g->feature] -= missed;
      continue;
    }
    rest[passed - 1] = q[passed];
    for (size_t k = passed - 1; k > 0; k--) rest[k - 1] = q[k] - g->share * rest[k];
    w->sum[g->feature] += value * (1 - g->share) * weigh(w, rest, passed);
  }
}

static void visit(walk *w, size_t at);

static void pass(walk *w, uint32_t feature, double share, bool passed, size_t next) {
  size_t i = 0;
  if (!passed && share <= 0) return; /* adds nothing */
  while (i < w->gates && w->gate[i].feature != feature) i++;
  gate before = i < w->gates ? w->gate[i] : (gate){feature, true, 1};
  size_t gates = w->gates;
  w->gate[i] = (gate){feature, before.passed && passed, before.share * share};
  if (i == gates) w->gates++;
  visit(w, next);
  w->gate[i] = before;
  w->gates = gates;
}

static void visit(walk *w, size_t at) {
  while (at < w->nodes && w->threshold[at] == INFINITY)
    at = 2 * at + 1; /* the same on both sides */
  if (at >= w->nodes) {
    at_leaf(w, (double)w->leaf[at - w->nodes]);
    return;
  }
  uint32_t word = w->feature[at], feature = word & ~WN_TREES_LEFT;
  float x = w->row[feature];
  bool left = isnan(x) ? (word & WN_TREES_LEFT) != 0 : x < w->threshold[at];
  double share = (double)w->share[at];
  pass(w, feature, share, left, 2 * at + 1);
  pass(w, feature, 1 - share, !left, 2 * at + 2);
}

/* The mean of the training rows. */
static double mean_below(const walk *w, size_t at) {
  if (at >= w->nodes) return (double)w->leaf[at - w->nodes];
  double share = (double)w->share[at];
  if (share >= 1) return mean_below(w, 2 * at + 1);
  return share * mean_below(w, 2 * at + 1) + (1 - share) * mean_below(w, 2 * at + 2);
}

float wn_forest_contributions(const wn_forest *f, const float *row, float *contribution) {
  double base = (double)f->base, sum[WN_FOREST_FEATURES_MAX];
  walk w = {.forest = f, .row = row, .sum = sum, .nodes = ((size_t)1 << f->trees.depth) - 1};
  for (uint32_t i = 0; i < f->features; i++) contribution[i] = 0;
  if (f->features > WN_FOREST_FEATURES_MAX) return f->base;
  memset(sum, 0, f->features * sizeof *sum);
  fill_weights(&w);
  for (uint32_t t = 0; t < f->trees.count; t++) {
    w.share = f->share + t * w.nodes;
    w.feature = f->trees.feature + t * w.nodes;
    w.threshold = f->trees.threshold + t * w.nodes;
    w.leaf = f->trees.leaf + t * (w.nodes + 1);
    base += mean_below(&w, 0);
    visit(&w, 0);
  }
  for (uint32_t i = 0; i < f->features; i++) contribution[i] = (float)sum[i];
  return (float)base;
}
