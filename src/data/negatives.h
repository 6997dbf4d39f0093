#ifndef WN_DATA_NEGATIVES_H
#define WN_DATA_NEGATIVES_H
/* Items that a user never met, drawn as dislikes: an option of the dataset. */

#include "data/dataset.h"

/* Adds to each row `each` pairs for each of its pairs of positive weight; *added: how many. */
WN_MUST_USE wn_status wn_negatives_add(wn_csr *by_user, double each, double power, uint64_t *added,
                                       wn_error *err);

#endif
