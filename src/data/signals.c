/* What event types mean.
 *
 * Weight of one event = weight × value rule × 2^(−age / half-life).
 * Value rule, for events that carry a value: below value_min the weight is `below` instead;
 * with use_value the weight is multiplied by the value. Ages below zero (an event ahead of
 * `now`) count as zero. The result is clamped to ±WEIGHT_MAX, so that sums of weights stay
 * finite whatever values clients send.
 *
 * The table below holds what works without any configuration; winnow.yaml overrides it. Nothing
 * fades by default: how fast interest fades is a property of the product, and a wrong half-life
 * throws data away silently. Everything that the user did with an item marks it as seen; what
 * merely happened on the screen (impression, skip) does not. */

#include "data/signals.h"

#include <math.h>
#include <string.h>

#define WEIGHT_MAX 1e6

typedef struct signal_default {
  const char *name;
  float weight;
  float value_min; /* NAN: no value rule */
  bool seen;
} signal_default;

/* clang-format off */
static const signal_default defaults[] = {
    /* name          weight  min   seen */
    {"view",          1.0f,  NAN,  true},
    {"click",         1.0f,  NAN,  true},
    {"open",          1.0f,  NAN,  true},
    {"play",          1.0f,  NAN,  true},
    {"read",          1.0f,  NAN,  true},
    {"watch",         1.0f,  NAN,  true},
    {"listen",        1.0f,  NAN,  true},
    {"finish",        2.0f,  NAN,  true},
    {"comment",       2.0f,  NAN,  true},
    {"like",          3.0f,  NAN,  true},
    {"favorite",      3.0f,  NAN,  true},
    {"bookmark",      3.0f,  NAN,  true},
    {"follow",        3.0f,  NAN,  true},
    {"share",         3.0f,  NAN,  true},
    {"rating",        1.0f,  3.0f, true},  /* under 3: weight 0, but seen */
    {"cart",          2.0f,  NAN,  true},
    {"addtocart",     2.0f,  NAN,  true},
    {"buy",           4.0f,  NAN,  true},
    {"purchase",      4.0f,  NAN,  true},
    {"transaction",   4.0f,  NAN,  true},
    {"dislike",      -2.0f,  NAN,  true},
    {"hide",         -2.0f,  NAN,  true},
    {"skip",         -0.5f,  NAN,  false}, /* "not now" is no "never again" */
    {"impression",    0.0f,  NAN,  false},
    {"install",       1.0f,  NAN,  true},
    {"depends",       1.0f,  NAN,  true},
    {"recommends",    0.7f,  NAN,  true},
    {"suggests",      0.4f,  NAN,  true},
    {"enhances",      0.4f,  NAN,  true},
};
/* clang-format on */

static wn_signal *append(wn_signals *signals, wn_str name) {
  wn_signal *s = &signals->data[signals->len++];
  memset(s, 0, sizeof *s);
  memcpy(s->name, name.ptr, name.len);
  s->weight = 1.0f;
  s->value_min = NAN;
  s->seen = true;
  return s;
}

void wn_signals_defaults(wn_signals *signals) {
  signals->len = 0;
  for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
    wn_signal *s = append(signals, wn_str_of(defaults[i].name));
    s->weight = defaults[i].weight;
    s->value_min = defaults[i].value_min;
    s->seen = defaults[i].seen;
    s->declared = true;
  }
}

uint32_t wn_signals_find(const wn_signals *signals, wn_str name) {
  for (size_t i = 0; i < signals->len; i++)
    if (wn_str_is(name, signals->data[i].name)) return (uint32_t)i;
  return WN_NO_IX;
}

uint32_t wn_signals_add(wn_signals *signals, wn_str name) {
  if (name.len == 0 || name.len > WN_SIGNAL_NAME_MAX) return WN_NO_IX;
  uint32_t found = wn_signals_find(signals, name);
  if (found != WN_NO_IX) return found;
  if (signals->len >= WN_SIGNALS_MAX) return WN_NO_IX;
  append(signals, name);
  return (uint32_t)(signals->len - 1);
}

float wn_signal_weight(const wn_signals *signals, uint32_t type, double value, int64_t time_ms,
                       int64_t now_ms) {
  if (signals == NULL || type >= signals->len) return 1.0f;
  const wn_signal *s = &signals->data[type];
  double weight = s->weight;
  if (!isnan(value) && !isnan(s->value_min) && value < s->value_min)
    weight = s->below;
  else if (s->use_value && !isnan(value))
    weight *= value;
  if (s->half_life_days > 0.0f && now_ms > time_ms) {
    double age_days = ((double)now_ms - (double)time_ms) / 86400000.0;
    weight *= exp2(-age_days / s->half_life_days);
  }
  if (isnan(weight)) return 0.0f; /* 0 × infinity: only a broken configuration gets here */
  return (float)fmin(fmax(weight, -WEIGHT_MAX), WEIGHT_MAX);
}
