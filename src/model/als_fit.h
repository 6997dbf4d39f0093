#ifndef WN_MODEL_ALS_FIT_H
#define WN_MODEL_ALS_FIT_H
/* Inside of ALS's training: als_fit.c sets up and keeps, als_epoch.c solves one side. */

#include "model/als.h"

typedef struct als_side {
  const wn_csr *csr;
  float *memory;      /* of factors */
  float *factors;     /* [rows × d], begins on a cache line */
  wn_als_row *solved; /* [rows] */
  uint32_t *order;    /* [active] rows with a liked entry by falling number of entries */
  uint32_t active;
  uint32_t crowded; /* of them have more than ALONE entries */
  uint32_t longest; /* entries of a row */
} als_side;

typedef struct als_fit {
  const wn_fit_env *env;
  wn_als_head *head;
  size_t d;
  int steps;    /* of conjugate gradients for long rows; 0: exact */
  bool counted; /* only for those where they cost less */
  bool uniform; /* all confidences are 1 */
  float *ones;  /* [longest] then; else NULL */
  als_side user, item;
  double *gram, *eigen, *work; /* [d × d], [d], [d] */
  float *basis;                /* [d × padded d] columns are eigenvectors */
  float *scratch;              /* [threads × scratch_floats] */
  size_t scratch_floats;
  /* of the half-epoch that runs */
  als_side *fixed, *free, *turned;
} als_fit;

/* Floats that one thread needs for rows of up to `longest` entries. */
size_t als_worker_floats(size_t d, size_t longest);
/* Orders the side's rows; negative: weights < 0 say something, too; counts active, crowded,
 * longest. */
WN_MUST_USE wn_status als_order_rows(als_side *side, bool negative, wn_error *err);
/* Diagonalises the fixed side's Gram, rotates both, solves every row of the free side. */
WN_MUST_USE wn_status als_half_epoch(als_fit *f, als_side *fixed, als_side *free_side,
                                     wn_error *err);

#endif
