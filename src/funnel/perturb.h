#ifndef WN_FUNNEL_PERTURB_H
#define WN_FUNNEL_PERTURB_H
/* Weights of objectives that differ a little between users, so that what each weight does can be
 * told from the log (lab/heads.h). */

#include "base/str.h"
#include "funnel/surface.h"

/* By what the weight of an objective is multiplied for a user on a day: e^(spread · z), z standard
 * normal within ± 2, drawn by user, day, surface and objective. Deterministic, so a replay finds
 * it again. */
float wn_perturb_factor(const wn_surface *surface, size_t objective, wn_str user, int64_t now_ms);

/* A copy with the weights of that user, and in `factors` what is logged: "click*1.17 buy*0.91".
 * Nothing is perturbed (false) on surfaces without objectives or spread, and for nobody. */
bool wn_perturb(const wn_surface *surface, wn_str user, int64_t now_ms, wn_surface *out,
                wn_buf *factors);

/* The next factor of such a text; false: there is none (or what follows is none). */
bool wn_perturb_next(wn_str *text, wn_str *name, double *factor);

#endif
