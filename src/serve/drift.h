#ifndef WN_SERVE_DRIFT_H
#define WN_SERVE_DRIFT_H
/* Is what comes still what was trained on? Population stability index (PSI = Σ (q − p) ln(q / p)
 * over cells; credit scoring's rule of thumb: below 0.1 alike, above 0.25 another population) of
 * four distributions, each measured after the snapshot (q) against what the snapshot knew (p). */

#include "serve/engine.h"

/* X(name, meaning) */
#define WN_DRIFTS(X)                                                                               \
  X(events, "event types")                                                                         \
  X(items, "ten classes of items by popularity, and items that are new")                           \
  X(scores, "best scores of personal slates, the worst surface")                                   \
  X(norms, "lengths of items' vectors")

typedef enum wn_drift_kind {
#define X(name, meaning) WN_DRIFT_##name,
  WN_DRIFTS(X)
#undef X
      WN_DRIFT_COUNT
} wn_drift_kind;
const char *wn_drift_name(wn_drift_kind kind);

typedef struct wn_drift_report {
  uint64_t snapshot, events;  /* since it */
  double psi[WN_DRIFT_COUNT]; /* NAN: too little is known */
  double worst;               /* NAN: all are */
} wn_drift_report;

typedef struct wn_drift wn_drift;
wn_drift *wn_drift_create(void); /* NULL: no memory. 2 bytes an item, 70 kB a surface */
void wn_drift_free(wn_drift *drift);
/* Reads what the log has since the last look; at a new snapshot also the training's last events.
 * One thread. Without a snapshot everything is unknown. */
WN_MUST_USE wn_status wn_drift_look(wn_drift *drift, wn_engine *engine, wn_error *err);
/* A slate was shown. Any thread. */
void wn_drift_slate(wn_drift *drift, const wn_slate_answer *answer);
void wn_drift_report_get(wn_drift *drift, wn_drift_report *out); /* any thread */
void wn_drift_render(wn_drift *drift, wn_buf *out);              /* Prometheus' text */

/* PSI of `now` against the deciles of `base`, both of any order; `base` is sorted in place. */
double wn_drift_of_samples(float *base, size_t base_len, const float *now, size_t now_len);

#endif
