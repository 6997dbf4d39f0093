#ifndef WN_TESTS_BASE_HARNESS_H
#define WN_TESTS_BASE_HARNESS_H
/* cmocka with what it needs before it, and a few helpers for the tests of base/. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))

static inline void assert_str(wn_str got, const char *want) {
  if (!wn_str_is(got, want)) fail_msg("got \"%.*s\", want \"%s\"", WN_STR_ARG(got), want);
}

static inline void assert_contains(const char *text, const char *part) {
  if (strstr(text, part) == NULL) fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

#endif
