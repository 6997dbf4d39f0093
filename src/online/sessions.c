/* What each feed session has been served: a hash of session names to rings of items, a list from
 * the most to the least recently used for eviction.
 *
 * A session is found by the 64-bit hash of its name under a random seed and then compared by name;
 * should two names ever share a hash, the newcomer takes the older one's place (a lost session
 * repeats items, a mixed-up one would hide them). One mutex guards the table (held for a copy
 * of at most served_max items); requests of one session are serialised by striped locks of their
 * own, so that a funnel never runs under the table's mutex. Order of locks: stripe, then table. */

#include "online/online.h"
#include "base/clock.h"
#include "base/map64.h"
#include "base/vec.h"
#include <pthread.h>
#include <sys/random.h>

#define STRIPES 1024
#define NONE    UINT32_MAX

typedef struct session {
  uint64_t hash;
  char *name; /* NULL: a free slot, chained by `older` */
  size_t name_len;
  int64_t last_ms;
  uint32_t newer, older; /* neighbours in the list of use */
  wn_item_ix *items;     /* ring: the oldest at `begin` */
  uint32_t cap, begin, len;
} session;

struct wn_sessions {
  wn_sessions_options options;
  uint64_t seed;
  pthread_mutex_t mutex;
  wn_map64 by_hash; /* hash → slot */
  WN_VEC(session) slots;
  uint32_t newest, oldest, free;
  size_t count;
  size_t bytes;
  pthread_mutex_t stripes[STRIPES];
};

void wn_sessions_options_defaults(wn_sessions_options *options) {
  *options = (wn_sessions_options){
      .sessions_max = 100000, .served_max = 10000, .ttl_ms = 24 * 3600 * 1000LL};
}

wn_sessions *wn_sessions_create(const wn_sessions_options *options) {
  wn_sessions *s = wn_calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  s->options = *options;
  if (s->options.sessions_max == 0) s->options.sessions_max = 1;
  if (s->options.sessions_max > NONE - 1) s->options.sessions_max = NONE - 1;
  if (s->options.served_max == 0) s->options.served_max = 1;
  if (s->options.served_max > UINT32_MAX / 4) s->options.served_max = UINT32_MAX / 4;
  /* A seed nobody can guess, so that nobody can aim at another session's hash. */
  if (getrandom(&s->seed, sizeof s->seed, GRND_NONBLOCK) != sizeof s->seed) s->seed = wn_mono_ns();
  s->newest = s->oldest = s->free = NONE;
  wn_map64_init(&s->by_hash);
  pthread_mutex_init(&s->mutex, NULL);
  for (size_t i = 0; i < STRIPES; i++) pthread_mutex_init(&s->stripes[i], NULL);
  return s;
}

void wn_sessions_free(wn_sessions *s) {
  if (s == NULL) return;
  for (size_t i = 0; i < s->slots.len; i++) {
    wn_free(s->slots.data[i].name);
    wn_free(s->slots.data[i].items);
  }
  wn_vec_clear(&s->slots);
  wn_map64_clear(&s->by_hash);
  pthread_mutex_destroy(&s->mutex);
  for (size_t i = 0; i < STRIPES; i++) pthread_mutex_destroy(&s->stripes[i]);
  wn_free(s);
}

static session *slot_at(wn_sessions *s, uint32_t i) {
  return &s->slots.data[i];
}

static void list_remove(wn_sessions *s, uint32_t i) {
  session *e = slot_at(s, i);
  if (e->newer != NONE)
    slot_at(s, e->newer)->older = e->older;
  else
    s->newest = e->older;
  if (e->older != NONE)
    slot_at(s, e->older)->newer = e->newer;
  else
    s->oldest = e->newer;
}

static void list_push(wn_sessions *s, uint32_t i) {
  session *e = slot_at(s, i);
  e->newer = NONE;
  e->older = s->newest;
  if (s->newest != NONE) slot_at(s, s->newest)->newer = i;
  s->newest = i;
  if (s->oldest == NONE) s->oldest = i;
}

static void session_end(wn_sessions *s, uint32_t i) {
  session *e = slot_at(s, i);
  list_remove(s, i);
  wn_map64_remove(&s->by_hash, e->hash);
  s->bytes -= e->cap * sizeof *e->items + e->name_len + 1;
  wn_free(e->name);
  wn_free(e->items);
  *e = (session){.older = s->free};
  s->free = i;
  s->count--;
}

static bool session_over(const wn_sessions *s, const session *e, int64_t now_ms) {
  return now_ms - e->last_ms > s->options.ttl_ms;
}

static void expire(wn_sessions *s, int64_t now_ms) {
  while (s->oldest != NONE && session_over(s, slot_at(s, s->oldest), now_ms))
    session_end(s, s->oldest);
}

/* NONE when there is no such session (any more). */
static uint32_t session_find(wn_sessions *s, uint64_t hash, wn_str name, int64_t now_ms) {
  const uint64_t *at = wn_map64_find(&s->by_hash, hash);
  if (at == NULL) return NONE;
  uint32_t i = (uint32_t)*at;
  session *e = slot_at(s, i);
  if (wn_str_equal((wn_str){e->name, e->name_len}, name) && !session_over(s, e, now_ms)) return i;
  session_end(s, i);
  return NONE;
}

static uint32_t slot_take(wn_sessions *s) {
  if (s->free != NONE) {
    uint32_t i = s->free;
    s->free = slot_at(s, i)->older;
    return i;
  }
  return wn_vec_push(&s->slots, (session){0}) ? (uint32_t)(s->slots.len - 1) : NONE;
}

static uint32_t session_start(wn_sessions *s, uint64_t hash, wn_str name) {
  if (s->count >= s->options.sessions_max) session_end(s, s->oldest);
  char *copy = wn_strndup(name.ptr, name.len);
  uint64_t *at = copy != NULL ? wn_map64_at(&s->by_hash, hash) : NULL;
  uint32_t i = at != NULL ? slot_take(s) : NONE;
  if (i == NONE) {
    if (at != NULL) wn_map64_remove(&s->by_hash, hash);
    wn_free(copy);
    return NONE;
  }
  *at = i;
  *slot_at(s, i) = (session){.hash = hash, .name = copy, .name_len = name.len};
  list_push(s, i);
  s->count++;
  s->bytes += name.len + 1;
  return i;
}

/* Makes the ring hold `need` items if the limit lets it; straightens it on the way. */
static bool ring_reserve(wn_sessions *s, session *e, size_t need) {
  size_t max = s->options.served_max;
  if (need > max) need = max;
  if (need <= e->cap) return true;
  size_t cap = e->cap > 0 ? e->cap : 16;
  while (cap < need) cap *= 2;
  if (cap > max) cap = max;
  wn_item_ix *items = wn_reallocarray(NULL, cap, sizeof *items);
  if (items == NULL) return false;
  for (uint32_t k = 0; k < e->len; k++) items[k] = e->items[(e->begin + k) % e->cap];
  s->bytes += (cap - e->cap) * sizeof *items;
  wn_free(e->items);
  e->items = items;
  e->begin = 0;
  e->cap = (uint32_t)cap;
  return true;
}

static void ring_push(session *e, wn_item_ix item) {
  if (e->len == e->cap) {
    e->items[e->begin] = item;
    e->begin = (e->begin + 1) % e->cap;
  } else {
    e->items[(e->begin + e->len++) % e->cap] = item;
  }
}

static uint64_t name_hash(const wn_sessions *s, wn_str name) {
  return wn_hash64(name.ptr, name.len, s->seed);
}

wn_status wn_sessions_served(wn_sessions *s, wn_str name, int64_t now_ms, wn_arena *arena,
                             wn_item_list *out, wn_error *err) {
  wn_status status = WN_OK;
  *out = (wn_item_list){NULL, 0};
  pthread_mutex_lock(&s->mutex);
  expire(s, now_ms);
  uint32_t i = session_find(s, name_hash(s, name), name, now_ms);
  const session *e = i != NONE ? slot_at(s, i) : NULL;
  if (e != NULL && e->len > 0) {
    wn_item_ix *copy = wn_arena_alloc(arena, e->len * sizeof *copy);
    for (uint32_t k = 0; copy != NULL && k < e->len; k++)
      copy[k] = e->items[(e->begin + k) % e->cap];
    if (copy != NULL)
      *out = (wn_item_list){copy, e->len};
    else
      status = wn_fail_memory(err);
  }
  pthread_mutex_unlock(&s->mutex);
  return status;
}

wn_status wn_sessions_add(wn_sessions *s, wn_str name, int64_t now_ms, const wn_item_ix *items,
                          size_t len, wn_error *err) {
  wn_status status = WN_OK;
  pthread_mutex_lock(&s->mutex);
  expire(s, now_ms);
  uint64_t hash = name_hash(s, name);
  uint32_t i = session_find(s, hash, name, now_ms);
  if (i == NONE) i = session_start(s, hash, name);
  session *e = i != NONE ? slot_at(s, i) : NULL;
  if (e == NULL || !ring_reserve(s, e, e->len + len)) {
    status = wn_fail_memory(err);
  } else {
    for (size_t k = 0; k < len; k++) ring_push(e, items[k]);
    e->last_ms = now_ms;
    list_remove(s, i);
    list_push(s, i);
  }
  pthread_mutex_unlock(&s->mutex);
  return status;
}

static bool among(const wn_item_ix *items, size_t len, wn_item_ix item) {
  for (size_t i = 0; i < len; i++)
    if (items[i] == item) return true;
  return false;
}

void wn_sessions_remove(wn_sessions *s, wn_str name, const wn_item_ix *items, size_t len) {
  pthread_mutex_lock(&s->mutex);
  const uint64_t *at = wn_map64_find(&s->by_hash, name_hash(s, name));
  session *e = at != NULL ? slot_at(s, (uint32_t)*at) : NULL;
  if (e != NULL && wn_str_equal((wn_str){e->name, e->name_len}, name)) {
    uint32_t kept = 0;
    for (uint32_t k = 0; k < e->len; k++) {
      wn_item_ix item = e->items[(e->begin + k) % e->cap];
      if (!among(items, len, item)) e->items[(e->begin + kept++) % e->cap] = item;
    }
    e->len = kept;
  }
  pthread_mutex_unlock(&s->mutex);
}

void wn_sessions_end(wn_sessions *s, wn_str name) {
  pthread_mutex_lock(&s->mutex);
  const uint64_t *at = wn_map64_find(&s->by_hash, name_hash(s, name));
  uint32_t i = at != NULL ? (uint32_t)*at : NONE;
  if (i != NONE) {
    const session *e = slot_at(s, i);
    if (wn_str_equal((wn_str){e->name, e->name_len}, name)) session_end(s, i);
  }
  pthread_mutex_unlock(&s->mutex);
}

static pthread_mutex_t *stripe(wn_sessions *s, wn_str name) {
  return &s->stripes[name_hash(s, name) % STRIPES];
}

void wn_sessions_lock(wn_sessions *s, wn_str name) {
  pthread_mutex_lock(stripe(s, name));
}

void wn_sessions_unlock(wn_sessions *s, wn_str name) {
  pthread_mutex_unlock(stripe(s, name));
}

size_t wn_sessions_count(wn_sessions *s) {
  pthread_mutex_lock(&s->mutex);
  size_t count = s->count;
  pthread_mutex_unlock(&s->mutex);
  return count;
}

size_t wn_sessions_bytes(wn_sessions *s) {
  pthread_mutex_lock(&s->mutex);
  size_t bytes = sizeof *s + s->bytes + s->slots.cap * sizeof *s->slots.data + s->by_hash.cap * 17;
  pthread_mutex_unlock(&s->mutex);
  return bytes;
}
