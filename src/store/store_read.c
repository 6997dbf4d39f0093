/* Reading: rows of the backend as the records that callers know. */
#include "base/mem.h"
#include "store/backend.h"

wn_status wn_store_scan_events(wn_store *store, uint64_t after, uint64_t upto,
                               wn_status (*each)(void *ctx, const wn_stored_event *event,
                                                 wn_error *err),
                               void *ctx, wn_error *err) {
  return store->backend->scan_events(store, after, upto, each, ctx, err);
}

/* Damage in a row's attributes is named by the row, since nobody gave them just now. */
static wn_status parse_attributes(wn_str json, const char *table, uint32_t ix, wn_arena *arena,
                                  wn_attrs *out, wn_error *err) {
  wn_error why;
  *out = (wn_attrs){0};
  if (json.ptr == NULL || wn_attrs_from_canonical(json, arena, out)) return WN_OK;
  wn_status status = wn_attrs_from_json(json, arena, out, &why);
  if (status == WN_OK) return WN_OK;
  if (status == WN_E_MEMORY) return wn_fail_memory(err);
  return wn_fail(err, WN_E_CORRUPT, "attributes", "row %u of the table %s: %.300s", ix, table,
                 why.message);
}

static wn_status item_of_row(wn_item_ix ix, const wn_item_row *row, wn_arena *arena,
                             wn_item_record *out, wn_error *err) {
  *out = (wn_item_record){.id = row->id,
                          .title = row->title,
                          .text = row->text,
                          .status = row->status,
                          .created_ms = row->created_ms};
  return parse_attributes(row->attributes, "items", ix, arena, &out->attrs, err);
}

typedef wn_status item_fn(void *ctx, wn_item_ix ix, uint64_t rev, const wn_item_record *item,
                          wn_error *err);

typedef struct item_scan {
  item_fn *each;
  void *ctx;
  wn_arena arena; /* one row's */
} item_scan;

static wn_status each_item(void *ctx, wn_item_ix ix, const wn_item_row *row, wn_error *err) {
  wn_status status;
  item_scan *scan = ctx;
  wn_item_record item;
  wn_arena_reset(&scan->arena);
  WN_TRY(item_of_row(ix, row, &scan->arena, &item, err));
  WN_TRY(scan->each(scan->ctx, ix, row->rev, &item, err));
cleanup:
  return status;
}

static wn_status scan_items(wn_store *store, uint64_t after_rev, bool with_text, item_scan *scan,
                            wn_error *err) {
  wn_arena_init(&scan->arena, WN_RECORD_BYTES_MAX);
  wn_status status = store->backend->scan_items(store, after_rev, with_text, each_item, scan, err);
  wn_arena_clear(&scan->arena);
  return status;
}

wn_status wn_store_scan_items(wn_store *store, uint64_t after_rev,
                              wn_status (*each)(void *ctx, wn_item_ix ix, uint64_t rev,
                                                const wn_item_record *item, wn_error *err),
                              void *ctx, wn_error *err) {
  item_scan scan = {.each = each, .ctx = ctx};
  return scan_items(store, after_rev, true, &scan, err);
}

wn_status wn_store_scan_items_light(wn_store *store,
                                    wn_status (*each)(void *ctx, wn_item_ix ix, uint64_t rev,
                                                      const wn_item_record *item, wn_error *err),
                                    void *ctx, wn_error *err) {
  item_scan scan = {.each = each, .ctx = ctx};
  return scan_items(store, 0, false, &scan, err);
}

typedef struct user_scan {
  wn_status (*each)(void *ctx, wn_user_ix ix, const wn_user_record *user, wn_error *err);
  void *ctx;
  wn_arena arena;
} user_scan;

static wn_status each_user(void *ctx, wn_user_ix ix, const wn_user_row *row, wn_error *err) {
  wn_status status = WN_OK;
  user_scan *scan = ctx;
  wn_user_record user = {.id = row->id};
  if (row->deleted) return WN_OK;
  wn_arena_reset(&scan->arena);
  WN_TRY(parse_attributes(row->attributes, "users", ix, &scan->arena, &user.attrs, err));
  WN_TRY(scan->each(scan->ctx, ix, &user, err));
cleanup:
  return status;
}

wn_status wn_store_scan_users(wn_store *store,
                              wn_status (*each)(void *ctx, wn_user_ix ix,
                                                const wn_user_record *user, wn_error *err),
                              void *ctx, wn_error *err) {
  user_scan scan = {.each = each, .ctx = ctx};
  wn_arena_init(&scan.arena, WN_RECORD_BYTES_MAX);
  wn_status status = store->backend->scan_users(store, each_user, &scan, err);
  wn_arena_clear(&scan.arena);
  return status;
}

wn_status wn_store_scan_slates(wn_store *store, int64_t since_ms, bool feeds_only,
                               wn_status (*each)(void *ctx, const wn_slate_log *slate,
                                                 wn_error *err),
                               void *ctx, wn_error *err) {
  return store->backend->scan_slates(store, since_ms, feeds_only, each, ctx, err);
}

wn_status wn_store_scan_erased(wn_store *store,
                               wn_status (*each)(void *ctx, wn_user_ix user, uint64_t seq,
                                                 bool gone, wn_error *err),
                               void *ctx, wn_error *err) {
  return store->backend->scan_erased(store, each, ctx, err);
}

wn_status wn_store_get_item(wn_store *store, wn_item_ix ix, wn_arena *arena, wn_item_record *out,
                            wn_error *err) {
  wn_status status;
  wn_item_row row = {0};
  WN_TRY(store->backend->get_item(store, ix, arena, &row, err));
  if (row.status == WN_ITEM_DELETED) {
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "item", "item \"%.*s\" is deleted", WN_STR_ARG(row.id)));
  }
  WN_TRY(item_of_row(ix, &row, arena, out, err));
cleanup:
  return status;
}

wn_status wn_store_get_user(wn_store *store, wn_user_ix ix, wn_arena *arena, wn_user_record *out,
                            wn_error *err) {
  wn_status status;
  wn_user_row row = {0};
  WN_TRY(store->backend->get_user(store, ix, arena, &row, err));
  if (row.deleted)
    WN_TRY(wn_fail(err, WN_E_NOT_FOUND, "user", "user \"%.*s\" is deleted", WN_STR_ARG(row.id)));
  *out = (wn_user_record){.id = row.id};
  WN_TRY(parse_attributes(row.attributes, "users", ix, arena, &out->attrs, err));
cleanup:
  return status;
}

wn_status wn_store_counts_get(wn_store *store, wn_store_counts *out, wn_error *err) {
  wn_status status;
  wn_counters counters = {0};
  uint64_t bytes = 0;
  *out = (wn_store_counts){0};
  WN_TRY(store->backend->get_counters(store, &counters, &bytes, err));
  const int64_t *v = counters.v;
  *out = (wn_store_counts){.events = (uint64_t)v[WN_COUNT_EVENTS],
                           .items = (uint64_t)v[WN_COUNT_ITEMS],
                           .items_hidden = (uint64_t)v[WN_COUNT_ITEMS_HIDDEN],
                           .users = (uint64_t)v[WN_COUNT_USERS],
                           .slates = (uint64_t)v[WN_COUNT_SLATES],
                           .last_seq = (uint64_t)v[WN_COUNT_LAST_SEQ],
                           .item_rev = (uint64_t)v[WN_COUNT_ITEM_REV],
                           .first_ms = v[WN_COUNT_FIRST_MS],
                           .last_ms = v[WN_COUNT_LAST_MS],
                           .bytes = bytes};
cleanup:
  return status;
}

wn_status wn_store_meta_get(wn_store *store, const char *key, wn_arena *arena, wn_str *value,
                            wn_error *err) {
  *value = (wn_str){0};
  return store->backend->get_meta(store, key, arena, value, err);
}
