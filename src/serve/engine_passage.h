#ifndef WN_SERVE_ENGINE_PASSAGE_H
#define WN_SERVE_ENGINE_PASSAGE_H
/* A slate in the making, for the files that make it: engine_slate.c (context, funnel, log),
 * engine_arms.c (experiments), engine_duel.c (a champion and its challenger). */

#include "serve/engine_exposed.h"
#include "serve/engine_internal.h"

/* One request on its way. */
typedef struct wn_passage {
  wn_engine *engine;
  const wn_slate_request *in;
  const wn_policy *policy;
  wn_slate_answer *out;
  wn_arena *arena;
  const wn_surface *surface; /* as the arms change it */
  uint64_t policy_hash;      /* with the arms */
  wn_assigned *assigned;
  size_t assigned_len;
  size_t duel;               /* among them: a champion with a challenger; SIZE_MAX: none */
  wn_str arms;               /* as they are logged */
  uint64_t pin;              /* the snapshot that an arm pins; 0: none */
  const wn_serving *serving; /* under the lock */
  wn_str request;            /* its context, as it is logged; absent: none */
  wn_str weights;            /* perturbed, as they are logged; absent: as configured */
  wn_str session;            /* name in the session table; absent: no feed */
  wn_slate slate;
  wn_request funnel;
  wn_asked_exposure exposure;
  int64_t now_ms;
} wn_passage;

/* The surface that the request names. */
WN_MUST_USE wn_status wn_passage_surface(wn_passage *p, wn_error *err);
/* The surface as promoted arms and these change it: a copy where one does. */
WN_MUST_USE wn_status wn_passage_apply_arms(wn_passage *p, const wn_assigned *assigned, size_t len,
                                            wn_error *err);
/* Assigns the request to its arms and applies them. */
WN_MUST_USE wn_status wn_passage_take_arms(wn_passage *p, wn_error *err);
/* Everything that needs the state: anchor, user, funnel, what is answered. Under the shared lock.
 */
WN_MUST_USE wn_status wn_passage_run(wn_passage *p, wn_error *err);
/* The same, and for a duel the challenger's slate, too. */
WN_MUST_USE wn_status wn_passage_run_both(wn_passage *p, wn_error *err);

#endif
