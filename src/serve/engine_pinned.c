/* Snapshots that arms of experiments pin: states of their own beside the current one, brought up to
 * date by the same events and items, so that an arm differs by its models and not by how old its
 * users are. Opened when an experiment that needs one begins, dropped when none does any more,
 * never swapped; each costs the memory of a state and the time of its updates. */

#include "serve/engine_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BUILDS_MAX 5

const wn_serving *wn_engine_serving(const wn_engine *engine, uint64_t pin) {
  for (size_t i = 0; pin != 0 && i < engine->pinned_len; i++)
    if (engine->pinned[i]->about.number == pin) return engine->pinned[i];
  return engine->serving;
}

static bool is_pinned(wn_engine *engine, uint64_t number) {
  pthread_rwlock_rdlock(&engine->lock);
  bool pinned = wn_engine_serving(engine, number) != engine->serving;
  pthread_rwlock_unlock(&engine->lock);
  return pinned;
}

/* Beside the requests, like a swap. */
static wn_status build(wn_engine *engine, wn_snapshot *snapshot, wn_error *err) {
  wn_status status = WN_OK;
  bool swapped = false;
  for (int i = 0; i < BUILDS_MAX && !swapped && status == WN_OK; i++) {
    wn_swap swap = {.engine = engine, .pin = true};
    status = wn_swap_build(&swap, snapshot, err);
    if (status == WN_OK) status = wn_swap_finish(&swap, &swapped, err);
    wn_swap_clear(&swap);
  }
  if (status == WN_OK && !swapped)
    status = wn_fail(err, WN_E_BUSY, "", "users are being deleted; try again");
  return status;
}

static wn_status pin_one(wn_engine *engine, const wn_experiment *e, const wn_arm_spec *arm,
                         wn_error *err) {
  wn_status status = WN_OK;
  wn_error why = {0};
  char field[200];
  wn_snapshot *snapshot = NULL;
  uint64_t start = wn_mono_ns();
  if (is_pinned(engine, arm->snapshot)) return WN_OK; /* already */
  snprintf(field, sizeof field, "experiments.%s.arms.%s.snapshot", e->name, arm->name);
  if (engine->pinned_len == WN_PINS_MAX)
    return wn_fail(err, WN_E_CONFIG, field, "at most %d snapshots can be pinned at once",
                   WN_PINS_MAX);
  status = wn_engine_open_snapshot(engine, arm->snapshot, &snapshot, &why);
  if (status != WN_OK)
    return wn_fail(
        err, WN_E_CONFIG, field, "snapshot %" PRIu64 " cannot be pinned: %s", arm->snapshot,
        status == WN_E_NOT_FOUND ? "there is none of this number (any more)" : why.message);
  WN_TRY(build(engine, snapshot, err));
  wn_log(WN_LOG_INFO, "pinned snapshot number=%" PRIu64 " experiment=%s ms=%.1f", arm->snapshot,
         e->name, (double)(wn_mono_ns() - start) / 1e6);
cleanup:
  wn_snapshot_unref(snapshot);
  return status;
}

wn_status wn_engine_pin(wn_engine *engine, const wn_experiments *all, wn_error *err) {
  wn_status status = WN_OK;
  pthread_mutex_lock(&engine->refresh_lock);
  for (size_t i = 0; i < all->len; i++) {
    const wn_experiment *e = &all->data[i];
    for (size_t a = 0; a < e->arms_len && !e->stopped; a++)
      if (e->arms[a].snapshot != 0) WN_TRY(pin_one(engine, e, &e->arms[a], err));
  }
cleanup:
  pthread_mutex_unlock(&engine->refresh_lock);
  return status;
}

static bool needed(const wn_experiments *all, uint64_t number) {
  for (size_t i = 0; i < all->len; i++)
    for (size_t a = 0; a < all->data[i].arms_len && !all->data[i].stopped; a++)
      if (all->data[i].arms[a].snapshot == number) return true;
  return false;
}

void wn_engine_unpin(wn_engine *engine, const wn_experiments *all) {
  wn_serving *dropped[WN_PINS_MAX];
  size_t len = 0, kept = 0;
  pthread_mutex_lock(&engine->refresh_lock);
  pthread_rwlock_wrlock(&engine->lock);
  for (size_t i = 0; i < engine->pinned_len; i++) {
    wn_serving *pinned = engine->pinned[i];
    if (all != NULL && needed(all, pinned->about.number))
      engine->pinned[kept++] = pinned;
    else
      dropped[len++] = pinned;
  }
  engine->pinned_len = kept;
  pthread_rwlock_unlock(&engine->lock);
  pthread_mutex_unlock(&engine->refresh_lock);
  for (size_t i = 0; i < len; i++) wn_serving_free(dropped[i]);
}
