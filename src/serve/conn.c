/* Connections and their deadlines. libmicrohttpd's own timeout counts from the last byte, so that
 * a client that sends one byte a second holds a connection for ever; here each phase has an
 * absolute deadline, and a thread that closes what is late.
 *
 * The reaper never frees or closes: it shuts the socket down, and the worker that owns the
 * connection finds it at its end. The list's lock is held meanwhile, and a worker takes it before
 * the descriptor is closed, so that the number cannot be another file's by then.
 * Costs: a walk over all connections (at most connections_max) four times a second. */
#include "serve/server_internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <sys/socket.h>
#include <time.h>

#define SECOND_NS 1000000000ULL

static uint64_t request_ns(const wn_server *server) {
  return server->config->request_seconds_max * SECOND_NS;
}

static void conn_opened(wn_server *server, struct MHD_Connection *connection, void **context) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  wn_conn *conn = wn_calloc(1, sizeof *conn);
  *context = conn;
  if (conn == NULL) return; /* the first request finds none and closes */
  conn->fd = info != NULL ? info->connect_fd : -1;
  conn->connection = connection;
  atomic_init(&conn->phase, WN_PHASE_IDLE);
  /* A connection that has just been opened has something to say. */
  atomic_init(&conn->deadline_ns, wn_mono_ns() + request_ns(server));
  pthread_mutex_lock(&server->conns_lock);
  conn->next = server->conns;
  if (conn->next != NULL) conn->next->prev = conn;
  server->conns = conn;
  pthread_mutex_unlock(&server->conns_lock);
  atomic_fetch_add(&server->conn_count, 1);
}

static void conn_closed(wn_server *server, void **context) {
  wn_conn *conn = *context;
  *context = NULL;
  if (conn == NULL) return;
  pthread_mutex_lock(&server->conns_lock);
  if (conn->next != NULL) conn->next->prev = conn->prev;
  if (conn->prev != NULL) {
    conn->prev->next = conn->next;
  } else {
    server->conns = conn->next;
  }
  pthread_mutex_unlock(&server->conns_lock);
  atomic_fetch_sub(&server->conn_count, 1);
  wn_free(conn);
}

void wn_conn_on_notify(void *cls, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode code) {
  wn_server *server = cls;
  if (code == MHD_CONNECTION_NOTIFY_STARTED) {
    conn_opened(server, connection, socket_context);
  } else {
    conn_closed(server, socket_context);
  }
}

wn_conn *wn_conn_of(struct MHD_Connection *connection) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
  return info != NULL ? info->socket_context : NULL;
}

bool wn_conn_move(wn_conn *conn, wn_phase phase, uint64_t seconds_left) {
  if (conn == NULL) return false;
  /* The new deadline comes before the new phase, so that no phase is held against an older one.
   * Running has none: a store here would shorten that of the phase before, while the reaper may
   * still see it. */
  if (phase != WN_PHASE_RUNNING)
    atomic_store(&conn->deadline_ns, wn_mono_ns() + seconds_left * SECOND_NS);
  int now = atomic_load(&conn->phase);
  while (now != WN_PHASE_CLOSED)
    if (atomic_compare_exchange_weak(&conn->phase, &now, (int)phase)) return true;
  return false;
}

void wn_conn_extend(wn_conn *conn, uint64_t ns) {
  if (conn != NULL) atomic_fetch_add(&conn->deadline_ns, ns);
}

void wn_conn_refuse(int fd, int http, const char *detail) {
  wn_error err = {.status = WN_E_BUSY};
  wn_problem problem = wn_problem_http(http, &err);
  wn_buf body = {0}, all = {0};
  (void)wn_fail(&err, WN_E_BUSY, "", "%s", detail);
  wn_problem_write(&problem, &body);
  wn_buf_printf(
      &all,
      "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\n"
      "%sConnection: close\r\n\r\n",
      http, wn_http_reason(http), body.len, http == 503 ? "Retry-After: 1\r\n" : "");
  wn_buf_append(&all, body.data, body.len);
  if (!all.failed && !body.failed) {
    ssize_t sent = send(fd, all.data, all.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* a client that cannot take it gets no answer */
  }
  shutdown(fd, SHUT_RDWR);
  wn_buf_clear(&all);
  wn_buf_clear(&body);
}

/* The phase decides what the client is told. It is read before its deadline, and the exchange fails
 * when the worker was faster. */
static void close_late(wn_server *server, wn_conn *conn, uint64_t now) {
  int phase = atomic_load(&conn->phase);
  if (phase == WN_PHASE_RUNNING || phase == WN_PHASE_CLOSED) return;
  if (atomic_load(&conn->deadline_ns) >= now) return;
  if (!atomic_compare_exchange_strong(&conn->phase, &phase, WN_PHASE_CLOSED)) return;
  if (phase == WN_PHASE_READING) {
    wn_conn_refuse(conn->fd, 408, "the request took too long to arrive");
  } else {
    shutdown(conn->fd, SHUT_RDWR);
  }
  wn_metrics_count(server->metrics,
                   phase == WN_PHASE_IDLE ? WN_COUNT_TIMEOUTS_IDLE : WN_COUNT_TIMEOUTS_REQUEST, 1);
}

void *wn_conn_reap(void *arg) {
  wn_server *server = arg;
  while (!atomic_load(&server->stopping)) {
    uint64_t now = wn_mono_ns();
    pthread_mutex_lock(&server->conns_lock);
    for (wn_conn *conn = server->conns; conn != NULL; conn = conn->next)
      close_late(server, conn, now);
    pthread_mutex_unlock(&server->conns_lock);
    nanosleep(&(struct timespec){.tv_nsec = SECOND_NS / 4}, NULL);
  }
  return NULL;
}

size_t wn_conn_close_idle(wn_server *server, bool reading_too) {
  size_t open = 0;
  pthread_mutex_lock(&server->conns_lock);
  for (wn_conn *conn = server->conns; conn != NULL; conn = conn->next) {
    int phase = atomic_load(&conn->phase);
    bool idle = phase == WN_PHASE_IDLE || (reading_too && phase == WN_PHASE_READING);
    open++;
    if (idle && atomic_compare_exchange_strong(&conn->phase, &phase, WN_PHASE_CLOSED))
      shutdown(conn->fd, SHUT_RDWR);
  }
  pthread_mutex_unlock(&server->conns_lock);
  return open;
}

size_t wn_conn_running(wn_server *server) {
  size_t running = 0;
  pthread_mutex_lock(&server->conns_lock);
  for (wn_conn *conn = server->conns; conn != NULL; conn = conn->next) {
    int phase = atomic_load(&conn->phase);
    running += phase == WN_PHASE_RUNNING;
  }
  pthread_mutex_unlock(&server->conns_lock);
  return running;
}
