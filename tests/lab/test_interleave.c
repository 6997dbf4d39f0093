/* Team-draft's propensities: the probability of a list is the product of its items', against drafts
 * that are drawn. WINNOW_SLATES sets how many (default 40,000; measured with 1,000,000). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "lab/interleave.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { K_MAX = 8, SEEN_MAX = 256 };

typedef struct seen_list {
  uint32_t list[K_MAX];
  size_t len;
  double p, count;
} seen_list;

static bool flip(void *rng) {
  return wn_rng_below(rng, 2) == 1;
}

static seen_list *find(seen_list *seen, size_t *len, const uint32_t *list, size_t k) {
  for (size_t i = 0; i < *len; i++)
    if (seen[i].len == k && memcmp(seen[i].list, list, k * sizeof *list) == 0) return &seen[i];
  assert_true(*len < SEEN_MAX);
  seen[*len] = (seen_list){.len = k};
  memcpy(seen[*len].list, list, k * sizeof *list);
  return &seen[(*len)++];
}

/* Every list that came up has the frequency that its propensities say, and there are no others. */
static void check(const wn_ranking_list rankers[2], size_t k, double slates) {
  static seen_list seen[SEEN_MAX];
  size_t seen_len = 0;
  uint32_t list[K_MAX];
  uint8_t team[K_MAX];
  double p[K_MAX], chi2 = 0, all = 0;
  wn_rng rng;
  wn_rng_seed(&rng, 11);
  for (double n = 0; n < slates; n++) {
    size_t len = wn_team_draft(rankers, k, flip, &rng, list, team);
    seen_list *at = find(seen, &seen_len, list, len);
    if (at->count++ > 0) continue;
    wn_team_draft_propensity(rankers, list, len, p);
    at->p = 1;
    for (size_t i = 0; i < len; i++) {
      assert_true(p[i] > 0 && p[i] <= 1);
      at->p *= p[i];
    }
  }
  for (size_t i = 0; i < seen_len; i++) {
    double expected = seen[i].p * slates;
    chi2 += (seen[i].count - expected) * (seen[i].count - expected) / expected;
    all += seen[i].p;
  }
  print_message("%zu lists, probability %.15g in all, chi2 %.1f\n", seen_len, all, chi2);
  assert_true(fabs(all - 1) < 1e-12);
  double dof = (double)seen_len - 1;
  assert_true(chi2 <= dof + 5 * sqrt(2 * dof) + 1e-9); /* five standard deviations */
}

static void test_propensities(void **state) {
  (void)state;
  static const uint32_t a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 4, 2, 7, 8, 9},
                        c[] = {6, 5, 4, 3, 2, 1}, d[] = {10, 11};
  const char *slates = getenv("WINNOW_SLATES");
  double n = slates != NULL ? atof(slates) : 40000;
  check((wn_ranking_list[2]){{a, 6}, {b, 6}}, 6, n);
  check((wn_ranking_list[2]){{a, 6}, {c, 6}}, 6, n);
  check((wn_ranking_list[2]){{a, 6}, {a, 6}}, 6, n); /* nothing is random */
  check((wn_ranking_list[2]){{a, 6}, {d, 2}}, 8, n); /* one list ends */
  check((wn_ranking_list[2]){{a, 6}, {d, 0}}, 4, n);
}

/* An item that neither team could have picked there has no probability. */
static void test_impossible(void **state) {
  (void)state;
  static const uint32_t a[] = {1, 2}, b[] = {3, 4}, list[] = {1, 2};
  double p[2];
  wn_team_draft_propensity((wn_ranking_list[2]){{a, 2}, {b, 2}}, list, 2, p);
  assert_true(fabs(p[0] - 0.5) < 1e-15 && p[1] == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_propensities),
                                     cmocka_unit_test(test_impossible)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
