#ifndef WN_DATA_LINE_SET_H
#define WN_DATA_LINE_SET_H
/* The lines of a file already met, as 63-bit hashes in an open-addressing table: 9.4 to 14.2
 * bytes a line (up to 24 for the moment of growing). Two different lines of n share a hash with
 * probability n² / 2^64: 1 in 184,000 at ten million lines. */

#include "base/status.h"

typedef struct wn_line_set {
  uint64_t *slots; /* 0: free */
  size_t cap;
  size_t len;
} wn_line_set;

void wn_line_set_clear(wn_line_set *set); /* frees; all-zero is an empty set */
void wn_line_set_reset(wn_line_set *set); /* empties, keeps the memory */
/* Fetches the hash's place ahead of wn_line_set_add(): most of its time is one cache miss. */
void wn_line_set_prefetch(const wn_line_set *set, uint64_t hash);
/* *added false: it was there. */
WN_MUST_USE wn_status wn_line_set_add(wn_line_set *set, uint64_t hash, bool *added, wn_error *err);

#endif
