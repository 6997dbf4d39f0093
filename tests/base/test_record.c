#include "harness.h"

#include "base/clock.h"
#include "base/record.h"

#include <math.h>

#define NOW INT64_C(1714557600000)

static char big[70000];

static void expect(wn_status status, const wn_error *err, const char *field, const char *message) {
  if (field == NULL) {
    if (status != WN_OK) fail_msg("%s: %s", err->field, err->message);
    return;
  }
  assert_int_equal(status, WN_E_ARGUMENT);
  assert_string_equal(err->field, field);
  assert_contains(err->message, message);
}

static wn_event_record good_event(void) {
  return (wn_event_record){.user = WN_STR("u"),
                           .item = WN_STR("i"),
                           .type = WN_STR("play.finish"),
                           .value = NAN,
                           .time_ms = NOW};
}

static void check_event(wn_event_record e, const char *field, const char *message) {
  wn_error err = {0};
  expect(wn_event_check(&e, NOW, &err), &err, field, message);
}

static void test_event(WN_UNUSED void **state) {
  wn_event_record e = good_event();
  check_event(e, NULL, NULL);
  e.id = WN_STR("retry-1"), e.slate = WN_STR("s"), e.value = -1e12;
  check_event(e, NULL, NULL);
  e = good_event(), e.id = WN_STR("");
  check_event(e, "id", "got 0");
  e = good_event(), e.user = (wn_str){0};
  check_event(e, "user", "required");
  e = good_event(), e.item = (wn_str){big, 1025};
  check_event(e, "item", "got 1025");
  e = good_event(), e.item = WN_STR("a\tb");
  check_event(e, "item", "control");
  e = good_event(), e.type = (wn_str){0};
  check_event(e, "type", "required");
  e = good_event(), e.type = (wn_str){big, 65};
  check_event(e, "type", "got 65");
  e = good_event(), e.type = WN_STR("a b");
  check_event(e, "type", "letters, digits");
  e = good_event(), e.type = WN_STR("a\0b");
  check_event(e, "type", "letters, digits");
  e = good_event(), e.slate = WN_STR("\xFF");
  check_event(e, "slate", "UTF-8");
  e = good_event(), e.value = INFINITY;
  check_event(e, "value", "got inf");
  e = good_event(), e.value = -1.1e12;
  check_event(e, "value", "between -1e12 and 1e12");
  e = good_event(), e.time_ms = NOW + WN_FUTURE_MS_MAX;
  check_event(e, NULL, NULL);
  e.time_ms++;
  check_event(e, "time", "future");
  e = good_event(), e.time_ms = -1;
  check_event(e, "time", "1970");
}

static void check_item(wn_item_record item, const char *field, const char *message) {
  wn_error err = {0};
  expect(wn_item_check(&item, &err), &err, field, message);
}

static void test_item(WN_UNUSED void **state) {
  wn_item_record i = {.id = WN_STR("i")};
  check_item(i, NULL, NULL);
  i.title = (wn_str){big, 1024}, i.text = (wn_str){big, WN_TEXT_BYTES_MAX}, i.created_ms = NOW * 2;
  check_item(i, NULL, NULL);
  wn_item_record bad = i;
  bad.title.len++;
  check_item(bad, "title", "at most 1024 bytes, got 1025");
  bad = i, bad.text.len++;
  check_item(bad, "text", "at most 65536 bytes");
  bad = i, bad.title = WN_STR("\xC0\x80");
  check_item(bad, "title", "UTF-8");
  bad = i, bad.text = WN_STR("\xED\xBF\xBF");
  check_item(bad, "text", "UTF-8");
  bad = i, bad.id = (wn_str){0};
  check_item(bad, "id", "required");
  bad = i, bad.status = (wn_item_status)3;
  check_item(bad, "status", "active, hidden or deleted");
  bad = i, bad.created_ms = -5;
  check_item(bad, "created", "1970");
}

static void check_attrs(const wn_attr *attrs, size_t len, const char *field, const char *message) {
  wn_error err = {0};
  wn_item_record item = {.id = WN_STR("i"), .attrs = {attrs, len}};
  expect(wn_item_check(&item, &err), &err, field, message);
  wn_user_record user = {.id = WN_STR("u"), .attrs = {attrs, len}};
  expect(wn_user_check(&user, &err), &err, field, message);
}

static void check_name(wn_str name, const char *message) {
  wn_attr attr = {.name = name, .kind = WN_ATTR_BOOL};
  check_attrs(&attr, 1, message != NULL ? "attributes" : NULL, message);
}

static void test_attr_names(WN_UNUSED void **state) {
  check_name(WN_STR("a"), NULL);
  check_name(WN_STR("_A9.b-c"), NULL);
  check_name((wn_str){big, 64}, NULL);
  check_name((wn_str){big, 65}, "(65 bytes)");
  check_name(WN_STR(""), "(0 bytes)");
  check_name(WN_STR("9a"), "got \"9a\"");
  check_name(WN_STR("a b"), "begin with a letter");
  check_name(WN_STR("\xC3\xA9"), "got \"\xC3\xA9\"");
  check_name(WN_STR("a\xFF"), "got \"?\"");
}

static void test_attr_values(WN_UNUSED void **state) {
  wn_attr a = {.name = WN_STR("x"), .kind = WN_ATTR_NUMBER, .number = NAN};
  check_attrs(&a, 1, "attributes.x", "finite");
  a = (wn_attr){.name = WN_STR("x"), .kind = WN_ATTR_STRING, .string = {big, 4096}};
  check_attrs(&a, 1, NULL, NULL);
  a.string.len++;
  check_attrs(&a, 1, "attributes.x", "at most 4096 bytes");
  static wn_str list[WN_ATTR_LIST_MAX + 1];
  for (size_t i = 0; i < COUNT_OF(list); i++) list[i] = WN_STR("tag");
  a = (wn_attr){
      .name = WN_STR("x"), .kind = WN_ATTR_LIST, .list = list, .list_len = WN_ATTR_LIST_MAX};
  check_attrs(&a, 1, NULL, NULL);
  a.list_len++;
  check_attrs(&a, 1, "attributes.x", "1,024");
  list[3] = WN_STR("\xFE");
  a.list_len = 4;
  check_attrs(&a, 1, "attributes.x", "UTF-8");
}

static void test_attr_count_and_names_once(WN_UNUSED void **state) {
  static wn_attr attrs[WN_ATTRS_MAX + 1];
  static char names[WN_ATTRS_MAX + 1][16];
  for (size_t i = 0; i < COUNT_OF(attrs); i++) {
    snprintf(names[i], sizeof names[i], "n%zu", i);
    attrs[i] = (wn_attr){.name = wn_str_of(names[i]), .kind = WN_ATTR_BOOL};
  }
  check_attrs(attrs, WN_ATTRS_MAX, NULL, NULL);
  check_attrs(attrs, WN_ATTRS_MAX + 1, "attributes", "at most 64, got 65");
  attrs[63].name = WN_STR("n7");
  check_attrs(attrs, WN_ATTRS_MAX, "attributes", "\"n7\" is given twice");
  wn_attrs all = {attrs, WN_ATTRS_MAX};
  assert_ptr_equal(wn_attrs_find(&all, "n7"), &attrs[7]);
  assert_null(wn_attrs_find(&all, "n63"));
}

static int fill_big(WN_UNUSED void **state) {
  memset(big, 'a', sizeof big);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_event),
      cmocka_unit_test(test_item),
      cmocka_unit_test(test_attr_names),
      cmocka_unit_test(test_attr_values),
      cmocka_unit_test(test_attr_count_and_names_once),
  };
  return cmocka_run_group_tests(tests, fill_big, NULL);
}
