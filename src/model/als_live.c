/* Learning from events between two trainings: vectors of items that had none in training.
 *
 * Source: the half-step of ALS for one item (als_solve.c), with the users held fixed. An event of
 * an item tells who took it; her factors are folded in from her newest items, and once the item's
 * takers have grown by an eighth (at each event up to eight) its own vector is solved from theirs:
 *     (Σ c·xxᵀ + α₀·XᵀX + λᵢI) y = Σ max(c, 0)·x.
 * XᵀX is that of the fit's users; its eigenbasis is in the snapshot, takers' factors are kept
 * rotated into it, so that wn_als_solve applies. The vector of its attributes (als_attr.c) fades as
 * takers come:  v = (n·y + 10·prior) / (n + 10).  Without known attributes v is y.
 *
 * Departures: items with events in training stay as fitted until the next one (measured: letting
 * those of up to 30 events learn, too, changes nothing). Takers are folded in by the fit's vectors
 * alone, not by live ones, and without the item itself: what an item learns then depends on the
 * log's order of events and on the last put, not on how the two lay between each other, so that a
 * restart arrives at the same vectors. Queries do fold live items in. Weights do not fade before
 * the next training.
 *
 * Bounds: WN_ALS_LIVE_USERS users of WN_ALS_LIVE_RECENT items, 8 bytes each; of an item its newest
 * WN_ALS_LIVE_TAKERS takers, (4·d + 8) bytes each, and 16·d bytes, WN_ALS_LIVE_BYTES in all, after
 * which no further item learns; 4 bytes an item of the catalogue. Time: nothing but a look-up and
 * an append for an item as fitted; for the others a fold-in, d² to rotate it, and at an eighth of
 * the events a solve. No threads, no randomness, no clock. When memory is out, the event is left
 * out. */
#include "model/als.h"
#include "model/linalg.h"
#include "base/mem.h"
#include "base/simd/simd.h"

#include <math.h>
#include <string.h>

#define ATTR_EVENTS 10 /* what attributes weigh against events */
#define ALWAYS      8  /* takers up to which an item is solved at each event */
#define ARENA_MAX   ((size_t)64 << 20)

/* ---- the users' eigenbasis ---- */

wn_status wn_als_live_fit(wn_als *als, wn_pool *pool, wn_error *err) {
  size_t d = als->head.d;
  double *eigen = wn_als_own(als, d, sizeof *eigen);
  float *basis = wn_als_own(als, d * d, sizeof *basis);
  double *gram = wn_calloc(d * d + d, sizeof *gram);
  wn_status status = WN_OK;
  if (eigen == NULL || basis == NULL || gram == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_gram(pool, als->user, als->head.users, d, gram, err));
  if (!wn_eigen_symmetric(gram, d, eigen, gram + d * d)) {
    WN_TRY(wn_fail(err, WN_E_INTERNAL, "als", "factors have grown beyond all bounds"));
  }
  for (size_t k = 0; k < d; k++) eigen[k] = fmax(eigen[k], 0);
  for (size_t k = 0; k < d * d; k++) basis[k] = (float)gram[k];
  als->user_eigen = eigen;
  als->user_basis = basis;
cleanup:
  wn_free(gram);
  return status;
}

void wn_als_live_init(wn_als *als) {
  wn_arena_init(&als->live.arena, ARENA_MAX);
}

void wn_als_live_clear(wn_als_live *live) {
  for (uint32_t i = 0; i < live->len; i++) {
    wn_free(live->item[i].prior);
    wn_free(live->item[i].own);
    wn_free(live->item[i].taker);
    wn_free(live->item[i].x);
  }
  for (size_t i = 0; i < live->users.len; i++) wn_free(live->users.data[i].seen);
  void *all[] = {live->at, live->item, live->item_of, live->vector, live->scale};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) wn_free(all[i]);
  wn_vec_clear(&live->users);
  wn_map64_clear(&live->user_of);
  wn_bitset_clear(&live->forgotten);
  wn_arena_clear(&live->arena);
}

size_t wn_als_live_bytes(const wn_model *model) {
  const wn_als *als = (const wn_als *)model;
  const wn_als_live *live = &als->live;
  size_t bytes = live->bytes + live->known * sizeof *live->at + live->user_of.cap * WN_MAP64_BYTES;
  bytes += live->cap * (sizeof *live->item + sizeof *live->item_of + sizeof *live->scale +
                        als->head.d * sizeof *live->vector);
  for (size_t i = 0; i < live->users.len; i++)
    bytes += live->users.data[i].cap * sizeof *live->users.data[i].seen;
  return bytes + live->users.cap * sizeof *live->users.data + live->forgotten.bits / 8;
}

/* ---- users ---- */

static bool seen_reserve(wn_als_live_user *u, uint32_t need) {
  if (need <= u->cap) return true;
  uint32_t cap = u->cap < 4 ? 4 : u->cap * 2;
  while (cap < need) cap *= 2;
  wn_als_seen *seen = wn_reallocarray(u->seen, cap, sizeof *seen);
  if (seen == NULL) return false;
  u->seen = seen;
  u->cap = cap;
  return true;
}

/* The newest of the snapshot's items that say something. */
static bool user_load(const wn_als *als, wn_user_ix user, wn_als_live_user *u) {
  const wn_history_base *h = &als->live.history;
  *u = (wn_als_live_user){.user = user};
  if (user >= h->users || wn_bitset_test(&als->live.forgotten, user)) return true;
  uint64_t begin = h->row_ptr[user + 1];
  uint32_t n = 0;
  while (begin > h->row_ptr[user] && n < WN_ALS_LIVE_RECENT) n += h->weight[--begin] != 0;
  if (!seen_reserve(u, n)) return false;
  for (uint64_t k = begin; k < h->row_ptr[user + 1]; k++) {
    if (h->weight[k] != 0) u->seen[u->len++] = (wn_als_seen){h->item[k], h->weight[k]};
  }
  return true;
}

static wn_als_live_user *user_find(const wn_als_live *live, wn_user_ix user) {
  const uint64_t *at = wn_map64_find(&live->user_of, user);
  return at != NULL ? &live->users.data[*at] : NULL;
}

/* A free place, or that of the longest known user. */
static wn_als_live_user *user_place(wn_als_live *live) {
  if (live->users.len < WN_ALS_LIVE_USERS) {
    return wn_vec_push(&live->users, (wn_als_live_user){.user = WN_NO_IX})
               ? &live->users.data[live->users.len - 1]
               : NULL;
  }
  wn_als_live_user *u = &live->users.data[live->user_next];
  live->user_next = (live->user_next + 1) % WN_ALS_LIVE_USERS;
  wn_map64_remove(&live->user_of, u->user);
  wn_free(u->seen);
  *u = (wn_als_live_user){.user = WN_NO_IX};
  return u;
}

static wn_als_live_user *user_at(wn_als *als, wn_user_ix user) {
  wn_als_live *live = &als->live;
  wn_als_live_user loaded, *u = user_find(live, user);
  if (u != NULL) return u;
  if (!user_load(als, user, &loaded)) return NULL;
  u = user_place(live);
  uint64_t *at = u != NULL ? wn_map64_at(&live->user_of, user) : NULL;
  if (at == NULL) {
    wn_free(loaded.seen);
    return NULL;
  }
  *at = (uint64_t)(u - live->users.data);
  *u = loaded;
  return u;
}

/* The item becomes her newest one, its weights added up. */
static void remember(wn_als_live_user *u, wn_item_ix item, float weight) {
  uint32_t at = 0;
  while (at < u->len && u->seen[at].item != item) at++;
  if (at < u->len) {
    float sum = u->seen[at].weight + weight;
    if (isfinite(sum)) weight = sum;
  } else if (u->len == WN_ALS_LIVE_RECENT) {
    at = 0;
  } else if (seen_reserve(u, u->len + 1)) {
    u->len++;
  } else {
    return;
  }
  memmove(u->seen + at, u->seen + at + 1, (u->len - 1 - at) * sizeof *u->seen);
  u->seen[u->len - 1] = (wn_als_seen){item, weight};
}

void wn_als_forget(wn_model *model, wn_user_ix user) {
  wn_als *als = (wn_als *)model;
  wn_als_live *live = &als->live;
  wn_als_live_user *u = user_find(live, user);
  if (u != NULL) u->len = 0;
  for (uint32_t i = 0; i < live->len; i++) {
    for (uint32_t k = 0; k < live->item[i].len; k++) {
      if (live->item[i].taker[k].user == user) live->item[i].taker[k].user = WN_NO_IX;
    }
  }
  if (user >= live->history.users) return;
  if (live->forgotten.bits == 0 && !wn_bitset_init(&live->forgotten, live->history.users)) {
    live->history = (wn_history_base){0}; /* forgetting must not fail: everybody's base goes */
    return;
  }
  wn_bitset_set(&live->forgotten, user);
}

/* ---- items ---- */

static uint32_t fitted_row(const wn_als *als, wn_item_ix ix) {
  return ix < als->head.items ? als->row_of[ix] : WN_NO_IX;
}

/* Without events in training: it learns from later ones. */
static bool is_new(const wn_als *als, wn_item_ix ix) {
  uint32_t row = fitted_row(als, ix);
  return row == WN_NO_IX || als->item_events[row] == 0;
}

static bool know(wn_als_live *live, size_t items) {
  if (items <= live->known) return true;
  size_t known = live->known < 64 ? 64 : live->known;
  while (known < items) known *= 2;
  uint32_t *at = wn_reallocarray(live->at, known, sizeof *at);
  if (at == NULL) return false;
  memset(at + live->known, 0, (known - live->known) * sizeof *at);
  live->at = at;
  live->known = known;
  return true;
}

static bool items_reserve(wn_als_live *live, size_t d) {
  if (live->len < live->cap) return true;
  uint32_t cap = live->cap < 16 ? 16 : live->cap * 2;
  wn_als_live_item *item = wn_reallocarray(live->item, cap, sizeof *item);
  if (item != NULL) live->item = item;
  wn_item_ix *item_of = wn_reallocarray(live->item_of, cap, sizeof *item_of);
  if (item_of != NULL) live->item_of = item_of;
  float *vector = wn_reallocarray(live->vector, cap * d, sizeof *vector);
  if (vector != NULL) live->vector = vector;
  float *scale = wn_reallocarray(live->scale, cap, sizeof *scale);
  if (scale != NULL) live->scale = scale;
  if (item == NULL || item_of == NULL || vector == NULL || scale == NULL) return false;
  live->cap = cap;
  return true;
}

/* False: WN_ALS_LIVE_BYTES are reached. */
static bool charge(wn_als_live *live, size_t bytes) {
  if (live->bytes + bytes > WN_ALS_LIVE_BYTES) return false;
  live->bytes += bytes;
  return true;
}

/* The vector and its norm, from `own` and `prior`. */
static void settle(wn_als *als, uint32_t at) {
  wn_als_live_item *item = &als->live.item[at];
  size_t d = als->head.d;
  float *v = als->live.vector + at * d;
  float n = item->own != NULL ? (float)item->solved : 0, all = n + item->behind;
  for (size_t k = 0; k < d; k++) {
    float own = n > 0 ? n / all * item->own[k] : 0;
    v[k] = own + (item->behind > 0 ? item->behind / all * item->prior[k] : 0);
  }
  double norm = sqrt((double)wn_simd()->dot(v, v, d));
  als->live.scale[at] = norm > 1e-15 && isfinite(norm) ? (float)(1 / norm) : 0;
  wn_als_tell(als, at);
}

/* What the fit's attributes said, as prior. */
static void start_as_fitted(const wn_als *als, wn_item_ix ix, wn_als_live_item *item) {
  uint32_t row = fitted_row(als, ix);
  size_t d = als->head.d;
  if (row == WN_NO_IX) return;
  item->behind = ATTR_EVENTS;
  memcpy(item->prior, als->item + row * d, d * sizeof *item->prior);
}

/* The live form of an item, its place; made when it is not there. WN_NO_IX: no room. */
static uint32_t live_item(wn_als *als, wn_item_ix ix) {
  wn_als_live *live = &als->live;
  size_t d = als->head.d;
  if (wn_als_live_at(als, ix) != 0) return live->at[ix] - 1;
  if (!know(live, (size_t)ix + 1) || !items_reserve(live, d)) return WN_NO_IX;
  if (!charge(live, sizeof *live->item + 4 * d * sizeof(float))) return WN_NO_IX;
  wn_als_live_item item = {.prior = wn_calloc(d, sizeof *item.prior)};
  if (item.prior == NULL) return WN_NO_IX;
  start_as_fitted(als, ix, &item);
  live->item[live->len] = item;
  live->item_of[live->len] = ix;
  live->at[ix] = ++live->len;
  settle(als, live->len - 1);
  return live->len - 1;
}

static bool takers_reserve(wn_als_live *live, wn_als_live_item *item, size_t d) {
  if (item->len < item->cap || item->cap == WN_ALS_LIVE_TAKERS) return true;
  uint32_t cap = item->cap < 2 ? 2 : item->cap * 2;
  if (!charge(live, (cap - item->cap) * (d * sizeof(float) + sizeof *item->taker))) return false;
  wn_als_taker *taker = wn_reallocarray(item->taker, cap, sizeof *taker);
  if (taker != NULL) item->taker = taker;
  float *x = wn_reallocarray(item->x, cap * d, sizeof *x);
  if (x != NULL) item->x = x;
  if (taker == NULL || x == NULL) return false;
  item->cap = cap;
  return true;
}

/* Her factors by the fit's items, all but this one; NULL: nothing is known of her. */
static const float *taker_factors(wn_als *als, const wn_als_live_user *u, wn_item_ix without) {
  wn_arena *arena = &als->live.arena;
  size_t d = als->head.d;
  uint32_t row[WN_ALS_LIVE_RECENT];
  float c[WN_ALS_LIVE_RECENT];
  size_t n = 0;
  bool positive = false;
  for (uint32_t i = u->len; i-- > 0;) {
    row[n] = fitted_row(als, u->seen[i].item);
    c[n] = wn_als_confidence(&als->head, u->seen[i].weight);
    if (row[n] == WN_NO_IX || u->seen[i].item == without || c[n] == 0) continue;
    positive |= c[n++] > 0;
  }
  float *memory = wn_arena_alloc(arena, (wn_als_scratch_floats(d, n) + 2 * d) * sizeof *memory);
  if (!positive || memory == NULL) return NULL;
  wn_als_scratch scratch;
  wn_als_scratch_init(&scratch, d, n, memory + 2 * d);
  wn_als_system system = {.factors = als->item,
                          .eigen = als->eigen,
                          .d = d,
                          .count = als->head.active,
                          .alpha0 = als->head.alpha0,
                          .lambda = als->head.lambda,
                          .nu = als->head.nu};
  (void)wn_als_solve(&system, row, c, n, &scratch, memory);
  wn_simd()->gemv(als->user_basis, d, d, memory, d, memory + d);
  return memory + d;
}

/* own = argmin over its takers, back in the items' basis. */
static void solve_item(wn_als *als, wn_als_live_item *item) {
  wn_arena *arena = &als->live.arena;
  size_t d = als->head.d;
  uint32_t col[WN_ALS_LIVE_TAKERS];
  float c[WN_ALS_LIVE_TAKERS];
  for (uint32_t i = 0; i < item->len; i++) {
    col[i] = i;
    c[i] = wn_als_confidence(&als->head, item->taker[i].weight);
  }
  size_t floats = wn_als_scratch_floats(d, item->len) + d;
  float *memory = wn_arena_alloc(arena, floats * sizeof *memory);
  if (item->own == NULL) item->own = wn_calloc(d, sizeof *item->own);
  if (memory == NULL || item->own == NULL) return;
  wn_als_scratch scratch;
  wn_als_scratch_init(&scratch, d, item->len, memory + d);
  wn_als_system system = {.factors = item->x,
                          .eigen = als->user_eigen,
                          .d = d,
                          .count = als->head.users_active,
                          .alpha0 = als->head.alpha0,
                          .lambda = als->head.lambda,
                          .nu = als->head.nu};
  (void)wn_als_solve(&system, col, c, item->len, &scratch, memory);
  memset(item->own, 0, d * sizeof *item->own);
  for (size_t k = 0; k < d; k++) {
    wn_simd()->axpy(memory[k], als->user_basis + k * d, item->own, d);
  }
  item->solved = item->events;
}

/* Notes the taker, her weights added up and her factors as they are now. */
static void note_taker(wn_als_live_item *item, wn_als_taker taker, const float *x, size_t d) {
  uint32_t at = 0;
  while (at < item->len && item->taker[at].user != taker.user) at++;
  if (at < item->len) {
    float sum = item->taker[at].weight + taker.weight;
    if (isfinite(sum)) taker.weight = sum;
  } else {
    at = item->len < item->cap ? item->len++ : item->next;
    if (item->len == WN_ALS_LIVE_TAKERS) item->next = (at + 1) % WN_ALS_LIVE_TAKERS;
    item->events++;
  }
  item->taker[at] = taker;
  memcpy(item->x + at * d, x, d * sizeof *x);
}

static void learn(wn_als *als, const wn_als_live_user *u, wn_item_ix ix, float weight) {
  size_t d = als->head.d;
  wn_arena_reset(&als->live.arena);
  const float *x = taker_factors(als, u, ix);
  if (x == NULL) return;
  uint32_t at = live_item(als, ix);
  if (at == WN_NO_IX || !takers_reserve(&als->live, &als->live.item[at], d)) return;
  wn_als_live_item *item = &als->live.item[at];
  note_taker(item, (wn_als_taker){u->user, weight}, x, d);
  if (item->solved >= ALWAYS && item->events < item->solved + item->solved / 8) return;
  solve_item(als, item);
  settle(als, at);
}

void wn_als_update(wn_model *model, const wn_event *event, float weight) {
  wn_als *als = (wn_als *)model;
  if (weight == 0 || !isfinite(weight)) return;
  if (event->item == WN_NO_IX || event->user == WN_NO_IX) return;
  wn_als_live_user *u = user_at(als, event->user);
  if (u == NULL) return;
  if (is_new(als, event->item)) learn(als, u, event->item, weight);
  remember(u, event->item, weight);
}

/* ---- attributes ---- */

wn_status wn_als_bind(wn_model *model, const struct wn_models *set, wn_error *err WN_UNUSED) {
  wn_als *als = (wn_als *)model;
  const wn_content *content = (const wn_content *)wn_models_find(set, wn_model_content.name);
  bool same = content != NULL && content->head.terms == als->head.attr_terms;
  als->live.content = same && als->head.attr_rows > 0 ? content : NULL;
  return WN_OK;
}

/* The content model, which comes before this one in a set, has the item's terms already. */
wn_status wn_als_update_item(wn_model *model, wn_item_ix ix, const wn_item_record *item WN_UNUSED,
                             wn_error *err) {
  wn_als *als = (wn_als *)model;
  wn_term_weight terms[WN_CONTENT_TERMS_MAX];
  uint32_t row = fitted_row(als, ix);
  if (ix == WN_NO_IX || als->live.content == NULL || !is_new(als, ix)) return WN_OK;
  size_t len = wn_content_vector_of(als->live.content, ix, terms), d = als->head.d;
  if (len == 0 && row == WN_NO_IX && wn_als_live_at(als, ix) == 0) return WN_OK;
  uint32_t at = live_item(als, ix);
  if (at == WN_NO_IX) {
    bool full = als->live.bytes + 8 * d * sizeof(float) > WN_ALS_LIVE_BYTES;
    return full ? WN_OK : wn_fail_memory(err);
  }
  wn_als_live_item *live = &als->live.item[at];
  bool known = wn_als_attr_vector(als, terms, len, live->prior);
  wn_simd()->scale((float)als->head.cold_scale, live->prior, d);
  live->behind = known ? ATTR_EVENTS : 0;
  settle(als, at);
  return WN_OK;
}
