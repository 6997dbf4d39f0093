#ifndef WN_LAB_OUTCOME_H
#define WN_LAB_OUTCOME_H
/* What the units of an experiment did, as numbers to compare.
 *
 * Every metric is a ratio of two sums over units, Σ y / Σ x; where it is a mean per unit, x = 1.
 * The unit of analysis is the unit of assignment, so that variances are those of independent draws
 * (delta method for ratios: Deng, Knoblich and Lu 2018). Events count when they answer a slate of
 * the experiment's (store/answered.h). */

#include "base/record.h"
#include "base/str.h"

typedef enum wn_metric_kind {
  WN_METRIC_CONVERSION, /* share of units with at least one event: y = 0 or 1 */
  WN_METRIC_COUNT,      /* events a unit */
  WN_METRIC_RATE,       /* events a slate: x = slates of the unit */
  WN_METRIC_VALUE,      /* sum of the events' values a unit: revenue, seconds */
  WN_METRIC_FINISH,     /* share of events whose value is at least `value_min`: x = events */
  WN_METRIC_DISTINCT,   /* different items a unit: diversity of consumption */
  WN_METRIC_RETURN,     /* share of units that asked again `days` days after their first slate or
                           later; units too young for that are left out */
} wn_metric_kind;
extern const char *const wn_metric_kind_names[]; /* NULL-terminated */

typedef struct wn_metric_spec {
  char name[65];
  wn_metric_kind kind;
  char type[65];    /* event type; "": any (not for RETURN) */
  double value_min; /* FINISH */
  double days;      /* RETURN; default 7 */
  bool lower_is_better;
  double margin; /* a guardrail fails when the relative loss is surely beyond it; default 0 */
} wn_metric_spec;

#endif
