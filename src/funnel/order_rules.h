#ifndef WN_FUNNEL_ORDER_RULES_H
#define WN_FUNNEL_ORDER_RULES_H
/* What ordering is told beside diversity, caps and pins: minimum quotas, slots, a floor, and what
 * the values of an attribute do to a candidate's worth (repeats, calibration, coverage). */

#include "base/map64.h"
#include "funnel/diversity.h"

/* One attribute's say. Values are numbered as they are met. */
typedef struct wn_attr_rule {
  const wn_mix *mix;
  const wn_column *column;
  wn_map64 numbers; /* value → number + 1 */
  size_t values, values_cap;
  double *want;  /* [values] share of the user's history */
  double *shown; /* [values] REPEAT: items; CALIBRATED: mass; COVERED: what is still uncovered */
  double mass;   /* items of the slate that have values */
  double kl;     /* CALIBRATED: of the slate with one more item that has none of these values */
  double kl_now; /* of the slate as it is */
  uint32_t **number; /* [pool] of each candidate's values */
  uint32_t *len;
} wn_attr_rule;

typedef struct wn_order_rules {
  wn_funnel *funnel;
  size_t pool;
  wn_bitset quota[WN_RULES_MAX]; /* words NULL: no items */
  uint32_t missing[WN_RULES_MAX];
  wn_bitset slot[WN_RULES_MAX];
  wn_attr_rule attr[WN_RULES_MAX];
  size_t attrs_len;
} wn_order_rules;

/* What satisfies a condition, and a quota's. */
WN_MUST_USE wn_status wn_rules_items(wn_funnel *funnel, const char *where, const char *field,
                                     wn_bitset *out, wn_error *err);
WN_MUST_USE wn_status wn_rules_quota_items(wn_funnel *funnel, const wn_quota *quota, wn_bitset *out,
                                           wn_error *err);
/* Memory from the request's arena but for maps, which wn_rules_clear frees. */
WN_MUST_USE wn_status wn_rules_init(wn_order_rules *rules, wn_funnel *funnel, size_t pool,
                                    wn_error *err);
void wn_rules_clear(wn_order_rules *rules);
/* An item stands in the slate (or a pin of it is sure). */
WN_MUST_USE wn_status wn_rules_count(wn_order_rules *rules, wn_item_ix item, wn_error *err);
/* The worth of candidate i < pool whose relevance is `score`, scaled by repeats, plus what it does
 * for calibration and coverage. */
float wn_rules_worth(const wn_order_rules *rules, size_t i, float score);
/* Must each of the next `places` items count for a quota? */
bool wn_rules_urgent(const wn_order_rules *rules, size_t places);
bool wn_rules_helps(const wn_order_rules *rules, wn_item_ix item);
/* The slot of that position; NULL: none. */
const wn_slot *wn_rules_slot(const wn_order_rules *rules, size_t position);
/* What its condition allows; NULL: it has none. */
const wn_bitset *wn_rules_slot_items(const wn_order_rules *rules, const wn_slot *slot);
bool wn_rules_slot_takes(const wn_order_rules *rules, const wn_slot *slot, wn_item_ix item);
/* Slots from `position` on, up to n. */
size_t wn_rules_slots_from(const wn_order_rules *rules, size_t position);
/* Notes what was not kept. */
void wn_rules_report(const wn_order_rules *rules);

#endif
