/* AVX-512 with VNNI: one instruction multiplies and adds four dimensions of sixteen lanes. */
#include "base/simd/scan_tables.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define LANES WN_SCAN_LANES

/* acc += four products a lane. In assembly because gcc 12 copies the accumulator around its own
 * intrinsic: 13 to 27% of a scan. */
static inline __m512i dpbusd(__m512i acc, __m512i codes, __m512i query) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(codes), "v"(query));
  return acc;
}

/* The same with four codes of a query for every lane: the instruction spreads them as it loads. */
typedef struct four_codes {
  int8_t code[4];
} four_codes;

static inline __m512i dpbusd_spread(__m512i acc, __m512i codes, const int8_t *query) {
  const four_codes *from = (const four_codes *)(const void *)query;
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(codes), "m"(*from));
  return acc;
}

static inline __m512i spread(const int8_t *query) {
  int32_t four;
  memcpy(&four, query, sizeof four);
  return _mm512_set1_epi32(four);
}

static inline __m512 finish(const wn_scan_blocks *blocks, size_t block, const wn_scan_query *query,
                            __m512i sum) {
  const wn_scan_fit fit = blocks->fit[block];
  __m512 t = _mm512_add_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(query->offset));
  __m512 s = _mm512_mul_ps(t, _mm512_set1_ps(query->scale * fit.step));
  if (blocks->bias != NULL) s = _mm512_add_ps(s, _mm512_loadu_ps(blocks->bias + block * LANES));
  return _mm512_add_ps(s, _mm512_set1_ps(query->rest * fit.rest + query->shift));
}

static inline __m512i load(const uint8_t *codes) {
  return _mm512_loadu_si512((const void *)codes);
}

/* Four blocks from `block` on for one query. */
static inline void sum4(const wn_scan_blocks *blocks, size_t block, const wn_scan_query *query,
                        __m512i sum[4]) {
  size_t step = blocks->groups * 64;
  const uint8_t *codes = blocks->codes + block * step;
  __m512i s0 = _mm512_set1_epi32(query->start), s1 = s0, s2 = s0, s3 = s0;
  for (size_t g = 0; g < blocks->groups; g++, codes += 64) {
    __m512i q = spread(query->codes + 4 * g);
    s0 = dpbusd(s0, load(codes), q);
    s1 = dpbusd(s1, load(codes + step), q);
    s2 = dpbusd(s2, load(codes + 2 * step), q);
    s3 = dpbusd(s3, load(codes + 3 * step), q);
  }
  sum[0] = s0, sum[1] = s1, sum[2] = s2, sum[3] = s3;
}

/* One block, line after line. Memory is read in one stream, which the hardware runs ahead of: four
 * blocks side by side, a stream each, get less than half of the bandwidth. */
static inline __m512i sum1(const wn_scan_blocks *blocks, size_t block, const wn_scan_query *query) {
  const uint8_t *codes = blocks->codes + block * blocks->groups * 64;
  const int8_t *q = query->codes;
  __m512i s0 = _mm512_set1_epi32(query->start), s1 = _mm512_setzero_si512(), s2 = s1, s3 = s1;
  size_t g = 0;
  for (; g + 4 <= blocks->groups; g += 4, codes += 256, q += 16) {
    s0 = dpbusd(s0, load(codes), spread(q));
    s1 = dpbusd(s1, load(codes + 64), spread(q + 4));
    s2 = dpbusd(s2, load(codes + 128), spread(q + 8));
    s3 = dpbusd(s3, load(codes + 192), spread(q + 12));
  }
  for (; g < blocks->groups; g++, codes += 64, q += 4) s0 = dpbusd(s0, load(codes), spread(q));
  return _mm512_add_epi32(_mm512_add_epi32(s0, s1), _mm512_add_epi32(s2, s3));
}

/* Appends the lanes at or above the floor. Compressing in a register and storing it whole: the form
 * that compresses into memory takes a hundred cycles on Zen 4. */
static inline size_t keep(__m512 s, __m512 floor, size_t block, uint32_t *at, float *score) {
  __mmask16 hits = _mm512_cmp_ps_mask(s, floor, _CMP_GE_OQ);
  if (hits == 0) return 0;
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i number = _mm512_add_epi32(_mm512_set1_epi32((int)(block * LANES)), lanes);
  _mm512_storeu_si512(at, _mm512_maskz_compress_epi32(hits, number));
  _mm512_storeu_ps(score, _mm512_maskz_compress_ps(hits, s));
  return (size_t)__builtin_popcount(hits);
}

static size_t scan(const wn_scan_blocks *blocks, const wn_scan_query *query, float least,
                   uint32_t *at, float *score) {
  const __m512 floor = _mm512_set1_ps(least);
  size_t len = 0;
  for (size_t b = 0; b < blocks->count; b++) {
    __m512 s = finish(blocks, b, query, sum1(blocks, b, query));
    len += keep(s, floor, b, at + len, score + len);
  }
  return len;
}

/* For sixteen queries: what a block's sum must reach, as a function of what its codes stand for. */
typedef struct floors {
  __m512 need, rest, offset; /* (least − shift) / scale; rest / scale */
  __m512i start;
} floors;

/* Those behind the last are the first once more; what they find is not looked at. */
static floors floors_of(const wn_scan_blocks *blocks, const wn_scan_query *queries, size_t count,
                        const float *least) {
  float need[WN_SCAN_MANY], rest[WN_SCAN_MANY], offset[WN_SCAN_MANY];
  int32_t start[WN_SCAN_MANY];
  for (size_t i = 0; i < WN_SCAN_MANY; i++) {
    size_t q = i < count ? i : 0;
    bool usable = blocks->bias == NULL && queries[q].scale > 0;
    need[i] = usable ? (least[q] - queries[q].shift) / queries[q].scale : -INFINITY;
    rest[i] = usable ? queries[q].rest / queries[q].scale : 0;
    offset[i] = queries[q].offset;
    start[i] = queries[q].start;
  }
  return (floors){_mm512_loadu_ps(need), _mm512_loadu_ps(rest), _mm512_loadu_ps(offset),
                  _mm512_loadu_si512(start)};
}

/* What the sums begin with so that none of a lane whose score reaches `least` ends below 0: from a
 * bound lowered by more than this arithmetic errs. Without a usable bound all end above. */
static inline __m512i begin_with(const floors *f, wn_scan_fit fit) {
  const __m512 zero = _mm512_setzero_ps(), most = _mm512_set1_ps(1e9f);
  const __m512 inverse = _mm512_set1_ps(1 / fit.step);
  __m512 rest = _mm512_mul_ps(f->rest, _mm512_set1_ps(fit.rest));
  __m512 sum = _mm512_mul_ps(_mm512_sub_ps(f->need, rest), inverse);
  __m512 size = _mm512_max_ps(f->need, _mm512_sub_ps(zero, f->need));
  size = _mm512_mul_ps(_mm512_add_ps(size, rest), inverse);
  __m512 error = _mm512_add_ps(size, _mm512_add_ps(f->offset, _mm512_set1_ps(4e5f)));
  sum = _mm512_sub_ps(_mm512_sub_ps(sum, f->offset), _mm512_mul_ps(error, _mm512_set1_ps(4e-6f)));
  sum = _mm512_max_ps(sum, _mm512_sub_ps(zero, most)); /* and NaN */
  return _mm512_sub_epi32(f->start, _mm512_cvtps_epi32(_mm512_min_ps(sum, most)));
}

static inline __m512i spread_int(const int32_t *x) {
  __m512i v;
  __asm__("vpbroadcastd %1, %0" : "=v"(v) : "m"(*x)); /* gcc would load and shuffle */
  return v;
}

/* Sums of a block, and what they began with. */
typedef struct many_sums {
  __m512i sum[WN_SCAN_MANY];
  int32_t begin[WN_SCAN_MANY];
} many_sums;

/* A pass over blocks for some queries. */
typedef struct many {
  const wn_scan_blocks *blocks;
  const wn_scan_query *queries;
  size_t count;
  const float *least;
  wn_scan_found *found;
} many;

/* The hits of block b among the sums; seldom, and so out of the loop's registers. */
static __attribute__((noinline)) void keep_many(const many *m, size_t b, const many_sums *sums) {
  for (size_t q = 0; q < m->count; q++) {
    if (_mm512_movepi32_mask(sums->sum[q]) == 0xffff) continue;
    wn_scan_found *f = &m->found[q];
    __m512i begin = _mm512_set1_epi32(sums->begin[q] - m->queries[q].start);
    __m512 s = finish(m->blocks, b, &m->queries[q], _mm512_sub_epi32(sums->sum[q], begin));
    f->count += keep(s, _mm512_set1_ps(m->least[q]), b, f->at + f->count, f->score + f->count);
  }
}

/* One block by `width` queries, 8 or 16 where this is called: so many sums keep the multiplier
 * busy, a line is loaded once. The sums begin with what they must reach taken off, so that their
 * signs say whether any lane does: seldom. The scores of those are finished as everywhere. */
static inline __attribute__((always_inline)) void scan_wide(const many *m, size_t width,
                                                            const int8_t *packed) {
  const wn_scan_blocks *blocks = m->blocks;
  const uint8_t *codes = blocks->codes;
  const floors floor = floors_of(blocks, m->queries, m->count, m->least);
  for (size_t b = 0; b < blocks->count; b++) {
    __m512i sum[WN_SCAN_MANY], all;
    many_sums out; /* apart, so that the sums themselves need no address */
    _mm512_storeu_si512(out.begin, begin_with(&floor, blocks->fit[b]));
#pragma GCC unroll 16
    for (size_t q = 0; q < width; q++) sum[q] = spread_int(&out.begin[q]);
    const int8_t *at = packed;
    for (size_t g = 0; g < blocks->groups; g++, codes += 64, at += 4 * width) {
      __m512i x = load(codes);
#pragma GCC unroll 16
      for (size_t q = 0; q < width; q++) sum[q] = dpbusd_spread(sum[q], x, at + 4 * q);
    }
    all = sum[0];
#pragma GCC unroll 16
    for (size_t q = 1; q < width; q++) all = _mm512_and_si512(all, sum[q]);
    if (_mm512_movepi32_mask(all) == 0xffff) continue;
#pragma GCC unroll 16
    for (size_t q = 0; q < width; q++) out.sum[q] = sum[q];
    keep_many(m, b, &out);
  }
}

/* Four codes of each of `width` queries side by side, group by group. */
static void pack(const many *m, size_t groups, size_t width, int8_t *packed) {
  for (size_t q = 0; q < width; q++) {
    const int8_t *codes = m->queries[q < m->count ? q : 0].codes;
    for (size_t g = 0; g < groups; g++) memcpy(packed + 4 * (g * width + q), codes + 4 * g, 4);
  }
}

#define PACKED_GROUPS 256u

static void scan_many(const wn_scan_blocks *blocks, const wn_scan_query *queries,
                      size_t query_count, const float *least, wn_scan_found *found) {
  const many m = {blocks, queries, query_count, least, found};
  int8_t packed[PACKED_GROUPS * 4 * WN_SCAN_MANY];
  for (size_t q = 0; q < query_count; q++) found[q].count = 0;
  if (query_count < 4 || blocks->groups > PACKED_GROUPS) {
    for (size_t q = 0; q < query_count; q++) {
      found[q].count = scan(blocks, &queries[q], least[q], found[q].at, found[q].score);
    }
  } else if (query_count <= 8) {
    pack(&m, blocks->groups, 8, packed);
    scan_wide(&m, 8, packed);
  } else {
    pack(&m, blocks->groups, 16, packed);
    scan_wide(&m, 16, packed);
  }
}

/* Four blocks by four queries: sixteen sums in registers, a load for every two products. */
static void score16(const wn_scan_blocks *blocks, size_t block, const wn_scan_query *queries,
                    float *out, size_t ld) {
  size_t step = blocks->groups * 64;
  const uint8_t *codes = blocks->codes + block * step;
  __m512i sum[4][4];
  for (size_t q = 0; q < 4; q++) {
    for (size_t i = 0; i < 4; i++) sum[q][i] = _mm512_set1_epi32(queries[q].start);
  }
  for (size_t g = 0; g < blocks->groups; g++, codes += 64) {
    __m512i x0 = load(codes), x1 = load(codes + step);
    __m512i x2 = load(codes + 2 * step), x3 = load(codes + 3 * step);
#pragma GCC unroll 4
    for (size_t q = 0; q < 4; q++) {
      __m512i v = spread(queries[q].codes + 4 * g);
      sum[q][0] = dpbusd(sum[q][0], x0, v);
      sum[q][1] = dpbusd(sum[q][1], x1, v);
      sum[q][2] = dpbusd(sum[q][2], x2, v);
      sum[q][3] = dpbusd(sum[q][3], x3, v);
    }
  }
  for (size_t q = 0; q < 4; q++) {
    for (size_t i = 0; i < 4; i++) {
      _mm512_storeu_ps(out + q * ld + (block + i) * LANES,
                       finish(blocks, block + i, &queries[q], sum[q][i]));
    }
  }
}

static void score(const wn_scan_blocks *blocks, const wn_scan_query *queries, size_t query_count,
                  float *out, size_t ld) {
  size_t b = 0;
  for (; b + 4 <= blocks->count; b += 4) {
    if (query_count == 4) {
      score16(blocks, b, queries, out, ld);
      continue;
    }
    for (size_t q = 0; q < query_count; q++) {
      __m512i sum[4];
      sum4(blocks, b, &queries[q], sum);
      for (size_t i = 0; i < 4; i++) {
        _mm512_storeu_ps(out + q * ld + (b + i) * LANES,
                         finish(blocks, b + i, &queries[q], sum[i]));
      }
    }
  }
  for (; b < blocks->count; b++) {
    for (size_t q = 0; q < query_count; q++) {
      _mm512_storeu_ps(out + q * ld + b * LANES,
                       finish(blocks, b, &queries[q], sum1(blocks, b, &queries[q])));
    }
  }
}

#define PANEL_ROWS 8
#define PANEL_VECS (WN_SCAN_PANEL / LANES)

/* Rows first … first + count − 1 with all queries, which are the lanes; count is a constant where
 * this is called. 24 sums, 3 vectors of queries, and four codes of a row in every lane. */
static inline __attribute__((always_inline)) size_t panel_tile(const wn_scan_panel *p, size_t first,
                                                               size_t count, uint32_t *out) {
  __m512i s[PANEL_ROWS][PANEL_VECS];
  const size_t ld = 4 * p->groups;
  const int8_t *row = p->rows + first * ld;
  const uint8_t *x = p->x;
#pragma GCC unroll 8
  for (size_t r = 0; r < count; r++) {
    for (size_t v = 0; v < PANEL_VECS; v++) s[r][v] = _mm512_set1_epi32(p->start[first + r]);
  }
  for (size_t g = 0; g < p->groups; g++, x += 4 * WN_SCAN_PANEL, row += 4) {
    __m512i xv[PANEL_VECS];
#pragma GCC unroll 3
    for (size_t v = 0; v < PANEL_VECS; v++) xv[v] = load(x + v * 64);
#pragma GCC unroll 8
    for (size_t r = 0; r < count; r++) {
      __m512i a = spread(row + r * ld);
#pragma GCC unroll 3
      for (size_t v = 0; v < PANEL_VECS; v++) s[r][v] = dpbusd(s[r][v], xv[v], a);
    }
  }
  size_t len = 0;
#pragma GCC unroll 8
  for (size_t r = 0; r < count; r++) {
    uint64_t mask = 0;
#pragma GCC unroll 3
    for (size_t v = 0; v < PANEL_VECS; v++) {
      __m512i least = load((const uint8_t *)(p->least + v * LANES));
      mask |= (uint64_t)_mm512_cmpge_epi32_mask(s[r][v], least) << v * LANES;
    }
    for (; mask != 0; mask &= mask - 1) {
      out[len++] = (uint32_t)((first + r) * WN_SCAN_PANEL + (size_t)__builtin_ctzll(mask));
    }
  }
  return len;
}

static size_t panel_above(const wn_scan_panel *p, uint32_t *out) {
  size_t r = 0, len = 0;
  for (; r + PANEL_ROWS <= p->count; r += PANEL_ROWS)
    len += panel_tile(p, r, PANEL_ROWS, out + len);
  for (; r < p->count; r++) len += panel_tile(p, r, 1, out + len);
  return len;
}

static void dots(const float *blocks, size_t count, const float *x, size_t dims, float *out) {
  size_t step = dims * LANES, b = 0;
  for (; b + 4 <= count; b += 4, blocks += 4 * step) {
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t j = 0; j < dims; j++) {
      const float *at = blocks + j * LANES;
      __m512 v = _mm512_set1_ps(x[j]);
      s0 = _mm512_fmadd_ps(v, _mm512_loadu_ps(at), s0);
      s1 = _mm512_fmadd_ps(v, _mm512_loadu_ps(at + step), s1);
      s2 = _mm512_fmadd_ps(v, _mm512_loadu_ps(at + 2 * step), s2);
      s3 = _mm512_fmadd_ps(v, _mm512_loadu_ps(at + 3 * step), s3);
    }
    _mm512_storeu_ps(out + b * LANES, s0);
    _mm512_storeu_ps(out + (b + 1) * LANES, s1);
    _mm512_storeu_ps(out + (b + 2) * LANES, s2);
    _mm512_storeu_ps(out + (b + 3) * LANES, s3);
  }
  for (; b < count; b++, blocks += step) {
    __m512 s = _mm512_setzero_ps();
    for (size_t j = 0; j < dims; j++) {
      s = _mm512_fmadd_ps(_mm512_set1_ps(x[j]), _mm512_loadu_ps(blocks + j * LANES), s);
    }
    _mm512_storeu_ps(out + b * LANES, s);
  }
}

static float distance2(const float *a, const float *b, size_t n) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0;
  size_t i = 0;
  for (; i + 32 <= n; i += 32) {
    __m512 d0 = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
    __m512 d1 = _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
    s0 = _mm512_fmadd_ps(d0, d0, s0);
    s1 = _mm512_fmadd_ps(d1, d1, s1);
  }
  for (; i < n; i += 16) {
    __mmask16 here = n - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (n - i)) - 1);
    __m512 d =
        _mm512_sub_ps(_mm512_maskz_loadu_ps(here, a + i), _mm512_maskz_loadu_ps(here, b + i));
    s0 = _mm512_fmadd_ps(d, d, s0);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(s0, s1));
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
  size_t len = 0, i = 0;
  __m256i number = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (; i + 8 <= n; i += 8) {
    __mmask8 some = _mm512_test_epi64_mask(_mm512_loadu_si512((const void *)(a + i)),
                                           _mm512_loadu_si512((const void *)(b + i)));
    _mm256_storeu_si256((__m256i *)(void *)(at + len), _mm256_maskz_compress_epi32(some, number));
    len += (size_t)__builtin_popcount(some);
    number = _mm256_add_epi32(number, _mm256_set1_epi32(8));
  }
  for (; i < n; i++) {
    at[len] = (uint32_t)i;
    len += (a[i] & b[i]) != 0;
  }
  return len;
}

static unsigned test_bits(const uint64_t *words, size_t bits, const uint32_t *ids) {
  __m512i id = _mm512_loadu_si512((const void *)ids), zero = _mm512_setzero_si512();
  uint32_t end = bits < UINT32_MAX ? (uint32_t)bits : UINT32_MAX;
  __mmask16 in = _mm512_cmplt_epu32_mask(id, _mm512_set1_epi32((int)end));
  __m512i word = _mm512_mask_i32gather_epi32(zero, in, _mm512_srli_epi32(id, 5), words, 4);
  __m512i bit =
      _mm512_sllv_epi32(_mm512_set1_epi32(1), _mm512_and_si512(id, _mm512_set1_epi32(31)));
  return _mm512_mask_test_epi32_mask(in, word, bit);
}

const wn_scan_table wn_scan_avx512 = {.name = "avx512",
                                      .scan = scan,
                                      .scan_many = scan_many,
                                      .score = score,
                                      .panel_above = panel_above,
                                      .panel_pays = true,
                                      .dots = dots,
                                      .distance2 = distance2,
                                      .count_bits = count_bits,
                                      .words_common = words_common,
                                      .test_bits = test_bits};
#endif
