/* Searches beside upserts, removals and compactions. Row i in version v is v·base row, so that a
 * score tells which version it came from; a search must see each id at most once, in a version that
 * existed, and be full. Run under ThreadSanitizer, too. */
#include "sets.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROWS = 1500, DIMS = 12, K = 50, VERSIONS = 4, READERS = 2 };

typedef struct stage {
  wn_index *index;
  float *rows;
  atomic_bool stop;
  atomic_ulong searches;
} stage;

static void *read_all(void *arg) {
  stage *s = arg;
  wn_arena arena;
  wn_rng rng;
  wn_scored out[K];
  wn_rng_seed(&rng, 99);
  wn_arena_init(&arena, (size_t)1 << 26);
  while (!atomic_load(&s->stop)) {
    wn_error err = {0};
    float query[DIMS];
    wn_index_answer answer = {.items = out};
    bool seen[ROWS] = {false};
    random_vector(&rng, query, DIMS);
    wn_arena_reset(&arena);
    wn_index_query q = {.vector = query, .k = K, .recall = wn_rng_below(&rng, 2) == 0 ? 1 : .9};
    ok(wn_index_search(s->index, &q, &arena, &answer, &err), &err);
    assert_int_equal(answer.count, K);
    for (size_t i = 0; i < answer.count; i++) {
      assert_true(out[i].ix < ROWS && !seen[out[i].ix]);
      seen[out[i].ix] = true;
      bool some = false;
      for (int v = 1; v <= VERSIONS; v++) {
        float row[DIMS];
        for (int j = 0; j < DIMS; j++) row[j] = (float)v * s->rows[out[i].ix * DIMS + j];
        some |= wn_simd()->dot(query, row, DIMS) == out[i].score;
      }
      assert_true(some);
    }
    atomic_fetch_add(&s->searches, 1);
  }
  wn_arena_clear(&arena);
  return NULL;
}

static void *merge_all(void *arg) {
  stage *s = arg;
  while (!atomic_load(&s->stop)) {
    wn_error err = {0};
    ok(wn_index_compact(s->index, NULL, &err), &err);
  }
  return NULL;
}

static void test_readers_and_writers(WN_UNUSED void **state) {
  wn_error err = {0};
  wn_index_options options;
  stage s = {.rows = make_rows(ROWS, DIMS, 12)};
  wn_vectors vectors = {s.rows, ROWS, DIMS};
  pthread_t readers[READERS], merger;
  wn_rng rng;
  wn_rng_seed(&rng, 4);
  wn_index_options_defaults(&options);
  options.lists = 16;
  options.k = 20;
  ok(wn_index_build(&vectors, &options, &s.index, &err), &err);
  for (int i = 0; i < READERS; i++) {
    assert_int_equal(pthread_create(&readers[i], NULL, read_all, &s), 0);
  }
  assert_int_equal(pthread_create(&merger, NULL, merge_all, &s), 0);
  bool there[ROWS];
  memset(there, 1, sizeof there);
  for (int i = 0; i < 6000 || atomic_load(&s.searches) < 200; i++) {
    uint32_t id = (uint32_t)wn_rng_below(&rng, ROWS);
    if (id % 4 == 0 && wn_rng_below(&rng, 2) == 0) { /* at most a quarter is away */
      assert_int_equal(wn_index_remove(s.index, id, &err), there[id] ? WN_OK : WN_E_NOT_FOUND);
      there[id] = false;
      continue;
    }
    float row[DIMS], version = (float)(1 + wn_rng_below(&rng, VERSIONS));
    for (int j = 0; j < DIMS; j++) row[j] = version * s.rows[id * DIMS + j];
    ok(wn_index_upsert(s.index, id, row, &err), &err);
    there[id] = true;
  }
  atomic_store(&s.stop, true);
  for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
  pthread_join(merger, NULL);
  wn_index_free(s.index);
  wn_free(s.rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_readers_and_writers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
