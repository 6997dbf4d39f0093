#ifndef WN_MODEL_SECTION_H
#define WN_MODEL_SECTION_H
/* Sections of a snapshot as arrays that may be believed: each call checks before it returns, and a
 * failure is WN_E_CORRUPT with the section's name as the field. */

#include "model/snapshot.h"

/* Exactly `count` elements of `element` bytes. */
WN_MUST_USE wn_status wn_section_array(const wn_snapshot *snapshot, const char *name,
                                       size_t element, uint64_t count, const void **data,
                                       wn_error *err);
/* rows + 1 offsets, from 0, never descending; *end is the last one. */
WN_MUST_USE wn_status wn_section_offsets(const wn_snapshot *snapshot, const char *name,
                                         uint64_t rows, const uint64_t **data, uint64_t *end,
                                         wn_error *err);
/* `count` indexes, each below `limit`. */
WN_MUST_USE wn_status wn_section_indexes(const wn_snapshot *snapshot, const char *name,
                                         uint64_t count, uint32_t limit, const uint32_t **data,
                                         wn_error *err);
/* `count` floats, whatever they are: for models whose `validate` looks at them. */
WN_MUST_USE wn_status wn_section_numbers(const wn_snapshot *snapshot, const char *name,
                                         uint64_t count, const float **data, wn_error *err);
/* All are finite. `name`: the section that they are, or will be. */
WN_MUST_USE wn_status wn_check_finite(const char *name, const float *data, uint64_t count,
                                      wn_error *err);
/* Both: `count` finite floats. */
WN_MUST_USE wn_status wn_section_floats(const wn_snapshot *snapshot, const char *name,
                                        uint64_t count, const float **data, wn_error *err);

#endif
