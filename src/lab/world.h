#ifndef WN_LAB_WORLD_H
#define WN_LAB_WORLD_H
/* A made-up world of users and items to test recommenders against, whose truth is known. It is
 * honest about being one: what holds here need not hold for people.
 *
 * Users and items have a taste vector of D topics (users: a Dirichlet-like mixture of few topics,
 * length 1; items: one main topic and noise). With m = their inner product, item quality q and bait
 * b (standard normal): P(click | looked at) = logistic(−2.2 + 4 (m − ½) + bait_pull · b)
 *   P(satisfied | click) = logistic(0.5 + 2 (m − ½) + q − bait_cost · b)
 * A user looks down a slate: at place k with probability 0.85^(k−1) of looking at the first
 * (position bias), and a satisfied click ends it with probability ½ (cascade). What is measured is
 * satisfaction; what a server sees are clicks and, for satisfied ones, `finish` events: clickbait
 * is an item with much b. Sources: position-based and cascade click models as in Chuklin, Markov
 * and de Rijke 2015, ch. 3. */

#include "base/rng.h"
#include "base/status.h"
#include <stddef.h>

#define WN_WORLD_TOPICS 8

typedef struct wn_world_options {
  uint32_t users, items;
  double bait_pull; /* of bait on clicks; default 0: bait only costs */
  double bait_cost; /* on satisfaction; default 0 */
  uint64_t seed;
} wn_world_options;
void wn_world_options_defaults(wn_world_options *options);

typedef struct wn_world {
  wn_world_options options;
  float *user_taste; /* users × topics */
  float *item_taste; /* items × topics */
  float *quality, *bait;
  double *activity;    /* users: their share of the visits, cumulative, ending in 1 */
  uint8_t *main_topic; /* items */
} wn_world;

WN_MUST_USE wn_status wn_world_create(const wn_world_options *options, wn_world *out,
                                      wn_error *err);
void wn_world_clear(wn_world *world);

double wn_world_click(const wn_world *world, uint32_t user, uint32_t item);     /* when looked at */
double wn_world_satisfied(const wn_world *world, uint32_t user, uint32_t item); /* when clicked */

/* A visit's user, by activity. */
uint32_t wn_world_visitor(const wn_world *world, wn_rng *rng);

typedef struct wn_browsed {
  bool clicked, satisfied;
} wn_browsed;
/* One visit: what the user does with each of `len` items. */
void wn_world_browse(const wn_world *world, uint32_t user, const uint32_t *items, size_t len,
                     wn_rng *rng, wn_browsed *out);
/* The truth, exactly: the satisfied clicks that a visit to this slate brings on average. */
double wn_world_value(const wn_world *world, uint32_t user, const uint32_t *items, size_t len);
/* The best slate of `len` items for the user: by satisfied clicks at the first place, which is the
 * best order up to how the cascade ends. `scratch`: room for all items. */
void wn_world_best(const wn_world *world, uint32_t user, uint32_t *items, size_t len,
                   double *scratch);

#endif
