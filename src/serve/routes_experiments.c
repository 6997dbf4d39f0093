/* Experiments: what is declared, what it shows, and the changes of both. */
#include "serve/server_internal.h"

#include "lab/course.h"
#include "lab/ledger.h"
#include "lab/verdict.h"

#include <string.h>

static wn_status no_query(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  return wn_query_check(&http->query, none, NULL, err);
}

static void put_text(wn_json *json, const char *key, const char *value) {
  wn_json_key(json, key);
  wn_json_cstring(json, value);
}

static void put_number(wn_json *json, const char *key, double value) {
  wn_json_key(json, key);
  wn_json_double(json, value);
}

static void put_int(wn_json *json, const char *key, int64_t value) {
  wn_json_key(json, key);
  wn_json_int(json, value);
}

static void write_arm(const wn_arm_spec *arm, wn_json *json) {
  wn_json_object(json);
  put_text(json, "name", arm->name);
  put_number(json, "share", arm->share);
  if (arm->snapshot != 0) put_int(json, "snapshot", (int64_t)arm->snapshot);
  wn_json_key(json, "changes");
  wn_json_array(json);
  for (size_t v = 0; v < arm->variants_len; v++) {
    wn_json_object(json);
    put_text(json, "surface", arm->variants[v].surface);
    put_text(json, "keys", arm->variants[v].keys);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
  wn_json_end_object(json);
}

static void write_metric(const wn_metric_spec *metric, wn_json *json) {
  wn_json_object(json);
  put_text(json, "name", metric->name);
  put_text(json, "kind", wn_metric_kind_names[metric->kind]);
  if (metric->type[0] != '\0') put_text(json, "type", metric->type);
  wn_json_key(json, "lower_is_better");
  wn_json_bool(json, metric->lower_is_better);
  put_number(json, "margin", metric->margin);
  wn_json_end_object(json);
}

static const char *state_of(const wn_experiment *e) {
  return e->promoted != 0 ? "promoted" : e->stopped ? "stopped" : "running";
}

static void write_rule(const wn_rule *rule, wn_json *json) {
  if (!rule->promote && !rule->roll_back) return;
  wn_json_key(json, "rule");
  wn_json_object(json);
  wn_json_key(json, "promote");
  wn_json_bool(json, rule->promote);
  wn_json_key(json, "roll_back");
  wn_json_bool(json, rule->roll_back);
  put_number(json, "every_minutes", rule->every_minutes);
  put_int(json, "min_units", (int64_t)rule->min_units);
  wn_json_end_object(json);
}

static void write_declared(const wn_experiment *e, const wn_ledger_entry *entry, wn_json *json) {
  wn_json_object(json);
  put_text(json, "name", e->name);
  put_text(json, "state", state_of(e));
  if (e->promoted != 0) put_text(json, "promoted", e->arms[e->promoted - 1].name);
  put_text(json, "source", e->by_api ? "api" : "file");
  put_text(json, "mode", wn_mode_names[e->mode]);
  put_text(json, "unit", e->unit == WN_UNIT_USER ? "user" : "session");
  put_number(json, "traffic", e->traffic);
  put_int(json, "started_ms", entry != NULL ? entry->started_ms : 0);
  put_int(json, "stopped_ms", entry != NULL ? entry->stopped_ms : 0);
  put_int(json, "planned_units", (int64_t)e->planned_units);
  put_number(json, "alpha", e->alpha);
  if (e->group[0] != '\0') put_text(json, "group", e->group);
  wn_json_key(json, "surfaces");
  wn_json_array(json);
  for (size_t s = 0; s < e->surfaces_len; s++) wn_json_cstring(json, e->surfaces[s]);
  wn_json_end_array(json);
  wn_json_key(json, "arms");
  wn_json_array(json);
  for (size_t a = 0; a < e->arms_len; a++) write_arm(&e->arms[a], json);
  wn_json_end_array(json);
  wn_json_key(json, "metrics");
  wn_json_array(json);
  for (size_t m = 0; m < e->metrics_len; m++) write_metric(&e->metrics[m], json);
  wn_json_end_array(json);
  write_rule(&e->rule, json);
  wn_json_end_object(json);
}

wn_status wn_route_experiments(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_ledger ledger = {0};
  wn_json json;
  wn_policy *policy = wn_engine_policy(http->engine);
  const wn_experiments *all = &policy->experiments;
  WN_TRY(no_query(http, err));
  WN_TRY(wn_ledger_read(wn_engine_dir(http->engine), &ledger, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "experiments");
  wn_json_array(&json);
  for (size_t i = 0; i < all->len; i++)
    write_declared(&all->data[i], wn_ledger_find(&ledger, all->data[i].name), &json);
  wn_json_end_array(&json);
  wn_json_end_object(&json);
cleanup:
  wn_policy_unref(policy);
  wn_ledger_clear(&ledger);
  return status;
}

static wn_status find(const wn_policy *policy, wn_str name, const wn_experiment **out,
                      wn_error *err) {
  *out = wn_experiments_find(&policy->experiments, name);
  if (*out != NULL) return WN_OK;
  return wn_fail(err, WN_E_NOT_FOUND, "experiment", "no experiment \"%.*s\" is declared",
                 name.len > 64 ? 64 : WN_STR_ARG(name));
}

wn_status wn_route_experiment(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_outcome outcome = {0};
  wn_experiment_verdict verdict;
  wn_json json;
  const wn_experiment *e = NULL;
  wn_policy *policy = wn_engine_policy(http->engine);
  WN_TRY(no_query(http, err));
  WN_TRY(find(policy, http->id, &e, err));
  WN_TRY(wn_experiment_look(wn_engine_store(http->engine), wn_engine_dir(http->engine), e, &outcome,
                            &verdict, err));
  wn_json_init(&json, &http->out);
  wn_experiment_verdict_to_json(e, &outcome, &verdict, &json);
cleanup:
  wn_policy_unref(policy);
  wn_outcome_clear(&outcome);
  return status;
}

wn_status wn_route_experiment_course(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_json json;
  const wn_experiment *e = NULL;
  wn_policy *policy = wn_engine_policy(http->engine);
  WN_TRY(no_query(http, err));
  WN_TRY(find(policy, http->id, &e, err));
  wn_json_init(&json, &http->out);
  WN_TRY(wn_experiment_course(wn_engine_store(http->engine), wn_engine_dir(http->engine), e, &json,
                              err));
cleanup:
  wn_policy_unref(policy);
  return status;
}

/* ---- changes ---- */

static wn_status read_body(wn_http *http, json_t **out, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(no_query(http, err));
  WN_TRY(wn_json_parse(http->body, 1, out, err));
  if (!json_is_object(*out)) status = wn_fail(err, WN_E_FORMAT, "body", "expected an object");
cleanup:
  return status;
}

/* The only members that a body may have. */
static wn_status only(const json_t *body, const char *const *names, wn_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)(uintptr_t)body, key, value) {
    size_t i = 0;
    while (names[i] != NULL && strcmp(names[i], key) != 0) i++;
    if (names[i] == NULL)
      return wn_fail(err, WN_E_ARGUMENT, key, "unknown member; known here: %s%s%s", names[0],
                     names[1] != NULL ? ", " : "", names[1] != NULL ? names[1] : "");
  }
  return WN_OK;
}

/* As it is declared now. */
static wn_status answer_declared(wn_http *http, wn_str name, wn_error *err) {
  wn_status status = WN_OK;
  wn_ledger ledger = {0};
  wn_json json;
  const wn_experiment *e = NULL;
  wn_policy *policy = wn_engine_policy(http->engine);
  WN_TRY(find(policy, name, &e, err));
  WN_TRY(wn_ledger_read(wn_engine_dir(http->engine), &ledger, err));
  wn_json_init(&json, &http->out);
  write_declared(e, wn_ledger_find(&ledger, e->name), &json);
cleanup:
  wn_policy_unref(policy);
  wn_ledger_clear(&ledger);
  return status;
}

static wn_status change(wn_http *http, const wn_experiment_change *what, wn_error *err) {
  wn_status status = wn_engine_change_experiment(http->engine, what, err);
  return status == WN_OK ? answer_declared(http, what->name, err) : status;
}

wn_status wn_route_experiment_declare(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  json_t *body = NULL;
  wn_str name = {0};
  WN_TRY(read_body(http, &body, err));
  const json_t *given = json_object_get(body, "name");
  if (!json_is_string(given))
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "name", "the experiment's name is missing"));
  name = wn_arena_str(&http->arena, (wn_str){json_string_value(given), json_string_length(given)});
  if (name.ptr == NULL) WN_TRY(wn_fail_memory(err));
  if (name.len == 0 || name.len > WN_NAME_MAX)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "name", "must have 1 to %d bytes", WN_NAME_MAX));
  (void)json_object_del(body, "name");
  if (json_object_get(body, "arms") == NULL &&
      json_object_set_new(body, "arms", json_object()) != 0)
    WN_TRY(wn_fail_memory(err));
  wn_experiment_change what = {.kind = WN_DECLARE_NEW, .name = name, .body = body};
  WN_TRY(change(http, &what, err));
  http->http = 201;
cleanup:
  json_decref(body);
  return status;
}

wn_status wn_route_experiment_patch(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  json_t *body = NULL;
  WN_TRY(read_body(http, &body, err));
  wn_experiment_change what = {.kind = WN_DECLARE_PATCH, .name = http->id, .body = body};
  WN_TRY(change(http, &what, err));
cleanup:
  json_decref(body);
  return status;
}

wn_status wn_route_experiment_delete(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_experiment_change what = {.kind = WN_DECLARE_FORGET, .name = http->id};
  WN_TRY(no_query(http, err));
  WN_TRY(wn_engine_change_experiment(http->engine, &what, err));
  http->http = 204;
cleanup:
  return status;
}

wn_status wn_route_experiment_ramp(wn_http *http, wn_error *err) {
  static const char *const known[] = {"traffic", NULL};
  wn_status status = WN_OK;
  json_t *body = NULL;
  WN_TRY(read_body(http, &body, err));
  WN_TRY(only(body, known, err));
  if (!json_is_number(json_object_get(body, "traffic")))
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "traffic", "must be a number, 0 to 1"));
  wn_experiment_change what = {
      .kind = WN_DECLARE_PATCH, .name = http->id, .body = body, .running = true};
  WN_TRY(change(http, &what, err));
cleanup:
  json_decref(body);
  return status;
}

wn_status wn_route_experiment_stop(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(no_query(http, err));
  WN_TRY(wn_engine_stop_experiment(http->engine, http->id, err));
  WN_TRY(answer_declared(http, http->id, err));
cleanup:
  return status;
}

/* What speaks against giving everybody this arm, but for `force`. */
static wn_status may_promote(wn_http *http, const wn_experiment *e, size_t arm, wn_error *err) {
  wn_status status = WN_OK;
  wn_outcome outcome = {0};
  wn_experiment_verdict verdict;
  char why[300];
  if (arm == 0) return WN_OK; /* the control: everything stays as it is */
  WN_TRY(wn_experiment_look(wn_engine_store(http->engine), wn_engine_dir(http->engine), e, &outcome,
                            &verdict, err));
  if (!wn_experiment_won(e, &verdict, arm, why, sizeof why))
    status =
        wn_fail(err, WN_E_CONFLICT, "arm", "%s; `\"force\": true` promotes it all the same", why);
cleanup:
  wn_outcome_clear(&outcome);
  return status;
}

wn_status wn_route_experiment_promote(wn_http *http, wn_error *err) {
  static const char *const known[] = {"arm", "force", NULL};
  wn_status status = WN_OK;
  json_t *body = NULL;
  const wn_experiment *e = NULL;
  wn_policy *policy = wn_engine_policy(http->engine);
  size_t arm = 0;
  WN_TRY(read_body(http, &body, err));
  WN_TRY(only(body, known, err));
  WN_TRY(find(policy, http->id, &e, err));
  const char *name = json_string_value(json_object_get(body, "arm"));
  while (name != NULL && arm < e->arms_len && strcmp(name, e->arms[arm].name) != 0) arm++;
  if (name == NULL || arm == e->arms_len)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "arm", "must be an arm of this experiment"));
  if (!json_is_true(json_object_get(body, "force"))) WN_TRY(may_promote(http, e, arm, err));
  WN_TRY(wn_engine_promote(http->engine, e, arm, err));
  WN_TRY(answer_declared(http, http->id, err));
cleanup:
  json_decref(body);
  wn_policy_unref(policy);
  return status;
}
