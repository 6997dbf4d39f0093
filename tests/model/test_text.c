#include "fitting.h"
#include "model/text.h"

/* The words of `text`, joined by '|'. */
static void assert_words(const char *text, size_t len, const char *expected) {
  char got[4096] = "";
  wn_tokens tokens;
  wn_str word;
  wn_tokens_init(&tokens, (wn_str){text, len});
  while (wn_tokens_next(&tokens, &word)) {
    size_t at = strlen(got);
    snprintf(got + at, sizeof got - at, "%s%.*s", at > 0 ? "|" : "", WN_STR_ARG(word));
    assert_true(word.len <= WN_TOKEN_BYTES_MAX && wn_utf8_valid(word));
  }
  assert_string_equal(got, expected);
}
#define WORDS(text, expected) assert_words(text, sizeof(text) - 1, expected)

static void test_words(void **state) {
  (void)state;
  WORDS("", "");
  WORDS("  \n\t--- ", "");
  WORDS("Hello, World!", "hello|world");
  WORDS("GTK+ 3.0: a tool-kit's x86-64 code", "gtk|tool|kit|x86|64|code");
  WORDS("a b c", "");
  WORDS("one\0two", "one|two");
}

static void test_plurals(void **state) {
  (void)state;
  WORDS("games libraries classes boxes bus glass status trees",
        "game|library|classe|boxe|bus|glass|status|tree");
  WORDS("gas its ies", "gas|its|ies"); /* too short to judge */
}

static void test_unicode(void **state) {
  (void)state;
  WORDS("ÄRGER Straße ÉCOLE naïve", "ärger|straße|école|naïve");
  WORDS("ΑΘΗΝΑ Москва ЁЛКА", "αθηνα|москва|ёлка");
  WORDS("3×4 «quoted» “curly” – dash…end", "quoted|curly|dash|end");
  WORDS("東京タワー", "東|京|タ|ワ|ー");
  WORDS("한국어 문서", "한국어|문서");
  WORDS("rock☺roll 🎉 party", "rock|roll|party");
  WORDS("bad\xff"
        "bytes \xc3",
        "bad|byte");
}

static void test_long_words(void **state) {
  (void)state;
  char text[300], expected[200];
  memset(text, 'x', sizeof text);
  memcpy(text + 290, " end", 4);
  memset(expected, 'x', 64);
  strcpy(expected + 64, "|end");
  assert_words(text, 294, expected);
  for (size_t i = 0; i + 1 < sizeof text; i += 2) memcpy(text + i, "é", 2);
  for (size_t i = 0; i < 32; i++) memcpy(expected + 2 * i, "é", 2);
  expected[64] = '\0';
  assert_words(text, 300, expected); /* cut between characters */
}

static void test_attr_term(void **state) {
  (void)state;
  char buf[16];
  wn_str term = wn_attr_term(WN_STR("Section"), WN_STR(" Games "), buf, sizeof buf);
  assert_true(wn_str_is(term, "section:games"));
  assert_null(wn_attr_term(WN_STR("tag"), WN_STR("  "), buf, sizeof buf).ptr);
  assert_true(
      wn_str_is(wn_attr_term(WN_STR("tag"), WN_STR("123456789012"), buf, 16), "tag:123456789012"));
  assert_null(wn_attr_term(WN_STR("tag"), WN_STR("1234567890123"), buf, 16).ptr);
  assert_null(wn_attr_term(WN_STR("0123456789abcdef"), WN_STR("x"), buf, 16).ptr);
}

/* Any bytes give valid words of bounded length. */
static void test_any_bytes(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 4);
  for (int round = 0; round < 300; round++) {
    char text[200];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)wn_rng_next(&rng);
    wn_tokens tokens;
    wn_str word;
    wn_tokens_init(&tokens, (wn_str){text, sizeof text});
    while (wn_tokens_next(&tokens, &word)) {
      assert_true(word.len > 0 && word.len <= WN_TOKEN_BYTES_MAX && wn_utf8_valid(word));
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_words),     cmocka_unit_test(test_plurals),
      cmocka_unit_test(test_unicode),   cmocka_unit_test(test_long_words),
      cmocka_unit_test(test_attr_term), cmocka_unit_test(test_any_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
