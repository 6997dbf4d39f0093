/* Readers: each search adds itself to one of two counters of its stripe, by the epoch's parity, and
 * takes itself out again: two atomic additions, no loop, no lock. Whoever replaces the view waits
 * until both parities have been empty once (McKenney's sleepable RCU): a reader that came in late
 * under the old parity has loaded the new view.
 *
 * Writers take turns by a mutex. An upsert writes the entry, marks what it replaces, and then
 * publishes the new length: a search reads the length first, and believes only marks up to it. */
#include "index/live.h"
#include "base/mem.h"
#include "base/vec.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

wn_reading wn_reading_begin(const wn_index *index) {
  static atomic_uint next_stripe;
  static _Thread_local unsigned stripe; /* 1 + number; 0: none yet */
  if (stripe == 0) {
    stripe =
        1 + atomic_fetch_add_explicit(&next_stripe, 1, memory_order_relaxed) % WN_READER_STRIPES;
  }
  wn_index *shared =
      (wn_index *)(uintptr_t)index; /* counting changes nothing that is asked about */
  unsigned parity = atomic_load(&shared->epoch) & 1;
  wn_reading reading = {.counter = &shared->readers[stripe - 1].inside[parity]};
  atomic_fetch_add(reading.counter, 1);
  reading.view = atomic_load(&shared->view);
  reading.now = atomic_load_explicit(&reading.view->delta->len, memory_order_acquire);
  return reading;
}

void wn_reading_end(wn_reading *reading) {
  atomic_fetch_sub_explicit(reading->counter, 1, memory_order_release);
  *reading = (wn_reading){0};
}

void wn_index_wait(wn_index *index) {
  const struct timespec nap = {.tv_nsec = 50000};
  for (int pass = 0; pass < 2; pass++) {
    unsigned parity = atomic_fetch_add(&index->epoch, 1) & 1;
    for (size_t i = 0; i < WN_READER_STRIPES; i++) {
      while (atomic_load(&index->readers[i].inside[parity]) != 0) nanosleep(&nap, NULL);
    }
  }
}

wn_index_view *wn_index_swap(wn_index *index, wn_index_view *view) {
  return atomic_exchange(&index->view, view);
}

wn_delta *wn_delta_create(void) {
  return wn_calloc(1, sizeof(wn_delta));
}

void wn_delta_free(wn_delta *delta) {
  if (delta == NULL) return;
  for (size_t i = 0; i < WN_DELTA_CHUNKS && delta->chunks[i] != NULL; i++) {
    wn_free(delta->chunks[i]->codes);
    wn_free(delta->chunks[i]->rows);
    wn_free(delta->chunks[i]);
  }
  wn_map64_clear(&delta->newest);
  wn_free(delta);
}

void wn_index_view_free(wn_index_view *view) {
  if (view == NULL) return;
  wn_base_free(view->base);
  wn_delta_free(view->delta);
  wn_free(view);
}

static wn_delta_chunk *chunk_create(const wn_base *base, size_t *bytes) {
  wn_delta_chunk *chunk = wn_calloc(1, sizeof *chunk);
  if (chunk == NULL) return NULL;
  size_t codes = WN_DELTA_BLOCKS * base->groups * 64;
  chunk->codes = wn_malloc(codes);
  chunk->rows = wn_calloc((size_t)WN_DELTA_CHUNK * base->head.dims, sizeof *chunk->rows);
  if (chunk->codes == NULL || chunk->rows == NULL) {
    wn_free(chunk->codes);
    wn_free(chunk->rows);
    wn_free(chunk);
    return NULL;
  }
  *bytes += sizeof *chunk + codes + (size_t)WN_DELTA_CHUNK * base->head.dims * sizeof *chunk->rows;
  return chunk;
}

/* A block is coded when its last row comes: until then searches read its rows. */
static void close_block(wn_delta_chunk *chunk, const wn_base *base, uint32_t block) {
  uint32_t dims = base->head.dims;
  wn_code_rows rows = {.count = WN_SCAN_LANES};
  chunk->norm_min[block] = INFINITY;
  for (uint32_t l = 0; l < WN_SCAN_LANES; l++) {
    uint32_t at = block * WN_SCAN_LANES + l;
    const float *row = chunk->rows + (size_t)at * dims;
    double norm2 = wn_norm2(row, dims);
    float norm = (float)sqrt(norm2);
    if (base->head.metric == WN_METRIC_COSINE) norm = norm2 > 0 ? 1 : 0;
    rows.row[l] = row;
    rows.factor[l] = base->head.metric == WN_METRIC_COSINE ? chunk->inverses[at] : 1;
    chunk->bias[at] = -(float)norm2;
    if (norm > chunk->norm_max[block]) chunk->norm_max[block] = norm;
    if (norm < chunk->norm_min[block]) chunk->norm_min[block] = norm;
  }
  chunk->codes_fit[block] = wn_code_block(
      &base->axes, &rows, chunk->codes + (size_t)block * base->groups * 64, &chunk->fit[block]);
}

bool wn_delta_append(wn_delta *delta, const wn_base *base, uint32_t id, const float *vector) {
  uint32_t entry = atomic_load_explicit(&delta->len, memory_order_relaxed);
  uint32_t at = entry % WN_DELTA_CHUNK, dims = base->head.dims;
  wn_delta_chunk **chunk = &delta->chunks[entry / WN_DELTA_CHUNK];
  if (*chunk == NULL && (*chunk = chunk_create(base, &delta->bytes)) == NULL) return false;
  uint64_t *newest = wn_map64_at(&delta->newest, id);
  if (newest == NULL) return false;
  if (*newest > 0) {
    uint32_t old = (uint32_t)*newest - 1;
    _Atomic(uint32_t) *died = &delta->chunks[old / WN_DELTA_CHUNK]->died[old % WN_DELTA_CHUNK];
    if (atomic_load_explicit(died, memory_order_relaxed) == 0) {
      atomic_store_explicit(died, entry + 1, memory_order_relaxed);
    }
  } else if (wn_base_has(base, id)) {
    atomic_store_explicit(&base->died[id], entry + 1, memory_order_relaxed);
    atomic_fetch_or_explicit(&base->struck[id >> 6], (uint64_t)1 << (id & 63),
                             memory_order_relaxed);
  }
  *newest = entry + 1;
  (*chunk)->ids[at] = id;
  if (vector != NULL) {
    memcpy((*chunk)->rows + (size_t)at * dims, vector, dims * sizeof *vector);
    (*chunk)->inverses[at] = wn_inverse_norm(wn_norm2(vector, dims));
  } else {
    atomic_store_explicit(&(*chunk)->died[at], entry + 1, memory_order_relaxed);
  }
  if ((at + 1) % WN_SCAN_LANES == 0) close_block(*chunk, base, at / WN_SCAN_LANES);
  atomic_store_explicit(&delta->len, entry + 1, memory_order_release);
  return true;
}

const char *wn_vector_fault(const float *vector, uint32_t dims) {
  bool finite = true;
  for (uint32_t i = 0; i < dims; i++) finite &= fabsf(vector[i]) <= 3.4e38f;
  if (!finite) return "holds a value that is not a finite number";
  return wn_norm2(vector, dims) <= 1e36 ? NULL : "has a norm beyond 1e18";
}

/* Whether the newest state, as the writer knows it, has the id. */
static bool writer_has(const wn_index_view *view, uint32_t id) {
  const wn_delta *delta = view->delta;
  const uint64_t *newest = wn_map64_find(&delta->newest, id);
  if (newest == NULL) return wn_base_has(view->base, id);
  uint32_t entry = (uint32_t)*newest - 1;
  const wn_delta_chunk *chunk = delta->chunks[entry / WN_DELTA_CHUNK];
  return atomic_load_explicit(&chunk->died[entry % WN_DELTA_CHUNK], memory_order_relaxed) == 0;
}

static wn_status change(wn_index *index, uint32_t id, const float *vector, wn_error *err) {
  wn_status status = WN_OK;
  pthread_mutex_lock(&index->write_lock);
  wn_index_view *view = atomic_load_explicit(&index->view, memory_order_relaxed);
  bool had = writer_has(view, id);
  if (vector == NULL && !had) {
    status = wn_fail(err, WN_E_NOT_FOUND, "id", "%u is not in the index", id);
  } else if (atomic_load_explicit(&view->delta->len, memory_order_relaxed) >= WN_DELTA_MAX) {
    status = wn_fail(err, WN_E_FULL, "id", "%u changes wait to be merged: compact", WN_DELTA_MAX);
  } else if (!wn_delta_append(view->delta, view->base, id, vector)) {
    status = wn_fail_memory(err);
  } else if (vector != NULL && !had) {
    atomic_fetch_add_explicit(&index->rows, 1, memory_order_relaxed);
  } else if (vector == NULL) {
    atomic_fetch_sub_explicit(&index->rows, 1, memory_order_relaxed);
  }
  pthread_mutex_unlock(&index->write_lock);
  return status;
}

wn_status wn_index_upsert(wn_index *index, uint32_t id, const float *vector, wn_error *err) {
  /* dims never change, so any view will do; but the view itself may go */
  wn_reading reading = wn_reading_begin(index);
  uint32_t dims = reading.view->base->head.dims;
  wn_reading_end(&reading);
  const char *fault = wn_vector_fault(vector, dims);
  if (fault != NULL) return wn_fail(err, WN_E_ARGUMENT, "vector", "%s", fault);
  if (id >= WN_INDEX_ROWS_MAX) {
    return wn_fail(err, WN_E_ARGUMENT, "id", "must be below %u, got %u", WN_INDEX_ROWS_MAX, id);
  }
  return change(index, id, vector, err);
}

wn_status wn_index_remove(wn_index *index, uint32_t id, wn_error *err) {
  return change(index, id, NULL, err);
}

wn_status wn_index_get(const wn_index *index, uint32_t id, float *vector, wn_error *err) {
  wn_reading reading = wn_reading_begin(index);
  const wn_base *base = reading.view->base;
  const float *row = NULL;
  if (wn_base_has(base, id) && wn_base_sees(base, id, reading.now)) row = wn_base_row(base, id);
  for (uint32_t e = reading.now; e > 0 && row == NULL; e--) {
    const wn_delta_chunk *chunk = reading.view->delta->chunks[(e - 1) / WN_DELTA_CHUNK];
    uint32_t at = (e - 1) % WN_DELTA_CHUNK;
    if (chunk->ids[at] != id) continue;
    if (wn_delta_sees(chunk, at, reading.now)) row = chunk->rows + (size_t)at * base->head.dims;
    break; /* the newest entry decides */
  }
  if (row != NULL) memcpy(vector, row, base->head.dims * sizeof *vector);
  wn_reading_end(&reading);
  return row != NULL ? WN_OK : wn_fail(err, WN_E_NOT_FOUND, "id", "%u is not in the index", id);
}

wn_index *wn_index_of_base(wn_base *base) {
  wn_index *index = NULL;
  void *room = NULL;
  if (posix_memalign(&room, 64, sizeof *index) != 0) return NULL;
  index = memset(room, 0, sizeof *index);
  wn_index_view *view = wn_calloc(1, sizeof *view);
  wn_delta *delta = wn_delta_create();
  if (view == NULL || delta == NULL) {
    wn_free(view);
    wn_free(delta);
    wn_free(index);
    return NULL;
  }
  *view = (wn_index_view){base, delta};
  atomic_init(&index->view, view);
  atomic_init(&index->rows, base->head.rows);
  pthread_mutex_init(&index->write_lock, NULL);
  pthread_mutex_init(&index->compact_lock, NULL);
  return index;
}
