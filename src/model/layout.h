#ifndef WN_MODEL_LAYOUT_H
#define WN_MODEL_LAYOUT_H
/* All items in two dimensions, so that likes lie together: a map for people. No model reads it. */

#include "model/model.h"

#define WN_LAYOUT_ITEMS_MAX 200000u /* of more, those of the longest vectors: the best known */

/* Snapshot sections "map/item" and "map/xy". */
typedef struct wn_layout {
  uint32_t count;         /* 0: the snapshot has none */
  const wn_item_ix *item; /* [count], ascending */
  const float *xy;        /* [count × 2] in −1 … 1 */
} wn_layout;

/* xy[n × 2] for n rows of d floats, none of them zero. `rows` are scaled to norm 1. */
WN_MUST_USE wn_status wn_layout_fit(wn_pool *pool, float *rows, uint32_t n, uint32_t d, float *xy,
                                    wn_error *err);
/* The k nearest of each row by cosine, nearest first: near[n × k] (WN_NO_IX where there are fewer)
 * and like[n × k]. Rows of norm 1. Approximate. */
typedef struct wn_near {
  uint32_t k;
  uint32_t *row;
  float *like;
} wn_near;
WN_MUST_USE wn_status wn_near_fit(wn_pool *pool, const float *rows, uint32_t n, uint32_t d,
                                  wn_near *near, wn_error *err);

/* The items below `items` that have a vector, at most `max` and then those of the longest,
 * ascending: out[items], *out_len. */
WN_MUST_USE wn_status wn_layout_choose(const wn_model *model, uint32_t items, uint32_t max,
                                       wn_item_ix *out, uint32_t *out_len, wn_error *err);
/* Lays out the items below `items` that have a vector (of als, else of vectors) and writes them;
 * nothing where no model has vectors. */
WN_MUST_USE wn_status wn_layout_write(wn_pool *pool, const wn_models *models, uint32_t items,
                                      wn_snapshot_writer *writer, wn_error *err);
WN_MUST_USE wn_status wn_layout_map(const wn_snapshot *snapshot, wn_layout *out, wn_error *err);

#endif
