#ifndef WN_SERVE_AUDIT_H
#define WN_SERVE_AUDIT_H
/* Who did what only an administrator may: a JSON object a line, appended to DIR/audit.log. */

#include "base/str.h"

typedef struct wn_audit_entry {
  const char *actor;   /* a key's id, "loopback", or "cli:UID" */
  const char *address; /* "": none */
  const char *action;  /* "POST /v1/train?force=true", "keys add …" */
  int status;          /* HTTP or exit status */
  const char *request; /* its id; "": none */
} wn_audit_entry;

/* Failures are logged and otherwise ignored: a full disk must not lock an administrator out. */
void wn_audit(const char *dir, const wn_audit_entry *entry);

#endif
