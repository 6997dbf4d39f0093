/* Ranking metrics: worked cases by hand, a naive twin on random lists, and the shared fixtures
 * where present. */
#include "lab/harness.h"

#include "base/rng.h"
#include "lab/metrics.h"

#include <jansson.h>

static wn_ranking_metrics of(const uint32_t *list, size_t len, const uint32_t *relevant,
                             size_t relevant_len, size_t k) {
  wn_ranking_metrics m;
  wn_relevant r = {relevant, NULL, relevant_len};
  wn_ranking_metrics_of(list, len, &r, k, &m);
  return m;
}

static void by_hand(void **state) {
  (void)state;
  const uint32_t list[] = {7, 3, 9, 1, 4}, relevant[] = {3, 4, 100};
  wn_ranking_metrics m = of(list, 5, relevant, 3, 5);
  assert_near(m.precision, 2.0 / 5, 1e-15);
  assert_near(m.recall, 2.0 / 3, 1e-15);
  assert_near(m.hit, 1, 0);
  assert_near(m.mrr, 0.5, 0);
  assert_near(m.ap_over_R, (1.0 / 2 + 2.0 / 5) / 3, 1e-15);
  assert_near(m.ndcg, (1 / log2(3) + 1 / log2(6)) / (1 + 1 / log2(3) + 0.5), 1e-15);
}

static void short_and_empty_lists(void **state) {
  (void)state;
  const uint32_t list[] = {1}, relevant[] = {1, 2};
  assert_near(of(list, 1, relevant, 2, 10).precision, 0.1, 1e-15); /* h / k, also for short lists */
  assert_near(of(list, 1, relevant, 2, 10).recall_capped, 0.5, 1e-15);
  assert_near(of(NULL, 0, relevant, 2, 10).ndcg, 0, 0);
  assert_near(of(list, 1, NULL, 0, 10).recall, 0, 0);
  assert_near(of(list, 1, relevant, 2, 0).precision, 0, 0);
}

static void duplicates_count_once(void **state) {
  (void)state;
  const uint32_t list[] = {1, 1, 2, 1, 3}, clean[] = {1, 2, 3}, relevant[] = {1, 3};
  wn_ranking_metrics a = of(list, 5, relevant, 2, 3), b = of(clean, 3, relevant, 2, 3);
  assert_memory_equal(&a, &b, sizeof a);
  assert_near(a.recall, 1, 0);
}

/* The definitions once more, without any cleverness. */
static void naive_twin(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 20240501);
  for (int round = 0; round < 2000; round++) {
    uint32_t list[30], relevant[40];
    size_t len = wn_rng_below(&rng, 31), n = 0, k = 1 + wn_rng_below(&rng, 30);
    uint32_t perm[60];
    for (uint32_t i = 0; i < 60; i++) perm[i] = i;
    for (uint32_t i = 0; i < 60; i++) {
      uint32_t j = (uint32_t)wn_rng_below(&rng, 60), t = perm[i];
      perm[i] = perm[j];
      perm[j] = t;
    }
    memcpy(list, perm, sizeof list);
    for (uint32_t i = 0; i < 40; i++)
      if (wn_rng_below(&rng, 4) == 0) relevant[n++] = i;
    if (n == 0) continue;
    double hits = 0, dcg = 0, idcg = 0, ap = 0;
    for (size_t i = 0; i < len && i < k; i++) {
      bool rel = false;
      for (size_t j = 0; j < n; j++) rel = rel || relevant[j] == list[i];
      hits += rel;
      dcg += rel / log2((double)i + 2);
      ap += rel ? hits / (double)(i + 1) : 0;
    }
    for (size_t i = 0; i < n && i < k; i++) idcg += 1 / log2((double)i + 2);
    wn_ranking_metrics m = of(list, len, relevant, n, k);
    assert_near(m.recall, hits / (double)n, 1e-12);
    assert_near(m.precision, hits / (double)k, 1e-12);
    assert_near(m.ndcg, dcg / idcg, 1e-12);
    assert_near(m.ap_over_min, ap / (double)(n < k ? n : k), 1e-12);
  }
}

static uint32_t number_of(const char *id, char ids[][64], size_t *count) {
  for (size_t i = 0; i < *count; i++)
    if (strcmp(ids[i], id) == 0) return (uint32_t)i;
  snprintf(ids[*count], 64, "%s", id);
  return (uint32_t)(*count)++;
}

/* Items get numbers in the order of the relevant set first, so that it ascends. */
static void check_case(json_t *c) {
  json_t *input = json_object_get(c, "input"), *expected = json_object_get(c, "expected"), *value;
  char ids[256][64];
  uint32_t list[128], relevant[128];
  double gain[128];
  size_t count = 0, n = 0, len = 0, i;
  const char *key;
  json_object_foreach(json_object_get(input, "relevant"), key, value) {
    relevant[n] = number_of(key, ids, &count);
    gain[n++] = json_number_value(value);
  }
  json_array_foreach(json_object_get(input, "ranked"), i, value) list[len++] =
      number_of(json_string_value(value), ids, &count);
  wn_ranking_metrics m;
  wn_relevant r = {relevant, gain, n};
  wn_ranking_metrics_of(list, len, &r, (size_t)json_integer_value(json_object_get(input, "k")), &m);
  const struct {
    const char *name;
    double got;
  } all[] = {{"precision", m.precision},
             {"recall", m.recall},
             {"recall_capped", m.recall_capped},
             {"hit", m.hit},
             {"mrr", m.mrr},
             {"ap_over_R", m.ap_over_R},
             {"ap_over_min", m.ap_over_min},
             {"dcg", m.dcg},
             {"ndcg", m.ndcg},
             {"f1", m.f1},
             {"ndcg_exp2", m.ndcg_exp2},
             {"dcg_exp2", m.dcg_exp2}};
  for (size_t a = 0; a < sizeof all / sizeof all[0]; a++) {
    json_t *want = json_object_get(expected, all[a].name);
    if (want != NULL)
      assert_near(all[a].got, json_number_value(want),
                  json_number_value(json_object_get(c, "tol")));
  }
}

static void shared_fixtures(void **state) {
  (void)state;
  char path[4096];
  const char *data = getenv("WINNOW_TEST_DATA");
  size_t i, checked = 0;
  json_t *c;
  if (data == NULL) skip();
  snprintf(path, sizeof path, "%s/../fixtures/ranking_metrics.json", data);
  json_t *root = json_load_file(path, 0, NULL);
  if (root == NULL) skip();
  json_array_foreach(json_object_get(root, "cases"), i, c) {
    if (strcmp(json_string_value(json_object_get(c, "kind")), "ranking_user") != 0) continue;
    check_case(c);
    checked++;
  }
  json_decref(root);
  assert_true(checked >= 7);
}

static void bootstrap_intervals(void **state) {
  (void)state;
  enum { N = 2000 };
  static double a[N], b[N];
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (size_t i = 0; i < N; i++) {
    a[i] = 3 + 2 * wn_rng_normal(&rng);
    b[i] = a[i] - 0.5 + 0.1 * wn_rng_normal(&rng);
  }
  wn_interval m = wn_bootstrap_mean(a, N, 2000, 1), again = wn_bootstrap_mean(a, N, 2000, 1);
  assert_memory_equal(&m, &again, sizeof m);
  assert_true(m.low < m.mean && m.mean < m.high);
  assert_near(m.high - m.low, 2 * 1.96 * 2 / sqrt(N), 0.03); /* the normal approximation's width */
  wn_interval d = wn_bootstrap_difference(a, b, N, 2000, 1);
  assert_near(d.mean, 0.5, 0.01);
  assert_true(d.high - d.low < 0.02); /* paired: the common part cancels */
  m = wn_bootstrap_mean(a, 1, 100, 1);
  assert_near(m.low, a[0], 0);
  m = wn_bootstrap_mean(a, 0, 100, 1);
  assert_near(m.mean, 0, 0);
}

static void gini(void **state) {
  (void)state;
  const uint32_t equal[] = {5, 5, 5, 5}, one[] = {0, 0, 0, 8}, some[] = {1, 3, 0, 4};
  assert_near(wn_gini(equal, 4), 0, 1e-15);
  assert_near(wn_gini(one, 4), 0.75, 1e-15);
  assert_near(wn_gini(some, 4), (-3.0 * 0 - 1 * 1 + 1 * 3 + 3 * 4) / (4 * 8), 1e-15);
  assert_near(wn_gini(NULL, 0), 0, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(by_hand),
      cmocka_unit_test(short_and_empty_lists),
      cmocka_unit_test(duplicates_count_once),
      cmocka_unit_test(naive_twin),
      cmocka_unit_test(shared_fixtures),
      cmocka_unit_test(bootstrap_intervals),
      cmocka_unit_test(gini),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
