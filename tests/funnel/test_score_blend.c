/* Scoring by the blend of a snapshot: the slate is the blend's own list; generators that it does
 * not know, snapshots without it, users without a history. */
#include "trained.h"
#include "model/blend.h"

static void init(world *w, bool with_blend) {
  static const char *const sets[] = {"popular.half_life_days=30", "covisit.window=20",
                                     "als.factors=4", "trending.prior=5", "blend.depth=30"};
  trained_init(w, 120, sets, 4u + with_blend);
}

static void surface(wn_surface *s) {
  wn_surface_init(s, "t", WN_FLAVOUR_PERSONAL);
  s->normalise = WN_NORM_BLEND;
  fx_generator(s, "als", 30, 7.0f); /* weights of members do not matter */
  fx_generator(s, "popular", 30, 0.0f);
  fx_generator(s, "covisit", 30, 1.0f);
}

static const wn_generator_trace *traced(const wn_trace *t, const char *model) {
  for (size_t g = 0; g < t->generators_len; g++)
    if (strcmp(t->generators[g].model, model) == 0) return &t->generators[g];
  fail_msg("no %s", model);
  return NULL;
}

static void test_is_the_blend(void **state) {
  (void)state;
  world w;
  wn_surface s;
  wn_scored list[10];
  wn_error err;
  size_t count = 0;
  init(&w, true);
  surface(&s);
  wn_slate slate = trained_run(&w, &s);
  assert_int_equal(slate.trace->normalise, WN_NORM_BLEND);
  assert_string_equal(slate.scored_by, "blend");
  const wn_model *blend = wn_models_find(&w.models, "blend");
  wn_query query = w.query;
  query.arena = NULL;
  assert_int_equal(blend->cls->candidates(blend, &query, 10, list, &count, &err), WN_OK);
  assert_int_equal(count, 10);
  float scale = slate.items[0].score / list[0].score;
  for (size_t i = 0; i < 10; i++) {
    assert_int_equal(slate.items[i].item, list[i].ix);
    assert_float_equal(slate.items[i].score, scale * list[i].score, 1e-5);
    assert_true(slate.items[i].score > 0 && slate.items[i].score <= 1.0001f);
  }
  /* Points add up; a member without weight is not asked. */
  for (size_t i = 0; i < slate.trace->candidates_len; i++) {
    const wn_candidate *c = &slate.trace->candidates[i];
    float points = 0;
    for (size_t g = 0; g < slate.trace->generators_len; g++) points += c->proposals[g].points;
    assert_float_equal(points, c->score, 1e-6);
  }
  for (size_t g = 0; g < 3; g++) {
    wn_blend_weight weight;
    uint32_t depth;
    assert_true(wn_blend_weight_of(&w.models, s.generators[g].model, &query, &weight, &depth));
    bool asked = traced(slate.trace, s.generators[g].model)->proposed > 0;
    assert_int_equal(asked, wn_blend_asks(&weight));
  }
  trained_clear(&w);
}

/* Its weight is relative to the whole blend. */
static void test_stranger(void **state) {
  (void)state;
  world w;
  wn_surface s;
  init(&w, true);
  surface(&s);
  fx_generator(&s, "trending", 30, 0.25f);
  wn_slate slate = trained_run(&w, &s);
  assert_true(traced(slate.trace, "trending")->proposed > 0);
  assert_float_equal(traced(slate.trace, "trending")->share, 0.2, 1e-5);
  trained_clear(&w);
}

static void test_without_blend(void **state) {
  (void)state;
  world w;
  wn_surface s;
  init(&w, false);
  surface(&s);
  wn_slate slate = trained_run(&w, &s);
  assert_int_equal(slate.trace->normalise, WN_NORM_MINMAX);
  assert_true(fx_noted(slate.trace, "no blend in this snapshot"));
  assert_float_equal(traced(slate.trace, "als")->weight, 7, 0);
  static wn_item_ix by_blend[20];
  for (size_t i = 0; i < slate.len; i++) by_blend[i] = slate.items[i].item;
  s.normalise = WN_NORM_MINMAX;
  slate = trained_run(&w, &s);
  for (size_t i = 0; i < slate.len; i++) assert_int_equal(slate.items[i].item, by_blend[i]);
  trained_clear(&w);
}

static void test_new_user(void **state) {
  (void)state;
  world w;
  wn_surface s;
  init(&w, true);
  surface(&s);
  w.query.history_len = 0;
  wn_slate slate = trained_run(&w, &s);
  assert_int_equal(slate.len, 20);
  assert_float_equal(traced(slate.trace, "popular")->share, 1, 1e-5);
  assert_float_equal(slate.items[0].score, 1, 1e-5);
  trained_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_is_the_blend),
      cmocka_unit_test(test_stranger),
      cmocka_unit_test(test_without_blend),
      cmocka_unit_test(test_new_user),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
