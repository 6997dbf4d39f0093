#include "fitting.h"

#define USERS 80u
#define ITEMS 40u

typedef struct rule {
  double shrink, idf, sharpness, b;
  uint32_t neighbours;
} rule;

static void make_data(wn_dataset *data, uint64_t seed) {
  fact facts[USERS * 30];
  size_t n = random_facts(seed, USERS - 1, ITEMS - 1, 30, facts);
  facts[2].weight = -2;
  facts[9].weight = -1;
  dataset_of(facts, n, USERS, ITEMS, data);
}

/* p_u of a row, idf included. */
static void profile(const wn_dataset *data, uint32_t u, const rule *r, double *p) {
  const wn_csr *csr = &data->by_user;
  memset(p, 0, sizeof *p * ITEMS);
  for (uint64_t i = csr->row_ptr[u]; i < csr->row_ptr[u + 1]; i++) {
    uint32_t item = csr->col[i], n = 0;
    if (!(csr->weight[i] > 0)) continue;
    for (uint64_t k = 0; k < csr->nnz; k++) n += csr->col[k] == item && csr->weight[k] > 0;
    p[item] = sqrt((double)csr->weight[i]) * pow(log(1 + (double)USERS / n), r->idf);
  }
}

static double dot(const double *a, const double *b) {
  double sum = 0;
  for (uint32_t i = 0; i < ITEMS; i++) sum += a[i] * b[i];
  return sum;
}

/* The formula of userknn.c over all pairs of users. */
static void naive(const wn_dataset *data, uint32_t user, const rule *r, double *score) {
  static double p[USERS][ITEMS];
  double sim[USERS];
  rule plain = *r;
  plain.idf = 0;
  for (uint32_t v = 0; v < USERS; v++) profile(data, v, r, p[v]);
  for (uint32_t v = 0; v < USERS; v++) {
    double length = sqrt(dot(p[user], p[user]) * dot(p[v], p[v]));
    sim[v] = v == user || length == 0 ? 0 : dot(p[user], p[v]) / (length + r->shrink);
  }
  memset(score, 0, sizeof *score * ITEMS);
  for (uint32_t k = 0; k < r->neighbours; k++) {
    uint32_t best = 0;
    for (uint32_t v = 1; v < USERS; v++) best = sim[v] > sim[best] ? v : best;
    if (sim[best] <= 0) break;
    double value[ITEMS], s = pow(sim[best], r->sharpness);
    profile(data, best, &plain, value);
    for (uint32_t j = 0; j < ITEMS; j++) {
      uint32_t n = 0;
      for (uint64_t i = 0; i < data->by_user.nnz; i++)
        n += data->by_user.col[i] == j && data->by_user.weight[i] > 0;
      score[j] += s * value[j] * pow(fmax(1, n), -r->b);
    }
    sim[best] = 0;
  }
}

static void test_formula(void **state) {
  (void)state;
  const rule rules[] = {{0, 0, 1, 0, 100}, {5, 1, 1, 0, 7}, {1, 2, 3, .5, 12}};
  wn_dataset data;
  make_data(&data, 41);
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    const rule *r = &rules[i];
    char text[128];
    snprintf(text, sizeof text, "shrink=%g idf=%g sharpness=%g b=%g neighbours=%u", r->shrink,
             r->idf, r->sharpness, r->b, r->neighbours);
    wn_model *model = fit(&wn_model_user_knn, &data, text);
    for (uint32_t u = 0; u < USERS; u += 3) {
      wn_history_entry history[WN_HISTORY_MAX];
      wn_query query = {.history = history, .user = u, .anchor = WN_NO_IX};
      query.history_len = history_of(&data, u, WN_HISTORY_MAX, history);
      double want[ITEMS];
      float got[ITEMS];
      naive(&data, u, r, want);
      assert_ok(model->cls->score_all(model, &query, got, ITEMS, err));
      for (uint32_t j = 0; j < ITEMS; j++) {
        if (want[j] > 0)
          assert_true(fabs(want[j] - (double)got[j]) < 1e-4 * want[j]);
        else
          assert_true(got[j] == -INFINITY);
      }
    }
    model->cls->free(model);
  }
  wn_dataset_clear(&data);
}

/* A user met or not: the same answer, but for herself among the neighbours. */
static void test_similar_users(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 42);
  wn_model *model = fit(&wn_model_user_knn, &data, "shrink=0");
  wn_history_entry history[WN_HISTORY_MAX];
  wn_query query = {.history = history, .user = WN_NO_IX, .anchor = WN_NO_IX};
  query.history_len = history_of(&data, 7, WN_HISTORY_MAX, history);
  wn_scored stranger[USERS], known[USERS];
  size_t n = 0, m = 0;
  assert_ok(model->cls->similar_users(model, &query, USERS, stranger, &n, err));
  assert_int_equal(stranger[0].ix, 7);
  assert_true(fabs((double)stranger[0].score - 1) < 1e-5);
  query.user = 7;
  assert_ok(model->cls->similar_users(model, &query, USERS, known, &m, err));
  assert_int_equal(m, n - 1);
  assert_memory_equal(known, stranger + 1, m * sizeof *known);
  query.history_len = 0;
  assert_ok(model->cls->similar_users(model, &query, USERS, known, &m, err));
  assert_int_equal(m, 0);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* A cut list keeps those in whose profile the item weighs most. */
static void test_posting_max(void **state) {
  (void)state;
  enum { MANY = 40 };
  fact facts[MANY * (MANY + 1)];
  size_t n = 0;
  for (uint32_t u = 0; u < MANY; u++) /* user u has item 0 and u others of her own */
    for (uint32_t k = 0; k <= u; k++)
      facts[n++] = (fact){u, k == 0 ? 0 : 1 + u * MANY + k, 1, 1 + k};
  wn_dataset data;
  dataset_of(facts, n, MANY, MANY * MANY + MANY, &data);
  wn_model *model = fit(&wn_model_user_knn, &data, "posting_max=5 shrink=0 idf=0");
  wn_history_entry one = {0, 1, 5};
  wn_query query = {.history = &one, .history_len = 1, .user = WN_NO_IX, .anchor = WN_NO_IX};
  wn_scored near[MANY];
  size_t found = 0;
  assert_ok(model->cls->similar_users(model, &query, MANY, near, &found, err));
  assert_int_equal(found, 5);
  for (uint32_t k = 0; k < 5; k++) assert_int_equal(near[k].ix, k);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

static void check_twins(const wn_model *model, uint32_t items) {
  wn_history_entry history[4] = {{3, 1, 40}, {0, -2, 30}, {9, 2.5f, 20}, {UINT32_MAX - 1, 1, 10}};
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, items));
  for (uint32_t i = 0; i < items; i += 3) wn_bitset_set(&allowed, i);
  for (int filter = 0; filter < 2; filter++) {
    wn_query query = {.user = 3, .anchor = 4, .allowed = filter ? &allowed : NULL};
    assert_twins(model, &query, items);
    query.history = history;
    query.history_len = 4;
    assert_twins(model, &query, items);
  }
  wn_bitset_clear(&allowed);
}

static void test_threads_and_snapshot(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 43);
  char path[128];
  wn_model *one = fit_threads(&wn_model_user_knn, &data, "", 1);
  wn_model *two = fit_threads(&wn_model_user_knn, &data, "", 2);
  assert_same_model(one, two);
  save_to(one, scratch_path("userknn.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_user_knn, path, &snapshot);
  assert_same_model(one, mapped);
  check_twins(mapped, ITEMS);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  one->cls->free(one);
  two->cls->free(two);
  wn_dataset_clear(&data);
}

static void test_edges(void **state) {
  (void)state;
  const fact facts[3] = {{0, 0, 3e38f, 5}, {0, 1, 1e-44f, 6}, {1, 1, 3e38f, 5}};
  for (size_t n = 0; n <= 3; n++) {
    wn_dataset data;
    dataset_of(facts, n, n > 0 ? 2 : 0, n > 0 ? 2 : 0, &data);
    wn_model *model = fit(&wn_model_user_knn, &data, "");
    check_twins(model, 2);
    model->cls->free(model);
    wn_dataset_clear(&data);
  }
}

static void test_no_memory(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 44);
  check_no_memory(&wn_model_user_knn, &data, "");
  wn_dataset_clear(&data);
}

/* Golden on LightGCN's gowalla split. */
static void test_gowalla(void **state) {
  (void)state;
  wn_dataset train, test;
  if (!load_adjacency("gowalla-lightgcn/train.txt.xz", 29858, 40981, &train)) skip();
  assert_true(load_adjacency("gowalla-lightgcn/test.txt.xz", 29858, 40981, &test));
  wn_model *model = fit(&wn_model_user_knn, &train, "");
  quality q = measure(model, &train, &test, 10);
  print_message("gowalla: recall@20 %.4f ndcg@20 %.4f over %u users\n", q.recall, q.ndcg, q.users);
  assert_true(q.recall > 0.178 && q.ndcg > 0.146);
  model->cls->free(model);
  wn_dataset_clear(&train);
  wn_dataset_clear(&test);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_formula),     cmocka_unit_test(test_similar_users),
      cmocka_unit_test(test_posting_max), cmocka_unit_test(test_threads_and_snapshot),
      cmocka_unit_test(test_edges),       cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_gowalla),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
