#ifndef WN_CLI_SITE_H
#define WN_CLI_SITE_H
/* A site whose users are made up (lab/world.h, lab/crowd.h): an ordinary client of a server that it
 * asks for slates over HTTP and tells events, as any site would. It never reaches into the server,
 * and the server never learns what a visit was worth.
 *
 * With a virtual clock each request carries the time at which the visitor came (`Winnow-Now`), so
 * that months pass in minutes; without, visits are made as fast as they are answered. Events are
 * kept until 200 have come together or their user comes again, so that no slate misses what its own
 * user did before. One connection, one visit after another: the same seed asks the same questions.
 */

#include "base/json_write.h"
#include "cli/simulate_client.h"
#include "lab/crowd.h"

#include <stdio.h>

#define WN_SITE_HISTORY_DAYS 30

typedef struct wn_site_options {
  const char *url, *key, *surface;
  const char *experiment; /* whose arms are told apart; NULL: none */
  wn_world_options world;
  const char *like;    /* folder or file of a data set that tastes are fitted to; NULL: none */
  double visits_a_day; /* of all users at the beginning */
  int64_t start_ms;    /* of the world's clock; 0: the real one goes on */
  uint32_t n;          /* length of a slate; 0: the surface's own */
} wn_site_options;
void wn_site_options_defaults(wn_site_options *options);

typedef struct wn_site {
  wn_site_options options;
  wn_world world;
  wn_crowd crowd;
  wn_http_client *client;
  wn_rng rng;
  wn_buf body;    /* of the events that wait */
  wn_json events; /* into it */
  size_t waiting;
  uint8_t *has_waiting; /* users */
  uint8_t *there;       /* items: 0 not yet, 1 put, 2 gone */
  double *scratch;      /* items */
  double day;
  FILE *clicks; /* NULL, or where each is written as a line `user item` */
} wn_site;

/* Makes the world, and puts the items that are there on its first day. */
WN_MUST_USE wn_status wn_site_create(const wn_site_options *options, wn_site *out, wn_error *err);
void wn_site_clear(wn_site *site);

/* What happened at one visit, and what it was worth. */
typedef struct wn_visit {
  wn_visitor visitor;
  char arm[65];
  uint32_t items[WN_WORLD_SLATE_MAX]; /* of the world, as shown */
  wn_browsed browsed[WN_WORLD_SLATE_MAX];
  size_t len;
  double value, best; /* satisfied clicks of this slate and of the best one, on average */
  double any_click;   /* chance of a click */
} wn_visit;

/* So many visits to random slates in the 30 days before the world's first, of which the server only
 * gets the events. */
WN_MUST_USE wn_status wn_site_history(wn_site *site, uint64_t visits, wn_error *err);
/* The next visit; *came false: nobody is left. */
WN_MUST_USE wn_status wn_site_visit(wn_site *site, wn_visit *out, bool *came, wn_error *err);
/* The events that wait. */
WN_MUST_USE wn_status wn_site_flush(wn_site *site, wn_error *err);
/* The server is another one from now on (a new port); its clock goes on. */
WN_MUST_USE wn_status wn_site_connect(wn_site *site, const char *url, wn_error *err);

#endif
