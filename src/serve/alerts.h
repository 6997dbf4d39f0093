#ifndef WN_SERVE_ALERTS_H
#define WN_SERVE_ALERTS_H
/* Rules over what the server knows of itself, and messages to a webhook when one fires and when it
 * is over. The payload {"text": …} is what Slack, Mattermost, Discord (/slack) and Teams' Workflows
 * take.
 */

#include "serve/alert_rules.h"
#include "serve/config.h"

const char *wn_alert_rule_name(wn_alert_rule rule);

/* One look at all rules; pure, so that it can be tested without a clock or a network. */
typedef struct wn_alert_state {
  bool firing[WN_ALERT_COUNT];
  uint8_t streak[WN_ALERT_COUNT]; /* looks in a row that contradict `firing` */
  int64_t told_ms[WN_ALERT_COUNT];
} wn_alert_state;

typedef struct wn_alert_message {
  wn_alert_rule rule;
  bool recovered, repeated;
  double value, threshold;
} wn_alert_message;

/* Fires and recovers after two looks in a row; a firing rule is told again after repeat_hours. NAN:
 * unknown, changes nothing. Returns the number of messages (at most WN_ALERT_COUNT). */
size_t wn_alerts_look(wn_alert_state *state, const wn_alert_config *config,
                      const double values[WN_ALERT_COUNT], int64_t now_ms,
                      wn_alert_message messages[WN_ALERT_COUNT]);
/* {"text": "[FIRING] winnow at HOST: …"} */
void wn_alert_payload(const wn_alert_message *message, const char *host, wn_buf *out);

typedef struct wn_alerts wn_alerts;
typedef struct wn_server wn_server;
/* Looks every config->every_seconds on a thread of its own. */
WN_MUST_USE wn_status wn_alerts_start(wn_server *server, wn_alerts **out, wn_error *err);
void wn_alerts_stop(wn_alerts *alerts);
void wn_alerts_render(wn_alerts *alerts, wn_buf *out); /* Prometheus' text */

#endif
