/* Predictions' numbers as JSON. */
#include "lab/predicted.h"

#include <math.h>

static void real(wn_json *j, const char *key, double value) {
  wn_json_key(j, key);
  wn_json_double(j, value);
}

static void number(wn_json *j, const char *key, uint64_t value) {
  wn_json_key(j, key);
  wn_json_int(j, (int64_t)value);
}

/* Those that there are; `constant` NULL: without. */
static void metrics(wn_json *j, const wn_interval *value, const double *constant) {
  wn_json_key(j, "metrics");
  wn_json_object(j);
  for (int m = 0; m < WN_PREDICTED_METRICS; m++) {
    if (isnan(value[m].mean)) continue;
    wn_json_key(j, wn_predicted_key((wn_predicted_metric)m));
    wn_json_object(j);
    real(j, "mean", value[m].mean);
    real(j, "low", value[m].low);
    real(j, "high", value[m].high);
    if (constant != NULL) real(j, "constant", constant[m]);
    wn_json_end_object(j);
  }
  wn_json_end_object(j);
}

static void cells(wn_json *j, const wn_predicted_result *r) {
  wn_json_key(j, "cells");
  wn_json_array(j);
  for (size_t c = 0; c < r->cells_len; c++) {
    wn_json_object(j);
    number(j, "rows", r->cells[c].rows);
    real(j, "said", r->cells[c].said);
    real(j, "was", r->cells[c].was);
    real(j, "low", r->cells[c].low);
    real(j, "high", r->cells[c].high);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
}

static void slices(wn_json *j, const wn_predicted_result *r) {
  wn_json_key(j, "slices");
  wn_json_array(j);
  for (size_t s = 0; s < r->slices.len; s++) {
    const wn_predicted_slice *slice = &r->slices.data[s];
    wn_json_object(j);
    wn_json_key(j, "by");
    wn_json_cstring(j, slice->by);
    wn_json_key(j, "name");
    wn_json_string(j, slice->name);
    number(j, "rows", slice->rows);
    number(j, "positives", slice->positives);
    metrics(j, slice->value, NULL);
    real(j, "p", slice->p);
    real(j, "p_adjusted", slice->p_adjusted);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
}

static void guards(wn_json *j, const wn_predicted_result *r) {
  static const char *const states[] = {"pass", "warn", "fail"};
  wn_json_key(j, "guards");
  wn_json_array(j);
  for (size_t g = 0; g < r->guards_len; g++) {
    wn_json_object(j);
    wn_json_key(j, "name");
    wn_json_cstring(j, r->guards[g].name);
    wn_json_key(j, "state");
    wn_json_cstring(j, states[r->guards[g].state]);
    wn_json_key(j, "reason");
    wn_json_cstring(j, r->guards[g].reason);
    wn_json_end_object(j);
  }
  wn_json_end_array(j);
}

void wn_predicted_to_json(const wn_predicted_result *r, wn_json *j) {
  wn_json_object(j);
  number(j, "rows", r->rows);
  number(j, "positives", r->positives);
  if (r->users > 0) {
    number(j, "users", r->users);
    number(j, "users_ranked", r->users_ranked);
  }
  wn_json_key(j, "probabilities");
  wn_json_bool(j, r->probabilities);
  number(j, "samples", r->samples);
  metrics(j, r->value, r->constant);
  if (r->probabilities) {
    real(j, "ece_of_chance", r->ece_of_chance);
    real(j, "calibration_z", r->calibration_z);
    real(j, "calibration_p", r->calibration_p);
    cells(j, r);
  }
  slices(j, r);
  guards(j, r);
  wn_json_end_object(j);
}
