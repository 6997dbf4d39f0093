#ifndef WN_MODEL_ITEM_SHOWN_H
#define WN_MODEL_ITEM_SHOWN_H
/* What item_shown.c and item_context.c share: a pass over what was shown. */

#include "model/ranker.h"
#include "model/train.h"
#include "store/answered.h"

#define WN_SHOWN_PRIOR       5.0 /* expected answers, of the rate that is believed before */
#define WN_CONTEXT_NAMES_MAX 64

typedef struct wn_shown_counts {
  const wn_label_log *log;
  double place_shown[WN_PLACES + 1], place_answered[WN_PLACES + 1];
} wn_shown_counts;

static inline bool wn_shown_too_late(const wn_label_log *log, const wn_slate_log *slate) {
  return log->upto_seq != 0 && slate->time_ms > log->until_ms;
}
/* Answered by a positive event, at that position? */
bool wn_shown_answered(const wn_label_log *log, const wn_answer *answers, size_t len,
                       uint32_t position);

/* Members of requests' contexts, the first WN_CONTEXT_NAMES_MAX that are met. */
typedef struct wn_context_name {
  char name[WN_FACTS_NAME_MAX + 1];
  uint64_t slates;
} wn_context_name;
typedef struct wn_context_names {
  wn_context_name data[WN_CONTEXT_NAMES_MAX];
  size_t len;
} wn_context_names;
WN_MUST_USE wn_status wn_context_names_add(wn_context_names *names, wn_str request, wn_arena *arena,
                                           wn_error *err);
/* Those that most slates have, into the head. */
void wn_context_names_choose(wn_context_names *names, wn_facts_head *head);
/* Fills facts->context_key and context_rate for the head's members; facts->shown is there. */
WN_MUST_USE wn_status wn_facts_count_contexts(const wn_shown_counts *counts, wn_item_facts *facts,
                                              wn_error *err);

#endif
