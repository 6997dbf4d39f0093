#ifndef WN_SERVE_BACKGROUND_H
#define WN_SERVE_BACKGROUND_H
/* A process that makes itself small beside a server: what the trainer's child does to itself. */

#include "base/status.h"
#include <sys/types.h>

/* The environment variable in which a server tells its child its own process id: the child then
 * ends with it, however it ends. */
#define WN_BACKGROUND_PARENT "WINNOW_TRAINER_PARENT"

/* Beyond the nicest: only what nobody else wants of a processor (SCHED_IDLE). */
#define WN_BACKGROUND_IDLE 20

/* Low priority for processor (nice, 0 to 19, or WN_BACKGROUND_IDLE; never better than it is), disk
 * and the system's choice of whom to kill; what of it is refused is left out. */
void wn_background_enter(int nice_value);
/* The child `pid`, all of its threads, from SCHED_IDLE to nice 19: how many there were; 0: it has
 * not entered yet, or has ended; −1: the system forbids it. */
int wn_background_raise(pid_t pid);
/* Private memory (heap, and anonymous maps); mapped snapshots do not count. */
WN_MUST_USE wn_status wn_background_limit(uint64_t megabytes, wn_error *err);

#endif
