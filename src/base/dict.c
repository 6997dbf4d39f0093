/* Linear probing over (32-bit hash, index) slots, at most four fifths full; key bytes in blocks
 * that never move. There is one writer at a time (the callers' business), so the writer looks
 * things up without the lock and takes it only to publish: growth builds the larger array
 * aside and swaps it under the lock, so that readers never wait for a rehash. Removal shifts
 * the run behind it back (Knuth, TAOCP 3, 6.4, algorithm R), so there are no tombstones. */
#include "base/dict.h"
#include "base/map64.h"
#include "base/mem.h"

#include <pthread.h>
#include <string.h>

#define BLOCK_BYTES_FIRST ((uint32_t)4096)
#define BLOCK_BYTES_MAX   ((uint32_t)1 << 20)
#define CHUNK_ENTRIES     ((uint32_t)1024)
#define KEYS_MAX          (UINT32_MAX - 1) /* 2^32 − 2 */

typedef struct slot {
  uint32_t hash;
  uint32_t ix; /* WN_NO_IX: empty */
} slot;

typedef struct entry {
  uint32_t block;
  uint32_t offset;
  uint32_t len;
} entry;

typedef struct block {
  char *data;
  uint32_t cap;
} block;

struct wn_dict {
  pthread_rwlock_t *lock; /* apart, so that const readers can take it */
  slot *slots;
  size_t slot_count; /* a power of two */
  entry **chunks;    /* of CHUNK_ENTRIES each */
  size_t chunk_count;
  size_t chunk_cap;
  block *blocks;
  size_t block_count;
  size_t block_cap;
  uint32_t count;
  uint32_t tail; /* bytes used of the last block; the writer's own */
};

static uint32_t hash_of(wn_str key) {
  return (uint32_t)wn_hash64(key.ptr, key.len, 0);
}

static void read_lock(const wn_dict *dict) {
  pthread_rwlock_rdlock(dict->lock);
}
static void write_lock(const wn_dict *dict) {
  pthread_rwlock_wrlock(dict->lock);
}
static void unlock(const wn_dict *dict) {
  pthread_rwlock_unlock(dict->lock);
}

static pthread_rwlock_t *lock_create(void) {
  pthread_rwlock_t *lock = wn_malloc(sizeof *lock);
  pthread_rwlockattr_t attr;
  if (lock == NULL) return NULL;
  pthread_rwlockattr_init(&attr);
#ifdef __GLIBC__
  /* Steady readers must not keep the writer, and so ingestion, waiting. */
  pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
  int failed = pthread_rwlock_init(lock, &attr);
  pthread_rwlockattr_destroy(&attr);
  if (failed == 0) return lock;
  wn_free(lock);
  return NULL;
}

static slot *slots_create(size_t count) {
  slot *slots = wn_reallocarray(NULL, count, sizeof *slots);
  if (slots != NULL) memset(slots, 0xFF, count * sizeof *slots); /* ix = WN_NO_IX */
  return slots;
}

wn_dict *wn_dict_create(void) {
  wn_dict *dict = wn_calloc(1, sizeof *dict);
  if (dict == NULL) return NULL;
  dict->lock = lock_create();
  dict->slot_count = 16;
  dict->slots = slots_create(dict->slot_count);
  if (dict->lock != NULL && dict->slots != NULL) return dict;
  wn_dict_free(dict);
  return NULL;
}

void wn_dict_free(wn_dict *dict) {
  if (dict == NULL) return;
  if (dict->lock != NULL) pthread_rwlock_destroy(dict->lock);
  wn_free(dict->lock);
  for (size_t i = 0; i < dict->block_count; i++) wn_free(dict->blocks[i].data);
  wn_free(dict->blocks);
  for (size_t i = 0; i < dict->chunk_count; i++) wn_free(dict->chunks[i]);
  wn_free(dict->chunks);
  wn_free(dict->slots);
  wn_free(dict);
}

static entry *entry_at(const wn_dict *dict, uint32_t ix) {
  return &dict->chunks[ix / CHUNK_ENTRIES][ix % CHUNK_ENTRIES];
}

static wn_str key_at(const wn_dict *dict, uint32_t ix) {
  entry e = *entry_at(dict, ix);
  return (wn_str){dict->blocks[e.block].data + e.offset, e.len};
}

/* The caller holds the lock or is the writer. */
static uint32_t find(const wn_dict *dict, wn_str key, uint32_t hash) {
  size_t mask = dict->slot_count - 1;
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    slot s = dict->slots[i];
    if (s.ix == WN_NO_IX) return WN_NO_IX;
    if (s.hash == hash && wn_str_equal(key_at(dict, s.ix), key)) return s.ix;
  }
}

uint32_t wn_dict_find(const wn_dict *dict, wn_str key) {
  uint32_t hash = hash_of(key);
  read_lock(dict);
  uint32_t ix = find(dict, key, hash);
  unlock(dict);
  return ix;
}

static void put_slot(slot *slots, size_t slot_count, slot s) {
  size_t i = s.hash & (slot_count - 1);
  while (slots[i].ix != WN_NO_IX) i = (i + 1) & (slot_count - 1);
  slots[i] = s;
}

static bool grow_slots(wn_dict *dict) {
  if (dict->count < dict->slot_count / 5 * 4) return true;
  size_t grown_count = dict->slot_count * 2;
  slot *grown = slots_create(grown_count);
  if (grown == NULL) return false;
  for (size_t i = 0; i < dict->slot_count; i++) {
    if (dict->slots[i].ix != WN_NO_IX) put_slot(grown, grown_count, dict->slots[i]);
  }
  slot *old = dict->slots;
  write_lock(dict);
  dict->slots = grown;
  dict->slot_count = grown_count;
  unlock(dict);
  wn_free(old);
  return true;
}

/* A copy of a full list with twice the room; NULL: out of memory. */
static void *list_grown(const void *old, size_t count, size_t *cap, size_t size) {
  size_t grown_cap = *cap < 8 ? 8 : *cap * 2;
  void *grown = wn_reallocarray(NULL, grown_cap, size);
  if (grown == NULL) return NULL;
  if (count > 0) memcpy(grown, old, count * size);
  *cap = grown_cap;
  return grown;
}

static bool add_chunk(wn_dict *dict) {
  size_t cap = dict->chunk_cap;
  entry **old = dict->chunks, **chunks = old;
  entry *chunk = wn_reallocarray(NULL, CHUNK_ENTRIES, sizeof *chunk);
  if (dict->chunk_count == cap) {
    chunks = list_grown((const void *)old, dict->chunk_count, &cap, sizeof *chunks);
  }
  if (chunk == NULL || chunks == NULL) {
    wn_free(chunk);
    if (chunks != old) wn_free((void *)chunks);
    return false;
  }
  chunks[dict->chunk_count] = chunk;
  write_lock(dict);
  dict->chunks = chunks;
  dict->chunk_cap = cap;
  dict->chunk_count++;
  unlock(dict);
  if (chunks != old) wn_free((void *)old);
  return true;
}

static bool grow_entries(wn_dict *dict) {
  return dict->count / CHUNK_ENTRIES < dict->chunk_count || add_chunk(dict);
}

static bool add_block(wn_dict *dict, uint32_t bytes) {
  size_t cap = dict->block_cap;
  block *old = dict->blocks, *blocks = old;
  char *data = wn_malloc(bytes);
  if (dict->block_count == cap) {
    blocks = list_grown(old, dict->block_count, &cap, sizeof *blocks);
  }
  if (data == NULL || blocks == NULL) {
    wn_free(data);
    if (blocks != old) wn_free(blocks);
    return false;
  }
  blocks[dict->block_count] = (block){data, bytes};
  write_lock(dict);
  dict->blocks = blocks;
  dict->block_cap = cap;
  dict->block_count++;
  unlock(dict);
  dict->tail = 0;
  if (blocks != old) wn_free(old);
  return true;
}

/* Room for `len` bytes at the tail of the last block; blocks double from 4 KiB to 1 MiB, and a
 * key longer than that has a block of its own. */
static bool grow_blocks(wn_dict *dict, uint32_t len) {
  block *last = dict->block_count > 0 ? &dict->blocks[dict->block_count - 1] : NULL;
  if (last != NULL && len <= last->cap - dict->tail) return true;
  uint32_t cap = last == NULL                   ? BLOCK_BYTES_FIRST
                 : last->cap >= BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX
                                                : last->cap * 2;
  return add_block(dict, cap < len ? len : cap);
}

wn_status wn_dict_add(wn_dict *dict, wn_str key, uint32_t *ix, bool *added) {
  uint32_t hash = hash_of(key);
  uint32_t found = find(dict, key, hash);
  if (added != NULL) *added = false;
  if (found != WN_NO_IX) {
    *ix = found;
    return WN_OK;
  }
  if (dict->count >= KEYS_MAX || key.len > UINT32_MAX) return WN_E_FULL;
  uint32_t len = (uint32_t)key.len;
  if (!grow_slots(dict) || !grow_entries(dict) || !grow_blocks(dict, len)) return WN_E_MEMORY;
  uint32_t block_ix = (uint32_t)(dict->block_count - 1);
  char *bytes = dict->blocks[block_ix].data + dict->tail;
  if (len > 0) memcpy(bytes, key.ptr, len);
  write_lock(dict);
  *entry_at(dict, dict->count) = (entry){block_ix, dict->tail, len};
  put_slot(dict->slots, dict->slot_count, (slot){hash, dict->count});
  *ix = dict->count++;
  unlock(dict);
  dict->tail += len;
  if (added != NULL) *added = true;
  return WN_OK;
}

wn_str wn_dict_key(const wn_dict *dict, uint32_t ix) {
  read_lock(dict);
  wn_str key = ix < dict->count ? key_at(dict, ix) : (wn_str){0};
  unlock(dict);
  return key;
}

uint32_t wn_dict_count(const wn_dict *dict) {
  read_lock(dict);
  uint32_t count = dict->count;
  unlock(dict);
  return count;
}

/* Empties the slot of `ix` and moves back what would no longer be found past the gap. */
static void remove_slot(wn_dict *dict, uint32_t ix) {
  size_t mask = dict->slot_count - 1;
  size_t gap = hash_of(key_at(dict, ix)) & mask;
  while (dict->slots[gap].ix != ix) gap = (gap + 1) & mask;
  for (size_t i = (gap + 1) & mask; dict->slots[i].ix != WN_NO_IX; i = (i + 1) & mask) {
    size_t from_home = (i - dict->slots[i].hash) & mask;
    if (from_home >= ((i - gap) & mask)) {
      dict->slots[gap] = dict->slots[i];
      gap = i;
    }
  }
  dict->slots[gap].ix = WN_NO_IX;
}

static void free_blocks_after(wn_dict *dict, size_t kept) {
  while (dict->block_count > kept) wn_free(dict->blocks[--dict->block_count].data);
}

void wn_dict_truncate(wn_dict *dict, uint32_t count) {
  write_lock(dict);
  while (dict->count > count) {
    uint32_t ix = dict->count - 1;
    remove_slot(dict, ix);
    dict->tail = entry_at(dict, ix)->offset;
    free_blocks_after(dict, (size_t)entry_at(dict, ix)->block + 1);
    dict->count = ix;
  }
  unlock(dict);
}

size_t wn_dict_bytes(const wn_dict *dict) {
  read_lock(dict);
  size_t bytes = sizeof *dict + sizeof *dict->lock;
  bytes += dict->slot_count * sizeof *dict->slots;
  bytes += dict->chunk_cap * sizeof *dict->chunks;
  bytes += dict->chunk_count * CHUNK_ENTRIES * sizeof(entry);
  bytes += dict->block_cap * sizeof *dict->blocks;
  for (size_t i = 0; i < dict->block_count; i++) bytes += dict->blocks[i].cap;
  unlock(dict);
  return bytes;
}
