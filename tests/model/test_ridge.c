/* ridge, ridge-seq and ease against dense twins that follow the formulas. */
#include "fitting.h"

#include "model/linalg.h"

#define USERS 150u /* so that some items are in the head (ridge_fit.c), others not */
#define ITEMS 30u

typedef struct rule {
  double lambda, user_exponent, power;
  bool ordered;
  double tau, hours, dropout;
} rule;

/* ---- naive ---- */

/* Gauss–Jordan with partial pivoting: A (n × n) ← A⁻¹. */
static void invert(double *A, size_t n) {
  double *B = wn_calloc(n * n + 1, sizeof *B);
  for (size_t i = 0; i < n; i++) B[i * n + i] = 1;
  for (size_t c = 0; c < n; c++) {
    size_t best = c;
    for (size_t r = c; r < n; r++)
      if (fabs(A[r * n + c]) > fabs(A[best * n + c])) best = r;
    for (size_t k = 0; k < n; k++) {
      double a = A[c * n + k], b = B[c * n + k];
      A[c * n + k] = A[best * n + k], A[best * n + k] = a;
      B[c * n + k] = B[best * n + k], B[best * n + k] = b;
    }
    double pivot = A[c * n + c];
    for (size_t k = 0; k < n; k++) A[c * n + k] /= pivot, B[c * n + k] /= pivot;
    for (size_t r = 0; r < n; r++) {
      double f = A[r * n + c];
      for (size_t k = 0; r != c && k < n; k++) {
        A[r * n + k] -= f * A[c * n + k];
        B[r * n + k] -= f * B[c * n + k];
      }
    }
  }
  memcpy(A, B, n * n * sizeof *A);
  wn_free(B);
}

/* Mean square 1 before users are divided. */
static double value_scale(const wn_csr *csr, double power) {
  double square = 0, n = 0;
  for (uint64_t i = 0; i < csr->nnz; i++) {
    if (!(csr->weight[i] > 0)) continue;
    square += pow((double)csr->weight[i], 2 * power);
    n++;
  }
  return n > 0 ? sqrt(n / square) : 1;
}

typedef struct row {
  uint32_t n, item[256];
  double x[256], clock[256];
  int64_t time[256];
} row;

static void row_of(const wn_csr *csr, uint32_t user, const rule *r, row *out) {
  double scale = value_scale(csr, r->power);
  out->n = 0;
  for (uint64_t i = csr->row_ptr[user]; i < csr->row_ptr[user + 1]; i++) {
    if (!(csr->weight[i] > 0)) continue;
    uint32_t k = out->n++;
    out->item[k] = csr->col[i];
    out->x[k] = scale * pow((double)csr->weight[i], r->power);
    out->time[k] = csr->time_ms[i];
    out->clock[k] = 0;
    if (k == 0) continue;
    out->clock[k] = out->clock[k - 1] + (out->time[k] != out->time[k - 1]) / r->tau;
    if (r->hours > 0) {
      out->clock[k] += (double)(out->time[k] - out->time[k - 1]) / 3.6e6 / r->hours;
    }
  }
  for (uint32_t k = 0; k < out->n; k++) out->x[k] *= pow(out->n, -r->user_exponent);
}

/* Weights end at exp(−12). */
static double faded(double gone) {
  return gone < 12 ? exp(-gone) : 0;
}

/* G and K, prefix by prefix. */
static void naive(const wn_dataset *data, const rule *r, double *G, double *K) {
  uint32_t I = data->items;
  memset(G, 0, sizeof *G * I * I);
  memset(K, 0, sizeof *K * I * I);
  for (uint32_t u = 0; u < data->users; u++) {
    static row w;
    row_of(&data->by_user, u, r, &w);
    for (uint32_t p = 0; p < w.n && !r->ordered; p++)
      for (uint32_t q = 0; q < w.n; q++) G[w.item[p] * I + w.item[q]] += w.x[p] * w.x[q];
    for (uint32_t t = 0; t < w.n && r->ordered; t++) {
      double at[256];
      for (uint32_t p = 0; p < w.n; p++)
        at[p] = w.time[p] < w.time[t] ? w.x[p] * faded(w.clock[t] - w.clock[p]) : 0;
      for (uint32_t p = 0; p < w.n; p++) {
        K[w.item[p] * I + w.item[t]] += at[p] * w.x[t];
        for (uint32_t q = 0; q < w.n; q++) G[w.item[p] * I + w.item[q]] += at[p] * at[q];
      }
    }
  }
  if (!r->ordered) memcpy(K, G, sizeof *G * I * I);
}

/* W[i][j] by source, with each target's sources limited to the k nearest. */
static void naive_weights(const wn_dataset *data, const rule *r, uint32_t k, double *W) {
  uint32_t I = data->items;
  double *G = wn_calloc((size_t)I * I + 1, sizeof *G), *K = wn_calloc((size_t)I * I + 1, sizeof *K);
  double *A = wn_calloc((size_t)I * I + 1, sizeof *A);
  naive(data, r, G, K);
  memset(W, 0, sizeof *W * I * I);
  for (uint32_t j = 0; j < I; j++) {
    uint32_t S[ITEMS * 2], n = 0;
    bool in[ITEMS * 2] = {false};
    for (; n < k; n++) {
      double best = 0;
      S[n] = I;
      for (uint32_t i = 0; i < I; i++) {
        double near = K[i * I + j] / sqrt(G[i * I + i]);
        if (i == j || in[i] || !(K[i * I + j] > 0) || !(near > best)) continue;
        best = near;
        S[n] = i;
      }
      if (S[n] == I) break;
      in[S[n]] = true;
    }
    for (uint32_t p = 0; p < n; p++)
      for (uint32_t q = 0; q < n; q++)
        A[p * n + q] =
            G[S[p] * I + S[q]] * (p == q ? 1 / (1 - r->dropout) : 1) + (p == q) * r->lambda;
    invert(A, n);
    for (uint32_t p = 0; p < n; p++)
      for (uint32_t q = 0; q < n; q++) W[S[p] * I + j] += A[p * n + q] * K[S[q] * I + j];
  }
  wn_free(G);
  wn_free(K);
  wn_free(A);
}

/* ---- against the models ---- */

static const char *text_of(const rule *r, uint32_t k, char *buf, size_t size) {
  int n = snprintf(buf, size, "lambda=%g user_exponent=%g power=%g", r->lambda, r->user_exponent,
                   r->power);
  if (k > 0) n += snprintf(buf + n, size - (size_t)n, " k=%u dropout=%g", k, r->dropout);
  if (r->ordered) snprintf(buf + n, size - (size_t)n, " tau=%g hours=%g", r->tau, r->hours);
  return buf;
}

/* An anchor's scores are its row; sparse models answer with the positive part. */
static void assert_rows(const wn_model *model, const double *W, uint32_t items, bool positive) {
  float *scores = wn_calloc((size_t)items + 1, sizeof *scores);
  double largest = 0;
  for (size_t i = 0; i < (size_t)items * items; i++) largest = fmax(largest, fabs(W[i]));
  for (uint32_t i = 0; i < items; i++) {
    wn_query query = {.anchor = i, .user = WN_NO_IX};
    assert_ok(model->cls->score_all(model, &query, scores, items, err));
    for (uint32_t j = 0; j < items; j++) {
      double want = W[i * items + j], got = (double)scores[j], error = 2e-5 * largest;
      if (i == j || got == -INFINITY) {
        assert_true(got == -INFINITY);
        assert_true(i == j || (positive ? want <= error : want == 0));
      } else if (!(fabs(want - got) <= error)) {
        fail_msg("W[%u][%u] is %g, expected %g", i, j, got, want);
      }
    }
  }
  wn_free(scores);
}

static void make_data(wn_dataset *data, uint64_t seed, int64_t apart_ms) {
  static fact facts[USERS * 25];
  size_t n = random_facts(seed, USERS - 1, ITEMS - 1, 25, facts);
  for (size_t i = 0; i < n; i++) facts[i].time_ms = 1000 + (facts[i].time_ms - 1000) * apart_ms;
  facts[2].weight = -2;
  facts[9].weight = -1;
  dataset_of(facts, n, USERS, ITEMS, data);
}

static void check_rule(const wn_dataset *data, const rule *r, uint32_t k) {
  static double W[ITEMS * ITEMS];
  char buf[256];
  const wn_model_class *cls = r->ordered ? &wn_model_ridge_seq : &wn_model_ridge;
  wn_model *model = fit(cls, data, text_of(r, k, buf, sizeof buf));
  naive_weights(data, r, k, W);
  assert_rows(model, W, ITEMS, true);
  model->cls->free(model);
}

static void test_formula(void **state) {
  (void)state;
  const rule rules[] = {
      {10, .25, .5, false, 1, 0, 0}, {1, 0, 0, false, 1, 0, 0},  {300, .5, 1, false, 1, 0, 0},
      {10, 0, .5, true, 4, 0, 0},    {1, .25, 0, true, 1, 0, 0}, {5, 0, 1, true, 3, 0, 0},
      {5, 0, .5, true, 2, 24, 0},    {5, 0, .5, true, .3, 0, 0}, {5, 0, .5, true, 1e6, 0, 0},
      {5, 0, .5, true, .02, 0, 0},   {5, 0, .5, true, 3, 10, 0}, {5, 0, .5, true, 3, 0, .4},
      {5, 0, .5, false, 3, 0, .2}};
  wn_dataset data;
  make_data(&data, 71, 500000);
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    check_rule(&data, &rules[i], ITEMS);
    check_rule(&data, &rules[i], 5);
    check_rule(&data, &rules[i], 1);
  }
  wn_dataset_clear(&data);
}

/* B = −P/diag(P), and ridge with all items for sources is the same. */
static void test_ease(void **state) {
  (void)state;
  static double P[ITEMS * ITEMS], K[ITEMS * ITEMS], W[ITEMS * ITEMS];
  const rule rules[] = {{10, 0, .5, false, 1, 0, 0}, {300, .25, 1, false, 1, 0, 0}};
  wn_dataset data;
  make_data(&data, 72, 1);
  for (size_t i = 0; i < 2; i++) {
    char buf[256];
    naive(&data, &rules[i], P, K);
    bool seen[ITEMS];
    for (uint32_t k = 0; k < ITEMS; k++) seen[k] = P[k * ITEMS + k] > 0;
    for (uint32_t k = 0; k < ITEMS; k++) P[k * ITEMS + k] += rules[i].lambda;
    invert(P, ITEMS);
    for (uint32_t a = 0; a < ITEMS; a++)
      for (uint32_t b = 0; b < ITEMS; b++)
        W[a * ITEMS + b] = a != b && seen[a] && seen[b] ? -P[a * ITEMS + b] / P[b * ITEMS + b] : 0;
    wn_model *dense = fit(&wn_model_ease, &data, text_of(&rules[i], 0, buf, sizeof buf));
    wn_model *sparse = fit(&wn_model_ridge, &data, text_of(&rules[i], ITEMS, buf, sizeof buf));
    assert_rows(dense, W, ITEMS, false);
    /* the regression on all others; items that are never together are no sources of each other */
    static double full[ITEMS * ITEMS];
    bool complete = true;
    for (uint32_t a = 0; a < ITEMS; a++)
      for (uint32_t b = 0; b < ITEMS; b++) complete &= !seen[a] || !seen[b] || K[a * ITEMS + b] > 0;
    naive_weights(&data, &rules[i], ITEMS, full);
    for (size_t w = 0; complete && w < ITEMS * ITEMS; w++) assert_true(fabs(full[w] - W[w]) < 1e-9);
    assert_rows(sparse, full, ITEMS, true);
    dense->cls->free(dense);
    sparse->cls->free(sparse);
  }
  wn_dataset_clear(&data);
}

/* Every pair of items is together at least once: there ridge with all sources is EASE itself. */
static void test_ridge_is_ease(void **state) {
  (void)state;
  enum { N = 12, PEOPLE = 40 };
  static fact facts[PEOPLE * N];
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  size_t n = 0;
  for (uint32_t u = 0; u < PEOPLE; u++)
    for (uint32_t i = 0; i < N; i++)
      if (u == 0 || wn_rng_double(&rng) < .4) facts[n++] = (fact){u, i, 1, 5};
  wn_dataset data;
  dataset_of(facts, n, PEOPLE, N, &data);
  wn_model *dense = fit(&wn_model_ease, &data, "lambda=2");
  wn_model *sparse = fit(&wn_model_ridge, &data, "lambda=2 user_exponent=0 k=12 dropout=0");
  float a[N], b[N];
  for (uint32_t i = 0; i < N; i++) {
    wn_query query = {.anchor = i, .user = WN_NO_IX};
    assert_ok(dense->cls->score_all(dense, &query, a, N, err));
    assert_ok(sparse->cls->score_all(sparse, &query, b, N, err));
    for (uint32_t j = 0; j < N; j++) {
      if (i != j && b[j] > -INFINITY) assert_true(fabsf(a[j] - b[j]) < 1e-5f);
      if (i != j && b[j] == -INFINITY) assert_true(a[j] < 1e-5f);
    }
  }
  dense->cls->free(dense);
  sparse->cls->free(sparse);
  wn_dataset_clear(&data);
}

/* Sizes around the panels, against the identity. */
static void test_inverse(void **state) {
  (void)state;
  const size_t sizes[] = {0, 1, 2, 31, 32, 33, 64, 95, 130};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    size_t n = sizes[s];
    wn_rng rng;
    wn_rng_seed(&rng, 90 + s);
    float *A = wn_calloc(n * n + 1, sizeof *A), *first = wn_calloc(n * n + 1, sizeof *first);
    double *twin = wn_calloc(n * n + 1, sizeof *twin);
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j <= i; j++)
        twin[i * n + j] = twin[j * n + i] =
            wn_rng_double(&rng) - .5 + (i == j ? 4 + (double)n / 8 : 0);
    for (int threads = 1; threads <= 3; threads++) {
      wn_pool *pool = wn_pool_create(threads);
      for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) A[i * n + j] = j <= i ? (float)twin[i * n + j] : 1e30f;
      assert_ok(wn_inverse(pool, A, n, 1e-6f, err));
      wn_pool_free(pool);
      if (threads == 1) memcpy(first, A, n * n * sizeof *A);
      assert_memory_equal(A, first, n * n * sizeof *A);
    }
    invert(twin, n);
    for (size_t i = 0; i < n * n; i++) assert_true(fabs(twin[i] - (double)A[i]) < 1e-5);
    wn_free(A);
    wn_free(first);
    wn_free(twin);
  }
}

/* ---- queries ---- */

static void test_personal(void **state) {
  (void)state;
  static double W[ITEMS * ITEMS];
  const rule r[] = {{10, .25, .5, false, 1, 0, 0}, {10, 0, .5, true, 4, 2, 0}};
  wn_history_entry history[6] = {{5, 1, 9000000}, {7, 4, 9000000},   {2, -1, 8000000},
                                 {0, 2, 7000000}, {900, 1, 6000000}, {3, 1, 5000000}};
  wn_query query = {.history = history, .history_len = 6, .user = WN_NO_IX, .anchor = 9};
  wn_dataset data;
  make_data(&data, 73, 500000);
  for (size_t m = 0; m < 2; m++) {
    char buf[256], text[300];
    float scores[ITEMS];
    snprintf(text, sizeof text, "%s%s", text_of(&r[m], ITEMS, buf, sizeof buf),
             m > 0 ? " tau_query=2" : "");
    wn_model *model = fit(m > 0 ? &wn_model_ridge_seq : &wn_model_ridge, &data, text);
    naive_weights(&data, &r[m], ITEMS, W);
    assert_ok(model->cls->score_all(model, &query, scores, ITEMS, err));
    double a = m > 0 ? exp(-.5 - 2e6 / 3.6e6 / 2) : 1, b = m > 0 ? exp(-1 - 4e6 / 3.6e6 / 2) : 1;
    for (uint32_t j = 0; j < ITEMS; j++) {
      double want =
          W[5 * ITEMS + j] + 2 * W[7 * ITEMS + j] + sqrt(2) * a * W[j] + b * W[3 * ITEMS + j];
      if (scores[j] > -INFINITY) {
        assert_true(fabs(want - (double)scores[j]) < 2e-5);
      } else {
        assert_true(want < 2e-5);
      }
    }
    model->cls->free(model);
  }
  wn_dataset_clear(&data);
}

static const wn_model_class *const classes[] = {&wn_model_ridge, &wn_model_ridge_seq,
                                                &wn_model_ease};
#define CLASSES (sizeof classes / sizeof *classes)

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

static void test_threads_and_snapshot(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 74, 1);
  for (size_t c = 0; c < CLASSES; c++) {
    char path[128];
    wn_model *one = fit_threads(classes[c], &data, "", 1);
    wn_model *three = fit_threads(classes[c], &data, "", 3);
    assert_same_model(one, three);
    save_to(one, scratch_path("ridge.wns", path, sizeof path));
    wn_snapshot *snapshot;
    wn_model *mapped = map_from(classes[c], path, &snapshot);
    assert_same_model(one, mapped);
    check_twins(one, ITEMS);
    check_twins(mapped, ITEMS);
    mapped->cls->free(mapped);
    wn_snapshot_unref(snapshot);
    unlink(path);
    one->cls->free(one);
    three->cls->free(three);
  }
  wn_dataset_clear(&data);
}

/* Many items, so that sums go through the hash table. */
static void test_twins_sparse(void **state) {
  (void)state;
  enum { MANY = 50000 };
  static fact facts[USERS * 25];
  wn_dataset data;
  size_t n = random_facts(75, USERS, ITEMS, 25, facts);
  for (size_t i = 0; i < n; i++)
    facts[i].item = facts[i].item < 10 ? facts[i].item : facts[i].item * 1000;
  dataset_of(facts, n, USERS, MANY, &data);
  for (size_t c = 0; c < CLASSES; c++) {
    wn_model *model = fit(classes[c], &data, "");
    check_twins(model, MANY);
    model->cls->free(model);
  }
  wn_dataset_clear(&data);
}

/* ---- edges ---- */

static void fit_and_ask(const wn_model_class *cls, const fact *facts, size_t n, uint32_t users,
                        uint32_t items) {
  wn_dataset data;
  char path[128];
  dataset_of(facts, n, users, items, &data);
  wn_model *model = fit(cls, &data, "");
  save_to(model, scratch_path("edge.wns", path, sizeof path));
  wn_snapshot *snapshot;
  wn_model *mapped = map_from(cls, path, &snapshot);
  assert_same_model(model, mapped);
  for (uint32_t i = 0; i < items; i++) {
    wn_query query = {.anchor = i, .user = WN_NO_IX};
    assert_twins(mapped, &query, items);
  }
  mapped->cls->free(mapped);
  wn_snapshot_unref(snapshot);
  unlink(path);
  model->cls->free(model);
  wn_dataset_clear(&data);
}

static void test_edges(void **state) {
  (void)state;
  const fact one[1] = {{0, 0, 1, 5}}, two[2] = {{0, 0, 1, 5}, {0, 1, 1, 6}};
  const fact negative[2] = {{0, 0, -1, 5}, {0, 1, -3, 6}};
  const fact same[4] = {{0, 0, 3, 5}, {0, 1, 3, 5}, {1, 0, 3, 5}, {1, 1, 3, 5}};
  const fact tiny[3] = {{0, 0, 1e-44f, 5}, {0, 1, 1e-44f, 6}, {0, 2, 1, 7}};
  const fact huge[2] = {{0, 0, 3e38f, INT64_MIN}, {0, 1, 3e38f, INT64_MAX}};
  const fact gap[4] = {{0, 0, 1, 5}, {2, 0, 1, 5}, {2, 3, 1, 9}, {2, 1, 1, 12}};
  for (size_t c = 0; c < CLASSES; c++) {
    fit_and_ask(classes[c], NULL, 0, 0, 0);
    fit_and_ask(classes[c], NULL, 0, 3, 4);
    fit_and_ask(classes[c], one, 1, 1, 1);
    fit_and_ask(classes[c], two, 2, 1, 2);
    fit_and_ask(classes[c], negative, 2, 1, 2);
    fit_and_ask(classes[c], same, 4, 2, 2);
    fit_and_ask(classes[c], tiny, 3, 1, 3);
    fit_and_ask(classes[c], huge, 2, 1, 2);
    fit_and_ask(classes[c], gap, 4, 4, 5);
  }
}

/* A user's older items do not count; with row_max 2 the pair of the last two is left. */
static void test_row_max(void **state) {
  (void)state;
  const fact facts[4] = {{0, 0, 1, 5}, {0, 1, 1, 6}, {0, 2, -1, 7}, {0, 3, 1, 8}};
  for (size_t c = 0; c < CLASSES; c++) {
    wn_dataset data;
    float scores[4];
    dataset_of(facts, 4, 1, 4, &data);
    wn_model *model = fit(classes[c], &data, "row_max=2");
    wn_query query = {.anchor = 1, .user = WN_NO_IX};
    assert_ok(model->cls->score_all(model, &query, scores, 4, err));
    assert_true(scores[3] > 0 && scores[0] == -INFINITY && scores[2] == -INFINITY);
    query.anchor = 3; /* nothing comes after the last item */
    assert_ok(model->cls->score_all(model, &query, scores, 4, err));
    assert_true((scores[1] > 0) == (classes[c] != &wn_model_ridge_seq));
    model->cls->free(model);
    wn_dataset_clear(&data);
  }
}

/* A user with very many items costs row_max², not their square. */
static void test_long_row(void **state) {
  (void)state;
  enum { LONG = 200000, KEPT = 150 };
  fact *facts = wn_calloc(LONG, sizeof *facts);
  float *scores = wn_calloc(LONG, sizeof *scores);
  for (uint32_t i = 0; i < LONG; i++) facts[i] = (fact){0, i, 1, i};
  wn_dataset data;
  dataset_of(facts, LONG, 1, LONG, &data);
  for (size_t c = 0; c < CLASSES; c++) {
    wn_model *model = fit(classes[c], &data, "row_max=150");
    wn_query query = {.anchor = LONG - KEPT, .user = WN_NO_IX};
    assert_ok(model->cls->score_all(model, &query, scores, LONG, err));
    assert_true(scores[LONG - KEPT + 1] > 0);
    for (uint32_t i = 0; i < LONG - KEPT; i++) assert_true(scores[i] == -INFINITY);
    model->cls->free(model);
  }
  wn_dataset_clear(&data);
  wn_free(facts);
  wn_free(scores);
}

static void test_ease_refuses(void **state) {
  (void)state;
  enum { N = 15001 };
  fact *facts = wn_calloc(N, sizeof *facts);
  for (uint32_t i = 0; i < N; i++) facts[i] = (fact){i, i, 1, 1};
  wn_dataset data;
  dataset_of(facts, N, N, N, &data);
  wn_params params = params_of(&wn_model_ease, "");
  wn_pool *pool = wn_pool_create(1);
  wn_fit_env env = {.pool = pool};
  wn_model *model = NULL;
  wn_error error = {0};
  assert_int_equal(wn_model_ease.fit(&data, &params, &env, &model, &error), WN_E_UNSUPPORTED);
  assert_null(model);
  assert_non_null(strstr(error.message, "15001") ? strstr(error.message, "ridge") : NULL);
  wn_pool_free(pool);
  wn_dataset_clear(&data);
  wn_free(facts);
}

static bool stop(void *ctx, const char *stage, double done, double total, const char *unit) {
  (void)stage, (void)unit;
  assert_true(done >= 0 && done <= total);
  return --*(int *)ctx > 0;
}

/* Each report of progress may cancel; each allocation may fail. */
static void test_interrupted(void **state) {
  (void)state;
  wn_dataset data;
  make_data(&data, 76, 1);
  wn_pool *pool = wn_pool_create(1);
  for (size_t c = 0; c < CLASSES; c++) {
    wn_params params = params_of(classes[c], "");
    wn_model *model = NULL;
    wn_error error;
    for (int calls = 1;; calls++) {
      int left = calls;
      wn_progress progress = {&left, stop};
      wn_fit_env env = {.pool = pool, .progress = &progress};
      wn_status status = classes[c]->fit(&data, &params, &env, &model, &error);
      if (status == WN_OK) break;
      assert_int_equal(status, WN_E_CANCELLED);
      assert_true(calls < 10);
    }
    model->cls->free(model);
    for (long n = 0;; n++) {
      wn_fit_env env = {.pool = pool};
      wn_mem_fail_after(n);
      wn_status status = classes[c]->fit(&data, &params, &env, &model, &error);
      wn_mem_fail_after(-1);
      if (status == WN_OK) break;
      assert_int_equal(status, WN_E_MEMORY);
      assert_true(n < 100);
    }
    model->cls->free(model);
  }
  wn_pool_free(pool);
  wn_dataset_clear(&data);
}

/* ---- corrupt snapshots ---- */

typedef struct part {
  const char *name;
  uint64_t bytes;
  unsigned char data[32768];
} part;

/* Copies a model's sections, lets one be changed, and expects a refusal that names it. */
static void refuse(const wn_model_class *cls, const wn_snapshot *good, const char *name, size_t at,
                   uint64_t value, size_t width) {
  char path[128];
  wn_snapshot_writer *writer = NULL;
  wn_snapshot *bad = NULL;
  assert_ok(wn_snapshot_writer_create(scratch_path("bad.wns", path, sizeof path), &writer, err));
  for (size_t i = 0; i < wn_snapshot_section_count(good); i++) {
    static part p;
    const void *data = NULL;
    uint64_t n = 0;
    wn_snapshot_section_at(good, i, &p.name, &p.bytes);
    if (strchr(p.name, '/') == NULL) continue;
    assert_ok(wn_snapshot_section(good, p.name, 1, &data, &n, err));
    assert_true(n <= sizeof p.data);
    memcpy(p.data, data, n);
    if (strcmp(p.name, name) == 0) {
      assert_true(at + width <= n);
      if (width > 0) memcpy(p.data + at, &value, width);
      if (width == 0) n -= 4;
    }
    assert_ok(wn_snapshot_write(writer, p.name, p.data, n, err));
  }
  wn_snapshot_about about = {.number = 1};
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
  assert_ok(wn_snapshot_open(path, &bad, err));
  wn_model *model = NULL;
  wn_error error = {0};
  assert_int_equal(cls->map(bad, &model, &error), WN_E_CORRUPT);
  assert_null(model);
  wn_snapshot_unref(bad);
  unlink(path);
}

static void test_corrupt(void **state) {
  (void)state;
  const uint64_t nan = 0x7fc00000u;
  wn_dataset data;
  make_data(&data, 77, 1);
  for (size_t c = 0; c < CLASSES; c++) {
    const wn_model_class *cls = classes[c];
    char path[128], name[64];
    wn_snapshot *good;
    wn_model *model = fit(cls, &data, cls == &wn_model_ease ? "" : "k=8");
    save_to(model, scratch_path("good.wns", path, sizeof path));
    model->cls->free(model);
    model = map_from(cls, path, &good);
#define NAME(part) (snprintf(name, sizeof name, "%s/%s", cls->name, part), name)
    refuse(cls, good, NAME("head"), 0, 9, 4);         /* version */
    refuse(cls, good, NAME("head"), 4, ITEMS + 1, 4); /* items */
    refuse(cls, good, NAME("head"), 0, 0, 0);
    refuse(cls, good, NAME("weight"), 8, nan, 4);
    refuse(cls, good, NAME("weight"), 0, 0, 0);
    if (cls == &wn_model_ease) {
      refuse(cls, good, NAME("head"), 8, 3, 4);  /* active */
      refuse(cls, good, NAME("head"), 12, 0, 4); /* history_max */
      refuse(cls, good, NAME("head"), 16, 0x7ff8000000000000u, 8);
      refuse(cls, good, NAME("item_of"), 0, ITEMS, 4);
      refuse(cls, good, NAME("row_of"), 4, 0x7fffffff, 4);
      refuse(cls, good, NAME("row_of"), 4, WN_NO_IX, 4);
    } else {
      bool ordered = cls == &wn_model_ridge_seq;
      refuse(cls, good, NAME("head"), 12, 0, 4);        /* history_max */
      refuse(cls, good, NAME("head"), 16, 0, 4);        /* k */
      refuse(cls, good, NAME("head"), 56, 0, 4);        /* row_max */
      refuse(cls, good, NAME("head"), 60, !ordered, 4); /* ordered */
      for (size_t at = 24; at < 112; at += at == 48 ? 16 : 8)
        refuse(cls, good, NAME("head"), at, 0x7ff8000000000000u, 8);
      refuse(cls, good, NAME("diagonal"), 4, nan, 4);
      refuse(cls, good, NAME("mass"), 4, nan, 4);
      refuse(cls, good, NAME("share"), 0, nan, 4);
      refuse(cls, good, NAME("user_ptr"), 8, 0xffffffffu, 8);
      refuse(cls, good, NAME("item_ptr"), 8, 0xffffffffu, 8);
      refuse(cls, good, NAME("entry"), 8, ITEMS, 4);
      refuse(cls, good, NAME("entry"), 12, 0, 4);
      refuse(cls, good, NAME("owner"), 8, 0, 4); /* not above the one before */
      refuse(cls, good, NAME("owner"), 8, USERS, 4);
      if (ordered) refuse(cls, good, NAME("time_ms"), 0, INT64_MAX, 8);
      refuse(cls, good, NAME("col"), 0, ITEMS, 4);
      refuse(cls, good, NAME("col"), 0, 0, 0);
      refuse(cls, good, NAME("row_ptr"), 0, 1, 8);
      refuse(cls, good, NAME("row_ptr"), 16, UINT64_MAX, 8);
    }
#undef NAME
    model->cls->free(model);
    wn_snapshot_unref(good);
    unlink(path);
  }
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_formula),       cmocka_unit_test(test_ease),
      cmocka_unit_test(test_ridge_is_ease), cmocka_unit_test(test_inverse),
      cmocka_unit_test(test_personal),      cmocka_unit_test(test_threads_and_snapshot),
      cmocka_unit_test(test_twins_sparse),  cmocka_unit_test(test_edges),
      cmocka_unit_test(test_row_max),       cmocka_unit_test(test_long_row),
      cmocka_unit_test(test_ease_refuses),  cmocka_unit_test(test_interrupted),
      cmocka_unit_test(test_corrupt),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
