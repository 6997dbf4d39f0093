/* User state against a naive twin that keeps every event and sums from scratch. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "data/pairs.h"
#include "online/online.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY_MS 86400000LL
#define NOW    (1700000000000LL)
#define SEED   20240501u

typedef WN_VEC(wn_event) event_list;

/* Types 0 and 1 fade alike, 2 faster, 3 never; 4 says nothing, 5 is negative. */
static void make_signals(wn_signals *s) {
  static const struct {
    const char *name;
    float weight, half_life;
  } rows[] = {{"a", 1, 30},   {"b", 2.5f, 30}, {"c", 3, 2},
              {"d", 0.5f, 0}, {"e", 0, 30},    {"f", -2, 7}};
  s->len = 0;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    uint32_t ix = wn_signals_add(s, wn_str_of(rows[i].name));
    s->data[ix].weight = rows[i].weight;
    s->data[ix].half_life_days = rows[i].half_life;
  }
}

typedef struct twin_pair {
  wn_pair pair;
  double weight;
  uint64_t seq;
} twin_pair;

static int by_newest(const void *a, const void *b) {
  const twin_pair *x = a, *y = b;
  if (x->pair.time_ms != y->pair.time_ms) return x->pair.time_ms > y->pair.time_ms ? -1 : 1;
  return x->seq > y->seq ? -1 : x->seq < y->seq ? 1 : 0;
}

static size_t twin_user(const event_list *events, const wn_signals *signals, wn_user_ix user,
                        int64_t now_ms, twin_pair *out) {
  size_t len = 0;
  for (size_t i = 0; i < events->len; i++) {
    const wn_event *e = &events->data[i];
    if (e->user != user) continue;
    size_t at = 0;
    while (at < len && out[at].pair.item != e->item) at++;
    if (at == len) out[len++] = (twin_pair){.pair = {.item = e->item, .time_ms = INT64_MIN}};
    twin_pair *p = &out[at];
    p->weight += (double)wn_signal_weight(signals, e->type, (double)e->value, e->time_ms, now_ms);
    p->pair.mask |= (uint64_t)1 << (e->type < 63 ? e->type : 63);
    if (e->time_ms > p->pair.time_ms || (e->time_ms == p->pair.time_ms && e->seq > p->seq)) {
      p->pair.time_ms = e->time_ms;
      p->seq = e->seq;
    }
  }
  qsort(out, len, sizeof *out, by_newest);
  return len;
}

/* A base as training writes it. */
static wn_history_base make_base(const event_list *events, size_t count, const wn_signals *signals,
                                 int64_t data_ms, wn_pairs *pairs) {
  wn_error err = {0};
  wn_pairs_input in = {.events = events->data,
                       .count = count,
                       .signals = signals,
                       .now_ms = data_ms,
                       .keep_zero = true,
                       .with_mask = true};
  assert_int_equal(wn_pairs_build(&in, pairs, &err), WN_OK);
  return (wn_history_base){.users = pairs->users,
                           .row_ptr = pairs->row_ptr,
                           .item = pairs->item,
                           .weight = pairs->weight,
                           .time_ms = pairs->time_ms,
                           .mask = pairs->mask};
}

static void check_user(const wn_online *online, const event_list *events, const wn_signals *signals,
                       wn_user_ix user) {
  wn_error err = {0};
  wn_arena arena;
  wn_arena_init(&arena, 16 << 20);
  wn_pair_list got;
  twin_pair *twin = calloc(events->len + 1, sizeof *twin);
  size_t want = twin_user(events, signals, user, NOW, twin);
  assert_int_equal(wn_online_user(online, user, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, want);
  for (size_t i = 0; i < got.len; i++) {
    assert_int_equal(got.data[i].item, twin[i].pair.item);
    assert_int_equal(got.data[i].time_ms, twin[i].pair.time_ms);
    assert_int_equal(got.data[i].mask, twin[i].pair.mask);
    assert_true(fabs((double)got.data[i].weight - twin[i].weight) <=
                1e-4 + 1e-4 * fabs(twin[i].weight));
  }
  free(twin);
  wn_arena_clear(&arena);
}

/* In the base an item has types of one half-life only, where decay is exact (online.c). */
static wn_event random_event(wn_rng *rng, uint32_t users, uint32_t items, bool base, uint64_t seq) {
  wn_event e = {.user = (wn_user_ix)wn_rng_below(rng, users),
                .item = (wn_item_ix)wn_rng_below(rng, items),
                .value = NAN,
                .seq = seq};
  static const uint32_t alike[3][2] = {{0, 1}, {2, 2}, {3, 3}};
  e.type = base ? alike[e.item % 3][wn_rng_below(rng, 2)] : (uint32_t)wn_rng_below(rng, 6);
  /* Few distinct times, so that ties are common; the delta reaches back into the base's time. */
  int64_t day = base ? 30 - (int64_t)wn_rng_below(rng, 20) : (int64_t)wn_rng_below(rng, 25);
  e.time_ms = NOW - day * DAY_MS - (int64_t)wn_rng_below(rng, 3) * 1000;
  return e;
}

static void test_twin(void **state) {
  (void)state;
  wn_signals signals;
  make_signals(&signals);
  for (uint64_t round = 0; round < 40; round++) {
    wn_rng rng;
    wn_rng_seed(&rng, SEED + round);
    uint32_t users = 1 + (uint32_t)wn_rng_below(&rng, 5);
    uint32_t items = 1 + (uint32_t)wn_rng_below(&rng, 60);
    size_t in_base = (size_t)wn_rng_below(&rng, 300);
    size_t in_delta = (size_t)wn_rng_below(&rng, 600);
    event_list events = {0};
    wn_pairs pairs = {0};
    wn_error err = {0};
    for (size_t i = 0; i < in_base; i++)
      assert_true(wn_vec_push(&events, random_event(&rng, users, items, true, i + 1)));
    wn_history_base base = {0};
    if (in_base > 0) base = make_base(&events, in_base, &signals, NOW - 10 * DAY_MS, &pairs);
    wn_online *online = wn_online_create(&signals, &base, NOW - 10 * DAY_MS);
    if (round % 2 == 1) wn_online_bound(online, "/tmp", 1000); /* about one user in memory */
    for (size_t i = 0; i < in_delta; i++) {
      wn_event e = random_event(&rng, users + 2, items, false, in_base + i + 1);
      assert_true(wn_vec_push(&events, e));
      assert_int_equal(wn_online_apply(online, &e, &err), WN_OK);
      if (i % 97 == 0) check_user(online, &events, &signals, e.user);
    }
    for (wn_user_ix u = 0; u < users + 3; u++) check_user(online, &events, &signals, u);
    wn_online_free(online);
    wn_pairs_clear(&pairs);
    wn_vec_clear(&events);
  }
}

static void test_mixed_half_lives(void **state) {
  (void)state;
  /* A base pair of a fast and a slow type lies between the two decays, at the slow one. */
  wn_signals signals;
  make_signals(&signals);
  event_list events = {0};
  wn_pairs pairs;
  wn_arena arena;
  wn_error err = {0};
  wn_pair_list got;
  int64_t then = NOW - 30 * DAY_MS;
  wn_arena_init(&arena, 1 << 20);
  assert_true(wn_vec_push(&events, ((wn_event){0, 0, 0, NAN, then, 1})));
  assert_true(wn_vec_push(&events, ((wn_event){0, 0, 2, NAN, then, 2})));
  assert_true(wn_vec_push(&events, ((wn_event){0, 1, 4, NAN, then, 3})));
  wn_history_base base = make_base(&events, events.len, &signals, then, &pairs);
  wn_online *online = wn_online_create(&signals, &base, then);
  assert_int_equal(wn_online_user(online, 0, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, 2);
  assert_int_equal(got.data[0].item, 1);
  assert_true(got.data[0].weight == 0.0f);
  assert_true(fabs((double)got.data[1].weight - 2.0) < 1e-5);
  /* A clock that stands before the data grows nothing. */
  assert_int_equal(wn_online_user(online, 0, then - DAY_MS, &arena, &got, &err), WN_OK);
  assert_true(fabs((double)got.data[1].weight - 4.0) < 1e-5);
  wn_online_free(online);
  wn_pairs_clear(&pairs);
  wn_vec_clear(&events);
  wn_arena_clear(&arena);
}

static void test_late_event(void **state) {
  (void)state;
  wn_signals signals;
  make_signals(&signals);
  wn_arena arena;
  wn_error err = {0};
  wn_pair_list got;
  wn_arena_init(&arena, 1 << 20);
  wn_online *online = wn_online_create(&signals, NULL, 0);
  wn_event e[] = {{7, 1, 0, NAN, NOW - 10, 1},
                  {7, 2, 0, NAN, NOW - 20, 2},
                  {7, 3, 0, NAN, NOW - 10, 3},
                  {7, 1, 1, NAN, NOW - 90, 4}};
  for (size_t i = 0; i < 4; i++) assert_int_equal(wn_online_apply(online, &e[i], &err), WN_OK);
  assert_int_equal(wn_online_user(online, 7, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, 3);
  assert_int_equal(got.data[0].item, 3); /* a tie: the later arrival first */
  assert_int_equal(got.data[1].item, 1); /* a late event moves nothing … */
  assert_int_equal(got.data[1].time_ms, NOW - 10);
  assert_int_equal(got.data[1].mask, 3); /* … but counts */
  assert_true(fabs((double)got.data[1].weight - 3.5) < 1e-4);
  assert_int_equal(got.data[2].item, 2);
  assert_int_equal(wn_online_user(online, WN_NO_IX, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, 0);
  wn_online_free(online);
  wn_arena_clear(&arena);
}

static size_t bytes_of(const wn_online *online) {
  wn_shelf_stats stats;
  wn_online_shelf(online, &stats);
  return stats.bytes;
}

/* Whatever is away, answers are the same to the bit. */
static void test_away(void **state) {
  (void)state;
  wn_signals signals;
  make_signals(&signals);
  wn_rng rng;
  wn_rng_seed(&rng, SEED);
  wn_error err = {0};
  wn_arena arena;
  wn_shelf_stats stats;
  wn_arena_init(&arena, 16 << 20);
  enum { MANY = 300, BOUND = 10 * 32 * 32 };
  wn_online *all = wn_online_create(&signals, NULL, 0), *few = wn_online_create(&signals, NULL, 0);
  wn_online_bound(few, "/tmp", BOUND);
  for (uint32_t i = 0; i < 30000; i++) {
    wn_event e = random_event(&rng, MANY, 60, false, i + 1);
    wn_user_ix user = (wn_user_ix)wn_rng_below(&rng, MANY);
    wn_pair_list want, got;
    assert_int_equal(wn_online_apply(all, &e, &err), WN_OK);
    assert_int_equal(wn_online_apply(few, &e, &err), WN_OK);
    if (i % 1000 == 500) wn_online_forget(all, user), wn_online_forget(few, user);
    wn_arena_reset(&arena);
    assert_int_equal(wn_online_user(all, user, NOW, &arena, &want, &err), WN_OK);
    assert_int_equal(wn_online_user(few, user, NOW, &arena, &got, &err), WN_OK);
    assert_int_equal(got.len, want.len);
    for (size_t p = 0; p < got.len; p++) {
      assert_int_equal(got.data[p].item, want.data[p].item);
      assert_int_equal(got.data[p].time_ms, want.data[p].time_ms);
      assert_int_equal(got.data[p].mask, want.data[p].mask);
      assert_memory_equal(&got.data[p].weight, &want.data[p].weight, sizeof(float));
    }
  }
  wn_online_shelf(few, &stats);
  assert_true(stats.away > MANY / 2 && stats.brought_back > 1000 && stats.failures == 0);
  assert_true(stats.bytes < BOUND + MANY * 24 + 20000);
  assert_int_equal(wn_online_delta_pairs(few), wn_online_delta_pairs(all));
  wn_online_free(all);
  wn_online_free(few);
  wn_arena_clear(&arena);
}

static void test_bounded(void **state) {
  (void)state;
  wn_signals signals;
  make_signals(&signals);
  wn_arena arena;
  wn_error err = {0};
  wn_pair_list got;
  uint32_t many = WN_USER_PAIRS_MAX * 3 + 17;
  wn_arena_init(&arena, 64 << 20);
  wn_online *online = wn_online_create(&signals, NULL, 0);
  size_t bytes = 0;
  for (uint32_t i = 0; i < many; i++) {
    wn_event e = {0, i, 0, NAN, NOW - many + i, i + 1};
    assert_int_equal(wn_online_apply(online, &e, &err), WN_OK);
    if (i == WN_USER_PAIRS_MAX * 2) bytes = bytes_of(online);
  }
  assert_int_equal(bytes_of(online), bytes);
  assert_true(wn_online_delta_pairs(online) <= 2 * WN_USER_PAIRS_MAX);
  assert_int_equal(wn_online_user(online, 0, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, WN_USER_PAIRS_MAX);
  for (uint32_t i = 0; i < got.len; i++) assert_int_equal(got.data[i].item, many - 1 - i);
  /* One pair repeated for ever takes no room. */
  for (uint32_t i = 0; i < 10000; i++) {
    wn_event e = {1, 5, 0, NAN, NOW, many + i};
    assert_int_equal(wn_online_apply(online, &e, &err), WN_OK);
  }
  assert_true(bytes_of(online) <= bytes + 4096);
  assert_int_equal(wn_online_user(online, 1, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, 1);
  assert_true(fabs((double)got.data[0].weight - 10000.0) < 0.1);
  wn_online_free(online);
  wn_arena_clear(&arena);
}

static void test_forget(void **state) {
  (void)state;
  wn_signals signals;
  make_signals(&signals);
  event_list events = {0};
  wn_pairs pairs;
  wn_arena arena;
  wn_error err = {0};
  wn_pair_list got;
  wn_arena_init(&arena, 1 << 20);
  for (uint32_t u = 0; u < 3; u++)
    for (uint32_t i = 0; i < 4; i++)
      assert_true(wn_vec_push(&events, ((wn_event){u, i, 0, NAN, NOW - i, u * 4 + i + 1})));
  wn_history_base base = make_base(&events, events.len, &signals, NOW, &pairs);
  wn_online *online = wn_online_create(&signals, &base, NOW);
  wn_event more = {1, 9, 0, NAN, NOW, 20};
  assert_int_equal(wn_online_apply(online, &more, &err), WN_OK);
  wn_online_forget(online, 1);
  wn_online_forget(online, 77);
  assert_int_equal(wn_online_user(online, 1, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, 0);
  assert_int_equal(wn_online_delta_pairs(online), 0);
  assert_int_equal(wn_online_user(online, 2, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, 4);
  /* She comes back: only what is new. */
  assert_int_equal(wn_online_apply(online, &more, &err), WN_OK);
  assert_int_equal(wn_online_user(online, 1, NOW, &arena, &got, &err), WN_OK);
  assert_int_equal(got.len, 1);
  assert_int_equal(got.data[0].item, 9);
  wn_online_free(online);
  wn_pairs_clear(&pairs);
  wn_vec_clear(&events);
  wn_arena_clear(&arena);
}

static void test_memory(void **state) {
  (void)state;
  wn_signals signals;
  make_signals(&signals);
  for (long fail = 0; fail < 40; fail++) {
    wn_error err = {0};
    wn_arena arena;
    wn_pair_list got;
    size_t applied = 0;
    wn_mem_fail_after(fail);
    wn_online *online = wn_online_create(&signals, NULL, 0);
    if (online == NULL) continue;
    for (uint32_t i = 0; i < 200; i++) {
      wn_event e = {i % 9, i, 0, NAN, NOW - i, i + 1};
      wn_status status = wn_online_apply(online, &e, &err);
      assert_true(status == WN_OK || status == WN_E_MEMORY);
      applied += status == WN_OK;
    }
    wn_mem_fail_after(-1);
    assert_true(applied >= 199);
    assert_int_equal(wn_online_delta_pairs(online), applied);
    wn_arena_init(&arena, 64);
    assert_int_equal(wn_online_user(online, 0, NOW, &arena, &got, &err), WN_E_MEMORY);
    wn_arena_clear(&arena);
    wn_online_free(online);
  }
  wn_mem_fail_after(-1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twin),       cmocka_unit_test(test_mixed_half_lives),
      cmocka_unit_test(test_late_event), cmocka_unit_test(test_bounded),
      cmocka_unit_test(test_forget),     cmocka_unit_test(test_memory),
      cmocka_unit_test(test_away),
  };
  printf("seed %u\n", SEED);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
