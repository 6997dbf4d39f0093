/* Symmetric linear quantisation: scale = max|x| / 127, code = round(x / scale), one scale a vector.
 * Queries are quantised alike. The error of a score is bounded, not guessed: a search that keeps
 * what the bound cannot exclude, and scores that in fp32, is exact. Typical errors are √dims
 * smaller than the bound, which is what the approximate search uses. */
#include "index/codes.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

double wn_norm2(const float *x, uint32_t dims) {
  double sum[4] = {0};
  uint32_t i = 0;
  for (; i + 4 <= dims; i += 4) {
    for (uint32_t l = 0; l < 4; l++) sum[l] += (double)x[i + l] * (double)x[i + l];
  }
  for (; i < dims; i++) sum[0] += (double)x[i] * (double)x[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

float wn_norm_entry(wn_metric metric, double norm2) {
  if (metric == WN_METRIC_COSINE) return norm2 > 0 ? (float)(1 / sqrt(norm2)) : 0;
  return (float)sqrt(norm2);
}

static float greatest(const float *x, uint32_t dims) {
  float most = 0;
  for (uint32_t i = 0; i < dims; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
  return most;
}

/* round(x·inverse), away from 0 at halves; NaN, from a damaged image, is 127 */
static inline int nearest(float x, float inverse) {
  float v = x * inverse;
  v = v < 127 ? v : 127;
  v = v > -127 ? v : -127;
  return (int)(v + (v < 0 ? -.5f : .5f));
}

/* 1/scale overflows for scales of less than 2^-126: such vectors get code 0 and a great error. */
static float scale_of(float most, float *inverse) {
  float scale = most / 127;
  if (!(scale >= 1e-37f)) {
    *inverse = 0;
    return most > 0 ? 1e-37f : 0;
  }
  *inverse = 1 / scale;
  return scale;
}

float wn_code_row(const float *row, uint32_t dims, float factor, uint8_t *block, size_t lane,
                  wn_code_fit *fit) {
  float inverse, scale = scale_of(greatest(row, dims), &inverse);
  float error2 = 0, norm2 = 0; /* in units of scale², of numbers below 128 */
  size_t padded = ((size_t)dims + 3) / 4 * 4;
  for (size_t i = 0; i < padded; i++) {
    float x = i < dims ? row[i] : 0;
    int code = nearest(x, inverse);
    float unit = scale > 0 ? x / scale : 0, miss = unit - (float)code;
    error2 += miss * miss;
    norm2 += unit * unit;
    block[i / 4 * 64 + lane * 4 + i % 4] = (uint8_t)(code + 128);
  }
  float error = sqrtf(error2) * 1.0001f, norm = sqrtf(norm2) * 1.0001f;
  if (error > fit->error) fit->error = error;
  if (norm > fit->norm) fit->norm = norm;
  return scale * factor;
}

void wn_probe_init(wn_probe *probe, const float *vector, uint32_t dims, wn_metric metric,
                   float row2_max, int8_t *codes) {
  float inverse, scale = scale_of(greatest(vector, dims), &inverse);
  double norm2 = wn_norm2(vector, dims), code2 = 0, error2 = 0;
  size_t padded = ((size_t)dims + 3) / 4 * 4;
  int32_t sum = 0;
  for (size_t i = 0; i < padded; i++) {
    float x = i < dims ? vector[i] : 0;
    int code = nearest(x, inverse);
    double unit = scale > 0 ? (double)x / (double)scale : 0, miss = unit - code;
    codes[i] = (int8_t)code;
    sum += code;
    code2 += (double)code * code;
    error2 += miss * miss;
  }
  /* fp32 sums of the exact scores themselves err by about √dims·2⁻²⁴; take a generous multiple */
  double rounding = 1e-6 + 1e-8 * dims;
  *probe = (wn_probe){.vector = vector, .dims = dims, .metric = metric, .norm = sqrt(norm2)};
  probe->inverse = metric == WN_METRIC_COSINE ? wn_norm_entry(metric, norm2) : 0;
  probe->code_norm = (float)sqrt(code2);
  probe->code_error =
      scale > 0 ? (float)(sqrt(error2) + rounding * probe->norm / (double)scale) : 0;
  probe->scan = (wn_scan_query){.codes = codes, .start = -128 * sum, .scale = scale};
  if (metric == WN_METRIC_COSINE) probe->scan.scale *= probe->inverse;
  if (metric == WN_METRIC_L2) {
    probe->slack = 1e-6f * ((float)norm2 + row2_max);
    probe->scan.scale *= 2;
    probe->scan.shift = probe->slack - (float)norm2;
  }
}

float wn_probe_score(const wn_probe *probe, const float *row, float norm) {
  if (probe->metric == WN_METRIC_L2) {
    return -wn_scan()->distance2(probe->vector, row, probe->dims);
  }
  float dot = wn_simd()->dot(probe->vector, row, probe->dims);
  return probe->metric == WN_METRIC_COSINE ? dot * (norm * probe->inverse) : dot;
}
