/* What was shown and what came of it. */
#include "serve/server_internal.h"
#include "serve/stats.h"

#include "lab/stats.h"

static void put_int(wn_json *json, const char *key, uint64_t value) {
  wn_json_key(json, key);
  wn_json_int(json, (int64_t)value);
}

/* A share with its interval (Wilson, 95 %), or null where there is nothing to share. */
static void put_share(wn_json *json, const char *key, uint64_t part, uint64_t of) {
  wn_json_key(json, key);
  if (of == 0) {
    wn_json_null(json);
    return;
  }
  wn_estimate e = wn_wilson((double)part, (double)of, 0.05);
  wn_json_object(json);
  wn_json_key(json, "value");
  wn_json_double(json, (double)part / (double)of);
  wn_json_key(json, "low");
  wn_json_double(json, e.low);
  wn_json_key(json, "high");
  wn_json_double(json, e.high);
  wn_json_end_object(json);
}

static void put_shown(wn_json *json, const wn_shown *shown) {
  put_int(json, "slates", shown->slates);
  put_int(json, "impressions", shown->impressions);
  put_int(json, "answered", shown->answered);
  put_int(json, "disliked", shown->disliked);
  put_int(json, "responded", shown->responded);
  put_share(json, "click_through", shown->answered, shown->impressions);
}

static void put_surfaces(wn_json *json, const wn_overview *overview) {
  wn_json_key(json, "surfaces");
  wn_json_array(json);
  for (size_t i = 0; i < overview->surfaces_len; i++) {
    wn_json_object(json);
    wn_json_key(json, "name");
    wn_json_cstring(json, overview->surfaces[i].name);
    put_shown(json, &overview->surfaces[i].shown);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

static void put_buckets(wn_json *json, const wn_overview *overview) {
  wn_json_key(json, "buckets");
  wn_json_array(json);
  for (size_t i = 0; i < WN_STATS_BUCKETS; i++) {
    const wn_shown *bucket = &overview->buckets[i];
    int64_t span = overview->until_ms - overview->since_ms;
    wn_json_object(json);
    put_int(json, "from_ms", (uint64_t)(overview->since_ms + span * (int64_t)i / WN_STATS_BUCKETS));
    put_int(json, "slates", bucket->slates);
    put_int(json, "impressions", bucket->impressions);
    put_int(json, "answered", bucket->answered);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

wn_status wn_route_stats(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"hours", NULL};
  wn_status status = WN_OK;
  int64_t hours = 24;
  wn_overview overview;
  wn_json json;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(wn_query_int(&http->query, "hours", 1, WN_STATS_HOURS_MAX, &hours, err));
  WN_TRY(wn_overview_get(http->engine, (uint32_t)hours, &overview, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  put_int(&json, "since_ms", (uint64_t)overview.since_ms);
  put_int(&json, "until_ms", (uint64_t)overview.until_ms);
  put_shown(&json, &overview.all);
  put_int(&json, "items_servable", overview.items_servable);
  put_int(&json, "items_shown", overview.items_shown);
  put_int(&json, "items_for_half", overview.items_for_half);
  put_surfaces(&json, &overview);
  put_buckets(&json, &overview);
  wn_json_end_object(&json);
cleanup:
  return status;
}

static void put_types(wn_json *json, const wn_dict *types, const wn_item_stats *stats) {
  wn_json_key(json, "types");
  wn_json_object(json);
  for (uint32_t t = 0; t < WN_EVENT_TYPES_MAX && t < wn_dict_count(types); t++) {
    if (stats->by_type[t] == 0) continue;
    wn_json_key_str(json, wn_dict_key(types, t));
    wn_json_int(json, (int64_t)stats->by_type[t]);
  }
  wn_json_end_object(json);
}

static void put_newest(wn_json *json, wn_store *store, const wn_item_stats *stats) {
  wn_json_key(json, "newest");
  wn_json_array(json);
  for (size_t i = 0; i < stats->newest_len; i++) {
    const wn_stored_event *event = &stats->newest[i];
    wn_json_object(json);
    wn_json_key(json, "user");
    wn_json_string(json, wn_dict_key(wn_store_users(store), event->user));
    wn_json_key(json, "type");
    wn_json_string(json, wn_dict_key(wn_store_types(store), event->type));
    wn_json_key(json, "value");
    wn_json_double(json, event->value); /* none: null */
    wn_json_key(json, "time_ms");
    wn_json_int(json, event->time_ms);
    wn_json_end_object(json);
  }
  wn_json_end_array(json);
}

wn_status wn_route_item_stats(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  wn_status status = WN_OK;
  wn_item_ix item;
  wn_item_status live;
  wn_json json;
  wn_store *store = wn_engine_store(http->engine);
  WN_TRY(wn_query_check(&http->query, none, NULL, err));
  if (!wn_engine_item_known(http->engine, http->id, &item, &live) || live == WN_ITEM_DELETED)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "id", "no such item"));
  wn_item_stats *stats = wn_arena_alloc(&http->arena, sizeof *stats);
  if (stats == NULL) WN_TRY(wn_fail_memory(err));
  WN_TRY(wn_item_stats_get(http->engine, item, stats, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "item");
  wn_json_string(&json, http->id);
  put_int(&json, "events", stats->events);
  put_int(&json, "users", stats->users);
  put_int(&json, "events_looked_at", stats->events_looked_at);
  put_types(&json, wn_store_types(store), stats);
  wn_json_key(&json, "days");
  wn_json_array(&json);
  for (size_t i = 0; i < WN_STATS_DAYS; i++) wn_json_int(&json, stats->by_day[i]);
  wn_json_end_array(&json);
  put_newest(&json, store, stats);
  wn_json_key(&json, "shown");
  wn_json_object(&json);
  put_shown(&json, &stats->shown);
  wn_json_end_object(&json);
  wn_json_end_object(&json);
cleanup:
  return status;
}
