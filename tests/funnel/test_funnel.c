/* The whole funnel: what must hold on every path. */
#include "fixture.h"

/* A surface that uses every road by which an item can come: generators (a broken one among them),
 * fallbacks, the catalogue, pins. */
static void every_road(wn_surface *s, wn_flavour flavour) {
  wn_surface_init(s, "t", flavour);
  fx_generator(s, "a", 40, 1.0f);
  fx_generator(s, "broken", 40, 1.0f);
  fx_generator(s, "both", 20, 0.5f);
  fx_fallback(s, "b", 30);
  fx_fallback(s, "broken", 30);
  fx_pin(s, "i0", 2);
  fx_pin(s, "i1", 4);
  fx_boost(s, "price > 0", 2.0f);
  fx_diversity(s, "vec", true, 0.7f);
  fx_cap(s, "tags", 30);
}

/* Promise: hidden and deleted items are never served, from the next request on. */
static void test_never_hidden(void **state) {
  (void)state;
  fx_world w;
  wn_rng rng;
  fx_init(&w, 120, 1);
  wn_rng_seed(&rng, 2);
  for (int round = 0; round < 300; round++) {
    wn_surface s;
    every_road(&s, (wn_flavour)(round % 3));
    for (uint64_t i = wn_rng_below(&rng, 30); i > 0; i--) {
      wn_catalog_set_status(w.catalog, (wn_item_ix)wn_rng_below(&rng, 120),
                            (wn_item_status)wn_rng_below(&rng, 3));
    }
    wn_request r = fx_request(&w, &s, 1 + (uint32_t)wn_rng_below(&rng, 150));
    r.explain = round % 2 == 1;
    if (round % 4 == 0) r.models = NULL;
    if (round % 5 == 0) r.query.anchor = (wn_item_ix)wn_rng_below(&rng, 120);
    wn_slate slate = fx_run(&r);
    uint8_t met[120] = {0};
    for (size_t i = 0; i < slate.len; i++) {
      assert_int_equal(wn_catalog_status(w.catalog, slate.items[i].item), WN_ITEM_ACTIVE);
      assert_int_equal(met[slate.items[i].item]++, 0);
      assert_int_not_equal(slate.items[i].item, r.query.anchor);
      assert_float_equal(slate.items[i].propensity, 1, 0);
      assert_true(slate.items[i].sources != 0 || slate.items[i].pinned);
    }
  }
  fx_clear(&w);
}

/* A filter that leaves few of many items still fills the slate with all of them. */
static void test_strict_filter(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 4000, 2);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 30, 1.0f);
  fx_model_named(&w, "a")->knows = 2000;
  wn_request r = fx_request(&w, &s, 10);
  r.filter = WN_STR("id in ['i7', 'i900', 'i1999', 'i2500', 'i3999', 'i2', 'i3', 'i4', 'i5', 'i6',"
                    " 'i8', 'i9']");
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, 10);
  r.n = 20;
  slate = fx_run(&r);
  assert_int_equal(slate.len, 12); /* all there are, those the model never heard of too */
  assert_true(fx_has(&slate, 2500) && fx_has(&slate, 3999));
  r.filter = WN_STR("false");
  assert_int_equal(fx_run(&r).len, 0);
  fx_clear(&w);
}

static void test_empty_catalogue(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 0, 2);
  every_road(&s, WN_FLAVOUR_FEED);
  fx_model_named(&w, "broken")->items = 50; /* items that the catalogue does not have */
  for (int round = 0; round < 4; round++) {
    wn_request r = fx_request(&w, &s, 10);
    r.explain = round % 2 == 1;
    if (round > 1) r.models = NULL;
    wn_slate slate = fx_run(&r);
    assert_int_equal(slate.len, 0);
    if (r.explain) {
      wn_buf out = {0};
      wn_json json;
      wn_json_init(&json, &out);
      wn_trace_to_json(slate.trace, w.catalog, &json);
      assert_non_null(strstr(wn_buf_c(&out), "\"candidates\""));
      wn_buf_clear(&out);
    }
  }
  fx_clear(&w);
}

/* Without models: the newest items of the catalogue, newest first. */
static void test_no_models(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  wn_models none = {0};
  fx_init(&w, 100, 2);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 30, 1.0f);
  wn_request r = fx_request(&w, &s, 20);
  r.explain = true;
  for (int round = 0; round < 2; round++) {
    r.models = round == 0 ? NULL : &none;
    wn_item_ix expected[20];
    wn_slate slate = fx_run(&r);
    assert_int_equal(slate.len, 20);
    assert_int_equal(wn_catalog_newest(w.catalog, NULL, 20, expected), 20);
    for (size_t i = 0; i < 20; i++) assert_int_equal(slate.items[i].item, expected[i]);
    assert_string_equal(slate.trace->generators[0].note, "no model in this snapshot");
  }
  fx_clear(&w);
}

static void test_large_slate(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 3000, 2);
  every_road(&s, WN_FLAVOUR_PERSONAL);
  s.caps_len = 0;
  wn_request r = fx_request(&w, &s, WN_SLATE_MAX);
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, WN_SLATE_MAX);
  assert_int_equal(slate.items[1].item, 0);
  assert_int_equal(slate.items[3].item, 1);
  fx_clear(&w);
}

static void test_arguments(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  wn_slate slate;
  wn_error err;
  fx_init(&w, 10, 2);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  wn_request r = fx_request(&w, &s, 0);
  static const uint32_t bad[] = {0, 1001, 1000000, UINT32_MAX};
  for (size_t i = 0; i < 4; i++) {
    r.n = bad[i];
    assert_int_equal(wn_funnel_run(&r, &slate, &err), WN_E_ARGUMENT);
    assert_string_equal(err.field, "n");
  }
  r.n = 3;
  r.catalog = NULL;
  assert_int_equal(wn_funnel_run(&r, &slate, &err), WN_E_INTERNAL);
  fx_clear(&w);
}

/* A feed that goes on until everything was shown: no repeat, nothing left out. */
static void test_feed_to_the_end(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  wn_item_ix served[600];
  size_t len = 0;
  uint8_t met[600] = {0};
  fx_init(&w, 600, 6);
  wn_surface_init(&s, "feed", WN_FLAVOUR_FEED);
  fx_generator(&s, "a", 50, 1.0f);
  fx_generator(&s, "b", 50, 1.0f);
  fx_diversity(&s, "vec", true, 0.7f);
  while (len < 600) {
    wn_request r = fx_request(&w, &s, 7);
    r.served = served, r.served_len = len;
    wn_slate slate = fx_run(&r);
    assert_int_equal(slate.len, 600 - len < 7 ? 600 - len : 7);
    for (size_t i = 0; i < slate.len; i++) {
      assert_int_equal(met[slate.items[i].item]++, 0);
      served[len++] = slate.items[i].item;
    }
  }
  fx_clear(&w);
}

/* Explain changes nothing, and its provenance adds up to each score. */
static void test_explain(void **state) {
  (void)state;
  fx_world w;
  wn_rng rng;
  fx_init(&w, 300, 7);
  wn_rng_seed(&rng, 1);
  for (int round = 0; round < 60; round++) {
    wn_surface s;
    wn_item_ix plain[40];
    every_road(&s, WN_FLAVOUR_PERSONAL);
    s.normalise = (wn_normalise)(round % 4);
    if (round % 3 == 0) fx_model_named(&w, "a")->knows = (uint32_t)wn_rng_below(&rng, 300);
    wn_request r = fx_request(&w, &s, 1 + (uint32_t)wn_rng_below(&rng, 40));
    wn_slate slate = fx_run(&r);
    size_t len = slate.len;
    for (size_t i = 0; i < len; i++) plain[i] = slate.items[i].item;
    r.explain = true;
    slate = fx_run(&r);
    assert_int_equal(slate.len, len);
    for (size_t i = 0; i < len; i++) {
      const wn_slate_item *item = &slate.items[i];
      const wn_move_trace *move = &slate.trace->moves[i];
      assert_int_equal(item->item, plain[i]);
      if (item->sources == 0) continue;
      const wn_candidate *c = &slate.trace->candidates[move->from - 1];
      double points = 0;
      for (size_t g = 0; g < slate.trace->generators_len; g++) {
        points += (double)c->proposals[g].points;
        assert_int_equal(c->proposals[g].rank > 0, (c->sources >> g) & 1);
      }
      assert_int_equal(c->item, item->item);
      assert_int_equal(c->sources, item->sources);
      assert_float_equal(c->score, item->score, 0);
      assert_float_equal(item->score, points * (double)c->boost, 1e-5 * (1 + points));
    }
  }
  fx_clear(&w);
}

static void test_json(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  wn_buf out = {0};
  wn_json json;
  fx_init(&w, 300, 7);
  every_road(&s, WN_FLAVOUR_PERSONAL);
  wn_catalog_set_status(w.catalog, 1, WN_ITEM_HIDDEN);
  fx_cap(&s, "section", 3);
  wn_request r = fx_request(&w, &s, 30);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  wn_json_init(&json, &out);
  wn_trace_to_json(slate.trace, w.catalog, &json);
  const char *text = wn_buf_c(&out);
  static const char *const parts[] = {"{\"retrieve\":{\"generators\":[{\"model\":\"a\"",
                                      "\"fallback\":true",
                                      "\"filter\":{\"allowed\":299",
                                      "\"counts\":{\"hidden\":1",
                                      "\"drops\":[",
                                      "\"score\":{\"normalise\":\"minmax\"",
                                      "\"proposals\":[{\"generator\":",
                                      "\"order\":{\"diversity\":{\"method\":\"mmr\",\"by\":\"vec\"",
                                      "\"moves\":[{\"item\":\"i",
                                      "\"why\":\"pin\"",
                                      "\"reason\":\"cap:section\"",
                                      "not kept: hidden"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (strstr(text, parts[i]) == NULL) fail_msg("%s is not in %s", parts[i], text);
  }
  int depth = 0;
  for (const char *p = text; *p != '\0'; p++) depth += (*p == '{') - (*p == '}');
  assert_int_equal(depth, 0);
  wn_buf_clear(&out);
  fx_clear(&w);
}

/* Every allocation may fail: a clean error, nothing leaked, the next request works. */
static void test_memory(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  wn_slate slate;
  wn_error err;
  fx_init(&w, 150, 7);
  every_road(&s, WN_FLAVOUR_PERSONAL);
  snprintf(s.where, sizeof s.where, "price > -100 or not has(price)");
  fx_cap(&s, "section", 3);
  bool done = false;
  for (long n = 0; !done; n++) {
    wn_arena_clear(&w.arena);
    wn_arena_init(&w.arena, (size_t)64 << 20);
    wn_expr_cache_free(w.filters);
    w.filters = wn_expr_cache_create(4);
    wn_request r = fx_request(&w, &s, 20);
    r.explain = true;
    assert_true(n < 5000);
    wn_mem_fail_after(n);
    wn_status status = wn_funnel_run(&r, &slate, &err);
    done = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    assert_int_equal(status, done ? WN_OK : WN_E_MEMORY);
    assert_true(!done || slate.len > 0);
  }
  for (size_t limit = 0; limit < 400000; limit += 9000) { /* the arena's own limit */
    wn_arena_clear(&w.arena);
    wn_arena_init(&w.arena, limit);
    wn_request r = fx_request(&w, &s, 20);
    wn_status status = wn_funnel_run(&r, &slate, &err);
    assert_true(status == WN_E_MEMORY || (status == WN_OK && slate.len > 0));
  }
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_never_hidden),
      cmocka_unit_test(test_strict_filter),
      cmocka_unit_test(test_empty_catalogue),
      cmocka_unit_test(test_no_models),
      cmocka_unit_test(test_large_slate),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_feed_to_the_end),
      cmocka_unit_test(test_explain),
      cmocka_unit_test(test_json),
      cmocka_unit_test(test_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
