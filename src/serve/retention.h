#ifndef WN_SERVE_RETENTION_H
#define WN_SERVE_RETENTION_H
/* A thread that keeps the log as long as the configuration says, and deleted users out of what was
 * archived before. */

#include "serve/archive.h"
#include "serve/engine.h"

typedef struct wn_retention wn_retention;

/* `engine` is borrowed, in WRITE mode. Looks a minute after the start, then each
 * retention.every_hours. */
WN_MUST_USE wn_status wn_retention_start(wn_engine *engine, wn_retention **out, wn_error *err);
void wn_retention_stop(wn_retention *retention); /* after the commit that is under way */
/* Now, and waits: events older than `days` (0: the configuration's) are archived, deleted users
 * taken out. Any thread. WN_E_ARGUMENT: neither says how many days. */
WN_MUST_USE wn_status wn_retention_run(wn_retention *retention, double days,
                                       wn_archive_report *report, wn_error *err);
/* A user was deleted: soon, on the thread. */
void wn_retention_clean_soon(wn_retention *retention);

#endif
