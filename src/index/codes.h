#ifndef WN_INDEX_CODES_H
#define WN_INDEX_CODES_H
/* int8 codes of rows and queries, and how far a score by codes may be from the true one. */

#include "index/image.h"

/* How well the codes of some rows fit them, in units of a row's scale; greatest values. */
typedef struct wn_code_fit {
  float error; /* ‖x − x̂‖ / scale */
  float norm;  /* ‖x‖ / scale */
} wn_code_fit;

/* Quantises factor·row into lane `lane` of `block` (dims padded with zeros to 4·groups), returns
 * the lane's scale, and raises `fit`. */
float wn_code_row(const float *row, uint32_t dims, float factor, uint8_t *block, size_t lane,
                  wn_code_fit *fit);

/* A query as the kernels want it. */
typedef struct wn_probe {
  const float *vector;
  uint32_t dims;
  wn_metric metric;
  double norm;        /* ‖q‖ */
  float inverse;      /* cosine: 1/‖q‖ or 0 */
  float code_norm;    /* ‖q̂‖ / scale */
  float code_error;   /* (‖q − q̂‖ + rounding) / scale */
  float slack;        /* what rounding may do to an l2 score */
  wn_scan_query scan; /* offset 0: see wn_probe_offset */
} wn_probe;

/* `codes` has room for 4·groups; row2_max: for l2, the greatest ‖x‖². */
void wn_probe_init(wn_probe *probe, const float *vector, uint32_t dims, wn_metric metric,
                   float row2_max, int8_t *codes);
/* In units of query scale times row scale, the most by which codes can differ from the truth:
 * q·x = q̂·x̂ + q̂·(x − x̂) + (q − q̂)·x, and Cauchy–Schwarz on the last two. */
static inline float wn_probe_offset(const wn_probe *probe, wn_code_fit fit) {
  return probe->code_norm * fit.error + probe->code_error * fit.norm;
}
/* The exact score; `norm`: cosine, the row's 1/‖x‖. */
float wn_probe_score(const wn_probe *probe, const float *row, float norm);

double wn_norm2(const float *x, uint32_t dims); /* ‖x‖² in double */
/* norms part's entry for a row, by metric */
float wn_norm_entry(wn_metric metric, double norm2);

#endif
