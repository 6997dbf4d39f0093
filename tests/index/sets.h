#ifndef WN_TESTS_INDEX_SETS_H
#define WN_TESTS_INDEX_SETS_H
/* Vector sets for the index's tests, and the naive twin that they hold it against. */

#include "base/harness.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/scan.h"
#include "base/simd/simd.h"
#include "index/index.h"

#include <math.h>
#include <stdlib.h>

static inline void ok(wn_status status, const wn_error *err) {
  char text[768];
  if (status != WN_OK) fail_msg("%s", wn_error_format(err, text, sizeof text));
}

static inline void *need(size_t bytes) {
  void *p = wn_malloc(bytes);
  assert_non_null(p);
  return p;
}

/* Clustered directions, norms over a factor of 30, every 50th row zero, every 40th a copy. */
static inline float *make_rows(uint32_t n, uint32_t dims, uint64_t seed) {
  float *rows = need((size_t)n * dims * sizeof *rows), centres[8][256];
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  assert_true(dims <= 256);
  for (size_t i = 0; i < 8 * 256; i++) centres[i / 256][i % 256] = (float)wn_rng_normal(&rng);
  for (uint32_t i = 0; i < n; i++) {
    float *row = rows + (size_t)i * dims;
    float size = (float)pow(1 + (double)wn_rng_below(&rng, n), -.4);
    for (uint32_t j = 0; j < dims; j++) {
      row[j] = size * (centres[i % 8][j] + .8f * (float)wn_rng_normal(&rng));
    }
    if (i % 50 == 49) memset(row, 0, dims * sizeof *row);
    if (i % 40 == 39) memcpy(row, row - 10 * (size_t)dims, dims * sizeof *row);
  }
  return rows;
}

static inline void random_vector(wn_rng *rng, float *x, uint32_t dims) {
  for (uint32_t j = 0; j < dims; j++) x[j] = (float)wn_rng_normal(rng);
}

/* A plain copy of what an index should hold. */
typedef struct shadow {
  wn_metric metric;
  uint32_t ids, dims, room;
  float *rows;
  bool *there;
} shadow;

static inline shadow shadow_create(wn_metric metric, const float *rows, uint32_t n, uint32_t dims,
                                   uint32_t room) {
  shadow s = {metric, n, dims, room, need((size_t)room * dims * sizeof *rows), need(room)};
  memset(s.there, 0, room);
  memset(s.there, 1, n);
  if (n > 0) memcpy(s.rows, rows, (size_t)n * dims * sizeof *rows);
  return s;
}

static inline void shadow_free(shadow *s) {
  wn_free(s->rows);
  wn_free(s->there);
}

static inline double norm2_of(const float *x, uint32_t dims) {
  double sum[4] = {0};
  for (uint32_t i = 0; i < dims; i++)
    sum[i < dims / 4 * 4 ? i % 4 : 0] += (double)x[i] * (double)x[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static inline float shadow_score(const shadow *s, const float *query, uint32_t id) {
  const float *row = s->rows + (size_t)id * s->dims;
  if (s->metric == WN_METRIC_L2) return -wn_scan()->distance2(query, row, s->dims);
  float dot = wn_simd()->dot(query, row, s->dims);
  if (s->metric == WN_METRIC_IP) return dot;
  double a = norm2_of(query, s->dims), b = norm2_of(row, s->dims);
  float x = a > 0 ? (float)(1 / sqrt(a)) : 0, y = b > 0 ? (float)(1 / sqrt(b)) : 0;
  return dot * (y * x);
}

static inline size_t shadow_search(const shadow *s, const float *query, uint32_t k,
                                   const wn_bitset *allowed, wn_scored *out) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  for (uint32_t id = 0; id < s->room; id++) {
    if (!s->there[id] || (allowed != NULL && !wn_bitset_test(allowed, id))) continue;
    wn_topk_push(&top, id, shadow_score(s, query, id));
  }
  return wn_topk_sort(&top);
}

/* Lists must be the same to the bit. */
static inline void same_lists(const wn_scored *got, size_t m, const wn_scored *want, size_t n) {
  assert_int_equal(m, n);
  for (size_t i = 0; i < n; i++) {
    if (got[i].ix != want[i].ix || got[i].score != want[i].score) {
      fail_msg("place %zu: got %u at %.9g, want %u at %.9g", i, got[i].ix, (double)got[i].score,
               want[i].ix, (double)want[i].score);
    }
  }
}

#endif
