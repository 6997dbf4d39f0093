#ifndef WN_LAB_TUNE_H
#define WN_LAB_TUNE_H
/* Which parameters of a model are better on held-out items of the train part. */

#include "lab/metrics.h"
#include "model/train.h"

#define WN_TUNE_RUNGS_MAX  3
#define WN_TUNE_TRIALS_MAX 729
#define WN_TUNE_K_MAX      200

/* ---- where to look (tune_space.c) ---- */

typedef enum wn_tune_scale { WN_TUNE_LINEAR, WN_TUNE_LOG, WN_TUNE_LOG_WHOLE } wn_tune_scale;
typedef struct wn_tune_range {
  const char *model, *param;
  double low, high;
  wn_tune_scale scale;
} wn_tune_range;
extern const wn_tune_range wn_tune_ranges[];
extern const size_t wn_tune_ranges_len;

typedef struct wn_tune_space {
  const wn_model_class *cls;
  wn_params start;           /* defaults, and what is fixed */
  bool fixed[WN_PARAMS_MAX]; /* not searched */
} wn_tune_space;

/* "KEY=VALUE" or "MODEL.KEY=VALUE": this parameter is not searched. */
WN_MUST_USE wn_status wn_tune_fix(wn_tune_space *space, const char *assignment, wn_error *err);
/* How many parameters are searched. */
size_t wn_tune_searched(const wn_tune_space *space);
/* Place of the range's parameter among its class's; WN_PARAMS_MAX: the range is not searched. */
size_t wn_tune_at(const wn_tune_space *space, const wn_tune_range *range);
/* The value at x of 0 … 1 along the range, rounded to three digits, and back. */
double wn_tune_value(const wn_tune_range *range, double x);
double wn_tune_unit(const wn_tune_range *range, double value);
/* Trial 0 is the start itself; any other a random point, a function of seed and number alone. */
void wn_tune_point(const wn_tune_space *space, uint64_t seed, uint32_t trial, wn_params *out);

/* ---- where to look next (tune_tpe.c) ---- */

typedef struct wn_tune_seen {
  const wn_params *params;
  double value; /* more is better */
} wn_tune_seen;
typedef struct wn_tune_past {
  wn_tune_seen *seen;
  size_t len;
} wn_tune_past;

/* Values so far above which a point is drawn from what was good; before, points are random. */
#define WN_TUNE_TPE_FROM 10
/* A point by a tree-structured Parzen estimator over what was seen: a function of that, seed and
 * trial alone. `past.seen` is sorted, best first. */
WN_MUST_USE wn_status wn_tune_tpe(const wn_tune_space *space, uint64_t seed, uint32_t trial,
                                  wn_tune_past past, wn_params *out, wn_error *err);

/* ---- the search (tune.c) ---- */

/* How much it takes: `trials` at the least share of the users, a third of them at the next … */
typedef struct wn_tune_plan {
  uint32_t rungs;
  double share[WN_TUNE_RUNGS_MAX]; /* of the users that models are fitted on; the last is 1 */
  uint32_t trials[WN_TUNE_RUNGS_MAX];
  double seconds[WN_TUNE_RUNGS_MAX]; /* one trial, measured on the defaults */
  double estimate;                   /* seconds of all that is still to be done at the start */
} wn_tune_plan;

typedef struct wn_tune_options {
  wn_tune_space space;
  bool tpe;    /* points follow what was good; else they are random */
  bool recall; /* metric: recall@k instead of ndcg@k */
  uint32_t k;
  double later;          /* share of the pairs by time that is validated on; 0: newest items */
  uint32_t trials;       /* 0: as many as the budget allows */
  double budget_minutes; /* of wall time, estimated on the defaults */
  uint32_t users_max;    /* to measure on, at most */
  uint32_t bootstrap;
  uint64_t seed;
  int threads;
  const char *journal; /* file of JSON lines; NULL: none. A search that it began is continued */
  void (*planned)(void *ctx, const wn_tune_plan *plan); /* before the search; may be NULL */
  void *planned_ctx;
  const wn_progress *progress;
} wn_tune_options;
void wn_tune_options_defaults(wn_tune_options *options);

typedef struct wn_tune_row {
  uint32_t trial;
  wn_params params;
  wn_interval metric;
  wn_interval difference; /* from trial 0, same users */
  double seconds;         /* a fit and measurement on all users */
} wn_tune_row;

typedef struct wn_tune_result {
  wn_tune_plan plan;
  uint64_t users;                       /* measured on */
  bool by_time;                         /* the held-out items are each user's newest */
  double seconds;                       /* of all trials */
  wn_tune_row rows[WN_TUNE_TRIALS_MAX]; /* of the last rung, best first */
  size_t rows_len;
} wn_tune_result;

WN_MUST_USE wn_status wn_tune_run(const wn_dataset *data, const wn_tune_options *options,
                                  wn_tune_result *out, wn_error *err);

/* ---- the journal (tune_journal.c) ---- */

typedef struct wn_tune_entry {
  uint32_t trial, rung;
  double value, seconds;
  double *users; /* each user's value, `users_len` of them; of the last rung, else NULL */
  size_t users_len;
} wn_tune_entry;

typedef struct wn_tune_journal {
  char *path; /* NULL: memory alone */
  wn_tune_entry *entries;
  size_t len, cap;
  uint32_t trials; /* planned; 0: not yet */
} wn_tune_journal;

/* `head` is the first line; WN_E_CONFLICT: the file has another one. A line that was not finished
 * is dropped. */
WN_MUST_USE wn_status wn_tune_journal_open(wn_tune_journal *journal, const char *path,
                                           const char *head, wn_error *err);
const wn_tune_entry *wn_tune_journal_find(const wn_tune_journal *journal, uint32_t trial,
                                          uint32_t rung);
/* Takes over entry->users. */
WN_MUST_USE wn_status wn_tune_journal_add(wn_tune_journal *journal, const wn_tune_entry *entry,
                                          const wn_tune_space *space, const wn_params *params,
                                          wn_error *err);
WN_MUST_USE wn_status wn_tune_journal_plan(wn_tune_journal *journal, uint32_t trials,
                                           wn_error *err);
void wn_tune_journal_clear(wn_tune_journal *journal);

#endif
