/* Distilling: what a linear model can say it learns, what it keeps of the trees' best, and weights
 * that no snapshot may hold. Serving against training: tests/funnel/test_score_light.c. */
#include "fitting.h"

#include "model/light.h"

enum { OPINIONS = 3, GROUPS = 40, ROWS = 600, STUMPS = 24 };

/* Two models' lists, and the first one's once more for the newest item alone, which is none of the
 * light ranker's business. */
static void feature_set(wn_feature_set *set) {
  *set = (wn_feature_set){.version = WN_FEATURES_VERSION, .depth = 1000, .opinions = OPINIONS};
  set->families = 1u << WN_FEATURES_PLACE | 1u << WN_FEATURES_SCORE | 1u << WN_FEATURES_CROWD;
  snprintf(set->opinion[0].model, sizeof set->opinion[0].model, "covisit");
  snprintf(set->opinion[1].model, sizeof set->opinion[1].model, "covisit");
  set->opinion[1].newest = 1;
  snprintf(set->opinion[2].model, sizeof set->opinion[2].model, "als");
}

/* Stumps over the first list's place, finer near the top: each adds more to what stands higher. */
typedef struct stumps {
  float threshold[STUMPS], leaf[2 * STUMPS];
  uint32_t feature[STUMPS];
  wn_forest forest;
} stumps;

static void forest(stumps *s, uint32_t feature, uint32_t features) {
  for (uint32_t i = 0; i < STUMPS; i++) {
    s->feature[i] = feature;
    s->threshold[i] = (float)(i * i) + 0.5f;
    s->leaf[2 * i] = 1.0f;
    s->leaf[2 * i + 1] = 0.0f;
  }
  s->forest =
      (wn_forest){.trees = {STUMPS, 1, s->threshold, s->feature, s->leaf}, .features = features};
}

static void table(const wn_feature_set *set, uint64_t seed, wn_ranker_table *t) {
  wn_rng rng;
  wn_rng_seed(&rng, seed);
  memset(t, 0, sizeof *t);
  t->features = wn_features_count(set);
  t->rows = GROUPS * ROWS;
  t->groups = GROUPS;
  t->feature = wn_calloc(t->rows * t->features, sizeof *t->feature);
  t->size = wn_calloc(GROUPS, sizeof *t->size);
  assert_true(t->feature != NULL && t->size != NULL);
  uint32_t score = wn_features_begin(set, WN_FEATURES_SCORE);
  for (size_t g = 0; g < GROUPS; g++) {
    size_t turn = (size_t)wn_rng_below(&rng, ROWS);
    t->size[g] = ROWS;
    for (size_t r = 0; r < ROWS; r++) {
      float *row = t->feature + (g * ROWS + r) * t->features;
      for (size_t i = 0; i < t->features; i++) row[i] = (float)wn_rng_double(&rng);
      row[0] = (float)((r + turn) % ROWS);
      row[2] = (float)wn_rng_below(&rng, ROWS);
      if (r % 3 == 0) row[2] = row[score + 2] = NAN;
    }
  }
}

static void test_keeps_the_best(void **state) {
  (void)state;
  wn_feature_set set;
  wn_ranker_table learn, held_out;
  wn_light light, blind = {.version = WN_LIGHT_VERSION};
  stumps s;
  feature_set(&set);
  table(&set, 1, &learn);
  table(&set, 2, &held_out);
  forest(&s, 0, (uint32_t)learn.features);
  assert_ok(wn_light_fit(&set, &learn, &s.forest, &light, err));
  assert_int_equal(light.version, WN_LIGHT_VERSION);
  assert_ok(wn_light_check(&light, "light", err));
  assert_ok(wn_light_measure(&set, &held_out, &s.forest, &light, err));
  assert_int_equal(light.moments, GROUPS);
  assert_true(light.kept == 1);
  for (unsigned i = 0; i < WN_LIGHT_SAID; i++) assert_true(light.said[1][i] == 0);
  /* Weights that say nothing keep what comes first. */
  assert_ok(wn_light_measure(&set, &held_out, &s.forest, &blind, err));
  assert_true(blind.kept < 0.6f);
  wn_ranker_table_clear(&learn);
  wn_ranker_table_clear(&held_out);
}

/* No trees, or features without lists: no light ranker, and no failure. */
static void test_nothing_to_learn(void **state) {
  (void)state;
  wn_feature_set set;
  wn_ranker_table t;
  wn_light light;
  stumps s;
  feature_set(&set);
  table(&set, 1, &t);
  forest(&s, 0, (uint32_t)t.features);
  s.forest.trees.count = 0;
  assert_ok(wn_light_fit(&set, &t, &s.forest, &light, err));
  assert_int_equal(light.version, 0);
  s.forest.trees.count = STUMPS;
  set.families = 1u << WN_FEATURES_PLACE;
  assert_ok(wn_light_fit(&set, &t, &s.forest, &light, err));
  assert_int_equal(light.version, 0);
  assert_ok(wn_light_measure(&set, &t, &s.forest, &light, err));
  assert_int_equal(light.moments, 0);
  wn_ranker_table_clear(&t);
}

static void test_refused(void **state) {
  (void)state;
  wn_error why;
  wn_light light = {.version = WN_LIGHT_VERSION};
  light.said[4][2] = NAN;
  assert_int_equal(wn_light_check(&light, "ranker/light", &why), WN_E_CORRUPT);
  assert_non_null(strstr(why.message, "opinion 4"));
  light.said[4][2] = 0;
  light.own[1] = INFINITY;
  assert_int_equal(wn_light_check(&light, "ranker/light", &why), WN_E_CORRUPT);
  light.own[1] = 0;
  light.version = WN_LIGHT_VERSION + 1;
  assert_int_equal(wn_light_check(&light, "ranker/light", &why), WN_E_CORRUPT);
  assert_non_null(strstr(why.message, "train again"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_keeps_the_best),
      cmocka_unit_test(test_nothing_to_learn),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
