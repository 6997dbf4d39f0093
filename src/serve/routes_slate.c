/* Slates and neighbours: the reading half of the API. */
#include "serve/answer_json.h"
#include "serve/server_internal.h"

#include "store/catalog.h"

#include <string.h>

/* exclude=a,b&exclude=c → all ids. A comma in an id needs the POST form. */
static wn_status query_exclude(wn_http *http, wn_slate_request *out, wn_error *err) {
  size_t count = 0;
  for (size_t i = 0; i < http->query.len; i++) {
    wn_str value = http->query.params[i].value;
    count += 1;
    for (size_t j = 0; j < value.len; j++) count += value.ptr[j] == ',';
  }
  wn_str *ids = wn_arena_calloc(&http->arena, count, sizeof *ids);
  if (ids == NULL) return wn_fail_memory(err);
  size_t len = 0;
  for (size_t i = 0; i < http->query.len; i++) {
    if (!wn_str_is(http->query.params[i].name, "exclude")) continue;
    wn_str rest = http->query.params[i].value;
    while (rest.len > 0) {
      const char *comma = memchr(rest.ptr, ',', rest.len);
      size_t id_len = comma != NULL ? (size_t)(comma - rest.ptr) : rest.len;
      if (id_len > 0) ids[len++] = (wn_str){rest.ptr, id_len};
      size_t skip = comma != NULL ? id_len + 1 : id_len;
      rest = (wn_str){rest.ptr + skip, rest.len - skip};
    }
  }
  out->exclude = ids;
  out->exclude_len = len;
  return WN_OK;
}

static wn_status query_slate(wn_http *http, const char *const *allowed, wn_slate_request *out,
                             wn_error *err) {
  wn_status status = WN_OK;
  int64_t n = 0;
  const wn_query_string *query = &http->query;
  WN_TRY(wn_query_check(query, allowed, "exclude", err));
  WN_TRY(wn_query_int(query, "n", 1, WN_SLATE_MAX, &n, err));
  WN_TRY(wn_query_bool(query, "explain", &out->explain, err));
  WN_TRY(query_exclude(http, out, err));
  out->user = wn_query_get(query, "user");
  out->session = wn_query_get(query, "session");
  out->filter = wn_query_get(query, "filter");
  out->context = wn_query_get(query, "context");
  out->n = (uint32_t)n;
cleanup:
  return status;
}

static wn_status check_key(wn_str key, const char *field, wn_error *err) {
  return key.ptr == NULL ? WN_OK : wn_key_check(key, field, err);
}

/* The user's, item's and session's form; the engine looks after the rest. */
static wn_status check_request(const wn_slate_request *request, wn_error *err) {
  wn_status status = WN_OK;
  WN_TRY(check_key(request->user, "user", err));
  WN_TRY(check_key(request->item, "item", err));
  WN_TRY(check_key(request->session, "session", err));
  for (size_t i = 0; i < request->exclude_len; i++)
    WN_TRY(check_key(request->exclude[i], "exclude", err));
  for (size_t i = 0; i < request->why_len; i++) WN_TRY(check_key(request->why[i], "why", err));
cleanup:
  return status;
}

static wn_status serve_slate(wn_http *http, wn_slate_request *request, wn_error *err) {
  wn_status status = WN_OK;
  wn_slate_answer answer = {.len = 0};
  request->log = request->hold = true;
  WN_TRY(check_request(request, err));
  WN_TRY(wn_engine_slate(http->engine, request, &http->arena, &answer, err));
  wn_slate_answer_to_json(&answer, &http->out);
  if (answer.unlogged != NULL) { /* the answer waits until it is stored */
    http->batch.ops = answer.unlogged;
    http->batch.count = 1;
  }
  wn_metrics_stages(http->server->metrics, &answer.stages);
  wn_metrics_slate(http->server->metrics, answer.surface, answer.personal, answer.len);
  wn_shown_slate(http->server->shown, &answer);
  wn_drift_slate(http->server->drift, &answer);
cleanup:
  return status;
}

wn_status wn_route_slate_get(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"user",    "item",    "session", "n", "filter",
                                        "exclude", "explain", "context", NULL};
  wn_status status = WN_OK;
  wn_slate_request request = {.surface = http->id};
  WN_TRY(query_slate(http, allowed, &request, err));
  request.item = wn_query_get(&http->query, "item");
  WN_TRY(serve_slate(http, &request, err));
cleanup:
  return status;
}

wn_status wn_route_slate_post(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  wn_slate_request request = {.surface = http->id};
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  WN_TRY(wn_body_to_slate(http->body, &http->arena, &request, err));
  WN_TRY(serve_slate(http, &request, err));
cleanup:
  return status;
}

/* What would be shown now, and how it came about; nothing is logged, no feed moves on. */
wn_status wn_route_explain(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  wn_slate_request request = {.surface = http->id, .look = true};
  wn_slate_answer answer = {.len = 0};
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  WN_TRY(wn_body_to_slate(http->body, &http->arena, &request, err));
  WN_TRY(check_request(&request, err));
  WN_TRY(wn_engine_slate(http->engine, &request, &http->arena, &answer, err));
  answer.slate_id[0] = '\0'; /* it was not shown: no event can answer to it */
  wn_slate_answer_to_json(&answer, &http->out);
cleanup:
  return status;
}

wn_status wn_route_slate_done(wn_http *http, wn_error *err) {
  const wn_op *op = &http->batch.ops[0];
  if (op->status == WN_OK) return WN_OK;
  return wn_fail(err, op->status, op->field, "%s", op->reason);
}

wn_status wn_route_item_similar(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"n",       "filter",  "user", "exclude",
                                        "explain", "context", NULL};
  wn_status status = WN_OK;
  wn_slate_request request = {.surface = WN_STR("similar"), .item = http->id};
  WN_TRY(query_slate(http, allowed, &request, err));
  status = serve_slate(http, &request, err);
  /* On this route the item is the path's id. */
  if (status != WN_OK && err != NULL && strcmp(err->field, "item") == 0) strcpy(err->field, "id");
cleanup:
  return status;
}

wn_status wn_route_user_similar(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"n", NULL};
  wn_status status = WN_OK;
  int64_t n = 10;
  wn_neighbour_list users;
  wn_json json;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(wn_query_int(&http->query, "n", 1, WN_SLATE_MAX, &n, err));
  status = wn_engine_similar_users(http->engine, http->id, (uint32_t)n, &http->arena, &users, err);
  if (status != WN_OK && err != NULL && strcmp(err->field, "user") == 0) strcpy(err->field, "id");
  if (status != WN_OK) goto cleanup;
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "user");
  wn_json_string(&json, http->id);
  wn_json_key(&json, "users");
  wn_json_array(&json);
  for (size_t i = 0; i < users.len; i++) {
    wn_json_object(&json);
    wn_json_key(&json, "id");
    wn_json_string(&json, users.data[i].id);
    wn_json_key(&json, "score");
    wn_json_float(&json, users.data[i].score);
    wn_json_end_object(&json);
  }
  wn_json_end_array(&json);
  wn_json_end_object(&json);
cleanup:
  return status;
}

wn_status wn_route_surfaces(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  static const char *const flavours[] = {"flat", "personal", "feed"};
  wn_status status = WN_OK;
  wn_json json;
  wn_policy *policy = wn_engine_policy(http->engine);
  const wn_surfaces *surfaces = &policy->surfaces;
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "surfaces");
  wn_json_array(&json);
  for (size_t i = 0; i < surfaces->len; i++) {
    wn_json_object(&json);
    wn_json_key(&json, "name");
    wn_json_cstring(&json, surfaces->data[i].name);
    wn_json_key(&json, "flavour");
    wn_json_cstring(&json, flavours[surfaces->data[i].flavour]);
    wn_json_key(&json, "n");
    wn_json_int(&json, surfaces->data[i].n);
    wn_json_end_object(&json);
  }
  wn_json_end_array(&json);
  wn_json_end_object(&json);
cleanup:
  wn_policy_unref(policy);
  return status;
}
