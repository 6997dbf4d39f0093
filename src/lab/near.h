#ifndef WN_LAB_NEAR_H
#define WN_LAB_NEAR_H
/* Items that are the same under two ids: alike in text and attributes. */

#include "data/dataset.h"

typedef struct wn_near_pair {
  uint32_t a, b; /* a < b */
  double alike;  /* Jaccard similarity, estimated */
} wn_near_pair;

typedef struct wn_near {
  wn_near_pair *pairs; /* [len] the most alike first */
  size_t len;
  uint32_t items_read; /* with text or attributes */
  uint32_t groups;     /* of two items or more, by the pairs' transitive closure */
  uint32_t grouped;    /* items in them */
  uint32_t *group;     /* [items] the group's lowest item; the item itself: alone */
} wn_near;

/* Pairs at least `threshold` alike, in (0, 1]. */
WN_MUST_USE wn_status wn_near_items(wn_item_source source, uint32_t items, double threshold,
                                    wn_near *out, wn_error *err);
void wn_near_clear(wn_near *near);

#endif
