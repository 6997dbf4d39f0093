#ifndef WN_SERVE_POLICY_REPLAY_H
#define WN_SERVE_POLICY_REPLAY_H
/* What would a snapshot under a configuration have shown for each logged slate? Fills the judged
 * policy's probabilities of a store's own impressions, for lab/ope_run.h. */

#include "lab/own_log.h"
#include "serve/engine.h"

typedef struct wn_policy_replay_options {
  uint64_t snapshot;      /* 0: the current one */
  wn_own_log_options log; /* which impressions, and what they earn */
  uint32_t draws;         /* slates drawn for each logged one; 0: 1, or 100 where chance decides */
  uint32_t slates_max;    /* replayed at most, drawn by their ids; 0: all */
  bool own_only; /* slates alone that this very snapshot and configuration made, outside experiments
                  */
  const wn_progress *progress;
} wn_policy_replay_options;

typedef struct wn_policy_replay_report {
  uint64_t snapshot;
  int64_t data_ms;       /* last event that the snapshot learned from */
  uint64_t slates;       /* replayed */
  uint64_t before;       /* left out: the snapshot has learned from what came of them */
  uint64_t no_surface;   /* left out: the configuration has no such surface */
  uint64_t gone;         /* left out: the user was deleted since */
  uint64_t not_drawn;    /* left out by slates_max */
  uint64_t hidden_items; /* impressions of items that may not be shown any more */
  uint64_t short_places; /* places that the policy left empty */
  uint32_t draws;
  char missing_models[256]; /* generators of the surfaces that the snapshot lacks */
} wn_policy_replay_report;

/* `engine` was opened for reading with the configuration to be judged; its state is replaced.
 * State is as of each slate: the snapshot, and the log's events that had arrived by then. The
 * catalogue is today's, less the items that came later. WN_E_NOT_FOUND: no such snapshot; no
 * impressions after it. */
WN_MUST_USE wn_status wn_policy_replay(wn_engine *engine, const wn_policy_replay_options *options,
                                       wn_own_log *out, wn_policy_replay_report *report,
                                       wn_error *err);

#endif
