/* The life of a request under libmicrohttpd: first line → headers → body → handler → (commit,
 * while the connection is suspended) → answer. The handler of a large body runs on a thread of its
 * own, with the connection suspended already.
 *
 * Traps of 0.9.75 that shape this file: answering on the first call of the access handler closes
 * the connection (so only requests whose end cannot be trusted are answered there); no answer can
 * be queued while body bytes are being handed over (a refused body is read and dropped first); the
 * URL that it decodes has lost %2F and %00 (so the raw one is kept, in wn_http_on_url). */
#include "serve/server_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define POOL_MAX       64
#define KEPT_BYTES_MAX ((size_t)256 << 10)

wn_status wn_http_bad(wn_http *http, int status_http, wn_error *err, const char *field,
                      const char *format, ...) {
  char message[256];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  http->problem_http = status_http;
  return wn_fail(err, WN_E_ARGUMENT, field, "%s", message);
}

/* Pool ------------------------------------------------------------------------------ */

static wn_http *http_take(wn_server *server) {
  pthread_mutex_lock(&server->pool_lock);
  wn_http *http = server->pool;
  if (http != NULL) {
    server->pool = http->next;
    server->pool_len--;
  }
  pthread_mutex_unlock(&server->pool_lock);
  if (http == NULL) {
    http = wn_calloc(1, sizeof *http);
    if (http == NULL) return NULL;
    wn_arena_init(&http->arena, WN_HTTP_ARENA_BYTES_MAX);
  }
  wn_arena arena = http->arena;
  wn_buf out = http->out, body = http->body_buf;
  memset(http, 0, offsetof(wn_http, url));
  http->arena = arena;
  http->out = out;
  http->body_buf = body;
  http->server = server;
  http->engine = server->engine;
  http->http = 200;
  http->content_type = "application/json";
  http->index = -1;
  http->route = SIZE_MAX;
  return http;
}

void wn_http_free(wn_http *http) {
  wn_arena_clear(&http->arena);
  wn_buf_clear(&http->out);
  wn_buf_clear(&http->body_buf);
  wn_free(http);
}

static void reset_buf(wn_buf *buf) {
  if (buf->cap > KEPT_BYTES_MAX || buf->failed) {
    wn_buf_clear(buf);
    *buf = (wn_buf){0};
  } else {
    wn_buf_reset(buf);
  }
}

static void http_give(wn_server *server, wn_http *http) {
  wn_arena_reset(&http->arena);
  http->arena.used_bytes_max = WN_HTTP_ARENA_BYTES_MAX;
  reset_buf(&http->out);
  reset_buf(&http->body_buf);
  if (http->charged > 0) (void)wn_server_charge(server, &http->charged, 0);
  pthread_mutex_lock(&server->pool_lock);
  bool keep = server->pool_len < POOL_MAX;
  if (keep) {
    http->next = server->pool;
    server->pool = http;
    server->pool_len++;
  }
  pthread_mutex_unlock(&server->pool_lock);
  if (!keep) wn_http_free(http);
}

/* Answers --------------------------------------------------------------------------- */

static void write_problem(wn_http *http, const wn_error *err) {
  wn_problem problem =
      http->problem_http != 0 ? wn_problem_http(http->problem_http, err) : wn_problem_of(err);
  problem.index = http->index;
  http->http = problem.http;
  http->content_type = "application/problem+json";
  http->out_static = false;
  http->csp = http->cache_control = http->etag = http->encoding = NULL;
  wn_buf_reset(&http->out);
  wn_problem_write(&problem, &http->out);
  if (problem.http >= 500 && problem.http != 503)
    wn_log(WN_LOG_ERROR, "request failed: request=%s url=%.200s status=%d reason=%s",
           http->request_id, http->url, problem.http, err->message);
}

static wn_str answer_body(wn_http *http) {
  static const char memory[] =
      "{\"type\":\"urn:winnow:problem:out-of-memory\",\"title\":\"out of memory\",\"status\":503}";
  if (http->out_static) return http->static_out;
  if (!http->out.failed) return (wn_str){http->out.data, http->out.len};
  http->http = 503;
  http->content_type = "application/problem+json";
  return (wn_str){memory, sizeof memory - 1};
}

static void add_headers(const wn_http *http, struct MHD_Response *response) {
  if (http->http != 204)
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, http->content_type);
  (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                                http->cache_control != NULL ? http->cache_control : "no-store");
  if (http->etag != NULL) (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, http->etag);
  if (http->etag != NULL)
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
  if (http->encoding != NULL)
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, http->encoding);
  (void)MHD_add_response_header(response, MHD_HTTP_HEADER_X_CONTENT_TYPE_OPTIONS, "nosniff");
  if (http->csp != NULL)
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_SECURITY_POLICY, http->csp);
  if (http->http == 405)
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, http->allow);
  if (http->http == 401)
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
  if (http->http == 503 || http->http == 429) {
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", http->retry_after > 0 ? http->retry_after : 1);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
  }
  (void)MHD_add_response_header(response, "X-Request-Id", http->request_id);
  wn_http_cors_headers(http, response);
  if (http->close || atomic_load(&http->server->draining))
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

/* The body stays ours until wn_http_on_completed: libmicrohttpd reads it from here. */
static enum MHD_Result queue_answer(wn_http *http) {
  wn_str body = answer_body(http);
  if (http->http == 204 || http->http == 304) body.len = 0;
  if (!wn_conn_move(http->conn, WN_PHASE_WRITING, http->server->config->idle_seconds_max))
    return MHD_NO;
  struct MHD_Response *response = MHD_create_response_from_buffer(
      body.len, (void *)(uintptr_t)body.ptr, MHD_RESPMEM_PERSISTENT);
  if (response == NULL) return MHD_NO;
  add_headers(http, response);
  http->step = WN_STEP_DONE;
  wn_http_audit(http);
  enum MHD_Result result = MHD_queue_response(http->connection, (unsigned)http->http, response);
  MHD_destroy_response(response);
  uint64_t ns = http->begun_ns != 0 ? wn_mono_ns() - http->begun_ns : 0;
  size_t route = http->route != SIZE_MAX ? http->route : wn_route_count();
  wn_metrics_request(http->server->metrics, route, http->http, ns);
  return result;
}

/* Headers --------------------------------------------------------------------------- */

typedef struct header_walk {
  wn_http *http;
  wn_framing framing;
  bool encoded; /* Content-Encoding other than identity */
  bool content_type;
  char now[40]; /* Winnow-Now */
} header_walk;

static void copy_header(char *to, size_t size, wn_str value) {
  size_t len = value.len < size - 1 ? value.len : size - 1;
  memcpy(to, value.ptr, len);
  to[len] = '\0';
}

static enum MHD_Result walk_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                   size_t key_len, const char *text, size_t text_len) {
  header_walk *walk = cls;
  (void)kind;
  wn_str name = {key, key_len}, value = {text != NULL ? text : "", text != NULL ? text_len : 0};
  wn_framing_header(&walk->framing, name, value);
  if (wn_str_is_ci(name, "content-type")) {
    walk->content_type = true;
    if (!wn_media_type(value, walk->http->content_type_in, sizeof walk->http->content_type_in))
      walk->http->content_type_in[0] = '\0';
  } else if (wn_str_is_ci(name, "accept")) {
    copy_header(walk->http->accept, sizeof walk->http->accept, value);
  } else if (wn_str_is_ci(name, "expect")) {
    walk->http->expects_continue = true;
  } else if (wn_str_is_ci(name, "content-encoding")) {
    walk->encoded = !wn_str_is_ci(wn_str_trim(value), "identity");
  } else if (wn_str_is_ci(name, "authorization")) {
    copy_header(walk->http->authorization, sizeof walk->http->authorization, value);
  } else if (wn_str_is_ci(name, "origin")) {
    copy_header(walk->http->origin, sizeof walk->http->origin, value);
  } else if (wn_str_is_ci(name, "host")) {
    copy_header(walk->http->host, sizeof walk->http->host, value);
  } else if (wn_str_is_ci(name, "x-request-id")) {
    copy_header(walk->http->request_id, sizeof walk->http->request_id, value);
  } else if (wn_str_is_ci(name, "winnow-now")) {
    copy_header(walk->now, sizeof walk->now, value);
  }
  return MHD_YES;
}

static wn_status check_size(wn_http *http, wn_error *err) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(http->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
  if (http->url_too_long)
    return wn_http_bad(http, 414, err, "url", "the URL is longer than %d bytes",
                       WN_HTTP_URL_BYTES_MAX);
  if (info != NULL && info->header_size > WN_HTTP_HEADER_BYTES_MAX + http->url_len)
    return wn_http_bad(http, 431, err, "headers", "the headers are longer than %d bytes",
                       WN_HTTP_HEADER_BYTES_MAX);
  return WN_OK;
}

static wn_status find_action(wn_http *http, const char *method, wn_error *err) {
  wn_target target;
  wn_str captured = {NULL, 0};
  char name[32] = "";
  if (!wn_target_parse((wn_str){http->url, http->url_len}, &target))
    return wn_http_bad(http, 404, err, "url", "no such route");
  http->route = wn_route_find(&target, &captured, name);
  if (http->route == SIZE_MAX) return wn_http_bad(http, 404, err, "url", "no such route");
  size_t m = 0;
  if (strcmp(method, "HEAD") == 0) method = "GET";
  while (m < WN_METHODS && strcmp(wn_method_names[m], method) != 0) m++;
  const wn_route *route = &wn_routes[http->route];
  if (m == WN_METHODS || route->actions[m].handle == NULL) {
    wn_route_allow(route, http->allow, sizeof http->allow);
    return wn_http_bad(http, 405, err, "method", "this route takes %s", http->allow);
  }
  http->action = &route->actions[m];
  http->method = wn_method_names[m];
  wn_status status = wn_http_access(http, m, err);
  if (status != WN_OK) return status;
  if (captured.ptr != NULL) {
    WN_TRY(wn_percent_decode(captured, false, name, &http->arena, &http->id, err));
    WN_TRY(wn_key_check(http->id, name, err));
  }
  WN_TRY(wn_query_parse(target.query, &http->arena, &http->query, err));
cleanup:
  return status;
}

static wn_status check_content(wn_http *http, const header_walk *walk, bool patch, wn_error *err) {
  const wn_action *action = http->action;
  const char *type = http->content_type_in;
  const wn_framing *framing = &walk->framing;
  if (!action->body) return WN_OK;
  http->close = framing->content_lengths == 0 && !framing->chunked; /* a body may follow still */
  if (http->close) return wn_http_bad(http, 411, err, "Content-Length", "this route needs a body");
  http->form = strcmp(type, "application/x-ndjson") == 0 ? WN_BODY_LINES : WN_BODY_JSON;
  bool known = strcmp(type, "application/json") == 0 ||
               (action->bulk && http->form == WN_BODY_LINES) ||
               (patch && strcmp(type, "application/merge-patch+json") == 0);
  if (!known)
    return wn_http_bad(http, 415, err, "Content-Type", "send application/json%s%s, in UTF-8",
                       action->bulk ? " or application/x-ndjson" : "",
                       patch ? " or application/merge-patch+json" : "");
  if (walk->encoded)
    return wn_http_bad(http, 415, err, "Content-Encoding", "send the body uncompressed");
  http->body_max = http->server->config->body_bytes_max;
  if (action->bulk) {
    http->body_max *= WN_HTTP_BULK_FACTOR;
    http->arena.used_bytes_max = WN_HTTP_BULK_ARENA_BYTES_MAX;
  }
  if (framing->length > http->body_max)
    return wn_http_bad(http, 413, err, "body", "is longer than %zu bytes", http->body_max);
  return WN_OK;
}

static wn_status check_accept(wn_http *http, wn_error *err) {
  const char *type = http->action->produces != NULL ? http->action->produces : "application/json";
  if (wn_accepts(wn_str_of(http->accept), type)) return WN_OK;
  return wn_http_bad(http, 406, err, "Accept", "this route answers in %s", type);
}

/* A simulation says what time it is (docs/experiments.md). */
static wn_status move_clock(wn_http *http, const header_walk *walk, wn_error *err) {
  int64_t ms;
  if (walk->now[0] == '\0') return WN_OK;
  if (!wn_clock_is_virtual())
    return wn_http_bad(http, 400, err, "Winnow-Now",
                       "this server goes by the real clock: start it with --virtual-clock");
  if (wn_time_parse(wn_str_of(walk->now), &ms, err) != WN_OK)
    return wn_http_bad(http, 400, err, "Winnow-Now", "%.200s", err->message);
  wn_clock_set(ms);
  return WN_OK;
}

static bool is_loopback(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  if (info == NULL || info->client_addr == NULL) return false;
  if (info->client_addr->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, info->client_addr, sizeof in);
    return ntohl(in.sin_addr.s_addr) >> 24 == 127;
  }
  struct sockaddr_in6 in6;
  memcpy(&in6, info->client_addr, sizeof in6);
  bool mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && in6.sin6_addr.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) || mapped;
}

static wn_status check_head(wn_http *http, const char *method, const char *version, wn_error *err) {
  wn_status status = WN_OK;
  header_walk walk = {.http = http};
  walk.framing.http11 = strcmp(version, "HTTP/1.1") == 0;
  (void)MHD_get_connection_values_n(http->connection, MHD_HEADER_KIND, walk_header, &walk);
  wn_http_request_id(http);
  status = wn_framing_check(&walk.framing, err);
  http->has_body = walk.framing.chunked || walk.framing.length > 0;
  http->body_declared = walk.framing.length;
  if (status != WN_OK) {
    http->close = true; /* where this request ends is anybody's guess */
    return status;
  }
  WN_TRY(check_size(http, err));
  if (wn_http_preflight(http, method)) return WN_OK;
  WN_TRY(find_action(http, method, err));
  WN_TRY(check_content(http, &walk, strcmp(method, "PATCH") == 0, err));
  WN_TRY(check_accept(http, err));
  WN_TRY(move_clock(http, &walk, err));
cleanup:
  return status;
}

static enum MHD_Result begin_request(wn_http *http, const char *method, const char *version) {
  wn_error err = {.status = WN_OK};
  http->conn = wn_conn_of(http->connection);
  http->loopback = is_loopback(http->connection);
  http->step = WN_STEP_BODY;
  if (check_head(http, method, version, &err) == WN_OK) return MHD_YES;
  http->refused = true;
  write_problem(http, &err);
  uint64_t drop_max = (uint64_t)http->server->config->body_bytes_max * WN_HTTP_BULK_FACTOR;
  bool now =
      http->close || http->body_declared > drop_max || (http->has_body && http->expects_continue);
  return now ? queue_answer(http) : MHD_YES;
}

/* Body ------------------------------------------------------------------------------ */

static void refuse_body(wn_http *http, const wn_error *err) {
  http->refused = true;
  write_problem(http, err);
  wn_buf_clear(&http->body_buf);
  http->body_buf = (wn_buf){0};
}

static enum MHD_Result take_body(wn_http *http, const char *bytes, size_t len) {
  wn_server *server = http->server;
  wn_error err = {.status = WN_OK};
  wn_metrics_count(server->metrics, WN_COUNT_BODY_BYTES, len);
  wn_conn_extend(http->conn, len * (1000000000ULL / WN_HTTP_BODY_BYTES_PER_SECOND));
  if (http->refused || !http->action->body) { /* dropped, but not without end */
    http->body_declared += len;
    uint64_t drop_max = 2 * (uint64_t)server->config->body_bytes_max * WN_HTTP_BULK_FACTOR;
    return http->body_declared <= drop_max ? MHD_YES : MHD_NO;
  }
  if (len > http->body_max - http->body_buf.len) {
    (void)wn_http_bad(http, 413, &err, "body", "is longer than %zu bytes", http->body_max);
    refuse_body(http, &err);
    return MHD_YES;
  }
  wn_buf_append(&http->body_buf, bytes, len);
  bool room =
      wn_server_charge(server, &http->charged,
                       http->body_buf.cap > WN_HTTP_LARGE_BODY_BYTES ? http->body_buf.cap : 0);
  if (!room || http->body_buf.failed) {
    (void)wn_fail(&err, WN_E_BUSY, "body", "too many large requests at once; try again");
    refuse_body(http, &err);
  }
  return MHD_YES;
}

/* Handler --------------------------------------------------------------------------- */

void wn_http_resume(wn_http *http, wn_status result, const wn_error *err) {
  http->result = result;
  if (result != WN_OK && err != NULL) http->result_error = *err;
  if (result != WN_OK) http->result_error.status = result;
  MHD_resume_connection(http->connection);
}

static void commit_done(wn_commit_batch *batch, wn_status status, const wn_error *err) {
  wn_http_resume(batch->ctx, status, err);
}

static bool has_change(const wn_http *http) {
  return http->batch.count > 0 || http->refresh;
}

/* The connection is suspended: the change may be done before submit returns. */
static void submit_change(wn_http *http) {
  wn_server *server = http->server;
  wn_error err = {.status = WN_OK};
  wn_status status = WN_OK;
  if (http->body_buf.cap > KEPT_BYTES_MAX) wn_buf_clear(&http->body_buf);
  size_t held = http->arena.used_bytes > KEPT_BYTES_MAX ? http->arena.used_bytes : 0;
  if (http->refresh) {
    wn_server_ask_refresh(server, http);
    return;
  }
  http->batch.done = commit_done;
  http->batch.ctx = http;
  if (wn_server_charge(server, &http->charged, held)) {
    status = wn_engine_submit(server->engine, &http->batch, &err);
  } else {
    status = wn_fail(&err, WN_E_BUSY, "body", "too many large requests at once; try again");
  }
  if (status != WN_OK) wn_http_resume(http, status, &err);
}

void wn_http_handle_large(wn_http *http) {
  wn_error err = {.status = WN_OK};
  wn_status status = http->action->handle(http, &err);
  if (status == WN_OK && has_change(http)) {
    submit_change(http);
  } else {
    wn_http_resume(http, status, &err);
  }
}

/* Called one round of the event loop after the request was complete: a connection that is
 * suspended in the round that received its last byte is still marked for reading, and is closed
 * without an answer after the resume when the client has shut down its side of the socket. */
static enum MHD_Result suspend(wn_http *http) {
  bool large = http->step == WN_STEP_LARGE;
  http->step = WN_STEP_WAITING;
  MHD_suspend_connection(http->connection);
  if (large) {
    wn_large_add(&http->server->large, http);
  } else {
    submit_change(http);
  }
  return MHD_YES;
}

static enum MHD_Result answer(wn_http *http, wn_status status, wn_error *err) {
  if (status != WN_OK) {
    if (err->status == WN_OK) err->status = status;
    write_problem(http, err);
  }
  return queue_answer(http);
}

static enum MHD_Result run_handler(wn_http *http) {
  wn_error err = {.status = WN_OK};
  if (!wn_conn_move(http->conn, WN_PHASE_RUNNING, 0)) return MHD_NO;
  http->begun_ns = wn_mono_ns();
  if (http->refused) return queue_answer(http);
  http->body = (wn_str){http->body_buf.len > 0 ? http->body_buf.data : "", http->body_buf.len};
  if (http->body.len > WN_HTTP_LARGE_BODY_BYTES || http->action->slow) {
    http->step = WN_STEP_LARGE;
    return MHD_YES;
  }
  wn_status status = http->action->handle(http, &err);
  if (status == WN_OK && has_change(http)) {
    http->step = WN_STEP_CHANGE;
    return MHD_YES;
  }
  return answer(http, status, &err);
}

static enum MHD_Result finish_change(wn_http *http) {
  wn_error err = http->result_error;
  wn_status status = http->result;
  if (status == WN_OK && has_change(http)) status = http->action->finish(http, &err);
  if (status != WN_OK && http->batch.count > 0 && http->batch.ops[0].kind == WN_OP_SLATE)
    wn_engine_slate_withdraw(http->engine, &http->batch.ops[0], &http->arena);
  return answer(http, status, &err);
}

void *wn_http_on_url(void *cls, const char *uri, struct MHD_Connection *connection) {
  wn_server *server = cls;
  wn_http *http = http_take(server);
  if (http == NULL) return NULL;
  http->connection = connection;
  http->url_len = strnlen(uri, WN_HTTP_URL_BYTES_MAX + 1);
  http->url_too_long = http->url_len > WN_HTTP_URL_BYTES_MAX;
  if (http->url_too_long) http->url_len = WN_HTTP_URL_BYTES_MAX;
  memcpy(http->url, uri, http->url_len);
  http->url[http->url_len] = '\0';
  (void)wn_conn_move(wn_conn_of(connection), WN_PHASE_READING, server->config->request_seconds_max);
  return http;
}

enum MHD_Result wn_http_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_len, void **con_cls) {
  wn_http *http = *con_cls;
  (void)cls, (void)url, (void)connection;
  if (http == NULL) return MHD_NO; /* out of memory */
  if (http->step == WN_STEP_HEADERS) return begin_request(http, method, version);
  if (http->step == WN_STEP_LARGE || http->step == WN_STEP_CHANGE) return suspend(http);
  if (http->step == WN_STEP_WAITING) return finish_change(http);
  if (http->step == WN_STEP_DONE) return MHD_YES;
  if (*upload_len == 0) return run_handler(http);
  size_t len = *upload_len;
  *upload_len = 0;
  return take_body(http, upload, len);
}

void wn_http_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                          enum MHD_RequestTerminationCode why) {
  wn_server *server = cls;
  wn_http *http = *con_cls;
  (void)why;
  *con_cls = NULL;
  if (http == NULL) return;
  (void)wn_conn_move(wn_conn_of(connection), WN_PHASE_IDLE, server->config->idle_seconds_max);
  http_give(server, http);
}
