/* Stage 3 against a naive twin: normalisation, weights, tiers, boosts, ties. */
#include "fixture.h"

/* One list's normalised value, from the definition. */
static double naive_normalised(const wn_trace *t, size_t g, const wn_candidate *c,
                               wn_normalise how) {
  double min = INFINITY, max = -INFINITY, sum = 0, square = 0;
  size_t n = 0;
  for (size_t i = 0; i < t->candidates_len; i++) {
    const wn_proposal *p = &t->candidates[i].proposals[g];
    if (p->rank == 0) continue;
    min = fmin(min, (double)p->score), max = fmax(max, (double)p->score);
    sum += (double)p->score;
    n++;
  }
  double mean = sum / (double)n, score = (double)c->proposals[g].score;
  for (size_t i = 0; i < t->candidates_len; i++) {
    const wn_proposal *p = &t->candidates[i].proposals[g];
    if (p->rank > 0) square += ((double)p->score - mean) * ((double)p->score - mean);
  }
  double deviation = sqrt(square / (double)n);
  switch (how) {
  case WN_NORM_RANK: return 61.0 / (60.0 + c->proposals[g].rank);
  case WN_NORM_MINMAX: return max > min ? 0.01 + 0.99 * (score - min) / (max - min) : 1.0;
  case WN_NORM_ZSCORE: return deviation > 0 ? 1.0 / (1.0 + exp(-(score - mean) / deviation)) : 0.5;
  default: return score > 0 ? score : 0;
  }
}

static void check_trace(const fx_world *w, const wn_surface *s, const wn_trace *t) {
  double total = 0;
  for (size_t g = 0; g < s->generators_len; g++) {
    if (t->generators[g].proposed > 0) total += (double)t->generators[g].weight;
  }
  for (size_t i = 0; i < t->candidates_len; i++) {
    const wn_candidate *c = &t->candidates[i];
    double expected = 0, points = 0, boost = 1;
    for (size_t g = 0; g < t->generators_len; g++) {
      const wn_proposal *p = &c->proposals[g];
      points += (double)p->points;
      if (p->rank == 0 || g >= s->generators_len) continue;
      double normalised = naive_normalised(t, g, c, s->normalise);
      assert_float_equal(p->normalised, normalised, 1e-5 * (1 + fabs(normalised)));
      expected += (double)s->generators[g].weight / total * normalised;
    }
    for (size_t b = 0; b < s->boosts_len; b++) {
      wn_expr *expr;
      assert_int_equal(wn_expr_parse(wn_str_of(s->boosts[b].where), "f", &expr, NULL), WN_OK);
      if (wn_expr_test(expr, w->catalog, c->item)) boost *= (double)s->boosts[b].factor;
      wn_expr_free(expr);
    }
    assert_float_equal(c->boost, boost, 1e-5 * boost);
    assert_float_equal(c->score, expected * boost, 1e-5 * (1 + expected * boost));
    assert_float_equal(c->score, points * boost, 1e-5 * (1 + expected * boost));
    assert_int_equal(c->rank_scored, i + 1);
    if (i == 0) continue;
    const wn_candidate *before = &t->candidates[i - 1];
    assert_true(before->score > c->score || (before->score == c->score && before->item < c->item));
  }
}

static void test_twin(void **state) {
  (void)state;
  fx_world w;
  wn_rng rng;
  fx_init(&w, 300, 8);
  wn_rng_seed(&rng, 8);
  for (int round = 0; round < 40; round++) {
    wn_surface s;
    wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
    s.normalise = (wn_normalise)(round % 4);
    static const char *const names[] = {"a", "b", "hist", "vec", "absent"};
    for (int g = 0; g < 5; g++) {
      fx_generator(&s, names[g], 1 + (uint32_t)wn_rng_below(&rng, 200),
                   (float)wn_rng_below(&rng, 5) / 4.0f + 0.05f);
    }
    if (wn_rng_below(&rng, 2)) fx_boost(&s, "section == 's1'", 2.5f);
    if (wn_rng_below(&rng, 2)) fx_boost(&s, "price > 0 or section == 's1'", 0.5f);
    wn_request r = fx_request(&w, &s, 10);
    r.explain = true;
    wn_slate slate = fx_run(&r);
    check_trace(&w, &s, slate.trace);
    for (size_t i = 0; i < slate.len; i++) { /* no rules: the best by score */
      assert_int_equal(slate.items[i].item, slate.trace->candidates[i].item);
      assert_float_equal(slate.items[i].score, slate.trace->candidates[i].score, 0);
    }
  }
  fx_clear(&w);
}

static void test_bounds(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 100, 9);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 50, 1e6f);
  fx_generator(&s, "b", 50, 0.0f);
  for (int how = WN_NORM_RANK; how <= WN_NORM_ZSCORE; how++) {
    s.normalise = (wn_normalise)how;
    wn_request r = fx_request(&w, &s, 100);
    wn_slate slate = fx_run(&r);
    for (size_t i = 0; i < slate.len; i++) {
      assert_true(slate.items[i].score >= 0 && slate.items[i].score <= 1.0001f);
    }
  }
  /* absurd boosts stay finite, and order stays total */
  for (int i = 0; i < 30; i++) fx_boost(&s, "price > 0", 1000.0f);
  fx_boost(&s, "section == 's2'", 0.0f);
  wn_request r = fx_request(&w, &s, 100);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  for (size_t i = 0; i < slate.len; i++) assert_true(isfinite(slate.items[i].score));
  fx_clear(&w);
}

/* Generators that give nonsense or equal scores. */
static wn_status odd_candidates(const wn_model *base, const wn_query *query, size_t k,
                                wn_scored *out, size_t *count, wn_error *err) {
  static const float odd[] = {INFINITY, 5.0f, NAN, -3.0f, 5.0f, -INFINITY};
  (void)base, (void)query, (void)err;
  *count = k < 6 ? k : 6;
  for (uint32_t i = 0; i < *count; i++) out[i] = (wn_scored){i, odd[i]};
  return WN_OK;
}
static wn_status equal_candidates(const wn_model *base, const wn_query *query, size_t k,
                                  wn_scored *out, size_t *count, wn_error *err) {
  (void)base, (void)query, (void)err;
  *count = k < 6 ? k : 6;
  for (uint32_t i = 0; i < *count; i++) out[i] = (wn_scored){i, 7.0f};
  return WN_OK;
}

static void test_odd_scores(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 6, 9);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 50, 1.0f);
  fx_model_named(&w, "a")->cls.candidates = odd_candidates;
  for (int how = WN_NORM_RANK; how <= WN_NORM_NONE; how++) {
    s.normalise = (wn_normalise)how;
    wn_request r = fx_request(&w, &s, 6);
    wn_slate slate = fx_run(&r);
    assert_int_equal(slate.len, 6);
    for (size_t i = 0; i < 6; i++)
      assert_true(slate.items[i].score >= 0 && slate.items[i].score < 6);
  }
  fx_model_named(&w, "a")->cls.candidates = equal_candidates;
  static const float expected[] = {1.0f, 1.0f, 0.5f, 7.0f};
  for (int how = WN_NORM_RANK; how <= WN_NORM_NONE; how++) {
    s.normalise = (wn_normalise)how;
    wn_request r = fx_request(&w, &s, 6);
    wn_slate slate = fx_run(&r);
    assert_float_equal(slate.items[0].score, expected[how], 0);
    for (size_t i = 0; i < 6; i++) assert_int_equal(slate.items[i].item, i);
  }
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_twin),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_odd_scores),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
