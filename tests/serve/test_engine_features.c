/* No skew: the features that are logged with an impression are, bit for bit, those that the log
 * gives again: the snapshot, the events up to the request, the request's time. */
#include "engine_fixture.h"

#include "base/mem.h"
#include "model/feature_log.h"
#include "model/past_shown.h"
#include "model/ranker.h"
#include "serve/engine_exposed.h"
#include "serve/engine_internal.h"
#include "store/answered.h"

#define DAY_MS 86400000LL
#define SHOWN  40

static void train_ranker(world *w) {
  wn_error err = {0};
  wn_store *store = NULL;
  wn_config config;
  wn_snapshot_about about;
  static const char *const sets[] = {"als.factors=8", "ranker.trees=15", "ranker.depth=40",
                                     "ranker.features=+impression, +text"};
  assert_ok(wn_config_defaults(&config, &err));
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    assert_ok(wn_train_options_set(&config.train, sets[i], &err));
  config.train.threads = 1;
  assert_ok(wn_store_open(w->dir, WN_STORE_READ, &store, &err));
  assert_ok(wn_train_store(store, &config.signals, &config.train, NULL, &about, &err));
  wn_store_close(store);
  wn_config_clear(&config);
}

#define ASKS "models: {ranker: {features: \"+impression, +text\"}}\n"

static slate ask_in(world *w, const char *user, const char *context, uint32_t n) {
  slate s = ask_with(w, (wn_slate_request){.surface = WN_STR("home"),
                                           .user = wn_str_of(user),
                                           .context = wn_str_of(context),
                                           .n = n,
                                           .log = true});
  assert_int_equal(s.status, WN_OK);
  return s;
}

static const char *context_of(int u) {
  return u % 2 == 0 ? "{\"device\":\"tv\",\"volume\":3}" : "{\"volume\": 7, \"device\": \"phone\"}";
}

/* Users are shown slates and take the second item of each; even ones buy it. */
static void show_some(world *w) {
  for (int u = 0; u < SHOWN; u++) {
    char user[16], item[32];
    snprintf(user, sizeof user, "u%d", u);
    slate s = ask_in(w, user, context_of(u), 10);
    snprintf(item, sizeof item, "%.*s", WN_STR_ARG(s.answer.items[1].id));
    wn_op op = event_op(w, user, item, u % 2 == 0 ? "buy" : "click");
    op.u.event.time_ms = wn_now_ms();
    op.u.event.slate = wn_str_of(s.answer.slate_id);
    slate_clear(&s);
    commit(w, op);
  }
}

static void ready(world *w, const char *yaml) {
  world_init(w);
  world_open(w);
  world_fill(w);
  wn_op old = event_op(w, "u1", "i1", "view"); /* so that times tell days */
  old.u.event.time_ms -= 30 * DAY_MS;
  commit(w, old);
  world_close(w);
  train_ranker(w);
  world_open(w);
  show_some(w);
  world_close(w);
  train_ranker(w);
  world_open_as(w, yaml);
}

/* A slate as it was logged; strings and arrays of its own. */
typedef struct logged {
  char user[16], request[64];
  int64_t time_ms;
  uint64_t snapshot;
  wn_item_ix items[20];
  size_t len;
  wn_buf features;
} logged;

typedef struct log_book {
  logged data[64];
  size_t len;
} log_book;

static wn_status note_slate(void *ctx, const wn_slate_log *log, wn_error *err) {
  log_book *book = ctx;
  (void)err;
  logged *l = &book->data[book->len++];
  snprintf(l->user, sizeof l->user, "%.*s", WN_STR_ARG(log->user_id));
  snprintf(l->request, sizeof l->request, "%.*s", WN_STR_ARG(log->request));
  l->time_ms = log->time_ms;
  l->snapshot = log->snapshot;
  l->len = log->len;
  assert_true(log->len <= 20);
  memcpy(l->items, log->items, log->len * sizeof *l->items);
  if (log->features.len > 0) wn_buf_append(&l->features, log->features.ptr, log->features.len);
  return WN_OK;
}

static void read_log(world *w, log_book *book) {
  wn_error err = {0};
  memset(book, 0, sizeof *book);
  assert_ok(wn_store_scan_slates(w->engine->store, 0, false, note_slate, book, &err));
}

static void clear_log(log_book *book) {
  for (size_t i = 0; i < book->len; i++) wn_buf_clear(&book->data[i].features);
}

/* What was shown before a slate, and what came of it by then, from the log. */
typedef struct before_it {
  world *w;
  wn_exposure *exposure;
  size_t slates; /* before it */
  uint64_t seq;
} before_it;

static wn_status expose(void *ctx, const wn_slate_log *log, const wn_answer *answers, size_t len,
                        wn_error *err) {
  before_it *p = ctx;
  size_t known = 0;
  if (p->slates == 0) return WN_OK;
  p->slates--;
  while (known < len && answers[known].seq <= p->seq) known++;
  return wn_exposure_replay(p->exposure, p->w->engine, log, answers, known, err);
}

static wn_exposure *exposure_at(world *w, size_t slates, uint64_t seq) {
  wn_error err = {0};
  wn_exposure_options options;
  wn_answered_options how;
  wn_exposure_options_defaults(&options);
  options.impressions_max = 10000;
  wn_answered_options_defaults(&how);
  before_it p = {w, wn_exposure_create(&options), slates, seq};
  assert_non_null(p.exposure);
  assert_ok(wn_store_scan_answered(w->engine->store, &how, expose, &p, &err));
  return p.exposure;
}

/* The funnel once more, on the state as it stood. */
static wn_slate again(world *w, const logged *l, const wn_serving *serving,
                      const wn_exposed *exposed, wn_arena *arena) {
  wn_error err = {0};
  wn_pair_list pairs;
  wn_attrs context;
  wn_slate out;
  wn_user_ix user = wn_store_find_user(w->engine->store, wn_str_of(l->user));
  wn_request r = {.surface = wn_surfaces_find(&w->engine->policy->surfaces, WN_STR("home")),
                  .models = &serving->models,
                  .catalog = w->engine->catalog,
                  .filters = w->engine->filters,
                  .signals = &serving->signals,
                  .exposed = exposed,
                  .query = {.user = user, .anchor = WN_NO_IX, .now_ms = l->time_ms, .arena = arena},
                  .n = 20};
  assert_ok(wn_online_user(serving->online, user, l->time_ms, arena, &pairs, &err));
  assert_ok(wn_engine_history(w->engine, &r.query, pairs, arena, &err));
  wn_seen_entry *seen = wn_arena_alloc(arena, (pairs.len + 1) * sizeof *seen);
  assert_non_null(seen);
  for (size_t i = 0; i < pairs.len; i++)
    seen[i] = (wn_seen_entry){.item = pairs.data[i].item, .mask = pairs.data[i].mask};
  assert_ok(wn_attrs_from_json(wn_str_of(l->request), arena, &context, &err));
  r.query.context = &context;
  r.seen = seen;
  r.seen_len = pairs.len;
  assert_ok(wn_funnel_run(&r, &out, &err));
  return out;
}

/* Replayed training is told the same of the past as serving was. */
static void check_past(world *w, const logged *l, const wn_exposed *live, bool *any) {
  wn_error err = {0};
  wn_past_shown *made = NULL;
  wn_past_view view;
  wn_before one[ITEMS], other[ITEMS];
  wn_item_ix items[ITEMS];
  wn_user_ix user = wn_store_find_user(w->engine->store, wn_str_of(l->user));
  const wn_label_log log = {.store = w->engine->store, .signals = &w->engine->serving->signals};
  const wn_before_ask ask = {l->time_ms, (double)DAY_MS, true};
  for (wn_item_ix i = 0; i < ITEMS; i++) items[i] = i;
  assert_ok(wn_past_shown_create(&log, USERS, &made, &err));
  const wn_exposed *past = wn_past_shown_at(made, user, l->time_ms, &view);
  assert_non_null(past);
  live->before(live->ctx, &ask, items, ITEMS, one);
  past->before(past->ctx, &ask, items, ITEMS, other);
  for (size_t i = 0; i < ITEMS; i++) {
    assert_int_equal(one[i].times, other[i].times);
    assert_memory_equal(&one[i].faded, &other[i].faded, sizeof one[i].faded);
    assert_true(one[i].last_ms == other[i].last_ms);
    *any |= one[i].times > 0;
  }
  /* Planted: the same question with the future known has another answer. */
  size_t differ = 0;
  view.as_of_ms = INT64_MAX;
  past->before(past->ctx, &ask, items, ITEMS, other);
  for (size_t i = 0; i < ITEMS; i++) differ += one[i].times != other[i].times;
  assert_true(differ > 5);
  wn_past_shown_free(made);
}

static void check(world *w, const logged *l, size_t slates, uint64_t seq) {
  wn_error err = {0};
  wn_serving *serving = NULL;
  wn_logged_features features;
  wn_arena arena;
  wn_arena_init(&arena, ARENA);
  assert_ok(wn_serving_at(w->engine, l->snapshot, seq, &serving, &err));
  wn_exposure *exposure = exposure_at(w, slates, seq);
  wn_asked_exposure asked;
  const wn_exposed *exposed =
      wn_asked_exposure_of(exposure, WN_STR("home"), wn_str_of(l->user), &asked);
  bool any = false;
  check_past(w, l, exposed, &any);
  assert_true(any);
  wn_slate made = again(w, l, serving, exposed, &arena);
  assert_ok(
      wn_feature_log_decode((wn_str){l->features.data, l->features.len}, &arena, &features, &err));
  assert_int_equal(made.len, l->len);
  assert_int_equal(features.len, l->len);
  assert_true(features.set == made.feature_set && features.features == made.features);
  size_t present = 0;
  for (size_t i = 0; i < l->len; i++) {
    assert_int_equal(made.items[i].item, l->items[i]);
    for (uint32_t f = 0; f < features.features; f++) {
      float had = features.feature[i * features.features + f];
      float has = made.items[i].row != NULL ? made.items[i].row[f] : NAN;
      assert_true(isnan(had) ? isnan(has) : memcmp(&had, &has, sizeof had) == 0);
      present += !isnan(had);
    }
  }
  assert_true(present > l->len * 20);
  static const unsigned families[] = {WN_FEATURES_IMPRESSION, WN_FEATURES_CONTEXT,
                                      WN_FEATURES_TEXT};
  for (size_t f = 0; f < 3; f++) {
    const wn_feature_set *set = wn_ranker_features(wn_ranker_of(&serving->models));
    uint32_t at = wn_features_begin(set, families[f]), known = 0;
    assert_true(wn_features_begin(set, families[f] + 1) >= at + 3);
    for (size_t i = 0; i < l->len; i++)
      known += !isnan(features.feature[i * features.features + at]);
    assert_true(known > 3);
  }
  wn_exposure_free(exposure);
  wn_serving_free(serving);
  wn_arena_clear(&arena);
}

static void test_no_skew(void **state) {
  (void)state;
  world w;
  log_book book;
  uint64_t seq[8];
  ready(&w, ASKS);
  for (int i = 0; i < 8; i++) {
    char user[16], item[16];
    snprintf(user, sizeof user, "u%d", 3 * i);
    snprintf(item, sizeof item, "i%d", 7 * i);
    event(&w, user, item, "like"); /* counts, histories and vectors move */
    seq[i] = w.engine->applied_seq;
    slate s = ask_in(&w, user, context_of(i), 20);
    slate_clear(&s);
    event(&w, user, "i8", "view"); /* what must not be in it */
  }
  world_close(&w); /* all is committed */
  world_open_as(&w, ASKS);
  read_log(&w, &book);
  assert_int_equal(book.len, SHOWN + 8);
  for (size_t i = 0; i < 8; i++) check(&w, &book.data[SHOWN + i], SHOWN + i, seq[i]);
  clear_log(&book);
  world_remove(&w);
}

/* What came of showing items, against a count of the log by hand. */
static void test_shown(void **state) {
  (void)state;
  world w;
  log_book book;
  float row[WN_FEATURES_MAX];
  double shown[ITEMS] = {0}, answered[ITEMS] = {0}, bought[ITEMS] = {0}, expected[ITEMS] = {0};
  ready(&w, "");
  slate s = ask(&w, "home", "u1", NULL, 10);
  slate_clear(&s);
  world_close(&w);
  world_open(&w);
  read_log(&w, &book);
  for (size_t i = 0; i < SHOWN; i++)
    for (size_t k = 0; k < book.data[i].len; k++) {
      wn_item_ix item = book.data[i].items[k];
      shown[item]++;
      expected[item] += k == 1; /* the rate of the second place is 1, of the others 0 */
      answered[item] += k == 1;
      bought[item] += k == 1 && atoi(book.data[i].user + 1) % 2 == 0;
    }
  wn_error err = {0};
  wn_logged_features features;
  wn_arena arena;
  wn_arena_init(&arena, ARENA);
  const logged *last = &book.data[SHOWN];
  assert_ok(wn_feature_log_decode((wn_str){last->features.data, last->features.len}, &arena,
                                  &features, &err));
  const wn_model *ranker = wn_ranker_of(&w.engine->serving->models);
  uint32_t at = wn_features_begin(wn_ranker_features(ranker), WN_FEATURES_SHOWN);
  size_t checked = 0;
  for (size_t k = 0; k < last->len; k++) {
    memcpy(row, features.feature + k * features.features, features.features * sizeof *row);
    wn_item_ix item = last->items[k];
    if (isnan(row[0])) continue;
    assert_float_equal(row[at], (answered[item] + 5) / (expected[item] + 5), 1e-5);
    assert_float_equal(row[at + 1], (bought[item] + 5) / (answered[item] + 10), 1e-5);
    assert_float_equal(row[at + 2], log1p(shown[item]), 1e-5);
    checked++;
  }
  assert_true(checked > 3);
  wn_arena_clear(&arena);
  clear_log(&book);
  world_remove(&w);
}

static void test_not_logged(void **state) {
  (void)state;
  world w;
  log_book book;
  ready(&w, "surfaces: {home: {score: {log_features: false}}}\n");
  slate s = ask(&w, "home", "u1", NULL, 10);
  slate_clear(&s);
  s = ask(&w, "popular", "u1", NULL, 10); /* no ranker there */
  slate_clear(&s);
  world_close(&w);
  world_open(&w);
  read_log(&w, &book);
  assert_int_equal(book.len, SHOWN + 2);
  assert_true(book.data[SHOWN].features.len == 0 && book.data[SHOWN + 1].features.len == 0);
  clear_log(&book);
  world_remove(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_skew), cmocka_unit_test(test_shown),
                                     cmocka_unit_test(test_not_logged)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
