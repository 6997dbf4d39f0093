/* Interactions as compressed sparse rows: building, transposing, checking. Merging itself is in
 * pairs.c. Deterministic; all costs linear in events, users and items. */

#include "data/dataset.h"

#include "base/mem.h"
#include "base/vec.h"
#include "data/pairs.h"
#include <math.h>
#include <string.h>

/* ---- compressed sparse rows ---- */

void wn_csr_clear(wn_csr *csr) {
  wn_free(csr->row_ptr);
  wn_free(csr->col);
  wn_free(csr->weight);
  wn_free(csr->time_ms);
  wn_free(csr->type);
  memset(csr, 0, sizeof *csr);
}

static bool is_weighted(const wn_csr *csr) {
  for (uint64_t i = 0; i < csr->nnz; i++)
    if (wn_csr_weight(csr, i) != 1.0f) return true;
  return false;
}

wn_status wn_csr_transpose(const wn_csr *csr, wn_csr *out, wn_error *err) {
  size_t n = csr->nnz > 0 ? (size_t)csr->nnz : 1;
  *out = (wn_csr){.rows = csr->cols, .cols = csr->rows, .nnz = csr->nnz};
  out->row_ptr = wn_calloc((size_t)csr->cols + 1, sizeof *out->row_ptr);
  out->col = wn_reallocarray(NULL, n, sizeof *out->col);
  bool weighted = is_weighted(csr);
  if (weighted) out->weight = wn_reallocarray(NULL, n, sizeof *out->weight);
  if (out->row_ptr == NULL || out->col == NULL || (weighted && out->weight == NULL)) {
    wn_csr_clear(out);
    return wn_fail_memory(err);
  }
  for (uint64_t i = 0; i < csr->nnz; i++) out->row_ptr[(size_t)csr->col[i] + 1]++;
  for (size_t c = 0; c < csr->cols; c++) out->row_ptr[c + 1] += out->row_ptr[c];
  for (uint32_t r = 0; r < csr->rows; r++) {
    for (uint64_t i = csr->row_ptr[r]; i < csr->row_ptr[r + 1]; i++) {
      uint64_t at = out->row_ptr[csr->col[i]]++;
      out->col[at] = r;
      if (weighted) out->weight[at] = csr->weight[i];
    }
  }
  /* Each start has moved to its row's end: shift back. */
  for (size_t c = csr->cols; c > 0; c--) out->row_ptr[c] = out->row_ptr[c - 1];
  out->row_ptr[0] = 0;
  return WN_OK;
}

wn_status wn_csr_validate(const wn_csr *csr, wn_error *err) {
  if (csr->row_ptr == NULL || csr->row_ptr[0] != 0)
    return wn_fail(err, WN_E_CORRUPT, "row_ptr", "must start at 0");
  for (size_t r = 0; r < csr->rows; r++)
    if (csr->row_ptr[r + 1] < csr->row_ptr[r] || csr->row_ptr[r + 1] > csr->nnz)
      return wn_fail(err, WN_E_CORRUPT, "row_ptr", "row %zu ends before it starts or past the end",
                     r);
  if (csr->row_ptr[csr->rows] != csr->nnz)
    return wn_fail(err, WN_E_CORRUPT, "row_ptr", "must end at the number of entries");
  for (uint64_t i = 0; i < csr->nnz; i++) {
    if (csr->col[i] >= csr->cols)
      return wn_fail(err, WN_E_CORRUPT, "col", "entry %llu must be below %u, is %u",
                     (unsigned long long)i, csr->cols, csr->col[i]);
    if (!isfinite(wn_csr_weight(csr, i)))
      return wn_fail(err, WN_E_CORRUPT, "weight", "entry %llu must be finite",
                     (unsigned long long)i);
  }
  return WN_OK;
}

/* ---- building ---- */

struct wn_dataset_builder {
  const wn_signals *signals;
  WN_VEC(wn_event) events;
};

wn_dataset_builder *wn_dataset_builder_create(const wn_signals *signals) {
  wn_dataset_builder *builder = wn_calloc(1, sizeof *builder);
  if (builder != NULL) builder->signals = signals;
  return builder;
}

void wn_dataset_builder_free(wn_dataset_builder *builder) {
  if (builder == NULL) return;
  wn_vec_clear(&builder->events);
  wn_free(builder);
}

wn_status wn_dataset_builder_add(wn_dataset_builder *builder, const wn_event *event,
                                 wn_error *err) {
  if (event->user == WN_NO_IX || event->item == WN_NO_IX)
    return wn_fail(err, WN_E_ARGUMENT, event->user == WN_NO_IX ? "user" : "item",
                   "an event needs a user and an item");
  if (isinf(event->value)) return wn_fail(err, WN_E_ARGUMENT, "value", "must be a finite number");
  if (!wn_vec_push(&builder->events, *event)) return wn_fail_memory(err);
  return WN_OK;
}

size_t wn_dataset_builder_count(const wn_dataset_builder *builder) {
  return builder->events.len;
}

const wn_event *wn_dataset_builder_events(const wn_dataset_builder *builder) {
  return builder->events.data;
}

void wn_dataset_builder_sort(wn_dataset_builder *builder) {
  wn_events_sort(builder->events.data, builder->events.len);
}

/* Takes over the arrays of `pairs`. */
static wn_status from_pairs(wn_pairs *pairs, size_t event_count, wn_dataset *out, wn_error *err) {
  out->users = pairs->users;
  out->items = pairs->items;
  out->now_ms = pairs->now_ms;
  out->first_ms = pairs->first_ms;
  out->last_seq = pairs->last_seq;
  out->event_count = event_count;
  out->duplicate_pair_count = event_count - pairs->distinct;
  out->by_user = (wn_csr){.rows = pairs->users,
                          .cols = pairs->items,
                          .nnz = pairs->nnz,
                          .row_ptr = pairs->row_ptr,
                          .col = pairs->item,
                          .weight = pairs->weight,
                          .time_ms = pairs->time_ms,
                          .type = pairs->type};
  wn_free(pairs->mask);
  memset(pairs, 0, sizeof *pairs);
  return wn_csr_transpose(&out->by_user, &out->by_item, err);
}

wn_status wn_dataset_from(const wn_pairs_input *in, wn_dataset *out, wn_error *err) {
  wn_pairs pairs;
  memset(out, 0, sizeof *out);
  wn_status status = wn_pairs_build(in, &pairs, err);
  for (uint8_t t = 0; t <= WN_SIGNALS_TOLD; t++) out->level_of[t] = wn_signal_level(in->signals, t);
  if (status == WN_OK) status = from_pairs(&pairs, in->count, out, err);
  if (status != WN_OK) wn_dataset_clear(out);
  return status;
}

wn_status wn_dataset_build(const wn_dataset_builder *builder, uint32_t users, uint32_t items,
                           int64_t now_ms, wn_dataset *out, wn_error *err) {
  return wn_dataset_from(&(wn_pairs_input){.events = builder->events.data,
                                           .count = builder->events.len,
                                           .signals = builder->signals,
                                           .users = users,
                                           .items = items,
                                           .now_ms = now_ms},
                         out, err);
}

wn_status wn_dataset_build_events(wn_event_list events, const wn_signals *signals, uint32_t users,
                                  uint32_t items, wn_dataset *out, wn_error *err) {
  return wn_dataset_from(&(wn_pairs_input){.events = events.data,
                                           .count = events.len,
                                           .signals = signals,
                                           .users = users,
                                           .items = items},
                         out, err);
}

void wn_dataset_clear(wn_dataset *dataset) {
  wn_csr_clear(&dataset->by_user);
  wn_csr_clear(&dataset->by_item);
  memset(dataset, 0, sizeof *dataset);
}

wn_time_order wn_dataset_order(const wn_dataset *dataset) {
  const wn_csr *m = &dataset->by_user;
  uint64_t with_two = 0, with_times = 0;
  for (uint32_t u = 0; u < m->rows; u++) {
    uint64_t begin = m->row_ptr[u], end = m->row_ptr[u + 1];
    if (end - begin < 2) continue;
    with_two++;
    with_times += m->time_ms[begin] != m->time_ms[end - 1];
  }
  if (with_two == 0) return WN_ORDER_UNKNOWN;
  return 2 * with_times >= with_two ? WN_ORDER_TIMES : WN_ORDER_NONE;
}
