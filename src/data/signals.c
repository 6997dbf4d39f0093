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
#define DONE_SHARE 0.9f /* of the weight of one whole event: the credits need not be watched */

#define NONE WN_STANDING_NONE
#define OPEN WN_STANDING_OPEN
#define DONE WN_STANDING_DONE

typedef struct signal_default {
  const char *name;
  float weight;
  float value_min; /* NAN: no value rule */
  bool seen;
  wn_standing standing;
} signal_default;

/* clang-format off */
static const signal_default defaults[] = {
    /* name          weight  min   seen   standing */
    {"view",          1.0f,  NAN,  true, NONE},
    {"click",         1.0f,  NAN,  true, NONE},
    {"open",          1.0f,  NAN,  true, NONE},
    {"play",          1.0f,  NAN,  true, OPEN},
    {"read",          1.0f,  NAN,  true, OPEN},
    {"watch",         1.0f,  NAN,  true, OPEN},
    {"listen",        1.0f,  NAN,  true, OPEN},
    {"finish",        2.0f,  NAN,  true, DONE},
    {"comment",       2.0f,  NAN,  true, NONE},
    {"like",          3.0f,  NAN,  true, NONE},
    {"favorite",      3.0f,  NAN,  true, NONE},
    {"bookmark",      3.0f,  NAN,  true, OPEN},
    {"follow",        3.0f,  NAN,  true, NONE},
    {"share",         3.0f,  NAN,  true, NONE},
    {"rating",        1.0f,  3.0f, true, NONE},  /* under 3: weight 0, but seen */
    {"cart",          2.0f,  NAN,  true, OPEN},
    {"addtocart",     2.0f,  NAN,  true, OPEN},
    {"buy",           4.0f,  NAN,  true, DONE},
    {"purchase",      4.0f,  NAN,  true, DONE},
    {"transaction",   4.0f,  NAN,  true, DONE},
    {"dislike",      -2.0f,  NAN,  true, DONE},
    {"hide",         -2.0f,  NAN,  true, DONE},
    {"skip",         -0.5f,  NAN,  false, NONE}, /* "not now" is no "never again" */
    {"impression",    0.0f,  NAN,  false, NONE},
    {"install",       1.0f,  NAN,  true, NONE},
    {"depends",       1.0f,  NAN,  true, NONE},
    {"recommends",    0.7f,  NAN,  true, NONE},
    {"suggests",      0.4f,  NAN,  true, NONE},
    {"enhances",      0.4f,  NAN,  true, NONE},
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
    s->standing = defaults[i].standing;
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

uint8_t wn_signal_level(const wn_signals *signals, uint8_t type) {
  if (signals == NULL || type >= WN_SIGNALS_TOLD || type >= signals->len) return 0;
  return (uint8_t)signals->data[type].level;
}

static float plain_weight(const wn_signals *signals, uint8_t type) {
  if (signals == NULL || type >= WN_SIGNALS_TOLD || type >= signals->len) return 1;
  return signals->data[type].weight;
}

uint8_t wn_signal_stronger(const wn_signals *signals, uint8_t a, uint8_t b) {
  uint8_t level_a = wn_signal_level(signals, a), level_b = wn_signal_level(signals, b);
  if (level_a != level_b) return level_a > level_b ? a : b;
  float x = plain_weight(signals, a), y = plain_weight(signals, b);
  if (x != y) return x > y ? a : b;
  return a < b ? a : b;
}

uint8_t wn_signal_strongest(const wn_signals *signals, uint64_t mask) {
  if (mask == 0) return WN_SIGNALS_TOLD;
  uint8_t best = (uint8_t)__builtin_ctzll(mask);
  for (uint64_t rest = mask & (mask - 1); rest != 0; rest &= rest - 1)
    best = wn_signal_stronger(signals, best, (uint8_t)__builtin_ctzll(rest));
  return best;
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

wn_standing wn_signals_standing(const wn_signals *signals, uint64_t mask, float weight) {
  const wn_signal *open = NULL;
  for (uint32_t t = 0; t < signals->len && t < 63; t++) {
    if ((mask >> t & 1) == 0) continue;
    if (signals->data[t].standing == WN_STANDING_DONE) return WN_STANDING_DONE;
    if (signals->data[t].standing == WN_STANDING_OPEN) open = &signals->data[t];
  }
  if (open == NULL) return WN_STANDING_NONE;
  bool alone = (mask & (mask - 1)) == 0;
  bool whole = alone && open->use_value && weight >= DONE_SHARE * open->weight;
  return whole ? WN_STANDING_DONE : WN_STANDING_OPEN;
}
