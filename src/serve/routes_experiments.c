/* Experiments: what is declared, and what it shows. */
#include "serve/server_internal.h"

#include "lab/ledger.h"
#include "lab/verdict.h"

static wn_status no_query(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  return wn_query_check(&http->query, none, NULL, err);
}

static void write_declared(const wn_experiment *e, const wn_ledger_entry *entry, wn_json *json) {
  wn_json_object(json);
  wn_json_key(json, "name");
  wn_json_cstring(json, e->name);
  wn_json_key(json, "state");
  wn_json_cstring(json, e->stopped ? "stopped" : "running");
  wn_json_key(json, "unit");
  wn_json_cstring(json, e->unit == WN_UNIT_USER ? "user" : "session");
  wn_json_key(json, "traffic");
  wn_json_double(json, e->traffic);
  wn_json_key(json, "started_ms");
  wn_json_int(json, entry != NULL ? entry->started_ms : 0);
  wn_json_key(json, "surfaces");
  wn_json_array(json);
  for (size_t s = 0; s < e->surfaces_len; s++) wn_json_cstring(json, e->surfaces[s]);
  wn_json_end_array(json);
  wn_json_key(json, "arms");
  wn_json_array(json);
  for (size_t a = 0; a < e->arms_len; a++) {
    wn_json_object(json);
    wn_json_key(json, "name");
    wn_json_cstring(json, e->arms[a].name);
    wn_json_key(json, "share");
    wn_json_double(json, e->arms[a].share);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
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

wn_status wn_route_experiment(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_outcome outcome = {0};
  wn_experiment_verdict verdict;
  wn_json json;
  wn_policy *policy = wn_engine_policy(http->engine);
  const wn_experiments *all = &policy->experiments;
  const wn_experiment *e = wn_experiments_find(all, http->id);
  WN_TRY(no_query(http, err));
  if (e == NULL)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "experiment", "no experiment \"%.*s\" is declared",
                   http->id.len > 64 ? 64 : WN_STR_ARG(http->id)));
  WN_TRY(wn_experiment_look(wn_engine_store(http->engine), wn_engine_dir(http->engine), e, &outcome,
                            &verdict, err));
  wn_json_init(&json, &http->out);
  wn_experiment_verdict_to_json(e, &outcome, &verdict, &json);
cleanup:
  wn_policy_unref(policy);
  wn_outcome_clear(&outcome);
  return status;
}
