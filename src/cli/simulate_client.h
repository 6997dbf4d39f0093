#ifndef WN_CLI_SIMULATE_CLIENT_H
#define WN_CLI_SIMULATE_CLIENT_H
/* What a simulated site asks of a server: slates, and that it takes events. */

#include "base/record.h"
#include "cli/http_client.h"

#include <jansson.h>

/* Requests from now on tell the server this time: it must be one with a virtual clock. */
WN_MUST_USE wn_status wn_sim_clock(wn_http_client *client, int64_t ms, wn_error *err);

#define WN_SIM_SLATE_MAX 1000
typedef struct wn_sim_slate {
  char id[65];
  char arm[65]; /* of the experiment that was asked for; "all" without one, "-" when not in */
  uint32_t items[WN_SIM_SLATE_MAX]; /* numbers of "sim-iN"; UINT32_MAX: no item of the world */
  size_t len;
} wn_sim_slate;
/* WN_E_IO: no answer, or another one than 200; the message holds it. */
typedef struct wn_sim_ask {
  const char *surface;
  uint32_t user, n;       /* n 0: the surface's own */
  const char *experiment; /* NULL: none */
} wn_sim_ask;
WN_MUST_USE wn_status wn_sim_slate_get(wn_http_client *client, const wn_sim_ask *ask,
                                       wn_sim_slate *out, wn_error *err);
/* The answer, to be released by json_decref(). */
WN_MUST_USE wn_status wn_sim_get(wn_http_client *client, const char *path, json_t **out,
                                 wn_error *err);
WN_MUST_USE wn_status wn_sim_post(wn_http_client *client, const char *path, const wn_buf *json,
                                  wn_error *err);

#endif
