#ifndef WN_DATA_PAIRS_H
#define WN_DATA_PAIRS_H
/* Events → one entry a (user, item) pair, grouped by user, in time order within a user. The
 * common step of datasets (which leave out pairs of weight 0) and of history bases (which
 * keep them, because a pair that says nothing may still be seen). */

#include "data/dataset.h"

typedef struct wn_pairs_input {
  const wn_event *events; /* any order */
  size_t count;
  const wn_signals *signals; /* NULL: every event weighs 1 */
  uint32_t users;            /* at least; grown to the largest index + 1 */
  uint32_t items;
  int64_t now_ms;     /* weights hold for this moment; 0: the last event's time */
  bool keep_zero;     /* keep pairs whose weights sum to 0 */
  bool with_mask;     /* fill `mask` */
  const float *shown; /* [shown_len] by item: how often it was looked at; NULL: not known */
  uint32_t shown_len;
} wn_pairs_input;

typedef struct wn_pairs {
  uint32_t users;
  uint32_t items;
  uint64_t nnz;
  uint64_t *row_ptr; /* [users + 1] */
  uint32_t *item;    /* [nnz], a row's distinct items, oldest last event first */
  float *weight;     /* sum of the pair's event weights, finite */
  int64_t *time_ms;  /* of the pair's last event */
  uint8_t *type;     /* the pair's strongest, see wn_signal_stronger */
  uint64_t *mask;    /* bit t: type t occurred (t ≥ 63: bit 63); NULL without with_mask */
  int64_t now_ms;
  int64_t first_ms;
  uint64_t last_seq;
  uint64_t distinct; /* pairs, those of weight 0 included */
} wn_pairs;

/* WN_E_ARGUMENT: an event without user or item, or with an infinite value (says which one).
 * Time O(count + users + items) when each user's events arrive in time order, else the
 * user's events are sorted; memory 8 bytes an event and 8 an item beside the result. */
WN_MUST_USE wn_status wn_pairs_build(const wn_pairs_input *in, wn_pairs *out, wn_error *err);
void wn_pairs_clear(wn_pairs *pairs);
/* The dataset of these events: wn_dataset_build() and its like call it (keep_zero and with_mask
 * off). */
WN_MUST_USE wn_status wn_dataset_from(const wn_pairs_input *in, wn_dataset *out, wn_error *err);

/* Stable sort by (time, seq); linear when already in order, in place when memory is short. */
void wn_events_sort(wn_event *events, size_t count);

#endif
