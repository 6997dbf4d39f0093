#ifndef WN_SERVE_RESTORE_H
#define WN_SERVE_RESTORE_H
/* Going back to a snapshot with the configuration that it was trained by, from the command line:
 * the text comes back from the history as a new version and into the file; a running server takes
 * both over within a second (wn_live_follow). */

#include "serve/config_history.h"

typedef enum wn_restored {
  WN_RESTORED_SAME,    /* the present one is that configuration */
  WN_RESTORED,         /* it came back */
  WN_RESTORED_UNKNOWN, /* it is not in the history: the present one stays */
} wn_restored;

/* Verifies snapshot and text before anything changes. file: NULL for the
 * one that the last server read. *version: the
 * version that came back. WN_E_CONFLICT: the file was edited and never served; WN_E_CONFIG: an
 * experiment that runs would change. Nothing was changed then. */
WN_MUST_USE wn_status wn_restore_config(const char *dir, const char *file, uint64_t snapshot,
                                        wn_restored *out, uint64_t *version, wn_error *err);

#endif
