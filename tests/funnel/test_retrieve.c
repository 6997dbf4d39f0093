/* Stage 1: quotas, merging, provenance, what each model needs, fallbacks, the catalogue. */
#include "fixture.h"

/* The reference: the best `k` allowed items of a fake model, by sorting everything. */
static size_t best_of(const fx_model *model, const wn_request *r, size_t k, wn_scored *out) {
  const wn_bitset *servable = wn_catalog_servable(r->catalog);
  size_t len = 0;
  for (uint32_t i = 0; i < model->items && i < model->knows; i++) {
    if (!wn_bitset_test(servable, i)) continue;
    wn_scored s = {i, fx_score(model, i)};
    size_t at = len++;
    for (; at > 0 && wn_scored_before(s, out[at - 1]); at--) out[at] = out[at - 1];
    out[at] = s;
  }
  return len < k ? len : k;
}

static void test_merge(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 300, 1);
  for (wn_item_ix i = 0; i < 300; i += 7) wn_catalog_set_status(w.catalog, i, WN_ITEM_HIDDEN);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 80, 1.0f);
  fx_generator(&s, "b", 120, 0.5f);
  fx_generator(&s, "absent", 10, 1.0f);
  wn_request r = fx_request(&w, &s, 20);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  const wn_trace *t = slate.trace;
  wn_scored lists[2][300];
  size_t lens[2] = {best_of(fx_model_named(&w, "a"), &r, 80, lists[0]),
                    best_of(fx_model_named(&w, "b"), &r, 120, lists[1])};
  size_t found = 0;
  for (size_t c = 0; c < t->candidates_len; c++) {
    const wn_candidate *candidate = &t->candidates[c];
    uint32_t sources = 0;
    for (unsigned g = 0; g < 2; g++) {
      uint32_t rank = 0;
      for (size_t i = 0; i < lens[g]; i++) {
        if (lists[g][i].ix == candidate->item) rank = (uint32_t)i + 1;
      }
      assert_int_equal(candidate->proposals[g].rank, rank);
      if (rank == 0) continue;
      assert_float_equal(candidate->proposals[g].score, lists[g][rank - 1].score, 0);
      sources |= 1u << g;
      found++;
    }
    assert_int_equal(candidate->sources, sources);
    assert_true(sources != 0);
  }
  assert_int_equal(found, 200);
  assert_int_equal(t->candidates_len, 200 - t->merged_duplicates);
  assert_int_equal(t->generators[0].proposed, 80);
  assert_int_equal(t->generators[0].unique_here, 80);
  assert_int_equal(t->generators[1].unique_here, t->candidates_len - 80);
  assert_string_equal(t->generators[2].note, "no model in this snapshot");
  assert_string_equal(t->generators[3].model, "catalogue");
  assert_string_equal(t->generators[3].note, "not needed");
  fx_clear(&w);
}

/* note of generator 0 on a surface of one generator; "" when it proposed something */
static const char *note_for(fx_world *w, const char *model, wn_flavour flavour, bool history,
                            bool anchor) {
  static const wn_history_entry entry = {.item = 3, .weight = 1};
  static wn_surface s;
  wn_surface_init(&s, "t", flavour);
  fx_generator(&s, model, 10, 1.0f);
  wn_request r = fx_request(w, &s, 5);
  r.explain = true;
  r.query.history = &entry;
  r.query.history_len = history;
  if (anchor) r.query.anchor = 4;
  wn_slate slate = fx_run(&r);
  const wn_generator_trace *g = &slate.trace->generators[0];
  if (g->note == NULL)
    assert_int_equal(g->proposed, 10);
  else
    assert_int_equal(g->proposed, 0);
  return g->note != NULL ? g->note : "";
}

static void test_needs(void **state) {
  (void)state;
  static const struct {
    const char *model;
    wn_flavour flavour;
    bool history, anchor;
    const char *note;
  } rows[] = {
      {"a", WN_FLAVOUR_PERSONAL, false, false, ""},
      {"a", WN_FLAVOUR_FLAT, false, false, ""},
      {"hist", WN_FLAVOUR_PERSONAL, true, false, ""},
      {"hist", WN_FLAVOUR_PERSONAL, false, false, "no history"},
      {"hist", WN_FLAVOUR_FEED, false, true, "no history"},
      {"hist", WN_FLAVOUR_FLAT, true, true, "no anchor item"},
      {"anchor", WN_FLAVOUR_FLAT, true, true, ""},
      {"anchor", WN_FLAVOUR_FLAT, true, false, "no anchor item"},
      {"anchor", WN_FLAVOUR_PERSONAL, true, true, ""},
      {"anchor", WN_FLAVOUR_PERSONAL, true, false, "no history"},
      {"both", WN_FLAVOUR_FLAT, false, true, ""},
      {"both", WN_FLAVOUR_PERSONAL, true, false, ""},
      {"both", WN_FLAVOUR_PERSONAL, false, true, ""},
      {"both", WN_FLAVOUR_PERSONAL, false, false, "no history"},
  };
  fx_world w;
  fx_init(&w, 50, 2);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *note =
        note_for(&w, rows[i].model, rows[i].flavour, rows[i].history, rows[i].anchor);
    if (strcmp(note, rows[i].note) != 0) fail_msg("row %zu: %s", i, note);
  }
  fx_clear(&w);
}

static void test_fallback(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 400, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 300, 1.0f);
  fx_fallback(&s, "hist", 100);
  fx_fallback(&s, "b", 60);
  fx_fallback(&s, "vec", 60);
  wn_request r = fx_request(&w, &s, 20);
  r.explain = true;

  wn_slate slate = fx_run(&r); /* enough: nobody else is asked */
  for (int g = 1; g < 5; g++) assert_string_equal(slate.trace->generators[g].note, "not needed");

  fx_model_named(&w, "a")->knows = 39; /* one short of 2n */
  slate = fx_run(&r);
  assert_string_equal(slate.trace->generators[1].note, "no history");
  assert_int_equal(slate.trace->generators[2].proposed, 60);
  assert_string_equal(slate.trace->generators[3].note, "not needed");
  assert_int_equal(slate.len, 20);
  /* fallbacks never overtake */
  float worst = 1.0f;
  for (size_t i = 0; i < slate.trace->candidates_len; i++) {
    const wn_candidate *c = &slate.trace->candidates[i];
    if ((c->sources & 1) != 0 && c->score < worst) worst = c->score;
  }
  for (size_t i = 0; i < slate.trace->candidates_len; i++) {
    const wn_candidate *c = &slate.trace->candidates[i];
    if ((c->sources & 1) == 0)
      assert_true(c->score < worst && c->score > 0);
    else
      assert_float_equal(c->proposals[2].points, 0, 0);
  }

  fx_model_named(&w, "a")->knows = 5;
  fx_model_named(&w, "b")->knows = 3;
  fx_model_named(&w, "vec")->knows = 9;
  slate = fx_run(&r); /* 9 known items: the catalogue fills up */
  assert_int_equal(slate.len, 20);
  assert_true(slate.trace->generators[4].proposed > 0);
  assert_int_equal(slate.items[19].sources, 1u << 4);
  for (size_t i = 0; i < 5; i++) assert_true((slate.items[i].sources & 1) != 0);
  /* the newest ones, newest first */
  const int64_t *created = wn_catalog_created(w.catalog);
  for (size_t i = 10; i < 20; i++) {
    assert_true(created[slate.items[i - 1].item] >= created[slate.items[i].item]);
  }
  fx_clear(&w);
}

static void test_source_names(void **state) {
  (void)state;
  wn_surface s;
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "x", 1, 1);
  fx_generator(&s, "y", 1, 1);
  fx_fallback(&s, "z", 1);
  assert_string_equal(wn_surface_source(&s, 0), "x");
  assert_string_equal(wn_surface_source(&s, 1), "y");
  assert_string_equal(wn_surface_source(&s, 2), "z");
  assert_string_equal(wn_surface_source(&s, 3), "catalogue");
  assert_null(wn_surface_source(&s, 4));
}

/* Many sources with large quotas: the table grows, nothing is lost or doubled. */
static void test_large(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 4000, 4);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  fx_generator(&s, "a", 1500, 1);
  fx_generator(&s, "b", 10000, 1);
  fx_generator(&s, "vec", 2500, 1);
  wn_request r = fx_request(&w, &s, 10);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.trace->candidates_len, 4000);
  uint8_t *met = calloc(4000, 1);
  size_t proposals = 0;
  for (size_t i = 0; i < 4000; i++) {
    const wn_candidate *c = &slate.trace->candidates[i];
    assert_int_equal(met[c->item]++, 0);
    for (int g = 0; g < 3; g++) proposals += c->proposals[g].rank > 0;
  }
  assert_int_equal(proposals, 1500 + 4000 + 2500);
  free(met);
  fx_clear(&w);
}

/* Pages of a feed are the places of one long list: what was served before moves nothing up that was
 * below, whatever the generators think of each other's items. */
static void test_pages_are_one_list(void **state) {
  (void)state;
  enum { N = 90, PAGE = 15 };
  fx_world w;
  wn_surface s;
  wn_item_ix served[N], once[N];
  fx_init(&w, 120, 11);
  wn_surface_init(&s, "t", WN_FLAVOUR_FEED);
  s.normalise = WN_NORM_RANK;
  fx_generator(&s, "a", 120, 1.0f);
  fx_generator(&s, "b", 120, 0.4f);
  wn_request r = fx_request(&w, &s, N);
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, N);
  for (size_t i = 0; i < N; i++) once[i] = slate.items[i].item;
  for (size_t at = 0; at < N; at += PAGE) {
    r = fx_request(&w, &s, PAGE);
    r.served = served, r.served_len = at;
    r.explain = true;
    slate = fx_run(&r);
    assert_int_equal(slate.len, PAGE);
    for (size_t i = 0; i < PAGE; i++) {
      assert_int_equal(slate.items[i].item, once[at + i]);
      served[at + i] = slate.items[i].item;
    }
    for (size_t g = 0; g < 2; g++) assert_int_equal(slate.trace->generators[g].proposed, 120 - at);
  }
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pages_are_one_list),
      cmocka_unit_test(test_merge),
      cmocka_unit_test(test_needs),
      cmocka_unit_test(test_fallback),
      cmocka_unit_test(test_source_names),
      cmocka_unit_test(test_large),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
