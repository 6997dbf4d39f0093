/* Which event answers which slate (answered.h).
 *
 * The events since the first slate are held in memory, those that name no slate by user, item and
 * time. A first pass over the slates, in time order, carries a mark along each pair's events: up to
 * the time of a slate they answer the one before. Then the events are sorted by slate, and a second
 * pass hands each slate its own. n events and m impressions cost n log n + m. Slates are known by
 * the hash of their id throughout: two ids with the same 64 bits among a billion slates have a
 * chance of 3 %, and then share their answers. */

#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"
#include "store/answered.h"

#include <stdlib.h>
#include <string.h>

typedef struct event {
  uint64_t slate; /* hash of the id; 0: none (yet) */
  wn_answer answer;
  wn_user_ix user;
  bool named;
} event;

/* The unnamed events of a user and an item. */
typedef struct pair {
  size_t next, end; /* events that are not attributed yet */
  uint64_t slate;   /* the last that showed the item to the user; 0: none yet */
  int64_t shown_ms;
} pair;

typedef struct attribution {
  wn_store *store;
  const wn_answered_options *options;
  WN_VEC(event) events;
  WN_VEC(pair) pairs;
  wn_map64 by_key; /* user and item → place in pairs */
  WN_VEC(wn_answer) answers;
  wn_status (*each)(void *ctx, const wn_slate_log *slate, const wn_answer *answers, size_t len,
                    wn_error *err);
  void *ctx;
} attribution;

void wn_answered_options_defaults(wn_answered_options *options) {
  *options = (wn_answered_options){.window_ms = 86400000};
}

static uint64_t slate_hash(wn_str id) {
  uint64_t hash = wn_hash64(id.ptr, id.len, 0);
  return hash != 0 ? hash : 1;
}

static uint64_t pair_key(wn_user_ix user, wn_item_ix item) {
  return (uint64_t)user << 32 | item;
}

static wn_status keep_event(void *ctx, const wn_stored_event *e, wn_error *err) {
  attribution *a = ctx;
  if (e->time_ms < a->options->since_ms) return WN_OK;
  event kept = {.slate = e->slate.len > 0 ? slate_hash(e->slate) : 0,
                .answer = {.seq = e->seq,
                           .item = e->item,
                           .type = e->type,
                           .value = e->value,
                           .time_ms = e->time_ms},
                .user = e->user,
                .named = e->slate.len > 0};
  return wn_vec_push(&a->events, kept) ? WN_OK : wn_fail_memory(err);
}

/* Unnamed ones first, by user and item, then by time. */
static int by_pair(const void *left, const void *right) {
  const event *l = left, *r = right;
  uint64_t lk = pair_key(l->user, l->answer.item), rk = pair_key(r->user, r->answer.item);
  if (l->named != r->named) return l->named ? 1 : -1;
  if (lk != rk) return lk < rk ? -1 : 1;
  return (l->answer.time_ms > r->answer.time_ms) - (l->answer.time_ms < r->answer.time_ms);
}

static int by_slate(const void *left, const void *right) {
  const event *l = left, *r = right;
  if (l->slate != r->slate) return l->slate < r->slate ? -1 : 1;
  return (l->answer.seq > r->answer.seq) - (l->answer.seq < r->answer.seq);
}

static wn_status index_pairs(attribution *a, wn_error *err) {
  if (a->events.len > 0) qsort(a->events.data, a->events.len, sizeof(event), by_pair);
  for (size_t i = 0; i < a->events.len && !a->events.data[i].named; i++) {
    const event *e = &a->events.data[i];
    uint64_t *at = wn_map64_at(&a->by_key, pair_key(e->user, e->answer.item));
    if (at == NULL) return wn_fail_memory(err);
    bool known =
        i > 0 && pair_key(e->user, e->answer.item) == pair_key(e[-1].user, e[-1].answer.item);
    if (!known && !wn_vec_push(&a->pairs, ((pair){.next = i}))) return wn_fail_memory(err);
    *at = a->pairs.len - 1;
    a->pairs.data[*at].end = i + 1;
  }
  return WN_OK;
}

/* The pair's events before `upto_ms` answer the slate that showed the item last. */
static void attribute(attribution *a, pair *p, int64_t upto_ms) {
  for (; p->next < p->end; p->next++) {
    event *e = &a->events.data[p->next];
    if (e->answer.time_ms >= upto_ms) return;
    if (p->slate != 0 && e->answer.time_ms - p->shown_ms <= a->options->window_ms)
      e->slate = p->slate;
  }
}

static wn_status pass_slate(void *ctx, const wn_slate_log *slate, wn_error *err WN_UNUSED) {
  attribution *a = ctx;
  wn_user_ix user = slate->user;
  if (user == WN_NO_IX && slate->user_id.len > 0) /* she became known by her first event */
    user = wn_store_find_user(a->store, slate->user_id);
  for (size_t i = 0; user != WN_NO_IX && i < slate->len; i++) {
    const uint64_t *at = wn_map64_find(&a->by_key, pair_key(user, slate->items[i]));
    if (at == NULL) continue;
    pair *p = &a->pairs.data[*at];
    attribute(a, p, slate->time_ms);
    p->slate = slate_hash(slate->id);
    p->shown_ms = slate->time_ms;
  }
  return WN_OK;
}

static uint32_t position_of(const wn_slate_log *slate, wn_item_ix item) {
  for (size_t i = 0; i < slate->len; i++)
    if (slate->items[i] == item) return (uint32_t)i + 1;
  return 0;
}

static wn_status hand_over(void *ctx, const wn_slate_log *slate, wn_error *err) {
  attribution *a = ctx;
  uint64_t hash = slate_hash(slate->id);
  size_t low = 0, high = a->events.len;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (a->events.data[middle].slate < hash)
      low = middle + 1;
    else
      high = middle;
  }
  a->answers.len = 0;
  for (; low < a->events.len && a->events.data[low].slate == hash; low++) {
    wn_answer answer = a->events.data[low].answer;
    answer.position = position_of(slate, answer.item);
    if (!wn_vec_push(&a->answers, answer)) return wn_fail_memory(err);
  }
  return a->each(a->ctx, slate, a->answers.data, a->answers.len, err);
}

wn_status wn_store_scan_answered(wn_store *store, const wn_answered_options *options,
                                 wn_status (*each)(void *ctx, const wn_slate_log *slate,
                                                   const wn_answer *answers, size_t len,
                                                   wn_error *err),
                                 void *ctx, wn_error *err) {
  wn_status status = WN_OK;
  attribution a = {.store = store, .options = options, .each = each, .ctx = ctx};
  wn_map64_init(&a.by_key);
  WN_TRY(wn_store_scan_events(store, 0, 0, keep_event, &a, err));
  WN_TRY(index_pairs(&a, err));
  WN_TRY(wn_store_scan_slates(store, options->since_ms, false, pass_slate, &a, err));
  for (size_t i = 0; i < a.pairs.len; i++) attribute(&a, &a.pairs.data[i], INT64_MAX);
  if (a.events.len > 0) qsort(a.events.data, a.events.len, sizeof(event), by_slate);
  WN_TRY(wn_store_scan_slates(store, options->since_ms, false, hand_over, &a, err));
cleanup:
  wn_vec_clear(&a.events);
  wn_vec_clear(&a.pairs);
  wn_vec_clear(&a.answers);
  wn_map64_clear(&a.by_key);
  return status;
}
