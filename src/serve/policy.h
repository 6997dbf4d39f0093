#ifndef WN_SERVE_POLICY_H
#define WN_SERVE_POLICY_H
/* What turns a context into slates, as far as the configuration says: surfaces and experiments.
 * Immutable and reference-counted, so that it is replaced while requests are under way: each goes
 * on to its end with the policy that it began with. */

#include "serve/config.h"
#include <stdatomic.h>

typedef struct wn_policy {
  wn_surfaces surfaces;
  wn_experiments experiments;
  uint64_t hash; /* of the configuration's text: names the policy in logs */
  atomic_uint refs;
} wn_policy;

/* Takes surfaces and experiments out of `config`, which stays clearable; one reference is the
 * caller's. NULL: no memory, and nothing is taken. */
wn_policy *wn_policy_create(wn_config *config);
wn_policy *wn_policy_ref(wn_policy *policy);
void wn_policy_unref(wn_policy *policy); /* NULL is fine */

/* Copies of surfaces and experiments into `config`, which has none: those of the API left out, and
 * what it changed of others as the file has it. */
WN_MUST_USE wn_status wn_policy_filed(const wn_policy *policy, wn_config *config, wn_error *err);

/* Whether `to` may replace `from` while it serves. WN_E_CONFIG: an experiment that runs has units
 * on a surface that would be another one for them (field: "surfaces.NAME"); what an experiment
 * itself may not become is the ledger's (lab/ledger.h). The holdout is no reason: its units keep
 * what it declares, and the rest moves on. */
WN_MUST_USE wn_status wn_policy_check_change(const wn_policy *from, const wn_policy *to,
                                             wn_error *err);

/* How a surface of `to` differs. */
typedef enum wn_change {
  WN_CHANGE_NONE,
  WN_CHANGE_EDITED,
  WN_CHANGE_ADDED,
  WN_CHANGE_REMOVED
} wn_change;
extern const char *const wn_change_names[];
wn_change wn_policy_surface_change(const wn_policy *from, const wn_policy *to, const char *name);

#endif
