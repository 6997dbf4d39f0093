#ifndef WN_CLI_EVALUATE_PREDICTIONS_H
#define WN_CLI_EVALUATE_PREDICTIONS_H
/* winnow evaluate --predictions: a table of what was predicted and what came true. */

#include "cli/cli.h"

typedef struct wn_cli_predictions {
  const char *path, *report, *data; /* data NULL: the run is noted nowhere */
  const wn_text_list *map, *slices;
  uint64_t bootstrap, seed, threads;
  bool json;
} wn_cli_predictions;
WN_MUST_USE wn_status wn_cli_evaluate_predictions(const wn_cli_predictions *how, wn_buf *out,
                                                  wn_error *err);

#endif
