/* Ingestion, hiding, slates and snapshot swaps at once. Claims: an item that is hidden when a
 * request begins and still is when it ends was not shown; no session was served an item twice; and
 * after each round the state equals the one that a fresh start reads from the disk (each event
 * counted exactly once, whatever swap it met). Run under ThreadSanitizer by the tsan preset. */

#include "engine_fixture.h"

#include "serve/engine_internal.h"
#include <pthread.h>
#include <stdatomic.h>

#ifdef __SANITIZE_THREAD__ /* it sees a race the first time, and is ten times slower */
#define ROUNDS 6
#else
#define ROUNDS 16
#endif

enum { INGESTERS = 2, READERS = 2, BATCHES = 25, BATCH = 4, SWAPS = 4, HIDES = 12, SESSIONS = 50 };

typedef struct stage {
  world w;
  atomic_uint epoch[ITEMS]; /* odd: hidden */
  atomic_bool stop;
  atomic_int failures;
  atomic_int slates, swaps;
  atomic_bool served[SESSIONS * ROUNDS][ITEMS];
  int round;
} stage;

typedef struct actor {
  stage *stage;
  uint64_t seed;
} actor;

static void check(stage *s, bool good, const char *what, const wn_error *err) {
  char why[900];
  if (good) return;
  atomic_fetch_add(&s->failures, 1);
  print_error("%s: %s\n", what, wn_error_format(err, why, sizeof why));
}

static void *ingest(void *arg) {
  actor *a = arg;
  wn_rng rng;
  wn_rng_seed(&rng, a->seed);
  for (int b = 0; b < BATCHES; b++) {
    char users[BATCH][16], items[BATCH][16];
    wn_op ops[BATCH];
    wn_error err = {0};
    for (int i = 0; i < BATCH; i++) {
      snprintf(users[i], sizeof users[i], "u%u", (unsigned)wn_rng_below(&rng, USERS + 20));
      snprintf(items[i], sizeof items[i], "i%u", (unsigned)wn_rng_below(&rng, ITEMS));
      ops[i] = event_op(&a->stage->w, users[i], items[i], wn_rng_below(&rng, 2) ? "view" : "like");
      ops[i].u.event.time_ms += b;
    }
    check(a->stage, wn_engine_commit(a->stage->w.engine, ops, BATCH, &err) == WN_OK, "events",
          &err);
  }
  return NULL;
}

/* A user whom readers ask for, too. */
static void come_and_go(actor *a) {
  for (int i = 0; i < 2; i++) {
    wn_error err = {0};
    wn_op op = {.kind = i == 0 ? WN_OP_USER_PUT : WN_OP_USER_DELETE,
                .u.user = {.id = WN_STR("u85")}};
    check(a->stage, wn_engine_commit(a->stage->w.engine, &op, 1, &err) == WN_OK, "user", &err);
  }
}

/* Hides and shows items, half by patch, half by delete and put. */
static void *hide(void *arg) {
  actor *a = arg;
  wn_rng rng;
  wn_rng_seed(&rng, a->seed);
  for (int i = 0; i < HIDES; i++) {
    char id[16];
    wn_error err = {0};
    unsigned item = (unsigned)wn_rng_below(&rng, ITEMS);
    if (i == HIDES / 2) come_and_go(a);
    bool hidden = atomic_load(&a->stage->epoch[item]) % 2 == 1;
    wn_op op = item_op(WN_OP_ITEM_PATCH, id, NULL, NULL);
    snprintf(id, sizeof id, "i%u", item);
    op.u.item.id = wn_str_of(id);
    if (item % 3 == 0) {
      op.kind = hidden ? WN_OP_ITEM_PUT : WN_OP_ITEM_DELETE;
      op.u.item.title = WN_STR("Back");
    }
    op.patch = hidden ? WN_STR("{\"status\": \"active\"}") : WN_STR("{\"status\": \"hidden\"}");
    if (hidden) atomic_fetch_add(&a->stage->epoch[item], 1); /* visible any moment from now */
    check(a->stage, wn_engine_commit(a->stage->w.engine, &op, 1, &err) == WN_OK, "hide", &err);
    if (!hidden) atomic_fetch_add(&a->stage->epoch[item], 1);
  }
  return NULL;
}

static void read_once(actor *a, wn_rng *rng, int number) {
  static const char *const surfaces[] = {"home", "similar", "feed", "popular"};
  unsigned before[ITEMS];
  stage *s = a->stage;
  char user[16], item[16], session[16];
  bool feed = number % 4 == 2;
  int place = s->round * SESSIONS + number / 4 % SESSIONS;
  snprintf(user, sizeof user, "u%u", (unsigned)wn_rng_below(rng, USERS + 30));
  snprintf(item, sizeof item, "i%u", 1 + 3 * (unsigned)wn_rng_below(rng, ITEMS / 3));
  snprintf(session, sizeof session, "s%d", place);
  for (int i = 0; i < ITEMS; i++) before[i] = atomic_load(&s->epoch[i]);
  slate got =
      ask_with(&s->w, (wn_slate_request){.surface = wn_str_of(surfaces[number % 4]),
                                         .user = wn_str_of(user),
                                         .item = wn_str_of(item),
                                         .session = wn_str_of(session),
                                         .n = 1 + (uint32_t)wn_rng_below(rng, feed ? 5 : 60),
                                         .explain = number % 7 == 0,
                                         .log = number % 5 != 0});
  check(s, got.status == WN_OK, "slate", &got.err);
  for (size_t i = 0; got.status == WN_OK && i < got.answer.len; i++) {
    wn_item_ix ix = got.answer.items[i].ix;
    bool was_hidden = before[ix] % 2 == 1 && atomic_load(&s->epoch[ix]) == before[ix];
    check(s, !was_hidden, "a hidden item was shown", &got.err);
    check(s, !feed || !atomic_exchange(&s->served[place][ix], true), "served twice", &got.err);
  }
  atomic_fetch_add(&s->slates, 1);
  slate_clear(&got);
}

static void *read_slates(void *arg) {
  actor *a = arg;
  wn_rng rng;
  wn_rng_seed(&rng, a->seed);
  for (int i = 0; !atomic_load(&a->stage->stop); i++) {
    wn_engine_stats stats;
    read_once(a, &rng, i);
    if (i % 16 == 0) wn_engine_stats_get(a->stage->w.engine, &stats);
  }
  return NULL;
}

static void *swap(void *arg) {
  actor *a = arg;
  stage *s = a->stage;
  for (uint64_t i = 0; i < SWAPS; i++) {
    bool swapped = false;
    wn_error err = {0};
    check(s, wn_snapshot_set_current(s->w.dir, 2 - i % 2, &err) == WN_OK, "set current", &err);
    check(s, wn_engine_refresh(s->w.engine, &swapped, &err) == WN_OK, "refresh", &err);
    atomic_fetch_add(&s->swaps, swapped);
  }
  return NULL;
}

static void same_state(world *live, wn_engine *fresh) {
  wn_arena arena;
  wn_error err = {0};
  uint32_t users = wn_dict_count(wn_store_users(live->engine->store));
  wn_arena_init(&arena, ARENA);
  assert_int_equal(users, wn_dict_count(wn_store_users(fresh->store)));
  assert_int_equal(live->engine->applied_seq, fresh->applied_seq);
  for (uint32_t u = 0; u < users; u++) {
    wn_pair_list a, b;
    wn_arena_reset(&arena);
    assert_ok(wn_online_user(live->engine->serving->online, u, live->now_ms, &arena, &a, &err));
    assert_ok(wn_online_user(fresh->serving->online, u, live->now_ms, &arena, &b, &err));
    assert_int_equal(a.len, b.len);
    for (size_t i = 0; i < a.len; i++) {
      assert_int_equal(a.data[i].item, b.data[i].item);
      assert_int_equal(a.data[i].time_ms, b.data[i].time_ms);
      assert_int_equal(a.data[i].mask, b.data[i].mask);
      assert_true(fabsf(a.data[i].weight - b.data[i].weight) < 1e-3f);
    }
  }
  for (wn_item_ix i = 0; i < ITEMS; i++)
    assert_int_equal(wn_catalog_status(live->engine->catalog, i),
                     wn_catalog_status(fresh->catalog, i));
  wn_arena_clear(&arena);
}

static void run_round(stage *s) {
  pthread_t writers[INGESTERS + 2], readers[READERS];
  actor actors[INGESTERS + 2 + READERS];
  for (uint64_t i = 0; i < INGESTERS + 2 + READERS; i++)
    actors[i] = (actor){.stage = s, .seed = 100 * (uint64_t)s->round + i};
  atomic_store(&s->stop, false);
  for (int i = 0; i < READERS; i++)
    assert_int_equal(pthread_create(&readers[i], NULL, read_slates, &actors[INGESTERS + 2 + i]), 0);
  for (int i = 0; i < INGESTERS + 2; i++)
    assert_int_equal(pthread_create(&writers[i], NULL,
                                    i < INGESTERS    ? ingest
                                    : i == INGESTERS ? hide
                                                     : swap,
                                    &actors[i]),
                     0);
  for (int i = 0; i < INGESTERS + 2; i++) pthread_join(writers[i], NULL);
  atomic_store(&s->stop, true);
  for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
}

static void test_all_at_once(void **state) {
  (void)state;
  static stage s;
  wn_error err = {0};
  world_ready(&s.w, "");
  for (int i = 0; i < 10; i++) event(&s.w, "u1", "i1", "view");
  assert_int_equal(world_train(&s.w, false), 2); /* ends elsewhere than the first */
  for (s.round = 0; s.round < ROUNDS; s.round++) {
    run_round(&s);
    assert_int_equal(atomic_load(&s.failures), 0);
    assert_int_equal(s.w.engine->applied_seq,
                     EVENTS + 10 + (s.round + 1) * INGESTERS * BATCHES * BATCH);
    world fresh = {.now_ms = s.w.now_ms};
    memcpy(fresh.dir, s.w.dir, sizeof s.w.dir);
    assert_ok(world_try_open(&fresh, WN_STORE_READ, "", &err));
    same_state(&s.w, fresh.engine);
    wn_engine_close(fresh.engine);
  }
  print_message("%d slates, %d swaps\n", atomic_load(&s.slates), atomic_load(&s.swaps));
  assert_int_equal(atomic_load(&s.swaps), ROUNDS * SWAPS);
  assert_true(atomic_load(&s.slates) > 20);
  world_remove(&s.w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_at_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
