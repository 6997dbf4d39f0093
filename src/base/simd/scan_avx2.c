/* AVX2: bytes are widened to 16 bits before they are multiplied, because vpmaddubsw saturates: half
 * its speed, and the same integers as everywhere else. */
#include "base/simd/scan_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define LANES WN_SCAN_LANES

/* Pairs of products of eight lanes: `low` lanes 0 1 4 5, `high` lanes 2 3 6 7, two sums each. */
typedef struct pair_sums {
  __m256i low, high;
} pair_sums;

static inline void add_group(pair_sums *sums, __m256i codes, __m256i query) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi8(codes, zero), query);
  __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi8(codes, zero), query);
  sums->low = _mm256_add_epi32(sums->low, low);
  sums->high = _mm256_add_epi32(sums->high, high);
}

/* Four codes of the query, as 16-bit numbers, in every lane. */
static inline __m256i spread(const int8_t *query) {
  int32_t four;
  memcpy(&four, query, sizeof four);
  return _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
}

static inline __m256 finish(const wn_scan_blocks *blocks, size_t lane, const wn_scan_query *query,
                            pair_sums sums) {
  const wn_scan_fit fit = blocks->fit[lane / LANES];
  __m256i sum =
      _mm256_add_epi32(_mm256_hadd_epi32(sums.low, sums.high), _mm256_set1_epi32(query->start));
  __m256 t = _mm256_add_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(query->offset));
  __m256 s = _mm256_mul_ps(t, _mm256_set1_ps(query->scale * fit.step));
  if (blocks->bias != NULL) s = _mm256_add_ps(s, _mm256_loadu_ps(blocks->bias + lane));
  return _mm256_add_ps(s, _mm256_set1_ps(query->rest * fit.rest + query->shift));
}

static inline void score_block(const wn_scan_blocks *blocks, size_t block,
                               const wn_scan_query *query, __m256 out[2]) {
  const uint8_t *codes = blocks->codes + block * blocks->groups * 64;
  const __m256i zero = _mm256_setzero_si256();
  pair_sums a = {zero, zero}, b = a;
  for (size_t g = 0; g < blocks->groups; g++, codes += 64) {
    __m256i q = spread(query->codes + 4 * g);
    add_group(&a, _mm256_loadu_si256((const __m256i *)codes), q);
    add_group(&b, _mm256_loadu_si256((const __m256i *)(codes + 32)), q);
  }
  out[0] = finish(blocks, block * LANES, query, a);
  out[1] = finish(blocks, block * LANES + 8, query, b);
}

static size_t scan(const wn_scan_blocks *blocks, const wn_scan_query *query, float least,
                   uint32_t *at, float *score) {
  const __m256 floor = _mm256_set1_ps(least);
  size_t len = 0;
  for (size_t b = 0; b < blocks->count; b++) {
    __m256 s[2];
    score_block(blocks, b, query, s);
    unsigned hits = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(s[0], floor, _CMP_GE_OQ)) |
                    (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(s[1], floor, _CMP_GE_OQ)) << 8;
    if (hits == 0) continue;
    float lanes[LANES];
    _mm256_storeu_ps(lanes, s[0]);
    _mm256_storeu_ps(lanes + 8, s[1]);
    for (; hits != 0; hits &= hits - 1) {
      unsigned l = (unsigned)__builtin_ctz(hits);
      at[len] = (uint32_t)(b * LANES + l);
      score[len++] = lanes[l];
    }
  }
  return len;
}

/* One by one: a chunk of codes stays in the cache. */
static void scan_many(const wn_scan_blocks *blocks, const wn_scan_query *queries,
                      size_t query_count, const float *least, wn_scan_found *found) {
  for (size_t q = 0; q < query_count; q++) {
    found[q].count = scan(blocks, &queries[q], least[q], found[q].at, found[q].score);
  }
}

static void score(const wn_scan_blocks *blocks, const wn_scan_query *queries, size_t query_count,
                  float *out, size_t ld) {
  for (size_t b = 0; b < blocks->count; b++) {
    for (size_t q = 0; q < query_count; q++) {
      __m256 s[2];
      score_block(blocks, b, &queries[q], s);
      _mm256_storeu_ps(out + q * ld + b * LANES, s[0]);
      _mm256_storeu_ps(out + q * ld + b * LANES + 8, s[1]);
    }
  }
}

static void dots(const float *blocks, size_t count, const float *x, size_t dims, float *out) {
  for (size_t b = 0; b < count; b++, blocks += dims * LANES, out += LANES) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (size_t j = 0; j < dims; j++) {
      __m256 v = _mm256_set1_ps(x[j]);
      low = _mm256_fmadd_ps(v, _mm256_loadu_ps(blocks + j * LANES), low);
      high = _mm256_fmadd_ps(v, _mm256_loadu_ps(blocks + j * LANES + 8), high);
    }
    _mm256_storeu_ps(out, low);
    _mm256_storeu_ps(out + 8, high);
  }
}

static inline float sum8(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static float distance2(const float *a, const float *b, size_t n) {
  __m256 s0 = _mm256_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
    __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
    s0 = _mm256_fmadd_ps(d0, d0, s0);
    s1 = _mm256_fmadd_ps(d1, d1, s1);
  }
  float sum = sum8(_mm256_add_ps(s0, s1));
  for (; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

static size_t count_bits(const uint64_t *words, size_t n) {
  size_t a = 0, b = 0, i = 0;
  for (; i + 2 <= n; i += 2) {
    a += (size_t)__builtin_popcountll(words[i]);
    b += (size_t)__builtin_popcountll(words[i + 1]);
  }
  if (i < n) a += (size_t)__builtin_popcountll(words[i]);
  return a + b;
}

static size_t words_common(const uint64_t *a, const uint64_t *b, size_t n, uint32_t *at) {
  size_t len = 0;
  for (size_t i = 0; i < n; i++) { /* which is seldom predictable */
    at[len] = (uint32_t)i;
    len += (a[i] & b[i]) != 0;
  }
  return len;
}

static unsigned test_bits(const uint64_t *words, size_t bits, const uint32_t *ids) {
  unsigned mask = 0;
  for (unsigned l = 0; l < LANES; l++) {
    if (ids[l] < bits) mask |= (unsigned)((words[ids[l] >> 6] >> (ids[l] & 63)) & 1) << l;
  }
  return mask;
}

const wn_scan_table wn_scan_avx2 = {.name = "avx2",
                                    .scan = scan,
                                    .scan_many = scan_many,
                                    .score = score,
                                    .panel_above = wn_scan_panel_above_scalar,
                                    .panel_pays = false,
                                    .dots = dots,
                                    .distance2 = distance2,
                                    .count_bits = count_bits,
                                    .words_common = words_common,
                                    .test_bits = test_bits};
#endif
