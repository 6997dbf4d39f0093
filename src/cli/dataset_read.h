#ifndef WN_CLI_DATASET_READ_H
#define WN_CLI_DATASET_READ_H
/* What `winnow dataset` reads beside events and items. */

#include "data/reader.h"
#include "lab/evaluate.h"
#include "store/store.h"

/* Lines `id value` into value[len]; ids by the dictionary or, without one, as numbers. What is not
 * known is passed over. */
WN_MUST_USE wn_status wn_dataset_read_feature(const char *path, const wn_dict *ids, uint32_t len,
                                              double *value, wn_error *err);

/* The items that each user was shown, from the store's impressions; ascending, repeats kept. `out`:
 * wn_free() of ptr and item, also on failure. A NULL store is an error that names `negatives`. */
WN_MUST_USE wn_status wn_dataset_read_shown(wn_store *store, const wn_split *split,
                                            wn_user_items *out, wn_error *err);

#endif
