#ifndef WN_SERVE_GATE_H
#define WN_SERVE_GATE_H
/* The gate: a snapshot that has just been trained (the challenger) is served only when it does not
 * rank worse than the one that is being served (the incumbent), on the same fresh users. */

#include "base/json_write.h"
#include "lab/metrics.h"
#include "serve/config.h"
#include "store/store.h"

/* What is held out. Made before training: the challenger must not have seen what it is judged on.
 */
typedef struct wn_gate_plan {
  uint64_t incumbent; /* 0: there is none */
  uint64_t upto_seq;  /* fit on events up to here; 0: on all, nothing is held out */
  uint64_t last_seq;  /* held-out events end here */
  char reason[160];   /* why nothing is held out */
} wn_gate_plan;

typedef enum wn_verdict {
  WN_GATE_FIRST,    /* no incumbent */
  WN_GATE_UNJUDGED, /* too few fresh users */
  WN_GATE_BETTER,   /* the interval of the difference lies above 0 */
  WN_GATE_EQUAL,    /* it holds 0 */
  WN_GATE_WORSE,    /* it lies below 0 */
} wn_verdict;

typedef struct wn_gate_report {
  wn_verdict verdict;
  bool promoted, forced;
  uint64_t incumbent, challenger;
  char surface[WN_NAME_MAX + 1];
  uint32_t k; /* NDCG@k */
  size_t users;
  uint64_t events; /* held out */
  double incumbent_ndcg, challenger_ndcg;
  wn_interval difference; /* challenger − incumbent, paired bootstrap over users */
  char reason[300];       /* one sentence for people */
} wn_gate_report;

const char *wn_verdict_name(wn_verdict verdict); /* "worse" */

/* `signals` must be bound to the store's types. */
WN_MUST_USE wn_status wn_gate_plan_make(wn_store *store, const wn_config *config,
                                        const wn_signals *signals, wn_gate_plan *out,
                                        wn_error *err);
/* Opens the data directory for reading and serves both snapshots to the fresh users. Takes over
 * `config`. threads 0: all CPUs. promoted and forced are left to the caller. */
WN_MUST_USE wn_status wn_gate_judge(const char *dir, wn_config *config, const wn_gate_plan *plan,
                                    uint64_t challenger, wn_gate_report *out, wn_error *err);
/* An object as the value of the writer's position. */
void wn_gate_report_json(const wn_gate_report *report, wn_json *json);

#endif
