#ifndef WN_DATA_REPEATS_H
#define WN_DATA_REPEATS_H
/* After how long users do the same again with an item: buy the coffee, watch the film once more. */

#include "data/dataset.h"

#define WN_REPEATS_MIN 3 /* gaps that an item needs */

/* Median time between two events of a user with an item that finish it (wn_standing) and say
 * something good; 0: fewer than WN_REPEATS_MIN such gaps. *out: [items], for wn_free. Memory 24
 * bytes such an event, time that of sorting them. */
WN_MUST_USE wn_status wn_repeats_learn(wn_event_list events, const wn_signals *signals,
                                       uint32_t items, int64_t **out, wn_error *err);

#endif
