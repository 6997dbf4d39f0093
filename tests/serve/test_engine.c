/* The engine's promises, over a real store and real snapshots. */

#include "engine_fixture.h"

#include "base/mem.h"
#include "serve/engine_internal.h"
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>

static void flip_byte(const world *w, uint64_t number) {
  char path[4096];
  unsigned char byte;
  int fd = open(wn_snapshot_path(w->dir, number, path, sizeof path), O_RDWR);
  assert_true(fd >= 0);
  off_t at = lseek(fd, 0, SEEK_END) / 2;
  assert_int_equal(pread(fd, &byte, 1, at), 1);
  byte ^= 0x10;
  assert_int_equal(pwrite(fd, &byte, 1, at), 1);
  close(fd);
}

static void test_event_changes_next_slate(void **state) {
  (void)state;
  world w;
  world_ready(&w, "");
  for (int round = 0; round < 3; round++) {
    slate s = ask(&w, "home", "u0", NULL, 10);
    assert_int_equal(s.answer.len, 10);
    assert_true(s.answer.user_known && s.answer.personal);
    assert_int_equal(s.answer.snapshot, 1);
    char first[64];
    snprintf(first, sizeof first, "%.*s", WN_STR_ARG(s.answer.items[0].id));
    assert_int_equal(strncmp(first, "i", 1), 0);
    event(&w, "u0", first, "view");
    slate next = ask(&w, "home", "u0", NULL, 10);
    assert_false(slate_has(&next, first));
    slate_clear(&next);
    slate_clear(&s);
  }
  world_remove(&w);
}

static size_t games(const slate *s) {
  size_t count = 0;
  for (size_t i = 0; i < s->answer.len; i++)
    count +=
        s->answer.items[i].title.len > 4 && memcmp(s->answer.items[i].title.ptr, "Game", 4) == 0;
  return count;
}

static void test_new_user(void **state) {
  (void)state;
  world w;
  world_ready(&w, "");
  slate s = ask(&w, "home", "stranger", NULL, 8);
  assert_int_equal(s.answer.len, 8); /* the fallback */
  assert_false(s.answer.user_known || s.answer.personal);
  slate_clear(&s);
  event(&w, "stranger", "i10", "view");
  s = ask(&w, "home", "stranger", NULL, 8);
  assert_true(s.answer.user_known && s.answer.personal);
  assert_false(slate_has(&s, "i10"));
  assert_true(games(&s) >= 7);
  slate_clear(&s);
  event(&w, "reader", "i11", "purchase"); /* a type nobody used before */
  s = ask(&w, "home", "reader", NULL, 8);
  assert_true(s.answer.personal);
  assert_true(games(&s) <= 1);
  slate_clear(&s);
  world_remove(&w);
}

static void test_items_at_once(void **state) {
  (void)state;
  world w;
  world_ready(&w, "surfaces: {home: {order: {pins: [{item: i7, position: 1}]}}}");
  static const char *const items[] = {"i7", "i20", "i58"};
  for (size_t i = 0; i < 3; i++) {
    assert_true(shown(&w, "nobody", items[i]));
    patch(&w, items[i], "{\"status\": \"hidden\"}");
    assert_false(shown(&w, "nobody", items[i]));
    patch(&w, items[i], "{\"status\": \"active\"}");
    assert_true(shown(&w, "nobody", items[i]));
    commit(&w, item_op(WN_OP_ITEM_DELETE, items[i], NULL, NULL));
    assert_false(shown(&w, "nobody", items[i]));
    wn_item_ix ix;
    wn_item_status status;
    assert_true(wn_engine_item_known(w.engine, wn_str_of(items[i]), &ix, &status));
    assert_int_equal(status, WN_ITEM_DELETED);
  }
  commit(&w, item_op(WN_OP_ITEM_PUT, "i7", "Back again", NULL));
  assert_true(shown(&w, "nobody", "i7"));
  /* A new item is there at once, with what was put. */
  wn_attr kind = {.name = WN_STR("kind"), .kind = WN_ATTR_STRING, .string = WN_STR("brand")};
  commit(&w, item_op(WN_OP_ITEM_PUT, "fresh", "Fresh", &kind));
  slate s = ask_with(&w, (wn_slate_request){.surface = WN_STR("popular"),
                                            .filter = WN_STR("kind == \"brand\""),
                                            .n = 5});
  assert_int_equal(s.status, WN_OK);
  assert_int_equal(s.answer.len, 1);
  assert_true(slate_has(&s, "fresh"));
  assert_true(wn_str_is(s.answer.items[0].title, "Fresh"));
  slate_clear(&s);
  wn_item_ix ix;
  wn_item_status status;
  assert_false(wn_engine_item_known(w.engine, WN_STR("nowhere"), &ix, &status));
  /* All of it is still so after a restart. */
  patch(&w, "fresh", "{\"status\": \"hidden\"}");
  world_close(&w);
  world_open(&w);
  assert_true(shown(&w, "nobody", "i7"));
  assert_false(shown(&w, "nobody", "fresh"));
  assert_false(shown(&w, "nobody", "i20"));
  world_remove(&w);
}

/* Pages a feed until it is dry; every item at most once. Marks in `met`. */
static size_t drain(world *w, wn_slate_request request, bool met[ITEMS], size_t pages_max) {
  size_t count = 0;
  for (size_t page = 0; page < pages_max; page++) {
    slate s = ask_with(w, request);
    assert_int_equal(s.status, WN_OK);
    size_t len = s.answer.len;
    for (size_t i = 0; i < len; i++) {
      assert_true(s.answer.items[i].ix < ITEMS);
      assert_false(met[s.answer.items[i].ix]);
      met[s.answer.items[i].ix] = true;
      count++;
    }
    slate_clear(&s);
    if (len == 0) break;
  }
  return count;
}

static void test_feed(void **state) {
  (void)state;
  world w;
  world_ready(&w, "");
  bool met[ITEMS] = {false}, other[ITEMS] = {false}, user[ITEMS] = {false};
  wn_slate_request page = {.surface = WN_STR("feed"), .session = WN_STR("s1"), .n = 7, .log = true};
  assert_int_equal(drain(&w, page, met, 3), 21);
  page.session = WN_STR("s2");
  assert_int_equal(drain(&w, page, other, 1), 7); /* sessions do not see each other */
  /* Over a restart the session goes on. */
  world_close(&w);
  world_open(&w);
  page.session = WN_STR("s1");
  assert_int_equal(drain(&w, page, met, 100), ITEMS - 21);
  /* Without a session the user is the session; her seen items stay out, too. */
  wn_slate_request mine = {.surface = WN_STR("feed"), .user = WN_STR("s1"), .n = 9, .log = true};
  event(&w, "s1", "i3", "view");
  assert_int_equal(drain(&w, mine, user, 100), ITEMS - 1);
  assert_false(user[3]);
  wn_engine_stats stats;
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.sessions, 3);
  world_remove(&w);
}

static void test_restart_same_slates(void **state) {
  (void)state;
  world w;
  world_ready(&w, "");
  slate before[12];
  char user[16];
  for (int i = 0; i < 30; i++) {
    char item[16];
    snprintf(user, sizeof user, "u%d", i % 7);
    snprintf(item, sizeof item, "i%d", (i * 7) % ITEMS);
    event(&w, user, item, i % 3 == 0 ? "like" : "view");
  }
  for (int i = 0; i < 12; i++) {
    snprintf(user, sizeof user, "u%d", i);
    before[i] = ask(&w, i % 2 == 0 ? "home" : "popular", user, NULL, 15);
  }
  world_close(&w);
  world_open(&w);
  wn_engine_stats stats;
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.replayed_events, 30);
  assert_int_equal(stats.last_seq, EVENTS + 30);
  for (int i = 0; i < 12; i++) {
    snprintf(user, sizeof user, "u%d", i);
    slate s = ask(&w, i % 2 == 0 ? "home" : "popular", user, NULL, 15);
    assert_int_equal(s.answer.len, before[i].answer.len);
    for (size_t k = 0; k < s.answer.len; k++) {
      assert_int_equal(s.answer.items[k].ix, before[i].answer.items[k].ix);
      assert_true(fabsf(s.answer.items[k].score - before[i].answer.items[k].score) < 1e-3f);
    }
    slate_clear(&s);
    slate_clear(&before[i]);
  }
  world_remove(&w);
}

static const char *const near_surface = "surfaces: {near: {flavour: flat, retrieve: [{model: "
                                        "covisit}], fallback: [], score: {normalise: none}}}";

static slate ask_near(world *w, const char *item) {
  return ask_with(
      w, (wn_slate_request){.surface = WN_STR("near"), .item = wn_str_of(item), .n = WN_SLATE_MAX});
}

/* What is met together is similar at once, with or without training, and after a restart. */
static void test_covisits_at_once(void **state) {
  (void)state;
  static const char *const anchors[] = {"new", "i2", "i31", "newer"};
  world w;
  world_ready(&w, near_surface);
  for (int trained = 1; trained >= 0; trained--) {
    slate s = ask_near(&w, "new"), before[4];
    assert_false(slate_has(&s, "new"));
    slate_clear(&s);
    event(&w, "stranger", "new", "view");
    w.now_ms += 1000;
    event(&w, "stranger", "i31", "like");
    w.now_ms += 1000;
    event(&w, "stranger", "newer", "view");
    s = ask_near(&w, "new");
    assert_true(s.answer.len >= (trained ? 3 : 2));
    assert_true(wn_str_is(s.answer.items[0].id, "i31"));
    assert_true(wn_str_is(s.answer.items[1].id, "newer"));
    wn_item_ix filler = trained ? s.answer.items[2].ix : WN_NO_IX;
    slate_clear(&s);
    event(&w, "u2", "new", "view"); /* whose items the snapshot knows */
    s = ask_near(&w, "new");
    if (trained) assert_int_not_equal(s.answer.items[2].ix, filler);
    slate_clear(&s);
    for (size_t i = 0; i < 4; i++) before[i] = ask_near(&w, anchors[i]);
    world_close(&w);
    world_open_as(&w, near_surface);
    for (size_t i = 0; i < 4; i++) {
      s = ask_near(&w, anchors[i]);
      assert_int_equal(s.answer.len, before[i].answer.len);
      for (size_t k = 0; k < s.answer.len; k++) {
        assert_int_equal(s.answer.items[k].ix, before[i].answer.items[k].ix);
        assert_memory_equal(&s.answer.items[k].score, &before[i].answer.items[k].score,
                            sizeof s.answer.items[k].score);
      }
      slate_clear(&s);
      slate_clear(&before[i]);
    }
    world_remove(&w);
    if (!trained) break;
    world_init(&w);
    world_open_as(&w, near_surface);
  }
}

static void test_corrupt_snapshot(void **state) {
  (void)state;
  world w;
  wn_engine_stats stats;
  world_ready(&w, "");
  event(&w, "late", "i4", "view");
  assert_int_equal(world_train(&w, true), 2);
  world_close(&w);
  flip_byte(&w, 2);
  world_open(&w);
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.snapshot, 1); /* the last good one, and the log's tail after it */
  assert_int_equal(stats.replayed_events, 1);
  slate s = ask(&w, "home", "late", NULL, 10);
  assert_true(s.answer.personal);
  assert_false(slate_has(&s, "i4"));
  slate_clear(&s);
  world_close(&w);
  flip_byte(&w, 1);
  world_open(&w); /* none is left: the whole log, and what can live without training */
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.snapshot, 0);
  assert_int_equal(stats.replayed_events, EVENTS + 1);
  s = ask(&w, "popular", NULL, NULL, 10);
  assert_int_equal(s.answer.len, 10);
  slate_clear(&s);
  world_remove(&w);
}

static void test_swap_and_rollback(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  wn_engine_stats stats;
  bool swapped = true;
  world_ready(&w, "");
  assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
  assert_false(swapped);
  event(&w, "a", "i4", "view");
  assert_int_equal(world_train(&w, true), 2);
  event(&w, "a", "i6", "view");
  assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
  assert_true(swapped);
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.snapshot, 2);
  assert_int_equal(stats.replayed_events, 1);
  slate s = ask(&w, "home", "a", NULL, 50);
  assert_int_equal(s.answer.snapshot, 2);
  assert_false(slate_has(&s, "i4") || slate_has(&s, "i6"));
  slate_clear(&s);
  /* A bad one is refused once, with a reason; serving goes on. */
  assert_int_equal(world_train(&w, true), 3);
  flip_byte(&w, 3);
  assert_int_equal(wn_engine_refresh(w.engine, &swapped, &err), WN_E_CORRUPT);
  assert_false(swapped);
  assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.snapshot, 2);
  assert_int_equal(stats.swaps, 1);
  assert_int_equal(stats.swap_failures, 1);
  /* Back to the first: nothing that happened since is forgotten. */
  assert_ok(wn_snapshot_set_current(w.dir, 1, &err));
  assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
  assert_true(swapped);
  s = ask(&w, "home", "a", NULL, 50);
  assert_int_equal(s.answer.snapshot, 1);
  assert_true(s.answer.personal);
  assert_false(slate_has(&s, "i4") || slate_has(&s, "i6"));
  slate_clear(&s);
  world_remove(&w);
}

static void test_empty(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  world_init(&w);
  assert_int_equal(world_try_open(&w, WN_STORE_READ, "", &err), WN_E_NOT_FOUND);
  assert_null(w.engine);
  world_open(&w);
  static const char *const surfaces[] = {"home", "feed", "popular"};
  for (size_t i = 0; i < 3; i++) {
    slate s = ask(&w, surfaces[i], "u", NULL, 0);
    assert_int_equal(s.answer.len, 0);
    assert_int_equal(s.answer.snapshot, 0);
    slate_clear(&s);
  }
  /* Events before items: known by its id, and served. */
  event(&w, "u", "early", "view");
  event(&w, "v", "other", "view");
  slate s = ask(&w, "popular", NULL, NULL, 0);
  assert_true(slate_has(&s, "early") && slate_has(&s, "other"));
  assert_null(s.answer.items[0].title.ptr);
  slate_clear(&s);
  s = ask(&w, "home", "u", NULL, 0);
  assert_false(slate_has(&s, "early"));
  assert_true(slate_has(&s, "other"));
  slate_clear(&s);
  commit(&w, item_op(WN_OP_ITEM_PUT, "early", "Early", NULL));
  s = ask(&w, "popular", NULL, NULL, 0);
  assert_true(slate_has(&s, "early"));
  slate_clear(&s);
  world_remove(&w);
}

static void test_strict(void **state) {
  (void)state;
  world w;
  world_init(&w);
  world_open_as(&w, "catalogue: strict");
  for (int round = 0; round < 2; round++) {
    if (round == 0) {
      event(&w, "u", "stub", "view");
      commit(&w, item_op(WN_OP_ITEM_PUT, "real", "Real", NULL));
      commit(&w, item_op(WN_OP_ITEM_PUT, "bare", NULL, NULL));
    }
    slate s = ask(&w, "popular", NULL, NULL, 0);
    assert_int_equal(s.answer.len, 1);
    assert_true(slate_has(&s, "real"));
    slate_clear(&s);
    world_close(&w);
    world_open_as(&w, "catalogue: strict");
  }
  commit(&w, item_op(WN_OP_ITEM_PUT, "stub", "Now known", NULL));
  slate s = ask(&w, "popular", NULL, NULL, 0);
  assert_true(slate_has(&s, "stub"));
  slate_clear(&s);
  world_remove(&w);
}

static void test_user_deletion(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  bool swapped = false;
  world_ready(&w, "");
  event(&w, "u2", "i30", "view");
  slate s = ask(&w, "home", "u2", NULL, 5);
  assert_true(s.answer.personal);
  slate_clear(&s);
  commit(&w, (wn_op){.kind = WN_OP_USER_DELETE, .u.user = {.id = WN_STR("u2")}});
  for (int round = 0; round < 4; round++) {
    s = ask_with(&w,
                 (wn_slate_request){.surface = WN_STR("home"), .user = WN_STR("u2"), .n = ITEMS});
    assert_int_equal(s.status, WN_OK);
    assert_false(s.answer.personal);
    assert_int_equal(s.answer.len, ITEMS); /* nothing counts as seen */
    slate_clear(&s);
    if (round == 0) { /* a swap to a snapshot from before the deletion */
      assert_int_equal(world_train(&w, true), 2);
      assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
      assert_ok(wn_snapshot_set_current(w.dir, 1, &err));
      assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
      assert_true(swapped);
    } else { /* restarts, writing and reading */
      world_close(&w);
      assert_ok(world_try_open(&w, round == 1 ? WN_STORE_READ : WN_STORE_WRITE, "", &err));
    }
  }
  /* Coming back starts from nothing, over restarts, too; also when no restart lay between. */
  commit(&w, (wn_op){.kind = WN_OP_USER_DELETE, .u.user = {.id = WN_STR("u6")}});
  event(&w, "u6", "i31", "view");
  event(&w, "u2", "i31", "view");
  for (int round = 0; round < 2; round++) {
    s = ask(&w, "home", "u2", NULL, ITEMS);
    assert_true(s.answer.personal);
    assert_int_equal(s.answer.len, ITEMS - 1);
    slate_clear(&s);
    s = ask(&w, "home", "u6", NULL, ITEMS);
    assert_int_equal(s.answer.len, ITEMS - 1);
    slate_clear(&s);
    world_close(&w);
    world_open(&w);
  }
  world_remove(&w);
}

/* A snapshot may end after the last event that the commit hook has brought in. */
static void test_each_event_once(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  world_ready(&w, "");
  wn_serving *serving = w.engine->serving;
  wn_stored_event e = {.seq = EVENTS, .user = 0, .item = 1, .value = NAN, .time_ms = w.now_ms};
  assert_ok(wn_serving_event(w.engine, serving, &e, &err));
  assert_int_equal(wn_online_delta_pairs(serving->online), 0);
  e.seq++;
  assert_ok(wn_serving_event(w.engine, serving, &e, &err));
  assert_ok(wn_serving_event(w.engine, serving, &e, &err));
  assert_int_equal(wn_online_delta_pairs(serving->online), 1);
  world_remove(&w);
}

static wn_op delete_user(const char *id) {
  return (wn_op){.kind = WN_OP_USER_DELETE, .u.user = {.id = wn_str_of(id)}};
}

/* The last event that is left may lie before the end of a snapshot: not it, but the position that
 * never goes back says what a deletion voids. */
static void test_deletion_after_erased_tail(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  bool swapped = false;
  world_ready(&w, "");
  for (int i = 0; i < 5; i++) event(&w, "w", i % 2 == 0 ? "i4" : "i6", "view");
  assert_int_equal(world_train(&w, true), 2);
  assert_ok(wn_snapshot_set_current(w.dir, 1, &err));
  commit(&w, delete_user("w"));
  world_close(&w);
  world_open(&w);
  slate s = ask(&w, "home", "u2", NULL, 5);
  assert_true(s.answer.personal);
  assert_int_equal(s.answer.snapshot, 1);
  slate_clear(&s);
  commit(&w, delete_user("u2"));
  assert_ok(wn_snapshot_set_current(w.dir, 2, &err));
  assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
  assert_true(swapped);
  event(&w, "u2", "i31", "view");
  for (int round = 0; round < 2; round++) {
    s = ask(&w, "home", "u2", NULL, ITEMS);
    assert_int_equal(s.answer.snapshot, 2);
    assert_int_equal(s.answer.len, ITEMS - 1); /* the one event since she is back, nothing else */
    slate_clear(&s);
    world_close(&w);
    world_open(&w);
  }
  world_remove(&w);
}

/* Whoever was deleted is nobody, until she is back. */
static void test_deleted_user_unknown(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  wn_arena arena;
  wn_neighbour_list users;
  bool met[ITEMS] = {false}, again[ITEMS] = {false};
  wn_slate_request page = {.surface = WN_STR("feed"), .user = WN_STR("u2"), .n = 9, .log = true};
  world_ready(&w, "");
  wn_arena_init(&arena, ARENA);
  assert_int_equal(drain(&w, page, met, 1), 9);
  assert_ok(wn_engine_similar_users(w.engine, WN_STR("u2"), 5, &arena, &users, &err));
  commit(&w, delete_user("u2"));
  for (int round = 0; round < 2; round++) {
    slate s = ask(&w, "home", "u2", NULL, 5);
    assert_false(s.answer.user_known);
    slate_clear(&s);
    assert_int_equal(wn_engine_similar_users(w.engine, WN_STR("u2"), 5, &arena, &users, &err),
                     WN_E_NOT_FOUND);
    world_close(&w);
    world_open(&w);
  }
  assert_int_equal(drain(&w, page, again, 1), 9);
  memset(again, 0, sizeof again);
  wn_op op = delete_user("u2"); /* not known, but the feed remembers her */
  assert_ok(wn_engine_commit(w.engine, &op, 1, &err));
  assert_int_equal(op.status, WN_E_NOT_FOUND);
  assert_int_equal(drain(&w, page, again, 100), ITEMS);
  commit(&w, (wn_op){.kind = WN_OP_USER_PUT, .u.user = {.id = WN_STR("u2")}});
  slate s = ask(&w, "home", "u2", NULL, 5);
  assert_true(s.answer.user_known);
  assert_false(s.answer.personal);
  slate_clear(&s);
  wn_arena_clear(&arena);
  world_remove(&w);
}

/* What changes while a state is built is in it after the swap, which itself reads nothing when
 * nothing changed. */
static void test_swap_remainder(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  char path[4096];
  wn_snapshot *snapshot = NULL;
  bool swapped = false;
  world_ready(&w, "");
  wn_snapshot_path(w.dir, 1, path, sizeof path);
  assert_ok(wn_snapshot_open(path, &snapshot, &err));
  wn_swap swap = {.engine = w.engine};
  assert_ok(wn_swap_build(&swap, snapshot, &err));
  wn_attr kind = {.name = WN_STR("kind"), .kind = WN_ATTR_STRING, .string = WN_STR("game")};
  commit(&w, item_op(WN_OP_ITEM_PUT, "fresh", "Fresh", &kind));
  event(&w, "u1", "i2", "view");
  assert_ok(wn_swap_finish(&swap, &swapped, &err));
  assert_true(swapped);
  wn_swap_clear(&swap);
  slate s = ask(&w, "similar", NULL, "fresh", 10);
  assert_true(s.answer.len == 10 && games(&s) == 10); /* by its content alone */
  slate_clear(&s);
  s = ask(&w, "home", "u1", NULL, ITEMS);
  assert_false(slate_has(&s, "i2"));
  slate_clear(&s);
  swap = (wn_swap){.engine = w.engine};
  assert_ok(wn_swap_build(&swap, snapshot, &err));
  wn_mem_fail_after(0);
  wn_status status = wn_swap_finish(&swap, &swapped, &err);
  wn_mem_fail_after(-1);
  assert_int_equal(status, WN_OK);
  assert_true(swapped);
  wn_swap_clear(&swap);
  wn_snapshot_unref(snapshot);
  world_remove(&w);
}

static void check_refused(world *w, wn_slate_request request, wn_status status, const char *field,
                          const char *part) {
  slate s = ask_with(w, request);
  if (s.status != status || strcmp(s.err.field, field) != 0 || strstr(s.err.message, part) == NULL)
    fail_msg("got %s, %s: %s", wn_status_name(s.status), s.err.field, s.err.message);
  slate_clear(&s);
}

static void test_bad_requests(void **state) {
  (void)state;
  world w;
  world_ready(&w, "");
  wn_str home = WN_STR("home"), u = WN_STR("u0");
  check_refused(&w, (wn_slate_request){.surface = WN_STR("hoem"), .user = u}, WN_E_NOT_FOUND,
                "surface", "there are: home, similar, feed, popular");
  check_refused(&w, (wn_slate_request){.surface = home}, WN_E_ARGUMENT, "user", "personal");
  check_refused(&w, (wn_slate_request){.surface = WN_STR("feed")}, WN_E_ARGUMENT, "session",
                "a session or a user");
  check_refused(&w, (wn_slate_request){.surface = WN_STR("similar")}, WN_E_ARGUMENT, "item",
                "starts from an item");
  check_refused(&w, (wn_slate_request){.surface = WN_STR("similar"), .item = WN_STR("i999")},
                WN_E_NOT_FOUND, "item", "i999");
  check_refused(&w, (wn_slate_request){.surface = home, .user = u, .n = 1001}, WN_E_ARGUMENT, "n",
                "1 to 1000");
  check_refused(&w, (wn_slate_request){.surface = home, .user = u, .filter = WN_STR("kind ==")},
                WN_E_ARGUMENT, "filter", "");
  wn_str none[1] = {WN_STR("")};
  check_refused(&w,
                (wn_slate_request){.surface = home, .user = u, .exclude = none, .exclude_len = 1},
                WN_E_ARGUMENT, "exclude", "empty");
  commit(&w, item_op(WN_OP_ITEM_DELETE, "i5", NULL, NULL));
  check_refused(&w, (wn_slate_request){.surface = WN_STR("similar"), .item = WN_STR("i5")},
                WN_E_NOT_FOUND, "item", "i5");
  patch(&w, "i6", "{\"status\": \"hidden\"}");
  slate s = ask(&w, "similar", NULL, "i6", 5); /* still a context */
  assert_int_equal(s.answer.len, 5);
  slate_clear(&s);
  world_remove(&w);
}

static void test_request_options(void **state) {
  (void)state;
  world w;
  world_ready(&w, "");
  wn_str exclude[3] = {WN_STR("i2"), WN_STR("unknown"), WN_STR("i8")};
  slate s = ask_with(&w, (wn_slate_request){.surface = WN_STR("home"),
                                            .user = WN_STR("new"),
                                            .exclude = exclude,
                                            .exclude_len = 3,
                                            .filter = WN_STR("kind == \"game\""),
                                            .n = 100,
                                            .explain = true});
  assert_int_equal(s.status, WN_OK);
  assert_int_equal(s.answer.len, ITEMS / 2 - 2);
  assert_int_equal(games(&s), s.answer.len);
  assert_false(slate_has(&s, "i2") || slate_has(&s, "i8"));
  assert_int_equal(strlen(s.answer.slate_id), 32);
  assert_true(s.answer.source_count >= 6);
  assert_true(wn_str_is(s.answer.source_names[0], "als"));
  assert_true(s.answer.took_ms > 0);
  for (size_t i = 0; i < s.answer.len; i++)
    assert_true(s.answer.items[i].propensity == 1.0f && s.answer.items[i].sources != 0);
  json_error_t why;
  json_t *trace = json_loadb(s.answer.explain_json.ptr, s.answer.explain_json.len, 0, &why);
  assert_true(json_is_object(trace));
  json_decref(trace);
  slate_clear(&s);
  s = ask(&w, "similar", "u0", "i2", 10);
  assert_false(slate_has(&s, "i2"));
  assert_true(games(&s) >= 8);
  assert_false(s.answer.personal);
  assert_null(s.answer.explain_json.ptr);
  slate_clear(&s);
  world_remove(&w);
}

typedef struct logged {
  size_t count;
  wn_slate_log last;
  char id[33];
  wn_item_ix first;
  float propensity;
} logged;

static wn_status note_slate(void *ctx, const wn_slate_log *shown_slate, wn_error *err) {
  (void)err;
  logged *l = ctx;
  l->count++;
  l->last = *shown_slate;
  snprintf(l->id, sizeof l->id, "%.*s", WN_STR_ARG(shown_slate->id));
  l->first = shown_slate->items[0];
  l->propensity = shown_slate->propensities[0];
  return WN_OK;
}

static void test_impressions(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  world_ready(&w, "");
  slate s = ask(&w, "similar", "u0", "i2", 5);
  slate silent =
      ask_with(&w, (wn_slate_request){.surface = WN_STR("similar"), .item = WN_STR("i2"), .n = 5});
  assert_string_not_equal(s.answer.slate_id, silent.answer.slate_id);
  world_close(&w); /* commits what was accepted */
  wn_store *store = NULL;
  logged l = {0};
  assert_ok(wn_store_open(w.dir, WN_STORE_READ, &store, &err));
  assert_ok(wn_store_scan_slates(store, 0, false, note_slate, &l, &err));
  assert_int_equal(l.count, 1);
  assert_string_equal(l.id, s.answer.slate_id);
  assert_int_equal(l.last.len, 5);
  assert_int_equal(l.last.snapshot, 1);
  assert_int_equal(l.first, s.answer.items[0].ix);
  assert_true(l.propensity == 1.0f);
  wn_store_close(store);
  slate_clear(&s);
  slate_clear(&silent);
  world_remove(&w);
}

static void test_read_only(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  wn_engine_stats stats;
  world_ready(&w, "");
  wn_engine *writer = w.engine;
  assert_ok(world_try_open(&w, WN_STORE_READ, "", &err)); /* beside the writer */
  wn_engine *reader = w.engine;
  slate s = ask_with(&w, (wn_slate_request){.surface = WN_STR("home"), .user = WN_STR("u0")});
  assert_int_equal(s.status, WN_OK);
  assert_int_equal(s.answer.len, 20);
  slate_clear(&s);
  wn_op op = event_op(&w, "u0", "i1", "view");
  assert_int_equal(wn_engine_commit(reader, &op, 1, &err), WN_E_UNSUPPORTED);
  wn_engine_stats_get(reader, &stats);
  assert_false(stats.writable);
  wn_engine_stats_get(writer, &stats);
  assert_true(stats.writable);
  assert_int_equal(stats.items, ITEMS);
  assert_int_equal(stats.items_servable, ITEMS);
  assert_int_equal(stats.users, USERS);
  assert_true(stats.catalog_bytes > 0 && stats.online_bytes > 0 && stats.dict_bytes > 0);
  w.engine = writer;
  wn_engine_close(reader);
  world *second = &(world){.now_ms = w.now_ms};
  memcpy(second->dir, w.dir, sizeof w.dir);
  assert_int_equal(world_try_open(second, WN_STORE_WRITE, "", &err), WN_E_BUSY);
  world_remove(&w);
}

static void test_commit_failure(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  wn_engine_stats stats;
  struct rlimit old, none;
  world_ready(&w, "");
  slate before = ask_with(&w, (wn_slate_request){.surface = WN_STR("home"), .user = WN_STR("u1")});
  assert_int_equal(before.status, WN_OK);
  /* The disk takes nothing more. */
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
  char first[64];
  snprintf(first, sizeof first, "%.*s", WN_STR_ARG(before.answer.items[0].id));
  wn_op op = event_op(&w, "u1", first, "view");
  wn_status status = wn_engine_commit(w.engine, &op, 1, &err);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_int_not_equal(status, WN_OK);
  /* What is not on disk is not in the state. */
  slate after = ask_with(&w, (wn_slate_request){.surface = WN_STR("home"), .user = WN_STR("u1")});
  assert_int_equal(after.status, WN_OK);
  assert_true(slate_has(&after, first));
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.last_seq, EVENTS);
  assert_int_equal(stats.commits.failures, 1);
  slate_clear(&before);
  slate_clear(&after);
  world_close(&w);
  world_open(&w);
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.last_seq, EVENTS);
  event(&w, "u1", first, "view");
  world_remove(&w);
}

/* Nothing is shown that is not logged: after the first failure slates wait for their commit, and so
 * they find out by themselves when the disk takes writes again. */
static void test_slates_on_full_disk(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  wn_engine_stats stats;
  struct rlimit old, none;
  bool swapped, met[ITEMS] = {false};
  wn_slate_request popular = {.surface = WN_STR("popular"), .n = 5, .log = true};
  wn_slate_request feed = {.surface = WN_STR("feed"), .session = WN_STR("s"), .n = 9, .log = true};
  world_ready(&w, "");
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  none = (struct rlimit){.rlim_cur = 0, .rlim_max = old.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
  slate lost = ask_with(&w, popular); /* nobody knows yet */
  wn_op op = event_op(&w, "u1", "i1", "view");
  wn_status full = wn_engine_commit(w.engine, &op, 1, &err);
  slate refused = ask_with(&w, popular), page = ask_with(&w, feed);
  assert_ok(wn_engine_refresh(w.engine, &swapped, &err)); /* does not help yet */
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
  assert_int_equal(lost.status, WN_OK);
  assert_true(full == WN_E_FULL || full == WN_E_IO);
  assert_int_equal(refused.status, full);
  assert_int_equal(page.status, full);
  assert_int_equal(stats.slates_lost, 1);
  assert_int_equal(stats.commits.last, full);
  slate_clear(&lost);
  slate_clear(&refused);
  slate_clear(&page);
  assert_ok(wn_engine_refresh(w.engine, &swapped, &err));
  wn_engine_stats_get(w.engine, &stats);
  assert_int_equal(stats.commits.last, WN_OK);
  slate again = ask_with(&w, popular);
  assert_int_equal(again.status, WN_OK);
  slate_clear(&again);
  assert_int_equal(drain(&w, feed, met, 100), ITEMS); /* the refused page took nothing from it */
  world_remove(&w);
}

/* A feed's page is stored before it is shown, by the caller if he wants; others do not wait. */
static void test_feed_waits(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  logged l = {0};
  bool met[ITEMS] = {false};
  wn_slate_request feed = {
      .surface = WN_STR("feed"), .user = WN_STR("u2"), .n = 9, .log = true, .hold = true};
  world_ready(&w, "");
  slate s = ask_with(
      &w, (wn_slate_request){.surface = WN_STR("popular"), .n = 5, .log = true, .hold = true});
  assert_int_equal(s.status, WN_OK);
  assert_null(s.answer.unlogged);
  slate_clear(&s);
  s = ask_with(&w, feed);
  assert_int_equal(s.status, WN_OK);
  assert_non_null(s.answer.unlogged);
  slate next = ask_with(&w, feed); /* meanwhile the session remembers */
  for (size_t i = 0; i < s.answer.len; i++) {
    char id[16];
    snprintf(id, sizeof id, "%.*s", WN_STR_ARG(s.answer.items[i].id));
    assert_false(slate_has(&next, id));
  }
  wn_engine_slate_withdraw(w.engine, next.answer.unlogged, &next.arena);
  assert_ok(wn_engine_commit(w.engine, s.answer.unlogged, 1, &err));
  assert_int_equal(s.answer.unlogged->status, WN_OK);
  assert_ok(wn_store_scan_slates(w.engine->store, 0, true, note_slate, &l, &err));
  assert_int_equal(l.count, 1);
  assert_string_equal(l.id, s.answer.slate_id);
  feed.hold = false;
  slate_clear(&s);
  slate_clear(&next);
  size_t left = drain(&w, feed, met, 100);
  s = ask(&w, "home", "u2", NULL,
          ITEMS); /* what she has not seen: it had the committed page, too */
  assert_int_equal(left, s.answer.len - 9);
  slate_clear(&s);
  world_remove(&w);
}

static void test_similar_users(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  wn_arena arena;
  wn_neighbour_list users;
  world_ready(&w, "");
  wn_arena_init(&arena, ARENA);
  assert_ok(wn_engine_similar_users(w.engine, WN_STR("u0"), 10, &arena, &users, &err));
  assert_int_equal(users.len, 10);
  size_t alike = 0;
  for (size_t i = 0; i < users.len; i++) {
    assert_false(wn_str_is(users.data[i].id, "u0"));
    alike += (users.data[i].id.ptr[users.data[i].id.len - 1] - '0') % 2 == 0;
  }
  assert_true(alike >= 8);
  char gone[32];
  snprintf(gone, sizeof gone, "%.*s", WN_STR_ARG(users.data[0].id));
  commit(&w, (wn_op){.kind = WN_OP_USER_DELETE, .u.user = {.id = wn_str_of(gone)}});
  assert_ok(wn_engine_similar_users(w.engine, WN_STR("u0"), 10, &arena, &users, &err));
  for (size_t i = 0; i < users.len; i++) assert_false(wn_str_is(users.data[i].id, gone));
  assert_int_equal(wn_engine_similar_users(w.engine, WN_STR("?"), 5, &arena, &users, &err),
                   WN_E_NOT_FOUND);
  assert_int_equal(wn_engine_similar_users(w.engine, WN_STR("u0"), 0, &arena, &users, &err),
                   WN_E_ARGUMENT);
  wn_arena_clear(&arena);
  world_remove(&w);
}

/* Every allocation of opening and of one slate fails once: an error, no leak, no crash. */
static void test_memory(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  world_ready(&w, "");
  world_close(&w);
  wn_mem_fail_after(-1);
  assert_ok(world_try_open(&w, WN_STORE_READ, "", &err));
  long opening = wn_mem_allocations();
  wn_mem_fail_after(-1);
  wn_slate_request request = {
      .surface = WN_STR("home"), .user = WN_STR("u3"), .n = 30, .explain = true};
  slate s = ask_with(&w, request);
  long asking = wn_mem_allocations();
  assert_int_equal(s.status, WN_OK);
  slate_clear(&s);
  for (long i = 0; i < asking; i++) {
    wn_mem_fail_after(i);
    s = ask_with(&w, request);
    wn_mem_fail_after(-1);
    assert_true(s.status == WN_OK || s.status == WN_E_MEMORY);
    slate_clear(&s);
  }
  world_close(&w);
  size_t failed = 0;
  for (long i = 0; i < opening; i++) {
    wn_mem_fail_after(i);
    wn_status status = world_try_open(&w, WN_STORE_READ, "", &err);
    wn_mem_fail_after(-1);
    if (status != WN_OK && status != WN_E_MEMORY)
      fail_msg("allocation %ld: %s: %s", i, wn_status_name(status), err.message);
    failed += status == WN_E_MEMORY;
    world_close(&w);
  }
  print_message("%ld + %ld allocations, %zu refusals\n", opening, asking, failed);
  assert_true(failed > 20);
  world_remove(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_event_changes_next_slate),
      cmocka_unit_test(test_new_user),
      cmocka_unit_test(test_items_at_once),
      cmocka_unit_test(test_feed),
      cmocka_unit_test(test_restart_same_slates),
      cmocka_unit_test(test_covisits_at_once),
      cmocka_unit_test(test_corrupt_snapshot),
      cmocka_unit_test(test_swap_and_rollback),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_strict),
      cmocka_unit_test(test_user_deletion),
      cmocka_unit_test(test_each_event_once),
      cmocka_unit_test(test_deletion_after_erased_tail),
      cmocka_unit_test(test_deleted_user_unknown),
      cmocka_unit_test(test_swap_remainder),
      cmocka_unit_test(test_bad_requests),
      cmocka_unit_test(test_request_options),
      cmocka_unit_test(test_impressions),
      cmocka_unit_test(test_read_only),
      cmocka_unit_test(test_commit_failure),
      cmocka_unit_test(test_slates_on_full_disk),
      cmocka_unit_test(test_feed_waits),
      cmocka_unit_test(test_similar_users),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
