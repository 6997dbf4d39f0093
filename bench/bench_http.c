/* How many slates a second, and how late: a keep-alive load generator against a running server.
 *
 *   bench_http --port PORT [--clients 32] [--threads 1] [--seconds 10] [--surface home]
 *              [--users 2000] [--users-file FILE] [--warm 1] [--seed 1] [--json]
 *              [--events N [--rate R]]
 *
 * --events N posts batches of N events instead (each acknowledged after its fsync); --rate R sends
 * at most R requests a second in all, for latencies below the limit.
 *
 * Users are drawn from FILE (one id a line), or are the strangers "bench-0" … "bench-N". The same
 * clients first ask GET /healthz: the limit of the HTTP layer on this machine, beside which the
 * slates' rate is put. Closed loop: each client sends its next request when it has its answer, so
 * the rate is what so many clients get, and latency contains no queue of ours. Latencies are kept
 * whole (no histogram) and sorted at the end. Load generator and server share the machine's CPUs.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/vec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ANSWER_MAX (4 << 20)

typedef struct options {
  uint16_t port;
  int clients, threads;
  double seconds, warm;
  const char *surface, *users_file, *path; /* path: asked as it is instead of slates */
  long users, events, rate;                /* events of each POST; 0: slates */
  uint64_t seed;
  bool json;
} options;

typedef struct ids {
  wn_buf text;
  WN_VEC(wn_str) list;
} ids;

typedef struct client {
  int fd;
  uint64_t sent_ns, due_ns; /* due: when to send the next, with a rate; 0: not waiting */
  wn_buf in;                /* the answer so far */
} client;

typedef WN_VEC(uint32_t) latencies; /* microseconds × 10 */

typedef struct worker {
  const options *opt;
  const ids *users;
  const char *path; /* NULL: slates */
  int clients, number;
  uint64_t until_ns, count_from_ns;
  latencies times;
  uint64_t answers, bad, bytes;
  pthread_t thread;
  bool failed;
} worker;

typedef struct result {
  double rate, p50, p95, p99, max, bytes;
  uint64_t answers, bad;
} result;

static void append_encoded(wn_buf *out, wn_str id) {
  for (size_t i = 0; i < id.len; i++) {
    unsigned char c = (unsigned char)id.ptr[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '_' || c == '.';
    if (plain) {
      wn_buf_char(out, (char)c);
    } else {
      wn_buf_printf(out, "%%%02X", c);
    }
  }
}

/* Room for ten digits of the length is left first, so that the body is written once. */
static void write_events(const worker *w, wn_rng *rng, wn_buf *out) {
  wn_buf_str(out, "POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                  "Content-Length: ");
  size_t length_at = out->len;
  wn_buf_str(out, "          \r\n\r\n");
  size_t body_at = out->len;
  for (long i = 0; i < w->opt->events; i++)
    wn_buf_printf(out, "%c{\"user\":\"bench-%lu\",\"item\":\"i%lu\",\"type\":\"view\"}",
                  i == 0 ? '[' : ',', (unsigned long)wn_rng_below(rng, (uint64_t)w->opt->users),
                  (unsigned long)wn_rng_below(rng, 20000));
  wn_buf_char(out, ']');
  char text[16];
  int len = snprintf(text, sizeof text, "%010zu", out->len - body_at);
  if (!out->failed) memcpy(out->data + length_at, text, (size_t)len);
}

static void write_request(const worker *w, wn_rng *rng, wn_buf *out) {
  wn_buf_reset(out);
  if (w->opt->events > 0 && w->path == NULL) {
    write_events(w, rng, out);
    return;
  }
  wn_buf_str(out, "GET ");
  if (w->path != NULL) {
    wn_buf_str(out, w->path);
  } else {
    wn_buf_printf(out, "/v1/surfaces/%s/slate?user=", w->opt->surface);
    if (w->users->list.len > 0) {
      append_encoded(out, w->users->list.data[wn_rng_below(rng, w->users->list.len)]);
    } else {
      wn_buf_printf(out, "bench-%lu", (unsigned long)wn_rng_below(rng, (uint64_t)w->opt->users));
    }
  }
  wn_buf_str(out, " HTTP/1.1\r\nHost: bench\r\n\r\n");
}

static bool send_request(worker *w, client *c, wn_rng *rng, wn_buf *out) {
  write_request(w, rng, out);
  c->sent_ns = wn_mono_ns();
  wn_buf_reset(&c->in);
  return !out->failed && send(c->fd, out->data, out->len, MSG_NOSIGNAL) == (ssize_t)out->len;
}

/* Length of the whole answer; 0: not known yet. */
static size_t answer_length(client *c) {
  const char *text = wn_buf_c(&c->in);
  if (text == NULL) return 0;
  const char *end = strstr(text, "\r\n\r\n");
  const char *length = end != NULL ? strcasestr(text, "\r\nContent-Length:") : NULL;
  if (length == NULL || length > end) return 0;
  return (size_t)(end - text) + 4 + strtoul(length + 17, NULL, 10);
}

/* False: the connection is of no more use. */
static bool receive(worker *w, client *c, wn_rng *rng, wn_buf *out) {
  char bytes[65536];
  ssize_t got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  wn_buf_append(&c->in, bytes, (size_t)got);
  size_t want = answer_length(c);
  if (want == 0 || c->in.len < want) return c->in.len < ANSWER_MAX;
  uint64_t now = wn_mono_ns();
  if (c->sent_ns >= w->count_from_ns && now <= w->until_ns) {
    bool good = strncmp(c->in.data, "HTTP/1.1 200", 12) == 0;
    w->answers += good;
    w->bad += !good;
    w->bytes += c->in.len;
    if (!wn_vec_push(&w->times, (uint32_t)((now - c->sent_ns) / 100))) return false;
  }
  if (w->opt->rate == 0 || w->path != NULL) return send_request(w, c, rng, out);
  c->due_ns = c->sent_ns + 1000000000ull * (uint64_t)w->opt->clients / (uint64_t)w->opt->rate;
  return true;
}

static bool send_due(worker *w, client *clients, wn_rng *rng, wn_buf *out) {
  uint64_t now = wn_mono_ns();
  for (int i = 0; i < w->clients; i++) {
    if (clients[i].due_ns == 0 || clients[i].due_ns > now) continue;
    clients[i].due_ns = 0;
    if (!send_request(w, &clients[i], rng, out)) return false;
  }
  return true;
}

static int dial(uint16_t port) {
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (fd < 0) return -1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

static bool open_clients(worker *w, client *clients, int poller, wn_rng *rng, wn_buf *out) {
  for (int i = 0; i < w->clients; i++) {
    clients[i].fd = dial(w->opt->port);
    if (clients[i].fd < 0) return false;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, clients[i].fd, &event) != 0) return false;
    if (!send_request(w, &clients[i], rng, out)) return false;
  }
  return true;
}

static void *load(void *arg) {
  worker *w = arg;
  wn_rng rng;
  wn_buf out = {0};
  struct epoll_event events[64];
  wn_rng_seed(&rng, w->opt->seed * 1000 + (uint64_t)w->number);
  client *clients = wn_calloc((size_t)w->clients, sizeof *clients);
  int poller = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; clients != NULL && i < w->clients; i++) clients[i].fd = -1;
  w->failed = clients == NULL || poller < 0 || !open_clients(w, clients, poller, &rng, &out);
  while (!w->failed && wn_mono_ns() < w->until_ns) {
    bool paced = w->opt->rate > 0 && w->path == NULL;
    int ready = epoll_wait(poller, events, 64, paced ? 1 : 100);
    for (int i = 0; i < ready && !w->failed; i++)
      w->failed = !receive(w, events[i].data.ptr, &rng, &out);
    if (paced && !w->failed) w->failed = !send_due(w, clients, &rng, &out);
  }
  for (int i = 0; clients != NULL && i < w->clients; i++) {
    if (clients[i].fd >= 0) close(clients[i].fd);
    wn_buf_clear(&clients[i].in);
  }
  if (poller >= 0) close(poller);
  wn_buf_clear(&out);
  wn_free(clients);
  return NULL;
}

static int by_time(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double quantile_ms(const latencies *times, double q) {
  if (times->len == 0) return 0;
  size_t at = (size_t)(q * (double)(times->len - 1) + 0.5);
  return times->data[at] / 10000.0;
}

static result merge(worker *workers, int count, double seconds) {
  latencies all = {0};
  result r = {.answers = 0};
  for (int i = 0; i < count; i++) {
    r.answers += workers[i].answers;
    r.bad += workers[i].bad;
    r.bytes += (double)workers[i].bytes;
    for (size_t j = 0; j < workers[i].times.len; j++)
      if (!wn_vec_push(&all, workers[i].times.data[j])) break;
    wn_vec_clear(&workers[i].times);
  }
  if (all.len > 0) qsort(all.data, all.len, sizeof *all.data, by_time);
  r.rate = (double)r.answers / seconds;
  r.bytes = r.answers > 0 ? r.bytes / (double)(r.answers + r.bad) : 0;
  r.p50 = quantile_ms(&all, 0.50);
  r.p95 = quantile_ms(&all, 0.95);
  r.p99 = quantile_ms(&all, 0.99);
  r.max = quantile_ms(&all, 1);
  wn_vec_clear(&all);
  return r;
}

static bool run(const options *opt, const ids *users, const char *path, double seconds,
                result *out) {
  worker *workers = wn_calloc((size_t)opt->threads, sizeof *workers);
  uint64_t now = wn_mono_ns();
  bool good = workers != NULL;
  int started = 0;
  for (int i = 0; i < opt->threads && good; i++) {
    workers[i] = (worker){.opt = opt, .users = users, .path = path, .number = i};
    workers[i].clients = opt->clients / opt->threads + (i < opt->clients % opt->threads);
    workers[i].count_from_ns = now + (uint64_t)(opt->warm * 1e9);
    workers[i].until_ns = workers[i].count_from_ns + (uint64_t)(seconds * 1e9);
    good = pthread_create(&workers[i].thread, NULL, load, &workers[i]) == 0;
    started += good;
  }
  for (int i = 0; i < started; i++) {
    pthread_join(workers[i].thread, NULL);
    good = good && !workers[i].failed;
  }
  if (workers != NULL) *out = merge(workers, started, seconds);
  wn_free(workers);
  return good;
}

static bool read_ids(const char *path, ids *out) {
  wn_error err = {.status = WN_OK};
  if (path == NULL) return true;
  if (wn_read_file(path, (size_t)256 << 20, &out->text, &err) != WN_OK) return false;
  for (size_t i = 0; i < out->text.len;) {
    const char *line = out->text.data + i;
    const char *end = memchr(line, '\n', out->text.len - i);
    size_t len = end != NULL ? (size_t)(end - line) : out->text.len - i;
    if (len > 0 && !wn_vec_push(&out->list, ((wn_str){line, len}))) return false;
    i += len + 1;
  }
  return out->list.len > 0;
}

static void print_row(const char *name, const result *r) {
  printf("%-26s %10.0f/s %8.3f %8.3f %8.3f %8.3f  %8.0f B %8llu not 200\n", name, r->rate, r->p50,
         r->p95, r->p99, r->max, r->bytes, (unsigned long long)r->bad);
}

static void print_machine(const options *opt, const ids *users) {
  struct utsname name;
  char cpu[128] = "unknown CPU", line[256];
  FILE *file = fopen("/proc/cpuinfo", "re");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "model name : %127[^\n]", cpu) == 1) break;
  if (file != NULL) fclose(file);
  if (uname(&name) != 0) strcpy(name.release, "?");
  printf("machine: %s, %d CPUs, Linux %s\n", cpu, wn_cpu_count(), name.release);
  printf("load: %d clients on %d threads, keep-alive, closed loop, %.0f s after %.0f s of warm-up, "
         "seed %llu, ",
         opt->clients, opt->threads, opt->seconds, opt->warm, (unsigned long long)opt->seed);
  if (users->list.len > 0) {
    printf("%zu users of %s\n", users->list.len, opt->users_file);
  } else {
    printf("%ld strangers\n", opt->users);
  }
  printf("%-26s %12s %8s %8s %8s %8s  %10s\n", "", "rate", "p50 ms", "p95 ms", "p99 ms", "max ms",
         "answer");
}

static void print_json(const result *health, const result *slates) {
  printf("{\"healthz_per_s\":%.1f,\"slates_per_s\":%.1f,\"ratio\":%.4f,\"p50_ms\":%.4f,"
         "\"p95_ms\":%.4f,\"p99_ms\":%.4f,\"max_ms\":%.4f,\"not_200\":%llu}\n",
         health->rate, slates->rate, health->rate > 0 ? slates->rate / health->rate : 0,
         slates->p50, slates->p95, slates->p99, slates->max, (unsigned long long)slates->bad);
}

static bool parse(int argc, char **argv, options *opt) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    if (strcmp(name, "--json") == 0) {
      opt->json = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const char *value = argv[++i];
    if (strcmp(name, "--port") == 0) {
      opt->port = (uint16_t)atoi(value);
    } else if (strcmp(name, "--clients") == 0) {
      opt->clients = atoi(value);
    } else if (strcmp(name, "--threads") == 0) {
      opt->threads = atoi(value);
    } else if (strcmp(name, "--seconds") == 0) {
      opt->seconds = atof(value);
    } else if (strcmp(name, "--warm") == 0) {
      opt->warm = atof(value);
    } else if (strcmp(name, "--surface") == 0) {
      opt->surface = value;
    } else if (strcmp(name, "--path") == 0) {
      opt->path = value;
    } else if (strcmp(name, "--users") == 0) {
      opt->users = atol(value);
    } else if (strcmp(name, "--users-file") == 0) {
      opt->users_file = value;
    } else if (strcmp(name, "--events") == 0) {
      opt->events = atol(value);
    } else if (strcmp(name, "--rate") == 0) {
      opt->rate = atol(value);
    } else if (strcmp(name, "--seed") == 0) {
      opt->seed = strtoull(value, NULL, 10);
    } else {
      return false;
    }
  }
  return opt->port > 0 && opt->clients >= 1 && opt->threads >= 1 && opt->threads <= opt->clients &&
         opt->seconds > 0 && opt->users > 0 && opt->events >= 0 && opt->rate >= 0;
}

int main(int argc, char **argv) {
  options opt = {.clients = 32,
                 .threads = 1,
                 .seconds = 10,
                 .warm = 1,
                 .surface = "home",
                 .users = 2000,
                 .seed = 1};
  ids users = {.text = {0}};
  result health = {.rate = 0}, slates = {.rate = 0};
  int status = 1;
  if (!parse(argc, argv, &opt)) {
    fprintf(stderr, "usage: bench_http --port PORT [--clients N] [--threads N] [--seconds S] "
                    "[--warm S]\n  [--surface NAME | --path PATH] [--users N | --users-file FILE] "
                    "[--events N] [--rate N]\n  [--seed N] [--json]\n");
    return 2;
  }
  if (!read_ids(opt.users_file, &users)) {
    fprintf(stderr, "cannot read ids from %s\n", opt.users_file);
  } else if (!run(&opt, &users, "/healthz", opt.seconds / 2, &health) ||
             !run(&opt, &users, opt.path, opt.seconds, &slates)) {
    fprintf(stderr, "the server on port %u refuses or closes connections\n", opt.port);
  } else {
    if (opt.json) {
      print_json(&health, &slates);
    } else {
      print_machine(&opt, &users);
      print_row("GET /healthz", &health);
      print_row(opt.path != NULL ? opt.path
                : opt.events > 0 ? "POST events"
                                 : opt.surface,
                &slates);
      if (opt.events > 0)
        printf("events: %.0f/s in batches of %ld\n", slates.rate * (double)opt.events, opt.events);
      printf("ratio to /healthz: %.3f\n", health.rate > 0 ? slates.rate / health.rate : 0);
    }
    status = slates.bad > 0 || slates.answers == 0;
  }
  wn_vec_clear(&users.list);
  wn_buf_clear(&users.text);
  return status;
}
