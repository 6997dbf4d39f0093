#ifndef WN_LAB_PREDICTED_H
#define WN_LAB_PREDICTED_H
/* How good predictions are, row by row: do they order (areas under curves), and may they be
 * believed (log loss, Brier, calibration)? With intervals by bootstrap over users, and slices.
 * Definitions in docs/evaluation.md. */

#include "base/thread.h"
#include "base/json_write.h"
#include "data/predictions.h"
#include "lab/evaluate.h"

/* X(name, JSON key, as people write it); those from LOG_LOSS on are of probabilities alone */
#define WN_PREDICTED_METRICS_X(X)                                                                  \
  X(AUC, "auc", "ROC-AUC")                                                                         \
  X(GAUC, "gauc", "GAUC")                                                                          \
  X(PR_AUC, "pr-auc", "PR-AUC")                                                                    \
  X(LOG_LOSS, "log-loss", "log loss")                                                              \
  X(BRIER, "brier", "Brier")                                                                       \
  X(ECE, "ece", "ECE")                                                                             \
  X(ECE_MASS, "ece-mass", "ECE, cells of equal mass")                                              \
  X(RATIO, "ratio", "sum of p / sum of y")
typedef enum wn_predicted_metric {
#define X(name, key, label) WN_PREDICTED_##name,
  WN_PREDICTED_METRICS_X(X)
#undef X
      WN_PREDICTED_METRICS
} wn_predicted_metric;
const char *wn_predicted_key(wn_predicted_metric metric);
const char *wn_predicted_label(wn_predicted_metric metric);

#define WN_PREDICTED_CELLS      10 /* of ECE */
#define WN_PREDICTED_VALUES_MAX 32 /* slices of one column: the most frequent values */

/* A cell of equal mass: what was said, what was. */
typedef struct wn_predicted_cell {
  uint64_t rows;
  double said, was, low, high; /* means; Wilson's interval of `was` */
} wn_predicted_cell;

typedef struct wn_predicted_slice {
  const char *by;
  wn_str name; /* of the predictions' dictionary */
  uint64_t rows, positives;
  wn_interval value[WN_PREDICTED_METRICS];
  double p, p_adjusted; /* of its difference from all rows, by log loss, else by ROC-AUC; NaN */
} wn_predicted_slice;

#define WN_PREDICTED_GUARDS 4
typedef struct wn_predicted_result {
  uint64_t rows, positives, users; /* users 0: no such column, rows are resampled */
  uint64_t users_ranked;           /* with rows of both classes: those of GAUC */
  bool probabilities;
  wn_interval value[WN_PREDICTED_METRICS]; /* NaN: there is none */
  double constant[WN_PREDICTED_METRICS];   /* of the base rate, said of every row */
  double ece_of_chance; /* the expected ECE (equal mass) of as many rows if every p were true */
  double calibration_z, calibration_p; /* Spiegelhalter's test */
  wn_predicted_cell cells[WN_PREDICTED_CELLS];
  size_t cells_len;
  WN_VEC(wn_predicted_slice) slices;
  wn_guard guards[WN_PREDICTED_GUARDS];
  size_t guards_len;
  uint32_t samples;
} wn_predicted_result;

typedef struct wn_predicted_options {
  uint32_t samples; /* of the bootstrap */
  uint64_t seed;
  int threads;
} wn_predicted_options;
/* WN_E_ARGUMENT: all rows are of one class. `out` borrows names from `predictions`. */
WN_MUST_USE wn_status wn_predicted(const wn_predictions *predictions,
                                   const wn_predicted_options *options, wn_predicted_result *out,
                                   wn_error *err);
void wn_predicted_clear(wn_predicted_result *result);
void wn_predicted_to_json(const wn_predicted_result *result, wn_json *json); /* a value */

#endif
