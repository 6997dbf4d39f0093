#ifndef WN_LAB_OUTCOME_H
#define WN_LAB_OUTCOME_H
/* What the units of an experiment did, as sums to compare.
 *
 * Every metric is a ratio of two sums over units, Σ y / Σ x; where it is a mean per unit, x = 1.
 * The unit of analysis is the unit of assignment, so that variances are those of independent draws.
 * Events count when they answer a slate of the experiment (store/answered.h).
 *
 * Left out, and counted: units that were seen in two arms (a changed override, a changed audience),
 * units under an override, bots (more than WN_BOT_SLATES slates on one day), and slates whose user
 * was erased. */

#include "lab/experiment.h"
#include "store/store.h"

#define WN_BOT_SLATES 1000

typedef struct wn_ratio_sums {
  double n;                /* units */
  double y, x, yy, xx, xy; /* sums over them */
  double z, zz, zy;        /* with the unit's value before the experiment (CUPED) */
} wn_ratio_sums;

typedef struct wn_arm_outcome {
  uint64_t units, slates;
  wn_ratio_sums metrics[WN_METRICS_MAX];
} wn_arm_outcome;

/* One UTC day: who came for the first time, and the primary metric of who was there. */
typedef struct wn_day_outcome {
  int64_t day; /* since 1970 */
  double new_units[WN_ARMS_MAX];
  wn_ratio_sums primary[WN_ARMS_MAX];
} wn_day_outcome;

/* Units whose first slate was of this surface. */
typedef struct wn_segment_outcome {
  char surface[WN_NAME_MAX + 1];
  double units[WN_ARMS_MAX];
} wn_segment_outcome;

/* Units whose user has this value of an attribute now. */
typedef struct wn_group_outcome {
  char name[2 * WN_NAME_MAX + 2]; /* "country=at" */
  double units[WN_ARMS_MAX];
} wn_group_outcome;
#define WN_GROUPS_MAX 1024 /* the first ones met */

/* What a shadow would have shown. Sums over units of y: share of the slate's items that the shadow
 * has, too; x: slates. Times in microseconds, champion and challenger, as a histogram of steps by
 * 2^¼ from 1 µs on. */
#define WN_SHADOW_BINS 96
typedef struct wn_shadow_outcome {
  wn_ratio_sums agreement;
  uint64_t slates, same_first;
  uint64_t failed; /* the challenger had no slate */
  double us[2];
  uint64_t bins[2][WN_SHADOW_BINS];
} wn_shadow_outcome;

/* In the mode `interleave` arms[0].metrics[0] has y: events that credit the challenger, x: all that
 * credit one. */
typedef struct wn_outcome {
  wn_arm_outcome arms[WN_ARMS_MAX];
  wn_shadow_outcome shadow;
  wn_day_outcome *days; /* ascending, without empty ones */
  size_t days_len;
  wn_segment_outcome segments[WN_SURFACES_MAX];
  size_t segments_len;
  wn_group_outcome *groups; /* of users' attributes (`segments`) */
  size_t groups_len;
  uint64_t crossed, overridden, bots, erased_slates;
  int64_t first_ms, last_ms;           /* slates; 0: none */
  bool without_events[WN_METRICS_MAX]; /* no event of the metric's type was ever stored */
  bool with_before[WN_METRICS_MAX];    /* z was counted */
} wn_outcome;

/* The experiment as it was at `until_ms`; days and segments are not told apart. */
typedef wn_status wn_outcome_look_fn(void *ctx, int64_t until_ms, const wn_outcome *then,
                                     wn_error *err);
#define WN_OUTCOME_LOOKS 60

typedef struct wn_outcome_options {
  int64_t since_ms, until_ms; /* slates and events shown and done in between */
  int64_t window_ms;          /* of events that name no slate; default 24 hours */
  double before_days;         /* for z, users only; default 28, 0: none */
  /* NULL: not asked. Called once `out` is whole, for up to WN_OUTCOME_LOOKS times at equal
   * distances from the first slate on; the last is the end. An event counts with the slate that it
   * answers, and whoever is left out in the end is left out of every look: the last look is `out`.
   */
  wn_outcome_look_fn *look;
  void *look_ctx;
  bool everyone; /* all slates of the experiment's surfaces count for its first arm: for planning */
} wn_outcome_options;
void wn_outcome_options_defaults(wn_outcome_options *options);

/* Scans the slates and the log (answered.h). Memory: some 100 bytes and 24 a metric for each unit,
 * besides 48 an event; for looks 24 and 16 a metric for each unit and look in which it came. */
WN_MUST_USE wn_status wn_outcome_collect(wn_store *store, const wn_experiment *experiment,
                                         const wn_outcome_options *options, wn_outcome *out,
                                         wn_error *err);
void wn_outcome_clear(wn_outcome *outcome);

/* A unit that counts, for wn_outcome_group. */
typedef struct wn_counted_unit {
  wn_user_ix user;
  uint32_t arm;
} wn_counted_unit;
/* Fills out->groups; sorts `units`. A scan of the users, unless no attribute is wanted. */
WN_MUST_USE wn_status wn_outcome_group(wn_store *store, const wn_experiment *experiment,
                                       wn_counted_unit *units, size_t len, wn_outcome *out,
                                       wn_error *err);

#endif
