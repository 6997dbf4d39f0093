#ifndef WN_MODEL_LOOKS_H
#define WN_MODEL_LOOKS_H
/* How much each item was looked at: what `dataset: {exposure_power}` divides by. */

#include "store/answered.h"
#include "data/signals.h"
#include "model/ranker.h"
#include "store/store.h"

typedef struct wn_looks_log {
  wn_store *store;
  const wn_signals *signals; /* events of positive weight answer an impression */
  int64_t since_ms;          /* slates shown from then on */
  uint32_t items;
} wn_looks_log;

/* out[item]: its impressions, each counted as the chance that its place is looked at, in looks at
 * the first place. seen[place]: that chance; all 1 unless places were drawn by chance. */
WN_MUST_USE wn_status wn_looks_count(const wn_looks_log *log, float *out, float seen[WN_PLACES + 1],
                                     wn_error *err);

/* Did an event of positive weight answer what stood at that position? */
bool wn_looks_answered(const wn_signals *signals, const wn_answer *answers, size_t len,
                       size_t position);

#endif
