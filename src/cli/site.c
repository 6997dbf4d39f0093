#include "cli/site.h"

#include "base/clock.h"
#include "base/mem.h"
#include "lab/world_fit.h"

#include <stdio.h>
#include <string.h>

#define BATCH   500 /* items */
#define WAITING 200 /* events */
#define DAY_MS  86400000.0
#define N       10 /* items of a slate of the history */

enum { NOT_YET, THERE, GONE };

void wn_site_options_defaults(wn_site_options *options) {
  *options =
      (wn_site_options){.url = "http://127.0.0.1:8088", .surface = "home", .visits_a_day = 1000};
  wn_world_options_defaults(&options->world);
}

static int64_t time_at(const wn_site *s, double day) {
  int64_t start = s->options.start_ms > 0 ? s->options.start_ms : wn_now_ms();
  return start + (int64_t)(day * DAY_MS);
}

/* ---- items ---- */

static void write_item(const wn_site *s, uint32_t i, bool gone, wn_json *json) {
  char id[32], title[64], topic[16];
  unsigned main_topic = s->world.main_topic[i];
  snprintf(id, sizeof id, "sim-i%u", i);
  snprintf(title, sizeof title, "Item %u of topic %u", i, main_topic);
  snprintf(topic, sizeof topic, "t%u", main_topic);
  wn_json_object(json);
  wn_json_key(json, "id");
  wn_json_cstring(json, id);
  wn_json_key(json, "title");
  wn_json_cstring(json, title);
  if (gone) {
    wn_json_key(json, "status");
    wn_json_cstring(json, "hidden");
  }
  wn_json_key(json, "created");
  wn_json_int(json, time_at(s, (double)s->world.born[i]));
  wn_json_key(json, "attributes");
  wn_json_object(json);
  wn_json_key(json, "topic");
  wn_json_cstring(json, topic);
  wn_json_end_object(json);
  wn_json_end_object(json);
}

/* Puts what was born up to this day and hides what has gone. */
static wn_status put_items(wn_site *s, double day, wn_error *err) {
  wn_status status = WN_OK;
  wn_buf body = {0};
  for (uint32_t i = 0; i < s->world.options.items;) {
    wn_json json;
    size_t count = 0;
    wn_buf_reset(&body);
    wn_json_init(&json, &body);
    wn_json_object(&json);
    wn_json_key(&json, "items");
    wn_json_array(&json);
    for (; i < s->world.options.items && count < BATCH; i++) {
      uint8_t is = (double)s->world.born[i] > day      ? NOT_YET
                   : wn_world_alive(&s->world, i, day) ? THERE
                                                       : GONE;
      if (is == s->there[i]) continue;
      s->there[i] = is;
      write_item(s, i, is == GONE, &json);
      count++;
    }
    wn_json_end_array(&json);
    wn_json_end_object(&json);
    if (count > 0) WN_TRY(wn_sim_post(s->client, "/v1/items", &body, err));
  }
cleanup:
  wn_buf_clear(&body);
  return status;
}

/* ---- events ---- */

typedef struct deed {
  uint32_t user, item;
  const char *slate; /* NULL: of no slate */
  int64_t time_ms;   /* 0: now */
} deed;

static void write_event(wn_site *s, const deed *d, const char *type) {
  wn_json *json = &s->events;
  char id[32];
  wn_json_object(json);
  snprintf(id, sizeof id, "sim-u%u", d->user);
  wn_json_key(json, "user");
  wn_json_cstring(json, id);
  snprintf(id, sizeof id, "sim-i%u", d->item);
  wn_json_key(json, "item");
  wn_json_cstring(json, id);
  wn_json_key(json, "type");
  wn_json_cstring(json, type);
  if (d->slate != NULL) {
    wn_json_key(json, "slate");
    wn_json_cstring(json, d->slate);
  }
  if (d->time_ms > 0) {
    wn_json_key(json, "time");
    wn_json_int(json, d->time_ms);
  }
  wn_json_end_object(json);
  s->waiting++;
  s->has_waiting[d->user] = 1;
}

static void begin_events(wn_site *s) {
  wn_buf_reset(&s->body);
  wn_json_init(&s->events, &s->body);
  wn_json_object(&s->events);
  wn_json_key(&s->events, "events");
  wn_json_array(&s->events);
  memset(s->has_waiting, 0, s->world.options.users);
  s->waiting = 0;
}

wn_status wn_site_flush(wn_site *s, wn_error *err) {
  wn_status status = WN_OK;
  if (s->waiting == 0) return WN_OK;
  wn_json_end_array(&s->events);
  wn_json_end_object(&s->events);
  WN_TRY(wn_sim_post(s->client, "/v1/events", &s->body, err));
  begin_events(s);
cleanup:
  return status;
}

/* Each thing a second after the one before it. */
static void tell(wn_site *s, const wn_visit *v, const char *slate, int64_t time_ms) {
  for (size_t k = 0; k < v->len; k++) {
    const wn_browsed *b = &v->browsed[k];
    int64_t at = time_ms > 0 ? time_ms + 1000 * (int64_t)(k + 1) : 0;
    deed d = {v->visitor.user, v->items[k], slate, at};
    if (b->clicked) write_event(s, &d, "click");
    if (b->clicked && s->clicks != NULL) fprintf(s->clicks, "%u %u\n", d.user, d.item);
    if (b->finished) write_event(s, &d, "finish");
    if (b->liked) write_event(s, &d, "like");
  }
}

/* ---- visits ---- */

wn_status wn_site_history(wn_site *s, uint64_t visits, wn_error *err) {
  wn_status status = WN_OK;
  wn_visit v = {.len = N};
  if (visits == 0) return WN_OK;
  wn_crowd_restart(&s->crowd, -WN_SITE_HISTORY_DAYS, (double)visits / WN_SITE_HISTORY_DAYS);
  while (wn_crowd_next(&s->crowd, &v.visitor) && v.visitor.day < 0) {
    uint32_t tries = 0;
    for (size_t k = 0; k < v.len; tries++) {
      v.items[k] = (uint32_t)wn_rng_below(&s->rng, s->world.options.items);
      k += wn_world_alive(&s->world, v.items[k], v.visitor.day) || tries > 1000;
    }
    wn_world_browse(&s->world, &v.visitor, v.items, v.len, &s->rng, v.browsed);
    wn_crowd_visited(&s->crowd, v.items, v.browsed, v.len);
    tell(s, &v, NULL, time_at(s, v.visitor.day));
    if (s->waiting >= WAITING) WN_TRY(wn_site_flush(s, err));
  }
  WN_TRY(wn_site_flush(s, err));
  wn_crowd_restart(&s->crowd, 0, s->options.visits_a_day);
cleanup:
  return status;
}

/* The world's items of a slate; others of the catalogue are nothing to its users. */
static size_t known_items(const wn_sim_slate *slate, uint32_t items_len, uint32_t *items) {
  size_t len = 0;
  for (size_t k = 0; k < slate->len && len < WN_WORLD_SLATE_MAX; k++)
    if (slate->items[k] < items_len) items[len++] = slate->items[k];
  return len;
}

static void judge(wn_site *s, wn_visit *v) {
  uint32_t best[WN_WORLD_SLATE_MAX];
  size_t len = wn_world_best(&s->world, &v->visitor, best, v->len, s->scratch);
  v->value = wn_world_value(&s->world, &v->visitor, v->items, v->len);
  v->any_click = wn_world_any_click(&s->world, &v->visitor, v->items, v->len);
  v->best = wn_world_value(&s->world, &v->visitor, best, len);
  if (v->best < v->value) v->best = v->value; /* the cascade's end made another order better */
}

/* A new day on the world's clock: items come and go. */
static wn_status reach(wn_site *s, double day, wn_error *err) {
  wn_status status = WN_OK;
  bool changes = s->world.options.born_share > 0 || s->world.options.life_days > 0;
  if (s->options.start_ms > 0) WN_TRY(wn_sim_clock(s->client, time_at(s, day), err));
  if (changes && (int64_t)(day * 24) != (int64_t)(s->day * 24)) WN_TRY(put_items(s, day, err));
  s->day = day;
cleanup:
  return status;
}

wn_status wn_site_visit(wn_site *s, wn_visit *v, bool *came, wn_error *err) {
  wn_status status = WN_OK;
  wn_sim_slate slate;
  *came = wn_crowd_next(&s->crowd, &v->visitor);
  if (!*came) return WN_OK;
  WN_TRY(reach(s, v->visitor.day, err));
  if (s->has_waiting[v->visitor.user] || s->waiting >= WAITING) WN_TRY(wn_site_flush(s, err));
  wn_sim_ask ask = {s->options.surface, v->visitor.user, s->options.n, s->options.experiment};
  WN_TRY(wn_sim_slate_get(s->client, &ask, &slate, err));
  snprintf(v->arm, sizeof v->arm, "%s", slate.arm);
  v->len = known_items(&slate, s->world.options.items, v->items);
  judge(s, v);
  wn_world_browse(&s->world, &v->visitor, v->items, v->len, &s->rng, v->browsed);
  tell(s, v, slate.id, s->options.start_ms > 0 ? time_at(s, v->visitor.day) : 0);
  wn_crowd_visited(&s->crowd, v->items, v->browsed, v->len);
cleanup:
  return status;
}

/* ---- life ---- */

wn_status wn_site_connect(wn_site *s, const char *url, wn_error *err) {
  wn_http_client_free(s->client);
  s->client = NULL;
  wn_status status = wn_http_client_create(url, s->options.key, &s->client, err);
  if (status == WN_OK && s->options.start_ms > 0)
    status = wn_sim_clock(s->client, time_at(s, s->day), err);
  return status;
}

wn_status wn_site_create(const wn_site_options *options, wn_site *out, wn_error *err) {
  wn_status status = WN_OK;
  *out = (wn_site){.options = *options};
  wn_rng_seed(&out->rng, options->world.seed + 1);
  if (options->like != NULL)
    WN_TRY(wn_world_fit(&options->world, options->like, &out->world, err));
  else
    WN_TRY(wn_world_create(&options->world, &out->world, err));
  const wn_world_options *world = &out->world.options;
  WN_TRY(wn_crowd_create(&out->world, options->visits_a_day, world->seed + 2, &out->crowd, err));
  out->has_waiting = wn_calloc(world->users, 1);
  out->there = wn_calloc(world->items, 1);
  out->scratch = wn_calloc(world->items, sizeof *out->scratch);
  if (out->has_waiting == NULL || out->there == NULL || out->scratch == NULL)
    WN_TRY(wn_fail_memory(err));
  begin_events(out);
  WN_TRY(wn_site_connect(out, options->url, err));
  WN_TRY(put_items(out, 0, err));
cleanup:
  if (status != WN_OK) wn_site_clear(out);
  return status;
}

void wn_site_clear(wn_site *s) {
  wn_http_client_free(s->client);
  wn_crowd_clear(&s->crowd);
  wn_world_clear(&s->world);
  wn_buf_clear(&s->body);
  wn_free(s->has_waiting);
  wn_free(s->there);
  wn_free(s->scratch);
  *s = (wn_site){0};
}
