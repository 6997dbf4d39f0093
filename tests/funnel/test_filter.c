/* Stage 2: each rule alone, all rules against a naive twin, counts and reasons of the trace. */
#include "fixture.h"

static void test_each_rule(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 60, 1);
  wn_catalog_set_status(w.catalog, 1, WN_ITEM_HIDDEN);
  wn_catalog_set_status(w.catalog, 2, WN_ITEM_DELETED);
  wn_surface_init(&s, "t", WN_FLAVOUR_FEED);
  fx_generator(&s, "a", 60, 1.0f);
  snprintf(s.where, sizeof s.where, "id != 'i3'");
  wn_request r = fx_request(&w, &s, 60);
  wn_seen_entry seen[] = {{5, 1u << 1}, {6, 1u << 0}, {7, 1u << 2 | 1u << 0}};
  wn_item_ix served[] = {8}, exclude[] = {9, 10, 5000};
  r.seen = seen, r.seen_len = 3;
  r.served = served, r.served_len = 1;
  r.exclude = exclude, r.exclude_len = 3;
  r.query.anchor = 11;
  r.filter = WN_STR("id != 'i4'");
  r.explain = true;
  wn_slate slate = fx_run(&r);
  static const struct {
    wn_item_ix item;
    const char *reason;
  } rows[] = {{1, "hidden"},    {2, "deleted"},   {3, "where"},  {4, "request filter"},
              {5, "seen:buy"},  {7, "seen:hide"}, {8, "served"}, {9, "excluded"},
              {10, "excluded"}, {11, "anchor"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_false(fx_has(&slate, rows[i].item));
  }
  assert_true(fx_has(&slate, 6)); /* viewed: that does not mark as seen */
  assert_int_equal(slate.len, 50);
  assert_int_equal(slate.trace->allowed_count, 50);
  static const char *const reasons[] = {"hidden",   "where",  "request filter", "seen",
                                        "excluded", "served", "anchor"};
  static const uint32_t counts[] = {2, 1, 1, 2, 2, 1, 1};
  assert_int_equal(slate.trace->filter_counts_len, 7);
  for (size_t i = 0; i < 7; i++) {
    assert_string_equal(slate.trace->filter_counts[i].reason, reasons[i]);
    assert_int_equal(slate.trace->filter_counts[i].count, counts[i]);
  }
  /* drops are looked for among the first 50 of each generator */
  wn_scored top[50];
  size_t len;
  wn_query all = {.arena = &w.arena};
  fx_model *a = fx_model_named(&w, "a");
  assert_int_equal(fx_candidates(&a->base, &all, 50, top, &len, NULL), WN_OK);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    bool near = false;
    for (size_t k = 0; k < len; k++) near = near || top[k].ix == rows[i].item;
    assert_string_equal(fx_dropped(slate.trace, rows[i].item), near ? rows[i].reason : "");
  }
  fx_clear(&w);
}

static void test_seen_rules(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 20, 1);
  wn_seen_entry seen[] = {{0, 1}, {1, 2}, {2, 4}, {3, 3}};
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 20, 1.0f);
  wn_request r = fx_request(&w, &s, 20);
  r.seen = seen, r.seen_len = 4;
  assert_int_equal(fx_run(&r).len, 20); /* flat: nothing is seen */
  s.seen_all = true;                    /* buy and hide */
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, 17);
  assert_true(fx_has(&slate, 0));
  s.seen_all = false; /* these types, whatever the signal says; unknown ones match nothing */
  s.seen_len = 2;
  strcpy(s.seen[0], "view");
  strcpy(s.seen[1], "unheard");
  slate = fx_run(&r);
  assert_int_equal(slate.len, 18);
  assert_false(fx_has(&slate, 0) || fx_has(&slate, 3));
  r.signals = NULL;
  assert_int_equal(fx_run(&r).len, 20);
  fx_clear(&w);
}

/* From 63 on event types share a bit. */
static void test_many_types(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 10, 1);
  w.signals.len = 70;
  for (int i = 3; i < 70; i++) {
    snprintf(w.signals.data[i].name, sizeof w.signals.data[i].name, "t%d", i);
  }
  wn_seen_entry seen[] = {{0, (uint64_t)1 << 63}, {1, (uint64_t)1 << 62}};
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 20, 1.0f);
  wn_request r = fx_request(&w, &s, 10);
  r.seen = seen, r.seen_len = 2;
  r.explain = true;
  assert_int_equal(fx_run(&r).len, 10);
  w.signals.data[66].seen = true;
  wn_slate slate = fx_run(&r);
  assert_false(fx_has(&slate, 0));
  assert_string_equal(fx_dropped(slate.trace, 0), "seen");
  w.signals.data[62].seen = true;
  slate = fx_run(&r);
  assert_int_equal(slate.len, 8);
  assert_string_equal(fx_dropped(slate.trace, 1), "seen:t62");
  fx_clear(&w);
}

static bool in(const wn_item_ix *items, size_t len, wn_item_ix item) {
  for (size_t i = 0; i < len; i++) {
    if (items[i] == item) return true;
  }
  return false;
}

static void test_random(void **state) {
  (void)state;
  static const char *const filters[] = {"", "section == 's1' or price > 0", "not has(tags)",
                                        "free == true", "false"};
  fx_world w;
  wn_surface s;
  wn_rng rng;
  fx_init(&w, 200, 5);
  wn_rng_seed(&rng, 17);
  for (int round = 0; round < 60; round++) {
    wn_item_ix served[20], exclude[20];
    wn_seen_entry seen[40];
    wn_error err;
    for (int i = 0; i < 10; i++) {
      wn_catalog_set_status(w.catalog, (wn_item_ix)wn_rng_below(&rng, 200),
                            (wn_item_status)wn_rng_below(&rng, 3));
    }
    for (int i = 0; i < 20; i++) {
      served[i] = (wn_item_ix)wn_rng_below(&rng, 210);
      exclude[i] = (wn_item_ix)wn_rng_below(&rng, 210);
    }
    for (int i = 0; i < 40; i++) {
      seen[i] = (wn_seen_entry){(wn_item_ix)wn_rng_below(&rng, 210), wn_rng_below(&rng, 8)};
    }
    wn_surface_init(&s, "t", WN_FLAVOUR_FEED);
    fx_generator(&s, "broken", 300, 1.0f);
    const char *where = filters[wn_rng_below(&rng, 5)], *filter = filters[wn_rng_below(&rng, 5)];
    snprintf(s.where, sizeof s.where, "%s", where);
    s.where_required = wn_rng_below(&rng, 2) == 0;
    wn_request r = fx_request(&w, &s, 300);
    r.filter = wn_str_of(filter);
    r.seen = seen, r.seen_len = 40;
    r.served = served, r.served_len = 20;
    r.exclude = exclude, r.exclude_len = 20;
    r.query.anchor = (wn_item_ix)wn_rng_below(&rng, 210);
    r.explain = round % 2 == 0;
    wn_slate slate = fx_run(&r);
    wn_expr *exprs[2];
    assert_int_equal(wn_expr_parse(wn_str_of(where[0] ? where : "true"), "f", &exprs[0], &err), 0);
    assert_int_equal(wn_expr_parse(wn_str_of(filter[0] ? filter : "true"), "f", &exprs[1], &err),
                     0);
    bool holds = s.where_required; /* or else of anything */
    for (wn_item_ix i = 0; i < 200; i++)
      holds = holds || (wn_catalog_status(w.catalog, i) == WN_ITEM_ACTIVE &&
                        wn_expr_test(exprs[0], w.catalog, i));
    assert_int_equal(slate.relaxed == NULL, holds);
    for (wn_item_ix i = 0; i < 200; i++) {
      bool allowed = wn_catalog_status(w.catalog, i) == WN_ITEM_ACTIVE &&
                     (!holds || wn_expr_test(exprs[0], w.catalog, i)) &&
                     wn_expr_test(exprs[1], w.catalog, i) && !in(served, 20, i) &&
                     !in(exclude, 20, i) && i != r.query.anchor;
      for (int k = 0; k < 40; k++) allowed = allowed && !(seen[k].item == i && seen[k].mask & 6);
      if (fx_has(&slate, i) != allowed) fail_msg("round %d item %u", round, i);
    }
    wn_expr_free(exprs[0]);
    wn_expr_free(exprs[1]);
  }
  fx_clear(&w);
}

static void test_bad_filter(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  wn_slate slate;
  wn_error err = {0};
  fx_init(&w, 10, 1);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  wn_request r = fx_request(&w, &s, 5);
  r.filter = WN_STR("price <");
  assert_int_equal(wn_funnel_run(&r, &slate, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "filter");
  assert_int_equal(err.column, 8);
  fx_clear(&w);
}

/* A condition that nothing satisfies is left out and told; one that must hold leaves nothing, and
 * so does one that leaves nothing for this user alone. */
static void test_where_of_nothing(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 40, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 40, 1.0f);
  snprintf(s.where, sizeof s.where, "no_such_attribute == 'x'");
  wn_request r = fx_request(&w, &s, 10);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, 10);
  assert_string_equal(slate.relaxed, "where");
  assert_null(slate.empty);
  assert_string_equal(slate.trace->notes[0],
                      "where not kept: no item of the catalogue satisfies it");
  s.where_required = true;
  slate = fx_run(&r);
  assert_int_equal(slate.len, 0);
  assert_null(slate.relaxed);
  assert_string_equal(slate.empty, "where");
  s.where_required = false;
  snprintf(s.where, sizeof s.where, "id == 'i7'");
  slate = fx_run(&r);
  assert_int_equal(slate.len, 1);
  wn_seen_entry seen = {7, 1u << 1};
  r.seen = &seen, r.seen_len = 1;
  slate = fx_run(&r);
  assert_int_equal(slate.len, 0);
  assert_null(slate.relaxed);
  assert_string_equal(slate.empty, "seen");
  fx_clear(&w);
}

/* Who took the last item, rule by rule; nothing of the user's or the request's is relaxed. */
static void test_empty_says_why(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  enum { N = 12 };
  wn_seen_entry seen[N];
  wn_item_ix all[N];
  fx_init(&w, N, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FEED);
  fx_generator(&s, "a", 40, 1.0f);
  for (uint32_t i = 0; i < N; i++) seen[i] = (wn_seen_entry){all[i] = i, 1u << 1};
  wn_request r = fx_request(&w, &s, 5);
  r.filter = WN_STR("id == 'nothing'");
  assert_string_equal(fx_run(&r).empty, "request filter");
  r = fx_request(&w, &s, 5);
  r.seen = seen, r.seen_len = N;
  assert_string_equal(fx_run(&r).empty, "seen");
  r.seen_len = N - 1, r.exclude = all, r.exclude_len = N;
  assert_string_equal(fx_run(&r).empty, "excluded");
  r.exclude_len = 0, r.served = all + N - 1, r.served_len = 1;
  assert_string_equal(fx_run(&r).empty, "served");
  r.served_len = 0, r.query.anchor = N - 1;
  assert_string_equal(fx_run(&r).empty, "anchor");
  r = fx_request(&w, &s, 5);
  s.generators_len = 0, s.short_slates = true;
  assert_string_equal(fx_run(&r).empty, "nothing proposed");
  for (uint32_t i = 0; i < N; i++) wn_catalog_set_status(w.catalog, i, WN_ITEM_HIDDEN);
  snprintf(s.where, sizeof s.where, "id == 'i7'");
  wn_slate slate = fx_run(&r);
  assert_string_equal(slate.empty, "hidden");
  assert_null(slate.relaxed); /* it is not the rule's fault */
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_each_rule),      cmocka_unit_test(test_where_of_nothing),
      cmocka_unit_test(test_empty_says_why), cmocka_unit_test(test_seen_rules),
      cmocka_unit_test(test_many_types),     cmocka_unit_test(test_random),
      cmocka_unit_test(test_bad_filter),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
