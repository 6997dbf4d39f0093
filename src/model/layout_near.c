/* Nearest neighbours of all rows at once, for the map.
 *
 * Source: Dong, Charikar, Li 2011, "Efficient k-nearest neighbor graph construction" (a neighbour
 * of a neighbour is probably a neighbour), begun from random projection trees as in McInnes, Healy
 * 2018 (pynndescent): each tree cuts the rows by the hyperplane between two of them until few are
 * left, and rows of a leaf are compared with each other. Departure: a fixed number of trees and
 * rounds instead of a test for convergence, each round against the lists of the one before, so that
 * rows are independent and the result is the same for any number of threads. The index layer's
 * graph would do as well, but is a sibling of this one.
 *
 * Cost for n rows: TREES · n · log(n / LEAF) + TREES · n · LEAF / 2 + ROUNDS · n · k² products of d
 * floats; measured recall of 15 neighbours: model/README.md. Memory: 24 · n · k bytes while it
 * runs. */

#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"
#include "model/layout.h"
#include <string.h>

enum { TREES = 8, LEAF = 40, ROUNDS = 2, DEPTH_MAX = 64 };

typedef struct lists {
  const float *rows;
  uint32_t n, d;
  wn_near *near;
  const uint32_t *before; /* the lists of the last round */
} lists;

static float like(const lists *l, uint32_t a, uint32_t b) {
  return wn_simd()->dot(l->rows + (size_t)a * l->d, l->rows + (size_t)b * l->d, l->d);
}

/* Into the list of `of`, unless it is there or too far; ties: the lower row first. */
static void offer(const lists *l, uint32_t of, uint32_t row, float value) {
  uint32_t k = l->near->k;
  uint32_t *rows = l->near->row + (size_t)of * k;
  float *likes = l->near->like + (size_t)of * k;
  if (rows[k - 1] != WN_NO_IX && value <= likes[k - 1]) return;
  uint32_t at = 0;
  while (at < k && rows[at] != WN_NO_IX &&
         (likes[at] > value || (likes[at] == value && rows[at] <= row))) {
    if (rows[at] == row) return;
    at++;
  }
  if (at == k) return;
  for (uint32_t i = at; i < k && rows[i] != WN_NO_IX; i++)
    if (rows[i] == row) return;
  memmove(rows + at + 1, rows + at, (k - at - 1) * sizeof *rows);
  memmove(likes + at + 1, likes + at, (k - at - 1) * sizeof *likes);
  rows[at] = row;
  likes[at] = value;
}

static void compare_leaf(const lists *l, const uint32_t *member, size_t len) {
  for (size_t i = 0; i < len; i++) {
    for (size_t j = i + 1; j < len; j++) {
      float value = like(l, member[i], member[j]);
      offer(l, member[i], member[j], value);
      offer(l, member[j], member[i], value);
    }
  }
}

/* Members nearer to a than to b first; returns how many. In the middle when that says nothing. */
static size_t cut(const lists *l, uint32_t *member, size_t len, wn_rng *rng) {
  uint32_t a = member[wn_rng_below(rng, len)], b = member[wn_rng_below(rng, len)];
  size_t left = 0;
  for (size_t i = 0; i < len; i++) {
    uint32_t m = member[i];
    if (like(l, m, a) <= like(l, m, b)) continue;
    member[i] = member[left];
    member[left++] = m;
  }
  return left < len / 16 || left > len - len / 16 ? len / 2 : left;
}

static void grow_tree(const lists *l, uint32_t *member, wn_rng *rng) {
  struct {
    size_t from, len;
  } stack[DEPTH_MAX * 2] = {{0, l->n}};
  for (size_t top = 1; top > 0;) {
    size_t from = stack[--top].from, len = stack[top].len;
    if (len <= LEAF || top + 2 > DEPTH_MAX * 2) {
      compare_leaf(l, member + from, len <= 4 * LEAF ? len : 4 * LEAF);
      continue;
    }
    size_t left = cut(l, member + from, len, rng);
    stack[top].from = from;
    stack[top++].len = left;
    stack[top].from = from + left;
    stack[top++].len = len - left;
  }
}

static void ask_neighbours(void *ctx, size_t begin, size_t end, int worker) {
  const lists *l = ctx;
  uint32_t k = l->near->k;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    for (uint32_t a = 0; a < k && l->before[i * k + a] != WN_NO_IX; a++) {
      const uint32_t *theirs = l->before + (size_t)l->before[i * k + a] * k;
      for (uint32_t b = 0; b < k && theirs[b] != WN_NO_IX; b++)
        if (theirs[b] != i) offer(l, (uint32_t)i, theirs[b], like(l, (uint32_t)i, theirs[b]));
    }
  }
}

wn_status wn_near_fit(wn_pool *pool, const float *rows, uint32_t n, uint32_t d, wn_near *near,
                      wn_error *err) {
  wn_status status = WN_OK;
  wn_rng rng;
  size_t cells = (size_t)n * near->k;
  uint32_t *member = wn_calloc(n, sizeof *member), *before = wn_calloc(cells, sizeof *before);
  lists l = {.rows = rows, .n = n, .d = d, .near = near, .before = before};
  if (member == NULL || before == NULL) WN_TRY(wn_fail_memory(err));
  for (size_t i = 0; i < cells; i++) near->row[i] = WN_NO_IX;
  for (uint32_t t = 0; t < TREES; t++) {
    wn_rng_seed(&rng, t);
    for (uint32_t i = 0; i < n; i++) member[i] = i;
    grow_tree(&l, member, &rng);
  }
  for (int round = 0; round < ROUNDS; round++) {
    memcpy(before, near->row, cells * sizeof *before);
    wn_pool_run(pool, n, 256, ask_neighbours, &l);
  }
cleanup:
  wn_free(member);
  wn_free(before);
  return status;
}
