#ifndef WN_MODEL_PAST_SHOWN_H
#define WN_MODEL_PAST_SHOWN_H
/* The impression log by user, to ask what somebody had been shown by a moment of the past: what
 * online/exposure.h says while serving, by the same definition. */

#include "model/exposed.h"
#include "model/train.h"

typedef struct wn_past_shown wn_past_shown;

WN_MUST_USE wn_status wn_past_shown_create(const wn_label_log *log, uint32_t users,
                                           wn_past_shown **out, wn_error *err);
void wn_past_shown_free(wn_past_shown *past);

/* As of the moment at which a user took something: where an impression led her there, as of the
 * slate that showed it, since what was shown with it was chosen at the same time. NULL: before the
 * first slate of the log. `out` holds the answer and must stay. */
typedef struct wn_past_view {
  const wn_past_shown *past;
  uint32_t user;
  int64_t as_of_ms;
  wn_exposed exposed; /* `before` alone */
} wn_past_view;
const wn_exposed *wn_past_shown_at(const wn_past_shown *past, uint32_t user, int64_t time_ms,
                                   wn_past_view *out);

#endif
