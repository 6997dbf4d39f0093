/* Stage 4: every step of the greedy choice against its definition, caps over random rule sets,
 * pins, and what the trace says of each move. */
#include "fixture.h"

static double cosine(const float *a, const float *b) {
  double dot = 0, aa = 0, bb = 0;
  if (a == NULL || b == NULL) return 0;
  for (int k = 0; k < FX_D; k++) {
    dot += (double)a[k] * (double)b[k];
    aa += (double)a[k] * (double)a[k];
    bb += (double)b[k] * (double)b[k];
  }
  return dot / sqrt(aa * bb);
}

/* The distinct values of an item as texts "kind:value"; returns how many. */
static size_t values_of(const fx_world *w, const char *attribute, wn_item_ix item,
                        char out[8][48]) {
  const wn_column *column = wn_catalog_column(w->catalog, wn_str_of(attribute));
  size_t len = 0;
  if (column == NULL || column->cells[item].kind == 0) return 0;
  const wn_cell *cell = &column->cells[item];
  if (cell->kind == WN_ATTR_NUMBER + 1) {
    snprintf(out[len++], 48, "n:%g", cell->u.number);
  } else if (cell->kind == WN_ATTR_BOOL + 1) {
    snprintf(out[len++], 48, "b:%d", cell->boolean);
  } else {
    bool list = cell->kind == WN_ATTR_LIST + 1;
    for (uint32_t i = 0; i < (list ? cell->u.list_len : 1); i++) {
      wn_str text = wn_dict_key(column->values, list ? column->codes[cell->code + i] : cell->code);
      snprintf(out[len], 48, "s:%.*s", WN_STR_ARG(text));
      bool known = false;
      for (size_t k = 0; k < len; k++) known = known || strcmp(out[k], out[len]) == 0;
      len += !known;
    }
  }
  return len;
}

static size_t shared_values(const fx_world *w, const char *attribute, wn_item_ix a, wn_item_ix b,
                            size_t *all) {
  char x[8][48], y[8][48];
  size_t xs = values_of(w, attribute, a, x), ys = values_of(w, attribute, b, y), shared = 0;
  for (size_t i = 0; i < xs; i++) {
    for (size_t k = 0; k < ys; k++) shared += strcmp(x[i], y[k]) == 0;
  }
  *all = xs + ys - shared;
  return shared;
}

static double similarity(fx_world *w, const wn_surface *s, wn_item_ix a, wn_item_ix b) {
  uint32_t d;
  if (s->diversity_is_model) {
    const wn_model *model = &fx_model_named(w, s->diversity_by)->base;
    return cosine(fx_vector(model, a, &d), fx_vector(model, b, &d));
  }
  size_t all, shared = shared_values(w, s->diversity_by, a, b, &all);
  return all > 0 ? (double)shared / (double)all : 0;
}

/* Does `item` fit under every cap beside the first `len` of the slate and the pins to come? */
static bool fits(const fx_world *w, const wn_surface *s, const wn_slate *slate, size_t len,
                 wn_item_ix item) {
  for (size_t c = 0; c < s->caps_len; c++) {
    char values[8][48], others[8][48];
    size_t count = values_of(w, s->caps[c].attribute, item, values);
    for (size_t v = 0; v < count; v++) {
      size_t used = 0;
      for (size_t i = 0; i < slate->len; i++) {
        if (i >= len && !slate->items[i].pinned) continue;
        size_t n = values_of(w, s->caps[c].attribute, slate->items[i].item, others);
        for (size_t k = 0; k < n; k++) used += strcmp(values[v], others[k]) == 0;
      }
      if (used >= s->caps[c].max) return false;
    }
  }
  return true;
}

static bool placed_before(const wn_slate *slate, size_t len, wn_item_ix item) {
  for (size_t i = 0; i < slate->len; i++) {
    if ((i < len || slate->items[i].pinned) && slate->items[i].item == item) return true;
  }
  return false;
}

#define SURE 0.01 /* below it rounding decides */

/* What `item` adds to ln det of the similarities of the window's items, by a Cholesky factor in
 * doubles; *sure false: some pivot is nearly 0. */
static double gain_of(fx_world *w, const wn_surface *s, const wn_slate *slate, size_t at,
                      wn_item_ix item, bool *sure) {
  static double factor[WN_SLATE_MAX + 1][64];
  size_t window = s->diversity_window < slate->len ? s->diversity_window : slate->len;
  if (window < 2) window = 2;
  size_t from = at > window ? at - window : 0, n = at - from;
  double variance = 1;
  *sure = true;
  for (size_t i = 0; i <= n; i++) {
    wn_item_ix row = i < n ? slate->items[from + i].item : item;
    variance = 1;
    for (size_t k = 0; k < i; k++) {
      double e = similarity(w, s, row, slate->items[from + k].item);
      for (size_t t = 0; t < k; t++) e -= factor[i][t] * factor[k][t];
      factor[i][k] = e / factor[k][k];
      variance -= factor[i][k] * factor[i][k];
    }
    *sure = *sure && variance > SURE;
    factor[i][i] = sqrt(fmax(variance, 1e-6));
  }
  return log(fmax(variance, 1e-6));
}

/* Every unpinned place holds a candidate of (nearly) the largest value among those that fit. */
static void check_slate(fx_world *w, const wn_surface *s, const wn_slate *slate, uint32_t n) {
  const wn_trace *t = slate->trace;
  size_t pool = 4 * (size_t)n < 200 ? 200 : 4 * (size_t)n;
  bool diverse = s->diversity_by[0] != '\0' && s->mmr_lambda < 1;
  bool dpp = s->diversity_method == WN_DIVERSITY_DPP;
  for (size_t at = 0; at <= slate->len && at < n; at++) {
    double best = -INFINITY, chosen = NAN;
    bool in_pool = true;
    if (at < slate->len && slate->items[at].pinned) continue;
    for (size_t i = 0; i < t->candidates_len; i++) {
      const wn_candidate *c = &t->candidates[i];
      if (placed_before(slate, at, c->item) || !fits(w, s, slate, at, c->item)) continue;
      if (i >= pool && in_pool && best > -INFINITY) break;
      if (i >= pool) in_pool = false;
      double unlike = 0;
      bool sure = true, is_chosen = at < slate->len && slate->items[at].item == c->item;
      for (size_t k = 0; diverse && !dpp && in_pool && k < at; k++) {
        unlike = fmin(unlike, -similarity(w, s, c->item, slate->items[k].item));
      }
      if (diverse && dpp && in_pool && at < slate->len)
        unlike = gain_of(w, s, slate, at, c->item, &sure);
      double value = diverse && in_pool ? (double)s->mmr_lambda * (double)c->score +
                                              (1 - (double)s->mmr_lambda) * unlike
                                        : (double)c->score;
      if (sure) best = fmax(best, value);
      if (is_chosen) chosen = sure ? value : INFINITY;
    }
    if (at == slate->len)
      assert_true(best == -INFINITY); /* shorter only when nothing fits */
    else if (!(chosen >= best - (dpp ? 1e-3 : 1e-5)))
      fail_msg("place %zu: %g, best is %g", at, chosen, best);
  }
}

static void check_caps(const fx_world *w, const wn_surface *s, const wn_slate *slate) {
  for (size_t c = 0; c < s->caps_len; c++) {
    for (size_t i = 0; i < slate->len; i++) {
      char values[8][48], others[8][48];
      size_t count = values_of(w, s->caps[c].attribute, slate->items[i].item, values);
      for (size_t v = 0; v < count; v++) {
        size_t used = 0;
        for (size_t k = 0; k < slate->len; k++) {
          size_t n = values_of(w, s->caps[c].attribute, slate->items[k].item, others);
          for (size_t x = 0; x < n; x++) used += strcmp(values[v], others[x]) == 0;
        }
        assert_true(used <= s->caps[c].max);
      }
    }
  }
}

static void check_moves(const wn_slate *slate) {
  const wn_trace *t = slate->trace;
  assert_int_equal(t->moves_len, slate->len);
  for (size_t i = 0; i < slate->len; i++) {
    const wn_move_trace *move = &t->moves[i];
    assert_int_equal(move->item, slate->items[i].item);
    assert_int_equal(move->to, i + 1);
    assert_int_equal(slate->items[i].pinned,
                     strcmp(move->why, "pin") == 0 && move->to > 0 && slate->items[i].pinned);
    if (move->from > 0) assert_int_equal(t->candidates[move->from - 1].item, move->item);
    if (move->from != 0 && move->from != move->to) assert_true(move->why[0] != '\0');
  }
}

/* Random surfaces: MMR by vectors or attributes, caps, pins, boosts, all mixed. */
static void test_random_rules(void **state) {
  (void)state;
  static const char *const attributes[] = {"section", "tags", "price", "free", "mixed", "absent"};
  fx_world w;
  wn_rng rng;
  fx_init(&w, 500, 21);
  wn_rng_seed(&rng, 4);
  for (int round = 0; round < 120; round++) {
    wn_surface s;
    wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
    fx_generator(&s, "a", 1 + (uint32_t)wn_rng_below(&rng, 150), 1.0f);
    fx_generator(&s, "b", 1 + (uint32_t)wn_rng_below(&rng, 150), 0.7f);
    uint64_t by = wn_rng_below(&rng, 4);
    float lambda = (float)wn_rng_below(&rng, 5) / 4.0f;
    if (by == 1) fx_diversity(&s, "vec", true, lambda);
    if (by == 2) fx_diversity(&s, attributes[wn_rng_below(&rng, 6)], false, lambda);
    s.diversity_method = round % 2 == 0 ? WN_DIVERSITY_DPP : WN_DIVERSITY_MMR;
    s.diversity_window = 2 + (uint32_t)wn_rng_below(&rng, 20);
    for (uint64_t c = wn_rng_below(&rng, 4), at = wn_rng_below(&rng, 6); c > 0; c--) {
      fx_cap(&s, attributes[(at + c) % 6], 1 + (uint32_t)wn_rng_below(&rng, 6));
    }
    for (uint64_t p = wn_rng_below(&rng, 4); p > 0; p--) {
      char id[16];
      snprintf(id, sizeof id, "i%u", (unsigned)(wn_rng_below(&rng, 120) * 4 + p));
      fx_pin(&s, id, (uint32_t)(wn_rng_below(&rng, 10) * 4 + p));
    }
    if (wn_rng_below(&rng, 3) == 0) fx_boost(&s, "section == 's2'", 3.0f);
    uint32_t n = 1 + (uint32_t)wn_rng_below(&rng, round % 5 == 0 ? 90 : 25);
    wn_request r = fx_request(&w, &s, n);
    r.explain = true;
    wn_slate slate = fx_run(&r);
    check_caps(&w, &s, &slate);
    check_slate(&w, &s, &slate, n);
    check_moves(&slate);
    if (slate.len < n) assert_true(s.caps_len > 0 || slate.trace->candidates_len < n);
  }
  fx_clear(&w);
}

static void test_caps_shorten(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 200, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  snprintf(s.where, sizeof s.where, "has(section)");
  fx_generator(&s, "a", 200, 1.0f);
  fx_cap(&s, "section", 2);
  wn_request r = fx_request(&w, &s, 20);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, 10); /* five sections */
  assert_true(fx_noted(slate.trace, "caps left 10 of 20 places empty"));
  size_t capped = 0;
  for (size_t i = 0; i < slate.trace->drops_len; i++) {
    capped += strcmp(slate.trace->drops[i].reason, "cap:section") == 0 &&
              strcmp(slate.trace->drops[i].stage, "order") == 0;
  }
  assert_int_equal(capped, slate.trace->candidates_len - 10);
  fx_clear(&w);
}

static void test_pins(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 100, 3);
  wn_catalog_set_status(w.catalog, 10, WN_ITEM_HIDDEN);
  wn_catalog_set_status(w.catalog, 11, WN_ITEM_DELETED);
  wn_surface_init(&s, "t", WN_FLAVOUR_FEED);
  fx_generator(&s, "a", 30, 1.0f);
  fx_pin(&s, "i20", 3);
  fx_pin(&s, "i21", 1);
  fx_pin(&s, "i10", 2);
  fx_pin(&s, "i11", 4);
  fx_pin(&s, "nobody", 5);
  fx_pin(&s, "i22", 6);  /* seen: kept all the same */
  fx_pin(&s, "i23", 7);  /* served in this session */
  fx_pin(&s, "i24", 8);  /* excluded */
  fx_pin(&s, "i25", 9);  /* the request's filter */
  fx_pin(&s, "i26", 50); /* past the slate */
  wn_request r = fx_request(&w, &s, 10);
  wn_seen_entry seen[] = {{22, 2}};
  wn_item_ix served[] = {23}, exclude[] = {24};
  r.seen = seen, r.seen_len = 1;
  r.served = served, r.served_len = 1;
  r.exclude = exclude, r.exclude_len = 1;
  r.filter = WN_STR("id != 'i25'");
  r.explain = true;
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, 10);
  assert_int_equal(slate.items[0].item, 21);
  assert_int_equal(slate.items[2].item, 20);
  assert_int_equal(slate.items[5].item, 22);
  for (size_t i = 0; i < 10; i++) {
    assert_int_equal(slate.items[i].pinned, i == 0 || i == 2 || i == 5);
    assert_float_equal(slate.items[i].propensity, 1, 0);
  }
  for (wn_item_ix i = 10; i < 12; i++) assert_false(fx_has(&slate, i));
  for (wn_item_ix i = 23; i < 26; i++) assert_false(fx_has(&slate, i));
  static const char *const notes[] = {
      "pin of \"i10\" at 2 not kept: hidden",     "pin of \"i11\" at 4 not kept: deleted",
      "pin of \"nobody\" at 5 not kept: no such", "pin of \"i23\" at 7 not kept: served",
      "pin of \"i24\" at 8 not kept: excluded",   "pin of \"i25\" at 9 not kept: request filter"};
  for (size_t i = 0; i < 6; i++) assert_true(fx_noted(slate.trace, notes[i]));
  assert_true(fx_noted(slate.trace, "pin of \"i26\" at 50 not kept: 10 places were asked for"));
  assert_int_equal(slate.trace->notes_len, 7);

  /* too few items to reach the position: the pin moves up */
  s.pins_len = 1;
  r.filter = WN_STR("id in ['i20', 'i1', 'i2']");
  slate = fx_run(&r);
  assert_int_equal(slate.len, 3);
  assert_int_equal(slate.items[2].item, 20);
  r.filter = WN_STR("id in ['i20', 'i1']");
  slate = fx_run(&r);
  assert_int_equal(slate.len, 2);
  assert_int_equal(slate.items[1].item, 20);
  assert_true(fx_noted(slate.trace, "moved up from 3 to 2"));
  fx_clear(&w);
}

/* A pin takes its share of a cap before the others, and yields to an earlier pin's. */
static void test_pins_and_caps(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  char x[8][48];
  wn_item_ix same[3];
  size_t found = 0;
  fx_init(&w, 100, 3);
  for (wn_item_ix i = 0; i < 100 && found < 3; i++) {
    if (values_of(&w, "section", i, x) == 1 && strcmp(x[0], "s:s1") == 0) same[found++] = i;
  }
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 100, 1.0f);
  fx_cap(&s, "section", 2);
  for (size_t i = 0; i < 3; i++) {
    char id[16];
    snprintf(id, sizeof id, "i%u", same[i]);
    fx_pin(&s, id, 6 + (uint32_t)i);
  }
  wn_request r = fx_request(&w, &s, 8);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  check_caps(&w, &s, &slate);
  assert_int_equal(slate.items[5].item, same[0]);
  assert_int_equal(slate.items[6].item, same[1]);
  assert_true(fx_noted(slate.trace, "at 8 not kept: cap:section"));
  fx_clear(&w);
}

/* λ = 0 shows as different things as there are: five clusters, one of each first. */
static void test_diversity_extreme(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 200, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  snprintf(s.where, sizeof s.where, "has(section)");
  fx_generator(&s, "a", 200, 1.0f);
  fx_diversity(&s, "section", false, 0.0f);
  wn_request r = fx_request(&w, &s, 5);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  for (size_t i = 0; i < 5; i++) {
    for (size_t k = 0; k < i; k++) {
      size_t all;
      assert_int_equal(shared_values(&w, "section", slate.items[i].item, slate.items[k].item, &all),
                       0);
    }
  }
  fx_clear(&w);
}

/* The worked cases mmr-01 and dpp-01 of the lab's beyond_accuracy (docs/cases.md), ordered by the
 * stage that serves. */
static const double case_relevance[4] = {0.95, 0.9, 0.6, 0.55};
static const double case_similarity[4][4] = {
    {1, 0.9, 0.1, 0.2}, {0.9, 1, 0.15, 0.25}, {0.1, 0.15, 1, 0.8}, {0.2, 0.25, 0.8, 1}};

static const wn_item_ix case_item[4] = {0, 1, 2, 4}; /* the world's item 3 has no vector */

static wn_status case_candidates(const wn_model *base, const wn_query *query, size_t k,
                                 wn_scored *out, size_t *count, wn_error *err) {
  (void)query;
  (void)err;
  assert_true(k >= 4);
  bool dpp = ((const fx_model *)base)->salt == 0;
  for (uint32_t i = 0; i < 4; i++) /* a DPP's quality is e^(score / 2); 2 keeps scores positive */
    out[i] = (wn_scored){case_item[i],
                         (float)(dpp ? 2 + 2 * log(case_relevance[i]) : case_relevance[i])};
  *count = 4;
  return WN_OK;
}

static void check_case(const wn_request *r, const size_t *order, size_t len) {
  wn_slate slate = fx_run(r);
  for (size_t i = 0; i < len; i++) assert_int_equal(slate.items[i].item, case_item[order[i]]);
}

static void test_worked_cases(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  static const float lambdas[] = {1, 0.7f, 0.5f, 0.3f};
  static const size_t by_score[] = {0, 1, 2, 3}, diverse[] = {0, 2, 1, 3};
  fx_init(&w, 5, 3);
  fx_model *a = fx_model_named(&w, "a"), *vec = fx_model_named(&w, "vec");
  a->cls.candidates = case_candidates;
  memset(vec->vectors, 0, sizeof vec->vectors);
  for (size_t i = 0; i < 4; i++) { /* rows of the Cholesky factor: their products are the cosines */
    float *row = vec->vectors[case_item[i]];
    for (size_t k = 0; k <= i; k++) {
      const float *above = vec->vectors[case_item[k]];
      double e = case_similarity[i][k];
      for (size_t t = 0; t < k; t++) e -= (double)row[t] * (double)above[t];
      row[k] = (float)(k < i ? e / (double)above[k] : sqrt(e));
    }
  }
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  s.normalise = WN_NORM_NONE;
  fx_generator(&s, "a", 10, 1.0f);
  wn_request r = fx_request(&w, &s, 4);
  for (size_t l = 0; l < 4; l++) {
    fx_diversity(&s, "vec", true, lambdas[l]);
    check_case(&r, lambdas[l] < 1 ? diverse : by_score, 3);
  }
  a->salt = 0;
  s.diversity_method = WN_DIVERSITY_DPP;
  fx_diversity(&s, "vec", true, 0.5f);
  check_case(&r, diverse, 4);
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_rules),
      cmocka_unit_test(test_caps_shorten),
      cmocka_unit_test(test_pins),
      cmocka_unit_test(test_pins_and_caps),
      cmocka_unit_test(test_diversity_extreme),
      cmocka_unit_test(test_worked_cases),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
