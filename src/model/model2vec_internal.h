#ifndef WN_MODEL_MODEL2VEC_INTERNAL_H
#define WN_MODEL_MODEL2VEC_INTERNAL_H
/* Inside of model2vec.c and model2vec_load.c. */

#include "data/dataset.h"
#include "data/npy.h"
#include "model/model2vec.h"
#include "model/wordpiece.h"

#define WN_MODEL2VEC_TOKENS_MAX ((uint32_t)4 << 20)

struct wn_model2vec {
  wn_wordpiece split;
  uint32_t tokens;
  wn_matrix embed;     /* rows by token_row */
  const uint32_t *row; /* [tokens] */
  const float *weight; /* [tokens] */
  void *owned[3];      /* embed's bytes, row, weight; all NULL when they lie in a snapshot */
};

/* Every row is finite. */
WN_MUST_USE wn_status wn_model2vec_check(const wn_model2vec *m, wn_error *err);

#endif
