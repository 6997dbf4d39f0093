/* Snapshots that arms of experiments pin: states of their own beside the current one, brought up to
 * date by the same events and items, so that an arm differs by its models and not by how old its
 * users are. Opened when the engine is, never swapped; each costs the memory of a state and the
 * time of its updates. */

#include "serve/engine_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const wn_serving *wn_engine_serving(const wn_engine *engine, uint64_t pin) {
  for (size_t i = 0; pin != 0 && i < engine->pinned_len; i++)
    if (engine->pinned[i]->about.number == pin) return engine->pinned[i];
  return engine->serving;
}

static wn_status pin_one(wn_engine *engine, const wn_experiment *e, const wn_arm_spec *arm,
                         wn_error *err) {
  wn_status status = WN_OK;
  wn_error why = {0};
  char field[200];
  wn_snapshot *snapshot = NULL;
  wn_serving *serving = NULL;
  uint64_t start = wn_mono_ns();
  if (wn_engine_serving(engine, arm->snapshot) != engine->serving) return WN_OK; /* already */
  snprintf(field, sizeof field, "experiments.%s.arms.%s.snapshot", e->name, arm->name);
  if (engine->pinned_len == WN_PINS_MAX)
    return wn_fail(err, WN_E_CONFIG, field, "at most %d snapshots can be pinned at once",
                   WN_PINS_MAX);
  status = wn_engine_open_snapshot(engine, arm->snapshot, &snapshot, &why);
  if (status != WN_OK)
    return wn_fail(err, WN_E_CONFIG, field, "snapshot %" PRIu64 " cannot be pinned: %s",
                   arm->snapshot, why.message);
  WN_TRY(wn_serving_create(engine, snapshot, &serving, err));
  wn_serving_forget_erased(engine, serving);
  WN_TRY(wn_serving_catch_up(engine, serving, err));
  engine->pinned[engine->pinned_len++] = serving;
  serving = NULL;
  wn_log(WN_LOG_INFO, "open: pinned snapshot number=%" PRIu64 " experiment=%s ms=%.1f",
         arm->snapshot, e->name, (double)(wn_mono_ns() - start) / 1e6);
cleanup:
  wn_serving_free(serving);
  return status;
}

wn_status wn_engine_pin(wn_engine *engine, wn_error *err) {
  wn_status status = WN_OK;
  for (size_t i = 0; i < engine->policy->experiments.len; i++) {
    const wn_experiment *e = &engine->policy->experiments.data[i];
    for (size_t a = 0; a < e->arms_len && !e->stopped; a++)
      if (e->arms[a].snapshot != 0) WN_TRY(pin_one(engine, e, &e->arms[a], err));
  }
cleanup:
  return status;
}

void wn_engine_unpin(wn_engine *engine) {
  for (size_t i = 0; i < engine->pinned_len; i++) wn_serving_free(engine->pinned[i]);
  engine->pinned_len = 0;
}
