/* Building: check the rows, cluster, lay out, measure. */
#include "index/index.h"
#include "base/mem.h"
#include "index/tiers.h"
#include "index/tune.h"
#include "index/live.h"

#include <math.h>
#include <string.h>

static const char *const metric_names[] = {"ip", "cosine", "l2"};

const char *wn_metric_name(wn_metric metric) {
  return metric_names[metric];
}

bool wn_metric_parse(const char *name, wn_metric *metric) {
  for (unsigned i = 0; i < 3; i++) {
    if (strcmp(name, metric_names[i]) != 0) continue;
    *metric = (wn_metric)i;
    return true;
  }
  return false;
}

void wn_index_options_defaults(wn_index_options *options) {
  *options = (wn_index_options){.recall = .99, .k = 100, .lists = WN_INDEX_LISTS_AUTO, .seed = 1};
}

static wn_status check_options(const wn_vectors *rows, const wn_index_options *options,
                               wn_error *err) {
  if (rows->dims == 0 || rows->dims > WN_INDEX_DIMS_MAX) {
    return wn_fail(err, WN_E_ARGUMENT, "dims", "must be 1 to %u, got %u", WN_INDEX_DIMS_MAX,
                   rows->dims);
  }
  if (rows->count > WN_INDEX_ROWS_MAX) {
    return wn_fail(err, WN_E_TOO_LARGE, "rows", "at most %u, got %u", WN_INDEX_ROWS_MAX,
                   rows->count);
  }
  if (!(options->recall >= .5 && options->recall <= 1)) {
    return wn_fail(err, WN_E_ARGUMENT, "recall", "must be .5 to 1");
  }
  if (options->k == 0 || options->k > 10000) {
    return wn_fail(err, WN_E_ARGUMENT, "k", "must be 1 to 10000, got %u", options->k);
  }
  if ((unsigned)options->metric > WN_METRIC_L2) {
    return wn_fail(err, WN_E_ARGUMENT, "metric", "must be ip, cosine or l2");
  }
  if (options->lists != WN_INDEX_LISTS_AUTO && options->lists > (1u << 20)) {
    return wn_fail(err, WN_E_ARGUMENT, "lists", "at most %u, got %u", 1u << 20, options->lists);
  }
  if (options->queries.count > 0 && options->queries.dims != rows->dims) {
    return wn_fail(err, WN_E_ARGUMENT, "queries", "have %u dimensions, the rows %u",
                   options->queries.dims, rows->dims);
  }
  return WN_OK;
}

typedef struct row_check {
  const wn_vectors *rows;
  atomic_uint first; /* bad one */
} row_check;

static void check_rows(void *ctx, size_t begin, size_t end, int worker) {
  row_check *check = ctx;
  (void)worker;
  for (size_t i = begin; i < end; i++) {
    const float *row = check->rows->data + i * check->rows->dims;
    if (wn_vector_fault(row, check->rows->dims) == NULL) continue;
    unsigned first = atomic_load(&check->first);
    while (i < first && !atomic_compare_exchange_weak(&check->first, &first, (unsigned)i)) {
    }
    return;
  }
}

static wn_status check_vectors(const wn_vectors *rows, const char *what, wn_pool *pool,
                               wn_error *err) {
  row_check check = {.rows = rows};
  atomic_init(&check.first, UINT32_MAX);
  wn_for_all(pool, rows->count, 4096, check_rows, &check);
  unsigned bad = atomic_load(&check.first);
  if (bad == UINT32_MAX) return WN_OK;
  return wn_fail(err, WN_E_ARGUMENT, what, "row %u %s", bad,
                 wn_vector_fault(rows->data + (size_t)bad * rows->dims, rows->dims));
}

wn_status wn_index_build(const wn_vectors *rows, const wn_index_options *options, wn_index **out,
                         wn_error *err) {
  wn_status status;
  wn_base *base = NULL;
  float *centres = NULL, *axis_blocks = NULL;
  uint64_t *present = NULL;
  wn_tiers tiers;
  wn_axes axes;
  *out = NULL;
  WN_TRY(check_options(rows, options, err));
  WN_TRY(check_vectors(rows, "rows", options->pool, err));
  WN_TRY(check_vectors(&options->queries, "queries", options->pool, err));
  if (options->present != NULL) {
    present = wn_calloc(((size_t)rows->count + 63) / 64 + 1, sizeof *present);
    if (present == NULL) WN_TRY(wn_fail_memory(err));
    for (uint32_t i = 0; i < rows->count; i++) {
      if (wn_bitset_test(options->present, i)) present[i >> 6] |= (uint64_t)1 << (i & 63);
    }
  }
  WN_TRY(wn_axes_find(rows, options, &axes, &axis_blocks, err));
  WN_TRY(wn_tiers_find(rows, &axes, options, &tiers, &centres, err));
  wn_base_task task = {.rows = rows->data,
                       .ids = rows->count,
                       .dims = rows->dims,
                       .axes = &axes,
                       .metric = options->metric,
                       .present = present,
                       .tiers = &tiers,
                       .lists = tiers.first[tiers.count],
                       .centres = centres,
                       .pool = options->pool};
  WN_TRY(wn_base_build(&task, &base, err));
  base->rows = rows->data;
  if (options->copy) {
    size_t count = (size_t)rows->count * rows->dims;
    base->own_rows = wn_rows_create(count);
    if (base->own_rows == NULL) WN_TRY(wn_fail_memory(err));
    if (count > 0) memcpy(wn_rows_of(base->own_rows), rows->data, count * sizeof(float));
    base->rows = wn_rows_of(base->own_rows);
  }
  WN_TRY(wn_tune(base, options, err));
  *out = wn_index_of_base(base);
  if (*out == NULL) WN_TRY(wn_fail_memory(err));
  base = NULL;
cleanup:
  wn_base_free(base);
  wn_free(centres);
  wn_free(axis_blocks);
  wn_free(present);
  return status;
}

wn_status wn_index_map(const void *bytes, size_t size, const wn_vectors *rows, wn_index **out,
                       wn_error *err) {
  wn_base *base;
  *out = NULL;
  wn_status status = wn_base_map(bytes, size, rows, &base, err);
  if (status != WN_OK) return status;
  *out = wn_index_of_base(base);
  if (*out != NULL) return WN_OK;
  wn_base_free(base);
  return wn_fail_memory(err);
}

void wn_index_about_of(const wn_index *index, wn_index_about *about) {
  wn_reading reading = wn_reading_begin(index);
  const wn_image_header *head = &reading.view->base->head;
  wn_image_header laid = *head;
  *about = (wn_index_about){.metric = (wn_metric)head->metric,
                            .dims = head->dims,
                            .coded = head->kept,
                            .ids = head->ids,
                            .lists = head->lists,
                            .tiers = head->tiers.count,
                            .changes = reading.now,
                            .recall = (double)head->recall};
  about->rows = atomic_load_explicit(&index->rows, memory_order_relaxed);
  laid.with_rows = 0;
  if (wn_image_layout(&laid)) about->bytes = (size_t)laid.bytes;
  about->row_bytes = (size_t)head->ids * head->dims * sizeof(float);
  about->delta_bytes =
      (size_t)(reading.now + WN_DELTA_CHUNK - 1) / WN_DELTA_CHUNK *
      (sizeof(wn_delta_chunk) + (size_t)WN_DELTA_CHUNK * (head->dims * 4 + head->kept));
  about->own_bytes = about->delta_bytes + (size_t)head->ids * sizeof(uint32_t) + head->ids / 8;
  if (reading.view->base->image != NULL) about->own_bytes += about->bytes;
  if (reading.view->base->own_rows != NULL) about->own_bytes += about->row_bytes;
  about->achieved = 1;
  for (int i = WN_INDEX_LEVELS - 1; i >= 0; i--) {
    wn_image_level level = head->levels[i];
    about->levels[i] =
        (wn_index_level){(double)level.recall, (double)level.achieved, (double)level.lanes};
    if (level.recall > 0 && (double)level.recall >= about->recall - 1e-6) {
      about->achieved = (double)level.achieved;
    }
  }
  wn_reading_end(&reading);
}
