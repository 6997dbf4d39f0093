#ifndef WN_SERVE_ENGINE_DUEL_H
#define WN_SERVE_ENGINE_DUEL_H
/* Champion and challenger on one request: what becomes of their two slates (lab/experiment.h,
 * wn_mode). What came of it stands in the logged arms, behind the mode: everything that a verdict
 * needs is in the log. */

#include "serve/engine.h"

/* "17/20:1:812:1034": of the champion's 20 items the challenger has 17, the same first one; the
 * microseconds of both. */
WN_MUST_USE wn_status wn_duel_compare(const wn_slate_answer *champion,
                                      const wn_slate_answer *challenger, const uint64_t us[2],
                                      wn_arena *arena, wn_str *detail, wn_error *err);
/* Team-draft into `champion`, whose length stays; "0110…": the team of each item, 1 the
 * challenger's. Propensities are those given the items above, over all coins; both slates must be
 * without chance of their own. */
WN_MUST_USE wn_status wn_duel_interleave(wn_slate_answer *champion,
                                         const wn_slate_answer *challenger, uint64_t seed,
                                         wn_arena *arena, wn_str *detail, wn_error *err);
/* "x=shadow y=b" with `detail` behind x's mode. */
WN_MUST_USE wn_status wn_duel_log(wn_str arms, const char *experiment, wn_str detail,
                                  wn_arena *arena, wn_str *out, wn_error *err);

#endif
