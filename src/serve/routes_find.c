/* Looking for items and users, and what users have met. */
#include "serve/find.h"
#include "serve/server_internal.h"

#include "data/reader.h"
#include "store/catalog.h"

static void write_cursor(wn_json *json, uint64_t next) {
  wn_json_key(json, "next");
  if (next > 0) {
    wn_json_int(json, (int64_t)next);
  } else {
    wn_json_null(json);
  }
}

static wn_status read_find(const wn_query_string *query, wn_find *find, wn_error *err) {
  wn_status status = WN_OK;
  int64_t n = 20, from = 0;
  WN_TRY(wn_query_int(query, "n", 1, WN_FIND_MAX, &n, err));
  WN_TRY(wn_query_int(query, "cursor", 0, INT64_MAX, &from, err));
  find->q = wn_query_get(query, "q");
  find->n = (uint32_t)n;
  find->from = (uint64_t)from;
cleanup:
  return status;
}

/* The record without its text, which may be long and is what GET /v1/items/{id} is for. */
static wn_status write_item(wn_http *http, wn_json *json, wn_item_ix ix, wn_error *err) {
  wn_status status = WN_OK;
  wn_item_record item;
  wn_buf record = {0};
  status = wn_store_get_item(wn_engine_store(http->engine), ix, &http->arena, &item, err);
  if (status == WN_E_NOT_FOUND) return WN_OK; /* deleted meanwhile */
  WN_TRY(status);
  item.text = (wn_str){NULL, 0};
  wn_item_to_json(&item, &record);
  if (record.failed) WN_TRY(wn_fail_memory(err));
  wn_json_raw(json, (wn_str){record.data, record.len});
cleanup:
  wn_buf_clear(&record);
  return status;
}

/* The named items that are there, in the order of their names. */
static wn_status named_items(wn_http *http, wn_found *found, wn_error *err) {
  const wn_query_string *query = &http->query;
  found->ix = wn_arena_alloc(&http->arena, query->len * sizeof *found->ix);
  if (found->ix == NULL) return wn_fail_memory(err);
  for (size_t i = 0; i < query->len; i++) {
    wn_item_ix ix;
    wn_item_status live;
    if (!wn_str_is(query->params[i].name, "id")) continue;
    if (found->len == WN_FIND_MAX)
      return wn_fail(err, WN_E_ARGUMENT, "id", "at most %d at once", WN_FIND_MAX);
    if (wn_engine_item_known(http->engine, query->params[i].value, &ix, &live) &&
        live != WN_ITEM_DELETED)
      found->ix[found->len++] = ix;
  }
  return WN_OK;
}

wn_status wn_route_items_find(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"q", "id", "filter", "status", "n", "cursor", NULL};
  wn_status status = WN_OK;
  wn_find find = {.n = 0};
  wn_found found = {.ix = NULL};
  wn_json json;
  WN_TRY(wn_query_check(&http->query, allowed, "id", err));
  WN_TRY(read_find(&http->query, &find, err));
  find.filter = wn_query_get(&http->query, "filter");
  wn_str state = wn_query_get(&http->query, "status");
  find.hidden_too = wn_str_is(state, "any");
  if (state.ptr != NULL && !find.hidden_too && !wn_str_is(state, "active"))
    WN_TRY(wn_fail(err, WN_E_ARGUMENT, "status", "must be active or any"));
  if (wn_query_get(&http->query, "id").ptr != NULL) {
    WN_TRY(named_items(http, &found, err));
  } else {
    WN_TRY(wn_engine_find_items(http->engine, &find, &http->arena, &found, err));
  }
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "items");
  wn_json_array(&json);
  for (size_t i = 0; i < found.len; i++) WN_TRY(write_item(http, &json, found.ix[i], err));
  wn_json_end_array(&json);
  write_cursor(&json, found.next);
  wn_json_end_object(&json);
cleanup:
  return status;
}

static wn_status write_user(wn_http *http, wn_json *json, wn_user_ix ix, wn_error *err) {
  wn_user_record user;
  wn_buf attributes = {0};
  wn_status status = wn_store_get_user(wn_engine_store(http->engine), ix, &http->arena, &user, err);
  if (status == WN_E_NOT_FOUND) return WN_OK;
  if (status != WN_OK) return status;
  wn_attrs_to_json(&user.attrs, &attributes);
  wn_json_object(json);
  wn_json_key(json, "id");
  wn_json_string(json, user.id);
  wn_json_key(json, "attributes");
  wn_json_raw(json, (wn_str){attributes.data, attributes.len});
  wn_json_key(json, "items");
  wn_json_int(json, (int64_t)wn_engine_user_items(http->engine, ix));
  wn_json_end_object(json);
  if (attributes.failed) status = wn_fail_memory(err);
  wn_buf_clear(&attributes);
  return status;
}

wn_status wn_route_users_find(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"q", "n", "cursor", "random", NULL};
  wn_status status = WN_OK;
  wn_find find = {.n = 0};
  wn_found found = {.ix = NULL};
  wn_json json;
  bool random = false;
  wn_user_ix one = WN_NO_IX;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(read_find(&http->query, &find, err));
  WN_TRY(wn_query_bool(&http->query, "random", &random, err));
  if (random) {
    one = wn_engine_random_user(http->engine);
    found = (wn_found){.ix = &one, .len = one != WN_NO_IX};
  } else {
    WN_TRY(wn_engine_find_users(http->engine, &find, &http->arena, &found, err));
  }
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "users");
  wn_json_array(&json);
  for (size_t i = 0; i < found.len; i++) WN_TRY(write_user(http, &json, found.ix[i], err));
  wn_json_end_array(&json);
  write_cursor(&json, found.next);
  wn_json_end_object(&json);
cleanup:
  return status;
}

static void write_met(wn_json *json, const wn_met *met) {
  static const char *const statuses[] = {"active", "hidden", "deleted"};
  wn_json_object(json);
  wn_json_key(json, "item");
  wn_json_string(json, met->id);
  wn_json_key(json, "title");
  wn_json_string(json, met->title);
  wn_json_key(json, "status");
  wn_json_cstring(json, statuses[met->status]);
  wn_json_key(json, "time_ms");
  wn_json_int(json, met->time_ms);
  wn_json_key(json, "weight");
  wn_json_float(json, met->weight);
  wn_json_key(json, "types");
  wn_json_array(json);
  for (size_t i = 0; i < met->types_len; i++) wn_json_cstring(json, met->types[i]);
  wn_json_end_array(json);
  wn_json_end_object(json);
}

wn_status wn_route_user_history(wn_http *http, wn_error *err) {
  static const char *const allowed[] = {"n", "cursor", NULL};
  wn_status status = WN_OK;
  int64_t n = 20, from = 0;
  wn_met_list met;
  wn_json json;
  WN_TRY(wn_query_check(&http->query, allowed, NULL, err));
  WN_TRY(wn_query_int(&http->query, "n", 1, 1000, &n, err));
  WN_TRY(wn_query_int(&http->query, "cursor", 0, UINT32_MAX, &from, err));
  WN_TRY(wn_engine_user_history(http->engine, http->id, (wn_page){(size_t)from, (size_t)n},
                                &http->arena, &met, err));
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "user");
  wn_json_string(&json, http->id);
  wn_json_key(&json, "total");
  wn_json_int(&json, (int64_t)met.total);
  wn_json_key(&json, "history");
  wn_json_array(&json);
  for (size_t i = 0; i < met.len; i++) write_met(&json, &met.data[i]);
  wn_json_end_array(&json);
  write_cursor(&json, (size_t)from + met.len < met.total ? (uint64_t)from + met.len : 0);
  wn_json_end_object(&json);
cleanup:
  return status;
}
