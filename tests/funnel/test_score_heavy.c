/* The heavy half of the score stage: the ranker's own order, the features told, and what happens
 * without a ranker, without a history, or with too little. */
#include "trained.h"
#include "model/light.h"

static void init(world *w, bool with_ranker) {
  static const char *const sets[] = {"popular.half_life_days=30", "covisit.window=20",
                                     "als.factors=4", "ranker.trees=20", "ranker.depth=30"};
  trained_init(w, 300, sets, 3u + 2 * with_ranker);
}

static void surface(wn_surface *s, uint32_t heavy) {
  wn_surface_init(s, "t", WN_FLAVOUR_PERSONAL);
  s->seen_all = false;
  s->heavy = heavy;
  fx_generator(s, "als", 30, 1.0f);
  fx_generator(s, "popular", 30, 0.5f);
  fx_generator(s, "covisit", 30, 1.0f);
}

/* Best first by margin, scores falling with it; the rest below in their old order. */
static void test_order_is_the_rankers(void **state) {
  (void)state;
  world w;
  wn_surface s;
  init(&w, true);
  surface(&s, 25);
  wn_slate slate = trained_run(&w, &s);
  const wn_trace *t = slate.trace;
  assert_non_null(t->ranker);
  assert_true(t->candidates_len > 30);
  for (size_t i = 0; i < t->candidates_len; i++) {
    const wn_candidate *c = &t->candidates[i], *above = i > 0 ? c - 1 : NULL;
    assert_true(i < 25 ? isfinite(c->margin) && c->score >= 0.01f && c->score <= 1.0f
                       : isnan(c->margin) && c->score < 0.01f);
    if (above == NULL) continue;
    assert_true(above->score >= c->score);
    if (i < 25) assert_true(above->margin >= c->margin);
    if (i > 25) assert_true(above->early >= c->early);
  }
  assert_float_equal(t->candidates[0].score, 1, 1e-6);
  trained_clear(&w);
}

/* The same margins as the ranker as a generator gives: lists taken over are lists asked for. */
static void test_same_as_the_model(void **state) {
  (void)state;
  world w;
  wn_surface s;
  wn_scored list[ITEMS];
  wn_error err;
  size_t count = 0, same = 0;
  init(&w, true);
  surface(&s, 60);
  wn_slate slate = trained_run(&w, &s);
  const wn_model *ranker = wn_ranker_of(&w.models);
  wn_query query = w.query;
  wn_bitset allowed;
  query.arena = NULL;
  assert_true(wn_bitset_init(&allowed, ITEMS));
  wn_bitset_copy(&allowed, wn_catalog_servable(w.fx.catalog));
  query.allowed = &allowed;
  assert_int_equal(ranker->cls->candidates(ranker, &query, ITEMS, list, &count, &err), WN_OK);
  for (size_t i = 0; i < slate.trace->candidates_len; i++)
    for (size_t k = 0; k < count; k++) {
      if (list[k].ix != slate.trace->candidates[i].item) continue;
      assert_true(list[k].score == slate.trace->candidates[i].margin);
      same++;
    }
  assert_true(same > 30);
  wn_bitset_clear(&allowed);
  trained_clear(&w);
}

/* Contributions add up to the margin, and are told in the trace. */
static void test_explained(void **state) {
  (void)state;
  world w;
  wn_surface s;
  wn_buf text = {0};
  wn_json json;
  init(&w, true);
  surface(&s, 25);
  wn_slate slate = trained_run(&w, &s);
  const wn_candidate *c = &slate.trace->candidates[4];
  float contribution[WN_FEATURES_MAX];
  float sum =
      wn_ranker_contributions(slate.trace->ranker, slate.trace->horizon, c->row, contribution);
  for (uint32_t i = 0; i < wn_features_count(wn_ranker_features(slate.trace->ranker)); i++)
    sum += contribution[i];
  assert_float_equal(sum, c->margin, 1e-4);
  wn_json_init(&json, &text);
  wn_trace_to_json(slate.trace, w.fx.catalog, &json);
  assert_non_null(strstr(wn_buf_c(&text), "\"by\":\"ranker\""));
  assert_non_null(strstr(wn_buf_c(&text), "\"adds\":"));
  wn_buf_clear(&text);
  trained_clear(&w);
}

/* A boost holds against the ranker, too, and takes an item up that it would not have been asked
 * about. */
static void test_boosts(void **state) {
  (void)state;
  world w;
  wn_surface s;
  char where[40];
  init(&w, true);
  surface(&s, 10);
  wn_slate slate = trained_run(&w, &s);
  wn_item_ix item = slate.trace->candidates[30].item;
  snprintf(where, sizeof where, "id == \"i%u\"", item);
  fx_boost(&s, where, 1000);
  slate = trained_run(&w, &s);
  assert_int_equal(slate.items[0].item, item);
  assert_true(isfinite(slate.trace->candidates[0].margin));
  assert_string_equal(slate.scored_by, "ranker");
  trained_clear(&w);
}

static void test_fallbacks(void **state) {
  (void)state;
  world w;
  wn_surface s;
  init(&w, true);
  surface(&s, 25);
  w.query.history_len = 0;
  wn_slate slate = trained_run(&w, &s);
  assert_true(slate.len == 20 && fx_noted(slate.trace, "no history for the ranker"));
  assert_null(slate.trace->ranker);
  trained_clear(&w);
  init(&w, false);
  slate = trained_run(&w, &s);
  assert_true(slate.len == 20 && fx_noted(slate.trace, "no ranker in this snapshot"));
  assert_string_equal(slate.scored_by, "generators");
  s.heavy = 0;
  slate = trained_run(&w, &s);
  assert_false(fx_noted(slate.trace, "ranker"));
  trained_clear(&w);
}

/* The light ranker says who is asked: its score is what the same weights give over the registry's
 * own columns, and its best are the ones that have margins. */
static float light_of(const wn_model *ranker, const wn_feature_set *set, const float *row) {
  wn_light_view view;
  assert_true(wn_ranker_light(ranker, WN_BLEND_NEXT, &view));
  const wn_light *light = view.light;
  const float *place = row + wn_features_begin(set, WN_FEATURES_PLACE);
  const float *score = row + wn_features_begin(set, WN_FEATURES_SCORE);
  const float *crowd = row + wn_features_begin(set, WN_FEATURES_CROWD);
  float total = 0, named = 0, best = 1000;
  for (uint32_t o = 0; o < set->opinions; o++) {
    if (set->opinion[o].newest > 0 || isnan(place[o])) continue;
    total += light->said[o][0] + light->said[o][1] * log1pf(place[o]) +
             light->said[o][2] / (1 + place[o]) + light->said[o][3] * score[o];
    named += 1;
    best = fminf(best, place[o]);
  }
  float away = fmaxf(fminf(crowd[3], 4), -4);
  return total + light->own[0] * log1pf(best) + light->own[1] * named * named +
         light->own[2] * crowd[0] + light->own[3] * crowd[0] * crowd[0] + light->own[4] * away +
         light->own[5] * away * away;
}

static void test_light_chooses(void **state) {
  (void)state;
  world w;
  wn_surface s;
  size_t asked = 0, other = 0;
  bool lit[ITEMS] = {false};
  init(&w, true);
  surface(&s, 20);
  wn_slate slate = trained_run(&w, &s);
  const wn_trace *t = slate.trace;
  assert_true(t->light && t->candidates_len > 30);
  const wn_feature_set *set = wn_ranker_features(t->ranker);
  for (size_t i = 0; i < t->candidates_len; i++) {
    const wn_candidate *c = &t->candidates[i];
    assert_true(isfinite(c->light));
    if (c->row == NULL) continue;
    assert_float_equal(c->light, light_of(t->ranker, set, c->row), 1e-4);
    for (size_t j = 0; j < t->candidates_len; j++)
      if (t->candidates[j].row == NULL) assert_true(c->light >= t->candidates[j].light);
    lit[c->item] = true;
    asked++;
  }
  assert_int_equal(asked, 20);
  s.light = false;
  slate = trained_run(&w, &s);
  assert_false(slate.trace->light);
  for (size_t i = 0; i < slate.trace->candidates_len; i++) {
    assert_true(isnan(slate.trace->candidates[i].light));
    other += slate.trace->candidates[i].row != NULL && !lit[slate.trace->candidates[i].item];
  }
  assert_true(other > 0); /* points alone choose others */
  s.light = true;
  s.heavy = 200;
  slate = trained_run(&w, &s);
  assert_false(slate.trace->light); /* all are asked about anyway */
  trained_clear(&w);
}

/* Where the blend was judged to order better, the ranker is not asked, and the trace says so. */
static void test_the_blend_orders(void **state) {
  (void)state;
  static const char *const sets[] = {"popular.half_life_days=30", "covisit.window=20",
                                     "als.factors=4", "ranker.trees=20", "blend.depth=30"};
  world w;
  wn_surface s;
  trained_init(&w, 300, sets, 5);
  surface(&s, 25);
  wn_slate slate = trained_run(&w, &s);
  assert_non_null(slate.trace->ranker);
  const wn_ranker_verdict *v = &wn_ranker_order(slate.trace->ranker, WN_BLEND_NEXT)->verdict;
  ((wn_ranker_verdict *)(uintptr_t)v)->blend = 1;
  slate = trained_run(&w, &s);
  assert_true(slate.len == 20 && slate.trace->ranker == NULL);
  assert_true(fx_noted(slate.trace, "the blend orders what is next better than the ranker"));
  trained_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_order_is_the_rankers),
      cmocka_unit_test(test_light_chooses),
      cmocka_unit_test(test_same_as_the_model),
      cmocka_unit_test(test_explained),
      cmocka_unit_test(test_boosts),
      cmocka_unit_test(test_fallbacks),
      cmocka_unit_test(test_the_blend_orders),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
