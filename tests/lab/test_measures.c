/* What evaluation computes as lists come against the plain definitions over all lists: ties by
 * groups, list measures, the bootstrap of many columns, labels, content hashes. */
#include "lab/harness.h"

#include "base/mem.h"
#include "base/rng.h"
#include "lab/beyond.h"
#include "lab/bootstrap.h"
#include "lab/fingerprint.h"
#include "lab/list_measures.h"
#include "lab/scored.h"

enum { USERS = 40, ITEMS = 30, K = 8 };

/* Tied groups give what the scored items give. */
static void groups_of_ties(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 5);
  for (int round = 0; round < 500; round++) {
    double score[20], gain[22];
    wn_tied_group groups[20];
    size_t n = 0, relevant = 0, k = 1 + wn_rng_below(&rng, 12);
    for (size_t i = 0; i < 20; i++) {
      bool next = i == 0 || wn_rng_below(&rng, 3) == 0;
      score[i] = next && i > 0 ? score[i - 1] - 1 : i > 0 ? score[i - 1] : 100;
      gain[i] = wn_rng_below(&rng, 4) == 0;
      if (next) groups[n++] = (wn_tied_group){0, 0};
      groups[n - 1].len++;
      groups[n - 1].relevant += gain[i] > 0;
      relevant += gain[i] > 0;
    }
    gain[20] = gain[21] = wn_rng_below(&rng, 2) == 0; /* some that nobody scored */
    relevant += gain[20] > 0 ? 2 : 0;
    if (relevant == 0) continue;
    wn_tied_metrics a, b;
    assert_true(wn_tied_metrics_of(score, gain, 20, 22, k, &a));
    wn_tied_metrics_of_groups(groups, n, relevant, k, &b);
    const double *x = (const double *)&a, *y = (const double *)&b;
    for (size_t i = 0; i < sizeof a / sizeof(double); i++) assert_near(y[i], x[i], 1e-12);
    assert_true(b.worst.ndcg <= b.expected.ndcg + 1e-12 && b.expected.ndcg <= b.best.ndcg + 1e-12);
  }
}

/* One pass over a catalogue's scores gives what sorting them gives; the table of cells must be
 * right whatever the range: ties, equal scores only, tiny and huge gaps, no score at all. */
static void areas_in_one_pass(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 11);
  for (int round = 0; round < 3000; round++) {
    float score[200];
    double ranked[200];
    uint8_t label[200], is[200] = {0};
    uint32_t items[200];
    wn_area_step room[200];
    wn_areas plain, fast;
    size_t n = 1 + wn_rng_below(&rng, 200), m = 0, relevant = 0;
    unsigned levels = 1 + (unsigned)wn_rng_below(&rng, 300), every = 1 + (unsigned)(round % 9);
    for (uint32_t i = 0; i < n; i++) {
      double x = (double)wn_rng_below(&rng, levels) - 20;
      if (round % 4 == 1) x = exp(x);
      if (round % 4 == 2) x = x * 1e37;
      score[i] = wn_rng_below(&rng, 20) == 0 ? -INFINITY : (float)x;
      if (wn_rng_below(&rng, 6) == 0) score[i] = NAN;
      if (wn_rng_below(&rng, every) == 0) items[relevant++] = i, is[i] = 1;
      if (isnan(score[i])) continue;
      label[m] = is[i];
      ranked[m++] = (double)score[i];
    }
    assert_true(wn_areas_of(ranked, label, m, &plain));
    wn_areas_of_relevant(score, n, &(wn_relevant){items, NULL, relevant}, room, &fast);
    assert_true(plain.positives == fast.positives && plain.negatives == fast.negatives);
    assert_true(isnan(plain.roc_auc) == isnan(fast.roc_auc));
    if (!isnan(plain.roc_auc)) assert_near(fast.roc_auc, plain.roc_auc, 1e-14);
    assert_near(fast.average_precision, plain.average_precision, 1e-14);
  }
}

typedef struct rows {
  uint64_t ptr[USERS + 1];
  uint32_t item[USERS * ITEMS];
} rows;

static void random_rows(wn_rng *rng, unsigned one_in, rows *out) {
  uint64_t n = 0;
  for (size_t u = 0; u < USERS; u++) {
    out->ptr[u] = n;
    for (uint32_t i = 0; i < ITEMS; i++)
      if (wn_rng_below(rng, one_in) == 0) out->item[n++] = i;
  }
  out->ptr[USERS] = n;
}

/* List by list equals all at once, at each cutoff. */
static void list_by_list(void **state) {
  (void)state;
  static rows train, test, recs;
  static wn_novelty novelty[USERS];
  static wn_list_diversity diversity[USERS];
  const uint32_t sizes[2] = {USERS, ITEMS}, cutoffs[2] = {3, K};
  double sums[USERS] = {0};
  wn_list_context context;
  wn_rng rng;
  wn_rng_seed(&rng, 9);
  random_rows(&rng, 4, &train);
  random_rows(&rng, 6, &test);
  assert_true(wn_list_context_init(&context, train.ptr, train.item, sizes));
  for (size_t c = 0; c < 2; c++) {
    uint64_t n = 0;
    for (size_t u = 0; u < USERS; u++) { /* u's list begins at item 7u, the first users have none */
      recs.ptr[u] = n;
      for (uint32_t i = 0; u >= 2 && i < cutoffs[c]; i++)
        recs.item[n++] = (uint32_t)(7 * u + 11 * i) % ITEMS;
    }
    recs.ptr[USERS] = n;
    const wn_lists lists = {USERS, recs.ptr, recs.item}, past = {USERS, train.ptr, train.item},
                   future = {USERS, test.ptr, test.item};
    const uint32_t items_k[2] = {ITEMS, cutoffs[c]};
    assert_true(wn_novelty_of(&lists, &past, &future, items_k, novelty));
    assert_true(wn_list_diversity_of(&lists, &past, &future, ITEMS, diversity));
    for (size_t u = 0; u < USERS; u++) {
      wn_list_measures got[2];
      const wn_ranked list = {recs.item + recs.ptr[u], (size_t)(recs.ptr[u + 1] - recs.ptr[u])};
      const wn_list_user user = {
          train.item + train.ptr[u],
          (size_t)(train.ptr[u + 1] - train.ptr[u]),
          {test.item + test.ptr[u], NULL, (size_t)(test.ptr[u + 1] - test.ptr[u])},
          sums};
      wn_list_measures_at(&context, &list, &user, cutoffs, 2, got);
      const double a[] = {got[c].popularity, got[c].novelty, got[c].self_information, got[c].epc,
                          got[c].unexpected, got[c].ild,     got[c].serendipity};
      const double b[] = {
          novelty[u].arp,        novelty[u].miuf,          novelty[u].self_information,
          novelty[u].epc,        diversity[u].serendipity, diversity[u].diversity,
          novelty[u].serendipity};
      for (size_t i = 0; i < 7; i++) {
        assert_int_equal(isnan(a[i]), isnan(b[i]));
        if (!isnan(a[i])) assert_near(a[i], b[i], 1e-12);
      }
      for (size_t i = 0; i < USERS; i++) assert_true(sums[i] == 0);
    }
  }
  wn_list_context_clear(&context);
}

/* Means and spread of a known law; users without a value are left out; threads change nothing. */
static void many_columns(void **state) {
  (void)state;
  enum { N = 2000 };
  static double x[N], holes[N], weight[N];
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  double sum = 0, weights = 0, holed = 0, some = 0;
  for (size_t i = 0; i < N; i++) {
    x[i] = wn_rng_normal(&rng);
    weight[i] = (double)(1 + wn_rng_below(&rng, 5));
    holes[i] = i % 3 == 0 ? NAN : x[i];
    sum += x[i] * weight[i];
    weights += weight[i];
    if (i % 3 != 0) holed += x[i], some++;
  }
  const uint64_t samples_seed[2] = {1000, 7};
  wn_interval first[3];
  for (int threads = 1; threads <= 3; threads += 2) {
    wn_bootstrap_column columns[3] = {
        {x, NULL, {0, 0, 0}}, {x, weight, {0, 0, 0}}, {holes, NULL, {0, 0, 0}}};
    wn_pool *pool = wn_pool_create(threads);
    assert_true(wn_bootstrap_columns(pool, columns, 3, N, samples_seed));
    wn_pool_free(pool);
    assert_near(columns[1].out.mean, sum / weights, 1e-12);
    assert_near(columns[2].out.mean, holed / some, 1e-12);
    /* 2 × 1.96 / √n, within a tenth */
    assert_near(columns[0].out.high - columns[0].out.low, 3.92 / sqrt(N), 0.4 / sqrt(N));
    assert_near(columns[2].out.high - columns[2].out.low, 3.92 / sqrt(some), 0.4 / sqrt(some));
    for (size_t c = 0; c < 3; c++) {
      if (threads == 1) first[c] = columns[c].out;
      assert_memory_equal(&first[c], &columns[c].out, sizeof first[c]);
    }
  }
}

static void labels(void **state) {
  (void)state;
  static const char *const names[3] = {"head", "torso", "tail"};
  const uint32_t amount[] = {1, 50, 0, 30, 20, 49};
  wn_labels l;
  wn_error err = {0};
  assert_int_equal(wn_labels_thirds(amount, 6, "popularity", names, &l, &err), WN_OK);
  const int want[] = {2, 0, -1, 1, 2, 1}; /* 49 begins at 50 of 150, 30 at 99, 20 at 129 */
  for (uint32_t r = 0; r < 6; r++) {
    assert_int_equal(l.ptr[r + 1] - l.ptr[r], want[r] >= 0);
    if (want[r] >= 0) assert_int_equal(l.group[l.ptr[r]], want[r]);
  }
  wn_labels_clear(&l);

  wn_labels_builder *b = wn_labels_builder_create("genre", 3);
  const wn_str two[] = {wn_str_of("drama"), wn_str_of("crime")}, one[] = {wn_str_of("drama")};
  const wn_attr a = {.name = wn_str_of("genre"), .kind = WN_ATTR_LIST, .list = two, .list_len = 2},
                c = {.name = wn_str_of("genre"), .kind = WN_ATTR_LIST, .list = one, .list_len = 1};
  assert_int_equal(wn_labels_builder_finish(b, &l, &err), WN_E_NOT_FOUND);
  assert_int_equal(wn_labels_builder_add(b, 2, &(wn_attrs){&a, 1}, &err), WN_OK);
  assert_int_equal(wn_labels_builder_add(b, 0, &(wn_attrs){&c, 1}, &err), WN_OK);
  assert_int_equal(wn_labels_builder_add(b, 9, &(wn_attrs){&c, 1}, &err), WN_OK);
  assert_int_equal(wn_labels_builder_finish(b, &l, &err), WN_OK);
  assert_int_equal(l.groups, 2);
  assert_string_equal(l.name[0], "drama");
  assert_int_equal(l.ptr[1], 1);
  assert_int_equal(l.ptr[2], 1);
  assert_int_equal(l.ptr[3], 3);
  wn_labels_clear(&l);
  wn_labels_builder_free(b);
}

/* The same content in another order and numbering hashes alike, another value does not. */
static void content_hash(void **state) {
  (void)state;
  wn_error err = {0};
  uint64_t a, b, c;
  wn_event events[] = {{0, 1, 0, NAN, 100, 1}, {1, 0, 0, NAN, 200, 2}, {1, 1, 0, 3, 300, 3}};
  wn_event turned[] = {{0, 0, 0, 3, 300, 1}, {1, 0, 0, NAN, 100, 2}, {0, 1, 0, NAN, 200, 3}};
  wn_dict *users[2] = {wn_dict_create(), wn_dict_create()},
          *items[2] = {wn_dict_create(), wn_dict_create()};
  const char *user_ids[2][2] = {{"anna", "bert"}, {"bert", "anna"}},
             *item_ids[2][2] = {{"x", "y"}, {"y", "x"}};
  for (int way = 0; way < 2; way++)
    for (int i = 0; i < 2; i++) {
      uint32_t ix;
      bool added;
      assert_int_equal(wn_dict_add(users[way], wn_str_of(user_ids[way][i]), &ix, &added), WN_OK);
      assert_int_equal(wn_dict_add(items[way], wn_str_of(item_ids[way][i]), &ix, &added), WN_OK);
    }
  assert_int_equal(wn_dataset_hash((wn_event_list){events, 3},
                                   &(wn_content_ids){users[0], items[0], NULL}, &a, &err),
                   WN_OK);
  assert_int_equal(wn_dataset_hash((wn_event_list){turned, 3},
                                   &(wn_content_ids){users[1], items[1], NULL}, &b, &err),
                   WN_OK);
  assert_true(a == b);
  turned[0].value = 4;
  assert_int_equal(wn_dataset_hash((wn_event_list){turned, 3},
                                   &(wn_content_ids){users[1], items[1], NULL}, &c, &err),
                   WN_OK);
  assert_true(a != c);
  assert_int_equal(wn_dataset_hash((wn_event_list){events, 2}, NULL, &c, &err), WN_OK);
  assert_true(a != c);
  for (int way = 0; way < 2; way++) {
    wn_dict_free(users[way]);
    wn_dict_free(items[way]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(groups_of_ties), cmocka_unit_test(list_by_list),
      cmocka_unit_test(many_columns),   cmocka_unit_test(labels),
      cmocka_unit_test(content_hash),   cmocka_unit_test(areas_in_one_pass),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
