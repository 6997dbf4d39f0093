/* The policy that serves: taken by every request, replaced by one pointer. A mutex held for the
 * time of an increment, because reading the pointer and counting the reader must be one step; 30 ns
 * of a request's millisecond. */

#include "serve/engine_exposed.h"

wn_policy *wn_engine_policy(wn_engine *engine) {
  pthread_mutex_lock(&engine->policy_lock);
  wn_policy *policy = wn_policy_ref(engine->policy);
  pthread_mutex_unlock(&engine->policy_lock);
  return policy;
}

void wn_engine_change_begin(wn_engine *engine) {
  pthread_mutex_lock(&engine->change_lock);
}

void wn_engine_change_end(wn_engine *engine) {
  pthread_mutex_unlock(&engine->change_lock);
}

wn_status wn_engine_policy_swap(wn_engine *engine, wn_policy *policy, wn_error *err) {
  wn_status status = wn_engine_pin(engine, &policy->experiments, err);
  if (status == WN_OK) status = wn_engine_expose(engine, policy, err);
  if (status == WN_OK) {
    pthread_mutex_lock(&engine->policy_lock);
    wn_policy *old = engine->policy;
    engine->policy = policy;
    pthread_mutex_unlock(&engine->policy_lock);
    policy = old;
  }
  wn_engine_unpin(engine, &engine->policy->experiments);
  wn_policy_unref(policy);
  return status;
}
