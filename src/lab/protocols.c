/* A second protocol: the same models under another split. Which model is best depends on the split
 * (on MovieLens-100K the gain of EASE over popularity falls from 105% to 21%), so an order that
 * only one of them gives is no finding. Kendall's τ_b over the rows both have says how far the
 * orders agree. The funnel and given lists are of the first split alone. Costs a second fit of
 * every model; users are at most 2,000, for an order needs no narrow intervals. */
#include "lab/evaluate.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

#define USERS_MAX 2000

static wn_split_kind other_than(wn_split_kind kind) {
  return kind == WN_SPLIT_TIME         ? WN_SPLIT_LEAVE_LAST
         : kind == WN_SPLIT_LEAVE_LAST ? WN_SPLIT_TIME
                                       : WN_SPLIT_USERS;
}

static void compare(const wn_evaluation *second, wn_evaluation *out) {
  double a[WN_ROWS_MAX], b[WN_ROWS_MAX];
  wn_second_protocol *s = &out->second;
  for (size_t i = 0; i < out->rows_len; i++) {
    size_t at = wn_evaluation_find(second, out->rows[i].name);
    s->value[i] = NAN;
    if (at == WN_ROWS_MAX) continue;
    s->value[i] = second->rows[at].at[0].of[out->primary].mean;
    a[s->rows] = out->rows[i].at[0].of[out->primary].mean;
    b[s->rows++] = s->value[i];
  }
  s->kind = second->kind;
  s->users = second->users_evaluated;
  s->kendall = s->rows > 1 ? wn_kendall(a, b, s->rows) : NAN;
}

wn_status wn_evaluate_second(wn_event_list events, const wn_signals *signals,
                             const wn_split_options *split_options,
                             const wn_evaluate_options *options, wn_evaluation *out,
                             wn_error *err) {
  wn_evaluation *second = wn_calloc(1, sizeof *second);
  wn_split_options how = *split_options;
  wn_evaluate_options o = *options;
  wn_split split = {0};
  wn_status status;
  if (second == NULL) return wn_fail_memory(err);
  how.kind = other_than(out->kind);
  o.users_max = o.users_max > 0 && o.users_max < USERS_MAX ? o.users_max : USERS_MAX;
  o.bootstrap = 0;
  o.surfaces_len = 0;
  o.arms_len = 0;
  o.given_len = 0;
  o.item_labels_len = o.user_labels_len = 0;
  o.metrics = WN_METRIC_BIT(o.primary);
  WN_TRY(wn_split_make(events, signals, &how, &split, err));
  WN_TRY(wn_evaluate(&split, signals, &o, second, err));
  compare(second, out);
cleanup:
  wn_evaluation_clear(second);
  wn_free(second);
  wn_split_clear(&split);
  return status;
}
