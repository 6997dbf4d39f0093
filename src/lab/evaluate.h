#ifndef WN_LAB_EVALUATE_H
#define WN_LAB_EVALUATE_H
/* Offline evaluation: split → fit on the past → full ranking over the catalogue, training items
 * masked → metrics with intervals, beside popularity and random. */

#include "funnel/funnel.h"
#include "lab/experiment.h"
#include "lab/compat.h"
#include "lab/labels.h"
#include "lab/metric.h"
#include "lab/metrics.h"
#include "lab/stats.h"
#include "model/train.h"

#define WN_CUTOFFS_MAX 8

typedef enum wn_split_kind {
  WN_SPLIT_TIME,       /* global: the last `test_share` of events by time are the future */
  WN_SPLIT_LEAVE_LAST, /* each user's last item */
  WN_SPLIT_GIVEN,      /* train and test files */
  WN_SPLIT_RANDOM,     /* `test_share` of each user's pairs; for data without times */
  WN_SPLIT_COLD_ITEMS, /* `test_share` of the items with all their events */
  WN_SPLIT_USERS,      /* strong generalisation: of `test_share` of the users nothing is fitted on;
                          a fifth of their pairs is the test, the others are their history */
  WN_SPLIT_COLD_USERS, /* `test_share` of the users with all their events: nothing is known of them
                          but their attributes */
  WN_SPLIT_KINDS
} wn_split_kind;
const char *wn_split_name(wn_split_kind kind); /* "leave-last-out" */
wn_split_kind wn_split_find(const char *name); /* WN_SPLIT_KINDS: unknown */

typedef struct wn_split_options {
  wn_split_kind kind;
  double test_share; /* in (0, 1); not of LEAVE_LAST */
  uint64_t seed;     /* RANDOM, COLD_ITEMS, USERS and COLD_USERS */
  bool keep_test;    /* fill in the split's test events */
  uint32_t items;    /* size of the catalogue at least; grown to the largest index + 1 */
} wn_split_options;

/* Distinct items of each user, ascending: those of user u are item[ptr[u] … ptr[u + 1] − 1]. */
typedef struct wn_user_items {
  uint64_t *ptr; /* [users + 1] */
  uint32_t *item;
  float *weight; /* of the pair; NULL but for a split's test */
} wn_user_items;

#define WN_TIMELINE 40
/* Events by time in equal steps from first_ms to last_ms. */
typedef struct wn_timeline {
  int64_t first_ms, last_ms;
  uint64_t train[WN_TIMELINE], test[WN_TIMELINE];
} wn_timeline;

/* Train and test of one evaluation. Heap memory throughout. */
typedef struct wn_split {
  wn_split_kind kind;
  const char *why; /* why this kind, for the report; static text */
  int64_t cut_ms;  /* TIME: first moment of the future; else 0 */
  uint32_t users, items;
  wn_event *train; /* ordered by time */
  size_t train_len;
  wn_event *test_events; /* as they were; NULL unless asked for */
  size_t test_len;
  int64_t *asked_ms;    /* [users] LEAVE_LAST: when each came back for it; else NULL: all at once */
  wn_bitset held_users; /* USERS: nothing is fitted on these; else no bits */
  wn_user_items seen;   /* in train, whatever their weight: what is masked */
  wn_user_items test;   /* relevant */
  uint64_t test_users;  /* with at least one relevant item */
  uint64_t cold_users;  /* of these: without any train event */
  uint64_t
      users_without_relevant; /* with test events, none of them relevant (weight ≤ 0, or masked) */
  uint64_t cold_test_pairs;   /* test pairs whose item has no train event */
  wn_bitset held_out;         /* COLD_ITEMS: the items without a train event; else no bits */
  wn_user_items choices;      /* what each user's list may hold; ptr NULL: the whole catalogue */
  wn_timeline timeline;
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

/* Recommendations made elsewhere, as one more row: a user's items best first, distinct, below the
 * split's sizes. With scores, users' numbers are expectations over the orders of equal ones. */
typedef struct wn_given_lists {
  const char *name;
  wn_user_items lists; /* weight: the scores, or NULL */
  uint32_t users;      /* rows; users beyond have no list */
} wn_given_lists;
#define WN_GIVEN_MAX 8

#define WN_ATTRIBUTES_MAX 4
#define WN_FUNNELS_MAX    32

struct wn_content_ids;

/* The surface as one arm of an experiment changes it. */
typedef struct wn_arm_surface {
  char row[64]; /* "arm:NAME" */
  wn_surface surface;
} wn_arm_surface;

typedef struct wn_evaluate_options {
  uint32_t cutoffs[WN_CUTOFFS_MAX];
  size_t cutoffs_len; /* default 10, 20, 50 */
  wn_metric_set metrics;
  wn_metric primary;  /* compared, sliced and kept by user, at the first cutoff; default NDCG */
  uint32_t users_max; /* evaluated at most, drawn with the seed; 0 = WN_EVALUATE_USERS_MAX */
  uint32_t bootstrap; /* resamples, default 1,000 */
  uint64_t seed;
  wn_train_options train;
  const wn_surface *surfaces[WN_FUNNELS_MAX]; /* the whole funnel as a row each */
  size_t surfaces_len;                        /* 0: models alone */
  const wn_arm_surface *arms; /* and as arms of an experiment have one, a row each */
  size_t arms_len;            /* ≤ WN_ARMS_MAX */
  const wn_catalog *catalog;  /* of the funnel; NULL without surfaces */
  wn_item_source items_source;
  wn_user_source users_source;
  const int64_t *created_ms;
  bool rank_all; /* COLD_ITEMS: over the whole catalogue, not over the held-out items alone */
  wn_item_vectors vectors; /* len 0: none */
  const wn_given_lists *given;
  size_t given_len;
  bool given_alone; /* no models, not even the baselines: nothing is fitted */
  wn_compat compat;
  /* Slices beside those by popularity and history; the first of each is what parity, PopREO, PopRSP
   * and calibration go by, else popularity and history. */
  const wn_labels *item_labels, *user_labels;
  size_t item_labels_len, user_labels_len; /* ≤ WN_ATTRIBUTES_MAX */
  uint64_t dataset_hash;                   /* of all events, wn_dataset_hash(): passed through */
  const struct wn_content_ids *ids; /* for hashes that do not depend on numbering; may be NULL */
  const wn_progress *progress;
} wn_evaluate_options;
void wn_evaluate_options_defaults(wn_evaluate_options *options);
/* Users evaluated when nothing else is asked for: the interval of so many is narrower than any
 * difference that matters, and memory stays bounded whatever the data. */
#define WN_EVALUATE_USERS_MAX (1u << 18)

typedef struct wn_cutoff_result {
  uint32_t k;
  wn_interval of[WN_METRICS]; /* mean NaN: not asked for, or undefined; metrics of all lists
                                 together have low = high = mean */
} wn_cutoff_result;

/* Lists whose scores tie: a metric's mean over users as the expectation over random orders of equal
 * scores, with the best and the worst order. */
typedef struct wn_tie_result {
  double expected, best, worst;
} wn_tie_result;
#define WN_TIED_METRICS 6 /* ndcg … map */

/* a − b over the same users. */
typedef struct wn_comparison {
  wn_interval difference; /* bootstrap */
  double t_p, wilcoxon_p, flip_p;
  uint64_t wins, ties, losses;
} wn_comparison;

/* A group of users by the primary metric, or of items by recall (of the relevant items in the
 * group, mean over users who have one). p: against the users outside the group (Welch), of an item
 * group against the same users' other items (paired t); adjusted for all slices of the row
 * (Benjamini–Hochberg). */
#define WN_SLICES_MAX 128
typedef struct wn_slice {
  bool of_items;
  char by[65], name[65];
  uint64_t users;
  wn_estimate value; /* t interval; p unused */
  double p, p_adjusted;
} wn_slice;

#define WN_SHARES       10
#define WN_TPR_BINS     10
#define WN_LORENZ_STEPS 20

typedef struct wn_model_result {
  char name[64];
  double fit_seconds; /* 0 for what is not fitted */
  double rank_seconds;
  double metric_seconds; /* intervals, slices and the rest, after the lists */
  uint64_t users_without_list;
  wn_cutoff_result at[WN_CUTOFFS_MAX];
  uint64_t users_tied; /* with equal scores in the list */
  wn_tie_result ties[WN_TIED_METRICS][WN_CUTOFFS_MAX];
  wn_comparison over_popular; /* primary metric; all NaN for popular itself */
  wn_slice slices[WN_SLICES_MAX];
  size_t slices_len;
  uint64_t cold_without_list;
  wn_cutoff_result cold[WN_CUTOFFS_MAX]; /* ndcg … map over the cold users */
  /* at the first cutoff */
  uint32_t
      unique_items[WN_SHARES]; /* items that hold the first 10%, 20%, … of all recommendations */
  double
      lorenz[WN_LORENZ_STEPS + 1]; /* share of recommendations of the least shown 0%, 5%, … items */
  double tpr[WN_TPR_BINS]; /* of relevant pairs: found, by tenths of train pairs, most popular items
                              first; NaN: none */
  double *user_value;      /* [users_evaluated] the primary metric */
  double compat[WN_COMPAT_METRICS][WN_CUTOFFS_MAX]; /* ndcg … map as options.compat prints them */
  uint64_t seen_items; /* of given lists: items that their user has in train */
} wn_model_result;

typedef enum wn_guard_state { WN_GUARD_PASS, WN_GUARD_WARN, WN_GUARD_FAIL } wn_guard_state;
typedef struct wn_guard {
  const char *name;
  wn_guard_state state;
  char reason[256];
} wn_guard;
#define WN_GUARDS_MAX 12

/* The scorer for whom all items are equal: what it gets by expectation is what random gets, and
 * what it gets by item numbers says what the order of the catalogue gives away. */
typedef struct wn_constant {
  double expected[WN_TIED_METRICS][WN_CUTOFFS_MAX], by_number[WN_TIED_METRICS][WN_CUTOFFS_MAX];
} wn_constant;

#define WN_ROWS_MAX (WN_MODELS_MAX + WN_GIVEN_MAX + WN_FUNNELS_MAX + WN_ARMS_MAX + 4)

/* The same models under another split. */
typedef struct wn_second_protocol {
  size_t rows; /* in both; 0: not run */
  wn_split_kind kind;
  uint64_t users;
  double value[WN_ROWS_MAX]; /* of the first protocol's rows by the primary metric; NaN: not run */
  double kendall;            /* τ_b of the two orders */
} wn_second_protocol;

typedef struct wn_evaluation {
  wn_split_kind kind;
  const char *why;
  int64_t cut_ms;
  uint32_t users, items; /* of the data */
  uint64_t train_events, train_pairs, test_pairs;
  uint64_t users_evaluated; /* the population of every mean below */
  uint64_t users_cold;      /* with test items but no past: a slice of their own (row.cold) */
  uint64_t cold_evaluated;  /* of these, as many as users_max allows */
  uint64_t users_without_relevant;
  uint64_t users_not_sampled; /* left out by users_max */
  uint64_t cold_test_pairs;   /* nobody met the item in train: out of reach for most models */
  const char *ranking;        /* over what; static text */
  bool sampled;               /* choices were given: not comparable with full ranking */
  double choices;             /* items that a list could be made of: mean over users */
  bool dataset_cut;           /* options.train.dataset asks for anything */
  wn_dataset_report dataset;
  wn_timeline timeline;
  uint64_t dataset_hash;    /* options.dataset_hash */
  uint64_t split_hash;      /* of train events and relevant test pairs, see lab/fingerprint.h */
  uint64_t population_hash; /* of the evaluated users: rows of other evaluations compare if equal */
  uint64_t seed;
  size_t cutoffs_len;
  wn_metric_set metrics;
  wn_metric primary;
  wn_compat compat;
  wn_model_result rows[WN_ROWS_MAX]; /* in the order of the models; funnel, then given lists last */
  size_t rows_len;
  wn_constant constant;
  wn_guard guards[WN_GUARDS_MAX];
  size_t guards_len;
  wn_second_protocol second;
  uint32_t *user; /* [users_evaluated] ascending; every row's user_value goes by it */
} wn_evaluation;

/* Random, popularity, recent popularity and what options.train names (added when absent: they are
 * the baselines). `out` is to be cleared, also after a failure. */
WN_MUST_USE wn_status wn_evaluate(const wn_split *split, const wn_signals *signals,
                                  const wn_evaluate_options *options, wn_evaluation *out,
                                  wn_error *err);
/* Fills in out->second: `events` split another way than `out` was (by time: each user's last; each
 * user's last: by time; else random users). */
WN_MUST_USE wn_status wn_evaluate_second(wn_event_list events, const wn_signals *signals,
                                         const wn_split_options *split_options,
                                         const wn_evaluate_options *options, wn_evaluation *out,
                                         wn_error *err);
void wn_evaluation_clear(wn_evaluation *evaluation);
/* Index of the row; WN_ROWS_MAX: there is none. */
size_t wn_evaluation_find(const wn_evaluation *evaluation, const char *name);
/* Row a of one evaluation over row b of another (or the same), by the primary metric. Refused
 * (WN_E_ARGUMENT) unless both were measured on the same users, splits and metric. */
WN_MUST_USE wn_status wn_evaluation_compare(const wn_evaluation *a, size_t row_a,
                                            const wn_evaluation *b, size_t row_b,
                                            wn_comparison *out, wn_error *err);
void wn_evaluation_to_json(const wn_evaluation *evaluation, wn_buf *out);

#endif
