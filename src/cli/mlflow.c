/* MLflow's REST API: experiments/get-by-name and create, runs/create, runs/log-batch (at most 1,000
 * metrics, 100 parameters and 100 tags a call; keys of letters, digits and "_-. /" alone; values up
 * to 6,000 bytes, of which older servers take 500), runs/update. */
#include "cli/mlflow.h"

#include "base/mem.h"
#include "base/str.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX ((size_t)4 << 20)
#define SECONDS_MAX      30L
#define METRICS_MAX      500
#define PARAMS_MAX       100
#define VALUE_BYTES_MAX  500
#define URL_ROOM         2048

struct wn_mlflow {
  CURL *curl;
  struct curl_slist *headers;
  char url[URL_ROOM];
  char experiment[65];
  wn_buf answer;
};

static size_t take(char *data, size_t size, size_t count, void *ctx) {
  wn_mlflow *m = ctx;
  if (m->answer.len + size * count > ANSWER_BYTES_MAX) return 0;
  wn_buf_append(&m->answer, data, size * count);
  return m->answer.failed ? 0 : size * count;
}

static wn_status refused(const wn_mlflow *m, const char *call, long code, const json_t *answer,
                         wn_error *err) {
  const char *why = json_string_value(json_object_get(answer, "message"));
  return wn_fail(err, WN_E_IO, "to", "%.200s answered %s with status %ld%s%.200s", m->url, call,
                 code, why != NULL ? ": " : "", why != NULL ? why : "");
}

/* `body` NULL: GET. *missing (may be NULL): the server says that there is no such thing. */
static wn_status request(wn_mlflow *m, const char *call, const json_t *body, json_t **answer,
                         bool *missing, wn_error *err) {
  char url[2 * URL_ROOM];
  long code = 0;
  char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
  if (body != NULL && text == NULL) return wn_fail_memory(err);
  snprintf(url, sizeof url, "%s/api/2.0/mlflow/%s", m->url, call);
  wn_buf_reset(&m->answer);
  curl_easy_setopt(m->curl, CURLOPT_URL, url);
  if (text != NULL)
    curl_easy_setopt(m->curl, CURLOPT_POSTFIELDS, text);
  else
    curl_easy_setopt(m->curl, CURLOPT_HTTPGET, 1L);
  CURLcode done = curl_easy_perform(m->curl);
  free(text);
  if (done != CURLE_OK)
    return wn_fail(err, WN_E_IO, "to", "%.200s: %s", m->url, curl_easy_strerror(done));
  curl_easy_getinfo(m->curl, CURLINFO_RESPONSE_CODE, &code);
  *answer = json_loadb(m->answer.data != NULL ? m->answer.data : "", m->answer.len, 0, NULL);
  if (missing != NULL) *missing = code == 404;
  if ((missing != NULL && code == 404) || (code == 200 && *answer != NULL)) return WN_OK;
  wn_status status = refused(m, call, code, *answer, err);
  json_decref(*answer);
  *answer = NULL;
  return status;
}

/* --- the server --- */

static wn_status set_up(wn_mlflow *m, wn_error *err) {
  const char *token = getenv("MLFLOW_TRACKING_TOKEN"), *user = getenv("MLFLOW_TRACKING_USERNAME");
  const char *password = getenv("MLFLOW_TRACKING_PASSWORD");
  m->curl = curl_easy_init();
  m->headers = curl_slist_append(NULL, "Content-Type: application/json");
  if (m->curl == NULL || m->headers == NULL) return wn_fail_memory(err);
  curl_easy_setopt(m->curl, CURLOPT_HTTPHEADER, m->headers);
  curl_easy_setopt(m->curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(m->curl, CURLOPT_WRITEDATA, m);
  curl_easy_setopt(m->curl, CURLOPT_TIMEOUT, SECONDS_MAX);
  curl_easy_setopt(m->curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(m->curl, CURLOPT_PROTOCOLS_STR, "http,https");
  if (token != NULL) {
    curl_easy_setopt(m->curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(m->curl, CURLOPT_XOAUTH2_BEARER, token);
  } else if (user != NULL) {
    curl_easy_setopt(m->curl, CURLOPT_USERNAME, user);
    if (password != NULL) curl_easy_setopt(m->curl, CURLOPT_PASSWORD, password);
  }
  return WN_OK;
}

static wn_status copy_id(const json_t *id, char out[65], const char *call, wn_error *err) {
  const char *text = json_string_value(id);
  if (text == NULL || strlen(text) > 64)
    return wn_fail(err, WN_E_FORMAT, "to", "the answer to %s holds no id", call);
  snprintf(out, 65, "%s", text);
  return WN_OK;
}

static wn_status find_experiment(wn_mlflow *m, const char *name, wn_error *err) {
  json_t *answer = NULL, *body = NULL;
  bool missing = false;
  char call[URL_ROOM];
  wn_status status;
  char *escaped = curl_easy_escape(m->curl, name, 0);
  if (escaped == NULL) return wn_fail_memory(err);
  snprintf(call, sizeof call, "experiments/get-by-name?experiment_name=%.1500s", escaped);
  curl_free(escaped);
  WN_TRY(request(m, call, NULL, &answer, &missing, err));
  if (!missing) {
    status = copy_id(json_object_get(json_object_get(answer, "experiment"), "experiment_id"),
                     m->experiment, "get-by-name", err);
    goto cleanup;
  }
  json_decref(answer);
  answer = NULL;
  body = json_pack("{s:s}", "name", name);
  if (body == NULL) WN_TRY(wn_fail(err, WN_E_ARGUMENT, "experiment", "must be UTF-8"));
  WN_TRY(request(m, "experiments/create", body, &answer, NULL, err));
  WN_TRY(copy_id(json_object_get(answer, "experiment_id"), m->experiment, "create", err));
cleanup:
  json_decref(answer);
  json_decref(body);
  return status;
}

wn_status wn_mlflow_open(const char *url, const char *experiment, wn_mlflow **out, wn_error *err) {
  wn_status status;
  size_t len = strlen(url);
  *out = NULL;
  while (len > 0 && url[len - 1] == '/') len--;
  if (len == 0 || len >= URL_ROOM - 1)
    return wn_fail(err, WN_E_ARGUMENT, "to", "must be an address like http://localhost:5000");
  wn_mlflow *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  snprintf(m->url, sizeof m->url, "%.*s", (int)len, url);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  WN_TRY(set_up(m, err));
  WN_TRY(find_experiment(m, experiment, err));
  *out = m;
  m = NULL;
cleanup:
  wn_mlflow_close(m);
  return status;
}

void wn_mlflow_close(wn_mlflow *m) {
  if (m == NULL) return;
  curl_slist_free_all(m->headers);
  if (m->curl != NULL) curl_easy_cleanup(m->curl);
  wn_buf_clear(&m->answer);
  wn_free(m);
}

/* --- a run --- */

/* What MLflow takes as a key: recall@20 becomes recall_at_20. */
static void key_of(const char *name, char out[250]) {
  size_t len = 0;
  for (; *name != '\0' && len < 245; name++) {
    bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                 (*name >= '0' && *name <= '9') || strchr("_-. /", *name) != NULL;
    if (*name == '@')
      len += (size_t)snprintf(out + len, 5, "_at_");
    else
      out[len++] = plain ? *name : '_';
  }
  out[len] = '\0';
}

static json_t *pair(const char *key, const char *value) {
  char safe[250], cut[VALUE_BYTES_MAX + 1];
  size_t len = strlen(value);
  key_of(key, safe);
  if (len > VALUE_BYTES_MAX) len = VALUE_BYTES_MAX;
  while (len > 0 && len < strlen(value) && ((unsigned char)value[len] & 0xC0) == 0x80) len--;
  memcpy(cut, value, len);
  cut[len] = '\0';
  return json_pack("{s:s, s:s}", "key", safe, "value", cut);
}

static json_t *tags_of(const json_t *run) {
  static const char *const texts[] = {"kind", "version", "config_hash"};
  json_t *tags = json_array(), *value;
  const char *key;
  (void)json_array_append_new(tags,
                              pair("winnow.run", json_string_value(json_object_get(run, "id"))));
  for (size_t i = 0; i < 3; i++) {
    const char *text = json_string_value(json_object_get(run, texts[i]));
    char name[40];
    snprintf(name, sizeof name, "winnow.%s", texts[i]);
    if (text != NULL) (void)json_array_append_new(tags, pair(name, text));
  }
  json_object_foreach(json_object_get(run, "hashes"), key, value) if (json_is_string(value))(void)
      json_array_append_new(tags, pair(key, json_string_value(value)));
  json_object_foreach(json_object_get(run, "tags"), key,
                      value) if (json_is_string(value) && strncmp(key, "mlflow:", 7) != 0)(void)
      json_array_append_new(tags, pair(key, json_string_value(value)));
  return tags;
}

/* Sends what is gathered and empties it. */
static wn_status flush(wn_mlflow *m, const char *id, json_t *metrics, json_t *params,
                       wn_error *err) {
  json_t *answer = NULL;
  json_t *body = json_pack("{s:s, s:O, s:O}", "run_id", id, "metrics", metrics, "params", params);
  if (body == NULL) return wn_fail_memory(err);
  wn_status status = request(m, "runs/log-batch", body, &answer, NULL, err);
  json_decref(body);
  json_decref(answer);
  json_array_clear(metrics);
  json_array_clear(params);
  return status;
}

static wn_status send_values(wn_mlflow *m, const char *id, const json_t *run, wn_error *err) {
  static const char *const plain[] = {"seconds", "cpu_seconds", "peak_bytes"};
  json_t *metrics = json_array(), *params = json_array(), *value;
  json_int_t time = json_integer_value(json_object_get(run, "started_ms"));
  const char *key;
  char safe[250];
  wn_status status = WN_OK;
  json_object_foreach(json_object_get(run, "params"), key, value) {
    (void)json_array_append_new(params, pair(key, json_string_value(value)));
    if (json_array_size(params) >= PARAMS_MAX) WN_TRY(flush(m, id, metrics, params, err));
  }
  for (size_t i = 0; i < 3; i++)
    (void)json_array_append_new(metrics,
                                json_pack("{s:s, s:f, s:I, s:i}", "key", plain[i], "value",
                                          json_number_value(json_object_get(run, plain[i])),
                                          "timestamp", time, "step", 0));
  json_object_foreach(json_object_get(run, "metrics"), key, value) {
    key_of(key, safe);
    (void)json_array_append_new(metrics,
                                json_pack("{s:s, s:f, s:I, s:i}", "key", safe, "value",
                                          json_number_value(value), "timestamp", time, "step", 0));
    if (json_array_size(metrics) >= METRICS_MAX) WN_TRY(flush(m, id, metrics, params, err));
  }
  WN_TRY(flush(m, id, metrics, params, err));
cleanup:
  json_decref(metrics);
  json_decref(params);
  return status;
}

wn_status wn_mlflow_send(wn_mlflow *m, const json_t *run, char id[65], wn_error *err) {
  json_t *answer = NULL, *body;
  json_int_t started = json_integer_value(json_object_get(run, "started_ms"));
  double seconds = json_number_value(json_object_get(run, "seconds"));
  wn_status status;
  body = json_pack("{s:s, s:s, s:I, s:o}", "experiment_id", m->experiment, "run_name",
                   json_string_value(json_object_get(run, "id")), "start_time", started, "tags",
                   tags_of(run));
  if (body == NULL) return wn_fail_memory(err);
  WN_TRY(request(m, "runs/create", body, &answer, NULL, err));
  const json_t *info = json_object_get(json_object_get(answer, "run"), "info");
  WN_TRY(copy_id(json_object_get(info, "run_id"), id, "runs/create", err));
  WN_TRY(send_values(m, id, run, err));
  json_decref(answer);
  answer = NULL;
  json_decref(body);
  body = json_pack("{s:s, s:s, s:I}", "run_id", id, "status", "FINISHED", "end_time",
                   started + (json_int_t)(seconds * 1000));
  if (body == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(request(m, "runs/update", body, &answer, NULL, err));
cleanup:
  json_decref(answer);
  json_decref(body);
  return status;
}
