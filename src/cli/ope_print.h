#ifndef WN_CLI_OPE_PRINT_H
#define WN_CLI_OPE_PRINT_H
/* What `ope` and `replay` share. */

#include "cli/cli.h"
#include "lab/ope_run.h"

void wn_ope_print(const wn_ope_result *result, const char *policy, wn_buf *out);
/* 1 when the log can answer nothing. */
int wn_ope_exit(const wn_ope_result *result);

#endif
