/* Sessions since the snapshot: each event goes into its user's open session, and the next query
 * sees it.
 *
 * An event opens a session when the user has none, or when it comes later than the gap after that
 * one's last event. A session that was open when the snapshot was made goes on as a copy; the
 * snapshot's is retired. Equal to a fit over the same events as long as no user meets an item
 * again in a later session (a fit sees a pair once, at its last time), and sessions end in the
 * order in which they last got an item.
 *
 * Bounds: the newest `sessions_max` sessions of at most `length` items: 24 + 4 · length bytes each;
 * 4 · recent + 20 an item; 17 to 34 a user met. Beyond that the oldest session goes; lists name it
 * a while longer, which costs a comparison. Time: a few look-ups, and `length` steps where a
 * session is full. When memory is out, the event is left out. Deterministic, no clock. */
#include "model/vmis.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

wn_status wn_vmis_live_init(wn_vmis *m, wn_error *err) {
  wn_vmis_live *live = &m->live;
  wn_map64_init(&live->open);
  live->cap = (size_t)m->head.items + 1;
  live->count = wn_calloc(live->cap, sizeof *live->count);
  live->list = wn_calloc(live->cap, sizeof *live->list);
  if (live->count == NULL || live->list == NULL) return wn_fail_memory(err);
  if (m->head.items > 0) memcpy(live->count, m->count, m->head.items * sizeof *live->count);
  live->items = m->head.items;
  return WN_OK;
}

void wn_vmis_live_clear(wn_vmis_live *live) {
  for (size_t i = 0; i < live->sessions.len; i++) wn_free(live->sessions.data[i].item);
  for (size_t i = 0; live->list != NULL && i < live->items; i++) wn_free(live->list[i].session);
  wn_vec_clear(&live->sessions);
  wn_free(live->count);
  wn_free(live->list);
  wn_map64_clear(&live->open);
  wn_bitset_clear(&live->retired);
}

size_t wn_vmis_live_bytes(const wn_model *model) {
  const wn_vmis *m = (const wn_vmis *)model;
  const wn_vmis_live *live = &m->live;
  return live->cap * (sizeof *live->count + sizeof *live->list) +
         live->sessions.cap * sizeof *live->sessions.data +
         live->sessions.len * 2 * m->head.length * sizeof(wn_item_ix) +
         live->open.cap * WN_MAP64_BYTES + live->retired.bits / 8;
}

static bool know_items(wn_vmis_live *live, uint32_t items) {
  if (items <= live->items) return true;
  if (items > live->cap) {
    size_t cap = live->cap * 2 > items ? live->cap * 2 : items;
    uint32_t *count = wn_reallocarray(live->count, cap, sizeof *count);
    if (count == NULL) return false;
    live->count = count;
    wn_vmis_list *list = wn_reallocarray(live->list, cap, sizeof *list);
    if (list == NULL) return false;
    live->list = list;
    live->cap = cap;
  }
  memset(live->count + live->items, 0, (items - live->items) * sizeof *live->count);
  memset(live->list + live->items, 0, (items - live->items) * sizeof *live->list);
  live->items = items;
  return true;
}

/* Room for one more number, or the ring is as long as it may get. */
static bool list_reserve(wn_vmis_list *list, uint32_t most) {
  if (list->len < list->cap || list->cap == most) return true;
  uint32_t cap = list->cap < 4 ? 4 : list->cap * 2;
  if (cap > most) cap = most;
  uint32_t *session = wn_reallocarray(list->session, cap, sizeof *session);
  if (session == NULL) return false;
  list->session = session;
  list->cap = cap;
  return true;
}

static void list_push(wn_vmis_list *list, uint32_t number) {
  if (list->len < list->cap) {
    list->session[list->len++] = number;
    return;
  }
  list->session[list->begin] = number;
  list->begin = list->begin + 1 == list->cap ? 0 : list->begin + 1;
}

static bool session_reserve(wn_vmis_session *s, uint32_t need) {
  if (need <= s->cap) return true;
  uint32_t cap = s->cap < 4 ? 4 : s->cap;
  while (cap < need) cap *= 2;
  wn_item_ix *item = wn_reallocarray(s->item, cap, sizeof *item);
  if (item == NULL) return false;
  s->item = item;
  s->cap = cap;
  return true;
}

/* The place of the next session, emptied. */
static wn_vmis_session *session_place(wn_vmis *m) {
  wn_vmis_live *live = &m->live;
  uint32_t at = live->begun % m->head.sessions_max;
  if (at == live->sessions.len) {
    if (!wn_vec_reserve(&live->sessions, live->sessions.len + 1)) return NULL;
    live->sessions.data[live->sessions.len++] = (wn_vmis_session){0};
  }
  live->sessions.data[at].len = 0;
  return &live->sessions.data[at];
}

/* Takes over what the snapshot's session says. */
static bool session_continue(wn_vmis *m, uint32_t old, wn_vmis_session *s) {
  wn_vmis_live *live = &m->live;
  const uint32_t *item = m->session_item + m->session_ptr[old];
  uint32_t n = (uint32_t)(m->session_ptr[old + 1] - m->session_ptr[old]);
  if (live->retired.bits == 0 && !wn_bitset_init(&live->retired, m->head.sessions)) return false;
  if (!session_reserve(s, n + 1)) return false;
  for (uint32_t i = 0; i < n; i++)
    if (!list_reserve(&live->list[item[i]], m->head.recent)) return false;
  for (uint32_t i = 0; i < n; i++) {
    list_push(&live->list[item[i]], live->begun);
    s->item[s->len++] = item[i];
  }
  s->last_ms = m->session_end[old];
  wn_bitset_set(&live->retired, old);
  live->resumed++;
  return true;
}

/* The snapshot's session of the user, if the event belongs to it; else WN_NO_IX. */
static uint32_t open_before(const wn_vmis *m, wn_user_ix user, int64_t time_ms) {
  if (m->live.no_base || user >= m->head.users) return WN_NO_IX;
  uint32_t old = m->user_last[user];
  if (old == WN_NO_IX || (double)time_ms - (double)m->session_end[old] > m->head.gap_ms)
    return WN_NO_IX;
  return old;
}

static wn_vmis_session *session_of(wn_vmis *m, wn_user_ix user, int64_t time_ms, uint32_t *number) {
  wn_vmis_live *live = &m->live;
  const uint64_t *known = wn_map64_find(&live->open, user);
  if (known != NULL && *known > 0 && live->begun - (*known - 1) <= m->head.sessions_max) {
    *number = (uint32_t)(*known - 1);
    wn_vmis_session *s = &live->sessions.data[*number % m->head.sessions_max];
    if ((double)time_ms - (double)s->last_ms <= m->head.gap_ms) return s;
  }
  if (live->begun == UINT32_MAX - m->head.sessions) return NULL; /* numbers are used up */
  uint32_t old = known == NULL ? open_before(m, user, time_ms) : WN_NO_IX;
  wn_vmis_session *s = session_place(m);
  uint64_t *open = s != NULL ? wn_map64_at(&live->open, user) : NULL;
  if (open == NULL) return NULL;
  if (old == WN_NO_IX || !session_continue(m, old, s)) s->last_ms = time_ms;
  *number = live->begun++;
  *open = (uint64_t)*number + 1;
  return s;
}

void wn_vmis_update(wn_model *model, const wn_event *event, float weight) {
  wn_vmis *m = (wn_vmis *)model;
  wn_vmis_live *live = &m->live;
  uint32_t number = 0, at = 0;
  if (!(weight > 0) || event->item == WN_NO_IX || event->user == WN_NO_IX) return;
  if (!know_items(live, event->item + 1)) return;
  if (!list_reserve(&live->list[event->item], m->head.recent)) return;
  wn_vmis_session *s = session_of(m, event->user, event->time_ms, &number);
  if (s == NULL) return;
  while (at < s->len && s->item[at] != event->item) at++;
  if (at == s->len) { /* new here */
    if (s->len < m->head.length && !session_reserve(s, s->len + 1)) return;
    if (s->len < m->head.length)
      s->len++;
    else
      at = 0; /* the oldest goes */
    list_push(&live->list[event->item], number);
    live->count[event->item]++;
  }
  if (event->time_ms > s->last_ms) s->last_ms = event->time_ms;
  memmove(s->item + at, s->item + at + 1, (s->len - 1 - at) * sizeof *s->item);
  s->item[s->len - 1] = event->item;
}

void wn_vmis_forget(wn_model *model, wn_user_ix user) {
  wn_vmis *m = (wn_vmis *)model;
  uint64_t *open = wn_map64_find(&m->live.open, user);
  if (open == NULL && user < m->head.users) {
    open = wn_map64_at(&m->live.open, user);
    /* Forgetting must not fail: without memory to say who, nobody's session goes on. */
    if (open == NULL) m->live.no_base = true;
  }
  if (open != NULL) *open = 0;
}
