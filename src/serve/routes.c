/* The table of routes: the one place that says what the server answers to. /openapi.json is
 * checked against it by tests/api/test_openapi.py and tests/serve/test_routes.c. */
#include "serve/http.h"

#include <string.h>

const char *const wn_method_names[WN_METHODS] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

const wn_route wn_routes[] = {
    {"/v1/surfaces/{surface}/slate",
     {[WN_GET] = {.handle = wn_route_slate_get, .finish = wn_route_slate_done},
      [WN_POST] = {.handle = wn_route_slate_post,
                   .finish = wn_route_slate_done,
                   .body = true,
                   .scope = WN_SCOPE_READ}}},
    {"/v1/surfaces/{surface}/explain",
     {[WN_POST] =
          {.handle = wn_route_explain, .body = true, .slow = true, .scope = WN_SCOPE_READ}}},
    {"/v1/events",
     {[WN_POST] =
          {.handle = wn_route_events, .finish = wn_route_events_done, .body = true, .bulk = true}}},
    {"/v1/items/{id}/similar",
     {[WN_GET] = {.handle = wn_route_item_similar, .finish = wn_route_slate_done}}},
    {"/v1/users/{id}/similar", {[WN_GET] = {.handle = wn_route_user_similar}}},
    {"/v1/items/{id}/stats", {[WN_GET] = {.handle = wn_route_item_stats, .slow = true}}},
    {"/v1/archive",
     {[WN_POST] = {.handle = wn_route_archive, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/drift", {[WN_GET] = {.handle = wn_route_drift}}},
    {"/v1/digest", {[WN_GET] = {.handle = wn_route_digest, .slow = true}}},
    {"/v1/snapshots", {[WN_GET] = {.handle = wn_route_snapshots, .slow = true}}},
    {"/v1/snapshots/{number}/serve",
     {[WN_POST] = {.handle = wn_route_snapshot_serve,
                   .finish = wn_route_refresh_done,
                   .slow = true,
                   .scope = WN_SCOPE_ADMIN}}},
    {"/v1/config",
     {[WN_GET] = {.handle = wn_route_config_get, .slow = true, .scope = WN_SCOPE_ADMIN},
      [WN_PUT] =
          {.handle = wn_route_config_put, .body = true, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/config/preview",
     {[WN_POST] = {.handle = wn_route_config_preview,
                   .body = true,
                   .slow = true,
                   .scope = WN_SCOPE_ADMIN}}},
    {"/v1/config/history",
     {[WN_GET] = {.handle = wn_route_config_history, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/config/history/{number}",
     {[WN_GET] = {.handle = wn_route_config_version, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/config/history/{number}/revert",
     {[WN_POST] =
          {.handle = wn_route_config_revert, .body = true, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/runs", {[WN_GET] = {.handle = wn_route_runs, .slow = true}}},
    {"/v1/runs/{id}", {[WN_GET] = {.handle = wn_route_run, .slow = true}}},
    {"/v1/runs/{id}/report",
     {[WN_GET] = {.handle = wn_route_run_report, .slow = true, .produces = "text/html"}}},
    {"/v1/audit", {[WN_GET] = {.handle = wn_route_audit, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/map", {[WN_GET] = {.handle = wn_route_map, .slow = true}}},
    {"/v1/stats", {[WN_GET] = {.handle = wn_route_stats, .slow = true}}},
    {"/v1/users/{id}/history", {[WN_GET] = {.handle = wn_route_user_history}}},
    {"/v1/items/{id}",
     {[WN_GET] = {.handle = wn_route_item_get},
      [WN_PUT] = {.handle = wn_route_item_put, .finish = wn_route_record_done, .body = true},
      [WN_PATCH] = {.handle = wn_route_item_patch, .finish = wn_route_record_done, .body = true},
      [WN_DELETE] = {.handle = wn_route_item_delete, .finish = wn_route_record_done}}},
    {"/v1/users/{id}",
     {[WN_GET] = {.handle = wn_route_user_get},
      [WN_PUT] = {.handle = wn_route_user_put, .finish = wn_route_record_done, .body = true},
      [WN_PATCH] = {.handle = wn_route_user_patch, .finish = wn_route_record_done, .body = true},
      [WN_DELETE] = {.handle = wn_route_user_delete,
                     .finish = wn_route_record_done,
                     .audited = true}}},
    {"/v1/items",
     {[WN_GET] = {.handle = wn_route_items_find, .slow = true},
      [WN_POST] =
          {.handle = wn_route_items, .finish = wn_route_records_done, .body = true, .bulk = true}}},
    {"/v1/users",
     {[WN_GET] = {.handle = wn_route_users_find, .slow = true},
      [WN_POST] =
          {.handle = wn_route_users, .finish = wn_route_records_done, .body = true, .bulk = true}}},
    {"/v1/surfaces", {[WN_GET] = {.handle = wn_route_surfaces}}},
    {"/v1/experiments",
     {[WN_GET] = {.handle = wn_route_experiments},
      [WN_POST] = {.handle = wn_route_experiment_declare,
                   .body = true,
                   .slow = true,
                   .scope = WN_SCOPE_ADMIN}}},
    {"/v1/experiments/{experiment}",
     {[WN_GET] = {.handle = wn_route_experiment, .slow = true},
      [WN_PATCH] = {.handle = wn_route_experiment_patch,
                    .body = true,
                    .slow = true,
                    .scope = WN_SCOPE_ADMIN},
      [WN_DELETE] = {.handle = wn_route_experiment_delete, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/experiments/{experiment}/course",
     {[WN_GET] = {.handle = wn_route_experiment_course, .slow = true}}},
    {"/v1/experiments/{experiment}/ramp",
     {[WN_POST] = {.handle = wn_route_experiment_ramp,
                   .body = true,
                   .slow = true,
                   .scope = WN_SCOPE_ADMIN}}},
    {"/v1/experiments/{experiment}/stop",
     {[WN_POST] = {.handle = wn_route_experiment_stop, .slow = true, .scope = WN_SCOPE_ADMIN}}},
    {"/v1/experiments/{experiment}/promote",
     {[WN_POST] = {.handle = wn_route_experiment_promote,
                   .body = true,
                   .slow = true,
                   .scope = WN_SCOPE_ADMIN}}},
    {"/v1/scatter", {[WN_GET] = {.handle = wn_route_scatter, .slow = true}}},
    {"/v1/admin/refresh",
     {[WN_POST] = {.handle = wn_route_refresh,
                   .finish = wn_route_refresh_done,
                   .scope = WN_SCOPE_ADMIN}}},
    {"/v1/train",
     {[WN_GET] = {.handle = wn_route_train_get},
      [WN_POST] = {.handle = wn_route_train_post, .scope = WN_SCOPE_ADMIN},
      [WN_DELETE] = {.handle = wn_route_train_delete, .scope = WN_SCOPE_ADMIN}}},
    {"/healthz", {[WN_GET] = {.handle = wn_route_health, .scope = WN_SCOPE_OPEN}}},
    {"/readyz", {[WN_GET] = {.handle = wn_route_ready, .scope = WN_SCOPE_OPEN}}},
    {"/metrics", {[WN_GET] = {.handle = wn_route_metrics, .produces = "text/plain"}}},
    {"/openapi.json", {[WN_GET] = {.handle = wn_route_openapi, .scope = WN_SCOPE_OPEN}}},
    {"/",
     {[WN_GET] = {.handle = wn_route_console_page,
                  .produces = "text/html",
                  .scope = WN_SCOPE_OPEN}}},
    {"/console/{asset}",
     {[WN_GET] = {.handle = wn_route_console_asset,
                  .produces = "text/javascript",
                  .scope = WN_SCOPE_OPEN}}},
    {.path = NULL},
};

_Static_assert(sizeof wn_routes / sizeof wn_routes[0] <= WN_METRIC_ROUTES_MAX,
               "each route needs its counters");

size_t wn_route_count(void) {
  return sizeof wn_routes / sizeof wn_routes[0] - 1;
}

size_t wn_route_find(const wn_target *target, wn_str *captured, char *name) {
  for (size_t i = 0; wn_routes[i].path != NULL; i++) {
    *captured = (wn_str){NULL, 0};
    if (wn_target_matches(target, wn_routes[i].path, captured, name)) return i;
  }
  return SIZE_MAX;
}

void wn_route_allow(const wn_route *route, char *buf, size_t size) {
  wn_buf text = {0};
  for (size_t m = 0; m < WN_METHODS; m++) {
    if (route->actions[m].handle == NULL) continue;
    if (text.len > 0) wn_buf_str(&text, ", ");
    wn_buf_str(&text, wn_method_names[m]);
    if (m == WN_GET) wn_buf_str(&text, ", HEAD");
  }
  size_t len = text.len < size - 1 ? text.len : size - 1;
  if (len > 0) memcpy(buf, text.data, len);
  buf[len] = '\0';
  wn_buf_clear(&text);
}
