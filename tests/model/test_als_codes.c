/* Codes may only exclude what is not there: whatever the vectors, a product at or above what is
 * asked has a sum of codes at or above wn_als_code_least. */
#include "base/harness.h"
#include "model/als.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/scan.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

enum { ROWS = 200 }; /* three blocks and a part */

typedef struct sample {
  wn_als als;
  float *item, *query;
  uint8_t *panel;
} sample;

/* kind 0: normal; 1: dimensions of very different size; 2: one number alone; 3: some rows zero,
 * tiny or huge. */
static float number(wn_rng *rng, int kind, size_t row, size_t k) {
  float x = (float)wn_rng_normal(rng);
  if (kind == 1) return x * expf(-(float)k);
  if (kind == 2) return k == row % 3 ? x : 0;
  if (kind == 3) return row < 64 ? 0 : row % 2 == 0 ? x * 1e-25f : x * 1e15f;
  return x;
}

static void make(sample *s, wn_rng *rng, size_t d, int kind) {
  s->als = (wn_als){.head = {.d = (uint32_t)d, .rows = ROWS}, .coded = wn_als_coded_new()};
  s->item = wn_malloc(ROWS * d * sizeof *s->item);
  s->query = wn_malloc(d * sizeof *s->query);
  s->panel = wn_calloc(wn_als_code_groups(d), WN_SCAN_PANEL * 4);
  assert_non_null(s->als.coded);
  for (size_t r = 0; r < ROWS; r++)
    for (size_t k = 0; k < d; k++) s->item[r * d + k] = number(rng, kind, r, k);
  for (size_t k = 0; k < d; k++) s->query[k] = number(rng, kind, 64, k);
  s->als.item = s->item;
}

static void drop(sample *s) {
  wn_als_coded_free(s->als.coded);
  wn_free(s->item);
  wn_free(s->query);
  wn_free(s->panel);
}

static int32_t sum_of(const sample *s, const wn_als_codes *codes, size_t row, size_t column) {
  const int8_t *r = codes->rows + row * 4 * codes->groups;
  int32_t sum = codes->start[row];
  for (size_t k = 0; k < 4 * codes->groups; k++)
    sum += r[k] * s->panel[(k / 4 * WN_SCAN_PANEL + column) * 4 + k % 4];
  return sum;
}

/* Returns how many rows codes exclude when 95% of the row's own product is asked; each such row
 * must be below it. */
static size_t check(sample *s, size_t column) {
  const size_t d = s->als.head.d;
  const wn_als_codes *codes = wn_als_codes_of(&s->als);
  assert_non_null(codes);
  assert_ptr_equal(codes, wn_als_codes_of(&s->als));
  wn_als_code q = wn_als_code_query(s->query, d, column, s->panel);
  size_t excluded = 0;
  float most = 0;
  for (size_t r = 0; r < ROWS; r++) {
    float product = wn_simd()->dot(s->item + r * d, s->query, d);
    const wn_als_code *block = &codes->block[r / WN_ALS_CODED];
    assert_true(sum_of(s, codes, r, column) >= wn_als_code_least(&q, block, product));
    assert_true(sum_of(s, codes, r, column) >= wn_als_code_least(&q, block, -INFINITY));
    most = fmaxf(most, product);
  }
  for (size_t r = 0; r < ROWS; r++) {
    const wn_als_code *block = &codes->block[r / WN_ALS_CODED];
    excluded += sum_of(s, codes, r, column) < wn_als_code_least(&q, block, most);
  }
  return excluded;
}

static void test_bound(WN_UNUSED void **state) {
  const size_t sizes[] = {1, 2, 3, 16, 63, 128, 1024};
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (size_t i = 0; i < COUNT_OF(sizes); i++) {
    for (int kind = 0; kind < 4; kind++) {
      sample s;
      make(&s, &rng, sizes[i], kind);
      size_t excluded = check(&s, 7 * i % WN_SCAN_PANEL);
      if (kind == 0 && sizes[i] >= 16) assert_true(excluded > ROWS * 8 / 10);
      drop(&s);
    }
  }
}

/* Vectors that codes cannot say exclude nothing. */
static void test_without_codes(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 6);
  sample s;
  make(&s, &rng, 8, 0);
  memset(s.query, 0, 8 * sizeof *s.query);
  wn_als_code zero = wn_als_code_query(s.query, 8, 0, s.panel), block = {.scale = 1};
  assert_int_equal(wn_als_code_least(&zero, &block, 1), INT32_MIN);
  s.query[3] = INFINITY;
  wn_als_code huge = wn_als_code_query(s.query, 8, 0, s.panel);
  assert_int_equal(wn_als_code_least(&huge, &block, 1), INT32_MIN);
  drop(&s);
}

static void test_no_memory(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 7);
  sample s;
  make(&s, &rng, 8, 0);
  for (int n = 0; n < 4; n++) {
    wn_mem_fail_after(n);
    assert_null(wn_als_codes_of(&s.als));
  }
  wn_mem_fail_after(-1);
  assert_non_null(wn_als_codes_of(&s.als));
  drop(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bound),
      cmocka_unit_test(test_without_codes),
      cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
