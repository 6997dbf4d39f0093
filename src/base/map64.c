/* Linear probing over a power of two, at most three quarters used; removal leaves a tombstone,
 * so that removing the entry at hand during iteration is safe. Growth (or a rebuild that only
 * sweeps tombstones) allocates aside: a failure leaves the map as it was. */
#include "base/map64.h"
#include "base/mem.h"
#include "base/rng.h"

#include <xxhash.h>

enum { EMPTY, FULL, TOMBSTONE };

void wn_map64_init(wn_map64 *map) {
  *map = (wn_map64){0};
}

void wn_map64_clear(wn_map64 *map) {
  wn_free(map->keys);
  wn_free(map->values);
  wn_free(map->state);
  wn_map64_init(map);
}

static size_t home(const wn_map64 *map, uint64_t key) {
  return (size_t)wn_mix64(key) & (map->cap - 1);
}

uint64_t *wn_map64_find(const wn_map64 *map, uint64_t key) {
  if (map->len == 0) return NULL;
  for (size_t i = home(map, key);; i = (i + 1) & (map->cap - 1)) {
    if (map->state[i] == EMPTY) return NULL;
    if (map->state[i] == FULL && map->keys[i] == key) return &map->values[i];
  }
}

/* For a key known to be absent and a map with an empty slot. */
static uint64_t *put_new(wn_map64 *map, uint64_t key, uint64_t value) {
  size_t i = home(map, key);
  while (map->state[i] == FULL) i = (i + 1) & (map->cap - 1);
  map->used += map->state[i] == EMPTY;
  map->len++;
  map->state[i] = FULL;
  map->keys[i] = key;
  map->values[i] = value;
  return &map->values[i];
}

static bool rebuild(wn_map64 *map) {
  size_t cap = 16;
  while (cap / 2 < map->len + 1) {
    if (cap > SIZE_MAX / 4) return false;
    cap *= 2;
  }
  wn_map64 grown = {.cap = cap};
  grown.keys = wn_reallocarray(NULL, cap, sizeof *grown.keys);
  grown.values = wn_reallocarray(NULL, cap, sizeof *grown.values);
  grown.state = wn_calloc(cap, sizeof *grown.state);
  if (grown.keys == NULL || grown.values == NULL || grown.state == NULL) {
    wn_map64_clear(&grown);
    return false;
  }
  for (size_t i = 0; i < map->cap; i++) {
    if (map->state[i] == FULL) put_new(&grown, map->keys[i], map->values[i]);
  }
  wn_map64_clear(map);
  *map = grown;
  return true;
}

uint64_t *wn_map64_at(wn_map64 *map, uint64_t key) {
  uint64_t *found = wn_map64_find(map, key);
  if (found != NULL) return found;
  if (map->used + 1 > map->cap - map->cap / 4 && !rebuild(map)) return NULL;
  return put_new(map, key, 0);
}

bool wn_map64_remove(wn_map64 *map, uint64_t key) {
  uint64_t *found = wn_map64_find(map, key);
  if (found == NULL) return false;
  size_t i = (size_t)(found - map->values);
  /* At the end of a run nothing is probed past this slot, so no tombstone is needed. */
  bool last = map->state[(i + 1) & (map->cap - 1)] == EMPTY;
  map->state[i] = last ? EMPTY : TOMBSTONE;
  map->used -= last;
  map->len--;
  return true;
}

bool wn_map64_next(const wn_map64 *map, size_t *i, uint64_t *key, uint64_t *value) {
  while (*i < map->cap && map->state[*i] != FULL) (*i)++;
  if (*i >= map->cap) return false;
  if (key != NULL) *key = map->keys[*i];
  if (value != NULL) *value = map->values[*i];
  (*i)++;
  return true;
}

uint64_t wn_hash64(const void *bytes, size_t len, uint64_t seed) {
  return XXH3_64bits_withSeed(len > 0 ? bytes : "", len, seed);
}

wn_hash128 wn_hash128_of(const void *bytes, size_t len) {
  XXH128_hash_t hash = XXH3_128bits(len > 0 ? bytes : "", len);
  return (wn_hash128){hash.low64, hash.high64};
}
