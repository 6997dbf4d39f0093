#ifndef WN_LAB_EVALUATE_INTERNAL_H
#define WN_LAB_EVALUATE_INTERNAL_H
/* An evaluation at work, for the files it is made of: evaluate.c (who, what is fitted, row after
 * row), measure.c (a row's lists), measure_values.c (a list → numbers of its user), constant.c (the
 * constant scorer), summary.c (numbers of each user → means,
 * intervals, slices), guards.c (what an evaluation says of itself). */

#include "lab/evaluate.h"
#include "lab/list_measures.h"
#include "lab/scored.h"

#define WN_EVALUATE_TILE 16 /* users a batch */

/* Sums of numbers in [0, 1] that do not depend on their order: multiples of 2^-40. */
typedef int64_t wn_exact;
static inline wn_exact wn_exact_of(double x) {
  return (wn_exact)(x * 1099511627776.0 + 0.5);
}
static inline double wn_exact_mean(wn_exact sum, size_t n) {
  return n > 0 ? (double)sum / 1099511627776.0 / (double)n : 0;
}

typedef enum wn_tie_way { WN_TIE_EXPECTED, WN_TIE_BEST, WN_TIE_WORST, WN_TIE_WAYS } wn_tie_way;

typedef struct wn_bench_worker {
  wn_arena arena;
  wn_bitset allowed[WN_EVALUATE_TILE];
  uint32_t *counts; /* [cutoffs × items] how often each item was in a list */
  uint32_t *found;  /* [cutoffs × items] … and relevant */
  double *sums;     /* [users] zeros, for wn_list_measures_at(); NULL when not asked for */
  float *scores;    /* [items] */
  bool scored;      /* they are those of the user at hand */
  wn_exact ties[WN_TIE_WAYS][WN_TIED_METRICS][WN_CUTOFFS_MAX];
  wn_exact compat[WN_COMPAT_METRICS][WN_CUTOFFS_MAX];
  size_t compat_users;
  wn_error error;
} wn_bench_worker;

typedef struct wn_bench {
  const wn_split *split;
  const wn_evaluate_options *options;
  const wn_signals *signals;
  wn_train_options train;      /* chosen for these data */
  wn_dataset data;             /* fitted on: what options.train.dataset leaves of train */
  wn_dataset whole;            /* all of train, where that is not the same */
  const wn_dataset *histories; /* the one that histories come from: all of train */
  wn_models models;
  const wn_surface *surface; /* the row being measured is its funnel's, when `model` is NULL */
  wn_model *recent;          /* popular, fitted on the newest part of train */
  wn_dataset_report dataset;
  wn_pool *pool;
  wn_bitset known;     /* items that train may know of */
  wn_bitset universe;  /* of these, what may be recommended */
  bool full;           /* the universe holds every item */
  int64_t *created_ms; /* a copy without the future; NULL: none given */
  wn_expr_cache *filters;
  const wn_attrs **attrs; /* [users] of those whom train does not know; NULL: nobody's */
  wn_arena attrs_arena;
  uint32_t *users;  /* evaluated, then cold ones */
  size_t users_len; /* evaluated */
  size_t cold_len;  /* after them */
  size_t k_max;
  wn_list_context context;
  wn_labels popularity, history; /* the built-in slices */
  const wn_labels *item_groups;  /* of parity, PopREO, PopRSP and calibration */
  uint32_t *relevant_count;      /* [items] evaluated users to whom it is relevant */
  int slot[WN_METRICS_OF_USERS]; /* row of `values`, −1: not asked for */
  size_t slots;
  /* of the row being measured */
  const wn_model *model;       /* NULL: the funnel, or given lists */
  const wn_given_lists *given; /* NULL: a model or the funnel */
  double *values;              /* [slots × cutoffs × (users_len + cold_len)]; NaN: undefined */
  float *item_recall;          /* [item groups of slices × users_len] NaN: none relevant */
  size_t item_slices;          /* groups of all item labels */
  uint8_t *flags;              /* [users] of a row: wn_user_flag */
  double *popular_value;       /* [users_len] the primary metric of popular */
  wn_bench_worker *workers;
} wn_bench;

enum wn_user_flag { WN_USER_EMPTY = 1, WN_USER_TIED = 2 };

static inline double *wn_bench_column(const wn_bench *b, int slot, size_t cutoff) {
  return b->values +
         ((size_t)slot * b->options->cutoffs_len + cutoff) * (b->users_len + b->cold_len);
}
/* The labels that slices go by: built-in ones first. */
size_t wn_bench_item_labels(const wn_bench *b, const wn_labels **out /* [WN_ATTRIBUTES_MAX + 1] */);

typedef struct wn_bench_list {
  uint32_t *item;
  float *score; /* NULL: none */
  size_t len;
} wn_bench_list;

/* Empties what a row fills: values, counts, sums, workers' bitmaps. */
void wn_bench_begin_row(wn_bench *b);
/* The numbers of the at-th user, from her list. */
WN_MUST_USE wn_status wn_bench_record(const wn_bench *b, wn_bench_worker *w, size_t at,
                                      const wn_query *query, const wn_bench_list *list);
/* … and the areas, from the worker's scores (NaN: not allowed). */
WN_MUST_USE wn_status wn_bench_record_areas(const wn_bench *b, wn_bench_worker *w, size_t at,
                                            const wn_query *query);
/* The metrics that ties are told of. */
static inline void wn_tied_six(const wn_ranking_metrics *m, double out[WN_TIED_METRICS]) {
  const double six[WN_TIED_METRICS] = {m->ndcg, m->recall, m->precision,
                                       m->hit,  m->mrr,    m->ap_over_min};
  for (int i = 0; i < WN_TIED_METRICS; i++) out[i] = six[i];
}
/* Attributes of users without a past, where they are known. (user_attrs.c) */
WN_MUST_USE wn_status wn_bench_read_attrs(wn_bench *b, wn_error *err);
void wn_bench_clear_attrs(wn_bench *b);
/* Lists and values of each user, by all threads. */
WN_MUST_USE wn_status wn_bench_measure(wn_bench *b, wn_model_result *row, wn_error *err);
/* From the values: what the row says. */
WN_MUST_USE wn_status wn_bench_summarise(wn_bench *b, wn_model_result *row, wn_error *err);
WN_MUST_USE wn_status wn_bench_constant(wn_bench *b, wn_constant *out, wn_error *err);
void wn_bench_guards(const wn_bench *b, wn_evaluation *out);

/* Opens and closes the bits of what a user's list may hold. */
void wn_bench_open(const wn_bench *b, wn_bitset *allowed, uint32_t user);
void wn_bench_close(const wn_bench *b, wn_bitset *allowed, uint32_t user);
static inline wn_relevant wn_bench_relevant(const wn_bench *b, uint32_t user) {
  const wn_user_items *test = &b->split->test;
  return (wn_relevant){test->item + test->ptr[user], NULL,
                       (size_t)(test->ptr[user + 1] - test->ptr[user])};
}

#endif
