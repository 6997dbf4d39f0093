/* Group commit: many senders, one writer; a full queue, an orderly stop, a store that fails. */
#include "faulty_vfs.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 32
#define EACH    40

static wn_committer *start(wn_store *store, const wn_committer_options *options) {
  wn_committer *c = NULL;
  wn_error err;
  wn_committer_options defaults;
  wn_committer_options_defaults(&defaults);
  assert_ok(wn_committer_start(store, options != NULL ? options : &defaults, &c, &err));
  return c;
}

typedef struct sender {
  wn_committer *committer;
  wn_store *store;
  int number;
  int failures;
  uint64_t seqs[EACH];
} sender;

static void *send_all(void *arg) {
  sender *s = arg;
  for (int i = 0; i < EACH; i++) {
    wn_error err;
    char user[24], id[24];
    snprintf(user, sizeof user, "u%d", s->number);
    snprintf(id, sizeof id, "%d-%d", s->number, i);
    wn_op op = event_op(id, user, "x", "view");
    wn_status status = wn_committer_run(s->committer, &op, 1, &err);
    bool ok = status == WN_OK && op.status == WN_OK && !op.duplicate && op.seq > 0;
    s->seqs[i] = op.seq;
    /* acknowledged means visible */
    wn_store_counts counts;
    ok = ok && wn_store_counts_get(s->store, &counts, &err) == WN_OK && counts.last_seq >= op.seq;
    s->failures += !ok;
  }
  return NULL;
}

typedef struct seen_commits {
  uint64_t commits, ops, last_seq;
} seen_commits;

/* On the writer thread, before any sender is told; sequence numbers ascend over all batches. */
static void note_commit(void *ctx, wn_commit_batch *batches) {
  seen_commits *seen = ctx;
  seen->commits++;
  for (wn_commit_batch *b = batches; b != NULL; b = b->next) {
    for (size_t i = 0; i < b->count; i++) {
      if (b->ops[i].seq != seen->last_seq + 1) seen->last_seq = UINT64_MAX / 2;
      seen->last_seq++;
      seen->ops++;
    }
  }
}

static void test_many_senders(WN_UNUSED void **state) {
  static sender senders[THREADS];
  pthread_t threads[THREADS];
  static bool used[THREADS * EACH + 1];
  seen_commits seen = {0};
  wn_committer_options options;
  wn_commit_stats stats;
  wn_committer_options_defaults(&options);
  options.on_commit = note_commit;
  options.ctx = &seen;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_committer *c = start(store, &options);
  for (int i = 0; i < THREADS; i++) {
    senders[i] = (sender){.committer = c, .store = store, .number = i};
    assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
  }
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  wn_committer_stats(c, &stats);
  wn_committer_stop(c);
  for (int i = 0; i < THREADS; i++) {
    assert_int_equal(senders[i].failures, 0);
    for (int j = 0; j < EACH; j++) {
      assert_in_range(senders[i].seqs[j], 1, THREADS * EACH);
      assert_false(used[senders[i].seqs[j]]);
      used[senders[i].seqs[j]] = true;
    }
  }
  assert_int_equal(seen.last_seq, THREADS * EACH);
  assert_int_equal(stats.ops, THREADS * EACH);
  assert_int_equal(stats.commits, seen.commits);
  assert_int_equal(stats.queued_ops, 0);
  assert_true(stats.commits < THREADS * EACH); /* groups did form */
  assert_true(stats.disk.seconds > 0 && stats.whole.seconds > stats.disk.seconds);
  print_message("%d operations in %llu commits\n", THREADS * EACH,
                (unsigned long long)stats.commits);
  check_counts(store);
  wn_store_close(store);
}

/* Batches whose answers are counted; the first may hold the writer thread. */
typedef struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool open, entered;
  int answered, failed;
} gate;

static void hold_writer(void *ctx, WN_UNUSED wn_commit_batch *batches) {
  gate *g = ctx;
  pthread_mutex_lock(&g->lock);
  g->entered = true;
  pthread_cond_broadcast(&g->changed);
  while (!g->open) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

static void count_answer(wn_commit_batch *batch, wn_status status, const wn_error *err) {
  gate *g = batch->ctx;
  pthread_mutex_lock(&g->lock);
  g->answered++;
  g->failed += status != WN_OK;
  if (status != WN_OK && err == NULL) g->failed = 1000;
  pthread_mutex_unlock(&g->lock);
}

static void open_gate(gate *g) {
  pthread_mutex_lock(&g->lock);
  g->open = true;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
}

static void wait_entered(gate *g) {
  pthread_mutex_lock(&g->lock);
  while (!g->entered) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

static void test_queue_full_and_stop(WN_UNUSED void **state) {
  gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  wn_error err;
  wn_op ops[12];
  wn_commit_batch batches[12];
  wn_committer_options options;
  wn_commit_stats stats;
  wn_committer_options_defaults(&options);
  options.queued_ops_max = 10;
  options.on_commit = hold_writer;
  options.ctx = &g;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_committer *c = start(store, &options);
  for (int i = 0; i < 12; i++) {
    ops[i] = event_op(NULL, "a", "x", "view");
    batches[i] = (wn_commit_batch){.ops = &ops[i], .count = 1, .done = count_answer, .ctx = &g};
    wn_status status = wn_committer_submit(c, &batches[i], &err);
    assert_int_equal(status, i < 10 ? WN_OK : WN_E_BUSY);
    if (i == 0) wait_entered(&g);
  }
  wn_committer_stats(c, &stats);
  assert_int_equal(stats.queued_ops, 10);
  assert_int_equal(stats.refused, 2);
  open_gate(&g);
  wn_committer_stop(c); /* commits what it accepted */
  assert_int_equal(g.answered, 10);
  assert_int_equal(g.failed, 0);
  assert_int_equal(counts_of(store).events, 10);
  wn_store_close(store);
}

/* What waits of changes takes no room from slates, and the other way round up to their reserve. */
static void test_slates_have_their_own_room(WN_UNUSED void **state) {
  gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
  wn_error err;
  static const char *const ids[] = {"a", "b", "c", "d"};
  wn_op events[10], slates[4];
  wn_commit_batch halves[2], shown[4];
  wn_committer_options options;
  wn_commit_stats stats;
  wn_committer_options_defaults(&options);
  assert_int_equal(options.slates_reserve, options.queued_ops_max / 10);
  options = (wn_committer_options){10, 3, hold_writer, &g};
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_committer *c = start(store, &options);
  for (int i = 0; i < 10; i++) events[i] = event_op(NULL, "a", "x", "view");
  for (int i = 0; i < 2; i++)
    halves[i] = (wn_commit_batch){&events[i * 5], 5, count_answer, &g, NULL};
  for (int i = 0; i < 4; i++) {
    slates[i] = (wn_op){.kind = WN_OP_SLATE, .u.slate = {.surface = WN_STR("home")}};
    slates[i].u.slate.id = wn_str_of(ids[i]);
    slates[i].u.slate.user = slates[i].u.slate.anchor = WN_NO_IX;
    shown[i] = (wn_commit_batch){&slates[i], 1, count_answer, &g, NULL};
  }
  assert_ok(wn_committer_submit(c, &halves[0], &err));
  wait_entered(&g);
  assert_ok(wn_committer_submit(c, &shown[0], &err));
  assert_int_equal(wn_committer_admit(c, 6, &err), WN_E_BUSY);
  assert_ok(wn_committer_admit(c, 5, &err));
  assert_ok(wn_committer_submit(c, &halves[1], &err)); /* 10 changes and a slate */
  assert_int_equal(wn_committer_admit(c, 1, &err), WN_E_BUSY);
  assert_ok(wn_committer_submit(c, &shown[1], &err));
  assert_ok(wn_committer_submit(c, &shown[2], &err));
  assert_int_equal(wn_committer_submit(c, &shown[3], &err), WN_E_BUSY);
  wn_committer_stats(c, &stats);
  assert_int_equal(stats.queued_ops, 13);
  assert_int_equal(stats.refused, 8);
  open_gate(&g);
  wn_committer_stop(c);
  assert_int_equal(g.answered, 5);
  assert_int_equal(g.failed, 0);
  assert_int_equal(counts_of(store).events, 10);
  assert_int_equal(counts_of(store).slates, 3);
  wn_store_close(store);
}

/* One batch larger than the queue passes when nothing waits. */
static void test_large_batch(WN_UNUSED void **state) {
  wn_error err;
  wn_op ops[30];
  wn_committer_options options;
  wn_committer_options_defaults(&options);
  options.queued_ops_max = 10;
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_committer *c = start(store, &options);
  for (int i = 0; i < 30; i++) ops[i] = event_op(NULL, "a", "x", "view");
  ops[7].u.event.user = WN_STR("");
  assert_ok(wn_committer_run(c, ops, 30, &err));
  assert_int_equal(ops[7].status, WN_E_ARGUMENT); /* its own affair */
  assert_int_equal(ops[29].seq, 29);
  assert_ok(wn_committer_run(c, ops, 0, &err));
  wn_committer_stop(c);
  assert_int_equal(counts_of(store).events, 29);
  wn_store_close(store);
}

static void test_failures(WN_UNUSED void **state) {
  wn_error err;
  wn_commit_stats stats;
  wn_op op = event_op(NULL, "a", "x", "view");
  wn_store *store = open_store(WN_STORE_WRITE);
  wn_committer *c = start(store, NULL);
  assert_ok(wn_committer_run(c, &op, 1, &err));
  fault_set(FAULT_FULL, 0, true);
  assert_int_equal(wn_committer_run(c, &op, 1, &err), WN_E_FULL);
  fault_set(FAULT_NONE, 0, false);
  assert_ok(wn_committer_run(c, &op, 1, &err)); /* space again */
  fault_set(FAULT_SYNC, 0, false);
  assert_int_equal(wn_committer_run(c, &op, 1, &err), WN_E_IO);
  fault_set(FAULT_NONE, 0, false);
  assert_int_equal(wn_committer_run(c, &op, 1, &err), WN_E_IO); /* for good */
  assert_non_null(strstr(err.message, "no more writes"));
  wn_committer_stats(c, &stats);
  assert_int_equal(stats.failures, 3);
  assert_int_equal(stats.commits, 2);
  wn_committer_stop(c);
  wn_committer_stop(NULL);
  assert_int_equal(counts_of(store).events, 2);
  wn_store_close(store);
}

#define IN_DIR(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_DIR(test_many_senders),
      IN_DIR(test_queue_full_and_stop),
      IN_DIR(test_slates_have_their_own_room),
      IN_DIR(test_large_batch),
      IN_DIR(test_failures),
  };
  faulty_install();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
