/* The behaviour test of probabilities on a model that keeps its promise: learnt from slates drawn
 * nearly at random, asked about slates drawn alike. It passes; moved by half a logit it fails; and
 * on a dozen visits nothing can be said. */
#include "site_fixture.h"

/* Chance decides what is shown, so what is shown next is what was learnt from. */
static const char by_chance[] =
    "surfaces:\n"
    "  home:\n"
    "    retrieve: [{model: random, quota: 100, weight: 1}]\n"
    "    score: {heavy: 100}\n"
    "    filter: {seen: none}\n"
    "    order: {temperature: 5}\n"
    "signals: {finish: {seen: false}, click: {seen: false}, like: {seen: false}}\n"
    "objectives: {click: {weight: 1}}\n";

static void visits(site *s, size_t n) {
  world_open_as(&s->w, by_chance);
  visit(s, n);
  world_close(&s->w);
}

static void test_calibrated(void **state) {
  (void)state;
  static site s;
  wn_objective_head heads[WN_OBJECTIVES_MAX];
  size_t len = 0;
  site_init(&s);
  world_open_as(&s.w, by_chance);
  put_things(&s);
  wander(&s, 3000);
  world_close(&s.w);
  train(&s.w, by_chance, heads, &len);
  visits(&s, 5000);
  train(&s.w, by_chance, heads, &len);
  assert_int_equal(len, 1);
  for (size_t k = 0; k < len; k++) assert_int_equal(heads[k].source, WN_OBJECTIVE_IMPRESSIONS);
  wn_check none = claimed(&s, by_chance, 0);
  assert_int_equal(none.state, WN_CHECK_INCONCLUSIVE);
  assert_true(isnan(none.value));
  visits(&s, 40);
  wn_check few = claimed(&s, by_chance, 0);
  assert_int_equal(few.state, WN_CHECK_INCONCLUSIVE);
  assert_true(few.value > 0 && few.value < few.high);
  visits(&s, 2500);
  wn_check honest = claimed(&s, by_chance, 0), modest = claimed(&s, by_chance, -0.5F),
           boasting = claimed(&s, by_chance, 0.5F);
  assert_int_equal(honest.state, WN_CHECK_PASS);
  assert_int_equal(modest.state, WN_CHECK_FAIL);
  assert_int_equal(boasting.state, WN_CHECK_FAIL);
  assert_int_equal(boasting.worst_len, WN_CHECK_WORST);
  site_clear(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_calibrated)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
