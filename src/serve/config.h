#ifndef WN_SERVE_CONFIG_H
#define WN_SERVE_CONFIG_H
/* winnow.yaml: signals, dataset, models, surfaces, experiments, server (docs/configuration.md).
 * Unknown keys, wrong types and ranges are refused with file, line and column. */

#include "data/signals.h"
#include "funnel/surface.h"
#include "lab/experiment.h"
#include "model/train.h"

typedef struct wn_server_config {
  char host[256];                     /* default 127.0.0.1 */
  uint16_t port;                      /* default 8088; 0 = any free one */
  uint32_t threads;                   /* default: CPUs */
  uint32_t body_bytes_max;            /* default 1 MiB; bulk routes 64 × it */
  uint32_t connections_max;           /* default 1,024 */
  uint32_t request_seconds_max;       /* absolute deadline for header and body, default 5 */
  uint32_t idle_seconds_max;          /* keep-alive, default 30 */
  uint32_t session_minutes;           /* default 1,440 */
  uint32_t events_future_seconds_max; /* of events over HTTP; default 86,400 */
} wn_server_config;

typedef struct wn_config {
  wn_signals signals;
  wn_train_options train;
  wn_surfaces surfaces;
  wn_experiments experiments;
  wn_server_config server;
  bool items_strict; /* `catalogue: strict`: items known from events alone are not served until put
                      */
  uint64_t hash;     /* of the text; 0: defaults. The policy's name in logs. */
} wn_config;

WN_MUST_USE wn_status wn_config_defaults(wn_config *config, wn_error *err);
/* A file; path NULL: defaults. A surface of the file starts from the default of its name (or, new
 * or of another flavour, from an empty one) and replaces what it mentions; the others stay. On
 * failure *config needs no clearing, and may be cleared. */
WN_MUST_USE wn_status wn_config_load(const char *path, wn_config *config, wn_error *err);
/* Text, for tests and fuzzing; `name` stands for the file in errors. */
WN_MUST_USE wn_status wn_config_parse(wn_str text, const char *name, wn_config *config,
                                      wn_error *err);
void wn_config_clear(wn_config *config);

#endif
