/* Rules: when one fires, when it is over, what is said. alerts_watch.c asks the server and sends.
 */
#include "serve/alerts.h"

#include "base/json_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOOKS_IN_A_ROW 2

static const struct {
  const char *name, *unit, *meaning;
  int sign;
} rules[WN_ALERT_COUNT] = {
#define X(name, unit, sign, threshold, meaning) {#name, unit, meaning, sign},
    WN_ALERT_RULES(X)
#undef X
};

const char *wn_alert_rule_name(wn_alert_rule rule) {
  return rules[rule].name;
}

static bool beyond(wn_alert_rule rule, double value, double threshold) {
  return threshold > 0 && rules[rule].sign * value > rules[rule].sign * threshold;
}

size_t wn_alerts_look(wn_alert_state *state, const wn_alert_config *config,
                      const double values[WN_ALERT_COUNT], int64_t now_ms,
                      wn_alert_message messages[WN_ALERT_COUNT]) {
  size_t len = 0;
  int64_t repeat_ms = (int64_t)((double)config->repeat_hours * 3600e3);
  for (int i = 0; i < WN_ALERT_COUNT; i++) {
    wn_alert_rule rule = (wn_alert_rule)i;
    double threshold = config->thresholds[i];
    if (isnan(values[i])) continue;
    bool now = beyond(rule, values[i], threshold);
    state->streak[i] = now != state->firing[i] ? (uint8_t)(state->streak[i] + 1) : 0;
    bool turns = state->streak[i] >= LOOKS_IN_A_ROW;
    bool again = !turns && state->firing[i] && now && repeat_ms > 0 &&
                 now_ms - state->told_ms[i] >= repeat_ms;
    if (!turns && !again) continue;
    if (turns) state->firing[i] = now;
    state->streak[i] = 0;
    state->told_ms[i] = now_ms;
    messages[len++] = (wn_alert_message){rule, !now, again, values[i], threshold};
  }
  return len;
}

void wn_alert_payload(const wn_alert_message *message, const char *host, wn_buf *out) {
  char text[600];
  wn_json json;
  const char *unit = rules[message->rule].unit;
  snprintf(text, sizeof text, "[%s] winnow at %s: %s. %s is %.4g%s%s, the threshold is %.4g.",
           message->recovered  ? "RECOVERED"
           : message->repeated ? "STILL FIRING"
                               : "FIRING",
           host, rules[message->rule].meaning, rules[message->rule].name, message->value,
           unit[0] != '\0' ? " " : "", unit, message->threshold);
  wn_json_init(&json, out);
  wn_json_object(&json);
  wn_json_key(&json, "text");
  wn_json_cstring(&json, text);
  wn_json_end_object(&json);
}
