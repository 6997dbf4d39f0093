/* RFC 9457. The type is a URN: stable, comparable, and honest about not being a web page. */
#include "serve/problem.h"

#include <string.h>

/* The statuses that this server sends, with their reason phrases (RFC 9110 §15). */
static const struct {
  int http;
  const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {507, "Insufficient Storage"},
};

const char *wn_http_reason(int http) {
  for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
    if (reasons[i].http == http) return reasons[i].reason;
  return "Unknown";
}

wn_problem wn_problem_of(const wn_error *err) {
  return (wn_problem){.http = wn_status_http(err->status),
                      .type = wn_status_text(err->status),
                      .title = wn_status_text(err->status),
                      .err = err,
                      .index = -1};
}

wn_problem wn_problem_http(int http, const wn_error *err) {
  const char *reason = wn_http_reason(http);
  return (wn_problem){.http = http, .type = reason, .title = reason, .err = err, .index = -1};
}

/* "Method Not Allowed" → "urn:winnow:problem:method-not-allowed" */
static void write_type(wn_json *json, const char *words) {
  char urn[96] = "urn:winnow:problem:";
  size_t len = strlen(urn);
  for (; *words != '\0' && len + 1 < sizeof urn; words++) {
    char c = *words;
    bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a'), letter = true;
    urn[len++] = letter ? c : '-';
  }
  urn[len] = '\0';
  wn_json_key(json, "type");
  wn_json_cstring(json, urn);
}

static void write_number(wn_json *json, const char *key, long value, bool present) {
  if (!present) return;
  wn_json_key(json, key);
  wn_json_int(json, value);
}

void wn_problem_write(const wn_problem *problem, wn_buf *out) {
  wn_json json;
  const wn_error *err = problem->err;
  wn_json_init(&json, out);
  wn_json_object(&json);
  write_type(&json, problem->type);
  wn_json_key(&json, "title");
  wn_json_cstring(&json, problem->title);
  write_number(&json, "status", problem->http, true);
  if (err != NULL && err->message[0] != '\0') {
    wn_json_key(&json, "detail");
    wn_json_cstring(&json, err->message);
  }
  if (err != NULL && err->field[0] != '\0') {
    wn_json_key(&json, "field");
    wn_json_cstring(&json, err->field);
  }
  write_number(&json, "index", problem->index, problem->index >= 0);
  if (err != NULL) write_number(&json, "line", err->line, err->line > 0);
  if (err != NULL) write_number(&json, "column", err->column, err->column > 0);
  wn_json_end_object(&json);
}
