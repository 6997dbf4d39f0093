#ifndef WN_SERVE_STATS_H
#define WN_SERVE_STATS_H
/* What was shown and what came of it, over the last hours; and one item's record. Counted from the
 * log when asked: scans, so nothing for a worker thread. */

#include "serve/engine.h"

#define WN_STATS_BUCKETS    48
#define WN_STATS_HOURS_MAX  (24 * 90)
#define WN_STATS_EVENTS_MAX 2000000 /* an item's record looks at so many of the newest events */
#define WN_STATS_AUDIENCE   20
#define WN_STATS_DAYS       30

typedef struct wn_shown {
  uint64_t slates, impressions;
  uint64_t answered;  /* impressions that an event of positive weight answers */
  uint64_t disliked;  /* … and of negative weight */
  uint64_t responded; /* slates with an answered impression */
} wn_shown;

typedef struct wn_surface_shown {
  char name[WN_NAME_MAX + 1];
  wn_shown shown;
} wn_surface_shown;

typedef struct wn_overview {
  int64_t since_ms, until_ms;
  wn_shown all;
  wn_surface_shown surfaces[WN_SURFACES_MAX];
  size_t surfaces_len;
  wn_shown buckets[WN_STATS_BUCKETS]; /* of equal length, the oldest first */
  uint64_t items_shown;               /* different ones */
  uint64_t items_for_half; /* the most shown that together make half of the impressions */
  uint32_t items_servable;
} wn_overview;

WN_MUST_USE wn_status wn_overview_get(wn_engine *engine, uint32_t hours, wn_overview *out,
                                      wn_error *err);

typedef struct wn_item_stats {
  uint64_t events_looked_at; /* the newest of the log */
  uint64_t events, users;    /* of this item among them */
  uint64_t by_type[WN_EVENT_TYPES_MAX];
  uint32_t by_day[WN_STATS_DAYS]; /* events of the last days, today last */
  wn_stored_event newest[WN_STATS_AUDIENCE];
  size_t newest_len; /* the newest first */
  wn_shown shown;    /* of the last 24 hours */
} wn_item_stats;

WN_MUST_USE wn_status wn_item_stats_get(wn_engine *engine, wn_item_ix item, wn_item_stats *out,
                                        wn_error *err);

#endif
