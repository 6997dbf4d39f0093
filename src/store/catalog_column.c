/* Columns: a cell of 16 bytes an item, strings as codes of the column's own dictionary, lists as
 * runs of codes in a pool. Kinds may mix under one name, since each cell carries its own. What
 * updates leave behind (list runs, strings that no item has any more) is bounded: a column is
 * rebuilt when more than half of its pool or of its dictionary is garbage. */
#include "base/log.h"
#include "base/mem.h"
#include "store/catalog_internal.h"

#define GARBAGE_MIN 4096 /* codes or strings; below, rebuilding is not worth it */

static bool column_add(wn_catalog *catalog, wn_str name, wn_column_full **out) {
  wn_column_full *column = wn_calloc(1, sizeof *column);
  uint32_t ix = 0;
  if (column == NULL) return false;
  size_t len = name.len < sizeof column->pub.name ? name.len : sizeof column->pub.name - 1;
  memcpy(column->pub.name, name.ptr, len);
  column->pub.values = wn_dict_create();
  column->pub.cells = wn_calloc(catalog->cap, sizeof *column->pub.cells);
  if (column->pub.values == NULL || column->pub.cells == NULL ||
      !wn_vec_reserve(&catalog->columns, catalog->columns.len + 1) ||
      wn_dict_add(catalog->names, name, &ix, NULL) != WN_OK) {
    wn_column_free(column);
    return false;
  }
  catalog->columns.data[catalog->columns.len++] = column;
  *out = column;
  return true;
}

bool wn_column_at(wn_catalog *catalog, wn_str name, wn_column_full **out) {
  *out = NULL;
  uint32_t ix = wn_dict_find(catalog->names, name);
  if (ix != WN_NO_IX) {
    *out = catalog->columns.data[ix];
    return true;
  }
  if (catalog->columns.len < WN_CATALOG_COLUMNS_MAX) return column_add(catalog, name, out);
  if (!catalog->columns_refused) {
    wn_log(WN_LOG_WARN,
           "items have more than %d different attributes: \"%.*s\" and other new ones "
           "are stored, but filters will not see them",
           WN_CATALOG_COLUMNS_MAX, WN_STR_ARG(name));
  }
  catalog->columns_refused = true;
  return true;
}

void wn_column_free(wn_column_full *column) {
  if (column == NULL) return;
  wn_dict_free(column->pub.values);
  wn_free(column->pub.cells);
  wn_free(column->pub.codes);
  wn_free(column);
}

bool wn_column_grow(wn_column_full *column, uint32_t cap_before, uint32_t cap) {
  wn_cell *cells = wn_reallocarray(column->pub.cells, cap, sizeof *cells);
  if (cells == NULL) return false;
  column->pub.cells = cells;
  memset(cells + cap_before, 0, (size_t)(cap - cap_before) * sizeof *cells);
  return true;
}

static bool reserve_codes(wn_column *column, size_t more) {
  size_t need = column->codes_len + more;
  if (need > UINT32_MAX) return false;
  return need <= column->codes_cap ||
         wn_vec_reserve_raw((void **)&column->codes, &column->codes_cap, need,
                            sizeof *column->codes);
}

static bool make_list(wn_column_full *column, const wn_attr *attr, wn_cell *out) {
  wn_column *pub = &column->pub;
  if (!reserve_codes(pub, attr->list_len)) return false;
  out->code = (uint32_t)pub->codes_len;
  out->u.list_len = (uint32_t)attr->list_len;
  for (size_t i = 0; i < attr->list_len; i++) {
    if (wn_dict_add(pub->values, attr->list[i], &pub->codes[pub->codes_len + i], NULL) != WN_OK) {
      return false;
    }
  }
  pub->codes_len += attr->list_len;
  column->codes_garbage += attr->list_len; /* until an item takes it */
  return true;
}

bool wn_cell_make(wn_column_full *column, const wn_attr *attr, wn_cell *out) {
  *out = (wn_cell){.kind = (uint8_t)(attr->kind + 1)};
  switch (attr->kind) {
  case WN_ATTR_STRING:
    return wn_dict_add(column->pub.values, attr->string, &out->code, NULL) == WN_OK;
  case WN_ATTR_NUMBER: out->u.number = attr->number; return true;
  case WN_ATTR_BOOL: out->boolean = attr->boolean; return true;
  case WN_ATTR_LIST: return make_list(column, attr, out);
  }
  return true;
}

static size_t strings_of(wn_cell cell) {
  if (cell.kind == WN_ATTR_LIST + 1) return cell.u.list_len;
  return cell.kind == WN_ATTR_STRING + 1;
}

void wn_cell_set(wn_column_full *column, wn_item_ix ix, wn_cell cell) {
  wn_cell *slot = &column->pub.cells[ix];
  if (slot->kind == WN_ATTR_LIST + 1) column->codes_garbage += slot->u.list_len;
  if (cell.kind == WN_ATTR_LIST + 1) column->codes_garbage -= cell.u.list_len;
  column->strings -= strings_of(*slot);
  column->strings += strings_of(cell);
  *slot = cell;
}

static bool wasteful(size_t garbage, size_t all) {
  return garbage > GARBAGE_MIN && garbage > all / 2;
}

/* The cell's strings in another column's terms. */
static bool move_cell(const wn_column *from, wn_column *to, wn_cell *cell) {
  if (cell->kind == WN_ATTR_STRING + 1) {
    return wn_dict_add(to->values, wn_dict_key(from->values, cell->code), &cell->code, NULL) ==
           WN_OK;
  }
  if (cell->kind != WN_ATTR_LIST + 1) return true;
  const uint32_t *codes = from->codes + cell->code;
  cell->code = (uint32_t)to->codes_len;
  for (uint32_t i = 0; i < cell->u.list_len; i++) {
    uint32_t *code = &to->codes[to->codes_len++];
    if (wn_dict_add(to->values, wn_dict_key(from->values, codes[i]), code, NULL) != WN_OK) {
      return false;
    }
  }
  return true;
}

void wn_column_compact(wn_column_full *column, uint32_t count) {
  wn_column *pub = &column->pub;
  size_t values = wn_dict_count(pub->values);
  size_t unused = values > column->strings ? values - column->strings : 0;
  if (!wasteful(column->codes_garbage, pub->codes_len) && !wasteful(unused, values)) return;
  wn_column fresh = {.codes_cap = pub->codes_len - column->codes_garbage};
  fresh.values = wn_dict_create();
  fresh.cells = wn_reallocarray(NULL, count, sizeof *fresh.cells);
  fresh.codes = wn_reallocarray(NULL, fresh.codes_cap, sizeof *fresh.codes);
  bool ok = fresh.values != NULL && (fresh.cells != NULL || count == 0) &&
            (fresh.codes != NULL || fresh.codes_cap == 0);
  for (uint32_t i = 0; ok && i < count; i++) {
    fresh.cells[i] = pub->cells[i];
    ok = move_cell(pub, &fresh, &fresh.cells[i]);
  }
  if (ok) { /* else no memory now: the next change tries again */
    memcpy(pub->cells, fresh.cells, count * sizeof *fresh.cells);
    wn_dict *values_before = pub->values;
    uint32_t *codes_before = pub->codes;
    pub->values = fresh.values;
    pub->codes = fresh.codes;
    pub->codes_len = fresh.codes_len;
    pub->codes_cap = fresh.codes_cap;
    column->codes_garbage = 0;
    fresh.values = values_before;
    fresh.codes = codes_before;
  }
  wn_dict_free(fresh.values);
  wn_free(fresh.codes);
  wn_free(fresh.cells);
}

size_t wn_column_bytes(const wn_column_full *column, uint32_t cap) {
  const wn_column *pub = &column->pub;
  return sizeof *column + wn_dict_bytes(pub->values) + cap * sizeof *pub->cells +
         pub->codes_cap * sizeof *pub->codes;
}
