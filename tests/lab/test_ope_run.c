/* Off-policy evaluation of whole logs: the table's lines equal the estimators one by one, intervals
 * hold the truth as often as they say, and planted faults are refused. */
#include "lab/harness.h"

#include "base/rng.h"
#include "lab/ope_run.h"

enum { ITEMS = 6, SLOTS = 3 };

/* Behaviour: item a with probability ∝ a + 1 at each slot; reward rates rise with the item. */
static double p_log_of(uint32_t a) {
  return (a + 1) / 21.0;
}
static double rate_of(uint32_t a, uint32_t slot) {
  return 0.1 + 0.1 * a / (1.0 + slot);
}
/* The policy to be judged: the last two items. */
static double p_eval_of(uint32_t a) {
  return a == 4 ? 0.3 : a == 5 ? 0.7 : 0;
}

static wn_logged world(uint64_t seed, uint32_t slates, uint32_t slots) {
  wn_logged log = {.items = wn_dict_create()};
  wn_rng rng;
  wn_error err;
  wn_rng_seed(&rng, seed);
  for (uint32_t a = 0; a < ITEMS; a++) {
    char name[2] = {(char)('a' + a), 0};
    uint32_t ix;
    bool added;
    assert_int_equal(wn_dict_add(log.items, wn_str_of(name), &ix, &added), WN_OK);
  }
  for (uint32_t d = 0; d < slates; d++)
    for (uint32_t l = 0; l < slots; l++) {
      double u = wn_rng_double(&rng);
      uint32_t a = 0;
      while (a + 1 < ITEMS && u >= p_log_of(a)) u -= p_log_of(a++);
      wn_logged_row row = {.decision = d,
                           .position = l,
                           .item = a,
                           .chosen = WN_NO_IX,
                           .p_log = p_log_of(a),
                           .p_eval = p_eval_of(a),
                           .reward = wn_rng_double(&rng) < rate_of(a, l),
                           .q = NAN,
                           .value = NAN};
      assert_true(wn_vec_push(&log.rows, row));
    }
  assert_int_equal(wn_logged_finish(&log, &err), WN_OK);
  return log;
}

static wn_policy_table the_policy(void) {
  wn_policy_table table = {0};
  for (uint32_t a = 4; a < ITEMS; a++)
    assert_true(wn_vec_push(&table.entries, ((wn_policy_entry){WN_NO_IX, a, p_eval_of(a)})));
  return table;
}

static double truth(uint32_t slots) {
  double sum = 0;
  for (uint32_t l = 0; l < slots; l++) sum += 0.3 * rate_of(4, l) + 0.7 * rate_of(5, l);
  return sum;
}

static wn_ope_result run(wn_logged *log, wn_policy_kind kind, const wn_policy_table *table,
                         uint32_t bootstrap) {
  wn_ope_options how;
  wn_ope_result result;
  wn_error err = {0};
  wn_ope_options_defaults(&how);
  how.policy = kind;
  how.table = table;
  how.bootstrap = bootstrap;
  how.threads = 2;
  how.lambda = 3;
  assert_int_equal(wn_ope_run(log, &how, &result, &err), WN_OK);
  return result;
}

static const wn_ope_line *line(const wn_ope_result *r, const char *name) {
  for (size_t i = 0; i < r->lines_len; i++)
    if (strcmp(r->lines[i].name, name) == 0) return &r->lines[i];
  for (size_t i = 0; i < r->slates_len; i++)
    if (strcmp(r->slates[i].name, name) == 0) return &r->slates[i];
  fail_msg("no line %s", name);
  return NULL;
}

static void lines_equal_the_estimators(void **state) {
  (void)state;
  const struct {
    const char *name;
    wn_ope_estimator which;
  } all[] = {{"IPS", WN_OPE_IPS},
             {"SNIPS", WN_OPE_SNIPS},
             {"clipped IPS", WN_OPE_CLIPPED},
             {"DM", WN_OPE_DM},
             {"DR", WN_OPE_DR},
             {"SNDR", WN_OPE_SNDR},
             {"switch-DR", WN_OPE_SWITCH_DR},
             {"DRos", WN_OPE_DROS}};
  wn_logged log = world(5, 3000, 1);
  wn_policy_table table = the_policy();
  wn_ope_result r = run(&log, WN_POLICY_TABLE, &table, 200);
  wn_ope_row *rows = calloc(log.rows.len, sizeof *rows);
  wn_ope_options how = {.policy = WN_POLICY_TABLE, .table = &table};
  wn_error err;
  bool known;
  assert_int_equal(wn_ope_model(&log, &how, false, rows, &known, &err), WN_OK);
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    wn_ope_estimate want = wn_ope_estimate_of(all[i].which, rows, log.rows.len, 3);
    assert_near(line(&r, all[i].name)->value, want.value, 1e-12);
    if (all[i].which != WN_OPE_DM) assert_near(line(&r, all[i].name)->se, want.se, 0.01 * want.se);
  }
  assert_false(r.guard.refused);
  free(rows);
  wn_policy_clear(&table);
  wn_logged_clear(&log);
}

/* 200 logs of 600 slates: every unbiased estimator is right on average, and its 95% interval holds
 * the truth in 90% to 99% of them. */
static void intervals_hold_the_truth(void **state) {
  (void)state;
  const char *const names[] = {"IPS", "SNIPS", "DR", "SNDR", "MRDR"};
  const char *const slate_names[] = {"IIPS", "RIPS", "cascade-DR", "pseudo-inverse"};
  enum { LOGS = 200, N = 5, M = 4 };
  int held[N + M] = {0};
  double sum[N + M] = {0}, squares[N + M] = {0};
  wn_policy_table table = the_policy();
  for (int round = 0; round < LOGS; round++) {
    wn_logged log = world(1000 + (uint64_t)round, 600, SLOTS);
    wn_ope_result r = run(&log, WN_POLICY_TABLE, &table, 150);
    for (int i = 0; i < N + M; i++) {
      const wn_ope_line *got = line(&r, i < N ? names[i] : slate_names[i - N]);
      double want = i < N ? truth(SLOTS) / SLOTS : truth(SLOTS);
      held[i] += got->low <= want && want <= got->high;
      sum[i] += got->value - want;
      squares[i] += (got->value - want) * (got->value - want);
    }
    wn_logged_clear(&log);
  }
  for (int i = 0; i < N + M; i++) {
    double mean = sum[i] / LOGS, se = sqrt(squares[i] / LOGS / LOGS);
    if (fabs(mean) > 4 * se) fail_msg("estimator %d is off by %g ± %g", i, mean, se);
    if (held[i] < 180 || held[i] > 199)
      fail_msg("estimator %d: %d of 200 intervals hold the truth", i, held[i]);
  }
  wn_policy_clear(&table);
}

static void slates_equal_the_estimators(void **state) {
  (void)state;
  wn_logged log = world(9, 400, SLOTS);
  wn_ope_result r = run(&log, WN_POLICY_GIVEN, NULL, 50);
  double p_log[400 * SLOTS], p_eval[400 * SLOTS], reward[400 * SLOTS];
  for (size_t i = 0; i < log.rows.len; i++) {
    p_log[i] = log.rows.data[i].p_log;
    p_eval[i] = log.rows.data[i].p_eval;
    reward[i] = log.rows.data[i].reward;
  }
  wn_slate_table slates = {400, SLOTS, p_log, p_eval, reward};
  wn_slate_ope want;
  assert_true(wn_slate_ope_of(&slates, &want));
  assert_near(line(&r, "SIPS")->value, want.sips, 1e-12);
  assert_near(line(&r, "IIPS")->value, want.iips, 1e-12);
  assert_near(line(&r, "RIPS")->value, want.rips, 1e-12);
  assert_near(line(&r, "pseudo-inverse")->value, want.pi, 1e-12);
  assert_near(line(&r, "self-normalised SIPS")->value, want.snsips, 1e-12);
  assert_non_null(line(&r, "DR")->missing); /* nobody said what else it would have shown */
  assert_non_null(line(&r, "cascade-DR")->missing);
  wn_logged_clear(&log);
}

static void planted_faults_are_refused(void **state) {
  (void)state;
  wn_policy_table table = the_policy();
  wn_logged log = world(3, 3000, 1);
  for (size_t i = 0; i < log.rows.len; i++) log.rows.data[i].p_log *= 0.8; /* wrong propensities */
  wn_ope_result r = run(&log, WN_POLICY_TABLE, &table, 20);
  assert_true(r.guard.refused);
  assert_non_null(strstr(r.guard.why, "propensities are wrong"));
  assert_true(line(&r, "DM")->refused);

  double even = 1 / (double)wn_dict_count(
                        log.items); /* weights that are all alike have no spread to be told by */
  for (size_t i = 0; i < log.rows.len; i++) log.rows.data[i].p_log = 2 * even;
  r = run(&log, WN_POLICY_UNIFORM, NULL, 20);
  assert_near(r.guard.mean_weight, 0.5, 1e-12);
  assert_non_null(strstr(r.guard.why, "propensities are wrong"));
  for (size_t i = 0; i < log.rows.len; i++) log.rows.data[i].p_log = even * 1.0004; /* rounded */
  r = run(&log, WN_POLICY_UNIFORM, NULL, 20);
  assert_false(r.guard.refused);

  for (size_t i = 0; i < log.rows.len; i++) log.rows.data[i].p_log = 1; /* no exploration at all */
  r = run(&log, WN_POLICY_TABLE, &table, 20);
  assert_true(r.guard.refused && r.deterministic);
  assert_non_null(strstr(r.guard.why, "exploration"));
  r = run(&log, WN_POLICY_UNIFORM, NULL, 20);
  assert_non_null(strstr(r.guard.why, "exploration"));
  r = run(&log, WN_POLICY_LOGGED, NULL, 20); /* but of itself it says everything */
  assert_false(r.guard.refused);
  wn_logged_clear(&log);

  log = world(4, 30, 1); /* too few */
  r = run(&log, WN_POLICY_TABLE, &table, 20);
  assert_true(r.guard.refused);
  wn_logged_clear(&log);

  log = world(4, 3000, 1); /* item f is never shown */
  size_t kept = 0;
  for (size_t i = 0; i < log.rows.len; i++)
    if (log.rows.data[i].item != 5) log.rows.data[kept++] = log.rows.data[i];
  log.rows.len = kept;
  wn_error err;
  assert_int_equal(wn_logged_finish(&log, &err), WN_OK);
  r = run(&log, WN_POLICY_TABLE, &table, 20);
  assert_near(r.guard.uncovered, 0.7, 1e-9);
  assert_non_null(strstr(r.guard.why, "never plays"));
  wn_logged_clear(&log);
  wn_policy_clear(&table);
}

static void bad_rows(void **state) {
  (void)state;
  const double bad[] = {0, -1, 1.5, NAN};
  wn_ope_options how;
  wn_ope_result result;
  wn_error err;
  wn_ope_options_defaults(&how);
  wn_logged log = world(4, 30, 1);
  for (size_t i = 0; i < 4; i++) {
    log.rows.data[7].p_log = bad[i];
    assert_int_equal(wn_ope_run(&log, &how, &result, &err), WN_E_FORMAT);
    assert_non_null(strstr(err.message, "row 8"));
  }
  log.rows.data[7].p_log = 0.5;
  log.rows.data[7].reward = NAN;
  assert_int_equal(wn_ope_run(&log, &how, &result, &err), WN_E_FORMAT);
  log.rows.data[7].reward = 1;
  log.rows.data[7].p_eval = NAN;
  how.policy = WN_POLICY_GIVEN;
  assert_int_equal(wn_ope_run(&log, &how, &result, &err), WN_E_ARGUMENT);
  log.rows.len = 0;
  assert_int_equal(wn_logged_finish(&log, &err), WN_E_FORMAT);
  wn_logged_clear(&log);
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  wn_policy_table table = the_policy();
  wn_ope_options how = {.policy = WN_POLICY_TABLE, .table = &table, .bootstrap = 5, .threads = 1};
  wn_ope_result result;
  wn_error err;
  wn_logged log = world(4, 50, SLOTS);
  wn_status status = WN_E_MEMORY;
  for (long n = 0; n < 500 && status != WN_OK; n++) {
    wn_mem_fail_after(n);
    status = wn_ope_run(&log, &how, &result, &err);
    assert_true(status == WN_OK || status == WN_E_MEMORY);
  }
  wn_mem_fail_after(-1);
  assert_int_equal(status, WN_OK);
  wn_logged_clear(&log);
  wn_policy_clear(&table);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(lines_equal_the_estimators),
      cmocka_unit_test(intervals_hold_the_truth),
      cmocka_unit_test(slates_equal_the_estimators),
      cmocka_unit_test(planted_faults_are_refused),
      cmocka_unit_test(bad_rows),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
