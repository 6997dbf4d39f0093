/* Merging events into pairs: a counting sort by user, then one backward pass over each user's
 * events with a table "item → entry of this row".
 *
 * Going from the newest event to the oldest meets every item first at its last event, so that the
 * rows come out ordered by last event without sorting pairs. Sums are taken in double, newest
 * first, and the order of events with the same time and sequence number is the order they were
 * given in: the same input gives the same bits. No threads: the pass is bound by memory. */

#include "data/pairs.h"

#include "base/mem.h"
#include <float.h>
#include <math.h>
#include <string.h>

/* ---- order of events ---- */

static bool event_before(const wn_event *a, const wn_event *b) {
  return a->time_ms < b->time_ms || (a->time_ms == b->time_ms && a->seq < b->seq);
}

static void reverse(wn_event *a, size_t n) {
  for (size_t i = 0, j = n; i + 1 < j; i++) {
    wn_event t = a[i];
    a[i] = a[--j];
    a[j] = t;
  }
}

/* First position of a sorted run whose event comes after (or, `strict` off, not before) `key`. */
static size_t run_bound(const wn_event *run, size_t n, const wn_event *key, bool strict) {
  size_t lo = 0, hi = n;
  while (lo < hi) {
    size_t mid = lo + (hi - lo) / 2;
    bool right = strict ? !event_before(key, &run[mid]) : event_before(&run[mid], key);
    if (right)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

/* Merges a[0, mid) and a[mid, n) without memory: halves the longer run, finds its middle
 * event's place in the other, rotates, and goes on with both sides (Dudzinski, Dydek 1981). */
static void merge_in_place(wn_event *a, size_t mid, size_t n) {
  while (mid > 0 && mid < n && event_before(&a[mid], &a[mid - 1])) {
    size_t left, right; /* a[left, mid) and a[mid, right) change places */
    if (mid >= n - mid) {
      left = mid / 2;
      right = mid + run_bound(a + mid, n - mid, &a[left], false);
    } else {
      right = mid + (n - mid) / 2;
      left = run_bound(a, mid, &a[right - 1], true);
    }
    reverse(a + left, mid - left);
    reverse(a + mid, right - mid);
    reverse(a + left, right - left);
    size_t split = left + (right - mid);
    merge_in_place(a, left, split);
    a += split;
    n -= split;
    mid = mid - left;
  }
}

static void merge_with(wn_event *a, size_t mid, size_t n, wn_event *buffer) {
  if (mid == 0 || mid >= n || !event_before(&a[mid], &a[mid - 1])) return;
  memcpy(buffer, a, mid * sizeof *a);
  size_t i = 0, j = mid, out = 0;
  while (i < mid && j < n) a[out++] = event_before(&a[j], &buffer[i]) ? a[j++] : buffer[i++];
  memcpy(a + out, buffer + i, (mid - i) * sizeof *a);
}

static void merge_sort(wn_event *a, size_t n, wn_event *buffer) {
  if (n < 2) return;
  size_t mid = n / 2;
  merge_sort(a, mid, buffer);
  merge_sort(a + mid, n - mid, buffer);
  if (buffer != NULL)
    merge_with(a, mid, n, buffer);
  else
    merge_in_place(a, mid, n);
}

void wn_events_sort(wn_event *events, size_t count) {
  size_t i = 1;
  while (i < count && !event_before(&events[i], &events[i - 1])) i++;
  if (i >= count) return;
  wn_event *buffer = wn_reallocarray(NULL, count / 2 + 1, sizeof *buffer);
  merge_sort(events, count, buffer);
  wn_free(buffer);
}

/* ---- pairs ---- */

typedef struct work {
  const wn_pairs_input *in;
  wn_pairs *out;
  uint64_t *start; /* [users + 1] into `order` */
  wn_event *row;   /* one user's events */
  uint64_t *order; /* event numbers grouped by user */
  uint64_t *slot;  /* [items] entry of the row being merged + 1; 0: none */
  double *sum;     /* one user's sums */
  size_t row_cap;
} work;

static wn_status check_events(const wn_pairs_input *in, wn_pairs *out, wn_error *err) {
  for (size_t i = 0; i < in->count; i++) {
    const wn_event *e = &in->events[i];
    if (e->user == WN_NO_IX || e->item == WN_NO_IX)
      return wn_fail(err, WN_E_ARGUMENT, e->user == WN_NO_IX ? "user" : "item",
                     "event %zu has no index", i);
    if (isinf(e->value))
      return wn_fail(err, WN_E_ARGUMENT, "value", "event %zu must have a finite value", i);
    if (e->user >= out->users) out->users = e->user + 1;
    if (e->item >= out->items) out->items = e->item + 1;
    if (i == 0 || e->time_ms < out->first_ms) out->first_ms = e->time_ms;
    if (in->now_ms == 0 && (i == 0 || e->time_ms > out->now_ms)) out->now_ms = e->time_ms;
    if (e->seq > out->last_seq) out->last_seq = e->seq;
  }
  return WN_OK;
}

/* Groups event numbers by user, in the order given; returns the longest row's length. */
static size_t group_by_user(work *w) {
  const wn_pairs_input *in = w->in;
  uint32_t users = w->out->users;
  for (size_t i = 0; i < in->count; i++) w->start[in->events[i].user + 1]++;
  size_t longest = 0;
  for (uint32_t u = 0; u < users; u++) {
    if (w->start[u + 1] > longest) longest = (size_t)w->start[u + 1];
    w->start[u + 1] += w->start[u];
  }
  for (size_t i = 0; i < in->count; i++) w->order[w->start[in->events[i].user]++] = i;
  for (uint32_t u = users; u > 0; u--) w->start[u] = w->start[u - 1];
  w->start[0] = 0;
  return longest;
}

static wn_status make_room(work *w, wn_error *err) {
  wn_pairs *out = w->out;
  size_t n = w->in->count > 0 ? w->in->count : 1;
  w->start = wn_calloc((size_t)out->users + 1, sizeof *w->start);
  w->order = wn_calloc(n, sizeof *w->order);
  w->slot = wn_calloc((size_t)out->items + 1, sizeof *w->slot);
  if (w->start == NULL || w->order == NULL || w->slot == NULL) return wn_fail_memory(err);
  w->row_cap = group_by_user(w) + 1;
  w->row = wn_calloc(w->row_cap, sizeof *w->row);
  w->sum = wn_calloc(w->row_cap, sizeof *w->sum);
  out->row_ptr = wn_calloc((size_t)out->users + 1, sizeof *out->row_ptr);
  out->item = wn_calloc(n, sizeof *out->item);
  out->weight = wn_calloc(n, sizeof *out->weight);
  out->time_ms = wn_calloc(n, sizeof *out->time_ms);
  out->type = wn_calloc(n, sizeof *out->type);
  if (w->in->with_mask) out->mask = wn_calloc(n, sizeof *out->mask);
  if (w->row == NULL || w->sum == NULL || out->row_ptr == NULL || out->item == NULL ||
      out->weight == NULL || out->time_ms == NULL || out->type == NULL ||
      (w->in->with_mask && out->mask == NULL))
    return wn_fail_memory(err);
  return WN_OK;
}

static float finite_float(double x) {
  return (float)fmin(fmax(x, -(double)FLT_MAX), (double)FLT_MAX);
}

static void swap_entries(wn_pairs *out, uint64_t a, uint64_t b) {
#define SWAP(T, field)                                                                             \
  do {                                                                                             \
    T t = out->field[a];                                                                           \
    out->field[a] = out->field[b];                                                                 \
    out->field[b] = t;                                                                             \
  } while (0)
  SWAP(uint32_t, item);
  SWAP(float, weight);
  SWAP(int64_t, time_ms);
  SWAP(uint8_t, type);
  if (out->mask != NULL) SWAP(uint64_t, mask);
#undef SWAP
}

/* Adds one event to the row that begins at out->nnz; `len` entries so far. */
static size_t merge_event(work *w, const wn_event *e, size_t len) {
  wn_pairs *out = w->out;
  uint64_t base = out->nnz;
  uint8_t type = wn_signal_told(e->type);
  if (w->slot[e->item] == 0) {
    out->type[base + len] = type;
    out->item[base + len] = e->item;
    out->time_ms[base + len] = e->time_ms;
    w->sum[len] = 0.0;
    w->slot[e->item] = ++len;
  }
  size_t at = (size_t)w->slot[e->item] - 1;
  out->type[base + at] = wn_signal_stronger(w->in->signals, out->type[base + at], type);
  w->sum[at] += wn_signal_weight(w->in->signals, e->type, e->value, e->time_ms, out->now_ms);
  if (out->mask != NULL) out->mask[base + at] |= (uint64_t)1 << (e->type < 63 ? e->type : 63);
  return len;
}

static void merge_row(work *w, uint32_t user) {
  wn_pairs *out = w->out;
  size_t count = (size_t)(w->start[user + 1] - w->start[user]);
  for (size_t i = 0; i < count; i++) w->row[i] = w->in->events[w->order[w->start[user] + i]];
  wn_events_sort(w->row, count);
  size_t len = 0;
  for (size_t i = count; i > 0; i--) len = merge_event(w, &w->row[i - 1], len);
  uint64_t base = out->nnz, kept = base;
  for (size_t i = 0; i < len; i++) {
    uint64_t at = base + i;
    w->slot[out->item[at]] = 0;
    out->weight[at] = finite_float(w->sum[i]);
    if (out->weight[at] == 0.0f && !w->in->keep_zero) continue;
    if (kept != at) swap_entries(out, kept, at);
    kept++;
  }
  if (out->mask != NULL) /* what swaps left behind must not leak into the next row */
    for (uint64_t at = kept; at < base + len; at++) out->mask[at] = 0;
  for (uint64_t a = base, b = kept; a + 1 < b; a++) swap_entries(out, a, --b);
  out->nnz = kept;
  out->distinct += len;
  out->row_ptr[user + 1] = kept;
}

wn_status wn_pairs_build(const wn_pairs_input *in, wn_pairs *out, wn_error *err) {
  wn_status status = WN_OK;
  memset(out, 0, sizeof *out);
  out->users = in->users;
  out->items = in->items;
  out->now_ms = in->now_ms;
  work w = {.in = in, .out = out};
  WN_TRY(check_events(in, out, err));
  WN_TRY(make_room(&w, err));
  for (uint32_t u = 0; u < out->users; u++) merge_row(&w, u);
cleanup:
  wn_free(w.start);
  wn_free(w.order);
  wn_free(w.slot);
  wn_free(w.row);
  wn_free(w.sum);
  if (status != WN_OK) wn_pairs_clear(out);
  return status;
}

void wn_pairs_clear(wn_pairs *pairs) {
  wn_free(pairs->row_ptr);
  wn_free(pairs->item);
  wn_free(pairs->weight);
  wn_free(pairs->time_ms);
  wn_free(pairs->type);
  wn_free(pairs->mask);
  memset(pairs, 0, sizeof *pairs);
}
