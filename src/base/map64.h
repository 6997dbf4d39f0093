#ifndef WN_BASE_MAP64_H
#define WN_BASE_MAP64_H
/* Open-addressing hash map from 64-bit keys to 64-bit values. Not thread-safe. */

#include "base/status.h"

typedef struct wn_map64 {
  uint64_t *keys;
  uint64_t *values;
  uint8_t *state;
  size_t cap;
  size_t len;
  size_t used; /* with tombstones */
} wn_map64;

#define WN_MAP64_BYTES 17 /* a place: of `cap` */

void wn_map64_init(wn_map64 *map);
void wn_map64_clear(wn_map64 *map);
uint64_t *wn_map64_find(const wn_map64 *map, uint64_t key); /* NULL when absent */
/* Finds or inserts (value 0 when new); NULL when out of memory. */
uint64_t *wn_map64_at(wn_map64 *map, uint64_t key);
bool wn_map64_remove(wn_map64 *map, uint64_t key);
/* Iteration: size_t i = 0; while (wn_map64_next(m, &i, &key, &value)) … */
bool wn_map64_next(const wn_map64 *map, size_t *i, uint64_t *key, uint64_t *value);

/* One hash for the whole tree (XXH3). */
uint64_t wn_hash64(const void *bytes, size_t len, uint64_t seed);
typedef struct wn_hash128 {
  uint64_t low, high;
} wn_hash128;
wn_hash128 wn_hash128_of(const void *bytes, size_t len);

#endif
