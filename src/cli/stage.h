#ifndef WN_CLI_STAGE_H
#define WN_CLI_STAGE_H
/* What a scenario of `winnow simulate --scenario` is played on: servers of its own (this binary,
 * started with a virtual clock on a new data directory), commands run on their data, and the record
 * of what came out: figures, checks, lines of a plot. */

#include "base/progress.h"
#include "cli/tally.h"

#include <sys/types.h>

#define WN_STAGE_START_MS   INT64_C(1767225600000) /* 2026-01-01 */
#define WN_STAGE_SERIES_MAX 12
#define WN_STAGE_POINTS_MAX 128

typedef struct wn_stage_server {
  pid_t pid; /* 0: not running */
  char dir[512], data[600], config[600], port_file[600], url[64];
} wn_stage_server;

typedef struct wn_series {
  char name[65];
  bool dots; /* and no line */
  size_t len;
  double x[WN_STAGE_POINTS_MAX], y[WN_STAGE_POINTS_MAX];
  double low[WN_STAGE_POINTS_MAX], high[WN_STAGE_POINTS_MAX]; /* equal to y: no error bar */
  char labels[WN_STAGE_POINTS_MAX][33];                       /* of dots */
} wn_series;

typedef struct wn_stage {
  const char *name, *claim; /* of the scenario */
  const char *out;          /* folder for results */
  char scratch[512];        /* for data directories */
  bool small;               /* a version of seconds, for tests */
  uint64_t seed;
  const wn_progress *progress;
  uint64_t servers; /* started so far */
  wn_buf text;      /* checks and figures as text */
  wn_buf checks;    /* as JSON objects with commas between */
  wn_buf figures;   /* as members of an object, likewise */
  bool failed;      /* a check does not hold */
  const char *x_label, *y_label, *title;
  double rule;       /* NAN: no horizontal line */
  wn_series *series; /* [WN_STAGE_SERIES_MAX] */
  size_t series_len;
} wn_stage;

/* A server on an empty data directory with this configuration, ready to answer. */
WN_MUST_USE wn_status wn_stage_serve(wn_stage *stage, const char *config, wn_stage_server *out,
                                     wn_error *err);
/* The same data with another configuration. */
WN_MUST_USE wn_status wn_stage_again(wn_stage_server *server, const char *config, wn_error *err);
void wn_stage_stop(wn_stage_server *server);
/* winnow COMMAND … on its data; `args` end with NULL; standard output goes to `out`. */
WN_MUST_USE wn_status wn_stage_run(const char *const *args, wn_buf *out, wn_error *err);
/* Trains at this day of the world, and has the server take the snapshot. */
WN_MUST_USE wn_status wn_stage_train(const wn_stage_server *server, wn_site *site, wn_error *err);

/* The site's first days: random slates for everybody, on a surface of the configuration that shows
 * them (WN_STAGE_PAST), so that impressions of the past are logged, too. Trains before and after.
 */
#define WN_STAGE_PAST                                                                              \
  "  past: {flavour: personal, n: 10, filter: {seen: none}, retrieve: [{model: random, quota: "    \
  "100}]}\n"
WN_MUST_USE wn_status wn_stage_past(wn_stage *stage, const wn_stage_server *server, wn_site *site,
                                    double days, wn_error *err);

/* Visits until the world's day `until`, or until all have left; what happened goes to `each`.
 * Flushes. */
WN_MUST_USE wn_status wn_stage_visits(wn_stage *stage, wn_site *site, double until,
                                      void (*each)(void *ctx, const wn_visit *visit), void *ctx,
                                      wn_error *err);

void wn_stage_figure(wn_stage *stage, const char *name, double value);
/* value at least (or most) bound. */
void wn_stage_at_least(wn_stage *stage, const char *what, double value, double bound);
void wn_stage_at_most(wn_stage *stage, const char *what, double value, double bound);
wn_series *wn_stage_series(wn_stage *stage, const char *name);
void wn_series_add(wn_series *series, double x, double y);
void wn_series_interval(wn_series *series, double low, double high); /* of the last point's y */

/* Mean of what the worlds of several seeds gave, with Student's 95% interval; alone, a number is
 * its own interval. */
typedef struct wn_spread {
  double low, mean, high;
} wn_spread;
wn_spread wn_spread_of(const double *values, size_t len);
/* Its three numbers as figures. */
void wn_stage_spread(wn_stage *stage, const char *name, const wn_spread *spread);

WN_MUST_USE wn_status wn_stage_open(wn_stage *stage, wn_error *err);
/* NAME.json and NAME.svg in `out`. */
WN_MUST_USE wn_status wn_stage_write(wn_stage *stage, double seconds, wn_error *err);
void wn_stage_close(wn_stage *stage);

#endif
