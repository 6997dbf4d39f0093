/* Behaviour test of the impression log: the policy is asked again for slates that it showed, with
 * what was known at that moment (policy_replay.h), and must give each item the propensity that was
 * logged. Off-policy estimates rest on that number, and nothing else would tell that it is wrong.
 *
 * The engine's state is replaced: the last check of all. A funnel a slate, REPLAYED at most. */
#include "serve/behaviour.h"

#include "serve/policy_replay.h"

#include <math.h>
#include <stdio.h>

#define REPLAYED     300
#define TOLERANCE    1e-3 /* relative: a float's propensity through two roundings */
#define MISMATCH_MAX 0.01 /* events that arrived late were not known when the slate was made */

static size_t compare(const wn_own_log *log, wn_check *c) {
  size_t wrong = 0;
  for (size_t i = 0; i < log->log.rows.len; i++) {
    const wn_logged_row *row = &log->log.rows.data[i];
    if (fabs(row->p_log - row->p_eval) <= TOLERANCE * row->p_log) continue;
    wrong++;
    wn_check_worst(c, "item %.*s at place %u: logged %.4g, is %.4g",
                   WN_STR_ARG(wn_dict_key(log->log.items, row->item)), row->position + 1,
                   row->p_log, row->p_eval);
  }
  return wrong;
}

wn_status wn_check_log_propensities(wn_engine *engine, const wn_check_options *options,
                                    wn_check_report *report, wn_error *err) {
  wn_check *c = wn_check_add(report, "logged propensities are the policy's own");
  wn_policy_replay_options how = {.slates_max = REPLAYED, .own_only = true};
  wn_policy_replay_report replayed;
  wn_own_log log;
  wn_error why = {0};
  wn_own_log_options_defaults(&how.log);
  how.log.surface = options->surface;
  wn_status status = wn_policy_replay(engine, &how, &log, &replayed, &why);
  if (status == WN_E_MEMORY) return wn_fail_memory(err);
  if (status != WN_OK) {
    snprintf(c->reason, sizeof c->reason,
             "no slate of this snapshot and configuration can be asked again: %.120s", why.message);
    return WN_OK;
  }
  size_t wrong = compare(&log, c);
  wn_check_judge_share(c, wrong, log.log.rows.len, MISMATCH_MAX);
  snprintf(c->reason, sizeof c->reason,
           "%zu impressions of %u slates asked again: share whose logged propensity is another; at "
           "most %g%%",
           log.log.rows.len, log.log.decisions, 100 * MISMATCH_MAX);
  wn_own_log_clear(&log);
  return WN_OK;
}
