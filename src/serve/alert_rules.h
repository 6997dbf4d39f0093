#ifndef WN_SERVE_ALERT_RULES_H
#define WN_SERVE_ALERT_RULES_H
/* The rules there are: the one table for configuration, messages and metrics. */

/* X(name, unit, fires when the value is above (1) or below (−1) the threshold, default, meaning).
 * A threshold of 0 switches a rule off. */
#define WN_ALERT_RULES(X)                                                                          \
  X(commit_failing, "", 1, 0.5, "the last commit failed: events are refused")                      \
  X(training_failures, "in a row", 1, 3, "trainings fail")                                         \
  X(snapshot_age_hours, "h", 1, 72, "the snapshot is old although there are new events")           \
  X(swap_failures, "since the last look", 1, 0.5, "a new snapshot was refused")                    \
  X(error_share, "of requests", 1, 0.01, "requests end in a 5xx")                                  \
  X(p99_ms, "ms", 1, 1000, "requests are slow (99th percentile)")                                  \
  X(queue_share, "of the queue", 1, 0.8, "events come faster than the disk takes them")            \
  X(disk_free_mb, "MB", -1, 1024, "the disk is nearly full")                                       \
  X(memory_mb, "MB resident", 1, 0, "the server takes much memory")                                \
  X(drift_psi, "PSI", 1, 0.25, "what comes is not what the snapshot was trained on")

typedef enum wn_alert_rule {
#define X(name, unit, sign, threshold, meaning) WN_ALERT_##name,
  WN_ALERT_RULES(X)
#undef X
      WN_ALERT_COUNT
} wn_alert_rule;

#endif
