/* Events, items and users: the writing half of the API. Each handler turns the request into ops;
 * the answer is written after the commit. */
#include "serve/server_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "data/reader.h"

static wn_status no_query(wn_http *http, wn_error *err) {
  static const char *const none[] = {NULL};
  return wn_query_check(&http->query, none, NULL, err);
}

/* Batches --------------------------------------------------------------------------- */

static wn_status batch(wn_http *http, wn_op_kind kind, wn_error *err) {
  wn_status status = WN_OK;
  wn_body_ops ops = {.kind = kind, .now_ms = wn_now_ms(), .arena = &http->arena, .index = -1};
  ops.time_ms_max = ops.now_ms + (int64_t)http->server->config->events_future_seconds_max * 1000;
  WN_TRY(no_query(http, err));
  status = wn_body_count(http->body, http->form, &ops, err);
  if (status == WN_OK) status = wn_engine_admit(http->engine, ops.count, err);
  if (status == WN_OK) status = wn_body_to_ops(http->body, http->form, &ops, err);
  http->index = ops.index;
  if (status != WN_OK) goto cleanup;
  http->batch.ops = ops.ops;
  http->batch.count = ops.count;
  if (ops.count == 0) status = http->action->finish(http, err);
cleanup:
  return status;
}

/* A request that brings a type too many is refused whole, before anything of it is stored. */
wn_status wn_route_events(wn_http *http, wn_error *err) {
  const wn_dict *types = wn_store_types(wn_engine_store(http->engine));
  wn_status status = batch(http, WN_OP_EVENT, err);
  if (status != WN_OK || wn_dict_count(types) < WN_EVENT_TYPES_MAX) return status;
  for (size_t i = 0; i < http->batch.count; i++) {
    wn_str type = http->batch.ops[i].u.event.type;
    if (wn_dict_find(types, type) != WN_NO_IX) continue;
    http->index = (long)i;
    return wn_fail(err, WN_E_ARGUMENT, "type",
                   "`%.*s` is new, and a store takes at most %d event types", WN_STR_ARG(type),
                   WN_EVENT_TYPES_MAX);
  }
  return WN_OK;
}

wn_status wn_route_items(wn_http *http, wn_error *err) {
  return batch(http, WN_OP_ITEM_PUT, err);
}

wn_status wn_route_users(wn_http *http, wn_error *err) {
  return batch(http, WN_OP_USER_PUT, err);
}

static void write_counts(wn_http *http, const char *second, size_t accepted, size_t other) {
  wn_json json;
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "accepted");
  wn_json_int(&json, (int64_t)accepted);
  wn_json_key(&json, second);
  wn_json_int(&json, (int64_t)other);
  wn_json_end_object(&json);
}

/* What only the store could refuse; the other records of the request are stored, and the answer
 * says so. */
static wn_status first_refused(wn_http *http, wn_error *err) {
  for (size_t i = 0; i < http->batch.count; i++) {
    const wn_op *op = &http->batch.ops[i];
    if (op->status == WN_OK) continue;
    http->index = (long)i;
    return wn_fail(err, op->status, op->field, "%s (the other records are stored)", op->reason);
  }
  return WN_OK;
}

wn_status wn_route_events_done(wn_http *http, wn_error *err) {
  size_t duplicates = 0;
  wn_status status = first_refused(http, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < http->batch.count; i++) {
    const wn_op *op = &http->batch.ops[i];
    duplicates += op->duplicate;
    if (!op->duplicate)
      wn_shown_event(http->server->shown, &op->u.event, op->item_ix,
                     &wn_engine_config(http->engine)->signals);
  }
  size_t accepted = http->batch.count - duplicates;
  wn_metrics_count(http->server->metrics, WN_COUNT_EVENTS_ACCEPTED, accepted);
  wn_metrics_count(http->server->metrics, WN_COUNT_EVENTS_DUPLICATE, duplicates);
  write_counts(http, "duplicates", accepted, duplicates);
  return WN_OK;
}

wn_status wn_route_records_done(wn_http *http, wn_error *err) {
  size_t created = 0;
  wn_status status = first_refused(http, err);
  if (status != WN_OK) return status;
  for (size_t i = 0; i < http->batch.count; i++) created += http->batch.ops[i].created;
  wn_metrics_count(http->server->metrics, WN_COUNT_RECORDS_WRITTEN, http->batch.count);
  write_counts(http, "created", http->batch.count, created);
  return WN_OK;
}

/* One record ------------------------------------------------------------------------ */

static wn_status change_one(wn_http *http, wn_op_kind kind, wn_error *err) {
  wn_status status = WN_OK;
  if (kind != WN_OP_USER_DELETE) WN_TRY(no_query(http, err));
  wn_op *op = wn_arena_calloc(&http->arena, 1, sizeof *op);
  if (op == NULL) return wn_fail_memory(err);
  op->kind = kind;
  switch (kind) {
  case WN_OP_ITEM_PUT:
  case WN_OP_USER_PUT:
    WN_TRY(wn_body_to_put(http->body, kind, http->id, &http->arena, op, err));
    break;
  case WN_OP_ITEM_PATCH:
  case WN_OP_USER_PATCH:
    WN_TRY(wn_body_to_patch(http->body, kind, http->id, &http->arena, op, err));
    break;
  case WN_OP_ITEM_DELETE: op->u.item.id = http->id; break;
  default: op->u.user.id = http->id; break;
  }
  http->batch.ops = op;
  http->batch.count = 1;
cleanup:
  return status;
}

wn_status wn_route_item_put(wn_http *http, wn_error *err) {
  return change_one(http, WN_OP_ITEM_PUT, err);
}
wn_status wn_route_item_patch(wn_http *http, wn_error *err) {
  return change_one(http, WN_OP_ITEM_PATCH, err);
}
wn_status wn_route_item_delete(wn_http *http, wn_error *err) {
  return change_one(http, WN_OP_ITEM_DELETE, err);
}
wn_status wn_route_user_put(wn_http *http, wn_error *err) {
  return change_one(http, WN_OP_USER_PUT, err);
}
wn_status wn_route_user_patch(wn_http *http, wn_error *err) {
  return change_one(http, WN_OP_USER_PATCH, err);
}
wn_status wn_route_user_delete(wn_http *http, wn_error *err) {
  static const char *const known[] = {"erase", NULL};
  bool report = false;
  wn_status status;
  WN_TRY(wn_query_check(&http->query, known, NULL, err));
  WN_TRY(wn_query_bool(&http->query, "erase", &report, err));
cleanup:
  if (status != WN_OK) return status;
  return change_one(http, WN_OP_USER_DELETE, err);
}

static wn_status refused_op(const wn_op *op, wn_error *err) {
  if (op->status == WN_E_NOT_FOUND) return wn_fail(err, WN_E_NOT_FOUND, "id", "no such id");
  return wn_fail(err, op->status, op->field[0] != '\0' ? op->field : "body", "%s",
                 op->reason[0] != '\0' ? op->reason : wn_status_text(op->status));
}

/* `?erase=true`: what is no more, and where traces are left until when. */
static wn_status report_erasure(wn_http *http, const wn_op *op, wn_error *err) {
  wn_snapshot_entry *entries = NULL;
  size_t count = 0, hold = 0, archives = 0;
  char dir[4096];
  wn_json json;
  wn_status status;
  wn_str data = wn_store_dir(wn_engine_store(http->engine));
  snprintf(dir, sizeof dir, "%.*s", WN_STR_ARG(data));
  WN_TRY(wn_snapshot_list(dir, false, &entries, &count, err));
  WN_TRY(wn_archive_segments(dir, &archives, err));
  bool known = op->status == WN_OK;
  for (size_t i = 0; i < count; i++) hold += known && entries[i].readable;
  const struct {
    const char *key;
    uint64_t value;
  } rows[] = {{"events", op->erased_events},
              {"slates", op->erased_slates},
              {"snapshots", hold},
              {"archives", known ? archives : 0}};
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "id");
  wn_json_string(&json, http->id);
  wn_json_key(&json, "known");
  wn_json_bool(&json, known);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    wn_json_key(&json, rows[i].key);
    wn_json_int(&json, (int64_t)rows[i].value);
  }
  wn_json_end_object(&json);
cleanup:
  wn_free(entries);
  return status;
}

wn_status wn_route_record_done(wn_http *http, wn_error *err) {
  const wn_op *op = &http->batch.ops[0];
  bool report = false;
  if (op->kind == WN_OP_USER_DELETE && op->status == WN_OK)
    wn_retention_clean_soon(http->server->retention);
  if (op->kind == WN_OP_USER_DELETE && (op->status == WN_OK || op->status == WN_E_NOT_FOUND) &&
      wn_query_bool(&http->query, "erase", &report, err) == WN_OK && report)
    return report_erasure(http, op, err);
  if (op->status != WN_OK) return refused_op(op, err);
  wn_metrics_count(http->server->metrics, WN_COUNT_RECORDS_WRITTEN, 1);
  if (op->kind == WN_OP_ITEM_DELETE || op->kind == WN_OP_USER_DELETE) {
    http->http = 204;
    return WN_OK;
  }
  wn_json json;
  wn_json_init(&json, &http->out);
  wn_json_object(&json);
  wn_json_key(&json, "id");
  wn_json_string(&json, http->id);
  wn_json_key(&json, "created");
  wn_json_bool(&json, op->created);
  wn_json_end_object(&json);
  if (op->created) http->http = 201;
  return WN_OK;
}

wn_status wn_route_item_get(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_item_record item = {.status = WN_ITEM_ACTIVE};
  wn_item_status live = WN_ITEM_ACTIVE;
  wn_item_ix ix = WN_NO_IX;
  WN_TRY(no_query(http, err));
  if (!wn_engine_item_known(http->engine, http->id, &ix, &live) || live == WN_ITEM_DELETED)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "id", "no such item"));
  WN_TRY(wn_store_get_item(wn_engine_store(http->engine), ix, &http->arena, &item, err));
  wn_item_to_json(&item, &http->out);
cleanup:
  return status;
}

wn_status wn_route_user_get(wn_http *http, wn_error *err) {
  wn_status status = WN_OK;
  wn_user_record user = {.id = http->id};
  wn_store *store = wn_engine_store(http->engine);
  WN_TRY(no_query(http, err));
  wn_user_ix ix = wn_dict_find(wn_store_users(store), http->id);
  if (ix == WN_NO_IX) WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "id", "no such user"));
  WN_TRY(wn_store_get_user(store, ix, &http->arena, &user, err));
  wn_user_to_json(&user, &http->out);
cleanup:
  return status;
}
