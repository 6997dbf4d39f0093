#ifndef WN_LAB_AUDIT_H
#define WN_LAB_AUDIT_H
/* Does a data set carry the evaluation that is made on it? Each check has a verdict, what it
 * counted and a reason for people. */

#include "data/logged.h"
#include "lab/evaluate.h"

typedef struct wn_audit_check {
  char name[64];
  wn_guard_state state;
  uint64_t count, of;
  char reason[320];
} wn_audit_check;

#define WN_AUDIT_CHECKS_MAX 64
typedef struct wn_audit {
  wn_audit_check checks[WN_AUDIT_CHECKS_MAX];
  size_t len;
} wn_audit;
wn_guard_state wn_audit_worst(const wn_audit *audit);
const wn_audit_check *wn_audit_find(const wn_audit *audit, const char *name); /* NULL: absent */
void wn_audit_to_json(const wn_audit *audit, wn_json *json);                  /* an array */

typedef struct wn_audit_sides {
  wn_event_list train, test;
  wn_split_kind kind;
  bool timed;                  /* times are of a clock and compare between the sides */
  double value_min, value_max; /* labels outside are errors; NaN: not said */
} wn_audit_sides;

/* Checks "future" (test events with later train events), "own future" (… of the same user),
 * "duplicates" (pairs on both sides), "repeats" (the same event twice), "labels" (two values for
 * one pair: at one time an error, at two to be looked at), "range", "cold users", "cold items",
 * "sizes". */
WN_MUST_USE wn_status wn_audit_split(const wn_audit_sides *sides, wn_audit *out, wn_error *err);

/* A feature of items or users, one number each (NaN: none). */
typedef struct wn_audit_feature {
  const char *name;
  bool of_users;
  const double *value;
  uint32_t len;
} wn_audit_feature;
/* "feature NAME": was it computed from the future? Counts, distinct partners and mean values are
 * computed on train and on everything; a feature that follows one of the latter closer than the
 * same of train alone knows the test part. */
WN_MUST_USE wn_status wn_audit_feature_of(const wn_audit_sides *sides,
                                          const wn_audit_feature *feature, wn_audit *out,
                                          wn_error *err);

/* "propensities": of every item at every position the weights 1/p must add up to the number of rows
 * there, whatever the policy: E[1{shown}/p] = 1. */
/* `of` stands before the reason. `at_most`: an item may be out of the question for some, so that
 * only weights that add up to more are wrong. */
WN_MUST_USE wn_status wn_audit_propensities(const wn_logged *log, const char *of, bool at_most,
                                            wn_audit *out, wn_error *err);
/* The same of a store's own impressions, a check for each surface and arm: audit_own.c. */
struct wn_own_log;
WN_MUST_USE wn_status wn_audit_own_propensities(const struct wn_own_log *own, wn_audit *out,
                                                wn_error *err);

#endif
