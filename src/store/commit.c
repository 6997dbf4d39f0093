/* Group commit. Senders put batches into a queue; one writer thread takes the whole queue (up to
 * GROUP_OPS_MAX operations, so that a transaction stays short), runs it as one transaction and
 * answers. While it waits for the disk the queue fills, so the load itself sets the size of the
 * groups, and nobody waits for a timer. */
#include "store/commit.h"
#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>

#define GROUP_OPS_MAX 20000

const double wn_commit_bounds[WN_COMMIT_BUCKETS - 1] = {0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                                        0.025,   0.05,   0.1,   0.5,    2.5};

static void note_time(wn_commit_times *times, uint64_t ns) {
  double seconds = (double)ns * 1e-9;
  size_t i = 0;
  while (i + 1 < WN_COMMIT_BUCKETS && seconds > wn_commit_bounds[i]) i++;
  times->buckets[i]++;
  times->seconds += seconds;
}

struct wn_committer {
  wn_store *store;
  wn_committer_options options;
  pthread_t thread;
  atomic_int last_status; /* of the last group */
  pthread_mutex_t lock;   /* of what follows */
  pthread_cond_t wake;
  wn_commit_batch *first, *last;
  size_t queued_slates; /* of stats.queued_ops */
  bool stopping;
  wn_commit_stats stats; /* queued_ops counts until the answer */
};

void wn_committer_options_defaults(wn_committer_options *options) {
  *options = (wn_committer_options){.queued_ops_max = 100000, .slates_reserve = 10000};
}

/* Cuts a group off the front of the queue; waits for one; NULL: stopped and drained. */
static wn_commit_batch *next_group(wn_committer *c) {
  pthread_mutex_lock(&c->lock);
  while (c->first == NULL && !c->stopping) pthread_cond_wait(&c->wake, &c->lock);
  wn_commit_batch *group = c->first, *end = group;
  size_t ops = group != NULL ? group->count : 0;
  while (end != NULL && end->next != NULL && ops + end->next->count <= GROUP_OPS_MAX) {
    end = end->next;
    ops += end->count;
  }
  if (end != NULL) {
    c->first = end->next;
    if (c->first == NULL) c->last = NULL;
    end->next = NULL;
  }
  pthread_mutex_unlock(&c->lock);
  return group;
}

static wn_status write_group(wn_store *store, wn_commit_batch *group, uint64_t *disk_ns,
                             wn_error *err) {
  wn_status status;
  WN_TRY(wn_store_begin(store, err));
  for (wn_commit_batch *b = group; b != NULL && status == WN_OK; b = b->next) {
    status = wn_store_append(store, b->ops, b->count, err);
  }
  uint64_t start_ns = wn_mono_ns();
  wn_status ended = wn_store_end(store, status == WN_OK, status == WN_OK ? err : NULL);
  *disk_ns = wn_mono_ns() - start_ns;
  if (status == WN_OK) status = ended;
  for (wn_commit_batch *b = group; b != NULL && status == WN_OK; b = b->next)
    wn_store_tell_erased(store, b->ops, b->count);
cleanup:
  return status;
}

static size_t slates_of(const wn_commit_batch *batch) {
  return batch->count > 0 && batch->ops[0].kind == WN_OP_SLATE ? batch->count : 0;
}

static void answer(wn_committer *c, wn_commit_batch *group, wn_status status, const wn_error *err) {
  while (group != NULL) {
    wn_commit_batch *batch = group;
    group = batch->next; /* `done` may free the batch */
    pthread_mutex_lock(&c->lock);
    c->stats.queued_ops -= batch->count;
    c->queued_slates -= slates_of(batch);
    if (status == WN_OK) c->stats.ops += batch->count;
    pthread_mutex_unlock(&c->lock);
    batch->next = NULL;
    batch->done(batch, status, status == WN_OK ? NULL : err);
  }
}

static void *write_all(void *arg) {
  wn_committer *c = arg;
  wn_commit_batch *group;
  while ((group = next_group(c)) != NULL) {
    wn_error err = {0};
    uint64_t start_ns = wn_mono_ns(), disk_ns = 0;
    wn_status status = write_group(c->store, group, &disk_ns, &err);
    uint64_t whole_ns = wn_mono_ns() - start_ns;
    atomic_store(&c->last_status, (int)status);
    pthread_mutex_lock(&c->lock);
    note_time(&c->stats.whole, whole_ns);
    note_time(&c->stats.disk, disk_ns);
    c->stats.commits += status == WN_OK;
    c->stats.failures += status != WN_OK;
    pthread_mutex_unlock(&c->lock);
    if (status == WN_OK && c->options.on_commit != NULL) {
      c->options.on_commit(c->options.ctx, group);
    }
    answer(c, group, status, &err);
  }
  return NULL;
}

wn_status wn_committer_start(wn_store *store, const wn_committer_options *options,
                             wn_committer **out, wn_error *err) {
  wn_committer *c = wn_calloc(1, sizeof *c);
  *out = NULL;
  if (c == NULL) return wn_fail_memory(err);
  c->store = store;
  c->options = *options;
  pthread_mutex_init(&c->lock, NULL);
  pthread_cond_init(&c->wake, NULL);
  if (pthread_create(&c->thread, NULL, write_all, c) != 0) {
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    wn_free(c);
    return wn_fail(err, WN_E_MEMORY, "", "cannot start the writer thread");
  }
  *out = c;
  return WN_OK;
}

/* Impressions take nothing from the room of changes while they fit into their reserve. A batch
 * larger than the whole queue may still pass when nothing else waits. */
static bool has_room(const wn_committer *c, size_t changes, size_t slates) {
  size_t queued = c->stats.queued_ops, max = c->options.queued_ops_max;
  if (queued == 0) return true;
  if (changes > max || slates > max) return false; /* and no sum below wraps */
  return queued + changes + slates <= max + c->options.slates_reserve &&
         (changes == 0 || queued - c->queued_slates + changes <= max);
}

/* With the lock held. */
static wn_status check_room(wn_committer *c, size_t changes, size_t slates, wn_error *err) {
  if (c->stopping) return wn_fail(err, WN_E_NOT_READY, "", "the store is stopping");
  if (has_room(c, changes, slates)) return WN_OK;
  c->stats.refused += changes + slates;
  return wn_fail(err, WN_E_BUSY, "", "%zu operations already wait to be written: try again shortly",
                 c->stats.queued_ops);
}

static void enqueue(wn_committer *c, wn_commit_batch *batch) {
  batch->next = NULL;
  if (c->last != NULL) {
    c->last->next = batch;
  } else {
    c->first = batch;
  }
  c->last = batch;
  c->stats.queued_ops += batch->count;
  c->queued_slates += slates_of(batch);
  pthread_cond_signal(&c->wake);
}

wn_status wn_committer_submit(wn_committer *c, wn_commit_batch *batch, wn_error *err) {
  size_t slates = slates_of(batch);
  pthread_mutex_lock(&c->lock);
  wn_status status = check_room(c, batch->count - slates, slates, err);
  if (status == WN_OK) enqueue(c, batch);
  pthread_mutex_unlock(&c->lock);
  return status;
}

wn_status wn_committer_admit(wn_committer *c, size_t count, wn_error *err) {
  pthread_mutex_lock(&c->lock);
  wn_status status = check_room(c, count, 0, err);
  pthread_mutex_unlock(&c->lock);
  return status;
}

/* One sender that sleeps until its answer. */
typedef struct waiter {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  bool answered;
  wn_status status;
  wn_error err;
} waiter;

static void wake_waiter(wn_commit_batch *batch, wn_status status, const wn_error *err) {
  waiter *w = batch->ctx;
  pthread_mutex_lock(&w->lock);
  w->answered = true;
  w->status = status;
  if (err != NULL) w->err = *err;
  pthread_cond_signal(&w->wake); /* inside: the waiter's stack frame ends right after */
  pthread_mutex_unlock(&w->lock);
}

wn_status wn_committer_run(wn_committer *c, wn_op *ops, size_t count, wn_error *err) {
  wn_status status;
  waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
  wn_commit_batch batch = {.ops = ops, .count = count, .done = wake_waiter, .ctx = &w};
  WN_TRY(wn_committer_submit(c, &batch, err));
  pthread_mutex_lock(&w.lock);
  while (!w.answered) pthread_cond_wait(&w.wake, &w.lock);
  pthread_mutex_unlock(&w.lock);
  status = w.status;
  if (status != WN_OK && err != NULL) *err = w.err;
cleanup:
  pthread_cond_destroy(&w.wake);
  pthread_mutex_destroy(&w.lock);
  return status;
}

void wn_committer_stop(wn_committer *c) {
  if (c == NULL) return;
  pthread_mutex_lock(&c->lock);
  c->stopping = true;
  pthread_cond_signal(&c->wake);
  pthread_mutex_unlock(&c->lock);
  pthread_join(c->thread, NULL);
  pthread_cond_destroy(&c->wake);
  pthread_mutex_destroy(&c->lock);
  wn_free(c);
}

void wn_committer_stats(wn_committer *c, wn_commit_stats *out) {
  pthread_mutex_lock(&c->lock);
  *out = c->stats;
  pthread_mutex_unlock(&c->lock);
  out->last = wn_committer_last(c);
}

wn_status wn_committer_last(const wn_committer *c) {
  return (wn_status)atomic_load_explicit(&c->last_status, memory_order_relaxed);
}
