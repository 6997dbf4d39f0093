/* The index against a naive twin: exact search to the bit, under filters and after any sequence of
 * changes, compactions and round trips through an image; approximate search by recall. */
#include "sets.h"

static const wn_metric metrics[] = {WN_METRIC_IP, WN_METRIC_COSINE, WN_METRIC_L2};

static wn_index *build(const float *rows, uint32_t n, uint32_t dims, wn_metric metric,
                       uint32_t lists) {
  wn_error err = {0};
  wn_index *index;
  wn_index_options options;
  wn_vectors vectors = {rows, n, dims};
  wn_index_options_defaults(&options);
  options.metric = metric;
  options.lists = lists;
  options.k = 20;
  options.copy = true;
  if (lists % 40 == 0) options.recall = 1; /* nothing to measure */
  ok(wn_index_build(&vectors, &options, &index, &err), &err);
  return index;
}

typedef struct question {
  const float *vector;
  uint32_t k;
  const wn_bitset *allowed;
  double recall;
} question;

static size_t ask(const wn_index *index, const question *q, wn_scored *out, wn_index_trace *trace) {
  wn_error err = {0};
  wn_arena arena;
  wn_index_answer answer = {.items = out};
  wn_index_query query = {
      .vector = q->vector, .k = q->k, .allowed = q->allowed, .recall = q->recall};
  wn_arena_init(&arena, (size_t)1 << 30);
  ok(wn_index_search(index, &query, &arena, &answer, &err), &err);
  wn_arena_clear(&arena);
  if (trace != NULL) *trace = answer.trace;
  return answer.count;
}

/* Exact search and the twin of the index against the shadow. */
static void check_exact(const wn_index *index, const shadow *s, const question *q) {
  wn_error err = {0};
  wn_arena arena;
  wn_scored *want = need((size_t)q->k * sizeof *want), *got = need((size_t)q->k * sizeof *got);
  size_t n = shadow_search(s, q->vector, q->k, q->allowed, want);
  wn_index_answer twin = {.items = got};
  question exact = *q;
  exact.recall = 1;
  same_lists(got, ask(index, &exact, got, NULL), want, n);
  wn_index_query query = {.vector = q->vector, .k = q->k, .allowed = q->allowed};
  wn_arena_init(&arena, (size_t)1 << 30);
  ok(wn_index_search_twin(index, &query, &arena, &twin, &err), &err);
  same_lists(got, twin.count, want, n);
  wn_arena_clear(&arena);
  /* approximate: full, distinct, allowed, scores exact */
  size_t m = ask(index, q, got, NULL);
  assert_int_equal(m, n);
  for (size_t i = 0; i < m; i++) {
    assert_true(s->there[got[i].ix]);
    assert_true(q->allowed == NULL || wn_bitset_test(q->allowed, got[i].ix));
    assert_true(got[i].score == shadow_score(s, q->vector, got[i].ix));
    assert_true(i == 0 || wn_scored_before(got[i - 1], got[i]));
  }
  wn_free(want);
  wn_free(got);
}

static void random_filter(wn_rng *rng, wn_bitset *allowed, uint32_t room) {
  static const double shares[] = {0, .001, .01, .1, .5, .99};
  double share = shares[wn_rng_below(rng, COUNT_OF(shares))];
  assert_true(wn_bitset_init(allowed, room - (size_t)wn_rng_below(rng, 3)));
  for (uint32_t i = 0; i < room; i++) {
    if (wn_rng_double(rng) < share) wn_bitset_set(allowed, i);
  }
  /* a caller's last word may hold anything beyond the bits */
  if (allowed->bits % 64 != 0)
    allowed->words[allowed->bits / 64] |= ~UINT64_C(0) << allowed->bits % 64;
}

static void ask_many(const wn_index *index, const shadow *s, wn_rng *rng, int times) {
  float query[256];
  for (int t = 0; t < times; t++) {
    wn_bitset allowed;
    question q = {.vector = query, .k = 1 + (uint32_t)wn_rng_below(rng, 60)};
    random_vector(rng, query, s->dims);
    if (t % 7 == 6) memset(query, 0, sizeof query);
    if (t % 11 == 10) q.k = s->room + 5;
    random_filter(rng, &allowed, s->room);
    if (t % 3 != 0) q.allowed = &allowed;
    check_exact(index, s, &q);
    wn_bitset_clear(&allowed);
  }
}

static void test_exact(WN_UNUSED void **state) {
  static const uint32_t dims[] = {1, 3, 65};
  static const uint32_t counts[] = {0, 1, 17, 700, 3000};
  wn_rng rng;
  wn_rng_seed(&rng, 21);
  for (size_t d = 0; d < COUNT_OF(dims); d++) {
    for (size_t c = 0; c < COUNT_OF(counts); c++) {
      float *rows = make_rows(counts[c], dims[d], 5 + c);
      for (size_t m = 0; m < COUNT_OF(metrics); m++) {
        for (uint32_t lists = 0; lists <= 40; lists += 20) {
          wn_index *index = build(rows, counts[c], dims[d], metrics[m], lists);
          shadow s = shadow_create(metrics[m], rows, counts[c], dims[d], counts[c] + 3);
          ask_many(index, &s, &rng, 6);
          shadow_free(&s);
          wn_index_free(index);
        }
      }
      wn_free(rows);
    }
  }
}

/* Writing into memory, at a multiple of 64. */
typedef struct image {
  unsigned char *bytes;
  size_t len, cap;
} image;

static wn_status take(void *ctx, const void *data, size_t bytes, WN_UNUSED wn_error *err) {
  image *to = ctx;
  assert_true(to->len + bytes <= to->cap);
  memcpy(to->bytes + to->len, data, bytes);
  to->len += bytes;
  return WN_OK;
}

static image write_image(const wn_index *index, bool with_rows) {
  wn_error err = {0};
  image to = {.cap = 64u << 20};
  assert_int_equal(posix_memalign((void **)&to.bytes, 64, to.cap), 0);
  wn_index_sink sink = {&to, take};
  ok(wn_index_write(index, with_rows, &sink, &err), &err);
  return to;
}

static void round_trip(wn_index **index, const shadow *s, wn_rng *rng, image *held) {
  wn_error err = {0};
  image next = write_image(*index, true);
  ok(wn_index_verify(next.bytes, next.len, &err), &err);
  wn_index_free(*index);
  free(held->bytes);
  *held = next;
  ok(wn_index_map(next.bytes, next.len, NULL, index, &err), &err);
  ask_many(*index, s, rng, 1);
}

/* One change that both see. */
static void change(wn_index *index, shadow *s, wn_rng *rng) {
  wn_error err = {0};
  float vector[256], got[256];
  uint32_t id = (uint32_t)wn_rng_below(rng, s->room);
  if (wn_rng_below(rng, 3) == 0) {
    wn_status status = wn_index_remove(index, id, &err);
    assert_int_equal(status, s->there[id] ? WN_OK : WN_E_NOT_FOUND);
    s->there[id] = false;
    assert_int_equal(wn_index_get(index, id, got, &err), WN_E_NOT_FOUND);
    return;
  }
  random_vector(rng, vector, s->dims);
  ok(wn_index_upsert(index, id, vector, &err), &err);
  memcpy(s->rows + (size_t)id * s->dims, vector, s->dims * sizeof *vector);
  s->there[id] = true;
  ok(wn_index_get(index, id, got, &err), &err);
  assert_memory_equal(got, vector, s->dims * sizeof *vector);
}

static void test_random_changes(WN_UNUSED void **state) {
  for (uint64_t seed = 1; seed <= 12; seed++) {
    wn_error err = {0};
    wn_rng rng;
    wn_rng_seed(&rng, seed);
    wn_metric metric = metrics[seed % 3];
    uint32_t n = seed % 4 == 0 ? 0 : 700, dims = 5 + 9 * (uint32_t)(seed % 4);
    float *rows = make_rows(n, dims, seed);
    wn_index *index = build(rows, n, dims, metric, seed % 2 == 0 ? 0 : 16);
    shadow s = shadow_create(metric, rows, n, dims, n + 300);
    image held = {0};
    for (int step = 0; step < 14; step++) {
      int changes = (int)wn_rng_below(&rng, 60);
      for (int i = 0; i < changes; i++) change(index, &s, &rng);
      ask_many(index, &s, &rng, 3);
      switch (wn_rng_below(&rng, 4)) {
      case 0:
        ok(wn_index_compact(index, NULL, &err), &err);
        ask_many(index, &s, &rng, 3);
        break;
      case 1: round_trip(&index, &s, &rng, &held); break;
      default: break;
      }
      wn_index_about about;
      uint32_t there = 0;
      wn_index_about_of(index, &about);
      for (uint32_t i = 0; i < s.room; i++) there += s.there[i];
      assert_int_equal(about.rows, there);
    }
    wn_index_free(index);
    free(held.bytes);
    shadow_free(&s);
    wn_free(rows);
  }
}

/* A merged index is the one that a rebuild around the same centres gives. */
static void test_compact_is_canonical(WN_UNUSED void **state) {
  wn_error err = {0};
  wn_rng rng;
  wn_rng_seed(&rng, 8);
  float *rows = make_rows(2000, 12, 8), vector[12];
  wn_index *index = build(rows, 2000, 12, WN_METRIC_IP, 16);
  image before = write_image(index, true);
  for (uint32_t i = 0; i < 500; i++) {
    random_vector(&rng, vector, 12);
    ok(wn_index_upsert(index, i, vector, &err), &err);
  }
  ok(wn_index_compact(index, NULL, &err), &err);
  for (uint32_t i = 0; i < 500; i++)
    ok(wn_index_upsert(index, i, rows + (size_t)i * 12, &err), &err);
  ok(wn_index_compact(index, NULL, &err), &err);
  image after = write_image(index, true);
  assert_int_equal(before.len, after.len);
  assert_memory_equal(before.bytes, after.bytes, before.len);
  wn_index_free(index);
  wn_free(rows);
  free(before.bytes);
  free(after.bytes);
}

/* Norms that differ much make tiers, for inner products alone; rows that change their norm change
 * their tier when they are merged, and come back to the same place. */
static void test_tiers(WN_UNUSED void **state) {
  enum { ROWS = 6000, DIMS = 10 };
  wn_error err = {0};
  wn_rng rng;
  wn_rng_seed(&rng, 31);
  float *rows = make_rows(ROWS, DIMS, 31), vector[DIMS];
  for (size_t m = 0; m < COUNT_OF(metrics); m++) {
    wn_index_about about;
    wn_index *index = build(rows, ROWS, DIMS, metrics[m], WN_INDEX_LISTS_AUTO);
    shadow s = shadow_create(metrics[m], rows, ROWS, DIMS, ROWS);
    wn_index_about_of(index, &about);
    if (metrics[m] == WN_METRIC_IP) {
      assert_true(about.tiers > 1);
    } else {
      assert_int_equal(about.tiers, 1);
    }
    image before = write_image(index, true);
    for (uint32_t i = 0; i < 800; i++) {
      for (uint32_t j = 0; j < DIMS; j++) {
        vector[j] = s.rows[i * DIMS + j] *= i % 2 == 0 ? 100 : .01f;
      }
      ok(wn_index_upsert(index, i, vector, &err), &err);
    }
    ask_many(index, &s, &rng, 4);
    ok(wn_index_compact(index, NULL, &err), &err);
    ask_many(index, &s, &rng, 4);
    for (uint32_t i = 0; i < 800; i++) {
      ok(wn_index_upsert(index, i, rows + (size_t)i * DIMS, &err), &err);
    }
    ok(wn_index_compact(index, NULL, &err), &err);
    image after = write_image(index, true);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.bytes, after.bytes, before.len);
    free(before.bytes);
    free(after.bytes);
    shadow_free(&s);
    wn_index_free(index);
  }
  wn_free(rows);
}

static void test_threads_do_not_matter(WN_UNUSED void **state) {
  wn_error err = {0};
  float *rows = make_rows(6000, 20, 3);
  wn_vectors vectors = {rows, 6000, 20};
  for (size_t m = 0; m < COUNT_OF(metrics); m++) {
    image images[2];
    for (int t = 0; t < 2; t++) {
      wn_index *index;
      wn_index_options options;
      wn_index_options_defaults(&options);
      options.metric = metrics[m];
      options.pool = t == 0 ? NULL : wn_pool_create(3);
      ok(wn_index_build(&vectors, &options, &index, &err), &err);
      images[t] = write_image(index, false);
      wn_index_free(index);
      wn_pool_free(options.pool);
    }
    assert_int_equal(images[0].len, images[1].len);
    assert_memory_equal(images[0].bytes, images[1].bytes, images[0].len);
    free(images[0].bytes);
    free(images[1].bytes);
  }
  wn_free(rows);
}

static void test_recall(WN_UNUSED void **state) {
  enum { ROWS = 20000, DIMS = 24, K = 100, TIMES = 100 };
  static wn_scored want[K], got[K];
  float *rows = make_rows(ROWS, DIMS, 77), query[DIMS];
  for (size_t m = 0; m < COUNT_OF(metrics); m++) {
    wn_error err = {0};
    wn_index *index;
    wn_index_options options;
    wn_vectors vectors = {rows, ROWS, DIMS};
    shadow s = shadow_create(metrics[m], rows, ROWS, DIMS, ROWS);
    double hits = 0, lanes = 0;
    wn_rng rng;
    wn_rng_seed(&rng, 5);
    wn_index_options_defaults(&options);
    options.metric = metrics[m];
    options.recall = .95;
    float *train = need(200 * DIMS * sizeof *train);
    for (int i = 0; i < 200; i++) {
      for (int j = 0; j < DIMS; j++) {
        train[i * DIMS + j] = rows[i * 61 * DIMS + j] * 9 + .3f * (float)wn_rng_normal(&rng);
      }
    }
    options.queries = (wn_vectors){train, 200, DIMS};
    ok(wn_index_build(&vectors, &options, &index, &err), &err);
    for (int t = 0; t < TIMES; t++) {
      wn_index_trace trace;
      for (int j = 0; j < DIMS; j++) {
        query[j] = rows[t * 101 * DIMS + j] * 9 + .3f * (float)wn_rng_normal(&rng);
      }
      size_t n = shadow_search(&s, query, K, NULL, want);
      question q = {query, K, NULL, 0};
      size_t len = ask(index, &q, got, &trace);
      assert_int_equal(len, K);
      lanes += (double)trace.lanes_scanned / TIMES;
      for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < len; j++) hits += got[j].ix == want[i].ix;
      }
    }
    wn_index_about about;
    wn_index_about_of(index, &about);
    print_message("%s: recall %.4f, %.0f lanes of %d, achieved %.4f\n", wn_metric_name(metrics[m]),
                  hits / K / TIMES, lanes, ROWS, about.achieved);
    assert_true(hits / K / TIMES > .93);
    assert_true(about.achieved > .93);
    assert_true(lanes < .6 * ROWS);
    wn_free(train);
    shadow_free(&s);
    wn_index_free(index);
  }
  wn_free(rows);
}

static void test_batches(WN_UNUSED void **state) {
  enum { ROWS = 5000, DIMS = 20, K = 30, N = 37 };
  static wn_scored got[N * K], want[K];
  float *rows = make_rows(ROWS, DIMS, 2), *queries = need(N * DIMS * sizeof *queries);
  wn_rng rng;
  wn_rng_seed(&rng, 6);
  random_vector(&rng, queries, N * DIMS);
  for (size_t m = 0; m < COUNT_OF(metrics); m++) {
    for (int exact = 0; exact < 2; exact++) {
      wn_error err = {0};
      wn_arena arena;
      uint32_t counts[N];
      wn_index *index = build(rows, ROWS, DIMS, metrics[m], 32);
      ok(wn_index_remove(index, 7, &err), &err);
      wn_index_batch batch = {queries, N, {.k = K, .recall = exact ? 1 : 0}};
      wn_arena_init(&arena, (size_t)1 << 30);
      ok(wn_index_search_many(index, &batch, &arena, got, counts, &err), &err);
      for (int i = 0; i < N; i++) {
        question q = {queries + i * DIMS, K, NULL, batch.common.recall};
        same_lists(got + i * K, counts[i], want, ask(index, &q, want, NULL));
      }
      wn_arena_clear(&arena);
      wn_index_free(index);
    }
  }
  wn_free(queries);
  wn_free(rows);
}

static void test_many_equal_rows(WN_UNUSED void **state) {
  enum { ROWS = 3000, DIMS = 8 };
  float *rows = need(ROWS * DIMS * sizeof *rows), query[DIMS] = {1, 2, 3};
  for (int i = 0; i < ROWS * DIMS; i++) rows[i] = (float)(i % DIMS);
  for (size_t m = 0; m < COUNT_OF(metrics); m++) {
    wn_index *index = build(rows, ROWS, DIMS, metrics[m], 40);
    shadow s = shadow_create(metrics[m], rows, ROWS, DIMS, ROWS);
    question q = {query, 40, NULL, 0};
    check_exact(index, &s, &q);
    q.k = 2000;
    check_exact(index, &s, &q);
    shadow_free(&s);
    wn_index_free(index);
  }
  wn_free(rows);
}

static void test_bad_input(WN_UNUSED void **state) {
  wn_error err = {0};
  wn_index *index = NULL;
  wn_index_options options;
  float rows[8] = {1, 2, 3, 4, 5, 6, 7, 8}, query[2] = {1, 1};
  wn_vectors vectors = {rows, 4, 0};
  wn_arena arena;
  wn_scored out[8];
  wn_index_answer answer = {.items = out};
  wn_index_options_defaults(&options);
  assert_int_equal(wn_index_build(&vectors, &options, &index, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "dims");
  vectors.dims = 2;
  rows[5] = NAN;
  assert_int_equal(wn_index_build(&vectors, &options, &index, &err), WN_E_ARGUMENT);
  assert_contains(err.message, "row 2");
  rows[5] = -INFINITY;
  assert_int_equal(wn_index_build(&vectors, &options, &index, &err), WN_E_ARGUMENT);
  rows[5] = 2e18f;
  assert_int_equal(wn_index_build(&vectors, &options, &index, &err), WN_E_ARGUMENT);
  assert_contains(err.message, "norm");
  rows[5] = 6;
  options.recall = .2;
  assert_int_equal(wn_index_build(&vectors, &options, &index, &err), WN_E_ARGUMENT);
  options.recall = .9;
  options.k = 0;
  assert_int_equal(wn_index_build(&vectors, &options, &index, &err), WN_E_ARGUMENT);
  options.k = 10;
  ok(wn_index_build(&vectors, &options, &index, &err), &err);
  wn_arena_init(&arena, 1 << 20);
  wn_index_query q = {.vector = query, .k = 8};
  ok(wn_index_search(index, &q, &arena, &answer, &err), &err);
  assert_int_equal(answer.count, 4); /* all that there is */
  q.k = 0;
  assert_int_equal(wn_index_search(index, &q, &arena, &answer, &err), WN_E_ARGUMENT);
  q.k = 2;
  q.recall = 2;
  assert_int_equal(wn_index_search(index, &q, &arena, &answer, &err), WN_E_ARGUMENT);
  q.recall = 0;
  query[1] = NAN;
  assert_int_equal(wn_index_search(index, &q, &arena, &answer, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_index_upsert(index, 1, query, &err), WN_E_ARGUMENT);
  query[1] = 1;
  assert_int_equal(wn_index_upsert(index, WN_INDEX_ROWS_MAX, query, &err), WN_E_ARGUMENT);
  assert_int_equal(wn_index_remove(index, 4, &err), WN_E_NOT_FOUND);
  wn_arena_clear(&arena);
  wn_arena_init(&arena, 100); /* no scratch */
  assert_int_equal(wn_index_search(index, &q, &arena, &answer, &err), WN_E_MEMORY);
  wn_arena_clear(&arena);
  wn_index_free(index);
}

/* Builds, changes and compacts with the n-th allocation failing, for each n of a stride. */
static void fail_each(const wn_vectors *vectors, double recall, long stride) {
  wn_status status = WN_E_MEMORY;
  for (long n = 0; status != WN_OK; n += stride) {
    wn_error err = {0};
    wn_index *index = NULL;
    wn_index_options options;
    wn_index_options_defaults(&options);
    options.lists = 8;
    options.recall = recall;
    wn_mem_fail_after(n);
    status = wn_index_build(vectors, &options, &index, &err);
    if (status == WN_OK) status = wn_index_upsert(index, 3, vectors->data, &err);
    if (status == WN_OK) status = wn_index_compact(index, NULL, &err);
    wn_mem_fail_after(-1);
    if (status != WN_OK) assert_int_equal(status, WN_E_MEMORY);
    wn_index_free(index);
  }
}

static void test_allocation_failures(WN_UNUSED void **state) {
  float *rows = make_rows(200, 6, 4);
  wn_vectors vectors = {rows, 200, 6};
  fail_each(&vectors, 1, 1);
  fail_each(&vectors, .9, 211);
  wn_free(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact),
      cmocka_unit_test(test_random_changes),
      cmocka_unit_test(test_compact_is_canonical),
      cmocka_unit_test(test_tiers),
      cmocka_unit_test(test_threads_do_not_matter),
      cmocka_unit_test(test_recall),
      cmocka_unit_test(test_batches),
      cmocka_unit_test(test_many_equal_rows),
      cmocka_unit_test(test_bad_input),
      cmocka_unit_test(test_allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
