#ifndef WN_MODEL_CALIBRATE_H
#define WN_MODEL_CALIBRATE_H
/* From a model's margin to a probability that means what it says. */

#include "base/status.h"

#define WN_CALIBRATION_KNOTS 64

typedef enum wn_calibration_method {
  WN_CALIBRATION_NONE, /* 1 / (1 + e^−margin) */
  WN_CALIBRATION_PLATT,
  WN_CALIBRATION_ISOTONIC,
  WN_CALIBRATION_METHODS
} wn_calibration_method;
const char *wn_calibration_method_name(unsigned method);

/* margin → logit of the probability: linear between knots, by a slope of its own beyond them, and
 * strictly rising throughout, so that calibration never changes an order. Snapshot section. */
typedef struct wn_calibration {
  uint32_t method, knots; /* knots: 1 at least */
  float low, high;        /* slopes before the first knot and after the last */
  float x[WN_CALIBRATION_KNOTS], y[WN_CALIBRATION_KNOTS];
} wn_calibration;

typedef struct wn_calibration_sample {
  float margin;
  float label;    /* 0 or 1 */
  float weight;   /* how many rows it stands for */
  float exposure; /* P(label) = exposure · P; 1: no position bias */
  uint32_t fold;  /* 0 or 1 */
} wn_calibration_sample;

/* Of probabilities for samples. */
typedef struct wn_calibration_quality {
  double log_loss, brier;
  double ece; /* expected calibration error: ten bins of equal weight by probability */
  double auc;
} wn_calibration_quality;

typedef struct wn_calibration_report {
  wn_calibration_quality before, after; /* after: each fold by what the other one fitted */
} wn_calibration_report;

void wn_calibration_init(wn_calibration *calibration);
/* In (0, 1). */
float wn_calibrated(const wn_calibration *calibration, float margin);
/* Fits by `method`; sorts the samples by margin. */
WN_MUST_USE wn_status wn_calibration_fit(wn_calibration_sample *samples, size_t len,
                                         wn_calibration_method method, wn_calibration *out,
                                         wn_error *err);
/* The method with the least log loss across the folds, then fitted on all. */
WN_MUST_USE wn_status wn_calibration_choose(wn_calibration_sample *samples, size_t len,
                                            wn_calibration *out, wn_calibration_report *report,
                                            wn_error *err);
/* What a snapshot says, before it is believed. */
bool wn_calibration_good(const wn_calibration *calibration);

#endif
