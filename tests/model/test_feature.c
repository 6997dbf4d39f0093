/* The registry of features: columns against naive ones, names, what a snapshot may say, and that
 * training's rows know nothing of the future. */
#include "fitting.h"

#include "model/ranker.h"
#include "model/train.h"

#define USERS 700u
#define ITEMS 60u
#define DAY   86400000ll

/* A year of events, the newest items being taken more and more. */
static void dataset(wn_dataset *data) {
  static fact facts[USERS * 12];
  size_t n = random_facts(5, USERS, ITEMS, 12, facts);
  int64_t time = 0;
  for (size_t i = 0; i < n; i++) {
    bool first = i == 0 || facts[i].user != facts[i - 1].user;
    if (first) time = (int64_t)(wn_mix64(facts[i].user) % 330) * DAY;
    time += 1 + (int64_t)(wn_mix64(i) % (3 * (uint64_t)DAY));
    facts[i].time_ms = time;
    facts[i].weight = 1;
  }
  dataset_of(facts, n, USERS, ITEMS, data);
}

static void options(wn_train_options *o) {
  static const char *const sets[] = {"popular.half_life_days=30", "covisit.window=20",
                                     "als.factors=4"};
  wn_train_options_defaults(o);
  for (size_t i = 0; i < o->models_len; i++)
    o->models[i].left_out = true, o->models[i].automatic = false;
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
    assert_ok(wn_train_options_set(o, sets[i], err));
  o->threads = 1;
}

typedef struct world {
  wn_dataset data;
  wn_models models;
  wn_item_facts facts;
  wn_feature_set set;
  wn_feature_world features;
  wn_train_options train;
  wn_arena arena;
} world;

static void world_init(world *w) {
  memset(w, 0, sizeof *w);
  dataset(&w->data);
  options(&w->train);
  assert_ok(wn_train(&w->data, &w->train, NULL, &w->models, err));
  assert_ok(wn_facts_fit(&w->data, "", &w->facts, err));
  assert_ok(wn_facts_replay(&w->data, &w->facts, err));
  w->set = (wn_feature_set){
      .version = WN_FEATURES_VERSION, .families = (1u << WN_FEATURE_FAMILIES) - 1, .depth = 20};
  wn_ranker_choose_opinions(&w->train, &w->set);
  w->features = (wn_feature_world){.set = &w->set, .facts = &w->facts};
  wn_ranker_find_opinions(&w->set, &w->models, w->features.model);
  wn_arena_init(&w->arena, 1 << 26);
}

static void world_clear(world *w) {
  wn_arena_clear(&w->arena);
  wn_facts_clear(&w->facts);
  wn_models_clear(&w->models);
  wn_dataset_clear(&w->data);
}

static float cell(const world *w, const wn_feature_rows *rows, size_t r, unsigned family,
                  uint32_t column) {
  return rows->feature[r * rows->features + wn_features_begin(&w->set, family) + column];
}

static size_t place_in(const wn_scored *list, size_t len, uint32_t item) {
  size_t at = 0;
  while (at < len && list[at].ix != item) at++;
  return at;
}

static void make_rows(world *w, wn_query *query, wn_history_entry *history, wn_feature_list *lists,
                      wn_feature_rows *rows) {
  *query = (wn_query){.history = history,
                      .user = 3,
                      .anchor = WN_NO_IX,
                      .now_ms = w->data.now_ms,
                      .arena = &w->arena};
  query->history_len = history_of(&w->data, 3, WN_HISTORY_MAX, history);
  assert_true(query->history_len > 3);
  assert_ok(wn_feature_lists(&w->features, query, NULL, lists, err));
  assert_ok(wn_feature_rows_of(&w->features, query, &(wn_feature_ask){.lists = lists}, rows, err));
  assert_true(rows->len > 10);
}

/* Places and echoes are what the models' own lists say. */
static void test_opinions(void **state) {
  (void)state;
  world w;
  wn_query query;
  wn_history_entry history[WN_HISTORY_MAX];
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_feature_rows rows;
  world_init(&w);
  make_rows(&w, &query, history, lists, &rows);
  assert_int_equal(w.set.opinions, 5); /* popular, covisit (all, 1, 3), als */
  for (uint32_t o = 0; o < w.set.opinions; o++) {
    wn_scored list[20];
    size_t len;
    wn_query own = query;
    uint32_t newest = w.set.opinion[o].newest;
    if (newest > 0 && newest < own.history_len) own.history_len = newest;
    const wn_model *model = wn_models_find(&w.models, w.set.opinion[o].model);
    assert_ok(model->cls->candidates(model, &own, 20, list, &len, err));
    for (size_t r = 0; r < rows.len; r++) {
      size_t at = place_in(list, len, rows.item[r]);
      float place = cell(&w, &rows, r, WN_FEATURES_PLACE, o);
      assert_true(at < len ? place == (float)at : isnan(place));
      assert_true(isnan(place) == isnan(cell(&w, &rows, r, WN_FEATURES_SCORE, o)));
    }
  }
  const wn_model *covisit = wn_models_find(&w.models, "covisit");
  size_t named = 0;
  for (size_t r = 0; r < rows.len; r++) {
    float sum = 0, most = 0, items = 0;
    for (size_t h = 0; h < query.history_len && h < 10; h++) {
      wn_scored list[20];
      size_t len;
      wn_query own = query;
      own.history += h;
      own.history_len = 1;
      assert_ok(covisit->cls->candidates(covisit, &own, 20, list, &len, err));
      size_t at = place_in(list, len, rows.item[r]);
      if (at == len) continue;
      sum += list[at].score;
      most = fmaxf(most, list[at].score);
      items++;
    }
    named += items > 0;
    float has = cell(&w, &rows, r, WN_FEATURES_ECHO, 3);
    assert_true(items > 0 ? has == items : isnan(has));
    if (items == 0) continue;
    assert_float_equal(cell(&w, &rows, r, WN_FEATURES_ECHO, 0), sum, 1e-6);
    assert_true(cell(&w, &rows, r, WN_FEATURES_ECHO, 1) == most);
  }
  assert_true(named > 5);
  world_clear(&w);
}

/* Rows of given items hold the same as rows of all. */
static void test_given_items(void **state) {
  (void)state;
  world w;
  wn_query query;
  wn_history_entry history[WN_HISTORY_MAX];
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_feature_rows all, some;
  world_init(&w);
  make_rows(&w, &query, history, lists, &all);
  uint32_t items[] = {all.item[7], all.item[2], all.item[9]};
  assert_ok(wn_feature_rows_of(
      &w.features, &query, &(wn_feature_ask){.lists = lists, .item = items, .len = 3}, &some, err));
  assert_int_equal(some.len, 3);
  static const size_t from[] = {7, 2, 9};
  for (size_t i = 0; i < 3; i++)
    assert_memory_equal(some.feature + i * some.features, all.feature + from[i] * all.features,
                        all.features * sizeof(float));
  world_clear(&w);
}

static void test_counts(void **state) {
  (void)state;
  world w;
  wn_query query;
  wn_history_entry history[WN_HISTORY_MAX];
  wn_feature_list lists[WN_OPINIONS_MAX];
  wn_feature_rows rows;
  world_init(&w);
  make_rows(&w, &query, history, lists, &rows);
  const wn_csr *m = &w.data.by_user;
  for (size_t r = 0; r < rows.len; r++) {
    double week = 0, places = 0, users = 0;
    for (uint32_t u = 0; u < USERS; u++)
      for (uint64_t p = m->row_ptr[u]; p < m->row_ptr[u + 1]; p++) {
        if (m->col[p] != rows.item[r]) continue;
        week += exp(-(double)(w.data.now_ms - m->time_ms[p]) / (7.0 * (double)DAY));
        places += log1p((double)(p - m->row_ptr[u]));
        users++;
      }
    assert_float_equal(cell(&w, &rows, r, WN_FEATURES_PULSE, 2), week, 1e-4 * (1 + week));
    assert_float_equal(cell(&w, &rows, r, WN_FEATURES_CROWD, 0), log1p(users), 1e-5);
    if (users > 0)
      assert_float_equal(cell(&w, &rows, r, WN_FEATURES_CROWD, 2), places / users, 1e-4);
    assert_float_equal(cell(&w, &rows, r, WN_FEATURES_USER, 0), log1p((double)query.history_len),
                       1e-5);
  }
  world_clear(&w);
}

/* --- the future --- */

/* Rows of the table whose columns of `family` differ from what data tell that end before each row's
 * moment; `whole`: data that do not end there. */
static size_t leaks(const world *w, const wn_ranker_table *t, unsigned family, bool whole) {
  size_t row = 0, differ = 0;
  uint32_t begin = wn_features_begin(&w->set, family), end = wn_features_begin(&w->set, family + 1);
  for (size_t g = 0; g < t->groups; g++) {
    wn_dataset before;
    wn_item_facts facts;
    wn_arena arena;
    wn_arena_init(&arena, 1 << 24);
    assert_ok(wn_dataset_before(&w->data, whole ? INT64_MAX : t->moment[g].time_ms, &before, err));
    assert_ok(wn_facts_fit(&w->data, "", &facts, err));
    assert_ok(wn_facts_replay(&before, &facts, err));
    wn_feature_world known = w->features;
    known.facts = &facts;
    const wn_csr *m = &w->data.by_user;
    uint64_t p = m->row_ptr[t->moment[g].user];
    wn_moment moment = {t->moment[g].user, m, p, p, t->moment[g].time_ms, 0, 0};
    while (m->time_ms[moment.end] < moment.time_ms) moment.end++;
    wn_query query;
    assert_true(wn_moment_query(&moment, &arena, &query));
    size_t bytes = t->size[g] * t->features * sizeof(float);
    wn_feature_rows rows = {t->item + row, wn_arena_alloc(&arena, bytes), t->size[g], t->features};
    assert_non_null(rows.feature);
    memcpy(rows.feature, t->feature + row * t->features, bytes);
    wn_feature_retime(&known, &query, &rows);
    for (size_t r = 0; r < rows.len; r++)
      differ +=
          memcmp(rows.feature + r * t->features + begin,
                 t->feature + (row + r) * t->features + begin, (end - begin) * sizeof(float)) != 0;
    row += t->size[g];
    wn_facts_clear(&facts);
    wn_dataset_clear(&before);
    wn_arena_clear(&arena);
  }
  return differ;
}

static void test_no_future(void **state) {
  (void)state;
  world w;
  wn_ranker_table tables[WN_RANKER_TABLES], t;
  world_init(&w);
  wn_fit_env env = {.pool = wn_pool_create(2), .seed = 1, .run = &w.train};
  wn_ranker_fit_options o = {.moments_max = 400, .negatives = 10, .set = &w.set};
  assert_ok(wn_ranker_tables_make(&w.data, &o, &env, tables, err));
  t = tables[WN_RANKER_LEARN];
  assert_true(t.groups > 50 && t.features == wn_features_count(&w.set));
  static const unsigned families[] = {WN_FEATURES_CROWD, WN_FEATURES_PULSE};
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(leaks(&w, &t, families[i], false), 0);
    /* Planted: counts that know the whole log. The same look finds them. */
    assert_true(leaks(&w, &t, families[i], true) > t.rows / 10);
  }
  uint32_t shown = wn_features_begin(&w.set, WN_FEATURES_SHOWN); /* not known in the past */
  for (size_t r = 0; r < t.rows; r++) assert_true(isnan(t.feature[r * t.features + shown]));
  wn_ranker_tables_clear(tables);
  wn_pool_free(env.pool);
  world_clear(&w);
}

/* Live events and a replay of the same log give the same bits. */
static void test_no_skew(void **state) {
  (void)state;
  world w;
  wn_taken_list all;
  wn_item_facts live;
  world_init(&w);
  assert_ok(wn_taken_list_of(&w.data, &all, err));
  assert_ok(wn_facts_fit(&w.data, "", &live, err));
  for (size_t i = 0; i < all.len; i++) {
    wn_event event = {.item = all.data[i].item, .time_ms = all.data[i].time_ms};
    wn_facts_update(&live, &event);
  }
  for (uint32_t i = 0; i < ITEMS; i++) {
    assert_int_equal(live.pulse[i].count, w.facts.pulse[i].count);
    assert_memory_equal(live.pulse[i].decayed, w.facts.pulse[i].decayed,
                        sizeof live.pulse[i].decayed);
  }
  wn_event fresh = {.item = ITEMS + 100, .time_ms = 1};
  wn_facts_update(&live, &fresh);
  assert_int_equal(live.pulses, ITEMS + 101);
  assert_int_equal(live.pulse[ITEMS + 100].count, 1);
  assert_int_equal(live.pulse[ITEMS + 50].count, 0);
  wn_free(all.data);
  wn_facts_clear(&live);
  world_clear(&w);
}

/* --- the registry --- */

static void test_names(void **state) {
  (void)state;
  world w;
  char name[WN_FEATURE_NAME_MAX + 1];
  world_init(&w);
  uint32_t n = wn_features_count(&w.set);
  assert_int_equal(wn_features_begin(&w.set, WN_FEATURE_FAMILIES), n);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t j = 0; j < i; j++) {
      char other[WN_FEATURE_NAME_MAX + 1];
      assert_string_not_equal(wn_feature_name(&w.set, &w.facts, i, name, sizeof name),
                              wn_feature_name(&w.set, &w.facts, j, other, sizeof other));
    }
  assert_string_equal(wn_feature_name(&w.set, &w.facts, 2, name, sizeof name),
                      "place in covisit, newest 1");
  uint32_t pulse = wn_features_begin(&w.set, WN_FEATURES_PULSE);
  assert_string_equal(wn_feature_name(&w.set, &w.facts, pulse + 1, name, sizeof name),
                      "pulse: 1 d");
  for (unsigned f = 0; f < WN_FEATURE_FAMILIES; f++)
    assert_true(wn_feature_family_name(f) != NULL && wn_feature_family_doc(f) != NULL);
  assert_null(wn_feature_family_name(WN_FEATURE_FAMILIES));
  world_clear(&w);
}

static void test_foreign_sets(void **state) {
  (void)state;
  wn_feature_set good = {.version = WN_FEATURES_VERSION, .families = 1, .depth = 5, .opinions = 1};
  wn_error err;
  assert_int_equal(wn_feature_set_check(&good, "s", &err), WN_OK);
  wn_feature_set bad = good;
  bad.version++;
  assert_int_equal(wn_feature_set_check(&bad, "s", &err), WN_E_CORRUPT);
  assert_non_null(strstr(err.message, "train again"));
  bad = good, bad.families = 1u << 31;
  assert_int_equal(wn_feature_set_check(&bad, "s", &err), WN_E_CORRUPT);
  bad = good, bad.opinions = WN_OPINIONS_MAX + 1;
  assert_int_equal(wn_feature_set_check(&bad, "s", &err), WN_E_CORRUPT);
  bad = good, memset(bad.opinion[0].model, 'x', sizeof bad.opinion[0].model);
  assert_int_equal(wn_feature_set_check(&bad, "s", &err), WN_E_CORRUPT);
  bad = good, bad.depth = 0;
  assert_int_equal(wn_feature_set_check(&bad, "s", &err), WN_E_CORRUPT);
}

static void test_chosen_families(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint32_t families;
  } cases[] = {{"", WN_FEATURES_DEFAULT},
               {"place", 1u << WN_FEATURES_PLACE},
               {" crowd ,age", 1u << WN_FEATURES_CROWD | 1u << WN_FEATURES_AGE},
               {"-pulse, + moment",
                (WN_FEATURES_DEFAULT & ~(1u << WN_FEATURES_PULSE)) | 1u << WN_FEATURES_MOMENT}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t families = 0;
    assert_ok(wn_feature_families_parse(cases[i].text, &families, err));
    assert_int_equal(families, cases[i].families);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_chosen_families), cmocka_unit_test(test_opinions),
      cmocka_unit_test(test_given_items),     cmocka_unit_test(test_counts),
      cmocka_unit_test(test_no_future),       cmocka_unit_test(test_no_skew),
      cmocka_unit_test(test_names),           cmocka_unit_test(test_foreign_sets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
