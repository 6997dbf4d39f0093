#include "cli/simulate_client.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX ((size_t)16 << 20)
#define SECONDS_MAX      60L

struct wn_sim_client {
  CURL *curl;
  struct curl_slist *headers, clock; /* clock stands before them, once it is told */
  char url[512], now[64];
  wn_buf answer;
};

static size_t take(char *data, size_t size, size_t count, void *ctx) {
  wn_sim_client *c = ctx;
  if (c->answer.len + size * count > ANSWER_BYTES_MAX) return 0;
  wn_buf_append(&c->answer, data, size * count);
  return c->answer.failed ? 0 : size * count;
}

wn_status wn_sim_client_create(const char *url, const char *key, wn_sim_client **out,
                               wn_error *err) {
  char header[1200];
  *out = NULL;
  wn_sim_client *c = wn_calloc(1, sizeof *c);
  if (c == NULL) return wn_fail_memory(err);
  snprintf(c->url, sizeof c->url, "%s", url);
  c->curl = curl_easy_init();
  c->headers = curl_slist_append(NULL, "Content-Type: application/json");
  if (key != NULL && c->headers != NULL) {
    snprintf(header, sizeof header, "Authorization: Bearer %s", key);
    c->headers = curl_slist_append(c->headers, header);
  }
  if (c->curl == NULL || c->headers == NULL) {
    wn_sim_client_free(c);
    return wn_fail_memory(err);
  }
  curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take);
  curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
  curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, c->headers);
  curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, SECONDS_MAX);
  curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
  *out = c;
  return WN_OK;
}

void wn_sim_client_free(wn_sim_client *c) {
  if (c == NULL) return;
  curl_slist_free_all(c->headers);
  curl_easy_cleanup(c->curl);
  wn_buf_clear(&c->answer);
  wn_free(c);
}

wn_status wn_sim_clock(wn_sim_client *c, int64_t ms, wn_error *err) {
  snprintf(c->now, sizeof c->now, "Winnow-Now: %" PRId64, ms);
  c->clock = (struct curl_slist){c->now, c->headers};
  if (curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, &c->clock) == CURLE_OK) return WN_OK;
  return wn_fail_memory(err);
}

static wn_status ask(wn_sim_client *c, const char *path, wn_error *err) {
  char url[1024];
  long code = 0;
  snprintf(url, sizeof url, "%s%s", c->url, path);
  wn_buf_reset(&c->answer);
  curl_easy_setopt(c->curl, CURLOPT_URL, url);
  CURLcode done = curl_easy_perform(c->curl);
  if (done != CURLE_OK)
    return wn_fail(err, WN_E_IO, "url", "%.300s: %s", url, curl_easy_strerror(done));
  curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &code);
  if (code == 200) return WN_OK;
  return wn_fail(err, WN_E_IO, "url", "%.300s answered %ld: %.*s", url, code,
                 (int)(c->answer.len < 300 ? c->answer.len : 300),
                 c->answer.data != NULL ? c->answer.data : "");
}

wn_status wn_sim_post(wn_sim_client *c, const char *path, const wn_buf *json, wn_error *err) {
  if (json->failed) return wn_fail_memory(err);
  curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)json->len);
  curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, json->data);
  return ask(c, path, err);
}

static uint32_t number_of(const char *id) {
  char *end = NULL;
  if (id == NULL || strncmp(id, "sim-i", 5) != 0) return UINT32_MAX;
  unsigned long number = strtoul(id + 5, &end, 10);
  return *end == '\0' && number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
}

static void read_slate(const json_t *root, const char *experiment, wn_sim_slate *out) {
  const char *arm = experiment == NULL ? "all" : NULL;
  const char *id = json_string_value(json_object_get(root, "slate"));
  const json_t *items = json_object_get(root, "items");
  if (experiment != NULL)
    arm = json_string_value(json_object_get(json_object_get(root, "arms"), experiment));
  snprintf(out->id, sizeof out->id, "%s", id != NULL ? id : "");
  snprintf(out->arm, sizeof out->arm, "%s", arm != NULL ? arm : "-");
  out->len = json_array_size(items) < WN_SIM_SLATE_MAX ? json_array_size(items) : WN_SIM_SLATE_MAX;
  for (size_t k = 0; k < out->len; k++)
    out->items[k] = number_of(json_string_value(json_object_get(json_array_get(items, k), "id")));
}

wn_status wn_sim_get(wn_sim_client *c, const char *path, json_t **out, wn_error *err) {
  wn_status status = WN_OK;
  *out = NULL;
  curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
  WN_TRY(ask(c, path, err));
  *out = json_loadb(c->answer.data, c->answer.len, 0, NULL);
  if (!json_is_object(*out)) {
    json_decref(*out);
    *out = NULL;
    status = wn_fail(err, WN_E_IO, "url", "%s%s is not answered by JSON", c->url, path);
  }
cleanup:
  return status;
}

wn_status wn_sim_slate_get(wn_sim_client *c, const wn_sim_ask *ask, wn_sim_slate *out,
                           wn_error *err) {
  char path[256], n[32] = "";
  json_t *root = NULL;
  if (ask->n > 0) snprintf(n, sizeof n, "&n=%" PRIu32, ask->n);
  snprintf(path, sizeof path, "/v1/surfaces/%.100s/slate?user=sim-u%" PRIu32 "%s", ask->surface,
           ask->user, n);
  wn_status status = wn_sim_get(c, path, &root, err);
  if (status == WN_OK) read_slate(root, ask->experiment, out);
  json_decref(root);
  return status;
}
