#ifndef WN_INDEX_CODES_H
#define WN_INDEX_CODES_H
/* int8 codes of rows and queries, and how far a score by codes may be from the true one. */

#include "index/axes.h"
#include "index/image.h"

/* How well the codes of some rows fit what the axes see of them, y, in units of a block's step;
 * greatest values. */
typedef struct wn_code_fit {
  float error; /* ‖y − ŷ‖ / step */
  float norm;  /* ‖y‖ / step */
} wn_code_fit;

/* Up to 16 rows, each with the factor that it is coded with. */
typedef struct wn_code_rows {
  uint32_t count;
  const float *row[WN_SCAN_LANES];
  float factor[WN_SCAN_LANES];
} wn_code_rows;

/* Codes the rows into a block, dimensions padded with zeros to a multiple of 4, and raises `fit`.
 */
wn_scan_fit wn_code_block(const wn_axes *axes, const wn_code_rows *rows, uint8_t *block,
                          wn_code_fit *fit);

/* A query as the kernels want it. */
typedef struct wn_probe {
  const float *vector;
  uint32_t dims;
  wn_metric metric;
  double norm;        /* ‖q‖ */
  float inverse;      /* cosine: 1/‖q‖ or 0 */
  float code_norm;    /* ‖ẑ‖ / scale, z being what the axes see of q */
  float code_error;   /* ‖z − ẑ‖ / scale */
  float rest;         /* of q, as a score has it */
  float slack;        /* what rounding may do to an l2 score */
  wn_scan_query scan; /* offset 0, rest 0: no bounds, see wn_probe_bounded */
} wn_probe;

/* `codes` has room for kept dimensions, padded; row2_max: for l2, the greatest ‖x‖². */
void wn_probe_init(wn_probe *probe, const wn_axes *axes, const float *vector, wn_metric metric,
                   float row2_max, int8_t *codes);

/* How much of the errors' bounds counts: 1 and 1 are exact. */
typedef struct wn_eta {
  float code, rest;
} wn_eta;

/* The query whose scores are upper ends. With y for what the axes see of a row, in units of query
 * scale times step, codes err by at most ẑ·(y − ŷ) + (z − ẑ)·y, and Cauchy–Schwarz on both. */
static inline wn_scan_query wn_probe_bounded(const wn_probe *probe, wn_code_fit fit, wn_eta eta) {
  wn_scan_query query = probe->scan;
  query.offset = eta.code * (probe->code_norm * fit.error + probe->code_error * fit.norm);
  query.rest = eta.rest * probe->rest;
  return query;
}
/* Upper less lower end of the scores of a block. */
static inline float wn_bounded_width(const wn_scan_query *query, wn_scan_fit fit) {
  return 2 * (query->offset * (query->scale * fit.step) + query->rest * fit.rest);
}

/* The exact score; `inverse`: cosine, the row's 1/‖x‖. */
float wn_probe_score(const wn_probe *probe, const float *row, float inverse);

double wn_norm2(const float *x, uint32_t dims); /* ‖x‖² in double */
float wn_inverse_norm(double norm2);            /* 1/‖x‖, 0 for 0 */

#endif
