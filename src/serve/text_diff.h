#ifndef WN_SERVE_TEXT_DIFF_H
#define WN_SERVE_TEXT_DIFF_H
/* The difference of two texts in unified form, as `diff -u` prints it without its two head lines;
 * nothing where they are equal. */

#include "base/str.h"

/* WN_E_MEMORY alone. */
WN_MUST_USE wn_status wn_text_diff(wn_str from, wn_str to, wn_buf *out, wn_error *err);

#endif
