/* Impressions by user, in the order in which they were made. An impression counts from the next
 * millisecond on, an answer likewise.
 *
 * The trap is what leads to what: right before a click its item was shown, so "shown a moment ago"
 * would predict every click. What counts is what was known when the slate was chosen
 * (wn_past_shown_at).
 *
 * Cost: two scans of the slates and one of the log; 32 bytes an impression of a known user. A
 * question walks all earlier impressions of its user. Read-only once it is made. */
#include "model/past_shown.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"
#include "store/answered.h"

#include <stdlib.h>

#define NEVER INT64_MAX

typedef struct impression {
  uint32_t user, item;
  int64_t shown_ms, answered_ms; /* NEVER: not answered */
  uint64_t number;               /* of the slate */
} impression;

struct wn_past_shown {
  WN_VEC(impression) all; /* by user, then in order */
  uint32_t users;
  uint64_t *ptr; /* [users + 1] */
  int64_t first_ms;
  const wn_label_log *log; /* while it is made */
  uint64_t slates;
};

static wn_status take_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                            size_t len, wn_error *err) {
  wn_past_shown *p = ctx;
  const wn_label_log *log = p->log;
  uint32_t user = slate->user;
  if (log->upto_seq != 0 && slate->time_ms > log->until_ms) return WN_OK;
  if (slate->time_ms < p->first_ms) p->first_ms = slate->time_ms;
  if (user == WN_NO_IX && slate->user_id.len > 0)
    user = wn_store_find_user(log->store, slate->user_id); /* known since */
  p->slates++;
  for (size_t i = 0; i < slate->len && user < p->users; i++) {
    impression fresh = {user, slate->items[i], slate->time_ms, NEVER, p->slates};
    for (size_t a = 0; a < len; a++) {
      const wn_answer *of = &answers[a];
      if (of->position != i + 1 || (log->upto_seq != 0 && of->seq > log->upto_seq)) continue;
      if (of->time_ms < fresh.answered_ms &&
          wn_signal_weight(log->signals, of->type, of->value, of->time_ms, of->time_ms) > 0)
        fresh.answered_ms = of->time_ms;
    }
    if (!wn_vec_push(&p->all, fresh)) return wn_fail_memory(err);
  }
  return WN_OK;
}

static int in_order(const void *left, const void *right) {
  const impression *a = left, *b = right;
  if (a->user != b->user) return a->user < b->user ? -1 : 1;
  if (a->number != b->number) return a->number < b->number ? -1 : 1;
  return (a->item > b->item) - (a->item < b->item);
}

wn_status wn_past_shown_create(const wn_label_log *log, uint32_t users, wn_past_shown **out,
                               wn_error *err) {
  wn_answered_options how;
  wn_status status = WN_OK;
  wn_past_shown *p = wn_calloc(1, sizeof *p);
  if (p == NULL) return wn_fail_memory(err);
  p->log = log;
  p->users = users;
  p->first_ms = NEVER;
  p->ptr = wn_calloc((size_t)users + 1, sizeof *p->ptr);
  if (p->ptr == NULL) WN_TRY(wn_fail_memory(err));
  wn_answered_options_defaults(&how);
  WN_TRY(wn_store_scan_answered(log->store, &how, take_slate, p, err));
  if (p->all.len > 0) qsort(p->all.data, p->all.len, sizeof *p->all.data, in_order);
  for (size_t i = 0; i < p->all.len; i++) p->ptr[p->all.data[i].user + 1]++;
  for (uint32_t u = 0; u < users; u++) p->ptr[u + 1] += p->ptr[u];
  p->log = NULL;
  *out = p;
cleanup:
  if (status != WN_OK) wn_past_shown_free(p);
  return status;
}

void wn_past_shown_free(wn_past_shown *past) {
  if (past == NULL) return;
  wn_vec_clear(&past->all);
  wn_free(past->ptr);
  wn_free(past);
}

static void before(void *ctx, const wn_before_ask *ask, const wn_item_ix *items, size_t len,
                   wn_before *out) {
  const wn_past_view *v = ctx;
  const wn_past_shown *p = v->past;
  const wn_before_ask own = {v->as_of_ms, ask->half_life_ms, true};
  wn_map64 places = {0};
  for (size_t i = 0; i < len; i++) {
    uint64_t *place = wn_map64_at(&places, items[i]);
    out[i] = (wn_before){0};
    if (place != NULL) *place = i + 1;
  }
  for (uint64_t k = p->ptr[v->user + 1]; k-- > p->ptr[v->user];) {
    const impression *of = &p->all.data[k];
    uint64_t *place = of->shown_ms < v->as_of_ms ? wn_map64_find(&places, of->item) : NULL;
    if (place == NULL || *place == 0) continue;
    if (of->answered_ms < v->as_of_ms)
      *place = 0; /* what came before does not count */
    else
      wn_before_add(&out[*place - 1], wn_before_weight(&own, of->shown_ms), of->shown_ms);
  }
  wn_map64_clear(&places);
}

const wn_exposed *wn_past_shown_at(const wn_past_shown *past, uint32_t user, int64_t time_ms,
                                   wn_past_view *out) {
  if (past == NULL || user >= past->users) return NULL;
  *out = (wn_past_view){.past = past, .user = user, .as_of_ms = time_ms};
  out->exposed = (wn_exposed){.ctx = out, .before = before};
  for (uint64_t k = past->ptr[user]; k < past->ptr[user + 1]; k++)
    if (past->all.data[k].answered_ms == time_ms && past->all.data[k].shown_ms < out->as_of_ms)
      out->as_of_ms = past->all.data[k].shown_ms;
  return out->as_of_ms > past->first_ms ? &out->exposed : NULL;
}
