#ifndef WN_SERVE_ENGINE_EXPOSED_H
#define WN_SERVE_ENGINE_EXPOSED_H
/* The engine's side of online/exposure.h: filled from the log, followed by events, asked by
 * requests. All of it does nothing while no policy asks for it. */

#include "serve/engine_internal.h"
#include "store/answered.h"

/* Begins to count when `policy` is the first that asks: before it serves. One at a time. */
WN_MUST_USE wn_status wn_engine_expose(wn_engine *engine, const wn_policy *policy, wn_error *err);
/* A slate of the log with its answers. Under the engine's lock, or alone with the engine. */
WN_MUST_USE wn_status wn_exposure_replay(wn_exposure *exposure, const wn_engine *engine,
                                         const wn_slate_log *slate, const wn_answer *answers,
                                         size_t len, wn_error *err);
void wn_engine_exposed_event(wn_engine *engine, const wn_op *op); /* committed */
void wn_engine_exposed_forget(wn_engine *engine, wn_str user);

/* What one request asks. */
typedef struct wn_asked_exposure {
  wn_exposed exposed;
  wn_exposure *exposure;
  wn_str surface, user;
  bool closed; /* nothing is cold any more */
} wn_asked_exposure;
/* NULL: nothing is counted. */
const wn_exposed *wn_asked_exposure_of(wn_exposure *exposure, wn_str surface, wn_str user,
                                       wn_asked_exposure *out);
wn_exposure *wn_engine_exposure(const wn_engine *engine); /* NULL: likewise */
/* Whether a surface, an arm of it or the ranker depends on what was shown. */
WN_MUST_USE wn_status wn_engine_asks_exposed(const wn_engine *engine, const wn_policy *policy,
                                             bool *asks, wn_error *err);
/* Counts a slate that is about to be shown. *refused: what was put for want of impressions has had
 * them meanwhile; nothing was counted. */
WN_MUST_USE wn_status wn_engine_exposed_take(wn_engine *engine, wn_slate_answer *answer,
                                             int64_t now_ms, wn_arena *arena, bool *refused,
                                             wn_error *err);
void wn_engine_exposed_withdraw(wn_engine *engine, wn_str slate); /* was not shown */

#endif
