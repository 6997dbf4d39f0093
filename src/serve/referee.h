#ifndef WN_SERVE_REFEREE_H
#define WN_SERVE_REFEREE_H
/* The rules of experiments (`rule:`): looks at the verdicts of those that have one, and promotes or
 * rolls back. A thread of its own, since a look may take seconds; each act is in the audit log. */

#include "serve/engine.h"

typedef struct wn_referee wn_referee;
WN_MUST_USE wn_status wn_referee_start(wn_engine *engine, wn_referee **out, wn_error *err);
void wn_referee_stop(wn_referee *referee); /* NULL is fine */
/* One look at one experiment, now. *acted: it was promoted or rolled back. */
WN_MUST_USE wn_status wn_referee_look(wn_engine *engine, const wn_experiment *experiment,
                                      bool *acted, wn_error *err);

#endif
