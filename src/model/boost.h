#ifndef WN_MODEL_BOOST_H
#define WN_MODEL_BOOST_H
/* Boosting trees by XGBoost, on one thread (its sums depend on their number), read back as a forest
 * of our own. */

#include "base/progress.h"
#include "model/forest.h"

typedef struct wn_boost_options {
  uint32_t trees, depth;
  double eta;
  enum { WN_BOOST_LOGISTIC, WN_BOOST_NDCG, WN_BOOST_PAIRWISE } loss; /* the last two over groups */
  uint64_t seed;
  const char *stage;     /* for progress */
  uint32_t place_column; /* of objectives: the feature that is the place shown at; WN_NO_IX: none */
  const wn_forest *warm; /* goes on from these trees, which stay as they are, of the same features;
                            NULL: from nothing */
} wn_boost_options;

typedef struct wn_boost_data {
  const float *feature; /* [rows × features]; NaN: absent */
  const float *label;   /* [rows]; not used with a gradient of one's own */
  const unsigned *size; /* [groups] rows of each; NULL: no groups */
  size_t rows, features, groups;
} wn_boost_data;

/* Fills grad and hess [rows] of the loss at `margin` [rows] before tree number `tree`. */
typedef void wn_boost_gradient(void *ctx, uint32_t tree, const float *margin, float *grad,
                               float *hess);
typedef struct wn_boost_loss {
  wn_boost_gradient *gradient; /* NULL: the objective's own */
  void *ctx;
  float base; /* probability before the first tree, with a gradient */
} wn_boost_loss;

/* `trees` new ones, behind those of `warm`. */
WN_MUST_USE wn_status wn_boost_forest(const wn_boost_data *data, const wn_boost_options *options,
                                      const wn_boost_loss *loss, const wn_progress *progress,
                                      wn_forest *out, wn_error *err);

#endif
