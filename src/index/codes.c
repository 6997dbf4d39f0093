/* Symmetric linear quantisation of what the axes see of a vector, y = Aᵀx (axes.h): code =
 * round(y / step), one step a block of rows, max|y| / 127; queries likewise. The error of a score
 * is bounded, not guessed: a search that keeps what the bound cannot exclude, and scores that in
 * fp32, is exact. Typical errors are √dims smaller than the bound, which is what the approximate
 * search uses.
 *
 * What the axes do not see, ‖x‖² − ‖y‖², is the rest's norm, and ‖rest of q‖·‖rest of x‖ bounds its
 * part in a score. Rounding, of fp32 scores (about √dims·2⁻²⁴ of ‖q‖‖x‖), of y and of axes that are
 * orthogonal only to rounding, is a dimension more of that rest, of length √ε‖x‖, in which all
 * vectors are parallel: Cauchy–Schwarz then has ε‖q‖‖x‖ in it. */
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

float wn_inverse_norm(double norm2) {
  return norm2 > 0 ? (float)(1 / sqrt(norm2)) : 0;
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

/* Not so small that 1 / scale overflows: vectors of less have few or no codes but 0. */
static float scale_of(float most, float *inverse) {
  float scale = most / 127;
  if (!(scale >= 1e-37f)) scale = most > 0 ? 1e-37f : 0;
  *inverse = scale > 0 ? 1 / scale : 0;
  return scale;
}

/* ε, a generous multiple of the error to be expected. */
static double rounding(const wn_axes *axes) {
  double few = 1e-6 + 1e-8 * axes->dims;
  return axes->kept < axes->dims ? 4 * few : few;
}

/* The norm of what is not seen, of norm2 = ‖x‖² and seen2 = ‖y‖². */
static double rest_of(const wn_axes *axes, double norm2, double seen2) {
  double rest2 = axes->kept < axes->dims && norm2 > seen2 ? norm2 - seen2 : 0;
  return sqrt(rest2 + rounding(axes) * norm2);
}

/* One row's codes; sums in units of step, of numbers below 128. */
static void code_lane(const float *y, uint32_t kept, float factor, float inverse, uint8_t *lane,
                      wn_code_fit *fit) {
  float error2 = 0, norm2 = 0;
  for (uint32_t i = 0; i < kept; i++) {
    float x = y[i] * factor * inverse;
    int code = nearest(x, 1);
    float miss = x - (float)code;
    error2 += miss * miss;
    norm2 += x * x;
    lane[(size_t)i / 4 * 64 + i % 4] = (uint8_t)(code + 128);
  }
  float error = sqrtf(error2) * 1.0001f, norm = sqrtf(norm2) * 1.0001f;
  if (error > fit->error) fit->error = error;
  if (norm > fit->norm) fit->norm = norm;
}

wn_scan_fit wn_code_block(const wn_axes *axes, const wn_code_rows *rows, uint8_t *block,
                          wn_code_fit *fit) {
  float room[WN_SCAN_LANES][WN_AXES_MAX], most = 0, inverse;
  const float *seen[WN_SCAN_LANES];
  double rest = 0;
  memset(block, 128, ((size_t)axes->kept + 3) / 4 * 64);
  for (uint32_t l = 0; l < rows->count; l++) {
    seen[l] = wn_axes_see(axes, rows->row[l], room[l]);
    double factor = (double)rows->factor[l], norm2 = wn_norm2(rows->row[l], axes->dims);
    double here = factor * rest_of(axes, norm2, wn_norm2(seen[l], axes->kept));
    float size = rows->factor[l] * greatest(seen[l], axes->kept);
    rest = here > rest ? here : rest;
    most = size > most ? size : most;
  }
  wn_scan_fit found = {scale_of(most, &inverse), (float)(rest * 1.0001)};
  for (uint32_t l = 0; l < rows->count; l++) {
    code_lane(seen[l], axes->kept, rows->factor[l], inverse, block + 4 * l, fit);
  }
  return found;
}

void wn_probe_init(wn_probe *probe, const wn_axes *axes, const float *vector, wn_metric metric,
                   float row2_max, int8_t *codes) {
  float room[WN_AXES_MAX], inverse;
  const float *z = wn_axes_see(axes, vector, room);
  float scale = scale_of(greatest(z, axes->kept), &inverse);
  double norm2 = wn_norm2(vector, axes->dims), code2 = 0, error2 = 0;
  size_t padded = ((size_t)axes->kept + 3) / 4 * 4;
  int32_t sum = 0;
  for (size_t i = 0; i < padded; i++) {
    float x = i < axes->kept ? z[i] : 0;
    int code = nearest(x, inverse);
    double unit = scale > 0 ? (double)x / (double)scale : 0, miss = unit - code;
    codes[i] = (int8_t)code;
    sum += code;
    code2 += (double)code * code;
    error2 += miss * miss;
  }
  *probe = (wn_probe){.vector = vector, .dims = axes->dims, .metric = metric, .norm = sqrt(norm2)};
  probe->inverse = metric == WN_METRIC_COSINE ? wn_inverse_norm(norm2) : 0;
  probe->code_norm = (float)sqrt(code2);
  probe->code_error = (float)sqrt(error2);
  probe->rest = (float)rest_of(axes, norm2, wn_norm2(z, axes->kept));
  probe->scan = (wn_scan_query){.codes = codes, .start = -128 * sum, .scale = scale};
  if (metric == WN_METRIC_COSINE) {
    probe->scan.scale *= probe->inverse;
    probe->rest *= probe->inverse;
  }
  if (metric == WN_METRIC_L2) {
    probe->slack = 1e-6f * ((float)norm2 + row2_max);
    probe->scan.scale *= 2;
    probe->rest *= 2;
    probe->scan.shift = probe->slack - (float)norm2;
  }
}

float wn_probe_score(const wn_probe *probe, const float *row, float inverse) {
  if (probe->metric == WN_METRIC_L2) {
    return -wn_scan()->distance2(probe->vector, row, probe->dims);
  }
  float dot = wn_simd()->dot(probe->vector, row, probe->dims);
  return probe->metric == WN_METRIC_COSINE ? dot * (inverse * probe->inverse) : dot;
}
