#include "harness.h"

#include "base/mem.h"
#include "base/rng.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

static void test_views(WN_UNUSED void **state) {
  wn_str absent = wn_str_of(NULL);
  assert_null(absent.ptr);
  assert_true(wn_str_equal(absent, WN_STR("")));
  assert_true(wn_str_is(WN_STR("ab"), "ab"));
  assert_false(wn_str_is(WN_STR("ab"), "abc"));
  assert_true(wn_str_compare(WN_STR("a"), WN_STR("ab")) < 0);
  assert_true(wn_str_compare(WN_STR("b"), WN_STR("ab")) > 0);
  assert_true(wn_str_compare(WN_STR("\xC3"), WN_STR("z")) > 0); /* unsigned bytes */
  assert_int_equal(wn_str_compare(absent, WN_STR("")), 0);
  assert_str(wn_str_trim(WN_STR(" \t a b\r\n")), "a b");
  assert_str(wn_str_trim(WN_STR(" \t ")), "");
}

/* Encoding as the standard's table has it, for the naive twin. */
static size_t encode(uint32_t c, char *out) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = len - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
  out[0] = (char)((len == 2 ? 0xC0 : len == 3 ? 0xE0 : 0xF0) | c);
  return len;
}

static void test_utf8_all_code_points(WN_UNUSED void **state) {
  for (uint32_t c = 0; c < 0x120000; c++) {
    char text[4];
    size_t len = encode(c, text), pos = 0;
    bool good = c < 0x110000 && !(c >= 0xD800 && c < 0xE000);
    wn_str s = {text, len};
    if (wn_utf8_valid(s) != good) fail_msg("U+%X", c);
    if (good && (wn_utf8_next(s, &pos) != c || pos != len)) fail_msg("U+%X decoded wrongly", c);
    if (good && len > 1 && wn_utf8_valid((wn_str){text, len - 1})) fail_msg("U+%X cut", c);
  }
}

static void test_utf8_two_byte_prefixes(WN_UNUSED void **state) {
  /* Overlong and stray bytes: every pair is valid exactly when it is what encode() makes. */
  for (unsigned a = 0; a < 256; a++) {
    for (unsigned b = 0; b < 256; b++) {
      char pair[2] = {(char)a, (char)b};
      bool ascii = a < 0x80 && b < 0x80;
      bool two = a >= 0xC2 && a < 0xE0 && b >= 0x80 && b < 0xC0;
      assert_int_equal(wn_utf8_valid((wn_str){pair, 2}), ascii || two);
    }
  }
  assert_false(wn_utf8_valid(WN_STR("\xE0\x80\x80")));
  assert_false(wn_utf8_valid(WN_STR("\xF0\x80\x80\x80")));
  assert_false(wn_utf8_valid(WN_STR("\xF5\x80\x80\x80")));
  assert_false(wn_utf8_valid(WN_STR("12345678\xFF")));
  assert_false(wn_utf8_valid(WN_STR("1234567\xE2\x82")));
  assert_true(wn_utf8_valid((wn_str){0}));
  size_t pos = 0;
  assert_int_equal(wn_utf8_next(WN_STR("\xE2\x82z"), &pos), 0xFFFD);
  assert_int_equal(pos, 1);
}

static void check_key(const char *key, size_t len, const char *want) {
  wn_error err = {0};
  wn_status status = wn_key_check((wn_str){key, len}, "user", &err);
  if (want == NULL) {
    assert_int_equal(status, WN_OK);
    return;
  }
  assert_int_equal(status, WN_E_ARGUMENT);
  assert_string_equal(err.field, "user");
  assert_contains(err.message, want);
}

static void test_key_check(WN_UNUSED void **state) {
  static char big[1025];
  memset(big, 'k', sizeof big);
  check_key("a", 1, NULL);
  check_key("a b/c \xC3\xA9\xEF\xBF\xBD", 11, NULL);
  check_key(big, 1024, NULL);
  check_key(big, 1025, "must be 1 to 1,024 bytes, got 1025");
  check_key("", 0, "got 0");
  check_key(NULL, 0, "required");
  check_key("a\0b", 3, "control");
  check_key("a\nb", 3, "byte 2 begins U+000A");
  check_key("\x7F", 1, "control");
  check_key("\xC2\x85", 2, "U+0085");
  check_key("ab\xFF", 3, "byte 3 (0xFF)");
  check_key("\xED\xA0\x80", 3, "UTF-8");
}

static void test_parse_int64(WN_UNUSED void **state) {
  static const struct {
    const char *text;
    bool ok;
    int64_t value;
  } cases[] = {
      {"0", true, 0},
      {"-0", true, 0},
      {"+7", true, 7},
      {"007", true, 7},
      {"", false, 0},
      {"-", false, 0},
      {"1 ", false, 0},
      {" 1", false, 0},
      {"0x10", false, 0},
      {"1e3", false, 0},
      {"1.0", false, 0},
      {"--1", false, 0},
      {"9223372036854775807", true, INT64_MAX},
      {"9223372036854775808", false, 0},
      {"-9223372036854775808", true, INT64_MIN},
      {"-9223372036854775809", false, 0},
      {"99999999999999999999", false, 0},
  };
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    int64_t value = 0;
    bool ok = wn_parse_int64(wn_str_of(cases[i].text), &value);
    if (ok != cases[i].ok || value != cases[i].value) fail_msg("\"%s\"", cases[i].text);
  }
}

static void test_parse_double_grammar(WN_UNUSED void **state) {
  static const char *const bad[] = {"",    ".",     "-",   "e5",  "1e",      "1e+",   " 1",
                                    "1 ",  "0x1p3", "nan", "inf", "-inf",    "1e999", "1,5",
                                    "1_0", "1.2.3", "--1", "1f",  "Infinity"};
  static const char *const good[] = {"0",
                                     "-0",
                                     "1",
                                     "+1.5",
                                     ".5",
                                     "5.",
                                     "1e5",
                                     "1E-5",
                                     "1e+22",
                                     "1e23",
                                     "1e-400",
                                     "4.9e-324",
                                     "1.7976931348623157e308",
                                     "123456789012345678901234567890",
                                     "0.1",
                                     "0e99999",
                                     "9007199254740993",
                                     "0.000000000000000000000000000001",
                                     "00000000000000000000000000000001.5",
                                     "2.2250738585072011e-308",
                                     "1000000000000000000000000",
                                     "1.00000000000000000000000000000000001",
                                     "179769313486231570793e288"};
  double value;
  for (size_t i = 0; i < COUNT_OF(bad); i++) {
    if (wn_parse_double(wn_str_of(bad[i]), &value)) fail_msg("\"%s\" was accepted", bad[i]);
  }
  for (size_t i = 0; i < COUNT_OF(good); i++) {
    if (!wn_parse_double(wn_str_of(good[i]), &value)) fail_msg("\"%s\" was refused", good[i]);
    double want = strtod(good[i], NULL);
    if (memcmp(&value, &want, sizeof value) != 0) fail_msg("\"%s\"", good[i]);
  }
  char exact[3] = {'4', '2', '7'}; /* no terminator */
  assert_true(wn_parse_double((wn_str){exact, 2}, &value));
  assert_true(value == 42);
}

static void test_parse_double_against_strtod(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 42);
  for (int i = 0; i < 200000; i++) {
    char text[64];
    uint64_t bits = wn_rng_next(&rng);
    double v;
    memcpy(&v, &bits, sizeof v);
    if (i % 2 == 0) v = (double)(int64_t)wn_rng_below(&rng, 1000000000) / 1e4;
    if (!isfinite(v)) continue;
    snprintf(text, sizeof text, "%.*g", 1 + (int)wn_rng_below(&rng, 20), v);
    double got, want = strtod(text, NULL);
    if (!isfinite(want)) continue;
    if (!wn_parse_double(wn_str_of(text), &got) || got != want) fail_msg("%s", text);
  }
}

static void test_numbers_ignore_locale(WN_UNUSED void **state) {
  if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL && setlocale(LC_ALL, "fr_FR.UTF-8") == NULL) skip();
  double value = 0;
  bool slow = wn_parse_double(WN_STR("1.2345678901234567890123e-3"), &value);
  setlocale(LC_ALL, "C");
  assert_true(slow);
  assert_true(value == 1.2345678901234567890123e-3);
}

static void test_buf(WN_UNUSED void **state) {
  wn_buf buf = {0};
  wn_buf_str(&buf, "ab");
  wn_buf_char(&buf, 'c');
  wn_buf_printf(&buf, "%d-%s", 12, "x");
  wn_buf_append(&buf, NULL, 0);
  assert_string_equal(wn_buf_c(&buf), "abc12-x");
  assert_int_equal(buf.len, 7);
  wn_buf_reset(&buf);
  for (int i = 0; i < 5000; i++) wn_buf_printf(&buf, "%04d", i);
  assert_int_equal(buf.len, 20000);
  assert_memory_equal(buf.data + 4 * 4321, "4321", 4);
  wn_buf_clear(&buf);
  assert_string_equal(wn_buf_c(&buf), "");
  wn_buf_clear(&buf);
}

static void test_buf_out_of_memory(WN_UNUSED void **state) {
  for (long n = 0; n < 6; n++) {
    wn_buf buf = {0};
    wn_mem_fail_after(n);
    for (int i = 0; i < 200; i++) wn_buf_str(&buf, "0123456789");
    const char *text = wn_buf_c(&buf);
    wn_mem_fail_after(-1);
    assert_int_equal(text == NULL, buf.failed);
    if (!buf.failed) assert_int_equal(strlen(text), 2000);
    if (n == 0) assert_true(buf.failed);
    wn_buf_clear(&buf);
    assert_false(buf.failed);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_views),
      cmocka_unit_test(test_utf8_all_code_points),
      cmocka_unit_test(test_utf8_two_byte_prefixes),
      cmocka_unit_test(test_key_check),
      cmocka_unit_test(test_parse_int64),
      cmocka_unit_test(test_parse_double_grammar),
      cmocka_unit_test(test_parse_double_against_strtod),
      cmocka_unit_test(test_numbers_ignore_locale),
      cmocka_unit_test(test_buf),
      cmocka_unit_test(test_buf_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
