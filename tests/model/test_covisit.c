#include "fitting.h"
#include "model/covisit.h"

#define USERS 80u
#define ITEMS 40u

typedef struct rule {
  double tau, rho, a, b;
  uint32_t window, neighbours, row_max;
  double half_life_ms;
} rule;

/* S[i][j] as the formula says, pair by pair; nothing is cut to the best. Of the four pairs of
 * levels 2 · source + target those of `levels` (bits). */
static void naive_of(const wn_dataset *data, const rule *r, unsigned levels, double *S) {
  const wn_csr *csr = &data->by_user;
  uint32_t I = data->items;
  double *pop = wn_calloc(I, sizeof *pop);
  memset(S, 0, sizeof *S * I * I);
  double newest = 0;
  for (uint64_t i = 0; i < csr->nnz; i++) newest = fmax(newest, (double)csr->time_ms[i]);
  for (uint32_t u = 0; u < data->users; u++) {
    uint32_t item[512], step[512], level[512], n = 0;
    double mass[512];
    uint64_t kept[512];
    for (uint64_t i = csr->row_ptr[u + 1]; i-- > csr->row_ptr[u] && n < r->row_max;) {
      if (csr->weight[i] > 0) kept[n++] = i;
    }
    for (uint32_t k = 0; k < n; k++) { /* oldest first */
      uint64_t i = kept[n - 1 - k];
      item[k] = csr->col[i];
      level[k] = csr->type != NULL ? data->level_of[csr->type[i]] : 0;
      bool new_time = k > 0 && csr->time_ms[i] != csr->time_ms[kept[n - k]];
      step[k] = k == 0 ? 0 : step[k - 1] + new_time;
      mass[k] = sqrt((double)csr->weight[i]);
      pop[item[k]]++;
    }
    for (uint32_t p = 0; p < n; p++) {
      double basket_p = 0;
      for (uint32_t q = 0; q < n; q++) basket_p += step[q] == step[p];
      for (uint32_t q = 0; q < n; q++) {
        double basket_q = 0;
        for (uint32_t k = 0; k < n; k++) basket_q += step[k] == step[q];
        int gap = (int)step[q] - (int)step[p];
        if (q == p || abs(gap) > (int)r->window) continue;
        double w = gap == 0 ? 1 : exp(-(abs(gap) - 1) / r->tau) * (gap < 0 ? r->rho : 1);
        int64_t later = csr->time_ms[kept[n - 1 - (p > q ? p : q)]];
        if (r->half_life_ms > 0) w *= exp2(((double)later - newest) / r->half_life_ms);
        uint32_t pair = 2 * level[p] + level[q];
        if ((levels >> pair & 1) == 0) continue;
        S[item[p] * I + item[q]] += w * mass[p] * mass[q] * pow(basket_p * basket_q, -.25);
      }
    }
  }
  for (uint32_t i = 0; i < I; i++) {
    for (uint32_t j = 0; j < I; j++) {
      S[i * I + j] *= pow(fmax(1, pop[i]), -r->a) * pow(fmax(1, pop[j]), -r->b);
    }
  }
  wn_free(pop);
}

static void naive(const wn_dataset *data, const rule *r, double *S) {
  naive_of(data, r, 15, S);
}

static const char *text_of(const rule *r, char *buf, size_t size) {
  snprintf(buf, size,
           "power=1 tau=%g rho=%g a=%g b=%g window=%u neighbours=%u row_max=%u half_life_days=%.9g",
           r->tau, r->rho, r->a, r->b, r->window, r->neighbours, r->row_max,
           r->half_life_ms / 86400000);
  return buf;
}

/* Anchor answers against the formula, the best first. */
static void check_rows(const wn_dataset *data, const rule *r) {
  char buf[256];
  uint32_t I = data->items;
  double *S = wn_calloc((size_t)I * I + 1, sizeof *S);
  wn_model *model = fit(&wn_model_covisit, data, text_of(r, buf, sizeof buf));
  naive(data, r, S);
  for (uint32_t i = 0; i < I; i++) {
    wn_query query = {.anchor = i, .user = WN_NO_IX};
    wn_scored *out = wn_calloc(I, sizeof *out);
    size_t count = 0, positive = 0;
    assert_ok(model->cls->candidates(model, &query, I, out, &count, err));
    for (uint32_t j = 0; j < I; j++) positive += S[i * I + j] > 0;
    assert_int_equal(count, positive < r->neighbours ? positive : r->neighbours);
    double least = INFINITY;
    for (size_t k = 0; k < count; k++) {
      double want = S[i * I + out[k].ix];
      assert_true(fabs((double)out[k].score - want) <= 1e-5 * want);
      least = fmin(least, want);
      S[i * I + out[k].ix] = 0;
    }
    for (uint32_t j = 0; j < I; j++) assert_true(S[i * I + j] <= least * (1 + 1e-5));
    wn_free(out);
  }
  model->cls->free(model);
  wn_free(S);
}

static void make_data(wn_dataset *data, uint64_t seed, bool timeless) {
  fact facts[USERS * 30];
  size_t n = random_facts(seed, USERS - 1, ITEMS - 1, 30, facts);
  for (size_t i = 0; timeless && i < n; i++) facts[i].time_ms = 1;
  facts[2].weight = -2;
  facts[9].weight = -1;
  dataset_of(facts, n, USERS, ITEMS, data);
}

static void test_formula(void **state) {
  (void)state;
  const rule rules[] = {
      {3, .5, .5, .3, 50, 200, 500, 0}, {1, 0, 0, 0, 50, 200, 500, 0},
      {2, 1, 1, 1, 3, 200, 500, 0},     {1e6, .2, .5, .3, 50, 200, 500, 0},
      {3, .5, .5, .3, 50, 5, 500, 0},   {3, .5, .5, .3, 50, 200, 4, 0},
      {3, .5, .5, .3, 50, 5, 500, 30},
  };
  for (int timeless = 0; timeless < 2; timeless++) {
    wn_dataset data;
    make_data(&data, 31 + (uint64_t)timeless, timeless);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) check_rows(&data, &rules[i]);
    wn_dataset_clear(&data);
  }
}

/* Personal scores are the decayed sum of the items' rows, each pair to the power. */
static void check_personal(double power) {
  char params[64];
  wn_dataset data;
  snprintf(params, sizeof params, "tau=3 tau_query=2 rho=.5 b=.3 power=%g", power);
  make_data(&data, 33, false);
  rule r = {3, .5, .5, .3, 50, 200, 500, 0};
  static double S[ITEMS * ITEMS];
  naive(&data, &r, S);
  wn_model *model = fit(&wn_model_covisit, &data, params);
  wn_history_entry history[6] = {{5, 1, 90}, {7, 4, 90},   {2, -1, 80},
                                 {0, 2, 70}, {900, 1, 60}, {3, 1, 50}};
  wn_query query = {.history = history, .history_len = 6, .user = WN_NO_IX, .anchor = 9};
  float scores[ITEMS];
  assert_ok(model->cls->score_all(model, &query, scores, ITEMS, err));
  for (uint32_t j = 0; j < ITEMS; j++) {
    double want = pow(S[5 * ITEMS + j], power) + 2 * pow(S[7 * ITEMS + j], power) +
                  sqrt(2) * exp(-.5) * pow(S[j], power) + exp(-1) * pow(S[3 * ITEMS + j], power);
    if (want > 0) {
      assert_true(fabs(want - (double)scores[j]) < 1e-5 * want);
    } else {
      assert_true(scores[j] == -INFINITY);
    }
  }
  model->cls->free(model);
  wn_dataset_clear(&data);
}

static void test_personal(void **state) {
  (void)state;
  check_personal(1);
  check_personal(.6);
}

/* Each pair of levels has sums of its own: those of the history item's level count in full, the
 * others by `cross`, and each by `lift` for a candidate of level 1. */
static void test_levels(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 38, false);
  rule r = {3, .5, .5, .3, 50, 200, 500, 0};
  const wn_csr *csr = &data.by_user;
  data.by_user.type = wn_calloc(csr->nnz, 1);
  for (uint64_t i = 0; i < csr->nnz; i++) data.by_user.type[i] = i * 7 % 3 == 0 ? 5 : 0;
  data.level_of[5] = 1;
  static double all[ITEMS * ITEMS], part[4][ITEMS * ITEMS];
  naive(&data, &r, all);
  wn_model *plain = fit(&wn_model_covisit, &data, "tau=3 rho=.5 b=.3 power=1");
  wn_model *model = fit(&wn_model_covisit, &data, "tau=3 rho=.5 b=.3 power=1 cross=.25 lift=3");
  for (uint32_t k = 0; k < 4; k++) naive_of(&data, &r, 1u << k, part[k]);
  uint32_t told = 0;
  for (uint32_t i = 0; i < ITEMS; i++) {
    for (uint8_t level = 0; level < 2; level++) {
      const uint8_t type = level ? 5 : 0;
      wn_history_entry one = {i, 1, 5};
      wn_query query = {.history = &one,
                        .history_type = &type,
                        .history_len = 1,
                        .user = WN_NO_IX,
                        .anchor = WN_NO_IX};
      float got[ITEMS], without[ITEMS];
      assert_ok(model->cls->score_all(model, &query, got, ITEMS, err));
      assert_ok(plain->cls->score_all(plain, &query, without, ITEMS, err));
      for (uint32_t j = 0; j < ITEMS; j++) {
        double want = 0, sum = all[i * ITEMS + j];
        for (uint32_t k = 0; k < 4; k++)
          want += part[k][i * ITEMS + j] * (k / 2 == level ? 1 : .25) * (k % 2 ? 3 : 1);
        assert_true(want > 0 ? fabs(want - (double)got[j]) < 1e-5 * want : got[j] == -INFINITY);
        assert_true(sum > 0 ? fabs(sum - (double)without[j]) < 1e-5 * sum
                            : without[j] == -INFINITY);
        told += want > 0 && fabs(want - sum) > .01 * sum;
      }
    }
  }
  assert_true(told > ITEMS);
  plain->cls->free(plain);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* What is not given follows from how often the items of events are met. */
static void test_density(void **state) {
  (void)state;
  static const struct {
    uint32_t users;
    double rho, a, b, power;
  } want[] = {{0, .3, .5, .2, .7},
              {100, .3, .5, .2, .7},
              {200, .15, .6, .275, .6},
              {400, 0, .7, .35, .5},
              {900, 0, .7, .35, .5}};
  static fact facts[900];
  for (size_t k = 0; k < sizeof want / sizeof *want; k++) {
    wn_dataset data;
    for (uint32_t u = 0; u < want[k].users; u++) facts[u] = (fact){u, 0, 1, 5};
    dataset_of(facts, want[k].users, 900, 3, &data);
    wn_model *model = fit(&wn_model_covisit, &data, "");
    const wn_covisit_head *h = &((wn_covisit *)model)->head;
    assert_true(fabs(h->rho - want[k].rho) + fabs(h->a - want[k].a) + fabs(h->b - want[k].b) +
                    fabs(h->power - want[k].power) <
                1e-9);
    model->cls->free(model);
    model = fit(&wn_model_covisit, &data, "rho=0.9 a=0 b=2");
    h = &((wn_covisit *)model)->head;
    assert_true(h->rho > .89 && h->a == 0 && h->b > 1.9);
    model->cls->free(model);
    wn_dataset_clear(&data);
  }
}

/* Without an order all of a history counts alike, and sums are right. */
static void test_no_order(void **state) {
  (void)state;
  for (int timeless = 0; timeless < 2; timeless++) {
    wn_dataset data;
    make_data(&data, 39, timeless);
    wn_model *model = fit(&wn_model_covisit, &data, "");
    assert_true(((wn_covisit *)model)->head.power == (timeless ? 1 : .7));
    model->cls->free(model);
    wn_dataset_clear(&data);
  }
}

static void check_twins(const wn_model *model, uint32_t items) {
  wn_history_entry history[4] = {{3, 1, 40}, {0, -2, 30}, {9, 2.5f, 20}, {UINT32_MAX - 1, 1, 10}};
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, items));
  for (uint32_t i = 0; i < items; i += 3) wn_bitset_set(&allowed, i);
  for (int filter = 0; filter < 2; filter++) {
    for (uint32_t anchor = 0; anchor < 50; anchor += 7) {
      wn_query query = {.anchor = anchor, .user = WN_NO_IX, .allowed = filter ? &allowed : NULL};
      assert_twins(model, &query, items);
      query.history = history;
      query.history_len = 4;
      assert_twins(model, &query, items);
    }
  }
  wn_bitset_clear(&allowed);
}

static void test_twins(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 34, false);
  wn_model *model = fit(&wn_model_covisit, &data, "");
  check_twins(model, ITEMS);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

/* Many items, so that sums go through the hash table. */
static void test_twins_sparse(void **state) {
  (void)state;
  enum { MANY = 50000 };
  fact facts[USERS * 30];
  wn_dataset data;
  size_t n = random_facts(35, USERS, ITEMS, 30, facts);
  for (size_t i = 0; i < n; i++)
    facts[i].item = facts[i].item < 10 ? facts[i].item : facts[i].item * 1000;
  dataset_of(facts, n, USERS, MANY, &data);
  wn_model *model = fit(&wn_model_covisit, &data, "");
  check_twins(model, MANY);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

static void test_threads_and_snapshot(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 36, false);
  char path[128];
  wn_model *one = fit_threads(&wn_model_covisit, &data, "", 1);
  wn_model *two = fit_threads(&wn_model_covisit, &data, "", 2);
  assert_same_model(one, two);
  save_to(one, scratch_path("covisit.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_covisit, path, &snapshot);
  assert_same_model(one, mapped);
  check_twins(mapped, ITEMS);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  one->cls->free(one);
  two->cls->free(two);
  wn_dataset_clear(&data);
}

static void fit_and_ask(const fact *facts, size_t n, uint32_t users, uint32_t items,
                        size_t expected) {
  wn_dataset data;
  char path[128];
  dataset_of(facts, n, users, items, &data);
  wn_model *model = fit(&wn_model_covisit, &data, "");
  save_to(model, scratch_path("edge.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(&wn_model_covisit, path, &snapshot);
  wn_query query = {.anchor = 0, .user = WN_NO_IX};
  wn_scored *out = wn_calloc(items + 1, sizeof *out);
  size_t count = 99;
  assert_ok(mapped->cls->candidates(mapped, &query, items, out, &count, err));
  assert_int_equal(count, expected);
  wn_free(out);
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

static void test_edges(void **state) {
  (void)state;
  const fact one[1] = {{0, 0, 1, 5}}, two[2] = {{0, 0, 1, 5}, {0, 1, 1, 6}};
  const fact negative[2] = {{0, 0, 1, 5}, {0, 1, -1, 6}};
  const fact tiny[3] = {{0, 0, 1e-44f, 5}, {0, 1, 1e-44f, 6}, {0, 2, 1, 7}};
  const fact huge[2] = {{0, 0, 3e38f, 5}, {0, 1, 3e38f, 6}};
  fit_and_ask(NULL, 0, 0, 0, 0);
  fit_and_ask(NULL, 0, 3, 4, 0);
  fit_and_ask(one, 1, 1, 1, 0);
  fit_and_ask(two, 2, 1, 2, 1);
  fit_and_ask(negative, 2, 1, 2, 0);
  fit_and_ask(tiny, 3, 1, 3, 2);
  fit_and_ask(huge, 2, 1, 2, 1);
}

/* 10⁵ items of one user, in one basket and one by one: only the newest row_max count. */
static void test_long_row(void **state) {
  (void)state;
  enum { MANY = 100000 };
  fact *facts = wn_calloc(MANY, sizeof *facts);
  for (int timeless = 0; timeless < 2; timeless++) {
    for (uint32_t i = 0; i < MANY; i++) {
      facts[i] = (fact){0, MANY - 1 - i, 1, timeless ? 1 : i}; /* item 0 is the newest */
    }
    fit_and_ask(facts, MANY, 1, MANY, timeless ? 200 : 20);
  }
  wn_free(facts);
}

static void test_no_memory(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 37, false);
  check_no_memory(&wn_model_covisit, &data, "");
  wn_dataset_clear(&data);
}

static void test_bad_sections(void **state) {
  (void)state;
  wn_covisit_head head = {.version = 4, .items = 2, .rho = .5};
  uint64_t ptr[3] = {0, 1, 2};
  uint32_t col[2] = {1, 0}, users[2] = {3, 0};
  float weight[2] = {1, 2};
  char path[128];
  scratch_path("bad.wns", path, sizeof path);
  for (int bad = 0; bad < 22; bad++) {
    head.version = bad == 1 ? 3 : 4;
    head.history_max = bad == 2 ? 0 : bad == 3 ? WN_HISTORY_MAX + 1 : 100;
    head.tau_query = bad == 4 ? NAN : 3;
    ptr[1] = bad == 5 ? 3 : 1;
    col[1] = bad == 6 ? 2 : 0;
    weight[0] = bad == 7 ? INFINITY : 1;
    head.items = bad == 8 ? UINT32_MAX : 2;
    head.window = bad == 9 ? WN_COVISIT_WINDOW_MAX + 1 : 20;
    head.neighbours = bad == 10 ? WN_COVISIT_NEIGHBOURS_MAX + 1 : 3;
    head.row_max = bad == 11 ? 0 : 500;
    head.tau = bad == 12 ? 0 : 3;
    head.a = bad == 13 ? -1 : .5;
    head.b = bad == 14 ? INFINITY : .5;
    head.level_bits = bad == 16 ? 3 : bad == 17 ? 1 : 0;
    head.cross = bad == 18 ? NAN : 1;
    head.half_life_ms = bad == 19 ? -1 : bad == 20 ? 1e6 : 0; /* 20: no epochs */
    head.power = bad == 21 ? -.5 : 1;
    size_t counts = bad == 15 ? 1 : 2;
    wn_snapshot_writer *writer = NULL;
    assert_ok(wn_snapshot_writer_create(path, &writer, err));
    assert_ok(wn_snapshot_write(writer, "covisit/head", &head, sizeof head, err));
    assert_ok(wn_snapshot_write(writer, "covisit/row_ptr", ptr, sizeof ptr, err));
    assert_ok(wn_snapshot_write(writer, "covisit/col", col, sizeof col, err));
    assert_ok(wn_snapshot_write(writer, "covisit/weight", weight, sizeof weight, err));
    assert_ok(wn_snapshot_write(writer, "covisit/count", users, counts * sizeof *users, err));
    wn_snapshot_about about = {.number = 1};
    assert_ok(wn_snapshot_writer_finish(writer, &about, err));
    wn_snapshot *snapshot;
    wn_model *model = NULL;
    assert_ok(wn_snapshot_open(path, &snapshot, err));
    assert_int_equal(wn_model_covisit.map(snapshot, &model, NULL), bad == 20 ? WN_E_NOT_FOUND
                                                                   : bad     ? WN_E_CORRUPT
                                                                             : WN_OK);
    if (model != NULL) model->cls->free(model);
    wn_snapshot_unref(snapshot);
    unlink(path);
  }
}

/* Golden on LightGCN's gowalla split (no times). */
static void test_gowalla(void **state) {
  (void)state;
  wn_dataset train, test;
  if (!load_adjacency("gowalla-lightgcn/train.txt.xz", 29858, 40981, &train)) skip();
  assert_true(load_adjacency("gowalla-lightgcn/test.txt.xz", 29858, 40981, &test));
  /* The order of its lines means nothing: one basket a user. */
  for (uint64_t i = 0; i < train.by_user.nnz; i++) train.by_user.time_ms[i] = 1;
  uint64_t begin = wn_mono_ns();
  wn_model *model = fit(&wn_model_covisit, &train, "");
  double seconds = (double)(wn_mono_ns() - begin) / 1e9;
  quality q = measure(model, &train, &test, 10);
  print_message("gowalla: recall@20 %.4f ndcg@20 %.4f over %u users, fit %.2f s\n", q.recall,
                q.ndcg, q.users, seconds);
  assert_true(q.recall > 0.178 && q.ndcg > 0.145);
  model->cls->free(model);
  wn_dataset_clear(&train);
  wn_dataset_clear(&test);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_formula),      cmocka_unit_test(test_personal),
      cmocka_unit_test(test_levels),       cmocka_unit_test(test_density),
      cmocka_unit_test(test_no_order),     cmocka_unit_test(test_twins),
      cmocka_unit_test(test_twins_sparse), cmocka_unit_test(test_threads_and_snapshot),
      cmocka_unit_test(test_edges),        cmocka_unit_test(test_long_row),
      cmocka_unit_test(test_no_memory),    cmocka_unit_test(test_bad_sections),
      cmocka_unit_test(test_gowalla),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
