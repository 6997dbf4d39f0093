/* Plain C: the reference, and what runs where nothing better is known. The inner loops are written
 * for the compiler to vectorise. */
#include "base/simd/scan_tables.h"

#include <string.h>

#define LANES WN_SCAN_LANES

/* The scores of one block. */
static void score_block(const wn_scan_blocks *blocks, size_t block, const wn_scan_query *query,
                        float *out) {
  const uint8_t *codes = blocks->codes + block * blocks->groups * 64;
  const wn_scan_fit fit = blocks->fit[block];
  const float step = query->scale * fit.step, add = query->rest * fit.rest + query->shift;
  int32_t sum[LANES];
  for (size_t l = 0; l < LANES; l++) sum[l] = query->start;
  for (size_t g = 0; g < blocks->groups; g++, codes += 64) {
    const int8_t *q = query->codes + 4 * g;
    for (size_t l = 0; l < LANES; l++) {
      const uint8_t *x = codes + 4 * l;
      sum[l] += q[0] * x[0] + q[1] * x[1] + q[2] * x[2] + q[3] * x[3];
    }
  }
  for (size_t l = 0; l < LANES; l++) {
    float s = ((float)sum[l] + query->offset) * step;
    if (blocks->bias != NULL) s += blocks->bias[block * LANES + l];
    out[l] = s + add;
  }
}

static size_t scan(const wn_scan_blocks *blocks, const wn_scan_query *query, float least,
                   uint32_t *at, float *score) {
  size_t len = 0;
  for (size_t b = 0; b < blocks->count; b++) {
    float s[LANES];
    score_block(blocks, b, query, s);
    for (size_t l = 0; l < LANES; l++) {
      if (!(s[l] >= least)) continue;
      at[len] = (uint32_t)(b * LANES + l);
      score[len++] = s[l];
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
      score_block(blocks, b, &queries[q], out + q * ld + b * LANES);
    }
  }
}

size_t wn_scan_panel_above_scalar(const wn_scan_panel *p, uint32_t *out) {
  size_t len = 0;
  for (size_t r = 0; r < p->count; r++) {
    const int8_t *row = p->rows + r * 4 * p->groups;
    int32_t sum[WN_SCAN_PANEL];
    for (size_t c = 0; c < WN_SCAN_PANEL; c++) sum[c] = p->start[r];
    for (size_t g = 0; g < p->groups; g++, row += 4) {
      for (size_t c = 0; c < WN_SCAN_PANEL; c++) {
        const uint8_t *x = p->x + (g * WN_SCAN_PANEL + c) * 4;
        sum[c] += row[0] * x[0] + row[1] * x[1] + row[2] * x[2] + row[3] * x[3];
      }
    }
    for (size_t c = 0; c < WN_SCAN_PANEL; c++)
      if (sum[c] >= p->least[c]) out[len++] = (uint32_t)(r * WN_SCAN_PANEL + c);
  }
  return len;
}

static void dots(const float *blocks, size_t count, const float *x, size_t dims, float *out) {
  for (size_t b = 0; b < count; b++, blocks += dims * LANES, out += LANES) {
    memset(out, 0, LANES * sizeof *out);
    for (size_t j = 0; j < dims; j++) {
      for (size_t l = 0; l < LANES; l++) out[l] += x[j] * blocks[j * LANES + l];
    }
  }
}

static float distance2(const float *a, const float *b, size_t n) {
  float sum[8] = {0};
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (size_t l = 0; l < 8; l++) sum[l] += (a[i + l] - b[i + l]) * (a[i + l] - b[i + l]);
  }
  for (; i < n; i++) sum[0] += (a[i] - b[i]) * (a[i] - b[i]);
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static size_t count_bits(const uint64_t *words, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += (size_t)__builtin_popcountll(words[i]);
  return count;
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

const wn_scan_table wn_scan_scalar = {.name = "scalar",
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
