/* Data that say next to nothing: thousands of small random sets with few users, items without
 * events, weights of all sizes, attributes that are the same for all, double or missing, more
 * factors than items, ridges that are nearly nothing. Every model of them is finite throughout. */

#include "fitting.h"
#include "model/attr_ridge.h"
#include "model/train.h"

#define USERS 14u
#define ITEMS 18u
#define LONG  160u /* items of a set that has rows longer than d */

typedef struct world {
  fact facts[USERS * ITEMS + 2 * LONG];
  size_t len;
  uint32_t users, items;
  unsigned says; /* what items say, see scan() */
  wn_rng rng;
} world;

/* 0 nothing, 1 the same, 2 the same under two names, 3 a word of their own, 4 anything */
static wn_status scan(void *ctx,
                      wn_status (*each)(void *, wn_item_ix, const wn_item_record *, wn_error *),
                      void *each_ctx, wn_error *err) {
  const world *w = ctx;
  for (uint32_t i = 0; i < w->items; i++) {
    char one[16], two[16];
    uint32_t kind = w->says == 1 ? 7 : w->says == 3 ? i : w->says == 2 ? i % 2 : i * 7 % 5;
    snprintf(one, sizeof one, "v%u", kind);
    snprintf(two, sizeof two, "v%u", w->says == 4 ? i % 3 : kind);
    wn_attr attrs[2] = {{.name = WN_STR("a"), .kind = WN_ATTR_STRING, .string = wn_str_of(one)},
                        {.name = WN_STR("b"), .kind = WN_ATTR_STRING, .string = wn_str_of(two)}};
    size_t len = w->says == 0 || (w->says == 4 && i % 4 == 0) ? 0 : w->says == 1 ? 1 : 2;
    wn_item_record item = {.id = WN_STR("x"), .attrs = {attrs, len}};
    wn_status status = each(each_ctx, i, &item, err);
    if (status != WN_OK) return status;
  }
  return WN_OK;
}

static float weight_of(wn_rng *rng, unsigned kind) {
  static const float some[] = {1, 1e-6f, 1e6f, -1, 1e-12f, 1e12f, 3, -1e6f};
  return kind == 0 ? 1 : kind == 1 ? some[wn_rng_below(rng, 4)] : some[wn_rng_below(rng, 8)];
}

/* A row of the first items may be longer than d, so that it takes the paths of long rows. */
static void make_world(world *w, uint64_t seed, wn_dataset *data) {
  wn_rng_seed(&w->rng, seed);
  wn_rng *rng = &w->rng;
  bool wide = wn_rng_below(rng, 16) == 0;
  w->len = 0;
  w->users = 1 + (uint32_t)wn_rng_below(rng, wide ? 4 : USERS);
  w->items = wide ? LONG : 1 + (uint32_t)wn_rng_below(rng, ITEMS);
  w->says = (unsigned)wn_rng_below(rng, 5);
  unsigned weights = (unsigned)wn_rng_below(rng, 3);
  double fill = wide ? 1 : wn_rng_double(rng);
  uint32_t taken = 1 + (uint32_t)wn_rng_below(rng, w->items); /* the others have no events */
  bool times = wn_rng_below(rng, 2) == 0;
  for (uint32_t u = 0; u < w->users && w->len < sizeof w->facts / sizeof *w->facts - LONG; u++)
    for (uint32_t i = 0; i < taken; i++)
      if (wn_rng_double(rng) < fill)
        w->facts[w->len++] = (fact){u, i, weight_of(rng, weights), times ? (int64_t)i * 60000 : 1};
  dataset_of(w->facts, w->len, w->users, w->items, data);
  data->items_source = (wn_item_source){w, scan};
}

static const char *als_options(wn_rng *rng, char *out, size_t size) {
  static const char *const factors[] = {"1", "5", "16", "40", "7", "128"};
  static const char *const ridges[] = {"1e-8", "1e-4", ".005", "1", "1e6"};
  static const char *const attr[] = {"1e-30", "1e-9", "1e-3", "3", "1e6"};
  static const char *const alpha[] = {"0", "1e-4", "1", "100"};
  snprintf(out, size, "factors=%s epochs=2 lambda=%s attr_lambda=%s alpha0=%s nu=%s solver=%s",
           factors[wn_rng_below(rng, 6)], ridges[wn_rng_below(rng, 5)], attr[wn_rng_below(rng, 5)],
           alpha[wn_rng_below(rng, 4)], wn_rng_below(rng, 2) == 0 ? "0" : "1",
           wn_rng_below(rng, 2) == 0 ? "exact" : "cg");
  return out;
}

static void try_model(const world *w, const wn_dataset *data, const char *name, const char *options,
                      wn_pool *pool, uint64_t seed) {
  const wn_model_class *cls = wn_model_class_find(name);
  const wn_train_spec spec = {.cls = cls, .params = params_of(cls, options)};
  const wn_fit_env env = {.pool = pool, .seed = seed};
  wn_model *model = NULL;
  wn_error why = {0};
  if (wn_fit_one(data, &spec, &env, &model, &why) != WN_OK)
    fail_msg("seed %llu, %s %s: %s: %s", (unsigned long long)seed, name, options, why.field,
             why.message);
  wn_history_entry history[LONG];
  for (uint32_t u = 0; u <= w->users; u += 3) {
    wn_scored list[20];
    size_t count = 0;
    wn_query query = {.history = history, .user = u, .anchor = u % w->items, .now_ms = 1};
    if (u < w->users) query.history_len = history_of(data, u, LONG, history);
    assert_ok(cls->candidates(model, &query, 20, list, &count, err));
    for (size_t i = 0; i < count; i++)
      if (!isfinite(list[i].score) || list[i].ix >= w->items)
        fail_msg("seed %llu, %s %s: place %zu: %u %g", (unsigned long long)seed, name, options, i,
                 list[i].ix, (double)list[i].score);
  }
  cls->free(model);
}

static void test_models(void **state) {
  (void)state;
  static const char *const others[] = {"ridge",    "ridge-seq", "ease", "covisit",
                                       "user-knn", "content",   "vmis", "popular"};
  static world w;
  wn_pool *pool = wn_pool_create(1);
  char options[200];
  for (uint64_t seed = 1; seed <= 1000; seed++) {
    wn_dataset data;
    make_world(&w, seed, &data);
    try_model(&w, &data, "als", als_options(&w.rng, options, sizeof options), pool, seed);
    const char *other = others[seed % 8];
    bool ridge = strncmp(other, "ridge", 5) == 0 || strcmp(other, "ease") == 0;
    try_model(&w, &data, other, ridge && seed % 2 == 0 ? "lambda=.001" : "", pool, seed);
    wn_dataset_clear(&data);
  }
  wn_pool_free(pool);
}

/* ---- the regression alone ---- */

typedef struct system {
  uint64_t ptr[33];
  uint32_t term[32 * 6], of[32];
  float x[32 * 6], weight[32], target[32 * 40], m[12 * 40];
  wn_attr_ridge ridge;
} system_;

static void make_system(system_ *s, uint64_t seed, wn_rng *rng) {
  static const float sizes[] = {0, 1e-44f, 1e-30f, 1e-10f, 1, 1e10f, 1e30f};
  wn_rng_seed(rng, seed);
  s->ridge = (wn_attr_ridge){.rows = 1 + (uint32_t)wn_rng_below(rng, 32),
                             .terms = 1 + (uint32_t)wn_rng_below(rng, 12),
                             .ptr = s->ptr,
                             .term = s->term,
                             .x = s->x,
                             .weight = s->weight,
                             .of = s->of,
                             .target = s->target,
                             .d = 1 + wn_rng_below(rng, 40),
                             .lambda = pow(10, 30 * wn_rng_double(rng) - 25)};
  uint64_t at = 0;
  uint32_t distinct = 1 + (uint32_t)wn_rng_below(rng, s->ridge.terms);
  for (uint32_t i = 0; i < s->ridge.rows; i++) {
    uint32_t terms = (uint32_t)wn_rng_below(rng, 7);
    for (uint32_t t = 0; t < terms; t++, at++) { /* the same one more than once, too */
      s->term[at] = (uint32_t)wn_rng_below(rng, distinct);
      s->x[at] = wn_rng_below(rng, 4) == 0 ? sizes[wn_rng_below(rng, 5)] : 1;
    }
    s->ptr[i + 1] = at;
    s->of[i] = i;
    s->weight[i] = 1 + (float)wn_rng_below(rng, 50);
    for (size_t k = 0; k < s->ridge.d; k++)
      s->target[i * s->ridge.d + k] = sizes[k % 7] * (float)wn_rng_normal(rng);
  }
}

/* No prediction is longer than its targets, and none is anything but a number. */
static void test_regression(void **state) {
  (void)state;
  static system_ s;
  wn_pool *pool = wn_pool_create(1);
  wn_rng rng;
  for (uint64_t seed = 1; seed <= 3000; seed++) {
    make_system(&s, seed, &rng);
    size_t d = s.ridge.d;
    assert_ok(wn_attr_ridge_solve(&s.ridge, "a test's", pool, s.m, err));
    for (size_t k = 0; k < d; k++) {
      double made = 0, asked = 0;
      for (uint32_t i = 0; i < s.ridge.rows; i++) {
        double y = 0, v = (double)s.target[i * d + k];
        for (uint64_t e = s.ptr[i]; e < s.ptr[i + 1]; e++)
          y += (double)s.x[e] * (double)s.m[s.term[e] * d + k];
        made += (double)s.weight[i] * y * y;
        asked += (double)s.weight[i] * v * v;
      }
      if (!(made <= 1.01 * asked + 1e-60))
        fail_msg("seed %llu: %g of %g", (unsigned long long)seed, made, asked);
    }
    for (size_t k = 0; k < s.ridge.terms * d; k++) assert_true(isfinite(s.m[k]));
  }
  wn_pool_free(pool);
}

/* A column that is lost costs the others nothing. */
static void test_lost_column(void **state) {
  (void)state;
  static system_ s;
  static float before[12 * 40];
  wn_pool *pool = wn_pool_create(1);
  wn_rng rng;
  make_system(&s, 11, &rng);
  size_t d = s.ridge.d, bad = d / 2;
  assert_true(d > 2);
  assert_ok(wn_attr_ridge_solve(&s.ridge, "a test's", pool, s.m, err));
  memcpy(before, s.m, sizeof before);
  s.target[bad] = NAN;
  assert_ok(wn_attr_ridge_solve(&s.ridge, "a test's", pool, s.m, err));
  for (size_t k = 0; k < s.ridge.terms * d; k++)
    assert_true(s.m[k] == (k % d == bad ? 0 : before[k]));
  wn_pool_free(pool);
}

/* ---- a model that came out wrong ---- */

static size_t freed;

static void wrong_free(wn_model *model) {
  freed++;
  wn_free(model);
}

static wn_status wrong_validate(const wn_model *model WN_UNUSED, wn_error *err) {
  return wn_fail(err, WN_E_CORRUPT, "wrong/numbers", "a number is not finite");
}

static wn_status wrong_fit(const wn_dataset *data WN_UNUSED, const wn_params *params WN_UNUSED,
                           const wn_fit_env *env WN_UNUSED, wn_model **out, wn_error *err);
static const wn_model_class wrong = {
    .name = "wrong", .fit = wrong_fit, .validate = wrong_validate, .free = wrong_free};

static wn_status wrong_fit(const wn_dataset *data WN_UNUSED, const wn_params *params WN_UNUSED,
                           const wn_fit_env *env WN_UNUSED, wn_model **out, wn_error *err) {
  *out = wn_calloc(1, sizeof **out);
  if (*out == NULL) return wn_fail_memory(err);
  (*out)->cls = &wrong;
  return WN_OK;
}

static void test_not_handed_out(void **state) {
  (void)state;
  wn_dataset data = {0};
  wn_model *model = NULL;
  wn_error err = {0};
  const wn_fit_env env = {.seed = 1};
  assert_int_equal(wn_fit_one(&data, &(wn_train_spec){.cls = &wrong}, &env, &model, &err),
                   WN_E_CORRUPT);
  assert_string_equal(err.field, "wrong/numbers");
  assert_null(model);
  assert_int_equal(freed, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_models),
      cmocka_unit_test(test_regression),
      cmocka_unit_test(test_lost_column),
      cmocka_unit_test(test_not_handed_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
