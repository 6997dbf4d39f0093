/* What the tests of fitted models share: data sets, parameters, fitting, snapshots, a tiny metric
 * of their own. */
#ifndef WN_TESTS_MODEL_FITTING_H
#define WN_TESTS_MODEL_FITTING_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/reader.h"
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define assert_ok(call)                                                                            \
  do {                                                                                             \
    wn_error ok_error = {0};                                                                       \
    (void)ok_error;                                                                                \
    wn_error *err = &ok_error;                                                                     \
    if ((call) != WN_OK) {                                                                         \
      char ok_text[1024];                                                                          \
      fail_msg("%s: %s", #call, wn_error_format(err, ok_text, sizeof ok_text));                    \
    }                                                                                              \
  } while (0)

/* One (user, item, weight, time) of a test's data. */
typedef struct fact {
  uint32_t user, item;
  float weight;
  int64_t time_ms;
} fact;

/* Facts ordered by user and time, distinct pairs, straight into rows. */
static WN_UNUSED void dataset_of(const fact *facts, size_t count, uint32_t users, uint32_t items,
                                 wn_dataset *out) {
  memset(out, 0, sizeof *out);
  out->users = users;
  out->items = items;
  wn_csr *csr = &out->by_user;
  *csr = (wn_csr){.rows = users, .cols = items, .nnz = count};
  csr->row_ptr = wn_calloc((size_t)users + 1, sizeof *csr->row_ptr);
  csr->col = wn_calloc(count + 1, sizeof *csr->col);
  csr->weight = wn_calloc(count + 1, sizeof *csr->weight);
  csr->time_ms = wn_calloc(count + 1, sizeof *csr->time_ms);
  for (size_t i = 0; i < count; i++) {
    assert_true(i == 0 || facts[i - 1].user <= facts[i].user);
    csr->row_ptr[facts[i].user + 1]++;
    csr->col[i] = facts[i].item;
    csr->weight[i] = facts[i].weight;
    csr->time_ms[i] = facts[i].time_ms;
    if (facts[i].time_ms > out->now_ms) out->now_ms = facts[i].time_ms;
  }
  for (uint32_t u = 0; u < users; u++) csr->row_ptr[u + 1] += csr->row_ptr[u];
  assert_ok(wn_csr_validate(csr, err));
  assert_ok(wn_csr_transpose(csr, &out->by_item, err));
}

/* Random facts: each user has 1 … row_max distinct items, popular ones more often. */
static WN_UNUSED size_t random_facts(uint64_t seed, uint32_t users, uint32_t items,
                                     uint32_t row_max, fact *out) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  size_t n = 0;
  for (uint32_t u = 0; u < users; u++) {
    uint32_t len = 1 + (uint32_t)wn_rng_below(&rng, row_max);
    size_t begin = n;
    for (uint32_t k = 0; k < len; k++) {
      double x = wn_rng_double(&rng);
      uint32_t item = (uint32_t)(x * x * items);
      bool again = false;
      for (size_t i = begin; i < n; i++) again |= out[i].item == item;
      float weight = (float)(0.5 + 3 * wn_rng_double(&rng));
      int64_t time_ms = 1000 + (int64_t)k / 2 * 10; /* baskets of two */
      if (!again) out[n++] = (fact){u, item, weight, time_ms};
    }
  }
  return n;
}

/* "key=value key=value" over the defaults. */
static WN_UNUSED wn_params params_of(const wn_model_class *cls, const char *text) {
  wn_params params;
  wn_params_defaults(cls, &params);
  char copy[512], *rest = copy, *part;
  snprintf(copy, sizeof copy, "%s", text);
  while ((part = strsep(&rest, " ")) != NULL) {
    char *value = strchr(part, '=');
    if (value == NULL) continue;
    *value++ = '\0';
    assert_ok(wn_params_set(cls, &params, part, value, err));
  }
  return params;
}

static WN_UNUSED wn_model *fit_threads(const wn_model_class *cls, const wn_dataset *data,
                                       const char *text, int threads) {
  wn_params params = params_of(cls, text);
  wn_pool *pool = wn_pool_create(threads);
  assert_non_null(pool);
  wn_fit_env env = {.pool = pool, .seed = 7};
  wn_model *model = NULL;
  assert_ok(cls->fit(data, &params, &env, &model, err));
  wn_pool_free(pool);
  return model;
}

static WN_UNUSED wn_model *fit(const wn_model_class *cls, const wn_dataset *data,
                               const char *text) {
  return fit_threads(cls, data, text, 2);
}

/* Each allocation of a fit fails in turn: an error, no model, nothing leaked. */
static WN_UNUSED void check_no_memory(const wn_model_class *cls, const wn_dataset *data,
                                      const char *text) {
  wn_params params = params_of(cls, text);
  wn_pool *pool = wn_pool_create(1);
  wn_fit_env env = {.pool = pool, .seed = 7};
  wn_model *model = NULL;
  for (long n = 0; model == NULL; n++) {
    wn_error error = {0};
    wn_mem_fail_after(n);
    wn_status status = cls->fit(data, &params, &env, &model, &error);
    wn_mem_fail_after(-1);
    assert_int_equal(status, model != NULL ? WN_OK : WN_E_MEMORY);
    assert_true(model == NULL || n > 8); /* it did allocate */
  }
  model->cls->free(model);
  wn_pool_free(pool);
}

/* A folder of the test's own; removed by remove_scratch(). */
static char scratch_dir[64];
static WN_UNUSED const char *scratch_path(const char *name, char *buf, size_t size) {
  if (scratch_dir[0] == '\0') {
    snprintf(scratch_dir, sizeof scratch_dir, "/tmp/winnow-test-XXXXXX");
    assert_non_null(mkdtemp(scratch_dir));
  }
  snprintf(buf, size, "%s/%s", scratch_dir, name);
  return buf;
}

/* Saves a model to a file of its own; the caller opens or reads it. */
static WN_UNUSED void save_to(const wn_model *model, const char *path) {
  wn_snapshot_writer *writer = NULL;
  assert_ok(wn_snapshot_writer_create(path, &writer, err));
  assert_ok(model->cls->save(model, writer, err));
  wn_snapshot_about about = {.number = 1};
  assert_ok(wn_snapshot_writer_finish(writer, &about, err));
}

static WN_UNUSED wn_model *map_from(const wn_model_class *cls, const char *path,
                                    wn_snapshot **snapshot) {
  wn_model *model = NULL;
  assert_ok(wn_snapshot_open(path, snapshot, err));
  assert_ok(cls->map(*snapshot, &model, err));
  return model;
}

static WN_UNUSED bool section_equal(const wn_snapshot *a, const wn_snapshot *b, const char *name) {
  const void *x = NULL, *y = NULL;
  uint64_t n = 0, m = 0;
  assert_ok(wn_snapshot_section(a, name, 1, &x, &n, err));
  assert_ok(wn_snapshot_section(b, name, 1, &y, &m, err));
  return n == m && (n == 0 || memcmp(x, y, n) == 0);
}

/* Every section of the two fitted models has the same bytes. */
static WN_UNUSED void assert_same_model(const wn_model *a, const wn_model *b) {
  char path_a[128], path_b[128];
  save_to(a, scratch_path("a.wns", path_a, sizeof path_a));
  save_to(b, scratch_path("b.wns", path_b, sizeof path_b));
  wn_snapshot *x = NULL, *y = NULL;
  assert_ok(wn_snapshot_open(path_a, &x, err));
  assert_ok(wn_snapshot_open(path_b, &y, err));
  assert_int_equal(wn_snapshot_section_count(x), wn_snapshot_section_count(y));
  for (size_t i = 0; i < wn_snapshot_section_count(x); i++) {
    const char *name;
    uint64_t bytes;
    wn_snapshot_section_at(x, i, &name, &bytes);
    if (strchr(name, '/') != NULL && !section_equal(x, y, name)) fail_msg("%s differs", name);
  }
  wn_snapshot_unref(x);
  wn_snapshot_unref(y);
  unlink(path_a);
  unlink(path_b);
}

static WN_UNUSED int remove_scratch(void **state) {
  (void)state;
  if (scratch_dir[0] != '\0') rmdir(scratch_dir);
  return 0;
}

/* The newest items of a row as a history. */
static WN_UNUSED size_t history_of(const wn_dataset *data, uint32_t user, size_t max,
                                   wn_history_entry *out) {
  const wn_csr *csr = &data->by_user;
  size_t n = 0;
  for (uint64_t i = csr->row_ptr[user + 1]; i-- > csr->row_ptr[user] && n < max;) {
    out[n++] = (wn_history_entry){csr->col[i], csr->weight[i], csr->time_ms[i]};
  }
  return n;
}

/* The same query more often than a panel is wide, each list the given one bit for bit. */
static WN_UNUSED void assert_batch(const wn_model *model, const wn_query *query, size_t k,
                                   const wn_scored *want, size_t n) {
  enum { QUERIES = 51 };
  wn_query queries[QUERIES];
  size_t counts[QUERIES];
  wn_scored *lists = wn_calloc(k * QUERIES + 1, sizeof *lists);
  for (size_t q = 0; q < QUERIES; q++) queries[q] = *query;
  const wn_query_batch batch = {queries, QUERIES, k, lists, counts};
  assert_ok(wn_model_candidates_batch(model, &batch, err));
  for (size_t q = 0; q < QUERIES; q++) {
    assert_int_equal(counts[q], n);
    if (n > 0) assert_memory_equal(lists + q * k, want, n * sizeof *want);
  }
  wn_free(lists);
}

/* candidates() must be score_all()'s best, in order, bit for bit, for every k. */
static WN_UNUSED void assert_twins(const wn_model *model, const wn_query *query, uint32_t items) {
  float *scores = wn_calloc((size_t)items + 1, sizeof *scores);
  wn_scored *best = wn_calloc((size_t)items + 1, sizeof *best);
  wn_scored *found = wn_calloc((size_t)items + 1, sizeof *found);
  assert_ok(model->cls->score_all(model, query, scores, items, err));
  size_t with_score = 0;
  for (uint32_t i = 0; i < items; i++) with_score += scores[i] > -INFINITY;
  for (size_t k = 0; k <= items; k = k < 4 ? k + 1 : k * 3) {
    wn_topk top;
    size_t count = 0;
    wn_topk_init(&top, best, k);
    for (uint32_t i = 0; i < items; i++) {
      if (scores[i] > -INFINITY) wn_topk_push(&top, i, scores[i]);
    }
    size_t n = wn_topk_sort(&top);
    assert_ok(model->cls->candidates(model, query, k, found, &count, err));
    assert_int_equal(count, n);
    assert_int_equal(n, k < with_score ? k : with_score);
    for (size_t i = 0; i < n; i++) {
      assert_int_equal(found[i].ix, best[i].ix);
      assert_memory_equal(&found[i].score, &best[i].score, sizeof(float));
    }
    assert_batch(model, query, k, found, n);
  }
  wn_free(scores);
  wn_free(best);
  wn_free(found);
}

/* ---- quality on real data ---- */

typedef struct quality {
  double recall, ndcg;
  uint32_t users;
} quality;

/* Recall@20 and NDCG@20 of every `step`-th user with test items, full ranking, training items
 * masked; histories as a server would give them. */
static WN_UNUSED quality measure(const wn_model *model, const wn_dataset *train,
                                 const wn_dataset *test, uint32_t step) {
  enum { K = 20 };
  quality q = {0};
  wn_arena arena;
  wn_arena_init(&arena, (size_t)64 << 20);
  wn_bitset allowed;
  assert_true(wn_bitset_init(&allowed, train->items));
  for (uint32_t u = 0; u < train->users && u < test->users; u += step) {
    uint64_t begin = test->by_user.row_ptr[u], end = test->by_user.row_ptr[u + 1];
    if (begin == end) continue;
    wn_history_entry history[WN_HISTORY_MAX];
    wn_arena_reset(&arena);
    wn_bitset_fill(&allowed, true);
    for (uint64_t i = train->by_user.row_ptr[u]; i < train->by_user.row_ptr[u + 1]; i++) {
      wn_bitset_unset(&allowed, train->by_user.col[i]);
    }
    wn_query query = {.history = history,
                      .history_len = history_of(train, u, WN_HISTORY_MAX, history),
                      .user = u,
                      .anchor = WN_NO_IX,
                      .allowed = &allowed,
                      .now_ms = train->now_ms,
                      .arena = &arena};
    wn_scored list[K];
    size_t count = 0;
    assert_ok(model->cls->candidates(model, &query, K, list, &count, err));
    double hits = 0, dcg = 0, ideal = 0;
    for (size_t r = 0; r < count; r++) {
      for (uint64_t i = begin; i < end; i++) {
        if (test->by_user.col[i] != list[r].ix) continue;
        hits += 1;
        dcg += 1 / log2((double)r + 2);
      }
    }
    for (uint64_t r = 0; r < end - begin && r < K; r++) ideal += 1 / log2((double)r + 2);
    q.recall += hits / (double)(end - begin);
    q.ndcg += dcg / ideal;
    q.users++;
  }
  wn_arena_clear(&arena);
  wn_bitset_clear(&allowed);
  q.recall /= q.users > 0 ? q.users : 1;
  q.ndcg /= q.users > 0 ? q.users : 1;
  return q;
}

/* NULL when the shared data are not there. */
static WN_UNUSED const char *data_path(const char *name, char *buf, size_t size) {
  const char *root = getenv("WINNOW_TEST_DATA");
  if (root == NULL) return NULL;
  snprintf(buf, size, "%s/%s", root, name);
  return access(buf, R_OK) == 0 ? buf : NULL;
}

static WN_UNUSED bool load_adjacency(const char *name, uint32_t users, uint32_t items,
                                     wn_dataset *out) {
  char path[512];
  if (data_path(name, path, sizeof path) == NULL) return false;
  wn_signals signals;
  wn_signals_defaults(&signals);
  wn_dataset_builder *builder = wn_dataset_builder_create(&signals);
  assert_non_null(builder);
  assert_ok(wn_read_adjacency(path, builder, err));
  assert_ok(wn_dataset_build(builder, users, items, 0, out, err));
  wn_dataset_builder_free(builder);
  return true;
}

#endif
