#include "harness.h"

#include <errno.h>

static void test_table(WN_UNUSED void **state) {
  assert_string_equal(wn_status_name(WN_E_FORMAT), "E_FORMAT");
  assert_string_equal(wn_status_text(WN_OK), "ok");
  assert_int_equal(wn_status_http(WN_E_NOT_FOUND), 404);
  assert_int_equal(wn_status_exit(WN_E_INTERNAL), 70);
  assert_string_equal(wn_status_name((wn_status)999), "E_INTERNAL");
  assert_string_equal(wn_status_name((wn_status)-1), "E_INTERNAL");
}

static void test_fail_fills(WN_UNUSED void **state) {
  wn_error err;
  memset(&err, 0x5A, sizeof err);
  assert_int_equal(wn_fail(&err, WN_E_ARGUMENT, "n", "must be %d, got %s", 1, "two"),
                   WN_E_ARGUMENT);
  assert_int_equal(err.status, WN_E_ARGUMENT);
  assert_string_equal(err.field, "n");
  assert_string_equal(err.message, "must be 1, got two");
  assert_int_equal(err.line, 0);
  assert_string_equal(err.file, "");
  assert_int_equal(wn_fail(NULL, WN_E_BUSY, "n", "x"), WN_E_BUSY);
  wn_fail(&err, WN_E_ARGUMENT, NULL, "again: %s", err.message); /* may quote itself */
  assert_string_equal(err.message, "again: must be 1, got two");
  assert_string_equal(err.field, "");
}

static void test_fail_truncates_at_code_point(WN_UNUSED void **state) {
  for (size_t pad = 0; pad < 8; pad++) {
    char text[2048] = "";
    memset(text, 'x', pad);
    for (size_t i = pad; i + 4 < sizeof text; i += 4) memcpy(text + i, "\xF0\x9F\x98\x80", 4);
    wn_error err;
    wn_fail(&err, WN_E_FORMAT, text, "%s", text);
    assert_true(wn_utf8_valid(wn_str_of(err.message)));
    assert_true(wn_utf8_valid(wn_str_of(err.field)));
    assert_true(strlen(err.message) >= sizeof err.message - 4);
    assert_true(strlen(err.field) >= sizeof err.field - 4);
    char shown[64];
    assert_true(wn_utf8_valid(wn_str_of(wn_error_format(&err, shown, sizeof shown))));
  }
}

static void test_message_is_printable(WN_UNUSED void **state) {
  wn_error err;
  wn_fail(&err, WN_E_FORMAT, "", "got \"%s\"", "a\xC3\x1b[31m\xFF\xC3\xA9\n");
  assert_string_equal(err.message, "got \"a??[31m?\xC3\xA9\n\"");
}

static void test_fail_errno(WN_UNUSED void **state) {
  wn_error err;
  errno = ENOSPC;
  assert_int_equal(wn_fail_errno(&err, "", "cannot write \"%s\"", "a"), WN_E_FULL);
  assert_contains(err.message, "cannot write \"a\": No space left");
  errno = EACCES;
  assert_int_equal(wn_fail_errno(&err, "path", "x"), WN_E_IO);
  assert_int_equal(errno, EACCES);
  assert_int_equal(wn_fail_memory(&err), WN_E_MEMORY);
}

static void test_place_and_format(WN_UNUSED void **state) {
  wn_error err;
  char buf[1024], tiny[4];
  wn_fail(&err, WN_E_FORMAT, "time", "bad");
  assert_string_equal(wn_error_format(&err, buf, sizeof buf), "time: bad");
  assert_int_equal(wn_error_at(&err, NULL, 0, 7), WN_E_FORMAT);
  wn_error_at(&err, "a.csv", 3, 0); /* keeps the column from below */
  assert_string_equal(wn_error_format(&err, buf, sizeof buf), "a.csv:3:7: time: bad");
  wn_fail(&err, WN_E_FORMAT, "", "bad");
  wn_error_at(&err, NULL, 9, 0);
  assert_string_equal(wn_error_format(&err, buf, sizeof buf), "line 9: bad");
  wn_fail(&err, WN_E_BUSY, "", "%s", "");
  wn_error_at(&err, "f", 0, 0);
  assert_string_equal(wn_error_format(&err, buf, sizeof buf), "f: busy");
  assert_string_equal(wn_error_format(&err, tiny, sizeof tiny), "f: ");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_table),
      cmocka_unit_test(test_fail_fills),
      cmocka_unit_test(test_fail_truncates_at_code_point),
      cmocka_unit_test(test_message_is_printable),
      cmocka_unit_test(test_fail_errno),
      cmocka_unit_test(test_place_and_format),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
