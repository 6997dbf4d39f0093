#include "serve/stats.h"

#include "base/clock.h"
#include "base/map64.h"
#include "base/mem.h"
#include "store/answered.h"
#include <stdlib.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)

typedef struct counting {
  const wn_signals *signals;
  const wn_dict *types;
  wn_overview *overview; /* NULL: one item is counted */
  uint32_t *shown;       /* [items] */
  uint32_t items;
  wn_item_ix item;
  wn_shown *item_shown;
} counting;

/* What one answer says by its type: a liking, a dislike, or nothing. */
static int sign_of(const counting *c, uint32_t type) {
  uint32_t at = wn_signals_find(c->signals, wn_dict_key(c->types, type));
  float weight = at == WN_NO_IX ? 1.0f : c->signals->data[at].weight;
  return weight > 0 ? 1 : weight < 0 ? -1 : 0;
}

static void add(wn_shown *to, const wn_shown *more) {
  to->slates += more->slates;
  to->impressions += more->impressions;
  to->answered += more->answered;
  to->disliked += more->disliked;
  to->responded += more->responded;
}

/* Each place counts once, however many events answer it. Answers come by seq, not by place: a slate
 * has few. */
static bool first_of_kind(const counting *c, const wn_answer *answers, size_t i, int sign) {
  for (size_t j = 0; j < i; j++)
    if (answers[j].position == answers[i].position && sign_of(c, answers[j].type) == sign)
      return false;
  return true;
}

static wn_shown count_slate(const counting *c, const wn_slate_log *slate, const wn_answer *answers,
                            size_t len) {
  wn_shown one = {.slates = 1, .impressions = slate->len};
  for (size_t i = 0; i < len; i++) {
    int sign = sign_of(c, answers[i].type);
    if (answers[i].position == 0 || sign == 0 || !first_of_kind(c, answers, i, sign)) continue;
    one.answered += sign > 0;
    one.disliked += sign < 0;
  }
  one.responded = one.answered > 0;
  return one;
}

static wn_shown *surface_of(wn_overview *overview, wn_str name) {
  for (size_t i = 0; i < overview->surfaces_len; i++)
    if (wn_str_is(name, overview->surfaces[i].name)) return &overview->surfaces[i].shown;
  if (overview->surfaces_len == WN_SURFACES_MAX || name.len > WN_NAME_MAX) return NULL;
  wn_surface_shown *fresh = &overview->surfaces[overview->surfaces_len++];
  memcpy(fresh->name, name.ptr, name.len);
  return &fresh->shown;
}

static wn_status each_slate(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                            size_t len, wn_error *err) {
  counting *c = ctx;
  wn_overview *overview = c->overview;
  (void)err;
  wn_shown one = count_slate(c, slate, answers, len);
  add(&overview->all, &one);
  wn_shown *surface = surface_of(overview, slate->surface);
  if (surface != NULL) add(surface, &one);
  int64_t span = overview->until_ms - overview->since_ms, at = slate->time_ms - overview->since_ms;
  int64_t bucket = at * WN_STATS_BUCKETS / span;
  if (bucket >= WN_STATS_BUCKETS) bucket = WN_STATS_BUCKETS - 1;
  if (bucket >= 0) add(&overview->buckets[bucket], &one);
  for (size_t i = 0; i < slate->len; i++)
    if (slate->items[i] < c->items) c->shown[slate->items[i]]++;
  return WN_OK;
}

static int more_first(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? 1 : x > y ? -1 : 0;
}

/* Sorts the counts. */
static void concentration(counting *c) {
  uint64_t sum = 0;
  qsort(c->shown, c->items, sizeof *c->shown, more_first);
  while (c->overview->items_shown < c->items && c->shown[c->overview->items_shown] > 0)
    c->overview->items_shown++;
  for (uint64_t i = 0; i < c->overview->items_shown && 2 * sum < c->overview->all.impressions;
       i++) {
    sum += c->shown[i];
    c->overview->items_for_half++;
  }
}

wn_status wn_overview_get(wn_engine *engine, uint32_t hours, wn_overview *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_store *store = wn_engine_store(engine);
  wn_engine_stats stats;
  wn_answered_options options;
  wn_engine_stats_get(engine, &stats);
  *out = (wn_overview){.until_ms = wn_now_ms(), .items_servable = stats.items_servable};
  out->since_ms = out->until_ms - (int64_t)hours * 3600000;
  counting c = {.signals = &wn_engine_config(engine)->signals,
                .types = wn_store_types(store),
                .overview = out,
                .items = wn_dict_count(wn_store_items(store))};
  wn_answered_options_defaults(&options);
  options.since_ms = out->since_ms;
  c.shown = wn_calloc((size_t)c.items + 1, sizeof *c.shown);
  if (c.shown == NULL) return wn_fail_memory(err);
  WN_TRY(wn_store_scan_answered(store, &options, each_slate, &c, err));
  concentration(&c);
cleanup:
  wn_free(c.shown);
  return status;
}

/* One item ----------------------------------------------------------------------------- */

typedef struct item_count {
  wn_item_stats *out;
  wn_item_ix item;
  int64_t now_ms;
  wn_map64 users;
} item_count;

/* The newest by time, as a short sorted list. */
static void keep_newest(wn_item_stats *out, const wn_stored_event *event) {
  size_t at = out->newest_len;
  while (at > 0 && out->newest[at - 1].time_ms <= event->time_ms) at--;
  if (at == WN_STATS_AUDIENCE) return;
  size_t last = out->newest_len < WN_STATS_AUDIENCE ? out->newest_len++ : WN_STATS_AUDIENCE - 1;
  for (size_t i = last; i > at; i--) out->newest[i] = out->newest[i - 1];
  out->newest[at] = *event;
  out->newest[at].slate = (wn_str){NULL, 0};
}

static wn_status each_event(void *ctx, const wn_stored_event *event, wn_error *err) {
  item_count *c = ctx;
  c->out->events_looked_at++;
  if (event->item != c->item) return WN_OK;
  c->out->events++;
  if (event->type < WN_EVENT_TYPES_MAX) c->out->by_type[event->type]++;
  int64_t days = (c->now_ms - event->time_ms) / DAY_MS;
  if (days >= 0 && days < WN_STATS_DAYS) c->out->by_day[WN_STATS_DAYS - 1 - days]++;
  keep_newest(c->out, event);
  if (wn_map64_at(&c->users, event->user) == NULL) return wn_fail_memory(err);
  return WN_OK;
}

static wn_status each_slate_of_item(void *ctx, const wn_slate_log *slate, const wn_answer *answers,
                                    size_t len, wn_error *err) {
  counting *c = ctx;
  (void)err;
  size_t place = 0;
  while (place < slate->len && slate->items[place] != c->item) place++;
  if (place == slate->len) return WN_OK;
  c->item_shown->slates++;
  c->item_shown->impressions++;
  bool answered = false, disliked = false;
  for (size_t i = 0; i < len; i++) {
    if (answers[i].position != place + 1) continue;
    answered = answered || sign_of(c, answers[i].type) > 0;
    disliked = disliked || sign_of(c, answers[i].type) < 0;
  }
  c->item_shown->answered += answered;
  c->item_shown->responded += answered;
  c->item_shown->disliked += disliked;
  return WN_OK;
}

wn_status wn_item_stats_get(wn_engine *engine, wn_item_ix item, wn_item_stats *out, wn_error *err) {
  wn_status status = WN_OK;
  wn_store *store = wn_engine_store(engine);
  wn_engine_stats stats;
  wn_answered_options options;
  wn_engine_stats_get(engine, &stats);
  *out = (wn_item_stats){.events = 0};
  item_count c = {.out = out, .item = item, .now_ms = wn_now_ms()};
  counting shown = {.signals = &wn_engine_config(engine)->signals,
                    .types = wn_store_types(store),
                    .item = item,
                    .item_shown = &out->shown};
  wn_map64_init(&c.users);
  uint64_t last = stats.last_seq;
  uint64_t after = last > WN_STATS_EVENTS_MAX ? last - WN_STATS_EVENTS_MAX : 0;
  WN_TRY(wn_store_scan_events(store, after, 0, each_event, &c, err));
  out->users = c.users.len;
  wn_answered_options_defaults(&options);
  options.since_ms = c.now_ms - DAY_MS;
  WN_TRY(wn_store_scan_answered(store, &options, each_slate_of_item, &shown, err));
cleanup:
  wn_map64_clear(&c.users);
  return status;
}
