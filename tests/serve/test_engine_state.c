/* Users' state beyond server.state_mb lies in a file: nothing that can be asked may tell. A random
 * life of an engine whose bound holds about ten users (events, late ones too, requests, erasures,
 * restarts without a close, trainings and swaps), compared with one that holds all of them. */

#include "engine_fixture.h"

enum { PEOPLE = 90, ROUNDS = 4, STEPS = 60 };

#define SURFACE                                                                                    \
  "surfaces: {home: {flavour: personal, retrieve: [{model: covisit, quota: 50}, "                  \
  "{model: als, quota: 50}, {model: popular, quota: 20}]}}\n"

static const char *const few = SURFACE "server: {state_mb: 0.003}\n";
static const char *const all = SURFACE "server: {state_mb: 100}\n";

static void compare_slates(world *a, world *b, wn_rng *rng) {
  for (int i = 0; i < 20; i++) {
    char user[24];
    snprintf(user, sizeof user, "u%u", (unsigned)wn_rng_below(rng, PEOPLE));
    wn_slate_request request = {
        .surface = WN_STR("home"), .user = wn_str_of(user), .n = 20, .look = true, .seed = 7};
    slate x = ask_with(a, request), y = ask_with(b, request);
    assert_int_equal(x.status, WN_OK);
    assert_int_equal(y.status, WN_OK);
    assert_int_equal(x.answer.len, y.answer.len);
    assert_int_equal(x.answer.personal, y.answer.personal);
    for (size_t k = 0; k < x.answer.len; k++)
      assert_int_equal(x.answer.items[k].ix, y.answer.items[k].ix);
    slate_clear(&x);
    slate_clear(&y);
  }
}

static wn_hash128 digest_of(const world *w, wn_engine_stats *stats) {
  wn_error err = {0};
  wn_engine_digest digest;
  assert_ok(wn_engine_digest_get(w->engine, &digest, &err));
  wn_engine_stats_get(w->engine, stats);
  return digest.digest;
}

/* The writer as it is, and a reader of the same folder that replays the log without a bound. Slates
 * only where nobody was erased: what they did goes from the log at once, and from the sums of
 * popularity and co-occurrence with a restart. */
static void compare(world *w, wn_rng *rng, bool slates) {
  world reader = *w;
  wn_error err = {0};
  wn_engine_stats bounded, unbounded;
  reader.engine = NULL;
  assert_ok(world_try_open(&reader, WN_STORE_READ, all, &err));
  wn_hash128 x = digest_of(w, &bounded), y = digest_of(&reader, &unbounded);
  assert_memory_equal(&x, &y, sizeof x);
  assert_int_equal(unbounded.shelves.away, 0);
  assert_true(bounded.shelves.away > 20);
  assert_int_equal(bounded.shelves.failures, 0);
  assert_int_equal(bounded.delta_pairs, unbounded.delta_pairs);
  if (slates) compare_slates(w, &reader, rng);
  wn_engine_close(reader.engine);
}

static void step(world *w, wn_rng *rng, bool erase) {
  char user[24], item[24];
  wn_error err = {0};
  static const char *const types[] = {"view", "like", "buy"};
  snprintf(user, sizeof user, "u%u", (unsigned)wn_rng_below(rng, PEOPLE));
  snprintf(item, sizeof item, "i%u", (unsigned)wn_rng_below(rng, ITEMS));
  uint64_t kind = wn_rng_below(rng, 40);
  if (kind == 0 && erase) {
    wn_op op = {.kind = WN_OP_USER_DELETE, .u.user = {.id = wn_str_of(user)}};
    assert_ok(wn_engine_commit(w->engine, &op, 1, &err));
  } else if (kind < 8) {
    slate s = ask(w, "home", user, "", 5);
    slate_clear(&s);
  } else {
    wn_op op = event_op(w, user, item, types[wn_rng_below(rng, 3)]);
    w->now_ms += 1000;
    op.u.event.time_ms = w->now_ms - (kind == 9 ? 3600000 : 0);
    commit(w, op);
  }
}

static void live(uint64_t seed, bool erase) {
  world w;
  wn_rng rng;
  wn_error err = {0};
  wn_rng_seed(&rng, seed);
  world_init(&w);
  w.now_ms -= 86400000;
  world_open_as(&w, few);
  world_fill(&w);
  for (int i = 0; i < 150; i++) step(&w, &rng, erase);
  for (int round = 0; round < ROUNDS; round++) {
    bool swapped;
    for (int i = 0; i < STEPS; i++) step(&w, &rng, erase);
    compare(&w, &rng, !erase);
    if (round % 2 == 0) {
      world_close(&w);
      world_open_as(&w, few);
    } else {
      world_train(&w, true);
      assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
      assert_true(swapped);
      for (int i = 0; i < STEPS; i++) step(&w, &rng, erase);
    }
    compare(&w, &rng, !erase);
  }
  world_remove(&w);
}

static void test_nothing_tells(void **state) {
  (void)state;
  live(20261122, false);
}

static void test_erased(void **state) {
  (void)state;
  live(20261123, true);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing_tells),
                                     cmocka_unit_test(test_erased)};
  wn_log_set(wn_log_stderr, NULL, WN_LOG_ERROR);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
