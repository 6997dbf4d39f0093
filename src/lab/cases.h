#ifndef WN_LAB_CASES_H
#define WN_LAB_CASES_H
/* Worked cases: JSON with inputs and expected values, recomputed here value by value, so that
 * whoever doubts a number of ours can check how it is made. See docs/evaluation.md for the format.
 */

#include "base/str.h"
#include "base/status.h"

typedef enum wn_verdict {
  WN_CASE_PASSED,
  WN_CASE_FAILED,
  WN_CASE_SKIPPED, /* needs data that the case does not carry */
} wn_verdict;

/* One expected value. Texts live until the callback returns. */
typedef struct wn_case_value {
  const char *id, *kind;
  const char *path; /* "mean.ndcg"; "" for the whole case */
  const char *expected, *got;
  double tolerance; /* absolute up to 1, relative to the expected value beyond; NAN: a range */
  wn_verdict verdict;
} wn_case_value;

typedef struct wn_case_counts {
  size_t cases, skipped;
  size_t values, failed; /* an unknown kind, and a case that cannot be read, is one failure */
} wn_case_counts;

typedef void wn_case_each(void *ctx, const wn_case_value *value);
/* Runs every case of a file's text; adds to `counts`. WN_E_FORMAT when the text is not such a file;
 * `file` is for messages. */
WN_MUST_USE wn_status wn_cases_run(wn_str text, const char *file, wn_case_each *each, void *ctx,
                                   wn_case_counts *counts, wn_error *err);
/* The kinds there are, up to NULL. */
const char *const *wn_case_kinds(void);

#endif
