/* The plan of a search, its batch form and its exact twin.
 *
 * A filter's plan goes by cost: scoring an allowed row costs about sixteen int8 scores, which come
 * in order and prefetched; lists under a filter that lets 1/f of the rows through cost what an
 * unfiltered search for k·f costs, and that was measured at build. */
#include "index/seek.h"

#include <math.h>
#include <string.h>

#define ROW_COST 16.0

static wn_status check_query(const wn_index_query *query, wn_error *err) {
  if (query->k == 0) return wn_fail(err, WN_E_ARGUMENT, "k", "must be at least 1");
  if (!(query->recall >= 0 && query->recall <= 1)) {
    return wn_fail(err, WN_E_ARGUMENT, "recall", "must be 0 (as built) to 1 (exact)");
  }
  return WN_OK;
}

static wn_status check_vector(const wn_seek *seek, const float *vector, wn_error *err) {
  const char *fault = wn_vector_fault(vector, seek->base->head.dims);
  return fault == NULL ? WN_OK : wn_fail(err, WN_E_ARGUMENT, "vector", "%s", fault);
}

/* Lanes that lists scan for `factor` times k results, between the measured steps. */
static double list_cost(const wn_image_header *head, double factor) {
  double step = factor > 1 ? log(factor) / log(4.0) : 0;
  if (!(step < WN_COST_STEPS - 1)) return (double)head->cost[WN_COST_STEPS - 1];
  int i = (int)step;
  double low = (double)head->cost[i], high = (double)head->cost[i + 1];
  return low + (step - i) * (high - low);
}

static double wanted_recall(const wn_seek *seek, const wn_index_query *query) {
  return query->recall > 0 ? query->recall : (double)seek->base->head.recall;
}

/* Above the last measured level all bounds of blocks count, and of the codes' two deviations. */
static bool is_exact(const wn_image_header *head, double recall) {
  double last = (double)head->levels[WN_INDEX_LEVELS - 1].recall;
  if (recall >= 1 || !(last > 0)) return true;
  return recall <= last + 1e-6 && wn_kappa_for(head, recall) >= 1;
}

/* The most allowed rows that cost less one by one than by lists: one side of the comparison rises
 * with their number, the other falls. */
static size_t rows_most(const wn_image_header *head, const wn_index_query *query, bool exact) {
  size_t low = 2 * (size_t)query->k, high = (size_t)head->rows + 1;
  while (low + 1 < high) {
    size_t middle = low + (high - low) / 2;
    double factor = (double)head->rows / (double)middle * query->k / head->k;
    double lists = exact ? (double)head->exact_lanes : list_cost(head, factor);
    if ((double)middle * ROW_COST < lists) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

/* A plan goes by the filter and the recall, whatever the vector. */
static wn_status choose_plan(wn_seek *seek, const wn_index_query *query, wn_error *err) {
  const wn_image_header *head = &seek->base->head;
  bool exact = is_exact(head, wanted_recall(seek, query));
  seek->trace.plan = exact ? WN_PLAN_EXACT : WN_PLAN_LISTS;
  if (query->allowed == NULL) return WN_OK;
  size_t most = rows_most(head, query, exact);
  seek->allowed_count = query->allowed_count;
  if (query->allowed_count <= most) {
    if (!wn_seek_gather(seek, most)) return wn_fail_memory(err);
    if (seek->few != NULL) seek->trace.plan = WN_PLAN_ROWS;
  }
  return WN_OK;
}

/* A seek of a reading for a query; k is cut to what there can be. */
static wn_seek seek_of(const wn_reading *reading, const wn_index_query *query, wn_arena *arena) {
  const wn_base *base = reading->view->base;
  uint64_t most = (uint64_t)base->head.rows + reading->now;
  uint32_t k = query->k < most ? query->k : most > 0 ? (uint32_t)most : 1;
  return (wn_seek){.base = base,
                   .delta = reading->view->delta,
                   .now = reading->now,
                   .allowed = query->allowed,
                   .k = k,
                   .arena = arena,
                   .eta = WN_ETA_EXACT};
}

static wn_status run_plan(wn_seek *seek, const wn_index_query *query, wn_error *err) {
  bool done;
  wn_status status = check_vector(seek, query->vector, err);
  if (status != WN_OK) return status;
  if (seek->trace.plan == WN_PLAN_LISTS) seek->eta = wn_eta_for(&seek->base->axes);
  if (!wn_seek_init(seek, query->vector)) return wn_fail_memory(err);
  wn_seek_delta(seek);
  if (seek->trace.plan == WN_PLAN_ROWS) {
    done = wn_seek_rows(seek);
  } else {
    bool exact = seek->trace.plan == WN_PLAN_EXACT;
    double recall = wanted_recall(seek, query);
    float kappa = wn_kappa_for(&seek->base->head, exact ? .95 : recall);
    done = wn_seek_lists(seek, kappa, exact);
  }
  return done ? WN_OK : wn_fail_memory(err);
}

wn_status wn_index_search(const wn_index *index, const wn_index_query *query, wn_arena *arena,
                          wn_index_answer *answer, wn_error *err) {
  wn_status status;
  answer->count = 0;
  wn_reading reading = wn_reading_begin(index);
  wn_seek seek = seek_of(&reading, query, arena);
  WN_TRY(check_query(query, err));
  WN_TRY(choose_plan(&seek, query, err));
  WN_TRY(run_plan(&seek, query, err));
  answer->count = wn_seek_finish(&seek, answer->items);
  answer->trace = seek.trace;
cleanup:
  wn_reading_end(&reading);
  return status;
}

/* One by one when a single search scans little of the whole, or a filter leaves little. */
static bool wants_pass(const wn_seek *seek, const wn_index_query *query) {
  const wn_image_header *head = &seek->base->head;
  if (seek->trace.plan == WN_PLAN_ROWS) return false;
  float lanes = seek->trace.plan == WN_PLAN_EXACT ? head->exact_lanes
                                                  : wn_lanes_for(head, wanted_recall(seek, query));
  return (double)lanes > .25 * (double)head->blocks * WN_SCAN_LANES;
}

/* `plan`: a seek without a vector, which each query's begins as. */
static wn_status search_pass(const wn_seek *plan, const wn_index_batch *batch, wn_scored *out,
                             uint32_t *counts, wn_error *err) {
  wn_seek *seeks = wn_arena_calloc(plan->arena, batch->count, sizeof *seeks);
  const wn_base *base = plan->base;
  bool exact = plan->trace.plan == WN_PLAN_EXACT;
  float kappa = exact ? 1 : wn_kappa_for(&base->head, wanted_recall(plan, &batch->common));
  if (seeks == NULL) return wn_fail_memory(err);
  for (uint32_t i = 0; i < batch->count; i++) {
    const float *vector = batch->vectors + (size_t)i * base->head.dims;
    wn_status status = check_vector(plan, vector, err);
    if (status != WN_OK) return status;
    seeks[i] = *plan;
    if (!exact) seeks[i].eta = wn_eta_for(&base->axes);
    if (!wn_seek_init(&seeks[i], vector)) return wn_fail_memory(err);
    wn_seek_delta(&seeks[i]);
  }
  if (!wn_seek_pass(seeks, batch->count, kappa, plan->arena)) return wn_fail_memory(err);
  for (uint32_t i = 0; i < batch->count; i++) {
    counts[i] = (uint32_t)wn_seek_finish(&seeks[i], out + (size_t)i * batch->common.k);
  }
  return WN_OK;
}

wn_status wn_index_search_many(const wn_index *index, const wn_index_batch *batch, wn_arena *arena,
                               wn_scored *out, uint32_t *counts, wn_error *err) {
  wn_status status;
  wn_index_query query = batch->common;
  wn_reading reading = wn_reading_begin(index);
  wn_seek plan = seek_of(&reading, &query, arena);
  WN_TRY(check_query(&query, err));
  WN_TRY(choose_plan(&plan, &query, err));
  if (batch->count >= 4 && wants_pass(&plan, &query)) {
    WN_TRY(search_pass(&plan, batch, out, counts, err));
    goto cleanup;
  }
  for (uint32_t i = 0; i < batch->count; i++) {
    wn_seek seek = plan;
    query.vector = batch->vectors + (size_t)i * plan.base->head.dims;
    WN_TRY(run_plan(&seek, &query, err));
    counts[i] = (uint32_t)wn_seek_finish(&seek, out + (size_t)i * query.k);
  }
cleanup:
  wn_reading_end(&reading);
  return status;
}

wn_status wn_index_search_twin(const wn_index *index, const wn_index_query *query, wn_arena *arena,
                               wn_index_answer *answer, wn_error *err) {
  wn_status status;
  wn_topk top;
  answer->count = 0;
  wn_reading reading = wn_reading_begin(index);
  wn_seek seek = seek_of(&reading, query, arena);
  const wn_base *base = seek.base;
  WN_TRY(check_query(query, err));
  WN_TRY(check_vector(&seek, query->vector, err));
  if (!wn_seek_init(&seek, query->vector)) WN_TRY(wn_fail_memory(err));
  wn_topk_init(&top, answer->items, query->k);
  for (uint32_t id = 0; id < base->head.ids; id++) {
    if (!wn_base_has(base, id) || !wn_seek_allows(&seek, id)) continue;
    if (wn_base_sees(base, id, seek.now)) wn_topk_push(&top, id, wn_seek_row(&seek, id));
  }
  for (uint32_t e = 0; e < seek.now; e++) {
    const wn_delta_chunk *chunk = seek.delta->chunks[e / WN_DELTA_CHUNK];
    uint32_t at = e % WN_DELTA_CHUNK, id = chunk->ids[at];
    if (!wn_seek_allows(&seek, id) || !wn_delta_sees(chunk, at, seek.now)) continue;
    const float *row = chunk->rows + (size_t)at * base->head.dims;
    wn_topk_push(&top, id, wn_probe_score(&seek.probe, row, chunk->inverses[at]));
  }
  answer->count = wn_topk_sort(&top);
  answer->trace = seek.trace;
cleanup:
  wn_reading_end(&reading);
  return status;
}
