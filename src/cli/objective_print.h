#ifndef WN_CLI_OBJECTIVE_PRINT_H
#define WN_CLI_OBJECTIVE_PRINT_H
/* What training says of objectives: labels, discrimination, calibration. */

#include "base/json_write.h"
#include "model/ranker.h"

typedef struct wn_objective_summary {
  wn_objective_head head[WN_OBJECTIVES_MAX];
  size_t len;
  wn_buf importance; /* wn_ranker_importance */
} wn_objective_summary;
void wn_objective_summary_clear(wn_objective_summary *summary);

/* Of snapshot `number` of the data directory. */
WN_MUST_USE wn_status wn_objective_summary_read(const char *dir, uint64_t number,
                                                wn_objective_summary *out, wn_error *err);
/* A line an objective, and one for what each looks at, each after a line break; nothing without a
 * ranker. */
void wn_objective_summary_print(const wn_objective_summary *summary, wn_buf *out);
void wn_objective_summary_json(const wn_objective_summary *summary, wn_json *json);

#endif
