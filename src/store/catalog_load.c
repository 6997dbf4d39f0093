/* The catalogue from the store: one scan of the items table without its texts. */
#include "store/backend.h"
#include "store/catalog_internal.h"

static wn_status load_item(void *ctx, wn_item_ix ix, WN_UNUSED uint64_t rev,
                           const wn_item_record *item, wn_error *err) {
  return wn_catalog_put(ctx, ix, item, err);
}

wn_status wn_catalog_load(wn_catalog *c, wn_store *store, wn_error *err) {
  c->loading = true;
  wn_status status = wn_store_scan_items_light(store, load_item, c, err);
  c->loading = false;
  c->version++; /* what was known before is not to be patched up change by change */
  c->version_known = c->version;
  wn_newest_settle(c, true);
  return status;
}
