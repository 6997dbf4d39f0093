/* Offline against online: the correlation, its interval, and what may be said. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "lab/scatter.h"
#include "lab/stats.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void put(wn_scatter *s, const char *name, double x, double y, double bar) {
  const double offline[3] = {x - bar, x, x + bar}, online[3] = {y - bar, y, y + bar};
  assert_true(wn_scatter_add(s, name, offline, online));
}

static wn_scatter line(size_t n, double sign, double bar) {
  wn_scatter s = {.offline = "ndcg@10", .online = "click-conversion"};
  wn_error err;
  for (size_t i = 0; i < n; i++) put(&s, "p", (double)i, sign * (double)i, bar);
  assert_int_equal(wn_scatter_conclude(&s, 1, &err), WN_OK);
  return s;
}

static void test_agreement(void **state) {
  (void)state;
  wn_scatter up = line(8, 1, 0.01), down = line(8, -1, 0.01), few = line(3, 1, 0.01);
  assert_true(up.rank == 1 && up.low > 0.5 && up.high <= 1);
  assert_non_null(strstr(up.sentence, "ndcg@10 predicts click-conversion here"));
  assert_true(down.rank == -1 && down.high < -0.5);
  assert_non_null(strstr(down.sentence, "the opposite"));
  assert_true(isnan(few.rank));
  assert_non_null(strstr(few.sentence, "cannot be said"));
  /* four policies in the right order may be chance */
  wn_scatter four = line(4, 1, 0.01);
  assert_true(four.rank == 1 && four.low < 0);
  assert_non_null(strstr(four.sentence, "is not shown to predict"));
}

/* Error bars wider than what sets the policies apart take the certainty away. */
static void test_error_bars_count(void **state) {
  (void)state;
  wn_scatter sharp = line(10, 1, 0.01), blunt = line(10, 1, 30);
  assert_true(sharp.low > 0 && blunt.low < sharp.low - 0.3);
  assert_true(blunt.low < 0);
}

/* Points without one of the coordinates are points, and count for nothing. */
static void test_half_points(void **state) {
  (void)state;
  const double offline[3] = {0, 1, 2}, none[3] = {(double)NAN, (double)NAN, (double)NAN};
  wn_scatter s = line(8, 1, 0.01);
  wn_error err;
  wn_buf svg = {0}, text = {0};
  wn_json json;
  double rank = s.rank, low = s.low;
  assert_true(wn_scatter_add(&s, "random", offline, none));
  assert_int_equal(wn_scatter_conclude(&s, 1, &err), WN_OK);
  assert_true(s.both == 8 && s.len == 9 && s.rank == rank && s.low == low);
  wn_scatter_plot(&s, &svg);
  wn_buf_char(&svg, '\0');
  assert_non_null(strstr(svg.data, ">random</text>"));
  wn_json_init(&json, &text);
  wn_scatter_to_json(&s, &json);
  wn_buf_char(&text, '\0');
  assert_non_null(strstr(text.data, "\"policy\":\"random\",\"offline\":{\"low\":0"));
  assert_non_null(strstr(text.data, "\"online\":null"));
  wn_buf_clear(&svg);
  wn_buf_clear(&text);
  while (s.len < WN_SCATTER_MAX) put(&s, "p", 0, 0, 1);
  assert_false(wn_scatter_add(&s, "one more", offline, offline));
}

/* Of policies drawn from a bivariate normal the 95% interval holds the true rank correlation in
 * about 95 of 100 cases: ρ_S = 6/π asin(ρ/2). */
static void test_coverage(void **state) {
  (void)state;
  enum { WORLDS = 300, N = 12 };
  const double rho = 0.6, truth = 6 / M_PI * asin(rho / 2);
  wn_rng rng;
  wn_error err;
  int held = 0;
  wn_rng_seed(&rng, 7);
  for (int w = 0; w < WORLDS; w++) {
    wn_scatter s = {.offline = "x", .online = "y"};
    for (int i = 0; i < N; i++) {
      double x = wn_rng_normal(&rng), y = rho * x + sqrt(1 - rho * rho) * wn_rng_normal(&rng);
      put(&s, "p", x, y, 1e-6);
    }
    assert_int_equal(wn_scatter_conclude(&s, (uint64_t)w, &err), WN_OK);
    held += s.low <= truth && truth <= s.high;
  }
  print_message("held %d of %d\n", held, WORLDS);
  assert_in_range(held, WORLDS * 91 / 100, WORLDS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_agreement),
      cmocka_unit_test(test_error_bars_count),
      cmocka_unit_test(test_half_points),
      cmocka_unit_test(test_coverage),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
