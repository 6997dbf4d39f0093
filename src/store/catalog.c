/* The catalogue's items: growth, changes, the log of changes. Titles are in catalog_text.c,
 * attributes in catalog_column.c, the newest list in catalog_newest.c, loading in catalog_load.c.
 *
 * A put is made in two steps: first everything that may fail for lack of memory (rows, columns,
 * codes of strings, the title), then plain assignments. A failed put leaves the item as it was, and
 * at most some garbage that the books count. */
#include "base/mem.h"
#include "store/catalog_internal.h"

#define CAP_FIRST ((uint32_t)1024)

wn_catalog *wn_catalog_create(const wn_dict *items) {
  wn_catalog *c = wn_calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->items = items;
  c->newest.complete = true;
  c->names = wn_dict_create();
  c->changes = wn_reallocarray(NULL, WN_CHANGES_MAX, sizeof *c->changes);
  if (c->names != NULL && c->changes != NULL && wn_bitset_init(&c->servable, 0)) return c;
  wn_catalog_free(c);
  return NULL;
}

void wn_catalog_free(wn_catalog *c) {
  if (c == NULL) return;
  for (size_t i = 0; i < c->columns.len; i++) wn_column_free(c->columns.data[i]);
  wn_vec_clear(&c->columns);
  wn_dict_free(c->names);
  wn_title_pool_clear(&c->pool);
  wn_bitset_clear(&c->servable);
  wn_free(c->created);
  wn_free(c->titles);
  wn_free(c->status);
  wn_free(c->changes);
  wn_free(c);
}

/* Each array grows on its own: one that did before another failed is merely too large. */
static bool grow_arrays(wn_catalog *c, uint32_t cap) {
  int64_t *created = wn_reallocarray(c->created, cap, sizeof *created);
  if (created != NULL) c->created = created;
  wn_title_ref *titles = wn_reallocarray(c->titles, cap, sizeof *titles);
  if (titles != NULL) c->titles = titles;
  uint8_t *status = wn_reallocarray(c->status, cap, sizeof *status);
  if (status != NULL) c->status = status;
  uint32_t bits = c->count;
  c->servable.bits = c->cap;
  bool ok =
      created != NULL && titles != NULL && status != NULL && wn_bitset_grow(&c->servable, cap);
  c->servable.bits = bits;
  for (size_t i = 0; ok && i < c->columns.len; i++) {
    ok = wn_column_grow(c->columns.data[i], c->cap, cap);
  }
  return ok;
}

static bool reserve(wn_catalog *c, uint32_t count) {
  if (count <= c->cap) return true;
  uint32_t cap = c->cap < CAP_FIRST ? CAP_FIRST : c->cap;
  while (cap < count) cap = cap > UINT32_MAX / 2 ? UINT32_MAX : cap * 2;
  if (!grow_arrays(c, cap)) return false;
  c->cap = cap;
  return true;
}

static void note_change(wn_catalog *c, wn_item_ix ix) {
  c->changes[c->version % WN_CHANGES_MAX] = ix;
  c->version++;
}

/* Rows up to ix, as active items without a record. The caller has reserved them. */
static void add_stubs(wn_catalog *c, wn_item_ix ix, int64_t time_ms) {
  for (wn_item_ix i = c->count; i <= ix; i++) {
    c->created[i] = i == ix ? time_ms : 0;
    c->titles[i] = 0;
    c->status[i] = WN_ITEM_ACTIVE;
    c->count = i + 1;
    c->servable.bits = c->count;
    wn_bitset_set(&c->servable, i);
    wn_newest_insert(c, i);
    note_change(c, i);
  }
}

/* A new record's attributes, ready to be assigned. */
typedef struct new_cells {
  wn_column_full *columns[WN_ATTRS_MAX];
  wn_cell cells[WN_ATTRS_MAX];
  size_t len;
} new_cells;

static bool make_cells(wn_catalog *c, const wn_attrs *attrs, new_cells *out) {
  out->len = 0;
  for (size_t i = 0; i < attrs->len && i < WN_ATTRS_MAX; i++) {
    wn_column_full *column = NULL;
    if (!wn_column_at(c, attrs->data[i].name, &column)) return false;
    if (column == NULL) continue;
    if (!wn_cell_make(column, &attrs->data[i], &out->cells[out->len])) return false;
    out->columns[out->len++] = column;
  }
  return true;
}

static void assign_cells(wn_catalog *c, wn_item_ix ix, bool known, const new_cells *fresh) {
  for (size_t i = 0; known && i < c->columns.len; i++) {
    if (c->columns.data[i]->pub.cells[ix].kind != 0) {
      wn_cell_set(c->columns.data[i], ix, (wn_cell){0});
    }
  }
  for (size_t i = 0; i < fresh->len; i++) wn_cell_set(fresh->columns[i], ix, fresh->cells[i]);
}

static void assign_status(wn_catalog *c, wn_item_ix ix, wn_item_status status) {
  c->status[ix] = (uint8_t)status;
  if (status == WN_ITEM_ACTIVE) {
    wn_bitset_set(&c->servable, ix);
  } else {
    wn_bitset_unset(&c->servable, ix);
  }
}

static void compact(wn_catalog *c) {
  if (c->loading) return;
  wn_titles_compact(c);
  for (size_t i = 0; i < c->columns.len; i++) wn_column_compact(c->columns.data[i], c->count);
}

wn_status wn_catalog_put(wn_catalog *c, wn_item_ix ix, const wn_item_record *item, wn_error *err) {
  new_cells fresh;
  wn_title_ref title = 0;
  bool known = ix < c->count;
  bool keeps_time = item->created_ms == 0 && known && c->status[ix] != WN_ITEM_DELETED;
  int64_t created = keeps_time ? c->created[ix] : item->created_ms;
  if (ix >= UINT32_MAX - 1) return wn_fail(err, WN_E_ARGUMENT, "ix", "is no item's index");
  if (!reserve(c, ix + 1) || !make_cells(c, &item->attrs, &fresh) ||
      !wn_title_add(&c->pool, item->title, &title)) {
    return wn_fail_memory(err);
  }
  if (!known) {
    if (ix > c->count) add_stubs(c, ix - 1, 0);
    c->created[ix] = created;
    c->titles[ix] = 0;
    c->status[ix] = WN_ITEM_DELETED; /* not in the newest list yet */
    c->count = ix + 1;
    c->servable.bits = c->count;
  }
  wn_newest_remove(c, ix);
  wn_title_drop(&c->pool, c->titles[ix]);
  c->titles[ix] = title;
  c->created[ix] = created;
  assign_cells(c, ix, known, &fresh);
  assign_status(c, ix, item->status);
  wn_newest_insert(c, ix);
  note_change(c, ix);
  wn_newest_settle(c, false);
  compact(c);
  return WN_OK;
}

wn_status wn_catalog_touch(wn_catalog *c, wn_item_ix ix, int64_t time_ms, wn_error *err) {
  if (ix < c->count) return WN_OK;
  if (ix >= UINT32_MAX - 1) return wn_fail(err, WN_E_ARGUMENT, "ix", "is no item's index");
  if (!reserve(c, ix + 1)) return wn_fail_memory(err);
  add_stubs(c, ix, time_ms);
  return WN_OK;
}

void wn_catalog_set_status(wn_catalog *c, wn_item_ix ix, wn_item_status status) {
  if (ix >= c->count || c->status[ix] == status) return;
  wn_newest_remove(c, ix);
  assign_status(c, ix, status);
  wn_newest_insert(c, ix);
  note_change(c, ix);
  wn_newest_settle(c, false);
}

uint32_t wn_catalog_count(const wn_catalog *c) {
  return c->count;
}
uint64_t wn_catalog_version(const wn_catalog *c) {
  return c->version;
}
const wn_bitset *wn_catalog_servable(const wn_catalog *c) {
  return &c->servable;
}
const int64_t *wn_catalog_created(const wn_catalog *c) {
  return c->created;
}
size_t wn_catalog_column_count(const wn_catalog *c) {
  return c->columns.len;
}

wn_item_status wn_catalog_status(const wn_catalog *c, wn_item_ix ix) {
  return ix < c->count ? (wn_item_status)c->status[ix] : WN_ITEM_DELETED;
}

wn_str wn_catalog_id(const wn_catalog *c, wn_item_ix ix) {
  return wn_dict_key(c->items, ix);
}

wn_item_ix wn_catalog_find(const wn_catalog *c, wn_str id) {
  wn_item_ix ix = wn_dict_find(c->items, id);
  return ix < c->count ? ix : WN_NO_IX;
}

wn_str wn_catalog_title(const wn_catalog *c, wn_item_ix ix) {
  return ix < c->count ? wn_title_of(&c->pool, c->titles[ix]) : (wn_str){0};
}

const wn_column *wn_catalog_column_at(const wn_catalog *c, size_t i) {
  return i < c->columns.len ? &c->columns.data[i]->pub : NULL;
}

const wn_column *wn_catalog_column(const wn_catalog *c, wn_str name) {
  uint32_t ix = wn_dict_find(c->names, name);
  return ix != WN_NO_IX ? &c->columns.data[ix]->pub : NULL;
}

bool wn_catalog_changes(const wn_catalog *c, uint64_t since_version,
                        void (*each)(void *ctx, wn_item_ix ix), void *ctx) {
  if (since_version > c->version || since_version < c->version_known) return false;
  if (c->version - since_version > WN_CHANGES_MAX) return false;
  for (uint64_t v = since_version; v < c->version; v++) each(ctx, c->changes[v % WN_CHANGES_MAX]);
  return true;
}

size_t wn_catalog_bytes(const wn_catalog *c) {
  size_t row = sizeof *c->created + sizeof *c->titles + sizeof *c->status;
  size_t bytes = sizeof *c + WN_CHANGES_MAX * sizeof *c->changes + wn_dict_bytes(c->names);
  bytes += c->cap * row + (c->cap + 63) / 64 * sizeof(uint64_t);
  bytes += c->pool.chunks.len * WN_TITLE_CHUNK_BYTES;
  for (size_t i = 0; i < c->columns.len; i++) bytes += wn_column_bytes(c->columns.data[i], c->cap);
  return bytes;
}
