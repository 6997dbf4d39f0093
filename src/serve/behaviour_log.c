/* Behaviour test of the impression log: the policy is asked again for slates that it showed, with
 * what was known at that moment (policy_replay.h), and must give each item the propensity that was
 * logged. Off-policy estimates rest on that number, and nothing else would tell that it is wrong.
 *
 * Where other users' events came late, or items were put again since, the moment is not quite the
 * same and many propensities are a little off. Then the mean weight decides, asked / logged over
 * what was drawn: if the log is right its expectation is 1 whatever else the other answer is (a
 * distribution over the same items); if the answer is right it is 1 + χ² of the truth against the
 * log, which is 1 for the truth alone, and 1/c for one that is c times the truth. By slate, since
 * its places go together.
 *
 * The engine's state is replaced: the last check of all. A funnel a slate, REPLAYED at most. */
#include "serve/behaviour.h"

#include "serve/policy_replay.h"

#include <math.h>
#include <stdio.h>

#define REPLAYED       300
#define TOLERANCE      1e-3 /* relative: a float's propensity through two roundings */
#define MISMATCH_MAX   0.01
#define WEIGHT_OFF_MAX 0.05 /* of the mean weight from 1 */

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

/* Mean over slates of their items' mean weight, ± 1.96 standard errors. */
static void judge_weights(const wn_own_log *log, wn_check *c) {
  double sum = 0, squares = 0, n = 0;
  const wn_logged_row *rows = log->log.rows.data;
  for (size_t i = 0, end; i < log->log.rows.len; i = end) {
    double weight = 0;
    for (end = i; end < log->log.rows.len && rows[end].decision == rows[i].decision; end++)
      weight += rows[end].p_eval / rows[end].p_log;
    weight /= (double)(end - i);
    sum += weight;
    squares += weight * weight;
    n++;
  }
  c->value = sum / n;
  double error = n > 1 ? 1.96 * sqrt(fmax(squares / n - c->value * c->value, 0) / (n - 1)) : NAN;
  c->low = c->value - error;
  c->high = c->value + error;
  if (c->low >= 1 - WEIGHT_OFF_MAX && c->high <= 1 + WEIGHT_OFF_MAX)
    c->state = WN_CHECK_PASS;
  else if (c->high < 1 - WEIGHT_OFF_MAX || c->low > 1 + WEIGHT_OFF_MAX)
    c->state = WN_CHECK_FAIL;
  else
    c->state = WN_CHECK_INCONCLUSIVE;
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
  if (c->state != WN_CHECK_PASS && wrong > 0) {
    judge_weights(&log, c);
    snprintf(
        c->reason, sizeof c->reason,
        "%zu impressions of %u slates asked again: %.3g%% have another propensity (late events, "
        "items put again?); mean of asked / logged; 1 ± %g",
        log.log.rows.len, log.log.decisions, 100 * (double)wrong / (double)log.log.rows.len,
        WEIGHT_OFF_MAX);
  }
  wn_own_log_clear(&log);
  return WN_OK;
}
