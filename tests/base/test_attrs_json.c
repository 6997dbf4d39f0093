#include "harness.h"

#include "base/mem.h"
#include "base/record.h"

#include <math.h>

static wn_arena arena;

static wn_attrs parse(wn_str json) {
  wn_attrs attrs;
  wn_error err = {0};
  wn_status status = wn_attrs_from_json(json, &arena, &attrs, &err);
  if (status != WN_OK) fail_msg("%.*s: %s", WN_STR_ARG(json), err.message);
  return attrs;
}

static void refuse(const char *json, wn_status want, const char *message) {
  wn_attrs attrs;
  wn_error err = {0};
  assert_int_equal(wn_attrs_from_json(wn_str_of(json), &arena, &attrs, &err), want);
  assert_string_equal(err.field, "attributes");
  assert_contains(err.message, message);
  assert_int_equal(attrs.len, 0);
}

static void test_kinds(WN_UNUSED void **state) {
  wn_attrs attrs = parse(WN_STR("{\"s\":\"x\\u00e9\",\"n\":-2.5,\"i\":7,\"t\":true,\"f\":false,"
                                "\"l\":[\"a\",1,2.5,true,null,\"\"],\"e\":[],\"z\":null}"));
  assert_int_equal(attrs.len, 7);
  assert_str(wn_attrs_find(&attrs, "s")->string, "x\xC3\xA9");
  assert_true(wn_attrs_find(&attrs, "n")->number == -2.5);
  assert_true(wn_attrs_find(&attrs, "i")->number == 7);
  assert_int_equal(wn_attrs_find(&attrs, "i")->kind, WN_ATTR_NUMBER);
  assert_true(wn_attrs_find(&attrs, "t")->boolean);
  assert_int_equal(wn_attrs_find(&attrs, "f")->kind, WN_ATTR_BOOL);
  assert_false(wn_attrs_find(&attrs, "f")->boolean);
  const wn_attr *list = wn_attrs_find(&attrs, "l");
  static const char *const want[] = {"a", "1", "2.5", "true", ""};
  assert_int_equal(list->list_len, COUNT_OF(want));
  for (size_t i = 0; i < COUNT_OF(want); i++) assert_str(list->list[i], want[i]);
  assert_int_equal(wn_attrs_find(&attrs, "e")->list_len, 0);
  assert_null(wn_attrs_find(&attrs, "z"));
  assert_int_equal(parse(WN_STR("{}")).len, 0);
  assert_int_equal(parse((wn_str){0}).len, 0);
  wn_arena_reset(&arena);
}

static void test_refused(WN_UNUSED void **state) {
  refuse("", WN_E_FORMAT, "must be a JSON object");
  refuse("[1]", WN_E_FORMAT, "must be a JSON object");
  refuse("{\"a\":1", WN_E_FORMAT, "column");
  refuse("{\"a\":1}x", WN_E_FORMAT, "end of file");
  refuse("{\"a\":NaN}", WN_E_FORMAT, "must be a JSON object");
  refuse("{\"a\":1e999}", WN_E_FORMAT, "overflow");
  refuse("{\"a\":1,\"a\":2}", WN_E_FORMAT, "duplicate");
  refuse("{\"a\":\"\xFF\"}", WN_E_FORMAT, "0xff");
  refuse("{\"a\":\"\\u0000\"}", WN_E_FORMAT, "\\u0000");
  refuse("{\"deep\":{}}", WN_E_ARGUMENT, "\"deep\" must be");
  refuse("{\"deep\":[\"a\",[]]}", WN_E_ARGUMENT, "an array inside");
  refuse("{\"deep\":[{}]}", WN_E_ARGUMENT, "an object inside");
  wn_buf many = {0};
  wn_buf_str(&many, "{\"x\":1");
  for (int i = 0; i < WN_ATTRS_MAX; i++) wn_buf_printf(&many, ",\"n%d\":1", i);
  wn_buf_str(&many, "}");
  refuse(wn_buf_c(&many), WN_E_ARGUMENT, "at most 64, got 65");
  wn_buf_reset(&many);
  wn_buf_str(&many, "{\"x\":[1");
  for (int i = 0; i < WN_ATTR_LIST_MAX; i++) wn_buf_str(&many, ",1");
  wn_buf_str(&many, "]}");
  refuse(wn_buf_c(&many), WN_E_ARGUMENT, "at most 1024 strings, got 1025");
  wn_buf_reset(&many);
  for (int i = 0; i < 100000; i++) wn_buf_str(&many, "{\"a\":");
  refuse(wn_buf_c(&many), WN_E_FORMAT, "depth");
  wn_buf_clear(&many);
  wn_arena_reset(&arena);
}

static void test_write(WN_UNUSED void **state) {
  wn_str list[] = {WN_STR("x"), {0}};
  wn_attr attrs[] = {
      {.name = WN_STR("b"), .kind = WN_ATTR_NUMBER, .number = 0.1},
      {.name = WN_STR("a"), .kind = WN_ATTR_LIST, .list = list, .list_len = 2},
      {.name = WN_STR("ab"), .kind = WN_ATTR_STRING, .string = WN_STR("\"")},
      {.name = WN_STR("Z"), .kind = WN_ATTR_BOOL, .boolean = true},
  };
  wn_attrs all = {attrs, COUNT_OF(attrs)};
  wn_buf out = {0};
  wn_attrs_to_json(&all, &out);
  assert_string_equal(wn_buf_c(&out), "{\"Z\":true,\"a\":[\"x\",\"\"],\"ab\":\"\\\"\",\"b\":0.1}");
  wn_buf_reset(&out);
  wn_attrs none = {0};
  wn_attrs_to_json(&none, &out);
  assert_string_equal(wn_buf_c(&out), "{}");
  none.len = WN_ATTRS_MAX + 1; /* no checked record has so many */
  wn_attrs_to_json(&none, &out);
  assert_true(out.failed);
  wn_buf_clear(&out);
}

static void test_there_and_back(WN_UNUSED void **state) {
  wn_str text =
      WN_STR("{\"x\":[\"b\",\"a\"],\"n\":1e300,\"k\":-0.0,\"m\":12345678901234,\"s\":\"\\n\"}");
  wn_buf once = {0}, twice = {0};
  wn_attrs attrs = parse(text);
  wn_attrs_to_json(&attrs, &once);
  attrs = parse((wn_str){once.data, once.len});
  wn_attrs_to_json(&attrs, &twice);
  assert_string_equal(wn_buf_c(&twice), wn_buf_c(&once));
  assert_contains(wn_buf_c(&once), "\"m\":12345678901234,\"n\":1e+300");
  assert_true(signbit(wn_attrs_find(&attrs, "k")->number));
  wn_buf_clear(&once);
  wn_buf_clear(&twice);
  wn_arena_reset(&arena);
}

static void test_out_of_memory(WN_UNUSED void **state) {
  wn_str text = WN_STR("{\"a\":[1,\"x\",2.5],\"b\":\"y\",\"c\":3}");
  long n = 0;
  for (bool whole = false; !whole; n++) {
    wn_arena small;
    wn_attrs attrs;
    wn_error err = {0};
    wn_arena_init(&small, 1 << 20);
    wn_mem_fail_after(n);
    wn_status status = wn_attrs_from_json(text, &small, &attrs, &err);
    whole = wn_mem_allocations() <= n;
    wn_mem_fail_after(-1);
    assert_int_equal(status, whole ? WN_OK : WN_E_MEMORY);
    wn_arena_clear(&small);
    assert_true(n < 50);
  }
  assert_true(n >= 3);
  for (size_t limit = 0; limit < 1500; limit += 8) { /* and an arena at its limit */
    wn_arena small;
    wn_attrs attrs;
    wn_arena_init(&small, limit);
    wn_status status = wn_attrs_from_json(text, &small, &attrs, NULL);
    assert_true(status == WN_OK || status == WN_E_MEMORY);
    if (limit < 200) assert_int_equal(status, WN_E_MEMORY);
    wn_arena_clear(&small);
  }
}

static int start(WN_UNUSED void **state) {
  wn_arena_init(&arena, 8 << 20);
  return 0;
}

static int finish(WN_UNUSED void **state) {
  wn_arena_clear(&arena);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kinds),         cmocka_unit_test(test_refused),
      cmocka_unit_test(test_write),         cmocka_unit_test(test_there_and_back),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, start, finish);
}
