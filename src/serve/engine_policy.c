/* The policy that serves: taken by every request, replaced by one pointer. A mutex held for the
 * time of an increment, because reading the pointer and counting the reader must be one step; 30 ns
 * of a request's millisecond. */

#include "serve/engine_internal.h"
#include <inttypes.h>
#include <stdio.h>

wn_policy *wn_engine_policy(wn_engine *engine) {
  pthread_mutex_lock(&engine->policy_lock);
  wn_policy *policy = wn_policy_ref(engine->policy);
  pthread_mutex_unlock(&engine->policy_lock);
  return policy;
}

/* Snapshots are pinned when the engine is opened, and stay. */
static wn_status check_pins(const wn_engine *engine, const wn_policy *policy, wn_error *err) {
  char field[200];
  for (size_t i = 0; i < policy->experiments.len; i++) {
    const wn_experiment *e = &policy->experiments.data[i];
    for (size_t a = 0; a < e->arms_len && !e->stopped; a++) {
      bool pinned = e->arms[a].snapshot == 0;
      for (size_t p = 0; p < engine->pinned_len && !pinned; p++)
        pinned = engine->pinned[p]->about.number == e->arms[a].snapshot;
      if (pinned) continue;
      snprintf(field, sizeof field, "experiments.%s.arms.%s.snapshot", e->name, e->arms[a].name);
      return wn_fail(err, WN_E_CONFIG, field,
                     "snapshot %" PRIu64 " is not pinned yet, which only happens at a start",
                     e->arms[a].snapshot);
    }
  }
  return WN_OK;
}

wn_status wn_engine_policy_swap(wn_engine *engine, wn_policy *policy, wn_error *err) {
  wn_status status = check_pins(engine, policy, err);
  if (status == WN_OK) {
    pthread_mutex_lock(&engine->policy_lock);
    wn_policy *old = engine->policy;
    engine->policy = policy;
    pthread_mutex_unlock(&engine->policy_lock);
    policy = old;
  }
  wn_policy_unref(policy);
  return status;
}
