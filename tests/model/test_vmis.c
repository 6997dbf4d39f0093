#include "fitting.h"
#include "model/vmis.h"

#define USERS  60u
#define ITEMS  50u
#define MINUTE 60000

/* Users' facts with pauses: every few a longer one than half an hour. */
static size_t make_facts(uint64_t seed, fact *facts) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  size_t n = random_facts(seed, USERS - 1, ITEMS - 1, 30, facts);
  int64_t now = 0;
  for (size_t i = 0; i < n; i++) {
    if (i == 0 || facts[i].user != facts[i - 1].user) now = (int64_t)wn_rng_below(&rng, 100000);
    now += wn_rng_below(&rng, 4) == 0 ? 31 * MINUTE : (int64_t)wn_rng_below(&rng, 29 * MINUTE);
    facts[i].time_ms = now;
  }
  return n;
}

typedef struct naive_session {
  uint32_t item[64], len, user;
  int64_t end_ms;
  size_t first; /* fact */
} naive_session;

static size_t naive_sessions(const fact *f, size_t n, naive_session *out) {
  size_t m = 0;
  for (size_t i = 0; i < n; i++) {
    if (f[i].weight <= 0) continue;
    if (m == 0 || out[m - 1].user != f[i].user || f[i].time_ms - out[m - 1].end_ms > 30 * MINUTE)
      out[m++] = (naive_session){.user = f[i].user, .first = i};
    out[m - 1].item[out[m - 1].len++] = f[i].item;
    out[m - 1].end_ms = f[i].time_ms;
  }
  return m;
}

static bool has(const naive_session *s, uint32_t item) {
  for (uint32_t k = 0; k < s->len; k++)
    if (s->item[k] == item) return true;
  return false;
}

/* a comes after b among sessions */
static bool newer(const naive_session *a, const naive_session *b) {
  return a->end_ms > b->end_ms || (a->end_ms == b->end_ms && a->first > b->first);
}

/* The formula, session by session. */
static void naive(const naive_session *all, size_t m, const uint32_t *query, uint32_t len,
                  uint32_t recent, uint32_t neighbours, double *score) {
  double *r = wn_calloc(m + 1, sizeof *r);
  memset(score, 0, sizeof *score * ITEMS);
  for (uint32_t pos = 0; pos < len; pos++) {
    for (size_t s = 0; s < m; s++) {
      uint32_t after = 0;
      if (!has(&all[s], query[pos])) continue;
      for (size_t t = 0; t < m; t++) after += has(&all[t], query[pos]) && newer(&all[t], &all[s]);
      if (after < recent) r[s] += (double)(len - pos) / len;
    }
  }
  for (uint32_t k = 0; k < neighbours; k++) {
    size_t best = 0;
    uint32_t place = len;
    for (size_t s = 1; s < m; s++) {
      bool equal = fabs(r[s] - r[best]) < 1e-6;
      if ((!equal && r[s] > r[best]) || (equal && newer(&all[best], &all[s]))) best = s;
    }
    if (r[best] <= 0) break;
    for (uint32_t pos = len; pos-- > 0;)
      if (has(&all[best], query[pos])) place = pos;
    for (uint32_t i = 0; i < all[best].len && 1 - .1 * place > 0; i++) {
      double with = 0;
      for (size_t s = 0; s < m; s++) with += has(&all[s], all[best].item[i]);
      score[all[best].item[i]] += r[best] * (1 - .1 * place) * log(1 + (double)m / with);
    }
    r[best] = 0;
  }
  wn_free(r);
}

static void test_formula(void **state) {
  (void)state;
  static fact facts[USERS * 30];
  static naive_session all[USERS * 30];
  size_t n = make_facts(51, facts);
  facts[3].weight = -1;
  size_t m = naive_sessions(facts, n, all);
  assert_true(m > 2 * USERS);
  wn_dataset data;
  dataset_of(facts, n, USERS, ITEMS, &data);
  const uint32_t recent[] = {1000, 6}, neighbours[] = {1000, 9};
  for (int round = 0; round < 2; round++) {
    char text[64];
    snprintf(text, sizeof text, "recent=%u neighbours=%u fade=.1", recent[round],
             neighbours[round]);
    wn_model *model = fit(&wn_model_vmis, &data, text);
    for (uint32_t q = 0; q < 30; q++) {
      uint32_t items[3] = {q, (q * 7 + 3) % ITEMS, (q * 11 + 5) % ITEMS};
      if (items[1] == q || items[2] == q || items[1] == items[2]) continue;
      wn_history_entry history[3] = {{items[0], 1, 90}, {items[1], 2, 80}, {items[2], 1, 70}};
      wn_query query = {.history = history, .history_len = 3, .user = WN_NO_IX, .anchor = WN_NO_IX};
      double want[ITEMS];
      float got[ITEMS];
      naive(all, m, items, 3, recent[round], neighbours[round], want);
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

static int by_time(const void *a, const void *b) {
  const fact *x = a, *y = b;
  if (x->time_ms != y->time_ms) return x->time_ms < y->time_ms ? -1 : 1;
  return x->user < y->user ? -1 : x->user > y->user;
}

static wn_event event_of(const fact *f) {
  return (wn_event){.user = f->user, .item = f->item, .value = NAN, .time_ms = f->time_ms};
}

static void learn(wn_model *model, const fact *facts, size_t n) {
  for (size_t i = 0; i < n; i++) {
    wn_event event = event_of(&facts[i]);
    model->cls->update(model, &event, facts[i].weight);
  }
}

static int by_user(const void *a, const void *b) {
  const fact *x = a, *y = b;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  return x->time_ms < y->time_ms ? -1 : x->time_ms > y->time_ms;
}

static wn_model *fit_sorted(const fact *facts, size_t n, const char *text) {
  fact *rows = wn_calloc(n + 1, sizeof *rows);
  if (n > 0) memcpy(rows, facts, n * sizeof *rows);
  if (n > 0) qsort(rows, n, sizeof *rows, by_user);
  wn_dataset data;
  dataset_of(rows, n, USERS, ITEMS, &data);
  wn_model *model = fit(&wn_model_vmis, &data, text);
  wn_dataset_clear(&data);
  wn_free(rows);
  return model;
}

static void assert_alike(const wn_model *a, const wn_model *b) {
  for (uint32_t q = 0; q + 2 < ITEMS; q++) {
    wn_history_entry history[3] = {{q, 1, 90}, {q + 1, 2, 80}, {q + 2, 1, 70}};
    wn_query query = {.history = history, .history_len = 3, .user = WN_NO_IX, .anchor = WN_NO_IX};
    float x[ITEMS], y[ITEMS];
    assert_ok(a->cls->score_all(a, &query, x, ITEMS, err));
    assert_ok(b->cls->score_all(b, &query, y, ITEMS, err));
    for (uint32_t j = 0; j < ITEMS; j++)
      assert_true(x[j] == y[j] || fabsf(x[j] - y[j]) < 1e-4f * fabsf(x[j]));
  }
}

/* A snapshot of a part and the other events say the same as a fit over all. */
static void test_live(void **state) {
  (void)state;
  static fact facts[USERS * 30];
  size_t n = make_facts(52, facts);
  qsort(facts, n, sizeof *facts, by_time);
  for (size_t i = 0; i < n; i++) facts[i].weight = 1;
  wn_model *whole = fit_sorted(facts, n, "neighbours=10000 fade=.05 length=100");
  const size_t parts[] = {0, 1, n / 3, n / 2, n};
  for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
    char path[128];
    wn_snapshot *snapshot;
    wn_model *part = fit_sorted(facts, parts[p], "neighbours=10000 fade=.05 length=100");
    save_to(part, scratch_path("vmis.wns", path, sizeof path));
    wn_model *mapped = map_from(&wn_model_vmis, path, &snapshot);
    learn(part, facts + parts[p], n - parts[p]);
    learn(mapped, facts + parts[p], n - parts[p]);
    /* A session that went on counts once among all: N is the same but for those. */
    wn_vmis *m = (wn_vmis *)mapped, *k = (wn_vmis *)part;
    uint32_t retired = 0;
    for (uint32_t s = 0; s < m->head.sessions && m->live.retired.bits > 0; s++)
      retired += wn_bitset_test(&m->live.retired, s);
    assert_int_equal(m->head.sessions + m->live.begun - retired, ((wn_vmis *)whole)->head.sessions);
    assert_int_equal(m->live.resumed, retired);
    assert_int_equal(k->live.resumed, retired);
    assert_alike(whole, mapped);
    assert_alike(whole, part);
    mapped->cls->free(mapped);
    wn_snapshot_unref(snapshot);
    unlink(path);
    part->cls->free(part);
  }
  whole->cls->free(whole);
}

/* Few sessions are kept, lists and sessions are short: the newest stay, nothing breaks. */
static void test_bounds(void **state) {
  (void)state;
  wn_model *model = fit_sorted(NULL, 0, "sessions_max=5 recent=3 length=4");
  for (uint32_t u = 0; u < 40; u++)
    for (uint32_t i = 0; i < 7; i++) {
      wn_event event = {
          .user = u % 25, .item = i < 6 ? i : 100 + u, .time_ms = u * 40 * MINUTE + i};
      model->cls->update(model, &event, 1);
    }
  wn_query query = {.anchor = 5, .user = WN_NO_IX};
  wn_scored out[64];
  size_t count = 0;
  assert_ok(model->cls->candidates(model, &query, 64, out, &count, err));
  assert_int_equal(count, 2 + 3); /* 3 and 4, and the last item of each of three */
  for (size_t k = 0; k < count; k++)
    assert_true(out[k].ix != 5 && (out[k].ix < 5 || out[k].ix > 136));
  assert_twins(model, &query, 200);
  query.anchor = 0; /* fell out of every session */
  assert_ok(model->cls->candidates(model, &query, 64, out, &count, err));
  assert_int_equal(count, 0);
  model->cls->free(model);
}

static void test_forget(void **state) {
  (void)state;
  const fact facts[] = {{0, 1, 1, 1000}, {1, 2, 1, 1000}};
  wn_model *model = fit_sorted(facts, 2, "");
  for (uint32_t user = 0; user < 2; user++) {
    wn_event event = {.user = user, .item = 3, .time_ms = 2000};
    if (user == 0) model->cls->forget(model, 0);
    model->cls->update(model, &event, 1);
  }
  wn_query query = {.anchor = 3, .user = WN_NO_IX};
  wn_scored out[8];
  size_t count = 0;
  assert_ok(model->cls->candidates(model, &query, 8, out, &count, err));
  assert_int_equal(count, 1); /* item 1 stood in a session of nobody any more */
  assert_int_equal(out[0].ix, 2);
  model->cls->free(model);
}

static void test_threads_and_snapshot(void **state) {
  (void)state;
  static fact facts[USERS * 30];
  size_t n = make_facts(53, facts);
  wn_dataset data;
  dataset_of(facts, n, USERS, ITEMS, &data);
  wn_model *one = fit_threads(&wn_model_vmis, &data, "", 1);
  wn_model *two = fit_threads(&wn_model_vmis, &data, "", 2);
  assert_same_model(one, two);
  wn_history_entry history[4] = {{3, 1, 40}, {0, -2, 30}, {9, 2.5f, 20}, {UINT32_MAX - 1, 1, 10}};
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, ITEMS));
  for (uint32_t i = 0; i < ITEMS; i += 3) wn_bitset_set(&allowed, i);
  for (int filter = 0; filter < 2; filter++) {
    wn_query query = {.user = 3, .anchor = 4, .allowed = filter ? &allowed : NULL};
    assert_twins(one, &query, ITEMS);
    query.history = history;
    query.history_len = 4;
    assert_twins(one, &query, ITEMS);
  }
  wn_bitset_clear(&allowed);
  one->cls->free(one);
  two->cls->free(two);
  wn_dataset_clear(&data);
}

static void test_no_memory(void **state) {
  (void)state;
  static fact facts[USERS * 30];
  size_t n = make_facts(54, facts);
  wn_dataset data;
  dataset_of(facts, n, USERS, ITEMS, &data);
  wn_params params = params_of(&wn_model_vmis, "");
  wn_pool *pool = wn_pool_create(1);
  wn_fit_env env = {.pool = pool, .seed = 7};
  for (long fail = 0;; fail++) {
    wn_model *model = NULL;
    wn_error error = {0};
    wn_mem_fail_after(fail);
    wn_status status = wn_model_vmis.fit(&data, &params, &env, &model, &error);
    wn_mem_fail_after(-1);
    if (status == WN_OK) {
      model->cls->free(model);
      assert_true(fail > 8);
      break;
    }
    assert_int_equal(status, WN_E_MEMORY);
    assert_null(model);
  }
  /* Events without memory are left out, and the model still answers. */
  for (long fail = 0; fail < 12; fail++) {
    wn_model *model = fit_threads(&wn_model_vmis, &data, "", 1);
    for (uint32_t i = 0; i < 20; i++) {
      wn_event event = {.user = USERS + i % 3, .item = ITEMS + i, .time_ms = 1};
      wn_mem_fail_after(fail);
      model->cls->update(model, &event, 1);
      wn_mem_fail_after(-1);
    }
    wn_query query = {.user = WN_NO_IX, .anchor = ITEMS + 3};
    assert_twins(model, &query, ITEMS + 20);
    model->cls->free(model);
  }
  wn_pool_free(pool);
  wn_dataset_clear(&data);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_formula),   cmocka_unit_test(test_live),
      cmocka_unit_test(test_bounds),    cmocka_unit_test(test_forget),
      cmocka_unit_test(test_no_memory), cmocka_unit_test(test_threads_and_snapshot),
  };
  return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
