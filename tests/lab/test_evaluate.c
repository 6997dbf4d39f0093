/* Evaluation end to end on a small world with a known answer: two tastes, each user of one. */
#include "lab/harness.h"

#include "base/rng.h"
#include "lab/evaluate.h"

enum { USERS = 120, ITEMS = 60, EACH = 12 };

static wn_signals signals;
static wn_event train[USERS * EACH], test[USERS * 2];
static size_t train_len, test_len;

/* User u likes items of parity u % 2; popularity is the same for all, so that it says nothing. */
static int setup(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 42);
  wn_signals_defaults(&signals);
  uint32_t view = wn_signals_find(&signals, wn_str_of("view"));
  for (uint32_t u = 0; u < USERS; u++)
    for (uint32_t i = 0; i < EACH + 2; i++) {
      wn_event e = {
          u, (uint32_t)wn_rng_below(&rng, ITEMS / 2) * 2 + u % 2, view, NAN, 1000000 + (int64_t)i,
          0};
      if (i < EACH)
        train[train_len++] = e;
      else
        test[test_len++] = e;
    }
  return 0;
}

static wn_split split_of(void) {
  wn_split split;
  wn_error err = {0};
  if (wn_split_given((wn_event_list){train, train_len}, (wn_event_list){test, test_len}, &signals,
                     &split, &err) != WN_OK)
    fail_msg("%s", err.message);
  return split;
}

static void defaults(wn_evaluate_options *o, const char *model) {
  wn_evaluate_options_defaults(o);
  o->bootstrap = 200;
  o->train.models_len = 1;
  o->train.models[0].cls = wn_model_class_find(model);
  wn_params_defaults(o->train.models[0].cls, &o->train.models[0].params);
}

static const wn_model_result *row(const wn_evaluation *e, const char *name) {
  for (size_t i = 0; i < e->rows_len; i++)
    if (strcmp(e->rows[i].name, name) == 0) return &e->rows[i];
  fail_msg("no row %s", name);
  return NULL;
}

static void taste_beats_popularity(void **state) {
  (void)state;
  const char *models[] = {"covisit", "als"};
  for (size_t m = 0; m < 2; m++) {
    wn_split split = split_of();
    wn_evaluate_options o;
    wn_evaluation e;
    wn_error err = {0};
    defaults(&o, models[m]);
    if (wn_evaluate(&split, &signals, &o, &e, &err) != WN_OK) fail_msg("%s", err.message);
    assert_int_equal(e.rows_len, 3); /* random, popular and what was asked for */
    assert_int_equal(e.users_evaluated + e.users_without_relevant, USERS);
    assert_true(row(&e, models[m])->at[0].of[WN_METRIC_RECALL].low >
                row(&e, "popular")->at[0].of[WN_METRIC_RECALL].high);
    assert_true(row(&e, "random")->at[0].of[WN_METRIC_RECALL].mean < 0.4);
    wn_evaluation_clear(&e);
    wn_split_clear(&split);
  }
}

/* The same digits from a list made by hand for each user out of the popular model's meaning: counts
 * of train pairs. */
static void popular_equals_a_naive_ranking(void **state) {
  (void)state;
  wn_split split = split_of();
  wn_evaluate_options o;
  wn_evaluation e;
  wn_error err = {0};
  double sum = 0;
  size_t users = 0;
  double counts[ITEMS] = {0};
  defaults(&o, "popular");
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_OK);
  for (size_t i = 0; i < train_len; i++) counts[train[i].item]++;
  for (uint32_t u = 0; u < split.users; u++) {
    uint32_t list[10];
    double hits = 0, n = (double)(split.test.ptr[u + 1] - split.test.ptr[u]);
    bool taken[ITEMS] = {false};
    if (n == 0) continue;
    for (uint64_t p = split.seen.ptr[u]; p < split.seen.ptr[u + 1]; p++)
      taken[split.seen.item[p]] = true;
    for (size_t k = 0; k < 10; k++) {
      uint32_t best = ITEMS;
      for (uint32_t i = 0; i < ITEMS; i++)
        if (!taken[i] && (best == ITEMS || counts[i] > counts[best])) best = i;
      taken[best] = true;
      list[k] = best;
      for (uint64_t p = split.test.ptr[u]; p < split.test.ptr[u + 1]; p++)
        hits += split.test.item[p] == list[k];
    }
    sum += hits / n;
    users++;
  }
  assert_near(row(&e, "popular")->at[0].of[WN_METRIC_RECALL].mean, sum / (double)users, 1e-9);
  wn_evaluation_clear(&e);
  wn_split_clear(&split);
}

static void threads_do_not_change_a_digit(void **state) {
  (void)state;
  wn_split split = split_of();
  wn_evaluate_options o;
  wn_evaluation a, b;
  wn_error err = {0};
  defaults(&o, "covisit");
  o.train.threads = 1;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &a, &err), WN_OK);
  o.train.threads = 3;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &b, &err), WN_OK);
  for (size_t i = 0; i < a.rows_len; i++)
    assert_memory_equal(a.rows[i].at, b.rows[i].at, sizeof a.rows[i].at);
  wn_evaluation_clear(&a);
  wn_evaluation_clear(&b);
  wn_split_clear(&split);
}

/* With areas asked for, lists are made of all scores and not by candidates(): same digits. */
static void areas_leave_the_rest_alone(void **state) {
  (void)state;
  static const char *const models[] = {"als", "covisit", "ridge", "user-knn", "popular", "random"};
  for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
    wn_split split = split_of();
    wn_evaluate_options o;
    wn_evaluation with, without;
    wn_error err = {0};
    defaults(&o, models[m]);
    o.metrics = WN_METRICS_ALL & ~WN_METRICS_OF_SCORES;
    assert_int_equal(wn_evaluate(&split, &signals, &o, &without, &err), WN_OK);
    o.metrics = WN_METRICS_ALL;
    assert_int_equal(wn_evaluate(&split, &signals, &o, &with, &err), WN_OK);
    const wn_cutoff_result *a = row(&with, models[m])->at, *b = row(&without, models[m])->at;
    assert_true(a[0].of[WN_METRIC_AUC].mean > 0.3);
    for (size_t c = 0; c < o.cutoffs_len; c++)
      for (int metric = 0; metric < WN_METRICS_OF_USERS; metric++)
        if ((WN_METRICS_OF_SCORES & WN_METRIC_BIT(metric)) == 0)
          assert_memory_equal(&a[c].of[metric], &b[c].of[metric], sizeof a[c].of[metric]);
    wn_evaluation_clear(&with);
    wn_evaluation_clear(&without);
    wn_split_clear(&split);
  }
}

static void a_sample_is_counted(void **state) {
  (void)state;
  wn_split split = split_of();
  wn_evaluate_options o;
  wn_evaluation e;
  wn_error err = {0};
  defaults(&o, "popular");
  o.users_max = 30;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_OK);
  assert_int_equal(e.users_evaluated, 30);
  assert_int_equal(e.users_not_sampled, split.test_users - split.cold_users - 30);
  wn_buf json = {0};
  wn_evaluation_to_json(&e, &json);
  assert_non_null(strstr(wn_buf_c(&json), "\"users_evaluated\":30"));
  wn_buf_clear(&json);
  wn_evaluation_clear(&e);
  wn_split_clear(&split);
}

/* Items made after the cut are in the catalogue by now, but no model may know them. */
static void the_future_catalogue_is_hidden(void **state) {
  (void)state;
  enum { N = 40 };
  wn_event events[2 * N];
  int64_t created[20];
  wn_evaluate_options o;
  wn_evaluation e;
  wn_split split;
  wn_error err = {0};
  for (uint32_t i = 0; i < N; i++) {
    events[i] = (wn_event){i % 10, i / 4, 0, NAN, 1000000 + i, i + 1}; /* items 0 … 9 */
    events[N + i] =
        (wn_event){i % 10, 10 + i / 4, 0, NAN, 9000000 + i, N + i + 1}; /* items 10 … 19 */
  }
  for (uint32_t i = 0; i < 20; i++) created[i] = i < 10 ? 1000000 : 9000000;
  wn_split_options how = {.kind = WN_SPLIT_TIME, .test_share = 0.5};
  assert_int_equal(wn_split_make((wn_event_list){events, 2 * N}, &signals, &how, &split, &err),
                   WN_OK);
  assert_int_equal(split.cold_test_pairs, N);
  defaults(&o, "newest");
  o.created_ms = created;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_OK);
  assert_near(row(&e, "newest")->at[0].of[WN_METRIC_RECALL].mean, 0, 0);
  assert_near(row(&e, "random")->at[2].of[WN_METRIC_RECALL].mean, 0,
              0); /* k 50: everything that may be shown */
  wn_evaluation_clear(&e);
  for (uint32_t i = 10; i < 20; i++) created[i] = 1000000; /* known before the cut: fair */
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_OK);
  assert_near(row(&e, "random")->at[2].of[WN_METRIC_RECALL].mean, 1, 0);
  wn_evaluation_clear(&e);
  wn_split_clear(&split);
}

static void bad_input(void **state) {
  (void)state;
  wn_split split = split_of();
  wn_evaluate_options o;
  wn_evaluation e;
  wn_error err = {0};
  defaults(&o, "popular");
  o.cutoffs[0] = 0;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "k");
  o.cutoffs_len = 0;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_E_ARGUMENT);
  wn_split_clear(&split);
  /* nobody has both a past and a future */
  const wn_event past = {0, 0, 0, NAN, 1000, 1}, future = {1, 1, 0, NAN, 2000, 2};
  assert_int_equal(wn_split_given((wn_event_list){&past, 1}, (wn_event_list){&future, 1}, &signals,
                                  &split, &err),
                   WN_OK);
  defaults(&o, "popular");
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "no user"));
  wn_split_clear(&split);
}

/* A scorer to whom all are equal gets what random gets, and a list of one level the same. */
static void all_ties(void **state) {
  (void)state;
  enum { N = USERS * ITEMS };
  static uint64_t ptr[USERS + 1];
  static uint32_t item[N];
  static float level[N];
  wn_split split = split_of();
  wn_evaluate_options o;
  wn_evaluation e;
  wn_error err = {0};
  for (uint32_t u = 0; u < USERS; u++) { /* everything she may be shown, in the order of numbers */
    ptr[u + 1] = ptr[u];
    for (uint32_t i = 0; i < split.items; i++) {
      bool seen = wn_ascending_find(split.seen.item + split.seen.ptr[u],
                                    (size_t)(split.seen.ptr[u + 1] - split.seen.ptr[u]), i) >= 0;
      if (!seen) item[ptr[u + 1]++] = i;
    }
  }
  const wn_given_lists constant = {"constant", {ptr, item, level}, USERS};
  defaults(&o, "popular");
  o.given = &constant;
  o.given_len = 1;
  o.cutoffs[2] = ITEMS;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_OK);
  const wn_model_result *given = row(&e, "constant");
  assert_int_equal(given->users_tied, e.users_evaluated);
  for (size_t c = 0; c < e.cutoffs_len; c++) {
    assert_near(given->at[c].of[WN_METRIC_NDCG].mean, e.constant.expected[WN_METRIC_NDCG][c], 1e-9);
    assert_near(given->at[c].of[WN_METRIC_RECALL].mean, e.constant.expected[WN_METRIC_RECALL][c],
                1e-9);
  }
  assert_near(given->at[2].of[WN_METRIC_RECALL].mean, 1, 1e-9); /* the whole catalogue */
  assert_string_equal(e.guards[1].name, "constant = random");
  assert_int_equal(e.guards[1].state, WN_GUARD_PASS);
  wn_evaluation_clear(&e);
  wn_split_clear(&split);
}

static void one_user(void **state) {
  (void)state;
  const wn_event past = {0, 0, UINT32_MAX, NAN, 1000, 1}, future = {0, 1, UINT32_MAX, NAN, 2000, 2};
  wn_evaluate_options o;
  wn_evaluation e;
  wn_split split;
  wn_error err = {0};
  assert_int_equal(wn_split_given((wn_event_list){&past, 1}, (wn_event_list){&future, 1}, &signals,
                                  &split, &err),
                   WN_OK);
  defaults(&o, "popular");
  o.metrics = WN_METRICS_ALL;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &e, &err), WN_OK);
  assert_int_equal(e.users_evaluated, 1);
  const wn_interval recall = row(&e, "random")->at[0].of[WN_METRIC_RECALL];
  assert_near(recall.mean, 1, 0);                       /* one item is left to show */
  assert_true(isnan(recall.low) && isnan(recall.high)); /* she says nothing about others */
  assert_int_equal(e.guards[0].state, WN_GUARD_WARN);   /* the population */
  wn_evaluation_clear(&e);
  wn_split_clear(&split);
}

/* Rows of other users do not compare. */
static void other_users_are_refused(void **state) {
  (void)state;
  static wn_evaluation all, some;
  wn_split split = split_of();
  wn_evaluate_options o;
  wn_comparison c;
  wn_error err = {0};
  defaults(&o, "covisit");
  assert_int_equal(wn_evaluate(&split, &signals, &o, &all, &err), WN_OK);
  o.users_max = 30;
  assert_int_equal(wn_evaluate(&split, &signals, &o, &some, &err), WN_OK);
  size_t covisit = wn_evaluation_find(&all, "covisit"),
         popular = wn_evaluation_find(&all, "popular");
  assert_int_equal(wn_evaluation_compare(&all, covisit, &all, popular, &c, &err), WN_OK);
  assert_true(c.difference.low > 0 && c.t_p < 0.01 && c.wins > c.losses);
  assert_near(c.difference.mean, all.rows[covisit].over_popular.difference.mean, 1e-12);
  assert_int_equal(wn_evaluation_compare(&all, covisit, &some, popular, &c, &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "not comparable"));
  wn_evaluation_clear(&all);
  wn_evaluation_clear(&some);
  wn_split_clear(&split);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(taste_beats_popularity),
      cmocka_unit_test(popular_equals_a_naive_ranking),
      cmocka_unit_test(threads_do_not_change_a_digit),
      cmocka_unit_test(areas_leave_the_rest_alone),
      cmocka_unit_test(a_sample_is_counted),
      cmocka_unit_test(bad_input),
      cmocka_unit_test(the_future_catalogue_is_hidden),
      cmocka_unit_test(all_ties),
      cmocka_unit_test(one_user),
      cmocka_unit_test(other_users_are_refused),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
