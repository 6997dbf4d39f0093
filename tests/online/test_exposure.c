/* Impressions and their answers: counts, claims, attribution, the ring, fatigue; against a twin
 * that keeps everything. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "online/exposure.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define HOUR INT64_C(3600000)

static wn_exposure *make(size_t impressions_max) {
  wn_exposure_options options;
  wn_exposure_options_defaults(&options);
  options.impressions_max = impressions_max;
  wn_exposure *e = wn_exposure_create(&options);
  assert_non_null(e);
  return e;
}

static void show(wn_exposure *e, const char *id, const char *user, int64_t time_ms,
                 const wn_item_ix *items, size_t len) {
  wn_error err = {0};
  const wn_exposed_slate slate = {.id = wn_str_of(id),
                                  .surface = WN_STR("home"),
                                  .user = user != NULL ? wn_str_of(user) : (wn_str){0},
                                  .time_ms = time_ms,
                                  .items = items,
                                  .len = len};
  assert_int_equal(wn_exposure_add(e, &slate, NULL, 0, NULL, &err), WN_OK);
}

static wn_tally of(wn_exposure *e, const char *surface, wn_item_ix item) {
  wn_tally out;
  wn_exposure_tally(e, wn_str_of(surface), &item, 1, &out, NULL);
  return out;
}

static double tired(wn_exposure *e, const char *user, wn_item_ix item, int64_t now_ms) {
  wn_before out;
  const wn_exposure_whom whom = {WN_STR("home"), wn_str_of(user), {now_ms, (double)HOUR, false}};
  wn_exposure_before(e, &whom, &item, 1, &out);
  wn_exposure_whom all = whom;
  wn_before anywhere;
  all.ask.everywhere = true; /* at least as much */
  wn_exposure_before(e, &all, &item, 1, &anywhere);
  assert_true(anywhere.times >= out.times && anywhere.faded >= out.faded);
  assert_true(out.last_ms <= anywhere.last_ms);
  return (double)out.faded;
}

static void test_counts(void **state) {
  (void)state;
  wn_exposure *e = make(1000);
  const wn_item_ix a[] = {1, 2, 3}, b[] = {3, 4};
  show(e, "s1", "ann", 0, a, 3);
  show(e, "s1", "ann", 0, a, 3); /* known already */
  show(e, "s2", NULL, HOUR, b, 2);
  assert_int_equal(of(e, "home", 3).shown, 2);
  assert_int_equal(of(e, "feed", 3).shown, 0);
  wn_exposure_answer(e, WN_STR("s2"), (wn_str){0}, 3, HOUR);
  wn_exposure_answer(e, WN_STR("s2"), (wn_str){0}, 3, HOUR); /* once */
  wn_exposure_answer(e, WN_STR("s2"), (wn_str){0}, 9, HOUR); /* was not in it */
  wn_exposure_answer(e, WN_STR("none"), WN_STR("ann"), 1, HOUR);
  assert_int_equal(of(e, "home", 3).answered, 1);
  assert_int_equal(of(e, "home", 1).answered, 0);
  wn_exposure_withdraw(e, WN_STR("s1"));
  wn_exposure_withdraw(e, WN_STR("s1"));
  assert_int_equal(of(e, "home", 3).shown, 1);
  assert_int_equal(of(e, "home", 1).shown, 0);
  wn_tally all, one;
  wn_exposure_tally(e, WN_STR("home"), a, 1, &one, &all);
  assert_int_equal(all.shown, 2);
  assert_int_equal(all.answered, 1);
  assert_true(wn_exposure_bytes(e) > 0);
  wn_exposure_free(e);
}

/* A named slate, else the last that showed the item to the user within 24 hours before. */
static void test_attribution(void **state) {
  (void)state;
  wn_exposure *e = make(1000);
  const wn_item_ix a[] = {1, 2}, b[] = {2, 3};
  show(e, "s1", "ann", 0, a, 2);
  show(e, "s2", "ann", 2 * HOUR, b, 2);
  show(e, "s3", "bob", 3 * HOUR, a, 2);
  wn_exposure_answer(e, (wn_str){0}, WN_STR("ann"), 1, 25 * HOUR); /* too late */
  wn_exposure_answer(e, (wn_str){0}, WN_STR("ann"), 3, HOUR);      /* too early */
  assert_int_equal(of(e, "home", 1).answered + of(e, "home", 3).answered, 0);
  wn_exposure_answer(e, (wn_str){0}, WN_STR("ann"), 2, HOUR);     /* of s1 */
  wn_exposure_answer(e, (wn_str){0}, WN_STR("ann"), 2, 3 * HOUR); /* of s2 */
  wn_exposure_answer(e, (wn_str){0}, WN_STR("ann"), 2, 4 * HOUR);
  assert_int_equal(of(e, "home", 2).answered, 2);
  wn_exposure_forget(e, WN_STR("bob"));
  wn_exposure_answer(e, (wn_str){0}, WN_STR("bob"), 1, 4 * HOUR);
  assert_int_equal(of(e, "home", 1).answered, 0);
  assert_int_equal(of(e, "home", 1).shown, 2); /* counts stay */
  wn_exposure_free(e);
}

/* Shown again and again: down; time restores; an answer makes up for what came before it. */
static void test_repeats(void **state) {
  (void)state;
  wn_exposure *e = make(1000);
  const wn_item_ix a[] = {1, 2};
  char id[8];
  for (int i = 0; i < 4; i++) {
    snprintf(id, sizeof id, "s%d", i);
    show(e, id, "ann", 0, a, 2);
    assert_float_equal(tired(e, "ann", 1, 0), i + 1, 1e-6);
  }
  assert_float_equal(tired(e, "ann", 1, HOUR), 2, 1e-6);
  assert_float_equal(tired(e, "ann", 1, 10 * HOUR), 4.0 / 1024, 1e-6);
  assert_float_equal(tired(e, "bob", 1, 0), 0, 0);
  wn_exposure_answer(e, WN_STR("s2"), (wn_str){0}, 1, HOUR);
  assert_float_equal(tired(e, "ann", 1, 0), 1, 1e-6); /* s3 alone */
  assert_float_equal(tired(e, "ann", 2, 0), 4, 1e-6);
  wn_exposure_forget(e, WN_STR("ann"));
  assert_float_equal(tired(e, "ann", 2, 0), 0, 0);
  wn_exposure_free(e);
}

/* As many threads of a mind, so many claims: the limit holds. */
static void test_claims(void **state) {
  (void)state;
  wn_exposure *e = make(1000);
  wn_error err = {0};
  const wn_item_ix item = 7;
  size_t taken = 0;
  for (int i = 0; i < 20; i++) {
    char id[8];
    bool refused;
    snprintf(id, sizeof id, "s%d", i);
    const wn_exposed_slate slate = {
        .id = wn_str_of(id), .surface = WN_STR("home"), .items = &item, .len = 1};
    const wn_exposure_claim claim = {item, 5};
    assert_int_equal(wn_exposure_add(e, &slate, &claim, 1, &refused, &err), WN_OK);
    taken += !refused;
  }
  assert_int_equal(taken, 5);
  assert_int_equal(of(e, "home", item).shown, 5);
  wn_exposure_free(e);
}

/* Random slates, answers and withdrawals of a ring that is large enough, and one that is not. */
static void test_twin(void **state) {
  (void)state;
  enum { USERS = 5, ITEMS = 40, SLATES = 600, LEN = 4 };
  struct {
    wn_item_ix items[LEN];
    bool answered[LEN], gone;
    unsigned user;
    int64_t time_ms;
  } twin[SLATES];
  static const char *const users[USERS] = {"a", "b", "c", "d", "e"};
  for (size_t cap = 5000; cap >= 100; cap /= 50) {
    wn_exposure *e = make(cap);
    wn_rng rng;
    wn_rng_seed(&rng, cap);
    for (size_t n = 0; n < SLATES; n++) {
      char id[8];
      twin[n].user = (unsigned)wn_rng_below(&rng, USERS);
      twin[n].time_ms = (int64_t)n * HOUR / 10;
      twin[n].gone = false;
      for (size_t i = 0; i < LEN; i++) {
        twin[n].items[i] = (wn_item_ix)(10 * i + wn_rng_below(&rng, 10));
        twin[n].answered[i] = false;
      }
      snprintf(id, sizeof id, "%zu", n);
      show(e, id, users[twin[n].user], twin[n].time_ms, twin[n].items, LEN);
      size_t of_slate = n - (size_t)wn_rng_below(&rng, n < 20 ? n + 1 : 20);
      snprintf(id, sizeof id, "%zu", of_slate);
      if (wn_rng_below(&rng, 3) == 0 && !twin[of_slate].gone) {
        size_t i = (size_t)wn_rng_below(&rng, LEN);
        wn_exposure_answer(e, wn_str_of(id), (wn_str){0}, twin[of_slate].items[i], 0);
        twin[of_slate].answered[i] = true;
      }
      if (wn_rng_below(&rng, 30) == 0 && of_slate == n) {
        wn_exposure_withdraw(e, wn_str_of(id));
        twin[n].gone = true;
      }
      size_t kept = cap < SLATES * LEN ? cap / LEN : SLATES,
             first = n + 1 > kept ? n + 1 - kept : 0;
      wn_item_ix item = (wn_item_ix)wn_rng_below(&rng, ITEMS);
      unsigned user = (unsigned)wn_rng_below(&rng, USERS);
      uint64_t shown = 0, answered = 0;
      double repeats = 0;
      for (size_t m = 0; m <= n; m++)
        for (size_t i = 0; i < LEN && !twin[m].gone; i++) {
          if (twin[m].items[i] != item) continue;
          shown++;
          answered += twin[m].answered[i];
          if (m < first || twin[m].user != user) continue;
          repeats =
              twin[m].answered[i]
                  ? 0
                  : repeats + exp2(-(double)(twin[n].time_ms - twin[m].time_ms) / (double)HOUR);
        }
      assert_int_equal(of(e, "home", item).shown, shown);
      assert_int_equal(of(e, "home", item).answered, answered); /* of the newest 20: in the ring */
      assert_float_equal(tired(e, users[user], item, twin[n].time_ms), repeats, 1e-4);
      uint64_t words[1] = {(UINT64_C(1) << ITEMS) - 1};
      wn_bitset set = {words, ITEMS};
      wn_error err = {0};
      assert_int_equal(wn_exposure_cold(e, WN_STR("home"), 20, &set, &err), WN_OK);
      assert_int_equal(wn_bitset_test(&set, item), shown < 20);
    }
    wn_exposure_free(e);
  }
}

/* The sums are the same bits in whatever order slates come, and what is taken back leaves none. */
static void test_linear(void **state) {
  (void)state;
  enum { SLATES = 200, LEN = 3 };
  static wn_context_row rows[SLATES][LEN];
  wn_linear got[2];
  wn_rng rng;
  wn_error err = {0};
  wn_rng_seed(&rng, 4);
  for (size_t n = 0; n < SLATES; n++)
    for (size_t i = 0; i < LEN; i++)
      for (size_t k = 0; k < WN_LINEAR; k++)
        rows[n][i].x[k] = (int16_t)((int)wn_rng_below(&rng, 8192) - 4096);
  memset(&rows[7][1], 0, sizeof rows[7][1]); /* not seen by the bandit */
  for (size_t order = 0; order < 2; order++) {
    wn_exposure *e = make(10000);
    for (size_t m = 0; m <= SLATES; m++) {
      size_t n = order == 0 ? m : SLATES - m;
      const wn_item_ix items[LEN] = {1, 2, 3};
      char id[8];
      snprintf(id, sizeof id, "%zu", n);
      const wn_exposed_slate slate = {
          .id = wn_str_of(id),
          .surface = WN_STR("home"),
          .items = items,
          .len = LEN,
          .context = {(const char *)rows[n < SLATES ? n : 0], sizeof rows[0]}};
      assert_int_equal(wn_exposure_add(e, &slate, NULL, 0, NULL, &err), WN_OK);
      if (n % 3 == 0) wn_exposure_answer(e, wn_str_of(id), (wn_str){0}, 2, 0);
      if (n == SLATES) wn_exposure_withdraw(e, wn_str_of(id));
    }
    wn_exposure_linear(e, WN_STR("home"), &got[order]);
    wn_exposure_free(e);
  }
  assert_int_equal(got[0].shown, SLATES * LEN - 1);
  assert_memory_equal(&got[0], &got[1], sizeof got[0]);
  double a = 0, b = 0;
  for (size_t n = 0; n < SLATES; n++) {
    for (size_t i = 0; i < LEN; i++) a += (double)rows[n][i].x[4] * rows[n][i].x[2];
    if (n % 3 == 0) b += rows[n][1].x[9];
  }
  assert_true(got[0].a[4][2] == a && got[0].b[9] == b);
}

static void test_memory(void **state) {
  (void)state;
  wn_exposure_options options;
  wn_exposure_options_defaults(&options);
  options.impressions_max = 100;
  bool whole = false;
  for (long n = 0; !whole; n++) {
    wn_error err = {0};
    wn_item_ix items[50];
    static wn_context_row rows[50];
    uint64_t words[1] = {~UINT64_C(0)};
    wn_bitset set = {words, 60};
    wn_mem_fail_after(n);
    wn_exposure *e = wn_exposure_create(&options);
    wn_status status = e == NULL ? WN_E_MEMORY : WN_OK;
    for (uint32_t k = 0; k < 6 && status == WN_OK; k++) {
      char id[8];
      snprintf(id, sizeof id, "s%u", k);
      for (uint32_t i = 0; i < 50; i++) items[i] = k * 20 + i;
      const wn_exposed_slate slate = {.id = wn_str_of(id),
                                      .surface = WN_STR("home"),
                                      .user = WN_STR("ann"),
                                      .items = items,
                                      .len = 50,
                                      .context = {(const char *)rows, sizeof rows}};
      status = wn_exposure_add(e, &slate, NULL, 0, NULL, &err);
      if (status == WN_OK) status = wn_exposure_cold(e, WN_STR("home"), 1, &set, &err);
    }
    wn_mem_fail_after(-1);
    whole = status == WN_OK;
    assert_true(whole || status == WN_E_MEMORY);
    wn_exposure_free(e);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_counts),  cmocka_unit_test(test_attribution),
      cmocka_unit_test(test_repeats), cmocka_unit_test(test_claims),
      cmocka_unit_test(test_twin),    cmocka_unit_test(test_memory),
      cmocka_unit_test(test_linear),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
