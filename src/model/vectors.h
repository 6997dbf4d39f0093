#ifndef WN_MODEL_VECTORS_H
#define WN_MODEL_VECTORS_H
/* Inside of the vectors model: vectors.c answers, vectors_fit.c makes. */

#include "base/map64.h"
#include "base/vec.h"
#include "model/model.h"
#include "model/model2vec.h"

#define WN_VECTORS_PROFILE_MAX 64

/* Snapshot section "vectors/head". */
typedef struct wn_vectors_head {
  uint32_t version;
  uint32_t items;
  uint32_t count; /* items with a vector at the fit */
  uint32_t d;     /* 0: no vectors at all */
  uint32_t history_max;
  uint32_t encodes; /* 1: the snapshot holds a text encoder */
  double tau_query;
} wn_vectors_head;

typedef struct wn_vectors {
  wn_model base;
  wn_vectors_head head;
  const wn_item_ix *item_of; /* [count], ascending */
  const float *rows;         /* [count × d], norm 1 */
  wn_model2vec *encoder;     /* NULL: items put later have no vector */
  /* what was put since: row count + i is later[i × d] and belongs to later_item[i] */
  WN_VEC(float) later;
  WN_VEC(wn_item_ix) later_item;
  wn_map64 changed; /* items put or deleted since → row + 1; 0: it has no vector any more */
  void *owned[2];
} wn_vectors;

wn_status wn_vectors_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                         wn_model **out, wn_error *err);
void wn_vectors_free(wn_model *model);
/* Scales to norm 1; false for zeros and what is not finite. */
bool wn_vectors_normalise(float *x, size_t d);

#endif
