/* How well ids and titles answer what was typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "serve/find.h"
#include "serve/http_parse.h"
#include <string.h>
#include <strings.h>

static wn_fit fit(const char *q, const char *id, const char *title) {
  return wn_find_fit(wn_str_of(q), wn_str_of(id), wn_str_of(title));
}

static void test_fit(void **state) {
  (void)state;
  assert_int_equal(fit("nginx", "nginx", NULL), WN_FIT_ID);
  assert_int_equal(fit(" NgInx ", "nginx", "a server"), WN_FIT_ID);
  assert_int_equal(fit("ngi", "nginx", NULL), WN_FIT_PREFIX);
  assert_int_equal(fit("mod", "libnginx-mod", NULL), WN_FIT_WORD);
  assert_int_equal(fit("inx", "nginx", NULL), WN_FIT_PART);
  assert_int_equal(fit("web", "nginx", "Web server"), WN_FIT_WORD);
  assert_int_equal(fit("apache", "nginx", "web server"), WN_FIT_NONE);
  assert_int_equal(fit("nginx web", "nginx", "a web server"), WN_FIT_WORD);
  assert_int_equal(fit("nginx apache", "nginx", "a web server"), WN_FIT_NONE);
  assert_int_equal(fit("", "nginx", NULL), WN_FIT_PART);
  assert_int_equal(fit("   ", "nginx", NULL), WN_FIT_PART);
  assert_int_equal(fit("nginxx", "nginx", ""), WN_FIT_NONE);
  assert_int_equal(fit("träum", "x", "Nachtträumer"), WN_FIT_PART);
}

/* One word is found exactly where the text holds it, whatever its case. */
static void test_against_a_twin(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 7);
  for (int round = 0; round < 20000; round++) {
    char text[13] = "", word[4] = "";
    size_t text_len = wn_rng_below(&rng, 12), word_len = 1 + wn_rng_below(&rng, 3);
    for (size_t i = 0; i < text_len; i++) text[i] = "aAbB-c"[wn_rng_below(&rng, 6)];
    for (size_t i = 0; i < word_len; i++) word[i] = "abAB-"[wn_rng_below(&rng, 5)];
    bool holds = false;
    for (size_t i = 0; i + word_len <= text_len; i++)
      holds = holds || strncasecmp(text + i, word, word_len) == 0;
    assert_int_equal(fit(word, text, NULL) != WN_FIT_NONE, holds);
    assert_int_equal(fit(word, "", text) != WN_FIT_NONE, holds);
  }
}

static void test_header_lists(void **state) {
  (void)state;
  assert_true(wn_header_lists(WN_STR("br, gzip"), "gzip"));
  assert_true(wn_header_lists(WN_STR("GZIP;q=0.5"), "gzip"));
  assert_false(wn_header_lists(WN_STR("gzip;q=0, br"), "gzip"));
  assert_false(wn_header_lists(WN_STR("gzipped"), "gzip"));
  assert_false(wn_header_lists(WN_STR(""), "gzip"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fit),
      cmocka_unit_test(test_against_a_twin),
      cmocka_unit_test(test_header_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
