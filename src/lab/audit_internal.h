#ifndef WN_LAB_AUDIT_INTERNAL_H
#define WN_LAB_AUDIT_INTERNAL_H
/* How checks are added. */

#include "lab/audit.h"

/* NULL: the table is full, and nothing is added. */
wn_audit_check *wn_audit_add(wn_audit *audit, const char *name, wn_guard_state state,
                             const uint64_t count_of[2], const char *format, ...) WN_PRINTF(5, 6);

#endif
