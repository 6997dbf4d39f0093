#ifndef WN_TESTS_LAB_HARNESS_H
#define WN_TESTS_LAB_HARNESS_H
/* cmocka with what it needs before it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void assert_near(double got, double want, double tolerance) {
  if (!(fabs(got - want) <= tolerance))
    fail_msg("got %.17g, want %.17g ± %g", got, want, tolerance);
}

#endif
