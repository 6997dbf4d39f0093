#include "harness.h"

#include "base/json_write.h"
#include "base/mem.h"
#include "base/rng.h"

#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>

static void test_nesting(WN_UNUSED void **state) {
  wn_buf out = {0};
  wn_json j;
  wn_json_init(&j, &out);
  wn_json_object(&j);
  wn_json_key(&j, "a");
  wn_json_array(&j);
  wn_json_int(&j, 1);
  wn_json_array(&j);
  wn_json_end_array(&j);
  wn_json_object(&j);
  wn_json_end_object(&j);
  wn_json_null(&j);
  wn_json_end_array(&j);
  wn_json_key_str(&j, WN_STR("b\""));
  wn_json_bool(&j, true);
  wn_json_key(&j, "c");
  wn_json_raw(&j, WN_STR("{\"x\":[]}"));
  wn_json_key(&j, "d");
  wn_json_cstring(&j, NULL);
  wn_json_end_object(&j);
  assert_string_equal(wn_buf_c(&out),
                      "{\"a\":[1,[],{},null],\"b\\\"\":true,\"c\":{\"x\":[]},\"d\":null}");
  wn_buf_clear(&out);
}

static void test_wrong_nesting_fails(WN_UNUSED void **state) {
  wn_buf out = {0};
  wn_json j;
  wn_json_init(&j, &out);
  wn_json_end_array(&j);
  assert_true(out.failed);
  wn_buf_clear(&out);
  wn_json_init(&j, &out);
  for (int i = 0; i < WN_JSON_DEPTH_MAX - 1; i++) wn_json_array(&j);
  assert_false(out.failed);
  for (int i = 0; i < 10; i++) wn_json_array(&j);
  assert_true(out.failed);
  wn_buf_clear(&out);
}

static void check_string(wn_str in, const char *want) {
  wn_buf out = {0};
  wn_json j;
  wn_json_init(&j, &out);
  wn_json_string(&j, in);
  assert_string_equal(wn_buf_c(&out), want);
  wn_buf_clear(&out);
}

static void test_strings(WN_UNUSED void **state) {
  check_string(WN_STR("plain"), "\"plain\"");
  check_string(WN_STR(""), "\"\"");
  check_string((wn_str){0}, "null");
  check_string(WN_STR("a\"b\\c/\n\t\r\b\f\x01\x1f\0z\x7f"),
               "\"a\\\"b\\\\c/\\n\\t\\r\\b\\f\\u0001\\u001f\\u0000z\x7f\"");
  check_string(WN_STR("\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"),
               "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"");
  check_string(WN_STR("a\xFFz\xC3"), "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"");
  check_string(WN_STR("\xED\xA0\x80"), "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
  check_string(WN_STR("\xEF\xBF\xBD"), "\"\xEF\xBF\xBD\"");
}

static void test_random_strings_read_back(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 7);
  for (int round = 0; round < 5000; round++) {
    char text[40];
    size_t len = (size_t)wn_rng_below(&rng, sizeof text);
    for (size_t i = 0; i < len; i++) {
      text[i] =
          (char)(wn_rng_below(&rng, 3) == 0 ? wn_rng_below(&rng, 256) : wn_rng_below(&rng, 128));
    }
    wn_buf out = {0};
    wn_json j;
    wn_json_init(&j, &out);
    wn_json_string(&j, (wn_str){text, len});
    json_t *back = json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(back);
    if (wn_utf8_valid((wn_str){text, len})) {
      assert_int_equal(json_string_length(back), len);
      if (len > 0) assert_memory_equal(json_string_value(back), text, len);
    }
    json_decref(back);
    wn_buf_clear(&out);
  }
}

static const char *double_text(wn_buf *out, double value) {
  wn_json j;
  wn_buf_reset(out);
  wn_json_init(&j, out);
  wn_json_double(&j, value);
  return wn_buf_c(out);
}

static const char *float_text(wn_buf *out, float value) {
  wn_json j;
  wn_buf_reset(out);
  wn_json_init(&j, out);
  wn_json_float(&j, value);
  return wn_buf_c(out);
}

static void test_number_texts(WN_UNUSED void **state) {
  static const struct {
    double value;
    const char *text;
  } cases[] = {
      {0, "0"},
      {-0.0, "-0.0"},
      {1, "1"},
      {-17, "-17"},
      {0.1, "0.1"},
      {0.5, "0.5"},
      {1.5, "1.5"},
      {-2.25, "-2.25"},
      {1.0 / 3, "0.3333333333333333"},
      {1e-5, "0.00001"},
      {123456.789, "123456.789"},
      {9007199254740991.0, "9007199254740991"},
      {1e15, "1000000000000000"},
      {1e21, "1e+21"},
      {5e-324, "5e-324"},
      {1e-7, "1e-07"},
      {0.1 + 0.2, "0.30000000000000004"},
      {1.7976931348623157e308, "1.7976931348623157e+308"},
      {NAN, "null"},
      {INFINITY, "null"},
  };
  wn_buf out = {0};
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    assert_string_equal(double_text(&out, cases[i].value), cases[i].text);
  }
  assert_string_equal(float_text(&out, 0.1f), "0.1");
  assert_string_equal(float_text(&out, 16777216.0f), "16777216");
  assert_string_equal(float_text(&out, 0.7325162f), "0.7325162");
  assert_string_equal(float_text(&out, 1e-45f), "1e-45");
  assert_string_equal(float_text(&out, -INFINITY), "null");
  wn_json j;
  wn_buf_reset(&out);
  wn_json_init(&j, &out);
  wn_json_array(&j);
  wn_json_int(&j, INT64_MIN);
  wn_json_int(&j, INT64_MAX);
  wn_json_int(&j, 0);
  wn_json_end_array(&j);
  assert_string_equal(wn_buf_c(&out), "[-9223372036854775808,9223372036854775807,0]");
  wn_buf_clear(&out);
}

static int significant_digits(const char *text) {
  int digits = 0, zeros = 0;
  for (const char *c = text; *c != '\0' && *c != 'e'; c++) {
    if (*c < '0' || *c > '9') continue;
    if (*c != '0') {
      digits += zeros + 1;
      zeros = 0;
    } else if (digits > 0) {
      zeros++;
    }
  }
  return digits;
}

/* The shortest that printf can do. */
static int least_digits(double value, bool single) {
  char text[40];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value) return digits;
  }
  return 17;
}

static void test_doubles_read_back_shortest(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 11);
  wn_buf out = {0};
  for (int i = 0; i < 40000; i++) {
    uint64_t bits = wn_rng_next(&rng);
    double v;
    memcpy(&v, &bits, sizeof v);
    if (i % 4 == 1) v = wn_rng_double(&rng);
    if (i % 4 == 2) v = (double)wn_rng_below(&rng, 1000000) / 1000;
    if (i % 4 == 3) v = wn_rng_normal(&rng) * pow(10, (double)wn_rng_below(&rng, 24) - 8);
    if (!isfinite(v)) continue;
    const char *text = double_text(&out, v);
    if (strtod(text, NULL) != v) fail_msg("%s is not %.17g", text, v);
    bool whole = fabs(v) < 0x1p53 && v == floor(v);
    if (!whole && significant_digits(text) > least_digits(v, false)) fail_msg("%s too long", text);
  }
  wn_buf_clear(&out);
}

static void test_floats_read_back_shortest(WN_UNUSED void **state) {
  wn_rng rng;
  wn_rng_seed(&rng, 12);
  wn_buf out = {0};
  for (int i = 0; i < 60000; i++) {
    uint32_t bits = (uint32_t)wn_rng_next(&rng);
    float v;
    memcpy(&v, &bits, sizeof v);
    if (i % 2 == 1) v = (float)wn_rng_normal(&rng);
    if (!isfinite(v)) continue;
    const char *text = float_text(&out, v);
    if (strtof(text, NULL) != v) fail_msg("%s is not %.9g", text, (double)v);
    if ((float)strtod(text, NULL) != v)
      fail_msg("%s is not %.9g by way of double", text, (double)v);
    bool whole = fabsf(v) < 0x1p53f && v == floorf(v);
    if (!whole && significant_digits(text) > least_digits((double)v, true))
      fail_msg("%s too long", text);
  }
  wn_buf_clear(&out);
}

static void test_numbers_ignore_locale(WN_UNUSED void **state) {
  if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL && setlocale(LC_ALL, "fr_FR.UTF-8") == NULL) skip();
  wn_buf out = {0};
  char text[64];
  snprintf(text, sizeof text, "%s", double_text(&out, 1.25e300));
  setlocale(LC_ALL, "C");
  assert_string_equal(text, "1.25e+300");
  wn_buf_clear(&out);
}

static void test_out_of_memory(WN_UNUSED void **state) {
  for (long n = 0; n < 5; n++) {
    wn_buf out = {0};
    wn_json j;
    wn_json_init(&j, &out);
    wn_mem_fail_after(n);
    wn_json_array(&j);
    for (int i = 0; i < 100; i++) wn_json_double(&j, i + 0.25);
    wn_json_end_array(&j);
    bool whole = wn_buf_c(&out) != NULL;
    long made = wn_mem_allocations();
    wn_mem_fail_after(-1);
    assert_int_equal(whole, made <= n);
    wn_buf_clear(&out);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nesting),
      cmocka_unit_test(test_wrong_nesting_fails),
      cmocka_unit_test(test_strings),
      cmocka_unit_test(test_random_strings_read_back),
      cmocka_unit_test(test_number_texts),
      cmocka_unit_test(test_doubles_read_back_shortest),
      cmocka_unit_test(test_floats_read_back_shortest),
      cmocka_unit_test(test_numbers_ignore_locale),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
