/* kill -9 in a loop. A child ingests batches under client ids and says through a pipe how far the
 * acknowledgements go; it is killed at a random moment, 100 times on one store. Each next child
 * first sends again what was acknowledged last and what was not. In the end, and each time in
 * between: every acknowledged event is there, and none twice. */
#include "store_testing.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define KILLS 100
#define BATCH 7

static void ids_of(uint64_t number, char id[24], char user[24], char item[24]) {
  snprintf(id, 24, "e%llu", (unsigned long long)number);
  snprintf(user, 24, "u%llu", (unsigned long long)(number % 97));
  snprintf(item, 24, "i%llu", (unsigned long long)(number % 1009));
}

/* Ingests from `next` on until killed. Never returns. */
static void ingest(uint64_t next, int pipe_fd) {
  wn_store *store = NULL;
  wn_error err;
  if (wn_store_open(test_dir, WN_STORE_WRITE, &store, &err) != WN_OK) _exit(3);
  for (;;) {
    wn_op ops[BATCH];
    char ids[BATCH][3][24];
    for (int i = 0; i < BATCH; i++) {
      ids_of(next + (uint64_t)i, ids[i][0], ids[i][1], ids[i][2]);
      ops[i] = event_op(ids[i][0], ids[i][1], ids[i][2], "view");
    }
    if (wn_store_commit(store, ops, BATCH, &err) != WN_OK) _exit(4);
    for (int i = 0; i < BATCH; i++) {
      if (ops[i].status != WN_OK) _exit(5);
    }
    next += BATCH;
    if (write(pipe_fd, &next, sizeof next) != (ssize_t)sizeof next) _exit(6);
  }
}

/* Runs one child for a random time and gives the number of events that it acknowledged. Half of
 * the children live to see their first acknowledgement, the others may die while they open. */
static uint64_t run_child(uint64_t next, uint64_t acknowledged, bool settled, wn_rng *rng) {
  int fds[2], result = 0;
  uint64_t told;
  assert_int_equal(pipe(fds), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    close(fds[0]);
    ingest(next, fds[1]);
  }
  close(fds[1]);
  struct pollfd first = {.fd = fds[0], .events = POLLIN};
  if (settled) poll(&first, 1, 20000);
  struct timespec wait = {0, (long)(100000 + wn_rng_below(rng, 20000000))};
  nanosleep(&wait, NULL);
  kill(pid, SIGKILL);
  while (read(fds[0], &told, sizeof told) == (ssize_t)sizeof told) {
    if (told > acknowledged) acknowledged = told;
  }
  close(fds[0]);
  assert_int_equal(waitpid(pid, &result, 0), pid);
  if (!WIFSIGNALED(result)) fail_msg("the child gave up with code %d", WEXITSTATUS(result));
  return acknowledged;
}

/* How often each event is stored, told from its user and item. */
static void check_events(uint64_t acknowledged) {
  wn_error err;
  event_list seen = {0};
  wn_store *store = open_store(WN_STORE_READ);
  assert_ok(wn_store_scan_events(store, 0, 0, keep_event, &seen, &err));
  assert_true(seen.len >= acknowledged && seen.len <= acknowledged + BATCH);
  for (size_t i = 0; i < seen.len; i++) {
    char id[24], user[24], item[24];
    ids_of(i, id, user, item); /* in order, since each batch waits for the one before */
    assert_str(wn_dict_key(wn_store_users(store), seen.data[i].user), user);
    assert_str(wn_dict_key(wn_store_items(store), seen.data[i].item), item);
    assert_int_equal(seen.data[i].seq, i + 1);
  }
  check_counts(store);
  wn_vec_clear(&seen);
  wn_store_close(store);
}

static void test_kill9(WN_UNUSED void **state) {
  wn_rng rng;
  uint64_t acknowledged = 0;
  wn_rng_seed(&rng, 9);
  wn_store_close(open_store(WN_STORE_WRITE));
  for (int i = 0; i < KILLS; i++) {
    uint64_t again = acknowledged >= 3 * BATCH ? acknowledged - 3 * BATCH : 0;
    acknowledged = run_child(again, acknowledged, i % 2 == 0, &rng);
    if (i % 4 == 3) check_events(acknowledged);
  }
  check_events(acknowledged);
  check_integrity();
  print_message("%d kills, %llu events acknowledged\n", KILLS, (unsigned long long)acknowledged);
  assert_true(acknowledged > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_kill9, make_dir, drop_dir),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
