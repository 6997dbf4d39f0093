/* What exploration draws against what it logs: each slate as often as the product of its items'
 * propensities says, for every policy alone and together. WINNOW_EXPLORE_SLATES: slates a policy,
 * default 6,000; 10⁶ was run once (src/funnel/README.md). WINNOW_EXPLORE_POLICY: those whose name
 * holds this alone. */
#include "fixture.h"
#include "funnel/diversity.h"

#include "base/map64.h"

#define ITEMS 9
#define N     3

/* Every item was shown so often, and answered. */
typedef struct fake {
  wn_tally of[ITEMS];
  float repeats[ITEMS];
} fake;

static void tally(void *ctx, const wn_item_ix *items, size_t len, wn_tally *out, wn_tally *all) {
  const fake *f = ctx;
  wn_tally sum = {0, 0};
  for (size_t i = 0; i < ITEMS; i++) {
    sum.shown += f->of[i].shown;
    sum.answered += f->of[i].answered;
  }
  for (size_t i = 0; i < len; i++) out[i] = f->of[items[i]];
  if (all != NULL) *all = sum;
}

static wn_status cold(void *ctx, uint32_t below, wn_bitset *set, wn_error *err) {
  const fake *f = ctx;
  (void)err;
  for (size_t i = 0; i < ITEMS; i++)
    if (f->of[i].shown >= below) wn_bitset_unset(set, i);
  return WN_OK;
}

static void before(void *ctx, const wn_before_ask *ask, const wn_item_ix *items, size_t len,
                   wn_before *out) {
  const fake *f = ctx;
  (void)ask;
  for (size_t i = 0; i < len; i++)
    out[i] = (wn_before){f->repeats[items[i]] > 0, f->repeats[items[i]], 1};
}

/* What some hundred slates would have taught. */
static void linear(void *ctx, wn_linear *out) {
  wn_rng rng;
  (void)ctx;
  wn_rng_seed(&rng, 11);
  *out = (wn_linear){.shown = 100};
  for (size_t n = 0; n < 100; n++) {
    double x[WN_LINEAR];
    for (size_t i = 0; i < WN_LINEAR; i++) x[i] = floor(1024 * wn_rng_double(&rng));
    for (size_t i = 0; i < WN_LINEAR; i++) {
      for (size_t j = 0; j <= i; j++) out->a[i][j] += x[i] * x[j];
      if (n % 4 == 0) out->b[i] += x[i];
    }
  }
}

static long slates_wanted(void) {
  const char *text = getenv("WINNOW_EXPLORE_SLATES");
  return text != NULL ? atol(text) : 6000;
}

typedef struct outcome {
  double chi2, cells, probability; /* of the slates that were met */
} outcome;

/* Pearson's X² of the slates' counts against their logged probabilities; those that are expected
 * fewer than 5 times make one cell. */
static outcome measure(wn_request *r, long slates) {
  wn_map64 count = {0}, log_p = {0};
  outcome out = {0};
  double rare = 0, rare_p = 1;
  for (long i = 0; i < slates; i++) {
    uint64_t key = 0, bits;
    double p = 1;
    r->query.seed = (uint64_t)i;
    wn_arena_reset(r->query.arena);
    wn_slate slate = fx_run(r);
    for (size_t k = 0; k < slate.len; k++) {
      key = key * (ITEMS + 1) + slate.items[k].item + 1;
      p *= (double)slate.items[k].propensity;
      assert_true(slate.items[k].propensity > 0 && slate.items[k].propensity <= 1);
    }
    memcpy(&bits, &p, sizeof bits);
    ++*wn_map64_at(&count, key);
    uint64_t *known = wn_map64_at(&log_p, key);
    if (*wn_map64_find(&count, key) > 1) assert_true(*known == bits); /* the same each time */
    *known = bits;
  }
  uint64_t key, n;
  size_t at = 0;
  while (wn_map64_next(&count, &at, &key, &n)) {
    double p;
    memcpy(&p, wn_map64_find(&log_p, key), sizeof p);
    double expected = p * (double)slates, off = (double)n - expected;
    out.probability += p;
    if (expected < 5) {
      rare += (double)n;
      continue;
    }
    rare_p -= p;
    out.chi2 += off * off / expected;
    out.cells++;
  }
  double expected = rare_p * (double)slates;
  if (expected >= 5) {
    out.chi2 += (rare - expected) * (rare - expected) / expected;
    out.cells++;
  } else {
    assert_true(rare < expected + 6 * sqrt(expected + 1) + 1e-3 * (double)slates);
  }
  wn_map64_clear(&count);
  wn_map64_clear(&log_p);
  return out;
}

/* Wilson and Hilferty: standard deviations by which X² is too large. */
static double too_large(const outcome *o) {
  double dof = o->cells - 1, v = 2 / (9 * dof);
  return dof < 1 ? 0 : (cbrt(o->chi2 / dof) - (1 - v)) / sqrt(v);
}

static wn_slot *slot(wn_surface *s, uint32_t position, wn_explore explore, float share) {
  wn_slot *at = &s->slots[s->slots_len++];
  *at = WN_SLOT_DEFAULT;
  at->position = position;
  at->explore = explore;
  at->share = share;
  if (explore == WN_EXPLORE_COLD) at->impressions = 10;
  return at;
}

static void epsilon(wn_surface *s) {
  slot(s, 2, WN_EXPLORE_RANDOM, 0.3f);
}
static void every(wn_surface *s) {
  slot(s, 3, WN_EXPLORE_RANDOM, 1);
}
static void luce(wn_surface *s) {
  s->temperature = 0.3f;
}
static void budget(wn_surface *s) {
  slot(s, 2, WN_EXPLORE_COLD, 0.4f);
}
static void budgets(wn_surface *s) {
  slot(s, 1, WN_EXPLORE_COLD, 0.5f);
  slot(s, 3, WN_EXPLORE_COLD, 1);
}
/* Item 0 is cold; where it stands already, four of those on trial. */
static void trial(wn_surface *s) {
  slot(s, 1, WN_EXPLORE_COLD, 0.7f)->impressions = 1;
  wn_slot *on_trial = slot(s, 3, WN_EXPLORE_COLD, 0.8f);
  on_trial->impressions = 1;
  on_trial->impressions_max = 60;
  on_trial->among = 4;
  on_trial->prior = 200;
}
static void budget_luce_random(wn_surface *s) {
  s->temperature = 0.5f;
  slot(s, 1, WN_EXPLORE_COLD, 0.25f);
  slot(s, 3, WN_EXPLORE_RANDOM, 0.5f);
}
static void budget_capped(wn_surface *s) {
  fx_cap(s, "section", 1);
  fx_diversity(s, "vec", true, 0.5f);
  slot(s, 2, WN_EXPLORE_COLD, 0.5f);
}

static void thompson_slot(wn_surface *s) {
  slot(s, 2, WN_EXPLORE_THOMPSON, 0.6f)->among = 5;
}
static void thompson(wn_surface *s) {
  s->bandit.explore = WN_EXPLORE_THOMPSON;
}
static void linucb(wn_surface *s) {
  s->bandit.explore = WN_EXPLORE_LINUCB;
  s->bandit.share = 0.8f;
  slot(s, 2, WN_EXPLORE_RANDOM, 0.5f);
}
static void linear_slot(wn_surface *s) {
  slot(s, 1, WN_EXPLORE_LINEAR, 0.6f);
  slot(s, 3, WN_EXPLORE_LINUCB, 0.5f);
}
static void linear_slate(wn_surface *s) {
  s->bandit.explore = WN_EXPLORE_LINEAR;
  slot(s, 2, WN_EXPLORE_COLD, 0.3f);
}
static void thompson_everything(wn_surface *s) {
  thompson(s);
  s->bandit.share = 0.7f;
  s->bandit.prior = 2;
  slot(s, 1, WN_EXPLORE_RANDOM, 0.3f);
  slot(s, 2, WN_EXPLORE_COLD, 0.4f);
}

static const struct policy {
  const char *name;
  void (*declare)(wn_surface *s);
} policies[] = {{"random slot, share .3", epsilon},
                {"random slot", every},
                {"Plackett-Luce", luce},
                {"cold slot, share .4", budget},
                {"two cold slots", budgets},
                {"cold, then on trial", trial},
                {"cold, Plackett-Luce, random", budget_luce_random},
                {"cold under caps", budget_capped},
                {"Thompson slot, share .6", thompson_slot},
                {"Thompson slate", thompson},
                {"Thompson .7, random, cold", thompson_everything},
                {"LinUCB .8, random", linucb},
                {"linear Thompson and LinUCB slots", linear_slot},
                {"linear Thompson slate, cold", linear_slate}};

static void init(fx_world *w, wn_surface *s, fake *f) {
  fx_init(w, ITEMS, 3);
  wn_surface_init(s, "t", WN_FLAVOUR_FLAT);
  fx_model_named(w, "a")->knows = ITEMS - 2; /* two that nobody proposes */
  s->short_slates = true;
  fx_generator(s, "a", ITEMS, 1.0f);
  for (size_t i = 0; i < ITEMS; i++) {
    f->of[i] = (wn_tally){i % 2 == 0 ? i : 30 + 10 * i, i};
    f->repeats[i] = 0;
  }
}

static void test_frequencies(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
    const char *only = getenv("WINNOW_EXPLORE_POLICY");
    if (only != NULL && strstr(policies[i].name, only) == NULL) continue;
    fx_world w;
    wn_surface s;
    fake f;
    const wn_exposed exposed = {
        .ctx = &f, .tally = tally, .cold = cold, .before = before, .linear = linear};
    init(&w, &s, &f);
    policies[i].declare(&s);
    wn_error err = {0};
    for (size_t g = 0; g < s.generators_len; g++)
      snprintf(s.generators[g].model, sizeof s.generators[g].model, "popular");
    assert_int_equal(s.diversity_by[0] != '\0' ? WN_OK : wn_surface_validate(&s, &err), WN_OK);
    snprintf(s.generators[0].model, sizeof s.generators[0].model, "a");
    wn_request r = fx_request(&w, &s, N);
    r.exposed = &exposed;
    outcome o = measure(&r, slates_wanted());
    printf(
        "%s: X2 %.1f of %.0f cells, %+.2f deviations; logged probability of the slates met %.4f\n",
        policies[i].name, o.chi2, o.cells, too_large(&o), o.probability);
    fflush(stdout);
    assert_true(o.cells >= 2);
    assert_true(too_large(&o) < 4);
    assert_true(o.probability > 0.98 && o.probability < 1 + 1e-5);
    fx_clear(&w);
  }
}

/* Only what is cold, allowed and not capped; the shares as declared; nothing when nothing is cold.
 */
static void test_cold(void **state) {
  (void)state;
  enum { ROUNDS = 2000 };
  fx_world w;
  wn_surface s;
  fake f;
  const wn_exposed exposed = {
      .ctx = &f, .tally = tally, .cold = cold, .before = before, .linear = linear};
  init(&w, &s, &f);
  slot(&s, 2, WN_EXPLORE_COLD, 0.5f);
  wn_request r = fx_request(&w, &s, N);
  r.exposed = &exposed;
  const wn_item_ix exclude[] = {0};
  r.exclude = exclude;
  r.exclude_len = 1;
  size_t put = 0, beyond = 0;
  for (uint64_t i = 0; i < ROUNDS; i++) {
    r.query.seed = i;
    wn_arena_reset(r.query.arena);
    wn_slate slate = fx_run(&r);
    assert_int_equal(slate.len, N);
    const wn_slate_item *at = &slate.items[1];
    if (at->explored != WN_EXPLORE_COLD) continue;
    assert_true(f.of[at->item].shown < 10 && at->item != 0);
    assert_int_equal(at->below, 10);
    beyond += at->sources == 0;
    put++;
  }
  assert_true(put > ROUNDS / 2 - 5 * 23 && put < ROUNDS / 2 + 5 * 23);
  assert_true(beyond > 0 && beyond < put); /* 8, which nobody proposes, is one of them */
  for (size_t i = 0; i < ITEMS; i++) f.of[i].shown = i >= ITEMS - 1 ? 0 : 10;
  wn_slate slate = fx_run(&r);
  for (r.query.seed = 0; slate.items[1].explored != WN_EXPLORE_COLD; r.query.seed++)
    slate = fx_run(&r);
  assert_true(slate.items[1].item == ITEMS - 1 && slate.items[1].sources == 0);
  assert_float_equal(slate.items[1].propensity, 0.5, 1e-6);
  wn_catalog_set_status(w.catalog, ITEMS - 1, WN_ITEM_HIDDEN);
  for (r.query.seed = 0; r.query.seed < 50; r.query.seed++) {
    slate = fx_run(&r);
    assert_true(slate.items[1].explored == WN_EXPLORE_NONE && slate.items[1].propensity == 1);
  }
  fx_clear(&w);
}

/* On trial only when nothing is cold: what was shown less than the most, mostly what was answered.
 */
static void test_trial(void **state) {
  (void)state;
  enum { ROUNDS = 1000 };
  fx_world w;
  wn_surface s;
  fake f;
  const wn_exposed exposed = {
      .ctx = &f, .tally = tally, .cold = cold, .before = before, .linear = linear};
  init(&w, &s, &f);
  slot(&s, 2, WN_EXPLORE_COLD, 1)->impressions_max = 40;
  wn_request r = fx_request(&w, &s, N);
  r.exposed = &exposed;
  for (size_t i = 0; i < ITEMS; i++) f.of[i] = (wn_tally){100, 20};
  f.of[4] = (wn_tally){30, 6};
  f.of[ITEMS - 1] = (wn_tally){39, 30}; /* nobody proposes it */
  size_t put[2] = {0, 0};
  for (r.query.seed = 0; r.query.seed < ROUNDS; r.query.seed++) {
    wn_arena_reset(r.query.arena);
    wn_slate slate = fx_run(&r);
    const wn_slate_item *at = &slate.items[1];
    if (slate.items[0].item == 4) assert_int_equal(at->item, ITEMS - 1);
    assert_true(at->item == 4 || at->item == ITEMS - 1);
    assert_true(at->explored == WN_EXPLORE_COLD && at->below == 40);
    put[at->item == 4]++;
  }
  assert_true(put[0] > ROUNDS * 9 / 10);
  f.of[7].shown = 9; /* cold again */
  wn_slate slate = fx_run(&r);
  assert_true(slate.items[1].item == 7 && slate.items[1].below == 10);
  for (size_t i = 0; i < ITEMS; i++) f.of[i].shown = 40;
  slate = fx_run(&r);
  assert_int_equal(slate.items[1].explored, WN_EXPLORE_NONE);
  fx_clear(&w);
}

/* An item that was put, or not, is judged with the probability that it had. */
static void test_judged(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fake f;
  const wn_exposed exposed = {
      .ctx = &f, .tally = tally, .cold = cold, .before = before, .linear = linear};
  for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
    init(&w, &s, &f);
    policies[i].declare(&s);
    wn_request r = fx_request(&w, &s, N);
    r.exposed = &exposed;
    for (r.query.seed = 0; r.query.seed < 60; r.query.seed++) {
      wn_item_ix shown[N];
      r.shown = NULL;
      wn_arena_reset(r.query.arena);
      wn_slate drawn = fx_run(&r);
      for (size_t k = 0; k < drawn.len; k++) shown[k] = drawn.items[k].item;
      r.shown = shown;
      r.shown_len = drawn.len;
      wn_slate judged = fx_run(&r);
      for (size_t k = 0; k < drawn.len; k++)
        assert_float_equal(judged.items[k].propensity, drawn.items[k].propensity, 1e-6);
    }
    fx_clear(&w);
  }
}

/* What was shown in vain goes down by its factor, and its place in the slate with it. */
static void test_fatigue(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fake f;
  const wn_exposed exposed = {
      .ctx = &f, .tally = tally, .cold = cold, .before = before, .linear = linear};
  init(&w, &s, &f);
  s.fatigue_rate = 0.2f;
  wn_request r = fx_request(&w, &s, N);
  r.explain = true;
  r.exposed = &exposed;
  wn_slate fresh = fx_run(&r);
  wn_item_ix first = fresh.items[0].item, second = fresh.items[1].item;
  float factor = powf(0.8f, 2.5f), score = fresh.items[0].score * factor;
  f.repeats[first] = 2.5f;
  wn_slate tired = fx_run(&r);
  size_t found = 0;
  for (size_t i = 0; i < tired.trace->candidates_len; i++) {
    const wn_candidate *c = &tired.trace->candidates[i];
    assert_float_equal(c->fatigue, c->item == first ? factor : 1, 1e-6);
    if (c->item != first) continue;
    assert_float_equal(c->score, score, 1e-5);
    assert_int_equal(c->rank_scored, i + 1);
    found++;
  }
  assert_int_equal(found, 1);
  assert_true(tired.items[0].item == second);
  assert_true(fx_noted(tired.trace, "fatigue: 1 candidates were shown in vain"));
  s.fatigue_rate = 0;
  assert_true(fx_run(&r).items[0].item == first);
  fx_clear(&w);
}

/* Every limit of the arena: a clean error, nothing leaked. */
static void test_memory(void **state) {
  (void)state;
  fx_world w;
  wn_surface s;
  fake f;
  const wn_exposed exposed = {
      .ctx = &f, .tally = tally, .cold = cold, .before = before, .linear = linear};
  for (size_t i = 0; i < sizeof policies / sizeof *policies; i++) {
    size_t failed = 0;
    bool whole = false;
    init(&w, &s, &f);
    policies[i].declare(&s);
    s.fatigue_rate = 0.1f;
    for (size_t limit = 1000; !whole; limit += 3000) {
      wn_slate slate;
      wn_error err;
      wn_arena_clear(&w.arena);
      wn_arena_init(&w.arena, limit);
      wn_request r = fx_request(&w, &s, N);
      r.exposed = &exposed;
      wn_status status = wn_funnel_run(&r, &slate, &err);
      whole = status == WN_OK;
      assert_true(whole ? slate.len == N : status == WN_E_MEMORY);
      failed += !whole;
    }
    assert_true(failed > 0);
    fx_clear(&w);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_frequencies), cmocka_unit_test(test_cold),
      cmocka_unit_test(test_trial),       cmocka_unit_test(test_judged),
      cmocka_unit_test(test_fatigue),     cmocka_unit_test(test_memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
