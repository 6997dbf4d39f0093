#ifndef WN_INDEX_LIVE_H
#define WN_INDEX_LIVE_H
/* The part of an index that changes: a log of changes beside an immutable base, and how readers and
 * writers share them.
 *
 * Every upsert and every removal appends one entry to the delta; its place there plus one is its
 * number. A row, in the base or in the delta, is visible to a search that began after `now` changes
 * when the change that made it is among them and the one that ended it (`died`) is not. So a search
 * sees one moment's state, whatever happens meanwhile. */

#include "base/map64.h"
#include "index/codes.h"

#include <pthread.h>
#include <string.h>

#define WN_DELTA_CHUNK  256u
#define WN_DELTA_CHUNKS 4096u
#define WN_DELTA_MAX    (WN_DELTA_CHUNK * WN_DELTA_CHUNKS)
#define WN_DELTA_BLOCKS (WN_DELTA_CHUNK / WN_SCAN_LANES)

/* 256 entries. Everything but `died` is written before the entry is published. */
typedef struct wn_delta_chunk {
  uint32_t ids[WN_DELTA_CHUNK];
  _Atomic(uint32_t) died[WN_DELTA_CHUNK]; /* 0: lives; a removal's entry dies by itself */
  float inverses[WN_DELTA_CHUNK];         /* 1/‖x‖, 0 for 0 */
  float bias[WN_DELTA_CHUNK];
  float norm_max[WN_DELTA_BLOCKS]; /* ‖x‖ of a full block's rows; l2: and norm_min */
  float norm_min[WN_DELTA_BLOCKS];
  wn_scan_fit codes_fit[WN_DELTA_BLOCKS];
  wn_code_fit fit[WN_DELTA_BLOCKS];
  uint8_t *codes; /* of full blocks */
  float *rows;
} wn_delta_chunk;

typedef struct wn_delta {
  _Atomic(uint32_t) len;
  wn_map64 newest; /* id → entry + 1; the writer's */
  size_t bytes;
  wn_delta_chunk *chunks[WN_DELTA_CHUNKS];
} wn_delta;

typedef struct wn_index_view {
  wn_base *base;
  wn_delta *delta;
} wn_index_view;

#define WN_READER_STRIPES 16u

typedef struct wn_reader_count {
  _Alignas(64) atomic_long inside[2]; /* searches that began in an even, an odd epoch */
} wn_reader_count;

struct wn_index {
  _Atomic(wn_index_view *) view;
  atomic_uint epoch;
  wn_reader_count readers[WN_READER_STRIPES];
  pthread_mutex_t write_lock;   /* upsert, remove, and compact's last step */
  pthread_mutex_t compact_lock; /* one compaction at a time */
  atomic_uint rows;             /* visible */
  const unsigned char *mapping; /* owned file mapping, or NULL */
  size_t mapping_size;
};

/* A search's hold on a view. */
typedef struct wn_reading {
  const wn_index_view *view;
  uint32_t now; /* changes seen */
  atomic_long *counter;
} wn_reading;

wn_reading wn_reading_begin(const wn_index *index);
void wn_reading_end(wn_reading *reading);
/* Swaps the view and returns once nobody reads the old one, which is then the caller's. */
wn_index_view *wn_index_swap(wn_index *index, wn_index_view *view);
void wn_index_wait(wn_index *index);

wn_delta *wn_delta_create(void);
void wn_delta_free(wn_delta *delta);
/* Appends without looking at what it replaces; vector NULL: a removal. False: out of memory. */
bool wn_delta_append(wn_delta *delta, const wn_base *base, uint32_t id, const float *vector);
void wn_index_view_free(wn_index_view *view);
/* A handle on a base, which it takes. NULL: out of memory, and the base is still the caller's. */
wn_index *wn_index_of_base(wn_base *base);

static inline bool wn_is_dead(uint32_t died, uint32_t now) {
  return died != 0 && died <= now;
}
static inline bool wn_base_sees(const wn_base *base, uint32_t id, uint32_t now) {
  if (now == 0) return true;
  uint64_t struck = atomic_load_explicit(&base->struck[id >> 6], memory_order_relaxed);
  if (((struck >> (id & 63)) & 1) == 0) return true;
  return !wn_is_dead(atomic_load_explicit(&base->died[id], memory_order_relaxed), now);
}
static inline bool wn_delta_sees(const wn_delta_chunk *chunk, uint32_t at, uint32_t now) {
  return !wn_is_dead(atomic_load_explicit(&chunk->died[at], memory_order_relaxed), now);
}

/* NULL, or why a vector is refused. */
const char *wn_vector_fault(const float *vector, uint32_t dims);

#endif
