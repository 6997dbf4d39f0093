#ifndef WN_TESTS_SERVE_ENGINE_FIXTURE_H
#define WN_TESTS_SERVE_ENGINE_FIXTURE_H
/* A small world for the engine's tests: two kinds of items ("game", "book"), users who like one
 * kind, in a folder of its own. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "serve/engine.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define USERS  60
#define ITEMS  60 /* even: games, odd: books */
#define EVENTS 900
#define ARENA  (16u << 20)

#define assert_ok(call)                                                                            \
  do {                                                                                             \
    wn_status status_ = (call);                                                                    \
    char why_[900];                                                                                \
    if (status_ != WN_OK)                                                                          \
      fail_msg("%s: %s: %s", #call, wn_status_name(status_),                                       \
               wn_error_format(&err, why_, sizeof why_));                                          \
  } while (0)

typedef struct world {
  char dir[64];
  wn_engine *engine;
  int64_t now_ms;
} world;

static WN_UNUSED void world_remove(world *w) {
  char command[128];
  wn_engine_close(w->engine);
  snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
  if (system(command) != 0) fail_msg("cannot remove %s", w->dir);
}

static WN_UNUSED void world_init(world *w) {
  *w = (world){.now_ms = wn_now_ms()};
  snprintf(w->dir, sizeof w->dir, "/tmp/winnow-engine-XXXXXX");
  if (mkdtemp(w->dir) == NULL) fail_msg("no temporary folder");
}

static WN_UNUSED wn_status world_try_open(world *w, wn_store_mode mode, const char *yaml,
                                          wn_error *err) {
  wn_config config;
  wn_status status = wn_config_parse(wn_str_of(yaml), "test.yaml", &config, err);
  if (status != WN_OK) return status;
  return wn_engine_open(w->dir, mode, &config, NULL, &w->engine, err);
}

static WN_UNUSED void world_open_as(world *w, const char *yaml) {
  wn_error err = {0};
  assert_ok(world_try_open(w, WN_STORE_WRITE, yaml, &err));
}

static WN_UNUSED void world_open(world *w) {
  world_open_as(w, "");
}

static WN_UNUSED void world_close(world *w) {
  wn_engine_close(w->engine);
  w->engine = NULL;
}

static WN_UNUSED wn_op event_op(const world *w, const char *user, const char *item,
                                const char *type) {
  return (wn_op){.kind = WN_OP_EVENT,
                 .u.event = {.user = wn_str_of(user),
                             .item = wn_str_of(item),
                             .type = wn_str_of(type),
                             .value = NAN,
                             .time_ms = w->now_ms}};
}

static WN_UNUSED wn_op item_op(wn_op_kind kind, const char *id, const char *title,
                               const wn_attr *attr) {
  return (wn_op){.kind = kind,
                 .u.item = {.id = wn_str_of(id),
                            .title = wn_str_of(title),
                            .attrs = {.data = attr, .len = attr != NULL ? 1 : 0}}};
}

static WN_UNUSED void commit(world *w, wn_op op) {
  wn_error err = {0};
  assert_ok(wn_engine_commit(w->engine, &op, 1, &err));
  if (op.status != WN_OK) fail_msg("refused: %s", op.reason);
}

static WN_UNUSED void event(world *w, const char *user, const char *item, const char *type) {
  commit(w, event_op(w, user, item, type));
}

static WN_UNUSED void patch(world *w, const char *item, const char *json) {
  wn_op op = item_op(WN_OP_ITEM_PATCH, item, NULL, NULL);
  op.patch = wn_str_of(json);
  commit(w, op);
}

/* Items i0 … with a title, a kind and words of their kind; users u0 … who like one kind. */
static WN_UNUSED void world_fill(world *w) {
  wn_error err = {0};
  wn_rng rng;
  char names[ITEMS][2][24];
  wn_attr kinds[ITEMS];
  wn_op ops[ITEMS];
  for (int i = 0; i < ITEMS; i++) {
    bool game = i % 2 == 0;
    snprintf(names[i][0], sizeof names[i][0], "i%d", i);
    snprintf(names[i][1], sizeof names[i][1], "%s number %d", game ? "Game" : "Book", i);
    kinds[i] = (wn_attr){.name = WN_STR("kind"),
                         .kind = WN_ATTR_STRING,
                         .string = game ? WN_STR("game") : WN_STR("book")};
    ops[i] = item_op(WN_OP_ITEM_PUT, names[i][0], names[i][1], &kinds[i]);
    ops[i].u.item.text = game ? WN_STR("play level puzzle arcade") : WN_STR("novel chapter page");
    ops[i].u.item.created_ms = w->now_ms - 86400000LL * (ITEMS - i);
  }
  assert_ok(wn_engine_commit(w->engine, ops, ITEMS, &err));
  wn_rng_seed(&rng, 42);
  static char users[EVENTS][24], items[EVENTS][24];
  static wn_op events[EVENTS];
  for (int e = 0; e < EVENTS; e++) {
    unsigned u = (unsigned)wn_rng_below(&rng, USERS);
    unsigned i = (unsigned)wn_rng_below(&rng, ITEMS / 2) * 2;
    bool stray = wn_rng_below(&rng, 20) == 0;
    i += stray ? 1 - u % 2 : u % 2;
    snprintf(users[e], sizeof users[e], "u%u", u);
    snprintf(items[e], sizeof items[e], "i%u", i);
    events[e] = event_op(w, users[e], items[e], "view");
    events[e].u.event.time_ms = w->now_ms - (EVENTS - e) * 1000LL;
  }
  assert_ok(wn_engine_commit(w->engine, events, EVENTS, &err));
}

/* Trains beside the engine, as the trainer's process does; the new snapshot's number. */
static WN_UNUSED uint64_t world_train_with(world *w, bool promote, wn_train_extra extra) {
  wn_error err = {0};
  wn_store *store = NULL;
  wn_config config;
  wn_snapshot_about about;
  assert_ok(wn_config_defaults(&config, &err));
  assert_ok(wn_train_options_set(&config.train, "als.factors=8", &err));
  config.train.threads = 1;
  config.train.promote = promote;
  config.train.extra = extra;
  assert_ok(wn_store_open(w->dir, WN_STORE_READ, &store, &err));
  assert_ok(wn_train_store(store, &config.signals, &config.train, NULL, &about, &err));
  wn_store_close(store);
  wn_config_clear(&config);
  return about.number;
}

static WN_UNUSED uint64_t world_train(world *w, bool promote) {
  return world_train_with(w, promote, (wn_train_extra){0});
}

/* A filled, trained and open world. */
static WN_UNUSED void world_ready(world *w, const char *yaml) {
  world_init(w);
  world_open(w);
  world_fill(w);
  world_close(w);
  world_train(w, true);
  world_open_as(w, yaml);
}

typedef struct slate {
  wn_status status;
  wn_error err;
  wn_slate_answer answer;
  wn_arena arena;
} slate;

static WN_UNUSED void slate_clear(slate *s) {
  wn_arena_clear(&s->arena);
}

static WN_UNUSED slate ask_with(world *w, wn_slate_request request) {
  slate s = {0};
  wn_arena_init(&s.arena, ARENA);
  s.status = wn_engine_slate(w->engine, &request, &s.arena, &s.answer, &s.err);
  return s;
}

static WN_UNUSED slate ask(world *w, const char *surface, const char *user, const char *item,
                           uint32_t n) {
  slate s = ask_with(w, (wn_slate_request){.surface = wn_str_of(surface),
                                           .user = wn_str_of(user),
                                           .item = wn_str_of(item),
                                           .n = n,
                                           .log = true});
  char why[900];
  if (s.status != WN_OK) fail_msg("%s", wn_error_format(&s.err, why, sizeof why));
  return s;
}

static WN_UNUSED bool slate_has(const slate *s, const char *item) {
  for (size_t i = 0; i < s->answer.len; i++)
    if (wn_str_is(s->answer.items[i].id, item)) return true;
  return false;
}

/* Whether any surface shows the item to a user who has not met it. */
static WN_UNUSED bool shown(world *w, const char *user, const char *item) {
  static const char *const surfaces[] = {"home", "similar", "popular", "feed"};
  bool found = false;
  for (size_t i = 0; i < 4; i++) {
    char session[32];
    static int sessions;
    snprintf(session, sizeof session, "shown%d", sessions++);
    slate s = ask_with(w, (wn_slate_request){.surface = wn_str_of(surfaces[i]),
                                             .user = wn_str_of(user),
                                             .item = WN_STR("i2"),
                                             .session = wn_str_of(session),
                                             .n = WN_SLATE_MAX});
    if (s.status != WN_OK) fail_msg("%s: %s", surfaces[i], s.err.message);
    found = found || slate_has(&s, item);
    slate_clear(&s);
  }
  return found;
}

#endif
