/* Who may ask what: keys, scopes, origins; and what is written down of it.
 *
 * Without keys the server is open to whoever reaches it, which is why it then listens on loopback
 * alone (server.c), and admin routes are taken from the same machine alone, and not from a web page
 * that happens to run there (its Origin gives it away). With keys every route under /v1 and
 * /metrics needs one. */
#include "serve/server_internal.h"

#include "serve/audit.h"
#include "store/store.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

unsigned wn_action_scope(const wn_action *action, size_t method) {
  if (action->scope != WN_SCOPE_BY_METHOD) return action->scope;
  return method == WN_GET ? WN_SCOPE_READ : WN_SCOPE_WRITE;
}

static wn_status need_key(wn_http *http, unsigned scope, wn_error *err) {
  wn_str key = wn_str_of(http->authorization);
  unsigned scopes = 0;
  if (key.len > 7 && strncasecmp(key.ptr, "bearer ", 7) == 0)
    key = wn_str_trim((wn_str){key.ptr + 7, key.len - 7});
  else
    key = (wn_str){NULL, 0};
  wn_key_answer answer =
      wn_keyring_ask(http->server->keys, key, http->key_id, &scopes, &http->retry_after);
  memset(http->authorization, 0, sizeof http->authorization);
  if (answer == WN_KEY_UNKNOWN) {
    wn_metrics_count(http->server->metrics, WN_COUNT_KEYS_REFUSED, 1);
    return wn_http_bad(http, 401, err, "Authorization",
                       key.len > 0 ? "this key is not known" : "send a key: Bearer wnk_…");
  }
  if (answer == WN_KEY_TOO_FAST) {
    wn_metrics_count(http->server->metrics, WN_COUNT_KEYS_LIMITED, 1);
    return wn_http_bad(http, 429, err, "", "more requests than this key may make");
  }
  if ((scopes & scope) == 0)
    return wn_http_bad(http, 403, err, "Authorization", "this key may not do that");
  return WN_OK;
}

/* "http://HOST" of this very server, or one that server.cors_origins lists. */
static bool origin_trusted(const wn_http *http) {
  if (wn_origin_listed(http->server->config->cors_origins, wn_str_of(http->origin))) return true;
  const char *rest = strstr(http->origin, "://");
  return rest != NULL && http->host[0] != '\0' && strcmp(rest + 3, http->host) == 0;
}

bool wn_origin_listed(const char *list, wn_str origin) {
  for (const char *at = list; *at != '\0' && origin.len > 0;) {
    size_t len = strcspn(at, " ");
    if ((len == 1 && *at == '*') || (len == origin.len && memcmp(at, origin.ptr, len) == 0))
      return true;
    at += len;
    at += strspn(at, " ");
  }
  return false;
}

wn_status wn_http_access(wn_http *http, size_t method, wn_error *err) {
  unsigned scope = wn_action_scope(http->action, method);
  if (scope == WN_SCOPE_OPEN) return WN_OK;
  http->admin = scope == WN_SCOPE_ADMIN;
  if (!wn_keyring_empty(http->server->keys)) return need_key(http, scope, err);
  if (!http->admin) return WN_OK;
  if (!http->loopback)
    return wn_http_bad(http, 403, err, "", "only taken from this machine itself, or with a key");
  if (http->origin[0] != '\0' && !origin_trusted(http))
    return wn_http_bad(http, 403, err, "Origin", "not taken from pages of another origin");
  return WN_OK;
}

void wn_http_request_id(wn_http *http) {
  static atomic_uint_fast64_t next;
  const char *given = http->request_id;
  size_t len = strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
  if (len > 0 && given[len] == '\0') return;
  if (atomic_load(&next) == 0) {
    uint64_t start = 0;
    if (getrandom(&start, sizeof start, 0) != (ssize_t)sizeof start) start = 1;
    uint_fast64_t none = 0;
    (void)atomic_compare_exchange_strong(&next, &none, start << 24 | 1);
  }
  snprintf(http->request_id, sizeof http->request_id, "%016llx",
           (unsigned long long)atomic_fetch_add(&next, 1));
}

static const char *address_of(struct MHD_Connection *connection, char *buf, size_t size) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
  buf[0] = '\0';
  if (info == NULL || info->client_addr == NULL) return buf;
  if (info->client_addr->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, info->client_addr, sizeof in);
    (void)inet_ntop(AF_INET, &in.sin_addr, buf, (socklen_t)size);
  } else if (info->client_addr->sa_family == AF_INET6) {
    struct sockaddr_in6 in6;
    memcpy(&in6, info->client_addr, sizeof in6);
    (void)inet_ntop(AF_INET6, &in6.sin6_addr, buf, (socklen_t)size);
  }
  return buf;
}

const char *wn_http_actor(const wn_http *http) {
  return http->key_id[0] != '\0' ? http->key_id : http->loopback ? "loopback" : "anybody";
}

void wn_http_audit(const wn_http *http) {
  char dir[4096], address[64], action[300];
  bool erasure = http->action != NULL && http->action->audited;
  if (!http->admin && !erasure) return;
  if (strcmp(http->method, "GET") == 0 || strcmp(http->method, "HEAD") == 0) return;
  wn_str data = wn_store_dir(wn_engine_store(http->engine));
  snprintf(dir, sizeof dir, "%.*s", WN_STR_ARG(data));
  snprintf(action, sizeof action, "%s %.250s", http->method, http->url);
  wn_audit(dir, &(wn_audit_entry){.actor = wn_http_actor(http),
                                  .address = address_of(http->connection, address, sizeof address),
                                  .action = action,
                                  .status = http->http,
                                  .request = http->request_id});
}

/* --- pages of other origins --- */

void wn_http_cors_headers(const wn_http *http, struct MHD_Response *response) {
  if (!wn_origin_listed(http->server->config->cors_origins, wn_str_of(http->origin))) return;
  (void)MHD_add_response_header(response, "Access-Control-Allow-Origin", http->origin);
  (void)MHD_add_response_header(response, "Access-Control-Expose-Headers",
                                "X-Request-Id, Retry-After");
  if (!http->preflight) return;
  (void)MHD_add_response_header(response, "Access-Control-Allow-Methods",
                                "GET, HEAD, POST, PUT, PATCH, DELETE");
  (void)MHD_add_response_header(response, "Access-Control-Allow-Headers",
                                "Authorization, Content-Type, X-Request-Id");
  (void)MHD_add_response_header(response, "Access-Control-Max-Age", "600");
}

static wn_status answer_preflight(wn_http *http, wn_error *err) {
  (void)err;
  http->http = 204;
  return WN_OK;
}

bool wn_http_preflight(wn_http *http, const char *method) {
  static const wn_action action = {.handle = answer_preflight, .scope = WN_SCOPE_OPEN};
  http->preflight = strcmp(method, "OPTIONS") == 0 &&
                    wn_origin_listed(http->server->config->cors_origins, wn_str_of(http->origin));
  if (http->preflight) http->action = &action;
  return http->preflight;
}
