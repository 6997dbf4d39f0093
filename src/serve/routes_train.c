/* Training on demand, and what becomes of it. */
#include "serve/answer_json.h"
#include "serve/server_internal.h"

static wn_status answer_status(wn_http *http) {
  wn_trainer_status status;
  wn_trainer_status_get(http->server->trainer, &status);
  wn_trainer_status_json(&status, &http->out);
  return WN_OK;
}

wn_status wn_route_train_get(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = wn_query_check(&http->query, none, NULL, err);
  return status == WN_OK ? answer_status(http) : status;
}

wn_status wn_route_drift(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_drift_report r;
  wn_json json;
  wn_status status = wn_query_check(&http->query, none, NULL, err);
  if (status != WN_OK) return status;
  wn_drift_report_get(http->server->drift, &r);
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_answer_model(&json, r.snapshot);
  wn_json_key(&json, "events");
  wn_json_int(&json, (int64_t)r.events);
  wn_json_key(&json, "threshold");
  wn_json_double(&json,
                 (double)wn_engine_config(http->engine)->alerts.thresholds[WN_ALERT_drift_psi]);
  wn_json_key(&json, "psi");
  wn_json_object(&json);
  for (int k = 0; k < WN_DRIFT_COUNT; k++) {
    wn_json_key(&json, wn_drift_name((wn_drift_kind)k));
    wn_json_double(&json, r.psi[k]); /* null: unknown */
  }
  wn_json_end_object(&json);
  wn_json_end_object(&json);
  return WN_OK;
}

wn_status wn_route_train_post(wn_http *http, wn_error *err) {
  static const char *const known[] = {"cold", "force", NULL};
  wn_status status = WN_OK;
  wn_training_ask ask = {0};
  WN_TRY(wn_query_check(&http->query, known, NULL, err));
  WN_TRY(wn_query_bool(&http->query, "cold", &ask.cold, err));
  WN_TRY(wn_query_bool(&http->query, "force", &ask.force, err));
  WN_TRY(wn_trainer_ask(http->server->trainer, ask, err));
  http->http = 202;
  status = answer_status(http);
cleanup:
  return status;
}

wn_status wn_route_train_delete(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  WN_TRY(wn_trainer_cancel(http->server->trainer, err));
  http->http = 202;
  status = answer_status(http);
cleanup:
  return status;
}
