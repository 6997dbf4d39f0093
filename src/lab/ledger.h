#ifndef WN_LAB_LEDGER_H
#define WN_LAB_LEDGER_H
/* When each experiment began, and as what: DIR/experiments.json, written by the server when it
 * starts with a configuration and when one is declared, changed or stopped over the API. It is what
 * makes a change under way an error instead of a mixture, and what says from when on results count.
 */

#include "lab/experiment.h"

typedef struct wn_ledger_entry {
  char name[WN_NAME_MAX + 1];
  uint64_t digest; /* wn_experiment.digest */
  double traffic;
  int64_t started_ms;
  int64_t stopped_ms; /* 0: it runs */
} wn_ledger_entry;

typedef struct wn_ledger {
  wn_ledger_entry *data;
  size_t len;
} wn_ledger;

/* A missing file is an empty ledger; WN_E_CORRUPT: not one of ours. */
WN_MUST_USE wn_status wn_ledger_read(const char *dir, wn_ledger *out, wn_error *err);
void wn_ledger_clear(wn_ledger *ledger);
const wn_ledger_entry *wn_ledger_find(const wn_ledger *ledger, const char *name);
/* WN_E_CONFIG where wn_ledger_update would say so; writes nothing. */
WN_MUST_USE wn_status wn_ledger_check(const char *dir, const wn_experiments *experiments,
                                      wn_error *err);
/* Brings the ledger up to what is declared and writes it: new experiments begin, stopped and
 * missing ones end, a stopped one that runs again begins anew. WN_E_CONFIG: a running experiment
 * was changed, or its traffic made smaller; nothing is written then. */
WN_MUST_USE wn_status wn_ledger_update(const char *dir, const wn_experiments *experiments,
                                       int64_t now_ms, wn_error *err);

#endif
