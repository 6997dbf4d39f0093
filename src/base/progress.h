#ifndef WN_BASE_PROGRESS_H
#define WN_BASE_PROGRESS_H
/* How long work tells how far it is; the CLI draws it, a server logs it, NULL ignores it.
 * Also the way to stop it: a callback that returns false cancels. */

#include <stdbool.h>

typedef struct wn_progress {
  void *ctx;
  /* `total` 0: unknown. `unit`: "events", "rows", "bytes", "epochs" … Called often; the
   * receiver throttles. */
  bool (*report)(void *ctx, const char *stage, double done, double total, const char *unit);
} wn_progress;

/* False: cancelled. */
static inline bool wn_progress_at(const wn_progress *p, const char *stage, double done,
                                  double total, const char *unit) {
  return p == 0 || p->report == 0 || p->report(p->ctx, stage, done, total, unit);
}

#endif
