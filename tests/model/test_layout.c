/* The map of items: neighbours are neighbours, clusters stay together, the same bits for any number
 * of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/simd.h"
#include "model/layout.h"
#include <math.h>
#include <string.h>

enum { N = 1200, D = 24, CLUSTERS = 6 };

/* Noise about CLUSTERS random centres; row i belongs to i % CLUSTERS. */
static void make_rows(float *rows, uint32_t n, double noise) {
  wn_rng rng;
  float centres[CLUSTERS][D];
  wn_rng_seed(&rng, 11);
  for (int c = 0; c < CLUSTERS; c++)
    for (int k = 0; k < D; k++) centres[c][k] = (float)wn_rng_normal(&rng);
  for (uint32_t i = 0; i < n; i++)
    for (int k = 0; k < D; k++)
      rows[i * D + (uint32_t)k] = centres[i % CLUSTERS][k] + (float)(noise * wn_rng_normal(&rng));
}

static void norm(float *rows, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    float length = sqrtf(wn_simd()->dot(rows + i * D, rows + i * D, D));
    for (int k = 0; k < D; k++) rows[i * D + (uint32_t)k] /= length;
  }
}

/* Against every row compared with every other. */
static void test_near_recall(void **state) {
  (void)state;
  static float rows[N * D];
  wn_error err;
  wn_pool *pool = wn_pool_create(2);
  wn_near near = {.k = 10, .row = wn_calloc(N * 10, 4), .like = wn_calloc(N * 10, sizeof(float))};
  make_rows(rows, N, 0.7);
  norm(rows, N);
  assert_int_equal(wn_near_fit(pool, rows, N, D, &near, &err), WN_OK);
  size_t found = 0;
  for (uint32_t i = 0; i < N; i++) {
    for (int a = 0; a < 10; a++) {
      uint32_t row = near.row[i * 10 + (uint32_t)a];
      float value = wn_simd()->dot(rows + i * D, rows + row * D, D);
      assert_true(row < N && row != i);
      assert_true(fabsf(value - near.like[i * 10 + (uint32_t)a]) < 1e-5f);
      if (a > 0)
        assert_true(near.like[i * 10 + (uint32_t)a] <= near.like[i * 10 + (uint32_t)a - 1]);
      for (int b = 0; b < a; b++) assert_int_not_equal(near.row[i * 10 + (uint32_t)b], row);
    }
    uint32_t nearer = 0; /* truly nearer than the last found, the first nine among them */
    for (uint32_t j = 0; j < N; j++)
      nearer +=
          j != i && wn_simd()->dot(rows + i * D, rows + j * D, D) > near.like[i * 10 + 9] + 1e-6f;
    uint32_t missed = nearer > 9 ? nearer - 9 : 0;
    found += missed < 10 ? 10 - missed : 0;
  }
  assert_true(found > N * 10 * 0.95);
  wn_free(near.row);
  wn_free(near.like);
  wn_pool_free(pool);
}

static void fit(int threads, uint32_t n, float *xy) {
  float *rows = wn_calloc((size_t)n * D, sizeof *rows);
  wn_pool *pool = wn_pool_create(threads);
  wn_error err;
  make_rows(rows, n, 0.3);
  assert_int_equal(wn_layout_fit(pool, rows, n, D, xy, &err), WN_OK);
  wn_pool_free(pool);
  wn_free(rows);
}

static void test_clusters_stay_together(void **state) {
  (void)state;
  static float xy[2 * N];
  double mean[CLUSTERS][2] = {{0}}, spread = 0, apart = 1e9;
  fit(2, N, xy);
  for (uint32_t i = 0; i < N; i++)
    for (int a = 0; a < 2; a++) {
      assert_true(fabsf(xy[2 * i + (uint32_t)a]) <= 1.0f);
      mean[i % CLUSTERS][a] += xy[2 * i + (uint32_t)a] / (N / CLUSTERS);
    }
  for (uint32_t i = 0; i < N; i++)
    spread += hypot(xy[2 * i] - mean[i % CLUSTERS][0], xy[2 * i + 1] - mean[i % CLUSTERS][1]) / N;
  for (int a = 0; a < CLUSTERS; a++)
    for (int b = a + 1; b < CLUSTERS; b++) {
      double d = hypot(mean[a][0] - mean[b][0], mean[a][1] - mean[b][1]);
      if (d < apart) apart = d;
    }
  assert_true(apart > 2 * spread);
}

static void test_threads_do_not_matter(void **state) {
  (void)state;
  static float one[2 * N], three[2 * N];
  fit(1, N, one);
  fit(3, N, three);
  assert_memory_equal(one, three, sizeof one);
}

static void test_few(void **state) {
  (void)state;
  for (uint32_t n = 0; n <= 5; n++) {
    float xy[10] = {0};
    fit(1, n, xy);
    for (uint32_t i = 0; i < 2 * n; i++) assert_true(isfinite(xy[i]));
  }
}

/* All alike: nothing to tell apart, nothing to trip over. */
static void test_equal_rows(void **state) {
  (void)state;
  enum { SAME = 300 };
  static float rows[SAME * D], xy[2 * SAME];
  wn_pool *pool = wn_pool_create(1);
  wn_error err;
  for (size_t i = 0; i < SAME * D; i++) rows[i] = 1;
  assert_int_equal(wn_layout_fit(pool, rows, SAME, D, xy, &err), WN_OK);
  for (size_t i = 0; i < 2 * SAME; i++) assert_true(isfinite(xy[i]));
  wn_pool_free(pool);
}

/* Vectors of length 1, 2, 0, 4, 5, NaN, 7, … and one that is absent. */
static const float *item_vector(const wn_model *model, wn_item_ix ix, uint32_t *d) {
  static float x[1];
  (void)model;
  *d = 1;
  x[0] = ix % 3 == 2 ? (ix % 2 == 0 ? 0 : NAN) : (float)(ix + 1);
  return ix != 7 ? x : NULL;
}

static void test_the_longest_are_chosen(void **state) {
  (void)state;
  const wn_model_class cls = {.name = "stub", .item_vector = item_vector};
  const wn_model model = {.cls = &cls};
  wn_item_ix item[16];
  uint32_t len;
  wn_error err;
  assert_int_equal(wn_layout_choose(&model, 13, 16, item, &len, &err), WN_OK);
  assert_memory_equal(item, ((wn_item_ix[]){0, 1, 3, 4, 6, 9, 10, 12}), len * sizeof *item);
  assert_int_equal(len, 8);
  assert_int_equal(wn_layout_choose(&model, 13, 3, item, &len, &err), WN_OK);
  assert_int_equal(len, 3);
  assert_memory_equal(item, ((wn_item_ix[]){9, 10, 12}), len * sizeof *item);
  assert_int_equal(wn_layout_choose(&model, 0, 3, item, &len, &err), WN_OK);
  assert_int_equal(len, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_near_recall),
      cmocka_unit_test(test_clusters_stay_together),
      cmocka_unit_test(test_threads_do_not_matter),
      cmocka_unit_test(test_few),
      cmocka_unit_test(test_equal_rows),
      cmocka_unit_test(test_the_longest_are_chosen),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
