#ifndef WN_DATA_DATASET_OPTIONS_H
#define WN_DATA_DATASET_OPTIONS_H
/* Which part of a log models are fitted on, and how much its pairs say: the section `dataset:` of
 * winnow.yaml and `--dataset KEY=VALUE`, the same for every model. A pure step from events to a
 * dataset that counts what stayed out. It shapes what is fitted and nothing else: what a user has
 * seen, what a query's history holds and what an evaluation asks for come from the whole log. */

#include "base/json_write.h"
#include "data/pairs.h"

/* All numbers, so that one table reads, checks and documents them. 0: not used, throughout. */
typedef struct wn_dataset_options {
  double window_days;      /* events at most so long before the last one */
  double active_events;    /* users with at least so many positive events … */
  double active_days;      /* … in the days before the last event; 0: ever */
  double user_items_max;   /* newest items of a user */
  double user_items_min;   /* users with at least so many items of positive weight */
  double item_users_min;   /* items with at least so many users of positive weight */
  double popularity_alpha; /* weights are divided by the item's popularity to this power */
  double exposure_power;   /* weights are divided by the item's impressions to this power */
  double negatives;        /* drawn for each positive pair, as dislikes (negatives.h) */
  double negatives_power;  /* … by the item's number of users to this power */
} wn_dataset_options;

typedef struct wn_dataset_key {
  const char *name;
  size_t offset; /* of a double */
  double min, max;
  bool whole; /* whole numbers only */
  const char *doc;
} wn_dataset_key;
extern const wn_dataset_key wn_dataset_keys[];
extern const size_t wn_dataset_keys_len;

/* WN_E_ARGUMENT, field `dataset`: not whole, or out of range. */
WN_MUST_USE wn_status wn_dataset_key_put(const wn_dataset_key *key, double value,
                                         wn_dataset_options *options, wn_error *err);
/* "window_days=90". WN_E_ARGUMENT names the keys there are. */
WN_MUST_USE wn_status wn_dataset_options_set(wn_dataset_options *options, const char *assignment,
                                             wn_error *err);
/* True: the dataset is the whole log. */
bool wn_dataset_options_none(const wn_dataset_options *options);

/* What stayed out, in the order in which it was decided. */
typedef struct wn_dataset_report {
  uint64_t events;          /* given */
  uint64_t events_old;      /* before the window */
  uint64_t users_inactive;  /* with events in the window, but with too few positive ones lately */
  uint64_t events_inactive; /* theirs */
  uint64_t users_over, pairs_over; /* users with more than user_items_max, and their older pairs */
  uint64_t users_rare, items_rare; /* below the least counts, once all others of these were gone */
  uint64_t pairs_rare;
  uint64_t negatives;           /* drawn; not among `pairs` */
  uint64_t users, items, pairs; /* left: users and items that have pairs */
} wn_dataset_report;

void wn_dataset_report_to_json(const wn_dataset_report *report, wn_json *json);
/* One line without its end; only what is not 0. */
void wn_dataset_report_print(const wn_dataset_report *report, wn_buf *out);

/* The moment from which events count: the window's beginning, or INT64_MIN. */
int64_t wn_dataset_since(const wn_pairs_input *in, const wn_dataset_options *options);

/* The dataset of in's events under `options`. Its `now_ms` and `last_seq` are those of all events
 * given. exposure_power without in's `shown` does nothing, and the log says so. `report` may be
 * NULL. Memory beside the result: a copy of the events where a window or active users are asked
 * for; time linear. */
WN_MUST_USE wn_status wn_dataset_prepare(const wn_pairs_input *in,
                                         const wn_dataset_options *options, wn_dataset *out,
                                         wn_dataset_report *report, wn_error *err);

#endif
