#ifndef WN_STORE_CATALOG_INTERNAL_H
#define WN_STORE_CATALOG_INTERNAL_H
/* What the catalog_*.c files share. */

#include "base/vec.h"
#include "store/catalog.h"

/* Attribute names that can be filtered on. More would cost 16 bytes an item each; the store keeps
 * all, the catalogue in memory the first so many that it meets. */
#define WN_CATALOG_COLUMNS_MAX 1024

/* Texts in chunks that do not move, so that growth never copies what is there. A reference packs
 * chunk (24 bits), offset (20) and length (20); 0: none. */
#define WN_TITLE_CHUNK_BYTES ((size_t)1 << 20)
typedef uint64_t wn_title_ref;

typedef struct wn_title_pool {
  WN_VEC(char *) chunks;
  size_t tail;    /* bytes used of the last chunk */
  size_t live;    /* bytes that items refer to */
  size_t garbage; /* bytes that they no longer do */
} wn_title_pool;

/* `pub` first: the public column is this one. */
typedef struct wn_column_full {
  wn_column pub;
  size_t codes_garbage; /* of codes_len, in lists that were replaced */
  size_t strings;       /* string cells and list members: what the dictionary serves */
} wn_column_full;

#define WN_NEWEST_MAX  4096
#define WN_CHANGES_MAX 65536

/* The newest active items, best first. Every active item that ranks at or before the floor, which
 * is a place in the order and need not be an item any more, is in it. */
typedef struct wn_newest_list {
  wn_item_ix items[WN_NEWEST_MAX];
  size_t len;
  bool complete; /* no item is left out: there is no floor */
  int64_t floor_ms;
  wn_item_ix floor_ix;
} wn_newest_list;

struct wn_catalog {
  const wn_dict *items;
  uint32_t count, cap;
  int64_t *created;
  wn_title_ref *titles;
  uint8_t *status;
  wn_bitset servable; /* room for cap bits, `bits` = count */
  wn_title_pool pool;
  WN_VEC(wn_column_full *) columns;
  wn_dict *names; /* of the columns, in their order */
  bool columns_refused;
  wn_newest_list newest;
  uint64_t version;
  uint64_t version_known; /* changes after this version are in the ring */
  wn_item_ix *changes;    /* [WN_CHANGES_MAX]: change v at (v − 1) mod size */
  bool loading;           /* newest list and changes are made once, at the end */
};

/* catalog_text.c */
/* False: out of memory. The reference counts as live. */
bool wn_title_add(wn_title_pool *pool, wn_str title, wn_title_ref *ref);
void wn_title_drop(wn_title_pool *pool, wn_title_ref ref);
wn_str wn_title_of(const wn_title_pool *pool, wn_title_ref ref);
void wn_title_pool_clear(wn_title_pool *pool);
/* Copies what is live into a new pool when more than half is garbage. */
void wn_titles_compact(wn_catalog *catalog);

/* catalog_column.c */
/* The column of an attribute, made when absent. *out NULL: there are too many. */
bool wn_column_at(wn_catalog *catalog, wn_str name, wn_column_full **out);
void wn_column_free(wn_column_full *column);
bool wn_column_grow(wn_column_full *column, uint32_t cap_before, uint32_t cap);
/* Makes the cell of an attribute; list codes go to the pool's end. False: out of memory. */
bool wn_cell_make(wn_column_full *column, const wn_attr *attr, wn_cell *out);
/* Replaces an item's cell and keeps the books. */
void wn_cell_set(wn_column_full *column, wn_item_ix ix, wn_cell cell);
/* Rebuilds the dictionary and the list pool when more than half of either is garbage. */
void wn_column_compact(wn_column_full *column, uint32_t count);
size_t wn_column_bytes(const wn_column_full *column, uint32_t cap);

/* catalog_newest.c */
/* Before an item's time or status changes, and after. */
void wn_newest_remove(wn_catalog *catalog, wn_item_ix ix);
void wn_newest_insert(wn_catalog *catalog, wn_item_ix ix);
/* Ends a change: makes the list again when it has become too short, or `always`. */
void wn_newest_settle(wn_catalog *catalog, bool always);

#endif
