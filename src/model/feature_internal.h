#ifndef WN_MODEL_FEATURE_INTERNAL_H
#define WN_MODEL_FEATURE_INTERNAL_H
/* What the registry and the filling of rows share. */

#include "model/feature.h"
#include "model/query.h"

#include <math.h>

#define WN_OPINION_DEPTH_MAX 1000
#define WN_ECHO_ITEMS        10 /* newest items that echo, near, crowd and taste look at */
#define WN_HOUR_MS           3600000.0

/* Item → row + 1, open addressing. */
typedef struct wn_row_finder {
  uint32_t *row;
  size_t mask;
} wn_row_finder;

/* One query's rows being filled. */
typedef struct wn_filling {
  const wn_feature_world *world;
  const wn_query *query;
  const wn_feature_list *lists;
  wn_feature_rows *rows;
  const wn_exposed *exposed;
  wn_row_finder finder;
  const uint32_t *row_of[WN_OPINIONS_MAX]; /* of each entry of a list: row + 1; 0: no candidate */
  wn_positive newest[WN_ECHO_ITEMS];
  size_t newest_len;
  float *column; /* of the family being filled, in the first row */
} wn_filling;

static inline uint32_t *wn_row_slot(const wn_row_finder *f, const wn_feature_rows *rows,
                                    uint32_t item) {
  size_t at = (item * (size_t)2654435761u) & f->mask;
  while (f->row[at] != 0 && rows->item[f->row[at] - 1] != item) at = (at + 1) & f->mask;
  return &f->row[at];
}

/* The columns of the family in the item's row; NULL: not a candidate. */
static inline float *wn_cell_of(const wn_filling *f, uint32_t item) {
  uint32_t row = *wn_row_slot(&f->finder, f->rows, item);
  return row != 0 ? f->column + (row - 1) * f->rows->features : NULL;
}

static inline float *wn_cell_at(const wn_filling *f, size_t row) {
  return f->column + row * f->rows->features;
}

/* x + y where x may not be there yet. */
static inline float wn_plus(float x, float y) {
  return isnan(x) ? y : x + y;
}

typedef void wn_fill_fn(wn_filling *f, wn_error *err);
wn_fill_fn wn_fill_pair, wn_fill_text, wn_fill_impression, wn_fill_context; /* feature_extra.c */

#endif
