#ifndef WN_CLI_SCENARIO_H
#define WN_CLI_SCENARIO_H
/* The scenarios that ship: each plays a made-up site against real servers and checks one claim
 * (docs/scenarios.md). Nothing in them knows what the server should do; what they check is what the
 * world says of the slates that were shown. */

#include "cli/stage.h"

typedef struct wn_scenario {
  const char *name, *claim;
  wn_status (*play)(wn_stage *stage, wn_error *err);
} wn_scenario;
extern const wn_scenario wn_scenarios[];
extern const size_t wn_scenarios_len;

wn_status wn_scenario_aa(wn_stage *stage, wn_error *err);
wn_status wn_scenario_uplift(wn_stage *stage, wn_error *err);
wn_status wn_scenario_loop(wn_stage *stage, wn_error *err);
wn_status wn_scenario_bait(wn_stage *stage, wn_error *err);
wn_status wn_scenario_protocol(wn_stage *stage, wn_error *err);
wn_status wn_scenario_cold(wn_stage *stage, wn_error *err);

#endif
