#include "cli/http_client.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <stdio.h>

#define ANSWER_BYTES_MAX ((size_t)16 << 20)
#define SECONDS_MAX      60L

struct wn_http_client {
  CURL *curl;
  struct curl_slist *headers, extra; /* that stands before them, once it is set */
  char url[512], extra_text[256];
  wn_buf answer;
};

static size_t take(char *data, size_t size, size_t count, void *ctx) {
  wn_http_client *c = ctx;
  if (c->answer.len + size * count > ANSWER_BYTES_MAX) return 0;
  wn_buf_append(&c->answer, data, size * count);
  return c->answer.failed ? 0 : size * count;
}

wn_status wn_http_client_create(const char *url, const char *key, wn_http_client **out,
                                wn_error *err) {
  char header[1200];
  *out = NULL;
  wn_http_client *c = wn_calloc(1, sizeof *c);
  if (c == NULL) return wn_fail_memory(err);
  snprintf(c->url, sizeof c->url, "%s", url);
  c->curl = curl_easy_init();
  c->headers = curl_slist_append(NULL, "Content-Type: application/json");
  if (key != NULL && c->headers != NULL) {
    snprintf(header, sizeof header, "Authorization: Bearer %s", key);
    c->headers = curl_slist_append(c->headers, header);
  }
  if (c->curl == NULL || c->headers == NULL) {
    wn_http_client_free(c);
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

void wn_http_client_free(wn_http_client *c) {
  if (c == NULL) return;
  curl_slist_free_all(c->headers);
  curl_easy_cleanup(c->curl);
  wn_buf_clear(&c->answer);
  wn_free(c);
}

wn_status wn_http_header(wn_http_client *c, const char *header, wn_error *err) {
  snprintf(c->extra_text, sizeof c->extra_text, "%s", header);
  c->extra = (struct curl_slist){c->extra_text, c->headers};
  return curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, &c->extra) == CURLE_OK ? WN_OK
                                                                              : wn_fail_memory(err);
}

static wn_status ask(wn_http_client *c, const char *path, wn_str *body, wn_error *err) {
  char url[1024];
  long code = 0;
  snprintf(url, sizeof url, "%s%s", c->url, path);
  wn_buf_reset(&c->answer);
  curl_easy_setopt(c->curl, CURLOPT_URL, url);
  CURLcode done = curl_easy_perform(c->curl);
  if (done != CURLE_OK)
    return wn_fail(err, WN_E_IO, "url", "%.300s: %s", url, curl_easy_strerror(done));
  curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &code);
  *body = (wn_str){c->answer.data != NULL ? c->answer.data : "", c->answer.len};
  if (code == 200) return WN_OK;
  return wn_fail(err, WN_E_IO, "url", "%.300s answered %ld: %.*s", url, code,
                 (int)(body->len < 300 ? body->len : 300), body->ptr);
}

wn_status wn_http_get(wn_http_client *c, const char *path, wn_str *body, wn_error *err) {
  curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
  return ask(c, path, body, err);
}

wn_status wn_http_post_json(wn_http_client *c, const char *path, const wn_buf *json, wn_str *body,
                            wn_error *err) {
  if (json->failed) return wn_fail_memory(err);
  curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)json->len);
  curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, json->data);
  return ask(c, path, body, err);
}
