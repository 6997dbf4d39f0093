#ifndef WN_FUNNEL_ORDER_CAPS_H
#define WN_FUNNEL_ORDER_CAPS_H
/* Caps of order: at most so many items of a slate share a value of an attribute. Caps always hold:
 * one that is reached blocks all candidates with the value at once, so that a step of ordering
 * looks at flags alone. */

#include "base/map64.h"
#include "funnel/diversity.h"

/* Where the candidates stand. */
enum { WN_FREE, WN_TAKEN, WN_BLOCKED };
typedef struct wn_order_state {
  uint8_t *state;          /* [candidates] */
  const char **blocked_by; /* [candidates] */
  size_t blocked;
} wn_order_state;

typedef struct wn_cap_count {
  const wn_cap *rule;
  const wn_column *column;
  wn_values *values; /* of the candidates */
  wn_map64 counts;   /* value → items of the slate that have it */
  const char *reason;
} wn_cap_count;

typedef struct wn_order_caps {
  wn_funnel *funnel;
  wn_order_state *standing;
  wn_cap_count cap[WN_RULES_MAX];
  size_t len;
} wn_order_caps;

/* Memory from the request's arena but for maps, which wn_caps_clear frees. */
WN_MUST_USE wn_status wn_caps_init(wn_order_caps *caps, wn_funnel *funnel, wn_order_state *standing,
                                   wn_error *err);
void wn_caps_clear(wn_order_caps *caps);
/* An item stands in the slate (or a pin of it is sure). */
WN_MUST_USE wn_status wn_caps_count(wn_order_caps *caps, wn_item_ix item, wn_error *err);
/* The cap that the items counted so far leave no room under; *reason NULL: none. */
WN_MUST_USE wn_status wn_caps_full(const wn_order_caps *caps, wn_item_ix item, const char **reason,
                                   wn_error *err);

#endif
