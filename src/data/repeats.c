#include "data/repeats.h"
#include "base/mem.h"
#include "base/vec.h"

#include <stdlib.h>

typedef struct finish {
  uint32_t item, user;
  int64_t time_ms;
} finish;

typedef struct gap {
  uint32_t item;
  int64_t ms;
} gap;

static int by_pair(const void *a, const void *b) {
  const finish *x = a, *y = b;
  if (x->item != y->item) return x->item < y->item ? -1 : 1;
  if (x->user != y->user) return x->user < y->user ? -1 : 1;
  return (x->time_ms > y->time_ms) - (x->time_ms < y->time_ms);
}

static int by_length(const void *a, const void *b) {
  const gap *x = a, *y = b;
  if (x->item != y->item) return x->item < y->item ? -1 : 1;
  return (x->ms > y->ms) - (x->ms < y->ms);
}

static bool finishes(const wn_event *e, const wn_signals *signals, uint32_t items) {
  return e->item < items && e->type < signals->len &&
         signals->data[e->type].standing == WN_STANDING_DONE &&
         wn_signal_weight(signals, e->type, (double)e->value, e->time_ms, e->time_ms) > 0;
}

typedef WN_VEC(gap) gap_list;

/* Events of one moment are one: an order line for each piece. */
static wn_status collect_gaps(wn_event_list events, const wn_signals *signals, uint32_t items,
                              gap_list *gaps, wn_error *err) {
  WN_VEC(finish) done = {0};
  wn_status status = WN_OK;
  for (size_t i = 0; i < events.len; i++) {
    const wn_event *e = &events.data[i];
    if (!finishes(e, signals, items)) continue;
    if (!wn_vec_push(&done, ((finish){e->item, e->user, e->time_ms}))) WN_TRY(wn_fail_memory(err));
  }
  if (done.len > 0) qsort(done.data, done.len, sizeof *done.data, by_pair);
  for (size_t i = 1; i < done.len; i++) {
    const finish *a = &done.data[i - 1], *b = &done.data[i];
    if (a->item != b->item || a->user != b->user || a->time_ms == b->time_ms) continue;
    if (!wn_vec_push(gaps, ((gap){a->item, b->time_ms - a->time_ms}))) WN_TRY(wn_fail_memory(err));
  }
cleanup:
  wn_vec_clear(&done);
  return status;
}

wn_status wn_repeats_learn(wn_event_list events, const wn_signals *signals, uint32_t items,
                           int64_t **out, wn_error *err) {
  gap_list gaps = {0};
  wn_status status;
  int64_t *median = wn_calloc((size_t)items + 1, sizeof *median);
  if (median == NULL) return wn_fail_memory(err);
  WN_TRY(collect_gaps(events, signals, items, &gaps, err));
  if (gaps.len > 0) qsort(gaps.data, gaps.len, sizeof *gaps.data, by_length);
  for (size_t begin = 0, end; begin < gaps.len; begin = end) {
    for (end = begin; end < gaps.len && gaps.data[end].item == gaps.data[begin].item;) end++;
    size_t n = end - begin;
    if (n >= WN_REPEATS_MIN) median[gaps.data[begin].item] = gaps.data[begin + (n - 1) / 2].ms;
  }
  *out = median;
  median = NULL;
cleanup:
  wn_free(median);
  wn_vec_clear(&gaps);
  return status;
}
