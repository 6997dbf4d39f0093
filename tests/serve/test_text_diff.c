/* The diff, against `diff -u` where the machine has it, and the property that counts: the script
 * applied to the first text gives the second. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "serve/text_diff.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void same(const char *a, const char *b, const char *want) {
  wn_buf out = {0};
  wn_error err = {0};
  assert_int_equal(wn_text_diff(wn_str_of(a), wn_str_of(b), &out, &err), WN_OK);
  assert_string_equal(out.len > 0 ? wn_buf_c(&out) : "", want);
  wn_buf_clear(&out);
}

static void test_known(void **state) {
  (void)state;
  same("", "", "");
  same("a\nb\n", "a\nb\n", "");
  same("", "a\n", "@@ -0,0 +1,1 @@\n+a\n");
  same("a\n", "", "@@ -1,1 +0,0 @@\n-a\n");
  same("a\nb\nc\n", "a\nx\nc\n", "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
  same("a", "a\nb", "@@ -1,1 +1,2 @@\n a\n+b\n");
  /* Two changes: together within six common lines, apart beyond. */
  same("x\n1\n2\n3\n4\n5\n6\ny\n", "X\n1\n2\n3\n4\n5\n6\nY\n",
       "@@ -1,8 +1,8 @@\n-x\n+X\n 1\n 2\n 3\n 4\n 5\n 6\n-y\n+Y\n");
  same("x\n1\n2\n3\n4\n5\n6\n7\ny\n", "X\n1\n2\n3\n4\n5\n6\n7\nY\n",
       "@@ -1,4 +1,4 @@\n-x\n+X\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-y\n+Y\n");
}

/* Applies hunks; fails where a line that should be there is not. */
static void patch(const char *a, const char *diff, wn_buf *out) {
  size_t line = 1, from, old, to, new;
  const char *at = a;
  for (const char *d = diff; *d != '\0';) {
    const char *end = strchr(d, '\n');
    if (sscanf(d, "@@ -%zu,%zu +%zu,%zu @@", &from, &old, &to, &new) == 4) {
      for (size_t until = from + (old == 0); line < until; line++) {
        size_t len = (size_t)(strchr(at, '\n') - at) + 1;
        wn_buf_append(out, at, len);
        at += len;
      }
    } else {
      size_t len = (size_t)(end - d); /* with the sign for the line's end */
      if (*d != '+') {
        assert_memory_equal(at, d + 1, len);
        at += len;
        line++;
      }
      if (*d != '-') wn_buf_append(out, d + 1, len);
    }
    d = end + 1;
  }
  wn_buf_str(out, at);
}

static void make_text(wn_rng *rng, wn_buf *out) {
  size_t lines = (size_t)wn_rng_below(rng, 40);
  for (size_t i = 0; i < lines; i++) wn_buf_printf(out, "%c\n", (char)('a' + wn_rng_below(rng, 4)));
  wn_buf_str(out, "");
}

static void test_patches(void **state) {
  (void)state;
  wn_rng rng;
  wn_rng_seed(&rng, 3);
  for (int i = 0; i < 2000; i++) {
    wn_buf a = {0}, b = {0}, diff = {0}, got = {0};
    wn_error err = {0};
    make_text(&rng, &a);
    make_text(&rng, &b);
    assert_int_equal(wn_text_diff((wn_str){a.data, a.len}, (wn_str){b.data, b.len}, &diff, &err),
                     WN_OK);
    patch(a.len > 0 ? wn_buf_c(&a) : "", diff.len > 0 ? wn_buf_c(&diff) : "", &got);
    assert_int_equal(got.len, b.len);
    if (b.len > 0) assert_memory_equal(got.data, b.data, b.len);
    wn_buf_clear(&a);
    wn_buf_clear(&b);
    wn_buf_clear(&diff);
    wn_buf_clear(&got);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_known), cmocka_unit_test(test_patches)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
