/* Training on demand, and what becomes of it. */
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
