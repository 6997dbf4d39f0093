#ifndef WN_CLI_MLFLOW_H
#define WN_CLI_MLFLOW_H
/* Runs to an MLflow tracking server, by its REST API (2.0). */

#include "base/status.h"
#include <jansson.h>

typedef struct wn_mlflow wn_mlflow;

/* Finds or makes the experiment. Credentials as MLflow's own clients take them: the environment's
 * MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. */
WN_MUST_USE wn_status wn_mlflow_open(const char *url, const char *experiment, wn_mlflow **out,
                                     wn_error *err);
void wn_mlflow_close(wn_mlflow *server);
/* One run of lab/runs.h with its parameters, metrics and tags; `id` is the server's. */
WN_MUST_USE wn_status wn_mlflow_send(wn_mlflow *server, const json_t *run, char id[65],
                                     wn_error *err);

#endif
