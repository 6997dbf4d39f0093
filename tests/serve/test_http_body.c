/* Bodies: shapes, limits, what an error names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "serve/http_body.h"
#include <stdio.h>
#include <string.h>

#define NOW INT64_C(1700000000000)

static wn_arena arena;

static int setup(void **state) {
  (void)state;
  wn_arena_init(&arena, (size_t)64 << 20);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  wn_arena_clear(&arena);
  return 0;
}

static wn_body_ops parse(const char *text, wn_body_form form, wn_op_kind kind, wn_status want,
                         wn_error *err) {
  wn_body_ops ops = {.kind = kind, .now_ms = NOW, .arena = &arena};
  *err = (wn_error){0};
  /* An exact copy, so that the sanitizer sees a step past the end. */
  size_t len = strlen(text);
  char *copy = wn_malloc(len > 0 ? len : 1);
  assert_non_null(copy);
  memcpy(copy, text, len);
  wn_status status = wn_body_to_ops((wn_str){copy, len}, form, &ops, err);
  wn_free(copy);
  if (status != want) print_error("%s: %s: %s\n", text, err->field, err->message);
  assert_int_equal(status, want);
  return ops;
}

#define EVENT_A "{\"user\":\"u\",\"item\":\"a\",\"type\":\"view\",\"time\":1690000000}"
#define EVENT_B "{\"user\":\"u\",\"item\":\"b\",\"type\":\"buy\",\"value\":2.5,\"id\":\"e-1\"}"

static void test_shapes(void **state) {
  (void)state;
  static const struct {
    const char *text;
    wn_body_form form;
    size_t count;
  } rows[] = {
      {EVENT_A, WN_BODY_JSON, 1},
      {" \n" EVENT_A "\n", WN_BODY_JSON, 1},
      {"[]", WN_BODY_JSON, 0},
      {"[ ]", WN_BODY_JSON, 0},
      {"[" EVENT_A "]", WN_BODY_JSON, 1},
      {"[" EVENT_A " ,\n" EVENT_B "]", WN_BODY_JSON, 2},
      {"{\"events\":[" EVENT_A "," EVENT_B "]}", WN_BODY_JSON, 2},
      {"{ \"events\" : [ ] }", WN_BODY_JSON, 0},
      {EVENT_A, WN_BODY_LINES, 1},
      {EVENT_A "\n\n\r\n" EVENT_B "\r\n", WN_BODY_LINES, 2},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    wn_error err;
    wn_body_ops ops = parse(rows[i].text, rows[i].form, WN_OP_EVENT, WN_OK, &err);
    assert_int_equal(ops.count, rows[i].count);
    if (ops.count == 0) continue;
    assert_true(wn_str_is(ops.ops[0].u.event.item, "a"));
    assert_int_equal(ops.ops[0].u.event.time_ms, INT64_C(1690000000000));
    if (ops.count < 2) continue;
    assert_true(wn_str_is(ops.ops[1].u.event.id, "e-1"));
    assert_int_equal(ops.ops[1].u.event.time_ms, NOW);
    assert_true(ops.ops[1].u.event.value == 2.5);
  }
}

static void test_malformed(void **state) {
  (void)state;
  static const char *const rows[] = {
      "",
      " ",
      "\n",
      "x",
      "1",
      "\"a\"",
      "null",
      "[",
      "]",
      "{",
      "[1",
      "[" EVENT_A,
      "[" EVENT_A ","
      "]",
      "[," EVENT_A "]",
      "[" EVENT_A EVENT_B "]",
      EVENT_A EVENT_B,
      EVENT_A "x",
      "[" EVENT_A "]]",
      "{\"events\":[" EVENT_A "]",
      "{\"events\":[" EVENT_A "],\"x\":1}",
      "{\"events\":1}",
      "[\"",
      "[{\"a\":\"\\",
      "[{]}",
      "[1]",
      "[null]",
      "[[]]",
      "[\"a\"]",
      "{\"user\":NaN}",
      "[Infinity]",
      "{\"user\":\"\\u0000\",\"item\":\"i\",\"type\":\"t\"}",
      "{\"user\":\"u\",\"user\":\"v\",\"item\":\"i\",\"type\":\"t\"}",
      "\xEF\xBB\xBF" EVENT_A,
      "{\"user\":\"\xFF\",\"item\":\"i\",\"type\":\"t\"}",
      "{\"user\":1e999}",
      "{\"user\":99999999999999999999999}",
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    wn_body_ops ops = {.kind = WN_OP_EVENT, .now_ms = NOW, .arena = &arena};
    wn_error err = {0};
    wn_status status = wn_body_to_ops(wn_str_of(rows[i]), WN_BODY_JSON, &ops, &err);
    if (status != WN_E_FORMAT && status != WN_E_ARGUMENT) fail_msg("accepted: %s", rows[i]);
    assert_true(err.message[0] != '\0');
    assert_true(err.field[0] != '\0');
  }
}

static void test_error_names_record(void **state) {
  (void)state;
  wn_error err;
  wn_body_ops ops = parse("[" EVENT_A ",\n" EVENT_A ",\n{\"user\":\"u\",\"type\":\"view\"}]",
                          WN_BODY_JSON, WN_OP_EVENT, WN_E_ARGUMENT, &err);
  assert_int_equal(ops.index, 2);
  assert_int_equal(err.line, 3);
  assert_string_equal(err.field, "item");
  ops = parse(EVENT_A "\n\n{\"user\":\"u\"\n", WN_BODY_LINES, WN_OP_EVENT, WN_E_FORMAT, &err);
  assert_int_equal(ops.index, 1);
  assert_int_equal(err.line, 3);
  ops =
      parse("[" EVENT_A ",\n{\"user\":\n\"u\",, }]", WN_BODY_JSON, WN_OP_EVENT, WN_E_FORMAT, &err);
  assert_int_equal(ops.index, 1);
  assert_int_equal(err.line, 3);
  ops = parse("{\"user\":\"u\",\"item\":\"i\",\"type\":\"t\",\"wrong\":1}", WN_BODY_JSON,
              WN_OP_EVENT, WN_E_ARGUMENT, &err);
  assert_non_null(strstr(err.field[0] != '\0' ? err.field : err.message, "wrong"));
}

static void test_future(void **state) {
  (void)state;
  static const char text[] = "[" EVENT_A ",{\"user\":\"u\",\"item\":\"a\",\"type\":\"t\","
                             "\"time\":1700000060}]";
  wn_error err = {0};
  for (int64_t ahead_ms = 59000; ahead_ms <= 60000; ahead_ms += 1000) {
    wn_body_ops ops = {
        .kind = WN_OP_EVENT, .now_ms = NOW, .time_ms_max = NOW + ahead_ms, .arena = &arena};
    wn_status status = wn_body_to_ops(wn_str_of(text), WN_BODY_JSON, &ops, &err);
    assert_int_equal(status, ahead_ms < 60000 ? WN_E_ARGUMENT : WN_OK);
    assert_int_equal(ops.index, status == WN_OK ? -1 : 1);
    assert_string_equal(err.field, "time");
  }
}

static void nested(char *out, int depth) {
  size_t at = (size_t)sprintf(out, "{\"id\":\"i\",\"attributes\":");
  for (int i = 0; i < depth; i++) out[at++] = '[';
  for (int i = 0; i < depth; i++) out[at++] = ']';
  strcpy(out + at, "}");
}

static void test_depth(void **state) {
  (void)state;
  char text[8192];
  wn_error err;
  nested(text, WN_HTTP_JSON_DEPTH_MAX); /* the object itself is one more */
  (void)parse(text, WN_BODY_JSON, WN_OP_ITEM_PUT, WN_E_FORMAT, &err);
  assert_non_null(strstr(err.message, "deep"));
  (void)parse(text, WN_BODY_LINES, WN_OP_ITEM_PUT, WN_E_FORMAT, &err);
  assert_non_null(strstr(err.message, "deep"));
  nested(text, 3000);
  (void)parse(text, WN_BODY_JSON, WN_OP_ITEM_PUT, WN_E_FORMAT, &err);
  assert_non_null(strstr(err.message, "deep"));
  json_t *json = NULL;
  memset(text, '[', 32);
  memset(text + 32, ']', 32);
  assert_int_equal(wn_json_parse((wn_str){text, 64}, 1, &json, &err), WN_OK);
  json_decref(json);
}

/* One item whose attributes are `lists` lists of `each` times `value`, in a fresh buffer. */
static wn_buf item_of_lists(int lists, int each, const char *value) {
  wn_buf text = {0};
  wn_buf_str(&text, "{\"id\":\"i\",\"attributes\":{");
  for (int i = 0; i < lists; i++) {
    wn_buf_printf(&text, "%s\"a%d\":[", i > 0 ? "," : "", i);
    for (int j = 0; j < each; j++) wn_buf_printf(&text, "%s%s", j > 0 ? "," : "", value);
    wn_buf_str(&text, "]");
  }
  wn_buf_str(&text, "}}");
  assert_false(text.failed);
  return text;
}

/* A record is refused by what its tree would take, before there is one. */
static void test_record_size(void **state) {
  (void)state;
  static const char *const put[] = {"PUT", "PATCH", "slate"};
  wn_error err = {0};
  wn_op op;
  wn_buf most = item_of_lists(64, 1024, "\"x\"");
  wn_body_ops ops = {.kind = WN_OP_ITEM_PUT, .now_ms = NOW, .arena = &arena};
  assert_int_equal(wn_body_to_ops((wn_str){most.data, most.len}, WN_BODY_JSON, &ops, &err), WN_OK);
  wn_buf many = item_of_lists(1, WN_HTTP_RECORD_VALUES_MAX, "{}");
  wn_buf large = {0};
  wn_buf_str(&large, "{\"id\":\"i\",\"text\":\"");
  while (large.len <= WN_HTTP_RECORD_BYTES_MAX) wn_buf_str(&large, "0123456789abcdef");
  wn_buf_str(&large, "\"}");
  const wn_str texts[] = {{many.data, many.len}, {large.data, large.len}};
  for (size_t i = 0; i < 2; i++) {
    for (wn_body_form form = WN_BODY_JSON; form <= WN_BODY_LINES; form++) {
      assert_int_equal(wn_body_to_ops(texts[i], form, &ops, &err), WN_E_TOO_LARGE);
      assert_int_equal(ops.index, 0);
      assert_string_equal(err.field, "body");
    }
    wn_slate_request request = {0};
    wn_status got[] = {wn_body_to_put(texts[i], WN_OP_ITEM_PUT, WN_STR("i"), &arena, &op, &err),
                       wn_body_to_patch(texts[i], WN_OP_ITEM_PATCH, WN_STR("i"), &arena, &op, &err),
                       wn_body_to_slate(texts[i], &arena, &request, &err)};
    for (size_t k = 0; k < 3; k++)
      if (got[k] != WN_E_TOO_LARGE) fail_msg("%s takes it: %s", put[k], wn_status_name(got[k]));
  }
  wn_buf_clear(&most);
  wn_buf_clear(&many);
  wn_buf_clear(&large);
}

static void test_too_many(void **state) {
  (void)state;
  wn_buf text = {0};
  wn_error err = {0};
  for (int i = 0; i <= WN_HTTP_RECORDS_MAX; i++) wn_buf_str(&text, "{}\n");
  wn_body_ops ops = {.kind = WN_OP_EVENT, .now_ms = NOW, .arena = &arena};
  assert_int_equal(wn_body_to_ops((wn_str){text.data, text.len}, WN_BODY_LINES, &ops, &err),
                   WN_E_TOO_LARGE);
  assert_int_equal(ops.index, -1);
  wn_buf_clear(&text);
}

static void test_too_large_for_arena(void **state) {
  (void)state;
  wn_buf text = {0};
  wn_arena small;
  wn_error err = {0};
  wn_arena_init(&small, 256 << 10);
  for (int i = 0; i < 2000; i++)
    wn_buf_printf(&text, "{\"user\":\"user-%d\",\"item\":\"item-%d\",\"type\":\"view\"}\n", i, i);
  wn_body_ops ops = {.kind = WN_OP_EVENT, .now_ms = NOW, .arena = &small};
  wn_status status = wn_body_to_ops((wn_str){text.data, text.len}, WN_BODY_LINES, &ops, &err);
  assert_true(status == WN_E_TOO_LARGE || status == WN_E_MEMORY);
  wn_arena_clear(&small);
  wn_buf_clear(&text);
}

static void test_put(void **state) {
  (void)state;
  wn_op op;
  wn_error err = {0};
  wn_str id = WN_STR("a/b");
  assert_int_equal(
      wn_body_to_put(WN_STR("{\"title\":\"T\"}"), WN_OP_ITEM_PUT, id, &arena, &op, &err), WN_OK);
  assert_true(wn_str_is(op.u.item.id, "a/b"));
  assert_true(wn_str_is(op.u.item.title, "T"));
  assert_int_equal(
      wn_body_to_put(WN_STR("{\"id\":\"a/b\"}"), WN_OP_USER_PUT, id, &arena, &op, &err), WN_OK);
  assert_true(wn_str_is(op.u.user.id, "a/b"));
  assert_int_equal(wn_body_to_put(WN_STR("{\"id\":\"c\"}"), WN_OP_ITEM_PUT, id, &arena, &op, &err),
                   WN_E_ARGUMENT);
  assert_string_equal(err.field, "id");
  assert_int_equal(
      wn_body_to_put(WN_STR("{\"id\":7}"), WN_OP_ITEM_PUT, WN_STR("7"), &arena, &op, &err), WN_OK);
  assert_int_equal(wn_body_to_put(WN_STR("[]"), WN_OP_ITEM_PUT, id, &arena, &op, &err),
                   WN_E_FORMAT);
}

static void test_patch(void **state) {
  (void)state;
  wn_op op;
  wn_error err = {0};
  wn_str id = WN_STR("i");
  assert_int_equal(wn_body_to_patch(WN_STR("{\"title\":null,\"attributes\":{\"a\":null}}"),
                                    WN_OP_ITEM_PATCH, id, &arena, &op, &err),
                   WN_OK);
  assert_true(wn_str_is(op.u.item.id, "i"));
  assert_null(strstr(op.patch.ptr, "\"id\""));
  assert_int_equal(
      wn_body_to_patch(WN_STR("{\"titel\":\"x\"}"), WN_OP_ITEM_PATCH, id, &arena, &op, &err),
      WN_E_ARGUMENT);
  assert_string_equal(err.field, "titel");
  assert_int_equal(
      wn_body_to_patch(WN_STR("{\"title\":\"x\"}"), WN_OP_USER_PATCH, id, &arena, &op, &err),
      WN_E_ARGUMENT);
}

static void test_slate(void **state) {
  (void)state;
  wn_slate_request request = {.n = 0};
  wn_error err = {0};
  wn_str good = WN_STR("{\"user\":\"u\",\"item\":null,\"n\":1000,\"exclude\":[\"a\",\"b,c\"],"
                       "\"explain\":true,\"filter\":\"a == 1\",\"session\":\"s\"}");
  assert_int_equal(wn_body_to_slate(good, &arena, &request, &err), WN_OK);
  assert_true(wn_str_is(request.user, "u"));
  assert_null(request.item.ptr);
  assert_int_equal(request.n, 1000);
  assert_int_equal(request.exclude_len, 2);
  assert_true(wn_str_is(request.exclude[1], "b,c"));
  assert_true(request.explain);
  wn_str numbers = WN_STR("{\"user\":7,\"exclude\":[-1]}");
  assert_int_equal(wn_body_to_slate(numbers, &arena, &request, &err), WN_OK);
  assert_true(wn_str_is(request.user, "7"));
  assert_true(wn_str_is(request.exclude[0], "-1"));
  static const struct {
    const char *text, *field;
  } bad[] = {
      {"{\"n\":0}", "n"},
      {"{\"n\":1001}", "n"},
      {"{\"n\":1.0}", "n"},
      {"{\"n\":\"5\"}", "n"},
      {"{\"user\":true}", "user"},
      {"{\"exclude\":\"a\"}", "exclude"},
      {"{\"exclude\":[1.5]}", "exclude"},
      {"{\"explain\":1}", "explain"},
      {"{\"foo\":1}", "foo"},
      {"[]", "body"},
      {"", "body"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    err = (wn_error){0};
    assert_int_not_equal(wn_body_to_slate(wn_str_of(bad[i].text), &arena, &request, &err), WN_OK);
    assert_string_equal(err.field, bad[i].field);
  }
}

/* Any allocation may fail: an error comes back, and nothing leaks (the sanitizer's part). */
static void test_torture(void **state) {
  (void)state;
  const char *text = "[" EVENT_A "," EVENT_B "]";
  for (long n = 0; n < 64; n++) {
    wn_arena own;
    wn_error err = {0};
    wn_arena_init(&own, 1 << 20);
    wn_body_ops ops = {.kind = WN_OP_EVENT, .now_ms = NOW, .arena = &own};
    wn_mem_fail_after(n);
    wn_status status = wn_body_to_ops(wn_str_of(text), WN_BODY_JSON, &ops, &err);
    wn_mem_fail_after(-1);
    wn_arena_clear(&own);
    if (status == WN_OK) return;
    assert_int_equal(status, WN_E_MEMORY);
  }
  fail_msg("needs more than 64 allocations");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_malformed),
      cmocka_unit_test(test_error_names_record),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_future),
      cmocka_unit_test(test_record_size),
      cmocka_unit_test(test_too_many),
      cmocka_unit_test(test_too_large_for_arena),
      cmocka_unit_test(test_put),
      cmocka_unit_test(test_patch),
      cmocka_unit_test(test_slate),
      cmocka_unit_test(test_torture),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
