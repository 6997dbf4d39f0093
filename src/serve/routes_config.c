/* The configuration: what serves, what a draft would change, replacing it, its history. */
#include "serve/server_internal.h"

#include "serve/preview.h"
#include "serve/surface_json.h"
#include "serve/text_diff.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PREVIEW_USERS 100

/* What PUT, preview and revert are sent. */
typedef struct config_body {
  json_t *json; /* the texts are its own */
  wn_str text;
  const char *comment, *surface;
  uint64_t based_on, users, seed;
} config_body;

static wn_status no_query(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  return wn_query_check(&http->query, none, NULL, err);
}

static wn_status check_members(json_t *json, const char *const *allowed, wn_error *err) {
  const char *key;
  json_t *value;
  json_object_foreach(json, key, value) {
    size_t i = 0;
    while (allowed[i] != NULL && strcmp(allowed[i], key) != 0) i++;
    if (allowed[i] == NULL)
      return wn_fail(err, WN_E_ARGUMENT, key,
                     "is not known; known: text, based_on, comment, "
                     "surface, users, seed, each where it is documented");
  }
  return WN_OK;
}

static wn_status read_text(const json_t *json, const char *name, size_t size, const char **out,
                           wn_error *err) {
  const json_t *value = json_object_get(json, name);
  if (value == NULL || json_is_null(value)) return WN_OK;
  if (!json_is_string(value) || json_string_length(value) >= size)
    return wn_fail(err, WN_E_ARGUMENT, name, "must be a text of at most %zu bytes", size - 1);
  *out = json_string_value(value);
  return WN_OK;
}

static wn_status read_number(const json_t *json, const char *name, uint64_t *out, wn_error *err) {
  const json_t *value = json_object_get(json, name);
  if (value == NULL || json_is_null(value)) return WN_OK;
  if (!json_is_integer(value) || json_integer_value(value) < 0)
    return wn_fail(err, WN_E_ARGUMENT, name, "must be a whole number");
  *out = (uint64_t)json_integer_value(value);
  return WN_OK;
}

static wn_status read_body(wn_http *http, const char *const *allowed, config_body *out,
                           wn_error *err) {
  wn_status status = WN_OK;
  const char *text = NULL;
  *out = (config_body){.comment = "", .users = PREVIEW_USERS, .seed = 1};
  WN_TRY(no_query(http, err));
  WN_TRY(wn_json_parse(http->body, 1, &out->json, err));
  if (!json_is_object(out->json)) WN_TRY(wn_fail(err, WN_E_FORMAT, "body", "expected an object"));
  WN_TRY(check_members(out->json, allowed, err));
  WN_TRY(read_text(out->json, "text", WN_CONFIG_BYTES_MAX + 1, &text, err));
  WN_TRY(read_text(out->json, "comment", sizeof(wn_config_version){0}.comment, &out->comment, err));
  WN_TRY(read_text(out->json, "surface", WN_NAME_MAX + 1, &out->surface, err));
  WN_TRY(read_number(out->json, "based_on", &out->based_on, err));
  WN_TRY(read_number(out->json, "users", &out->users, err));
  WN_TRY(read_number(out->json, "seed", &out->seed, err));
  if (text != NULL) out->text = wn_str_of(text);
  if (strcmp(allowed[0], "text") == 0 && text == NULL)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "text", "is missing: the whole configuration"));
  if (strcmp(allowed[1], "based_on") == 0 && out->based_on == 0)
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "based_on",
                   "is missing: the number of the version that was looked at"));
cleanup:
  return status;
}

/* ---- what is told ---- */

static void put_int(wn_json *json, const char *key, uint64_t value) {
  wn_json_key(json, key);
  wn_json_int(json, (int64_t)value);
}

static void put_text(wn_json *json, const char *key, const char *value) {
  wn_json_key(json, key);
  wn_json_string(json, value[0] != '\0' ? wn_str_of(value) : (wn_str){NULL, 0});
}

/* Its members, into an open object. */
static void put_version(wn_json *json, const wn_config_version *v) {
  char hash[17];
  snprintf(hash, sizeof hash, "%016" PRIx64, v->hash);
  put_int(json, "version", v->number);
  put_int(json, "time_ms", (uint64_t)v->time_ms);
  put_text(json, "author", v->author);
  put_text(json, "kind", v->kind);
  put_text(json, "comment", v->comment);
  put_text(json, "hash", hash);
  wn_json_key(json, "of");
  if (v->of > 0)
    wn_json_int(json, (int64_t)v->of);
  else
    wn_json_null(json);
  put_int(json, "bytes", v->bytes);
}

/* A text may be empty, and is one all the same. */
static void put_buf(wn_json *json, const char *key, const wn_buf *buf) {
  wn_json_key(json, key);
  wn_json_string(json, (wn_str){buf->len > 0 ? buf->data : "", buf->len});
}

static void put_surfaces(wn_json *json, const wn_policy *policy) {
  wn_json_key(json, "surfaces");
  wn_json_array(json);
  for (size_t i = 0; i < policy->surfaces.len; i++)
    wn_surface_to_json(&policy->surfaces.data[i], json);
  wn_json_end_array(json);
}

wn_status wn_route_config_get(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_live_state state = {.policy = NULL};
  wn_json json;
  WN_TRY(no_query(http, err));
  WN_TRY(wn_live_get(http->server->live, &state, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  put_version(&json, &state.version);
  put_text(&json, "file", state.file);
  put_buf(&json, "text", &state.text);
  wn_json_key(&json, "file_text");
  if (state.differs)
    wn_json_string(&json,
                   (wn_str){state.on_disk.len > 0 ? state.on_disk.data : "", state.on_disk.len});
  else
    wn_json_null(&json);
  put_surfaces(&json, state.policy);
  wn_json_end_object(&json);
cleanup:
  wn_live_state_clear(&state);
  return status;
}

static void write_result(wn_http *http, const wn_live_result *result) {
  wn_json json;
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  put_version(&json, &result->version);
  wn_json_key(&json, "changed");
  wn_json_bool(&json, !result->same);
  wn_json_key(&json, "waits_for");
  wn_json_array(&json);
  if ((result->waits & WN_WAITS_TRAINING) != 0) wn_json_cstring(&json, "training");
  if ((result->waits & WN_WAITS_START) != 0) wn_json_cstring(&json, "start");
  wn_json_end_array(&json);
  wn_json_end_object(&json);
}

wn_status wn_route_config_put(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"text", "based_on", "comment", NULL};
  wn_status status = WN_OK;
  config_body body;
  wn_live_result result;
  WN_TRY(read_body(http, allowed, &body, err));
  const wn_live_edit edit = {.text = body.text,
                             .based_on = body.based_on,
                             .author = wn_http_actor(http),
                             .comment = body.comment};
  WN_TRY(wn_live_put(http->server->live, &edit, &result, err));
  write_result(http, &result);
cleanup:
  json_decref(body.json);
  return status;
}

/* ---- preview ---- */

/* Every surface of either, with what becomes of it. */
static void put_changes(wn_json *json, const wn_policy *from, const wn_policy *to) {
  wn_json_key(json, "changes");
  wn_json_object(json);
  for (size_t i = 0; i < to->surfaces.len; i++) {
    const char *name = to->surfaces.data[i].name;
    put_text(json, name, wn_change_names[wn_policy_surface_change(from, to, name)]);
  }
  for (size_t i = 0; i < from->surfaces.len; i++) {
    const char *name = from->surfaces.data[i].name;
    wn_change change = wn_policy_surface_change(from, to, name);
    if (change == WN_CHANGE_REMOVED) put_text(json, name, wn_change_names[change]);
  }
  wn_json_end_object(json);
}

/* The first that changes. */
static const char *first_change(const wn_policy *from, const wn_policy *to) {
  for (size_t i = 0; i < to->surfaces.len; i++)
    if (wn_policy_surface_change(from, to, to->surfaces.data[i].name) != WN_CHANGE_NONE)
      return to->surfaces.data[i].name;
  for (size_t i = 0; i < from->surfaces.len; i++)
    if (wn_policy_surface_change(from, to, from->surfaces.data[i].name) == WN_CHANGE_REMOVED)
      return from->surfaces.data[i].name;
  return NULL;
}

static wn_status write_preview(wn_http *http, const config_body *body, const wn_policy *from,
                               const wn_policy *to, wn_error *err) {
  wn_status status = WN_OK;
  wn_json json;
  const char *surface = body->surface != NULL ? body->surface : first_change(from, to);
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  put_changes(&json, from, to);
  put_surfaces(&json, to);
  wn_json_key(&json, "preview");
  if (surface == NULL || body->users == 0) {
    wn_json_null(&json);
  } else {
    const wn_preview_ask ask = {.from = from,
                                .to = to,
                                .surface = surface,
                                .users =
                                    body->users > UINT32_MAX ? UINT32_MAX : (uint32_t)body->users,
                                .seed = body->seed};
    WN_TRY(wn_preview(http->engine, &ask, &json, err));
  }
  wn_json_end_object(&json);
cleanup:
  if (status != WN_OK) wn_buf_reset(&http->out);
  return status;
}

wn_status wn_route_config_preview(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"text", "surface", "users", "seed", NULL};
  wn_status status = WN_OK;
  config_body body;
  wn_policy *from = wn_engine_policy(http->engine), *to = NULL;
  WN_TRY(read_body(http, allowed, &body, err));
  WN_TRY(wn_live_draft(http->server->live, body.text, &to, err));
  WN_TRY(write_preview(http, &body, from, to, err));
cleanup:
  wn_policy_unref(from);
  wn_policy_unref(to);
  json_decref(body.json);
  return status;
}

/* ---- history ---- */

wn_status wn_route_config_history(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_config_history history = {NULL, 0};
  wn_json json;
  WN_TRY(no_query(http, err));
  WN_TRY(wn_config_history_read(wn_engine_dir(http->engine), &history, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "versions");
  wn_json_array(&json);
  for (size_t i = history.len; i-- > 0;) {
    wn_json_object(&json);
    put_version(&json, &history.data[i]);
    wn_json_end_object(&json);
  }
  wn_json_end_array(&json);
  wn_json_end_object(&json);
cleanup:
  wn_config_history_clear(&history);
  return status;
}

static wn_status read_id(wn_str text, const char *field, uint64_t *out, wn_error *err) {
  int64_t number = 0;
  if (!wn_parse_int64(text, &number) || number < 1)
    return wn_fail(err, WN_E_ARGUMENT, field, "must be the number of a version");
  *out = (uint64_t)number;
  return WN_OK;
}

/* The version that the path names, with its text. */
static wn_status find_version(wn_http *http, wn_config_version *out, wn_buf *text, wn_error *err) {
  wn_status status = WN_OK;
  wn_config_history history = {NULL, 0};
  uint64_t number = 0;
  WN_TRY(read_id(http->id, "number", &number, err));
  WN_TRY(wn_config_history_read(wn_engine_dir(http->engine), &history, err));
  const wn_config_version *found = wn_config_history_find(&history, number);
  if (found == NULL)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "number", "there is no version %" PRIu64, number));
  *out = *found;
  WN_TRY(wn_config_history_text(wn_engine_dir(http->engine), number, text, err));
cleanup:
  wn_config_history_clear(&history);
  return status;
}

wn_status wn_route_config_version(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"against", NULL};
  wn_status status = WN_OK;
  wn_config_version version;
  wn_buf text = {0}, other = {0}, diff = {0};
  uint64_t against = 0;
  wn_json json;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(find_version(http, &version, &text, err));
  /* Without it: what this version changed. */
  wn_str asked = wn_query_get(&http->query, "against");
  if (asked.ptr != NULL) WN_TRY(read_id(asked, "against", &against, err));
  if (asked.ptr == NULL) against = version.number - 1;
  if (against > 0)
    WN_TRY(wn_config_history_text(wn_engine_dir(http->engine), against, &other, err));
  WN_TRY(wn_text_diff((wn_str){other.data, other.len}, (wn_str){text.data, text.len}, &diff, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  put_version(&json, &version);
  put_buf(&json, "text", &text);
  put_int(&json, "against", against);
  put_buf(&json, "diff", &diff);
  wn_json_end_object(&json);
cleanup:
  wn_buf_clear(&text);
  wn_buf_clear(&other);
  wn_buf_clear(&diff);
  return status;
}

wn_status wn_route_config_revert(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"comment", "based_on", NULL};
  wn_status status = WN_OK;
  config_body body;
  wn_config_version version;
  wn_live_result result;
  wn_buf text = {0};
  WN_TRY(read_body(http, allowed, &body, err));
  WN_TRY(find_version(http, &version, &text, err));
  const wn_live_edit edit = {.text = {text.data, text.len},
                             .based_on = body.based_on,
                             .author = wn_http_actor(http),
                             .comment = body.comment,
                             .revert_of = version.number};
  WN_TRY(wn_live_put(http->server->live, &edit, &result, err));
  write_result(http, &result);
cleanup:
  wn_buf_clear(&text);
  json_decref(body.json);
  return status;
}
