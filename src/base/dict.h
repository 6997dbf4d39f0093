#ifndef WN_BASE_DICT_H
#define WN_BASE_DICT_H
/* Id dictionary: external string id → dense index 0, 1, 2 … in order of arrival, and back.
 * Append-only, except that the newest entries can be taken back after a failed commit.
 * Safe for one writer with many readers (a lock inside). Keys never move: a wn_str it
 * returned stays valid until wn_dict_free() or a truncate that removes it.
 * Memory: key bytes (in blocks of up to 1 MiB) + 12 bytes a key + 10 to 20 bytes a key of hash
 * table, and for a moment half as much again while that grows. */

#include "base/str.h"

#define WN_NO_IX UINT32_MAX

typedef struct wn_dict wn_dict;

wn_dict *wn_dict_create(void); /* NULL: out of memory */
void wn_dict_free(wn_dict *dict);
uint32_t wn_dict_find(const wn_dict *dict, wn_str key); /* WN_NO_IX when absent */
/* Finds or appends; *added tells which. WN_E_MEMORY or WN_E_FULL at 2^32 − 2 keys. */
WN_MUST_USE wn_status wn_dict_add(wn_dict *dict, wn_str key, uint32_t *ix, bool *added);
wn_str wn_dict_key(const wn_dict *dict, uint32_t ix); /* absent string when out of range */
uint32_t wn_dict_count(const wn_dict *dict);
void wn_dict_truncate(wn_dict *dict, uint32_t count);
size_t wn_dict_bytes(const wn_dict *dict);

#endif
