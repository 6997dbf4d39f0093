#ifndef WN_LAB_WORLD_FIT_H
#define WN_LAB_WORLD_FIT_H
/* A world whose tastes are those of a real data set: als with 16 factors on its positive events;
 * the match of user and item is ½ + z/4, z their cosine standardised over pairs. Activities are the
 * users' numbers of events, quality is half the items' mean value (ratings; shrunk by 10 events,
 * standardised) and half made up; bait, lengths and births are made up. The main topic is the
 * item's largest factor. So it has the data's tastes and popularity, not its people: als sees them
 * through its own eyes, and an als that is tested in it has an easy life. */

#include "lab/world.h"

/* `path`: what wn_read() reads. Users and items of `options` are replaced by the data's. */
WN_MUST_USE wn_status wn_world_fit(const wn_world_options *options, const char *path, wn_world *out,
                                   wn_error *err);

#endif
