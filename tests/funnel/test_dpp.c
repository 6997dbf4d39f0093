/* The greedy DPP against determinants computed by elimination, with and without a window. */
#include "fixture.h"

#include "base/rng.h"
#include "funnel/dpp.h"

enum { N = 24, D = 40 };

static double log_det(const float s[N][N], const size_t *set, size_t n) {
  double a[N][N], sum = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) a[i][j] = (double)s[set[i]][set[j]];
  for (size_t k = 0; k < n; k++) {
    sum += log(a[k][k]);
    for (size_t i = k + 1; i < n; i++)
      for (size_t j = n; j-- > k;) a[i][j] -= a[i][k] / a[k][k] * a[k][j];
  }
  return sum;
}

static void cosines(float s[N][N], wn_rng *rng) {
  float v[N][D];
  for (size_t i = 0; i < N; i++) {
    double norm = 0;
    for (size_t k = 0; k < D; k++) {
      v[i][k] = (float)wn_rng_normal(rng);
      norm += (double)v[i][k] * (double)v[i][k];
    }
    for (size_t k = 0; k < D; k++) v[i][k] /= (float)sqrt(norm);
  }
  for (size_t i = 0; i < N; i++)
    for (size_t j = 0; j < N; j++) {
      s[i][j] = i == j;
      for (size_t k = 0; i != j && k < D; k++) s[i][j] += v[i][k] * v[j][k];
    }
}

static void test_gains_are_determinants(void **state) {
  (void)state;
  static const size_t windows[] = {N, 5, 2};
  float s[N][N];
  wn_rng rng;
  wn_arena arena;
  wn_arena_init(&arena, 1 << 24);
  wn_rng_seed(&rng, 3);
  for (size_t round = 0; round < 3; round++) {
    wn_dpp dpp;
    size_t order[N], window = windows[round];
    cosines(s, &rng);
    assert_true(wn_dpp_init(&dpp, N, window, &arena));
    for (size_t t = 0; t < N; t++) {
      size_t from = t > window ? t - window : 0, set[N];
      for (size_t k = from; k < t; k++) set[k - from] = order[k];
      double before = log_det((const float(*)[N])s, set, t - from);
      for (size_t i = 0; i < N; i++) {
        bool taken = false;
        for (size_t k = from; k < t; k++) taken = taken || order[k] == i;
        set[t - from] = i;
        if (taken) continue;
        double gain = log_det((const float(*)[N])s, set, t - from + 1) - before;
        double found = (double)wn_dpp_gain(&dpp, i);
        if (fabs(gain - found) > 2e-4) fail_msg("%g is not %g", found, gain);
      }
      order[t] = (t * 7 + round) % N; /* any order will do */
      wn_dpp_choose(&dpp, order[t], s[order[t]]);
    }
  }
  wn_arena_clear(&arena);
}

static void test_twins_gain_nothing(void **state) {
  (void)state;
  float row[3] = {1, 1, 0};
  wn_dpp dpp;
  wn_arena arena;
  wn_arena_init(&arena, 1 << 20);
  assert_true(wn_dpp_init(&dpp, 3, 2, &arena));
  wn_dpp_choose(&dpp, 0, row);
  assert_true(wn_dpp_gain(&dpp, 1) < -13 && wn_dpp_gain(&dpp, 2) == 0);
  wn_dpp_choose(&dpp, 1, row); /* a singular set stays finite */
  for (size_t i = 0; i < 3; i++) assert_true(isfinite(wn_dpp_gain(&dpp, i)));
  wn_arena_clear(&arena);
}

static void test_out_of_memory(void **state) {
  (void)state;
  wn_dpp dpp;
  wn_arena arena;
  for (size_t limit = 0; limit < 4096; limit += 256) {
    wn_arena_init(&arena, limit);
    if (wn_dpp_init(&dpp, 16, 8, &arena)) assert_non_null(dpp.variance);
    wn_arena_clear(&arena);
  }
  wn_arena_init(&arena, 0);
  assert_false(wn_dpp_init(&dpp, 16, 8, &arena));
  wn_arena_clear(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gains_are_determinants),
                                     cmocka_unit_test(test_twins_gain_nothing),
                                     cmocka_unit_test(test_out_of_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
