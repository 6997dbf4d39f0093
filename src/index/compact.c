/* Merging the delta into a new base, beside readers and writers.
 *
 * The state at one moment (`now` changes) is copied: rows, ids, lists that stay as they are; only
 * changed rows look for their nearest centre again. The axes, the centres and the measured kappas
 * are kept, because a merge changes few rows; build afresh when the catalogue has become another.
 * What was appended meanwhile goes into the new delta: most of it while writers still write, the
 * rest with them waiting, a few entries of a microsecond each. Then the view is swapped, and the
 * old one is freed once its last reader has left. The new base is the one that building from the
 * same rows and centres gives, to the bit. */
#include "base/file.h"
#include "base/mem.h"
#include "index/cluster.h"
#include "index/lists.h"
#include "index/live.h"

#include <string.h>

#define CATCH_UP 64u /* entries that may be left for the last step */

typedef struct merge {
  const wn_base *old;
  const wn_delta *delta;
  uint32_t now, ids;
  float *block, *rows; /* see wn_rows_of */
  uint64_t *present;
  uint32_t *known; /* [ids] lists */
  float *centres;  /* row-major */
} merge;

static void merge_clear(merge *m) {
  wn_free(m->block);
  wn_free(m->present);
  wn_free(m->known);
  wn_free(m->centres);
}

static bool merge_allocate(merge *m) {
  uint32_t dims = m->old->head.dims;
  m->ids = m->old->head.ids;
  for (uint32_t e = 0; e < m->now; e++) {
    const wn_delta_chunk *chunk = m->delta->chunks[e / WN_DELTA_CHUNK];
    uint32_t id = chunk->ids[e % WN_DELTA_CHUNK];
    if (wn_delta_sees(chunk, e % WN_DELTA_CHUNK, m->now) && id >= m->ids) m->ids = id + 1;
  }
  m->block = wn_rows_create((size_t)m->ids * dims);
  m->present = wn_calloc(((size_t)m->ids + 63) / 64, sizeof *m->present);
  m->known = wn_malloc((size_t)m->ids * sizeof *m->known);
  m->centres = wn_malloc((size_t)m->old->head.lists * dims * sizeof *m->centres);
  m->rows = m->block != NULL ? wn_rows_of(m->block) : NULL;
  return m->rows != NULL && m->present != NULL && m->known != NULL && m->centres != NULL;
}

static void take_row(merge *m, uint32_t id, const float *row) {
  uint32_t dims = m->old->head.dims;
  memcpy(m->rows + (size_t)id * dims, row, dims * sizeof *row);
  m->present[id >> 6] |= (uint64_t)1 << (id & 63);
}

static void merge_fill(merge *m) {
  const wn_base *old = m->old;
  memset(m->known, 0xff, (size_t)m->ids * sizeof *m->known);
  for (uint32_t list = 0; list < old->head.lists; list++) {
    size_t end = (size_t)old->lists[list + 1] * WN_SCAN_LANES;
    for (size_t lane = (size_t)old->lists[list] * WN_SCAN_LANES; lane < end; lane++) {
      uint32_t id = old->ids[lane];
      if (id != WN_NO_ID && wn_base_sees(old, id, m->now)) m->known[id] = list;
    }
  }
  for (uint32_t id = 0; id < old->head.ids; id++) {
    if (m->known[id] != WN_NO_ID) take_row(m, id, wn_base_row(old, id));
  }
  for (uint32_t e = 0; e < m->now; e++) {
    const wn_delta_chunk *chunk = m->delta->chunks[e / WN_DELTA_CHUNK];
    uint32_t at = e % WN_DELTA_CHUNK;
    if (!wn_delta_sees(chunk, at, m->now)) continue;
    take_row(m, chunk->ids[at], chunk->rows + (size_t)at * old->head.dims);
  }
  wn_base_centres(old, m->centres);
}

/* The base of what a reading sees. */
static wn_status merge_base(const wn_reading *reading, wn_pool *pool, wn_base **out,
                            wn_error *err) {
  wn_status status;
  const wn_image_header *head = &reading->view->base->head;
  merge m = {.old = reading->view->base, .delta = reading->view->delta, .now = reading->now};
  if (!merge_allocate(&m)) WN_TRY(wn_fail_memory(err));
  merge_fill(&m);
  wn_base_task task = {.rows = m.rows,
                       .ids = m.ids,
                       .dims = head->dims,
                       .axes = &reading->view->base->axes,
                       .present = m.present,
                       .metric = (wn_metric)head->metric,
                       .tiers = &head->tiers,
                       .lists = head->lists,
                       .centres = m.centres,
                       .known = m.known,
                       .pool = pool};
  WN_TRY(wn_base_build(&task, out, err));
  wn_image_header *to = &(*out)->head;
  to->recall = head->recall;
  to->k = head->k;
  to->exact_lanes = head->exact_lanes;
  memcpy(to->levels, head->levels, sizeof to->levels);
  memcpy(to->cost, head->cost, sizeof to->cost);
  (*out)->rows = m.rows;
  (*out)->own_rows = m.block;
  m.block = NULL;
cleanup:
  merge_clear(&m);
  return status;
}

/* Entries from `from` to the delta's present end, appended to the new one. */
static bool copy_entries(const wn_delta *from, uint32_t *done, wn_delta *to, const wn_base *base) {
  uint32_t end = atomic_load_explicit(&from->len, memory_order_acquire);
  for (; *done < end; (*done)++) {
    const wn_delta_chunk *chunk = from->chunks[*done / WN_DELTA_CHUNK];
    uint32_t at = *done % WN_DELTA_CHUNK;
    uint32_t died = atomic_load_explicit(&chunk->died[at], memory_order_relaxed);
    bool removal = died == *done + 1; /* only a removal ends with itself */
    const float *row = chunk->rows + (size_t)at * base->head.dims;
    if (!wn_delta_append(to, base, chunk->ids[at], removal ? NULL : row)) return false;
  }
  return true;
}

/* Replaces the view by `next`, whose base has the changes up to reading->now. */
static wn_status publish(wn_index *index, wn_reading *reading, wn_index_view *next, wn_error *err) {
  uint32_t done = reading->now;
  const wn_delta *delta = reading->view->delta;
  bool copied = true;
  while (copied && atomic_load_explicit(&delta->len, memory_order_acquire) - done > CATCH_UP) {
    copied = copy_entries(delta, &done, next->delta, next->base);
  }
  pthread_mutex_lock(&index->write_lock);
  copied = copied && copy_entries(delta, &done, next->delta, next->base);
  wn_index_view *old = copied ? wn_index_swap(index, next) : NULL;
  pthread_mutex_unlock(&index->write_lock);
  wn_reading_end(reading);
  if (!copied) return wn_fail_memory(err);
  wn_index_wait(index);
  wn_index_view_free(old);
  return WN_OK;
}

wn_status wn_index_compact(wn_index *index, wn_pool *pool, wn_error *err) {
  wn_status status = WN_OK;
  wn_index_view *next = NULL;
  pthread_mutex_lock(&index->compact_lock);
  wn_reading reading = wn_reading_begin(index);
  if (reading.now == 0) goto cleanup;
  next = wn_calloc(1, sizeof *next);
  if (next == NULL || (next->delta = wn_delta_create()) == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(merge_base(&reading, pool, &next->base, err));
  WN_TRY(publish(index, &reading, next, err));
  next = NULL;
cleanup:
  if (reading.view != NULL) wn_reading_end(&reading);
  pthread_mutex_unlock(&index->compact_lock);
  wn_index_view_free(next);
  return status;
}

bool wn_index_wants_compact(const wn_index *index) {
  wn_reading reading = wn_reading_begin(index);
  uint32_t rows = reading.view->base->head.rows, changes = reading.now;
  wn_reading_end(&reading);
  return changes >= 4096 && (changes >= rows / 64 || changes >= 16384);
}

wn_status wn_index_write(const wn_index *index, bool with_rows, const wn_index_sink *sink,
                         wn_error *err) {
  wn_status status = WN_OK;
  wn_base *merged = NULL;
  wn_reading reading = wn_reading_begin(index);
  const wn_base *base = reading.view->base;
  if (reading.now > 0) {
    WN_TRY(merge_base(&reading, NULL, &merged, err));
    base = merged;
  }
  WN_TRY(wn_base_write(base, with_rows, sink, err));
cleanup:
  wn_reading_end(&reading);
  wn_base_free(merged);
  return status;
}

void wn_index_free(wn_index *index) {
  if (index == NULL) return;
  wn_index_view_free(atomic_load(&index->view));
  pthread_mutex_destroy(&index->write_lock);
  pthread_mutex_destroy(&index->compact_lock);
  wn_mapping mapping = {index->mapping, index->mapping_size};
  wn_unmap_file(&mapping);
  wn_free(index);
}
