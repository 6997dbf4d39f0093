#ifndef WN_LAB_CROWD_H
#define WN_LAB_CROWD_H
/* The users of a world on its clock: who comes when (each user a Poisson process, by her activity),
 * what she has taken, and whether she has left for good. */

#include "lab/world.h"

typedef struct wn_coming {
  double day;
  uint32_t user;
} wn_coming;

typedef struct wn_crowd {
  wn_world *world;
  double visits_a_day; /* of all users at the beginning */
  wn_rng rng;
  wn_coming *coming; /* a heap, the next one first; who left is not in it */
  size_t coming_len;
  wn_bitset *taken; /* users; empty unless items are taken once */
} wn_crowd;

/* Memory beside the world: 40 bytes a user, and users × items bits with `once`. */
WN_MUST_USE wn_status wn_crowd_create(wn_world *world, double visits_a_day, uint64_t seed,
                                      wn_crowd *out, wn_error *err);
void wn_crowd_clear(wn_crowd *crowd);

/* From this day on, with so many visits a day of all users; who has left stays away. */
void wn_crowd_restart(wn_crowd *crowd, double day, double visits_a_day);
/* Who comes next, without taking her out; false: everybody has left. */
bool wn_crowd_next(const wn_crowd *crowd, wn_visitor *out);
/* She was there and did this: she drifts, remembers, leaves for good or will come back. */
void wn_crowd_visited(wn_crowd *crowd, const uint32_t *items, const wn_browsed *browsed,
                      size_t len);

#endif
