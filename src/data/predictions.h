#ifndef WN_DATA_PREDICTIONS_H
#define WN_DATA_PREDICTIONS_H
/* What somebody predicted and what came true: rows of a table (CSV or TSV with a header, compressed
 * or not). A column called `probability` claims to be one, and is held to it; one called `score`
 * only orders. */

#include "base/dict.h"
#include "base/vec.h"
#include "data/reader.h"

#define WN_PREDICTION_SLICES_MAX 8

typedef struct wn_prediction {
  double score;
  uint32_t user; /* 0 without the column */
  uint8_t label; /* 0 or 1 */
} wn_prediction;

typedef struct wn_prediction_slice {
  const char *name;      /* of the column; the caller's */
  wn_dict *values;       /* of it */
  WN_VEC(uint32_t) rows; /* the value of each row */
} wn_prediction_slice;

typedef struct wn_predictions {
  WN_VEC(wn_prediction) rows;
  bool probabilities; /* the scores claim to be */
  wn_dict *users;     /* NULL: no such column */
  wn_prediction_slice slices[WN_PREDICTION_SLICES_MAX];
  size_t slices_len;
} wn_predictions;

/* Columns: probability or score, label (0 or 1), optionally user; `slices` are names of further
 * ones. Every value is checked: errors name file, line and field. */
typedef struct wn_predictions_how {
  const wn_column_map *map;
  size_t map_len;
  const char *const *slices;
  size_t slices_len;
} wn_predictions_how;
WN_MUST_USE wn_status wn_predictions_read(const char *path, const wn_predictions_how *how,
                                          wn_predictions *out, wn_error *err);
void wn_predictions_clear(wn_predictions *predictions);

#endif
