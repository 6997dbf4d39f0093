/* What operators and newcomers ask: health, metrics, the API's description, the front page. */
#include "serve/answer_json.h"
#include "serve/openapi.h"
#include "serve/server_internal.h"

static wn_status no_query(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  return wn_query_check(&http->query, none, NULL, err);
}

wn_status wn_route_health(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_json json;
  WN_TRY(no_query(http, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "status");
  wn_json_cstring(&json, "ok");
  wn_json_key(&json, "version");
  wn_json_cstring(&json, WINNOW_VERSION);
  wn_json_end_object(&json);
cleanup:
  return status;
}

static void write_stats(const wn_engine_stats *stats, wn_buf *out) {
  wn_json json;
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "status");
  wn_json_cstring(&json, "ready");
  wn_answer_model(&json, stats->snapshot);
  wn_json_key(&json, "users");
  wn_json_int(&json, stats->users);
  wn_json_key(&json, "items");
  wn_json_int(&json, stats->items);
  wn_json_key(&json, "items_servable");
  wn_json_int(&json, stats->items_servable);
  wn_json_key(&json, "last_seq");
  wn_json_int(&json, (int64_t)stats->last_seq);
  wn_json_end_object(&json);
}

wn_status wn_route_ready(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_engine_stats stats;
  WN_TRY(no_query(http, err));
  wn_engine_stats_get(http->engine, &stats);
  if (atomic_load(&http->server->draining))
    WN_TRY(wn_fail(err, WN_E_NOT_READY, "", "the server is stopping"));
  if (!stats.writable)
    WN_TRY(wn_fail(err, WN_E_NOT_READY, "", "the store takes no more writes; restart the server"));
  if (stats.commits.last != WN_OK)
    WN_TRY(wn_fail(err, WN_E_NOT_READY, "", "the last commit failed: %s",
                   wn_status_text(stats.commits.last)));
  write_stats(&stats, &http->out);
cleanup:
  return status;
}

wn_status wn_route_metrics(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_engine_stats stats;
  wn_server *server = http->server;
  WN_TRY(no_query(http, err));
  wn_engine_stats_get(http->engine, &stats);
  wn_trainer_status training;
  wn_trainer_status_get(server->trainer, &training);
  wn_metrics_gauges gauges = {.training = &training,
                              .shown = server->shown,
                              .alerts = server->alerts,
                              .connections = atomic_load(&server->conn_count),
                              .requests_running = wn_conn_running(server),
                              .request_bytes = atomic_load(&server->memory),
                              .draining = atomic_load(&server->draining),
                              .started_ms = server->started_ms};
  wn_metrics_render(server->metrics, &stats, &gauges, &http->out);
  http->content_type = "text/plain; version=0.0.4; charset=utf-8";
cleanup:
  return status;
}

wn_status wn_route_openapi(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(no_query(http, err));
  http->out_static = true;
  http->static_out = wn_openapi_json();
cleanup:
  return status;
}

wn_status wn_route_landing(wn_http *http, wn_error *err) {
  static const char page[] =
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>Winnow</title>\n"
      "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}"
      "code{background:#8882;padding:.1em .3em}</style>\n"
      "<h1>Winnow</h1>\n"
      "<p>A recommender engine, version " WINNOW_VERSION ". This address is its HTTP API: send it "
      "events and items, ask it for slates.</p>\n"
      "<ul>\n"
      "<li><a href=\"/v1/surfaces\">surfaces</a>: what can be asked for</li>\n"
      "<li><a href=\"/v1/surfaces/popular/slate?n=10\">a sample slate</a>: the ten most popular "
      "items</li>\n"
      "<li><a href=\"/openapi.json\">openapi.json</a>: every route, its parameters and its "
      "answers</li>\n"
      "<li><a href=\"/readyz\">readyz</a>, <a href=\"/healthz\">healthz</a>: is it serving, is it "
      "alive</li>\n"
      "<li><a href=\"/metrics\">metrics</a>: in Prometheus' text format</li>\n"
      "</ul>\n"
      "<p>This binary was built without the web console (it needs npm: cmake -DWINNOW_CONSOLE=ON)."
      "</p>\n"
      "<p>An event, so that the next slate knows it:</p>\n"
      "<pre><code>curl -H 'Content-Type: application/json' \\\n"
      "  -d '{\"user\":\"me\",\"item\":\"ID\",\"type\":\"view\"}' ADDRESS/v1/events\n"
      "curl 'ADDRESS/v1/surfaces/home/slate?user=me'</code></pre>\n</html>\n";
  wn_status status = WN_OK;
  WN_TRY(no_query(http, err));
  http->out_static = true;
  http->static_out = (wn_str){page, sizeof page - 1};
  http->content_type = "text/html; charset=utf-8";
  http->csp = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; "
              "base-uri 'none'; form-action 'none'";
cleanup:
  return status;
}

/* Runs on the thread that looks for snapshots: verifying one can take seconds. */
wn_status wn_route_refresh(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(no_query(http, err));
  http->refresh = true;
cleanup:
  return status;
}

wn_status wn_route_refresh_done(wn_http *http, wn_error *err) {
  wn_engine_stats stats;
  wn_json json;
  (void)err;
  wn_engine_stats_get(http->engine, &stats);
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "swapped");
  wn_json_bool(&json, http->swapped);
  wn_answer_model(&json, stats.snapshot);
  wn_json_end_object(&json);
  return WN_OK;
}
