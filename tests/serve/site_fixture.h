#ifndef WN_TESTS_SERVE_SITE_FIXTURE_H
#define WN_TESTS_SERVE_SITE_FIXTURE_H
/* A made-up site (lab/world.h) played against an engine: its users are shown slates, and what they
 * do is stored. */
#include "engine_fixture.h"

#include "base/mem.h"
#include "lab/world.h"
#include "model/ranker.h"
#include "serve/behaviour.h"
#include "serve/engine_internal.h"

static WN_UNUSED void train(world *w, const char *yaml, wn_objective_head *heads, size_t *len) {
  wn_error err = {0};
  wn_store *store = NULL;
  wn_config config;
  wn_snapshot_about about;
  wn_snapshot *snapshot = NULL;
  static const char *const sets[] = {"als.factors=8", "ranker.trees=8", "ranker.depth=60",
                                     "ranker.objective_trees=30", "ranker.tree_depth=3"};
  assert_ok(wn_config_parse(wn_str_of(yaml), "test.yaml", &config, &err));
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    assert_ok(wn_train_options_set(&config.train, sets[i], &err));
  config.train.threads = 1;
  assert_ok(wn_store_open(w->dir, WN_STORE_READ, &store, &err));
  assert_ok(wn_signals_bind(&config.signals, store, &err));
  assert_ok(wn_train_store(store, &config.signals, &config.train, NULL, &about, &err));
  assert_ok(wn_snapshot_open_current(w->dir, NULL, &snapshot, &err));
  assert_ok(wn_objective_heads_read(snapshot, heads, len, &err));
  wn_snapshot_unref(snapshot);
  wn_store_close(store);
  wn_config_clear(&config);
}

enum { PEOPLE = 400, THINGS = 100, DEEDS = 1000 };

typedef struct deed {
  char user[16], item[16], slate[40];
} deed;

typedef struct site {
  world w;
  wn_world truth;
  wn_rng rng;
  double clicks, value, best; /* of the last visits */
  deed deeds[DEEDS];
  wn_op ops[DEEDS];
  size_t deeds_len;
} site;

static WN_UNUSED void site_init(site *s) {
  wn_error err = {0};
  wn_world_options o = {.users = PEOPLE,
                        .items = THINGS,
                        .bait_pull = 1.5,
                        .bait_cost = 3,
                        .trap = 3,
                        .likes = 0.7,
                        .seed = 4};
  memset(s, 0, sizeof *s);
  wn_clock_set(INT64_C(1700000000000)); /* so that every run is the same */
  world_init(&s->w);
  s->w.now_ms -= INT64_C(30) * 86400000;
  assert_ok(wn_world_create(&o, &s->truth, &err));
  wn_rng_seed(&s->rng, 5);
}

static WN_UNUSED void site_clear(site *s) {
  wn_world_clear(&s->truth);
  world_remove(&s->w);
}

static WN_UNUSED void put_things(site *s) {
  wn_error err = {0};
  wn_op ops[THINGS];
  char names[THINGS][2][16];
  wn_attr topics[THINGS];
  for (uint32_t i = 0; i < THINGS; i++) {
    snprintf(names[i][0], sizeof names[i][0], "i%u", i);
    snprintf(names[i][1], sizeof names[i][1], "t%u", s->truth.main_topic[i]);
    topics[i] = (wn_attr){
        .name = WN_STR("topic"), .kind = WN_ATTR_STRING, .string = wn_str_of(names[i][1])};
    ops[i] = item_op(WN_OP_ITEM_PUT, names[i][0], names[i][0], &topics[i]);
  }
  assert_ok(wn_engine_commit(s->w.engine, ops, THINGS, &err));
}

/* What the user does with what she is shown; `of`: the slate, or "". Stored by flush(). */
static WN_UNUSED void browse(site *s, uint32_t user, const uint32_t *items, size_t len,
                             const char *of) {
  wn_browsed done[20];
  wn_world_browse(&s->truth, &(wn_visitor){.user = user}, items, len, &s->rng, done);
  for (size_t k = 0; k < len; k++) {
    if (!done[k].clicked) continue;
    s->clicks++;
    const char *const types[] = {"click", done[k].finished ? "finish" : NULL,
                                 done[k].liked ? "like" : NULL};
    for (int e = 0; e < 3; e++) {
      if (types[e] == NULL) continue;
      deed *d = &s->deeds[s->deeds_len++];
      assert_true(s->deeds_len < DEEDS);
      snprintf(d->user, sizeof d->user, "p%u", user);
      snprintf(d->item, sizeof d->item, "i%u", items[k]);
      snprintf(d->slate, sizeof d->slate, "%s", of);
      s->ops[s->deeds_len - 1] = event_op(&s->w, d->user, d->item, types[e]);
      s->ops[s->deeds_len - 1].u.event.slate = wn_str_of(of[0] != '\0' ? d->slate : NULL);
    }
  }
}

static WN_UNUSED void flush(site *s) {
  wn_error err = {0};
  if (s->deeds_len > 0) assert_ok(wn_engine_commit(s->w.engine, s->ops, s->deeds_len, &err));
  s->deeds_len = 0;
}

/* Before there was a server: random items. */
static WN_UNUSED void wander(site *s, size_t visits) {
  for (size_t v = 0; v < visits; v++) {
    uint32_t items[10], user = (uint32_t)wn_rng_below(&s->rng, PEOPLE);
    for (size_t k = 0; k < 10; k++) items[k] = (uint32_t)wn_rng_below(&s->rng, THINGS);
    browse(s, user, items, 10, "");
    s->w.now_ms += INT64_C(29) * 86400000 / (int64_t)visits;
    if (s->deeds_len + 40 > DEEDS) flush(s);
  }
  flush(s);
}

static WN_UNUSED void visit(site *s, size_t visits) {
  double scratch[THINGS];
  s->clicks = s->value = s->best = 0;
  for (size_t v = 0; v < visits; v++) {
    uint32_t items[10], best[10], user = (uint32_t)wn_rng_below(&s->rng, PEOPLE);
    char who[16];
    snprintf(who, sizeof who, "p%u", user);
    slate answer = ask_with(&s->w, (wn_slate_request){.surface = WN_STR("home"),
                                                      .user = wn_str_of(who),
                                                      .n = 10,
                                                      .seed = wn_rng_next(&s->rng),
                                                      .log = true});
    assert_int_equal(answer.status, WN_OK);
    size_t len = answer.answer.len;
    s->w.now_ms = wn_now_ms();
    wn_clock_set(s->w.now_ms + 60000);
    for (size_t k = 0; k < len; k++) items[k] = (uint32_t)atoi(answer.answer.items[k].id.ptr + 1);
    (void)wn_world_best(&s->truth, &(wn_visitor){.user = user}, best, len, scratch);
    s->value += wn_world_value(&s->truth, &(wn_visitor){.user = user}, items, len);
    s->best += wn_world_value(&s->truth, &(wn_visitor){.user = user}, best, len);
    browse(s, user, items, len, answer.answer.slate_id);
    slate_clear(&answer);
    if (v % 50 == 49) flush(s);
  }
  flush(s);
}

/* The behaviour test on what was shown: `shift` moves every probability by so many logits. */
static WN_UNUSED wn_check claimed(site *s, const char *yaml, float shift) {
  wn_error err = {0};
  wn_check_report report = {0};
  wn_check_options how;
  const wn_objective_model *models;
  wn_check_options_defaults(&how);
  world_open_as(&s->w, yaml);
  wn_dataset_builder *log = wn_dataset_builder_create(&s->w.engine->serving->signals);
  assert_ok(wn_load_events(s->w.engine->store, 0, log, NULL, &err));
  size_t n = wn_ranker_objectives(wn_ranker_of(&s->w.engine->serving->models), &models);
  for (size_t k = 0; k < n; k++) {
    wn_calibration *c = (wn_calibration *)(uintptr_t)&models[k].head.calibration;
    for (uint32_t i = 0; i < c->knots; i++) c->y[i] += shift;
  }
  const wn_event_list events = {wn_dataset_builder_events(log), wn_dataset_builder_count(log)};
  assert_ok(wn_check_probabilities(s->w.engine, &how, events, &report, &err));
  wn_dataset_builder_free(log);
  assert_int_equal(report.len, 1);
  print_message("%s: %.3f (%.3f to %.3f): %s\n", wn_check_state_name(report.checks[0].state),
                report.checks[0].value, report.checks[0].low, report.checks[0].high,
                report.checks[0].reason);
  world_close(&s->w);
  return report.checks[0];
}

#endif
