/* From thresholds to codes: code = number of thresholds ≤ value, so that value < threshold j
 * exactly when code < j + 1. And the scalar twin of the kernel. */
#include "base/simd/coded.h"

#include "base/mem.h"
#include "base/simd/simd.h"
#include "base/simd/trees_tables.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static size_t nodes_of(uint32_t depth) {
  return ((size_t)1 << depth) - 1;
}

/* --- coding a forest --- */

/* A comparison of the forest; those above a repeated leaf go either way and need none. */
typedef struct split {
  uint32_t word; /* feature, and WN_TREES_LEFT */
  float threshold;
} split;

static bool padding(const wn_trees *t, size_t node) {
  return isinf(t->threshold[node]);
}

static int by_feature(const void *a, const void *b) {
  const split *x = a, *y = b;
  uint32_t f = x->word & ~WN_TREES_LEFT, g = y->word & ~WN_TREES_LEFT;
  if (f != g) return f < g ? -1 : 1;
  return (x->threshold > y->threshold) - (x->threshold < y->threshold);
}

static size_t splits_of(const wn_trees *t, split *out) {
  size_t n = 0, all = t->count * nodes_of(t->depth);
  for (size_t i = 0; i < all; i++)
    if (!padding(t, i)) out[n++] = (split){t->feature[i], t->threshold[i]};
  if (n > 0) qsort(out, n, sizeof *out, by_feature);
  return n;
}

static size_t features_in(const split *splits, size_t len) {
  size_t n = 0;
  for (size_t i = 0; i < len; i++)
    n += i == 0 || ((splits[i].word ^ splits[i - 1].word) & ~WN_TREES_LEFT) != 0;
  return n;
}

static wn_coded *allocate(const wn_trees *t, size_t features) {
  size_t nodes = (size_t)t->count * WN_CODED_NODES, steps = features * WN_CODED_STEPS;
  size_t bytes = (nodes + steps) * sizeof(float) + features * sizeof(wn_coded_feature) + 2 * nodes;
  wn_coded *c = wn_calloc(1, sizeof *c + bytes);
  if (c == NULL) return NULL;
  float *leaf = (float *)(void *)(c + 1), *step = leaf + nodes;
  wn_coded_feature *feature = (wn_coded_feature *)(void *)(step + steps);
  uint8_t *slot = (uint8_t *)(feature + features);
  *c = (wn_coded){.count = t->count,
                  .depth = t->depth,
                  .feature = feature,
                  .step = step,
                  .slot = slot,
                  .below = slot + nodes,
                  .leaf = leaf};
  for (size_t i = 0; i < steps; i++) step[i] = INFINITY;
  return c;
}

/* Features, their thresholds and slots; false: too many. */
static bool number(wn_coded *c, const split *splits, size_t len) {
  wn_coded_feature *f = (wn_coded_feature *)(uintptr_t)c->feature - 1;
  float *step = (float *)(uintptr_t)c->step;
  for (size_t i = 0; i < len; i++) {
    uint32_t feature = splits[i].word & ~WN_TREES_LEFT;
    if (i == 0 || f->number != feature) {
      *++f = (wn_coded_feature){feature, 0, WN_CODED_NO_SLOT, WN_CODED_NO_SLOT};
      step = (float *)(uintptr_t)c->step + (size_t)c->features++ * WN_CODED_STEPS;
    }
    if (f->steps == 0 || step[f->steps - 1] < splits[i].threshold) {
      if (f->steps == WN_CODED_STEPS - 1) return false;
      step[f->steps++] = splits[i].threshold;
    }
    uint16_t *slot = (splits[i].word & WN_TREES_LEFT) != 0 ? &f->left : &f->right;
    if (*slot == WN_CODED_NO_SLOT) *slot = (uint16_t)c->slots++;
  }
  return c->slots <= WN_CODED_SLOTS;
}

static int by_number(const void *key, const void *member) {
  uint32_t number = *(const uint32_t *)key, other = ((const wn_coded_feature *)member)->number;
  return (number > other) - (number < other);
}

/* Thresholds below `value`: the place of a threshold among its feature's. */
static size_t steps_below(const float *step, size_t len, float value) {
  size_t low = 0;
  while (len > 0) {
    size_t half = len / 2;
    bool less = step[low + half] < value;
    low = less ? low + half + 1 : low;
    len = less ? len - half - 1 : half;
  }
  return low;
}

static void code_nodes(wn_coded *c, const wn_trees *t) {
  size_t nodes = nodes_of(t->depth);
  for (size_t tree = 0; tree < t->count; tree++) {
    size_t to = tree * WN_CODED_NODES, from = tree * nodes;
    uint8_t *slot = (uint8_t *)(uintptr_t)c->slot + to,
            *below = (uint8_t *)(uintptr_t)c->below + to;
    for (size_t i = 0; i < nodes; i++) {
      if (padding(t, from + i)) continue;
      uint32_t word = t->feature[from + i], feature = word & ~WN_TREES_LEFT;
      const wn_coded_feature *f =
          bsearch(&feature, c->feature, c->features, sizeof *c->feature, by_number);
      const float *step = c->step + (size_t)(f - c->feature) * WN_CODED_STEPS;
      slot[i] = (uint8_t)((word & WN_TREES_LEFT) != 0 ? f->left : f->right);
      below[i] = (uint8_t)(steps_below(step, f->steps, t->threshold[from + i]) + 1);
    }
    memcpy((float *)(uintptr_t)c->leaf + to, t->leaf + tree * (nodes + 1),
           (nodes + 1) * sizeof(float));
  }
}

wn_coded *wn_coded_of(const wn_trees *t) {
  if (t->count == 0 || t->depth > WN_CODED_DEPTH_MAX) return NULL;
  split *splits = wn_reallocarray(NULL, t->count * nodes_of(t->depth) + 1, sizeof *splits);
  if (splits == NULL) return NULL;
  size_t len = splits_of(t, splits);
  wn_coded *c = allocate(t, features_in(splits, len));
  if (c != NULL && number(c, splits, len)) {
    code_nodes(c, t);
  } else {
    wn_free(c);
    c = NULL;
  }
  wn_free(splits);
  return c;
}

/* --- the scalar twin --- */

static uint8_t code_of(const float *step, size_t steps, float value) {
  size_t n = 0;
  while (n < steps && step[n] <= value) n++;
  return (uint8_t)n;
}

void wn_coded_scalar(const wn_coded *c, const float *features, size_t rows, size_t ld, float *out) {
  size_t nodes = nodes_of(c->depth);
  for (size_t r = 0; r < rows; r++) {
    uint8_t code[WN_CODED_SLOTS] = {0};
    for (size_t k = 0; k < c->features; k++) {
      const wn_coded_feature *f = &c->feature[k];
      float x = features[r * ld + f->number];
      uint8_t is = code_of(c->step + k * WN_CODED_STEPS, f->steps, x);
      if (f->left != WN_CODED_NO_SLOT) code[f->left] = is;
      if (f->right != WN_CODED_NO_SLOT) code[f->right] = isnan(x) ? UINT8_MAX : is;
    }
    for (size_t tree = 0; tree < c->count; tree++) {
      const uint8_t *slot = c->slot + tree * WN_CODED_NODES;
      const uint8_t *below = c->below + tree * WN_CODED_NODES;
      size_t at = 0;
      while (at < nodes) at = 2 * at + 2 - (code[slot[at]] < below[at]);
      out[r] += c->leaf[tree * WN_CODED_NODES + at - nodes];
    }
  }
}

wn_coded_fn *wn_coded_sum_named(const char *name) {
  if (strcmp(name, "scalar") == 0) return wn_coded_scalar;
#if defined(__x86_64__)
  if (strcmp(name, "avx512vbmi") == 0 && wn_simd_named("avx512") != NULL &&
      __builtin_cpu_supports("avx512vbmi"))
    return wn_coded_vbmi;
#endif
  return NULL;
}

wn_coded_fn *wn_coded_sum(void) {
  return strcmp(wn_simd()->name, "avx512") == 0 ? wn_coded_sum_named("avx512vbmi") : NULL;
}
