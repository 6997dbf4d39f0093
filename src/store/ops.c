/* What each operation means. An operation is judged completely before its first write, so that a
 * refused one leaves nothing behind and the transaction needs no savepoints: from the first write
 * on, only errors of the database can happen, and those end the whole transaction. */
#include "base/clock.h"
#include "base/mem.h"
#include "store/backend.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Takes an error as the operation's own answer. */
static wn_status refuse(wn_op *op, const wn_error *why) {
  _Static_assert(sizeof op->field == sizeof why->field, "no field is cut");
  op->status = why->status;
  memcpy(op->field, why->field, sizeof op->field);
  int len = snprintf(op->reason, sizeof op->reason, "%s", why->message);
  if (len < 0) op->reason[0] = '\0';
  return WN_OK;
}

static wn_status refuse_unknown(wn_op *op, const char *what, wn_str id) {
  wn_error why;
  wn_fail(&why, WN_E_NOT_FOUND, "id", "no %s \"%.*s\"", what, id.len > 100 ? 100 : WN_STR_ARG(id));
  return refuse(op, &why);
}

/* A key that the dictionary knows was checked when it came in. */
static bool key_ok(uint32_t ix, wn_str key, const char *field, wn_op *op) {
  wn_error why;
  if (ix != WN_NO_IX || wn_key_check(key, field, &why) == WN_OK) return true;
  wn_status refused = refuse(op, &why);
  (void)refused;
  return false;
}

static wn_status dict_full(wn_status status, const char *what, wn_error *err) {
  if (status == WN_E_FULL) {
    return wn_fail(err, WN_E_FULL, "", "the store holds 2^32 - 2 %s and can take no more", what);
  }
  return status == WN_OK ? WN_OK : wn_fail_memory(err);
}

static wn_status add_type(wn_store *store, wn_str name, uint32_t *type, wn_error *err) {
  wn_status status;
  WN_TRY(dict_full(wn_dict_add(store->types, name, type, NULL), "event types", err));
  WN_TRY(store->backend->put_type(store, *type, name, err));
cleanup:
  return status;
}

static bool user_erased(const wn_store *store, wn_user_ix ix) {
  const uint64_t *mark = wn_map64_find(&store->erased, ix);
  return mark != NULL && *mark != 0;
}

/* Keeps the mark of deleted users in step with a row that is about to be written. */
static wn_status mark_user(wn_store *store, wn_user_ix ix, bool erased, wn_error *err) {
  if (user_erased(store, ix) == erased) return WN_OK;
  uint64_t *mark = wn_map64_at(&store->erased, ix);
  if (mark == NULL || !wn_vec_push(&store->erased_undo, ix)) return wn_fail_memory(err);
  *mark = erased;
  store->now.v[WN_COUNT_USERS] += erased ? -1 : 1;
  return WN_OK;
}

/* A user without a record: named by an event, or back after a deletion. */
static wn_status add_user(wn_store *store, wn_str id, wn_user_ix *ix, bool *created,
                          wn_error *err) {
  wn_status status;
  WN_TRY(dict_full(wn_dict_add(store->users, id, ix, created), "users", err));
  if (*created) store->now.v[WN_COUNT_USERS]++;
  WN_TRY(mark_user(store, *ix, false, err));
cleanup:
  return status;
}

static wn_status add_user_stub(wn_store *store, wn_str id, wn_user_ix *ix, wn_error *err) {
  wn_status status;
  bool created = false;
  wn_user_row row = {.id = id, .updated_ms = wn_now_ms()};
  WN_TRY(add_user(store, id, ix, &created, err));
  WN_TRY(store->backend->put_user(store, *ix, &row, err));
cleanup:
  return status;
}

static uint64_t next_rev(wn_store *store) {
  return (uint64_t)++store->now.v[WN_COUNT_ITEM_REV];
}

/* An item that was first heard of in an event: active, without a record, as old as the event. */
static wn_status add_item_stub(wn_store *store, wn_str id, int64_t time_ms, wn_item_ix *ix,
                               wn_error *err) {
  wn_status status;
  wn_item_row row = {.id = id, .created_ms = time_ms, .updated_ms = wn_now_ms()};
  WN_TRY(dict_full(wn_dict_add(store->items, id, ix, NULL), "items", err));
  row.rev = next_rev(store);
  store->now.v[WN_COUNT_ITEMS]++;
  WN_TRY(store->backend->put_item(store, *ix, &row, err));
cleanup:
  return status;
}

static void count_event(wn_counters *now, int64_t time_ms) {
  bool first = now->v[WN_COUNT_EVENTS]++ == 0;
  if (first || time_ms < now->v[WN_COUNT_FIRST_MS]) now->v[WN_COUNT_FIRST_MS] = time_ms;
  if (first || time_ms > now->v[WN_COUNT_LAST_MS]) now->v[WN_COUNT_LAST_MS] = time_ms;
}

/* True: the event is acceptable; its indexes are looked up, WN_NO_IX where new. */
static bool event_ok(const wn_store *store, wn_op *op) {
  const wn_event_record *event = &op->u.event;
  op->user_ix = wn_dict_find(store->users, event->user);
  op->item_ix = wn_dict_find(store->items, event->item);
  op->type = wn_dict_find(store->types, event->type);
  if (!key_ok(op->user_ix, event->user, "user", op)) return false;
  if (!key_ok(op->item_ix, event->item, "item", op)) return false;
  if (!key_ok(op->type, event->type, "type", op)) return false;
  wn_error why = {0};
  if (isinf(event->value)) wn_fail(&why, WN_E_ARGUMENT, "value", "must be finite");
  if (op->type == WN_NO_IX && wn_dict_count(store->types) >= WN_EVENT_TYPES_MAX)
    wn_fail(&why, WN_E_ARGUMENT, "type", "is new, and a store takes at most %d event types",
            WN_EVENT_TYPES_MAX);
  if (why.status != WN_OK) (void)refuse(op, &why);
  return why.status == WN_OK;
}

static wn_status apply_event(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status = WN_OK;
  const wn_event_record *event = &op->u.event;
  if (!event_ok(store, op)) return WN_OK;
  if (event->id.ptr != NULL) {
    bool fresh = true;
    wn_hash128 key = wn_hash128_of(event->id.ptr, event->id.len);
    WN_TRY(store->backend->put_event_key(store, key, &fresh, err));
    op->duplicate = !fresh;
    if (op->duplicate) return WN_OK;
  }
  if (op->type == WN_NO_IX) WN_TRY(add_type(store, event->type, &op->type, err));
  if (op->user_ix == WN_NO_IX || (store->erased.len > 0 && user_erased(store, op->user_ix))) {
    WN_TRY(add_user_stub(store, event->user, &op->user_ix, err));
  }
  if (op->item_ix == WN_NO_IX) {
    WN_TRY(add_item_stub(store, event->item, event->time_ms, &op->item_ix, err));
  }
  op->seq = (uint64_t)++store->now.v[WN_COUNT_LAST_SEQ];
  wn_stored_event row = {.seq = op->seq,
                         .user = op->user_ix,
                         .item = op->item_ix,
                         .type = op->type,
                         .value = event->value,
                         .time_ms = event->time_ms,
                         .slate = event->slate};
  WN_TRY(store->backend->put_event(store, &row, err));
  count_event(&store->now, event->time_ms);
cleanup:
  return status;
}

static void count_item(wn_counters *now, wn_item_status status, int by) {
  if (status != WN_ITEM_DELETED) now->v[WN_COUNT_ITEMS] += by;
  if (status == WN_ITEM_HIDDEN) now->v[WN_COUNT_ITEMS_HIDDEN] += by;
}

/* Writes a changed row under a new revision. `was`: its status before; NULL for a new item. */
static wn_status write_item(wn_store *store, wn_op *op, const wn_item_status *was, wn_item_row *row,
                            wn_error *err) {
  wn_status status;
  row->updated_ms = wn_now_ms();
  row->rev = next_rev(store);
  op->seq = row->rev;
  if (was != NULL) count_item(&store->now, *was, -1);
  count_item(&store->now, row->status, 1);
  WN_TRY(store->backend->put_item(store, op->item_ix, row, err));
cleanup:
  return status;
}

static wn_status attrs_json(wn_store *store, const wn_attrs *attrs, wn_str *out, wn_error *err) {
  *out = (wn_str){0};
  if (attrs->len == 0) return WN_OK;
  wn_buf_reset(&store->json);
  wn_attrs_to_json(attrs, &store->json);
  if (store->json.failed) {
    wn_buf_clear(&store->json);
    return wn_fail_memory(err);
  }
  *out = (wn_str){store->json.data, store->json.len};
  return WN_OK;
}

/* A put without a time of creation keeps the one that is known, unless the item comes back from
 * deletion: then it is new again. */
static int64_t created_of(const wn_item_record *item, bool known, const wn_item_row *old) {
  if (item->created_ms != 0) return item->created_ms;
  return known && old->status != WN_ITEM_DELETED ? old->created_ms : wn_now_ms();
}

static wn_status apply_item_put(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status;
  wn_item_record *item = &op->u.item;
  wn_item_row old = {0}, row = {.id = item->id, .title = item->title, .text = item->text};
  wn_error why;
  if (wn_item_check(item, &why) != WN_OK) return refuse(op, &why);
  op->item_ix = wn_dict_find(store->items, item->id);
  bool known = op->item_ix != WN_NO_IX;
  if (known) {
    WN_TRY(store->backend->read_item(store, op->item_ix, &store->scratch, &old, err));
  } else {
    WN_TRY(dict_full(wn_dict_add(store->items, item->id, &op->item_ix, NULL), "items", err));
  }
  op->created = !known;
  item->created_ms = created_of(item, known, &old);
  row.created_ms = item->created_ms;
  row.status = item->status;
  WN_TRY(attrs_json(store, &item->attrs, &row.attributes, err));
  WN_TRY(write_item(store, op, known ? &old.status : NULL, &row, err));
cleanup:
  return status;
}

/* Looks up an item that must exist; *found false: refused. */
static wn_status read_known_item(wn_store *store, wn_op *op, wn_item_row *row, bool *found,
                                 wn_error *err) {
  wn_status status = WN_OK;
  *found = false;
  op->item_ix = wn_dict_find(store->items, op->u.item.id);
  if (op->item_ix == WN_NO_IX) return refuse_unknown(op, "item", op->u.item.id);
  WN_TRY(store->backend->read_item(store, op->item_ix, &store->scratch, row, err));
  if (row->status == WN_ITEM_DELETED) return refuse_unknown(op, "item", op->u.item.id);
  *found = true;
cleanup:
  return status;
}

static wn_status apply_item_patch(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status;
  wn_item_row row = {0};
  wn_error why;
  bool found = false;
  WN_TRY(read_known_item(store, op, &row, &found, err));
  if (!found) return WN_OK;
  wn_item_status was = row.status;
  wn_status patched = wn_item_row_patch(&row, op->patch, &store->scratch, &why);
  if (patched == WN_E_MEMORY) return wn_fail_memory(err);
  if (patched != WN_OK) return refuse(op, &why);
  WN_TRY(write_item(store, op, &was, &row, err));
cleanup:
  return status;
}

static wn_status apply_item_delete(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status;
  wn_item_row row = {0};
  bool found = false;
  WN_TRY(read_known_item(store, op, &row, &found, err));
  if (!found) return WN_OK;
  wn_item_status was = row.status;
  wn_item_row tombstone = {.id = row.id, .status = WN_ITEM_DELETED, .created_ms = row.created_ms};
  WN_TRY(write_item(store, op, &was, &tombstone, err));
cleanup:
  return status;
}

static wn_status apply_user_put(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status;
  wn_error why;
  wn_user_row row = {.id = op->u.user.id, .updated_ms = wn_now_ms()};
  if (wn_user_check(&op->u.user, &why) != WN_OK) return refuse(op, &why);
  WN_TRY(attrs_json(store, &op->u.user.attrs, &row.attributes, err));
  WN_TRY(add_user(store, row.id, &op->user_ix, &op->created, err));
  WN_TRY(store->backend->put_user(store, op->user_ix, &row, err));
cleanup:
  return status;
}

static bool user_known(const wn_store *store, wn_op *op) {
  op->user_ix = wn_dict_find(store->users, op->u.user.id);
  return op->user_ix != WN_NO_IX && !user_erased(store, op->user_ix);
}

static wn_status apply_user_patch(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status;
  wn_error why;
  wn_user_row row = {0};
  if (!user_known(store, op)) return refuse_unknown(op, "user", op->u.user.id);
  WN_TRY(store->backend->read_user(store, op->user_ix, &store->scratch, &row, err));
  wn_status patched = wn_user_row_patch(&row, op->patch, &store->scratch, &why);
  if (patched == WN_E_MEMORY) return wn_fail_memory(err);
  if (patched != WN_OK) return refuse(op, &why);
  row.updated_ms = wn_now_ms();
  WN_TRY(store->backend->put_user(store, op->user_ix, &row, err));
cleanup:
  return status;
}

static wn_status apply_user_delete(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status;
  wn_user_row row = {.id = op->u.user.id, .updated_ms = wn_now_ms(), .deleted = true};
  bool known = user_known(store, op);
  /* Also of an unknown or deleted user: slates name whoever asked for them. */
  op->erasure = (uint32_t)store->erasures.len;
  if (!wn_vec_push(&store->erasures, (wn_erasure){0})) return wn_fail_memory(err);
  WN_TRY(
      store->backend->erase_user(store, known ? op->user_ix : WN_NO_IX, row.id, op->erasure, err));
  if (!known) return refuse_unknown(op, "user", row.id);
  op->seq = (uint64_t)store->now.v[WN_COUNT_LAST_SEQ];
  WN_TRY(mark_user(store, op->user_ix, true, err));
  WN_TRY(store->backend->put_user(store, op->user_ix, &row, err));
cleanup:
  return status;
}

static wn_status apply_slate(wn_store *store, wn_op *op, wn_error *err) {
  wn_status status;
  uint32_t items = wn_dict_count(store->items);
  const wn_slate_log *slate = &op->u.slate;
  for (size_t i = 0; i < slate->len; i++) {
    if (slate->items[i] < items && isfinite(slate->propensities[i])) continue;
    wn_error why;
    wn_fail(&why, WN_E_ARGUMENT, "items", "items[%zu] must be known, its propensity finite", i);
    return refuse(op, &why);
  }
  op->seq = (uint64_t)(store->now.v[WN_COUNT_SLATES] + 1);
  WN_TRY(store->backend->put_slate(store, op->seq, slate, err));
  store->now.v[WN_COUNT_SLATES]++;
cleanup:
  return status;
}

static wn_status apply_probe(wn_store *store, wn_error *err) {
  char now[24];
  snprintf(now, sizeof now, "%lld", (long long)wn_now_ms());
  return store->backend->put_meta(store, "probed_ms", wn_str_of(now), err);
}

wn_status wn_store_apply(wn_store *store, wn_op *op, wn_error *err) {
  op->status = WN_OK;
  op->duplicate = op->created = false;
  op->user_ix = op->item_ix = op->type = WN_NO_IX;
  op->seq = 0;
  op->field[0] = op->reason[0] = '\0';
  if (op->kind != WN_OP_EVENT) wn_arena_reset(&store->scratch);
  switch (op->kind) {
  case WN_OP_EVENT: return apply_event(store, op, err);
  case WN_OP_ITEM_PUT: return apply_item_put(store, op, err);
  case WN_OP_ITEM_PATCH: return apply_item_patch(store, op, err);
  case WN_OP_ITEM_DELETE: return apply_item_delete(store, op, err);
  case WN_OP_USER_PUT: return apply_user_put(store, op, err);
  case WN_OP_USER_PATCH: return apply_user_patch(store, op, err);
  case WN_OP_USER_DELETE: return apply_user_delete(store, op, err);
  case WN_OP_SLATE: return apply_slate(store, op, err);
  case WN_OP_EXPIRE: return store->backend->expire(store, op, err);
  case WN_OP_PROBE: return apply_probe(store, err);
  }
  return wn_fail(err, WN_E_ARGUMENT, "kind", "unknown operation %d", (int)op->kind);
}
