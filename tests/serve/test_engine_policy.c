/* The configuration is replaced while it serves. Claims: every slate is wholly of one policy, the
 * one that served when it began or a later one; none fails; what was replaced is freed when its
 * last request ends (ASan, TSan). And what may not be replaced under way. */

#include "engine_fixture.h"

#include "serve/engine_internal.h"
#include <pthread.h>

enum { READERS = 3, SWAPS = 400 };

/* Length and first item tell the two apart; the second has a surface more. */
static const char one[] =
    "surfaces:\n  home:\n    n: 5\n    filter:\n      seen: none\n    order:\n"
    "      pins: [{item: i2, position: 1}]\n";
static const char two[] =
    "surfaces:\n  home:\n    n: 7\n    filter:\n      seen: none\n    order:\n"
    "      pins: [{item: i4, position: 1}]\n  extra:\n    flavour: flat\n"
    "    n: 3\n    retrieve:\n      - {model: popular, quota: 50}\n";

static wn_policy *policy_of(const char *yaml) {
  wn_error err = {0};
  wn_config config;
  assert_ok(wn_config_parse(wn_str_of(yaml), "test.yaml", &config, &err));
  wn_policy *policy = wn_policy_create(&config);
  assert_non_null(policy);
  wn_config_clear(&config);
  return policy;
}

typedef struct stage {
  world w;
  atomic_bool stop;
  atomic_int slates, mixed, failed, seen[2];
} stage;

static void *read_slates(void *arg) {
  stage *s = arg;
  for (unsigned i = 0; !atomic_load(&s->stop); i++) {
    char user[16];
    snprintf(user, sizeof user, "u%u", i % USERS);
    slate got = ask_with(&s->w, (wn_slate_request){.surface = WN_STR("home"),
                                                   .user = wn_str_of(user),
                                                   .explain = i % 5 == 0,
                                                   .log = i % 2 == 0});
    bool first = got.answer.len == 5 && wn_str_is(got.answer.items[0].id, "i2");
    bool second = got.answer.len == 7 && wn_str_is(got.answer.items[0].id, "i4");
    atomic_fetch_add(&s->failed, got.status != WN_OK);
    atomic_fetch_add(&s->mixed, got.status == WN_OK && !first && !second);
    atomic_fetch_add(&s->seen[second], got.status == WN_OK);
    /* Names outlive the policy that they come from. */
    atomic_fetch_add(&s->mixed, !wn_str_is(got.answer.surface, "home"));
    for (size_t g = 0; g < got.answer.source_count; g++)
      atomic_fetch_add(&s->mixed, got.answer.source_names[g].len == 0);
    atomic_fetch_add(&s->slates, 1);
    slate_clear(&got);
  }
  return NULL;
}

static void wait_for(atomic_int *count, int least) {
  while (atomic_load(count) < least) usleep(1000);
}

static void test_swap_under_load(void **state) {
  (void)state;
  static stage s;
  pthread_t readers[READERS];
  wn_error err = {0};
  world_ready(&s.w, one);
  for (int i = 0; i < READERS; i++)
    assert_int_equal(pthread_create(&readers[i], NULL, read_slates, &s), 0);
  for (int i = 1; i <= SWAPS; i++) {
    assert_ok(wn_engine_policy_swap(s.w.engine, policy_of(i % 2 == 1 ? two : one), &err));
    /* From time to time each policy serves for a while. */
    if (i % 50 < 2) wait_for(&s.slates, atomic_load(&s.slates) + 2 * READERS);
  }
  atomic_store(&s.stop, true);
  for (int i = 0; i < READERS; i++) pthread_join(readers[i], NULL);
  print_message("%d slates over %d swaps\n", atomic_load(&s.slates), SWAPS);
  assert_int_equal(atomic_load(&s.failed), 0);
  assert_int_equal(atomic_load(&s.mixed), 0);
  assert_true(atomic_load(&s.seen[0]) > 0 && atomic_load(&s.seen[1]) > 0);
  world_remove(&s.w);
}

static void test_surfaces_come_and_go(void **state) {
  (void)state;
  world w;
  wn_error err = {0};
  world_ready(&w, one);
  slate got = ask_with(&w, (wn_slate_request){.surface = WN_STR("extra")});
  assert_int_equal(got.status, WN_E_NOT_FOUND);
  slate_clear(&got);
  uint64_t before = w.engine->policy->hash;
  assert_ok(wn_engine_policy_swap(w.engine, policy_of(two), &err));
  assert_true(w.engine->policy->hash != before);
  got = ask(&w, "extra", "u1", NULL, 0);
  assert_int_equal(got.answer.len, 3);
  slate_clear(&got);
  /* A policy that does not serve, and a seed: the same slate twice, and nothing else changes. */
  wn_policy *other = policy_of("surfaces:\n  home:\n    n: 9\n    order: {temperature: 1}\n");
  const wn_slate_request look = {
      .surface = WN_STR("home"), .user = WN_STR("u1"), .look = true, .policy = other, .seed = 7};
  slate a = ask_with(&w, look), b = ask_with(&w, look);
  assert_int_equal(a.answer.len, 9);
  for (size_t i = 0; i < 9; i++) assert_int_equal(a.answer.items[i].ix, b.answer.items[i].ix);
  slate_clear(&a);
  slate_clear(&b);
  wn_policy_unref(other);
  got = ask(&w, "home", "u1", NULL, 0);
  assert_int_equal(got.answer.len, 7);
  slate_clear(&got);
  world_remove(&w);
}

#define TEST_OF(state, n)                                                                          \
  "surfaces:\n  home: {n: " n "}\nexperiments:\n  try:\n    state: " state                         \
  "\n    arms:\n      a: {}\n      b:\n        surfaces:\n          home: {n: 6}\n"

static void refused(const char *from, const char *to, const char *field) {
  wn_error err = {0};
  wn_policy *a = policy_of(from), *b = policy_of(to);
  wn_status status = wn_policy_check_change(a, b, &err);
  assert_int_equal(status, field != NULL ? WN_E_CONFIG : WN_OK);
  if (field != NULL) assert_string_equal(err.field, field);
  wn_policy_unref(a);
  wn_policy_unref(b);
}

static void test_refused(void **state) {
  (void)state;
  refused(TEST_OF("running", "5"), TEST_OF("running", "8"), "surfaces.home");
  refused(TEST_OF("running", "5"), TEST_OF("running", "5"), NULL);
  refused(TEST_OF("running", "5"), TEST_OF("stopped", "8"), NULL);
  refused(TEST_OF("stopped", "5"), TEST_OF("running", "8"), NULL);
  refused(TEST_OF("running", "5"), "surfaces:\n  home: {n: 8}\n", NULL);
  refused("holdout: {share: 0.1}\n", "holdout: {share: 0.1}\nsurfaces:\n  home: {n: 8}\n", NULL);
  wn_policy *a = policy_of(one), *b = policy_of(two);
  assert_int_equal(wn_policy_surface_change(a, b, "home"), WN_CHANGE_EDITED);
  assert_int_equal(wn_policy_surface_change(a, b, "extra"), WN_CHANGE_ADDED);
  assert_int_equal(wn_policy_surface_change(b, a, "extra"), WN_CHANGE_REMOVED);
  assert_int_equal(wn_policy_surface_change(a, b, "feed"), WN_CHANGE_NONE);
  wn_policy_unref(a);
  wn_policy_unref(b);
}

/* A swap opens what it pins and drops what it does not. */
static void test_pins(void **state) {
  (void)state;
  static const char missing[] = "experiments:\n  try:\n    arms:\n      a: {}\n"
                                "      b: {snapshot: 9}\n    surfaces: [home]\n";
  static const char pinned[] = "experiments:\n  try:\n    arms:\n      a: {}\n"
                               "      b: {snapshot: 1}\n    surfaces: [home]\n";
  world w;
  wn_error err = {0};
  world_ready(&w, "");
  uint64_t before = w.engine->policy->hash;
  assert_int_equal(wn_engine_policy_swap(w.engine, policy_of(missing), &err), WN_E_CONFIG);
  assert_string_equal(err.field, "experiments.try.arms.b.snapshot");
  assert_int_equal(w.engine->policy->hash, before);
  assert_ok(wn_engine_policy_swap(w.engine, policy_of(pinned), &err));
  assert_int_equal(w.engine->pinned_len, 1);
  assert_int_equal(w.engine->pinned[0]->about.number, 1);
  assert_int_equal(w.engine->pinned[0]->last_seq, w.engine->applied_seq);
  assert_ok(wn_engine_policy_swap(w.engine, policy_of(one), &err));
  assert_int_equal(w.engine->pinned_len, 0);
  world_remove(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_swap_under_load),
                                     cmocka_unit_test(test_surfaces_come_and_go),
                                     cmocka_unit_test(test_refused), cmocka_unit_test(test_pins)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
