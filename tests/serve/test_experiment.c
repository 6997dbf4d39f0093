/* Assignment: shares, independence, growth, exclusion; what a declaration is refused for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "lab/ab.h"
#include "lab/experiment.h"
#include "serve/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNITS = 40000 };

#define TWO "arms: {control: {}, treated: {surfaces: {home: {n: 7}}}}"

static wn_config parse(const char *text) {
  wn_config config;
  wn_error err = {0};
  if (wn_config_parse(wn_str_of(text), "winnow.yaml", &config, &err) != WN_OK)
    fail_msg("%s: %s", err.field, err.message);
  return config;
}

static void refused(const char *text, const char *field, const char *message) {
  wn_config config;
  wn_error err = {0};
  assert_int_equal(wn_config_parse(wn_str_of(text), "winnow.yaml", &config, &err), WN_E_CONFIG);
  assert_string_equal(err.field, field);
  if (strstr(err.message, message) == NULL) fail_msg("\"%s\" lacks \"%s\"", err.message, message);
}

static wn_str unit_name(char buf[16], int i) {
  snprintf(buf, 16, "user-%d", i);
  return wn_str_of(buf);
}

/* The arm of a unit on home; −1: not in. */
static int arm_on_home(const wn_config *config, const char *experiment, wn_str user) {
  wn_assigned assigned[16];
  wn_assign_context context = {.surface = WN_STR("home"), .user = user};
  size_t len = wn_experiments_assign(&config->experiments, &context, assigned);
  for (size_t i = 0; i < len; i++)
    if (strcmp(assigned[i].experiment->name, experiment) == 0) return (int)assigned[i].arm;
  return -1;
}

static void test_shares(void **state) {
  (void)state;
  wn_config config =
      parse("experiments: {x: {traffic: 0.6, arms: {a: {share: 0.2}, b: {share: 0.3}, "
            "c: {share: 0.5, surfaces: {home: {n: 3}}}}}}");
  double seen[4] = {0}, weights[4] = {0.4, 0.12, 0.18, 0.3};
  char buf[16];
  for (int i = 0; i < UNITS; i++) seen[arm_on_home(&config, "x", unit_name(buf, i)) + 1]++;
  assert_true(wn_srm_test(seen, weights, 4).p > 0.001);
  wn_config_clear(&config);
}

/* The joint table of two experiments is the product of its margins. */
static void test_independence(void **state) {
  (void)state;
  wn_config config = parse("experiments: {x: {" TWO "}, y: {arms: {a: {}, b: {surfaces: {home: "
                           "{order: {diversity: none}}}}}}}");
  double seen[4] = {0}, weights[4] = {0.25, 0.25, 0.25, 0.25};
  char buf[16];
  for (int i = 0; i < UNITS; i++) {
    wn_str unit = unit_name(buf, i);
    seen[2 * arm_on_home(&config, "x", unit) + arm_on_home(&config, "y", unit)]++;
  }
  assert_true(wn_srm_test(seen, weights, 4).p > 0.001);
  wn_config_clear(&config);
}

/* Two servers that read the same declaration, one of them with its parts in another order, beside
 * another experiment and with a clock of its own, assign alike; and as they did when this was
 * written: nothing of the process, the machine or the order takes part. */
static void test_replicas_agree(void **state) {
  (void)state;
  enum { MANY = 100000 };
  wn_config one = parse("experiments: {x: {traffic: 0.5, salt: s, arms: {a: {share: 0.3}, b: "
                        "{share: 0.7, surfaces: {home: {n: 3}}}}}}");
  wn_config other = parse("experiments: {other: {surfaces: [home], arms: {a: {}, b: {}}}, x: "
                          "{arms: {a: {share: 0.3}, b: {surfaces: {home: {n: 3}}, share: 0.7}}, "
                          "salt: s, traffic: 0.5}}");
  static const int8_t known[20] = {-1, 1, 1,  -1, -1, -1, -1, 1,  0, -1,
                                   -1, 1, -1, -1, -1, -1, -1, -1, 0, -1};
  char buf[16];
  for (int i = 0; i < MANY; i++) {
    wn_str unit = unit_name(buf, i);
    int arm = arm_on_home(&one, "x", unit);
    assert_int_equal(arm, arm_on_home(&other, "x", unit));
    if (i < 20) assert_int_equal(arm, known[i]);
  }
  wn_config_clear(&one);
  wn_config_clear(&other);
}

static void test_growth_moves_nobody(void **state) {
  (void)state;
  wn_config small = parse("experiments: {x: {traffic: 0.1, " TWO "}}");
  wn_config large = parse("experiments: {x: {traffic: 0.7, " TWO "}}");
  char buf[16];
  int before = 0, after = 0;
  for (int i = 0; i < UNITS; i++) {
    wn_str unit = unit_name(buf, i);
    int was = arm_on_home(&small, "x", unit), is = arm_on_home(&large, "x", unit);
    if (was >= 0) assert_int_equal(is, was);
    before += was >= 0;
    after += is >= 0;
  }
  assert_true(abs(before - UNITS / 10) < 300 && abs(after - UNITS * 7 / 10) < 500);
  assert_true(small.experiments.data[0].digest == large.experiments.data[0].digest);
  wn_config_clear(&small);
  wn_config_clear(&large);
}

/* Whoever wants to see an arm sees it, outside the audience and in the holdout. */
static void test_overrides(void **state) {
  (void)state;
  wn_config config = parse("holdout: {share: 0.5}\n"
                           "experiments:\n"
                           "  x: {audience: {country: [de]}, overrides: {u: treated}, " TWO "}\n");
  wn_experiment *x = &config.experiments.data[0];
  if (strcmp(x->name, "x") != 0) x = &config.experiments.data[1];
  for (int i = 0, held = 0; i < 20 || held == 0; i++) {
    wn_str unit = unit_name(x->overrides[0].unit, i);
    char other[16];
    held += arm_on_home(&config, WN_HOLDOUT, unit_name(other, i + 1)) == 0;
    assert_int_equal(arm_on_home(&config, "x", unit), 1);
    assert_int_equal(arm_on_home(&config, WN_HOLDOUT, unit), -1);
    assert_int_equal(arm_on_home(&config, "x", wn_str_of(other)), -1); /* no German */
  }
  x->stopped = true;
  assert_int_equal(arm_on_home(&config, "x", wn_str_of(x->overrides[0].unit)), -1);
  wn_config_clear(&config);
}

static void test_groups_and_holdout(void **state) {
  (void)state;
  wn_config config = parse("holdout: {share: 0.05}\n"
                           "experiments:\n"
                           "  x: {group: {name: g, from: 0, to: 0.5}, " TWO "}\n"
                           "  y: {group: {name: g, from: 0.5, to: 0.8}, " TWO "}\n");
  char buf[16];
  int held = 0, in_x = 0, in_y = 0;
  for (int i = 0; i < UNITS; i++) {
    wn_str unit = unit_name(buf, i);
    int x = arm_on_home(&config, "x", unit), y = arm_on_home(&config, "y", unit);
    int hold = arm_on_home(&config, WN_HOLDOUT, unit);
    assert_true(x < 0 || y < 0);
    if (hold == 0) assert_true(x < 0 && y < 0);
    held += hold == 0;
    in_x += x >= 0;
    in_y += y >= 0;
  }
  assert_true(abs(held - UNITS / 20) < 250);
  assert_true(abs(in_x - (int)(UNITS * 0.95 * 0.5)) < 600);
  assert_true(abs(in_y - (int)(UNITS * 0.95 * 0.3)) < 600);
  wn_config_clear(&config);
}

static void test_who(void **state) {
  (void)state;
  wn_config config = parse(
      "experiments:\n"
      "  x: {audience: {country: [de, at], adult: true}, overrides: {tester: treated}, " TWO "}\n"
      "  s: {unit: session, surfaces: [feed], arms: {a: {share: 0}, b: {share: 1}}}\n");
  wn_attr attrs[] = {{.name = WN_STR("adult"), .kind = WN_ATTR_BOOL, .boolean = true},
                     {.name = WN_STR("country"), .kind = WN_ATTR_STRING, .string = WN_STR("at")}};
  wn_attrs all = {attrs, 2};
  wn_assigned out[8];
  wn_assign_context home = {.surface = WN_STR("home"), .user = WN_STR("ann"), .attrs = &all};
  assert_true(wn_experiments_need_attrs(&config.experiments, WN_STR("home")));
  assert_false(wn_experiments_need_attrs(&config.experiments, WN_STR("feed")));
  assert_int_equal(wn_experiments_assign(&config.experiments, &home, out), 1);
  attrs[1].string = WN_STR("fr");
  assert_int_equal(wn_experiments_assign(&config.experiments, &home, out), 0);
  home.attrs = NULL;
  assert_int_equal(wn_experiments_assign(&config.experiments, &home, out), 0);
  assert_int_equal(
      wn_experiment_arm(wn_experiments_find(&config.experiments, WN_STR("x")), WN_STR("tester")),
      1);
  wn_assign_context feed = {.surface = WN_STR("feed"), .session = WN_STR("s1")};
  assert_int_equal(wn_experiments_assign(&config.experiments, &feed, out), 1);
  assert_int_equal(out[0].arm, 1);
  feed.session = (wn_str){0};
  assert_int_equal(wn_experiments_assign(&config.experiments, &feed, out), 0);
  wn_buf text = {0};
  wn_assigned_print(out, 1, &text);
  assert_string_equal(wn_buf_c(&text), "s=b");
  assert_true(wn_str_is(wn_assigned_find(WN_STR("s=b tt=c t=d"), "t"), "d"));
  assert_int_equal(wn_assigned_find(WN_STR("s=b tt=c t=d"), "b").len, 0);
  wn_buf_clear(&text);
  wn_config_clear(&config);
}

/* Two arms' changes to one surface, in either order, give what the file would say. */
static void test_patches(void **state) {
  (void)state;
  wn_config config = parse("experiments: {x: {" TWO "}, y: {arms: {a: {}, b: {surfaces: {home: "
                           "{order: {caps: [{attribute: section, max: 2}]}}}}}}}");
  wn_config both = parse("surfaces: {home: {n: 7, order: {caps: [{attribute: section, max: 2}]}}}");
  const wn_surface *home = wn_surfaces_find(&config.surfaces, WN_STR("home"));
  const wn_surface *wanted = wn_surfaces_find(&both.surfaces, WN_STR("home"));
  const wn_surface_patch *x = &config.experiments.data[0].arms[1].variants[0].patch;
  const wn_surface_patch *y = &config.experiments.data[1].arms[1].variants[0].patch;
  wn_surface *got = malloc(sizeof *got);
  assert_non_null(got);
  for (int order = 0; order < 2; order++) {
    memcpy(got, home, sizeof *got);
    wn_surface_patch_apply(order == 0 ? x : y, got);
    assert_true(memcmp(got, wanted, sizeof *got) != 0);
    wn_surface_patch_apply(order == 0 ? y : x, got);
    assert_int_equal(got->n, wanted->n);
    assert_int_equal(got->caps_len, 1);
    assert_memory_equal(got->caps, wanted->caps, sizeof got->caps[0]);
    assert_memory_equal(got->generators, wanted->generators, sizeof got->generators);
  }
  free(got);
  wn_config_clear(&config);
  wn_config_clear(&both);
}

static void test_digest(void **state) {
  (void)state;
  static const char *const other[] = {
      "experiments: {x: {salt: z, " TWO "}}",
      "experiments: {x: {unit: session, " TWO "}}",
      "experiments: {x: {audience: {a: b}, " TWO "}}",
      "experiments: {x: {arms: {control: {}, treated: {surfaces: {home: {n: 8}}}}}}",
      "experiments: {x: {arms: {control: {}, treated: {snapshot: 3, surfaces: {home: {n: 7}}}}}}",
      "experiments: {x: {arms: {control: {share: 0.4}, treated: {surfaces: {home: {n: 7}}}}}}"};
  wn_config config = parse("experiments: {x: {" TWO "}}");
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    wn_config changed = parse(other[i]);
    assert_true(changed.experiments.data[0].digest != config.experiments.data[0].digest);
    wn_config_clear(&changed);
  }
  wn_config_clear(&config);
}

static void test_refusals(void **state) {
  (void)state;
  refused("experiments: {x: {arms: {a: {share: 0.7}, b: {share: 0.5, surfaces: {home: {n: 3}}}}}}",
          "experiments.x.arms", "add up to 1, they are 1.2");
  refused("experiments: {x: {arms: {a: {}, b: {surfaces: {hom: {n: 3}}}}}}",
          "experiments.x.arms.b.surfaces.hom", "no surface");
  refused("experiments: {x: {arms: {a: {}, b: {surfaces: {home: {m: 3}}}}}}",
          "experiments.x.arms.b.surfaces.home.m", "unknown key");
  refused("experiments: {x: {arms: {a: {}, b: {surfaces: {home: {flavour: flat}}}}}}",
          "experiments.x.arms.b.surfaces.home", "flavour");
  refused("experiments: {x: {arms: {a: {surfaces: {home: {n: 3}}}}}}", "experiments.x.arms",
          "at least two");
  refused("experiments: {x: {arms: {a: {}, b: {}}}}", "experiments.x.surfaces", "say on which");
  refused("experiments: {holdout: {" TWO "}}", "experiments.holdout", "kept");
  refused("experiments: {x: {overrides: {ann: c}, " TWO "}}", "experiments.x.overrides.ann",
          "an arm of this");
  refused("experiments: {x: {metrics: [{type: click}], " TWO "}}", "experiments.x.metrics[0]",
          "kind");
  refused("experiments: {x: {" TWO "}, y: {" TWO "}}", "experiments.y.arms",
          "changes surfaces.home.n, as x does");
  refused("experiments: {x: {group: {name: g, to: 0.6}, " TWO
          "}, y: {group: {name: g, from: 0.5}, " TWO "}}",
          "experiments.y.group", "overlaps");
  refused("experiments: {x: {surfaces: [home], arms: {a: {}, b: {snapshot: 1}}}, "
          "y: {surfaces: [feed, home], arms: {a: {}, b: {snapshot: 2}}}}",
          "experiments.y.arms", "changes the snapshot, as x does");
  refused("holdout: {share: 2}", "holdout.share", "must be 0 to 1");
  refused("holdout: {share: 1}", "holdout.share", "nobody would be in any experiment");
  refused("holdout: {}", "holdout", "missing");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shares),
      cmocka_unit_test(test_independence),
      cmocka_unit_test(test_replicas_agree),
      cmocka_unit_test(test_growth_moves_nobody),
      cmocka_unit_test(test_overrides),
      cmocka_unit_test(test_groups_and_holdout),
      cmocka_unit_test(test_who),
      cmocka_unit_test(test_patches),
      cmocka_unit_test(test_digest),
      cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
