#ifndef WN_SERVE_SERVER_INTERNAL_H
#define WN_SERVE_SERVER_INTERNAL_H
/* What server.c, conn.c, http_request.c and the routes share of a running server. */

#include "serve/drift.h"
#include "serve/http.h"
#include "serve/live.h"
#include "serve/retention.h"
#include "serve/referee.h"
#include "serve/server.h"
#include "serve/trainer.h"
#include <pthread.h>

/* Where a connection is; its deadline means something else in each. */
typedef enum wn_phase {
  WN_PHASE_IDLE,    /* no request line yet */
  WN_PHASE_READING, /* header and body */
  WN_PHASE_RUNNING, /* with a handler or a commit: no deadline */
  WN_PHASE_WRITING, /* the answer is on its way */
  WN_PHASE_CLOSED,  /* by the reaper; the worker will notice */
} wn_phase;

struct wn_conn {
  wn_conn *prev, *next;
  struct MHD_Connection *connection;
  int fd;
  atomic_int phase;
  _Atomic uint64_t deadline_ns; /* monotonic */
};

/* http_large.c: a thread for large bodies, first come first served. */
typedef struct wn_large {
  pthread_t thread;
  bool running, end;
  pthread_mutex_t lock; /* of what follows and `end` */
  pthread_cond_t wake;
  wn_http *first, *last;
} wn_large;

struct wn_server {
  wn_engine *engine;
  const wn_server_config *config;
  wn_metrics *metrics;
  struct MHD_Daemon **workers; /* one thread each */
  uint32_t worker_count;
  int listen_fd;
  int wake_fd; /* eventfd: tells the accepting thread to end */
  uint16_t port;
  int64_t started_ms;
  atomic_bool draining, stopping;
  atomic_size_t memory; /* bodies and arenas, against WN_HTTP_MEMORY_BYTES_MAX */
  pthread_mutex_t conns_lock;
  wn_conn *conns;
  atomic_size_t conn_count;
  pthread_mutex_t pool_lock;
  wn_http *pool;
  size_t pool_len;
  pthread_t accept_thread, reaper_thread, refresh_thread;
  bool accepting, reaping, refreshing; /* which threads run */
  pthread_mutex_t refresh_lock;
  pthread_cond_t refresh_wake;
  wn_http *refresh_waiters;
  bool refresh_end;
  wn_large large;
  wn_trainer *trainer;
  wn_live *live;
  wn_keyring *keys;
  wn_shown *shown;
  wn_drift *drift;
  wn_alerts *alerts;
  wn_retention *retention;
  wn_referee *referee;
};

/* conn.c */
void wn_conn_on_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode code);
wn_conn *wn_conn_of(struct MHD_Connection *connection);
/* Moves on unless the reaper has closed it: false then. */
bool wn_conn_move(wn_conn *conn, wn_phase phase, uint64_t seconds_left);
void wn_conn_extend(wn_conn *conn, uint64_t ns);
void *wn_conn_reap(void *server); /* thread */
/* Closes those that are idle (or also those still sending a request); returns how many there are.
 */
size_t wn_conn_close_idle(wn_server *server, bool reading_too);
size_t wn_conn_running(wn_server *server); /* requests with a handler or a commit */
/* Writes a complete answer to a socket that libmicrohttpd is not writing to, and shuts it down. */
void wn_conn_refuse(int fd, int http, const char *detail);

/* The request's share of the budget grows to `bytes`; false: there is no more. */
bool wn_server_charge(wn_server *server, size_t *charged, size_t bytes);
void wn_server_ask_refresh(wn_server *server, wn_http *http);

bool wn_large_start(wn_large *large);
/* The connection is suspended; it is resumed when there is an answer. */
void wn_large_add(wn_large *large, wn_http *http);
/* When nobody can be waiting any more. */
void wn_large_stop(wn_large *large);

#endif
