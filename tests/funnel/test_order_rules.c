/* Rules of ordering: a property test over random rule sets, each rule by hand, and draws against
 * their propensities. */
#include "fixture.h"
#include "funnel/diversity.h"

static bool satisfies(const fx_world *w, const char *where, wn_item_ix item) {
  wn_expr *expr = NULL;
  wn_error err;
  assert_int_equal(wn_expr_parse(wn_str_of(where), "t", &expr, &err), WN_OK);
  bool holds = wn_expr_test(expr, w->catalog, item);
  wn_expr_free(expr);
  return holds;
}

static wn_quota *add_quota(wn_surface *s, const char *where, uint32_t newer_days, uint32_t min) {
  wn_quota *quota = &s->quotas[s->quotas_len++];
  *quota = (wn_quota){.newer_days = newer_days, .min = min};
  snprintf(quota->where, sizeof quota->where, "%s", where);
  return quota;
}

static void add_slot(wn_surface *s, uint32_t position, const char *where) {
  wn_slot *slot = &s->slots[s->slots_len++];
  *slot = WN_SLOT_DEFAULT;
  slot->position = position;
  slot->explore = where == NULL ? WN_EXPLORE_RANDOM : WN_EXPLORE_NONE;
  if (where != NULL) snprintf(slot->where, sizeof slot->where, "%s", where);
}

static void add_mix(wn_surface *s, const char *attribute, wn_mix_kind kind, float weight) {
  wn_mix *mix = &s->mixes[s->mixes_len++];
  *mix = (wn_mix){.kind = kind, .weight = weight};
  snprintf(mix->attribute, sizeof mix->attribute, "%s", attribute);
}

static const char *const conditions[] = {"section == 's1'", "'red' in tags", "price > 1",
                                         "free == true", "section == 'none'"};

static void random_surface(wn_surface *s, wn_rng *rng) {
  static const char *const attributes[] = {"section", "tags", "mixed", "absent"};
  wn_surface_init(s, "t", WN_FLAVOUR_PERSONAL);
  s->seen_all = false;
  fx_generator(s, "a", 20 + (uint32_t)wn_rng_below(rng, 200), 1.0f);
  fx_generator(s, "hist", 20 + (uint32_t)wn_rng_below(rng, 100), 0.7f);
  if (wn_rng_below(rng, 2) == 0) fx_diversity(s, "vec", true, 0.6f);
  s->diversity_method = wn_rng_below(rng, 2) == 0 ? WN_DIVERSITY_DPP : WN_DIVERSITY_MMR;
  for (uint64_t c = wn_rng_below(rng, 3); c > 0; c--)
    fx_cap(s, attributes[c], 2 + (uint32_t)wn_rng_below(rng, 8));
  for (uint64_t p = wn_rng_below(rng, 3); p > 0; p--) {
    char id[16];
    snprintf(id, sizeof id, "i%u", (unsigned)(wn_rng_below(rng, 100) * 4 + p));
    fx_pin(s, id, (uint32_t)(wn_rng_below(rng, 5) * 4 + p));
  }
  for (uint64_t q = wn_rng_below(rng, 4); q > 0; q--)
    add_quota(s, conditions[wn_rng_below(rng, 5)], 0, 1 + (uint32_t)wn_rng_below(rng, 5));
  if (wn_rng_below(rng, 3) == 0) add_quota(s, "", 3, 2);
  if (wn_rng_below(rng, 2) == 0)
    add_slot(s, 4 * (1 + (uint32_t)wn_rng_below(rng, 3)), conditions[wn_rng_below(rng, 5)]);
  if (wn_rng_below(rng, 2) == 0) add_slot(s, 16, NULL);
  for (uint64_t m = wn_rng_below(rng, 3); m > 0; m--) {
    wn_mix_kind kind = (wn_mix_kind)wn_rng_below(rng, 3);
    add_mix(s, attributes[wn_rng_below(rng, 4)], kind, (float)wn_rng_double(rng));
  }
  for (uint64_t b = wn_rng_below(rng, 3); b > 0; b--)
    fx_boost(s, conditions[wn_rng_below(rng, 5)], 2 * (float)wn_rng_double(rng));
  if (wn_rng_below(rng, 4) == 0) s->floor = 0.3f;
  if (wn_rng_below(rng, 3) == 0) s->temperature = 0.1f;
}

static bool is_newer(const fx_world *w, wn_item_ix item, int64_t now_ms, uint32_t days) {
  return wn_catalog_created(w->catalog)[item] >= (now_ms / 86400000 - days) * 86400000;
}

/* Without caps, pins, slots and a floor, and with as many places as they ask for, quotas get what
 * the whole catalogue has, proposed or not. */
static void check_quota_whole(const fx_world *w, const wn_surface *s, const wn_slate *slate,
                              const wn_quota *quota, size_t have) {
  size_t asked = 0, known = 0;
  for (size_t q = 0; q < s->quotas_len; q++) asked += s->quotas[q].min;
  if (s->caps_len + s->pins_len + s->slots_len > 0 || s->floor > 0 || asked > slate->len) return;
  if (quota->where[0] == '\0') return;
  for (wn_item_ix i = 0; i < w->items; i++) known += satisfies(w, quota->where, i);
  assert_true(have >= quota->min || have == known);
}

/* Every quota is kept, or told as not kept with the count that is there. */
static void check_quotas(const fx_world *w, const wn_surface *s, const wn_slate *slate,
                         int64_t now_ms) {
  for (size_t q = 0; q < s->quotas_len; q++) {
    const wn_quota *quota = &s->quotas[q];
    size_t have = 0;
    for (size_t i = 0; i < slate->len; i++)
      have += quota->where[0] != '\0'
                  ? satisfies(w, quota->where, slate->items[i].item)
                  : is_newer(w, slate->items[i].item, now_ms, quota->newer_days);
    check_quota_whole(w, s, slate, quota, have);
    if (have >= quota->min) continue;
    char note[700];
    snprintf(note, sizeof note, "quota of %u (%s): %zu kept", quota->min,
             quota->where[0] != '\0' ? quota->where : "newer than 3 days", have);
    if (!fx_noted(slate->trace, note)) fail_msg("not told: %s", note);
  }
}

/* Each boost whose condition holds multiplies, and no other. */
static void check_boosts(const fx_world *w, const wn_surface *s, const wn_slate *slate) {
  for (size_t i = 0; i < slate->trace->candidates_len; i++) {
    const wn_candidate *candidate = &slate->trace->candidates[i];
    float factor = 1;
    for (size_t b = 0; b < s->boosts_len; b++)
      if (satisfies(w, s->boosts[b].where, candidate->item)) factor *= s->boosts[b].factor;
    assert_float_equal(candidate->boost, factor, 1e-5);
  }
}

static void check_slots(const fx_world *w, const wn_surface *s, const wn_slate *slate) {
  for (size_t k = 0; k < s->slots_len; k++) {
    const wn_slot *slot = &s->slots[k];
    char note[60];
    snprintf(note, sizeof note, "slot at %u not kept", slot->position);
    if (slot->position > slate->len) assert_true(fx_noted(slate->trace, note));
    if (slot->explore || slot->position > slate->len) continue;
    if (slate->items[slot->position - 1].pinned) continue; /* moved up */
    assert_true(satisfies(w, slot->where, slate->items[slot->position - 1].item) ||
                fx_noted(slate->trace, note));
  }
}

/* No value of a capped attribute stands more often than allowed, of a list each; pins and slots
 * count, too. */
static void check_caps(const fx_world *w, const wn_surface *s, const wn_slate *slate) {
  wn_arena arena;
  wn_arena_init(&arena, 1 << 20);
  for (size_t c = 0; c < s->caps_len; c++) {
    const wn_column *column = wn_catalog_column(w->catalog, wn_str_of(s->caps[c].attribute));
    for (size_t i = 0; i < slate->len && column != NULL; i++) {
      wn_values own, other;
      assert_true(wn_values_of(column, slate->items[i].item, &arena, &own));
      for (uint32_t v = 0; v < own.len; v++) {
        size_t same = 0;
        for (size_t k = 0; k < slate->len; k++) {
          assert_true(wn_values_of(column, slate->items[k].item, &arena, &other));
          same += wn_values_hold(&other, wn_values_keys(&own)[v]);
        }
        assert_true(same <= s->caps[c].max);
      }
    }
  }
  wn_arena_clear(&arena);
}

/* A pin stands at its place, further up where the slate is short, or its reason is told. */
static void check_pins(const fx_world *w, const wn_surface *s, const wn_slate *slate, uint32_t n) {
  for (size_t p = 0; p < s->pins_len; p++) {
    const wn_pin *pin = &s->pins[p];
    char kept_not[320], moved[320];
    if (pin->position > n) continue;
    wn_item_ix item = wn_catalog_find(w->catalog, wn_str_of(pin->item));
    size_t at = 0;
    while (at < slate->len && slate->items[at].item != item) at++;
    if (at < slate->len && slate->items[at].pinned && at + 1 == pin->position) continue;
    snprintf(kept_not, sizeof kept_not, "pin of \"%s\" at %u not kept", pin->item, pin->position);
    snprintf(moved, sizeof moved, "pin of \"%s\" moved up from %u to %zu", pin->item, pin->position,
             at + 1);
    if (!fx_noted(slate->trace, at < slate->len && slate->items[at].pinned ? moved : kept_not))
      fail_msg("not told: %s", kept_not);
  }
}

static void check_slate(const wn_surface *s, const wn_slate *slate, uint32_t n) {
  bool enough = slate->trace->candidates_len >= n + 4;
  for (size_t i = 0; i < slate->len; i++) {
    const wn_slate_item *item = &slate->items[i];
    assert_true(item->propensity > 0 && item->propensity <= 1);
    for (size_t k = 0; k < i; k++) assert_true(slate->items[k].item != item->item);
    bool floored = s->floor > 0 && !fx_noted(slate->trace, "floor not kept");
    if (floored && !item->pinned) assert_true(item->score >= s->floor);
  }
  assert_true(slate->len > 0);
  if (slate->len < n && enough) assert_true(s->caps_len > 0 || s->floor > 0);
}

static void test_random_rules(void **state) {
  (void)state;
  fx_world w;
  wn_rng rng;
  wn_history_entry history[12];
  fx_init(&w, 450, 17);
  wn_rng_seed(&rng, 8);
  for (uint32_t h = 0; h < 12; h++) history[h] = (wn_history_entry){h * 31, 1, 1000 - h};
  for (int round = 0; round < 400; round++) {
    wn_surface s;
    wn_error err;
    random_surface(&s, &rng);
    bool clash = wn_surface_validate(&s, &err) != WN_OK; /* a pin where a slot is, capped twice */
    if (clash && strstr(err.field, "slots") == NULL && strstr(err.field, "retrieve") == NULL &&
        strstr(err.field, "pins") == NULL && strstr(err.field, "diversity") == NULL)
      fail_msg("%s: %s", err.field, err.message);
    uint32_t n = 1 + (uint32_t)wn_rng_below(&rng, 30);
    wn_request r = fx_request(&w, &s, n);
    r.query.history = history;
    r.query.history_len = round % 5 == 0 ? 0 : 12;
    r.query.now_ms = 6 * 86400000ll;
    r.query.seed = (uint64_t)round;
    r.explain = true;
    wn_slate slate = fx_run(&r);
    check_slate(&s, &slate, n);
    check_quotas(&w, &s, &slate, r.query.now_ms);
    check_slots(&w, &s, &slate);
    check_boosts(&w, &s, &slate);
    check_caps(&w, &s, &slate);
    check_pins(&w, &s, &slate, n);
  }
  fx_clear(&w);
}

/* A quota that can be kept is kept exactly, from below: nothing else moves. */
static void test_quota(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 300, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 300, 1.0f);
  wn_request r = fx_request(&w, &s, 10);
  r.explain = true;
  wn_slate plain = fx_run(&r);
  wn_item_ix before[10];
  size_t had = 0;
  for (size_t i = 0; i < 10; i++) {
    before[i] = plain.items[i].item;
    had += satisfies(&w, "section == 's1'", before[i]);
  }
  add_quota(&s, "section == 's1'", 0, (uint32_t)had + 3);
  wn_slate slate = fx_run(&r);
  size_t have = 0, same = 0;
  for (size_t i = 0; i < 10; i++) {
    have += satisfies(&w, "section == 's1'", slate.items[i].item);
    same += slate.items[i].item == before[i];
  }
  assert_int_equal(have, had + 3);
  assert_true(same >= 6);
  s.quotas[0].min = 11;
  slate = fx_run(&r);
  assert_int_equal(slate.len, 10);
  assert_true(fx_noted(slate.trace, "quota of 11 (section == 's1'): 10 kept"));
  fx_clear(&w);
}

/* What no generator proposed is asked for, and moves no other score. */
static void test_asked_for(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  float before[10];
  fx_init(&w, 300, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 12, 1.0f);
  wn_request r = fx_request(&w, &s, 10);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  for (size_t i = 0; i < 10; i++) before[i] = slate.trace->candidates[i].score;
  const char *rare = "section == 's1' and 'red' in tags";
  add_quota(&s, rare, 0, 3);
  add_slot(&s, 2, rare);
  add_slot(&s, 4, "section == 's2' and 'red' in tags");
  slate = fx_run(&r);
  size_t have = 0;
  for (size_t i = 0; i < 10; i++) have += satisfies(&w, rare, slate.items[i].item);
  assert_int_equal(have, 3);
  assert_true(satisfies(&w, s.slots[0].where, slate.items[1].item));
  assert_true(satisfies(&w, s.slots[1].where, slate.items[3].item));
  for (size_t i = 0; i < 10; i++)
    assert_float_equal(slate.trace->candidates[i].score, before[i], 0);
  assert_true(slate.trace->generators[0].proposed > 12);
  assert_int_equal(slate.trace->notes_len, 0);
  fx_clear(&w);
}

/* A floor above everything is told and not kept: no empty slate. */
static void test_floor(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 300, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 300, 1.0f);
  s.floor = 0.97f;
  wn_request r = fx_request(&w, &s, 20);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  assert_true(slate.len > 0 && slate.len < 20);
  for (size_t i = 0; i < slate.len; i++) assert_true(slate.items[i].score >= 0.97f);
  assert_true(fx_noted(slate.trace, "floor and caps left"));
  s.floor = 5;
  slate = fx_run(&r);
  assert_int_equal(slate.len, 20);
  assert_true(fx_noted(slate.trace, "floor not kept"));
  fx_clear(&w);
}

/* A rule that cannot do anything says so. */
static void test_told(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 100, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 100, 1.0f);
  fx_cap(&s, "absent", 2);
  fx_diversity(&s, "absent", false, 0.5f);
  add_mix(&s, "absent", WN_MIX_REPEAT, 0.5f);
  add_slot(&s, 2, "section == 'none'");
  add_slot(&s, 3, NULL);
  snprintf(s.slots[1].where, sizeof s.slots[1].where, "section == 'none'");
  add_slot(&s, 15, "section == 's1'");
  fx_pin(&s, "i1", 12);
  wn_request r = fx_request(&w, &s, 10);
  r.explain = true;
  wn_slate slate = fx_run(&r);
  assert_int_equal(slate.len, 10);
  static const char *const notes[] = {"cap on \"absent\" does nothing",
                                      "no diversity: no candidate has the attribute",
                                      "mix by \"absent\" does nothing",
                                      "slot at 2 not kept: nothing for it",
                                      "slot at 3 not kept: nothing for it",
                                      "slot at 15 not kept: the slate ends at 10",
                                      "pin of \"i1\" at 12 not kept: 10 places were asked for"};
  for (size_t i = 0; i < 7; i++)
    if (!fx_noted(slate.trace, notes[i])) fail_msg("not told: %s", notes[i]);
  fx_diversity(&s, "gone", true, 0.5f);
  assert_true(fx_noted(fx_run(&r).trace, "no candidate has a vector of \"gone\""));
  fx_clear(&w);
}

/* Calibrated slates have the history's shares; repeats are pushed down. */
static void test_mixes(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  wn_history_entry history[40];
  size_t len = 0, s1 = 0, shown = 0;
  fx_init(&w, 450, 3);
  for (wn_item_ix i = 0; i < 450 && len < 40; i++) {
    bool one = satisfies(&w, "section == 's1'", i);
    if (one ? s1 == 30 : !satisfies(&w, "section == 's2'", i) || len - s1 == 10) continue;
    s1 += one;
    history[len++] = (wn_history_entry){i, 1, 1000 - (int64_t)i};
  }
  assert_int_equal(len, 40);
  wn_surface_init(&s, "t", WN_FLAVOUR_PERSONAL);
  s.seen_all = false;
  snprintf(s.where, sizeof s.where, "has(section)"); /* the others are no part of the shares */
  fx_generator(&s, "a", 400, 1.0f);
  wn_request r = fx_request(&w, &s, 20);
  r.query.history = history;
  r.query.history_len = len;
  r.explain = true;
  add_mix(&s, "section", WN_MIX_CALIBRATED, 5);
  wn_slate slate = fx_run(&r);
  for (size_t i = 0; i < 20; i++) shown += satisfies(&w, "section == 's1'", slate.items[i].item);
  assert_float_equal((double)shown / 20, (double)s1 / (double)len, 0.08);
  s.mixes[0].kind = WN_MIX_COVERED;
  slate = fx_run(&r);
  assert_true(satisfies(&w, "section == 's1'", slate.items[0].item));
  s.mixes[0] = (wn_mix){.kind = WN_MIX_REPEAT, .weight = 0.2f};
  snprintf(s.mixes[0].attribute, sizeof s.mixes[0].attribute, "section");
  slate = fx_run(&r);
  for (size_t i = 1; i < 4; i++)
    for (int v = 0; v < 5; v++) {
      char where[32];
      snprintf(where, sizeof where, "section == 's%d'", v);
      assert_false(satisfies(&w, where, slate.items[i].item) &&
                   satisfies(&w, where, slate.items[i - 1].item));
    }
  fx_clear(&w);
}

/* Items drawn as often as their propensities say: 1/p of the shown ones adds up to the rounds. */
static void test_propensities(void **state) {
  (void)state;
  enum { ROUNDS = 20000 };
  fx_world w;
  wn_surface s;
  fx_init(&w, 12, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 12, 1.0f);
  wn_request r = fx_request(&w, &s, 3);
  s.temperature = 0.3f;
  add_slot(&s, 3, NULL);
  double first[12] = {0}, third[12] = {0}, count[12] = {0};
  for (int i = 0; i < ROUNDS; i++) {
    r.query.seed = (uint64_t)i;
    wn_slate slate = fx_run(&r);
    first[slate.items[0].item] += 1 / (double)slate.items[0].propensity;
    third[slate.items[2].item] += 1;
    count[slate.items[0].item]++;
    assert_float_equal(slate.items[2].propensity, 0.1f, 1e-6);
  }
  double most = 0;
  for (uint32_t i = 0; i < 12; i++) {
    /* 1/p at most e^(1/.3) · 12; 5 standard errors */
    assert_float_equal(first[i] / ROUNDS, 1, 5 * sqrt(336.0 / ROUNDS));
    assert_true(third[i] > 0);
    most = fmax(most, count[i]);
  }
  assert_true(most < 0.5 * ROUNDS && most > 0.1 * ROUNDS);
  r.query.seed = 5;
  wn_slate a = fx_run(&r);
  wn_item_ix one = a.items[0].item, two = a.items[1].item;
  a = fx_run(&r);
  assert_true(a.items[0].item == one && a.items[1].item == two); /* the seed decides */
  fx_clear(&w);
}

/* Shown slates are judged with the probabilities that drawing has: those of all items at a place
 * add up to 1, and of each slate that was drawn the place's own is what was logged. */
static void test_judged(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fx_init(&w, 12, 3);
  wn_surface_init(&s, "t", WN_FLAVOUR_FLAT);
  fx_generator(&s, "a", 12, 1.0f);
  wn_request r = fx_request(&w, &s, 3);
  s.temperature = 0.3f;
  add_slot(&s, 3, NULL);
  for (uint64_t seed = 0; seed < 50; seed++) {
    r.query.seed = seed;
    r.shown = NULL;
    wn_slate drawn = fx_run(&r);
    wn_item_ix shown[3];
    float chance[3];
    for (size_t i = 0; i < 3; i++) {
      shown[i] = drawn.items[i].item;
      chance[i] = drawn.items[i].propensity;
    }
    r.shown = shown;
    r.shown_len = 3;
    wn_slate judged = fx_run(&r);
    assert_int_equal(judged.len, 3);
    for (size_t i = 0; i < 3; i++) {
      assert_int_equal(judged.items[i].item, shown[i]);
      assert_float_equal(judged.items[i].propensity, chance[i], 1e-6);
    }
    for (size_t at = 0; at < 3; at++) {
      double sum = 0;
      wn_item_ix kept = shown[at];
      for (wn_item_ix item = 0; item < 12; item++) {
        shown[at] = item;
        sum += (double)fx_run(&r).items[at].propensity;
      }
      shown[at] = kept;
      assert_float_equal(sum, 1, 1e-5);
    }
  }
  s.temperature = 0; /* nothing is drawn but the third place: 0 or 1 */
  r.shown = NULL;
  wn_slate own = fx_run(&r);
  wn_item_ix best = own.items[0].item, other[3] = {own.items[1].item, best, own.items[2].item};
  r.shown = other;
  wn_slate judged = fx_run(&r);
  assert_true(judged.items[0].propensity == 0 && judged.items[0].chosen == best);
  assert_true(judged.items[1].propensity == 1); /* what is best of the rest */
  fx_clear(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_rules), cmocka_unit_test(test_quota),
      cmocka_unit_test(test_asked_for),    cmocka_unit_test(test_floor),
      cmocka_unit_test(test_mixes),        cmocka_unit_test(test_told),
      cmocka_unit_test(test_propensities), cmocka_unit_test(test_judged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
