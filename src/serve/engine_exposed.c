/* What was shown and what came of it, kept current (online/exposure.h).
 *
 * It begins when the first policy asks for it, with a pass over the log, and is current from then
 * on: slates count when they are made, not when they are stored, since the next request must know;
 * positive events when they are stored. A slate whose cold items have had their impressions in the
 * meantime is made again, so no item gets more for want of impressions than it is to have. While
 * the first pass runs slates and events count already; a slate is counted once however often it is
 * met. */
#include "serve/engine_exposed.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/ranker.h"
#include "store/answered.h"

#include <string.h>

wn_exposure *wn_engine_exposure(const wn_engine *engine) {
  return atomic_load_explicit(&engine->exposure, memory_order_acquire);
}

/* --- whether --- */

static bool arm_asks(const wn_surfaces *surfaces, const wn_arm_spec *arm, wn_surface *scratch) {
  for (size_t v = 0; v < arm->variants_len; v++) {
    const wn_surface *base = wn_surfaces_find(surfaces, wn_str_of(arm->variants[v].surface));
    if (base == NULL) continue;
    *scratch = *base;
    wn_surface_patch_apply(&arm->variants[v].patch, scratch);
    if (wn_surface_asks_exposed(scratch)) return true;
  }
  return false;
}

wn_status wn_engine_asks_exposed(const wn_engine *engine, const wn_policy *policy, bool *asks,
                                 wn_error *err) {
  bool ranker_asks = wn_ranker_wants(&engine->config.train, WN_FEATURES_IMPRESSION);
  wn_surface *scratch = wn_malloc(sizeof *scratch);
  if (scratch == NULL) return wn_fail_memory(err);
  *asks = false;
  for (size_t i = 0; i < policy->surfaces.len && !*asks; i++)
    *asks = wn_surface_asks_exposed(&policy->surfaces.data[i]);
  *asks = *asks || ranker_asks;
  for (size_t e = 0; e < policy->experiments.len; e++)
    for (size_t a = 0; a < policy->experiments.data[e].arms_len && !*asks; a++)
      *asks = arm_asks(&policy->surfaces, &policy->experiments.data[e].arms[a], scratch);
  wn_free(scratch);
  return WN_OK;
}

/* --- the log --- */

wn_status wn_exposure_replay(wn_exposure *exposure, const wn_engine *engine,
                             const wn_slate_log *slate, const wn_answer *answers, size_t len,
                             wn_error *err) {
  wn_str user = slate->user_id;
  if (user.len == 0 && slate->user != WN_NO_IX)
    user = wn_dict_key(wn_store_users(engine->store), slate->user);
  const wn_exposed_slate shown = {.id = slate->id,
                                  .surface = slate->surface,
                                  .user = user,
                                  .time_ms = slate->time_ms,
                                  .items = slate->items,
                                  .context = slate->context,
                                  .len = slate->len};
  wn_status status = wn_exposure_add(exposure, &shown, NULL, 0, NULL, err);
  for (size_t a = 0; a < len && status == WN_OK; a++)
    if (answers[a].position > 0 &&
        wn_signal_weight(&engine->serving->signals, answers[a].type, answers[a].value,
                         answers[a].time_ms, answers[a].time_ms) > 0)
      wn_exposure_answer(exposure, slate->id, user, answers[a].item, answers[a].time_ms);
  return status;
}

static wn_status each_answered(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                               size_t len, wn_error *err) {
  wn_engine *engine = ctx;
  pthread_rwlock_rdlock(&engine->lock);
  wn_status status =
      wn_exposure_replay(wn_engine_exposure(engine), engine, slate, answers, len, err);
  pthread_rwlock_unlock(&engine->lock);
  return status;
}

/* Slates that are made but not stored yet will be: the queue is first in, first out. */
static void wait_for_slates(wn_engine *engine) {
  wn_op op = {.kind = WN_OP_PROBE};
  wn_error why;
  if (engine->committer != NULL && wn_committer_run(engine->committer, &op, 1, &why) != WN_OK)
    wn_log(WN_LOG_WARN, "exposure: slates that are not stored are not counted");
}

wn_status wn_engine_expose(wn_engine *engine, const wn_policy *policy, wn_error *err) {
  wn_status status = WN_OK;
  wn_exposure_options options;
  wn_answered_options how;
  bool asks = false;
  uint64_t start = wn_mono_ns();
  if (wn_engine_exposure(engine) != NULL) return WN_OK;
  WN_TRY(wn_engine_asks_exposed(engine, policy, &asks, err));
  if (!asks) return WN_OK;
  wn_exposure_options_defaults(&options);
  options.impressions_max = engine->config.server.impressions_remembered;
  wn_exposure *exposure = wn_exposure_create(&options);
  if (exposure == NULL) return wn_fail_memory(err);
  atomic_store_explicit(&engine->exposure, exposure, memory_order_release);
  wait_for_slates(engine);
  wn_answered_options_defaults(&how);
  WN_TRY(wn_store_scan_answered(engine->store, &how, each_answered, engine, err));
  wn_log(WN_LOG_INFO, "exposure: counted bytes=%zu ms=%.1f", wn_exposure_bytes(exposure),
         (double)(wn_mono_ns() - start) / 1e6);
cleanup:
  return status;
}

/* --- an event --- */

void wn_engine_exposed_event(wn_engine *engine, const wn_op *op) {
  wn_exposure *exposure = wn_engine_exposure(engine);
  const wn_event_record *e = &op->u.event;
  if (exposure == NULL || !(wn_signal_weight(&engine->serving->signals, op->type, e->value,
                                             e->time_ms, e->time_ms) > 0))
    return;
  wn_exposure_answer(exposure, e->slate, e->user, op->item_ix, e->time_ms);
}

void wn_engine_exposed_forget(wn_engine *engine, wn_str user) {
  if (wn_engine_exposure(engine) != NULL) wn_exposure_forget(wn_engine_exposure(engine), user);
}

/* --- a request --- */

static void tally(void *ctx, const wn_item_ix *items, size_t len, wn_tally *out, wn_tally *all) {
  const wn_asked_exposure *a = ctx;
  wn_exposure_tally(a->exposure, a->surface, items, len, out, all);
}

static wn_status cold(void *ctx, uint32_t below, wn_bitset *set, wn_error *err) {
  const wn_asked_exposure *a = ctx;
  if (!a->closed) return wn_exposure_cold(a->exposure, a->surface, below, set, err);
  wn_bitset_fill(set, false);
  return WN_OK;
}

static void before(void *ctx, const wn_before_ask *ask, const wn_item_ix *items, size_t len,
                   wn_before *out) {
  const wn_asked_exposure *a = ctx;
  wn_exposure_before(a->exposure, &(wn_exposure_whom){a->surface, a->user, *ask}, items, len, out);
}

static void linear(void *ctx, wn_linear *out) {
  const wn_asked_exposure *a = ctx;
  wn_exposure_linear(a->exposure, a->surface, out);
}

const wn_exposed *wn_asked_exposure_of(wn_exposure *exposure, wn_str surface, wn_str user,
                                       wn_asked_exposure *out) {
  *out = (wn_asked_exposure){.exposure = exposure, .surface = surface, .user = user};
  out->exposed =
      (wn_exposed){.ctx = out, .tally = tally, .cold = cold, .before = before, .linear = linear};
  return out->exposure != NULL ? &out->exposed : NULL;
}

/* The rows of all items as one string; of none where no linear bandit was asked. */
static wn_status gather_context(wn_slate_answer *answer, wn_arena *arena, wn_error *err) {
  bool any = false;
  for (size_t i = 0; i < answer->len; i++) any |= answer->items[i].context != NULL;
  if (!any) return WN_OK;
  wn_context_row *rows = wn_arena_calloc(arena, answer->len, sizeof *rows);
  if (rows == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < answer->len; i++)
    if (answer->items[i].context != NULL) rows[i] = *answer->items[i].context;
  answer->context = (wn_str){(const char *)rows, answer->len * sizeof *rows};
  return WN_OK;
}

wn_status wn_engine_exposed_take(wn_engine *engine, wn_slate_answer *answer, int64_t now_ms,
                                 wn_arena *arena, bool *refused, wn_error *err) {
  wn_exposure *exposure = wn_engine_exposure(engine);
  wn_status status = WN_OK;
  size_t claims = 0;
  *refused = false;
  if (exposure == NULL || answer->len == 0) return WN_OK;
  wn_item_ix *items = wn_arena_alloc(arena, answer->len * sizeof *items);
  wn_exposure_claim *claim = wn_arena_alloc(arena, answer->len * sizeof *claim);
  if (items == NULL || claim == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < answer->len; i++) {
    const wn_slate_answer_item *item = &answer->items[i];
    items[i] = item->ix;
    if (item->below > 0) claim[claims++] = (wn_exposure_claim){item->ix, item->below};
  }
  WN_TRY(gather_context(answer, arena, err));
  const wn_exposed_slate slate = {.id = wn_str_of(answer->slate_id),
                                  .surface = answer->surface,
                                  .user = answer->user,
                                  .time_ms = now_ms,
                                  .items = items,
                                  .context = answer->context,
                                  .len = answer->len};
  status = wn_exposure_add(exposure, &slate, claim, claims, refused, err);
cleanup:
  return status;
}

void wn_engine_exposed_withdraw(wn_engine *engine, wn_str slate) {
  if (wn_engine_exposure(engine) != NULL) wn_exposure_withdraw(wn_engine_exposure(engine), slate);
}
