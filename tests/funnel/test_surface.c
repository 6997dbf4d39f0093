/* Surfaces: the defaults are valid; every refusal names its place. */
#include "fixture.h"

static void test_defaults(void **state) {
  (void)state;
  wn_surfaces all;
  wn_error err = {0};
  assert_int_equal(wn_surfaces_defaults(&all, &err), WN_OK);
  assert_int_equal(all.len, 4);
  for (size_t i = 0; i < all.len; i++) {
    if (wn_surface_validate(&all.data[i], &err) != WN_OK) fail_msg("%s %s", err.field, err.message);
  }
  const wn_surface *home = wn_surfaces_find(&all, WN_STR("home"));
  assert_int_equal(home->flavour, WN_FLAVOUR_PERSONAL);
  assert_true(home->seen_all);
  assert_string_equal(home->generators[0].model, "als");
  assert_int_equal(home->fallback_len, 2);
  assert_int_equal(wn_surfaces_find(&all, WN_STR("similar"))->flavour, WN_FLAVOUR_FLAT);
  assert_false(wn_surfaces_find(&all, WN_STR("popular"))->seen_all);
  assert_int_equal(wn_surfaces_find(&all, WN_STR("feed"))->flavour, WN_FLAVOUR_FEED);
  assert_null(wn_surfaces_find(&all, WN_STR("hom")));
  wn_surfaces_clear(&all);
  wn_mem_fail_after(0);
  assert_int_equal(wn_surfaces_defaults(&all, &err), WN_E_MEMORY);
  wn_mem_fail_after(-1);
}

/* Each breaks one thing of a valid surface. */
static void bad_name(wn_surface *s) {
  strcpy(s->name, "a/b");
}
static void no_name(wn_surface *s) {
  s->name[0] = '\0';
}
static void n_zero(wn_surface *s) {
  s->n = 0;
}
static void n_large(wn_surface *s) {
  s->n = 1001;
}
static void no_generators(wn_surface *s) {
  s->generators_len = 0;
}
static void unknown_model(wn_surface *s) {
  fx_generator(s, "alse", 10, 1);
}
static void twice(wn_surface *s) {
  fx_generator(s, "popular", 10, 1);
}
static void quota_zero(wn_surface *s) {
  s->generators[1].quota = 0;
}
static void quota_large(wn_surface *s) {
  s->generators[1].quota = 10001;
}
static void weight_nan(wn_surface *s) {
  s->generators[1].weight = NAN;
}
static void weight_negative(wn_surface *s) {
  s->generators[0].weight = -0.5f;
}
static void bad_fallback(wn_surface *s) {
  fx_fallback(s, "nothing", 1);
}
static void both_seen(wn_surface *s) {
  s->seen_len = 1;
  strcpy(s->seen[0], "buy");
}
static void empty_seen(wn_surface *s) {
  s->seen_all = false;
  s->seen_len = 2;
  strcpy(s->seen[0], "buy");
  s->seen[1][0] = '\0';
}
static void bad_where(wn_surface *s) {
  strcpy(s->where, "price <");
}
static void bad_normalise(wn_surface *s) {
  s->normalise = (wn_normalise)9;
}
static void lambda_large(wn_surface *s) {
  s->mmr_lambda = 1.5f;
}
static void lambda_nan(wn_surface *s) {
  s->mmr_lambda = NAN;
}
static void no_vectors(wn_surface *s) {
  fx_diversity(s, "popular", true, 0.5f);
}
static void cap_zero(wn_surface *s) {
  fx_cap(s, "section", 0);
}
static void cap_nameless(wn_surface *s) {
  fx_cap(s, "", 1);
}
static void cap_twice(wn_surface *s) {
  fx_cap(s, "x", 1), fx_cap(s, "x", 2);
}
static void pin_zero(wn_surface *s) {
  fx_pin(s, "a", 0);
}
static void pin_far(wn_surface *s) {
  fx_pin(s, "a", 1001);
}
static void pin_same_place(wn_surface *s) {
  fx_pin(s, "a", 1), fx_pin(s, "b", 1);
}
static void pin_same_item(wn_surface *s) {
  fx_pin(s, "a", 1), fx_pin(s, "a", 2);
}
static void pin_nobody(wn_surface *s) {
  fx_pin(s, "", 1);
}
static void boost_where(wn_surface *s) {
  fx_boost(s, "a = 1", 1);
}
static void boost_empty(wn_surface *s) {
  fx_boost(s, "", 1);
}
static void boost_negative(wn_surface *s) {
  fx_boost(s, "a == 1", -1);
}
static void boost_nan(wn_surface *s) {
  fx_boost(s, "a == 1", NAN);
}

static void test_refusals(void **state) {
  (void)state;
  static const struct {
    void (*spoil)(wn_surface *s);
    const char *field;
    long column;
  } rows[] = {
      {bad_name, "surfaces.a/b.name", 0},
      {no_name, "surfaces", 0},
      {n_zero, "surfaces.home.n", 0},
      {n_large, "surfaces.home.n", 0},
      {no_generators, "surfaces.home.retrieve", 0},
      {unknown_model, "surfaces.home.retrieve[2].model", 0},
      {twice, "surfaces.home.retrieve[2].model", 0},
      {quota_zero, "surfaces.home.retrieve[1].quota", 0},
      {quota_large, "surfaces.home.retrieve[1].quota", 0},
      {weight_nan, "surfaces.home.retrieve[1].weight", 0},
      {weight_negative, "surfaces.home.retrieve[0].weight", 0},
      {bad_fallback, "surfaces.home.fallback[0].model", 0},
      {both_seen, "surfaces.home.filter.seen", 0},
      {empty_seen, "surfaces.home.filter.seen[1]", 0},
      {bad_where, "surfaces.home.filter.where", 8},
      {bad_normalise, "surfaces.home.score.normalise", 0},
      {lambda_large, "surfaces.home.order.diversity.lambda", 0},
      {lambda_nan, "surfaces.home.order.diversity.lambda", 0},
      {no_vectors, "surfaces.home.order.diversity.by", 0},
      {cap_zero, "surfaces.home.order.caps[0].max", 0},
      {cap_nameless, "surfaces.home.order.caps[0].attribute", 0},
      {cap_twice, "surfaces.home.order.caps[1].attribute", 0},
      {pin_zero, "surfaces.home.order.pins[0].position", 0},
      {pin_far, "surfaces.home.order.pins[0].position", 0},
      {pin_same_place, "surfaces.home.order.pins[1].position", 0},
      {pin_same_item, "surfaces.home.order.pins[1].item", 0},
      {pin_nobody, "surfaces.home.order.pins[0].item", 0},
      {boost_where, "surfaces.home.order.boosts[0].where", 3},
      {boost_empty, "surfaces.home.order.boosts[0].where", 1},
      {boost_negative, "surfaces.home.order.boosts[0].factor", 0},
      {boost_nan, "surfaces.home.order.boosts[0].factor", 0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    wn_surface s;
    wn_error err = {0};
    wn_surface_init(&s, "home", WN_FLAVOUR_PERSONAL);
    fx_generator(&s, "popular", 10, 1);
    fx_generator(&s, "als", 10, 0);
    assert_int_equal(wn_surface_validate(&s, &err), WN_OK);
    rows[i].spoil(&s);
    wn_status status = wn_surface_validate(&s, &err);
    if (status != WN_E_CONFIG || err.status != status || strcmp(err.field, rows[i].field) != 0 ||
        (rows[i].column > 0 && err.column != rows[i].column)) {
      fail_msg("row %zu: %d %s:%ld: %s", i, (int)status, err.field, err.column, err.message);
    }
    assert_int_equal(wn_surface_validate(&s, NULL), WN_E_CONFIG);
  }
}

/* 31 sources have a bit each beside the catalogue's; a 32nd would not. */
static void test_sources_max(void **state) {
  (void)state;
  assert_true(WN_SOURCES_MAX + 1 <= 32);
  assert_true(2 * WN_GENERATORS_MAX > WN_SOURCES_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_defaults),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_sources_max),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
