#ifndef WN_DATA_HOLDOUT_H
#define WN_DATA_HOLDOUT_H
/* A dataset without some users' newest items: what choices between models and their parameters are
 * made on, so that the test part stays unseen until the end. */

#include "data/dataset.h"

typedef struct wn_holdout_options {
  uint32_t users_max;   /* 0: all */
  uint32_t targets_max; /* items of one user at most; at least 1 */
  uint64_t seed;
} wn_holdout_options;

typedef struct wn_holdout {
  wn_dataset rest; /* same sizes and catalogue; what it borrows, it borrows from the whole */
  uint32_t *user;  /* [len] ascending */
  uint64_t *ptr;   /* [len + 1] targets of user[i]: target[ptr[i]] … target[ptr[i + 1] − 1] */
  wn_item_ix *target; /* ascending within a user */
  size_t len;
} wn_holdout;

/* Draws users with two positive items or more. Of each, a fifth of the positive items that share
 * her newest time, at least one, never all that she has: with times that is her last item or some
 * of her last basket, without times some items of all. */
WN_MUST_USE wn_status wn_holdout_make(const wn_dataset *data, const wn_holdout_options *options,
                                      wn_holdout *out, wn_error *err);
/* By time instead: the newest `share` of the positive pairs is what comes later, and `rest` is what
 * lies before it. Draws users with positive items on both sides; of more than targets_max later
 * ones some, by hash. Nobody is drawn where times do not differ. */
WN_MUST_USE wn_status wn_holdout_later(const wn_dataset *data, double share,
                                       const wn_holdout_options *options, wn_holdout *out,
                                       wn_error *err);
/* The dataset with a share of its users' rows, the others' being empty. Who stays is a hash of seed
 * and user, so that a larger share holds the smaller one. */
WN_MUST_USE wn_status wn_dataset_sample(const wn_dataset *data, double share, uint64_t seed,
                                        wn_dataset *out, wn_error *err);
/* The dataset of the entries before a moment. An entry is a pair's last event: a pair that goes on
 * after the cut is not in it. */
WN_MUST_USE wn_status wn_dataset_before(const wn_dataset *data, int64_t cut_ms, wn_dataset *out,
                                        wn_error *err);
void wn_holdout_clear(wn_holdout *holdout);

#endif
