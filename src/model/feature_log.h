#ifndef WN_MODEL_FEATURE_LOG_H
#define WN_MODEL_FEATURE_LOG_H
/* Features as they are logged with an impression, so that training never has to rebuild them. */

#include "model/feature.h"

/* Names the set: equal hashes mean equal columns in equal order. */
uint64_t wn_feature_set_hash(const wn_feature_set *set, const wn_item_facts *facts);

typedef struct wn_logged_features {
  uint64_t set;
  uint32_t features, len;
  float *feature; /* [len × features]; an item without features has none but NaN */
} wn_logged_features;

/* Appends to `out`; row[i] NULL: the item has no features. Columns stand together and are
 * compressed: about a third of their size. */
WN_MUST_USE wn_status wn_feature_log_encode(uint64_t set, const float *const *row, size_t len,
                                            uint32_t features, wn_buf *out, wn_error *err);
/* Bit for bit what was encoded; memory from `arena`. WN_E_CORRUPT says what is wrong. */
WN_MUST_USE wn_status wn_feature_log_decode(wn_str blob, wn_arena *arena, wn_logged_features *out,
                                            wn_error *err);

#endif
