/* Session neighbours: what sessions like this one held.
 *
 * Source: VMIS-kNN (Kersbergen, Sprangers, Schelter 2022, "Serenade"), after VS-kNN (Ludewig,
 * Jannach 2018). Sessions are rows of distinct items in order of their last event. For a query's
 * newest items i at places pos (0 the newest) of n:
 *     r(s)     = Σ over shared i of (n − pos)/n, over each item's `recent` newest sessions,
 *     score(j) = Σ over the `neighbours` best s with j of r(s)·(1 − fade·p(s))·ln(1 + N/nⱼ),
 * p(s) the place of the newest shared item, N all sessions, nⱼ those with j. Terms below 0 are left
 * out. An anchor is a query of one item.
 *
 * Departures: the paper takes the `recent` newest sessions over all of the query's items, here each
 * item has as many (with long queries the newest would hide the alike); ties of r go to the
 * older session, not to the newer. A user's session ends with a pause of `gap_minutes`: data
 * without times, or with places for times, have one session a user.
 *
 * Shapes: sessions × items and items × sessions, both compressed, ascending in time. Costs: at most
 * 12 bytes an interaction, 12 an item, 16 a session, 4 a user in the snapshot; a fit is linear but
 * for sorting sessions by their ends; a query reads history_max lists of `recent` and `neighbours`
 * sessions. What events add: vmis_live.c. One thread, nothing random. */
#include "model/vmis.h"

#include "base/mem.h"
#include "model/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const wn_param_spec vmis_params[] = {
    {"recent", 500, 1, WN_VMIS_RECENT_MAX, "newest sessions of an item that are looked at"},
    {"neighbours", 200, 1, 10000, "most alike sessions whose items are candidates"},
    {"length", 30, 2, WN_VMIS_LENGTH_MAX, "newest items of a session that count"},
    {"history_max", 20, 1, WN_HISTORY_MAX, "newest items of a query that count"},
    {"fade", 0.3, 0, 1, "what each step since the newest shared item takes"},
    {"gap_minutes", 30, 0.1, 1e6, "pause that ends a session"},
    {"sessions_max", 100000, 1, WN_VMIS_SESSIONS_MAX, "sessions since the snapshot, at most"},
};

static void vmis_free(wn_model *model) {
  wn_vmis *m = (wn_vmis *)model;
  if (m == NULL) return;
  wn_vmis_live_clear(&m->live);
  for (size_t i = 0; i < sizeof m->owned / sizeof *m->owned; i++) wn_free(m->owned[i]);
  wn_free(m);
}

/* ---- fitting ---- */

/* One session: entries begin … end − 1 of the data, of which the newest `length` positive count. */
typedef struct span {
  uint64_t begin, end;
  int64_t end_ms;
  uint32_t user;
} span;

typedef WN_VEC(span) span_list;

static int by_end(const void *a, const void *b) {
  const span *x = a, *y = b;
  if (x->end_ms != y->end_ms) return x->end_ms < y->end_ms ? -1 : 1;
  return (x->begin > y->begin) - (x->begin < y->begin);
}

static bool counts(float weight) {
  return weight > 0;
}

static wn_status split(const wn_csr *csr, double gap_ms, span_list *out, wn_error *err) {
  for (uint32_t u = 0; u < csr->rows; u++) {
    bool open = false;
    int64_t last = 0;
    for (uint64_t i = csr->row_ptr[u]; i < csr->row_ptr[u + 1]; i++) {
      if (!counts(csr->weight[i])) continue;
      int64_t now = csr->time_ms != NULL ? csr->time_ms[i] : 0;
      if (!open || (double)now - (double)last > gap_ms) {
        if (!wn_vec_push(out, ((span){.begin = i, .user = u}))) return wn_fail_memory(err);
        open = true;
      }
      last = out->data[out->len - 1].end_ms = now;
      out->data[out->len - 1].end = i + 1;
    }
  }
  if (out->len >= WN_NO_IX) return wn_fail(err, WN_E_UNSUPPORTED, "vmis", "too many sessions");
  if (out->len > 0) qsort(out->data, out->len, sizeof *out->data, by_end);
  return WN_OK;
}

static wn_status take_sessions(wn_vmis *m, const wn_csr *csr, const span_list *spans,
                               wn_error *err) {
  size_t n = spans->len;
  uint64_t *ptr = m->owned[0] = wn_calloc(n + 1, sizeof *ptr);
  uint32_t *item = m->owned[1] = wn_calloc((size_t)csr->nnz + 1, sizeof *item);
  int64_t *end = m->owned[2] = wn_calloc(n + 1, sizeof *end);
  uint32_t *count = m->owned[3] = wn_calloc((size_t)csr->cols + 1, sizeof *count);
  uint32_t *last = m->owned[4] = wn_calloc((size_t)csr->rows + 1, sizeof *last);
  if (!ptr || !item || !end || !count || !last) return wn_fail_memory(err);
  for (uint32_t u = 0; u < csr->rows; u++) last[u] = WN_NO_IX;
  for (size_t s = 0; s < n; s++) {
    const span *from = &spans->data[s];
    uint64_t begin = from->end, at = ptr[s];
    for (uint32_t k = 0; begin > from->begin && k < m->head.length;)
      k += counts(csr->weight[--begin]);
    for (uint64_t i = begin; i < from->end; i++) {
      if (!counts(csr->weight[i])) continue;
      item[at++] = csr->col[i];
      count[csr->col[i]]++;
    }
    ptr[s + 1] = at;
    end[s] = from->end_ms;
    last[from->user] = (uint32_t)s;
  }
  m->session_ptr = ptr;
  m->session_item = item;
  m->session_end = end;
  m->count = count;
  m->user_last = last;
  m->head.sessions = (uint32_t)n;
  return WN_OK;
}

/* Each item's newest sessions: the lists are filled from their ends. */
static wn_status make_lists(wn_vmis *m, wn_error *err) {
  uint64_t *ptr = m->owned[5] = wn_calloc((size_t)m->head.items + 1, sizeof *ptr);
  uint64_t *left = wn_calloc((size_t)m->head.items + 1, sizeof *left);
  uint32_t *session = NULL;
  if (ptr != NULL && left != NULL) {
    for (uint32_t i = 0; i < m->head.items; i++) {
      left[i] = m->count[i] < m->head.recent ? m->count[i] : m->head.recent;
      ptr[i + 1] = ptr[i] + left[i];
    }
    session = m->owned[6] = wn_calloc((size_t)ptr[m->head.items] + 1, sizeof *session);
  }
  if (session == NULL) {
    wn_free(left);
    return wn_fail_memory(err);
  }
  for (uint32_t s = m->head.sessions; s-- > 0;) {
    for (uint64_t k = m->session_ptr[s]; k < m->session_ptr[s + 1]; k++) {
      uint32_t i = m->session_item[k];
      if (left[i] > 0) session[ptr[i] + --left[i]] = s;
    }
  }
  wn_free(left);
  m->list_ptr = ptr;
  m->list_session = session;
  return WN_OK;
}

static wn_vmis_head head_of(const wn_params *params, const wn_dataset *data) {
  const wn_model_class *cls = &wn_model_vmis;
  return (wn_vmis_head){.version = 1,
                        .items = data->by_user.cols,
                        .users = data->by_user.rows,
                        .recent = (uint32_t)wn_param(cls, params, "recent"),
                        .neighbours = (uint32_t)wn_param(cls, params, "neighbours"),
                        .length = (uint32_t)wn_param(cls, params, "length"),
                        .history_max = (uint32_t)wn_param(cls, params, "history_max"),
                        .sessions_max = (uint32_t)wn_param(cls, params, "sessions_max"),
                        .gap_ms = wn_param(cls, params, "gap_minutes") * 60000,
                        .fade = wn_param(cls, params, "fade")};
}

static wn_status vmis_fit(const wn_dataset *data, const wn_params *params, const wn_fit_env *env,
                          wn_model **out, wn_error *err) {
  span_list spans = {0};
  wn_vmis *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_vmis;
  m->head = head_of(params, data);
  wn_status status;
  if (!wn_progress_at(env->progress, "vmis", 0, 1, "steps"))
    WN_TRY(wn_fail(err, WN_E_CANCELLED, "", "training was cancelled"));
  WN_TRY(split(&data->by_user, m->head.gap_ms, &spans, err));
  WN_TRY(take_sessions(m, &data->by_user, &spans, err));
  WN_TRY(make_lists(m, err));
  WN_TRY(wn_vmis_live_init(m, err));
  *out = &m->base;
  m = NULL;
cleanup:
  wn_vec_clear(&spans);
  vmis_free(m != NULL ? &m->base : NULL);
  return status;
}

/* ---- answering ---- */

/* Sessions by one number: the snapshot's, then those since. */
typedef struct items_of {
  const wn_item_ix *item;
  size_t len;
} items_of;

static items_of session_items(const wn_vmis *m, uint32_t s) {
  if (s < m->head.sessions) {
    uint64_t begin = m->session_ptr[s];
    return (items_of){m->session_item + begin, (size_t)(m->session_ptr[s + 1] - begin)};
  }
  const wn_vmis_session *live =
      &m->live.sessions.data[(s - m->head.sessions) % m->head.sessions_max];
  return (items_of){live->item, live->len};
}

/* Adds x to each of the item's newest sessions. */
static void add_sessions(wn_accum *accum, const wn_vmis *m, wn_item_ix i, float x) {
  const wn_vmis_list *list = &m->live.list[i];
  uint32_t left = m->head.recent;
  for (uint32_t k = list->len; k-- > 0 && left > 0;) {
    uint32_t number = list->session[(list->begin + k) % list->cap];
    if (m->live.begun - number > m->head.sessions_max) break; /* gone, and so are older ones */
    wn_accum_add(accum, m->head.sessions + number, x);
    left--;
  }
  if (i >= m->head.items) return;
  for (uint64_t k = m->list_ptr[i + 1]; k-- > m->list_ptr[i] && left > 0; left--) {
    uint32_t s = m->list_session[k];
    if (m->live.retired.bits == 0 || !wn_bitset_test(&m->live.retired, s))
      wn_accum_add(accum, s, x);
  }
}

/* Most alike sessions. */
static wn_status nearest(const wn_vmis *m, const wn_positive *history, size_t len, wn_arena *arena,
                         wn_topk *top, wn_error *err) {
  wn_accum accum;
  uint32_t sessions = m->head.sessions + m->live.begun;
  if (!wn_accum_init(&accum, sessions, len * m->head.recent, arena)) return wn_fail_memory(err);
  for (size_t pos = 0; pos < len; pos++)
    add_sessions(&accum, m, history[pos].item, (float)(len - pos) / (float)len);
  for (size_t slot = 0; slot < accum.slots; slot++) {
    if (accum.sum[slot] > 0)
      wn_topk_push(top, accum.key != NULL ? accum.key[slot] : (uint32_t)slot, accum.sum[slot]);
  }
  return WN_OK;
}

/* A table of the query's items: item → place. */
#define PLACES 1024u /* four times WN_HISTORY_MAX */
typedef struct places {
  uint32_t item[PLACES];
  uint16_t place[PLACES];
} places;

static uint32_t place_slot(const places *t, wn_item_ix item) {
  uint32_t slot = (item * 2654435761u) >> 22;
  while (t->item[slot] != item && t->item[slot] != WN_NO_IX) slot = (slot + 1) % PLACES;
  return slot;
}

static void places_fill(places *t, const wn_positive *history, size_t len) {
  memset(t->item, 0xff, sizeof t->item);
  for (size_t pos = len; pos-- > 0;) {
    uint32_t slot = place_slot(t, history[pos].item);
    t->item[slot] = history[pos].item;
    t->place[slot] = (uint16_t)pos;
  }
}

/* The place of the session's newest shared item; `len` when none is left in it. */
static size_t newest_shared(const places *t, items_of s, size_t len) {
  size_t least = len;
  for (size_t i = 0; i < s.len; i++) {
    uint32_t slot = place_slot(t, s.item[i]);
    if (t->item[slot] != WN_NO_IX && t->place[slot] < least) least = t->place[slot];
  }
  return least;
}

typedef struct shared {
  const wn_positive *history;
  size_t len;
  const wn_scored *near; /* sessions with their r */
  size_t near_len;
} shared;

static wn_status add_items(const wn_vmis *m, const shared *with, wn_arena *arena, wn_ask *ask,
                           wn_error *err) {
  size_t adds = 0;
  places table;
  places_fill(&table, with->history, with->len);
  for (size_t k = 0; k < with->near_len; k++) adds += session_items(m, with->near[k].ix).len;
  if (!wn_accum_init(&ask->accum, m->live.items, adds, arena)) return wn_fail_memory(err);
  ask->any = true;
  double all = (double)m->head.sessions + (double)m->live.begun - (double)m->live.resumed;
  for (size_t k = 0; k < with->near_len; k++) {
    items_of s = session_items(m, with->near[k].ix);
    size_t place = newest_shared(&table, s, with->len);
    double r = (double)with->near[k].score * (1 - m->head.fade * (double)place);
    if (place == with->len || !(r > 0)) continue;
    for (size_t i = 0; i < s.len; i++) {
      double n = fmax(1, (double)m->live.count[s.item[i]]);
      wn_accum_add(&ask->accum, s.item[i], (float)(r * log(1 + all / n)));
    }
  }
  return WN_OK;
}

static wn_status vmis_ask(wn_ask *ask, const wn_model *model, const wn_query *query,
                          wn_arena *arena, wn_error *err) {
  const wn_vmis *m = (const wn_vmis *)model;
  wn_positive history[WN_HISTORY_MAX];
  size_t len = wn_query_positives(query, m->live.items, m->head.history_max, history);
  if (len == 0 && query->anchor < m->live.items) {
    history[len++] = (wn_positive){.item = query->anchor, .weight = 1};
    ask->without = query->anchor;
  }
  if (len == 0) return WN_OK;
  wn_scored *near = wn_arena_alloc(arena, m->head.neighbours * sizeof *near);
  if (near == NULL) return wn_fail_memory(err);
  wn_topk top;
  wn_topk_init(&top, near, m->head.neighbours);
  wn_status status = nearest(m, history, len, arena, &top, err);
  size_t found = wn_topk_sort(&top);
  if (status != WN_OK || found == 0) return status;
  return add_items(m, &(shared){history, len, near, found}, arena, ask, err);
}

static wn_status vmis_candidates(const wn_model *model, const wn_query *query, size_t k,
                                 wn_scored *out, size_t *count, wn_error *err) {
  wn_topk top;
  wn_topk_init(&top, out, k);
  wn_status status = wn_ask_top(vmis_ask, model, query, &top, err);
  *count = wn_topk_sort(&top);
  return status;
}

static wn_status vmis_score_all(const wn_model *model, const wn_query *query, float *scores,
                                uint32_t items, wn_error *err) {
  return wn_ask_all(vmis_ask, model, query, scores, items, err);
}

/* ---- snapshots ---- */

/* What was fitted. What events added comes from the log again. */
static wn_status vmis_save(const wn_model *model, wn_snapshot_writer *writer, wn_error *err) {
  const wn_vmis *m = (const wn_vmis *)model;
  uint64_t items = m->head.items, users = m->head.users, sessions = m->head.sessions;
  wn_status status;
#define SECTION(name, data, count)                                                                 \
  WN_TRY(wn_snapshot_write(writer, "vmis/" name, data, (count) * sizeof *(data), err))
  SECTION("head", &m->head, 1);
  SECTION("session_ptr", m->session_ptr, sessions + 1);
  SECTION("session_item", m->session_item, m->session_ptr[sessions]);
  SECTION("session_end", m->session_end, sessions);
  SECTION("list_ptr", m->list_ptr, items + 1);
  SECTION("list_session", m->list_session, m->list_ptr[items]);
  SECTION("count", m->count, items);
  SECTION("user_last", m->user_last, users);
#undef SECTION
cleanup:
  return status;
}

static bool in_range(const char *name, double value) {
  for (size_t i = 0; i < wn_model_vmis.params_len; i++) {
    const wn_param_spec *spec = &wn_model_vmis.params[i];
    if (strcmp(spec->name, name) == 0) return value >= spec->min && value <= spec->max;
  }
  return false;
}

static wn_status check_head(const wn_vmis_head *h, wn_error *err) {
  if (h->version != 1) {
    return wn_fail(err, WN_E_CORRUPT, "vmis/head", "version %u, expected 1: train again",
                   h->version);
  }
  if (!in_range("recent", h->recent) || !in_range("neighbours", h->neighbours) ||
      !in_range("length", h->length) || !in_range("history_max", h->history_max) ||
      !in_range("fade", h->fade) || !in_range("gap_minutes", h->gap_ms / 60000) ||
      !in_range("sessions_max", h->sessions_max)) {
    return wn_fail(err, WN_E_CORRUPT, "vmis/head", "parameters are out of range");
  }
  return WN_OK;
}

/* Sessions no longer than the head says; users' last sessions are there. */
static wn_status check_rows(const wn_vmis *m, wn_error *err) {
  for (uint32_t s = 0; s < m->head.sessions; s++) {
    if (m->session_ptr[s + 1] - m->session_ptr[s] > m->head.length)
      return wn_fail(err, WN_E_CORRUPT, "vmis/session_ptr", "a session is longer than length");
  }
  for (uint32_t u = 0; u < m->head.users; u++) {
    if (m->user_last[u] != WN_NO_IX && m->user_last[u] >= m->head.sessions)
      return wn_fail(err, WN_E_CORRUPT, "vmis/user_last", "user %u's session is not there", u);
  }
  return WN_OK;
}

static wn_status vmis_validate(const wn_model *model, wn_error *err) {
  const wn_vmis *m = (const wn_vmis *)model;
  wn_status status = check_head(&m->head, err);
  return status == WN_OK ? check_rows(m, err) : status;
}

static wn_status vmis_map(const wn_snapshot *snapshot, wn_model **out, wn_error *err) {
  wn_vmis *m = wn_calloc(1, sizeof *m);
  if (m == NULL) return wn_fail_memory(err);
  m->base.cls = &wn_model_vmis;
  const wn_vmis_head *h = &m->head;
  const void *data = NULL;
  uint64_t n = 0;
  wn_status status;
  WN_TRY(wn_section_array(snapshot, "vmis/head", sizeof m->head, 1, &data, err));
  memcpy(&m->head, data, sizeof m->head);
  WN_TRY(check_head(h, err));
  WN_TRY(wn_section_offsets(snapshot, "vmis/session_ptr", h->sessions, &m->session_ptr, &n, err));
  WN_TRY(wn_section_indexes(snapshot, "vmis/session_item", n, h->items, &m->session_item, err));
  WN_TRY(wn_section_array(snapshot, "vmis/session_end", sizeof *m->session_end, h->sessions, &data,
                          err));
  m->session_end = data;
  WN_TRY(wn_section_offsets(snapshot, "vmis/list_ptr", h->items, &m->list_ptr, &n, err));
  WN_TRY(wn_section_indexes(snapshot, "vmis/list_session", n, h->sessions, &m->list_session, err));
  WN_TRY(wn_section_array(snapshot, "vmis/count", sizeof *m->count, h->items, &data, err));
  m->count = data;
  WN_TRY(wn_section_array(snapshot, "vmis/user_last", sizeof *m->user_last, h->users, &data, err));
  m->user_last = data;
  WN_TRY(vmis_validate(&m->base, err));
  WN_TRY(wn_vmis_live_init(m, err));
  *out = &m->base;
  m = NULL;
cleanup:
  vmis_free(m != NULL ? &m->base : NULL);
  return status;
}

const wn_model_class wn_model_vmis = {
    .name = "vmis",
    .doc = "what sessions like this one held (VMIS-kNN), learning from every event",
    .flags = WN_MODEL_HISTORY | WN_MODEL_ANCHOR | WN_MODEL_LIVE | WN_MODEL_BY_NAME,
    .params = vmis_params,
    .params_len = sizeof vmis_params / sizeof *vmis_params,
    .fit = vmis_fit,
    .save = vmis_save,
    .map = vmis_map,
    .validate = vmis_validate,
    .candidates = vmis_candidates,
    .similar = wn_anchor_similar,
    .score_all = vmis_score_all,
    .update = wn_vmis_update,
    .forget = wn_vmis_forget,
    .bytes = wn_vmis_live_bytes,
    .free = vmis_free,
};
