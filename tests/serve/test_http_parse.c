/* Targets, queries, percent-encoding, Accept, framing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "serve/http_parse.h"
#include <stdio.h>
#include <string.h>

static wn_arena arena;

static int setup(void **state) {
  (void)state;
  wn_arena_init(&arena, 1 << 20);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  wn_arena_clear(&arena);
  return 0;
}

static void decodes(const char *in, bool plus, const char *want) {
  wn_str out = {NULL, 0};
  wn_error err = {0};
  assert_int_equal(wn_percent_decode(wn_str_of(in), plus, "id", &arena, &out, &err), WN_OK);
  assert_true(wn_str_is(out, want));
}

static void refuses(wn_str in, const char *part) {
  wn_str out = {NULL, 0};
  wn_error err = {0};
  assert_int_equal(wn_percent_decode(in, true, "id", &arena, &out, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "id");
  assert_non_null(strstr(err.message, part));
}

static void test_percent(void **state) {
  (void)state;
  decodes("", false, "");
  decodes("abc", false, "abc");
  decodes("a%2Fb%20c%25", false, "a/b c%");
  decodes("a%2fb+c", false, "a/b+c");
  decodes("a+b%2B", true, "a b+");
  decodes("%C3%A9", false, "\xC3\xA9");
  refuses(WN_STR("%"), "hexadecimal");
  refuses(WN_STR("%4"), "hexadecimal");
  refuses(WN_STR("%4G"), "hexadecimal");
  refuses(WN_STR("abc%"), "hexadecimal");
  refuses(WN_STR("a%00b"), "NUL");
  refuses((wn_str){"a\0b", 3}, "NUL");
  refuses(WN_STR("%C3"), "UTF-8");
  refuses(WN_STR("%ED%A0%80"), "UTF-8"); /* a surrogate */
  refuses(WN_STR("%FF"), "UTF-8");
}

/* Every byte string, encoded byte by byte, comes back, unless it is not text. */
static void test_percent_random(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 1);
  for (int round = 0; round < 2000; round++) {
    char raw[16], text[64];
    size_t len = wn_rng_below(&rng, 16);
    for (size_t i = 0; i < len; i++) {
      raw[i] = (char)(wn_rng_below(&rng, 4) == 0 ? wn_rng_below(&rng, 256)
                                                 : 1 + wn_rng_below(&rng, 127));
      snprintf(text + 3 * i, 4, "%%%02X", (unsigned char)raw[i]);
    }
    wn_str in = {raw, len}, out = {NULL, 0};
    bool good = wn_utf8_valid(in) && memchr(raw, 0, len) == NULL;
    wn_status status = wn_percent_decode((wn_str){text, 3 * len}, true, "id", &arena, &out, NULL);
    assert_int_equal(status, good ? WN_OK : WN_E_ARGUMENT);
    if (good) assert_true(wn_str_equal(in, out));
    wn_arena_reset(&arena);
  }
}

static wn_query_string parsed(const char *text) {
  wn_query_string query;
  assert_int_equal(wn_query_parse(wn_str_of(text), &arena, &query, NULL), WN_OK);
  return query;
}

static void test_query(void **state) {
  (void)state;
  static const char *const allowed[] = {"user", "n", "exclude", NULL};
  wn_error err = {0};
  wn_query_string query = parsed("user=a%20b&&n=5&exclude=x&exclude=y%26z&n2");
  assert_int_equal(query.len, 5);
  assert_true(wn_str_is(wn_query_get(&query, "user"), "a b"));
  assert_true(wn_str_is(query.params[3].value, "y&z"));
  assert_true(wn_str_is(query.params[4].name, "n2"));
  assert_null(wn_query_get(&query, "item").ptr);
  assert_int_equal(wn_query_check(&query, allowed, "exclude", &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "n2");
  query = parsed("exclude=x&exclude=y");
  assert_int_equal(wn_query_check(&query, allowed, "exclude", &err), WN_OK);
  assert_int_equal(wn_query_check(&query, allowed, NULL, &err), WN_E_ARGUMENT);
  assert_non_null(strstr(err.message, "twice"));
  query = parsed("");
  assert_int_equal(query.len, 0);
  query = parsed("user=");
  assert_non_null(wn_query_get(&query, "user").ptr);
  assert_int_equal(wn_query_parse(WN_STR("user=%zz"), &arena, &query, &err), WN_E_ARGUMENT);
  assert_string_equal(err.field, "user");
}

static void test_query_int(void **state) {
  (void)state;
  static const char *const bad[] = {"n=0",
                                    "n=1001",
                                    "n=1000000",
                                    "n=-1",
                                    "n=",
                                    "n=1.0",
                                    "n=x",
                                    "n=1e2",
                                    "n=%201",
                                    "n=NaN",
                                    "n=99999999999999999999"};
  int64_t n = 0;
  wn_query_string query = parsed("n=1000");
  assert_int_equal(wn_query_int(&query, "n", 1, 1000, &n, NULL), WN_OK);
  assert_int_equal(n, 1000);
  query = parsed("m=1");
  n = 7;
  assert_int_equal(wn_query_int(&query, "n", 1, 1000, &n, NULL), WN_OK);
  assert_int_equal(n, 7);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    wn_error err = {0};
    query = parsed(bad[i]);
    assert_int_equal(wn_query_int(&query, "n", 1, 1000, &n, &err), WN_E_ARGUMENT);
    assert_string_equal(err.field, "n");
  }
}

static void test_query_bool(void **state) {
  (void)state;
  bool value = true;
  wn_query_string query = parsed("");
  assert_int_equal(wn_query_bool(&query, "explain", &value, NULL), WN_OK);
  assert_false(value);
  query = parsed("explain=true");
  assert_int_equal(wn_query_bool(&query, "explain", &value, NULL), WN_OK);
  assert_true(value);
  query = parsed("explain=yes");
  assert_int_equal(wn_query_bool(&query, "explain", &value, NULL), WN_E_ARGUMENT);
}

static void test_target(void **state) {
  (void)state;
  wn_target target;
  wn_str captured = {NULL, 0};
  char name[32] = "";
  assert_true(wn_target_parse(WN_STR("/"), &target));
  assert_int_equal(target.segment_count, 0);
  assert_true(wn_target_matches(&target, "/", &captured, name));
  assert_true(wn_target_parse(WN_STR("/v1/items/a%2Fb?x=1?2"), &target));
  assert_int_equal(target.segment_count, 3);
  assert_true(wn_str_is(target.query, "x=1?2"));
  assert_true(wn_target_matches(&target, "/v1/items/{id}", &captured, name));
  assert_true(wn_str_is(captured, "a%2Fb"));
  assert_string_equal(name, "id");
  assert_false(wn_target_matches(&target, "/v1/items", &captured, name));
  assert_false(wn_target_matches(&target, "/v1/items/{id}/similar", &captured, name));
  assert_true(wn_target_parse(WN_STR("http://host:80/healthz?"), &target));
  assert_true(wn_target_matches(&target, "/healthz", &captured, name));
  assert_false(wn_target_parse(WN_STR("http://host"), &target));
  assert_false(wn_target_parse(WN_STR("*"), &target));
  assert_false(wn_target_parse(WN_STR(""), &target));
  assert_false(wn_target_parse(WN_STR("/1/2/3/4/5/6/7/8/9"), &target));
  assert_true(wn_target_parse(WN_STR("/healthz/"), &target));
  assert_false(wn_target_matches(&target, "/healthz", &captured, name));
}

static void test_accept(void **state) {
  (void)state;
  assert_true(wn_accepts((wn_str){NULL, 0}, "application/json"));
  assert_true(wn_accepts(WN_STR("*/*"), "application/json"));
  assert_true(wn_accepts(WN_STR("text/html, Application/JSON;q=0.5"), "application/json"));
  assert_true(wn_accepts(WN_STR("application/*"), "application/json"));
  assert_false(wn_accepts(WN_STR("text/html"), "application/json"));
  assert_false(wn_accepts(WN_STR("application/json;q=0, */*"), "application/json"));
  assert_true(wn_accepts(WN_STR("application/json, */*;q=0"), "application/json"));
  assert_false(wn_accepts(WN_STR("*/*;q=0.0"), "application/json"));
  assert_false(wn_accepts(WN_STR(",;,"), "application/json"));
}

static void test_media_type(void **state) {
  (void)state;
  char type[64];
  assert_true(wn_media_type(WN_STR("Application/JSON; charset=UTF-8"), type, sizeof type));
  assert_string_equal(type, "application/json");
  assert_true(wn_media_type(WN_STR("application/json;charset=\"utf-8\";x=y"), type, sizeof type));
  assert_false(wn_media_type(WN_STR("application/json; charset=latin1"), type, sizeof type));
  assert_false(wn_media_type(WN_STR(""), type, sizeof type));
  assert_false(wn_media_type(WN_STR("abc"), type, 3));
}

static wn_status framing(bool http11, const char *const *headers, const char **field) {
  static wn_error err;
  wn_framing f = {.http11 = http11};
  err = (wn_error){0};
  for (; *headers != NULL; headers += 2)
    wn_framing_header(&f, wn_str_of(headers[0]), wn_str_of(headers[1]));
  wn_status status = wn_framing_check(&f, &err);
  *field = err.field;
  return status;
}
#define FRAMING(http11, ...) framing(http11, (const char *const[]){__VA_ARGS__, NULL}, &field)

static void test_framing(void **state) {
  (void)state;
  const char *field = "";
  assert_int_equal(FRAMING(true, "Host", "a"), WN_OK);
  assert_int_equal(FRAMING(true, "host", "a", "Content-Length", "12"), WN_OK);
  assert_int_equal(FRAMING(true, "Host", "a", "transfer-encoding", "Chunked"), WN_OK);
  assert_int_equal(FRAMING(false, "Accept", "a"), WN_OK);
  assert_int_equal(FRAMING(true, "Accept", "a"), WN_E_FORMAT);
  assert_string_equal(field, "Host");
  assert_int_equal(FRAMING(true, "Host", "a", "Host", "b"), WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "Content-Length", "1", "Content-Length", "1"),
                   WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "Content-Length", "1, 1"), WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "Content-Length ", "1"), WN_E_FORMAT);
  assert_string_equal(field, "headers");
  assert_int_equal(FRAMING(true, "Host", "a", "X(", "1"), WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "", "1"), WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "x-!#$%&'*+.^_`|~9", "1"), WN_OK);
  assert_int_equal(FRAMING(true, "Host", "a", "Content-Length", "+1"), WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "Content-Length", ""), WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "Content-Length", "99999999999999999999"),
                   WN_E_FORMAT);
  assert_int_equal(
      FRAMING(true, "Host", "a", "Content-Length", "3", "Transfer-Encoding", "chunked"),
      WN_E_FORMAT);
  assert_int_equal(FRAMING(true, "Host", "a", "Transfer-Encoding", "gzip, chunked"), WN_E_FORMAT);
  assert_string_equal(field, "Transfer-Encoding");
  assert_int_equal(FRAMING(true, "Host", "a", "Transfer-Encoding", "identity"), WN_E_FORMAT);
  assert_int_equal(FRAMING(false, "Transfer-Encoding", "chunked"), WN_E_FORMAT);
}

static void test_out_of_memory(void **state) {
  (void)state;
  wn_arena small;
  wn_query_string query;
  wn_error err = {0};
  wn_arena_init(&small, 128);
  char text[512];
  memset(text, 'a', sizeof text);
  assert_int_equal(wn_query_parse((wn_str){text, sizeof text}, &small, &query, &err), WN_E_MEMORY);
  wn_arena_clear(&small);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_percent),    cmocka_unit_test(test_percent_random),
      cmocka_unit_test(test_query),      cmocka_unit_test(test_query_int),
      cmocka_unit_test(test_query_bool), cmocka_unit_test(test_target),
      cmocka_unit_test(test_accept),     cmocka_unit_test(test_media_type),
      cmocka_unit_test(test_framing),    cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
