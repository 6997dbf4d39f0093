/* Every table that this CPU offers against a plain sum; the integer kernels must agree to the bit.
 */
#include "harness.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/simd/scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"scalar", "avx2", "avx512"};

typedef struct sample {
  size_t groups, count;
  uint8_t *codes;
  wn_scan_fit *fit;
  float *bias;
  int8_t *query[4];
  wn_scan_query queries[4];
} sample;

static void *need(size_t bytes) {
  void *p = wn_malloc(bytes); /* exact blocks, so that ASan sees a read past the end */
  assert_non_null(p);
  return p;
}

static void fill(sample *s, wn_rng *rng) {
  size_t lanes = s->count * WN_SCAN_LANES, bytes = s->count * s->groups * 64;
  s->codes = need(bytes);
  s->fit = need(s->count * sizeof *s->fit);
  s->bias = need(lanes * sizeof(float));
  for (size_t i = 0; i < bytes; i++) s->codes[i] = (uint8_t)(1 + wn_rng_below(rng, 255));
  for (size_t b = 0; b < s->count; b++) {
    bool zeros = wn_rng_below(rng, 5) == 0; /* of a block of zero vectors */
    s->fit[b] = (wn_scan_fit){zeros ? 0 : (float)wn_rng_double(rng), (float)wn_rng_double(rng)};
    if (zeros) memset(s->codes + b * s->groups * 64, 128, s->groups * 64);
  }
  for (size_t i = 0; i < lanes; i++) s->bias[i] = (float)wn_rng_normal(rng) * 1e4f;
  for (size_t q = 0; q < 4; q++) {
    int32_t sum = 0;
    s->query[q] = need(4 * s->groups);
    for (size_t i = 0; i < 4 * s->groups; i++) {
      s->query[q][i] = (int8_t)((int)wn_rng_below(rng, 255) - 127);
      sum += s->query[q][i];
    }
    s->queries[q] = (wn_scan_query){s->query[q], -128 * sum, 17.0f, .5f, 90.0f, 3.0f};
  }
}

static void drop(sample *s) {
  wn_free(s->codes);
  wn_free(s->fit);
  wn_free(s->bias);
  for (size_t q = 0; q < 4; q++) wn_free(s->query[q]);
}

static float twin(const sample *s, size_t lane, const wn_scan_query *q, bool bias) {
  const uint8_t *block = s->codes + lane / WN_SCAN_LANES * s->groups * 64;
  int64_t sum = 0;
  for (size_t i = 0; i < 4 * s->groups; i++) {
    sum += q->codes[i] * ((int)block[i / 4 * 64 + lane % WN_SCAN_LANES * 4 + i % 4] - 128);
  }
  const wn_scan_fit fit = s->fit[lane / WN_SCAN_LANES];
  float t = ((float)sum + q->offset) * (q->scale * fit.step);
  if (bias) t += s->bias[lane];
  return t + (q->rest * fit.rest + q->shift);
}

/* Each of 1 to 8 queries finds what it finds alone. */
static void check_many(const wn_scan_table *t, const sample *s, const wn_scan_blocks *blocks) {
  size_t room = (s->count + 1) * WN_SCAN_LANES;
  wn_scan_query queries[WN_SCAN_MANY];
  wn_scan_found found[WN_SCAN_MANY];
  float least[WN_SCAN_MANY];
  uint32_t *at = need(room * sizeof *at);
  float *score = need(room * sizeof *score);
  for (size_t q = 0; q < WN_SCAN_MANY; q++) {
    queries[q] = s->queries[q % 4];
    least[q] = q == 7 ? 1e30f : (float)q * 100 - 300;
    found[q] = (wn_scan_found){need(room * sizeof *at), need(room * sizeof *score), 9};
  }
  if (s->count > 0) least[6] = twin(s, 3, &queries[6], blocks->bias != NULL); /* a tie is a hit */
  for (size_t n = 1; n <= WN_SCAN_MANY; n++) {
    t->scan_many(blocks, queries, n, least, found);
    for (size_t q = 0; q < n; q++) {
      size_t len = t->scan(blocks, &queries[q], least[q], at, score);
      assert_int_equal(found[q].count, len);
      assert_memory_equal(found[q].at, at, len * sizeof *at);
      assert_memory_equal(found[q].score, score, len * sizeof *score);
    }
  }
  for (size_t q = 0; q < WN_SCAN_MANY; q++) {
    wn_free(found[q].at);
    wn_free(found[q].score);
  }
  wn_free(at);
  wn_free(score);
}

static void check_scan(const wn_scan_table *t, const sample *s, bool bias) {
  size_t lanes = s->count * WN_SCAN_LANES;
  wn_scan_blocks blocks = {s->codes, s->fit, bias ? s->bias : NULL, s->count, s->groups};
  uint32_t *at = need((lanes + 16) * sizeof *at);
  float *score = need((lanes + 16) * sizeof *score), *out = need(lanes * 4 * sizeof *out);
  size_t len = t->scan(&blocks, &s->queries[0], 0, at, score), want = 0;
  for (size_t l = 0; l < lanes; l++) {
    float expect = twin(s, l, &s->queries[0], bias);
    if (!(expect >= 0)) continue;
    assert_true(want < len);
    assert_int_equal(at[want], l);
    assert_true(score[want++] == expect);
  }
  assert_int_equal(len, want);
  check_many(t, s, &blocks);
  for (size_t n = 1; n <= 4; n++) {
    t->score(&blocks, s->queries, n, out, lanes);
    for (size_t q = 0; q < n; q++) {
      for (size_t l = 0; l < lanes; l++) {
        assert_true(out[q * lanes + l] == twin(s, l, &s->queries[q], bias));
      }
    }
  }
  wn_free(at);
  wn_free(score);
  wn_free(out);
}

/* Exactly the pairs whose sum of codes reaches what the query asks, each once, in order of rows. */
static void check_panel(const wn_scan_table *t, wn_rng *rng, size_t groups, size_t count) {
  const size_t ld = 4 * groups;
  int8_t *rows = need(count * ld);
  int32_t *start = need(count * sizeof *start), least[WN_SCAN_PANEL];
  uint8_t *x = need(groups * WN_SCAN_PANEL * 4);
  uint32_t *out = need(count * WN_SCAN_PANEL * sizeof *out);
  for (size_t i = 0; i < count * ld; i++) rows[i] = (int8_t)((int)wn_rng_below(rng, 255) - 127);
  for (size_t i = 0; i < ld * WN_SCAN_PANEL; i++) x[i] = (uint8_t)(1 + wn_rng_below(rng, 255));
  for (size_t c = 0; c < WN_SCAN_PANEL; c++)
    least[c] = c % 7 == 3   ? INT32_MAX
               : c % 7 == 5 ? INT32_MIN
                            : (int32_t)wn_rng_below(rng, 40000) - 20000;
  for (size_t r = 0; r < count; r++) {
    start[r] = 0;
    for (size_t k = 0; k < ld; k++) start[r] -= 128 * rows[r * ld + k];
  }
  const wn_scan_panel panel = {rows, start, count, groups, x, least};
  size_t len = t->panel_above(&panel, out), want = 0;
  for (size_t at = 0; at < count * WN_SCAN_PANEL; at++) {
    size_t r = at / WN_SCAN_PANEL, c = at % WN_SCAN_PANEL;
    int64_t sum = 0;
    for (size_t k = 0; k < ld; k++)
      sum += rows[r * ld + k] * ((int)x[(k / 4 * WN_SCAN_PANEL + c) * 4 + k % 4] - 128);
    if (sum < least[c]) continue;
    assert_true(want < len);
    assert_int_equal(out[want++], at);
  }
  assert_int_equal(len, want);
  wn_free(rows);
  wn_free(start);
  wn_free(x);
  wn_free(out);
}

static void test_codes(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  for (size_t k = 0; k < COUNT_OF(names); k++) {
    const wn_scan_table *t = wn_scan_named(names[k]);
    if (t == NULL) {
      print_message("%s: not on this CPU\n", names[k]);
      continue;
    }
    for (size_t groups = 1; groups <= 40; groups += groups < 5 ? 1 : 7) {
      for (size_t count = 0; count <= 9; count++) {
        sample s = {.groups = groups, .count = count};
        fill(&s, &rng);
        check_scan(t, &s, false);
        check_scan(t, &s, true);
        drop(&s);
        check_panel(t, &rng, groups, 2 * count);
      }
    }
  }
}

static void test_floats(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 4);
  for (size_t k = 0; k < COUNT_OF(names); k++) {
    const wn_scan_table *t = wn_scan_named(names[k]);
    if (t == NULL) continue;
    for (size_t dims = 1; dims <= 70; dims++) {
      size_t count = (size_t)wn_rng_below(&rng, 7), lanes = count * WN_SCAN_LANES;
      float *blocks = need(lanes * dims * sizeof(float)), *out = need(lanes * sizeof(float));
      float *x = need(dims * sizeof(float)), *y = need(dims * sizeof(float));
      double want = 0;
      for (size_t i = 0; i < lanes * dims; i++) blocks[i] = (float)wn_rng_normal(&rng);
      for (size_t i = 0; i < dims; i++) {
        x[i] = (float)wn_rng_normal(&rng);
        y[i] = (float)wn_rng_normal(&rng);
        want += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
      }
      assert_true(fabs((double)t->distance2(x, y, dims) - want) <= 1e-5 * want);
      assert_true(t->distance2(x, x, dims) == 0);
      t->dots(blocks, count, x, dims, out);
      for (size_t l = 0; l < lanes; l++) {
        double sum = 0;
        for (size_t j = 0; j < dims; j++) {
          sum += (double)x[j] * (double)blocks[(l / 16 * dims + j) * 16 + l % 16];
        }
        assert_true(fabs((double)out[l] - sum) <= 1e-4);
      }
      wn_free(blocks);
      wn_free(out);
      wn_free(x);
      wn_free(y);
    }
  }
}

static void test_bits(WN_UNUSED void **state) {
  uint64_t words[5] = {1, UINT64_MAX, 0, 6, UINT64_MAX};
  for (size_t k = 0; k < COUNT_OF(names); k++) {
    const wn_scan_table *t = wn_scan_named(names[k]);
    if (t == NULL) continue;
    assert_string_equal(t->name, names[k]);
    assert_int_equal(t->count_bits(words, 0), 0);
    assert_int_equal(t->count_bits(words, 4), 67);
    assert_int_equal(t->count_bits(words, 5), 131);
  }
  assert_null(wn_scan_named("sse9"));
  assert_ptr_equal(wn_scan(), wn_scan());
}

static void test_common_words(WN_UNUSED void **state) {
  enum { WORDS = 41 };
  wn_rng rng;
  uint64_t a[WORDS], b[WORDS];
  uint32_t at[WORDS + 8];
  wn_rng_seed(&rng, 13);
  for (int round = 0; round < 200; round++) {
    for (size_t i = 0; i < WORDS; i++) { /* one bit each, the same in half of them */
      a[i] = UINT64_C(1) << wn_rng_below(&rng, 64);
      b[i] = wn_rng_below(&rng, 2) == 0 ? a[i] : ~a[i];
    }
    size_t n = (size_t)wn_rng_below(&rng, WORDS + 1);
    for (size_t k = 0; k < COUNT_OF(names); k++) {
      const wn_scan_table *t = wn_scan_named(names[k]);
      if (t == NULL) continue;
      size_t found = t->words_common(a, b, n, at), next = 0;
      for (uint32_t i = 0; i < n; i++) {
        if (a[i] == b[i]) assert_int_equal(at[next++], i);
      }
      assert_int_equal(found, next);
    }
  }
}

static void test_allowed_lanes(WN_UNUSED void **state) {
  enum { WORDS = 9 };
  wn_rng rng;
  wn_rng_seed(&rng, 12);
  uint64_t *words = need(WORDS * sizeof *words);
  for (size_t k = 0; k < COUNT_OF(names); k++) {
    const wn_scan_table *t = wn_scan_named(names[k]);
    for (int round = 0; t != NULL && round < 200; round++) {
      uint32_t ids[WN_SCAN_LANES];
      size_t bits = WORDS * 64 - (size_t)wn_rng_below(&rng, 70) % 64;
      unsigned want = 0;
      for (size_t i = 0; i < WORDS; i++) words[i] = wn_rng_next(&rng);
      for (unsigned l = 0; l < WN_SCAN_LANES; l++) {
        ids[l] = wn_rng_below(&rng, 9) == 0 ? UINT32_MAX : (uint32_t)wn_rng_below(&rng, 700);
        if (ids[l] < bits) want |= (unsigned)(words[ids[l] / 64] >> (ids[l] % 64) & 1) << l;
      }
      assert_int_equal(t->test_bits(words, bits, ids), want);
    }
  }
  wn_free(words);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_codes),        cmocka_unit_test(test_allowed_lanes),
      cmocka_unit_test(test_floats),       cmocka_unit_test(test_bits),
      cmocka_unit_test(test_common_words),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
