#ifndef WN_SERVE_NOTIFY_H
#define WN_SERVE_NOTIFY_H
/* What a service manager is told (sd_notify(3)), without its library: a datagram to a socket that
 * the environment names. Does nothing where there is none. */

#include <stdbool.h>
#include <stdint.h>

bool wn_notify(const char *state); /* "READY=1", "STOPPING=1", "WATCHDOG=1" */
/* How often the watchdog wants to hear of us, half of WATCHDOG_USEC; 0: never. */
uint64_t wn_notify_watchdog_ms(void);

#endif
