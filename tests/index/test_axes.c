/* Codes of fewer dimensions than the rows: exact search stays the twin's to the bit, for rows that
 * the axes see and for those that they do not. */
#include "sets.h"

#include "base/map64.h"
#include "index/image.h"

enum { ROWS = 2000, DIMS = 48, RANK = 6 };

static const wn_metric metrics[] = {WN_METRIC_IP, WN_METRIC_COSINE, WN_METRIC_L2};

/* Rank 6 and a little of all other directions; every 60th row is of no direction that others have.
 */
static float *low_rank_rows(uint64_t seed) {
  float *rows = need(ROWS * DIMS * sizeof *rows), basis[RANK][DIMS];
  wn_rng rng;
  wn_rng_seed(&rng, 99);
  for (int r = 0; r < RANK; r++) random_vector(&rng, basis[r], DIMS);
  wn_rng_seed(&rng, seed);
  for (size_t i = 0; i < ROWS; i++) {
    float *row = rows + i * DIMS, part[RANK];
    random_vector(&rng, row, DIMS);
    random_vector(&rng, part, RANK);
    for (size_t j = 0; j < DIMS && i % 60 != 59; j++) {
      row[j] *= .05f;
      for (size_t r = 0; r < RANK; r++) row[j] += part[r] * basis[r][j];
    }
    if (i % 90 == 89) memset(row, 0, DIMS * sizeof *row);
  }
  return rows;
}

static wn_index *build(const float *rows, wn_metric metric, uint32_t lists) {
  wn_error err = {0};
  wn_index *index;
  wn_index_options options;
  wn_index_about about;
  wn_vectors vectors = {rows, ROWS, DIMS};
  wn_index_options_defaults(&options);
  options.metric = metric;
  options.lists = lists;
  options.k = 10;
  options.copy = true;
  ok(wn_index_build(&vectors, &options, &index, &err), &err);
  wn_index_about_of(index, &about);
  assert_true(about.coded >= RANK && about.coded < DIMS);
  return index;
}

static void check(const wn_index *index, const shadow *s, wn_rng *rng) {
  enum { COUNT = 9, K = 30 };
  static wn_scored want[K], got[COUNT * K];
  static float queries[COUNT * DIMS];
  wn_error err = {0};
  wn_arena arena;
  uint32_t counts[COUNT];
  wn_arena_init(&arena, (size_t)1 << 30);
  for (uint32_t q = 0; q < COUNT; q++) {
    float *query = queries + q * DIMS;
    random_vector(rng, query, DIMS); /* most of it is not seen */
    if (q % 3 != 0) memcpy(query, s->rows + (q + 1) * 100 * DIMS, DIMS * sizeof *query);
    wn_index_answer answer = {.items = got};
    wn_index_query one = {.vector = query, .k = K, .recall = 1};
    ok(wn_index_search(index, &one, &arena, &answer, &err), &err);
    same_lists(got, answer.count, want, shadow_search(s, query, K, NULL, want));
  }
  wn_index_batch batch = {queries, COUNT, {.k = K, .recall = 1}};
  ok(wn_index_search_many(index, &batch, &arena, got, counts, &err), &err);
  for (uint32_t q = 0; q < COUNT; q++) {
    size_t n = shadow_search(s, queries + q * DIMS, K, NULL, want);
    same_lists(got + q * K, counts[q], want, n);
  }
  wn_arena_clear(&arena);
}

static void test_exact(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 1);
  float *rows = low_rank_rows(2);
  for (size_t m = 0; m < COUNT_OF(metrics); m++) {
    for (uint32_t lists = 0; lists <= 12; lists += 12) {
      wn_error err = {0};
      wn_index *index = build(rows, metrics[m], lists);
      shadow s = shadow_create(metrics[m], rows, ROWS, DIMS, ROWS);
      check(index, &s, &rng);
      for (uint32_t i = 0; i < 40; i++) { /* changes: rows that the axes do not know */
        float *row = s.rows + (size_t)i * 7 * DIMS;
        random_vector(&rng, row, DIMS);
        ok(wn_index_upsert(index, i * 7, row, &err), &err);
      }
      check(index, &s, &rng);
      ok(wn_index_compact(index, NULL, &err), &err);
      check(index, &s, &rng);
      shadow_free(&s);
      wn_index_free(index);
    }
  }
  wn_free(rows);
}

/* One pass for a batch that is asked for less than everything finds what single searches find, but
 * for what the order of blocks lets either drop. */
static void test_pass_below_exact(WN_UNUSED void **state) {
  enum { COUNT = 32, K = 10 };
  static wn_scored want[K], got[COUNT * K];
  wn_error err = {0};
  wn_arena arena;
  uint32_t counts[COUNT], hits = 0;
  float *rows = low_rank_rows(2), *queries = low_rank_rows(7);
  wn_index *index = build(rows, WN_METRIC_IP, 0);
  shadow s = shadow_create(WN_METRIC_IP, rows, ROWS, DIMS, ROWS);
  wn_index_batch batch = {queries, COUNT, {.k = K, .recall = .999}};
  wn_arena_init(&arena, (size_t)1 << 30);
  ok(wn_index_search_many(index, &batch, &arena, got, counts, &err), &err);
  for (uint32_t q = 0; q < COUNT; q++) {
    assert_int_equal(counts[q], K);
    shadow_search(&s, queries + q * DIMS, K, NULL, want);
    for (size_t i = 0; i < K; i++) {
      for (size_t j = 0; j < K; j++) hits += got[q * K + j].ix == want[i].ix;
    }
  }
  assert_true(hits >= .97 * COUNT * K);
  wn_arena_clear(&arena);
  shadow_free(&s);
  wn_index_free(index);
  wn_free(rows);
  wn_free(queries);
}

/* Rows of a full spectrum keep all dimensions. */
static void test_flat_spectrum(WN_UNUSED void **state) {
  wn_error err = {0};
  wn_index *index;
  wn_index_options options;
  wn_index_about about;
  float *rows = need(ROWS * DIMS * sizeof *rows);
  wn_vectors vectors = {rows, ROWS, DIMS};
  wn_rng rng;
  wn_rng_seed(&rng, 8);
  random_vector(&rng, rows, ROWS * DIMS);
  wn_index_options_defaults(&options);
  ok(wn_index_build(&vectors, &options, &index, &err), &err);
  wn_index_about_of(index, &about);
  assert_int_equal(about.coded, DIMS);
  wn_index_free(index);
  wn_free(rows);
}

typedef struct image {
  unsigned char *bytes;
  size_t len;
} image;

static wn_status take(void *ctx, const void *data, size_t bytes, WN_UNUSED wn_error *err) {
  image *to = ctx;
  memcpy(to->bytes + to->len, data, bytes);
  to->len += bytes;
  return WN_OK;
}

static void seal(image *to) {
  wn_image_header head;
  memcpy(&head, to->bytes, sizeof head);
  for (int i = 0; i < WN_PARTS; i++) {
    wn_image_part *part = &head.parts[i];
    part->checksum = wn_hash64(to->bytes + part->offset, (size_t)part->bytes, 0);
  }
  head.checksum = wn_hash64(&head, offsetof(wn_image_header, checksum), 0);
  memcpy(to->bytes, &head, sizeof head);
}

/* Bounds hold for orthonormal axes alone: the verifier looks, behind right checksums. */
static void test_verify(WN_UNUSED void **state) {
  wn_error err = {0};
  wn_image_header head;
  float *rows = low_rank_rows(2), saved;
  wn_index *index = build(rows, WN_METRIC_IP, 12);
  image to = {0};
  wn_index_sink sink = {&to, take};
  assert_int_equal(posix_memalign((void **)&to.bytes, 64, 4 << 20), 0);
  ok(wn_index_write(index, true, &sink, &err), &err);
  ok(wn_index_verify(to.bytes, to.len, &err), &err);
  memcpy(&head, to.bytes, sizeof head);
  float *axis = (float *)(void *)(to.bytes + head.parts[WN_PART_AXES].offset);
  saved = axis[16];
  axis[16] += .01f;
  seal(&to);
  assert_int_equal(wn_index_verify(to.bytes, to.len, &err), WN_E_CORRUPT);
  assert_string_equal(err.field, "axes");
  axis[16] = saved;
  head.kept = DIMS + 1;
  memcpy(to.bytes, &head, sizeof head);
  seal(&to);
  assert_int_equal(wn_index_verify(to.bytes, to.len, &err), WN_E_CORRUPT);
  wn_index_free(index);
  wn_free(rows);
  free(to.bytes);
}

static void test_allocation_failures(WN_UNUSED void **state) {
  float *rows = low_rank_rows(2);
  wn_status status = WN_E_MEMORY;
  wn_vectors vectors = {rows, ROWS, DIMS};
  for (long n = 0; status != WN_OK; n = n < 24 ? n + 1 : 2 * n) {
    wn_error err = {0};
    wn_index *index = NULL;
    wn_index_options options;
    wn_index_options_defaults(&options);
    options.lists = 4;
    options.recall = 1;
    wn_mem_fail_after(n);
    status = wn_index_build(&vectors, &options, &index, &err);
    wn_mem_fail_after(-1);
    if (status != WN_OK) assert_int_equal(status, WN_E_MEMORY);
    wn_index_free(index);
  }
  wn_free(rows);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_exact),
      cmocka_unit_test(test_pass_below_exact),
      cmocka_unit_test(test_flat_spectrum),
      cmocka_unit_test(test_verify),
      cmocka_unit_test(test_allocation_failures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
