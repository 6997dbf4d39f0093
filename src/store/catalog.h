#ifndef WN_STORE_CATALOG_H
#define WN_STORE_CATALOG_H
/* The catalogue in memory, by columns: what filters, caps and answers need of every item. A mirror
 * of the items table: loaded at open, changed after each commit. Text is not kept.
 *
 * Not locked inside: readers share the engine's lock, changes hold it alone.
 * Memory: 17.2 bytes an item + titles + 16 bytes an item and attribute (at most 1,024 attribute
 * names) + lists and distinct strings; at most twice that with what replaced items leave. */

#include "base/bitset.h"
#include "base/record.h"
#include "store/store.h"

/* One value of one item. */
typedef struct wn_cell {
  uint8_t kind; /* wn_attr_kind + 1; 0: the item lacks the attribute */
  bool boolean;
  uint32_t code; /* STRING: code in the column's dictionary; LIST: offset into `codes` */
  union {
    double number;
    uint32_t list_len;
  } u;
} wn_cell;

typedef struct wn_column {
  char name[65];
  wn_dict *values; /* string → code */
  wn_cell *cells;  /* [catalog->cap] */
  uint32_t *codes; /* list pool */
  size_t codes_len, codes_cap;
} wn_column;

typedef struct wn_catalog wn_catalog;

wn_catalog *wn_catalog_create(const wn_dict *items); /* the store's dictionary, borrowed */
void wn_catalog_free(wn_catalog *catalog);
/* Everything from the store; item stubs made by events alone (no record) are ACTIVE without title.
 */
WN_MUST_USE wn_status wn_catalog_load(wn_catalog *catalog, wn_store *store, wn_error *err);
/* Adds or replaces one item. `ix` may lie beyond the count: it grows, gaps being active stubs.
 * created_ms 0 keeps the time that is known. */
WN_MUST_USE wn_status wn_catalog_put(wn_catalog *catalog, wn_item_ix ix, const wn_item_record *item,
                                     wn_error *err);
/* Makes room for an item met in an event; a known one is left as it is. */
WN_MUST_USE wn_status wn_catalog_touch(wn_catalog *catalog, wn_item_ix ix, int64_t time_ms,
                                       wn_error *err);
void wn_catalog_set_status(wn_catalog *catalog, wn_item_ix ix, wn_item_status status);

uint32_t wn_catalog_count(const wn_catalog *catalog);            /* highest ix + 1 */
uint64_t wn_catalog_version(const wn_catalog *catalog);          /* +1 a change of any item */
const wn_bitset *wn_catalog_servable(const wn_catalog *catalog); /* active items */
wn_item_status wn_catalog_status(const wn_catalog *catalog,
                                 wn_item_ix ix); /* out of range: DELETED */
wn_str wn_catalog_id(const wn_catalog *catalog, wn_item_ix ix);
wn_item_ix wn_catalog_find(const wn_catalog *catalog, wn_str id); /* WN_NO_IX: unknown */
wn_str wn_catalog_title(const wn_catalog *catalog, wn_item_ix ix);
const int64_t *wn_catalog_created(const wn_catalog *catalog); /* [count] */
size_t wn_catalog_column_count(const wn_catalog *catalog);
const wn_column *wn_catalog_column_at(const wn_catalog *catalog, size_t i);
const wn_column *wn_catalog_column(const wn_catalog *catalog,
                                   wn_str name); /* NULL: no item has it */
/* Newest active items first (by created_ms, ties: higher ix first): up to `k` that are in `allowed`
 * (NULL: any); returns how many. */
size_t wn_catalog_newest(const wn_catalog *catalog, const wn_bitset *allowed, size_t k,
                         wn_item_ix *out);
/* Changes since a version, for caches of compiled filters: ix of each changed item, oldest first.
 * False when the log of changes (last 65,536) no longer reaches back so far: recompile. */
bool wn_catalog_changes(const wn_catalog *catalog, uint64_t since_version,
                        void (*each)(void *ctx, wn_item_ix ix), void *ctx);
size_t wn_catalog_bytes(const wn_catalog *catalog);

#endif
