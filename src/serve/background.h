#ifndef WN_SERVE_BACKGROUND_H
#define WN_SERVE_BACKGROUND_H
/* A process that makes itself small beside a server: what the trainer's child does to itself. */

#include "base/status.h"

/* The environment variable in which a server tells its child its own process id: the child then
 * ends with it, however it ends. */
#define WN_BACKGROUND_PARENT "WINNOW_TRAINER_PARENT"

/* Low priority for processor (nice, 0 to 19; never better than it is), disk and the system's choice
 * of whom to kill; what of it is refused is left out. */
void wn_background_enter(int nice_value);
/* Private memory (heap, and anonymous maps); mapped snapshots do not count. */
WN_MUST_USE wn_status wn_background_limit(uint64_t megabytes, wn_error *err);

#endif
