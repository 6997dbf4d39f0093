/* What was shown and what came of it (exposure.h).
 *
 * Slates and their items lie in two rings, by ever growing numbers; the oldest leave when either is
 * full. A user's slates are chained from the newest to the oldest, across surfaces, through the
 * hash of her id, so that users count who are not known yet. A chain ends where it meets a number
 * that has left. Costs: a slate one look-up an item; an answer the user's slates back to the one
 * that showed the item; fatigue all of the user's slates in the ring, once a request.
 *
 * Which items have enough impressions is kept as one bitmap for each (surface, below) that was ever
 * asked for, so that a request needs no look-up for each item of the catalogue. */
#include "online/exposure.h"

#include "base/map64.h"
#include "base/mem.h"
#include "base/vec.h"

#include <math.h>
#include <pthread.h>

#define SURFACES_MAX  256 /* further names are not counted */
#define WATCHES_MAX   256
#define ITEMS_A_SLATE 4 /* at least so many, or the ring of items is never full */

typedef struct slate {
  uint64_t id, user;    /* hashes; id 0: withdrawn; user 0: none */
  uint64_t user_before; /* number of her slate before this one, + 1; 0: none */
  uint64_t first;       /* number of its first item */
  int64_t time_ms;
  uint32_t len;
  uint16_t surface;
} slate;

typedef struct watch {
  uint32_t below;
  uint16_t surface;
  wn_bitset warm; /* shown so often */
} watch;

struct wn_exposure {
  wn_exposure_options options;
  pthread_mutex_t lock;            /* of what follows */
  slate *slates;                   /* ring of slates_cap */
  wn_item_ix *items;               /* ring of options.impressions_max */
  uint8_t *answered;               /* likewise */
  wn_context_row *context;         /* likewise; NULL: no slate had any */
  wn_linear *linear[SURFACES_MAX]; /* NULL: likewise */
  size_t slates_cap;
  uint64_t oldest, next;           /* numbers of slates */
  uint64_t next_item;              /* number */
  wn_map64 by_id, by_user;         /* hash → number + 1; of a user the newest */
  wn_map64 counts;                 /* surface << 32 | item → answered << 32 | shown */
  uint64_t surfaces[SURFACES_MAX]; /* hashes of names */
  wn_tally all[SURFACES_MAX];
  size_t surfaces_len;
  watch watches[WATCHES_MAX];
  size_t watches_len;
};

void wn_exposure_options_defaults(wn_exposure_options *options) {
  *options = (wn_exposure_options){.impressions_max = 4000000, .window_ms = 86400000};
}

wn_exposure *wn_exposure_create(const wn_exposure_options *options) {
  wn_exposure *e = wn_calloc(1, sizeof *e);
  if (e == NULL) return NULL;
  e->options = *options;
  e->slates_cap = options->impressions_max / ITEMS_A_SLATE + 1;
  e->slates = wn_calloc(e->slates_cap, sizeof *e->slates); /* pages come as they are used */
  e->items = wn_calloc(options->impressions_max, sizeof *e->items);
  e->answered = wn_calloc(options->impressions_max, 1);
  pthread_mutex_init(&e->lock, NULL);
  if (e->slates != NULL && e->items != NULL && e->answered != NULL) return e;
  wn_exposure_free(e);
  return NULL;
}

void wn_exposure_free(wn_exposure *e) {
  if (e == NULL) return;
  pthread_mutex_destroy(&e->lock);
  wn_free(e->slates);
  wn_free(e->items);
  wn_free(e->answered);
  wn_free(e->context);
  for (size_t i = 0; i < SURFACES_MAX; i++) wn_free(e->linear[i]);
  wn_map64_clear(&e->by_id);
  wn_map64_clear(&e->by_user);
  wn_map64_clear(&e->counts);
  for (size_t i = 0; i < e->watches_len; i++) wn_bitset_clear(&e->watches[i].warm);
  wn_free(e);
}

static uint64_t hash_of(wn_str s) {
  uint64_t hash = wn_hash64(s.ptr, s.len, 0);
  return hash != 0 ? hash : 1;
}

static slate *slate_at(const wn_exposure *e, uint64_t number) {
  return &e->slates[number % e->slates_cap];
}

static size_t item_at(const wn_exposure *e, const slate *s, size_t i) {
  return (size_t)((s->first + i) % e->options.impressions_max);
}

/* The slate of a map's entry; NULL: none, or it has left. */
static slate *slate_of(const wn_exposure *e, uint64_t number_and_one) {
  return number_and_one > e->oldest ? slate_at(e, number_and_one - 1) : NULL;
}

static slate *find_slate(const wn_exposure *e, wn_str id) {
  const uint64_t *at = wn_map64_find(&e->by_id, hash_of(id));
  return at != NULL ? slate_of(e, *at) : NULL;
}

static slate *newest_of(const wn_exposure *e, wn_str user) {
  const uint64_t *at = user.len > 0 ? wn_map64_find(&e->by_user, hash_of(user)) : NULL;
  return at != NULL ? slate_of(e, *at) : NULL;
}

/* SURFACES_MAX: not one that is counted. */
static size_t surface_of(const wn_exposure *e, wn_str name) {
  uint64_t hash = hash_of(name);
  for (size_t i = 0; i < e->surfaces_len; i++)
    if (e->surfaces[i] == hash) return i;
  return SURFACES_MAX;
}

static uint64_t count_key(size_t surface, wn_item_ix item) {
  return (uint64_t)surface << 32 | item;
}

static uint32_t shown_of(const wn_exposure *e, size_t surface, wn_item_ix item) {
  const uint64_t *count = wn_map64_find(&e->counts, count_key(surface, item));
  return count != NULL ? (uint32_t)*count : 0;
}

/* --- watches --- */

static bool mark_warm(watch *w, wn_item_ix item) {
  if (item >= w->warm.bits && !wn_bitset_grow(&w->warm, 2 * (size_t)item + 64)) return false;
  wn_bitset_set(&w->warm, item);
  return true;
}

/* NULL: no memory, or too many. */
static watch *watch_of(wn_exposure *e, size_t surface, uint32_t below) {
  uint64_t key, count;
  size_t at = 0;
  for (size_t i = 0; i < e->watches_len; i++)
    if (e->watches[i].surface == surface && e->watches[i].below == below) return &e->watches[i];
  if (e->watches_len == WATCHES_MAX) return NULL;
  watch *w = &e->watches[e->watches_len];
  *w = (watch){.below = below, .surface = (uint16_t)surface};
  bool good = wn_bitset_init(&w->warm, 64);
  while (good && wn_map64_next(&e->counts, &at, &key, &count))
    if (key >> 32 == surface && (uint32_t)count >= below) good = mark_warm(w, (wn_item_ix)key);
  if (good) return &e->watches[e->watches_len++];
  wn_bitset_clear(&w->warm);
  return NULL;
}

/* --- slates --- */

static void drop_oldest(wn_exposure *e) {
  const slate *s = slate_at(e, e->oldest);
  const uint64_t *head = s->user != 0 ? wn_map64_find(&e->by_user, s->user) : NULL;
  if (s->id != 0) (void)wn_map64_remove(&e->by_id, s->id);
  if (head != NULL && *head == e->oldest + 1) (void)wn_map64_remove(&e->by_user, s->user);
  e->oldest++;
}

static bool count_shown(wn_exposure *e, size_t surface, wn_item_ix item) {
  uint64_t *count = wn_map64_at(&e->counts, count_key(surface, item));
  if (count == NULL) return false;
  if ((uint32_t)*count != UINT32_MAX) ++*count;
  e->all[surface].shown++;
  for (size_t i = 0; i < e->watches_len; i++) {
    watch *w = &e->watches[i];
    if (w->surface == surface && (uint32_t)*count >= w->below && !mark_warm(w, item)) return false;
  }
  return true;
}

static void uncount_shown(wn_exposure *e, size_t surface, wn_item_ix item, bool answered) {
  uint64_t *count = wn_map64_find(&e->counts, count_key(surface, item));
  if (count == NULL || (uint32_t)*count == 0) return;
  *count -= 1 + ((uint64_t)answered << 32);
  e->all[surface].shown--;
  e->all[surface].answered -= answered;
  for (size_t i = 0; i < e->watches_len; i++) {
    watch *w = &e->watches[i];
    if (w->surface == surface && (uint32_t)*count < w->below) wn_bitset_unset(&w->warm, item);
  }
}

/* --- contexts --- */

static bool has_context(const wn_exposed_slate *in) {
  return in->context.ptr != NULL && in->context.len == in->len * sizeof(wn_context_row);
}

static wn_context_row context_of(const wn_exposed_slate *in, size_t i) {
  wn_context_row row = {{0}};
  if (has_context(in)) memcpy(&row, in->context.ptr + i * sizeof row, sizeof row);
  return row;
}

/* Once there is one; false: no memory. */
static bool keep_contexts(wn_exposure *e, size_t surface) {
  if (e->context == NULL) e->context = wn_calloc(e->options.impressions_max, sizeof *e->context);
  if (e->linear[surface] == NULL) e->linear[surface] = wn_calloc(1, sizeof *e->linear[surface]);
  return e->context != NULL && e->linear[surface] != NULL;
}

static bool is_empty(const wn_context_row *row) {
  for (size_t i = 0; i < WN_LINEAR; i++)
    if (row->x[i] != 0) return false;
  return true;
}

/* times −1: takes it back. */
static void learn_shown(wn_exposure *e, size_t surface, size_t at, double times) {
  const wn_context_row *row = e->context != NULL ? &e->context[at] : NULL;
  wn_linear *linear = e->linear[surface];
  if (row == NULL || linear == NULL || is_empty(row)) return;
  for (size_t i = 0; i < WN_LINEAR; i++)
    for (size_t j = 0; j <= i; j++) linear->a[i][j] += times * row->x[i] * row->x[j];
  linear->shown += times > 0 ? 1 : UINT64_MAX;
}

static void learn_answered(wn_exposure *e, size_t surface, size_t at, double times) {
  if (e->context == NULL || e->linear[surface] == NULL) return;
  for (size_t i = 0; i < WN_LINEAR; i++) e->linear[surface]->b[i] += times * e->context[at].x[i];
}

/* Makes room, too. */
static bool push_slate(wn_exposure *e, const wn_exposed_slate *in, size_t surface) {
  size_t len = in->len < e->options.impressions_max ? in->len : e->options.impressions_max;
  while (e->next > e->oldest &&
         (e->next - e->oldest == e->slates_cap ||
          e->next_item + len - slate_at(e, e->oldest)->first > e->options.impressions_max))
    drop_oldest(e);
  slate *s = slate_at(e, e->next);
  *s = (slate){.id = hash_of(in->id),
               .user = in->user.len > 0 ? hash_of(in->user) : 0,
               .first = e->next_item,
               .time_ms = in->time_ms,
               .len = (uint32_t)len,
               .surface = (uint16_t)surface};
  uint64_t *by_id = wn_map64_at(&e->by_id, s->id);
  if (by_id == NULL) return false;
  uint64_t *newest = s->user != 0 ? wn_map64_at(&e->by_user, s->user) : NULL;
  if (s->user != 0 && newest == NULL) {
    (void)wn_map64_remove(&e->by_id, s->id);
    return false;
  }
  *by_id = ++e->next;
  if (newest != NULL) {
    s->user_before = *newest;
    *newest = e->next;
  }
  e->next_item += len;
  for (size_t i = 0; i < len; i++) {
    size_t at = item_at(e, s, i);
    e->items[at] = in->items[i];
    e->answered[at] = 0;
    if (e->context != NULL) e->context[at] = context_of(in, i);
    learn_shown(e, surface, at, 1);
  }
  return true;
}

static bool is_late(const wn_exposure *e, size_t surface, const wn_exposure_claim *claims,
                    size_t len) {
  for (size_t i = 0; i < len; i++)
    if (surface < SURFACES_MAX && shown_of(e, surface, claims[i].item) >= claims[i].below)
      return true;
  return false;
}

static bool add(wn_exposure *e, const wn_exposed_slate *in, size_t surface) {
  if (surface == SURFACES_MAX && e->surfaces_len < SURFACES_MAX) {
    surface = e->surfaces_len++;
    e->surfaces[surface] = hash_of(in->surface);
  }
  if (surface == SURFACES_MAX) return true;
  if (has_context(in) && !keep_contexts(e, surface)) return false;
  if (!push_slate(e, in, surface)) return false;
  for (size_t i = 0; i < in->len; i++)
    if (!count_shown(e, surface, in->items[i])) return false;
  return true;
}

wn_status wn_exposure_add(wn_exposure *e, const wn_exposed_slate *in,
                          const wn_exposure_claim *claims, size_t claims_len, bool *refused,
                          wn_error *err) {
  pthread_mutex_lock(&e->lock);
  bool good = true, late = false;
  if (find_slate(e, in->id) == NULL) {
    size_t surface = surface_of(e, in->surface);
    late = is_late(e, surface, claims, claims_len);
    if (!late) good = add(e, in, surface);
  }
  pthread_mutex_unlock(&e->lock);
  if (refused != NULL) *refused = late;
  return good ? WN_OK : wn_fail_memory(err);
}

void wn_exposure_withdraw(wn_exposure *e, wn_str id) {
  pthread_mutex_lock(&e->lock);
  slate *s = find_slate(e, id);
  for (size_t i = 0; s != NULL && i < s->len; i++) {
    size_t at = item_at(e, s, i);
    uncount_shown(e, s->surface, e->items[at], e->answered[at]);
    learn_shown(e, s->surface, at, -1);
    if (e->answered[at]) learn_answered(e, s->surface, at, -1);
  }
  if (s != NULL) {
    (void)wn_map64_remove(&e->by_id, s->id);
    s->id = s->len = 0; /* stays as a link of its user's chain */
  }
  pthread_mutex_unlock(&e->lock);
}

/* --- answers --- */

static bool answer_in(wn_exposure *e, const slate *s, wn_item_ix item) {
  for (size_t i = 0; i < s->len; i++) {
    size_t at = item_at(e, s, i);
    if (e->items[at] != item) continue;
    uint64_t *count = wn_map64_find(&e->counts, count_key(s->surface, item));
    if (!e->answered[at] && count != NULL) {
      *count += (uint64_t)1 << 32;
      e->all[s->surface].answered++;
      learn_answered(e, s->surface, at, 1);
    }
    e->answered[at] = 1;
    return true;
  }
  return false;
}

void wn_exposure_answer(wn_exposure *e, wn_str id, wn_str user, wn_item_ix item, int64_t time_ms) {
  pthread_mutex_lock(&e->lock);
  if (id.len > 0) {
    const slate *s = find_slate(e, id);
    if (s != NULL) (void)answer_in(e, s, item);
  } else {
    for (const slate *s = newest_of(e, user); s != NULL; s = slate_of(e, s->user_before)) {
      if (s->time_ms > time_ms) continue;
      if (time_ms - s->time_ms > e->options.window_ms || answer_in(e, s, item)) break;
    }
  }
  pthread_mutex_unlock(&e->lock);
}

void wn_exposure_forget(wn_exposure *e, wn_str user) {
  pthread_mutex_lock(&e->lock);
  for (slate *s = newest_of(e, user), *before; s != NULL; s = before) {
    before = slate_of(e, s->user_before);
    s->user = s->user_before = 0;
  }
  if (user.len > 0) (void)wn_map64_remove(&e->by_user, hash_of(user));
  pthread_mutex_unlock(&e->lock);
}

/* --- questions --- */

void wn_exposure_tally(wn_exposure *e, wn_str name, const wn_item_ix *items, size_t len,
                       wn_tally *out, wn_tally *all) {
  pthread_mutex_lock(&e->lock);
  size_t surface = surface_of(e, name);
  for (size_t i = 0; i < len; i++) {
    const uint64_t *count =
        surface < SURFACES_MAX ? wn_map64_find(&e->counts, count_key(surface, items[i])) : NULL;
    out[i] = count != NULL ? (wn_tally){(uint32_t)*count, *count >> 32} : (wn_tally){0, 0};
  }
  if (all != NULL) *all = surface < SURFACES_MAX ? e->all[surface] : (wn_tally){0, 0};
  pthread_mutex_unlock(&e->lock);
}

wn_status wn_exposure_cold(wn_exposure *e, wn_str name, uint32_t below, wn_bitset *set,
                           wn_error *err) {
  wn_status status = WN_OK;
  pthread_mutex_lock(&e->lock);
  size_t surface = surface_of(e, name);
  if (surface < SURFACES_MAX) {
    const watch *w = watch_of(e, surface, below);
    if (w == NULL) status = wn_fail_memory(err);
    size_t words = (set->bits + 63) / 64, warm = w != NULL ? (w->warm.bits + 63) / 64 : 0;
    for (size_t i = 0; i < words && i < warm; i++) set->words[i] &= ~w->warm.words[i];
  }
  pthread_mutex_unlock(&e->lock);
  return status;
}

/* What is asked for, by item: its place in `out`, + 1; negative once it was answered. */
void wn_exposure_before(wn_exposure *e, const wn_exposure_whom *whom, const wn_item_ix *items,
                        size_t len, wn_before *out) {
  wn_map64 places = {0};
  for (size_t i = 0; i < len; i++) out[i] = (wn_before){0};
  pthread_mutex_lock(&e->lock);
  const slate *s = newest_of(e, whom->user);
  size_t surface = surface_of(e, whom->surface);
  for (size_t i = 0; s != NULL && i < len; i++) {
    uint64_t *place = wn_map64_at(&places, items[i]);
    if (place != NULL) *place = i + 1;
  }
  for (; s != NULL; s = slate_of(e, s->user_before)) {
    float weight = wn_before_weight(&whom->ask, s->time_ms);
    for (size_t i = 0; i < s->len; i++) {
      size_t at = item_at(e, s, i);
      uint64_t *place = wn_map64_find(&places, e->items[at]);
      if (place == NULL || *place == 0) continue;
      if (e->answered[at])
        *place = 0; /* what came before does not count */
      else if (whom->ask.everywhere || s->surface == surface)
        wn_before_add(&out[*place - 1], weight, s->time_ms);
    }
  }
  pthread_mutex_unlock(&e->lock);
  wn_map64_clear(&places);
}

void wn_exposure_linear(wn_exposure *e, wn_str name, wn_linear *out) {
  pthread_mutex_lock(&e->lock);
  size_t surface = surface_of(e, name);
  *out =
      surface < SURFACES_MAX && e->linear[surface] != NULL ? *e->linear[surface] : (wn_linear){0};
  pthread_mutex_unlock(&e->lock);
}

uint64_t wn_exposure_digest(wn_exposure *e) {
  uint64_t sum = 0, key, count;
  size_t at = 0;
  pthread_mutex_lock(&e->lock);
  while (wn_map64_next(&e->counts, &at, &key, &count)) {
    const uint64_t row[3] = {e->surfaces[key >> 32], (uint32_t)key, count};
    if (count != 0) sum += wn_hash64(row, sizeof row, 0);
  }
  for (size_t i = 0; i < e->surfaces_len; i++)
    if (e->linear[i] != NULL && e->linear[i]->shown > 0)
      sum += wn_hash64(e->linear[i], sizeof *e->linear[i], e->surfaces[i]);
  pthread_mutex_unlock(&e->lock);
  return sum;
}

size_t wn_exposure_bytes(wn_exposure *e) {
  pthread_mutex_lock(&e->lock);
  uint64_t slates = e->next < e->slates_cap ? e->next : e->slates_cap;
  uint64_t items =
      e->next_item < e->options.impressions_max ? e->next_item : e->options.impressions_max;
  size_t bytes = sizeof *e + (size_t)slates * sizeof(slate) +
                 (size_t)items * (5 + (e->context != NULL ? sizeof *e->context : 0)) +
                 (e->by_id.cap + e->by_user.cap + e->counts.cap) * 17;
  for (size_t i = 0; i < e->watches_len; i++) bytes += e->watches[i].warm.bits / 8;
  pthread_mutex_unlock(&e->lock);
  return bytes;
}
