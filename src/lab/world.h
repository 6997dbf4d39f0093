#ifndef WN_LAB_WORLD_H
#define WN_LAB_WORLD_H
/* A made-up world of users and items to test recommenders against, whose truth is known. It is
 * honest about being one: what holds here need not hold for people.
 *
 * Users and items have a taste vector; m, their match, is the inner product (users: a
 * Dirichlet-like mixture of few topics, length 1; items: one main topic and noise) or, in a world
 * fitted to a data set (world_fit.h), ½ + z/4 with z its standardised score, cut to 0 … 1. With
 * item quality q, bait b and length l (standard normal), age a in days and topics' waves T: P(click
 * | looked at) = logistic(−2.2 + 4 (m − ½) + pull · b − ageing · a + trend · T) P(satisfied |
 * click) = logistic(0.5 + 2 (m − ½) + q − cost · b) A user looks down a slate: at place k with
 * probability 0.85^(k−1) of looking at the first (position bias), and a satisfied click ends it
 * with probability ½ (cascade). Signals: clicks; `finish`, for satisfied clicks or, with a trap, by
 * how short the item is: P(finish | click) = logistic(±2 − trap · l), + when satisfied; `like`, for
 * a share of the satisfied ones. What is measured is satisfaction, which no event tells: bait makes
 * clicks and short items make finishes that are worth nothing.
 *
 * Items are born and go; users come back by their activity, do not take an item twice, may leave
 * for good after a visit that gave nothing (churn), and come to like what satisfied them (drift). A
 * day is a number of days since the world's beginning. Sources: position-based and cascade click
 * models as in Chuklin, Markov and de Rijke 2015, ch. 3; drift as in Jiang et al. 2019 (degenerate
 * feedback loops), simplified. */

#include "base/bitset.h"
#include "base/rng.h"
#include "base/status.h"
#include <stddef.h>

#define WN_WORLD_TOPICS     8
#define WN_WORLD_TOPICS_MAX 64
#define WN_WORLD_SLATE_MAX  1000
#define WN_WORLD_LOOK_ON    0.85 /* at the next place */

typedef struct wn_world_options {
  uint32_t users, items;
  uint64_t seed;
  double bait_pull;  /* of bait on clicks */
  double bait_cost;  /* on satisfaction */
  double trap;       /* of length on finishing; 0: exactly the satisfied clicks are finished */
  double likes;      /* share of the satisfied clicks that are liked */
  double trend;      /* height of the topics' waves of 28 days */
  double days;       /* for how long items are born */
  double born_share; /* of the items, over these days; the others were born in the 60 before */
  double ageing;     /* what a day takes from the chance of a click */
  double life_days;  /* after which an item goes; 0: never */
  double churn;      /* chance that a visit without a satisfied click is the last */
  double drift;      /* of taste towards an item that satisfied */
  bool once;         /* an item that was clicked is not clicked again */
} wn_world_options;  /* all 0 but users, items and seed by default */
void wn_world_options_defaults(wn_world_options *options);

typedef struct wn_world {
  wn_world_options options;
  uint32_t topics;
  float *user_taste;              /* users × topics */
  float *item_taste;              /* items × topics */
  float scale, offset;            /* match = scale · inner product + offset */
  float *quality, *bait, *length; /* items */
  float *born;                    /* items: day */
  uint8_t *main_topic;            /* items */
  double *activity;               /* users: their shares of the visits */
} wn_world;

WN_MUST_USE wn_status wn_world_create(const wn_world_options *options, wn_world *out,
                                      wn_error *err);
/* Room for users and items with `topics` numbers each, and quality, bait, lengths and births. What
 * a fit fills in: tastes, scale, offset, main_topic, activity. */
WN_MUST_USE wn_status wn_world_create_blank(const wn_world_options *options, uint32_t topics,
                                            wn_world *out, wn_error *err);
void wn_world_clear(wn_world *world);

/* Who looks, and when. */
typedef struct wn_visitor {
  uint32_t user;
  double day;
  const wn_bitset *taken; /* items clicked before; NULL: none */
} wn_visitor;

double wn_world_click(const wn_world *world, const wn_visitor *visitor, uint32_t item);
double wn_world_satisfied(const wn_world *world, uint32_t user, uint32_t item); /* when clicked */
bool wn_world_alive(const wn_world *world, uint32_t item, double day);

typedef struct wn_browsed {
  bool clicked, satisfied, finished, liked;
} wn_browsed;
/* One visit: what the user does with each of `len` items. */
void wn_world_browse(const wn_world *world, const wn_visitor *visitor, const uint32_t *items,
                     size_t len, wn_rng *rng, wn_browsed *out);
/* The truth, exactly: the satisfied clicks that a visit to this slate brings on average. */
double wn_world_value(const wn_world *world, const wn_visitor *visitor, const uint32_t *items,
                      size_t len);
/* The chance that a visit to this slate brings a click, exactly. */
double wn_world_any_click(const wn_world *world, const wn_visitor *visitor, const uint32_t *items,
                          size_t len);
/* The best slate of `len` living items for the visitor: by satisfied clicks at the first place,
 * which is the best order up to how the cascade ends. `scratch`: room for all items. How many. */
size_t wn_world_best(const wn_world *world, const wn_visitor *visitor, uint32_t *items, size_t len,
                     double *scratch);
/* The item satisfied her. */
void wn_world_drift(wn_world *world, uint32_t user, uint32_t item);

#endif
