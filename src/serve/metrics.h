#ifndef WN_SERVE_METRICS_H
#define WN_SERVE_METRICS_H
/* Counters and latency histograms of the server, in Prometheus' text format. */

#include "serve/alerts.h"
#include "serve/shown.h"
#include "serve/trainer.h"

#define WN_METRIC_ROUTES_MAX 64

typedef struct wn_metrics wn_metrics;

typedef enum wn_metric_counter {
  WN_COUNT_CONNECTIONS,      /* accepted */
  WN_COUNT_CONNECTIONS_FULL, /* turned away: too many at once */
  WN_COUNT_TIMEOUTS_IDLE,    /* closed: nothing asked for too long */
  WN_COUNT_TIMEOUTS_REQUEST, /* closed: header, body or answer too slow */
  WN_COUNT_EVENTS_ACCEPTED,  /* stored */
  WN_COUNT_EVENTS_DUPLICATE, /* acknowledged, known before */
  WN_COUNT_RECORDS_WRITTEN,  /* items and users put, patched or deleted */
  WN_COUNT_BODY_BYTES,       /* received */
  WN_COUNT_KEYS_REFUSED,     /* none, or unknown */
  WN_COUNT_KEYS_LIMITED,     /* beyond the key's rate */
  WN_COUNTERS
} wn_metric_counter;

wn_metrics *wn_metrics_create(const char *const *routes, size_t route_count,
                              const wn_surfaces *surfaces); /* routes borrowed; NULL: no memory */
void wn_metrics_free(wn_metrics *metrics);

/* Any thread, tens of nanoseconds: each thread has a shard of its own. */
void wn_metrics_count(wn_metrics *metrics, wn_metric_counter counter, uint64_t by);
void wn_metrics_request(wn_metrics *metrics, size_t route, int http, uint64_t ns);
void wn_metrics_stages(wn_metrics *metrics, const wn_stage_stats *stages);
void wn_metrics_slate(wn_metrics *metrics, wn_str surface, bool personal, size_t items);

/* What the server itself knows at the moment of asking. */
typedef struct wn_metrics_gauges {
  size_t connections, requests_running, request_bytes;
  bool draining;
  int64_t started_ms;
  const wn_trainer_status *training; /* NULL: none */
  wn_shown *shown;                   /* NULL: none */
  wn_alerts *alerts;                 /* NULL: none */
} wn_metrics_gauges;
void wn_metrics_render(const wn_metrics *metrics, const wn_engine_stats *stats,
                       const wn_metrics_gauges *gauges, wn_buf *out);

/* metrics_training.c */
void wn_metrics_render_training(const wn_trainer_status *status, wn_buf *out);
/* What # HELP and # TYPE say; and with one line. */
void wn_metrics_head(wn_buf *out, const char *name, const char *type, const char *help);
void wn_metrics_single(wn_buf *out, const char *name, const char *type, const char *help,
                       double value);

/* All requests so far, for shares and percentiles between two moments. */
#define WN_METRIC_BUCKETS 17
typedef struct wn_metrics_totals {
  uint64_t requests, errors; /* errors: 5xx */
  uint64_t latency[WN_METRIC_BUCKETS];
} wn_metrics_totals;
void wn_metrics_totals_get(const wn_metrics *metrics, wn_metrics_totals *out);
/* Seconds: the upper bound of the bucket that the quantile falls into; NAN without requests. */
double wn_metrics_quantile(const wn_metrics_totals *from, const wn_metrics_totals *to, double q);
double wn_metrics_resident_bytes(void);

#endif
