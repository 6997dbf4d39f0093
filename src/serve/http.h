#ifndef WN_SERVE_HTTP_H
#define WN_SERVE_HTTP_H
/* One request from its first line to its last byte, and what route handlers see of it. */

#include "serve/http_body.h"
#include "serve/http_parse.h"
#include "serve/keys.h"
#include "serve/metrics.h"
#include "serve/problem.h"
#include "serve/server.h"
#include <microhttpd.h>
#include <stdatomic.h>

#define WN_HTTP_BULK_FACTOR           64
#define WN_HTTP_ARENA_BYTES_MAX       ((size_t)16 << 20)
#define WN_HTTP_BULK_ARENA_BYTES_MAX  ((size_t)128 << 20)
#define WN_HTTP_MEMORY_BYTES_MAX      ((size_t)512 << 20) /* bodies and arenas of all requests */
#define WN_HTTP_CONNECTION_BYTES      ((size_t)96 << 10)  /* libmicrohttpd's pool, each */
#define WN_HTTP_LARGE_BODY_BYTES      ((size_t)64 << 10)  /* beyond: not parsed on a worker */
#define WN_HTTP_BODY_BYTES_PER_SECOND ((uint64_t)1 << 20) /* what a long body must keep up */

typedef enum wn_method {
  WN_GET, /* and HEAD */
  WN_POST,
  WN_PUT,
  WN_PATCH,
  WN_DELETE,
  WN_METHODS
} wn_method;

typedef struct wn_http wn_http;
typedef struct wn_conn wn_conn;

/* Checks the request and either answers it (http->out, http->http) or leaves a change to be made
 * (http->batch with count > 0, or http->refresh): the connection then waits off the worker, and
 * `finish` writes the answer. A failure becomes a problem document. */
typedef wn_status wn_http_handler(wn_http *http, wn_error *err);

typedef struct wn_action {
  wn_http_handler *handle;
  wn_http_handler *finish; /* after the change; NULL: there is none */
  bool body;               /* takes one */
  bool slow;               /* may take long: not on a worker */
  bool bulk;               /* 64 times the body, NDJSON too */
  const char *produces;    /* NULL: application/json */
  unsigned scope;          /* wn_scope */
  bool audited;            /* written to the audit log, whoever does it */
} wn_action;

typedef struct wn_route {
  const char *path; /* as in OpenAPI: "/v1/items/{id}"; NULL ends the table */
  wn_action actions[WN_METHODS];
} wn_route;

extern const wn_route wn_routes[];
size_t wn_route_count(void);
/* The index of the route, or SIZE_MAX. The captured segment stays encoded. */
size_t wn_route_find(const wn_target *target, wn_str *captured, char *name);
/* "GET, HEAD, POST" */
void wn_route_allow(const wn_route *route, char *buf, size_t size);
extern const char *const wn_method_names[WN_METHODS];

typedef enum wn_http_step {
  WN_STEP_HEADERS, /* the handler has not been called yet */
  WN_STEP_BODY,    /* receiving */
  WN_STEP_LARGE,   /* a large body is ready to be parsed */
  WN_STEP_CHANGE,  /* a change is ready to be submitted */
  WN_STEP_WAITING, /* suspended: parsing, commit or refresh */
  WN_STEP_DONE,    /* answer queued */
} wn_http_step;

struct wn_http {
  /* for handlers */
  wn_engine *engine;
  wn_server *server;
  wn_arena arena;
  wn_query_string query;
  wn_str id;   /* the {id} or {surface} of the path, decoded */
  wn_str body; /* whole */
  wn_body_form form;
  /* the answer */
  wn_buf out;
  int http;                                    /* status code, 200 unless set */
  const char *content_type;                    /* application/json unless set */
  const char *csp;                             /* Content-Security-Policy; NULL: none */
  const char *cache_control, *etag, *encoding; /* NULL: no-store, none, identity */
  bool out_static;                             /* the answer is static_out */
  wn_str static_out;
  long index;       /* of the record that an error means; -1 */
  int problem_http; /* overrides the status of an error; 0: by its wn_status */
  char allow[40];   /* for 405 */
  /* the change */
  wn_commit_batch batch;
  bool refresh;
  bool swapped;     /* what the refresh did */
  wn_status result; /* of the change, or of the handler of a large body */
  wn_error result_error;
  /* the request */
  wn_http *next; /* in the pool, or among those who wait for a refresh or for parsing */
  struct MHD_Connection *connection;
  wn_conn *conn;
  wn_http_step step;
  size_t url_len;
  bool url_too_long;
  bool has_body, expects_continue, loopback, refused, close;
  bool admin, preflight;
  const char *method;
  unsigned retry_after; /* seconds, for 429 */
  char key_id[WN_KEY_ID_BYTES + 1];
  char request_id[65];
  char authorization[WN_KEY_TEXT_MAX + 16];
  char origin[256], host[256];
  uint64_t body_declared;
  char content_type_in[64];
  char accept[512];
  size_t route; /* SIZE_MAX: none */
  const wn_action *action;
  wn_buf body_buf;
  size_t body_max;
  size_t charged;                      /* of the server's memory budget */
  uint64_t begun_ns;                   /* whole request received */
  char url[WN_HTTP_URL_BYTES_MAX + 1]; /* last: not cleared between requests */
};

/* An error of HTTP's own kind: `status_http` instead of the one that its wn_status has. */
wn_status wn_http_bad(wn_http *http, int status_http, wn_error *err, const char *field,
                      const char *format, ...) WN_PRINTF(5, 6);

/* access.c. Whether the sender may have this action: 401, 403 or 429 otherwise. */
wn_status wn_http_access(wn_http *http, size_t method, wn_error *err);
unsigned wn_action_scope(const wn_action *action, size_t method);
/* The client's own, where it is of good form; else a new one. */
void wn_http_request_id(wn_http *http);
const char *wn_http_actor(const wn_http *http); /* a key's id, "loopback" or "anybody" */
void wn_http_audit(const wn_http *http);        /* with its answer known */
/* A browser that asks whether a page of another origin may ask: then the action is set. */
bool wn_http_preflight(wn_http *http, const char *method);
void wn_http_cors_headers(const wn_http *http, struct MHD_Response *response);
bool wn_origin_listed(const char *list, wn_str origin); /* "https://a https://b", or "*" */

/* http_request.c: libmicrohttpd's callbacks; closure: the server. */
void *wn_http_on_url(void *cls, const char *uri, struct MHD_Connection *connection);
enum MHD_Result wn_http_on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *upload_len, void **con_cls);
void wn_http_on_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
                          enum MHD_RequestTerminationCode why);
void wn_http_free(wn_http *http);
/* The handler of a large body, with the connection suspended; then its change, if it has one. */
void wn_http_handle_large(wn_http *http);
/* After a refresh: hands the request back to its worker. */
void wn_http_resume(wn_http *http, wn_status result, const wn_error *err);

/* routes_*.c */
wn_http_handler wn_route_events, wn_route_events_done;
wn_http_handler wn_route_items, wn_route_users, wn_route_records_done;
wn_http_handler wn_route_item_get, wn_route_item_put, wn_route_item_patch, wn_route_item_delete;
wn_http_handler wn_route_user_get, wn_route_user_put, wn_route_user_patch, wn_route_user_delete;
wn_http_handler wn_route_record_done;
wn_http_handler wn_route_slate_get, wn_route_slate_post, wn_route_slate_done, wn_route_explain,
    wn_route_item_similar, wn_route_user_similar, wn_route_surfaces;
wn_http_handler wn_route_experiments, wn_route_experiment, wn_route_scatter;
wn_http_handler wn_route_experiment_declare, wn_route_experiment_patch, wn_route_experiment_delete,
    wn_route_experiment_ramp, wn_route_experiment_stop, wn_route_experiment_promote,
    wn_route_experiment_course;
wn_http_handler wn_route_items_find, wn_route_users_find, wn_route_user_history;
wn_http_handler wn_route_archive, wn_route_drift, wn_route_digest, wn_route_snapshots,
    wn_route_snapshot_serve;
wn_http_handler wn_route_config_get, wn_route_config_put, wn_route_config_preview,
    wn_route_config_history, wn_route_config_version, wn_route_config_revert;
wn_http_handler wn_route_runs, wn_route_run, wn_route_run_report, wn_route_audit;
wn_http_handler wn_route_map, wn_route_stats, wn_route_item_stats;
wn_http_handler wn_route_console_page, wn_route_console_asset;
wn_http_handler wn_route_refresh, wn_route_refresh_done;
wn_http_handler wn_route_train_get, wn_route_train_post, wn_route_train_delete;
wn_http_handler wn_route_health, wn_route_ready, wn_route_metrics, wn_route_openapi,
    wn_route_landing;

#endif
