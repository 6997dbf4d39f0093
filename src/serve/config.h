#ifndef WN_SERVE_CONFIG_H
#define WN_SERVE_CONFIG_H
/* winnow.yaml: signals, dataset, models, surfaces, experiments, server (docs/configuration.md).
 * Unknown keys, wrong types and ranges are refused with file, line and column. */

#include "data/signals.h"
#include "funnel/surface.h"
#include "lab/experiment.h"
#include "model/train.h"
#include "serve/alert_rules.h"

#define WN_CONFIG_BYTES_MAX (1 << 20) /* of the text */

typedef struct wn_server_config {
  char host[256];                     /* default 127.0.0.1 */
  uint16_t port;                      /* default 8088; 0 = any free one */
  bool open;                          /* may listen beyond loopback without keys */
  char cors_origins[1024];            /* of pages that may ask, separated by blanks; "": none */
  uint32_t threads;                   /* default: CPUs */
  uint32_t body_bytes_max;            /* default 1 MiB; bulk routes 64 × it */
  uint32_t connections_max;           /* default 1,024 */
  uint32_t request_seconds_max;       /* absolute deadline for header and body, default 5 */
  uint32_t idle_seconds_max;          /* keep-alive, default 30 */
  uint32_t session_minutes;           /* default 1,440 */
  uint32_t impressions_remembered;    /* default 4,000,000 */
  uint32_t index_items_min;           /* als: fewer are scanned; default 20,000 */
  float state_mb;                     /* of each part of users' state; default 1,024 */
  uint32_t events_future_seconds_max; /* of events over HTTP; default 86,400 */
} wn_server_config;

/* When training starts by itself, within which limits, and what its snapshot must pass. */
typedef struct wn_training_config {
  float every_hours;      /* after the current snapshot, when there are new events; 0: never */
  uint32_t events;        /* once so many came since; 0: never */
  float drift;            /* once the index of drift.h is above; 0: never */
  uint32_t retries;       /* after a failure, in a row */
  uint32_t retry_seconds; /* before the first; doubles each time */
  float minutes_max;
  uint32_t memory_mb;                      /* 0: no limit */
  uint32_t nice;                           /* 0 to 19, or WN_BACKGROUND_IDLE */
  uint32_t threads;                        /* 0: one less than CPUs, at least 1 */
  uint32_t keep;                           /* snapshots; the current one stays in any case */
  char gate_surface[WN_NAME_MAX + 1];      /* "": the first personal one, else the first feed */
  uint32_t gate_users_min, gate_users_max; /* fewer cannot be judged; more are sampled */
  uint32_t gate_events_max;                /* newest events that are held out */
} wn_training_config;

/* How long the log keeps events. */
typedef struct wn_retention_config {
  float events_days; /* older ones are archived; 0: never */
  float every_hours;
} wn_retention_config;

/* Who is told when something is wrong. */
typedef struct wn_alert_config {
  char webhook[1024]; /* "": nobody; the log and the metrics say it all the same */
  uint32_t every_seconds;
  float repeat_hours; /* a rule that goes on firing is told again; 0: never */
  float thresholds[WN_ALERT_COUNT];
} wn_alert_config;

typedef struct wn_config {
  wn_signals signals;
  wn_train_options train;
  wn_surfaces surfaces;
  wn_experiments experiments;
  wn_server_config server;
  wn_training_config training;
  wn_alert_config alerts;
  wn_retention_config retention;
  char file[1024];   /* where it comes from; "": nowhere */
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
/* Experiments that were declared over the API, in the form of `experiments:`, beside those of the
 * file. Of one that the file declares, too, `state`, `traffic` and `promoted`. */
WN_MUST_USE wn_status wn_config_declare(wn_config *config, wn_str text, const char *name,
                                        wn_error *err);
/* What `training.gate` compares snapshots on, `name` as the configuration says it; NULL: all
 * surfaces are flat. */
const wn_surface *wn_config_gate_surface(const wn_surfaces *all, const char *name);

#endif
