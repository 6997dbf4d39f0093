#ifndef WN_LAB_FINGERPRINT_H
#define WN_LAB_FINGERPRINT_H
/* Content hashes: the same events give the same number whatever their order, file format or dense
 * numbering. XXH3 of ids, mixed by event, summed modulo 2^64: for telling data apart, not for
 * security. */

#include "lab/evaluate.h"

/* What numbers stand for; NULL: for themselves, in decimal. */
typedef struct wn_content_ids {
  const wn_dict *users, *items;
  const wn_signals *signals; /* names of the event types */
} wn_content_ids;

WN_MUST_USE wn_status wn_dataset_hash(wn_event_list events, const wn_content_ids *ids,
                                      uint64_t *out, wn_error *err);
/* Of the train events and the relevant test pairs. */
WN_MUST_USE wn_status wn_split_hash(const wn_split *split, const wn_content_ids *ids, uint64_t *out,
                                    wn_error *err);
/* Of the pairs that models are fitted on, with their weights: what the `dataset:` options make of
 * train. */
WN_MUST_USE wn_status wn_pairs_hash(const wn_dataset *fitted, const wn_content_ids *ids,
                                    uint64_t *out, wn_error *err);
/* "9f3b…", 16 digits */
#define WN_HASH_TEXT 17
void wn_hash_text(uint64_t hash, char out[WN_HASH_TEXT]);

#endif
