#ifndef WN_SERVE_SHOWN_H
#define WN_SERVE_SHOWN_H
/* What was lately shown, and what came of it: clicks by surface, arm and position, coverage and
 * concentration over a window of the newest slates. For metrics alone; what is exact is the
 * impression log. */

#include "serve/engine.h"

typedef struct wn_shown wn_shown;

#define WN_SHOWN_SLATES 16384 /* the window */
#define WN_SHOWN_ITEMS  32    /* of each slate, the first */

wn_shown *wn_shown_create(void); /* NULL: no memory */
void wn_shown_free(wn_shown *shown);
void wn_shown_slate(wn_shown *shown, const wn_slate_answer *answer);
/* An event that names a slate of the window. A click is a positive event on an item of it, counted
 * once; a conversion one that finishes with the item (`standing: done`). */
void wn_shown_event(wn_shown *shown, const wn_event_record *event, wn_item_ix item,
                    const wn_signals *signals);
/* Prometheus' text. `items`: of the catalogue that may be shown. */
void wn_shown_render(wn_shown *shown, uint32_t items, wn_buf *out);

#endif
