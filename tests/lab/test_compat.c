/* What other tools print for the same lists: numbers that those tools gave (trec_eval to its four
 * digits). */
#include "lab/harness.h"

#include "lab/compat.h"

typedef struct judged {
  const char *list, *relevant; /* a letter an item; relevant ones ascending */
  size_t k;
} judged;

static void of(wn_compat tool, judged j, double out[WN_COMPAT_METRICS]) {
  uint32_t list[32], items[32];
  for (size_t i = 0; j.list[i] != '\0'; i++) list[i] = (uint32_t)j.list[i];
  for (size_t i = 0; j.relevant[i] != '\0'; i++) items[i] = (uint32_t)j.relevant[i];
  const wn_ranked ranked = {list, strlen(j.list)};
  const wn_relevant relevant = {items, NULL, strlen(j.relevant)};
  wn_compat_metrics(tool, &ranked, &relevant, j.k, out);
}

enum { NDCG, RECALL, PRECISION, HIT, MRR, MAP };

static void as_the_tools_print(void **state) {
  (void)state;
  const judged basic = {"abcde", "bex", 5}, many = {"abcdefg", "abcdefg", 3},
               last = {"abcdefghij", "j", 10}, swapped = {"ab", "b", 2};
  const struct {
    wn_compat tool;
    judged list;
    int metric;
    double value, tolerance;
  } all[] = {
      {WN_COMPAT_TREC_EVAL, basic, NDCG, 0.4776, 5e-5},
      {WN_COMPAT_TREC_EVAL, many, MAP, 0.4286, 5e-5}, /* map_cut_3 */
      {WN_COMPAT_TREC_EVAL, many, RECALL, 0.4286, 5e-5},
      {WN_COMPAT_RANX, many, MAP, 0.42857142857142855, 1e-12},
      {WN_COMPAT_RANX, basic, NDCG, 0.4776237035032179, 1e-12},
      {WN_COMPAT_RECBOLE, many, MAP, 1, 1e-12},
      {WN_COMPAT_RECBOLE, basic, MAP, 0.3, 1e-12},
      {WN_COMPAT_LENSKIT, basic, NDCG, 0.543791241910304, 1e-12},
      {WN_COMPAT_LENSKIT, last, NDCG, 0.3010299956639812, 1e-12},
      {WN_COMPAT_LENSKIT, swapped, NDCG, 1, 1e-12},
      {WN_COMPAT_LENSKIT, many, RECALL, 1, 1e-12},
      {WN_COMPAT_RECTOOLS, basic, NDCG, 0.3451913422468693, 1e-12},
      {WN_COMPAT_RECTOOLS, last, NDCG, 0.06362078819895171, 1e-12},
      {WN_COMPAT_RECTOOLS, swapped, NDCG, 0.38685280723454163, 1e-12},
      {WN_COMPAT_RECTOOLS, many, MAP, 0.42857142857142855, 1e-12},
  };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    double six[WN_COMPAT_METRICS];
    of(all[i].tool, all[i].list, six);
    assert_near(six[all[i].metric], all[i].value, all[i].tolerance);
  }
}

static void short_lists_and_cuts(void **state) {
  (void)state;
  double six[WN_COMPAT_METRICS];
  of(WN_COMPAT_LENSKIT, (judged){"ab", "b", 10}, six);
  assert_near(six[PRECISION], 0.5, 1e-15); /* of two, not of ten */
  of(WN_COMPAT_RECBOLE, (judged){"ab", "b", 10}, six);
  assert_near(six[PRECISION], 0.1, 1e-15);
  of(WN_COMPAT_TREC_EVAL, (judged){"abcd", "d", 2}, six);
  assert_near(six[MRR], 0.25, 1e-15); /* recip_rank knows no cut */
  of(WN_COMPAT_RANX, (judged){"abcd", "d", 2}, six);
  assert_near(six[MRR], 0, 0);
  for (int t = WN_COMPAT_NONE + 1; t < WN_COMPAT_TOOLS; t++) {
    assert_int_equal(wn_compat_find(wn_compat_name((wn_compat)t)), t);
    of((wn_compat)t, (judged){"", "b", 10}, six);
    for (size_t m = 0; m < WN_COMPAT_METRICS; m++) assert_near(six[m], 0, 0);
  }
  assert_int_equal(wn_compat_find("surprise"), WN_COMPAT_TOOLS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_the_tools_print),
      cmocka_unit_test(short_lists_and_cuts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
