/* Objectives end to end: learnt from history before there are impressions and from impressions
 * after, told by explain, weighed without training again; and the two-signal trap. */
#include "engine_fixture.h"

#include "base/mem.h"
#include "lab/world.h"
#include "serve/behaviour.h"
#include "model/ranker.h"
#include "serve/engine_internal.h"

static void train(world *w, const char *yaml, wn_objective_head *heads, size_t *len) {
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

/* --- a made-up site --- */

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

static void site_init(site *s) {
  wn_error err = {0};
  wn_world_options o = {.users = PEOPLE,
                        .items = THINGS,
                        .bait_pull = 1.5,
                        .bait_cost = 3,
                        .trap = 3,
                        .likes = 0.7,
                        .seed = 4};
  memset(s, 0, sizeof *s);
  world_init(&s->w);
  s->w.now_ms -= INT64_C(30) * 86400000;
  assert_ok(wn_world_create(&o, &s->truth, &err));
  wn_rng_seed(&s->rng, 5);
}

static void site_clear(site *s) {
  wn_world_clear(&s->truth);
  world_remove(&s->w);
}

static void put_things(site *s) {
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
static void browse(site *s, uint32_t user, const uint32_t *items, size_t len, const char *of) {
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

static void flush(site *s) {
  wn_error err = {0};
  if (s->deeds_len > 0) assert_ok(wn_engine_commit(s->w.engine, s->ops, s->deeds_len, &err));
  s->deeds_len = 0;
}

/* Before there was a server: random items. */
static void wander(site *s, size_t visits) {
  for (size_t v = 0; v < visits; v++) {
    uint32_t items[10], user = (uint32_t)wn_rng_below(&s->rng, PEOPLE);
    for (size_t k = 0; k < 10; k++) items[k] = (uint32_t)wn_rng_below(&s->rng, THINGS);
    browse(s, user, items, 10, "");
    s->w.now_ms += INT64_C(29) * 86400000 / (int64_t)visits;
    if (s->deeds_len + 40 > DEEDS) flush(s);
  }
  flush(s);
}

static void visit(site *s, size_t visits) {
  double scratch[THINGS];
  s->clicks = s->value = s->best = 0;
  s->w.now_ms = wn_now_ms();
  for (size_t v = 0; v < visits; v++) {
    uint32_t items[10], best[10], user = (uint32_t)wn_rng_below(&s->rng, PEOPLE);
    char who[16];
    snprintf(who, sizeof who, "p%u", user);
    slate answer = ask(&s->w, "home", who, NULL, 10);
    size_t len = answer.answer.len;
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

#define SITE                                                                                       \
  "surfaces: {home: {filter: {seen: none}}}\n"                                                     \
  "signals: {finish: {seen: false}, click: {seen: false}, like: {seen: false}}\n"                  \
  "objectives: {buy: {label: buy within 7d}, "
static const char by_clicks[] =
    SITE "click: {weight: 1}, finish: {weight: 0}, like: {weight: 0}}\n";
static const char by_finishes[] =
    SITE "click: {weight: 0}, finish: {weight: 1}, like: {weight: 0}}\n";
static const char by_all[] =
    SITE "click: {weight: 0.05}, finish: {weight: 0.05}, like: {weight: 1}}\n";

/* Explain tells each objective's probability and weight, which add up to the value; what has no
 * model is told, too. */
static void check_explained(site *s) {
  slate told = ask_with(
      &s->w, (wn_slate_request){
                 .surface = WN_STR("home"), .user = WN_STR("p1"), .n = 10, .explain = true});
  assert_int_equal(told.status, WN_OK);
  const char *text = told.answer.explain_json.ptr, *value = strstr(text, "\"value\":");
  assert_non_null(strstr(text, "\"by\":\"objectives\""));
  assert_non_null(strstr(text, "objective buy has no model: it counts nothing"));
  assert_non_null(value);
  double sum = 0;
  const char *at = value;
  for (int k = 0; k < 3; k++) {
    at = strstr(at, "\"p\":");
    assert_non_null(at);
    double p = strtod(at + 4, NULL);
    assert_true(p > 0 && p < 1);
    sum += strtod(strstr(at, "\"adds\":") + 7, NULL);
    at++;
  }
  assert_float_equal(sum, strtod(value + 8, NULL), 1e-5);
  slate_clear(&told);
}

typedef struct outcome {
  double clicks, share;
} outcome;

static outcome measure(site *s, const char *yaml, size_t visits) {
  world_open_as(&s->w, yaml);
  visit(s, visits);
  outcome out = {s->clicks / (double)visits, s->value / s->best};
  print_message("%.2f clicks a visit, %.3f of the best value\n", out.clicks, out.share);
  if (yaml == by_all) check_explained(s);
  world_close(&s->w);
  return out;
}

/* The behaviour test on what was shown: `shift` moves every probability by so many logits. */
static wn_check claimed(site *s, float shift) {
  wn_error err = {0};
  wn_check_report report = {0};
  wn_check_options how;
  const wn_objective_model *models;
  wn_check_options_defaults(&how);
  world_open_as(&s->w, by_all);
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

/* Bait makes clicks, short items make finishes, and neither is worth anything: a ranker of one
 * signal falls for it. With all of them it does not, by weights alone: one snapshot. */
static void test_two_signals(void **state) {
  (void)state;
  static site s;
  wn_objective_head heads[WN_OBJECTIVES_MAX];
  size_t len = 0;
  site_init(&s);
  world_open_as(&s.w, by_clicks);
  put_things(&s);
  wander(&s, 5000);
  world_close(&s.w);
  train(&s.w, by_clicks, heads, &len);
  assert_int_equal(len, 4);
  assert_int_equal(heads[0].source, WN_OBJECTIVE_UNLABELLED);
  assert_int_equal(heads[0].successes, 0);
  for (size_t k = 1; k < 4; k++) {
    assert_int_equal(heads[k].source, WN_OBJECTIVE_REPLAY);
    assert_true(heads[k].report.after.ece < 0.02);
  }
  (void)measure(&s, by_clicks, 300);
  (void)measure(&s, by_finishes, 300);
  (void)measure(&s, by_all, 300);
  train(&s.w, by_clicks, heads, &len);
  for (size_t k = 1; k < 4; k++) {
    assert_int_equal(heads[k].source, WN_OBJECTIVE_IMPRESSIONS);
    assert_true(heads[k].report.after.ece < 0.1 && heads[k].report.after.auc > 0.6);
  }
  outcome clicks = measure(&s, by_clicks, 300);
  outcome finishes = measure(&s, by_finishes, 300);
  outcome all = measure(&s, by_all, 300);
  assert_true(all.share > 1.2 * clicks.share && all.share > 1.2 * finishes.share);
  assert_true(all.clicks < 0.8 * clicks.clicks);
  wn_check honest = claimed(&s, 0), boasting = claimed(&s, 2);
  assert_true(3 * honest.value < boasting.value);
  assert_true(boasting.state == WN_CHECK_FAIL && boasting.worst_len == WN_CHECK_WORST);
  site_clear(&s);
}

/* Objectives without a single label: the ranker's own order holds, the slate is full. */
static void test_unlabelled(void **state) {
  (void)state;
  world w;
  wn_objective_head heads[WN_OBJECTIVES_MAX];
  size_t len = 0;
  static const char yaml[] = "objectives: {buy: within7d >= 3}\n";
  world_init(&w);
  world_open(&w);
  world_fill(&w);
  world_close(&w);
  train(&w, yaml, heads, &len);
  assert_true(len == 1 && heads[0].source == WN_OBJECTIVE_UNLABELLED);
  world_open_as(&w, yaml);
  slate told =
      ask_with(&w, (wn_slate_request){
                       .surface = WN_STR("home"), .user = WN_STR("u1"), .n = 10, .explain = true});
  assert_true(told.status == WN_OK && told.answer.len == 10);
  assert_non_null(strstr(told.answer.explain_json.ptr, "objective buy has no model"));
  assert_null(strstr(told.answer.explain_json.ptr, "\"by\":\"objectives\""));
  slate_clear(&told);
  world_remove(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_unlabelled),
                                     cmocka_unit_test(test_two_signals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
