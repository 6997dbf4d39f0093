#ifndef WN_LAB_EVALUATE_H
#define WN_LAB_EVALUATE_H
/* Offline evaluation: split → fit on the past → full ranking over the catalogue, training items
 * masked → metrics with intervals, beside popularity and random. */

#include "funnel/funnel.h"
#include "lab/metrics.h"
#include "model/train.h"

#define WN_CUTOFFS_MAX 8

typedef enum wn_split_kind {
  WN_SPLIT_TIME,       /* global: the last `test_share` of events by time are the future */
  WN_SPLIT_LEAVE_LAST, /* each user's last item */
  WN_SPLIT_GIVEN,      /* train and test files */
  WN_SPLIT_RANDOM,     /* `test_share` of each user's pairs; for data without times */
  WN_SPLIT_COLD_ITEMS, /* `test_share` of the items with all their events */
} wn_split_kind;

typedef struct wn_split_options {
  wn_split_kind kind;
  double test_share; /* in (0, 1); TIME, RANDOM and COLD_ITEMS */
  uint64_t seed;     /* RANDOM and COLD_ITEMS */
  uint32_t items;    /* size of the catalogue at least; grown to the largest index + 1 */
} wn_split_options;

/* Distinct items of each user, ascending: those of user u are item[ptr[u] … ptr[u + 1] − 1]. */
typedef struct wn_user_items {
  uint64_t *ptr; /* [users + 1] */
  uint32_t *item;
} wn_user_items;

/* Train and test of one evaluation. Heap memory throughout. */
typedef struct wn_split {
  wn_split_kind kind;
  const char *why; /* why this kind, for the report; static text */
  int64_t cut_ms;  /* TIME: first moment of the future; else 0 */
  uint32_t users, items;
  wn_event *train; /* ordered by time */
  size_t train_len;
  wn_user_items seen;  /* in train, whatever their weight: what is masked */
  wn_user_items test;  /* relevant */
  uint64_t test_users; /* with at least one relevant item */
  uint64_t cold_users; /* of these: without any train event */
  uint64_t
      users_without_relevant; /* with test events, none of them relevant (weight ≤ 0, or masked) */
  uint64_t cold_test_pairs;   /* test pairs whose item has no train event */
  wn_bitset held_out;         /* COLD_ITEMS: the items without a train event; else no bits */
  wn_user_items choices;      /* what each user's list may hold; ptr NULL: the whole catalogue */
} wn_split;

/* `kind` TIME falls back to RANDOM when at least half of the events share one time; the report says
 * so. Test items that the user already has in train are not relevant (they are masked). */
WN_MUST_USE wn_status wn_split_make(wn_event_list events, const wn_signals *signals,
                                    const wn_split_options *options, wn_split *out, wn_error *err);
/* From two datasets that are given apart (adjacency files). */
WN_MUST_USE wn_status wn_split_given(wn_event_list train, wn_event_list test,
                                     const wn_signals *signals, wn_split *out, wn_error *err);
/* Sampled ranking: a user's list may hold her own relevant items and those of `choices` alone.
 * Choices that she has in train are masked as ever. WN_E_ARGUMENT: a user with relevant items has
 * no choices. */
WN_MUST_USE wn_status wn_split_restrict(wn_split *split, wn_event_list choices, wn_error *err);
void wn_split_clear(wn_split *split);

typedef struct wn_evaluate_options {
  uint32_t cutoffs[WN_CUTOFFS_MAX];
  size_t cutoffs_len; /* default 10, 20, 50 */
  uint32_t users_max; /* evaluated at most, drawn with the seed; 0 = all */
  uint32_t bootstrap; /* resamples, default 1,000 */
  uint64_t seed;
  wn_train_options train;
  const wn_surface *surface; /* the whole funnel as one more row; NULL: models alone */
  const wn_catalog *catalog; /* of the funnel; NULL with surface NULL */
  wn_item_source items_source;
  const int64_t *created_ms;
  bool rank_all; /* COLD_ITEMS: over the whole catalogue, not over the held-out items alone */
  wn_item_vectors vectors; /* len 0: none */
  const wn_progress *progress;
} wn_evaluate_options;
void wn_evaluate_options_defaults(wn_evaluate_options *options);

typedef struct wn_cutoff_result {
  uint32_t k;
  wn_interval ndcg, recall, precision, hit, mrr, map;
  double coverage; /* share of the catalogue that was recommended to somebody */
  double gini;
} wn_cutoff_result;

typedef struct wn_model_result {
  char name[64];
  double fit_seconds; /* 0 for the funnel */
  double rank_seconds;
  uint64_t users_without_list;
  wn_cutoff_result at[WN_CUTOFFS_MAX];
} wn_model_result;

typedef struct wn_evaluation {
  wn_split_kind kind;
  const char *why;
  int64_t cut_ms;
  uint32_t users, items; /* of the data */
  uint64_t train_events, train_pairs, test_pairs;
  uint64_t users_evaluated; /* the population of every mean below */
  uint64_t users_cold;      /* with test items but no past: left out, counted */
  uint64_t users_without_relevant;
  uint64_t users_not_sampled; /* left out by users_max */
  uint64_t cold_test_pairs;   /* nobody met the item in train: out of reach for most models */
  const char *ranking;        /* over what; static text */
  bool sampled;               /* choices were given: not comparable with full ranking */
  double choices;             /* items that a list could be made of: mean over users */
  bool dataset_cut;           /* options.train.dataset asks for anything */
  wn_dataset_report dataset;
  size_t cutoffs_len;
  wn_model_result rows[WN_MODELS_MAX + 3]; /* in the order of the models; the funnel last */
  size_t rows_len;
} wn_evaluation;

/* Random, popularity and what options.train names (added when absent: they are the baselines). */
WN_MUST_USE wn_status wn_evaluate(const wn_split *split, const wn_signals *signals,
                                  const wn_evaluate_options *options, wn_evaluation *out,
                                  wn_error *err);
void wn_evaluation_to_json(const wn_evaluation *evaluation, wn_buf *out);

#endif
