/* The server: a thread that accepts, as many workers as CPUs (each a libmicrohttpd daemon with an
 * epoll loop of its own), a reaper (conn.c), a thread that looks for new snapshots and one that
 * parses large bodies (http_large.c).
 *
 * Why an accepting thread and not libmicrohttpd's thread pool on a shared listening socket: there,
 * whichever worker wakes first takes a whole burst of connections, and where a request is a
 * millisecond of ranking an uneven split costs most. Round robin is even, turns away the
 * connection too many with an answer instead of silence, and makes stopping a matter of one close.
 */
#include "serve/server_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* What clients that were already sending get at a stop, before idle connections are closed. */
#define LAST_CALL_MS 250

static void sleep_ms(long ms) {
  nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* Memory ---------------------------------------------------------------------------- */

bool wn_server_charge(wn_server *server, size_t *charged, size_t bytes) {
  if (bytes <= *charged) {
    atomic_fetch_sub(&server->memory, *charged - bytes);
    *charged = bytes;
    return true;
  }
  size_t more = bytes - *charged;
  size_t before = atomic_fetch_add(&server->memory, more);
  if (before + more > WN_HTTP_MEMORY_BYTES_MAX) {
    atomic_fetch_sub(&server->memory, more);
    return false;
  }
  *charged = bytes;
  return true;
}

/* Listening ------------------------------------------------------------------------- */

static bool is_loopback(const struct sockaddr *address) {
  if (address->sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, address, sizeof in);
    return ntohl(in.sin_addr.s_addr) >> 24 == 127;
  }
  struct sockaddr_in6 in6;
  if (address->sa_family != AF_INET6) return false;
  memcpy(&in6, address, sizeof in6);
  return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

/* Whoever reaches an address that is not loopback could read and write everything. */
static wn_status check_public(const wn_server *server, const struct addrinfo *list, wn_error *err) {
  if (server->config->open || !wn_keyring_empty(server->keys)) return WN_OK;
  for (const struct addrinfo *at = list; at != NULL; at = at->ai_next)
    if (!is_loopback(at->ai_addr))
      return wn_fail(err, WN_E_ARGUMENT, "host",
                     "%s can be reached from other machines and there are no keys: make one "
                     "(winnow keys add), or say --open",
                     server->config->host);
  return WN_OK;
}

static int open_socket(const struct addrinfo *address) {
  int one = 1;
  int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
  int code = errno;
  close(fd);
  errno = code;
  return -1;
}

static uint16_t bound_port(int fd) {
  struct sockaddr_storage address;
  socklen_t len = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &len) != 0) return 0;
  if (address.ss_family == AF_INET6) {
    struct sockaddr_in6 in6;
    memcpy(&in6, &address, sizeof in6);
    return ntohs(in6.sin6_port);
  }
  struct sockaddr_in in;
  memcpy(&in, &address, sizeof in);
  return ntohs(in.sin_port);
}

static wn_status server_listen(wn_server *server, wn_error *err) {
  const wn_server_config *config = server->config;
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
  struct addrinfo *list = NULL;
  wn_buf port = {0};
  wn_buf_printf(&port, "%u", (unsigned)config->port);
  const char *text = wn_buf_c(&port);
  int why = text != NULL ? getaddrinfo(config->host, text, &hints, &list) : EAI_MEMORY;
  wn_buf_clear(&port);
  if (why != 0)
    return wn_fail(err, WN_E_ARGUMENT, "host", "cannot resolve \"%s\": %s", config->host,
                   gai_strerror(why));
  wn_status status = check_public(server, list, err);
  if (status != WN_OK) {
    freeaddrinfo(list);
    return status;
  }
  int code = 0;
  for (struct addrinfo *at = list; at != NULL && server->listen_fd < 0; at = at->ai_next) {
    server->listen_fd = open_socket(at);
    if (server->listen_fd < 0) code = errno;
  }
  freeaddrinfo(list);
  errno = code;
  if (server->listen_fd >= 0) {
    server->port = bound_port(server->listen_fd);
    return WN_OK;
  }
  if (code == EADDRINUSE)
    return wn_fail(err, WN_E_BUSY, "port", "%s port %u is in use", config->host,
                   (unsigned)config->port);
  return wn_fail_errno(err, code == EACCES ? "port" : "host", "cannot listen on %s port %u",
                       config->host, (unsigned)config->port);
}

/* Takes all connections that wait; false: nothing more can be taken for a while. */
static bool accept_waiting(wn_server *server, unsigned *turn) {
  for (;;) {
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int fd =
        accept4(server->listen_fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    wn_metrics_count(server->metrics, WN_COUNT_CONNECTIONS, 1);
    if (atomic_load(&server->conn_count) >= server->config->connections_max) {
      wn_metrics_count(server->metrics, WN_COUNT_CONNECTIONS_FULL, 1);
      wn_conn_refuse(fd, 503, "too many connections; try again");
      close(fd);
      continue;
    }
    struct MHD_Daemon *worker = server->workers[(*turn)++ % server->worker_count];
    (void)MHD_add_connection(worker, fd, (struct sockaddr *)&address, len); /* closes on failure */
  }
}

static void *accept_run(void *arg) {
  wn_server *server = arg;
  unsigned turn = 0;
  struct pollfd fds[2] = {{.fd = server->listen_fd, .events = POLLIN},
                          {.fd = server->wake_fd, .events = POLLIN}};
  while (!atomic_load(&server->draining)) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) break;
    if (!accept_waiting(server, &turn)) sleep_ms(50); /* out of descriptors: let some go */
  }
  (void)accept_waiting(server, &turn); /* who connected before the stop is served */
  return NULL;
}

/* Snapshots ------------------------------------------------------------------------- */

void wn_server_ask_refresh(wn_server *server, wn_http *http) {
  pthread_mutex_lock(&server->refresh_lock);
  http->next = server->refresh_waiters;
  server->refresh_waiters = http;
  pthread_cond_signal(&server->refresh_wake);
  pthread_mutex_unlock(&server->refresh_lock);
}

static void refresh_once(wn_server *server, wn_http *waiters, wn_error *last) {
  wn_error err = {.status = WN_OK};
  bool swapped = false;
  if (wn_keyring_refresh(server->keys, &err) != WN_OK)
    wn_log(WN_LOG_ERROR, "keys stay as they were: %s", err.message);
  err = (wn_error){.status = WN_OK};
  if (wn_live_follow(server->live, &err) != WN_OK)
    wn_log(WN_LOG_ERROR, "configuration stays as it was: %s", err.message);
  err = (wn_error){.status = WN_OK};
  wn_status status = wn_engine_refresh(server->engine, &swapped, &err);
  if (status == WN_OK && swapped) wn_log(WN_LOG_INFO, "snapshot swapped in");
  if (status != WN_OK && strcmp(last->message, err.message) != 0)
    wn_log(WN_LOG_ERROR, "new snapshot refused: reason=%s", err.message);
  *last = err;
  while (waiters != NULL) {
    wn_http *http = waiters;
    waiters = http->next;
    http->swapped = swapped;
    wn_http_resume(http, status, &err);
  }
}

static void *refresh_run(void *arg) {
  wn_server *server = arg;
  wn_error last = {.status = WN_OK};
  pthread_mutex_lock(&server->refresh_lock);
  while (!server->refresh_end || server->refresh_waiters != NULL) {
    if (server->refresh_waiters == NULL) {
      struct timespec until;
      clock_gettime(CLOCK_MONOTONIC, &until);
      until.tv_sec += 1;
      pthread_cond_timedwait(&server->refresh_wake, &server->refresh_lock, &until);
    }
    wn_http *waiters = server->refresh_waiters;
    server->refresh_waiters = NULL;
    pthread_mutex_unlock(&server->refresh_lock);
    refresh_once(server, waiters, &last);
    pthread_mutex_lock(&server->refresh_lock);
  }
  pthread_mutex_unlock(&server->refresh_lock);
  return NULL;
}

/* Life cycle ------------------------------------------------------------------------ */

/* The raw URL is what counts (wn_http_on_url): spare libmicrohttpd the decoding. */
static size_t leave_escaped(void *cls, struct MHD_Connection *connection, char *text) {
  (void)cls, (void)connection;
  return strlen(text);
}

static struct MHD_Daemon *start_worker(wn_server *server) {
  unsigned flags =
      MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
  return MHD_start_daemon(
      flags, 0, NULL, NULL, wn_http_on_request, server, MHD_OPTION_CONNECTION_LIMIT,
      (unsigned)server->config->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
      WN_HTTP_CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_STRICT_FOR_CLIENT, 1,
      MHD_OPTION_URI_LOG_CALLBACK, wn_http_on_url, server, MHD_OPTION_UNESCAPE_CALLBACK,
      leave_escaped, server, MHD_OPTION_NOTIFY_COMPLETED, wn_http_on_completed, server,
      MHD_OPTION_NOTIFY_CONNECTION, wn_conn_on_notify, server, MHD_OPTION_END);
}

static const char *route_names[WN_METRIC_ROUTES_MAX];

static wn_status server_prepare(wn_server *server, wn_error *err) {
  const wn_config *config = wn_engine_config(server->engine);
  size_t routes = wn_route_count();
  server->config = &config->server;
  server->listen_fd = -1;
  server->started_ms = wn_now_ms();
  char dir[4096];
  wn_str data = wn_store_dir(wn_engine_store(server->engine));
  snprintf(dir, sizeof dir, "%.*s", WN_STR_ARG(data));
  wn_status status = wn_keyring_open(dir, &server->keys, err);
  if (status == WN_OK) status = wn_live_open(server->engine, &server->live, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < routes; i++) route_names[i] = wn_routes[i].path;
  route_names[routes] = "unknown";
  wn_policy *policy = wn_engine_policy(server->engine);
  server->metrics = wn_metrics_create(route_names, routes + 1, &policy->surfaces);
  wn_policy_unref(policy);
  server->worker_count =
      config->server.threads > 0 ? config->server.threads : (uint32_t)wn_cpu_count();
  server->workers = wn_calloc(server->worker_count, sizeof *server->workers);
  server->shown = wn_shown_create();
  server->drift = wn_drift_create();
  if (server->drift == NULL || server->shown == NULL || server->metrics == NULL ||
      server->workers == NULL)
    return wn_fail_memory(err);
  server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (server->wake_fd < 0) return wn_fail_errno(err, "", "cannot make an eventfd");
  return WN_OK;
}

static wn_status start_threads(wn_server *server, wn_error *err) {
  for (uint32_t i = 0; i < server->worker_count; i++) {
    server->workers[i] = start_worker(server);
    if (server->workers[i] == NULL)
      return wn_fail_errno(err, "threads", "cannot start HTTP worker %u", i + 1);
  }
  server->reaping = pthread_create(&server->reaper_thread, NULL, wn_conn_reap, server) == 0;
  server->refreshing = pthread_create(&server->refresh_thread, NULL, refresh_run, server) == 0;
  wn_status status = wn_trainer_start(server->engine, NULL, &server->trainer, err);
  if (status == WN_OK) status = wn_alerts_start(server, &server->alerts, err);
  if (status == WN_OK) status = wn_retention_start(server->engine, &server->retention, err);
  if (status == WN_OK) status = wn_referee_start(server->engine, &server->referee, err);
  if (status != WN_OK) return status;
  server->accepting = server->reaping && server->refreshing && wn_large_start(&server->large) &&
                      pthread_create(&server->accept_thread, NULL, accept_run, server) == 0;
  return server->accepting ? WN_OK : wn_fail_errno(err, "threads", "cannot start a thread");
}

static void init_locks(wn_server *server) {
  pthread_condattr_t attr;
  pthread_mutex_init(&server->conns_lock, NULL);
  pthread_mutex_init(&server->pool_lock, NULL);
  pthread_mutex_init(&server->refresh_lock, NULL);
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(&server->refresh_wake, &attr);
  pthread_condattr_destroy(&attr);
}

static void server_free(wn_server *server) {
  for (wn_http *http = server->pool; http != NULL;) {
    wn_http *next = http->next;
    wn_http_free(http);
    http = next;
  }
  if (server->wake_fd >= 0) close(server->wake_fd);
  if (server->listen_fd >= 0) close(server->listen_fd);
  wn_keyring_close(server->keys);
  wn_drift_free(server->drift);
  wn_live_close(server->live);
  wn_shown_free(server->shown);
  wn_metrics_free(server->metrics);
  wn_free(server->workers);
  pthread_mutex_destroy(&server->conns_lock);
  pthread_mutex_destroy(&server->pool_lock);
  pthread_mutex_destroy(&server->refresh_lock);
  pthread_cond_destroy(&server->refresh_wake);
  wn_free(server);
}

wn_status wn_server_start(wn_engine *engine, wn_server **out, wn_error *err) {
  wn_status status = WN_OK;
  *out = NULL;
  wn_server *server = wn_calloc(1, sizeof *server);
  if (server == NULL) return wn_fail_memory(err);
  server->engine = engine;
  server->listen_fd = server->wake_fd = -1;
  init_locks(server);
  WN_TRY(server_prepare(server, err));
  WN_TRY(server_listen(server, err));
  WN_TRY(start_threads(server, err));
  *out = server;
  server = NULL;
cleanup:
  if (server != NULL) wn_server_stop(server, 0);
  return status;
}

uint16_t wn_server_port(const wn_server *server) {
  return server->port;
}

static void stop_accepting(wn_server *server) {
  uint64_t one = 1;
  atomic_store(&server->draining, true);
  ssize_t written = write(server->wake_fd, &one, sizeof one);
  (void)written; /* an eventfd that was never written takes a 1 */
  if (server->accepting) pthread_join(server->accept_thread, NULL);
  if (server->listen_fd >= 0) close(server->listen_fd);
  server->listen_fd = -1;
}

/* Idle connections stay a moment: what their clients have just sent is served, with
 * "Connection: close". Then those still idle are closed, and the rest get until `until`. */
static void drain(wn_server *server, uint64_t begun_ns, uint64_t until_ns) {
  uint64_t last_call_ns = begun_ns + LAST_CALL_MS * 1000000ULL;
  if (last_call_ns > until_ns) last_call_ns = until_ns;
  while (wn_mono_ns() < until_ns && atomic_load(&server->conn_count) > 0) {
    if (wn_mono_ns() >= last_call_ns) (void)wn_conn_close_idle(server, false);
    sleep_ms(5);
  }
  (void)wn_conn_close_idle(server, true);
  /* A suspended connection must not be torn down; its commit ends or fails. */
  while (wn_conn_running(server) > 0) sleep_ms(2);
}

void wn_server_stop(wn_server *server, int64_t grace_ms) {
  if (server == NULL) return;
  uint64_t now = wn_mono_ns();
  stop_accepting(server);
  drain(server, now, now + (uint64_t)(grace_ms > 0 ? grace_ms : 0) * 1000000ULL);
  atomic_store(&server->stopping, true);
  pthread_mutex_lock(&server->refresh_lock);
  server->refresh_end = true;
  wn_engine_hurry(server->engine);
  pthread_cond_signal(&server->refresh_wake);
  pthread_mutex_unlock(&server->refresh_lock);
  if (server->refreshing) pthread_join(server->refresh_thread, NULL);
  wn_large_stop(&server->large);
  if (server->reaping) pthread_join(server->reaper_thread, NULL);
  for (uint32_t i = 0; i < server->worker_count && server->workers != NULL; i++)
    if (server->workers[i] != NULL) MHD_stop_daemon(server->workers[i]);
  wn_retention_stop(server->retention);
  wn_alerts_stop(server->alerts);
  wn_referee_stop(server->referee);
  wn_trainer_stop(server->trainer); /* what it had begun is begun anew another time */
  server_free(server);
}
