#ifndef WN_DATA_DATASET_H
#define WN_DATA_DATASET_H
/* What models are fitted on: interactions as compressed sparse rows, in time order within a
 * user, and the catalogue as a stream. Built from a log (wn_dataset_builder) or from a file
 * of adjacency or sequence lines. Immutable once built. */

#include "base/record.h"
#include "base/progress.h"
#include "data/signals.h"

/* One event as it is in the log, ids already dense. */
typedef struct wn_event {
  wn_user_ix user;
  wn_item_ix item;
  uint32_t type; /* index into wn_signals */
  float value;   /* NAN: none */
  int64_t time_ms;
  uint64_t seq; /* position in the log; 0: not from a log */
} wn_event;

typedef struct wn_event_list {
  const wn_event *data;
  size_t len;
} wn_event_list;

/* Compressed sparse rows. `row_ptr` has rows + 1 entries (64-bit: more than 2^31 interactions),
 * the others nnz. */
typedef struct wn_csr {
  uint32_t rows;
  uint32_t cols;
  uint64_t nnz;
  uint64_t *row_ptr;
  uint32_t *col;
  float *weight;    /* NULL: all are 1; transposed matrices only */
  int64_t *time_ms; /* NULL in transposed matrices */
  uint8_t *type;    /* the strongest of the pair's events, see wn_signal_stronger; NULL likewise */
} wn_csr;

/* Streams the catalogue to models that read text and attributes. Calls in any order of ix;
 * deleted items are not shown. */
typedef struct wn_item_source {
  void *ctx;
  wn_status (*scan)(void *ctx,
                    wn_status (*each)(void *each_ctx, wn_item_ix ix, const wn_item_record *item,
                                      wn_error *err),
                    void *each_ctx, wn_error *err);
} wn_item_source;

/* Streams the users' attributes; the same rules. */
typedef struct wn_user_source {
  void *ctx;
  wn_status (*scan)(void *ctx,
                    wn_status (*each)(void *each_ctx, wn_user_ix ix, const wn_user_record *user,
                                      wn_error *err),
                    void *each_ctx, wn_error *err);
} wn_user_source;

#define WN_VECTORS_D_MAX 8192u

/* Dense vectors of some items, given with the catalogue. */
typedef struct wn_item_vectors {
  const void *ctx;
  uint32_t len, d;
  const wn_item_ix *item;                                /* [len], ascending */
  bool (*read)(const void *ctx, uint32_t i, float *out); /* item[i]'s, d floats; false: NaN */
} wn_item_vectors;

typedef struct wn_dataset {
  uint32_t users; /* U: rows, including users without interactions */
  uint32_t items; /* I */
  /* One entry a (user, item) pair with non-zero weight: the sum of its event weights (at `now_ms`),
   * the time of its last event; rows ordered by that time, oldest first (ties: order of the log).
   */
  wn_csr by_user;
  wn_csr by_item;                        /* the transpose: col = user */
  uint8_t level_of[WN_SIGNALS_TOLD + 1]; /* of each such type */
  int64_t now_ms; /* the moment the weights are valid for: the last event's time */
  int64_t first_ms;
  uint64_t event_count;          /* events read, before merging pairs */
  uint64_t duplicate_pair_count; /* events merged into an earlier pair */
  uint64_t last_seq;             /* log position that this dataset includes */
  wn_item_source items_source;   /* scan NULL: no catalogue */
  wn_user_source users_source;   /* scan NULL: nothing is known of users but their events */
  const int64_t *created_ms;     /* [items] or NULL: when each item was created; borrowed */
  const int64_t *repeat_ms;      /* [items] or NULL: see data/repeats.h; borrowed */
  wn_item_vectors vectors;       /* len 0: none; borrowed */
  bool per_look; /* weights are what items earned per look (exposure_power): to what came of later
                  * looks, which nobody counted yet, they do not compare */
} wn_dataset;

void wn_csr_clear(wn_csr *csr);
/* Of entry i of a matrix that may lack its weights. */
static inline float wn_csr_weight(const wn_csr *csr, uint64_t i) {
  return csr->weight != NULL ? csr->weight[i] : 1.0f;
}
/* out: cols × rows; entries of a row ascend by col. No times; no weights where all are 1. */
WN_MUST_USE wn_status wn_csr_transpose(const wn_csr *csr, wn_csr *out, wn_error *err);
/* Checks what a loader must not believe: monotone row_ptr, columns in range, finite weights. */
WN_MUST_USE wn_status wn_csr_validate(const wn_csr *csr, wn_error *err);

/* Collects events in any order, then builds. Memory: 32 bytes an event while building. */
typedef struct wn_dataset_builder wn_dataset_builder;
wn_dataset_builder *wn_dataset_builder_create(const wn_signals *signals); /* signals: borrowed */
void wn_dataset_builder_free(wn_dataset_builder *builder);
WN_MUST_USE wn_status wn_dataset_builder_add(wn_dataset_builder *builder, const wn_event *event,
                                             wn_error *err);
size_t wn_dataset_builder_count(const wn_dataset_builder *builder);
/* The events added so far, for splits; ordered by time, then seq, after the first call of
 * wn_dataset_builder_sort(). */
const wn_event *wn_dataset_builder_events(const wn_dataset_builder *builder);
void wn_dataset_builder_sort(wn_dataset_builder *builder);
/* Weights at `now_ms` (0: the last event's time). users/items: sizes at least; grown to the largest
 * index + 1. An empty dataset is fine. */
WN_MUST_USE wn_status wn_dataset_build(const wn_dataset_builder *builder, uint32_t users,
                                       uint32_t items, int64_t now_ms, wn_dataset *out,
                                       wn_error *err);
/* From a slice of events (a split's train part). */
WN_MUST_USE wn_status wn_dataset_build_events(wn_event_list events, const wn_signals *signals,
                                              uint32_t users, uint32_t items, wn_dataset *out,
                                              wn_error *err);
void wn_dataset_clear(wn_dataset *dataset);

/* Do times order the users' items: have most users of two items or more got them at different
 * times? */
typedef enum wn_time_order {
  WN_ORDER_UNKNOWN, /* no user has two items */
  WN_ORDER_NONE,
  WN_ORDER_TIMES
} wn_time_order;
wn_time_order wn_dataset_order(const wn_dataset *dataset);

#endif
