/* Behaviour test of scores that claim to be probabilities: the objectives of the snapshot's ranker,
 * on impressions from after the snapshot's data (what a forest was fitted on it knows too well)
 * whose features were logged and whose time to be answered has passed.
 *
 * Measured is the gap by cells of equal mass (ECE, lab/predicted.h) over the base rate: by which
 * share of what usually happens P is off on average. Bootstrap over users. Noise alone adds to a
 * gap, so a test fails only when the interval is above the limit by more than that. An objective
 * that allows for the place speaks of items that are seen, which the log alone cannot check: of it
 * stands the held-out figure of its training.
 *
 * Cost: a pass over the log, one prediction an impression, 200 resamples. */
#include "serve/behaviour.h"

#include "base/mem.h"
#include "lab/predicted.h"
#include "model/ranker.h"
#include "serve/engine_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define GAP_MAX  0.2 /* of the base rate: well above what chance leaves in 1,000 successes */
#define ROWS_MIN 200
#define SAMPLES  200

typedef struct claims {
  const wn_objective_model *model;
  size_t len;
  wn_objective_rows rows; /* of all objectives */
  wn_check *check;
} claims;

static wn_status read_rows(wn_engine *engine, const wn_model *ranker, wn_event_list events,
                           claims *c, wn_error *err) {
  const wn_signals *signals = &engine->serving->signals;
  wn_objectives specs = {.len = c->len};
  wn_labels *labels = NULL;
  wn_dataset data = {0};
  wn_label_log log = {.store = engine->store,
                      .signals = signals,
                      .events = events,
                      .since_ms = engine->serving->about.data_ms + 1};
  wn_status status;
  for (size_t k = 0; k < c->len; k++) specs.data[k] = c->model[k].head.spec;
  for (size_t i = 0; i < events.len; i++)
    if (events.data[i].time_ms > log.until_ms) log.until_ms = events.data[i].time_ms;
  WN_TRY(wn_dataset_build_events(events, signals, wn_dict_count(wn_store_users(engine->store)),
                                 wn_dict_count(wn_store_items(engine->store)), &data, err));
  WN_TRY(wn_labels_create(&specs, signals, events, &data, &labels, err));
  WN_TRY(wn_objective_rows_logged(&log, labels, wn_ranker_feature_set(ranker),
                                  wn_features_count(wn_ranker_features(ranker)), &c->rows, err));
cleanup:
  wn_labels_free(labels);
  wn_dataset_clear(&data);
  return status;
}

/* P of objective k and what came of it. */
static wn_status predict(const claims *c, size_t k, wn_predictions *out, wn_error *err) {
  const wn_objective_rows *rows = &c->rows;
  float *p = wn_reallocarray(NULL, rows->rows + 1, sizeof *p);
  wn_status status = WN_OK;
  *out = (wn_predictions){.probabilities = true, .users = wn_dict_create()};
  if (p == NULL || out->users == NULL) WN_TRY(wn_fail_memory(err));
  wn_objective_predict(
      &c->model[k],
      &(wn_feature_rows){.feature = rows->feature, .len = rows->rows, .features = rows->features},
      p);
  for (size_t i = 0; i < rows->rows; i++) {
    wn_prediction one = {.score = (double)p[i], .label = (rows->success[i] >> k) & 1};
    bool added;
    if (rows->unknown != NULL && ((rows->unknown[i] >> k) & 1) != 0) continue;
    if (wn_dict_add(out->users, (wn_str){(const char *)&rows->unit[i], sizeof rows->unit[i]},
                    &one.user, &added) != WN_OK ||
        !wn_vec_push(&out->rows, one))
      WN_TRY(wn_fail_memory(err));
  }
cleanup:
  wn_free(p);
  return status;
}

static void judge(wn_check *c, const char *name, const wn_predicted_result *r) {
  const wn_interval *gap = &r->value[WN_PREDICTED_ECE_MASS];
  double rate = (double)r->positives / (double)r->rows;
  if (isnan(gap->low) || (!isnan(c->value) && gap->mean / rate <= c->value)) return;
  c->value = gap->mean / rate;
  c->low = gap->low / rate;
  c->high = gap->high / rate;
  c->state = c->high <= GAP_MAX                           ? WN_CHECK_PASS
             : c->low - r->ece_of_chance / rate > GAP_MAX ? WN_CHECK_FAIL
                                                          : WN_CHECK_INCONCLUSIVE;
  c->worst_len = 0;
  for (size_t i = 0; i < r->cells_len; i++) {
    const wn_predicted_cell *cell = &r->cells[i];
    if (cell->said < cell->low || cell->said > cell->high)
      wn_check_worst(c, "%s: said %.4f, was %.4f (%.4f to %.4f) of %llu", name, cell->said,
                     cell->was, cell->low, cell->high, (unsigned long long)cell->rows);
  }
}

/* *measured: its probabilities stand in the log with answers of both kinds. */
static wn_status check_objective(claims *c, size_t k, uint64_t seed, bool *measured,
                                 wn_error *err) {
  const wn_objective_model *m = &c->model[k];
  wn_predictions in = {0};
  wn_predicted_result result = {0};
  size_t positives = 0;
  wn_status status = WN_OK;
  *measured = false;
  if (m->head.source == WN_OBJECTIVE_UNLABELLED || m->head.spec.position != WN_POSITION_NONE)
    return WN_OK;
  WN_TRY(predict(c, k, &in, err));
  for (size_t i = 0; i < in.rows.len; i++) positives += in.rows.data[i].label;
  if (in.rows.len < ROWS_MIN || positives == 0 || positives == in.rows.len) goto cleanup;
  WN_TRY(wn_predicted(&in, &(wn_predicted_options){SAMPLES, seed, 1}, &result, err));
  judge(c->check, m->head.spec.name, &result);
  *measured = true;
cleanup:
  wn_predicted_clear(&result);
  wn_predictions_clear(&in);
  return status;
}

wn_status wn_check_probabilities(wn_engine *engine, const wn_check_options *options,
                                 wn_event_list events, wn_check_report *report, wn_error *err) {
  claims c = {.check = wn_check_add(report, "a score that claims to be a probability is one")};
  const wn_model *ranker = wn_ranker_of(&engine->serving->models);
  char *reason = c.check->reason;
  size_t measured = 0, size = sizeof c.check->reason;
  wn_status status = WN_OK;
  c.len = ranker != NULL ? wn_ranker_objectives(ranker, &c.model) : 0;
  if (c.len == 0) {
    snprintf(reason, size,
             "no score of this snapshot claims to be a probability: there is nothing to calibrate");
    return WN_OK;
  }
  WN_TRY(read_rows(engine, ranker, events, &c, err));
  for (size_t k = 0; k < c.len; k++) {
    bool done;
    WN_TRY(check_objective(&c, k, options->seed, &done, err));
    measured += done;
  }
  const wn_objective_head *head = &c.model[0].head;
  if (measured > 0)
    snprintf(reason, size,
             "%zu of %zu objectives on %zu impressions: the greatest mean gap of P over its base "
             "rate; at most %g%%%s",
             measured, c.len, c.rows.rows, 100 * GAP_MAX,
             head->source == WN_OBJECTIVE_REPLAY
                 ? "; learnt from replayed history, so P speaks of candidates, not of what is "
                   "shown: train again on these impressions"
                 : "");
  else
    snprintf(reason, size,
             "no impressions since, with logged features and answers; at training, on users "
             "held out, %s had an ECE of %.4f (base rate %.4f)",
             head->spec.name, head->report.after.ece,
             head->rows > 0 ? (double)head->successes / (double)head->rows : NAN);
cleanup:
  wn_objective_rows_clear(&c.rows);
  return status;
}
