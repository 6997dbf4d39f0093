/* Persistent threads that wait for a generation number to change; chunks are handed out by one
 * atomic counter. Which worker gets which chunk varies, what a chunk is does not. A run from
 * inside a run of the same pool goes on in its own thread, with its own worker number. */
#include "base/thread.h"
#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct pool_worker {
  wn_pool *pool;
  pthread_t thread;
  int number;
} pool_worker;

struct wn_pool {
  pthread_mutex_t run_lock; /* one run at a time */
  pthread_mutex_t lock;
  pthread_cond_t start;
  pthread_cond_t done;
  uint64_t generation;
  int busy;
  bool stop;
  wn_pool_fn *fn; /* the run in progress */
  void *ctx;
  size_t n;
  size_t grain;
  atomic_size_t next; /* chunk */
  int threads;        /* with the caller */
  pool_worker workers[];
};

static _Thread_local const wn_pool *inside_pool;
static _Thread_local int inside_worker;

int wn_cpu_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than cpu_set_t holds */
  return online > 0 ? (int)online : 1;
}

static void work(wn_pool *pool, int worker) {
  const wn_pool *outer_pool = inside_pool;
  int outer_worker = inside_worker;
  inside_pool = pool;
  inside_worker = worker;
  size_t chunks = pool->n / pool->grain + (pool->n % pool->grain != 0);
  for (;;) {
    size_t chunk = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
    if (chunk >= chunks) break;
    size_t begin = chunk * pool->grain;
    size_t len = pool->n - begin < pool->grain ? pool->n - begin : pool->grain;
    pool->fn(pool->ctx, begin, begin + len, worker);
  }
  inside_pool = outer_pool;
  inside_worker = outer_worker;
}

static void *worker_main(void *arg) {
  pool_worker *self = arg;
  wn_pool *pool = self->pool;
  uint64_t seen = 0;
  pthread_mutex_lock(&pool->lock);
  for (;;) {
    while (!pool->stop && pool->generation == seen) pthread_cond_wait(&pool->start, &pool->lock);
    if (pool->stop) break;
    seen = pool->generation;
    pthread_mutex_unlock(&pool->lock);
    work(pool, self->number);
    pthread_mutex_lock(&pool->lock);
    if (--pool->busy == 0) pthread_cond_signal(&pool->done);
  }
  pthread_mutex_unlock(&pool->lock);
  return NULL;
}

wn_pool *wn_pool_create(int threads) {
  if (threads <= 0) threads = wn_cpu_count();
  wn_pool *pool = wn_calloc(1, sizeof *pool + (size_t)threads * sizeof *pool->workers);
  if (pool == NULL) return NULL;
  pthread_mutex_init(&pool->run_lock, NULL);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->start, NULL);
  pthread_cond_init(&pool->done, NULL);
  pool->threads = 1;
  while (pool->threads < threads) {
    pool_worker *worker = &pool->workers[pool->threads];
    worker->pool = pool;
    worker->number = pool->threads;
    if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0) break;
    pool->threads++;
  }
  return pool;
}

void wn_pool_free(wn_pool *pool) {
  if (pool == NULL) return;
  pthread_mutex_lock(&pool->lock);
  pool->stop = true;
  pthread_cond_broadcast(&pool->start);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 1; i < pool->threads; i++) pthread_join(pool->workers[i].thread, NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->start);
  pthread_mutex_destroy(&pool->lock);
  pthread_mutex_destroy(&pool->run_lock);
  wn_free(pool);
}

int wn_pool_threads(const wn_pool *pool) {
  return pool->threads;
}

static void run_alone(size_t n, size_t grain, wn_pool_fn *fn, void *ctx, int worker) {
  for (size_t begin = 0; begin < n;) {
    size_t len = n - begin < grain ? n - begin : grain;
    fn(ctx, begin, begin + len, worker);
    begin += len;
  }
}

void wn_pool_run(wn_pool *pool, size_t n, size_t grain, wn_pool_fn *fn, void *ctx) {
  if (grain == 0) grain = 1;
  if (inside_pool == pool) {
    run_alone(n, grain, fn, ctx, inside_worker);
    return;
  }
  if (pool->threads == 1 || n <= grain) {
    run_alone(n, grain, fn, ctx, 0);
    return;
  }
  pthread_mutex_lock(&pool->run_lock);
  pthread_mutex_lock(&pool->lock);
  pool->fn = fn;
  pool->ctx = ctx;
  pool->n = n;
  pool->grain = grain;
  atomic_store(&pool->next, 0);
  pool->busy = pool->threads - 1;
  pool->generation++;
  pthread_cond_broadcast(&pool->start);
  pthread_mutex_unlock(&pool->lock);
  work(pool, 0);
  pthread_mutex_lock(&pool->lock);
  while (pool->busy > 0) pthread_cond_wait(&pool->done, &pool->lock);
  pthread_mutex_unlock(&pool->lock);
  pthread_mutex_unlock(&pool->run_lock);
}
