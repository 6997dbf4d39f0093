/* A verdict over time (course.h). */
#include "lab/course.h"

#include <string.h>

typedef struct course {
  const wn_experiment *experiment;
  const wn_outcome *whole;
  wn_json *json;
  bool begun, hidden;
  wn_experiment_verdict verdict;
} course;

static void put(wn_json *json, const char *key, double value) {
  wn_json_key(json, key);
  wn_json_double(json, value);
}

static void begin(course *c) {
  const wn_experiment *e = c->experiment;
  wn_json *json = c->json;
  wn_experiment_verdict_of(e, c->whole, &c->verdict);
  c->hidden = c->verdict.hidden;
  c->begun = true;
  wn_json_object(json);
  wn_json_key(json, "name");
  wn_json_cstring(json, e->name);
  put(json, "alpha", e->alpha);
  wn_json_key(json, "hidden");
  wn_json_bool(json, c->hidden);
  wn_json_key(json, "arms");
  wn_json_array(json);
  for (size_t a = 0; a < e->arms_len; a++) wn_json_cstring(json, e->arms[a].name);
  wn_json_end_array(json);
  wn_json_key(json, "metrics");
  wn_json_array(json);
  for (size_t m = 0; m < e->metrics_len; m++) wn_json_cstring(json, e->metrics[m].name);
  wn_json_end_array(json);
  wn_json_key(json, "looks");
  wn_json_array(json);
}

static void write_effect(const course *c, size_t arm, size_t metric) {
  const wn_arm_verdict *v = &c->verdict.arms[arm][metric];
  wn_json *json = c->json;
  wn_json_object(json);
  wn_json_key(json, "arm");
  wn_json_cstring(json, c->experiment->arms[arm].name);
  wn_json_key(json, "metric");
  wn_json_cstring(json, c->experiment->metrics[metric].name);
  wn_json_key(json, "verdict");
  wn_json_cstring(json, wn_verdict_names[v->verdict]);
  if (v->verdict != WN_VERDICT_NO_DATA) {
    put(json, "difference", v->treatment - v->control);
    put(json, "low", v->absolute.low);
    put(json, "high", v->absolute.high);
    put(json, "relative", v->relative);
    put(json, "relative_low", v->relative_low);
    put(json, "relative_high", v->relative_high);
  }
  wn_json_end_object(json);
}

static wn_status take_look(void *ctx, int64_t until_ms, const wn_outcome *then,
                           wn_error *err WN_UNUSED) {
  course *c = ctx;
  const wn_experiment *e = c->experiment;
  wn_json *json = c->json;
  if (!c->begun) begin(c);
  wn_experiment_verdict_of(e, then, &c->verdict);
  wn_json_object(json);
  wn_json_key(json, "until_ms");
  wn_json_int(json, until_ms);
  wn_json_key(json, "units");
  wn_json_array(json);
  for (size_t a = 0; a < e->arms_len; a++) wn_json_int(json, (int64_t)then->arms[a].units);
  wn_json_end_array(json);
  put(json, "srm_p_always_valid", c->verdict.srm_always_p);
  wn_json_key(json, "effects");
  wn_json_array(json);
  for (size_t a = 1; a < e->arms_len && !c->hidden; a++)
    for (size_t m = 0; m < e->metrics_len; m++) write_effect(c, a, m);
  wn_json_end_array(json);
  wn_json_end_object(json);
  return WN_OK;
}

wn_status wn_experiment_course(wn_store *store, const char *dir, const wn_experiment *e,
                               wn_json *json, wn_error *err) {
  wn_status status = WN_OK;
  wn_outcome outcome = {0};
  wn_outcome_options options;
  course c = {.experiment = e, .whole = &outcome, .json = json};
  WN_TRY(wn_experiment_period(dir, e, &options, err));
  options.look = take_look;
  options.look_ctx = &c;
  WN_TRY(wn_outcome_collect(store, e, &options, &outcome, err));
  if (!c.begun) begin(&c); /* nobody came */
  wn_json_end_array(json);
  wn_json_end_object(json);
cleanup:
  wn_outcome_clear(&outcome);
  return status;
}
